/* What the switch's own files share; nobody outside switch/ includes this.
 *
 * switch.c    registry of ports and domains, publication, what main calls
 * worker.c    the thread: epoll, ready ports, calls from main, rings, ticks
 * pipeline.c  what happens to a burst */
#ifndef SWITCH_INTERNAL_H
#define SWITCH_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "net/ring.h"
#include "switch/capture.h"
#include "switch/switch.h"

#define PORT_EV_OWN_SHIFT 16 /* event bits above are the switch's own */
#define PORT_EV_MEMBERS (1u << 16)
#define PORT_EV_END (1u << 17)

#define PENDING_MAX 2048u /* a power of two */
#define WORKERS_MAX 16u

/* Who gets the frames of a domain that have no single destination. */
struct flood {
	unsigned n;
	struct port *port[];
};

struct domain {
	domain_idx idx;
	vlan_id vid;
	char network[40];
	_Atomic(struct flood *) flood;
	struct port *also; /* of other domains as well: sw_domain_also(); main's */
};

/* What a worker's burst has for one port; filled and emptied by that worker. */
struct outq {
	unsigned n;
	struct port *next; /* of those touched in this burst */
	struct pkt_out v[PKT_BURST];
};

struct call {
	void (*fn)(struct worker *w, void *arg);
	void *arg;
	bool wait, done;
	struct call *next;
};

/* Queues that are polled, and what was learned about when to stop; see poll.c. */
struct poller {
	struct rxq **q; /* room for all there can be, touched as it fills */
	unsigned n, last; /* last: of those armed together, for a nap */
	nsec_t dry_since, window, slept_at;
	/* the rhythm of what comes seldom but regularly */
	nsec_t first, period, deviation; /* first: of the last busy spell */
	nsec_t nap_until, watch_until;
	uint8_t steady;
};

struct worker {
	struct sw *sw;
	unsigned idx;
	pthread_t thread;
	bool started;
	_Atomic bool stop;
	int epfd, call_efd;
	struct pkt_pool *pool;
	nsec_t now;
	struct rxq *ready, **ready_end;
	struct poller poll;
	struct port *touched;
	struct pkt *pending[PENDING_MAX];
	uint32_t pending_head, pending_tail;
	nsec_t next_tick, next_age;
	nsec_t load_since; /* of what was received since then ... */
	uint64_t load_bytes, load_frames;
	bool bulk;     /* ... the last window was super frames */
	bool ordinary; /* the thread was started as SCHED_OTHER */
	struct ring up, down; /* to and from main */
	struct ring *in;      /* from each other worker, by its index; NULL with one worker */
	counter copies;
	pthread_mutex_t call_lock;
	pthread_cond_t call_done;
	struct call *calls, **calls_end;
	_Atomic bool has_calls;
};

struct sw {
	struct loop *loop;
	struct sw_config cfg;
	struct arena *arena;
	struct pkt_pool *main_pool;
	struct fdb fdb;
	void *fdb_mem;
	pthread_mutex_t fdb_lock; /* of its writers, when there are several workers */
	pthread_mutex_t registry; /* port table and member counts: main, and a worker that meets a new peer */
	_Atomic(struct port *) port[SW_PORTS_MAX];
	_Atomic unsigned port_high;
	_Atomic(struct domain *) domain[SW_DOMAINS_MAX];
	_Atomic domain_idx vid_domain[4096];
	_Atomic(struct capture_set *) captures;
	struct worker *worker; /* n_workers */
	unsigned n_workers, next_worker;
	struct loop_fd *up_fd[WORKERS_MAX], *event_fd;
	int event_efd;
	_Atomic(struct port *) event_head; /* pushed by workers */
	struct port *draining;             /* popped, not yet delivered */
	void (*on_link)(void *arg, struct port *p, bool up);
	void *on_link_arg;
	struct sw_totals gone;
};

/* Which worker this thread is; main, and tests without threads, count as 0. */
extern _Thread_local unsigned worker_self;

static inline struct port_counters *port_counters_here(struct port *p)
{
	return &p->c[worker_self];
}
/* The FDB has one writer at a time; with one worker that is the worker. */
static inline void fdb_write_begin(struct sw *sw)
{
	if (sw->n_workers > 1)
		pthread_mutex_lock(&sw->fdb_lock);
}
static inline void fdb_write_end(struct sw *sw)
{
	if (sw->n_workers > 1)
		pthread_mutex_unlock(&sw->fdb_lock);
}

static inline struct port *sw_port(struct sw *sw, port_idx i)
{
	return i < SW_PORTS_MAX ? atomic_load_explicit(&sw->port[i], memory_order_acquire) : NULL;
}
static inline struct domain *sw_domain(struct sw *sw, domain_idx d)
{
	return d < SW_DOMAINS_MAX ? atomic_load_explicit(&sw->domain[d], memory_order_acquire) : NULL;
}

/* pipeline.c */
/* Forwards a burst received on `p` (members by in_port), and all that comes of it; returns
 * its bytes. */
size_t pipeline_burst(struct worker *w, struct port *p, struct pkt **v, unsigned n);
void pipeline_pending(struct worker *w);
/* What other workers have for ports of this one, whole. */
void pipeline_foreign(struct worker *w);

/* worker.c */
int worker_init(struct worker *w, struct sw *sw, unsigned idx);
void worker_fini(struct worker *w);
int worker_run(struct worker *w);
void worker_join(struct worker *w);
/* On the worker the queue belongs to. */
void worker_queue_start(struct worker *w, struct rxq *q);
void worker_queue_stop(struct worker *w, struct rxq *q);
void worker_drain_up(struct worker *w); /* main */
/* One burst of a queue; returns how many frames it brought. */
unsigned worker_serve(struct worker *w, struct rxq *q);
void worker_call_on(struct worker *w, void (*fn)(struct worker *w, void *arg), void *arg); /* main */
/* Runs fn on worker 0 while all others stand between two bursts (main). */
void worker_call_alone(struct sw *sw, void (*fn)(struct worker *w, void *arg), void *arg);

/* poll.c */
int poll_init(struct poller *p);
void poll_fini(struct poller *p);
void poll_add(struct worker *w, struct rxq *q);
void poll_del(struct worker *w, struct rxq *q);
/* Polls for as long as there is nothing else to do and something comes, or may still come. */
void poll_run(struct worker *w);
/* All queues are armed and the worker may sleep: for how long at most, 0 = for ever. */
nsec_t poll_nap(struct worker *w);
void poll_woken(struct worker *w);

/* switch.c */
void sw_drain_events(struct sw *sw); /* main */

#endif
