/* The DHCP state machine: one function a message type, options as prepared bytes.
 * dhcp_msg.c knows the format, lease.c the addresses, dhcp_receive.c the frames. */
#include "dhcp/dhcp_server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dhcp/dhcp_server_priv.h"
#include "net/headers.h"

#define CODES		256u
#define DEFAULT_LEASE_S 43200u
#define DEFAULT_MTU	1500u
/* What a client may shorten its lease to: each renewal costs a sync of the journal. */
#define LEASE_MIN_S    60u
#define IP_UDP_HEADERS 28u
#define LABEL_MAX      63u
#define NAME_MAX_      253u

/* A message being handled. */
struct exchange {
	struct dhcp_server *s;
	const struct dhcp_request_ctx *ctx;
	const struct dhcp_msg *m;
	struct lease_client client;
	char hostname[LEASE_NAME_MAX]; /* from option 12, sanitised; "" = none */
	bool rapid;		       /* the ACK answers a DISCOVER (RFC 4039) */
	struct dhcp_reply *reply;
};

/* ---- configuration ---- */

static int put_value(struct dhcp_value *v, bool always, const void *data, size_t len)
{
	uint8_t *copy = malloc(len + 1);
	if (!copy)
		return -ENOMEM;
	if (len)
		memcpy(copy, data, len);
	free(v->data);
	*v = (struct dhcp_value){.always = always, .data = copy, .len = len};
	return 0;
}

static int put_ip4(struct dhcp_value *v, be32 a)
{
	return a ? put_value(v, true, &a, sizeof(a)) : 0;
}

static bool is_loopback(be32 a)
{
	return be32toh(a) >> 24 == 127;
}

static int put_dns(struct dhcp_value *v, const struct dhcp_conf *c)
{
	be32 list[DHCP_DNS_MAX];
	size_t n = 0;
	for (size_t i = 0; i < c->n_dns && i < DHCP_DNS_MAX; i++) {
		if (c->dns[i] && !is_loopback(c->dns[i]))
			list[n++] = c->dns[i];
	}
	return n ? put_value(v, true, list, n * sizeof(*list)) : 0;
}

static int put_mtu(struct dhcp_value *v, uint32_t mtu)
{
	be16 wire = htobe16((uint16_t)mtu);
	return put_value(v, mtu != DEFAULT_MTU, &wire, sizeof(wire));
}

/* A domain name in DNS's form (RFC 1035 3.1), uncompressed. */
static int put_name(struct wire *w, const char *name)
{
	size_t left = strlen(name);
	if (!left || left > NAME_MAX_)
		return -EINVAL;
	while (*name) {
		size_t n = strcspn(name, ".");
		if (!n || n > LABEL_MAX)
			return -EINVAL;
		wire_put_u8(w, (uint8_t)n);
		wire_put(w, name, n);
		name += n;
		name += *name == '.';
	}
	wire_put_u8(w, 0);
	return 0;
}

static int put_search(struct dhcp_value *v, const struct dhcp_conf *c)
{
	uint8_t room[1024];
	struct wire w = wire_writer(room, sizeof(room));
	for (size_t i = 0; i < c->n_search; i++) {
		int r = put_name(&w, c->search[i]);
		if (r)
			return r;
	}
	if (!wire_ok(&w))
		return -EINVAL;
	return c->n_search ? put_value(v, false, room, wire_pos(&w)) : 0;
}

/* RFC 3442: only the significant bytes of the destination. */
static void put_route(struct wire *w, struct prefix4 to, be32 via)
{
	be32 net = prefix4_network(to);
	wire_put_u8(w, to.len);
	wire_put(w, &net, (to.len + 7u) / 8);
	wire_put_ip4(w, via);
}

static int put_routes(struct dhcp_value *v, const struct dhcp_conf *c)
{
	uint8_t room[1024];
	struct wire w = wire_writer(room, sizeof(room));
	if (!c->n_routes)
		return 0;
	for (size_t i = 0; i < c->n_routes; i++)
		put_route(&w, c->routes[i].to, c->routes[i].via);
	/* A client that takes 121 ignores option 3, so the default route stands here too. */
	if (c->router)
		put_route(&w, (struct prefix4){0}, c->router);
	if (!wire_ok(&w))
		return -EINVAL;
	return put_value(v, false, room, wire_pos(&w));
}

