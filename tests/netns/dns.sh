#!/bin/bash
# DNS as dig sees it: lease names and their reverse, everything else from the host's resolvers, whose
# change is followed; TCP/53 works.
#
#	a, b (taps) --- vswitchd [up0 203.0.113.2] --- (w0) wan: resolvers at 203.0.113.1 and .3
#	the switch's own namespace reaches them at 198.51.100.1 and .3 (resolv.conf)
. "$(dirname "$0")/_story.sh"
need_root; need_tun; need udhcpc dig jq

ns $SW
wan
# The daemon's own sockets go by a second wire, as a host's do.
veth $SW own0 wan w1
ipn $SW addr add 198.51.100.2/24 dev own0
ipn wan addr add 198.51.100.1/24 dev w1
ipn wan addr add 198.51.100.3/24 dev w1
spawn on wan "$PY" "$HERE/resolver.py" 198.51.100.1 192.0.2.1
spawn on wan "$PY" "$HERE/resolver.py" 198.51.100.3 192.0.2.3
spawn on wan "$PY" "$HERE/resolver.py" 203.0.113.1 192.0.2.5
echo "nameserver 198.51.100.1" >"$T/resolv.conf"
config <<EOC
version: 1
uplinks:
  wan: { type: interface, interface: up0, address: 203.0.113.2/24, gateway: 203.0.113.1 }
networks:
  lab: { vlan: 10, mode: nat, uplink: wan, subnet: 10.10.10.0/24, dns: { domain: lab.internal } }
  far: { vlan: 20, mode: nat, uplink: wan, subnet: 10.10.20.0/24, dns: { domain: far.internal, upstream: 203.0.113.1 } }
ports:
  a: { type: tap, interface: ta, network: lab }
  b: { type: tap, interface: tb, network: lab }
  f: { type: tap, interface: tf, network: far }
EOC
daemon_start
tap_guest a ta; tap_guest b tb; tap_guest f tf
check "a takes a lease as web1" dhcp a ta -x hostname:web1
check "b takes a lease as web2" dhcp b tb -x hostname:web2
check "f takes a lease on the other network" dhcp f tf -x hostname:web9
ask() { on "$1" dig +short +tries=1 +time=2 "${@:3}" "@$2"; }
gives() { [ "$(ask "${@:2}")" = "$1" ]; }
check "a lease's name" gives "$(lease_word b ip)" a 10.10.10.1 web2.lab.internal
check "in any case" gives "$(lease_word b ip)" a 10.10.10.1 WEB2.Lab.Internal
check "its reverse" gives web2.lab.internal. a 10.10.10.1 -x "$(lease_word b ip)"
status() { on a dig +tries=1 +time=2 "$2" "${@:3}" @10.10.10.1 | grep -q "status: $1"; }
check "an unknown name of the domain does not exist" status NXDOMAIN nobody.lab.internal
check "a known name without such a record is empty" status NOERROR web2.lab.internal AAAA
check "another network's name is not told" eval '! gives "$(lease_word f ip)" a 10.10.10.1 web9.far.internal'
check "a name from the host's resolver" gives 192.0.2.1 a 10.10.10.1 www.example.com
check "over TCP" gives 192.0.2.1 a 10.10.10.1 +tcp www.example.com
check "a large answer is truncated, then fetched by TCP" eval '[ "$(ask a 10.10.10.1 +bufsize=512 TXT big.example.com | tr -d "\" \n" | wc -c)" = 2000 ]'
check "a listed resolver is reached through the uplink" gives 192.0.2.5 f 10.10.20.1 www.example.com
check "one that answers twice" gives 192.0.2.5 f 10.10.20.1 twice.example.com
stray() { [ "$(tx_drop uplink/wan svc-stray)" = 1 ]; }
check "is counted the second time" wait_for 3 stray
echo "nameserver 198.51.100.3" >"$T/resolv.conf"
check "a changed resolv.conf is followed" wait_for 6 gives 192.0.2.3 a 10.10.10.1 other.example.com
garbage() { echo "no dns at all" | on a nc -u -w 1 10.10.10.1 53; gives "$(lease_word b ip)" a 10.10.10.1 web2.lab.internal; }
check "garbage does no harm" garbage
echo "nameserver 198.51.100.9" >"$T/resolv.conf"
sleep 0.5
on a dig +tries=1 +time=1 silent.example.com @10.10.10.1 >/dev/null
check "a dead resolver does not stop lease names" gives "$(lease_word b ip)" a 10.10.10.1 web2.lab.internal
finish
