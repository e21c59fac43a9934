/* The verbs that go on answering until the client hangs up: capture and events. */
#include "ctl/verbs_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctl/base64.h"
#include "dhcp/lease.h"

/* ---- capture ---- */

/* Room a record takes in a line beside its bytes: names and numbers. */
#define RECORD_OVERHEAD 512u

struct capture_stream {
	struct daemon *daemon;
	struct rpc_client *client;
	struct capture *capture;
	uint64_t unsent; /* the client did not read fast enough */
	char base64[BASE64_LEN(CAPTURE_SNAPLEN_MAX) + 1];
};

static void capture_closed(void *arg)
{
	struct capture_stream *s = arg;
	capture_stop(s->capture);
	free(s);
}

static void capture_record(void *arg, const struct capture_record *r)
{
	struct capture_stream *s = arg;
	if (rpc_room(s->client) < BASE64_LEN(r->len) + RECORD_OVERHEAD) {
		s->unsent++;
		return;
	}
	const struct port *p = sw_port_at(s->daemon->sw, r->port);
	json_t *o = json_object();
	base64_encode(r->bytes, r->len, s->base64);
	verbs_set_text(o, "port", p ? p->name : "(gone)");
	verbs_set_text(o, "dir", r->outgoing ? "out" : "in");
	verbs_set_text(o, "drop", r->drop ? drop_name(r->drop) : NULL);
	verbs_set_int(o, "time_ns", r->time_ns);
	verbs_set_int(o, "wire_len", r->wire_len);
	verbs_set_int(o, "lost", s->unsent + capture_lost(s->capture));
	verbs_set_text(o, "data", s->base64);
	rpc_notify(s->client, "capture", o);
}

/* A target is a port, or else a network; nothing is everything. */
static int capture_scope(struct rpc_call *c, struct capture_spec *spec)
{
	struct daemon *d = call_daemon(c);
	const char *target = rpc_string(c, "target");
	struct port *p = target ? sw_port_find(d->sw, target) : NULL;
	struct run_network *n = target ? daemon_network(d, target) : NULL;
	/* The built-in default has a port and a network of one name: the network, whose
	 * frames include the port's. */
	spec->domain = n ? n->domain : DOMAIN_NONE;
	spec->port = p && !n ? p->idx : PORT_NONE;
	/* One look at each frame is enough, unless it is about one port. */
	spec->in = true;
	spec->out = spec->port != PORT_NONE;
	if (!target || p || n)
		return 0;
	const struct config *cfg = d->running;
	const char *names[cfg->n_ports + cfg->n_networks + 1];
	size_t count = 0;
	for (size_t i = 0; i < cfg->n_ports; i++)
		names[count++] = cfg->ports[i].name;
	for (size_t i = 0; i < cfg->n_networks; i++)
		names[count++] = cfg->networks[i].name;
	return verbs_not_found(c, "network or port", target, names, count);
}

static int capture_direction(struct rpc_call *c, struct capture_spec *spec)
{
	const char *direction = rpc_string(c, "direction");
	if (spec->drops_only)
		spec->in = spec->out = true;
	if (!direction)
		return 0;
	spec->in = strcmp(direction, "out") != 0;
	spec->out = strcmp(direction, "in") != 0;
	bool known = !spec->in || !spec->out || strcmp(direction, "both") == 0;
	return known ? 0 : rpc_fail(c, RPC_EXIT_USAGE, "'%s' is not one of in, out, both", direction);
}

static int start_capture(struct rpc_call *c, struct capture_stream *s, const struct capture_spec *spec)
{
	char error[256] = "";
	int r = capture_start(call_verbs(c)->captures, spec, capture_record, s, &s->capture, error,
			      sizeof(error));
	if (r == -EINVAL)
		return rpc_fail(c, RPC_EXIT_USAGE, "filter '%s': %s", spec->filter, error);
	if (r == -ENOSPC)
		return rpc_fail(c, RPC_EXIT_ERROR, "%d captures are running already", CAPTURE_MAX);
	return r ? rpc_fail(c, RPC_EXIT_ERROR, "%s", strerror(-r)) : 0;
}

int verb_capture(struct rpc_call *c)
{
	struct capture_spec spec = {
		.filter = rpc_string(c, "filter"),
		.drops_only = rpc_bool(c, "drops"),
		.snaplen = (uint32_t)rpc_int(c, "snaplen", CAPTURE_SNAPLEN_MAX),
	};
	if (capture_scope(c, &spec) || capture_direction(c, &spec))
		return -1;
	struct capture_stream *s = calloc(1, sizeof(*s));
	if (!s)
		return rpc_fail(c, RPC_EXIT_ERROR, "out of memory");
	s->daemon = call_daemon(c);
	s->client = c->client;
	if (start_capture(c, s, &spec)) {
		free(s);
		return -1;
	}
	if (rpc_stream(c, capture_closed, s)) {
		capture_closed(s);
		return rpc_fail(c, RPC_EXIT_ERROR, "this connection carries a stream already");
	}
	c->result = json_object();
	verbs_set_int(c->result, "linktype", 1);
	verbs_set_int(c->result, "snaplen", spec.snaplen);
	verbs_set_text(c->result, "version", VSWITCH_VERSION);
	return 0;
}

