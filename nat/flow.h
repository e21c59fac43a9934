/* Mappings, sessions and guests: what the NAT remembers.
 *
 *	guest    (domain, inside address)                    has many sessions, is limited
 *	mapping  (domain, proto, inside ip:port) = outside ip:port    owns sessions
 *	session  (mapping, remote ip:port)                   filter, TCP state, deadline
 *
 * A mapping is endpoint-independent (RFC 4787 REQ-1): whatever the remote, a packet from
 * the same inside ip:port leaves from the same outside ip:port.  It ends with its last
 * session; those of forwards are fixed and stay.  Ports of ICMP echo are the id, the
 * remote's is 0.
 *
 * GRE and ESP have no ports: their mapping is of the guest's address alone, and only a session, that
 * is, a pair of addresses, leads back in.  So one remote can have one such guest at a time; the
 * second is refused (NAT_PAIR).
 *
 * A session is found by the packet's addresses as they stand, from either side, in
 * one look-up.  The address it shows to the inside (`seen`) is the remote's own, except where the
 * gateway stands for a server (DNS over TCP).
 *
 * Quotas.  A guest has limits of sessions, mappings, outside ports and new sessions a
 * second (struct gateway_conf); it is remembered while it has a mapping.  Its outside ports are
 * held for it when they end, or come in blocks (nat/ports.h).
 *
 * Ends of life.  Deadlines are stored, timers are not moved by packets: the timer
 * that finds a later deadline arms itself again.  Table full, or no outside port left: the
 * port of the switch with most sessions (by powers of two) loses one, of its guest with most,
 * the one that has been idle longest.  By port first, as a guest has but one of those and may forge
 * any number of addresses; what began outside counts as a port of its own.
 *
 * Worker 0 only.  Memory: three fixed pools, resident as they fill; a session is 128
 * bytes and 16 of buckets. */
#ifndef NAT_FLOW_H
#define NAT_FLOW_H

#include "nat/neigh.h"
#include "nat/ports.h"
#include "net/drop.h"
#include "net/headers.h"
#include "net/table.h"
#include "net/types.h"
#include "net/wheel.h"

struct gateway;
struct leg;
struct uplink;

/* What both tables are keyed by: the packet's own 5-tuple and where it was met. */
struct flow_key {
	uint64_t a; /* src, dst */
	uint64_t b; /* sport, dport, domain, proto */
};
static inline struct flow_key flow_key(domain_idx d, uint8_t proto, be32 src, be16 sport, be32 dst,
				       be16 dport)
{
	return (struct flow_key){(uint64_t)src << 32 | dst, (uint64_t)sport << 48 |
					(uint64_t)dport << 32 | (uint64_t)d << 8 | proto};
}

/* Whether a protocol is told apart by ports (or by ids, as ICMP echo is). */
static inline bool flow_has_ports(uint8_t proto)
{
	return proto != IPPROTO4_GRE && proto != IPPROTO4_ESP;
}

#define FLOW_HEAVY_CLASSES 18u
#define GUEST_BLOCKS_MAX 16u

struct guest {
	struct tab_node node;
	be32 addr;
	domain_idx domain;
	port_idx port; /* where it was last seen; PORT_NONE */
	uint32_t n_sessions, n_mappings, n_ports;
	nsec_t rate_at; /* when the next new session would be on time */
	struct port_block block[GUEST_BLOCKS_MAX];
	struct uplink *blocks_of; /* whose they are */
	uint8_t n_blocks;
	uint8_t class; /* log2 of n_sessions: which list of its holder's */
	port_idx holder; /* where it began */
	struct lru sessions; /* by when they were last found alive */
	struct lru_node by_class;
};

/* A port of the switch, by what its guests hold. */
struct holder {
	uint32_t n_sessions;
	uint8_t class;
	struct lru guests[FLOW_HEAVY_CLASSES];
	struct lru_node by_class;
};

struct mapping {
	struct tab_node in, out;
	struct gateway *gw;
	struct leg *leg; /* the inside */
	struct uplink *up;
	be32 inside, outside;
	be16 iport, oport;
	domain_idx domain, up_domain;
	uint8_t proto;
	bool fixed;  /* a forward's: anyone may come in, and it stays without sessions */
	bool local;  /* inside is the gateway itself */
	bool in_in, in_out; /* in the tables */
	bool used;   /* had a session: its port has been seen outside */
	bool expects; /* its remotes may come in from other ports as well (nat/alg.h) */
	struct guest *guest; /* of a fixed one only while it has sessions */
	uint32_t n_sessions;
	nsec_t fresh_until; /* what the last packet from inside has given it (RFC 4787 REQ-6) */
	struct lru sessions;
	struct neigh_ref hop; /* the guest */
};

