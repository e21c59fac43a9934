#!/bin/bash
# What STUN clients say of the NAT (RFC 5780's tests): mapping, each way of filtering, hairpin, padded
# requests in fragments, and lifetimes by the test clock.  The topology is in _rfc.sh.
. "$(dirname "$0")/_rfc.sh"
need_root; need_tun; need jq curl stun
COTURN=$("$ROOT/tests/peers.sh" coturn 2>/dev/null) || skip "no coturn: apt cannot download it"
LIBS=$(echo "$COTURN"/usr/lib/*-linux-gnu)

rfc_start
spawn on wan env LD_LIBRARY_PATH="$LIBS" "$COTURN/usr/bin/turnserver" -n -S --no-tls --no-dtls --no-cli -m 1 -l "$T/turn.log" \
	--pidfile "$T/turn.pid" -b "$T/turndb" -L 203.0.113.10 -L 203.0.113.11
wait_for 10 listening_udp wan 3478 || fail "no STUN server"
natdiscovery() { timeout 20 ip netns exec "$PREFIX-g1" env LD_LIBRARY_PATH="$LIBS" "$COTURN/usr/bin/turnutils_natdiscovery" "$@" 203.0.113.10 >"$T/stun" 2>&1; cat "$T/stun"; }
says() { # REGEX ARG...: what natdiscovery prints
	local want=$1
	shift
	natdiscovery "$@"
	grep -q "$want" "$T/stun"
}
stun_says() { timeout 20 ip netns exec "$PREFIX-g1" stun 203.0.113.10 >"$T/stun" 2>&1; cat "$T/stun"; grep -q "$1" "$T/stun"; }

# A guest's own socket and the world's, stepped by hand: sends out, waits, hears (or not) what comes in.
cat >"$T/life.py" <<'EOP'
import os, socket, subprocess, sys
from wire import enter
seconds, answer = int(sys.argv[1]), sys.argv[2] == "answer"
def udp(ns, addr):
    enter(ns); s = socket.socket(type=socket.SOCK_DGRAM); s.bind(addr); s.settimeout(1); return s
g, w = udp("g1", ("", 0)), udp("wan", ("203.0.113.10", 0))
g.sendto(b"out", w.getsockname())
_, outside = w.recvfrom(100)
enter("sw")
def advance(n): subprocess.run([os.environ["VSWITCHCTL"], "clock", "advance", str(n)], check=True, stdout=subprocess.DEVNULL)
if len(sys.argv) > 3: # by halves, refreshed from inside or outside between them
    advance(seconds // 2)
    if sys.argv[3] == "inside": g.sendto(b"out", w.getsockname()); w.recvfrom(100)
    else: w.sendto(b"in", outside); g.recvfrom(100)
    advance(seconds - seconds // 2)
else: advance(seconds)
w.sendto(b"late", outside)
try: got = g.recvfrom(100)[0] == b"late"
except socket.timeout: got = False
sys.exit(got != answer)
EOP
export VSWITCHCTL
life() { "$PY" "$T/life.py" "$@"; }

for kind in $KINDS; do
	rfc_kind "$kind"
	check "mapping does not depend on the endpoint" says "NAT with Endpoint Independent Mapping!" -m
	shows RFC4787 REQ-1
	check "the second server address was in it" grep -q "203.0.113.11" "$T/stun"
	check "no ALG touches what STUN says" grep -q "No ALG: Mapped == XOR-Mapped" "$T/stun"
	shows RFC4787 REQ-10; shows RFC5382 REQ-6
	check "filtering endpoint-independent" says "NAT with Endpoint Independent Filtering!" -f
	check "changed at run time" filtering address-dependent
	check "filtering address-dependent" says "NAT with Address Dependent Filtering!" -f
	check "changed again" filtering address-and-port-dependent
	check "filtering address-and-port-dependent" says "NAT with Address and Port Dependent Filtering!" -f
	shows RFC4787 REQ-8
	check "back to the first" filtering endpoint-independent
	check "hairpin" says "Received a request (maybe a successful hairpinning)" -H
	shows RFC4787 REQ-9; shows RFC4787 REQ-9a
	check "padded to 1500 bytes, in fragments, the mapping is the same" says "NAT with Endpoint Independent Mapping!" -P -m
	shows RFC4787 REQ-14
	check "and the old client agrees" stun_says "Independent Mapping, Independent Filter.*will hairpin"
	check "a UDP mapping lives for 295 s" life 295 answer
	check "not for 305 s" life 305 silence
	shows RFC4787 REQ-5; shows RFC4787 REQ-5c
	check "what goes out refreshes it" life 500 answer inside
	shows RFC4787 REQ-6
	check "what comes in does not" life 500 silence outside
	shows RFC7857 7

	if [ "$kind" = shared ]; then
		uplink_says() { jctl ".state == \"$1\"" uplink show out; }
		expect_log 'out: down: .* overlaps'
		check "a network is made where the uplink's address is" ctl net add over vlan=20 mode=internal subnet=198.51.100.0/24
		check "the uplink is down" uplink_says down
		check "and says why" eval 'ctl uplink show out | grep -q "overlaps network .over"'
		check "the network goes" ctl net del over
		check "the uplink is up" uplink_says up
	else
		sed 's/subnet: 10.10.10.0/subnet: 198.51.100.0/' "$CONFIG" >"$T/overlap.yaml"
		check "a subnet that overlaps the uplink's network is refused" eval '"$VSWITCHD" -n -c "$T/overlap.yaml" 2>&1 | grep -q overlaps'
	fi
	shows RFC4787 REQ-7

	web_server g2 8080; web=$SPAWNED web_out=$SPAWN_OUT
	check "g2 is forwarded to" ctl forward add lab tcp :8080 10.10.10.52:8080
	check "g1 fetches from g2 by the outside address" on g1 curl -sf -m 5 "http://$OUTSIDE:8080/"
	check "which is the source that g2 sees" grep -q "^$OUTSIDE " "$web_out"
	shows RFC5382 REQ-8; shows RFC5382 REQ-8a
	end_spawned "$web"
done
finish
