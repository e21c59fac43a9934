/* The verbs about what guests bring and get: MAC addresses, leases, names, sessions. */
#include "ctl/verbs_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dhcp/dns_names.h"
#include "dhcp/lease.h"
#include "nat/gateway.h"
#include "nat/portmap.h"
#include "net/clock.h"
#include "net/headers.h"

/* The optional parameter "net": sets *ret_net to NULL when it was not given. */
static int optional_network(struct rpc_call *c, struct run_network **ret_net)
{
	struct run_network *n = NULL;
	if (rpc_string(c, "net") && !(n = verbs_network(c, "net")))
		return -1;
	*ret_net = n;
	return 0;
}

static const char *port_name(struct daemon *d, port_idx i)
{
	const struct port *p = i == PORT_NONE ? NULL : sw_port_at(d->sw, i);
	return p ? p->name : NULL;
}

/* ---- mac ---- */

static json_t *mac_object(struct daemon *d, const struct sw_fdb_row *row)
{
	const char *network = sw_domain_network(d->sw, row->domain);
	vlan_id vid = sw_domain_vid(d->sw, row->domain);
	json_t *o = json_object();
	verbs_set_mac(o, "mac", row->mac);
	json_object_set_new(o, "vlan", vid ? json_integer(vid) : json_null());
	verbs_set_text(o, "network", *network ? network : NULL);
	verbs_set_text(o, "port", port_name(d, row->port));
	verbs_set_int(o, "age", row->age);
	verbs_set_bool(o, "static", row->is_static);
	return o;
}

/* Uplinks' hidden domains have no VLAN and are of no interest here. */
int verb_mac_list(struct rpc_call *c)
{
	struct daemon *d = call_daemon(c);
	struct run_network *only;
	struct sw_fdb_row *rows;
	size_t n;
	if (optional_network(c, &only))
		return -1;
	if (sw_fdb_list(d->sw, &rows, &n))
		return rpc_fail(c, RPC_EXIT_ERROR, "out of memory");
	c->result = json_array();
	for (size_t i = 0; i < n; i++)
		if (only ? rows[i].domain == only->domain : sw_domain_vid(d->sw, rows[i].domain) != 0)
			json_array_append_new(c->result, mac_object(d, &rows[i]));
	free(rows);
	return 0;
}

int verb_mac_add(struct rpc_call *c)
{
	struct daemon *d = call_daemon(c);
	struct run_network *n = verbs_network(c, "net");
	struct mac mac;
	if (!n || verbs_mac(c, "mac", &mac))
		return -1;
	struct port *p = verbs_live_port(c, "port");
	if (!p)
		return -1;
	int r = sw_fdb_add_static(d->sw, n->domain, mac, p);
	return r ? rpc_fail(c, RPC_EXIT_ERROR, "%s: %s", rpc_string(c, "mac"), strerror(-r)) : 0;
}

int verb_mac_del(struct rpc_call *c)
{
	struct run_network *n = verbs_network(c, "net");
	struct mac mac;
	if (!n || verbs_mac(c, "mac", &mac))
		return -1;
	int r = sw_fdb_del(call_daemon(c)->sw, n->domain, mac);
	if (r == -ENOENT && rpc_bool(c, "if_exists"))
		return 0;
	if (r == -ENOENT)
		return rpc_fail(c, RPC_EXIT_NOT_FOUND, "MAC %s is not known in network '%s'",
				rpc_string(c, "mac"), n->cfg->name);
	return r ? rpc_fail(c, RPC_EXIT_ERROR, "%s: %s", rpc_string(c, "mac"), strerror(-r)) : 0;
}

/* Flushing by generation takes static entries along: those that belong to the gateway and
 * to ports with a `mac:` come back at once. */
static void restore_statics(struct daemon *d, const struct run_network *n, const struct port *only)
{
	if (n->gateway && !only)
		sw_fdb_add_static(d->sw, n->domain, gateway_get_conf(n->gateway)->mac,
				  gateway_port(n->gateway));
	for (const struct run_port *p = d->ports; p; p = p->next) {
		bool fixed = p->port && p->cfg->has_mac && p->cfg->type != PORT_DGRAM && !p->cfg->is_pattern;
		if (fixed && p->cfg->network && strcmp(p->cfg->network, n->cfg->name) == 0 &&
		    (!only || only == p->port))
			sw_fdb_add_static(d->sw, n->domain, p->cfg->mac, p->port);
	}
}

