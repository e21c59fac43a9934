/* ICMP and TCP resets that the appliance sends itself (RFC 792, RFC 1812 4.3).
 *
 * Every answer goes back the way the packet came, to the MAC address that sent it, so
 * that no neighbour has to be resolved for it.  Errors are limited to a rate for each
 * gateway and uplink, and never sent about errors, group addresses or later fragments
 * (RFC 1812 4.3.2.7). */
#include <string.h>

#include "net/gso.h"
#include "nat/internal.h"
#include "net/wire.h"

#define BUCKET_DEPTH 200u
#define BUCKET_PER_SEC 1000u
#define QUOTE_MAX 548u /* of the packet: the error stays within 576 bytes (RFC 1812 4.3.2.3) */
#define ECHO_FRAME_MAX PKT_HEAD_MAX

bool bucket_take(struct token_bucket *b, nsec_t now)
{
	if (!b->last) {
		b->last = now;
		b->tokens = BUCKET_DEPTH;
	}
	uint64_t earned = (now - b->last) / (NSEC_PER_SEC / BUCKET_PER_SEC);
	if (earned) {
		b->tokens = (uint32_t)(b->tokens + earned > BUCKET_DEPTH ? BUCKET_DEPTH
									 : b->tokens + earned);
		b->last = now;
	}
	if (!b->tokens)
		return false;
	b->tokens--;
	return true;
}

static void put_ip4(struct wire *o, uint16_t len, uint8_t proto, be32 src, be32 dst)
{
	size_t at = wire_pos(o);

	wire_put_u8(o, 0x45);
	wire_put_u8(o, 0);
	wire_put_u16(o, len);
	wire_put_u32(o, 0); /* id and fragment: it is never cut */
	wire_put_u8(o, TTL_OURS);
	wire_put_u8(o, proto);
	wire_put_u16(o, 0);
	wire_put_ip4(o, src);
	wire_put_ip4(o, dst);
	wire_patch_u16(o, at + 10, be16toh(csum_ip4_header(o->base + at, 20)));
}

/* Ethernet addresses are left to be filled by who sends it. */
static void put_eth_blank(struct wire *o)
{
	wire_put_zero(o, 12);
	wire_put_u16(o, ETHERTYPE_IP4);
}

static bool may_answer(const struct pkt *about)
{
	const struct ip4_hdr *ip = pkt_ip4(about);

	return !(be16toh(ip->frag) & IP4_OFFSET) && !ip4_is_martian(ip->src) && !icmp_is_error(about) &&
	       !mac_is_group(pkt_eth(about)->dst);
}

struct pkt *icmp_build_error(struct worker *w, be32 src, const struct pkt *about, uint8_t type,
			     uint8_t code, uint16_t mtu)
{
	uint8_t room[ETH_HLEN_ + 20 + 8 + QUOTE_MAX];
	struct wire o = wire_writer(room, sizeof(room));
	uint8_t quote[QUOTE_MAX];
	uint32_t len = be16toh(pkt_ip4(about)->len);

	if (!may_answer(about))
		return NULL;
	if (len > about->len - about->l3_off)
		len = about->len - about->l3_off;
	if (len > QUOTE_MAX)
		len = QUOTE_MAX;
	if (!pkt_read(about, about->l3_off, quote, len))
		return NULL;
	put_eth_blank(&o);
	put_ip4(&o, (uint16_t)(28 + len), IPPROTO4_ICMP, src, pkt_ip4(about)->src);
	size_t icmp = wire_pos(&o);
	wire_put_u8(&o, type);
	wire_put_u8(&o, code);
	wire_put_u16(&o, 0);
	wire_put_u16(&o, 0);
	wire_put_u16(&o, mtu);
	wire_put(&o, quote, len);
	wire_patch_u16(&o, icmp + 2, be16toh(csum_finish(csum_add(0, room + icmp, wire_pos(&o) - icmp))));
	return pkt_from(worker_pool(w), room, wire_pos(&o));
}

void icmp_error(struct nat *n, struct neigh_if *nif, struct token_bucket *b, struct transit *t,
		uint8_t type, uint8_t code, uint16_t mtu)
{
	struct pkt *e;

	if (t->quiet || !may_answer(t->k))
		return;
	if (!bucket_take(b, t->now)) {
		n->icmp_held++;
		return;
	}
	e = icmp_build_error(t->w, nif->address.addr, t->k, type, code, mtu);
	if (!e)
		return;
	n->icmp_sent++;
	neigh_emit(nif, t->w, e, pkt_eth(t->k)->src);
}

