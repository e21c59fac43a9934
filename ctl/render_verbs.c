/* How each verb's answer looks on a terminal. */
#include <stdlib.h>
#include <string.h>

#include "ctl/client_commands.h"
#include "net/types.h"

#define TABLE(name, ...) static const struct column name[] = {__VA_ARGS__}
#define SHOW_TABLE(r, rows, columns, empty) render_table(r, rows, columns, ARRAY_SIZE(columns), empty)
#define SHOW_FIELDS(r, o, fields) render_fields(r, o, fields, ARRAY_SIZE(fields))

TABLE(network_columns, {"NETWORK", "name"}, {"VLAN", "vlan", RENDER_NUMBER}, {"MODE", "mode"},
      {"SUBNET", "subnet"}, {"GATEWAY", "gateway"}, {"UPLINK", "uplink"},
      {"PORTS", "ports", RENDER_NUMBER}, {"LEASES", "leases", RENDER_NUMBER},
      {"SESSIONS", "sessions", RENDER_NUMBER});
TABLE(port_columns, {"PORT", "name"}, {"TYPE", "type"}, {"NETWORK", "network"},
      {"VLAN", "vlan", RENDER_NUMBER}, {"STATE", "state", RENDER_STATE},
      {"RX-PKTS", "rx_packets", RENDER_NUMBER}, {"RX-BYTES", "rx_bytes", RENDER_BYTES},
      {"TX-PKTS", "tx_packets", RENDER_NUMBER}, {"TX-BYTES", "tx_bytes", RENDER_BYTES},
      {"DROPS", "drops", RENDER_SUM});
TABLE(uplink_columns, {"UPLINK", "name"}, {"TYPE", "type"}, {"STATE", "state", RENDER_STATE},
      {"INTERFACE", "interface"}, {"ADDRESS", "address"}, {"GATEWAY", "gateway"}, {"REASON", "reason"});
TABLE(forward_columns, {"NETWORK", "network"}, {"PROTO", "proto"}, {"LISTEN", "listen"}, {"TO", "to"},
      {"SOURCE", "source"}, {"EXPIRES", "expires", RENDER_DURATION});
TABLE(mac_columns, {"MAC", "mac"}, {"VLAN", "vlan", RENDER_NUMBER}, {"NETWORK", "network"},
      {"PORT", "port"}, {"AGE", "age", RENDER_DURATION}, {"STATIC", "static", RENDER_YESNO});
TABLE(lease_columns, {"ADDRESS", "address"}, {"MAC", "mac"}, {"HOSTNAME", "hostname"},
      {"NETWORK", "network"}, {"PORT", "port"}, {"EXPIRES", "expires", RENDER_DURATION});
TABLE(dns_columns, {"NAME", "name"}, {"ADDRESS", "address"}, {"NETWORK", "network"}, {"KIND", "kind"},
      {"EXPIRES", "expires", RENDER_DURATION});
TABLE(nat_columns, {"NETWORK", "network"}, {"PROTO", "proto"}, {"INSIDE", "inside"},
      {"OUTSIDE", "outside"}, {"REMOTE", "remote"}, {"STATE", "state"},
      {"EXPIRES", "expires", RENDER_DURATION}, {"PORT", "port"});
TABLE(vlan_columns, {"VLAN", "vlan"}, {"NETWORK", "network"},
      {"UNTAGGED", "untagged", RENDER_LIST}, {"TAGGED", "tagged", RENDER_LIST});
TABLE(status_fields, {"version", "version"}, {"uptime", "uptime", RENDER_DURATION}, {"pid", "pid"},
      {"workers", "workers"}, {"networks", "networks"}, {"ports", "ports"}, {"MACs", "macs"},
      {"leases", "leases"}, {"sessions", "sessions"}, {"config", "config"}, {"control", "control"},
      {"state", "state"});
TABLE(memory_fields, {"resident KiB", "resident_kib"}, {"packets free", "packets_free"},
      {"of", "packets_total"}, {"large packets free", "large_packets_free"},
      {"of", "large_packets_total"});

