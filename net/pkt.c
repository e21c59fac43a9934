/* Packet slots: the arena, the pools before it, and moving bytes in and out of a
 * packet.  What the bytes mean is parse.c's business, finishing them gso.c's. */
#include "net/pkt.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "net/headers.h"
#include "net/poison.h"

#define POOL_SMALL     256u /* slots a thread keeps to itself */
#define POOL_BIG       16u
#define POOL_BATCH     64u /* slots moved at once between a pool and the arena */
#define POOL_BIG_BATCH 4u

/* Slots of one size.  `back` is a stack of those given back; what was never handed
 * out lies from `fresh` on, so that only slots in use are ever resident. */
struct depot {
	uint8_t *mem;
	void **back;
	unsigned total, fresh, n_back;
	size_t slot;
};

struct arena {
	pthread_mutex_t lock;
	struct depot small, big;
	uint8_t *map;
	size_t map_len;
};

struct pkt_pool {
	struct arena *arena;
	unsigned n_small, n_big;
	void *small[POOL_SMALL];
	void *big[POOL_BIG];
};

static size_t page_round(size_t n)
{
	return (n + 4095) & ~(size_t)4095;
}

static uint8_t *depot_init(struct depot *d, uint8_t *at, unsigned total, size_t slot)
{
	size_t slots = page_round(total * slot);
	*d = (struct depot){.mem = at, .back = (void **)(at + slots), .total = total, .slot = slot};
	ASAN_POISON_MEMORY_REGION(at, slots);
	return at + slots + page_round(total * sizeof(void *));
}

struct arena *arena_new(unsigned small, unsigned big)
{
	struct arena *a = calloc(1, sizeof(*a));
	if (!a)
		return NULL;
	a->map_len = page_round((size_t)small * PKT_SLOT) + page_round(small * sizeof(void *)) +
		     page_round((size_t)big * PKT_BIG_SLOT) + page_round(big * sizeof(void *));
	if (a->map_len == 0)
		a->map_len = 1;
	a->map = mmap(NULL, a->map_len, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (a->map == MAP_FAILED) {
		free(a);
		errno = ENOMEM;
		return NULL;
	}
	/* Huge pages would make a handful of slots cost megabytes. */
	(void)madvise(a->map, a->map_len, MADV_NOHUGEPAGE);
	pthread_mutex_init(&a->lock, NULL);
	depot_init(&a->big, depot_init(&a->small, a->map, small, PKT_SLOT), big, PKT_BIG_SLOT);
	return a;
}

void arena_free(struct arena *a)
{
	if (!a)
		return;
	ASAN_UNPOISON_MEMORY_REGION(a->map, a->map_len);
	munmap(a->map, a->map_len);
	pthread_mutex_destroy(&a->lock);
	free(a);
}

static unsigned depot_free(const struct depot *d)
{
	return d->total - d->fresh + d->n_back;
}

struct arena_stats arena_stats(struct arena *a)
{
	pthread_mutex_lock(&a->lock);
	struct arena_stats s = {
		.small_total = a->small.total,
		.small_free = depot_free(&a->small),
		.big_total = a->big.total,
		.big_free = depot_free(&a->big),
	};
	pthread_mutex_unlock(&a->lock);
	return s;
}

/* Up to n slots into v: warm ones first, then untouched ones. */
static unsigned depot_take(struct arena *a, struct depot *d, void **v, unsigned n)
{
	unsigned got = 0;
	pthread_mutex_lock(&a->lock);
	while (got < n && d->n_back)
		v[got++] = d->back[--d->n_back];
	while (got < n && d->fresh < d->total)
		v[got++] = d->mem + d->slot * d->fresh++;
	pthread_mutex_unlock(&a->lock);
	return got;
}

static void depot_give(struct arena *a, struct depot *d, void **v, unsigned n)
{
	pthread_mutex_lock(&a->lock);
	for (unsigned i = 0; i < n; i++)
		d->back[d->n_back++] = v[i];
	pthread_mutex_unlock(&a->lock);
}

struct pkt_pool *pkt_pool_new(struct arena *a)
{
	struct pkt_pool *p = calloc(1, sizeof(*p));
	if (p)
		p->arena = a;
	return p;
}

void pkt_pool_free(struct pkt_pool *p)
{
	if (!p)
		return;
	depot_give(p->arena, &p->arena->small, p->small, p->n_small);
	depot_give(p->arena, &p->arena->big, p->big, p->n_big);
	free(p);
}

static inline void *small_get(struct pkt_pool *p)
{
	if (unlikely(!p->n_small)) {
		p->n_small = depot_take(p->arena, &p->arena->small, p->small, POOL_BATCH);
		if (!p->n_small)
			return NULL;
	}
	void *s = p->small[--p->n_small];
	ASAN_UNPOISON_MEMORY_REGION(s, PKT_SLOT);
	return s;
}

/* A full pool spills its oldest slots: the newest are the ones still in the cache. */
static inline void small_put(struct pkt_pool *p, void *s)
{
	if (unlikely(p->n_small == POOL_SMALL)) {
		depot_give(p->arena, &p->arena->small, p->small, POOL_BATCH);
		p->n_small -= POOL_BATCH;
		memmove(p->small, p->small + POOL_BATCH, p->n_small * sizeof(p->small[0]));
	}
	ASAN_POISON_MEMORY_REGION(s, PKT_SLOT);
	p->small[p->n_small++] = s;
}

static inline void *big_get(struct pkt_pool *p)
{
	if (unlikely(!p->n_big)) {
		p->n_big = depot_take(p->arena, &p->arena->big, p->big, POOL_BIG_BATCH);
		if (!p->n_big)
			return NULL;
	}
	void *s = p->big[--p->n_big];
	ASAN_UNPOISON_MEMORY_REGION(s, PKT_BIG_SLOT);
	return s;
}

static inline void big_put(struct pkt_pool *p, void *s)
{
	if (unlikely(p->n_big == POOL_BIG)) {
		depot_give(p->arena, &p->arena->big, p->big, POOL_BIG_BATCH);
		p->n_big -= POOL_BIG_BATCH;
		memmove(p->big, p->big + POOL_BIG_BATCH, p->n_big * sizeof(p->big[0]));
	}
	ASAN_POISON_MEMORY_REGION(s, PKT_BIG_SLOT);
	p->big[p->n_big++] = s;
}

/* Clears the struct in stores of 16 bytes.  For a memset() of this size gcc emits rep stos, which takes
 * longer to start than all of them take. */
static inline void clear(struct pkt *k)
{
	typedef uint64_t words __attribute__((vector_size(16), may_alias));
	words *w = (words *)k, zero = {0};

	_Static_assert(offsetof(struct pkt, offered_to) == 6 * sizeof(*w) &&
			       sizeof(*k) == 6 * sizeof(*w) + sizeof(k->offered_to),
		       "as below");
	w[0] = zero, w[1] = zero, w[2] = zero, w[3] = zero; /* a loop would become a memset() */
	w[4] = zero, w[5] = zero;
	k->offered_to = NULL;
}

/* What pkt_new() sets, by name: the rest of the struct is written before it is read. */
static inline void start_empty(struct pkt *k)
{
	clear(k);
	k->head = (uint8_t *)k + PKT_HEAD_OFF;
	k->in_port = PORT_NONE;
	k->domain = DOMAIN_NONE;
}

struct pkt *pkt_new(struct pkt_pool *p)
{
	struct pkt *k = small_get(p);
	if (unlikely(!k))
		return NULL;
	start_empty(k);
	return k;
}

unsigned pkt_new_bulk(struct pkt_pool *p, struct pkt **v, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		v[i] = small_get(p);
		if (unlikely(!v[i]))
			return i;
		start_empty(v[i]);
	}
	return n;
}

