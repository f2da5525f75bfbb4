#!/usr/bin/env bash
# cpython.sh FOLDER 3.14|3.14t: builds that CPython from its sources into FOLDER.
#
# For Debian machines that have neither. Debian has no free-threaded CPython, and its 3.14 needs a newer C library than its
# stable release has, so both are built, each in about a minute. The sources come through apt, signed, from the release of
# Ubuntu that has 3.14, and stay beside FOLDER for the other build. `cargo xtask` calls it by itself where it is needed.
set -euo pipefail

folder=$1
version=$2
work=$(mkdir -p "$(dirname "$folder")/cpython" && cd "$(dirname "$folder")/cpython" && pwd)
folder=$(cd "$(dirname "$folder")" && pwd)/$(basename "$folder")

# An apt configuration of our own: this machine's stays as it is. With it, runs what is named.
apt_of() {
  local place=$work/$1 tool=$2
  shift 2
  mkdir -p "$place"/{lists/partial,cache/archives/partial}
  "$tool" -o Dir::Etc::sourcelist="$place/sources.list" -o Dir::Etc::sourceparts=/dev/null \
    -o Dir::State::lists="$place/lists" -o Dir::Cache="$place/cache" -o APT::Sandbox::User=root "$@"
}

# The keys that Ubuntu signs with are in a package that Debian signs.
fetch_keys() {
  local codename mirror
  codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
  mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' |
    awk -v release="$codename" '$2 == release {print $1; exit}')
  mkdir -p "$work/debian"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" >"$work/debian/sources.list"
  apt_of debian apt-get -qq update
  (cd "$work/debian" && apt_of debian apt-get -qq download ubuntu-keyring)
  dpkg-deb -x "$work"/debian/ubuntu-keyring_*.deb "$work/keys"
}

fetch_source() {
  local keys=$work/keys/usr/share/keyrings/ubuntu-archive-keyring.gpg
  mkdir -p "$work/ubuntu" "$work/new"
  echo "deb-src [signed-by=$keys] http://archive.ubuntu.com/ubuntu resolute main" >"$work/ubuntu/sources.list"
  apt_of ubuntu apt-get -qq update
  (cd "$work/ubuntu" && apt_of ubuntu apt-get -qq source --download-only --tar-only python3.14)
  tar -xJf "$work"/ubuntu/python3.14_*.orig.tar.xz -C "$work/new" --strip-components=1
}

# What the build needs, and cannot do without.
require_headers() {
  local missing
  missing=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' gcc make libssl-dev libffi-dev zlib1g-dev 2>&1 | grep -v '^installed ' || true)
  [ -z "$missing" ] && return
  if [ "$(id -u)" != 0 ]; then
    echo "cpython: install gcc make libssl-dev libffi-dev zlib1g-dev first" >&2
    exit 3
  fi
  apt-get -qq update
  DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install gcc make libc6-dev libssl-dev libffi-dev zlib1g-dev xz-utils
}

# Quickly rather than for speed: it runs tests.
build() {
  local options=() logs=$work/build-$version.log
  [ "$version" = 3.14t ] && options=(--disable-gil)
  rm -rf "$work/build" "$folder.new"
  mkdir "$work/build"
  (
    cd "$work/build"
    "$work/source/configure" -q --prefix="$folder" --disable-test-modules --without-static-libpython --with-ensurepip=no \
      CFLAGS="-O1 -g0" "${options[@]}"
    make -s -j"$(nproc)"
    make -s install DESTDIR="$folder.new"
  ) >"$logs" 2>&1 || { tail -n 20 "$logs"; exit 1; }
  "$folder.new$folder/bin/python$version" -c 'import ctypes, ssl, venv, zlib'
  mv "$folder.new$folder" "$folder"
  rm -rf "$folder.new" "$work/build"
}

require_headers
if [ ! -e "$work/source/configure" ]; then
  rm -rf "$work"/{debian,ubuntu,keys,new,source}
  fetch_keys
  fetch_source
  mv "$work/new" "$work/source"
  rm -rf "$work"/{debian,ubuntu,keys}
fi
build
