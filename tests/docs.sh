#!/bin/bash
# The reference pages that are made from tables in the code.
#	docs.sh write    regenerates docs/counters.md, docs/commands.md, docs/config.md
#	docs.sh check    fails, with the difference, when one of them is not what the code says
set -eu
cd "$(dirname "$0")/.."
ctl=${BUILD:-build}/vswitchctl

counters() {
	cat <<-'EOL'
	# Counters

	Made from `net/drop.h` by `make docs`. `vswitchctl counters` prints these, `--drops` the losses in
	words, `--json` everything.

	For every port: `rx_packets` = `forwarded` + `flooded` + `consumed` + the sum of `rx_drops`;
	`offered` = `tx_packets` + the sum of `tx_drops`. Over all ports, with those that were
	deleted: the sum of `offered` = `copies`. Bytes are those of the frame without FCS, with its
	tag; `rx_segments` and `tx_segments` count a TSO frame as what it is on a wire.

	A drop "in" is counted at the port the frame came from, one "out" at the port it was offered
	to. What a gateway refuses is an out drop of `gw/NETWORK`, and what comes back from outside
	and is refused is one of `uplink/NAME`.

	| drop | the packet was |
	|---|---|
	EOL
	sed -n 's/^[[:space:]]*X([A-Z0-9_]*, "\([^"]*\)", "\([^"]*\)").*/| `\1` | \2 |/p' net/drop.h
}

page() {
	case $1 in
	counters) counters ;;
	commands) "$ctl" --help-markdown ;;
	config) "$ctl" --help-config ;;
	esac
}

for name in counters commands config; do
	case ${1:-} in
	write) page $name >docs/$name.md ;;
	check)
		page $name | diff -u docs/$name.md - >/dev/null || {
			echo "docs/$name.md is not what the code says: run 'make docs'"
			exit 1
		} ;;
	*) echo "usage: docs.sh write|check" >&2; exit 2 ;;
	esac
done
