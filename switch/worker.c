/* The forwarding thread of worker.h.
 *
 * Round: sleep in epoll (not at all while ports are ready), mark ready ports, give each
 * a burst in turn, run calls from main and what main sent, tick what is due.
 *
 * Sleeping with work waiting is impossible: fds are level-triggered, calls write an
 * eventfd, and the ring from main follows the protocol in net/ring.h. */
#include "switch/worker.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "net/clock.h"
#include "net/headers.h"
#include "switch/internal.h"

#define RING_SIZE 1024u
#define PASSES_PER_WAIT 8 /* bursts a ready port gets before epoll is asked for others */
#define AGE_SLICES 16u    /* the FDB is aged in so many steps ... */
#define AGE_EVERY (5 * NSEC_PER_SEC) /* ... this far apart, as long as it has entries */

_Thread_local unsigned worker_self;

/* ---- queues ---- */

static void make_ready(struct worker *w, struct rxq *q)
{
	if (q->ready)
		return;
	q->ready = true;
	q->next_ready = NULL;
	*w->ready_end = q;
	w->ready_end = &q->next_ready;
}

static struct rxq *ready_pop(struct worker *w)
{
	struct rxq *q = w->ready;

	if (q) {
		w->ready = q->next_ready;
		if (!w->ready)
			w->ready_end = &w->ready;
		q->ready = false;
	}
	return q;
}

static void ready_del(struct worker *w, struct rxq *q)
{
	struct rxq **at = &w->ready;

	while (*at && *at != q)
		at = &(*at)->next_ready;
	if (*at) {
		*at = q->next_ready;
		if (w->ready_end == &q->next_ready)
			w->ready_end = at;
	}
	q->ready = false;
}

/* Something is, or may be, there. */
static void wake_queue(struct worker *w, struct rxq *q)
{
	if (q->port->ops->arm)
		poll_add(w, q);
	else
		make_ready(w, q);
}

void worker_queue_start(struct worker *w, struct rxq *q)
{
	/* A queue that can be polled is told of edges: its fd is never read. */
	struct epoll_event ev = {.events = EPOLLIN | (q->port->ops->arm ? EPOLLET : 0), .data.ptr = q};

	if (q->fd < 0 || epoll_ctl(w->epfd, EPOLL_CTL_ADD, q->fd, &ev) == 0)
		wake_queue(w, q);
}

void worker_queue_stop(struct worker *w, struct rxq *q)
{
	if (q->fd >= 0)
		epoll_ctl(w->epfd, EPOLL_CTL_DEL, q->fd, NULL);
	if (q->ready)
		ready_del(w, q);
	poll_del(w, q);
	q->fd = -1;
}

unsigned worker_serve(struct worker *w, struct rxq *q)
{
	struct port *p = q->port;
	struct pkt *v[PKT_BURST];
	unsigned n = p->ops->rx_burst(p, q->idx, w, v, PKT_BURST);
	size_t bytes;

	if (!n)
		return 0;
	bytes = pipeline_burst(w, p, v, n);
	w->load_bytes += bytes;
	w->load_frames += n;
	if (p->ops->rx_done)
		p->ops->rx_done(p, q->idx, w);
	/* back in line unless it has run dry */
	if (!q->polled && (n == PKT_BURST || bytes >= PORT_RX_BYTES))
		make_ready(w, q);
	return n;
}

static void serve_ready(struct worker *w)
{
	for (unsigned pass = 0; pass < PASSES_PER_WAIT && w->ready; pass++) {
		struct rxq *last = container_of(w->ready_end, struct rxq, next_ready);
		struct rxq *q;
		do {
			q = ready_pop(w);
			worker_serve(w, q);
		} while (q != last);
	}
}

/* ---- scheduling ---- */

/* While super frames stream through, the worker runs as SCHED_BATCH: woken, it does not push
 * their sender or receiver off its processor, so that more frames are there when it runs (5 %
 * more TCP between TAPs on two busy processors).  For anything else it is an ordinary
 * thread and answers at once.  Looked at every LOAD_WINDOW, at the first wake after it. */
#define LOAD_WINDOW (250 * NSEC_PER_MSEC)
#define BULK_BYTES (32u << 20) /* in a window: about 1 Gbit/s ... */
#define BULK_FRAME 8192u       /* ... of frames this long on average, acknowledgements counted */

