# shellcheck shell=bash
# Erlang/OTP and Elixir: the stack's own packages when their version is the one asked for, else the
# Hex project's prebuilt ones. Each lies in the cache as a ready tree with a marker beside it.

# Everything of OTP that works without a display or a database driver.
readonly ERLANG_PACKAGES=(
  erlang-base erlang-asn1 erlang-crypto erlang-dev erlang-diameter erlang-eldap erlang-eunit erlang-ftp
  erlang-inets erlang-mnesia erlang-os-mon erlang-parsetools erlang-public-key erlang-runtime-tools
  erlang-snmp erlang-ssh erlang-ssl erlang-syntax-tools erlang-tftp erlang-tools erlang-xmerl
)

# OTP is built for named systems; these builds need no newer libraries than the stack has.
readonly HEX_OTP_SYSTEM="ubuntu-22.04"

# runtimes::stack_version PACKAGE: the upstream version the stack's sources offer.
runtimes::stack_version() {
  local candidate
  candidate="$(apt::candidate "$1")"
  [[ -z "$candidate" ]] || version::debian_upstream "$candidate"
}

# runtimes::relocate DIR: makes OTP's start scripts find their root from where they lie, so that the
# same tree works in the build folder and in /app.
runtimes::relocate() {
  local dir="$1" script up
  for script in "$dir"/bin/{erl,start,start_erl} "$dir"/erts-*/bin/{erl,start,start_erl}; do
    [[ -f "$script" && ! -L "$script" ]] || continue
    up=".."
    [[ "$script" != "$dir"/erts-* ]] || up="../.."
    # The replacement is text for the start script, expanded when that script runs.
    # shellcheck disable=SC2016
    sed -i -E 's|^([[:space:]]*)ROOTDIR=.*|\1ROOTDIR="$(cd "$(dirname "$(readlink -f "$0")")/'"$up"'" \&\& pwd)"|' "$script"
  done
}

# runtimes::otp_folder: the folder of OTP builds for this machine's processor.
runtimes::otp_folder() {
  case "$(uname -m)" in
    aarch64) printf 'builds/otp/arm64/%s\n' "$HEX_OTP_SYSTEM" ;;
    *) printf 'builds/otp/%s\n' "$HEX_OTP_SYSTEM" ;;
  esac
}

# runtimes::no_such_version WHAT REQUEST STACK_VERSION LISTED…
runtimes::no_such_version() {
  local what="$1" request="$2" stack="$3"
  shift 3
  output::fail "There is no $what $request to be had." \
    "The stack has $what $stack (fastest: leave ${what,,}_version out, or set it to that)." \
    "Prebuilt: ${*:-none}"
}

# runtimes::prebuilt_erlang VERSION DIR ENV_DIR STACK_VERSION
runtimes::prebuilt_erlang() {
  local request="$1" dir="$2" env_dir="$3" stack="$4" base list version sum work="$SCRATCH/erlang-prebuilt"
  base="$(download::origin hex_builds "$env_dir")/$(runtimes::otp_folder)"
  download_hint="The stack itself has Erlang $stack: without erlang_version nothing else is needed."
  list="$(mktemp)"
  rm -rf "$work"
  mkdir -p "$work"
  if ! download::fetch "Looking up Erlang $request" "$base/builds.txt" "$list"; then
    output::fail "Looking up Erlang $request failed: $(download::host "$base") has no list of builds."
  fi
  local numbers
  numbers="$(sed -n 's/^OTP-\([0-9][^ ]*\).*/\1/p' "$list")"
  version="$(version::newest "$request" <<<"$numbers")" ||
    runtimes::no_such_version Erlang "$request" "$stack" \
      "$(grep -xE '[0-9.]+' <<<"$numbers" | sort -V | tail -n 12 | paste -sd ' ' || true)"
  sum="$(awk -v name="OTP-$version" '$1 == name && $4 ~ /^[0-9a-f]{64}$/ { print $4 }' "$list")"
  rm -f "$list"
  if ! download::fetch "Fetching Erlang $version" "$base/OTP-$version.tar.gz" "$work/otp.tar.gz"; then
    output::fail "Fetching Erlang $version failed: $(download::host "$base") lists it and does not have it."
  fi
  download::check "$work/otp.tar.gz" "$sum"
  mkdir -p "$work/otp"
  tar -xzf "$work/otp.tar.gz" -C "$work/otp" --strip-components=1
  (cd "$work/otp" && ./Install -minimal "$work/otp" >/dev/null)
  mkdir -p "${dir%/*}"
  mv "$work/otp" "$dir"
  rm -rf "$work"
  resolved_version="$version"
}