struct session {
	struct tab_node in, out;
	struct mapping *m;
	be32 remote, seen;
	be16 rport; /* the same on both sides */
	uint8_t state; /* enum tcp_state; 0 otherwise */
	bool hairpin : 1; /* the remote is the uplink's own address */
	bool ftp : 1;	  /* alg_ftp_cross() sees its segments */
	be16 d_addr;   /* checksum deltas inside -> outside: addresses ... */
	be16 d_full;   /* ... and ports; the other way is the complement */
	struct neigh_ref hop; /* towards the remote */
	nsec_t expires;
	struct wheel_timer timer;
	struct lru_node of_guest, of_mapping;
};
_Static_assert(sizeof(struct session) <= 128, "a million of them in 160 MiB, buckets and mappings included");

struct flow_table {
	struct table in, out;                   /* sessions */
	struct table map_in, map_out, by_addr;  /* mappings, guests */
	struct pool sessions, mappings, guests;
	struct holder *holder;                  /* by port_idx; the last is for what began outside */
	struct lru heavy[FLOW_HEAVY_CLASSES]; /* holders by class */
	struct wheel wheel;
	uint64_t created, expired, evicted;
	nsec_t now; /* of the last call that knew the time */
	void (*wake)(void *arg, struct worker *w, nsec_t when);
	void *arg;
};

int flow_init(struct flow_table *t, uint32_t max_sessions, nsec_t now); /* 0 or -ENOMEM */
void flow_fini(struct flow_table *t);

struct session *flow_find_in(const struct flow_table *t, struct flow_key k);  /* from inside */
struct session *flow_find_out(const struct flow_table *t, struct flow_key k); /* from outside */
/* For a burst: has what flow_find_in() or _out() will read come near.  Nothing below FLOW_NEAR sessions,
 * which the caches hold. */
#define FLOW_NEAR 4096u
void flow_prefetch_in(const struct flow_table *t, const struct flow_key *k, unsigned n);
void flow_prefetch_out(const struct flow_table *t, const struct flow_key *k, unsigned n);
/* By inside address and port; by outside address and port.  NULL when there is none. */
struct mapping *flow_map_in(const struct flow_table *t, domain_idx d, uint8_t proto, be32 ip,
			    be16 port);
struct mapping *flow_map_out(const struct flow_table *t, domain_idx up, uint8_t proto, be32 ip,
			     be16 port);

/* Whether a guest may start one more session now, by its quota and its rate; NAT_SESSIONS,
 * NAT_RATE.  Asked before anything is made for it. */
enum drop_reason flow_admit(struct flow_table *t, const struct leg *leg, be32 inside, nsec_t now);
/* A dynamic mapping with an outside port of up's; `from`: the port the guest is at.  *ret_why: NAT_PORTS,
 * NAT_TABLE, NAT_MAPPINGS
 * or NAT_PORT_QUOTA. */
struct mapping *flow_map_new(struct flow_table *t, struct leg *leg, port_idx from, uint8_t proto, be32 inside,
			     be16 iport, enum drop_reason *ret_why);
/* Enters a caller's own mapping (a forward), all its address fields filled in. */
void flow_map_enter(struct flow_table *t, struct mapping *m);
void flow_map_leave(struct flow_table *t, struct mapping *m); /* its sessions end */
/* Out of the tables, while its sessions go on until they end of themselves. */
void flow_map_retire(struct flow_table *t, struct mapping *m);
/* Puts a caller's own mapping in the place of a dynamic one with the same addresses and ports, which is gone
 * then; its sessions go on as the new one's. */
void flow_map_adopt(struct flow_table *t, struct mapping *dynamic, struct mapping *m);
/* Ends a dynamic mapping that got no session. */
void flow_map_unused(struct flow_table *t, struct mapping *m);

struct flow_remote {
	be32 remote, seen;
	be16 rport;
};
/* A session of m that lives until `expires`.  *ret_why: NAT_SESSIONS, NAT_TABLE, or NAT_PORTS
 * (NAT_PAIR where there are no ports) when one of its keys is another session's. */
struct session *flow_new(struct flow_table *t, struct worker *w, struct mapping *m,
			 const struct flow_remote *r, nsec_t expires, enum drop_reason *ret_why);
void flow_end(struct flow_table *t, struct session *s); /* and its mapping, if that was its last */
/* A new deadline.  Earlier than the one before moves the timer; later is lazy. */
void flow_expire_at(struct flow_table *t, struct worker *w, struct session *s, nsec_t at);
void flow_advance(struct flow_table *t, struct worker *w, nsec_t now);
struct guest *flow_guest(const struct flow_table *t, domain_idx d, be32 addr);
uint32_t flow_owner(const struct flow_table *t, domain_idx d, be32 addr); /* as nat/ports.h knows it */
/* Ends the sessions for which `match` says so; returns how many. */
size_t flow_end_if(struct flow_table *t, bool (*match)(const struct session *s, const void *arg),
		   const void *arg);
void flow_each(struct flow_table *t, void (*fn)(void *arg, struct session *s), void *arg);

#endif
