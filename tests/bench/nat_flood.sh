#!/bin/bash
# What a guest keeps while its neighbour floods: g2's iperf3 TCP to the outside while g1 runs
# hping3 --flood --rand-source through the switch, against the same hping3 flooding a TAP that is attached to
# nothing (it costs the machine as much). Goal: 90 %, and the daemon keeps its memory.
#
#	g1 (t1), g2 (t2) --- vswitchd [203.0.113.2] (up0) ==veth== (w0) wan 203.0.113.1
#	x (tx): a TAP that somebody only holds
. "$(dirname "$0")/_bench.sh"
need_root; need_tun; need iperf3 jq hping3

ns $SW
wan
config <<EOC
version: 1
uplinks:
  wan: { type: interface, interface: up0, address: 203.0.113.2/24, gateway: 203.0.113.1 }
networks:
  lab: { vlan: 10, mode: nat, uplink: wan, subnet: 10.10.10.0/24 }
ports:
  g1: { type: tap, interface: t1, network: lab }
  g2: { type: tap, interface: t2, network: lab }
EOC
daemon_start
tap_guest g1 t1 10.10.10.51/24
tap_guest g2 t2 10.10.10.52/24
ipn g1 route add default via 10.10.10.1
ipn g2 route add default via 10.10.10.1
ns x
# Drains it, as a switch would, and does nothing with it.
cat >"$T/hold.py" <<'EOP'
import fcntl, os, struct
f = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(f, 0x400454ca, struct.pack("16sH22x", b"tx", 0x1002))
while True: os.read(f, 70000)
EOP
spawn on x "$PY" "$T/hold.py"
wait_for 5 eval "ipn x link show dev tx >/dev/null 2>&1" || fail "no TAP"
ipn x link set dev tx up
ipn x addr add 10.10.10.51/24 dev tx
ipn x route add default via 10.10.10.1
ipn x neigh add 10.10.10.1 lladdr 02:00:00:00:00:01 dev tx

rss() { awk '/^VmRSS/ { print $2 }' "/proc/$DAEMON/status"; }
under_flood() { # of NAMESPACE
	local pid r
	on "$1" hping3 --flood --rand-source -q -S -p 80 203.0.113.1 >/dev/null 2>&1 &
	pid=$!
	sleep 0.5
	gbits g2 wan 203.0.113.1
	r=$?
	kill "$pid" 2>/dev/null # `ip netns exec` becomes it
	wait "$pid" 2>/dev/null
	return $r
}
run_attached() { under_flood g1; }
run_unattached() { under_flood x; }
run_quiet() { gbits g2 wan 203.0.113.1; }
run_quiet >/dev/null
before=$(rss)
interleave attached unattached quiet
after=$(rss)
result nat_flood Gbit/s attached unattached quiet -- kept "$(ratio attached unattached)" rss_before_kb "$before" rss_after_kb "$after"
goal "g2's rate under the flood, of that beside it" "$(ratio attached unattached)" '>=' 0.9
goal "the daemon's memory grows by KiB" $((after - before)) '<=' 8192
bench_end
