/* Makes a new configuration real by its difference from the running one.
 *
 * Order: what is gone goes first (ports, then uplinks, then networks), so that names,
 * sockets and VLANs are free for their new owners; then the networks' domains, uplinks (one
 * may be in a network), what networks serve, VLANs, ports and forwards are made or changed.
 * An object that is equal in both is not touched. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/daemon.h"
#include "net/log.h"

#define PORT_ERROR "error: port '%s': %s\n"

struct run_network *daemon_network(struct daemon *d, const char *name)
{
	struct run_network *n = d->networks;

	while (n && strcmp(n->cfg->name, name))
		n = n->next;
	return n;
}

struct run_network *daemon_network_of_domain(struct daemon *d, domain_idx dom)
{
	struct run_network *n = d->networks;

	while (n && n->domain != dom)
		n = n->next;
	return n;
}

struct run_port *daemon_port(struct daemon *d, const char *name)
{
	struct run_port *p = d->ports;

	while (p && strcmp(p->cfg->name, name))
		p = p->next;
	return p;
}

struct run_uplink *daemon_uplink(struct daemon *d, const char *name)
{
	struct run_uplink *u = d->uplinks;

	while (u && strcmp(u->cfg->name, name))
		u = u->next;
	return u;
}

static void tell(struct daemon *d, const char *kind, const char *object, const char *text)
{
	if (d->on_event)
		d->on_event(d, kind, object, text);
}

/* ---- what goes ---- */

static void end_ports(struct daemon *d, const struct config *next)
{
	struct run_port **at = &d->ports;

	while (*at) {
		struct run_port *p = *at;
		const struct cfg_port *c = next ? config_port(next, p->cfg->name) : NULL;
		if (c && p->port && ports_same_attachment(p->cfg, c)) {
			at = &p->next;
			continue;
		}
		tell(d, "port-removed", p->cfg->name, "");
		sw_port_del(p->port);
		p->port = NULL;
		vm_end(d, p);
		*at = p->next;
		free(p);
	}
}

/* A network keeps its domain as long as it keeps its VLAN, whatever its mode. */
static bool network_stays(const struct cfg_network *a, const struct cfg_network *b)
{
	return b && a->vlan == b->vlan;
}

static void end_networks(struct daemon *d, const struct config *next)
{
	struct run_network **at = &d->networks;

	while (*at) {
		struct run_network *n = *at;
		if (network_stays(n->cfg, next ? config_network(next, n->cfg->name) : NULL)) {
			at = &n->next;
			continue;
		}
		services_network_end(d, n);
		sw_domain_del(d->sw, n->domain);
		*at = n->next;
		free(n);
	}
}

static bool uplink_stays(const struct daemon *d, const struct cfg_uplink *a, const struct config *next)
{
	const struct cfg_uplink *b = next ? config_uplink(next, a->name) : NULL;

	if (!b || !cfg_uplink_equal(a, b))
		return false;
	return a->type != UPLINK_NETWORK ||
	       network_stays(config_network(d->running, a->network), config_network(next, a->network));
}

static void end_uplinks(struct daemon *d, const struct config *next)
{
	struct run_uplink **at = &d->uplinks;

	while (*at) {
		struct run_uplink *u = *at;
		if (uplink_stays(d, u->cfg, next)) {
			at = &u->next;
			continue;
		}
		services_uplink_end(d, u);
		*at = u->next;
		free(u);
	}
}

/* ---- what comes, or changes ---- */

static int begin_uplinks(struct daemon *d, FILE *err)
{
	int result = 0;

	for (size_t i = 0; i < d->running->n_uplinks; i++) {
		const struct cfg_uplink *c = &d->running->uplinks[i];
		if (daemon_uplink(d, c->name))
			continue;
		struct run_uplink *u = calloc(1, sizeof(*u));
		if (!u)
			return -ENOMEM;
		u->cfg = c;
		int r = services_uplink(d, u, err);
		if (r) {
			services_uplink_end(d, u);
			free(u);
			result = r;
			continue;
		}
		u->next = d->uplinks;
		d->uplinks = u;
	}
	return result;
}

/* VLANs of trunks that no network names switch as internal: each has its domain. */
static int sync_vlans(struct daemon *d, FILE *err)
{
	struct vlan_set want = {{0}};

	for (size_t i = 0; i < d->running->n_ports; i++) {
		const struct cfg_port *c = &d->running->ports[i];
		for (unsigned w = 0; c->is_trunk && w < ARRAY_SIZE(want.w); w++)
			want.w[w] |= c->trunk.w[w];
	}
	for (vlan_id v = 1; v <= VLAN_MAX; v++) {
		domain_idx dom = sw_domain_of_vid(d->sw, v);
		if (config_network_of_vlan(d->running, v))
			continue;
		if (dom == DOMAIN_NONE && vlan_set_has(&want, v)) {
			int r = sw_domain_add(d->sw, v, "", &dom);
			if (r) {
				fprintf(err, "error: VLAN %u: %s\n", v, strerror(-r));
				return r;
			}
		} else if (dom != DOMAIN_NONE && !vlan_set_has(&want, v)) {
			sw_domain_del(d->sw, dom);
		}
	}
	return 0;
}

