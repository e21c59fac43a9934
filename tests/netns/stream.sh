#!/bin/bash
# Stream guests (QEMU's 32-bit length framing): the switch listens or dials, and re-dials; a
# guest that breaks the framing or stops reading harms only itself.
#
#	a (ga) --connect--> a.sock --- vswitchd --dial--> b.sock (gb) b
#	x: a script that misbehaves on x.sock
. "$(dirname "$0")/_story.sh"
need_root; need_tun; need jq

ns $SW
config <<EOC
version: 1
networks:
  lab: { vlan: 10, mode: internal }
ports:
  a: { type: stream, listen: $T/a.sock, network: lab }
  b: { type: stream, connect: $T/b.sock, network: lab }
  x: { type: stream, listen: $T/x.sock, network: lab }
EOC
daemon_start
state() { jctl ".[] | select(.name == \"$1\") | .state == \"$2\"" port list; }
check "a port without its peer is shown down" state b down
pump_guest a ga connect "$T/a.sock"
pump_guest b gb listen "$T/b.sock"; pump_b=$SPAWNED
ipn a addr add 10.0.0.1/24 dev ga
ipn b addr add 10.0.0.2/24 dev gb
check "the switch dials b" wait_for 5 state b up
check "a pings b" wait_for 5 pings a 10.0.0.2
end_spawned "$pump_b"; ip netns del "$PREFIX-b"; rm -f "$T/b.sock"
check "a closed peer is shown down" wait_for 5 state b down
pump_guest b gb listen "$T/b.sock"
ipn b addr add 10.0.0.2/24 dev gb
check "and dialled again" wait_for 5 state b up
hello b gb 10.0.0.2
check "a pings the new b" wait_for 5 pings a 10.0.0.2

misbehave() { "$PY" - "$T/x.sock" "$1" <<'EOP'
import socket, struct, sys, time
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.settimeout(3)
frame = bytes.fromhex("ffffffffffff02000000000988b5") + bytes(50)
ok = struct.pack("!I", len(frame)) + frame
what = sys.argv[2]
if what == "oversize":
    s.sendall(ok + struct.pack("!I", 0x7fffffff) + b"x" * 100)
    try:
        while s.recv(65536): pass   # what was flooded to us, then the end
    except ConnectionError: pass
elif what == "half":
    s.sendall(ok + ok[:30]); s.close()
elif what == "bytewise":
    for b in ok * 3: s.sendall(bytes([b]))
    time.sleep(0.1)
elif what == "deaf":
    s.sendall(ok); time.sleep(4)    # never reads
EOP
}
macs() { jctl '.[] | select(.mac == "02:00:00:00:00:09") | .port == "x"' mac list; }
check "an oversized length ends the connection" misbehave oversize
check "but what came before was taken" macs
# the counter is read after the connection has ended
oversize() { [ "$(rx_drop x rx-oversize)" -ge 1 ]; }
check "and it is counted" wait_for 2 oversize
check "half a frame, then the end" misbehave half
truncated() { [ "$(rx_drop x rx-truncated)" = 1 ]; }
check "is counted" wait_for 2 truncated
check "frames in single bytes" misbehave bytewise
check "the others still talk" pings a 10.0.0.2
spawn misbehave deaf
check "x is connected" wait_for 3 state x up
"$PY" -c 'from wire import BROADCAST, Wire, frame
w = Wire("a", "ga")
for i in range(3000): w.send(frame(BROADCAST, w.mac, bytes(1400)))'
check "a deaf guest is dropped to, the others go on" pings a 10.0.0.2
deaf() { [ "$(tx_drop x tx-full)" -ge 1 ]; }
check "its loss is counted" wait_for 3 deaf
finish
