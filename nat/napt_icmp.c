/* ICMP errors about packets that nat/napt.c has translated (RFC 5508 4, 5; RFC 4787
 * REQ-12, RFC 5382 REQ-10): the packet they quote is put back to what its sender sent, the
 * error's own addresses follow, and no session or mapping is touched. */
#include "nat/internal.h"
#include "net/wire.h"

#define ICMP_HEADER 8u
#define QUOTED_L4 8u /* RFC 792: at least so much of it is there */
#define TCP_CSUM_END 18u

struct quote {
	struct ip4_hdr *ip;
	union {
		uint8_t *bytes;
		struct udp_hdr *ports; /* of TCP as well */
		struct tcp_hdr *tcp;
		struct icmp_hdr *icmp;
	} l4;
	size_t l4_len; /* that is there */
};

bool icmp_is_error(const struct pkt *k)
{
	if (k->ip_proto != IPPROTO4_ICMP || !(k->flags & PKT_L4))
		return false;
	switch (pkt_icmp(k)->type) {
	case ICMP4_UNREACHABLE:
	case ICMP4_TIME_EXCEEDED:
	case ICMP4_PARAM_PROBLEM:
		return true;
	default: /* source quench and redirect are not for routers to pass (RFC 6633, RFC 1812) */
		return false;
	}
}

/* Finds the quoted headers in the private head.  NAT_ICMP when they are not whole. */
static enum drop_reason read_quote(const struct pkt *k, struct quote *ret_quote)
{
	size_t l4_len = pkt_l4_len(k), in_head = (size_t)(k->head_len - k->l4_off);
	struct wire o = wire_reader(pkt_icmp(k), l4_len < in_head ? l4_len : in_head);
	struct quote q;

	wire_skip(&o, ICMP_HEADER);
	q.ip = (struct ip4_hdr *)(uintptr_t)wire_get_bytes(&o, sizeof(*q.ip));
	if (!wire_ok(&o))
		return DROP_NAT_ICMP;
	size_t header = (size_t)(q.ip->ver_ihl & 15) * 4;
	if (q.ip->ver_ihl >> 4 != 4 || header < sizeof(*q.ip) || (be16toh(q.ip->frag) & IP4_OFFSET))
		return DROP_NAT_ICMP;
	wire_skip(&o, header - sizeof(*q.ip));
	q.l4_len = wire_left(&o);
	q.l4.bytes = (uint8_t *)(uintptr_t)wire_get_bytes(&o, QUOTED_L4);
	if (!wire_ok(&o))
		return DROP_NAT_ICMP;
	*ret_quote = q;
	return DROP_NONE;
}

static enum drop_reason check(struct transit *t, struct quote *ret_quote)
{
	const struct pkt *k = t->k;

	/* RFC 5508 REQ-3: a wrong checksum is dropped, not carried on under a right one */
	if (!(k->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) &&
	    csum_finish(csum_pkt(k, k->l4_off, pkt_l4_len(k))) != 0)
		return DROP_NAT_CHECKSUM;
	if (pkt_ip4(k)->ttl <= 1)
		return DROP_GW_TTL;
	if (!transit_own(t))
		return DROP_TX_NO_BUFFER;
	return read_quote(t->k, ret_quote);
}

static void fix_l4_csum(const struct quote *q, csum_t delta)
{
	if (q->ip->proto == IPPROTO4_TCP && q->l4_len >= TCP_CSUM_END)
		q->l4.tcp->csum = csum_apply(q->l4.tcp->csum, delta);
	else if (q->ip->proto == IPPROTO4_UDP && q->l4.ports->csum)
		q->l4.ports->csum = csum_apply(q->l4.ports->csum, delta);
	else if (q->ip->proto == IPPROTO4_ICMP)
		q->l4.icmp->csum = csum_apply(q->l4.icmp->csum, delta);
}

