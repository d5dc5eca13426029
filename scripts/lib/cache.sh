# SPDX-License-Identifier: GPL-2.0
# Where downloads and builds are kept between runs. Sourced.
# shellcheck shell=bash

# One folder outside the clone; everything in it is named after a hash of its inputs, so that a change of the inputs
# makes a new entry and an old entry is never wrong.
RXEN_CACHE=${RXEN_CACHE:-/var/cache/rxen}

# cache_key FILE|STRING... : a short hash of the contents of files and of plain strings.
cache_key() {
	local input
	for input in "$@"; do
		if [ -f "$input" ]; then cat "$input"; else printf '%s\n' "$input"; fi
	done | sha256sum | cut -c1-12
}

# cache_lock NAME: holds the lock of one cache entry until the script ends, so that two runs do not build it twice.
cache_lock() {
	mkdir -p "$RXEN_CACHE/locks"
	exec {cache_lock_fd}>"$RXEN_CACHE/locks/$1"
	flock "$cache_lock_fd"
}
