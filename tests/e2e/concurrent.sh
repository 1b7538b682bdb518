#!/bin/bash
# Several processes on one store.
# Packs are written down in single quotes, to be expanded where they run.
# shellcheck disable=SC2016
# shellcheck source=tests/e2e/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

new_app() {
  new_dir case
  mkdir app
  echo hello >app/file
}

# start NAME ARGUMENTS…: a build in the background that writes NAME.tgz; its log is NAME.log.
start() {
  local name=$1
  shift
  background "$house/slipway" build --stack host --progress plain --slug "$dir/$name.tgz" "$@"
  cp /dev/null "$dir/$name.log"
  ln -sf "$background_log" "$dir/$name.log"
}

# Waits for the builds whose ids are given; all must succeed.
wait_all() {
  local one status
  for one in "$@"; do
    status=0
    wait "$one" || status=$?
    if [[ $status -ne 0 ]]; then
      tail -n 20 "$test_state"/background-*.log >&2
      fail "a build ended with $status"
    fi
  done
}

test_the_same_build_twice_runs_once() {
  new_app
  mkdir runs
  # Each run of compile says something no other run says.
  new_pack "$dir/pack" <<<'sleep 1; date +%s%N >"$1/ran"; echo compiling'
  start one app -b "$dir/pack"
  local first=$pid
  start two app -b "$dir/pack"
  wait_all "$first" "$pid"
  cmp one.tgz two.tgz
  equal "$(cat one.log two.log | grep -c '^compiling')" 1
  equal "$(cat one.log two.log | grep -c 'Waiting: the same build is running already')" 1
}

# The one that waits takes over when the first one fails, and fails by itself.
test_a_waiting_build_is_no_victim_of_the_first() {
  new_app
  new_pack "$dir/pack" <<<'sleep 1; exit 7'
  start one app -b "$dir/pack"
  local first=$pid status=0
  start two app -b "$dir/pack"
  local second=$pid
  wait "$first" || status=$?
  equal "$status" 1
  status=0
  wait "$second" || status=$?
  equal "$status" 1
  equal "$(cat one.log two.log | grep -c 'Push rejected, failed to compile')" 2
}

test_a_waiting_build_goes_on_when_the_first_is_killed() {
  new_app
  new_pack "$dir/pack" <<<'echo compiling; sleep 2'
  start one app -b "$dir/pack"
  local first=$pid
  within 20 grep -q '^compiling' one.log
  start two app -b "$dir/pack"
  local second=$pid
  within 20 grep -q 'Waiting: the same build' two.log
  kill -KILL "$first"
  wait "$first" || true
  wait_all "$second"
  tar -tzf two.tgz >/dev/null
}

# Two states of one app: both get what they asked for, and the cache is one of theirs, whole.
test_different_builds_of_one_app() {
  new_app
  cp -r app other
  echo other >other/file
  new_pack "$dir/pack" <<<'cp "$1/file" "$2/a"; sleep 1; cp "$1/file" "$2/b"; cp "$2/a" "$1/seen"'
  start one app --app shared -b "$dir/pack"
  local first=$pid
  start two other --app shared -b "$dir/pack"
  wait_all "$first" "$pid"
  equal "$(tar -xOzf one.tgz ./app/seen)" hello
  equal "$(tar -xOzf two.tgz ./app/seen)" other
  new_pack "$dir/pack" <<<'cmp "$2/a" "$2/b"'
  expect_exit 0 slipway build app --app shared --stack host -b "$dir/pack"
  expect_exit 0 slipway cache verify
}

test_many_builds_of_many_apps() {
  new_dir case
  new_pack "$dir/pack" <<<'cp "$1/file" "$1/copy"'
  local i pids=()
  for i in 1 2 3 4 5 6; do
    mkdir "app$i"
    echo "$i" >"app$i/file"
    start "out$i" "app$i" -b "$dir/pack"
    pids+=("$pid")
  done
  wait_all "${pids[@]}"
  for i in 1 2 3 4 5 6; do equal "$(tar -xOzf "out$i.tgz" ./app/copy)" "$i"; done
  expect_exit 0 slipway cache verify
}

test_build_while_the_store_is_pruned() {
  new_app
  head -c 3000000 /dev/urandom >app/noise
  new_pack "$dir/pack" <<<'sleep 1.5; cp "$1/noise" "$1/copy"; cp "$1/noise" "$2/kept"'
  expect_exit 0 slipway build app --stack host -b "$dir/pack" --slug "$dir/before.tgz"
  echo changed >app/file
  start one app -b "$dir/pack"
  local building=$pid prunes=0
  while kill -0 "$building" 2>/dev/null; do
    expect_exit 0 slipway cache prune
    prunes=$((prunes + 1))
  done
  wait_all "$building"
  [[ $prunes -ge 3 ]] || fail "only $prunes prunes met the build"
  expect_exit 0 slipway cache verify
  # The same bytes as on a store that nobody pruned.
  SLIPWAY_HOME=$test_state/quiet expect_exit 0 slipway build app --stack host -b "$dir/pack" --slug "$dir/quiet.tgz"
  cmp one.tgz quiet.tgz
}

test_many_first_starts() {
  new_dir case
  local i pids=()
  for i in 1 2 3 4 5 6 7 8; do
    background "$house/slipway" cache du
    pids+=("$pid")
  done
  wait_all "${pids[@]}"
  expect_exit 0 slipway cache verify
}

test_run_while_the_same_app_is_built() {
  new_app
  echo 'hold: sleep 5; cat file' >app/Procfile
  new_pack "$dir/pack" <<<':'
  expect_exit 0 slipway build app --app held --stack host -b "$dir/pack"
  background "$house/slipway" run held hold
  local running=$pid log=$background_log
  sleep 1
  echo changed >app/file
  expect_exit 0 slipway build app --app held --stack host -b "$dir/pack"
  expect_exit 0 slipway cache prune
  wait_all "$running"
  contains "$log" hello
}

run_tests "$@"