static int begin_domain(struct daemon *d, const struct cfg_network *c, FILE *err)
{
	struct run_network *n = calloc(1, sizeof(*n));
	domain_idx dom = sw_domain_of_vid(d->sw, c->vlan);
	int r = 0;

	if (!n)
		return -ENOMEM;
	if (dom == DOMAIN_NONE)
		r = sw_domain_add(d->sw, c->vlan, c->name, &dom);
	else /* a trunk's VLAN that gets a network: its guests stay where they are */
		sw_domain_rename(d->sw, dom, c->name);
	if (r) {
		fprintf(err, "error: network '%s': %s\n", c->name, strerror(-r));
		free(n);
		return r;
	}
	*n = (struct run_network){.daemon = d, .cfg = c, .domain = dom, .next = d->networks};
	d->networks = n;
	return 0;
}

static int begin_domains(struct daemon *d, FILE *err)
{
	int result = 0;

	for (size_t i = 0; i < d->running->n_networks; i++) {
		const struct cfg_network *c = &d->running->networks[i];
		int r = daemon_network(d, c->name) ? 0 : begin_domain(d, c, err);
		if (r)
			result = r;
	}
	return result;
}

/* What a network serves, made or changed.  Another mode means other services in the same domain, so
 * that its ports stay where they are. */
static int serve_network(struct daemon *d, struct run_network *n, const struct cfg_network *was, FILE *err)
{
	const struct cfg_network *c = n->cfg;

	if (n->begun && was && was->mode != c->mode)
		services_network_end(d, n);
	if (n->begun && was && cfg_network_equal(was, c) && !(c->uplink && n->gateway))
		return 0;
	was = n->begun ? was : NULL;
	n->begun = true;
	return services_network(d, n, was, err);
}

static int begin_networks(struct daemon *d, const struct config *old, FILE *err)
{
	int result = 0;

	for (size_t i = 0; i < d->running->n_networks; i++) {
		const char *name = d->running->networks[i].name;
		struct run_network *n = daemon_network(d, name);
		int r = n ? serve_network(d, n, old ? config_network(old, name) : NULL, err) : 0;
		if (r)
			result = r;
	}
	return result;
}

static void static_mac(struct daemon *d, const struct cfg_port *c, struct port *p)
{
	const struct run_network *n = c->network ? daemon_network(d, c->network) : NULL;

	if (c->has_mac && n && n->cfg->mode != MODE_NAT_PER_VM && c->type != PORT_DGRAM && !c->is_pattern)
		sw_fdb_add_static(d->sw, n->domain, c->mac, p);
}

static int begin_port(struct daemon *d, const struct cfg_port *c, FILE *err)
{
	struct run_port *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	p->cfg = c;
	p->domain = DOMAIN_NONE;
	r = vm_begin(d, p);
	if (!r)
		r = ports_open(d, c, p->domain, &p->port);
	if (r) {
		fprintf(err, PORT_ERROR, c->name, strerror(-r));
		vm_end(d, p);
		free(p);
		return r;
	}
	p->next = d->ports;
	d->ports = p;
	static_mac(d, c, p->port);
	tell(d, "port-added", c->name, "");
	return 0;
}

static int change_port(struct daemon *d, struct run_port *p, const struct config *old, FILE *err)
{
	struct port_conf was, now;
	const struct cfg_port *before = config_port(old, p->cfg->name);
	int r;

	ports_conf(old, before, &was);
	ports_conf(d->running, p->cfg, &now);
	was.domain = p->domain;
	r = vm_update(d, p);
	if (r)
		fprintf(err, PORT_ERROR, p->cfg->name, strerror(-r));
	if (r)
		return r; /* it stays down */
	now.domain = p->domain;
	if (!p->shut && memcmp(&was, &now, sizeof(was)) == 0 && cfg_port_equal(before, p->cfg))
		return 0;
	p->shut = false;
	r = port_set_conf(p->port, &now);
	if (r)
		fprintf(err, PORT_ERROR, p->cfg->name, strerror(-r));
	static_mac(d, p->cfg, p->port);
	return r;
}

static int begin_ports(struct daemon *d, const struct config *old, FILE *err)
{
	int result = 0;

	for (size_t i = 0; i < d->running->n_ports; i++) {
		const struct cfg_port *c = &d->running->ports[i];
		struct run_port *p = daemon_port(d, c->name);
		int r = p ? change_port(d, p, old, err) : begin_port(d, c, err);
		if (r)
			result = r;
	}
	return result;
}

/* Points the entries that stay at their new config. */
static void adopt(struct daemon *d, const struct config *next)
{
	for (struct run_port *p = d->ports; p; p = p->next)
		p->cfg = config_port(next, p->cfg->name);
	for (struct run_network *n = d->networks; n; n = n->next)
		n->cfg = config_network(next, n->cfg->name);
	for (struct run_uplink *u = d->uplinks; u; u = u->next)
		u->cfg = config_uplink(next, u->cfg->name);
}

static bool differ(const char *a, const char *b)
{
	return (a || b) && (!a || !b || strcmp(a, b));
}