static int flush_port(struct rpc_call *c)
{
	struct daemon *d = call_daemon(c);
	struct port *p = verbs_live_port(c, "port");
	if (!p)
		return -1;
	if (p->hidden)
		return rpc_fail(c, RPC_EXIT_USAGE, "port '%s' is the switch's own", p->name);
	sw_fdb_flush_port(d->sw, p);
	for (const struct run_network *n = d->networks; n; n = n->next)
		restore_statics(d, n, p);
	return 0;
}

int verb_mac_flush(struct rpc_call *c)
{
	struct daemon *d = call_daemon(c);
	struct run_network *n;
	if (optional_network(c, &n))
		return -1;
	if (n && rpc_string(c, "port"))
		return rpc_fail(c, RPC_EXIT_USAGE, "flush a network or a port, not both");
	if (rpc_string(c, "port"))
		return flush_port(c);
	if (n) {
		sw_fdb_flush_domain(d->sw, n->domain);
		restore_statics(d, n, NULL);
	} else {
		sw_fdb_flush(d->sw);
	}
	return 0;
}

/* ---- lease ---- */

struct lease_job {
	const char *only; /* network */
	int64_t now;
	json_t *list; /* NULL: count */
	uint32_t count;
};

static void set_remaining(json_t *o, int64_t seconds)
{
	json_object_set_new(o, "expires", seconds < 0 ? json_null() : json_integer(seconds));
}

static json_t *lease_object(const struct lease *l, int64_t now)
{
	json_t *o = json_object();
	const char *pool = lease_pool_name(l->pool); /* "NETWORK", or "NETWORK/PORT" in mode nat-per-vm */
	json_object_set_new(o, "network", json_stringn(pool, strcspn(pool, "/")));
	verbs_set_mac(o, "mac", l->mac);
	verbs_set_ip(o, "address", l->address);
	verbs_set_text(o, "hostname", *l->hostname ? l->hostname : NULL);
	verbs_set_text(o, "port", *lease_port(l) ? lease_port(l) : NULL);
	set_remaining(o, lease_remaining(l, now));
	return o;
}

static bool is_of_network(const char *pool, const char *network)
{
	size_t n = strcspn(pool, "/");
	return strlen(network) == n && memcmp(pool, network, n) == 0;
}

static void lease_each(void *arg, const struct lease *l)
{
	struct lease_job *job = arg;
	if (!lease_is_current(l, job->now))
		return;
	if (job->only && !is_of_network(lease_pool_name(l->pool), job->only))
		return;
	job->count++;
	if (job->list)
		json_array_append_new(job->list, lease_object(l, job->now));
}

uint32_t verbs_lease_count(struct daemon *d, const char *network)
{
	struct lease_job job = {.only = network, .now = clock_wall()};
	if (d->leases)
		lease_store_each(d->leases, lease_each, &job);
	return job.count;
}

int verb_lease_list(struct rpc_call *c)
{
	struct daemon *d = call_daemon(c);
	struct run_network *n;
	if (optional_network(c, &n))
		return -1;
	struct lease_job job = {.only = n ? n->cfg->name : NULL, .now = clock_wall()};
	job.list = c->result = json_array();
	if (d->leases)
		lease_store_each(d->leases, lease_each, &job);
	return 0;
}

static const struct cfg_reservation *find_reservation(const struct cfg_network *n, struct mac mac)
{
	for (size_t i = 0; i < n->n_reservations; i++)
		if (memcmp(&n->reservations[i].mac, &mac, sizeof(mac)) == 0)
			return &n->reservations[i];
	return NULL;
}

