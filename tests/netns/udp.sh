#!/bin/bash
# A UDP port: one frame per datagram, as QEMU's dgram netdev over inet and VirtualBox's UDPTunnel do.
#
#	a (ga) 127.0.0.1:20001 --- 127.0.0.1:20000 vswitchd (tb) b
. "$(dirname "$0")/_story.sh"
need_root; need_tun; need jq

ns $SW
config <<EOC
version: 1
networks:
  lab: { vlan: 10, mode: internal }
ports:
  a: { type: udp, listen: "127.0.0.1:20000", peer: "127.0.0.1:20001", network: lab }
  b: { type: tap, interface: tb, network: lab }
  c: { type: udp, listen: "127.0.0.1:20005", peer: "127.0.0.1:20006", network: lab }
EOC
# Somebody has c's address, and would share it.
spawn on $SW "$PY" -c 'import socket, time; s = socket.socket(type=socket.SOCK_DGRAM); s.setsockopt(1, 2, 1); s.bind(("127.0.0.1", 20005)); time.sleep(60)'
holder=$SPAWNED
wait_for 5 listening_udp $SW 20005
daemon_start
state() { jctl '.[] | select(.name == "c") | .state' port list; }
check "an address in use is not shared" test "$(state)" = down
check "and named as the reason" eval 'ctl port show c | grep -q "cannot bind: Address already in use"'
end_spawned "$holder"
check "the port is up when it is free" wait_for 5 eval '[ "$(state)" = up ]'
refute "and then ours alone" on $SW "$PY" -c 'import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.setsockopt(1, 2, 1); s.bind(("127.0.0.1", 20005))'
pump_guest a ga udp 20001 20000; pump=$SPAWNED
tap_guest b tb 10.0.0.2/24
ipn a addr add 10.0.0.1/24 dev ga
check "a pings b" pings a 10.0.0.2
check "b pings a with a full frame" pings b 10.0.0.1 -s 1472
cat >"$T/stranger.py" <<'EOP'
# More than the port's receive queue would hold, from the peer's address but for the port, and
# from another address.
import socket
from wire import BROADCAST, Wire, enter, frame
b = Wire("b", "tb")
enter("sw")
f = frame(BROADCAST, b"\x02" + bytes(5), b"stranger" + bytes(8000))
for host in "127.0.0.1", "127.0.0.2":
    s = socket.socket(type=socket.SOCK_DGRAM); s.bind((host, 20099 if host.endswith(".1") else 20001))
    for _ in range(1500): s.sendto(f, ("127.0.0.1", 20000))
assert not any(b"stranger" in f for f in b.recv(0.3))
EOP
spawn on a ping -n -i 0.02 -c 50 -W 2 10.0.0.2; pinger=$SPAWNED out=$SPAWN_OUT
check "strangers' frames are not taken" "$PY" "$T/stranger.py"
check "but counted, each of them" test "$(rx_drop a rx-stranger)" = 3000
wait "$pinger"
check "and the peer has lost nothing by them" grep -q ' 0% packet loss' "$out"
check "nor its queue's place" test "$(rx_drop a rx-overrun)" = 0
end_spawned "$pump"
runt() {
	on $SW "$PY" -c 'import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(("127.0.0.1", 20001)); s.sendto(b"abc", ("127.0.0.1", 20000))'
	wait_for 2 eval '[ "$(rx_drop a rx-runt)" = 1 ]'
}
check "what is no frame is counted" runt
cat >"$T/flood.py" <<'EOP'
import socket
s = socket.socket(type=socket.SOCK_DGRAM); s.bind(("127.0.0.1", 20001))
for _ in range(3000): s.sendto(b"\xff" * 6 + b"\x02" + bytes(8000), ("127.0.0.1", 20000))
EOP
received() { jctl '.ports.a.rx_packets' counters; }
before=$(received)
kill -STOP "$DAEMON"
on $SW "$PY" "$T/flood.py"
kill -CONT "$DAEMON"
check "what the peer sends is counted, taken or not" wait_for 5 eval '[ "$(received)" = $((before + 3000)) ]'
check "as what did not fit the queue" test "$(rx_drop a rx-overrun)" -gt 100
ip netns del "$PREFIX-a"
pump_guest a ga udp 20001 20000
ipn a addr add 10.0.0.1/24 dev ga
check "the peer comes back" wait_for 3 pings a 10.0.0.2
finish
