/* The wheel against a list of deadlines, under random arms, stops and advances. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "net/wheel.h"

#define N    200
#define TICK 100u

struct obj {
	struct wheel_timer t;
	bool armed;
	uint64_t tick; /* it is due at, by the model */
};

struct model {
	struct wheel w;
	struct obj o[N];
	nsec_t now;	/* of the advance that runs */
	uint64_t last;	/* tick of the timer that fired last */
	uint64_t ticks; /* wholly run, by the model */
	unsigned fired;
	unsigned rearm; /* so many of the next due ones arm again */
};

static void arm(struct model *m, struct obj *o, nsec_t at, uint64_t run)
{
	wheel_arm(&m->w, &o->t, at);
	uint64_t tick = (at + TICK - 1) / TICK;
	o->tick = tick > run ? tick : run + 1;
	o->armed = true;
}

static void due(void *arg, struct wheel_timer *t)
{
	struct model *m = arg;
	struct obj *o = container_of(t, struct obj, t);
	assert_true(o->armed);
	assert_false(wheel_armed(t));
	assert_true(o->tick * TICK <= m->now);
	assert_true(o->tick >= m->last); /* in order of time */
	m->last = o->tick;
	o->armed = false;
	m->fired++;
	if (m->rearm) {
		m->rearm--;
		arm(m, o, (o->tick + (uint64_t)(rand() % 100)) * TICK, o->tick);
	}
}

static void check(struct model *m)
{
	unsigned armed = 0;
	for (unsigned i = 0; i < N; i++) {
		assert_int_equal(m->o[i].armed, wheel_armed(&m->o[i].t));
		/* nothing due was left behind */
		assert_true(!m->o[i].armed || m->o[i].tick * TICK > m->now);
		armed += m->o[i].armed;
	}
	assert_int_equal(m->w.armed, armed);
}

static nsec_t distance(void)
{
	static const nsec_t far[] = {1, 63, 64, 65, 4095, 4096, 4097, 262143, 262144, 300000};
	return rand() % 3 ? (nsec_t)(rand() % 7000) : far[rand() % ARRAY_SIZE(far)] * TICK;
}

static void like_the_model(void **s)
{
	static struct model m;
	for (unsigned round = 0; round < 6; round++) {
		memset(&m, 0, sizeof(m));
		m.now = (nsec_t)rand() * 64;
		m.ticks = m.now / TICK;
		wheel_init(&m.w, m.now, TICK);
		for (unsigned step = 0; step < 4000; step++) {
			struct obj *o = &m.o[rand() % N];
			switch (rand() % 4) {
			case 0:
			case 1:
				/* sometimes in the past */
				arm(&m, o, rand() % 20 ? m.now + distance() : m.now - 500, m.ticks);
				break;
			case 2:
				wheel_stop(&m.w, &o->t);
				o->armed = false;
				break;
			default:
				m.now += rand() % 50 ? (nsec_t)(rand() % 3000) : distance() * 3;
				m.ticks = m.now / TICK;
				m.last = 0;
				m.rearm = (unsigned)rand() % 5;
				wheel_advance(&m.w, m.now, due, &m);
				check(&m);
			}
		}
		assert_true(m.fired > 500);
	}
}

static void beyond_the_top_level(void **s)
{
	static struct model m;
	memset(&m, 0, sizeof(m));
	wheel_init(&m.w, 0, TICK);
	const uint64_t far = UINT64_C(64) * 64 * 64 * 64 + 12345;
	arm(&m, &m.o[0], far * TICK, 0);
	m.now = (far - 1) * TICK;
	wheel_advance(&m.w, m.now, due, &m);
	assert_int_equal(m.fired, 0);
	m.now = far * TICK;
	wheel_advance(&m.w, m.now, due, &m);
	assert_int_equal(m.fired, 1);
}

static struct wheel_timer a, b;
static struct wheel *wheel;
static unsigned fired;

static void stop_the_other(void *arg, struct wheel_timer *t)
{
	fired++;
	wheel_stop(wheel, t == &a ? &b : &a);
}

/* A due timer may stop one that is due at the same tick. */
static void stop_inside(void **s)
{
	struct wheel w;
	wheel = &w;
	wheel_init(&w, 0, 1);
	wheel_arm(&w, &a, 5);
	wheel_arm(&w, &b, 5);
	wheel_advance(&w, 10, stop_the_other, NULL);
	assert_int_equal(fired, 1);
	assert_int_equal(w.armed, 0);
	wheel_stop(&w, &a); /* not armed: fine */
	assert_int_equal(w.armed, 0);
}

/* Time that does not pass, or steps back, fires nothing. */
static void no_time_passed(void **s)
{
	struct wheel w;
	struct wheel_timer t = {0};
	wheel = &w;
	fired = 0;
	wheel_init(&w, 1000, 10);
	wheel_arm(&w, &t, 1005);
	wheel_advance(&w, 1009, stop_the_other, NULL);
	wheel_advance(&w, 0, stop_the_other, NULL);
	assert_int_equal(fired, 0);
	wheel_advance(&w, 1010, stop_the_other, NULL);
	assert_int_equal(fired, 1);
}

int main(void)
{
	srand(1);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(like_the_model),
		cmocka_unit_test(beyond_the_top_level),
		cmocka_unit_test(stop_inside),
		cmocka_unit_test(no_time_passed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