int verb_lease_reserve(struct rpc_call *c)
{
	struct run_network *n = verbs_network(c, "net");
	char path[300], mac_text[MAC_STRLEN];
	struct mac mac;
	be32 address;
	if (!n || verbs_mac(c, "mac", &mac) || verbs_ip(c, "address", &address))
		return -1;
	const struct cfg_reservation *r = find_reservation(n->cfg, mac);
	if (r && r->address == address && rpc_bool(c, "may_exist"))
		return 0;
	if (r)
		return rpc_fail(c, RPC_EXIT_ERROR, "MAC %s has a reservation already", rpc_string(c, "mac"));
	char *yaml = verbs_flow("mac", mac_format(mac, mac_text), "address", rpc_string(c, "address"),
				"hostname", rpc_string(c, "hostname"), NULL);
	snprintf(path, sizeof(path), "networks/%s/dhcp/reservations/+", n->cfg->name);
	int ret = yaml ? verbs_edit(c, path, yaml, false) : rpc_fail(c, RPC_EXIT_ERROR, "out of memory");
	free(yaml);
	return ret;
}

int verb_lease_unreserve(struct rpc_call *c)
{
	struct run_network *n = verbs_network(c, "net");
	char path[300];
	struct mac mac;
	if (!n || verbs_mac(c, "mac", &mac))
		return -1;
	const struct cfg_reservation *r = find_reservation(n->cfg, mac);
	if (!r)
		return rpc_bool(c, "if_exists")
			       ? 0
			       : rpc_fail(c, RPC_EXIT_NOT_FOUND, "MAC %s has no reservation in network '%s'",
					  rpc_string(c, "mac"), n->cfg->name);
	snprintf(path, sizeof(path), "networks/%s/dhcp/reservations/#%zu", n->cfg->name,
		 (size_t)(r - n->cfg->reservations));
	return verbs_edit(c, path, NULL, false);
}

int verb_lease_release(struct rpc_call *c)
{
	struct daemon *d = call_daemon(c);
	struct run_network *n = verbs_network(c, "net");
	be32 address;
	if (!n || verbs_ip(c, "address", &address))
		return -1;
	struct lease_pool *pool = d->leases ? lease_pool_find(d->leases, n->cfg->name) : NULL;
	int r = pool ? lease_release(pool, address, clock_wall()) : -ENOENT;
	if (r == -ENOENT && rpc_bool(c, "if_exists"))
		return 0;
	if (r == -ENOENT)
		return rpc_fail(c, RPC_EXIT_NOT_FOUND, "address %s is not leased in network '%s'",
				rpc_string(c, "address"), n->cfg->name);
	if (!r)
		lease_store_sync(d->leases);
	return r ? rpc_fail(c, RPC_EXIT_ERROR, "%s: %s", rpc_string(c, "address"), strerror(-r)) : 0;
}

/* ---- dns ---- */

struct dns_job {
	struct daemon *daemon;
	json_t *list;
};

static void dns_each(void *arg, const struct dns_names_row *row)
{
	struct dns_job *job = arg;
	struct run_network *n = daemon_network_of_domain(job->daemon, row->domain);
	nsec_t now = clock_now();
	json_t *o = json_object();
	char full[DNS_NAMES_LABEL + 256];
	snprintf(full, sizeof(full), "%s%s%s", row->name, n && n->cfg->domain ? "." : "",
		 n && n->cfg->domain ? n->cfg->domain : "");
	verbs_set_text(o, "network", n ? n->cfg->name : NULL);
	verbs_set_text(o, "name", full);
	verbs_set_ip(o, "address", row->addr);
	verbs_set_text(o, "kind", row->kind == DNS_NAME_STATIC ? "static" : "lease");
	set_remaining(o, !row->expires	    ? -1
			 : row->expires > now ? (int64_t)((row->expires - now) / NSEC_PER_SEC)
					      : 0);
	json_array_append_new(job->list, o);
}

int verb_dns_list(struct rpc_call *c)
{
	struct daemon *d = call_daemon(c);
	struct run_network *n;
	if (optional_network(c, &n))
		return -1;
	struct dns_job job = {.daemon = d, .list = json_array()};
	c->result = job.list;
	if (d->names)
		dns_names_each(d->names, n ? n->domain : DOMAIN_NONE, dns_each, &job);
	return 0;
}

/* ---- nat ---- */

static const struct {
	uint8_t proto;
	const char *name;
} protos[] = {{IPPROTO4_TCP, "tcp"}, {IPPROTO4_UDP, "udp"}, {IPPROTO4_ICMP, "icmp"},
	   {IPPROTO4_GRE, "gre"}, {IPPROTO4_ESP, "esp"}};

