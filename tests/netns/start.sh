#!/bin/bash
# Without a file the built-in default runs: network lab with DHCP, DNS and NAT by the host's sockets, and a socket for
# QEMU guests.  Ready is told to systemd; options and files that are wrong end the daemon with a sentence.
#
#	a (ga) --- lab.dgram --- vswitchd as nobody, without a file, 203.0.113.2 (up0) ==veth== (w0) wan
. "$(dirname "$0")/_story.sh"
need_root; need_tun; need udhcpc curl dig jq setpriv
[ ! -e /etc/vswitchd/vswitchd.yaml ] || skip "this host has a /etc/vswitchd/vswitchd.yaml"

ns $SW
wan
ipn $SW addr add 203.0.113.2/24 dev up0
exits() { # exits STATUS REGEX ARG...
	local got=0
	"$VSWITCHD" "${@:3}" >"$T/out" 2>&1 || got=$?
	[ $got = "$1" ] && grep -qE -- "$2" "$T/out" || { echo "status $got"; cat "$T/out"; return 1; }
}
check "--help" exits 0 '--test-clock' --help
check "--version" exits 0 '^vswitchd .' --version
check "an unknown option is 2" exits 2 'vswitchd --help' --nonsense
check "a word too many is 2" exits 2 "unexpected argument 'now'" now
check "a file that is not there is named" exits 5 "$T/none.yaml" -n -c "$T/none.yaml"

chmod 755 "$T"
mkdir -p "$T/run" "$T/xdg"
chown 65534:65534 "$T/run" "$T/xdg"
cp "$VSWITCHD" "$T/vswitchd"; chmod 755 "$T/vswitchd"
CONTROL=$T/run/vswitchd/control.sock
export VSWITCH_CONTROL=$CONTROL
spawn "$PY" -u -c 'import os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind(sys.argv[1]); os.chmod(sys.argv[1], 0o777)
while True: print(s.recv(100).decode())' "$T/notify"
told=$SPAWN_OUT
wait_for 5 test -S "$T/notify"
ip netns exec "$PREFIX-$SW" setpriv --reuid=65534 --regid=65534 --clear-groups --bounding-set=-all --inh-caps=-all env \
	"XDG_RUNTIME_DIR=$T/run" "XDG_STATE_HOME=$T/xdg" "NOTIFY_SOCKET=$T/notify" "$T/vswitchd" </dev/null >>"$LOG" 2>&1 &
DAEMON=$!
check "READY=1 is told" wait_for 10 grep -qx READY=1 "$told"
check "and so it is" ctl status
check "one network, one port" jctl '.networks == 1 and .ports == 1' status
check "the network" jctl '.name == "lab" and .vlan == 1 and .mode == "nat" and .subnet == "10.10.10.0/24" and .uplink == "host" and .dhcp and .dns and .domain == "lab.internal"' net show lab
umask 0 # the switch must be able to write to the guest's socket
pump_guest a ga dgram "$T/a.sock" "$T/run/vswitchd/lab.dgram"
check "a guest takes a lease" dhcp a ga -x hostname:web1
check "of that subnet" eval 'lease_word a ip | grep -q "^10\.10\.10\."'
check "its name is known" eval '[ "$(on a dig +short +tries=1 +time=2 web1.lab.internal @10.10.10.1)" = "$(lease_word a ip)" ]'
web_server wan 8000
check "and the world is there" on a curl -sf -m 5 http://203.0.113.1:8000/
kill -HUP "$DAEMON"
check "a reload is told as well" wait_for 5 eval '[ "$(grep -cx READY=1 "$told")" = 2 ]'
check "and the guest is still there" pings a 10.10.10.1
check "the books" books
daemon_stop
check "the end is told" wait_for 5 grep -qx STOPPING=1 "$told"
check "no socket is left" test ! -e "$CONTROL" -a ! -e "$T/run/vswitchd/lab.dgram"
finish
