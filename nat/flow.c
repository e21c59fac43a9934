/* The tables of nat/flow.h.  nat/napt.c decides when something is entered. */
#include "nat/flow.h"

#include <errno.h>
#include <stdlib.h>

#include "nat/internal.h"

#define CACHE_LINE 64
#define HOLDER_OUTSIDE SW_PORTS_MAX /* its place among the holders */
#define EVICT_FOR_PORT 8u /* sessions that may end for one outside port */
#define FLOW_TICK (500 * NSEC_PER_MSEC)
/* Usual, for the size of the mappings' tables: buckets spread over more pages than they fill are
 * resident all the same.  Fewer sessions make longer chains for first packets, no less room. */
#define SESSIONS_A_MAPPING 4u

int flow_init(struct flow_table *t, uint32_t max, nsec_t now)
{
	*t = (struct flow_table){0};
	for (unsigned i = 0; i < FLOW_HEAVY_CLASSES; i++)
		lru_init(&t->heavy[i]);
	wheel_init(&t->wheel, now, FLOW_TICK);
	if (table_init(&t->in, max) < 0 || table_init(&t->out, max) < 0 ||
	    table_init(&t->map_in, max / SESSIONS_A_MAPPING) < 0 ||
	    table_init(&t->map_out, max / SESSIONS_A_MAPPING) < 0 ||
	    table_init(&t->by_addr, max) < 0 ||
	    pool_init(&t->sessions, sizeof(struct session), max) < 0 ||
	    pool_init(&t->mappings, sizeof(struct mapping), max) < 0 ||
	    pool_init(&t->guests, sizeof(struct guest), max) < 0 ||
	    !(t->holder = calloc(HOLDER_OUTSIDE + 1, sizeof(*t->holder)))) {
		flow_fini(t);
		return -ENOMEM;
	}
	return 0;
}

void flow_fini(struct flow_table *t)
{
	struct table *tables[] = {&t->in, &t->out, &t->map_in, &t->map_out, &t->by_addr};
	struct pool *pools[] = {&t->sessions, &t->mappings, &t->guests};

	free(t->holder);
	t->holder = NULL;
	for (unsigned i = 0; i < ARRAY_SIZE(tables); i++)
		table_fini(tables[i]);
	for (unsigned i = 0; i < ARRAY_SIZE(pools); i++)
		pool_fini(pools[i]);
}

/* ---- keys ---- */

static inline bool key_eq(struct flow_key x, struct flow_key y)
{
	return x.a == y.a && x.b == y.b;
}

static inline uint32_t key_hash(const struct table *t, struct flow_key k)
{
	return table_hash2(t, k.a, k.b);
}

static inline struct flow_key in_key(const struct session *s)
{
	const struct mapping *m = s->m;
	return flow_key(m->domain, m->proto, m->inside, m->iport, s->seen, s->rport);
}

static inline struct flow_key out_key(const struct session *s)
{
	const struct mapping *m = s->m;
	return flow_key(m->up_domain, m->proto, s->remote, s->rport, m->outside, m->oport);
}

static inline struct flow_key map_key(domain_idx d, uint8_t proto, be32 ip, be16 port)
{
	return flow_key(d, proto, ip, port, 0, 0);
}

/* ---- finding ---- */

struct session *flow_find_in(const struct flow_table *t, struct flow_key k)
{
	uint32_t h = key_hash(&t->in, k);

	for (struct tab_node *n = table_chain(&t->in, h); n; n = n->next) {
		struct session *s = container_of(n, struct session, in);
		if (n->hash == h && key_eq(in_key(s), k))
			return s;
	}
	return NULL;
}

struct session *flow_find_out(const struct flow_table *t, struct flow_key k)
{
	uint32_t h = key_hash(&t->out, k);

	for (struct tab_node *n = table_chain(&t->out, h); n; n = n->next) {
		struct session *s = container_of(n, struct session, out);
		if (n->hash == h && key_eq(out_key(s), k))
			return s;
	}
	return NULL;
}

/* Sessions and mappings have two lines.  To ask for what is not there does no harm. */
static inline void prefetch_lines(uintptr_t at)
{
	prefetch((const void *)at);
	prefetch((const void *)(at + CACHE_LINE));
}

#define CHAIN_NEAR 2u /* nodes of a chain that are asked for; at load 1 the rest are one in twelve */

