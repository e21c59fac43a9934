#!/bin/bash
# Packets a second between two vhost-user guests, one switch core: vswitchd, Open vSwitch with DPDK (one PMD,
# NORMAL, both ports in one VLAN), and testpmd's net_vhost in io mode, which does no switching, as the ceiling.
# Goals: 64 B at least 1.2 of Open vSwitch and 0.9 of io; 1500 B at least 1.3 of Open vSwitch.
#
#	guests on one processor: testpmd, two virtio-user ports in mac mode, rings of 1024, a closed loop of
#	eight bursts from each port; every frame is addressed to the other guest, whose first one made it known
#
#	virtio-user 0 (02:..:01) ==a.sock== switch, the other processor ==b.sock== (02:..:02) virtio-user 1
. "$(dirname "$0")/_bench.sh"
. "$(dirname "$0")/_vhost.sh"
need_root; need jq
RING=${RING:-1024}
BURSTS=${BURSTS:-8}
SIZES=${SIZES:-64 1500}
RETRIES=${RETRIES:-3}
dpdk_here
hugepages 1024
ns $SW
COUNTS='not supported'
if command -v perf >/dev/null && perf stat -e cycles true 2>&1 | grep -q '[0-9] *cycles'; then COUNTS=yes; fi
say "perf counts of cycles and cache misses: $COUNTS"

guests_start() { # A's socket, B's socket
	pmd_start guests "$GUEST_CPU" \
		"--vdev net_virtio_user0,path=$1,queue_size=$RING,mac=02:00:00:00:00:01${GUEST_OPTIONS:-} --vdev net_virtio_user1,path=$2,queue_size=$RING,mac=02:00:00:00:00:02${GUEST_OPTIONS:-}" \
		--forward-mode=mac --eth-peer=0,02:00:00:00:00:02 --eth-peer=1,02:00:00:00:00:01 --txd="$RING" --rxd="$RING"
}

# window VARIANT SIZE PID: Mpps of frames that the guests received, while the loop runs; processor time and,
# where perf can, cycles and cache misses of the switch's core.  All of them are busy all the time: a window in
# which one had less than 97 % of its processor tells about the machine's other users, and is taken again,
# $RETRIES times at most.
window() {
	local key=$1_$2 n0 t0 n1 t1 c0 c1 g0 g1 b0 b1 try ran guests
	for ((try = 0; ; try++)); do
		read -r n0 t0 _ < <(pmd_rx guests)
		b0=${EPOCHREALTIME/./}
		read -r c0 _ < <(cpu_ns "$3")
		read -r g0 _ < <(cpu_ns "${PMD[guests]}")
		if [ "$COUNTS" = yes ]; then
			perf stat -x, -e cycles,cache-misses -C "$SWITCH_CPU" -o "$T/perf" sleep "$TIME"
		else
			sleep "$TIME"
		fi
		b1=${EPOCHREALTIME/./}
		read -r c1 _ < <(cpu_ns "$3")
		read -r g1 _ < <(cpu_ns "${PMD[guests]}")
		read -r n1 t1 _ < <(pmd_rx guests)
		[ -n "$n1" ] && [ "$n1" -gt "$n0" ] || { say "$1, $2 B: nothing moves"; return 1; }
		ran=$(((c1 - c0) / 10 / (b1 - b0))) guests=$(((g1 - g0) / 10 / (b1 - b0))) # percent of the time
		[ "$ran" -lt 97 ] || [ "$guests" -lt 97 ] || break
		[ $try -lt "$RETRIES" ] || { say "$1, $2 B: disturbed: the switch ran $ran %, the guests $guests % of the time"; break; }
	done
	sample "$key" "$(awk -v n=$((n1 - n0)) -v us=$((t1 - t0)) 'BEGIN { printf "%.3f\n", n / us }')"
	sample "ns_$key" "$(awk -v n=$((n1 - n0)) -v us=$((t1 - t0)) -v c=$((c1 - c0)) -v b=$((b1 - b0)) 'BEGIN { printf "%.1f\n", c / b * us / n }')"
	if [ "$COUNTS" = yes ]; then
		sample "cycles_$key" "$(awk -F, -v n=$((n1 - n0)) '$3 == "cycles" { printf "%.0f\n", $1 / n }' "$T/perf")"
		sample "misses_$key" "$(awk -F, -v n=$((n1 - n0)) '$3 == "cache-misses" { printf "%.3f\n", $1 / n }' "$T/perf")"
	fi
	say "$1, $2 B: $(tail -n 1 "$T/samples.$key") Mpps, $(tail -n 1 "$T/samples.ns_$key") ns of processor time a packet"
}
# Both directions must turn: a switch that is still setting up its second port may lose the first frames.
turning() { # SIZE
	local try a0 b0 a1 b1
	for ((try = 0; try < 5; try++)); do
		pmd guests set txpkts "$1"
		pmd guests start tx_first "$BURSTS"
		sleep 0.5
		read -r _ _ a0 b0 < <(pmd_rx guests)
		sleep 0.2
		read -r _ _ a1 b1 < <(pmd_rx guests)
		[ -n "$b1" ] && [ "$a1" -gt "$a0" ] && [ "$b1" -gt "$b0" ] && return 0
		pmd guests stop
		sleep 0.5
	done
	say "the loop does not turn both ways"
	return 1
}
# loop VARIANT PID A B: both sizes through a switch that is up
loop() {
	local size
	guests_start "$3" "$4" || return 1
	for size in $SIZES; do
		turning "$size" && window "$1" "$size" "$2"
		pmd guests stop
		sleep 0.3
	done
	pmd_stop guests
}

