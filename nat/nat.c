/* The object that owns the tables of the NAT, its time, and what people see of it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "nat/internal.h"
#include "nat/tcp_track.h"
#include "net/clock.h"

#define SESSIONS_DEFAULT 65536u
#define ROUTES_ALL 16384u

static void wake(void *arg, struct worker *w, nsec_t when)
{
	struct nat *n = arg;

	if (n->ticker)
		port_tick_at(n->ticker, w, when);
}

struct nat *nat_new(struct sw *sw, const struct nat_limits *limits)
{
	struct nat *n = calloc(1, sizeof(*n));
	uint32_t max = limits && limits->max_sessions ? limits->max_sessions : SESSIONS_DEFAULT;
	nsec_t now = clock_now_coarse();

	if (!n)
		return NULL;
	n->sw = sw;
	n->routes = route_table_new(ROUTES_ALL);
	if (!n->routes) {
		free(n);
		errno = ENOMEM;
		return NULL;
	}
	if (getrandom(n->random, sizeof(n->random), 0) != (ssize_t)sizeof(n->random) ||
	    flow_init(&n->flow, max, now) < 0) {
		route_table_free(n->routes);
		free(n);
		errno = ENOMEM;
		return NULL;
	}
	if (neigh_table_init(&n->neigh, now) < 0) {
		flow_fini(&n->flow);
		route_table_free(n->routes);
		free(n);
		errno = ENOMEM;
		return NULL;
	}
	if (filter6_init(&n->filter6, max, now) < 0) {
		neigh_table_fini(&n->neigh);
		flow_fini(&n->flow);
		route_table_free(n->routes);
		free(n);
		errno = ENOMEM;
		return NULL;
	}
	n->flow.wake = n->neigh.wake = n->filter6.wake = wake;
	n->flow.arg = n->neigh.arg = n->filter6.arg = n;
	return n;
}

void nat_free(struct nat *n)
{
	if (!n)
		return;
	while (n->gateways)
		gateway_free(n->gateways);
	while (n->uplinks)
		uplink_free(n->uplinks);
	syn_wait_fini(n, sw_main_pool(n->sw));
	filter6_fini(&n->filter6);
	neigh_table_fini(&n->neigh);
	flow_fini(&n->flow);
	route_table_free(n->routes);
	free(n);
}

/* A keyed counter: not to be foreseen by who sees some of the ports it gave. */
uint32_t nat_random(struct nat *n)
{
	return (uint32_t)(hash_mix(hash_mix(n->random[0] ^ ++n->random_count) + n->random[1]) >> 17);
}

/* ---- time ---- */

/* The first moment at which advancing the wheel does anything; 0 = never. */
static nsec_t wheel_next(const struct wheel *w)
{
	const unsigned slots = 1u << WHEEL_BITS;

	if (!w->armed)
		return 0;
	for (uint64_t t = w->now_tick + 1;; t++) {
		if (w->slot[0][t % slots])
			return t * w->tick_len;
		/* at a span's end timers come down from above */
		if (t % slots == 0 && (w->slot[1][t / slots % slots] || t / slots % slots == 0))
			return t * w->tick_len;
	}
}

nsec_t nat_sooner(nsec_t a, nsec_t b)
{
	return !a ? b : !b ? a : a < b ? a : b;
}

nsec_t nat_tick(struct port *p, struct nat *n, struct worker *w, nsec_t now)
{
	if (p != n->ticker)
		return 0;
	flow_advance(&n->flow, w, now);
	neigh_advance(&n->neigh, w, now);
	filter6_advance(&n->filter6, now);
	nsec_t own = nat_sooner(frag_advance(n, w, now), syn_wait_advance(n, w, now));
	own = nat_sooner(own, wheel_next(&n->filter6.wheel));
	return nat_sooner(own, nat_sooner(wheel_next(&n->flow.wheel), wheel_next(&n->neigh.wheel)));
}

