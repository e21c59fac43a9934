/* The table of the control socket's methods, and what the files that implement them share:
 * verbs_show.c, verbs_net.c, verbs_port.c, verbs_guest.c, verbs_config.c, verbs_stream.c. */
#include "ctl/verbs_int.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "net/log.h"

#define SPEC_MAX 65536 /* bytes of YAML that describe one object */

#define NAME(n) {.name = n, .type = RPC_STRING, .required = true, .max = 256}
#define TEXT(n) {.name = n, .type = RPC_STRING, .max = 4096}
#define SPEC {.name = "spec", .type = RPC_STRING, .required = true, .max = SPEC_MAX}
#define FLAG(n) {.name = n, .type = RPC_BOOL}
#define NUMBER(n, lo, hi) {.name = n, .type = RPC_INT, .min = lo, .max = hi}

static const struct rpc_method methods[] = {
	{"show", verb_show, {{0}}, false},
	{"status", verb_status, {{0}}, false},
	{"version", verb_version, {{0}}, false},
	{"doctor", verb_doctor, {{0}}, false},
	{"counters", verb_counters, {TEXT("port")}, false},
	{"vlan.list", verb_vlan_list, {{0}}, false},
	{"uplink.list", verb_uplink_list, {{0}}, false},
	{"uplink.show", verb_uplink_show, {NAME("name")}, false},

	{"net.list", verb_net_list, {{0}}, false},
	{"net.show", verb_net_show, {NAME("name")}, false},
	{"net.add", verb_net_add, {NAME("name"), SPEC, FLAG("may_exist")}, true},
	{"net.set", verb_net_set, {NAME("name"), SPEC}, true},
	{"net.del", verb_net_del, {NAME("name"), FLAG("if_exists")}, true},

	{"port.list", verb_port_list, {{0}}, false},
	{"port.show", verb_port_show, {NAME("name")}, false},
	{"port.add", verb_port_add, {NAME("name"), SPEC, FLAG("may_exist")}, true},
	{"port.set", verb_port_set, {NAME("name"), SPEC}, true},
	{"port.del", verb_port_del, {NAME("name"), FLAG("if_exists")}, true},
	{"port.up", verb_port_up, {NAME("name")}, true},
	{"port.down", verb_port_down, {NAME("name")}, true},
	{"attach", verb_attach, {NAME("net"), TEXT("name"), TEXT("type")}, true},

	{"mac.list", verb_mac_list, {TEXT("net")}, false},
	{"mac.add", verb_mac_add, {NAME("net"), NAME("mac"), NAME("port")}, true},
	{"mac.del", verb_mac_del, {NAME("net"), NAME("mac"), FLAG("if_exists")}, true},
	{"mac.flush", verb_mac_flush, {TEXT("net"), TEXT("port")}, true},

	{"lease.list", verb_lease_list, {TEXT("net")}, false},
	{"lease.reserve", verb_lease_reserve,
	 {NAME("net"), NAME("mac"), NAME("address"), TEXT("hostname"), FLAG("may_exist")}, true},
	{"lease.unreserve", verb_lease_unreserve, {NAME("net"), NAME("mac"), FLAG("if_exists")}, true},
	{"lease.release", verb_lease_release, {NAME("net"), NAME("address"), FLAG("if_exists")}, true},
	{"dns.list", verb_dns_list, {TEXT("net")}, false},

	{"nat.list", verb_nat_list, {TEXT("net")}, false},
	{"nat.flush", verb_nat_flush, {TEXT("net")}, true},
	{"nat.kill", verb_nat_kill, {NAME("net"), NAME("proto"), NAME("inside"), TEXT("remote")}, true},
	{"forward.list", verb_forward_list, {TEXT("net")}, false},
	{"forward.add", verb_forward_add,
	 {NAME("net"), NAME("proto"), NAME("listen"), NAME("to"), TEXT("port"), FLAG("may_exist")}, true},
	{"forward.del", verb_forward_del,
	 {NAME("net"), NAME("proto"), NAME("listen"), FLAG("if_exists"), FLAG("kill")}, true},

	{"config.show", verb_config_show, {{0}}, false},
	{"config.diff", verb_config_diff, {{0}}, false},
	{"config.apply", verb_config_apply, {{0}}, true},
	{"config.save", verb_config_save, {{0}}, true},
	{"clock.advance", verb_clock_advance, {NUMBER("seconds", 0, 1000000000)}, true},

	{"capture", verb_capture,
	 {TEXT("target"), TEXT("filter"), FLAG("drops"), NUMBER("snaplen", 64, CAPTURE_SNAPLEN_MAX),
	  TEXT("direction")},
	 false},
	{"events", verb_events, {{0}}, false},
};

