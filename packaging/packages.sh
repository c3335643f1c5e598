#!/bin/sh
# Makes a .deb, an .rpm and an archive of each program in target/packages, from a release build for this machine.
#
#   packages.sh                 both programs
#   packages.sh bullmq-keda     one of them
#
# The packages need the C library of the machine that built them, or a newer one. cargo-deb and cargo-generate-rpm are
# installed first, in target/tools, if they are not there.
set -eu
cd "$(dirname "$0")/.."

CARGO_DEB=3.8.0
CARGO_GENERATE_RPM=0.21.1

has() {
  command -v "$1" >/dev/null 2>&1
}

crate_of() {
  case $1 in
    bullmq-exporter) echo exporter ;;
    bullmq-keda) echo generator ;;
    *)
      echo "packages.sh '$1': write bullmq-exporter or bullmq-keda" >&2
      exit 2
      ;;
  esac
}

# What the programs say of themselves: manual pages and completions, in the names that shells and man look for.
papers() {
  program=$1
  folder=target/packaging/$program
  rm -rf "$folder"
  mkdir -p "$folder/man"
  case $program in
    bullmq-exporter)
      say() { "target/release/$program" "--print-completions=$1"; }
      "target/release/$program" --print-man >"$folder/man/$program.1"
      ;;
    bullmq-keda)
      say() { "target/release/$program" completions "$1"; }
      "target/release/$program" man -o "$folder/man"
      ;;
  esac
  say bash >"$folder/$program.bash"
  say zsh >"$folder/_$program"
  say fish >"$folder/$program.fish"
}

version_of() {
  "target/release/$1" --version | sed -n '1s/^[a-z-]*,\{0,1\}\( version\)\{0,1\} \([0-9][^ ]*\).*/\2/p'
}

# Debian wants a changelog in a form of its own. What changed stands in ours, which the package has beside it as changelog.gz. The time is that of the
# sources, so that they make the same package again.
debian_changelog() {
  maintainer=$(sed -n 's/^maintainer = "\(.*\)"$/\1/p' "$(crate_of "$1")/Cargo.toml")
  when=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
  printf '%s (%s-1) unstable; urgency=medium\n\n  * See changelog.gz beside this file.\n\n -- %s  %s\n' \
    "$1" "$(version_of "$1")" "$maintainer" "$(date -R -u -d "@$when")" >"target/packaging/$1/changelog"
}

# The same as a .tar.gz, for systems with other packages.
archive() {
  program=$1
  name=$program-$(version_of "$program")-$(uname -m)-linux-gnu
  rm -rf "target/packaging/$name"
  mkdir -p "target/packaging/$name"
  cp "target/release/$program" README.md CHANGELOG.md LICENSE-APACHE LICENSE-MIT "target/packaging/$name/"
  cp -R "target/packaging/$program" "target/packaging/$name/share"
  rm "target/packaging/$name/share/changelog"
  [ "$program" != bullmq-exporter ] || cp packaging/bullmq-exporter.service packaging/bullmq-exporter.default "target/packaging/$name/"
  tar -C target/packaging --owner=0 --group=0 --numeric-owner --sort=name -czf "target/packages/$name.tar.gz" "$name"
}

[ $# -gt 0 ] || set -- bullmq-exporter bullmq-keda
for program in "$@"; do
  crate_of "$program" >/dev/null
done
# Beside the other tools of this repository, and not among the user's own programs.
PATH=$PWD/target/tools/bin:$PATH
has cargo-deb || cargo install --locked --root target/tools "cargo-deb@$CARGO_DEB"
has cargo-generate-rpm || cargo install --locked --root target/tools "cargo-generate-rpm@$CARGO_GENERATE_RPM"
mkdir -p target/packages
for program in "$@"; do
  cargo build --release --locked -p "$program" --bin "$program"
  papers "$program"
  debian_changelog "$program"
  cargo deb --locked --no-build -p "$program" -o target/packages/
  cargo generate-rpm -p "$(crate_of "$program")" -o target/packages/
  archive "$program"
done
ls -l target/packages
