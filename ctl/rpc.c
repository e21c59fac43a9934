/* The control socket's server: connections, lines, and the way from a line to a method.
 * What the methods do is ctl/verbs*.c. */
#include "ctl/rpc.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "ctl/config.h"
#include "net/log.h"

#define STRING_MAX_DEFAULT 4096
#define READ_CHUNK 65536u
#define BACKLOG 16
#define NO_GROUP ((gid_t)-1)
#define PEER_GROUPS_MAX 256
#define LOCK_TRIES 50
#define LOCK_WAIT_US 10000

struct buffer {
	char *b;
	size_t start, end, size; /* live bytes are [start, end) */
};

struct rpc_client {
	struct rpc *server;
	struct rpc_client *next;
	int fd;
	struct loop_fd *ev;
	struct buffer in, out;
	size_t scanned; /* bytes of `in` known to hold no newline */
	bool dying;   /* the reaper frees it */
	bool closing; /* no more requests; dies when its output is sent */
	void (*on_close)(void *arg);
	void *on_close_arg;
	uid_t uid;
	pid_t pid;
};

struct rpc {
	struct loop *loop;
	const struct rpc_table *table;
	int fd;
	struct loop_fd *ev;
	struct loop_timer *reaper;
	struct rpc_client *clients;
	unsigned n_clients;
	gid_t group;
	char *path;
	dev_t dev;
	ino_t ino;
};

/* ---- inside a method ---- */

static void set_error(struct rpc_call *c, int code, enum rpc_exit exit, const char *fmt, va_list ap)
{
	free(c->error);
	c->code = code;
	c->exit = exit;
	if (vasprintf(&c->error, fmt, ap) < 0)
		c->error = NULL;
}

int rpc_fail(struct rpc_call *c, enum rpc_exit exit, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	set_error(c, exit == RPC_EXIT_USAGE ? RPC_INVALID_PARAMS : RPC_APPLICATION_ERROR, exit, fmt,
		  ap);
	va_end(ap);
	return -1;
}

static int __attribute__((format(printf, 3, 4))) refuse(struct rpc_call *c, int code,
							const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	set_error(c, code, RPC_EXIT_USAGE, fmt, ap);
	va_end(ap);
	return -1;
}

const char *rpc_string(const struct rpc_call *c, const char *param)
{
	return json_string_value(json_object_get(c->params, param));
}

int64_t rpc_int(const struct rpc_call *c, const char *param, int64_t otherwise)
{
	json_t *v = json_object_get(c->params, param);
	return json_is_integer(v) ? json_integer_value(v) : otherwise;
}

bool rpc_bool(const struct rpc_call *c, const char *param)
{
	return json_is_true(json_object_get(c->params, param));
}

int rpc_stream(struct rpc_call *c, void (*on_close)(void *arg), void *arg)
{
	if (!c->client || c->client->dying)
		return -ENOTCONN;
	if (c->client->on_close)
		return -EBUSY;
	c->client->on_close = on_close;
	c->client->on_close_arg = arg;
	return 0;
}

/* ---- from a line to a method ---- */

static const struct rpc_method *find_method(const struct rpc_table *t, const char *name)
{
	for (size_t i = 0; i < t->n; i++)
		if (strcmp(t->methods[i].name, name) == 0)
			return &t->methods[i];
	return NULL;
}

static const struct rpc_param *find_param(const struct rpc_method *m, const char *name)
{
	for (const struct rpc_param *p = m->params; p->name; p++)
		if (strcmp(p->name, name) == 0)
			return p;
	return NULL;
}

static int check_string(struct rpc_call *c, const struct rpc_param *p, json_t *v)
{
	size_t max = p->max > 0 ? (size_t)p->max : STRING_MAX_DEFAULT;
	if (!json_is_string(v))
		return refuse(c, RPC_INVALID_PARAMS, "'%s' must be a string", p->name);
	if (json_string_length(v) > max)
		return refuse(c, RPC_INVALID_PARAMS, "'%s' is longer than %zu bytes", p->name, max);
	return 0;
}

