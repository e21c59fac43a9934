/* The frames DNS messages travel in: used by dns_forward towards guests, and by dns_routed towards
 * upstream servers. */
#include "dhcp/dns_udp.h"

#include <errno.h>
#include <string.h>

#include "net/csum.h"
#include "net/parse.h"
#include "net/wire.h"

#define TTL	 64
#define UDP_HLEN 8u
#define IP4_HLEN 20u

/* Over IPv6 a datagram without checksum is none (RFC 8200 8.1). */
static bool checksum_ok(const struct pkt *k, size_t len)
{
	const struct udp_hdr *udp = pkt_udp(k);
	csum_t sum;

	if (k->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		return true;
	if (!udp->csum)
		return k->flags & PKT_IP4;
	if (k->flags & PKT_IP4)
		sum = csum_pseudo4(pkt_ip4(k)->src, pkt_ip4(k)->dst, IPPROTO4_UDP, (uint16_t)len);
	else
		sum = csum_pseudo6(pkt_ip6(k)->src, pkt_ip6(k)->dst, IPPROTO4_UDP, (uint32_t)len);
	return !csum_finish(sum + csum_pkt(k, k->l4_off, len));
}

static void get_addresses(const struct pkt *k, struct dns_udp *u)
{
	if (k->flags & PKT_IP4) {
		u->src = pkt_ip4(k)->src;
		u->dst = pkt_ip4(k)->dst;
		return;
	}
	u->six = true;
	memcpy(u->src6, pkt_ip6(k)->src, sizeof(u->src6));
	memcpy(u->dst6, pkt_ip6(k)->dst, sizeof(u->dst6));
}

int dns_udp_read(const struct pkt *k, struct dns_udp *ret_u, void *payload, size_t max)
{
	const struct udp_hdr *udp;
	size_t len;

	if (!(k->flags & (PKT_IP4 | PKT_IP6)) || !(k->flags & PKT_L4) ||
	    (k->flags & PKT_FRAGMENT) || k->ip_proto != IPPROTO4_UDP ||
	    k->vnet.gso_type != VIRTIO_NET_HDR_GSO_NONE)
		return -EBADMSG;
	udp = pkt_udp(k);
	len = be16toh(udp->len);
	if (len < UDP_HLEN || len > pkt_l4_len(k) || len - UDP_HLEN > max)
		return -EBADMSG;
	if (!checksum_ok(k, len))
		return -EBADMSG;
	if (!pkt_read(k, k->l4_off + UDP_HLEN, payload, len - UDP_HLEN))
		return -EBADMSG;
	*ret_u = (struct dns_udp){.src_mac = pkt_eth(k)->src,
				  .dst_mac = pkt_eth(k)->dst,
				  .sport = be16toh(udp->sport),
				  .dport = be16toh(udp->dport)};
	get_addresses(k, ret_u);
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

static void put_ip6(struct wire *w, const struct dns_udp *u, size_t payload)
{
	struct ip6_hdr ip = {
		.ver_tc_flow = htobe32(6u << 28),
		.len = htobe16((uint16_t)(UDP_HLEN + payload)),
		.next = IPPROTO4_UDP,
		.hops = TTL,
	};

	memcpy(ip.src, u->src6, sizeof(ip.src));
	memcpy(ip.dst, u->dst6, sizeof(ip.dst));
	wire_put(w, &ip, sizeof(ip));
}

struct pkt *dns_udp_build(struct pkt_pool *pool, const struct dns_udp *u, const void *msg,
			  size_t len, uint16_t id)
{
	uint16_t udp_len = (uint16_t)(UDP_HLEN + len);
	struct pkt *k;
	struct wire w;
	csum_t sum;

	if (len > DNS_UDP_MAX || len < 2)
		return NULL;
	k = pkt_new(pool);
	if (!k)
		return NULL;
	w = wire_writer(k->head, DNS_UDP_HEADERS6 + DNS_UDP_MAX);
	wire_put_mac(&w, u->dst_mac);
	wire_put_mac(&w, u->src_mac);
	k->type = u->six ? ETHERTYPE_IP6 : ETHERTYPE_IP4;
	wire_put_u16(&w, k->type);
	k->l3_off = (uint16_t)wire_pos(&w);
	if (u->six)
		put_ip6(&w, u, len);
	else
		put_ip4(&w, u, len);
	k->l4_off = (uint16_t)wire_pos(&w);
	wire_put_u16(&w, u->sport);
	wire_put_u16(&w, u->dport);
	wire_put_u16(&w, udp_len);
	wire_put_u16(&w, 0);
	wire_put(&w, msg, len);
	wire_patch_u16(&w, k->l4_off + UDP_HLEN, id);
	pkt_set_len(pool, k, (uint32_t)wire_pos(&w));
	k->ip_proto = IPPROTO4_UDP;
	k->flags = PKT_PARSED | PKT_L4 | (u->six ? PKT_IP6 : PKT_IP4);
	sum = u->six ? csum_pseudo6(u->src6, u->dst6, IPPROTO4_UDP, udp_len)
		     : csum_pseudo4(u->src, u->dst, IPPROTO4_UDP, udp_len);
	const be16 csum = csum_finish(sum + csum_pkt(k, k->l4_off, udp_len));
	pkt_udp(k)->csum = csum ? csum : 0xffff; /* 0 would say "none", RFC 768 */
	return k;
}
