/* The configuration: what is accepted, what each mistake is answered with and where the
 * caret stands, that print and parse agree, and run-time edits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/config.h"

static const struct config_defaults defaults = {"/run/vswitchd/control.sock", "/var/lib/vswitchd"};

/* Three lines every snippet can start with; what follows begins on line 3, 4 or 5. */
#define V "version: 1\n"
#define UP                                                                                         \
	V "uplinks: {host: {type: host}, wan: {type: interface, interface: e1, address: "          \
	  "192.0.2.2/24}}\n"
#define NETS                                                                                       \
	UP "networks: {lab: {vlan: 10, mode: nat, subnet: 10.10.10.0/24}, office: {vlan: 30, "     \
	   "mode: bridged}}\n"
/* A network on line 4, its extra keys starting at column 12. */
#define NET(extra)                                                                                 \
	UP "networks:\n  lab: {   " extra ", vlan: 10, mode: nat, subnet: 10.10.10.0/24}\n"
#define PORT(body)     NETS "ports:\n  p1: {" body "}\n"
#define PORT_WITH(key) PORT(key ", type: dgram, socket: /r/s, network: lab")
#define TWO(a, b)      NETS "ports:\n  p1: {" a "}\n  p2: {" b "}\n"

static const struct bad {
	const char *text;
	unsigned line, col;
	const char *says;
} bad[] = {
	/* the language */
	{"version: 1\nports: {a: {type: tap,\n  b: [}\n", 3, 7, "mismatched flow mapping end"},
	{"version: 1\nports:\n\ta: b\n", 3, 1, "tab character may not be used as indentation"},
	{"version: 1\nstate: \"/x\n", 2, 9, "without closing quote"},
	{"version: 1\nversion: 1\n", 2, 1, "'version' is given twice (first on line 1)"},
	{V "ports: &a {}\n", 2, 11, "anchors and tags are not used"},
	{V "state: *a\n", 2, 8, "aliases are not used here"},
	{V "state: !!str /x\n", 2, 14, "anchors and tags"},
	{V "ports: {}\n---\nversion: 1\n", 1, 1, "a second document follows"},
	{V "? [a]\n: b\n", 2, 3, "a key must be a word"},
	{V "state: \"/a\\nb\"\n", 2, 8, "control character"},
	{"%YAML 1.2\n---\nversion: 1\n", 1, 1, "directives are not used"},
	{V "state: /\xc3(\n", 2, 9, "does not belong in a text"},
	{V "state: /\x01\n", 2, 9, "does not belong in a text"},
	{"[1, 2]\n", 1, 1, "config must be a mapping"},
	{"just words\n", 1, 1, "config must be a mapping"},
	/* the top */
	{"ports: {}\n", 1, 1, "'version' is missing"},
	{"", 0, 0, "'version' is missing"},
	{"version: 2\n", 1, 10, "version '2' is not known"},
	{V "prots: {}\n", 2, 1, "unknown key 'prots' (did you mean 'ports'?)"},
	{V "colour: red\n", 2, 1, "unknown key 'colour'\n"},
	{V "workers: 0\n", 2, 10, "must be a number from 1 to 16 or 'auto', not '0'"},
	{V "workers: many\n", 2, 10, "must be a number from 1 to 16 or 'auto'"},
	{V "state: var/lib\n", 2, 8, "must be an absolute path"},
	{V "state:\n", 2, 1, "'state' has no value"},
	{V "ports: [a]\n", 2, 1, "'ports' must be a mapping of names"},
	{V "limits: {macs: 1}\n", 2, 16, "macs 1 is out of range (64 to 4194304)"},
	{V "limits: {macs: 99999999999}\n", 2, 16, "'macs' must be a number"},
	{V "limits: {macs: -1}\n", 2, 16, "'macs' must be a number"},
	{V "control: {socket: [a, b]}\n", 2, 11, "'socket' must be one value, not a list"},
	{V "control: on\n", 2, 10, "control must be a mapping"},
	/* uplinks */
	{V "uplinks: {u: {type: hots}}\n", 2, 21, "unknown type 'hots' (did you mean 'host'?)"},
	{V "uplinks: {u: {type: q}}\n", 2, 21, "unknown type 'q' (one of host, interface, network)"},
	{V "uplinks: {u: {}}\n", 2, 11, "'type' is missing: one of host, interface, network"},
	{V "uplinks: {u: {type: network, network: lab}}\n", 2, 11,
	 "'address' is missing: type 'network' needs it"},
	{V "uplinks: {u: {type: interface, address: 192.0.2.2/24}}\n", 2, 11,
	 "'interface' is missing: type 'interface' needs it"},
	{V "uplinks: {u: {type: interface, interface: e1}}\n", 2, 11, "'address' is missing"},
	{V "uplinks: {u: {type: interface, interface: e1, address: shared}}\n", 2, 56, "'shared' needs 'ports'"},
	{V "uplinks: {u: {type: interface, interface: e1, address: shared, ports: 80-90}}\n", 2, 71,
	 "'ports' must be FIRST-LAST"},
	{V "uplinks: {u: {type: interface, interface: e1, address: shared, ports: 4000-5000, gateway: 192.0.2.1}}\n",
	 2, 91, "the host's routes count"},
	{V "uplinks: {u: {type: interface, interface: e1, address: 192.0.2.2/24, ports: 4000-5000}}\n", 2, 77,
	 "'ports' goes with `address: shared` only"},
	{V "uplinks: {u: {type: network, network: n, address: shared}}\nnetworks: {n: {vlan: 1, mode: bridged}}\n",
	 2, 51, "'shared' goes with type interface"},
	{V "uplinks: {u: {type: interface, interface: e1, address: shared, ports: 4000-5000}}\nnetworks: {n: {vlan: "
	   "1, mode: nat, subnet: 10.0.0.0/24, forward: [{proto: tcp, listen: ':80', to: '10.0.0.9:80'}]}}\n",
	 3, 88, "the ports of uplink 'u' are 4000-5000"},
	{V "uplinks: {u: {type: interface, interface: e1, address: 192.0.2.2}}\n", 2, 56,
	 "needs a prefix length"},
	{V "uplinks: {u: {type: interface, interface: e1, address: 192.0.2.0/24}}\n", 2, 56,
	 "not an address a host can have"},
	{V "uplinks: {u: {type: interface, interface: e1, address: 192.0.2.2/24, gateway: "
	   "192.0.3.1}}\n",
	 2, 79, "gateway 192.0.3.1 is outside the subnet 192.0.2.0/24"},
	{V "uplinks: {u: {type: interface, interface: e1, address: 192.0.2.2/24, gateway: "
	   "192.0.2.2}}\n",
	 2, 79, "own address"},
	{V "uplinks: {u: {type: host, interface: e1}}\n", 2, 27,
	 "'interface' does not go with type 'host' (only with interface)"},
	{V "uplinks: {u: {type: host, loopback: yes}}\n", 2, 37,
	 "must be true or false, not 'yes'"},
	{UP "networks: {}\nports: {a: {type: netdev, interface: e1, trunk: 5}}\n", 4, 38,
	 "interface 'e1' is already used by uplink 'wan'"},
	/* networks */
	{NET("vlam: 3"), 4, 12, "unknown key 'vlam' (did you mean 'vlan'?)"},
	{UP "networks: {a: {vlan: 0, mode: internal}}\n", 3, 22,
	 "vlan 0 is out of range (1 to 4094)"},
	{UP "networks: {a: {vlan: 4095, mode: internal}}\n", 3, 22, "vlan 4095 is out of range"},
	{UP "networks: {a: {mode: internal}}\n", 3, 12, "'vlan' is missing"},
	{UP "networks: {a: {vlan: 1, mode: internal}, b: {vlan: 1, mode: internal}}\n", 3, 52,
	 "VLAN 1 is already network 'a'"},
	{UP "networks: {a: {vlan: 1, mode: routed}}\n", 3, 12,
	 "'subnet' is missing: mode 'routed' needs it"},
	{UP "networks: {a: {vlan: 1, mode: host-only}}\n", 3, 12,
	 "'subnet' is missing: mode 'host-only' needs it"},
	{UP "networks: {a/b: {vlan: 1, mode: internal}}\n", 3, 12, "'a/b' is not a network name"},
	{UP "networks: {\"100\": {vlan: 1, mode: internal}}\n", 3, 12, "looks like a VLAN number"},
	{UP "networks: {a: {vlan: 1, mode: nat}}\n", 3, 12,
	 "'subnet' is missing: mode 'nat' needs it"},
	{V "networks: {a: {vlan: 1, mode: nat, subnet: 10.0.0.0/24}}\n", 2, 12, "needs an uplink"},
	{NET("uplink: wann"), 4, 20, "uplink 'wann' is not defined (did you mean 'wan'?)"},
	{NET("uplink: [host, nowhere]"), 4, 27, "uplink 'nowhere' is not defined"},
	{NET("uplink: [host, host]"), 4, 27, "uplink 'host' stands here already"},
	{NET("uplink: []"), 4, 12, "a name, or a list"},
	{UP "networks: {a: {vlan: 1, mode: nat, subnet: 10.0.0.5/24}}\n", 3, 44,
	 "has host bits set (did you mean 10.0.0.0/24?)"},
	{UP "networks: {a: {vlan: 1, mode: nat, subnet: 10.0.0.0/31}}\n", 3, 44,
	 "a subnet is a /8 to a /30"},
	{UP "networks: {a: {vlan: 1, mode: nat, subnet: 10.0.0.0}}\n", 3, 44,
	 "needs a prefix length"},
	{UP "networks: {a: {vlan: 1, mode: nat, subnet: [10.0.0.0/24, \"fd00::/48\"]}}\n", 3, 58,
	 "an IPv6 subnet is a /64, not a /48"},
	{UP "networks: {a: {vlan: 1, mode: nat, subnet: [10.0.0.0/24, \"fd00::1/64\"]}}\n", 3, 58,
	 "fd00::1/64 has host bits set (did you mean fd00::/64?)"},
	{UP "networks: {a: {vlan: 1, mode: nat, subnet: [10.0.0.0/24, \"fe80::/64\"]}}\n", 3, 58,
	 "no subnet that hosts can use"},
	{UP "networks: {a: {vlan: 1, mode: nat, subnet: [10.0.0.0/24, \"fd00::/64\", \"fd01::/64\"]}}\n", 3, 71,
	 "'subnet' takes one IPv6 value, this is one more"},
	{UP "networks: {a: {vlan: 1, mode: nat, subnet: [10.0.0.0/24, \"fd00::/64\"], mtu: 1000}}\n", 3, 77,
	 "IPv6 needs an mtu of 1280 or more"},
	{UP "networks: {a: {vlan: 1, mode: nat-per-vm, subnet: [10.0.0.0/24, \"fd00::/64\"]}}\n", 3, 65,
	 "IPv6 with mode 'nat-per-vm' is not built yet"},
	{UP "networks: {a: {vlan: 1, mode: nat, subnet: [10.0.0.0/24, \"fd00::/64\"]}, "
	    "b: {vlan: 2, mode: nat, subnet: [10.1.0.0/24, \"fd00::/64\"]}}\n", 3, 119,
	 "the subnet overlaps fd00::/64 of network 'a'"},
	{UP "networks: {a: {vlan: 1, mode: nat, subnet: \"fd00::/64\"}}\n", 3, 44,
	 "a network of IPv6 alone is not built yet"},
	{UP "networks: {a: {vlan: 1, mode: nat, subnet: [10.0.0.0/24, 10.1.0.0/24]}}\n", 3, 58,
	 "takes one IPv4 value"},
	{UP "networks: {a: {vlan: 1, mode: nat, subnet: 127.0.0.0/8}}\n", 3, 44,
	 "no subnet that hosts can use"},
	{UP "networks: {a: {vlan: 1, mode: nat, subnet: 10.0.0.0/8}, b: {vlan: 2, mode: nat, "
	    "subnet: 10.1.0.0/16}}\n",
	 3, 89, "the subnet overlaps 10.0.0.0/8 of network 'a'"},
	{UP "networks: {a: {vlan: 1, mode: nat, uplink: wan, subnet: 192.0.2.0/25}}\n", 3, 57,
	 "overlaps 192.0.2.2/24 of uplink 'wan'"},
	{NET("gateway: 10.10.11.1"), 4, 21,
	 "gateway 10.10.11.1 is outside the subnet 10.10.10.0/24"},
	{NET("gateway: 10.10.10.0"), 4, 21, "gateway 10.10.10.0 is the network address"},
	{NET("gateway: 10.10.10.255"), 4, 21, "is the broadcast address"},
	{NET("gateway: fd00--1"), 4, 21, "must be an IPv4 address"},
	{NET("mtu: 100"), 4, 17, "mtu 100 is out of range (576 to 65535)"},
	{UP "networks: {a: {vlan: 1, mode: bridged, dhcp: true}}\n", 3, 40,
	 "'dhcp' does not go with mode 'bridged' (only with nat, host-only, routed, nat-per-vm)"},
	{UP "networks: {a: {vlan: 1, mode: internal, gateway: 10.0.0.1}}\n", 3, 41,
	 "'gateway' does not go with mode 'internal'"},
	{UP "networks: {a: {vlan: 1, mode: internal, routes: []}}\n", 3, 41,
	 "'routes' does not go with mode 'internal' (only with routed)"},
	/* DHCP and DNS */
	{NET("dhcp: maybe"), 4, 18, "must be a mapping, true or false"},
	{NET("dhcp: {range: 10.10.10.50-10.10.11.199}"), 4, 26,
	 "DHCP range ends outside the subnet 10.10.10.0/24"},
	{NET("dhcp: {range: 10.10.9.50-10.10.10.199}"), 4, 26,
	 "DHCP range begins outside the subnet"},
	{NET("dhcp: {range: 10.10.10.90-10.10.10.50}"), 4, 26, "ends before it begins"},
	{NET("dhcp: {range: 10.10.10.90}"), 4, 26, "must be FIRST-LAST"},
	{NET("dhcp: {range: 10.10.10.1-10.10.10.9}"), 4, 26, "contains the gateway 10.10.10.1"},
	{NET("dhcp: {range: 10.10.10.200-10.10.10.255}"), 4, 26, "ends with the broadcast address"},
	{NET("dhcp: {lease: 30s}"), 4, 26, "lease 30s is out of range (1m to 365d)"},
	{NET("dhcp: {lease: 12hours}"), 4, 26, "must be a time"},
	{NET("dhcp: {leese: 12h}"), 4, 19, "unknown key 'leese' (did you mean 'lease'?)"},
	{NET("dhcp: {options: {300: x}}"), 4, 29, "a DHCP option is a number from 1 to 254"},
	{NET("dhcp: {options: {53: 1}}"), 4, 29, "DHCP option 53 is set by the server itself"},
	{NET("dhcp: {options: {42: ntp}}"), 4, 33, "DHCP option 42 takes IPv4 addresses"},
	{NET("dhcp: {options: {26: 70000}}"), 4, 33, "option 26 takes a number up to 65535"},
	{NET("dhcp: {options: {224: 0xabc}}"), 4, 34, "option 224 takes text, or hex digits"},
	{NET("dhcp: {reservations: [{address: 10.10.10.9}]}"), 4, 34, "'mac' is missing"},
	{NET("dhcp: {reservations: [{mac: '52:54:00:00:00:01', address: 10.10.9.9}]}"), 4, 70,
	 "address 10.10.9.9 is outside the subnet"},
	{NET("dhcp: {reservations: [{mac: '52:54:00:00:00:01', address: 10.10.10.1}]}"), 4, 70,
	 "address 10.10.10.1 is the gateway"},
	{NET("dhcp: {reservations: [{mac: '01:54:00:00:00:01', address: 10.10.10.9}]}"), 4, 40,
	 "not the address of one station"},
	{NET("dhcp: {reservations: [{mac: '52:54:00:00:01', address: 10.10.10.9}]}"), 4, 40,
	 "must be a MAC address"},
	{NET("dhcp: {reservations: [{mac: '52:54:00:00:00:01', address: 10.10.10.9, hostname: "
	     "a.b}]}"),
	 4, 92, "is not a host name"},
	{NET("dhcp: {reservations: [{mac: '52:54:00:00:00:01', address: 10.10.10.9}, {mac: "
	     "'52:54:00:00:00:02', address: 10.10.10.9}]}"),
	 4, 119, "address 10.10.10.9 is already reserved for 52:54:00:00:00:01"},
	{NET("dhcp: {reservations: [{mac: '52:54:00:00:00:01', address: 10.10.10.9}, {mac: "
	     "'52:54:00:00:00:01', address: 10.10.10.8}]}"),
	 4, 89, "has a reservation already"},
	{NET("dns: {domain: -lab}"), 4, 26, "'-lab' is not a domain"},
	{NET("dns: {address: 10.10.11.1}"), 4, 27, "DNS address 10.10.11.1 is outside the subnet"},
	{NET("dns: {upstream: [system, 9.9.9.9]}"), 4, 29, "'upstream' must be an IPv4 address"},
	{NET("dns: {upstream: []}"), 4, 18, "'upstream' takes 'system' or one to eight addresses"},
	{NET("dns: {upstream: \"2620:fe::9\"}"), 4, 28, "IPv6 addresses are not built yet"},
	/* forwards and NAT */
	{NET("forward: [{proto: sctp, listen: ':1', to: '10.10.10.2:1'}]"), 4, 30,
	 "unknown proto 'sctp'"},
	{NET("forward: [{proto: tcp, listen: '80', to: '10.10.10.2:1'}]"), 4, 43,
	 "'listen' must be ADDRESS:PORT or :PORT"},
	{NET("forward: [{proto: tcp, listen: ':70000', to: '10.10.10.2:1'}]"), 4, 43,
	 "'listen' must be ADDRESS:PORT"},
	{NET("forward: [{proto: tcp, listen: ':80', to: '10.10.10.2'}]"), 4, 54,
	 "'to' must be ADDRESS:PORT or NAME:PORT"},
	{NET("forward: [{proto: tcp, listen: ':80', to: '10.10.11.2:80'}]"), 4, 54,
	 "target 10.10.11.2 is outside the subnet 10.10.10.0/24"},
	{NET("forward: [{proto: tcp, listen: ':80', to: '10.10.10.1:80'}]"), 4, 54,
	 "10.10.10.1 is the gateway"},
	{NET("forward: [{proto: tcp, listen: ':80', to: 'a:80', port: p}]"), 4, 68,
	 "'port' goes with mode nat-per-vm only"},
	{NET("forward: [{proto: tcp, listen: ':80', to: 'a:80'}, {proto: tcp, listen: "
	     "'127.0.0.1:80', to: 'b:80'}]"),
	 4, 84, "already leads to a of network 'lab'"},
	{NET("uplink: wan, forward: [{proto: tcp, listen: '127.0.0.1:80', to: 'a:80'}]"), 4, 56,
	 "a loopback address goes with uplinks of type host only"},
	{NET("uplink: wan, forward: [{proto: tcp, listen: '192.0.2.3:80', to: 'a:80'}]"), 4, 56,
	 "must be the address of uplink 'wan', 192.0.2.2"},
	{NET("forward: {proto: tcp}"), 4, 12, "'forward' must be a list of mappings"},
	{NET("nat: {mapping: address-dependent}"), 4, 27,
	 "mapping 'address-dependent' is not built yet: RFC 4787"},
	{NET("nat: {filtering: none}"), 4, 29, "unknown filtering 'none'"},
	{NET("nat: {udp-timeout: 0}"), 4, 31, "udp-timeout 0 is out of range"},
	{NET("uplink: wan, nat: {port-control: [pcp, nat-pnp]}"), 4, 51,
	 "unknown port-control 'nat-pnp' (did you mean 'nat-pmp'?)"},
	{NET("uplink: wan, nat: {port-control: [[pcp]]}"), 4, 46, "takes a word or a list of them"},
	{NET("nat: {port-control: pcp}"), 4, 32,
	 "'port-control' does not go through uplink 'host': a port there is the host's own"},
	{NET("uplink: wan, nat: {port-control-mappings: 0}"), 4, 54, "is out of range (1 to 1024)"},
	{NET("nat: {port-block: 5000}"), 4, 30, "port-block 5000 is out of range"},
	{NET("nat: {sessions-per-guest: 1}"), 4, 38, "sessions-per-guest 1 is out of range"},
	/* ports */
	{PORT_WITH("netwrok: lab"), 5, 8, "unknown key 'netwrok' (did you mean 'network'?)"},
	{PORT_WITH("rate: 10M"), 5, 8, "'rate' is not built yet"},
	{PORT_WITH("protect: []"), 5, 8, "'protect' is not built yet"},
	{PORT_WITH("qinq: {outer: 3}"), 5, 8, "'qinq' is not built yet"},
	{PORT_WITH("listen: /x"), 5, 8,
	 "'listen' does not go with type 'dgram' (only with stream)"},
	{PORT_WITH("mode: 0999"), 5, 14, "octal permission bits"},
	{PORT_WITH("mac: ff:ff:ff:ff:ff:ff"), 5, 13, "not the address of one station"},
	{PORT_WITH("native: 5"), 5, 8, "'native' goes with 'trunk' only"},
	{PORT_WITH("trunk: [lab]"), 5, 8, "either 'network' or 'trunk'"},
	{PORT("type: vhost-user, network: lab"), 5, 3,
	 "'socket' is missing: type 'vhost-user' needs it"},
	{PORT("type: vhost-user, socket: /r/s, role: servr, network: lab"), 5, 46,
	 "unknown role 'servr' (did you mean 'server'?)"},
	{PORT("type: vhost-user, socket: /r/s, queues: 65, network: lab"), 5, 48,
	 "queues 65 is out of range"},
	{PORT("type: vhost-user, socket: /r/s, role: client, mode: 0600, network: lab"), 5, 54,
	 "'mode' goes with role 'server' only"},
	{PORT("type: vhost-user, socket: /run/vswitchd/control.sock, network: lab"), 5, 34,
	 "this is the control socket"},
	{PORT("type: vhost-user, socket: /r/s, config-space: maybe, network: lab"), 5, 54,
	 "'config-space' must be true or false"},
	{PORT_WITH("config-space: false"), 5, 8,
	 "'config-space' does not go with type 'dgram' (only with vhost-user)"},
	{PORT_WITH("queues: 2"), 5, 8,
	 "'queues' does not go with type 'dgram' (only with vhost-user)"},
	{PORT("type: dgrm, socket: /r/s, network: lab"), 5, 14,
	 "unknown type 'dgrm' (did you mean 'dgram'?)"},
	{PORT("type: dgram, network: lab"), 5, 3, "'socket' is missing: type 'dgram' needs it"},
	{PORT("type: dgram, socket: /r/s"), 5, 3, "'network' is missing"},
	{PORT("type: dgram, socket: /r/s, network: lba"), 5, 44,
	 "network 'lba' is not defined (did you mean 'lab'?)"},
	{PORT("type: dgram, socket: r/s, network: lab"), 5, 29, "must be an absolute path"},
	{PORT("type: dgram, socket: /run/vswitchd/control.sock, network: lab"), 5, 29,
	 "this is the control socket"},
	{PORT("type: dgram, socket: "
	      "/0123456789012345678901234567890123456789012345678901234567890123456789"
	      "01234567890123456789012345678901234567, network: lab"),
	 5, 29, "the path is too long: 109 bytes, at most 107"},
	{PORT("type: stream, network: lab"), 5, 3, "needs either 'listen' or 'connect'"},
	{PORT("type: stream, listen: /a, connect: /b, network: lab"), 5, 34,
	 "needs either 'listen' or 'connect'"},
	{PORT("type: udp, listen: '127.0.0.1:1', network: lab"), 5, 3,
	 "'peer' is missing: type 'udp' needs it"},
	{PORT("type: udp, listen: '127.0.0.1:1', peer: '127.0.0.1:0', network: lab"), 5, 48,
	 "a port from 1 to 65535"},
	{PORT("type: tap, network: lab"), 5, 3, "'interface' is missing: type 'tap' needs it"},
	{PORT("type: tap, interface: sixteen-letters-, network: lab"), 5, 30,
	 "is too long: at most 15"},
	{PORT("type: tap, interface: a/b, network: lab"), 5, 30,
	 "not a name an interface can have"},
	{PORT("type: tap, interface: t1, network: lab, address: 10.10.10.1/24"), 5, 57,
	 "is the gateway of network 'lab'"},
	{PORT("type: netdev, network: lab"), 5, 3, "'interface' is missing"},
	{PORT("type: netdev, interface: x1, network: lab, host: hide"), 5, 57,
	 "unknown host 'hide' (one of exclude, share)"},
	{PORT("type: netdev, interface: x1, trunk: [lab, offise]"), 5, 50,
	 "network 'offise' is not defined (did you mean 'office'?)"},
	{PORT("type: netdev, interface: x1, trunk: [lab, 5000]"), 5, 50, "out of range"},
	{PORT("type: netdev, interface: x1, trunk: [200-100]"), 5, 45, "out of range"},
	{PORT("type: netdev, interface: x1, trunk: []"), 5, 37, "'trunk' takes a list"},
	{PORT("type: netdev, interface: x1, trunk: [lab], native: office"), 5, 59,
	 "native 'office' is not in the trunk"},
	{NETS "ports:\n  \"tap*\": {type: dgram, socket: /r/s, network: lab}\n", 5, 3,
	 "a pattern goes with type 'netdev' only"},
	{NETS "ports:\n  \"tap*\": {type: netdev, interface: e4, network: lab}\n", 5, 37,
	 "a pattern names its interfaces itself"},
	{NETS "ports:\n  \"t!p\": {type: netdev, network: lab}\n", 5, 3,
	 "'t!p' is neither a port name nor a pattern"},
	{NETS "ports:\n  \"t[ap\": {type: netdev, network: lab}\n", 5, 3, "a [ that is not closed"},
	{NETS "ports:\n  \"tap*\": {type: netdev, network: lab}\n  \"*p1i\": {type: netdev, "
	      "network: lab}\n",
	 6, 3, "tie"},
	{NETS "ports:\n  \"t?p\": {type: netdev, network: lab}\n  \"ta[a-z]\": {type: netdev, "
	      "network: lab}\n",
	 6, 3, "tie"},
	{TWO("type: dgram, socket: /r/s, network: lab", "type: stream, listen: /r/s, network: lab"),
	 6, 30, "already used by port 'p1'"},
	{TWO("type: tap, interface: t1, network: lab", "type: netdev, interface: t1, network: lab"),
	 6, 33, "interface 't1' is already used by port 'p1'"},
	{TWO("type: udp, listen: ':5', peer: '127.0.0.1:6', network: lab",
	     "type: udp, listen: '127.0.0.1:5', peer: '127.0.0.1:7', network: lab"),
	 6, 27, "already used by port 'p1'"},
	{V
	 "limits: {ports: 4}\nuplinks: {host: {type: host}}\nnetworks: {l: {vlan: 1, mode: "
	 "internal}}\nports:\n"
	 "  a: {type: dgram, socket: /a, network: l}\n  b: {type: dgram, socket: /b, network: l}\n"
	 "  c: {type: dgram, socket: /c, network: l}\n  d: {type: dgram, socket: /d, network: l}\n"
	 "  e: {type: dgram, socket: /e, network: l}\n",
	 5, 1, "5 ports are more than limits.ports, 4"},
};

