/* Neighbours: which MAC address an address has, on the inside of a gateway and on the outside of
 * an uplink: IPv4 by ARP (RFC 826), IPv6 by neighbour discovery (RFC 4861, whose states of 7.3.2 both
 * have).  An address is sixteen bytes here, that of IPv4 stands as ::ffff:a.b.c.d.
 *
 * An interface (struct neigh_if) is an address of ours in a domain, with the port
 * through which we send there.  A neighbour is asked for when something is to be sent
 * to it; up to NEIGH_QUEUE packets wait for the answer, NEIGH_IF_QUEUE of an interface.
 * A known address is trusted for NEIGH_REACHABLE; after that the next packet still
 * goes out and starts a probe.  Nothing ticks for a neighbour that nobody uses.
 *
 * Whoever keeps a neighbour keeps a struct neigh_ref, an index with the generation
 * of its slot, and asks again when it has gone: entries can be evicted at any time.
 *
 * Scans (RFC 6583).  Those who never answered are kept apart: NEIGH_IF_ASKED of an interface, the
 * oldest of which gives way to a new one, and questions to everybody are limited to a rate
 * (NEIGH_ASK_RATE).  They never push out a neighbour that has answered; another that has
 * may, the least recently confirmed.
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
#define NEIGH_IF_ASKED 256u
#define NEIGH_ASK_RATE 200u /* a second and interface, and as many at once */
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
	uint8_t ip[16];
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
	struct prefix6 address6; /* len 0: no IPv6, and the link-local one is not answered for */
	uint32_t mtu; /* largest IP packet sent there */
	bool quiet; /* somebody else, the host, answers for the address */
	be32 also; /* a second address we answer for; 0 = none */
	uint32_t count, waiting, n_asked;
	struct lru entries; /* that have answered, by when */
	struct lru asked;   /* that have not */
	nsec_t asked_until; /* what questions have used up of their rate */
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
struct neigh *neigh_get6(struct neigh_table *t, struct neigh_if *nif, const uint8_t ip[16]);
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
/* Sends k, an IP frame whose Ethernet addresses are still to be filled, to n, or keeps it
 * until n answers.  DROP_NONE: k is taken; else it stays the caller's. */
enum drop_reason neigh_output(struct neigh_table *t, struct neigh *n, struct worker *w, nsec_t now,
			      struct pkt *k, struct port *origin);
/* An ARP packet (parsed, read only) that arrived at the interface: learns, answers. */
void neigh_arp_input(struct neigh_table *t, struct neigh_if *nif, struct worker *w, nsec_t now,
		     const struct pkt *k);
/* A neighbour solicitation or advertisement (parsed, read only), likewise.  GW_ND: not one by
 * RFC 4861 7.1. */
enum drop_reason neigh_nd_input(struct neigh_table *t, struct neigh_if *nif, struct worker *w, nsec_t now,
				const struct pkt *k);
/* Whether a is an IPv6 address of ours there: the interface's, or the link-local one. */
bool neigh_is_ours6(const struct neigh_if *nif, const uint8_t a[16]);
/* Asks for ip once, `at` that MAC address, or everybody (NULL): whether it is there. */
void neigh_ask(struct neigh_if *nif, struct worker *w, be32 ip, const struct mac *at);
/* Tells everyone our address (RFC 5227 3). */
void neigh_announce(struct neigh_if *nif, struct worker *w);
/* Runs timers that are due. */
void neigh_advance(struct neigh_table *t, struct worker *w, nsec_t now);

/* A frame from src to dst with an ICMPv6 message of len bytes, its checksum filled in, to `mac`. */
void neigh_send_icmp6(struct neigh_if *nif, struct worker *w, const uint8_t src[16], const uint8_t dst[16],
		      uint8_t hops, void *msg, size_t len, struct mac mac);
/* The last step of every frame we route: addresses it and puts it into the switch. */
void neigh_emit(struct neigh_if *nif, struct worker *w, struct pkt *k, struct mac dst);

#endif
