#!/bin/bash
# A malformed frame of any layer raises its own counter, by one, at the port it came from, and goes nowhere.
#
#	x: a script on x.dgram --- vswitchd (network lab with gateway) --- (tb) b
. "$(dirname "$0")/_story.sh"
need_root; need_tun; need_scapy; need jq

ns $SW
config <<EOC
version: 1
uplinks:
  host: { type: host }
networks:
  lab: { vlan: 10, mode: nat, uplink: host, subnet: 10.10.10.0/24 }
ports:
  x: { type: dgram, socket: $T/x.dgram, network: lab }
  b: { type: tap, interface: tb, network: lab }
EOC
daemon_start
tap_guest b tb 10.10.10.20/24
cat >"$T/malformed.py" <<'EOP'
import json, os, socket, subprocess, sys, time
import logging
logging.getLogger("scapy").setLevel(logging.ERROR)
from scapy.all import ARP, Dot1Q, Ether, ICMP, IP, IPv6, IPv6ExtHdrFragment, Raw, TCP, UDP, raw
from wire import Wire
b = Wire("b", "tb")
me, dst = "02:00:00:00:00:07", b.mac.hex(":")
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind(sys.argv[2]); s.setsockopt(1, 7, 1 << 20); s.connect(sys.argv[1])
def counters(): return json.loads(subprocess.check_output([os.environ["VSWITCHCTL"], "--json", "counters"]))["ports"]
def mine(c):
    total = {}
    for name, p in c.items():
        for r, n in p["rx_drops"].items():
            if name.split("/")[0] == "x": total[r] = total.get(r, 0) + n
    return total
E = lambda **k: Ether(src=me, dst=k.pop("dst", dst), **k)
I = lambda **k: IP(src="10.10.10.30", dst=k.pop("dst", "10.10.10.20"), **k)
pad = Raw(bytes(30))
def cut(p, n): return raw(p)[:n]
def patch(p, at, *bytes_):
    f = bytearray(raw(p))
    f[at:at + len(bytes_)] = bytes(bytes_)
    return bytes(f)
def sum4(f):  # with a right IPv4 checksum again
    f = bytearray(f); f[24:26] = b"\0\0"
    n = (f[14] & 15) * 4; t = sum(int.from_bytes(f[14 + i:16 + i], "big") for i in range(0, n, 2))
    while t >> 16: t = (t & 0xFFFF) + (t >> 16)
    f[24:26] = (~t & 0xFFFF).to_bytes(2, "big"); return bytes(f)
tcp, udp, icmp = E() / I() / TCP() / pad, E() / I() / UDP(dport=9) / pad, E() / I() / ICMP() / pad
cases = [
    ("rx-runt", b"\x02" * 10),
    ("rx-oversize", raw(E(type=0x88B5)) + bytes(70000)),
    ("rx-truncated", raw(E(type=0x88B5)) + bytes(80000)),  # more than is read at all
    ("eth-src-group", raw(Ether(src="03:00:00:00:00:07", dst=dst, type=0x88B5) / pad)),
    ("eth-src-zero", raw(Ether(src="00:00:00:00:00:00", dst=dst, type=0x88B5) / pad)),
    ("eth-length", raw(E(type=0x0400) / pad)),
    ("eth-control", raw(E(dst="01:80:c2:00:00:00", type=0x88B5) / pad)),
    ("vlan-reserved", raw(E() / Dot1Q(vlan=4095, type=0x88B5) / pad)),
    ("vlan-tagged", raw(E() / Dot1Q(vlan=10, type=0x88B5) / pad)),
    ("vlan-truncated", cut(E() / Dot1Q(vlan=10, type=0x88B5), 16)),
    ("arp-malformed", cut(E() / ARP(psrc="10.10.10.30", pdst="10.10.10.20"), 30)),
    ("arp-malformed", patch(E() / ARP(psrc="10.10.10.30", pdst="10.10.10.20") / pad, 18, 9)),
    ("ip4-truncated", cut(udp, 30)),
    ("ip4-truncated", sum4(patch(udp, 16, 4, 0))),
    ("ip4-header", patch(udp, 14, 0x44)),
    ("ip4-header", patch(udp, 14, 0x65)),
    ("ip4-checksum", patch(udp, 24, 0x12, 0x34)),
    ("ip4-fragment", raw(E() / I(frag=8191, proto=17) / Raw(bytes(100)))),
    ("ip6-truncated", cut(E() / IPv6(dst="fd00::1") / UDP() / pad, 40)),
    ("ip6-header", patch(E() / IPv6(dst="fd00::1") / UDP() / pad, 14, 0x50)),
    ("ip6-fragment", raw(E() / IPv6(dst="fd00::1") / IPv6ExtHdrFragment(offset=8191, nh=17) / Raw(bytes(104)))),
    ("tcp-malformed", sum4(patch(cut(tcp, 14 + 20 + 12), 16, 0, 32))),
    ("tcp-malformed", patch(tcp, 14 + 20 + 12, 0x10)),
    ("udp-malformed", sum4(patch(cut(udp, 14 + 20 + 6), 16, 0, 26))),
    ("udp-malformed", patch(udp, 14 + 20 + 4, 0, 3)),
    ("icmp-malformed", sum4(patch(cut(icmp, 14 + 20 + 4), 16, 0, 24))),
]
bad = []
# so that x is a member port, and known
s.send(raw(E(type=0x88B5) / pad)); b.recv(0.2)
for why, f in cases:
    before = counters()
    s.send(f)
    leaked = b.recv(0.1)
    after = counters()
    gained = {r: n - mine(before).get(r, 0) for r, n in mine(after).items() if n != mine(before).get(r, 0)}
    if gained != {why: 1}: bad.append("%s: counted %s (%s...)" % (why, gained, f[:50].hex()))
    if leaked: bad.append("%s: forwarded: %s" % (why, leaked[0][:60].hex()))
