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
monitor() { echo "$2" | socat -t 1 - "UNIX-CONNECT:$T/$1.mon" 2>/dev/null; }
status() { monitor "$1" "info migrate" | grep -q "Migration status: $2"; }
on_port() { jctl ".[] | select(.mac == \"52:54:00:00:00:01\") | .port == \"$1\"" mac list; }
heard() { grep -q "52:54:00:00:00:01" "$1"; }
# Sequence numbers that never came back: those of the switch-over.
lost() { grep -o 'icmp_seq=[0-9]*' "$1" | cut -d= -f2 | awk 'NR > 1 { lost += $1 - last - 1 } { last = $1 } END { print lost + 0 }'; }

# migrate HOW FROM TO FILTER: from one port to the other; FILTER is what must be heard of it
migrate() {
	local vm=vm$1 sniffer pinger
	guest_vhost "$vm" 52:54:00:00:00:01 "$T/from.sock" server -monitor "unix:$T/$vm.mon,server=on,wait=off"
	check "$1: the guest boots" boots "$vm"
	guest_run "$vm" 5 "ip addr add 10.0.0.2/24 dev eth0"
	check "$1: and is there" wait_for 5 pings a 10.0.0.2
	[ "$1" != packed ] || check "packed: so are its rings" eval 'ctl port show from | grep -q "packed, "'
	guest_vhost "new$vm" 52:54:00:00:00:01 "$T/to.sock" server -monitor "unix:$T/new$vm.mon,server=on,wait=off" \
		-incoming "unix:$T/$vm.migrate"
	wait_for 10 test -S "$T/$vm.migrate" || fail "the other QEMU does not wait for the guest"
	spawn on a ping -n -i 0.05 -w 60 10.0.0.2
	pinger=$SPAWNED
	local log=$SPAWN_OUT
	spawn on a timeout 60 tcpdump -q -U -l -n -i ta -e "ether src 52:54:00:00:00:01 and ether broadcast and $2"
	sniffer=$SPAWNED
	local announced=$SPAWN_OUT
	# Something that makes pages dirty all the while, through the rings too.
	guest_run "$vm" 5 "(ping -i 0.02 10.0.0.1 >/tmp/ping.log &); true"
	monitor "$vm" "migrate_set_parameter max-bandwidth 40M" >/dev/null
	monitor "$vm" "migrate -d unix:$T/$vm.migrate" >/dev/null
	check "$1: the migration ends" wait_for 40 status "$vm" completed
	check "$1: the address moved to the other port" wait_for 5 on_port to
	monitor "$vm" quit >/dev/null
	check "$1: its new place was announced" wait_for 5 heard "$announced"
	wait_for 5 pings a 10.0.0.2 || fail "the guest does not answer any more"
	sleep 1
	end_spawned "$pinger"
	end_spawned "$sniffer"
	check "$1: the guest goes on where it was" guest_run "new$vm" 10 "ip addr show dev eth0 | grep -q 10.0.0.2 && ps | grep -v grep | grep -q 'ping -i'"
	check "$1: and its memory is whole" guest_run "new$vm" 20 "busybox md5sum /bin/busybox | grep -q $(md5sum <"$(command -v busybox)" | cut -d' ' -f1)"
	say "$1: pings lost in the migration: $(lost "$log")"
	check "$1: the ping lost a second at most" test "$(lost "$log")" -le 20
	guest_stop "$vm"
	guest_stop "new$vm"
}

# A guest that can announces itself, by ARP; for one that cannot QEMU asks the switch to (SEND_RARP).
migrate announces arp
VHOST_DEVICE=,packed=on migrate packed "arp or ether proto 0x8035"
VHOST_DEVICE=,guest_announce=off migrate cannot "ether proto 0x8035"
finish
