#!/bin/bash
# A thousand forwards come and go in one edit each; a conversation through another forward notices
# nothing, and its session is the same one afterwards.
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
EOC
daemon_start
tap_guest a ta
check "a takes a lease" dhcp a ta
addr=$(lease_word a ip)
spawn on a socat TCP-LISTEN:80,fork,reuseaddr EXEC:cat
wait_for 5 listening a 80
check "a forward is added" ctl forward add lab tcp :8080 "$addr:80"
coproc on wan socat - TCP:203.0.113.2:8080
exec {talk}>&"${COPROC[1]}" {hear}<&"${COPROC[0]}"
tells() { local l; echo "$1" >&"$talk" && read -r -t 3 -u "$hear" l && [ "$l" = "$2" ]; }
new() { [ "$(echo "$1" | on wan socat -t 1 -T 2 - "TCP:203.0.113.2:$2,connect-timeout=1")" = "$1" ]; }
listed() { [ "$(ctl --json forward list | jq length)" = "$1" ]; }

check "somebody talks to a" tells one one
one="{proto: tcp, listen: \":8080\", to: \"$addr:80\"}"
many=$(for ((i = 0; i < 1000; i++)); do printf ', {proto: tcp, listen: ":%d", to: "%s:80"}' $((20000 + i)) "$addr"; done)
t0=$(date +%s%N)
check "a thousand more in one edit" ctl net set lab forward "[$one$many]"
t1=$(date +%s%N)
check "all are listed" listed 1001
check "the conversation goes on" tells two two
check "the first of them works" new first 20000
check "and the last" new last 20999
t2=$(date +%s%N)
check "a thousand deleted in one edit" ctl net set lab forward "[$one]"
echo "  1,000 added in $(((t1 - t0) / 1000000)) ms, deleted in $((($(date +%s%N) - t2) / 1000000)) ms"
check "one is left" listed 1
refute "a deleted one is closed" new gone 20500
check "the conversation goes on still" tells three three
exec {talk}>&- {hear}<&-
finish
