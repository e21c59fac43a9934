/* Counters that one thread writes and any thread reads, without locks.
 *
 * A relaxed load and store, no locked add: the owner is the only writer.  A reader
 * of another thread gets a recent value, never a torn one; sums over several
 * counters are exact only when the owner is at rest (worker_call()). */
#ifndef NET_COUNTER_H
#define NET_COUNTER_H

#include <stdatomic.h>
#include <stdint.h>

typedef _Atomic uint64_t counter;

static inline void counter_add(counter *c, uint64_t n)
{
	atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n,
			      memory_order_relaxed);
}
static inline uint64_t counter_read(const counter *c)
{
	return atomic_load_explicit((counter *)(uintptr_t)c, memory_order_relaxed);
}

#endif
