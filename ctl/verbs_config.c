/* The verbs about the configuration as a whole, and the test clock. */
#include "ctl/verbs_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/clock.h"

int verb_config_show(struct rpc_call *c)
{
	struct daemon *d = call_daemon(c);
	char *text = config_text(d->running);
	if (!text)
		return rpc_fail(c, RPC_EXIT_ERROR, "out of memory");
	c->result = json_object();
	verbs_set_text(c->result, "path", d->running->path);
	verbs_set_text(c->result, "text", text);
	free(text);
	return 0;
}

/* ---- diff ---- */

/* What `config apply` would load: the file, or the built-in default while there is none. */
static struct config *load_file(struct daemon *d, FILE *err)
{
	if (access(d->config_path, F_OK) < 0 && errno == ENOENT && !d->running->path)
		return config_builtin(&d->defaults);
	return config_load(d->config_path, &d->defaults, err);
}

static void change(json_t *list, const char *op, const char *kind, const char *name)
{
	json_t *o = json_object();
	verbs_set_text(o, "op", op);
	verbs_set_text(o, "kind", kind);
	verbs_set_text(o, "name", name);
	json_array_append_new(list, o);
}

/* The three kinds of named objects are compared alike: (have, want) by name. */
#define COMPARE(list, kind, have, want, field, count, find, equal)                                 \
	do {                                                                                       \
		for (size_t i = 0; i < (have)->count; i++)                                         \
			if (!find(want, (have)->field[i].name))                                    \
				change(list, "del", kind, (have)->field[i].name);                  \
		for (size_t i = 0; i < (want)->count; i++) {                                       \
			const void *old = find(have, (want)->field[i].name);                       \
			if (!old)                                                                  \
				change(list, "add", kind, (want)->field[i].name);                  \
			else if (!equal(old, &(want)->field[i]))                                   \
				change(list, "change", kind, (want)->field[i].name);               \
		}                                                                                  \
	} while (0)

static json_t *changes(const struct config *have, const struct config *want)
{
	json_t *list = json_array();
	COMPARE(list, "uplink", have, want, uplinks, n_uplinks, config_uplink, cfg_uplink_equal);
	COMPARE(list, "network", have, want, networks, n_networks, config_network, cfg_network_equal);
	COMPARE(list, "port", have, want, ports, n_ports, config_port, cfg_port_equal);
	return list;
}

static void set_text_of(json_t *o, const char *key, const struct config *cfg)
{
	char *text = config_text(cfg);
	verbs_set_text(o, key, text);
	free(text);
}

int verb_config_diff(struct rpc_call *c)
{
	struct daemon *d = call_daemon(c);
	char *text = NULL;
	size_t len;
	FILE *err = open_memstream(&text, &len);
	if (!err)
		return rpc_fail(c, RPC_EXIT_ERROR, "out of memory");
	struct config *file = load_file(d, err);
	fclose(err);
	int r = 0;
	if (file) {
		c->result = json_object();
		verbs_set_text(c->result, "path", d->config_path);
		json_object_set_new(c->result, "changes", changes(d->running, file));
		set_text_of(c->result, "running", d->running);
		set_text_of(c->result, "file", file);
	} else {
		r = rpc_fail(c, RPC_EXIT_INVALID, "%s", text);
	}
	config_free(file);
	free(text);
	return r;
}

/* ---- apply ---- */

static int reload(struct rpc_call *c, FILE *out, FILE *err, char **dropped, char **errors)
{
	int r = daemon_reload(call_daemon(c), out, err);
	fflush(out);
	fflush(err);
	if (r == -EINPROGRESS)
		return rpc_fail(c, RPC_EXIT_PARTIAL, "%s", *errors);
	if (r)
		return rpc_fail(c, r == -EINVAL ? RPC_EXIT_INVALID : RPC_EXIT_ERROR, "%s",
				**errors ? *errors : strerror(-r));
	c->result = json_object();
	verbs_set_text(c->result, "path", call_daemon(c)->config_path);
	verbs_set_text(c->result, "dropped", *dropped);
	return 0;
}

int verb_config_apply(struct rpc_call *c)
{
	char *dropped = NULL, *errors = NULL;
	size_t len;
	FILE *out = open_memstream(&dropped, &len), *err = open_memstream(&errors, &len);
	int r = out && err ? reload(c, out, err, &dropped, &errors)
			   : rpc_fail(c, RPC_EXIT_ERROR, "out of memory");
	if (out)
		fclose(out);
	if (err)
		fclose(err);
	free(dropped);
	free(errors);
	return r;
}

/* ---- save ---- */

int verb_config_save(struct rpc_call *c)
{
	struct daemon *d = call_daemon(c);
	int r = daemon_save(d);
	if (r)
		return rpc_fail(c, RPC_EXIT_ERROR, "%s: %s", d->config_path, strerror(-r));
	c->result = json_object();
	verbs_set_text(c->result, "path", d->config_path);
	return 0;
}

/* ---- clock ---- */

static void look_at_clock(struct worker *w, void *arg)
{
}

int verb_clock_advance(struct rpc_call *c)
{
	struct daemon *d = call_daemon(c);
	if (!d->test_clock)
		return rpc_fail(c, RPC_EXIT_ERROR, "vswitchd was not started with --test-clock");
	clock_advance((nsec_t)rpc_int(c, "seconds", 0) * NSEC_PER_SEC);
	loop_clock_moved(d->loop);
	/* A worker that sleeps until its next timer has to be told, too. */
	worker_call(d->sw, NULL, look_at_clock, NULL);
	return 0;
}
