/* The parser of parse.h: one straight pass over the private head.
 *
 * A step returns DROP_NONE when the header it looked at is sound, having stored what it
 * found in the packet.  Lengths are checked against the frame, and what is read
 * against the head too, so that a port that delivers too short a head costs frames,
 * not memory. */
#include "net/parse.h"

#include <string.h>

#include "net/csum.h"
#include "net/gso.h"

#define IP6_EXT_MAX	 8u
#define UDP_GSO_SEGS_MAX 128u /* UDP_MAX_SEGMENTS of Linux */

/* Extension headers of RFC 8200 4 and the IANA registry; ESP and "no next header" end
 * the chain as payloads do. */
enum {
	EXT_HOP_BY_HOP = 0,
	EXT_ROUTING = 43,
	EXT_FRAGMENT = IPPROTO6_FRAGMENT,
	EXT_AUTH = 51,
	EXT_DESTINATION = 60,
	EXT_MOBILITY = 135,
	EXT_HIP = 139,
	EXT_SHIM6 = 140,
};

struct ip6_ext { /* RFC 8200 4.3, 4.4, 4.6 */
	uint8_t next;
	uint8_t len; /* in units of 8 bytes, not counting the first; AH: 4 bytes, minus 2 */
} __attribute__((packed));

static inline const void *at(const struct pkt *k, uint32_t off)
{
	return k->head + off;
}

enum drop_reason pkt_untag_tagged(struct pkt *k)
{
	if (k->tag.tpid || k->head_len < sizeof(struct eth_hdr))
		return DROP_NONE;
	const ethertype tpid = be16toh(pkt_eth(k)->type);
	if (k->head_len < sizeof(struct eth_hdr) + sizeof(struct vlan_hdr))
		return DROP_VLAN_TRUNCATED;
	const struct vlan_hdr *v = at(k, sizeof(struct eth_hdr));
	k->tag = (struct vlan_tag){.tpid = tpid, .tci = be16toh(v->tci)};
	/* The tag is TPID and TCI; the type behind it becomes the frame's. */
	memmove(k->head + sizeof(*v), k->head, 2 * sizeof(struct mac));
	k->head += sizeof(*v);
	k->head_len -= (uint16_t)sizeof(*v);
	k->len -= (uint32_t)sizeof(*v);
	if (k->vnet.csum_start >= sizeof(*v))
		k->vnet.csum_start -= (uint16_t)sizeof(*v);
	if (k->vnet.hdr_len >= sizeof(*v))
		k->vnet.hdr_len -= (uint16_t)sizeof(*v);
	return DROP_NONE;
}

/* Destinations 01:80:c2:00:00:00 to 0f are for the nearest bridge (802.1Q 8.6.3). */
static inline enum drop_reason check_macs(const struct eth_hdr *e)
{
	static const uint8_t control[5] = {0x01, 0x80, 0xc2, 0x00, 0x00};
	if (unlikely(mac_is_group(e->src)))
		return DROP_ETH_SRC_GROUP;
	if (unlikely(mac_is_zero(e->src)))
		return DROP_ETH_SRC_ZERO;
	if (unlikely(e->dst.b[0] == control[0] && !memcmp(e->dst.b, control, sizeof(control)) &&
		     e->dst.b[5] < 0x10))
		return DROP_ETH_CONTROL;
	return DROP_NONE;
}

/* Type or length, behind at most one inner tag. */
static inline enum drop_reason parse_eth(struct pkt *k)
{
	const struct eth_hdr *e = pkt_eth(k);
	ethertype type = be16toh(e->type);
	uint32_t off = sizeof(*e);
	if (unlikely(type == ETHERTYPE_VLAN || type == ETHERTYPE_QINQ)) {
		const struct vlan_hdr *v = at(k, off);
		if (k->head_len < off + sizeof(*v))
			return DROP_VLAN_TRUNCATED;
		type = be16toh(v->type);
		off += sizeof(*v);
	}
	if (unlikely(type < ETHERTYPE_MIN && type > k->len - off))
		return DROP_ETH_LENGTH;
	k->type = type;
	k->l3_off = k->l4_off = (uint16_t)off;
	return DROP_NONE;
}

static enum drop_reason parse_arp(struct pkt *k)
{
	const uint32_t avail = k->head_len - k->l3_off;
	const struct arp_hdr *a = pkt_arp(k);
	if (avail < offsetof(struct arp_hdr, sha))
		return DROP_ARP_MALFORMED;
	if (avail < offsetof(struct arp_hdr, sha) + 2u * a->hlen + 2u * a->plen)
		return DROP_ARP_MALFORMED;
	if (be16toh(a->htype) != ARP_HTYPE_ETHER || be16toh(a->ptype) != ETHERTYPE_IP4)
		return DROP_NONE;
	if (a->hlen != sizeof(a->sha) || a->plen != sizeof(a->spa))
		return DROP_ARP_MALFORMED;
	k->flags |= PKT_ARP;
	return DROP_NONE;
}

