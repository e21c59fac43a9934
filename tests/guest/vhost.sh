#!/bin/bash
# Two QEMU guests on vhost-user ports, one in each role, attached with the text that `vswitchctl
# attach` prints; the switch restarts, twice killed, and
# neither guest has to do anything.
#
#	db1 (QEMU) --- db1.sock (the switch listens) ---\
#	                                                 vswitchd [203.0.113.2 on up0] --- (w0) 203.0.113.1 wan
#	db2 (QEMU) --- db2.sock (QEMU listens) ---------/
. "$(dirname "$0")/_guest.sh"
need_guests

ns $SW
guest_wan
{ guest_networks; cat <<EOC
ports:
  db1: { type: vhost-user, socket: $T/db1.sock, role: server, network: lab }
  db2: { type: vhost-user, socket: $T/db2.sock, role: client, network: lab }
EOC
} | config
daemon_start
guest_attach db1 52:54:00:00:00:01
guest_attach db2 52:54:00:00:00:02
guests_work db1 db2
ups() { jctl '[.[] | select(.type == "vhost-user") | .state == "up"] | length == 2 and all' port list; }
check "both ports are up" ups
check "port show tells what was agreed" eval 'ctl port show db1 | grep -q "mrg-rxbuf"'
sum=$(guest_run db1 20 "mkdir /tmp/www; head -c 4000000 /dev/urandom >/tmp/www/f; httpd -p 8000 -h /tmp/www; md5sum </tmp/www/f")
check "4 MB of TCP from guest to guest arrive whole" guest_run db2 30 "wget -q -O - http://$(guest_address db1):8000/f | md5sum | grep -q '$sum'"
super() { ctl --json counters | jq -e '.ports.db1 | .rx_segments > 2 * .rx_packets'; }
check "in frames that nobody segmented" super
check "the books, before the restarts" books
daemon_stop
daemon_start
check "after a restart both are back" wait_for 10 ups
check "and talk" wait_for 5 guest_run db1 10 "ping -c 1 -W 2 $(guest_address db2)"
for i in 1 2; do
	daemon_kill
	daemon_start
	check "after kill -9 both are back" wait_for 10 ups
	check "and talk" wait_for 5 guest_run db2 10 "ping -c 1 -W 2 $(guest_address db1)"
done
guest_stop db1
gone() { jctl '.[] | select(.name == "db1") | .state == "down"' port list; }
check "a guest that ends leaves its port waiting" wait_for 5 gone
check "the other does not notice" guest_run db2 10 "ping -c 1 -W 2 10.10.10.1"
finish
