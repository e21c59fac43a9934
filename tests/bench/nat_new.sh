#!/bin/bash
# New sessions for a second of processor: one datagram for each new UDP flow, guest to outside, at a steady
# rate that both hold, through vswitchd's NAT and the kernel's nft masquerade. What the machine was
# busy with beyond the sender's own work (the same flows into a veth whose other end drops them) is divided into the flows that arrived. Goal: 0.8 of nft's.
#
#	a (ta) --- vswitchd [203.0.113.2] (up0) ==veth== (w0) wan 203.0.113.1; _nat.sh has the kernel's
#	y (eth0) ==veth== (z0) z
. "$(dirname "$0")/_bench.sh"
. "$(dirname "$0")/_nat.sh"
need_root; need_tun; need jq nft
FLOWS=$BUILD/tests/bench/new_flows
[ -x "$FLOWS" ] || skip "new_flows is not built"
COUNT=${COUNT:-40000} RATE=${RATE:-40000}

ns $SW
wan
config <<EOC
version: 1
limits: { sessions: 1048576 }
uplinks:
  wan: { type: interface, interface: up0, address: 203.0.113.2/24, gateway: 203.0.113.1 }
networks:
  lab: { vlan: 10, mode: nat, uplink: wan, subnet: 10.10.10.0/24, nat: { sessions-per-guest: 1000000 } }
ports:
  a: { type: tap, interface: ta, network: lab }
EOC
daemon_start
tap_guest a ta 10.10.10.50/24
ipn a route add default via 10.10.10.1
kernel_nat
on router sysctl -qw net.netfilter.nf_conntrack_udp_timeout=1 2>/dev/null
ns y z
veth y eth0 z z0
ipn y addr add 10.10.10.50/24 dev eth0
ipn y route add default via 10.10.10.1
ipn y neigh add 10.10.10.1 lladdr 02:00:00:00:00:01 dev eth0
# Nobody outside may spend time on answers.
for n in wan kwan z; do
	on $n nft -f - <<-EOC || skip "no nft in this kernel"
	table netdev t {
		chain in { type filter hook ingress device $(case $n in wan) echo w0 ;; kwan) echo eth0 ;; z) echo z0 ;; esac) priority 0; udp dport 1000-60000 counter drop; }
	}
	EOC
done
arrived() { on "$1" nft -j list ruleset | jq '[.. | .counter? // empty | .packets] | add'; }
used() { awk '{ s += $1 } END { printf "%d\n", s / 1000 }' /proc/"$DAEMON"/task/*/schedstat; } # by the daemon, us
round=0
# run FROM ADDRESS OUTSIDE: thousands of sessions a second of processor, the sender's own work taken off
run() {
	local before daemon sender
	before=$(arrived "$3") daemon=$(used)
	sender=$(on "$1" "$FLOWS" "$2" "$COUNT" "$RATE" "$round") || return 1
	sleep 0.2
	daemon=$(($(used) - daemon))
	[ "$1" = a ] || daemon=0
	awk -v t=$((sender + daemon - base)) -v n=$(($(arrived "$3") - before)) 'BEGIN { if (t > 0) printf "%.1f\n", n * 1000 / t }'
}
run_vswitchd() { run a 203.0.113.1 wan; }
run_kernel() { run k 198.51.100.1 kwan; }
for ((r = 0; r < ROUNDS; r++)); do
	round=$r
	base=$(on y "$FLOWS" 203.0.113.1 "$COUNT" "$RATE" "$round") # what sending itself costs
	for v in vswitchd kernel; do
		x=$(run_$v) && [ -n "$x" ] && sample $v "$x" && say "round $((r + 1)) $v: $x"
	done
	ctl nat flush >/dev/null
	sleep 2
done
result nat_new "1000 sessions/s of processor" vswitchd kernel -- to_kernel "$(ratio vswitchd kernel)"
goal "new sessions for processor time, of nft masquerade" "$(ratio vswitchd kernel)" '>=' 0.8
bench_end
