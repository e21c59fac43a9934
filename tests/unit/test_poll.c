/* When a worker polls and when it sleeps: switch/poll.c alone, on a clock that moves only as far as
 * polling and sleeping take here, with queues whose frames come when the test says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "net/clock.h"
#include "switch/internal.h"

#define USEC   ((nsec_t)1000)
#define MSEC   NSEC_PER_MSEC
#define NEVER  UINT64_MAX
#define LOOK   ((nsec_t)100) /* what a look at a queue takes */
#define WAKE   (3 * USEC)    /* from a kick, or a nap's end, until the worker runs */
#define QUEUES 16u
/* as in poll.c */
#define WINDOW_MIN   (5 * USEC)
#define WINDOW_FIRST (20 * USEC)
#define WINDOW_MAX   (50 * USEC)
#define RUN_MOST     (20 * USEC)
#define QUEUE_IDLE   20000u

struct queue {
	struct rxq rxq;
	nsec_t due;   /* of the next frame; NEVER */
	nsec_t every; /* another one so much after the last was served; 0: none */
	bool armed;
	bool stuck; /* arm() finds something though a round does not: a driver without a kick
		       descriptor */
	unsigned served, arms;
	nsec_t served_at, armed_at;
};

static nsec_t now;
static struct worker w;
static struct port port;
static struct queue queue[QUEUES];

/* ---- what poll.c calls ---- */

nsec_t clock_now(void)
{
	return now;
}

bool ring_empty(struct ring *r)
{
	return true;
}

unsigned worker_serve(struct worker *ww, struct rxq *r)
{
	struct queue *q = container_of(r, struct queue, rxq);

	now += LOOK;
	if (q->due > now)
		return 0;
	q->due = q->every ? now + q->every : NEVER;
	q->served++;
	q->served_at = now;
	return 1;
}

static bool fake_arm(struct port *p, unsigned i, struct worker *ww)
{
	struct queue *q = &queue[i];

	q->arms++;
	q->armed_at = now;
	q->armed = q->due > now && !q->stuck;
	return !q->armed;
}

static void fake_disarm(struct port *p, unsigned i, struct worker *ww)
{
	queue[i].armed = false;
}

static const struct port_ops ops = {.type = "fake", .arm = fake_arm, .disarm = fake_disarm};

static int setup(void **state)
{
	now = NSEC_PER_SEC;
	memset(&w, 0, sizeof(w));
	memset(queue, 0, sizeof(queue));
	port = (struct port){.ops = &ops};
	for (unsigned i = 0; i < QUEUES; i++) {
		queue[i].rxq = (struct rxq){.port = &port, .idx = (uint16_t)i};
		queue[i].due = NEVER;
	}
	return poll_init(&w.poll);
}

static int teardown(void **state)
{
	poll_fini(&w.poll);
	return 0;
}

static void again(void)
{
	teardown(NULL);
	assert_int_equal(setup(NULL), 0);
}

static bool polled(const struct queue *q)
{
	return q->rxq.polled && q->rxq.polled <= w.poll.n;
}

static void add(unsigned i)
{
	poll_add(&w, &queue[i].rxq);
	assert_false(queue[i].armed);
}

/* ---- the worker's loop, shortened ---- */

static void run_until_quiet(void)
{
	for (unsigned i = 0; w.poll.n; i++) {
		assert_true(i < 1000000);
		poll_run(&w);
	}
}

static nsec_t next_due(void)
{
	nsec_t first = NEVER;

	for (unsigned i = 0; i < QUEUES; i++)
		first = queue[i].rxq.polled && queue[i].due < first ? queue[i].due : first;
	return first;
}

/* The fds that were written; the worker looks at them between two runs, too. */
static void take_kicks(void)
{
	for (unsigned i = 0; i < QUEUES; i++) {
		if (queue[i].armed && queue[i].due <= now)
			poll_add(&w, &queue[i].rxq);
	}
}

/* Sleeps until a frame comes or the nap is over; true when it was the nap. */
static bool sleep_once(void)
{
	const nsec_t nap = poll_nap(&w), due = next_due(), frame = due > now ? due : now;
	const bool napped = nap && now + nap < frame;

	assert_int_equal(w.poll.n, 0);
	assert_true(nap || due != NEVER);
	for (unsigned i = 0; i < QUEUES;
	     i++) { /* what is there came after arm() looked, and kicked */
		const struct queue *q = &queue[i];
		assert_true(!q->rxq.polled || (q->armed && q->due > q->armed_at));
	}
	now = (napped ? now + nap : frame) + WAKE;
	take_kicks();
	poll_woken(&w);
	return napped;
}

/* Goes on until q has served one more; true when it was polled by then, so that nobody had to kick.
 */
