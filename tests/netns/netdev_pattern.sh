#!/bin/bash
# Interfaces that appear under a name pattern become member ports and go again; an explicit port wins,
# then the longest literal.
#
#	a (eth0) ==veth== (tap1i1) \
#	b (eth0) ==veth== (tap4i1)  vswitchd  "tap*i1": lab   "tap22*i1": office   tap3i1: explicit, office
#	c (eth0) ==veth== (tap3i1) /
. "$(dirname "$0")/_story.sh"
need_root; need jq

ns $SW a b c d
config <<EOC
version: 1
networks:
  lab: { vlan: 10, mode: internal }
  office: { vlan: 30, mode: internal }
ports:
  "tap*i1": { type: netdev, network: lab }
  "tap22*i1": { type: netdev, network: office }
  third: { type: netdev, interface: tap3i1, network: office }
EOC
veth $SW tap1i1 a eth0
ipn a addr add 10.0.0.1/24 dev eth0
daemon_start
state() { jctl ".[] | select(.name == \"$1\") | .state == \"$2\"" port list; }
check "what is there already is taken" wait_for 3 state tap\*i1/tap1i1 up
check "its parent is named" jctl '.[] | select(.name == "tap*i1/tap1i1") | .parent == "tap*i1" and .network == "lab"' port list
check "the explicit port waits" state third down
veth $SW tap3i1 c eth0
ipn c addr add 10.0.0.3/24 dev eth0
check "and wins its interface" wait_for 3 state third up
veth $SW tap4i1 b eth0
ipn b addr add 10.0.0.2/24 dev eth0
check "a new interface is taken" wait_for 3 state tap\*i1/tap4i1 up
check "two members talk" wait_for 3 pings a 10.0.0.2
refute "the explicit port is in another network" pings a 10.0.0.3 -c 1 -W 1
ipn $SW link del tap4i1
gone() { ! jctl '.[] | select(.name == "tap*i1/tap4i1")' port list; }
check "a removed interface takes its port along" wait_for 3 gone
macs() { ! jctl '.[] | select(.port == "tap*i1/tap4i1")' mac list; }
check "and its addresses" wait_for 3 macs
veth $SW other0 d eth0
sleep 0.3
refute "no pattern, no port" jctl '.[] | select(.name | test("other0"))' port list
ipn $SW link set other0 down
ipn $SW link set other0 name tap9i1
ipn $SW link set tap9i1 up
check "an interface renamed into the pattern is taken" wait_for 3 state tap\*i1/tap9i1 up
ipn $SW link set tap9i1 down
ipn $SW link set tap9i1 name tap225i1
ipn $SW link set tap225i1 up
check "the longest literal wins" wait_for 3 state tap22\*i1/tap225i1 up
ipn $SW link del tap1i1
check "the rest goes on" state third up
finish
