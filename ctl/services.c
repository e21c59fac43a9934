/* The gateway, NAT, DHCP and DNS of each network, joined.
 *
 * nat/ and dhcp/ do not know each other: here a network's gateway gets its sinks, its DHCP
 * server the gateway's port to answer from, the names table what leases say, and the
 * uplink whoever carries its frames. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/daemon.h"
#include "dhcp/dhcp_server.h"
#include "dhcp/dns_forward.h"
#include "dhcp/ra_server.h"
#include "dhcp/resolv.h"
#include "nat/gateway.h"
#include "nat/uplink_host.h"
#include "net/clock.h"
#include "net/headers.h"
#include "net/log.h"
#include "net/nd.h"
#include "tap/netdev.h"
#include "tap/tap.h"

/* ---- MACs of our own ---- */

static uint64_t fnv1a(uint64_t h, const char *s)
{
	for (; *s; s++)
		h = (h ^ (uint8_t)*s) * 0x100000001b3u; /* FNV-1a, 64 bit */
	return h;
}

static const char *machine_id(void)
{
	static char id[64];

	if (!id[0]) {
		FILE *f = fopen("/etc/machine-id", "re");
		if (!f || !fgets(id, sizeof(id), f))
			gethostname(id, sizeof(id) - 1);
		if (f)
			fclose(f);
	}
	return id;
}

struct mac services_mac(struct daemon *d, const char *kind, const char *name)
{
	uint64_t h = fnv1a(0xcbf29ce484222325u, machine_id());

	h = fnv1a(fnv1a(fnv1a(h, d->running ? d->running->state_dir : ""), kind), name);
	h ^= h >> 40;
	struct mac m = mac_from_u64(h & 0xffffffffffu);
	m.b[0] = 0x02; /* locally administered, unicast */
	return m;
}

/* ---- leases: names, timers ---- */

/* Whose pool it is: a network's, or a port's of mode nat-per-vm.  NULL: of one that is gone. */
static struct run_network *network_of_pool(struct daemon *d, const struct lease_pool *p,
					   domain_idx *ret_domain)
{
	const struct run_port *vm = vm_of_pool(d, lease_pool_name(p));
	struct run_network *n = vm ? vm->vm : daemon_network(d, lease_pool_name(p));

	*ret_domain = vm ? vm->domain : n ? n->domain : DOMAIN_NONE;
	return n;
}

void services_name_lease(struct daemon *d, domain_idx domain, const struct lease *l)
{
	int64_t left = lease_remaining(l, clock_wall());
	nsec_t expires = left < 0 ? 0 : clock_now() + (nsec_t)left * NSEC_PER_SEC;

	if (l->hostname[0])
		dns_names_set(d->names, domain, DNS_NAME_LEASE, l->hostname, l->address, expires);
}

static void on_lease(void *arg, enum lease_event ev, const struct lease *l)
{
	static const char *const kinds[] = {
		[LEASE_EV_ADDED] = "lease-added", [LEASE_EV_RENEWED] = "lease-renewed",
		[LEASE_EV_EXPIRED] = "lease-expired", [LEASE_EV_RELEASED] = "lease-released"};
	struct daemon *d = arg;
	domain_idx domain;
	struct run_network *n = network_of_pool(d, l->pool, &domain);
	bool up = ev == LEASE_EV_ADDED || ev == LEASE_EV_RENEWED;
	char text[IP4_STRLEN];

	if (n) /* a renewal may come with another name */
		dns_names_del_addr(d->names, domain, DNS_NAME_LEASE, l->address);
	if (n && ev != LEASE_EV_RENEWED)
		port_control_lease(n, domain, l->address);
	if (n && up) {
		services_name_lease(d, domain, l);
		forwards_follow(d, n, l->hostname);
	}
	if (d->on_event)
		d->on_event(d, kinds[ev], l->hostname, ip4_format(l->address, text));
}

static void arm_leases(struct daemon *d)
{
	int64_t at = lease_store_next(d->leases), now = clock_wall();

	if (at == LEASE_FOREVER)
		loop_timer_stop(d->lease_timer);
	else
		loop_timer_arm(d->lease_timer, at > now ? (nsec_t)(at - now) * NSEC_PER_SEC : NSEC_PER_SEC);
}

