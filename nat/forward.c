/* Forwards: mappings with a chosen outside port that anyone outside may use.
 *
 * Each belongs to a gateway and is entered at its uplink, if there is one.  The list is
 * changed only by calls of the main thread, which waits for them, and may therefore be
 * read there.
 *
 * Guests may ask for one as well (nat/portmap.h).  Such a grant takes nothing from anybody; it takes the
 * place of the mapping that the guest's own packets have made, if they have, and when it ends, its
 * port is held for its guest like that of any mapping (nat/ports.h).
 *
 * A forward that is deleted while it has sessions is retired: out of the tables, so that
 * nothing new comes in and its place can be given anew, but there until its last session has
 * ended.  What has ended is found by the next call that adds or deletes; until then its
 * outside port is nobody else's. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "nat/internal.h"

static bool same_place(const struct nat_forward *a, const struct nat_forward *b)
{
	return a->proto == b->proto && a->listen_port == b->listen_port;
}

/* Where it is listened, as the packets have it. */
static be32 outside_of(const struct nat_forward *f, const struct uplink *u)
{
	return u->conf.proxied || !f->listen ? u->conf.address.addr : f->listen;
}

static bool fits(const struct nat_forward *f, const struct uplink *u)
{
	return outside_of(f, u) == u->conf.address.addr;
}

static const struct gateway *owner_at(const struct gateway *g, const struct nat_forward *f,
				      const struct uplink *u)
{
	const struct mapping *m = flow_map_out(&g->nat->flow, u->domain, f->proto, outside_of(f, u),
					       htobe16(f->listen_port));

	return m && m->fixed ? m->gw : NULL;
}

const struct gateway *forwards_conflict(const struct gateway *g, const struct uplink *u)
{
	for (const struct forward *f = g->forwards; f; f = f->next) {
		const struct gateway *owner = owner_at(g, &f->f, u);
		if (owner && owner != g)
			return owner;
	}
	return NULL;
}

static struct leg *leg_of(struct gateway *g, const struct nat_forward *f)
{
	struct leg *leg = f->in_leg ? g->nat->leg_of[f->domain] : &g->leg;

	return leg && leg->gw == g ? leg : NULL;
}

/* Whether a guest's own mapping, by what it sends, is just what its grant would be. */
static bool is_the_same(const struct mapping *m, const struct forward *f, const struct leg *leg)
{
	return f->f.by && !m->fixed && m->leg == leg && m->inside == f->f.to && m->iport == htobe16(f->f.to_port);
}

static void enter(struct gateway *g, struct forward *f)
{
	struct uplink *u = g->up;
	struct flow_table *t = &g->nat->flow;
	be16 port = htobe16(f->f.listen_port);
	struct leg *leg = leg_of(g, &f->f);

	if (!u || !fits(&f->f, u) || !leg || f->m.in_out)
		return;
	struct mapping *in_the_way = flow_map_out(t, u->domain, f->f.proto, u->conf.address.addr, port);
	bool adopts = in_the_way && is_the_same(in_the_way, f, leg);
	if (in_the_way && !adopts)
		flow_map_leave(t, in_the_way);
	ports_take(&u->ports, f->f.proto, f->f.listen_port);
	f->m = (struct mapping){
		.gw = g,
		.leg = leg,
		.up = u,
		.inside = f->f.to,
		.iport = htobe16(f->f.to_port),
		.outside = u->conf.address.addr,
		.oport = port,
		.domain = leg->domain,
		.up_domain = u->domain,
		.proto = f->f.proto,
		.fixed = true,
	};
	if (adopts)
		flow_map_adopt(t, in_the_way, &f->m);
	else
		flow_map_enter(t, &f->m);
}

/* What a guest had outside is held for it: late packets must not reach a stranger. */
static void release(struct gateway *g, struct forward *f)
{
	const struct flow_table *t = &g->nat->flow;
	uint32_t owner = f->f.by ? flow_owner(t, f->m.domain, f->f.to) : 0;

	ports_release(&f->m.up->ports, f->f.proto, f->f.listen_port, owner, t->now);
}

static void leave(struct gateway *g, struct forward *f)
{
	if (!f->m.in_out)
		return;
	flow_map_leave(&g->nat->flow, &f->m);
	release(g, f);
	f->m.up = NULL;
}

/* A retired forward's port is free again, unless another forward has the place by now. */
static void release_retired(struct gateway *g, struct forward *f)
{
	struct uplink *u = f->m.up;

	if (u && !flow_map_out(&g->nat->flow, f->m.up_domain, f->m.proto, f->m.outside, f->m.oport))
		release(g, f);
	f->m.up = NULL;
}

/* Takes those that have no sessions left off the retired; main frees them. */
static struct forward *reap(struct gateway *g)
{
	struct forward **at = &g->retired, *dead = NULL;

