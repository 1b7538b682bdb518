# shellcheck shell=bash
# Building and digesting the assets.

# Asks mix once which tasks and aliases there are: starting it takes half a second.
assets::learn_tasks() {
  local names
  names="$(cd "$phoenix_dir" && mix help --names </dev/null 2>/dev/null)" ||
    output::fail "mix cannot load the app in ${phoenix_dir}: run 'mix help' there to see why."
  tasks=$'\n'"$names"$'\n'
}

assets::has_task() { [[ "$tasks" == *$'\n'"$1"$'\n'* ]]; }

# Digested files of earlier builds stay, so that pages in browsers' caches still find their assets; the
# app's digest.clean task decides for how long.
assets::restore_static() {
  assets::has_task "$phoenix_ex.digest.clean" || return 0
  [[ -d "$CACHE_DIR/static" ]] || return 0
  output::detail "Restoring static files of earlier builds"
  mkdir -p "$phoenix_dir/priv/static"
  rsync -a --ignore-existing "$CACHE_DIR/static/" "$phoenix_dir/priv/static"
}

assets::save_static() {
  assets::has_task "$phoenix_ex.digest.clean" || return 0
  [[ ! -d "$phoenix_dir/priv/static" ]] || cache::copy "$phoenix_dir/priv/static" "$CACHE_DIR/static"
}

# assets::build: the app's own script, else mix assets.deploy, else npm's deploy script and the digest.
assets::build() {
  local custom="$build_dir/$compile"
  output::step "Building Phoenix static assets"
  if [[ -f "$custom" ]]; then
    output::detail "Running the app's own $compile"
    assets::_source "$custom"
  elif assets::has_task assets.deploy; then
    assets::_mix assets.deploy
  else
    assets::_deploy_script
    if assets::has_task "$phoenix_ex.digest"; then
      assets::_mix "$phoenix_ex.digest"
    else
      output::warning "The app has no mix $phoenix_ex.digest: its assets keep their plain names."
    fi
  fi
  if assets::has_task "$phoenix_ex.digest.clean" && [[ ! -f "$custom" ]]; then
    assets::_mix "$phoenix_ex.digest.clean"
  fi
}

# The file is the app's own code: it sees phoenix_dir, assets_dir, build_dir and cache_dir, starts in
# the assets' folder, and runs without strict mode. Its last command decides, as it does in a script.
assets::_source() {
  # shellcheck source=/dev/null
  (
    cd "$assets_dir" || exit 1
    set +eu
    source "$1"
  ) 2>&1 </dev/null | sed -u 's/^/       /' || output::fail "The app's own $compile failed, see above."
}

assets::_mix() {
  output::detail "mix $1"
  (cd "$phoenix_dir" && output::run mix "$1") || output::fail "mix $1 failed, see above."
}

assets::_deploy_script() {
  [[ -f "$assets_dir/package.json" ]] || return 0
  if [[ -z "$(packages::script "$assets_dir" deploy)" ]]; then
    output::warning "$assets_path/package.json has no deploy script: nothing is built."
    return 0
  fi
  local manager
  manager="$(packages::manager "$assets_dir")"
  output::detail "$manager run deploy"
  (cd "$assets_dir" && output::run "$manager" run deploy) || output::fail "$manager run deploy failed, see above."
}
