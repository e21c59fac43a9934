/* The vhost-user port of vhost_user.h: its sockets and life on main, its bursts on workers.
 * What the messages mean is tap/vhost_dev.c's. */
#include "tap/vhost_user.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/headers.h"
#include "net/log.h"
#include "net/wire.h"
#include "switch/switch.h"
#include "tap/usock.h"
#include "tap/vhost_dev.h"

#define REDIAL_FIRST	 (100 * NSEC_PER_MSEC)
#define REDIAL_MOST	 (2 * NSEC_PER_SEC)
#define RELISTEN	 (2 * NSEC_PER_SEC)
#define MESSAGE_TIMEOUT	 (5 * NSEC_PER_SEC)
#define HANDSHAKE_TIMEOUT (30 * NSEC_PER_SEC)
#define MESSAGES_AT_ONCE 16u /* of one frontend, then the others' turn */
#define LOGGED_AT_ONCE	 3
#define TRAIL_WAIT	 (25 * NSEC_PER_MSEC / 1000) /* some times what a streaming driver needs for VRING_TRAIL frames */
#define SPINS_BEFORE_YIELD 200u

enum { EV_FAULT = 1 << 0 };

struct vhost_user {
	/* what workers read */
	struct port *port;
	struct vhost_dev dev;
	_Atomic(struct vhost_ring *) tx[VHOST_PAIRS_MAX]; /* that run, n_tx of them */
	_Atomic unsigned n_tx;
	bool several; /* workers */
	_Atomic int fault; /* enum vring_fault, the first one: for main */
	/* main's */
	struct sw *sw;
	struct loop *loop;
	char *path, *group;
	mode_t mode;
	bool client;
	struct usock lsock;	    /* fd -1 when not listening */
	struct loop_fd *listening;  /* or dialling */
	struct loop_fd *talking;
	struct loop_timer *retry, *handshake, *message;
	int fd;	       /* to the frontend; -1 */
	int dialling;  /* -1 */
	int never;     /* an eventfd nobody writes, for rings without a kick descriptor */
	bool midway;   /* `message` is armed */
	nsec_t backoff, since;
	struct ucred peer;
	struct vhost_rx rx;
	struct log_limit logged;
	char reason[192], refused[192]; /* why it is down; why a frontend was last turned away */
	uint64_t refusals, connections;
	/* of describe: what was counted at the last look */
	nsec_t looked;
	uint64_t kicks_seen, calls_seen;
};

/* ---- worker ---- */

static bool faulty(struct vhost_user *u, const struct vhost_ring *r)
{
	int fault = (int)r->q.fault;
	int none = VRING_OK;

	if (unlikely(atomic_load_explicit(&r->q.mem->broken, memory_order_relaxed)))
		fault = VRING_FAULT_MEMORY;
	if (likely(!fault))
		return false;
	if (atomic_compare_exchange_strong(&u->fault, &none, fault))
		port_event(u->port, EV_FAULT);
	return true;
}

static struct vhost_ring *from_guest(struct vhost_user *u, unsigned queue)
{
	return &u->dev.ring[2 * queue + 1];
}

/* What a streaming driver wrote last has waited long enough. */
static bool overdue(struct vhost_ring *r, struct worker *w)
{
	nsec_t now = worker_clock(w);

	if (!r->behind_since)
		r->behind_since = now;
	if (now - r->behind_since < TRAIL_WAIT)
		return false;
	vring_let_go(&r->q);
	return true;
}

static unsigned vhost_rx_burst(struct port *p, unsigned queue, struct worker *w, struct pkt **out,
			       unsigned max)
{
	struct vhost_user *u = p->priv;
	struct vhost_ring *r = from_guest(u, queue);
	unsigned lost = 0;
	unsigned n = vring_dequeue(&r->q, worker_pool(w), out, max, &lost);

	if (!n && r->q.behind && overdue(r, w))
		n = vring_dequeue(&r->q, worker_pool(w), out, max, &lost);
	if (n)
		r->behind_since = 0;
	if (unlikely(lost)) {
		port_rx_lost(p, DROP_RX_NO_BUFFER, lost, 0);
		if (!n) /* nothing to wait for: rx_done() will not come */
			vring_dequeue_done(&r->q);
	}
	faulty(u, r);
	return n;
}

