#!/bin/bash
# A vhost-user guest that floods, one that does not take what it is sent and one whose ring is wrong harm only
# themselves; a stream with a pause in it loses nothing.
#
#	f floods s and d    s: sinks    d: never looks at its ring    x: a ring that lies    a, b: neighbours
. "$(dirname "$0")/_story.sh"
. "$(dirname "$0")/_vhost.sh"

ns $SW
config <<EOC
version: 1
networks:
  lab: { vlan: 10, mode: internal }
ports:
  f: { type: vhost-user, socket: $T/f.sock, network: lab }
  s: { type: vhost-user, socket: $T/s.sock, network: lab }
  d: { type: vhost-user, socket: $T/d.sock, network: lab }
  x: { type: vhost-user, socket: $T/x.sock, network: lab }
  a: { type: vhost-user, socket: $T/a.sock, network: lab }
  b: { type: vhost-user, socket: $T/b.sock, network: lab }
EOC
MAC_F=02:00:00:00:00:0f MAC_S=02:00:00:00:00:05 MAC_D=02:00:00:00:00:00 # d's: vhost_peer hang has no other
daemon_start
vhost_guest a 10.0.0.1/24
vhost_guest b 10.0.0.2/24 --packed
check "a pings b" wait_for 5 pings a 10.0.0.2

# Known, and there: what was learned of a port stays when its guest leaves.
there() { up "$2" && jctl "any(.[]; .mac == \"$1\" and .port == \"$2\")" mac list; }
# lossless STREAM-ARG...: all that f sends to s arrives, in order
lossless() {
	local sink out n=8000
	wait_for 5 down s
	peer sink --socket "$T/s.sock" --mac $MAC_S --size 8192 --count $n --idle 5000 --seconds 30; sink=$SPAWNED out=$SPAWN_OUT
	wait_for 5 there $MAC_S s || { echo "s is not there"; return 1; }
	"$PEER" stream --socket "$T/f.sock" --mac $MAC_F --peer-mac $MAC_S --count $n --rate 4000 "$@" || return 1
	wait "$sink" || { cat "$out"; return 1; }
	cat "$out"
	jq -e --argjson n $n '.frames == $n and .lost == 0 and .duplicates == 0 and .reordered == 0' "$out"
}
check "a paced stream arrives without loss, in order" lossless
check "the same in packed rings, 1400 bytes" lossless --packed --len 1400
check "the sink left" wait_for 5 down s
peer bounce --socket "$T/s.sock" --mac $MAC_S --size 4096; bounce=$SPAWNED
check "one that sends all back" wait_for 5 there $MAC_S s
loop() {
	"$PEER" ping --socket "$T/f.sock" --mac $MAC_F --peer-mac $MAC_S --count 2000 --interval 500 --size 4096 >"$T/loop" || return 1
	cat "$T/loop"
	jctl '.ports | map_values(.rx_drops + .tx_drops)' counters
	jq -e '.sent == 2000 and .answered == 2000' "$T/loop"
}
check "2000 round trips, none lost" loop
say "median $(peer_word "$T/loop" p50_us) us"
end_spawned $bounce
check "it left" wait_for 5 down s
nothing_lost() { jctl '[.ports[] | (.rx_drops, .tx_drops | del(.["tx-gone"]) | .[]?)] | add // 0 == 0' counters; }
check "no counter says otherwise" nothing_lost

peer sink --socket "$T/s.sock" --mac $MAC_S; sink=$SPAWNED sink_out=$SPAWN_OUT
peer hang --socket "$T/d.sock" --step filled; deaf=$SPAWNED
check "s is there" wait_for 5 there $MAC_S s
check "d is there" wait_for 5 there $MAC_D d
peer stream --socket "$T/f.sock" --mac $MAC_F --peer-mac $MAC_S --seconds 60; flooder=$SPAWNED flood_out=$SPAWN_OUT
floods() { [ "$(count f rx_packets)" -gt 50000 ]; }
check "f floods" wait_for 20 floods
heard() { [ "$(unanswered a)" = "$missing" ]; }
ping_all() { # none is lost, whatever happens meanwhile
	missing=$(unanswered a)
	on a ping -n -c 60 -i 0.02 -W 1 10.0.0.2 >"$T/ping.out" 2>&1
	tail -n 2 "$T/ping.out"
	wait_for 10 heard || { jctl '.ports | map_values(.rx_drops + .tx_drops)' counters; return 1; }
}
before=$(count f rx_packets)
check "no ping of the neighbours is lost" ping_all
say "$(tail -n 1 "$T/ping.out"); meanwhile $(($(count f rx_packets) - before)) frames of f"
x_told() { detail x reason | grep -q "$1"; }
for step in bad-index bad-head bad-address bad-direction no-memory; do
	peer hang --socket "$T/x.sock" --step $step --seconds 60; liar=$SPAWNED
	check "$step in the flood: its port is stopped" wait_for 15 x_told disconnected
	end_spawned $liar
	check "x waits again" wait_for 5 x_told .
done
check "and still no ping is lost" ping_all
kill -INT $flooder; wait $flooder
check "the flood's frames came in order, none twice" eval 'kill -INT $sink; wait $sink; jq -e ".frames > 1000 and .reordered == 0 and .duplicates == 0" "$sink_out"'
say "sent $(peer_word "$flood_out" sent), arrived $(peer_word "$sink_out" frames)"

# To one that does not look.
check "d is still there" there $MAC_D d
"$PEER" stream --socket "$T/f.sock" --mac $MAC_F --peer-mac $MAC_D --count 5000 --rate 20000 >"$T/stream" 2>&1 &
stream=$!
check "nor when d's ring is full" ping_all
wait $stream
full() { [ "$(tx_drop d tx-full)" -ge 4500 ]; }
check "d's loss is counted" wait_for 5 full
check "at d and, for the flood, at s alone" jctl '[.ports | to_entries[] | select(.value.tx_drops["tx-full"] // 0 > 0) | .key] - ["d", "s"] == []' counters
end_spawned $deaf
check "no packet is held" wait_for 5 packets_back
finish
