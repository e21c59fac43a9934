#!/bin/bash
# What is typed at run time takes effect at once: attach --name, port down and up, isolated ports, static
# and flushed addresses, a network added and removed.
#
#	a (ta) --- vswitchd --- (tb) b;  c on a socket of its own, made by attach
. "$(dirname "$0")/_story.sh"
need_root; need_tun; need jq

ns $SW
config <<EOC
version: 1
networks:
  lab: { vlan: 10, mode: internal }
ports:
  a: { type: tap, interface: ta, network: lab }
  b: { type: tap, interface: tb, network: lab }
EOC
daemon_start
tap_guest a ta 10.0.0.1/24; tap_guest b tb 10.0.0.2/24
check "a pings b" pings a 10.0.0.2

check "attach --name makes a port for one guest" eval 'ctl attach lab --name c >"$T/attach"'
socket=$(grep -o 'remote.path=[^ ,]*' "$T/attach" | cut -d= -f2)
check "and prints where" test -S "$socket"
pump_guest c gc dgram "$T/c.sock" "$socket"
ipn c addr add 10.0.0.3/24 dev gc
hello c gc 10.0.0.3
check "its guest is reached" wait_for 3 pings a 10.0.0.3

check "port down" ctl port down b
refute "b is cut off" pings a 10.0.0.2 -c 1 -W 1
down() { jctl '.[] | select(.name == "b") | .state == "down"' port list; }
check "and shown so" down
check "port up" ctl port up b
check "b is back" wait_for 3 pings a 10.0.0.2

check "two isolated ports" eval 'ctl port set a isolated true && ctl port set b isolated true'
on a ip neigh flush dev ta; on b ip neigh flush dev tb
refute "do not reach each other" pings a 10.0.0.2 -c 1 -W 1
check "but the third" wait_for 3 pings a 10.0.0.3
check "set back" eval 'ctl port set a isolated false && ctl port set b isolated false'
check "they do again" wait_for 3 pings a 10.0.0.2

mac=$(on b cat /sys/class/net/tb/address)
check "a static address" ctl mac add lab "$mac" c
static() { jctl ".[] | select(.mac == \"$mac\") | .static and .port == \"c\"" mac list; }
check "is listed" static
hello b tb 10.0.0.2
check "its use elsewhere is dropped and counted" eval '[ "$(rx_drop b src-static)" -ge 1 ]'
check "it is deleted" ctl mac del lab "$mac"
hello b tb 10.0.0.2
check "and learned again" wait_for 3 jctl ".[] | select(.mac == \"$mac\") | .port == \"b\"" mac list
check "flush" ctl mac flush
check "nothing is left" jctl '[.[] | select(.static | not)] | length <= 2' mac list

check "a network is added" ctl net add office vlan 30 mode internal
check "and a port moves into it" ctl port set b network office
refute "away from a" pings a 10.0.0.2 -c 1 -W 1
used() { "$VSWITCHCTL" net del office >"$T/out" 2>&1; [ $? != 0 ]; }
check "a network in use is not deleted" used
check "back" ctl port set b network lab
check "then it is" ctl net del office
hello b tb 10.0.0.2
check "a pings b again" wait_for 3 pings a 10.0.0.2
check "port del" ctl port del b
check "the interface went with it" eval '! on b ip link show tb'
check "the file was not touched" eval '! grep -q office "$CONFIG"'
kill -HUP "$DAEMON"
back() { jctl '.[] | select(.name == "b")' port list; }
check "SIGHUP brings back what the file says" wait_for 3 back
check "and tells which edits it dropped" grep -qE 'drop|edit' "$LOG"
finish