/* What config_parse() prints for a text it must refuse. */
static char *refusal(const char *text)
{
	char *said = NULL;
	size_t size;
	FILE *err = open_memstream(&said, &size);
	struct config *c = config_parse(text, "t", &defaults, err);
	fclose(err);
	if (c) {
		print_message("accepted:\n%s", text);
		fail();
	}
	return said;
}

static struct config *accept(const char *text)
{
	struct config *c = config_parse(text, "t", &defaults, stderr);
	assert_non_null(c);
	return c;
}

static unsigned count(const char *in, const char *what)
{
	unsigned n = 0;
	for (; (in = strstr(in, what)); in++)
		n++;
	return n;
}

static void test_refused(void **state)
{
	unsigned failed = 0;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		char want[64] = "t: error: ";
		if (bad[i].line)
			snprintf(want, sizeof(want), "t:%u:%u: error: ", bad[i].line, bad[i].col);
		char *said = refusal(bad[i].text);
		if (strncmp(said, want, strlen(want)) || !strstr(said, bad[i].says) ||
		    count(said, "error: ") != 1) {
			print_message("%s\nwanted: %s...%s\n  said: %s\n", bad[i].text, want,
				      bad[i].says, said);
			failed++;
		}
		free(said);
	}
	assert_int_equal(failed, 0);
}

