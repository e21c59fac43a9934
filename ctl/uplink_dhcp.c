/* An uplink whose address comes from a DHCP server: the client of dhcp/dhcp_client.h between the
 * uplink's port and a timer.  Until there is a lease, and after it was lost, the uplink has no
 * address and no route (gw-no-route).  Main thread. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "ctl/daemon.h"
#include "dhcp/dhcp_client.h"
#include "dhcp/dhcp_frame.h"
#include "nat/gateway.h"
#include "net/clock.h"
#include "net/log.h"
#include "net/parse.h"

struct uplink_dhcp {
	struct daemon *daemon;
	struct run_uplink *uplink;
	struct dhcp_client client;
	struct loop_timer *timer;
	struct slow_sink sink;
	struct mac server; /* who sent the last answer: the way to its server */
};

/* ---- out ---- */

static void send(struct uplink_dhcp *x, const struct dhcp_client_out *out)
{
	const struct uplink *u = x->uplink->uplink;
	const struct dhcp_frame f = {
		.src_mac = x->client.mac, .dst_mac = out->dst == ~(be32)0 ? MAC_BROADCAST : x->server,
		.src = out->src, .dst = out->dst, .sport = DHCP_CLIENT_PORT, .dport = DHCP_SERVER_PORT,
	};
	struct pkt *k = dhcp_frame_build(sw_main_pool(x->daemon->sw), &f, out->bytes, out->len);

	if (k) /* else it will be asked again */
		sw_slow_down(uplink_port(u), uplink_domain(u), k);
}

/* ---- the remembered address: one line in STATE/uplink-NAME.lease ---- */

static bool lease_path(const struct uplink_dhcp *x, const char *end, char buf[PATH_MAX])
{
	return snprintf(buf, PATH_MAX, "%s/uplink-%s.lease%s", x->daemon->running->state_dir,
			x->uplink->cfg->name, end) < PATH_MAX;
}

static be32 recall(const struct uplink_dhcp *x)
{
	char path[PATH_MAX], text[IP4_STRLEN + 1] = "";
	be32 addr = 0;
	FILE *f = lease_path(x, "", path) ? fopen(path, "re") : NULL;

	if (!f)
		return 0;
	if (fscanf(f, "%16s", text) != 1 || ip4_parse(text, &addr) < 0 || ip4_is_martian(addr))
		addr = 0;
	fclose(f);
	return addr;
}

/* To lose it costs a DISCOVER: no reason to complain, nor to sync. */
static void remember(const struct uplink_dhcp *x, be32 addr)
{
	char path[PATH_MAX], tmp[PATH_MAX], text[IP4_STRLEN];

	if (!lease_path(x, "", path) || !lease_path(x, ".new", tmp))
		return;
	if (!addr) {
		unlink(path);
		return;
	}
	FILE *f = fopen(tmp, "we");
	if (!f)
		return;
	bool ok = fprintf(f, "%s\n", ip4_format(addr, text)) > 0;
	if (fclose(f) == 0 && ok)
		rename(tmp, path);
}

/* ---- what became of the lease ---- */

static void set_address(struct uplink_dhcp *x, const struct dhcp_client_lease *l)
{
	struct uplink_conf c = *uplink_get_conf(x->uplink->uplink);
	char text[PREFIX_STRLEN];

	c.address = l ? l->address : (struct prefix4){0};
	c.gateway = l ? l->gateway : 0;
	c.n_routes = 0;
	for (unsigned i = 0; l && i < l->n_routes; i++) {
		if (l->route[i].via)
			c.routes[c.n_routes++] = (struct route4){l->route[i].to, l->route[i].via};
	}
	uplink_set_conf(x->uplink->uplink, &c);
	uplink_follow_mtu(x->daemon, x->uplink);
	if (l)
		prefix4_format(l->address, text);
	log_notice("uplink", "%s: %s%s", x->uplink->cfg->name, l ? "its address is " : "its lease is lost", l ? text : "");
	remember(x, l ? l->address.addr : 0);
	if (x->daemon->on_event)
		x->daemon->on_event(x->daemon, "uplink-address", x->uplink->cfg->name, l ? text : "none");
	uplinks_changed(x->daemon, x->uplink);
}

