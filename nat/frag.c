/* Fragments (RFC 791 3.2, RFC 4787 REQ-14: in both directions and in any order).
 *
 * Only a first fragment has ports.  Where it went is remembered with its datagram, and the
 * others follow.  One that comes before its first is held, as long as a receiver would hold
 * it (FRAG_TTL), and leaves right after the first.  Nothing is put together here: what
 * goes on are the fragments themselves.
 *
 * To a gateway itself only an echo request may come in fragments.  They are all held until the
 * datagram is whole (frag_gather), and answered one by one: they fit the way they came.
 *
 * Overlap.  The ranges that have come are kept, and a fragment that overlaps one of them ends its
 * datagram: it and all that follow are dropped (NAT_FRAG_OVERLAP), so that no filter
 * behind us sees another packet than the receiver (RFC 1858, RFC 5722 4).
 *
 * Limits.  FRAGS_MAX datagrams, FRAG_WAYS for each hash; a new one takes the place of the one that
 * was to end first.  FRAG_HELD_MAX fragments are held in all and FRAG_HELD_SRC of one
 * source (sources are counted by a hash); more are dropped (NAT_FRAG_LIMIT).  What is held and
 * never leaves is dropped as NAT_FRAGMENT.
 *
 * Outgoing packets beyond the next MTU are cut here when they allow it. */
#include "nat/internal.h"
#include "net/gso.h"
#include "net/wire.h"

#define FRAG_TTL (30 * NSEC_PER_SEC) /* RFC 4963: longer would meet reused ids */
#define IP_HEADER 20u
#define ALL_OF_IT 65536u

bool frag_is_later(const struct pkt *k)
{
	return (k->flags & PKT_FRAGMENT) && (be16toh(pkt_ip4(k)->frag) & IP4_OFFSET);
}

/* ---- what has come of a datagram ---- */

struct range {
	uint32_t from, to;
};

static struct range range_of(const struct pkt *k)
{
	const struct ip4_hdr *ip = pkt_ip4(k);
	uint32_t from = (be16toh(ip->frag) & IP4_OFFSET) * 8u;

	return (struct range){from, from + be16toh(ip->len) - (ip->ver_ihl & 15) * 4u};
}

static void range_del(struct frag *f, unsigned i)
{
	f->from[i] = f->from[--f->n_ranges];
	f->to[i] = f->to[f->n_ranges];
}

/* Enters a range, joined with those it touches. */
static enum drop_reason range_add(struct frag *f, const struct pkt *k)
{
	struct range r = range_of(k);
	bool last = !(be16toh(pkt_ip4(k)->frag) & IP4_MF);

	if (f->bad || r.to > f->total || (last && (f->total != ALL_OF_IT || f->end > r.to)))
		return DROP_NAT_FRAG_OVERLAP;
	for (unsigned i = 0; i < f->n_ranges; i++) {
		if (r.from < f->to[i] && f->from[i] < r.to)
			return DROP_NAT_FRAG_OVERLAP;
	}
	for (unsigned i = f->n_ranges; i-- > 0;) {
		if (f->to[i] != r.from && f->from[i] != r.to)
			continue;
		r.from = r.from < f->from[i] ? r.from : f->from[i];
		r.to = r.to > f->to[i] ? r.to : f->to[i];
		range_del(f, i);
	}
	if (f->n_ranges == FRAG_RANGES)
		return DROP_NAT_FRAG_LIMIT;
	f->from[f->n_ranges] = r.from;
	f->to[f->n_ranges++] = r.to;
	f->end = f->end > r.to ? f->end : r.to;
	if (last)
		f->total = r.to;
	f->whole = f->n_ranges == 1 && !r.from && r.to == f->total;
	return DROP_NONE;
}

/* ---- what is held ---- */

static uint8_t *held_of(struct nat *n, const struct frag *f)
{
	uint64_t a = (uint64_t)f->src << 32 | f->domain;

	return &n->frags_held_of[hash_mix(a ^ n->random[1]) % ARRAY_SIZE(n->frags_held_of)];
}

static struct pkt *take_held(struct nat *n, struct frag *f)
{
	struct pkt *list = f->held;

	for (const struct pkt *k = list; k; k = k->next) {
		n->frags_held--;
		--*held_of(n, f);
	}
	f->held = NULL;
	return list;
}

