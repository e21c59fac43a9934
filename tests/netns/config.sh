#!/bin/bash
# A wrong file is refused whole, with file:line:column, the line, a caret and what was meant; the old
# configuration keeps running.
#
#	a (ta) --- vswitchd --- (tb) b
. "$(dirname "$0")/_story.sh"
need_root; need_tun; need jq

ns $SW
head_() { printf 'version: 1\nnetworks:\n'; }
good() { head_; cat <<EOC
  lab: { vlan: 10, mode: internal }
ports:
  a: { type: tap, interface: ta, network: lab }
  b: { type: tap, interface: tb, network: lab }
EOC
}
# refused TEXT LINE REGEX <<file: status 5, FILE:LINE:COLUMN, a caret, and REGEX
refused() {
	local status=0 text=$1
	cat >"$T/bad.yaml"
	"$VSWITCHD" -n -c "$T/bad.yaml" >"$T/check.out" 2>&1 || status=$?
	sed 's/^/  > /' "$T/check.out" >"$T/shown"
	[ $status = 5 ] || { cat "$T/shown"; fail "$text: status $status, wanted 5"; }
	grep -qE "bad.yaml:$2:[0-9]+: " "$T/check.out" || { cat "$T/shown"; fail "$text: no bad.yaml:$2:COLUMN"; }
	grep -qE '\^' "$T/check.out" || { cat "$T/shown"; fail "$text: no caret"; }
	grep -qiE "$3" "$T/check.out" || { cat "$T/shown"; fail "$text: nothing like '$3'"; }
	say "ok: $text"
}
good | config
check "-n accepts a good file" "$VSWITCHD" -n -c "$CONFIG"
refused "an unknown key, and what was meant" 3 "mode" < <(head_; echo '  lab: { vlan: 1, mdoe: internal }')
refused "a VLAN out of range" 3 "4094" < <(head_; echo '  lab: { vlan: 5000, mode: internal }')
refused "a VLAN used twice" 4 "lab" < <(head_; echo '  lab: { vlan: 10, mode: internal }'; echo '  lob: { vlan: 10, mode: internal }')
refused "a duplicate key" 4 "duplicate|twice|already" < <(head_; echo '  lab: { vlan: 10, mode: internal }'; echo '  lab: { vlan: 11, mode: internal }')
refused "a missing key" 3 "vlan" < <(head_; echo '  lab: { mode: internal }')
refused "a mode that is none" 3 "internal" < <(head_; echo '  lab: { vlan: 1, mode: internl }')
refused "a port's network that does not exist" 5 "lab" < <(head_; echo '  lab: { vlan: 10, mode: internal }'; printf 'ports:\n  a: { type: tap, interface: ta, network: lub }\n')
refused "a range outside the subnet" 5 "subnet|10.10.10" < <(printf 'version: 1\nuplinks: { host: { type: host } }\nnetworks:\n  lab: { vlan: 1, mode: nat, uplink: host, subnet: 10.10.10.0/24,\n    dhcp: { range: 10.10.11.5-10.10.11.9 } }\n')
refused "an IPv6 subnet, with its reason" 4 "ipv6" < <(printf 'version: 1\nuplinks: { host: { type: host } }\nnetworks:\n  lab: { vlan: 1, mode: nat, uplink: host, subnet: ["fd10:10::/64"] }\n')
refused "broken YAML" '[0-9]+' "." < <(head_; printf '  lab: { vlan: 10\nports: {}\n')
refused "two ports on one interface" 6 "ta" < <(head_; echo '  lab: { vlan: 10, mode: internal }'; printf 'ports:\n  a: { type: tap, interface: ta, network: lab }\n  b: { type: tap, interface: ta, network: lab }\n')
refused "no version" '[0-9]+' "version" < <(echo 'networks: {}')
status() { "$VSWITCHCTL" config check "$T/bad.yaml" >/dev/null 2>&1; [ $? = 5 ]; }
check "vswitchctl config check says the same" status

daemon_start
tap_guest a ta 10.0.0.1/24; tap_guest b tb 10.0.0.2/24
check "a pings b" pings a 10.0.0.2
expect_log 'config.yaml|refused|\^|vlan: 5000|expected|error'
sed -i 's/vlan: 10/vlan: 5000/' "$CONFIG"
kill -HUP "$DAEMON"
check "a reload of a wrong file is refused in the log" wait_for 3 grep -q refused "$LOG"
check "with the caret" grep -q '\^' "$LOG"
check "and the old configuration goes on" pings a 10.0.0.2
check "config show is the running one" eval 'ctl config show | grep -q "vlan: 10"'
check "a typed mistake is refused too" eval '! ctl port add c type tap interface tc network lub 2>"$T/err"'
check "naming what was meant" grep -q "lab" "$T/err"
finish
