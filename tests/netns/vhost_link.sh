#!/bin/bash
# What a vhost-user guest is told of its link: `port down` and a network's MTU change what its frontend
# reads, and the frontend hears of it on the channel it gave.
#
#	frontend (messages only, no guest) --- v.sock --- vswitchd
. "$(dirname "$0")/_story.sh"
need_root; need jq

ns $SW
config <<EOC
version: 1
networks:
  lab: { vlan: 10, mode: internal, mtu: 1400 }
ports:
  v: { type: vhost-user, socket: $T/v.sock, network: lab }
EOC
daemon_start
cat >"$T/frontend.py" <<'EOP'
# Prints "UP MTU" when it has connected, and each time it is told that this has changed.
import array, socket, struct, sys

GET_FEATURES, SET_PROTOCOL_FEATURES, SET_OWNER, SET_BACKEND_REQ_FD, GET_CONFIG = 1, 16, 3, 21, 24
CONFIG_CHANGE = 2
BACKEND_REQ, CONFIG = 1 << 5, 1 << 9
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
mine, theirs = socket.socketpair()


def say(request, body=b"", fds=()):
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    s.sendmsg([struct.pack("=III", request, 1, len(body)) + body], rights)


def link():
    say(GET_CONFIG, struct.pack("=III12x", 0, 12, 0))
    status, _, mtu = struct.unpack("<HHH", s.recv(4096)[12 + 12 + 6:])
    print("up" if status & 1 else "down", mtu, flush=True)


say(SET_PROTOCOL_FEATURES, struct.pack("=Q", BACKEND_REQ | CONFIG))
say(SET_OWNER)
say(SET_BACKEND_REQ_FD, fds=[theirs.fileno()])
link()
while head := mine.recv(12):
    assert struct.unpack("=III", head) == (CONFIG_CHANGE, 1, 0), head
    link()
EOP
spawn on $SW "$PY" "$T/frontend.py" "$T/v.sock"
seen() { [ "$(tr '\n' ',' <"$SPAWN_OUT")" = "$1" ]; }
check "the frontend reads the network's MTU" wait_for 5 seen "up 1400,"
ctl port down v
check "port down is told" wait_for 5 seen "up 1400,down 1400,"
ctl port up v
check "and port up" wait_for 5 seen "up 1400,down 1400,up 1400,"
ctl net set lab mtu 9000
check "and another MTU of the network" wait_for 5 seen "up 1400,down 1400,up 1400,up 9000,"
ctl port set v isolated true
ctl net set lab mtu 1300
check "and nothing else" wait_for 5 seen "up 1400,down 1400,up 1400,up 9000,up 1300,"
check "port show still has the same frontend" eval 'ctl port show v | grep -q "pid $SPAWNED"'
finish
