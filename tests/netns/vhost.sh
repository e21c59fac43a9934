#!/bin/bash
# Guests on vhost-user ports, of every kind of ring, talk to each other, to all other kinds of guest and to
# the outside; TCP arrives whole, in frames that nobody cut unless the guest cannot take or make them.
#
#	split, merge, lean, packed, plean, order, two, small: vhost-user guests, access lab     \
#	plain, legacy: the same without offloads, and before virtio 1                           |
#	tap (tt): a TAP     cable (e1) ==veth== (n0): a netdev                                  > vswitchd --- (w0) wan
#	trunk: a vhost-user guest with tagged lab and office on one port; behind it, a switch   |
#	of its own, tlab and toff                                                               |
#	office (tf): a TAP in the office                                                        /
. "$(dirname "$0")/_story.sh"
. "$(dirname "$0")/_vhost.sh"
need curl ethtool

ns $SW cable
wan
veth $SW e1 cable n0
config <<EOC
version: 1
uplinks:
  wan: { type: interface, interface: up0, address: 203.0.113.2/24, gateway: 203.0.113.1 }
networks:
  lab: { vlan: 10, mode: nat, uplink: wan, subnet: 10.10.10.0/24 }
  office: { vlan: 30, mode: internal }
ports:
  split:  { type: vhost-user, socket: $T/split.sock, network: lab }
  merge:  { type: vhost-user, socket: $T/merge.sock, role: client, network: lab }
  lean:   { type: vhost-user, socket: $T/lean.sock, network: lab }
  packed: { type: vhost-user, socket: $T/packed.sock, role: client, network: lab }
  plean:  { type: vhost-user, socket: $T/plean.sock, network: lab }
  order:  { type: vhost-user, socket: $T/order.sock, network: lab }
  two:    { type: vhost-user, socket: $T/two.sock, role: client, queues: 2, network: lab }
  plain:  { type: vhost-user, socket: $T/plain.sock, network: lab }
  legacy: { type: vhost-user, socket: $T/legacy.sock, network: lab }
  trunk:  { type: vhost-user, socket: $T/trunk.sock, trunk: [lab, office] }
  tap:    { type: tap, interface: tt, network: lab }
  cable:  { type: netdev, interface: e1, network: lab }
  office: { type: tap, interface: tf, network: office }
EOC
daemon_start
vhost_guest split 10.10.10.11/24
vhost_guest merge 10.10.10.12/24 --role server --rx-buf 1600 --regions 4
vhost_guest lean 10.10.10.13/24 --no-mergeable --no-event-idx --no-indirect
vhost_guest packed 10.10.10.14/24 --role server --packed
vhost_guest plean 10.10.10.15/24 --packed --no-mergeable --no-event-idx --no-indirect --tx-split 3
vhost_guest order 10.10.10.16/24 --packed --in-order --size 1024
vhost_guest two 10.10.10.17/24 --role server --queues 2 --rx-split 2 --tx-split 4 --inflight
vhost_guest plain 10.10.10.18/24 --features-off csum,guest-csum,tso,guest-tso,ecn,uso
vhost_guest legacy 10.10.10.19/24 --legacy --features-off mergeable
vhost_guest trunk ""
tap_guest tap tt 10.10.10.20/24
tap_guest office tf 10.30.0.2/24
ipn cable addr add 10.10.10.21/24 dev n0
# Behind the trunk another switch, because not every kernel has VLAN devices.
cat >"$T/inner.yaml" <<EOC
version: 1
networks:
  lab: { vlan: 10, mode: internal }
  office: { vlan: 30, mode: internal }
ports:
  g0: { type: netdev, interface: g0, trunk: [lab, office] }
  il: { type: tap, interface: il, network: lab }
  io: { type: tap, interface: io, network: office }
EOC
spawn on trunk "$VSWITCHD" -c "$T/inner.yaml" --control "$T/inner.sock" --state "$T/inner"
INNER=$SPAWN_OUT
for i in il:tlab:10.10.10.22 io:toff:10.30.0.1; do
	IFS=: read -r tap n address <<<"$i"
	ns "$n"
	wait_for 10 eval "ipn trunk link show $tap >/dev/null 2>&1" || fail "the inner switch: $(cat "$INNER")"
	ip -n "$PREFIX-trunk" link set "$tap" netns "$PREFIX-$n"
	ipn "$n" link set "$tap" up
	ipn "$n" addr add "$address/24" dev "$tap"
