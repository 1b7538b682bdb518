#!/usr/bin/env bash
# Times Dockerfile builds against buildah, in the same run, alternating, on a tmpfs:
#   steps    20 RUN steps: cold, and again with nothing changed
#   copy     COPY of 20,000 small files: cold, one file changed, unchanged; no output on either side
#   export   a layer of 500 MB as a gzip OCI archive: alone (`buildah push`), and build and export
#            together; cold, after one small file changed, unchanged
#
#   tests/bench/image_bench.sh [--program SLIPWAY] [--rounds N] [--megabytes N] [--check] [PART…]
#
# Prints Markdown tables of the best of the rounds. With --check it fails when a target is missed.
# Needs root for buildah; it runs both as far as they go without a network.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
program=$here/../../build/release/slipway
rounds=2
megabytes=500
check=false
parts=()
usage() { echo "usage: image_bench.sh [--program SLIPWAY] [--rounds N] [--megabytes N] [--check] [steps|copy|export]…" >&2; exit 2; }
while (($# > 0)); do
  case $1 in
    --program) program=$(realpath "$2"); shift 2 ;;
    --rounds) rounds=$2; shift 2 ;;
    --megabytes) megabytes=$2; shift 2 ;;
    --check) check=true; shift ;;
    steps | copy | export) parts+=("$1"); shift ;;
    *) usage ;;
  esac
