/* The connections, datagrams and packets of ctl/upnp.h. */
#include "ctl/upnp.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "dhcp/dns_udp.h"
#include "nat/gateway.h"
#include "nat/igd.h"
#include "net/clock.h"
#include "net/headers.h"
#include "net/wire.h"
#include "tap/privnet.h"

#define MTU_MAX 1500u /* of the namespace: its packets fit a packet's head */
#define READS_MAX 32u /* packets of the kernel's in one round of the loop */

struct connection {
	struct upnp *upnp; /* NULL: free */
	struct loop_fd *watch;
	struct loop_timer *patience;
	int fd;
	be32 guest;
	size_t n_in, n_out, sent;
	char in[IGD_REQUEST_MAX], out[IGD_ANSWER_MAX];
};

struct upnp {
	struct run_network *network;
	void (*changed)(struct run_network *n);
	struct igd_server server;
	struct prefix4 address;
	uint32_t mtu;
	struct privnet net;
	struct loop_fd *tun_watch, *listen_watch;
	struct slow_sink http_sink, ssdp_sink;
	struct upnp_stats stats;
	struct connection connection[UPNP_CONNECTIONS];
};

/* ---- packets ---- */

/* A frame from a guest to our port, for the kernel's TCP.  It keeps its offloads; their places move with the
 * Ethernet header that goes. */
