# shellcheck shell=bash
# Small buildpacks and quick builds for the scripts that check the buildpack contract. Sourced after
# lib.sh; tests/e2e scripts only.

# A folder for packs beside the app's, made on first use.
# test_state is lib.sh's.
# shellcheck disable=SC2154
packs_folder() { printf '%s/packs' "$test_state"; }

# pack NAME [DETECTED] <COMPILE: a pack whose detect says DETECTED (default: NAME) and whose bin/compile
# is the text on stdin below a strict head, with $build, $cache and $env set. Sets $pack to its folder.
pack() {
  pack=$(packs_folder)/$1
  mkdir -p "$pack/bin"
  detect_script "$pack" "echo '${2-$1}'"
  {
    # shellcheck disable=SC2016 # the pack expands them
    printf '#!/bin/bash\nset -e\nbuild=$1 cache=$2 env=$3\n'
    cat
  } >"$pack/bin/compile"
  chmod 755 "$pack/bin/compile"
}

# detect_script PACK BODY, release_script PACK BODY
detect_script() { write_script "$1/bin/detect" "$2"; }
release_script() { write_script "$1/bin/release" "$2"; }

write_script() {
  printf '#!/bin/bash\n%s\n' "$2" >"$1"
  chmod 755 "$1"
}

# build ARGUMENT…: the app in the current folder, on this machine's own root, transcript on stderr.
build() { slipway build . --stack host --network none --progress heroku "$@"; }

# built_with PACK… [-- ARGUMENT…]: a build that must succeed; its transcript is the file $err.
built_with() {
  local packs=()
  while [[ $# -gt 0 && $1 != -- ]]; do
    packs+=(-b "$1")
    shift
  done
  if [[ $# -gt 0 ]]; then shift; fi
  expect_exit 0 build "${packs[@]}" "$@"
}

# line_after FILE TEXT: the line that follows the one that is TEXT.
line_after() { grep -a -A 1 -x -F -e "$2" "$1" | tail -n 1; }

# json FILE EXPRESSION: what jq makes of it, raw.
json() { jq -r "$2" "$1"; }

# stands_before FILE FIRST SECOND: both texts stand in the file, in that order.
stands_before() {
  contains "$1" "$2"
  contains "$1" "$3"
  local whole
  whole=$(cat "$1")
  if [[ ${whole%%"$2"*} == *"$3"* ]]; then fail "'$3' stands before '$2' in $1"; fi
}

# debian_store: lets the test use a store that has stack debian-12: build/test-store, or the folder
# $SLIPWAY_TEST_STORE. Making the stack takes a minute and copying it is as slow, so the scripts share
# it, each with an app of its own: the test names its app $app, whose cache is emptied at its end.
# Proxies of the machine reach the clients, as they do outside of tests.
debian_store() { # NAME
  local setting
  for setting in "${machine_proxies[@]}"; do export "${setting?}"; done
  export SLIPWAY_HOME=${SLIPWAY_TEST_STORE:-$house/build/test-store}
  app=$1-$$
  mkdir -p "$SLIPWAY_HOME" 2>/dev/null || skip "$SLIPWAY_HOME cannot be written to"
  (
    flock 9
    if slipway stack ls --json | jq -e '.[] | select(.name == "debian-12" and .made == "yes")' >/dev/null; then
      exit 0
    fi
    slipway stack create debian-12
  ) 9>"$SLIPWAY_HOME.lock" >&2 || fail "stack debian-12 could not be made"
  trap 'slipway cache purge "$app" >/dev/null 2>&1 || true; stop_background' EXIT
}

# What lib.sh keeps from tests; unexported, so that only debian_store hands it on.
machine_proxies=()
for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
  if [[ -n ${!name-} ]]; then machine_proxies+=("$name=${!name}"); fi
done
