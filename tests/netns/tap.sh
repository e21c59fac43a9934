#!/bin/bash
# Two guests on TAP ports talk at full speed and with right checksums, whatever their offloads.
#
#	a 10.0.0.1 (ta) --- vswitchd --- (tb) b 10.0.0.2
#	                       |
#	                      (tc) c 10.0.0.3 on a dgram socket, which takes no offload
. "$(dirname "$0")/_story.sh"
need_root; need_tun; need iperf3 ethtool jq

ns $SW
config <<EOC
version: 1
networks:
  lab: { vlan: 10, mode: internal }
ports:
  a: { type: tap, interface: ta, network: lab }
  b: { type: tap, interface: tb, network: lab }
  c: { type: dgram, socket: $T/c.dgram, network: lab }
EOC
daemon_start
tap_guest a ta 10.0.0.1/24
tap_guest b tb 10.0.0.2/24
pump_guest c tc dgram "$T/c.peer" "$T/c.dgram"
ipn c addr add 10.0.0.3/24 dev tc
hello c tc 10.0.0.3

port=5200
iperf() { # iperf FROM TO-ADDRESS SERVER [ARG...]; a port of its own each time
	local from=$1 to=$2 server=$3
	shift 3
	port=$((port + 1))
	spawn on "$server" iperf3 -s -1 -p $port
	wait_for 5 listening "$server" $port || return 1
	on "$from" iperf3 -c "$to" -p $port -t 1 --connect-timeout 2000 "$@"
}

check "a pings b" pings a 10.0.0.2
check "b's MAC is learned on b" jctl ".[] | select(.mac == \"$(on b cat /sys/class/net/tb/address)\") | .port == \"b\"" mac list
check "TCP with all offloads" iperf a 10.0.0.2 b
check "TCP the other way" iperf a 10.0.0.2 b -R
check "UDP" iperf a 10.0.0.2 b -u -b 50M
segments_seen() { jctl '.ports.a.rx_bytes / .ports.a.rx_packets > 3000' counters; }
check "super-frames crossed the switch whole" segments_seen
check "TCP from TSO to a port without offloads" iperf a 10.0.0.3 c
check "and back" iperf a 10.0.0.3 c -R
on a ethtool -K ta tx off tso off gso off >/dev/null 2>&1
check "TCP without the sender's offloads" iperf a 10.0.0.2 b
on b ethtool -K tb tx off tso off gso off gro off >/dev/null 2>&1
check "TCP without any" iperf a 10.0.0.2 b -R
bad=$(on b nstat -asz TcpInCsumErrors UdpInCsumErrors 2>/dev/null | awk '/Csum/ {s += $2} END {print s + 0}')
check "no wrong checksum was seen in b" test "$bad" = 0
bad=$(on c nstat -asz TcpInCsumErrors UdpInCsumErrors 2>/dev/null | awk '/Csum/ {s += $2} END {print s + 0}')
check "nor in c" test "$bad" = 0
check "port list counts" jctl '.[] | select(.name == "a") | .state == "up" and .vlan == 10 and .rx_packets > 10' port list
finish