static void put_quote(const struct quote *q, be32 src, be16 sport, be32 dst, be16 dport,
		      be16 d_addr, be16 d_full)
{
	fix_l4_csum(q, d_full);
	q->ip->csum = csum_apply(q->ip->csum, d_addr);
	q->ip->src = src;
	q->ip->dst = dst;
	if (!flow_has_ports(q->ip->proto))
		return;
	if (q->ip->proto == IPPROTO4_ICMP) {
		q->l4.icmp->id = sport ? sport : dport;
		return;
	}
	q->l4.ports->sport = sport;
	q->l4.ports->dport = dport;
}

/* The outer header, and the whole checksum anew: it has been found right before. */
static void finish(struct pkt *k, be32 src, be32 dst)
{
	struct ip4_hdr *ip = pkt_ip4(k);
	struct icmp_hdr *icmp = pkt_icmp(k);

	napt_rewrite_ip(ip, src, dst,
			csum_fold(csum_delta32(ip->src, src) + csum_delta32(ip->dst, dst)));
	icmp->csum = 0;
	icmp->csum = csum_finish(csum_pkt(k, k->l4_off, pkt_l4_len(k)));
	k->vnet = (struct virtio_net_hdr){0};
}

/* The ports of the quoted packet; of ICMP only the echo that can have been ours. */
static bool quoted_ports(const struct quote *q, uint8_t echo, bool id_is_src, be16 *ret_sport,
			 be16 *ret_dport)
{
	if (q->ip->proto == IPPROTO4_TCP || q->ip->proto == IPPROTO4_UDP) {
		*ret_sport = q->l4.ports->sport;
		*ret_dport = q->l4.ports->dport;
		return true;
	}
	*ret_sport = *ret_dport = 0;
	if (!flow_has_ports(q->ip->proto))
		return true;
	if (q->ip->proto != IPPROTO4_ICMP || q->l4.icmp->type != echo)
		return false;
	*ret_sport = id_is_src ? q->l4.icmp->id : 0;
	*ret_dport = id_is_src ? 0 : q->l4.icmp->id;
	return true;
}

/* About a packet that one of our guests had sent. */
enum drop_reason napt_icmp_from_outside(struct uplink *u, struct transit *t)
{
	struct quote q;
	be16 sport, dport;
	enum drop_reason why = check(t, &q);

	if (why)
		return why;
	if (!quoted_ports(&q, ICMP4_ECHO, true, &sport, &dport))
		return DROP_NAT_ICMP;
	struct session *s = flow_find_out(&u->nat->flow, flow_key(u->domain, q.ip->proto, q.ip->dst,
								  dport, q.ip->src, sport));
	if (!s)
		return DROP_NAT_ICMP;
	if (s->m->local)
		return DROP_NONE; /* our own services do without */
	const struct mapping *m = s->m;
	/* a router says who it is, a server that the gateway stands for does not */
	be32 src = pkt_ip4(t->k)->src == s->remote ? s->seen : pkt_ip4(t->k)->src;
	put_quote(&q, m->inside, m->iport, s->seen, s->rport, (be16)~s->d_addr, (be16)~s->d_full);
	finish(t->k, src, m->inside);
	return napt_emit(s, t, false);
}

/* About a packet that had come in to one of our guests. */
enum drop_reason napt_icmp_from_inside(struct gateway *g, struct transit *t)
{
	struct quote q;
	be16 sport, dport;
	enum drop_reason why = check(t, &q);

	if (why)
		return why;
	if (!quoted_ports(&q, ICMP4_ECHO_REPLY, false, &sport, &dport))
		return DROP_NAT_ICMP;
	struct session *s = flow_find_in(&g->nat->flow, flow_key(t->leg->domain, q.ip->proto, q.ip->dst,
								 dport, q.ip->src, sport));
	if (!s || pkt_ip4(t->k)->dst != s->seen)
		return DROP_NAT_ICMP;
	const struct mapping *m = s->m;
	put_quote(&q, s->remote, s->rport, m->outside, m->oport, s->d_addr, s->d_full);
	finish(t->k, m->outside, s->remote);
	return napt_emit(s, t, true);
}
