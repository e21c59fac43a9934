/* Forwards: mappings with a chosen outside port that anyone outside may use.
 *
 * Each belongs to a gateway and is entered at its uplink, if there is one.  The list is
 * changed only by calls of the main thread, which waits for them, and may therefore be
 * read there.
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

static void enter(struct gateway *g, struct forward *f)
{
	struct uplink *u = g->up;
	struct flow_table *t = &g->nat->flow;
	be16 port = htobe16(f->f.listen_port);
	struct leg *leg = f->f.in_leg ? g->nat->leg_of[f->f.domain] : &g->leg;

	if (!u || !fits(&f->f, u) || !leg || leg->gw != g || f->m.in_out)
		return;
	struct mapping *in_the_way = flow_map_out(t, u->domain, f->f.proto, u->conf.address.addr, port);
	if (in_the_way)
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
	flow_map_enter(t, &f->m);
}

static void leave(struct gateway *g, struct forward *f)
{
	if (!f->m.in_out)
		return;
	flow_map_leave(&g->nat->flow, &f->m);
	ports_release(&f->m.up->ports, f->f.proto, f->f.listen_port, 0, 0);
	f->m.up = NULL;
}

/* A retired forward's port is free again, unless another forward has the place by now. */
static void release_retired(struct gateway *g, struct forward *f)
{
	struct uplink *u = f->m.up;

	if (u && !flow_map_out(&g->nat->flow, f->m.up_domain, f->m.proto, f->m.outside, f->m.oport))
		ports_release(&u->ports, f->f.proto, f->f.listen_port, 0, 0);
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

static bool is_place(const struct nat_forward *a, const struct nat_forward *b)
{
	return same_place(a, b) && a->listen == b->listen;
}

static void do_del(struct worker *w, void *arg)
{
	struct forward_call *c = arg;
	struct gateway *g = c->g;
	struct forward **at = &g->forwards, *f;

	(void)w;
	while (*at && !is_place(&(*at)->f, c->del))
		at = &(*at)->next;
	if (!*at) {
		c->result = -ENOENT;
		return;
	}
	f = *at;
	*at = f->next;
	g->n_forwards--;
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
