#!/bin/bash
# iperf3 TCP between a guest on vhost-user and one on a TAP, and one behind a veth, both ways: vswitchd, and
# Open vSwitch with DPDK and userspace-tso-enable.  The guest's kernel is a namespace's: vhost_peer joins a TAP
# of it to the socket with every offload.
#
#	vg (gt) vhost_peer ==a.sock== vswitchd --- (tt) tg           the same with ovs in its place:
#	                                 `------- (nn) ==veth== ng   og, otg, ong
. "$(dirname "$0")/_bench.sh"
. "$(dirname "$0")/_vhost.sh"
need_root; need_tun; need iperf3 jq
ROUNDS=${TCP_ROUNDS:-3}
RING=${RING:-1024}
peer_here

# vhost_guest NAMESPACE TAP SOCKET ADDRESS [ARG...]
vhost_guest() {
	ns "$1"
	spawn on "$1" "$PEER" bridge "$2" --socket "$3" --size "$RING" "${@:5}"
	GUEST_OUT=$SPAWN_OUT GUEST_PID=$SPAWNED
	wait_for 5 eval "ipn $1 link show $2 >/dev/null 2>&1" || fail "vhost_peer made no $2"
	ipn "$1" link set "$2" up
	ipn "$1" addr add "$4" dev "$2"
}
up_vswitchd() {
	ns $SW ng
	veth $SW nn ng eth0
	ipn ng addr add 10.1.0.3/24 dev eth0
	config <<-EOC
		version: 1
		networks:
		  lab: { vlan: 10, mode: internal }
		ports:
		  a: { type: vhost-user, socket: $T/a.sock, role: server, network: lab }
		  t: { type: tap, interface: tt, network: lab }
		  n: { type: netdev, interface: nn, network: lab }
	EOC
	daemon_start
	tap_guest tg tt 10.1.0.2/24
	vhost_guest vg gt "$T/a.sock" 10.1.0.1/24
	wait_for 5 pings vg 10.1.0.2 && wait_for 5 pings vg 10.1.0.3 || fail "the guests do not meet"
}
up_ovs() {
	dpdk_try && hugepages_try 512 || { say "$WHY"; return 1; }
	ovs_dpdk_start other_config:userspace-tso-enable=true && ovs_dpdk_dialer va || return 1
	ns otg ong
	veth ovs on ong eth0
	ovs_vsctl add-port br0 ot tag=10 -- set interface ot type=tap || return 1
	ovs_vsctl add-port br0 on tag=10 || return 1
	ip -n "$PREFIX-ovs" link set ot netns "$PREFIX-otg" || return 1
	ipn otg link set ot up
	ipn otg addr add 10.3.0.2/24 dev ot
	ipn ong addr add 10.3.0.3/24 dev eth0
	vhost_guest og gt "$OVS_RUN/va" 10.3.0.1/24 --role server
	wait_for 5 pings og 10.3.0.2 && wait_for 5 pings og 10.3.0.3
}
# VARIANT_FROM_TO
run_vswitchd_vhost_tap() { gbits vg tg 10.1.0.2; }
run_vswitchd_tap_vhost() { gbits tg vg 10.1.0.1; }
run_vswitchd_vhost_netdev() { gbits vg ng 10.1.0.3; }
run_vswitchd_netdev_vhost() { gbits ng vg 10.1.0.1; }
run_ovs_vhost_tap() { gbits og otg 10.3.0.2; }
run_ovs_tap_vhost() { gbits otg og 10.3.0.1; }
run_ovs_vhost_netdev() { gbits og ong 10.3.0.3; }
run_ovs_netdev_vhost() { gbits ong og 10.3.0.1; }

variants=() extra=()
who=
if vswitchd_knows; then up_vswitchd; who=vswitchd; else say "vswitchd: this one has no vhost-user ports"; fi
if up_ovs; then who="$who ovs"; else say "no Open vSwitch with DPDK here"; fi
for way in vhost_tap tap_vhost vhost_netdev netdev_vhost; do
	for v in $who; do variants+=("${v}_$way"); done
done
interleave "${variants[@]}"
for way in vhost_tap tap_vhost vhost_netdev netdev_vhost; do
	r=$(ratio vswitchd_$way ovs_$way)
	extra+=("${way}_to_ovs" "$r")
	say "$way: vswitchd $(median vswitchd_$way), Open vSwitch with DPDK $(median ovs_$way) Gbit/s, ratio $r"
done
if [[ $who = vswitchd* ]]; then
	# Frames of many segments that were received and sent as one: nothing was cut on the way.
	shares=$(ctl --json counters | jq -c '.ports | map_values({rx_packets, rx_segments, tx_packets, tx_segments})')
	say "packets and segments by port: $shares"
	extra+=(segments "$shares")
fi
result vhost_tcp Gbit/s "${variants[@]}" -- "${extra[@]}"
bench_end
