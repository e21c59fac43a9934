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
EOC
daemon_start
pump_guest a ga udp 20001 20000; pump=$SPAWNED
tap_guest b tb 10.0.0.2/24
ipn a addr add 10.0.0.1/24 dev ga
check "a pings b" pings a 10.0.0.2
check "b pings a with a full frame" pings b 10.0.0.1 -s 1472
cat >"$T/stranger.py" <<'EOP'
import socket
from wire import BROADCAST, Wire, enter, frame
b = Wire("b", "tb")
enter("sw")
s = socket.socket(type=socket.SOCK_DGRAM); s.bind(("127.0.0.1", 20099))
try:
    for _ in range(3): s.sendto(frame(BROADCAST, b"\x02" + bytes(5), b"stranger"), ("127.0.0.1", 20000))
except ConnectionRefusedError: pass  # the kernel says so when the port hears its peer alone
assert not any(b"stranger" in f for f in b.recv(0.3))
EOP
check "a stranger's frames are not taken" "$PY" "$T/stranger.py"
end_spawned "$pump"
runt() {
	on $SW "$PY" -c 'import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(("127.0.0.1", 20001)); s.sendto(b"abc", ("127.0.0.1", 20000))'
	wait_for 2 eval '[ "$(rx_drop a rx-runt)" = 1 ]'
}
check "what is no frame is counted" runt
ip netns del "$PREFIX-a"
pump_guest a ga udp 20001 20000
ipn a addr add 10.0.0.1/24 dev ga
check "the peer comes back" wait_for 3 pings a 10.0.0.2
finish
