/* The tables of the configuration's keys, and the walker over them.  The tree comes from
 * ctl/config_tree.c, single values are read by ctl/schema_value.c; ctl/config_check.c looks
 * at the values together. */
#include "ctl/schema.h"

#include <stdlib.h>
#include <string.h>

#include "ctl/schema_value.h"

#define LIST_LEN_MAX 4096

/* ---- the tables ---- */

#define BIT(v)		   (UINT32_C(1) << (v))
#define AT(type, member)   .offset = offsetof(struct type, member)
#define ALSO(type, member) .also = offsetof(struct type, member)
#define SIX(type, member)  .six = offsetof(struct type, member)
#define SCHEMA(name, rows, ...)                                                                    \
	const struct schema name = {.fields = rows, .n = ARRAY_SIZE(rows), __VA_ARGS__}

static const struct choice uplink_types[] = {
	{"host", UPLINK_HOST},
	{"interface", UPLINK_INTERFACE},
	{"network", UPLINK_NETWORK},
	{},
};
static const struct choice modes[] = {
	{"internal", MODE_INTERNAL},
	{"bridged", MODE_BRIDGED},
	{"nat", MODE_NAT},
	{"host-only", MODE_HOST_ONLY},
	{"routed", MODE_ROUTED},
	{"nat-per-vm", MODE_NAT_PER_VM},
	{},
};
static const struct choice port_types[] = {
	{"tap", PORT_TAP},
	{"netdev", PORT_NETDEV},
	{"dgram", PORT_DGRAM},
	{"stream", PORT_STREAM},
	{"udp", PORT_UDP},
	{"vhost-user", PORT_VHOST_USER},
	{},
};
static const struct choice roles[] = {{"server", ROLE_SERVER}, {"client", ROLE_CLIENT}, {}};
static const struct choice host_modes[] = {{"exclude", HOST_EXCLUDE}, {"share", HOST_SHARE}, {}};
static const struct choice protos[] = {{"tcp", PROTO_TCP}, {"udp", PROTO_UDP}, {}};
static const struct choice mappings[] = {
	{"endpoint-independent", 0},
	{"address-dependent", 1, "RFC 4787 REQ-1 asks for endpoint-independent"},
	{"address-and-port-dependent", 2, "RFC 4787 REQ-1 asks for endpoint-independent"},
	{},
};
static const struct choice filterings[] = {
	{"endpoint-independent", FILTER_ENDPOINT_INDEPENDENT},
	{"address-dependent", FILTER_ADDRESS_DEPENDENT},
	{"address-and-port-dependent", FILTER_ADDRESS_AND_PORT_DEPENDENT},
	{},
};

static const struct choice algs[] = {
	{"ftp", NAT_ALG_FTP},
	{"tftp", NAT_ALG_TFTP},
	{},
};

static const struct choice port_controls[] = {
	{"nat-pmp", CONTROL_NAT_PMP},
	{"pcp", CONTROL_PCP},
	{"upnp", CONTROL_UPNP},
	{},
};

static const struct choice nat6_choices[] = {
	{"none", NAT6_NONE},
	{"npt", NAT6_NPT},
	{"nat66", 0, "`npt` translates the prefix, without ports"},
	{},
};

static const struct field control_fields[] = {
	{"socket", F_PATH, AT(config, control_socket), .max = SUN_PATH_MAX,
	 .help = "where vswitchctl connects; default: `/run/vswitchd/control.sock`, without root "
		 "`$XDG_RUNTIME_DIR/vswitchd/control.sock`"},
	{"group", F_STRING, AT(config, control_group), .max = NAME_LEN_MAX,
	 .help = "the group that may connect beside root, and that port sockets belong to; "
		 "default: root alone"},
};
static SCHEMA(schema_control, control_fields, .what = "control");

static const struct field limit_fields[] = {
	{"macs", F_U32, AT(config, max_macs), .min = 64, .max = 4194304, .dflt = "131072",
	 .help = "addresses the switch remembers; its table is sized by it at start"},
	{"sessions", F_U32, AT(config, max_sessions), .min = 64, .max = 4194304, .dflt = "65536",
	 .help = "NAT sessions of all guests together"},
	{"ports", F_U32, AT(config, max_ports), .min = 4, .max = 4096, .dflt = "1024",
	 .help = "ports, member ports included"},
};
static SCHEMA(schema_limits, limit_fields, .what = "limits");

static const struct field route_fields[] = {
	{"to", F_SUBNET, AT(cfg_route, to), ALSO(cfg_route, has_to), SIX(cfg_route, to6), .needs = ALWAYS, .min = 1,
	 .max = 32, .help = "`ADDRESS/LEN`, without host bits, of either family"},
	{"via", F_IP4, AT(cfg_route, via), SIX(cfg_route, via6), .needs = ALWAYS,
	 .help = "the router that leads there; of IPv6 also a link-local address"},
};
static SCHEMA(schema_route, route_fields, .what = "route", .size = sizeof(struct cfg_route));