# What only the services can judge is lost at the gateway's port, and counted by them as well.
def services():
    c = json.loads(subprocess.check_output([os.environ["VSWITCHCTL"], "--json", "counters"]))
    p = c["ports"]["gw/lab"]
    return {"dhcp": c["dhcp"]["lab"]["malformed"], "dns": c["dns"]["malformed"],
            "gw": p["tx_drops"].get("svc-malformed", 0), "sent": p["tx_packets"], "offered": p["offered"]}
gw = sys.argv[3]
discover = Ether(src=me, dst="ff:ff:ff:ff:ff:ff") / IP(src="0.0.0.0", dst="255.255.255.255") / UDP(sport=68, dport=67)
query = Ether(src=me, dst=gw) / I(dst="10.10.10.1") / UDP(sport=4000, dport=53)
for who, f in [
    ("dhcp", raw(discover / Raw(b"\x01\x01\x06\x00" + bytes(20)))),  # ends inside its header
    ("dhcp", raw(discover / Raw(b"\x02\x01\x06\x00" + bytes(236)))),  # a reply, to a server
    ("dhcp", raw(discover / Raw(b"\x01\x01\x06\x00" + bytes(2000)))),  # longer than any message
    ("dns", raw(query / Raw(b"\0\1\x81\x80" + bytes(8)))),  # an answer nobody asked for
    ("dns", raw(query / Raw(b"\0\1\1"))),  # ends inside its header
    ("dns", patch(query / Raw(b"\0\1\1\0\0\1\0\0\0\0\0\0\1a\0\0\1\0\1"), 40, 0x12, 0x34)),  # a wrong checksum
]:
    # many, so that what waits between main and worker is seen to be merged, not lost
    for n in (1, 50):
        before = services()
        for _ in range(n): s.send(f)
        deadline = time.monotonic() + 5
        while True:
            after = services()
            if after[who] == before[who] + n or time.monotonic() > deadline: break
        gained = {k: after[k] - before[k] for k in after if after[k] != before[k]}
        if gained != {who: n, "gw": n, "offered": n}: bad.append("%s: %d malformed, counted %s" % (who, n, gained))
b.recv(0.2)  # the broadcasts among them
s.send(raw(E(type=0x88B5) / Raw(b"good one" + bytes(40))))
if not any(b"good one" in f for f in b.recv(0.3)): bad.append("a good frame no longer passes")
print("\n".join(bad))
sys.exit(bool(bad))
EOP
export VSWITCHCTL
check "each of them" "$PY" "$T/malformed.py" "$T/x.dgram" "$T/x.peer" "$(jctl '.[] | select(.port == "gw/lab") | .mac' mac list)"
finish