static void tick_leases(void *arg)
{
	struct daemon *d = arg;

	lease_store_tick(d->leases, clock_wall());
	arm_leases(d);
}

static void sync_leases(void *arg)
{
	struct daemon *d = arg;

	lease_store_sync(d->leases);
	arm_leases(d);
}

static void leases_dirty(void *arg)
{
	struct daemon *d = arg;

	loop_timer_arm(d->lease_sync, 0);
}

static void on_degraded(void *arg, int err)
{
	(void)arg;
	if (err)
		log_error("dhcp", "leases cannot be written (%s): kept in memory only", strerror(-err));
	else
		log_notice("dhcp", "leases are written again");
}

static int open_leases(struct daemon *d)
{
	d->leases = lease_store_new(d->running->state_dir, clock_wall());
	d->lease_timer = loop_timer_new(d->loop, tick_leases, d);
	d->lease_sync = loop_timer_new(d->loop, sync_leases, d);
	if (!d->leases || !d->lease_timer || !d->lease_sync)
		return -ENOMEM;
	lease_store_on_degraded(d->leases, on_degraded, d);
	lease_store_defer(d->leases, leases_dirty, d);
	arm_leases(d);
	return lease_store_listen(d->leases, on_lease, d);
}

/* ---- DNS ---- */

/* The first of the host's servers that a packet through an uplink can reach. */
static be32 system_upstream(struct daemon *d, const struct run_uplink *u)
{
	const struct resolv_list *l = resolv_list(d->resolv);

	if (u && u->host)
		return l->n ? UPLINK_HOST_DNS : 0;
	for (unsigned i = 0; i < l->n; i++) {
		be32 a = l->server[i].in4.sin_addr.s_addr;
		if (l->server[i].sa.sa_family == AF_INET && !ip4_is_martian(a))
			return a;
	}
	return 0;
}

static void set_tcp_upstream(struct daemon *d, struct run_network *n)
{
	struct run_uplink *u = uplink_of(d, n);
	be32 addr = 0;

	if (!n->gateway)
		return;
	if (n->cfg->dns)
		addr = n->cfg->upstream_system ? system_upstream(d, u)
		       : n->cfg->n_upstreams   ? n->cfg->upstreams[0]
					       : 0;
	gateway_set_dns_upstream(n->gateway, addr);
}

static void on_resolv(void *arg)
{
	struct daemon *d = arg;

	for (struct run_network *n = d->networks; n; n = n->next)
		set_tcp_upstream(d, n);
	log_info("dns", "resolv.conf changed: %u servers", resolv_list(d->resolv)->n);
}

static void send_routed(void *arg, struct pkt *k)
{
	struct run_network *n = arg;

	gateway_send(n->gateway, k);
}

static int bind_routed(void *arg, uint16_t port, bool on)
{
	struct run_network *n = arg;

	return gateway_udp_socket(n->gateway, port, on ? &n->dns_answer_sink : NULL);
}

/* An answer of a listed server, translated back to the gateway. */
static void dns_answer(void *arg, struct pkt *k)
{
	struct run_network *n = arg;

	if (!n->upstream || !dns_routed_receive(n->upstream, k))
		sw_slow_refuse(k, DROP_SVC_STRAY);
	pkt_free(sw_main_pool(n->daemon->sw), k);
}

static int make_upstream(struct daemon *d, struct run_network *n)
{
	struct dns_routed_conf c = {
		.pool = sw_main_pool(d->sw),
		.source = n->cfg->gateway,
		.servers = n->cfg->upstreams,
		.n_servers = (unsigned)n->cfg->n_upstreams,
		.bind = bind_routed,
		.send = send_routed,
		.arg = n,
	};

	if (n->cfg->upstream_system)
		return 0;
	n->dns_answer_sink = (struct slow_sink){dns_answer, n};
	n->upstream = dns_routed_new(&c);
	return n->upstream ? 0 : -errno;
}