static void vhost_rx_done(struct port *p, unsigned queue, struct worker *w)
{
	struct vhost_user *u = p->priv;

	vring_dequeue_done(&from_guest(u, queue)->q);
}

/* A driver that does not kick is polled for as long as its ring runs. */
static bool vhost_arm(struct port *p, unsigned queue, struct worker *w)
{
	struct vhost_user *u = p->priv;
	struct vhost_ring *r = from_guest(u, queue);

	if (unlikely(faulty(u, r)))
		return false;
	return vring_arm(&r->q) || r->kick < 0;
}

static void vhost_disarm(struct port *p, unsigned queue, struct worker *w)
{
	struct vhost_user *u = p->priv;

	vring_disarm(&from_guest(u, queue)->q);
}

static void ring_lock(struct vhost_ring *r)
{
	unsigned spins = 0;

	while (atomic_exchange_explicit(&r->lock, true, memory_order_acquire)) {
		while (atomic_load_explicit(&r->lock, memory_order_relaxed))
			if (++spins % SPINS_BEFORE_YIELD == 0)
				sched_yield(); /* its holder may have lost its core */
	}
}

static void ring_unlock(struct vhost_ring *r)
{
	atomic_store_explicit(&r->lock, false, memory_order_release);
}

/* One ring for each worker, so that frames of one flow, which one worker forwards, stay in
 * order.  NULL while none runs. */
static struct vhost_ring *to_guest(struct vhost_user *u, const struct worker *w)
{
	unsigned n = atomic_load_explicit(&u->n_tx, memory_order_acquire);

	if (unlikely(!n))
		return NULL;
	struct vhost_ring *r = atomic_load_explicit(&u->tx[worker_index(w) % n], memory_order_acquire);
	return r && atomic_load_explicit(&r->ready, memory_order_acquire) ? r : NULL;
}

static void vhost_tx_burst(struct port *p, struct worker *w, struct pkt_out *v, unsigned n)
{
	struct vhost_user *u = p->priv;
	struct vhost_ring *r = to_guest(u, w);

	if (unlikely(!r)) {
		for (unsigned i = 0; i < n; i++)
			v[i].drop = DROP_TX_GONE;
		return;
	}
	if (u->several)
		ring_lock(r);
	vring_enqueue(&r->q, v, n);
	faulty(u, r);
	if (u->several)
		ring_unlock(r);
}

/* ---- main: what the device asks for ---- */

static int link_up(struct vhost_user *u)
{
	struct port_caps caps = u->port->caps;

	if (u->port->running)
		return 0;
	caps.offloads = vhost_dev_offloads(&u->dev);
	caps.mtu = u->dev.mtu;
	port_set_caps(u->port, caps);
	int e = port_start(u->port, -1);
	if (!e)
		u->reason[0] = 0;
	return e;
}

static void add_tx(struct vhost_user *u, struct vhost_ring *r)
{
	unsigned n = atomic_load(&u->n_tx);

	atomic_store(&r->ready, true);
	atomic_store(&u->tx[n], r);
	atomic_store_explicit(&u->n_tx, n + 1, memory_order_release);
}

/* A worker that looks meanwhile may find one ring twice, or one that is no longer ready. */
static void del_tx(struct vhost_user *u, struct vhost_ring *r)
{
	unsigned n = atomic_load(&u->n_tx), at = 0;

	atomic_store(&r->ready, false);
	while (at < n && atomic_load(&u->tx[at]) != r)
		at++;
	if (at == n)
		return;
	for (; at + 1 < n; at++)
		atomic_store(&u->tx[at], atomic_load(&u->tx[at + 1]));
	atomic_store_explicit(&u->n_tx, n - 1, memory_order_release);
}

