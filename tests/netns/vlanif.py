#!/usr/bin/python3
"""A VLAN interface for kernels that have none: a TAP whose frames go out of another interface with a tag.
	vlanif.py NS IF VID TAP-NS TAP
Only frames with that tag that arrive at IF come to the TAP."""
import os, select, sys
from pump import open_tap, to_tap
from wire import Wire, enter

ns, interface, vid, tap_ns, name = sys.argv[1:]
tag = b"\x81\x00" + int(vid).to_bytes(2, "big")
wire = Wire(ns, interface)
enter(tap_ns)
tap = open_tap(name)
while True:
    for fd in select.select([wire.s, tap], [], [])[0]:
        if fd == tap:
            f = os.read(tap, 70000)
            wire.send(f[:12] + tag + f[12:])
            continue
        for f in wire.recv(0.001):
            if f[12:14] == tag[:2] and (f[14] & 0xF) << 8 | f[15] == int(vid):
                to_tap(tap, f[:12] + f[16:])
