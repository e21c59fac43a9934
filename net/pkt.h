/* A packet in the switch, and the arena its bytes live in.
 *
 * Shape.  A frame is a private, writable `head` (the first head_len bytes, with
 * PKT_HEADROOM free in front) and a `tail` of further pieces that are never
 * written: a 68 KB buffer for a TSO frame from a TAP, or guest memory for the
 * length of a burst.  len counts both, without FCS and without the outer VLAN
 * tag, which a port strips into `tag` on the way in and adds on the way out.
 * What is parsed and policed is the head, and that head is what is sent.  From
 * ports with private memory a frame up to PKT_HEAD_MAX stands wholly in the head.
 *
 * Offloads travel with the packet: `vnet` is the virtio_net_hdr that came with
 * it (host byte order; csum_start relative to head, tag not counted).
 *
 * Memory.  All of it is one arena, mapped once at start: small slots of some 2 KB that
 * hold the struct and the head, and a few big ones of 68 KB.  A thread takes and
 * gives through its own pkt_pool, last in first out so that slots stay warm in
 * the cache; pools refill from and spill to the arena in batches under its lock,
 * which is the only lock and is taken about once in POOL_BATCH packets.  A packet
 * may be freed into another pool than it came from.  Nothing allocates after
 * arena_new().
 *
 * Sharing.  A flooded packet is offered to several ports: PKT_SHARED is set and
 * nobody may write it or take it; make a pkt_copy() first. */
#ifndef NET_PKT_H
#define NET_PKT_H

#include <linux/virtio_net.h>
#include <sys/uio.h>

#include "net/drop.h"
#include "net/types.h"

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4 /* virtio 1.2 5.1.6; the headers of Linux 6.1 lack it */
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

#define PKT_SLOT 2112u /* 2 KB and a line: packets of a burst do not share sets of the cache */
#define PKT_HEADROOM 64u
#define PKT_BIG_SLOT (68u * 1024)
#define PKT_BURST 64u /* a vector is at most this long */

enum pkt_flags {
	PKT_SHARED = 1 << 0,   /* offered to several ports: read only */
	PKT_IP4 = 1 << 1,      /* l3_off is an IPv4 header that parses */
	PKT_IP6 = 1 << 2,      /* l3_off is an IPv6 header that parses */
	PKT_FRAGMENT = 1 << 3, /* IP fragment, first or later */
	PKT_L4 = 1 << 4,       /* l4_off is a TCP, UDP or ICMP header that parses */
	PKT_ARP = 1 << 5,      /* l3_off is an ARP packet for IPv4 over Ethernet */
	PKT_PARSED = 1 << 6,
	PKT_MORE = 1 << 7, /* a piece of a cut frame, more follow: counted once, with the last */
	PKT_BORROWED = 1 << 8, /* the tail is a guest's memory, for this burst only: pkt_own() */
};

struct pkt {
	uint8_t *head;
	uint32_t len;
	uint16_t head_len;
	uint16_t n_tail;
	const struct iovec *tail;
	struct virtio_net_hdr vnet; /* 10 bytes; all zero when no offload is pending */
	struct vlan_tag tag;        /* outer tag; tpid 0 = none */
	uint16_t flags;             /* enum pkt_flags */
	/* -- set by the pipeline -- */
	port_idx in_port;
	domain_idx domain;
	uint8_t drop; /* enum drop_reason; a port may set it on rx to have the loss counted */
	uint8_t ip_proto;
	ethertype type; /* after the outer tag */
	uint16_t l3_off, l4_off;
	/* -- owned memory -- */
	struct iovec own_tail; /* of big, when there is one */
	void *big;
	struct pkt *next; /* free for whoever owns the packet: queues, lists */
	void *ctx;        /* likewise; on the way to main: its slow_sink */
	void *offered_to; /* likewise: the struct port that counts it as sent, or NULL */
};
_Static_assert(sizeof(struct pkt) <= 128, "two cache lines");

#define PKT_HEAD_OFF (128u + PKT_HEADROOM)
#define PKT_HEAD_MAX (PKT_SLOT - PKT_HEAD_OFF)

struct arena;
struct pkt_pool;

/* Maps room for `small` and `big` slots (pages are touched on first use only).
 * NULL with errno on failure. */