static int on_attach(void *arg, struct vhost_ring *r)
{
	struct vhost_user *u = arg;
	int e = link_up(u);

	if (!e && r->index % 2)
		e = port_queue_start(u->port, r->index / 2, r->kick >= 0 ? r->kick : u->never);
	else if (!e)
		add_tx(u, r);
	return e;
}

static void on_detach(void *arg, struct vhost_ring *r)
{
	struct vhost_user *u = arg;

	if (r->index % 2)
		port_queue_stop(u->port, r->index / 2);
	else
		del_tx(u, r);
}

static void on_quiesce(void *arg)
{
	struct vhost_user *u = arg;

	sw_synchronize(u->sw);
}

static void on_down(void *arg)
{
	struct vhost_user *u = arg;

	if (!u->port->running)
		return;
	port_stop(u->port);
	snprintf(u->reason, sizeof(u->reason), "the guest's driver does not run");
}

#define RARP_REVERSE_REQUEST 3 /* RFC 903; what QEMU itself sends from other backends */
#define FRAME_MIN	     60u

/* "I am here now": a broadcast from the port, so that FDBs here and beyond learn it. */
static void on_rarp(void *arg, struct mac mac)
{
	struct vhost_user *u = arg;
	uint8_t frame[FRAME_MIN] = {0};
	struct wire w = wire_writer(frame, sizeof(frame));

	wire_put_mac(&w, MAC_BROADCAST);
	wire_put_mac(&w, mac);
	wire_put_u16(&w, ETHERTYPE_RARP);
	wire_put_u16(&w, 1); /* Ethernet */
	wire_put_u16(&w, ETHERTYPE_IP4);
	wire_put_u8(&w, sizeof(mac));
	wire_put_u8(&w, sizeof(be32));
	wire_put_u16(&w, RARP_REVERSE_REQUEST);
	wire_put_mac(&w, mac);
	wire_put_ip4(&w, 0);
	wire_put_mac(&w, mac);
	wire_put_ip4(&w, 0);
	struct pkt *k = pkt_from(sw_main_pool(u->sw), frame, sizeof(frame));
	if (k) /* classified like any other frame of this port: untagged */
		sw_slow_down(u->port, DOMAIN_NONE, k);
	else
		log_warn("vhost-user", "port %s: no buffer to announce a guest that moved",
			 u->port->name);
}

static const struct vhost_dev_ops dev_ops = {
	.attach = on_attach,
	.detach = on_detach,
	.quiesce = on_quiesce,
	.down = on_down,
	.rarp = on_rarp,
};

/* ---- main: a connection ---- */

static void dial_later(struct vhost_user *u)
{
	loop_timer_arm(u->retry, u->backoff);
	u->backoff = u->backoff * 2 < REDIAL_MOST ? u->backoff * 2 : REDIAL_MOST;
}

__attribute__((format(printf, 2, 3))) static void refused(struct vhost_user *u, const char *fmt, ...)
{
	unsigned held;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(u->refused, sizeof(u->refused), fmt, ap);
	va_end(ap);
	u->refusals++;
	if (log_limited(&u->logged, loop_now(u->loop), LOGGED_AT_ONCE, &held))
		log_notice("vhost-user", "port %s: %s (%u more not logged)", u->port->name,
			   u->refused, held);
}

/* Everything the frontend had given is let go. */
static void drop_connection(struct vhost_user *u)
{
	loop_fd_free(u->talking);
	u->talking = NULL;
	loop_timer_stop(u->handshake);
	loop_timer_stop(u->message);
	u->midway = false;
	vhost_dev_reset(&u->dev);
	atomic_store(&u->fault, VRING_OK); /* of rings that are gone */
	vhost_rx_fini(&u->rx);
	if (u->fd >= 0)
		close(u->fd);
	u->fd = -1;
}

