/* A config from a file, a text, nothing, or another config with one thing changed: all go
 * through the same tree (ctl/config_tree.c), tables (ctl/schema.c) and checks
 * (ctl/config_check.c). */
#include "ctl/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/config_check.h"
#include "ctl/config_tree.h"
#include "ctl/schema.h"

/* ---- where things are by default ---- */

/* The user id outside a user namespace: where `unshare -r` makes everybody root, the paths
 * must stay those that a client outside looks at. */
static unsigned outer_uid(void)
{
	unsigned inside, outside, count, uid = geteuid();
	FILE *f = fopen("/proc/self/uid_map", "re");
	if (!f)
		return uid;
	while (fscanf(f, "%u %u %u", &inside, &outside, &count) == 3) {
		if (uid >= inside && uid - inside < count) {
			uid = outside + (uid - inside);
			break;
		}
	}
	fclose(f);
	return uid;
}

static void rootless_paths(char *control, char *state, size_t size)
{
	const char *run = getenv("XDG_RUNTIME_DIR"), *home = getenv("HOME"),
		   *xdg = getenv("XDG_STATE_HOME");
	if (run && *run == '/')
		snprintf(control, size, "%s/vswitchd/control.sock", run);
	else
		snprintf(control, size, "/tmp/vswitchd-%u/control.sock", outer_uid());
	if (xdg && *xdg == '/')
		snprintf(state, size, "%s/vswitchd", xdg);
	else if (home && *home == '/')
		snprintf(state, size, "%s/.local/state/vswitchd", home);
	else
		snprintf(state, size, "/tmp/vswitchd-%u/state", outer_uid());
}

struct config_defaults config_defaults(void)
{
	static char control[4096],
		state[4096]; /* of the process: the environment does not change */
	/* Root of a user namespace is root only where it may write as root would. */
	bool may = access("/run", W_OK) == 0 && access("/var/lib", W_OK) == 0;
	bool root = geteuid() == 0 && (outer_uid() == 0 || may);
	if (root)
		return (struct config_defaults){"/run/vswitchd/control.sock", "/var/lib/vswitchd"};
	rootless_paths(control, state, sizeof(control));
	return (struct config_defaults){control, state};
}

/* ---- reading ---- */

static int keep_source(struct config *c, struct node *root, const struct config_defaults *defs)
{
	struct config_source *s = calloc(1, sizeof(*s));
	if (!s) {
		node_free(root);
		return -ENOMEM;
	}
	c->source = s;
	s->root = root;
	s->control_socket = strdup(defs->control_socket);
	s->state_dir = strdup(defs->state_dir);
	if (!c->control_socket)
		c->control_socket = strdup(defs->control_socket);
	if (!c->state_dir)
		c->state_dir = strdup(defs->state_dir);
	return s->control_socket && s->state_dir && c->control_socket && c->state_dir ? 0 : -ENOMEM;
}

/* Takes the tree. NULL with findings in d. */
static struct config *from_tree(struct node *root, const struct config_defaults *defs,
				struct diag *d)
{
	struct config *c = calloc(1, sizeof(*c));
	if (!c) {
		node_free(root);
		d->out_of_memory = true;
		return NULL;
	}
	schema_read(&schema_top, root, c, d);
	if (keep_source(c, root, defs) < 0)
		d->out_of_memory = true;
	if (!d->out_of_memory && root->kind == NODE_MAP)
		config_check(c, root, d);
	if (d->n || d->out_of_memory) {
		config_free(c);
		return NULL;
	}
	return c;
}

struct config *config_parse(const char *text, const char *name, const struct config_defaults *defs,
			    FILE *err)
{
	struct config_defaults own = config_defaults();
	struct diag d = {.name = name, .text = text};
	struct node *root = tree_parse(text, strlen(text), &d);
	struct config *c = root ? from_tree(root, defs ? defs : &own, &d) : NULL;
	if (!c)
		diag_print(&d, err);
	diag_fini(&d);
	return c;
}