/* The buckets, then the sessions, then of those that are it the mapping, and of others the next. */
static void prefetch_burst(const struct table *t, const struct flow_key *k, unsigned n, size_t node_at)
{
	const struct tab_node *node[PKT_BURST];
	uint32_t hash[PKT_BURST];

	for (unsigned i = 0; i < n; i++) {
		hash[i] = key_hash(t, k[i]);
		table_prefetch(t, hash[i]);
	}
	for (unsigned i = 0; i < n; i++) {
		node[i] = table_chain(t, hash[i]);
		prefetch_lines((uintptr_t)node[i] - node_at);
	}
	for (unsigned step = 0; step < CHAIN_NEAR; step++) {
		for (unsigned i = 0; i < n; i++) {
			if (!node[i])
				continue;
			uintptr_t s = (uintptr_t)node[i] - node_at;
			bool found = node[i]->hash == hash[i];
			node[i] = found ? NULL : node[i]->next;
			prefetch_lines(found ? (uintptr_t)((const struct session *)s)->m
					     : (uintptr_t)node[i] - node_at);
		}
	}
}

void flow_prefetch_in(const struct flow_table *t, const struct flow_key *k, unsigned n)
{
	prefetch_burst(&t->in, k, n, offsetof(struct session, in));
}

void flow_prefetch_out(const struct flow_table *t, const struct flow_key *k, unsigned n)
{
	prefetch_burst(&t->out, k, n, offsetof(struct session, out));
}

struct mapping *flow_map_in(const struct flow_table *t, domain_idx d, uint8_t proto, be32 ip,
			    be16 port)
{
	struct flow_key k = map_key(d, proto, ip, port);
	uint32_t h = key_hash(&t->map_in, k);

	for (struct tab_node *n = table_chain(&t->map_in, h); n; n = n->next) {
		struct mapping *m = container_of(n, struct mapping, in);
		if (n->hash == h && key_eq(map_key(m->domain, m->proto, m->inside, m->iport), k))
			return m;
	}
	return NULL;
}

struct mapping *flow_map_out(const struct flow_table *t, domain_idx up, uint8_t proto, be32 ip,
			     be16 port)
{
	struct flow_key k = map_key(up, proto, ip, port);
	uint32_t h = key_hash(&t->map_out, k);

	for (struct tab_node *n = table_chain(&t->map_out, h); n; n = n->next) {
		struct mapping *m = container_of(n, struct mapping, out);
		if (n->hash == h && key_eq(map_key(m->up_domain, m->proto, m->outside, m->oport), k))
			return m;
	}
	return NULL;
}

/* ---- guests ---- */

static uint32_t guest_hash(const struct flow_table *t, domain_idx d, be32 addr)
{
	return table_hash2(&t->by_addr, addr, d);
}

struct guest *flow_guest(const struct flow_table *t, domain_idx d, be32 addr)
{
	uint32_t h = guest_hash(t, d, addr);

	for (struct tab_node *n = table_chain(&t->by_addr, h); n; n = n->next) {
		struct guest *g = container_of(n, struct guest, node);
		if (n->hash == h && g->addr == addr && g->domain == d)
			return g;
	}
	return NULL;
}

/* Its lists are made when it first has something, so that pages nobody needs stay untouched. */
static struct holder *holder_of(struct flow_table *t, port_idx p)
{
	struct holder *h = &t->holder[p < HOLDER_OUTSIDE ? p : HOLDER_OUTSIDE];

	for (unsigned i = 0; !h->guests[0].head.next && i < FLOW_HEAVY_CLASSES; i++)
		lru_init(&h->guests[FLOW_HEAVY_CLASSES - 1 - i]);
	return h;
}

static unsigned class_of(uint32_t n)
{
	unsigned class = n ? 31 - (unsigned)__builtin_clz(n) : 0;

	return class < FLOW_HEAVY_CLASSES ? class : FLOW_HEAVY_CLASSES - 1;
}

static void blocks_release(struct guest *g)
{
	for (unsigned i = 0; i < g->n_blocks; i++)
		ports_block_release(&g->blocks_of->ports, g->block[i]);
	g->n_blocks = 0;
}