/* why NULL: the frontend closed it. */
static void end(struct vhost_user *u, const char *why)
{
	int pid = u->peer.pid;

	drop_connection(u);
	if (why) {
		refused(u, "disconnected the frontend (pid %d): %s", pid, why);
		snprintf(u->reason, sizeof(u->reason), "disconnected: %s", why);
	} else {
		snprintf(u->reason, sizeof(u->reason), "the frontend closed the connection");
	}
	if (u->client)
		dial_later(u);
}

/* A message that is slow in coming has its 5 s from its first byte on, not from its last. */
static void watch_message(struct vhost_user *u)
{
	bool midway = vhost_rx_midway(&u->rx);

	if (midway && !u->midway)
		loop_timer_arm(u->message, MESSAGE_TIMEOUT);
	else if (!midway && u->midway)
		loop_timer_stop(u->message);
	u->midway = midway;
}

static void on_message(void *arg, int fd, unsigned events)
{
	struct vhost_user *u = arg;
	const char *why = NULL;
	struct vhost_msg m;
	int r = 1;

	for (unsigned i = 0; i < MESSAGES_AT_ONCE; i++) {
		r = vhost_rx(&u->rx, fd, &m, &why);
		if (r != 1)
			break;
		if (u->midway)
			watch_message(u); /* the one it was armed for is whole */
		const char *name = m.kind ? m.kind->name : "unknown message";
		r = vhost_dev_handle(&u->dev, &m, fd, &why);
		if (r == -EPIPE || r == -ECONNRESET) {
			end(u, NULL); /* it did not wait for the answer */
			return;
		}
		if (r < 0) {
			char text[160];
			snprintf(text, sizeof(text), "%s: %s", name, why);
			end(u, text);
			return;
		}
		if (u->dev.nack)
			refused(u, "said no to the frontend (pid %d): %s: %s", (int)u->peer.pid, name,
				u->dev.nack);
	}
	if (r < 0) {
		end(u, r == -ECONNRESET ? NULL : why ? why : strerror(-r));
		return;
	}
	if (u->dev.owned) {
		loop_timer_stop(u->handshake);
		u->backoff = REDIAL_FIRST;
	}
	watch_message(u);
}

static void on_handshake_timeout(void *arg)
{
	end(arg, "no SET_OWNER within 30 s");
}

static void on_message_timeout(void *arg)
{
	end(arg, "a message not finished within 5 s");
}

static void begin(struct vhost_user *u, int fd)
{
	socklen_t len = sizeof(u->peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &u->peer, &len) < 0)
		u->peer = (struct ucred){0};
	u->fd = fd;
	vhost_rx_init(&u->rx);
	u->talking = loop_fd_new(u->loop, fd, LOOP_READ, on_message, u);
	if (!u->talking) {
		end(u, strerror(errno));
		return;
	}
	u->since = u->looked = loop_now(u->loop);
	u->kicks_seen = u->calls_seen = 0;
	u->connections++;
	loop_timer_arm(u->handshake, HANDSHAKE_TIMEOUT);
	snprintf(u->reason, sizeof(u->reason), "the guest's driver does not run");
}

/* Whether the frontend that holds the place is still there. */
static bool hung_up(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLRDHUP};

	return poll(&p, 1, 0) == 1 && p.revents & (POLLRDHUP | POLLHUP | POLLERR);
}

/* ---- main: listening ---- */

static void on_connection(void *arg, int lfd, unsigned events)
{
	struct vhost_user *u = arg;
	struct ucred c = {0};
	socklen_t len = sizeof(c);
	int fd = accept4(lfd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return;
	if (u->fd >= 0 && hung_up(u->fd))
		end(u, NULL);
	if (u->fd < 0) {
		begin(u, fd);
		return;
	}
	getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c, &len);
	close(fd);
	refused(u, "refused a second frontend (pid %d): pid %d is attached", c.pid, u->peer.pid);
}

