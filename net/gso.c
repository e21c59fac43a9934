/* The segmenter and checksum finisher of gso.h.
 *
 * What parse.c checked on the way in is checked again where memory depends on it: a
 * NAT may have rewritten the headers since. */
#include "net/gso.h"

#include <string.h>

#include "net/csum.h"
#include "net/parse.h"

/* A frame to cut: where its headers end and how its payload divides. */
struct cut {
	uint32_t hdr_len; /* Ethernet to the end of the L4 header */
	uint32_t payload;
	uint32_t size; /* payload of each segment but the last */
	unsigned n;
	bool udp;
};

static csum_t pseudo(const struct pkt *k, uint32_t l4_len)
{
	if (k->flags & PKT_IP4)
		return csum_pseudo4(pkt_ip4(k)->src, pkt_ip4(k)->dst, k->ip_proto,
				    (uint16_t)l4_len);
	return csum_pseudo6(pkt_ip6(k)->src, pkt_ip6(k)->dst, k->ip_proto, l4_len);
}

/* A UDP checksum that comes out as zero is sent as ones: zero says "none" (RFC 768). */
static be16 udp_csum(be16 c)
{
	return c ? c : 0xffff;
}

/* The whole L4 checksum from scratch, for TCP or UDP in a private packet. */
static void fill_csum(struct pkt *k, uint32_t l4_len)
{
	if (k->ip_proto == IPPROTO4_UDP) {
		struct udp_hdr *u = pkt_udp(k);
		u->csum = 0;
		u->csum = udp_csum(csum_finish(pseudo(k, l4_len) + csum_pkt(k, k->l4_off, l4_len)));
	} else {
		struct tcp_hdr *t = pkt_tcp(k);
		t->csum = 0;
		t->csum = csum_finish(pseudo(k, l4_len) + csum_pkt(k, k->l4_off, l4_len));
	}
}

static void clear_vnet(struct pkt *k)
{
	memset(&k->vnet, 0, sizeof(k->vnet));
}

/* Bytes that a checksum beginning at `start` covers: those the L4 header speaks of, so
 * that neither padding nor bytes behind a UDP datagram get in; all for an inner one. */
static size_t csum_span(const struct pkt *k, uint32_t start)
{
	size_t n = k->len - start;
	if (!(k->flags & PKT_L4) || start != k->l4_off)
		return n;
	const uint32_t l4_len = pkt_l4_len(k);
	n = l4_len < n ? l4_len : n;
	if (k->ip_proto != IPPROTO4_UDP)
		return n;
	const uint32_t ulen = be16toh(pkt_udp(k)->len);
	return ulen < n ? ulen : n;
}

void gso_finish_csum(struct pkt *k)
{
	const uint32_t start = k->vnet.csum_start, off = k->vnet.csum_offset;
	const bool pending = k->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM;
	clear_vnet(k);
	if (!pending || start + off + sizeof(be16) > k->head_len)
		return;
	/* The field holds the pseudo-header's sum, which is thereby part of this one. */
	be16 c = csum_finish(csum_pkt(k, start, csum_span(k, start)));
	if (off == offsetof(struct udp_hdr, csum))
		c = udp_csum(c);
	memcpy(k->head + start + off, &c, sizeof(c));
}

/* Whether k is what its gso_type says; fills *ret_cut then. */
static bool plan(const struct pkt *k, struct cut *ret_cut)
{
	const uint8_t type = k->vnet.gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
	const bool udp = type == VIRTIO_NET_HDR_GSO_UDP_L4;
	const uint8_t proto = udp ? IPPROTO4_UDP : IPPROTO4_TCP;
	uint16_t family = PKT_IP4 | PKT_IP6;
	if (!udp)
		family = type == VIRTIO_NET_HDR_GSO_TCPV4 ? PKT_IP4 : PKT_IP6;
	if (!udp && type != VIRTIO_NET_HDR_GSO_TCPV4 && type != VIRTIO_NET_HDR_GSO_TCPV6)
		return false;
	if (!(k->flags & PKT_L4) || k->flags & PKT_FRAGMENT || !(k->flags & family) ||
	    k->ip_proto != proto || !k->vnet.gso_size)
		return false;
	const uint32_t hlen = udp ? (uint32_t)sizeof(struct udp_hdr) : (pkt_tcp(k)->off >> 4) * 4u;
	const uint32_t l4_len = pkt_l4_len(k);
	if (l4_len < hlen || k->l4_off + l4_len > k->len || k->l4_off + hlen > PKT_HEAD_MAX)
		return false;
	struct cut c = {
		.hdr_len = k->l4_off + hlen,
		.payload = l4_len - hlen,
		.size = k->vnet.gso_size,
		.udp = udp,
	};
	c.n = c.payload ? (c.payload + c.size - 1) / c.size : 1;
	*ret_cut = c;
	return true;
}