	while (*at) {
		struct forward *f = *at;
		if (f->m.n_sessions) {
			at = &f->next;
			continue;
		}
		release_retired(g, f);
		*at = f->next;
		f->next = dead;
		dead = f;
	}
	return dead;
}

static void free_list(struct forward *f)
{
	struct forward *next;

	for (; f; f = next) {
		next = f->next;
		free(f);
	}
}

void forwards_enter(struct gateway *g)
{
	for (struct forward *f = g->forwards; f; f = f->next)
		enter(g, f);
}

void forwards_leave(struct gateway *g)
{
	for (struct forward *f = g->forwards; f; f = f->next)
		leave(g, f);
	for (struct forward *f = g->retired; f; f = f->next) {
		flow_map_leave(&g->nat->flow, &f->m);
		release_retired(g, f);
	}
}

void forwards_leave_leg(struct gateway *g, const struct leg *l)
{
	for (struct forward *f = g->forwards; f; f = f->next) {
		if (f->m.in_out && f->m.leg == l)
			leave(g, f);
	}
}

void forwards_free(struct gateway *g)
{
	free_list(g->forwards);
	free_list(g->retired);
	g->forwards = g->retired = NULL;
}

struct forward_call {
	struct gateway *g;
	struct forward *f;            /* to add; taken when result is 0 */
	const struct nat_forward *del;
	struct forward *dead; /* for main to free */
	const struct gateway *owner;
	size_t ended;
	bool exactly; /* grants */
	int result;
};

static void do_add(struct worker *w, void *arg)
{
	struct forward_call *c = arg;
	struct gateway *g = c->g;
	struct forward **at = &g->forwards;

	(void)w;
	c->dead = reap(g);
	for (; *at; at = &(*at)->next) {
		if (same_place(&(*at)->f, &c->f->f))
			c->owner = g;
	}
	if (!c->owner && g->up)
		c->owner = owner_at(g, &c->f->f, g->up);
	if (c->owner)
		c->result = -EADDRINUSE;
	else if (g->up && !fits(&c->f->f, g->up))
		c->result = -EADDRNOTAVAIL;
	else if (g->n_forwards >= NAT_FORWARDS_MAX)
		c->result = -ENOSPC;
	if (c->result)
		return;
	*at = c->f;
	g->n_forwards++;
	enter(g, c->f);
}

static bool valid(const struct gateway *g, const struct nat_forward *f)
{
	return (f->proto == IPPROTO4_TCP || f->proto == IPPROTO4_UDP) && f->listen_port && f->to_port &&
	       prefix4_contains(g->conf.address, f->to) && f->to != g->conf.address.addr;
}

int nat_forward_add(struct gateway *g, const struct nat_forward *f, char *ret_owner)
{
	struct forward_call c = {.g = g};

	if (!valid(g, f))
		return -EINVAL;
	c.f = calloc(1, sizeof(*c.f));
	if (!c.f)
		return -ENOMEM;
	c.f->f = *f;
	worker_call(g->nat->sw, NULL, do_add, &c);
	free_list(c.dead);
	if (!c.result)
		return 0;
	if (c.owner && ret_owner)
		memcpy(ret_owner, c.owner->conf.network, NAT_NAME_MAX);
	free(c.f);
	return c.result;
}

/* ---- for guests ---- */

/* Whether the port is only still taken by connections that an ended grant of the same guest has left. */
static bool was_its_own(const struct gateway *g, const struct nat_forward *f)
{
	for (const struct forward *r = g->retired; r; r = r->next) {
		if (r->f.by && same_place(&r->f, f) && r->f.to == f->to && r->f.in_leg == f->in_leg &&
		    r->f.domain == f->domain && r->m.up == g->up)
			return !flow_map_out(&g->nat->flow, g->up->domain, f->proto, g->up->conf.address.addr,
					     htobe16(f->listen_port));
	}
	return false;
}

/* The port that the guest's packets from there leave by already; 0: none.  As any remote sees the one
 * (RFC 4787 REQ-1), the grant is to have no other. */
static uint16_t implicit_port(struct gateway *g, const struct nat_forward *f)
{
	const struct leg *leg = leg_of(g, f);
	const struct mapping *m = leg ? flow_map_in(&g->nat->flow, leg->domain, f->proto, f->to, htobe16(f->to_port))
				      : NULL;

	return m && !m->fixed && !m->local && m->up == g->up ? be16toh(m->oport) : 0;
}