static void weigh_load(struct worker *w)
{
	const struct sched_param none = {0};
	bool bulk;

	if (w->now - w->load_since < LOAD_WINDOW)
		return;
	bulk = w->now - w->load_since < 2 * LOAD_WINDOW && w->load_bytes >= BULK_BYTES &&
	       w->load_bytes / w->load_frames >= BULK_FRAME;
	w->load_since = w->now;
	w->load_bytes = w->load_frames = 0;
	if (bulk != w->bulk && w->ordinary &&
	    sched_setscheduler(0, bulk ? SCHED_BATCH : SCHED_OTHER, &none) == 0)
		w->bulk = bulk;
}

/* ---- calls from main ---- */

static void run_calls(struct worker *w)
{
	for (;;) {
		pthread_mutex_lock(&w->call_lock);
		struct call *c = w->calls;
		if (c) {
			w->calls = c->next;
			if (!w->calls)
				w->calls_end = &w->calls;
		} else {
			atomic_store_explicit(&w->has_calls, false, memory_order_relaxed);
		}
		pthread_mutex_unlock(&w->call_lock);
		if (!c)
			return;
		pipeline_foreign(w); /* what was sent before the call is there before it */
		c->fn(w, c->arg);
		if (!c->wait) {
			free(c);
			continue;
		}
		pthread_mutex_lock(&w->call_lock);
		c->done = true;
		pthread_cond_broadcast(&w->call_done);
		pthread_mutex_unlock(&w->call_lock);
	}
}

static void enqueue(struct worker *w, struct call *c)
{
	uint64_t one = 1;

	pthread_mutex_lock(&w->call_lock);
	c->next = NULL;
	*w->calls_end = c;
	w->calls_end = &c->next;
	atomic_store_explicit(&w->has_calls, true, memory_order_relaxed);
	pthread_mutex_unlock(&w->call_lock);
	if (write(w->call_efd, &one, sizeof(one)) < 0) { /* full counter: it is awake anyway */
	}
}

static _Thread_local bool on_worker;

static bool runs_here(const struct worker *w)
{
	return !w->started || on_worker;
}

static struct worker *worker_of(struct sw *sw, struct port *p)
{
	return p ? p->worker : &sw->worker[0];
}

static void await(struct worker *w, struct call *c)
{
	pthread_mutex_lock(&w->call_lock);
	while (!c->done)
		pthread_cond_wait(&w->call_done, &w->call_lock);
	pthread_mutex_unlock(&w->call_lock);
}

void worker_call_on(struct worker *w, void (*fn)(struct worker *w, void *arg), void *arg)
{
	struct call c = {.fn = fn, .arg = arg, .wait = true};

	if (runs_here(w)) {
		fn(w, arg);
		pipeline_pending(w);
		return;
	}
	enqueue(w, &c);
	await(w, &c);
}

void worker_call(struct sw *sw, struct port *p, void (*fn)(struct worker *w, void *arg), void *arg)
{
	worker_call_on(worker_of(sw, p), fn, arg);
}

int worker_post(struct sw *sw, struct port *p, void (*fn)(struct worker *w, void *arg), void *arg)
{
	struct worker *w = worker_of(sw, p);
	struct call *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->fn = fn;
	c->arg = arg;
	if (w->started) {
		enqueue(w, c);
		return 0;
	}
	fn(w, arg);
	pipeline_pending(w);
	free(c);
	return 0;
}

static void nothing(struct worker *w, void *arg)
{
	(void)w;
	(void)arg;
}

void sw_synchronize(struct sw *sw)
{
	struct call c[WORKERS_MAX];

	if (runs_here(&sw->worker[0]))
		return;
	for (unsigned i = 0; i < sw->n_workers; i++) {
		c[i] = (struct call){.fn = nothing, .wait = true};
		enqueue(&sw->worker[i], &c[i]);
	}
	for (unsigned i = 0; i < sw->n_workers; i++)
		await(&sw->worker[i], &c[i]);
}

/* Where the others stand while one call runs alone. */
struct halt {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned halted;
	bool over;
};

static void stand_still(struct worker *w, void *arg)
{
	struct halt *h = arg;

	(void)w;
	pthread_mutex_lock(&h->lock);
	h->halted++;
	pthread_cond_broadcast(&h->changed);
	while (!h->over)
		pthread_cond_wait(&h->changed, &h->lock);
	pthread_mutex_unlock(&h->lock);
}

