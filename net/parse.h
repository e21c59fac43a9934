/* Finds and checks the headers in a packet's private head.
 *
 * One pass, bounded: Ethernet (the outer tag is already in pkt->tag), at most one
 * inner tag, ARP, IPv4 with options, IPv6 with up to eight extension headers, TCP,
 * UDP, ICMP.  A header that contradicts itself or the frame's length is a drop
 * reason; a protocol that is not known is fine.  The head must hold min(len,
 * PKT_PARSE) bytes. */
#ifndef NET_PARSE_H
#define NET_PARSE_H

#include "net/headers.h"
#include "net/pkt.h"

#define PKT_PARSE 128u

static inline struct eth_hdr *pkt_eth(const struct pkt *k) { return (struct eth_hdr *)k->head; }

static inline bool eth_type_is_tag(ethertype t)
{
	return t == ETHERTYPE_VLAN || t == ETHERTYPE_QINQ;
}

/* Moves the outermost 802.1Q/802.1ad tag of the frame into pkt->tag, if there is
 * one in the frame and none in pkt->tag yet; shifts head by 4 and adjusts
 * vnet.csum_start and hdr_len.  Returns DROP_NONE or DROP_VLAN_TRUNCATED. */
enum drop_reason pkt_untag_tagged(struct pkt *k);
static inline enum drop_reason pkt_untag(struct pkt *k)
{
	if (likely(k->head_len >= sizeof(struct eth_hdr))) {
		const ethertype t = be16toh(pkt_eth(k)->type);
		if (likely(!eth_type_is_tag(t)))
			return DROP_NONE;
	}
	return pkt_untag_tagged(k);
}

/* Fills type, flags, l3_off, l4_off, ip_proto; l4_off is the end of the IP headers (of
 * Ethernet's when it is not IP) also where there is no PKT_L4.  Returns the reason to drop the frame
 * or DROP_NONE.  Checks the source MAC, every length, the IPv4 header checksum, and
 * that vnet's offload fields agree with the headers. */
enum drop_reason pkt_parse(struct pkt *k);
/* The same for a frame that holds a whole Ethernet header with addresses that are known to be
 * sound. */
enum drop_reason pkt_parse_payload(struct pkt *k);

/* Most of those frames: IPv4 without options, whole, TCP or UDP, nothing left to offload.
 * Decided in one go; false means something else, or not sound, and nothing is changed. */
static inline bool pkt_parse_plain(struct pkt *k)
{
	enum { L3 = sizeof(struct eth_hdr), L4 = L3 + sizeof(struct ip4_hdr) };
	const uint8_t *h = k->head + L3, *l4 = k->head + L4;
	const uint64_t whole = htobe64(0xff00000000003fff), version = htobe64(0x4500000000000000);
	uint64_t a, b;
	uint32_t c;

	if (unlikely(k->head_len < L4 + sizeof(struct tcp_hdr) || k->vnet.flags | k->vnet.gso_type))
		return false;
	__builtin_memcpy(&a, h, sizeof(a));	/* version, TOS, length, id, fragment */
	__builtin_memcpy(&b, h + 8, sizeof(b)); /* TTL, protocol, checksum, source */
	__builtin_memcpy(&c, h + 16, sizeof(c));
	if (unlikely(((const struct eth_hdr *)k->head)->type != htobe16(ETHERTYPE_IP4) ||
		     (a & whole) != version))
		return false;
	uint64_t sum = (a >> 32) + (a & 0xffffffff) + (b >> 32) + (b & 0xffffffff) + c;
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	const uint8_t proto = h[offsetof(struct ip4_hdr, proto)];
	const uint32_t total = be16toh(((const struct ip4_hdr *)h)->len);
	const bool udp = proto == IPPROTO4_UDP;
	const uint32_t need = udp ? be16toh(((const struct udp_hdr *)l4)->len)
				  : (((const struct tcp_hdr *)l4)->off >> 4) * 4u;
	if (unlikely((sum & 0xffff) + (sum >> 16) != 0xffff || (!udp && proto != IPPROTO4_TCP) ||
		     total > k->len - L3 || need + sizeof(struct ip4_hdr) > total ||
		     need < (udp ? sizeof(struct udp_hdr) : sizeof(struct tcp_hdr))))
		return false;
	k->ip_proto = proto;
	k->type = ETHERTYPE_IP4;
	k->l3_off = L3;
	k->l4_off = L4;
	k->flags = (k->flags & (PKT_SHARED | PKT_BORROWED)) | PKT_PARSED | PKT_IP4 | PKT_L4;
	return true;
}

static inline struct arp_hdr *pkt_arp(const struct pkt *k)
{
	return (struct arp_hdr *)(k->head + k->l3_off);
}
static inline struct ip4_hdr *pkt_ip4(const struct pkt *k)
{
	return (struct ip4_hdr *)(k->head + k->l3_off);
}
static inline struct ip6_hdr *pkt_ip6(const struct pkt *k)
{
	return (struct ip6_hdr *)(k->head + k->l3_off);
}
static inline struct tcp_hdr *pkt_tcp(const struct pkt *k)
{
	return (struct tcp_hdr *)(k->head + k->l4_off);
}
static inline struct udp_hdr *pkt_udp(const struct pkt *k)
{
	return (struct udp_hdr *)(k->head + k->l4_off);
}
static inline struct icmp_hdr *pkt_icmp(const struct pkt *k)
{
	return (struct icmp_hdr *)(k->head + k->l4_off);
}
/* The fragment header of an IPv6 packet, in its private head; NULL when it has none.  An atomic
 * fragment (RFC 6946) has one and no PKT_FRAGMENT. */
struct ip6_frag *pkt_ip6_frag(const struct pkt *k);
/* Whether the L4 header's own checksum field holds only the pseudo-header's sum.  Not the
 * same as NEEDS_CSUM: a guest that tunnels leaves the checksum of an inner header to
 * us, and that of the outer one, which PKT_L4 speaks of, is then complete (or zero). */
static inline bool pkt_l4_partial(const struct pkt *k)
{
	return k->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM && k->vnet.csum_start == k->l4_off;
}
/* Bytes of the IP packet that follow l4_off (padding of short frames excluded). */
uint32_t pkt_l4_len(const struct pkt *k);

#endif
