/* The registry of ports and domains, and what main may ask of the switch.
 *
 * Workers read three published things: the port table, a port's conf and a domain's
 * flood list.  Main replaces each as a whole and frees the old one after
 * sw_synchronize(). */
#include "switch/switch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "net/clock.h"
#include "switch/internal.h"

#define DEFAULT_MACS 131072u
#define DEFAULT_SMALL_SLOTS 4096u
#define DEFAULT_BIG_SLOTS 192u
#define DEFAULT_AGE (300 * NSEC_PER_SEC)

/* ---- life ---- */

static void on_up(void *arg, int fd, unsigned events)
{
	(void)fd;
	(void)events;
	worker_drain_up(arg);
}

static void on_event(void *arg, int fd, unsigned events)
{
	uint64_t junk;

	(void)events;
	if (read(fd, &junk, sizeof(junk)) < 0) { /* already read */
	}
	sw_drain_events(arg);
}

static int sw_init_memory(struct sw *sw)
{
	uint64_t secret;

	if (getrandom(&secret, sizeof(secret), 0) != sizeof(secret))
		return -errno;
	sw->arena = arena_new(sw->cfg.small_slots, sw->cfg.big_slots);
	if (!sw->arena)
		return -errno;
	sw->main_pool = pkt_pool_new(sw->arena);
	if (!sw->main_pool)
		return -ENOMEM;
	sw->fdb_mem = mmap(NULL, fdb_bytes(sw->cfg.max_macs), PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (sw->fdb_mem == MAP_FAILED) {
		sw->fdb_mem = NULL;
		return -errno;
	}
	return fdb_init(&sw->fdb, sw->fdb_mem, sw->cfg.max_macs, SW_PORTS_MAX, SW_DOMAINS_MAX, secret);
}

static int sw_init_workers(struct sw *sw)
{
	int r = 0;

	sw->worker = calloc(sw->cfg.workers, sizeof(*sw->worker));
	if (!sw->worker)
		return -ENOMEM;
	sw->n_workers = sw->cfg.workers;
	for (unsigned i = 0; !r && i < sw->n_workers; i++)
		r = worker_init(&sw->worker[i], sw, i);
	return r;
}

static int sw_init_loop(struct sw *sw)
{
	sw->event_efd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (sw->event_efd < 0)
		return -errno;
	sw->event_fd = loop_fd_new(sw->loop, sw->event_efd, LOOP_READ, on_event, sw);
	if (!sw->event_fd)
		return -ENOMEM;
	for (unsigned i = 0; i < sw->n_workers; i++) {
		struct worker *w = &sw->worker[i];
		sw->up_fd[i] = loop_fd_new(sw->loop, w->up.efd, LOOP_READ, on_up, w);
		if (!sw->up_fd[i])
			return -ENOMEM;
		worker_drain_up(w); /* announces that main sleeps */
	}
	return 0;
}

struct sw *sw_new(struct loop *loop, const struct sw_config *cfg)
{
	struct sw *sw = calloc(1, sizeof(*sw));
	int r;

	if (!sw)
		return NULL;
	sw->loop = loop;
	sw->cfg = *cfg;
	sw->cfg.workers = !cfg->workers ? 1 : cfg->workers < WORKERS_MAX ? cfg->workers : WORKERS_MAX;
	sw->cfg.max_macs = cfg->max_macs ? cfg->max_macs : DEFAULT_MACS;
	sw->cfg.small_slots = cfg->small_slots ? cfg->small_slots : DEFAULT_SMALL_SLOTS;
	sw->cfg.big_slots = cfg->big_slots ? cfg->big_slots : DEFAULT_BIG_SLOTS;
	sw->cfg.mac_age = cfg->mac_age ? cfg->mac_age : DEFAULT_AGE;
	sw->event_efd = -1;
	pthread_mutex_init(&sw->registry, NULL);
	pthread_mutex_init(&sw->fdb_lock, NULL);
	for (unsigned v = 0; v < ARRAY_SIZE(sw->vid_domain); v++)
		atomic_init(&sw->vid_domain[v], DOMAIN_NONE);
	r = sw_init_memory(sw);
	if (!r)
		r = sw_init_workers(sw);
	if (!r)
		r = sw_init_loop(sw);
	if (r) {
		sw_free(sw);
		errno = -r;
		return NULL;
	}
	return sw;
}

int sw_start(struct sw *sw)
{
	int r = 0;

	for (unsigned i = 0; !r && i < sw->n_workers; i++)
		r = worker_run(&sw->worker[i]);
	return r;
}

void sw_stop(struct sw *sw)
{
	for (unsigned i = sw->n_workers; i-- > 0;) /* worker 0 last: it serves what others sent */
		worker_join(&sw->worker[i]);
}

unsigned sw_workers(const struct sw *sw)
{
	return sw->n_workers;
}

void sw_free(struct sw *sw)
{
	if (!sw)
		return;
	sw_stop(sw);
	for (unsigned i = 0; i < SW_PORTS_MAX; i++) {
		struct port *p = sw_port(sw, (port_idx)i);
		if (p && !p->parent)
			sw_port_del(p);
	}
	for (unsigned d = 0; d < SW_DOMAINS_MAX; d++)
		sw_domain_del(sw, (domain_idx)d);
	loop_fd_free(sw->event_fd);
	for (unsigned i = 0; i < sw->n_workers; i++) {
		loop_fd_free(sw->up_fd[i]);
		worker_fini(&sw->worker[i]);
	}
	free(sw->worker);
	pkt_pool_free(sw->main_pool);
	if (sw->arena)
		arena_free(sw->arena);
	fdb_fini(&sw->fdb);
	if (sw->fdb_mem)
		munmap(sw->fdb_mem, fdb_bytes(sw->cfg.max_macs));
	if (sw->event_efd >= 0)
		close(sw->event_efd);
	pthread_mutex_destroy(&sw->registry);
	pthread_mutex_destroy(&sw->fdb_lock);
	free(sw);
}

void sw_on_link(struct sw *sw, void (*fn)(void *arg, struct port *p, bool up), void *arg)
{
	sw->on_link = fn;
	sw->on_link_arg = arg;
}

struct arena_stats sw_arena_stats(struct sw *sw)
{
	return arena_stats(sw->arena);
}

struct pkt_pool *sw_main_pool(struct sw *sw)
{
	return sw->main_pool;
}

struct capture_set *sw_captures(struct sw *sw)
{
	return atomic_load_explicit(&sw->captures, memory_order_acquire);
}

void sw_captures_publish(struct sw *sw, struct capture_set *cs)
{
	atomic_store_explicit(&sw->captures, cs, memory_order_release);
	sw_synchronize(sw);
}

/* ---- flood lists ---- */

static bool belongs(const struct port *p, const struct domain *d)
{
	const struct port_conf *c = atomic_load_explicit(&p->conf, memory_order_acquire);

	if (p->ops->members && !p->parent)
		return false;
	if (d->also == p)
		return true;
	if (c->domain != DOMAIN_NONE)
		return c->domain == d->idx;
	return d->vid && vlan_member(&c->vlan, d->vid);
}

static void rebuild_flood(struct sw *sw, struct domain *d, struct flood **ret_old)
{
	unsigned high = atomic_load_explicit(&sw->port_high, memory_order_acquire), n = 0;
	struct flood *f;

	for (unsigned i = 0; i < high; i++)
		n += sw_port(sw, (port_idx)i) && belongs(sw_port(sw, (port_idx)i), d);
	*ret_old = NULL;
	f = malloc(sizeof(*f) + n * sizeof(f->port[0]));
	if (!f)
		return; /* the old list goes on; only a port is missed until the next change */
	f->n = 0;
	for (unsigned i = 0; i < high && f->n < n; i++) {
		struct port *p = sw_port(sw, (port_idx)i);
		if (p && belongs(p, d))
			f->port[f->n++] = p;
	}
	*ret_old = atomic_exchange_explicit(&d->flood, f, memory_order_acq_rel);
}

static bool floods_to(const struct domain *d, const struct port *p)
{
	const struct flood *f = atomic_load_explicit(&d->flood, memory_order_acquire);

	for (unsigned i = 0; f && i < f->n; i++) {
		if (f->port[i] == p)
			return true;
	}
	return false;
}

/* Rebuilds the lists of all domains, of one (`only`), or of those that p is or should be in, and frees
 * the old ones. */
static void rebuild(struct sw *sw, struct domain *only, const struct port *p)
{
	struct flood **old = calloc(SW_DOMAINS_MAX, sizeof(*old));
	unsigned n = 0;

	if (!old)
		return;
	pthread_mutex_lock(&sw->registry);
	for (unsigned i = 0; i < SW_DOMAINS_MAX; i++) {
		struct domain *d = sw_domain(sw, (domain_idx)i);
		if (d && (!only || d == only) && (!p || belongs(p, d) || floods_to(d, p)))
			rebuild_flood(sw, d, &old[n++]);
	}
	pthread_mutex_unlock(&sw->registry);
	sw_synchronize(sw);
	while (n)
		free(old[--n]);
	free(old);
}

static void rebuild_floods(struct sw *sw, struct domain *only)
{
	rebuild(sw, only, NULL);
}

/* After a change of p alone: with a thousand domains the others are not looked through. */
static void rebuild_floods_of(struct port *p)
{
	rebuild(p->sw, NULL, p->ops->members ? NULL : p);
}

/* ---- domains ---- */

int sw_domain_add(struct sw *sw, vlan_id vid, const char *network, domain_idx *ret_domain)
{
	struct domain *d;
	domain_idx i = 0;

	if (vid && sw_domain_of_vid(sw, vid) != DOMAIN_NONE)
		return -EEXIST;
	while (i < SW_DOMAINS_MAX && sw_domain(sw, i))
		i++;
	if (i == SW_DOMAINS_MAX)
		return -ENOSPC;
	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	d->idx = i;
	d->vid = vid;
	snprintf(d->network, sizeof(d->network), "%s", network ? network : "");
	atomic_store_explicit(&sw->domain[i], d, memory_order_release);
	rebuild_floods(sw, d);
	if (vid)
		atomic_store_explicit(&sw->vid_domain[vid], i, memory_order_release);
	*ret_domain = i;
	return 0;
}

static void flush_domain(struct worker *w, void *arg)
{
	fdb_write_begin(w->sw);
	fdb_flush_domain(&w->sw->fdb, *(domain_idx *)arg);
	fdb_write_end(w->sw);
}

void sw_domain_del(struct sw *sw, domain_idx i)
{
	struct domain *d = sw_domain(sw, i);

	if (!d)
		return;
	if (d->vid)
		atomic_store_explicit(&sw->vid_domain[d->vid], DOMAIN_NONE, memory_order_release);
	atomic_store_explicit(&sw->domain[i], NULL, memory_order_release);
	sw_synchronize(sw);
	worker_call(sw, NULL, flush_domain, &i);
	free(atomic_load_explicit(&d->flood, memory_order_acquire));
	free(d);
}

void sw_domain_also(struct sw *sw, domain_idx i, struct port *p)
{
	struct domain *d = sw_domain(sw, i);

	if (!d)
		return;
	d->also = p;
	rebuild_floods(sw, d);
}

void sw_domain_rename(struct sw *sw, domain_idx i, const char *network)
{
	struct domain *d = sw_domain(sw, i);

	if (d) /* read by main only */
		snprintf(d->network, sizeof(d->network), "%s", network ? network : "");
}

domain_idx sw_domain_of_vid(struct sw *sw, vlan_id vid)
{
	return vid < 4096 ? atomic_load_explicit(&sw->vid_domain[vid], memory_order_acquire) : DOMAIN_NONE;
}

vlan_id sw_domain_vid(struct sw *sw, domain_idx i)
{
	struct domain *d = sw_domain(sw, i);

	return d ? d->vid : 0;
}

const char *sw_domain_network(struct sw *sw, domain_idx i)
{
	struct domain *d = sw_domain(sw, i);

	return d ? d->network : "";
}

/* ---- ports ---- */

static void port_destroy(struct port *p)
{
	free(p->outq);
	free(p->c);
	free(p->rxq);
	free(p);
}

static void *lines_alloc(size_t n, size_t size) /* workers do not share cache lines */
{
	size_t bytes = (n * size + 63) & ~(size_t)63;
	void *mem = aligned_alloc(64, bytes);

	return mem ? memset(mem, 0, bytes) : NULL;
}

static struct port *port_new(struct sw *sw, const struct port_ops *ops, void *priv, struct port_caps caps)
{
	struct port *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->ops = ops;
	p->priv = priv;
	p->caps = caps;
	p->sw = sw;
	p->idx = PORT_NONE;
	p->n_rxq = caps.queues ? caps.queues : 1;
	p->outq = lines_alloc(sw->n_workers, sizeof(*p->outq));
	p->c = lines_alloc(sw->n_workers, sizeof(*p->c));
	p->rxq = calloc(p->n_rxq, sizeof(*p->rxq));
	if (!p->outq || !p->c || !p->rxq) {
		port_destroy(p);
		return NULL;
	}
	for (uint16_t i = 0; i < p->n_rxq; i++)
		p->rxq[i] = (struct rxq){.port = p, .idx = i, .fd = -1};
	return p;
}

/* Who runs the port: spread over the workers, but for those that must be together. */
static struct worker *worker_for(struct sw *sw, const struct port *p)
{
	if (p->parent && p->parent->ops == p->ops && p->parent->priv == p->priv)
		return p->parent->worker;
	return &sw->worker[p->ops->on_first_worker ? 0 : sw->next_worker++ % sw->n_workers];
}

static struct port *find_locked(struct sw *sw, const char *name)
{
	unsigned high = atomic_load_explicit(&sw->port_high, memory_order_relaxed);

	for (unsigned i = 0; i < high; i++) {
		struct port *p = sw_port(sw, (port_idx)i);
		if (p && strcmp(p->name, name) == 0)
			return p;
	}
	return NULL;
}

static int enter_locked(struct sw *sw, struct port *p)
{
	port_idx i = 0;

	while (i < SW_PORTS_MAX && sw_port(sw, i))
		i++;
	if (i == SW_PORTS_MAX)
		return -ENOSPC;
	p->idx = i;
	if (i >= atomic_load_explicit(&sw->port_high, memory_order_relaxed))
		atomic_store_explicit(&sw->port_high, i + 1u, memory_order_release);
	atomic_store_explicit(&sw->port[i], p, memory_order_release);
	return 0;
}

static const struct port_conf *conf_copy(const struct port_conf *conf)
{
	struct port_conf *c = malloc(sizeof(*c));

	if (c)
		*c = *conf;
	return c;
}

int sw_port_add(struct sw *sw, const char *name, const struct port_ops *ops, void *priv,
		const struct port_conf *conf, struct port_caps caps, bool hidden, struct port *parent,
		struct port **ret_port)
{
	struct port *p;
	int r;

	if (strlen(name) >= PORT_NAME_MAX)
		return -ENAMETOOLONG;
	if (caps.queues > PORT_QUEUES_MAX)
		return -EINVAL;
	p = port_new(sw, ops, priv, caps);
	if (!p)
		return -ENOMEM;
	atomic_init(&p->conf, conf_copy(conf));
	snprintf(p->name, sizeof(p->name), "%s", name);
	p->hidden = hidden;
	p->parent = parent;
	p->worker = worker_for(sw, p);
	pthread_mutex_lock(&sw->registry);
	if (!atomic_load_explicit(&p->conf, memory_order_relaxed))
		r = -ENOMEM;
	else
		r = find_locked(sw, name) ? -EEXIST : enter_locked(sw, p);
	pthread_mutex_unlock(&sw->registry);
	if (r) {
		free((void *)(uintptr_t)atomic_load_explicit(&p->conf, memory_order_relaxed));
		port_destroy(p);
		return r;
	}
	rebuild_floods_of(p);
	*ret_port = p;
	return 0;
}

/* A member that its backend made (not one that main added under a parent of its own). */
static bool shares_conf(const struct port *p)
{
	return p->parent && p->priv == p->parent->priv && p->ops == p->parent->ops && p->peer;
}

/* Takes in what main has counted, when main waits for the worker or the worker has left. */
static void fold_slow(struct port *p)
{
	struct port_counters *c = port_counters_here(p);

	if (p->slow_lost)
		port_rx_lost(p, DROP_QUEUE_INTERNAL, (unsigned)p->slow_lost, 0);
	for (unsigned i = 0; i < DROP_COUNT; i++) {
		counter_add(&c->tx_packets, -p->refused[i]);
		counter_add(&c->tx_drop[i], p->refused[i]);
		p->refused[i] = 0;
	}
	counter_add(&c->tx_bytes, -p->refused_bytes);
	p->slow_lost = p->refused_bytes = 0;
}

static void sum_counters(const struct port *p, struct sw_port_counters *o);

static void count_gone(struct sw *sw, struct port *p)
{
	struct sw_port_counters c;

	fold_slow(p);
	sum_counters(p, &c);
	sw->gone.gone_offered += c.offered;
	sw->gone.mac_moves += c.mac_moves;
	for (unsigned i = 0; i < DROP_COUNT; i++) {
		sw->gone.gone_rx_drop[i] += c.rx_drop[i];
		sw->gone.gone_tx_drop[i] += c.tx_drop[i];
	}
}

static void flush_port(struct worker *w, void *arg)
{
	fdb_write_begin(w->sw);
	fdb_flush_port(&w->sw->fdb, ((struct port *)arg)->idx);
	fdb_write_end(w->sw);
}

static void forget_events(struct sw *sw, struct port *p);

static void end_also(struct sw *sw, const struct port *p)
{
	for (unsigned i = 0; i < SW_DOMAINS_MAX; i++) {
		struct domain *d = sw_domain(sw, (domain_idx)i);
		if (d && d->also == p)
			d->also = NULL;
	}
}

void sw_port_del(struct port *p)
{
	struct sw *sw;
	bool shared;

	if (!p)
		return;
	sw = p->sw;
	shared = shares_conf(p);
	port_stop(p);
	for (unsigned i = 0; i < SW_PORTS_MAX; i++) {
		struct port *m = sw_port(sw, (port_idx)i);
		if (m && m->parent == p)
			sw_port_del(m);
	}
	pthread_mutex_lock(&sw->registry);
	atomic_store_explicit(&sw->port[p->idx], NULL, memory_order_release);
	pthread_mutex_unlock(&sw->registry);
	end_also(sw, p);
	rebuild_floods_of(p); /* and waits for the workers: none finds the port any more */
	sw_synchronize(sw);	  /* what they had sent to its worker has been there */
	worker_call(sw, NULL, flush_port, p);
	sw_slow_drain(sw); /* what it handed up is delivered while its object still lives */
	forget_events(sw, p);
	if (p->ops->close)
		p->ops->close(p);
	count_gone(sw, p); /* after close, which may undo frames it had kept */
	if (!shared)
		free((void *)(uintptr_t)atomic_load_explicit(&p->conf, memory_order_relaxed));
	port_destroy(p);
}

static void each_member(struct sw *sw, struct port *parent,
			void (*fn)(struct port *m, void *arg), void *arg)
{
	unsigned high = atomic_load_explicit(&sw->port_high, memory_order_acquire);

	for (unsigned i = 0; i < high; i++) {
		struct port *m = sw_port(sw, (port_idx)i);
		if (m && m->parent == parent && shares_conf(m))
			fn(m, arg);
	}
}

static void member_running(struct port *m, void *arg)
{
	atomic_store_explicit(&m->running, *(bool *)arg, memory_order_release);
}

/* ---- queues ---- */

static void start_queue(struct worker *w, void *arg)
{
	worker_queue_start(w, arg);
}

static void stop_queue(struct worker *w, void *arg)
{
	worker_queue_stop(w, arg);
}

int port_queue_start(struct port *p, unsigned queue, int fd)
{
	struct rxq *q = &p->rxq[queue];

	if (q->worker)
		return -EALREADY;
	q->fd = fd;
	q->worker = &p->sw->worker[(p->worker->idx + queue) % p->sw->n_workers];
	worker_call_on(q->worker, start_queue, q);
	return 0;
}

void port_queue_stop(struct port *p, unsigned queue)
{
	struct rxq *q = &p->rxq[queue];

	if (!q->worker)
		return;
	worker_call_on(q->worker, stop_queue, q);
	q->worker = NULL;
}

static void begin_ticks(struct worker *w, void *arg)
{
	port_tick_at(arg, w, w->now);
}

int port_start(struct port *p, int fd)
{
	bool yes = true;

	if (atomic_load_explicit(&p->running, memory_order_acquire))
		return -EALREADY;
	atomic_store_explicit(&p->running, true, memory_order_release);
	if (fd >= 0)
		port_queue_start(p, 0, fd);
	if (p->ops->tick)
		worker_call(p->sw, p, begin_ticks, p);
	each_member(p->sw, p, member_running, &yes);
	if (p->sw->on_link)
		p->sw->on_link(p->sw->on_link_arg, p, true);
	return 0;
}

static void end_ticks(struct worker *w, void *arg)
{
	(void)w;
	((struct port *)arg)->tick_due = 0;
}

void port_stop(struct port *p)
{
	bool no = false;

	if (!atomic_load_explicit(&p->running, memory_order_acquire))
		return;
	each_member(p->sw, p, member_running, &no);
	atomic_store_explicit(&p->running, false, memory_order_release);
	for (unsigned i = 0; i < p->n_rxq; i++)
		port_queue_stop(p, i);
	worker_call(p->sw, p, end_ticks, p);
	sw_synchronize(p->sw); /* no worker is sending to it */
	if (p->sw->on_link)
		p->sw->on_link(p->sw->on_link_arg, p, false);
}

static void member_conf(struct port *m, void *arg)
{
	atomic_store_explicit(&m->conf, arg, memory_order_release);
}

/* Under the registry's lock, so that a member that a worker makes meanwhile has the one or the other. */
static const struct port_conf *swap_conf(struct port *p, const struct port_conf *c)
{
	const struct port_conf *old;

	pthread_mutex_lock(&p->sw->registry);
	old = atomic_exchange_explicit(&p->conf, c, memory_order_acq_rel);
	each_member(p->sw, p, member_conf, (void *)(uintptr_t)c);
	pthread_mutex_unlock(&p->sw->registry);
	return old;
}

static void flush_member(struct port *m, void *sw)
{
	sw_fdb_flush_port(sw, m);
}

static bool same_vlans(const struct port_conf *a, const struct port_conf *b)
{
	return a->domain == b->domain && memcmp(&a->vlan, &b->vlan, sizeof(a->vlan)) == 0;
}

/* Ports that main added under a parent (matches of a name pattern) have confs of their own. */
static int set_children(struct port *p, const struct port_conf *conf)
{
	port_idx n = sw_port_count(p->sw);
	int result = 0;

	for (port_idx i = 0; i < n; i++) {
		struct port *m = sw_port(p->sw, i);
		int r = m && m->parent == p && !shares_conf(m) ? port_set_conf(m, conf) : 0;
		if (r)
			result = r;
	}
	return result;
}

int port_set_conf(struct port *p, const struct port_conf *conf)
{
	const struct port_conf *c = conf_copy(conf), *old;

	if (!c)
		return -ENOMEM;
	old = swap_conf(p, c);
	rebuild_floods_of(p);
	if (!same_vlans(old, c)) { /* else they would still be found where they were */
		sw_fdb_flush_port(p->sw, p);
		each_member(p->sw, p, flush_member, p->sw);
	}
	free((void *)(uintptr_t)old);
	if (p->ops->conf_changed)
		p->ops->conf_changed(p, conf);
	return set_children(p, conf);
}

void port_set_caps(struct port *p, struct port_caps caps)
{
	p->caps = caps;
}

struct port *sw_port_find(struct sw *sw, const char *name)
{
	pthread_mutex_lock(&sw->registry);
	struct port *p = find_locked(sw, name);
	pthread_mutex_unlock(&sw->registry);
	return p;
}

struct port *sw_port_at(struct sw *sw, port_idx i)
{
	return sw_port(sw, i);
}

port_idx sw_port_count(struct sw *sw)
{
	return (port_idx)atomic_load_explicit(&sw->port_high, memory_order_acquire);
}

/* ---- from the worker ---- */

static void push_event(struct port *p, unsigned bits)
{
	struct sw *sw = p->sw;
	uint64_t one = 1;

	if (atomic_fetch_or_explicit(&p->events, bits, memory_order_acq_rel))
		return; /* already on the list */
	p->next_event = atomic_load_explicit(&sw->event_head, memory_order_relaxed);
	while (!atomic_compare_exchange_weak_explicit(&sw->event_head, &p->next_event, p,
						      memory_order_acq_rel, memory_order_relaxed))
		;
	if (write(sw->event_efd, &one, sizeof(one)) < 0) { /* full counter: main is awake */
	}
}

void port_event(struct port *p, unsigned code)
{
	push_event(p, code & ((1u << PORT_EV_OWN_SHIFT) - 1));
}

/* "PARENT/PEER", or "PARENT/PEER~2" and so on when that is taken. */
static int name_member(struct sw *sw, struct port *m, const char *parent, const char *peer)
{
	for (unsigned i = 1; i < 1000; i++) {
		int n = i == 1 ? snprintf(m->name, sizeof(m->name), "%s/%s", parent, peer)
			       : snprintf(m->name, sizeof(m->name), "%s/%.40s~%u", parent, peer, i);
		if (n >= (int)sizeof(m->name))
			continue;
		if (!find_locked(sw, m->name))
			return 0;
	}
	return -EEXIST;
}

/* Whether a parent with at most `limit` members, and the switch, may have one more. */
static bool room_for_member(struct sw *sw, const struct port *parent, unsigned limit)
{
	unsigned high = atomic_load_explicit(&sw->port_high, memory_order_relaxed);
	unsigned members = 0, listed = 0;

	for (unsigned i = 0; i < high; i++) {
		struct port *p = sw_port(sw, (port_idx)i);
		members += p && p->parent == parent;
		listed += p && !p->hidden;
	}
	return members < limit && (!sw->cfg.max_ports || listed < sw->cfg.max_ports);
}

int port_member_new(struct port *parent, const char *peername, void *peer, unsigned limit,
		    struct port **ret_port)
{
	struct sw *sw = parent->sw;
	struct port *m = port_new(sw, parent->ops, parent->priv, parent->caps);
	int r;

	if (!m)
		return -ENOMEM;
	m->peer = peer;
	m->parent = parent;
	m->worker = parent->worker;
	atomic_init(&m->running, true);
	pthread_mutex_lock(&sw->registry);
	atomic_init(&m->conf, atomic_load_explicit(&parent->conf, memory_order_acquire));
	r = room_for_member(sw, parent, limit) ? name_member(sw, m, parent->name, peername) : -ENOSPC;
	if (!r)
		r = enter_locked(sw, m);
	pthread_mutex_unlock(&sw->registry);
	if (r) {
		port_destroy(m);
		return r;
	}
	push_event(parent, PORT_EV_MEMBERS);
	*ret_port = m;
	return 0;
}

void port_member_end(struct port *member)
{
	atomic_store_explicit(&member->running, false, memory_order_release);
	push_event(member, PORT_EV_END);
}

void port_rx_lost(struct port *p, enum drop_reason why, unsigned n, size_t bytes)
{
	struct port_counters *c = port_counters_here(p);

	counter_add(&c->rx_packets, n);
	counter_add(&c->rx_bytes, bytes);
	counter_add(&c->rx_segments, n);
	counter_add(&c->rx_drop[why], n);
}

void port_tx_undo(struct port *p, enum drop_reason why, size_t bytes)
{
	struct port_counters *c = port_counters_here(p);

	counter_add(&c->tx_packets, (uint64_t)-1);
	counter_add(&c->tx_bytes, -(uint64_t)bytes);
	counter_add(&c->tx_drop[why], 1);
}

/* ---- events, on main ---- */

static void pull_events(struct sw *sw)
{
	struct port *p = atomic_exchange_explicit(&sw->event_head, NULL, memory_order_acq_rel);

	while (p) { /* the list is last in first out: turn it round */
		struct port *next = p->next_event;
		p->next_event = sw->draining;
		sw->draining = p;
		p = next;
	}
}

static void forget_events(struct sw *sw, struct port *p)
{
	struct port **at = &sw->draining;

	pull_events(sw);
	while (*at && *at != p)
		at = &(*at)->next_event;
	if (*at)
		*at = p->next_event;
}

static void deliver(struct sw *sw, struct port *p, unsigned bits)
{
	if (bits & PORT_EV_MEMBERS)
		rebuild_floods(sw, NULL);
	if (bits & PORT_EV_END) {
		if (sw_port(sw, p->idx) == p) /* else sw_port_del() is at it, and waits for us */
			sw_port_del(p);
		return;
	}
	bits &= (1u << PORT_EV_OWN_SHIFT) - 1;
	if (bits && p->ops->event)
		p->ops->event(p, bits);
}

void sw_drain_events(struct sw *sw)
{
	if (likely(!atomic_load_explicit(&sw->event_head, memory_order_acquire) && !sw->draining))
		return;
	pull_events(sw);
	while (sw->draining) {
		struct port *p = sw->draining;
		sw->draining = p->next_event;
		p->next_event = NULL;
		deliver(sw, p, atomic_exchange_explicit(&p->events, 0, memory_order_acq_rel));
	}
}

/* ---- FDB ---- */

struct fdb_call {
	domain_idx d;
	struct mac m;
	port_idx p;
	int r;
};

static void call_add_static(struct worker *w, void *arg)
{
	struct fdb_call *c = arg;
	fdb_write_begin(w->sw);
	c->r = fdb_add_static(&w->sw->fdb, c->d, c->m, c->p);
	fdb_write_end(w->sw);
}

int sw_fdb_add_static(struct sw *sw, domain_idx d, struct mac m, struct port *p)
{
	struct fdb_call c = {.d = d, .m = m, .p = p->idx};

	worker_call(sw, NULL, call_add_static, &c);
	return c.r;
}

static void call_del(struct worker *w, void *arg)
{
	struct fdb_call *c = arg;
	fdb_write_begin(w->sw);
	c->r = fdb_del(&w->sw->fdb, c->d, c->m);
	fdb_write_end(w->sw);
}

int sw_fdb_del(struct sw *sw, domain_idx d, struct mac m)
{
	struct fdb_call c = {.d = d, .m = m};

	worker_call(sw, NULL, call_del, &c);
	return c.r;
}

void sw_fdb_flush_port(struct sw *sw, struct port *p)
{
	worker_call(sw, NULL, flush_port, p);
}

void sw_fdb_flush_domain(struct sw *sw, domain_idx d)
{
	worker_call(sw, NULL, flush_domain, &d);
}

static void call_flush(struct worker *w, void *arg)
{
	(void)arg;
	fdb_write_begin(w->sw);
	fdb_flush_learned(&w->sw->fdb);
	fdb_write_end(w->sw);
}

void sw_fdb_flush(struct sw *sw)
{
	worker_call(sw, NULL, call_flush, NULL);
}

struct fdb_rows {
	struct sw_fdb_row *row;
	size_t n, room;
	uint32_t now_s;
};

static void add_row(void *arg, domain_idx d, struct mac m, port_idx p, uint32_t seen_s, bool is_static)
{
	struct fdb_rows *r = arg;

	if (r->n < r->room)
		r->row[r->n] = (struct sw_fdb_row){d, m, p, is_static ? 0 : r->now_s - seen_s, is_static};
	r->n++;
}

/* Read here, not on the worker: readers are safe beside the writer, and a million rows
 * must not stall forwarding. */
int sw_fdb_list(struct sw *sw, struct sw_fdb_row **ret_rows, size_t *ret_n)
{
	struct fdb_rows r = {.now_s = (uint32_t)(clock_now_coarse() / NSEC_PER_SEC)};

	fdb_each(&sw->fdb, add_row, &r);
	r.room = r.n + 1024;
	r.row = malloc(r.room * sizeof(*r.row));
	if (!r.row)
		return -ENOMEM;
	r.n = 0;
	fdb_each(&sw->fdb, add_row, &r);
	*ret_rows = r.row;
	*ret_n = r.n < r.room ? r.n : r.room;
	return 0;
}

port_idx sw_fdb_where(struct sw *sw, domain_idx d, struct mac m)
{
	return fdb_lookup(&sw->fdb, d, m);
}

/* ---- counters ---- */

struct snapshot {
	struct sw_port_counters *row;
	struct port **port;
	unsigned n, room;
	struct sw_totals *totals;
};

/* port_counters and sw_port_counters have the same shape: 64-bit words in the same order. */
_Static_assert(sizeof(struct port_counters) == sizeof(struct sw_port_counters), "summed as words");
#define COUNTER_WORDS (sizeof(struct sw_port_counters) / sizeof(uint64_t))

static void sum_counters(const struct port *p, struct sw_port_counters *o)
{
	uint64_t *sum = (uint64_t *)o;

	memset(o, 0, sizeof(*o));
	for (unsigned i = 0; i < p->sw->n_workers; i++) {
		const counter *c = (const counter *)&p->c[i];
		for (unsigned k = 0; k < COUNTER_WORDS; k++)
			sum[k] += counter_read(&c[k]);
	}
}

static void copy_counters(struct port *p, struct sw_port_counters *o)
{
	fold_slow(p);
	if (p->ops->collect)
		p->ops->collect(p);
	sum_counters(p, o);
}

static void take_snapshot(struct worker *w, void *arg)
{
	struct snapshot *s = arg;
	uint64_t moves = 0;
	unsigned high = atomic_load_explicit(&w->sw->port_high, memory_order_acquire);

	for (unsigned i = 0; i < high && s->n < s->room; i++) {
		struct port *p = sw_port(w->sw, (port_idx)i);
		if (!p)
			continue;
		s->port[s->n] = p;
		copy_counters(p, &s->row[s->n++]);
		moves += s->row[s->n - 1].mac_moves;
	}
	*s->totals = w->sw->gone; /* mac_moves: of deleted ports */
	s->totals->mac_moves += moves;
	for (unsigned i = 0; i < w->sw->n_workers; i++)
		s->totals->copies += counter_read(&w->sw->worker[i].copies);
	s->totals->macs = w->sw->fdb.count;
	s->totals->mac_evictions = w->sw->fdb.evictions;
}

void sw_counters(struct sw *sw, struct sw_totals *ret_totals,
		 void (*each)(void *arg, struct port *p, const struct sw_port_counters *c), void *arg)
{
	struct snapshot s = {.totals = ret_totals, .room = SW_PORTS_MAX};

	/* Room for every slot, so that a member that appears meanwhile has its row; pages
	 * that are not needed are never touched. */
	s.row = calloc(s.room, sizeof(*s.row));
	s.port = calloc(s.room, sizeof(*s.port));
	if (s.row && s.port)
		worker_call_alone(sw, take_snapshot, &s);
	else
		*ret_totals = (struct sw_totals){0};
	for (unsigned i = 0; i < s.n; i++)
		each(arg, s.port[i], &s.row[i]);
	free(s.row);
	free(s.port);
}
