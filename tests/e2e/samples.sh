#!/bin/bash
# The sample apps on stack debian-12, as a user meets them: build, ask over HTTP, rebuild, get it wrong.
# Packages come over the network through the tools' own clients.
# shellcheck source=tests/e2e/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=tests/e2e/packs.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/packs.sh"

sample() { # NAME: a copy of it is the current folder.
  cp -r "$house/samples/$1" "$dir/$1"
  cd "$dir/$1"
}

# start SLUG|APP: runs its web process; sets $url.
start() {
  local port
  port=$(free_port)
  background slipway run "$1" web --port "$port"
  url=http://localhost:$port
  wait_http "$url/" 60
}

# stop EXIT-CODE…: SIGTERM ends it with that code.
stop() {
  local status=0
  kill -TERM "$pid"
  wait "$pid" || status=$?
  if [[ "|$1|" != *"|$status|"* ]]; then fail "the app ended with $status: $(cat "$background_log")"; fi
}

test_elixir_phoenix_static() {
  debian_store elixir
  sample elixir-phoenix-static
  local slug=$test_state/app.tgz again=$test_state/again.tgz page asset
  expect_exit 0 slipway build . --app "$app" --progress plain --slug "$slug"
  contains "$err" '(listed in app.json (line 4))'
  contains "$err" '-----> Elixir app detected'
  contains "$err" '-----> Phoenix app detected'
  contains "$err" '       Default types for buildpack -> web'

  start "$slug"
  page=$(http_get "$url/")
  asset=$(grep -oE '/[a-z/]+-[0-9a-f]{32}\.js' <<<"$page" | head -n 1)
  [[ -n $asset ]] || fail "the page names no digested script: $page"
  http_get -D ../headers -o ../script.js "$url$asset"
  grep -qi '^cache-control:.*max-age=31536000' ../headers || fail "the asset may not be cached: $(cat ../headers)"
  test -s ../script.js || fail "$asset is empty"
  # A slug's boot compiles nothing (SLUG-4).
  lacks "$background_log" Compiling
  stop '0|143'

  # The running app compiles nothing and brings no Node.js.
  expect_exit 0 slipway slug inspect "$slug" --json
  equal "$(json "$out" '[.folders[].name | select(test("node"))] | length')" 0

  expect_exit 0 slipway build . --app "$app" --progress plain --slug "$again"
  contains "$err" 'Nothing changed since the last build: using its result'
  lacks "$err" 'Fetching'
  cmp "$slug" "$again"

  # One changed file: the packs run again, with what they cached.
  echo '/* changed */' >>assets/css/app.css
  expect_exit 0 slipway build . --app "$app" --progress plain --explain
  contains "$err" 'assets/css/app.css'

  # In the wrong order the second pack's tools are not there yet.
  expect_exit 1 slipway build . --app "$app" --progress plain -b phoenix-static -b elixir
  contains "$err" ' !     Push rejected, failed to compile Phoenix app.'
  contains "$err" 'mix'
  contains "$err" 'elixir'
}

test_node_express() {
  debian_store node
  sample node-express
  local slug=$test_state/app.tgz again=$test_state/again.tgz
  expect_exit 0 slipway build . --app "$app" --progress plain --slug "$slug"
  contains "$err" '-----> Node.js app detected'
  start "$slug"
  equal "$(http_get "$url/health" | jq .ok)" true
  contains <(http_get "$url/") 'page.js'
  test -n "$(http_get "$url/page.js")" || fail "page.js is empty"
  stop '0|143'
  expect_exit 0 slipway slug inspect "$slug" --json
  equal "$(json "$out" '[.packages[].name | select(test("esbuild"))] | length')" 0
  expect_exit 0 slipway build . --app "$app" --progress plain --slug "$again"
  contains "$err" 'Nothing changed since the last build: using its result'
  cmp "$slug" "$again"
}

run_tests "$@"
