#!/usr/bin/env bash
# rust-src.sh FOLDER: fetches the sources of the standard library for the rustc in use, and prints where they are.
#
# For machines where `rustup component add rust-src` cannot work. They are Debian's package rust-src of the very same
# version, from the mirror that this machine's own apt uses; exits with 3 where no Debian suite has that version.
# `cargo xtask` calls it by itself where it is needed.
set -euo pipefail

folder=$(mkdir -p "$1" && cd "$1" && pwd)
version=$(rustc --version | cut -d' ' -f2)
library=$folder/src-$version/library

# Debian suites that carry recent compilers, in an apt configuration of our own: this machine's stays as it is.
suites="trixie-backports sid trixie"
apt_options=(
  -o Dir::Etc::sourcelist="$folder/apt/sources.list"
  -o Dir::Etc::sourceparts=/dev/null
  -o Dir::State::lists="$folder/apt/lists"
  -o Dir::Cache="$folder/apt/cache"
  -o APT::Sandbox::User=root
  -o Acquire::Check-Valid-Until=false
)

mirror() {
  local codename
  codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
  apt-get indextargets --format '$(REPO_URI) $(RELEASE)' | awk -v release="$codename" '$2 == release {print $1; exit}'
}

fetch() {
  local from suite package_version
  mkdir -p "$folder"/apt/{lists/partial,cache/archives/partial} "$folder/new"
  from=$(mirror)
  for suite in $suites; do
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $from $suite main"
  done >"$folder/apt/sources.list"
  apt-get "${apt_options[@]}" -qq update
  package_version=$(apt-cache "${apt_options[@]}" madison rust-src |
    awk -v wanted="$version" '{split($3, part, "+"); if (part[1] == wanted) {print $3; exit}}')
  if [ -z "$package_version" ]; then
    echo "rust-src: none of the suites $suites has rust-src $version" >&2
    exit 3
  fi
  (cd "$folder" && apt-get "${apt_options[@]}" -qq download "rust-src=$package_version")
  dpkg-deb --fsys-tarfile "$folder"/rust-src_*.deb |
    tar -x -C "$folder/new" --strip-components=4 "./usr/src/rustc-$version/library"
}

if [ ! -e "$library/Cargo.lock" ]; then
  clean() { rm -rf "$folder"/{apt,new} "$folder"/rust-src_*.deb; }
  clean
  fetch >&2
  rm -rf "$folder/src-$version"
  mv "$folder/new" "$folder/src-$version"
  clean
fi
echo "$library"
