#!/usr/bin/python3
"""A resolver for stories: resolver.py ADDRESS ANSWER, UDP and TCP on port 53.

Every A question is answered with ANSWER; TXT of big.* with 2000 bytes, truncated over UDP
to 512.  silent.* gets nothing, twice.* everything once more a moment later."""
import socket, struct, sys, threading, time

here, answer = sys.argv[1:3]


def reply(q, udp):
    at, labels = 12, []
    while q[at]:
        labels.append(q[at + 1:at + 1 + q[at]])
        at += 1 + q[at]
    qtype = struct.unpack("!H", q[at + 1:at + 3])[0]
    question = q[12:at + 5]
    if labels[0] == b"silent":
        return None
    rr = b""
    if qtype == 1:
        rr = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + socket.inet_aton(answer)
    elif qtype == 16:
        text = (b"\xc8" + b"x" * 200) * 10
        rr = b"\xc0\x0c" + struct.pack("!HHIH", 16, 1, 60, len(text)) + text
    flags, n = 0x8180, 1 if rr else 0
    if udp and len(question) + len(rr) + 12 > 512:
        rr, n, flags = b"", 0, flags | 0x0200
    return q[:2] + struct.pack("!HHHHH", flags, 1, n, 0, 0) + question + rr


def exactly(c, n):
    data = b""
    while len(data) < n:
        more = c.recv(n - len(data))
        if not more:
            raise ConnectionError
        data += more
    return data


def tcp_client(c):
    try:
        while True:
            n = struct.unpack("!H", exactly(c, 2))[0]
            r = reply(exactly(c, n), False)
            if r:
                c.sendall(struct.pack("!H", len(r)) + r)
    except (ConnectionError, OSError):
        c.close()


def tcp():
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((here, 53))
    s.listen(8)
    while True:
        threading.Thread(target=tcp_client, args=(s.accept()[0],), daemon=True).start()


threading.Thread(target=tcp, daemon=True).start()
u = socket.socket(type=socket.SOCK_DGRAM)
u.bind((here, 53))
while True:
    q, who = u.recvfrom(4096)
    r = reply(q, True)
    if r:
        u.sendto(r, who)
    if b"\5twice" in q:
        time.sleep(0.2)
        u.sendto(r, who)