bool dhcp_option_allowed(uint8_t code)
{
	switch (code) {
	case DHCP_OPT_PAD:
	case DHCP_OPT_REQUESTED_IP ... DHCP_OPT_PARAM_LIST:
	case DHCP_OPT_MAX_SIZE ... DHCP_OPT_T2:
	case DHCP_OPT_CLIENT_ID:
	case DHCP_OPT_RAPID_COMMIT:
	case DHCP_OPT_RELAY_INFO:
	case DHCP_OPT_END: return false;
	default: return true;
	}
}

static int put_own(struct dhcp_value *v, const struct dhcp_conf *c)
{
	int r = put_ip4(&v[DHCP_OPT_MASK], prefix4_mask(c->subnet));
	if (!r)
		r = put_ip4(&v[DHCP_OPT_ROUTER], c->router);
	if (!r)
		r = put_dns(&v[DHCP_OPT_DNS], c);
	if (!r && c->domain && *c->domain)
		r = put_value(&v[DHCP_OPT_DOMAIN], true, c->domain, strlen(c->domain));
	if (!r)
		r = put_mtu(&v[DHCP_OPT_MTU], c->mtu ? c->mtu : DEFAULT_MTU);
	if (!r && c->subnet.len < 31)
		r = put_ip4(&v[DHCP_OPT_BROADCAST], prefix4_broadcast(c->subnet));
	if (!r)
		r = put_search(&v[DHCP_OPT_SEARCH], c);
	if (!r)
		r = put_routes(&v[DHCP_OPT_ROUTES], c);
	return r;
}

static int put_configured(struct dhcp_value *v, const struct dhcp_conf *c)
{
	for (size_t i = 0; i < c->n_options; i++) {
		const struct dhcp_option *o = &c->options[i];
		int r = dhcp_option_allowed(o->code) ? 0 : -EINVAL;
		if (!r && o->len) {
			r = put_value(&v[o->code], true, o->data, o->len);
		} else if (!r) {
			free(v[o->code].data);
			v[o->code] = (struct dhcp_value){0};
		}
		if (r)
			return r;
	}
	return 0;
}

static void free_values(struct dhcp_value *v)
{
	for (unsigned i = 0; v && i < CODES; i++)
		free(v[i].data);
	free(v);
}

static int make_values(const struct dhcp_conf *c, struct dhcp_value **ret_values)
{
	struct dhcp_value *v = calloc(CODES, sizeof(*v));
	int r = v ? put_own(v, c) : -ENOMEM;
	if (!r)
		r = put_configured(v, c);
	if (r) {
		free_values(v);
		return r;
	}
	*ret_values = v;
	return 0;
}

static int set_pool(struct dhcp_server *s, const struct dhcp_conf *c, int64_t now_s)
{
	be32 excluded[2 + DHCP_DNS_MAX] = {c->server_id, c->router};
	size_t n = 2;
	for (size_t i = 0; i < c->n_dns && i < DHCP_DNS_MAX; i++)
		excluded[n++] = c->dns[i];
	return lease_pool_set_conf(s->pool,
				   &(struct lease_pool_conf){.subnet = c->subnet,
							     .first = c->range_first,
							     .last = c->range_last,
							     .excluded = excluded,
							     .n_excluded = n,
							     .reservations = c->reservations,
							     .n_reservations = c->n_reservations,
							     .max_per_port = c->max_per_port},
				   now_s);
}

