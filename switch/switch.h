/* The switch: ports, domains, one forwarding database and the threads that forward.
 *
 * A domain is what everything below the port edge is keyed by: one for each network
 * or VLAN (later one for each NAT-per-VM port, QinQ pair or VNI).  Ports join domains
 * by their port_conf: those whose VLANs include the domain's, and those that name it.
 *
 * Main configures; workers forward.  What a worker reads is published whole
 * (port_conf, domain tables) and freed after sw_synchronize(), when every worker has
 * been between two bursts.  All functions are for the main thread. */
#ifndef SWITCH_SWITCH_H
#define SWITCH_SWITCH_H

#include "net/loop.h"
#include "switch/fdb.h"
#include "switch/port.h"
#include "switch/worker.h"

#define SW_PORTS_MAX 4096
#define SW_DOMAINS_MAX 8192

struct sw_config {
	unsigned workers;     /* forwarding threads, at most 16; 0 = 1 */
	uint32_t max_macs;    /* FDB capacity; 0 = 131072 */
	unsigned small_slots; /* packet memory; 0 = 4096 */
	unsigned big_slots;   /* 0 = 192 */
	unsigned max_ports;   /* that are listed, members included; 0 = SW_PORTS_MAX */
	nsec_t mac_age;       /* 0 = 300 s (802.1Q 8.8.3) */
};

struct sw *sw_new(struct loop *loop, const struct sw_config *cfg); /* NULL with errno */
int sw_start(struct sw *sw); /* starts the worker threads; 0 or -errno */
void sw_stop(struct sw *sw); /* joins them */
void sw_free(struct sw *sw); /* deletes what ports are left; accepts NULL */
/* Calls fn on main whenever a port has started or stopped; one listener. */
void sw_on_link(struct sw *sw, void (*fn)(void *arg, struct port *p, bool up), void *arg);
/* Returns when every worker has passed between two bursts since the call. */
void sw_synchronize(struct sw *sw);
struct arena_stats sw_arena_stats(struct sw *sw);

/* vid 0: a domain that no VLAN leads to (an uplink's); ports name it in port_conf.
 * -EEXIST for a VLAN that has one, -ENOSPC. */
int sw_domain_add(struct sw *sw, vlan_id vid, const char *network, domain_idx *ret_domain);
void sw_domain_del(struct sw *sw, domain_idx d);
void sw_domain_rename(struct sw *sw, domain_idx d, const char *network);
domain_idx sw_domain_of_vid(struct sw *sw, vlan_id vid); /* DOMAIN_NONE */
vlan_id sw_domain_vid(struct sw *sw, domain_idx d);
/* p, whose conf names another domain, gets what is flooded in d as well and may send into it
 * (worker_inject()): a gateway of many domains.  Ends with either. */
void sw_domain_also(struct sw *sw, domain_idx d, struct port *p);
const char *sw_domain_network(struct sw *sw, domain_idx d); /* "" when it has none */

/* The FDB, by way of worker 0. */
int sw_fdb_add_static(struct sw *sw, domain_idx d, struct mac m, struct port *p);
int sw_fdb_del(struct sw *sw, domain_idx d, struct mac m); /* -ENOENT */
void sw_fdb_flush_port(struct sw *sw, struct port *p);
void sw_fdb_flush_domain(struct sw *sw, domain_idx d);
void sw_fdb_flush(struct sw *sw); /* all that was learned */
struct sw_fdb_row {
	domain_idx domain;
	struct mac mac;
	port_idx port;
	uint32_t age; /* seconds since last seen */
	bool is_static;
};
/* All entries; *ret_rows is malloc'ed and the caller's.  -ENOMEM. */
int sw_fdb_list(struct sw *sw, struct sw_fdb_row **ret_rows, size_t *ret_n);
/* The port an address was last seen on, PORT_NONE when unknown. */
port_idx sw_fdb_where(struct sw *sw, domain_idx d, struct mac m);

/* An exact picture: taken between two bursts, so that the sums hold. */
struct sw_port_counters { /* port_counters at rest */
	uint64_t rx_packets, rx_bytes, rx_segments, forwarded, flooded, consumed;
	uint64_t rx_drop[DROP_COUNT];
	uint64_t offered, tx_packets, tx_bytes, tx_segments;
	uint64_t tx_drop[DROP_COUNT];
	uint64_t mac_moves;
};
struct sw_totals {
	uint64_t copies;            /* = sum of offered over all ports, ever */
	uint64_t gone_offered;      /* what deleted ports had been offered */
	uint64_t gone_rx_drop[DROP_COUNT], gone_tx_drop[DROP_COUNT];
	uint32_t macs;
	uint64_t mac_moves, mac_evictions;
};
void sw_counters(struct sw *sw, struct sw_totals *ret_totals,
		 void (*each)(void *arg, struct port *p, const struct sw_port_counters *c),
		 void *arg);

#endif