void nat_add_ticker(struct nat *n, struct worker *w, struct port *p)
{
	if (n->ticker)
		return;
	n->ticker = p;
	port_tick_at(p, w, worker_now(w));
}

void nat_del_ticker(struct nat *n, struct worker *w, struct port *p)
{
	struct port *other = NULL;

	if (n->ticker != p)
		return;
	for (struct gateway *g = n->gateways; g && !other; g = g->next)
		other = g->port != p ? g->port : NULL;
	for (struct uplink *u = n->uplinks; u && !other; u = u->next)
		other = u->port != p ? u->port : NULL;
	n->ticker = NULL;
	if (other)
		nat_add_ticker(n, w, other);
}

/* ---- a packet's fate ---- */

bool transit_own(struct transit *t)
{
	if (likely(!(t->k->flags & PKT_SHARED)))
		return true;
	struct pkt *c = pkt_copy(worker_pool(t->w), t->k);
	if (!c)
		return false;
	t->k = c;
	t->origin = NULL; /* the frame that was offered counts as consumed; this one is ours */
	return true;
}

void transit_run(void *self, struct worker *w, struct port *p, struct pkt_out *o,
		 enum drop_reason (*fn)(void *self, struct transit *t))
{
	struct transit t = {.w = w, .now = worker_now(w), .k = o->pkt, .origin = p};

	o->drop = fn(self, &t);
	if (!t.k && t.origin)
		o->taken = true;
	else if (t.k && t.k != o->pkt)
		pkt_free(worker_pool(w), t.k);
}

/* ---- sessions, for people ---- */

struct scope {
	const struct gateway *g;
	const struct uplink *u;
	const struct nat_match *m;
};

static bool in_scope(const struct session *s, const void *arg)
{
	const struct scope *c = arg;
	const struct nat_match *m = c->m;

	if ((c->g && s->m->gw != c->g) || (c->u && s->m->up != c->u))
		return false;
	if (!m)
		return true;
	return (!m->proto || m->proto == s->m->proto) && (!m->inside || m->inside == s->m->inside) &&
	       (!m->remote || m->remote == s->remote) &&
	       (!m->inside_port || htobe16(m->inside_port) == s->m->iport) &&
	       (!m->remote_port || htobe16(m->remote_port) == s->rport);
}

size_t nat_end_sessions(struct nat *n, const struct gateway *g, const struct uplink *u)
{
	struct scope c = {g, u, NULL};

	return flow_end_if(&n->flow, in_scope, &c);
}

struct tell {
	struct nat *n;
	struct worker *w;
	struct scope scope;
	unsigned told;
};

static void tell_one(void *arg, struct session *s)
{
	struct tell *c = arg;
	struct mapping *m = s->m;

	if (c->told == NAT_TOLD_MAX || m->proto != IPPROTO4_TCP || m->local || s->state == TCPS_RESET ||
	    s->state == TCPS_CLOSING || !in_scope(s, &c->scope))
		return;
	struct transit t = {.w = c->w, .now = worker_now(c->w), .quiet = true};
	t.k = tcp_build_ack(c->w, s->seen, s->rport, m->inside, m->iport, nat_random(c->n));
	if (!t.k)
		return;
	t.k->l3_off = ETH_HLEN_;
	c->told++;
	if (transit_send(c->n, &t, &m->leg->nif, &m->hop, m->inside) != DROP_NONE)
		pkt_free(worker_pool(c->w), t.k);
}

void nat_tell_stale(struct nat *n, struct worker *w, const struct gateway *g, const struct uplink *u)
{
	struct tell c = {n, w, {g, u, NULL}, 0};

	flow_each(&n->flow, tell_one, &c);
}

struct end_call {
	struct nat *n;
	struct scope scope;
	size_t ended;
};

static void do_end(struct worker *w, void *arg)
{
	struct end_call *c = arg;

	c->n->flow.now = worker_now(w);
	c->ended = flow_end_if(&c->n->flow, in_scope, &c->scope);
}