int dhcp_server_set_conf(struct dhcp_server *s, const struct dhcp_conf *c, int64_t now_s)
{
	struct dhcp_value *values;
	if (!c->server_id || (c->mtu && (c->mtu < 68 || c->mtu > UINT16_MAX)))
		return -EINVAL;
	int r = make_values(c, &values);
	if (r)
		return r;
	r = set_pool(s, c, now_s);
	if (r) {
		free_values(values);
		return r;
	}
	free_values(s->values);
	s->values = values;
	s->subnet = c->subnet;
	s->server_id = c->server_id;
	s->server_mac = c->server_mac;
	s->lease_s = c->lease_s ? c->lease_s : DEFAULT_LEASE_S;
	s->mtu = c->mtu ? c->mtu : DEFAULT_MTU;
	s->rapid_commit = c->rapid_commit;
	s->one_guest = c->one_guest;
	s->sw = c->sw;
	s->gateway = c->gateway;
	return 0;
}

struct dhcp_server *dhcp_server_new(struct lease_store *store, const struct dhcp_conf *conf)
{
	struct dhcp_server *s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->store = store;
	s->pool = lease_pool_get(store, conf->network);
	/* time 0: the store knows what has run out since it was opened */
	int r = s->pool ? dhcp_server_set_conf(s, conf, 0) : -errno;
	if (r) {
		free(s);
		errno = -r;
		return NULL;
	}
	return s;
}

void dhcp_server_free(struct dhcp_server *s)
{
	if (!s)
		return;
	if (s->on_free)
		s->on_free(s);
	lease_pool_retire(s->pool);
	free_values(s->values);
	free(s);
}

struct lease_pool *dhcp_server_pool(struct dhcp_server *s)
{
	return s->pool;
}

const struct dhcp_stats *dhcp_server_stats(const struct dhcp_server *s)
{
	return &s->stats;
}

void dhcp_stats_each(const struct dhcp_stats *st,
		     void (*fn)(void *arg, const char *name, uint64_t v), void *arg)
{
#define X(field, name, text) fn(arg, name, st->field);
	DHCP_STATS(X)
#undef X
}

/* ---- answers ---- */

/* What the client asks for, in its order, then what it gets anyway. */
static void put_options(struct dhcp_build *b, const struct dhcp_server *s, const struct dhcp_msg *m)
{
	size_t n = 0;
	const uint8_t *asked = dhcp_msg_get(m, DHCP_OPT_PARAM_LIST, &n);
	const struct dhcp_value *v = s->values;
	/* RFC 2132 3.3: the mask stands before the router */
	if (v[DHCP_OPT_MASK].data)
		dhcp_build_put(b, DHCP_OPT_MASK, v[DHCP_OPT_MASK].data, v[DHCP_OPT_MASK].len);
	for (size_t i = 0; asked && i < n; i++) {
		if (v[asked[i]].data)
			dhcp_build_put(b, asked[i], v[asked[i]].data, v[asked[i]].len);
	}
	for (unsigned c = 0; c < CODES; c++) {
		if (v[c].data && (v[c].always || !asked))
			dhcp_build_put(b, (uint8_t)c, v[c].data, v[c].len);
	}
}

static void put_times(struct dhcp_build *b, uint32_t lease_s)
{
	dhcp_build_u32(b, DHCP_OPT_LEASE_TIME, lease_s);
	if (lease_s == UINT32_MAX)
		return;
	dhcp_build_u32(b, DHCP_OPT_T1, lease_s / 2); /* RFC 2131 4.4.5 */
	dhcp_build_u32(b, DHCP_OPT_T2, (uint32_t)(lease_s * UINT64_C(7) / 8));
}

/* RFC 2132 9.10: what option 57 counts is the IP datagram. */
static size_t room_of(const struct exchange *x)
{
	uint16_t most;
	size_t room = DHCP_MSG_SMALL;
	if (dhcp_msg_u16(x->m, DHCP_OPT_MAX_SIZE, &most) && most > IP_UDP_HEADERS)
		room = most - IP_UDP_HEADERS;
	return room < x->s->mtu - IP_UDP_HEADERS ? room : x->s->mtu - IP_UDP_HEADERS;
}

