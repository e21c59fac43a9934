#!/bin/bash
# UPnP for guests: Debian's upnpc finds the gateway, opens, lists and closes ports of its own guest and of no
# other; what is no proper request is refused; where no namespace can be made, why.
#
#	a 10.10.10.50 (ta) ---.
#	b 10.10.10.51 (tb) --- vswitchd --test-clock [25.0.0.2 on up0] --- (w0) 25.0.0.1 wan
#	                          '- services 10.10.10.1 in a namespace of its own
. "$(dirname "$0")/_story.sh"
need_root; need_tun; need curl jq nc upnpc natpmpc setpriv

ns $SW
ns wan
veth $SW up0 wan w0
ipn wan addr add 25.0.0.1/24 dev w0 # upnpc calls addresses for documentation "not connected"
net() {
	config <<EOC
version: 1
uplinks:
  wan: { type: interface, interface: up0, address: 25.0.0.2/24, gateway: 25.0.0.1 }
networks:
  lab: { vlan: 10, mode: nat, uplink: wan, subnet: ${SUBNET:-10.10.10.0/24}, dhcp: false, dns: false, nat: { port-control: $1, port-control-mappings: 4 } }
ports:
  a: { type: tap, interface: ta, network: lab }
  b: { type: tap, interface: tb, network: lab }
EOC
}
reload() { kill -HUP "$DAEMON"; }
net "[]"
links() { on $SW ip -o link | wc -l; }
daemon_start --test-clock
tap_guest a ta 10.10.10.50/24
tap_guest b tb 10.10.10.51/24
for g in a b; do
	ipn $g route add default via 10.10.10.1
	ipn $g link set lo up
done
web_server a 80
GW=10.10.10.1:5000
upnp() { on "$1" upnpc -m "${IF:-t$1}" "${@:2}" >"$T/upnp.out" 2>&1; cat "$T/upnp.out"; }
page() { on wan curl -sf -m 2 "http://25.0.0.2:$1/" | grep -q outside; }
mapped() { jctl "length == $1" forward list; }
post() { # post GUEST ACTION ARGUMENTS [curl ARG...]
	local body="<?xml version=\"1.0\"?><s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body><u:$2 xmlns:u=\"urn:schemas-upnp-org:service:WANIPConnection:1\">$3</u:$2></s:Body></s:Envelope>"
	on "$1" curl -s -m 3 -H "${HEADER:-SOAPAction}: \"urn:schemas-upnp-org:service:WANIPConnection:1#$2\"" --data-binary "${BODY:-$body}" "${@:4}" "http://$GW/ctl/wanip"
}
place() { echo "<NewRemoteHost></NewRemoteHost><NewExternalPort>$1</NewExternalPort><NewProtocol>TCP</NewProtocol>"; }
whole() { echo "$(place "$1")<NewInternalPort>$2</NewInternalPort><NewInternalClient>$3</NewInternalClient><NewEnabled>1</NewEnabled><NewPortMappingDescription>${DESC:-x}</NewPortMappingDescription><NewLeaseDuration>${4:-0}</NewLeaseDuration>"; }
fault() { # fault CODE GUEST ACTION ARGUMENTS
	post "${@:2}" >"$T/fault"; grep -q "<errorCode>$1</errorCode>" "$T/fault" || { cat "$T/fault"; return 1; }
}
status() { [ "$(on a curl -s -m 3 -o /dev/null -w '%{http_code}' "${@:2}")" = "$1" ]; }

