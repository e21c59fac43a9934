/* The loop: fds, timers on a clock that is moved, signals, and freeing from inside. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "net/clock.h"
#include "net/loop.h"

struct world {
	struct loop *l;
	struct loop_fd *fd;
	struct loop_timer *t, *u;
	struct loop_signal *sig;
	unsigned calls, events;
	nsec_t at;
};

static int setup(void **s)
{
	static struct world w;
	w = (struct world){.l = loop_new()};
	*s = &w;
	return w.l ? 0 : -1;
}

static int teardown(void **s)
{
	struct world *w = *s;
	loop_fd_free(w->fd);
	loop_timer_free(w->t);
	loop_timer_free(w->u);
	loop_signal_free(w->sig);
	loop_free(w->l);
	loop_free(NULL);
	return 0;
}

static void stop(void *arg)
{
	struct world *w = arg;
	w->calls++;
	w->at = clock_now();
	loop_stop(w->l);
}

static void stop_on_fd(void *arg, int fd, unsigned events)
{
	struct world *w = arg;
	uint64_t v;
	w->calls++;
	w->events = events;
	if (events & LOOP_READ)
		assert_int_equal(read(fd, &v, sizeof(v)), sizeof(v));
	loop_stop(w->l);
}

static void fd_ready(void **s)
{
	struct world *w = *s;
	int efd = eventfd(1, EFD_NONBLOCK);
	w->fd = loop_fd_new(w->l, efd, LOOP_READ, stop_on_fd, w);
	assert_non_null(w->fd);
	assert_int_equal(loop_run(w->l), 0);
	assert_int_equal(w->calls, 1);
	assert_int_equal(w->events, LOOP_READ);
	/* paused: a timer ends the run instead */
	loop_fd_set(w->fd, 0);
	assert_int_equal(eventfd_write(efd, 1), 0);
	w->t = loop_timer_new(w->l, stop, w);
	loop_timer_arm(w->t, 20 * NSEC_PER_MSEC);
	w->events = 0;
	assert_int_equal(loop_run(w->l), 0);
	assert_int_equal(w->events, 0);
	loop_fd_set(w->fd, LOOP_WRITE);
	loop_fd_set(w->fd, LOOP_WRITE);
	assert_int_equal(loop_run(w->l), 0);
	assert_int_equal(w->events, LOOP_WRITE);
	loop_fd_set(w->fd, LOOP_READ | LOOP_WRITE);
	assert_int_equal(loop_run(w->l), 0);
	assert_int_equal(w->events, LOOP_READ | LOOP_WRITE);
	close(efd);
}

static void free_fd(void *arg, int fd, unsigned events)
{
	struct world *w = arg;
	loop_fd_free(w->fd);
	w->fd = NULL;
	close(fd);
}

/* With its only fd gone nothing is left to wait for, and the run ends. */
static void free_inside(void **s)
{
	struct world *w = *s;
	w->fd = loop_fd_new(w->l, eventfd(1, 0), LOOP_READ, free_fd, w);
	assert_int_equal(loop_run(w->l), 0);
	assert_null(w->fd);
	loop_fd_free(NULL);
}

static void timer_is_not_early(void **s)
{
	struct world *w = *s;
	nsec_t begin = clock_now();
	w->t = loop_timer_new(w->l, stop, w);
	loop_timer_arm(w->t, 3600 * NSEC_PER_SEC);
	loop_timer_arm(w->t, 30 * NSEC_PER_MSEC); /* replaces */
	assert_int_equal(loop_run(w->l), 0);
	assert_int_equal(w->calls, 1);
	assert_true(w->at - begin >= 30 * NSEC_PER_MSEC);
	assert_true(loop_now(w->l) >= begin + 30 * NSEC_PER_MSEC);
	assert_true(loop_now(w->l) <= w->at);
}

static void again(void *arg)
{
	struct world *w = arg;
	if (++w->calls < 3)
		loop_timer_arm(w->t, 0);
	else
		loop_stop(w->l);
}