static void stop_listening(struct vhost_user *u)
{
	loop_fd_free(u->listening);
	u->listening = NULL;
	usock_close(&u->lsock, u->path);
}

static void start_listening(struct vhost_user *u)
{
	int r = usock_bind(u->path, SOCK_STREAM, u->mode, u->group, &u->lsock);

	if (!r) {
		u->listening = loop_fd_new(u->loop, u->lsock.fd, LOOP_READ, on_connection, u);
		r = u->listening ? 0 : -ENOMEM;
	}
	if (!r) {
		snprintf(u->reason, sizeof(u->reason), "waiting for a frontend");
		return;
	}
	stop_listening(u);
	snprintf(u->reason, sizeof(u->reason), "cannot listen: %s", usock_strerror(r));
	loop_timer_arm(u->retry, RELISTEN);
}

/* ---- main: dialling ---- */

static void stop_dialling(struct vhost_user *u)
{
	loop_fd_free(u->listening);
	u->listening = NULL;
	if (u->dialling >= 0)
		close(u->dialling);
	u->dialling = -1;
}

static void dial_failed(struct vhost_user *u, int err)
{
	snprintf(u->reason, sizeof(u->reason), "cannot connect: %s", strerror(err));
	stop_dialling(u);
	dial_later(u);
}

static void dialled(struct vhost_user *u)
{
	int fd = u->dialling;

	u->dialling = -1;
	stop_dialling(u);
	begin(u, fd);
}

static void on_dialled(void *arg, int fd, unsigned events)
{
	struct vhost_user *u = arg;
	int err = 0;
	socklen_t len = sizeof(err);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
		err = errno;
	if (err)
		dial_failed(u, err);
	else
		dialled(u);
}

static void dial(struct vhost_user *u)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};

	snprintf(un.sun_path, sizeof(un.sun_path), "%s", u->path);
	u->dialling = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (u->dialling < 0) {
		dial_failed(u, errno);
	} else if (connect(u->dialling, (struct sockaddr *)&un, sizeof(un)) == 0) {
		dialled(u);
	} else if (errno != EINPROGRESS) { /* EAGAIN: its backlog is full */
		dial_failed(u, errno);
	} else {
		u->listening = loop_fd_new(u->loop, u->dialling, LOOP_WRITE, on_dialled, u);
		if (!u->listening)
			dial_failed(u, ENOMEM);
	}
}

static void on_retry(void *arg)
{
	struct vhost_user *u = arg;

	if (u->client)
		dial(u);
	else
		start_listening(u);
}

/* ---- main: the rest of the contract ---- */

static void vhost_event(struct port *p, unsigned code)
{
	struct vhost_user *u = p->priv;
	int fault = atomic_exchange(&u->fault, VRING_OK);

	if (!fault || u->fd < 0) /* a late word of the connection before */
		return;
	const char *broken = vhost_dev_broken(&u->dev);
	vhost_dev_signal_err(&u->dev);
	end(u, fault == VRING_FAULT_MEMORY && broken ? broken
						     : vring_fault_text((enum vring_fault)fault));
}

static void vhost_conf_changed(struct port *p, const struct port_conf *conf)
{
	struct vhost_user *u = p->priv;

	vhost_dev_link(&u->dev, !conf->admin_down, conf->mtu);
}

struct ring_sums {
	unsigned enabled, running;
	uint32_t size;
	uint64_t kicks, calls;
	const char *why;
};

static struct ring_sums sum_rings(const struct vhost_user *u)
{
	struct ring_sums s = {0};