static void turn_type(struct pkt *e)
{
	struct icmp_hdr *icmp = pkt_icmp(e);

	if (e->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		gso_finish_csum(e);
	icmp->csum = csum_apply(icmp->csum, csum_delta16(htobe16(ICMP4_ECHO << 8),
							 htobe16(ICMP4_ECHO_REPLY << 8)));
	icmp->type = ICMP4_ECHO_REPLY;
}

/* RFC 792: the request with its addresses and type turned.  A later fragment has no type; once
 * frag_gather() has all of a datagram, each is turned for itself. */
void icmp_echo_reply(struct neigh_if *nif, struct transit *t)
{
	struct pkt *e = pkt_copy(worker_pool(t->w), t->k);

	if (!e)
		return;
	struct ip4_hdr *ip = pkt_ip4(e);
	be32 src = ip->src;

	if (!frag_is_later(e))
		turn_type(e);
	ip->src = ip->dst;
	ip->dst = src;
	ip->csum = csum_apply(ip->csum, csum_delta16(htobe16((uint16_t)(ip->ttl << 8)),
						     htobe16(TTL_OURS << 8)));
	ip->ttl = TTL_OURS;
	neigh_emit(nif, t->w, e, pkt_eth(t->k)->src);
}

/* RFC 9293 3.10.7.1: what a closed port answers. */
void tcp_reset(struct nat *n, struct neigh_if *nif, struct token_bucket *b, struct transit *t)
{
	uint8_t room[ETH_HLEN_ + 20 + 20];
	struct wire o = wire_writer(room, sizeof(room));
	const struct ip4_hdr *ip = pkt_ip4(t->k);
	const struct tcp_hdr *tcp = pkt_tcp(t->k);
	uint32_t header = (uint32_t)(tcp->off >> 4) * 4, l4 = pkt_l4_len(t->k);
	bool acked = tcp->flags & TCP_ACK;

	if (t->quiet || (tcp->flags & TCP_RST) || l4 < header)
		return;
	if (!bucket_take(b, t->now)) {
		n->icmp_held++;
		return;
	}
	uint32_t seg_len = l4 - header + !!(tcp->flags & TCP_SYN) + !!(tcp->flags & TCP_FIN);
	put_eth_blank(&o);
	put_ip4(&o, 40, IPPROTO4_TCP, ip->dst, ip->src);
	wire_put_u16(&o, be16toh(tcp->dport));
	wire_put_u16(&o, be16toh(tcp->sport));
	wire_put_u32(&o, acked ? be32toh(tcp->ack) : 0);
	wire_put_u32(&o, acked ? 0 : be32toh(tcp->seq) + seg_len);
	wire_put_u8(&o, 5 << 4);
	wire_put_u8(&o, acked ? TCP_RST : TCP_RST | TCP_ACK);
	wire_put_zero(&o, 6);
	csum_t sum = csum_add(csum_pseudo4(ip->dst, ip->src, IPPROTO4_TCP, 20), room + ETH_HLEN_ + 20, 20);
	wire_patch_u16(&o, ETH_HLEN_ + 20 + 16, be16toh(csum_finish(sum)));
	struct pkt *e = pkt_from(worker_pool(t->w), room, wire_pos(&o));
	if (!e)
		return;
	n->icmp_sent++;
	neigh_emit(nif, t->w, e, pkt_eth(t->k)->src);
}

struct pkt *tcp_build_ack(struct worker *w, be32 src, be16 sport, be32 dst, be16 dport, uint32_t seq)
{
	uint8_t room[ETH_HLEN_ + 20 + 20];
	struct wire o = wire_writer(room, sizeof(room));

	put_eth_blank(&o);
	put_ip4(&o, 40, IPPROTO4_TCP, src, dst);
	size_t at = wire_pos(&o);
	wire_put_u16(&o, be16toh(sport));
	wire_put_u16(&o, be16toh(dport));
	wire_put_u32(&o, seq);
	wire_put_u32(&o, ~seq);
	wire_put_u8(&o, 5 << 4);
	wire_put_u8(&o, TCP_ACK);
	wire_put_zero(&o, 6);
	csum_t sum = csum_add(csum_pseudo4(src, dst, IPPROTO4_TCP, 20), room + at, 20);
	wire_patch_u16(&o, at + 16, be16toh(csum_finish(sum)));
	return pkt_from(worker_pool(w), room, wire_pos(&o));
}