static inline enum drop_reason parse_tcp(const struct pkt *k, uint32_t len)
{
	if (len < sizeof(struct tcp_hdr) || k->l4_off + sizeof(struct tcp_hdr) > k->head_len)
		return DROP_TCP_MALFORMED;
	const uint32_t off = (pkt_tcp(k)->off >> 4) * 4u;
	return off < sizeof(struct tcp_hdr) || off > len ? DROP_TCP_MALFORMED : DROP_NONE;
}

/* A length below the IP payload is legal (RFC 768, RFC 9868); in a first fragment it
 * speaks of the whole datagram. */
static inline enum drop_reason parse_udp(const struct pkt *k, uint32_t len)
{
	if (len < sizeof(struct udp_hdr) || k->l4_off + sizeof(struct udp_hdr) > k->head_len)
		return DROP_UDP_MALFORMED;
	const uint32_t ulen = be16toh(pkt_udp(k)->len);
	if (ulen < sizeof(struct udp_hdr) || (ulen > len && !(k->flags & PKT_FRAGMENT)))
		return DROP_UDP_MALFORMED;
	return DROP_NONE;
}

static inline enum drop_reason parse_icmp(const struct pkt *k, uint32_t len)
{
	if (len < sizeof(struct icmp_hdr) || k->l4_off + sizeof(struct icmp_hdr) > k->head_len)
		return DROP_ICMP_MALFORMED;
	return DROP_NONE;
}

/* `len`: bytes of the IP packet from l4_off on. */
static inline enum drop_reason parse_l4(struct pkt *k, uint8_t icmp, uint32_t len)
{
	enum drop_reason r;
	if (k->ip_proto == IPPROTO4_TCP)
		r = parse_tcp(k, len);
	else if (k->ip_proto == IPPROTO4_UDP)
		r = parse_udp(k, len);
	else if (k->ip_proto == icmp)
		r = parse_icmp(k, len);
	else
		return DROP_NONE;
	if (likely(r == DROP_NONE))
		k->flags |= PKT_L4;
	return r;
}

/* Sizes of a fragment with `data` bytes at byte offset `off` (RFC 791 3.2, RFC 8200 4.5):
 * all but the last carry a multiple of 8, none is empty, none ends past 65535. */
static bool fragment_ok(uint32_t off, uint32_t hdr, uint32_t data, bool more)
{
	return data != 0 && !(more && data % 8) && off + hdr + data <= 65535;
}

/* RFC 791 3.1: the header's words add up to 0xffff.  Most headers have no options. */
static inline bool ip4_sum_ok(const struct ip4_hdr *h, uint32_t hlen)
{
	uint64_t a, b;
	uint32_t c;

	if (unlikely(hlen != sizeof(*h)))
		return csum_fold(csum_add(0, h, hlen)) == 0xffff;
	memcpy(&a, h, sizeof(a));
	memcpy(&b, (const uint8_t *)h + 8, sizeof(b));
	memcpy(&c, (const uint8_t *)h + 16, sizeof(c));
	return csum_fold((a & 0xffffffff) + (a >> 32) + (b & 0xffffffff) + (b >> 32) + c) == 0xffff;
}

static inline enum drop_reason parse_ip4(struct pkt *k)
{
	const uint32_t avail = k->len - k->l3_off;
	const struct ip4_hdr *h = pkt_ip4(k);
	if (unlikely(k->head_len < k->l3_off + sizeof(*h)))
		return DROP_IP4_TRUNCATED;
	const uint32_t hlen = (h->ver_ihl & 15) * 4u, total = be16toh(h->len);
	if (unlikely(h->ver_ihl >> 4 != 4 || hlen < sizeof(*h)))
		return DROP_IP4_HEADER;
	if (unlikely(k->head_len < k->l3_off + hlen || total > avail))
		return DROP_IP4_TRUNCATED;
	if (unlikely(total < hlen))
		return DROP_IP4_HEADER;
	if (unlikely(!ip4_sum_ok(h, hlen)))
		return DROP_IP4_CHECKSUM;
	k->flags |= PKT_IP4;
	k->ip_proto = h->proto;
	k->l4_off = (uint16_t)(k->l3_off + hlen);
	const uint16_t frag = be16toh(h->frag);
	if (unlikely(frag & (IP4_MF | IP4_OFFSET))) {
		k->flags |= PKT_FRAGMENT;
		if (!fragment_ok((frag & IP4_OFFSET) * 8u, hlen, total - hlen, frag & IP4_MF))
			return DROP_IP4_FRAGMENT;
		if (frag & IP4_OFFSET)
			return DROP_NONE;
	}
	return parse_l4(k, IPPROTO4_ICMP, total - hlen);
}

