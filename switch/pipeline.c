/* A burst's way through the switch, and its one counted verdict for every packet.
 *
 *	rx burst -> untag, VLAN -> domain -> parse -> learn -> look up -> outq of a port
 *	         -> offloads the port lacks are finished -> tx burst -> counted
 *
 * Ingress:  rx = forwarded + flooded + consumed + rx_drop[].
 * Egress:   offered = tx + tx_drop[], and the sum of offered is sw->copies.
 * A packet leaves its burst freed, or taken by the one port it was offered to.
 *
 * What ports inside the switch (gateways, uplinks) emit meanwhile waits in the worker's
 * pending queue and becomes the next burst, so that no port is entered twice. */
#include <string.h>

#include "net/gso.h"
#include "net/headers.h"
#include "net/parse.h"
#include "switch/internal.h"

#define ETH_HDR_BYTES ((uint32_t)sizeof(struct eth_hdr))
#define TAG_BYTES 4u

/* One burst on its way: where its packets come from (members differ from packet to packet),
 * what is to be counted for them, and what the last lookups said.  An answer is kept for
 * the length of a burst only: what changes meanwhile could have changed just after. */
struct burst {
	struct worker *w;
	struct port *in;
	port_idx in_idx;
	const struct port_conf *conf;
	bool captured;
	uint64_t total; /* bytes */
	uint64_t packets, bytes, segments, forwarded, flooded; /* of `in` since it was set */
	uint64_t src_key; /* known on `in`; 0 = none */
	/* the last unicast: an untagged frame with these addresses goes the same way */
	struct outq *q; /* NULL: none yet */
	uint64_t addr_lo; /* the two addresses as they stand in the frame */
	uint32_t addr_hi;
	domain_idx domain;
	struct vlan_tag tag;
};

static inline uint64_t addr_lo(const struct pkt *k)
{
	uint64_t v;

	memcpy(&v, k->head, sizeof(v));
	return v;
}
static inline uint32_t addr_hi(const struct pkt *k)
{
	uint32_t v;

	memcpy(&v, k->head + sizeof(uint64_t), sizeof(v));
	return v;
}

#define KEY(mac, dom) (mac_u64(mac) << 16 | (dom))

static const struct port_conf *conf_of(struct port *p)
{
	return atomic_load_explicit(&p->conf, memory_order_acquire);
}

static void count_burst(struct burst *b)
{
	struct port_counters *c;

	if (!b->packets)
		return;
	c = port_counters_here(b->in);
	counter_add(&c->rx_packets, b->packets);
	counter_add(&c->rx_bytes, b->bytes);
	counter_add(&c->rx_segments, b->segments);
	counter_add(&c->forwarded, b->forwarded);
	counter_add(&c->flooded, b->flooded);
	b->total += b->bytes;
	b->packets = b->bytes = b->segments = b->forwarded = b->flooded = 0;
}

/* The packets that follow come from port i: false when it is gone. */
static bool burst_from(struct burst *b, port_idx i)
{
	count_burst(b);
	b->in = sw_port(b->w->sw, i);
	b->in_idx = i;
	b->src_key = 0;
	b->q = NULL;
	if (unlikely(!b->in))
		return false;
	b->conf = conf_of(b->in);
	return true;
}

static void tap_capture(struct worker *w, const struct pkt *k, const struct port *p, bool outgoing,
			enum drop_reason why, struct vlan_tag tag)
{
	struct capture_set *cs = atomic_load_explicit(&w->sw->captures, memory_order_acquire);

	if (unlikely(cs != NULL))
		capture_packet(cs, w, k, p->idx, outgoing, why, tag);
}

/* ---- ingress ---- */

static enum drop_reason classify(struct sw *sw, const struct port_conf *conf, struct pkt *k)
{
	vlan_id vid;
	enum drop_reason why = vlan_ingress(&conf->vlan, k->tag, &vid);

