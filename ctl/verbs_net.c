/* The verbs about networks and their forwards. */
#include "ctl/verbs_int.h"

#include <stdlib.h>
#include <string.h>

#include "ctl/upnp.h"
#include "dhcp/lease.h"
#include "nat/gateway.h"
#include "nat/portmap.h"
#include "net/clock.h"

static const char *const mode_names[] = {
	[MODE_INTERNAL] = "internal", [MODE_BRIDGED] = "bridged", [MODE_HOST_ONLY] = "host-only",
	[MODE_ROUTED] = "routed",     [MODE_NAT] = "nat",	  [MODE_NAT_PER_VM] = "nat-per-vm",
};

/* ---- net ---- */

static size_t count_ports(struct daemon *d, const struct cfg_network *n)
{
	size_t count = 0;
	for (port_idx i = 0; i < sw_port_count(d->sw); i++) {
		struct port *p = sw_port_at(d->sw, i);
		const struct port_conf *conf = p ? atomic_load(&p->conf) : NULL;
		count += conf && !p->hidden && vlan_member(&conf->vlan, n->vlan);
	}
	return count;
}

static json_t *network_object(struct daemon *d, const struct run_network *r)
{
	const struct cfg_network *n = r->cfg;
	json_t *o = json_object();
	verbs_set_text(o, "name", n->name);
	verbs_set_int(o, "vlan", n->vlan);
	verbs_set_text(o, "mode", mode_names[n->mode]);
	const struct run_uplink *u = uplink_of(d, r);
	verbs_set_text(o, "uplink", u ? u->cfg->name : n->uplink);
	if (n->has_subnet6) {
		char text[PREFIX_STRLEN];
		json_object_set_new(o, "subnet6", json_string(prefix6_format(&n->subnet6, text)));
	}
	if (n->has_subnet)
		verbs_set_prefix(o, "subnet", n->subnet);
	else
		json_object_set_new(o, "subnet", json_null());
	verbs_set_ip(o, "gateway", n->gateway);
	verbs_set_int(o, "mtu", n->mtu);
	verbs_set_bool(o, "dhcp", n->dhcp);
	verbs_set_bool(o, "dns", n->dns);
	verbs_set_text(o, "domain", n->domain);
	verbs_set_int(o, "ports", count_ports(d, n));
	verbs_set_int(o, "leases", verbs_lease_count(d, n->name));
	verbs_set_int(o, "sessions", r->gateway ? gateway_sessions(r->gateway) : 0);
	verbs_set_int(o, "forwards", n->n_forwards);
	return o;
}

json_t *verbs_network_list(struct daemon *d)
{
	json_t *list = json_array();
	/* in the order of the file */
	for (size_t i = 0; i < d->running->n_networks; i++) {
		struct run_network *r = daemon_network(d, d->running->networks[i].name);
		if (r)
			json_array_append_new(list, network_object(d, r));
	}
	return list;
}

int verb_net_list(struct rpc_call *c)
{
	c->result = verbs_network_list(call_daemon(c));
	return 0;
}

static void set_range(json_t *o, const struct cfg_network *n)
{
	char first[IP4_STRLEN], last[IP4_STRLEN], text[2 * IP4_STRLEN];
	if (!n->dhcp)
		return;
	snprintf(text, sizeof(text), "%s-%s", ip4_format(n->range_first, first),
		 ip4_format(n->range_last, last));
	verbs_set_text(o, "range", text);
	verbs_set_int(o, "lease", n->lease_s);
}

static void set_pool(json_t *o, struct daemon *d, const struct cfg_network *n)
{
	struct lease_pool *pool = d->leases ? lease_pool_find(d->leases, n->name) : NULL;
	if (!pool)
		return;
	struct lease_pool_stats s = lease_pool_stats(pool);
	json_t *p = json_object();
	verbs_set_int(p, "size", s.size);
	verbs_set_int(p, "offered", s.offered);
	verbs_set_int(p, "bound", s.bound);
	verbs_set_int(p, "expired", s.expired);
	verbs_set_int(p, "declined", s.declined);
	json_object_set_new(o, "pool", p);
}