static bool to_kernel(struct upnp *u, const struct pkt *k)
{
	uint8_t ip[UPNP_FRAME_MAX];
	size_t len = k->len - k->l3_off;
	struct virtio_net_hdr h = k->vnet;
	struct iovec iov[] = {{&h, sizeof(h)}, {ip, len}};

	if (!(k->flags & PKT_IP4) || k->l3_off > k->len || len > sizeof(ip) || !pkt_read(k, k->l3_off, ip, len))
		return false;
	if (h.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		h.csum_start = (uint16_t)(h.csum_start - k->l3_off);
	if (h.hdr_len)
		h.hdr_len = (uint16_t)(h.hdr_len - k->l3_off);
	return writev(u->net.tun, iov, ARRAY_SIZE(iov)) == (ssize_t)(sizeof(h) + len);
}

static void http_receive(void *arg, struct pkt *k)
{
	struct upnp *u = arg;

	if (port_control_forged(u->network, k))
		sw_slow_refuse(k, DROP_GW_SPOOFED);
	else if (!to_kernel(u, k))
		sw_slow_refuse(k, DROP_SVC_MALFORMED);
	pkt_free(sw_main_pool(u->network->daemon->sw), k);
}

/* A packet of the kernel's, as a frame to a guest; nothing but TCP over IPv4 leaves there. */
static void to_guest(struct upnp *u, const uint8_t *ip, size_t len)
{
	struct pkt_pool *pool = sw_main_pool(u->network->daemon->sw);
	struct wire r = wire_reader(ip, len), w;
	uint8_t version = wire_get_u8(&r);

	wire_skip(&r, 8);
	if (version >> 4 != 4 || wire_get_u8(&r) != IPPROTO4_TCP || !wire_ok(&r))
		return;
	struct pkt *k = pkt_new(pool);
	if (!k)
		return; /* TCP sends it again */
	w = wire_writer(k->head, PKT_HEAD_MAX);
	wire_put_zero(&w, 2 * sizeof(struct mac));
	wire_put_u16(&w, ETHERTYPE_IP4);
	wire_put(&w, ip, len);
	pkt_set_len(pool, k, (uint32_t)wire_pos(&w));
	gateway_send_in(u->network->gateway, k);
}

static void tun_ready(void *arg, int fd, unsigned events)
{
	struct upnp *u = arg;
	struct virtio_net_hdr h;
	uint8_t ip[MTU_MAX];
	struct iovec iov[] = {{&h, sizeof(h)}, {ip, sizeof(ip)}};

	(void)events;
	for (unsigned i = 0; i < READS_MAX; i++) {
		ssize_t n = readv(fd, iov, ARRAY_SIZE(iov));
		if (n < (ssize_t)sizeof(h))
			return;
		to_guest(u, ip, (size_t)n - sizeof(h));
	}
}

/* ---- searches ---- */

static bool search(struct upnp *u, const struct pkt *k)
{
	struct pkt_pool *pool = sw_main_pool(u->network->daemon->sw);
	char msg[DNS_UDP_MAX], out[DNS_UDP_MAX];
	struct igd_text target;
	struct dns_udp from;
	int len = dns_udp_read(k, &from, msg, sizeof(msg));
	int r = len < 0 || from.six ? -EBADMSG : igd_ssdp_parse(msg, (size_t)len, &target);

	if (r <= 0)
		return r == 0;
	u->stats.searches++;
	size_t size = igd_ssdp_build(&u->server, target, out, sizeof(out));
	struct wire w = wire_reader(out, size);
	struct dns_udp back = {
		.src_mac = u->server.mac, .dst_mac = from.src_mac, .src = u->address.addr, .dst = from.src,
		.sport = IGD_SSDP_PORT, .dport = from.sport,
	};
	struct pkt *a = dns_udp_build(pool, &back, out, size, wire_get_u16(&w));
	if (a)
		sw_slow_down(gateway_port(u->network->gateway), k->domain, a);
	return true;
}

static void ssdp_receive(void *arg, struct pkt *k)
{
	struct upnp *u = arg;

	if (!search(u, k))
		sw_slow_refuse(k, DROP_SVC_MALFORMED);
	pkt_free(sw_main_pool(u->network->daemon->sw), k);
}

/* ---- connections ---- */

static void end_connection(struct connection *c)
{
	if (!c->upnp)
		return;
	loop_fd_free(c->watch);
	loop_timer_free(c->patience);
	close(c->fd);
	c->upnp = NULL;
}

static void lost_patience(void *arg)
{
	end_connection(arg);
}

static bool later(ssize_t n)
{
	return n < 0 && (errno == EAGAIN || errno == EINTR);
}

/* The answer goes as the kernel takes it; then it is the guest's turn to close. */
static void send_answer(struct connection *c)
{
	ssize_t n = send(c->fd, c->out + c->sent, c->n_out - c->sent, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n <= 0 && !later(n)) {
		end_connection(c);
		return;
	}
	c->sent += n > 0 ? (size_t)n : 0;
	if (c->sent == c->n_out)
		shutdown(c->fd, SHUT_WR);
	loop_fd_set(c->watch, c->sent == c->n_out ? LOOP_READ : LOOP_WRITE);
}

/* What comes behind the request is of no interest but for its end. */
static void await_end(struct connection *c)
{
	ssize_t n = recv(c->fd, c->in, sizeof(c->in), MSG_DONTWAIT);

	if (n <= 0 && !later(n))
		end_connection(c);
}

static void answer(struct connection *c)
{
	struct upnp *u = c->upnp;
	struct portmap_guest who = {gateway_domain(u->network->gateway), c->guest};
	struct igd_http h;
	int n = igd_http_parse(c->in, c->n_in, &h);

	if (n == 0 && c->n_in < sizeof(c->in))
		return;
	if (n > 0) {
		u->stats.requests++;
		c->n_out = igd_serve(&u->server, &who, &h, clock_now(), c->out, sizeof(c->out));
		u->changed(u->network);
	} else {
		u->stats.refused++;
		c->n_out = igd_http_error(n < 0 ? -n : 400, c->out, sizeof(c->out));
	}
	send_answer(c);
}

static void connection_ready(void *arg, int fd, unsigned events)
{
	struct connection *c = arg;

	(void)events;
	if (c->n_out) {
		c->sent < c->n_out ? send_answer(c) : await_end(c);
		return;
	}
	ssize_t n = recv(fd, c->in + c->n_in, sizeof(c->in) - c->n_in, MSG_DONTWAIT);
	if (n > 0) {
		c->n_in += (size_t)n;
		answer(c);
	} else if (!later(n)) {
		end_connection(c);
	}
}

/* A free place; NULL when there is none, or the guest has its share. */
static struct connection *place_for(struct upnp *u, be32 guest)
{
	struct connection *free_one = NULL;
	unsigned own = 0;

	for (struct connection *c = u->connection; c < u->connection + UPNP_CONNECTIONS; c++) {
		own += c->upnp && c->guest == guest;
		if (!c->upnp)
			free_one = c;
	}
	return own < UPNP_PER_GUEST ? free_one : NULL;
}

static void begin_connection(struct upnp *u, int fd, be32 guest)
{
	const struct linger reset = {.l_onoff = 1}; /* of what the guest has not closed */
	struct loop *l = u->network->daemon->loop;
	struct connection *c = place_for(u, guest);

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	if (!c) {
		u->stats.refused++;
		close(fd);
		return;
	}
	c->upnp = u;
	c->fd = fd;
	c->guest = guest;
	c->n_in = c->n_out = c->sent = 0;
	c->watch = loop_fd_new(l, fd, LOOP_READ, connection_ready, c);
	c->patience = loop_timer_new(l, lost_patience, c);
	if (!c->watch || !c->patience) {
		end_connection(c);
		return;
	}
	loop_timer_arm(c->patience, UPNP_PATIENCE);
}

static void listener_ready(void *arg, int fd, unsigned events)
{
	struct upnp *u = arg;
	struct sockaddr_in from;

	(void)events;
	for (unsigned i = 0; i < UPNP_CONNECTIONS; i++) {
		socklen_t len = sizeof(from);
		int one = accept4(fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (one < 0)
			return;
		begin_connection(u, one, from.sin_addr.s_addr);
	}
}

/* ---- life ---- */

static void set_sinks(struct upnp *u, bool on)
{
	gateway_set_sink(u->network->gateway, GATEWAY_HTTP, on ? &u->http_sink : NULL);
	gateway_set_sink(u->network->gateway, GATEWAY_SSDP, on ? &u->ssdp_sink : NULL);
	if (!on)
		sw_slow_drain(u->network->daemon->sw); /* what is on its way up names the sinks */
}

static uint32_t mtu_of(const struct gateway_conf *c)
{
	return c->mtu < MTU_MAX ? c->mtu : MTU_MAX;
}

struct upnp *upnp_new(struct run_network *n, void (*changed)(struct run_network *n), const char **ret_what)
{
	const struct gateway_conf *c = gateway_get_conf(n->gateway);
	struct upnp *u = calloc(1, sizeof(*u));
	int r = -ENOMEM;

	*ret_what = "have memory";
	if (!u)
		goto fail;
	*u = (struct upnp){
		.network = n, .changed = changed, .address = c->address, .mtu = mtu_of(c), .net = {-1, -1},
		.server = {n->portmap, c->address.addr, c->mac},
		.http_sink = {http_receive, u}, .ssdp_sink = {ssdp_receive, u},
	};
	r = privnet_open(u->address, u->mtu, IGD_HTTP_PORT, &u->net, ret_what);
	if (r)
		goto fail;
	u->tun_watch = loop_fd_new(n->daemon->loop, u->net.tun, LOOP_READ, tun_ready, u);
	u->listen_watch = loop_fd_new(n->daemon->loop, u->net.listener, LOOP_READ, listener_ready, u);
	if (!u->tun_watch || !u->listen_watch) {
		r = -ENOMEM;
		goto fail;
	}
	set_sinks(u, true);
	return u;
fail:
	upnp_free(u);
	errno = -r;
	return NULL;
}

void upnp_free(struct upnp *u)
{
	if (!u)
		return;
	set_sinks(u, false);
	for (unsigned i = 0; i < UPNP_CONNECTIONS; i++)
		end_connection(&u->connection[i]);
	loop_fd_free(u->tun_watch);
	loop_fd_free(u->listen_watch);
	privnet_close(&u->net);
	free(u);
}

bool upnp_fits(const struct upnp *u)
{
	const struct gateway_conf *c = gateway_get_conf(u->network->gateway);

	return u->address.addr == c->address.addr && u->address.len == c->address.len && u->mtu == mtu_of(c) &&
	       mac_eq(u->server.mac, c->mac) && u->server.portmap == u->network->portmap;
}

struct upnp_stats upnp_stats(const struct upnp *u)
{
	return u->stats;
}
