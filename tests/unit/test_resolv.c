/* resolv.conf: what its lines mean, and that every way of changing the file is noticed. */
#include <arpa/inet.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "dhcp/resolv.h"
#include "net/clock.h"

static const char *text_of(const struct resolv_server *s)
{
	static char text[INET6_ADDRSTRLEN];

	if (s->sa.sa_family == AF_INET)
		return inet_ntop(AF_INET, &s->in4.sin_addr, text, sizeof(text));
	return inet_ntop(AF_INET6, &s->in6.sin6_addr, text, sizeof(text));
}

static struct resolv_list parse(const char *text)
{
	struct resolv_list l;

	resolv_parse(text, strlen(text), &l);
	return l;
}

static void reads_nameservers(void **state)
{
	struct resolv_list l = parse("# nameserver 192.0.2.9\n"
				     "domain lab.internal\n"
				     "nameserver 192.0.2.1\n"
				     "nameserver\t 2001:db8::1  # ours\r\n"
				     "options edns0\n"
				     "nameserver fe80::1%lo\n"
				     "nameserver 127.0.0.53"); /* no newline */

	assert_int_equal(l.n, 4);
	assert_string_equal(text_of(&l.server[0]), "192.0.2.1");
	assert_int_equal(l.server[0].in4.sin_port, htons(53));
	assert_int_equal(l.server[0].len, sizeof(struct sockaddr_in));
	assert_string_equal(text_of(&l.server[1]), "2001:db8::1");
	assert_int_equal(l.server[1].len, sizeof(struct sockaddr_in6));
	assert_string_equal(text_of(&l.server[2]), "fe80::1");
	assert_int_equal(l.server[2].in6.sin6_scope_id, 1);
	assert_string_equal(text_of(&l.server[3]), "127.0.0.53");
}

static void ignores_the_rest(void **state)
{
	static const char *const none[] = {
		"",
		"\n\n",
		"nameserver",
		"nameserver ",
		"nameserver \n",
		"nameservers 1.2.3.4",
		" nameserver 1.2.3.4",
		"nameserver 1.2.3",
		"nameserver 1.2.3.4.5",
		"nameserver ::g",
		"nameserver 0.0.0.0",
		"nameserver example.org",
		"nameserver 1.2.3.4:53",
	};
	struct resolv_list l;

	for (size_t i = 0; i < ARRAY_SIZE(none); i++)
		assert_int_equal(parse(none[i]).n, 0);
	resolv_parse("nameserver 1.2\0.3.4", 19, &l);
	assert_int_equal(l.n, 0);
	assert_int_equal(parse("nameserver 1.1.1.1\nnameserver 2.2.2.2\nnameserver 3.3.3.3\n"
			       "nameserver 4.4.4.4\nnameserver 5.5.5.5\nnameserver 6.6.6.6\n"
			       "nameserver 7.7.7.7\nnameserver 8.8.8.8\nnameserver 9.9.9.9\n")
				 .n,
			 RESOLV_SERVERS_MAX);
}

/* ---- following ---- */

static struct loop *loop;
static struct resolv *resolv;
static unsigned changes;
static char dir[64];

static char *path(const char *name)
{
	static char p[4][PATH_MAX];
	static unsigned i;

	snprintf(p[++i % 4], PATH_MAX, "%s/%s", dir, name);
	return p[i % 4];
}

static void put(const char *name, const char *server)
{
	FILE *f = fopen(path(name), "w");

	assert_non_null(f);
	if (server)
		fprintf(f, "nameserver %s\n", server);
	assert_int_equal(fclose(f), 0);
}

static void on_change(void *arg)
{
	changes++;
	loop_stop(loop);
}

static void on_deadline(void *arg)
{
	loop_stop(loop);
}

/* Runs the loop until a change is told or `ms` have passed; whether it was. */
static bool changed_within(unsigned ms)
{
	struct loop_timer *t = loop_timer_new(loop, on_deadline, NULL);
	unsigned before = changes;

	loop_timer_arm(t, ms * NSEC_PER_MSEC);
	loop_run(loop);
	loop_timer_free(t);
	return changes != before;
}