	if (unlikely(why))
		return why;
	k->domain = conf->domain != DOMAIN_NONE
			    ? conf->domain
			    : atomic_load_explicit(&sw->vid_domain[vid], memory_order_acquire);
	return unlikely(k->domain == DOMAIN_NONE) ? DROP_NO_DOMAIN : DROP_NONE;
}

static enum drop_reason learn_new(struct burst *b, struct mac src, domain_idx domain, uint32_t now_s)
{
	struct sw *sw = b->w->sw;
	enum fdb_learned l;

	fdb_write_begin(sw);
	l = fdb_learn(&sw->fdb, domain, src, b->in_idx, b->conf->max_macs, now_s);
	fdb_write_end(sw);
	switch (l) {
	case FDB_LIMIT:
		return DROP_SRC_LIMIT;
	case FDB_STATIC:
		return DROP_SRC_STATIC;
	case FDB_MOVED:
		counter_add(&port_counters_here(b->in)->mac_moves, 1);
		break;
	case FDB_SAME:
	case FDB_NEW:
	case FDB_FULL: /* forwarded all the same; its answers flood */
		break;
	}
	return DROP_NONE;
}

static enum drop_reason learn(struct burst *b, const struct pkt *k)
{
	struct mac src = pkt_eth(k)->src;
	uint64_t key = KEY(src, k->domain);
	uint32_t now_s = (uint32_t)(b->w->now / NSEC_PER_SEC);

	if (likely(key == b->src_key))
		return DROP_NONE;
	if (unlikely(!fdb_seen(&b->w->sw->fdb, k->domain, src, b->in_idx, now_s))) {
		enum drop_reason why = learn_new(b, src, k->domain, now_s);
		if (why)
			return why;
	}
	b->src_key = key;
	return DROP_NONE;
}

static enum drop_reason ingress(struct burst *b, struct pkt *k)
{
	const struct port_conf *conf = b->conf;
	enum drop_reason why = k->drop;

	if (unlikely(why))
		return why;
	if (unlikely(conf->admin_down))
		return DROP_PORT_DOWN;
	if (conf->vlan.mode != VLAN_INTERNAL) {
		why = pkt_untag(k);
		if (!why)
			why = classify(b->w->sw, conf, k);
	} else if (unlikely(!sw_domain(b->w->sw, k->domain))) {
		why = DROP_NO_DOMAIN; /* injected for a domain that went meanwhile */
	}
	if (!why && !(k->flags & PKT_PARSED))
		why = pkt_parse(k);
	return why ? why : learn(b, k);
}

/* ---- to ports ---- */

static void outq_put(struct worker *w, struct port *out, struct pkt *k, uint8_t slot,
		     struct vlan_tag tag)
{
	struct outq *q = &out->outq[w->idx];

	if (!q->n) {
		q->next = w->touched;
		w->touched = out;
	}
	q->v[q->n++] = (struct pkt_out){.pkt = k, .tag = tag, .slot = slot};
}

static struct vlan_tag egress_tag(const struct port_conf *conf, const struct domain *d,
				  const struct pkt *k)
{
	return vlan_egress(&conf->vlan, d->vid, k->tag);
}

static bool may_send(struct port *out, const struct port_conf *oc, struct port *in,
		     const struct port_conf *ic)
{
	return out != in && !oc->admin_down && atomic_load_explicit(&out->running, memory_order_relaxed) &&
	       !(ic->isolated && oc->isolated);
}

static bool floods_to(const struct burst *b, struct port *out, const struct port_conf *oc,
		      bool unknown)
{
	return may_send(out, oc, b->in, b->conf) && !(unknown && oc->known_only);
}

/* To how many ports, as they stand now. */
static unsigned receivers(const struct burst *b, const struct flood *f, bool unknown)
{
	unsigned n = 0;

	for (unsigned i = 0; i < f->n; i++)
		n += floods_to(b, f->port[i], conf_of(f->port[i]), unknown);
	return n;
}

