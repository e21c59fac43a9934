# The prologue of every story: sourced first, never run.
#
# A story is a short script: it draws its topology, makes namespaces of its own, starts the
# switch in one of them, does one thing that a user does and checks what the user would
# see.  It ends with `finish`, which holds the books (every packet in exactly one verdict), reads the
# daemon's log, and wants exit status 0 on SIGTERM.  Status: 0 pass, 77 skip, else failure.
#
#	need TOOL...                skip when one is not here
#	skip WHY / fail WHY
#	ns NAME...                  a namespace "$PREFIX-NAME", loopback up, without IPv6
#	on NAME COMMAND...          runs it there; $SW is where the switch runs
#	veth NAME IF NAME IF        a veth pair between two of them, up
#	config <<EOF                the daemon's file, $CONFIG
#	daemon_start [ARG...]       and waits until it answers
#	daemon_stop                 SIGTERM, status 0 wanted
#	daemon_kill                 kill -9
#	ctl ARG...                  vswitchctl on it;  jctl FILTER ARG...  with --json through jq
#	tap_guest NAME IF [ADDR]    moves the switch's TAP interface IF into namespace NAME
#	check TEXT COMMAND...       one step, printed; the story ends when it fails
#	refute TEXT COMMAND...      the same for what must not work
#	wait_for SECONDS COMMAND... with a deadline
#	spawn COMMAND...            in the background until the story ends; $SPAWNED is its pid
#	expect_log REGEX            lines that the log scan lets pass
#	shows RFC4787 REQ-1         what the steps so far have shown of tests/rfc/requirements.tsv, on
#	                            the kind of uplink $KIND; kept for docs/rfc.md when the story passes
#	finish
#
# BUILD=build/address-undefined runs them on another build, WORKERS=3 with so many workers.