static void test_caret(void **state)
{
	char *said = refusal("version: 1\nports:\n\tx: y\n");
	assert_string_equal(
		said, "t:3:1: error: tab character may not be used as indentation\n\tx: y\n^\n");
	free(said);
	said = refusal("version: 1\nlimits: { macs: 12345678, #\tp\xc3\xa4\n\n  ports: 3 }\r\n");
	assert_string_equal(said, "t:2:17: error: macs 12345678 is out of range (64 to 4194304)\n"
				  "limits: { macs: 12345678, #\tp\xc3\xa4\n"
				  "                ^~~~~~~~\n"
				  "t:4:10: error: ports 3 is out of range (4 to 4096)\n"
				  "  ports: 3 }\n"
				  "         ^\n");
	free(said);
	said = refusal("version: 1\nuplinks: { \"\xc3\xa4\": {type: host}, h: {typ: host}}\n");
	assert_non_null(
		strstr(said, "\n           ^~~\n")); /* columns count characters, not bytes */
	assert_non_null(strstr(said, "t:2:35: error: unknown key 'typ' (did you mean 'type'?)\n"));
	assert_int_equal(count(said, "error: "), 2); /* and not: 'type' is missing */
	free(said);
}

static void test_many_errors(void **state)
{
	char text[2000] = "version: 1\nports:\n";
	for (int i = 0; i < 30; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "  p%d: {type: tup}\n",
			 i);
	char *said = refusal(text);
	assert_int_equal(count(said, "error: "), 20);
	assert_non_null(strstr(said, "t: 10 more errors"));
	free(said);
}

