#!/bin/bash
# An uplink that shares the host's address: guests and host use it side by side, host connections live
# through start, kill and stop, the host's address and route are followed, and nothing of it stays.
#
#	a 10.10.10.9 (ta) --- vswitchd ---.
#	                     host's stack -+- [203.0.113.2 on up0] --- (w0) 203.0.113.1, .9 wan (192.0.2.9)
#	                                   '- [vpn0] --- (v0) vpn
. "$(dirname "$0")/_story.sh"
need_root; need_tun; need curl jq nc iperf3 arping tc nft

ns $SW
wan
ns vpn
veth $SW vpn0 vpn v0
ipn wan addr add 203.0.113.9/24 dev w0
ipn wan addr add 192.0.2.9/32 dev lo
ipn $SW addr add 203.0.113.2/24 dev up0
ipn $SW route add default via 203.0.113.1
RESERVED=net.ipv4.ip_local_reserved_ports
on $SW sysctl -qw $RESERVED=8080,45000-45002
on $SW nft add table inet theirs
on $SW nft add chain inet theirs input '{ type filter hook input priority 0; policy accept; }'
on $SW nft add rule inet theirs input tcp dport 1-65535 ct state new counter accept
host_state() {
	on $SW nft -s list ruleset
	on $SW sh -c 'for f in /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf/*/forwarding; do echo $f $(cat $f); done' | grep -v /ta/
	on $SW sysctl -n $RESERVED
	on $SW tc qdisc show dev up0
	ipn $SW addr show dev up0 | grep -v valid_lft
}
host_state >"$T/before"
nft_now() { on $SW nft -s list ruleset; on $SW sh -c 'cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf/*/forwarding' | sort -u; }
nft_now >"$T/nft"

config <<EOC
version: 1
uplinks:
  lan: { type: interface, interface: up0, address: shared, ports: 40000-59999 }
networks:
  lab: { vlan: 10, mode: nat, uplink: lan, subnet: 10.10.10.0/24, forward: [ { proto: tcp, listen: ":40080", to: "10.10.10.9:80" } ] }
ports:
  a: { type: tap, interface: ta, network: lab }
EOC
web_server wan 8000; web=$SPAWN_OUT
web_server $SW 80
spawn on $SW nc -lk 45001 # a service of the host's, within the range
wait_for 5 listening $SW 45001
spawn on wan "$PY" -uc 'import socket
l = socket.socket(); l.setsockopt(1, 2, 1); l.bind(("203.0.113.1", 9000)); l.listen(); c, a = l.accept()
while True: c.sendall(c.recv(100))'
wait_for 5 listening wan 9000
# the host's own connection, by a port of the range: a tick each 100 ms, or it says so
spawn on $SW "$PY" -uc 'import socket, time
s = socket.socket(); s.bind(("", 47000)); s.connect(("203.0.113.1", 9000)); s.settimeout(1)
while True:
    s.sendall(b"tick\n"); assert s.recv(100); print("ok"); time.sleep(.1)'
host_conn=$SPAWN_OUT host_pid=$SPAWNED
lives() {
	local n
	n=$(grep -c ok "$host_conn")
	wait_for 3 eval '[ "$(grep -c ok "$host_conn")" -gt $((n + 3)) ]' && kill -0 "$host_pid"
}
check "the host has a connection" lives