/* ---- events ---- */

#define POLL (200 * NSEC_PER_MSEC) /* how late a port's event may be; only while watched */

struct watcher {
	struct verbs *verbs;
	struct rpc_client *client;
	struct watcher *next;
};

static void tell(struct verbs *v, json_t *event)
{
	verbs_set_int(event, "time", (uint64_t)time(NULL));
	for (struct watcher *w = v->watchers; w; w = w->next)
		rpc_notify(w->client, "event", json_incref(event));
	json_decref(event);
}

static json_t *event_new(const char *what)
{
	json_t *o = json_object();
	verbs_set_text(o, "event", what);
	return o;
}

void verbs_event(struct daemon *d, const char *kind, const char *object, const char *text)
{
	struct verbs *v = d->rpc ? rpc_ctx(d->rpc) : NULL;
	if (!v || !v->watchers)
		return;
	json_t *o = event_new(kind);
	verbs_set_text(o, "object", object);
	verbs_set_text(o, "text", text && *text ? text : NULL);
	tell(v, o);
}

static void lease_event(void *arg, enum lease_event ev, const struct lease *l)
{
	static const char *const names[] = {
		[LEASE_EV_ADDED] = "lease-added",
		[LEASE_EV_RENEWED] = "lease-renewed",
		[LEASE_EV_EXPIRED] = "lease-expired",
		[LEASE_EV_RELEASED] = "lease-released",
	};
	struct verbs *v = arg;
	if (!v->watchers)
		return;
	json_t *o = event_new(names[ev]);
	char address[IP4_STRLEN];
	verbs_set_text(o, "object", ip4_format(l->address, address));
	verbs_set_text(o, "network", lease_pool_name(l->pool));
	verbs_set_mac(o, "mac", l->mac);
	verbs_set_text(o, "hostname", *l->hostname ? l->hostname : NULL);
	verbs_set_text(o, "port", *lease_port(l) ? lease_port(l) : NULL);
	tell(v, o);
}

enum { WAS_ABSENT, WAS_DOWN, WAS_UP };

static uint8_t port_state(struct sw *sw, port_idx i)
{
	struct port *p = sw_port_at(sw, i);
	if (!p || p->hidden)
		return WAS_ABSENT;
	bool runs = atomic_load(&p->running) || (p->parent && atomic_load(&p->parent->running));
	return runs ? WAS_UP : WAS_DOWN;
}

static void port_changed(struct verbs *v, port_idx i, uint8_t state)
{
	const struct port *p = sw_port_at(v->daemon->sw, i);
	json_t *o = event_new(state == WAS_UP ? "port-up" : "port-down");
	verbs_set_text(o, "object", p->name);
	tell(v, o);
}

static void poll_ports(void *arg)
{
	struct verbs *v = arg;
	for (port_idx i = 0; i < SW_PORTS_MAX; i++) {
		uint8_t state = port_state(v->daemon->sw, i);
		if (state != v->port_was_up[i] && state != WAS_ABSENT)
			port_changed(v, i, state);
		v->port_was_up[i] = state;
	}
	if (v->watchers)
		loop_timer_arm(v->poll, POLL);
}

static void watcher_closed(void *arg)
{
	struct watcher *w = arg, **p = &w->verbs->watchers;
	while (*p != w)
		p = &(*p)->next;
	*p = w->next;
	if (!w->verbs->watchers)
		loop_timer_stop(w->verbs->poll);
	free(w);
}

static int start_watching(struct verbs *v)
{
	struct daemon *d = v->daemon;
	if (!v->port_was_up)
		v->port_was_up = calloc(SW_PORTS_MAX, 1);
	if (!v->poll)
		v->poll = loop_timer_new(d->loop, poll_ports, v);
	if (!v->port_was_up || !v->poll)
		return -ENOMEM;
	if (!v->listening && d->leases)
		v->listening = lease_store_listen(d->leases, lease_event, v) == 0;
	for (port_idx i = 0; i < SW_PORTS_MAX; i++)
		v->port_was_up[i] = port_state(d->sw, i);
	loop_timer_arm(v->poll, POLL);
	return 0;
}

int verb_events(struct rpc_call *c)
{
	struct verbs *v = call_verbs(c);
	struct watcher *w = calloc(1, sizeof(*w));
	if (!w || (!v->watchers && start_watching(v))) {
		free(w);
		return rpc_fail(c, RPC_EXIT_ERROR, "out of memory");
	}
	w->verbs = v;
	w->client = c->client;
	if (rpc_stream(c, watcher_closed, w)) {
		free(w);
		return rpc_fail(c, RPC_EXIT_ERROR, "this connection carries a stream already");
	}
	w->next = v->watchers;
	v->watchers = w;
	return 0;
}
