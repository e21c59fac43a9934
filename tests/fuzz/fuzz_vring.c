/* Rings in memory that does what it likes: whatever stands in them, and however it changes between
 * and during our looks, nothing outside the guest's memory is touched, every packet comes back, and
 * every descriptor that was taken is given back once.
 *
 * Input: a byte of kind and features, one of size, one for the frames that are sent, one for how
 * many packets there are, then writes to memory: before which step, how wide, where, what.  Those
 * of the step DURING are done while the ring is at work: between its reading of heads and of
 * descriptors, where it takes packets, and between frames, where it marks the log. */
#include <stdlib.h>
#include <string.h>

#include "net/parse.h"
#include "tests/unit/vring_driver.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define STEPS	12u /* the last two are not steps */
#define DURING	(STEPS - 1)
#define HOLDING (STEPS - 2) /* between dequeue and done */
#define SPACE	0x10000u /* that writes reach: descriptors, avail and used at these places, data */
#define AVAIL	0x2000u
#define USED	0x3000u

struct write {
	uint8_t when, width;
	uint16_t at;
	uint64_t value;
} __attribute__((packed));

struct run {
	struct guest *g;
	struct vring q;
	struct arena *arena;
	struct pkt_pool *pool;
	const uint8_t *data;
	size_t len;
	uint8_t frame;
};

static void apply(const struct run *r, unsigned step)
{
	struct write w;

	for (size_t at = 0; at + sizeof(w) <= r->len; at += sizeof(w)) {
		memcpy(&w, r->data + at, sizeof(w));
		if (w.when % STEPS == step)
			memcpy(r->g->va[0] + w.at % (SPACE - 8), &w.value, 1u << (w.width & 3));
	}
}

static const struct run *at_work;

unsigned __real_pkt_new_bulk(struct pkt_pool *p, struct pkt **v, unsigned n);
unsigned __wrap_pkt_new_bulk(struct pkt_pool *p, struct pkt **v, unsigned n);
unsigned __wrap_pkt_new_bulk(struct pkt_pool *p, struct pkt **v, unsigned n)
{
	apply(at_work, DURING);
	return __real_pkt_new_bulk(p, v, n);
}
void __real_vhost_log_mark(struct vhost_log *l, uint64_t gpa, uint64_t len);
void __wrap_vhost_log_mark(struct vhost_log *l, uint64_t gpa, uint64_t len);
void __wrap_vhost_log_mark(struct vhost_log *l, uint64_t gpa, uint64_t len)
{
	apply(at_work, DURING);
	__real_vhost_log_mark(l, gpa, len);
}

static void check(const struct run *r, const struct pkt *k)
{
	size_t all = k->head_len;

	if (k->head_len > VRING_HEAD || k->len > ETH_FRAME_MAX)
		abort();
	for (unsigned i = 0; i < k->n_tail; i++) {
		const struct iovec *v = &k->tail[i];
		bool in = k->big && v->iov_base == k->big && v->iov_len <= PKT_BIG_SLOT;
		for (unsigned j = 0; j < r->g->mem->n; j++) {
			uint64_t off = (uint64_t)((uintptr_t)v->iov_base - (uintptr_t)r->g->va[j]);
			in |= off < GUEST_SIZE && v->iov_len <= GUEST_SIZE - off;
		}
		if (!in || !v->iov_len)
			abort();
		all += v->iov_len;
	}
	if (all != k->len)
		abort();
}

static void receive(struct run *r)
{
	struct pkt *k[PKT_BURST];
	unsigned lost = 0, n = vring_dequeue(&r->q, r->pool, k, PKT_BURST, &lost);

	if (n > PKT_BURST || n + lost > PKT_BURST || (r->q.fault && n))
		abort();
	for (unsigned i = 0; i < n; i++) {
		check(r, k[i]);
		if (!k[i]->drop)
			(void)pkt_parse(k[i]);
	}
	apply(r, HOLDING);
	uint16_t before = r->q.n_held;
	if (n || lost)
		vring_dequeue_done(&r->q);
	if (!r->q.fault && (before != n + lost || r->q.n_held))
		abort();
	pkt_free_bulk(r->pool, k, n);
}

static void transmit(struct run *r)
{
	struct pkt_out v[8] = {0};

	for (unsigned i = 0; i < ARRAY_SIZE(v); i++) {
		uint32_t len = 14 + (r->frame + 37u * i) % 120 * (r->frame & 1 ? 1 : 500);
		struct pkt *k = pkt_new(r->pool);
		if (!k)
			abort();
		if (len > PKT_HEAD_MAX && !pkt_add_big(r->pool, k))
			len = 60;
		pkt_set_len(r->pool, k, len);
		memset(k->head, 0x5a, k->head_len);
		if (k->n_tail)
			memset(k->big, 0xa5, k->own_tail.iov_len);
		v[i].pkt = k;
		v[i].tag = (struct vlan_tag){i & 1 ? 0x8100 : 0, 5};
	}
	vring_enqueue(&r->q, v, ARRAY_SIZE(v));
	for (unsigned i = 0; i < ARRAY_SIZE(v); i++) {
		if (r->q.fault && !v[i].drop && !r->q.packed)
			abort();
		pkt_free(r->pool, v[i].pkt);
	}
}

static void run(struct run *r, uint8_t kind)
{
	for (unsigned step = 0; step < HOLDING && !r->q.fault; step++) {
		apply(r, step);
		if (kind & 1)
			receive(r);
		else
			transmit(r);
		if (step & 1 && !vring_arm(&r->q) && step & 2)
			vring_disarm(&r->q);
	}
}

static struct vring_conf conf_of(uint8_t bits, uint8_t size)
{
	static const uint8_t feature[] = {VRING_F_RING_PACKED,	 VRING_F_EVENT_IDX,
					  VRING_F_IN_ORDER,	 VRING_F_MRG_RXBUF,
					  VRING_F_INDIRECT_DESC, VRING_F_VERSION_1};
	struct vring_conf c = {
		.desc = GUEST_A + GUEST_UVA,
		.avail = GUEST_A + GUEST_UVA + AVAIL,
		.used = GUEST_A + GUEST_UVA + USED,
		.log_used = true,
		.used_log = GUEST_A + (bits & 2 ? 0 : USED),
		.call_fd = -1,
	};

	for (unsigned i = 0; i < ARRAY_SIZE(feature); i++)
		c.features |= (uint64_t)(bits >> (i + 1) & 1) << feature[i];
	c.size = bits & 2 ? 1u + size : 1u << size % 9;
	c.base = bits & 2 ? 0x8000 : 0;
	return c;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct guest g;
	const char *why;

	if (len < 4)
		return 0;
	if (!g.mem) {
		guest_init(&g);
		guest_log(&g);
	}
	struct run r = {.g = &g, .data = data + 4, .len = len - 4, .frame = data[2]};
	struct vring_conf c = conf_of(data[0], data[1]);
	memset(g.va[0], 0, SPACE);
	g.mem->log = data[0] & 128 ? &g.log : NULL;
	r.arena = arena_new(8 + data[3] % 128, data[3] % 3);
	r.pool = pkt_pool_new(r.arena);
	at_work = &r; /* starting writes to the ring too */
	if (vring_start(&r.q, g.mem, &c, &why))
		abort();
	run(&r, data[0]);
	vring_stop(&r.q);
	pkt_pool_free(r.pool);
	struct arena_stats s = arena_stats(r.arena);
	if (s.small_free != s.small_total || s.big_free != s.big_total)
		abort();
	arena_free(r.arena);
	return 0;
}
