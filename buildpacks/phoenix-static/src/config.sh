# shellcheck shell=bash
# phoenix_static_buildpack.config: a bash file of the app's. Its keys become the variables set here.

config::load() {
  local file="$1/phoenix_static_buildpack.config"
  clean_cache=false
  compile=compile
  node_version=""
  npm_version=""
  yarn_version=""
  phoenix_relative_path=.
  phoenix_ex=phx
  remove_node=false
  assets_path=""
  if [[ -f "$file" ]]; then
    # The file is the app's own code: written without strict mode in mind.
    set +eu
    # shellcheck source=/dev/null
    source "$file"
    set -eu
  fi
}

# config::folders BUILD_DIR: sets phoenix_dir and assets_dir.
config::folders() {
  phoenix_dir="$(cd "$1/$phoenix_relative_path" && pwd)" ||
    output::fail "phoenix_relative_path names no folder of the app: $phoenix_relative_path"
  if [[ -z "$assets_path" ]]; then
    assets_path=.
    [[ -f "$phoenix_dir/package.json" || ! -d "$phoenix_dir/assets" ]] || assets_path=assets
  fi
  assets_dir="$(cd "$phoenix_dir/$assets_path" && pwd)" ||
    output::fail "assets_path names no folder of the app: $assets_path"
}