void worker_call_alone(struct sw *sw, void (*fn)(struct worker *w, void *arg), void *arg)
{
	struct halt h = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
	struct call c[WORKERS_MAX];
	bool threads = sw->worker[0].started;

	for (unsigned i = 1; threads && i < sw->n_workers; i++) {
		c[i] = (struct call){.fn = stand_still, .arg = &h, .wait = true};
		enqueue(&sw->worker[i], &c[i]);
	}
	pthread_mutex_lock(&h.lock);
	while (threads && h.halted < sw->n_workers - 1)
		pthread_cond_wait(&h.changed, &h.lock);
	pthread_mutex_unlock(&h.lock);
	worker_call(sw, NULL, fn, arg);
	pthread_mutex_lock(&h.lock);
	h.over = true;
	pthread_cond_broadcast(&h.changed);
	pthread_mutex_unlock(&h.lock);
	for (unsigned i = 1; threads && i < sw->n_workers; i++)
		await(&sw->worker[i], &c[i]);
}

/* ---- rings ---- */

void worker_inject(struct worker *w, struct port *in, domain_idx dom, struct pkt *k)
{
	k->in_port = in->idx;
	k->domain = dom;
	k->flags &= (uint16_t)~(PKT_SHARED | PKT_MORE);
	if (w->pending_tail - w->pending_head == PENDING_MAX) {
		port_rx_lost(in, DROP_QUEUE_INTERNAL, 1, k->len);
		pkt_free(w->pool, k);
		return;
	}
	w->pending[w->pending_tail++ & (PENDING_MAX - 1)] = k;
}

bool worker_slow_up(struct worker *w, struct slow_sink *sink, struct pkt *k)
{
	k->ctx = sink;
	if (!pkt_own(w->pool, k) || !ring_put(&w->up, k))
		return false;
	ring_kick(&w->up);
	return true;
}

void sw_slow_down(struct port *in, domain_idx dom, struct pkt *k)
{
	struct worker *w = in->worker;

	k->in_port = in->idx;
	k->domain = dom;
	if (!ring_put(&w->down, k)) {
		in->slow_lost++;
		pkt_free(in->sw->main_pool, k);
		return;
	}
	ring_kick(&w->down);
	if (!w->started)
		while ((k = ring_get(&w->down)))
			pkt_free(in->sw->main_pool, k);
}

void sw_slow_refuse(const struct pkt *k, enum drop_reason why)
{
	struct port *p = k->offered_to;

	if (!p) /* a copy: the frame that was offered was consumed */
		return;
	p->refused[why]++;
	p->refused_bytes += k->len;
}

static void drain_down(struct worker *w)
{
	struct pkt *v[PKT_BURST];
	unsigned n;

	do {
		for (n = 0; n < PKT_BURST && (v[n] = ring_get(&w->down)); n++)
			;
		for (unsigned i = 0; i < n; i++) {
			struct port *in = sw_port(w->sw, v[i]->in_port);
			if (in)
				worker_inject(w, in, v[i]->domain, v[i]);
			else
				pkt_free(w->pool, v[i]);
		}
		pipeline_pending(w);
	} while (n == PKT_BURST);
}

/* Main: what workers handed up.  Events come before the packets sent after them. */
void worker_drain_up(struct worker *w)
{
	struct pkt *k;

	ring_awake(&w->up);
	do {
		while ((k = ring_get(&w->up))) {
			struct slow_sink *sink = k->ctx;
			sw_drain_events(w->sw);
			sink->fn(sink->arg, k);
		}
	} while (!ring_sleep(&w->up));
}

void sw_slow_drain(struct sw *sw)
{
	sw_synchronize(sw);
	sw_drain_events(sw);
	for (unsigned i = 0; i < sw->n_workers; i++)
		worker_drain_up(&sw->worker[i]);
}

/* ---- time ---- */

void port_tick_at(struct port *p, struct worker *w, nsec_t when)
{
	if (!p->tick_due || when < p->tick_due)
		p->tick_due = when;
	if (!w->next_tick || when < w->next_tick)
		w->next_tick = when;
}

static void run_ticks(struct worker *w)
{
	unsigned high = atomic_load_explicit(&w->sw->port_high, memory_order_relaxed);

	if (!w->next_tick || w->next_tick > w->now)
		return;
	w->next_tick = 0;
	for (unsigned i = 0; i < high; i++) {
		struct port *p = sw_port(w->sw, (port_idx)i);
		if (!p || p->worker != w || !p->tick_due)
			continue;
		nsec_t due = p->tick_due;
		if (due <= w->now) {
			p->tick_due = 0;
			due = p->ops->tick(p, w, w->now);
		}
		if (due)
			port_tick_at(p, w, due);
	}
	pipeline_pending(w);
}

