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

# make_app FOLDER SUBFOLDERS: a hundred files in each.
make_app() {
  local i
  mkdir -p "$1"
  for ((i = 0; i < $2; i++)); do
    mkdir -p "$1/dir$i"
    (cd "$1/dir$i" && for j in {1..100}; do echo "file $i $j" >"f$j"; done)
  done
}

# make_pack FOLDER SECONDS: a package manager's kind of work, many small files and some processor
# time, and that many seconds of waiting for a network.
make_pack() {
  mkdir -p "$1/bin"
  printf '#!/bin/sh\necho Bench\n' >"$1/bin/detect"
  cat >"$1/bin/compile" <<PACK
#!/bin/bash
set -e
mkdir -p "\$1/vendor" "\$2/deps"
for i in {1..60}; do
  head -c 3000000 /dev/zero | sha256sum >"\$1/vendor/sum\$i"
  for j in {1..20}; do echo "\$i \$j" >"\$1/vendor/m\$i.\$j"; done
done
cp -r "\$1/vendor" "\$2/deps/"
sleep $2
PACK
  printf '#!/bin/sh\necho ---\n' >"$1/bin/release"
  chmod +x "$1"/bin/*
}

build() { "$slipway" build "$work/large" -b "$work/pack" --stack host --network none --slug "$work/app.tgz"; }
stat_all() { find "$work/large" -printf '%s %T@\n'; }
# cold APP PACK, by_hand APP PACK
cold() {
  number=$((number + 1))
  SLIPWAY_HOME=$work/cold$number "$slipway" build "$work/$1" -b "$work/$2" --stack host --network none
}
by_hand() {
  number=$((number + 1))
  local root=$work/hand$number
  mkdir -p "$root/cache" "$root/env"
  cp -a "$work/$1" "$root/build"
  chown -R 1000:1000 "$root"
  local script
  for script in detect compile release; do
    env -i PATH="$PATH" HOME=/app setpriv --reuid 1000 --regid 1000 --clear-groups \
      "$work/$2/bin/$script" "$root/build" "$root/cache" "$root/env"
  done
}
cold_large() { cold large pack; }
by_hand_large() { by_hand large pack; }
cold_usual() { cold usual slow-pack; }
by_hand_usual() { by_hand usual slow-pack; }
version() { "$slipway" version; }

number=0
make_app "$work/large" 200
make_app "$work/usual" 10
make_pack "$work/pack" 2
make_pack "$work/slow-pack" 20
build >/dev/null 2>&1

echo "| what | Slipway | peer | |"
echo "|---|---|---|---|"
read -r ours peer < <(pair build stat_all)
echo "| 20,000 files unchanged | $ours ms | find, stat of each: $peer ms | |"
rounds=3
added() { # WORDS OURS PEER
  local ours peer
  read -r ours peer < <(pair "$2" "$3")
  echo "| $1 | $ours ms | scripts by hand on a copy, no slug: $peer ms | adds $((ours - peer)) ms, $((100 * (ours - peer) / peer)) % |"
}
added "cold build of 1,000 files, slug included" cold_usual by_hand_usual
added "cold build of 20,000 files, slug included" cold_large by_hand_large
rounds=21
read -r ours peer < <(pair version true)
echo "| slipway version | $ours ms | true: $peer ms | |"
