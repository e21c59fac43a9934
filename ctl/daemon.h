/* The daemon's one struct, and how a new configuration becomes real.
 *
 * main() in ctl/vswitchd.c owns it; the control socket's verbs read it and change it
 * only through daemon_apply().  Everything here is for the main thread.
 *
 * What the running config became hangs on three lists, one entry for each network,
 * uplink and port.  An entry's cfg points into daemon.running and is set anew by each
 * apply; the objects it holds are kept as long as nothing in them has to change. */
#ifndef CTL_DAEMON_H
#define CTL_DAEMON_H

#include <stdio.h>

#include "ctl/config.h"
#include "net/loop.h"
#include "switch/switch.h"

struct nat;
struct nat_forward;
struct gateway;
struct uplink;
struct uplink_host;
struct uplink_dhcp;
struct uplink_shared;
struct netdev_hub;
struct lease;
struct lease_store;
struct dhcp_server;
struct ra_server;
struct portmap;
struct upnp;
struct dns_server;
struct dns_names;
struct dns_transport;
struct resolv;
struct rpc;

struct run_network {
	struct daemon *daemon;
	const struct cfg_network *cfg;
	domain_idx domain;
	bool begun;              /* services_network() has been here */
	struct gateway *gateway; /* NULL in modes without one */
	struct port *host_port;  /* host-only: the host's interface */
	struct dhcp_server *dhcp;
	struct dns_transport *upstream; /* its own, for listed servers; else NULL */
	struct ra_server *ra; /* NULL: no IPv6 */
	struct portmap *portmap; /* NULL: guests open no ports */
	struct loop_timer *portmap_timer;
	struct upnp *upnp; /* NULL: not spoken */
	struct slow_sink dhcp_sink, dns_answer_sink, ra_sink, portctl_sink;
	struct run_network *next;
};
struct run_uplink {
	const struct cfg_uplink *cfg;
	struct uplink *uplink;
	struct uplink_host *host; /* type host: libslirp's side */
	struct port *carrier;     /* type interface: the netdev port */
	struct uplink_dhcp *dhcp; /* address: dhcp */
	struct uplink_shared *shared; /* address: shared */
	nsec_t up_since;          /* 0: down */
	nsec_t probed;            /* when its next hop was asked last, if it is watched */
	unsigned unanswered;      /* in a row */
	struct run_uplink *next;
};
struct run_port {
	const struct cfg_port *cfg;
	struct port *port; /* NULL when it could not be opened */
	/* in mode nat-per-vm (ctl/vm.c): */
	struct run_network *vm; /* NULL otherwise */
	domain_idx domain;      /* its own; DOMAIN_NONE */
	struct dhcp_server *dhcp;
	bool shut; /* put down until change_port() has been there */
	struct run_port *next;
};

struct daemon {
	struct loop *loop;
	struct sw *sw;
	struct config *running;
	struct config *loaded; /* what the file said when it was last read or written */
	struct config_defaults defaults;
	const char *config_path; /* where `config save` writes; never NULL */
	bool test_clock;
	nsec_t started;
	struct nat *nat;
	struct netdev_hub *netdevs;
	struct lease_store *leases;
	struct loop_timer *lease_timer, *lease_sync, *uplink_timer;
	struct dns_names *names;
	struct dns_server *dns;
	struct dns_transport *dns_host;
	struct resolv *resolv;
	struct rpc *rpc;
	struct run_network *networks;
	struct run_uplink *uplinks;
	struct run_port *ports;
	/* For `events`: called when something worth telling happened; NULL: nobody listens. */
	void (*on_event)(struct daemon *d, const char *kind, const char *object, const char *text);
};

#define CFG_NAME_MAX 80 /* of a network or port, in what is made from both */

/* ---- ctl/apply.c ---- */

/* Makes the difference between daemon.running and `next` real, touching only what
 * changed, and takes `next`, which is running from then on.  0, or -EINPROGRESS when
 * part of it could not be done (exit code 65): one line each on err. */
int daemon_apply(struct daemon *d, struct config *next, FILE *err);
/* SIGHUP and `config apply`: loads the file and applies it; the run-time edits that are
 * dropped by it are listed on `out`.  -EINVAL when the file is refused: nothing changed. */
int daemon_reload(struct daemon *d, FILE *out, FILE *err);
/* Writes daemon.running to the config file, whole or not at all.  -errno. */
int daemon_save(struct daemon *d);
/* Ends everything apply made. */
void daemon_clear(struct daemon *d);

struct run_network *daemon_network(struct daemon *d, const char *name);
struct run_network *daemon_network_of_domain(struct daemon *d, domain_idx dom);
struct run_port *daemon_port(struct daemon *d, const char *name);
struct run_uplink *daemon_uplink(struct daemon *d, const char *name);

/* ---- ctl/services.c: DHCP, DNS, NAT of a network ---- */

/* Opens what all networks share: NAT tables, leases, names, resolv.conf.  0 or -errno. */
int services_open(struct daemon *d);
void services_close(struct daemon *d);
/* Makes or changes the gateway and services of a network (n->cfg is the new one). */
int services_network(struct daemon *d, struct run_network *n, const struct cfg_network *was, FILE *err);
void services_network_end(struct daemon *d, struct run_network *n);
/* Begins, changes or ends its router advertisements; what they say depends on other networks and uplinks too.
 * -errno. */
int services_ra(struct daemon *d, struct run_network *n);
/* The uplink that uplinks_choose() says, with what hangs on it. */
int services_follow_uplink(struct daemon *d, struct run_network *n, FILE *err);
struct route4;
struct route6;
struct cfg_route;
void services_routes(const struct cfg_route *from, size_t n, struct route4 *to, unsigned *ret_n,
		     struct route6 *to6, unsigned *ret_n6);
