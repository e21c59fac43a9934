#!/bin/bash
# A network with an IPv6 /64: guests make addresses of their own from router advertisements, reach the gateway and
# each other, and resolve names over IPv6; the network is renumbered under them; nothing leaves.
# Wrong solicitations are dropped by name.
#
#	a (ta) --- vswitchd gw fd10:10::1 --- (tb) b
. "$(dirname "$0")/_story.sh"
need_root; need_tun; need rdisc6 dig jq tshark; need_scapy
[ -e /proc/sys/net/ipv6 ] || skip "no IPv6 in this kernel"

ns $SW
config <<EOC
version: 1
uplinks: { host: { type: host } }
networks:
  lab: { vlan: 10, mode: nat, subnet: [10.10.10.0/24, "fd10:10::/64"], mtu: 1400, dns: { domain: lab.internal } }
ports:
  a: { type: tap, interface: ta, network: lab }
  b: { type: tap, interface: tb, network: lab }
EOC
daemon_start --test-clock
guest6() { # NAME IF: a guest that speaks IPv6
	tap_guest "$1" "$2"
	on "$1" sysctl -qw net.ipv6.conf.all.disable_ipv6=0 "net.ipv6.conf.$2.disable_ipv6=0" "net.ipv6.conf.$2.accept_ra=1"
}
guest6 a ta
spawn on a tshark -q -i ta -w "$T/a.pcap"
guest6 b tb
slaac() { ipn "$1" -j -6 addr show dev "$2" | jq -er --arg p "$3" '.[].addr_info[] | select(.local | startswith($p)) | select(.tentative != true) | .local'; }
check "a makes an address of its own" wait_for 10 slaac a ta fd10:10:
check "so does b" wait_for 10 slaac b tb fd10:10:
A=$(slaac a ta fd10:10:) B=$(slaac b tb fd10:10:)
check "the MTU is taken over" test "$(on a sysctl -n net.ipv6.conf.ta.mtu)" = 1400
refute "nobody is a default router" eval 'ipn a -6 route | grep -q "^default"'

rdisc() { on a rdisc6 -1 -w 5000 ta >"$T/rdisc"; }
check "rdisc6 is answered" rdisc
check "with the prefix" grep -q 'Prefix *: fd10:10::/64' "$T/rdisc"
check "the MTU" grep -qE 'MTU *: *1400 bytes' "$T/rdisc"
check "the DNS server" grep -q 'Recursive DNS server *: fd10:10::1' "$T/rdisc"
check "the domain" grep -q 'DNS search list *: lab.internal' "$T/rdisc"

check "a pings the gateway" pings a fd10:10::1
check "with full frames" pings a fd10:10::1 -s 1352 -M do
check "a pings b" pings a "$B"
GW=$(sed -n 's/^ from \(fe80[^ ]*\).*/\1/p' "$T/rdisc")
check "a pings the gateway's link-local address" pings a "$GW%ta"
check "names are resolved over IPv6" eval 'test "$(on a dig +short +tries=1 @fd10:10::1 gateway.lab.internal)" = 10.10.10.1'
refute "there is no other port" eval 'on a nc -z -w 2 fd10:10::1 54'
check "which is refused with ICMPv6" test "$(tx_drop gw/lab gw-local-closed)" -ge 1

