#!/bin/bash
# iperf3 TCP between two veths that are netdev ports, and between two veths of a Linux bridge.
# Goal: at least 0.7 of the bridge.
#
#	a (eth0) ==veth== (na) vswitchd (nb) ==veth== (eth0) b        bra --veth-- br0 --veth-- brb
. "$(dirname "$0")/_bench.sh"
need_root; need iperf3 jq

ns $SW a b
veth $SW na a eth0
veth $SW nb b eth0
ipn a addr add 10.1.0.1/24 dev eth0
ipn b addr add 10.1.0.2/24 dev eth0
config <<EOC
version: 1
networks:
  lab: { vlan: 10, mode: internal }
ports:
  a: { type: netdev, interface: na, network: lab }
  b: { type: netdev, interface: nb, network: lab }
EOC
daemon_start
bridge_peer br 10.2.0
run_vswitchd() { gbits a b 10.1.0.2; }
run_bridge() { gbits bra brb 10.2.0.2; }
interleave vswitchd bridge
result netdev_tcp Gbit/s vswitchd bridge -- vswitchd_to_bridge "$(ratio vswitchd bridge)"
goal "veth to veth through netdev ports, of a Linux bridge" "$(ratio vswitchd bridge)" '>=' 0.7
bench_end
