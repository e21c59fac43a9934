#!/bin/bash
# Offloads beyond plain TCP over IPv4: TSO of IPv6, TSO with ECN, and USO where the kernel has it, whole to
# a port that takes them and cut for one that does not.
#
#	a (ta) --- vswitchd --- (tb) b
#	                \------ (tc) c on a dgram socket, which takes no offload
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
i=1
for n in a b c; do
	on $n sysctl -qw net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.t$n.disable_ipv6=0 net.ipv4.tcp_ecn=1
	ipn $n addr add fd00::$i/64 dev t$n nodad
	i=$((i + 1))
done
hello c tc 10.0.0.3

has() { on a ethtool -k ta | grep -Eq "^[[:space:]]*$1: on"; }
for o in tx-tcp-segmentation tx-tcp6-segmentation tx-tcp-ecn-segmentation; do
	check "a's interface has $o" has $o
done
# count FILTER: of port a's counters
count() { jctl ".ports.a.$1" counters; }
port=5200
# iperf TO SERVER [ARG...]: 20 MB over TCP from a;  whole: the same, and the frames from a were super-frames
iperf() {
	local to=$1 server=$2
	shift 2
	port=$((port + 1))
	spawn on "$server" iperf3 -s -1 -p $port
	wait_for 5 listening "$server" $port || return 1
	on a iperf3 -c "$to" -p $port -n 20M --connect-timeout 2000 "$@"
}
whole() {
	local p s
	p=$(count rx_packets) s=$(count rx_segments)
	iperf "$@" || return 1
	p=$(($(count rx_packets) - p)) s=$(($(count rx_segments) - s))
	echo "$p frames, $s segments"
	[ "$s" -gt $((p * 2)) ]
}
wait_for 5 on a ping -n -c 1 -W 1 fd00::2 >/dev/null 2>&1
check "TCP over IPv6 in super-frames" whole fd00::2 b
check "and cut for a port that takes none" whole fd00::3 c
check "TCP with ECN in super-frames" whole 10.0.0.2 b
ecn() { on b nstat -asz TcpExtTCPECNEstab IpExtInECT0Pkts 2>/dev/null | grep -q 'IpExtInECT0Pkts *[1-9]'; }
check "b saw the ECN mark" ecn
check "and cut, too" whole 10.0.0.3 c

if has tx-udp-segmentation; then
	cat >"$T/uso.py" <<'EOP'
# 200 super-datagrams of 20 and a half kilobyte each: every datagram arrives, whole and in order of size.
import socket, sys
from wire import enter
UDP_SEGMENT, SIZE, N = 103, 1000, 20
body = b"".join(bytes([i]) * SIZE for i in range(N)) + b"\xff" * 500
def pair(to_ns, address):
    enter(to_ns); r = socket.socket(type=socket.SOCK_DGRAM); r.setsockopt(1, 33, 8 << 20); r.bind((address, 7000)); r.settimeout(2)
    enter("a"); s = socket.socket(type=socket.SOCK_DGRAM); s.setsockopt(17, UDP_SEGMENT, SIZE); s.connect((address, 7000))
    return s, r
for ns, address in (("b", "10.0.0.2"), ("c", "10.0.0.3")):
    s, r = pair(ns, address)
    for k in range(200):
        s.send(body)
        for i in range(N):
            assert r.recv(4096) == bytes([i]) * SIZE, (ns, k, i)
        assert r.recv(4096) == b"\xff" * 500, (ns, k)
EOP
	uso() {
		local p s
		p=$(count rx_packets) s=$(count rx_segments)
		"$PY" "$T/uso.py" || return 1
		p=$(($(count rx_packets) - p)) s=$(($(count rx_segments) - s))
		echo "$p frames, $s segments"
		[ $s -ge 8400 ] && [ $p -lt 1000 ]
	}
	check "UDP in super-frames, whole and cut" uso
	check "a port says so" eval 'ctl port show a | grep -q uso'
else
	say "this kernel's TAP has no USO: that part is left out"
fi
for n in b c; do
	bad=$(on $n nstat -asz TcpInCsumErrors UdpInCsumErrors Udp6InCsumErrors 2>/dev/null | awk '/Csum/ {s += $2} END {print s + 0}')
	check "no wrong checksum in $n" test "$bad" = 0
done
finish
