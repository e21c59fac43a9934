/* Neighbour discovery (RFC 4861 7) for the table of neigh.h: questions and answers on the wire. */
#include <string.h>

#include "nat/neigh_int.h"
#include "net/csum.h"
#include "net/nd.h"
#include "net/parse.h"
#include "net/wire.h"

#define ND_MAX	    1232u /* bytes of a message: nobody has cause to send more in one packet */
#define MAC_OPT_LEN 8u

static const uint8_t all_nodes[16] = {0xff, 0x02, [15] = 1};
static const struct mac all_nodes_mac = {{0x33, 0x33, 0, 0, 0, 1}};

bool neigh_is_ours6(const struct neigh_if *nif, const uint8_t a[16])
{
	uint8_t ll[16];

	if (!nif->address6.len)
		return false;
	if (!memcmp(a, nif->address6.addr, sizeof(ll)))
		return true;
	nd_link_local(nif->mac, ll);
	return !memcmp(a, ll, sizeof(ll));
}

/* ---- sending ---- */

void neigh_send_icmp6(struct neigh_if *nif, struct worker *w, const uint8_t src[16], const uint8_t dst[16],
		      uint8_t hops, void *msg, size_t len, struct mac mac)
{
	uint8_t room[ETH_HLEN_ + IP6_MTU_MIN];
	struct wire o = wire_writer(room, sizeof(room)), m = wire_writer(msg, len);
	csum_t sum = csum_pseudo6(src, dst, IPPROTO6_ICMP, (uint32_t)len);

	wire_skip(&m, len);
	wire_patch_u16(&m, offsetof(struct icmp_hdr, csum), 0);
	wire_patch_u16(&m, offsetof(struct icmp_hdr, csum), be16toh(csum_finish(csum_add(sum, msg, len))));
	wire_put_zero(&o, 12); /* neigh_emit() fills the addresses */
	wire_put_u16(&o, ETHERTYPE_IP6);
	wire_put_u32(&o, 6u << 28);
	wire_put_u16(&o, (uint16_t)len);
	wire_put_u8(&o, IPPROTO6_ICMP);
	wire_put_u8(&o, hops);
	wire_put(&o, src, 16);
	wire_put(&o, dst, 16);
	wire_put(&o, msg, len);
	struct pkt *k = wire_ok(&o) ? pkt_from(worker_pool(w), room, wire_pos(&o)) : NULL;
	if (k)
		neigh_emit(nif, w, k, mac);
	else
		port_rx_lost(nif->port, DROP_RX_NO_BUFFER, 1, (uint32_t)wire_pos(&o));
}

/* A solicitation or advertisement with our MAC address as its option. */
static void send_nd(struct neigh_if *nif, struct worker *w, uint8_t type, uint32_t flags,
		    const uint8_t target[16], const uint8_t src[16], const uint8_t dst[16], struct mac mac)
{
	uint8_t msg[sizeof(struct nd_ns) + MAC_OPT_LEN];
	struct wire o = wire_writer(msg, sizeof(msg));

	wire_put_u8(&o, type);
	wire_put_u8(&o, 0);
	wire_put_u16(&o, 0);
	wire_put_u32(&o, flags);
	wire_put(&o, target, 16);
	wire_put_u8(&o, type == ICMP6_ND_NS ? ND_OPT_SOURCE_MAC : ND_OPT_TARGET_MAC);
	wire_put_u8(&o, 1);
	wire_put_mac(&o, nif->mac);
	neigh_send_icmp6(nif, w, src, dst, ND_HOPS, msg, sizeof(msg), mac);
}

void neigh_solicit(struct neigh_if *nif, struct worker *w, const uint8_t ip[16], const struct mac *at)
{
	/* RFC 4291 2.7.1, RFC 2464 7 */
	const uint8_t group[16] = {0xff, 0x02, [11] = 1, 0xff, ip[13], ip[14], ip[15]};
	const struct mac group_mac = {{0x33, 0x33, 0xff, ip[13], ip[14], ip[15]}};
	uint8_t ll[16];

	nd_link_local(nif->mac, ll);
	send_nd(nif, w, ICMP6_ND_NS, 0, ip, ll, at ? ip : group, at ? *at : group_mac);
}

/* ---- reading ---- */

