/* The packed ring (virtio 1.2 2.8): one array of descriptors, in which the driver writes what is
 * available and we write over it what is used.  A lap's number modulo 2 (the wrap counter)
 * tells whose a descriptor is.
 *
 * Everything is given back in the order it came, so the place of the next used descriptor
 * is always that of the next available one when nothing is held. */
#include "tap/vring_int.h"

/* Event suppression, 2.8.10. */
#define EVENT_ENABLE  0u
#define EVENT_DISABLE 1u
#define EVENT_DESC    2u
#define EVENT_WRAP    0x8000u
#define EVENT_OFF     0x7fffu

/* A place in the ring. */
struct place {
	uint16_t at;
	bool wrap;
};

INLINE void advance(const struct vring *q, struct place *p, uint32_t n)
{
	uint32_t at = p->at + n;

	if (unlikely(at >= q->size)) {
		at -= q->size;
		p->wrap = !p->wrap;
	}
	p->at = (uint16_t)at;
}
INLINE struct place avail_place(const struct vring *q)
{
	return (struct place){q->last_avail, q->avail_wrap};
}
INLINE struct place used_place(const struct vring *q)
{
	return (struct place){q->last_used, q->used_wrap};
}

/* 2.8.1: available in this lap and not used in it. */
INLINE bool is_available(uint16_t flags, bool wrap)
{
	return (flags & (DESC_AVAIL | DESC_USED)) == (wrap ? DESC_AVAIL : DESC_USED);
}

/* Length, id and flags of a descriptor are one word; it is read once, and before the address. */
INLINE uint64_t word_at(const struct vring *q, uint16_t at)
{
	return load64_acquire(q->desc + at * DESC_SIZE + 8);
}
INLINE uint16_t word_flags(uint64_t w)
{
	return (uint16_t)(w >> 48);
}
INLINE struct vring_buf packed_desc(uint64_t addr, uint64_t w)
{
	return (struct vring_buf){
		.addr = addr,
		.len = (uint32_t)w,
		.flags = word_flags(w),
		.next = (uint16_t)(w >> 32),
	};
}
INLINE struct vring_buf desc_at(const struct vring *q, uint16_t at, uint64_t w)
{
	return packed_desc(load64(q->desc + at * DESC_SIZE), w);
}

/* Ours to check because nobody could want another: an id is an index of the driver's own. */
INLINE bool id_ok(struct vring *q, uint16_t id)
{
	return likely(id < q->size) || vring_fail(q, VRING_FAULT_PACKED_ID);
}

/* 2.8.7: a table is an array, its entries' flags mean nothing but WRITE. */
static bool packed_table(struct vring *q, struct chain *c, const struct vring_buf *table)
{
	uint32_t n = table_entries(q, table);

	for (uint32_t i = 0; i < n && !chain_enough(c); i++) {
		const uint8_t *p = table_at(q, table->addr, i);
		if (!p)
			return false;
		struct vring_buf d = packed_desc(get64(p), get64(p + 8));
		if (d.flags & DESC_INDIRECT)
			return vring_fail(q, VRING_FAULT_INDIRECT);
		if (!direction_ok(c, d.flags))
			return vring_fail(q, VRING_FAULT_DIRECTION);
		if (!chain_add(q, c, d.addr, d.len))
			return false;
	}
	return n != 0;
}

/* Walks the buffer whose first descriptor is d, at p, to its end: how many descriptors it takes up
 * and its id are known only there (2.8.6).  Collecting stops when c has enough. */
static bool packed_walk(struct vring *q, struct chain *c, struct place p, struct vring_buf d,
			struct vring_held *h)
{
	for (h->slots = 1;; h->slots++) {
		if (d.flags & DESC_INDIRECT) {
			if (!packed_table(q, c, &d))
				return false;
		} else if (!chain_enough(c)) {
			if (!direction_ok(c, d.flags))
				return vring_fail(q, VRING_FAULT_DIRECTION);
			if (!chain_add(q, c, d.addr, d.len))
				return false;
		}
		if (!(d.flags & DESC_NEXT))
			break;
		if (h->slots == q->size)
			return vring_fail(q, VRING_FAULT_CHAIN);
		advance(q, &p, 1);
		d = desc_at(q, p.at, word_at(q, p.at));
	}
	h->id = d.next;
	return id_ok(q, h->id);
}