/* The whole file with a zero after it; NULL with errno. */
static char *read_file(const char *path, size_t *ret_len)
{
	FILE *f = fopen(path, "re");
	struct stat st;
	if (!f)
		return NULL;
	if (fstat(fileno(f), &st) == 0 && S_ISDIR(st.st_mode)) {
		fclose(f);
		errno = EISDIR;
		return NULL;
	}
	char *text = malloc(TREE_TEXT_MAX + 2);
	size_t len = text ? fread(text, 1, TREE_TEXT_MAX + 1, f) : 0;
	int e = text ? ferror(f) ? EIO : 0 : ENOMEM;
	fclose(f);
	if (e) {
		free(text);
		errno = e;
		return NULL;
	}
	text[len] = 0;
	*ret_len = len;
	return text;
}

struct config *config_load(const char *path, const struct config_defaults *defs, FILE *err)
{
	size_t len;
	char *text = read_file(path, &len);
	struct config *c = NULL;
	if (!text) {
		fprintf(err, "%s: error: cannot be read: %s\n", path, strerror(errno));
		return NULL;
	}
	if (strlen(text) != len)
		fprintf(err, "%s: error: is not text: it has a zero byte\n", path);
	else
		c = config_parse(text, path, defs, err);
	free(text);
	if (c && !(c->path = strdup(path))) {
		config_free(c);
		c = NULL;
	}
	return c;
}

struct config *config_builtin(const struct config_defaults *defs)
{
	static const char form[] =
		"version: 1\n"
		"uplinks:\n"
		"  host: {type: host}\n"
		"networks:\n"
		"  lab: {vlan: 1, mode: nat, uplink: host, subnet: 10.10.10.0/24, dns: {domain: "
		"lab.internal}}\n"
		"ports:\n"
		"  lab: {type: dgram, socket: \"%.*slab.dgram\", network: lab}\n";
	struct config_defaults own = config_defaults();
	const char *control = (defs ? defs : &own)->control_socket, *slash = strrchr(control, '/');
	char *text = NULL;
	if (asprintf(&text, form, slash ? (int)(slash - control + 1) : 0, control) < 0)
		return NULL;
	struct config *c = config_parse(text, "built-in default", defs, stderr);
	free(text);
	return c;
}

void config_free(struct config *c)
{
	if (!c)
		return;
	struct config_source *s = c->source;
	schema_free(&schema_top, c);
	if (s) {
		node_free(s->root);
		free(s->control_socket);
		free(s->state_dir);
		free(s);
	}
	free(c->path);
	free(c);
}

/* ---- changing ---- */

/* What config_with() is doing, for its helpers. */
struct edit {
	struct node *root;
	struct node *value; /* NULL: remove */
	bool merge;
	struct diag *d;
};

static const char *singular(const char *section)
{
	return !strcmp(section, "ports")      ? "port"
	       : !strcmp(section, "networks") ? "network"
	       : !strcmp(section, "uplinks")  ? "uplink"
					      : section;
}

static void not_found(struct edit *e, const struct node *in, const char *section, const char *name)
{
	const char **names = calloc(in && in->n ? in->n : 1, sizeof(*names));
	size_t n = 0;
	for (size_t i = 0; names && in && i < in->n; i++)
		if (in->kid[i]->key)
			names[n++] = in->kid[i]->key->text;
	const char *meant = names ? closest_name(name, names, n) : NULL;
	if (meant)
		diag_add(e->d, 0, 0, 0, "%s '%s' not found (did you mean '%s'?)", singular(section),
			 name, meant);
	else
		diag_add(e->d, 0, 0, 0, "%s '%s' not found", singular(section), name);
	free(names);
}

/* Keys of `from` over those of `into`; null takes a key out.  Takes nothing. */
static int merge_into(struct node *into, const struct node *from)
{
	int r = 0;
	for (size_t i = 0; i < from->n && !r; i++) {
		const struct node *v = from->kid[i];
		struct node *old = node_get(into, v->key->text);
		if (node_is_null(v)) {
			for (size_t j = 0; old && j < into->n; j++)
				if (into->kid[j] == old) {
					node_remove(into, j);
					break;
				}
		} else if (old && old->kind == NODE_MAP && v->kind == NODE_MAP) {
			r = merge_into(old, v);
		} else {
			struct node *copy = tree_copy(v);
			r = copy ? node_set(into, v->key->text, copy) : -ENOMEM;
		}
	}
	return r;
}

