#!/bin/bash
# The `host` uplink: guests go out by the host's own sockets; the host's loopback stays closed; a forward
# listens on it.
#
#	a (ta) --- vswitchd in `sw` 203.0.113.2 (up0) ==veth== (w0) 203.0.113.1 wan
. "$(dirname "$0")/_story.sh"
need_root; need_tun; need udhcpc curl jq nc

ns $SW
wan
ipn $SW addr add 203.0.113.2/24 dev up0
config <<EOC
version: 1
uplinks:
  host: { type: host }
networks:
  lab:
    vlan: 10
    mode: nat
    uplink: host
    subnet: 10.10.10.0/24
    dhcp: { reservations: [ { mac: "52:54:00:00:00:01", address: 10.10.10.10, hostname: web1 } ] }
    forward: [ { proto: tcp, listen: "127.0.0.1:2222", to: "10.10.10.10:22" } ]
ports:
  a: { type: tap, interface: ta, network: lab }
EOC
daemon_start
tap_guest a ta
ipn a link set ta down; ipn a link set ta address 52:54:00:00:00:01; ipn a link set ta up
check "a takes its reserved address" dhcp a ta
check "it is the one" test "$(lease_word a ip)" = 10.10.10.10
web_server wan 8000; web=$SPAWN_OUT
check "TCP out" on a curl -sf -m 5 http://203.0.113.1:8000/
check "from the host's address" grep -q '^203.0.113.2 ' "$web"
head -c 8000000 /dev/urandom >"$T/www/big"
same() { on a curl -sf -m 20 http://203.0.113.1:8000/big | cmp - "$T/www/big"; }
check "8 MB arrive whole" same
spawn on wan "$PY" -c 'import socket
s = socket.socket(type=socket.SOCK_DGRAM); s.bind(("", 7777))
while True:
    d, a = s.recvfrom(9000); s.sendto(b"you said " + d, a)'
wait_for 3 listening_udp wan 7777
udp() { echo hi | on a nc -u -w 1 203.0.113.1 7777 | grep -q "you said hi"; }
check "UDP out and back" udp
check "ping out" pings a 203.0.113.1
check "the session is listed" jctl '.[] | select(.remote == "203.0.113.1:8000") | .proto == "tcp" and .network == "lab"' nat list

mkdir -p "$T/secret"; echo secret >"$T/secret/index.html"
spawn on $SW "$PY" "$HERE/web.py" "$T/secret" 127.0.0.1 9999
wait_for 5 listening $SW 9999
for to in 10.10.10.1 127.0.0.1 203.0.113.2 10.0.2.2; do
	refute "the host's loopback is closed to guests at $to" on a curl -sf -m 1 --interface ta "http://$to:9999/"
done
web_server a 22
check "the forward on loopback" on $SW curl -sf -m 5 http://127.0.0.1:2222/
check "another is added" ctl forward add lab tcp 127.0.0.1:2223 10.10.10.10:22
check "and works" on $SW curl -sf -m 5 http://127.0.0.1:2223/
check "and is deleted" ctl forward del lab tcp 127.0.0.1:2223
refute "and is closed" on $SW curl -sf -m 1 http://127.0.0.1:2223/
refused() { on a curl -s -m 3 http://203.0.113.1:81/; [ $? = 7 ]; }
check "a closed port outside is refused, not lost" refused
finish