	for (unsigned i = 0; i < u->dev.n_rings; i++) {
		const struct vhost_ring *r = &u->dev.ring[i];
		s.enabled += r->enabled;
		s.running += r->running;
		s.calls += r->calls;
		if (r->running)
			s.calls += atomic_load_explicit(&r->q.calls, memory_order_relaxed);
		if (r->conf.size && !s.size)
			s.size = r->conf.size;
		if (r->why)
			s.why = r->why;
	}
	for (unsigned q = 0; u->port->rxq && q < u->port->n_rxq; q++)
		s.kicks += atomic_load_explicit(&u->port->rxq[q].wakes, memory_order_relaxed);
	return s;
}

/* A rate is what happened since the last look: `--watch port show` tells of now, a single look
 * of the time since the frontend came. */
static void describe_rate(struct vhost_user *u, const char *key, uint64_t n, uint64_t *seen,
			  nsec_t span, port_describe_fn *fn, void *arg)
{
	char text[64];
	uint64_t ms = span / NSEC_PER_MSEC ? span / NSEC_PER_MSEC : 1;
	uint64_t rate = (n - (*seen <= n ? *seen : n)) * 1000 / ms;

	snprintf(text, sizeof(text), "%llu, %llu/s", (unsigned long long)n, (unsigned long long)rate);
	*seen = n;
	fn(arg, key, text);
}

/* Who serves the guest's transmit queues. */
static void describe_workers(struct vhost_user *u, port_describe_fn *fn, void *arg)
{
	char text[VHOST_PAIRS_MAX * sizeof("63: 255, ")] = "";
	size_t at = 0;

	for (unsigned q = 0; u->port->rxq && q < u->port->n_rxq; q++)
		if (u->port->rxq[q].worker && at < sizeof(text))
			at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%u: %u",
					       at ? ", " : "", q,
					       worker_index(u->port->rxq[q].worker));
	if (at)
		fn(arg, "queue-workers", text);
}

static void describe_rings(struct vhost_user *u, port_describe_fn *fn, void *arg)
{
	struct ring_sums s = sum_rings(u);
	nsec_t now = loop_now(u->loop);
	bool packed = u->dev.features >> VHOST_F_RING_PACKED & 1;
	char text[96];

	if (s.size) {
		snprintf(text, sizeof(text), "%s, %u entries", packed ? "packed" : "split", s.size);
		fn(arg, "rings", text);
	}
	snprintf(text, sizeof(text), "%u pairs; of %u rings %u enabled, %u running",
		 u->dev.conf.pairs, u->dev.n_rings, s.enabled, s.running);
	fn(arg, "queues", text);
	describe_workers(u, fn, arg);
	if (s.why)
		fn(arg, "stopped-ring", s.why);
	describe_rate(u, "kicks", s.kicks, &u->kicks_seen, now - u->looked, fn, arg);
	describe_rate(u, "calls", s.calls, &u->calls_seen, now - u->looked, fn, arg);
	u->looked = now;
}

static void describe_frontend(struct vhost_user *u, port_describe_fn *fn, void *arg)
{
	const struct vhost_mem *mem = u->dev.mem;
	char text[512];

	snprintf(text, sizeof(text), "pid %d, uid %u", (int)u->peer.pid, (unsigned)u->peer.uid);
	fn(arg, "frontend", text);
	vhost_features_text(u->dev.features, text, sizeof(text));
	fn(arg, "features", text);
	vhost_protocol_text(u->dev.protocol, text, sizeof(text));
	fn(arg, "protocol-features", text);
	if (mem) {
		snprintf(text, sizeof(text), "%u regions, %llu bytes, %s%s", mem->n,
			 (unsigned long long)vhost_mem_bytes(mem),
			 vhost_mem_sealed(mem) ? "sealed" : "not sealed",
			 mem->log ? ", writes are logged" : "");
		fn(arg, "memory", text);
	}
	if (u->dev.mtu) {
		snprintf(text, sizeof(text), "%u", u->dev.mtu);
		fn(arg, "guest-mtu", text);
	}
	describe_rings(u, fn, arg);
}

