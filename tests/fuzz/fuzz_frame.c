/* Frames as a guest can send them: ten bytes of virtio header and a byte that says how
 * the frame is split and which capabilities the output has, then the frame.
 *
 * What must hold: nothing is read or written outside; offsets lie inside the head; a
 * frame that passes the parser can be finished for any port; what comes out passes the
 * parser again, needs nothing the port lacks, and is the same kind of packet. */
#include <stdlib.h>
#include <string.h>

#include "net/csum.h"
#include "net/gso.h"
#include "net/parse.h"

#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct arena *arena;
static struct pkt_pool *pool;
static struct pkt *out[GSO_MAX_SEGS];

static const unsigned caps[] = {
	0,
	OFFLOAD_CSUM,
	OFFLOAD_JUMBO,
	OFFLOAD_CSUM | OFFLOAD_TSO4 | OFFLOAD_TSO6,
	OFFLOAD_CSUM | OFFLOAD_TSO4 | OFFLOAD_TSO6 | OFFLOAD_ECN | OFFLOAD_USO,
};

static void check_parsed(const struct pkt *k)
{
	MUST(k->flags & PKT_PARSED);
	MUST(k->l3_off >= sizeof(struct eth_hdr) && k->l3_off <= k->l4_off);
	MUST(k->l4_off <= k->head_len && k->head_len <= k->len);
	MUST(!(k->flags & PKT_IP4) || !(k->flags & (PKT_IP6 | PKT_ARP)));
	if (k->flags & PKT_ARP)
		MUST(k->l3_off + sizeof(struct arp_hdr) <= k->head_len);
	MUST(k->l4_off + pkt_l4_len(k) <= k->len);
	if (k->flags & PKT_IP6) {
		const uint8_t *f = (const uint8_t *)pkt_ip6_frag(k);
		MUST(f || !(k->flags & PKT_FRAGMENT));
		MUST(!f || (f >= k->head + k->l3_off + sizeof(struct ip6_hdr) &&
			    f + sizeof(struct ip6_frag) <= k->head + k->l4_off));
	}
	if (!(k->flags & PKT_L4))
		return;
	MUST(k->flags & (PKT_IP4 | PKT_IP6));
	MUST(pkt_l4_len(k) >= sizeof(struct udp_hdr));
	MUST(k->l4_off + sizeof(struct udp_hdr) <= k->head_len);
	MUST(k->ip_proto != IPPROTO4_TCP || k->l4_off + sizeof(struct tcp_hdr) <= k->head_len);
}

/* Whether a receiver finds the TCP or UDP checksum right. */
static bool l4_csum_ok(const struct pkt *k)
{
	const uint32_t n = k->ip_proto == IPPROTO4_UDP ? be16toh(pkt_udp(k)->len) : pkt_l4_len(k);
	csum_t s = csum_pkt(k, k->l4_off, n);
	if (k->flags & PKT_IP4)
		s += csum_pseudo4(pkt_ip4(k)->src, pkt_ip4(k)->dst, k->ip_proto, (uint16_t)n);
	else
		s += csum_pseudo6(pkt_ip6(k)->src, pkt_ip6(k)->dst, k->ip_proto, n);
	return csum_fold(s) == 0xffff;
}

static void check_output(struct pkt *o, const struct pkt *in, unsigned cap)
{
	const uint16_t flags = o->flags, l3 = o->l3_off, l4 = o->l4_off;
	MUST(!(pkt_needs(o) & ~cap));
	MUST(pkt_parse(o) == DROP_NONE);
	check_parsed(o);
	MUST(o->flags == flags && o->l3_off == l3 && o->l4_off == l4);
	MUST(o->type == in->type && o->ip_proto == in->ip_proto);
	if (in->vnet.gso_type && !o->vnet.gso_type)
		MUST(l4_csum_ok(o));
}

static void finish(const struct pkt *k, unsigned cap)
{
	enum drop_reason why = DROP_NONE;
	unsigned n = gso_finish(pool, k, cap, out, GSO_MAX_SEGS, &why);
	MUST(n || why == DROP_TX_SPLIT);
	MUST(n || !k->vnet.gso_type || pkt_segments(k) > GSO_MAX_SEGS);
	uint64_t payload = 0;
	for (unsigned i = 0; i < n; i++) {
		check_output(out[i], k, cap);
		payload += out[i]->len;
		pkt_free(pool, out[i]);
	}
	MUST(n != 1 || payload <= k->len);
}

static void send(const struct pkt *k)
{
	const struct vlan_tag tags[] = {{0, 0}, {0x8100, 5}};
	for (unsigned t = 0; t < ARRAY_SIZE(tags); t++) {
		struct iovec v[8];
		uint8_t tagbuf[4];
		size_t sum = 0;
		unsigned n = pkt_iov(k, tags[t], tagbuf, v, ARRAY_SIZE(v));
		MUST(n >= 1 && n <= 3u + k->n_tail);
		for (unsigned i = 0; i < n; i++)
			sum += v[i].iov_len;
		MUST(sum == k->len + (tags[t].tpid ? 4u : 0u));
	}
}

/* The frame with a head of exactly its size and up to two pieces of tail. */
static void run(struct virtio_net_hdr vnet, uint8_t how, const uint8_t *bytes, size_t len)
{
	size_t hl = how & 1 && len > PKT_PARSE ? PKT_PARSE + (how >> 4) : len;
	hl = hl > len ? len : hl > PKT_HEAD_MAX ? PKT_HEAD_MAX : hl;
	size_t cut = (len - hl) * (how >> 1 & 7) / 7;
	uint8_t *head = malloc(hl ? hl : 1);
	memcpy(head, bytes, hl);
	uint8_t *a = malloc(cut + 1), *b = malloc(len - hl - cut + 1);
	memcpy(a, bytes + hl, cut);
	memcpy(b, bytes + hl + cut, len - hl - cut);
	struct iovec tail[2] = {{a, cut}, {b, len - hl - cut}};
	struct pkt k = {.head = head, .head_len = (uint16_t)hl, .len = (uint32_t)len, .vnet = vnet};
	if (hl < len) {
		k.tail = tail;
		k.n_tail = 2;
	}
	if (pkt_untag(&k) == DROP_NONE && pkt_parse(&k) == DROP_NONE) {
		check_parsed(&k);
		send(&k);
		MUST(pkt_segments(&k) >= 1);
		for (unsigned i = 0; i < ARRAY_SIZE(caps); i++)
			finish(&k, caps[i]);
		if (!k.vnet.gso_type) {
			gso_finish_csum(&k);
			MUST(pkt_needs(&k) == 0);
			MUST(pkt_parse(&k) == DROP_NONE);
		}
	}
	free(head);
	free(a);
	free(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct virtio_net_hdr vnet;
	if (!arena) {
		arena = arena_new(2 * GSO_MAX_SEGS, GSO_MAX_SEGS);
		pool = pkt_pool_new(arena);
	}
	if (len < sizeof(vnet) + 1 || len > 66000)
		return 0;
	memcpy(&vnet, data, sizeof(vnet));
	run(vnet, data[sizeof(vnet)], data + sizeof(vnet) + 1, len - sizeof(vnet) - 1);
	return 0;
}
