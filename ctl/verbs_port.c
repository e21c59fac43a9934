/* The verbs about ports, and `attach`, which finds or makes a port for a guest. */
#include "ctl/verbs_int.h"

#include <ctype.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>

/* ---- list and show ---- */

/* The config's entry of a live port, or of the port it is a member of. */
static const struct cfg_port *cfg_of(struct daemon *d, const struct port *p)
{
	return config_port(d->running, p->parent ? p->parent->name : p->name);
}

/* A guest of a dgram socket runs while the socket does; an interface taken by a pattern
 * runs itself, and the pattern is up while one of them is. */
static bool is_up(struct port *p)
{
	const struct port_conf *conf = atomic_load(&p->conf);
	bool runs = atomic_load(&p->running) || (p->parent && atomic_load(&p->parent->running));
	for (port_idx i = 0; !runs && !p->parent && i < sw_port_count(p->sw); i++) {
		struct port *member = sw_port_at(p->sw, i);
		runs = member && member->parent == p && atomic_load(&member->running);
	}
	return runs && conf && !conf->admin_down;
}

static void set_vlan(struct daemon *d, json_t *o, const struct cfg_port *cfg)
{
	const struct cfg_network *n = cfg && cfg->network ? config_network(d->running, cfg->network) : NULL;
	verbs_set_text(o, "network", n ? n->name : NULL);
	json_object_set_new(o, "vlan", n ? json_integer(n->vlan) : json_null());
	if (cfg && cfg->is_trunk) {
		verbs_set_text(o, "trunk", cfg->trunk_text);
		verbs_set_text(o, "native", cfg->native);
	}
}

static json_t *port_object(struct daemon *d, struct port *p, const struct sw_port_counters *n)
{
	const struct cfg_port *cfg = cfg_of(d, p);
	json_t *o = json_object();
	verbs_set_text(o, "name", p->name);
	verbs_set_text(o, "type", p->ops->type);
	set_vlan(d, o, cfg);
	verbs_set_text(o, "parent", p->parent ? p->parent->name : NULL);
	verbs_set_text(o, "state", is_up(p) ? "up" : "down");
	verbs_set_bool(o, "admin_down", cfg && cfg->down);
	verbs_set_int(o, "mtu", p->caps.mtu ? p->caps.mtu : UINT16_MAX);
	verbs_set_int(o, "rx_packets", n->rx_packets);
	verbs_set_int(o, "rx_bytes", n->rx_bytes);
	verbs_set_int(o, "tx_packets", n->tx_packets);
	verbs_set_int(o, "tx_bytes", n->tx_bytes);
	json_object_set_new(o, "drops", verbs_drops(n->tx_drop, verbs_drops(n->rx_drop, NULL)));
	return o;
}

struct list_job {
	struct daemon *daemon;
	json_t *list;
	const struct port *only;
};

static void list_each(void *arg, struct port *p, const struct sw_port_counters *n)
{
	struct list_job *job = arg;
	if (job->only ? p == job->only : !p->hidden)
		json_array_append_new(job->list, port_object(job->daemon, p, n));
}

static json_t *list_ports(struct daemon *d, const struct port *only)
{
	struct sw_totals totals;
	struct list_job job = {.daemon = d, .list = json_array(), .only = only};
	sw_counters(d->sw, &totals, list_each, &job);
	return job.list;
}

json_t *verbs_port_list(struct daemon *d)
{
	return list_ports(d, NULL);
}

int verb_port_list(struct rpc_call *c)
{
	c->result = verbs_port_list(call_daemon(c));
	return 0;
}

static void set_detail(void *arg, const char *key, const char *value)
{
	verbs_set_text(arg, key, value);
}

static json_t *offload_names(unsigned offloads)
{
	static const struct {
		unsigned bit;
		const char *name;
	} names[] = {
		{OFFLOAD_CSUM, "csum"}, {OFFLOAD_TSO4, "tso4"}, {OFFLOAD_TSO6, "tso6"},
		{OFFLOAD_ECN, "ecn"},	{OFFLOAD_USO, "uso"},	{OFFLOAD_JUMBO, "jumbo"},
	};
	json_t *list = json_array();
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (offloads & names[i].bit)
			json_array_append_new(list, json_string(names[i].name));
	return list;
}

static json_t *member_names(struct daemon *d, const struct port *parent)
{
	json_t *list = json_array();
	for (port_idx i = 0; i < sw_port_count(d->sw); i++) {
		struct port *p = sw_port_at(d->sw, i);
		if (p && p->parent == parent)
			json_array_append_new(list, verbs_text(p->name));
	}
	return list;
}

