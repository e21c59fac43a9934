/* Fragments (RFC 791 3.2).
 *
 * Only a first fragment has ports.  Where it went is remembered in a small table, and
 * the later ones of the same datagram follow; one that comes before its first is
 * dropped (NAT_FRAGMENT).  The table has FRAGS_MAX places, two for each hash, and an entry
 * gives way after FRAG_TTL or to a newer one.
 *
 * Outgoing packets beyond the next MTU are cut here when they allow it. */
#include "nat/internal.h"
#include "net/gso.h"
#include "net/wire.h"

#define FRAG_TTL (30 * NSEC_PER_SEC) /* RFC 4963: longer would meet reused ids */
#define IP_HEADER 20u

bool frag_is_later(const struct pkt *k)
{
	return (k->flags & PKT_FRAGMENT) && (be16toh(pkt_ip4(k)->frag) & IP4_OFFSET);
}

static struct frag *place_of(struct nat *n, const struct pkt *k)
{
	const struct ip4_hdr *ip = pkt_ip4(k);
	uint64_t a = (uint64_t)ip->src << 32 | ip->dst;
	uint64_t b = (uint64_t)ip->id << 32 | (uint64_t)k->domain << 8 | ip->proto;

	return &n->frags[hash_mix(hash_mix(a ^ n->random[0]) + b) % (FRAGS_MAX / 2) * 2];
}

static bool same_datagram(const struct frag *f, const struct pkt *k)
{
	const struct ip4_hdr *ip = pkt_ip4(k);

	return f->out && f->src == ip->src && f->dst == ip->dst && f->id == ip->id &&
	       f->proto == ip->proto && f->domain == k->domain;
}

void frag_remember(struct nat *n, const struct pkt *k, nsec_t now, const struct frag *f)
{
	struct frag *at = place_of(n, k);
	const struct ip4_hdr *ip = pkt_ip4(k);

	if (at[0].out && !same_datagram(&at[0], k) && at[1].until <= at[0].until)
		at++;
	*at = *f;
	at->src = ip->src;
	at->dst = ip->dst;
	at->id = ip->id;
	at->proto = ip->proto;
	at->domain = k->domain;
	at->until = now + FRAG_TTL;
}

enum drop_reason frag_follow(struct nat *n, struct transit *t)
{
	struct frag *f = place_of(n, t->k);
	struct neigh *hop;

	if (!same_datagram(f, t->k))
		f++;
	if (!same_datagram(f, t->k) || f->until < t->now)
		return DROP_NAT_FRAGMENT;
	hop = neigh_get(&n->neigh, f->out, f->hop);
	if (!hop)
		return DROP_GW_UNREACHABLE;
	if (pkt_ip4(t->k)->ttl <= 1)
		return DROP_GW_TTL;
	if (!transit_own(t))
		return DROP_TX_NO_BUFFER;
	napt_rewrite_ip(pkt_ip4(t->k), f->new_src, f->new_dst, f->d_addr);
	if (be16toh(pkt_ip4(t->k)->len) > f->out->mtu)
		return hop->state == NEIGH_REACHABLE_ || hop->state == NEIGH_PROBE
			       ? frag_cut(t, f->out, hop->mac)
			       : DROP_GW_ARP_QUEUE;
	enum drop_reason why = neigh_output(&n->neigh, hop, t->w, t->now, t->k, t->origin);
	if (why == DROP_NONE)
		t->k = NULL;
	return why;
}

void frag_forget(struct nat *n, const struct neigh_if *nif)
{
	for (unsigned i = 0; i < FRAGS_MAX; i++) {
		if (n->frags[i].out == nif)
			n->frags[i] = (struct frag){0};
	}
}

/* One piece: the header anew (without options; RFC 791 lets a gateway drop those that are not
 * copied), `len` bytes of payload from `at`. */
static struct pkt *piece(struct transit *t, uint32_t at, uint32_t len, bool last)
{
	uint8_t room[PKT_HEAD_MAX], payload[PKT_HEAD_MAX];
	const struct pkt *k = t->k;
	const struct ip4_hdr *ip = pkt_ip4(k);
	struct wire o = wire_writer(room, sizeof(room));
	uint16_t frag = be16toh(ip->frag);
	bool more = (frag & IP4_MF) || !last;

	if (!pkt_read(k, k->l4_off + at, payload, len))
		return NULL;
	wire_put_zero(&o, 12);
	wire_put_u16(&o, ETHERTYPE_IP4);
	wire_put_u8(&o, 0x45);
	wire_put_u8(&o, ip->tos);
	wire_put_u16(&o, (uint16_t)(IP_HEADER + len));
	wire_put_u16(&o, be16toh(ip->id));
	wire_put_u16(&o, (uint16_t)(((frag & IP4_OFFSET) + at / 8) | (more ? IP4_MF : 0)));
	wire_put_u8(&o, ip->ttl);
	wire_put_u8(&o, ip->proto);
	wire_put_u16(&o, 0);
	wire_put_ip4(&o, ip->src);
	wire_put_ip4(&o, ip->dst);
	wire_patch_u16(&o, ETH_HLEN_ + 10, be16toh(csum_ip4_header(room + ETH_HLEN_, IP_HEADER)));
	wire_put(&o, payload, len);
	return wire_ok(&o) ? pkt_from(worker_pool(t->w), room, wire_pos(&o)) : NULL;
}

enum drop_reason frag_cut(struct transit *t, struct neigh_if *out, struct mac dst)
{
	uint32_t total = pkt_l4_len(t->k);
	uint32_t most = out->mtu < PKT_HEAD_MAX - ETH_HLEN_ ? out->mtu : PKT_HEAD_MAX - ETH_HLEN_;
	uint32_t step = (most - IP_HEADER) & ~7u;

	if ((be16toh(pkt_ip4(t->k)->frag) & IP4_DF) || t->k->vnet.gso_type != VIRTIO_NET_HDR_GSO_NONE)
		return DROP_GW_TOO_BIG;
	if (t->k->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		gso_finish_csum(t->k);
	for (uint32_t at = 0; at < total; at += step) {
		uint32_t len = total - at < step ? total - at : step;
		struct pkt *p = piece(t, at, len, at + len == total);
		if (!p)
			return DROP_TX_NO_BUFFER;
		neigh_emit(out, t->w, p, dst);
	}
	pkt_free(worker_pool(t->w), t->k);
	t->k = NULL;
	return DROP_NONE;
}
