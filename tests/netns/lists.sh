#!/bin/bash
# Every list and show of vswitchctl answers, in words and with --json in the shape that scripts read; and a
# configuration edited at run time, saved, checked and loaded again is the same one.
#
#	a (ta) --- vswitchd --- (tt) t, a trunk;  g on a dgram socket
. "$(dirname "$0")/_story.sh"
need_root; need_tun; need udhcpc jq

ns $SW
wan
config <<EOC
version: 1
uplinks:
  wan: { type: interface, interface: up0, address: 203.0.113.2/24, gateway: 203.0.113.1 }
networks:
  lab:
    vlan: 10
    mode: nat
    uplink: wan
    subnet: 10.10.10.0/24
    dhcp: { reservations: [ { mac: "52:54:00:00:00:01", address: 10.10.10.10, hostname: web1 } ] }
    dns: { domain: lab.internal }
    forward: [ { proto: tcp, listen: ":2222", to: "10.10.10.10:22" } ]
  office: { vlan: 30, mode: bridged }
ports:
  a: { type: tap, interface: ta, network: lab }
  g: { type: dgram, socket: $T/g.dgram, network: lab }
  t: { type: tap, interface: tt, trunk: [lab, office], native: office }
EOC
daemon_start
tap_guest a ta; tap_guest t tt
pump_guest g tg dgram "$T/g.peer" "$T/g.dgram"
check "leases" eval 'dhcp a ta -x hostname:alpha && dhcp g tg'
pings a 203.0.113.1

# Whatever `list` there is: an array, and words on standard output.
lists=$(ctl --help-markdown | sed -n 's/^| `\([a-z]*\) list[ `].*/\1/p')
every_list() {
	local noun
	for noun in $lists; do
		jctl 'type == "array"' "$noun" list && ctl "$noun" list | grep -q . || { echo "not so: $noun list"; return 1; }
	done
}
check "the lists are known" test "$(wc -l <<<"$lists")" -ge 8
check "each answers, with --json an array" every_list

# rows COMMAND JQ: at least one row, and JQ is true for each
rows() { jctl "length > 0 and all(.[]; $2)" $1; }
check "net list" rows "net list" '(.name | type) == "string" and (.vlan | type) == "number" and (.mode | type) == "string"'
number='def n: type == "number";'
check "port list" jctl "$number"'length >= 4 and all(.[]; (.name | type) == "string" and (.type | type) == "string" and (.state == "up" or .state == "down") and (.rx_packets | n) and (.rx_bytes | n) and (.tx_packets | n) and (.tx_bytes | n) and (.drops | type) == "object" and has("network") and has("vlan"))' port list
check "a member port names its parent" jctl 'any(.[]; .parent == "g" and (.name | startswith("g/")))' port list
check "a trunk has neither network nor VLAN" jctl 'any(.[]; .name == "t" and .network == null and .vlan == null and .native == "office" and .trunk == "lab, office")' port list
check "mac list" rows "mac list" '(.mac | test("^([0-9a-f]{2}:){5}[0-9a-f]{2}$")) and has("vlan") and has("network") and has("port") and (.age | type) == "number" and (.static | type) == "boolean"'
check "lease list" rows "lease list" '.network == "lab" and has("mac") and has("address") and has("hostname") and has("port") and has("expires")'
check "nat list" rows "nat list" '.network == "lab" and has("proto") and (.inside | test(":")) and (.outside | test(":")) and (.remote | test(":")) and has("state") and (.expires | type) == "number"'
check "forward list" rows "forward list" '.network == "lab" and .proto == "tcp" and (.listen | type) == "string" and .to == "10.10.10.10:22"'
check "vlan list" rows "vlan list" '(.vlan | type) == "number"'
check "dns list" jctl 'any(.[]; .name == "alpha.lab.internal" and .network == "lab")' dns list
check "counters" jctl '(.ports | type) == "object" and (.drops | type) == "object"' counters
check "counters PORT" jctl '.ports | keys == ["a"]' counters a
check "counters --drops, in words" ctl counters --drops
check "show" jctl 'has("networks") and has("ports") and has("uplinks")' show
check "net show" jctl '.name == "lab"' net show lab
check "port show" jctl '.name == "a"' port show a
check "status" jctl '.networks == 2 and .ports >= 3' status
check "doctor" jctl '.' doctor
check "a completion for each shell" eval 'for s in bash zsh fish; do ctl completion $s | grep -q vswitchctl || exit 1; done'

same() { [ "$(jctl '.changes | length' config diff)" = 0 ]; }
check "what runs is the file" same
check "edits of each kind" eval 'ctl net add extra vlan 77 mode internal && ctl net set lab mtu 1400 && ctl port add x type tap interface tx network extra && ctl port set a isolated true && ctl forward add lab udp :53000 10.10.10.10:53 && ctl lease reserve lab 52:54:00:00:00:02 10.10.10.20 web2'
refute "are a difference" same
check "config save" ctl config save
check "and there is none any more" same
check "the file is good" "$VSWITCHD" -n -c "$CONFIG"
check "also for vswitchctl" ctl config check "$CONFIG"
ctl config show >"$T/shown"
daemon_stop
daemon_start
check "another start runs the same" eval 'ctl config show | diff "$T/shown" -'
check "with every edit" eval 'jctl "any(.[]; .name == \"extra\" and .vlan == 77)" net list && jctl "any(.[]; .name == \"x\")" port list && jctl "any(.[]; .proto == \"udp\")" forward list'
tap_again() { ip netns del "$PREFIX-a"; tap_guest a ta; ipn a link set ta down; ipn a link set ta address 52:54:00:00:00:02; ipn a link set ta up; dhcp a ta && [ "$(lease_word a ip)" = 10.10.10.20 ]; }
check "and the reservation" tap_again
check "which is taken back" ctl lease unreserve lab 52:54:00:00:00:02
check "config apply makes it what the file says" eval 'ctl config apply && same'
finish
