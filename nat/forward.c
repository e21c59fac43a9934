/* Forwards: mappings with a chosen outside port that anyone outside may use.
 *
 * Each belongs to a gateway and is entered at its uplink, if there is one.  The list is
 * changed only by calls of the main thread, which waits for them, and may therefore be
 * read there. */
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
	struct forward *next;

	for (struct forward *f = g->forwards; f; f = next) {
		next = f->next;
		free(f);
	}
	g->forwards = NULL;
}

struct forward_call {
	struct gateway *g;
	struct forward *f;            /* to add; taken when result is 0 */
	const struct nat_forward *del;
	struct forward *gone;
	const struct gateway *owner;
	int result;
};

static void do_add(struct worker *w, void *arg)
{
	struct forward_call *c = arg;
	struct gateway *g = c->g;
	struct forward **at = &g->forwards;

	(void)w;
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
	if (!c.result)
		return 0;
	if (c.owner && ret_owner)
		memcpy(ret_owner, c.owner->conf.network, NAT_NAME_MAX);
	free(c.f);
	return c.result;
}

static void do_del(struct worker *w, void *arg)
{
	struct forward_call *c = arg;
	struct forward **at = &c->g->forwards;

	(void)w;
	while (*at && !(same_place(&(*at)->f, c->del) && (*at)->f.listen == c->del->listen))
		at = &(*at)->next;
	if (!*at)
		return;
	c->gone = *at;
	leave(c->g, c->gone);
	*at = c->gone->next;
	c->g->n_forwards--;
}

int nat_forward_del(struct gateway *g, const struct nat_forward *f)
{
	struct forward_call c = {.g = g, .del = f};

	worker_call(g->nat->sw, NULL, do_del, &c);
	free(c.gone);
	return c.gone ? 0 : -ENOENT;
}

void nat_forward_list(struct gateway *g, void (*fn)(void *arg, const struct nat_forward *f),
		      void *arg)
{
	for (const struct forward *f = g->forwards; f; f = f->next)
		fn(arg, &f->f);
}