static void guest_forget_idle(struct flow_table *t, struct guest *g)
{
	if (g->n_sessions || g->n_mappings)
		return;
	blocks_release(g);
	lru_del(&g->by_class);
	table_del(&t->by_addr, &g->node);
	pool_put(&t->guests, g);
}

/* Keeps a holder in the list of its class while it has sessions. */
static void holder_count(struct flow_table *t, struct holder *h, int by)
{
	h->n_sessions += (uint32_t)by;
	unsigned class = class_of(h->n_sessions);
	if (h->n_sessions && h->by_class.next && class == h->class)
		return;
	h->class = (uint8_t)class;
	lru_del(&h->by_class);
	if (h->n_sessions)
		lru_add(&t->heavy[class], &h->by_class);
}

/* Keeps a guest in the list of its class; with nothing left it is forgotten. */
static void guest_count(struct flow_table *t, struct guest *g, int by)
{
	struct holder *h = holder_of(t, g->holder);

	holder_count(t, h, by);
	g->n_sessions += (uint32_t)by;
	if (!g->n_sessions) {
		guest_forget_idle(t, g);
		return;
	}
	unsigned class = class_of(g->n_sessions);
	if (class == g->class)
		return;
	g->class = (uint8_t)class;
	lru_del(&g->by_class);
	lru_add(&h->guests[class], &g->by_class);
}

static struct holder *heaviest(const struct flow_table *t)
{
	for (unsigned c = FLOW_HEAVY_CLASSES; c-- > 0;) {
		const struct lru_node *end = &t->heavy[c].head;
		if (end->prev != end)
			return container_of(end->prev, struct holder, by_class);
	}
	return NULL;
}

static bool evict_one(struct flow_table *t)
{
	struct holder *h = heaviest(t);

	for (unsigned c = FLOW_HEAVY_CLASSES; h && c-- > 0;) {
		struct lru_node *l = lru_oldest(&h->guests[c]);
		struct lru_node *oldest = l ? lru_oldest(&container_of(l, struct guest, by_class)->sessions) : NULL;
		if (!oldest)
			continue;
		flow_end(t, container_of(oldest, struct session, of_guest));
		t->evicted++;
		return true;
	}
	return false;
}

static struct guest *guest_get(struct flow_table *t, domain_idx d, be32 addr, port_idx from)
{
	struct guest *g = flow_guest(t, d, addr);

	if (g)
		return g;
	g = pool_get(&t->guests);
	if (!g && evict_one(t))
		g = pool_get(&t->guests);
	if (!g)
		return NULL;
	g->addr = addr;
	g->domain = d;
	g->port = PORT_NONE;
	g->holder = from;
	lru_init(&g->sessions);
	lru_add(&holder_of(t, from)->guests[0], &g->by_class);
	table_add(&t->by_addr, &g->node, guest_hash(t, d, addr));
	return g;
}

/* ---- mappings ---- */

void flow_map_enter(struct flow_table *t, struct mapping *m)
{
	lru_init(&m->sessions);
	/* Of several forwards to one inside port only the first is found from inside. */
	if (!flow_map_in(t, m->domain, m->proto, m->inside, m->iport)) {
		table_add(&t->map_in, &m->in,
			  key_hash(&t->map_in, map_key(m->domain, m->proto, m->inside, m->iport)));
		m->in_in = true;
	}
	if (!flow_has_ports(m->proto))
		return; /* nothing comes in but what is of a session */
	table_add(&t->map_out, &m->out,
		  key_hash(&t->map_out, map_key(m->up_domain, m->proto, m->outside, m->oport)));
	m->in_out = true;
}

static void map_unlink(struct flow_table *t, struct mapping *m)
{
	if (m->in_in)
		table_del(&t->map_in, &m->in);
	if (m->in_out)
		table_del(&t->map_out, &m->out);
	m->in_in = m->in_out = false;
}

/* A guest as the ports know it: a keyed hash, never 0. */
static uint32_t owner_of(const struct guest *g)
{
	return g->node.hash | 1;
}

uint32_t flow_owner(const struct flow_table *t, domain_idx d, be32 addr)
{
	return guest_hash(t, d, addr) | 1;
}