int verb_port_show(struct rpc_call *c)
{
	struct daemon *d = call_daemon(c);
	struct port *p = verbs_live_port(c, "name");
	if (!p)
		return -1;
	json_t *list = list_ports(d, p);
	c->result = json_incref(json_array_get(list, 0));
	json_decref(list);
	json_t *details = json_object();
	if (p->ops->describe)
		p->ops->describe(p, set_detail, details);
	json_object_set_new(c->result, "details", details);
	json_object_set_new(c->result, "offloads", offload_names(p->caps.offloads));
	json_object_set_new(c->result, "members", member_names(d, p));
	return 0;
}

/* ---- changing ---- */

static int edit_port(struct rpc_call *c, const char *yaml, bool merge)
{
	char path[300];
	const char *name = rpc_string(c, "name");
	if (!*name || strchr(name, '/'))
		return rpc_fail(c, RPC_EXIT_USAGE, "'%s' is not a name", name);
	snprintf(path, sizeof(path), "ports/%s", name);
	return verbs_edit(c, path, yaml, merge);
}

int verb_port_add(struct rpc_call *c)
{
	const char *name = rpc_string(c, "name");
	if (!config_port(call_daemon(c)->running, name))
		return edit_port(c, rpc_string(c, "spec"), false);
	return rpc_bool(c, "may_exist") ? 0
					: rpc_fail(c, RPC_EXIT_ERROR, "port '%s' exists already", name);
}

int verb_port_set(struct rpc_call *c)
{
	return verbs_cfg_port(c, "name") ? edit_port(c, rpc_string(c, "spec"), true) : -1;
}

int verb_port_del(struct rpc_call *c)
{
	if (rpc_bool(c, "if_exists") && !config_port(call_daemon(c)->running, rpc_string(c, "name")))
		return 0;
	return verbs_cfg_port(c, "name") ? edit_port(c, NULL, false) : -1;
}

int verb_port_up(struct rpc_call *c)
{
	return verbs_cfg_port(c, "name") ? edit_port(c, "{down: false}", true) : -1;
}

int verb_port_down(struct rpc_call *c)
{
	return verbs_cfg_port(c, "name") ? edit_port(c, "{down: true}", true) : -1;
}

/* ---- attach ---- */

static const char *const type_names[] = {
	[PORT_TAP] = "tap",	  [PORT_NETDEV] = "netdev", [PORT_DGRAM] = "dgram",
	[PORT_STREAM] = "stream", [PORT_UDP] = "udp",	    [PORT_VHOST_USER] = "vhost-user",
};

static int attach_type(struct rpc_call *c, enum port_type *ret_type)
{
	/* A guest's own tap is, for us, an interface that appears. */
	static const struct {
		const char *word;
		enum port_type type;
	} words[] = {{"dgram", PORT_DGRAM}, {"stream", PORT_STREAM}, {"tap", PORT_NETDEV}, {"udp", PORT_UDP},
	  {"vhost-user", PORT_VHOST_USER}};
	const char *type = rpc_string(c, "type");
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcmp(words[i].word, type ? type : "dgram") == 0) {
			*ret_type = words[i].type;
			return 0;
		}
	}
	return rpc_fail(c, RPC_EXIT_USAGE, "'%s' is not one of dgram, stream, tap, udp, vhost-user", type);
}

/* A dgram port serves any number of guests, and so an existing one will do. */
static const struct cfg_port *shared_dgram(struct daemon *d, const char *network)
{
	for (size_t i = 0; i < d->running->n_ports; i++) {
		const struct cfg_port *p = &d->running->ports[i];
		if (p->type == PORT_DGRAM && p->network && strcmp(p->network, network) == 0)
			return p;
	}
	return NULL;
}

/* NET, or the first of NET-1, NET-2, ... that no port has. */
static void free_name(struct daemon *d, const char *network, bool plain, char *name, size_t len)
{
	if (plain && !config_port(d->running, network)) {
		snprintf(name, len, "%s", network);
		return;
	}
	for (unsigned i = 1;; i++) {
		snprintf(name, len, "%.24s-%u", network, i);
		if (!config_port(d->running, name))
			return;
	}
}

static bool udp_port_taken(struct daemon *d, unsigned port)
{
	for (size_t i = 0; i < d->running->n_ports; i++) {
		const struct cfg_port *p = &d->running->ports[i];
		const char *colon = p->type == PORT_UDP ? strrchr(p->listen, ':') : NULL;
		unsigned used = colon ? (unsigned)strtoul(colon + 1, NULL, 10) : 0;
		colon = p->type == PORT_UDP ? strrchr(p->peer, ':') : NULL;
		if (used == port || (colon && strtoul(colon + 1, NULL, 10) == port))
			return true;
	}
	return false;
}

#define UDP_FIRST 20000u /* VirtualBox users' habit */

