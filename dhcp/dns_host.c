/* The transport of `upstream: system`: one connected UDP socket of the host for each query, so
 * that the kernel picks a random source port and lets in only the server's answers. */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dhcp/dns_transport.h"
#include "dhcp/resolv.h"

#define DATAGRAM_MAX 65535u

struct host {
	struct dns_transport t;
	struct loop *loop;
	struct resolv *resolv;
	uint8_t datagram[DATAGRAM_MAX];
};

static unsigned host_servers(struct dns_transport *t)
{
	struct host *h = container_of(t, struct host, t);

	return resolv_list(h->resolv)->n;
}

static void on_readable(void *arg, int fd, unsigned events)
{
	struct dns_carrier *c = arg;
	struct host *h = container_of(c->t, struct host, t);
	ssize_t n = recv(fd, h->datagram, sizeof(h->datagram), MSG_DONTWAIT);

	(void)events;
	if (n > 0)
		c->fn(c, h->datagram, (size_t)n);
	else if (n < 0 && errno != EAGAIN && errno != EINTR)
		c->fn(c, NULL, 0); /* an ICMP error */
}

static void host_close(struct dns_transport *t, struct dns_carrier *c)
{
	(void)t;
	if (!c->t)
		return;
	loop_fd_free(c->fd);
	close(c->sock);
	c->t = NULL;
}

static int host_open(struct dns_transport *t, struct dns_carrier *c, unsigned i)
{
	struct host *h = container_of(t, struct host, t);
	const struct resolv_list *l = resolv_list(h->resolv);
	const struct resolv_server *server = &l->server[i];
	int sock, err;

	if (i >= l->n)
		return -ENOENT;
	sock = socket(server->sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return -errno;
	if (!connect(sock, &server->sa, server->len)) {
		c->fd = loop_fd_new(h->loop, sock, LOOP_READ, on_readable, c);
		if (c->fd) {
			c->sock = sock;
			c->t = t;
			return 0;
		}
	}
	err = -errno;
	close(sock);
	return err ? err : -ENOMEM;
}

static int host_send(struct dns_transport *t, struct dns_carrier *c, const void *msg, size_t len)
{
	(void)t;
	return send(c->sock, msg, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static void host_free(struct dns_transport *t)
{
	free(container_of(t, struct host, t));
}

struct dns_transport *dns_host_new(struct loop *loop, struct resolv *resolv)
{
	struct host *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->t = (struct dns_transport){.servers = host_servers,
				      .open = host_open,
				      .send = host_send,
				      .close = host_close,
				      .free = host_free};
	h->loop = loop;
	h->resolv = resolv;
	return &h->t;
}
