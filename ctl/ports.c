/* From a port of the config to a port of the switch: one opener for each type. */
#include <errno.h>
#include <string.h>

#include "ctl/daemon.h"
#include "net/headers.h"
#include "tap/dgram.h"
#include "tap/netdev.h"
#include "tap/stream.h"
#include "tap/tap.h"
#include "tap/udp.h"
#include "tap/vhost_user.h"

static int open_tap(struct daemon *d, const struct cfg_port *c, const struct port_conf *conf,
		    struct port **ret_port)
{
	const struct cfg_network *n = c->network ? config_network(d->running, c->network) : NULL;
	struct tap_config t = {
		.interface = c->interface,
		.mtu = n ? n->mtu : 0,
		.has_address = c->has_address,
		.address = c->address,
	};

	return tap_open(d->sw, d->loop, c->name, &t, conf, ret_port);
}

static int open_netdev(struct daemon *d, const struct cfg_port *c, const struct port_conf *conf,
		       struct port **ret_port)
{
	static const enum netdev_host host[] = {
		[HOST_UNSET] = NETDEV_HOST_UNSET,
		[HOST_EXCLUDE] = NETDEV_HOST_EXCLUDE,
		[HOST_SHARE] = NETDEV_HOST_SHARE,
	};
	struct netdev_config n = {
		.hub = d->netdevs,
		.interface = c->interface ? c->interface : c->name,
		.host = host[c->host],
	};

	return netdev_open(d->sw, d->loop, c->name, &n, conf, ret_port);
}

static int open_dgram(struct daemon *d, const struct cfg_port *c, const struct port_conf *conf,
		      struct port **ret_port)
{
	struct dgram_config g = {.path = c->socket, .mode = c->mode, .group = c->group};

	return dgram_open(d->sw, d->loop, c->name, &g, conf, ret_port);
}

static int open_stream(struct daemon *d, const struct cfg_port *c, const struct port_conf *conf,
		       struct port **ret_port)
{
	struct stream_config s = {
		.listen = c->listen, .connect = c->connect, .mode = c->mode, .group = c->group};

	return stream_open(d->sw, d->loop, c->name, &s, conf, ret_port);
}

static int open_udp(struct daemon *d, const struct cfg_port *c, const struct port_conf *conf,
		    struct port **ret_port)
{
	struct udp_config u = {.listen = c->listen, .peer = c->peer};

	return udp_open(d->sw, d->loop, c->name, &u, conf, ret_port);
}

static int open_vhost_user(struct daemon *d, const struct cfg_port *c,
			   const struct port_conf *conf, struct port **ret_port)
{
	struct vhost_user_config v = {
		.socket = c->socket,
		.client = c->role == ROLE_CLIENT,
		.queues = c->queues,
		.no_config = !c->config_space,
		.mode = c->mode,
		.group = c->group,
		.has_mac = c->has_mac,
		.mac = c->mac,
	};

	return vhost_user_open(d->sw, d->loop, c->name, &v, conf, ret_port);
}

static int (*const openers[])(struct daemon *d, const struct cfg_port *c,
			      const struct port_conf *conf, struct port **ret_port) = {
	[PORT_TAP] = open_tap,	     [PORT_NETDEV] = open_netdev, [PORT_DGRAM] = open_dgram,
	[PORT_STREAM] = open_stream, [PORT_UDP] = open_udp,	  [PORT_VHOST_USER] = open_vhost_user,
};

void ports_conf(const struct config *cfg, const struct cfg_port *c, struct port_conf *ret_conf)
{
	const struct cfg_network *n = c->network ? config_network(cfg, c->network) : NULL;

	memset(ret_conf, 0, sizeof(*ret_conf)); /* padding too: confs are compared as bytes */
	ret_conf->vlan.mode = c->is_trunk ? VLAN_TRUNK : VLAN_ACCESS;
	ret_conf->vlan.pvid = c->is_trunk ? c->native_vlan : n ? n->vlan : 0;
	ret_conf->domain = DOMAIN_NONE;
	ret_conf->max_macs = c->max_macs;
	ret_conf->isolated = c->isolated;
	ret_conf->admin_down = c->down;
	ret_conf->mtu = n ? n->mtu : 0;
	ret_conf->one_peer = n && n->mode == MODE_NAT_PER_VM;
	if (c->is_trunk)
		ret_conf->vlan.allowed = c->trunk;
}

int ports_open(struct daemon *d, const struct cfg_port *c, domain_idx domain, struct port **ret_port)
{
	struct port_conf conf;

	if ((size_t)c->type >= ARRAY_SIZE(openers) || !openers[c->type])
		return -EPROTONOSUPPORT;
	ports_conf(d->running, c, &conf);
	conf.domain = domain;
	return openers[c->type](d, c, &conf, ret_port);
}

static bool same(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

/* A vhost-user guest may read its address from us; for all others it is the FDB's affair. */
static bool same_guest_mac(const struct cfg_port *a, const struct cfg_port *b)
{
	return a->type != PORT_VHOST_USER ||
	       (a->has_mac == b->has_mac && (!a->has_mac || mac_eq(a->mac, b->mac)));
}

bool ports_same_attachment(const struct cfg_port *a, const struct cfg_port *b)
{
	return a->type == b->type && same(a->socket, b->socket) && same(a->listen, b->listen) &&
	       same(a->connect, b->connect) && same(a->peer, b->peer) &&
	       same(a->interface, b->interface) && a->host == b->host &&
	       a->has_address == b->has_address &&
	       (!a->has_address || (a->address.addr == b->address.addr && a->address.len == b->address.len)) &&
	       a->mode == b->mode && same(a->group, b->group) && a->role == b->role &&
	       a->queues == b->queues && a->config_space == b->config_space && same_guest_mac(a, b);
}