/* Copies once and fans out: what two or more ports get is no guest's memory any more, so that
 * it is read once and all see the same bytes.  Without a buffer none of them gets it, as none would
 * if the frame had found no buffer to be received into. */
static enum drop_reason flood(struct burst *b, struct pkt *k, uint8_t slot, bool unknown)
{
	struct domain *d = sw_domain(b->w->sw, k->domain);
	struct flood *f = d ? atomic_load_explicit(&d->flood, memory_order_acquire) : NULL;
	unsigned copies = 0, most = f ? f->n : 0;

	if (f && k->flags & PKT_BORROWED) {
		most = receivers(b, f,
				 unknown); /* a port that comes up meanwhile misses this one */
		if (most > 1 && !pkt_own(b->w->pool, k))
			return DROP_RX_NO_BUFFER;
	}
	for (unsigned i = 0; f && i < f->n && copies < most; i++) {
		struct port *out = f->port[i];
		const struct port_conf *oc = conf_of(out);

		if (!floods_to(b, out, oc, unknown))
			continue;
		outq_put(b->w, out, k, slot, egress_tag(oc, d, k));
		copies++;
	}
	if (copies > 1)
		k->flags |= PKT_SHARED;
	if (!copies)
		return DROP_NO_DESTINATION;
	b->flooded++;
	return DROP_NONE;
}

static enum drop_reason unicast(struct burst *b, struct port *out, struct pkt *k, uint8_t slot)
{
	const struct port_conf *oc = conf_of(out);
	struct domain *d = sw_domain(b->w->sw, k->domain);

	if (unlikely(out == b->in))
		return DROP_SAME_PORT;
	if (unlikely(b->conf->isolated && oc->isolated))
		return DROP_ISOLATED;
	if (unlikely(!d))
		return DROP_NO_DOMAIN;
	struct vlan_tag tag = egress_tag(oc, d, k);
	outq_put(b->w, out, k, slot, tag);
	b->forwarded++;
	if (!k->tag.tpid && b->conf->vlan.mode != VLAN_INTERNAL) {
		b->q = &out->outq[b->w->idx];
		b->addr_lo = addr_lo(k);
		b->addr_hi = addr_hi(k);
		b->domain = k->domain;
		b->tag = tag;
	}
	return DROP_NONE;
}

static enum drop_reason forward(struct burst *b, struct pkt *k, uint8_t slot)
{
	struct mac dst = pkt_eth(k)->dst;

	if (mac_is_group(dst))
		return flood(b, k, slot, false);
	port_idx to = fdb_lookup(&b->w->sw->fdb, k->domain, dst);
	struct port *out = to == PORT_NONE ? NULL : sw_port(b->w->sw, to);
	return out ? unicast(b, out, k, slot) : flood(b, k, slot, true);
}

static enum drop_reason verdict(struct burst *b, struct pkt *k, uint8_t slot)
{
	enum drop_reason why = ingress(b, k);

	return why ? why : forward(b, k, slot);
}

/* Frames v[i..] that go from one station to another as the one before, untagged: nothing of
 * VLAN, addresses, learning and lookup can come out differently, and only the payload is to be
 * looked at.  Returns the first that is anything else. */
static unsigned same_way(struct burst *b, struct pkt **v, unsigned i, unsigned n)
{
	const uint64_t lo = b->addr_lo;
	const uint32_t hi = b->addr_hi;
	const unsigned first = i;
	struct pkt_out *o = b->q->v + b->q->n;
	uint64_t bytes = 0;

	for (; i < n; i++, o++) {
		struct pkt *k = v[i];

		if (unlikely(k->drop | k->tag.tpid || k->in_port != b->in_idx) ||
		    unlikely(k->head_len < sizeof(struct eth_hdr) || addr_lo(k) != lo ||
			     addr_hi(k) != hi) ||
		    unlikely(!pkt_parse_plain(k)))
			break;
		k->domain = b->domain;
		*o = (struct pkt_out){.pkt = k, .tag = b->tag, .slot = (uint8_t)i};
		bytes += k->len;
	}
	b->q->n += i - first;
	b->packets += i - first;
	b->segments += i - first;
	b->forwarded += i - first;
	b->bytes += bytes;
	return i;
}

