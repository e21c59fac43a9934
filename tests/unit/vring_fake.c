/* A ring without descriptors, for tests of what leads to it: it wants its memory to be there
 * and remembers its base.  A test makes it faulty by setting q->fault. */
#include <errno.h>

#include "tap/vring.h"

const char *vring_fault_text(enum vring_fault f)
{
	static const char *const text[VRING_FAULT_COUNT] = {
#define X(id, t) [VRING_FAULT_##id] = t,
		VRING_FAULTS(X)
#undef X
	};
	return text[f];
}

int vring_start(struct vring *q, const struct vhost_mem *mem, const struct vring_conf *conf,
		const char **ret_why)
{
	uint64_t gpa;

	*q = (struct vring){.mem = mem, .size = conf->size, .call_fd = conf->call_fd,
			    .features = conf->features, .inflight = conf->inflight,
			    .last_avail = (uint16_t)conf->base, .log_used = conf->log_used};
	q->desc = vhost_uva(mem, conf->desc, 16u * conf->size, &gpa);
	q->avail = vhost_uva(mem, conf->avail, 6u + 2u * conf->size, &gpa);
	q->used = vhost_uva(mem, conf->used, 6u + 8u * conf->size, &gpa);
	if (q->desc && q->avail && q->used) {
		q->signalled = *(volatile uint8_t *)q->used;
		return 0;
	}
	*ret_why = "a ring outside guest memory";
	return -EFAULT;
}

uint32_t vring_stop(struct vring *q)
{
	q->mem = NULL;
	return q->last_avail;
}

/* Reads the word that an available index would be, and writes to the files beside the memory, so
 * that what is gone is met. */
unsigned vring_dequeue(struct vring *q, struct pkt_pool *pool, struct pkt **out, unsigned max,
		       unsigned *ret_no_buffer)
{
	q->signalled = *(volatile uint8_t *)q->avail;
	if (q->inflight)
		*(volatile uint8_t *)q->inflight = 1;
	if (q->mem->log)
		atomic_fetch_or(&q->mem->log->bits[0], 1);
	return 0;
}

void vring_let_go(struct vring *q)
{
	q->behind = false;
}

void vring_dequeue_done(struct vring *q)
{
}

void vring_enqueue(struct vring *q, struct pkt_out *v, unsigned n)
{
	q->last_avail = (uint16_t)(q->last_avail + n);
}

bool vring_arm(struct vring *q)
{
	q->armed = true;
	return false;
}

void vring_disarm(struct vring *q)
{
	q->armed = false;
}
