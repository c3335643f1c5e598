#!/bin/sh
# Where the instructions of a scrape go: counted by callgrind, so the same on every machine, however busy.
#
#   sh benches/profile.sh [QUEUES] [EXPORTER]    2000 busy queues and target/release/bullmq-exporter unless told
#
# It needs valgrind, curl and what `make bench` builds. The whole profile is left in target/bench/callgrind.out for callgrind_annotate and kcachegrind.
set -eu
cd "$(dirname "$0")/.."
queues=${1:-2000}
exporter=${2:-target/release/bullmq-exporter}
port=${PORT:-19538}
out=target/bench
mkdir -p "$out"
rm -f "$out"/callgrind.out*
: >"$out/redis.url"
: >"$out/callgrind.log"

target/release/bench --queues "$queues" --jobs 0 --data-only >"$out/redis.url" 2>/dev/null &
data=$!
profiled=
trap 'kill $data $profiled 2>/dev/null || true' EXIT
until [ -s "$out/redis.url" ]; do
  kill -0 "$data"
  sleep 1
done

valgrind --tool=callgrind --callgrind-out-file="$out/callgrind.out" "$exporter" --redis.url "$(cat "$out/redis.url")" \
  --web.listen-address "127.0.0.1:$port" --scrape.timeout 5m --discovery.interval 1h >"$out/callgrind.log" 2>&1 &
profiled=$!
until grep -q 'queues found' "$out/callgrind.log"; do
  kill -0 "$profiled"
  sleep 1
done

# The first scrape makes room that the later ones use again.
curl -sf "http://127.0.0.1:$port/metrics" >/dev/null
callgrind_control -z "$profiled" >/dev/null 2>&1
curl -sf "http://127.0.0.1:$port/metrics" >/dev/null
callgrind_control -d "$profiled" >/dev/null 2>&1
until [ -s "$out/callgrind.out.1" ]; do sleep 1; done

echo "Instructions of one scrape of $queues queues, with everything that a function calls:"
callgrind_annotate --inclusive=yes --threshold=100 "$out/callgrind.out.1" |
  grep -E 'PROGRAM TOTALS|bullmq_exporter::|redis::|malloc.c:(malloc|free|realloc) ' | grep -v 'closure' | cut -c 1-160 | head -n 40
