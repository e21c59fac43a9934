/* What split and packed rings share: reading hostile memory, walking pieces of it, the two
 * ways of moving bytes, and telling the driver.
 *
 * Both directions go over a burst twice.  The first pass reads descriptors, checks and
 * translates them, writes the used entries (nobody looks at them before the index moves) and
 * prefetches the buffers; the second moves the bytes.  Between the passes a frame is either
 * one contiguous piece, which nearly all are, or a list of pieces.
 *
 * Everything here is inlined into the two files that include it. */
#ifndef TAP_VRING_INT_H
#define TAP_VRING_INT_H

#include <stdatomic.h>
#include <string.h>

#include "net/headers.h"
#include "tap/vring.h"

#define INLINE static inline __attribute__((always_inline))

/* virtio 1.2 2.7.5 and 2.8.13 */
#define DESC_SIZE     16u
#define DESC_NEXT     0x1
#define DESC_WRITE    0x2
#define DESC_INDIRECT 0x4
#define DESC_AVAIL    0x80
#define DESC_USED     0x8000

#define HAS(q, bit) (!!((q)->features & 1ull << VRING_F_##bit))

/* An indirect table may be longer than a small ring, whatever 2.7.5.3.1 says: Linux sends
 * 19 pieces through a ring of 16. */
#define TABLE_MIN 1024u

#define HELD_MAX 1024u

/* Chains are collected in iov when they are longer than a packet can borrow, and all chains
 * of an enqueue. */
struct vring_scratch {
	struct vring_held held[HELD_MAX];
	unsigned n_iov;
	struct iovec iov[];
};

/* ---- words of shared memory: each is read once ---- */

/* Buffers and indirect tables have no alignment; volatile so that it stays one load. */
struct word64 {
	uint64_t v;
} __attribute__((packed, may_alias));
struct word32 {
	uint32_t v;
} __attribute__((packed, may_alias));
struct word16 {
	uint16_t v;
} __attribute__((packed, may_alias));

INLINE uint64_t get64(const uint8_t *p)
{
	return le64toh(((const volatile struct word64 *)p)->v);
}
INLINE uint16_t get16(const uint8_t *p)
{
	return le16toh(((const volatile struct word16 *)p)->v);
}
INLINE void put64(uint8_t *p, uint64_t v)
{
	((struct word64 *)p)->v = htole64(v);
}
INLINE void put32(uint8_t *p, uint32_t v)
{
	((struct word32 *)p)->v = htole32(v);
}
INLINE void put16(uint8_t *p, uint16_t v)
{
	((struct word16 *)p)->v = htole16(v);
}

/* Words of the rings themselves are aligned, and shared with a running driver. */
INLINE uint16_t load16(const void *p)
{
	return le16toh(__atomic_load_n((const uint16_t *)p, __ATOMIC_RELAXED));
}
INLINE uint16_t load16_acquire(const void *p)
{
	return le16toh(__atomic_load_n((const uint16_t *)p, __ATOMIC_ACQUIRE));
}
INLINE uint32_t load32(const void *p)
{
	return le32toh(__atomic_load_n((const uint32_t *)p, __ATOMIC_RELAXED));
}
INLINE uint64_t load64(const void *p)
{
	return le64toh(__atomic_load_n((const uint64_t *)p, __ATOMIC_RELAXED));
}
INLINE uint64_t load64_acquire(const void *p)
{
	return le64toh(__atomic_load_n((const uint64_t *)p, __ATOMIC_ACQUIRE));
}
INLINE void store16(void *p, uint16_t v)
{
	__atomic_store_n((uint16_t *)p, htole16(v), __ATOMIC_RELAXED);
}
INLINE void store16_release(void *p, uint16_t v)
{
	__atomic_store_n((uint16_t *)p, htole16(v), __ATOMIC_RELEASE);
}
INLINE void store32(void *p, uint32_t v)
{
	__atomic_store_n((uint32_t *)p, htole32(v), __ATOMIC_RELAXED);
}
INLINE void store64(void *p, uint64_t v)
{
	__atomic_store_n((uint64_t *)p, htole64(v), __ATOMIC_RELAXED);
}

