# shellcheck shell=bash
# Folders that are kept between builds.

# cache::copy FROM TO: replaces TO by a copy of FROM; no FROM, no TO. The copy shares blocks where the
# filesystem can, and stands complete or not at all.
cache::copy() {
  local from="$1" to="$2"
  cache::remove "$to"
  [[ -e "$from" ]] || return 0
  mkdir -p "${to%/*}"
  cp -a --reflink=auto "$from" "$to.partial"
  mv "$to.partial" "$to"
}

# cache::remove PATH…: also trees with read-only folders.
cache::remove() {
  local path
  for path in "$@"; do
    [[ -e "$path" || -L "$path" || -e "$path.partial" ]] || continue
    rm -rf "$path" "$path.partial" 2>/dev/null || {
      chmod -R u+rwX "$path" "$path.partial" 2>/dev/null || true
      rm -rf "$path" "$path.partial"
    }
  done
}

# cache::is FILE TEXT: whether a marker file holds exactly TEXT.
cache::is() { [[ -f "$1" && "$(<"$1")" == "$2" ]]; }

# cache::mark FILE TEXT
cache::mark() {
  mkdir -p "${1%/*}"
  printf '%s\n' "$2" >"$1"
}
