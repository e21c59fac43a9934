/* The frames of dhcp_frame.h. */
#include "dhcp/dhcp_frame.h"

#include "net/csum.h"
#include "net/parse.h"

#define TTL	    64
#define IP4_VER_IHL 0x45

struct frame_hdr {
	struct eth_hdr eth;
	struct ip4_hdr ip;
	struct udp_hdr udp;
} __attribute__((packed));
_Static_assert(sizeof(struct frame_hdr) == 42, "no options");
_Static_assert(sizeof(struct frame_hdr) + DHCP_MSG_MAX <= PKT_HEAD_MAX, "a message fits a head");

struct pkt *dhcp_frame_build(struct pkt_pool *pool, const struct dhcp_frame *f, const void *msg, size_t len)
{
	struct pkt *k = pkt_new(pool);
	if (!k)
		return NULL;
	uint16_t udp_len = (uint16_t)(sizeof(struct udp_hdr) + len);
	struct frame_hdr h = {
		.eth = {f->dst_mac, f->src_mac, htobe16(ETHERTYPE_IP4)},
		.ip = {.ver_ihl = IP4_VER_IHL,
		       .len = htobe16((uint16_t)(sizeof(h.ip) + udp_len)),
		       .ttl = TTL,
		       .proto = IPPROTO4_UDP,
		       .src = f->src,
		       .dst = f->dst},
		.udp = {htobe16(f->sport), htobe16(f->dport), htobe16(udp_len)},
	};
	h.ip.csum = csum_ip4_header(&h.ip, sizeof(h.ip));
	csum_t sum = csum_pseudo4(h.ip.src, h.ip.dst, IPPROTO4_UDP, udp_len);
	sum = csum_add(csum_add(sum, &h.udp, sizeof(h.udp)), msg, len);
	h.udp.csum = csum_finish(sum);
	if (!h.udp.csum) /* RFC 768: zero would mean none */
		h.udp.csum = UINT16_MAX;
	struct wire w = wire_writer(k->head, PKT_HEAD_MAX);
	wire_put(&w, &h, sizeof(h));
	wire_put(&w, msg, len);
	pkt_set_len(pool, k, (uint32_t)wire_pos(&w));
	return k;
}

static bool checksum_ok(const struct pkt *k, uint16_t udp_len)
{
	const struct ip4_hdr *ip = pkt_ip4(k);
	if (!pkt_udp(k)->csum || k->vnet.flags)
		return true;
	csum_t sum = csum_pseudo4(ip->src, ip->dst, IPPROTO4_UDP, udp_len);
	return csum_finish(sum + csum_fold(csum_pkt(k, k->l4_off, udp_len))) == 0;
}

size_t dhcp_frame_read(const struct pkt *k, uint16_t dport, uint8_t msg[DHCP_MSG_MAX])
{
	const uint16_t need = PKT_IP4 | PKT_L4;
	if ((k->flags & need) != need || k->flags & PKT_FRAGMENT || k->ip_proto != IPPROTO4_UDP)
		return 0;
	uint16_t udp_len = be16toh(pkt_udp(k)->len);
	if (be16toh(pkt_udp(k)->dport) != dport || udp_len <= sizeof(struct udp_hdr) ||
	    udp_len > sizeof(struct udp_hdr) + DHCP_MSG_MAX || udp_len > pkt_l4_len(k) ||
	    !checksum_ok(k, udp_len))
		return 0;
	size_t len = udp_len - sizeof(struct udp_hdr);
	return pkt_read(k, k->l4_off + sizeof(struct udp_hdr), msg, len) ? len : 0;
}
