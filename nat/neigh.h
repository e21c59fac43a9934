/* Neighbours: which MAC address an IPv4 address has, on the inside of a gateway and on
 * the outside of an uplink (ARP, RFC 826; the states are those of RFC 4861 7.3.2).
 *
 * An interface (struct neigh_if) is an address of ours in a domain, with the port
 * through which we send there.  A neighbour is asked for when something is to be sent
 * to it; up to NEIGH_QUEUE packets wait for the answer, NEIGH_IF_QUEUE of an interface.
 * A known address is trusted for NEIGH_REACHABLE; after that the next packet still
 * goes out and starts a probe.  Nothing ticks for a neighbour that nobody uses.
 *
 * Whoever keeps a neighbour keeps a struct neigh_ref, an index with the generation
 * of its slot, and asks again when it has gone: entries can be evicted at any time
 * (the least recently resolved of the interface that is at its limit).
 *
 * Worker 0 only. */
#ifndef NAT_NEIGH_H
#define NAT_NEIGH_H

#include "net/addr.h"
#include "net/pkt.h"
#include "net/table.h"
#include "net/types.h"
#include "net/wheel.h"
#include "switch/worker.h"

#define NEIGH_MAX 65536u   /* of all interfaces */
#define NEIGH_IF_MAX 4096u /* of one */
#define NEIGH_QUEUE 4u
#define NEIGH_IF_QUEUE 64u
#define NEIGH_TRIES 3u
#define NEIGH_RETRY NSEC_PER_SEC
#define NEIGH_REACHABLE (30 * NSEC_PER_SEC)
#define NEIGH_FAILED_FOR (3 * NSEC_PER_SEC) /* no new question before */

enum neigh_state {
	NEIGH_FREE,
	NEIGH_INCOMPLETE, /* asked, packets wait */
	NEIGH_REACHABLE_, /* for NEIGH_REACHABLE; then the next use starts a probe */
	NEIGH_PROBE, /* usable, asked again */
	NEIGH_FAILED /* does not answer */
};

struct neigh_if;
struct neigh {
	struct tab_node node;
	be32 ip;
	uint32_t gen; /* of the slot; survives its reuse */
	struct mac mac;
	uint8_t state, tries, n_wait;
	nsec_t confirmed;
	struct neigh_if *nif;
	struct neigh *next_free;
	struct lru_node lru;
	struct wheel_timer timer;
	struct {
		struct pkt *k;
		struct port *origin; /* whose tx the packet came by, for port_tx_undo(); or NULL */
	} wait[NEIGH_QUEUE];
};
struct neigh_ref {
	uint32_t idx, gen; /* gen 0 never matches */
};

struct neigh_table {
	struct table by_ip;
	struct neigh *slot; /* NEIGH_MAX; pages are touched on first use */
	uint32_t fresh, used;
	struct neigh *free;
	struct wheel wheel;
	/* asks the owner to have neigh_advance() called at `when` */
	void (*wake)(void *arg, struct worker *w, nsec_t when);
	void *arg;
};

struct neigh_if {
	struct port *port;
	domain_idx domain;
	struct mac mac;
	struct prefix4 address;
	uint32_t mtu; /* largest IP packet sent there */
	bool quiet; /* somebody else, the host, answers for the address */
	be32 also; /* a second address we answer for; 0 = none */
	uint32_t count, waiting;
	struct lru entries;
	/* k, which waited for a neighbour, is lost: may answer its sender; k stays the caller's */
	void (*lost)(struct neigh_if *nif, struct worker *w, nsec_t now, struct pkt *k);
};

int neigh_table_init(struct neigh_table *t, nsec_t now); /* 0 or -ENOMEM */
void neigh_table_fini(struct neigh_table *t);
void neigh_if_init(struct neigh_if *nif);
/* Forgets all of an interface; what waits is dropped and counted. */
void neigh_if_flush(struct neigh_table *t, struct neigh_if *nif, struct worker *w);
/* Drops what came by this port and still waits anywhere. */
void neigh_forget_origin(struct neigh_table *t, struct port *origin, struct worker *w);

/* The entry for ip, made if need be; NULL when no slot can be had. */
struct neigh *neigh_get(struct neigh_table *t, struct neigh_if *nif, be32 ip);
struct neigh *neigh_find(struct neigh_table *t, const struct neigh_if *nif, be32 ip);
static inline struct neigh *neigh_at(struct neigh_table *t, struct neigh_ref r)
{
	struct neigh *n = &t->slot[r.idx];
	return likely(n->gen == r.gen && n->state != NEIGH_FREE) ? n : NULL;
}
static inline struct neigh_ref neigh_ref(const struct neigh_table *t, const struct neigh *n)
{
	return (struct neigh_ref){(uint32_t)(n - t->slot), n->gen};
}
/* Sends k, an IPv4 frame whose Ethernet addresses are still to be filled, to n, or keeps it
 * until n answers.  DROP_NONE: k is taken; else it stays the caller's. */
enum drop_reason neigh_output(struct neigh_table *t, struct neigh *n, struct worker *w, nsec_t now,
			      struct pkt *k, struct port *origin);
/* An ARP packet (parsed, read only) that arrived at the interface: learns, answers. */
void neigh_arp_input(struct neigh_table *t, struct neigh_if *nif, struct worker *w, nsec_t now,
		     const struct pkt *k);
/* Asks for ip once, `at` that MAC address, or everybody (NULL): whether it is there. */
void neigh_ask(struct neigh_if *nif, struct worker *w, be32 ip, const struct mac *at);
/* Tells everyone our address (RFC 5227 3). */
void neigh_announce(struct neigh_if *nif, struct worker *w);
/* Runs timers that are due. */
void neigh_advance(struct neigh_table *t, struct worker *w, nsec_t now);

/* The last step of every frame we route: addresses it and puts it into the switch. */
void neigh_emit(struct neigh_if *nif, struct worker *w, struct pkt *k, struct mac dst);

#endif
