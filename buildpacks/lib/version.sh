# shellcheck shell=bash
# Version numbers as text: no network, no state.

# version::debian_upstream 1:25.2.3+dfsg-1+deb12u4 -> 25.2.3
version::debian_upstream() {
  local version="${1#*:}"
  version="${version%-*}"
  printf '%s\n' "${version%%[+~]*}" | sed -E 's/\.(dfsg|ds)[0-9]*$//'
}

# version::matches VERSION REQUEST: equal, or REQUEST is a leading part (26 matches 26.2.1).
version::matches() { [[ "$1" == "$2" || "$1" == "$2".* ]]; }

# version::newest REQUEST: the newest line of stdin that REQUEST matches. Release candidates only
# count when they are asked for by name. Fails when nothing fits.
version::newest() {
  local request="$1" version best=""
  while read -r version; do
    if [[ "$version" == "$request" ]]; then
      best="$version"
      break
    fi
    if [[ "$version" =~ ^[0-9.]+$ ]] && version::matches "$version" "$request"; then
      best="$(printf '%s\n%s\n' "$best" "$version" | sort -V | tail -n 1)"
    fi
  done
  [[ -n "$best" ]] && printf '%s\n' "$best"
}

version::major() { printf '%s\n' "${1%%.*}"; }
