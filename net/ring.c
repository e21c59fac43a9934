/* The ring of ring.h: how workers, main and the services hand packets to each other. */
#include "net/ring.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

int ring_init(struct ring *r, uint32_t size)
{
	if (!size || size & (size - 1))
		return -EINVAL;
	void **slot = calloc(size, sizeof(*slot));
	if (!slot)
		return -ENOMEM;
	int efd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (efd < 0) {
		int e = errno;
		free(slot);
		return -e;
	}
	*r = (struct ring){.slot = slot, .mask = size - 1, .efd = efd};
	return 0;
}

void ring_fini(struct ring *r)
{
	if (!r->slot)
		return;
	free(r->slot);
	close(r->efd);
	r->slot = NULL;
	r->efd = -1;
}

/* The thread sanitizer does not model fences, and gcc says so.  It loses nothing here:
 * what the fences order is atomic, and the data is handed over by head and tail. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wtsan"
#endif
static inline void full_fence(void)
{
	atomic_thread_fence(memory_order_seq_cst);
}

bool ring_put(struct ring *r, void *p)
{
	uint32_t h = atomic_load_explicit(&r->head, memory_order_relaxed);
	if (h - r->tail_seen > r->mask) {
		r->tail_seen = atomic_load_explicit(&r->tail, memory_order_acquire);
		if (h - r->tail_seen > r->mask)
			return false;
	}
	r->slot[h & r->mask] = p;
	atomic_store_explicit(&r->head, h + 1, memory_order_release);
	return true;
}

void ring_kick(struct ring *r)
{
	full_fence();
	/* Look before the exchange: the line is the consumer's, and usually false. */
	if (!atomic_load_explicit(&r->sleeping, memory_order_relaxed))
		return;
	if (!atomic_exchange(&r->sleeping, false))
		return;
	uint64_t one = 1;
	while (write(r->efd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

void *ring_get(struct ring *r)
{
	uint32_t t = atomic_load_explicit(&r->tail, memory_order_relaxed);
	if (t == r->head_seen) {
		r->head_seen = atomic_load_explicit(&r->head, memory_order_acquire);
		if (t == r->head_seen)
			return NULL;
	}
	void *p = r->slot[t & r->mask];
	atomic_store_explicit(&r->tail, t + 1, memory_order_release);
	return p;
}

bool ring_empty(struct ring *r)
{
	return atomic_load_explicit(&r->tail, memory_order_relaxed) ==
	       atomic_load_explicit(&r->head, memory_order_acquire);
}

/* Takes the announcement back.  When the producer took it first, its kick is on the
 * way, perhaps not written yet: owed counts it so that no other wake pays a read(). */
static void withdraw(struct ring *r)
{
	if (r->announced && !atomic_exchange(&r->sleeping, false))
		r->owed++;
	r->announced = false;
}

bool ring_sleep(struct ring *r)
{
	r->announced = true;
	atomic_store_explicit(&r->sleeping, true, memory_order_relaxed);
	full_fence();
	if (ring_empty(r))
		return true;
	withdraw(r);
	return false;
}

void ring_awake(struct ring *r)
{
	withdraw(r);
	if (!r->owed)
		return;
	uint64_t kicks;
	if (read(r->efd, &kicks, sizeof(kicks)) == (ssize_t)sizeof(kicks))
		r->owed -= (uint32_t)kicks;
}