int services_dns(struct daemon *d, struct run_network *n, domain_idx domain)
{
	struct dns_conf c = {
		.domain = domain,
		.gateway = gateway_port(n->gateway),
		.mac = gateway_get_conf(n->gateway)->mac,
		.gateway_addr = n->cfg->gateway,
		.subnet = n->cfg->subnet,
		.mtu = n->cfg->mtu,
		.suffix = n->cfg->domain,
		.upstream = n->upstream ? n->upstream : d->dns_host,
	};

	if (n->cfg->dns)
		return dns_server_set_conf(d->dns, &c);
	dns_server_del_conf(d->dns, domain);
	return 0;
}

static int set_dns(struct daemon *d, struct run_network *n)
{
	struct dns_transport *old = n->upstream;
	int r = 0;

	n->upstream = NULL;
	if (n->cfg->dns)
		r = make_upstream(d, n);
	else
		sw_slow_drain(d->sw); /* what was asked before is answered yet */
	if (!r)
		r = services_dns(d, n, n->domain);
	if (!r)
		r = vm_network_changed(d, n);
	dns_transport_free(old);
	set_tcp_upstream(d, n);
	return r;
}

/* Reservations' names at once, and those of leases the journal brought back. */
static void set_name_of_lease(void *arg, const struct lease *l)
{
	struct run_network *n = arg;
	domain_idx domain;

	if (network_of_pool(n->daemon, l->pool, &domain) == n && domain == n->domain &&
	    lease_is_current(l, clock_wall()))
		services_name_lease(n->daemon, domain, l);
}

static void set_names(struct daemon *d, struct run_network *n)
{
	for (size_t i = 0; i < n->cfg->n_reservations; i++) {
		const struct cfg_reservation *r = &n->cfg->reservations[i];
		if (r->hostname)
			dns_names_set(d->names, n->domain, DNS_NAME_STATIC, r->hostname, r->address, 0);
	}
	lease_store_each(d->leases, set_name_of_lease, n);
}

static void unset_names(void *arg, const struct dns_names_row *row)
{
	struct { char (*name)[DNS_NAMES_LABEL]; size_t n, room; } *list = arg;

	if (row->kind == DNS_NAME_STATIC && list->n < list->room && strcmp(row->name, "gateway"))
		memcpy(list->name[list->n++], row->name, DNS_NAMES_LABEL);
}

/* Static names are made anew at each change; the config is where they come from. */
static void clear_static_names(struct daemon *d, struct run_network *n)
{
	struct { char (*name)[DNS_NAMES_LABEL]; size_t n, room; } list = {.room = dns_names_count(d->names)};

	list.name = calloc(list.room ? list.room : 1, DNS_NAMES_LABEL);
	if (!list.name)
		return;
	dns_names_each(d->names, n->domain, unset_names, &list);
	for (size_t i = 0; i < list.n; i++)
		dns_names_del(d->names, n->domain, list.name[i]);
	free(list.name);
}

/* ---- DHCP ---- */

static struct lease_reservation *reservations_of(const struct cfg_network *c)
{
	struct lease_reservation *r = calloc(c->n_reservations ? c->n_reservations : 1, sizeof(*r));

	for (size_t i = 0; r && i < c->n_reservations; i++) {
		const struct cfg_reservation *from = &c->reservations[i];
		r[i].mac = from->mac;
		r[i].address = from->address;
		if (from->hostname)
			lease_name_sanitise(from->hostname, strlen(from->hostname), r[i].hostname);
	}
	return r;
}

static struct dhcp_option *options_of(const struct cfg_network *c)
{
	struct dhcp_option *o = calloc(c->n_options ? c->n_options : 1, sizeof(*o));

	for (size_t i = 0; o && i < c->n_options; i++) {
		o[i].code = c->options[i].code;
		o[i].len = c->options[i].len;
		memcpy(o[i].data, c->options[i].data, sizeof(o[i].data));
	}
	return o;
}

