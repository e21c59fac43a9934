/* Uplinks: from the config to nat/'s outside ports and whoever carries their frames; and which of
 * its uplinks a network uses.
 *
 * Fail-over.  An uplink is down without link or lease.  When some network has several, those in its
 * list are watched besides: every PROBE_EVERY their next hop is asked for its MAC address, by
 * unicast while it answers (RFC 1122 2.3.2.1), and after UNANSWERED_MAX questions in vain the uplink
 * is down too.  A network uses the first of its list that is up; it leaves one that fails
 * at once, and goes back to a better one when that has been up for HOLD. */
#include <errno.h>
#include <string.h>

#include "ctl/daemon.h"
#include "nat/gateway.h"
#include "nat/uplink_host.h"
#include "net/clock.h"
#include "net/log.h"
#include "tap/netdev.h"

#define PROBE_EVERY    (3 * NSEC_PER_SEC)
#define UNANSWERED_MAX 3u
#define HOLD	       (6 * NSEC_PER_SEC)

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

/* What its wire carries, or less if a DHCP server says so; 0: 1500. */
static uint32_t mtu_of(const struct daemon *d, const struct run_uplink *u)
{
	const struct cfg_network *in = u->cfg->network ? config_network(d->running, u->cfg->network) : NULL;
	uint32_t wire = u->host ? UPLINK_HOST_MTU : in ? in->mtu : u->carrier ? u->carrier->caps.mtu : 0;
	uint32_t told = u->dhcp ? uplink_dhcp_mtu(u->dhcp) : 0;

	return told && (!wire || told < wire) ? told : wire;
}

void uplink_follow_mtu(struct daemon *d, struct run_uplink *u)
{
	struct uplink_conf c = *uplink_get_conf(u->uplink);
	uint32_t was = c.mtu;

	c.mtu = mtu_of(d, u);
	if (c.mtu != was)
		uplink_set_conf(u->uplink, &c);
}

