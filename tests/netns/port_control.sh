#!/bin/bash
# Guests open outside ports to themselves by NAT-PMP and PCP: off by default, each for itself alone, within a
# quota and for a time; who configured the switch comes first.
#
#	a 10.10.10.50 (ta) ---.
#	c by DHCP (tc) --------+
#	b 10.10.10.51 (tb) --- vswitchd --test-clock [203.0.113.2 on up0] --- (w0) 203.0.113.1 wan
. "$(dirname "$0")/_story.sh"
need_root; need_tun; need curl jq nc natpmpc udhcpc

ns $SW
wan
net() { # the nat: map; further keys of the network
	config <<EOC
version: 1
uplinks:
  wan: { type: interface, interface: up0, address: ${OUTSIDE:-203.0.113.2}/24, gateway: 203.0.113.1 }
networks:
  lab: { vlan: 10, mode: ${MODE:-nat}, uplink: wan, subnet: 10.10.10.0/24, $1 }
ports:
  a: { type: tap, interface: ta, network: lab }
  b: { type: tap, interface: tb, network: lab }
  c: { type: tap, interface: tc, network: lab }
EOC
}
reload() { kill -HUP "$DAEMON"; }
net "dns: false"
daemon_start --test-clock
tap_guest a ta 10.10.10.50/24
tap_guest b tb 10.10.10.51/24
tap_guest c tc
for g in a b; do ipn $g route add default via 10.10.10.1; done
web_server a 80
PCP=$HERE/pcp.py
pcp() { on "$1" "$PY" "$PCP" 10.10.10.1 "${@:2}" >"$T/pcp.out"; }
says() { # says GUEST REGEX ARG...: the answer to a PCP request
	pcp "$1" "${@:3}" && grep -qE "^$2\$" "$T/pcp.out" || { cat "$T/pcp.out"; return 1; }
}
pmp() { on "$1" natpmpc -g 10.10.10.1 "${@:2}" >"$T/pmp.out" 2>&1; }
page() { on wan curl -sf -m 2 "http://203.0.113.2:$1/" | grep -q outside; }
mapped() { jctl "[.[] | select(.source != \"config\")] | length == $1" forward list; }
told() { jctl ".port_control.answers.$1 // 0 | . >= $2" net show lab; }