int services_dhcp(struct daemon *d, struct run_network *n, const char *pool, struct dhcp_server **dhcp)
{
	const struct cfg_network *c = n->cfg;
	struct lease_reservation *res = reservations_of(c);
	struct dhcp_option *opt = options_of(c);
	struct dhcp_conf conf = {
		.network = pool, .subnet = c->subnet, .server_id = c->gateway,
		.server_mac = gateway_get_conf(n->gateway)->mac, .router = c->gateway,
		.dns = {c->dns_address}, .n_dns = c->dns ? 1 : 0, .domain = c->domain, .mtu = c->mtu,
		.lease_s = c->lease_s, .range_first = c->range_first, .range_last = c->range_last,
		.reservations = res, .n_reservations = c->n_reservations, .options = opt,
		.n_options = c->n_options, .rapid_commit = true, .one_guest = c->mode == MODE_NAT_PER_VM,
		.sw = d->sw, .gateway = gateway_port(n->gateway),
	};
	int r = 0;

	if (!res || !opt) {
		r = -ENOMEM;
	} else if (*dhcp) {
		r = dhcp_server_set_conf(*dhcp, &conf, clock_wall());
	} else {
		*dhcp = dhcp_server_new(d->leases, &conf);
		r = *dhcp ? 0 : -errno;
	}
	free(res);
	free(opt);
	return r;
}

static int set_dhcp(struct daemon *d, struct run_network *n)
{
	bool per_vm = n->cfg->mode == MODE_NAT_PER_VM;
	int r = per_vm ? 0 : services_dhcp(d, n, n->cfg->name, &n->dhcp);

	if (r)
		return r;
	n->dhcp_sink = per_vm ? (struct slow_sink){vm_dhcp_receive, n} : (struct slow_sink){dhcp_receive, n->dhcp};
	gateway_set_sink(n->gateway, GATEWAY_DHCP, &n->dhcp_sink);
	return 0;
}

static void end_dhcp(struct run_network *n)
{
	gateway_set_sink(n->gateway, GATEWAY_DHCP, NULL);
	sw_slow_drain(n->daemon->sw); /* what is on its way up names the sink */
	dhcp_server_free(n->dhcp);
	n->dhcp = NULL;
}

/* ---- router advertisements ---- */

/* The first address of the network's /64. */
static struct prefix6 gateway6(const struct cfg_network *c)
{
	struct prefix6 p = {.len = 0};

	if (c->has_subnet6) {
		p = c->subnet6;
		p.addr[15] = 1;
	}
	return p;
}

/* Whether an uplink of the network's, up or not, leads on by IPv6. */
static bool has_way_out6(const struct config *all, const struct cfg_network *c)
{
	for (size_t i = 0; c->uplink && i <= c->n_backups; i++) {
		const struct cfg_uplink *u = config_uplink(all, i ? c->backup[i - 1] : c->uplink);
		if (u && u->address6.len)
			return true;
	}
	return false;
}

/* Whether the gateway forwards IPv6 anywhere, so that guests may take it for their default router. */
static bool routes6(const struct config *all, const struct cfg_network *c)
{
	if (c->mode != MODE_ROUTED)
		return c->nat6 == NAT6_NPT && has_way_out6(all, c);
	for (size_t i = 0; i < c->n_routes; i++)
		if (c->routes[i].to6.len)
			return true;
	for (size_t i = 0; i < all->n_networks; i++) {
		const struct cfg_network *other = &all->networks[i];
		if (other != c && other->mode == MODE_ROUTED && other->has_subnet6)
			return true;
	}
	return has_way_out6(all, c);
}

static void ra_conf_of(const struct daemon *d, const struct run_network *n, struct ra_conf *ret)
{
	const struct cfg_network *c = n->cfg;
	const struct prefix6 ours = gateway6(c);

	/* a default router only where it routes (RFC 4861 4.2, lifetime 0) */
	*ret = (struct ra_conf){.router = routes6(d->running, c),
				.mac = gateway_get_conf(n->gateway)->mac, .mtu = c->mtu, .n_prefixes = 1,
				.n_dns = c->dns ? 1 : 0, .domain = c->dns ? c->domain : NULL};
	nd_link_local(ret->mac, ret->source);
	memcpy(ret->prefix[0].addr, c->subnet6.addr, sizeof(c->subnet6.addr));
	ret->prefix[0].len = c->subnet6.len;
	memcpy(ret->dns[0], ours.addr, sizeof(ours.addr));
}

static void end_ra(struct run_network *n)
{
	if (!n->ra)
		return;
	gateway_set_sink(n->gateway, GATEWAY_RA, NULL);
	sw_slow_drain(n->daemon->sw);
	ra_server_free(n->ra);
	n->ra = NULL;
}

