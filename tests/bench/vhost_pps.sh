#!/bin/bash
# Packets a second between two vhost-user guests, one switch core: vswitchd, Open vSwitch with DPDK (one PMD,
# NORMAL, both ports in one VLAN), and testpmd's net_vhost in io mode, which does no switching, as the ceiling.
# Goals: 64 B at least 1.2 of Open vSwitch and 0.9 of io; 1500 B at least 1.3 of Open vSwitch.
#
#	guests on one processor: testpmd, two virtio-user ports in mac mode, rings of 1024, a closed loop of
#	eight bursts from each port; every frame is addressed to the other guest, whose first one made it known
#
#	virtio-user 0 (02:..:01) ==a.sock== switch, the other processor ==b.sock== (02:..:02) virtio-user 1
#
# All variants are up at once and all but one are stopped (SIGSTOP): windows of $TIME s go round and round among
# them, so that neighbours in time are compared.  What a cache line needs between the two processors decides all
# rates; on a virtual machine the host changes it from one second to the next.  It is measured in each round, and ratios
# are medians of the ratios within rounds: over all, and over the rounds in which the two were near.
. "$(dirname "$0")/_bench.sh"
. "$(dirname "$0")/_vhost.sh"
need_root; need jq
RING=${RING:-1024}
BURSTS=${BURSTS:-8}
SIZES=${SIZES:-64 1500}
WINDOWS=${WINDOWS:-$((ROUNDS * 8))}
WINDOW=${WINDOW:-0.4}
NEAR=${NEAR:-250} # ns for a cache line's round trip
declare -A PIDS
dpdk_here
hugepages 2000
ns $SW
COUNTS='not supported'
if command -v perf >/dev/null && perf stat -e cycles true 2>&1 | grep -q '[0-9] *cycles'; then COUNTS=yes; fi
say "perf counts of cycles and cache misses: $COUNTS"

guests_start() { # VARIANT, A's socket, B's socket
	pmd_start "$1" "$GUEST_CPU" \
		"--vdev net_virtio_user0,path=$2,queue_size=$RING,mac=02:00:00:00:00:01${GUEST_OPTIONS:-} --vdev net_virtio_user1,path=$3,queue_size=$RING,mac=02:00:00:00:00:02${GUEST_OPTIONS:-}" \
		--forward-mode=mac --eth-peer=0,02:00:00:00:00:02 --eth-peer=1,02:00:00:00:00:01 --txd="$RING" --rxd="$RING"
}
up_vswitchd() {
	vhost_config
	daemon_start
	daemon_pin
	PIDS[vswitchd]=$DAEMON
	guests_start vswitchd "$T/a.sock" "$T/b.sock"
}
up_ovs() {
	ovs_dpdk_start && ovs_dpdk_port va && ovs_dpdk_port vb || return 1
	PIDS[ovs]=$OVS_PID
	guests_start ovs "$OVS_RUN/va" "$OVS_RUN/vb"
}
up_io() {
	rm -f "$T/io.a" "$T/io.b"
	pmd_start bare "$SWITCH_CPU" "--vdev net_vhost0,iface=$T/io.a,queues=1 --vdev net_vhost1,iface=$T/io.b,queues=1" \
		--forward-mode=io --auto-start --txd="$RING" --rxd="$RING" || return 1
	PIDS[io]=${PMD[bare]}
	guests_start io "$T/io.a" "$T/io.b"
}
thaw() { kill -CONT "${PIDS[$1]}" "${PMD[$1]}"; }
freeze() { kill -STOP "${PIDS[$1]}" "${PMD[$1]}"; }

# Both directions must turn: a switch that is still setting up its second port may lose the first frames.
turning() { # VARIANT SIZE
	local try a0 b0 a1 b1
	for ((try = 0; try < 5; try++)); do
		pmd "$1" set txpkts "$2"
		pmd "$1" start tx_first "$BURSTS"
		sleep 0.5
		read -r _ _ a0 b0 < <(pmd_rx "$1")
		sleep 0.2
		read -r _ _ a1 b1 < <(pmd_rx "$1")
		[ -n "$b1" ] && [ "$a1" -gt "$a0" ] && [ "$b1" -gt "$b0" ] && return 0
		pmd "$1" stop
		sleep 0.5
	done
	say "$1: the loop does not turn both ways"
	return 1
}

