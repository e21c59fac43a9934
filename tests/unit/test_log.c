/* The log: the lines it writes, and what it holds back. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/log.h"

static char got[8192];
static int out[2], saved;

/* stderr is a packet pipe, in which each write(2) is one read(2). */
static void capture(void)
{
	assert_int_equal(pipe2(out, O_DIRECT | O_NONBLOCK), 0);
	saved = dup(STDERR_FILENO);
	dup2(out[1], STDERR_FILENO);
}

static void release(void)
{
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(out[0]);
	close(out[1]);
}

/* The next line, or "" when none was written. */
static const char *line(void)
{
	ssize_t n = read(out[0], got, sizeof(got) - 1);
	got[n > 0 ? n : 0] = 0;
	return got;
}

static void lines(void **s)
{
	capture();
	log_info("port", "web%d is up", 1);
	log_warn("port", "two");
	char first[100];
	strcpy(first, line());
	char second[100];
	strcpy(second, line());
	errno = EACCES;
	log_error("tap", "open: %m");
	int e = errno;
	char third[100];
	strcpy(third, line());
	log_set_name("vswitchd: ");
	log_info("main", "x");
	char named[100];
	strcpy(named, line());
	log_set_name(NULL);
	release();
	assert_string_equal(first, "port: web1 is up\n");
	assert_string_equal(second, "port: two\n");
	assert_string_equal(third, "tap: open: Permission denied\n");
	assert_int_equal(e, EACCES);
	assert_string_equal(named, "vswitchd: main: x\n");
}

static void levels(void **s)
{
	capture();
	log_debug("a", "not shown");
	char hidden[100];
	strcpy(hidden, line());
	log_set_level(LOG_DEBUG_);
	log_debug("a", "shown");
	char shown[100];
	strcpy(shown, line());
	log_set_level(LOG_WARN_);
	log_info("a", "not shown");
	char quiet[100];
	strcpy(quiet, line());
	log_set_level(LOG_INFO_);
	release();
	assert_string_equal(hidden, "");
	assert_string_equal(shown, "a: shown\n");
	assert_string_equal(quiet, "");
}

/* What a guest puts into a name neither ends the line nor reaches the terminal. */
static void guests_cannot_forge(void **s)
{
	capture();
	log_info("lease", "host '%s'", "a\n<0>kernel: b\033[2J\x7f\r");
	char l[200];
	strcpy(l, line());
	release();
	assert_string_equal(l, "lease: host 'a?<0>kernel: b?[2J?"
			       "?'\n");
}

static void long_lines_end(void **s)
{
	static char text[5000];
	memset(text, 'x', sizeof(text) - 1);
	char area[2000];
	memset(area, 'y', sizeof(area) - 1);
	area[sizeof(area) - 1] = 0;
	capture();
	log_info("a", "%s", text);
	size_t n = strlen(line());
	char end[8];
	strcpy(end, got + n - 4);
	log_info(area, "%s", text);
	size_t m = strlen(line());
	release();
	assert_in_range(n, 500, 1024);
	assert_string_equal(end, "...\n");
	assert_in_range(m, 500, 1024);
}

static void limit(void **s)
{
	struct log_limit l = {0};
	unsigned held = 99;
	nsec_t now = 5;
	for (unsigned i = 0; i < 3; i++) {
		assert_true(log_limited(&l, now, 3, &held));
		assert_int_equal(held, 0);
	}
	held = 99;
	for (unsigned i = 0; i < 10; i++)
		assert_false(log_limited(&l, now + i * NSEC_PER_SEC, 3, &held));
	assert_int_equal(held, 99); /* untouched */
	now += 60 * NSEC_PER_SEC;
	assert_true(log_limited(&l, now, 3, &held));
	assert_int_equal(held, 10);
	assert_false(log_limited(&l, now, 3, &held)); /* one a minute */
	now += 60 * NSEC_PER_SEC;
	assert_true(log_limited(&l, now, 3, &held));
	assert_int_equal(held, 1);
	/* a quiet minute earns the burst again */
	now += 60 * NSEC_PER_SEC;
	for (unsigned i = 0; i < 3; i++)
		assert_true(log_limited(&l, now, 3, &held));
	assert_false(log_limited(&l, now, 3, &held));
}

static void limit_from_time_zero(void **s)
{
	struct log_limit l = {0};
	unsigned held;
	assert_true(log_limited(&l, 0, 1, &held));
	assert_false(log_limited(&l, 0, 1, &held));
	assert_false(log_limited(&l, 0, 1, &held));
}

int main(void)
{
	unsetenv("JOURNAL_STREAM");
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines),
		cmocka_unit_test(levels),
		cmocka_unit_test(guests_cannot_forge),
		cmocka_unit_test(long_lines_end),
		cmocka_unit_test(limit),
		cmocka_unit_test(limit_from_time_zero),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