/* An uplink's cable came back: announce our address, ask for the next hop anew. */
void uplinks_on_link(void *arg, struct port *p, bool up)
{
	struct daemon *d = arg;

	for (struct run_uplink *u = d->uplinks; u; u = u->next) {
		if (!u->carrier || u->carrier != p)
			continue;
		if (up) {
			uplink_follow_mtu(d, u);
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
	else if (u->shared && uplink_shared_why(u->shared)[0])
		why = uplink_shared_why(u->shared);
	else if (u->dhcp && !uplink_get_conf(u->uplink)->address.addr)
		why = "no lease";
	else if (u->unanswered >= UNANSWERED_MAX)
		why = "the next hop does not answer";
	if (why && ret_why)
		*ret_why = why;
	return !why;
}

const struct cfg_network *uplink_overlaps(const struct daemon *d, const struct run_uplink *u, struct prefix4 p)
{
	const struct config *c = d->running;
	const char *own = u->cfg->network;

	for (size_t i = 0; i < c->n_networks; i++) {
		const struct cfg_network *n = &c->networks[i];
		if (n->has_subnet && prefix4_overlap(n->subnet, p) && !(own && strcmp(own, n->name) == 0))
			return n;
	}
	return NULL;
}

/* ---- fail-over ---- */

struct run_uplink *uplink_of(struct daemon *d, const struct run_network *n)
{
	struct uplink *up = n->gateway ? gateway_uplink(n->gateway) : NULL;
	struct run_uplink *u = up ? d->uplinks : NULL;

	while (u && u->uplink != up)
		u = u->next;
	return u;
}

static const char *name_at(const struct cfg_network *c, size_t i)
{
	return i ? c->backup[i - 1] : c->uplink;
}

static bool lists(const struct cfg_network *c, const struct run_uplink *u)
{
	for (size_t i = 0; c->uplink && i <= c->n_backups; i++) {
		if (!strcmp(name_at(c, i), u->cfg->name))
			return true;
	}
	return false;
}

struct run_uplink *uplinks_choose(struct daemon *d, const struct run_network *n)
{
	struct run_uplink *now = uplink_of(d, n), *first = NULL;
	bool stays = now && uplink_is_up(now, NULL) && lists(n->cfg, now);
	nsec_t t = clock_now();

	for (size_t i = 0; n->cfg->uplink && i <= n->cfg->n_backups; i++) {
		struct run_uplink *u = daemon_uplink(d, name_at(n->cfg, i));
		if (!u)
			continue;
		first = first ? first : u;
		if (uplink_is_up(u, NULL) &&
		    (!stays || u == now || (u->up_since && t - u->up_since >= HOLD)))
			return u;
	}
	return first;
}

static void choose_all(struct daemon *d)
{
	for (struct run_network *n = d->networks; n; n = n->next) {
		struct run_uplink *was = uplink_of(d, n), *u;
		if (!n->gateway || !n->cfg->n_backups || (u = uplinks_choose(d, n)) == was || !u)
			continue;
		log_notice("uplink", "network %s leaves by %s now", n->cfg->name, u->cfg->name);
		services_follow_uplink(d, n, stderr);
		if (d->on_event)
			d->on_event(d, "network-uplink", n->cfg->name, u->cfg->name);
	}
}

void uplinks_changed(struct daemon *d, struct run_uplink *u)
{
	const char *why = "";
	bool up = uplink_is_up(u, &why);

	if (d->on_event)
		d->on_event(d, up ? "uplink-up" : "uplink-down", u->cfg->name, why);
	if (!up)
		u->up_since = 0;
	else if (!u->up_since)
		u->up_since = clock_now();
	choose_all(d);
}

static void probe(struct daemon *d, struct run_uplink *u)
{
	bool was = u->unanswered >= UNANSWERED_MAX;
	nsec_t answered;

	if (u->host || !uplink_get_conf(u->uplink)->gateway ||
	    (u->carrier && !atomic_load(&u->carrier->running))) {
		u->unanswered = 0;
		u->probed = 0;
		return;
	}
	answered = uplink_probe(u->uplink, u->unanswered > 0);
	/* the worker's clock is a tick behind the one here */
	if (!u->probed || answered + NSEC_PER_SEC / 100 >= u->probed)
		u->unanswered = 0;
	else
		u->unanswered++;
	u->probed = clock_now();
	if (was != (u->unanswered >= UNANSWERED_MAX))
		uplinks_changed(d, u);
}

static bool is_watched(const struct daemon *d, const struct run_uplink *u)
{
	for (const struct run_network *n = d->networks; n; n = n->next) {
		if (n->cfg->n_backups && lists(n->cfg, u))
			return true;
	}
	return false;
}

static void watch(void *arg)
{
	struct daemon *d = arg;
	bool any = false;

	for (struct run_uplink *u = d->uplinks; u; u = u->next) {
		bool on = is_watched(d, u);
		any = any || on;
		if (on)
			probe(d, u);
		else
			u->probed = u->unanswered = 0;
	}
	choose_all(d);
	if (any)
		loop_timer_arm(d->uplink_timer, PROBE_EVERY);
	else
		loop_timer_stop(d->uplink_timer);
}

int uplinks_watch(struct daemon *d)
{
	if (!d->uplink_timer)
		d->uplink_timer = loop_timer_new(d->loop, watch, d);
	if (!d->uplink_timer)
		return -ENOMEM;
	for (struct run_uplink *u = d->uplinks; u; u = u->next) {
		if (u->dhcp)
			uplink_dhcp_recheck(u);
		if (u->shared)
			uplink_shared_recheck(u);
		uplink_follow_mtu(d, u);
	}
	loop_timer_arm(d->uplink_timer, 0);
	return 0;
}

void uplinks_close(struct daemon *d)
{
	loop_timer_free(d->uplink_timer);
}

/* ---- making and ending ---- */

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
		c.proxied = true;
	} else {
		c.address = u->cfg->address;
		c.gateway = u->cfg->gateway;
		c.shared = u->cfg->shared;
		c.port_first = u->cfg->port_first;
		c.port_last = u->cfg->port_last;
		c.address6 = u->cfg->address6;
		memcpy(c.gateway6, u->cfg->gateway6, sizeof(c.gateway6));
		services_routes(u->cfg->routes, u->cfg->n_routes, c.routes, &c.n_routes, c.routes6, &c.n_routes6);
	}
	if (u->cfg->type == UPLINK_NETWORK) {
		c.in_network = true;
		c.network = in ? in->domain : DOMAIN_NONE;
	}
	r = u->cfg->type == UPLINK_NETWORK && !in ? -ENOENT : uplink_new(d->nat, &c, &u->uplink);
	if (!r && u->cfg->type != UPLINK_NETWORK)
		r = host		? carry_by_host(d, u)
		    : u->cfg->shared	? uplink_shared_begin(d, u)
					: carry_by_interface(d, u);
	if (!r && u->cfg->dhcp)
		r = uplink_dhcp_begin(d, u);
	if (!r)
		uplink_follow_mtu(d, u);
	if (!r && uplink_is_up(u, NULL))
		u->up_since = clock_now();
	if (r)
		fprintf(err, "error: uplink '%s': %s\n", u->cfg->name, strerror(-r));
	return r;
}

void services_uplink_end(struct daemon *d, struct run_uplink *u)
{
	struct port *carrier = u->carrier;

	u->carrier = NULL; /* its going down is no news */
	for (struct run_network *n = d->networks; n; n = n->next) {
		if (n->gateway && u->uplink && gateway_uplink(n->gateway) == u->uplink) {
			forwards_end(d, n);
			gateway_set_uplink(n->gateway, NULL, NULL);
		}
	}
	uplink_dhcp_end(d, u);
	uplink_shared_end(u);
	uplink_host_free(u->host);
	sw_port_del(carrier);
	uplink_free(u->uplink);
}
