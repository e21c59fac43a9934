/* The driver's side of split and packed virtqueues, of frontend.h. */
#include "tests/vhost/frontend.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define LOAD(p)	      __atomic_load_n(&(p), __ATOMIC_ACQUIRE)
#define STORE(p, v)   __atomic_store_n(&(p), (v), __ATOMIC_RELEASE)
#define SILENT_AHEAD  0x8000 /* an event index this far ahead asks for nothing */
#define PACKED_AVAIL  (1u << VRING_PACKED_DESC_F_AVAIL)
#define PACKED_USED   (1u << VRING_PACKED_DESC_F_USED)
#define PACKED_WRAP   (1u << VRING_PACKED_EVENT_F_WRAP_CTR)
#define PACKED_OFFSET (PACKED_WRAP - 1u)

/* ---- memory and indexes ---- */

static uint16_t *used_event(const struct fe_ring *r)
{
	return &r->avail->ring[r->size];
}
static uint16_t *avail_event(const struct fe_ring *r)
{
	return (uint16_t *)&r->used->ring[r->size];
}

/* Every part on a page of its own: a dirty page then tells which part was written. */
static int layout_split(struct fe *fe, struct fe_ring *r)
{
	r->desc = fe_alloc(fe, 0, 16ul * r->size, FE_PAGE, &r->desc_gpa);
	r->avail = fe_alloc(fe, 0, 6 + 2ul * r->size, FE_PAGE, &r->avail_gpa);
	r->used = fe_alloc(fe, 0, 6 + 8ul * r->size, FE_PAGE, &r->used_gpa);
	return r->desc && r->avail && r->used ? 0 : -ENOMEM;
}

static int layout_packed(struct fe *fe, struct fe_ring *r)
{
	r->pdesc = fe_alloc(fe, 0, 16ul * r->size, FE_PAGE, &r->desc_gpa);
	r->driver = fe_alloc(fe, 0, 4, FE_PAGE, &r->avail_gpa);
	r->device = fe_alloc(fe, 0, 4, FE_PAGE, &r->used_gpa);
	return r->pdesc && r->driver && r->device ? 0 : -ENOMEM;
}

int fe_ring_layout(struct fe *fe, struct fe_ring *r, unsigned index)
{
	int err;

	r->index = index;
	r->size = fe->cfg.size;
	r->packed = fe->features & FE_BIT(VIRTIO_F_RING_PACKED);
	err = r->packed ? layout_packed(fe, r) : layout_split(fe, r);
	r->table = fe_alloc(fe, 0, 16ul * FE_TABLE * r->size, FE_PAGE, &r->table_gpa);
	r->slot = calloc(r->size, sizeof(*r->slot));
	r->fifo = calloc(r->size, sizeof(*r->fifo));
	r->kick = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	r->call = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	r->err = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (err || !r->table || !r->slot || !r->fifo || r->err < 0)
		return -ENOMEM;
	fe_ring_restart(fe, r);
	return 0;
}

static void zero_shared(struct fe_ring *r)
{
	if (r->packed) {
		memset(r->pdesc, 0, 16ul * r->size);
		memset(r->driver, 0, 4);
		memset(r->device, 0, 4);
		return;
	}
	memset(r->desc, 0, 16ul * r->size);
	memset(r->avail, 0, 6 + 2ul * r->size);
	memset(r->used, 0, 6 + 8ul * r->size);
}

void fe_ring_restart(struct fe *fe, struct fe_ring *r)
{
	r->event_idx = fe->features & FE_BIT(VIRTIO_RING_F_EVENT_IDX);
	r->in_order = fe->features & FE_BIT(VIRTIO_F_IN_ORDER);
	zero_shared(r);
	for (unsigned i = 0; i < r->size; i++)
		r->slot[i] = (struct fe_slot){.next = (uint16_t)(i + 1)};
	r->free = r->heads = r->size;
	r->batch = -1;
	r->free_head = 0;
	r->free_tail = (uint16_t)(r->size - 1);
	r->fifo_in = r->fifo_out = 0;
	r->avail_idx = r->used_idx = r->kicked = 0;
	r->since_kick = 0;
	r->avail_wrap = r->used_wrap = true;
}

static void close_fd(int *fd)
{
	if (*fd > 0)
		close(*fd);
	*fd = -1;
}

void fe_ring_free(struct fe_ring *r)
{
	free(r->slot);
	free(r->fifo);
	close_fd(&r->kick);
	close_fd(&r->call);
	close_fd(&r->err);
	memset(r, 0, sizeof(*r));
}

