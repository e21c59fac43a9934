#!/bin/bash
# What the NAT does with packets that are not plain TCP and UDP: fragments in any order (RFC 4787 REQ-14), overlapping
# ones, GRE by address pair, a SYN that nobody has asked for (RFC 5382 REQ-4), and a guest over its quotas.
#
#	a, b (taps) --- vswitchd --test-clock [203.0.113.2 on up0] --- (w0) 203.0.113.1 wan
. "$(dirname "$0")/_story.sh"
need_root; need_tun; need_scapy; need jq

ns $SW
wan
net() { cat <<EOC
version: 1
uplinks:
  wan: { type: interface, interface: up0, address: 203.0.113.2/24, gateway: 203.0.113.1 }
networks:
  lab: { vlan: 10, mode: nat, uplink: wan, subnet: 10.10.10.0/24, nat: { filtering: address-dependent$1 } }
ports:
  a: { type: tap, interface: ta, network: lab }
  b: { type: tap, interface: tb, network: lab }
EOC
}
net "" | config
daemon_start --test-clock
tap_guest a ta 10.10.10.50/24; tap_guest b tb 10.10.10.51/24
ipn a route add default via 10.10.10.1
ipn b route add default via 10.10.10.1
dropped() { jctl ".drops[\"$1\"] // 0 | . >= $2" counters; }

check "an echo of 4000 bytes goes out and comes back in fragments" pings a 203.0.113.1 -s 4000
check "and one of 30000 bytes" pings a 203.0.113.1 -s 30000
for size in 1473 3000 30000 65507; do
	check "the gateway answers one of $size bytes" pings a 10.10.10.1 -s $size
done

# Speaks UDP from :9000 of the world; what it hears, and from where, is a line in heard.
cat >"$T/world.py" <<'EOP'
import socket, sys
s = socket.socket(type=socket.SOCK_DGRAM); s.bind(("203.0.113.1", 9000))
while True:
    d, (a, p) = s.recvfrom(65535)
    with open(sys.argv[1], "a") as f: print(len(d), a, p, d[:4].decode(), file=f)
EOP
spawn on wan "$PY" "$T/world.py" "$T/heard"
wait_for 3 listening_udp wan 9000
# pieces.py SRC:SPORT DST:DPORT WORD ORDER [overlap]: 3000 bytes of UDP in three fragments, sent in this order
cat >"$T/pieces.py" <<'EOP'
import sys
from scapy.all import IP, UDP, Raw, fragment, send, conf
conf.verb = 0
(src, sport), (dst, dport) = (x.split(":") for x in sys.argv[1:3])
p = IP(src=src, dst=dst, id=int(sys.argv[5])) / UDP(sport=int(sport), dport=int(dport)) / Raw(sys.argv[3].encode() * 750)
f = fragment(IP(bytes(p)), 1000)
if len(sys.argv) > 6:
    f[1] = IP(bytes(f[1])); f[1].frag -= 1; del f[1].chksum
for i in sys.argv[4]: send(f[int(i)])
EOP
pieces() { on "$1" "$PY" "$T/pieces.py" "${@:2}"; }
heard() { grep -q "^3000 203.0.113.2 [0-9]* $1" "$T/heard"; }
id=100
for order in 0123 3210 2031 1302; do
	check "fragments in the order $order leave" pieces a 10.10.10.50:4100 203.0.113.1:9000 "o${order:0:3}" $order $((id++))
	check "and are whole outside" wait_for 3 heard "o${order:0:3}"
done
outside=$(awk '{ print $3; exit }' "$T/heard")
cat >"$T/guest.py" <<'EOP'
import socket, sys
s = socket.socket(type=socket.SOCK_DGRAM); s.bind(("", 4100))
while True:
    d, a = s.recvfrom(65535)
    with open(sys.argv[1], "a") as f: print(len(d), *a, d[:4].decode(), file=f)
