/* Forwards: from the config to the gateway's table and the listeners of the host.
 *
 * On a `host` uplink a forward is two things: libslirp listens on the host and passes what
 * comes to the NAT's outside address, and the NAT translates it on to the guest.  On other
 * uplinks the NAT alone does it.  A target given by name follows its guest's lease. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/daemon.h"
#include "dhcp/dns_names.h"
#include "nat/gateway.h"
#include "nat/uplink_host.h"

/* The address a forward leads to; 0 while its guest's name has no lease. */
static be32 target_of(struct daemon *d, struct run_network *n, const struct cfg_forward *f)
{
	const struct run_port *vm = f->port ? daemon_port(d, f->port) : NULL;
	struct dns_names_row row;

	if (!f->to_name)
		return f->to;
	return dns_names_find(d->names, vm ? vm->domain : n->domain, f->to_name, &row) ? row.addr : 0;
}

/* The order of the lists here: by what identifies a forward. */
static int by_place(const void *a, const void *b)
{
	const struct nat_forward *x = a, *y = b;

	if (x->proto != y->proto)
		return x->proto < y->proto ? -1 : 1;
	if (x->listen_port != y->listen_port)
		return x->listen_port < y->listen_port ? -1 : 1;
	return x->listen == y->listen ? 0 : x->listen < y->listen ? -1 : 1;
}

static bool same_target(const struct nat_forward *a, const struct nat_forward *b)
{
	return a->to == b->to && a->to_port == b->to_port && a->in_leg == b->in_leg && a->domain == b->domain;
}

struct forward_list {
	struct nat_forward *f;
	size_t n, room;
};

static void collect_forward(void *arg, const struct nat_forward *f)
{
	struct forward_list *l = arg;

	if (!f->by && l->n < l->room) /* guests' are ctl/port_control.c's */
		l->f[l->n++] = *f;
}

/* In a list in order. */
static const struct nat_forward *find_forward(const struct forward_list *l, const struct nat_forward *f)
{
	return l->n ? bsearch(f, l->f, l->n, sizeof(*l->f), by_place) : NULL;
}

/* libslirp's side of the uplink the gateway has now, whatever the config says. */
static struct uplink_host *host_of(struct daemon *d, struct run_network *n)
{
	struct run_uplink *u = d->uplinks;

	while (u && u->uplink != gateway_uplink(n->gateway))
		u = u->next;
	return u ? u->host : NULL;
}

static void del_forward(struct daemon *d, struct run_network *n, const struct nat_forward *f)
{
	struct uplink_host *h = host_of(d, n);

	if (h)
		uplink_host_forward_del(h, f->proto, f->listen, f->listen_port);
	nat_forward_del(n->gateway, f);
}

static int add_forward(struct daemon *d, struct run_network *n, const struct nat_forward *f, FILE *err)
{
	struct uplink_host *h = host_of(d, n);
	char owner[NAT_NAME_MAX] = "", at[IP4_PORT_STRLEN];
	int r = nat_forward_add(n->gateway, f, owner);

	if (r == -EADDRINUSE && port_control_yield(d, gateway_uplink(n->gateway), f->proto, f->listen_port)) {
		owner[0] = 0;
		r = nat_forward_add(n->gateway, f, owner);
	}
	if (!r && h) {
		r = uplink_host_forward_add(h, f->proto, f->listen, f->listen_port, f->listen_port);
		if (r)
			nat_forward_del(n->gateway, f);
	}
	if (!r)
		return 0;
	ip4_port_format(f->listen, f->listen_port, at);
	if (owner[0])
		fprintf(err, "error: forward %s of network '%s': in use by network '%s'\n", at,
			n->cfg->name, owner);
	else
		fprintf(err, "error: forward %s of network '%s': %s%s\n", at, n->cfg->name, strerror(-r),
			r == -EADDRINUSE && h ? " by another program of the host" : "");
	return r;
}

static size_t wanted_forwards(struct daemon *d, struct run_network *n, struct nat_forward *want)
{
	size_t count = 0;

	for (size_t i = 0; i < n->cfg->n_forwards; i++) {
		const struct cfg_forward *c = &n->cfg->forwards[i];
		const struct run_port *p = c->port ? daemon_port(d, c->port) : NULL;
		struct nat_forward f = {
			.proto = (uint8_t)c->proto, .listen = c->listen, .listen_port = c->listen_port,
			.to = target_of(d, n, c), .to_port = c->to_port,
			.in_leg = p != NULL, .domain = p ? p->domain : 0,
		};
		bool here = f.to && (!c->port || (p && p->vm == n));
		for (unsigned left = 1u + c->listen_last - c->listen_port; here && left; left--) {
			want[count++] = f;
			f.listen_port++;
			f.to_port++;
		}
	}
	return count;
}

/* Deletes what is not wanted (any more, or as it is), and keeps in `have` what stays. */
static void del_unwanted(struct daemon *d, struct run_network *n, const struct forward_list *want,
			 struct forward_list *have)
{
	size_t kept = 0;

	for (size_t i = 0; i < have->n; i++) {
		const struct nat_forward *f = &have->f[i], *w = find_forward(want, f);
		if (w && same_target(w, f))
			have->f[kept++] = *f;
		else
			del_forward(d, n, f);
	}
	have->n = kept;
}

static void sort_list(struct forward_list *l)
{
	if (l->n)
		qsort(l->f, l->n, sizeof(*l->f), by_place);
}

/* A range is one object of the config and as many forwards of the NAT as it has ports. */
static size_t count_ports(const struct cfg_network *c)
{
	size_t count = 0;

	for (size_t i = 0; i < c->n_forwards; i++)
		count += 1u + c->forwards[i].listen_last - c->forwards[i].listen_port;
	return count;
}

int forwards_sync(struct daemon *d, struct run_network *n, FILE *err)
{
	struct forward_list want = {0}, have = {.room = NAT_FORWARDS_MAX};
	int result = 0;

	if (!n->gateway)
		return 0;
	want.f = calloc(count_ports(n->cfg) + 1, sizeof(*want.f));
	have.f = calloc(have.room, sizeof(*have.f));
	if (!want.f || !have.f) {
		free(want.f);
		free(have.f);
		return -ENOMEM;
	}
	want.n = wanted_forwards(d, n, want.f);
	sort_list(&want);
	nat_forward_list(n->gateway, collect_forward, &have);
	sort_list(&have);
	del_unwanted(d, n, &want, &have);
	for (size_t i = 0; i < want.n; i++) {
		int r = find_forward(&have, &want.f[i]) ? 0 : add_forward(d, n, &want.f[i], err);
		if (r)
			result = r;
	}
	free(want.f);
	free(have.f);
	return result;
}

void forwards_end(struct daemon *d, struct run_network *n)
{
	struct forward_list have = {.room = NAT_FORWARDS_MAX};

	have.f = calloc(have.room, sizeof(*have.f));
	if (!have.f)
		return;
	nat_forward_list(n->gateway, collect_forward, &have);
	for (size_t i = 0; i < have.n; i++)
		del_forward(d, n, &have.f[i]);
	free(have.f);
}

/* A guest got an address under a name: forwards to the name follow it. */
void forwards_follow(struct daemon *d, struct run_network *n, const char *hostname)
{
	for (size_t i = 0; i < n->cfg->n_forwards; i++) {
		const struct cfg_forward *f = &n->cfg->forwards[i];
		if (f->to_name && strcasecmp(f->to_name, hostname) == 0) {
			forwards_sync(d, n, stderr);
			return;
		}
	}
}
