/* The configuration: what the YAML says, checked, as plain values.
 *
 * One struct config is immutable once built.  The file, a run-time `port add` and a
 * reload all make a new one (config_load, config_with), which is validated whole and
 * refused whole; ctl/apply.h then carries out the difference between the running one
 * and the new one.  Keys, types, ranges and defaults are the typed tables in
 * ctl/schema.c; docs/config.md is generated from them.
 *
 * Errors name file:line:column, show the line with a caret, and say what was meant.
 * Strings are owned by the config.  Main thread (and vswitchctl, without a daemon). */
#ifndef CTL_CONFIG_H
#define CTL_CONFIG_H

#include <stdio.h>

#include "net/addr.h"
#include "net/types.h"
#include "vlan/vlan.h"

enum net_mode { MODE_INTERNAL, MODE_BRIDGED, MODE_HOST_ONLY, MODE_ROUTED, MODE_NAT, MODE_NAT_PER_VM };
enum uplink_type { UPLINK_HOST, UPLINK_INTERFACE, UPLINK_NETWORK };
enum port_type { PORT_TAP, PORT_NETDEV, PORT_DGRAM, PORT_STREAM, PORT_UDP, PORT_VHOST_USER };
enum port_role { ROLE_SERVER, ROLE_CLIENT };
enum host_mode { HOST_UNSET, HOST_EXCLUDE, HOST_SHARE };
enum ip_proto_cfg { PROTO_TCP = 6, PROTO_UDP = 17 };
enum port_control { CONTROL_NAT_PMP = 1, CONTROL_PCP = 2, CONTROL_UPNP = 4 }; /* as nat/portctl.h has them */
enum nat_alg { NAT_ALG_FTP = 1, NAT_ALG_TFTP = 2 }; /* as nat/alg.h has them */
enum nat6 { NAT6_NONE, NAT6_NPT };
enum nat_filtering { FILTER_ENDPOINT_INDEPENDENT, FILTER_ADDRESS_DEPENDENT, FILTER_ADDRESS_AND_PORT_DEPENDENT };

struct cfg_reservation {
	struct mac mac;
	be32 address;
	char *hostname; /* NULL when not given */
};
struct cfg_option { /* a DHCP option given as text in the config, encoded */
	uint8_t code, len;
	uint8_t data[255];
};
struct cfg_forward {
	enum ip_proto_cfg proto;
	be32 listen; /* 0: the uplink's address */
	uint16_t listen_port, listen_last; /* the same when it is one port */
	be32 to; /* 0 when to_name */
	char *to_name;
	uint16_t to_port; /* of the first; the others follow */
	uint16_t to_last; /* 0: was not written */
	char *port;       /* nat-per-vm: whose */
};
#define CFG_RANGE_MAX 1024u /* ports of one forward */
struct cfg_route {
	struct prefix4 to;
	bool has_to;
	be32 via;
	struct prefix6 to6; /* in place of those, when len is not 0 */
	uint8_t via6[16];
};
struct cfg_uplink {
	char *name;
	enum uplink_type type;
	bool loopback;   /* host: guests may reach the host's 127.0.0.1 */
	char *interface; /* interface */
	char *network;   /* network: one of our own, that it is a host of */
	struct prefix4 address; /* zero with dhcp */
	bool dhcp, shared;
	uint16_t port_first, port_last; /* shared */
	be32 gateway;
	struct prefix6 address6; /* len 0: none */
	uint8_t gateway6[16];
	struct cfg_route *routes;
	size_t n_routes;
};
#define CFG_BACKUPS_MAX 7
struct cfg_network {
	char *name;
	vlan_id vlan;
	enum net_mode mode;
	char *uplink; /* NULL: none */
	char *backup[CFG_BACKUPS_MAX]; /* in their order, when that is down */
	size_t n_backups;
	bool has_subnet;
	struct prefix4 subnet; /* addr = the network address */
	bool has_subnet6;
	struct prefix6 subnet6; /* a /64; the gateway is its first address */
	be32 gateway;          /* filled in by default */
	uint32_t mtu;          /* 1500 by default */
	bool dhcp;
	be32 range_first, range_last; /* filled in by default */
	uint32_t lease_s;
	struct cfg_option *options;
	size_t n_options;
	struct cfg_reservation *reservations;
	size_t n_reservations;
	bool dns;
	be32 dns_address;
	char *domain;         /* NULL: names without a domain */
	bool upstream_system; /* else the list */
	be32 *upstreams;
	size_t n_upstreams;
	struct cfg_forward *forwards;
	size_t n_forwards;
	bool filter6;		  /* routed; by default where npt */
	enum nat6 nat6;		  /* nat */
	struct prefix6 npt;
	struct cfg_route *routes; /* routed */
	size_t n_routes;
	enum nat_filtering filtering;
	uint32_t udp_timeout_s, tcp_established_s, tcp_transitory_s, icmp_timeout_s;
	uint32_t sessions_per_guest, mappings_per_guest, ports_per_guest, new_sessions_per_s, port_block;
	unsigned algs; /* enum nat_alg */
	uint32_t port_control; /* bits of enum port_control */
	uint32_t port_control_mappings; /* of one guest */
};
struct cfg_port {
	char *name;
	bool is_pattern; /* netdev whose name is a glob */
	enum port_type type;
	char *socket;    /* dgram, vhost-user */
	char *listen;    /* stream: path; udp: address:port */
	char *connect;   /* stream */
	char *peer;      /* udp */
	enum port_role role; /* vhost-user: client dials */
	uint32_t queues;     /* vhost-user: pairs */
	bool config_space;   /* vhost-user: CONFIG is offered */
	char *interface; /* tap, netdev */
	enum host_mode host;
	struct prefix4 address; /* tap; len 0 and addr 0 when absent */
	bool has_address;
	char *network; /* access; NULL for a trunk */
	struct vlan_set trunk;
	bool is_trunk;
	char *trunk_text; /* as the user wrote it: "lab, office, 100-199" */
	char *native;     /* network name or VLAN number; NULL */
	vlan_id native_vlan;
	struct mac mac;
	bool has_mac;
	bool isolated, down;
	uint32_t max_macs;
	uint32_t mode; /* of the socket; default 0660 */
	char *group;
};
struct config {
	char *path; /* NULL for the built-in default */
	char *control_socket, *control_group, *state_dir;
	uint32_t workers, max_macs, max_sessions, max_ports;
	struct cfg_uplink *uplinks;
	size_t n_uplinks;
	struct cfg_network *networks;
	size_t n_networks;
	struct cfg_port *ports;
	size_t n_ports;
	void *source; /* the parsed document, for config_show and config_with */
};

