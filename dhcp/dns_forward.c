/* The DNS server's frame: who asked, local or not, and the life of an exchange.
 *
 * Formats are dns_msg's, local names dns_zone's, carrying dns_host's or dns_routed's. */
#include "dhcp/dns_forward.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "dhcp/dns_msg.h"
#include "dhcp/dns_udp.h"
#include "dhcp/dns_zone.h"

#define MTU_DEFAULT 1500u
#define ROUNDS	    2u /* how often every server is asked */

struct network {
	struct dns_conf conf; /* without suffix */
	struct dns_zone zone;
	struct lru exchanges; /* newest first */
	unsigned inflight;
	unsigned first; /* server that answered last: asked first */
	struct network *next;
};

/* A query on its way.  Free -> (exchange_new, next_try) -> waiting -> ... next_try ... ->
 * exchange_end -> free.  While it waits its carrier is open and its timer runs. */
struct exchange {
	struct dns_server *s;
	struct network *net;
	struct dns_carrier carrier;
	struct tab_node by_guest;
	struct lru_node age; /* in net->exchanges */
	struct loop_timer *timer;
	nsec_t give_up;
	unsigned tries, first, server; /* server: the carrier's */
	struct dns_udp guest;	       /* addresses as the query came with them */
	struct dns_query q;
	uint16_t id; /* ours */
	uint16_t len;
	uint8_t msg[DNS_UDP_MAX]; /* the query, with our id */
};

struct dns_server {
	struct sw *sw;
	struct loop *loop;
	struct dns_names *names;
	struct slow_sink sink;
	struct pool pool;      /* of exchanges */
	struct table by_guest; /* exchanges by domain and address */
	struct network *networks;
	struct network *of_domain[SW_DOMAINS_MAX];
	struct dns_stats stats;
};

static void next_try(struct exchange *x);
static void on_answer(struct dns_carrier *c, const void *msg, size_t len);
static void on_timer(void *arg);

/* ---- replies ---- */

static void reply(struct dns_server *s, struct network *net, const struct dns_udp *guest,
		  const void *msg, size_t len, uint16_t id)
{
	struct dns_udp back = {.src_mac = net->conf.mac,
			       .dst_mac = guest->src_mac,
			       .six = guest->six,
			       .src = guest->dst,
			       .dst = guest->src,
			       .sport = guest->dport,
			       .dport = guest->sport};
	memcpy(back.src6, guest->dst6, sizeof(back.src6));
	memcpy(back.dst6, guest->src6, sizeof(back.dst6));
	struct pkt *k = dns_udp_build(sw_main_pool(s->sw), &back, msg, len, id);

	if (k)
		sw_slow_down(net->conf.gateway, net->conf.domain, k);
	else
		s->stats.no_buffer++;
}

static void reply_error(struct dns_server *s, struct network *net, const struct dns_udp *guest,
			const struct dns_query *q, const void *query, unsigned flags,
			enum dns_rcode rcode)
{
	uint8_t room[DNS_UDP_PLAIN];
	size_t len = dns_build_error(room, sizeof(room), q, query, flags, rcode);

	reply(s, net, guest, room, len, q->h.id);
}

/* The longest answer that reaches this guest in one packet. */
static size_t reply_room(const struct network *net, const struct dns_udp *guest, const struct dns_query *q)
{
	const size_t headers = guest->six ? DNS_UDP_HEADERS6 : DNS_UDP_HEADERS;
	size_t room = dns_query_room(q), mtu = net->conf.mtu;

	if (!mtu || mtu > MTU_DEFAULT)
		mtu = MTU_DEFAULT;
	if (mtu < DNS_UDP_PLAIN + headers)
		mtu = DNS_UDP_PLAIN + headers;
	mtu -= headers - ETH_HLEN_;
	return room < mtu ? room : mtu;
}

/* ---- exchanges ---- */

/* Whose share a query counts to.  A guest has as many IPv6 addresses as it likes: there it is
 * its MAC address that counts. */
static be32 guest_key(const struct dns_udp *guest)
{
	return guest->six ? htobe32((uint32_t)mac_u64(guest->src_mac)) : guest->src;
}

static uint32_t guest_hash(const struct dns_server *s, domain_idx domain, be32 addr)
{
	return table_hash2(&s->by_guest, domain, addr);
}