#define OWN_ADDRESS (BIT(UPLINK_INTERFACE) | BIT(UPLINK_NETWORK))
static const struct field uplink_fields[] = {
	{"type", F_ENUM, AT(cfg_uplink, type), .choices = uplink_types, .needs = ALWAYS,
	 .help = "`host` leaves through sockets of the host, also without root; `interface` has "
		 "an address of its own on an interface, `network` one in a network of the switch"},
	{"loopback", F_BOOL, AT(cfg_uplink, loopback), .only = BIT(UPLINK_HOST), .dflt = "false",
	 .help = "guests may reach services on the host's own 127.0.0.1"},
	{"interface", F_IFNAME, AT(cfg_uplink, interface), .only = BIT(UPLINK_INTERFACE),
	 .needs = BIT(UPLINK_INTERFACE),
	 .help = "the interface; the switch answers ARP on it for `address`"},
	{"address", F_HOSTPREFIX, AT(cfg_uplink, address), ALSO(cfg_uplink, dhcp), SIX(cfg_uplink, address6),
	 .only = OWN_ADDRESS, .needs = OWN_ADDRESS, .flags = FIELD_LIST_OF_ONE | FIELD_DHCP,
	 .help = "an address of the switch's own, with its prefix length; `dhcp`: what a server "
		 "out there gives, with its gateway, routes and MTU; `shared` (interface): the "
		 "host's own, with its default route, and a range of its `ports`; or a list of one of these and an "
		 "IPv6 `ADDRESS/LEN`, by which IPv6 leaves"},
	{"gateway", F_IP4, AT(cfg_uplink, gateway), SIX(cfg_uplink, gateway6), .only = OWN_ADDRESS,
	 .flags = FIELD_LIST_OF_ONE,
	 .help = "the next hop, or a list of one for each family, that of IPv6 also a link-local address; "
		 "default: none, only the address's own subnet is reached"},
	{"ports", F_PORT_RANGE, AT(cfg_uplink, port_first), .only = BIT(UPLINK_INTERFACE), .min = 1024,
	 .help = "`FIRST-LAST`, with `address: shared`: the ports of the host's address that are the "
		 "switch's, and that no socket of the host will be given"},
	{"network", F_NAME, AT(cfg_uplink, network), .only = BIT(UPLINK_NETWORK),
	 .needs = BIT(UPLINK_NETWORK), .help = "the network that it is a host of"},
	{"routes", F_LIST, AT(cfg_uplink, routes), ALSO(cfg_uplink, n_routes), .only = OWN_ADDRESS,
	 .object = &schema_route, .help = "what other routers than `gateway` lead to, at most 64"},
};
SCHEMA(schema_uplink, uplink_fields, .what = "uplink", .selector = "type",
       .size = sizeof(struct cfg_uplink));

static const struct field reservation_fields[] = {
	{"mac", F_MAC, AT(cfg_reservation, mac), .needs = ALWAYS, .help = "whose address it is"},
	{"address", F_IP4, AT(cfg_reservation, address), .needs = ALWAYS,
	 .help = "inside the subnet; it may lie inside or outside the range"},
	{"hostname", F_HOSTNAME, AT(cfg_reservation, hostname),
	 .help = "the name it is given and found by in DNS"},
};
static SCHEMA(schema_reservation, reservation_fields, .what = "reservation",
	      .size = sizeof(struct cfg_reservation));

static const struct field dhcp_fields[] = {
	{"range", F_RANGE, AT(cfg_network, range_first), .flags = FIELD_LIST_OF_ONE,
	 .help = "`FIRST-LAST`; default: what the subnet has beside the gateway and the DNS "
		 "address"},
	{"lease", F_DURATION, AT(cfg_network, lease_s), .min = 60, .max = 365 * DAY, .dflt = "12h",
	 .help = "how long an address is lent"},
	{"options", F_OPTIONS, AT(cfg_network, options), ALSO(cfg_network, n_options),
	 .help = "further options, `CODE: VALUE`; addresses, numbers, text or `0x` hex digits, "
		 "as the code asks; `\"\"`: the option is not sent"},
	{"reservations", F_LIST, AT(cfg_network, reservations), ALSO(cfg_network, n_reservations),
	 .object = &schema_reservation, .help = "addresses kept for one guest"},
};
static SCHEMA(schema_dhcp, dhcp_fields, .what = "dhcp", .block = true);

static const struct field dns_fields[] = {
	{"address", F_IP4, AT(cfg_network, dns_address), .flags = FIELD_LIST_OF_ONE,
	 .help = "where guests ask; default: the gateway"},
	{"domain", F_DOMAIN, AT(cfg_network, domain),
	 .help = "of the guests' names; default: names stand alone"},
	{"upstream", F_UPSTREAM, AT(cfg_network, upstreams), ALSO(cfg_network, n_upstreams),
	 .dflt = "system",
	 .help = "`system` follows the host's resolv.conf through sockets of the host; an "
		 "address or a list of them is asked through the network's uplink"},
};
static SCHEMA(schema_dns, dns_fields, .what = "dns", .block = true);

static const struct field forward_fields[] = {
	{"proto", F_ENUM, AT(cfg_forward, proto), .choices = protos, .needs = ALWAYS,
	 .help = "the protocol"},
	{"listen", F_LISTEN, AT(cfg_forward, listen), .needs = ALWAYS,
	 .help = "`ADDRESS:PORT`; `:PORT` is the uplink's address; `PORT-LAST` is a range; "
		 "127.0.0.1 goes with uplinks of type host only"},
	{"to", F_TARGET, AT(cfg_forward, to), .needs = ALWAYS,
	 .help = "`ADDRESS:PORT` inside the subnet, or `NAME:PORT` with a guest's name; of a "
		 "range, the first port"},
	{"port", F_NAME, AT(cfg_forward, port),
	 .help = "(nat-per-vm, needed there) the port whose guest it leads to"},
};
static SCHEMA(schema_forward, forward_fields, .what = "forward",
	      .size = sizeof(struct cfg_forward));