/* Where paths default to: /run/vswitchd or, without root, $XDG_RUNTIME_DIR/vswitchd... */
struct config_defaults {
	const char *control_socket, *state_dir;
};
struct config_defaults config_defaults(void);

/* Reads and checks a file.  On failure returns NULL, with every error printed to `err`
 * (several, the way a compiler does). */
struct config *config_load(const char *path, const struct config_defaults *d, FILE *err);
/* The same from text; name stands in messages. */
struct config *config_parse(const char *text, const char *name, const struct config_defaults *d, FILE *err);
/* The built-in default of INTERFACE.md. */
struct config *config_builtin(const struct config_defaults *d);
void config_free(struct config *c); /* accepts NULL */

/* The YAML text of the whole config, which config_parse() reads back to an equal one: what
 * was given, in the order of the tables, without fixed defaults and comments.
 * malloc'ed; NULL on ENOMEM. */
char *config_text(const struct config *c);

/* A new config with one object added, changed or removed.  `yaml` is the object's mapping in
 * flow form ("{type: dgram, network: lab}"); NULL removes it; merge keeps the keys
 * not named, takes out those given as null ("{network: ~, trunk: [lab]}"), and wants the
 * object to exist.  path: "ports/web1", "networks/lab", "uplinks/wan", or deeper:
 * "networks/lab/mtu" with "9000"; "networks/lab/forward/+" appends to a list,
 * "networks/lab/forward/#2" with NULL removes its third entry.  Errors are put on err, one
 * line each, led by the object they are about: "port 'web1': unknown key 'netwrok' (did you
 * mean 'network'?)".  c is not changed; paths set from the command line are kept. */
struct config *config_with(const struct config *c, const char *path, const char *yaml, bool merge,
			   FILE *err);

/* "[ADDRESS]:PORT[-LAST]", as a forward's listen has it: 0, or -EINVAL. */
int config_listen_parse(const char *text, be32 *ret_addr, uint16_t *ret_port, uint16_t *ret_last);

const struct cfg_network *config_network(const struct config *c, const char *name);
const struct cfg_network *config_network_of_vlan(const struct config *c, vlan_id v);
const struct cfg_port *config_port(const struct config *c, const char *name);
const struct cfg_uplink *config_uplink(const struct config *c, const char *name);
bool cfg_network_served(const struct cfg_network *n); /* its mode has a gateway */
bool cfg_network_equal(const struct cfg_network *a, const struct cfg_network *b);
bool cfg_port_equal(const struct cfg_port *a, const struct cfg_port *b);
bool cfg_uplink_equal(const struct cfg_uplink *a, const struct cfg_uplink *b);
/* All that the configuration says; not where it came from. */
bool config_equal(const struct config *a, const struct config *b);

/* "lab" for "labb" among n names: what was meant, or NULL when nothing is close. */
const char *closest_name(const char *typed, const char *const *names, size_t n);

/* docs/config.md from the schema. */
void config_print_reference(FILE *out);

#endif