static unsigned guest_inflight(const struct dns_server *s, const struct network *net, be32 addr)
{
	uint32_t hash = guest_hash(s, net->conf.domain, addr);
	unsigned n = 0;

	for (struct tab_node *t = table_chain(&s->by_guest, hash); t; t = t->next) {
		struct exchange *x = container_of(t, struct exchange, by_guest);

		n += t->hash == hash && x->net == net && guest_key(&x->guest) == addr;
	}
	return n;
}

static void carrier_close(struct exchange *x)
{
	struct dns_transport *t = x->net->conf.upstream;

	if (t)
		t->close(t, &x->carrier);
}

static void exchange_end(struct exchange *x)
{
	struct dns_server *s = x->s;

	carrier_close(x);
	loop_timer_free(x->timer);
	table_del(&s->by_guest, &x->by_guest);
	lru_del(&x->age);
	x->net->inflight--;
	pool_put(&s->pool, x);
}

/* Makes room: the oldest of the network that has most. */
static void evict(struct dns_server *s)
{
	struct network *most = s->networks;

	for (struct network *n = s->networks; n; n = n->next)
		if (n->inflight > most->inflight)
			most = n;
	if (!most || !most->inflight)
		return;
	s->stats.evicted++;
	exchange_end(container_of(lru_oldest(&most->exchanges), struct exchange, age));
}

static struct exchange *exchange_new(struct dns_server *s, struct network *net,
				     const struct dns_udp *guest, const struct dns_query *q,
				     const void *msg, size_t len)
{
	struct exchange *x;

	if (s->pool.used == s->pool.max)
		evict(s);
	x = pool_get(&s->pool);
	if (!x)
		return NULL;
	x->s = s;
	x->timer = loop_timer_new(s->loop, on_timer, x);
	if (!x->timer) {
		pool_put(&s->pool, x);
		return NULL;
	}
	x->net = net;
	x->carrier.fn = on_answer;
	x->first = net->first;
	x->give_up = loop_now(s->loop) + DNS_GIVE_UP;
	x->guest = *guest;
	x->q = *q;
	x->len = (uint16_t)len;
	memcpy(x->msg, msg, len);
	table_add(&s->by_guest, &x->by_guest, guest_hash(s, net->conf.domain, guest_key(guest)));
	lru_add(&net->exchanges, &x->age);
	net->inflight++;
	return x;
}

/* A fresh id for a fresh source port (RFC 5452 4.3, 9.2); none without randomness. */
static int carrier_open(struct exchange *x, unsigned server)
{
	struct dns_transport *t = x->net->conf.upstream;
	int err;

	carrier_close(x);
	if (getrandom(&x->id, sizeof(x->id), 0) != sizeof(x->id))
		return -EIO;
	err = t->open(t, &x->carrier, server);
	if (err)
		return err;
	x->server = server;
	dns_set_id(x->msg, x->id);
	return 0;
}

static void arm(struct exchange *x, bool last)
{
	nsec_t now = loop_now(x->s->loop), left = x->give_up > now ? x->give_up - now : 0;

	loop_timer_arm(x->timer, last || left < DNS_TRY ? left : DNS_TRY);
}

static void give_up(struct exchange *x)
{
	x->s->stats.timed_out++;
	reply_error(x->s, x->net, &x->guest, &x->q, x->msg, 0, DNS_SERVFAIL);
	exchange_end(x);
}

/* Asks the next server, or the same one again; ends the exchange when there is none left. */
static void next_try(struct exchange *x)
{
	struct dns_transport *t = x->net->conf.upstream;
	unsigned servers = t->servers(t);

	while (x->tries < ROUNDS * servers) {
		unsigned server = (x->first + x->tries++) % servers;

		if (x->tries > 1)
			x->s->stats.retries++;
		if ((!x->carrier.t || x->server != server) && carrier_open(x, server))
			continue;
		if (t->send(t, &x->carrier, x->msg, x->len)) {
			carrier_close(x);
			continue;
		}
		arm(x, x->tries == ROUNDS * servers);
		return;
	}
	give_up(x);
}

static void on_timer(void *arg)
{
	struct exchange *x = arg;

	if (loop_now(x->s->loop) >= x->give_up)
		give_up(x);
	else
		next_try(x);
}

/* Whether the message answers what was asked (RFC 5452 9.1). */
static bool answers(const struct exchange *x, const struct dns_header *h,
		    const struct dns_question *q)
{
	unsigned rcode = h->flags & DNS_RCODE;

	if (h->id != x->id || ((h->flags ^ x->q.h.flags) & DNS_OPCODE))
		return false;
	if (!h->questions) /* servers that did not understand, RFC 6891 6.2.2 */
		return rcode == DNS_FORMERR || rcode == DNS_NOTIMP;
	return q->type == x->q.q.type && q->class == x->q.q.class &&
	       dns_name_eq(&q->name, &x->q.q.name);
}

