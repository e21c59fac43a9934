/* The other side of a virtqueue for tests: a guest's memory, and a driver that does what
 * virtio 1.2 asks of one, written from the specification and not from tap/vring.c.
 *
 * Memory is three regions: two that touch in guest physical addresses and lie apart here, and
 * one above 4 GB.  vring_mem.c makes them and stands in for tap/vhost_mem.c.  Nothing here
 * allocates after driver_init(); the driver may run in a thread of its own. */
#ifndef TESTS_VRING_DRIVER_H
#define TESTS_VRING_DRIVER_H

#include <stdlib.h>
#include <string.h>

#include "tap/vring.h"

#define GUEST_A	   0x10000ull
#define GUEST_B	   (GUEST_A + GUEST_SIZE)
#define GUEST_C	   0x100000000ull
#define GUEST_SIZE (1ull << 20)
#define GUEST_UVA  0x7f0000000000ull /* uva = gpa + this */

struct guest {
	struct vhost_mem *mem;
	struct vhost_log log;
	uint8_t *va[3];
	_Atomic uint8_t *bits; /* of the log, when there is one */
};
void guest_init(struct guest *g);
void guest_log(struct guest *g); /* a dirty log over regions A and B */
bool guest_dirty(const struct guest *g, uint64_t gpa);
unsigned guest_dirty_pages(const struct guest *g);
void guest_fini(struct guest *g);
uint8_t *guest_at(const struct guest *g, uint64_t gpa); /* aborts when nowhere */

#define D_NEXT	   1
#define D_WRITE	   2
#define D_INDIRECT 4

/* One buffer of a chain. */
struct sg {
	uint64_t gpa;
	uint32_t len;
};

struct driver {
	struct guest *g;
	bool packed, event_idx, in_order;
	uint16_t size;
	uint64_t features;
	uint64_t desc, avail, used; /* gpa */
	uint8_t *d, *a, *u;
	int call_fd, kick_fd;
	/* moving */
	uint16_t idx;	 /* split: avail index, free running; packed: slot */
	uint16_t kicked; /* idx at the last kick decision */
	uint16_t added;	 /* packed: slots since then */
	uint16_t last_used;
	bool wrap, used_wrap;
	uint16_t free, next; /* descriptors; split: the next one, in turn */
	uint16_t *n_desc;    /* of the chain with this id */
	uint16_t *fifo;	     /* ids in the order they were added */
	uint16_t fifo_head, fifo_tail;
	bool in_batch; /* in order: a used entry covers up to batch_id */
	uint16_t batch_id;
	uint32_t batch_len;
};

/* A ring at `at` in region A; features without VERSION_1 are legacy ones. */
void driver_init(struct driver *d, struct guest *g, uint64_t at, uint16_t size, uint64_t features);
void driver_fini(struct driver *d);
struct vring_conf driver_conf(const struct driver *d);

static inline void drv_w64(uint8_t *p, uint64_t v)
{
	__atomic_store_n((uint64_t *)(void *)p, v, __ATOMIC_RELAXED);
}
static inline void drv_w16(uint8_t *p, uint16_t v)
{
	__atomic_store_n((uint16_t *)(void *)p, v, __ATOMIC_RELAXED);
}
static inline uint16_t drv_r16(const uint8_t *p)
{
	return __atomic_load_n((const uint16_t *)(const void *)p, __ATOMIC_ACQUIRE);
}
/* A descriptor as it stands in memory; `last` is next (split) or the id (packed). */
static inline void drv_desc(uint8_t *at, uint64_t addr, uint32_t len, uint16_t flags, uint16_t last,
			    bool packed)
{
	drv_w64(at, addr);
	drv_w64(at + 8, packed ? (uint64_t)flags << 48 | (uint64_t)last << 32 | len
			       : (uint64_t)last << 48 | (uint64_t)flags << 32 | len);
}

/* Makes a chain available to the device (not yet visible: driver_publish()).  With `table` not 0
 * it goes through an indirect table there.  false: no descriptors. */
bool driver_add(struct driver *d, const struct sg *v, unsigned n, bool write, uint64_t table);
void driver_publish(struct driver *d);
/* After publishing: whether the device wants a kick (virtio 1.2 2.7.10, 2.8.15). */
bool driver_must_kick(struct driver *d);
void driver_kick(struct driver *d); /* publishes, and writes kick_fd if it must */
/* The next used buffer. */
bool driver_used(struct driver *d, uint16_t *ret_id, uint32_t *ret_len);
/* Asks for calls: from the next used buffer on; or not at all. */
void driver_want_calls(struct driver *d, bool want);

#endif
