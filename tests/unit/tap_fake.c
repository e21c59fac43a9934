/* See tap_fake.h. */
#include "tests/unit/tap_fake.h"
#include "switch/switch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fake fake;

#define SMALL 1024u
#define BIG   32u

/* ---- loop ---- */

struct loop_fd {
	int fd;
	unsigned events;
	void (*fn)(void *arg, int fd, unsigned events);
	void *arg;
};
struct loop_timer {
	void (*fn)(void *arg);
	void *arg;
	bool armed;
	nsec_t in;
};
static struct loop_fd *fds[8];
static struct loop_timer *timers[8];

nsec_t loop_now(const struct loop *l)
{
	return fake.now;
}

struct loop_fd *loop_fd_new(struct loop *l, int fd, unsigned events,
			    void (*fn)(void *arg, int fd, unsigned events), void *arg)
{
	struct loop_fd *f = malloc(sizeof(*f));
	unsigned i = 0;

	*f = (struct loop_fd){fd, events, fn, arg};
	while (fds[i])
		i++;
	return fds[i] = f;
}

void loop_fd_free(struct loop_fd *f)
{
	for (unsigned i = 0; f && i < ARRAY_SIZE(fds); i++)
		if (fds[i] == f)
			fds[i] = NULL;
	free(f);
}

struct loop_timer *loop_timer_new(struct loop *l, void (*fn)(void *arg), void *arg)
{
	struct loop_timer *t = malloc(sizeof(*t));
	unsigned i = 0;

	*t = (struct loop_timer){fn, arg, false, 0};
	while (timers[i])
		i++;
	return timers[i] = t;
}

void loop_timer_arm(struct loop_timer *t, nsec_t in)
{
	t->armed = true;
	t->in = in;
}

void loop_timer_stop(struct loop_timer *t)
{
	t->armed = false;
}

void loop_timer_free(struct loop_timer *t)
{
	for (unsigned i = 0; t && i < ARRAY_SIZE(timers); i++)
		if (timers[i] == t)
			timers[i] = NULL;
	free(t);
}

static short poll_bits(unsigned events)
{
	return (short)((events & LOOP_READ ? POLLIN : 0) | (events & LOOP_WRITE ? POLLOUT : 0));
}

void fake_loop_run(bool fire_timers)
{
	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++) {
		struct pollfd p = {.fd = fds[i] ? fds[i]->fd : -1,
				   .events = fds[i] ? poll_bits(fds[i]->events) : 0};
		if (poll(&p, 1, 0) == 1 && p.revents)
			fds[i]->fn(fds[i]->arg, p.fd, fds[i]->events);
	}
	for (unsigned i = 0; fire_timers && i < ARRAY_SIZE(timers); i++) {
		if (timers[i] && timers[i]->armed && (!fake.pass || timers[i]->in <= fake.pass)) {
			timers[i]->armed = false;
			timers[i]->fn(timers[i]->arg);
		}
	}
}

/* ---- switch and worker ---- */

struct pkt_pool *worker_pool(struct worker *w)
{
	return fake.pool;
}
struct pkt_pool *sw_main_pool(struct sw *sw)
{
	return fake.pool;
}
nsec_t worker_now(const struct worker *w)
{
	return fake.now;
}

static const struct port_conf no_conf;

static void port_init(struct port *p, const char *name, const struct port_ops *ops, void *priv)
{
	memset(p, 0, sizeof(*p));
	snprintf(p->name, sizeof(p->name), "%s", name);
	p->ops = ops;
	p->priv = priv;
	p->sw = FAKE_SW;
	atomic_init(&p->conf, &no_conf);
}

int sw_port_add(struct sw *sw, const char *name, const struct port_ops *ops, void *priv,
		const struct port_conf *conf, struct port_caps caps, bool hidden,
		struct port *parent, struct port **ret_port)
{
	port_init(&fake.port, name, ops, priv);
	fake.port.caps = caps;
	*ret_port = &fake.port;
	return 0;
}

int port_start(struct port *p, int fd)
{
	p->running = true;
	fake.starts++;
	return 0;
}

void port_stop(struct port *p)
{
	p->running = false;
	for (unsigned q = 0; q < PORT_QUEUES_MAX; q++)
		fake.queue_fd[q] = -1;
}

