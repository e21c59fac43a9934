/* A ring of pointers from one thread to one other (single producer, single consumer).
 *
 * Fixed size, a power of two.  ring_put() fails when full, and the caller counts it.
 * The consumer sleeps on an eventfd: the producer kicks it only when the consumer
 * has said it is about to sleep, so that a busy pair makes no syscalls.
 *
 * Sleeping with an entry waiting is impossible: the consumer stores `sleeping`,
 * fences, and looks at the ring once more before it sleeps; the producer stores the
 * entry, fences, and then reads `sleeping`.  With both fences sequentially
 * consistent at least one of the two sees the other's store. */
#ifndef NET_RING_H
#define NET_RING_H

#include <stdatomic.h>

#include "net/types.h"

struct ring {
	_Alignas(64) _Atomic uint32_t head; /* next to fill; producer writes */
	uint32_t tail_seen;                 /* producer's copy of tail */
	_Alignas(64) _Atomic uint32_t tail; /* next to take; consumer writes */
	uint32_t head_seen;                 /* consumer's copy of head */
	uint32_t owed;                      /* kicks the consumer knows of and has not read */
	bool announced;                     /* consumer: ring_sleep() said true */
	_Atomic bool sleeping;
	_Alignas(64) void **slot;
	uint32_t mask;
	int efd; /* readable when kicked */
};

/* size: a power of two (-EINVAL otherwise).  0 or -errno. */
int ring_init(struct ring *r, uint32_t size);
void ring_fini(struct ring *r); /* entries left are the caller's loss: drain first */
/* Producer. */
bool ring_put(struct ring *r, void *p);
void ring_kick(struct ring *r); /* after a batch of puts */
/* Consumer. */
void *ring_get(struct ring *r); /* NULL when empty */
bool ring_empty(struct ring *r);
/* Announces sleep; false when an entry came meanwhile and the consumer must go on. */
bool ring_sleep(struct ring *r);
void ring_awake(struct ring *r); /* after waking: clears the eventfd and the announcement */

#endif