int services_ra(struct daemon *d, struct run_network *n)
{
	struct ra_conf c;

	if (!n->gateway || !n->cfg->has_subnet6) {
		end_ra(n);
		return 0;
	}
	ra_conf_of(d, n, &c);
	if (n->ra)
		return ra_server_set_conf(n->ra, &c);
	n->ra = ra_server_new(d->sw, d->loop, gateway_port(n->gateway), n->domain, &c);
	if (!n->ra)
		return -errno;
	n->ra_sink = (struct slow_sink){ra_server_receive, n->ra};
	gateway_set_sink(n->gateway, GATEWAY_RA, &n->ra_sink);
	return 0;
}

/* ---- the network ---- */

void services_routes(const struct cfg_route *from, size_t n, struct route4 *to, unsigned *ret_n,
		     struct route6 *to6, unsigned *ret_n6)
{
	*ret_n = *ret_n6 = 0;
	for (size_t i = 0; i < n; i++) {
		if (!from[i].to6.len) {
			to[(*ret_n)++] = (struct route4){from[i].to, from[i].via};
			continue;
		}
		struct route6 *r = &to6[(*ret_n6)++];
		r->to = from[i].to6;
		memcpy(r->via, from[i].via6, sizeof(r->via));
	}
}

static void gateway_conf_of(struct daemon *d, const struct cfg_network *c, struct gateway_conf *ret)
{
	*ret = (struct gateway_conf){
		.mac = services_mac(d, "gateway", c->name),
		.address = {c->gateway, c->subnet.len},
		.address6 = gateway6(c),
		.dns_address = c->dns ? c->dns_address : 0,
		.mtu = c->mtu,
		.mode = c->mode == MODE_ROUTED	    ? GATEWAY_ROUTED
			: c->mode == MODE_HOST_ONLY ? GATEWAY_HOST_ONLY
						    : GATEWAY_NAT,
		.alike = c->mode == MODE_NAT_PER_VM,
		.flags = (c->dhcp ? GATEWAY_SERVE_DHCP : 0u) | (c->dns ? GATEWAY_SERVE_DNS : 0u),
		.npt = c->nat6 == NAT6_NPT ? c->npt : (struct prefix6){.len = 0},
		.filter6 = c->filter6,
		.filtering = (enum gateway_filtering)c->filtering,
		.udp_timeout_s = c->udp_timeout_s,
		.tcp_established_s = c->tcp_established_s,
		.tcp_transitory_s = c->tcp_transitory_s,
		.icmp_timeout_s = c->icmp_timeout_s,
		.sessions_per_guest = c->sessions_per_guest,
		.mappings_per_guest = c->mappings_per_guest,
		.ports_per_guest = c->ports_per_guest,
		.new_sessions_per_s = c->new_sessions_per_s,
		.port_block = (uint16_t)c->port_block,
		.algs = c->algs,
	};
	services_routes(c->routes, c->n_routes, ret->routes, &ret->n_routes, ret->routes6, &ret->n_routes6);
	snprintf(ret->network, sizeof(ret->network), "%s", c->name);
}

static int set_gateway(struct daemon *d, struct run_network *n)
{
	struct gateway_conf conf;

	gateway_conf_of(d, n->cfg, &conf);
	if (n->gateway)
		return gateway_set_conf(n->gateway, &conf);
	return gateway_new(d->nat, n->domain, &conf, &n->gateway);
}

static int set_uplink(struct daemon *d, struct run_network *n, FILE *err)
{
	struct run_uplink *u = uplinks_choose(d, n);
	struct uplink *up = u ? u->uplink : NULL;
	char owner[NAT_NAME_MAX] = "";
	int r;

	if (gateway_uplink(n->gateway) == up)
		return 0;
	port_control_uplink(n);
	forwards_end(d, n); /* forwards_sync() makes them anew at the new one */
	r = gateway_set_uplink(n->gateway, up, owner);
	if (r == -EADDRINUSE)
		fprintf(err, "error: network '%s': a forward's port is taken by network '%s'\n",
			n->cfg->name, owner);
	return r;
}

int services_follow_uplink(struct daemon *d, struct run_network *n, FILE *err)
{
	int r = set_uplink(d, n, err);

	if (r)
		return r;
	set_tcp_upstream(d, n);
	return forwards_sync(d, n, err);
}

