/* Routing of IPv6: between routed networks, and out of and into their uplink.  As routing.c, whose table
 * it shares, but that no router cuts a packet (RFC 8200 4.5): what is too big is refused with the
 * MTU.  Networks in mode nat leave, and are reached, under another prefix (npt.h), which is in the table
 * too; other networks' inside addresses they do not reach.  Redirects are never sent.  Worker 0. */
#include <string.h>

#include "nat/internal.h"
#include "net/nd.h"

const struct route *routing6_find(const struct nat *n, const uint8_t dst[16])
{
	return route_lookup(n->routes, dst);
}

bool routing6_has_source(const struct leg *l, const uint8_t src[16])
{
	const struct route *r = routing6_find(l->gw->nat, src);

	return r && r->leg == l;
}

bool ip6_is_routable(const uint8_t a[16])
{
	static const uint8_t low[10]; /* ::/80: nobody, loopback, IPv4-compatible and -mapped */

	return !ip6_is_multicast(a) && !ip6_is_link_local(a) && memcmp(a, low, sizeof(low)) != 0;
}

/* ---- ways ---- */

/* Where a packet goes next. */
struct way6 {
	struct neigh_if *out;
	uint8_t hop[16];
	const struct npt *npt; /* NULL: addresses stay as they are */
	bool npt_out;
};

static void set_way(struct way6 *w, struct neigh_if *out, const uint8_t hop[16])
{
	w->out = out;
	w->npt = NULL;
	memcpy(w->hop, hop, sizeof(w->hop));
}

static bool is_routed(const struct gateway *g)
{
	return g->conf.mode == GATEWAY_ROUTED;
}

static bool way_of_route(const struct route *r, const uint8_t dst[16], struct way6 *ret_way)
{
	if (!is_routed(r->leg->gw))
		return false; /* it is there, and closed */
	set_way(ret_way, &r->leg->nif, ip6_is_unspecified(r->via6) ? dst : r->via6);
	return true;
}

static bool way_of_uplink(struct uplink *u, const uint8_t dst[16], struct way6 *ret_way)
{
	const struct uplink_conf *c = &u->conf;
	const uint8_t *via = c->gateway6;
	int longest = -1;

	if (!c->address6.len)
		return false;
	for (unsigned i = 0; i < c->n_routes6; i++) {
		const struct route6 *r = &c->routes6[i];
		if (r->to.len > longest && prefix6_contains(&r->to, dst)) {
			longest = r->to.len;
			via = r->via;
		}
	}
	if (prefix6_contains(&c->address6, dst))
		via = dst;
	if (ip6_is_unspecified(via))
		return false;
	set_way(ret_way, &u->nif, via);
	return true;
}

static bool way_from(const struct gateway *g, const uint8_t dst[16], struct way6 *ret_way)
{
	const struct route *r = routing6_find(g->nat, dst);

	return r ? way_of_route(r, dst, ret_way) : g->up && way_of_uplink(g->up, dst, ret_way);
}

/* The largest IP packet this becomes on a wire. */
static uint32_t wire_size(const struct pkt *k)
{
	uint32_t l4_header;

	if (k->vnet.gso_type == VIRTIO_NET_HDR_GSO_NONE)
		return (uint32_t)sizeof(struct ip6_hdr) + be16toh(pkt_ip6(k)->len);
	l4_header = k->ip_proto == IPPROTO4_TCP ? (uint32_t)(pkt_tcp(k)->off >> 4) * 4
						: (uint32_t)sizeof(struct udp_hdr);
	return (uint32_t)(k->l4_off - k->l3_off) + l4_header + k->vnet.gso_size;
}

/* Sends t->k on.  in and b: where errors about it go, by which budget. */
static enum drop_reason send_on(struct nat *n, struct transit *t, const struct way6 *way, struct neigh_if *in,
				struct token_bucket *b)
{
	struct neigh *hop;
	enum drop_reason why;

	if (pkt_ip6(t->k)->hops <= 1) {
		icmp6_error(n, in, b, t, ICMP6_TIME_EXCEEDED, 0, 0);
		return DROP_GW_TTL;
	}
	if (unlikely(t->k->len > way->out->mtu + ETH_HLEN_) && wire_size(t->k) > way->out->mtu) {
		icmp6_error(n, in, b, t, ICMP6_TOO_BIG, 0, way->out->mtu);
		return DROP_GW_TOO_BIG;
	}
	hop = neigh_get6(&n->neigh, way->out, way->hop);
	if (!hop)
		return DROP_GW_UNREACHABLE;
	if (!transit_own(t))
		return DROP_TX_NO_BUFFER;
	if (way->npt && !npt_rewrite(way->npt, t->k, way->npt_out))
		return DROP_NAT_ICMP;
	pkt_ip6(t->k)->hops--;
	why = neigh_output(&n->neigh, hop, t->w, t->now, t->k, t->origin);
	if (why == DROP_NONE)
		t->k = NULL;
	return why;
}

