/* Translation of what crosses between a gateway (nat/gateway.c) and its uplink
 * (nat/uplink.c): RFC 4787, 5382, 5508.
 *
 * The established path is one look-up of the packet's 5-tuple, the checksum deltas
 * that the session has ready, TTL, and the neighbour's MAC address.  Payload is never
 * looked at; a TSO frame of 64 KB costs what a small one does.  Everything else, a first
 * packet, SYN, FIN, a size beyond the next MTU, leaves that path. */
#include "nat/internal.h"
#include "nat/tcp_track.h"
#include "net/gso.h"
#include "net/wire.h"

#define TCP_OPT_END 0
#define TCP_OPT_NOP 1
#define TCP_OPT_MSS 2
#define IP_TCP_HEADERS 40u

enum side { TO_OUTSIDE, TO_INSIDE };

/* ---- fields ---- */

struct l4_ports { /* the first four bytes of TCP and UDP */
	be16 sport, dport;
};

/* Ports as the keys have them: of ICMP echo the id at the guest's side, 0 at the other. */
static inline struct l4_ports ports_of(const struct pkt *k, enum side s)
{
	if (likely(k->ip_proto == IPPROTO4_TCP || k->ip_proto == IPPROTO4_UDP)) {
		const struct udp_hdr *u = pkt_udp(k); /* at the same place in TCP */
		return (struct l4_ports){u->sport, u->dport};
	}
	if (k->ip_proto != IPPROTO4_ICMP)
		return (struct l4_ports){0, 0};
	be16 id = pkt_icmp(k)->id;
	return s == TO_OUTSIDE ? (struct l4_ports){id, 0} : (struct l4_ports){0, id};
}

static inline uint8_t tcp_flags(const struct pkt *k)
{
	return k->ip_proto == IPPROTO4_TCP ? pkt_tcp(k)->flags : 0;
}

static nsec_t tcp_timeout(const struct gateway *g, enum tcp_state s)
{
	return tcp_track_timer(s) == TCPT_ESTABLISHED ? g->tcp_est_ns : g->tcp_trans_ns;
}

static nsec_t timeout_of(const struct session *s)
{
	const struct gateway *g = s->m->gw;

	switch (s->m->proto) {
	case IPPROTO4_TCP:
		return tcp_timeout(g, s->state);
	case IPPROTO4_GRE:
	case IPPROTO4_ESP:
	case IPPROTO4_UDP:
		return s->m->local ? GATEWAY_LOCAL_TIMEOUT_S * NSEC_PER_SEC : g->udp_ns;
	default:
		return g->icmp_ns;
	}
}

/* ---- rewriting ---- */

void napt_rewrite_ip(struct ip4_hdr *ip, be32 src, be32 dst, be16 d_addr)
{
	be16 before = htobe16((uint16_t)(ip->ttl << 8 | ip->proto));

	ip->ttl--;
	ip->csum = csum_apply(ip->csum, (csum_t)d_addr +
		csum_delta16(before, htobe16((uint16_t)(ip->ttl << 8 | ip->proto))));
	ip->src = src;
	ip->dst = dst;
}

static inline be16 apply(const struct pkt *k, be16 csum, be16 d_addr, be16 d_full)
{
	/* a pending checksum holds the pseudo-header sum only: ports are not in it */
	if (l4_csum_pending(k))
		return csum_apply_partial(csum, d_addr);
	return csum_apply(csum, d_full);
}

static inline void rewrite_udp(struct pkt *k, be16 d_addr, be16 d_full)
{
	struct udp_hdr *u = pkt_udp(k);
	bool pending = l4_csum_pending(k);

	if (!u->csum && !pending)
		return; /* RFC 768: the sender made none */
	u->csum = apply(k, u->csum, d_addr, d_full);
	if (!u->csum && !pending)
		u->csum = 0xffff;
}

static void rewrite_other(struct pkt *k, be16 id, be16 d_full)
{
	struct icmp_hdr *i = pkt_icmp(k);

	/* no pseudo-header in GRE's checksum (RFC 2784 2.3), and none that we know in ESP */
	if (!flow_has_ports(k->ip_proto))
		return;
	i->csum = csum_apply(i->csum, d_full);
	i->id = id;
}

