#!/bin/bash
# Networks in mode nat with `ipv6: npt`: their /64s are others outside, address for address (RFC 6296), behind the filter
# of RFC 6092 unless told otherwise; ICMPv6 errors are understood on both sides.
#
#	a, a2 --- own fd10:3::/64 = 2001:db8:3::/64 --- vswitchd [2001:db8:f::2] --- (w0) wan 2001:db8:f::1 (w1) --- far 2001:db8:e::9
#	c ------- own2 fd10:4::/64 = 2001:db8:4::/48 ---'                                            (mtu 1300)
#	r ------- routed fd10:1::/64 -------------------'
. "$(dirname "$0")/_story.sh"
need_root; need_tun; need traceroute tracepath iperf3 jq nc tcpdump rdisc6
[ -e /proc/sys/net/ipv6 ] || skip "no IPv6 in this kernel"

ns $SW far
wan
veth wan w1 far f0
v6() { on "$1" sysctl -qw "net.ipv6.conf.$2.accept_ra=0" net.ipv6.conf.all.disable_ipv6=0 "net.ipv6.conf.$2.disable_ipv6=0" "net.ipv6.conf.$2.accept_dad=0" net.ipv6.conf.lo.disable_ipv6=0; }
v6 wan w0; v6 wan w1; v6 far f0
on wan sysctl -qw net.ipv6.conf.all.forwarding=1
ipn wan addr add 2001:db8:f::1/64 dev w0
ipn wan addr add 2001:db8:e::1/64 dev w1
ipn far addr add 2001:db8:e::9/64 dev f0
ipn far -6 route add default via 2001:db8:e::1
ipn wan route add 2001:db8:3::/64 via 2001:db8:f::2
ipn wan route add 2001:db8:4::/48 via 2001:db8:f::2
ipn wan link set w1 mtu 1300
ipn far link set f0 mtu 1300
config <<EOC
version: 1
uplinks:
  wan: { type: interface, interface: up0, address: [203.0.113.2/24, "2001:db8:f::2/64"], gateway: [203.0.113.1, "2001:db8:f::1"] }
networks:
  own: { vlan: 30, mode: nat, uplink: wan, subnet: [10.3.0.0/24, "fd10:3::/64"], nat: { ipv6: npt, ipv6-prefix: "2001:db8:3::/64" } }
  own2: { vlan: 40, mode: nat, uplink: wan, subnet: [10.4.0.0/24, "fd10:4::/64"], nat: { ipv6: npt, ipv6-prefix: "2001:db8:4::/48" } }
  routed: { vlan: 10, mode: routed, uplink: wan, subnet: [10.1.0.0/24, "fd10:1::/64"] }
ports:
  a: { type: tap, interface: ta, network: own }
  a2: { type: tap, interface: ta2, network: own }
  c: { type: tap, interface: tc, network: own2 }
  r: { type: tap, interface: tr, network: routed }
EOC
daemon_start
guest() { # NAME ADDRESS GATEWAY
	tap_guest "$1" "t$1"
	v6 "$1" "t$1"
	ipn "$1" addr add "$2/64" dev "t$1"
	ipn "$1" -6 route add default via "$3"
}
guest a fd10:3::a fd10:3::1
guest a2 fd10:3::ffff:1:2 fd10:3::1
guest c fd10:4::c fd10:4::1
guest r fd10:1::b fd10:1::1
outside() { # ADDRESS PREFIX: by RFC 6296 3.5, reckoned here
	$PY -c '
import sys, ipaddress as ip
a, p = (list(int.from_bytes(ip.IPv6Address(x).packed[i:i+2], "big") for i in range(0, 16, 2)) for x in sys.argv[1:])
i = next(i for i in range(4, 8) if a[i] != 0xffff)
a[i] = (a[i] + sum(a[:4]) - sum(p[:4])) % 0xffff
print(ip.IPv6Address(b"".join(w.to_bytes(2, "big") for w in p[:4] + a[4:])))' "$1" "$2"
}
FAR=2001:db8:e::9
A=$(outside fd10:3::a 2001:db8:3::) A2=$(outside fd10:3::ffff:1:2 2001:db8:3::) C=$(outside fd10:4::c 2001:db8:4::)