guest() {
	tap_guest "$1" ta 10.10.10.9/24
	ipn "$1" route add default via 10.10.10.1
}
page() { on "$1" curl -sf -m 3 -o /dev/null "http://${2:-203.0.113.1}:8000/"; }
is() { jctl ".[0] | .state == \"$1\" and ((.address // \"\") == \"$2\") and ((.gateway // \"\") == \"$3\")" uplink list; }
daemon_start
guest a
check "the uplink has the host's address and route" is up 203.0.113.2/24 203.0.113.1
check "the range is reserved, merged with what was" test "$(on $SW sysctl -n $RESERVED)" = 8080,40000-59999
check "that sockets of the host have ports of it is said" grep -q "have 2 of the ports 40000-59999" "$LOG"
check "the host's connection lives" lives
check "a guest fetches a page" page a
check "by the host's address" grep -q '^203.0.113.2 ' "$web"
outside() { jctl '.[] | select(.remote | endswith(":8000")) | .outside | split(":")[1] | tonumber | . >= 40000 and . <= 59999' nat list; }
check "and a port of the range" outside
check "beyond by the host's next hop" page a 192.0.2.9
check "the host fetches one too" page $SW
check "the host pings" on $SW ping -n -c 2 -i 0.2 -W 2 203.0.113.1
check "even by an id of the range" on $SW ping -n -e 50000 -c 2 -i 0.2 -W 2 203.0.113.1
check "so does the guest" pings a 203.0.113.1
check "with the same id" on a ping -n -e 50001 -c 2 -i 0.2 -W 2 203.0.113.1
check "the outside pings the host, which alone answers" eval '! on wan ping -n -c 3 -i 0.2 -W 2 203.0.113.2 | grep -q DUP'
arp_once() { [ "$(on wan arping -c 2 -w 3 -I w0 203.0.113.2 | grep -c "reply from")" = 2 ]; }
check "and once to each ARP" arp_once
check "the host's services are reached" on wan curl -sf -m 3 -o /dev/null http://203.0.113.2/
check "also the one in the range" on wan nc -z -w 2 203.0.113.2 45001
spawn on wan iperf3 -s
wait_for 5 listening wan 5201
check "TCP at speed, out" on a iperf3 -c 203.0.113.1 -t 1
check "TCP at speed, in" on a iperf3 -c 203.0.113.1 -t 1 -R
check "the host's own at the same time" eval 'on a iperf3 -c 203.0.113.1 -t 2 >/dev/null & on $SW curl -sf -m 2 -o /dev/null http://203.0.113.1:8000/; r=$?; wait $!; [ $r = 0 ]'
check "fragments" on a ping -n -c 1 -W 2 -s 4000 203.0.113.1
udp_error() { on a "$PY" -c 'import socket
s = socket.socket(type=socket.SOCK_DGRAM); s.settimeout(2); s.connect(("203.0.113.1", 7)); s.send(b"x")
try: s.recv(1)
except ConnectionRefusedError: raise SystemExit(0)
raise SystemExit(1)'; }
check "ICMP errors find their guest" udp_error
web_server a 80
check "a forward within the range" on wan curl -sf -m 3 -o /dev/null http://203.0.113.2:40080/
refute "one outside it is refused" ctl forward add lab tcp :8081 10.10.10.9:80
check "no socket of the host is given such a port" eval 'on $SW "$PY" -c "
import socket
for i in range(300):
    s = socket.socket(); s.connect((\"203.0.113.1\", 8000)); p = s.getsockname()[1]; s.close(); assert not 40000 <= p <= 59999, p"'
rx() { jctl '.ports["netdev/lan"].rx_packets' counters; }
before=$(rx)
on $SW curl -sf -m 3 -o /dev/null http://203.0.113.1:8000/
on wan ping -n -c 5 -i 0.05 203.0.113.2 >/dev/null
check "the switch is not woken for the host's traffic" test $(($(rx) - before)) -le 2
check "forwarding and nftables are as they were" eval 'nft_now | cmp - "$T/nft"'
check "the host's connection lives" lives

ipn $SW route replace default via 203.0.113.9
check "another next hop is followed" wait_for 3 is up 203.0.113.2/24 203.0.113.9
check "and serves" page a 192.0.2.9
for half in 0.0.0.0/1 128.0.0.0/1; do ipn $SW route add $half dev vpn0; done
down() { jctl '.[0] | .state == "down" and (.reason | test("vpn0"))' uplink list; }
check "a VPN takes the route: down, and why" wait_for 3 down
refute "nothing leaves beside the VPN" page a 192.0.2.9
for half in 0.0.0.0/1 128.0.0.0/1; do ipn $SW route del $half dev vpn0; done
ipn $SW route replace default via 203.0.113.1
check "the VPN goes: up again" wait_for 3 is up 203.0.113.2/24 203.0.113.1
check "and serves" page a 192.0.2.9
check "the host's connection lives" lives

check "every packet is in exactly one verdict" books
daemon_kill
check "killed: the host's connection lives" lives
check "what is left is known" test "$(on $SW sysctl -n $RESERVED)" = 8080,40000-59999
daemon_start
guest a2
check "started again: it serves" page a2
check "the host's connection lives" lives
daemon_stop
check "stopped: the host's connection lives" lives
check "and nothing stays" eval 'host_state | diff "$T/before" -'
daemon_start
daemon_kill
check "killed, and --cleanup" on $SW "$VSWITCHD" -c "$CONFIG" --control "$CONTROL" --state "$STATE" --cleanup
check "leaves nothing either" eval 'host_state | diff "$T/before" -'

daemon_start
guest a3
end_spawned "$host_pid"
ipn $SW addr del 203.0.113.2/24 dev up0
check "the address goes" wait_for 3 jctl '.[0].state == "down"' uplink list
ipn $SW addr add 203.0.113.3/24 dev up0
ipn $SW route add default via 203.0.113.1
check "another is followed" wait_for 3 is up 203.0.113.3/24 203.0.113.1
check "and serves" page a3 192.0.2.9
check "seen outside" grep -q '^203.0.113.3 ' "$web"
ipn $SW link set up0 down
check "the interface is set down" wait_for 3 jctl '.[0].state == "down"' uplink list
ipn $SW link set up0 up
ipn $SW route add default via 203.0.113.1
check "and up" wait_for 5 is up 203.0.113.3/24 203.0.113.1
check "and serves" wait_for 5 page a3 192.0.2.9
finish
