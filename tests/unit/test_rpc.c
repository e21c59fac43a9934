/* The control socket's server: what it says to broken requests, whom it lets in, and that a
 * client cannot make it grow.  Methods are the test's own. */
#include <errno.h>
#include <grp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "ctl/rpc.h"
#include "net/log.h"

#define ROUND (20 * NSEC_PER_MSEC)

static struct rpc_client *streaming;
static unsigned stream_closed;

static int echo(struct rpc_call *c)
{
	c->result = json_pack("{s:s, s:I, s:b}", "text", rpc_string(c, "text"), "n",
			      (json_int_t)rpc_int(c, "n", 7), "flag", rpc_bool(c, "flag"));
	return 0;
}

static int lost(struct rpc_call *c)
{
	return rpc_fail(c, RPC_EXIT_NOT_FOUND, "port '%s' not found", rpc_string(c, "text"));
}

static int nothing(struct rpc_call *c)
{
	return 0;
}

static void closed(void *arg)
{
	stream_closed++;
	streaming = NULL;
}

static int stream(struct rpc_call *c)
{
	streaming = c->client;
	return rpc_stream(c, closed, NULL) ? rpc_fail(c, RPC_EXIT_ERROR, "no stream") : 0;
}

static const struct rpc_method methods[] = {
	{"echo",
	 echo,
	 {{.name = "text", .type = RPC_STRING, .required = true, .max = 10},
	  {.name = "n", .type = RPC_INT, .min = 1, .max = 9},
	  {.name = "flag", .type = RPC_BOOL}},
	 false},
	{"lost", lost, {{.name = "text", .type = RPC_STRING, .required = true}}, true},
	{"nothing", nothing, {{0}}, false},
	{"stream", stream, {{0}}, false},
};
static const struct rpc_table table = {.methods = methods, .n = ARRAY_SIZE(methods)};

/* ---- one line, no connection ---- */

static json_t *ask(const char *line)
{
	char *text = rpc_dispatch(&table, NULL, line, strlen(line));
	json_error_t e;
	json_t *reply = text ? json_loads(text, 0, &e) : NULL;
	free(text);
	return reply;
}

static void expect_error(const char *line, int code, int exit, const char *words)
{
	json_t *reply = ask(line);
	assert_non_null(reply);
	json_t *error = json_object_get(reply, "error");
	assert_non_null(error);
	assert_null(json_object_get(reply, "result"));
	assert_int_equal(json_integer_value(json_object_get(error, "code")), code);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(error, "data"), "exit")), exit);
	if (!strstr(json_string_value(json_object_get(error, "message")), words))
		fail_msg("'%s' is not in: %s", words,
			 json_string_value(json_object_get(error, "message")));
	json_decref(reply);
}

#define REQ(method, params) "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"" method "\",\"params\":" params "}"

static void test_result(void **state)
{
	json_t *reply = ask(REQ("echo", "{\"text\":\"hi\",\"n\":3,\"flag\":true}"));
	json_t *result = json_object_get(reply, "result");
	assert_string_equal(json_string_value(json_object_get(result, "text")), "hi");
	assert_int_equal(json_integer_value(json_object_get(result, "n")), 3);
	assert_true(json_is_true(json_object_get(result, "flag")));
	assert_int_equal(json_integer_value(json_object_get(reply, "id")), 1);
	json_decref(reply);

	reply = ask("{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"method\":\"nothing\"}");
	assert_true(json_is_null(json_object_get(reply, "result")));
	assert_string_equal(json_string_value(json_object_get(reply, "id")), "x");
	json_decref(reply);
}

static void test_notification(void **state)
{
	assert_null(ask("{\"jsonrpc\":\"2.0\",\"method\":\"nothing\"}"));
	/* not even its errors are answered (JSON-RPC 2.0, 4.1) */
	assert_null(ask("{\"jsonrpc\":\"2.0\",\"method\":\"nowhere\"}"));
}

static void test_malformed(void **state)
{
	expect_error("", RPC_PARSE_ERROR, 2, "not JSON");
	expect_error("{", RPC_PARSE_ERROR, 2, "not JSON");
	expect_error("{\"jsonrpc\":\"2.0\",\"id\":1,\"id\":2,\"method\":\"nothing\"}", RPC_PARSE_ERROR, 2,
		     "not JSON");
	expect_error("\xff\xfe", RPC_PARSE_ERROR, 2, "not JSON");
	expect_error("[]", RPC_INVALID_REQUEST, 2, "one object");
	expect_error("[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"nothing\"}]", RPC_INVALID_REQUEST, 2,
		     "one object");
	expect_error("{\"id\":1,\"method\":\"nothing\"}", RPC_INVALID_REQUEST, 2, "jsonrpc");
	expect_error("{\"jsonrpc\":2,\"id\":1,\"method\":\"nothing\"}", RPC_INVALID_REQUEST, 2, "jsonrpc");
	expect_error("{\"jsonrpc\":\"2.0\",\"id\":1}", RPC_INVALID_REQUEST, 2, "method");
	expect_error("{\"jsonrpc\":\"2.0\",\"id\":[],\"method\":\"nothing\"}", RPC_INVALID_REQUEST, 2, "id");
}

