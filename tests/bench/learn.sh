#!/bin/bash
# 100,000 addresses learned through one TAP: which system calls that takes, what a ping beside it feels, and
# whether flushing them costs more than flushing ten.
#
#	a (ta): sends from 100,000 MACs --- vswitchd --- (tb) b pings (tc) c
. "$(dirname "$0")/_bench.sh"
need_root; need_tun; need strace jq
MACS=${MACS:-100000}

ns $SW
config <<EOC
version: 1
networks:
  lab: { vlan: 10, mode: internal }
ports:
  a: { type: tap, interface: ta, network: lab }
  b: { type: tap, interface: tb, network: lab }
  c: { type: tap, interface: tc, network: lab }
EOC
daemon_start
tap_guest a ta
tap_guest b tb 10.1.0.1/24
tap_guest c tc 10.1.0.2/24
ipn a link set ta txqueuelen 10000
pings b 10.1.0.2 || fail "b does not reach c"
sink=$(on c cat /sys/class/net/tc/address)

learn() { # learn N [PAUSE]: one unicast frame to c from each of N addresses, PAUSE seconds after every 64
	on a "$PY" - "$1" "$sink" "${2:-0.0003}" <<'EOP'
import socket, struct, sys, time
n, pause, dst = int(sys.argv[1]), float(sys.argv[3]), bytes.fromhex(sys.argv[2].replace(":", ""))
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("ta", 0))
tail = b"\x88\xb5" + bytes(46)
for i in range(n):
    s.send(dst + b"\x02\x10" + struct.pack("!I", i) + tail)
    if i % 64 == 63: time.sleep(pause)
EOP
}
macs() { jctl ".macs" counters; }
ask() { # ask METHOD PARAMS: microseconds that the daemon took to answer
	"$PY" - "$CONTROL" "$1" "$2" <<'EOP'
import json, socket, sys, time
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])
q = json.dumps({"jsonrpc": "2.0", "id": 1, "method": sys.argv[2], "params": json.loads(sys.argv[3])}).encode() + b"\n"
t = time.perf_counter(); s.sendall(q); r = b""
while not r.endswith(b"\n"): r += s.recv(65536)
assert "error" not in json.loads(r), r
print(round((time.perf_counter() - t) * 1e6))
EOP
}

say "system calls while $MACS addresses are learned"
strace -f -c -o "$T/strace" -p "$DAEMON" >/dev/null 2>&1 &
tracer=$!
sleep 0.5
learn "$MACS" 0.01 # the tracer makes every call slow: a TAP's queue is short
sleep 0.3
kill -INT $tracer; wait $tracer 2>/dev/null
cat "$T/strace"
calls=$(awk '$1 ~ /^[0-9.]+$/ && $NF != "total" { print $NF }' "$T/strace" | sort -u | paste -sd' ')
others=$(tr ' ' '\n' <<<"$calls" | grep -vE '^(read|readv|write|writev|recvfrom|recvmsg|recvmmsg|sendto|sendmsg|sendmmsg|epoll_wait|epoll_pwait|epoll_pwait2|epoll_ctl)$' | paste -sd' ')
learned=$(macs)
goal "addresses learned under strace" "$learned" '>=' $((MACS * 99 / 100))
goal "system calls beyond reads, writes and epoll (${others:-none})" "$(wc -w <<<"$others")" '==' 0

ctl mac flush >/dev/null
worst=0
for ((r = 0; r < 3; r++)); do
	on b ping -n -i 0.005 -c 400 -q 10.1.0.2 >"$T/ping.out" &
	pinger=$!
	sleep 0.2
	learn "$MACS"
	wait $pinger
	max=$(awk -F/ '/^rtt/ { print $6 }' "$T/ping.out")
	say "ping beside learning: $(grep -o '[0-9.]*% packet loss' "$T/ping.out"), max $max ms"
	sample ping_max_ms "$max"
	ask mac.flush '{}' >/dev/null
done
worst=$(sort -g "$T/samples.ping_max_ms" | tail -n 1)
goal "the longest wait of a ping, ms" "$worst" '<' 5

for ((r = 0; r < ROUNDS; r++)); do
	learn 10
	sleep 0.05
	sample flush_10_us "$(ask mac.flush '{"port":"a"}')"
	learn "$MACS"
	sleep 0.05
	sample known "$(macs)"
	sample flush_all_us "$(ask mac.flush '{"port":"a"}')"
done
say "flush of 10: $(median flush_10_us) us; of $MACS: $(median flush_all_us) us"
goal "a flush of $MACS entries, times one of ten" "$(ratio flush_all_us flush_10_us)" '<' 2
result learn mixed known ping_max_ms flush_10_us flush_all_us -- addresses "$learned" worst_ping_ms "$worst" \
	system_calls "$(jq -Rc 'split(" ")' <<<"$calls")" flush_ratio "$(ratio flush_all_us flush_10_us)"
bench_end