static int check_int(struct rpc_call *c, const struct rpc_param *p, json_t *v)
{
	if (!json_is_integer(v))
		return refuse(c, RPC_INVALID_PARAMS, "'%s' must be a whole number", p->name);
	int64_t n = json_integer_value(v);
	if ((p->min || p->max) && (n < p->min || n > p->max))
		return refuse(c, RPC_INVALID_PARAMS, "'%s' must be within %lld and %lld", p->name,
			      (long long)p->min, (long long)p->max);
	return 0;
}

static int check_param(struct rpc_call *c, const struct rpc_param *p, json_t *v)
{
	switch (p->type) {
	case RPC_STRING:
		return check_string(c, p, v);
	case RPC_INT:
		return check_int(c, p, v);
	case RPC_BOOL:
		return json_is_boolean(v) ? 0
					  : refuse(c, RPC_INVALID_PARAMS,
						   "'%s' must be true or false", p->name);
	}
	return refuse(c, RPC_INTERNAL_ERROR, "'%s' has no type", p->name);
}

static int check_params(struct rpc_call *c, const struct rpc_method *m)
{
	const char *key;
	json_t *v;
	json_object_foreach(c->params, key, v)
	{
		const struct rpc_param *p = find_param(m, key);
		if (!p)
			return refuse(c, RPC_INVALID_PARAMS, "%s has no parameter '%.64s'", m->name,
				      key);
		if (check_param(c, p, v))
			return -1;
	}
	for (const struct rpc_param *p = m->params; p->name; p++)
		if (p->required && !json_object_get(c->params, p->name))
			return refuse(c, RPC_INVALID_PARAMS, "%s needs '%s'", m->name, p->name);
	return 0;
}

static int unknown_method(struct rpc_call *c, const struct rpc_table *t, const char *name)
{
	const char *names[t->n ? t->n : 1];
	for (size_t i = 0; i < t->n; i++)
		names[i] = t->methods[i].name;
	const char *meant = closest_name(name, names, t->n);
	if (meant)
		return refuse(c, RPC_METHOD_NOT_FOUND, "no method '%.64s' (did you mean '%s'?)",
			      name, meant);
	return refuse(c, RPC_METHOD_NOT_FOUND, "no method '%.64s'", name);
}

static void log_write(const struct rpc_client *client, const struct rpc_method *m, json_t *params)
{
	const char *name = json_string_value(json_object_get(params, "name"));
	if (client)
		log_info("control", "%s%s%s by uid %u, pid %d", m->name, name ? " " : "",
			 name ? name : "", (unsigned)client->uid, (int)client->pid);
}

/* The request's members, JSON-RPC 2.0 section 4; fills c->params. */
static int run_request(const struct rpc_table *t, struct rpc_call *c, json_t *req)
{
	json_t *id = json_object_get(req, "id");
	const char *version = json_string_value(json_object_get(req, "jsonrpc"));
	const char *name = json_string_value(json_object_get(req, "method"));
	json_t *params = json_object_get(req, "params");

	if (!version || strcmp(version, "2.0") != 0)
		return refuse(c, RPC_INVALID_REQUEST, "\"jsonrpc\" must be \"2.0\"");
	if (id && !json_is_string(id) && !json_is_number(id) && !json_is_null(id))
		return refuse(c, RPC_INVALID_REQUEST, "\"id\" must be a string or a number");
	if (!name)
		return refuse(c, RPC_INVALID_REQUEST, "\"method\" must be a string");
	const struct rpc_method *m = find_method(t, name);
	if (!m)
		return unknown_method(c, t, name);
	if (params && !json_is_object(params))
		return refuse(c, RPC_INVALID_PARAMS, "\"params\" must be an object");
	c->params = params ? json_incref(params) : json_object();
	if (!c->params)
		return refuse(c, RPC_INTERNAL_ERROR, "out of memory");
	if (check_params(c, m))
		return -1;
	if (m->writes)
		log_write(c->client, m, c->params);
	return m->fn(c);
}