INLINE void store64_release(void *p, uint64_t v)
{
	__atomic_store_n((uint64_t *)p, htole64(v), __ATOMIC_RELEASE);
}

/* The thread sanitizer does not model fences, and gcc says so: see net/ring.c. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wtsan"
#endif
INLINE void full_fence(void)
{
	atomic_thread_fence(memory_order_seq_cst);
}

/* Before writing: the line is wanted for itself, not shared.  The compiler only says so for
 * processors it was told of; every 64-bit x86 takes the instruction. */
INLINE void prefetch_write(const void *p)
{
#ifdef __x86_64__
	__asm__ volatile("prefetchw %0" : : "m"(*(const char *)p));
#else
	__builtin_prefetch(p, 1);
#endif
}

/* ---- copies ---- */

#define COPY_SMALL 256u
#define LINE	   64u

INLINE void copy16(uint8_t *d, const uint8_t *s)
{
	__builtin_memcpy(d, s, 16);
}
INLINE void copy32(uint8_t *d, const uint8_t *s)
{
	copy16(d, s);
	copy16(d + 16, s + 16);
}
INLINE void copy64(uint8_t *d, const uint8_t *s)
{
	copy32(d, s);
	copy32(d + 32, s + 32);
}

static inline void copy_tiny(uint8_t *d, const uint8_t *s, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		d[i] = s[i];
}

/* Any length, meant for up to COPY_SMALL: blocks of constant size, the last one overlapping the one
 * before.  What is read twice that way is decided by the later read, and only looked at after. */
INLINE void copy_small(uint8_t *d, const uint8_t *s, uint32_t n)
{
	if (likely(n > 32)) {
		while (n > 64) {
			copy32(d, s);
			d += 32, s += 32, n -= 32;
		}
		copy32(d, s);
		copy32(d + n - 32, s + n - 32);
	} else if (n >= 16) {
		copy16(d, s);
		copy16(d + n - 16, s + n - 16);
	} else {
		copy_tiny(d, s, n);
	}
}

/* A tail may lie in memory that the destination aliases (two ports of one guest): memmove. */
INLINE void copy_any(uint8_t *d, const uint8_t *s, size_t n)
{
	if (n <= COPY_SMALL)
		copy_small(d, s, (uint32_t)n);
	else
		memmove(d, s, n);
}

/* ---- descriptors into pieces ---- */

INLINE bool vring_fail(struct vring *q, enum vring_fault f)
{
	q->fault = f;
	return false;
}

/* A chain being collected: pieces up to `want` bytes; what follows is not needed. */
struct chain {
	struct iovec *v;
	unsigned n, cap;
	uint64_t total, want;
	unsigned walked; /* descriptors */
	bool full;	 /* more pieces than there was room for before `want` was reached */
	bool write;	 /* the device writes to it */
};

/* Moves a dequeued chain from its packet to the scratch, where there is more room. */
static inline bool chain_grow(struct vring *q, struct chain *c)
{
	struct vring_scratch *s = q->scratch;

	if (c->write || c->v == s->iov || c->n > s->n_iov)
		return false;
	memcpy(s->iov, c->v, c->n * sizeof(*c->v));
	c->v = s->iov;
	c->cap = s->n_iov;
	return true;
}

static inline void chain_put(struct vring *q, struct chain *c, uint8_t *va, uint32_t n)
{
	if (unlikely(c->n == c->cap) && !chain_grow(q, c)) {
		c->full = true;
		c->want = c->total;
		return;
	}
	if (n > c->want - c->total)
		n = (uint32_t)(c->want - c->total);
	c->v[c->n++] = (struct iovec){va, n};
	c->total += n;
}

