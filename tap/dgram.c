/* The datagram port of dgram.h: one socket, a member port for each sender's path.
 *
 * Peers live in a fixed pool and a table keyed by path, both the worker's.  A peer ends
 * on the worker (drop_peer: out of the table, port_member_end) and its memory comes
 * back when main closes the member, in a call on the worker.
 *
 * A guest whose queue is full gets a backlog.  The kernel tells of room in that queue
 * only to a socket connected to it, so one is connected for that alone (peer.wake):
 * frames still go out from the port's socket, by whose path guests may know us. */
#include "tap/dgram.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "net/table.h"
#include "switch/worker.h"
#include "tap/backlog.h"
#include "tap/msgs.h"
#include "tap/usock.h"

#define MEMBER_NAME_MAX 40u
#define RETRY		(2 * NSEC_PER_SEC)
/* A peer is given up after this many refused bursts in a row over at least this time: a
 * QEMU that restarts is back sooner. */
#define REFUSED_MOST 3u
#define REFUSED_FOR  (2 * NSEC_PER_SEC)
/* Every so often, peers that have been silent as long are looked at: is there a socket? */
#define PROBE_EVERY (30 * NSEC_PER_SEC)
/* After a wake-up that brought no room: `wake` hangs on a socket that is no more. */
#define REWAKE (10 * NSEC_PER_MSEC)
/* What all guests together may leave unread in the kernel; each at most its queue of some
 * ten datagrams.  The kernel does not apply that to a guest whose socket is connected to
 * ours: when this much is unread, such guests get nothing more. */
#define SOCKET_BUFFER	 (64 * 1024 * 1024)
#define UNREAD_CONNECTED (2 * 1024 * 1024)
#define UNREAD_LOOK	 (256 * 1024) /* bytes sent from one look at it to the next */

struct peer {
	struct tab_node node;
	struct port *member;
	nsec_t seen, refused_since;
	unsigned refused;
	bool ended;   /* out of the table */
	bool watched; /* dgram_writable() will be called */
	int wake;     /* -1: none yet */
	struct backlog backlog;
	socklen_t len;
	struct sockaddr_un addr;
};

struct dgram {
	/* main */
	struct port *port;
	struct loop_timer *retry;
	char *path, *group;
	mode_t mode;
	struct usock sock;
	char reason[128];
	/* worker */
	struct msgs_rx rx;
	struct table table;
	struct pool peers;
	struct backlog_share kept;
	unsigned limit;
	size_t sent; /* bytes, since the last look at what is unread */
	bool crowded;
};

/* ---- worker: peers ---- */

static struct dgram *dgram_of(const struct port *p)
{
	return p->priv;
}

static uint32_t hash_path(const struct dgram *d, const struct sockaddr_un *sa, size_t n)
{
	uint64_t h = d->table.secret;

	for (size_t i = 0; i < n; i++)
		h = (h ^ (uint8_t)sa->sun_path[i]) * 0x100000001b3u; /* FNV-1a's prime */
	return (uint32_t)hash_mix(h);
}

static void close_wake(struct peer *q)
{
	if (q->wake >= 0)
		close(q->wake);
	q->wake = -1;
	q->watched = false;
}

static void end_peer(struct dgram *d, struct peer *q, struct worker *w)
{
	if (q->ended)
		return;
	q->ended = true;
	table_del(&d->table, &q->node);
	backlog_drop(&q->backlog, q->member, w, DROP_TX_GONE);
	close_wake(q);
}

static void drop_peer(struct dgram *d, struct peer *q, struct worker *w)
{
	if (q->ended)
		return;
	end_peer(d, q, w);
	port_member_end(q->member);
}

static struct peer *find_peer(const struct dgram *d, const struct sockaddr_un *sa, size_t path_len,
			      uint32_t hash)
{
	for (struct tab_node *n = table_chain(&d->table, hash); n; n = n->next) {
		struct peer *q = container_of(n, struct peer, node);
		if (n->hash == hash && !memcmp(q->addr.sun_path, sa->sun_path, path_len) &&
		    !q->addr.sun_path[path_len])
			return q;
	}
	return NULL;
}

