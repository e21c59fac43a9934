#!/bin/bash
# iperf3 TCP between two guests on TAPs: vswitchd, a Linux bridge between veths, Open vSwitch in user space.
# Goals: at least 0.95 of the bridge, and 6 times Open vSwitch.
#
#	a (ta) --- vswitchd --- (tb) b        bra --veth-- br0 --veth-- brb        ovsa (tap) --- ovs --- (tap) ovsb
. "$(dirname "$0")/_bench.sh"
need_root; need_tun; need iperf3 jq

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
tap_guest a ta 10.1.0.1/24
tap_guest b tb 10.1.0.2/24
bridge_peer br 10.2.0
variants="vswitchd bridge"
if ovs_peer; then variants="$variants ovs"; else say "no Open vSwitch here"; fi
run_vswitchd() { gbits a b 10.1.0.2; }
run_bridge() { gbits bra brb 10.2.0.2; }
run_ovs() { gbits ovsa ovsb 10.3.0.2; }
interleave $variants
result tap_tcp Gbit/s $variants -- vswitchd_to_bridge "$(ratio vswitchd bridge)" vswitchd_to_ovs "$(ratio vswitchd ovs)"
goal "TAP to TAP, of a Linux bridge" "$(ratio vswitchd bridge)" '>=' 0.95
goal "TAP to TAP, of Open vSwitch in user space" "$(ratio vswitchd ovs)" '>=' 6
bench_end