/* RFC 2131 4.1; giaddr is zero here. */
static void set_destination(struct exchange *x, be32 yiaddr)
{
	struct dhcp_reply *r = x->reply;
	bool broadcast = r->type == DHCP_NAK;
	if (!broadcast && !x->m->ciaddr)
		broadcast = x->m->flags & DHCP_FLAG_BROADCAST;
	r->dst_mac = broadcast ? MAC_BROADCAST : x->m->chaddr;
	r->dst_ip = x->m->ciaddr ? x->m->ciaddr : yiaddr;
	if (broadcast)
		r->dst_ip = htobe32(UINT32_MAX);
}

static void start(struct exchange *x, struct dhcp_build *b, enum dhcp_type type, be32 yiaddr)
{
	size_t n;
	/* RFC 2131 table 3: only an ACK repeats ciaddr */
	be32 ciaddr = type == DHCP_ACK ? x->m->ciaddr : 0;
	x->reply->type = type;
	set_destination(x, yiaddr);
	dhcp_build_start(b, x->reply->bytes, room_of(x), x->m, type, ciaddr, yiaddr, 0);
	dhcp_build_ip4(b, DHCP_OPT_SERVER_ID, x->s->server_id);
	/* RFC 6842 3: the client's id goes back to it, in every answer */
	const uint8_t *id = dhcp_msg_get(x->m, DHCP_OPT_CLIENT_ID, &n);
	if (id && n <= LEASE_KEY_MAX)
		dhcp_build_put(b, DHCP_OPT_CLIENT_ID, id, n);
}

static int finish(struct exchange *x, struct dhcp_build *b)
{
	struct dhcp_stats *st = &x->s->stats;
	x->reply->len = dhcp_build_finish(b);
	switch (x->reply->type) {
	case DHCP_OFFER: st->offer++; break;
	case DHCP_ACK: st->ack++; break;
	default: st->nak++;
	}
	return 1;
}

/* OFFER or ACK.  A host name goes to those who ask for one, and to those who were given
 * one by a reservation. */
static int send_lease(struct exchange *x, enum dhcp_type type, const struct lease *l,
		      uint32_t lease_s)
{
	struct dhcp_build b;
	const struct lease_reservation *r = lease_reservation_of(x->s->pool, &x->client);
	const char *name = r && r->hostname[0] ? r->hostname : l->hostname;
	start(x, &b, type, l->address);
	put_times(&b, lease_s);
	if (x->rapid)
		dhcp_build_put(&b, DHCP_OPT_RAPID_COMMIT, "", 0);
	if (*name && ((r && r->hostname[0]) || dhcp_msg_asks(x->m, DHCP_OPT_HOSTNAME)))
		dhcp_build_put(&b, DHCP_OPT_HOSTNAME, name, strlen(name));
	put_options(&b, x->s, x->m);
	return finish(x, &b);
}

static int send_nak(struct exchange *x, const char *why)
{
	struct dhcp_build b;
	start(x, &b, DHCP_NAK, 0);
	dhcp_build_put(&b, DHCP_OPT_MESSAGE, why, strlen(why));
	return finish(x, &b);
}

/* What the client wishes, no longer than what the network gives. */
static uint32_t lease_time(const struct exchange *x)
{
	uint32_t asked, most = x->s->lease_s;
	if (!dhcp_msg_u32(x->m, DHCP_OPT_LEASE_TIME, &asked) || asked >= most)
		return most;
	if (asked < LEASE_MIN_S)
		asked = LEASE_MIN_S;
	return asked < most ? asked : most;
}

/* No address for a reason that a NAK would not cure: count, stay silent. */
static int no_address(struct exchange *x, int err)
{
	if (err == -EDQUOT)
		x->s->stats.port_limit++;
	else
		x->s->stats.no_address++;
	return 0;
}

static int grant(struct exchange *x, be32 address)
{
	const struct lease *l;
	uint32_t seconds = lease_time(x);
	int r = lease_bind(x->s->pool, &x->client, address, x->hostname[0] ? x->hostname : NULL,
			   seconds, x->ctx->now_s, &l);
	if (r == -ERANGE)
		return send_nak(x, "not an address of this network");
	if (r == -EADDRINUSE)
		return send_nak(x, "address is not yours");
	if (r)
		return no_address(x, r);
	x->reply->commit = true;
	return send_lease(x, DHCP_ACK, l, seconds);
}

