#!/bin/bash
# docs/phoenix.md, line by line: its commands are taken from the page and run; a row that this script
# does not know fails, so the page cannot promise what nobody tried. Packages come over the network.
# shellcheck disable=SC2016 # backquotes and variables of the page and of the app
# shellcheck source=tests/e2e/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=tests/e2e/packs.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/packs.sh"

page=$house/docs/phoenix.md

# The app of the guide: the sample, with the guide's task.
guide_app() {
  debian_store guide
  cp -r "$house/samples/elixir-phoenix-static" "$dir/hello"
  cd "$dir/hello"
  cat >lib/mix/tasks/hello.task.ex <<'E'
defmodule Mix.Tasks.Hello.Task do
  use Mix.Task
  def run(_), do: IO.puts("pool #{System.get_env("POOL_SIZE")}")
end
E
}

# command TEXT: the page's words for this script: an app of its own, files in the test's folder.
command_of() { sed -E "s/(--app|run|purge) hello\b/\1 $app/; s,/tmp/,$test_state/,; s,^slipway build samples/,slipway build $house/samples/," <<<"$1"; }

# types COMMAND…: runs what a user would type.
types() { expect_exit 0 eval "$(command_of "$1")"; }

# The first `slipway …` of a cell.
slipway_of() { sed -nE 's/[^`]*`(slipway [^`]*)`.*/\1/p' <<<"$1"; }

try_web() { # COMMAND
  local port
  port=$(free_port)
  background eval "$(command_of "$1") --port $port"
  wait_http "http://localhost:$port/" 60
  contains "$background_log" "http://localhost:$port/"
  http_get "http://localhost:$port/" >"$test_state/page"
  contains "$test_state/page" '.js'
  # The eval above is a shell; the program is its child.
  pkill -TERM -P "$pid" || kill -TERM "$pid"
  wait "$pid" 2>/dev/null || true
}

# try_row THE-GUIDE HERE
try_row() {
  case $1 in
    *'git init'*)
      git init -q
      git add .
      git -c user.name=t -c user.email=t@localhost -c commit.gpgsign=false commit -q -m "Initial commit"
      ;;
    *'heroku create --buildpack'*)
      types "$(slipway_of "$2")"
      contains "$err" '-----> Using buildpack: elixir (built in)'
      ;;
    *'with `elixir_version`'*) contains "$err" '* Erlang 25.2.3' ;;
    *buildpacks:add*)
      contains <(echo "$2") '`-b elixir -b phoenix-static`'
      types 'slipway build . --app hello -b elixir -b phoenix-static'
      contains "$err" '2. phoenix-static (built in)'
      ;;
    '`phoenix_static_buildpack.config`') contains "$err" 'remove_node=true' ;;
    *'in the Procfile'*) echo 'web: mix phx.server' >Procfile ;;
    *'config:set POOL_SIZE=18'*)
      types 'slipway build . --app hello -e POOL_SIZE=18'
      contains "$err" '* Config vars POOL_SIZE'
      types 'slipway run hello -e POOL_SIZE=18 "mix hello.task"'
      contains "$out" 'pool 18'
      ;;
    *SECRET_KEY_BASE*)
      export SECRET_KEY_BASE=0123456789abcdef0123456789abcdef
      types 'slipway build . --app hello --secret-env SECRET_KEY_BASE'
      lacks "$err" "$SECRET_KEY_BASE"
      types 'slipway run hello --secret-env SECRET_KEY_BASE "echo ${#SECRET_KEY_BASE}"'
      contains "$out" 32
      ;;
    *'git push heroku'*)
      types "$(slipway_of "$2")"
      contains "$err" '       Procfile declares types -> web'
      test -s hello.tgz || fail "no hello.tgz"
      ;;
    *'heroku open'*) try_web "$(slipway_of "$2")" ;;
    *'mix hello.task'*)
      types "$(slipway_of "$2")"
      contains "$out" 'pool 2'
      ;;
    *'iex -S mix'*)
      printf 'IO.puts("two is #{1 + 1}, pool #{System.get_env("POOL_SIZE")}")\n' >"$test_state/typed"
      eval "$(command_of "$(slipway_of "$2")")" <"$test_state/typed" >"$test_state/iex" 2>&1 || fail "iex: $(cat "$test_state/iex")"
      contains "$test_state/iex" 'two is 2, pool 2'
      ;;
    *always_rebuild*)
      echo 'always_rebuild=true' >>elixir_buildpack.config
      types 'slipway build . --app hello'
      contains "$err" '-----> Elixir app detected'
      ;;
    *) fail "docs/phoenix.md has a row this test does not know: $1" ;;
  esac
}

test_the_rows_that_work() {
  need_program git
  guide_app
  local guide here tried=0
  while IFS='|' read -r _ guide here _; do
    guide=$(xargs -0 <<<"$guide" | sed 's/^ *//; s/ *$//') here=$(sed 's/^ *//; s/ *$//' <<<"$here")
    if [[ $here == '*later*' || $guide == 'the guide' || $guide == ---* ]]; then continue; fi
    printf 'row: %s\n' "$guide"
    try_row "$guide" "$here"
    tried=$((tried + 1))
  done < <(grep '^|' "$page")
  if ((tried < 10)); then fail "only $tried rows were found"; fi
}

test_the_first_build() {
  need_program git
  debian_store first
  local line
  while read -r line; do
    if [[ $line == *' run '* ]]; then try_web "$line"; else types "$line"; fi
  done < <(sed -n '/^```console/,/^```$/s/^\$ //p' "$page")
}

test_what_helps_when_a_build_fails() {
  guide_app
  echo 'defmodule Broken do' >lib/broken.ex
  expect_exit 1 slipway build . --app "$app" --progress plain -b elixir
  contains "$err" ' !     Push rejected, failed to compile Elixir app.'
  local log
  log=$(sed -nE 's/^hint: the full log is in ([^;]*);.*/\1/p' "$err")
  contains "$log" 'broken.ex'
  contains "$page" 'slipway cache purge hello'
  rm lib/broken.ex
  expect_exit 0 slipway build . --app "$app" -b elixir
  types 'slipway cache purge hello'
}

run_tests "$@"