/* Adds [addr, addr + len), all of which must be in memory, also when it is empty (CVE-2020-10725)
 * or not needed; it may span regions (CVE-2018-1059). */
static inline bool chain_add(struct vring *q, struct chain *c, uint64_t addr, uint32_t len)
{
	c->walked++;
	do {
		uint64_t here;
		uint8_t *va = vhost_gpa(q->mem, addr, &here, &q->hint);
		if (unlikely(!va))
			return vring_fail(q, VRING_FAULT_ADDRESS);
		uint32_t n = here < len ? (uint32_t)here : len;
		if (n && c->total < c->want)
			chain_put(q, c, va, n);
		addr += n;
		len -= n;
	} while (len);
	return true;
}

INLINE bool chain_enough(const struct chain *c)
{
	return c->total >= c->want;
}

/* virtio 1.2 2.7.4: a queue of ours goes one way only. */
INLINE bool direction_ok(const struct chain *c, uint16_t flags)
{
	return !!(flags & DESC_WRITE) == c->write;
}

/* An indirect table (virtio 1.2 2.7.5.3, 2.8.7): how many entries, 0 with a fault. */
static inline uint32_t table_entries(struct vring *q, const struct vring_buf *d)
{
	uint32_t max = q->size > TABLE_MIN ? q->size : TABLE_MIN;

	if (!q->indirect || d->flags & DESC_NEXT || !d->len || d->len % DESC_SIZE ||
	    d->len / DESC_SIZE > max) {
		vring_fail(q, VRING_FAULT_INDIRECT);
		return 0;
	}
	return d->len / DESC_SIZE;
}

/* Entry i, wherever it lies: a table may span regions too, an entry may not. */
static inline const uint8_t *table_at(struct vring *q, uint64_t table, uint32_t i)
{
	uint64_t here;
	const uint8_t *va =
		vhost_gpa(q->mem, table + (uint64_t)i * DESC_SIZE, &here, &q->table_hint);

	if (unlikely(!va || here < DESC_SIZE)) {
		vring_fail(q, VRING_FAULT_INDIRECT);
		return NULL;
	}
	return va;
}

/* ---- dequeue: from pieces into a packet ---- */

/* A frame between the passes: its header and its bytes, each in one piece; or n_iov pieces in
 * pkt_borrow_iov(); or neither, when it has been dealt with. */
struct rx_frame {
	const uint8_t *hdr, *va;
	uint32_t len; /* of pieces: with the header */
	uint32_t n_iov;
};

/* A place in a list of pieces. */
struct cursor {
	struct iovec *v;
	unsigned n; /* pieces left */
	size_t off; /* in the first of them */
};

/* The next contiguous bytes, at most len; 0 at the end. */
INLINE size_t cursor_next(struct cursor *c, size_t len, uint8_t **ret_at)
{
	if (unlikely(!c->n))
		return 0;
	size_t n = c->v->iov_len - c->off;
	n = n < len ? n : len;
	*ret_at = (uint8_t *)c->v->iov_base + c->off;
	c->off += n;
	if (c->off == c->v->iov_len)
		c->v++, c->n--, c->off = 0;
	return n;
}

static inline void read_bytes(struct cursor *c, uint8_t *to, size_t len)
{
	uint8_t *at;

	for (size_t n; len && (n = cursor_next(c, len, &at)); to += n, len -= n)
		copy_any(to, at, n);
}

