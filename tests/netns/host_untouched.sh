#!/bin/bash
# Whatever the uplink, the host's nftables, forwarding, addresses, routes and rules stay as they
# are, byte for byte, while the switch runs; and all else that it may change for the time is as before when it has
# ended, or was killed and cleaned up after.
#
#	a (ta) --- lab (nat) --- vswitchd [up0] ==veth== (w0) 203.0.113.1 wan, dnsmasq
. "$(dirname "$0")/_story.sh"
need_root; need_tun; need udhcpc curl dnsmasq nft tc jq

ns $SW
wan
ipn $SW addr add 203.0.113.2/24 dev up0
ipn $SW route add 198.51.100.0/24 via 203.0.113.1
ipn $SW rule add from 192.0.2.7 lookup 77
on $SW sysctl -qw net.ipv4.ip_local_reserved_ports=8080,45000-45002
on $SW nft -f - <<-EOR
	table inet theirs {
		chain input { type filter hook input priority 0; policy accept; tcp dport 22 counter accept; }
		chain forward { type filter hook forward priority 0; policy drop; }
	}
EOR
spawn on wan dnsmasq -k -C /dev/null --port=0 --bind-interfaces --interface=w0 --dhcp-authoritative --no-ping \
	--dhcp-range=203.0.113.50,203.0.113.60,1h --dhcp-option=3,203.0.113.1 --dhcp-leasefile="$T/leases" --pid-file="$T/dnsmasq.pid"
wait_for 5 listening_udp wan 67 || fail "no DHCP server"
web_server wan 8000

# Never touched. Our own ta comes and goes, with its lines of conf/.
always() {
	on $SW nft -s list ruleset
	on $SW sh -c 'for f in /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf/*/forwarding /proc/sys/net/ipv6/conf/*/forwarding; do echo $f $(cat $f); done' | grep -v /ta/
	ipn $SW -4 addr show dev up0
	for t in main 77 default; do ipn $SW -4 route show table $t 2>/dev/null; done
	ipn $SW rule show
}
# As before when we have ended.
everything() {
	always
	on $SW sysctl -n net.ipv4.ip_local_reserved_ports
	ipn $SW -j -d link show dev up0 | jq -c '.[0] | {flags, mtu, promiscuity, qdisc, xdp}'
	on $SW tc qdisc show dev up0
	on $SW tc filter show dev up0 ingress
	on $SW tc filter show dev up0 egress
	on $SW sh -c 'for f in /proc/sys/net/ipv6/conf/up0/*; do echo $f $(cat $f 2>/dev/null); done'
}
everything >"$T/before" 2>/dev/null
always >"$T/always" 2>/dev/null
check "there is something to compare" test "$(wc -l <"$T/before")" -ge 30

uplink_of() { # KIND: its YAML, and with it what the host must be for it
	case $1 in
	host) echo "up: { type: host }" ;;
	static) echo "up: { type: interface, interface: up0, address: 203.0.113.9/24, gateway: 203.0.113.1 }" ;;
	dhcp) echo "up: { type: interface, interface: up0, address: dhcp }" ;;
	shared) echo "up: { type: interface, interface: up0, address: shared, ports: 40000-59999 }" ;;
	network) echo "up: { type: network, network: office, address: 203.0.113.9/24, gateway: 203.0.113.1 }" ;;
	esac
}
begin() {
	config <<-EOC
	version: 1
	uplinks:
	  $(uplink_of "$1")
	networks:
	  lab: { vlan: 10, mode: nat, uplink: up, subnet: 10.10.10.0/24 }
	  $([ "$1" != network ] || echo "office: { vlan: 30, mode: bridged }")
	ports:
	  a: { type: tap, interface: ta, network: lab }
	  $([ "$1" != network ] || echo "wire: { type: netdev, interface: up0, host: share, network: office }")
	EOC
	daemon_start
	ip netns del "$PREFIX-a" 2>/dev/null
	tap_guest a ta
	dhcp a ta || fail "no lease"
}
fetches() { on a curl -sf -m 5 --retry 5 --retry-delay 1 --retry-all-errors http://203.0.113.1:8000/ | grep -q outside; }
same() { "$1" 2>/dev/null | diff "$T/$2" -; }
for kind in host static dhcp shared network; do
	say "-- uplink: $kind"
	begin $kind
	check "a page through it" fetches
	check "while it runs, the host's rules and routes are as they were" same always always
	daemon_stop
	check "all is as before when it has ended" same everything before
	begin $kind
	check "again" fetches
	daemon_kill
	check "rules and routes are as they were when it is killed" same always always
	check "--cleanup" on $SW "$VSWITCHD" -c "$CONFIG" --control "$CONTROL" --state "$STATE" --cleanup
	check "and all is as before" same everything before
done
finish