void render_show(struct render *r, json_t *result, const struct request *q)
{
	char uptime[32];
	json_t *status = json_object_get(result, "status");
	render_value(json_object_get(status, "uptime"), RENDER_DURATION, uptime, sizeof(uptime));
	fprintf(r->out, "vswitchd %s, up %s\n\n", json_string_value(json_object_get(status, "version")),
		uptime);
	SHOW_TABLE(r, json_object_get(result, "networks"), network_columns, "no networks");
	fputc('\n', r->out);
	SHOW_TABLE(r, json_object_get(result, "ports"), port_columns, "no ports");
	json_t *uplinks = json_object_get(result, "uplinks"), *forwards = json_object_get(result, "forwards");
	if (json_array_size(uplinks)) {
		fputc('\n', r->out);
		SHOW_TABLE(r, uplinks, uplink_columns, "");
	}
	if (json_array_size(forwards)) {
		fputc('\n', r->out);
		SHOW_TABLE(r, forwards, forward_columns, "");
	}
}

void render_status(struct render *r, json_t *result, const struct request *q)
{
	SHOW_FIELDS(r, result, status_fields);
	SHOW_FIELDS(r, json_object_get(result, "memory"), memory_fields);
}

void render_version(struct render *r, json_t *result, const struct request *q)
{
	fprintf(r->out, "vswitchd %s\n", json_string_value(json_object_get(result, "version")));
}

void render_doctor(struct render *r, json_t *result, const struct request *q)
{
	TABLE(columns, {"LEVEL", "level"}, {"CHECK", "check"}, {"FINDING", "text"});
	SHOW_TABLE(r, result, columns, "nothing to say");
}

#define LIST_RENDERER(verb, columns, empty)                                                        \
	void render_##verb(struct render *r, json_t *result, const struct request *q)              \
	{                                                                                          \
		SHOW_TABLE(r, result, columns, empty);                                             \
	}
LIST_RENDERER(net_list, network_columns, "no networks")
LIST_RENDERER(port_list, port_columns, "no ports")
LIST_RENDERER(mac_list, mac_columns, "no addresses")
LIST_RENDERER(lease_list, lease_columns, "no leases")
LIST_RENDERER(dns_list, dns_columns, "no names")
LIST_RENDERER(nat_list, nat_columns, "no sessions")
LIST_RENDERER(forward_list, forward_columns, "no forwards")

static bool same_members(json_t *a, json_t *b)
{
	return json_is_null(json_object_get(a, "network")) && json_is_null(json_object_get(b, "network")) &&
	       json_equal(json_object_get(a, "tagged"), json_object_get(b, "tagged")) &&
	       json_equal(json_object_get(a, "untagged"), json_object_get(b, "untagged"));
}

void render_uplink_list(struct render *r, json_t *result, const struct request *q)
{
	SHOW_TABLE(r, result, uplink_columns, "no uplinks");
}

void render_uplink_show(struct render *r, json_t *result, const struct request *q)
{
	TABLE(fields, {"uplink", "name"}, {"type", "type"}, {"state", "state"}, {"reason", "reason"},
	      {"interface", "interface"}, {"network", "network"}, {"address", "address"},
	      {"gateway", "gateway"}, {"IPv6", "address6"}, {"IPv6 gateway", "gateway6"}, {"DHCP", "dhcp"},
	      {"lease ends", "expires", RENDER_DURATION},
	      {"used by", "networks", RENDER_LIST});
	SHOW_FIELDS(r, result, fields);
}

/* A trunk of a hundred VLANs is one row: 100-199. */
void render_vlan_list(struct render *r, json_t *result, const struct request *q)
{
	json_t *rows = json_array();
	size_t n = json_array_size(result);
	for (size_t i = 0, last; i < n; i = last + 1) {
		char range[32];
		json_t *row = json_copy(json_array_get(result, i));
		json_int_t first = json_integer_value(json_object_get(row, "vlan"));
		for (last = i; last + 1 < n && same_members(row, json_array_get(result, last + 1)); last++)
			if (json_integer_value(json_object_get(json_array_get(result, last + 1), "vlan")) !=
			    first + (json_int_t)(last + 1 - i))
				break;
		snprintf(range, sizeof(range), last > i ? "%lld-%lld" : "%lld", (long long)first,
			 (long long)first + (long long)(last - i));
		json_object_set_new(row, "vlan", json_string(range));
		json_array_append_new(rows, row);
	}
	SHOW_TABLE(r, rows, vlan_columns, "no VLANs");
	json_decref(rows);
}