static inline __attribute__((always_inline)) void rewrite_l4(struct pkt *k, struct l4_ports p, be16 d_addr, be16 d_full,
			      enum side to)
{
	if (likely(k->ip_proto == IPPROTO4_TCP)) {
		pkt_tcp(k)->csum = apply(k, pkt_tcp(k)->csum, d_addr, d_full);
	} else if (likely(k->ip_proto == IPPROTO4_UDP)) {
		rewrite_udp(k, d_addr, d_full);
	} else {
		rewrite_other(k, to == TO_OUTSIDE ? p.sport : p.dport, d_full);
		return;
	}
	pkt_udp(k)->sport = p.sport;
	pkt_udp(k)->dport = p.dport;
}

static inline void rewrite(struct pkt *k, const struct session *s, enum side to)
{
	const struct mapping *m = s->m;

	if (to == TO_OUTSIDE) {
		rewrite_l4(k, (struct l4_ports){m->oport, s->rport}, s->d_addr, s->d_full, to);
		napt_rewrite_ip(pkt_ip4(k), m->outside, s->remote, s->d_addr);
	} else {
		rewrite_l4(k, (struct l4_ports){s->rport, m->iport}, (be16)~s->d_addr,
			   (be16)~s->d_full, to);
		napt_rewrite_ip(pkt_ip4(k), s->seen, m->inside, (be16)~s->d_addr);
	}
}

/* Lowers the MSS option of a SYN to what both MTUs carry (RFC 4459 3.2, "MSS clamping"). */
static void clamp_mss(struct pkt *k, uint32_t mtu)
{
	struct tcp_hdr *tcp = pkt_tcp(k);
	size_t header = (size_t)(tcp->off >> 4) * 4;
	size_t in_head = (size_t)(k->head_len - k->l4_off);
	struct wire o = wire_reader(tcp, header < in_head ? header : in_head);
	uint16_t most = (uint16_t)(mtu - IP_TCP_HEADERS);

	wire_skip(&o, sizeof(*tcp));
	while (wire_left(&o) > 0) {
		uint8_t kind = wire_get_u8(&o);
		if (kind == TCP_OPT_END)
			return;
		if (kind == TCP_OPT_NOP)
			continue;
		uint8_t len = wire_get_u8(&o);
		if (kind != TCP_OPT_MSS || len != 4) {
			wire_skip(&o, len < 2 ? wire_left(&o) + 1 : len - 2u);
			continue;
		}
		size_t at = wire_pos(&o);
		uint16_t mss = wire_get_u16(&o);
		if (!wire_ok(&o) || mss <= most)
			return;
		wire_patch_u16(&o, at, most);
		if (l4_csum_pending(k))
			return; /* the payload is not in the sum yet */
		be16 from = htobe16(mss), to = htobe16(most);
		if (at & 1) { /* the two bytes stand in different words of the sum */
			from = __builtin_bswap16(from);
			to = __builtin_bswap16(to);
		}
		tcp->csum = csum_apply(tcp->csum, csum_delta16(from, to));
		return;
	}
}

/* ---- size ---- */

/* The largest IP packet this becomes on a wire. */
static uint32_t wire_size(const struct pkt *k)
{
	uint32_t l3 = be16toh(pkt_ip4(k)->len);

	if (k->vnet.gso_type == VIRTIO_NET_HDR_GSO_NONE)
		return l3;
	uint32_t l4_header = k->ip_proto == IPPROTO4_TCP ? (uint32_t)(pkt_tcp(k)->off >> 4) * 4
							 : (uint32_t)sizeof(struct udp_hdr);
	return (uint32_t)(k->l4_off - k->l3_off) + l4_header + k->vnet.gso_size;
}

static bool may_cut(const struct pkt *k)
{
	return !(be16toh(pkt_ip4(k)->frag) & IP4_DF) && k->vnet.gso_type == VIRTIO_NET_HDR_GSO_NONE;
}

/* ---- the way out of here ---- */

enum drop_reason transit_send(struct nat *n, struct transit *t, struct neigh_if *out,
			      struct neigh_ref *hop, be32 hop_ip)
{
	struct neigh *h = neigh_at(&n->neigh, *hop);
	enum drop_reason why;

	if (unlikely(!h)) {
		h = neigh_get(&n->neigh, out, hop_ip);
		if (!h)
			return DROP_GW_UNREACHABLE;
		*hop = neigh_ref(&n->neigh, h);
	}
	if (unlikely(t->k->len > out->mtu + ETH_HLEN_) && wire_size(t->k) > out->mtu &&
	    (h->state == NEIGH_REACHABLE_ || h->state == NEIGH_PROBE))
		return frag_cut(t, out, h->mac);
	/* one that waits for ARP is cut when it comes out: too rare to carry the MTU there */
	why = neigh_output(&n->neigh, h, t->w, t->now, t->k, t->origin);
	if (likely(why == DROP_NONE))
		t->k = NULL;
	return why;
}

