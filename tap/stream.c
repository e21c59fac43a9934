/* The stream port of stream.h.
 *
 * Main makes the connection (accepts, or dials again and again) and hands its fd to the
 * worker by port_start(); the worker tells of its end with port_event(), and main
 * closes it and goes back to waiting.  Between port_stop() and port_start() everything
 * is main's, but for what waits to be sent: that ends in a call on the worker. */
#include "tap/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/log.h"
#include "switch/worker.h"
#include "tap/backlog.h"
#include "tap/inaddr.h"
#include "tap/msgs.h"
#include "tap/stream_frame.h"
#include "tap/usock.h"

#define REDIAL_FIRST (100 * NSEC_PER_MSEC)
#define REDIAL_MOST  (2 * NSEC_PER_SEC)
#define RELISTEN     (2 * NSEC_PER_SEC)
#define RX_BUFFER    PORT_RX_BYTES /* so that one read is one burst's worth */
#define TX_IOV	     512u
#define REFUSALS_LOGGED 3
#define VLAN_LEN	4u

_Static_assert(RX_BUFFER >= STREAM_UNIT_MAX, "holds the largest frame");

enum { EV_END = 1 << 0 };

struct stream {
	/* main */
	struct port *port;
	struct loop *loop;
	struct loop_timer *retry;
	struct loop_fd *watch; /* the listening socket, or the one that is dialling */
	char *listen, *connect, *group;
	mode_t mode;
	bool is_path;
	struct sockaddr_storage addr; /* when not a path */
	socklen_t addr_len;
	struct usock lsock; /* fd -1 when not listening */
	int dialling;	    /* -1 */
	nsec_t backoff;
	struct log_limit refused;
	char reason[128], peer[INADDR_STRLEN];
	/* the worker's while started */
	int fd;
	int wake; /* fd once more, to be told of room */
	struct stream_frame in;
	int end_errno; /* why it ended; 0 = the peer closed, or in.bad */
	bool watched;  /* stream_writable() will be called */
	uint32_t pend_off, pend_len; /* what is left of one frame in pend */
	size_t pend_bytes;	     /* what is counted with it; 0: nothing */
	uint8_t *pend;
	struct backlog backlog; /* behind it */
	struct backlog_share kept;
};

/* ---- worker: receiving ---- */

static void ended(struct stream *s, int err)
{
	s->end_errno = err;
	port_event(s->port, EV_END);
}

/* One read; false when it brought nothing. */
static bool read_more(struct stream *s)
{
	uint32_t room;
	uint8_t *at = stream_frame_room(&s->in, &room);
	ssize_t n = recv(s->fd, at, room, MSG_DONTWAIT);

	if (n > 0) {
		stream_frame_added(&s->in, (uint32_t)n);
		return true;
	}
	if (n == 0 || (errno != EAGAIN && errno != EINTR))
		ended(s, n ? errno : 0);
	return false;
}

static unsigned stream_rx_burst(struct port *p, unsigned queue, struct worker *w, struct pkt **out,
				 unsigned max)
{
	struct stream *s = p->priv;
	bool may_read = true;
	unsigned n = 0;

	while (n < max) {
		const uint8_t *frame;
		uint32_t len;
		enum stream_next r = stream_frame_next(&s->in, &frame, &len);
		if (r == STREAM_FRAME) {
			out[n] = pkt_from(worker_pool(w), frame, len);
			if (out[n])
				n++;
			else
				port_rx_lost(p, DROP_RX_NO_BUFFER, 1, len);
			continue;
		}
		if (r == STREAM_BAD) {
			if (!s->end_errno) {
				port_rx_lost(p, DROP_RX_OVERSIZE, 1, 0);
				ended(s, EPROTO);
			}
			break;
		}
		if (!may_read || !read_more(s))
			break;
		may_read = false;
	}
	return n;
}

/* ---- worker: sending ---- */

