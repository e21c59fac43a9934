#!/bin/bash
# Access, trunk and native VLANs, frame by frame.
#
#	a: access lab (10)   o: access office (30)   t: trunk lab, office, 100-110, native office
#	u: trunk lab, 105 without native
#	n: a switch's cable (n0) ==veth== (e1), trunk lab, office, native office; its tags come beside the frame
. "$(dirname "$0")/_story.sh"
need_root; need_tun; need jq

ns $SW
config <<EOC
version: 1
networks:
  lab: { vlan: 10, mode: internal }
  office: { vlan: 30, mode: internal }
ports:
  a: { type: tap, interface: ta, network: lab }
  o: { type: tap, interface: tof, network: office }
  t: { type: tap, interface: tt, trunk: [lab, office, 100-110], native: office }
  u: { type: tap, interface: tu, trunk: [lab, 105] }
  n: { type: netdev, interface: e1, trunk: [lab, office], native: office }
EOC
ns n
veth $SW e1 n n0
daemon_start
tap_guest a ta; tap_guest o tof; tap_guest t tt; tap_guest u tu
cat >"$T/vlan.py" <<'EOP'
from wire import BROADCAST, Wire, frame
ports = {n: Wire(n, i) for n, i in (("a", "ta"), ("o", "tof"), ("t", "tt"), ("u", "tu"), ("n", "n0"))}
serial = 0
def tag_of(f): return int.from_bytes(f[14:16], "big") & 0xFFF if f[12:14] == b"\x81\x00" else None
def goes(sender, tag, **expected):
    """A broadcast from `sender` with `tag` arrives exactly at these ports, with these tags (0: none)."""
    global serial
    serial += 1
    mark = b"story%04d" % serial
    ports[sender].send(frame(BROADCAST, ports[sender].mac, mark, tag))
    seen = {}
    for n, p in ports.items():
        for f in p.recv(0.15):
            if mark in f: seen[n] = tag_of(f) or 0
    assert seen == expected, "from %s tag %s: seen %s, expected %s" % (sender, tag, seen, expected)
goes("a", None, t=10, u=10, n=10)          # access to trunks: tagged
goes("t", 10, a=0, u=10, n=10)             # trunk to access: untagged
goes("t", None, o=0, n=0)                 # native
goes("o", None, t=0, n=0)                 # to native: untagged
goes("t", 105, u=105)                # a VLAN without a network
goes("t", 104)                       # carried by t alone
goes("t", 200)                       # not carried: filtered
goes("u", None)                      # untagged without native: dropped
goes("u", 30)                        # not carried by u
goes("a", 10)                        # tagged on an access port
goes("t", 0, o=0, n=0)                    # priority tag: the native VLAN (802.1Q 6.9.1)
goes("n", 10, a=0, t=10, u=10)       # PACKET_AUXDATA has the tag
goes("n", None, o=0, t=0)
goes("n", 105)                       # not carried by n
for p in ports["t"], ports["n"]:
    p.send(frame(ports["a"].mac, p.mac, b"prio", 10 | 5 << 13))
    assert any(b"prio" in f for f in ports["a"].recv(0.2))
EOP
check "every frame goes exactly where it should" "$PY" "$T/vlan.py"
has() { [ "$(rx_drop "$1" "$2")" -ge 1 ]; }
check "vlan-filtered is counted" has t vlan-filtered
check "vlan-untagged is counted" has u vlan-untagged
check "vlan-tagged is counted" has a vlan-tagged
check "on the cable as well" has n vlan-filtered
check "vlan list" jctl '.[] | select(.vlan == 10) | (.untagged == ["a"]) and (.tagged | sort == ["n", "t", "u"])' vlan list
check "port list shows the trunk" jctl '.[] | select(.name == "t") | .network == null and .vlan == null and (.trunk != null) and (.native != null)' port list
finish
