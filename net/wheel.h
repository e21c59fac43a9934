/* A hierarchical timer wheel for very many coarse timers (NAT sessions, ARP).
 *
 * Resolution one tick of the caller's choice; arming, re-arming and stopping are
 * O(1); wheel_advance() costs per tick passed plus per timer due.  A timer that is
 * refreshed by every packet is not moved: store the new deadline in the object and
 * let `due` re-arm it (lazy refresh).  One thread. */
#ifndef NET_WHEEL_H
#define NET_WHEEL_H

#include "net/types.h"

#define WHEEL_BITS 6
#define WHEEL_LEVELS 4 /* 64^4 ticks */

struct wheel_timer {
	struct wheel_timer *next, **pprev; /* pprev NULL: not armed */
	uint64_t tick;
};
struct wheel {
	struct wheel_timer *slot[WHEEL_LEVELS][1 << WHEEL_BITS];
	uint64_t now_tick;
	nsec_t tick_len;
	uint32_t armed;
};
void wheel_init(struct wheel *w, nsec_t now, nsec_t tick_len);
void wheel_arm(struct wheel *w, struct wheel_timer *t, nsec_t at); /* due at the first tick >= at */
void wheel_stop(struct wheel *w, struct wheel_timer *t);           /* fine when not armed */
static inline bool wheel_armed(const struct wheel_timer *t) { return t->pprev != NULL; }
/* Calls due(arg, t) for each timer due by `now`; t is unarmed and may be re-armed or
 * freed inside. */
void wheel_advance(struct wheel *w, nsec_t now, void (*due)(void *arg, struct wheel_timer *t),
		   void *arg);

#endif
