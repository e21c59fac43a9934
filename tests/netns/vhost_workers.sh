#!/bin/bash
# Two workers, two pairs of guests with two queues each: queues are spread, order within a flow is kept,
# nothing is lost that was not offered too fast, and the counters add up.
#
#	f0 -> s0    f1 -> s1 (packed)    a <-> b: ping, on all workers
. "$(dirname "$0")/_story.sh"
. "$(dirname "$0")/_vhost.sh"

ns $SW
config <<EOC
version: 1
workers: 2
networks:
  lab: { vlan: 10, mode: internal }
ports:
  f0: { type: vhost-user, socket: $T/f0.sock, queues: 2, network: lab }
  s0: { type: vhost-user, socket: $T/s0.sock, queues: 2, network: lab }
  f1: { type: vhost-user, socket: $T/f1.sock, queues: 2, network: lab }
  s1: { type: vhost-user, socket: $T/s1.sock, queues: 2, network: lab }
  a: { type: vhost-user, socket: $T/a.sock, queues: 2, network: lab }
  b: { type: vhost-user, socket: $T/b.sock, role: client, queues: 2, network: lab }
EOC
daemon_start
vhost_guest a 10.0.0.1/24 --queues 2
vhost_guest b 10.0.0.2/24 --role server --queues 2 --packed
check "two workers" jctl '.workers == 2' status
check "a pings b" wait_for 5 pings a 10.0.0.2
spread() { detail "$1" queue-workers | grep -Eqx '0: 0, 1: 1|0: 1, 1: 0'; }
check "a's queues have a worker each" wait_for 5 spread a
check "b's too" wait_for 5 spread b
knows() { up "$2" && jctl "any(.[]; .mac == \"$1\" and .port == \"$2\")" mac list; }
opts() { [ "$1" = 0 ] || echo --packed --in-order; }
mac() { printf '02:00:00:00:%02x:%02x' "$2" "$(($1 + 1))"; }
declare -a SINK SINK_OUT STREAM STREAM_OUT
# both STREAM-ARG...: f0 to s0 and f1 to s1 at once
both() {
	local i
	for i in 0 1; do
		wait_for 5 down s$i || fail "s$i is in use"
		# shellcheck disable=SC2046 -- a list is meant
		peer sink --socket "$T/s$i.sock" --queues 2 --size 8192 --mac "$(mac $i 5)" $(opts $i) --flows 8 --seconds 120
		SINK[i]=$SPAWNED SINK_OUT[i]=$SPAWN_OUT
		wait_for 10 knows "$(mac $i 5)" s$i || fail "s$i is not there"
	done
	for i in 0 1; do
		# shellcheck disable=SC2046
		peer stream --socket "$T/f$i.sock" --queues 2 --mac "$(mac $i 15)" --peer-mac "$(mac $i 5)" $(opts $i) --flows 8 "$@"
		STREAM[i]=$SPAWNED STREAM_OUT[i]=$SPAWN_OUT
	done
}
both_end() {
	local i
	for i in 0 1; do wait "${STREAM[i]}" || { cat "${STREAM_OUT[i]}"; return 1; }; done
	sleep 0.5
	for i in 0 1; do kill -INT "${SINK[i]}"; wait "${SINK[i]}" || { cat "${SINK_OUT[i]}"; return 1; }; done
	for i in 0 1; do cat "${SINK_OUT[i]}"; echo "$(peer_word "${STREAM_OUT[i]}" sent) sent, $(peer_word "${SINK_OUT[i]}" frames) arrived"; done >"$T/both"
}
in_order() { jq -e '.frames > 0 and .reordered == 0 and .duplicates == 0' "${SINK_OUT[@]}"; }
all_arrived() { jq -e --argjson n "$1" '.frames == $n and .lost == 0' "${SINK_OUT[@]}"; }

both --count 6000 --rate 2000
check "f0's queues have a worker each" wait_for 5 spread f0
check "and f1's" wait_for 5 spread f1
check "two paced streams" both_end
check "all arrived" all_arrived 6000
check "in order" in_order
both --seconds 4
missing=$(unanswered a)
pings a 10.0.0.2 -c 40 -i 0.05
heard() { [ "$(unanswered a)" = "$missing" ]; }
check "no ping between a and b is lost" wait_for 10 heard
check "two streams as fast as they can" both_end
grep sent "$T/both" | while read -r line; do say "$line"; done
check "in order within each flow, none twice" in_order
sums() { # what arrived is what was counted, on any worker
	local i
	for i in 0 1; do
		[ "$(count s$i offered)" -ge "$(($(peer_word "${SINK_OUT[i]}" frames) + 6000))" ] || return 1
		[ "$(tx_drop s$i tx-full)" -ge "$(peer_word "${SINK_OUT[i]}" lost)" ] || return 1
	done
}
check "what is missing is counted" sums

# Frontends come and go under both workers.
come_and_go() {
	local i pid
	for i in $(seq 1 20); do
		"$PEER" stream --socket "$T/f0.sock" --queues 2 --mac "$(mac 0 15)" --peer-mac "$(mac 1 5)" >"$T/go" 2>&1 & pid=$!
		"$PEER" sink --socket "$T/s1.sock" --queues 2 --mac "$(mac 1 5)" >"$T/go2" 2>&1 & local other=$!
		sleep "0.$((RANDOM % 2))$((RANDOM % 10))"
		kill -KILL $pid $other
		wait $pid $other
	done 2>/dev/null
	true
}
check "40 deaths under traffic" come_and_go
check "a pings b" pings a 10.0.0.2
check "no packet is held" wait_for 5 packets_back
finish