/* 0 when nothing is pending (any more), else the errno. */
static int flush_pending(struct stream *s)
{
	while (s->pend_off < s->pend_len) {
		ssize_t n = send(s->fd, s->pend + s->pend_off, s->pend_len - s->pend_off,
				 MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno != EINTR)
			return errno;
		if (n > 0)
			s->pend_off += (uint32_t)n;
	}
	s->pend_off = s->pend_len = 0;
	return 0;
}

struct tx_batch {
	be32 len[PKT_BURST];
	uint8_t tag[PKT_BURST][VLAN_LEN];
	unsigned end[PKT_BURST]; /* index behind the last iovec of each frame */
	struct iovec iov[TX_IOV];
	unsigned n, n_iov;
};

static bool add(struct tx_batch *b, const struct pkt_out *o)
{
	uint32_t len = o->pkt->len + (o->tag.tpid ? VLAN_LEN : 0);

	if (TX_IOV - b->n_iov < 2 || len > ETH_FRAME_MAX)
		return false;
	unsigned parts =
		pkt_iov(o->pkt, o->tag, b->tag[b->n], &b->iov[b->n_iov + 1], TX_IOV - b->n_iov - 1);
	if (!parts)
		return false;
	b->len[b->n] = htobe32(len);
	b->iov[b->n_iov] = (struct iovec){&b->len[b->n], STREAM_LEN_SIZE};
	b->n_iov += parts + 1;
	b->end[b->n++] = b->n_iov;
	return true;
}

/* Keeps what follows the first `sent` bytes of the iovecs [first, end), which are k's. */
static void keep_rest(struct stream *s, const struct tx_batch *b, unsigned first, unsigned end,
		      size_t sent, const struct pkt *k)
{
	struct wire w = wire_writer(s->pend, STREAM_UNIT_MAX);

	for (unsigned i = first; i < end; i++)
		wire_put(&w, b->iov[i].iov_base, b->iov[i].iov_len);
	s->pend_off = (uint32_t)sent;
	s->pend_len = (uint32_t)wire_pos(&w);
	s->pend_bytes = k->flags & PKT_MORE ? 0 : s->pend_len - STREAM_LEN_SIZE;
}

static void drop_all(struct pkt_out *v, unsigned n, enum drop_reason why)
{
	for (unsigned i = 0; i < n; i++)
		v[i].drop = why;
}

/* Sorts out what became of b's frames v[] after `sent` bytes were taken; returns how many of
 * them are on their way, a cut one included. */
static unsigned settle(struct stream *s, const struct tx_batch *b, const struct pkt_out *v,
		       size_t sent)
{
	unsigned first = 0;

	for (unsigned i = 0; i < b->n; i++) {
		size_t unit = STREAM_LEN_SIZE + be32toh(b->len[i]);
		if (sent < unit) {
			if (!sent)
				return i;
			keep_rest(s, b, first, b->end[i], sent, v[i].pkt);
			return i + 1;
		}
		sent -= unit;
		first = b->end[i];
	}
	return b->n;
}

/* Sends of v[] what there is room for: returns how many are done with, and why no more. */
static unsigned send_some(struct stream *s, struct pkt_out *v, unsigned n, int *ret_err)
{
	struct tx_batch b;
	unsigned at = 0;
	int err = 0;

	while (!err && at < n) {
		b.n = b.n_iov = 0;
		while (at + b.n < n && add(&b, &v[at + b.n]))
			;
		if (!b.n) {
			v[at++].drop = DROP_TX_OVERSIZE;
			continue;
		}
		struct msghdr m = {.msg_iov = b.iov, .msg_iovlen = b.n_iov};
		ssize_t sent = sendmsg(s->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent < 0) {
			err = errno;
			break;
		}
		unsigned gone_out = settle(s, &b, v + at, (size_t)sent);
		at += gone_out;
		if (gone_out < b.n || s->pend_len)
			err = EAGAIN;
	}
	if (at)
		s->backlog.deaf = false;
	*ret_err = err;
	return at;
}

