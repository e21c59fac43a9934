#!/bin/bash
# What a guest can open of the switch and its host, and what it cannot: every TCP port and a thousand UDP
# ports of the gateway, and what the host serves on its loopback, through the `host` uplink, where 192.0.0.1 is the host once `loopback: true` opens it.
#
#	v 10.0.2.15 (tv, nat-per-vm) --- [10.0.2.2] ---.
#	a 10.10.10.50 (ta, nat) --- [10.10.10.1] --- vswitchd in `sw` ==veth== (w0) 203.0.113.1 wan
#	    sw serves 127.0.0.1:9999 (TCP) and 127.0.0.1:9998 (UDP)
. "$(dirname "$0")/_story.sh"
need_root; need_tun; need curl jq nmap nc

ns $SW
wan
ipn $SW addr add 203.0.113.2/24 dev up0
write() { cat <<EOC | config
version: 1
uplinks:
  host: { type: host, loopback: $1 }
networks:
  own: { vlan: 10, mode: nat-per-vm, uplink: host }
  lab: { vlan: 20, mode: nat, uplink: host, subnet: 10.10.10.0/24 }
ports:
  v: { type: tap, interface: tv, network: own }
  a: { type: tap, interface: ta, network: lab }
EOC
}
# A page and a UDP service, on loopback.
mkdir -p "$T/www" && echo secret >"$T/www/index.html"
spawn on $SW "$PY" -u "$HERE/web.py" "$T/www" 127.0.0.1 9999; private=$SPAWN_OUT
spawn on $SW "$PY" -c 'import socket
s = socket.socket(type=socket.SOCK_DGRAM); s.bind(("127.0.0.1", 9998))
while True:
    d, a = s.recvfrom(9000); s.sendto(b"secret", a)'
wait_for 5 listening $SW 9999
wait_for 5 listening_udp $SW 9998
check "the host itself is served" on $SW curl -sf -m 3 http://127.0.0.1:9999/

write false
daemon_start
no_tcp() { on $SW ss -H -ltnp >"$T/ss" && grep -q :9999 "$T/ss" && ! grep vswitchd "$T/ss"; }
check "the daemon listens on no TCP port: its control socket is a file" no_tcp
tap_guest v tv 10.0.2.15/24; ipn v route add default via 10.0.2.2
tap_guest a ta 10.10.10.50/24; ipn a route add default via 10.10.10.1
web_server wan 8000
check "a guest of its own appliance is outside" on v curl -sf -m 5 http://203.0.113.1:8000/
check "so is one of a network" on a curl -sf -m 5 http://203.0.113.1:8000/

# scan GUEST ADDRESS WHAT...: what nmap finds open, on one line
scan() {
	on "$1" nmap -n -Pn -sS -T5 --max-retries 1 --defeat-rst-ratelimit "${@:3}" -oG "$T/scan.out" "$2" >/dev/null 2>&1
	grep -o '[0-9]*/open/[a-z]*' "$T/scan.out" | sed 's,/open/,/,' | sort | tr '\n' ' '
}
seen() { [ "$(scan a 203.0.113.1 -p 7999-8001)" = "8000/tcp " ] || { cat "$T/scan.out"; return 1; }; }
check "nmap sees a port that is open" seen
closed() { [ -z "$(scan "$1" "$2" -p-)" ] && grep -q "Nmap done" "$T/scan.out" || { cat "$T/scan.out"; return 1; }; }
check "no TCP port of the appliance is open" closed v 10.0.2.2
check "nor of the network's gateway" closed a 10.10.10.1

# UDP: a datagram to each port; `said` are those that answer anything at all.  To DNS it is a question.
cat >"$T/udp.py" <<'EOP'
import select, socket, sys
query = bytes.fromhex("1234010000010000000000000667617465776179036c616208696e7465726e616c0000010001")
said, socks = set(), []
for port in list(range(1, 1025)) + [1900, 5350, 5351, 5353, 9998, 9999]:
    s = socket.socket(type=socket.SOCK_DGRAM); s.connect((sys.argv[1], port)); s.send(query); socks.append((s, port))
    for s, port in [x for x in socks if len(socks) >= 64 or x[1] == 9999]:
        if select.select([s], [], [], 0.02)[0]:
            try: s.recv(2048); said.add(port)
            except OSError: pass
        s.close()
    if len(socks) >= 64: socks = []
print("said", *sorted(said))
EOP
udp_ports() { on "$1" timeout 60 "$PY" "$T/udp.py" "$2" >"$T/udp.out" 2>&1; cat "$T/udp.out"; grep -qx 'said 53' "$T/udp.out"; }
check "of UDP only DNS answers at 10.0.2.2" udp_ports v 10.0.2.2
check "and at 10.0.2.3" udp_ports v 10.0.2.3
check "and at the network's gateway" udp_ports a 10.10.10.1

# What the host serves on its loopback, by every address that could lead there.
for g in "v tv" "a ta"; do
	set -- $g
	for to in 192.0.0.1 10.0.2.2 127.0.0.1 203.0.113.2; do
		refute "$1 does not reach the host's loopback at $to" on "$1" curl -sf -m 1 --interface "$2" "http://$to:9999/"
	done
	ask() { echo hi | on "$1" nc -u -w 1 "$2" 9998 | grep -q secret; }
	for to in 192.0.0.1 10.0.2.2 203.0.113.2; do
		refute "$1 gets no UDP from it at $to" ask "$1" $to
	done
done
once() { [ "$(grep -c GET "$private")" = 1 ]; }
check "its one visitor was the host" once
check "the books" books
daemon_stop
write true
daemon_start
ip netns del "$PREFIX-a"; tap_guest a ta 10.10.10.50/24
ipn a route add default via 10.10.10.1
check "with loopback: true the same request gets there" on a curl -sf -m 3 http://192.0.0.1:9999/
check "and the same datagram" ask a 192.0.0.1
finish
