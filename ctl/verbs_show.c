/* The verbs that look at the whole: show, status, version, doctor, counters, vlan list. */
#include "ctl/verbs_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dhcp/dhcp_server.h"
#include "dhcp/dns_forward.h"
#include "dhcp/lease.h"
#include "dhcp/resolv.h"
#include "nat/gateway.h"
#include "net/clock.h"

/* ---- status and show ---- */

static uint64_t resident_kib(void)
{
	unsigned long size = 0, resident = 0;
	FILE *f = fopen("/proc/self/statm", "re");
	if (!f)
		return 0;
	if (fscanf(f, "%lu %lu", &size, &resident) != 2)
		resident = 0;
	fclose(f);
	return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE) / 1024;
}

static size_t count_live_ports(struct daemon *d)
{
	size_t n = 0;
	for (port_idx i = 0; i < sw_port_count(d->sw); i++) {
		struct port *p = sw_port_at(d->sw, i);
		n += p && !p->hidden;
	}
	return n;
}

static json_t *memory_object(struct daemon *d)
{
	struct arena_stats a = sw_arena_stats(d->sw);
	json_t *o = json_object();
	verbs_set_int(o, "resident_kib", resident_kib());
	verbs_set_int(o, "packets_total", a.small_total);
	verbs_set_int(o, "packets_free", a.small_free);
	verbs_set_int(o, "large_packets_total", a.big_total);
	verbs_set_int(o, "large_packets_free", a.big_free);
	return o;
}

static void ignore_port(void *arg, struct port *p, const struct sw_port_counters *n)
{
}

json_t *verbs_status_object(struct daemon *d)
{
	struct nat_stats nat = {0};
	struct sw_totals totals;
	if (d->nat)
		nat_get_stats(d->nat, &nat);
	sw_counters(d->sw, &totals, ignore_port, NULL);
	json_t *o = json_object();
	verbs_set_text(o, "version", VSWITCH_VERSION);
	verbs_set_int(o, "uptime", (clock_now() - d->started) / NSEC_PER_SEC);
	verbs_set_int(o, "pid", (uint64_t)getpid());
	verbs_set_int(o, "workers", d->running->workers);
	verbs_set_int(o, "networks", d->running->n_networks);
	verbs_set_int(o, "ports", count_live_ports(d));
	verbs_set_int(o, "sessions", nat.sessions);
	verbs_set_int(o, "leases", verbs_lease_count(d, NULL));
	verbs_set_int(o, "macs", totals.macs);
	verbs_set_text(o, "config", d->running->path);
	verbs_set_text(o, "control", d->running->control_socket);
	verbs_set_text(o, "state", d->running->state_dir);
	verbs_set_bool(o, "test_clock", d->test_clock);
	json_object_set_new(o, "memory", memory_object(d));
	return o;
}

int verb_status(struct rpc_call *c)
{
	c->result = verbs_status_object(call_daemon(c));
	return 0;
}

int verb_version(struct rpc_call *c)
{
	c->result = json_object();
	verbs_set_text(c->result, "version", VSWITCH_VERSION);
	return 0;
}

static json_t *uplink_object(const struct run_uplink *u)
{
	static const char *const types[] = {
		[UPLINK_HOST] = "host",
		[UPLINK_INTERFACE] = "interface",
		[UPLINK_NETWORK] = "network",
	};
	const struct uplink_conf *c = uplink_get_conf(u->uplink);
	json_t *o = json_object();
	const char *why = NULL;
	verbs_set_text(o, "name", u->cfg->name);
	verbs_set_text(o, "type", types[u->cfg->type]);
	verbs_set_text(o, "state", uplink_is_up(u, &why) ? "up" : "down");
	verbs_set_text(o, "reason", why);
	verbs_set_text(o, "interface", u->cfg->interface);
	verbs_set_text(o, "network", u->cfg->network);
	if (u->cfg->type != UPLINK_HOST && c->address.addr) {
		verbs_set_prefix(o, "address", c->address);
		verbs_set_ip(o, "gateway", c->gateway);
	}
	if (c->address6.len) {
		char text[PREFIX_STRLEN];
		verbs_set_text(o, "address6", prefix6_format(&c->address6, text));
		verbs_set_text(o, "gateway6", ip6_is_unspecified(c->gateway6) ? NULL : ip6_format(c->gateway6, text));
	}
	if (u->dhcp) {
		int64_t left = uplink_dhcp_expires(u->dhcp);
		verbs_set_text(o, "dhcp", uplink_dhcp_state(u->dhcp));
		json_object_set_new(o, "expires", left < 0 ? json_null() : json_integer(left));
	}
	return o;
}

