/* Uplinks: from the config to nat/'s outside ports and whoever carries their frames. */
#include <errno.h>
#include <string.h>

#include "ctl/daemon.h"
#include "nat/gateway.h"
#include "nat/uplink_host.h"
#include "tap/netdev.h"

static int carry_by_host(struct daemon *d, struct run_uplink *u)
{
	struct uplink_host_conf c = {.name = u->cfg->name, .loopback = u->cfg->loopback};

	return uplink_host_new(d->sw, d->loop, uplink_domain(u->uplink), &c, &u->host);
}

static int carry_by_interface(struct daemon *d, struct run_uplink *u)
{
	struct netdev_config c = {.hub = d->netdevs,
				  .interface = u->cfg->interface,
				  .host = NETDEV_HOST_NONE,
				  .hidden = true};
	struct port_conf conf = {.vlan = {.mode = VLAN_ACCESS, .pvid = 1},
				 .domain = uplink_domain(u->uplink)};
	char name[PORT_NAME_MAX];

	snprintf(name, sizeof(name), "netdev/%s", u->cfg->name);
	int r = netdev_open(d->sw, d->loop, name, &c, &conf, &u->carrier);
	if (!r)
		uplink_link_up(u->uplink);
	return r;
}

/* An uplink's cable came back: announce our address, ask for the next hop anew. */
void uplinks_on_link(void *arg, struct port *p, bool up)
{
	struct daemon *d = arg;

	for (struct run_uplink *u = d->uplinks; u; u = u->next) {
		if (!u->carrier || u->carrier != p)
			continue;
		if (up) {
			uplink_link_up(u->uplink);
			uplink_dhcp_link_up(u);
		}
		uplinks_changed(d, u);
	}
}

bool uplink_is_up(const struct run_uplink *u, const char **ret_why)
{
	const char *why = NULL;

	if (u->carrier && !atomic_load(&u->carrier->running))
		why = "no link";
	else if (u->dhcp && !uplink_get_conf(u->uplink)->address.addr)
		why = "no lease";
	if (why && ret_why)
		*ret_why = why;
	return !why;
}

void uplinks_changed(struct daemon *d, struct run_uplink *u)
{
	const char *why = "";
	bool up = uplink_is_up(u, &why);

	if (d->on_event)
		d->on_event(d, up ? "uplink-up" : "uplink-down", u->cfg->name, why);
}

int services_uplink(struct daemon *d, struct run_uplink *u, FILE *err)
{
	bool host = u->cfg->type == UPLINK_HOST;
	const struct run_network *in = u->cfg->network ? daemon_network(d, u->cfg->network) : NULL;
	struct uplink_conf c = {.mac = services_mac(d, "uplink", u->cfg->name)};
	int r;

	snprintf(c.name, sizeof(c.name), "%s", u->cfg->name);
	if (host) {
		c.address = (struct prefix4){UPLINK_HOST_OUTSIDE, UPLINK_HOST_PREFIX_LEN};
		c.gateway = UPLINK_HOST_GATEWAY;
		c.mtu = UPLINK_HOST_MTU;
		c.proxied = true;
	} else {
		c.address = u->cfg->address;
		c.gateway = u->cfg->gateway;
		c.n_routes = (unsigned)u->cfg->n_routes;
		services_routes(c.routes, u->cfg->routes, u->cfg->n_routes);
	}
	if (u->cfg->type == UPLINK_NETWORK) {
		c.in_network = true;
		c.network = in ? in->domain : DOMAIN_NONE;
	}
	r = u->cfg->type == UPLINK_NETWORK && !in ? -ENOENT : uplink_new(d->nat, &c, &u->uplink);
	if (!r && u->cfg->type != UPLINK_NETWORK)
		r = host ? carry_by_host(d, u) : carry_by_interface(d, u);
	if (!r && u->cfg->dhcp)
		r = uplink_dhcp_begin(d, u);
	if (r)
		fprintf(err, "error: uplink '%s': %s\n", u->cfg->name, strerror(-r));
	return r;
}

void services_uplink_end(struct daemon *d, struct run_uplink *u)
{
	for (struct run_network *n = d->networks; n; n = n->next) {
		if (n->gateway && u->uplink && gateway_uplink(n->gateway) == u->uplink) {
			forwards_end(d, n);
			gateway_set_uplink(n->gateway, NULL, NULL);
		}
	}
	uplink_dhcp_end(d, u);
	uplink_host_free(u->host);
	sw_port_del(u->carrier);
	uplink_free(u->uplink);
}