/* The offloads that the driver may use are those it negotiated (virtio 1.2 5.1.6.2.1). */
static inline bool offload_ok(const struct vring *q, const struct virtio_net_hdr *h)
{
	uint64_t need = h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM ? 1ull << VIRTIO_NET_F_CSUM : 0;

	switch (h->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_NONE: return !(need & ~q->features) && !h->gso_type;
	case VIRTIO_NET_HDR_GSO_TCPV4: need |= 1ull << VIRTIO_NET_F_HOST_TSO4; break;
	case VIRTIO_NET_HDR_GSO_TCPV6: need |= 1ull << VIRTIO_NET_F_HOST_TSO6; break;
	case VIRTIO_NET_HDR_GSO_UDP_L4: need |= 1ull << VRING_F_HOST_USO; break;
	default: return false; /* UFO is not offered */
	}
	if (h->gso_type & VIRTIO_NET_HDR_GSO_ECN)
		need |= 1ull << VIRTIO_NET_F_HOST_ECN;
	return !(need & ~q->features) && h->gso_size;
}

/* The first eight bytes of the header, and csum_offset.  DATA_VALID is the driver's word, of no use
 * to us, and a bit not known is ignored like any reserved one (virtio 1.2 2.2). */
static inline void take_vnet(const struct vring *q, struct pkt *k, uint64_t word, uint16_t last)
{
	struct virtio_net_hdr h = {
		.flags = word & VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = (uint8_t)(word >> 8),
		.hdr_len = (uint16_t)(word >> 16),
		.gso_size = (uint16_t)(word >> 32),
		.csum_start = (uint16_t)(word >> 48),
		.csum_offset = last,
	};

	if (!(h.flags | h.gso_type))
		return;
	k->vnet = h;
	if (!offload_ok(q, &h))
		k->drop = DROP_RX_BAD_OFFLOAD;
}
/* Flags and type of none: the other fields mean nothing. */
INLINE bool vnet_plain(uint64_t word)
{
	return !(word & 0xffff);
}

/* Past the head, in a list of pieces: borrowed, or copied when there are too many. */
static inline void take_rest(struct pkt_pool *pool, struct pkt *k, struct cursor *c, uint32_t rest,
			     bool borrow)
{
	if (borrow) {
		c->v->iov_base = (uint8_t *)c->v->iov_base + c->off;
		c->v->iov_len -= c->off;
		k->tail = c->v;
		k->n_tail = (uint16_t)c->n;
		k->flags |= PKT_BORROWED;
		return;
	}
	if (!pkt_add_big(pool, k)) {
		k->drop = DROP_RX_NO_BUFFER;
		k->len = k->head_len;
		return;
	}
	read_bytes(c, k->big, rest);
	k->own_tail.iov_len = rest;
	k->tail = &k->own_tail;
	k->n_tail = 1;
}

/* A frame in pieces.  The header may be spread over any number of them (CVE-2022-2132); a chain
 * that ends with it or before is no frame. */
static inline void take_pieces(struct vring *q, struct pkt_pool *pool, struct pkt *k,
			       const struct chain *c, bool borrow)
{
	struct cursor r = {c->v, c->n, 0};
	uint8_t h[sizeof(struct virtio_net_hdr_mrg_rxbuf)];

	if (c->full || c->total <= q->hdr_len || c->total - q->hdr_len > ETH_FRAME_MAX) {
		k->drop = c->full		   ? DROP_RX_NO_BUFFER
			  : c->total <= q->hdr_len ? DROP_RX_RUNT
						   : DROP_RX_OVERSIZE;
		return;
	}
	read_bytes(&r, h, q->hdr_len);
	take_vnet(q, k, get64(h), get16(h + sizeof(uint64_t)));
	k->len = (uint32_t)c->total - q->hdr_len;
	k->head_len = k->len < VRING_HEAD ? (uint16_t)k->len : VRING_HEAD;
	read_bytes(&r, k->head, k->head_len);
	if (k->len > VRING_HEAD)
		take_rest(pool, k, &r, k->len - VRING_HEAD, borrow);
}

