/* A connection to the daemon's control socket, for programs that wait for answers.
 *
 * Blocking, with a deadline on every answer: a daemon that does not read or does not
 * reply in CLIENT_TIMEOUT_MS counts as unreachable.  One request at a time. */
#ifndef CTL_CLIENT_H
#define CTL_CLIENT_H

#include <jansson.h>
#include <stdbool.h>

#define CLIENT_TIMEOUT_MS 5000

/* Exit codes of vswitchctl (INTERFACE), of which a daemon's error carries one. */
enum client_exit {
	CLIENT_OK = 0,
	CLIENT_ERROR = 1,
	CLIENT_USAGE = 2,
	CLIENT_NOT_FOUND = 3,
	CLIENT_UNREACHABLE = 4,
	CLIENT_INVALID = 5,
	CLIENT_PARTIAL = 65,
};

struct client_error {
	enum client_exit exit;
	char text[4096];
};

struct client;

/* path NULL: $VSWITCH_CONTROL, else where this user's daemon would listen, else where the
 * system's does.  NULL with *ret_error set. */
struct client *client_open(const char *path, struct client_error *ret_error);
void client_free(struct client *c); /* accepts NULL */
/* Sends a request and waits for its answer.  Takes params (may be NULL).  Returns the result,
 * the caller's, or NULL with *ret_error set. */
json_t *client_call(struct client *c, const char *method, json_t *params,
		    struct client_error *ret_error);
/* The next notification's params, the caller's.  timeout_ms -1: no limit.  NULL: nothing
 * came in time or a signal did (*ret_error untouched), or the connection is gone (set). */
json_t *client_next(struct client *c, int timeout_ms, struct client_error *ret_error);

#endif
