/* The states of dhcp_client.h.  enter() is the one place where a state begins. */
#include "dhcp/dhcp_client.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define BACKOFF_FIRST_S 4u /* RFC 2131 4.1 */
#define BACKOFF_LAST_S	64u
#define REQUEST_TRIES	4u /* then another server may do better: a minute (3.1.5) */
#define REBOOT_TRIES	2u
#define RENEW_MIN	(60 * NSEC_PER_SEC) /* 4.4.5 */
#define NAK_WAIT	(10 * NSEC_PER_SEC) /* after the second in a row (3.1.5 warns of loops) */
#define MTU_LEAST	576u
#define BROADCAST	(~(be32)0)

static const struct {
	const char *name;
	unsigned answers; /* bits of enum dhcp_type that mean something */
	bool any_server;
} states[DHCP_CLIENT_STATES] = {
	[DHCP_CLIENT_INIT] = {"init", 0, true},
	[DHCP_CLIENT_SELECTING] = {"selecting", 1 << DHCP_OFFER, true},
	[DHCP_CLIENT_REQUESTING] = {"requesting", 1 << DHCP_ACK | 1 << DHCP_NAK, false},
	[DHCP_CLIENT_REBOOTING] = {"rebooting", 1 << DHCP_ACK | 1 << DHCP_NAK, true},
	[DHCP_CLIENT_BOUND] = {"bound", 0, false},
	[DHCP_CLIENT_RENEWING] = {"renewing", 1 << DHCP_ACK | 1 << DHCP_NAK, false},
	[DHCP_CLIENT_REBINDING] = {"rebinding", 1 << DHCP_ACK | 1 << DHCP_NAK, true},
};

const char *dhcp_client_state_name(enum dhcp_client_state s)
{
	return states[s].name;
}

static uint32_t random32(struct dhcp_client *c)
{
	c->random ^= c->random >> 12; /* xorshift64* */
	c->random ^= c->random << 25;
	c->random ^= c->random >> 27;
	return (uint32_t)(c->random * UINT64_C(0x2545f4914f6cdd1d) >> 32);
}

static nsec_t min_time(nsec_t a, nsec_t b)
{
	return !b || (a && a < b) ? a : b;
}

/* 4, 8, ... 64 seconds, each by a second more or less (4.1). */
static nsec_t backoff(struct dhcp_client *c)
{
	uint32_t s = c->tries < 5 ? BACKOFF_FIRST_S << c->tries : BACKOFF_LAST_S;

	return (s - 1) * NSEC_PER_SEC + (nsec_t)random32(c) % (2 * NSEC_PER_SEC);
}

/* Half of what is left, but not below a minute, and not beyond `end` (4.4.5). */
static nsec_t half_way(nsec_t now, nsec_t end)
{
	nsec_t half;

	if (!end)
		return now + BACKOFF_LAST_S * NSEC_PER_SEC;
	half = end > now ? (end - now) / 2 : 0;
	half = half < RENEW_MIN ? RENEW_MIN : half;
	return now + half < end ? now + half : end;
}

static void enter(struct dhcp_client *c, enum dhcp_client_state s, nsec_t at)
{
	if (s == DHCP_CLIENT_INIT)
		c->started = 0;
	if (s != DHCP_CLIENT_REQUESTING) /* that one goes on with the offer's (4.4.1) */
		c->xid = random32(c);
	c->state = s;
	c->tries = 0;
	c->at = at ? at : 1;
}

static void lose(struct dhcp_client *c, struct dhcp_client_out *o)
{
	if (!c->has_lease)
		return;
	c->has_lease = false;
	c->stats.lost++;
	o->event = DHCP_CLIENT_LOST;
}

void dhcp_client_init(struct dhcp_client *c, struct mac mac, const char *hostname,
		      be32 remembered, uint64_t seed, nsec_t now)
{
	*c = (struct dhcp_client){.mac = mac, .random = seed ? seed : 1, .wanted = remembered};
	snprintf(c->hostname, sizeof(c->hostname), "%s", hostname ? hostname : "");
	enter(c, remembered ? DHCP_CLIENT_REBOOTING : DHCP_CLIENT_INIT, now);
}

void dhcp_client_link_up(struct dhcp_client *c, nsec_t now)
{
	if (c->has_lease)
		c->wanted = c->lease.address.addr;
	enter(c, c->wanted ? DHCP_CLIENT_REBOOTING : DHCP_CLIENT_INIT, now);
}

/* ---- what is sent ---- */

