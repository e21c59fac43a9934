# What the vhost-user benchmarks share, sourced after _bench.sh: hugepages, dpdk-testpmd, Open vSwitch with
# DPDK, vhost_peer.
#
#	dpdk_here                   unpacks DPDK and Open vSwitch, or skips
#	hugepages N                 N more pages of 2 MB and a hugetlbfs on $HUGE, or a skip; given back at the end
#	pmd_start NAME CPU VDEVS ARG...   a dpdk-testpmd, its forwarding thread on CPU; VDEVS: "--vdev X --vdev Y"
#	pmd NAME COMMAND            types it there;  pmd_rx NAME: packets its ports received so far
#	pmd_stop NAME
#	ovs_dpdk_start [OPTION...]  Open vSwitch with DPDK in namespace "ovs", one PMD on $SWITCH_CPU; bridge br0
#	ovs_dpdk_port NAME          a vhost-user port, VLAN 10, on $OVS_RUN/NAME
#	ovs_dpdk_stop
#	peer_start ARG...           a vhost_peer in the background on $GUEST_CPU; its JSON is in $SPAWN_OUT
#	vswitchd_knows              whether this daemon has vhost-user ports
#
# The switch's forwarding thread has $SWITCH_CPU alone, guests and all the rest share $GUEST_CPU.
SWITCH_CPU=${SWITCH_CPU:-0}
GUEST_CPU=${GUEST_CPU:-1}
PEER=$BUILD/tests/vhost/vhost_peer
HUGE=$T/huge
OVS_RUN=$T/ovs
HUGE_OURS=0
DPDK=
declare -A PMD PMD_IN
[ "$(nproc)" -ge 2 ] || skip "one processor: switch and guests need one each"

# With _try instead of a skip: status 1 and the reason in $WHY.
dpdk_here() { dpdk_try || skip "$WHY"; }
dpdk_try() {
	WHY="no DPDK: apt cannot download it"
	DPDK=$("$HERE/../peers.sh" dpdk) || return 1
	DPDK_LIB=$DPDK/usr/lib/$(uname -m)-linux-gnu
	# Drivers are found by path: their own directory belongs to installed ones.
	local so
	DPDK_DRIVERS=()
	for so in bus_vdev mempool_ring net_virtio net_vhost; do
		DPDK_DRIVERS+=(-d "$(ls "$DPDK_LIB"/dpdk/pmds-*/librte_$so.so.* | head -n 1)")
	done
}

hugepages() { hugepages_try "$1" || skip "$WHY"; }
hugepages_try() {
	local want have
	WHY="this kernel has no hugepages"
	have=$(cat /proc/sys/vm/nr_hugepages 2>/dev/null) || return 1
	want=$((have + $1))
	WHY="no memory for $1 hugepages, or no right to reserve them"
	echo $want 2>/dev/null >/proc/sys/vm/nr_hugepages || return 1
	HUGE_OURS=$1
	[ "$(cat /proc/sys/vm/nr_hugepages)" -ge $want ] || return 1
	mkdir -p "$HUGE"
	WHY="hugetlbfs cannot be mounted here"
	mount -t hugetlbfs none "$HUGE" 2>/dev/null
}
# Pages that are in use yet go back when their process ends: the count is only what is kept in reserve.
hugepages_back() {
	local left
	[ "$HUGE_OURS" -gt 0 ] || return 0
	umount -l "$HUGE" 2>/dev/null
	left=$(($(cat /proc/sys/vm/nr_hugepages) - HUGE_OURS)) # another benchmark may have some too
	echo $((left > 0 ? left : 0)) >/proc/sys/vm/nr_hugepages
}
story_cleanup() { hugepages_back; }

# ---- dpdk-testpmd ----

pmd_start() {
	local name=$1 cpu=$2 vdevs=$3
	shift 3
	mkfifo "$T/$name.in"
	exec {PMD_IN[$name]}<>"$T/$name.in"
	# shellcheck disable=SC2086 -- a list is meant
	env "LD_LIBRARY_PATH=$DPDK_LIB" taskset -c "$GUEST_CPU,$cpu" stdbuf -oL "$DPDK/usr/bin/dpdk-testpmd" "${DPDK_DRIVERS[@]}" \
		--lcores "0@$GUEST_CPU,1@$cpu" --no-pci --in-memory --single-file-segments --huge-dir "$HUGE" -m 512 \
		--file-prefix "$PREFIX-$name" $vdevs -- --interactive --nb-cores=1 --no-mlockall "$@" \
		<"$T/$name.in" >"$T/$name.out" 2>&1 &
	PMD[$name]=$!
	wait_for 15 pmd_ready "$name" || { tail -n 5 "$T/$name.out" >&2; return 1; }
}
pmd_ready() {
	kill -0 "${PMD[$1]}" 2>/dev/null || { tail -n 5 "$T/$1.out"; fail "testpmd $1 ended at once"; }
	grep -qs "testpmd> " "$T/$1.out"
}
pmd() {
	local name=$1
	shift
	echo "$*" >&"${PMD_IN[$name]}"
}
pmd_blocks() { [ "$(grep -c 'RX-packets:' "$T/$1.out")" -ge "$2" ]; }
# "PACKETS MICROSECONDS FIRST SECOND": what both ports have received, when that was read, and each port
pmd_rx() {
	local seen
	seen=$(grep -c 'RX-packets:' "$T/$1.out")
	pmd "$1" show port stats all
	wait_for 5 pmd_blocks "$1" $((seen + 2)) || return 1
	grep 'RX-packets:' "$T/$1.out" | tail -n 2 | awk -v t="${EPOCHREALTIME/./}" '{ n[NR] = $2 } END { printf "%.0f %s %s %s\n", n[1] + n[2], t, n[1], n[2] }'
}
pmd_stop() {
	local fd=${PMD_IN[$1]}
	pmd "$1" quit
	wait_for 5 eval "! kill -0 ${PMD[$1]} 2>/dev/null" || kill -KILL "${PMD[$1]}"
	wait "${PMD[$1]}" 2>/dev/null
	exec {fd}>&-
	rm -f "$T/$1.in"
	unset "PMD[$1]" "PMD_IN[$1]"
}

