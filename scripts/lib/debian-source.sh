# SPDX-License-Identifier: GPL-2.0
# Sources of Debian's packages. Sourced.
# shellcheck shell=bash

# debian_source SYSTEM PACKAGE: has apt in the lab's system fetch and check a source package; prints the path of the
# upstream archive. Fails where the mirror does not have it.
debian_source() {
	local root=$1/root package=$2
	cp -L /etc/resolv.conf "$root/etc/resolv.conf"
	# Mirrors drop old source packages at their own pace, and a new index may be there before the files are.
	chroot "$root" sh -c 'apt-get -q update && cd /tmp && rm -f "$0"_* && apt-get -q source --download-only "$0"' "$package" >&2 || true
	# apt has checked the hash of the archive, whether or not it got the rest of the source package.
	ls "$root/tmp/$package"_*.orig.tar.xz
}
