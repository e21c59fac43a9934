/* The one reader of the system's clocks. */
#include "net/clock.h"

#include <stdatomic.h>
#include <time.h>

static _Atomic nsec_t offset;

static nsec_t read_clock(clockid_t id)
{
	struct timespec t;
	clock_gettime(id, &t);
	return (nsec_t)t.tv_sec * NSEC_PER_SEC + (nsec_t)t.tv_nsec;
}

nsec_t clock_now(void)
{
	return read_clock(CLOCK_MONOTONIC) + atomic_load_explicit(&offset, memory_order_relaxed);
}

nsec_t clock_now_coarse(void)
{
	return read_clock(CLOCK_MONOTONIC_COARSE) +
	       atomic_load_explicit(&offset, memory_order_relaxed);
}

void clock_advance(nsec_t by)
{
	atomic_fetch_add_explicit(&offset, by, memory_order_relaxed);
}

int64_t clock_wall(void)
{
	nsec_t moved = atomic_load_explicit(&offset, memory_order_relaxed);
	return (int64_t)((read_clock(CLOCK_REALTIME) + moved) / NSEC_PER_SEC);
}
