/* Routing without translation: between routed networks, and out of and into their uplink.
 *
 * One table knows the subnet of every gateway and what the routes of networks lead to. A packet
 * from a routed network goes to another one that the table knows, else to the network's uplink; the
 * subnets of networks that are not routed are in the table only to be refused.  Nothing is
 * remembered about a packet, so fragments and TSO frames pass as they are.  Redirects are never
 * sent and, as ICMP that is forwarded, never obeyed here (RFC 1812 5.2.7.2 makes them optional).
 * The table has both families; what is done with packets of IPv6 is in routing6.c.
 * Worker 0. */
#include <string.h>

#include "nat/internal.h"

static void key_of(be32 a, uint8_t key[ROUTE_KEY_BYTES])
{
	memset(key, 0, ROUTE_KEY_BYTES);
	key[10] = key[11] = 0xff;
	memcpy(key + 12, &a, sizeof(a));
}

const struct route *routing_find(const struct nat *n, be32 dst)
{
	uint8_t key[ROUTE_KEY_BYTES];

	key_of(dst, key);
	return route_lookup(n->routes, key);
}

/* ---- what the table holds ---- */

/* A route's key in the table, and its length. */
static unsigned key_of_route(const struct route *r, uint8_t key[ROUTE_KEY_BYTES])
{
	if (r->six) {
		memcpy(key, r->to6.addr, ROUTE_KEY_BYTES);
		return r->to6.len;
	}
	key_of(r->to.addr, key);
	return ROUTE_BITS4 + r->to.len;
}

static void enter(struct nat *n, struct route *r)
{
	uint8_t key[ROUTE_KEY_BYTES];
	unsigned bits = key_of_route(r, key);

	if (!r->in && r->leg && route_add(n->routes, key, bits, r) == 0)
		r->in = true;
}

static void leave(struct nat *n, struct route *r)
{
	uint8_t key[ROUTE_KEY_BYTES];
	unsigned bits = key_of_route(r, key);

	if (r->in)
		route_del(n->routes, key, bits);
	*r = (struct route){0};
}

/* A prefix that two networks claim for a moment, while both are being changed, is entered for
 * the second when the first has left it: hence all of them here. */
static void enter_all(struct nat *n)
{
	for (struct gateway *g = n->gateways; g; g = g->next) {
		for (unsigned i = 0; i < g->n_routes; i++)
			enter(n, &g->route[i]);
	}
}

void routing_leave(struct gateway *g)
{
	for (unsigned i = 0; i < g->n_routes; i++)
		leave(g->nat, &g->route[i]);
	g->n_routes = 0;
	enter_all(g->nat);
}

void routing_enter(struct gateway *g)
{
	const struct gateway_conf *c = &g->conf;
	struct prefix4 own = {prefix4_network(c->address), c->address.len};

	if (c->alike)
		return;
	g->route[0] = (struct route){.leg = &g->leg, .to = own};
	for (unsigned i = 0; i < c->n_routes; i++)
		g->route[1 + i] = (struct route){.leg = &g->leg, .to = c->routes[i].to, .via = c->routes[i].via};
	g->n_routes = 1 + c->n_routes;
	for (unsigned i = 0; c->address6.len && i <= c->n_routes6; i++) {
		struct route *r = &g->route[g->n_routes++];
		*r = (struct route){.leg = &g->leg, .six = true, .to6 = i ? c->routes6[i - 1].to : c->address6};
		if (i)
			memcpy(r->via6, c->routes6[i - 1].via, sizeof(r->via6));
	}
	if (c->npt.len)
		g->route[g->n_routes++] = (struct route){.leg = &g->leg, .six = true, .npt = true, .to6 = c->npt};
	enter_all(g->nat);
}

bool routing_has_source(const struct leg *l, be32 src)
{
	const struct route *r = routing_find(l->gw->nat, src);

	return r && r->leg == l;
}

bool routing_is_inside(const struct uplink *u, be32 src)
{
	const struct route *r = routing_find(u->nat, src);

	return r && r->leg->domain != u->domain;
}

/* ---- ways ---- */

/* Where a packet goes next. */
struct way {
	struct neigh_if *out;
	be32 hop;
};

static bool is_routed(const struct gateway *g)
{
	return g->conf.mode == GATEWAY_ROUTED;
}

/* DROP_NONE and a way, or why there is none. */
static enum drop_reason way_of_route(const struct route *r, be32 dst, struct way *ret_way)
{
	struct prefix4 p = r->to;

	if (!is_routed(r->leg->gw))
		return DROP_GW_NO_ROUTE; /* it is there, and closed */
	/* RFC 2644: directed broadcasts are not for routers to deliver */
	if (!r->via && p.len < 31 && (dst == prefix4_network(p) || dst == prefix4_broadcast(p)))
		return DROP_GW_MARTIAN;
	*ret_way = (struct way){&r->leg->nif, r->via ? r->via : dst};
	return DROP_NONE;
}

static enum drop_reason way_from(const struct gateway *g, be32 dst, struct way *ret_way)
{
	const struct route *r = routing_find(g->nat, dst);