static be32 ip(const char *s)
{
	be32 a = 0;
	assert_int_equal(ip4_parse(s, &a), 0);
	return a;
}

static void test_builtin(void **state)
{
	struct config *c = config_builtin(&(struct config_defaults){"/r/v/c.sock", "/s"});
	assert_non_null(c);
	assert_null(c->path);
	assert_int_equal(c->n_uplinks, 1);
	assert_int_equal(c->uplinks[0].type, UPLINK_HOST);
	assert_false(c->uplinks[0].loopback);
	const struct cfg_network *n = config_network(c, "lab");
	assert_non_null(n);
	assert_ptr_equal(n, config_network_of_vlan(c, 1));
	assert_int_equal(n->mode, MODE_NAT);
	assert_true(n->dhcp && n->dns && n->upstream_system);
	assert_string_equal(n->domain, "lab.internal");
	assert_int_equal(n->gateway, ip("10.10.10.1"));
	assert_int_equal(n->dns_address, ip("10.10.10.1"));
	assert_int_equal(n->range_first, ip("10.10.10.2"));
	assert_int_equal(n->range_last, ip("10.10.10.254"));
	assert_int_equal(n->lease_s, 12 * 3600);
	assert_int_equal(n->mtu, 1500);
	assert_int_equal(n->udp_timeout_s, 300);
	assert_int_equal(n->tcp_established_s, 7440);
	const struct cfg_port *p = config_port(c, "lab");
	assert_string_equal(p->socket, "/r/v/lab.dgram");
	assert_int_equal(p->type, PORT_DGRAM);
	assert_int_equal(p->mode, 0660);
	assert_string_equal(c->state_dir, "/s");
	assert_string_equal(c->control_socket, "/r/v/c.sock");
	config_free(c);
}