static const struct field nat_fields[] = {
	{"mapping", F_ENUM, .offset = UINT16_MAX, .choices = mappings,
	 .dflt = "endpoint-independent",
	 .help = "one outside port for one inside port, whoever the remote is (RFC 4787 REQ-1)"},
	{"filtering", F_ENUM, AT(cfg_network, filtering), .choices = filterings,
	 .dflt = "address-and-port-dependent",
	 .help = "who may answer to an outside port: anyone, the addresses spoken to, or exactly "
		 "the remote (RFC 4787 REQ-8)"},
	{"udp-timeout", F_DURATION, AT(cfg_network, udp_timeout_s), .min = 1, .max = 7 * DAY,
	 .dflt = "5m", .help = "an idle UDP session ends; RFC 4787 REQ-5 asks for 2m or more"},
	{"tcp-established-timeout", F_DURATION, AT(cfg_network, tcp_established_s), .min = 1,
	 .max = 30 * DAY, .dflt = "7440",
	 .help = "an idle TCP connection ends; RFC 5382 REQ-5 asks for 7440 s or more"},
	{"tcp-transitory-timeout", F_DURATION, AT(cfg_network, tcp_transitory_s), .min = 1,
	 .max = DAY, .dflt = "4m",
	 .help = "a connection half open or closing ends; RFC 5382 REQ-5 asks for 4m or more"},
	{"icmp-timeout", F_DURATION, AT(cfg_network, icmp_timeout_s), .min = 1, .max = DAY,
	 .dflt = "60", .help = "an echo session ends; RFC 5508 REQ-2 asks for 60 s or more"},
	{"sessions-per-guest", F_U32, AT(cfg_network, sessions_per_guest), .min = 16,
	 .max = 1048576, .dflt = "4096", .help = "a new session beyond it is refused (ICMP 3/13)"},
	{"mappings-per-guest", F_U32, AT(cfg_network, mappings_per_guest), .max = 1048576, .dflt = "0",
	 .help = "inside ports translated at a time; 0: as many as sessions"},
	{"ports-per-guest", F_U32, AT(cfg_network, ports_per_guest), .max = 65535, .dflt = "0",
	 .help = "outside ports a guest may have (RFC 6888 REQ-4); 0: as many as there are"},
	{"new-sessions-per-second", F_U32, AT(cfg_network, new_sessions_per_s), .max = 10000000,
	 .dflt = "0", .help = "of one guest, with bursts of one second's worth; 0: no limit"},
	{"port-block", F_U32, AT(cfg_network, port_block), .max = 4096, .dflt = "0",
	 .help = "outside ports are given in runs of so many to one guest, at most 16 runs (RFC 7422); "
		 "0: singly"},
	{"alg", F_FLAGS, AT(cfg_network, algs), .choices = algs,
	 .help = "protocols that are helped across: `ftp`, active transfers of guests (RFC 959), `tftp`, answers "
		 "from other ports with strict `filtering` (RFC 1350); default: none"},
	{"port-control", F_FLAGS, AT(cfg_network, port_control), .choices = port_controls,
	 .help = "by which protocols guests may open outside ports to themselves: NAT-PMP (RFC 6886) and PCP "
		 "(RFC 6887) at UDP port 5351 of the gateway, UPnP (InternetGatewayDevice:1) at UDP port 1900 and TCP port "
		 "5000; default: none; not through uplinks of type host, and `upnp` not in mode nat-per-vm"},
	{"port-control-mappings", F_U32, AT(cfg_network, port_control_mappings), .min = 1, .max = 1024,
	 .dflt = "32", .help = "ports that one guest may open so; a network has at most 1024"},
	{"ipv6", F_ENUM, AT(cfg_network, nat6), .choices = nat6_choices, .dflt = "none",
	 .help = "`none`: IPv6 ends at the gateway; `npt`: the network's /64 is `ipv6-prefix` outside, address for "
		 "address (RFC 6296)"},
	{"ipv6-prefix", F_PREFIX6, AT(cfg_network, npt), .min = 1, .max = 64,
	 .help = "of `ipv6: npt`, needed there: a /64 or shorter, which routers outside send to the uplink's IPv6 "
		 "address; what a shorter one leaves open is zero"},
};
static SCHEMA(schema_nat, nat_fields, .what = "nat", .block = true);

#define NAT_ONLY .only = BIT(MODE_NAT) | BIT(MODE_NAT_PER_VM)
/* Those with a gateway. */
#define SERVED_MODES                                                                               \
	(BIT(MODE_NAT) | BIT(MODE_ROUTED) | BIT(MODE_HOST_ONLY) | BIT(MODE_NAT_PER_VM))
