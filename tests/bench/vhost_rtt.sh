#!/bin/bash
# One frame a millisecond to a guest that bounces it: round trips through vswitchd, which sleeps between them, and
# through Open vSwitch with DPDK, which polls.  Both guests are one polling thread of vhost_peer, so that no
# scheduler stands between them.
# Goal: the median at most 1.5 times that of Open vSwitch.
#
#	vhost_peer: ping ==a.sock== switch, the other processor ==b.sock== bounce :the same thread
. "$(dirname "$0")/_bench.sh"
. "$(dirname "$0")/_vhost.sh"
need_root; need jq
COUNT=${COUNT:-3000}
RETRIES=${RETRIES:-2}
peer_here
dpdk_here
hugepages 512
ns $SW

# trips VARIANT PID A B: a run in which the switch had to wait for its processor tells about the machine's other
# users, and is made again, $RETRIES times at most
trips() {
	local k w0 w1 try waited b0
	for ((try = 0; ; try++)); do
		read -r _ w0 < <(cpu_ns "$2")
		b0=${EPOCHREALTIME/./}
		taskset -c "$GUEST_CPU" "$PEER" ping --socket "$3" --peer-socket "$4" --interval 1000 --count "$COUNT" >"$T/ping.json" || return 1
		read -r _ w1 < <(cpu_ns "$2")
		waited=$(((w1 - w0) / 10 / (${EPOCHREALTIME/./} - b0))) # percent of the time
		[ "$waited" -ge 3 ] && [ $try -lt "$RETRIES" ] || break
	done
	[ "$waited" -lt 3 ] || say "$1: disturbed, $waited % of the time went to other processes"
	for k in p50 p90 p99 max; do sample "$1_$k" "$(jq ".${k}_us" "$T/ping.json")"; done
	[ "$(jq '.answered * 100 >= .sent * 99' "$T/ping.json")" = true ] || say "$1: $(jq -c '[.sent, .answered]' "$T/ping.json") sent, answered"
	say "$1: $(jq -r '"p50 \(.p50_us) p90 \(.p90_us) p99 \(.p99_us) max \(.max_us) us"' "$T/ping.json")"
}
round_vswitchd() {
	vhost_config
	daemon_start
	daemon_pin
	trips vswitchd "$DAEMON" "$T/a.sock" "$T/b.sock"
	daemon_stop
}
round_ovs() {
	ovs_dpdk_start && ovs_dpdk_port va && ovs_dpdk_port vb && trips ovs "$OVS_PID" "$OVS_RUN/va" "$OVS_RUN/vb"
	ovs_dpdk_stop
}
VARIANTS=${VARIANTS:-vswitchd ovs}
vswitchd_knows || { say "vswitchd: this one has no vhost-user ports"; VARIANTS=${VARIANTS/vswitchd/}; }
for ((r = 1; r <= ROUNDS; r++)); do
	for v in $VARIANTS; do "round_$v" || say "$v: no figure"; done
done
keys=()
for v in $VARIANTS; do
	[ -e "$T/samples.${v}_p50" ] && keys+=("${v}_p50" "${v}_p90" "${v}_p99" "${v}_max")
done
result vhost_rtt us "${keys[@]}" -- vswitchd_to_ovs_p50 "$(ratio vswitchd_p50 ovs_p50)"
goal "median round trip, times that of a polling switch" "$(ratio vswitchd_p50 ovs_p50)" '<=' 1.5
bench_end
