/* IPv6 at the inside port: neighbour discovery and echo for the gateway's two addresses, DNS and
 * router solicitations for the services on main; what is for elsewhere is routed (routing6.c), or refused
 * by the network's mode.
 *
 * The two are the link-local one made of the MAC address and the one of the network's /64.  Guests
 * reach each other by themselves. */
#include <string.h>

#include "nat/internal.h"

#define PORT_DNS 53u

/* ---- what is for the gateway itself ---- */

static bool is_nd(const struct pkt *k)
{
	return (k->flags & PKT_L4) && k->ip_proto == IPPROTO6_ICMP && pkt_icmp(k)->type >= ICMP6_ND_RS &&
	       pkt_icmp(k)->type <= ICMP6_ND_REDIRECT;
}

/* The advertisements of other routers and redirects tell us nothing that we keep. */
static enum drop_reason discovery(struct gateway *g, struct transit *t)
{
	switch (pkt_icmp(t->k)->type) {
	case ICMP6_ND_NS:
	case ICMP6_ND_NA:
		return neigh_nd_input(&g->nat->neigh, &t->leg->nif, t->w, t->now, t->k);
	case ICMP6_ND_RS:
		return g->sink[GATEWAY_RA] ? transit_hand_up(t, g->sink[GATEWAY_RA]) : DROP_NONE;
	default:
		return DROP_NONE;
	}
}

static enum drop_reason refuse(struct gateway *g, struct transit *t, uint8_t code, enum drop_reason why)
{
	icmp6_error(g->nat, &t->leg->nif, &g->icmp, t, ICMP6_UNREACHABLE, code, 0);
	return why;
}

static enum drop_reason local_input(struct gateway *g, struct transit *t)
{
	const struct pkt *k = t->k;

	if (k->flags & PKT_FRAGMENT)
		return DROP_NAT_FRAGMENT;
	if (!(k->flags & PKT_L4))
		return DROP_GW_LOCAL_CLOSED;
	if (k->ip_proto == IPPROTO6_ICMP) {
		if (pkt_icmp(k)->type != ICMP6_ECHO)
			return DROP_GW_LOCAL_CLOSED;
		icmp6_echo_reply(&t->leg->nif, t);
		return DROP_NONE;
	}
	if (k->ip_proto != IPPROTO4_UDP || be16toh(pkt_udp(k)->dport) != PORT_DNS)
		return refuse(g, t, ICMP6_UNREACH_PORT, DROP_GW_LOCAL_CLOSED);
	if (!(g->conf.flags & GATEWAY_SERVE_DNS) || !g->sink[GATEWAY_DNS])
		return refuse(g, t, ICMP6_UNREACH_PORT, DROP_SVC_OFF);
	return transit_hand_up(t, g->sink[GATEWAY_DNS]);
}

/* A guest speaks from its link-local address or one of the network or behind its routers, never
 * from ours. */
static enum drop_reason check_source(const struct gateway *g, const struct transit *t, const uint8_t src[16])
{
	if (ip6_is_multicast(src) || ip6_is_unspecified(src))
		return DROP_GW_MARTIAN;
	if (neigh_is_ours6(&t->leg->nif, src))
		return DROP_GW_SPOOFED;
	if (ip6_is_link_local(src) || prefix6_contains(&g->conf.address6, src))
		return DROP_NONE;
	return g->conf.mode == GATEWAY_ROUTED && routing6_has_source(t->leg, src) ? DROP_NONE : DROP_GW_SPOOFED;
}

enum drop_reason gateway6_input(struct gateway *g, struct transit *t, bool group)
{
	const struct ip6_hdr *ip = pkt_ip6(t->k);

	if (is_nd(t->k))
		return discovery(g, t);
	if (group)
		return DROP_NONE; /* multicast stays in the network; MLD reports are for snoopers */
	enum drop_reason why = check_source(g, t, ip->src);
	if (why)
		return why;
	if (neigh_is_ours6(&t->leg->nif, ip->dst))
		return local_input(g, t);
	if (!ip6_is_routable(ip->dst) || ip6_is_link_local(ip->src))
		return DROP_GW_MARTIAN; /* RFC 4291 2.5.6: no router forwards those */
	if (ip->hops <= 1) {
		icmp6_error(g->nat, &t->leg->nif, &g->icmp, t, ICMP6_TIME_EXCEEDED, 0, 0);
		return DROP_GW_TTL;
	}
	switch (g->conf.mode) {
	case GATEWAY_ROUTED:
		return routing6_from_inside(g, t);
	case GATEWAY_NAT:
		return g->conf.npt.len ? routing6_npt_from_inside(g, t)
				       : refuse(g, t, ICMP6_UNREACH_NO_ROUTE, DROP_GW_NO_ROUTE);
	case GATEWAY_HOST_ONLY:
		return refuse(g, t, ICMP6_UNREACH_ADMIN, DROP_GW_HOST_ONLY);
	default:
		return refuse(g, t, ICMP6_UNREACH_NO_ROUTE, DROP_GW_NO_ROUTE);
	}
}