be32 uplink_next(const struct uplink *u, be32 dst)
{
	be32 via = u->conf.gateway;
	int longest = -1;

	if (!u->conf.address.addr)
		return 0;
	if (prefix4_contains(u->conf.address, dst))
		return dst;
	for (unsigned i = 0; i < u->conf.n_routes; i++) {
		const struct route4 *r = &u->conf.routes[i];
		if (r->to.len > longest && prefix4_contains(r->to, dst)) {
			longest = r->to.len;
			via = r->via;
		}
	}
	return via;
}

struct neigh *uplink_hop(struct uplink *u, be32 dst)
{
	be32 ip = uplink_next(u, dst);

	return ip ? neigh_get(&u->nat->neigh, &u->nif, ip) : NULL;
}

enum drop_reason napt_emit(struct session *s, struct transit *t, bool to_outside)
{
	struct mapping *m = s->m;
	struct nat *n = m->gw->nat;

	if (to_outside && unlikely(s->hairpin)) { /* RFC 4787 REQ-9 */
		t->quiet = true;
		return napt_from_outside(m->up, t);
	}
	if (to_outside) { /* while the neighbour is known, nobody asks for its address */
		be32 hop = likely(neigh_at(&n->neigh, s->hop) != NULL) ? 0 : uplink_next(m->up, s->remote);
		return transit_send(n, t, &m->up->nif, &s->hop, hop);
	}
	if (unlikely(m->local))
		return gateway_deliver(m->gw, t, be16toh(m->iport));
	return transit_send(n, t, &m->leg->nif, &m->hop, m->inside);
}

/* ---- sessions that exist ---- */

static void track_tcp(struct session *s, struct transit *t, enum side to, uint8_t flags)
{
	const struct gateway *g = s->m->gw;
	enum tcp_state was = s->state;

	s->state = tcp_track(was, to == TO_OUTSIDE ? TCP_FROM_INSIDE : TCP_FROM_OUTSIDE, flags);
	if (s->state != was)
		flow_expire_at(&g->nat->flow, t->w, s, t->now + tcp_timeout(g, s->state));
	if (flags & TCP_SYN)
		clamp_mss(t->k, g->conf.mtu < s->m->up->conf.mtu ? g->conf.mtu : s->m->up->conf.mtu);
}

static inline void refresh(struct session *s, struct transit *t)
{
	nsec_t at;

	if (s->m->proto == IPPROTO4_TCP && !tcp_track_refreshes(s->state))
		return;
	at = t->now + timeout_of(s);
	s->m->fresh_until = at;
	if (likely(at >= s->expires))
		s->expires = at; /* lazily: the timer finds out */
	else
		flow_expire_at(&s->m->gw->nat->flow, t->w, s, at); /* the timers were shortened */
}

enum drop_reason transit_check(struct nat *n, struct transit *t, struct neigh_if *in,
			       struct token_bucket *b, uint32_t mtu)
{
	if (unlikely(pkt_ip4(t->k)->ttl <= 1)) {
		icmp_error(n, in, b, t, ICMP4_TIME_EXCEEDED, 0, 0);
		return DROP_GW_TTL;
	}
	if (unlikely(t->k->len > mtu + ETH_HLEN_) && wire_size(t->k) > mtu && !may_cut(t->k)) {
		icmp_error(n, in, b, t, ICMP4_UNREACHABLE, ICMP4_UNREACH_FRAG, (uint16_t)mtu);
		return DROP_GW_TOO_BIG;
	}
	return DROP_NONE;
}

static struct frag_way frag_way(const struct session *s, enum side to)
{
	struct mapping *m = s->m;

	if (to == TO_INSIDE)
		return (struct frag_way){
			.out = &m->leg->nif, .hop = m->inside, .new_src = s->seen, .new_dst = m->inside,
			.d_addr = (be16)~s->d_addr,
		};
	return (struct frag_way){
		.out = s->hairpin ? NULL : &m->up->nif, .back = s->hairpin ? m->up : NULL,
		.hop = uplink_next(m->up, s->remote), .new_src = m->outside, .new_dst = s->remote,
		.d_addr = s->d_addr,
	};
}

