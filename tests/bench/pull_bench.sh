#!/usr/bin/env bash
# Times pulling and unpacking an image of 300 MB from a registry on the loopback against
# `buildah pull`, each into empty storage, in turns, on a tmpfs.
#
#   tests/bench/pull_bench.sh [--program SLIPWAY] [--megabytes N] [--layers N] [--rounds N] [--check]
#
# Ours is a whole build of `FROM image`: start, pull, unpacking, verification of every digest, record.
# Prints a Markdown table. With --check it fails when the target is missed: twice as fast, peak memory
# under 200 MB. Needs root for buildah, and Debian's docker-registry.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
program=$here/../../slipway
megabytes=300
layers=6
rounds=3
check=false
while (($# > 0)); do
  case $1 in
    --program) program=$2; shift 2 ;;
    --megabytes) megabytes=$2; shift 2 ;;
    --layers) layers=$2; shift 2 ;;
    --rounds) rounds=$2; shift 2 ;;
    --check) check=true; shift ;;
    *) echo "usage: pull_bench.sh [--program SLIPWAY] [--megabytes N] [--layers N] [--rounds N] [--check]" >&2
       exit 2 ;;
  esac
done
for needed in buildah docker-registry jq python3 curl; do
  command -v "$needed" >/dev/null || { echo "pull_bench: $needed is not installed" >&2; exit 6; }
done

base=${TMPDIR:-/tmp}
[[ -d /dev/shm && -w /dev/shm ]] && base=/dev/shm
work=$(mktemp -d "$base/pull-bench.XXXXXX")
chmod 755 "$work"
server=
clean_up() {
  [[ -z $server ]] || kill "$server" 2>/dev/null
  umount -R "$work"/root/overlay 2>/dev/null
  rm -rf "$work"
}
trap clean_up EXIT
export HOME=$work/home
mkdir "$HOME"
storage=(--root "$work/root" --runroot "$work/runroot" --storage-driver overlay)

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >"$work/registry.yml" <<END
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $work/registry}}
http: {addr: "127.0.0.1:$port"}
END
docker-registry serve "$work/registry.yml" >"$work/registry.log" 2>&1 &
server=$!
for ((i = 0; i < 100; ++i)); do
  if curl -s -o /dev/null --noproxy '*' "http://127.0.0.1:$port/v2/"; then break; fi
  sleep 0.1
done
image=localhost:$port/bench:1

# Files of this machine, dealt out to the layers in order.
make_image() {
  local limit=$((megabytes * 1000 * 1000 / layers)) size path layer=0 total=0
  : >"$work/list"
  while IFS=$'\t' read -r -d '' size path; do
    if ((total + size > limit)); then total=0 layer=$((layer + 1)); fi
    ((layer < layers)) || break
    total=$((total + size))
    mkdir -p "$work/tree/$layer${path%/*}"
    cp -p "$path" "$work/tree/$layer$path"
  done < <(find /usr/lib /usr/bin /usr/share -xdev -type f -size -1024k -readable -printf '%s\t%p\0' | LC_ALL=C sort -z -k2)
  echo 'FROM scratch' >"$work/tree/Dockerfile"
  for ((layer = 0; layer < layers; ++layer)); do echo "COPY $layer /$layer" >>"$work/tree/Dockerfile"; done
  SLIPWAY_HOME=$work/first "$program" build "$work/tree" --network none -t "$image" --push >/dev/null 2>"$work/err" ||
    { cat "$work/err" >&2; exit 1; }
  bytes=$(du -s --apparent-size -B1 "$work/tree" | cut -f1)
  files=$(find "$work/tree" -type f | wc -l)
  rm -rf "$work/tree" "$work/first"
}

# timed NAME COMMAND…: wall and processor seconds, the best of all rounds.
declare -A best=()
timed() {
  local name=$1 TIMEFORMAT='%R %U %S' times wall user system
  shift
  times=$({ time "$@" >"$work/out" 2>"$work/err"; } 2>&1) || { cat "$work/err" >&2; exit 1; }
  read -r wall user system <<<"$times"
  best[$name]=$(jq -n "[${best[$name]:-1e9}, $wall] | min")
  best[$name-cpu]=$(jq -n "[${best[$name-cpu]:-1e9}, $user + $system] | min")
}
ours() {
  SLIPWAY_HOME=$work/store /usr/bin/time -f %M -o "$work/rss" "$program" build "$work/app" --network none
}
[[ -x /usr/bin/time ]] || ours() { SLIPWAY_HOME=$work/store "$program" build "$work/app" --network none; }
peer() { buildah "${storage[@]}" pull -q --tls-verify=false "$image"; }

make_image
mkdir "$work/app"
echo "FROM $image" >"$work/app/Dockerfile"
echo 0 >"$work/rss"
rss=0
for ((round = 0; round < rounds; ++round)); do
  rm -rf "$work/store"
  timed ours ours
  rss=$(jq -n "[$rss, $(tail -n 1 "$work/rss")] | max")
  umount -R "$work"/root/overlay 2>/dev/null || true
  rm -rf "$work/root" "$work/runroot"
  timed peer peer
done

echo "image: $((bytes / 1000000)) MB in $files files, $layers layers; best of $rounds rounds"
echo
echo '| | Slipway | buildah pull | times | target |'
echo '|---|---|---|---|---|'
jq -nr --argjson o "${best[ours]}" --argjson p "${best[peer]}" --argjson oc "${best[ours-cpu]}" --argjson pc "${best[peer-cpu]}" '
  "| wall | \($o * 1000 | round) ms | \($p * 1000 | round) ms | \($p / $o * 10 | round / 10) x | 2 x |",
  "| processor | \($oc * 1000 | round) ms | \($pc * 1000 | round) ms | \($pc / $oc * 10 | round / 10) x | |"'
echo
echo "peak memory $((rss / 1024)) MiB (target: under 200 MB)"
if $check; then
  jq -en "${best[peer]} / ${best[ours]} >= 2 and $rss * 1024 < 200000000" >/dev/null ||
    { echo "pull_bench: a target is missed" >&2; exit 1; }
fi