struct nd {
	uint8_t source[16], target[16];
	uint32_t flags;
	struct nd_mac mac;
};

/* RFC 4861 7.1; fragments: RFC 6980 5. */
static bool read_nd(const struct pkt *k, uint8_t option, struct nd *ret)
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
	wire_skip(&w, offsetof(struct nd_ns, flags));
	ret->flags = wire_get_u32(&w);
	wire_get(&w, ret->target, sizeof(ret->target));
	memcpy(ret->source, ip->src, sizeof(ret->source));
	return nd_read_mac(&w, option, &ret->mac) == 0 && !ip6_is_multicast(ret->target);
}

static bool is_usable(const struct nd_mac *m)
{
	return m->given && !mac_is_group(m->mac) && !mac_is_zero(m->mac);
}

/* A neighbour is of the interface's link, and not us. */
static bool may_be_neighbour(const struct neigh_if *nif, const uint8_t a[16])
{
	return !neigh_is_ours6(nif, a) &&
	       (ip6_is_link_local(a) || prefix6_contains(&nif->address6, a));
}

static void advertise(struct neigh_if *nif, struct worker *w, const struct pkt *k, const struct nd *s)
{
	const bool probe = ip6_is_unspecified(s->source);

	/* RFC 4861 7.2.4: who probes is told with everyone, and has not asked by name */
	send_nd(nif, w, ICMP6_ND_NA, ND_NA_ROUTER | ND_NA_OVERRIDE | (probe ? 0 : ND_NA_SOLICITED), s->target,
		s->target, probe ? all_nodes : s->source,
		probe ? all_nodes_mac : is_usable(&s->mac) ? s->mac.mac : pkt_eth(k)->src);
}

static enum drop_reason solicitation(struct neigh_table *t, struct neigh_if *nif, struct worker *w, nsec_t now,
				     const struct pkt *k)
{
	struct nd s;

	/* a probe for duplicates goes to the solicited-node group and names no MAC */
	if (!read_nd(k, ND_OPT_SOURCE_MAC, &s) ||
	    (ip6_is_unspecified(s.source) && (s.mac.given || !ip6_is_multicast(pkt_ip6(k)->dst))))
		return DROP_GW_ND;
	/* nobody but us says that an address of ours is his */
	if (!neigh_is_ours6(nif, s.target) || neigh_is_ours6(nif, s.source))
		return DROP_NONE;
	if (is_usable(&s.mac) && may_be_neighbour(nif, s.source)) {
		struct neigh *n = neigh_get16(t, nif, s.source, true);
		if (n)
			neigh_confirm(t, n, w, now, s.mac.mac);
	}
	if (!nif->quiet)
		advertise(nif, w, k, &s);
	return DROP_NONE;
}

/* RFC 4861 7.2.5, but that an answer without an address says nothing new here. */
static enum drop_reason advertisement(struct neigh_table *t, struct neigh_if *nif, struct worker *w, nsec_t now,
				      const struct pkt *k)
{
	struct nd a;

	if (!read_nd(k, ND_OPT_TARGET_MAC, &a) ||
	    (ip6_is_multicast(pkt_ip6(k)->dst) && (a.flags & ND_NA_SOLICITED)))
		return DROP_GW_ND;
	struct neigh *n = may_be_neighbour(nif, a.target) ? neigh_find16(t, nif, a.target) : NULL;
	if (!n)
		return DROP_NONE;
	const bool known = n->state == NEIGH_REACHABLE_ || n->state == NEIGH_PROBE;
	if (is_usable(&a.mac) && (!known || (a.flags & ND_NA_OVERRIDE) || mac_eq(a.mac.mac, n->mac)))
		neigh_confirm(t, n, w, now, a.mac.mac);
	else if (known && !a.mac.given && (a.flags & ND_NA_SOLICITED))
		neigh_confirm(t, n, w, now, n->mac);
	return DROP_NONE;
}

enum drop_reason neigh_nd_input(struct neigh_table *t, struct neigh_if *nif, struct worker *w, nsec_t now,
				const struct pkt *k)
{
	if (!nif->address6.len)
		return DROP_NONE;
	return pkt_icmp(k)->type == ICMP6_ND_NS ? solicitation(t, nif, w, now, k)
						: advertisement(t, nif, w, now, k);
}
