#!/bin/sh
# Asks KEDA's and Kubernetes' own code again, at the versions of go.mod.
#
#   run.sh compare   with the committed vectors and tables; fails with the difference
#   run.sh update    and writes them
set -eu
cd "$(dirname "$0")"

tables=../../generator/src/lint/tables
# No toolchain is downloaded here.
export GOTOOLCHAIN=local

needed=$(awk '$1 == "go" { print $2 }' go.mod)
if ! command -v go >/dev/null 2>&1; then
  echo "Go is not installed; the conformance with KEDA needs version $needed or newer: https://go.dev/dl" >&2
  exit 1
fi
have=$(go env GOVERSION | sed 's/^go//; s/[^0-9.].*//')
if ! printf '%s\n%s\n' "$needed" "$have" | sort -V -C; then
  echo "Go $have is too old; the conformance with KEDA needs version $needed or newer: https://go.dev/dl" >&2
  exit 1
fi

case ${1:-} in
  update)
    mkdir -p "$tables"
    go run ./cmd/tables "$tables"
    go test . -count=1 -update
    ;;
  compare)
    fresh=$(mktemp -d)
    trap 'rm -rf "$fresh"' EXIT
    differs=0
    go run ./cmd/tables "$fresh"
    for table in fields.json trigger-keys.json; do
      diff -u "$tables/$table" "$fresh/$table" || differs=1
    done
    go test . -count=1 || differs=1
    if [ "$differs" = 1 ]; then
      echo 'What is committed is not what the code answers. If KEDA or Kubernetes changed: make conformance-update, and read the difference.' >&2
    fi
    exit "$differs"
    ;;
  *)
    echo 'usage: run.sh compare|update' >&2
    exit 2
    ;;
esac
