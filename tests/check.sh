#!/bin/bash
# The runner behind `make check`: every test, one line each, and the sum in the last line.
#
#	UNIT_BIN="build/tests/unit/test_wire ..." REPLAY_BIN="build/tests/fuzz/fuzz_frame_replay ..." \
#		[BUILD=build] [CI=true] tests/check.sh [PATTERN]
#
# Unit tests, replays of the fuzz corpora, stories in namespaces (two at a time), stories with guests
# (one at a time: each boots two machines), lint, make.  PATTERN (a glob over names such as
# "netns/nat*") picks some.  Logs stay in $BUILD/check/.  A test ends with 0, 77 for a skip with
# "SKIP: why", or a failure; with CI=true a skipped required story is a failure.
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root" || exit 1
build=${BUILD:-build}
export BUILD=$build
logs=$build/check
pattern=${1:-*}
required='guest/* netns/tap netns/dgram netns/netdev* netns/nat_interface netns/nat_host netns/dhcp netns/dns netns/vhost'
limit=180
rm -rf "$logs" "$build/rfc"
mkdir -p "$logs"
trap 'trap - INT TERM; kill $(jobs -p) 2>/dev/null; exit 130' INT TERM

is_required() {
	local r
	for r in $required; do
		# shellcheck disable=SC2053 -- a glob is meant
		[[ $1 == $r ]] && return 0
	done
	return 1
}

# one NAME COMMAND...: runs it, keeps its log, writes its result
one() {
	local name=$1 log=$logs/${1//\//-}.log status=0 began=$EPOCHREALTIME took word why
	shift
	timeout -k 10 "$limit" "$@" >"$log" 2>&1 </dev/null || status=$?
	took=$(awk -v a="$began" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f s", b - a }')
	case $status in
	0) word=passed ;;
	77)
		word=skipped
		why=$(sed -n 's/^SKIP: //p' "$log" | tail -n 1)
		if [ "${CI:-}" = true ] && is_required "$name"; then
			word=failed
			why="required, but skipped: $why"
		fi ;;
	124 | 137)
		word=failed
		why="did not end in $limit s" ;;
	*) word=failed ;;
	esac
	echo "$word" >"$logs/${name//\//-}.result"
	{
		printf '%-8s %s (%s)%s\n' "$word" "$name" "$took" "${why:+: $why}"
		[ $word != failed ] || tail -n 60 "$log" | sed 's/^/    /'
	} | cat # in one piece, so that two at a time do not mix
}

wanted() {
	# shellcheck disable=SC2053
	[[ $1 == $pattern ]]
}

slots() { # slots N: waits until fewer than N run
	while [ "$(jobs -rp | wc -l)" -ge "$1" ]; do wait -n; done
}

for b in ${UNIT_BIN:-}; do
	name=unit/$(basename "$b")
	wanted "$name" || continue
	slots 2
	one "$name" "$b" &
done
for b in ${REPLAY_BIN:-}; do
	target=$(basename "$b" _replay)
	name=fuzz/$target
	wanted "$name" || continue
	slots 2
	one "$name" "$b" tests/fuzz/corpus/"${target#fuzz_}" &
done
wait
if wanted lint; then one lint tests/lint.sh; fi
if wanted make; then one make tests/make.sh; fi
for s in tests/netns/[!_]*.sh; do
	name=netns/$(basename "$s" .sh)
	wanted "$name" || continue
	slots 2
	one "$name" "$s" &
done
wait
for s in tests/guest/[!_]*.sh; do
	name=guest/$(basename "$s" .sh)
	case $name in guest/build | guest/guest) continue ;; esac
	wanted "$name" || continue
	one "$name" "$s"
done

# Last, as it is about the others: a run in which a story of docs/rfc.md was skipped has not shown it all.
if [ "$pattern" = '*' ]; then
	if grep -l '^skipped$' "$logs"/netns-rfc_*.result >/dev/null 2>&1; then
		one rfc sh -c 'echo "SKIP: a conformance story was skipped"; exit 77'
	else
		one rfc tests/rfc.sh check
	fi
fi

count() { cat "$logs"/*.result 2>/dev/null | grep -c "^$1$"; }
failed=$(count failed)
echo
if [ "$failed" != 0 ]; then
	echo "failed: $(grep -l '^failed$' "$logs"/*.result | sed 's|.*/||; s|\.result$||' | paste -sd' ')"
fi
echo "$(count passed) passed, $failed failed, $(count skipped) skipped"
[ "$failed" = 0 ]
