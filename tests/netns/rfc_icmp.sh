#!/bin/bash
# ICMP through the NAT with real clients: echo with equal ids, every traceroute, path MTU, errors about
# translated packets judged by tshark, TCP's from the same port to two servers.  The topology is in _rfc.sh.
. "$(dirname "$0")/_rfc.sh"
need_root; need_tun; need jq curl traceroute mtr tracepath tshark ethtool

rfc_start
on wan ethtool -K w0 tx off >/dev/null
web_server wan 8000
hops() { # TEXT of hops wanted in what was printed
	cat "$T/trace"
	grep -q "10\.10\.10\.1" "$T/trace" && grep -q "198\.51\.100\.1" "$T/trace" && grep -q "203\.0\.113\.10" "$T/trace"
}
trace() { on g1 traceroute -n -q 1 -w 2 -N 1 "$@" 203.0.113.10 >"$T/trace" 2>&1; hops; }
mtr_() { on g1 mtr -n -r -c 1 -G 2 -Z 2 "$@" 203.0.113.10 >"$T/trace" 2>&1; hops; }
sniff() { # what comes and goes at g1, into $T/g1.pcap
	spawn on g1 tcpdump -U -i t1 -w "$T/g1.pcap"
	wait_for 5 grep -q listening "$SPAWN_OUT"
}
faulty() { # FILTER: UDP ports of frames that tshark finds fault with
	tshark -r "$T/g1.pcap" -o ip.check_checksum:TRUE -o udp.check_checksum:TRUE -o tcp.check_checksum:TRUE \
		-Y "($1) && (ip.checksum.status == \"Bad\" || icmp.checksum.status == \"Bad\" || udp.checksum.status == \"Bad\" || tcp.checksum.status == \"Bad\" || _ws.malformed)" \
		-T fields -E header=n -E quote=d -e udp.dstport 2>/dev/null | sed 's/^/port /' | sort -u
}
# But those that quote a frame which left g1 so: that is no fault of the NAT's.
ill_formed() { comm -23 <(faulty 'ip.dst == 10.10.10.51') <(faulty 'ip.src == 10.10.10.51 && udp && !icmp'); }
quoting() { tshark -r "$T/g1.pcap" -Y "$1" 2>/dev/null | grep -q .; }

