#!/bin/bash
# Two QEMU guests on one dgram socket, attached with the text that `vswitchctl attach` prints.
#
#	web1 (QEMU) --\
#	               lab.dgram --- vswitchd [203.0.113.2 on up0] --- (w0) 203.0.113.1 wan
#	web2 (QEMU) --/
. "$(dirname "$0")/_guest.sh"
need_guests

ns $SW
guest_wan
{ guest_networks; cat <<EOC
ports:
  lab: { type: dgram, socket: $T/lab.dgram, network: lab }
EOC
} | config
daemon_start
# Everything as printed, except where the guest's own socket lies.
netdev() { ctl attach lab | grep -o 'dgram,[^ ]*' | head -n 1 | sed "s|local.path=[^, ]*|local.path=$T/$1.sock|"; }
check "attach names the socket" eval 'netdev web1 | grep -q "remote.path=$T/lab.dgram"'
guest_start web1 52:54:00:00:00:01 "$(netdev web1)"
guest_start web2 52:54:00:00:00:02 "$(netdev web2)"
guests_work web1 web2
daemon_stop
daemon_start
check "after a restart of the switch they go on" wait_for 5 guest_run web1 10 "ping -c 1 -W 2 10.10.10.1"
finish