static void test_bad_calls(void **state)
{
	expect_error(REQ("eco", "{}"), RPC_METHOD_NOT_FOUND, 2, "did you mean 'echo'?");
	expect_error(REQ("echo", "[]"), RPC_INVALID_PARAMS, 2, "object");
	expect_error(REQ("echo", "{}"), RPC_INVALID_PARAMS, 2, "needs 'text'");
	expect_error(REQ("echo", "{\"text\":5}"), RPC_INVALID_PARAMS, 2, "string");
	expect_error(REQ("echo", "{\"text\":\"12345678901\"}"), RPC_INVALID_PARAMS, 2, "longer");
	expect_error(REQ("echo", "{\"text\":\"a\",\"n\":10}"), RPC_INVALID_PARAMS, 2, "within 1 and 9");
	expect_error(REQ("echo", "{\"text\":\"a\",\"n\":1.5}"), RPC_INVALID_PARAMS, 2, "whole");
	expect_error(REQ("echo", "{\"text\":\"a\",\"flag\":1}"), RPC_INVALID_PARAMS, 2, "true or false");
	expect_error(REQ("echo", "{\"text\":\"a\",\"more\":1}"), RPC_INVALID_PARAMS, 2, "'more'");
	expect_error(REQ("lost", "{\"text\":\"web9\"}"), RPC_APPLICATION_ERROR, 3, "port 'web9' not found");
	expect_error(REQ("stream", "{}"), RPC_APPLICATION_ERROR, 1, "no stream");
}

/* ---- connections ---- */

struct bench {
	struct loop *loop;
	struct loop_timer *timer;
	struct rpc *rpc;
	char dir[64], path[96], error[256];
};

static void stop(void *arg)
{
	loop_stop(arg);
}

static void pump(struct bench *b)
{
	loop_timer_arm(b->timer, ROUND);
	loop_run(b->loop);
}

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	strcpy(b->dir, "/tmp/test-rpc-XXXXXX");
	assert_non_null(mkdtemp(b->dir));
	chmod(b->dir, 0755);
	snprintf(b->path, sizeof(b->path), "%s/control.sock", b->dir);
	b->loop = loop_new();
	b->timer = loop_timer_new(b->loop, stop, b->loop);
	b->rpc = rpc_new(b->loop, b->path, NULL, &table, b->error, sizeof(b->error));
	assert_non_null(b->rpc);
	stream_closed = 0;
	log_set_level(LOG_ERROR_);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;
	rpc_free(b->rpc);
	loop_timer_free(b->timer);
	loop_free(b->loop);
	assert_int_equal(access(b->path, F_OK), -1); /* it cleaned up behind itself */
	rmdir(b->dir);
	free(b);
	return 0;
}

