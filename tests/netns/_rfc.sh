# The prologue of the conformance stories: two guests behind the NAT, a router, and a server with two
# addresses, for each kind of uplink in turn.
#
#	g1 10.10.10.51 (t1) \
#	                     vswitchd --test-clock [198.51.100.2] --- (r0) r (r1) --- (w0) 203.0.113.10, .11 wan
#	g2 10.10.10.52 (t2) /
#
#	rfc_start               namespaces, once
#	rfc_kind KIND           the daemon, afresh, with an uplink of that kind: interface, shared, network
#	filtering MODE          changes it at run time
. "$(dirname "${BASH_SOURCE[0]}")/_story.sh"
KINDS=${KINDS:-interface shared network}
OUTSIDE=198.51.100.2

rfc_start() {
	ns $SW g1 g2 r wan
	veth $SW up0 r r0
	veth r r1 wan w0
	ipn r addr add 198.51.100.1/24 dev r0
	ipn r addr add 203.0.113.1/24 dev r1
	on r sysctl -qw net.ipv4.ip_forward=1 net.ipv4.icmp_ratelimit=0
	ipn wan addr add 203.0.113.10/24 dev w0
	ipn wan addr add 203.0.113.11/24 dev w0
	ipn wan route add default via 203.0.113.1
}
rfc_config() {
	local address="address: $OUTSIDE/24, gateway: 198.51.100.1" office='' wire=''
	case $KIND in
	interface) up="type: interface, interface: up0, $address" ;;
	shared) up="type: interface, interface: up0, address: shared, ports: 2000-62000" ;;
	network)
		up="type: network, network: office, $address"
		office='office: { vlan: 30, mode: bridged }'
		wire='wire: { type: netdev, interface: up0, network: office }' ;;
	esac
	cat <<-EOC
	version: 1
	uplinks:
	  out: { $up }
	networks:
	  lab: { vlan: 10, mode: nat, uplink: out, subnet: 10.10.10.0/24, nat: { filtering: endpoint-independent } }
	  $office
	ports:
	  g1: { type: tap, interface: t1, network: lab }
	  g2: { type: tap, interface: t2, network: lab }
	  $wire
	EOC
}
rfc_kind() {
	local i
	KIND=$1
	[ -z "$DAEMON" ] || { check "every packet is in exactly one verdict" books; daemon_stop; }
	rfc_config | config
	ipn $SW addr flush dev up0
	if [ "$KIND" = shared ]; then
		ipn $SW addr add $OUTSIDE/24 dev up0
		ipn $SW route add default via 198.51.100.1
	fi
	daemon_start --test-clock
	say "-- uplink of type $KIND"
	for i in 1 2; do
		ip -n "$PREFIX-$SW" link set "t$i" netns "$PREFIX-g$i" || fail "cannot move t$i"
		ipn "g$i" link set "t$i" up
		ipn "g$i" addr add "10.10.10.5$i/24" dev "t$i"
		ipn "g$i" route add default via 10.10.10.1
	done
	wait_for 5 pings g1 203.0.113.10 -c 1 -W 1 || fail "no way out"
}
filtering() { ctl net set lab nat "{filtering: $1}"; }
