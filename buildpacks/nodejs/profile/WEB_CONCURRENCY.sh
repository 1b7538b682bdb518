# shellcheck shell=bash
# How many processes fit: an app's cluster code reads WEB_CONCURRENCY. A value of the app's own stays.

web_concurrency() {
  local limit="" file available
  for file in /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes; do
    [[ -r "$file" ]] && read -r limit <"$file" && break
  done
  available="$(awk '/^MemTotal:/ { print int($2 / 1024) }' /proc/meminfo)"
  # "max" and the huge number that means the same leave the machine's memory as the limit.
  case "$limit" in
    "" | *[!0-9]*) ;;
    *) [[ "$((limit / 1048576))" -lt "$available" ]] && available="$((limit / 1048576))" ;;
  esac
  export MEMORY_AVAILABLE="${MEMORY_AVAILABLE:-$available}"
  export WEB_MEMORY="${WEB_MEMORY:-512}"
  local fits="$((MEMORY_AVAILABLE / WEB_MEMORY))"
  [[ "$fits" -ge 1 ]] || fits=1
  export WEB_CONCURRENCY="${WEB_CONCURRENCY:-$fits}"
}
web_concurrency
unset -f web_concurrency