set -u
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../.." && pwd)
BUILD=${BUILD:-build}
case $BUILD in /*) ;; *) BUILD=$ROOT/$BUILD ;; esac
VSWITCHD=${VSWITCHD:-$BUILD/vswitchd}
VSWITCHCTL=${VSWITCHCTL:-$BUILD/vswitchctl}
PY=/usr/bin/python3
export PATH=$PATH:/usr/sbin:/sbin LC_ALL=C

STORY=$(basename "$0" .sh)
rm -f "$BUILD/rfc/$STORY.tsv"
PREFIX=vt$$
SW=sw
T=$(mktemp -d "/tmp/vt-$STORY.XXXXXX")
CONFIG=$T/config.yaml
CONTROL=$T/control.sock
STATE=$T/state
LOG=$T/daemon.log
export VSWITCH_CONTROL=$CONTROL PREFIX PYTHONPATH=$HERE PYTHONDONTWRITEBYTECODE=1
KIND=interface
NAMESPACES=() SPAWNS=0 EXPECTED_LOG=()
DAEMON= SPAWNED= FINISHED=
export STATE_SIZE= # a size puts the state directory on a small disk of the daemon's own

say() { printf '  %s\n' "$*"; }
skip() { echo "SKIP: $*"; FINISHED=77; exit 77; }
fail() {
	echo "FAIL: $STORY: $*"
	if [ -s "$LOG" ]; then
		echo "  --- the daemon's log, last lines"
		tail -n 40 "$LOG" | sed 's/^/  | /'
	fi
	exit 1
}

need() {
	local t
	for t in "$@"; do command -v "$t" >/dev/null || skip "$t is not installed"; done
}
need_root() { [ "$(id -u)" = 0 ] || skip "needs root for network namespaces"; }
need_tun() { [ -c /dev/net/tun ] || skip "no /dev/net/tun"; }
need_scapy() { $PY -c 'import scapy' 2>/dev/null || skip "python3-scapy is not installed"; }

ns() {
	local n
	for n in "$@"; do
		ip netns add "$PREFIX-$n" || fail "cannot make namespace $n"
		NAMESPACES+=("$PREFIX-$n")
		on "$n" sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1 2>/dev/null
		ip -n "$PREFIX-$n" link set lo up
	done
}
on() {
	local n=$1
	shift
	ip netns exec "$PREFIX-$n" "$@"
}
ipn() { # ipn NAME ip-arguments
	local n=$1
	shift
	ip -n "$PREFIX-$n" "$@"
}
veth() {
	ip link add "$2" netns "$PREFIX-$1" type veth peer name "$4" netns "$PREFIX-$3" || fail "cannot make veth $2-$4"
	ipn "$1" link set "$2" up
	ipn "$3" link set "$4" up
}
# A server outside: namespace wan, 203.0.113.1 on w0, to the switch's interface up0.
wan() {
	ns wan
	veth "$SW" up0 wan w0
	ipn wan addr add 203.0.113.1/24 dev w0
}

config() {
	cat >"$CONFIG"
	[ -z "${WORKERS:-}" ] || grep -q '^workers:' "$CONFIG" || sed -i "/^version:/a workers: $WORKERS" "$CONFIG"
}
# The daemon sees $T/resolv.conf, when a story wrote one, as /etc/resolv.conf.  Becomes the
# daemon: for the background, or in ( ).
daemon_exec() {
	mkdir -p "$STATE"
	exec ip netns exec "$PREFIX-$SW" sh -c '
		[ -e "$0/resolv.conf" ] && mount --bind "$0/resolv.conf" /etc/resolv.conf
		[ -n "$STATE_SIZE" ] && mount -t tmpfs -o size="$STATE_SIZE" state "$0/state"
		exec "$@"' "$T" "$VSWITCHD" -c "$CONFIG" --control "$CONTROL" --state "$STATE" "$@"
}
daemon_start() {
	[ -x "$VSWITCHD" ] || skip "$VSWITCHD is not built"
	daemon_exec "$@" </dev/null >>"$LOG" 2>&1 &
	DAEMON=$!
	wait_for 10 answers || fail "the daemon does not answer"
}
answers() {
	kill -0 "$DAEMON" 2>/dev/null || fail "the daemon ended at once"
	"$VSWITCHCTL" status >/dev/null 2>&1
}
daemon_stop() {
	local status=0
	[ -n "$DAEMON" ] || return 0
	kill -TERM "$DAEMON" 2>/dev/null
	wait_for 10 eval "! kill -0 $DAEMON 2>/dev/null" || fail "the daemon does not end on SIGTERM"
	wait "$DAEMON" || status=$?
	DAEMON=
	[ $status = 0 ] || fail "the daemon's exit status is $status"
}
daemon_kill() {
	kill -KILL "$DAEMON" 2>/dev/null
	wait "$DAEMON" 2>/dev/null
	DAEMON=
}

ctl() { "$VSWITCHCTL" "$@"; }
jctl() {
	local filter=$1
	shift
	"$VSWITCHCTL" --json "$@" | jq -er "$filter"
}
# rx_drop PORT REASON / tx_drop PORT REASON: the number, 0 when absent.
rx_drop() { "$VSWITCHCTL" --json counters | jq -r --arg p "$1" --arg r "$2" '.ports[$p].rx_drops[$r] // 0'; }
tx_drop() { "$VSWITCHCTL" --json counters | jq -r --arg p "$1" --arg r "$2" '.ports[$p].tx_drops[$r] // 0'; }

tap_guest() {
	ns "$1"
	wait_for 5 eval "ipn $SW link show $2 >/dev/null 2>&1" || fail "the switch made no interface $2"
	ip -n "$PREFIX-$SW" link set "$2" netns "$PREFIX-$1" || fail "cannot move $2"
	ipn "$1" link set "$2" up
	[ $# -lt 3 ] || ipn "$1" addr add "$3" dev "$2"
}
# A guest on a socket: TAP $2 in namespace $1, its frames carried by pump.py ARG...
pump_guest() {
	local n=$1 i=$2
	shift 2
	ns "$n"
	spawn on "$SW" "$PY" "$HERE/pump.py" "$i" "$@"
	wait_for 5 eval "ipn $SW link show $i >/dev/null 2>&1" || fail "pump.py made no $i"
	ip -n "$PREFIX-$SW" link set "$i" netns "$PREFIX-$n" || fail "cannot move $i"
	ipn "$n" link set "$i" up
}
# A guest on a dgram socket exists for the switch once it has sent something.
hello() { on "$1" arping -q -A -c 1 -w 1 -I "$2" "$3" >/dev/null 2>&1; }
# dhcp NAME IF [ARG...]: takes a lease with udhcpc; the client's words are in $T/NAME.lease
dhcp() {
	local n=$1 i=$2
	shift 2
	LEASE_FILE=$T/$n.lease on "$n" udhcpc -i "$i" -f -q -n -t 5 -T 1 -s "$HERE/udhcpc.script" "$@" >"$T/$n.udhcpc" 2>&1
}
lease_word() { sed -n "s/^$2=//p" "$T/$1.lease" | tail -n 1; }
pings() { # pings NAME ADDRESS [ARG...]
	local n=$1 a=$2
	shift 2
	on "$n" ping -n -c 2 -i 0.1 -W 2 "$@" "$a" >"$T/ping.out" 2>&1
}
listening() { on "$1" ss -H -ltn "sport = :$2" | grep -q .; }
listening_udp() { on "$1" ss -H -lun "sport = :$2" | grep -q .; }
web_server() { # web_server NAME PORT [ADDRESS]: a page that says "outside", logs clients
	mkdir -p "$T/www"
	echo "hello from outside" >"$T/www/index.html"
	spawn on "$1" "$PY" -u "$HERE/web.py" "$T/www" "${3:-0.0.0.0}" "$2"
	wait_for 20 listening "$1" "$2" || fail "no web server"
}

wait_for() {
	local end=$((SECONDS + $1 + 1))
	shift
	until "$@"; do
		((SECONDS < end)) || return 1
		sleep 0.05
	done
}
check() {
	local text=$1
	shift
	if "$@" >"$T/check.out" 2>&1; then
		say "ok: $text"
	else
		local status=$?
		sed 's/^/  > /' "$T/check.out" | tail -n 20
		fail "$text (status $status: $*)"
	fi
}
refute() {
	local text=$1
	shift
	if "$@" >"$T/check.out" 2>&1; then
		sed 's/^/  > /' "$T/check.out" | tail -n 20
		fail "$text ($* succeeded)"
	fi
	say "ok: $text"
}
spawn() {
	# A function in the background would be a shell around the command, and be killed instead of it.
	if [ "$1" = on ]; then set -- ip netns exec "$PREFIX-$2" "${@:3}"; fi
	"$@" </dev/null >"$T/spawn.$SPAWNS" 2>&1 &
	SPAWNED=$!
	SPAWN_OUT=$T/spawn.$SPAWNS
	SPAWNS=$((SPAWNS + 1))
}
end_spawned() { # PID
	kill "$1" 2>/dev/null
	wait "$1" 2>/dev/null
	return 0
}
shows() { printf '%s %s\t%s\tnetns/%s\n' "$1" "$2" "$KIND" "$STORY" >>"$T/shown"; }
expect_log() { EXPECTED_LOG+=("$1"); }

# DESIGN.md's equations, on one picture taken between two bursts.
books() {
	"$VSWITCHCTL" --json counters >"$T/counters.json" || { echo "no counters"; return 1; }
	jq -r -f "$HERE/books.jq" "$T/counters.json" >"$T/books"
	[ ! -s "$T/books" ] || { cat "$T/books"; return 1; }
}
scan_log() {
	local x filter=cat
	cp "$LOG" "$T/scan"
	for x in "${EXPECTED_LOG[@]}"; do
		grep -vE "$x" "$T/scan" >"$T/scan2"
		mv "$T/scan2" "$T/scan"
	done
	if grep -nEi 'error|\bbug\b|sanitizer|assert|segmentation' "$T/scan"; then return 1; fi
}
finish() {
	if [ -n "$DAEMON" ]; then
		check "every packet is in exactly one verdict" books
		daemon_stop
	fi
	if [ -e "$LOG" ]; then check "nothing unexpected in the log" scan_log; fi
	if [ -s "$T/shown" ]; then mkdir -p "$BUILD/rfc" && sort -u "$T/shown" >"$BUILD/rfc/$STORY.tsv"; fi
	FINISHED=0
	exit 0
}

cleanup() {
	local status=$? p n
	trap - EXIT INT TERM
	set +e
	[ "$(type -t story_cleanup)" = function ] && story_cleanup
	# Only children that still run: the number of one that ended may be somebody else's by now.
	for p in $(jobs -pr); do kill "$p" 2>/dev/null; done
	sleep 0.05
	for p in $(jobs -pr); do kill -KILL "$p" 2>/dev/null; done
	wait 2>/dev/null
	for n in "${NAMESPACES[@]}"; do
		for p in $(ip netns pids "$n" 2>/dev/null); do kill -KILL "$p" 2>/dev/null; done
		ip netns del "$n" 2>/dev/null
	done
	if [ "${KEEP:-0}" = 1 ]; then echo "kept: $T"; else rm -rf "$T"; fi
	[ $status = 0 ] && [ -z "$FINISHED" ] && { echo "FAIL: $STORY ended without finish"; status=1; }
	exit $status
}
trap cleanup EXIT
trap 'exit 130' INT TERM
