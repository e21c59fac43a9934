#!/bin/bash
# A guest behind a NAT network with an `interface` uplink reaches the outside by TCP, UDP and ICMP;
# forwards come and go at run time; nobody outside gets in otherwise.
#
#	a 10.10.10.x (ta) --- vswitchd [203.0.113.2 on up0] ---veth--- (w0) 203.0.113.1 wan
. "$(dirname "$0")/_story.sh"
need_root; need_tun; need udhcpc curl jq nc iperf3

ns $SW
wan
config <<EOC
version: 1
uplinks:
  wan: { type: interface, interface: up0, address: 203.0.113.2/24, gateway: 203.0.113.1 }
networks:
  lab: { vlan: 10, mode: nat, uplink: wan, subnet: 10.10.10.0/24 }
ports:
  a: { type: tap, interface: ta, network: lab }
  b: { type: tap, interface: tb, network: lab }
EOC
daemon_start
tap_guest a ta
tap_guest b tb
check "a takes a lease" dhcp a ta
check "so does b" dhcp b tb
check "the gateway answers ping" pings a 10.10.10.1
check "ICMP goes out" pings a 203.0.113.1
web_server wan 8000; web=$SPAWN_OUT
check "a page from outside" on a curl -sf -m 5 http://203.0.113.1:8000/
check "the outside sees the uplink's address" grep -q '^203.0.113.2 ' "$web"
session() { jctl '.[] | select(.proto == "tcp" and .remote == "203.0.113.1:8000") | .network == "lab" and (.outside | startswith("203.0.113.2:"))' nat list; }
check "nat list shows the session" session
spawn on wan "$PY" -c 'import socket
s = socket.socket(type=socket.SOCK_DGRAM); s.bind(("", 7777))
while True:
    d, a = s.recvfrom(9000); s.sendto(("you are %s:%d" % a).encode(), a)'
wait_for 3 listening_udp wan 7777
udp() { echo hi | on "$1" nc -u -w 1 203.0.113.1 7777 | grep -q "you are 203.0.113.2:"; }
check "UDP goes out and its answer in" udp a
check "from b as well" udp b

ipn wan route add 10.10.10.0/24 via 203.0.113.2
web_server a 80
addr=$(lease_word a ip)
refute "the outside cannot address a guest" on wan curl -sf -m 1 "http://$addr/"
refute "nor the uplink's ports" on wan curl -sf -m 1 http://203.0.113.2:8080/
check "a forward is added" ctl forward add lab tcp :8080 "$addr:80"
check "forward list shows it" jctl '.[] | select(.network == "lab" and .proto == "tcp") | .to | endswith(":80")' forward list
check "and works" on wan curl -sf -m 5 http://203.0.113.2:8080/
check "the guest sees the client's own address" grep -q '^203.0.113.1 ' "$SPAWN_OUT"
check "the uplink answers ping" on wan ping -n -c 1 -W 2 203.0.113.2
check "the forward is deleted" ctl forward del lab tcp :8080
refute "and no longer works" on wan curl -sf -m 1 http://203.0.113.2:8080/

spawn on wan iperf3 -s
wait_for 5 listening wan 5201
check "TCP at speed, out" on a iperf3 -c 203.0.113.1 -t 1
check "TCP at speed, in" on a iperf3 -c 203.0.113.1 -t 1 -R
mtu() { on a ping -n -c 1 -W 2 -M do -s 1472 203.0.113.1; }
check "full-size ICMP" mtu
frag() { on a ping -n -c 1 -W 2 -s 4000 203.0.113.1; }
check "fragments are reassembled through the NAT" frag
check "a traceroute's first hop is the gateway" eval 'on a ping -n -c 1 -t 1 -W 2 203.0.113.1 | grep -q "From 10.10.10.1"'
check "the host's forwarding is off" test "$(on $SW sysctl -n net.ipv4.ip_forward)" = 0
check "and its nftables empty" test -z "$(on $SW nft list ruleset)"
finish
