#!/bin/bash
# Interfaces that do not exist yet are waited for and shown as down: a port's, and an uplink's.
#
#	a (ta) --- vswitchd - - - e1 (later) h;  up0 (later) wan 203.0.113.1
. "$(dirname "$0")/_story.sh"
need_root; need_tun; need jq

ns $SW h wan
config <<EOC
version: 1
uplinks:
  wan: { type: interface, interface: up0, address: 203.0.113.2/24, gateway: 203.0.113.1 }
networks:
  lab: { vlan: 10, mode: nat, uplink: wan, subnet: 10.10.10.0/24 }
ports:
  a: { type: tap, interface: ta, network: lab }
  e: { type: netdev, interface: e1, network: lab }
EOC
daemon_start
tap_guest a ta 10.10.10.2/24
ipn a route add default via 10.10.10.1
state() { jctl ".[] | select(.name == \"$1\") | .state == \"$2\"" port list; }
uplink() { jctl ".uplinks[] | select(.name == \"wan\") | .state == \"$1\"" show; }
check "the port is down" state e down
check "so is the uplink" uplink down
check "the rest works" pings a 10.10.10.1
veth $SW e1 h eth0
ipn h addr add 10.10.10.3/24 dev eth0
check "the interface appears: the port is up" wait_for 3 state e up
check "and reachable" wait_for 3 pings a 10.10.10.3
outside() {
	veth $SW up0 wan w0
	ipn wan link set w0 address 02:00:00:00:00:01
	ipn wan addr add 203.0.113.1/24 dev w0
}
outside
check "the uplink's interface appears" wait_for 3 uplink up
check "and NAT works" wait_for 3 pings a 203.0.113.1
ipn $SW link del e1
check "it goes: the port is down" wait_for 3 state e down
veth $SW e1 h eth0
ipn h addr add 10.10.10.3/24 dev eth0
check "it comes again: the port is up" wait_for 3 state e up
hello h eth0 10.10.10.3 # the new interface has a new address
check "and reachable again" wait_for 3 pings a 10.10.10.3
ipn $SW link del up0
check "the uplink's interface goes" wait_for 3 uplink down
outside
check "and comes again" wait_for 4 pings a 203.0.113.1
finish
