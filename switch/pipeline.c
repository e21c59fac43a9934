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
#include "net/gso.h"
#include "net/headers.h"
#include "net/parse.h"
#include "switch/internal.h"

#define ETH_HDR_BYTES ((uint32_t)sizeof(struct eth_hdr))
#define TAG_BYTES 4u

static void count_rx(struct port *p, const struct pkt *k)
{
	counter_add(&p->c.rx_packets, 1);
	counter_add(&p->c.rx_bytes, k->len + (k->tag.tpid ? TAG_BYTES : 0));
	counter_add(&p->c.rx_segments, pkt_segments(k));
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

static enum drop_reason learn(struct worker *w, struct port *in, const struct port_conf *conf,
			      struct pkt *k)
{
	switch (fdb_learn(&w->sw->fdb, k->domain, pkt_eth(k)->src, in->idx, conf->max_macs,
			  (uint32_t)(w->now / NSEC_PER_SEC))) {
	case FDB_LIMIT:
		return DROP_SRC_LIMIT;
	case FDB_STATIC:
		return DROP_SRC_STATIC;
	case FDB_MOVED:
		counter_add(&in->c.mac_moves, 1);
		counter_add(&w->sw->mac_moves, 1);
		break;
	case FDB_SAME:
	case FDB_NEW:
	case FDB_FULL: /* forwarded all the same; its answers flood */
		break;
	}
	return DROP_NONE;
}

static enum drop_reason ingress(struct worker *w, struct port *in, const struct port_conf *conf,
				struct pkt *k)
{
	enum drop_reason why = k->drop;

	if (unlikely(why))
		return why;
	if (unlikely(conf->admin_down))
		return DROP_PORT_DOWN;
	if (conf->vlan.mode != VLAN_INTERNAL) {
		why = pkt_untag(k);
		if (!why)
			why = classify(w->sw, conf, k);
	} else if (unlikely(!sw_domain(w->sw, k->domain))) {
		why = DROP_NO_DOMAIN; /* injected for a domain that went meanwhile */
	}
	if (!why && !(k->flags & PKT_PARSED))
		why = pkt_parse(k);
	return why ? why : learn(w, in, conf, k);
}

/* ---- to ports ---- */

static void outq_put(struct worker *w, struct port *out, struct pkt *k, uint8_t slot,
		     struct vlan_tag tag)
{
	struct outq *q = out->outq;

	if (!q->n) {
		q->next = w->touched;
		w->touched = out;
	}
	q->v[q->n++] = (struct pkt_out){.pkt = k, .tag = tag, .slot = slot};
	counter_add(&out->c.offered, 1);
	counter_add(&w->sw->copies, 1);
}

static struct vlan_tag egress_tag(const struct port_conf *conf, const struct domain *d,
				  const struct pkt *k)
{
	return vlan_egress(&conf->vlan, d->vid, k->tag);
}

static const struct port_conf *conf_of(struct port *p)
{
	return atomic_load_explicit(&p->conf, memory_order_acquire);
}

static bool may_send(struct port *out, const struct port_conf *oc, struct port *in,
		     const struct port_conf *ic)
{
	return out != in && !oc->admin_down && atomic_load_explicit(&out->running, memory_order_relaxed) &&
	       !(ic->isolated && oc->isolated);
}

static enum drop_reason flood(struct worker *w, struct port *in, const struct port_conf *ic,
			      struct pkt *k, uint8_t slot, bool unknown)
{
	struct domain *d = sw_domain(w->sw, k->domain);
	struct flood *f = d ? atomic_load_explicit(&d->flood, memory_order_acquire) : NULL;
	unsigned copies = 0;

	for (unsigned i = 0; f && i < f->n; i++) {
		struct port *out = f->port[i];
		const struct port_conf *oc = conf_of(out);

		if (!may_send(out, oc, in, ic) || (unknown && oc->known_only))
			continue;
		outq_put(w, out, k, slot, egress_tag(oc, d, k));
		copies++;
	}
	if (copies > 1)
		k->flags |= PKT_SHARED;
	if (!copies)
		return DROP_NO_DESTINATION;
	counter_add(&in->c.flooded, 1);
	return DROP_NONE;
}

static enum drop_reason unicast(struct worker *w, struct port *in, const struct port_conf *ic,
				struct port *out, struct pkt *k, uint8_t slot)
{
	const struct port_conf *oc = conf_of(out);
	struct domain *d = sw_domain(w->sw, k->domain);

	if (unlikely(out == in))
		return DROP_SAME_PORT;
	if (unlikely(ic->isolated && oc->isolated))
		return DROP_ISOLATED;
	if (unlikely(!d))
		return DROP_NO_DOMAIN;
	outq_put(w, out, k, slot, egress_tag(oc, d, k));
	counter_add(&in->c.forwarded, 1);
	return DROP_NONE;
}

static enum drop_reason forward(struct worker *w, struct port *in, const struct port_conf *ic,
				struct pkt *k, uint8_t slot)
{
	struct mac dst = pkt_eth(k)->dst;

	if (mac_is_group(dst))
		return flood(w, in, ic, k, slot, false);
	port_idx to = fdb_lookup(&w->sw->fdb, k->domain, dst);
	struct port *out = to == PORT_NONE ? NULL : sw_port(w->sw, to);
	return out ? unicast(w, in, ic, out, k, slot) : flood(w, in, ic, k, slot, true);
}

/* ---- egress ---- */

static void count_tx(struct worker *w, struct port *out, struct pkt_out *v, const struct pkt *k,
		     uint32_t len, unsigned segments)
{
	if (likely(!v->drop)) {
		counter_add(&out->c.tx_packets, 1);
		counter_add(&out->c.tx_bytes, len + (v->tag.tpid ? TAG_BYTES : 0));
		counter_add(&out->c.tx_segments, segments);
	} else {
		counter_add(&out->c.tx_drop[v->drop], 1);
	}
	if (!v->taken && (!out->hidden || v->drop)) /* others may be gone, see send_run() */
		tap_capture(w, k, out, true, v->drop, v->tag);
}

/* Sends entries that fit the port, counts them, and tells the burst what was taken. */
static void send_run(struct worker *w, struct port *out, struct pkt_out *v, unsigned n,
		     struct pkt **burst)
{
	uint32_t len[PKT_BURST];
	unsigned segments[PKT_BURST];
	bool captured = atomic_load_explicit(&w->sw->captures, memory_order_relaxed) != NULL;

	for (unsigned i = 0; i < n; i++) { /* a taken packet may be gone when it is counted */
		len[i] = v[i].pkt->len;
		segments[i] = pkt_segments(v[i].pkt);
		if (unlikely(captured) && out->hidden)
			tap_capture(w, v[i].pkt, out, true, DROP_NONE, v[i].tag);
	}
	out->ops->tx_burst(out, w, v, n);
	for (unsigned i = 0; i < n; i++) {
		count_tx(w, out, &v[i], v[i].pkt, len[i], segments[i]);
		if (v[i].taken)
			burst[v[i].slot] = NULL;
	}
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

static enum fit fits(const struct port *out, const struct pkt *k)
{
	uint32_t mtu = out->caps.mtu ? out->caps.mtu : 65535;
	unsigned needs = pkt_needs(k), missing = needs & ~out->caps.offloads;

	if (k->vnet.gso_type != VIRTIO_NET_HDR_GSO_NONE) {
		if (missing && !(out->caps.offloads & OFFLOAD_JUMBO) && k->vnet.gso_size > mtu)
			return FIT_TOO_LONG;
		return missing ? FIT_FINISH : FIT_AS_IS;
	}
	/* A frame may carry one inner tag beyond its MTU, as Linux has it. */
	if (unlikely(k->len > mtu + ETH_HDR_BYTES + TAG_BYTES))
		return FIT_TOO_LONG;
	return missing ? FIT_FINISH : FIT_AS_IS;
}

static void outq_lose(struct worker *w, struct port *out, struct pkt_out *o, enum drop_reason why)
{
	o->drop = why;
	count_tx(w, out, o, o->pkt, o->pkt->len, 1);
}

static void outq_flush(struct worker *w, struct port *out, struct pkt **burst)
{
	struct outq *q = out->outq;
	bool up = atomic_load_explicit(&out->running, memory_order_relaxed) && !conf_of(out)->admin_down;
	unsigned run = 0;

	for (unsigned i = 0; i < q->n; i++) {
		enum fit fit = up ? fits(out, q->v[i].pkt) : FIT_TOO_LONG;

		if (fit == FIT_AS_IS)
			continue;
		if (i > run)
			send_run(w, out, q->v + run, i - run, burst);
		run = i + 1;
		if (fit == FIT_FINISH)
			send_finished(w, out, &q->v[i]);
		else
			outq_lose(w, out, &q->v[i], up ? DROP_TX_OVERSIZE : DROP_TX_GONE);
	}
	if (q->n > run)
		send_run(w, out, q->v + run, q->n - run, burst);
	q->n = 0;
}

static void flush_all(struct worker *w, struct pkt **burst)
{
	while (w->touched) {
		struct port *out = w->touched;
		w->touched = out->outq->next;
		outq_flush(w, out, burst);
	}
}

/* ---- the burst ---- */

static void process(struct worker *w, struct pkt **v, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct pkt *k = v[i];
		struct port *in = sw_port(w->sw, k->in_port);

		if (unlikely(!in)) /* a port deleted after it injected: counted as gone by main */
			continue;
		const struct port_conf *conf = conf_of(in);
		enum drop_reason why = ingress(w, in, conf, k);
		count_rx(in, k);
		if (likely(!why))
			why = forward(w, in, conf, k, (uint8_t)i);
		if (unlikely(why))
			counter_add(&in->c.rx_drop[why], 1);
		tap_capture(w, k, in, false, why, k->tag);
	}
	flush_all(w, v);
	for (unsigned i = 0; i < n; i++)
		pkt_free(w->pool, v[i]);
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

void pipeline_burst(struct worker *w, struct port *p, struct pkt **v, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if (v[i]->in_port == PORT_NONE)
			v[i]->in_port = p->idx;
	}
	process(w, v, n);
	pipeline_pending(w);
}
