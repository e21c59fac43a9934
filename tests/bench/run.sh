#!/bin/bash
# Runs every benchmark and prints a table of medians from build/bench/*.json.
#	run.sh [NAME...]      ROUNDS, TIME and WINDOW shorten them
set -u
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
export BUILD=${BUILD:-build}
status=0
[ $# -gt 0 ] || set -- tap_tcp netdev_tcp nat_tcp nat_slirp nat_rr nat_new nat_flood nat_sessions nat_per_vm learn idle vhost_pps vhost_rtt vhost_tcp vhost_workers vhost_idle
for b in "$@"; do
	echo "== $b"
	"$here/$b.sh" || { [ $? = 77 ] || status=1; }
done
echo
printf '%-12s %-14s %12s  %s\n' benchmark variant median samples
for f in "$root"/build/bench/*.json; do
	[ -e "$f" ] || continue
	jq -r '.name as $n | .unit as $u | (.variants | to_entries[] | [$n, .key, (.value.median | tostring), (.value.samples | map(tostring) | join(" "))]),
		(to_entries[] | select(.key | IN("name", "unit", "kernel", "cpus", "variants") | not) | [$n, .key, (.value | tostring), ""]) | @tsv' "$f" |
		while IFS=$'\t' read -r n v m s; do printf '%-12s %-14s %12s  %s\n' "$n" "$v" "$m" "$s"; done
done
exit $status
