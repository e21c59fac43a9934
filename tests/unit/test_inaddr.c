/* Text forms of socket addresses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "tap/inaddr.h"

static void test_round_trip(void **state)
{
	static const char *const good[] = {"127.0.0.1:20000", "0.0.0.0:1", "[::1]:65535",
					   "[fd00::2]:53"};
	struct sockaddr_storage sa;
	char text[INADDR_STRLEN];
	socklen_t len;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(inaddr_parse(good[i], &sa, &len), 0);
		assert_string_equal(inaddr_format(&sa, text), good[i]);
	}
	assert_int_equal(inaddr_parse(":22", &sa, &len), 0);
	assert_string_equal(inaddr_format(&sa, text), "0.0.0.0:22");
}

static void test_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"127.0.0.1",
		"127.0.0.1:",
		"127.0.0.1:0",
		"127.0.0.1:65536",
		"127.0.0.1:+1",
		"127.0.0.1:22x",
		"localhost:22",
		"::1:22",
		"[::1:22",
		"[]:22",
		"[127.0.0.1]:22",
		"1.2.3.4.5:22",
		"[1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb]:1"};
	struct sockaddr_storage sa;
	socklen_t len;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_not_equal(inaddr_parse(bad[i], &sa, &len), 0);
}

int main(void)
{
	const struct CMUnitTest t[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_refused),
	};
	return cmocka_run_group_tests(t, NULL, NULL);
}
