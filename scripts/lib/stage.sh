# SPDX-License-Identifier: GPL-2.0
# Progress of long work: what runs, since when, and which log to read when it fails. Sourced.
# shellcheck shell=bash

stage_logs=${RXEN_LOGS:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/build/logs}

# say TEXT...: one line with the time since the script started.
say() {
	printf '[%4ds] %s\n' "$SECONDS" "$*"
}

# die TEXT...: the last line of a script that cannot go on.
die() {
	printf '%s: %s\n' "$(basename "$0")" "$*" >&2
	exit 1
}

# stage NAME COMMAND...: runs a command with its output in a log named after the stage; on a terminal or in CI a line
# every 30 seconds tells that it still runs; a failure prints the log's end and its path.
stage() {
	local name=$1 log start=$SECONDS ticker status=0
	shift
	mkdir -p "$stage_logs"
	log=$stage_logs/$name.log
	say "$name ..."
	# `read` on a pipe that nobody writes to is a sleep that leaves no process behind when the ticker is ended.
	(
		exec 9<> <(:)
		while ! read -r -t 30 -u 9; do say "$name ... still running, $((SECONDS - start)) s, log: $log"; done
	) &
	ticker=$!
	("$@") >"$log" 2>&1 </dev/null || status=$?
	kill "$ticker" 2>/dev/null || true
	wait "$ticker" 2>/dev/null || true
	if [ "$status" -ne 0 ]; then
		tail -n 25 "$log" >&2
		die "stage '$name' failed with status $status after $((SECONDS - start)) s; log: $log"
	fi
	say "$name: done in $((SECONDS - start)) s"
}
