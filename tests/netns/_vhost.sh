# What stories with vhost-user guests share, sourced after _story.sh: vhost_peer is the hypervisor and the
# driver, a namespace behind its TAP the guest's kernel.
#
#	vhost_guest NAME ADDRESS [PEER-OPTION...]  namespace NAME, interface g0, on the port's socket $T/NAME.sock
#	peer ARG...                 vhost_peer in the background; $SPAWNED, $SPAWN_OUT
#	peer_word FILE KEY          from the JSON line that it leaves
#	up NAME / down NAME         the port's state
#	detail NAME KEY             a line of `port show`
#	daemon_fds                  how many descriptors the daemon has
#	packets_back                no packet buffer is missing but those that each thread keeps at hand (net/pkt.c)
#	unanswered NAME             echo requests it has sent so far without getting a reply
#	count PORT FIELD            of the counters
#	serve NAME                  $T/www/f on NAME's port 8000;  fetches NAME ADDRESS: it arrives whole
need_root; need_tun; need jq nstat
PEER=$BUILD/tests/vhost/vhost_peer
[ -x "$PEER" ] || skip "$PEER is not built (make testprog)"
MACS=0

peer() { spawn "$PEER" "$@"; }
vhost_guest() {
	local n=$1 a=$2
	shift 2
	ns "$n"
	MACS=$((MACS + 1))
	spawn on "$n" "$PEER" bridge g0 --socket "$T/$n.sock" --mac "$(printf 02:00:00:00:01:%02x $MACS)" "$@"
	GUEST_OUT=$SPAWN_OUT
	wait_for 5 eval "ipn $n link show g0 >/dev/null 2>&1" || fail "no interface of guest $n: $(cat "$GUEST_OUT")"
	ipn "$n" link set g0 up
	[ -z "$a" ] || ipn "$n" addr add "$a" dev g0
}
peer_word() { jq -r ".$2" "$1" 2>/dev/null; }
up() { jctl ".[] | select(.name == \"$1\") | .state == \"up\"" port list >/dev/null; }
down() { jctl ".[] | select(.name == \"$1\") | .state == \"down\"" port list >/dev/null; }
detail() { jctl ".details[\"$2\"] // \"\"" port show "$1"; }
daemon_fds() { find "/proc/$DAEMON/fd" -mindepth 1 | wc -l; }
packets_back() {
	local threads
	threads=$(($(jctl .workers status) + 1))
	jctl .memory status
	"$VSWITCHCTL" --json status | jq -e --argjson t $threads '.memory | .packets_total - .packets_free <= 256 * $t and
		.large_packets_total - .large_packets_free <= 16 * $t'
}
# By the kernel's counters: ping itself stops listening soon after its last request, whatever -W says.
unanswered() { on "$1" nstat -asz IcmpOutEchos IcmpInEchoReps | awk '/IcmpOutEchos/ { s = $2 } /IcmpInEchoReps/ { r = $2 } END { print s - r }'; }
count() { jctl ".ports[\"$1\"].$2" counters; }
serve() {
	mkdir -p "$T/www"
	[ -e "$T/www/f" ] || head -c "${SERVE_BYTES:-3000000}" /dev/urandom >"$T/www/f"
	SUM=$(md5sum <"$T/www/f")
	web_server "$1" 8000
}
fetches() { [ "$(on "$1" curl -sf -m 15 "http://$2:8000/f" | md5sum)" = "$SUM" ]; }
