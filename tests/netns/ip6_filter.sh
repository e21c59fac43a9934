#!/bin/bash
# A routed network with `ipv6-filter`: what its guests start comes back, what nobody there has asked for is dropped by
# name, from outside and from other networks (RFC 6092).
#
#	a (ta) --- one fd10:1::/64, filtered --- vswitchd [2001:db8:f::2] ---veth--- (w0) wan 2001:db8:f::1, 2001:db8:99::1
#	b (tb) --- two fd10:2::/64 -------------' |
#	c (tc) --- one ---------------------------'
. "$(dirname "$0")/_story.sh"
need_root; need_tun; need_scapy; need traceroute iperf3 jq nc socat tcpdump
[ -e /proc/sys/net/ipv6 ] || skip "no IPv6 in this kernel"

ns $SW
wan
v6() { on "$1" sysctl -qw "net.ipv6.conf.$2.accept_ra=0" net.ipv6.conf.all.disable_ipv6=0 "net.ipv6.conf.$2.disable_ipv6=0" "net.ipv6.conf.$2.accept_dad=0" net.ipv6.conf.lo.disable_ipv6=0; }
v6 wan w0
ipn wan addr add 2001:db8:f::1/64 dev w0
ipn wan addr add 2001:db8:99::1/128 dev lo
ipn wan route add fd10::/16 via 2001:db8:f::2 src 2001:db8:f::1
config <<EOC
version: 1
uplinks:
  wan: { type: interface, interface: up0, address: [203.0.113.2/24, "2001:db8:f::2/64"], gateway: [203.0.113.1, "2001:db8:f::1"] }
networks:
  one: { vlan: 10, mode: routed, uplink: wan, subnet: [10.1.0.0/24, "fd10:1::/64"], ipv6-filter: true }
  two: { vlan: 20, mode: routed, uplink: wan, subnet: [10.2.0.0/24, "fd10:2::/64"] }
ports:
  a: { type: tap, interface: ta, network: one }
  b: { type: tap, interface: tb, network: two }
  c: { type: tap, interface: tc, network: one }
EOC
daemon_start --test-clock
guest() { # NAME ADDRESS GATEWAY
	tap_guest "$1" "t$1"
	v6 "$1" "t$1"
	ipn "$1" addr add "$2/64" dev "t$1"
	ipn "$1" -6 route add default via "$3"
}
A=fd10:1::a B=fd10:2::b C=fd10:1::c W=2001:db8:f::1 W2=2001:db8:99::1
guest a $A fd10:1::1
guest b $B fd10:2::1
guest c $C fd10:1::1
flows() { jctl '.nat.flows6' counters; }
grows() { # PORT REASON COMMAND...: that one more is counted so
	local port=$1 why=$2 n
	n=$(tx_drop "$port" "$why")
	shift 2
	"$@"
	wait_for 3 eval "[ \$(tx_drop $port $why) -gt $n ]"
}

check "a pings the outside" pings a $W2
check "with fragments" pings a $W2 -s 4000
check "and the other network" pings a $B
spawn on wan iperf3 -6 -s
spawn on a iperf3 -6 -s
wait_for 5 listening wan 5201
wait_for 5 listening a 5201
check "TCP out" on a iperf3 -6 -c $W2 -t 1
check "and back on it" on a iperf3 -6 -c $W2 -t 1 -R
check "UDP" on a iperf3 -6 -c $W -u -b 20M -t 1
check "a traceroute's errors come in" eval 'on a traceroute -6 -n -q 1 -w 2 $W2 | grep -q "^ 2  $W2"'
check "flows are remembered" test "$(flows)" -ge 3

check "the outside's ping is not let in" grows uplink/wan gw-unsolicited on wan ping -n -c 1 -W 1 $A
check "nor is that of another network" grows gw/two gw-unsolicited on b ping -n -c 1 -W 1 $A
refute "nor a connection" on wan nc -6 -z -w 1 $A 5201
check "but inside a network nobody is in the way" on c nc -6 -z -w 2 $A 5201
refute "between networks neither" on b nc -6 -z -w 1 $A 5201
spawn on wan $PY -c "
import socket
s = socket.socket(socket.AF_INET6); s.settimeout(20)
try: s.connect(('$A', 5299))
except OSError as e: print(e, flush=True)
"
tells() { grep -q 'Permission denied' "$SPAWN_OUT"; }
# RFC 6092 REC-34: not before six seconds, as it may be half of a simultaneous open
wait_for 3 eval '[ "$(tx_drop uplink/wan gw-unsolicited)" -ge 3 ]'
refute "who connects is told nothing at first" tells
ctl clock advance 7 >/dev/null
check "and then that it is prohibited" wait_for 5 tells

