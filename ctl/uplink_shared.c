/* An uplink that shares the host's address on an interface: what tap/hostroute.h says about the host becomes
 * the uplink's address, next hop and MAC address, and the carrying port's split.  Main thread. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/daemon.h"
#include "nat/gateway.h"
#include "net/log.h"
#include "tap/hostcut_split.h"
#include "tap/hostports.h"
#include "tap/hostroute.h"
#include "tap/netdev.h"

struct uplink_shared {
	struct daemon *daemon;
	struct run_uplink *uplink;
	struct hostroute *route;
	struct hostroute_state now;
	struct hostsplit split;
};

/* Ports of the range that sockets of the host have already are left to it. */
static int except_used(struct uplink_shared *s)
{
	const struct cfg_uplink *c = s->uplink->cfg;
	unsigned n = hostports_in_use(c->port_first, c->port_last, s->split.except, HOSTSPLIT_EXCEPT_MAX);

	if (n > HOSTSPLIT_EXCEPT_MAX) {
		log_error("uplink", "%s: %u sockets of the host have ports of %u-%u, at most %u may: choose others",
			  c->name, n, c->port_first, c->port_last, HOSTSPLIT_EXCEPT_MAX);
		return -EADDRINUSE;
	}
	s->split.n_except = n;
	if (n)
		log_notice("uplink", "%s: sockets of the host have %u of the ports %u-%u (%u%s): they keep them",
			   c->name, n, c->port_first, c->port_last, s->split.except[0], n > 1 ? ", ..." : "");
	return 0;
}

static void set_address(struct uplink_shared *s)
{
	struct uplink_conf c = *uplink_get_conf(s->uplink->uplink);

	c.address = s->now.address;
	c.gateway = s->now.gateway;
	if (s->now.address.len)
		c.mac = s->now.mac;
	uplink_set_conf(s->uplink->uplink, &c);
	s->split.address = s->now.address.len ? s->now.address.addr : 0;
}

/* What the host has now, unless a network of ours is there too. */
static void look(struct uplink_shared *s)
{
	const struct cfg_network *n;
	struct hostroute_state *h = &s->now;
	char text[PREFIX_STRLEN];

	hostroute_get(s->route, s->uplink->cfg->interface, h);
	n = h->address.len ? uplink_overlaps(s->daemon, s->uplink, h->address) : NULL;
	if (!n)
		return;
	snprintf(h->why, sizeof(h->why), "%s overlaps network '%.40s'", prefix4_format(h->address, text), n->name);
	h->address = (struct prefix4){0};
}

static void follow(void *arg)
{
	struct uplink_shared *s = arg;
	const char *name = s->uplink->cfg->name;
	char addr[PREFIX_STRLEN], via[IP4_STRLEN];
	struct hostroute_state was = s->now;

	look(s);
	if (!memcmp(&was, &s->now, sizeof(was)))
		return;
	set_address(s);
	netdev_set_split(s->uplink->carrier, &s->split);
	if (s->now.address.len)
		log_notice("uplink", "%s: its address is the host's %s, next hop %s", name,
			   prefix4_format(s->now.address, addr),
			   s->now.gateway ? ip4_format(s->now.gateway, via) : "none");
	else
		log_notice("uplink", "%s: down: %s", name, s->now.why);
	uplinks_changed(s->daemon, s->uplink);
}

void uplink_shared_recheck(struct run_uplink *u)
{
	follow(u->shared);
}

static int carry(struct uplink_shared *s)
{
	struct run_uplink *u = s->uplink;
	struct netdev_config c = {.hub = s->daemon->netdevs, .interface = u->cfg->interface,
				  .host = NETDEV_HOST_SPLIT, .split = &s->split, .hidden = true};
	struct port_conf conf = {.vlan = {.mode = VLAN_ACCESS, .pvid = 1},
				 .domain = uplink_domain(u->uplink)};
	char name[PORT_NAME_MAX];

	snprintf(name, sizeof(name), "netdev/%s", u->cfg->name);
	int r = netdev_open(s->daemon->sw, s->daemon->loop, name, &c, &conf, &u->carrier);
	if (!r)
		uplink_link_up(u->uplink);
	return r;
}

int uplink_shared_begin(struct daemon *d, struct run_uplink *u)
{
	struct uplink_shared *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	*s = (struct uplink_shared){.daemon = d, .uplink = u};
	s->split.first = u->cfg->port_first;
	s->split.last = u->cfg->port_last;
	u->shared = s;
	r = except_used(s);
	if (r)
		return r;
	uplink_keep_ports(u->uplink, s->split.except, s->split.n_except);
	r = hostroute_new(d->loop, follow, s, &s->route);
	if (r)
		return r;
	look(s);
	set_address(s);
	return carry(s);
}

void uplink_shared_end(struct run_uplink *u)
{
	if (!u->shared)
		return;
	hostroute_free(u->shared->route);
	free(u->shared);
	u->shared = NULL;
}

const char *uplink_shared_why(const struct uplink_shared *s)
{
	return s->now.why;
}