bool pkt_add_big(struct pkt_pool *p, struct pkt *k)
{
	if (k->big)
		return true;
	k->big = big_get(p);
	if (!k->big)
		return false;
	k->own_tail = (struct iovec){.iov_base = k->big, .iov_len = PKT_BIG_SLOT};
	return true;
}

static void drop_big(struct pkt_pool *p, struct pkt *k)
{
	big_put(p, k->big);
	k->big = NULL;
	k->own_tail = (struct iovec){0};
}

void pkt_free(struct pkt_pool *p, struct pkt *k)
{
	if (!k)
		return;
	if (unlikely(k->big != NULL))
		big_put(p, k->big);
	small_put(p, k);
}

static bool read_tail(const struct pkt *k, size_t off, uint8_t *dst, size_t len)
{
	for (unsigned i = 0; i < k->n_tail && len; i++) {
		const struct iovec *v = &k->tail[i];
		if (off >= v->iov_len) {
			off -= v->iov_len;
			continue;
		}
		size_t n = v->iov_len - off < len ? v->iov_len - off : len;
		memcpy(dst, (const uint8_t *)v->iov_base + off, n);
		dst += n;
		len -= n;
		off = 0;
	}
	return len == 0;
}

void pkt_free_bulk(struct pkt_pool *p, struct pkt **v, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		pkt_free(p, v[i]);
}

bool pkt_own(struct pkt_pool *p, struct pkt *k)
{
	uint32_t rest = k->len - k->head_len;

	if (likely(!(k->flags & PKT_BORROWED)))
		return true;
	if (!pkt_add_big(p, k))
		return false;
	if (rest > PKT_BIG_SLOT || !read_tail(k, 0, k->big, rest)) {
		drop_big(p, k);
		return false;
	}
	k->own_tail.iov_len = rest;
	k->tail = &k->own_tail;
	k->n_tail = 1;
	k->flags &= (uint16_t)~PKT_BORROWED;
	return true;
}

void pkt_set_len(struct pkt_pool *p, struct pkt *k, uint32_t len)
{
	k->len = len;
	if (likely(len <= PKT_HEAD_MAX)) {
		k->head_len = (uint16_t)len;
		k->tail = NULL;
		k->n_tail = 0;
		if (k->big)
			drop_big(p, k);
		return;
	}
	assert(k->big && len - PKT_HEAD_MAX <= PKT_BIG_SLOT);
	k->head_len = PKT_HEAD_MAX;
	k->own_tail.iov_len = len - PKT_HEAD_MAX;
	k->tail = &k->own_tail;
	k->n_tail = 1;
}