static void set_reservations(json_t *o, const struct cfg_network *n)
{
	json_t *list = json_array();
	for (size_t i = 0; i < n->n_reservations; i++) {
		json_t *r = json_object();
		verbs_set_mac(r, "mac", n->reservations[i].mac);
		verbs_set_ip(r, "address", n->reservations[i].address);
		verbs_set_text(r, "hostname", n->reservations[i].hostname);
		json_array_append_new(list, r);
	}
	json_object_set_new(o, "reservations", list);
}

static void set_nat(json_t *o, const struct cfg_network *n)
{
	static const char *const filterings[] = {
		[FILTER_ENDPOINT_INDEPENDENT] = "endpoint-independent",
		[FILTER_ADDRESS_DEPENDENT] = "address-dependent",
		[FILTER_ADDRESS_AND_PORT_DEPENDENT] = "address-and-port-dependent",
	};
	json_t *p = json_object();
	verbs_set_text(p, "filtering", filterings[n->filtering]);
	verbs_set_int(p, "udp_timeout", n->udp_timeout_s);
	verbs_set_int(p, "tcp_established_timeout", n->tcp_established_s);
	verbs_set_int(p, "tcp_transitory_timeout", n->tcp_transitory_s);
	verbs_set_int(p, "icmp_timeout", n->icmp_timeout_s);
	verbs_set_int(p, "sessions_per_guest", n->sessions_per_guest);
	verbs_set_int(p, "mappings_per_guest", n->mappings_per_guest);
	verbs_set_int(p, "ports_per_guest", n->ports_per_guest);
	verbs_set_int(p, "new_sessions_per_second", n->new_sessions_per_s);
	verbs_set_int(p, "port_block", n->port_block);
	json_object_set_new(o, "nat", p);
}

/* What guests have asked for, and how often each answer was given. */
static void set_port_control(json_t *o, const struct run_network *n)
{
	json_t *p, *protocols, *answers;
	if (!n->portmap)
		return;
	p = json_object();
	protocols = json_array();
	answers = json_object();
	for (uint8_t by = PORTCTL_NATPMP; by <= PORTCTL_UPNP; by = (uint8_t)(by << 1))
		if (portmap_get_conf(n->portmap)->protocols & by)
			json_array_append_new(protocols, verbs_text(portmap_source(by)));
	for (enum portctl_result r = PORTCTL_SUCCESS; r < PORTCTL_RESULTS; r++)
		if (portmap_answers(n->portmap, r))
			verbs_set_int(answers, portctl_result_name(r), portmap_answers(n->portmap, r));
	json_object_set_new(p, "protocols", protocols);
	verbs_set_int(p, "mappings", portmap_count(n->portmap));
	verbs_set_int(p, "mappings_per_guest", portmap_get_conf(n->portmap)->per_guest);
	json_object_set_new(p, "answers", answers);
	if (n->upnp) {
		const struct upnp_stats s = upnp_stats(n->upnp);
		verbs_set_int(p, "upnp_searches", s.searches);
		verbs_set_int(p, "upnp_requests", s.requests);
		verbs_set_int(p, "upnp_refused", s.refused);
	}
	json_object_set_new(o, "port_control", p);
}

int verb_net_show(struct rpc_call *c)
{
	struct daemon *d = call_daemon(c);
	struct run_network *r = verbs_network(c, "name");
	if (!r)
		return -1;
	c->result = network_object(d, r);
	if (!r->gateway)
		return 0;
	set_range(c->result, r->cfg);
	set_pool(c->result, d, r->cfg);
	set_reservations(c->result, r->cfg);
	verbs_set_ip(c->result, "dns_address", r->cfg->dns_address);
	set_nat(c->result, r->cfg);
	set_port_control(c->result, r);
	json_object_set_new(c->result, "forward", verbs_forward_list(d, r));
	return 0;
}

/* The path of an object named by the client; -1 with the error set when the name would
 * lead elsewhere. */
static int object_path(struct rpc_call *c, const char *kind, char *path, size_t len)
{
	const char *name = rpc_string(c, "name");
	if (!*name || strchr(name, '/'))
		return rpc_fail(c, RPC_EXIT_USAGE, "'%s' is not a name", name);
	snprintf(path, len, "%s/%s", kind, name);
	return 0;
}