static void relay(struct exchange *x, const void *msg, size_t len)
{
	struct dns_server *s = x->s;

	if (len <= reply_room(x->net, &x->guest, &x->q)) {
		s->stats.relayed++;
		reply(s, x->net, &x->guest, msg, len, x->q.h.id);
	} else {
		s->stats.truncated++;
		reply_error(s, x->net, &x->guest, &x->q, x->msg, DNS_TC, DNS_NOERROR);
	}
}

static void on_answer(struct dns_carrier *c, const void *msg, size_t len)
{
	struct exchange *x = container_of(c, struct exchange, carrier);
	struct dns_transport *t = x->net->conf.upstream;
	struct dns_question q;
	struct dns_header h;
	unsigned rcode;

	if (!len) { /* cannot be reached: not on this path again */
		carrier_close(x);
		next_try(x);
		return;
	}
	if (dns_answer_parse(msg, len, &h, &q) || !answers(x, &h, &q)) {
		x->s->stats.bad_answers++;
		return;
	}
	rcode = h.flags & DNS_RCODE;
	if ((rcode == DNS_SERVFAIL || rcode == DNS_REFUSED) && x->tries < t->servers(t)) {
		next_try(x);
		return;
	}
	x->net->first = x->server;
	relay(x, msg, len);
	exchange_end(x);
}

/* ---- queries ---- */

static enum drop_reason forward(struct dns_server *s, struct network *net,
				const struct dns_udp *guest, const struct dns_query *q,
				const void *msg, size_t len)
{
	struct dns_transport *t = net->conf.upstream;
	struct exchange *x;

	if (!t || !t->servers(t)) {
		s->stats.failed++;
		reply_error(s, net, guest, q, msg, 0, DNS_SERVFAIL);
		return DROP_NONE;
	}
	if (guest_inflight(s, net, guest_key(guest)) >= DNS_GUEST_SHARE) {
		s->stats.dropped_share++;
		return DROP_SVC_SHARE;
	}
	x = exchange_new(s, net, guest, q, msg, len);
	if (!x) {
		s->stats.failed++;
		reply_error(s, net, guest, q, msg, 0, DNS_SERVFAIL);
		return DROP_NONE;
	}
	s->stats.forwarded++;
	next_try(x);
	return DROP_NONE;
}

static void answer_local(struct dns_server *s, struct network *net, const struct dns_udp *guest,
			 const struct dns_query *q, const void *msg, const void *answer, int len)
{
	s->stats.local++;
	if (len < 0 || (size_t)len > reply_room(net, guest, q))
		reply_error(s, net, guest, q, msg, DNS_TC, DNS_NOERROR);
	else
		reply(s, net, guest, answer, (size_t)len, q->h.id);
}

static enum drop_reason malformed(struct dns_server *s)
{
	s->stats.dropped_malformed++;
	return DROP_SVC_MALFORMED;
}

static enum drop_reason handle(struct dns_server *s, struct network *net,
			       const struct dns_udp *guest, const void *msg, size_t len)
{
	uint8_t room[DNS_UDP_EDNS];
	struct dns_header h;
	struct dns_query q;
	int err = dns_query_parse(msg, len, &q), n;

	if (err == -EPROTO && !dns_header_parse(msg, len, &h)) {
		s->stats.refused++;
		reply(s, net, guest, room, dns_build_formerr(room, sizeof(room), &h), h.id);
		return DROP_NONE;
	}
	if (err)
		return malformed(s);
	if (q.h.flags &
	    DNS_OPCODE) { /* updates and notifies of guests are nobody else's business */
		s->stats.refused++;
		reply_error(s, net, guest, &q, msg, 0, DNS_NOTIMP);
		return DROP_NONE;
	}
	n = dns_zone_answer(&net->zone, s->names, loop_now(s->loop), &q, msg, room, sizeof(room));
	if (!n)
		return forward(s, net, guest, &q, msg, len);
	answer_local(s, net, guest, &q, msg, room, n);
	return DROP_NONE;
}