ipn a -6 route add default via fd10:10::1
noroute() { on a ping -n -c 1 -W 2 2001:db8::1 >"$T/ping" 2>&1; grep -q 'From fd10:10::1 .*No route' "$T/ping"; }
check "what is outside has no route, and the guest is told" noroute
check "which is counted" test "$(tx_drop gw/lab gw-no-route)" -ge 1
hops() { on a ping -n -c 1 -t 1 -W 2 2001:db8::1 >"$T/ping" 2>&1; grep -q 'From fd10:10::1 .*Hop limit' "$T/ping"; }
check "a hop limit that runs out is told as well" hops
bad() { on a $PY - "$1" ta <<-'EOP'
	import sys; from scapy.all import *
	conf.verb = 0
	ns = ICMPv6ND_NS(tgt="fd10:10::1") / ICMPv6NDOptSrcLLAddr(lladdr="02:00:00:00:00:99")
	e = Ether(src="02:00:00:00:00:99", dst="33:33:ff:00:00:01")
	group = "ff02::1:ff00:1"
	p = {"routed": e / IPv6(src="fe80::99", dst=group, hlim=64) / ns,
	     "csum": e / IPv6(src="fe80::99", dst=group, hlim=255) / ICMPv6ND_NS(tgt="fd10:10::1", cksum=1),
	     "probe": e / IPv6(src="::", dst=group, hlim=255) / ns,
	     "zero": e / IPv6(src="fe80::99", dst=group, hlim=255) / ICMPv6ND_NS(tgt="fd10:10::1") / Raw(b"\1\0" + bytes(6))}[sys.argv[1]]
	sendp(p, iface=sys.argv[2])
	EOP
}
n=0
for how in routed csum probe zero; do
	bad $how
	n=$((n + 1))
	check "a solicitation that is wrong ($how) is dropped" wait_for 3 eval "test \"\$(tx_drop gw/lab gw-nd)\" = $n"
done
dad() { on b ip -6 addr add fd10:10::1/64 dev tb && wait_for 5 eval 'ipn b -6 addr show dev tb | grep -q dadfailed'; }
check "the gateway's address is defended against a guest that takes it" dad
ipn b addr del fd10:10::1/64 dev tb

flood() { on a $PY - ta <<-'EOP'
	import sys, random; from scapy.all import *
	conf.verb = 0
	s = conf.L2socket(iface=sys.argv[1])
	base = bytes(Ether(src="02:00:00:00:00:99", dst="33:33:ff:00:00:02") / IPv6(src="fe80::99", dst="ff02::1:ff00:2", hlim=255) /
	             ICMPv6ND_NS(tgt="fd10:10::2") / ICMPv6NDOptSrcLLAddr(lladdr="02:00:00:00:00:99"))
	for i in range(20000):
	    s.send(base[:70] + random.randbytes(8) + base[78:])
	EOP
}
check "a scans 20,000 addresses" flood
check "b is not disturbed" pings b fd10:10::1

deprecated() { ipn a -6 addr show dev ta | grep -A1 "$1" | grep -q 'preferred_lft 0sec'; }
check "the network is renumbered" ctl net set lab subnet '[10.10.10.0/24, "fd20:20::/64"]'
check "a makes a new address" wait_for 10 slaac a ta fd20:20:
check "and the old one is deprecated" wait_for 5 deprecated fd10:10:
check "the gateway has moved" pings a fd20:20::1
check "net show says so" jctl '.subnet6 == "fd20:20::/64"' net show lab
check "IPv6 is taken away" ctl net set lab subnet 10.10.10.0/24
check "and the last address deprecated" wait_for 5 deprecated fd20:20:
check "it comes back" ctl net set lab subnet '[10.10.10.0/24, "fd20:20::/64"]'
check "and is preferred again" wait_for 10 eval '! deprecated fd20:20:'

ras() { tshark -r "$T/a.pcap" -Y 'icmpv6.type == 134' 2>/dev/null | wc -l; }
advances() { ctl clock advance 700; wait_for 3 eval "test \$(ras) -gt $1"; }
check "advertisements are repeated" advances "$(ras)"
experts() { tshark -r "$T/a.pcap" -o ipv6.defragment:TRUE -Y 'eth.src != 02:00:00:00:00:99 && icmpv6.type >= 134 && icmpv6.type <= 136 && (_ws.malformed || icmpv6.checksum.status == "Bad")' 2>/dev/null | grep -v '::1:ff00:1' | grep .; }
refute "tshark finds no fault with discovery" experts
finish
