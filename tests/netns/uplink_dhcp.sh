#!/bin/bash
# An uplink whose address comes from a DHCP server: taken, renewed, changed, lost and found again.
#
#	a 10.10.10.x (ta) --- lab (nat) --- vswitchd [dhcp on up0] ---veth--- wan 203.0.113.1, dnsmasq
#	c 10.20.0.x (tc) ---- low (nat) ==[dhcp in office, bridged to up1]---veth---'  198.51.100.1
. "$(dirname "$0")/_story.sh"
need_root; need_tun; need udhcpc curl jq dnsmasq

ns $SW
wan
veth $SW up1 wan w1
ipn wan addr add 198.51.100.1/24 dev w1
ipn wan addr add 192.0.2.9/32 dev lo
server() { # server FIRST LAST [OPTION...]
	local range=$1,$2
	shift 2
	spawn on wan dnsmasq --no-daemon --conf-file=/dev/null --port=0 --interface=w0 --interface=w1 --no-ping \
		--dhcp-authoritative --dhcp-leasefile="$T/dnsmasq.leases" --dhcp-range="$range,255.255.255.0,120" \
		--dhcp-range=198.51.100.50,198.51.100.50,255.255.255.0,120 "$@"
	SERVER=$SPAWNED
	wait_for 5 listening_udp wan 67
}
server_stop() { kill "$SERVER"; wait "$SERVER" 2>/dev/null; }
server 203.0.113.50 203.0.113.50 --dhcp-option=121,192.0.2.9/32,203.0.113.1,0.0.0.0/0,203.0.113.1
config <<EOC
version: 1
uplinks:
  wan:  { type: interface, interface: up0, address: dhcp }
  hall: { type: network, network: office, address: dhcp }
networks:
  lab: { vlan: 10, mode: nat, uplink: wan, subnet: 10.10.10.0/24, forward: [ { proto: tcp, listen: ":8080", to: "10.10.10.9:80" } ] }
  low: { vlan: 20, mode: nat, uplink: hall, subnet: 10.20.0.0/24 }
  office: { vlan: 30, mode: bridged }
ports:
  a: { type: tap, interface: ta, network: lab }
  c: { type: tap, interface: tc, network: low }
  wire: { type: netdev, interface: up1, network: office }
EOC
daemon_start --test-clock
tap_guest a ta 10.10.10.9/24
ipn a route add default via 10.10.10.1
tap_guest c tc
check "c takes a lease" dhcp c tc
web_server wan 8000; web=$SPAWN_OUT
get() { on "$1" curl -sf -m 2 -o /dev/null "http://$2:8000/"; }
check "out by the leased address" wait_for 10 get a 203.0.113.1
check "which the outside sees" grep -q '^203.0.113.50 ' "$web"
check "beyond the subnet by the server's router" get a 192.0.2.9
check "the uplink within a network has one too" wait_for 10 get c 198.51.100.1
check "of that network" grep -q '^198.51.100.50 ' "$web"
web_server a 80
check "a forward stands at the leased address" on wan curl -sf -m 5 -o /dev/null http://203.0.113.50:8080/

lease_end() { awk '$3 == "203.0.113.50" { print $1 }' "$T/dnsmasq.leases"; }
before=$(lease_end)
sleep 1.1
check "half of the lease goes by" ctl clock advance 61
renewed() { [ "$(lease_end)" != "$before" ]; }
check "it is renewed" wait_for 5 renewed
check "and nothing was disturbed" get a 203.0.113.1

server_stop
rm -f "$T/dnsmasq.leases"
server 203.0.113.77 203.0.113.77
check "the server gives another address at the next renewal" ctl clock advance 61
moved() { get a 203.0.113.1 && grep -q '^203.0.113.77 ' "$web"; }
check "the uplink follows" wait_for 20 moved
check "and so does the forward" on wan curl -sf -m 5 -o /dev/null http://203.0.113.77:8080/
refute "the old address is nobody's" on wan curl -sf -m 1 -o /dev/null http://203.0.113.50:8080/

server_stop
check "the server is gone, the lease ends" ctl clock advance 125
gone() { on a ping -n -c 1 -W 1 203.0.113.1 | grep -q "From 10.10.10.1.*Unreachable"; }
check "nothing goes out, and the guest is told" wait_for 10 gone
expect_log "its lease is lost"
rm -f "$T/dnsmasq.leases"
server 203.0.113.91 203.0.113.91
back() { ctl clock advance 20 && get a 203.0.113.1 && grep -q '^203.0.113.91 ' "$web"; }
check "the server returns, and so does the uplink" wait_for 30 back
finish
