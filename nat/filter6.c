/* The filter of filter6.h: its table, what opens, what is let in. */
#include "nat/filter6.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "nat/internal.h"
#include "nat/tcp_track.h"
#include "net/wire.h"

#define FILTER6_TICK (500 * NSEC_PER_MSEC)
#define FRAG_TTL (30 * NSEC_PER_SEC) /* as nat/frag.c's */
#define PORT_IKE 500u
#define QUOTED 64u /* of a packet that an error is about: two headers and ports */

struct flow6_key {
	uint8_t inside[16], remote[16]; /* remote zero: anybody */
	be16 iport, rport;
	domain_idx domain;
	uint8_t proto;
};

struct flow6 {
	struct tab_node node;
	struct flow6_key key;
	uint8_t state; /* enum tcp_state */
	struct filter6_owner *owner;
	nsec_t expires;
	struct wheel_timer timer;
	struct lru_node of_owner;
};

/* ---- the table ---- */

int filter6_init(struct filter6 *f, uint32_t max, nsec_t now)
{
	for (unsigned i = 0; i < FILTER6_CLASSES; i++)
		lru_init(&f->heavy[i]);
	wheel_init(&f->wheel, now, FILTER6_TICK);
	f->owner = calloc(SW_PORTS_MAX, sizeof(*f->owner));
	if (f->owner && table_init(&f->flows, max) == 0 && pool_init(&f->pool, sizeof(struct flow6), max) == 0)
		return 0;
	filter6_fini(f);
	return -ENOMEM;
}

void filter6_fini(struct filter6 *f)
{
	free(f->owner);
	f->owner = NULL;
	table_fini(&f->flows);
	pool_fini(&f->pool);
}

static uint32_t hash_of(const struct table *t, const struct flow6_key *k)
{
	uint64_t a[4], h = t->secret;

	memcpy(a, k->inside, 16);
	memcpy(a + 2, k->remote, 16);
	for (unsigned i = 0; i < ARRAY_SIZE(a); i++)
		h = hash_mix(h ^ a[i]);
	return table_hash2(t, h, (uint64_t)k->iport << 40 | (uint64_t)k->rport << 24 | (uint64_t)k->domain << 8 | k->proto);
}

static bool key_eq(const struct flow6_key *a, const struct flow6_key *b)
{
	return !memcmp(a->inside, b->inside, 16) && !memcmp(a->remote, b->remote, 16) && a->iport == b->iport &&
	       a->rport == b->rport && a->domain == b->domain && a->proto == b->proto;
}

static struct flow6 *find(const struct filter6 *f, const struct flow6_key *k)
{
	uint32_t h = hash_of(&f->flows, k);

	for (struct tab_node *n = table_chain(&f->flows, h); n; n = n->next) {
		struct flow6 *s = container_of(n, struct flow6, node);
		if (n->hash == h && key_eq(&s->key, k))
			return s;
	}
	return NULL;
}

/* Keeps a port in the list of its class. */
static void count(struct filter6 *f, struct filter6_owner *o, int by)
{
	o->n += (uint32_t)by;
	lru_del(&o->by_class);
	if (!o->n)
		return;
	unsigned class = 31 - (unsigned)__builtin_clz(o->n);
	lru_add(&f->heavy[class < FILTER6_CLASSES ? class : FILTER6_CLASSES - 1], &o->by_class);
}

static void end(struct filter6 *f, struct flow6 *s)
{
	table_del(&f->flows, &s->node);
	wheel_stop(&f->wheel, &s->timer);
	lru_del(&s->of_owner);
	count(f, s->owner, -1);
	pool_put(&f->pool, s);
}

static bool evict_one(struct filter6 *f)
{
	for (unsigned c = FILTER6_CLASSES; c-- > 0;) {
		struct lru_node *l = lru_oldest(&f->heavy[c]);
		if (!l)
			continue;
		l = lru_oldest(&container_of(l, struct filter6_owner, by_class)->flows);
		end(f, container_of(l, struct flow6, of_owner));
		f->evicted++;
		return true;
	}
	return false;
}

static struct filter6_owner *owner_of(struct filter6 *f, port_idx p)
{
	struct filter6_owner *o = &f->owner[p < SW_PORTS_MAX ? p : 0];

	if (!o->used) {
		lru_init(&o->flows);
		o->used = true;
	}
	return o;
}

static void expire_at(struct filter6 *f, struct worker *w, struct flow6 *s, nsec_t at)
{
	bool sooner = at < s->expires || !wheel_armed(&s->timer);

	s->expires = at;
	if (!sooner)
		return; /* lazily: the timer finds out */
	wheel_arm(&f->wheel, &s->timer, at);
	f->wake(f->arg, w, at);
}