/* What the member is called: the path's last component, tame enough for a terminal. */
static void member_name(const char *path, char out[MEMBER_NAME_MAX])
{
	const char *base = strrchr(path, '/') + 1;
	size_t n = 0;

	for (; base[n] && n < MEMBER_NAME_MAX - 1; n++) {
		char c = base[n];
		bool fine = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
			    (c >= 'A' && c <= 'Z') || c == '.' || c == '-' || c == '_';
		out[n] = fine ? c : '_';
	}
	out[n] = 0;
	if (!n)
		snprintf(out, MEMBER_NAME_MAX, "peer");
}

static struct peer *new_peer(struct dgram *d, const struct sockaddr_un *sa, size_t path_len,
			     uint32_t hash)
{
	struct peer *q = pool_get(&d->peers);
	char name[MEMBER_NAME_MAX];

	if (!q)
		return NULL;
	q->addr.sun_family = AF_UNIX;
	memcpy(q->addr.sun_path, sa->sun_path, path_len);
	q->wake = -1;
	q->backlog.share = &d->kept;
	q->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path_len + 1);
	member_name(q->addr.sun_path, name);
	const struct port_conf *conf = atomic_load_explicit(&d->port->conf, memory_order_acquire);
	if (port_member_new(d->port, name, q, conf->one_peer ? 1 : d->limit, &q->member)) {
		pool_put(&d->peers, q);
		return NULL;
	}
	table_add(&d->table, &q->node, hash);
	return q;
}

/* Length of a path that we can answer to, 0 for other senders.  Linux terminates the
 * path within namelen, or fills sun_path to the last byte. */
static size_t answerable(const struct dgram *d, const struct sockaddr_un *sa, socklen_t len)
{
	size_t off = offsetof(struct sockaddr_un, sun_path);

	if (len <= off || sa->sun_path[0] != '/')
		return 0;
	size_t n = strnlen(sa->sun_path,
			   len - off < sizeof(sa->sun_path) ? len - off : sizeof(sa->sun_path));
	if (n >= sizeof(sa->sun_path) ||
	    (n == strlen(d->path) && !memcmp(sa->sun_path, d->path, n)))
		return 0;
	return n;
}

static enum drop_reason dgram_accept(struct port *p, struct worker *w, struct pkt *k,
				     struct msghdr *m)
{
	struct dgram *d = dgram_of(p);
	const struct sockaddr_un *sa = m->msg_name;
	size_t n = answerable(d, sa, m->msg_namelen);

	if (!n)
		return DROP_RX_BAD_PEER;
	uint32_t hash = hash_path(d, sa, n);
	struct peer *q = find_peer(d, sa, n, hash);
	if (!q)
		q = new_peer(d, sa, n, hash);
	if (!q)
		return DROP_RX_MEMBER_LIMIT;
	q->seen = worker_now(w);
	q->refused = 0;
	k->in_port = q->member->idx;
	return DROP_NONE;
}

static unsigned dgram_rx_burst(struct port *p, unsigned queue, struct worker *w, struct pkt **out,
				 unsigned max)
{
	struct dgram *d = dgram_of(p);
	int err;

	return msgs_rx_burst(&d->rx, d->sock.fd, p, w, out, max, &err);
}

/* ---- worker: sending ---- */

static void note_result(struct dgram *d, struct peer *q, struct worker *w, bool gone)
{
	nsec_t now = worker_now(w);

	if (!gone) {
		q->refused = 0;
		return;
	}
	if (!q->refused++)
		q->refused_since = now;
	if (q->refused >= REFUSED_MOST && now - q->refused_since >= REFUSED_FOR)
		drop_peer(d, q, w);
}

static int send_to(struct dgram *d, struct peer *q, struct worker *w, struct pkt_out *v, unsigned n)
{
	int err = msgs_tx_burst(d->sock.fd, false, (struct sockaddr *)&q->addr, q->len, v, n);

	for (unsigned i = 0; i < n; i++)
		d->sent += v[i].drop ? 0 : v[i].pkt->len;
	if (!v[0].drop)
		q->backlog.deaf = false;
	note_result(d, q, w, err && msgs_tx_drop(err) == DROP_TX_GONE);
	return err;
}

