#!/bin/bash
# Routed networks: between each other, behind a guest that routes, out of an uplink and in again,
# all without NAT; a NAT network beside them stays apart.
#
#	a 10.1.0.x (ta) --- vswitchd ---veth--- wan 203.0.113.1, which routes 10.1/16 and 10.2/16 to .2
#	b 10.2.0.x (tb) ---    |
#	   `- 10.9.0.1 behind b (route)
#	c 10.3.0.x (tc) -------'  mode nat
. "$(dirname "$0")/_story.sh"
need_root; need_tun; need_scapy; need udhcpc curl jq traceroute iperf3

ns $SW
wan
ipn wan addr add 198.51.100.1/24 dev lo
ipn wan route add 10.1.0.0/16 via 203.0.113.2
ipn wan route add 10.2.0.0/16 via 203.0.113.2
config <<EOC
version: 1
uplinks:
  wan: { type: interface, interface: up0, address: 203.0.113.2/24, gateway: 203.0.113.1 }
networks:
  one: { vlan: 10, mode: routed, uplink: wan, subnet: 10.1.0.0/24 }
  two: { vlan: 20, mode: routed, uplink: wan, subnet: 10.2.0.0/24, mtu: 1400, routes: [ { to: 10.9.0.0/24, via: 10.2.0.9 } ] }
  own: { vlan: 30, mode: nat, uplink: wan, subnet: 10.3.0.0/24 }
  alone: { vlan: 40, mode: routed, subnet: 10.4.0.0/24 }
ports:
  a: { type: tap, interface: ta, network: one }
  b: { type: tap, interface: tb, network: two }
  c: { type: tap, interface: tc, network: own }
  d: { type: tap, interface: td, network: alone }
EOC
daemon_start
tap_guest a ta
tap_guest c tc
tap_guest b tb 10.2.0.9/24
tap_guest d td 10.4.0.9/24
ipn b route add default via 10.2.0.1
ipn b addr add 10.9.0.1/24 dev lo
ipn d route add default via 10.4.0.1
check "a takes a lease" dhcp a ta
check "c takes a lease" dhcp c tc
a=$(lease_word a ip)
drops() { jctl ".ports.\"gw/$1\".tx_drops.\"$2\" // .ports.\"gw/$1\".drops.\"$2\" // 0" counters; }

check "from network to network" pings a 10.2.0.9
check "the other network's gateway answers" pings a 10.2.0.1
check "behind a guest that routes" pings a 10.9.0.1
check "and from there" on b ping -n -c 1 -W 2 -I 10.9.0.1 "$a"
check "a network without an uplink is reached as well" pings a 10.4.0.9
refute "but nothing leaves from it" on d ping -n -c 1 -W 1 203.0.113.1
check "and its guest is told" eval 'on d ping -n -c 1 -W 1 203.0.113.1 | grep -q "From 10.4.0.1.*Net Unreachable"'

web_server wan 8000; web=$SPAWN_OUT
check "a page from outside" on a curl -sf -m 5 http://203.0.113.1:8000/
check "the outside sees the guest's own address" grep -q "^$a " "$web"
check "the uplink's gateway takes what is further" pings a 198.51.100.1
web_server a 80
check "the outside reaches the guest, who has no forward" on wan curl -sf -m 5 "http://$a/"
check "a traceroute's hops" eval 'on a traceroute -n -I -q 1 -w 1 203.0.113.1 | grep -q "^ 1  10.1.0.1" && on a traceroute -n -q 1 -w 1 10.9.0.1 | grep -q "10.9.0.1"'
spawn on wan iperf3 -s
wait_for 5 listening wan 5201
check "TCP at speed, out" on a iperf3 -c 203.0.113.1 -t 1
check "TCP at speed, in" on a iperf3 -c 203.0.113.1 -t 1 -R
check "the smaller MTU of the other network is told" eval 'on a ping -n -c 2 -W 1 -M do -s 1472 10.2.0.9 | grep -q "mtu = 1400"'
check "fragments pass" on a ping -n -c 1 -W 2 -s 4000 10.9.0.1

refute "a NAT network is not reached" on a ping -n -c 1 -W 1 10.3.0.1
check "the guest is told" eval 'on a ping -n -c 1 -W 1 10.3.0.50 | grep -q "From 10.1.0.1.*Unreachable"'
refute "nor are routed ones from there" on c ping -n -c 1 -W 1 "$a"
check "that one goes out as the uplink" on c curl -sf -m 5 http://203.0.113.1:8000/
check "as itself" grep -q "^203.0.113.2 " "$web"

send() { # send NAMESPACE IF SRC DST: one UDP packet to the gateway's MAC
	on "$1" "$PY" - "$@" <<'EOP'
import sys
from scapy.all import *
conf.verb = 0
n, i, src, dst, gw = sys.argv[1:6]
sendp(Ether(dst=gw) / IP(src=src, dst=dst) / UDP(dport=9) / b"x", iface=i)
EOP
}
mac() { on "$1" ip neigh show "$2" | sed -n 's/.*lladdr \([^ ]*\).*/\1/p'; }
gw_a=$(mac a 10.1.0.1) gw_w=$(mac wan 203.0.113.2)
counted() { [ "$(jctl "[.ports[] | .tx_drops // {} | .\"$1\" // 0] | add" counters)" -gt 0 ] || [ "$(jctl ".drops.\"$1\" // 0" counters)" -gt 0 ]; }
send a ta 10.2.0.50 203.0.113.1 "$gw_a"
check "a source of another network is dropped by name" wait_for 3 counted gw-spoofed
send wan w0 10.2.0.9 "$a" "$gw_w"
send a ta "$a" 10.2.0.255 "$gw_a"
check "so is a directed broadcast" wait_for 3 counted gw-martian
send wan w0 203.0.113.1 203.0.113.77 "$gw_w"
check "and what is for nobody" wait_for 3 counted gw-not-mine

ipn b route add 10.8.0.0/24 via 10.2.0.1
check "a route to a loop" ctl net set two routes '[{to: 10.9.0.0/24, via: 10.2.0.9}, {to: 10.8.0.0/24, via: 10.2.0.9}]'
on b sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.tb.send_redirects=0
spoofed() { jctl '.ports."gw/two".tx_drops."gw-spoofed" // 0' counters; }
before=$(spoofed)
on a ping -n -c 1 -W 1 10.8.0.1 >/dev/null
more() { [ "$(spoofed)" -gt "$before" ]; }
check "a loop ends where it comes back: a source that cannot be from there" wait_for 3 more
check "the route is taken back" ctl net set two routes '[]'
refute "and leads nowhere any more" on a ping -n -c 1 -W 1 10.9.0.1
check "the host's forwarding is off" test "$(on $SW sysctl -n net.ipv4.ip_forward)" = 0
finish