#define SERVED .only = SERVED_MODES
static const struct field network_fields[] = {
	{"vlan", F_VLAN, AT(cfg_network, vlan), .min = 1, .max = VLAN_MAX, .needs = ALWAYS,
	 .help = "the VLAN it is; no two networks share one"},
	{"mode", F_ENUM, AT(cfg_network, mode), .choices = modes, .needs = ALWAYS,
	 .help = "`internal`: guests among themselves; `bridged`: the same, with a way out "
		 "through a netdev port; `host-only`: guests and the host, nothing leaves; "
		 "`routed`: a gateway that routes without NAT; `nat`: a gateway that "
		 "translates; `nat-per-vm`: one for every port, each guest the same address; "
		 "the last four with DHCP and DNS"},
	{"uplink", F_UPLINKS, AT(cfg_network, uplink), .only = SERVED_MODES & ~BIT(MODE_HOST_ONLY),
	 .help = "where its traffic leaves; of a list, the first that is up; default: (nat) the "
		 "uplink named `host`, else the only one there is; (routed) nowhere "
		 "but to other routed networks"},
	{"subnet", F_SUBNETS, AT(cfg_network, subnet), ALSO(cfg_network, has_subnet),
	 .needs = SERVED_MODES & ~BIT(MODE_NAT_PER_VM), .min = 8, .max = 30,
	 .help = "`ADDRESS/LEN`, /8 to /30, without host bits; nat-per-vm: every guest's own, "
		 "default 10.0.2.0/24. Or a list of that and an IPv6 /64, from which guests "
		 "make addresses of their own (SLAAC): the gateway is ::1 of it and answers ping and DNS; "
		 "mode `routed` routes it, mode `nat` translates its prefix with `nat: {ipv6: npt}`"},
	{"gateway", F_IP4, AT(cfg_network, gateway), SERVED, .flags = FIELD_LIST_OF_ONE,
	 .help = "the switch's address in it; default: the first host address; host-only: the "
		 "second, as the first is the host's on interface `vsw-NETWORK`; nat-per-vm: the second"},
	{"mtu", F_U32, AT(cfg_network, mtu), .min = 576, .max = 65535, .dflt = "1500",
	 .help = "bytes of an IP packet; told to guests by DHCP"},
	{"dhcp", F_OBJECT, SERVED, ALSO(cfg_network, dhcp), .flags = FIELD_SWITCH,
	 .object = &schema_dhcp, .help = "`false`: no DHCP; default: on where there is a gateway"},
	{"dns", F_OBJECT, SERVED, ALSO(cfg_network, dns), .flags = FIELD_SWITCH,
	 .object = &schema_dns, .help = "`false`: no DNS; default: on where there is a gateway"},
	{"forward", F_LIST, AT(cfg_network, forwards), ALSO(cfg_network, n_forwards), NAT_ONLY,
	 .object = &schema_forward, .help = "outside ports that lead to a guest"},
	{"nat", F_OBJECT, NAT_ONLY, .object = &schema_nat, .help = "how addresses are translated"},
	{"ipv6-filter", F_BOOL, AT(cfg_network, filter6), .only = BIT(MODE_ROUTED) | BIT(MODE_NAT),
	 .help = "IPv6 from beyond the gateway comes in only where a guest has asked for it (RFC 6092); default: on with "
		 "`nat: {ipv6: npt}`, off in mode routed"},
	{"routes", F_LIST, AT(cfg_network, routes), ALSO(cfg_network, n_routes), .only = BIT(MODE_ROUTED),
	 .object = &schema_route, .help = "what lies behind routers in the network, at most 64"},
};
SCHEMA(schema_network, network_fields, .what = "network", .selector = "mode",
       .size = sizeof(struct cfg_network), .block = true);