void flow_map_unused(struct flow_table *t, struct mapping *m)
{
	struct guest *g = m->guest;

	if (m->n_sessions)
		return;
	if (m->fixed) {
		m->guest = NULL;
		return;
	}
	map_unlink(t, m);
	/* what was never seen outside needs no hold */
	if (m->oport) {
		ports_release(&m->up->ports, m->proto, be16toh(m->oport), m->used ? owner_of(g) : 0, t->now);
		g->n_ports--;
	}
	pool_put(&t->mappings, m);
	g->n_mappings--;
	guest_forget_idle(t, g);
}

void flow_map_leave(struct flow_table *t, struct mapping *m)
{
	struct lru_node *l;
	bool fixed = m->fixed;
	uint32_t left = m->n_sessions;

	while (left-- && (l = lru_oldest(&m->sessions)))
		flow_end(t, container_of(l, struct session, of_mapping));
	if (fixed)
		map_unlink(t, m);
}

void flow_map_retire(struct flow_table *t, struct mapping *m)
{
	map_unlink(t, m);
}

void flow_map_adopt(struct flow_table *t, struct mapping *dynamic, struct mapping *m)
{
	struct guest *g = dynamic->guest;
	struct lru_node *l;

	map_unlink(t, dynamic);
	flow_map_enter(t, m);
	m->guest = g;
	m->used = dynamic->used;
	m->n_sessions = dynamic->n_sessions;
	m->hop = dynamic->hop;
	while ((l = lru_oldest(&dynamic->sessions))) { /* their keys stay as they are */
		lru_del(l);
		lru_add(&m->sessions, l);
		container_of(l, struct session, of_mapping)->m = m;
	}
	g->n_ports--;
	g->n_mappings--;
	pool_put(&t->mappings, dynamic);
	if (!m->n_sessions)
		m->guest = NULL;
	guest_forget_idle(t, g);
}

/* RFC 6888 REQ-4: what one guest may have. */
static enum drop_reason map_quota(const struct guest *g, const struct gateway_conf *c)
{
	if (c->mappings_per_guest && g->n_mappings >= c->mappings_per_guest)
		return DROP_NAT_MAPPINGS;
	if (c->ports_per_guest && g->n_ports >= c->ports_per_guest)
		return DROP_NAT_PORT_QUOTA;
	return DROP_NONE;
}

/* In the guest's blocks, or in one more. */
static int pick_in_blocks(struct uplink *u, struct guest *g, uint16_t len, const struct ports_want *w,
			  enum drop_reason *ret_why)
{
	int port;

	if (g->blocks_of != u)
		blocks_release(g);
	g->blocks_of = u;
	for (unsigned i = 0; i < g->n_blocks; i++) {
		port = ports_pick_in(&u->ports, w, g->block[i]);
		if (port >= 0)
			return port;
	}
	*ret_why = g->n_blocks == GUEST_BLOCKS_MAX ? DROP_NAT_PORT_QUOTA : DROP_NAT_PORTS;
	if (g->n_blocks == GUEST_BLOCKS_MAX ||
	    !ports_block_take(&u->ports, len, w->random, w->now, &g->block[g->n_blocks]))
		return -1;
	return ports_pick_in(&u->ports, w, g->block[g->n_blocks++]);
}

static int pick_port(struct flow_table *t, struct gateway *gw, struct guest *g, uint8_t proto,
		     be16 iport, bool local, enum drop_reason *ret_why)
{
	struct ports_want want = {
		.proto = proto,
		/* RFC 4787 4.2.2: RTP and RTCP go by parity; TCP and ICMP ids need none */
		.parity = proto != IPPROTO4_UDP ? PORTS_ANY : be16toh(iport) & 1 ? PORTS_ODD : PORTS_EVEN,
		.owner = owner_of(g),
		.random = nat_random(gw->nat),
		.now = t->now,
	};

	if (!flow_has_ports(proto))
		return 0;
	*ret_why = DROP_NAT_PORTS;
	if (gw->conf.port_block && !local)
		return pick_in_blocks(gw->up, g, gw->conf.port_block, &want, ret_why);
	return ports_pick(&gw->up->ports, &want);
}