/* Sends the backlog as far as there is room: 0 when it is empty, else the errno. */
static int drain(struct dgram *d, struct peer *q, struct worker *w)
{
	struct pkt_out v[PKT_BURST];
	unsigned n = backlog_peek(&q->backlog, v), done = 0;

	if (!n)
		return 0;
	int err = send_to(d, q, w, v, n);
	if (q->ended)
		return err;
	while (done < n && !(err == EAGAIN && v[done].drop == DROP_TX_FULL))
		done++;
	backlog_done(&q->backlog, q->member, w, v, done);
	return err;
}

/* A socket connected to the guest's, or -errno. */
static int reach(const struct peer *q)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || connect(fd, (const struct sockaddr *)&q->addr, q->len) == 0)
		return fd < 0 ? -errno : fd;
	int err = errno;
	close(fd);
	return -err;
}

/* Whether q's socket is connected to ours, so that it takes nothing from others. */
static bool is_connected(const struct peer *q)
{
	int fd = reach(q);

	if (fd >= 0)
		close(fd);
	return fd == -EPERM;
}

/* Whether q may get more, for all that is unread. */
static bool has_share(struct dgram *d, const struct peer *q)
{
	int unread = 0;

	if (likely(!d->crowded && d->sent < UNREAD_LOOK))
		return true;
	d->sent = 0;
	d->crowded = ioctl(d->sock.fd, SIOCOUTQ, &unread) == 0 && unread > UNREAD_CONNECTED;
	return !d->crowded || !is_connected(q);
}

/* false: we shall not hear of it. */
static bool watch_room(struct peer *q, struct worker *w)
{
	if (q->watched)
		return true;
	if (q->wake < 0)
		q->wake = reach(q);
	q->watched = q->wake >= 0 && !port_watch_write(q->member, w, q->wake);
	return q->watched;
}

/* What of v[] did not fit the guest's queue. */
static void keep_rest(struct peer *q, struct worker *w, struct pkt_out *v, unsigned n)
{
	unsigned i = 0;

	while (i < n && v[i].drop != DROP_TX_FULL)
		i++;
	if (!q->backlog.deaf && watch_room(q, w))
		backlog_keep(&q->backlog, q->member, w, v + i, n - i);
}

static void drop_all(struct pkt_out *v, unsigned n, enum drop_reason why)
{
	for (unsigned i = 0; i < n; i++)
		v[i].drop = why;
}

static void dgram_tx_burst(struct port *p, struct worker *w, struct pkt_out *v, unsigned n)
{
	struct dgram *d = dgram_of(p);
	struct peer *q = p->peer;

	if (!q || q->ended) { /* the parent itself has nobody on the other side */
		drop_all(v, n, DROP_TX_GONE);
		return;
	}
	if (unlikely(!has_share(d, q))) {
		drop_all(v, n, DROP_TX_FULL);
		return;
	}
	int err = drain(d, q, w);
	if (err)
		drop_all(v, n, msgs_tx_drop(err));
	else
		err = send_to(d, q, w, v, n);
	if (err == EAGAIN)
		keep_rest(q, w, v, n);
}

static void dgram_writable(struct port *p, struct worker *w)
{
	struct dgram *d = dgram_of(p);
	struct peer *q = p->peer;
	unsigned before = q->backlog.n;

	q->watched = false;
	drain(d, q, w);
	if (!q->backlog.n)
		return;
	if (q->backlog.n == before) {
		close_wake(q);
		port_tick_at(p, w, worker_now(w) + REWAKE);
	} else if (!watch_room(q, w)) {
		backlog_drop(&q->backlog, p, w, DROP_TX_FULL);
	}
}

static nsec_t member_tick(struct port *p, struct worker *w, nsec_t now)
{
	struct dgram *d = dgram_of(p);
	struct peer *q = p->peer;

	if (q->backlog.n && !q->watched && drain(d, q, w) == EAGAIN && !watch_room(q, w))
		backlog_drop(&q->backlog, p, w, DROP_TX_FULL);
	return backlog_tick(&q->backlog, p, w, now);
}

/* ---- worker: members whose guest went without a word ---- */

static bool answers(const struct peer *q)
{
	int fd = reach(q);

	if (fd >= 0)
		close(fd);
	return fd != -ECONNREFUSED && fd != -ENOENT;
}