static bool serve_one(struct queue *q)
{
	const unsigned before = q->served;
	bool kicked = false;

	while (q->served == before) {
		if (w.poll.n) {
			poll_run(&w);
			take_kicks();
		} else {
			kicked = !sleep_once();
		}
	}
	return !kicked;
}

/* The next frame comes `gap` after the last one. */
static bool serve_after(struct queue *q, nsec_t *last, nsec_t gap)
{
	q->due = *last += gap;
	return serve_one(q);
}

/* ---- the window ---- */

static void kick_after(nsec_t gap)
{
	run_until_quiet();
	queue[0].due = w.poll.slept_at + gap - WAKE;
	sleep_once();
	assert_int_equal(w.poll.n, 1);
	poll_run(&w);
}

static void window_grows_and_shrinks(void **state)
{
	const nsec_t grown[] = {40 * USEC, WINDOW_MAX, WINDOW_MAX};
	const nsec_t shrunk[] = {25 * USEC, 12500, 6250, WINDOW_MIN, WINDOW_MIN};

	add(0);
	assert_int_equal(w.poll.window, WINDOW_FIRST);
	for (unsigned i = 0; i < ARRAY_SIZE(grown); i++) { /* a longer look would have met it */
		kick_after(10 * USEC);
		assert_int_equal(w.poll.window, grown[i]);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(shrunk);
	     i++) { /* no window would have been long enough */
		kick_after(10 * MSEC + i * MSEC);
		assert_int_equal(w.poll.window, shrunk[i]);
	}
	kick_after(WINDOW_MAX - 1);
	assert_int_equal(w.poll.window, 2 * WINDOW_MIN);
	kick_after(WINDOW_MAX);
	assert_int_equal(w.poll.window, WINDOW_MIN);
}

static void it_looks_for_a_window(void **state)
{
	nsec_t began;

	add(0);
	queue[0].due = now;
	poll_run(&w); /* and then nothing */
	began = w.poll.dry_since;
	run_until_quiet();
	assert_in_range(now - began, WINDOW_FIRST, WINDOW_FIRST + 2 * LOOK);
	assert_true(queue[0].armed);
	assert_int_equal(poll_nap(&w), 0); /* it sleeps until it is kicked */
}

static void window_stays_within_its_bounds(void **state)
{
	nsec_t last = now;

	srand(1);
	add(0);
	for (unsigned i = 0; i < 20000; i++) {
		last = now;
		serve_after(&queue[0], &last,
			    1 + (nsec_t)rand() % ((nsec_t)1 << (8 + rand() % 16)));
		assert_in_range(w.poll.window, WINDOW_MIN, WINDOW_MAX);
	}
}

/* ---- arming ---- */

static void what_waits_is_polled(void **state)
{
	add(0);
	add(1);
	queue[1].stuck = true;
	for (unsigned i = 0; i < 100; i++)
		poll_run(&w);
	assert_false(polled(&queue[0]));
	assert_true(queue[0].armed);
	assert_true(polled(&queue[1])); /* and the worker may not sleep */
	assert_true(queue[1].arms > 0);
	queue[1].due = now; /* it is met without a kick */
	poll_run(&w);
	assert_int_equal(queue[1].served, 1);
	queue[1].stuck = false;
	run_until_quiet();
	assert_true(queue[1].armed);
}

/* Frames that come while the worker makes up its mind, at every step of it. */
static void a_frame_while_it_goes_quiet(void **state)
{
	for (nsec_t at = 0; at < 2 * WINDOW_FIRST; at += LOOK / 2) {
		again();
		add(0);
		add(1);
		queue[0].due = now + at;
		queue[1].due = now + at + LOOK;
		serve_one(&queue[0]);
		if (!queue[1].served)
			serve_one(&queue[1]);
		for (unsigned i = 0; i < 2; i++)
			assert_in_range(queue[i].served_at, NSEC_PER_SEC + at,
					NSEC_PER_SEC + at + RUN_MOST + WAKE + 4 * LOOK);
	}
}

static void an_idle_queue_among_busy_ones(void **state)
{
	add(0);
	add(1);
	add(2);
	queue[0].due = queue[2].due = now;
	queue[0].every = queue[2].every = LOOK;
	for (unsigned i = 0; !queue[1].arms; i++) {
		assert_true(i < QUEUE_IDLE);
		poll_run(&w);
	}
	assert_true(queue[0].served >= QUEUE_IDLE);
	assert_false(polled(&queue[1]));
	assert_true(queue[1].armed);
	assert_true(polled(&queue[0]) && polled(&queue[2]));
	assert_int_equal(queue[0].arms + queue[2].arms, 0);
	add(1); /* kicked */
	assert_true(polled(&queue[1]));
	queue[1].due = now;
	poll_run(&w);
	assert_int_equal(queue[1].served, 1);
}

