#!/bin/bash
# What a gateway and an uplink must not pass on: each frame raises its own counter by one, has the ICMP answer
# that an RFC asks for or none, and nothing of it is seen on the other side. nmap finds no TCP port open
# at the gateway, which serves none.
#
#	g1 10.10.10.51 (t1) --- vswitchd [198.51.100.2 on up0] --- (r0) r 198.51.100.1 --- wan 203.0.113.10
. "$(dirname "$0")/_rfc.sh"
need_root; need_tun; need_scapy; need jq nmap

rfc_start
cat >"$T/bad.py" <<'EOP'
import json, logging, os, subprocess, sys, time
logging.getLogger("scapy").setLevel(logging.ERROR)
from scapy.all import Ether, ICMP, IP, IPerror, Raw, TCP, UDP, fragment, raw
from wire import Wire, enter
g, r = Wire("g1", "t1"), Wire("r", "r0")
enter("sw")
def ctl(*a): return json.loads(subprocess.check_output([os.environ["VSWITCHCTL"], "--json", *a]))
gw_mac, up_mac, kind = sys.argv[1:4]
me, far, up = "10.10.10.51", "203.0.113.10", "198.51.100.2"
E = Ether(src=g.mac.hex(":"), dst=gw_mac)
O = Ether(src=r.mac.hex(":"), dst=up_mac)
pad = Raw(b"evil frame" * 3)
u = UDP(sport=4000, dport=9)
g.send(raw(E / IP(src=me, dst=far) / UDP(sport=4100, dport=9) / pad))
outside = [Ether(x)[UDP].sport for x in r.recv(0.5) if b"evil frame" in x][0]
m = UDP(sport=9, dport=outside)  # to a mapping that lets everyone in
NONE, TTL = None, (11, 0)
cases = [  # what, from where, the frame, the counter, the ICMP that its sender is sent
    ("wrong IPv4 checksum", E / IP(src=me, dst=far, chksum=0x1234) / u / pad, "ip4-checksum", NONE),
    ("spoofed source", E / IP(src="192.0.2.7", dst=far) / u / pad, "gw-spoofed", NONE),
    ("spoofed: the outside's address", E / IP(src=up, dst=far) / u / pad, "gw-spoofed", NONE),
    ("source 0.0.0.0", E / IP(src="0.0.0.0", dst=far) / u / pad, "gw-martian", NONE),
    ("source 127.0.0.1", E / IP(src="127.0.0.1", dst=far) / u / pad, "gw-martian", NONE),
    ("a multicast source", E / IP(src="224.0.0.1", dst=far) / u / pad, "gw-martian", NONE),
    ("to loopback", E / IP(src=me, dst="127.0.0.1") / u / pad, "gw-martian", NONE),
    ("to this network", E / IP(src=me, dst="0.1.2.3") / u / pad, "gw-martian", NONE),
    ("to class E", E / IP(src=me, dst="240.1.2.3") / u / pad, "gw-martian", NONE),
    ("TTL 1", E / IP(src=me, dst=far, ttl=1) / u / pad, "gw-ttl", TTL),
    ("TTL 1, an ICMP error: no answer", E / IP(src=me, dst=far, ttl=1) / ICMP(type=3, code=3) / IPerror(src=far, dst=me) / UDP() / pad, "gw-ttl", NONE),
    ("a closed port of the gateway", E / IP(src=me, dst="10.10.10.1") / UDP(sport=4000, dport=9) / pad, "gw-local-closed", (3, 3)),
    ("TCP of no session", E / IP(src=me, dst=far) / TCP(sport=4000, dport=80, flags="A") / pad, "nat-not-syn", NONE),
    ("a protocol that is not translated", E / IP(src=me, dst=far, proto=99) / pad, "nat-protocol", NONE),
    ("UDP shorter than it says", E / IP(src=me, dst=far) / UDP(sport=4000, dport=9, len=200) / pad, "udp-malformed", NONE),
    ("TCP whose header ends early", E / IP(src=me, dst=far) / TCP(sport=4000, dport=80, flags="S", dataofs=15), "tcp-malformed", NONE),
    ("an ICMP error of no session", E / IP(src=me, dst=far) / ICMP(type=3, code=3) / IPerror(src=far, dst=me) / UDP(sport=9, dport=4321) / pad, "nat-icmp", NONE),
    ("from outside, no mapping", O / IP(src=far, dst=up) / UDP(sport=9, dport=4321) / pad, "nat-no-mapping", NONE),
    ("from outside, to an inside address", O / IP(src=far, dst=me) / u / pad, "gw-not-mine" if kind != "shared" else NONE, NONE),  # shared: the host's
    ("from outside, to a mapping, source 127.0.0.1", O / IP(src="127.0.0.1", dst=up) / m / pad, "gw-martian", NONE),
    ("from outside, to a mapping, a multicast source", O / IP(src="224.0.0.1", dst=up) / m / pad, "gw-martian", NONE),
    ("from outside, to a mapping, a broadcast source", O / IP(src="255.255.255.255", dst=up) / m / pad, "gw-martian", NONE),
    ("from outside, to a mapping, wrong IPv4 checksum", O / IP(src=far, dst=up, chksum=0x1234) / m / pad, "ip4-checksum", NONE),
    ("from outside, TTL 1", O / IP(src=far, dst=up, ttl=1) / m / pad, "gw-ttl", TTL),
    ("from outside, an ICMP error with a wrong checksum", O / IP(src=far, dst=up) / ICMP(type=3, code=3, chksum=0x1234) / IPerror(src=up, dst=far) / UDP(sport=4000, dport=9) / pad, "nat-checksum", NONE),
    ("from outside, an ICMP error of no session", O / IP(src=far, dst=up) / ICMP(type=3, code=3) / IPerror(src=up, dst=far) / UDP(sport=4321, dport=9) / pad, "nat-icmp", NONE),
    ("from outside, UDP shorter than it says", O / IP(src=far, dst=up) / UDP(sport=9, dport=4000, len=200) / pad, "udp-malformed", NONE),
]
def picture():
    have = ctl("counters")["ports"]
    t = {}
    for p in have:
        for d in ("rx_drops", "tx_drops"):
            for k, n in have[p][d].items(): t[k] = t.get(k, 0) + n
    return t