/* ---- giving back ---- */

/* The inflight region (vhost-user): of it only the place of the next used descriptor is kept, which
 * is all that a successor needs when buffers come back in order. */
struct inflight_packed {
	uint64_t features;
	uint16_t version, desc_num, free_head, old_free_head, used_idx, old_used_idx;
	uint8_t used_wrap, old_used_wrap, pad[7];
};
_Static_assert(sizeof(struct inflight_packed) <= PACKED_INFLIGHT_HEAD, "descriptors follow");
#define INFLIGHT_VERSION 1

static void inflight_announce(struct vring *q, struct place next)
{
	struct inflight_packed *r = q->inflight;

	r->used_idx = next.at;
	r->used_wrap = next.wrap;
	atomic_signal_fence(memory_order_seq_cst);
}
static void inflight_commit(struct vring *q)
{
	struct inflight_packed *r = q->inflight;

	atomic_signal_fence(memory_order_seq_cst);
	r->old_used_idx = r->used_idx;
	r->old_used_wrap = r->used_wrap;
}

/* Where a predecessor stopped.  When it was killed between announcing and committing, the
 * first descriptor of its batch tells: still available in its lap, nothing was published. */
static void inflight_start(struct vring *q)
{
	struct inflight_packed *r = q->inflight;
	struct place now = {r->used_idx, r->used_wrap & 1};
	const struct place old = {r->old_used_idx, r->old_used_wrap & 1};

	if (r->version == INFLIGHT_VERSION && r->desc_num == q->size && now.at < q->size &&
	    old.at < q->size) {
		if ((now.at != old.at || now.wrap != old.wrap) &&
		    is_available(word_flags(word_at(q, old.at)), old.wrap))
			now = old;
		q->last_avail = q->last_used = now.at;
		q->avail_wrap = q->used_wrap = now.wrap;
	}
	r->version = INFLIGHT_VERSION;
	r->desc_num = (uint16_t)q->size;
	inflight_announce(q, used_place(q));
	inflight_commit(q);
}

INLINE void put_used(struct vring *q, struct place p, const struct vring_held *h, bool first)
{
	uint16_t flags = (p.wrap ? DESC_AVAIL | DESC_USED : 0) | (h->len ? DESC_WRITE : 0);
	uint64_t w = (uint64_t)flags << 48 | (uint64_t)h->id << 32 | h->len;
	uint8_t *at = q->desc + p.at * DESC_SIZE + 8;

	if (first)
		store64_release(at, w);
	else
		store64(at, w);
	log_used(q, p.at * DESC_SIZE, DESC_SIZE);
}

/* Makes held[0..n) the driver's.  It takes them in order, so the first is written last and
 * publishes all.  2.8.9: in order, one may stand for a batch, with the id of the last. */
INLINE void packed_publish(struct vring *q, unsigned n, bool as_batch)
{
	struct vring_held *h = q->scratch->held;
	const struct place first = used_place(q);
	struct place p = first;

	for (unsigned i = 0; i < n; i++) {
		if (i && !as_batch)
			put_used(q, p, &h[i], false);
		advance(q, &p, h[i].slots);
	}
	if (as_batch)
		h[0].id = h[n - 1].id;
	if (unlikely(q->inflight))
		inflight_announce(q, p);
	put_used(q, first, &h[0], true);
	if (unlikely(q->inflight))
		inflight_commit(q);
	q->last_used = p.at;
	q->used_wrap = p.wrap;
}