done
vhosts="split merge lean packed plean order two plain legacy trunk"
for g in $vhosts; do check "$g is up" wait_for 5 up $g; done

agreed() { detail "$1" features | grep -qw -- "$2"; }
check "split rings, merged buffers" eval 'agreed split mrg-rxbuf && detail split rings | grep -q "split, 256"'
refute "lean agreed to none of it" eval 'agreed lean mrg-rxbuf || agreed lean event-idx || agreed lean indirect-desc'
check "packed rings" eval 'detail packed rings | grep -q packed && detail order rings | grep -q "packed, 1024"'
check "two pairs of rings" eval 'detail two queues | grep -q "2 pairs.*4 running"'
check "no offload for plain" eval 'jctl ".offloads == \"\" or .offloads == [] or .offloads == \"none\" or .offloads == null" port show plain'

for n in split tap office cable; do serve $n; done
for g in merge lean packed plean order two plain legacy tap cable tlab; do
	check "$g and split: ping" wait_for 3 pings $g 10.10.10.11
done
for g in merge lean packed plean order two plain legacy tap cable tlab; do
	check "$g takes a file from split, whole" fetches $g 10.10.10.11
done
for g in split packed lean plean tlab; do
	check "$g takes it from a TAP guest" fetches $g 10.10.10.20
	check "and from one on a cable" fetches $g 10.10.10.21
done
check "a trunk's other tag leads to the office" fetches toff 10.30.0.2
refute "and the office does not reach the lab" on office ping -c 1 -W 1 10.10.10.11

# From `sender`, and to `receiver`, more segments than frames: nobody cut them.
uncut() {
	local from=$1 to=$2 p s
	shift 2
	p=$(count "$from" rx_packets) s=$(count "$from" rx_segments)
	local tp ts
	tp=$(count "$to" tx_packets) ts=$(count "$to" tx_segments)
	"$@" || return 1
	p=$(($(count "$from" rx_packets) - p)) s=$(($(count "$from" rx_segments) - s))
	tp=$(($(count "$to" tx_packets) - tp)) ts=$(($(count "$to" tx_segments) - ts))
	echo "$from: $p frames, $s segments; $to: $tp frames, $ts segments"
	[ $s -gt $((p * 2)) ] && [ $ts -gt $((tp * 2)) ]
}
check "split to packed: TCP in frames that nobody cut" uncut split packed fetches packed 10.10.10.11
check "split to lean, without merged buffers" uncut split lean fetches lean 10.10.10.11
check "split to TAP" uncut split tap fetches tap 10.10.10.11
check "TAP to packed" uncut tap packed fetches packed 10.10.10.20
check "split to the cable" uncut split cable fetches cable 10.10.10.11
check "cable to packed" uncut cable packed fetches packed 10.10.10.21
check "split to the trunk, tagged in the frame" uncut split trunk fetches tlab 10.10.10.11

serve plain
cut_for() { # the guest's kernel saw a frame for each segment
	local seen s
	s=$(count "$1" tx_segments)
	seen=$(on "$1" cat /sys/class/net/g0/statistics/rx_packets)
	echo "$1: $s segments, $seen frames"
	[ "$s" -gt 2000 ] && [ "$seen" -ge "$s" ]
}
check "what plain was given was cut" cut_for plain
check "what plain sends arrives" fetches split 10.10.10.18
check "plain sent no super-frame" eval '[ "$(count plain rx_packets)" = "$(count plain rx_segments)" ]'
for n in split merge lean packed plean order two plain legacy tap cable tlab; do
	bad=$(on $n nstat -asz TcpInCsumErrors UdpInCsumErrors IcmpInCsumErrors 2>/dev/null | awk '/Csum/ {s += $2} END {print s + 0}')
	check "no wrong checksum in $n" test "$bad" = 0
done

serve wan
ipn split route add default via 10.10.10.1
ipn packed route add default via 10.10.10.1
ipn plain route add default via 10.10.10.1
for g in split packed plain; do
	check "$g: the gateway answers" wait_for 3 pings $g 10.10.10.1
	check "$g: a file from outside, through NAT, whole" fetches $g 203.0.113.1
done
check "the outside sees the uplink's address" grep -q '^203.0.113.2 ' "$SPAWN_OUT"
check "no fault, no refusal" eval '! for g in '"$vhosts"'; do detail $g refused; done | grep .'
finish