const struct rpc_table *verbs_table(struct verbs *v)
{
	return &v->table;
}

struct verbs *verbs_new(struct daemon *d)
{
	struct verbs *v = calloc(1, sizeof(*v));
	if (!v)
		return NULL;
	v->daemon = d;
	v->table = (struct rpc_table){.methods = methods, .n = ARRAY_SIZE(methods), .ctx = v};
	v->captures = captures_new(d->sw);
	if (!v->captures) {
		free(v);
		return NULL;
	}
	d->on_event = verbs_event;
	return v;
}

void verbs_free(struct verbs *v)
{
	if (!v)
		return;
	v->daemon->on_event = NULL;
	captures_free(v->captures);
	loop_timer_free(v->poll);
	free(v->port_was_up);
	free(v);
}

/* ---- JSON ---- */

json_t *verbs_text(const char *s)
{
	return s ? rpc_text(s) : json_null();
}

void verbs_set_text(json_t *o, const char *key, const char *s)
{
	json_object_set_new(o, key, verbs_text(s));
}

void verbs_set_int(json_t *o, const char *key, uint64_t n)
{
	json_object_set_new(o, key, json_integer((json_int_t)n));
}

void verbs_set_bool(json_t *o, const char *key, bool b)
{
	json_object_set_new(o, key, json_boolean(b));
}

void verbs_set_mac(json_t *o, const char *key, struct mac m)
{
	char buf[MAC_STRLEN];
	verbs_set_text(o, key, mac_format(m, buf));
}

void verbs_set_ip(json_t *o, const char *key, be32 a)
{
	char buf[IP4_STRLEN];
	verbs_set_text(o, key, a ? ip4_format(a, buf) : NULL);
}

void verbs_set_prefix(json_t *o, const char *key, struct prefix4 p)
{
	char buf[PREFIX_STRLEN];
	verbs_set_text(o, key, prefix4_format(p, buf));
}

json_t *verbs_drops(const uint64_t *drops, json_t *into)
{
	json_t *o = into ? into : json_object();
	for (enum drop_reason r = DROP_NONE + 1; r < DROP_COUNT; r++) {
		if (!drops[r])
			continue;
		json_int_t before = json_integer_value(json_object_get(o, drop_name(r)));
		verbs_set_int(o, drop_name(r), (uint64_t)before + drops[r]);
	}
	return o;
}

/* ---- names from the client ---- */

int verbs_not_found(struct rpc_call *c, const char *what, const char *name,
		    const char *const *names, size_t n)
{
	const char *meant = n ? closest_name(name, names, n) : NULL;
	if (meant)
		return rpc_fail(c, RPC_EXIT_NOT_FOUND, "%s '%s' not found (did you mean '%s'?)", what,
				name, meant);
	return rpc_fail(c, RPC_EXIT_NOT_FOUND, "%s '%s' not found", what, name);
}

struct run_network *verbs_network(struct rpc_call *c, const char *param)
{
	struct daemon *d = call_daemon(c);
	const char *name = rpc_string(c, param);
	struct run_network *n = name ? daemon_network(d, name) : NULL;
	if (n)
		return n;
	const struct config *cfg = d->running;
	const char *names[cfg->n_networks + 1];
	for (size_t i = 0; i < cfg->n_networks; i++)
		names[i] = cfg->networks[i].name;
	verbs_not_found(c, "network", name ? name : "", names, cfg->n_networks);
	return NULL;
}

