#!/bin/bash
# Captures: pcap-ng that tshark reads, filtered, of a port, of a network, and of what was dropped.
#
#	a (ta) --- vswitchd --- (tb) b
. "$(dirname "$0")/_story.sh"
need_root; need_tun; need tshark jq

ns $SW
config <<EOC
version: 1
networks:
  lab: { vlan: 10, mode: internal }
ports:
  a: { type: tap, interface: ta, network: lab }
  b: { type: tap, interface: tb, network: lab }
EOC
daemon_start
tap_guest a ta 10.0.0.1/24; tap_guest b tb 10.0.0.2/24
check "a pings b" pings a 10.0.0.2
capture() { # capture FILE ARG...: a ping and a UDP packet pass meanwhile
	local f=$1
	shift
	"$VSWITCHCTL" capture "$@" -w "$f" >"$T/capture.out" 2>&1 &
	local pid=$!
	sleep 0.4
	pings a 10.0.0.2
	on a bash -c 'echo x >/dev/udp/10.0.0.2/9'
	"$PY" -c 'from wire import Wire, frame; w = Wire("a", "ta"); w.send(frame(b"\xff" * 6, b"\x03" + bytes(5), b"bad"))'
	sleep 0.3
	kill -INT $pid
	wait $pid
	[ -s "$f" ] || { cat "$T/capture.out"; return 1; }
}
frames() { tshark -n -r "$1" ${2:+-Y "$2"} 2>/dev/null | wc -l; }
check "a port" capture "$T/port.pcapng" a
check "has requests and replies" test "$(frames "$T/port.pcapng" icmp)" -ge 4
check "and UDP" test "$(frames "$T/port.pcapng" udp)" -ge 1
check "a network" capture "$T/net.pcapng" lab
check "has them too" test "$(frames "$T/net.pcapng" icmp)" -ge 4
check "a filter" capture "$T/filter.pcapng" a -f udp
check "lets UDP through" test "$(frames "$T/filter.pcapng" udp)" -ge 1
check "and nothing else" test "$(frames "$T/filter.pcapng" '!udp and !icmp.type==3')" = 0
check "drops" capture "$T/drops.pcapng" a --drops
check "only the dropped frame" eval '[ "$(frames "$T/drops.pcapng" "eth.src == 03:00:00:00:00:00")" -ge 1 ] && [ "$(frames "$T/drops.pcapng" icmp)" = 0 ]'
check "to standard output" eval 'timeout 2 "$VSWITCHCTL" capture a -w - 2>/dev/null | head -c 4 | od -An -tx1 | grep -q "0a 0d 0d 0a"'
refused() { "$VSWITCHCTL" capture a -f "no such filter" -w "$T/x" 2>"$T/err"; }
refute "a wrong filter is refused" refused
check "after captures the books hold" books
finish