/* The list position of a "#2" step, or -1. */
static long list_index(const struct node *in, const char *step)
{
	char *end;
	if (in->kind != NODE_LIST || *step != '#' || step[1] < '0' || step[1] > '9')
		return -1;
	unsigned long i = strtoul(step + 1, &end, 10);
	return *end || i >= in->n ? -1 : (long)i;
}

static long kid_index(const struct node *in, const char *step)
{
	if (in->kind == NODE_LIST)
		return list_index(in, step);
	for (size_t i = 0; i < in->n; i++)
		if (!strcmp(in->kid[i]->key->text, step))
			return (long)i;
	return -1;
}

/* Does what is asked at the last step of the path. */
static int edit_here(struct edit *e, struct node *in, const char *section, const char *step,
		     unsigned depth)
{
	long i = kid_index(in, step);
	struct node *value = e->value;
	if (!value) {
		if (i < 0) {
			not_found(e, in, depth == 1 ? section : "entry", step);
			return -ENOENT;
		}
		node_remove(in, (size_t)i);
		return 0;
	}
	if (e->merge && depth == 1 && i < 0) {
		not_found(e, in, section, step);
		return -ENOENT;
	}
	if (e->merge && i >= 0 && in->kid[i]->kind == NODE_MAP && value->kind == NODE_MAP)
		return merge_into(in->kid[i], value);
	struct node *copy = tree_copy(value);
	if (!copy)
		return -ENOMEM;
	if (in->kind == NODE_MAP)
		return node_set(in, step, copy);
	if (!strcmp(step, "+"))
		return node_append(in, copy);
	if (i < 0) {
		node_free(copy);
		not_found(e, in, "entry", step);
		return -ENOENT;
	}
	node_free(in->kid[i]);
	in->kid[i] = copy;
	copy->parent = in;
	return 0;
}

/* The mapping or list one step down, made where it is missing: next is the step after. */
static struct node *step_down(struct edit *e, struct node *in, const char *section,
			      const char *step, const char *next, unsigned depth)
{
	long i = kid_index(in, step);
	bool list = *next == '+' || *next == '#';
	if (i >= 0 && in->kid[i]->kind == (list ? NODE_LIST : NODE_MAP))
		return in->kid[i];
	if (depth == 1 || !e->value || in->kind == NODE_LIST) {
		if (i < 0 || !e->value)
			not_found(e, in, depth == 1 ? section : "entry", step);
		else
			diag_at(e->d, in->kid[i], "'%s' cannot be changed in part", step);
		return NULL;
	}
	/* `dhcp: true`, or nothing, becomes {} */
	struct node *made = node_new(list ? NODE_LIST : NODE_MAP, NULL);
	return made && node_set(in, step, made) == 0 ? made : NULL;
}

static int edit_path(struct edit *e, char *path)
{
	char *save = NULL, *section = strtok_r(path, "/", &save), *step = section;
	struct node *in = e->root;
	for (unsigned depth = 0; step; depth++) {
		char *next = strtok_r(NULL, "/", &save);
		if (!next)
			return edit_here(e, in, section, step, depth);
		in = step_down(e, in, section, step, next, depth);
		if (!in)
			return e->d->n ? -ENOENT : -ENOMEM;
		step = next;
	}
	return -EINVAL;
}

/* Parses the value of an edit; its text is not one the user has in a file, so that findings
 * have no position. */
static struct node *edit_value(const char *yaml, const char *path, struct diag *d)
{
	struct diag own = {.text = yaml};
	struct node *v = tree_parse(yaml, strlen(yaml), &own);
	for (size_t i = 0; i < own.n; i++)
		diag_add(d, 0, 0, 0, "%s: %s", path, own.entry[i].msg);
	d->out_of_memory |= own.out_of_memory;
	diag_fini(&own);
	return v;
}