/* DROP_NONE and the flow, or why there is none. */
static enum drop_reason open_flow(struct gateway *g, const struct transit *t, const struct flow6_key *k,
				  struct flow6 **ret)
{
	struct filter6 *f = &g->nat->filter6;
	struct filter6_owner *o = owner_of(f, t->k->in_port);
	struct flow6 *s;

	if (o->n >= g->conf.sessions_per_guest)
		return DROP_NAT_SESSIONS;
	s = pool_get(&f->pool);
	if (!s && evict_one(f))
		s = pool_get(&f->pool);
	if (!s)
		return DROP_NAT_TABLE;
	s->key = *k;
	s->owner = o;
	table_add(&f->flows, &s->node, hash_of(&f->flows, k));
	lru_add(&o->flows, &s->of_owner);
	count(f, o, 1);
	*ret = s;
	return DROP_NONE;
}

void filter6_forget(struct filter6 *f, domain_idx d)
{
	for (uint32_t b = 0; b <= f->flows.mask; b++) {
		struct tab_node *next;
		for (struct tab_node *n = f->flows.bucket[b]; n; n = next) {
			struct flow6 *s = container_of(n, struct flow6, node);
			next = n->next;
			if (s->key.domain == d)
				end(f, s);
		}
	}
	for (unsigned i = 0; i < FILTER6_FRAGS; i++)
		if (f->frag[i].domain == d)
			f->frag[i].until = 0;
}

struct due_arg {
	struct filter6 *f;
	nsec_t now;
};

static void due(void *arg, struct wheel_timer *timer)
{
	struct due_arg *d = arg;
	struct flow6 *s = container_of(timer, struct flow6, timer);

	if (s->expires > d->now)
		wheel_arm(&d->f->wheel, &s->timer, s->expires);
	else
		end(d->f, s);
}

void filter6_advance(struct filter6 *f, nsec_t now)
{
	struct due_arg d = {f, now};

	wheel_advance(&f->wheel, now, due, &d);
}

/* ---- what a packet is ---- */

enum kind6 {
	CLASS_FREE,    /* needs no flow, either way */
	CLASS_FLOW,    /* opens one from inside, needs one from outside */
	CLASS_ANSWER,  /* needs none from inside, one from outside: an echo reply */
	CLASS_ERROR,   /* likewise, that of the packet it quotes */
	CLASS_REFUSED, /* goes out, never comes in */
};

/* REC-21 to REC-28: what protects itself, or moves hosts, is not for us to stop. */
static bool is_free_proto(uint8_t proto)
{
	static const uint8_t free_protos[] = {50 /* ESP */, 51 /* AH */, 135 /* Mobile IPv6 */, 139 /* HIP */};

	return memchr(free_protos, proto, sizeof(free_protos)) != NULL;
}

static enum kind6 class_of_icmp(const struct pkt *k)
{
	uint8_t type = pkt_icmp(k)->type;

	if (type < ICMP6_INFORMATIONAL)
		return CLASS_ERROR;
	return type == ICMP6_ECHO ? CLASS_FLOW : type == ICMP6_ECHO_REPLY ? CLASS_ANSWER : CLASS_REFUSED;
}

static enum kind6 class_of(const struct pkt *k, bool out)
{
	if (is_free_proto(pkt_ip6(k)->next) || is_free_proto(k->ip_proto))
		return CLASS_FREE;
	if (!(k->flags & PKT_L4))
		return CLASS_FLOW;
	if (k->ip_proto == IPPROTO6_ICMP)
		return class_of_icmp(k);
	/* its answers go to the port that has asked, which need not be that one: out, it opens a flow */
	return !out && k->ip_proto == IPPROTO4_UDP && pkt_udp(k)->dport == htobe16(PORT_IKE) ? CLASS_FREE : CLASS_FLOW;
}

static bool has_l4(uint8_t proto)
{
	return proto == IPPROTO4_TCP || proto == IPPROTO4_UDP || proto == IPPROTO6_ICMP;
}

static struct flow6_key make_key(domain_idx d, uint8_t proto, const uint8_t inside[16], const uint8_t remote[16],
				 be16 iport, be16 rport)
{
	struct flow6_key k = {.domain = d, .proto = proto, .iport = iport};

	memcpy(k.inside, inside, 16);
	if (proto == IPPROTO4_UDP)
		return k; /* whoever it is (REC-17) */
	memcpy(k.remote, remote, 16);
	k.rport = rport;
	return k;
}

