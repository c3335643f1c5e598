#!/bin/sh
# Runs Kubernetes' own HorizontalPodAutoscaler over random demands, and compares what it does with vectors/hpa.json, which the tests of
# the generator read. `run.sh --update` writes that file. Needs Go; downloads the module k8s.io/kubernetes that go.mod names.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$here"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
version=$(sed -n 's/.*k8s.io\/kubernetes \(v[0-9.]*\)$/\1/p' go.mod)
source=$(go mod download -json "k8s.io/kubernetes@$version" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
cp go.mod go.sum "$work"
for file in "$source"/pkg/controller/podautoscaler/*.go; do
  case $file in
    *_test.go) ;;
    *) cp "$file" "$work" ;;
  esac
done
cp vectors_test.go "$work"
chmod -R u+w "$work"
(cd "$work" && KUBERNETES=$version VECTORS="$work/hpa.json" go test -count=1 .)
if [ "${1-}" = --update ]; then
  cp "$work/hpa.json" ../vectors/hpa.json
else
  diff -q "$work/hpa.json" ../vectors/hpa.json
fi
