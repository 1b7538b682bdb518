#!/usr/bin/env bash
# Times making a slug against `tar | pigz -6` on the same tree, in the same run:
#   cold       empty store; hashing the tree is included
#   changed    one small file changed
#   unchanged  nothing changed
# The tree is a mix of text and binaries copied from /usr, on a tmpfs, so that no disk is measured.
#
#   tests/bench/slug_bench.sh [--driver PROGRAM] [--megabytes N] [--rounds N] [--check]
#
# Prints a Markdown table. With --check it fails when a target is missed: cold 2 times as fast and
# not larger, changed 10 times as fast, peak memory under 150 MB.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
driver=$here/../../build/dev/tests/bench/slug_driver
megabytes=300
rounds=3
check=false
while (($# > 0)); do
  case $1 in
    --driver) driver=$2; shift 2 ;;
    --megabytes) megabytes=$2; shift 2 ;;
    --rounds) rounds=$2; shift 2 ;;
    --check) check=true; shift ;;
    *) echo "usage: slug_bench.sh [--driver PROGRAM] [--megabytes N] [--rounds N] [--check]" >&2
       exit 2 ;;
  esac
done
for program in pigz jq tar; do
  command -v "$program" >/dev/null || { echo "slug_bench: $program is not installed" >&2; exit 6; }
done
[[ -x $driver ]] || { echo "slug_bench: $driver is missing, build slug_driver first" >&2; exit 6; }

base=${TMPDIR:-/tmp}
[[ -d /dev/shm && -w /dev/shm ]] && base=/dev/shm
work=$(mktemp -d "$base/slug-bench.XXXXXX")
trap 'rm -rf "$work"' EXIT

# At most a fifth of the tree from one folder, no file beyond 20 MB: nothing dominates.
make_tree() {
  local limit=$((megabytes * 1000 * 1000)) share folder size path
  local total=0 part
  share=$((limit / 5))
  mkdir "$work/tree"
  for folder in /usr/lib/python3 /usr/share/doc /usr/lib/node_modules /usr/bin /usr/share/perl \
      /usr/include /usr/lib/x86_64-linux-gnu /usr/lib/aarch64-linux-gnu /usr/lib /usr/share; do
    [[ -d $folder ]] || continue
    part=0
    while IFS=$'\t' read -r -d '' size path; do
      ((part + size <= share && total + size <= limit)) || continue
      part=$((part + size)) total=$((total + size))
      printf '%s\0' "$path"
    done < <(find "$folder" -xdev -type f -size -20M -readable -printf '%s\t%p\0' | LC_ALL=C sort -z -k2)
  done | tar -C / --null --files-from=- -c 2>/dev/null | tar -C "$work/tree" -x
}

# timed COMMAND…: runs it and leaves its wall and processor time in $wall and $cpu (seconds), its
# output in $work/out
timed() {
  local TIMEFORMAT='%R %U %S' user system
  { time "$@" > "$work/out"; } 2> "$work/time"
  read -r wall user system < <(tail -n 1 "$work/time")
  cpu=$(jq -n "$user + $system")
}
peer() { tar -C "$work/tree" -c . | pigz -6 > "$work/peer.tgz"; }
ours() { "$driver" "$work/store" "$work/tree" "$work/ours.tgz"; }
smaller() { jq -n "[$1, $2] | min"; }

make_tree
declare -A best_wall=() best_cpu=()
# keep NAME: the best of the rounds
keep() {
  best_wall[$1]=$(smaller "${best_wall[$1]:-1e9}" "$wall")
  best_cpu[$1]=$(smaller "${best_cpu[$1]:-1e9}" "$cpu")
}
rss=0
for ((round = 1; round <= rounds; ++round)); do
  timed peer
  keep peer
  rm -rf "$work/store"
  timed ours
  keep cold
  cp "$work/out" "$work/cold.json"
  peer_bytes=$(stat -c %s "$work/peer.tgz") our_bytes=$(stat -c %s "$work/ours.tgz")
  timed ours
  keep same
  changed=$(find "$work/tree" -type f -size -16k | LC_ALL=C sort | sed -n '1000p')
  echo "round $round" >> "$changed"
  timed ours
  keep changed
  cp "$work/out" "$work/changed.json"
  rss=$(jq -s "[$rss, .[].peak_rss_kib] | max" "$work/cold.json" "$work/changed.json")
  # What was put together from old and new chunks is a whole slug.
  [[ $(sha256sum < "$work/ours.tgz") == "$(jq -r .sha256 "$work/changed.json")  -" ]]
  gzip -t "$work/ours.tgz"
done

row() {  # row TITLE NAME SIZE TARGET
  jq -nr --arg title "$1" --arg size "$3" --arg target "$4" \
    --argjson wall "${best_wall[$2]}" --argjson cpu "${best_cpu[$2]}" \
    --argjson peer_wall "${best_wall[peer]}" --argjson peer_cpu "${best_cpu[peer]}" '
    def times: . * 10 | round / 10 | tostring + " x";
    "| \($title) | \($wall * 1000 | round) ms | \($peer_wall / $wall | times) |" +
    " \($cpu * 1000 | round) ms | \($peer_cpu / $cpu | times) | \($size) | \($target) |"'
}
megabytes_of() { jq -n "$1 / 100000 | round / 10" | sed 's/$/ MB/'; }

jq -r '"tree: \(.files) entries, \(.raw_bytes / 1000000 | round) MB; best of the rounds\n"' \
  "$work/cold.json"
echo '| | wall | against tar \| pigz -6 | processor | against | size | target |'
echo '|---|---|---|---|---|---|---|'
row 'tar \| pigz -6' peer "$(megabytes_of "$peer_bytes")" ''
row 'cold, hashing included' cold "$(megabytes_of "$our_bytes")" '2 x, not larger'
row 'one small file changed' changed '' '10 x'
row 'unchanged' same '' ''
echo
jq -r --argjson rss "$rss" '
  "cold: hash \(.scan_ms | round) ms, compress \(.compress_ms | round) ms, " +
  "write \(.write_ms | round) ms; peak memory \($rss / 1024 | round) MiB (target: under 150 MB)"' \
  "$work/cold.json"

if $check; then
  jq -en "${best_wall[peer]} / ${best_wall[cold]} >= 2 and $our_bytes <= $peer_bytes and
          ${best_wall[peer]} / ${best_wall[changed]} >= 10 and $rss * 1024 < 150000000" >/dev/null ||
    { echo "slug_bench: a target is missed" >&2; exit 1; }
fi
