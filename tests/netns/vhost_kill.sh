#!/bin/bash
# Frontends die at any moment, hang in every step and lie: only their own port notices, and nothing of
# theirs stays with the switch.
#
#	a, b: guests on vhost-user ports, who ping each other    v, w: ports of those who die (w: the switch dials)
. "$(dirname "$0")/_story.sh"
. "$(dirname "$0")/_vhost.sh"
KILLS=${KILLS:-200}

ns $SW
config <<EOC
version: 1
networks:
  lab: { vlan: 10, mode: internal }
ports:
  a: { type: vhost-user, socket: $T/a.sock, network: lab }
  b: { type: vhost-user, socket: $T/b.sock, role: client, network: lab }
  v: { type: vhost-user, socket: $T/v.sock, queues: 2, network: lab }
  w: { type: vhost-user, socket: $T/w.sock, role: client, network: lab }
  late: { type: vhost-user, socket: $T/late.sock, network: lab }
EOC
daemon_start
vhost_guest a 10.0.0.1/24 --size 4096 # room for all that those who die send to everybody
vhost_guest b 10.0.0.2/24 --role server --packed --size 4096
check "a pings b" wait_for 5 pings a 10.0.0.2

# One that says nothing: its time is up when the story is nearly over.
peer hang --socket "$T/late.sock" --step connect --seconds 120
quiet() { detail v frontend | grep -q . && return 1; down v; }
check "nobody is on v" wait_for 5 quiet
fds=$(daemon_fds)
say "$fds descriptors"
missing=$(unanswered a)
spawn on a ping -n -i 0.05 10.0.0.2; pinger=$SPAWNED ping_out=$SPAWN_OUT

# Death comes anywhere in twice the time that one needs to start, and a little traffic.
began=${EPOCHREALTIME/./}
"$PEER" hang --socket "$T/v.sock" --step rings --quit 2>/dev/null
LIFE=$((2 * (${EPOCHREALTIME/./} - began) + 150000))
LIFE=$((LIFE < 999999 ? LIFE : 999999))
say "deaths within $LIFE us"

wait_gone() { wait "$1" 2>/dev/null; true; }
steps=(connect features memory rings filled half-message)
kinds=("" "--packed" "--queues 2" "--regions 8 --no-mergeable" "--packed --in-order --inflight" "--log --protocol-off slots,ack")
died=0 mid=0
one_kill() { # the I-th death
	local i=$1 kind=${kinds[$(($1 % 6))]} step=${steps[$(($1 / 6 % 6))]} pid delay
	delay=$(printf '0.%06d' $((RANDOM * 32 % LIFE)))
	case $((i % 4)) in
	0) # it leaves at a step, without a word
		# shellcheck disable=SC2086 -- a list is meant
		"$PEER" hang --socket "$T/v.sock" --step "$step" --quit $kind >"$T/kill.out" 2>&1 || { cat "$T/kill.out"; return 1; } ;;
	1) # killed while it shakes hands or floods
		# shellcheck disable=SC2086
		"$PEER" stream --socket "$T/v.sock" --rate 2000 --peer-mac 02:00:00:00:01:01 --mac 02:00:00:00:02:01 $kind >"$T/kill.out" 2>&1 & pid=$!
		sleep "$delay"; kill -KILL $pid; wait_gone $pid ;;
	2) # the switch dials this one
		# shellcheck disable=SC2086
		"$PEER" stream --socket "$T/w.sock" --role server --rate 2000 --peer-mac 02:00:00:00:01:02 --mac 02:00:00:00:02:02 ${kind/--queues 2/} >"$T/kill.out" 2>&1 & pid=$!
		((i % 8 != 2)) || wait_for 3 up w # or it may die before it is dialled at all
		sleep "$delay"; kill -KILL $pid; wait_gone $pid
		rm -f "$T/w.sock" ;;
	3) # killed while others send to it
		# shellcheck disable=SC2086
		"$PEER" hang --socket "$T/v.sock" --step filled $kind >"$T/kill.out" 2>&1 & pid=$!
		sleep "$delay"; kill -KILL $pid; wait_gone $pid ;;
	esac 2>/dev/null
	died=$((died + 1))
}
all_die() {
	local i
	for ((i = 0; i < KILLS; i++)); do one_kill "$i" || { echo "death $i"; return 1; }; done
}
check "$KILLS frontends die" all_die
check "v waits for the next" wait_for 5 quiet
check "so does w" wait_for 5 down w
came() { [ "$(count v rx_packets)" -gt 100 ] && [ "$(count w rx_packets)" -gt 100 ]; }
check "some of them had sent" came
timed_out() { detail late reason | grep -q "no SET_OWNER within 30 s"; }
same_fds() { # late's goes when its time is up
	local now
	now=$(daemon_fds)
	! timed_out || now=$((now + 1))
	echo "$now, before: $fds"
	[ "$now" = "$fds" ]
}
check "no descriptor of theirs is left" wait_for 5 same_fds
check "nor a packet" wait_for 5 packets_back
mappings() { [ "$(grep -c memfd:guest "/proc/$DAEMON/maps")" = 2 ]; } # a's and b's
check "nor a mapping" mappings

# Those who do wrong.
reason() { detail v reason | grep -q "$1"; }
refused() { detail v refused | grep -q "$1"; }
wrong() { # wrong STEP REASON [ARG...]
	local step=$1 text=$2 pid
	shift 2
	peer hang --socket "$T/v.sock" --step "$step" --seconds 60 "$@"
	pid=$SPAWNED
	check "$step${*:+, $*}: $text" wait_for 15 reason "$text"
	end_spawned "$pid"
	check "and v waits again" wait_for 5 quiet
}
for kind in "" --packed; do
	wrong no-memory "guest memory was taken away" $kind
	wrong bad-address "descriptor outside guest memory" $kind
	wrong bad-direction "descriptor of the wrong direction" $kind
done
wrong bad-index "available index ran ahead"
wrong bad-head "descriptor index outside the ring"
wrong half-message "a message not finished within 5 s"
peer hang --socket "$T/v.sock" --step no-memory --seal --seconds 60
check "sealed memory cannot be taken away" wait_for 5 grep -q 'not permitted' "$SPAWN_OUT"

peer hang --socket "$T/v.sock" --step deaf --seconds 60; deaf=$SPAWNED
check "one that does not read answers goes or waits" wait_for 10 eval 'detail v reason | grep -q .'
say "it is told: $(detail v reason)"
check "the switch answers meanwhile" ctl status
end_spawned $deaf
check "and v waits again" wait_for 5 quiet

peer hang --socket "$T/v.sock" --step rings --seconds 60; first=$SPAWNED
check "one is attached" wait_for 5 up v
peer hang --socket "$T/v.sock" --step features --seconds 5
check "a second one is refused" wait_for 5 refused "refused a second frontend"
check "and the first stays" up v
end_spawned $first
check "it leaves" wait_for 5 quiet

check "one that said nothing for 30 s was sent away" wait_for 35 timed_out
check "no descriptor is left" wait_for 5 same_fds
check "no packet is held" wait_for 5 packets_back
kill -INT $pinger
wait $pinger 2>/dev/null
say "$(tail -n 2 "$ping_out" | paste -sd' ')"
heard() { [ "$(unanswered a)" = "$missing" ]; }
check "the others' ping never lost one" wait_for 10 heard
peer stream --socket "$T/v.sock" --count 1000 --mac 02:00:00:00:02:01 --peer-mac 02:00:00:00:01:01
check "v still serves" eval 'wait $SPAWNED'
finish