struct arena *arena_new(unsigned small, unsigned big);
void arena_free(struct arena *a); /* every pool freed before */
struct arena_stats {
	unsigned small_total, small_free, big_total, big_free; /* in the arena, pools not counted */
};
struct arena_stats arena_stats(struct arena *a); /* any thread */

struct pkt_pool *pkt_pool_new(struct arena *a); /* NULL on ENOMEM */
void pkt_pool_free(struct pkt_pool *p);         /* gives its slots back; accepts NULL */

/* An empty packet: head at the headroom, all else zero, ports NONE.  NULL when the
 * arena is empty: count it. */
struct pkt *pkt_new(struct pkt_pool *p);
/* A 68 KB buffer as the tail (own_tail.iov_len = PKT_BIG_SLOT; the caller shortens
 * it and sets tail/n_tail/len).  false when none is free. */
bool pkt_add_big(struct pkt_pool *p, struct pkt *k);
void pkt_free(struct pkt_pool *p, struct pkt *k); /* accepts NULL */
/* Sets len, head_len, tail and n_tail for a frame of `len` bytes read into the head
 * and, past PKT_HEAD_MAX, into the big buffer; frees a big buffer not needed. */
void pkt_set_len(struct pkt_pool *p, struct pkt *k, uint32_t len);
/* A copy of its own: head and tail, metadata, not PKT_SHARED.  NULL when no slot. */
struct pkt *pkt_copy(struct pkt_pool *p, const struct pkt *k);
/* Before a packet is kept beyond its burst: a borrowed tail is copied into a big buffer of its
 * own.  false when there is none. */
bool pkt_own(struct pkt_pool *p, struct pkt *k);
/* Room for the pieces of a borrowed tail, in the slot behind a head of at most
 * PKT_BORROW_HEAD bytes: PKT_BORROW_IOV entries. */
#define PKT_BORROW_HEAD 320u
#define PKT_BORROW_IOV ((PKT_HEAD_MAX - PKT_BORROW_HEAD) / (unsigned)sizeof(struct iovec))
static inline struct iovec *pkt_borrow_iov(struct pkt *k)
{
	return (struct iovec *)((uint8_t *)k + PKT_HEAD_OFF + PKT_BORROW_HEAD);
}
/* Up to n packets like pkt_new()'s; returns how many there were. */
unsigned pkt_new_bulk(struct pkt_pool *p, struct pkt **v, unsigned n);
/* Gives back all of v[] that are not NULL. */
void pkt_free_bulk(struct pkt_pool *p, struct pkt **v, unsigned n);
/* A packet holding `len` bytes; NULL when too long or no slot. */
struct pkt *pkt_from(struct pkt_pool *p, const void *bytes, size_t len);
/* Copies len bytes from `off` of the frame to dst; false when out of range. */
bool pkt_read(const struct pkt *k, size_t off, void *dst, size_t len);
/* The frame as an iovec, `tag` put back in at offset 12 when tpid is not 0 (its 4
 * bytes stand in tagbuf).  Returns the number of entries, at most 3 + n_tail, or 0
 * when `max` is too small. */
unsigned pkt_iov(const struct pkt *k, struct vlan_tag tag, uint8_t tagbuf[4], struct iovec *iov,
		 unsigned max);
/* How many frames this is on a wire: 1, or its TSO segments. */
unsigned pkt_segments_gso(const struct pkt *k);
static inline unsigned pkt_segments(const struct pkt *k)
{
	return likely(k->vnet.gso_type == VIRTIO_NET_HDR_GSO_NONE) ? 1 : pkt_segments_gso(k);
}

/* Which offloads a packet still needs; a port's caps are the same bits. */
enum pkt_offload {
	OFFLOAD_CSUM = 1 << 0,
	OFFLOAD_TSO4 = 1 << 1,
	OFFLOAD_TSO6 = 1 << 2,
	OFFLOAD_ECN = 1 << 3,
	OFFLOAD_USO = 1 << 4, /* UDP segmentation */
	/* TSO4/6 frames are taken as one large IP packet: checksum finished, not cut */
	OFFLOAD_JUMBO = 1 << 5,
};
unsigned pkt_needs_some(const struct pkt *k);
static inline unsigned pkt_needs(const struct pkt *k)
{
	return likely(!(k->vnet.flags | k->vnet.gso_type)) ? 0 : pkt_needs_some(k);
}

#endif
