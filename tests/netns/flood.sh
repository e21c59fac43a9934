#!/bin/bash
# A guest that floods harms only itself: its neighbours' pings are not lost, memory does not grow.
#
#	f floods (tf) --- vswitchd --- (ta) a, (tb) b;  d, e: deaf guests on d.sock, e.dgram
. "$(dirname "$0")/_story.sh"
need_root; need_tun; need jq

ns $SW
config <<EOC
version: 1
networks:
  lab: { vlan: 10, mode: internal }
ports:
  f: { type: tap, interface: tf, network: lab, max-macs: 100 }
  a: { type: tap, interface: ta, network: lab }
  b: { type: tap, interface: tb, network: lab }
  d: { type: stream, listen: $T/d.sock, network: lab }
  e: { type: dgram, socket: $T/e.dgram, network: lab }
EOC
daemon_start
tap_guest f tf; tap_guest a ta 10.0.0.1/24; tap_guest b tb 10.0.0.2/24
spawn "$PY" -c 'import socket, sys, time
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); time.sleep(30)' "$T/d.sock"
# This one has connected its socket: the kernel then queues for it without end.
spawn "$PY" -c 'import socket, sys, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind(sys.argv[2]); s.connect(sys.argv[1])
s.send(b"\xff" * 6 + b"\2\0\0\0\0\11\x88\xb5" + bytes(50)); time.sleep(30)' "$T/e.dgram" "$T/deaf"
check "the deaf are there" wait_for 5 jctl 'any(.[]; .name == "e/deaf") and any(.[]; .name == "d" and .state == "up")' port list
check "a pings b" pings a 10.0.0.2
rss() { awk '/^VmRSS/ { print $2 }' "/proc/$DAEMON/status"; }
before=$(rss)
cat >"$T/flood.py" <<'EOP'
import os, time
from wire import BROADCAST, Wire, frame
f = Wire("f", "tf")
end, i = time.monotonic() + 4, 0
while time.monotonic() < end:
    for _ in range(64):  # from itself and ever new addresses, to unknown ones and to all
        i += 1
        try: f.send(frame(BROADCAST if i % 3 else b"\x02" + os.urandom(5), f.mac if i % 2 else b"\x02" + os.urandom(5), bytes(1000)))
        except OSError: pass
print(i)
EOP
spawn "$PY" "$T/flood.py"; flooder=$SPAWNED; count=$SPAWN_OUT
sleep 0.3
# a and b know each other: unicast between them.
on a ping -n -c 100 -i 0.02 -W 3 10.0.0.2 >"$T/ping.out" 2>&1
say "$(tail -n 2 "$T/ping.out" | paste -sd' ')"
check "no ping between neighbours is lost" grep -q ' 0% packet loss' "$T/ping.out"
wait "$flooder"
say "flooded $(cat "$count") frames"
check "its addresses are bounded" jctl '[.[] | select(.port == "f")] | length <= 100' mac list
check "those beyond are counted" eval '[ "$(rx_drop f src-limit)" -gt 0 ]'
check "the deaf ones' loss is counted" eval '[ "$(tx_drop d tx-full)" -gt 0 ] && [ "$(tx_drop e/deaf tx-full)" -gt 0 ]'
# The packet memory is fixed at start, but only now touched.
check "memory stays within what was set aside" test $(($(rss) - before)) -lt 24576
check "control answers" ctl status
finish