/* No port is left: those with more sessions than the guest's port by far have too many. */
static int pick_or_evict(struct flow_table *t, struct gateway *gw, struct guest *g, uint8_t proto, be16 iport,
			 bool local, enum drop_reason *ret_why)
{
	const struct holder *mine = holder_of(t, g->holder), *other;
	int port = pick_port(t, gw, g, proto, iport, local, ret_why);

	for (unsigned i = 0; port < 0 && *ret_why == DROP_NAT_PORTS && i < EVICT_FOR_PORT; i++) {
		other = heaviest(t);
		if (!other || other == mine || other->class <= mine->class || !evict_one(t))
			break;
		port = pick_port(t, gw, g, proto, iport, local, ret_why);
	}
	return port;
}

static struct mapping *map_slot(struct flow_table *t)
{
	struct mapping *m = pool_get(&t->mappings);

	return m || !evict_one(t) ? m : pool_get(&t->mappings);
}

struct mapping *flow_map_new(struct flow_table *t, struct leg *leg, port_idx from, uint8_t proto, be32 inside,
			     be16 iport, enum drop_reason *ret_why)
{
	struct gateway *gw = leg->gw;
	bool local = inside == gw->conf.address.addr;
	struct guest *g = guest_get(t, leg->domain, inside, from);
	struct mapping *m = NULL;
	int port = -1;

	*ret_why = DROP_NAT_TABLE;
	if (!g)
		return NULL;
	enum drop_reason over = local ? DROP_NONE : map_quota(g, &gw->conf);
	g->n_mappings++; /* evicting must not take it */
	if (over)
		*ret_why = over;
	else if ((m = map_slot(t)))
		port = pick_or_evict(t, gw, g, proto, iport, local, ret_why);
	if (port < 0) {
		pool_put(&t->mappings, m);
		g->n_mappings--;
		guest_forget_idle(t, g);
		return NULL;
	}
	g->n_ports += port > 0;
	*m = (struct mapping){
		.gw = gw,
		.leg = leg,
		.up = gw->up,
		.guest = g,
		.domain = leg->domain,
		.up_domain = gw->up->domain,
		.proto = proto,
		.inside = inside,
		.iport = iport,
		.outside = gw->up->conf.address.addr,
		.oport = htobe16((uint16_t)port),
		.local = local,
	};
	flow_map_enter(t, m);
	return m;
}

/* ---- sessions ---- */

/* What the checksums change by from inside to outside (RFC 1624), as 16-bit sums. */
static void set_deltas(struct session *s)
{
	const struct mapping *m = s->m;
	csum_t addr = csum_delta32(m->inside, m->outside) + csum_delta32(s->seen, s->remote);
	csum_t ports = csum_delta16(m->iport, m->oport);

	s->d_addr = csum_fold(addr);
	/* ICMP has no pseudo-header */
	s->d_full = csum_fold(m->proto == IPPROTO4_ICMP ? csum_delta16(m->iport, m->oport) : addr + ports);
}

/* A bucket of one second's worth: `rate_at` is when the next session would be on time. */
static bool on_time(struct guest *g, uint32_t per_s, nsec_t now)
{
	nsec_t from = now > NSEC_PER_SEC ? now - NSEC_PER_SEC : 0;
	nsec_t at = (g->rate_at > from ? g->rate_at : from) + NSEC_PER_SEC / per_s;

	if (at > now)
		return false;
	g->rate_at = at;
	return true;
}

enum drop_reason flow_admit(struct flow_table *t, const struct leg *leg, be32 inside, nsec_t now)
{
	const struct gateway_conf *c = &leg->gw->conf;
	struct guest *g = flow_guest(t, leg->domain, inside);

	t->now = now;
	if (!g || inside == c->address.addr)
		return DROP_NONE;
	if (g->n_sessions >= c->sessions_per_guest)
		return DROP_NAT_SESSIONS;
	if (c->new_sessions_per_s && !on_time(g, c->new_sessions_per_s, now))
		return DROP_NAT_RATE;
	return DROP_NONE;
}

static bool room_for_guest(struct flow_table *t, const struct mapping *m)
{
	const struct guest *g = flow_guest(t, m->domain, m->inside);

	return m->local || !g || g->n_sessions < m->gw->conf.sessions_per_guest;
}

static struct session *session_slot(struct flow_table *t, struct mapping *m)
{
	struct session *s = pool_get(&t->sessions);

	if (s)
		return s;
	m->n_sessions++; /* so that evicting its last session does not take the mapping */
	bool evicted = evict_one(t);
	m->n_sessions--;
	return evicted ? pool_get(&t->sessions) : NULL;
}

