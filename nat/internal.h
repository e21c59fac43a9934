/* What the files of the NAT share; nobody outside nat/ includes this.
 *
 *	gateway.c   the inside port: what the gateway answers itself, who may go further
 *	gateway6.c  the same for IPv6: neighbour discovery, echo, DNS; nothing is routed
 *	filter6.c   the stateful filter of IPv6
 *	npt.c       prefix translation of IPv6
 *	icmp6.c     ICMPv6 of our own
 *	uplink.c    the outside port
 *	napt.c      translation: the established path, new sessions, filtering
 *	napt_icmp.c ICMP errors about translated packets
 *	routing.c   forwarding without translation, between routed networks
 *	frag.c      fragments: the others follow the first; cutting what is too large
 *	syn_wait.c  SYNs from outside that nobody has asked for
 *	icmp.c      ICMP and RST of our own, rate-limited
 *	forward.c   forwards
 *	portmap.c   those that guests ask for (main thread); portctl.c, igd_*.c their protocols
 *	nat.c       the object that owns the tables; time; lists for people
 *	flow.c, ports.c, neigh.c, tcp_track.c   what is remembered
 *
 * All of it runs on worker 0; the public functions of gateway.h come there by
 * worker_call(). */
#ifndef NAT_INTERNAL_H
#define NAT_INTERNAL_H

#include "nat/alg.h"
#include "nat/filter6.h"
#include "nat/flow.h"
#include "nat/gateway.h"
#include "nat/neigh.h"
#include "nat/npt.h"
#include "nat/ports.h"
#include "nat/route.h"
#include "net/csum.h"
#include "net/headers.h"
#include "net/parse.h"
#include "switch/port.h"
#include "switch/switch.h"
#include "switch/worker.h"

#define MTU_DEFAULT 1500u
#define TTL_OURS 64u
#define FRAGS_MAX 1024u /* datagrams in fragments that are known */
#define FRAG_WAYS 4u
#define FRAG_RANGES 8u
#define FRAG_HELD_MAX 256u /* fragments that wait for their first or, for us, for all; in all */
#define FRAG_HELD_SRC 64u  /* of one source: a datagram of 64 KB has 45 */

/* A packet on its way through here.  Functions that work on one return the reason to
 * drop it, or DROP_NONE; k is NULL once it was passed on, and still there when it was
 * answered or needs nothing. */
struct transit {
	struct worker *w;
	nsec_t now;
	struct pkt *k;
	struct leg *leg;     /* where it came in; NULL: from outside */
	struct port *origin; /* whose tx it came by, for port_tx_undo(); NULL: our own frame */
	bool quiet;          /* send no ICMP about it: its Ethernet source is of another domain */
};

struct token_bucket {
	nsec_t last;
	uint32_t tokens;
};

/* Where a datagram's first fragment went, for the others. */
struct frag_way {
	struct neigh_if *out;
	struct uplink *back; /* out NULL: a hairpin at this uplink; both NULL: not known yet */
	be32 hop, new_src, new_dst;
	be16 d_addr;
};
struct frag {
	be32 src, dst;
	be16 id;
	domain_idx domain;
	uint8_t proto, n_ranges;
	bool bad, whole; /* overlapped; all has come */
	struct frag_way way;
	nsec_t until; /* 0: empty */
	struct pkt *held;
	uint32_t end, total; /* of what has come; of the datagram, once its last has come */
	uint32_t from[FRAG_RANGES], to[FRAG_RANGES];
};

/* A SYN that nobody has asked for: a copy, until it is answered. */
#define SYN_WAIT_MAX 128u
#define SYN_WAIT (6 * NSEC_PER_SEC) /* RFC 5382 REQ-4 */
struct syn_wait {
	struct pkt *k;
	struct uplink *u; /* NULL: gone */
	domain_idx domain; /* (IPv6) whom it was for */
	nsec_t due;
};