static void build(struct dhcp_client *c, struct dhcp_client_out *o, enum dhcp_type type, nsec_t now,
		  be32 ciaddr, be32 requested, be32 server)
{
	static const uint8_t ask[] = {DHCP_OPT_MASK, DHCP_OPT_ROUTES, DHCP_OPT_ROUTER, DHCP_OPT_MTU,
				      DHCP_OPT_DNS,  DHCP_OPT_LEASE_TIME, DHCP_OPT_T1, DHCP_OPT_T2};
	nsec_t secs = c->started && now > c->started ? (now - c->started) / NSEC_PER_SEC : 0;
	struct dhcp_msg m = {.htype = DHCP_HTYPE_ETHERNET, .hlen = sizeof(c->mac), .xid = c->xid,
			     .secs = secs < UINT16_MAX ? (uint16_t)secs : UINT16_MAX,
			     .chaddr = c->mac};
	uint8_t id[1 + sizeof(c->mac)] = {DHCP_HTYPE_ETHERNET};
	struct dhcp_build b;

	memcpy(id + 1, c->mac.b, sizeof(c->mac));
	dhcp_build_request(&b, o->bytes, &m, type, ciaddr);
	dhcp_build_put(&b, DHCP_OPT_CLIENT_ID, id, sizeof(id));
	if (requested)
		dhcp_build_ip4(&b, DHCP_OPT_REQUESTED_IP, requested);
	if (server)
		dhcp_build_ip4(&b, DHCP_OPT_SERVER_ID, server);
	if (type != DHCP_RELEASE) {
		dhcp_build_u16(&b, DHCP_OPT_MAX_SIZE, DHCP_MSG_MAX);
		dhcp_build_put(&b, DHCP_OPT_PARAM_LIST, ask, sizeof(ask));
		if (c->hostname[0])
			dhcp_build_put(&b, DHCP_OPT_HOSTNAME, c->hostname, strlen(c->hostname));
	}
	o->len = dhcp_build_finish(&b);
	o->src = ciaddr;
	o->dst = BROADCAST;
	c->stats.sent++;
}

static void send_discover(struct dhcp_client *c, nsec_t now, struct dhcp_client_out *o)
{
	build(c, o, DHCP_DISCOVER, now, 0, c->wanted, 0); /* 50 is a wish here (4.4.1) */
	c->at = now + backoff(c);
	c->tries++;
}

/* Table 4 of 4.3.6: what a request carries in each state. */
static void send_request(struct dhcp_client *c, nsec_t now, struct dhcp_client_out *o)
{
	bool extends = c->state == DHCP_CLIENT_RENEWING || c->state == DHCP_CLIENT_REBINDING;
	bool chosen = c->state == DHCP_CLIENT_REQUESTING;

	if (!c->tries)
		c->asked = now;
	build(c, o, DHCP_REQUEST, now, extends ? c->lease.address.addr : 0, extends ? 0 : c->wanted,
	      chosen ? c->server : 0);
	if (c->state == DHCP_CLIENT_RENEWING)
		o->dst = c->lease.server;
	c->at = extends ? half_way(now, c->state == DHCP_CLIENT_RENEWING ? c->t2 : c->end)
			: now + backoff(c);
	c->tries++;
}

void dhcp_client_release(struct dhcp_client *c, struct dhcp_client_out *ret_out)
{
	ret_out->event = DHCP_CLIENT_NOTHING;
	ret_out->len = 0;
	if (c->has_lease) {
		c->xid = random32(c);
		build(c, ret_out, DHCP_RELEASE, 0, c->lease.address.addr, 0, c->lease.server);
		ret_out->dst = c->lease.server;
		lose(c, ret_out);
	}
	enter(c, DHCP_CLIENT_INIT, 0);
	c->at = 0;
}

/* ---- time ---- */

static void tick_init(struct dhcp_client *c, nsec_t now, struct dhcp_client_out *o)
{
	enter(c, DHCP_CLIENT_SELECTING, now);
	c->started = now;
	send_discover(c, now, o);
}

static void tick_request(struct dhcp_client *c, nsec_t now, struct dhcp_client_out *o)
{
	unsigned most = c->state == DHCP_CLIENT_REBOOTING ? REBOOT_TRIES : REQUEST_TRIES;

	if (c->tries < most) {
		c->started = c->started ? c->started : now;
		send_request(c, now, o);
	} else if (c->has_lease) { /* nobody objected: 3.2 lets it be used to its end */
		enter(c, DHCP_CLIENT_BOUND, min_time(c->t1, c->end));
		c->at = c->t1;
	} else {
		tick_init(c, now, o);
	}
}

static void tick_lease(struct dhcp_client *c, nsec_t now, struct dhcp_client_out *o)
{
	enum dhcp_client_state due = now >= c->t2   ? DHCP_CLIENT_REBINDING
				     : now >= c->t1 ? DHCP_CLIENT_RENEWING
						    : DHCP_CLIENT_BOUND;

	if (due == DHCP_CLIENT_BOUND) {
		c->at = c->t1;
		return;
	}
	if (due > c->state) {
		enter(c, due, now);
		c->started = now;
	}
	send_request(c, now, o);
}

