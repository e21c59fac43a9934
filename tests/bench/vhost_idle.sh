#!/bin/bash
# Eight vhost-user guests, attached and silent: what vswitchd costs meanwhile.
# Goals: in 60 s at most 2 clock ticks and 60 context switches over all threads.
. "$(dirname "$0")/_bench.sh"
. "$(dirname "$0")/_vhost.sh"
need_root; need jq
WINDOW=${WINDOW:-60}
GUESTS=${GUESTS:-8}
peer_here
vswitchd_knows || skip "this vswitchd has no vhost-user ports"

ns $SW
{
	printf 'version: 1\nnetworks:\n  lab: { vlan: 10, mode: internal }\nports:\n'
	for ((i = 1; i <= GUESTS; i++)); do echo "  g$i: { type: vhost-user, socket: $T/g$i.sock, role: server, network: lab }"; done
} | config
daemon_start
for ((i = 1; i <= GUESTS; i++)); do peer_start bounce --socket "$T/g$i.sock" --mac "02:00:00:00:01:0$i"; done
attached() { [ "$(ctl --json mac list | jq length)" -ge "$GUESTS" ]; }
wait_for 10 attached || fail "not every guest was learned"
sleep 2
read -r ticks0 switches0 < <(cost)
sleep "$WINDOW"
read -r ticks1 switches1 < <(cost)
sample ticks $((ticks1 - ticks0))
sample switches $((switches1 - switches0))
goal "clock ticks in $WINDOW s" "$(median ticks)" '<=' 2
goal "context switches in $WINDOW s" "$(median switches)" '<=' 60
result vhost_idle mixed ticks switches -- window_s "$WINDOW" guests "$GUESTS"
daemon_stop
bench_end
