#!/bin/bash
# Makes a chroot with the CPythons of a newer Debian suite (3.13, 3.14, 3.15), for tests on versions
# that this machine lacks.
# usage: debian-python.sh DIR [SUITE]    needs root; about 45 s and 1.2 GB; a second run finds it ready
# then:  chroot DIR python3.14 ...
# undo:  umount DIR/dev/shm DIR/proc before rm -rf DIR
set -euo pipefail
dir=${1:?DIR}
suite=${2:-forky}

mounts() {
    mountpoint -q "$dir/proc" || mount -t proc proc "$dir/proc"
    mountpoint -q "$dir/dev/shm" || mount -t tmpfs tmpfs "$dir/dev/shm"
}

# The mark is written last: a run that was cut off is done again. So is one of before it had the SIP peers.
if [ -e "$dir/.isoexec-ready" ] && [ -x "$dir/usr/bin/sipp" ] && [ -x "$dir/usr/bin/tshark" ]; then
    mounts
    echo "ready: $dir"
    exit 0
fi

command -v debootstrap >/dev/null || { apt-get update -q && apt-get install -yq debootstrap; }
mirror=$(sed -n 's/^URIs: //p' /etc/apt/sources.list.d/debian.sources 2>/dev/null | head -1)
[ -n "$mirror" ] || mirror=$(sed -n 's/^deb \(\[[^]]*\] \)\?\([^ ]*\) .*/\2/p' /etc/apt/sources.list | head -1)
scripts=/usr/share/debootstrap/scripts
[ -e "$scripts/$suite" ] || ln -s sid "$scripts/$suite"

if [ ! -x "$dir/usr/bin/apt-get" ]; then
    mkdir -p "$dir"
    debootstrap --variant=minbase --include=ca-certificates "$suite" "$dir" "$mirror"
fi
cp /etc/resolv.conf "$dir/etc/resolv.conf"
# A machine behind a proxy has certificates of its own.
cp /etc/ssl/certs/ca-certificates.crt "$dir/etc/ssl/certs/ca-certificates.crt"
# A mirror kept as a snapshot has a release file that is out of date.
echo 'Acquire::Check-Valid-Until "false";' >"$dir/etc/apt/apt.conf.d/99novaliduntil"
mounts

packages="build-essential sip-tester tshark"
for version in 3.13 3.14 3.15; do
    packages="$packages python$version python$version-dev python$version-venv"
done
chroot "$dir" apt-get -q update
# shellcheck disable=SC2086  # the packages are words
DEBIAN_FRONTEND=noninteractive chroot "$dir" apt-get install -yq --no-install-recommends $packages
touch "$dir/.isoexec-ready"
echo "ready: $dir"
