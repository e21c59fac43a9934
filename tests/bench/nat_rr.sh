#!/bin/bash
# TCP request and response of a byte, guest to outside: the median round trip through vswitchd's NAT
# against the kernel's nft masquerade. Goal: at most twice it.
#
#	a (ta) --- vswitchd [203.0.113.2] (up0) ==veth== (w0) wan 203.0.113.1; _nat.sh has the kernel's
. "$(dirname "$0")/_bench.sh"
. "$(dirname "$0")/_nat.sh"
need_root; need_tun; need jq nft
RR=$BUILD/tests/bench/tcp_rr
[ -x "$RR" ] || skip "tcp_rr is not built"

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
spawn on wan "$RR" 7000
spawn on kwan "$RR" 7000
wait_for 5 listening wan 7000 && wait_for 5 listening kwan 7000 || fail "no server"
run_vswitchd() { on a "$RR" 7000 203.0.113.1 "$TIME"; }
run_kernel() { on k "$RR" 7000 198.51.100.1 "$TIME"; }
interleave vswitchd kernel
result nat_rr us vswitchd kernel -- to_kernel "$(ratio vswitchd kernel)"
goal "round trip, of nft masquerade" "$(ratio vswitchd kernel)" '<=' 2
bench_end