size_t nat_kill(struct nat *n, struct gateway *g, const struct nat_match *m)
{
	struct end_call c = {n, {g, NULL, m}, 0};

	worker_call(n->sw, NULL, do_end, &c);
	return c.ended;
}

size_t nat_flush(struct nat *n, struct gateway *g)
{
	return nat_kill(n, g, NULL);
}

struct list_call {
	struct nat *n;
	const struct gateway *g;
	nsec_t now;
	struct nat_row *row;
	size_t n_rows, room;
};

static const char *state_name(const struct session *s)
{
	switch (s->m->proto) {
	case IPPROTO4_TCP:
		return tcp_track_name(s->state);
	case IPPROTO4_UDP:
		return "udp";
	case IPPROTO4_GRE:
		return "gre";
	case IPPROTO4_ESP:
		return "esp";
	default:
		return "icmp";
	}
}

static void list_one(void *arg, struct session *s)
{
	struct list_call *c = arg;
	const struct mapping *m = s->m;

	if ((c->g && m->gw != c->g) || c->n_rows == c->room)
		return;
	struct nat_row *r = &c->row[c->n_rows++];
	*r = (struct nat_row){
		.domain = m->domain,
		.port = m->guest->port,
		.proto = m->proto,
		.inside = m->inside,
		.inside_port = be16toh(m->iport),
		.outside = m->outside,
		.outside_port = be16toh(m->oport),
		.remote = s->remote,
		.remote_port = be16toh(s->rport),
		.state = state_name(s),
		.expires_s = s->expires > c->now
				     ? (uint32_t)((s->expires - c->now + NSEC_PER_SEC - 1) / NSEC_PER_SEC)
				     : 0,
	};
	r->forwarded = m->fixed;
	r->by = m->fixed ? container_of(s->m, struct forward, m)->f.by : 0;
	memcpy(r->network, m->gw->conf.network, sizeof(r->network));
}

static void do_list(struct worker *w, void *arg)
{
	struct list_call *c = arg;

	c->now = worker_now(w);
	flow_each(&c->n->flow, list_one, c);
}

static void do_stats(struct worker *w, void *arg);

struct stats_call {
	struct nat *n;
	struct nat_stats s;
};

int nat_list(struct nat *n, struct gateway *g, struct nat_row **ret_rows, size_t *ret_n)
{
	struct stats_call count = {.n = n};
	struct list_call c = {.n = n, .g = g};

	/* room is made here, not on the worker; what comes meanwhile may be missing */
	worker_call(n->sw, NULL, do_stats, &count);
	c.room = count.s.sessions;
	c.row = calloc(c.room + 1, sizeof(*c.row));
	if (!c.row)
		return -ENOMEM;
	worker_call(n->sw, NULL, do_list, &c);
	*ret_rows = c.row;
	*ret_n = c.n_rows;
	return 0;
}

static uint64_t gave_way(const struct nat *n)
{
	uint64_t sum = 0;

	for (const struct uplink *u = n->uplinks; u; u = u->next)
		sum += u->ports.gave_way;
	return sum;
}

static void do_stats(struct worker *w, void *arg)
{
	struct stats_call *c = arg;
	const struct nat *n = c->n;

	(void)w;
	c->s = (struct nat_stats){
		.sessions = n->flow.sessions.used,
		.mappings = n->flow.mappings.used,
		.guests = n->flow.guests.used,
		.neighbours = n->neigh.used,
		.flows6 = n->filter6.pool.used,
		.created = n->flow.created,
		.expired = n->flow.expired,
		.evicted = n->flow.evicted,
		.ports_gave_way = gave_way(n),
		.icmp_sent = n->icmp_sent,
		.icmp_held = n->icmp_held,
		.alg_translated = n->alg.translated,
		.alg_left = n->alg.left,
	};
}

void nat_get_stats(struct nat *n, struct nat_stats *ret_stats)
{
	struct stats_call c = {.n = n};

	worker_call(n->sw, NULL, do_stats, &c);
	*ret_stats = c.s;
}