# UDP: endpoint-independent (REC-17), for five minutes (REC-14) after the last that went out (REC-16)
spawn on a tcpdump -n -l -i ta "udp or esp"; seen=$SPAWN_OUT
wait_for 5 grep -q listening "$seen"
udp() { # NAMESPACE SRC SPORT DST DPORT TEXT
	on "$1" socat -u "EXEC:echo $6" "UDP6-SENDTO:[$4]:$5,bind=[$2]:$3"
}
arrived() { grep -q "$1" "$seen"; }
udp a $A 4000 $W 9 hello
udp wan $W2 77 $A 4000 hi
check "anybody answers to a port that has sent" wait_for 3 arrived "$W2.77 > $A.4000"
check "and to no other" grows uplink/wan gw-unsolicited udp wan $W2 77 $A 4001 hi
ctl clock advance 200 >/dev/null
udp wan $W2 78 $A 4000 hi
check "it stays" wait_for 3 arrived "$W2.78 > $A.4000"
ctl clock advance 150 >/dev/null
check "for five minutes after the last that went out, whatever comes in" grows uplink/wan gw-unsolicited udp wan $W2 79 $A 4000 hi

up_mac=$(ipn wan neigh show 2001:db8:f::2 dev w0 | sed -n 's/.*lladdr \([^ ]*\) .*/\1/p')
raw() { # WHAT: a frame from outside
	on wan $PY - "$1" "$up_mac" <<-'EOP'
	import sys; from scapy.all import *
	conf.verb = 0
	out = IPv6(src="2001:db8:99::1", dst="fd10:1::a")
	was = lambda sport: IPv6(src="fd10:1::a", dst="2001:db8:f::1") / UDP(sport=sport, dport=9) / Raw(b"hello")
	p = {"esp": out / Raw(b"\0" * 40), "ike": out / UDP(sport=500, dport=500) / Raw(b"x" * 28),
	     "error": out / ICMPv6TimeExceeded() / was(4002), "short": out / ICMPv6TimeExceeded() / Raw(b"\x60" + bytes(20)),
	     "other": out / ICMPv6DestUnreach() / (IPv6(src="fd10:1::c", dst="2001:db8:f::1") / UDP(sport=4000, dport=9)),
	     "later": out / IPv6ExtHdrFragment(nh=17, offset=100, id=7) / Raw(b"x" * 16),
	     "ack": out / TCP(sport=80, dport=4000, flags="A"), "known": out / ICMPv6DestUnreach(code=4) / was(4000)}[sys.argv[1]]
	if sys.argv[1] == "esp": p.nh = 50
	sendp(Ether(dst=sys.argv[2], src=get_if_hwaddr("w0")) / p, iface="w0")
	EOP
}
raw esp
check "ESP comes in unasked (REC-22)" wait_for 3 arrived "$W2 > $A: ESP"
raw ike
check "so does IKE (REC-24)" wait_for 3 arrived "$W2.500 > $A.500"
check "an error about no flow does not" grows uplink/wan nat-icmp raw error
check "nor one of another guest's" grows uplink/wan nat-icmp raw other
check "nor one cut short" grows uplink/wan nat-icmp raw short
check "nor a fragment whose first was not let in" grows uplink/wan nat-fragment raw later
check "nor a segment of no connection" grows uplink/wan gw-unsolicited raw ack
udp a $A 4000 $W 9 hello
n=$(tx_drop uplink/wan nat-icmp)
raw known
pings a $W
check "an error about a flow does" test "$(tx_drop uplink/wan nat-icmp)" = "$n"

many() { on a $PY - "$(ipn a neigh show fd10:1::1 dev ta | sed -n 's/.*lladdr \([^ ]*\) .*/\1/p')" <<-'EOP'
	import sys, random, time; from scapy.all import *
	conf.verb = 0
	s = conf.L2socket(iface="ta")
	base = bytes(Ether(dst=sys.argv[1], src=get_if_hwaddr("ta")) / IPv6(src="fd10:1::", dst="2001:db8:f::1") / UDP(sport=9, dport=9, chksum=1) / b"x")
	for k in range(6000):
	    s.send(base[:30] + random.randbytes(8) + base[38:])
	    if k % 50 == 49: time.sleep(0.01) # a slow build must not lose them at the interface
	EOP
}
check "a guest with thousands of addresses has its share of flows" grows gw/one nat-sessions many
check "and no more" test "$(flows)" -le 4200
check "its neighbour opens as before" pings c $W2
check "the filter is taken away" ctl net set one ipv6-filter false
check "and the outside gets in" pings wan $A
check "it comes back" ctl net set one ipv6-filter true
refute "and is closed" on wan nc -6 -z -w 1 $A 5201
finish