json_t *verbs_uplink_list(struct daemon *d)
{
	json_t *list = json_array();
	for (size_t i = 0; i < d->running->n_uplinks; i++) { /* in the order of the file */
		const struct run_uplink *u = daemon_uplink(d, d->running->uplinks[i].name);
		if (u)
			json_array_append_new(list, uplink_object(u));
	}
	return list;
}

int verb_uplink_list(struct rpc_call *c)
{
	c->result = verbs_uplink_list(call_daemon(c));
	return 0;
}

int verb_uplink_show(struct rpc_call *c)
{
	struct daemon *d = call_daemon(c);
	const char *name = rpc_string(c, "name");
	const struct run_uplink *u = daemon_uplink(d, name);
	const char *names[d->running->n_uplinks + 1];

	for (size_t i = 0; i < d->running->n_uplinks; i++)
		names[i] = d->running->uplinks[i].name;
	if (!u)
		return verbs_not_found(c, "uplink", name, names, d->running->n_uplinks);
	json_t *used = json_array();
	for (const struct run_network *n = d->networks; n; n = n->next) {
		if (uplink_of(d, n) == u)
			json_array_append_new(used, json_string(n->cfg->name));
	}
	c->result = uplink_object(u);
	json_object_set_new(c->result, "networks", used);
	return 0;
}

int verb_show(struct rpc_call *c)
{
	struct daemon *d = call_daemon(c);
	c->result = json_object();
	json_object_set_new(c->result, "status", verbs_status_object(d));
	json_object_set_new(c->result, "uplinks", verbs_uplink_list(d));
	json_object_set_new(c->result, "networks", verbs_network_list(d));
	json_object_set_new(c->result, "ports", verbs_port_list(d));
	json_object_set_new(c->result, "forwards", verbs_forward_list(d, NULL));
	return 0;
}

/* ---- counters ---- */

struct counters_job {
	const char *only; /* a port, and its members */
	json_t *ports, *drops;
};

static json_t *counters_object(const struct sw_port_counters *n)
{
	json_t *o = json_object();
	verbs_set_int(o, "rx_packets", n->rx_packets);
	verbs_set_int(o, "rx_bytes", n->rx_bytes);
	verbs_set_int(o, "rx_segments", n->rx_segments);
	verbs_set_int(o, "forwarded", n->forwarded);
	verbs_set_int(o, "flooded", n->flooded);
	verbs_set_int(o, "consumed", n->consumed);
	verbs_set_int(o, "offered", n->offered);
	verbs_set_int(o, "tx_packets", n->tx_packets);
	verbs_set_int(o, "tx_bytes", n->tx_bytes);
	verbs_set_int(o, "tx_segments", n->tx_segments);
	verbs_set_int(o, "mac_moves", n->mac_moves);
	json_object_set_new(o, "rx_drops", verbs_drops(n->rx_drop, NULL));
	json_object_set_new(o, "tx_drops", verbs_drops(n->tx_drop, NULL));
	return o;
}

static void counters_each(void *arg, struct port *p, const struct sw_port_counters *n)
{
	struct counters_job *job = arg;
	bool wanted = !job->only || strcmp(p->name, job->only) == 0 ||
		      (p->parent && strcmp(p->parent->name, job->only) == 0);
	if (!wanted)
		return;
	json_t *o = counters_object(n);
	verbs_set_bool(o, "hidden", p->hidden);
	json_object_set_new(job->ports, p->name, o);
	verbs_drops(n->rx_drop, job->drops);
	verbs_drops(n->tx_drop, job->drops);
}

static json_t *drop_texts(json_t *drops)
{
	json_t *o = json_object();
	for (enum drop_reason r = DROP_NONE + 1; r < DROP_COUNT; r++)
		if (json_object_get(drops, drop_name(r)))
			verbs_set_text(o, drop_name(r), drop_text(r));
	return o;
}

static void set_totals(json_t *o, const struct sw_totals *t)
{
	verbs_set_int(o, "copies", t->copies);
	verbs_set_int(o, "gone_offered", t->gone_offered);
	json_object_set_new(o, "gone_rx_drops", verbs_drops(t->gone_rx_drop, NULL));
	json_object_set_new(o, "gone_tx_drops", verbs_drops(t->gone_tx_drop, NULL));
	verbs_set_int(o, "macs", t->macs);
	verbs_set_int(o, "mac_moves", t->mac_moves);
	verbs_set_int(o, "mac_evictions", t->mac_evictions);
}

