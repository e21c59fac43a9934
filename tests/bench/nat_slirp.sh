#!/bin/bash
# iperf3 TCP from a guest to a server outside, and back: vswitchd with an `interface` uplink and with a
# `host` uplink, against slirp4netns, all with a guest MTU of 1500. Goals: 1.5 times it and 0.9 of it.
#
#	a (ta) --- vswitchd [203.0.113.2] (up0) ==veth== (w0) wan 203.0.113.1
#	h (th) --- vswitchd [its sockets] (h0) ==veth== (eth0) hwan 192.0.2.1
#	s (tap0) --- slirp4netns in slirp (s0) ==veth== (eth0) swan 198.51.100.1
. "$(dirname "$0")/_bench.sh"
need_root; need_tun; need iperf3 jq slirp4netns

ns $SW
wan
ns hwan slirp swan s
veth $SW h0 hwan eth0
ipn $SW addr add 192.0.2.2/24 dev h0
ipn hwan addr add 192.0.2.1/24 dev eth0
config <<EOC
version: 1
uplinks:
  wan: { type: interface, interface: up0, address: 203.0.113.2/24, gateway: 203.0.113.1 }
  host: { type: host }
networks:
  lab: { vlan: 10, mode: nat, uplink: wan, subnet: 10.10.10.0/24 }
  labh: { vlan: 11, mode: nat, uplink: host, subnet: 10.10.11.0/24 }
ports:
  a: { type: tap, interface: ta, network: lab }
  h: { type: tap, interface: th, network: labh }
EOC
daemon_start
tap_guest a ta 10.10.10.50/24
ipn a route add default via 10.10.10.1
tap_guest h th 10.10.11.50/24
ipn h route add default via 10.10.11.1

veth slirp s0 swan eth0
ipn slirp addr add 198.51.100.2/24 dev s0
ipn swan addr add 198.51.100.1/24 dev eth0
spawn on slirp slirp4netns --configure --mtu=1500 --disable-dns --netns-type=path "/run/netns/$PREFIX-s" tap0
wait_for 10 eval "ipn s route show default 2>/dev/null | grep -q 10.0.2.2" || fail "slirp4netns made no way out"

run_interface_out() { gbits a wan 203.0.113.1; }
run_interface_in() { gbits a wan 203.0.113.1 -R; }
run_host_out() { gbits h hwan 192.0.2.1; }
run_host_in() { gbits h hwan 192.0.2.1 -R; }
run_slirp_out() { gbits s swan 198.51.100.1; }
run_slirp_in() { gbits s swan 198.51.100.1 -R; }
variants=(interface_out host_out slirp_out interface_in host_in slirp_in)
interleave "${variants[@]}"
result nat_slirp Gbit/s "${variants[@]}" -- \
	interface_out_to_slirp "$(ratio interface_out slirp_out)" interface_in_to_slirp "$(ratio interface_in slirp_in)" \
	host_out_to_slirp "$(ratio host_out slirp_out)" host_in_to_slirp "$(ratio host_in slirp_in)"
for d in out in; do
	goal "interface uplink $d, of slirp4netns" "$(ratio interface_$d slirp_$d)" '>=' 1.5
	goal "host uplink $d, of slirp4netns" "$(ratio host_$d slirp_$d)" '>=' 0.9
done
bench_end
