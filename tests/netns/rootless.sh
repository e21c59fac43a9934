#!/bin/bash
# Without root: default paths under XDG_RUNTIME_DIR, dgram and stream guests, NAT by the `host` uplink.
#
#	a (ga) --dgram--\
#	                 vswitchd as nobody, no capabilities, 203.0.113.2 (up0) ==veth== (w0) wan 203.0.113.1
#	b (gb) --stream-/
. "$(dirname "$0")/_story.sh"
need_root; need_tun; need udhcpc curl jq setpriv

ns $SW
wan
ipn $SW addr add 203.0.113.2/24 dev up0
chmod 755 "$T"
mkdir -p "$T/run" "$T/xdg"
chown 65534:65534 "$T/run" "$T/xdg"
config <<EOC
version: 1
uplinks:
  host: { type: host }
networks:
  lab: { vlan: 10, mode: nat, uplink: host, subnet: 10.10.10.0/24, dns: { domain: lab.internal } }
ports:
  a: { type: dgram, socket: $T/run/a.dgram, network: lab }
  b: { type: stream, listen: $T/run/b.sock, network: lab }
EOC
chmod 644 "$CONFIG"
CONTROL=$T/run/vswitchd/control.sock
export VSWITCH_CONTROL=$CONTROL
nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups --bounding-set=-all --inh-caps=-all
	env "XDG_RUNTIME_DIR=$T/run" "XDG_STATE_HOME=$T/xdg")
if [ "$BUILD" != "$ROOT/build" ] || ! "${nobody[@]}" test -x "$VSWITCHD"; then
	cp "$VSWITCHD" "$VSWITCHCTL" "$T/"; chmod 755 "$T/vswitchd" "$T/vswitchctl"
	VSWITCHD=$T/vswitchd VSWITCHCTL=$T/vswitchctl
fi
ip netns exec "$PREFIX-$SW" "${nobody[@]}" "$VSWITCHD" -c "$CONFIG" </dev/null >>"$LOG" 2>&1 &
DAEMON=$!
wait_for 10 answers || fail "the daemon does not answer on $CONTROL"
check "vswitchctl finds it without an option" env -u VSWITCH_CONTROL "${nobody[@]}" "$VSWITCHCTL" status
check "no capability" eval "grep -q '^CapEff:.*0000000000000000' /proc/$DAEMON/status"
umask 0 # the switch must be able to write to the guest's socket
pump_guest a ga dgram "$T/a.sock" "$T/run/a.dgram"
pump_guest b gb connect "$T/run/b.sock"
check "a dgram guest takes a lease" dhcp a ga -x hostname:web1
check "a stream guest takes a lease" dhcp b gb -x hostname:web2
check "they ping each other" pings a "$(lease_word b ip)"
web_server wan 8000
check "a page through NAT" on b curl -sf -m 5 http://203.0.113.1:8000/
check "the leases are under XDG_STATE_HOME" eval 'find $T/xdg/vswitchd -type f | grep -q .'
check "the books" books
daemon_stop
if ! setpriv --reuid=65534 --regid=65534 --clear-groups unshare -Ur true 2>/dev/null; then
	say "no user namespaces for users here: that part is left out"
	finish
fi
ip netns exec "$PREFIX-$SW" "${nobody[@]}" unshare -Ur "$VSWITCHD" -c "$CONFIG" </dev/null >>"$LOG" 2>&1 &
DAEMON=$!
# Root outside is a stranger inside: from here on nobody asks.
printf '#!/bin/sh\nexec %s %s "$@"\n' "${nobody[*]}" "$VSWITCHCTL" >"$T/nobodyctl"
chmod 755 "$T/nobodyctl"
VSWITCHCTL=$T/nobodyctl
wait_for 10 answers || fail "no answer in a user namespace"
check "in a user namespace: the guests go on" wait_for 5 pings a 10.10.10.1
finish