static enum drop_reason receive(struct dns_server *s, const struct pkt *k)
{
	struct network *net = k->domain < SW_DOMAINS_MAX ? s->of_domain[k->domain] : NULL;
	uint8_t msg[DNS_UDP_MAX];
	struct dns_udp guest;
	int len;

	s->stats.queries++;
	if (!net) {
		s->stats.dropped_off++;
		return DROP_SVC_OFF;
	}
	len = dns_udp_read(k, &guest, msg, sizeof(msg));
	if (len < 0 || !guest.sport)
		return malformed(s);
	return handle(s, net, &guest, msg, (size_t)len);
}

void dns_receive(struct dns_server *s, struct pkt *k)
{
	enum drop_reason why = receive(s, k);

	if (why)
		sw_slow_refuse(k, why);
	pkt_free(sw_main_pool(s->sw), k);
}

static void sink_receive(void *arg, struct pkt *k)
{
	dns_receive(arg, k);
}

struct slow_sink *dns_server_sink(struct dns_server *s)
{
	return &s->sink;
}

/* ---- life ---- */

struct dns_server *dns_server_new(struct sw *sw, struct loop *loop, struct dns_names *names)
{
	struct dns_server *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return NULL;
	s->sw = sw;
	s->loop = loop;
	s->names = names;
	s->sink = (struct slow_sink){sink_receive, s};
	err = table_init(&s->by_guest, DNS_INFLIGHT);
	if (!err)
		err = pool_init(&s->pool, sizeof(struct exchange), DNS_INFLIGHT);
	if (!err)
		return s;
	dns_server_free(s);
	errno = -err;
	return NULL;
}

void dns_server_free(struct dns_server *s)
{
	if (!s)
		return;
	while (s->networks)
		dns_server_del_conf(s, s->networks->conf.domain);
	table_fini(&s->by_guest);
	pool_fini(&s->pool);
	free(s);
}

static void drop_exchanges(struct dns_server *s, struct network *net)
{
	while (net->inflight) {
		s->stats.evicted++;
		exchange_end(container_of(lru_oldest(&net->exchanges), struct exchange, age));
	}
}

static struct network *network_new(struct dns_server *s, domain_idx domain)
{
	struct network *net = calloc(1, sizeof(*net));

	if (!net)
		return NULL;
	lru_init(&net->exchanges);
	net->next = s->networks;
	s->networks = net;
	s->of_domain[domain] = net;
	return net;
}

static void name_gateway(struct dns_server *s, const struct network *net, be32 former)
{
	struct dns_names_row row;

	if (former && dns_names_find(s->names, net->conf.domain, "gateway", &row) &&
	    row.addr == former)
		dns_names_del(s->names, net->conf.domain, "gateway");
	if (net->conf.gateway_addr) /* unless the operator gave the name to another */
		dns_names_set(s->names, net->conf.domain, DNS_NAME_STATIC, "gateway",
			      net->conf.gateway_addr, 0);
}

int dns_server_set_conf(struct dns_server *s, const struct dns_conf *conf)
{
	struct network *net;
	struct dns_name suffix;
	be32 former;

	if (conf->domain >= SW_DOMAINS_MAX ||
	    dns_name_parse(conf->suffix ? conf->suffix : "", &suffix))
		return -EINVAL;
	net = s->of_domain[conf->domain];
	if (!net)
		net = network_new(s, conf->domain);
	if (!net)
		return -ENOMEM;
	if (net->conf.upstream != conf->upstream) {
		drop_exchanges(s, net);
		net->first = 0;
	}
	former = net->conf.gateway_addr;
	net->conf = *conf;
	net->conf.suffix = NULL;
	net->zone = (struct dns_zone){conf->domain, conf->subnet, suffix};
	name_gateway(s, net, former);
	return 0;
}

void dns_server_del_conf(struct dns_server *s, domain_idx domain)
{
	struct network *net = domain < SW_DOMAINS_MAX ? s->of_domain[domain] : NULL;

	if (!net)
		return;
	drop_exchanges(s, net);
	dns_names_clear(s->names, domain);
	s->of_domain[domain] = NULL;
	for (struct network **p = &s->networks; *p; p = &(*p)->next) {
		if (*p == net) {
			*p = net->next;
			break;
		}
	}
	free(net);
}

struct dns_stats dns_server_stats(const struct dns_server *s)
{
	return s->stats;
}

unsigned dns_server_inflight(const struct dns_server *s)
{
	return s->pool.used;
}

void dns_transport_free(struct dns_transport *t)
{
	if (t)
		t->free(t);
}
