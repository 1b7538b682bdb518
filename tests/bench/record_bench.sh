#!/usr/bin/env bash
# Times downloads through the recorder beside curl's own, over TLS on the loopback:
#   a body of 500 MB: direct, recorded, replayed, and the recorder's peak memory
#   1,000 small requests on one connection, and on new ones
#
#   tests/bench/record_bench.sh [BUILD_DIR]
set -euo pipefail

build=$(realpath "${1:-build/dev}")
driver=$build/tests/bench/record_driver
[[ -x $driver ]] || { echo "record_bench: build record_driver first" >&2; exit 6; }
work=$(mktemp -d "${TMPDIR:-/tmp}/record-bench.XXXXXX")
trap 'exec {server_in}>&- {recorder_in}>&- 2>/dev/null || true; wait; rm -rf "$work"' EXIT

mkfifo "$work/server.in" "$work/recorder.in"
"$driver" server "$work/upstream" <"$work/server.in" >"$work/server.out" &
# Held open until the trap closes it.
# shellcheck disable=SC2034
exec {server_in}>"$work/server.in"
until [[ -s $work/server.out ]]; do sleep 0.05; done
server=$(cat "$work/server.out")
export SSL_CERT_FILE=$work/upstream.pem

# start_recorder [offline]
start_recorder() {
  rm -f "$work/recorder.out"
  "$driver" recorder "$work/store" "$@" <"$work/recorder.in" >"$work/recorder.out" &
  recorder_pid=$!
  exec {recorder_in}>"$work/recorder.in"
  until [[ -s $work/recorder.out ]]; do sleep 0.05; done
  recorder=$(head -1 "$work/recorder.out")
  fetch_pid=$(pgrep -P "$recorder_pid" slipway-fetch)
}
stop_recorder() {
  exec {recorder_in}>&-
  wait "$recorder_pid"
}
direct() { curl -sS --cacert "$work/upstream.pem" -o /dev/null "$@"; }
through() {
  curl -sS --cacert "$work/store.pem" --connect-to "::127.0.0.1:$recorder" -o /dev/null "$@"
}
url=https://127.0.0.1:$server
median() { sort -g | awk '{ v[NR] = $1 } END { printf "%.3f", v[int((NR + 1) / 2)] * 1000 }'; }

big=$url/bytes/500000000
start_recorder
for round in 1 2 3; do
  d=$(direct -w '%{time_total}' "$big")
  r=$(through -w '%{time_total}' "$big?round=$round")
  p=$(through -w '%{time_total}' "$big?round=$round")
  awk -v d="$d" -v r="$r" -v p="$p" 'BEGIN { printf "500 MB: direct %.2f s, recorded %.2f s (%.2fx), again %.2f s (%.2fx)\n", d, r, d / r, p, d / p }'
done
grep -E 'VmHWM|VmRSS' "/proc/$fetch_pid/status"
many="$url/small/[1-1000]"
echo "small, kept alive: direct $(direct -w '%{time_total}\n' "$many" | median) ms," \
  "recorded $(through -w '%{time_total}\n' "$many" | median) ms," \
  "again $(through -w '%{time_total}\n' "$many" | median) ms"
some="$url/new/[1-200]"
echo "small, new connections: direct $(direct -H 'Connection: close' -w '%{time_total}\n' "$some" | median) ms," \
  "recorded $(through -H 'Connection: close' -w '%{time_total}\n' "$some" | median) ms"
grep -E 'VmHWM' "/proc/$fetch_pid/status"
stop_recorder
start_recorder offline
echo "offline: $(through -w '%{time_total}' "$big?round=1") s"
stop_recorder