static void copy_meta(struct pkt *to, const struct pkt *from)
{
	to->tag = from->tag;
	to->flags = from->flags & (uint16_t) ~(PKT_SHARED | PKT_BORROWED);
	to->in_port = from->in_port;
	to->domain = from->domain;
	to->ip_proto = from->ip_proto;
	to->type = from->type;
	to->l3_off = from->l3_off;
	to->l4_off = from->l4_off;
}

/* Lengths and, for IPv4, identification and checksum of segment i. */
static void fix_ip(struct pkt *s, unsigned i, uint32_t l4_len)
{
	const uint32_t l4_at = s->l4_off - s->l3_off; /* from the IP header on */
	if (s->flags & PKT_IP6) {
		pkt_ip6(s)->len = htobe16((uint16_t)(l4_at - sizeof(struct ip6_hdr) + l4_len));
		return;
	}
	struct ip4_hdr *h = pkt_ip4(s);
	h->len = htobe16((uint16_t)(l4_at + l4_len));
	h->id = htobe16((uint16_t)(be16toh(h->id) + i)); /* RFC 6864: unique for each */
	h->csum = csum_ip4_header(h, l4_at);
}

static void fix_l4(struct pkt *s, const struct cut *c, unsigned i, uint32_t l4_len)
{
	if (c->udp) {
		pkt_udp(s)->len = htobe16((uint16_t)l4_len);
		return;
	}
	struct tcp_hdr *t = pkt_tcp(s);
	t->seq = htobe32(be32toh(t->seq) + i * c->size);
	if (i + 1 < c->n)
		t->flags &= ~(TCP_FIN | TCP_PSH);
	if (i)
		t->flags &= ~TCP_CWR; /* RFC 3168 6.1.2: once a window */
}

/* Gathers `len` bytes of k from `off` into s behind the first `at` bytes of s. */
static bool gather(const struct pkt *k, size_t off, struct pkt *s, size_t at, size_t len)
{
	size_t in_head = s->head_len - at < len ? s->head_len - at : len;
	return pkt_read(k, off, s->head + at, in_head) &&
	       (in_head == len || pkt_read(k, off + in_head, s->big, len - in_head));
}

static struct pkt *segment(struct pkt_pool *pool, const struct pkt *k, const struct cut *c,
			   unsigned i)
{
	const uint32_t off = i * c->size;
	const uint32_t n = c->payload - off < c->size ? c->payload - off : c->size;
	const uint32_t len = c->hdr_len + n, l4_len = len - k->l4_off;
	struct pkt *s = pkt_new(pool);
	if (!s)
		return NULL;
	if (len > PKT_HEAD_MAX && !pkt_add_big(pool, s))
		goto fail;
	pkt_set_len(pool, s, len);
	if (!gather(k, 0, s, 0, c->hdr_len) || !gather(k, c->hdr_len + off, s, c->hdr_len, n))
		goto fail;
	copy_meta(s, k);
	fix_ip(s, i, l4_len);
	fix_l4(s, c, i, l4_len);
	fill_csum(s, l4_len);
	return s;
fail:
	pkt_free(pool, s);
	return NULL;
}

static unsigned cut(struct pkt_pool *pool, const struct pkt *k, const struct cut *c,
		    struct pkt **out, enum drop_reason *ret_drop)
{
	for (unsigned i = 0; i < c->n; i++) {
		out[i] = segment(pool, k, c, i);
		if (out[i])
			continue;
		while (i)
			pkt_free(pool, out[--i]);
		*ret_drop = DROP_TX_NO_BUFFER;
		return 0;
	}
	return c->n;
}

/* The frame whole: checksums done unless the port does them. */
static unsigned whole(struct pkt_pool *pool, const struct pkt *k, unsigned missing,
		      struct pkt **out, enum drop_reason *ret_drop)
{
	struct pkt *c = pkt_copy(pool, k);
	if (!c) {
		*ret_drop = DROP_TX_NO_BUFFER;
		return 0;
	}
	if (missing & (OFFLOAD_TSO4 | OFFLOAD_TSO6)) {
		/* Not from the field: senders differ in the length they sum for a TSO frame. */
		fill_csum(c, pkt_l4_len(c));
		clear_vnet(c);
	} else if (missing & OFFLOAD_CSUM) {
		gso_finish_csum(c);
	}
	out[0] = c;
	return 1;
}

unsigned gso_finish(struct pkt_pool *pool, const struct pkt *k, unsigned caps, struct pkt **out,
		    unsigned max, enum drop_reason *ret_drop)
{
	const unsigned missing = pkt_needs(k) & ~caps;
	const bool gso = k->vnet.gso_type != VIRTIO_NET_HDR_GSO_NONE;
	struct cut c;
	if (!max || (gso && !plan(k, &c))) {
		*ret_drop = DROP_TX_SPLIT;
		return 0;
	}
	if (!gso || !missing)
		return whole(pool, k, missing, out, ret_drop);
	if (caps & OFFLOAD_JUMBO && !c.udp)
		return whole(pool, k, missing | OFFLOAD_TSO4, out, ret_drop);
	if (c.n > max) {
		*ret_drop = DROP_TX_SPLIT;
		return 0;
	}
	return cut(pool, k, &c, out, ret_drop);
}
