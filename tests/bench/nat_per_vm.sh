#!/bin/bash
# A nat-per-vm network of $PORTS stream ports: how soon it is ready, what a port costs in memory, idle
# and when its guest has a lease, and how long a change of one port takes among so many.
# Goals: READY=1 within 2 s of the start; under 64 KiB resident a port.
. "$(dirname "$0")/_bench.sh"
need_root; need jq
PORTS=${PORTS:-1000}

ns $SW
conf() { # conf PORTS
	echo "version: 1"
	echo "uplinks: { host: { type: host } }"
	echo "networks: { own: { vlan: 10, mode: nat-per-vm, uplink: host } }"
	[ "$1" = 0 ] && return
	echo "ports:"
	for ((i = 1; i <= $1; i++)); do echo "  vm$i: { type: stream, listen: $T/vm$i.sock, network: own }"; done
}
kib_each() { awk -v a="$1" -v b="$base" -v n="$PORTS" 'BEGIN { printf "%.1f\n", (a - b) / n }'; }
resident() { awk '/^VmRSS/ { print $2 }' "/proc/$DAEMON/status"; }
# start PORTS: milliseconds from exec until every port answers, by the daemon's own notification
start() {
	conf "$1" | config
	rm -f "$T/notify"
	"$PY" - "$T/notify" >"$T/ready" <<'EOP' &
import socket, sys, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind(sys.argv[1]); s.settimeout(60)
while b"READY=1" not in s.recv(4096): pass
print(time.monotonic())
EOP
	local waiter=$! from
	wait_for 5 test -S "$T/notify"
	from=$("$PY" -c 'import time; print(time.monotonic())')
	NOTIFY_SOCKET=$T/notify daemon_start
	wait $waiter
	awk -v a="$from" -v b="$(cat "$T/ready")" 'BEGIN { printf "%.1f\n", (b - a) * 1000 }' >"$T/ms"
}
# Each guest connects and takes a lease: DISCOVER with rapid commit, answered by an ACK.
cat >"$T/guests.py" <<'EOP'
import socket, struct, sys, time
where, n = sys.argv[1], int(sys.argv[2])
mac = bytes.fromhex("525400000001")  # all clones of one
def csum(b):
    s = sum(struct.unpack("!%dH" % (len(b) // 2), b)); s = (s >> 16) + (s & 0xffff); return ~(s + (s >> 16)) & 0xffff
dhcp = struct.pack("!BBBBIHH4I16s64x128xI", 1, 1, 6, 0, 0x1234, 0, 0, 0, 0, 0, 0, mac, 0x63825363) + b"\x35\x01\x01\x50\x00\xff"
udp = struct.pack("!HHHH", 68, 67, 8 + len(dhcp), 0) + dhcp
ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, b"\0" * 4, b"\xff" * 4)
ip = ip[:10] + struct.pack("!H", csum(ip)) + ip[12:]
frame = b"\xff" * 6 + mac + b"\x08\x00" + ip + udp
socks, t = [], time.monotonic()
for i in range(1, n + 1):
    s = socket.socket(socket.AF_UNIX); s.connect("%s/vm%d.sock" % (where, i)); s.settimeout(20); socks.append(s)
    s.sendall(struct.pack("!I", len(frame)) + frame)
leases = 0
for s in socks:
    f = s.makefile("rb")
    while True:
        a = f.read(struct.unpack("!I", f.read(4))[0])
        if a[12:14] == b"\x08\x00" and a[23] == 17 and a[36:38] == b"\0\x44":
            assert a[58:62] == bytes([10, 0, 2, 15]), a[58:62]
            leases += 1
            break
print("leases", leases, "ms", round((time.monotonic() - t) * 1000), flush=True)
time.sleep(600)
EOP
change() { # milliseconds of one `port set`, the client's start included
	"$PY" - "$VSWITCHCTL" "$@" <<'EOP'
import subprocess, sys, time
t = time.monotonic(); subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(round((time.monotonic() - t) * 1000, 1))
EOP
}

start 0
base=$(resident)
daemon_stop
for ((r = 0; r < ROUNDS; r++)); do
	start "$PORTS"
	sample ready_ms "$(cat "$T/ms")"
	sample idle_kib "$(kib_each "$(resident)")"
	sample change_ms "$(change port set "vm$((PORTS / 2))" isolated true)"
	spawn "$PY" "$T/guests.py" "$T" "$PORTS"
	guests=$SPAWNED out=$SPAWN_OUT
	wait_for 30 grep -q leases "$out" || { cat "$out"; fail "not every guest has a lease"; }
	sample leases_ms "$(awk '/leases/ { print $4 }' "$out")"
	[ "$(jctl 'length' lease list)" = "$PORTS" ] || fail "not every guest has a lease"
	sample used_kib "$(kib_each "$(resident)")"
	end_spawned "$guests"
	say "round $((r + 1)): $(tail -qn 1 "$T"/samples.* | paste -sd' ')"
	[ $r = $((ROUNDS - 1)) ] || daemon_stop
	rm -rf "$STATE"
done
goal "$PORTS ports, READY=1 after, ms" "$(median ready_ms)" '<' 2000
goal "resident a port with its guest, KiB" "$(median used_kib)" '<' 64
goal "one port changed, ms" "$(median change_ms)" '<' 100
result nat_per_vm mixed ready_ms idle_kib used_kib leases_ms change_ms -- ports "$PORTS" base_kib "$base"
daemon_stop
bench_end