static void test_values(void **state)
{
	struct config *c = config_load("tests/config/good/everything.yaml", &defaults, stderr);
	assert_non_null(c);
	assert_string_equal(c->path, "tests/config/good/everything.yaml");
	assert_int_equal(c->max_ports, 256);
	assert_int_equal(c->workers, 2);
	const struct cfg_network *n = config_network(c, "lab");
	assert_int_equal(n->n_options, 4);
	assert_int_equal(n->options[0].code, 42);
	assert_int_equal(n->options[0].len, 4);
	assert_memory_equal(n->options[1].data, "\3lab\10internal\0\7example\3org",
			    n->options[1].len);
	assert_memory_equal(n->options[2].data, "\5\170", 2);
	assert_memory_equal(n->options[3].data, "\12\13", 2);
	assert_int_equal(n->n_reservations, 2);
	assert_string_equal(n->reservations[0].hostname, "web1");
	assert_int_equal(n->reservations[1].mac.b[5], 2);
	assert_false(n->upstream_system);
	assert_int_equal(n->n_upstreams, 2);
	assert_int_equal(n->n_forwards, 2);
	assert_int_equal(n->forwards[0].listen, ip("127.0.0.1"));
	assert_int_equal(n->forwards[0].to_port, 22);
	assert_string_equal(n->forwards[1].to_name, "web1");
	assert_int_equal(n->forwards[1].proto, PROTO_UDP);
	assert_int_equal(n->filtering, FILTER_ADDRESS_AND_PORT_DEPENDENT);
	const struct cfg_network *dmz = config_network(c, "dmz");
	assert_false(dmz->dhcp);
	assert_true(dmz->dns);
	assert_string_equal(dmz->uplink, "wan");
	assert_int_equal(dmz->port_control, CONTROL_NAT_PMP | CONTROL_PCP | CONTROL_UPNP);
	assert_int_equal(dmz->port_control_mappings, 8);
	assert_int_equal(n->port_control, 0);
	assert_int_equal(n->port_control_mappings, 32);
	assert_false(config_network(c, "office")->dhcp || config_network(c, "quiet")->dns);
	const struct cfg_port *up = config_port(c, "up");
	assert_true(up->is_trunk);
	assert_int_equal(up->native_vlan, 30);
	assert_true(vlan_set_has(&up->trunk, 10) && vlan_set_has(&up->trunk, 30) &&
		    vlan_set_has(&up->trunk, 199));
	assert_false(vlan_set_has(&up->trunk, 200) || vlan_set_has(&up->trunk, 20));
	assert_string_equal(up->trunk_text, "lab, office, 100-199");
	assert_int_equal(up->host, HOST_SHARE);
	assert_int_equal(config_port(c, "tap*i1")->host, HOST_UNSET);
	assert_true(config_port(c, "tap*i1")->is_pattern && !up->is_pattern);
	assert_int_equal(config_port(c, "web1")->mode, 0600);
	assert_string_equal(config_port(c, "web1")->group, "kvm");
	assert_string_equal(config_port(c, "vm3")->group, "vswitch"); /* of the control socket */
	assert_null(config_port(c, "gw0")->group);
	assert_true(config_port(c, "vm3")->has_mac && !config_port(c, "vm4")->has_mac);
	assert_true(config_port(c, "gw0")->has_address);
	assert_true(config_port(c, "db1")->config_space && !config_port(c, "db2")->config_space);
	assert_null(config_port(c, "nobody"));
	config_free(c);
}

