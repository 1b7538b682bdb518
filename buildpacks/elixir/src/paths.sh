# shellcheck shell=bash
# Where tools find Erlang, Elixir, Mix and Hex: during this build, in later packs, and at run time.

# paths::activate BUILD_DIR: for the rest of this script.
paths::activate() {
  export PATH="$1/.platform_tools/elixir/bin:$1/.platform_tools/erlang/bin:$1/.platform_tools:$PATH"
  export MIX_HOME="${MIX_HOME:-$1/.mix}" HEX_HOME="${HEX_HOME:-$1/.hex}" LC_CTYPE="${LC_CTYPE:-C.UTF-8}"
}

# paths::_assign NAME VALUE: a line that sets NAME, unless the app's config has it already.
paths::_assign() {
  env::has "$ENV_DIR" "$1" || printf 'export %s="%s"\n' "$1" "$2"
}

# paths::_lines ROOT MIX_ENV
paths::_lines() {
  # PATH is text here: it is read when the file is sourced.
  # shellcheck disable=SC2016
  printf 'export PATH="%s/.platform_tools/elixir/bin:%s/.platform_tools/erlang/bin:%s/.platform_tools:$PATH"\n' \
    "$1" "$1" "$1"
  paths::_assign LC_CTYPE C.UTF-8
  paths::_assign MIX_ENV "$2"
  paths::_assign MIX_HOME "$1/.mix"
  paths::_assign HEX_HOME "$1/.hex"
}

paths::write_profile() {
  mkdir -p "$1/.profile.d"
  paths::_lines "$2" "$MIX_ENV" >"$1/.profile.d/elixir_buildpack_paths.sh"
}

paths::write_export() { paths::_lines "$1" "$MIX_ENV" >"$2"; }
