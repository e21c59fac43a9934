#!/bin/bash
# Bridged networks: guests are hosts of the LAN behind an interface of ours, under their own MAC addresses, one
# LAN untagged and another as a VLAN of the same cable; control frames of the LAN's switches stay there.
#
#	a (ta) --- office --- vswitchd [up0] ==veth== (u0) br0 (STP) 192.0.2.1 lan, dnsmasq
#	b (tb) --- lab (30) ----'                         `- VLAN 30 --- (v0) 198.51.100.1 vlan, dnsmasq
. "$(dirname "$0")/_story.sh"
need_root; need_tun; need_scapy; need udhcpc dnsmasq jq bridge tcpdump arping ethtool

ns $SW lan vlan
veth $SW up0 lan u0
ipn lan link add br0 type bridge stp_state 1 forward_delay 0 hello_time 100
ipn lan link set u0 master br0
ipn lan link set br0 up
ipn lan addr add 192.0.2.1/24 dev br0
on lan ethtool -K u0 tx off >/dev/null
spawn "$PY" "$HERE/vlanif.py" lan u0 30 vlan v0
wait_for 5 ipn vlan link set v0 up || fail "no VLAN interface"
ipn vlan addr add 198.51.100.1/24 dev v0
serve() { # NAME IF RANGE
	spawn on "$1" dnsmasq -k -C /dev/null --port=0 --bind-interfaces --interface="$2" --dhcp-authoritative --no-ping \
		--dhcp-range="$3,1h" --dhcp-leasefile="$T/$1.leases" --pid-file="$T/$1.pid"
	wait_for 5 listening_udp "$1" 67 || fail "no DHCP server"
}
serve lan br0 192.0.2.50,192.0.2.60
serve vlan v0 198.51.100.50,198.51.100.60
config <<EOC
version: 1
networks:
  office: { vlan: 10, mode: bridged }
  lab:    { vlan: 30, mode: bridged }
ports:
  up: { type: netdev, interface: up0, trunk: [office, lab], native: office }
  a:  { type: tap, interface: ta, network: office }
  b:  { type: tap, interface: tb, network: lab }
EOC
daemon_start
tap_guest a ta
tap_guest b tb
on a sysctl -qw net.ipv6.conf.ta.disable_ipv6=1
mac_of() { ipn "$1" -j link show "$2" | jq -r '.[0].address'; }

check "a takes a lease of the LAN's own server" dhcp a ta
check "with an address of the LAN" eval '[[ $(lease_word a ip) == 192.0.2.* ]]'
check "b takes one of the tagged LAN" dhcp b tb
check "with an address of that" eval '[[ $(lease_word b ip) == 198.51.100.* ]]'
A=$(lease_word a ip) B=$(lease_word b ip)
check "the server knows a by its own MAC address" grep -q "$(mac_of a ta) $A" "$T/lan.leases"
check "so does the LAN's switch" eval 'on lan bridge fdb show br br0 | grep -q "^$(mac_of a ta) dev u0"'
check "a reaches the LAN" pings a 192.0.2.1
check "the LAN reaches a" pings lan "$A"
check "and b by its VLAN" pings vlan "$B"
refute "the two networks do not meet" on a arping -c 1 -w 1 -I ta "$B"
spawn on lan tcpdump -n -e -l -i u0 -c 8 icmp or vlan; seen=$SPAWN_OUT dump=$SPAWNED
wait_for 5 grep -q listening "$seen"
check "a talks to the LAN, and b to its VLAN" eval 'pings a 192.0.2.1 && pings b 198.51.100.1'
check "the LAN sees b's frames with tag 30" wait_for 3 grep -q "$(mac_of b tb) > .*vlan 30" "$seen"
check "and a's without one" eval 'grep "$(mac_of a ta) > " "$seen" | grep -qv vlan'
wait "$dump"

# the LAN's bridge sends BPDUs each second; LLDP and the other reserved addresses come from both sides
spawn on a tcpdump -n -e -l -i ta "ether[0:4] = 0x0180c200 and ether[4] = 0"; at_a=$SPAWN_OUT
spawn on lan tcpdump -n -e -l -i u0 -Q in "ether[0:4] = 0x0180c200 and ether[4] = 0"; at_lan=$SPAWN_OUT
wait_for 5 grep -q listening "$at_a" && wait_for 5 grep -q listening "$at_lan"
control_drops() { jctl '[.ports.up.rx_drops."eth-control" // 0, .ports.a.rx_drops."eth-control" // 0] | join(" ")' counters; }
check "BPDUs of the LAN are dropped at the uplink by name" wait_for 5 eval '[[ $(jctl ".ports.up.rx_drops.\"eth-control\" // 0" counters) -ge 1 ]]'
all_reserved() { on "$1" "$PY" - "$2" <<-'EOP'
	import sys
	from scapy.all import Ether, Raw, conf, get_if_hwaddr, sendp
	conf.verb = 0
	i = sys.argv[1]
	sendp([Ether(dst="01:80:c2:00:00:%02x" % n, src=get_if_hwaddr(i), type=0x88cc if n == 14 else 0x8809 if n == 2 else 0x88b5) / Raw(bytes(46)) for n in range(16)], iface=i)
	EOP
}
before=$(jctl '.ports.a.rx_drops."eth-control" // 0' counters)
check "a sends to all sixteen reserved addresses, LLDP's among them" all_reserved a ta
check "each is dropped and counted" wait_for 3 eval '[ $(jctl ".ports.a.rx_drops.\"eth-control\" // 0" counters) -eq $((before + 16)) ]'
check "the LAN sends to them too" all_reserved lan u0
sleep 0.3
refute "none of the LAN's came to a" grep -q "01:80:c2" <(grep -v "$(mac_of a ta) >" "$at_a")
refute "and none of a's to the LAN" grep -q "$(mac_of a ta) >" "$at_lan"
finish
