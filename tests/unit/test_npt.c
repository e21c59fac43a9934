/* RFC 6296: one for one, no checksum changes, errors from both sides. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "nat/npt.h"
#include "net/addr.h"

static struct npt of(const char *inside, const char *outside)
{
	uint8_t in[16], out[16];
	struct npt p;

	assert_int_equal(ip6_parse(inside, in), 0);
	assert_int_equal(ip6_parse(outside, out), 0);
	npt_init(&p, in, out);
	return p;
}

/* Sum of the words modulo 0xffff, by a way of its own. */
static uint32_t sum(const uint8_t a[16])
{
	uint32_t s = 0;

	for (unsigned i = 0; i < 16; i += 2)
		s += (uint32_t)a[i] << 8 | a[i + 1];
	return s % 0xffff;
}

static void check(const struct npt *p, const char *inside, const char *outside)
{
	uint8_t a[16], want[16], was[16];

	assert_int_equal(ip6_parse(inside, a), 0);
	assert_int_equal(ip6_parse(outside, want), 0);
	memcpy(was, a, sizeof(a));
	assert_true(npt_out(p, a));
	assert_memory_equal(a, want, sizeof(a));
	assert_int_equal(sum(a), sum(was));
	assert_true(npt_in(p, a));
	assert_memory_equal(a, was, sizeof(a));
}

static void addresses_by_hand(void **state)
{
	/* fd01:0203:0405:0001 sums to 0x030b, 2001:0db8:0001:0000 to 0x2dba: out adds 0xd550 */
	struct npt p = of("fd01:203:405:1::", "2001:db8:1::"), q = of("2001:db8:1::", "fd01:203:405:1::");

	(void)state;
	check(&p, "fd01:203:405:1::1234", "2001:db8:1:0:d550::1234");
	check(&p, "fd01:203:405:1:2aaf::1", "2001:db8:1:0:0:0:0:1"); /* 0xffff is written as zero */
	check(&p, "fd01:203:405:1:ffff:ffff:1:2", "2001:db8:1:0:ffff:ffff:d551:2"); /* the first that can */
	check(&p, "fd01:203:405:1:ffff:ffff:ffff:2aae", "2001:db8:1:0:ffff:ffff:ffff:fffe");
	check(&q, "2001:db8:1:0:d550::1234", "fd01:203:405:1:0:0:0:1234");
}

static void all_are_one_for_one(void **state)
{
	struct npt p = of("fd10:3::", "2001:db8:3:77::");
	uint64_t r = 1;

	(void)state;
	for (unsigned n = 0; n < 200000; n++) {
		uint8_t a[16] = {0xfd, 0x10, 0, 3}, was[16];
		for (unsigned i = 8; i < 16; i++) {
			r = r * 6364136223846793005u + 1442695040888963407u; /* Knuth's MMIX */
			a[i] = r >> 60 < 6 ? 0xff : (uint8_t)(r >> 40);
		}
		memcpy(was, a, sizeof(a));
		if (!npt_out(&p, a)) { /* nothing but ones */
			assert_memory_equal(a, was, sizeof(a));
			assert_memory_equal(a + 8, "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
			continue;
		}
		assert_int_equal(sum(a), sum(was));
		assert_true(npt_in(&p, a));
		assert_memory_equal(a, was, sizeof(a));
	}
}

static void others_are_left_alone(void **state)
{
	struct npt p = of("fd10:3::", "2001:db8:3::");
	uint8_t a[16], was[16];

	(void)state;
	assert_int_equal(ip6_parse("fd10:4::1", a), 0);
	memcpy(was, a, sizeof(a));
	assert_false(npt_out(&p, a));
	assert_false(npt_in(&p, a));
	assert_memory_equal(a, was, sizeof(a));
	assert_int_equal(ip6_parse("fd10:3:0:0:ffff:ffff:ffff:ffff", a), 0);
	assert_false(npt_out(&p, a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_by_hand),
		cmocka_unit_test(all_are_one_for_one),
		cmocka_unit_test(others_are_left_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
