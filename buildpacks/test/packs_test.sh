# shellcheck shell=bash
# The scripts of the packs, as far as they go without a stack.

# run_pack PACK SCRIPT ARGUMENT…: with the environment a build starts from.
run_pack() {
  local pack="$1" script="$2"
  shift 2
  (cd "$PACKS/$pack" && env -i "PATH=$PATH" "HOME=$T" STACK=debian-12 "bin/$script" "$@" 2>&1)
}

app() {
  mkdir -p "$T/build_0" "$T/cache" "$T/env"
  local file
  for file in "$@"; do
    : >"$T/build_0/$file"
  done
}

test_detect_names() {
  app mix.exs package.json
  equal Elixir "$(run_pack elixir detect "$T/build_0")"
  equal Phoenix "$(run_pack phoenix-static detect "$T/build_0")"
  equal Node.js "$(run_pack nodejs detect "$T/build_0")"
}

test_detect_says_why_not() {
  app
  echo package.json >"$T/build_0/.slugignore"
  local message
  if message="$(run_pack nodejs detect "$T/build_0")"; then
    echo "detected an app without package.json" && exit 1
  fi
  has "$message" "No package.json"
  has "$message" ".slugignore names package.json"
}

test_release_defaults() {
  app package.json
  has "$(run_pack elixir release "$T/build_0")" "web: mix run --no-halt"
  has "$(run_pack phoenix-static release "$T/build_0")" "web: mix phx.server"
  echo '{"scripts":{"start":"node x"}}' >"$T/build_0/package.json"
  has "$(run_pack nodejs release "$T/build_0")" "web: npm start"
  echo '{}' >"$T/build_0/package.json"
  has "$(run_pack nodejs release "$T/build_0")" "default_process_types: {}"
}

test_phoenix_static_before_elixir_says_what_to_do() {
  app mix.exs
  ! command -v mix >/dev/null || skip "this machine has a mix of its own"
  local message status=0
  message="$(run_pack phoenix-static compile "$T/build_0" "$T/cache" "$T/env")" || status=$?
  equal 1 "$status"
  has "$message" "Phoenix static runs before Elixir"
  has "$message" '{ "url": "elixir" }, { "url": "phoenix-static" }'
}

test_nodejs_refuses_two_lock_files() {
  command -v jq >/dev/null || skip "no jq"
  app yarn.lock package-lock.json
  echo '{}' >"$T/build_0/package.json"
  local message
  message="$(run_pack nodejs compile "$T/build_0" "$T/cache" "$T/env" || true)"
  has "$message" "Two package managers' lock files are in the app: yarn.lock package-lock.json"
}

test_nodejs_broken_package_json() {
  command -v jq >/dev/null || skip "no jq"
  app
  echo '{"name": }' >"$T/build_0/package.json"
  local message
  message="$(run_pack nodejs compile "$T/build_0" "$T/cache" "$T/env" || true)"
  has "$message" " !     package.json is not valid JSON:"
}

test_elixir_config_keys() {
  use output
  # shellcheck source=/dev/null
  source "$PACKS/elixir/src/config.sh"
  app
  printf 'erlang_version=OTP-26.2\nelixir_version=v1.15.7\npre_compile="echo hi"\n' >"$T/build_0/elixir_buildpack.config"
  config::load "$T/build_0" 2>"$T/warnings"
  equal "26.2 1.15.7 echo hi" "$erlang_version $elixir_version $hook_pre_compile"
  has "$(<"$T/warnings")" "pre_compile in elixir_buildpack.config is deprecated"
  echo 'elixir_version=(branch main)' >"$T/build_0/elixir_buildpack.config"
  config::load "$T/build_0"
  equal "main true" "$elixir_version $always_rebuild"
}

test_cache_copy_replaces_and_survives_read_only_trees() {
  use cache
  mkdir -p "$T/from/deep" "$T/to/old"
  echo 1 >"$T/from/deep/file"
  chmod 0555 "$T/to/old"
  cache::copy "$T/from" "$T/to"
  equal "deep" "$(ls "$T/to")"
  cache::copy "$T/nothing" "$T/to"
  [[ ! -e "$T/to" ]]
}

test_web_concurrency_follows_memory() {
  local script="$PACKS/nodejs/profile/WEB_CONCURRENCY.sh"
  # shellcheck source=/dev/null
  equal 4 "$(MEMORY_AVAILABLE=2048 && source "$script" && echo "$WEB_CONCURRENCY")"
  # shellcheck source=/dev/null
  equal 1 "$(MEMORY_AVAILABLE=100 && source "$script" && echo "$WEB_CONCURRENCY")"
  # shellcheck source=/dev/null
  equal 7 "$(WEB_CONCURRENCY=7 && source "$script" && echo "$WEB_CONCURRENCY")"
}
