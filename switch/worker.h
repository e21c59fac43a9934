/* A forwarding thread, as ports and the gateway see it.
 *
 * It sleeps in epoll over the fds of its queues, reads bursts, runs each to completion
 * through the pipeline, and sleeps again when nothing is left.  Queues that can be polled
 * are polled while packets flow (poll.c).  There are `workers` of them; what a port's
 * functions may touch without a lock is what belongs to their worker.
 *
 * All functions of the first group are called on the worker itself, inside rx_burst,
 * tx_burst, tick or a posted call; those of the second on the main thread. */
#ifndef SWITCH_WORKER_H
#define SWITCH_WORKER_H

#include "net/loop.h"
#include "net/pkt.h"
#include "switch/port.h"

/* ---- on the worker ---- */

struct pkt_pool *worker_pool(struct worker *w);
nsec_t worker_now(const struct worker *w); /* coarse, constant within a burst */
/* The clock itself, some 25 ns a look: for waits of microseconds. */
nsec_t worker_clock(const struct worker *w);
unsigned worker_index(const struct worker *w); /* 0 .. sw_workers() - 1 */

/* Sends `k` into the pipeline as if received on `in` (an internal port), in domain
 * `dom`, after the current burst.  Takes k.  When PKT_PARSED is set in k->flags, the
 * offsets are trusted; else it is parsed like any other.  Drops with QUEUE_INTERNAL,
 * counted at `in`, when too many wait. */
void worker_inject(struct worker *w, struct port *in, domain_idx dom, struct pkt *k);

/* Where the slow path ends: a function of the main thread.  It takes k (free it into
 * sw_main_pool()); k->in_port, domain and offsets are as the pipeline left them. */
struct slow_sink {
	void (*fn)(void *arg, struct pkt *k);
	void *arg;
};
/* Hands k to main.  true: k is taken.  false: the queue is full and k stays the
 * caller's, who counts it.  k must not be PKT_SHARED (copy first), nor have a tail
 * outside its own big buffer. */
bool worker_slow_up(struct worker *w, struct slow_sink *sink, struct pkt *k);

/* ---- on the main thread ---- */

unsigned sw_workers(const struct sw *sw); /* any thread: fixed at sw_new() */

struct pkt_pool *sw_main_pool(struct sw *sw);
/* Sends k into the pipeline of port `in`'s worker, like worker_inject().  Takes k.
 * Lost frames are counted at `in` with QUEUE_INTERNAL. */
void sw_slow_down(struct port *in, domain_idx dom, struct pkt *k);
/* A service has no use for k, which was handed up: moves it from tx to tx_drop[why] of the
 * port it was offered to.  k stays the caller's.  Costs an addition, whatever a guest sends. */
void sw_slow_refuse(const struct pkt *k, enum drop_reason why);
/* Delivers the events and packets that workers have handed up so far: after a sink was taken away, and before it
 * or what it points to is freed. */
void sw_slow_drain(struct sw *sw);
/* Runs fn(w, arg) on port p's worker between two bursts and waits for it to return.
 * NULL p: worker 0, which owns the FDB and the gateways.  Before sw_start() and after
 * sw_stop() it runs here. */
void worker_call(struct sw *sw, struct port *p, void (*fn)(struct worker *w, void *arg), void *arg);
/* The same without waiting; arg must live until fn has run. */
int worker_post(struct sw *sw, struct port *p, void (*fn)(struct worker *w, void *arg), void *arg);

#endif