static void a_queue_alone_is_left_to_the_window(void **state)
{
	add(0);
	w.poll.window = NEVER;
	while (queue[0].rxq.dry <= QUEUE_IDLE)
		poll_run(&w);
	poll_run(&w);
	assert_true(polled(&queue[0]));
	assert_int_equal(queue[0].arms, 0);
}

/* ---- rhythm ---- */

/* Frames with these gaps, n of them in turn, until naps meet `in_a_row`; returns how many it took.
 */
static unsigned learn(nsec_t *last, nsec_t gap, unsigned in_a_row)
{
	unsigned met = 0, i = 0;

	for (; met < in_a_row; i++) {
		assert_true(i < 100);
		met = serve_after(&queue[0], last, gap) ? met + 1 : 0;
	}
	return i - in_a_row;
}

static void a_rhythm_is_learned(void **state)
{
	const nsec_t gaps[] = {250 * USEC, MSEC, 3 * MSEC};

	for (unsigned g = 0; g < ARRAY_SIZE(gaps); g++) {
		again();
		nsec_t last = now + 10 * MSEC, polled_for = 0, began;
		add(0);
		serve_after(&queue[0], &last, 0);
		assert_in_range(learn(&last, gaps[g], 3), 4, 8);
		began = now;
		for (unsigned i = 0; i < 100; i++) {
			queue[0].due = last += gaps[g];
			run_until_quiet();
			assert_true(poll_nap(&w) > 0);
			assert_true(now + poll_nap(&w) < last);
			assert_true(queue[0].armed); /* one that comes early is not missed */
			assert_true(sleep_once());
			nsec_t woke = now;
			assert_true(woke < last);
			assert_true(last - woke <= gaps[g] / 8);
			assert_true(serve_one(&queue[0]));
			assert_in_range(queue[0].served_at, last,
					last + 2 * LOOK); /* as if it had polled all the time */
			run_until_quiet();
			polled_for += now - woke;
		}
		assert_true(polled_for < (now - began) / 2);
	}
}

static void one_that_comes_early_is_served_by_its_kick(void **state)
{
	nsec_t last = now;

	add(0);
	serve_after(&queue[0], &last, 10 * MSEC);
	learn(&last, MSEC, 3);
	assert_false(serve_after(&queue[0], &last, MSEC / 2));
	assert_in_range(queue[0].served_at, last, last + WAKE + 2 * LOOK);
	run_until_quiet();
	assert_int_equal(poll_nap(&w), 0); /* that was another rhythm, or none */
	assert_true(learn(&last, MSEC, 3) <= 8);
}

static void a_stream_without_rhythm_never_naps(void **state)
{
	nsec_t last = now, gap = MSEC, before;

	srand(1);
	add(0);
	for (unsigned i = 0; i < 5000; i++) {
		before = gap;
		do /* any two in a row differ by more than an eighth */
			gap = 200 * USEC + (nsec_t)rand() % (4 * MSEC);
		while (gap > before - before / 7 && gap < before + before / 7);
		if (now > last)
			last = now;
		queue[0].due = last += gap;
		while (queue[0].served == i) {
			assert_int_equal(w.poll.nap_until, 0);
			if (w.poll.n)
				poll_run(&w);
			else
				assert_false(sleep_once());
		}
	}
}

static void a_missed_rhythm_is_given_up(void **state)
{
	nsec_t last = now;

	add(0);
	serve_after(&queue[0], &last, 10 * MSEC);
	learn(&last, MSEC, 3);
	run_until_quiet();
	queue[0].due = last + 20 * MSEC;
	assert_true(sleep_once()); /* it looks out for the one that does not come */
	assert_int_equal(w.poll.n, 1);
	run_until_quiet();
	assert_in_range(now, last + MSEC, last + MSEC + MSEC / 4);
	assert_int_equal(poll_nap(&w), 0);
	last += 20 * MSEC;
	assert_false(serve_one(&queue[0])); /* its kick wakes the worker, long after */
	run_until_quiet();
	assert_int_equal(poll_nap(&w), 0);
	assert_in_range(learn(&last, MSEC, 3), 4, 8); /* from the beginning */
}

static void a_nap_overslept_is_given_up(void **state)
{
	nsec_t last = now;

	add(0);
	serve_after(&queue[0], &last, 10 * MSEC);
	learn(&last, 3 * MSEC, 3);
	run_until_quiet();
	now = w.poll.watch_until + 1;	   /* somebody else had the processor */
	assert_int_equal(poll_nap(&w), 1); /* at once, not for ever */
	poll_woken(&w);
	assert_int_equal(w.poll.n, 1);
	run_until_quiet();
	assert_int_equal(poll_nap(&w), 0);
	last += 3 * MSEC + 3 * MSEC / 9; /* it comes all the same, within an eighth or so */
	queue[0].due = last;
	serve_one(&queue[0]);
	run_until_quiet();
	assert_int_equal(poll_nap(&w), 0);
}

