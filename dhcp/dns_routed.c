/* The transport of listed upstream servers: queries as packets through the network's own uplink,
 * by way of functions of the gateway that the glue gives us. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "dhcp/dns_msg.h"
#include "dhcp/dns_transport.h"
#include "dhcp/dns_udp.h"
#include "net/parse.h"

#define WAITING_MAX 1024u /* buckets; the forwarder bounds how many there are */
#define PORT_MIN    1024u
#define BIND_TRIES  8
#define USES_MIN    8u
#define USES_SPREAD 32u /* a power of two */

/* A source port: bound at its first use, closed when it has had its share of queries. */
struct slot {
	uint16_t port; /* 0: not bound */
	unsigned refs, uses_left;
};

struct routed {
	struct dns_transport t;
	struct dns_routed_conf conf;
	be32 server[DNS_SERVERS_MAX];
	struct slot slot[DNS_ROUTED_PORTS];
	struct table waiting;
	uint8_t datagram[DNS_UDP_MAX];
};

static uint16_t random16(void)
{
	uint16_t r;

	if (getrandom(&r, sizeof(r), 0) != sizeof(r))
		abort(); /* cannot happen for so few bytes, and predictable ports must not */
	return r;
}

static unsigned routed_servers(struct dns_transport *t)
{
	return container_of(t, struct routed, t)->conf.n_servers;
}

static int slot_bind(struct routed *r, struct slot *s)
{
	int err = -EADDRINUSE;

	for (int i = 0; i < BIND_TRIES && err == -EADDRINUSE; i++) {
		uint16_t port = random16();

		if (port < PORT_MIN)
			continue;
		err = r->conf.bind(r->conf.arg, port, true);
		if (!err)
			*s = (struct slot){
				.port = port,
				.uses_left = USES_MIN + (random16() & (USES_SPREAD - 1)),
			};
	}
	return err;
}

static void slot_unbind(struct routed *r, struct slot *s)
{
	if (s->port)
		r->conf.bind(r->conf.arg, s->port, false);
	*s = (struct slot){0};
}

/* One that may still be used, else the one with fewest queries. */
static struct slot *slot_choose(struct routed *r)
{
	unsigned start = random16();
	struct slot *least = &r->slot[0];

	for (unsigned i = 0; i < DNS_ROUTED_PORTS; i++) {
		struct slot *s = &r->slot[(start + i) % DNS_ROUTED_PORTS];

		if (!s->port || s->uses_left)
			return s;
		if (s->refs < least->refs)
			least = s;
	}
	return least;
}

static int routed_open(struct dns_transport *t, struct dns_carrier *c, unsigned i)
{
	struct routed *r = container_of(t, struct routed, t);
	struct slot *s;
	int err;

	if (i >= r->conf.n_servers)
		return -ENOENT;
	s = slot_choose(r);
	if (!s->port && (err = slot_bind(r, s)))
		return err;
	s->refs++;
	if (s->uses_left)
		s->uses_left--;
	c->slot = (uint8_t)(s - r->slot);
	c->server = r->server[i];
	c->waiting = false;
	c->t = t;
	return 0;
}

static void forget(struct routed *r, struct dns_carrier *c)
{
	if (c->waiting)
		table_del(&r->waiting, &c->node);
	c->waiting = false;
}

static void routed_close(struct dns_transport *t, struct dns_carrier *c)
{
	struct routed *r = container_of(t, struct routed, t);
	struct slot *s;

	if (!c->t)
		return;
	forget(r, c);
	c->t = NULL;
	s = &r->slot[c->slot];
	if (!--s->refs && !s->uses_left)
		slot_unbind(r, s);
}

static uint32_t hash_of(const struct routed *r, uint16_t port, be32 server, uint16_t id)
{
	return table_hash2(&r->waiting, server, (uint64_t)port << 16 | id);
}

static int routed_send(struct dns_transport *t, struct dns_carrier *c, const void *msg, size_t len)
{
	struct routed *r = container_of(t, struct routed, t);
	struct dns_udp u = {.src = r->conf.source,
			    .dst = c->server,
			    .sport = r->slot[c->slot].port,
			    .dport = DNS_PORT};
	struct dns_header h;
	struct pkt *k;

	if (dns_header_parse(msg, len, &h))
		return -EINVAL;
	k = dns_udp_build(r->conf.pool, &u, msg, len, h.id);
	if (!k)
		return -ENOBUFS;
	forget(r, c);
	c->id = h.id;
	table_add(&r->waiting, &c->node, hash_of(r, u.sport, c->server, c->id));
	c->waiting = true;
	r->conf.send(r->conf.arg, k);
	return 0;
}

bool dns_routed_receive(struct dns_transport *t, const struct pkt *k)
{
	struct routed *r = container_of(t, struct routed, t);
	struct dns_header h;
	struct dns_udp u;
	uint32_t hash;
	int len = dns_udp_read(k, &u, r->datagram, sizeof(r->datagram));

	if (len <= 0 || u.six || u.sport != DNS_PORT || dns_header_parse(r->datagram, (size_t)len, &h))
		return false;
	hash = hash_of(r, u.dport, u.src, h.id);
	for (struct tab_node *n = table_chain(&r->waiting, hash); n; n = n->next) {
		struct dns_carrier *c = container_of(n, struct dns_carrier, node);

		if (n->hash == hash && c->server == u.src && c->id == h.id &&
		    r->slot[c->slot].port == u.dport) {
			c->fn(c, r->datagram, (size_t)len);
			return true;
		}
	}
	return false;
}

static void routed_free(struct dns_transport *t)
{
	struct routed *r = container_of(t, struct routed, t);

	for (unsigned i = 0; i < DNS_ROUTED_PORTS; i++)
		slot_unbind(r, &r->slot[i]);
	table_fini(&r->waiting);
	free(r);
}

struct dns_transport *dns_routed_new(const struct dns_routed_conf *conf)
{
	struct routed *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return NULL;
	err = table_init(&r->waiting, WAITING_MAX);
	if (err) {
		free(r);
		errno = -err;
		return NULL;
	}
	r->t = (struct dns_transport){.servers = routed_servers,
				      .open = routed_open,
				      .send = routed_send,
				      .close = routed_close,
				      .free = routed_free};
	r->conf = *conf;
	if (r->conf.n_servers > DNS_SERVERS_MAX)
		r->conf.n_servers = DNS_SERVERS_MAX;
	memcpy(r->server, conf->servers, r->conf.n_servers * sizeof(r->server[0]));
	r->conf.servers = r->server;
	return &r->t;
}