refute "off: TCP port 5000 is closed" on a nc -z -w 2 10.10.10.1 5000
check "off: nobody answers a search" eval '! upnp a -s | grep -q desc:'
net upnp
before=$(links)
reload
check "on, after a reload: upnpc finds a gateway that is connected" wait_for 5 eval 'upnp a -s | grep -q "Found valid IGD : http://10.10.10.1:5000/"'
check "and its address outside" grep -q "ExternalIPAddress = 25.0.0.2" "$T/upnp.out"
check "the host has no interface more" test "$(links)" = "$before"
refute "NAT-PMP is not spoken with it" on a timeout 5 natpmpc -g 10.10.10.1
refute "nobody gets in" page 8080
check "a opens a port" eval 'upnp a -e "my web" -a 10.10.10.50 80 8080 tcp 3600 | grep -q "is redirected to internal 10.10.10.50:80"'
check "a connection from outside reaches it" page 8080
check "nat list as well" jctl 'any(.[]; .outside == "25.0.0.2:8080" and .source == "upnp")' nat list
check "forward list says whose and how long" jctl '.[0] | .listen == ":8080" and .to == "10.10.10.50:80" and .source == "upnp" and .expires > 3500 and .expires <= 3600' forward list
check "upnpc lists it, description and all" eval 'upnp a -l | grep -qF "TCP  8080->10.10.10.50:80" && grep -qF "my web" "$T/upnp.out"'
check "b does not see it" eval 'upnp b -l | grep -q "GetGenericPortMappingEntry() returned 713" && ! grep -q 8080 "$T/upnp.out"'
check "b cannot have it" fault 718 b AddPortMapping "$(whole 8080 80 10.10.10.51)"
check "b cannot open one for a" fault 606 b AddPortMapping "$(whole 8081 80 10.10.10.50)"
check "nor delete a's" fault 606 b DeletePortMapping "$(place 8080)"
check "a's is still there" page 8080
check "one below 1024 is refused" fault 718 a AddPortMapping "$(whole 443 80 10.10.10.50)"
check "any: another port in its place" eval 'post a AddAnyPortMapping "$(whole 443 80 10.10.10.50)" | grep -qE "<NewReservedPort>[0-9]{4,5}<"'
check "what a guest calls it comes back as it was" eval 'DESC="&lt;&amp;&gt;" post a AddPortMapping "$(DESC="&lt;&amp;&gt;" whole 8080 80 10.10.10.50 3600)" >/dev/null && post a GetSpecificPortMappingEntry "$(place 8080)" | grep -qF "<NewPortMappingDescription>&lt;&amp;&gt;</NewPortMappingDescription>"'
check "for ever is a week" jctl 'any(.[]; .expires > 604700 and .expires <= 604800)' forward list
check "a leads its port elsewhere" eval 'post a AddPortMapping "$(whole 8080 81 10.10.10.50 60)" | grep -q AddPortMappingResponse && jctl "any(.[]; .listen == \":8080\" and .to == \"10.10.10.50:81\")" forward list && mapped 2'
check "a's third and fourth" eval 'for p in 3 4; do upnp a -a 10.10.10.50 80 900$p udp; done; mapped 4'
check "the fifth is beyond the quota" fault 501 a AddPortMapping "$(whole 9005 80 10.10.10.50)"
check "which is counted" jctl '.port_control.answers.USER_EX_QUOTA == 1' net show lab
check "a minute later one has expired" eval 'ctl clock advance 61 && wait_for 3 mapped 3'
check "upnpc deletes one" eval 'upnp a -d 9003 udp | grep -q "returned : 0" && mapped 2'
check "what is not there: 714" fault 714 a DeletePortMapping "$(place 8080)"
check "the same when asked for" fault 714 a GetSpecificPortMappingEntry "$(place 8080)"