/* ---- the lists ---- */

enum place { OUT, POLLED, ARMED };
static enum place model[QUEUES];

static void check_lists(void)
{
	const struct poller *p = &w.poll;
	unsigned n = 0, last = 0;

	for (unsigned i = 0; i < QUEUES; i++) {
		n += model[i] == POLLED;
		last += model[i] != OUT;
	}
	assert_int_equal(p->n, n);
	assert_int_equal(p->last, last);
	for (unsigned i = 0; i < last; i++) /* each stands where it says, and so only once */
		assert_int_equal(p->q[i]->polled, i + 1);
	for (unsigned i = 0; i < QUEUES; i++) {
		const struct rxq *r = &queue[i].rxq;
		if (model[i] == OUT) {
			assert_int_equal(r->polled, 0);
			continue;
		}
		assert_in_range(r->polled, 1, last);
		assert_ptr_equal(p->q[r->polled - 1], r);
		assert_int_equal(polled(&queue[i]), model[i] == POLLED);
		assert_true(model[i] == POLLED || queue[i].armed);
	}
}

static void del(unsigned i)
{
	poll_del(&w, &queue[i].rxq);
	model[i] = OUT;
}

/* All that nothing waits for are armed. */
static void quiet(void)
{
	if (!w.poll.n)
		return;
	w.poll.dry_since = now - 2 * WINDOW_MAX;
	w.poll.watch_until = 0;
	poll_run(&w);
	for (unsigned i = 0; i < QUEUES; i++) {
		if (model[i] == POLLED && !queue[i].stuck)
			model[i] = ARMED;
	}
}

static void nap_ends(void)
{
	if (w.poll.n)
		return;
	w.poll.slept_at = w.poll.nap_until = now;
	poll_woken(&w);
	for (unsigned i = 0; i < QUEUES; i++) {
		if (model[i] == ARMED)
			model[i] = POLLED;
	}
}

/* It alone, as idle among the others. */
static void idle(unsigned i)
{
	const bool others = w.poll.n > 1;

	if (model[i] != POLLED)
		return;
	queue[i].rxq.dry = QUEUE_IDLE;
	w.poll.dry_since = 0;
	poll_run(&w);
	if (others && !queue[i].stuck)
		model[i] = ARMED;
	queue[i].rxq.dry = 0;
}

static void lists_are_those_of_a_model(void **state)
{
	memset(model, OUT, sizeof(model));
	srand(1);
	w.poll.window = NEVER / 2;
	for (unsigned step = 0; step < 200000; step++) {
		const unsigned i = (unsigned)rand() % QUEUES;

		switch (rand() % 8) {
		case 0:
		case 1:
		case 2:
			add(i);
			model[i] = POLLED;
			break;
		case 3:
		case 4: /* polled, armed, or not there at all */ del(i); break;
		case 5: idle(i); break;
		case 6: queue[i].stuck = !queue[i].stuck; break;
		case 7:
			if (rand() % 2)
				nap_ends();
			else if (rand() % 4 == 0) {
				w.poll.window = WINDOW_MAX;
				quiet();
				w.poll.window = NEVER / 2;
			}
			break;
		}
		check_lists();
	}
	for (unsigned i = 0; i < QUEUES; i++)
		del(i);
	check_lists();
}

/* The one that took the place of a deleted one is kicked. */
static void a_kick_after_another_was_deleted(void **state)
{
	memset(model, OUT, sizeof(model));
	for (unsigned i = 0; i < 2; i++) {
		add(i);
		model[i] = POLLED;
	}
	del(0);
	check_lists();
	add(1);
	check_lists();
	del(1);
	check_lists();
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(window_grows_and_shrinks),
		T(it_looks_for_a_window),
		T(window_stays_within_its_bounds),
		T(what_waits_is_polled),
		T(a_frame_while_it_goes_quiet),
		T(an_idle_queue_among_busy_ones),
		T(a_queue_alone_is_left_to_the_window),
		T(a_rhythm_is_learned),
		T(one_that_comes_early_is_served_by_its_kick),
		T(a_stream_without_rhythm_never_naps),
		T(a_missed_rhythm_is_given_up),
		T(a_nap_overslept_is_given_up),
		T(lists_are_those_of_a_model),
		T(a_kick_after_another_was_deleted),
	};

	return cmocka_run_group_tests_name("poll", tests, NULL, NULL);
}