#define SOCKETS (BIT(PORT_DGRAM) | BIT(PORT_STREAM) | BIT(PORT_VHOST_USER))
static const struct field port_fields[] = {
	{"type", F_ENUM, AT(cfg_port, type), .choices = port_types, .needs = ALWAYS,
	 .help = "`tap`: an interface of the host; `netdev`: an interface that is already there; "
		 "`dgram`, `stream`, `udp`: sockets that QEMU and others speak; `vhost-user`: a "
		 "guest's memory, shared with us by its hypervisor, the fastest"},
	{"socket", F_PATH, AT(cfg_port, socket), .only = BIT(PORT_DGRAM), .needs = BIT(PORT_DGRAM),
	 .max = SUN_PATH_MAX,
	 .help = "path of the datagram socket; any number of guests send to it, each is a member "
		 "port"},
	{"socket", F_PATH, AT(cfg_port, socket), .only = BIT(PORT_VHOST_USER),
	 .needs = BIT(PORT_VHOST_USER), .max = SUN_PATH_MAX,
	 .help = "path of the socket that the hypervisor dials, or listens on with `role: "
		 "client`; one guest"},
	{"role", F_ENUM, AT(cfg_port, role), .only = BIT(PORT_VHOST_USER), .choices = roles,
	 .dflt = "server",
	 .help = "who listens: `server`: we do; `client`: the hypervisor does, and we dial, again "
		 "and again until it is there"},
	{"queues", F_U32, AT(cfg_port, queues), .only = BIT(PORT_VHOST_USER), .min = 1, .max = 64,
	 .dflt = "1",
	 .help = "pairs of rings the guest may use; they are spread over the workers"},
	{"config-space", F_BOOL, AT(cfg_port, config_space), .only = BIT(PORT_VHOST_USER),
	 .dflt = "true",
	 .help = "protocol feature CONFIG is offered, so that the guest hears of its link and MTU; "
		 "`false` for QEMU 7.1.0 to early 7.2, which crash at start when a network backend "
		 "offers it"},
	{"listen", F_PATH, AT(cfg_port, listen), .only = BIT(PORT_STREAM), .max = SUN_PATH_MAX,
	 .help = "path of the stream socket the guest dials; either this or `connect`"},
	{"connect", F_PATH, AT(cfg_port, connect), .only = BIT(PORT_STREAM), .max = SUN_PATH_MAX,
	 .help = "path of the stream socket we dial, again and again until it is there"},
	{"listen", F_UDP_LISTEN, AT(cfg_port, listen), .only = BIT(PORT_UDP),
	 .needs = BIT(PORT_UDP), .help = "`ADDRESS:PORT` we receive on"},
	{"peer", F_UDP_PEER, AT(cfg_port, peer), .only = BIT(PORT_UDP), .needs = BIT(PORT_UDP),
	 .help = "`ADDRESS:PORT` we send to, and alone accept frames from"},
	{"interface", F_IFNAME, AT(cfg_port, interface), .only = BIT(PORT_TAP) | BIT(PORT_NETDEV),
	 .needs = BIT(PORT_TAP),
	 .help = "tap: the name it is created under; netdev: the interface that is attached, now "
		 "or when it appears"},
	{"address", F_HOSTPREFIX, AT(cfg_port, address), ALSO(cfg_port, has_address),
	 .only = BIT(PORT_TAP), .flags = FIELD_LIST_OF_ONE,
	 .help = "an address the host gets on the interface; default: none"},
	{"host", F_ENUM, AT(cfg_port, host), .only = BIT(PORT_NETDEV), .choices = host_modes,
	 .help = "`exclude`: the host's stack no longer sees the interface; `share`: its "
		 "addresses keep working; default: exclude, and an interface with an address or "
		 "default route is refused"},
	{"network", F_NAME, AT(cfg_port, network),
	 .help = "access port of this network; either this or `trunk`"},
	{"trunk", F_TRUNK, AT(cfg_port, trunk), ALSO(cfg_port, is_trunk),
	 .help = "tagged frames of these: a list of network names, VLAN numbers and ranges "
		 "`FIRST-LAST`"},
	{"native", F_STRING, AT(cfg_port, native), .max = NAME_LEN_MAX,
	 .help = "the network or VLAN of the trunk that goes untagged; default: none, untagged "
		 "frames are dropped"},
	{"mac", F_MAC, AT(cfg_port, mac), ALSO(cfg_port, has_mac),
	 .help = "the station's address, known from the start and never learned elsewhere; not "
		 "used on dgram ports, patterns and trunks"},
	{"isolated", F_BOOL, AT(cfg_port, isolated), .dflt = "false",
	 .help = "isolated ports reach gateways and ports that are not isolated, but not each "
		 "other"},
	{"down", F_BOOL, AT(cfg_port, down), .dflt = "false",
	 .help = "the port is there and passes nothing"},
	{"max-macs", F_U32, AT(cfg_port, max_macs), .max = 4194304, .dflt = "0",
	 .help = "source addresses it may bring; 0: as many as the switch can hold"},
	{"mode", F_OCTAL, AT(cfg_port, mode), .only = SOCKETS, .dflt = "0660", .max = 0777,
	 .help = "permission bits of the socket, in octal"},
	{"group", F_STRING, AT(cfg_port, group), .only = SOCKETS, .max = NAME_LEN_MAX,
	 .help = "group of the socket; default: the control group"},
	{"qinq", F_UNBUILT, .help = "use a trunk"},
	{"tpid", F_UNBUILT, .help = "it goes with qinq"},
	{"rate", F_UNBUILT, .help = "shaping comes with the guards"},
	{"protect", F_UNBUILT, .help = "the guards come later"},
};
SCHEMA(schema_port, port_fields, .what = "port", .selector = "type",
       .size = sizeof(struct cfg_port));

static const struct field top_fields[] = {
	{"version", F_VERSION, .needs = ALWAYS, .min = 1, .max = 1, .help = "of this format: 1"},
	{"control", F_OBJECT, .object = &schema_control, .help = "the control socket"},
	{"state", F_PATH, AT(config, state_dir), .max = 4000,
	 .help = "folder of leases and of what must be undone on the host; default: "
		 "`/var/lib/vswitchd`, without root `$XDG_STATE_HOME/vswitchd`"},
	{"workers", F_WORKERS, AT(config, workers), .dflt = "1",
	 .help = "forwarding threads, at most 16; `auto`: one less than there are cores"},
	{"limits", F_OBJECT, .object = &schema_limits, .help = "sizes of the tables"},
	{"uplinks", F_NAMED, AT(config, uplinks), ALSO(config, n_uplinks), .object = &schema_uplink,
	 .help = "where routed and NATed traffic leaves"},
	{"networks", F_NAMED, AT(config, networks), ALSO(config, n_networks),
	 .object = &schema_network, .help = "one network is one VLAN of the switch"},
	{"ports", F_NAMED, AT(config, ports), ALSO(config, n_ports), .object = &schema_port,
	 .flags = FIELD_GLOBS,
	 .help = "where guests, containers and wires attach; a netdev port whose name is a "
		 "pattern (`*`, `?`, `[..]`) takes every interface under such a name"},
};
SCHEMA(schema_top, top_fields, .what = "config", .block = true);

_Static_assert(offsetof(struct cfg_network, range_last) ==
		       offsetof(struct cfg_network, range_first) + 4,
	       "F_RANGE");
_Static_assert(!offsetof(struct cfg_uplink, name) && !offsetof(struct cfg_network, name) &&
		       !offsetof(struct cfg_port, name),
	       "F_NAMED");

/* ---- freeing and comparing ---- */

