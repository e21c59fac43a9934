/* ICMPv6 that gateways and uplinks send themselves (RFC 4443).
 *
 * As in icmp.c: answers go back to the MAC address that asked, errors are limited to a rate, and
 * never sent about what RFC 4443 2.4 e excludes. */
#include <string.h>

#include "nat/internal.h"
#include "net/gso.h"
#include "net/wire.h"

#define ICMP6_MSG_MAX (IP6_MTU_MIN - sizeof(struct ip6_hdr))
#define QUOTE_MAX (IP6_MTU_MIN - sizeof(struct ip6_hdr) - sizeof(struct icmp_hdr)) /* RFC 4443 2.4 c */

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

/* Quotes as much of `about` as fits.  0: it must not be answered. */
static size_t build(const struct pkt *about, uint8_t type, uint8_t code, uint32_t info, uint8_t msg[ICMP6_MSG_MAX])
{
	uint32_t len = (uint32_t)sizeof(struct ip6_hdr) + be16toh(pkt_ip6(about)->len);
	struct wire o = wire_writer(msg, ICMP6_MSG_MAX);

	if (len > about->len - about->l3_off)
		len = about->len - about->l3_off;
	if (len > QUOTE_MAX)
		len = QUOTE_MAX;
	wire_put_u8(&o, type);
	wire_put_u8(&o, code);
	wire_put_u16(&o, 0);
	wire_put_u32(&o, info);
	return pkt_read(about, about->l3_off, msg + wire_pos(&o), len) ? wire_pos(&o) + len : 0;
}

void icmp6_error(struct nat *n, struct neigh_if *nif, struct token_bucket *b, struct transit *t, uint8_t type,
		 uint8_t code, uint32_t info)
{
	uint8_t msg[ICMP6_MSG_MAX], dst[16];

	if (t->quiet || !may_answer(t->k))
		return;
	if (!bucket_take(b, t->now)) {
		n->icmp_held++;
		return;
	}
	size_t len = build(t->k, type, code, info, msg);
	if (!len)
		return;
	memcpy(dst, pkt_ip6(t->k)->src, sizeof(dst));
	n->icmp_sent++;
	neigh_send_icmp6(nif, t->w, nif->address6.addr, dst, TTL_OURS, msg, len, pkt_eth(t->k)->src);
}

void icmp6_tell(struct nat *n, struct worker *w, const struct neigh_if *from, struct neigh_if *out,
		struct neigh *hop, const struct pkt *about, uint8_t type, uint8_t code)
{
	uint8_t msg[ICMP6_MSG_MAX];
	size_t len = hop && may_answer(about) ? build(about, type, code, 0, msg) : 0;

	/* only where a neighbour is known: it must not wait for one, and be lost in turn */
	if (!len || (hop->state != NEIGH_REACHABLE_ && hop->state != NEIGH_PROBE))
		return;
	n->icmp_sent++;
	neigh_send_icmp6(out, w, from->address6.addr, pkt_ip6(about)->src, TTL_OURS, msg, len, hop->mac);
}

/* RFC 4443 4.2: the request with its addresses and type turned. */
void icmp6_echo_reply(struct neigh_if *nif, struct transit *t)
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
	neigh_emit(nif, t->w, e, pkt_eth(t->k)->src);
}