/* Marks the port of f as taken, or another; in f->listen_port. */
static int choose_port(struct gateway *g, struct nat_forward *f, bool exactly, nsec_t now)
{
	struct ports *p = &g->up->ports;
	struct ports_want want = {
		.proto = f->proto,
		.owner = flow_owner(&g->nat->flow, f->in_leg ? f->domain : g->leg.domain, f->to),
		.random = nat_random(g->nat),
		.now = now,
	};
	uint16_t implicit = implicit_port(g, f);

	if (implicit && (!exactly || f->listen_port == implicit)) {
		f->listen_port = implicit;
		return 0;
	}
	bool ours = f->listen_port >= PORTS_FIRST && f->listen_port >= p->first && f->listen_port <= p->last;

	if (ours && (!ports_reserved(p, f->proto, f->listen_port, want.owner, now) || was_its_own(g, f))) {
		ports_take(p, f->proto, f->listen_port);
		return 0;
	}
	if (exactly)
		return -EADDRINUSE;
	int port = ports_pick(p, &want);
	if (port < 0)
		return -ENOSPC;
	f->listen_port = (uint16_t)port;
	return 0;
}

static int may_grant(struct gateway *g, const struct nat_forward *f)
{
	if (!leg_of(g, f))
		return -EINVAL; /* it was taken away under the request */
	if (!g->up || !g->up->conf.address.addr)
		return -ENETDOWN;
	if (g->up->conf.proxied)
		return -EPERM;
	return g->n_grants < NAT_GRANTS_MAX ? 0 : -ENOSPC;
}

static void do_grant(struct worker *w, void *arg)
{
	struct forward_call *c = arg;
	struct gateway *g = c->g;
	struct forward **at = &g->forwards;

	c->dead = reap(g);
	c->result = may_grant(g, &c->f->f);
	if (!c->result)
		c->result = choose_port(g, &c->f->f, c->exactly, worker_now(w));
	if (c->result)
		return;
	while (*at)
		at = &(*at)->next;
	*at = c->f;
	g->n_grants++;
	enter(g, c->f);
}

int nat_forward_grant(struct gateway *g, const struct nat_forward *f, bool exactly, uint16_t *ret_port)
{
	struct forward_call c = {.g = g, .exactly = exactly};
	struct nat_forward probe = *f;

	probe.listen_port = 1; /* any will do */
	if (!f->by || f->listen || !valid(g, &probe))
		return -EINVAL;
	c.f = calloc(1, sizeof(*c.f));
	if (!c.f)
		return -ENOMEM;
	c.f->f = *f;
	worker_call(g->nat->sw, NULL, do_grant, &c);
	free_list(c.dead);
	if (c.result)
		free(c.f);
	else
		*ret_port = c.f->f.listen_port;
	return c.result;
}

/* ---- ends ---- */

static bool is_place(const struct nat_forward *a, const struct nat_forward *b)
{
	return same_place(a, b) && a->listen == b->listen;
}

static void do_del(struct worker *w, void *arg)
{
	struct forward_call *c = arg;
	struct gateway *g = c->g;
	struct forward **at = &g->forwards, *f;

	g->nat->flow.now = worker_now(w);
	while (*at && !is_place(&(*at)->f, c->del))
		at = &(*at)->next;
	if (!*at) {
		c->result = -ENOENT;
		return;
	}
	f = *at;
	*at = f->next;
	f->f.by ? g->n_grants-- : g->n_forwards--;
	flow_map_retire(&g->nat->flow, &f->m);
	f->next = g->retired;
	g->retired = f;
	c->dead = reap(g);
}

int nat_forward_del(struct gateway *g, const struct nat_forward *f)
{
	struct forward_call c = {.g = g, .del = f};

	worker_call(g->nat->sw, NULL, do_del, &c);
	free_list(c.dead);
	return c.result;
}

static size_t end_sessions(struct gateway *g, struct forward *f)
{
	size_t n = f->m.n_sessions;
	struct lru_node *l;

	while (f->m.n_sessions && (l = lru_oldest(&f->m.sessions)))
		flow_end(&g->nat->flow, container_of(l, struct session, of_mapping));
	return n;
}

static void do_kill(struct worker *w, void *arg)
{
	struct forward_call *c = arg;

	(void)w;
	for (struct forward *f = c->g->forwards; f; f = f->next)
		c->ended += is_place(&f->f, c->del) ? end_sessions(c->g, f) : 0;
	for (struct forward *f = c->g->retired; f; f = f->next)
		c->ended += is_place(&f->f, c->del) ? end_sessions(c->g, f) : 0;
	c->dead = reap(c->g);
}

size_t nat_forward_kill(struct gateway *g, const struct nat_forward *f)
{
	struct forward_call c = {.g = g, .del = f};

	worker_call(g->nat->sw, NULL, do_kill, &c);
	free_list(c.dead);
	return c.ended;
}

void nat_forward_list(struct gateway *g, void (*fn)(void *arg, const struct nat_forward *f),
		      void *arg)
{
	for (const struct forward *f = g->forwards; f; f = f->next)
		fn(arg, &f->f);
}
