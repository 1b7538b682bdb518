#!/usr/bin/env bash
# Tests of the built-in buildpacks that need no network and no stack: bash buildpacks/test/run.sh [WORD]
# A test is a function test_* in a *_test.sh file. It runs in a shell of its own with strict mode and an
# empty folder, $T; skip REASON leaves it.
set -uo pipefail

PACKS="$(cd "${BASH_SOURCE[0]%/*}/.." && pwd)"
LIB="$PACKS/lib"
export PACKS LIB
passed=0 failed=0 skipped=0

# --- what tests call ---

skip() {
  echo "skipped: $*"
  exit 77
}

# equal EXPECTED ACTUAL
equal() {
  [[ "$1" == "$2" ]] && return 0
  printf 'expected: %s\nactual:   %s\n' "$1" "$2"
  exit 1
}

# has TEXT PART
has() {
  [[ "$1" == *"$2"* ]] && return 0
  printf 'missing: %s\nin:      %s\n' "$2" "$1"
  exit 1
}

# use MODULE…: sources modules of lib/ as a pack's compile does.
use() {
  local module
  BUILD_DIR="${BUILD_DIR:-$T/build_0}"
  for module in "$@"; do
    # shellcheck source=/dev/null
    source "$LIB/$module.sh"
  done
}

# serve FOLDER: sets $url to a loopback server of it, which ends with the test.
serve() {
  command -v python3 >/dev/null || skip "no python3 to serve files with"
  : >"$T/server.log"
  python3 -u -m http.server --bind 127.0.0.1 --directory "$1" 0 >"$T/server.log" 2>&1 &
  server=$!
  trap 'kill "$server" 2>/dev/null || true' EXIT
  local tries
  for ((tries = 0; tries < 100; tries++)); do
    url="$(grep -os "http:[^)]*" "$T/server.log" | head -n 1 || true)"
    url="${url%/}"
    [[ -z "$url" ]] || return 0
    sleep 0.05
  done
  echo "the loopback server did not start"
  exit 1
}

# --- running them ---

run_test() {
  local name="$1" output status T
  T="$(mktemp -d)"
  # No || here: strict mode would be off in all that is called.
  output="$(
    export T
    set -euo pipefail
    "$name" 2>&1
  )"
  status=$?
  case $status in
    0) passed=$((passed + 1)) ;;
    77) skipped=$((skipped + 1)) && printf 'SKIP %s: %s\n' "$name" "${output##*$'\n'}" ;;
    *)
      failed=$((failed + 1))
      printf 'FAIL %s (folder kept: %s)\n%s\n' "$name" "$T" "$output"
      return 0
      ;;
  esac
  rm -rf "$T" "/tmp/.scratch-build_0"
}

for file in "$PACKS"/test/*_test.sh; do
  # shellcheck source=/dev/null
  source "$file"
done
for name in $(compgen -A function test_); do
  [[ "$name" == *"${1:-}"* ]] && run_test "$name"
done
echo "$passed passed, $failed failed, $skipped skipped"
[[ $failed -eq 0 ]]
