/* Addresses: what is accepted, what is refused, and back to text again. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "net/addr.h"
#include "net/types.h"

static void mac(void **s)
{
	char buf[MAC_STRLEN];
	struct mac m;
	assert_int_equal(mac_parse("52:54:00:aB:Cd:ef", &m), 0);
	assert_string_equal(mac_format(m, buf), "52:54:00:ab:cd:ef");
	assert_int_equal(mac_parse("52-54-00-12-34-56", &m), 0);
	assert_string_equal(mac_format(m, buf), "52:54:00:12:34:56");
	static const char *const bad[] = {
		"",
		":",
		"52",
		"52:54:00:ab:cd",
		"52:54:00:ab:cd:e",
		"52:54:00:ab:cd:ef:",
		"52:54:00:ab:cd:ef0",
		"52:54:00:ab:cd:eg",
		" 52:54:00:ab:cd:ef",
		"52:54-00:ab:cd:ef",
		"5254.00ab.cdef",
		"525400abcdef",
		"52:54:00:ab::ef",
		"52 54 00 ab cd ef",
		"5:54:00:ab:cd:ef0",
		"52:54:00:ab:cd:ef ",
	};
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		struct mac before = m;
		assert_int_equal(mac_parse(bad[i], &m), -EINVAL);
		assert_memory_equal(&before, &m, sizeof(m));
	}
}

static void ip4(void **s)
{
	static const char *const good[] = {"0.0.0.0", "255.255.255.255", "10.0.2.15", "1.20.100.9"};
	for (unsigned i = 0; i < ARRAY_SIZE(good); i++) {
		char buf[IP4_STRLEN];
		be32 a;
		assert_int_equal(ip4_parse(good[i], &a), 0);
		assert_string_equal(ip4_format(a, buf), good[i]);
	}
	static const char *const bad[] = {
		"",
		".",
		"1",
		"1.2",
		"1.2.3",
		"1.2.3.",
		"1.2.3.4.",
		"1.2.3.4.5",
		"256.1.1.1",
		"1.1.1.256",
		"01.1.1.1",
		"1.1.1.00",
		"-1.1.1.1",
		"+1.1.1.1",
		" 1.1.1.1",
		"1.1.1.1 ",
		"1.1.1.1/24",
		"0x1.1.1.1",
		"1..1.1",
		"1.1.1.a",
		"1.1.1.99999999999999999999",
		"4294967296.1.1.1",
	};
	be32 a = 7;
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(ip4_parse(bad[i], &a), -EINVAL);
	assert_int_equal(a, 7);
}

static void ip6(void **s)
{
	static const char *const good[] = {"::", "::1", "fd10:10::1", "2001:db8::1:0:0:1",
					   "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"};
	uint8_t a[16];
	char buf[IP6_STRLEN];
	for (unsigned i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(ip6_parse(good[i], a), 0);
		assert_string_equal(ip6_format(a, buf), good[i]);
	}
	static const char *const bad[] = {
		"",    ":",	 ":::",		 "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9",
		"::g", "::1/64", "fe80::1%eth0", "1::2::3",	  "12345::",
		" ::1"};
	memset(a, 9, sizeof(a));
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(ip6_parse(bad[i], a), -EINVAL);
	assert_int_equal(a[0], 9);
}

static struct prefix4 pfx(const char *t)
{
	struct prefix4 p;
	assert_int_equal(prefix4_parse(t, &p), 0);
	return p;
}

static be32 ip(const char *t)
{
	be32 a;
	assert_int_equal(ip4_parse(t, &a), 0);
	return a;
}

static void prefix(void **s)
{
	char buf[PREFIX_STRLEN];
	assert_string_equal(prefix4_format(pfx("10.10.10.254/24"), buf), "10.10.10.254/24");
	assert_string_equal(prefix4_format(pfx("0.0.0.0/0"), buf), "0.0.0.0/0");
	static const char *const bad[] = {
		"",	     "10.0.0.0",     "10.0.0.0/",   "10.0.0.0/33", "10.0.0.0/024",
		"10.0.0/24", "10.0.0.0/24 ", "10.0.0.0/-1", "10.0.0.0/+1", "10.0.0.0/255.0.0.0",
		"/24",	     "10.0.0.0//24"};
	struct prefix4 p = pfx("1.2.3.4/5");
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(prefix4_parse(bad[i], &p), -EINVAL);
	assert_int_equal(p.addr, ip("1.2.3.4"));
	assert_int_equal(p.len, 5);
}

static void prefix_arithmetic(void **s)
{
	static const struct {
		const char *p, *mask, *net, *last;
	} t[] = {
		{"10.10.10.254/24", "255.255.255.0", "10.10.10.0", "10.10.10.255"},
		{"10.10.10.77/31", "255.255.255.254", "10.10.10.76", "10.10.10.77"},
		{"10.10.10.77/32", "255.255.255.255", "10.10.10.77", "10.10.10.77"},
		{"10.10.10.77/0", "0.0.0.0", "0.0.0.0", "255.255.255.255"},
		{"192.168.200.1/20", "255.255.240.0", "192.168.192.0", "192.168.207.255"},
	};
	for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
		assert_int_equal(prefix4_mask(pfx(t[i].p)), ip(t[i].mask));
		assert_int_equal(prefix4_network(pfx(t[i].p)), ip(t[i].net));
		assert_int_equal(prefix4_broadcast(pfx(t[i].p)), ip(t[i].last));
	}
	assert_true(prefix4_contains(pfx("10.10.10.254/24"), ip("10.10.10.1")));
	assert_false(prefix4_contains(pfx("10.10.10.254/24"), ip("10.10.11.1")));
	assert_true(prefix4_contains(pfx("0.0.0.0/0"), ip("255.0.0.1")));
	assert_true(prefix4_overlap(pfx("10.0.0.0/8"), pfx("10.9.8.7/24")));
	assert_true(prefix4_overlap(pfx("10.9.8.7/24"), pfx("10.0.0.0/8")));
	assert_false(prefix4_overlap(pfx("10.9.8.7/24"), pfx("10.9.9.7/24")));
	assert_true(prefix4_overlap(pfx("0.0.0.0/0"), pfx("1.1.1.1/32")));
}

static void address_and_port(void **s)
{
	char buf[IP4_PORT_STRLEN];
	be32 a;
	uint16_t port;
	assert_int_equal(ip4_port_parse("255.255.255.255:65535", &a, &port), 0);
	assert_string_equal(ip4_port_format(a, port, buf), "255.255.255.255:65535");
	assert_int_equal(ip4_port_parse(":22", &a, &port), 0);
	assert_int_equal(a, 0);
	assert_int_equal(port, 22);
	static const char *const bad[] = {"",
					  ":",
					  "1.2.3.4",
					  "1.2.3.4:",
					  "1.2.3.4:65536",
					  "1.2.3.4:022",
					  "1.2.3:4",
					  "[::1]:22",
					  "1.2.3.4:22 ",
					  "1.2.3.4: 22",
					  "host:22",
					  "::22",
					  "1.2.3.4:-1"};
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(ip4_port_parse(bad[i], &a, &port), -EINVAL);
	assert_int_equal(port, 22);
}

static void martians(void **s)
{
	static const char *const yes[] = {"0.0.0.0",	     "0.1.2.3",	       "127.0.0.1",
					  "127.255.255.255", "224.0.0.1",      "239.255.255.255",
					  "240.0.0.1",	     "255.255.255.255"};
	static const char *const no[] = {"1.0.0.1",   "10.0.0.1",	 "126.255.255.255",
					 "128.0.0.1", "223.255.255.255", "169.254.1.1",
					 "100.64.0.1"};
	for (unsigned i = 0; i < ARRAY_SIZE(yes); i++)
		assert_true(ip4_is_martian(ip(yes[i])));
	for (unsigned i = 0; i < ARRAY_SIZE(no); i++)
		assert_false(ip4_is_martian(ip(no[i])));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mac),
		cmocka_unit_test(ip4),
		cmocka_unit_test(ip6),
		cmocka_unit_test(prefix),
		cmocka_unit_test(prefix_arithmetic),
		cmocka_unit_test(address_and_port),
		cmocka_unit_test(martians),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
