#!/bin/bash
# One guest's sessions are bounded, and its neighbour does not feel it; UDP forwards, forwards to a name,
# kill and flush.
#
#	a, b (taps) --- vswitchd [203.0.113.2 on up0] --- (w0) 203.0.113.1 wan
. "$(dirname "$0")/_story.sh"
need_root; need_tun; need udhcpc curl jq

ns $SW
wan
config <<EOC
version: 1
uplinks:
  wan: { type: interface, interface: up0, address: 203.0.113.2/24, gateway: 203.0.113.1 }
networks:
  lab: { vlan: 10, mode: nat, uplink: wan, subnet: 10.10.10.0/24, dns: { domain: lab.internal }, nat: { sessions-per-guest: 50 } }
ports:
  a: { type: tap, interface: ta, network: lab }
  b: { type: tap, interface: tb, network: lab }
EOC
daemon_start
tap_guest a ta; tap_guest b tb
check "leases" eval 'dhcp a ta && dhcp b tb -x hostname:web2'
web_server wan 8000
many() { on a "$PY" -c 'import socket
for i in range(200):
    s = socket.socket(type=socket.SOCK_DGRAM); s.sendto(b"x", ("203.0.113.1", 10000 + i))'; }
check "a opens 200 sessions" many
bounded() { jctl "[.[] | select(.port == \"a\")] | length <= 50" nat list; }
check "it has 50" bounded
check "b still gets out" on b curl -sf -m 5 http://203.0.113.1:8000/
check "a as well: its oldest gave way, or it is told" eval 'on a curl -s -m 5 http://203.0.113.1:8000/ || [ "$(jctl ".drops[\"nat-sessions\"]" counters)" -gt 0 ]'
check "flush" ctl nat flush
check "nothing is left" jctl 'length == 0' nat list

spawn on b "$PY" -c 'import socket
s = socket.socket(type=socket.SOCK_DGRAM); s.bind(("", 5000))
while True:
    d, a = s.recvfrom(9000); s.sendto(b"b heard " + d, a)'
wait_for 3 listening_udp b 5000
check "a UDP forward" ctl forward add lab udp :5555 "$(lease_word b ip):5000"
udp() { echo hi | on wan nc -u -w 1 203.0.113.2 5555 | grep -q "b heard hi"; }
check "works" udp
web_server b 80
check "a forward to a name" ctl forward add lab tcp :8080 web2:80
check "works" on wan curl -sf -m 5 http://203.0.113.2:8080/
check "from inside by the outside address too (hairpin, RFC 4787 REQ-9)" on a curl -sf -m 5 http://203.0.113.2:8080/
spawn on b "$PY" -c 'import socket, time
s = socket.create_connection(("203.0.113.1", 8000)); time.sleep(20)'
inside() { jctl 'first(.[] | select(.port == "b" and .proto == "tcp" and .remote == "203.0.113.1:8000")) | .inside' nat list; }
check "a session is there" wait_for 3 inside
check "kill" eval 'ctl nat kill lab tcp "$(inside)"'
refute "it is gone" inside
finish