for kind in $KINDS; do
	rfc_kind "$kind"
	on g1 ethtool -K t1 tx off >/dev/null # whole checksums, which a capture can judge
	spawn on g1 ping -n -e 4242 -c 5 -i 0.2 -W 2 203.0.113.10; p1=$SPAWNED o1=$SPAWN_OUT
	spawn on g2 ping -n -e 4242 -c 5 -i 0.2 -W 2 203.0.113.10; p2=$SPAWNED o2=$SPAWN_OUT
	wait "$p1"; wait "$p2"
	check "two guests ping with one id" grep -q ' 0% packet loss' "$o1"
	check "both have all answers" grep -q ' 0% packet loss' "$o2"
	shows RFC5508 REQ-1
	echo_lives() { jctl "any(.[]; .proto == \"icmp\" and (.inside | startswith(\"10.10.10.51\")) and .expires > 0)" nat list; }
	check "59 s later the session is there" eval 'ctl clock advance 58 && echo_lives'
	shows RFC5508 REQ-2
	sniff; dump=$SPAWNED
	check "traceroute -I names every hop" trace -I
	check "traceroute -U" trace -U
	check "traceroute -T" trace -T -p 8000
	check "mtr by ICMP" mtr_
	check "mtr by UDP" mtr_ -u
	check "mtr by TCP" mtr_ -T -P 8000
	shows RFC5508 REQ-10
	port_unreachable() { on g1 "$PY" -c 'import socket
s = socket.socket(type=socket.SOCK_DGRAM); s.settimeout(3); s.connect(("203.0.113.10", 9)); s.send(b"x")
try: s.recv(9); raise SystemExit(1)
except ConnectionRefusedError: pass'; }
	check "a closed UDP port outside refuses the guest's socket" port_unreachable
	check "the session is still there" jctl 'any(.[]; .proto == "udp" and .remote == "203.0.113.10:9")' nat list
	shows RFC4787 REQ-12; shows RFC4787 REQ-12b; shows RFC5508 REQ-6
	sleep 0.3; end_spawned "$dump"
	check "errors quote what the guest has sent" quoting 'icmp.type == 11 && ip.src == 198.51.100.1 && ip.src == 10.10.10.51 && ip.dst == 203.0.113.10'
	check "and tshark finds no fault with any" test -z "$(ill_formed)"
	shows RFC5508 REQ-4; shows RFC5382 REQ-9

	ipn r link set r1 mtu 1400
	ipn wan link set w0 mtu 1400
	ipn g1 route flush cache
	check "ping -M do is told the path's MTU" eval 'on g1 ping -n -M do -s 1472 -c 2 -W 2 203.0.113.10 2>&1 | grep -i "mtu *= *1400"'
	shows RFC5382 REQ-9
	check "tracepath finds it" eval 'on g1 tracepath -n 203.0.113.10 | grep -q "pmtu 1400"'
	ipn g1 route flush cache
	head -c 3000000 /dev/urandom >"$T/www/big"
	check "and TCP fits it" eval 'on g1 curl -sf -m 20 http://203.0.113.10:8000/big | cmp - "$T/www/big"'
	ipn r link set r1 mtu 1500
	ipn wan link set w0 mtu 1500
	ipn g1 route flush cache

	narrow() { # MTU of the uplink itself
		ipn r link set r0 mtu "$1"
		if [ "$kind" = network ]; then ctl net set office mtu "$1"; else ipn $SW link set up0 mtu "$1"; fi
	}
	check "the uplink's own MTU gets smaller" narrow 1300
	check "the gateway says so to what must not be cut" eval 'on g1 ping -n -M do -s 1372 -c 2 -W 2 203.0.113.10 2>&1 | grep -i "from 10.10.10.1 .*mtu *= *1300"'
	shows RFC4787 REQ-13
	ipn g1 route flush cache
	# the answer has DF: its sender learns first
	check "and cuts what may be" on g1 ping -n -M dont -s 1372 -c 3 -i 0.3 -W 2 203.0.113.10
	shows RFC4787 REQ-13a
	check "it gets wide again" narrow 1500
	check "and whole packets pass" on g1 ping -n -M do -s 1472 -c 1 -W 2 203.0.113.10

	ping_outside() { on g1 ping -n -c 1 -W 2 $OUTSIDE; }
	check "the uplink's own address answers g1" ping_outside

	# g2 has a mapping and no socket any more; g1 sends to it by the outside address.
	cat >"$T/hairpin.py" <<-'EOP'
	import socket
	from wire import enter
	def udp(ns, addr):
	    enter(ns); s = socket.socket(type=socket.SOCK_DGRAM); s.bind(addr); s.settimeout(3); return s
	w, g2, g1 = udp("wan", ("203.0.113.10", 0)), udp("g2", ("", 0)), udp("g1", ("", 0))
	g2.sendto(b"out", w.getsockname())
	outside = w.recvfrom(100)[1]
	g2.close()
	g1.connect(outside); g1.send(b"x")
	try: g1.recv(9); raise SystemExit(1)
	except ConnectionRefusedError: pass
	EOP
	check "an ICMP error comes back through the hairpin" "$PY" "$T/hairpin.py"
	shows RFC5508 REQ-7; shows RFC5508 REQ-7a; shows RFC7857 12

	two_servers() { on g1 "$PY" -c 'import socket
for a in "203.0.113.10", "203.0.113.11":
    s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("", 3333)); s.settimeout(3)
    s.connect((a, 8000)); s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"); s.close()'; }
	check "TCP from one port to two servers" two_servers
	check "has one outside port" jctl '[.[] | select(.proto == "tcp" and .inside == "10.10.10.51:3333") | .outside] | length == 2 and (unique | length) == 1' nat list
	shows RFC5382 REQ-1
done
finish