# not a proper request
check "an action there is not" fault 401 a ForceTermination ""
check "no argument" fault 402 a AddPortMapping "$(place 8080)"
check "no number" fault 402 a AddPortMapping "$(whole 99999 80 10.10.10.50)"
check "for one remote only" fault 726 a DeletePortMapping "$(place 8080 | sed 's/><\/NewRemoteHost/>25.0.0.1<\/NewRemoteHost/')"
check "an index beyond the end" fault 713 a GetGenericPortMappingEntry "<NewPortMappingIndex>7</NewPortMappingIndex>"
BODY='<!DOCTYPE x [<!ENTITY a "aaaa">]><s:Envelope/>' check "a document type" fault 402 a GetStatusInfo ""
check "a name that was made to lead here" status 403 -H "Host: rebound.example:5000" "http://$GW/root.xml"
HEADER=X-Other check "a call without SOAPAction" fault 401 a GetStatusInfo ""
check "chunks" status 411 -H "Transfer-Encoding: chunked" -d x "http://$GW/ctl/wanip"
head -c 100000 /dev/zero | tr '\0' a >"$T/long"
check "a body too long" status 413 --data-binary "@$T/long" "http://$GW/ctl/wanip"
check "a place there is not" status 404 "http://$GW/x"
many() { on a "$PY" -c 'import select, socket, sys, time
s, reset = [], 0
for _ in range(6):
    try: s.append(socket.create_connection(("10.10.10.1", 5000), 3))
    except ConnectionResetError: reset += 1
def resets(seconds):
    n = 0
    for c in select.select(s, [], [], seconds)[0]:
        s.remove(c)
        try: c.recv(1)
        except ConnectionResetError: n += 1
    return n
end = time.monotonic() + 5
while reset < 2 and time.monotonic() < end: reset += resets(0.2)
reset += resets(0.3) # and no more
sys.exit(reset != 2)'; }
# those of before may be ending yet
check "a guest has four connections at a time" wait_for 20 many
slow() { on a "$PY" -c 'import socket, subprocess, sys
s = socket.create_connection(("10.10.10.1", 5000), 3)
s.send(b"GET / HTTP/1.1\r\n")
subprocess.run([sys.argv[1], "clock", "advance", "11"], check=True)
s.settimeout(3)
try: s.recv(1)
except ConnectionResetError: sys.exit(0)
sys.exit(1)' "$VSWITCHCTL"; }
check "and ten seconds for each" slow
check "both are counted" jctl '.port_control | .upnp_refused >= 2 and .upnp_requests > 20 and .upnp_searches > 5' net show lab
check "what is no search is counted" eval 'echo x | on a nc -u -w 1 10.10.10.1 1900; [ "$(tx_drop gw/lab svc-malformed)" -ge 1 ]'
check "b still has service" eval 'upnp b -s | grep -q "Found valid IGD"'
namespace_is_closed() { on a nc -z -w 1 10.10.10.1 5001; }
refute "other ports are closed as before" namespace_is_closed

# what ends it
SUBNET=10.10.20.0/24 net "[upnp, pcp]"
reload
check "another subnet: mappings are gone" wait_for 3 mapped 0
ipn a addr flush dev ta
ipn a addr add 10.10.20.50/24 dev ta
check "served under its new address" wait_for 5 eval 'upnp a -s | grep -q "Found valid IGD : http://10.10.20.1:5000/"'
SUBNET=10.10.20.0/24 net "[pcp]"
reload
check "taken away: TCP port 5000 is closed" wait_for 3 eval '! on a nc -z -w 1 10.10.20.1 5000'
daemon_stop

# with fewer privileges: a user namespace in the place of CAP_SYS_ADMIN, and no TUN device
daemon=$VSWITCHD
as() { printf '#!/bin/sh\n%s\n' "$1" >"$T/as"; chmod 755 "$T/as"; VSWITCHD=$T/as; }
net upnp
as "exec setpriv --bounding-set -sys_admin --inh-caps -sys_admin $daemon \"\$@\""
daemon_start --test-clock
for g in a b; do ipn $SW link set t$g netns "$PREFIX-$g"; ipn $g link set t$g up; done
ipn a addr add 10.10.10.50/24 dev ta
sys_admin() { echo $((0x$(sed -n 's/^CapEff:[[:space:]]*//p' /proc/$DAEMON/status) >> 21 & 1)); }
check "without CAP_SYS_ADMIN" test "$(sys_admin)" = 0
check "it is served all the same" eval 'upnp a -s | grep -q "Found valid IGD"'
daemon_stop
sed -i '/^  [ab]:/d; /^ports:/a \  c: { type: dgram, socket: '"$T"'/c.sock, network: lab }' "$CONFIG"
as "mount --bind /dev/null /dev/net/tun; exec $daemon \"\$@\""
expect_log "no upnp: cannot make a TUN device"
daemon_start
check "where it cannot be made the log says what and why" grep -q "error: network 'lab': no upnp: cannot make a TUN device in a network namespace of its own: Inappropriate ioctl" "$LOG"
check "and the rest is served" mapped 0
VSWITCHD=$daemon
sed -i 's/mode: nat,/mode: nat-per-vm,/; s/subnet: [^,]*,//' "$CONFIG"
check "in mode nat-per-vm it is refused, and why" eval '! on $SW "$VSWITCHD" -n -c "$CONFIG" 2>"$T/err"; grep -q "does not go with mode .nat-per-vm." "$T/err"'
finish
