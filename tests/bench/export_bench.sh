#!/usr/bin/env bash
# Times a layer of 500 MB as a gzip OCI archive against buildah, in the same run, on a tmpfs:
#   export     the layer's tar, compression and the archive, of a build that is done (`buildah push`)
#   together   build (FROM scratch, COPY) and export
#   changed    both again, one small file changed
#   unchanged  both again, nothing changed
#
#   tests/bench/export_bench.sh [--driver PROGRAM] [--megabytes N] [--rounds N] [--check]
#
# Prints a Markdown table. With --check it fails when a target is missed: export 1.7 times as fast,
# together 4 times, changed 10 times, not larger, peak memory under 200 MB. Needs root for buildah.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
driver=$here/../../build/dev/tests/bench/export_driver
megabytes=500
rounds=1
check=false
while (($# > 0)); do
  case $1 in
    --driver) driver=$2; shift 2 ;;
    --megabytes) megabytes=$2; shift 2 ;;
    --rounds) rounds=$2; shift 2 ;;
    --check) check=true; shift ;;
    *) echo "usage: export_bench.sh [--driver PROGRAM] [--megabytes N] [--rounds N] [--check]" >&2
       exit 2 ;;
  esac
done
for program in buildah skopeo jq tar; do
  command -v "$program" >/dev/null || { echo "export_bench: $program is not installed" >&2; exit 6; }
done
[[ -x $driver ]] || { echo "export_bench: $driver is missing, build export_driver first" >&2; exit 6; }

base=${TMPDIR:-/tmp}
[[ -d /dev/shm && -w /dev/shm ]] && base=/dev/shm
work=$(mktemp -d "$base/export-bench.XXXXXX")
chmod 755 "$work"
trap 'buildah "${storage[@]}" rm --all >/dev/null 2>&1; umount -R "$work"/root/overlay 2>/dev/null; rm -rf "$work"' EXIT
storage=(--root "$work/root" --runroot "$work/runroot" --storage-driver overlay)

# At most a fifth of the tree from one folder, no file beyond 20 MB: nothing dominates.
make_tree() {
  local limit=$((megabytes * 1000 * 1000)) share folder size path
  local total=0 part
  share=$((limit / 5))
  mkdir "$work/tree"
  for folder in /usr/lib/python3 /usr/share/doc /usr/lib/node_modules /usr/bin /usr/share/perl \
      /usr/include /usr/lib/x86_64-linux-gnu /usr/lib/aarch64-linux-gnu /usr/lib /usr/share /opt \
      /usr/local; do
    [[ -d $folder ]] || continue
    part=0
    while IFS=$'\t' read -r -d '' size path; do
      ((part + size <= share && total + size <= limit)) || continue
      part=$((part + size)) total=$((total + size))
      printf '%s\0' "$path"
    done < <(find "$folder" -xdev -type f -size -20M -readable -printf '%s\t%p\0' | LC_ALL=C sort -z -k2)
  done | tar -C / --null --files-from=- -c 2>/dev/null | tar -C "$work/tree" -x
  printf 'FROM scratch\nCOPY . /\n' >"$work/Dockerfile"
}

# seconds COMMAND…: wall time; the output goes to $work/out
seconds() {
  local TIMEFORMAT=%R
  { time "$@" >"$work/out" 2>"$work/err"; } 2>&1 || { cat "$work/err" >&2; return 1; }
}
buildah_build() { buildah "${storage[@]}" build -q --layers --isolation chroot -t bench -f "$work/Dockerfile" "$work/tree"; }
buildah_push() {
  rm -f "$work/peer.tar"
  buildah "${storage[@]}" push -q bench "oci-archive:$work/peer.tar"
}
ours() { "$driver" "$work/store" "$work/tree" "$work/ours.tar"; }

declare -A best=()
keep() {  # keep NAME SECONDS
  best[$1]=$(jq -n "[${best[$1]:-1e9}, $2] | min")
}
export_seconds() { jq '(.layer_ms + .write_ms) / 1000' "$work/out"; }

make_tree
rss=0
for ((round = 1; round <= rounds; ++round)); do
  rm -rf "$work/store"
  for state in cold changed same; do
    if [[ $state == changed ]]; then
      changed=$(find "$work/tree" -type f -size -16k | LC_ALL=C sort | sed -n '1000p')
      echo "round $round" >>"$changed"
    fi
    peer_build=$(seconds buildah_build)
    peer_push=$(seconds buildah_push)
    keep "peer-$state-export" "$peer_push"
    keep "peer-$state" "$(jq -n "$peer_build + $peer_push")"
    keep "ours-$state" "$(seconds ours)"
    keep "ours-$state-export" "$(export_seconds)"
    cp "$work/out" "$work/$state.json"
    [[ $state != cold ]] || peer_bytes=$(stat -c %s "$work/peer.tar") our_bytes=$(stat -c %s "$work/ours.tar")
    # What is measured is a right image.
    skopeo inspect "oci-archive:$work/ours.tar:1" >"$work/inspect"
    rss=$(jq -s "[$rss, .[].peak_rss_kib] | max" "$work/$state.json")
  done
  raw=$(tar -xOf "$work/ours.tar" "blobs/sha256/$(jq -r '.Layers[0]' "$work/inspect" | cut -d : -f 2)" | gzip -dc | sha256sum)
  [[ ${raw%% *} == "$(jq -r .diff_id "$work/same.json" | cut -d : -f 2)" ]] ||
    { echo "export_bench: the layer is not what its diff id says" >&2; exit 1; }
  buildah "${storage[@]}" rmi -f bench >/dev/null 2>&1
  buildah "${storage[@]}" rmi --prune --force >/dev/null 2>&1 || true
done

row() {  # row TITLE NAME TARGET
  jq -nr --arg title "$1" --arg target "$3" --argjson ours "${best[ours-$2]}" \
    --argjson peer "${best[peer-$2]}" '
    "| \($title) | \($ours * 1000 | round) ms | \($peer * 1000 | round) ms |" +
    " \($peer / $ours * 10 | round / 10) x | \($target) |"'
}
jq -r '"layer: \(.raw_bytes / 1000000 | round) MB; best of the rounds\n"' "$work/cold.json"
echo '| | Slipway | buildah | times | target |'
echo '|---|---|---|---|---|'
row 'export, cold' cold-export '1.7 x'
row 'build and export, cold' cold '4 x'
row 'export, one small file changed' changed-export '10 x'
row 'build and export, one small file changed' changed '10 x'
row 'export, unchanged' same-export ''
row 'build and export, unchanged' same ''
echo
echo "archive: $((our_bytes / 1000000)) MB against $((peer_bytes / 1000000)) MB; peak memory $((rss / 1024)) MiB (target: under 200 MB)"

if $check; then
  jq -en "${best[peer-cold-export]} / ${best[ours-cold-export]} >= 1.7 and
          ${best[peer-cold]} / ${best[ours-cold]} >= 4 and
          ${best[peer-changed]} / ${best[ours-changed]} >= 10 and
          $our_bytes <= $peer_bytes and $rss * 1024 < 200000000" >/dev/null ||
    { echo "export_bench: a target is missed" >&2; exit 1; }
fi
