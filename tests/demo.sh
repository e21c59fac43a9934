#!/bin/bash
# `make demo`: two real machines work on the switch, in front of your eyes.
#
#	web1 (QEMU) --\                      10.10.10.0/24
#	               lab.dgram --- vswitchd [203.0.113.2] ---veth--- outside host 203.0.113.1
#	web2 (QEMU) --/
#
# The switch and the outside host live in network namespaces of their own; nothing of this machine's
# own network is touched, and everything is gone at the end.
. "$(dirname "$0")/guest/_guest.sh"
[ "$(id -u)" = 0 ] || { echo "make demo needs root, for network namespaces" >&2; FINISHED=1; exit 1; }

step() { printf '\n\033[1m== %s\033[0m\n' "$*" | if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then cat; else sed 's/\x1b\[[0-9]*m//g'; fi; }
run() { # run COMMAND...: shown, run, its output shown; the demo ends when it fails
	printf '$ %s\n' "${*/#$VSWITCHCTL/vswitchctl}"
	"$@" || fail "$* (status $?)"
}
ctl_run() { printf '$ vswitchctl %s\n' "$*"; ctl "$@" || fail "vswitchctl $* (status $?)"; }
guest() { # guest NAME SECONDS COMMAND
	printf '%s# %s\n' "$1" "$3"
	guest_run "$@" | sed "s/^/     /"
	[ "${PIPESTATUS[0]}" = 0 ] || fail "in $1: $3"
}

step "The guests' kernel and file system"
guest_image || fail "the guest image cannot be made"
echo "Debian's cloud kernel and a busybox initramfs: $(du -Lch "$GUEST_IMAGE/vmlinuz" "$GUEST_IMAGE/initrd" | tail -n 1 | cut -f1)"

step "The switch, in a namespace of its own, and a host outside"
ns $SW
guest_wan
{ guest_networks; cat <<EOC
ports:
  lab: { type: dgram, socket: $T/lab.dgram, network: lab }
EOC
} | config
cat "$CONFIG"
daemon_start
ctl_run attach lab

step "Two QEMU machines on it"
netdev() { ctl attach lab | grep -o 'dgram,[^ ]*' | head -n 1 | sed "s|local.path=[^, ]*|local.path=$T/$1.sock|"; }
began=$SECONDS
guest_start web1 52:54:00:00:00:01 "$(netdev web1)"
guest_start web2 52:54:00:00:00:02 "$(netdev web2)"
guest_wait web1 60 || fail "web1 does not boot"
guest_wait web2 60 || fail "web2 does not boot"
echo "both booted within $((SECONDS - began + 1)) s"

step "Addresses and names by DHCP"
for g in web1 web2; do
	guest $g 15 "udhcpc -i eth0 -f -q -n -s /etc/udhcpc.script -x hostname:$g"
done
ctl_run lease list

step "web1 finds web2 by name, and pings it"
guest web1 10 "nslookup web2.lab.internal 10.10.10.1"
guest web1 10 "ping -c 3 -i 0.2 web2.lab.internal"

step "A page from the host outside, through NAT"
guest web2 10 "wget -q -O - http://203.0.113.1:8000/"
grep -q '^203.0.113.2 ' "$T"/spawn.* || fail "the server outside did not see the switch's address"
echo "the server outside saw: $(cut -d' ' -f1 "$SPAWN_OUT" | tail -n 1)"
ctl_run nat list

step "What the switch knows"
ctl_run show
ctl_run mac list
ctl_run counters --drops
books || fail "the books do not balance"
daemon_stop
printf '\nEverything worked, in %s s.\n' "$SECONDS"
FINISHED=0
exit 0
