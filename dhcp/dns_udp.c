/* The frames DNS messages travel in: used by dns_forward towards guests, and by dns_routed towards
 * upstream servers. */
#include "dhcp/dns_udp.h"

#include <errno.h>

#include "net/csum.h"
#include "net/parse.h"
#include "net/wire.h"

#define TTL	 64
#define UDP_HLEN 8u
#define IP4_HLEN 20u

int dns_udp_read(const struct pkt *k, struct dns_udp *ret_u, void *payload, size_t max)
{
	const unsigned need = PKT_IP4 | PKT_L4;
	const struct udp_hdr *udp;
	const struct ip4_hdr *ip;
	size_t len;

	if ((k->flags & need) != need || (k->flags & PKT_FRAGMENT) || k->ip_proto != IPPROTO4_UDP ||
	    k->vnet.gso_type != VIRTIO_NET_HDR_GSO_NONE)
		return -EBADMSG;
	ip = pkt_ip4(k);
	udp = pkt_udp(k);
	len = be16toh(udp->len);
	if (len < UDP_HLEN || len > pkt_l4_len(k) || len - UDP_HLEN > max)
		return -EBADMSG;
	if (udp->csum && !(k->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) &&
	    csum_finish(csum_pkt(k, k->l4_off, len) +
			csum_pseudo4(ip->src, ip->dst, IPPROTO4_UDP, (uint16_t)len)))
		return -EBADMSG;
	if (!pkt_read(k, k->l4_off + UDP_HLEN, payload, len - UDP_HLEN))
		return -EBADMSG;
	*ret_u = (struct dns_udp){.src_mac = pkt_eth(k)->src,
				  .dst_mac = pkt_eth(k)->dst,
				  .src = ip->src,
				  .dst = ip->dst,
				  .sport = be16toh(udp->sport),
				  .dport = be16toh(udp->dport)};
	return (int)(len - UDP_HLEN);
}

static void put_ip4(struct wire *w, const struct dns_udp *u, size_t payload)
{
	struct ip4_hdr ip = {
		.ver_ihl = 0x45,
		.len = htobe16((uint16_t)(IP4_HLEN + UDP_HLEN + payload)),
		.frag = htobe16(IP4_DF), /* so the id may be 0, RFC 6864 4.1 */
		.ttl = TTL,
		.proto = IPPROTO4_UDP,
		.src = u->src,
		.dst = u->dst,
	};

	ip.csum = csum_ip4_header(&ip, sizeof(ip));
	wire_put(w, &ip, sizeof(ip));
}

struct pkt *dns_udp_build(struct pkt_pool *pool, const struct dns_udp *u, const void *msg,
			  size_t len, uint16_t id)
{
	uint16_t udp_len = (uint16_t)(UDP_HLEN + len);
	struct pkt *k;
	struct wire w;
	be16 csum;

	if (len > DNS_UDP_MAX || len < 2)
		return NULL;
	k = pkt_new(pool);
	if (!k)
		return NULL;
	w = wire_writer(k->head, DNS_UDP_HEADERS + DNS_UDP_MAX);
	wire_put_mac(&w, u->dst_mac);
	wire_put_mac(&w, u->src_mac);
	wire_put_u16(&w, ETHERTYPE_IP4);
	put_ip4(&w, u, len);
	wire_put_u16(&w, u->sport);
	wire_put_u16(&w, u->dport);
	wire_put_u16(&w, udp_len);
	wire_put_u16(&w, 0);
	wire_put(&w, msg, len);
	wire_patch_u16(&w, DNS_UDP_HEADERS, id);
	pkt_set_len(pool, k, (uint32_t)wire_pos(&w));
	k->type = ETHERTYPE_IP4;
	k->l3_off = ETH_HLEN_;
	k->l4_off = ETH_HLEN_ + IP4_HLEN;
	k->ip_proto = IPPROTO4_UDP;
	k->flags = PKT_PARSED | PKT_IP4 | PKT_L4;
	csum = csum_finish(csum_pkt(k, k->l4_off, udp_len) +
			   csum_pseudo4(u->src, u->dst, IPPROTO4_UDP, udp_len));
	pkt_udp(k)->csum = csum ? csum : 0xffff; /* 0 would say "none", RFC 768 */
	return k;
}