# off
closed() { on a "$PY" -c 'import socket
s = socket.socket(type=socket.SOCK_DGRAM); s.settimeout(2); s.connect(("10.10.10.1", 5351)); s.send(b"\0\0")
try: s.recv(100)
except ConnectionRefusedError: raise SystemExit(0)
raise SystemExit(1)'; }
check "off by default: a closed port like any" closed
check "and counted like one" eval '[ "$(tx_drop gw/lab gw-local-closed)" -ge 1 ]'

# NAT-PMP
net "nat: { port-control: [nat-pmp, pcp], port-control-mappings: 4 }, forward: [ { proto: tcp, listen: ':8022', to: '10.10.10.51:22' } ]"
reload
check "on, after a reload: natpmpc learns the outside address" wait_for 3 pmp a
check "which is the uplink's" grep -q "Public IP address : 203.0.113.2" "$T/pmp.out"
refute "nobody gets in" page 8080
spawn ctl --json events; events=$SPAWN_OUT
watched() { pmp b -a 4001 4001 udp 600; pmp b -a 4001 4001 udp 0; [ -s "$events" ]; }
check "somebody watches events" wait_for 5 watched
check "natpmpc maps a port for 60 s" pmp a -a 8080 80 tcp 60
check "the one it wished, as long as it wished" grep -qE "Mapped public port 8080 protocol TCP to local port 80 liftime 60" "$T/pmp.out"
check "from outside a connection reaches the guest" page 8080
hairpin() { on b curl -sf -m 2 http://203.0.113.2:8080/ | grep -q outside; }
check "from another guest too (hairpin)" hairpin
listed() { jctl '.[] | select(.listen == ":8080") | .network == "lab" and .proto == "tcp" and .to == "10.10.10.50:80" and .source == "nat-pmp" and .expires > 50 and .expires <= 60' forward list; }
check "forward list shows it, whose it is and how long" listed
check "30 s later" ctl clock advance 30
check "it is renewed" pmp a -a 8080 80 tcp 60
check "45 s later" ctl clock advance 45
check "it is still there" page 8080
check "20 s later it has expired" eval 'ctl clock advance 20 && wait_for 3 mapped 0'
refute "and lets nobody in" page 8080
event() { jq -es "any(.[]; .event == \"$1\" and .object == \"lab\" and .text == \"nat-pmp tcp :8080 to 10.10.10.50:80\")" "$events"; }
check "events tell of its beginning" wait_for 2 event mapping-opened
check "and of its end" wait_for 2 event mapping-closed
check "UDP as well" pmp b -a 4000 4000 udp 600
check "deleted by a lifetime of 0" eval 'pmp b -a 4000 4000 udp 0 && mapped 0'
check "a wish below 1024 gets another port" eval 'pmp a -a 22 80 tcp 600 && ! grep -q "public port 22 " "$T/pmp.out"'
check "so does one that a forward has" eval 'pmp a -a 8022 81 tcp 600 && ! grep -q "public port 8022 " "$T/pmp.out" && jctl "any(.[]; .listen == \":8022\" and .source == \"config\")" forward list'
check "all of a guest's at once" eval 'pmp a -a 0 0 tcp 0 && mapped 0'

# PCP
check "ANNOUNCE: which epoch" says a 'SUCCESS 0 [0-9]+ 0 -' announce
check "MAP: the wish, the lifetime, the outside address" says a 'SUCCESS 3600 [0-9]+ 9000 203.0.113.2' map port=80 ext=9000
check "a connection reaches the guest" page 9000
check "the same again is a renewal" says a 'SUCCESS 7200 [0-9]+ 9000 .*' map port=80 ext=9001 life=7200
check "another nonce: not authorized" says a 'NOT_AUTHORIZED 1800 .*' map port=80 nonce=2
check "nor to delete" says a 'NOT_AUTHORIZED .*' map port=80 life=0 nonce=2
check "nor by NAT-PMP" eval '! pmp a -a 9000 80 tcp 0 && page 9000'
check "for another address than one's own: mismatch" says b 'ADDRESS_MISMATCH .*' map port=80 client=10.10.10.50
check "THIRD_PARTY: refused" says b 'NOT_AUTHORIZED .*' map port=81 third=10.10.10.50
check "b cannot have a's port" says b 'SUCCESS 3600 [0-9]+ [0-9]+ .*' map port=80 ext=9000
check "but gets another" eval '! grep -q " 9000 " "$T/pcp.out"'
check "or none, when it prefers" says b 'CANNOT_PROVIDE_EXTERNAL 30 .*' map port=82 ext=9000 prefer
check "PREFER_FAILURE for a forward's" says b 'CANNOT_PROVIDE_EXTERNAL .*' map port=82 ext=8022 prefer
check "PREFER_FAILURE below 1024" says b 'CANNOT_PROVIDE_EXTERNAL .*' map port=82 ext=80 prefer
check "PREFER_FAILURE of a free one" says b 'SUCCESS .* 9002 .*' map port=82 ext=9002 prefer
check "FILTER: said to be unsupported" says b 'UNSUPP_OPTION .*' map port=83 filter=198.51.100.0/24
check "PEER too" says b 'UNSUPP_OPCODE .*' peer
check "no longer than a day" says b 'SUCCESS 86400 .*' map port=82 ext=9002 life=999999
check "no shorter than two minutes" says b 'SUCCESS 120 .*' map port=82 ext=9002 life=1
check "b deletes what it has" eval 'says b "SUCCESS 0 .*" map port=82 life=0 && says b "SUCCESS 0 .*" map port=80 life=0'
check "a's is untouched" page 9000
for p in 81 82 83; do check "a has port $p mapped" says a 'SUCCESS .*' map port=$p; done
check "the fifth is beyond the quota" says a 'USER_EX_QUOTA 30 .*' map port=84
check "b has its own quota" says b 'SUCCESS .*' map port=84
check "the quota is counted" told USER_EX_QUOTA 1
malformed() { [ "$(tx_drop gw/lab svc-malformed)" -ge "$1" ]; }
refute "a datagram that is none has no answer" pcp a announce bytes=02
check "and is counted" malformed 1
check "one cut short is answered" says a 'MALFORMED_REQUEST .*' announce bytes=0201000000000000

# people come first
check "a forward takes a guest's port" eval 'ctl forward add lab tcp :9000 10.10.10.51:80 && mapped 4 && jctl "any(.[]; .listen == \":9000\" and .source == \"config\")" forward list'
refute "the guest's is gone" page 9000
check "the forward is deleted" ctl forward del lab tcp :9000 --kill
check "the guest may have it again" says a 'SUCCESS .* 9000 .*' map port=80 ext=9000
check "people delete a guest's" ctl forward del lab tcp :9000
refute "nobody gets in" page 9000
check "and it is mapped again" says a 'SUCCESS .* 9000 .*' map port=80 ext=9000

# a port that is outside already, and an address that changes hands
implicit() { on b "$PY" - "$PCP" <<'EOP'
import socket, subprocess, sys
s = socket.socket(type=socket.SOCK_DGRAM); s.settimeout(2); s.bind(("", 4500)); s.sendto(b"x", ("203.0.113.1", 7777))
outside = s.recv(100).decode().split(":")[1]
got = subprocess.run([sys.executable, sys.argv[1], "10.10.10.1", "map", "proto=17", "port=4500"], capture_output=True, text=True).stdout.split()
s.sendto(b"x", ("203.0.113.1", 7778)) # another remote sees the same
other = s.recv(100).decode().split(":")[1]
print(outside, got, other)
sys.exit(not outside == got[3] == other)
EOP
}
for p in 7777 7778; do
	spawn on wan "$PY" -c 'import socket, sys
s = socket.socket(type=socket.SOCK_DGRAM); s.bind(("", int(sys.argv[1])))
while True:
    d, a = s.recvfrom(9000); s.sendto(("%s:%d" % a).encode(), a)' $p
	wait_for 3 listening_udp wan $p
done
check "a socket that has spoken gets the port it spoke by" implicit
check "it is deleted" says b 'SUCCESS 0 .*' map proto=17 port=4500 life=0
check "c takes a lease" dhcp c tc
check "and maps a port" says c 'SUCCESS .* 9300 .*' map port=80 ext=9300
C=$(lease_word c ip)
ipn b addr add "$C/32" dev tb
refute "b, who speaks with c's address, has no answer" says b '.*' map port=90 src="$C"
ipn b addr del "$C/32" dev tb
check "and is counted" test "$(tx_drop gw/lab gw-spoofed)" -ge 1
refute "nothing is mapped to c by it" jctl "any(.[]; .to == \"$C:90\")" forward list
check "its lease ends" ctl lease release lab "$(lease_word c ip)"
check "so does its mapping" jctl 'all(.[]; .listen != ":9300")' forward list

# what ends all
epoch() { pcp a announce && cut -d' ' -f3 "$T/pcp.out"; }
check "the epoch runs" eval 'ctl clock advance 50 && [ "$(epoch)" -ge 50 ]'
check "established connections" eval 'spawn on wan nc -d 203.0.113.2 9000; wait_for 3 jctl "any(.[]; .outside == \"203.0.113.2:9000\")" nat list'
net "nat: { port-control: nat-pmp, port-control-mappings: 4 }"
reload
check "PCP is taken away: its mappings and their connections end at once" wait_for 3 eval 'mapped 0 && jctl "all(.[]; .outside != \"203.0.113.2:9000\")" nat list'
check "NAT-PMP goes on" pmp a -a 9100 80 tcp 600
check "and works" page 9100
check "PCP is told which version there is" says a 'NAT-PMP 1' announce
OUTSIDE=203.0.113.3 net "nat: { port-control: [nat-pmp, pcp], port-control-mappings: 4 }"
reload
check "another outside address: all mappings are lost" wait_for 3 mapped 0
check "which the epoch says" eval '[ "$(epoch)" -lt 50 ]'
check "the new address is told" says a 'SUCCESS .* 203.0.113.3' map port=80
MODE=routed net "dns: false"
reload
check "another mode: all are gone" wait_for 3 mapped 0
check "the port is closed" closed
MODE=nat-per-vm net "dns: false, nat: { port-control: [nat-pmp, pcp] }"
reload
vm() { on "$1" natpmpc -g 10.10.10.2 "${@:2}" >"$T/pmp.out" 2>&1; }
ipn b addr flush dev tb
ipn b addr add 10.10.10.50/24 dev tb
for g in a b; do ipn $g route replace default via 10.10.10.2; done
spawn on b "$PY" -u "$HERE/web.py" "$T" 0.0.0.0 80
wait_for 5 listening b 80
check "nat-per-vm: a guest maps a port" wait_for 3 vm a -a 9400 80 tcp 600
check "another one of the same address maps its own" vm b -a 9401 80 tcp 600
outside3() { on wan curl -sf -m 2 "http://203.0.113.2:$1/" | grep -q outside; }
check "the one is reached" outside3 9400
refute "by the other's the other" outside3 9401
check "each is listed with its port" jctl '[.[] | [.listen, .port]] | sort == [[":9400", "a"], [":9401", "b"]]' forward list
check "each deletes its own only" eval 'vm b -a 0 0 tcp 0 && mapped 1 && outside3 9400'
check "a port goes" ctl port del a
check "its mapping too" mapped 0
MODE=nat net "dns: false"
sed -i 's/uplink: wan/uplink: host/; /^  wan:/a \  host: { type: host }' "$CONFIG"
sed -i 's/dns: false/nat: { port-control: pcp }/' "$CONFIG"
refuses() { on $SW "$VSWITCHD" -n -c "$CONFIG" 2>&1 | grep -q "does not go through uplink 'host'"; }
check "through the host's sockets it is refused, and why" refuses
finish
