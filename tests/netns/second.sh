#!/bin/bash
# A second daemon on the same socket is refused and says who holds it; a stale socket is replaced, a live one never.
. "$(dirname "$0")/_story.sh"
need_root; need jq

ns $SW
config <<EOC
version: 1
networks:
  lab: { vlan: 10, mode: internal }
ports:
  lab: { type: dgram, socket: $T/lab.dgram, network: lab }
EOC
daemon_start
second() { (daemon_exec) >"$T/second.log" 2>&1; }
refute "a second daemon ends with an error" second
check "that names the holder" grep -q "$DAEMON" "$T/second.log"
check "the first is unharmed" ctl status
inode=$(stat -c %i "$T/lab.dgram")
spawn on $SW "$VSWITCHD" -c "$CONFIG" --control "$T/other.sock" --state "$T/other"; other=$SPAWNED
busy() { "$VSWITCHCTL" --control "$T/other.sock" --json port list | jq -e '.[] | select(.name == "lab") | .state == "down"'; }
check "one with another control socket has its port down" wait_for 3 busy
check "the live socket was not replaced" test "$(stat -c %i "$T/lab.dgram")" = "$inode"
end_spawned "$other"
check "nor removed at its end" test "$(stat -c %i "$T/lab.dgram")" = "$inode"
daemon_kill
check "the stale sockets are there" test -S "$T/lab.dgram" -a -S "$CONTROL"
daemon_start
check "and are replaced" jctl '.[] | select(.name == "lab") | .state == "up"' port list
unreachable() { "$VSWITCHCTL" --control "$T/nobody.sock" status 2>"$T/err"; [ $? = 4 ]; }
check "vswitchctl without a daemon ends with 4" unreachable
finish
