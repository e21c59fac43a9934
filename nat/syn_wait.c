/* SYNs from outside that nobody has asked for (RFC 5382 REQ-4).
 *
 * Such a SYN may be one half of a simultaneous open whose other half is still to come from
 * inside, so nothing answers it for SYN_WAIT.  Then its sender gets ICMP port unreachable, unless
 * a SYN of that connection has left from inside meanwhile.  The frame itself was dropped and
 * counted when it came; what waits here is a copy.
 *
 * At most SYN_WAIT_MAX wait, in the order in which they came; further ones get no
 * answer at all. */
#include "nat/internal.h"

static struct flow_key key_of(const struct uplink *u, const struct pkt *k)
{
	const struct ip4_hdr *ip = pkt_ip4(k);

	return flow_key(u->domain, ip->proto, ip->src, pkt_tcp(k)->sport, ip->dst, pkt_tcp(k)->dport);
}

static struct syn_wait *at(struct nat *n, unsigned i)
{
	return &n->syn[(n->syn_first + i) % SYN_WAIT_MAX];
}

static bool waits(struct nat *n, const struct uplink *u, struct flow_key key)
{
	for (unsigned i = 0; i < n->n_syn; i++) {
		const struct syn_wait *s = at(n, i);
		struct flow_key o = s->u ? key_of(s->u, s->k) : (struct flow_key){0};
		if (s->u == u && o.a == key.a && o.b == key.b)
			return true;
	}
	return false;
}

void syn_wait(struct uplink *u, const struct transit *t)
{
	struct nat *n = u->nat;

	if (t->quiet || n->n_syn == SYN_WAIT_MAX || waits(n, u, key_of(u, t->k)))
		return;
	struct pkt *k = pkt_copy(worker_pool(t->w), t->k);
	if (!k)
		return;
	*at(n, n->n_syn++) = (struct syn_wait){k, u, t->now + SYN_WAIT};
	if (n->ticker)
		port_tick_at(n->ticker, t->w, t->now + SYN_WAIT);
}

nsec_t syn_wait_advance(struct nat *n, struct worker *w, nsec_t now)
{
	while (n->n_syn && at(n, 0)->due <= now) {
		struct syn_wait s = *at(n, 0);
		struct transit t = {.w = w, .now = now, .k = s.k};
		n->syn_first = (n->syn_first + 1) % SYN_WAIT_MAX;
		n->n_syn--;
		if (s.u && !flow_find_out(&n->flow, key_of(s.u, s.k)))
			icmp_error(n, &s.u->nif, &s.u->icmp, &t, ICMP4_UNREACHABLE, ICMP4_UNREACH_PORT, 0);
		pkt_free(worker_pool(w), s.k);
	}
	return n->n_syn ? at(n, 0)->due : 0;
}

void syn_wait_forget(struct nat *n, const struct uplink *u)
{
	for (unsigned i = 0; i < n->n_syn; i++) {
		if (at(n, i)->u == u)
			at(n, i)->u = NULL; /* freed when its time comes */
	}
}

void syn_wait_fini(struct nat *n, struct pkt_pool *pool)
{
	for (; n->n_syn; n->n_syn--)
		pkt_free(pool, at(n, n->n_syn - 1)->k);
}