/* The host's own interface in a host-only network, made anew when its address changes. */
static int set_host_port(struct daemon *d, struct run_network *n, const struct cfg_network *was)
{
	char interface[32], name[PORT_NAME_MAX];
	struct port_conf conf = {
		.vlan = {.mode = VLAN_ACCESS, .pvid = n->cfg->vlan}, .domain = DOMAIN_NONE, .mtu = n->cfg->mtu,
	};
	struct prefix4 sub = n->cfg->subnet;
	struct tap_config c = {
		.interface = interface, .mtu = n->cfg->mtu, .has_address = true,
		.address = {htobe32(be32toh(prefix4_network(sub)) + 1), sub.len},
	};

	if (n->host_port && was && was->subnet.addr == sub.addr && was->subnet.len == sub.len &&
	    was->mtu == n->cfg->mtu)
		return 0;
	sw_port_del(n->host_port);
	n->host_port = NULL;
	snprintf(interface, sizeof(interface), "vsw-%s", n->cfg->name);
	snprintf(name, sizeof(name), "host/%s", n->cfg->name);
	return tap_open(d->sw, d->loop, name, &c, &conf, &n->host_port);
}

int services_network(struct daemon *d, struct run_network *n, const struct cfg_network *was, FILE *err)
{
	int r;

	if (!cfg_network_served(n->cfg))
		return 0; /* internal, bridged: a switch and no more */
	r = set_gateway(d, n);
	if (!r && n->cfg->mode == MODE_HOST_ONLY)
		r = set_host_port(d, n, was);
	if (!r)
		r = set_uplink(d, n, err);
	if (!r && n->cfg->dhcp)
		r = set_dhcp(d, n);
	else if (!r)
		end_dhcp(n);
	if (!r) {
		gateway_set_sink(n->gateway, GATEWAY_DNS, n->cfg->dns ? dns_server_sink(d->dns) : NULL);
		r = set_dns(d, n);
	}
	if (!r && n->cfg->dns) {
		clear_static_names(d, n);
		set_names(d, n);
	}
	if (r)
		fprintf(err, "error: network '%s': %s\n", n->cfg->name, strerror(-r));
	return r ? r : port_control_network(d, n, err);
}

void services_network_end(struct daemon *d, struct run_network *n)
{
	sw_port_del(n->host_port);
	n->host_port = NULL;
	if (!n->gateway)
		return;
	forwards_end(d, n);
	port_control_end(d, n);
	vm_network_end(d, n);
	gateway_set_sink(n->gateway, GATEWAY_DNS, NULL);
	end_ra(n);
	end_dhcp(n);
	dns_server_del_conf(d->dns, n->domain);
	dns_names_clear(d->names, n->domain);
	dns_transport_free(n->upstream); /* closes its ports at the gateway */
	sw_slow_drain(d->sw);
	gateway_free(n->gateway);
	n->gateway = NULL;
}

/* ---- what networks share ---- */

int services_open(struct daemon *d)
{
	struct nat_limits limits = {.max_sessions = d->running->max_sessions};
	int r;

	d->nat = nat_new(d->sw, &limits);
	if (!d->nat)
		return -errno;
	r = netdev_hub_new(d->sw, d->loop, d->running->state_dir, stderr, &d->netdevs);
	if (r)
		return r;
	d->names = dns_names_new(0);
	d->resolv = resolv_new(d->loop, RESOLV_PATH, on_resolv, d);
	if (!d->names || !d->resolv)
		return -errno;
	d->dns_host = dns_host_new(d->loop, d->resolv);
	sw_on_link(d->sw, uplinks_on_link, d);
	d->dns = dns_server_new(d->sw, d->loop, d->names);
	if (!d->dns || !d->dns_host)
		return -errno;
	return open_leases(d);
}

void services_close(struct daemon *d)
{
	uplinks_close(d);
	loop_timer_free(d->lease_timer);
	loop_timer_free(d->lease_sync);
	dns_server_free(d->dns);
	dns_transport_free(d->dns_host);
	dns_names_free(d->names);
	resolv_free(d->resolv);
	lease_store_free(d->leases);
	nat_free(d->nat);
	netdev_hub_free(d->netdevs);
}