static void vhost_describe(struct port *p, port_describe_fn *fn, void *arg)
{
	struct vhost_user *u = p->priv;
	char text[320];

	fn(arg, "role", u->client ? "client" : "server");
	fn(arg, "socket", u->path);
	if (u->reason[0])
		fn(arg, "reason", u->reason);
	if (u->fd >= 0)
		describe_frontend(u, fn, arg);
	if (u->refused[0]) {
		snprintf(text, sizeof(text), "%llu times; last: %s", (unsigned long long)u->refusals,
			 u->refused);
		fn(arg, "refused", text);
	}
}

static void vhost_free(struct vhost_user *u)
{
	loop_timer_free(u->retry);
	loop_timer_free(u->handshake);
	loop_timer_free(u->message);
	if (u->never >= 0)
		close(u->never);
	free(u->dev.ring); /* gone already, unless the port never came to be */
	free(u->path);
	free(u->group);
	free(u);
}

static void vhost_close(struct port *p)
{
	struct vhost_user *u = p->priv;

	drop_connection(u);
	vhost_dev_fini(&u->dev);
	if (u->client)
		stop_dialling(u);
	else
		stop_listening(u);
	vhost_free(u);
}

static const struct port_ops vhost_user_ops = {
	.type = "vhost-user",
	.tx_any = true,
	.rx_burst = vhost_rx_burst,
	.rx_done = vhost_rx_done,
	.arm = vhost_arm,
	.disarm = vhost_disarm,
	.tx_burst = vhost_tx_burst,
	.event = vhost_event,
	.conf_changed = vhost_conf_changed,
	.describe = vhost_describe,
	.close = vhost_close,
};

static bool made(const struct vhost_user *u, const struct vhost_user_config *cfg)
{
	return u->path && (u->group || !cfg->group) && u->retry && u->handshake && u->message &&
	       u->never >= 0;
}

static int vhost_user_new(struct sw *sw, struct loop *loop, const struct vhost_user_config *cfg,
			  const struct port_conf *conf, struct vhost_user **ret_user)
{
	struct vhost_dev_conf dc = {.pairs = cfg->queues,
				    .mtu = conf->mtu,
				    .link_down = conf->admin_down,
				    .has_mac = cfg->has_mac,
				    .mac = cfg->mac,
				    .no_config = cfg->no_config};
	struct vhost_user *u = calloc(1, sizeof(*u));

	if (!u)
		return -ENOMEM;
	u->sw = sw;
	u->loop = loop;
	u->client = cfg->client;
	u->mode = cfg->mode;
	u->several = sw_workers(sw) > 1;
	u->backoff = REDIAL_FIRST;
	u->fd = u->dialling = u->lsock.fd = -1;
	u->path = strdup(cfg->socket);
	u->group = cfg->group ? strdup(cfg->group) : NULL;
	u->retry = loop_timer_new(loop, on_retry, u);
	u->handshake = loop_timer_new(loop, on_handshake_timeout, u);
	u->message = loop_timer_new(loop, on_message_timeout, u);
	u->never = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int r = made(u, cfg) ? vhost_dev_init(&u->dev, &dc, &dev_ops, u) : -ENOMEM;
	if (r)
		vhost_free(u);
	else
		*ret_user = u;
	return r;
}

int vhost_user_open(struct sw *sw, struct loop *loop, const char *name,
		    const struct vhost_user_config *cfg, const struct port_conf *conf,
		    struct port **ret_port)
{
	struct port_caps caps = {.queues = (uint16_t)cfg->queues};
	struct vhost_user *u;

	if (strlen(cfg->socket) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return -ENAMETOOLONG;
	int r = vhost_user_new(sw, loop, cfg, conf, &u);
	if (r)
		return r;
	r = sw_port_add(sw, name, &vhost_user_ops, u, conf, caps, false, NULL, &u->port);
	if (r) {
		vhost_free(u);
		return r;
	}
	on_retry(u);
	*ret_port = u->port;
	return 0;
}