/* An object of numbers or texts whose keys nobody knows beforehand. */
static void print_object(struct render *r, json_t *o, int indent)
{
	const char *key;
	char value[512], name[128];
	json_t *v;
	json_object_foreach(o, key, v)
	{
		snprintf(name, sizeof(name), "%s", key);
		render_clean(name);
		render_value(v, RENDER_TEXT, value, sizeof(value));
		fprintf(r->out, "%*s%-20s %s\n", indent, "", name, value);
	}
}

static void print_part(struct render *r, json_t *result, const char *key, const char *title)
{
	json_t *o = json_object_get(result, key);
	if (!json_object_size(o))
		return;
	render_bold(r, title);
	fputc('\n', r->out);
	print_object(r, o, 2);
}

void render_net_show(struct render *r, json_t *result, const struct request *q)
{
	TABLE(fields, {"network", "name"}, {"VLAN", "vlan"}, {"mode", "mode"}, {"uplink", "uplink"},
	      {"subnet", "subnet"}, {"IPv6", "subnet6"}, {"gateway", "gateway"}, {"MTU", "mtu"}, {"DHCP range", "range"},
	      {"lease time", "lease", RENDER_DURATION}, {"DNS", "dns_address"}, {"domain", "domain"},
	      {"ports", "ports"}, {"leases", "leases"}, {"sessions", "sessions"});
	TABLE(reservations, {"RESERVED", "address"}, {"MAC", "mac"}, {"HOSTNAME", "hostname"});
	SHOW_FIELDS(r, result, fields);
	print_part(r, result, "pool", "addresses");
	print_part(r, result, "nat", "NAT");
	print_part(r, result, "port_control", "ports opened by guests");
	if (json_array_size(json_object_get(result, "reservations")))
		SHOW_TABLE(r, json_object_get(result, "reservations"), reservations, "");
	if (json_array_size(json_object_get(result, "forward")))
		SHOW_TABLE(r, json_object_get(result, "forward"), forward_columns, "");
}

void render_port_show(struct render *r, json_t *result, const struct request *q)
{
	TABLE(fields, {"port", "name"}, {"type", "type"}, {"parent", "parent"}, {"network", "network"},
	      {"VLAN", "vlan"}, {"trunk", "trunk"}, {"native", "native"}, {"state", "state", RENDER_STATE},
	      {"MTU", "mtu"}, {"offloads", "offloads", RENDER_LIST}, {"members", "members", RENDER_LIST},
	      {"rx packets", "rx_packets"}, {"rx bytes", "rx_bytes", RENDER_BYTES},
	      {"tx packets", "tx_packets"}, {"tx bytes", "tx_bytes", RENDER_BYTES});
	SHOW_FIELDS(r, result, fields);
	print_part(r, result, "details", "details");
	print_part(r, result, "drops", "drops");
}

/* ---- counters ---- */

static void print_drops(struct render *r, json_t *result)
{
	const char *reason;
	char cell[256];
	json_t *n, *drops = json_object_get(result, "drops"), *texts = json_object_get(result, "texts");
	if (!json_object_size(drops)) {
		fputs("no drops\n", r->out);
		return;
	}
	json_object_foreach(drops, reason, n)
	{
		render_value(json_object_get(texts, reason), RENDER_TEXT, cell, sizeof(cell));
		fprintf(r->out, "%10lld  %-18s %s\n", (long long)json_integer_value(n), reason, cell);
	}
}

/* Which ports lost what, under the totals. */
static void print_port_drops(struct render *r, json_t *result)
{
	const char *name, *reason;
	char clean[128];
	json_t *port, *n;
	json_object_foreach(json_object_get(result, "ports"), name, port)
	{
		snprintf(clean, sizeof(clean), "%s", name);
		render_clean(clean);
		json_object_foreach(json_object_get(port, "rx_drops"), reason, n)
			fprintf(r->out, "%10lld  %-18s from %s\n", (long long)json_integer_value(n),
				reason, clean);
		json_object_foreach(json_object_get(port, "tx_drops"), reason, n)
			fprintf(r->out, "%10lld  %-18s to %s\n", (long long)json_integer_value(n),
				reason, clean);
	}
}

/* The rows of a table out of {name: {...}}. */
static json_t *rows_of(json_t *ports)
{
	const char *name;
	json_t *port, *rows = json_array();
	json_object_foreach(ports, name, port)
	{
		json_t *row = json_copy(port);
		json_object_set_new(row, "name", json_string(name));
		json_array_append_new(rows, row);
	}
	return rows;
}