/* What waits, as far as there is room: 0 when nothing does any more, else the errno. */
static int drain(struct stream *s, struct worker *w)
{
	struct pkt_out v[PKT_BURST];
	int err = flush_pending(s);

	while (!err && s->backlog.n) {
		unsigned n = backlog_peek(&s->backlog, v);
		n = send_some(s, v, n, &err);
		backlog_done(&s->backlog, s->port, w, v, n);
	}
	return err;
}

static void watch_room(struct stream *s, struct worker *w)
{
	if (!s->watched)
		s->watched = port_watch_write(s->port, w, s->wake) == 0;
}

static void stream_tx_burst(struct port *p, struct worker *w, struct pkt_out *v, unsigned n)
{
	struct stream *s = p->priv;
	int err = drain(s, w);
	unsigned at = err ? 0 : send_some(s, v, n, &err);

	if (err == EAGAIN) {
		backlog_keep(&s->backlog, p, w, v + at, n - at);
		watch_room(s, w);
	} else if (err) {
		drop_all(v + at, n - at, msgs_tx_drop(err));
	}
}

static void stream_writable(struct port *p, struct worker *w)
{
	struct stream *s = p->priv;

	s->watched = false;
	if (drain(s, w) == EAGAIN)
		watch_room(s, w); /* other errors are seen by the next read */
}

static nsec_t stream_tick(struct port *p, struct worker *w, nsec_t now)
{
	struct stream *s = p->priv;

	return backlog_tick(&s->backlog, p, w, now);
}

/* ---- main: a connection begins and ends ---- */

static void dial_later(struct stream *s)
{
	loop_timer_arm(s->retry, s->backoff);
	s->backoff = s->backoff * 2 < REDIAL_MOST ? s->backoff * 2 : REDIAL_MOST;
}

/* On the worker: the packets are its, and a wake-up may be due until both fds are closed. */
static void release_on_worker(struct worker *w, void *arg)
{
	struct stream *s = arg;
	uint32_t begun = s->in.end - s->in.start; /* of a frame that will not be whole any more */

	if (begun && !s->in.bad)
		port_rx_lost(s->port, DROP_RX_TRUNCATED, 1, begun);
	s->in.start = s->in.end = 0;
	if (s->pend_len && s->pend_bytes) /* was counted as sent */
		port_tx_undo(s->port, DROP_TX_GONE, s->pend_bytes);
	s->pend_len = s->pend_off = 0;
	backlog_drop(&s->backlog, s->port, w, DROP_TX_GONE);
	if (s->wake >= 0)
		close(s->wake);
	if (s->fd >= 0)
		close(s->fd);
	s->wake = s->fd = -1;
	s->watched = false;
}

static void release(struct stream *s)
{
	worker_call(s->port->sw, s->port, release_on_worker, s);
	free(s->in.buf);
	free(s->pend);
	s->in.buf = s->pend = NULL;
}

static int begin(struct stream *s, int fd)
{
	int one = 1;
	uint8_t *buf = malloc(RX_BUFFER);

	s->pend = malloc(STREAM_UNIT_MAX);
	s->fd = fd;
	s->wake = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	s->end_errno = 0;
	s->backlog = (struct backlog){.share = &s->kept};
	stream_frame_init(&s->in, buf, RX_BUFFER);
	if (!s->is_path) {
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	}
	int r = buf && s->pend && s->wake >= 0 ? port_start(s->port, fd) : -ENOMEM;
	if (r) {
		snprintf(s->reason, sizeof(s->reason), "cannot start: %s", strerror(-r));
		release(s);
		return r;
	}
	s->reason[0] = 0;
	s->backoff = REDIAL_FIRST;
	return 0;
}

static void end(struct stream *s)
{
	port_stop(s->port);
	if (s->in.bad)
		snprintf(s->reason, sizeof(s->reason),
			 "disconnected: the peer announced a frame of %u bytes", s->in.bad_len);
	else
		snprintf(s->reason, sizeof(s->reason), "%s",
			 s->end_errno ? strerror(s->end_errno) : "the peer closed the connection");
	release(s);
	if (s->connect)
		dial_later(s);
}