static void run_ageing(struct worker *w)
{
	struct fdb *f = &w->sw->fdb;

	if (w->idx)
		return;
	if (!f->count)
		w->next_age = 0;
	else if (!w->next_age)
		w->next_age = w->now + AGE_EVERY;
	if (!w->next_age || w->next_age > w->now)
		return;
	w->next_age = w->now + AGE_EVERY;
	fdb_write_begin(w->sw);
	fdb_age(f, (uint32_t)(w->now / NSEC_PER_SEC), (uint32_t)(w->sw->cfg.mac_age / NSEC_PER_SEC),
		(f->mask + AGE_SLICES) / AGE_SLICES);
	fdb_write_end(w->sw);
}

#define FOREVER (~(nsec_t)0)

/* How long to sleep: to the next deadline and a coarse tick beyond, or for ever. */
static nsec_t sleep_time(const struct worker *w)
{
	nsec_t next = w->next_tick;

	if (w->next_age && (!next || w->next_age < next))
		next = w->next_age;
	if (!next)
		return FOREVER;
	return next <= w->now ? 0 : next - w->now + 4 * NSEC_PER_MSEC;
}

/* ---- the thread ---- */

static int tag_calls, tag_down; /* addresses that stand for the two eventfds */

#define WRITE_WATCH ((uintptr_t)1) /* in the low bit of an epoll tag: the port wants to write */

int port_watch_write(struct port *p, struct worker *w, int fd)
{
	struct epoll_event ev = {.events = EPOLLOUT | EPOLLONESHOT};

	ev.data.u64 = (uintptr_t)p | WRITE_WATCH;
	if (epoll_ctl(w->epfd, EPOLL_CTL_MOD, fd, &ev) == 0)
		return 0;
	return errno == ENOENT && epoll_ctl(w->epfd, EPOLL_CTL_ADD, fd, &ev) == 0 ? 0 : -errno;
}

static void on_ready(struct worker *w, uint64_t tag)
{
	struct port *p = (struct port *)(uintptr_t)(tag & ~WRITE_WATCH);
	struct rxq *q = (struct rxq *)(uintptr_t)tag;

	if (tag & WRITE_WATCH) {
		p->ops->writable(p, w);
		pipeline_pending(w);
		return;
	}
	atomic_store_explicit(&q->wakes, atomic_load_explicit(&q->wakes, memory_order_relaxed) + 1,
			      memory_order_relaxed);
	wake_queue(w, q);
}

/* The rings that lead here: announces sleep to all who send, or says that one has sent. */
static bool rings_sleep(struct worker *w)
{
	bool quiet = ring_sleep(&w->down);

	for (unsigned i = 0; w->in && i < w->sw->n_workers; i++)
		quiet = ring_sleep(&w->in[i]) && quiet;
	return quiet;
}

static void rings_awake(struct worker *w)
{
	ring_awake(&w->down);
	for (unsigned i = 0; w->in && i < w->sw->n_workers; i++)
		ring_awake(&w->in[i]);
}

/* How long to wait for events, having announced it when that is longer than nothing. */
static nsec_t may_sleep(struct worker *w, bool *ret_announced)
{
	nsec_t most, nap;

	*ret_announced = false;
	if (w->ready || w->poll.n || atomic_load_explicit(&w->has_calls, memory_order_relaxed))
		return 0;
	most = sleep_time(w);
	if (!most)
		return 0;
	nap = poll_nap(w);
	*ret_announced = true;
	if (!rings_sleep(w))
		return 0;
	return nap && nap < most ? nap : most;
}

static int wait_events(struct worker *w, struct epoll_event *ev, int max, nsec_t most)
{
	struct timespec ts = {.tv_sec = (time_t)(most / NSEC_PER_SEC),
			      .tv_nsec = (long)(most % NSEC_PER_SEC)};

	return most ? epoll_pwait2(w->epfd, ev, max, most == FOREVER ? NULL : &ts, NULL)
		    : epoll_wait(w->epfd, ev, max, 0);
}