static void session_link(struct flow_table *t, struct session *s, struct guest *g)
{
	struct mapping *m = s->m;

	m->guest = g;
	m->used = true;
	guest_count(t, g, 1);
	lru_add(&g->sessions, &s->of_guest);
	lru_add(&m->sessions, &s->of_mapping);
	m->n_sessions++;
	m->gw->n_sessions++;
	table_add(&t->in, &s->in, key_hash(&t->in, in_key(s)));
	table_add(&t->out, &s->out, key_hash(&t->out, out_key(s)));
	t->created++;
}

struct session *flow_new(struct flow_table *t, struct worker *w, struct mapping *m,
			 const struct flow_remote *r, nsec_t expires, enum drop_reason *ret_why)
{
	if (!room_for_guest(t, m)) {
		*ret_why = DROP_NAT_SESSIONS;
		return NULL;
	}
	struct session *s = session_slot(t, m);
	if (!s) {
		*ret_why = DROP_NAT_TABLE;
		return NULL;
	}
	s->m = m;
	s->remote = r->remote;
	s->rport = r->rport;
	s->seen = r->seen;
	s->hairpin = r->remote == m->outside;
	if (flow_find_in(t, in_key(s)) || flow_find_out(t, out_key(s))) {
		pool_put(&t->sessions, s);
		*ret_why = flow_has_ports(m->proto) ? DROP_NAT_PORTS : DROP_NAT_PAIR;
		return NULL;
	}
	struct guest *g = guest_get(t, m->domain, m->inside, PORT_NONE);
	if (!g) {
		pool_put(&t->sessions, s);
		*ret_why = DROP_NAT_TABLE;
		return NULL;
	}
	set_deltas(s);
	session_link(t, s, g);
	flow_expire_at(t, w, s, expires);
	return s;
}

void flow_end(struct flow_table *t, struct session *s)
{
	struct mapping *m = s->m;

	wheel_stop(&t->wheel, &s->timer);
	table_del(&t->in, &s->in);
	table_del(&t->out, &s->out);
	lru_del(&s->of_guest);
	lru_del(&s->of_mapping);
	if (unlikely(s->ftp))
		alg_forget(container_of(t, struct nat, flow), s);
	guest_count(t, m->guest, -1);
	m->gw->n_sessions--;
	m->n_sessions--;
	pool_put(&t->sessions, s);
	flow_map_unused(t, m);
}

void flow_expire_at(struct flow_table *t, struct worker *w, struct session *s, nsec_t at)
{
	bool sooner = !wheel_armed(&s->timer) || at < s->expires;

	s->expires = at;
	if (!sooner)
		return;
	wheel_arm(&t->wheel, &s->timer, at);
	if (t->wake)
		t->wake(t->arg, w, at);
}

struct due_arg {
	struct flow_table *t;
	nsec_t now;
};

static void due(void *arg, struct wheel_timer *timer)
{
	struct due_arg *d = arg;
	struct session *s = container_of(timer, struct session, timer);

	if (s->expires > d->now) {
		wheel_arm(&d->t->wheel, timer, s->expires);
		lru_touch(&s->m->guest->sessions, &s->of_guest);
		return;
	}
	flow_end(d->t, s);
	d->t->expired++;
}

void flow_advance(struct flow_table *t, struct worker *w, nsec_t now)
{
	struct due_arg d = {t, now};

	(void)w;
	t->now = now;
	wheel_advance(&t->wheel, now, due, &d);
}

/* ---- all of them ---- */

void flow_each(struct flow_table *t, void (*fn)(void *arg, struct session *s), void *arg)
{
	for (uint32_t b = 0; b <= t->in.mask; b++) {
		for (struct tab_node *n = t->in.bucket[b]; n; n = n->next)
			fn(arg, container_of(n, struct session, in));
	}
}

size_t flow_end_if(struct flow_table *t, bool (*match)(const struct session *s, const void *arg),
		   const void *arg)
{
	size_t ended = 0;

	for (uint32_t b = 0; b <= t->in.mask; b++) {
		struct tab_node *next;
		for (struct tab_node *n = t->in.bucket[b]; n; n = next) {
			struct session *s = container_of(n, struct session, in);
			next = n->next;
			if (!match(s, arg))
				continue;
			flow_end(t, s);
			ended++;
		}
	}
	return ended;
}