static int dial(const char *path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	strcpy(sa.sun_path, path);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

/* What has come in, as text; "" for nothing; NULL when the server hung up with nothing. */
static char *take(struct bench *b, int fd)
{
	static char buf[1 << 16];
	pump(b);
	ssize_t n = recv(fd, buf, sizeof(buf) - 1, MSG_DONTWAIT);
	if (n == 0 || (n < 0 && errno != EAGAIN))
		return NULL;
	buf[n > 0 ? n : 0] = 0;
	return buf;
}

static void put(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static unsigned count(const char *text, char c)
{
	unsigned n = 0;
	for (; *text; text++)
		n += *text == c;
	return n;
}

static void test_lines(void **state)
{
	struct bench *b = *state;
	int fd = dial(b->path);
	put(fd, REQ("nothing", "{}") "\n" REQ("nothing", "{}") "\r\n\n" REQ("nothin", "{}"));
	char *got = take(b, fd);
	assert_int_equal(count(got, '\n'), 2); /* the third line has not ended */
	put(fd, "\n");
	got = take(b, fd);
	assert_non_null(strstr(got, "did you mean 'nothing'?"));
	close(fd);
}

static void test_half_closed(void **state)
{
	struct bench *b = *state;
	int fd = dial(b->path);
	put(fd, REQ("nothing", "{}") "\n");
	shutdown(fd, SHUT_WR);
	assert_non_null(strstr(take(b, fd), "\"result\":null"));
	assert_null(take(b, fd));
	close(fd);
}

static void test_long_line(void **state)
{
	struct bench *b = *state;
	int fd = dial(b->path);
	char *chunk = malloc(65537);
	memset(chunk, 'x', 65536);
	chunk[65536] = 0;
	char *got = "";
	for (unsigned i = 0; i < 20 && got && !*got; i++) {
		put(fd, chunk);
		got = take(b, fd);
	}
	assert_non_null(got);
	assert_non_null(strstr(got, "longer than 1 MiB"));
	free(chunk);
	close(fd);
}

static void test_too_many_clients(void **state)
{
	struct bench *b = *state;
	int fd[RPC_CLIENTS_MAX + 1];
	for (unsigned i = 0; i < RPC_CLIENTS_MAX; i++) {
		fd[i] = dial(b->path);
		put(fd[i], REQ("nothing", "{}") "\n");
		assert_non_null(strstr(take(b, fd[i]), "result"));
	}
	fd[RPC_CLIENTS_MAX] = dial(b->path);
	assert_null(take(b, fd[RPC_CLIENTS_MAX]));
	close(fd[0]);
	pump(b);
	close(fd[RPC_CLIENTS_MAX]);
	fd[0] = dial(b->path); /* one went: there is room again */
	put(fd[0], REQ("nothing", "{}") "\n");
	assert_non_null(strstr(take(b, fd[0]), "result"));
	for (unsigned i = 0; i < RPC_CLIENTS_MAX; i++)
		close(fd[i]);
	pump(b);
}

static void test_stream(void **state)
{
	struct bench *b = *state;
	int fd = dial(b->path);
	put(fd, REQ("stream", "{}") "\n");
	assert_non_null(strstr(take(b, fd), "result"));
	assert_non_null(streaming);
	assert_int_equal(rpc_notify(streaming, "tick", json_pack("{s:i}", "n", 1)), 0);
	assert_string_equal(take(b, fd), "{\"jsonrpc\":\"2.0\",\"method\":\"tick\",\"params\":{\"n\":1}}\n");
	put(fd, REQ("stream", "{}") "\n");
	assert_non_null(strstr(take(b, fd), "no stream")); /* one a connection */
	assert_int_equal(stream_closed, 0);
	close(fd);
	pump(b);
	assert_int_equal(stream_closed, 1);
}

/* Whoever does not read is hung up on, not buffered for ever. */
static void test_slow_reader(void **state)
{
	struct bench *b = *state;
	int fd = dial(b->path), r = 0;
	char *text = calloc(1, 65537);
	memset(text, 'y', 65536);
	put(fd, REQ("stream", "{}") "\n");
	take(b, fd);
	unsigned sent = 0;
	for (; r == 0 && sent < 1000; sent++)
		r = rpc_notify(streaming, "blob", json_pack("{s:s}", "t", text));
	assert_int_equal(r, -ENOBUFS);
	assert_in_range(sent, RPC_PENDING_MAX / 65536, RPC_PENDING_MAX / 65536 + 20);
	assert_int_equal(stream_closed, 0); /* not from inside rpc_notify() */
	assert_int_equal(rpc_room(streaming), 0);
	assert_int_equal(rpc_notify(streaming, "blob", json_object()), -EPIPE);
	pump(b);
	assert_int_equal(stream_closed, 1);
	free(text);
	close(fd);
}

/* ---- the socket file ---- */

static void test_second_daemon(void **state)
{
	struct bench *b = *state;
	char error[256], pid[32];
	assert_null(rpc_new(b->loop, b->path, NULL, &table, error, sizeof(error)));
	assert_int_equal(errno, EADDRINUSE);
	snprintf(pid, sizeof(pid), "held by pid %d (test_rpc)", (int)getpid());
	assert_non_null(strstr(error, pid));
	int fd = dial(b->path); /* and the first one is unharmed */
	put(fd, REQ("nothing", "{}") "\n");
	assert_non_null(strstr(take(b, fd), "result"));
	close(fd);
}

static void test_stale_socket(void **state)
{
	struct bench *b = *state;
	char path[128], error[256];
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	snprintf(path, sizeof(path), "%s/stale.sock", b->dir);
	strcpy(sa.sun_path, path);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	close(fd); /* what a killed daemon leaves */
	struct rpc *r = rpc_new(b->loop, path, NULL, &table, error, sizeof(error));
	assert_non_null(r);
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600); /* no group: nobody else's */
	rpc_free(r);
	assert_int_equal(access(path, F_OK), -1);
}

static void test_not_a_socket(void **state)
{
	struct bench *b = *state;
	char path[128], error[256];
	snprintf(path, sizeof(path), "%s/precious", b->dir);
	fclose(fopen(path, "w"));
	assert_null(rpc_new(b->loop, path, NULL, &table, error, sizeof(error)));
	assert_non_null(strstr(error, "not a socket"));
	assert_int_equal(unlink(path), 0);
}

/* The file of a successor is not ours to remove. */
static void test_replaced_file(void **state)
{
	struct bench *b = *state;
	char path[128], error[256];
	snprintf(path, sizeof(path), "%s/replaced.sock", b->dir);
	struct rpc *r = rpc_new(b->loop, path, NULL, &table, error, sizeof(error));
	assert_non_null(r);
	unlink(path);
	fclose(fopen(path, "w"));
	rpc_free(r);
	assert_int_equal(unlink(path), 0);
}

/* ---- who may connect ---- */

/* A child of other credentials asks once; returns 'r' for a result, 'p' for "permission
 * denied", '-' when it could not even connect. */
static char ask_as(struct bench *b, const char *path, uid_t uid, gid_t gid, gid_t extra)
{
	int p[2];
	char answer = '?';
	assert_int_equal(pipe(p), 0);
	pid_t pid = fork();
	if (pid == 0) {
		struct sockaddr_un sa = {.sun_family = AF_UNIX};
		char buf[512] = "";
		strcpy(sa.sun_path, path);
		if (setgroups(extra ? 1 : 0, &extra) || setgid(gid) || setuid(uid))
			_exit(1);
		int fd = socket(AF_UNIX, SOCK_STREAM, 0);
		answer = '-';
		if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0) {
			send(fd, REQ("nothing", "{}") "\n", strlen(REQ("nothing", "{}")) + 1, MSG_NOSIGNAL);
			ssize_t n = recv(fd, buf, sizeof(buf) - 1, 0);
			answer = n > 0 && strstr(buf, "result") ? 'r' : strstr(buf, "permission") ? 'p' : '?';
		}
		_exit(write(p[1], &answer, 1) != 1);
	}
	close(p[1]);
	int status;
	for (unsigned i = 0; i < 100 && waitpid(pid, &status, WNOHANG) == 0; i++)
		pump(b);
	assert_int_equal(read(p[0], &answer, 1), 1);
	close(p[0]);
	return answer;
}