void dhcp_client_tick(struct dhcp_client *c, nsec_t now, struct dhcp_client_out *ret_out)
{
	ret_out->event = DHCP_CLIENT_NOTHING;
	ret_out->len = 0;
	if (!c->at || now < c->at)
		return;
	if (c->has_lease && c->end && now >= c->end) {
		lose(c, ret_out); /* 4.4.5: at once, whatever the state */
		enter(c, DHCP_CLIENT_INIT, now);
	}
	switch (c->state) {
	case DHCP_CLIENT_INIT: tick_init(c, now, ret_out); break;
	case DHCP_CLIENT_SELECTING: send_discover(c, now, ret_out); break;
	case DHCP_CLIENT_REQUESTING:
	case DHCP_CLIENT_REBOOTING: tick_request(c, now, ret_out); break;
	default: tick_lease(c, now, ret_out); break;
	}
	if (c->has_lease) /* its end is met in every state */
		c->at = min_time(c->at, c->end);
}

/* ---- what is received ---- */

/* A mask of ones and then zeroes; false for others. */
static bool mask_length(be32 mask, uint8_t *ret_len)
{
	uint32_t m = be32toh(mask), inverse = ~m;

	if (inverse & (inverse + 1))
		return false;
	*ret_len = (uint8_t)__builtin_popcount(m);
	return true;
}

/* Without option 1: that of its class (RFC 950 2). */
static uint8_t natural_length(be32 address)
{
	uint8_t first = (uint8_t)(be32toh(address) >> 24);

	return first < 128 ? 8 : first < 192 ? 16 : 24;
}

/* RFC 3442: width, as many bytes of the destination as matter, router. */
static bool read_routes(const struct dhcp_msg *m, struct dhcp_client_lease *l)
{
	size_t len;
	const uint8_t *p = dhcp_msg_get(m, DHCP_OPT_ROUTES, &len);
	struct wire w = wire_reader(p, p ? len : 0);

	if (!p)
		return false;
	while (wire_left(&w)) {
		struct dhcp_client_route r = {.to.len = wire_get_u8(&w)};
		uint32_t to = 0;
		for (unsigned i = 0; i < 4 && r.to.len <= 32; i++)
			to = to << 8 | (i < (r.to.len + 7u) / 8 ? wire_get_u8(&w) : 0u);
		r.to.addr = htobe32(to);
		r.via = wire_get_ip4(&w);
		if (!wire_ok(&w) || r.to.len > 32)
			return false; /* the option is broken: as if it were not there */
		r.to.addr = prefix4_network(r.to);
		if (!r.to.len)
			l->gateway = r.via;
		else if (l->n_routes < DHCP_CLIENT_ROUTES)
			l->route[l->n_routes++] = r;
	}
	return true;
}

static void read_gateway(const struct dhcp_msg *m, struct dhcp_client_lease *l)
{
	size_t len;
	const uint8_t *p;

	if (!read_routes(m, l)) { /* RFC 3442: with it, option 3 MUST be ignored */
		l->n_routes = 0;
		l->gateway = 0;
		p = dhcp_msg_get(m, DHCP_OPT_ROUTER, &len);
		struct wire w = wire_reader(p, p ? len : 0);
		if (wire_left(&w) >= sizeof(be32))
			l->gateway = wire_get_ip4(&w);
	}
	if (l->gateway == l->address.addr || ip4_is_martian(l->gateway))
		l->gateway = 0;
}

static void read_times(const struct dhcp_msg *m, struct dhcp_client_lease *l)
{
	l->t1_s = l->lease_s / 2; /* 4.4.5: T1 half, T2 seven eighths */
	l->t2_s = (uint32_t)((uint64_t)l->lease_s * 7 / 8);
	dhcp_msg_u32(m, DHCP_OPT_T1, &l->t1_s);
	dhcp_msg_u32(m, DHCP_OPT_T2, &l->t2_s);
	if (!l->t1_s || l->t1_s > l->t2_s || l->t2_s > l->lease_s) {
		l->t1_s = l->lease_s / 2;
		l->t2_s = (uint32_t)((uint64_t)l->lease_s * 7 / 8);
	}
}