/* 2.8.10: after the used place moved. */
static void packed_call(struct vring *q)
{
	uint16_t old = q->signalled, now = q->last_used;
	bool known = q->signalled_valid;

	if (q->call_fd < 0)
		return;
	full_fence(); /* the driver writes its wish and looks at the ring, we the reverse */
	q->signalled = now;
	q->signalled_valid = true;
	uint32_t wish = load32(q->avail);
	uint16_t flags = wish >> 16 & 3, event = wish & EVENT_OFF;
	if (flags == EVENT_DISABLE)
		return;
	if (q->event_idx && flags == EVENT_DESC && known) {
		/* as numbers that grow: what is of the lap before lies below zero */
		if (now <= old)
			old = (uint16_t)(old - q->size);
		if (!!(wish & EVENT_WRAP) != q->used_wrap)
			event = (uint16_t)(event - q->size);
		if (!event_crossed(event, now, old))
			return;
	}
	vring_call(q);
}

/* ---- dequeue ---- */

/* A dequeue under way. */
struct packed_rx {
	struct place p;
	size_t cost;
	unsigned have, got, n; /* packets there are, those used, buffers with those lost */
	uint64_t word[PKT_BURST];
	struct rx_frame f[PKT_BURST];
};

/* Reads ahead: the words of up to `max` available descriptors. */
INLINE unsigned packed_scan(const struct vring *q, struct packed_rx *r, unsigned max)
{
	struct place p = r->p;
	unsigned n;

	for (n = 0; n < max; n++) {
		r->word[n] = word_at(q, p.at);
		if (!is_available(word_flags(r->word[n]), p.wrap))
			break;
		advance(q, &p, 1);
	}
	return n;
}

/* A header and a frame in two descriptors, in the ring or in a table. */
INLINE bool packed_two(struct vring *q, struct place p, const struct vring_buf *d,
		       struct vring_held *held, struct rx_frame *f)
{
	struct vring_buf h = *d, v;

	if ((d->flags & (DESC_NEXT | DESC_INDIRECT)) == DESC_NEXT && q->size > 1) {
		advance(q, &p, 1);
		v = desc_at(q, p.at, word_at(q, p.at));
		*held = (struct vring_held){.id = v.next, .slots = 2};
	} else if ((d->flags & (DESC_NEXT | DESC_INDIRECT)) == DESC_INDIRECT &&
		   d->len == 2 * DESC_SIZE && q->indirect) {
		uint64_t here;
		const uint8_t *t = vhost_gpa(q->mem, d->addr, &here, &q->table_hint);
		if (!t || here < 2 * DESC_SIZE)
			return false;
		h = packed_desc(get64(t), get64(t + 8));
		v = packed_desc(get64(t + DESC_SIZE), get64(t + DESC_SIZE + 8));
		v.flags &= (uint16_t)~DESC_NEXT; /* means nothing there */
	} else {
		return false;
	}
	return rx_two(q, &h, &v, f);
}

/* First pass over the buffer at r->p; k is NULL when there is no packet for it. */
INLINE bool packed_fetch(struct vring *q, struct packed_rx *r, struct pkt_pool *pool, struct pkt *k,
			 uint64_t w)
{
	const struct vring_buf d = desc_at(q, r->p.at, w);
	struct vring_held *h = &q->scratch->held[r->n];

	*h = (struct vring_held){.id = d.next, .slots = 1};
	struct rx_frame *f = &r->f[r->got];
	if (likely(k && (rx_one(q, &d, f) || packed_two(q, r->p, &d, h, f)))) {
		r->cost += f->len;
		return id_ok(q, h->id);
	}
	struct chain c = rx_chain(q, k);
	if (!packed_walk(q, &c, r->p, d, h))
		return false;
	r->cost += c.total + (c.walked + h->slots) * DESC_SIZE;
	if (k)
		rx_walked(q, pool, k, &c, f);
	return true;
}

