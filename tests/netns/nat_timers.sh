#!/bin/bash
# Sessions end by their timers, filtering lets in only who was spoken to: hours in milliseconds by the test clock.
#
#	a (ta) --- vswitchd --test-clock [203.0.113.2 on up0] --- (w0) 203.0.113.1, .3 wan
. "$(dirname "$0")/_story.sh"
need_root; need_tun; need jq

ns $SW
wan
ipn wan addr add 203.0.113.3/24 dev w0
net() { cat <<EOC
version: 1
uplinks:
  wan: { type: interface, interface: up0, address: 203.0.113.2/24, gateway: 203.0.113.1 }
networks:
  lab: { vlan: 10, mode: nat, uplink: wan, subnet: 10.10.10.0/24, nat: { filtering: $1, udp-timeout: 300s } }
ports:
  a: { type: tap, interface: ta, network: lab }
EOC
}
net address-and-port-dependent | config
daemon_start --test-clock
tap_guest a ta 10.10.10.50/24
ipn a route add default via 10.10.10.1
cat >"$T/udp.py" <<'EOP'
# The guest sends from port 4000; then ports :9000 and :9001 of .1 and :9000 of .3 answer; which ones arrive?
import socket, subprocess, sys
prefix = sys.argv[1]
def enter(ns):
    import ctypes, os
    fd = os.open("/run/netns/%s-%s" % (prefix, ns), os.O_RDONLY)
    assert ctypes.CDLL(None, use_errno=True).setns(fd, 0) == 0
    os.close(fd)
def udp(ns, addr):
    enter(ns); s = socket.socket(type=socket.SOCK_DGRAM); s.bind(addr); s.settimeout(1); return s
g = udp("a", ("0.0.0.0", 4000))
o = [udp("wan", ("203.0.113.1", 9000)), udp("wan", ("203.0.113.1", 9001)), udp("wan", ("203.0.113.3", 9000))]
g.sendto(b"out", ("203.0.113.1", 9000))
_, outside = o[0].recvfrom(100)
for s, word in zip(o, (b"same", b"port", b"host")): s.sendto(word, outside)
got = []
try:
    while True: got.append(g.recv(100).decode())
except socket.timeout: pass
print(",".join(got))
EOP
arrives() { [ "$("$PY" "$T/udp.py" "$PREFIX")" = "$1" ]; }
check "address-and-port-dependent: only the remote spoken to" arrives same
filtered() { jctl '.drops["nat-filtered"] >= 2' counters; }
check "the others are counted as filtered" filtered
sessions() { jctl "[.[] | select(.proto == \"udp\")] | length == $1" nat list; }
check "the session is listed" sessions 1
check "the clock advances 290 s" ctl clock advance 290
check "the session is still there (RFC 4787 REQ-5)" sessions 1
check "and past its time-out" ctl clock advance 15
check "it is gone" wait_for 3 sessions 0
net address-dependent | config
kill -HUP "$DAEMON"
check "address-dependent, after a reload: any port of that host" wait_for 3 arrives same,port
ctl clock advance 400
net endpoint-independent | config
kill -HUP "$DAEMON"
check "endpoint-independent: any host" wait_for 3 arrives same,port,host
web_server wan 8000
check "TCP" on a curl -sf -m 3 http://203.0.113.1:8000/
tcp() { jctl "[.[] | select(.proto == \"tcp\")] | length == $1" nat list; }
check "the closed connection lingers" tcp 1
check "and goes after the transitory time (RFC 5382 REQ-5)" eval 'ctl clock advance 300 && wait_for 3 tcp 0'
check "flush" ctl nat flush
finish
