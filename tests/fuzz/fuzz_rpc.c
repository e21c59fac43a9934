/* The control socket's lines, through parser and dispatcher, to methods of a fake daemon.
 * Whatever comes in, what goes out is one JSON-RPC object or nothing. */
#include <stdlib.h>
#include <string.h>

#include "ctl/rpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static int echo(struct rpc_call *c)
{
	c->result = json_deep_copy(c->params);
	return 0;
}

static int lost(struct rpc_call *c)
{
	return rpc_fail(c, RPC_EXIT_NOT_FOUND, "port '%s' not found", rpc_string(c, "name"));
}

static int read_only(struct rpc_call *c)
{
	c->result = json_integer(rpc_int(c, "n", 1) + rpc_bool(c, "flag"));
	return rpc_stream(c, NULL, NULL) == 0 ? -1 : 0;
}

static const struct rpc_method methods[] = {
	{"port.add",
	 echo,
	 {{.name = "name", .type = RPC_STRING, .required = true, .max = 16},
	  {.name = "spec", .type = RPC_STRING, .required = true},
	  {.name = "may_exist", .type = RPC_BOOL}},
	 true},
	{"port.show", lost, {{.name = "name", .type = RPC_STRING, .required = true}}, false},
	{"clock.advance", read_only, {{.name = "n", .type = RPC_INT, .min = 0, .max = 99}, {.name = "flag", .type = RPC_BOOL}}, false},
};
static const struct rpc_table table = {.methods = methods, .n = ARRAY_SIZE(methods)};

static void check_reply(const char *reply)
{
	json_error_t e;
	json_t *o = json_loads(reply, JSON_REJECT_DUPLICATES, &e);
	bool one = !json_object_get(o, "result") != !json_object_get(o, "error");
	if (!o || !one || !json_object_get(o, "id") || strchr(reply, '\n'))
		abort();
	json_decref(o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const char *text = (const char *)data;
	while (len) {
		const char *nl = memchr(text, '\n', len);
		size_t line = nl ? (size_t)(nl - text) : len;
		char *reply = rpc_dispatch(&table, NULL, text, line);
		if (reply)
			check_reply(reply);
		free(reply);
		text += line + !!nl;
		len -= line + !!nl;
	}
	return 0;
}