static void set_nat_stats(json_t *o, struct nat *nat)
{
	struct nat_stats s = {0};
	if (nat)
		nat_get_stats(nat, &s);
	json_t *n = json_object();
	verbs_set_int(n, "sessions", s.sessions);
	verbs_set_int(n, "mappings", s.mappings);
	verbs_set_int(n, "guests", s.guests);
	verbs_set_int(n, "neighbours", s.neighbours);
	verbs_set_int(n, "flows6", s.flows6);
	verbs_set_int(n, "created", s.created);
	verbs_set_int(n, "expired", s.expired);
	verbs_set_int(n, "evicted", s.evicted);
	verbs_set_int(n, "icmp_sent", s.icmp_sent);
	verbs_set_int(n, "icmp_held", s.icmp_held);
	verbs_set_int(n, "alg_translated", s.alg_translated);
	verbs_set_int(n, "alg_left", s.alg_left);
	json_object_set_new(o, "nat", n);
}

static void set_stat(void *arg, const char *name, uint64_t v)
{
	verbs_set_int(arg, name, v);
}

static json_t *dns_stats_object(const struct dns_server *dns)
{
	struct dns_stats s = dns_server_stats(dns);
	json_t *o = json_object();
	verbs_set_int(o, "queries", s.queries);
	verbs_set_int(o, "local", s.local);
	verbs_set_int(o, "forwarded", s.forwarded);
	verbs_set_int(o, "failed", s.failed);
	verbs_set_int(o, "refused", s.refused);
	verbs_set_int(o, "malformed", s.dropped_malformed);
	verbs_set_int(o, "off", s.dropped_off);
	verbs_set_int(o, "guest-share", s.dropped_share);
	verbs_set_int(o, "timed-out", s.timed_out);
	verbs_set_int(o, "evicted", s.evicted);
	verbs_set_int(o, "bad-answers", s.bad_answers);
	verbs_set_int(o, "no-buffer", s.no_buffer);
	return o;
}

/* What became of the messages that the gateways handed to the services.  Those that a service
 * refused (svc-...) are drops of the gateway's port as well; the rest it was sent. */
static void set_service_stats(json_t *o, struct daemon *d)
{
	json_t *dhcp = json_object();
	for (const struct run_network *n = d->networks; n; n = n->next) {
		if (!n->dhcp)
			continue;
		json_t *stats = json_object();
		dhcp_stats_each(dhcp_server_stats(n->dhcp), set_stat, stats);
		json_object_set_new(dhcp, n->cfg->name, stats);
	}
	json_object_set_new(o, "dhcp", dhcp);
	if (d->dns)
		json_object_set_new(o, "dns", dns_stats_object(d->dns));
}

/* With a port named, totals would be about something else: they are left out. */
int verb_counters(struct rpc_call *c)
{
	struct daemon *d = call_daemon(c);
	struct sw_totals totals;
	struct counters_job job = {.only = rpc_string(c, "port")};
	if (job.only && !verbs_live_port(c, "port"))
		return -1;
	job.ports = json_object();
	job.drops = json_object();
	sw_counters(d->sw, &totals, counters_each, &job);
	if (!job.only) {
		verbs_drops(totals.gone_rx_drop, job.drops);
		verbs_drops(totals.gone_tx_drop, job.drops);
	}
	c->result = json_object();
	json_object_set_new(c->result, "ports", job.ports);
	json_object_set_new(c->result, "drops", job.drops);
	json_object_set_new(c->result, "texts", drop_texts(job.drops));
	if (!job.only) {
		set_totals(c->result, &totals);
		set_nat_stats(c->result, d->nat);
		set_service_stats(c->result, d);
	}
	return 0;
}

/* ---- vlan list ---- */

static void add_members(struct daemon *d, vlan_id vid, json_t *tagged, json_t *untagged)
{
	static const struct vlan_tag none;
	for (port_idx i = 0; i < sw_port_count(d->sw); i++) {
		struct port *p = sw_port_at(d->sw, i);
		const struct port_conf *conf = p ? atomic_load(&p->conf) : NULL;
		if (!conf || p->hidden || !vlan_member(&conf->vlan, vid))
			continue;
		bool has_tag = vlan_egress(&conf->vlan, vid, none).tpid != 0;
		json_array_append_new(has_tag ? tagged : untagged, verbs_text(p->name));
	}
}

static json_t *vlan_object(struct daemon *d, vlan_id vid, domain_idx dom)
{
	const char *network = sw_domain_network(d->sw, dom);
	json_t *o = json_object(), *tagged = json_array(), *untagged = json_array();
	verbs_set_int(o, "vlan", vid);
	verbs_set_text(o, "network", *network ? network : NULL);
	add_members(d, vid, tagged, untagged);
	json_object_set_new(o, "tagged", tagged);
	json_object_set_new(o, "untagged", untagged);
	return o;
}