/* ---- heads: taken and given back first in, first out, as an in-order device needs ---- */

static uint16_t head_take(struct fe_ring *r)
{
	uint16_t id = r->free_head;

	r->free_head = r->slot[id].next;
	r->heads--;
	r->free--;
	return id;
}

static void head_give(struct fe_ring *r, uint16_t id)
{
	r->slot[id].busy = false;
	r->free++;
	if (r->heads++ == 0)
		r->free_head = id;
	else
		r->slot[r->free_tail].next = id;
	r->free_tail = id;
}

static void head_note(struct fe_ring *r, uint16_t head, unsigned descs, uint32_t token)
{
	r->slot[head].token = token;
	r->slot[head].descs = (uint16_t)descs;
	r->slot[head].busy = true;
	r->fifo[r->fifo_in] = head;
	r->fifo_in = (uint16_t)((r->fifo_in + 1) % r->size);
	r->since_kick++;
}

/* ---- making buffers available ---- */

static uint64_t table_at(const struct fe_ring *r, uint16_t head)
{
	return r->table_gpa + 16ull * FE_TABLE * head;
}

static void split_desc(struct vring_desc *d, const struct fe_seg *s, bool more, uint16_t next)
{
	d->addr = s->gpa;
	d->len = s->len;
	d->flags = (s->write ? VRING_DESC_F_WRITE : 0) | (more ? VRING_DESC_F_NEXT : 0);
	d->next = next;
}

static uint16_t split_indirect(struct fe_ring *r, const struct fe_seg *seg, unsigned n)
{
	uint16_t head = head_take(r);
	struct vring_desc *t = (struct vring_desc *)r->table + FE_TABLE * head;

	for (unsigned i = 0; i < n; i++)
		split_desc(&t[i], &seg[i], i + 1 < n, (uint16_t)(i + 1));
	r->desc[head] = (struct vring_desc){table_at(r, head), 16 * n, VRING_DESC_F_INDIRECT, 0};
	return head;
}

static uint16_t split_chain(struct fe_ring *r, const struct fe_seg *seg, unsigned n)
{
	uint16_t head = r->free_head;

	for (unsigned i = 0; i < n; i++) {
		uint16_t id = head_take(r); /* the next of the list is the next of the chain */

		split_desc(&r->desc[id], &seg[i], i + 1 < n, i + 1 < n ? r->free_head : 0);
	}
	return head;
}

static void split_add(struct fe_ring *r, const struct fe_seg *seg, unsigned n, uint32_t token,
		      bool indirect)
{
	uint16_t head = indirect ? split_indirect(r, seg, n) : split_chain(r, seg, n);

	head_note(r, head, indirect ? 1 : n, token);
	r->avail->ring[r->avail_idx++ % r->size] = head;
}

static uint16_t packed_flags(const struct fe_ring *r, unsigned flags)
{
	return (uint16_t)(flags | (r->avail_wrap ? PACKED_AVAIL : PACKED_USED));
}

/* One descriptor behind the last; the flags of a chain's first are stored when all are written. */
static void packed_put(struct fe_ring *r, struct vring_packed_desc d, bool first,
		       uint16_t *ret_flags)
{
	struct vring_packed_desc *to = &r->pdesc[r->avail_idx];
	uint16_t flags = packed_flags(r, d.flags);

	to->addr = d.addr;
	to->len = d.len;
	to->id = d.id;
	if (first)
		*ret_flags = flags;
	else
		to->flags = flags;
	if (++r->avail_idx == r->size) {
		r->avail_idx = 0;
		r->avail_wrap = !r->avail_wrap;
	}
}

static void packed_table(struct fe_ring *r, uint16_t id, const struct fe_seg *seg, unsigned n)
{
	struct vring_packed_desc *t = (struct vring_packed_desc *)r->table + FE_TABLE * id;

	for (unsigned i = 0; i < n; i++)
		t[i] = (struct vring_packed_desc){seg[i].gpa, seg[i].len, 0,
						  seg[i].write ? VRING_DESC_F_WRITE : 0};
}