static void note_restart_keys(const struct config *a, const struct config *b)
{
	if (differ(a->control_socket, b->control_socket) || differ(a->control_group, b->control_group) ||
	    differ(a->state_dir, b->state_dir) || a->workers != b->workers ||
	    a->max_macs != b->max_macs || a->max_sessions != b->max_sessions)
		log_notice("config", "control, state, workers and limits change at the next start only");
}

int daemon_apply(struct daemon *d, struct config *next, FILE *err)
{
	struct config *old = d->running;
	int result = 0, r;

	if (old)
		note_restart_keys(old, next);
	end_ports(d, next);
	end_uplinks(d, next);
	end_networks(d, next);
	adopt(d, next);
	d->running = next;
	if ((r = begin_domains(d, err)))
		result = r;
	if ((r = begin_uplinks(d, err)))
		result = r;
	if ((r = begin_networks(d, old, err)))
		result = r;
	if ((r = sync_vlans(d, err)))
		result = r;
	if ((r = begin_ports(d, old, err)))
		result = r;
	for (struct run_network *n = d->networks; n; n = n->next) {
		if ((r = forwards_sync(d, n, err)))
			result = r;
		if ((r = services_ra(d, n))) {
			fprintf(err, "error: network '%s': router advertisements: %s\n", n->cfg->name, strerror(-r));
			result = r;
		}
	}
	if ((r = uplinks_watch(d)))
		result = r;
	config_free(old);
	return result ? -EINPROGRESS : 0;
}

/* ---- the file ---- */

/* Lists objects that were edited at run time and that the file's config now overrules. */
static void list_dropped(const struct daemon *d, const struct config *next, FILE *out)
{
	const struct config *was = d->loaded, *now = d->running;

	for (size_t i = 0; i < now->n_ports; i++) {
		const struct cfg_port *p = &now->ports[i], *l = config_port(was, p->name),
				      *n = config_port(next, p->name);
		if ((!l || !cfg_port_equal(l, p)) && (!n || !cfg_port_equal(n, p)))
			fprintf(out, "dropped run-time edit: port %s\n", p->name);
	}
	for (size_t i = 0; i < now->n_networks; i++) {
		const struct cfg_network *p = &now->networks[i], *l = config_network(was, p->name),
					 *n = config_network(next, p->name);
		if ((!l || !cfg_network_equal(l, p)) && (!n || !cfg_network_equal(n, p)))
			fprintf(out, "dropped run-time edit: net %s\n", p->name);
	}
	for (size_t i = 0; i < was->n_ports; i++) {
		if (!config_port(now, was->ports[i].name) && config_port(next, was->ports[i].name))
			fprintf(out, "dropped run-time edit: port %s deleted\n", was->ports[i].name);
	}
	for (size_t i = 0; i < was->n_networks; i++) {
		if (!config_network(now, was->networks[i].name) && config_network(next, was->networks[i].name))
			fprintf(out, "dropped run-time edit: net %s deleted\n", was->networks[i].name);
	}
}

static struct config *read_file(const struct daemon *d, FILE *err)
{
	if (access(d->config_path, F_OK) < 0 && errno == ENOENT && !d->running->path)
		return config_builtin(&d->defaults);
	return config_load(d->config_path, &d->defaults, err);
}

int daemon_reload(struct daemon *d, FILE *out, FILE *err)
{
	struct config *next = read_file(d, err), *copy = next ? read_file(d, err) : NULL;

	if (!copy) {
		config_free(next);
		return -EINVAL;
	}
	list_dropped(d, next, out);
	config_free(d->loaded);
	d->loaded = copy;
	int r = daemon_apply(d, next, err);
	tell(d, "config-reloaded", d->config_path, r ? "in part" : "");
	return r;
}

static int write_whole(const char *path, const char *text)
{
	char tmp[4096], *slash;
	int r = 0;

	if (snprintf(tmp, sizeof(tmp), "%s.new", path) >= (int)sizeof(tmp))
		return -ENAMETOOLONG;
	slash = strrchr(tmp, '/');
	if (slash && slash > tmp) { /* the built-in default has no file, nor perhaps a folder, yet */
		*slash = 0;
		mkdir(tmp, 0755);
		*slash = '/';
	}
	FILE *f = fopen(tmp, "we");
	if (!f)
		return -errno;
	if (fputs(text, f) < 0 || fflush(f) || fsync(fileno(f)))
		r = -errno;
	if (fclose(f) && !r)
		r = -errno;
	if (!r && rename(tmp, path))
		r = -errno;
	if (r)
		unlink(tmp);
	return r;
}

int daemon_save(struct daemon *d)
{
	char *text = config_text(d->running);
	struct config *copy;
	int r;

	if (!text)
		return -ENOMEM;
	r = write_whole(d->config_path, text);
	copy = r ? NULL : config_parse(text, d->config_path, &d->defaults, stderr);
	if (copy) {
		config_free(d->loaded);
		d->loaded = copy;
	}
	free(text);
	return r;
}

void daemon_clear(struct daemon *d)
{
	end_ports(d, NULL);
	end_uplinks(d, NULL);
	end_networks(d, NULL);
}