static void free_timer(void *arg)
{
	struct world *w = arg;
	w->events++;
	loop_timer_free(w->u);
	w->u = NULL;
}

static void arm_and_free_inside(void **s)
{
	struct world *w = *s;
	w->t = loop_timer_new(w->l, again, w);
	w->u = loop_timer_new(w->l, free_timer, w);
	loop_timer_arm(w->u, 0);
	loop_timer_arm(w->t, NSEC_PER_MSEC);
	assert_int_equal(loop_run(w->l), 0);
	assert_int_equal(w->calls, 3);
	assert_int_equal(w->events, 1);
	assert_null(w->u);
}

static void advance(void *arg)
{
	struct world *w = arg;
	clock_advance(3600 * NSEC_PER_SEC);
	loop_clock_moved(w->l);
}

/* An hour passes in a moment; what is due later still waits. */
static void clock_moves_timers(void **s)
{
	struct world *w = *s;
	nsec_t begin = clock_now();
	int64_t wall = clock_wall();
	struct loop_timer *later = loop_timer_new(w->l, free_timer, w);
	w->t = loop_timer_new(w->l, stop, w);
	w->u = loop_timer_new(w->l, advance, w);
	loop_timer_arm(w->t, 3600 * NSEC_PER_SEC);
	loop_timer_arm(w->u, NSEC_PER_MSEC);
	loop_timer_arm(later, 3700 * NSEC_PER_SEC);
	assert_int_equal(loop_run(w->l), 0);
	assert_int_equal(w->calls, 1);
	assert_int_equal(w->events, 0);
	nsec_t took = clock_now() - begin;
	assert_in_range(took / NSEC_PER_SEC, 3600, 3610);
	assert_in_range(clock_wall() - wall, 3599, 3611);
	assert_in_range((clock_now_coarse() - begin) / NSEC_PER_SEC, 3599, 3610);
	loop_timer_free(later);
}

static void a_stopped_timer_is_silent(void **s)
{
	struct world *w = *s;
	w->t = loop_timer_new(w->l, stop, w);
	w->u = loop_timer_new(w->l, free_timer, w);
	loop_timer_arm(w->u, NSEC_PER_MSEC);
	loop_timer_stop(w->u);
	loop_timer_stop(w->u);
	loop_timer_arm(w->t, 10 * NSEC_PER_MSEC);
	assert_int_equal(loop_run(w->l), 0);
	assert_int_equal(w->calls, 1);
	assert_int_equal(w->events, 0);
	loop_clock_moved(w->l);		     /* must not arm it again */
	assert_int_equal(loop_run(w->l), 0); /* nothing left: returns */
	assert_int_equal(w->calls, 1);
	assert_int_equal(w->events, 0);
	loop_timer_arm(w->t, UINT64_MAX); /* far, not in the past */
	loop_timer_arm(w->u, 0);
	loop_timer_stop(w->u);
	loop_timer_free(NULL);
}

static void on_signal(void *arg, int signo)
{
	struct world *w = arg;
	w->events = (unsigned)signo;
	loop_stop(w->l);
}

static void signals(void **s)
{
	struct world *w = *s;
	w->sig = loop_signal_new(w->l, SIGHUP, on_signal, w);
	assert_non_null(w->sig);
	raise(SIGHUP);
	assert_int_equal(loop_run(w->l), 0);
	assert_int_equal(w->events, SIGHUP);
}

static void stop_before_run(void **s)
{
	struct world *w = *s;
	w->t = loop_timer_new(w->l, stop, w);
	loop_timer_arm(w->t, 3600 * NSEC_PER_SEC);
	loop_stop(w->l);
	assert_int_equal(loop_run(w->l), 0);
	assert_int_equal(w->calls, 0);
}

int main(void)
{
	alarm(30); /* a loop that hangs fails */
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(fd_ready),
		T(free_inside),
		T(timer_is_not_early),
		T(arm_and_free_inside),
		T(clock_moves_timers),
		T(a_stopped_timer_is_silent),
		T(signals),
		T(stop_before_run),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