/* Paths of the command line went before the file's; they still do. */
static int keep_paths(struct config *made, const struct config *old)
{
	char *path = old->path ? strdup(old->path) : NULL;
	char *control = strdup(old->control_socket), *state = strdup(old->state_dir);
	if (!control || !state || (old->path && !path)) {
		free(path);
		free(control);
		free(state);
		return -ENOMEM;
	}
	free(made->control_socket);
	free(made->state_dir);
	made->path = path;
	made->control_socket = control;
	made->state_dir = state;
	return 0;
}

struct config *config_with(const struct config *c, const char *path, const char *yaml, bool merge,
			   FILE *err)
{
	const struct config_source *s = c->source;
	struct config_defaults defs = {s->control_socket, s->state_dir};
	struct diag d = {0};
	struct config *made = NULL;
	struct edit e = {.root = tree_copy(s->root), .merge = merge, .d = &d};
	char *steps = strdup(path);
	int r = e.root && steps ? 0 : -ENOMEM;
	if (!r && yaml && !(e.value = edit_value(yaml, path, &d)))
		r = -EINVAL;
	if (!r)
		r = edit_path(&e, steps);
	if (!r) {
		made = from_tree(e.root, &defs, &d);
		e.root = NULL;
	}
	if (made && keep_paths(made, c) < 0) {
		config_free(made);
		made = NULL;
		r = -ENOMEM;
	}
	d.out_of_memory |= r == -ENOMEM;
	if (!made)
		diag_print(&d, err);
	diag_fini(&d);
	node_free(e.root);
	node_free(e.value);
	free(steps);
	return made;
}

/* ---- finding and comparing ---- */

const struct cfg_network *config_network(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->n_networks; i++)
		if (!strcmp(c->networks[i].name, name))
			return &c->networks[i];
	return NULL;
}

const struct cfg_network *config_network_of_vlan(const struct config *c, vlan_id v)
{
	for (size_t i = 0; i < c->n_networks; i++)
		if (c->networks[i].vlan == v)
			return &c->networks[i];
	return NULL;
}

const struct cfg_port *config_port(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->n_ports; i++)
		if (!strcmp(c->ports[i].name, name))
			return &c->ports[i];
	return NULL;
}

const struct cfg_uplink *config_uplink(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->n_uplinks; i++)
		if (!strcmp(c->uplinks[i].name, name))
			return &c->uplinks[i];
	return NULL;
}

bool cfg_network_served(const struct cfg_network *n)
{
	return n->mode != MODE_INTERNAL && n->mode != MODE_BRIDGED;
}

bool cfg_network_equal(const struct cfg_network *a, const struct cfg_network *b)
{
	return !strcmp(a->name, b->name) && schema_equal(&schema_network, a, b);
}

bool cfg_port_equal(const struct cfg_port *a, const struct cfg_port *b)
{
	return !strcmp(a->name, b->name) && schema_equal(&schema_port, a, b);
}

bool cfg_uplink_equal(const struct cfg_uplink *a, const struct cfg_uplink *b)
{
	return !strcmp(a->name, b->name) && schema_equal(&schema_uplink, a, b);
}

bool config_equal(const struct config *a, const struct config *b)
{
	return schema_equal(&schema_top, a, b);
}

void config_print_reference(FILE *out)
{
	fputs("# Configuration\n\n"
	      "<!-- made from ctl/schema.c by `make docs`: change it there -->\n\n"
	      "YAML 1.2 in `/etc/vswitchd/vswitchd.yaml`, or the file given with `-c`. It is read "
	      "strictly: an unknown key, a\n"
	      "wrong value, or values that contradict each other refuse the whole file, with the "
	      "position, the line and\n"
	      "what was meant; a daemon that is running keeps its old configuration. Check a file "
	      "with `vswitchd -n -c FILE`\n"
	      "or `vswitchctl config check FILE`. Without a file the built-in default is used "
	      "(`vswitchctl config show`).\n\n"
	      "Names have up to 32 of `A-Z a-z 0-9 _ . -`. Times are seconds, or `300s`, `30m`, "
	      "`12h`, `1d`. Where one value is\n"
	      "taken for each address family, a list with one IPv4 value is as good as the "
	      "value.\n",
	      out);
	schema_reference(out);
}