/* First pass over the buffers that begin in the `slots` scanned descriptors. */
INLINE bool packed_fetch_all(struct vring *q, struct packed_rx *r, struct pkt_pool *pool,
			     struct pkt **out, unsigned slots)
{
	for (unsigned i = 0; i < slots && r->cost < PORT_RX_BYTES;) {
		struct pkt *k = r->got < r->have ? out[r->got] : NULL;
		if (unlikely(!packed_fetch(q, r, pool, k, r->word[i])))
			return false;
		unsigned taken = q->scratch->held[r->n++].slots;
		r->got += k != NULL;
		i += taken;
		advance(q, &r->p, taken);
	}
	return true;
}

unsigned packed_dequeue(struct vring *q, struct pkt_pool *pool, struct pkt **out, unsigned max,
			unsigned *ret_no_buffer)
{
	struct packed_rx r; /* its arrays are not worth clearing */
	unsigned slots;

	r.p = avail_place(q);
	r.cost = r.have = r.got = r.n = 0;
	/* more than once only where buffers are chains: the packets left over serve on */
	while (r.n < max && r.cost < PORT_RX_BYTES && (slots = packed_scan(q, &r, max - r.n))) {
		unsigned want = r.got + slots;
		if (r.have < want && r.got == r.n)
			r.have += pkt_new_bulk(pool, out + r.have, want - r.have);
		if (unlikely(!packed_fetch_all(q, &r, pool, out, slots))) {
			pkt_free_bulk(pool, out, r.have);
			return 0;
		}
	}
	pkt_free_bulk(pool, out + r.got, r.have - r.got);
	take_frames(q, pool, out, r.f, r.got);
	q->last_avail = r.p.at;
	q->avail_wrap = r.p.wrap;
	q->n_held = (uint16_t)r.n;
	*ret_no_buffer += r.n - r.got;
	return r.got;
}

void packed_done(struct vring *q)
{
	unsigned n = q->n_held;

	q->n_held = 0;
	if (q->in_order)
		packed_publish(q, n, true);
	else
		packed_publish(q, n, false);
	packed_call(q);
}

/* ---- enqueue ---- */

/* An enqueue under way. */
struct packed_tx {
	struct tx_run run;
	struct place p;
	unsigned n; /* of the scratch's held */
};

/* The next buffer, when there is one. */
INLINE bool packed_next(const struct vring *q, struct place p, struct vring_buf *ret_d)
{
	uint64_t w = word_at(q, p.at);

	if (unlikely(!is_available(word_flags(w), p.wrap)))
		return false;
	*ret_d = desc_at(q, p.at, w);
	return true;
}

/* As split_reserve_pieces(). */
static enum drop_reason packed_reserve_pieces(struct vring *q, struct packed_tx *t,
					      struct tx_frame *f, struct vring_buf d)
{
	struct vring_held *h = q->scratch->held;
	struct place p = t->p;
	uint32_t left = f->len;
	unsigned n = t->n;

	f->iov = t->run.n_iov;
	for (;;) {
		if (n == HELD_MAX) {
			t->run.spilled = true;
			return DROP_TX_FULL;
		}
		struct chain c = tx_chain(q, &t->run, f, left);
		if (!packed_walk(q, &c, p, d, &h[n]))
			return DROP_TX_GONE;
		enum drop_reason why = tx_walked(q, &t->run, f, &c);
		if (why != DROP_NONE)
			return why;
		h[n].len = (uint32_t)c.total;
		advance(q, &p, h[n++].slots);
		left -= (uint32_t)c.total;
		if (!left)
			break;
		if (!q->mergeable)
			return DROP_TX_OVERSIZE;
		if (!packed_next(q, p, &d))
			return DROP_TX_FULL;
	}
	t->run.n_iov += f->n_iov;
	t->p = p;
	t->n = n;
	return DROP_NONE;
}

