#!/bin/bash
# DHCP as udhcpc and dhclient see it: discover, request, renew, release, NAK, reservation, and leases
# that survive a kill -9.
#
#	a, b, r (taps) --- vswitchd, network lab 10.10.10.0/24
. "$(dirname "$0")/_story.sh"
need_root; need_tun; need udhcpc dhclient jq

ns $SW
config <<EOC
version: 1
uplinks:
  host: { type: host }
networks:
  lab:
    vlan: 10
    mode: nat
    uplink: host
    subnet: 10.10.10.0/24
    mtu: 1400
    dhcp: { range: 10.10.10.50-10.10.10.59, lease: 1h, options: { 42: 10.10.10.1 },
            reservations: [ { mac: "52:54:00:00:00:01", address: 10.10.10.10, hostname: web1 } ] }
    dns: { domain: lab.internal }
ports:
  a: { type: tap, interface: ta, network: lab }
  b: { type: tap, interface: tb, network: lab }
  r: { type: tap, interface: tr, network: lab }
EOC
daemon_start
guests() { # also after a kill -9, which takes the interfaces along
	local n
	for n in a b r; do
		ip netns del "$PREFIX-$n" 2>/dev/null
		tap_guest $n t$n
	done
}
guests
ipn r link set tr down; ipn r link set tr address 52:54:00:00:00:01; ipn r link set tr up

check "a takes a lease" dhcp a ta -x hostname:alpha -O mtu -O ntpsrv
check "inside the range" eval "lease_word a ip | grep -Eq '^10\.10\.10\.5[0-9]$'"
check "router" test "$(lease_word a router)" = 10.10.10.1
check "DNS server" test "$(lease_word a dns)" = 10.10.10.1
check "domain" test "$(lease_word a domain)" = lab.internal
check "lease time" test "$(lease_word a lease)" = 3600
check "the network's MTU" test "$(lease_word a mtu)" = 1400
check "an option from the config" test "$(lease_word a ntpsrv)" = 10.10.10.1
check "lease list names it" jctl '.[] | select(.hostname == "alpha") | .network == "lab" and .port == "a" and .expires > 3500' lease list
check "a reserved address" dhcp r tr
check "is the one written" test "$(lease_word r ip)" = 10.10.10.10
check "with its hostname" test "$(lease_word r hostname)" = web1
first=$(lease_word a ip)
check "a asks again" dhcp a ta
check "and keeps its address" test "$(lease_word a ip)" = "$first"

spawn on a env "LEASE_FILE=$T/renew" udhcpc -i ta -f -n -t 5 -T 3 -s "$HERE/udhcpc.script"; renewer=$SPAWNED
word() { grep -q "^event=$1" "$T/renew"; }
check "a stays, and holds a lease" wait_for 5 word bound
requests() { jctl '.dhcp.lab.request' counters; }
discovers() { jctl '.dhcp.lab.discover' counters; }
acks() { jctl '.dhcp.lab.ack' counters; }
asked=$(requests) discovered=$(discovers) acked=$(acks)
kill -USR1 "$renewer"
check "it renews by unicast (RFC 2131 4.4.5)" wait_for 5 word renew
# udhcpc writes it from a connected socket, and closes that: an answer that comes before the close is lost, and it
# asks again
renewed() { local n=$(($(requests) - asked)); [ $n -ge 1 ] && [ $n -le 2 ] && [ $(($(acks) - acked)) = $n ]; }
check "with a request, and each is answered" renewed
check "and no discover" test "$(discovers)" = "$discovered"
check "and keeps its address" eval 'grep "^ip=" "$T/renew" | tail -n 1 | grep -qx "ip=$first"'
end_spawned "$renewer"
ipn a addr flush dev ta

cat >"$T/dhclient.script" <<'EOS'
#!/bin/sh
echo "$reason ${new_ip_address:-}" >>"$DHC"
case $reason in BOUND|RENEW|REBIND|REBOOT) ip addr flush dev $interface; ip addr add $new_ip_address/24 dev $interface ;; esac
EOS
chmod +x "$T/dhclient.script"
DHC=$T/dhc
dhc() { on b dhclient -4 -e "DHC=$DHC" -sf "$T/dhclient.script" -lf "$T/dhc.leases" -pf "$T/dhc.pid" -cf /dev/null "$@" tb; }
: >"$T/dhc.leases"; : >"$DHC"
check "dhclient binds" dhc -1
check "BOUND" grep -q '^BOUND 10.10.10.5' "$DHC"
kill "$(cat "$T/dhc.pid")" 2>/dev/null
check "dhclient comes back (INIT-REBOOT)" dhc -1
check "with the same address" eval '[ "$(awk "/^(BOUND|REBOOT)/ {print \$2}" $DHC | sort -u | wc -l)" = 1 ]'
leases() { jctl "length == $1" lease list; }
check "three leases" leases 3

mac=$(on b cat /sys/class/net/tb/address)
daemon_kill
daemon_start
guests
ipn b link set tb down; ipn b link set tb address "$mac"; ipn b link set tb up
check "they survive a kill -9" leases 3
check "dhclient confirms its own" dhc -1
check "dhclient releases" dhc -r
check "and the address is free" wait_for 3 leases 2
check "dhclient binds again" dhc -1
kill "$(cat "$T/dhc.pid")" 2>/dev/null
sed -i 's/10\.10\.10\.5[0-9]/10.99.99.9/' "$T/dhc.leases"
: >"$DHC"
check "dhclient with a lease of another network" dhc -1
kill "$(cat "$T/dhc.pid")" 2>/dev/null
check "is told no and starts afresh" grep -q '^BOUND 10.10.10.5' "$DHC"
check "a NAK was sent" jctl ".dhcp.lab.nak >= 1" counters
check "vswitchctl releases a lease" ctl lease release lab "$first"
refute "it is gone" jctl ".[] | select(.address == \"$first\")" lease list
full() { # ten addresses, a dozen clients
	local i
	for i in 1 2 3 4 5 6 7 8 9 a b c; do
		ipn a link set ta down; ipn a link set ta address 52:54:00:00:01:0$i; ipn a link set ta up
		dhcp a ta -t 2 || return 0
	done
	return 1
}
check "a full pool refuses, and does not break" full
check "every address is leased once" jctl '([.[].address] | length) == ([.[].address] | unique | length)' lease list
finish
