/* The clock: CLOCK_MONOTONIC plus an offset that only --test-clock moves.
 *
 * Only the loops read it; everything below gets `now` as an argument.  Any thread. */
#ifndef NET_CLOCK_H
#define NET_CLOCK_H

#include "net/types.h"

nsec_t clock_now(void);
/* Coarse: a tick old at most (4 ms), a tenth of the cost; for packet paths. */
nsec_t clock_now_coarse(void);
/* Moves the clock forward for good (tests only). */
void clock_advance(nsec_t by);
/* Wall clock in whole seconds, moved by clock_advance() too: for expiry dates that
 * survive a restart. */
int64_t clock_wall(void);

#endif
