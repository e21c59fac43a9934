/* The client's end of ctl/rpc.h's protocol. */
#include "ctl/client.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "ctl/config.h"

#define SYSTEM_SOCKET "/run/vswitchd/control.sock"
#define READ_CHUNK 65536u

struct client {
	int fd;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char *buf;
	size_t start, end, size;
	json_int_t id;
};

static void __attribute__((format(printf, 3, 4)))
fail(struct client_error *e, enum client_exit exit, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	e->exit = exit;
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
}

/* ---- connecting ---- */

/* 0 or -errno; the path is remembered for messages. */
static int dial(struct client *c, const char *path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	strcpy(sa.sun_path, path);
	strcpy(c->path, path);
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return -errno;
	struct timeval tv = {.tv_sec = CLIENT_TIMEOUT_MS / 1000};
	setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
	if (connect(c->fd, (struct sockaddr *)&sa, sizeof(sa)) == 0)
		return 0;
	int r = -errno;
	close(c->fd);
	c->fd = -1;
	return r;
}

static bool nobody_there(int r)
{
	return r == -ENOENT || r == -ECONNREFUSED || r == -ENOTDIR;
}

/* This user's own daemon, then the system's, then a rootless one of the same session: the
 * first that is there. */
static int dial_default(struct client *c)
{
	const char *env = getenv("VSWITCH_CONTROL"), *runtime = getenv("XDG_RUNTIME_DIR");
	char own[sizeof(c->path)];
	if (env && *env)
		return dial(c, env);
	snprintf(own, sizeof(own), "%s", config_defaults().control_socket);
	int r = dial(c, own);
	if (nobody_there(r) && strcmp(own, SYSTEM_SOCKET) != 0)
		r = dial(c, SYSTEM_SOCKET);
	if (nobody_there(r) && runtime && *runtime) {
		char session[256];
		snprintf(session, sizeof(session), "%s/vswitchd/control.sock", runtime);
		if (dial(c, session) == 0)
			return 0;
	}
	if (r)
		snprintf(c->path, sizeof(c->path), "%s", own);
	return r;
}

struct client *client_open(const char *path, struct client_error *ret_error)
{
	struct client *c = calloc(1, sizeof(*c));
	if (!c) {
		fail(ret_error, CLIENT_ERROR, "out of memory");
		return NULL;
	}
	c->fd = -1;
	int r = path ? dial(c, path) : dial_default(c);
	if (!r)
		return c;
	fail(ret_error, CLIENT_UNREACHABLE, "vswitchd does not answer at %s: %s%s",
	     *c->path ? c->path : path, strerror(-r), nobody_there(r) ? " (is it running?)" : "");
	client_free(c);
	return NULL;
}

void client_free(struct client *c)
{
	if (!c)
		return;
	if (c->fd >= 0)
		close(c->fd);
	free(c->buf);
	free(c);
}

/* ---- lines ---- */

static int64_t now_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000) + ts.tv_nsec / 1000000;
}

static int make_room(struct client *c)
{
	if (c->start) {
		memmove(c->buf, c->buf + c->start, c->end - c->start);
		c->end -= c->start;
		c->start = 0;
	}
	if (c->size - c->end >= READ_CHUNK)
		return 0;
	size_t size = (c->size + READ_CHUNK) * 2;
	char *buf = realloc(c->buf, size);
	if (!buf)
		return -ENOMEM;
	c->buf = buf;
	c->size = size;
	return 0;
}

/* Waits until deadline (-1: for ever) for more bytes.  1, 0 at the deadline, -errno;
 * -EINTR when a signal came. */
static int read_more(struct client *c, int64_t deadline)
{
	struct pollfd p = {.fd = c->fd, .events = POLLIN};
	int64_t left = deadline < 0 ? -1 : deadline - now_ms();
	if (deadline >= 0 && left < 0)
		left = 0;
	int r = poll(&p, 1, (int)left);
	if (r <= 0)
		return r < 0 ? -errno : 0;
	if (make_room(c))
		return -ENOMEM;
	ssize_t n = recv(c->fd, c->buf + c->end, c->size - c->end, 0);
	if (n <= 0)
		return n < 0 ? -errno : -ECONNRESET;
	c->end += (size_t)n;
	return 1;
}

