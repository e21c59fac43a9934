#!/bin/bash
# A network with two uplinks: the cable of the first goes, its router falls silent, it returns.
#
#	a 10.10.10.9 (ta) --- lab --- vswitchd [203.0.113.2 on up0] --- (w0) wan --- 192.0.2.9, :8000
#	d 10.20.0.9 (td) ---- dmz -----'       [198.51.100.2 on up1] -- (l0) lte --- 192.0.2.9, :8000
. "$(dirname "$0")/_story.sh"
need_root; need_tun; need curl jq nc tcpdump

ns $SW lte
wan
veth $SW up1 lte l0
ipn lte addr add 198.51.100.1/24 dev l0
for n in wan lte; do ipn $n addr add 192.0.2.9/32 dev lo; done
config <<EOC
version: 1
uplinks:
  wan: { type: interface, interface: up0, address: 203.0.113.2/24, gateway: 203.0.113.1 }
  lte: { type: interface, interface: up1, address: 198.51.100.2/24, gateway: 198.51.100.1 }
networks:
  lab:
    vlan: 10
    mode: nat
    uplink: [wan, lte]
    subnet: 10.10.10.0/24
    forward:
      - { proto: tcp, listen: ":8080", to: "10.10.10.9:80" }
      - { proto: tcp, listen: ":8081", to: "10.10.10.9:80" }
  dmz: { vlan: 20, mode: nat, uplink: lte, subnet: 10.20.0.0/24, forward: [ { proto: tcp, listen: ":8081", to: "10.20.0.9:80" } ] }
ports:
  a: { type: tap, interface: ta, network: lab }
  d: { type: tap, interface: td, network: dmz }
EOC
daemon_start
tap_guest a ta 10.10.10.9/24
ipn a route add default via 10.10.10.1
tap_guest d td 10.20.0.9/24
ipn d route add default via 10.20.0.1
web_server wan 8000; wan_web=$SPAWN_OUT
web_server lte 8000; lte_web=$SPAWN_OUT
web_server a 80
spawn ctl --json events; events=$SPAWN_OUT
by() { # by UPLINK: the network says so, and what leaves does
	jctl ".[] | select(.name == \"lab\") | .uplink == \"$1\"" net list || return 1
	local log=$wan_web before
	[ "$1" = wan ] || log=$lte_web
	before=$(grep -c . "$log")
	on a curl -sf -m 1 -o /dev/null http://192.0.2.9:8000/ && [ "$(grep -c . "$log")" -gt "$before" ]
}
is() { jctl ".[] | select(.name == \"$1\") | .state == \"$2\" and (.reason // \"\") == \"${3:-}\"" uplink list; }
forward() { on "$1" curl -sf -m 2 -o /dev/null "http://$2/"; }

check "out by the first" wait_for 10 by wan
check "both are up" eval 'is wan up && is lte up'
check "uplink show says who uses it" jctl '.networks == ["lab"]' uplink show wan
refute "one that is not there is named" ctl uplink show wam
check "a forward stands at the first" forward wan 203.0.113.2:8080
refute "and not at the second" forward lte 198.51.100.2:8080

for n in wan lte; do spawn on $n nc -lk 9000; wait_for 5 listening $n 9000; done
spawn on a nc 192.0.2.9 9000; client=$SPAWNED
stands() { jctl '.[] | select(.remote == "192.0.2.9:9000") | .state == "established"' nat list; }
check "a connection stands" wait_for 5 stands
expect_log "forward 0.0.0.0:8081 of network 'lab': in use by network 'dmz'"
ipn wan link set w0 down
check "the cable goes: out by the second" wait_for 3 by lte
check "and it says why" is wan down "no link"
check "the connection is told" wait_for 3 eval "! kill -0 $client 2>/dev/null"
check "the forward moves along" forward lte 198.51.100.2:8080
check "one that is taken there is named" grep -q "8081 of network 'lab': in use by network 'dmz'" "$LOG"

ipn wan link set w0 up
check "the cable returns" wait_for 3 is wan up
check "not trusted at once" jctl '.[] | select(.name == "lab") | .uplink == "lte"' net list
check "but soon" wait_for 15 by wan
check "the forward is back" forward wan 203.0.113.2:8080
check "the one in its way too" forward wan 203.0.113.2:8081
refute "and not at the second any more" forward lte 198.51.100.2:8080

ipn wan link set w0 arp off
ipn wan addr del 203.0.113.1/24 dev w0
check "the router falls silent: out by the second" wait_for 20 by lte
check "and it says why" is wan down "the next hop does not answer"
ipn wan addr add 203.0.113.1/24 dev w0
ipn wan link set w0 arp on
check "it speaks again: back to the first" wait_for 20 by wan

ipn wan link set w0 down
ipn lte link set l0 down
check "both are gone" wait_for 3 eval 'is wan down "no link" && is lte down "no link"'
refute "nothing goes out" on a curl -sf -m 1 -o /dev/null http://192.0.2.9:8000/
ipn lte link set l0 up
check "whichever returns first serves" wait_for 15 by lte
check "events tell" grep -q network-uplink "$events"

check "one uplink is enough again" ctl net set lab uplink wan
arps() { on $SW timeout 7 tcpdump -lnni up1 arp 2>/dev/null | grep -c "who-has 198.51.100.1 tell 198.51.100.2"; }
check "and then nobody asks without need" test "$(arps)" -le 1
check "the host's forwarding is off" test "$(on $SW sysctl -n net.ipv4.ip_forward)" = 0
check "and its nftables empty" test -z "$(on $SW nft list ruleset)"
finish