int verb_net_add(struct rpc_call *c)
{
	char path[300];
	const char *name = rpc_string(c, "name");
	if (object_path(c, "networks", path, sizeof(path)))
		return -1;
	if (!config_network(call_daemon(c)->running, name))
		return verbs_edit(c, path, rpc_string(c, "spec"), false);
	return rpc_bool(c, "may_exist")
		       ? 0
		       : rpc_fail(c, RPC_EXIT_ERROR, "network '%s' exists already", name);
}

int verb_net_set(struct rpc_call *c)
{
	char path[300];
	if (!verbs_network(c, "name") || object_path(c, "networks", path, sizeof(path)))
		return -1;
	return verbs_edit(c, path, rpc_string(c, "spec"), true);
}

int verb_net_del(struct rpc_call *c)
{
	char path[300];
	if (rpc_bool(c, "if_exists") && !config_network(call_daemon(c)->running, rpc_string(c, "name")))
		return 0;
	if (!verbs_network(c, "name") || object_path(c, "networks", path, sizeof(path)))
		return -1;
	return verbs_edit(c, path, NULL, false);
}

/* ---- forward ---- */

static const char *proto_name(enum ip_proto_cfg p)
{
	return p == PROTO_TCP ? "tcp" : "udp";
}

#define LISTEN_STRLEN (IP4_PORT_STRLEN + 6)

static void format_listen(const struct cfg_forward *f, char buf[LISTEN_STRLEN])
{
	if (f->listen)
		ip4_port_format(f->listen, f->listen_port, buf);
	else
		snprintf(buf, LISTEN_STRLEN, ":%u", f->listen_port);
	if (f->listen_last != f->listen_port)
		snprintf(buf + strlen(buf), LISTEN_STRLEN - strlen(buf), "-%u", f->listen_last);
}

static json_t *forward_object(const struct cfg_network *n, const struct cfg_forward *f)
{
	char listen[LISTEN_STRLEN], to[300];
	unsigned more = (unsigned)f->listen_last - f->listen_port;
	json_t *o = json_object();
	format_listen(f, listen);
	if (f->to_name)
		snprintf(to, sizeof(to), "%s:%u", f->to_name, f->to_port);
	else
		ip4_port_format(f->to, f->to_port, to);
	if (more)
		snprintf(to + strlen(to), sizeof(to) - strlen(to), "-%u", f->to_port + more);
	verbs_set_text(o, "network", n->name);
	verbs_set_text(o, "proto", proto_name(f->proto));
	verbs_set_text(o, "listen", listen);
	verbs_set_text(o, "to", to);
	verbs_set_text(o, "port", f->port);
	verbs_set_text(o, "source", "config");
	json_object_set_new(o, "expires", json_null());
	return o;
}

/* One that a guest has asked for. */
static json_t *mapping_object(struct daemon *d, const struct run_network *n, const struct portmap_row *m)
{
	const struct run_port *vm = vm_of_domain(d, m->guest.domain);
	nsec_t now = clock_now();
	char listen[LISTEN_STRLEN], to[IP4_PORT_STRLEN];
	json_t *o = json_object();
	snprintf(listen, sizeof(listen), ":%u", m->outside_port);
	verbs_set_text(o, "network", n->cfg->name);
	verbs_set_text(o, "proto", proto_name(m->proto));
	verbs_set_text(o, "listen", listen);
	verbs_set_text(o, "to", ip4_port_format(m->guest.addr, m->inside_port, to));
	verbs_set_text(o, "port", vm ? vm->cfg->name : NULL);
	verbs_set_text(o, "source", portmap_source(m->by));
	verbs_set_int(o, "expires", m->expires > now ? (m->expires - now + NSEC_PER_SEC - 1) / NSEC_PER_SEC : 0);
	return o;
}

json_t *verbs_forward_list(struct daemon *d, const struct run_network *only)
{
	json_t *list = json_array();
	const struct config *cfg = d->running;
	for (size_t i = 0; i < cfg->n_networks; i++) {
		const struct cfg_network *n = &cfg->networks[i];
		if (only && only->cfg != n && strcmp(only->cfg->name, n->name) != 0)
			continue;
		for (size_t j = 0; j < n->n_forwards; j++)
			json_array_append_new(list, forward_object(n, &n->forwards[j]));
		const struct run_network *r = daemon_network(d, n->name);
		for (uint32_t j = 0; r && j < portmap_count(r->portmap); j++)
			json_array_append_new(list, mapping_object(d, r, portmap_at(r->portmap, j)));
	}
	return list;
}

