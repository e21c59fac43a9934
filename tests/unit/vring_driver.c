/* The driver of vring_driver.h.  Section numbers are virtio 1.2's. */
#include "tests/unit/vring_driver.h"

#include <errno.h>
#include <stdatomic.h>
#include <unistd.h>

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wtsan" /* see net/ring.c */
#endif

#define AVAIL 0x80
#define USED  0x8000

static bool has(const struct driver *d, unsigned bit)
{
	return d->features >> bit & 1;
}

void driver_init(struct driver *d, struct guest *g, uint64_t at, uint16_t size, uint64_t features)
{
	*d = (struct driver){.g = g, .size = size, .features = features, .free = size};
	d->packed = has(d, VRING_F_RING_PACKED);
	d->event_idx = has(d, VRING_F_EVENT_IDX);
	d->in_order = has(d, VRING_F_IN_ORDER);
	d->call_fd = d->kick_fd = -1;
	d->wrap = d->used_wrap = true;
	d->desc = at;
	d->avail = at + 16ull * size;
	d->used = (d->avail + (d->packed ? 4 : 6 + 2ull * size) + 63) & ~63ull;
	d->d = guest_at(g, d->desc);
	d->a = guest_at(g, d->avail);
	d->u = guest_at(g, d->used);
	for (uint64_t i = 0; i < d->used - d->desc + 6 + 8ull * size; i += 2)
		drv_w16(d->d + i, 0);
	d->n_desc = calloc(65536, sizeof(*d->n_desc));
	d->fifo = calloc(65536, sizeof(*d->fifo));
}

void driver_fini(struct driver *d)
{
	free(d->n_desc);
	free(d->fifo);
}

struct vring_conf driver_conf(const struct driver *d)
{
	return (struct vring_conf){
		.size = d->size,
		.desc = d->desc + GUEST_UVA,
		.avail = d->avail + GUEST_UVA,
		.used = d->used + GUEST_UVA,
		.base = d->packed ? 0x80008000u : 0,
		.features = d->features,
		.call_fd = d->call_fd,
	};
}

static void fill_table(struct driver *d, const struct sg *v, unsigned n, uint16_t flags,
		       uint64_t table)
{
	for (unsigned i = 0; i < n; i++)
		drv_desc(guest_at(d->g, table + 16ull * i), v[i].gpa, v[i].len,
			 flags | (i + 1 < n && !d->packed ? D_NEXT : 0), (uint16_t)(i + 1),
			 d->packed);
}

static void add_split(struct driver *d, const struct sg *v, unsigned n, uint16_t flags)
{
	uint16_t head = d->next, at = head;

	for (unsigned i = 0; i < n; i++) {
		uint16_t next = (uint16_t)((at + 1) % d->size);
		drv_desc(d->d + 16 * at, v[i].gpa, v[i].len, flags | (i + 1 < n ? D_NEXT : 0), next,
			 false);
		at = next;
	}
	d->next = at;
	d->n_desc[head] = (uint16_t)n;
	d->fifo[d->fifo_tail++] = head;
	drv_w16(d->a + 4 + 2 * (d->idx % d->size), head);
	d->idx++;
}

/* 2.8.6: the first descriptor's flags are written last. */
static void add_packed(struct driver *d, const struct sg *v, unsigned n, uint16_t flags)
{
	uint16_t id = d->idx, at = d->idx, first_flags = 0;
	bool wrap = d->wrap;

	for (unsigned i = 0; i < n; i++) {
		uint16_t f = flags | (i + 1 < n ? D_NEXT : 0) | (wrap ? AVAIL : USED);
		drv_w64(d->d + 16 * at, v[i].gpa);
		__atomic_store_n((uint32_t *)(void *)(d->d + 16 * at + 8), v[i].len,
				 __ATOMIC_RELAXED);
		drv_w16(d->d + 16 * at + 12, id);
		if (i)
			drv_w16(d->d + 16 * at + 14, f);
		else
			first_flags = f;
		if (++at == d->size)
			at = 0, wrap = !wrap;
	}
	__atomic_store_n((uint16_t *)(void *)(d->d + 16 * d->idx + 14), first_flags,
			 __ATOMIC_RELEASE);
	d->n_desc[id] = (uint16_t)n;
	d->fifo[d->fifo_tail++] = id;
	d->idx = at;
	d->wrap = wrap;
	d->added += (uint16_t)n;
}