/* A first fragment is about to go; those that waited for it follow.  Our own services take none. */
static enum drop_reason cross_first(struct session *s, struct transit *t, enum side to,
				    struct frag_way *ret_way, struct pkt **ret_held)
{
	*ret_way = frag_way(s, to);
	return s->m->local ? DROP_NAT_FRAGMENT : frag_first(s->m->gw->nat, t, ret_way, ret_held);
}

static enum drop_reason cross(struct session *s, struct transit *t, enum side to)
{
	struct nat *n = s->m->gw->nat;
	uint8_t flags = tcp_flags(t->k);
	struct pkt *held = NULL;
	struct frag_way way;
	enum drop_reason why;

	if (unlikely(t->k->ip_proto == IPPROTO4_ICMP &&
		     t->k->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		gso_finish_csum(t->k);
	if (unlikely((flags & (TCP_SYN | TCP_FIN | TCP_RST)) ||
		     (s->state == TCPS_RESET && t->k->ip_proto == IPPROTO4_TCP)))
		track_tcp(s, t, to, flags);
	if (to == TO_OUTSIDE)
		refresh(s, t);
	if (unlikely(s->ftp))
		alg_ftp_cross(n, s, t, to == TO_OUTSIDE);
	if (unlikely(t->k->flags & PKT_FRAGMENT) && (why = cross_first(s, t, to, &way, &held)))
		return why;
	rewrite(t->k, s, to);
	why = napt_emit(s, t, to == TO_OUTSIDE);
	if (unlikely(held))
		frag_release(n, t, &way, held);
	return why;
}

/* Why a packet can neither be of a session nor an error about one. */
static inline enum drop_reason untranslatable(const struct pkt *k, uint8_t echo)
{
	if (unlikely(!(k->flags & PKT_L4)))
		return flow_has_ports(k->ip_proto) ? DROP_NAT_PROTOCOL : DROP_NONE;
	switch (k->ip_proto) {
	case IPPROTO4_TCP:
	case IPPROTO4_UDP:
		return DROP_NONE;
	case IPPROTO4_ICMP:
		return pkt_icmp(k)->type == echo || icmp_is_error(k) ? DROP_NONE : DROP_NAT_PROTOCOL;
	default:
		return DROP_NAT_PROTOCOL;
	}
}

/* ---- bursts ---- */

void napt_prefetch(const struct nat *n, const struct pkt_out *v, unsigned count, bool to_outside)
{
	struct flow_key key[PKT_BURST];
	unsigned keys = 0;

	if (count < 2 || n->flow.in.count < FLOW_NEAR)
		return;
	for (unsigned i = 0; i < count; i++) {
		const struct pkt *k = v[i].pkt;
		if ((k->flags & (PKT_IP4 | PKT_L4)) != (PKT_IP4 | PKT_L4))
			continue;
		const struct ip4_hdr *ip = pkt_ip4(k);
		struct l4_ports p = ports_of(k, to_outside ? TO_OUTSIDE : TO_INSIDE);
		key[keys++] = flow_key(k->domain, ip->proto, ip->src, p.sport, ip->dst, p.dport);
	}
	if (to_outside)
		flow_prefetch_in(&n->flow, key, keys);
	else
		flow_prefetch_out(&n->flow, key, keys);
}

/* ---- from inside ---- */

/* Whether the destination is something that this NAT never routes to: a network of ours. */
static bool forbidden(const struct gateway *g, be32 dst)
{
	const struct route *r = routing_find(g->nat, dst);

	if (prefix4_contains(g->conf.address, dst))
		return true;
	return r && !(g->up && g->up->domain == r->leg->domain); /* the uplink's own network is outside */
}

static bool opens_tcp(const struct pkt *k)
{
	return (pkt_tcp(k)->flags & (TCP_SYN | TCP_ACK | TCP_FIN | TCP_RST)) == TCP_SYN;
}

static enum drop_reason admit_out(struct gateway *g, struct transit *t, be32 dst)
{
	if (ip4_is_martian(dst))
		return DROP_GW_MARTIAN;
	/* before routes are looked for: an uplink that has gone leaves connections to reset */
	if (t->k->ip_proto == IPPROTO4_TCP && !opens_tcp(t->k)) {
		tcp_reset(g->nat, &t->leg->nif, &g->icmp, t);
		return DROP_NAT_NOT_SYN;
	}
	if (!g->up || forbidden(g, dst)) {
		icmp_error(g->nat, &t->leg->nif, &g->icmp, t, ICMP4_UNREACHABLE, ICMP4_UNREACH_HOST, 0);
		return DROP_GW_NO_ROUTE;
	}
	return DROP_NONE;
}

static struct session *start_out(struct gateway *g, struct transit *t, struct l4_ports p,
				 const struct flow_remote *r, enum drop_reason *ret_why)
{
	struct flow_table *f = &g->nat->flow;
	const struct ip4_hdr *ip = pkt_ip4(t->k);
	struct mapping *m = flow_map_in(f, t->leg->domain, ip->proto, ip->src, p.sport);
	struct neigh *hop = NULL;

	*ret_why = flow_admit(f, t->leg, ip->src, t->now);
	if (*ret_why)
		return NULL;
	*ret_why = DROP_GW_NO_ROUTE;
	if (r->remote != g->up->conf.address.addr && !(hop = uplink_hop(g->up, r->remote)))
		return NULL;
	if (!m && !(m = flow_map_new(f, t->leg, t->origin ? t->k->in_port : PORT_NONE, ip->proto, ip->src, p.sport,
				     ret_why)))
		return NULL;
	/* refresh() gives it what its protocol has, in a moment */
	struct session *s = flow_new(f, t->w, m, r, t->now + g->icmp_ns, ret_why);
	if (!s) {
		flow_map_unused(f, m);
		return NULL;
	}
	s->state = TCPS_SYN_SENT; /* of no meaning but for TCP */
	if (unlikely(g->conf.algs)) {
		bool ftp;
		alg_begin(g, m, p.dport, t, &ftp);
		s->ftp = ftp;
	}
	if (t->origin)
		m->guest->port = t->k->in_port;
	if (hop)
		s->hop = neigh_ref(&g->nat->neigh, hop);
	return s;
}

static bool over_quota(enum drop_reason why)
{
	return why == DROP_NAT_SESSIONS || why == DROP_NAT_MAPPINGS || why == DROP_NAT_PORT_QUOTA ||
	       why == DROP_NAT_RATE;
}

/* A packet that has no session yet.  seen: the address and port the guest has used. */
static enum drop_reason first_out(struct gateway *g, struct transit *t, struct l4_ports p,
				  struct session **ret_session)
{
	const struct ip4_hdr *ip = pkt_ip4(t->k);
	struct flow_remote r = {ip->dst, ip->dst, p.dport};
	enum drop_reason why;
	bool dns = ip->dst == g->conf.address.addr || (ip->dst && ip->dst == g->conf.dns_address);

	if (dns) /* the caller lets only DNS over TCP come here */
		r.remote = g->dns_upstream;
	why = admit_out(g, t, r.remote);
	if (why)
		return why;
	*ret_session = start_out(g, t, p, &r, &why);
	if (*ret_session)
		return DROP_NONE;
	if (why == DROP_GW_NO_ROUTE)
		icmp_error(g->nat, &t->leg->nif, &g->icmp, t, ICMP4_UNREACHABLE, ICMP4_UNREACH_HOST, 0);
	else if (over_quota(why)) /* RFC 5508 REQ-8 */
		icmp_error(g->nat, &t->leg->nif, &g->icmp, t, ICMP4_UNREACHABLE, ICMP4_UNREACH_ADMIN, 0);
	return why;
}

enum drop_reason napt_from_inside(struct gateway *g, struct transit *t)
{
	struct nat *n = g->nat;
	enum drop_reason why;

	if (unlikely(frag_is_later(t->k)))
		return frag_follow(n, t, g->port);
	why = untranslatable(t->k, ICMP4_ECHO);
	if (unlikely(why))
		return why;
	if (icmp_is_error(t->k))
		return napt_icmp_from_inside(g, t);

	const struct ip4_hdr *ip = pkt_ip4(t->k);
	struct l4_ports p = ports_of(t->k, TO_OUTSIDE);
	struct session *s = flow_find_in(&n->flow, flow_key(t->leg->domain, ip->proto, ip->src, p.sport,
							    ip->dst, p.dport));
	why = transit_check(n, t, &t->leg->nif, &g->icmp, g->up ? g->up->conf.mtu : MTU_DEFAULT);
	if (unlikely(why))
		return why;
	if (unlikely(!s) && (why = first_out(g, t, p, &s)))
		return why;
	if (unlikely(!transit_own(t)))
		return DROP_TX_NO_BUFFER;
	return cross(s, t, TO_OUTSIDE);
}

/* ---- from outside ---- */

static bool knows_address(const struct mapping *m, be32 remote)
{
	const struct lru_node *end = &m->sessions.head;

	for (const struct lru_node *l = end->next; l != end; l = l->next) {
		if (container_of(l, struct session, of_mapping)->remote == remote)
			return true;
	}
	return false;
}

/* RFC 4787 5: who may come in through a mapping that has no session for him. */
static bool filter_admits(const struct mapping *m, be32 remote)
{
	if (m->fixed)
		return true;
	switch (m->gw->conf.filtering) {
	case GATEWAY_FILTER_ENDPOINT_INDEPENDENT:
		return true;
	case GATEWAY_FILTER_ADDRESS_DEPENDENT:
		return knows_address(m, remote);
	default:
		return m->expects && knows_address(m, remote);
	}
}

static enum drop_reason unsolicited(struct uplink *u, const struct transit *t, enum drop_reason why)
{
	if (t->k->ip_proto == IPPROTO4_TCP && opens_tcp(t->k) && !ip4_is_martian(pkt_ip4(t->k)->src))
		syn_wait(u, t);
	return why;
}

static enum drop_reason first_in(struct uplink *u, struct transit *t, struct l4_ports p,
				 struct session **ret_session)
{
	struct flow_table *f = &u->nat->flow;
	const struct ip4_hdr *ip = pkt_ip4(t->k);
	struct mapping *m = flow_map_out(f, u->domain, ip->proto, ip->dst, p.dport);
	enum drop_reason why = DROP_NONE;
	struct neigh *hop = NULL;

	f->now = t->now;
	if (!m || ip->proto == IPPROTO4_ICMP)
		return unsolicited(u, t, DROP_NAT_NO_MAPPING);
	if (!filter_admits(m, ip->src))
		return unsolicited(u, t, DROP_NAT_FILTERED);
	if (ip4_is_martian(ip->src))
		return DROP_GW_MARTIAN;
	if (routing_is_inside(u, ip->src))
		return DROP_GW_SPOOFED;
	if (ip->proto == IPPROTO4_TCP && !opens_tcp(t->k))
		return DROP_NAT_NO_MAPPING;
	if (ip->src != u->conf.address.addr && !(hop = uplink_hop(u, ip->src)))
		return DROP_GW_NO_ROUTE;
	struct flow_remote r = {ip->src, ip->src, p.sport};
	/* What comes from outside does not prolong a mapping (RFC 4787 REQ-6); a forward
	 * has no such end. */
	nsec_t until = t->now + (ip->proto == IPPROTO4_TCP ? m->gw->tcp_trans_ns : m->gw->udp_ns);
	if (!m->fixed && until > m->fresh_until)
		until = m->fresh_until;
	*ret_session = flow_new(f, t->w, m, &r, until, &why);
	if (!*ret_session) {
		flow_map_unused(f, m);
		return why;
	}
	(*ret_session)->state = TCPS_SYN_RCVD;
	if (hop)
		(*ret_session)->hop = neigh_ref(&u->nat->neigh, hop);
	return DROP_NONE;
}

enum drop_reason napt_from_outside(struct uplink *u, struct transit *t)
{
	struct nat *n = u->nat;
	enum drop_reason why;

	if (unlikely(frag_is_later(t->k)))
		return frag_follow(n, t, u->port);
	why = untranslatable(t->k, ICMP4_ECHO_REPLY);
	if (unlikely(why))
		return why;
	if (icmp_is_error(t->k))
		return napt_icmp_from_outside(u, t);

	const struct ip4_hdr *ip = pkt_ip4(t->k);
	struct l4_ports p = ports_of(t->k, TO_INSIDE);
	struct session *s = flow_find_out(&n->flow, flow_key(u->domain, ip->proto, ip->src, p.sport,
							     ip->dst, p.dport));
	if (unlikely(!s) && (why = first_in(u, t, p, &s)))
		return why;
	why = transit_check(n, t, &u->nif, &u->icmp, s->m->gw->conf.mtu);
	if (unlikely(why))
		return why;
	if (unlikely(!transit_own(t)))
		return DROP_TX_NO_BUFFER;
	return cross(s, t, TO_INSIDE);
}