/* The next line as JSON in *ret_json.  1, 0 at the deadline, -errno; -EBADMSG: not JSON. */
static int read_line(struct client *c, int64_t deadline, json_t **ret_json)
{
	size_t scanned = 0;
	for (;;) {
		char *line = c->buf + c->start;
		size_t have = c->end - c->start;
		char *nl = have > scanned ? memchr(line + scanned, '\n', have - scanned) : NULL;
		if (nl) {
			json_error_t e;
			*ret_json = json_loadb(line, (size_t)(nl - line), 0, &e);
			c->start += (size_t)(nl - line) + 1;
			return *ret_json ? 1 : -EBADMSG;
		}
		scanned = have;
		int r = read_more(c, deadline);
		if (r <= 0)
			return r;
	}
}

static int send_all(struct client *c, const char *text, size_t len)
{
	while (len) {
		ssize_t n = send(c->fd, text, len, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

static int send_request(struct client *c, const char *method, json_t *params)
{
	json_t *req = json_pack("{s:s, s:I, s:s, s:o}", "jsonrpc", "2.0", "id", ++c->id, "method",
				method, "params", params ? params : json_object());
	char *text = req ? json_dumps(req, JSON_COMPACT) : NULL;
	json_decref(req);
	if (!text)
		return -EINVAL; /* an argument that is not UTF-8 */
	size_t len = strlen(text);
	text[len] = '\n'; /* in place of the terminating zero */
	int r = send_all(c, text, len + 1);
	free(text);
	return r;
}

/* ---- calls ---- */

static void take_error(json_t *error, struct client_error *ret_error)
{
	json_t *data = json_object_get(error, "data");
	json_t *exit = json_object_get(data, "exit");
	const char *message = json_string_value(json_object_get(error, "message"));
	fail(ret_error, json_is_integer(exit) ? (enum client_exit)json_integer_value(exit) : CLIENT_ERROR,
	     "%s", message ? message : "vswitchd refused without a reason");
}

static json_t *wait_reply(struct client *c, struct client_error *ret_error)
{
	int64_t deadline = now_ms() + CLIENT_TIMEOUT_MS;
	for (;;) {
		json_t *reply = NULL;
		int r = read_line(c, deadline, &reply);
		if (r == -EINTR)
			continue;
		if (r <= 0) {
			fail(ret_error, CLIENT_UNREACHABLE, "vswitchd at %s: %s", c->path,
			     r ? strerror(-r) : "no answer within 5 seconds");
			return NULL;
		}
		json_t *result = json_object_get(reply, "result");
		json_t *error = json_object_get(reply, "error");
		if (error)
			take_error(error, ret_error);
		json_incref(result);
		json_decref(reply);
		if (result || error)
			return error ? NULL : result;
		/* else a notification that was under way */
	}
}

json_t *client_call(struct client *c, const char *method, json_t *params,
		    struct client_error *ret_error)
{
	int r = send_request(c, method, params);
	/* Hung up on while sending: the daemon may have said why. */
	if (r && r != -EPIPE && r != -ECONNRESET) {
		fail(ret_error, r == -EINVAL ? CLIENT_USAGE : CLIENT_UNREACHABLE, "vswitchd at %s: %s",
		     c->path, r == -EINVAL ? "an argument is not UTF-8" : strerror(-r));
		return NULL;
	}
	return wait_reply(c, ret_error);
}

json_t *client_next(struct client *c, int timeout_ms, struct client_error *ret_error)
{
	json_t *line = NULL;
	int r = read_line(c, timeout_ms < 0 ? -1 : now_ms() + timeout_ms, &line);
	if (r <= 0) {
		if (r < 0 && r != -EINTR)
			fail(ret_error, CLIENT_UNREACHABLE, "vswitchd at %s: %s", c->path,
			     r == -ECONNRESET ? "the connection has ended" : strerror(-r));
		return NULL;
	}
	json_t *params = json_incref(json_object_get(line, "params"));
	json_decref(line);
	return params;
}