static void use_lease(struct uplink_dhcp *x)
{
	const struct dhcp_client_lease *l = x->client.has_lease ? &x->client.lease : NULL;
	const struct cfg_network *n = l ? uplink_overlaps(x->daemon, x->uplink, l->address) : NULL;

	if (n)
		log_error("uplink", "%s: the address it was given overlaps network '%s': not used",
			  x->uplink->cfg->name, n->name);
	set_address(x, n ? NULL : l);
}

void uplink_dhcp_recheck(struct run_uplink *u)
{
	const struct dhcp_client *c = &u->dhcp->client;
	bool used = uplink_get_conf(u->uplink)->address.addr != 0;

	if (c->has_lease && used == (uplink_overlaps(u->dhcp->daemon, u, c->lease.address) != NULL))
		use_lease(u->dhcp);
}

static void act(struct uplink_dhcp *x, const struct dhcp_client_out *out)
{
	nsec_t now = clock_now();

	if (out->len)
		send(x, out);
	if (out->event == DHCP_CLIENT_LEASED || out->event == DHCP_CLIENT_LOST)
		use_lease(x);
	if (x->client.at)
		loop_timer_arm(x->timer, x->client.at > now ? x->client.at - now : 0);
	else
		loop_timer_stop(x->timer);
}

static void tick(void *arg)
{
	struct uplink_dhcp *x = arg;
	struct dhcp_client_out out = {0};

	dhcp_client_tick(&x->client, clock_now(), &out);
	act(x, &out);
}

/* ---- in ---- */

static void receive(void *arg, struct pkt *k)
{
	struct uplink_dhcp *x = arg;
	struct dhcp_client_out out = {0};
	uint8_t msg[DHCP_MSG_MAX];
	size_t len = dhcp_frame_read(k, DHCP_CLIENT_PORT, msg);
	int r = len ? dhcp_client_input(&x->client, clock_now(), msg, len, &out) : -EBADMSG;

	if (r == -EBADMSG)
		sw_slow_refuse(k, DROP_SVC_MALFORMED);
	else if (r < 0)
		sw_slow_refuse(k, DROP_SVC_STRAY);
	else
		x->server = pkt_eth(k)->src;
	pkt_free(sw_main_pool(x->daemon->sw), k);
	if (r >= 0)
		act(x, &out);
}

/* ---- life ---- */

int uplink_dhcp_begin(struct daemon *d, struct run_uplink *u)
{
	struct uplink_dhcp *x = calloc(1, sizeof(*x));
	uint64_t seed = 0;

	if (!x)
		return -ENOMEM;
	*x = (struct uplink_dhcp){.daemon = d, .uplink = u, .sink = {receive, x}};
	x->timer = loop_timer_new(d->loop, tick, x);
	if (!x->timer || getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed)) {
		loop_timer_free(x->timer);
		free(x);
		return -ENOMEM;
	}
	u->dhcp = x;
	dhcp_client_init(&x->client, uplink_get_conf(u->uplink)->mac, "", recall(x), seed, clock_now());
	uplink_set_dhcp_sink(u->uplink, &x->sink);
	loop_timer_arm(x->timer, 0);
	return 0;
}

void uplink_dhcp_link_up(struct run_uplink *u)
{
	struct dhcp_client_out none = {0};

	if (!u->dhcp)
		return;
	dhcp_client_link_up(&u->dhcp->client, clock_now());
	act(u->dhcp, &none);
}

/* The address is given back, as the server may have few. */
void uplink_dhcp_end(struct daemon *d, struct run_uplink *u)
{
	struct uplink_dhcp *x = u->dhcp;
	struct dhcp_client_out out = {0};

	if (!x)
		return;
	dhcp_client_release(&x->client, &out);
	if (out.len) {
		send(x, &out);
		remember(x, 0);
	}
	uplink_set_dhcp_sink(u->uplink, NULL);
	sw_slow_drain(d->sw);
	loop_timer_free(x->timer);
	free(x);
	u->dhcp = NULL;
}

uint32_t uplink_dhcp_mtu(const struct uplink_dhcp *x)
{
	return x->client.has_lease ? x->client.lease.mtu : 0;
}

const char *uplink_dhcp_state(const struct uplink_dhcp *x)
{
	return dhcp_client_state_name(x->client.state);
}

int64_t uplink_dhcp_expires(const struct uplink_dhcp *x)
{
	nsec_t now = clock_now();

	if (!x->client.has_lease || !x->client.end)
		return -1;
	return x->client.end > now ? (int64_t)((x->client.end - now) / NSEC_PER_SEC) : 0;
}