# window VARIANT SIZE: Mpps of frames that the guests received, in MPPS; "" when one of the two had less than 90 % of
# its processor: both are busy all the time, so somebody else was.
window() {
	local key=$1_$2 n0 t0 n1 t1 c0 c1 g0 g1 b0 b1
	MPPS=
	thaw "$1"
	sleep 0.05
	read -r n0 t0 _ < <(pmd_rx "$1")
	b0=${EPOCHREALTIME/./}
	read -r c0 _ < <(cpu_ns "${PIDS[$1]}")
	read -r g0 _ < <(cpu_ns "${PMD[$1]}")
	if [ "$COUNTS" = yes ]; then
		perf stat -x, -e cycles,cache-misses -C "$SWITCH_CPU" -o "$T/perf" sleep "$WINDOW"
	else
		sleep "$WINDOW"
	fi
	b1=${EPOCHREALTIME/./}
	read -r c1 _ < <(cpu_ns "${PIDS[$1]}")
	read -r g1 _ < <(cpu_ns "${PMD[$1]}")
	read -r n1 t1 _ < <(pmd_rx "$1")
	freeze "$1"
	[ -n "$n1" ] && [ "$n1" -gt "$n0" ] || { say "$1, $2 B: nothing moves"; return; }
	[ $(((c1 - c0) / 10 / (b1 - b0))) -ge 90 ] && [ $(((g1 - g0) / 10 / (b1 - b0))) -ge 90 ] || return
	MPPS=$(awk -v n=$((n1 - n0)) -v us=$((t1 - t0)) 'BEGIN { printf "%.3f\n", n / us }')
	sample "$key" "$MPPS"
	sample "ns_$key" "$(awk -v n=$((n1 - n0)) -v us=$((t1 - t0)) -v c=$((c1 - c0)) -v b=$((b1 - b0)) 'BEGIN { printf "%.1f\n", c / b * us / n }')"
	if [ "$COUNTS" = yes ]; then
		sample "cycles_$key" "$(awk -F, -v n=$((n1 - n0)) '$3 == "cycles" { printf "%.0f\n", $1 / n }' "$T/perf")"
		sample "misses_$key" "$(awk -F, -v n=$((n1 - n0)) '$3 == "cache-misses" { printf "%.3f\n", $1 / n }' "$T/perf")"
	fi
}
# compare KEY A B: a ratio for this round, when both windows counted
compare() {
	[ -n "$2" ] && [ -n "$3" ] || return 0
	sample "$1" "$(awk -v a="$2" -v b="$3" 'BEGIN { printf "%.3f\n", a / b }')"
	[ "$TRIP" -gt "$NEAR" ] || sample "near_$1" "$(tail -n 1 "$T/samples.$1")"
}

VARIANTS=${VARIANTS:-vswitchd ovs io}
vswitchd_knows || { say "vswitchd: this one has no vhost-user ports"; VARIANTS=${VARIANTS/vswitchd/}; }
running=
for v in $VARIANTS; do
	if "up_$v"; then running="$running $v"; freeze "$v"; else say "$v: does not start"; fi
done
for size in $SIZES; do
	turn=
	for v in $running; do
		thaw "$v"
		turning "$v" "$size" && turn="$turn $v"
		freeze "$v"
	done
	for ((r = 1; r <= WINDOWS; r++)); do
		declare -A m=()
		TRIP=$("$BUILD/tests/bench/line_trip" "$SWITCH_CPU" "$GUEST_CPU")
		sample "trip_$size" "$TRIP"
		line="$size B, line trip $TRIP ns:"
		for v in $turn; do
			window "$v" "$size"
			m[$v]=$MPPS
			line="$line $v ${MPPS:-disturbed}"
		done
		say "$line"
		compare "to_ovs_$size" "${m[vswitchd]:-}" "${m[ovs]:-}"
		compare "to_io_$size" "${m[vswitchd]:-}" "${m[io]:-}"
	done
	for v in $turn; do
		thaw "$v"
		pmd "$v" stop
		sleep 0.3
		freeze "$v"
	done
done
for v in $running; do thaw "$v"; pmd_stop "$v"; done
for v in $running; do
	case $v in
	vswitchd) ctl --json counters >"$T/counters.json"; daemon_stop ;;
	ovs) ovs_dpdk_stop ;;
	io) pmd_stop bare ;;
	esac
done

keys=() extra=(perf "\"$COUNTS\"")
for size in $SIZES; do
	for v in $running; do
		[ -e "$T/samples.${v}_$size" ] || continue
		keys+=("${v}_$size")
		extra+=("ns_${v}_$size" "$(median "ns_${v}_$size")")
		[ "$COUNTS" = yes ] && extra+=("cycles_${v}_$size" "$(median "cycles_${v}_$size")" "misses_${v}_$size" "$(median "misses_${v}_$size")")
	done
	extra+=("line_trip_ns_$size" "$(median "trip_$size")")
	for k in to_ovs to_io; do
		extra+=("vswitchd_${k}_$size" "$(median "${k}_$size")" "vswitchd_${k}_${size}_near" "$(median "near_${k}_$size")")
	done
done
result vhost_pps Mpps "${keys[@]}" -- "${extra[@]}"
say "ratios: all rounds 64 B: ovs $(median to_ovs_64), io $(median to_io_64); near: ovs $(median near_to_ovs_64), io $(median near_to_io_64)"
goal "64 B, of Open vSwitch with DPDK" "$(median to_ovs_64)" '>=' 1.2
goal "64 B, of testpmd io" "$(median to_io_64)" '>=' 0.9
goal "1500 B, of Open vSwitch with DPDK" "$(median to_ovs_1500)" '>=' 1.3
bench_end
