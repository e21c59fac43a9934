/* IPv6 at the inside port: neighbour discovery and echo for the gateway's two addresses, DNS and
 * router solicitations for the services on main.
 *
 * The two are the link-local one made of the MAC address and the one of the network's /64.  Guests
 * reach each other by themselves; nothing is routed yet, and router advertisements say so, so what is
 * addressed further is refused (GW_NO_ROUTE, ICMPv6 no route).
 *
 * There is no table of IPv6 neighbours: each answer goes to the MAC address that asked.  A scan of
 * the 2^64 addresses of a network has nothing to exhaust here. */
#include <string.h>

#include "nat/internal.h"
#include "net/nd.h"
#include "net/wire.h"

#define PORT_DNS 53u
#define ND_MAX	 1232u /* bytes of a message: nobody has cause to send more in one packet */

static const uint8_t all_nodes[16] = {0xff, 0x02, [15] = 1};
static const struct mac all_nodes_mac = {{0x33, 0x33, 0, 0, 0, 1}};

static bool is_ours(const struct gateway *g, const struct transit *t, const uint8_t a[16])
{
	uint8_t ll[16];

	if (!memcmp(a, g->conf.address6.addr, sizeof(ll)))
		return true;
	nd_link_local(t->leg->nif.mac, ll);
	return !memcmp(a, ll, sizeof(ll));
}

/* ---- neighbour solicitations ---- */

struct solicit {
	uint8_t source[16], target[16];
	struct nd_mac mac;
};

/* RFC 4861 7.1.1; fragments: RFC 6980 5. */
static bool read_solicit(const struct pkt *k, struct solicit *ret)
{
	const struct ip6_hdr *ip = pkt_ip6(k);
	const uint32_t len = pkt_l4_len(k);
	uint8_t room[ND_MAX];

	if (ip->hops != ND_HOPS || pkt_icmp(k)->code || len < sizeof(struct nd_ns) || len > sizeof(room) ||
	    pkt_ip6_frag(k) || !pkt_read(k, k->l4_off, room, len))
		return false;
	if (!pkt_l4_partial(k) &&
	    csum_finish(csum_add(csum_pseudo6(ip->src, ip->dst, IPPROTO6_ICMP, len), room, len)))
		return false;
	struct wire w = wire_reader(room, len);
	wire_skip(&w, offsetof(struct nd_ns, target));
	wire_get(&w, ret->target, sizeof(ret->target));
	memcpy(ret->source, ip->src, sizeof(ret->source));
	if (nd_read_mac(&w, ND_OPT_SOURCE_MAC, &ret->mac) < 0 || ip6_is_multicast(ret->target))
		return false;
	/* a probe for duplicates goes to the solicited-node group and names no MAC */
	return !ip6_is_unspecified(ret->source) || (!ret->mac.given && ip6_is_multicast(ip->dst));
}

static void advertise(struct transit *t, const struct solicit *s)
{
	const bool probe = ip6_is_unspecified(s->source);
	const bool usable = s->mac.given && !mac_is_group(s->mac.mac) && !mac_is_zero(s->mac.mac);
	uint8_t msg[sizeof(struct nd_ns) + 8];
	struct wire o = wire_writer(msg, sizeof(msg));

	wire_put_u8(&o, ICMP6_ND_NA);
	wire_put_u8(&o, 0);
	wire_put_u16(&o, 0);
	/* RFC 4861 7.2.4: who probes is told with everyone, and has not asked by name */
	wire_put_u32(&o, ND_NA_ROUTER | ND_NA_OVERRIDE | (probe ? 0 : ND_NA_SOLICITED));
	wire_put(&o, s->target, sizeof(s->target));
	wire_put_u8(&o, ND_OPT_TARGET_MAC);
	wire_put_u8(&o, 1);
	wire_put_mac(&o, t->leg->nif.mac);
	icmp6_send(t, s->target, probe ? all_nodes : s->source, ND_HOPS, msg, sizeof(msg),
		   probe ? all_nodes_mac : usable ? s->mac.mac : pkt_eth(t->k)->src);
}

static enum drop_reason neighbour_solicit(struct gateway *g, struct transit *t)
{
	struct solicit s;

	if (!read_solicit(t->k, &s))
		return DROP_GW_ND;
	/* nobody but us says that an address of ours is his */
	if (is_ours(g, t, s.target) && !is_ours(g, t, s.source))
		advertise(t, &s);
	return DROP_NONE;
}

/* ---- what is for the gateway itself ---- */

static bool is_nd(const struct pkt *k)
{
	return (k->flags & PKT_L4) && k->ip_proto == IPPROTO6_ICMP && pkt_icmp(k)->type >= ICMP6_ND_RS &&
	       pkt_icmp(k)->type <= ICMP6_ND_REDIRECT;
}

/* Advertisements and redirects tell us nothing that we keep. */
static enum drop_reason discovery(struct gateway *g, struct transit *t)
{
	switch (pkt_icmp(t->k)->type) {
	case ICMP6_ND_NS:
		return neighbour_solicit(g, t);
	case ICMP6_ND_RS:
		return g->sink[GATEWAY_RA] ? transit_hand_up(t, g->sink[GATEWAY_RA]) : DROP_NONE;
	default:
		return DROP_NONE;
	}
}

static enum drop_reason refuse_port(struct gateway *g, struct transit *t, enum drop_reason why)
{
	icmp6_error(g, t, ICMP6_UNREACHABLE, ICMP6_UNREACH_PORT);
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
		icmp6_echo_reply(t);
		return DROP_NONE;
	}
	if (k->ip_proto != IPPROTO4_UDP || be16toh(pkt_udp(k)->dport) != PORT_DNS)
		return refuse_port(g, t, DROP_GW_LOCAL_CLOSED);
	if (!(g->conf.flags & GATEWAY_SERVE_DNS) || !g->sink[GATEWAY_DNS])
		return refuse_port(g, t, DROP_SVC_OFF);
	return transit_hand_up(t, g->sink[GATEWAY_DNS]);
}

/* A guest speaks from its link-local address or one of the network, never from ours. */
static enum drop_reason check_source(const struct gateway *g, const struct transit *t, const uint8_t src[16])
{
	if (ip6_is_multicast(src) || ip6_is_unspecified(src))
		return DROP_GW_MARTIAN;
	if (is_ours(g, t, src) || (!ip6_is_link_local(src) && !prefix6_contains(&g->conf.address6, src)))
		return DROP_GW_SPOOFED;
	return DROP_NONE;
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
	if (is_ours(g, t, ip->dst))
		return local_input(g, t);
	if (ip6_is_multicast(ip->dst) || ip6_is_link_local(ip->dst) || ip6_is_link_local(ip->src))
		return DROP_GW_MARTIAN; /* RFC 4291 2.5.6: no router forwards those */
	if (ip->hops <= 1) {
		icmp6_error(g, t, ICMP6_TIME_EXCEEDED, 0);
		return DROP_GW_TTL;
	}
	icmp6_error(g, t, ICMP6_UNREACHABLE, ICMP6_UNREACH_NO_ROUTE);
	return DROP_GW_NO_ROUTE;
}
