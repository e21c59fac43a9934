# The prologue of the benchmarks: the stories' one, and a few figures.  Each benchmark runs its
# variants A B A B ($ROUNDS times, $TIME seconds each), takes medians and writes
# build/bench/NAME.json; every peer lives in namespaces of its own and is gone at the end.
. "$(dirname "${BASH_SOURCE[0]}")/../netns/_story.sh"
ROUNDS=${ROUNDS:-5}
TIME=${TIME:-3}
RESULTS=$ROOT/build/bench
mkdir -p "$RESULTS"
OVS=

# sample VARIANT VALUE; median VARIANT
sample() { echo "$2" >>"$T/samples.$1"; }
median() { sort -g "$T/samples.$1" 2>/dev/null | awk '{ v[NR] = $1 } END { if (!NR) print "null"; else if (NR % 2) print v[(NR + 1) / 2]; else print (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
samples() { paste -sd, "$T/samples.$1"; }

# gbits CLIENT SERVER ADDRESS [ARG...]: one iperf3 run, Gbit/s received
gbits() {
	local c=$1 s=$2 a=$3 pid port
	shift 3
	port=$((5201 + RANDOM % 20000)) # the last one may still be closing
	on "$s" iperf3 -s -1 -p $port >"$T/iperf.server" 2>&1 &
	pid=$!
	wait_for 5 listening "$s" $port || { echo "no iperf3 server in $s" >&2; return 1; }
	on "$c" iperf3 -J -c "$a" -p $port -t "$TIME" -O 0.5 --connect-timeout 3000 "$@" >"$T/iperf.json" 2>&1
	wait "$pid" 2>/dev/null
	jq -er '.end.sum_received.bits_per_second / 1e9 | . * 100 | round / 100' "$T/iperf.json" ||
		{ jq -r '.error // "?"' "$T/iperf.json" >&2; return 1; }
}

# interleave VARIANT...: ROUNDS times each in turn; run_VARIANT prints one figure
interleave() {
	local r v x
	for ((r = 0; r < ROUNDS; r++)); do
		for v in "$@"; do
			x=$("run_$v") || { say "$v: no figure"; continue; }
			sample "$v" "$x"
			say "round $((r + 1)) $v: $x"
		done
	done
}

# result NAME UNIT VARIANT... [-- KEY VALUE]...: the JSON
result() {
	local name=$1 unit=$2 v out
	shift 2
	out='{}'
	while [ $# -gt 0 ] && [ "$1" != -- ]; do
		v=$1
		out=$(jq -c --arg v "$v" --argjson m "$(median "$v")" --argjson s "[$(samples "$v")]" '. + {($v): {median: $m, samples: $s}}' <<<"$out")
		shift
	done
	[ $# = 0 ] || shift
	local extra='{}'
	while [ $# -gt 1 ]; do
		extra=$(jq -c --arg k "$1" --argjson x "$2" '. + {($k): $x}' <<<"$extra")
		shift 2
	done
	jq -n --arg name "$name" --arg unit "$unit" --argjson v "$out" --argjson e "$extra" --arg kernel "$(uname -r)" --argjson cpus "$(nproc)" \
		'{name: $name, unit: $unit, kernel: $kernel, cpus: $cpus, variants: $v} + $e' >"$RESULTS/$name.json"
	say "-> build/bench/$name.json"
}
# ratio A B: median A / median B, null when either is missing
ratio() { awk -v a="$(median "$1")" -v b="$(median "$2")" 'BEGIN { if (a == "null" || b == "null" || b == 0) print "null"; else printf "%.3f\n", a / b }'; }
# goal TEXT VALUE OP LIMIT: says whether it was reached; a benchmark does not fail by it
GOALS_MISSED=0
goal() {
	if [ "$2" = null ]; then say "goal unknown: $1"; return; fi
	if awk -v a="$2" -v l="$4" "BEGIN { exit !(a $3 l) }"; then say "goal reached: $1: $2 $3 $4"; else say "goal MISSED: $1: $2, wanted $3 $4"; GOALS_MISSED=1; fi
}
# cost: "TICKS SWITCHES" of all threads of the daemon so far
cost() {
	local t ticks=0 switches=0 s
	for t in /proc/$DAEMON/task/*; do
		s=$(sed 's/.*) //' "$t/stat" | awk '{ print $12 + $13 }')
		ticks=$((ticks + s))
		s=$(awk '/ctxt_switches/ { s += $2 } END { print s }' "$t/status")
		switches=$((switches + s))
	done
	echo "$ticks $switches"
}
bench_end() { FINISHED=0; exit 0; }

# A Linux bridge between two veths: bridge_peer PREFIX SUBNET: namespaces PREFIXa and PREFIXb
bridge_peer() {
	ns "$1" "$1a" "$1b"
	ipn "$1" link add br0 type bridge
	ipn "$1" link set br0 up
	on "$1" sysctl -qw net.bridge.bridge-nf-call-iptables=0 2>/dev/null
	veth "$1" va "$1a" eth0
	veth "$1" vb "$1b" eth0
	ipn "$1" link set va master br0
	ipn "$1" link set vb master br0
	ipn "$1a" addr add "$2.1/24" dev eth0
	ipn "$1b" addr add "$2.2/24" dev eth0
}

# Open vSwitch in user space with two TAPs: namespaces ovsa and ovsb
ovs_peer() {
	local d
	d=$("$HERE/../peers.sh" ovs) || return 1
	ns ovs ovsa ovsb
	mkdir -p "$T/ovs"
	OVS=(env "LD_LIBRARY_PATH=$d/usr/lib/x86_64-linux-gnu" "OVS_RUNDIR=$T/ovs" "OVS_LOGDIR=$T/ovs" "OVS_DBDIR=$T/ovs" "OVS_PKGDATADIR=$d/usr/share/openvswitch")
	"${OVS[@]}" "$d/usr/bin/ovsdb-tool" create "$T/ovs/conf.db" "$d/usr/share/openvswitch/vswitch.ovsschema" || return 1
	spawn on ovs "${OVS[@]}" "$d/usr/sbin/ovsdb-server" "$T/ovs/conf.db" --remote="punix:$T/ovs/db.sock"
	wait_for 5 test -S "$T/ovs/db.sock" || return 1
	ovs_vsctl() { "${OVS[@]}" "$d/usr/bin/ovs-vsctl" --timeout=10 --db="unix:$T/ovs/db.sock" "$@"; }
	ovs_vsctl --no-wait init
	spawn on ovs "${OVS[@]}" "$d/usr/lib/openvswitch-switch/ovs-vswitchd" "unix:$T/ovs/db.sock"
	ovs_vsctl add-br br0 -- set bridge br0 datapath_type=netdev || return 1
	local x
	for x in a b; do
		ovs_vsctl add-port br0 "ov$x" -- set interface "ov$x" type=tap || return 1
		ip -n "$PREFIX-ovs" link set "ov$x" netns "$PREFIX-ovs$x" || return 1
		ipn "ovs$x" link set "ov$x" up
	done
	ipn ovsa addr add 10.3.0.1/24 dev ova
	ipn ovsb addr add 10.3.0.2/24 dev ovb
}
