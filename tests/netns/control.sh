#!/bin/bash
# The control socket: who may, what comes back, exit codes.
. "$(dirname "$0")/_story.sh"
need_root; need jq setpriv nc

ns $SW
config <<EOC
version: 1
networks:
  lab: { vlan: 10, mode: internal }
ports:
  web1: { type: dgram, socket: $T/lab.dgram, network: lab }
EOC
daemon_start
chmod 755 "$T"
cp "$VSWITCHCTL" "$T/ctl"; chmod 755 "$T/ctl"
as_nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups "$T/ctl" status; }
check "the socket is not for all" eval '[ "$(($(stat -c %a "$CONTROL") % 10))" = 0 ]'
refute "a stranger is refused by its mode" as_nobody
chmod 666 "$CONTROL"
refute "and by his credentials when the mode does not" as_nobody
exits() { # exits STATUS ARG...
	local want=$1 got=0
	shift
	"$VSWITCHCTL" "$@" >"$T/out" 2>"$T/err" || got=$?
	[ $got = "$want" ] || { echo "status $got, wanted $want"; cat "$T/out" "$T/err"; return 1; }
}
check "not found is 3" exits 3 port show web9
check "and says what was meant" grep -q "error: port 'web9' not found.*web1" "$T/err"
check "one line" test "$(wc -l <"$T/err")" = 1
check "usage is 2" exits 2 port frobnicate
check "unreachable is 4" exits 4 --control "$T/none.sock" status
check "an option may stand after the verb" exits 0 port list --json
check "--if-exists" exits 0 port del web9 --if-exists
check "--may-exist" exits 0 port add web1 type dgram socket "$T/lab.dgram" network lab --may-exist
check "aliases" exits 0 port ls
check "status has its fields" jctl '(.version | type) == "string" and .workers == '${WORKERS:-1}' and .networks == 1 and .ports == 1 and .sessions == 0 and .uptime >= 0' status
talk() { printf '%s\n' "$1" | nc -U -N -w 2 "$CONTROL"; }
check "a bare client" eval 'talk "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"status\"}" | jq -e ".id == 7 and .result.workers >= 1"'
check "garbage gets -32700" eval 'talk "nonsense" | jq -e ".error.code == -32700"'
check "an unknown method -32601" eval 'talk "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"no\"}" | jq -e ".error.code == -32601"'
flood() { head -c 3000000 /dev/zero | tr '\0' a | nc -U -N -w 2 "$CONTROL"; }
flood >/dev/null 2>&1
check "an endless line ends only its sender" ctl status
check "attach for qemu" eval 'ctl attach lab --for qemu | grep -q -- "-netdev dgram"'
check "attach for libvirt" eval 'ctl attach lab --for libvirt | grep -q "<interface"'
check "doctor" ctl doctor
check "show" ctl show
check "version" eval 'ctl version | grep -q .'
finish