# ---- Open vSwitch with DPDK ----

ovs_vsctl() { "${OVS[@]}" "$DPDK/usr/bin/ovs-vsctl" --timeout=20 --db="unix:$OVS_RUN/db.sock" "$@"; }
ovs_appctl() { "${OVS[@]}" "$DPDK/usr/bin/ovs-appctl" -t "$OVS_RUN/ctl" "$@"; }
ovs_dpdk_start() {
	local drivers
	[ -e "/run/netns/$PREFIX-ovs" ] || ns ovs
	rm -rf "$OVS_RUN"
	mkdir -p "$OVS_RUN"
	OVS=(env "LD_LIBRARY_PATH=$DPDK_LIB" "OVS_RUNDIR=$OVS_RUN" "OVS_LOGDIR=$OVS_RUN" "OVS_DBDIR=$OVS_RUN" "OVS_PKGDATADIR=$DPDK/usr/share/openvswitch")
	"${OVS[@]}" "$DPDK/usr/bin/ovsdb-tool" create "$OVS_RUN/conf.db" "$DPDK/usr/share/openvswitch/vswitch.ovsschema" || return 1
	spawn on ovs "${OVS[@]}" "$DPDK/usr/sbin/ovsdb-server" "$OVS_RUN/conf.db" --remote="punix:$OVS_RUN/db.sock"
	OVSDB_PID=$SPAWNED
	wait_for 5 test -S "$OVS_RUN/db.sock" || return 1
	drivers="${DPDK_DRIVERS[2]} ${DPDK_DRIVERS[3]}" # the memory pool's
	ovs_vsctl --no-wait init -- set Open_vSwitch . other_config:dpdk-init=true other_config:dpdk-socket-mem=600 \
		other_config:dpdk-hugepage-dir="$HUGE" other_config:pmd-cpu-mask="$((1 << SWITCH_CPU))" \
		other_config:dpdk-lcore-mask="$((1 << GUEST_CPU))" \
		other_config:dpdk-extra="--no-pci --in-memory --file-prefix $PREFIX-ovs $drivers" "$@" || return 1
	spawn on ovs "${OVS[@]}" taskset -c "$GUEST_CPU,$SWITCH_CPU" "$DPDK/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk" \
		"unix:$OVS_RUN/db.sock" --unixctl="$OVS_RUN/ctl" -vconsole:warn
	OVS_PID=$SPAWNED OVS_OUT=$SPAWN_OUT
	ovs_vsctl add-br br0 -- set bridge br0 datapath_type=netdev || { tail -n 5 "$OVS_OUT" >&2; return 1; }
}
ovs_dpdk_port() { ovs_vsctl add-port br0 "$1" tag=10 -- set interface "$1" type=dpdkvhostuser; }
# The same that dials $OVS_RUN/NAME: only such a port takes TSO from its guest.
ovs_dpdk_dialer() {
	ovs_vsctl add-port br0 "$1" tag=10 -- set interface "$1" type=dpdkvhostuserclient options:vhost-server-path="$OVS_RUN/$1"
}
ovs_dpdk_stop() {
	end_spawned "$OVS_PID"
	end_spawned "$OVSDB_PID"
}

# ---- the project's own ----

peer_here() { [ -x "$PEER" ] || skip "$PEER is not built (make testprog)"; }
peer_start() { spawn taskset -c "$GUEST_CPU" "$PEER" "$@"; }
vswitchd_knows() {
	[ -x "$VSWITCHD" ] || return 1
	cat >"$T/knows.yaml" <<-EOC
		version: 1
		networks:
		  lab: { vlan: 10, mode: internal }
		ports:
		  a: { type: vhost-user, socket: $T/knows.sock, role: server, network: lab }
	EOC
	"$VSWITCHD" -n -c "$T/knows.yaml" >/dev/null 2>&1
}
# Two vhost-user ports in one network, and what stands in "$1" beside them; sockets $T/a.sock, $T/b.sock
vhost_config() {
	config <<-EOC
		version: 1
		networks:
		  lab: { vlan: 10, mode: internal }
		ports:
		  a: { type: vhost-user, socket: $T/a.sock, role: server, network: lab }
		  b: { type: vhost-user, socket: $T/b.sock, role: server, network: lab }
		$(printf '%s\n' "$@" | sed 's/^/  /')
	EOC
}
# The whole daemon on the switch's processor.
daemon_pin() { taskset -acp "$SWITCH_CPU" "$DAEMON" >/dev/null; }
# "CPU WAIT": nanoseconds that all threads of these processes ran, and that they waited for a processor
cpu_ns() {
	local p
	for p in "$@"; do cat /proc/"$p"/task/*/schedstat; done | awk '{ c += $1; w += $2 } END { printf "%.0f %.0f\n", c, w }'
}
