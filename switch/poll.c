/* When a worker polls, and when it sleeps.
 *
 * A queue whose port has the arm op (a vring) is watched by its fd while nothing comes,
 * and polled while packets flow: notifications are off then, and neither side makes a
 * system call.
 *
 *	       fd written                 nothing for a window
 *	armed ------------> polled ------------------------------> arm all: nothing waits
 *	  ^                  |  ^                                        |      |
 *	  |   idle by itself |  '-------------- something does ----------'      |
 *	  '------------------+--------------------------------------------------'
 *
 * Sleeping with a packet waiting is impossible: arm() posts the wish to be told, fences,
 * and looks again; the other side publishes, fences, and looks for the wish.  One of the two
 * sees the other (see vring_arm()).  A write to an fd that was watched all along is kept by
 * its edge-triggered watch.
 *
 * The window tunes itself as KVM's halt polling does: it grows when packets come just
 * after we went to sleep, so that it would have paid to look a little longer, and shrinks
 * when they come much later.  What comes seldom but regularly (a probe a millisecond) has
 * a rhythm: once it is known, the worker sleeps until just before the next one is due
 * and looks then, an eighth of the period at most, so that the answer takes as long as if it
 * had polled all the time at a fraction of the cost.  Kicks stay armed during such a nap.
 *
 * Worker thread. */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "net/clock.h"
#include "switch/internal.h"

#define USEC		((nsec_t)1000)
#define WINDOW_MIN	(5 * USEC)
#define WINDOW_FIRST	(20 * USEC)
#define WINDOW_MAX	(50 * USEC)
#define RUN_ROUNDS	64u	     /* rounds before others are asked (epoll, ticks) */
#define RUN_MOST	(20 * USEC)  /* or so long of them, when they are empty */
#define QUEUE_IDLE	20000u	     /* empty rounds after which one queue is armed among busy ones */
#define PERIOD_MIN	(200 * USEC) /* rhythms worth a nap */
#define PERIOD_MAX	(4000 * USEC)
#define STEADY		4u /* periods alike before it is believed */
#define QUEUES_MAX	((size_t)SW_PORTS_MAX * PORT_QUEUES_MAX)

int poll_init(struct poller *p)
{
	p->window = WINDOW_FIRST;
	p->q = mmap(NULL, QUEUES_MAX * sizeof(*p->q), PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p->q == MAP_FAILED) {
		p->q = NULL;
		return -errno;
	}
	return 0;
}

void poll_fini(struct poller *p)
{
	if (p->q)
		munmap(p->q, QUEUES_MAX * sizeof(*p->q));
}

/* Polled queues are the first n of q[]; behind them up to `last` stand those that were armed
 * when it last went quiet, which a nap looks at. */
static void put_at(struct poller *p, unsigned i, struct rxq *q)
{
	p->q[i] = q;
	q->polled = i + 1;
}

void poll_add(struct worker *w, struct rxq *q)
{
	struct poller *p = &w->poll;
	unsigned at;

	if (q->polled && q->polled <= p->n)
		return;
	q->port->ops->disarm(q->port, q->idx, w);
	q->dry = 0;
	at = q->polled ? q->polled - 1 : p->last++;
	if (p->n != at)
		put_at(p, at, p->q[p->n]);
	put_at(p, p->n++, q);
}

void poll_del(struct worker *w, struct rxq *q)
{
	struct poller *p = &w->poll;
	unsigned at = q->polled;

	if (!at--)
		return;
	if (at < p->n) { /* the last polled one takes its place */
		put_at(p, at, p->q[--p->n]);
		at = p->n;
	}
	if (--p->last != at) /* and the last armed one its place */
		put_at(p, at, p->q[p->last]);
	q->polled = 0;
}

/* Asks to be told of the next frame; false when one waits already, and it stays polled. */
static bool arm(struct worker *w, struct rxq *q)
{
	struct poller *p = &w->poll;

	if (q->port->ops->arm(q->port, q->idx, w))
		return false;
	unsigned at = q->polled - 1u;
	put_at(p, at, p->q[--p->n]);
	put_at(p, p->n, q);
	return true;
}

/* ---- rhythm ---- */

static nsec_t distance(nsec_t a, nsec_t b)
{
	return a > b ? a - b : b - a;
}

