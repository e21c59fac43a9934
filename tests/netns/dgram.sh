#!/bin/bash
# One UNIX datagram socket serves many guests, each a member port; guests re-bind and the
# switch restarts, and nobody has to do anything.
#
#	a (ga) --\
#	          lab.dgram --- vswitchd
#	b (gb) --/
. "$(dirname "$0")/_story.sh"
need_root; need_tun; need jq

ns $SW
config <<EOC
version: 1
networks:
  lab: { vlan: 10, mode: internal }
ports:
  lab: { type: dgram, socket: $T/lab.dgram, network: lab }
EOC
daemon_start
check "the socket is 0660" test "$(stat -c %a "$T/lab.dgram")" = 660
pump_guest a ga dgram "$T/a.sock" "$T/lab.dgram"; pump_a=$SPAWNED
pump_guest b gb dgram "$T/b.sock" "$T/lab.dgram"
ipn a addr add 10.0.0.1/24 dev ga
ipn b addr add 10.0.0.2/24 dev gb
hello b gb 10.0.0.2
check "a pings b through one socket" pings a 10.0.0.2
members() { jctl "[.[] | select(.parent == \"lab\")] | length == $1" port list; }
check "both are member ports" members 2
check "a large packet" pings a 10.0.0.2 -s 1400
on a ping -n -c 4000 -f -q 10.0.0.2 >/dev/null 2>&1
check "after a burst they still talk" pings a 10.0.0.2

mac=$(on a cat /sys/class/net/ga/address)
end_spawned "$pump_a"
ip netns del "$PREFIX-a"
pump_guest a ga dgram "$T/a.sock" "$T/lab.dgram"
ipn a link set ga down; ipn a link set ga address "$mac"; ipn a link set ga up
ipn a addr add 10.0.0.1/24 dev ga
check "a re-binds its socket and goes on" pings a 10.0.0.2

check "the books, before the restart" books
daemon_stop
daemon_start
hello b gb 10.0.0.2
check "the switch restarts unnoticed" wait_for 5 pings a 10.0.0.2
rm -f "$T/b.sock"
finish