static nsec_t dgram_tick(struct port *p, struct worker *w, nsec_t now)
{
	struct dgram *d = dgram_of(p);

	if (p->peer)
		return member_tick(p, w, now);
	for (uint32_t b = 0; b <= d->table.mask; b++) {
		struct tab_node *next;
		for (struct tab_node *n = d->table.bucket[b]; n; n = next) {
			struct peer *q = container_of(n, struct peer, node);
			next = n->next;
			if (!q->backlog.n && now - q->backlog.moved >= PROBE_EVERY)
				close_wake(q); /* not a file for each guest for ever */
			if (now - q->seen >= PROBE_EVERY && !answers(q))
				drop_peer(d, q, w);
		}
	}
	return now + PROBE_EVERY;
}

/* ---- main ---- */

static void dgram_try(void *arg)
{
	struct dgram *d = arg;
	int size = SOCKET_BUFFER;
	int r = usock_bind(d->path, SOCK_DGRAM, d->mode, d->group, &d->sock);

	if (!r) {
		setsockopt(d->sock.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
		setsockopt(d->sock.fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
		r = port_start(d->port, d->sock.fd);
	}
	if (!r) {
		d->reason[0] = 0;
		return;
	}
	snprintf(d->reason, sizeof(d->reason), "cannot bind the socket: %s", usock_strerror(r));
	usock_close(&d->sock, d->path);
	loop_timer_arm(d->retry, RETRY);
}

static void dgram_describe(struct port *p, port_describe_fn *fn, void *arg)
{
	struct dgram *d = dgram_of(p);
	struct peer *q = p->peer;

	if (q) {
		fn(arg, "peer", q->addr.sun_path);
		return;
	}
	fn(arg, "socket", d->path);
	if (d->reason[0])
		fn(arg, "reason", d->reason);
}

/* On the worker: the peer's memory, its packets and a wake-up that is due are its. */
static void close_member(struct worker *w, void *arg)
{
	struct port *p = arg;
	struct dgram *d = dgram_of(p);
	struct peer *q = p->peer;

	end_peer(d, q, w);
	pool_put(&d->peers, q);
}

static void dgram_free(struct dgram *d)
{
	loop_timer_free(d->retry);
	table_fini(&d->table);
	pool_fini(&d->peers);
	free(d->path);
	free(d->group);
	free(d);
}

static void dgram_close(struct port *p)
{
	struct dgram *d = dgram_of(p);

	if (p->peer) {
		worker_call(p->sw, p, close_member, p);
		return;
	}
	usock_close(&d->sock, d->path);
	dgram_free(d);
}

static const struct port_ops dgram_ops = {
	.type = "dgram",
	.members = true,
	.rx_burst = dgram_rx_burst,
	.tx_burst = dgram_tx_burst,
	.tick = dgram_tick,
	.writable = dgram_writable,
	.describe = dgram_describe,
	.close = dgram_close,
};

static struct dgram *dgram_new(struct loop *loop, const struct dgram_config *cfg)
{
	struct dgram *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->sock.fd = -1;
	d->mode = cfg->mode;
	d->limit = cfg->members ? cfg->members : DGRAM_MEMBERS_DEFAULT;
	d->rx = (struct msgs_rx){.names = true, .accept = dgram_accept};
	d->path = strdup(cfg->path);
	d->group = cfg->group ? strdup(cfg->group) : NULL;
	d->retry = loop_timer_new(loop, dgram_try, d);
	/* more peers than members: a closed one leaves the registry before it comes back */
	if (!d->path || (cfg->group && !d->group) || !d->retry || table_init(&d->table, d->limit) ||
	    pool_init(&d->peers, sizeof(struct peer), d->limit * 2)) {
		dgram_free(d);
		return NULL;
	}
	return d;
}

int dgram_open(struct sw *sw, struct loop *loop, const char *name, const struct dgram_config *cfg,
	       const struct port_conf *conf, struct port **ret_port)
{
	if (!cfg->path || strlen(cfg->path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return -ENAMETOOLONG;
	struct dgram *d = dgram_new(loop, cfg);
	if (!d)
		return -ENOMEM;
	int r = sw_port_add(sw, name, &dgram_ops, d, conf, (struct port_caps){0}, false, NULL,
			    &d->port);
	if (r) {
		dgram_free(d);
		return r;
	}
	dgram_try(d);
	*ret_port = d->port;
	return 0;
}
