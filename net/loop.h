/* The main thread's event loop: a thin layer over libevent.
 *
 * Nothing above net/ includes libevent's headers, nor do the DNS forwarder's and the
 * control socket's buffers need to: fds, timers and signals are all there is, and a
 * call from another thread is an eventfd watched here.  All functions are for the
 * loop's thread.  Timers are one-shot, on the clock of net/clock.h: when
 * `clock_advance()` moves it, loop_clock_moved() makes due timers fire. */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include "net/types.h"

struct loop;
struct loop_fd;
struct loop_timer;
struct loop_signal;

enum loop_events { LOOP_READ = 1, LOOP_WRITE = 2 };

struct loop *loop_new(void); /* NULL with errno */
void loop_free(struct loop *l); /* its fds, timers and signals freed before; accepts NULL */
/* Runs until loop_stop(), or until nothing is left to wait for; 0 or -errno.  A
 * loop_stop() before it makes it return at once. */
int loop_run(struct loop *l);
void loop_stop(struct loop *l);
nsec_t loop_now(const struct loop *l); /* the time this round began */

/* Calls fn(arg, fd, events) whenever the fd is ready (level-triggered).  The fd stays
 * the caller's.  NULL with errno. */
struct loop_fd *loop_fd_new(struct loop *l, int fd, unsigned events,
			    void (*fn)(void *arg, int fd, unsigned events), void *arg);
void loop_fd_set(struct loop_fd *f, unsigned events); /* 0 pauses */
void loop_fd_free(struct loop_fd *f);                 /* accepts NULL; safe inside its fn */

/* A one-shot timer, unarmed at first; arming again replaces. */
struct loop_timer *loop_timer_new(struct loop *l, void (*fn)(void *arg), void *arg);
void loop_timer_arm(struct loop_timer *t, nsec_t in);
void loop_timer_stop(struct loop_timer *t);
void loop_timer_free(struct loop_timer *t); /* accepts NULL; safe inside its fn */
/* After clock_advance(): re-examines every armed timer. */
void loop_clock_moved(struct loop *l);

struct loop_signal *loop_signal_new(struct loop *l, int signo, void (*fn)(void *arg, int signo),
				    void *arg);
void loop_signal_free(struct loop_signal *s);

#endif
