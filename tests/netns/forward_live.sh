#!/bin/bash
# Forwards come and go under traffic: what is established goes on when its forward is deleted, nothing
# new comes in, the place can be given to another guest at once, and --kill ends what was left.
#
#	a 10.10.10.x (ta) --- vswitchd [203.0.113.2 on up0] ---veth--- (w0) 203.0.113.1 wan
. "$(dirname "$0")/_story.sh"
need_root; need_tun; need udhcpc socat jq

ns $SW
wan
config <<EOC
version: 1
uplinks:
  wan: { type: interface, interface: up0, address: 203.0.113.2/24, gateway: 203.0.113.1 }
networks:
  lab: { vlan: 10, mode: nat, uplink: wan, subnet: 10.10.10.0/24 }
ports:
  a: { type: tap, interface: ta, network: lab }
  b: { type: tap, interface: tb, network: lab }
EOC
daemon_start
tap_guest a ta
tap_guest b tb
check "a takes a lease" dhcp a ta
addr=$(lease_word a ip)
check "so does b" dhcp b tb
other=$(lease_word b ip)
spawn on a socat TCP-LISTEN:80,fork,reuseaddr EXEC:cat
spawn on b socat TCP-LISTEN:80,fork,reuseaddr 'SYSTEM:sed -u s/^/b-/'
wait_for 5 listening a 80
wait_for 5 listening b 80

# A conversation that stays open: tells WORD ANSWER.
tells() { local l; echo "$1" >&"$talk" && read -r -t 3 -u "$hear" l && [ "$l" = "$2" ]; }
new() { [ "$(echo "$1" | on wan socat -t 1 -T 2 - TCP:203.0.113.2:8080,connect-timeout=1)" = "$2" ]; }
listed() { [ "$(jctl length forward list)" = "$1" ]; }

check "a forward is added" ctl forward add lab tcp :8080 "$addr:80"
coproc on wan socat - TCP:203.0.113.2:8080
exec {talk}>&"${COPROC[1]}" {hear}<&"${COPROC[0]}"
check "somebody talks to a" tells one one
check "the forward is deleted" ctl forward del lab tcp :8080
check "and listed no more" listed 0
check "what was established goes on" tells two two
refute "nothing new comes in" new three three
check "the place is b's at once" ctl forward add lab tcp :8080 "$other:80"
check "and new connections go to b" new four b-four
check "the old one is still a's" tells five five
check "another of a's network is told whose the place is" \
	eval '! ctl forward add lab tcp :8080 "$addr:80" 2>"$T/err" && grep -q "exists already" "$T/err"'
check "deleted with --kill" ctl forward del --kill lab tcp :8080
refute "the old conversation is over" tells six six
refute "and b's place is closed" new seven b-seven
exec {talk}>&- {hear}<&-

at() { [ "$(echo hi | on wan socat -t 1 -T 2 - "TCP:203.0.113.2:$1,connect-timeout=1")" = "$2" ]; }
for p in 81 82; do spawn on a socat "TCP-LISTEN:$p,fork,reuseaddr" "SYSTEM:sed -u s/^/$p-/"; wait_for 5 listening a "$p"; done
check "a range is added" ctl forward add lab tcp :6080-6082 "$addr:80"
check "and is one object" listed 1
check "listed as a range" jctl ".[] | .listen == \":6080-6082\" and .to == \"$addr:80-82\"" forward list
check "its first port leads to the first" at 6080 hi
check "and its last to the last" at 6082 82-hi
refute "not the one behind it" at 6083 hi
refute "a port of it is taken" ctl forward add lab tcp :6081 "$other:80"
refute "ranges are of equal length" ctl forward add lab tcp :7000-7002 "$addr:80-83"
check "it is deleted as a whole" ctl forward del lab tcp :6080-6082
refute "with its last port" at 6082 82-hi
finish