void render_counters(struct render *r, json_t *result, const struct request *q)
{
	TABLE(columns, {"PORT", "name"}, {"RX", "rx_packets", RENDER_NUMBER},
	      {"FORWARDED", "forwarded", RENDER_NUMBER}, {"FLOODED", "flooded", RENDER_NUMBER},
	      {"CONSUMED", "consumed", RENDER_NUMBER}, {"RX-DROPS", "rx_drops", RENDER_SUM},
	      {"OFFERED", "offered", RENDER_NUMBER}, {"TX", "tx_packets", RENDER_NUMBER},
	      {"TX-DROPS", "tx_drops", RENDER_SUM});
	if (!q->given[OPT_DROPS]) {
		json_t *rows = rows_of(json_object_get(result, "ports"));
		SHOW_TABLE(r, rows, columns, "no ports");
		json_decref(rows);
		fputc('\n', r->out);
	}
	print_drops(r, result);
	if (json_object_size(json_object_get(result, "drops"))) {
		fputc('\n', r->out);
		print_port_drops(r, result);
	}
}

void render_ended(struct render *r, json_t *result, const struct request *q)
{
	fprintf(r->out, "%lld sessions ended\n",
		(long long)json_integer_value(json_object_get(result, "ended")));
}

/* ---- config ---- */

static const char *text_of(json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s ? s : "";
}

void render_config_show(struct render *r, json_t *result, const struct request *q)
{
	fputs(text_of(result, "text"), r->out);
}

void render_config_apply(struct render *r, json_t *result, const struct request *q)
{
	fprintf(r->out, "%sapplied %s\n", text_of(result, "dropped"), text_of(result, "path"));
}

void render_config_save(struct render *r, json_t *result, const struct request *q)
{
	fprintf(r->out, "saved to %s\n", text_of(result, "path"));
}

/* Splits into lines in place; returns their number. */
static size_t split_lines(char *text, char **lines, size_t max)
{
	size_t n = 0;
	for (char *p = text; *p && n < max;) {
		lines[n++] = p;
		p += strcspn(p, "\n");
		if (*p)
			*p++ = 0;
	}
	return n;
}

#define DIFF_LINES_MAX 2000

/* Longest common subsequence: common[i][j] is of a[i..] and b[j..]. */
static void print_diff(struct render *r, char **a, size_t n, char **b, size_t m)
{
	uint16_t *common = calloc((n + 1) * (m + 1), sizeof(*common));
	size_t i, j;
	if (!common)
		return;
#define C(x, y) common[(x) * (m + 1) + (y)]
	for (i = n; i-- > 0;)
		for (j = m; j-- > 0;)
			C(i, j) = strcmp(a[i], b[j]) == 0 ? C(i + 1, j + 1) + 1
				  : C(i + 1, j) > C(i, j + 1) ? C(i + 1, j)
							      : C(i, j + 1);
	for (i = 0, j = 0; i < n || j < m;) {
		if (i < n && j < m && strcmp(a[i], b[j]) == 0)
			i++, j++;
		else if (j == m || (i < n && C(i + 1, j) >= C(i, j + 1)))
			fprintf(r->out, "- %s\n", a[i++]);
		else
			fprintf(r->out, "+ %s\n", b[j++]);
	}
#undef C
	free(common);
}

void render_config_diff(struct render *r, json_t *result, const struct request *q)
{
	char *a[DIFF_LINES_MAX], *b[DIFF_LINES_MAX];
	char *running = strdup(text_of(result, "running")), *file = strdup(text_of(result, "file"));
	size_t i;
	json_t *change;
	if (running && file && strcmp(running, file) == 0)
		fprintf(r->out, "no difference between what runs and %s\n", text_of(result, "path"));
	json_array_foreach(json_object_get(result, "changes"), i, change)
		fprintf(r->out, "%s %s %s\n", text_of(change, "op"), text_of(change, "kind"),
			text_of(change, "name"));
	if (running && file) {
		size_t n = split_lines(running, a, DIFF_LINES_MAX);
		size_t m = split_lines(file, b, DIFF_LINES_MAX);
		print_diff(r, a, n, b, m);
	}
	free(running);
	free(file);
}