/* A packet with room for `len` bytes, its lengths set. */
static struct pkt *new_sized(struct pkt_pool *p, size_t len)
{
	if (len > PKT_HEAD_MAX + PKT_BIG_SLOT)
		return NULL;
	struct pkt *k = pkt_new(p);
	if (!k)
		return NULL;
	if (len > PKT_HEAD_MAX && !pkt_add_big(p, k)) {
		pkt_free(p, k);
		return NULL;
	}
	pkt_set_len(p, k, (uint32_t)len);
	return k;
}

struct pkt *pkt_copy(struct pkt_pool *p, const struct pkt *k)
{
	struct pkt *c = new_sized(p, k->len);
	if (!c)
		return NULL;
	if (!pkt_read(k, 0, c->head, c->head_len) ||
	    (c->n_tail && !pkt_read(k, c->head_len, c->big, c->own_tail.iov_len))) {
		pkt_free(p, c);
		return NULL;
	}
	c->vnet = k->vnet;
	c->tag = k->tag;
	c->flags = k->flags & (uint16_t) ~(PKT_SHARED | PKT_BORROWED);
	c->in_port = k->in_port;
	c->domain = k->domain;
	c->drop = k->drop;
	c->ip_proto = k->ip_proto;
	c->type = k->type;
	c->l3_off = k->l3_off;
	c->l4_off = k->l4_off;
	return c;
}

struct pkt *pkt_from(struct pkt_pool *p, const void *bytes, size_t len)
{
	struct pkt *k = new_sized(p, len);
	if (!k)
		return NULL;
	memcpy(k->head, bytes, k->head_len);
	if (k->n_tail)
		memcpy(k->big, (const uint8_t *)bytes + k->head_len, k->own_tail.iov_len);
	return k;
}

bool pkt_read(const struct pkt *k, size_t off, void *dst, size_t len)
{
	uint8_t *d = dst;
	if (off > k->len || len > k->len - off)
		return false;
	if (off >= k->head_len)
		return read_tail(k, off - k->head_len, d, len);
	size_t n = k->head_len - off < len ? k->head_len - off : len;
	memcpy(d, k->head + off, n);
	return n == len || read_tail(k, 0, d + n, len - n);
}

#define TAG_AT offsetof(struct eth_hdr, type) /* 12: the tag goes between source and type */

unsigned pkt_iov(const struct pkt *k, struct vlan_tag tag, uint8_t tagbuf[4], struct iovec *iov,
		 unsigned max)
{
	unsigned n = 0;
	if (k->n_tail + (tag.tpid ? 3u : 1u) > max)
		return 0;
	if (!tag.tpid) {
		iov[n++] = (struct iovec){k->head, k->head_len};
	} else {
		if (k->head_len < TAG_AT)
			return 0;
		be16 word[2] = {htobe16(tag.tpid), htobe16(tag.tci)};
		memcpy(tagbuf, word, sizeof(word));
		iov[n++] = (struct iovec){k->head, TAG_AT};
		iov[n++] = (struct iovec){tagbuf, sizeof(word)};
		iov[n++] = (struct iovec){k->head + TAG_AT, k->head_len - TAG_AT};
	}
	for (unsigned i = 0; i < k->n_tail; i++)
		iov[n++] = k->tail[i];
	return n;
}

/* Bytes before the payload that is cut into segments; 0 when they cannot be told. */
static uint32_t gso_headers(const struct pkt *k)
{
	uint32_t l4 = k->flags & PKT_L4 ? k->l4_off : k->vnet.csum_start;
	if ((k->vnet.gso_type & ~VIRTIO_NET_HDR_GSO_ECN) == VIRTIO_NET_HDR_GSO_UDP_L4)
		return l4 + (uint32_t)sizeof(struct udp_hdr);
	if (l4 + sizeof(struct tcp_hdr) > k->head_len)
		return 0;
	return l4 + (((const struct tcp_hdr *)(k->head + l4))->off >> 4) * 4u;
}

unsigned pkt_segments_gso(const struct pkt *k)
{
	if (!k->vnet.gso_size)
		return 1;
	uint32_t hdr = gso_headers(k);
	if (!hdr || hdr >= k->len)
		return 1;
	return (k->len - hdr + k->vnet.gso_size - 1) / k->vnet.gso_size;
}

unsigned pkt_needs_some(const struct pkt *k)
{
	unsigned n = k->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM ? OFFLOAD_CSUM : 0;
	if (likely(k->vnet.gso_type == VIRTIO_NET_HDR_GSO_NONE))
		return n;
	switch (k->vnet.gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_TCPV4: n |= OFFLOAD_TSO4; break;
	case VIRTIO_NET_HDR_GSO_TCPV6: n |= OFFLOAD_TSO6; break;
	case VIRTIO_NET_HDR_GSO_UDP_L4: n |= OFFLOAD_USO; break;
	}
	return k->vnet.gso_type & VIRTIO_NET_HDR_GSO_ECN ? n | OFFLOAD_ECN : n;
}