EOP
spawn on a "$PY" "$T/guest.py" "$T/guest"
wait_for 3 listening_udp a 4100
got() { grep -q "^3000 203.0.113.1 9000 $1" "$T/guest"; }
for order in 3210 1302; do
	check "fragments in the order $order come in" pieces wan 203.0.113.1:9000 203.0.113.2:"$outside" "i${order:0:3}" $order $((id++))
	check "and are whole inside" wait_for 3 got "i${order:0:3}"
done
shows RFC4787 REQ-14
check "overlapping fragments" pieces a 10.10.10.50:4100 203.0.113.1:9000 evil 0123 $((id++)) overlap
check "are dropped and counted" dropped nat-frag-overlap 1
refute "and not whole outside" heard evil
check "fragments without a first" pieces a 10.10.10.50:4100 203.0.113.1:9000 lost 123 $((id++))
refute "are held" dropped nat-fragment 1
check "for half a minute" ctl clock advance 31
check "and then counted" wait_for 3 dropped nat-fragment 3

gre() { on "$1" "$PY" -c 'import sys; from scapy.all import *; send(IP(src=sys.argv[1], dst="203.0.113.1") / GRE() / IP(src="10.9.9.9", dst="10.9.9.8"), verbose=0)' "$2"; }
check "GRE of a" gre a 10.10.10.50
check "is a session of two addresses" jctl 'any(.[]; .proto == "gre" and .inside == "10.10.10.50" and .outside == "203.0.113.2" and .remote == "203.0.113.1")' nat list
check "GRE of b to the same remote" gre b 10.10.10.51
check "is refused by name" wait_for 3 dropped nat-pair 1

spawn on wan "$PY" -c 'import errno, socket, sys
s = socket.socket(); s.settimeout(60)
try: s.connect(("203.0.113.2", 4321)); why = "connected"
except OSError as e: why = errno.errorcode.get(e.errno, str(e))
open(sys.argv[1], "w").write(why)' "$T/syn"
check "a SYN from outside that nobody has asked for" wait_for 3 dropped nat-no-mapping 1
check "5 s later" ctl clock advance 5
refute "has no answer" test -s "$T/syn"
check "after 6 s" ctl clock advance 2
answered() { [ "$(cat "$T/syn" 2>/dev/null)" = ECONNREFUSED ]; }
check "it is told that nobody is there" wait_for 3 answered
shows RFC5382 REQ-4

many() { on "$1" "$PY" -c 'import socket
for i in range(100):
    s = socket.socket(type=socket.SOCK_DGRAM); s.bind(("", 20000 + i)); s.sendto(b"x", ("203.0.113.1", 10000))'; }
quota() {
	net ", $2" | config
	check "a quota, by reload: $2" ctl config apply
	ctl nat flush >/dev/null
	check "a opens 100 mappings" many a
	check "and meets it" wait_for 3 dropped "$1" 1
	check "b does not" pings b 203.0.113.1
}
# the uplink gets another address under a connection that only listens
web() { on wan "$PY" -c 'import socket, time
l = socket.create_server(("203.0.113.1", 7000)); c, _ = l.accept(); time.sleep(60)'; }
spawn web
wait_for 3 listening wan 7000
spawn on a "$PY" -c 'import errno, socket, sys
s = socket.create_connection(("203.0.113.1", 7000)); s.settimeout(50)
try: s.recv(1); why = "end"
except OSError as e: why = errno.errorcode.get(e.errno, str(e))
open(sys.argv[1], "w").write(why)' "$T/stale"
connected() { jctl 'any(.[]; .remote == "203.0.113.1:7000" and .state == "established")' nat list; }
check "a is connected and says nothing" wait_for 3 connected
net "" | sed 's/203.0.113.2/203.0.113.7/' | config
check "the uplink gets another address" ctl config apply
told() { [ "$(cat "$T/stale" 2>/dev/null)" = ECONNRESET ]; }
check "a is told at once" wait_for 3 told
net "" | config
check "the address of before" ctl config apply

quota nat-port-quota "ports-per-guest: 50"
quota nat-mappings "mappings-per-guest: 60"
quota nat-rate "new-sessions-per-second: 20"
finish
