#!/bin/bash
# The life of a lease on an `interface` uplink (dnsmasq): renewed by half its time, another
# address and gateway followed and stale connections ended, the server gone, back, the daemon killed.
#
#	a 10.10.10.x (ta) --- vswitchd [dhcp on up0] ---veth--- (w0) 203.0.113.1, dnsmasq, wan
. "$(dirname "$0")/_story.sh"
need_root; need_tun; need udhcpc curl jq nc dnsmasq

ns $SW
wan
ipn wan addr add 203.0.113.9/24 dev w0
mtu=1400
serve() { # serve FIRST LAST ROUTER: in place of the one that runs
	end_spawned "${server:-}"
	rm -f "$T/dnsmasq.leases"
	spawn on wan dnsmasq -k -d -C /dev/null -p 0 -i w0 --bind-interfaces --dhcp-authoritative --no-ping \
		--dhcp-range="$1,$2,255.255.255.0,2m" --dhcp-option="3,$3" --dhcp-option="26,$mtu" \
		--dhcp-option="121,198.51.100.0/24,203.0.113.9,0.0.0.0/0,$3" \
		--log-dhcp --dhcp-leasefile="$T/dnsmasq.leases"
	server=$SPAWNED served=$SPAWN_OUT
	wait_for 5 grep -qs "DHCP, sockets bound" "$served"
}
said() { grep -c "$1" "$served"; }
config <<EOC
version: 1
uplinks:
  wan: { type: interface, interface: up0, address: dhcp }
networks:
  lab: { vlan: 10, mode: nat, uplink: wan, subnet: 10.10.10.0/24 }
ports:
  a: { type: tap, interface: ta, network: lab }
EOC
up() { jctl '.uplinks[0] | select(.state == "up") | .address' show; }
down() { jctl '.uplinks[0] | select(.state == "down") | .reason == "'"$1"'"' show; }
has() { jctl ".uplinks[0] | select(.state == \"up\") | .address == \"$1/24\" and .gateway == \"$2\"" show; }
page() { on a curl -sf -m 5 "http://${1:-203.0.113.1}:8000/"; }

daemon_start --test-clock
check "without a server the uplink is down, and says why" down "no lease"
tap_guest a ta
check "a takes a lease of its own" dhcp a ta
refute "and nothing goes out" on a ping -n -c 1 -W 2 203.0.113.1
no_route() { [ "$(tx_drop gw/lab gw-no-route)" -ge 1 ]; }
check "which is counted" no_route
serve 203.0.113.50 203.0.113.50 203.0.113.1
ctl clock advance 64
check "a server lends an address and its gateway" wait_for 5 has 203.0.113.50 203.0.113.1
web_server wan 8000; web=$SPAWN_OUT
check "a page from outside" page
check "is fetched from that address" grep -q '^203.0.113.50 ' "$web"
check "the lease's MTU holds" eval 'on a ping -n -c 1 -W 2 -M do -s 1400 203.0.113.1 | grep -q "mtu = 1400"'
check "its routes as well" eval 'ipn wan addr add 198.51.100.7/32 dev lo && page 198.51.100.7'

spawn on wan nc -lk 9000
wait_for 5 listening wan 9000
spawn on a nc 203.0.113.1 9000; client=$SPAWNED
session() { jctl '.[] | select(.remote == "203.0.113.1:9000") | .state == "established"' nat list; }
check "a connection stands" wait_for 5 session
acks=$(said "DHCPACK(w0) 203.0.113.50")
ctl clock advance 61
check "the lease is renewed at half its time" wait_for 5 eval '[ "$(said "DHCPACK(w0) 203.0.113.50")" -gt "$acks" ]'
check "without a discover" test "$(said DHCPDISCOVER)" = 1
check "for another two minutes" wait_for 5 eval 'jctl ".uplinks[0].expires > 100" show'
check "and the connection lives" session

ipn wan link set w0 down
check "the link goes: the uplink is down" wait_for 5 down "no link"
ipn wan link set w0 up
check "and comes back with the same address" wait_for 10 has 203.0.113.50 203.0.113.1
check "after one request" test "$(said DHCPDISCOVER)" = 1
check "the connection lives still" session

serve 203.0.113.70 203.0.113.70 203.0.113.9
ctl clock advance 61
check "another address and gateway are followed" wait_for 5 has 203.0.113.70 203.0.113.9
check "the old one was refused" test "$(said DHCPNAK)" -ge 1
check "the stale connection is told" wait_for 5 eval "! kill -0 $client 2>/dev/null"
check "its session is gone" eval '! session'
check "new ones work" page
check "from the new address" grep -q '^203.0.113.70 ' "$web"

end_spawned "$server"; server=
ctl clock advance 61
ctl clock advance 50
check "the server is gone: the lease is used to its end" has 203.0.113.70 203.0.113.9
ctl clock advance 20
check "and no longer" wait_for 5 down "no lease"
before=$(tx_drop gw/lab gw-no-route)
check "guests are told" eval 'on a ping -n -c 1 -W 2 203.0.113.1 | grep -q "From 10.10.10.1.*Unreachable"'
check "which is counted again" test "$(tx_drop gw/lab gw-no-route)" -gt "$before"
mtu=1500
serve 203.0.113.51 203.0.113.51 203.0.113.1
ctl clock advance 64
check "it returns with another address" wait_for 5 has 203.0.113.51 203.0.113.1
check "and the page is there" page

daemon_kill
daemon_start --test-clock
check "killed and started again: the same address" wait_for 5 has 203.0.113.51 203.0.113.1
check "asked for by its number" test "$(said DHCPDISCOVER)" = 1
check "nothing but that is remembered" test "$(cat "$STATE/uplink-wan.lease")" = 203.0.113.51
check "every packet is in exactly one verdict" books
daemon_stop
check "a clean end gives it back" wait_for 5 grep -q "DHCPRELEASE(w0) 203.0.113.51" "$served"
check "the host's forwarding is off" test "$(on $SW sysctl -n net.ipv4.ip_forward)" = 0
check "and its nftables empty" test -z "$(on $SW nft list ruleset)"
finish