int port_queue_start(struct port *p, unsigned queue, int fd)
{
	if (!p->running || queue >= PORT_QUEUES_MAX || fake.queue_fd[queue] >= 0)
		return -EALREADY;
	fake.queue_fd[queue] = fd;
	return 0;
}

void port_queue_stop(struct port *p, unsigned queue)
{
	fake.queue_fd[queue] = -1;
}

void port_set_caps(struct port *p, struct port_caps caps)
{
	p->caps = caps;
}

void sw_synchronize(struct sw *sw)
{
	fake.synced++;
}

unsigned sw_workers(const struct sw *sw)
{
	return 1;
}

nsec_t worker_clock(const struct worker *w)
{
	return fake.now;
}

unsigned worker_index(const struct worker *w)
{
	return 0;
}

void sw_slow_down(struct port *in, domain_idx dom, struct pkt *k)
{
	pkt_free(fake.pool, fake.injected);
	fake.injected = k;
}

int port_member_new(struct port *parent, const char *peername, void *peer, unsigned limit,
		    struct port **ret_port)
{
	unsigned i = 0;

	if (fake.members >= limit)
		return -ENOSPC;
	while (fake.member[i])
		i++;
	struct port *m = malloc(sizeof(*m));
	port_init(m, peername, parent->ops, parent->priv);
	m->peer = peer;
	m->parent = parent;
	m->idx = (port_idx)(i + 1);
	fake.member[i] = m;
	fake.members++;
	*ret_port = m;
	return 0;
}

void port_member_end(struct port *m)
{
	fake.ended++;
}

void fake_close_member(struct port *m)
{
	for (unsigned i = 0; i < FAKE_MEMBERS; i++)
		if (fake.member[i] == m)
			fake.member[i] = NULL;
	fake.members--;
	m->ops->close(m);
	for (unsigned i = 0; i < FAKE_MEMBERS; i++)
		if (fake.watch[i].port == m)
			fake.watch[i].port = NULL;
	free(m);
}

void port_event(struct port *p, unsigned code)
{
	fake.events |= code;
}
void port_tick_at(struct port *p, struct worker *w, nsec_t when)
{
	fake.tick_at = when;
}
int port_watch_write(struct port *p, struct worker *w, int fd)
{
	for (unsigned i = 0; i < FAKE_MEMBERS; i++) {
		if (fake.watch[i].port && fake.watch[i].port != p)
			continue;
		fake.watch[i].port = p;
		fake.watch[i].fd = fd;
		return 0;
	}
	return -ENOSPC;
}
void worker_call(struct sw *sw, struct port *p, void (*fn)(struct worker *w, void *arg), void *arg)
{
	fn(FAKE_WORKER, arg);
}

unsigned fake_open_files(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

unsigned fake_writable(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < FAKE_MEMBERS; i++) {
		struct pollfd f = {.fd = fake.watch[i].fd, .events = POLLOUT};
		struct port *p = fake.watch[i].port;
		if (!p || poll(&f, 1, 0) != 1 || f.revents & POLLNVAL)
			continue;
		fake.watch[i].port = NULL;
		p->ops->writable(p, FAKE_WORKER);
		n++;
	}
	return n;
}
void port_rx_lost(struct port *p, enum drop_reason why, unsigned n, size_t bytes)
{
	fake.lost[why] += n;
}
void port_tx_undo(struct port *p, enum drop_reason why, size_t bytes)
{
	fake.undone++;
	fake.undone_why[why]++;
	fake.undone_bytes += bytes;
}

/* ---- around a test ---- */

int fake_setup(void **state)
{
	memset(&fake, 0, sizeof(fake));
	fake.now = NSEC_PER_SEC;
	for (unsigned q = 0; q < PORT_QUEUES_MAX; q++)
		fake.queue_fd[q] = -1;
	fake.arena = arena_new(SMALL, BIG);
	fake.pool = fake.arena ? pkt_pool_new(fake.arena) : NULL;
	return !fake.pool;
}

int fake_teardown(void **state)
{
	for (unsigned i = 0; i < FAKE_MEMBERS; i++)
		if (fake.member[i])
			fake_close_member(fake.member[i]);
	if (fake.port.ops) {
		port_stop(&fake.port);
		fake.port.ops->close(&fake.port);
	}
	pkt_free(fake.pool, fake.injected);
	pkt_pool_free(fake.pool);
	struct arena_stats st = arena_stats(fake.arena);
	arena_free(fake.arena);
	return st.small_free != st.small_total || st.big_free != st.big_total;
}
