#!/bin/bash
# Runs each fuzz target for FUZZ_SECONDS, two at a time, from its corpus; new inputs go
# to build/fuzz/found/TARGET, a crash to build/fuzz/crash-TARGET-*.  Exit status 1 when any
# target failed.  Arguments: the binaries.
set -u
seconds=${FUZZ_SECONDS:-30}
here=$(cd "$(dirname "$0")" && pwd)

one() {
	bin=$1 name=$(basename "$1") corpus=$here/corpus/$(basename "$1" | sed 's/^fuzz_//')
	mkdir -p "build/fuzz/found/$name"
	if "$bin" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
		-artifact_prefix="build/fuzz/crash-$name-" "build/fuzz/found/$name" "$corpus" \
		>"build/fuzz/$name.log" 2>&1; then
		echo "ok   $name  $(awk '/number_of_executed_units/{print $2}' "build/fuzz/$name.log") runs in ${seconds}s"
	else
		echo "FAIL $name"
		tail -n 40 "build/fuzz/$name.log"
		return 1
	fi
}

status=0 running=0
for bin in "$@"; do
	one "$bin" &
	running=$((running + 1))
	if [ $running -ge 2 ]; then
		wait -n || status=1
		running=$((running - 1))
	fi
done
while [ $running -gt 0 ]; do
	wait -n || status=1
	running=$((running - 1))
done
exit $status
