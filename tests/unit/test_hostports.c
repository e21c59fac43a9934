/* The text form of port lists, as the kernel writes and takes it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "tap/hostports.h"

int hoststate_record_text(struct hoststate *hs, int ifindex, const char *ifname,
			  enum hoststate_kind kind, long old, const char *text)
{
	return -ENOSYS;
}
void hoststate_forget(struct hoststate *hs, int ifindex, enum hoststate_kind kind)
{
}

static void test_round_trip(void **state)
{
	static const char *const texts[] = {"", "8080", "1,3,5-7,65535", "0-65535", "8080,40000-59999"};
	struct hostports_set s;
	char buf[64];

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		assert_int_equal(hostports_parse(texts[i], &s), 0);
		assert_int_equal(hostports_format(&s, buf, sizeof(buf)), 0);
		assert_string_equal(buf, texts[i]);
	}
	assert_int_equal(hostports_parse("7,5-6,6\n", &s), 0);
	assert_int_equal(hostports_format(&s, buf, sizeof(buf)), 0);
	assert_string_equal(buf, "5-7");
}

static void test_refused(void **state)
{
	static const char *const texts[] = {"x", "1-", "1-x", "-1", "65536", "7-5", "1;2", "1 2"};
	struct hostports_set s;
	char buf[4];

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(hostports_parse(texts[i], &s), -EINVAL);
	assert_int_equal(hostports_parse("8080,9000", &s), 0);
	assert_int_equal(hostports_format(&s, buf, sizeof(buf)), -E2BIG);
}

int main(void)
{
	const struct CMUnitTest t[] = {cmocka_unit_test(test_round_trip), cmocka_unit_test(test_refused)};

	return cmocka_run_group_tests(t, NULL, NULL);
}
