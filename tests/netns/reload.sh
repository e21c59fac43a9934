#!/bin/bash
# SIGHUP touches only what changed: a running ping and a TCP stream on ports that stay lose nothing.
#
#	a (ta) --- vswitchd --- (tb) b;  c comes, goes and moves meanwhile
. "$(dirname "$0")/_story.sh"
need_root; need_tun; need iperf3 jq

ns $SW
write() { { cat <<EOC
version: 1
uplinks:
  host: { type: host }
networks:
  lab: { vlan: 10, mode: nat, uplink: host, subnet: 10.10.10.0/24, dhcp: { lease: $1 } }
$2
ports:
  a: { type: tap, interface: ta, network: lab }
  b: { type: tap, interface: tb, network: lab }
$3
EOC
} | config; }
reload() { kill -HUP "$DAEMON"; wait_for 3 "$@"; }
port() { jctl ".[] | select(.name == \"$1\") | .network == \"$2\"" port list; }
no_port() { ! port c lab && ! port c office; }
write 1h "" ""
daemon_start
tap_guest a ta 10.10.10.2/24; tap_guest b tb 10.10.10.3/24
check "a pings b" pings a 10.10.10.3
spawn on b iperf3 -s -1; wait_for 5 listening b 5201
on a iperf3 -J -c 10.10.10.3 -t 4 -b 200M >"$T/iperf.json" 2>&1 & stream=$!
on a ping -n -i 0.01 -c 350 -W 2 10.10.10.3 >"$T/ping.out" 2>&1 & pinger=$!
sleep 0.3
before=$(jctl '.ports.a.rx_packets' counters)
write 2h "  office: { vlan: 30, mode: internal }" "  c: { type: tap, interface: tc, network: office }"
check "a network and a port are added" reload port c office
check "the interface is there" ipn $SW link show tc
write 2h "" "  c: { type: tap, interface: tc, network: lab }"
check "the port moves, the network goes" reload port c lab
write 2h "" ""
check "the port goes" reload no_port
refute "and its interface" ipn $SW link show tc
check "vswitchctl adds a port at run time" ctl port add c type tap interface tc network lab
kill -HUP "$DAEMON"
check "SIGHUP makes running equal the file" wait_for 3 no_port
wait $pinger; wait $stream
say "$(tail -n 2 "$T/ping.out" | paste -sd' ')"
check "the ping lost nothing" grep -q ' 0% packet loss' "$T/ping.out"
check "the stream went on" jq -e '.end.sum_received.bits_per_second > 100e6 and .end.sum_sent.retransmits < 20' "$T/iperf.json"
check "counters of the port go on" eval "[ $(jctl .ports.a.rx_packets counters) -gt $before ]"
check "the changed lease time is in use" eval 'dhcp b tb && [ "$(lease_word b lease)" = 7200 ]'
check "config save after an edit" eval 'ctl net add spare vlan 77 mode internal && ctl config save && grep -q spare "$CONFIG"'
finish