static bool is_ext(uint8_t next)
{
	switch (next) {
	case EXT_HOP_BY_HOP:
	case EXT_ROUTING:
	case EXT_FRAGMENT:
	case EXT_AUTH:
	case EXT_DESTINATION:
	case EXT_MOBILITY:
	case EXT_HIP:
	case EXT_SHIM6: return true;
	default: return false;
	}
}

static uint32_t ext_len(const struct ip6_ext *x, uint8_t kind)
{
	if (kind == EXT_FRAGMENT)
		return sizeof(struct ip6_frag);
	return kind == EXT_AUTH ? (x->len + 2u) * 4 : (x->len + 1u) * 8;
}

/* A fragment header at l4_off, `len` bytes of the packet behind it.  One with neither
 * offset nor more is an atomic fragment, a whole packet (RFC 6946). */
static enum drop_reason parse_ip6_fragment(struct pkt *k, uint32_t len, bool *ret_later)
{
	const struct ip6_frag *f = at(k, k->l4_off);
	const uint32_t off = be16toh(f->off) & IP6_OFFSET;
	const bool more = be16toh(f->off) & IP6_MF;
	*ret_later = off != 0;
	if (!off && !more)
		return DROP_NONE;
	k->flags |= PKT_FRAGMENT;
	return fragment_ok(off, 0, len, more) ? DROP_NONE : DROP_IP6_FRAGMENT;
}

/* Walks the extension headers from l4_off to `end`, both offsets in the frame.  A chain
 * that leaves the private head cannot be policed and goes (RFC 7112 lets us). */
static enum drop_reason parse_ip6_ext(struct pkt *k, uint32_t end, bool *ret_later)
{
	for (unsigned n = 0; is_ext(k->ip_proto); n++) {
		const uint8_t kind = k->ip_proto;
		const struct ip6_ext *x = at(k, k->l4_off);
		if (n == IP6_EXT_MAX || (kind == EXT_HOP_BY_HOP && n))
			return DROP_IP6_HEADER; /* RFC 8200 4.1: hop-by-hop only as the first */
		if (k->l4_off + sizeof(struct ip6_frag) > end)
			return DROP_IP6_TRUNCATED;
		if (k->l4_off + sizeof(struct ip6_frag) > k->head_len)
			return DROP_IP6_HEADER;
		const uint32_t next = k->l4_off + ext_len(x, kind);
		if (next > end)
			return DROP_IP6_TRUNCATED;
		if (next > k->head_len)
			return DROP_IP6_HEADER;
		if (kind == EXT_FRAGMENT) {
			enum drop_reason r = parse_ip6_fragment(k, end - next, ret_later);
			if (r != DROP_NONE)
				return r;
		}
		k->ip_proto = x->next;
		k->l4_off = (uint16_t)next;
		if (*ret_later)
			return DROP_NONE;
	}
	return DROP_NONE;
}

struct ip6_frag *pkt_ip6_frag(const struct pkt *k)
{
	uint8_t kind = pkt_ip6(k)->next;
	uint32_t off = k->l3_off + (uint32_t)sizeof(struct ip6_hdr);

	/* the parser went this way and found each header whole, up to l4_off */
	while (is_ext(kind) && off < k->l4_off) {
		const struct ip6_ext *x = at(k, off);
		if (kind == EXT_FRAGMENT)
			return (struct ip6_frag *)(k->head + off);
		off += ext_len(x, kind);
		kind = x->next;
	}
	return NULL;
}

static enum drop_reason parse_ip6(struct pkt *k)
{
	const uint32_t avail = k->len - k->l3_off;
	const struct ip6_hdr *h = pkt_ip6(k);
	if (k->head_len < k->l3_off + sizeof(*h))
		return DROP_IP6_TRUNCATED;
	if (be32toh(h->ver_tc_flow) >> 28 != 6)
		return DROP_IP6_HEADER;
	const uint32_t total = (uint32_t)sizeof(*h) + be16toh(h->len);
	if (total > avail)
		return DROP_IP6_TRUNCATED;
	bool later = false;
	k->ip_proto = h->next;
	k->l4_off = (uint16_t)(k->l3_off + sizeof(*h));
	if (unlikely(is_ext(h->next))) {
		enum drop_reason r = parse_ip6_ext(k, k->l3_off + total, &later);
		if (r != DROP_NONE)
			return r;
	}
	k->flags |= PKT_IP6;
	if (later)
		return DROP_NONE;
	return parse_l4(k, IPPROTO6_ICMP, k->l3_off + total - k->l4_off);
}

