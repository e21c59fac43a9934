/* The UDP port of udp.h: a bound and connected socket, read and written by msgs.c. */
#include "tap/udp.h"

#include <errno.h>
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
	int fd;
	struct msgs_rx rx; /* the worker's */
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

static int udp_socket(struct udp *u)
{
	int size = SOCKET_BUFFER;
	int fd = socket(u->local.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	if (bind(fd, (struct sockaddr *)&u->local, u->len) == 0 &&
	    connect(fd, (struct sockaddr *)&u->peer, u->len) == 0)
		return fd;
	int err = errno;
	close(fd);
	return -err;
}

static void udp_try(void *arg)
{
	struct udp *u = arg;
	int r = udp_socket(u);

	if (r >= 0) {
		u->fd = r;
		r = port_start(u->port, u->fd);
	}
	if (r >= 0) {
		u->reason[0] = 0;
		return;
	}
	if (u->fd >= 0)
		close(u->fd);
	u->fd = -1;
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
	if (u->fd >= 0)
		close(u->fd);
	free(u);
}

static const struct port_ops udp_ops = {
	.type = "udp",
	.rx_burst = udp_rx_burst,
	.tx_burst = udp_tx_burst,
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
	*u = (struct udp){.local = local, .peer = peer, .len = len, .fd = -1};
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