/* A frame in one piece, not empty and not too long. */
INLINE void take_piece(struct vring *q, struct pkt *k, const uint8_t *hdr, const uint8_t *va,
		       uint32_t len)
{
	uint64_t word = get64(hdr);

	if (unlikely(!vnet_plain(word)))
		take_vnet(q, k, word, get16(hdr + sizeof(word)));
	k->len = len;
	if (likely(len <= VRING_HEAD)) {
		k->head_len = (uint16_t)len;
		copy_small(k->head, va, len);
		return;
	}
	k->head_len = VRING_HEAD;
	memcpy(k->head, va, VRING_HEAD);
	struct iovec *v = pkt_borrow_iov(k);
	*v = (struct iovec){(void *)(uintptr_t)(va + VRING_HEAD), len - VRING_HEAD};
	k->tail = v;
	k->n_tail = 1;
	k->flags |= PKT_BORROWED;
}

/* Where a frame of one piece is; false leaves it to the walk along the chain, which also finds
 * out what is wrong. */
INLINE const uint8_t *rx_where(struct vring *q, const struct vring_buf *d)
{
	uint64_t here;
	const uint8_t *va = vhost_gpa(q->mem, d->addr, &here, &q->hint);

	return likely(va && here >= d->len) ? va : NULL;
}

/* How many frames before it is copied a frame is asked for: enough for what a line takes to come
 * from another core, and not so many that the requests wait for each other while nothing is done. */
#define AHEAD 12u

/* The header and the beginning of the frame. */
INLINE void rx_prefetch(const struct rx_frame *f)
{
	if (likely(f->va != NULL)) {
		__builtin_prefetch(f->hdr);
		__builtin_prefetch(f->va + (f->len > LINE ? LINE : f->len - 1));
	}
}

/* A descriptor that is header and frame. */
INLINE bool rx_one(struct vring *q, const struct vring_buf *d, struct rx_frame *f)
{
	if (unlikely(d->flags & (DESC_NEXT | DESC_WRITE | DESC_INDIRECT) || d->len <= q->hdr_len ||
		     d->len - q->hdr_len > ETH_FRAME_MAX))
		return false;
	const uint8_t *va = rx_where(q, d);
	if (unlikely(!va))
		return false;
	*f = (struct rx_frame){va, va + q->hdr_len, d->len - q->hdr_len, 0};
	return true;
}

/* Two descriptors that are the header and the frame, as drivers with no room before the frame
 * have them. */
INLINE bool rx_two(struct vring *q, const struct vring_buf *h, const struct vring_buf *d,
		   struct rx_frame *f)
{
	if (unlikely((h->flags | d->flags) & (DESC_WRITE | DESC_INDIRECT) || d->flags & DESC_NEXT ||
		     h->len != q->hdr_len || !d->len || d->len > ETH_FRAME_MAX))
		return false;
	const uint8_t *hdr = rx_where(q, h), *va = rx_where(q, d);
	*f = (struct rx_frame){hdr, va, d->len, 0};
	return likely(hdr && va);
}

/* Starts a chain for packet k; NULL: it is only walked. */
INLINE struct chain rx_chain(const struct vring *q, struct pkt *k)
{
	return (struct chain){
		.v = k ? pkt_borrow_iov(k) : NULL,
		.cap = PKT_BORROW_IOV,
		.want = k ? q->hdr_len + ETH_FRAME_MAX + 1ull : 0,
	};
}

/* A chain has been walked: what the packet holds is left for the second pass, what had to go to the
 * scratch is dealt with at once. */
static inline void rx_walked(struct vring *q, struct pkt_pool *pool, struct pkt *k, struct chain *c,
			     struct rx_frame *f)
{
	*f = (struct rx_frame){.len = (uint32_t)c->total};
	if (c->v != pkt_borrow_iov(k) || c->full)
		take_pieces(q, pool, k, c, false);
	else if (c->n)
		*f = (struct rx_frame){.len = (uint32_t)c->total, .n_iov = c->n};
	else
		k->drop = DROP_RX_RUNT;
}

