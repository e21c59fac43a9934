#!/bin/bash
# A host-only network: the host has an interface in it, guests and host talk, nothing leaves.
#
#	a 192.168.56.x (ta) --- vswitchd --- vsw-lab 192.168.56.1 (the host: namespace sw) ---veth--- wan
#	b 192.168.56.y (tb) ---    `- gateway services 192.168.56.2
. "$(dirname "$0")/_story.sh"
need_root; need_tun; need udhcpc curl jq dig nmap

ns $SW
wan
ipn $SW addr add 203.0.113.7/24 dev up0
config <<EOC
version: 1
networks:
  lab: { vlan: 10, mode: host-only, subnet: 192.168.56.0/24, dns: { domain: lab.internal } }
ports:
  a: { type: tap, interface: ta, network: lab }
  b: { type: tap, interface: tb, network: lab }
EOC
daemon_start
tap_guest a ta
tap_guest b tb
check "a takes a lease" dhcp a ta
check "so does b" dhcp b tb
a=$(lease_word a ip) b=$(lease_word b ip)
check "the host's interface has the first address" eval 'ipn $SW -4 addr show dev vsw-lab | grep -q "inet 192.168.56.1/24"'
check "guests talk" pings a "$b"
check "the host answers" pings a 192.168.56.1
check "the gateway answers" pings a 192.168.56.2
check "the host reaches a guest" on $SW ping -n -c 1 -W 2 "$a"
web_server a 80
check "and its web server" on $SW curl -sf -m 5 "http://$a/"
name() { on a dig +short +time=2 +tries=1 @192.168.56.2 gateway.lab.internal | grep -qx 192.168.56.2; }
check "names are answered" name
refute "nothing leaves" on a ping -n -c 1 -W 1 203.0.113.1
check "the guest is told: administratively prohibited" eval 'on a ping -n -c 1 -W 1 203.0.113.1 | grep -q "From 192.168.56.2.*Packet filtered"'
refute "nor to the host's other address" on a ping -n -c 1 -W 1 203.0.113.7
counted() { [ "$(jctl '.drops."gw-host-only" // 0' counters)" -gt 0 ]; }
check "counted by its name" counted
check "the gateway shows no open port" eval '! on a nmap -n -Pn -p- -T5 --max-retries 1 192.168.56.2 | grep -q "/tcp *open"'
check "net list tells the mode" jctl '.[] | select(.name == "lab") | .mode == "host-only" and .gateway == "192.168.56.2"' net list
check "another subnet, live" ctl net set lab subnet 192.168.57.0/24
moved() { ipn $SW -4 addr show dev vsw-lab | grep -q "inet 192.168.57.1/24"; }
check "the host's address follows" wait_for 3 moved
check "the network goes, and the interface with it" eval 'ctl port del a && ctl port del b && ctl net del lab && ! ipn $SW link show vsw-lab 2>/dev/null'
finish