/* A fragment that was held is lost after all. */
static void lose(struct worker *w, struct pkt *k, enum drop_reason why)
{
	if (k->ctx)
		port_tx_undo(k->ctx, why, k->len);
	else
		port_rx_lost(k->offered_to, why, 1, k->len);
	pkt_free(worker_pool(w), k);
}

static void lose_all(struct worker *w, struct pkt *list, enum drop_reason why)
{
	for (struct pkt *next; list; list = next) {
		next = list->next;
		lose(w, list, why);
	}
}

static void forget(struct nat *n, struct worker *w, struct frag *f, enum drop_reason why)
{
	lose_all(w, take_held(n, f), why);
	*f = (struct frag){0};
}

/* Makes t->k ours to keep: not shared, and with no lent tail. */
static bool keepable(struct transit *t)
{
	if (!transit_own(t))
		return false;
	if (!t->k->n_tail || t->k->tail == &t->k->own_tail)
		return true;
	struct pkt *c = pkt_copy(worker_pool(t->w), t->k);
	if (!c)
		return false;
	if (!t->origin)
		pkt_free(worker_pool(t->w), t->k);
	t->k = c;
	t->origin = NULL;
	return true;
}

static enum drop_reason hold(struct nat *n, struct transit *t, struct frag *f, struct port *in)
{
	uint8_t *mine = held_of(n, f);

	if (n->frags_held == FRAG_HELD_MAX || *mine == FRAG_HELD_SRC)
		return DROP_NAT_FRAG_LIMIT;
	if (!keepable(t))
		return DROP_TX_NO_BUFFER;
	t->k->ctx = t->origin;
	t->k->offered_to = in;
	t->k->next = f->held;
	f->held = t->k;
	n->frags_held++;
	++*mine;
	if (!n->frags_due || f->until < n->frags_due)
		n->frags_due = f->until;
	if (n->ticker)
		port_tick_at(n->ticker, t->w, f->until);
	t->k = NULL;
	return DROP_NONE;
}

nsec_t frag_advance(struct nat *n, struct worker *w, nsec_t now)
{
	nsec_t next = 0;

	if (!n->frags_due || n->frags_due > now)
		return n->frags_due;
	for (unsigned i = 0; i < FRAGS_MAX; i++) {
		struct frag *f = &n->frags[i];
		if (f->held && f->until <= now)
			forget(n, w, f, DROP_NAT_FRAGMENT);
		else if (f->held)
			next = nat_sooner(next, f->until);
	}
	n->frags_due = next;
	return next;
}

/* ---- finding ---- */

static struct frag *bucket_of(struct nat *n, const struct pkt *k)
{
	const struct ip4_hdr *ip = pkt_ip4(k);
	uint64_t a = (uint64_t)ip->src << 32 | ip->dst;
	uint64_t b = (uint64_t)ip->id << 32 | (uint64_t)k->domain << 8 | ip->proto;

	return &n->frags[hash_mix(hash_mix(a ^ n->random[0]) + b) % (FRAGS_MAX / FRAG_WAYS) * FRAG_WAYS];
}

static bool same_datagram(const struct frag *f, const struct pkt *k)
{
	const struct ip4_hdr *ip = pkt_ip4(k);

	return f->until && f->src == ip->src && f->dst == ip->dst && f->id == ip->id &&
	       f->proto == ip->proto && f->domain == k->domain;
}

/* The datagram of k, begun when it is not there. */
static struct frag *datagram(struct nat *n, struct worker *w, nsec_t now, const struct pkt *k)
{
	struct frag *v = bucket_of(n, k), *at = v;
	const struct ip4_hdr *ip = pkt_ip4(k);

	for (unsigned i = 0; i < FRAG_WAYS; i++) {
		if (same_datagram(&v[i], k)) {
			if (v[i].until > now && !v[i].whole)
				return &v[i];
			at = &v[i]; /* another datagram with the same id */
			break;
		}
		if (v[i].until < at->until)
			at = &v[i];
	}
	forget(n, w, at, DROP_NAT_FRAGMENT);
	at->src = ip->src;
	at->dst = ip->dst;
	at->id = ip->id;
	at->proto = ip->proto;
	at->domain = k->domain;
	at->until = now + FRAG_TTL;
	at->total = ALL_OF_IT;
	return at;
}

/* Enters k's range.  An overlap ends the datagram. */
static enum drop_reason enter(struct nat *n, struct worker *w, struct frag *f, const struct pkt *k)
{
	enum drop_reason why = range_add(f, k);

	if (why != DROP_NAT_FRAG_OVERLAP)
		return why;
	f->bad = true;
	lose_all(w, take_held(n, f), why);
	return why;
}