struct nat {
	struct sw *sw;
	struct route_table *routes; /* to struct route */
	struct leg *leg_of[SW_DOMAINS_MAX]; /* NULL: no gateway there */
	struct flow_table flow;
	struct neigh_table neigh;
	struct filter6 filter6;
	struct frag frags[FRAGS_MAX];
	uint8_t frags_held_of[1024]; /* by a hash of the source */
	unsigned frags_held;
	struct syn_wait syn[SYN_WAIT_MAX]; /* a ring */
	unsigned syn_first, n_syn;
	nsec_t frags_due; /* when the first of those that hold something ends */
	uint64_t random[2], random_count;
	struct gateway *gateways;
	struct uplink *uplinks;
	struct port *ticker; /* whose tick drives the wheels */
	uint64_t icmp_sent, icmp_held;
	struct alg alg;
};

struct forward {
	struct nat_forward f;
	struct mapping m; /* in the tables while the gateway has an uplink */
	struct forward *next;
};

struct udp_socket {
	uint16_t port;
	struct slow_sink *sink;
};

/* A gateway's foot in one domain.  An ordinary gateway has one; where every port is a domain of
 * its own, one for each, all behind one port and one configuration. */
struct leg {
	struct gateway *gw;
	struct leg *next; /* of gateway.legs */
	domain_idx domain;
	struct neigh_if nif;
};

/* A prefix and where it is: on a leg's own wire, or behind a router there. */
struct route {
	struct leg *leg;
	struct prefix4 to;
	be32 via; /* 0: on-link */
	bool in;  /* in nat.routes */
	bool six; /* of IPv6: then these in place of `to` and `via` */
	struct prefix6 to6;
	uint8_t via6[16];
	bool npt; /* what the network's own prefix is outside */
};

struct gateway {
	struct nat *nat;
	struct gateway *next;
	struct port *port;
	struct gateway_conf conf; /* defaults filled in */
	struct leg leg;           /* its first */
	struct leg *legs;         /* the others */
	struct route route[2 * (1 + ROUTES_MAX) + 1];
	struct npt npt; /* when conf.npt.len */
	unsigned n_routes;
	struct uplink *up;
	nsec_t udp_ns, tcp_est_ns, tcp_trans_ns, icmp_ns;
	struct slow_sink *sink[GATEWAY_SERVICES];
	struct udp_socket socket[GATEWAY_SOCKETS];
	be32 dns_upstream;
	struct forward *forwards;
	struct forward *retired; /* deleted, with sessions that go on */
	uint32_t n_forwards, n_grants, n_sessions;
	struct token_bucket icmp;
};

struct uplink {
	struct nat *nat;
	struct uplink *next;
	struct port *port;
	domain_idx domain;
	struct uplink_conf conf;
	struct neigh_if nif;
	struct ports ports;
	struct token_bucket icmp;
	struct slow_sink *dhcp;
	uint16_t kept[2][UPLINK_KEEP_MAX]; /* of TCP and UDP each; 0: not kept after all */
	unsigned n_kept;
	nsec_t announce_at; /* 0: not pending */
};

/* nat.c */
uint32_t nat_random(struct nat *n);
nsec_t nat_sooner(nsec_t a, nsec_t b); /* 0 = never */
nsec_t nat_tick(struct port *p, struct nat *n, struct worker *w, nsec_t now);
void nat_add_ticker(struct nat *n, struct worker *w, struct port *p);
void nat_del_ticker(struct nat *n, struct worker *w, struct port *p);
/* Ends sessions of a gateway or an uplink (either NULL = any). */
size_t nat_end_sessions(struct nat *n, const struct gateway *g, const struct uplink *u);
/* Before sessions are ended because their uplink changed or went: up to NAT_TOLD_MAX inside TCP peers get a
 * segment outside any window, whose challenge ACK (RFC 9293 3.10.7.4, RFC 5961) meets our RST, so
 * that they notice at once.  The others notice with what they send next. */
#define NAT_TOLD_MAX 256u
void nat_tell_stale(struct nat *n, struct worker *w, const struct gateway *g, const struct uplink *u);
/* A private version of t->k: itself, or a copy when others look at it too. */
bool transit_own(struct transit *t);
/* Runs fn on a packet offered by the switch and settles its fate. */
void transit_run(void *self, struct worker *w, struct port *p, struct pkt_out *o,
		 enum drop_reason (*fn)(void *self, struct transit *t));

