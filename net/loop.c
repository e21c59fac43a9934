/* The event loop of loop.h on libevent, the only file that knows of it. */
#include "net/loop.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>

#include "net/clock.h"

struct loop {
	struct event_base *base;
	struct loop_timer *armed; /* for loop_clock_moved() */
	nsec_t now;
	bool stop;
	bool stale; /* `now` is of an earlier round */
};

struct loop_fd {
	struct loop *loop;
	struct event *ev;
	int fd;
	void (*fn)(void *arg, int fd, unsigned events);
	void *arg;
};

struct loop_timer {
	struct loop *loop;
	struct event *ev;
	struct loop_timer *next, **pprev; /* in loop->armed; pprev NULL: not armed */
	nsec_t due;
	void (*fn)(void *arg);
	void *arg;
};

struct loop_signal {
	struct loop *loop;
	struct event *ev;
	void (*fn)(void *arg, int signo);
	void *arg;
};

struct loop *loop_new(void)
{
	struct loop *l = calloc(1, sizeof(*l));
	if (!l)
		return NULL;
	l->base = event_base_new();
	if (!l->base) {
		free(l);
		errno = ENOMEM;
		return NULL;
	}
	l->now = clock_now();
	return l;
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	event_base_free(l->base);
	free(l);
}

int loop_run(struct loop *l)
{
	int r = 0;
	while (!l->stop && r == 0) {
		l->stale = true;
		r = event_base_loop(l->base, EVLOOP_ONCE); /* 1: no event is registered */
	}
	l->stop = false;
	return r < 0 ? -EIO : 0;
}

void loop_stop(struct loop *l)
{
	l->stop = true;
	event_base_loopbreak(l->base);
}

nsec_t loop_now(const struct loop *l)
{
	return l->now;
}

/* The first callback of a round reads the clock; outside a run it is read anyway. */
static void begin(struct loop *l)
{
	if (!l->stale)
		return;
	l->now = clock_now();
	l->stale = false;
}

/* ---- fds ---- */

static void on_fd(evutil_socket_t fd, short what, void *arg)
{
	struct loop_fd *f = arg;
	begin(f->loop);
	unsigned events = (what & EV_READ ? LOOP_READ : 0u) | (what & EV_WRITE ? LOOP_WRITE : 0u);
	f->fn(f->arg, fd, events); /* may free f */
}

static short ev_flags(unsigned events)
{
	return (short)(EV_PERSIST | (events & LOOP_READ ? EV_READ : 0) |
		       (events & LOOP_WRITE ? EV_WRITE : 0));
}

struct loop_fd *loop_fd_new(struct loop *l, int fd, unsigned events,
			    void (*fn)(void *arg, int fd, unsigned events), void *arg)
{
	struct loop_fd *f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	*f = (struct loop_fd){.loop = l, .fd = fd, .fn = fn, .arg = arg};
	f->ev = event_new(l->base, fd, ev_flags(events), on_fd, f);
	if (!f->ev || (events && event_add(f->ev, NULL))) {
		int e = errno ? errno : ENOMEM;
		loop_fd_free(f);
		errno = e;
		return NULL;
	}
	return f;
}

void loop_fd_set(struct loop_fd *f, unsigned events)
{
	if ((event_get_events(f->ev) & (EV_READ | EV_WRITE)) ==
		    (ev_flags(events) & (EV_READ | EV_WRITE)) &&
	    (!events || event_pending(f->ev, EV_READ | EV_WRITE, NULL)))
		return;
	event_del(f->ev);
	event_assign(f->ev, f->loop->base, f->fd, ev_flags(events), on_fd, f);
	if (events)
		event_add(f->ev, NULL);
}

void loop_fd_free(struct loop_fd *f)
{
	if (!f)
		return;
	if (f->ev)
		event_free(f->ev);
	free(f);
}

/* ---- timers ---- */

static void unlink_timer(struct loop_timer *t)
{
	if (!t->pprev)
		return;
	*t->pprev = t->next;
	if (t->next)
		t->next->pprev = t->pprev;
	t->pprev = NULL;
}

/* libevent waits for what is left of the time; whether it is up, our clock says. */
static void wait_for(struct loop_timer *t, nsec_t now)
{
	nsec_t left = t->due > now ? t->due - now : 0;
	nsec_t usec = (left + 999) / 1000;
	struct timeval tv = {.tv_sec = (time_t)(usec / 1000000),
			     .tv_usec = (suseconds_t)(usec % 1000000)};
	event_add(t->ev, &tv);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct loop_timer *t = arg;
	begin(t->loop);
	/* libevent's clock is coarser and may be ahead of ours by a tick. */
	nsec_t now = clock_now();
	if (now < t->due) {
		wait_for(t, now);
		return;
	}
	unlink_timer(t);
	t->fn(t->arg); /* may free t */
}

struct loop_timer *loop_timer_new(struct loop *l, void (*fn)(void *arg), void *arg)
{
	struct loop_timer *t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	*t = (struct loop_timer){.loop = l, .fn = fn, .arg = arg};
	t->ev = event_new(l->base, -1, 0, on_timer, t);
	if (!t->ev) {
		free(t);
		errno = ENOMEM;
		return NULL;
	}
	return t;
}

void loop_timer_arm(struct loop_timer *t, nsec_t in)
{
	const nsec_t now = clock_now();
	const nsec_t most = UINT64_MAX / 4; /* a century and more: no sum below overflows */
	t->due = now + (in < most ? in : most);
	if (!t->pprev) {
		struct loop *l = t->loop;
		t->next = l->armed;
		if (t->next)
			t->next->pprev = &t->next;
		t->pprev = &l->armed;
		l->armed = t;
	}
	wait_for(t, now);
}

void loop_timer_stop(struct loop_timer *t)
{
	unlink_timer(t);
	event_del(t->ev);
}

void loop_timer_free(struct loop_timer *t)
{
	if (!t)
		return;
	unlink_timer(t);
	event_free(t->ev);
	free(t);
}

void loop_clock_moved(struct loop *l)
{
	l->now = clock_now();
	for (struct loop_timer *t = l->armed; t; t = t->next)
		wait_for(t, l->now);
}

/* ---- signals ---- */

static void on_signal(evutil_socket_t signo, short what, void *arg)
{
	struct loop_signal *s = arg;
	begin(s->loop);
	s->fn(s->arg, (int)signo);
}

struct loop_signal *loop_signal_new(struct loop *l, int signo, void (*fn)(void *arg, int signo),
				    void *arg)
{
	struct loop_signal *s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	*s = (struct loop_signal){.loop = l, .fn = fn, .arg = arg};
	s->ev = evsignal_new(l->base, signo, on_signal, s);
	if (!s->ev || event_add(s->ev, NULL)) {
		int e = errno ? errno : ENOMEM;
		loop_signal_free(s);
		errno = e;
		return NULL;
	}
	return s;
}

void loop_signal_free(struct loop_signal *s)
{
	if (!s)
		return;
	if (s->ev)
		event_free(s->ev);
	free(s);
}