/* ---- egress ---- */

static void count_tx(struct worker *w, struct port *out, struct pkt_out *v, const struct pkt *k,
		     uint32_t len, unsigned segments)
{
	struct port_counters *c = port_counters_here(out);

	if (likely(!v->drop)) {
		counter_add(&c->tx_packets, 1);
		counter_add(&c->tx_bytes, len + (v->tag.tpid ? TAG_BYTES : 0));
		counter_add(&c->tx_segments, segments);
	} else {
		counter_add(&c->tx_drop[v->drop], 1);
	}
	if (!v->taken && (!out->hidden || v->drop)) /* others may be gone, see send_run() */
		tap_capture(w, k, out, true, v->drop, v->tag);
}

/* What a run of entries comes to, before it is sent: a packet that was taken is gone after. */
struct run {
	unsigned from;
	uint64_t bytes, segments;
};

static inline uint32_t out_len(const struct pkt_out *o)
{
	return o->pkt->len + (o->tag.tpid ? TAG_BYTES : 0);
}

static void capture_out(struct worker *w, struct port *out, struct pkt_out *v, unsigned n, bool before)
{
	for (unsigned i = 0; i < n; i++) {
		if (before)
			tap_capture(w, v[i].pkt, out, true, DROP_NONE, v[i].tag);
		else if (!v[i].taken && (!out->hidden || v[i].drop))
			tap_capture(w, v[i].pkt, out, true, v[i].drop, v[i].tag);
	}
}

/* Sends entries that fit the port, counts them, and tells the burst what was taken. */
static void send_run(struct worker *w, struct port *out, struct pkt_out *v, unsigned n,
		     struct run *r, struct pkt **burst)
{
	struct port_counters *c = port_counters_here(out);
	bool captured = atomic_load_explicit(&w->sw->captures, memory_order_relaxed) != NULL;
	uint64_t sent = n;

	if (unlikely(captured) && out->hidden)
		capture_out(w, out, v, n, true);
	out->ops->tx_burst(out, w, v, n);
	for (unsigned i = 0; i < n; i++) {
		if (unlikely(v[i].drop)) { /* and so it is still here */
			counter_add(&c->tx_drop[v[i].drop], 1);
			sent--;
			r->bytes -= out_len(&v[i]);
			r->segments -= pkt_segments(v[i].pkt);
		}
		if (unlikely(v[i].taken))
			burst[v[i].slot] = NULL;
	}
	if (unlikely(captured))
		capture_out(w, out, v, n, false);
	counter_add(&c->tx_packets, sent);
	counter_add(&c->tx_bytes, r->bytes);
	counter_add(&c->tx_segments, r->segments);
}

/* Segments and checksums what the port cannot; the frame counts as one, lost if any
 * piece of it is. */
static void send_finished(struct worker *w, struct port *out, struct pkt_out *o)
{
	static _Thread_local struct pkt *seg[GSO_MAX_SEGS];
	struct pkt_out v[PKT_BURST];
	enum drop_reason why = DROP_NONE;
	unsigned n = gso_finish(w->pool, o->pkt, out->caps.offloads, seg, GSO_MAX_SEGS, &why);

	for (unsigned done = 0; done < n;) {
		unsigned m = n - done < PKT_BURST ? n - done : PKT_BURST;
		for (unsigned i = 0; i < m; i++) {
			v[i] = (struct pkt_out){.pkt = seg[done + i], .tag = o->tag};
			if (done + i + 1 < n)
				seg[done + i]->flags |= PKT_MORE;
		}
		out->ops->tx_burst(out, w, v, m);
		for (unsigned i = 0; i < m; i++) {
			if (v[i].drop && !why)
				why = v[i].drop;
			if (!v[i].taken)
				pkt_free(w->pool, v[i].pkt);
		}
		done += m;
	}
	o->drop = why;
	count_tx(w, out, o, o->pkt, o->pkt->len, n ? n : 1);
}