json_t *rpc_text(const char *s)
{
	json_t *j = json_string(s);
	if (j)
		return j;
	char *ascii = strdup(s);
	for (char *p = ascii; p && *p; p++)
		if (*p & 0x80)
			*p = '?';
	j = ascii ? json_string(ascii) : NULL;
	free(ascii);
	return j;
}

static json_t *error_object(const struct rpc_call *c)
{
	return json_pack("{s:i, s:o, s:{s:i}}", "code", c->code, "message",
			 rpc_text(c->error ? c->error : "out of memory"), "data", "exit", (int)c->exit);
}

static char *reply_text(const struct rpc_call *c, json_t *id, bool failed)
{
	json_t *reply = json_pack("{s:s, s:O}", "jsonrpc", "2.0", "id", id);
	if (failed)
		json_object_set_new(reply, "error", error_object(c));
	else
		json_object_set(reply, "result", c->result ? c->result : json_null());
	char *text = json_dumps(reply, JSON_COMPACT);
	json_decref(reply);
	return text;
}

/* The id to answer with: null when the request was too broken to have one. */
static json_t *reply_id(json_t *req)
{
	json_t *id = json_object_get(req, "id");
	return json_is_string(id) || json_is_number(id) ? id : json_null();
}

static bool is_notification(json_t *req)
{
	return json_is_object(req) && !json_object_get(req, "id") &&
	       json_is_string(json_object_get(req, "method"));
}

char *rpc_dispatch(const struct rpc_table *t, struct rpc_client *client, const char *line,
		   size_t len)
{
	struct rpc_call c = {.ctx = t->ctx, .client = client};
	json_error_t e;
	json_t *req = json_loadb(line, len, JSON_REJECT_DUPLICATES, &e);
	int r;
	if (!req)
		r = refuse(&c, RPC_PARSE_ERROR, "not JSON: %s", e.text);
	else if (!json_is_object(req))
		r = refuse(&c, RPC_INVALID_REQUEST, "a request is one object (no batches)");
	else
		r = run_request(t, &c, req);

	char *text = is_notification(req) ? NULL : reply_text(&c, reply_id(req), r != 0);
	json_decref(req);
	json_decref(c.params);
	json_decref(c.result);
	free(c.error);
	return text;
}

/* ---- buffers ---- */

static bool buffer_room(struct buffer *b, size_t n)
{
	if (b->size - b->end >= n)
		return true;
	if (b->start) {
		memmove(b->b, b->b + b->start, b->end - b->start);
		b->end -= b->start;
		b->start = 0;
	}
	size_t size = b->size ? b->size : 4096;
	while (size - b->end < n)
		size *= 2;
	char *bytes = size == b->size ? b->b : realloc(b->b, size);
	if (!bytes)
		return false;
	b->b = bytes;
	b->size = size;
	return true;
}

/* An idle client keeps no memory. */
static void buffer_used(struct buffer *b, size_t n)
{
	b->start += n;
	if (b->start == b->end) {
		free(b->b);
		*b = (struct buffer){0};
	}
}

static size_t buffer_len(const struct buffer *b)
{
	return b->end - b->start;
}

/* ---- clients ---- */

/* A client is never freed where it is found dead, which may be deep inside its own
 * request, but by the reaper, right after the round. */
static void client_kill(struct rpc_client *c)
{
	if (c->dying)
		return;
	c->dying = true;
	loop_fd_set(c->ev, 0);
	loop_timer_arm(c->server->reaper, 0);
}

static void client_free(struct rpc_client *c)
{
	if (c->on_close)
		c->on_close(c->on_close_arg);
	loop_fd_free(c->ev);
	close(c->fd);
	free(c->in.b);
	free(c->out.b);
	c->server->n_clients--;
	free(c);
}

static void reap(void *arg)
{
	struct rpc *r = arg;
	struct rpc_client **p = &r->clients;
	while (*p) {
		struct rpc_client *c = *p;
		if (!c->dying) {
			p = &c->next;
			continue;
		}
		*p = c->next;
		client_free(c);
	}
}