static char *udp_spec(struct daemon *d, const char *network)
{
	char listen[32], peer[32];
	unsigned port = UDP_FIRST;
	while (udp_port_taken(d, port) || udp_port_taken(d, port + 1))
		port += 2;
	snprintf(listen, sizeof(listen), "127.0.0.1:%u", port);
	snprintf(peer, sizeof(peer), "127.0.0.1:%u", port + 1);
	return verbs_flow("type", "udp", "listen", listen, "peer", peer, "network", network, NULL);
}

static char *attach_spec(struct daemon *d, enum port_type type, const char *name, const char *network)
{
	char dir[256], path[512];
	snprintf(dir, sizeof(dir), "%s", d->running->control_socket);
	snprintf(path, sizeof(path), "%s/%s.%s", dirname(dir), name, type == PORT_DGRAM ? "dgram" : "sock");
	switch (type) {
	case PORT_DGRAM:
		return verbs_flow("type", "dgram", "socket", path, "network", network, NULL);
	case PORT_STREAM:
		return verbs_flow("type", "stream", "listen", path, "network", network, NULL);
	case PORT_VHOST_USER:
		return verbs_flow("type", "vhost-user", "socket", path, "network", network, NULL);
	case PORT_NETDEV:
		return verbs_flow("type", "netdev", "interface", name, "network", network, NULL);
	default:
		return udp_spec(d, network);
	}
}

static int attach_add(struct rpc_call *c, enum port_type type, const char *name, const char *network)
{
	char path[300];
	if (!*name || strchr(name, '/'))
		return rpc_fail(c, RPC_EXIT_USAGE, "'%s' is not a name", name);
	if (type == PORT_NETDEV && strlen(name) > 15)
		return rpc_fail(c, RPC_EXIT_USAGE, "'%s' is longer than an interface's name (15)", name);
	char *yaml = attach_spec(call_daemon(c), type, name, network);
	snprintf(path, sizeof(path), "ports/%s", name);
	int r = yaml ? verbs_edit(c, path, yaml, false) : rpc_fail(c, RPC_EXIT_ERROR, "out of memory");
	free(yaml);
	return r;
}

static void attach_result(struct rpc_call *c, const struct cfg_port *p, const char *network, bool added)
{
	c->result = json_object();
	verbs_set_text(c->result, "network", network);
	verbs_set_text(c->result, "port", p->name);
	verbs_set_text(c->result, "type", type_names[p->type]);
	verbs_set_text(c->result, "socket", p->socket);
	verbs_set_text(c->result, "listen", p->listen);
	verbs_set_text(c->result, "connect", p->connect);
	verbs_set_text(c->result, "peer", p->peer);
	if (p->type == PORT_VHOST_USER) {
		verbs_set_text(c->result, "role", p->role == ROLE_CLIENT ? "client" : "server");
		json_object_set_new(c->result, "queues", json_integer(p->queues));
	}
	verbs_set_text(c->result, "interface", p->type != PORT_NETDEV && p->type != PORT_TAP ? NULL :
			p->interface ? p->interface : p->name);
	if (p->has_mac)
		verbs_set_mac(c->result, "mac", p->mac);
	verbs_set_bool(c->result, "added", added);
}

/* Refuses a port that is there but is not what was asked for. */
static int attach_fits(struct rpc_call *c, const struct cfg_port *p, const char *network,
		       enum port_type type)
{
	if (!p->network || strcmp(p->network, network) != 0)
		return rpc_fail(c, RPC_EXIT_ERROR, "port '%s' is not in network '%s'", p->name, network);
	if (rpc_string(c, "type") && p->type != type)
		return rpc_fail(c, RPC_EXIT_ERROR, "port '%s' is of type %s", p->name, type_names[p->type]);
	return 0;
}

int verb_attach(struct rpc_call *c)
{
	struct daemon *d = call_daemon(c);
	struct run_network *r = verbs_network(c, "net");
	enum port_type type = PORT_DGRAM;
	char network[64], name[64];
	if (!r || attach_type(c, &type))
		return -1;
	snprintf(network, sizeof(network), "%s", r->cfg->name);
	const struct cfg_port *p = NULL;
	if (rpc_string(c, "name")) {
		snprintf(name, sizeof(name), "%s", rpc_string(c, "name"));
		p = config_port(d->running, name);
	} else {
		p = type == PORT_DGRAM ? shared_dgram(d, network) : NULL;
		free_name(d, network, type == PORT_DGRAM, name, sizeof(name));
	}
	if (p && attach_fits(c, p, network, type))
		return -1;
	bool added = !p;
	if (added && attach_add(c, type, name, network))
		return -1;
	attach_result(c, p ? p : config_port(d->running, name), network, added);
	return 0;
}
