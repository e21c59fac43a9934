#!/bin/bash
# IPv6 through routed networks: guests with addresses of their own making reach each other and the world
# outside, and are reached from there, without translation; hop limits, path MTU, scans of a /64,
# spoofed sources.
#
#	a (ta) --- one fd10:1::/64 --- vswitchd [2001:db8:f::2] ---veth--- (w0) wan 2001:db8:f::1, 2001:db8:99::1
#	b (tb) --- two fd10:2::/64 ------' |
#	   `- fd10:9::1 behind b (route)   |
#	c (tc) --- own, mode nat ----------'   d (td) --- lone fd10:4::/64, no uplink
. "$(dirname "$0")/_story.sh"
need_root; need_tun; need_scapy; need rdisc6 tracepath traceroute iperf3 jq nc
[ -e /proc/sys/net/ipv6 ] || skip "no IPv6 in this kernel"

ns $SW
wan
v6() { on "$1" sysctl -qw net.ipv6.conf.all.disable_ipv6=0 "net.ipv6.conf.$2.disable_ipv6=0" "net.ipv6.conf.$2.accept_dad=0" "net.ipv6.conf.$2.accept_ra=${3:-0}"; }
v6 wan w0
on wan sysctl -qw net.ipv6.conf.lo.disable_ipv6=0
ipn wan addr add 2001:db8:f::1/64 dev w0
ipn wan addr add 2001:db8:99::1/128 dev lo
ipn wan route add fd10::/16 via 2001:db8:f::2
config <<EOC
version: 1
uplinks:
  wan: { type: interface, interface: up0, address: [203.0.113.2/24, "2001:db8:f::2/64"], gateway: [203.0.113.1, "2001:db8:f::1"] }
networks:
  one: { vlan: 10, mode: routed, uplink: wan, subnet: [10.1.0.0/24, "fd10:1::/64"] }
  two: { vlan: 20, mode: routed, uplink: wan, subnet: [10.2.0.0/24, "fd10:2::/64"], mtu: 1400, routes: [ { to: "fd10:9::/64", via: "fd10:2::9" } ] }
  lone: { vlan: 40, mode: routed, subnet: [10.4.0.0/24, "fd10:4::/64"] }
  own: { vlan: 30, mode: nat, uplink: wan, subnet: [10.3.0.0/24, "fd10:3::/64"] }
ports:
  a: { type: tap, interface: ta, network: one }
  b: { type: tap, interface: tb, network: two }
  c: { type: tap, interface: tc, network: own }
  d: { type: tap, interface: td, network: lone }
EOC
daemon_start
for g in a b c d; do tap_guest $g t$g; v6 $g t$g 1; done
slaac() { ipn "$1" -j -6 addr show dev "t$1" | jq -er --arg p "$2" '.[].addr_info[] | select(.local | startswith($p)) | select(.tentative != true) | .local' | head -n 1 | grep .; }
for g in a b c; do on $g rdisc6 -1 -q -w 3000 t$g >/dev/null; done
check "a makes an address of its own" wait_for 10 slaac a fd10:1:
check "b" wait_for 10 slaac b fd10:2:
check "c" wait_for 10 slaac c fd10:3:
A=$(slaac a fd10:1:) B=$(slaac b fd10:2:) C=$(slaac c fd10:3:)
ipn b addr add fd10:2::9/64 dev tb nodad
on b sysctl -qw net.ipv6.conf.lo.disable_ipv6=0
ipn b addr add fd10:9::1/128 dev lo
default() { ipn "$1" -6 route show default | grep -q 'via fe80'; }
check "a has a default router" default a
refute "c has none: its network translates IPv4 and routes nothing" default c
check "rdisc6 names its lifetime" eval 'on a rdisc6 -1 -w 3000 ta | grep -qE "Router lifetime *: *1800 "'

lifetime() { on d rdisc6 -1 -w 3000 td 2>&1 | grep -qE "Router lifetime *: *$1 "; }
check "so does a network that has but its peers" lifetime 1800
check "show tells the uplink's addresses" jctl '.address6 == "2001:db8:f::2/64" and .gateway6 == "2001:db8:f::1"' uplink show wan
check "from network to network" pings a "$B"
check "the other network's gateway answers" pings a fd10:2::1
check "behind a guest that routes" pings a fd10:9::1
check "and from there" on b ping -n -c 1 -W 2 -I fd10:9::1 "$A"
check "to the uplink's own wire" pings a 2001:db8:f::1
check "the uplink's address answers" pings a 2001:db8:f::2
check "by the uplink's gateway to what is further" pings a 2001:db8:99::1
check "the outside reaches the guest by its own address" pings wan "$A"
spawn on wan nc -6 -l -k 8000
wait_for 5 listening wan 8000
spawn on wan tcpdump -n -l -i w0 -c 1 "tcp dst port 8000"; seen=$SPAWN_OUT
wait_for 5 grep -q listening "$seen"
check "TCP out" on a nc -6 -z -w 2 2001:db8:99::1 8000
check "the outside sees the guest's own address" wait_for 3 grep -q "IP6 $A\." "$seen"
refute "a network that translates is closed from outside" pings wan "$C"
refute "and from the routed ones" pings a "$C"
check "a traceroute's hops" eval 'on a traceroute -6 -n -I -q 1 -w 1 2001:db8:99::1 | tee "$T/trace" | grep -q "^ 1  fd10:1::1" && grep -q "^ 2  2001:db8:99::1" "$T/trace"'
spawn on wan iperf3 -6 -s
wait_for 5 listening wan 5201
mbits() { on a iperf3 -6 -c 2001:db8:99::1 -t 1 -J "$@" | jq -e '.end.sum_received.bits_per_second > 1e8' >/dev/null; }
check "TCP in bulk, out" mbits
check "and in" mbits -R