static void client_watch(struct rpc_client *c)
{
	unsigned events = (c->closing ? 0 : LOOP_READ) | (buffer_len(&c->out) ? LOOP_WRITE : 0);
	loop_fd_set(c->ev, events);
}

static void client_flush(struct rpc_client *c)
{
	while (buffer_len(&c->out)) {
		ssize_t n = send(c->fd, c->out.b + c->out.start, buffer_len(&c->out),
				 MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		if (n < 0) {
			client_kill(c);
			return;
		}
		buffer_used(&c->out, (size_t)n);
	}
	if (c->closing && !buffer_len(&c->out))
		client_kill(c);
	else
		client_watch(c);
}

static int client_send(struct rpc_client *c, const char *text)
{
	size_t len = strlen(text);
	if (c->dying)
		return -EPIPE;
	if (buffer_len(&c->out) > RPC_PENDING_MAX || !buffer_room(&c->out, len + 1)) {
		client_kill(c);
		return -ENOBUFS;
	}
	memcpy(c->out.b + c->out.end, text, len);
	c->out.b[c->out.end + len] = '\n';
	c->out.end += len + 1;
	client_flush(c);
	return c->dying ? -EPIPE : 0;
}

size_t rpc_room(const struct rpc_client *c)
{
	size_t pending = buffer_len(&c->out);
	return c->dying || pending > RPC_PENDING_MAX ? 0 : RPC_PENDING_MAX - pending;
}

int rpc_notify(struct rpc_client *c, const char *method, json_t *params)
{
	json_t *n = json_pack("{s:s, s:s, s:o}", "jsonrpc", "2.0", "method", method, "params", params);
	char *text = n ? json_dumps(n, JSON_COMPACT) : NULL;
	int r = text ? client_send(c, text) : -ENOMEM;
	free(text);
	json_decref(n);
	return r;
}

/* Ends a client with one error line that belongs to no request. */
static void client_refuse(struct rpc_client *c, const char *why)
{
	struct rpc_call call = {0};
	refuse(&call, RPC_INVALID_REQUEST, "%s", why);
	call.exit = RPC_EXIT_ERROR;
	char *text = reply_text(&call, json_null(), true);
	free(call.error);
	c->closing = true;
	if (text)
		client_send(c, text);
	free(text);
}

static void client_line(struct rpc_client *c, const char *line, size_t len)
{
	if (len && line[len - 1] == '\r')
		len--;
	if (!len)
		return;
	char *reply = rpc_dispatch(c->server->table, c, line, len);
	if (reply)
		client_send(c, reply);
	free(reply);
}

static void client_lines(struct rpc_client *c)
{
	while (!c->dying && !c->closing && buffer_len(&c->in)) {
		char *line = c->in.b + c->in.start;
		char *nl = memchr(line + c->scanned, '\n', buffer_len(&c->in) - c->scanned);
		c->scanned = nl ? 0 : buffer_len(&c->in);
		if (!nl)
			break;
		client_line(c, line, (size_t)(nl - line));
		buffer_used(&c->in, (size_t)(nl - line) + 1);
	}
	if (!c->dying && !c->closing && buffer_len(&c->in) > RPC_LINE_MAX)
		client_refuse(c, "the line is longer than 1 MiB");
}

/* A client may close its sending side and still wait for its replies. */
static void client_eof(struct rpc_client *c, bool broken)
{
	if (broken || c->on_close || !buffer_len(&c->out)) {
		client_kill(c);
		return;
	}
	c->closing = true;
	client_watch(c);
}

static void client_read(struct rpc_client *c)
{
	if (!buffer_room(&c->in, READ_CHUNK)) {
		client_kill(c);
		return;
	}
	ssize_t n = recv(c->fd, c->in.b + c->in.end, READ_CHUNK, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		client_eof(c, n < 0);
		return;
	}
	c->in.end += (size_t)n;
	client_lines(c);
}

static void client_ready(void *arg, int fd, unsigned events)
{
	struct rpc_client *c = arg;
	if (events & LOOP_WRITE && !c->dying)
		client_flush(c);
	if (events & LOOP_READ && !c->dying)
		client_read(c);
}

/* ---- who may connect ---- */

static bool peer_in_group(int fd, gid_t group)
{
	gid_t groups[PEER_GROUPS_MAX];
	socklen_t len = sizeof(groups);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) < 0)
		return false;
	for (size_t i = 0; i < len / sizeof(gid_t); i++)
		if (groups[i] == group)
			return true;
	return false;
}

