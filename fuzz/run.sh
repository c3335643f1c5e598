#!/bin/sh
# Runs the fuzz targets one after another, on one processor, and says of each how many cases it was given and what it found.
#
#   run.sh MINUTES              every target, sharing the minutes evenly
#   run.sh MINUTES spec lint    these targets
#
# What is found is kept in target/fuzz/found, and the run ends with 1. Cases that reached something new are kept in target/fuzz/cases, so
# that the next run goes on where this one ended; fuzz/corpus is only read. cargo-fuzz is installed first if it is not there.
set -eu
cd "$(dirname "$0")/.."

CARGO_FUZZ=0.13.2
# The longest a case may take; the slowest that are right take a tenth of it.
SECONDS_A_CASE=10

minutes=${1:?how many minutes?}
shift
known=$(sed -n 's/^path = "fuzz_targets\/\(.*\)\.rs"/\1/p' fuzz/Cargo.toml)
# Its words are the targets.
# shellcheck disable=SC2086
[ $# -gt 0 ] || set -- $known
for target in "$@"; do
  [ -f "fuzz/fuzz_targets/$target.rs" ] || {
    # shellcheck disable=SC2086
    echo "There is no fuzz target $target; there are: "$known >&2
    exit 2
  }
done

command -v cargo-fuzz >/dev/null 2>&1 || cargo install --locked "cargo-fuzz@$CARGO_FUZZ"
# Nothing here is unsafe code, so no sanitizer is needed, and so no nightly compiler.
cargo fuzz build --sanitizer none --target-dir target/fuzz

seconds=$((minutes * 60 / $#))
[ $seconds -gt 0 ] || seconds=1
programs=target/fuzz/$(rustc --print host-tuple)/release
number=0
failed=
for target in "$@"; do
  number=$((number + 1))
  printf '%2d/%d %-15s %4d s  ' $number $# "$target" $seconds
  mkdir -p "target/fuzz/cases/$target" "target/fuzz/found/$target"
  log=target/fuzz/$target.log
  dictionary=fuzz/dictionaries/$target.dict
  [ -f "$dictionary" ] || dictionary=
  ended=0
  "$programs/$target" "target/fuzz/cases/$target" "fuzz/corpus/$target" \
    -max_total_time=$seconds -timeout=$SECONDS_A_CASE -rss_limit_mb=2048 -print_final_stats=1 \
    "-artifact_prefix=target/fuzz/found/$target/" \
    ${dictionary:+"-dict=$dictionary"} >"$log" 2>&1 || ended=$?
  cases=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  covered=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
  printf '%9s cases, %s places reached' "${cases:-no}" "${covered:-no}"
  if [ $ended = 0 ]; then
    printf '\n'
  else
    printf '\n      FOUND: %s\n' "$(grep -m 1 -E 'panicked at|ERROR: libFuzzer' "$log" || echo 'see the log')"
    grep -A 3 -m 1 'panicked at' "$log" | sed -n '2,4s/^/      /p'
    printf '      again by: %s/%s %s\n' "$programs" "$target" "$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)"
    failed="$failed $target"
  fi
done
[ -z "$failed" ] || {
  echo "Something was found by:$failed" >&2
  exit 1
}