static bool text_equal(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

static bool options_equal(const struct cfg_network *a, const struct cfg_network *b)
{
	if (a->n_options != b->n_options)
		return false;
	for (size_t i = 0; i < a->n_options; i++)
		if (a->options[i].code != b->options[i].code ||
		    a->options[i].len != b->options[i].len ||
		    memcmp(a->options[i].data, b->options[i].data, a->options[i].len))
			return false;
	return true;
}

static bool subnets_equal(const struct cfg_network *a, const struct cfg_network *b)
{
	return a->subnet.addr == b->subnet.addr && a->subnet.len == b->subnet.len &&
	       a->has_subnet6 == b->has_subnet6 && !memcmp(&a->subnet6, &b->subnet6, sizeof(a->subnet6));
}

static bool upstreams_equal(const struct cfg_network *a, const struct cfg_network *b)
{
	return a->upstream_system == b->upstream_system && a->n_upstreams == b->n_upstreams &&
	       (!a->n_upstreams ||
		!memcmp(a->upstreams, b->upstreams, a->n_upstreams * sizeof(be32)));
}

static bool trunk_equal(const struct cfg_port *a, const struct cfg_port *b)
{
	return text_equal(a->trunk_text, b->trunk_text) && a->native_vlan == b->native_vlan &&
	       !memcmp(&a->trunk, &b->trunk, sizeof(a->trunk));
}

static bool target_equal(const struct cfg_forward *a, const struct cfg_forward *b)
{
	return a->to == b->to && a->to_port == b->to_port && text_equal(a->to_name, b->to_name);
}

static size_t count_of(const struct field *f, const void *base)
{
	return *(const size_t *)((const char *)base + f->also);
}

static void free_uplinks(struct cfg_network *net)
{
	free(net->uplink);
	for (size_t i = 0; i < net->n_backups; i++)
		free(net->backup[i]);
}

static void free_special(const struct field *f, void *base)
{
	struct cfg_network *net = base; /* the field kind says which of these it is */
	struct cfg_port *port = base;
	struct cfg_forward *fw = base;
	if (f->kind == F_OPTIONS)
		free(net->options);
	else if (f->kind == F_UPSTREAM)
		free(net->upstreams);
	else if (f->kind == F_UPLINKS)
		free_uplinks(net);
	else if (f->kind == F_TRUNK)
		free(port->trunk_text);
	else if (f->kind == F_TARGET)
		free(fw->to_name);
}

static void free_string(char **slot)
{
	free(*slot);
	*slot = NULL; /* two rows may name the same slot */
}

void schema_free(const struct schema *s, void *base)
{
	for (const struct field *f = s->fields; f < s->fields + s->n; f++) {
		if (f->kind == F_OBJECT) {
			schema_free(f->object, base);
		} else if (f->kind == F_LIST || f->kind == F_NAMED) {
			char *array = *(char **)field_at(f, base);
			for (size_t i = 0; array && i < count_of(f, base); i++) {
				schema_free(f->object, array + i * f->object->size);
				if (f->kind == F_NAMED)
					free(*(char **)(array + i * f->object->size));
			}
			free(array);
		} else if (schema_kinds[f->kind].storage == S_STRING) {
			free_string(field_at(f, base));
		} else if (schema_kinds[f->kind].storage == S_SPECIAL) {
			free_special(f, base);
		}
	}
}

static bool uplinks_equal(const struct cfg_network *a, const struct cfg_network *b)
{
	if (a->n_backups != b->n_backups || !a->uplink != !b->uplink ||
	    (a->uplink && strcmp(a->uplink, b->uplink)))
		return false;
	for (size_t i = 0; i < a->n_backups; i++)
		if (strcmp(a->backup[i], b->backup[i]))
			return false;
	return true;
}

static bool special_equal(const struct field *f, const void *a, const void *b)
{
	const struct cfg_forward *x = a, *y = b;
	switch (f->kind) {
	case F_SUBNETS: return subnets_equal(a, b);
	case F_PREFIX6: return !memcmp(field_cat(f, a), field_cat(f, b), sizeof(struct prefix6));
	case F_RANGE: return !memcmp(field_cat(f, a), field_cat(f, b), 2 * sizeof(be32));
	case F_UPLINKS: return uplinks_equal(a, b);
	case F_PORT_RANGE: return !memcmp(field_cat(f, a), field_cat(f, b), 2 * sizeof(uint16_t));
	case F_UPSTREAM: return upstreams_equal(a, b);
	case F_OPTIONS: return options_equal(a, b);
	case F_TRUNK: return trunk_equal(a, b);
	case F_LISTEN: return x->listen == y->listen && x->listen_port == y->listen_port && x->listen_last == y->listen_last;
	case F_TARGET: return target_equal(a, b);
	default: return true;
	}
}

static bool array_equal(const struct field *f, const void *a, const void *b)
{
	const char *x = *(char *const *)field_cat(f, a), *y = *(char *const *)field_cat(f, b);
	if (count_of(f, a) != count_of(f, b))
		return false;
	for (size_t i = 0; i < count_of(f, a); i++, x += f->object->size, y += f->object->size)
		if ((f->kind == F_NAMED && strcmp(*(char *const *)x, *(char *const *)y)) ||
		    !schema_equal(f->object, x, y))
			return false;
	return true;
}

static bool value_equal(const struct field *f, const void *a, const void *b)
{
	const struct prefix4 *p = field_cat(f, a), *q = field_cat(f, b);
	switch (schema_kinds[f->kind].storage) {
	case S_U32: return f->offset == UINT16_MAX || !memcmp(p, q, sizeof(uint32_t));
	case S_U16: return !memcmp(p, q, sizeof(uint16_t));
	case S_BOOL: return *(const bool *)p == *(const bool *)q;
	case S_STRING: return text_equal(*(char *const *)p, *(char *const *)q);
	case S_MAC: return !memcmp(p, q, sizeof(struct mac));
	case S_PREFIX: return p->addr == q->addr && p->len == q->len;
	case S_SPECIAL: return special_equal(f, a, b);
	default: return true;
	}
}

bool schema_equal(const struct schema *s, const void *a, const void *b)
{
	for (const struct field *f = s->fields; f < s->fields + s->n; f++) {
		bool has_flag = f->also && f->kind != F_OPTIONS && f->kind != F_UPSTREAM &&
				f->kind != F_LIST && f->kind != F_NAMED;
		if (has_flag && *((const bool *)a + f->also) != *((const bool *)b + f->also))
			return false;
		if (f->kind == F_OBJECT			      ? !schema_equal(f->object, a, b)
		    : f->kind == F_LIST || f->kind == F_NAMED ? !array_equal(f, a, b)
							      : !value_equal(f, a, b))
			return false;
		if (f->six && memcmp((const char *)a + f->six, (const char *)b + f->six, value_size6(f)))
			return false;
	}
	return true;
}

/* ---- the walker ---- */

/* The value of the selector as a bit, 0 when it is missing or wrong. */
static uint32_t selected(const struct schema *s, const struct node *map)
{
	const struct node *v = s->selector ? node_get(map, s->selector) : NULL;
	if (!v || v->kind != NODE_SCALAR)
		return 0;
	for (const struct field *f = s->fields; f < s->fields + s->n; f++) {
		if (strcmp(f->key, s->selector))
			continue;
		for (const struct choice *c = f->choices; c->name; c++)
			if (!c->why_not && !strcmp(c->name, v->text))
				return BIT(c->value);
	}
	return 0;
}

const struct field *schema_field(const struct schema *s, const struct node *map, const char *key)
{
	uint32_t bit = selected(s, map);
	const struct field *other = NULL; /* of that name, for another type */
	for (const struct field *f = s->fields; f < s->fields + s->n; f++) {
		if (strcmp(f->key, key))
			continue;
		if (!f->only || !bit || f->only & bit)
			return f;
		other = other ? other : f;
	}
	return other;
}

void schema_only(const struct schema *s, uint32_t only, char *buf, size_t size)
{
	size_t used = 0;
	*buf = 0;
	for (const struct field *f = s->fields; f < s->fields + s->n; f++) {
		if (strcmp(f->key, s->selector))
			continue;
		for (const struct choice *c = f->choices; c->name; c++)
			if (!c->why_not && only & BIT(c->value) && used < size)
				used += (size_t)snprintf(buf + used, size - used, "%s%s",
							 used ? ", " : "", c->name);
	}
}

static const char *meant_key(const struct schema *s, const char *typed)
{
	const char *names[64];
	size_t n = 0;
	for (const struct field *f = s->fields; f < s->fields + s->n && n < ARRAY_SIZE(names); f++)
		if (f->kind != F_UNBUILT)
			names[n++] = f->key;
	return closest_name(typed, names, n);
}

/* Whether a key that is missing stands there misspelt, and has been complained about. */
static bool is_misspelt(const struct schema *s, const struct node *map, const char *key)
{
	for (size_t i = 0; i < map->n; i++) {
		const char *typed = map->kid[i]->key->text;
		const char *meant = schema_field(s, map, typed) ? NULL : meant_key(s, typed);
		if (meant && !strcmp(meant, key))
			return true;
	}
	return false;
}

static void unknown_key(const struct schema *s, struct node *value, struct diag *d)
{
	const char *meant = meant_key(s, value->key->text);
	if (meant)
		diag_at(d, value->key, "unknown key '%s' (did you mean '%s'?)", value->key->text,
			meant);
	else
		diag_at(d, value->key, "unknown key '%s'", value->key->text);
	value->bad = true;
}

/* An array of structs from a list or a mapping of names. */
static void read_array(const struct field *f, struct node *n, void *base, struct diag *d)
{
	enum node_kind want = f->kind == F_NAMED ? NODE_MAP : NODE_LIST;
	if (node_is_null(n))
		return;
	if (n->kind != want) {
		diag_at(d, n, "'%s' must be a %s", f->key,
			want == NODE_MAP ? "mapping of names" : "list of mappings");
		return;
	}
	if (n->n > LIST_LEN_MAX) {
		diag_at(d, n, "'%s' is too long: %zu entries, at most %d", f->key, n->n,
			LIST_LEN_MAX);
		return;
	}
	char *array = calloc(n->n ? n->n : 1, f->object->size);
	if (!array) {
		d->out_of_memory = true;
		return;
	}
	*(char **)field_at(f, base) = array;
	*(size_t *)((char *)base + f->also) = n->n;
	for (size_t i = 0; i < n->n; i++) {
		struct node *item = n->kid[i];
		char *one = array + i * f->object->size;
		if (f->kind == F_NAMED) {
			value_store(item->key->text, (char **)one, d);
			if (!value_name_ok(item->key->text, f->flags & FIELD_GLOBS))
				diag_at(d, item->key,
					"'%s' is not a %s name: up to %d of A-Z a-z 0-9 _ . -",
					item->key->text, f->object->what, NAME_LEN_MAX);
		}
		schema_read(f->object, item, one, d);
	}
}

static void read_object(const struct field *f, struct node *n, void *base, struct diag *d)
{
	bool on = true;
	if (f->flags & FIELD_SWITCH) {
		bool is_word = n->kind == NODE_SCALAR && !value_bool(n->text, &on);
		*field_flag(f, base) = on;
		if (is_word)
			return;
		if (n->kind == NODE_SCALAR && !node_is_null(n)) {
			diag_at(d, n, "'%s' must be a mapping, true or false", f->key);
			return;
		}
	}
	schema_read(f->object, n, base, d);
}

/* A list with one value in place of the value, or with one for each family: that of IPv6 is read here.
 * A second of one family is refused.  NULL: there is no other value, or none that is well. */
static struct node *only_item(const struct field *f, struct node *n, void *base, struct diag *d)
{
	struct node *one[1] = {n}, **item = one, *found[2] = {NULL, NULL};
	size_t count = 1;
	if (n->kind == NODE_LIST && f->flags & FIELD_LIST_OF_ONE) {
		item = n->kid;
		count = n->n;
	}
	if (!count)
		diag_at(d, n, "'%s' is an empty list", f->key);
	for (size_t i = 0; i < count; i++) {
		bool six = f->six && item[i]->kind == NODE_SCALAR && strchr(item[i]->text, ':');
		if (!f->six && i && item[i]->kind == NODE_SCALAR && strchr(item[i]->text, ':'))
			diag_at(d, item[i], IPV6_ADDR_WHY);
		else if (found[six])
			diag_at(d, item[i], "'%s' takes one IPv%d value, this is one more", f->key, six ? 6 : 4);
		else
			found[six] = item[i];
	}
	if (found[1])
		value_read6(f, found[1], base, d);
	return found[0];
}

static void read_field(const struct field *f, struct node *n, void *base, struct diag *d)
{
	const struct kind *k = &schema_kinds[f->kind];
	if (f->kind == F_LIST || f->kind == F_NAMED) {
		read_array(f, n, base, d);
		return;
	}
	if (f->kind == F_OBJECT) {
		read_object(f, n, base, d);
		return;
	}
	if (f->kind != F_UNBUILT && node_is_null(n)) {
		diag_at(d, n->key ? n->key : n, "'%s' has no value", f->key);
		n->bad = true;
		return;
	}
	if (!k->takes_any) {
		n = only_item(f, n, base, d);
		if (!n)
			return;
		if (n->kind != NODE_SCALAR) {
			diag_at(d, n, "'%s' must be one value, not a %s", f->key,
				n->kind == NODE_MAP ? "mapping" : "list");
			return;
		}
	}
	k->read(f, n, base, d);
}

static void read_defaults(const struct schema *s, void *base, struct diag *d)
{
	for (const struct field *f = s->fields; f < s->fields + s->n; f++) {
		if (f->kind == F_OBJECT)
			read_defaults(f->object, base, d);
		if (!f->dflt)
			continue;
		struct node n = {.kind = NODE_SCALAR, .text = (char *)f->dflt};
		schema_kinds[f->kind].read(f, &n, base, d);
	}
}

static void check_needed(const struct schema *s, struct node *map, struct diag *d)
{
	uint32_t bit = selected(s, map);
	char list[160];
	for (const struct field *f = s->fields; f < s->fields + s->n; f++) {
		bool needed = f->needs == ALWAYS || f->needs & bit;
		if (!needed || node_get(map, f->key) || is_misspelt(s, map, f->key))
			continue;
		if (f->needs != ALWAYS) {
			const char *value = node_get(map, s->selector)->text;
			diag_at(d, map, "'%s' is missing: %s '%s' needs it", f->key, s->selector,
				value);
		} else if (f->choices) {
			value_choices(f->choices, list, sizeof(list));
			diag_at(d, map, "'%s' is missing: one of %s", f->key, list);
		} else {
			diag_at(d, map, "'%s' is missing", f->key);
		}
	}
}

/* Every key that is there, then those that are not. */
static void schema_walk(const struct schema *s, struct node *map, void *base, struct diag *d)
{
	uint32_t bit = selected(s, map);
	char list[160];
	for (size_t i = 0; i < map->n; i++) {
		struct node *v = map->kid[i];
		const struct field *f = schema_field(s, map, v->key->text);
		if (!f) {
			unknown_key(s, v, d);
			continue;
		}
		if (s->selector && !bit && (f->only || f->kind == F_UNBUILT))
			continue; /* which type it is comes first */
		bool off = f->flags & FIELD_SWITCH && v->kind == NODE_SCALAR &&
			   !strcmp(v->text, "false");
		if (f->only && bit && !(f->only & bit) && !off) {
			schema_only(s, f->only, list, sizeof(list));
			diag_at(d, v->key, "'%s' does not go with %s '%s' (only with %s)", f->key,
				s->selector, node_get(map, s->selector)->text, list);
			v->bad = true;
			continue;
		}
		read_field(f, v, base, d);
	}
	check_needed(s, map, d);
}

void schema_read(const struct schema *s, struct node *map, void *base, struct diag *d)
{
	if (s->size || s == &schema_top)
		read_defaults(s, base, d);
	if (map->kind == NODE_MAP)
		schema_walk(s, map, base, d);
	else if (!node_is_null(map))
		diag_at(d, map, "%s must be a mapping such as {key: value}", s->what);
	else
		check_needed(s, map, d);
}

bool name_is_glob(const char *name)
{
	return name[strcspn(name, "*?[")];
}
