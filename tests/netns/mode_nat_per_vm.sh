#!/bin/bash
# nat-per-vm: every port an appliance of its own. All guests are 10.0.2.15, even with one MAC, all
# reach the outside at once, none another.
#
#	a 10.0.2.15 (ta) --- [10.0.2.2] --- vswitchd ---veth--- wan 203.0.113.1
#	b 10.0.2.15 (tb) --- [10.0.2.2] ------'
#	c 10.0.2.77 (tc) --- [10.0.2.2] ------' (no lease)
. "$(dirname "$0")/_story.sh"
need_root; need_tun; need udhcpc curl jq dig nmap

ns $SW
wan
config <<EOC
version: 1
uplinks:
  wan: { type: interface, interface: up0, address: 203.0.113.2/24, gateway: 203.0.113.1 }
networks:
  own: { vlan: 10, mode: nat-per-vm, uplink: wan, dns: { domain: own.internal } }
  lab: { vlan: 20, mode: nat, uplink: wan, subnet: 10.10.10.0/24 }
ports:
  a: { type: tap, interface: ta, network: own }
  b: { type: tap, interface: tb, network: own }
  c: { type: tap, interface: tc, network: own }
EOC
daemon_start
for g in a b; do
	tap_guest $g t$g
	ipn $g link set t$g address 52:54:00:00:00:01
done
tap_guest c tc 10.0.2.77/24
ipn c route add default via 10.0.2.2
check "a takes a lease" dhcp a ta
check "so does b, its clone" dhcp b tb
check "of the same address" test "$(lease_word a ip) $(lease_word b ip)" = "10.0.2.15 10.0.2.15"
check "lease list tells them apart" jctl '[.[] | select(.network == "own" and .address == "10.0.2.15") | .port] | sort == ["a", "b"]' lease list
check "each has the gateway" eval 'pings a 10.0.2.2 && pings b 10.0.2.2'
web_server wan 8000; web=$SPAWN_OUT
get() { on "$1" curl -sf -m 5 -o /dev/null http://203.0.113.1:8000/; }
both() { get a & local p=$!; get b && wait $p; }
check "both reach the outside at once" both
check "so does c without a lease" get c
check "as the uplink" grep -q '^203.0.113.2 ' "$web"
sessions() { jctl '[.[] | select(.network == "own" and .inside[0:10] == "10.0.2.15:") | .port] | unique == ["a", "b"]' nat list; }
check "nat list shows whose session is whose" sessions
refute "a does not see c" on a ping -n -c 1 -W 1 10.0.2.77
refute "nor c a" on c ping -n -c 1 -W 1 10.0.2.15
name() { on a dig +short +time=2 +tries=1 @10.0.2.3 gateway.own.internal | grep -qx 10.0.2.2; }
check "DNS answers at .3" name
quiet_ports() { ! on a nmap -n -Pn -p- -T5 --max-retries 1 10.0.2.2 | grep -q '/tcp *open'; }
check "the gateway shows no open port" quiet_ports

web_server a 80; wa=$SPAWN_OUT
web_server b 80; wb=$SPAWN_OUT
check "a forward to a's guest" ctl forward add own tcp :8081 10.0.2.15:80 a
check "and one to b's" ctl forward add own tcp :8082 10.0.2.15:80 b
check "the first leads to a" eval 'on wan curl -sf -m 5 -o /dev/null http://203.0.113.2:8081/ && grep -q "^203.0.113.1 " "$wa"'
refute "and not to b" grep -q "^203.0.113.1 " "$wb"
check "the second leads to b" eval 'on wan curl -sf -m 5 -o /dev/null http://203.0.113.2:8082/ && grep -q "^203.0.113.1 " "$wb"'
check "forward list names the port" jctl '[.[] | .port] | sort == ["a", "b"]' forward list
check "a forward without a port is refused" eval '! ctl forward add own tcp :8083 10.0.2.15:80 2>"$T/err" && grep -q "same address" "$T/err"'

ipn b link set tb address 52:54:00:00:00:99
ipn b addr flush dev tb
check "another client on the port gets the same address" dhcp b tb
check "indeed" test "$(lease_word b ip)" = 10.0.2.15
check "while a forward leads to it, b cannot leave" eval '! ctl port set b network lab 2>"$T/err" && grep -q "port .b. is not in network" "$T/err"'
check "the forward is deleted" ctl forward del own tcp :8082
check "b moves to a network of the other kind" ctl port set b network lab
ipn b addr flush dev tb
check "and gets an address there" dhcp b tb
check "of that network" eval '[[ $(lease_word b ip) == 10.10.10.* ]]'
check "a goes on" get a
check "b comes back" ctl port set b network own
ipn b addr flush dev tb
check "and is what it was" dhcp b tb
check "reaches the outside" get b
check "a forward to it" ctl forward add own tcp :8082 10.0.2.15:80 b
check "works" on wan curl -sf -m 5 -o /dev/null http://203.0.113.2:8082/
check "the network becomes an ordinary one" ctl net set own mode nat subnet 10.0.2.0/24 forward null
pings_c() { on a ping -n -c 1 -W 1 10.0.2.77; }
ipn a neigh flush dev ta
check "and its guests see each other" wait_for 5 pings_c
check "and back" ctl net set own mode nat-per-vm subnet null
refute "they do not" pings_c
check "the outside is still there" get a
daemon_kill
daemon_start
leases() { jctl '[.[] | select(.network == "own") | .port] | index("a") != null' lease list; }
check "leases outlive a kill -9" leases
finish
