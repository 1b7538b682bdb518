# shellcheck shell=bash
# Config vars: one file per variable in ENV_DIR.

# Never taken from the app's config: they would change how the build's own tools behave.
readonly ENV_BLACKLIST='^(PATH|GIT_DIR|CPATH|CPPATH|LD_PRELOAD|LIBRARY_PATH|LD_LIBRARY_PATH|IFS|HOME|BUILD_DIR|CACHE_DIR|ENV_DIR|STACK|BASH_ENV|ENV|SHELLOPTS|BASHOPTS|PS4)$'

# env::names ENV_DIR: the exportable variables, one a line.
env::names() {
  local file name
  [[ -d "$1" ]] || return 0
  for file in "$1"/*; do
    [[ -f "$file" ]] || continue
    name="${file##*/}"
    [[ "$name" =~ ^[A-Za-z_][A-Za-z0-9_]*$ && ! "$name" =~ $ENV_BLACKLIST ]] || continue
    printf '%s\n' "$name"
  done
}

# env::has ENV_DIR NAME
env::has() { [[ -f "$1/$2" ]]; }

# env::get ENV_DIR NAME [DEFAULT]: a config var, else the environment's value, else DEFAULT.
env::get() {
  if env::has "$1" "$2"; then
    cat "$1/$2"
  else
    printf '%s' "${!2:-${3:-}}"
  fi
}

# env::export ENV_DIR [NAME…]: exports the config vars named, or all of them.
env::export() {
  local dir="$1" name names value
  shift
  names="$(env::names "$dir")"
  for name in $names; do
    if [[ $# -gt 0 && " $* " != *" $name "* ]]; then
      continue
    fi
    # The x keeps newlines at the end of a value, which $( ) would drop.
    value="$(cat "$dir/$name" && printf x)"
    export "$name=${value%x}"
  done
}
