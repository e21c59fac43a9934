#!/bin/bash
# Guests whose TAP belongs to QEMU, as Proxmox and others start them: a name pattern takes each interface in.
#
#	web1 (QEMU) tap101i1 --\
#	                        vswitchd "tap*i1" [203.0.113.2 on up0] --- (w0) 203.0.113.1 wan
#	web2 (QEMU) tap102i1 --/
. "$(dirname "$0")/_guest.sh"
need_guests

ns $SW
guest_wan
{ guest_networks; cat <<EOC
ports:
  "tap*i1": { type: netdev, network: lab }
EOC
} | config
daemon_start
GUEST_RUN=(ip netns exec "$PREFIX-$SW")
guest_start web1 52:54:00:00:00:01 "tap,id=n0,ifname=tap101i1,script=no,downscript=no"
guest_start web2 52:54:00:00:00:02 "tap,id=n0,ifname=tap102i1,script=no,downscript=no"
up() { # what the hypervisor's hook does after QEMU made the interface
	wait_for 5 eval "ipn $SW link show $1 >/dev/null 2>&1" && ipn $SW link set "$1" up
}
check "QEMU makes its interfaces" eval 'up tap101i1 && up tap102i1'
member() { jctl ".[] | select(.name == \"tap*i1/$1\") | .parent == \"tap*i1\" and .state == \"up\"" port list; }
check "each is a member port" eval 'wait_for 5 member tap101i1 && wait_for 5 member tap102i1'
guests_work web1 web2
guest_stop web2
gone() { ! member tap102i1; }
check "a guest that ends takes its port along" wait_for 5 gone
check "the other goes on" guest_run web1 10 "ping -c 1 -W 2 10.10.10.1"
finish