/* A MAC of our own for an object, the same at every start, other on every host. */
struct mac services_mac(struct daemon *d, const char *kind, const char *name);

/* ---- ctl/forwards.c ---- */

/* Brings the forwards at the gateway, and the host's listeners, in line with the config. */
int forwards_sync(struct daemon *d, struct run_network *n, FILE *err);
/* A guest got an address under this name: forwards to the name follow it. */
void forwards_follow(struct daemon *d, struct run_network *n, const char *hostname);
void forwards_end(struct daemon *d, struct run_network *n);

/* ---- ctl/port_control.c: ports that guests open to themselves ---- */

/* As the network's config says: begun, changed or ended.  What cannot be done is said on err. */
int port_control_network(struct daemon *d, struct run_network *n, FILE *err);
void port_control_end(struct daemon *d, struct run_network *n);
void port_control_uplink(struct run_network *n); /* it is about to be another */
void port_control_leg(struct run_network *n, domain_idx domain); /* about to go */
/* Whether the source is an address that is leased to somebody at another port of the switch: who sent it is no guest
 * that may speak for it. */
bool port_control_forged(const struct run_network *n, const struct pkt *k);
/* A lease of the address has ended, or one has begun. */
void port_control_lease(struct run_network *n, domain_idx domain, be32 addr);
/* A forward of the config wants this port of the uplink: no guest keeps it.  true: one had it. */
bool port_control_yield(struct daemon *d, const struct uplink *u, uint8_t proto, uint16_t port);

/* ---- ctl/ports.c: a port of the config becomes a port of the switch ---- */

int ports_open(struct daemon *d, const struct cfg_port *c, domain_idx domain, struct port **ret_port);
void ports_conf(const struct config *cfg, const struct cfg_port *c, struct port_conf *ret_conf);
/* Whether a new config of the port needs no more than port_set_conf(). */
bool ports_same_attachment(const struct cfg_port *a, const struct cfg_port *b);

/* For ctl/vm.c: a DHCP server for the pool, made or changed; DNS in a domain of the network; the
 * name of a lease. */
int services_dhcp(struct daemon *d, struct run_network *n, const char *pool, struct dhcp_server **dhcp);
int services_dns(struct daemon *d, struct run_network *n, domain_idx domain);
void services_name_lease(struct daemon *d, domain_idx domain, const struct lease *l);

/* ---- ctl/uplinks.c ---- */

int services_uplink(struct daemon *d, struct run_uplink *u, FILE *err);
void services_uplink_end(struct daemon *d, struct run_uplink *u);
void uplinks_on_link(void *daemon, struct port *p, bool up); /* sw_on_link()'s */
/* Whether packets can leave by it; if not, *ret_why says why, as static text. */
bool uplink_is_up(const struct run_uplink *u, const char **ret_why);
/* A network of ours that a new address of its lies in: routing could not tell inside from outside
 * (RFC 4787 REQ-7).  NULL: none. */
const struct cfg_network *uplink_overlaps(const struct daemon *d, const struct run_uplink *u, struct prefix4 p);
void uplink_follow_mtu(struct daemon *d, struct run_uplink *u); /* of its wire, or of its lease */
/* Its address or link changed: networks with several uplinks may move. */
void uplinks_changed(struct daemon *d, struct run_uplink *u);
/* The first uplink of a network's that is up; the first when none is.  NULL: it has none. */
struct run_uplink *uplinks_choose(struct daemon *d, const struct run_network *n);
struct run_uplink *uplink_of(struct daemon *d, const struct run_network *n); /* now in use; NULL */
/* After each new config: watches uplinks from now on if some network has several. */
int uplinks_watch(struct daemon *d);
void uplinks_close(struct daemon *d);

/* ---- ctl/uplink_dhcp.c ---- */

int uplink_dhcp_begin(struct daemon *d, struct run_uplink *u);
void uplink_dhcp_link_up(struct run_uplink *u); /* its cable came back */
void uplink_dhcp_recheck(struct run_uplink *u); /* networks have changed: uplink_overlaps() */
void uplink_dhcp_end(struct daemon *d, struct run_uplink *u);
uint32_t uplink_dhcp_mtu(const struct uplink_dhcp *x); /* by its lease; 0: not said */
const char *uplink_dhcp_state(const struct uplink_dhcp *x);
int64_t uplink_dhcp_expires(const struct uplink_dhcp *x); /* seconds; -1: never, or no lease */

/* ---- ctl/uplink_shared.c ---- */

/* Makes its carrier, and follows the host's address and route. */
int uplink_shared_begin(struct daemon *d, struct run_uplink *u);
void uplink_shared_recheck(struct run_uplink *u);
void uplink_shared_end(struct run_uplink *u);
const char *uplink_shared_why(const struct uplink_shared *s); /* why it is down; "" when it is not */

/* ---- ctl/vm.c ---- */

/* A port of a nat-per-vm network gets its appliance; nothing for others.  -errno. */
int vm_begin(struct daemon *d, struct run_port *p);
void vm_end(struct daemon *d, struct run_port *p);
/* As its config says now: begun, ended, or moved to another network's. */
int vm_update(struct daemon *d, struct run_port *p);
int vm_network_changed(struct daemon *d, struct run_network *n);
void vm_network_end(struct daemon *d, struct run_network *n);
struct run_port *vm_of_domain(struct daemon *d, domain_idx domain);
struct run_port *vm_of_pool(struct daemon *d, const char *pool); /* "NETWORK/PORT"; NULL */
void vm_dhcp_receive(void *network, struct pkt *k); /* a struct slow_sink's */

#endif