	if (r)
		return way_of_route(r, dst, ret_way);
	be32 hop = g->up ? uplink_next(g->up, dst) : 0;
	if (!hop)
		return DROP_GW_NO_ROUTE;
	*ret_way = (struct way){&g->up->nif, hop};
	return DROP_NONE;
}

/* Sends t->k on.  in and b: where errors about it go, by which budget. */
static enum drop_reason send_on(struct nat *n, struct transit *t, const struct way *way,
				struct neigh_if *in, struct token_bucket *b)
{
	struct neigh_ref none = {0};
	enum drop_reason why = transit_check(n, t, in, b, way->out->mtu);

	if (why)
		return why;
	if (!transit_own(t))
		return DROP_TX_NO_BUFFER;
	struct ip4_hdr *ip = pkt_ip4(t->k);
	napt_rewrite_ip(ip, ip->src, ip->dst, 0);
	return transit_send(n, t, way->out, &none, way->hop);
}

/* ---- packets for a gateway, by way of another interface than its own ---- */

static bool is_gateway_address(const struct route *r, be32 dst)
{
	return is_routed(r->leg->gw) && dst == r->leg->gw->conf.address.addr;
}

static enum drop_reason answer(struct gateway *g, struct transit *t, struct neigh_if *in,
			       struct token_bucket *b)
{
	const struct pkt *k = t->k;

	if (!(k->flags & PKT_L4) || k->flags & PKT_FRAGMENT)
		return DROP_GW_LOCAL_CLOSED;
	if (k->ip_proto == IPPROTO4_ICMP && pkt_icmp(k)->type == ICMP4_ECHO) {
		icmp_echo_reply(in, t);
		return DROP_NONE;
	}
	if (k->ip_proto == IPPROTO4_UDP && !t->leg) /* an answer to a service of ours? */
		return gateway_deliver(g, t, be16toh(pkt_udp(k)->dport));
	if (k->ip_proto == IPPROTO4_TCP)
		tcp_reset(g->nat, in, b, t);
	else
		icmp_error(g->nat, in, b, t, ICMP4_UNREACHABLE, ICMP4_UNREACH_PORT, 0);
	return DROP_GW_LOCAL_CLOSED;
}

/* ---- what comes in ---- */

enum drop_reason routing_from_inside(struct gateway *g, struct transit *t)
{
	be32 dst = pkt_ip4(t->k)->dst;
	const struct route *r;
	struct way way;

	if (ip4_is_martian(dst))
		return DROP_GW_MARTIAN;
	r = routing_find(g->nat, dst);
	if (r && is_gateway_address(r, dst))
		return answer(r->leg->gw, t, &t->leg->nif, &g->icmp);
	enum drop_reason why = way_from(g, dst, &way);
	if (why == DROP_GW_NO_ROUTE)
		icmp_error(g->nat, &t->leg->nif, &g->icmp, t, ICMP4_UNREACHABLE, ICMP4_UNREACH_NET, 0);
	return why ? why : send_on(g->nat, t, &way, &t->leg->nif, &g->icmp);
}

enum drop_reason routing_from_outside(struct uplink *u, struct transit *t)
{
	const struct ip4_hdr *ip = pkt_ip4(t->k);
	const struct route *r = routing_find(u->nat, ip->dst);
	struct way way;

	if (!r || !is_routed(r->leg->gw) || r->leg->gw->up != u)
		return DROP_GW_NOT_MINE;
	if (ip4_is_martian(ip->src))
		return DROP_GW_MARTIAN;
	if (routing_is_inside(u, ip->src))
		return DROP_GW_SPOOFED;
	if (is_gateway_address(r, ip->dst))
		return answer(r->leg->gw, t, &u->nif, &u->icmp);
	enum drop_reason why = way_of_route(r, ip->dst, &way);
	return why ? why : send_on(u->nat, t, &way, &u->nif, &u->icmp);
}

/* ---- neighbours that do not answer ---- */

bool routing_lost(struct nat *n, const struct neigh_if *nif, struct worker *w, nsec_t now,
		  const struct pkt *k)
{
	const struct route *r = routing_find(n, pkt_ip4(k)->src);
	const struct leg *out = n->leg_of[nif->domain];
	struct neigh_ref none = {0};
	struct transit t = {.w = w, .now = now, .quiet = true};
	struct way way;

	if (r ? way_of_route(r, pkt_ip4(k)->src, &way) != DROP_NONE
	      : !out || !is_routed(out->gw) || way_from(out->gw, pkt_ip4(k)->src, &way) != DROP_NONE)
		return false;
	t.k = icmp_build_error(w, nif->address.addr, k, ICMP4_UNREACHABLE, ICMP4_UNREACH_HOST, 0);
	if (!t.k)
		return true;
	t.k->domain = nif->domain;
	if (pkt_parse_payload(t.k) == DROP_NONE && transit_send(n, &t, way.out, &none, way.hop) == DROP_NONE)
		n->icmp_sent++;
	if (t.k)
		pkt_free(worker_pool(w), t.k);
	return true;
}