const struct cfg_port *verbs_cfg_port(struct rpc_call *c, const char *param)
{
	const struct config *cfg = call_daemon(c)->running;
	const char *name = rpc_string(c, param);
	const struct cfg_port *p = config_port(cfg, name);
	if (p)
		return p;
	const char *names[cfg->n_ports + 1];
	for (size_t i = 0; i < cfg->n_ports; i++)
		names[i] = cfg->ports[i].name;
	verbs_not_found(c, "port", name, names, cfg->n_ports);
	return NULL;
}

struct port *verbs_live_port(struct rpc_call *c, const char *param)
{
	struct sw *sw = call_daemon(c)->sw;
	const char *name = rpc_string(c, param);
	struct port *p = sw_port_find(sw, name);
	if (p)
		return p;
	port_idx count = sw_port_count(sw);
	const char **names = calloc(count + 1u, sizeof(*names));
	size_t n = 0;
	for (port_idx i = 0; names && i < count; i++)
		if ((p = sw_port_at(sw, i)) && !p->hidden)
			names[n++] = p->name;
	verbs_not_found(c, "port", name, names, n);
	free(names);
	return NULL;
}

int verbs_mac(struct rpc_call *c, const char *param, struct mac *ret_mac)
{
	if (mac_parse(rpc_string(c, param), ret_mac))
		return rpc_fail(c, RPC_EXIT_USAGE, "'%s' is not a MAC address", rpc_string(c, param));
	return 0;
}

int verbs_ip(struct rpc_call *c, const char *param, be32 *ret_addr)
{
	if (ip4_parse(rpc_string(c, param), ret_addr))
		return rpc_fail(c, RPC_EXIT_USAGE, "'%s' is not an IPv4 address",
				rpc_string(c, param));
	return 0;
}

/* ---- changing the configuration ---- */

static void trim(char *s)
{
	size_t n = s ? strlen(s) : 0;
	while (n && s[n - 1] == '\n')
		s[--n] = 0;
}

static int apply_edit(struct rpc_call *c, struct config *next, const char *path, FILE *err, char **text)
{
	int r = daemon_apply(call_daemon(c), next, err);
	fflush(err);
	trim(*text);
	verbs_event(call_daemon(c), "config-changed", path, *text);
	if (r == 0)
		return 0;
	return rpc_fail(c, r == -EINPROGRESS ? RPC_EXIT_PARTIAL : RPC_EXIT_ERROR, "%s",
			**text ? *text : strerror(-r));
}

int verbs_edit(struct rpc_call *c, const char *path, const char *yaml, bool merge)
{
	char *text = NULL;
	size_t len;
	FILE *err = open_memstream(&text, &len);
	if (!err)
		return rpc_fail(c, RPC_EXIT_ERROR, "out of memory");
	struct config *next = config_with(call_daemon(c)->running, path, yaml, merge, err);
	fflush(err);
	int r;
	if (next) {
		r = apply_edit(c, next, path, err, &text);
	} else {
		trim(text);
		r = rpc_fail(c, RPC_EXIT_INVALID, "%s", *text ? text : "the change was refused");
	}
	fclose(err);
	free(text);
	return r;
}

static void print_quoted(FILE *f, const char *s)
{
	fputc('"', f);
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			fputc('\\', f);
		fputc(*s, f);
	}
	fputc('"', f);
}

char *verbs_flow(const char *key, ...)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	if (!f)
		return NULL;
	const char *separator = "{";
	va_list ap;
	va_start(ap, key);
	for (; key; key = va_arg(ap, const char *)) {
		const char *value = va_arg(ap, const char *);
		if (!value)
			continue;
		fprintf(f, "%s%s: ", separator, key);
		print_quoted(f, value);
		separator = ", ";
	}
	va_end(ap);
	fputs(*separator == '{' ? "{}" : "}", f);
	fclose(f);
	return text;
}