/* ---- messages ---- */

static int contradiction(struct exchange *x)
{
	x->s->stats.contradictory++;
	return 0;
}

static int on_discover(struct exchange *x) /* RFC 2131 4.3.1 */
{
	const struct lease *l;
	be32 requested = 0;
	x->s->stats.discover++;
	dhcp_msg_ip4(x->m, DHCP_OPT_REQUESTED_IP, &requested);
	int r = lease_offer(x->s->pool, &x->client, requested, x->ctx->now_s, &l);
	if (r)
		return no_address(x, r);
	x->rapid = x->s->rapid_commit && dhcp_msg_has(x->m, DHCP_OPT_RAPID_COMMIT);
	if (x->rapid)
		return grant(x, l->address); /* RFC 4039 3.1 */
	return send_lease(x, DHCP_OFFER, l, lease_time(x));
}

/* The answer to our offer, or to another server's. */
static int on_selecting(struct exchange *x, be32 server)
{
	be32 requested;
	if (server != x->s->server_id) {
		const struct lease *l =
			lease_find_client(x->s->pool, &x->client.key, x->ctx->now_s);
		if (l && l->state == LEASE_OFFERED)
			lease_release(x->s->pool, l->address, x->ctx->now_s);
		x->s->stats.other_server++;
		return 0;
	}
	if (!dhcp_msg_ip4(x->m, DHCP_OPT_REQUESTED_IP, &requested) || x->m->ciaddr)
		return contradiction(x);
	return grant(x, requested);
}

/* An operator's reservation moves a client when it next asks. */
static bool must_move(const struct exchange *x, be32 from)
{
	const struct lease_reservation *r = lease_reservation_of(x->s->pool, &x->client);
	return r && r->address != from &&
	       !lease_usable(x->s->pool, &x->client, r->address, x->ctx->now_s);
}

/* A client that starts and remembers an address.  We are authoritative (dhcp_server.h): one
 * we do not know is told to start afresh. */
static int on_init_reboot(struct exchange *x, be32 requested)
{
	const struct lease_reservation *r = lease_reservation_of(x->s->pool, &x->client);
	if (!prefix4_contains(x->s->subnet, requested))
		return send_nak(x, "wrong network");
	if (must_move(x, requested))
		return send_nak(x, "another address is reserved for you");
	if (lease_last_address(x->s->pool, &x->client.key) != requested &&
	    !(r && r->address == requested))
		return send_nak(x, "unknown lease");
	return grant(x, requested);
}

/* Renewing and rebinding differ in how they travel, not in the answer of a network's only
 * server.  An unknown client in the right network that asks for a free address gets it: it
 * is using it, and we may have lost the lease with a disk that was full. */
static int on_renew(struct exchange *x)
{
	if (!prefix4_contains(x->s->subnet, x->m->ciaddr))
		return send_nak(x, "wrong network");
	if (must_move(x, x->m->ciaddr))
		return send_nak(x, "another address is reserved for you");
	return grant(x, x->m->ciaddr);
}

static int on_request(struct exchange *x) /* RFC 2131 4.3.2 */
{
	be32 server, requested;
	x->s->stats.request++;
	if (dhcp_msg_ip4(x->m, DHCP_OPT_SERVER_ID, &server))
		return on_selecting(x, server);
	if (x->m->ciaddr)
		return on_renew(x);
	if (dhcp_msg_ip4(x->m, DHCP_OPT_REQUESTED_IP, &requested))
		return on_init_reboot(x, requested);
	return contradiction(x);
}

/* Whether the client, behind the port where it got it, has this lease: DHCP has no
 * authentication, and a neighbour must not end another's lease. */
static bool owns(struct exchange *x, be32 address)
{
	const struct lease *l = lease_find_client(x->s->pool, &x->client.key, x->ctx->now_s);
	if (!l || l->address != address) {
		x->s->stats.unknown_lease++;
		return false;
	}
	if (strcmp(lease_port(l), x->ctx->port)) {
		x->s->stats.foreign_port++;
		return false;
	}
	return true;
}