/* The list that there will be within a second; in-place writers may be seen half way. */
static void expect(const char *server)
{
	const struct resolv_list *l = resolv_list(resolv);
	nsec_t until = clock_now() + NSEC_PER_SEC;

	for (;;) {
		if (server ? l->n == 1 && !strcmp(text_of(&l->server[0]), server) : !l->n)
			return;
		if (clock_now() > until)
			fail_msg("expected %s, has %u servers", server ? server : "none", l->n);
		changed_within(100);
	}
}

static int setup(void **state)
{
	strcpy(dir, "/tmp/test-resolv-XXXXXX");
	assert_non_null(mkdtemp(dir));
	loop = loop_new();
	changes = 0;
	resolv = NULL;
	return loop ? 0 : -1;
}

static void follow(const char *name)
{
	resolv = resolv_new(loop, path(name), on_change, NULL);
	assert_non_null(resolv);
}

static int teardown(void **state)
{
	char command[128];

	resolv_free(resolv);
	loop_free(loop);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

static void follows_a_plain_file(void **state)
{
	put("resolv.conf", "192.0.2.1");
	follow("resolv.conf");
	expect("192.0.2.1");
	assert_int_equal(changes, 0);
	put("resolv.conf", "192.0.2.2"); /* in place */
	expect("192.0.2.2");
	put("new", "192.0.2.3");
	assert_int_equal(rename(path("new"), path("resolv.conf")), 0);
	expect("192.0.2.3");
	unlink(path("resolv.conf"));
	expect(NULL);
	put("resolv.conf", "192.0.2.4");
	expect("192.0.2.4");
	put("other", "192.0.2.5"); /* none of our business */
	assert_false(changed_within(50));
	put("resolv.conf", "192.0.2.4"); /* the same again */
	assert_false(changed_within(50));
}

static void waits_for_the_file_and_its_folders(void **state)
{
	follow("run/resolve/resolv.conf");
	expect(NULL);
	mkdir(path("run"), 0755);
	mkdir(path("run/resolve"), 0755);
	put("run/resolve/resolv.conf", "192.0.2.1");
	expect("192.0.2.1");
	unlink(path("run/resolve/resolv.conf"));
	rmdir(path("run/resolve"));
	expect(NULL);
	mkdir(path("run/resolve"), 0755);
	changed_within(20);
	put("run/resolve/resolv.conf", "192.0.2.2");
	expect("192.0.2.2");
}

static void follows_symlinks(void **state)
{
	mkdir(path("run"), 0755);
	put("run/stub.conf", "127.0.0.53");
	assert_int_equal(symlink("run/stub.conf", path("link")), 0);
	assert_int_equal(symlink(path("link"), path("resolv.conf")), 0);
	follow("resolv.conf");
	expect("127.0.0.53");
	put("run/stub.conf", "127.0.0.54");
	expect("127.0.0.54");
	put("run/new", "127.0.0.55");
	assert_int_equal(rename(path("run/new"), path("run/stub.conf")), 0);
	expect("127.0.0.55");
	put("plain", "192.0.2.1");
	assert_int_equal(symlink("plain", path("link2")), 0);
	assert_int_equal(rename(path("link2"), path("link")), 0); /* leads elsewhere now */
	expect("192.0.2.1");
	put("plain", "192.0.2.2");
	expect("192.0.2.2");
	put("run/stub.conf", "127.0.0.56"); /* no longer on the way */
	assert_false(changed_within(50));
}

static void a_loop_of_links_is_no_file(void **state)
{
	assert_int_equal(symlink("b", path("a")), 0);
	assert_int_equal(symlink("a", path("b")), 0);
	follow("a");
	expect(NULL);
	unlink(path("a"));
	put("a", "192.0.2.1");
	expect("192.0.2.1");
}

#define FOLLOW(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_nameservers),
		cmocka_unit_test(ignores_the_rest),
		FOLLOW(follows_a_plain_file),
		FOLLOW(waits_for_the_file_and_its_folders),
		FOLLOW(follows_symlinks),
		FOLLOW(a_loop_of_links_is_no_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
