# shellcheck shell=bash

test_env_exports_all_but_the_blacklist() {
  use env
  mkdir "$T/env"
  printf 'two words' >"$T/env/PLAIN"
  printf '/evil' >"$T/env/PATH"
  printf 'x' >"$T/env/LD_PRELOAD"
  printf 'x' >"$T/env/not-a-name"
  equal PLAIN "$(env::names "$T/env")"
  local path="$PATH"
  env::export "$T/env"
  equal "two words" "$PLAIN"
  equal "$path" "$PATH"
}

test_env_keeps_newlines_at_the_end() {
  use env
  mkdir "$T/env"
  printf 'a\nb\n\n' >"$T/env/KEY"
  env::export "$T/env"
  equal $'a\nb\n\n' "$KEY"
}

test_env_exports_only_what_is_named() {
  use env
  mkdir "$T/env"
  printf 1 >"$T/env/ONE_OF_TWO"
  printf 2 >"$T/env/TWO_OF_TWO"
  env::export "$T/env" TWO_OF_TWO
  equal "unset 2" "${ONE_OF_TWO-unset} $TWO_OF_TWO"
}

test_env_config_var_wins_over_the_environment() {
  use env
  mkdir "$T/env"
  export HEX_BUILDS_URL=from-environment
  equal from-environment "$(env::get "$T/env" HEX_BUILDS_URL default)"
  printf from-config >"$T/env/HEX_BUILDS_URL"
  equal from-config "$(env::get "$T/env" HEX_BUILDS_URL default)"
}
