/* The UDP port of udp.h: a bound and connected socket, read and written by msgs.c, and a
 * bound one that takes what is not the peer's. */
#include "tap/udp.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/sock_diag.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/headers.h"
#include "tap/inaddr.h"
#include "tap/msgs.h"

#define UDP_PAYLOAD_MAX 65507u /* 65535 - 20 (IPv4) - 8 (UDP) */
#define VLAN_LEN	4u
#define SOCKET_BUFFER	(4 * 1024 * 1024)
#define RETRY		(2 * NSEC_PER_SEC)

struct udp {
	struct port *port;
	struct loop_timer *retry;
	struct sockaddr_storage local, peer;
	socklen_t len;
	char reason[128];
	int fd, strangers;
	struct msgs_rx rx; /* the worker's */
	uint32_t overrun, strange; /* of the kernel's counts, what is in ours; worker, or stopped */
};

static unsigned udp_rx_burst(struct port *p, unsigned queue, struct worker *w, struct pkt **out,
				 unsigned max)
{
	struct udp *u = p->priv;
	int err;

	/* ECONNREFUSED is the peer not being there yet (RFC 1122 4.1.3.3): it may come */
	return msgs_rx_burst(&u->rx, u->fd, p, w, out, max, &err);
}

static void udp_tx_burst(struct port *p, struct worker *w, struct pkt_out *v, unsigned n)
{
	struct udp *u = p->priv;

	for (unsigned at = 0; at < n;) {
		/* the error may be an earlier frame's, delivered late: what was left goes on */
		int err = msgs_tx_burst(u->fd, false, NULL, 0, v + at, n - at);
		if (err != ECONNREFUSED)
			return;
		while (v[at].drop != DROP_TX_GONE)
			at++;
		for (unsigned i = ++at; i < n; i++)
			v[i].drop = DROP_NONE;
	}
}

/* ---- sockets ---- */

/* How many datagrams the kernel has dropped at a socket: by its filter, for want of room, for
 * their checksum.  The number wraps. */
static uint32_t kernel_drops(int fd)
{
	uint32_t info[SK_MEMINFO_VARS] = {0};
	socklen_t len = sizeof(info);

	if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &len))
		return 0;
	return info[SK_MEMINFO_DROPS];
}

static void udp_collect(struct port *p)
{
	struct udp *u = p->priv;
	uint32_t overrun, strange;

	if (u->fd < 0)
		return;
	overrun = kernel_drops(u->fd);
	strange = kernel_drops(u->strangers);
	port_rx_lost(p, DROP_RX_OVERRUN, overrun - u->overrun, 0);
	port_rx_lost(p, DROP_RX_STRANGER, strange - u->strange, 0);
	u->overrun = overrun;
	u->strange = strange;
}

static int set(int fd, int option, int value)
{
	return setsockopt(fd, SOL_SOCKET, option, &value, sizeof(value));
}

/* A socket whose filter drops everything. */
static int deaf_socket(int family)
{
	struct sock_filter none = BPF_STMT(BPF_RET | BPF_K, 0);
	struct sock_fprog filter = {1, &none};
	int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)) == 0)
		return fd;
	int err = errno;
	close(fd);
	errno = err;
	return -1;
}

/* Binds the strangers' socket, alone, so that an address in use is refused; then, sharing its
 * address with nobody else, the peer's, which hears nothing before it is connected. */
static int bind_both(const struct udp *u, int strangers, int fd)
{
	const struct sockaddr *local = (const struct sockaddr *)&u->local;
	int r;

	if (bind(strangers, local, u->len))
		return -1;
	set(strangers, SO_REUSEADDR, 1);
	set(fd, SO_REUSEADDR, 1);
	r = bind(fd, local, u->len);
	set(strangers, SO_REUSEADDR, 0);
	set(fd, SO_REUSEADDR, 0);
	return r ? r : connect(fd, (const struct sockaddr *)&u->peer, u->len);
}

static int open_sockets(struct udp *u)
{
	int strangers = deaf_socket(u->local.ss_family), fd = deaf_socket(u->local.ss_family);

	if (strangers < 0 || fd < 0 || bind_both(u, strangers, fd) || set(fd, SO_DETACH_FILTER, 0)) {
		int err = errno;
		close(strangers);
		close(fd);
		return -err;
	}
	set(fd, SO_RCVBUF, SOCKET_BUFFER);
	set(fd, SO_RCVBUFFORCE, SOCKET_BUFFER);
	set(fd, SO_SNDBUF, SOCKET_BUFFER);
	u->fd = fd;
	u->strangers = strangers;
	u->overrun = kernel_drops(fd); /* its filter's, from before it was connected */
	u->strange = kernel_drops(strangers);
	return 0;
}

static void close_sockets(struct udp *u)
{
	if (u->fd < 0)
		return;
	close(u->fd);
	close(u->strangers);
	u->fd = u->strangers = -1;
}

/* ---- life ---- */

static void udp_try(void *arg)
{
	struct udp *u = arg;
	int r = open_sockets(u);

	if (!r)
		r = port_start(u->port, u->fd);
	if (!r) {
		u->reason[0] = 0;
		return;
	}
	close_sockets(u);
	snprintf(u->reason, sizeof(u->reason), "cannot bind: %s", strerror(-r));
	loop_timer_arm(u->retry, RETRY);
}

static void udp_describe(struct port *p, port_describe_fn *fn, void *arg)
{
	struct udp *u = p->priv;
	char text[INADDR_STRLEN];

	fn(arg, "listen", inaddr_format(&u->local, text));
	fn(arg, "peer", inaddr_format(&u->peer, text));
	if (u->reason[0])
		fn(arg, "reason", u->reason);
}

static void udp_close(struct port *p)
{
	struct udp *u = p->priv;

	loop_timer_free(u->retry);
	udp_collect(p);
	close_sockets(u);
	free(u);
}

static const struct port_ops udp_ops = {
	.type = "udp",
	.rx_burst = udp_rx_burst,
	.tx_burst = udp_tx_burst,
	.collect = udp_collect,
	.describe = udp_describe,
	.close = udp_close,
};

int udp_open(struct sw *sw, struct loop *loop, const char *name, const struct udp_config *cfg,
	     const struct port_conf *conf, struct port **ret_port)
{
	struct port_caps caps = {.mtu = UDP_PAYLOAD_MAX - ETH_HLEN_ - VLAN_LEN};
	struct sockaddr_storage local, peer;
	socklen_t len, peer_len;
	int r = -ENOMEM;

	if (inaddr_parse(cfg->listen, &local, &len) || inaddr_parse(cfg->peer, &peer, &peer_len) ||
	    local.ss_family != peer.ss_family)
		return -EINVAL;
	struct udp *u = calloc(1, sizeof(*u));
	if (!u)
		return r;
	*u = (struct udp){.local = local, .peer = peer, .len = len, .fd = -1, .strangers = -1};
	u->retry = loop_timer_new(loop, udp_try, u);
	if (u->retry)
		r = sw_port_add(sw, name, &udp_ops, u, conf, caps, false, NULL, &u->port);
	if (r) {
		loop_timer_free(u->retry);
		free(u);
		return r;
	}
	udp_try(u);
	*ret_port = u->port;
	return 0;
}