/* First pass over one frame for the driver. */
INLINE enum drop_reason packed_reserve(struct vring *q, struct packed_tx *t,
				       const struct pkt_out *o, struct tx_frame *f)
{
	enum drop_reason why = tx_start(q, o, f);
	struct vring_buf d;

	if (unlikely(why != DROP_NONE))
		return why;
	if (unlikely(f->len >= t->run.too_long || !packed_next(q, t->p, &d)))
		return DROP_TX_FULL;
	if (likely((d.flags & (DESC_WRITE | DESC_INDIRECT | DESC_NEXT)) == DESC_WRITE &&
		   d.len >= f->len && t->n < HELD_MAX && tx_piece(q, f, &d))) {
		if (!id_ok(q, d.next))
			return DROP_TX_GONE;
		q->scratch->held[t->n++] =
			(struct vring_held){.len = f->len, .id = d.next, .slots = 1};
		advance(q, &t->p, 1);
		return DROP_NONE;
	}
	return packed_reserve_pieces(q, t, f, d);
}

void packed_enqueue(struct vring *q, struct pkt_out *v, unsigned n)
{
	struct tx_frame f[PKT_BURST];
	struct packed_tx t = {.run.too_long = UINT32_MAX, .p = avail_place(q)};
	bool published = false;

	/* about as many descriptors will be read, and written over */
	for (unsigned i = 0; i < n && t.p.at + i < q->size; i += LINE / DESC_SIZE)
		prefetch_write(q->desc + (t.p.at + i) * DESC_SIZE);
	for (unsigned at = 0, i; at < n; at += i) {
		t.run.n_iov = t.n = 0;
		for (i = 0; i < n - at; i++) {
			enum drop_reason why = packed_reserve(q, &t, &v[at + i], &f[i]);
			if (unlikely(why != DROP_NONE) &&
			    tx_refused(q, &t.run, &v[at + i], &f[i], i, why))
				break;
		}
		if (unlikely(q->fault)) {
			for (i = at; i < n; i++)
				v[i].drop = DROP_TX_GONE;
			return;
		}
		if (!t.n)
			continue;
		put_frames(q, v + at, f, i);
		packed_publish(q, t.n, false);
		published = true;
	}
	q->last_avail = t.p.at;
	q->avail_wrap = t.p.wrap;
	if (published)
		packed_call(q);
}

/* ---- notifications, start and stop ---- */

void packed_disarm(struct vring *q)
{
	q->armed = false;
	store32(q->used, EVENT_DISABLE << 16);
}

/* The proof of split_arm() holds with other words: D1 makes the flags of a buffer's first
 * descriptor available, D3 reads our event structure, which is one word so that it is never half of
 * another; A1 writes it, A3 reads the flags at last_avail.  With DESC the wish is that very place
 * and lap, and the driver kicks when its batch makes it available (2.8.10), which is
 * when A3 saw nothing there.  Buffers are made available in order, so nothing can wait behind a
 * place that is empty. */
bool packed_arm(struct vring *q)
{
	uint32_t wish = EVENT_ENABLE << 16;

	if (q->event_idx)
		wish = EVENT_DESC << 16 | (q->avail_wrap ? EVENT_WRAP : 0) | q->last_avail;
	store32(q->used, wish);
	q->armed = true;
	full_fence();
	if (!is_available(word_flags(word_at(q, q->last_avail)), q->avail_wrap))
		return false;
	packed_disarm(q);
	return true;
}

/* Base, as in SET_VRING_BASE: available place and wrap in the low half, used in the high.  The high
 * half is not believed: DPDK's virtio-user leaves it zero, and whoever stopped with buffers given
 * back, as GET_VRING_BASE demands, has both the same. */
void packed_start(struct vring *q, uint32_t base)
{
	q->last_avail = q->last_used = base & EVENT_OFF;
	q->avail_wrap = q->used_wrap = base & EVENT_WRAP;
	if (q->inflight)
		inflight_start(q);
	packed_disarm(q);
}

uint32_t packed_stop(struct vring *q)
{
	uint32_t half = q->last_used | (q->used_wrap ? EVENT_WRAP : 0); /* held frames come again */

	q->n_held = 0;
	return half << 16 | half;
}
