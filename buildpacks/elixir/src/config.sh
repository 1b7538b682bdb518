# shellcheck shell=bash
# elixir_buildpack.config: a bash file of the app's. Its keys become the variables set here.

# config::defaults: what holds when the app says nothing. Empty versions mean the stack's own.
config::defaults() {
  erlang_version=""
  elixir_version=""
  always_rebuild=false
  runtime_path=/app
  release=false
  hook_pre_fetch_dependencies=""
  hook_pre_compile=""
  hook_compile=""
  hook_post_compile=""
  pre_compile=""
  post_compile=""
  test_args=""
  config_vars_to_export=()
}

# config::load BUILD_DIR: 1 = the app has no such file.
config::load() {
  local file="$1/elixir_buildpack.config"
  config::defaults
  [[ -f "$file" ]] || return 1
  # The file is the app's own code: written without strict mode in mind.
  set +eu
  # shellcheck source=/dev/null
  source "$file"
  set -eu
  config::normalise
}

config::normalise() {
  local request
  # Published packs also take (branch NAME), a build of a moving branch.
  request="${elixir_version[*]}"
  if [[ "$request" == branch\ * ]]; then
    elixir_version="${request#branch }"
    always_rebuild=true
  fi
  erlang_version="${erlang_version#OTP-}"
  elixir_version="${elixir_version#v}"
  if [[ -n "$pre_compile" ]]; then
    output::warning "pre_compile in elixir_buildpack.config is deprecated: call it hook_pre_compile."
    hook_pre_compile="${hook_pre_compile:-$pre_compile}"
  fi
  if [[ -n "$post_compile" ]]; then
    output::warning "post_compile in elixir_buildpack.config is deprecated: call it hook_post_compile."
    hook_post_compile="${hook_post_compile:-$post_compile}"
  fi
}
