/* Patterns for interface names: matching, and which of two is more specific. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tap/glob.h"

static void test_match(void **state)
{
	assert_true(glob_is("tap*i1"));
	assert_true(glob_is("vm[0-9]"));
	assert_false(glob_is("eth0.5"));
	assert_true(glob_match("tap*i1", "tap100i1"));
	assert_false(glob_match("tap*i1", "tap100i10"));
	assert_true(glob_match("vnet?", "vnet7"));
	assert_false(glob_match("vnet?", "vnet"));
	assert_true(glob_match("vm[0-9]", "vm3"));
	assert_false(glob_match("vm[!0-9]", "vm3"));
}

static void test_literals(void **state)
{
	assert_int_equal(glob_literals("tap*i1"), 5);
	assert_int_equal(glob_literals("*"), 0);
	assert_int_equal(glob_literals("vm[0-9]?"), 2);
	assert_int_equal(glob_literals("vm[]x]y"), 3); /* ']' first in a set is one of it */
	assert_int_equal(glob_literals("vm[x"), 4);    /* never closed: literal */
	assert_true(glob_literals("tap1*") > glob_literals("tap*"));
}

int main(void)
{
	const struct CMUnitTest t[] = {
		cmocka_unit_test(test_match),
		cmocka_unit_test(test_literals),
	};
	return cmocka_run_group_tests(t, NULL, NULL);
}