/* Second pass of a dequeue. */
INLINE void take_frames(struct vring *q, struct pkt_pool *pool, struct pkt **k,
			const struct rx_frame *f, unsigned n)
{
	for (unsigned i = 0; i < n && i < AHEAD; i++)
		rx_prefetch(&f[i]);
	for (unsigned i = 0; i < n; i++) {
		if (i + AHEAD < n)
			rx_prefetch(&f[i + AHEAD]);
		if (likely(f[i].va)) {
			take_piece(q, k[i], f[i].hdr, f[i].va, f[i].len);
		} else if (f[i].n_iov) {
			struct chain c = {.v = pkt_borrow_iov(k[i]),
					  .n = f[i].n_iov,
					  .total = f[i].len};
			take_pieces(q, pool, k[i], &c, true);
		}
	}
}

/* ---- enqueue: from packets into pieces ---- */

#define TAG_AT	offsetof(struct eth_hdr, type)
#define TAG_LEN ((uint32_t)sizeof(struct vlan_hdr))

/* A frame between the passes. */
struct tx_frame {
	uint8_t *va;  /* where it goes in one piece, or NULL: n_iov in the scratch */
	uint32_t len; /* with header and tag; 0: dropped */
	uint32_t iov;
	uint16_t n_iov;
	uint16_t n_buf; /* buffers it takes (num_buffers) */
};

/* What both kinds of ring keep of an enqueue under way. */
struct tx_run {
	unsigned n_iov;	   /* of the scratch */
	uint32_t too_long; /* frames this long found no room before: do not look again */
	bool spilled;	   /* it was the scratch that was full, not the ring */
};

/* Header, tag and frame; TX_ERROR for what never happens. */
INLINE enum drop_reason tx_start(const struct vring *q, const struct pkt_out *o, struct tx_frame *f)
{
	*f = (struct tx_frame){.len = q->hdr_len + o->pkt->len};
	if (likely(!o->tag.tpid))
		return DROP_NONE;
	f->len += TAG_LEN;
	return unlikely(o->pkt->head_len < TAG_AT) ? DROP_TX_ERROR : DROP_NONE;
}

/* The one piece that the frame goes to, when the buffer's first descriptor has it. */
INLINE bool tx_piece(struct vring *q, struct tx_frame *f, const struct vring_buf *d)
{
	uint64_t here;
	uint8_t *va = vhost_gpa(q->mem, d->addr, &here, &q->hint);

	if (unlikely(!va || here < d->len))
		return false;
	f->va = va;
	return true;
}

INLINE void tx_prefetch(const struct tx_frame *f)
{
	if (likely(f->len && f->va)) {
		prefetch_write(f->va);
		prefetch_write(f->va + (f->len > LINE ? LINE : f->len - 1));
	}
}

/* Starts the chain of a frame's next buffer. */
INLINE struct chain tx_chain(const struct vring *q, const struct tx_run *t,
			     const struct tx_frame *f, uint32_t left)
{
	unsigned at = t->n_iov + f->n_iov;

	return (struct chain){.v = q->scratch->iov + at,
			      .cap = q->scratch->n_iov - at,
			      .want = left,
			      .write = true};
}

/* The chain of a frame's next buffer has been walked: may it be used? */
static inline enum drop_reason tx_walked(struct vring *q, struct tx_run *t, struct tx_frame *f,
					 const struct chain *c)
{
	t->spilled = c->full;
	if (c->full)
		return DROP_TX_FULL;
	if (!f->n_buf && c->total < q->hdr_len) {
		q->fault = VRING_FAULT_HEADER;
		return DROP_TX_GONE;
	}
	f->n_iov = (uint16_t)(f->n_iov + c->n);
	f->n_buf++;
	return c->total ? DROP_NONE : DROP_TX_FULL;
}

/* A frame of the first pass did not fit.  true: it ends here for now, and the frame is tried once
 * more with an empty scratch. */