/* inside: the guest's address as he knows it; out: the packet is from him */
static struct flow6_key key_of(domain_idx d, const struct pkt *k, const uint8_t inside[16], bool out)
{
	const uint8_t *remote = out ? pkt_ip6(k)->dst : pkt_ip6(k)->src;
	const struct udp_hdr *u = pkt_udp(k); /* at the same place in TCP */

	if (!(k->flags & PKT_L4))
		return make_key(d, k->ip_proto, inside, remote, 0, 0);
	if (k->ip_proto == IPPROTO6_ICMP)
		return make_key(d, k->ip_proto, inside, remote, pkt_icmp(k)->id, 0);
	return make_key(d, k->ip_proto, inside, remote, out ? u->sport : u->dport, out ? u->dport : u->sport);
}

/* ---- fragments ---- */

static bool is_later(const struct pkt *k)
{
	const struct ip6_frag *f = pkt_ip6_frag(k);

	return (k->flags & PKT_FRAGMENT) && f && (be16toh(f->off) & IP6_OFFSET);
}

static struct filter6_frag *frag_at(struct filter6 *f, domain_idx d, const struct pkt *k)
{
	const struct ip6_hdr *ip = pkt_ip6(k);
	uint64_t a[4], h = f->flows.secret;

	memcpy(a, ip->src, 16);
	memcpy(a + 2, ip->dst, 16);
	for (unsigned i = 0; i < ARRAY_SIZE(a); i++)
		h = hash_mix(h ^ a[i]);
	return &f->frag[table_hash2(&f->flows, h, (uint64_t)pkt_ip6_frag(k)->id << 16 | d) % FILTER6_FRAGS];
}

static void frag_let_in(struct filter6 *f, domain_idx d, const struct pkt *k, nsec_t now)
{
	struct filter6_frag *x = frag_at(f, d, k);

	*x = (struct filter6_frag){.id = pkt_ip6_frag(k)->id, .domain = d, .until = now + FRAG_TTL};
	memcpy(x->src, pkt_ip6(k)->src, 16);
	memcpy(x->dst, pkt_ip6(k)->dst, 16);
}

static enum drop_reason frag_known(struct filter6 *f, domain_idx d, const struct pkt *k, nsec_t now)
{
	const struct filter6_frag *x = frag_at(f, d, k);

	return x->until > now && x->domain == d && x->id == pkt_ip6_frag(k)->id &&
	       !memcmp(x->src, pkt_ip6(k)->src, 16) && !memcmp(x->dst, pkt_ip6(k)->dst, 16)
		       ? DROP_NONE : DROP_NAT_FRAGMENT;
}

/* ---- time ---- */

static nsec_t timeout_of(const struct gateway *g, const struct flow6 *s)
{
	switch (s->key.proto) {
	case IPPROTO4_TCP:
		return tcp_track_timer(s->state) == TCPT_ESTABLISHED ? g->tcp_est_ns : g->tcp_trans_ns;
	case IPPROTO6_ICMP:
		return g->icmp_ns;
	default:
		return g->udp_ns;
	}
}

static void track(struct gateway *g, const struct transit *t, struct flow6 *s, enum tcp_side from)
{
	uint8_t was = s->state;

	if (s->key.proto != IPPROTO4_TCP)
		return;
	s->state = tcp_track(was, from, pkt_tcp(t->k)->flags);
	if (s->state != was)
		expire_at(&g->nat->filter6, t->w, s, t->now + timeout_of(g, s));
}

/* ---- out ---- */

enum drop_reason filter6_out(struct gateway *g, struct transit *t)
{
	const struct pkt *k = t->k;
	struct filter6 *f = &g->nat->filter6;

	if (is_later(k) || class_of(k, true) != CLASS_FLOW)
		return DROP_NONE;
	const struct flow6_key key = key_of(t->leg->domain, k, pkt_ip6(k)->src, true);
	struct flow6 *s = find(f, &key);
	if (!s) {
		const uint8_t flags = key.proto == IPPROTO4_TCP && (k->flags & PKT_L4) ? pkt_tcp(k)->flags : 0;
		if (flags & TCP_RST)
			return DROP_NONE; /* the end of what is not known */
		enum drop_reason why = open_flow(g, t, &key, &s);
		if (why)
			return why;
		s->state = (flags & (TCP_SYN | TCP_ACK)) == TCP_SYN ? TCPS_SYN_SENT : TCPS_ESTABLISHED;
		expire_at(f, t->w, s, t->now + timeout_of(g, s));
		return DROP_NONE;
	}
	if (k->flags & PKT_L4)
		track(g, t, s, TCP_FROM_INSIDE);
	if (key.proto != IPPROTO4_TCP || tcp_track_refreshes(s->state))
		expire_at(f, t->w, s, t->now + timeout_of(g, s)); /* REC-16 */
	return DROP_NONE;
}

