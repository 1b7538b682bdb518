# shellcheck shell=bash
# Debian packages of the stack's own sources, unpacked without root. Needs output.sh and scratch.sh.
# State lives in the scratch folder of this build: later packs find the lists there. What is kept for
# the next build is the unpacked result.

readonly APT_STATE="$SCRATCH/apt"

# Where the build runs as root of a single-id namespace, apt could not change to its own user.
apt::_options() {
  printf '%s\n' -q -o "Dir::State=$APT_STATE/state" -o "Dir::Cache=$APT_STATE/cache" \
    -o "Dir::State::status=$APT_STATE/status" -o Debug::NoLocking=true -o APT::Sandbox::User=root -o Acquire::Languages=none \
    -o Acquire::Retries=3 -o Acquire::http::Timeout=30 -o APT::Install-Recommends=false
}

# apt::update STEP: fetches the package lists once per build.
apt::update() {
  local log="$APT_STATE/update.log"
  # An hour bounds what an earlier build may have left, where /tmp outlives builds.
  [[ -z "$(find "$APT_STATE/updated" -mmin -60 2>/dev/null)" ]] || return 0
  mkdir -p "$APT_STATE/state/lists/partial" "$APT_STATE/cache/archives/partial"
  cp /var/lib/dpkg/status "$APT_STATE/status"
  local -a options
  mapfile -t options < <(apt::_options)
  # apt-get update ends with 0 when servers are unreachable, unless it is told that any error counts.
  if ! apt-get "${options[@]}" -o APT::Update::Error-Mode=any update >"$log" 2>&1; then
    output::fail "$1 failed: the stack's Debian mirror does not deliver the package lists." \
      "$(grep -m 1 '^E:' "$log" || tail -n 1 "$log")"
  fi
  : >"$APT_STATE/updated"
}

# apt::candidate PACKAGE: the version the stack's sources offer, empty when there is none.
apt::candidate() {
  local -a options
  mapfile -t options < <(apt::_options)
  apt-cache "${options[@]}" policy "$1" | sed -n 's/^  Candidate: //p' | grep -v '^(none)$' || true
}

# apt::pretend PACKAGE…: later installs take these for installed and leave them out.
apt::pretend() {
  local package
  for package in "$@"; do
    printf '\nPackage: %s\nStatus: install ok installed\nArchitecture: all\nMulti-Arch: foreign\nMaintainer: none\nVersion: 9999:1\nDescription: left out\n' \
      "$package" >>"$APT_STATE/status"
  done
}

# apt::unpack STEP ROOT PACKAGE…: these packages and whatever they need that the stack lacks.
apt::unpack() {
  local step="$1" root="$2" log="$APT_STATE/download.log" archive
  shift 2
  local -a options
  mapfile -t options < <(apt::_options)
  rm -f "$APT_STATE"/cache/archives/*.deb
  if ! apt-get "${options[@]}" --yes --download-only install "$@" >"$log" 2>&1; then
    output::fail "$step failed: the stack's Debian mirror does not deliver the packages." \
      "$(grep -m 1 '^E:' "$log" || tail -n 1 "$log")"
  fi
  mkdir -p "$root"
  for archive in "$APT_STATE"/cache/archives/*.deb; do
    dpkg -x "$archive" "$root"
  done
  rm -f "$APT_STATE"/cache/archives/*.deb
}
