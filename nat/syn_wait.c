/* SYNs from outside that nobody has asked for (RFC 5382 REQ-4).
 *
 * Such a SYN may be one half of a simultaneous open whose other half is still to come from
 * inside, so nothing answers it for SYN_WAIT.  Then its sender gets ICMP port unreachable, unless
 * a SYN of that connection has left from inside meanwhile.  So too of IPv6 that the filter stopped, with
 * "administratively prohibited" (RFC 6092 REC-34).  The frame itself was dropped and
 * counted when it came; what waits here is a copy.
 *
 * At most SYN_WAIT_MAX wait, in the order in which they came; further ones get no
 * answer at all. */
#include <string.h>

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

static bool is_six(const struct pkt *k)
{
	return k->flags & PKT_IP6;
}

static bool waits(struct nat *n, const struct uplink *u, struct flow_key key)
{
	for (unsigned i = 0; i < n->n_syn; i++) {
		const struct syn_wait *s = at(n, i);
		if (!s->u || is_six(s->k))
			continue;
		struct flow_key o = key_of(s->u, s->k);
		if (s->u == u && o.a == key.a && o.b == key.b)
			return true;
	}
	return false;
}

static void keep(struct nat *n, struct uplink *u, domain_idx d, const struct transit *t)
{
	struct pkt *k = pkt_copy(worker_pool(t->w), t->k);

	if (!k)
		return;
	*at(n, n->n_syn++) = (struct syn_wait){k, u, d, t->now + SYN_WAIT};
	if (n->ticker)
		port_tick_at(n->ticker, t->w, t->now + SYN_WAIT);
}

void syn_wait(struct uplink *u, const struct transit *t)
{
	struct nat *n = u->nat;

	if (!t->quiet && n->n_syn < SYN_WAIT_MAX && !waits(n, u, key_of(u, t->k)))
		keep(n, u, DOMAIN_NONE, t);
}

static bool waits6(struct nat *n, const struct pkt *k)
{
	const struct ip6_hdr *ip = pkt_ip6(k);

	for (unsigned i = 0; i < n->n_syn; i++) {
		const struct pkt *o = at(n, i)->k;
		if (is_six(o) && !memcmp(pkt_ip6(o)->src, ip->src, 16) && !memcmp(pkt_ip6(o)->dst, ip->dst, 16) &&
		    pkt_tcp(o)->sport == pkt_tcp(k)->sport && pkt_tcp(o)->dport == pkt_tcp(k)->dport)
			return true;
	}
	return false;
}

void syn_wait6(struct gateway *g, const struct transit *t)
{
	struct nat *n = g->nat;
	const uint8_t flags = pkt_tcp(t->k)->flags;

	if ((flags & (TCP_SYN | TCP_ACK | TCP_FIN | TCP_RST)) == TCP_SYN && g->up && !t->quiet &&
	    n->n_syn < SYN_WAIT_MAX && !waits6(n, t->k))
		keep(n, g->up, g->leg.domain, t);
}

static void answer(struct nat *n, struct transit *t, const struct syn_wait *s)
{
	struct uplink *u = s->u;

	const struct leg *l = is_six(s->k) ? n->leg_of[s->domain] : NULL;

	if (l && !filter6_knows(l->gw, s->k))
		icmp6_error(n, &u->nif, &u->icmp, t, ICMP6_UNREACHABLE, ICMP6_UNREACH_ADMIN, 0);
	else if (!is_six(s->k) && !flow_find_out(&n->flow, key_of(u, s->k)))
		icmp_error(n, &u->nif, &u->icmp, t, ICMP4_UNREACHABLE, ICMP4_UNREACH_PORT, 0);
}

nsec_t syn_wait_advance(struct nat *n, struct worker *w, nsec_t now)
{
	while (n->n_syn && at(n, 0)->due <= now) {
		struct syn_wait s = *at(n, 0);
		struct transit t = {.w = w, .now = now, .k = s.k};
		n->syn_first = (n->syn_first + 1) % SYN_WAIT_MAX;
		n->n_syn--;
		if (s.u)
			answer(n, &t, &s);
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
