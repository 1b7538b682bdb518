#!/bin/bash
# Builds that are interrupted or killed at any moment: nothing half-done stays, no process, no mount,
# and the next build gives the bytes it always gave.
# Packs are written down in single quotes, to be expanded where they run.
# shellcheck disable=SC2016
# shellcheck source=tests/e2e/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

# An app in $dir/app and a pack in $dir/pack whose compile starts children; $mark names them.
new_app() {
  new_dir case
  mkdir app
  echo hello >app/file
  mark=$((RANDOM * 32768 + RANDOM + 10000000))
  new_pack "$dir/pack" <<END
sleep $mark & (setsid sleep $mark &)
trap "" TERM
sleep ${1:-$mark}
END
}

# The program itself, so that \$! is its process.
start_build() {
  background "$house/slipway" build "$dir/app" --stack host --progress plain -b "$dir/pack" --slug "$dir/out.tgz"
}

running() { pgrep -f "^sleep $mark" >/dev/null; }
none_running() { ! running; }

# How build $pid ended.
wait_status() {
  status=0
  wait "$pid" || status=$?
}

nothing_is_left() {
  within 10 none_running
  if grep -qF "$SLIPWAY_HOME" /proc/self/mounts; then fail "a mount is left: $(grep -F "$SLIPWAY_HOME" /proc/self/mounts)"; fi
  local left
  left=$(find "$dir" -maxdepth 1 -name '*out.tgz*')
  if [[ -n $left ]]; then fail "an output is left: $left"; fi
}

# The same build on a store nobody touched.
untouched_checksum() {
  SLIPWAY_HOME=$test_state/untouched "$house/slipway" build "$dir/app" --stack host -b "$dir/pack" --slug "$dir/untouched.tgz" >/dev/null 2>&1
  sha256sum <"$dir/untouched.tgz"
}

store_is_sound_and_builds_the_same() {
  expect_exit 0 slipway cache verify
  contains "$out" "the store is sound"
  expect_exit 0 slipway build "$dir/app" --stack host -b "$dir/pack" --slug "$dir/again.tgz"
  equal "$(sha256sum <"$dir/again.tgz")" "$(untouched_checksum)"
}

test_ctrl_c_ends_all_and_says_so() {
  new_app
  start_build
  within 20 running
  kill -INT "$pid"
  wait_status
  equal "$status" 130
  contains "$background_log" "interrupted"
  lacks "$background_log" "Push rejected"
  nothing_is_left
  new_pack "$dir/pack" <<<':'
  store_is_sound_and_builds_the_same
}

test_sigterm_and_a_second_ctrl_c() {
  new_app
  start_build
  within 20 running
  kill -TERM "$pid"
  wait_status
  equal "$status" 130
  nothing_is_left
  start_build
  within 20 running
  kill -INT "$pid"
  kill -INT "$pid" 2>/dev/null || true
  wait_status
  equal "$status" 130
  nothing_is_left
}

# At the terminal all processes of the foreground group get the signal.
test_ctrl_c_of_a_whole_process_group() {
  new_app
  need_program setsid
  background setsid "$house/slipway" build "$dir/app" --stack host -b "$dir/pack" --slug "$dir/out.tgz"
  within 20 running
  local leader
  leader=$(pgrep -f "^[^ ]*slipway build $dir/app" | head -n 1)
  kill -INT -- "-$(ps -o pgid= -p "$leader" | tr -d ' ')"
  wait_status
  equal "$status" 130
  nothing_is_left
}

test_ctrl_c_while_fetching() {
  new_app
  need_program python3
  local port
  port=$(free_port)
  # Takes the connection and never answers.
  background python3 -c 'import socket, sys, time
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", int(sys.argv[1]))); s.listen(); c = s.accept()[0]; print("taken", flush=True); time.sleep(60)' "$port"
  local server_log=$background_log
  background "$house/slipway" build "$dir/app" --stack host -b "http://127.0.0.1:$port/x.tgz"
  within 20 grep -q taken "$server_log"
  kill -INT "$pid"
  wait_status
  equal "$status" 130
  if pgrep -f "slipway-fetch.*$port" >/dev/null; then fail "the fetching process is left"; fi
  nothing_is_left
}

test_sigkill_at_random_moments() {
  new_app 0.05
  # Something to hash, to compress and to seal.
  local i
  for i in $(seq 200); do head -c 20000 /dev/urandom >"app/f$i"; done
  new_pack "$dir/pack" <<<'cp -r "$1" "$2/copy.$$"; mv "$2/copy.$$" "$1/copy"; date +%N >"$2/stamp"; echo more >"$2/cached"'
  local began took
  began=$(date +%s%N)
  expect_exit 0 slipway build "$dir/app" --stack host -b "$dir/pack" --slug "$dir/first.tgz" --no-cache
  took=$((($(date +%s%N) - began) / 1000000))
  for i in $(seq 20); do
    echo "$i" >app/round
    start_build
    sleep "$(printf '%d.%03d' 0 $((RANDOM % (took < 999 ? took : 999))))"
    kill -KILL "$pid" 2>/dev/null || true
    wait_status
    # Killed or done: an output is whole or not there.
    if [[ -e out.tgz ]]; then
      gzip -t out.tgz || fail "round $i left half a slug"
      rm out.tgz
    fi
  done
  if grep -qF "$SLIPWAY_HOME" /proc/self/mounts; then fail "a mount is left"; fi
  find "$dir" -maxdepth 1 -name '.*out.tgz*' -delete
  store_is_sound_and_builds_the_same
  # What killed builds left has been swept.
  equal "$(find "$SLIPWAY_HOME/tmp" -mindepth 1 | wc -l)" 0
}

# Steps live no longer than the build, even when it can do nothing any more.
test_sigkill_leaves_no_process() {
  new_app
  start_build
  within 20 running
  kill -KILL "$pid"
  wait_status
  equal "$status" 137
  within 10 none_running
  if grep -qF "$SLIPWAY_HOME" /proc/self/mounts; then fail "a mount is left"; fi
  new_pack "$dir/pack" <<<':'
  store_is_sound_and_builds_the_same
}

test_sigkill_of_the_worker() {
  new_app
  start_build
  within 20 running
  local worker
  worker=$(pgrep -P "$pid" -f "__worker" | head -n 1)
  [[ -n $worker ]] || fail "no worker found below $pid: $(pgrep -P "$pid" -a)"
  kill -KILL "$worker"
  wait_status
  equal "$status" 6
  contains "$background_log" "worker ended unexpectedly"
  contains "$background_log" "hint: "
  nothing_is_left
  new_pack "$dir/pack" <<<':'
  store_is_sound_and_builds_the_same
}

test_time_limit_ends_children() {
  new_app
  expect_exit 1 slipway build "$dir/app" --stack host --progress plain -b "$dir/pack" --slug "$dir/out.tgz" --timeout 2s
  contains "$err" " !     Timed out compiling Tiny app ("
  contains "$err" " !     Push rejected, failed to compile Tiny app."
  nothing_is_left
}

test_closed_output_does_not_hang_the_build() {
  new_app
  new_pack "$dir/pack" <<<'for i in $(seq 20000); do echo "line $i of many"; done'
  local status=0
  (timeout 60 "$house/slipway" build "$dir/app" --stack host --progress plain -b "$dir/pack" 2>&1 || echo "$?" >"$dir/status") | head -n 3 >"$dir/head" || true
  if [[ -e $dir/status ]]; then status=$(<"$dir/status"); fi
  [[ $status -ne 124 ]] || fail "the build hung when nobody read its output"
  expect_exit 0 slipway cache verify
}

run_tests "$@"