static void packed_add(struct fe_ring *r, const struct fe_seg *seg, unsigned n, uint32_t token,
		       bool indirect)
{
	uint16_t id = head_take(r), first = r->avail_idx, flags = 0;

	if (indirect) {
		packed_table(r, id, seg, n);
		packed_put(r,
			   (struct vring_packed_desc){table_at(r, id), 16 * n, id,
						      VRING_DESC_F_INDIRECT},
			   true, &flags);
	} else {
		r->free -= n - 1; /* places in the ring; ids are plenty then */
		for (unsigned i = 0; i < n; i++)
			packed_put(r,
				   (struct vring_packed_desc){
					   seg[i].gpa, seg[i].len, id,
					   (seg[i].write ? VRING_DESC_F_WRITE : 0) |
						   (i + 1 < n ? VRING_DESC_F_NEXT : 0)},
				   i == 0, &flags);
	}
	head_note(r, id, indirect ? 1 : n, token);
	STORE(r->pdesc[first].flags, flags);
}

int fe_ring_add(struct fe_ring *r, const struct fe_seg *seg, unsigned n, uint32_t token,
		bool indirect)
{
	indirect = indirect && n > 1 && n <= FE_TABLE;
	if (n == 0 || r->free < (indirect ? 1 : n))
		return -ENOSPC;
	if (r->packed)
		packed_add(r, seg, n, token, indirect);
	else
		split_add(r, seg, n, token, indirect);
	return 0;
}

void fe_ring_publish(struct fe_ring *r)
{
	if (!r->packed) /* a packed chain is published by its first flags */
		STORE(r->avail->idx, r->avail_idx);
}

/* ---- notifications ---- */

static bool passed(uint16_t event, uint16_t now, uint16_t before)
{
	return (uint16_t)(now - event - 1) < (uint16_t)(now - before);
}

static bool split_wants(struct fe_ring *r)
{
	uint16_t before = r->kicked;

	r->kicked = r->avail_idx;
	if (r->event_idx)
		return passed(LOAD(*avail_event(r)), r->avail_idx, before);
	return !(LOAD(r->used->flags) & VRING_USED_F_NO_NOTIFY);
}

static bool packed_wants(struct fe_ring *r)
{
	uint32_t word = LOAD(*(uint32_t *)(void *)r->device);
	uint16_t off_wrap = (uint16_t)word, flags = (uint16_t)(word >> 16), event,
		 before = r->kicked;

	/* places made available since the last kick; the ring may have wrapped meanwhile */
	r->kicked = r->avail_idx;
	if (before >= r->avail_idx)
		before = (uint16_t)(before - r->size);
	if (flags != VRING_PACKED_EVENT_FLAG_DESC)
		return flags == VRING_PACKED_EVENT_FLAG_ENABLE;
	event = off_wrap & PACKED_OFFSET;
	if (!!(off_wrap & PACKED_WRAP) != r->avail_wrap)
		event = (uint16_t)(event - r->size);
	return passed(event, r->avail_idx, before);
}

void fe_ring_kick_now(struct fe_ring *r)
{
	uint64_t one = 1;

	r->kicks++;
	if (write(r->kick, &one, sizeof(one)) < 0)
		return; /* saturated: it is readable */
}

bool fe_ring_kick(struct fe_ring *r)
{
	if (r->since_kick == 0)
		return false;
	r->since_kick = 0;
	atomic_thread_fence(memory_order_seq_cst); /* the index first, then the device's wish */
	if (!(r->packed ? packed_wants(r) : split_wants(r)))
		return false;
	fe_ring_kick_now(r);
	return true;
}

static void split_arm(struct fe_ring *r, bool on)
{
	uint16_t flags = on || r->event_idx ? 0 : VRING_AVAIL_F_NO_INTERRUPT;

	if (r->event_idx && on)
		STORE(*used_event(r), r->used_idx);
	else if (r->event_idx && (uint16_t)(*used_event(r) - r->used_idx) < SILENT_AHEAD / 2)
		STORE(*used_event(r), (uint16_t)(r->used_idx + SILENT_AHEAD));
	if (r->avail->flags != flags)
		STORE(r->avail->flags, flags);
}

static void packed_arm(struct fe_ring *r, bool on)
{
	uint16_t flags = !on		? VRING_PACKED_EVENT_FLAG_DISABLE
			 : r->event_idx ? VRING_PACKED_EVENT_FLAG_DESC
					: VRING_PACKED_EVENT_FLAG_ENABLE;

	if (on && r->event_idx)
		STORE(r->driver->off_wrap,
		      (uint16_t)(r->used_idx | (r->used_wrap ? PACKED_WRAP : 0)));
	if (r->driver->flags != flags)
		STORE(r->driver->flags, flags);
}

