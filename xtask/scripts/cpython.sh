#!/usr/bin/env bash
# cpython.sh FOLDER 3.14|3.14t: builds that CPython from its sources into FOLDER.
#
# For Debian machines that have neither. Debian has no free-threaded CPython, and its 3.14 needs a newer C library than its
# stable release has, so both are built, each in about a minute. The sources come through apt, signed, from the release of
# Debian that has 3.14, and stay beside FOLDER for the other build. `cargo xtask` calls it by itself where it is needed.
set -euo pipefail

folder=$1
version=$2
work=$(mkdir -p "$(dirname "$folder")/cpython" && cd "$(dirname "$folder")/cpython" && pwd)
folder=$(cd "$(dirname "$folder")" && pwd)/$(basename "$folder")

# The release of Debian whose sources are taken, and a version of them for mirrors that have not the newest.
RELEASE=sid
KNOWN=python3.14_3.14.7.orig.tar.xz
KNOWN_SHA256=3b48dac8fb59f62eaa67ac83c1eb12bda1b7a08406dd286e252c11a66be27f81

# An apt configuration of our own: this machine's stays as it is. With it, runs what is named.
apt_of_release() {
  local tool=$1
  shift
  "$tool" -o Dir::Etc::sourcelist="$work/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
    -o Dir::State::lists="$work/apt/lists" -o Dir::Cache="$work/apt/cache" -o APT::Sandbox::User=root "$@"
}

# From the mirror that this machine's own apt uses.
fetch_source() {
  local codename mirror
  codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
  mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' |
    awk -v release="$codename" '$2 == release {print $1; exit}')
  mkdir -p "$work"/apt/{lists/partial,cache/archives/partial} "$work/new"
  echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $RELEASE main" >"$work/apt/sources.list"
  apt_of_release apt-get -qq update
  (
    cd "$work/apt"
    apt_of_release apt-get -qq source --download-only --tar-only python3.14 2>newest.log ||
      /usr/lib/apt/apt-helper -qq -o APT::Sandbox::User=root download-file "${mirror%/}/pool/main/p/python3.14/$KNOWN" "$KNOWN" "SHA256:$KNOWN_SHA256" ||
      { cat newest.log >&2; exit 1; }
  )
  tar -xJf "$work"/apt/python3.14_*.orig.tar.xz -C "$work/new" --strip-components=1
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
  rm -rf "$work"/{apt,new,source}
  fetch_source
  mv "$work/new" "$work/source"
  rm -rf "$work/apt"
fi
build