int verb_vlan_list(struct rpc_call *c)
{
	struct daemon *d = call_daemon(c);
	c->result = json_array();
	for (vlan_id vid = 1; vid <= VLAN_MAX; vid++) {
		domain_idx dom = sw_domain_of_vid(d->sw, vid);
		if (dom != DOMAIN_NONE)
			json_array_append_new(c->result, vlan_object(d, vid, dom));
	}
	return 0;
}

/* ---- doctor ---- */

static void __attribute__((format(printf, 4, 5))) finding(json_t *list, const char *check,
							  const char *level, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	json_t *o = json_object();
	verbs_set_text(o, "check", check);
	verbs_set_text(o, "level", level);
	verbs_set_text(o, "text", text);
	json_array_append_new(list, o);
}

static bool has_capability(unsigned bit)
{
	unsigned long long effective = 0;
	char line[256];
	FILE *f = fopen("/proc/self/status", "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "CapEff: %llx", &effective) == 1)
			break;
	if (f)
		fclose(f);
	return effective >> bit & 1;
}

#define CAP_NET_ADMIN_BIT 12
#define CAP_NET_RAW_BIT 13

static void doctor_privileges(struct daemon *d, json_t *list)
{
	if (has_capability(CAP_NET_ADMIN_BIT) && has_capability(CAP_NET_RAW_BIT))
		finding(list, "privileges", "ok", "may open taps and interfaces");
	else
		finding(list, "privileges", "note",
			"no CAP_NET_ADMIN and CAP_NET_RAW: dgram, stream and udp ports only");
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	if (fd >= 0)
		finding(list, "tun", "ok", "/dev/net/tun opens");
	else
		finding(list, "tun", "note", "/dev/net/tun: %s: no tap ports", strerror(errno));
	if (fd >= 0)
		close(fd);
}

static void doctor_memory(struct daemon *d, json_t *list)
{
	struct arena_stats a = sw_arena_stats(d->sw);
	bool low = a.small_free < a.small_total / 16;
	finding(list, "packet memory", low ? "warning" : "ok", "%u of %u packets, %u of %u large ones free",
		a.small_free, a.small_total, a.big_free, a.big_total);
}

static void doctor_leases(struct daemon *d, json_t *list)
{
	int err = d->leases ? lease_store_degraded(d->leases) : 0;
	if (err)
		finding(list, "leases", "problem", "kept in memory only, %s/leases: %s",
			d->running->state_dir, strerror(-err));
	else
		finding(list, "leases", "ok", "written to %s/leases", d->running->state_dir);
}

static void doctor_resolv(struct daemon *d, json_t *list)
{
	unsigned n = d->resolv ? resolv_list(d->resolv)->n : 0;
	if (n)
		finding(list, "name servers", "ok", "%u in " RESOLV_PATH, n);
	else
		finding(list, "name servers", "warning",
			"none in " RESOLV_PATH ": guests resolve local names only");
}

static void keep_reason(void *arg, const char *key, const char *value)
{
	char *reason = arg;
	if (strcmp(key, "reason") == 0)
		snprintf(reason, 256, "%s", value);
}

static void doctor_ports(struct daemon *d, json_t *list)
{
	unsigned down = 0;
	for (const struct run_port *r = d->ports; r; r = r->next) {
		char reason[256] = "";
		if (!r->port || r->cfg->is_pattern || atomic_load(&r->port->running) || r->cfg->down)
			continue;
		if (r->port->ops->describe)
			r->port->ops->describe(r->port, keep_reason, reason);
		finding(list, "port", "warning", "%s is down%s%s", r->cfg->name, *reason ? ": " : "",
			reason);
		down++;
	}
	if (!down)
		finding(list, "ports", "ok", "all that are configured are up");
}

static void doctor_drops(struct daemon *d, json_t *list)
{
	struct counters_job job = {.ports = json_object(), .drops = json_object()};
	struct sw_totals totals;
	sw_counters(d->sw, &totals, counters_each, &job);
	for (enum drop_reason r = DROP_NONE + 1; r < DROP_COUNT; r++) {
		json_t *n = json_object_get(job.drops, drop_name(r));
		if (n)
			finding(list, "drops", "note", "%lld %s: %s",
				(long long)json_integer_value(n), drop_name(r), drop_text(r));
	}
	json_decref(job.ports);
	json_decref(job.drops);
}

int verb_doctor(struct rpc_call *c)
{
	struct daemon *d = call_daemon(c);
	c->result = json_array();
	doctor_privileges(d, c->result);
	doctor_memory(d, c->result);
	doctor_leases(d, c->result);
	doctor_resolv(d, c->result);
	doctor_ports(d, c->result);
	doctor_drops(d, c->result);
	return 0;
}