static const char *proto_name(uint8_t proto)
{
	for (size_t i = 0; i < ARRAY_SIZE(protos); i++)
		if (protos[i].proto == proto)
			return protos[i].name;
	return "?";
}

static void set_endpoint(json_t *o, const char *key, uint8_t proto, be32 addr, uint16_t port)
{
	char buf[IP4_PORT_STRLEN];
	bool portless = proto == IPPROTO4_GRE || proto == IPPROTO4_ESP;
	verbs_set_text(o, key, portless ? ip4_format(addr, buf) : ip4_port_format(addr, port, buf));
}

static json_t *session_object(struct daemon *d, const struct nat_row *r)
{
	json_t *o = json_object();
	verbs_set_text(o, "network", r->network);
	verbs_set_text(o, "proto", proto_name(r->proto));
	set_endpoint(o, "inside", r->proto, r->inside, r->inside_port);
	set_endpoint(o, "outside", r->proto, r->outside, r->outside_port);
	/* an ICMP echo has one id on its outside, which stands for both ports there */
	set_endpoint(o, "remote", r->proto, r->remote,
		     r->proto == IPPROTO4_ICMP ? r->outside_port : r->remote_port);
	verbs_set_text(o, "state", r->state);
	verbs_set_int(o, "expires", r->expires_s);
	verbs_set_text(o, "port", port_name(d, r->port));
	verbs_set_text(o, "source", r->forwarded ? portmap_source(r->by) : NULL); /* of the forward it came by */
	return o;
}

int verb_nat_list(struct rpc_call *c)
{
	struct daemon *d = call_daemon(c);
	struct run_network *only;
	struct nat_row *rows = NULL;
	size_t n = 0;
	if (optional_network(c, &only))
		return -1;
	bool none = !d->nat || (only && !only->gateway);
	if (!none && nat_list(d->nat, only ? only->gateway : NULL, &rows, &n))
		return rpc_fail(c, RPC_EXIT_ERROR, "out of memory");
	c->result = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(c->result, session_object(d, &rows[i]));
	free(rows);
	return 0;
}

static int ended(struct rpc_call *c, size_t n)
{
	c->result = json_object();
	verbs_set_int(c->result, "ended", n);
	return 0;
}

int verb_nat_flush(struct rpc_call *c)
{
	struct daemon *d = call_daemon(c);
	struct run_network *only;
	if (optional_network(c, &only))
		return -1;
	bool none = !d->nat || (only && !only->gateway);
	return ended(c, none ? 0 : nat_flush(d->nat, only ? only->gateway : NULL));
}

/* "10.0.0.1" or "10.0.0.1:80" */
static int parse_endpoint(struct rpc_call *c, const char *param, be32 *ret_addr, uint16_t *ret_port)
{
	const char *text = rpc_string(c, param);
	if (!text || ip4_parse(text, ret_addr) == 0 || ip4_port_parse(text, ret_addr, ret_port) == 0)
		return 0;
	return rpc_fail(c, RPC_EXIT_USAGE, "'%s' is not ADDRESS or ADDRESS:PORT", text);
}

int verb_nat_kill(struct rpc_call *c)
{
	struct daemon *d = call_daemon(c);
	struct run_network *n = verbs_network(c, "net");
	const char *proto = rpc_string(c, "proto");
	struct nat_match m = {0};
	if (!n)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(protos); i++)
		if (strcmp(protos[i].name, proto) == 0)
			m.proto = protos[i].proto;
	if (!m.proto)
		return rpc_fail(c, RPC_EXIT_USAGE, "'%s' is not one of tcp, udp, icmp", proto);
	if (parse_endpoint(c, "inside", &m.inside, &m.inside_port) ||
	    parse_endpoint(c, "remote", &m.remote, &m.remote_port))
		return -1;
	size_t killed = d->nat && n->gateway ? nat_kill(d->nat, n->gateway, &m) : 0;
	if (!killed)
		return rpc_fail(c, RPC_EXIT_NOT_FOUND, "no %s session of %s in network '%s'", proto,
				rpc_string(c, "inside"), n->cfg->name);
	return ended(c, killed);
}