/* napt.c */
/* What a burst will look up is asked for from memory at once, when there are many sessions. */
void napt_prefetch(const struct nat *n, const struct pkt_out *v, unsigned count, bool to_outside);
enum drop_reason napt_from_inside(struct gateway *g, struct transit *t);
enum drop_reason napt_from_outside(struct uplink *u, struct transit *t);
/* Next hop for dst, or NULL when there is no route. */
struct neigh *uplink_hop(struct uplink *u, be32 dst);
be32 uplink_next(const struct uplink *u, be32 dst); /* its address; 0: no route */
/* TTL and size: what may stop a packet before it is changed.  Answers by `in`. */
enum drop_reason transit_check(struct nat *n, struct transit *t, struct neigh_if *in,
			       struct token_bucket *b, uint32_t mtu);
/* Sends t->k, rewritten already, to the neighbour *hop, renewed from hop_ip when it has gone. */
enum drop_reason transit_send(struct nat *n, struct transit *t, struct neigh_if *out,
			      struct neigh_ref *hop, be32 hop_ip);
/* Puts new addresses (and, with them, checksums) into the IPv4 header and takes one off
 * the TTL; d_addr as in struct session. */
void napt_rewrite_ip(struct ip4_hdr *ip, be32 src, be32 dst, be16 d_addr);
/* Sends t->k, rewritten already, to the other end of its session. */
enum drop_reason napt_emit(struct session *s, struct transit *t, bool to_outside);

/* napt_icmp.c */
bool icmp_is_error(const struct pkt *k);
enum drop_reason napt_icmp_from_inside(struct gateway *g, struct transit *t);
enum drop_reason napt_icmp_from_outside(struct uplink *u, struct transit *t);

/* routing.c */
/* The longest prefix that dst lies in, of all networks; NULL: of none. */
const struct route *routing_find(const struct nat *n, be32 dst);
void routing_enter(struct gateway *g); /* what g->conf says */
void routing_leave(struct gateway *g);
/* Whether src may come in by this leg: its subnet, or behind one of its routers. */
bool routing_has_source(const struct leg *l, be32 src);
/* Whether src is of a network of ours other than the one u is in: it cannot come from out there. */
bool routing_is_inside(const struct uplink *u, be32 src);
enum drop_reason routing_from_inside(struct gateway *g, struct transit *t);
/* GW_NOT_MINE: nothing routed by way of u. */
enum drop_reason routing_from_outside(struct uplink *u, struct transit *t);
/* k, which waited for a neighbour at nif, is lost: tells its sender.  false: k was not routed. */
bool routing_lost(struct nat *n, const struct neigh_if *nif, struct worker *w, nsec_t now,
		  const struct pkt *k);

/* frag.c */
bool frag_is_later(const struct pkt *k);
/* t->k, a first fragment, is about to go that way.  *ret_held: those that waited for it, for
 * frag_release() when it has gone. */
enum drop_reason frag_first(struct nat *n, struct transit *t, const struct frag_way *way,
			    struct pkt **ret_held);
void frag_release(struct nat *n, const struct transit *first, const struct frag_way *way,
		  struct pkt *held);
/* A later one that came in by the port: goes on, or is held. */
enum drop_reason frag_follow(struct nat *n, struct transit *t, struct port *in);
/* A piece, first or later, of a datagram for ourselves.  Held until the datagram is whole: then *ret_whole
 * is set, t->k is still there, and *ret_others lists the rest in the order of their coming, now the caller's. */
enum drop_reason frag_gather(struct nat *n, struct transit *t, struct port *in, bool *ret_whole,
			     struct pkt **ret_others);
nsec_t frag_advance(struct nat *n, struct worker *w, nsec_t now); /* the next time; 0 = never */
/* Cuts t->k into pieces that fit out's MTU and sends each to dst.  DROP_NONE: t->k is taken. */
enum drop_reason frag_cut(struct transit *t, struct neigh_if *out, struct mac dst);
void frag_forget(struct nat *n, struct worker *w, const struct neigh_if *nif);

