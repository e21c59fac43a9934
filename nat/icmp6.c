/* ICMPv6 that the gateway sends itself (RFC 4443).
 *
 * As in icmp.c: answers go back to the MAC address that asked, errors are limited to a rate, and
 * never sent about what RFC 4443 2.4 e excludes. */
#include <string.h>

#include "nat/internal.h"
#include "net/gso.h"
#include "net/wire.h"

#define QUOTE_MAX (IP6_MTU_MIN - sizeof(struct ip6_hdr) - sizeof(struct icmp_hdr)) /* RFC 4443 2.4 c */

void icmp6_send(struct transit *t, const uint8_t src[16], const uint8_t dst[16], uint8_t hops, void *msg,
		size_t len, struct mac mac)
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
	struct pkt *k = wire_ok(&o) ? pkt_from(worker_pool(t->w), room, wire_pos(&o)) : NULL;
	if (k)
		neigh_emit(&t->leg->nif, t->w, k, mac);
	else
		port_rx_lost(t->leg->nif.port, DROP_RX_NO_BUFFER, 1, (uint32_t)wire_pos(&o));
}

/* RFC 4443 2.4 e: not about errors and redirects, not to or about groups, not to nobody. */
static bool may_answer(const struct pkt *about)
{
	const struct ip6_hdr *ip = pkt_ip6(about);

	if (mac_is_group(pkt_eth(about)->dst) || ip6_is_multicast(ip->dst) || ip6_is_multicast(ip->src) ||
	    ip6_is_unspecified(ip->src))
		return false;
	if (about->ip_proto != IPPROTO6_ICMP)
		return true;
	return (about->flags & PKT_L4) && pkt_icmp(about)->type >= ICMP6_INFORMATIONAL &&
	       pkt_icmp(about)->type != ICMP6_ND_REDIRECT;
}

void icmp6_error(struct gateway *g, struct transit *t, uint8_t type, uint8_t code)
{
	uint8_t msg[sizeof(struct icmp_hdr) + QUOTE_MAX] = {type, code};
	const struct ip6_hdr *ip = pkt_ip6(t->k);
	uint32_t len = (uint32_t)sizeof(*ip) + be16toh(ip->len);
	uint8_t dst[16];

	if (t->quiet || !may_answer(t->k))
		return;
	if (!bucket_take(&g->icmp, t->now)) {
		g->nat->icmp_held++;
		return;
	}
	if (len > QUOTE_MAX)
		len = QUOTE_MAX;
	if (!pkt_read(t->k, t->k->l3_off, msg + sizeof(struct icmp_hdr), len))
		return;
	memcpy(dst, ip->src, sizeof(dst));
	g->nat->icmp_sent++;
	icmp6_send(t, g->conf.address6.addr, dst, TTL_OURS, msg, sizeof(struct icmp_hdr) + len,
		   pkt_eth(t->k)->src);
}

/* RFC 4443 4.2: the request with its addresses and type turned. */
void icmp6_echo_reply(struct transit *t)
{
	struct pkt *e = pkt_copy(worker_pool(t->w), t->k);
	uint8_t src[16];

	if (!e)
		return;
	struct ip6_hdr *ip = pkt_ip6(e);
	struct icmp_hdr *icmp = pkt_icmp(e);

	if (e->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		gso_finish_csum(e);
	icmp->csum = csum_apply(icmp->csum, csum_delta16(htobe16(ICMP6_ECHO << 8), htobe16(ICMP6_ECHO_REPLY << 8)));
	icmp->type = ICMP6_ECHO_REPLY;
	memcpy(src, ip->src, sizeof(src));
	memcpy(ip->src, ip->dst, sizeof(src));
	memcpy(ip->dst, src, sizeof(src));
	ip->hops = TTL_OURS;
	neigh_emit(&t->leg->nif, t->w, e, pkt_eth(t->k)->src);
}