/* The L4 header's size and where its checksum stands. */
static uint32_t l4_header(const struct pkt *k, uint32_t *ret_csum_off)
{
	switch (k->ip_proto) {
	case IPPROTO4_TCP:
		*ret_csum_off = offsetof(struct tcp_hdr, csum);
		return (pkt_tcp(k)->off >> 4) * 4u;
	case IPPROTO4_UDP:
		*ret_csum_off = offsetof(struct udp_hdr, csum);
		return sizeof(struct udp_hdr);
	default: *ret_csum_off = offsetof(struct icmp_hdr, csum); return sizeof(struct icmp_hdr);
	}
}

/* A pending checksum is the L4 header's own, or one deeper in the payload: guests that
 * tunnel (VXLAN, GRE, IP in IP) leave the inner one to us.  It never lies before the
 * payload of what was parsed, where finishing it would rewrite what was policed. */
static bool csum_ok(const struct pkt *k)
{
	const uint32_t start = k->vnet.csum_start, off = k->vnet.csum_offset;
	if (start + off + sizeof(be16) > k->head_len)
		return false;
	if (k->flags & (PKT_ARP | PKT_FRAGMENT))
		return false;
	if (!(k->flags & PKT_L4))
		return start >= k->l4_off;
	uint32_t field;
	const uint32_t hlen = l4_header(k, &field);
	return start == k->l4_off ? off == field : start >= k->l4_off + hlen;
}

static bool gso_ok(const struct pkt *k)
{
	const uint8_t type = k->vnet.gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
	const uint32_t size = k->vnet.gso_size;
	if (!(k->flags & PKT_L4) || k->flags & PKT_FRAGMENT)
		return false;
	if (k->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM && k->vnet.csum_start != k->l4_off)
		return false;
	switch (type) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
		return k->ip_proto == IPPROTO4_TCP && k->flags & PKT_IP4 && size >= GSO_MIN_SIZE;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		return k->ip_proto == IPPROTO4_TCP && k->flags & PKT_IP6 && size >= GSO_MIN_SIZE;
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		return k->ip_proto == IPPROTO4_UDP && size &&
		       !(k->vnet.gso_type & VIRTIO_NET_HDR_GSO_ECN) &&
		       pkt_segments(k) <= UDP_GSO_SEGS_MAX;
	default: return false;
	}
}

/* virtio 1.2 5.1.6.2; hdr_len is a hint and not looked at. */
static enum drop_reason check_offload(const struct pkt *k)
{
	const uint8_t known = VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID;
	if (k->vnet.flags & (uint8_t)~known)
		return DROP_RX_BAD_OFFLOAD;
	if (k->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM && !csum_ok(k))
		return DROP_RX_BAD_OFFLOAD;
	if (k->vnet.gso_type != VIRTIO_NET_HDR_GSO_NONE && !gso_ok(k))
		return DROP_RX_BAD_OFFLOAD;
	return DROP_NONE;
}

enum drop_reason pkt_parse_payload(struct pkt *k)
{
	if (likely(pkt_parse_plain(k)))
		return DROP_NONE;
	k->flags = (k->flags & (PKT_SHARED | PKT_BORROWED)) | PKT_PARSED;
	k->ip_proto = 0;
	enum drop_reason r = parse_eth(k);
	if (unlikely(r != DROP_NONE))
		return r;
	if (likely(k->type == ETHERTYPE_IP4))
		r = parse_ip4(k);
	else if (k->type == ETHERTYPE_IP6)
		r = parse_ip6(k);
	else if (k->type == ETHERTYPE_ARP)
		r = parse_arp(k);
	if (unlikely(r == DROP_NONE && (k->vnet.flags | k->vnet.gso_type)))
		r = check_offload(k);
	return r;
}

enum drop_reason pkt_parse(struct pkt *k)
{
	k->flags = (k->flags & (PKT_SHARED | PKT_BORROWED)) | PKT_PARSED;
	if (unlikely(k->head_len < sizeof(struct eth_hdr)))
		return DROP_RX_RUNT;
	enum drop_reason r = check_macs(pkt_eth(k));
	return unlikely(r != DROP_NONE) ? r : pkt_parse_payload(k);
}

uint32_t pkt_l4_len(const struct pkt *k)
{
	uint32_t end = k->l4_off;
	if (k->flags & PKT_IP4)
		end = k->l3_off + be16toh(pkt_ip4(k)->len);
	else if (k->flags & PKT_IP6)
		end = k->l3_off + (uint32_t)sizeof(struct ip6_hdr) + be16toh(pkt_ip6(k)->len);
	return end > k->l4_off ? end - k->l4_off : 0;
}