/* syn_wait.c */
void syn_wait(struct uplink *u, const struct transit *t); /* t->k was refused, and stays */
void syn_wait6(struct gateway *g, const struct transit *t); /* likewise, a TCP segment of IPv6 */
nsec_t syn_wait_advance(struct nat *n, struct worker *w, nsec_t now); /* the next time; 0 = never */
void syn_wait_forget(struct nat *n, const struct uplink *u);
void syn_wait_fini(struct nat *n, struct pkt_pool *pool);

/* icmp.c: all answer the frame t->k by way of the interface it came from, and leave it. */
bool bucket_take(struct token_bucket *b, nsec_t now);
void icmp_error(struct nat *n, struct neigh_if *nif, struct token_bucket *b, struct transit *t,
		uint8_t type, uint8_t code, uint16_t mtu);
/* The error as a frame of its own, from src; NULL when none may be sent. */
struct pkt *icmp_build_error(struct worker *w, be32 src, const struct pkt *about, uint8_t type,
			     uint8_t code, uint16_t mtu);
/* A segment that only acknowledges, Ethernet addresses to be filled in; NULL: no buffer. */
struct pkt *tcp_build_ack(struct worker *w, be32 src, be16 sport, be32 dst, be16 dport, uint32_t seq);
void icmp_echo_reply(struct neigh_if *nif, struct transit *t); /* to a request, or to a fragment of one */
void tcp_reset(struct nat *n, struct neigh_if *nif, struct token_bucket *b, struct transit *t);

/* forward.c */
/* What hinders a gateway's forwards to move to u: the owner of a port, or NULL. */
const struct gateway *forwards_conflict(const struct gateway *g, const struct uplink *u);
void forwards_enter(struct gateway *g); /* at g->up */
void forwards_leave(struct gateway *g);
void forwards_leave_leg(struct gateway *g, const struct leg *l);
void forwards_free(struct gateway *g);

/* Whether the pending checksum is that of the L4 header, and not one in its payload. */
static inline bool l4_csum_pending(const struct pkt *k)
{
	return (k->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) && k->vnet.csum_start == k->l4_off;
}

/* gateway6.c: IPv6 at a gateway that has an address of it. */
enum drop_reason gateway6_input(struct gateway *g, struct transit *t, bool group);

/* routing6.c: as routing.c's */
const struct route *routing6_find(const struct nat *n, const uint8_t dst[16]);
bool routing6_has_source(const struct leg *l, const uint8_t src[16]);
/* Of a network whose prefix is translated. */
enum drop_reason routing6_npt_from_inside(struct gateway *g, struct transit *t);
enum drop_reason routing6_from_inside(struct gateway *g, struct transit *t);
/* All IPv6 that comes in by an uplink. */
enum drop_reason routing6_from_outside(struct uplink *u, struct transit *t, bool group);
void routing6_lost(struct nat *n, const struct neigh_if *nif, const struct pkt *k, struct worker *w);
/* Neither a group's nor of one link alone nor nobody's (RFC 4291 2.4, 2.5). */
bool ip6_is_routable(const uint8_t a[16]);

/* icmp6.c; info: the MTU of TOO_BIG, else 0 */
void icmp6_error(struct nat *n, struct neigh_if *nif, struct token_bucket *b, struct transit *t, uint8_t type,
		 uint8_t code, uint32_t info);
/* Another's packet was lost at `from`: tells its sender, by way of a neighbour `hop` at `out`. */
void icmp6_tell(struct nat *n, struct worker *w, const struct neigh_if *from, struct neigh_if *out,
		struct neigh *hop, const struct pkt *about, uint8_t type, uint8_t code);
void icmp6_echo_reply(struct neigh_if *nif, struct transit *t);

/* gateway.c */
/* For the main thread: t->k, or a copy of it when others look at it too. */
enum drop_reason transit_hand_up(struct transit *t, struct slow_sink *sink);
enum drop_reason gateway_deliver(struct gateway *g, struct transit *t, uint16_t port);

#endif