/* ---- packets for an address of ours, by way of another interface than its own ---- */

static bool is_gateway_address(const struct route *r, const uint8_t dst[16])
{
	return is_routed(r->leg->gw) && !memcmp(dst, r->leg->gw->conf.address6.addr, 16);
}

static enum drop_reason answer(struct nat *n, struct transit *t, struct neigh_if *in, struct token_bucket *b)
{
	const struct pkt *k = t->k;

	if ((k->flags & PKT_L4) && !(k->flags & PKT_FRAGMENT) && k->ip_proto == IPPROTO6_ICMP &&
	    pkt_icmp(k)->type == ICMP6_ECHO) {
		icmp6_echo_reply(in, t);
		return DROP_NONE;
	}
	icmp6_error(n, in, b, t, ICMP6_UNREACHABLE, ICMP6_UNREACH_PORT, 0);
	return DROP_GW_LOCAL_CLOSED;
}

/* ---- networks whose prefix is another outside ---- */

/* A packet for a guest there, under his outside address. */
static enum drop_reason npt_to_inside(struct gateway *g, struct transit *t, struct neigh_if *in,
				      struct token_bucket *b)
{
	uint8_t inside[16];
	struct way6 way;

	memcpy(inside, pkt_ip6(t->k)->dst, sizeof(inside));
	if (!npt_in(&g->npt, inside))
		return DROP_GW_MARTIAN;
	if (neigh_is_ours6(&g->leg.nif, inside))
		return DROP_GW_LOCAL_CLOSED; /* the gateway serves its network alone */
	enum drop_reason why = g->conf.filter6 ? filter6_in(g, t) : DROP_NONE;
	if (why)
		return why;
	set_way(&way, &g->leg.nif, inside);
	way.npt = &g->npt;
	way.npt_out = false;
	return send_on(g->nat, t, &way, in, b);
}

/* To the outside address of a guest, from one of our guests (RFC 6296 4.1.3): out and in again. */
static enum drop_reason hairpin(struct gateway *g, struct gateway *to, struct transit *t)
{
	if (!transit_own(t))
		return DROP_TX_NO_BUFFER;
	if (!npt_rewrite(&g->npt, t->k, true))
		return DROP_NAT_ICMP;
	t->quiet = true; /* its source is of another domain now */
	return npt_to_inside(to, t, &t->leg->nif, &g->icmp);
}

enum drop_reason routing6_npt_from_inside(struct gateway *g, struct transit *t)
{
	const uint8_t *dst = pkt_ip6(t->k)->dst;
	const struct route *r = routing6_find(g->nat, dst);
	uint8_t outside[16];
	struct way6 way;

	if (g->up && neigh_is_ours6(&g->up->nif, dst))
		return answer(g->nat, t, &t->leg->nif, &g->icmp);
	memcpy(outside, pkt_ip6(t->k)->src, sizeof(outside));
	if (!npt_out(&g->npt, outside))
		return DROP_GW_MARTIAN;
	/* other networks are closed, but for the one that the uplink is in */
	const bool closed = r && !r->npt && !(g->up && g->up->domain == r->leg->domain);
	if (!g->up || closed || !way_of_uplink(g->up, dst, &way)) {
		icmp6_error(g->nat, &t->leg->nif, &g->icmp, t, ICMP6_UNREACHABLE, ICMP6_UNREACH_NO_ROUTE, 0);
		return DROP_GW_NO_ROUTE;
	}
	enum drop_reason why = g->conf.filter6 ? filter6_out(g, t) : DROP_NONE;
	if (why)
		return why;
	if (r && r->npt)
		return hairpin(g, r->leg->gw, t);
	way.npt = &g->npt;
	way.npt_out = true;
	return send_on(g->nat, t, &way, &t->leg->nif, &g->icmp);
}

/* One that was on its way there or from there is lost: its sender is told in his own terms. */
static void npt_lost(struct nat *n, struct gateway *g, const struct pkt *k, struct worker *w, bool was_out)
{
	struct pkt *c = pkt_copy(worker_pool(w), k);
	struct way6 way;
	bool ok = false;

	if (!c)
		return;
	if (was_out && npt_in(&g->npt, pkt_ip6(c)->src)) {
		set_way(&way, &g->leg.nif, pkt_ip6(c)->src);
		ok = true;
	} else if (!was_out && g->up && npt_out(&g->npt, pkt_ip6(c)->dst)) {
		ok = way_of_uplink(g->up, pkt_ip6(c)->src, &way);
	}
	if (ok) /* from the side where its sender is: the other address means nothing there */
		icmp6_tell(n, w, way.out, way.out, neigh_get6(&n->neigh, way.out, way.hop), c, ICMP6_UNREACHABLE,
			   ICMP6_UNREACH_ADDRESS);
	pkt_free(worker_pool(w), c);
}