enum fit { FIT_AS_IS, FIT_FINISH, FIT_TOO_LONG };

static uint32_t mtu_of(const struct port *out)
{
	return out->caps.mtu ? out->caps.mtu : 65535;
}

/* A frame may carry one inner tag beyond its MTU, as Linux has it. */
static uint32_t most_bytes(const struct port *out)
{
	return mtu_of(out) + ETH_HDR_BYTES + TAG_BYTES;
}

static enum fit fits(const struct port *out, const struct pkt *k)
{
	unsigned needs = pkt_needs(k), missing = needs & ~out->caps.offloads;

	if (k->vnet.gso_type != VIRTIO_NET_HDR_GSO_NONE) {
		if (missing && !(out->caps.offloads & OFFLOAD_JUMBO) && k->vnet.gso_size > mtu_of(out))
			return FIT_TOO_LONG;
		return missing ? FIT_FINISH : FIT_AS_IS;
	}
	if (unlikely(k->len > most_bytes(out)))
		return FIT_TOO_LONG;
	return missing ? FIT_FINISH : FIT_AS_IS;
}

static void outq_lose(struct worker *w, struct port *out, struct pkt_out *o, enum drop_reason why)
{
	o->drop = why;
	count_tx(w, out, o, o->pkt, o->pkt->len, 1);
}

/* Ends a run before entry `end`; the next one begins behind it. */
static void end_run(struct worker *w, struct port *out, struct outq *q, unsigned end, struct run *r,
		    struct pkt **burst)
{
	if (end > r->from)
		send_run(w, out, q->v + r->from, end - r->from, r, burst);
	*r = (struct run){.from = end + 1};
}

/* Entries of a port of this worker: what it can take goes in runs, the rest is finished
 * or refused one by one. */
static void outq_send(struct worker *w, struct port *out, struct outq *q, struct pkt **burst)
{
	bool up = atomic_load_explicit(&out->running, memory_order_acquire) && !conf_of(out)->admin_down;
	const uint32_t plain = up ? most_bytes(out) : 0; /* as long as a frame without offloads may be */
	struct run r = {0};

	counter_add(&port_counters_here(out)->offered, q->n);
	counter_add(&w->copies, q->n);
	for (unsigned i = 0; i < q->n; i++) {
		struct pkt_out *o = &q->v[i];
		const struct pkt *k = o->pkt;

		if (likely(k->len <= plain && !(k->vnet.flags | k->vnet.gso_type))) {
			r.bytes += out_len(o);
			r.segments++;
			continue;
		}
		enum fit fit = up ? fits(out, k) : FIT_TOO_LONG;
		if (likely(fit == FIT_AS_IS)) {
			r.bytes += out_len(o);
			r.segments += pkt_segments(k);
			continue;
		}
		end_run(w, out, q, i, &r, burst);
		if (fit == FIT_FINISH)
			send_finished(w, out, o);
		else
			outq_lose(w, out, o, up ? DROP_TX_OVERSIZE : DROP_TX_GONE);
	}
	end_run(w, out, q, q->n, &r, burst);
}

/* ---- other workers ---- */

/* A packet that may go to another thread: this one when nobody else has it, else a copy. */
static struct pkt *give_away(struct worker *w, struct pkt_out *o, struct pkt **burst)
{
	if (o->pkt->flags & PKT_SHARED)
		return pkt_copy(w->pool, o->pkt);
	if (!pkt_own(w->pool, o->pkt))
		return NULL;
	burst[o->slot] = NULL;
	return o->pkt;
}

/* Hands entries to the worker whose port it is; they are offered there.  What cannot be
 * handed over was offered here and is lost. */
