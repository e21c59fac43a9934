/* The ring alone, and between two threads that sleep and wake each other. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>

#include "net/ring.h"

static void *num(uintptr_t n)
{
	return (void *)n;
}

static bool kicked(const struct ring *r)
{
	struct pollfd p = {.fd = r->efd, .events = POLLIN};
	return poll(&p, 1, 0) == 1;
}

static void fills_and_empties(void **s)
{
	struct ring r;
	assert_int_equal(ring_init(&r, 0), -EINVAL);
	assert_int_equal(ring_init(&r, 12), -EINVAL);
	assert_int_equal(ring_init(&r, 8), 0);
	uintptr_t in = 0, out = 0;
	for (unsigned round = 0; round < 20; round++) {
		for (unsigned i = 0; i < 8; i++)
			assert_true(ring_put(&r, num(++in)));
		assert_false(ring_put(&r, num(99)));
		for (unsigned i = 0; i < (round % 2 ? 8u : 3u); i++)
			assert_ptr_equal(ring_get(&r), num(++out));
		while (in - out < 8 && ring_put(&r, num(in + 1)))
			in++;
		void *p;
		while ((p = ring_get(&r)))
			assert_ptr_equal(p, num(++out));
		assert_int_equal(in, out);
		assert_true(ring_empty(&r));
	}
	ring_fini(&r);
	ring_fini(&r);
}

static void counters_wrap(void **s)
{
	struct ring r;
	assert_int_equal(ring_init(&r, 4), 0);
	atomic_store(&r.head, UINT32_MAX - 1);
	atomic_store(&r.tail, UINT32_MAX - 1);
	r.head_seen = r.tail_seen = UINT32_MAX - 1;
	for (uintptr_t i = 1; i < 20; i++) {
		assert_true(ring_put(&r, num(i)));
		assert_true(ring_put(&r, num(i + 100)));
		assert_ptr_equal(ring_get(&r), num(i));
		assert_ptr_equal(ring_get(&r), num(i + 100));
		assert_null(ring_get(&r));
	}
	ring_fini(&r);
}

static void kick_only_a_sleeper(void **s)
{
	struct ring r;
	assert_int_equal(ring_init(&r, 4), 0);
	ring_kick(&r);
	assert_false(kicked(&r)); /* nobody sleeps */
	assert_true(ring_sleep(&r));
	assert_true(ring_put(&r, num(1)));
	ring_kick(&r);
	ring_kick(&r);
	assert_true(kicked(&r));
	ring_awake(&r);
	assert_false(kicked(&r));
	assert_false(ring_sleep(&r)); /* an entry waits */
	ring_kick(&r);
	assert_false(kicked(&r)); /* the announcement was taken back */
	assert_ptr_equal(ring_get(&r), num(1));
	/* Woken by something else: the next sleep must still be kicked, and only once. */
	assert_true(ring_sleep(&r));
	ring_awake(&r);
	assert_true(ring_sleep(&r));
	ring_kick(&r);
	assert_true(kicked(&r));
	ring_awake(&r);
	assert_false(kicked(&r));
	ring_awake(&r); /* without a sleep before: nothing */
	assert_int_equal(r.owed, 0);
	ring_fini(&r);
}

/* The producer took the announcement but has not written yet when the consumer wakes by
 * itself: the late kick is read at a later wake, not left to spin on. */
static void late_kick_is_owed(void **s)
{
	struct ring r;
	assert_int_equal(ring_init(&r, 4), 0);
	assert_true(ring_sleep(&r));
	atomic_store(&r.sleeping, false); /* first half of ring_kick() */
	ring_awake(&r);
	assert_int_equal(r.owed, 1);
	atomic_store(&r.sleeping, true); /* second half: the write, through a full kick */
	ring_kick(&r);
	assert_true(kicked(&r));
	assert_true(ring_sleep(&r));
	ring_awake(&r);
	assert_false(kicked(&r));
	assert_int_equal(r.owed, 0);
	ring_fini(&r);
}

#define COUNT 200000u

static void *produce(void *arg)
{
	struct ring *r = arg;
	for (uintptr_t i = 1; i <= COUNT;) {
		unsigned batch = 1 + (unsigned)(i % 7);
		while (batch-- && i <= COUNT && ring_put(r, num(i)))
			i++;
		ring_kick(r);
		if (i % 1024 < 3)
			poll(NULL, 0, 0); /* let the consumer run dry */
	}
	return NULL;
}

/* Every entry arrives in order, and no sleep ends without a kick: a lost wake-up shows
 * as a poll() that times out with entries waiting. */
static void two_threads(void **s)
{
	struct ring r;
	pthread_t t;
	unsigned sleeps = 0;
	assert_int_equal(ring_init(&r, 64), 0);
	assert_int_equal(pthread_create(&t, NULL, produce, &r), 0);
	for (uintptr_t next = 1; next <= COUNT;) {
		void *p = ring_get(&r);
		if (p) {
			assert_ptr_equal(p, num(next));
			next++;
			continue;
		}
		if (!ring_sleep(&r))
			continue;
		struct pollfd fd = {.fd = r.efd, .events = POLLIN};
		assert_int_equal(poll(&fd, 1, 10000), 1);
		ring_awake(&r);
		sleeps++;
	}
	pthread_join(t, NULL);
	assert_true(ring_empty(&r));
	assert_true(sleeps > 0);
	ring_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fills_and_empties),   cmocka_unit_test(counters_wrap),
		cmocka_unit_test(kick_only_a_sleeper), cmocka_unit_test(late_kick_is_owed),
		cmocka_unit_test(two_threads),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