/* ---- in ---- */

/* An error names what a guest has sent: of a flow of its own, or of what needs none. */
static enum drop_reason error_in(struct filter6 *f, domain_idx d, const struct pkt *k, const uint8_t inside[16])
{
	const uint32_t at = k->l4_off + (uint32_t)sizeof(struct icmp_hdr);
	uint8_t room[QUOTED], src[16], dst[16];
	uint32_t left = k->len > at ? k->len - at : 0;

	left = left < sizeof(room) ? left : (uint32_t)sizeof(room);
	if (!pkt_read(k, at, room, left))
		return DROP_NAT_ICMP;
	struct wire w = wire_reader(room, left);
	wire_skip(&w, offsetof(struct ip6_hdr, next));
	uint8_t proto = wire_get_u8(&w);
	wire_skip(&w, 1);
	wire_get(&w, src, sizeof(src));
	wire_get(&w, dst, sizeof(dst));
	if (wire_ok(&w) && proto == IPPROTO6_FRAGMENT) { /* its first, or there are no ports */
		proto = wire_get_u8(&w);
		wire_skip(&w, 1);
		if (wire_get_u16(&w) & IP6_OFFSET)
			return DROP_NAT_ICMP;
		wire_skip(&w, 4);
	}
	if (!wire_ok(&w) || room[0] >> 4 != 6 || memcmp(src, pkt_ip6(k)->dst, sizeof(src)))
		return DROP_NAT_ICMP;
	if (is_free_proto(proto))
		return DROP_NONE;
	be16 sport = 0, dport = 0;
	if (has_l4(proto)) {
		if (proto == IPPROTO6_ICMP)
			wire_skip(&w, 4);
		sport = htobe16(wire_get_u16(&w));
		dport = htobe16(wire_get_u16(&w));
	}
	const struct flow6_key key = make_key(d, proto, inside, dst, sport, proto == IPPROTO6_ICMP ? 0 : dport);
	return wire_ok(&w) && find(f, &key) ? DROP_NONE : DROP_NAT_ICMP;
}

static enum drop_reason flow_in(struct gateway *g, struct transit *t, const uint8_t inside[16])
{
	struct filter6 *f = &g->nat->filter6;
	const struct flow6_key key = key_of(g->leg.domain, t->k, inside, false);
	struct flow6 *s = find(f, &key);

	if (!s) {
		if (key.proto == IPPROTO4_TCP && (t->k->flags & PKT_L4) && !t->leg)
			syn_wait6(g, t);
		return DROP_GW_UNSOLICITED;
	}
	if (t->k->flags & PKT_L4)
		track(g, t, s, TCP_FROM_OUTSIDE);
	return DROP_NONE;
}

/* Whom a packet is for, whose prefix may not be translated yet. */
static void inside_of(const struct gateway *g, const struct pkt *k, uint8_t ret[16])
{
	memcpy(ret, pkt_ip6(k)->dst, 16);
	if (g->conf.npt.len)
		npt_in(&g->npt, ret);
}

enum drop_reason filter6_in(struct gateway *g, struct transit *t)
{
	struct filter6 *f = &g->nat->filter6;
	const struct pkt *k = t->k;
	enum drop_reason why;
	uint8_t inside[16];

	inside_of(g, k, inside);
	if (is_later(k))
		return frag_known(f, g->leg.domain, k, t->now);
	/* RFC 8200 4.5, RFC 7112: the first fragment has all headers */
	if ((k->flags & PKT_FRAGMENT) && has_l4(k->ip_proto) && !(k->flags & PKT_L4))
		return DROP_NAT_FRAGMENT;
	switch (class_of(k, false)) {
	case CLASS_FREE:
		why = DROP_NONE;
		break;
	case CLASS_ERROR:
		why = error_in(f, g->leg.domain, k, inside);
		break;
	case CLASS_FLOW: /* a request for echo opens nothing, so that none matches */
		why = k->ip_proto == IPPROTO6_ICMP ? DROP_GW_UNSOLICITED : flow_in(g, t, inside);
		break;
	case CLASS_ANSWER:
		why = flow_in(g, t, inside);
		break;
	default:
		why = DROP_GW_UNSOLICITED;
		break;
	}
	if (!why && (k->flags & PKT_FRAGMENT))
		frag_let_in(f, g->leg.domain, k, t->now);
	return why;
}

bool filter6_knows(const struct gateway *g, const struct pkt *k)
{
	uint8_t inside[16];

	inside_of(g, k, inside);
	const struct flow6_key key = key_of(g->leg.domain, k, inside, false);
	return find(&g->nat->filter6, &key) != NULL;
}
