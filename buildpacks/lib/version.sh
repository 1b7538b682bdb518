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

# version::number MAJOR MINOR PATCH: one integer that sorts like the version.
version::number() { printf '%d\n' "$((10#$1 * 10000000000 + 10#$2 * 100000 + 10#$3))"; }

# version::_bounds COMPARATOR: the half-open interval [low, high) of one npm comparator, such as ^1.2,
# ~1.2.3, >=1, 1.x or 1.2.3.
version::_bounds() {
  local text="$1" operator="" low next
  local -a part
  operator="${text%%[!<>=^~]*}"
  text="${text#"$operator"}"
  text="${text#v}"
  text="${text%%[-+]*}"
  IFS=. read -r -a part <<<"${text//[xX*]/}"
  local major="${part[0]:-}" minor="${part[1]:-}" patch="${part[2]:-}"
  if [[ -z "$major" ]]; then
    printf '0 %d\n' "$VERSION_MAX"
    return 0
  fi
  [[ "$major$minor$patch" =~ ^[0-9]+$ ]] || return 1
  low="$(version::number "$major" "${minor:-0}" "${patch:-0}")"
  # The first version after everything that was written: 1 -> 2.0.0, 1.2 -> 1.3.0, 1.2.3 -> 1.2.4.
  if [[ -z "$minor" ]]; then
    next="$(version::number $((major + 1)) 0 0)"
  elif [[ -z "$patch" ]]; then
    next="$(version::number "$major" $((minor + 1)) 0)"
  else
    next=$((low + 1))
  fi
  case "$operator" in
    '^')
      if [[ "$major" -gt 0 || -z "$minor" ]]; then
        next="$(version::number $((major + 1)) 0 0)"
      elif [[ "$minor" -gt 0 || -z "$patch" ]]; then
        next="$(version::number 0 $((minor + 1)) 0)"
      fi
      ;;
    '~') [[ -z "$minor" ]] || next="$(version::number "$major" $((minor + 1)) 0)" ;;
    '>=') next="$VERSION_MAX" ;;
    '>') low="$next" next="$VERSION_MAX" ;;
    '<') next="$low" low=0 ;;
    '<=') low=0 ;;
    *) ;;
  esac
  printf '%s %s\n' "$low" "$next"
}

readonly VERSION_MAX=1000000000000000000

# version::_intervals RANGE: one "low high" line for each || alternative of an npm range.
version::_intervals() {
  local alternative comparator low high bounds
  local -a comparators
  while read -r alternative; do
    # "1.2 - 2.3" means >=1.2 <=2.3; an operator may stand apart from its version.
    alternative="$(sed -E 's/([^ ]+) +- +([^ ]+)/>=\1 <=\2/g; s/([<>=^~]) +/\1/g' <<<"$alternative")"
    low=0
    high="$VERSION_MAX"
    read -r -a comparators <<<"${alternative:-*}"
    for comparator in "${comparators[@]}"; do
      bounds="$(version::_bounds "$comparator")" || return 1
      [[ "${bounds% *}" -le "$low" ]] || low="${bounds% *}"
      [[ "${bounds#* }" -ge "$high" ]] || high="${bounds#* }"
    done
    printf '%s %s\n' "$low" "$high"
  done <<<"${1//||/$'\n'}"
}

# version::newest_in RANGE: the newest line of stdin that an npm range admits. 1 = none; 2 = not a range.
# Pre-releases count only when named exactly.
version::newest_in() {
  local intervals version low high number best="" best_number=-1
  intervals="$(version::_intervals "$1")" || return 2
  while read -r version; do
    if [[ "$version" == "${1#v}" ]]; then
      best="$version"
      break
    fi
    [[ "$version" =~ ^([0-9]+)\.([0-9]+)\.([0-9]+)$ ]] || continue
    number=$((BASH_REMATCH[1] * 10000000000 + BASH_REMATCH[2] * 100000 + BASH_REMATCH[3]))
    [[ "$number" -gt "$best_number" ]] || continue
    while read -r low high; do
      if [[ "$number" -ge "$low" && "$number" -lt "$high" ]]; then
        best="$version" best_number="$number"
      fi
    done <<<"$intervals"
  done
  [[ -n "$best" ]] && printf '%s\n' "$best"
}