/* A busy spell begins: does it come when it was due? */
static void spell_begins(struct poller *p, nsec_t now)
{
	nsec_t took = now - p->first, off = distance(took, p->period);

	if (took < PERIOD_MIN)
		return; /* more of the same one */
	p->first = now;
	if (took > PERIOD_MAX) {
		p->steady = 0;
		return;
	}
	if (off > p->period / 8) { /* another rhythm, or none */
		p->steady = 0;
		p->period = took;
		p->deviation = 0;
		return;
	}
	p->period = (nsec_t)((int64_t)p->period + ((int64_t)took - (int64_t)p->period) / 8);
	p->deviation = (p->deviation * 3 + off) / 4;
	if (p->steady < STEADY)
		p->steady++;
}

static void plan_nap(struct poller *p, nsec_t now)
{
	nsec_t lead = p->deviation * 4 + 60 * USEC, most = p->period / 8;

	p->nap_until = p->watch_until = 0;
	if (p->steady < STEADY || now - p->first > p->period / 2)
		return;
	if (lead > most)
		lead = most;
	p->nap_until = p->first + p->period - lead;
	p->watch_until = p->first + p->period + lead;
}

/* ---- rounds ---- */

/* Polls each queue once. */
static unsigned one_round(struct worker *w)
{
	struct poller *p = &w->poll;
	unsigned got = 0;

	for (unsigned i = 0; i < p->n;) {
		struct rxq *q = p->q[i];
		unsigned n = worker_serve(w, q);

		got += n;
		q->dry = n ? 0 : q->dry + 1;
		if (unlikely(q->dry > QUEUE_IDLE) && p->n > 1) {
			q->dry = 0;
			if (arm(w, q))
				continue; /* another one stands at i now */
		}
		i++;
	}
	return got;
}

/* Nothing came for a window: true when all are armed and nothing waits. */
static bool go_quiet(struct worker *w, nsec_t now)
{
	struct poller *p = &w->poll;

	for (unsigned i = p->n; i-- > 0;)
		arm(w, p->q[i]);
	if (p->n)
		return false;
	p->slept_at = now;
	plan_nap(p, now);
	return true;
}

static bool others_wait(struct worker *w)
{
	return w->ready || atomic_load_explicit(&w->has_calls, memory_order_relaxed) ||
	       !ring_empty(&w->down);
}

/* Something came after `now - since` of nothing. */
static void end_of_drought(struct poller *p, nsec_t now)
{
	if (p->dry_since && now - p->dry_since > PERIOD_MIN / 2)
		spell_begins(p, now);
	p->dry_since = 0;
	p->watch_until = 0;
}

void poll_run(struct worker *w)
{
	struct poller *p = &w->poll;
	nsec_t began = 0;

	for (unsigned round = 0; p->n && round < RUN_ROUNDS; round++) {
		if (one_round(w)) {
			if (p->dry_since)
				end_of_drought(p, clock_now());
			if (others_wait(w))
				return;
			continue;
		}
		if (others_wait(w))
			return;
		nsec_t now = clock_now();
		if (!p->dry_since)
			p->dry_since = now;
		if (now - p->dry_since > p->window && now > p->watch_until && go_quiet(w, now))
			return;
		if (!began)
			began = now;
		if (now - began > RUN_MOST)
			return;
	}
}

/* ---- sleep ---- */

nsec_t poll_nap(struct worker *w)
{
	struct poller *p = &w->poll;
	nsec_t now;

	if (!p->nap_until)
		return 0;
	now = clock_now();
	return p->nap_until > now ? p->nap_until - now : 1;
}

/* The worker has slept and was woken, by whatever. */
void poll_woken(struct worker *w)
{
	struct poller *p = &w->poll;
	nsec_t now, slept;

	if (!p->slept_at)
		return;
	now = clock_now();
	if (p->nap_until && !p->n && now >= p->nap_until) { /* look out for the next one */
		for (unsigned i = p->n; i < p->last; i++)
			poll_add(w, p->q[i]);
		if (now > p->watch_until)
			p->steady = 0;
		p->nap_until = 0;
		return;
	}
	if (!p->n)
		return; /* it was not one of ours */
	slept = now - p->slept_at;
	p->slept_at = 0;
	p->nap_until = 0;
	if (slept < WINDOW_MAX)
		p->window = p->window * 2 < WINDOW_MAX ? p->window * 2 : WINDOW_MAX;
	else if (p->watch_until == 0)
		p->window = p->window / 2 > WINDOW_MIN ? p->window / 2 : WINDOW_MIN;
}
