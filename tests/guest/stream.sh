#!/bin/bash
# QEMU guests on stream sockets: QEMU listens and the switch dials; the switch listens and QEMU dials.
#
#	web1 (QEMU, server=on) <--dial-- vswitchd <--connect-- web2 (QEMU, server=off)
#	                             [203.0.113.2 on up0] --- (w0) 203.0.113.1 wan
. "$(dirname "$0")/_guest.sh"
need_guests

ns $SW
guest_wan
{ guest_networks; cat <<EOC
ports:
  web1: { type: stream, connect: $T/web1.sock, network: lab }
  web2: { type: stream, listen: $T/web2.sock, network: lab }
EOC
} | config
daemon_start
guest_start web1 52:54:00:00:00:01 "stream,id=n0,server=on,addr.type=unix,addr.path=$T/web1.sock"
guest_start web2 52:54:00:00:00:02 "stream,id=n0,server=off,addr.type=unix,addr.path=$T/web2.sock"
guests_work web1 web2
check "the books, before the restart" books
daemon_stop
daemon_start
check "web1 is dialled again after a restart of the switch" wait_for 10 guest_run web1 10 "ping -c 1 -W 2 10.10.10.1"
finish