# runtimes::prebuilt_elixir VERSION OTP_MAJOR DIR ENV_DIR STACK_VERSION
runtimes::prebuilt_elixir() {
  local request="$1" otp="$2" dir="$3" env_dir="$4" stack="$5" base list version name sum
  local archive="$SCRATCH/elixir.zip" numbers
  base="$(download::origin hex_builds "$env_dir")/builds/elixir"
  download_hint="The stack itself has Elixir $stack, for its own Erlang."
  list="$(mktemp)"
  if ! download::fetch "Looking up Elixir $request" "$base/builds.txt" "$list"; then
    output::fail "Looking up Elixir $request failed: $(download::host "$base") has no list of builds."
  fi
  numbers="$(sed -n "s/^v\{0,1\}\([^ ]*\)-otp-$otp .*/\1/p" "$list")"
  version="$(version::newest "$request" <<<"$numbers")" ||
    runtimes::no_such_version Elixir "$request" "$stack" \
      "for OTP $otp: $(grep -xE '[0-9.]+' <<<"$numbers" | sort -V | tail -n 12 | paste -sd ' ' || true)"
  # Releases are called v1.15.7, branches by their own name.
  name="$version-otp-$otp"
  [[ ! "$version" =~ ^[0-9] ]] || name="v$name"
  sum="$(awk -v name="$name" '$1 == name && $4 ~ /^[0-9a-f]{64}$/ { print $4 }' "$list")"
  rm -f "$list"
  if ! download::fetch "Fetching Elixir $version" "$base/$name.zip" "$archive"; then
    output::fail "Fetching Elixir $version failed: $(download::host "$base") lists it and does not have it."
  fi
  download::check "$archive" "$sum"
  mkdir -p "$dir"
  unzip -q "$archive" -d "$dir"
  chmod +x "$dir"/bin/*
  rm -f "$archive"
  resolved_version="$version"
}

# runtimes::installed DIR REQUEST: prints the version of a cached tree that answers the request.
runtimes::installed() {
  local dir="$1" request="$2" marker version
  [[ -d "$dir" && -f "$dir.version" ]] || return 1
  marker="$(<"$dir.version")"
  version="${marker%% *}"
  if [[ "$request" == "${marker#* }" || "$request" == "$version" ]]; then
    printf '%s\n' "$version"
    return 0
  fi
  return 1
}

# runtimes::keep DIR VERSION REQUEST: marks a tree as complete.
runtimes::keep() { printf '%s %s\n' "$2" "$3" >"$1.version"; }

# runtimes::erlang REQUEST CACHE_TREE ENV_DIR: sets resolved_version.
runtimes::erlang() {
  local request="$1" dir="$2" env_dir="$3" stack unpacked="$SCRATCH/erlang-debian"
  if resolved_version="$(runtimes::installed "$dir" "${request:-stack}")"; then
    return 0
  fi
  cache::remove "$dir" "$dir.version"
  apt::update "Looking up Erlang ${request:-of the stack}"
  stack="$(runtimes::stack_version erlang-base)"
  output::step "Fetching Erlang ${request:-$stack}"
  if [[ -z "$request" || "$request" == "$stack" ]]; then
    cache::remove "$unpacked"
    apt::unpack "Fetching Erlang $stack" "$unpacked" "${ERLANG_PACKAGES[@]}"
    mkdir -p "${dir%/*}"
    mv "$unpacked/usr/lib/erlang" "$dir"
    cache::remove "$unpacked"
    resolved_version="$stack"
  else
    runtimes::prebuilt_erlang "$request" "$dir" "$env_dir" "$stack"
  fi
  runtimes::relocate "$dir"
  runtimes::keep "$dir" "$resolved_version" "${request:-stack}"
}

# runtimes::elixir REQUEST CACHE_TREE ENV_DIR ERLANG_VERSION: sets resolved_version. The stack's Elixir
# is only right on the stack's Erlang.
runtimes::elixir() {
  local request="$1" dir="$2" env_dir="$3" erlang="$4" stack stack_erlang otp unpacked="$SCRATCH/elixir-debian"
  otp="$(version::major "$erlang")"
  if resolved_version="$(runtimes::installed "$dir" "${request:-stack}-otp-$otp")"; then
    return 0
  fi
  cache::remove "$dir" "$dir.version"
  apt::update "Looking up Elixir ${request:-of the stack}"
  stack="$(runtimes::stack_version elixir)"
  stack_erlang="$(runtimes::stack_version erlang-base)"
  output::step "Fetching Elixir ${request:-$stack}"
  if [[ "${request:-$stack}" == "$stack" && "$erlang" == "$stack_erlang" ]]; then
    cache::remove "$unpacked"
    # Its Erlang is there already, in the app: nothing but the package itself is wanted.
    apt::pretend "${ERLANG_PACKAGES[@]}"
    apt::unpack "Fetching Elixir $stack" "$unpacked" elixir
    mkdir -p "${dir%/*}"
    mv "$unpacked/usr/lib/elixir" "$dir"
    cache::remove "$unpacked"
    resolved_version="$stack"
  else
    runtimes::prebuilt_elixir "${request:-$stack}" "$otp" "$dir" "$env_dir" "$stack"
  fi
  runtimes::keep "$dir" "$resolved_version" "${request:-stack}-otp-$otp"
}