/* Whether the connection the worker has is still one: an event that tells of its end may
 * be on its way. */
static bool hung_up(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLRDHUP};

	return poll(&p, 1, 0) == 1 && p.revents & (POLLRDHUP | POLLHUP | POLLERR);
}

static void stream_event(struct port *p, unsigned code)
{
	struct stream *s = p->priv;

	if (!(code & EV_END) || s->fd < 0)
		return;
	port_stop(p);
	if (s->in.bad || s->end_errno || hung_up(s->fd))
		end(s);
	else /* a late event of the connection before this one */
		port_start(p, s->fd);
}

/* ---- main: listening ---- */

static void refuse(struct stream *s, int fd)
{
	unsigned held;

	close(fd);
	if (log_limited(&s->refused, loop_now(s->loop), REFUSALS_LOGGED, &held))
		log_notice("stream", "port %s: refused a second connection (%u more not logged)",
			   s->port->name, held);
}

static void on_connection(void *arg, int lfd, unsigned events)
{
	struct stream *s = arg;
	struct sockaddr_storage sa = {0};
	socklen_t len = sizeof(sa);
	int fd = accept4(lfd, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return;
	if (s->fd >= 0 && hung_up(s->fd))
		end(s);
	if (s->fd >= 0) {
		refuse(s, fd);
		return;
	}
	if (s->is_path)
		snprintf(s->peer, sizeof(s->peer), "connected");
	else
		inaddr_format(&sa, s->peer);
	begin(s, fd);
}

static int listen_inet(struct stream *s)
{
	int one = 1;
	int fd = socket(s->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&s->addr, s->addr_len) < 0 || listen(fd, 8) < 0) {
		int err = errno;
		close(fd);
		return -err;
	}
	s->lsock.fd = fd;
	return 0;
}

static void stop_listening(struct stream *s)
{
	loop_fd_free(s->watch);
	s->watch = NULL;
	if (s->is_path)
		usock_close(&s->lsock, s->listen);
	else if (s->lsock.fd >= 0)
		close(s->lsock.fd);
	s->lsock.fd = -1;
}

static void start_listening(struct stream *s)
{
	int r = s->is_path ? usock_bind(s->listen, SOCK_STREAM, s->mode, s->group, &s->lsock)
			   : listen_inet(s);

	if (!r) {
		s->watch = loop_fd_new(s->loop, s->lsock.fd, LOOP_READ, on_connection, s);
		r = s->watch ? 0 : -errno;
	}
	if (!r) {
		snprintf(s->reason, sizeof(s->reason), "waiting for a connection");
		return;
	}
	stop_listening(s);
	snprintf(s->reason, sizeof(s->reason), "cannot listen: %s",
		 s->is_path ? usock_strerror(r) : strerror(-r));
	loop_timer_arm(s->retry, RELISTEN);
}

/* ---- main: dialling ---- */

static void dial_failed(struct stream *s, int err)
{
	snprintf(s->reason, sizeof(s->reason), "cannot connect: %s", strerror(err));
	loop_fd_free(s->watch);
	s->watch = NULL;
	if (s->dialling >= 0)
		close(s->dialling);
	s->dialling = -1;
	dial_later(s);
}

static void dialled(struct stream *s)
{
	int fd = s->dialling;

	loop_fd_free(s->watch);
	s->watch = NULL;
	s->dialling = -1;
	snprintf(s->peer, sizeof(s->peer), "connected");
	if (begin(s, fd))
		dial_later(s);
}

static void on_dialled(void *arg, int fd, unsigned events)
{
	struct stream *s = arg;
	int err = 0;
	socklen_t len = sizeof(err);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
		err = errno;
	if (err)
		dial_failed(s, err);
	else
		dialled(s);
}

