/* The stateful filter of IPv6 (RFC 6092): what is in front of networks whose guests have addresses that the
 * outside can reach, and that nobody translates.
 *
 *	flow  (domain, protocol, inside address and port, remote address and port)
 *
 * What a guest sends opens the way back.  UDP is let in from anybody to a port that has sent
 * (endpoint-independent, REC-17), ports of echo are the id, and protocols without ports are told apart by
 * their addresses.  TCP is followed by tcp_track.h's states; from outside only SYNs that answer one, and
 * segments of known connections, come in, which is stricter than REC-33.  A segment from inside that belongs
 * to no connection is taken for one of an earlier daemon's, and opens as well.  ESP, AH, IKE, HIP and Mobile
 * IPv6 come in unasked (REC-21 to REC-28), requests for echo do not; ICMPv6 errors come in about what is
 * known to have been sent (REC-10, REC-18), and end nothing.
 *
 * Limits.  A guest can make up 2^64 addresses, so that flows are counted for the port of the switch that
 * they came by: sessions_per_guest of its network at most (NAT_SESSIONS); when the table is full, the port
 * with most flows (by powers of two) loses the one that was opened the longest ago.
 *
 * Fragments follow their first by a small table of those that were let in; one that comes before it is
 * dropped (NAT_FRAGMENT).
 *
 * Worker 0 only; clock: the worker's.  Memory: fixed, resident as it fills. */
#ifndef NAT_FILTER6_H
#define NAT_FILTER6_H

#include "net/drop.h"
#include "net/table.h"
#include "net/types.h"
#include "net/wheel.h"
#include "switch/worker.h"

struct gateway;
struct pkt;
struct transit;

#define FILTER6_FRAGS 512u
#define FILTER6_CLASSES 18u

struct filter6_owner { /* a port of the switch that guests are behind */
	struct lru flows;
	struct lru_node by_class;
	uint32_t n;
	bool used;
};

struct filter6_frag { /* a datagram that was let in */
	uint8_t src[16], dst[16];
	uint32_t id; /* as it stands in the packet */
	domain_idx domain;
	nsec_t until;
};

struct filter6 {
	struct table flows;
	struct pool pool;
	struct wheel wheel;
	struct filter6_owner *owner; /* SW_PORTS_MAX */
	struct lru heavy[FILTER6_CLASSES]; /* owners by class */
	struct filter6_frag frag[FILTER6_FRAGS];
	uint64_t evicted;
	void (*wake)(void *arg, struct worker *w, nsec_t when);
	void *arg;
};

int filter6_init(struct filter6 *f, uint32_t max_flows, nsec_t now); /* 0 or -ENOMEM */
void filter6_fini(struct filter6 *f);
/* An IPv6 packet that leaves the network of g: opens the way back.  DROP_NONE: it may go. */
enum drop_reason filter6_out(struct gateway *g, struct transit *t);
/* One for a guest in it, from elsewhere: DROP_NONE, or why not. */
enum drop_reason filter6_in(struct gateway *g, struct transit *t);
/* Whether a TCP segment for a guest there, that had no flow when it came, has one now. */
bool filter6_knows(const struct gateway *g, const struct pkt *k);
void filter6_forget(struct filter6 *f, domain_idx d); /* all flows of a network */
void filter6_advance(struct filter6 *f, nsec_t now);

#endif