round_vswitchd() {
	vhost_config
	daemon_start
	daemon_pin
	loop vswitchd "$DAEMON" "$T/a.sock" "$T/b.sock"
	ctl --json counters >"$T/counters.json"
	daemon_stop
}
round_ovs() {
	ovs_dpdk_start && ovs_dpdk_port va && ovs_dpdk_port vb || { ovs_dpdk_stop; return 1; }
	loop ovs "$OVS_PID" "$OVS_RUN/va" "$OVS_RUN/vb"
	ovs_dpdk_stop
}
round_io() {
	rm -f "$T/io.a" "$T/io.b"
	pmd_start io "$SWITCH_CPU" "--vdev net_vhost0,iface=$T/io.a,queues=1 --vdev net_vhost1,iface=$T/io.b,queues=1" \
		--forward-mode=io --auto-start --txd="$RING" --rxd="$RING" || return 1
	loop io "${PMD[io]}" "$T/io.a" "$T/io.b"
	pmd_stop io
}

VARIANTS=${VARIANTS:-vswitchd ovs io}
vswitchd_knows || { say "vswitchd: this one has no vhost-user ports"; VARIANTS=${VARIANTS/vswitchd/}; }
for ((r = 1; r <= ROUNDS; r++)); do
	for v in $VARIANTS; do
		say "round $r"
		"round_$v" || say "$v: no figure"
	done
done

keys=() extra=(perf "\"$COUNTS\"")
for size in $SIZES; do
	for v in $VARIANTS; do
		[ -e "$T/samples.${v}_$size" ] || continue
		keys+=("${v}_$size")
		extra+=("ns_${v}_$size" "$(median "ns_${v}_$size")")
		[ "$COUNTS" = yes ] && extra+=("cycles_${v}_$size" "$(median "cycles_${v}_$size")" "misses_${v}_$size" "$(median "misses_${v}_$size")")
	done
	extra+=("vswitchd_to_ovs_$size" "$(ratio vswitchd_$size ovs_$size)" "vswitchd_to_io_$size" "$(ratio vswitchd_$size io_$size)")
done
result vhost_pps Mpps "${keys[@]}" -- "${extra[@]}"
goal "64 B, of Open vSwitch with DPDK" "$(ratio vswitchd_64 ovs_64)" '>=' 1.2
goal "64 B, of testpmd io" "$(ratio vswitchd_64 io_64)" '>=' 0.9
goal "1500 B, of Open vSwitch with DPDK" "$(ratio vswitchd_1500 ovs_1500)" '>=' 1.3
bench_end
