# shellcheck shell=bash
# Harness of the end-to-end scripts. A script sources it, defines functions test_*, and ends with
# run_tests "$@":
#
#   source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
#   test_touching_a_file_rebuilds_nothing() {
#     new_dir
#     …
#     expect_exit 0 slipway build .
#     contains "$err" "everything cached"
#   }
#   run_tests "$@"
#
# Each test runs in a shell of its own under set -e, in an empty folder $dir, with an environment built
# from zero and a SLIPWAY_HOME of its own. It prints "ok NAME", "not ok NAME" or "skip NAME REASON"; a
# failure keeps $dir and prints where. With arguments only the tests whose names contain one run.

house=$(cd "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
script=${0##*/}
script=${script%.sh}
test_user=slipwaytest

# --- what tests call ---

fail() {
  printf 'FAILED: %s\n' "$*" >&2
  local i
  for ((i = 1; i < ${#FUNCNAME[@]} - 1; i++)); do
    printf '  at %s line %s\n' "${FUNCNAME[i]}" "${BASH_LINENO[i - 1]}" >&2
  done
  exit 1
}

skip() {
  printf '%s\n' "$*" >"$test_state/skipped"
  exit 77
}

# new_dir [NAME]: an empty folder below the test's own; sets $dir and goes there.
new_dir() {
  dir=$test_state/work/${1:-app}
  while [[ -e $dir ]]; do dir+=x; done
  mkdir -p "$dir"
  chmod 755 "$dir"
  cd "$dir" || exit 1
}

slipway() { "$house/slipway" "$@"; }

# expect_exit CODE COMMAND…: runs it; stdout goes to the file $out, stderr to $err. Fails unless it ends
# with CODE (or one of "1|5").
expect_exit() {
  local wanted=$1 status=0
  shift
  out=$test_state/out err=$test_state/err
  "$@" >"$out" 2>"$err" </dev/null || status=$?
  if [[ "|$wanted|" != *"|$status|"* ]]; then
    printf -- '--- stdout\n%s\n--- stderr\n%s\n' "$(tail -n 40 "$out")" "$(tail -n 60 "$err")" >&2
    fail "exit $status, expected $wanted: $*"
  fi
}

# contains FILE TEXT: the text, which may hold newlines, stands in the file as it is.
contains() {
  local whole
  whole=$(cat "$1") || fail "no file $1"
  if [[ $whole != *"$2"* ]]; then
    printf -- '--- %s\n%s\n' "$1" "$(tail -n 80 "$1")" >&2
    fail "'$2' is missing in $1"
  fi
}

lacks() {
  if [[ "$(cat "$1")" == *"$2"* ]]; then
    printf -- '--- %s\n%s\n' "$1" "$(tail -n 80 "$1")" >&2
    fail "'$2' must not stand in $1"
  fi
}

# equal ACTUAL EXPECTED
equal() {
  if [[ $1 == "$2" ]]; then return 0; fi
  printf 'actual:   %s\nexpected: %s\n' "$1" "$2" >&2
  fail "not equal"
}

# within SECONDS COMMAND…: repeats it until it succeeds.
within() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    if [[ $SECONDS -ge $deadline ]]; then fail "not in time: $*"; fi
    sleep 0.1
  done
}

# background COMMAND…: runs it in the background, sets $pid; it is stopped when the test ends. Its
# output is in $background_log.
background() {
  background_log=$test_state/background-$((++background_count)).log
  # A function would run in a shell of its own, which signals meant for the program would end.
  if [[ $1 == slipway ]]; then set -- "$house/slipway" "${@:2}"; fi
  "$@" >"$background_log" 2>&1 </dev/null &
  pid=$!
  background_pids+=("$pid")
}

free_port() {
  need_program python3
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# wait_http URL [SECONDS]: until something answers, whatever its status.
wait_http() { within "${2:-20}" curl -s -o /dev/null --max-time 2 --noproxy '*' "$1"; }

http_get() { curl -sS --fail --max-time 10 --noproxy '*' "$@"; }

# serve FOLDER: a loopback server of its files; sets $url.
serve() {
  local port
  need_program python3
  port=$(free_port)
  background python3 -m http.server --bind 127.0.0.1 --directory "$1" "$port"
  url=http://127.0.0.1:$port
  wait_http "$url/"
}

# new_pack FOLDER [NAME]: a classic buildpack that always applies and says NAME; its bin/compile is
# what stands on stdin, run by bash.
new_pack() {
  mkdir -p "$1/bin"
  printf '#!/bin/sh\necho "%s"\n' "${2:-Tiny}" >"$1/bin/detect"
  {
    printf '#!/bin/bash\nset -eu\n'
    cat
  } >"$1/bin/compile"
  printf '#!/bin/sh\necho "--- {}"\n' >"$1/bin/release"
  chmod 755 "$1" "$1/bin" "$1"/bin/*
}

need_program() { command -v "$1" >/dev/null || skip "$1 is not installed"; }
need_root() { [[ $(id -u) -eq 0 ]] || skip "needs root"; }
# Engines and servers are there in CI and with --all only.
need_all() { [[ -n ${SLIPWAY_TEST_ALL:-} ]] || skip "only with ./test --all"; }

# as_user COMMAND…: as an ordinary user with subordinate ids, in the current folder, with HOME and
# SLIPWAY_HOME of its own. As root the user "slipwaytest" is made once; an ordinary user is one already.
# Functions of this file can be called, too.
as_user() {
  if [[ $(id -u) -ne 0 ]]; then
    "$@"
    return
  fi
  make_test_user
  # The house must be readable by others.
  runuser -u "$test_user" -- test -x "$house/slipway" || skip "$house cannot be read by other users"
  chmod 755 "$test_state" "$test_state/work"
  local home=$test_state/user
  if [[ ! -d $home ]]; then install -d -o "$test_user" -m 700 "$home" "$home/tmp"; fi
  chown -R "$test_user" "$dir"
  # shellcheck disable=SC2016
  runuser -u "$test_user" -- env -i PATH="$PATH" HOME="$home" LANG=C.UTF-8 TMPDIR="$home/tmp" \
    SLIPWAY_HOME="$home/store" SLIPWAY_TEST_ALL="${SLIPWAY_TEST_ALL:-}" \
    "$BASH" -c 'house=$1; shift; slipway() { "$house/slipway" "$@"; }; "$@"' as_user "$house" "$@"
}

make_test_user() {
  command -v useradd >/dev/null || skip "no useradd to make an ordinary user with"
  (
    # Two scripts at once must not both make it.
    flock 9
    id "$test_user" >/dev/null 2>&1 || useradd --system --shell /usr/sbin/nologin --no-create-home \
      --home-dir /nonexistent "$test_user" || exit 1
    grep -q "^$test_user:" /etc/subuid 2>/dev/null || usermod --add-subuids 700000-765535 "$test_user" || exit 1
    grep -q "^$test_user:" /etc/subgid 2>/dev/null || usermod --add-subgids 700000-765535 "$test_user"
  ) 9>/tmp/.slipwaytest.lock || skip "the user $test_user could not be made"
}

# --- running them ---

background_pids=()
background_count=0

stop_background() {
  local child
  trap - ERR
  set +e
  for child in "${background_pids[@]}"; do kill "$child" 2>/dev/null; done
  for child in "${background_pids[@]}"; do wait "$child" 2>/dev/null; done
}

# In a subshell: the environment a test sees. PATH, HOME and what the harness itself needs, no more.
enter_test() {
  local name
  for name in $(compgen -e); do
    case $name in
      PATH | SLIPWAY_TEST_ALL | SLIPWAY_TEST_*) ;;
      *) unset "$name" ;;
    esac
  done
  export HOME=$test_state/home LANG=C.UTF-8 SLIPWAY_HOME=$test_state/store TMPDIR=$test_state/tmp
  mkdir -p "$HOME" "$TMPDIR" "$test_state/work"
  trap stop_background EXIT
  new_dir start
}

run_test() {
  local name=$1 status=0
  test_state=$(mktemp -d "/tmp/slipway-e2e-$name.XXXXXX") || exit 1
  # No "||" after it: strict mode would be off in all that is called.
  (
    enter_test
    set -eu -o pipefail -E
    trap 'printf "FAILED: line %s: %s\n" "$LINENO" "$BASH_COMMAND" >&2' ERR
    "$name"
  ) >"$test_state/log" 2>&1
  status=$?
  case $status in
    0) echo "ok ${name#test_}" ;;
    77) echo "skip ${name#test_} $(cat "$test_state/skipped" 2>/dev/null)" ;;
    *)
      tail -n 120 "$test_state/log" | sed 's/^/  | /'
      echo "  folder kept: $test_state"
      echo "not ok ${name#test_}"
      failures=$((failures + 1))
      return
      ;;
  esac
  remove_state
}

# Builds may leave folders that are read-only or belong to subordinate ids; a store knows how to
# remove itself.
remove_state() {
  chmod -R u+rwX "$test_state" 2>/dev/null
  rm -rf --one-file-system "$test_state" 2>/dev/null ||
    echo "  (left behind: $test_state)"
}

run_tests() {
  local name wanted chosen
  failures=0
  if [[ $(declare -F | grep -c ' test_') -eq 0 ]]; then
    echo "not ok $script defines no test"
    exit 1
  fi
  for name in $(declare -F | sed -n 's/^declare -f \(test_.*\)$/\1/p'); do
    chosen=$(($# == 0))
    for wanted in "$@"; do if [[ $name == *"$wanted"* ]]; then chosen=1; fi; done
    if [[ $name != test_user && $name != test_state ]] && ((chosen)); then run_test "$name"; fi
  done
  exit $((failures > 0))
}