/* The default range is the larger part beside what the switch uses itself. */
static void test_default_range(void **state)
{
	static const struct {
		const char *keys, *first, *last;
	} rows[] = {
		{"subnet: 10.1.0.0/24", "10.1.0.2", "10.1.0.254"},
		{"subnet: 10.1.0.0/24, gateway: 10.1.0.254", "10.1.0.1", "10.1.0.253"},
		{"subnet: 10.1.0.0/24, gateway: 10.1.0.100", "10.1.0.101", "10.1.0.254"},
		{"subnet: 10.1.0.0/24, gateway: 10.1.0.200", "10.1.0.1", "10.1.0.199"},
		{"subnet: 10.1.0.0/24, gateway: 10.1.0.254, dns: {address: 10.1.0.1}", "10.1.0.2",
		 "10.1.0.253"},
		{"subnet: 10.1.0.0/24, gateway: 10.1.0.254, dns: false", "10.1.0.1", "10.1.0.253"},
		{"subnet: 10.1.0.0/30", "10.1.0.2", "10.1.0.2"},
		{"subnet: 10.1.0.0/30, gateway: 10.1.0.2", "10.1.0.1", "10.1.0.1"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char text[400];
		snprintf(text, sizeof(text), UP "networks: {a: {vlan: 1, mode: nat, %s}}\n",
			 rows[i].keys);
		struct config *c = accept(text);
		assert_int_equal(c->networks[0].range_first, ip(rows[i].first));
		assert_int_equal(c->networks[0].range_last, ip(rows[i].last));
		config_free(c);
	}
}

static void test_default_uplink(void **state)
{
	struct config *c = accept(NETS);
	assert_string_equal(config_network(c, "lab")->uplink, "host");
	assert_null(config_network(c, "office")->uplink);
	config_free(c);
	c = accept(V "uplinks: {only: {type: host}}\nnetworks: {a: {vlan: 1, mode: nat, subnet: "
		     "10.0.0.0/8}}\n");
	assert_string_equal(c->networks[0].uplink, "only");
	config_free(c);
	char *said = refusal(V "uplinks: {a: {type: host}, b: {type: host}}\n"
			       "networks: {a: {vlan: 1, mode: nat, subnet: 10.0.0.0/8}}\n");
	assert_non_null(strstr(
		said,
		"t:3:12: error: 'uplink' is missing: there are several, and none is named 'host'"));
	free(said);
}

static void test_patterns_that_do_not_tie(void **state)
{
	static const char *const pairs[][2] = {
		{"tap*", "veth*"},    {"tap*", "tap1*"}, {"a?c", "a?d"},
		{"x[0-4]", "x[5-9]"}, {"x[!a]", "x[a]"}, {"*a", "*b"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		char text[600];
		snprintf(text, sizeof(text),
			 NETS "ports:\n  \"%s\": {type: netdev, network: lab}\n  \"%s\": {type: "
			      "netdev, network: lab}\n",
			 pairs[i][0], pairs[i][1]);
		config_free(accept(text));
	}
}

static void check_round_trip(const struct config *c)
{
	char *text = config_text(c);
	assert_non_null(text);
	struct config *again = accept(text);
	assert_true(config_equal(c, again));
	char *text2 = config_text(again);
	assert_string_equal(text, text2);
	free(text);
	free(text2);
	config_free(again);
}

static void test_round_trip(void **state)
{
	struct config *c = config_load("tests/config/good/everything.yaml", &defaults, stderr);
	assert_non_null(c);
	check_round_trip(c);
	config_free(c);
	c = config_builtin(&defaults);
	check_round_trip(c);
	char *text = config_text(c);
	assert_string_equal(
		text, "version: 1\n"
		      "uplinks:\n"
		      "  host: {type: host}\n"
		      "networks:\n"
		      "  lab:\n"
		      "    vlan: 1\n"
		      "    mode: nat\n"
		      "    uplink: host\n"
		      "    subnet: 10.10.10.0/24\n"
		      "    dns:\n"
		      "      domain: lab.internal\n"
		      "ports:\n"
		      "  lab: {type: dgram, socket: /run/vswitchd/lab.dgram, network: lab}\n");
	free(text);
	config_free(c);
	c = accept(V "networks: {n: {vlan: 9, mode: internal, mtu: 1500}, \"yes\": {vlan: 8, mode: "
		     "internal}}\n"
		     "ports: {p: {type: dgram, socket: \"/a b\\\\\\\"c: #{\", network: n, down: "
		     "false}}\n");
	assert_string_equal(c->ports[0].socket, "/a b\\\"c: #{");
	check_round_trip(c);
	text = config_text(c);
	assert_null(strstr(text, "mtu"));
	assert_null(strstr(text, "down"));
	assert_non_null(strstr(text, "\"yes\":"));
	free(text);
	config_free(c);
}

/* Each of these differs from the base in one value that the comparison must see. */
static void test_equal(void **state)
{
	static const char *const nets[] = {
		"mtu: 1400",
		"dhcp: false",
		"dns: false",
		"gateway: 10.10.10.9",
		"uplink: wan",
		"dhcp: {lease: 1h}",
		"dhcp: {range: 10.10.10.5-10.10.10.9}",
		"dhcp: {options: {42: 1.2.3.4}}",
		"dns: {upstream: 9.9.9.9}",
		"dns: {domain: x}",
		"nat: {filtering: endpoint-independent}",
		"nat: {icmp-timeout: 90}",
		"uplink: wan, nat: {port-control: pcp}",
		"uplink: wan, nat: {port-control: [nat-pmp, pcp]}",
		"uplink: wan, nat: {port-control-mappings: 3}",
		"dhcp: {reservations: [{mac: '52:54:00:00:00:01', address: 10.10.10.7}]}",
		"forward: [{proto: tcp, listen: ':80', to: 'a:80'}]",
		"forward: [{proto: tcp, listen: ':80', to: 'b:80'}]",
		"forward: [{proto: tcp, listen: ':81', to: 'a:80'}]",
	};
	struct config *made[ARRAY_SIZE(nets) + 1] = {accept(NET("mtu: 1500"))};
	for (size_t i = 0; i < ARRAY_SIZE(nets); i++) {
		char text[500];
		snprintf(text, sizeof(text), NET("%s"), nets[i]);
		made[i + 1] = accept(text);
	}
	for (size_t i = 0; i < ARRAY_SIZE(made); i++)
		for (size_t j = 0; j < ARRAY_SIZE(made); j++) {
			bool equal =
				cfg_network_equal(&made[i]->networks[0], &made[j]->networks[0]);
			if (equal != (i == j))
				print_message("%zu and %zu\n", i, j);
			assert_int_equal(equal, i == j);
			assert_int_equal(config_equal(made[i], made[j]), i == j);
		}
	for (size_t i = 0; i < ARRAY_SIZE(made); i++)
		config_free(made[i]);
}

static void test_ports_differ(void **state)
{
	static const char *const ports[] = {
		"type: netdev, interface: e5, network: lab",
		"type: netdev, interface: e6, network: lab",
		"type: netdev, interface: e5, network: office",
		"type: netdev, interface: e5, trunk: [lab]",
		"type: netdev, interface: e5, trunk: [lab, 5]",
		"type: netdev, interface: e5, trunk: [lab, 5], native: 5",
		"type: netdev, interface: e5, network: lab, down: true",
		"type: netdev, interface: e5, network: lab, host: share",
		"type: netdev, interface: e5, network: lab, mac: '52:54:00:00:00:01'",
		"type: tap, interface: e5, network: lab",
		"type: tap, interface: e5, network: lab, address: 10.10.10.9/24",
		"type: tap, interface: e5, network: lab, isolated: true",
		"type: vhost-user, socket: /r/s, network: lab",
		"type: vhost-user, socket: /r/s, network: lab, config-space: false",
	};
	struct config *made[ARRAY_SIZE(ports)];
	for (size_t i = 0; i < ARRAY_SIZE(ports); i++) {
		char text[600];
		snprintf(text, sizeof(text), PORT("%s"), ports[i]);
		made[i] = accept(text);
		check_round_trip(made[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(made); i++)
		for (size_t j = 0; j < ARRAY_SIZE(made); j++)
			assert_int_equal(cfg_port_equal(&made[i]->ports[0], &made[j]->ports[0]),
					 i == j);
	for (size_t i = 0; i < ARRAY_SIZE(made); i++)
		config_free(made[i]);
}

/* ---- run-time edits ---- */

static char *said_by_edit;

/* The edited config, or NULL with the words in said_by_edit. */
static struct config *edit(const struct config *c, const char *path, const char *yaml, bool merge)
{
	size_t size;
	free(said_by_edit);
	said_by_edit = NULL;
	FILE *err = open_memstream(&said_by_edit, &size);
	struct config *made = config_with(c, path, yaml, merge, err);
	fclose(err);
	if (made) {
		if (*said_by_edit)
			print_message("%s\n", said_by_edit);
		assert_string_equal(said_by_edit, "");
		check_round_trip(made);
	}
	return made;
}

static void test_edit(void **state)
{
	struct config *c = config_load("tests/config/good/everything.yaml", &defaults, stderr);
	assert_non_null(c);
	size_t ports = c->n_ports;
	static const struct {
		const char *path, *yaml;
		bool merge;
	} steps[] = {
		{"ports/new", "{type: dgram, socket: /x/y, network: lab}", false},
		{"ports/new", "{mac: \"52:54:00:00:00:77\"}", true},
		{"ports/new", "{network: ~, trunk: [lab, 77]}", true},
		{"networks/lab/forward/+", "{proto: tcp, listen: \":99\", to: \"10.10.10.3:99\"}",
		 false},
		{"networks/lab/forward/#0", NULL, false},
		{"networks/dmz/dhcp/reservations/+",
		 "{mac: \"52:54:00:00:00:09\", address: 10.20.0.9}", false},
		{"networks/lab/mtu", "9000", true},
		{"networks/n2", "{vlan: 77, mode: internal}", false},
		{"uplinks/u2", "{type: host}", false},
		{"uplinks/u2", NULL, false},
	};
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		struct config *made = edit(c, steps[i].path, steps[i].yaml, steps[i].merge);
		if (!made)
			print_message("%s: %s\n", steps[i].path, said_by_edit);
		assert_non_null(made);
		assert_string_equal(made->path, c->path);
		config_free(c);
		c = made;
	}
	assert_int_equal(c->n_ports, ports + 1);
	const struct cfg_port *p = config_port(c, "new");
	assert_true(p->has_mac && p->is_trunk && !p->network);
	const struct cfg_network *lab = config_network(c, "lab");
	assert_int_equal(lab->mtu, 9000);
	assert_int_equal(lab->n_forwards, 2);
	assert_int_equal(lab->forwards[1].listen_port, 99);
	assert_true(config_network(c, "dmz")->dhcp);
	assert_int_equal(config_network(c, "dmz")->n_reservations, 1);
	assert_int_equal(c->n_uplinks, 6);
	config_free(c);
	free(said_by_edit);
	said_by_edit = NULL;
}

static void test_edit_refused(void **state)
{
	static const struct {
		const char *path, *yaml;
		bool merge;
		const char *says;
	} rows[] = {
		{"ports/web1", "{netwrok: lab}", true,
		 "port 'web1': unknown key 'netwrok' (did you mean 'network'?)\n"},
		{"ports/web9", "{network: lab}", true,
		 "port 'web9' not found (did you mean 'web1'?)\n"},
		{"ports/web9", NULL, false, "port 'web9' not found (did you mean 'web1'?)\n"},
		{"ports/n", "{type: dgram, socket: /x}", false,
		 "port 'n': 'network' is missing (or 'trunk', for a port with tagged frames)\n"},
		{"ports/a b", "{type: dgram, socket: /x, network: lab}", false,
		 "port 'a b': 'a b' is not a port name: up to 32 of A-Z a-z 0-9 _ . -\n"},
		{"networks/lab/forward/#7", NULL, false, "entry '#7' not found\n"},
		{"networks/lba/mtu", "1400", false,
		 "network 'lba' not found (did you mean 'lab'?)\n"},
		{"networks/lab/mtu", "90", false,
		 "network 'lab': mtu 90 is out of range (576 to 65535)\n"},
		{"networks/lab/dhcp/range", "10.10.10.2-10.10.11.2", false,
		 "network 'lab': DHCP range ends outside the subnet 10.10.10.0/24\n"},
		{"networks/quiet", NULL, false,
		 "port 'vm4': network 'quiet' is not defined\nport 'veth[0-9]*': network 'quiet' "
		 "is not defined\n"},
		{"uplinks/wan", NULL, false, "network 'dmz': uplink 'wan' is not defined\n"
			    "network 'plant': uplink 'wan' is not defined\n"
			    "network 'own': uplink 'wan' is not defined\n"},
		{"ports/n", "{type: dgram", false, "ports/n: missing comma in flow mapping\n"},
		{"ports/n", "word", false,
		 "port 'n': port must be a mapping such as {key: value}\n"},
		{"nonsense/x", "{a: b}", false, "unknown key 'nonsense'\n"},
	};
	struct config *c = config_load("tests/config/good/everything.yaml", &defaults, stderr);
	char *before = config_text(c);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_null(edit(c, rows[i].path, rows[i].yaml, rows[i].merge));
		assert_string_equal(said_by_edit, rows[i].says);
	}
	char *after = config_text(c);
	assert_string_equal(before, after);
	free(before);
	free(after);
	free(said_by_edit);
	said_by_edit = NULL;
	config_free(c);
}

/* A path of the command line outlives an edit. */
static void test_edit_keeps_paths(void **state)
{
	struct config *c = accept(NETS "control: {socket: /a}\n");
	free(c->control_socket);
	c->control_socket = strdup("/b");
	struct config *made = config_with(c, "networks/lab/mtu", "1400", false, stderr);
	assert_string_equal(made->control_socket, "/b");
	config_free(made);
	config_free(c);
}

/* ---- the rest ---- */

static void test_closest_name(void **state)
{
	static const char *const names[] = {"lab", "office", "web1", "network"};
	assert_string_equal(closest_name("labb", names, 4), "lab");
	assert_string_equal(closest_name("lba", names, 4), "lab");
	assert_string_equal(closest_name("LAB", names, 4), "lab");
	assert_string_equal(closest_name("netwrok", names, 4), "network");
	assert_null(closest_name("xyz", names, 4));
	assert_null(closest_name("q", names, 4));
	assert_null(closest_name("", names, 4));
	assert_null(closest_name("lab", names, 0));
}

static void test_defaults(void **state)
{
	struct config_defaults d = config_defaults();
	assert_non_null(strstr(d.control_socket, "/control.sock"));
	assert_int_equal(*d.state_dir, '/');
	if (geteuid() == 0)
		assert_string_equal(d.control_socket, "/run/vswitchd/control.sock");
}

static void test_files(void **state)
{
	char *said = NULL;
	size_t size;
	FILE *err = open_memstream(&said, &size);
	assert_null(config_load("tests/config/none.yaml", &defaults, err));
	assert_null(config_load("tests/config", &defaults, err));
	fclose(err);
	assert_string_equal(
		said, "tests/config/none.yaml: error: cannot be read: No such file or directory\n"
		      "tests/config: error: cannot be read: Is a directory\n");
	free(said);
}

/* Every tests/config/bad/NAME.yaml is answered with NAME.err, to the letter. */
static void test_bad_files(void **state)
{
	static const char *const names[] = {"typos", "contradictions", "unbuilt", "syntax", "modes", "vms", "ip6", "npt"};
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char path[120], want[8000] = "", *said = NULL;
		size_t size;
		snprintf(path, sizeof(path), "tests/config/bad/%s.err", names[i]);
		FILE *f = fopen(path, "r");
		assert_non_null(f);
		size_t n = fread(want, 1, sizeof(want) - 1, f);
		want[n] = 0;
		fclose(f);
		snprintf(path, sizeof(path), "tests/config/bad/%s.yaml", names[i]);
		FILE *err = open_memstream(&said, &size);
		assert_null(config_load(path, &defaults, err));
		fclose(err);
		assert_string_equal(said, want);
		free(said);
	}
}

/* docs/config.md is what the schema says; UPDATE_DOCS=1 writes it. */
static void test_reference(void **state)
{
	char *want = NULL, have[65536] = "";
	size_t size;
	FILE *out = open_memstream(&want, &size);
	config_print_reference(out);
	fclose(out);
	FILE *f = fopen("docs/config.md", getenv("UPDATE_DOCS") ? "w+" : "r");
	assert_non_null(f);
	if (getenv("UPDATE_DOCS")) {
		fputs(want, f);
		rewind(f);
	}
	have[fread(have, 1, sizeof(have) - 1, f)] = 0;
	fclose(f);
	assert_string_equal(have, want);
	free(want);
}

static void test_ranges(void **state)
{
	struct config *c = config_load("tests/config/good/ranges.yaml", &defaults, stderr);
	assert_non_null(c);
	const struct cfg_forward *f = c->networks[0].forwards;
	assert_int_equal(f[0].listen_port, 6000);
	assert_int_equal(f[0].listen_last, 6010);
	assert_int_equal(f[0].to_port, 7000);
	assert_string_equal(f[1].to_name, "web-1");
	assert_int_equal(f[1].listen_last, 6012);
	assert_int_equal(f[2].listen_last, 6005);
	char *text = config_text(c);
	struct config *again = config_parse(text, "again", &defaults, stderr);
	assert_non_null(again);
	assert_true(config_equal(c, again));
	free(text);
	config_free(again);
	config_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_caret),
		cmocka_unit_test(test_many_errors),
		cmocka_unit_test(test_builtin),
		cmocka_unit_test(test_values), cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_default_range),
		cmocka_unit_test(test_default_uplink),
		cmocka_unit_test(test_patterns_that_do_not_tie),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_equal),
		cmocka_unit_test(test_ports_differ),
		cmocka_unit_test(test_edit),
		cmocka_unit_test(test_edit_refused),
		cmocka_unit_test(test_edit_keeps_paths),
		cmocka_unit_test(test_closest_name),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_bad_files),
		cmocka_unit_test(test_reference),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
