#!/bin/bash
# Live migration of a guest from one vhost-user port to another while a host pings it.
#
#	vm (QEMU) --- from.sock ---\
#	    | migrate               vswitchd --- (ta) a
#	vm' (QEMU) --- to.sock ----/
. "$(dirname "$0")/_guest.sh"
need_guests
need socat

ns $SW
config <<EOC
version: 1
networks:
  lab: { vlan: 10, mode: internal }
ports:
  a: { type: tap, interface: ta, network: lab }
  from: { type: vhost-user, socket: $T/from.sock, role: server, network: lab }
  to: { type: vhost-user, socket: $T/to.sock, role: server, network: lab }
EOC
daemon_start
tap_guest a ta 10.0.0.1/24
guest_vhost vm 52:54:00:00:00:01 "$T/from.sock" server -monitor "unix:$T/vm.mon,server=on,wait=off"
check "the guest boots" boots vm
guest_run vm 5 "ip addr add 10.0.0.2/24 dev eth0"
check "and is there" wait_for 5 pings a 10.0.0.2
guest_vhost vm2 52:54:00:00:00:01 "$T/to.sock" server -monitor "unix:$T/vm2.mon,server=on,wait=off" \
	-incoming "unix:$T/migrate.sock"
wait_for 10 test -S "$T/migrate.sock" || fail "the other QEMU does not wait for the guest"

spawn on a ping -n -i 0.05 -w 60 10.0.0.2
pinger=$SPAWNED ping_log=$SPAWN_OUT
on a timeout 60 tcpdump -q -l -n -i ta -e 'ether proto 0x8035' >"$T/rarp.log" 2>/dev/null &
sniffer=$!
monitor() { echo "$2" | socat -t 1 - "UNIX-CONNECT:$T/$1.mon" 2>/dev/null; }
# Something that makes pages dirty all the while, through the rings too.
guest_run vm 5 "(ping -i 0.02 10.0.0.1 >/tmp/ping.log &); true"
monitor vm "migrate_set_parameter max-bandwidth 40M" >/dev/null
monitor vm "migrate -d unix:$T/migrate.sock" >/dev/null
status() { monitor vm "info migrate" | grep -q "Migration status: $1"; }
check "the migration ends" wait_for 40 status completed
moved() { jctl '.[] | select(.mac == "52:54:00:00:00:01") | .port == "to"' mac list; }
check "the address moved to the other port" wait_for 5 moved
monitor vm quit >/dev/null
wait_for 5 pings a 10.0.0.2 || fail "the guest does not answer any more"
sleep 1
end_spawned "$pinger"
kill "$sniffer" 2>/dev/null; wait "$sniffer" 2>/dev/null
check "its new place was announced" grep -q "52:54:00:00:00:01" "$T/rarp.log"
check "the guest goes on where it was" guest_run vm2 10 "ip addr show dev eth0 | grep -q 10.0.0.2 && ps | grep -v grep | grep -q 'ping -i'"
check "and its memory is whole" guest_run vm2 20 "busybox md5sum /bin/busybox | grep -q $(md5sum <"$(command -v busybox)" | cut -d' ' -f1)"
# Sequence numbers that never came back: those of the switch-over.
lost() { grep -o 'icmp_seq=[0-9]*' "$ping_log" | cut -d= -f2 | awk 'NR > 1 { lost += $1 - last - 1 } { last = $1 } END { print lost + 0 }'; }
say "pings lost in the migration: $(lost)"
check "the ping lost a second at most" test "$(lost)" -le 20
finish
