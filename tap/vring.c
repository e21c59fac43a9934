/* Virtqueues: starting and stopping, telling the driver, and the split ring (virtio 1.2 2.7).
 * The packed ring is in vring_packed.c, what both share in vring_int.h. */
#include "tap/vring_int.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* The three parts of a split ring, virtio 1.2 2.7.6 and 2.7.8. */
#define AVAIL_IDX  2u
#define AVAIL_RING 4u
#define USED_IDX   2u
#define USED_RING  4u
#define USED_ELEM  8u
#define EVENT_WORD 2u

#define LET_GO_MOST 1024u

#define AVAIL_NO_INTERRUPT 1 /* 2.7.6 */
#define USED_NO_NOTIFY	   1 /* 2.7.8 */

const char *vring_fault_text(enum vring_fault f)
{
	static const char *const text[VRING_FAULT_COUNT] = {[VRING_OK] = "sound",
#define X(id, t) [VRING_FAULT_##id] = t,
							    VRING_FAULTS(X)
#undef X
	};
	return (unsigned)f < VRING_FAULT_COUNT ? text[f] : "unknown";
}

/* ---- the inflight region (vhost-user, "Inflight I/O tracking"), split ---- */

/* As we return everything in order and within the burst, the used index alone tells a
 * successor where to go on.  The marks are for one that is not built like us. */
struct inflight_split {
	uint64_t features;
	uint16_t version, desc_num, last_batch_head, used_idx;
	struct {
		uint8_t inflight, pad[5];
		uint16_t next;
		uint64_t counter;
	} desc[];
};
#define INFLIGHT_VERSION 1

/* Where to go on after a predecessor that left a region behind: at what it published. */
static void inflight_start(struct vring *q, uint16_t used)
{
	struct inflight_split *r = q->inflight;

	if (r->version == INFLIGHT_VERSION && r->desc_num == q->size)
		q->last_avail = used;
	for (uint32_t i = 0; i < q->size; i++)
		r->desc[i].inflight = 0;
	r->version = INFLIGHT_VERSION;
	r->desc_num = (uint16_t)q->size;
	r->used_idx = used;
}

static void inflight_mark(struct vring *q, const uint16_t *head, unsigned n)
{
	struct inflight_split *r = q->inflight;

	for (unsigned i = 0; i < n; i++) {
		q->scratch->held[i].id = head[i];
		r->desc[head[i]].counter = q->taken++;
		__atomic_store_n(&r->desc[head[i]].inflight, 1, __ATOMIC_RELEASE);
	}
}

/* The batch is linked before its publication and cleared after it, so that a successor can
 * tell which of the marks are stale. */
static void inflight_link(struct vring *q, unsigned n)
{
	struct inflight_split *r = q->inflight;
	const struct vring_held *h = q->scratch->held;

	for (unsigned i = 0; i < n; i++) {
		r->desc[h[i].id].next = r->last_batch_head;
		r->last_batch_head = h[i].id;
	}
	atomic_signal_fence(memory_order_release);
}

static void inflight_clear(struct vring *q, unsigned n)
{
	struct inflight_split *r = q->inflight;

	for (unsigned i = 0; i < n; i++)
		__atomic_store_n(&r->desc[q->scratch->held[i].id].inflight, 0, __ATOMIC_RELEASE);
}

/* ---- telling the driver ---- */

