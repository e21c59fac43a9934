#!/usr/bin/python3
"""A guest on a socket: carries frames between a TAP of this namespace and a port of the switch.

The kernel's own stack behind the TAP is the guest, so that real clients (ping, udhcpc, iperf3) can run.
	pump.py IF dgram LOCAL REMOTE        QEMU's -netdev dgram over UNIX sockets
	pump.py IF udp LPORT RPORT           one frame per datagram on 127.0.0.1
	pump.py IF connect PATH              QEMU's -netdev stream,server=off
	pump.py IF listen PATH               QEMU's -netdev stream,server=on
"""
import fcntl, os, selectors, socket, struct, sys, time

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000


def open_tap(name):
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    return fd


def to_tap(tap, frame):
    try:
        os.write(tap, frame)
    except OSError:
        pass  # the interface is down: what a guest without a driver does


def datagrams(tap, sock, peer):
    sel = selectors.DefaultSelector()
    sel.register(tap, selectors.EVENT_READ)
    sel.register(sock, selectors.EVENT_READ)
    while True:
        for key, _ in sel.select():
            if key.fileobj is sock:
                try:
                    to_tap(tap, sock.recv(70000))
                except ConnectionError:
                    pass
                continue
            try:
                sock.sendto(os.read(tap, 70000), peer)
            except OSError:
                pass  # the switch is away or its queue is full, as with QEMU


def stream(tap, sock):
    sel = selectors.DefaultSelector()
    sel.register(tap, selectors.EVENT_READ)
    sel.register(sock, selectors.EVENT_READ)
    held = b""
    while True:
        for key, _ in sel.select():
            if key.fileobj is sock:
                try:
                    data = sock.recv(1 << 17)
                except ConnectionError:
                    data = b""
                if not data:
                    return
                held += data
                while len(held) >= 4:
                    n = struct.unpack("!I", held[:4])[0]
                    if len(held) < 4 + n:
                        break
                    to_tap(tap, held[4:4 + n])
                    held = held[4 + n:]
                continue
            frame = os.read(tap, 70000)
            try:
                sock.sendall(struct.pack("!I", len(frame)) + frame)
            except OSError:
                return


def connect(tap, path):
    while True:
        s = socket.socket(socket.AF_UNIX)
        try:
            s.connect(path)
            stream(tap, s)
        except OSError:
            pass
        s.close()
        time.sleep(0.1)


def listen(tap, path):
    srv = socket.socket(socket.AF_UNIX)
    srv.bind(path)
    srv.listen(1)
    while True:
        s, _ = srv.accept()
        stream(tap, s)
        s.close()


def main():
    name, kind, *rest = sys.argv[1:]
    tap = open_tap(name)
    if kind == "dgram":
        s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        if os.path.exists(rest[0]):
            os.unlink(rest[0])
        s.bind(rest[0])
        datagrams(tap, s, rest[1])
    elif kind == "udp":
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.bind(("127.0.0.1", int(rest[0])))
        datagrams(tap, s, ("127.0.0.1", int(rest[1])))
    elif kind == "connect":
        connect(tap, rest[0])
    elif kind == "listen":
        listen(tap, rest[0])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