static bool peer_allowed(const struct rpc *r, int fd, struct ucred *ret_cred)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return false;
	*ret_cred = cred;
	if (cred.uid == 0 || cred.uid == geteuid())
		return true;
	return r->group != NO_GROUP && (cred.gid == r->group || peer_in_group(fd, r->group));
}

static struct rpc_client *client_new(struct rpc *r, int fd)
{
	struct rpc_client *c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->server = r;
	c->fd = fd;
	c->ev = loop_fd_new(r->loop, fd, LOOP_READ, client_ready, c);
	if (!c->ev) {
		free(c);
		return NULL;
	}
	c->next = r->clients;
	r->clients = c;
	r->n_clients++;
	return c;
}

static void accept_client(void *arg, int listener, unsigned events)
{
	struct rpc *r = arg;
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return;
	struct rpc_client *c = r->n_clients < RPC_CLIENTS_MAX ? client_new(r, fd) : NULL;
	if (!c) {
		close(fd);
		return;
	}
	struct ucred cred = {.uid = (uid_t)-1};
	if (!peer_allowed(r, fd, &cred)) {
		log_warn("control", "refused uid %u, pid %d", (unsigned)cred.uid, (int)cred.pid);
		client_refuse(c, "permission denied: only root and the control group may connect");
		return;
	}
	c->uid = cred.uid;
	c->pid = cred.pid;
}

/* ---- the listening socket ---- */

static int path_to_sockaddr(const char *path, struct sockaddr_un *ret_sa)
{
	if (strlen(path) >= sizeof(ret_sa->sun_path))
		return -ENAMETOOLONG;
	*ret_sa = (struct sockaddr_un){.sun_family = AF_UNIX};
	strcpy(ret_sa->sun_path, path);
	return 0;
}

static void read_comm(pid_t pid, char comm[32])
{
	char name[64];
	snprintf(name, sizeof(name), "/proc/%d/comm", (int)pid);
	strcpy(comm, "?");
	FILE *f = fopen(name, "re");
	if (!f)
		return;
	if (fgets(comm, 32, f))
		comm[strcspn(comm, "\n")] = 0;
	fclose(f);
}

int rpc_who_listens(const char *path, pid_t *ret_pid, char ret_comm[32])
{
	struct sockaddr_un sa;
	struct ucred cred = {0};
	socklen_t len = sizeof(cred);
	int r = path_to_sockaddr(path, &sa);
	if (r)
		return r;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* EAGAIN: the backlog is full, and so there is somebody. */
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 && errno != EAGAIN) {
		r = -errno;
	} else {
		getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len);
		*ret_pid = cred.pid;
		read_comm(cred.pid, ret_comm);
	}
	close(fd);
	return r;
}

/* Makes way for our socket: removes a stale one, refuses what is alive or no socket. */
static int clear_path(const char *path, char *error, size_t error_len)
{
	struct stat st;
	pid_t pid = 0;
	char comm[32];
	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode)) {
		snprintf(error, error_len, "%s is there and is not a socket", path);
		return -EEXIST;
	}
	int r = rpc_who_listens(path, &pid, comm);
	if (r == 0) {
		snprintf(error, error_len, "%s is held by pid %d (%s)", path, (int)pid, comm);
		return -EADDRINUSE;
	}
	if (r != -ECONNREFUSED)
		return r == -ENOENT ? 0 : r;
	return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

