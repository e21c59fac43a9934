/* The timer wheel of wheel.h.
 *
 * Level 0 has a slot for each of the next 64 ticks, level n one for each of the next
 * 64 spans of 64^n ticks; when level 0 comes round, the span that begins is dealt out
 * over the levels below.  A timer beyond the top level waits in its farthest slot
 * and is dealt again from there. */
#include "net/wheel.h"

#include <string.h>

#define SLOTS	  (1u << WHEEL_BITS)
#define SLOT_MASK (SLOTS - 1)
#define SPAN_MAX  ((UINT64_C(1) << (WHEEL_BITS * WHEEL_LEVELS)) - 1)

void wheel_init(struct wheel *w, nsec_t now, nsec_t tick_len)
{
	memset(w, 0, sizeof(*w));
	w->tick_len = tick_len ? tick_len : 1;
	w->now_tick = now / w->tick_len;
}

static void link_timer(struct wheel_timer **slot, struct wheel_timer *t)
{
	t->next = *slot;
	if (t->next)
		t->next->pprev = &t->next;
	t->pprev = slot;
	*slot = t;
}

static void unlink_timer(struct wheel_timer *t)
{
	*t->pprev = t->next;
	if (t->next)
		t->next->pprev = t->pprev;
	t->pprev = NULL;
}

/* now_tick has been run; `now_tick + 1` is the first that can still fire. */
static void place(struct wheel *w, struct wheel_timer *t)
{
	uint64_t next = w->now_tick + 1;
	uint64_t at = t->tick;
	if (at - next > SPAN_MAX)
		at = next + SPAN_MAX;
	unsigned level = 0;
	for (uint64_t span = (at - next) >> WHEEL_BITS; span; span >>= WHEEL_BITS)
		level++;
	link_timer(&w->slot[level][at >> (WHEEL_BITS * level) & SLOT_MASK], t);
}

void wheel_arm(struct wheel *w, struct wheel_timer *t, nsec_t at)
{
	uint64_t tick = at / w->tick_len + (at % w->tick_len != 0);
	wheel_stop(w, t);
	t->tick = tick > w->now_tick ? tick : w->now_tick + 1;
	place(w, t);
	w->armed++;
}

void wheel_stop(struct wheel *w, struct wheel_timer *t)
{
	if (!t->pprev)
		return;
	unlink_timer(t);
	w->armed--;
}

/* Deals the spans that begin with tick `next` out to the levels below. */
static void cascade(struct wheel *w, uint64_t next)
{
	for (unsigned level = 1; level < WHEEL_LEVELS; level++) {
		if (next & ((UINT64_C(1) << (WHEEL_BITS * level)) - 1))
			return;
		struct wheel_timer **slot =
			&w->slot[level][next >> (WHEEL_BITS * level) & SLOT_MASK];
		struct wheel_timer *t = *slot, *following;
		*slot = NULL;
		for (; t; t = following) {
			following = t->next;
			place(w, t);
		}
	}
}

static void run_tick(struct wheel *w, void (*due)(void *arg, struct wheel_timer *t), void *arg)
{
	/* A list of its own, so that due() may arm into this slot for the next round, and
	 * may stop timers that wait behind it. */
	struct wheel_timer *list = NULL, **slot = &w->slot[0][w->now_tick & SLOT_MASK];
	if (!*slot)
		return;
	list = *slot;
	list->pprev = &list;
	*slot = NULL;
	while (list) {
		struct wheel_timer *t = list;
		unlink_timer(t);
		w->armed--;
		due(arg, t);
	}
}

void wheel_advance(struct wheel *w, nsec_t now, void (*due)(void *arg, struct wheel_timer *t),
		   void *arg)
{
	uint64_t target = now / w->tick_len;
	while (w->now_tick < target) {
		if (!w->armed) {
			w->now_tick = target;
			return;
		}
		cascade(w, w->now_tick + 1);
		w->now_tick++;
		run_tick(w, due, arg);
	}
}