/* ---- going on ---- */

enum drop_reason frag_first(struct nat *n, struct transit *t, const struct frag_way *way,
			    struct pkt **ret_held)
{
	struct frag *f = datagram(n, t->w, t->now, t->k);
	enum drop_reason why = enter(n, t->w, f, t->k);

	if (why)
		return why;
	f->way = *way;
	*ret_held = take_held(n, f);
	return DROP_NONE;
}

static enum drop_reason send_on(struct nat *n, struct transit *t, const struct frag_way *way)
{
	struct neigh *hop = NULL;

	if (pkt_ip4(t->k)->ttl <= 1)
		return DROP_GW_TTL;
	if (way->out && !(hop = neigh_get(&n->neigh, way->out, way->hop)))
		return DROP_GW_UNREACHABLE;
	if (!transit_own(t))
		return DROP_TX_NO_BUFFER;
	napt_rewrite_ip(pkt_ip4(t->k), way->new_src, way->new_dst, way->d_addr);
	if (!way->out) /* a hairpin: back in at the outside address (RFC 4787 REQ-9) */
		return napt_from_outside(way->back, t);
	if (be16toh(pkt_ip4(t->k)->len) > way->out->mtu)
		return hop->state == NEIGH_REACHABLE_ || hop->state == NEIGH_PROBE
			       ? frag_cut(t, way->out, hop->mac)
			       : DROP_GW_ARP_QUEUE;
	enum drop_reason why = neigh_output(&n->neigh, hop, t->w, t->now, t->k, t->origin);
	if (why == DROP_NONE)
		t->k = NULL;
	return why;
}

void frag_release(struct nat *n, const struct transit *first, const struct frag_way *way,
		  struct pkt *held)
{
	for (struct pkt *next; held; held = next) {
		struct transit t = {.w = first->w, .now = first->now, .k = held, .leg = first->leg,
				    .origin = held->ctx, .quiet = true};
		struct port *in = held->offered_to;
		uint32_t len = held->len;
		next = held->next;
		held->offered_to = held->ctx = NULL;
		enum drop_reason why = send_on(n, &t, way);
		if (why && t.origin)
			port_tx_undo(t.origin, why, len);
		else if (why)
			port_rx_lost(in, why, 1, len);
		pkt_free(worker_pool(t.w), t.k);
	}
}

enum drop_reason frag_follow(struct nat *n, struct transit *t, struct port *in)
{
	struct frag *f = datagram(n, t->w, t->now, t->k);
	enum drop_reason why = enter(n, t->w, f, t->k);

	if (why)
		return why;
	return f->way.out || f->way.back ? send_on(n, t, &f->way) : hold(n, t, f, in);
}

/* Held fragments were pushed on their list: the first that came is its last. */
static struct pkt *in_order_of_coming(struct pkt *list)
{
	struct pkt *turned = NULL;

	for (struct pkt *next; list; list = next) {
		next = list->next;
		list->next = turned;
		list->offered_to = list->ctx = NULL;
		turned = list;
	}
	return turned;
}

enum drop_reason frag_gather(struct nat *n, struct transit *t, struct port *in, bool *ret_whole,
			     struct pkt **ret_others)
{
	struct frag *f = datagram(n, t->w, t->now, t->k);
	enum drop_reason why = enter(n, t->w, f, t->k);

	if (why)
		return why;
	*ret_whole = f->whole;
	if (f->whole) {
		*ret_others = in_order_of_coming(take_held(n, f));
		return DROP_NONE;
	}
	why = hold(n, t, f, in);
	if (why) /* it can never be whole now */
		forget(n, t->w, f, why);
	return why;
}

/* Whether a datagram comes from or goes to nif's port. */
static bool concerns(const struct frag *f, const struct neigh_if *nif)
{
	if (f->way.out == nif || f->domain == nif->domain || (f->way.back && &f->way.back->nif == nif))
		return true;
	for (const struct pkt *k = f->held; k; k = k->next) {
		if (k->offered_to == nif->port || k->ctx == nif->port)
			return true;
	}
	return false;
}

void frag_forget(struct nat *n, struct worker *w, const struct neigh_if *nif)
{
	for (unsigned i = 0; i < FRAGS_MAX; i++) {
		if (n->frags[i].until && concerns(&n->frags[i], nif))
			forget(n, w, &n->frags[i], DROP_NAT_FRAGMENT);
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