static bool for_us(struct exchange *x)
{
	be32 server;
	if (!dhcp_msg_ip4(x->m, DHCP_OPT_SERVER_ID, &server) || server == x->s->server_id)
		return true;
	x->s->stats.other_server++;
	return false;
}

static int on_decline(struct exchange *x) /* RFC 2131 4.3.3 */
{
	be32 address;
	x->s->stats.decline++;
	if (!dhcp_msg_ip4(x->m, DHCP_OPT_REQUESTED_IP, &address))
		return contradiction(x);
	if (for_us(x) && owns(x, address))
		lease_decline(x->s->pool, address, x->ctx->now_s);
	return 0;
}

static int on_release(struct exchange *x) /* RFC 2131 4.3.4 */
{
	x->s->stats.release++;
	if (!x->m->ciaddr)
		return contradiction(x);
	if (for_us(x) && owns(x, x->m->ciaddr))
		lease_release(x->s->pool, x->m->ciaddr, x->ctx->now_s);
	return 0;
}

static int on_inform(struct exchange *x) /* RFC 2131 4.3.5: no lease, no times, no yiaddr */
{
	struct dhcp_build b;
	x->s->stats.inform++;
	if (!x->m->ciaddr || ip4_is_martian(x->m->ciaddr))
		return contradiction(x);
	start(x, &b, DHCP_ACK, 0);
	put_options(&b, x->s, x->m);
	return finish(x, &b);
}

static int (*const handlers[CODES])(struct exchange *x) = {
	[DHCP_DISCOVER] = on_discover, [DHCP_REQUEST] = on_request, [DHCP_DECLINE] = on_decline,
	[DHCP_RELEASE] = on_release,   [DHCP_INFORM] = on_inform,
};

/* RFC 2131 4.2: option 61 if there is one, else the hardware address. */
static void identify(struct exchange *x)
{
	size_t n;
	const uint8_t *id = dhcp_msg_get(x->m, DHCP_OPT_CLIENT_ID, &n);
	x->client.mac = x->m->chaddr;
	x->client.port = x->ctx->port;
	x->client.key = lease_key_of_mac(x->m->chaddr);
	/* RFC 2132 9.14: at least two bytes */
	if (id && n >= 2 && n <= LEASE_KEY_MAX) {
		x->client.key.len = (uint8_t)n;
		memcpy(x->client.key.b, id, n);
	}
	if (x->s->one_guest)
		x->client.key = lease_key_of_mac((struct mac){{0}});
	const uint8_t *name = dhcp_msg_get(x->m, DHCP_OPT_HOSTNAME, &n);
	if (name)
		lease_name_sanitise(name, n, x->hostname);
}

static int malformed(struct dhcp_server *s)
{
	s->stats.malformed++;
	return -EBADMSG;
}

int dhcp_handle(struct dhcp_server *s, const struct dhcp_request_ctx *ctx, const void *msg,
		size_t len, struct dhcp_reply *ret_reply)
{
	struct dhcp_msg m;
	struct exchange x = {.s = s, .ctx = ctx, .m = &m, .reply = ret_reply};
	uint8_t type;
	if (dhcp_msg_parse(msg, len, &m) || m.op != DHCP_OP_REQUEST || mac_is_group(m.chaddr) ||
	    mac_is_zero(m.chaddr))
		return malformed(s);
	if (!m.cookie || !dhcp_msg_has(&m, DHCP_OPT_TYPE)) {
		s->stats.bootp++;
		return 0;
	}
	if (!dhcp_msg_u8(&m, DHCP_OPT_TYPE, &type))
		return malformed(s);
	if (m.giaddr) {
		s->stats.relayed++;
		return 0;
	}
	ret_reply->commit = false;
	identify(&x);
	if (!handlers[type]) {
		s->stats.unsupported++;
		return 0;
	}
	return handlers[type](&x);
}