# path MTU: the other network's is 1400, the uplink's is made smaller
check "too big for the other network, and told so" eval 'on a ping -n -c 2 -W 2 -M do -s 1400 "$B" 2>&1 | grep -qi "mtu *= *1400"'
ipn wan link set w0 mtu 1300
ipn $SW link set up0 mtu 1300
check "too big for the uplink" wait_for 3 eval 'on a ping -n -c 2 -W 2 -M do -s 1400 2001:db8:99::1 2>&1 | grep -qi "mtu *= *1300"'
check "tracepath finds it" eval 'on a tracepath -6 -n 2001:db8:99::1 | grep -q "pmtu 1300"'
check "TCP fits it" mbits
ipn $SW link set up0 mtu 1500
ipn wan link set w0 mtu 1500

# what must not pass
send6() { on "$1" "$PY" - "$2" "$3" "$4" <<-'EOP'
	import sys; from scapy.all import *
	conf.verb = 0
	iface, mac, what = sys.argv[1:]
	p = Ether(dst=mac, src=get_if_hwaddr(iface)) / {
	    "spoofed": IPv6(src="fd10:2::77", dst="2001:db8:99::1"), "foreign": IPv6(src="2001:db8:77::1", dst="2001:db8:99::1"),
	    "link": IPv6(src="fe80::77", dst="2001:db8:99::1"), "mapped": IPv6(src="fd10:1::77", dst="::ffff:10.2.0.1"),
	    "inside": IPv6(src="fd10:2::77", dst="fd10:1::77"), "loopback": IPv6(src="::1", dst="fd10:1::77"),
	    "other": IPv6(src="2001:db8:99::1", dst="2001:db8:55::1")}[what] / UDP(sport=4000, dport=9) / Raw(b"x" * 20)
	sendp(p, iface=iface)
	EOP
}
gw_mac=$(ipn a neigh show dev ta | sed -n 's/.*lladdr \([^ ]*\) router.*/\1/p' | head -n 1)
up_mac=$(ipn wan neigh show 2001:db8:f::2 dev w0 | sed -n 's/.*lladdr \([^ ]*\) .*/\1/p')
dropped() { # PORT REASON COMMAND...: that one more is counted so
	local port=$1 why=$2 n
	n=$(tx_drop "$port" "$why")
	shift 2
	"$@" && wait_for 3 eval "[ \$(tx_drop $port $why) -gt $n ]"
}
check "a source of another network is spoofed" dropped gw/one gw-spoofed send6 a ta "$gw_mac" spoofed
check "so is any from elsewhere" dropped gw/one gw-spoofed send6 a ta "$gw_mac" foreign
check "a link-local source is not forwarded" dropped gw/one gw-martian send6 a ta "$gw_mac" link
check "nor a mapped address" dropped gw/one gw-martian send6 a ta "$gw_mac" mapped
check "an inside source from outside is spoofed" dropped uplink/wan gw-spoofed send6 wan w0 "$up_mac" inside
check "a loopback source from outside" dropped uplink/wan gw-martian send6 wan w0 "$up_mac" loopback
check "what is not for us from outside" dropped uplink/wan gw-not-mine send6 wan w0 "$up_mac" other
hop1() { on a ping -n -c 1 -t 1 -W 1 2001:db8:99::1 2>&1 | grep -q 'From fd10:1::1 .*Hop limit'; }
check "a hop limit of one ends at the gateway, and is told" dropped gw/one gw-ttl hop1

# RFC 6583: 20,000 addresses of a's /64 are asked for from outside, while a and the outside talk
spawn on wan ping -n -i 0.2 -c 15 -W 1 "$A"; talk=$SPAWNED out=$SPAWN_OUT
on wan "$PY" - w0 "$up_mac" <<-'EOP'
	import sys, socket, struct, time
	iface, mac = sys.argv[1], bytes.fromhex(sys.argv[2].replace(":", ""))
	s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind((iface, 0))
	a = socket.inet_pton(socket.AF_INET6, "2001:db8:99::1"); net = socket.inet_pton(socket.AF_INET6, "fd10:1::")[:8]
	src = open("/sys/class/net/%s/address" % iface).read().strip().replace(":", "")
	for i in range(20000):
	    dst = net + struct.pack("!Q", 0xdead00000000 + i)
	    s.send(mac + bytes.fromhex(src) + b"\x86\xdd" + struct.pack("!IHBB", 6 << 28, 16, 17, 60) + a + dst + struct.pack("!HHHH", 1, 9, 16, 1) + b"y" * 8)
	    if i % 100 == 99: time.sleep(0.01)
	EOP
wait "$talk"
check "a scan of the /64 from outside: the neighbour that is there answers all the while" grep -q ' 0% packet loss' "$out"
check "the table of neighbours stays small" jctl ".nat.neighbours | . > 0 and . <= 600" counters
check "and what found nobody is counted" eval '[ $(($(tx_drop uplink/wan gw-arp-queue) + $(tx_drop uplink/wan gw-unreachable))) -ge 19000 ]'
ipn a addr flush dev ta scope global
gone() { on wan ping -n -c 2 -W 4 "$A" 2>&1 | tee "$T/gone" | grep -q 'From 2001:db8:f::2.*Address unreachable\|From fd10:1::1.*Address unreachable'; }
check "who has gone is unreachable, and the outside is told" wait_for 60 gone
check "a network whose peers go" ctl net set one mode nat
check "and go" ctl net set two subnet 10.2.0.0/24 routes '[]'
check "is nobody's default router" wait_for 5 lifetime 0
finish
