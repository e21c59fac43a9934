"""Raw frames for stories: Wire(NS, IF) is a packet socket in a namespace of the story's.

The kernel takes the 802.1Q tag out of what it hands over; recv() puts it back, so that frames are
seen as they were on the wire."""
import ctypes, os, socket, struct, time

libc = ctypes.CDLL(None, use_errno=True)
PACKET_AUXDATA, SOL_PACKET, PACKET_OUTGOING = 8, 263, 4
TP_STATUS_VLAN_VALID, TP_STATUS_VLAN_TPID_VALID = 0x10, 0x40


def enter(ns):
    fd = os.open("/run/netns/%s-%s" % (os.environ["PREFIX"], ns), os.O_RDONLY)
    if libc.setns(fd, 0) != 0:
        raise OSError(ctypes.get_errno(), "setns")
    os.close(fd)


class Wire:
    def __init__(self, ns, interface):
        enter(ns)
        self.name = ns
        self.mac = bytes.fromhex(_mac(interface))
        self.s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.s.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self.s.bind((interface, 3))

    def send(self, frame):
        self.s.send(frame)

    def recv(self, seconds=0.3):
        """All frames that arrive within the time, tags restored."""
        got, end = [], time.monotonic() + seconds
        while True:
            left = end - time.monotonic()
            if left <= 0:
                return got
            self.s.settimeout(left)
            try:
                data, control, _, who = self.s.recvmsg(70000, 256)
            except socket.timeout:
                return got
            if who[2] == PACKET_OUTGOING:
                continue
            for level, kind, value in control:
                if level == SOL_PACKET and kind == PACKET_AUXDATA:
                    status, _, _, _, _, tci, tpid = struct.unpack("IIIHHHH", value[:20])
                    if status & TP_STATUS_VLAN_VALID:
                        tpid = tpid if status & TP_STATUS_VLAN_TPID_VALID else 0x8100
                        data = data[:12] + struct.pack("!HH", tpid, tci) + data[12:]
            got.append(data)


def _mac(interface):
    import fcntl
    s = socket.socket()
    r = fcntl.ioctl(s, 0x8927, struct.pack("256s", interface.encode()))
    return r[18:24].hex()


def frame(dst, src, body, tag=None, ethertype=0x88B5):
    """tag: VLAN id, or None."""
    t = b"" if tag is None else struct.pack("!HH", 0x8100, tag)
    f = dst + src + t + struct.pack("!H", ethertype) + body
    return f + bytes(max(0, 60 - len(f)))


BROADCAST = b"\xff" * 6