bad = 0
for what, f, why, icmp in cases:
    inside = f[Ether].src == E.src
    mine, other = (g, r) if inside else (r, g)
    g.recv(0.01); r.recv(0.01)
    before = picture()
    mine.send(raw(f))
    leaked = [x for x in other.recv(0.25) if b"evil frame" in x]
    heard = [Ether(x) for x in mine.recv(0.05)]
    errors = [(x[ICMP].type, x[ICMP].code) for x in heard if ICMP in x and x[ICMP].type in (3, 11)]
    gained = {k: n - before.get(k, 0) for k, n in picture().items() if n != before.get(k, 0)}
    ok = gained == ({why: 1} if why else {}) and not leaked and errors == ([icmp] if icmp else [])
    if not ok: print("%s: counted %s, wanted %s; %d leaked; ICMP %s" % (what, gained, why, len(leaked), errors)); bad = 1
    else: print("ok:", what)
sys.exit(bad)
EOP
export VSWITCHCTL
for kind in $KINDS; do
	rfc_kind "$kind"
	gw_mac=$(ipn g1 neigh show 10.10.10.1 | sed -n 's/.*lladdr \([^ ]*\).*/\1/p')
	up_mac=$(ipn r neigh show $OUTSIDE | sed -n 's/.*lladdr \([^ ]*\).*/\1/p')
	check "each bad frame is counted by its name and goes nowhere" "$PY" "$T/bad.py" "$gw_mac" "$up_mac" "$kind"
done
# The inside is the same whatever the uplink.
scan() { on g1 nmap -n -Pn -sS -p- -T5 --max-retries 1 --defeat-rst-ratelimit --open 10.10.10.1 >"$T/nmap" 2>&1; cat "$T/nmap"; grep -q '^Nmap done' "$T/nmap"; }
check "nmap -p- scans the gateway" scan
refute "and finds no port that is open" grep -E '^[0-9]+/tcp +open ' "$T/nmap"
finish
