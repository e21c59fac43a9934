/* ND's shared pieces, and prefixes of IPv6. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "net/addr.h"
#include "net/nd.h"

static void link_local(void **s)
{
	uint8_t a[16];
	char text[IP6_STRLEN];
	nd_link_local((struct mac){{0x52, 0x54, 0, 0x12, 0x34, 0x56}}, a);
	assert_string_equal(ip6_format(a, text), "fe80::5054:ff:fe12:3456");
	assert_true(ip6_is_link_local(a));
}

static int walk(const void *bytes, size_t len, struct nd_mac *m)
{
	struct wire w = wire_reader(bytes, len);
	return nd_read_mac(&w, ND_OPT_SOURCE_MAC, m);
}

static void options(void **s)
{
	static const uint8_t ok[] = {14, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7};
	struct nd_mac m;
	assert_int_equal(walk(ok, sizeof(ok), &m), 0);
	assert_true(m.given);
	assert_int_equal(m.mac.b[5], 7);
	assert_int_equal(walk(ok, 16, &m), 0);
	assert_false(m.given);
	assert_int_equal(walk(ok, 0, &m), 0);
	for (size_t n = 1; n < sizeof(ok); n++)
		assert_int_equal(walk(ok, n, &m), n % 16 ? -EBADMSG : 0);
	assert_int_equal(walk((uint8_t[8]){1, 0}, 8, &m), -EBADMSG);
	assert_int_equal(walk((uint8_t[16]){1, 2}, 16, &m), 0); /* of a longer kind of address */
	assert_false(m.given);
}

static void prefixes(void **s)
{
	static const char *const bad[] = {"fd00::", "fd00::/", "fd00::/129", "fd00::/01", "fd00::/+1", "/64",
					  "fd00::g/64", "fd00::/6 ", "10.0.0.0/8"};
	struct prefix6 p, q;
	char text[PREFIX_STRLEN];
	uint8_t a[16];
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(prefix6_parse(bad[i], &p), -EINVAL);
	assert_int_equal(prefix6_parse("fd00:0:0:10::/61", &p), 0);
	assert_string_equal(prefix6_format(&p, text), "fd00:0:0:10::/61");
	assert_int_equal(ip6_parse("fd00:0:0:17::1", a), 0);
	assert_true(prefix6_contains(&p, a));
	assert_int_equal(ip6_parse("fd00:0:0:18::1", a), 0);
	assert_false(prefix6_contains(&p, a));
	assert_int_equal(prefix6_parse("fd00:0:0:16::/64", &q), 0);
	assert_true(prefix6_overlap(&p, &q) && prefix6_overlap(&q, &p));
	assert_int_equal(prefix6_parse("fd00:0:0:18::/64", &q), 0);
	assert_false(prefix6_overlap(&p, &q));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(link_local), cmocka_unit_test(options), cmocka_unit_test(prefixes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
