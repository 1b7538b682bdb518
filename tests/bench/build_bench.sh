#!/usr/bin/env bash
# Times whole builds, each figure beside its peer in the same run, on a tmpfs:
#   unchanged  an app of 20,000 files built again with nothing changed, beside `find` with a stat of
#              every file (what any answer must cost at least)
#   added      a cold build beside running the pack's scripts by hand on the same tree
#   version    `slipway version` beside `true`
#
#   tests/bench/build_bench.sh [--rounds N]
#
# Prints a Markdown table of medians. Needs root for the by-hand run as the build's user.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
slipway=$here/../../build/release/slipway
rounds=7
while (($# > 0)); do
  case $1 in
    --rounds) rounds=$2; shift 2 ;;
    *) echo "usage: build_bench.sh [--rounds N]" >&2; exit 2 ;;
  esac
done
[[ -x $slipway ]] || { echo "build_bench: build Slipway first: ./slipway version" >&2; exit 6; }

base=${TMPDIR:-/tmp}
[[ -d /dev/shm && -w /dev/shm ]] && base=/dev/shm
work=$(mktemp -d "$base/build-bench.XXXXXX")
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
export SLIPWAY_HOME=$work/store

# milliseconds COMMAND…: wall time of one run.
milliseconds() {
  local before after
  before=$(date +%s%N)
  "$@" >/dev/null 2>&1
  after=$(date +%s%N)
  echo $(((after - before) / 1000000))
}

median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

# pair OURS PEER: medians of both, run alternately.
pair() {
  local i
  : >"$work/ours" && : >"$work/peer"
  for ((i = 0; i < rounds; i++)); do
    milliseconds "$1" >>"$work/ours"
    milliseconds "$2" >>"$work/peer"
  done
  echo "$(median <"$work/ours") $(median <"$work/peer")"
}

make_app() {
  local i
  mkdir -p "$work/app/pack/bin"
  for ((i = 0; i < 200; i++)); do
    mkdir -p "$work/app/dir$i"
    (cd "$work/app/dir$i" && for j in {1..100}; do echo "file $i $j" >"f$j"; done)
  done
  printf '#!/bin/sh\necho Bench\n' >"$work/app/pack/bin/detect"
  # Three seconds of a package manager's kind of work: many small files, some processor time.
  cat >"$work/app/pack/bin/compile" <<'PACK'
#!/bin/bash
set -e
mkdir -p "$1/vendor" "$2/deps"
for i in {1..60}; do
  head -c 3000000 /dev/zero | sha256sum >"$1/vendor/sum$i"
  for j in {1..20}; do echo "$i $j" >"$1/vendor/m$i.$j"; done
done
cp -r "$1/vendor" "$2/deps/"
sleep 2
PACK
  printf '#!/bin/sh\necho ---\n' >"$work/app/pack/bin/release"
  chmod +x "$work"/app/pack/bin/*
}

build() { "$slipway" build "$work/app" -b "$work/app/pack" --stack host --network none --slug "$work/app.tgz"; }
stat_all() { find "$work/app" -printf '%s %T@\n'; }
cold() {
  number=$((number + 1))
  SLIPWAY_HOME=$work/cold$number "$slipway" build "$work/app" -b "$work/app/pack" --stack host --network none
}
by_hand() {
  number=$((number + 1))
  local root=$work/hand$number
  mkdir -p "$root/cache" "$root/env"
  cp -a "$work/app" "$root/build"
  chown -R 1000:1000 "$root"
  local script
  for script in detect compile release; do
    env -i PATH="$PATH" HOME=/app setpriv --reuid 1000 --regid 1000 --clear-groups \
      "$work/app/pack/bin/$script" "$root/build" "$root/cache" "$root/env"
  done
}
version() { "$slipway" version; }

number=0
make_app
build >/dev/null 2>&1

echo "| what | Slipway | peer | |"
echo "|---|---|---|---|"
read -r ours peer < <(pair build stat_all)
echo "| 20,000 files unchanged | $ours ms | find, stat of each: $peer ms | |"
rounds=3
read -r ours peer < <(pair cold by_hand)
echo "| cold build of 20,000 files, with slug | $ours ms | scripts by hand on a copy, no slug: $peer ms | adds $((ours - peer)) ms |"
rounds=21
read -r ours peer < <(pair version true)
echo "| slipway version | $ours ms | true: $peer ms | |"