bool driver_add(struct driver *d, const struct sg *v, unsigned n, bool write, uint64_t table)
{
	struct sg one = {table, 16 * n};
	uint16_t flags = write ? D_WRITE : 0;

	if (table) {
		fill_table(d, v, n, flags, table);
		v = &one;
		n = 1;
		flags = D_INDIRECT;
	}
	if (n > d->free)
		return false;
	d->free -= (uint16_t)n;
	if (d->packed)
		add_packed(d, v, n, flags);
	else
		add_split(d, v, n, flags);
	return true;
}

void driver_publish(struct driver *d)
{
	if (!d->packed)
		__atomic_store_n((uint16_t *)(void *)(d->a + 2), d->idx, __ATOMIC_RELEASE);
}

/* 2.7.7.2 */
static bool need_event(uint16_t event, uint16_t now, uint16_t old)
{
	return (uint16_t)(now - event - 1) < (uint16_t)(now - old);
}

static bool must_kick_packed(struct driver *d)
{
	uint32_t w = __atomic_load_n((uint32_t *)(void *)d->u, __ATOMIC_RELAXED);
	uint16_t off = w & 0x7fff, flags = w >> 16 & 3, now = d->idx, old = now - d->added;
	bool wrap = w >> 15 & 1;

	d->added = 0;
	if (flags != 2 || !d->event_idx)
		return flags != 1;
	if (wrap != d->wrap)
		off -= d->size;
	return need_event(off, now, old);
}

bool driver_must_kick(struct driver *d)
{
	uint16_t old = d->kicked;

	atomic_thread_fence(memory_order_seq_cst);
	if (d->packed)
		return must_kick_packed(d);
	d->kicked = d->idx;
	if (d->event_idx)
		return need_event(drv_r16(d->u + 4 + 8 * d->size), d->idx, old);
	return !(drv_r16(d->u) & 1);
}

void driver_kick(struct driver *d)
{
	const uint64_t one = 1;

	driver_publish(d);
	if (driver_must_kick(d))
		while (write(d->kick_fd, &one, sizeof(one)) < 0 && errno == EINTR)
			;
}

static bool used_split(struct driver *d, uint16_t *ret_id, uint32_t *ret_len)
{
	if (drv_r16(d->u + 2) == d->last_used)
		return false;
	const uint32_t *e =
		(const uint32_t *)(const void *)(d->u + 4 + 8 * (d->last_used % d->size));
	*ret_id = (uint16_t)e[0];
	*ret_len = e[1];
	return true;
}

static bool used_packed(struct driver *d, uint16_t *ret_id, uint32_t *ret_len)
{
	const uint8_t *at = d->d + 16 * d->last_used;
	uint16_t f = drv_r16(at + 14);

	if (!!(f & AVAIL) != d->used_wrap || !!(f & USED) != d->used_wrap)
		return false;
	*ret_id = drv_r16(at + 12);
	*ret_len = __atomic_load_n((const uint32_t *)(const void *)(at + 8), __ATOMIC_RELAXED);
	return true;
}

bool driver_used(struct driver *d, uint16_t *ret_id, uint32_t *ret_len)
{
	if (!d->in_batch) {
		if (!(d->packed ? used_packed(d, ret_id, ret_len) : used_split(d, ret_id, ret_len)))
			return false;
		d->batch_id = *ret_id;
		d->batch_len = *ret_len;
	}
	if (d->in_order) { /* 2.7.9, 2.8.9: one entry may stand for many */
		*ret_id = d->fifo[d->fifo_head];
		d->in_batch = *ret_id != d->batch_id;
		*ret_len = d->batch_len;
	}
	d->fifo_head++;
	uint16_t n = d->n_desc[*ret_id];
	d->free += n;
	if (!d->packed) {
		d->last_used++;
	} else if ((d->last_used += n) >= d->size) {
		d->last_used -= d->size;
		d->used_wrap = !d->used_wrap;
	}
	return true;
}

void driver_want_calls(struct driver *d, bool want)
{
	if (d->packed) {
		uint32_t desc = d->last_used | (uint32_t)d->used_wrap << 15;
		uint32_t w = !want ? 1u << 16 : d->event_idx ? 2u << 16 | desc : 0;
		__atomic_store_n((uint32_t *)(void *)d->a, w, __ATOMIC_RELAXED);
	} else if (d->event_idx) {
		drv_w16(d->a + 4 + 2 * d->size, want ? d->last_used : d->last_used - 1);
	} else {
		drv_w16(d->a, want ? 0 : 1);
	}
	atomic_thread_fence(memory_order_seq_cst);
}
