#!/bin/bash
# A network's mode is changed under its guests: they stay attached, each mode is itself at once, and
# the network beside it does not notice.
#
#	a, b (ta, tb) --- lab --- vswitchd ---veth--- wan 203.0.113.1
#	x (tkeep) ---------- keep ------'
. "$(dirname "$0")/_story.sh"
need_root; need_tun; need udhcpc curl jq iperf3

ns $SW
wan
ipn wan route add 10.10.10.0/24 via 203.0.113.2
config <<EOC
version: 1
uplinks:
  wan: { type: interface, interface: up0, address: 203.0.113.2/24, gateway: 203.0.113.1 }
networks:
  lab: { vlan: 10, mode: nat, uplink: wan, subnet: 10.10.10.0/24 }
  keep: { vlan: 20, mode: nat, uplink: wan, subnet: 10.20.0.0/24 }
ports:
  a: { type: tap, interface: ta, network: lab }
  b: { type: tap, interface: tb, network: lab }
  x: { type: tap, interface: tkeep, network: keep }
EOC
daemon_start
tap_guest a ta 10.10.10.8/24
tap_guest b tb 10.10.10.9/24
tap_guest x tkeep 10.20.0.9/24
ipn a route add default via 10.10.10.1
ipn x route add default via 10.20.0.1
web_server wan 8000; web=$SPAWN_OUT
spawn on wan iperf3 -s
wait_for 5 listening wan 5201
check "mode nat" on a curl -sf -m 5 http://203.0.113.1:8000/
spawn on x iperf3 -J -c 203.0.113.1 -t 8 -b 200M
busy=$SPAWN_OUT
flowing() { jctl '[.[] | select(.network == "keep" and .proto == "tcp" and .state == "established")] | length >= 2' nat list; }
check "a transfer runs in the other network" wait_for 5 flowing
since() { "$PY" -c 'import time; print(int(time.monotonic() * 1000))'; }
mode() { # mode NAME [KEY VALUE...]: prints how long it took
	local from to
	from=$(since)
	ctl net set lab mode "$@" || return 1
	to=$(since)
	say "    $((to - from)) ms with the client's own start"
}
reaches() { on a curl -sf -m 5 -o /dev/null http://203.0.113.1:8000/; }
seen() { grep -q "^10.10.10.8 " "$web"; }
check "to routed" mode routed
check "goes out at once" reaches
check "as itself" seen
check "the neighbour is still there" pings a 10.10.10.9
check "to internal" mode internal subnet null uplink null
check "the neighbour is still there" pings a 10.10.10.9
refute "the gateway is not" on a ping -n -c 1 -W 1 10.10.10.1
check "to host-only" mode host-only subnet 10.10.10.0/24
ipn a neigh flush dev ta
check "the host is there" pings a 10.10.10.1
refute "nothing leaves" reaches
check "back to nat" mode nat uplink wan
ipn a neigh flush dev ta
check "goes out at once" reaches
check "a port moves to another network" ctl port set b network keep
refute "and has left its neighbours" on a ping -n -c 1 -W 1 10.10.10.9
done_() { grep -q '"sum_received"' "$busy"; }
check "the transfer ends by itself" wait_for 20 done_
check "it lost nothing to speak of" eval 'jq -e ".end.sum_received.bits_per_second > 150000000 and .error == null" "$busy" >/dev/null'
finish