static void set_socket_group(struct rpc *r, const char *group)
{
	struct group *g = group ? getgrnam(group) : NULL;
	r->group = g ? g->gr_gid : NO_GROUP;
	if (group && !g)
		log_warn("control", "there is no group '%s': only root may connect", group);
	if (!g)
		return;
	if (chown(r->path, (uid_t)-1, g->gr_gid) < 0) {
		/* Without root the file keeps its owner, and the group has no way in. */
		log_warn("control", "cannot give %s to group '%s': %s", r->path, group,
			 strerror(errno));
		return;
	}
	if (chmod(r->path, 0660) < 0)
		log_warn("control", "chmod %s: %s", r->path, strerror(errno));
}

static int bind_private(int fd, const struct sockaddr_un *sa)
{
	mode_t old = umask(0177);
	int r = bind(fd, (const struct sockaddr *)sa, sizeof(*sa)) < 0 ? -errno : 0;
	umask(old);
	return r;
}

/* Two daemons that start at once must not both find the socket stale: whoever looks,
 * looks under a lock on the directory. */
static int lock_dir(const char *path)
{
	char copy[sizeof(((struct sockaddr_un *)0)->sun_path)];
	snprintf(copy, sizeof(copy), "%s", path);
	const char *dir = dirname(copy);
	if (mkdir(dir, 0755) < 0 && errno != EEXIST)
		return -errno;
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	for (int i = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; i++) {
		if (i == LOCK_TRIES) {
			close(fd);
			return -EBUSY;
		}
		usleep(LOCK_WAIT_US);
	}
	return fd;
}

static int open_listener(struct rpc *r, const char *group, char *error, size_t error_len)
{
	struct sockaddr_un sa;
	struct stat st;
	int e = path_to_sockaddr(r->path, &sa);
	if (e)
		return e;
	int dir = lock_dir(r->path);
	if (dir < 0)
		return dir;
	e = clear_path(r->path, error, error_len);
	if (!e) {
		r->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		e = r->fd < 0 ? -errno : bind_private(r->fd, &sa);
	}
	if (!e && stat(r->path, &st) == 0) {
		r->dev = st.st_dev;
		r->ino = st.st_ino;
	}
	if (!e && listen(r->fd, BACKLOG) < 0)
		e = -errno;
	if (!e)
		set_socket_group(r, group);
	close(dir);
	return e;
}

struct rpc *rpc_new(struct loop *loop, const char *path, const char *group,
		    const struct rpc_table *table, char *error, size_t error_len)
{
	struct rpc *r = calloc(1, sizeof(*r));
	int e = -ENOMEM;
	if (error_len)
		error[0] = 0;
	if (!r)
		goto fail;
	r->loop = loop;
	r->table = table;
	r->fd = -1;
	r->group = NO_GROUP;
	r->path = strdup(path);
	r->reaper = loop_timer_new(loop, reap, r);
	if (!r->path || !r->reaper)
		goto fail;
	e = open_listener(r, group, error, error_len);
	if (e)
		goto fail;
	r->ev = loop_fd_new(loop, r->fd, LOOP_READ, accept_client, r);
	if (r->ev)
		return r;
	e = -ENOMEM;
fail:
	if (error_len && !error[0])
		snprintf(error, error_len, "%s: %s", path, strerror(-e));
	rpc_free(r);
	errno = -e;
	return NULL;
}

void *rpc_ctx(const struct rpc *r)
{
	return r->table->ctx;
}

void rpc_free(struct rpc *r)
{
	struct stat st;
	if (!r)
		return;
	while (r->clients) {
		struct rpc_client *c = r->clients;
		r->clients = c->next;
		c->dying = true;
		client_free(c);
	}
	loop_fd_free(r->ev);
	loop_timer_free(r->reaper);
	if (r->ino && lstat(r->path, &st) == 0 && st.st_dev == r->dev && st.st_ino == r->ino)
		unlink(r->path);
	if (r->fd >= 0)
		close(r->fd);
	free(r->path);
	free(r);
}