done
((${#parts[@]} > 0)) || parts=(steps copy export)
for tool in buildah skopeo jq tar busybox time; do
  type -P "$tool" >/dev/null || { echo "image_bench: $tool is not installed" >&2; exit 6; }
done
[[ -x $program ]] || { echo "image_bench: $program is missing: run ./slipway once" >&2; exit 6; }

base=${TMPDIR:-/tmp}
[[ -d /dev/shm && -w /dev/shm ]] && base=/dev/shm
work=$base/image-bench-$$
mkdir "$work"
chmod 755 "$work"
storage=()
# Steps write to a store of the round's own; nothing is deleted before the end.
finish() {
  local root
  for root in "$work"/peer-*; do
    buildah --root "$root" --runroot "$root-run" --storage-driver overlay rm --all >/dev/null 2>&1 || true
    umount -R "$root/overlay" 2>/dev/null || true
  done
  rm -rf "$work"
}
trap finish EXIT

declare -A best=()
# seconds NAME COMMAND…: keeps the best wall time under NAME.
seconds() {
  local name=$1 elapsed
  shift
  local TIMEFORMAT=%R
  elapsed=$({ time "$@" >"$work/out" 2>"$work/err"; } 2>&1) || { tail -20 "$work/err" >&2; exit 1; }
  best[$name]=$(jq -n "[${best[$name]:-1e9}, $elapsed] | min")
}
ours() {
  command time -q -a -o "$work/rss" -f %M "$program" build "$@" --network none
}
# chroot is the quicker of its isolations, and works where cgroups are mounted in both versions.
peer() { buildah "${storage[@]}" build -q --layers --isolation chroot "$@"; }

missed=()
row() {  # row TITLE NAME TARGET-RATIO [TARGET-MS]
  local verdict=$3
  [[ -z $3 ]] || verdict="at least $3x"
  [[ -z ${4:-} ]] || verdict+="${verdict:+, }under $4 ms"
  jq -nr --arg title "$1" --arg verdict "$verdict" --argjson ours "${best[ours-$2]}" \
    --argjson peer "${best[peer-$2]}" '
    "| \($title) | \($ours * 1000 | round) ms | \($peer * 1000 | round) ms |" +
    " \($peer / $ours * 10 | round / 10)x | \($verdict) |"'
  jq -en "${best[peer-$2]} / ${best[ours-$2]} >= ${3:-0} and ${best[ours-$2]} * 1000 <= ${4:-1e9}" >/dev/null ||
    missed+=("$1")
}
head_row() { printf '\n| %s | Slipway | buildah | times | target |\n|---|---|---|---|---|\n' "$1"; }

# The same base for both: busybox alone, made by us, read by them.
mkdir "$work/base"
cp "$(command -v busybox)" "$work/base/"
cat >"$work/base/Dockerfile" <<'EOF'
FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "mkdir", "-p", "/usr/bin", "/usr/sbin", "/sbin", "/tmp", "/etc", "/root"]
RUN ["/bin/busybox", "--install", "-s"]
EOF
# fresh NAME: a new store and a new peer's storage, with the base in both.
fresh() {
  export SLIPWAY_HOME=$work/store-$1
  storage=(--root "$work/peer-$1" --runroot "$work/peer-$1-run" --storage-driver overlay)
  "$program" build "$work/base" -t base:1 --network none --oci "$work/base-$1.oci" >"$work/out" 2>&1
  buildah "${storage[@]}" tag "$(buildah "${storage[@]}" pull -q "oci:$work/base-$1.oci")" localhost/base:1
}

steps_part() {
  local i round
  mkdir "$work/steps"
  { echo 'FROM base:1'; for ((i = 1; i <= 20; ++i)); do echo "RUN echo $i >/file-$i"; done; } >"$work/steps/Dockerfile"
  for ((round = 1; round <= rounds; ++round)); do
    fresh "steps-$round"
    seconds peer-steps-cold peer -t steps "$work/steps"
    seconds ours-steps-cold ours "$work/steps" -t steps
    seconds peer-steps-cached peer -t steps "$work/steps"
    seconds ours-steps-cached ours "$work/steps" -t steps
  done
  head_row '20 RUN steps'
  row 'cold' steps-cold 12
  row 'everything cached' steps-cached 15 60
}

copy_part() {
  local i j round
  for ((i = 0; i < 200; ++i)); do
    mkdir -p "$work/copy/tree/$i"
    for ((j = 0; j < 100; ++j)); do
      printf '%*s%d' $((RANDOM % 4000)) '' $((RANDOM * i + j)) >"$work/copy/tree/$i/$j"
    done
  done
  printf 'FROM base:1\nCOPY tree /tree\n' >"$work/copy/Dockerfile"
  for ((round = 1; round <= rounds; ++round)); do
    fresh "copy-$round"
    seconds peer-copy-cold peer "$work/copy"
    seconds ours-copy-cold ours "$work/copy"
    echo "changed $round" >>"$work/copy/tree/3/3"
    seconds peer-copy-changed peer "$work/copy"
    seconds ours-copy-changed ours "$work/copy"
    seconds peer-copy-same peer "$work/copy"
    seconds ours-copy-same ours "$work/copy"
  done
  head_row 'COPY of 20,000 files'
  row 'cold' copy-cold 5
  row 'one file changed' copy-changed 10
  row 'unchanged' copy-same '' 150
}

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

peer_push() { buildah "${storage[@]}" push -q big "oci-archive:$work/peer-$1.tar"; }
peer_whole() { peer -t big -f "$work/Dockerfile" "$work/tree" && peer_push "$1"; }
ours_whole() { ours "$work/tree" -f "$work/Dockerfile" -t big --oci-archive "$work/ours-$1.tar"; }

export_part() {
  local round state small
  make_tree
  for ((round = 1; round <= rounds; ++round)); do
    fresh "export-$round"
    # The export alone: the build is done, no layer was made of it yet.
    peer -t big -f "$work/Dockerfile" "$work/tree" >"$work/out"
    ours "$work/tree" -f "$work/Dockerfile" >"$work/out" 2>&1
    seconds peer-export-alone peer_push "alone-$round"
    seconds ours-export-alone ours_whole "alone-$round"
    fresh "whole-$round"
    for state in cold changed same; do
      if [[ $state == changed ]]; then
        small=$(find "$work/tree" -type f -size -16k | LC_ALL=C sort | sed -n '1000p')
        echo "round $round" >>"$small"
      fi
      seconds "peer-export-$state" peer_whole "$state-$round"
      seconds "ours-export-$state" ours_whole "$state-$round"
      skopeo inspect "oci-archive:$work/ours-$state-$round.tar" >"$work/inspect"
    done
  done
  local our_bytes peer_bytes
  our_bytes=$(stat -c %s "$work/ours-cold-1.tar") peer_bytes=$(stat -c %s "$work/peer-cold-1.tar")
  head_row "a layer of $(du -sm --apparent-size "$work/tree" | cut -f 1) MB as a gzip OCI archive"
  row 'export alone' export-alone 1.7
  row 'build and export' export-cold 4
  row 'build and export, one small file changed' export-changed 10
  row 'build and export, unchanged' export-same ''
  printf '\narchive: %d MB against %d MB\n' $((our_bytes / 1000000)) $((peer_bytes / 1000000))
  ((our_bytes <= peer_bytes)) || missed+=("the archive's size")
}

for part in "${parts[@]}"; do "${part}_part"; done
peak_kib=$(sort -n "$work/rss" | tail -1)
printf '\npeak memory of Slipway: %d MiB (target: under 200 MB)\n' $((peak_kib / 1024))
((peak_kib * 1024 < 200000000)) || missed+=("peak memory")
if $check && ((${#missed[@]} > 0)); then
  printf 'missed: %s\n' "${missed[@]}" >&2
  exit 1
fi