/* ---- what comes in ---- */

/* A network with the filter is closed to everything beyond its gateway, other networks too.  NULL: outside. */
static enum drop_reason filter_between(struct gateway *from, struct gateway *to, struct transit *t)
{
	enum drop_reason why = DROP_NONE;

	if (from == to)
		return DROP_NONE;
	if (from && from->conf.filter6)
		why = filter6_out(from, t);
	if (!why && to && to->conf.filter6)
		why = filter6_in(to, t);
	return why;
}

enum drop_reason routing6_from_inside(struct gateway *g, struct transit *t)
{
	const uint8_t *dst = pkt_ip6(t->k)->dst;
	const struct route *r = routing6_find(g->nat, dst);
	struct way6 way;

	if ((r && is_gateway_address(r, dst)) || (g->up && neigh_is_ours6(&g->up->nif, dst)))
		return answer(g->nat, t, &t->leg->nif, &g->icmp);
	if (!way_from(g, dst, &way)) {
		icmp6_error(g->nat, &t->leg->nif, &g->icmp, t, ICMP6_UNREACHABLE, ICMP6_UNREACH_NO_ROUTE, 0);
		return DROP_GW_NO_ROUTE;
	}
	enum drop_reason why = filter_between(g, r ? r->leg->gw : NULL, t);
	if (why)
		return why;
	return send_on(g->nat, t, &way, &t->leg->nif, &g->icmp);
}

static bool is_discovery(const struct pkt *k)
{
	return (k->flags & PKT_L4) && k->ip_proto == IPPROTO6_ICMP &&
	       (pkt_icmp(k)->type == ICMP6_ND_NS || pkt_icmp(k)->type == ICMP6_ND_NA);
}

static bool is_inside(const struct uplink *u, const uint8_t src[16])
{
	const struct route *r = routing6_find(u->nat, src);

	return r && r->leg->domain != u->domain;
}

enum drop_reason routing6_from_outside(struct uplink *u, struct transit *t, bool group)
{
	const struct ip6_hdr *ip = pkt_ip6(t->k);
	const struct route *r;
	struct way6 way;

	if (is_discovery(t->k))
		return neigh_nd_input(&u->nat->neigh, &u->nif, t->w, t->now, t->k);
	if (group)
		return DROP_NONE;
	if (neigh_is_ours6(&u->nif, ip->dst))
		return ip6_is_multicast(ip->src) || ip6_is_unspecified(ip->src)
			       ? DROP_GW_MARTIAN
			       : answer(u->nat, t, &u->nif, &u->icmp);
	r = routing6_find(u->nat, ip->dst);
	if (!r || (!r->npt && !is_routed(r->leg->gw)) || r->leg->gw->up != u)
		return DROP_GW_NOT_MINE;
	if (!ip6_is_routable(ip->src) || !ip6_is_routable(ip->dst))
		return DROP_GW_MARTIAN;
	if (is_inside(u, ip->src))
		return DROP_GW_SPOOFED;
	if (r->npt)
		return npt_to_inside(r->leg->gw, t, &u->nif, &u->icmp);
	if (is_gateway_address(r, ip->dst))
		return answer(u->nat, t, &u->nif, &u->icmp);
	enum drop_reason why = filter_between(NULL, r->leg->gw, t);
	if (why)
		return why;
	way_of_route(r, ip->dst, &way);
	return send_on(u->nat, t, &way, &u->nif, &u->icmp);
}

/* ---- neighbours that do not answer ---- */

void routing6_lost(struct nat *n, const struct neigh_if *nif, const struct pkt *k, struct worker *w)
{
	const uint8_t *src = pkt_ip6(k)->src;
	const struct route *r = routing6_find(n, src);
	const struct leg *out = n->leg_of[nif->domain];
	struct way6 way;

	if (r && r->npt)
		npt_lost(n, r->leg->gw, k, w, true);
	else if (out && nif == &out->nif && out->gw->conf.npt.len)
		npt_lost(n, out->gw, k, w, false);
	else if (r ? way_of_route(r, src, &way) : out && is_routed(out->gw) && way_from(out->gw, src, &way))
		icmp6_tell(n, w, nif, way.out, neigh_get6(&n->neigh, way.out, way.hop), k, ICMP6_UNREACHABLE,
			   ICMP6_UNREACH_ADDRESS);
}