int verb_forward_list(struct rpc_call *c)
{
	const struct run_network *only = NULL;
	if (rpc_string(c, "net") && !(only = verbs_network(c, "net")))
		return -1;
	c->result = verbs_forward_list(call_daemon(c), only);
	return 0;
}

/* What identifies a forward: its protocol and where it listens. */
struct forward_key {
	enum ip_proto_cfg proto;
	be32 listen;
	uint16_t port, last;
};

static int parse_key(struct rpc_call *c, struct forward_key *ret_key)
{
	const char *proto = rpc_string(c, "proto"), *listen = rpc_string(c, "listen");
	struct forward_key k;
	if (strcmp(proto, "tcp") != 0 && strcmp(proto, "udp") != 0)
		return rpc_fail(c, RPC_EXIT_USAGE, "'%s' is neither tcp nor udp", proto);
	k.proto = *proto == 't' ? PROTO_TCP : PROTO_UDP;
	if (config_listen_parse(listen, &k.listen, &k.port, &k.last))
		return rpc_fail(c, RPC_EXIT_USAGE,
				"'%s' is not ADDRESS:PORT, or :PORT for the uplink's address, or with PORT-LAST", listen);
	*ret_key = k;
	return 0;
}

static const struct cfg_forward *find_forward(const struct cfg_network *n, const struct forward_key *k)
{
	for (size_t i = 0; i < n->n_forwards; i++) {
		const struct cfg_forward *f = &n->forwards[i];
		if (f->proto == k->proto && f->listen == k->listen && f->listen_port == k->port && f->listen_last == k->last)
			return f;
	}
	return NULL;
}

int verb_forward_add(struct rpc_call *c)
{
	struct run_network *r = verbs_network(c, "net");
	struct forward_key key;
	char path[300];
	if (!r || parse_key(c, &key))
		return -1;
	if (find_forward(r->cfg, &key))
		return rpc_bool(c, "may_exist")
			       ? 0
			       : rpc_fail(c, RPC_EXIT_ERROR, "forward %s %s of network '%s' exists already",
					  rpc_string(c, "proto"), rpc_string(c, "listen"), r->cfg->name);
	char *yaml = verbs_flow("proto", rpc_string(c, "proto"), "listen", rpc_string(c, "listen"),
				"to", rpc_string(c, "to"), "port", rpc_string(c, "port"), NULL);
	snprintf(path, sizeof(path), "networks/%s/forward/+", r->cfg->name);
	int ret = yaml ? verbs_edit(c, path, yaml, false) : rpc_fail(c, RPC_EXIT_ERROR, "out of memory");
	free(yaml);
	return ret;
}

int verb_forward_del(struct rpc_call *c)
{
	struct run_network *r = verbs_network(c, "net");
	struct forward_key key;
	char path[300];
	if (!r || parse_key(c, &key))
		return -1;
	const struct cfg_forward *f = find_forward(r->cfg, &key);
	if (!f && r->portmap && !key.listen && key.last == key.port &&
	    portmap_evict(r->portmap, (uint8_t)key.proto, key.port, rpc_bool(c, "kill")))
		return 0;
	if (!f)
		return rpc_bool(c, "if_exists")
			       ? 0
			       : rpc_fail(c, RPC_EXIT_NOT_FOUND, "forward %s %s of network '%s' not found",
					  rpc_string(c, "proto"), rpc_string(c, "listen"), r->cfg->name);
	snprintf(path, sizeof(path), "networks/%s/forward/#%zu", r->cfg->name,
		 (size_t)(f - r->cfg->forwards));
	struct nat_forward gone = {.proto = (uint8_t)key.proto, .listen = key.listen, .listen_port = key.port};
	int ret = verbs_edit(c, path, NULL, false);
	if (!ret && rpc_bool(c, "kill") && (r = verbs_network(c, "net")) && r->gateway) {
		for (unsigned left = 1u + key.last - key.port; left; left--, gone.listen_port++)
			nat_forward_kill(r->gateway, &gone);
	}
	return ret;
}
