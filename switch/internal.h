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
};

/* What a burst has for one port; filled and emptied by the worker. */
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

struct worker {
	struct sw *sw;
	pthread_t thread;
	bool started;
	_Atomic bool stop;
	int epfd, call_efd;
	struct pkt_pool *pool;
	nsec_t now;
	struct port *ready, **ready_end;
	struct port *touched;
	struct pkt *pending[PENDING_MAX];
	uint32_t pending_head, pending_tail;
	nsec_t next_tick, next_age;
	nsec_t load_since; /* of what was received since then ... */
	uint64_t load_bytes, load_frames;
	bool bulk;     /* ... the last window was super frames */
	bool ordinary; /* the thread was started as SCHED_OTHER */
	struct ring up, down;
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
	pthread_mutex_t registry; /* port table and member counts: main, and a worker that meets a new peer */
	_Atomic(struct port *) port[SW_PORTS_MAX];
	_Atomic unsigned port_high;
	_Atomic(struct domain *) domain[SW_DOMAINS_MAX];
	_Atomic domain_idx vid_domain[4096];
	_Atomic(struct capture_set *) captures;
	struct worker worker;
	struct loop_fd *up_fd, *event_fd;
	int event_efd;
	_Atomic(struct port *) event_head; /* pushed by workers */
	struct port *draining;             /* popped, not yet delivered */
	void (*on_link)(void *arg, struct port *p, bool up);
	void *on_link_arg;
	struct sw_totals gone;
	counter copies, mac_moves;
};

static inline struct port *sw_port(struct sw *sw, port_idx i)
{
	return i < SW_PORTS_MAX ? atomic_load_explicit(&sw->port[i], memory_order_acquire) : NULL;
}
static inline struct domain *sw_domain(struct sw *sw, domain_idx d)
{
	return d < SW_DOMAINS_MAX ? atomic_load_explicit(&sw->domain[d], memory_order_acquire) : NULL;
}

/* pipeline.c */
/* Forwards a burst received on `p` (members by in_port), and all that comes of it. */
void pipeline_burst(struct worker *w, struct port *p, struct pkt **v, unsigned n);
void pipeline_pending(struct worker *w);

/* worker.c */
int worker_init(struct worker *w, struct sw *sw);
void worker_fini(struct worker *w);
int worker_run(struct worker *w);
void worker_join(struct worker *w);
void worker_port_start(struct worker *w, struct port *p);
void worker_port_stop(struct worker *w, struct port *p);
void worker_drain_up(struct worker *w); /* main */

/* switch.c */
void sw_drain_events(struct sw *sw); /* main */

#endif