INLINE bool tx_refused(struct vring *q, struct tx_run *t, struct pkt_out *o, struct tx_frame *f,
		       unsigned i, enum drop_reason why)
{
	bool again = t->spilled && i;

	t->spilled = false;
	if (again)
		return true;
	if (why == DROP_TX_FULL && f->len < t->too_long)
		t->too_long = f->len;
	o->drop = why;
	f->len = 0;
	return q->fault != VRING_OK;
}

/* As msgs_vnet(): offsets move by the tag that goes back. */
static inline struct virtio_net_hdr tx_vnet(const struct pkt_out *o)
{
	struct virtio_net_hdr h = o->pkt->vnet;

	if (o->tag.tpid) {
		if (h.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
			h.csum_start += TAG_LEN;
		if (h.hdr_len)
			h.hdr_len += TAG_LEN;
	}
	h.hdr_len = htole16(h.hdr_len);
	h.gso_size = htole16(h.gso_size);
	h.csum_start = htole16(h.csum_start);
	h.csum_offset = htole16(h.csum_offset);
	return h;
}

/* 10 or 12 bytes: num_buffers is there, and 1, without MRG_RXBUF too (virtio 1.2 5.1.6.4.1). */
INLINE void build_hdr(uint8_t *to, const struct pkt_out *o, unsigned hdr, uint16_t n_buf)
{
	if (likely(!(o->pkt->vnet.flags | o->pkt->vnet.gso_type))) {
		put64(to, 0);
		put16(to + 8, 0);
	} else {
		struct virtio_net_hdr h = tx_vnet(o);
		memcpy(to, &h, sizeof(h));
	}
	if (likely(hdr == sizeof(struct virtio_net_hdr_mrg_rxbuf)))
		put16(to + sizeof(struct virtio_net_hdr), n_buf);
}

INLINE void build_tag(uint8_t to[TAG_LEN], struct vlan_tag tag)
{
	const be16 word[2] = {htobe16(tag.tpid), htobe16(tag.tci)};
	memcpy(to, word, sizeof(word));
}

/* Header and frame to one place. */
INLINE void put_piece(uint8_t *to, const struct pkt_out *o, unsigned hdr)
{
	const struct pkt *k = o->pkt;

	build_hdr(to, o, hdr, 1);
	to += hdr;
	if (likely(!o->tag.tpid)) {
		copy_any(to, k->head, k->head_len);
		to += k->head_len;
	} else {
		memcpy(to, k->head, TAG_AT);
		build_tag(to + TAG_AT, o->tag);
		copy_any(to + TAG_AT + TAG_LEN, k->head + TAG_AT, k->head_len - TAG_AT);
		to += k->head_len + TAG_LEN;
	}
	for (unsigned i = 0; i < k->n_tail; i++) {
		copy_any(to, k->tail[i].iov_base, k->tail[i].iov_len);
		to += k->tail[i].iov_len;
	}
}

static inline void write_bytes(struct cursor *c, const uint8_t *from, size_t len)
{
	uint8_t *at;

	for (size_t n; len && (n = cursor_next(c, len, &at)); from += n, len -= n)
		copy_any(at, from, n);
}

/* The same over pieces. */
static inline void put_pieces(struct iovec *v, unsigned n, const struct pkt_out *o, unsigned hdr,
			      uint16_t n_buf)
{
	struct cursor w = {v, n, 0};
	const struct pkt *k = o->pkt;
	uint8_t bytes[sizeof(struct virtio_net_hdr_mrg_rxbuf)], tag[TAG_LEN];
	uint32_t at = 0;

	build_hdr(bytes, o, hdr, n_buf);
	write_bytes(&w, bytes, hdr);
	if (o->tag.tpid) {
		at = TAG_AT;
		build_tag(tag, o->tag);
		write_bytes(&w, k->head, at);
		write_bytes(&w, tag, sizeof(tag));
	}
	write_bytes(&w, k->head + at, k->head_len - at);
	for (unsigned i = 0; i < k->n_tail; i++)
		write_bytes(&w, k->tail[i].iov_base, k->tail[i].iov_len);
}

/* ---- the dirty log ---- */

INLINE bool logging(const struct vring *q)
{
	return q->mem->log && q->mem->log->bits;
}

/* What was written to [va, va + len), a piece of one region. */
static inline void log_va(const struct vring *q, const uint8_t *va, uint64_t len)
{
	for (unsigned i = 0; i < q->mem->n; i++) {
		const struct vhost_region *r = &q->mem->r[i];
		uint64_t off = (uint64_t)((uintptr_t)va - (uintptr_t)r->va);
		if (off < r->size)
			vhost_log_mark(q->mem->log, r->gpa + off, len);
	}
}

/* Pieces, of which `len` bytes were written: never more than there are (CVE-2019-14835). */
static inline void log_pieces(const struct vring *q, const struct iovec *v, unsigned n,
			      uint64_t len)
{
	for (unsigned i = 0; i < n && len; i++) {
		uint64_t m = v[i].iov_len < len ? v[i].iov_len : len;
		log_va(q, v[i].iov_base, m);
		len -= m;
	}
}

/* A write to the used ring (packed: to the descriptors). */
INLINE void log_used(const struct vring *q, uint64_t off, uint64_t len)
{
	if (unlikely(q->log_used) && logging(q))
		vhost_log_mark(q->mem->log, q->used_log + off, len);
}

/* Second pass of an enqueue, and the log bits of what it wrote. */
INLINE void put_frames(struct vring *q, const struct pkt_out *v, struct tx_frame *f, unsigned n)
{
	const unsigned hdr = q->hdr_len;
	const bool log = logging(q);

	for (unsigned i = 0; i < n && i < AHEAD; i++)
		tx_prefetch(&f[i]);
	for (unsigned i = 0; i < n; i++) {
		if (i + AHEAD < n)
			tx_prefetch(&f[i + AHEAD]);
		if (unlikely(!f[i].len))
			continue;
		if (likely(f[i].va)) {
			put_piece(f[i].va, &v[i], hdr);
			if (unlikely(log))
				log_va(q, f[i].va, f[i].len);
			continue;
		}
		struct iovec *p = q->scratch->iov + f[i].iov;
		put_pieces(p, f[i].n_iov, &v[i], hdr, f[i].n_buf);
		if (unlikely(log))
			log_pieces(q, p, f[i].n_iov, f[i].len);
	}
}

/* ---- the driver's wishes ---- */

/* virtio 1.2 2.7.7.2, vring_need_event(): whether `event` is in [old, now). */
INLINE bool event_crossed(uint16_t event, uint16_t now, uint16_t old)
{
	return (uint16_t)(now - event - 1) < (uint16_t)(now - old);
}

void vring_call(struct vring *q);

/* A burst cannot be looked at: stopped, or its memory is gone. */
INLINE bool vring_dead(struct vring *q)
{
	if (unlikely(atomic_load_explicit(&q->mem->broken, memory_order_relaxed)) && !q->fault)
		q->fault = VRING_FAULT_MEMORY;
	return unlikely(q->fault != VRING_OK);
}

/* ---- vring_packed.c ---- */

/* The inflight region's layout (vhost-user): its head, and each descriptor. */
#define PACKED_INFLIGHT_HEAD 32u
#define PACKED_INFLIGHT_DESC 32u

unsigned packed_dequeue(struct vring *q, struct pkt_pool *pool, struct pkt **out, unsigned max,
			unsigned *ret_no_buffer);
void packed_done(struct vring *q);
void packed_enqueue(struct vring *q, struct pkt_out *v, unsigned n);
bool packed_arm(struct vring *q);
void packed_disarm(struct vring *q);
void packed_start(struct vring *q, uint32_t base);
uint32_t packed_stop(struct vring *q);

#endif
