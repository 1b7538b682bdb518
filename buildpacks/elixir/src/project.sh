# shellcheck shell=bash
# The steps that work on the app itself. They run in BUILD_DIR with Erlang and Elixir on the PATH.

# Config vars for the build: all of them, or those that config_vars_to_export names.
project::export_config() {
  if [[ ${#config_vars_to_export[@]} -gt 0 ]]; then
    env::export "$ENV_DIR" "${config_vars_to_export[@]}" MIX_ENV MIX_HOME HEX_HOME LC_CTYPE
  else
    env::export "$ENV_DIR"
  fi
  export MIX_ENV="${MIX_ENV:-prod}"
}

project::print_config() {
  local names
  if [[ ${#config_vars_to_export[@]} -gt 0 ]]; then
    names="${config_vars_to_export[*]}"
  else
    names="$(env::names "$ENV_DIR" | paste -sd ' ')"
  fi
  output::detail "Will export the following config vars:"
  [[ -z "$names" ]] || output::detail "* Config vars $names"
  output::detail "* MIX_ENV=$MIX_ENV"
}

# Drops what an earlier build kept, when it belongs to another stack or the app asks for it.
project::check_cache() {
  if [[ -f "$CACHE_DIR/stack" ]] && ! cache::is "$CACHE_DIR/stack" "${STACK:-}"; then
    output::step "Stack changed, will rebuild"
    cache::remove "$CACHE_DIR"
  elif [[ "$always_rebuild" == true ]]; then
    output::step "Cleaning all cache to force rebuilds"
    cache::remove "$CACHE_DIR"
  fi
  cache::mark "$CACHE_DIR/stack" "${STACK:-}"
}

# project::install_runtimes ERLANG_VERSION ELIXIR_VERSION
project::install_runtimes() {
  local tools="$BUILD_DIR/.platform_tools"
  output::step "Installing Erlang $1"
  cache::copy "$CACHE_DIR/erlang" "$tools/erlang"
  output::step "Installing Elixir $2"
  cache::copy "$CACHE_DIR/elixir" "$tools/elixir"
}

# Compiled code of another Erlang, Elixir or environment is worth nothing; sources of dependencies are.
project::restore() {
  local versions="erlang $1 elixir $2 $MIX_ENV"
  if ! cache::is "$CACHE_DIR/versions" "$versions"; then
    cache::remove "$CACHE_DIR/_build" "$CACHE_DIR/mix"
    cache::mark "$CACHE_DIR/versions" "$versions"
  fi
  [[ -d deps ]] || cache::copy "$CACHE_DIR/deps" "$BUILD_DIR/deps"
  # An app that commits its own build output gets a fresh one.
  rm -rf _build
  cache::copy "$CACHE_DIR/_build" "$BUILD_DIR/_build"
  cache::copy "$CACHE_DIR/mix" "$MIX_HOME"
  cache::copy "$CACHE_DIR/hex" "$HEX_HOME"
}

# Hex and rebar are only fetched when some dependency needs them, and only when the cache lacks them.
project::install_tools() {
  project::_needs_tools || return 0
  if ! compgen -G "$MIX_HOME/archives/hex-*" >/dev/null; then
    output::step "Installing Hex"
    output::run mix local.hex --force ||
      output::fail "Installing Hex failed (mix local.hex): its servers do not deliver, see above."
  fi
  if ! compgen -G "$MIX_HOME/rebar3" >/dev/null && ! compgen -G "$MIX_HOME/elixir/*/rebar3" >/dev/null; then
    output::step "Installing rebar"
    output::run mix local.rebar --force ||
      output::fail "Installing rebar failed (mix local.rebar): its servers do not deliver, see above."
  fi
}

project::_needs_tools() {
  [[ ! -s mix.lock ]] || ! grep -qE '\{:(hex|git),' mix.lock || return 0
  local answer
  answer="$(elixir "$PACK_DIR/src/needs_tools.exs" </dev/null)" || output::fail "mix.exs cannot be read, see above."
  [[ "${answer##*$'\n'}" == yes ]]
}

# project::_hook NAME COMMAND
project::_hook() {
  [[ -n "$2" ]] || return 0
  output::step "Executing $1: $2"
  output::run bash -c "$2" || output::fail "$1 failed: $2"
}

project::fetch_dependencies() {
  project::_hook hook_pre_fetch_dependencies "$hook_pre_fetch_dependencies"
  output::step "Fetching app dependencies with mix"
  output::run mix deps.get --only "$MIX_ENV" || output::fail "Fetching the app's dependencies failed (mix deps.get)."
}

# The app itself is always compiled anew: a checkout's times say nothing about what has changed.
project::compile() {
  project::_hook hook_pre_compile "$hook_pre_compile"
  output::step "Compiling"
  if [[ -n "$hook_compile" ]]; then
    project::_hook hook_compile "$hook_compile"
  else
    output::run mix "do" deps.compile, compile --force || output::fail "Compiling the app failed, see above."
  fi
  project::_hook hook_post_compile "$hook_post_compile"
}

# Keeps what the next build can use.
project::save() {
  elixir "$PACK_DIR/src/settle.exs" </dev/null ||
    output::warning "What Mix noted about this compilation could not be put in order: two builds may differ there."
  cache::copy "$BUILD_DIR/deps" "$CACHE_DIR/deps"
  cache::copy "$BUILD_DIR/_build" "$CACHE_DIR/_build"
  cache::copy "$MIX_HOME" "$CACHE_DIR/mix"
  cache::copy "$HEX_HOME" "$CACHE_DIR/hex"
}

project::release() {
  [[ "$release" == true ]] || return 0
  output::step "Building release"
  output::run mix release --overwrite || output::fail "Building the release failed (mix release)."
}
