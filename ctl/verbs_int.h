/* What the files of the control socket's methods share; only verbs*.c include it. */
#ifndef CTL_VERBS_INT_H
#define CTL_VERBS_INT_H

#include "ctl/verbs.h"
#include "switch/capture.h"

struct watcher;

struct verbs {
	struct daemon *daemon;
	struct rpc_table table;
	struct captures *captures;
	struct watcher *watchers; /* clients of `events` */
	struct loop_timer *poll;  /* runs while there are watchers */
	uint8_t *port_was_up;     /* SW_PORTS_MAX, what the last poll saw; NULL until watched */
	bool listening;           /* to the lease store */
};

static inline struct verbs *call_verbs(const struct rpc_call *c)
{
	return c->ctx;
}
static inline struct daemon *call_daemon(const struct rpc_call *c)
{
	return call_verbs(c)->daemon;
}

/* ---- JSON: texts may come from guests, so bytes that are not UTF-8 become '?' ---- */

json_t *verbs_text(const char *s); /* null for NULL */
void verbs_set_text(json_t *o, const char *key, const char *s);
void verbs_set_int(json_t *o, const char *key, uint64_t n);
void verbs_set_bool(json_t *o, const char *key, bool b);
void verbs_set_mac(json_t *o, const char *key, struct mac m);
void verbs_set_ip(json_t *o, const char *key, be32 a);
void verbs_set_prefix(json_t *o, const char *key, struct prefix4 p);

/* ---- names given by the client; on failure the call's error is set (exit code 3, with what
 * was meant) and NULL or -1 returned ---- */

struct run_network *verbs_network(struct rpc_call *c, const char *param);
const struct cfg_port *verbs_cfg_port(struct rpc_call *c, const char *param);
struct port *verbs_live_port(struct rpc_call *c, const char *param); /* members and hidden ones too */
int verbs_mac(struct rpc_call *c, const char *param, struct mac *ret_mac);
int verbs_ip(struct rpc_call *c, const char *param, be32 *ret_addr);
/* "port 'web9' not found (did you mean 'web1'?)" */
int verbs_not_found(struct rpc_call *c, const char *what, const char *name,
		    const char *const *names, size_t n);

/* ---- changing the configuration ---- */

/* config_with() and daemon_apply(); what they say becomes the call's error. */
int verbs_edit(struct rpc_call *c, const char *path, const char *yaml, bool merge);
/* YAML flow text of one mapping, built of keys and values that are quoted as needed; the
 * result is malloc'ed.  Ends with a NULL key; NULL values are left out. */
char *verbs_flow(const char *key, ...) __attribute__((sentinel));

/* A struct daemon's on_event. */
void verbs_event(struct daemon *d, const char *kind, const char *object, const char *text);

/* ---- one object each, used by several verbs ---- */

json_t *verbs_status_object(struct daemon *d);
json_t *verbs_network_list(struct daemon *d);
json_t *verbs_port_list(struct daemon *d);
json_t *verbs_uplink_list(struct daemon *d);
json_t *verbs_forward_list(struct daemon *d, const struct run_network *only);
uint32_t verbs_lease_count(struct daemon *d, const char *network); /* NULL: all */
json_t *verbs_drops(const uint64_t *drops, json_t *into); /* into NULL: a new object */

/* ---- the methods ---- */

#define VERBS_METHODS(X)                                                                           \
	X(show) X(status) X(version) X(doctor) X(counters) X(vlan_list) X(uplink_list) X(uplink_show) \
	X(net_list) X(net_show) X(net_add) X(net_set) X(net_del)                                   \
	X(port_list) X(port_show) X(port_add) X(port_set) X(port_del) X(port_up) X(port_down)      \
	X(attach) X(mac_list) X(mac_add) X(mac_del) X(mac_flush)                                   \
	X(lease_list) X(lease_reserve) X(lease_unreserve) X(lease_release) X(dns_list)             \
	X(nat_list) X(nat_flush) X(nat_kill) X(forward_list) X(forward_add) X(forward_del)         \
	X(config_show) X(config_diff) X(config_apply) X(config_save) X(clock_advance)              \
	X(capture) X(events)
#define X(name) int verb_##name(struct rpc_call *c);
VERBS_METHODS(X)
#undef X

#endif