static void wait_for_work(struct worker *w)
{
	struct epoll_event ev[64];
	bool announced;
	nsec_t most = may_sleep(w, &announced);
	int n = wait_events(w, ev, ARRAY_SIZE(ev), most);

	w->now = clock_now_coarse();
	weigh_load(w);
	if (announced)
		rings_awake(w);
	for (int i = 0; i < n; i++) {
		uint64_t junk;
		if (ev[i].data.ptr == &tag_calls) {
			if (read(w->call_efd, &junk, sizeof(junk)) < 0) { /* already read */
			}
		} else if (ev[i].data.ptr != &tag_down) {
			on_ready(w, ev[i].data.u64);
		}
	}
	if (most)
		poll_woken(w);
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;

	on_worker = true;
	worker_self = w->idx;
	(void)prctl(PR_SET_TIMERSLACK, 1000ul); /* naps end when they should */
	w->ordinary = sched_getscheduler(0) == SCHED_OTHER; /* else somebody chose: leave it */
	w->now = clock_now_coarse();
	while (!atomic_load_explicit(&w->stop, memory_order_relaxed)) {
		wait_for_work(w);
		poll_run(w);
		serve_ready(w);
		pipeline_foreign(w);
		if (!ring_empty(&w->down))
			drain_down(w);
		run_ticks(w);
		run_ageing(w);
		if (atomic_load_explicit(&w->has_calls, memory_order_relaxed))
			run_calls(w);
		pipeline_pending(w);
	}
	return NULL;
}

static int watch(struct worker *w, int fd, void *tag)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = tag};

	return epoll_ctl(w->epfd, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0;
}

static int init_rings(struct worker *w)
{
	struct sw *sw = w->sw;
	int r = ring_init(&w->up, RING_SIZE);

	if (!r)
		r = ring_init(&w->down, RING_SIZE);
	if (!r)
		r = watch(w, w->down.efd, &tag_down);
	if (r || sw->n_workers == 1)
		return r;
	w->in = aligned_alloc(_Alignof(struct ring), sw->n_workers * sizeof(*w->in));
	if (!w->in)
		return -ENOMEM;
	memset(w->in, 0, sw->n_workers * sizeof(*w->in));
	for (unsigned i = 0; !r && i < sw->n_workers; i++) {
		r = ring_init(&w->in[i], RING_SIZE);
		if (!r)
			r = watch(w, w->in[i].efd, &tag_down);
	}
	return r;
}

int worker_init(struct worker *w, struct sw *sw, unsigned idx)
{
	int r;

	w->sw = sw;
	w->idx = idx;
	w->ready_end = &w->ready;
	w->calls_end = &w->calls;
	w->now = clock_now_coarse();
	pthread_mutex_init(&w->call_lock, NULL);
	pthread_cond_init(&w->call_done, NULL);
	w->epfd = epoll_create1(EPOLL_CLOEXEC);
	w->call_efd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	w->pool = pkt_pool_new(sw->arena);
	if (w->epfd < 0 || w->call_efd < 0 || !w->pool)
		return -errno;
	r = poll_init(&w->poll);
	if (!r)
		r = init_rings(w);
	if (!r)
		r = watch(w, w->call_efd, &tag_calls);
	return r;
}

int worker_run(struct worker *w)
{
	int r;

	r = pthread_create(&w->thread, NULL, worker_main, w);
	w->started = r == 0;
	return -r;
}

static void set_stop(struct worker *w, void *arg)
{
	(void)arg;
	atomic_store_explicit(&w->stop, true, memory_order_relaxed);
}

void worker_join(struct worker *w)
{
	if (!w->started)
		return;
	struct call c = {.fn = set_stop, .wait = true};
	enqueue(w, &c);
	await(w, &c);
	pthread_join(w->thread, NULL);
	w->started = false;
	run_calls(w); /* posted after the stop */
}

static void drop_ring(struct ring *r, struct pkt_pool *pool)
{
	struct pkt *k;

	if (!r->slot)
		return;
	while ((k = ring_get(r)))
		pkt_free(pool, k);
	ring_fini(r);
}

void worker_fini(struct worker *w)
{
	drop_ring(&w->up, w->pool);
	drop_ring(&w->down, w->pool);
	for (unsigned i = 0; w->in && i < w->sw->n_workers; i++)
		drop_ring(&w->in[i], w->pool);
	free(w->in);
	poll_fini(&w->poll);
	pkt_pool_free(w->pool);
	if (w->epfd > 0)
		close(w->epfd);
	if (w->call_efd > 0)
		close(w->call_efd);
}

struct pkt_pool *worker_pool(struct worker *w)
{
	return w->pool;
}

unsigned worker_index(const struct worker *w)
{
	return w->idx;
}

nsec_t worker_clock(const struct worker *w)
{
	(void)w;
	return clock_now();
}

nsec_t worker_now(const struct worker *w)
{
	return w->now;
}