#define NOBODY 65534
#define STRANGERS 64321 /* a group that has no name here */

static void test_credentials(void **state)
{
	struct bench *b = *state;
	struct group *games = getgrnam("games");
	if (geteuid() != 0 || !games)
		skip();
	char path[128], error[256];
	gid_t gid = games->gr_gid;
	snprintf(path, sizeof(path), "%s/group.sock", b->dir);
	struct rpc *r = rpc_new(b->loop, path, "games", &table, error, sizeof(error));
	assert_non_null(r);
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
	assert_int_equal(st.st_gid, gid);
	assert_int_equal(ask_as(b, path, 0, 0, 0), 'r');
	assert_int_equal(ask_as(b, path, NOBODY, gid, 0), 'r');
	assert_int_equal(ask_as(b, path, NOBODY, STRANGERS, gid), 'r');
	assert_int_equal(ask_as(b, path, NOBODY, STRANGERS, 0), '-');
	chmod(path, 0666); /* whatever the file says, strangers stay out */
	assert_int_equal(ask_as(b, path, NOBODY, STRANGERS, 0), 'p');
	rpc_free(r);
	/* without the group: root alone */
	r = rpc_new(b->loop, path, "no-such-group", &table, error, sizeof(error));
	assert_non_null(r);
	chmod(path, 0666);
	assert_int_equal(ask_as(b, path, NOBODY, gid, 0), 'p');
	rpc_free(r);
}

int main(void)
{
#define SERVED(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_result),
		cmocka_unit_test(test_notification),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_bad_calls),
		SERVED(test_lines),
		SERVED(test_half_closed),
		SERVED(test_long_line),
		SERVED(test_too_many_clients),
		SERVED(test_stream),
		SERVED(test_slow_reader),
		SERVED(test_second_daemon),
		SERVED(test_stale_socket),
		SERVED(test_not_a_socket),
		SERVED(test_replaced_file),
		SERVED(test_credentials),
	};
	return cmocka_run_group_tests_name("rpc", tests, NULL, NULL);
}