void fe_ring_arm(struct fe_ring *r, bool on)
{
	if (r->packed)
		packed_arm(r, on);
	else
		split_arm(r, on);
	if (on)
		atomic_thread_fence(memory_order_seq_cst); /* the wish first, then the last look */
}

/* ---- what comes back ---- */

bool fe_ring_pending(const struct fe_ring *r)
{
	uint16_t flags;

	if (!r->packed)
		return LOAD(r->used->idx) != r->used_idx;
	flags = LOAD(r->pdesc[r->used_idx].flags);
	return !!(flags & PACKED_AVAIL) == r->used_wrap && !!(flags & PACKED_USED) == r->used_wrap;
}

static void step_packed(struct fe_ring *r, unsigned descs)
{
	r->used_idx = (uint16_t)(r->used_idx + descs);
	if (r->used_idx >= r->size) {
		r->used_idx = (uint16_t)(r->used_idx - r->size);
		r->used_wrap = !r->used_wrap;
	}
}

/* A split chain is as many places in the free list as descriptors; a packed one is one id. */
static void retire(struct fe_ring *r, uint16_t head)
{
	unsigned descs = r->slot[head].descs;

	r->slot[head].busy = false;
	if (r->packed) {
		step_packed(r, descs);
		head_give(r, head);
		r->free += descs - 1;
		return;
	}
	r->used_idx++;
	for (uint16_t id = head; descs; descs--) {
		uint16_t next = r->slot[id].next;

		head_give(r, id);
		id = next;
	}
}

/* Descriptors of the chains that the element at place `at` gives back. */
static unsigned packed_span(const struct fe_ring *r, uint16_t at, uint16_t *fifo)
{
	uint16_t id = LOAD(r->pdesc[at].id), head;
	unsigned n = 0;

	if (id >= r->size || !r->slot[id].busy)
		return 0;
	if (!r->in_order)
		return r->slot[id].descs;
	do {
		head = r->fifo[*fifo];
		n += r->slot[head].descs;
		*fifo = (uint16_t)((*fifo + 1) % r->size);
	} while (head != id && n < r->size);
	return n;
}

/* Behind all that the device has given back, taken by fe_ring_get or not yet. */
static uint32_t packed_base(const struct fe_ring *r)
{
	struct fe_ring at = *r; /* steps ahead without taking */
	uint16_t fifo = r->fifo_out;
	unsigned n, sum = 0;
	uint32_t base;

	while (fe_ring_pending(&at) && (n = packed_span(r, at.used_idx, &fifo)) &&
	       (sum += n) <= r->size)
		step_packed(&at, n);
	base = at.used_idx | (at.used_wrap ? PACKED_WRAP : 0);
	return base | base << 16;
}

/* Where a device that has used everything it took goes on. */
uint32_t fe_ring_base(const struct fe_ring *r)
{
	return r->packed ? packed_base(r) : LOAD(r->used->idx);
}

static void read_used(const struct fe_ring *r, uint32_t *id, uint32_t *len)
{
	if (r->packed) {
		*id = LOAD(r->pdesc[r->used_idx].id);
		*len = LOAD(r->pdesc[r->used_idx].len);
	} else {
		*id = LOAD(r->used->ring[r->used_idx % r->size].id);
		*len = LOAD(r->used->ring[r->used_idx % r->size].len);
	}
}

/* An in-order device may write one element for a batch, naming its last: those before it come back
 * in their order, with a length of 0 because none was told. */
static uint16_t next_in_order(struct fe_ring *r, uint32_t *len)
{
	uint16_t head = r->fifo[r->fifo_out];

	r->fifo_out = (uint16_t)((r->fifo_out + 1) % r->size);
	if (head == r->batch)
		r->batch = -1;
	else
		*len = 0;
	return head;
}

/* 1 and a buffer, 0 when there is none, -EPROTO when the device returns what it was not given. */
int fe_ring_get(struct fe_ring *r, uint32_t *ret_token, uint32_t *ret_len)
{
	uint32_t id = (uint32_t)r->batch, len = 0;

	if (r->batch < 0) {
		if (!fe_ring_pending(r))
			return 0;
		read_used(r, &id, &len);
		if (id >= r->size || !r->slot[id].busy)
			return -EPROTO;
	}
	if (r->in_order) {
		r->batch = (int32_t)id;
		id = next_in_order(r, &len);
	}
	*ret_token = r->slot[id].token;
	*ret_len = len;
	retire(r, (uint16_t)id);
	return 1;
}
