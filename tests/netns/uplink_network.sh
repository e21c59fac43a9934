#!/bin/bash
# An uplink that is a host in one of the switch's own networks: on a bridged VLAN, beside a guest
# who is the router there, and inside a routed network.
#
#	a 10.10.10.x (ta) --- lab (nat) ==[192.0.2.7]== office (bridged) ---veth--- wan 192.0.2.1
#	c 10.30.0.x (tc) ---- deep (nat) ==[10.20.0.7]== mid (routed) ==[192.0.2.8]== office
. "$(dirname "$0")/_story.sh"
need_root; need_tun; need udhcpc curl jq iperf3

ns $SW
ns wan
veth $SW up0 wan w0
ipn wan addr add 192.0.2.1/24 dev w0
ipn wan route add 10.20.0.0/24 via 192.0.2.8
config <<EOC
version: 1
uplinks:
  hall: { type: network, network: office, address: 192.0.2.7/24, gateway: 192.0.2.1 }
  side: { type: network, network: office, address: 192.0.2.8/24, gateway: 192.0.2.1 }
  up:   { type: network, network: mid, address: 10.20.0.7/24, gateway: 10.20.0.1 }
networks:
  office: { vlan: 30, mode: bridged }
  lab:  { vlan: 10, mode: nat, uplink: hall, subnet: 10.10.10.0/24 }
  mid:  { vlan: 20, mode: routed, uplink: side, subnet: 10.20.0.0/24 }
  deep: { vlan: 40, mode: nat, uplink: up, subnet: 10.30.0.0/24 }
ports:
  wire: { type: netdev, interface: up0, network: office }
  a: { type: tap, interface: ta, network: lab }
  o: { type: tap, interface: toff, network: office }
  m: { type: tap, interface: tm, network: mid }
  c: { type: tap, interface: tc, network: deep }
EOC
daemon_start
tap_guest a ta
tap_guest c tc
tap_guest o toff 192.0.2.50/24
tap_guest m tm 10.20.0.9/24
ipn m route add default via 10.20.0.1
check "a takes a lease" dhcp a ta
check "so does c" dhcp c tc
check "out to the LAN" pings a 192.0.2.1
check "and to a guest of the office" pings a 192.0.2.50
web_server wan 8000; web=$SPAWN_OUT
check "a page from the LAN" on a curl -sf -m 5 http://192.0.2.1:8000/
check "which sees the uplink's address" grep -q "^192.0.2.7 " "$web"
check "the routed network goes out by its own" on m curl -sf -m 5 http://192.0.2.1:8000/
check "as itself" grep -q "^10.20.0.9 " "$web"
check "NAT into a routed network, and on" on c curl -sf -m 5 http://192.0.2.1:8000/
check "as a host of that network" grep -q "^10.20.0.7 " "$web"
check "hosts of that network are reached" pings c 10.20.0.9
web_server a 80
check "a forward at the office's address" ctl forward add lab tcp :8080 "$(lease_word a ip):80"
check "serves the office's guests" on o curl -sf -m 5 http://192.0.2.7:8080/
spawn on wan iperf3 -s
wait_for 5 listening wan 5201
check "TCP at speed" on a iperf3 -c 192.0.2.1 -t 1
check "the office moves to another VLAN, its uplinks with it" ctl net set office vlan 31
check "out to the LAN again" wait_for 5 pings a 192.0.2.1
finish