check "the gateway says that it is a router" eval 'on a rdisc6 -1 -w 3000 ta | grep -qE "Router lifetime *: *1800 "'
spawn on far tcpdump -n -l -i f0 ip6; seen=$SPAWN_OUT
wait_for 5 grep -q listening "$seen"
check "a pings the outside" pings a $FAR
check "which sees its outside address" wait_for 3 grep -q "IP6 $A > $FAR: ICMP6, echo request" "$seen"
check "so does its neighbour" pings a2 $FAR
check "under another" wait_for 3 grep -q "IP6 $A2 > $FAR" "$seen"
check "and who has a prefix of 48 bits" pings c $FAR
check "filled up with zeroes" wait_for 3 grep -q "IP6 $C > $FAR" "$seen"
check "fragments pass" pings a $FAR -s 4000
spawn on far iperf3 -6 -s
wait_for 5 listening far 5201
check "TCP, out: what is too big for a link outside is told, in the guest's own terms" on a iperf3 -6 -c $FAR -t 1
check "and in" on a iperf3 -6 -c $FAR -t 1 -R
check "UDP" on a iperf3 -6 -c $FAR -u -b 20M -t 1
ipn a -6 route flush cache
check "a path MTU" eval 'on a tracepath -n $FAR | grep -q "pmtu 1300"'
check "a traceroute's hops" eval 'on a traceroute -6 -n -q 1 -w 2 $FAR >"$T/hops"; grep -q "^ 1  fd10:3::1" "$T/hops" && grep -q "^ 2  2001:db8:f::1" "$T/hops" && grep -q "^ 3  $FAR" "$T/hops"'
told() { on "$1" ping -n -c 2 -W 4 "$2" >"$T/ping" 2>&1; grep -qE "$3" "$T/ping"; }
check "who is not there outside is told of" told a 2001:db8:f::77 'From fd10:3::1 .*Address unreachable'
check "a routed network is not there" told a fd10:1::b 'From fd10:3::1 .*No route'
check "the uplink's address answers" pings a 2001:db8:f::2
refute "no address of inside has been seen" grep -q fd10: "$seen"

grows() { # PORT REASON COMMAND...: that one more is counted so
	local port=$1 why=$2 n
	n=$(tx_drop "$port" "$why")
	shift 2
	"$@"
	wait_for 3 eval "[ \$(tx_drop $port $why) -gt $n ]"
}
check "from outside nobody gets in" grows uplink/wan gw-unsolicited on far ping -n -c 1 -W 1 "$A"
check "nor by another network's outside address" grows gw/own gw-unsolicited on a ping -n -c 1 -W 1 "$C"
check "an inside address is no way in" grows uplink/wan gw-not-mine eval 'ipn wan route add fd10:3::/64 via 2001:db8:f::2; on wan ping -n -c 1 -W 1 fd10:3::a'
check "the filter can be taken away" ctl net set own ipv6-filter false
check "and the outside reaches the guest" pings far "$A"
spawn on a nc -6 -l -k 8000
wait_for 5 listening a 8000
check "TCP too" on far nc -6 -z -w 2 "$A" 8000
refused() { on far $PY -c "
import socket
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); s.settimeout(3); s.connect(('$A', 9)); s.send(b'x')
try: s.recv(1)
except ConnectionRefusedError: print('refused')" | grep -q refused; }
check "the guest's own errors are understood outside" refused
check "who is not there inside is told of, by the uplink" told far "$(outside fd10:3::77 2001:db8:3::)" 'From 2001:db8:f::2 .*Address unreachable'
check "a neighbour is reached by its outside address (hairpin)" pings a "$A2"
check "the other network's guest reaches in too" pings c "$A"
check "an address of nothing but ones has no counterpart" grows uplink/wan gw-martian on far ping -n -c 1 -W 1 2001:db8:3::ffff:ffff:ffff:ffff
finish
