#!/bin/bash
# What the built-in default costs when nothing happens, and how soon it is ready.
# Goals: in 60 s at most 2 clock ticks and 60 context switches over all threads; under 32 MiB resident;
# READY=1 within 100 ms of the start.
. "$(dirname "$0")/_bench.sh"
need_root; need jq
WINDOW=${WINDOW:-60}

ns $SW
# ready: milliseconds from exec to READY=1 on the socket that systemd would give
ready() {
	"$PY" - "$T/notify" ip netns exec "$PREFIX-$SW" "$VSWITCHD" -c "$CONFIG" --control "$CONTROL" --state "$STATE" <<'EOP'
import os, signal, socket, subprocess, sys, time
path = sys.argv[1]
if os.path.exists(path): os.unlink(path)
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind(path); s.settimeout(5)
env = dict(os.environ, NOTIFY_SOCKET=path)
t = time.perf_counter()
p = subprocess.Popen(sys.argv[2:], env=env, stderr=subprocess.DEVNULL)
while b"READY=1" not in s.recv(4096): pass
print(round((time.perf_counter() - t) * 1000, 1))
p.send_signal(signal.SIGTERM)
sys.exit(p.wait())
EOP
}
# A file of our own must not be in the way of the built-in default.
if [ -e /etc/vswitchd/vswitchd.yaml ]; then skip "this machine has a configuration of its own"; fi
mkdir -p "$STATE"
cat >"$CONFIG" <<EOC
version: 1
uplinks:
  host: { type: host }
networks:
  lab: { vlan: 1, mode: nat, uplink: host, subnet: 10.10.10.0/24, dns: { domain: lab.internal } }
ports:
  lab: { type: dgram, socket: $T/lab.dgram, network: lab }
EOC
for ((r = 0; r < ROUNDS; r++)); do
	x=$(ready) || fail "no READY=1"
	sample ready_ms "$x"
done
# Without -c: the built-in default itself.
ip netns exec "$PREFIX-$SW" "$VSWITCHD" --control "$CONTROL" --state "$STATE" </dev/null >>"$LOG" 2>&1 &
DAEMON=$!
wait_for 10 answers || fail "the daemon does not answer"
sleep 2
read -r ticks0 switches0 < <(cost)
sleep "$WINDOW"
read -r ticks1 switches1 < <(cost)
rss=$(awk '/^VmRSS/ { print $2 }' "/proc/$DAEMON/status")
sample ticks $((ticks1 - ticks0))
sample switches $((switches1 - switches0))
sample rss_kib "$rss"
goal "clock ticks in $WINDOW s" "$(median ticks)" '<=' 2
goal "context switches in $WINDOW s" "$(median switches)" '<=' 60
goal "resident, KiB" "$rss" '<' 32768
goal "ready after, ms" "$(median ready_ms)" '<=' 100
result idle mixed ticks switches rss_kib ready_ms -- window_s "$WINDOW"
daemon_stop
bench_end