static void dial(struct stream *s)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	const struct sockaddr *sa =
		s->is_path ? (struct sockaddr *)&un : (struct sockaddr *)&s->addr;

	snprintf(un.sun_path, sizeof(un.sun_path), "%s", s->connect);
	s->dialling = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->dialling < 0) {
		dial_failed(s, errno);
	} else if (connect(s->dialling, sa, s->is_path ? sizeof(un) : s->addr_len) == 0) {
		dialled(s);
	} else if (errno != EINPROGRESS) { /* EAGAIN, from AF_UNIX: its backlog is full */
		dial_failed(s, errno);
	} else {
		s->watch = loop_fd_new(s->loop, s->dialling, LOOP_WRITE, on_dialled, s);
		if (!s->watch)
			dial_failed(s, ENOMEM);
	}
}

static void stream_try(void *arg)
{
	struct stream *s = arg;

	if (s->listen)
		start_listening(s);
	else
		dial(s);
}

/* ---- main: the rest of the contract ---- */

static void stream_describe(struct port *p, port_describe_fn *fn, void *arg)
{
	struct stream *s = p->priv;

	fn(arg, s->listen ? "listen" : "connect", s->listen ? s->listen : s->connect);
	if (s->fd >= 0)
		fn(arg, "peer", s->peer);
	else
		fn(arg, "reason", s->reason);
}

static void stream_free(struct stream *s)
{
	loop_timer_free(s->retry);
	free(s->listen);
	free(s->connect);
	free(s->group);
	free(s);
}

static void stream_close(struct port *p)
{
	struct stream *s = p->priv;

	release(s);
	stop_listening(s);
	if (s->dialling >= 0)
		close(s->dialling);
	stream_free(s);
}

static const struct port_ops stream_ops = {
	.type = "stream",
	.rx_burst = stream_rx_burst,
	.tx_burst = stream_tx_burst,
	.tick = stream_tick,
	.writable = stream_writable,
	.event = stream_event,
	.describe = stream_describe,
	.close = stream_close,
};

static int parse_address(struct stream *s)
{
	const char *a = s->listen ? s->listen : s->connect;

	s->is_path = strchr(a, '/') != NULL;
	if (s->is_path)
		return strlen(a) < sizeof(((struct sockaddr_un *)0)->sun_path) ? 0 : -ENAMETOOLONG;
	return inaddr_parse(a, &s->addr, &s->addr_len);
}

static char *copy(const char *s, bool *failed)
{
	char *c = s ? strdup(s) : NULL;

	if (s && !c)
		*failed = true;
	return c;
}

static int stream_new(struct loop *loop, const struct stream_config *cfg,
		      struct stream **ret_stream)
{
	struct stream *s = calloc(1, sizeof(*s));
	bool failed = false;

	if (!s)
		return -ENOMEM;
	s->loop = loop;
	s->fd = s->wake = s->lsock.fd = s->dialling = -1;
	s->backoff = REDIAL_FIRST;
	s->mode = cfg->mode;
	s->listen = copy(cfg->listen, &failed);
	s->connect = copy(cfg->connect, &failed);
	s->group = copy(cfg->group, &failed);
	s->retry = loop_timer_new(loop, stream_try, s);
	int r = failed || !s->retry ? -ENOMEM : parse_address(s);
	if (r)
		stream_free(s);
	else
		*ret_stream = s;
	return r;
}

int stream_open(struct sw *sw, struct loop *loop, const char *name, const struct stream_config *cfg,
		const struct port_conf *conf, struct port **ret_port)
{
	struct port_caps caps = {.mtu = ETH_FRAME_MAX - ETH_HLEN_ - VLAN_LEN};
	struct stream *s;

	if (!cfg->listen == !cfg->connect)
		return -EINVAL;
	int r = stream_new(loop, cfg, &s);
	if (r)
		return r;
	r = sw_port_add(sw, name, &stream_ops, s, conf, caps, false, NULL, &s->port);
	if (r) {
		stream_free(s);
		return r;
	}
	stream_try(s);
	*ret_port = s->port;
	return 0;
}
