/* The control socket: JSON-RPC 2.0, one object a line, over a UNIX stream socket.
 *
 * The server knows nothing of the switch: it is given a table of methods, checks a
 * request against it (name, parameter names, types, ranges) and only then calls.  A
 * method answers with a result or rpc_fail(); a streaming method answers once and then
 * sends notifications until the client goes away.  Batches are refused: a line is one
 * request, and requests may be sent without waiting for replies.
 *
 * Who may connect: root, the daemon's own user, and members of one group, by the
 * credentials the kernel vouches for (SO_PEERCRED, SO_PEERGROUPS), whatever the mode of
 * the socket file became.  Others get one error line and are hung up on.
 *
 * Errors carry the exit code a command-line client should end with in error.data.exit.
 *
 * Limits: a line of 1 MiB, 64 clients, 4 MiB of output that a client has not read.  That
 * last one is looked at before something is queued, so that a single reply may be larger
 * (a full list of addresses), and a client beyond it is hung up on.
 *
 * Main thread.  Nothing here reads a clock. */
#ifndef CTL_RPC_H
#define CTL_RPC_H

#include <jansson.h>
#include <sys/types.h>

#include "net/loop.h"

#define RPC_LINE_MAX (1024u * 1024)
#define RPC_CLIENTS_MAX 64u
#define RPC_PENDING_MAX (4u * 1024 * 1024)
#define RPC_PARAMS_MAX 8

/* JSON-RPC 2.0, section 5.1 */
enum rpc_error {
	RPC_PARSE_ERROR = -32700,
	RPC_INVALID_REQUEST = -32600,
	RPC_METHOD_NOT_FOUND = -32601,
	RPC_INVALID_PARAMS = -32602,
	RPC_INTERNAL_ERROR = -32603,
	RPC_APPLICATION_ERROR = -32000, /* ours: error.data.exit tells which */
};

/* What vswitchctl ends with. */
enum rpc_exit {
	RPC_EXIT_OK = 0,
	RPC_EXIT_ERROR = 1,
	RPC_EXIT_USAGE = 2,
	RPC_EXIT_NOT_FOUND = 3,
	RPC_EXIT_UNREACHABLE = 4, /* never sent: the client's own */
	RPC_EXIT_INVALID = 5,
	RPC_EXIT_PARTIAL = 65,
};

struct rpc;
struct rpc_client;

struct rpc_call {
	void *ctx;                 /* as given to rpc_new() */
	struct rpc_client *client; /* NULL when dispatched without a connection */
	json_t *params;            /* borrowed; an object that fits the method's table */
	json_t *result;            /* the method's answer, owned by the call; NULL means null */
	int code;                  /* set by rpc_fail() */
	enum rpc_exit exit;
	char *error;
};

enum rpc_type { RPC_STRING = 1, RPC_INT, RPC_BOOL };

struct rpc_param {
	const char *name; /* NULL ends the list */
	enum rpc_type type;
	bool required;
	int64_t min, max; /* RPC_INT, when not both 0; RPC_STRING: max bytes, 0 = 4096 */
};

struct rpc_method {
	const char *name;
	int (*fn)(struct rpc_call *c); /* 0, or what rpc_fail() returned */
	struct rpc_param params[RPC_PARAMS_MAX + 1];
	bool writes; /* changes something: worth a line in the log */
};

struct rpc_table {
	const struct rpc_method *methods;
	size_t n;
	void *ctx;
};

/* ---- inside a method ---- */

/* Sets the error; returns -1 so that a method can return it. */
int rpc_fail(struct rpc_call *c, enum rpc_exit exit, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* NULL, the default or false when the client did not send it. */
const char *rpc_string(const struct rpc_call *c, const char *param);
int64_t rpc_int(const struct rpc_call *c, const char *param, int64_t otherwise);
bool rpc_bool(const struct rpc_call *c, const char *param);

/* A JSON string of any bytes: those of a text that is not UTF-8 become '?'.  NULL on ENOMEM. */
json_t *rpc_text(const char *s);

/* Makes the client's connection a stream: on_close(arg) is called once, when it is gone,
 * and never from inside a function of this file that the stream itself calls.
 * -EBUSY when it already is one, -ENOTCONN without a connection. */
int rpc_stream(struct rpc_call *c, void (*on_close)(void *arg), void *arg);
/* Sends a notification; takes params.  -ENOBUFS when the client was hung up on for not
 * reading, -EPIPE when it is already gone. */
int rpc_notify(struct rpc_client *c, const char *method, json_t *params);
/* Bytes the client may still fall behind: a stream that can lose things looks first. */
size_t rpc_room(const struct rpc_client *c);

/* ---- the server ---- */

/* Answers one line.  Returns the reply without newline (malloc'ed), or NULL when none is
 * due (a notification) or memory is out.  `client` may be NULL. */
char *rpc_dispatch(const struct rpc_table *t, struct rpc_client *client, const char *line,
		   size_t len);

/* Listens on `path`; `table` must outlive the server.  group: a name, or NULL; one that does
 * not exist leaves the socket to root and the daemon's user, with a warning.  A stale socket
 * file is replaced.  On failure NULL, and one line in error (-EADDRINUSE: it names the
 * process that holds the socket). */
struct rpc *rpc_new(struct loop *loop, const char *path, const char *group,
		    const struct rpc_table *table, char *error, size_t error_len);
void *rpc_ctx(const struct rpc *r); /* its table's */
/* Hangs up on all clients and removes the socket file if it is still ours; accepts NULL. */
void rpc_free(struct rpc *r);

/* Whether someone answers at a UNIX stream socket: 0 and *ret_pid, ret_comm; -ECONNREFUSED
 * for a stale file, -ENOENT for none, else another errno. */
int rpc_who_listens(const char *path, pid_t *ret_pid, char ret_comm[32]);

#endif
