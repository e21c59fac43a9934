#!/bin/bash
# What a packet costs the workers in processor time: one worker with one pair of guests, one with two pairs, two
# with two pairs; and that order within flows is kept on two workers.  No goal: a switch of two workers and four
# guests on two processors shows no scaling, but it does show what several workers cost (locks, lines that move,
# polls that find nothing). Processors are
# shared as the scheduler likes, so that single figures vary by a half; the medians are what to look at.
#
#	a0 ==a0.sock== vswitchd ==b0.sock== b0    each pair a closed loop of $FRAMES frames, bounced to and fro
#	a1 ==a1.sock==          ==b1.sock== b1    (not with one pair)
. "$(dirname "$0")/_bench.sh"
. "$(dirname "$0")/_vhost.sh"
need_root; need jq
ROUNDS=${WORKERS_ROUNDS:-3}
WINDOW=${WINDOW:-1.5}
FRAMES=${FRAMES:-128}
FLOWS=8
peer_here
vswitchd_knows || skip "this vswitchd has no vhost-user ports"
ns $SW

# switch_start WORKERS
switch_start() {
	local i
	{
		printf 'version: 1\nworkers: %s\nnetworks:\n  lab: { vlan: 10, mode: internal }\nports:\n' "$1"
		for i in a0 b0 a1 b1; do echo "  $i: { type: vhost-user, socket: $T/$i.sock, role: server, network: lab }"; done
	} | config
	daemon_start
}
mac() { printf '02:00:00:00:%s:0%s' "$([ "$1" = a ] && echo 0a || echo 0b)" "$2"; } # a|b PAIR
known() { ctl --json mac list | jq -e --arg m "$1" 'any(.[]; .mac == $m)' >/dev/null; }
PEERS=()
# guest MODE a|b PAIR ARG...: one that the switch knows
guest() {
	local me other=a
	[ "$2" = a ] && other=b
	me=$(mac "$2" "$3")
	spawn "$PEER" "$1" --socket "$T/$2$3.sock" --mac "$me" --peer-mac "$(mac $other "$3")" --size 1024 "${@:4}"
	PEERS+=("$SPAWNED")
	wait_for 10 known "$me" || fail "guest $2$3 is not there: $(cat "$SPAWN_OUT")"
}
guests_end() {
	local p
	for p in "${PEERS[@]}"; do end_spawned "$p"; done
	PEERS=()
}
# Nanoseconds that the workers ran: all threads but main.
workers_ns() {
	local t
	for t in /proc/"$DAEMON"/task/*; do [ "${t##*/}" = "$DAEMON" ] || cat "$t/schedstat"; done | awk '{ n += $1 } END { printf "%.0f\n", n }'
}
forwarded() { ctl --json counters | jq '[.ports[].forwarded] | add'; }

# cost_of VARIANT WORKERS PAIRS
cost_of() {
	local i n0 n1 c0 c1 t0 t1
	switch_start "$2"
	for ((i = 0; i < $3; i++)); do
		guest bounce b "$i"
		guest bounce a "$i" --start "$FRAMES"
	done
	sleep 0.3
	t0=${EPOCHREALTIME/./} c0=$(workers_ns) n0=$(forwarded)
	sleep "$WINDOW"
	t1=${EPOCHREALTIME/./} c1=$(workers_ns) n1=$(forwarded)
	guests_end
	daemon_stop
	[ "$n1" -gt "$n0" ] || { say "$1: nothing moves"; return; }
	sample "$1" $(((c1 - c0) / (n1 - n0)))
	sample "mpps_$1" "$(awk -v n=$((n1 - n0)) -v us=$((t1 - t0)) 'BEGIN { printf "%.3f\n", n / us }')"
	sample "busy_$1" "$(awk -v c=$((c1 - c0)) -v us=$((t1 - t0)) 'BEGIN { printf "%.2f\n", c / us / 1000 }')"
	say "$1: $(tail -n 1 "$T/samples.$1") ns a packet, $(tail -n 1 "$T/samples.mpps_$1") Mpps, workers had $(tail -n 1 "$T/samples.busy_$1") processors"
}
# Streams of two pairs at once through two workers; what the sinks saw.
order() {
	local i streams=() sinks=() out=()
	switch_start 2
	for i in 0 1; do
		guest sink b "$i" --flows $FLOWS --seconds 60
		sinks+=("$SPAWNED") out+=("$SPAWN_OUT")
	done
	for i in 0 1; do
		spawn "$PEER" stream --socket "$T/a$i.sock" --mac "$(mac a "$i")" --peer-mac "$(mac b "$i")" --flows $FLOWS --seconds 2
		streams+=("$SPAWNED")
	done
	for i in "${streams[@]}"; do wait "$i" || fail "a stream fails"; done
	sleep 0.3
	for i in "${sinks[@]}"; do kill -INT "$i"; wait "$i"; done
	PEERS=()
	daemon_stop
	ORDER=$(jq -cs 'map({frames, lost, reordered, duplicates})' "${out[@]}")
	say "order of two streams of $FLOWS flows each on two workers: $ORDER"
	jq -e 'all(.[]; .frames > 0 and .reordered == 0 and .duplicates == 0)' <<<"$ORDER" >/dev/null || fail "order within flows was not kept"
}

VARIANTS=(one_worker_one_pair one_worker_two_pairs two_workers_two_pairs)
for ((r = 1; r <= ROUNDS; r++)); do
	cost_of one_worker_one_pair 1 1
	cost_of one_worker_two_pairs 1 2
	cost_of two_workers_two_pairs 2 2
done
order
extra=()
for v in "${VARIANTS[@]}"; do extra+=("mpps_$v" "$(median "mpps_$v")" "busy_$v" "$(median "busy_$v")"); done
result vhost_workers ns "${VARIANTS[@]}" -- "${extra[@]}" order "$ORDER"
bench_end