static void outq_hand_over(struct worker *w, struct port *out, struct outq *q, struct pkt **burst)
{
	struct ring *r = &out->worker->in[w->idx];

	for (unsigned i = 0; i < q->n; i++) {
		struct pkt_out *o = &q->v[i];
		struct pkt *k = give_away(w, o, burst);

		if (k) {
			k->ctx = out;
			k->tag = o->tag;
			if (ring_put(r, k))
				continue;
		}
		counter_add(&port_counters_here(out)->offered, 1);
		counter_add(&w->copies, 1);
		o->drop = k ? DROP_QUEUE_INTERNAL : DROP_TX_NO_BUFFER;
		count_tx(w, out, o, k ? k : o->pkt, o->pkt->len, 1);
		if (k)
			pkt_free(w->pool, k);
	}
	ring_kick(r);
}

static void outq_flush(struct worker *w, struct port *out, struct pkt **burst)
{
	struct outq *q = &out->outq[w->idx];

	if (likely(out->worker == w || out->ops->tx_any))
		outq_send(w, out, q, burst);
	else
		outq_hand_over(w, out, q, burst);
	q->n = 0;
}

static void flush_all(struct worker *w, struct pkt **burst)
{
	while (w->touched) {
		struct port *out = w->touched;
		w->touched = out->outq[w->idx].next;
		outq_flush(w, out, burst);
	}
}

static void drain_foreign(struct worker *w, struct ring *r)
{
	struct pkt *v[PKT_BURST];
	unsigned n;

	do {
		for (n = 0; n < PKT_BURST && (v[n] = ring_get(r)); n++)
			outq_put(w, v[n]->ctx, v[n], (uint8_t)n, v[n]->tag);
		flush_all(w, v);
		pkt_free_bulk(w->pool, v, n);
	} while (n == PKT_BURST);
}

void pipeline_foreign(struct worker *w)
{
	for (unsigned i = 0; w->in && i < w->sw->n_workers; i++) {
		if (!ring_empty(&w->in[i]))
			drain_foreign(w, &w->in[i]);
	}
	pipeline_pending(w);
}

/* ---- the burst ---- */

/* Returns the bytes of the frames. */
static size_t process(struct worker *w, struct pkt **v, unsigned n)
{
	struct burst b = {.w = w, .in_idx = PORT_NONE,
			  .captured = atomic_load_explicit(&w->sw->captures, memory_order_relaxed)};

	for (unsigned i = 0; i < n; i++) {
		if (likely(b.q && !b.captured) && (i = same_way(&b, v, i, n)) == n)
			break;
		struct pkt *k = v[i];
		if (unlikely(k->in_port != b.in_idx || !b.in) && !burst_from(&b, k->in_port))
			continue; /* a port deleted after it injected: counted as gone by main */
		enum drop_reason why = verdict(&b, k, (uint8_t)i);
		b.packets++;
		b.bytes += k->len + (k->tag.tpid ? TAG_BYTES : 0);
		b.segments += pkt_segments(k);
		if (unlikely(why))
			counter_add(&port_counters_here(b.in)->rx_drop[why], 1);
		if (unlikely(b.captured))
			tap_capture(w, k, b.in, false, why, k->tag);
	}
	count_burst(&b);
	flush_all(w, v);
	pkt_free_bulk(w->pool, v, n);
	return b.total;
}

void pipeline_pending(struct worker *w)
{
	struct pkt *v[PKT_BURST];

	while (w->pending_head != w->pending_tail) {
		unsigned n = 0;
		while (n < PKT_BURST && w->pending_head != w->pending_tail)
			v[n++] = w->pending[w->pending_head++ & (PENDING_MAX - 1)];
		process(w, v, n);
	}
}

size_t pipeline_burst(struct worker *w, struct port *p, struct pkt **v, unsigned n)
{
	size_t bytes;

	for (unsigned i = 0; i < n; i++)
		v[i]->in_port = v[i]->in_port == PORT_NONE ? p->idx : v[i]->in_port;
	bytes = process(w, v, n);
	pipeline_pending(w);
	return bytes;
}
