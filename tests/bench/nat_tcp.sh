#!/bin/bash
# iperf3 TCP from a guest through NAT to a server outside, and back: vswitchd with an `interface` uplink
# against the kernel's nft masquerade.  Goal: at least 0.8 of it, both directions.
#
#	a (ta) --- vswitchd [203.0.113.2] (up0) ==veth== (w0) wan 203.0.113.1
#	k (eth0) ==veth== router [nft masquerade] ==veth== (eth0) kwan 198.51.100.1   (_nat.sh)
. "$(dirname "$0")/_bench.sh"
. "$(dirname "$0")/_nat.sh"
need_root; need_tun; need iperf3 jq nft

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
tap_guest a ta 10.10.10.50/24
ipn a route add default via 10.10.10.1

kernel_nat
run_out() { gbits a wan 203.0.113.1; }
run_kernel_out() { gbits k kwan 198.51.100.1; }
run_in() { gbits a wan 203.0.113.1 -R; }
run_kernel_in() { gbits k kwan 198.51.100.1 -R; }
interleave out kernel_out in kernel_in
result nat_tcp Gbit/s out kernel_out in kernel_in -- out_to_kernel "$(ratio out kernel_out)" in_to_kernel "$(ratio in kernel_in)"
goal "NAT out, of nft masquerade" "$(ratio out kernel_out)" '>=' 0.8
goal "NAT in, of nft masquerade" "$(ratio in kernel_in)" '>=' 0.8
bench_end
