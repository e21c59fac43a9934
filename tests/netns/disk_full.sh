#!/bin/bash
# A full disk: leases go on in memory, the daemon says so, and writes them when there is room again.
#
#	a, b (taps) --- vswitchd, its state on a disk of 256 KiB
. "$(dirname "$0")/_story.sh"
need_root; need_tun; need udhcpc jq

ns $SW
config <<EOC
version: 1
uplinks:
  host: { type: host }
networks:
  lab: { vlan: 10, mode: nat, uplink: host, subnet: 10.10.10.0/24 }
ports:
  a: { type: tap, interface: ta, network: lab }
  b: { type: tap, interface: tb, network: lab }
EOC
STATE_SIZE=256k
daemon_start --test-clock
disk=/proc/$DAEMON/root$STATE
check "the small disk is there" test "$(stat -f -c %b "$disk")" = 64
tap_guest a ta; tap_guest b tb
dd if=/dev/zero of="$disk/fill" bs=4k count=1000 2>/dev/null
expect_log 'space'
lease_ok() { dhcp a ta -x hostname:alpha; }
check "a lease is given" lease_ok
fill_pages() { # a journal of few bytes has room in its page: take many leases
	local i
	for i in $(seq 1 60); do
		ipn b link set tb down; ipn b link set tb address "52:54:00:00:02:$(printf %02x "$i")"; ipn b link set tb up
		dhcp b tb -t 2 -x "hostname:a-rather-long-host-name-to-fill-the-page-$i" || return 1
		grep -qi 'space' "$LOG" && return 0
	done
	echo "the disk never was full"; return 1
}
check "leases are given until the disk is full, and after" fill_pages
check "one more" dhcp b tb
check "it is listed" jctl "[.[] | select(.address == \"$(lease_word b ip)\")] | length == 1" lease list
check "doctor says so" eval 'ctl doctor | grep -qiE "lease.*(space|memory)"'
rm -f "$disk/fill"
ipn a link set ta down; ipn a link set ta address 52:54:00:00:03:01; ipn a link set ta up
check "room again: a new lease" dhcp a ta
written() { grep -rqs "$(lease_word a ip)" "$disk" && grep -rqs "$(lease_word b ip)" "$disk"; }
check "time passes" ctl clock advance 40
check "and all are on disk" wait_for 5 written
finish
