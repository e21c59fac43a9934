#!/bin/bash
# An existing interface as a port.  `exclude` takes it from the host's stack, `share` leaves the host its
# address; and everything is as before after the end, after kill -9 with --cleanup, and after kill -9
# with another start.
#
#	h 10.0.0.1 (eth0) ==veth== (e1, the host's 10.0.0.9) vswitchd (ta) a 10.0.0.2
. "$(dirname "$0")/_story.sh"
need_root; need_tun; need jq tc

ns $SW h
veth $SW e1 h eth0
ipn h addr add 10.0.0.1/24 dev eth0
ipn $SW addr add 10.0.0.9/24 dev e1
on $SW sysctl -qw net.ipv6.conf.e1.disable_ipv6=0
on h arping -q -c 1 -w 1 -I eth0 10.0.0.9 >/dev/null 2>&1
write() { cat <<EOC | config
version: 1
networks:
  lab: { vlan: 10, mode: bridged }
ports:
  e: { type: netdev, interface: e1, network: lab$1 }
  a: { type: tap, interface: ta, network: lab }
EOC
}
picture() {
	ipn $SW -d -o link show e1 | grep -o '<[^>]*>\|promiscuity [0-9]*\|mtu [0-9]*'
	tc -n "$PREFIX-$SW" qdisc show dev e1
	tc -n "$PREFIX-$SW" filter show dev e1 ingress
	tc -n "$PREFIX-$SW" filter show dev e1 egress
	on $SW sysctl net.ipv6.conf.e1 net.ipv4.conf.e1 | sort
	ipn $SW -4 addr show dev e1 | grep -o 'inet [^ ]*'
} 2>/dev/null
as_before() { picture >"$T/now"; diff "$T/before" "$T/now"; }
guest() { ip netns del "$PREFIX-a" 2>/dev/null; tap_guest a ta 10.0.0.2/24; }
picture >"$T/before"

write ""
expect_log 'host:'
daemon_start
refused() { jctl '.[] | select(.name == "e") | .state == "down"' port list && ctl port show e | grep -q 'host:'; }
check "an interface with an address is refused without host:" refused
check "and the host keeps it" pings h 10.0.0.9
daemon_stop

write ", host: exclude"
daemon_start; guest
check "exclude: a guest reaches the wire" wait_for 3 pings a 10.0.0.1
on h ip neigh flush dev eth0
refute "the host's stack no longer answers" pings h 10.0.0.9
refute "not even ARP" on h arping -q -c 1 -w 1 -I eth0 10.0.0.9
check "promiscuous" eval 'picture | grep -q "promiscuity [1-9]"'
check "the books" books
daemon_stop
check "all restored at the end" as_before
check "the host has it back" wait_for 3 pings h 10.0.0.9
daemon_start
daemon_kill
refute "kill -9 leaves the cut" as_before
check "--cleanup undoes it" eval '(daemon_exec --cleanup)'
check "all restored" as_before
daemon_start
daemon_kill

write ", host: share"
daemon_start; guest
check "share, after another kill -9: a guest reaches the wire" wait_for 3 pings a 10.0.0.1
check "the wire reaches the host" pings h 10.0.0.9
check "a guest reaches the host" pings a 10.0.0.9
check "the host reaches a guest" pings $SW 10.0.0.2
check "the host reaches the wire" pings $SW 10.0.0.1
check "the port is removed at run time" ctl port del e
check "all restored" as_before
check "SIGHUP brings it back" eval 'kill -HUP "$DAEMON" && wait_for 3 pings a 10.0.0.1'
once() { [ "$(on h ping -n -c 5 -i 0.05 -W 1 10.0.0.9 | grep -c DUP)" = 0 ] && [ "$(on a ping -n -c 5 -i 0.05 -W 1 10.0.0.9 | grep -c DUP)" = 0 ]; }
check "nothing arrives twice" once
if command -v iperf3 >/dev/null; then
	spawn on $SW iperf3 -s -p 5201; wait_for 5 listening $SW 5201
	check "TCP from guest to host" on a iperf3 -c 10.0.0.9 -t 1
	check "and back" on a iperf3 -c 10.0.0.9 -t 1 -R
	check "TCP from the wire to the host" on h iperf3 -c 10.0.0.9 -t 1
fi
daemon_kill
daemon_start
check "the books" books
daemon_stop
check "kill -9, a start and an end: all restored" as_before
finish