/* What an OFFER or ACK lends; false when it lends nothing that could be used. */
static bool read_lease(const struct dhcp_msg *m, struct dhcp_client_lease *ret_lease)
{
	struct dhcp_client_lease l = {.address = {m->yiaddr, natural_length(m->yiaddr)}};
	uint16_t mtu = 0;
	be32 mask;

	if (!m->yiaddr || ip4_is_martian(m->yiaddr) ||
	    !dhcp_msg_ip4(m, DHCP_OPT_SERVER_ID, &l.server) || ip4_is_martian(l.server) ||
	    !dhcp_msg_u32(m, DHCP_OPT_LEASE_TIME, &l.lease_s) || !l.lease_s)
		return false;
	if (dhcp_msg_ip4(m, DHCP_OPT_MASK, &mask) && !mask_length(mask, &l.address.len))
		return false;
	read_gateway(m, &l);
	read_times(m, &l);
	dhcp_msg_u16(m, DHCP_OPT_MTU, &mtu);
	l.mtu = mtu >= MTU_LEAST ? mtu : 0;
	*ret_lease = l;
	return true;
}

static bool same_contents(const struct dhcp_client_lease *a, const struct dhcp_client_lease *b)
{
	if (a->address.addr != b->address.addr || a->address.len != b->address.len ||
	    a->gateway != b->gateway || a->mtu != b->mtu || a->n_routes != b->n_routes)
		return false;
	for (unsigned i = 0; i < a->n_routes; i++) {
		const struct dhcp_client_route *r = &a->route[i], *s = &b->route[i];
		if (r->to.addr != s->to.addr || r->to.len != s->to.len || r->via != s->via)
			return false;
	}
	return true;
}

static void take_offer(struct dhcp_client *c, const struct dhcp_client_lease *l, nsec_t now,
		       struct dhcp_client_out *o)
{
	c->wanted = l->address.addr;
	c->server = l->server;
	enter(c, DHCP_CLIENT_REQUESTING, now);
	send_request(c, now, o);
}

/* The lease counts from when it was asked for (4.4.1). */
static void take_ack(struct dhcp_client *c, const struct dhcp_client_lease *l,
		     struct dhcp_client_out *o)
{
	bool same = c->has_lease && same_contents(&c->lease, l);
	bool forever = l->lease_s == DHCP_CLIENT_FOREVER;

	c->stats.renewals += c->has_lease;
	c->lease = *l;
	c->has_lease = true;
	c->wanted = l->address.addr;
	c->server = l->server;
	c->naks = 0;
	c->t1 = forever ? 0 : c->asked + l->t1_s * NSEC_PER_SEC;
	c->t2 = forever ? 0 : c->asked + l->t2_s * NSEC_PER_SEC;
	c->end = forever ? 0 : c->asked + l->lease_s * NSEC_PER_SEC;
	enter(c, DHCP_CLIENT_BOUND, 0);
	c->at = c->t1;
	o->event = same ? DHCP_CLIENT_RENEWED : DHCP_CLIENT_LEASED;
}

static void take_nak(struct dhcp_client *c, nsec_t now, struct dhcp_client_out *o)
{
	c->stats.naks++;
	c->wanted = 0;
	lose(c, o);
	enter(c, DHCP_CLIENT_INIT, now + (c->naks++ ? NAK_WAIT : 0));
}

static bool from_our_server(const struct dhcp_client *c, const struct dhcp_msg *m)
{
	be32 from;

	if (!dhcp_msg_ip4(m, DHCP_OPT_SERVER_ID, &from)) /* a MUST of table 3 */
		return false;
	return states[c->state].any_server || from == c->server;
}

static int take(struct dhcp_client *c, const struct dhcp_msg *m, nsec_t now,
		struct dhcp_client_out *o)
{
	struct dhcp_client_lease l;
	uint8_t type = 0;

	if (m->op != DHCP_OP_REPLY || m->xid != c->xid ||
	    memcmp(m->chaddr.b, c->mac.b, sizeof(c->mac)) ||
	    !dhcp_msg_u8(m, DHCP_OPT_TYPE, &type) || type > DHCP_INFORM ||
	    !(states[c->state].answers >> type & 1) || !from_our_server(c, m))
		return -ENOMSG;
	if (type == DHCP_NAK) {
		take_nak(c, now, o);
		return 0;
	}
	if (!read_lease(m, &l))
		return -ENOMSG;
	if (type == DHCP_OFFER)
		take_offer(c, &l, now, o);
	else
		take_ack(c, &l, o);
	return 0;
}

int dhcp_client_input(struct dhcp_client *c, nsec_t now, const void *bytes, size_t len,
		      struct dhcp_client_out *ret_out)
{
	static struct dhcp_msg m; /* large, and this is the main thread's */
	int r = dhcp_msg_parse(bytes, len, &m);

	ret_out->event = DHCP_CLIENT_NOTHING;
	ret_out->len = 0;
	if (r) {
		c->stats.malformed++;
		return r;
	}
	r = take(c, &m, now, ret_out);
	if (r)
		c->stats.ignored++;
	else if (c->has_lease)
		c->at = min_time(c->at, c->end);
	return r;
}