void vring_call(struct vring *q)
{
	const uint64_t one = 1;

	/* EAGAIN: the counter is full, so the driver has been told */
	while (write(q->call_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
	counter_add(&q->calls, 1);
}

/* virtio 1.2 2.7.7: after the used index moved to last_used. */
static void split_call(struct vring *q)
{
	uint16_t old = q->signalled;
	bool known = q->signalled_valid;

	if (q->call_fd < 0)
		return;
	full_fence(); /* the driver writes its wish and looks at the index, we the reverse */
	q->signalled = q->last_used;
	q->signalled_valid = true;
	if (!q->event_idx) {
		if (!(load16(q->avail) & AVAIL_NO_INTERRUPT))
			vring_call(q);
		return;
	}
	uint16_t event = load16(q->avail + AVAIL_RING + 2 * q->size);
	if (!known || event_crossed(event, q->last_used, old))
		vring_call(q);
}

/* ---- the split ring ---- */

INLINE struct vring_buf split_desc(const uint8_t *at)
{
	uint64_t b = load64(at + 8);

	return (struct vring_buf){
		.addr = load64(at),
		.len = (uint32_t)b,
		.flags = (uint16_t)(b >> 32),
		.next = (uint16_t)(b >> 48),
	};
}
/* In an indirect table, which nothing aligns. */
INLINE struct vring_buf table_desc(const uint8_t *at)
{
	uint64_t b = get64(at + 8);

	return (struct vring_buf){
		.addr = get64(at),
		.len = (uint32_t)b,
		.flags = (uint16_t)(b >> 32),
		.next = (uint16_t)(b >> 48),
	};
}

INLINE uint8_t *used_entry(const struct vring *q, uint16_t i)
{
	return q->used + USED_RING + (i & q->mask) * USED_ELEM;
}

INLINE void put_used(struct vring *q, uint16_t i, uint16_t head, uint32_t len)
{
	put64(used_entry(q, i), (uint64_t)len << 32 | head); /* 4 bytes aligned, no more */
}

/* The number of entries the driver made available; a jump beyond the ring is a fault. */
INLINE unsigned split_waiting(struct vring *q)
{
	uint16_t n = (uint16_t)(load16_acquire(q->avail + AVAIL_IDX) - q->last_avail);

	if (unlikely(n > q->size)) {
		q->fault = VRING_FAULT_AVAIL_INDEX;
		return 0;
	}
	return n;
}

/* virtio 1.2 2.7.5.3.  The table's chain starts at entry 0 and may not be nested. */
static bool split_table(struct vring *q, struct chain *c, const struct vring_buf *table)
{
	uint32_t max = table_entries(q, table), at = 0;

	for (uint32_t count = 0; count < max && !chain_enough(c); count++) {
		const uint8_t *p = table_at(q, table->addr, at);
		if (!p)
			return false;
		struct vring_buf d = table_desc(p);
		if (d.flags & DESC_INDIRECT)
			return vring_fail(q, VRING_FAULT_INDIRECT);
		if (!direction_ok(c, d.flags))
			return vring_fail(q, VRING_FAULT_DIRECTION);
		if (!chain_add(q, c, d.addr, d.len))
			return false;
		if (!(d.flags & DESC_NEXT))
			return true;
		if (d.next >= max)
			return vring_fail(q, VRING_FAULT_CHAIN);
		at = d.next;
	}
	if (!max)
		return false;
	return chain_enough(c) || vring_fail(q, VRING_FAULT_CHAIN);
}

/* Walks the chain that starts with d until c has what it wants.  Bounded: a chain cannot be longer
 * than the ring (2.7.5.3.1). */
static bool split_walk(struct vring *q, struct chain *c, struct vring_buf d)
{
	for (uint32_t count = 0; count < q->size; count++) {
		if (d.flags & DESC_INDIRECT) /* may follow others (2.7.5.3.2) and ends the chain */
			return split_table(q, c, &d);
		if (!direction_ok(c, d.flags))
			return vring_fail(q, VRING_FAULT_DIRECTION);
		if (!chain_add(q, c, d.addr, d.len))
			return false;
		if (!(d.flags & DESC_NEXT) || chain_enough(c))
			return true;
		if (d.next >= q->size)
			return vring_fail(q, VRING_FAULT_CHAIN);
		d = split_desc(q->desc + d.next * DESC_SIZE);
	}
	return vring_fail(q, VRING_FAULT_CHAIN);
}

/* A header and a frame in two descriptors, in the ring or in a table. */
INLINE bool split_two(struct vring *q, const struct vring_buf *d, struct rx_frame *f)
{
	struct vring_buf h = *d, v;

	if (d->flags == DESC_NEXT && d->next < q->size) {
		v = split_desc(q->desc + d->next * DESC_SIZE);
	} else if (d->flags == DESC_INDIRECT && d->len == 2 * DESC_SIZE && q->indirect) {
		uint64_t here;
		const uint8_t *p = vhost_gpa(q->mem, d->addr, &here, &q->table_hint);
		if (!p || here < 2 * DESC_SIZE)
			return false;
		h = table_desc(p);
		v = table_desc(p + DESC_SIZE);
		if (h.flags != DESC_NEXT || h.next != 1)
			return false;
	} else {
		return false;
	}
	return rx_two(q, &h, &v, f);
}

/* First pass over one frame of the driver's; true unless the ring is at fault. */
INLINE bool split_fetch(struct vring *q, struct pkt_pool *pool, struct pkt *k, uint16_t head,
			struct rx_frame *f, size_t *cost)
{
	const struct vring_buf d = split_desc(q->desc + head * DESC_SIZE);

	if (likely(rx_one(q, &d, f) || split_two(q, &d, f))) {
		*cost += f->len;
		return true;
	}
	struct chain c = rx_chain(q, k);
	if (!split_walk(q, &c, d))
		return false;
	*cost += c.total + c.walked * DESC_SIZE;
	rx_walked(q, pool, k, &c, f);
	return true;
}

/* Heads of n entries from `first` on after the last taken; descriptors and used entries are asked
 * for, as both will be needed. */
INLINE bool split_heads(struct vring *q, uint16_t *head, unsigned first, unsigned n)
{
	const uint8_t *ring = q->avail + AVAIL_RING;

	for (unsigned i = 0; i < n; i++) {
		head[i] = load16(ring + 2 * ((q->last_avail + first + i) & q->mask));
		if (unlikely(head[i] >= q->size))
			return vring_fail(q, VRING_FAULT_HEAD);
		__builtin_prefetch(q->desc + head[i] * DESC_SIZE);
		if (i % (LINE / USED_ELEM) == 0)
			prefetch_write(used_entry(q, (uint16_t)(q->last_used + first + i)));
	}
	return true;
}

/* Written before anyone may look: the index does not move before vring_dequeue_done().
 * 2.7.9: in order, one used entry stands for a batch: at the place of the first, with the
 * head of the last. */
INLINE void split_give(struct vring *q, const uint16_t *head, unsigned n)
{
	if (q->in_order) {
		put_used(q, q->last_used, head[n - 1], 0);
		return;
	}
	for (unsigned i = 0; i < n; i++)
		put_used(q, (uint16_t)(q->last_used + i), head[i], 0);
}

/* How many of the waiting entries to take now; see vring_let_go(). */
INLINE unsigned split_ripe(struct vring *q, unsigned max)
{
	unsigned n = split_waiting(q);

	q->behind = false;
	if (q->streaming && n) {
		if (n < 2 * VRING_TRAIL) {
			q->behind = true;
			return 0;
		}
		n -= VRING_TRAIL;
		q->let_go_next = 1;
	}
	return n < max ? n : max;
}

static void split_took(struct vring *q, unsigned n)
{
	if (q->let_go)
		q->let_go--;
	q->streaming = n >= VRING_TRAIL && !q->let_go && q->size >= 4 * VRING_TRAIL;
}

void vring_let_go(struct vring *q)
{
	q->streaming = false;
	q->let_go = q->let_go_next;
	q->let_go_next = q->let_go_next < LET_GO_MOST ? q->let_go_next * 2 : LET_GO_MOST;
}

static unsigned split_dequeue(struct vring *q, struct pkt_pool *pool, struct pkt **out,
			      unsigned max, unsigned *ret_no_buffer)
{
	uint16_t head[PKT_BURST];
	struct rx_frame f[PKT_BURST];
	size_t cost = 0;
	unsigned n = split_ripe(q, max), got, i;

	if (!n || !split_heads(q, head, 0, n))
		return 0;
	got = pkt_new_bulk(pool, out, n);
	for (i = 0; i < got && cost < PORT_RX_BYTES; i++) {
		if (unlikely(!split_fetch(q, pool, out[i], head[i], &f[i], &cost))) {
			pkt_free_bulk(pool, out, got);
			return 0;
		}
	}
	if (unlikely(i < got)) { /* enough bytes: the others wait for the next call */
		pkt_free_bulk(pool, out + i, got - i);
		n = got = i;
	}
	take_frames(q, pool, out, f, got);
	split_give(q, head, n);
	if (unlikely(q->inflight))
		inflight_mark(q, head, n);
	q->last_avail = (uint16_t)(q->last_avail + n);
	split_took(q, n);
	q->n_held = (uint16_t)n;
	*ret_no_buffer += n - got;
	return got;
}

/* Makes n used entries, which are written, the driver's. */
static void split_publish(struct vring *q, unsigned n)
{
	uint16_t first = q->last_used & (uint16_t)q->mask;
	unsigned straight = n < q->size - first ? n : q->size - first;

	if (unlikely(q->log_used)) {
		log_used(q, USED_RING + first * USED_ELEM, straight * USED_ELEM);
		log_used(q, USED_RING, (n - straight) * USED_ELEM);
	}
	q->last_used = (uint16_t)(q->last_used + n);
	store16_release(q->used + USED_IDX, q->last_used);
	if (unlikely(q->inflight != NULL))
		((struct inflight_split *)q->inflight)->used_idx = q->last_used;
	log_used(q, USED_IDX, sizeof(uint16_t));
}

static void split_done(struct vring *q)
{
	unsigned n = q->n_held;

	q->n_held = 0;
	if (unlikely(q->inflight))
		inflight_link(q, n);
	split_publish(q, n);
	if (unlikely(q->inflight))
		inflight_clear(q, n);
	split_call(q);
}

/* An enqueue under way: what the driver gave, and what of it has been used. */
struct split_tx {
	struct tx_run run;
	unsigned waiting, used; /* buffers */
	unsigned ahead;		/* heads read ahead */
	uint16_t head[PKT_BURST];
};

/* The next buffer, when there is one. */
INLINE enum drop_reason split_next(struct vring *q, const struct split_tx *t, unsigned used,
				   uint16_t *ret_head, struct vring_buf *ret_d)
{
	if (likely(used < t->ahead)) {
		*ret_head = t->head[used];
	} else {
		uint16_t one;
		if (!split_heads(q, &one, used, 1))
			return DROP_TX_GONE;
		*ret_head = one;
	}
	*ret_d = split_desc(q->desc + *ret_head * DESC_SIZE);
	return DROP_NONE;
}

/* The frame in as many buffers as it takes (5.1.6.4, mergeable), else in one.  Nothing is consumed
 * unless all of it fits. */
static enum drop_reason split_reserve_pieces(struct vring *q, struct split_tx *t,
					     struct tx_frame *f, struct vring_buf d, uint16_t head)
{
	unsigned used = t->used;
	uint32_t left = f->len;
	enum drop_reason why;

	f->iov = t->run.n_iov;
	for (;;) {
		struct chain c = tx_chain(q, &t->run, f, left);
		if (!split_walk(q, &c, d))
			return DROP_TX_GONE;
		why = tx_walked(q, &t->run, f, &c);
		if (why != DROP_NONE)
			return why;
		put_used(q, (uint16_t)(q->last_used + used++), head, (uint32_t)c.total);
		left -= (uint32_t)c.total;
		if (!left)
			break;
		if (!q->mergeable)
			return DROP_TX_OVERSIZE;
		if (used == t->waiting)
			return DROP_TX_FULL;
		why = split_next(q, t, used, &head, &d);
		if (why != DROP_NONE)
			return why;
	}
	t->run.n_iov += f->n_iov;
	t->used = used;
	return DROP_NONE;
}

/* First pass over one frame for the driver. */
INLINE enum drop_reason split_reserve(struct vring *q, struct split_tx *t, const struct pkt_out *o,
				      struct tx_frame *f)
{
	enum drop_reason why = tx_start(q, o, f);
	struct vring_buf d;
	uint16_t head;

	if (unlikely(why != DROP_NONE))
		return why;
	if (unlikely(t->used == t->waiting || f->len >= t->run.too_long))
		return DROP_TX_FULL;
	why = split_next(q, t, t->used, &head, &d);
	if (unlikely(why != DROP_NONE))
		return why;
	/* the rest of the chain is not needed when the first descriptor holds it all */
	if (likely((d.flags & (DESC_WRITE | DESC_INDIRECT)) == DESC_WRITE && d.len >= f->len &&
		   tx_piece(q, f, &d))) {
		put_used(q, (uint16_t)(q->last_used + t->used++), head, f->len);
		return DROP_NONE;
	}
	return split_reserve_pieces(q, t, f, d, head);
}

/* First pass over v[] as far as the scratch goes; at least one. */
INLINE unsigned split_reserve_all(struct vring *q, struct split_tx *t, struct pkt_out *v,
				  struct tx_frame *f, unsigned n)
{
	unsigned i;

	t->run.n_iov = 0;
	for (i = 0; i < n; i++) {
		enum drop_reason why = split_reserve(q, t, &v[i], &f[i]);
		if (unlikely(why != DROP_NONE) && tx_refused(q, &t->run, &v[i], &f[i], i, why))
			break;
	}
	return i;
}

static void drop_all(struct pkt_out *v, unsigned n, enum drop_reason why)
{
	for (unsigned i = 0; i < n; i++)
		v[i].drop = why;
}

static void split_enqueue(struct vring *q, struct pkt_out *v, unsigned n)
{
	struct tx_frame f[PKT_BURST];
	struct split_tx t;

	t.run = (struct tx_run){.too_long = UINT32_MAX};
	t.used = 0;
	t.waiting = split_waiting(q);
	t.ahead = t.waiting < n ? t.waiting : n;
	if (!q->fault)
		split_heads(q, t.head, 0, t.ahead);
	for (unsigned at = 0, m; at < n && !q->fault; at += m) {
		m = split_reserve_all(q, &t, v + at, f, n - at);
		if (likely(!q->fault))
			put_frames(q, v + at, f, m);
	}
	if (unlikely(q->fault)) {
		drop_all(v, n, DROP_TX_GONE);
		return;
	}
	if (!t.used)
		return;
	q->last_avail = (uint16_t)(q->last_avail + t.used);
	split_publish(q, t.used);
	split_call(q);
}

/* The driver's side of the bargain is in split_arm().  With event indexes the index is left behind
 * where it was last armed: it is crossed once, and then not for 65536 entries. */
static void split_disarm(struct vring *q)
{
	q->armed = false;
	if (q->event_idx)
		return;
	store16(q->used, USED_NO_NOTIFY);
	log_used(q, 0, sizeof(uint16_t));
}

/* Why a packet cannot be left waiting (virtio 1.2 2.7.10, 2.7.13.4.1).
 *
 * The driver, for a buffer:	D1 writes avail->idx = new	D2 full fence
 *				D3 reads the wish (used->flags, or avail_event)
 *				D4 kicks if the wish says so
 * We, before sleeping:		A1 write the wish		A2 full fence
 *				A3 read avail->idx		A4 sleep if it is last_avail
 *
 * Both fences are sequentially consistent, so one is before the other.  If A2 is before D2,
 * D3 sees A1 (or a later wish of ours, written only by a later arm or disarm, when we are awake
 * and will look again): with flags that is "kick"; with event indexes the wish is last_avail,
 * and as every entry from last_avail on comes after our look at A3, the driver's range [old, new)
 * holds it exactly when its batch adds the first entry that we have not seen.  If D2 is before A2,
 *A3 sees D1 and we do not sleep.  A kick that is written while we are still awake stays readable in
 *the eventfd, so the sleep ends at once.
 *
 * A driver that breaks its half leaves only itself waiting.  A fault: nothing waits for us any
 *more. */
static bool split_arm(struct vring *q)
{
	const unsigned event_at = USED_RING + USED_ELEM * q->size;

	if (q->event_idx) {
		store16(q->used + event_at, q->last_avail);
		log_used(q, event_at, EVENT_WORD);
	} else {
		store16(q->used, 0);
		log_used(q, 0, sizeof(uint16_t));
	}
	q->armed = true;
	full_fence();
	if (load16_acquire(q->avail + AVAIL_IDX) == q->last_avail)
		return false;
	split_disarm(q);
	return true;
}

static void split_start(struct vring *q, uint32_t base)
{
	uint16_t used = load16(q->used + USED_IDX);

	q->last_avail = (uint16_t)base;
	q->last_used = used;
	q->let_go_next = 1;
	if (q->inflight)
		inflight_start(q, used);
	if (q->event_idx) { /* flags say nothing; the index: what was passed last, far away */
		store16(q->used, 0);
		store16(q->used + USED_RING + USED_ELEM * q->size, (uint16_t)(q->last_avail - 1));
	}
	split_disarm(q);
}

/* ---- starting and stopping ---- */

/* Lengths and alignments of the three parts: virtio 1.2 2.7 and 2.8.10.1. */
struct part {
	uint64_t uva, len;
	unsigned align;
};

static void parts_of(const struct vring_conf *c, struct part p[3])
{
	const bool event = c->features & 1ull << VRING_F_EVENT_IDX;
	const uint64_t word = event ? EVENT_WORD : 0, n = c->size;

	p[0] = (struct part){c->desc, DESC_SIZE * n, 16};
	if (c->features & 1ull << VRING_F_RING_PACKED) {
		p[1] = (struct part){c->avail, sizeof(uint32_t), 4};
		p[2] = (struct part){c->used, sizeof(uint32_t), 4};
	} else {
		p[1] = (struct part){c->avail, AVAIL_RING + 2 * n + word, 2};
		p[2] = (struct part){c->used, USED_RING + USED_ELEM * n + word, 4};
	}
}

static int fail(int err, const char *why, const char **ret_why)
{
	*ret_why = why;
	return err;
}

static int check_conf(const struct vring_conf *c, const char **ret_why)
{
	const bool packed = c->features & 1ull << VRING_F_RING_PACKED;
	struct part p[3];

	if (!c->size || c->size > VRING_SIZE_MAX)
		return fail(-EINVAL, "ring size is zero or beyond 32768", ret_why);
	if (!packed && c->size & (c->size - 1))
		return fail(-EINVAL, "size of a split ring is not a power of two", ret_why);
	if (!packed && c->base > UINT16_MAX)
		return fail(-EINVAL, "ring base beyond 16 bits", ret_why);
	if (packed && ((c->base & 0x7fff) >= c->size || (c->base >> 16 & 0x7fff) >= c->size))
		return fail(-EINVAL, "ring base outside the packed ring", ret_why);
	parts_of(c, p);
	for (unsigned i = 0; i < ARRAY_SIZE(p); i++) {
		if (p[i].uva % p[i].align)
			return fail(-EINVAL, "part of the ring is misaligned", ret_why);
	}
	return 0;
}

/* Where writes of used entries are logged.  Those of a packed ring are where its descriptors are, and
 * the memory table says where that is: QEMU names the device event area (its "used" part). */
static int find_log(struct vring *q, const struct vring_conf *c, const struct part *written,
		    uint64_t gpa, const char **ret_why)
{
	q->log_used = c->log_used;
	q->used_log = q->packed ? gpa : c->used_log;
	if (c->log_used && q->mem->log && !vhost_log_covers(q->mem->log, q->used_log, written->len))
		return fail(-EINVAL, "dirty log does not cover the used ring", ret_why);
	return 0;
}

/* Bytes of the inflight region for a queue. */
static uint64_t inflight_need(const struct vring_conf *c)
{
	if (c->features & 1ull << VRING_F_RING_PACKED)
		return PACKED_INFLIGHT_HEAD + (uint64_t)PACKED_INFLIGHT_DESC * c->size;
	return sizeof(struct inflight_split) +
	       sizeof(((struct inflight_split *)0)->desc[0]) * (uint64_t)c->size;
}

static int map_parts(struct vring *q, const struct vring_conf *c, const char **ret_why)
{
	uint8_t **at[3] = {&q->desc, &q->avail, &q->used};
	struct part p[3];
	uint64_t gpa[3];

	parts_of(c, p);
	for (unsigned i = 0; i < ARRAY_SIZE(p); i++) {
		*at[i] = vhost_uva(q->mem, p[i].uva, p[i].len, &gpa[i]);
		if (!*at[i])
			return fail(-EFAULT, "ring is not in guest memory as a whole", ret_why);
		if ((uintptr_t)*at[i] % p[i].align) /* a region may be mapped askew */
			return fail(-EINVAL, "part of the ring is misaligned in memory", ret_why);
	}
	if (c->inflight && (c->inflight_len < inflight_need(c) || (uintptr_t)c->inflight % 8))
		return fail(-EINVAL, "inflight region is too small or misaligned", ret_why);
	const unsigned written = q->packed ? 0 : 2;
	return find_log(q, c, &p[written], gpa[written], ret_why);
}

static void set_features(struct vring *q, uint64_t features)
{
	q->features = features;
	q->packed = HAS(q, RING_PACKED);
	q->event_idx = HAS(q, EVENT_IDX);
	q->indirect = HAS(q, INDIRECT_DESC);
	q->mergeable = HAS(q, MRG_RXBUF);
	q->in_order = HAS(q, IN_ORDER);
	/* virtio 1.2 5.1.6.1 */
	q->hdr_len = q->mergeable || HAS(q, VERSION_1) ? sizeof(struct virtio_net_hdr_mrg_rxbuf)
						       : sizeof(struct virtio_net_hdr);
}

int vring_start(struct vring *q, const struct vhost_mem *mem, const struct vring_conf *conf,
		const char **ret_why)
{
	unsigned n_iov = conf->size > TABLE_MIN ? conf->size : TABLE_MIN;
	int r = check_conf(conf, ret_why);

	if (r < 0)
		return r;
	struct vring v = {
		.mem = mem,
		.size = conf->size,
		.mask = conf->size - 1,
		.call_fd = conf->call_fd,
		.inflight = conf->inflight,
	};
	set_features(&v, conf->features);
	r = map_parts(&v, conf, ret_why);
	if (r < 0)
		return r;
	v.scratch = malloc(sizeof(*v.scratch) + n_iov * sizeof(struct iovec));
	if (!v.scratch)
		return fail(-ENOMEM, "out of memory", ret_why);
	v.scratch->n_iov = n_iov;
	*q = v;
	if (q->packed)
		packed_start(q, conf->base);
	else
		split_start(q, conf->base);
	return 0;
}

uint32_t vring_stop(struct vring *q)
{
	free(q->scratch);
	q->scratch = NULL;
	if (q->packed)
		return packed_stop(q);
	uint16_t base = (uint16_t)(q->last_avail - q->n_held); /* held frames come again */
	q->n_held = 0;
	return base;
}

/* ---- which kind ---- */

unsigned vring_dequeue(struct vring *q, struct pkt_pool *pool, struct pkt **out, unsigned max,
		       unsigned *ret_no_buffer)
{
	*ret_no_buffer = 0;
	if (vring_dead(q))
		return 0;
	return q->packed ? packed_dequeue(q, pool, out, max, ret_no_buffer)
			 : split_dequeue(q, pool, out, max, ret_no_buffer);
}

void vring_dequeue_done(struct vring *q)
{
	if (!q->n_held || q->fault)
		return;
	if (q->packed)
		packed_done(q);
	else
		split_done(q);
}

void vring_enqueue(struct vring *q, struct pkt_out *v, unsigned n)
{
	if (vring_dead(q))
		drop_all(v, n, DROP_TX_GONE);
	else if (q->packed)
		packed_enqueue(q, v, n);
	else
		split_enqueue(q, v, n);
}

bool vring_arm(struct vring *q)
{
	if (vring_dead(q))
		return false;
	return q->packed ? packed_arm(q) : split_arm(q);
}

void vring_disarm(struct vring *q)
{
	if (!q->armed || q->fault)
		return;
	if (q->packed)
		packed_disarm(q);
	else
		split_disarm(q);
}
