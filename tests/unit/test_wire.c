/* The cursor: what it reads and writes, and that an error stays. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>
#include <string.h>

#include "net/wire.h"

static void reads_big_endian(void **s)
{
	const uint8_t b[] = {1,	 2,  3,	   4,	 5,    6,    7,	   8,	 9,  10, 11, 12, 13,
			     14, 15, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 10, 0,	 0,  1};
	struct wire w = wire_reader(b, sizeof(b));
	assert_int_equal(wire_get_u8(&w), 1);
	assert_int_equal(wire_get_u16(&w), 0x0203);
	assert_int_equal(wire_get_u32(&w), 0x04050607);
	assert_true(wire_get_u64(&w) == UINT64_C(0x08090a0b0c0d0e0f));
	struct mac m = wire_get_mac(&w);
	assert_memory_equal(m.b, b + 15, 6);
	assert_int_equal(wire_get_ip4(&w), htobe32(0x0a000001));
	assert_true(wire_ok(&w));
	assert_int_equal(wire_left(&w), 0);
}

static void error_is_sticky(void **s)
{
	const uint8_t b[] = {1, 2, 3};
	struct wire w = wire_reader(b, sizeof(b));
	assert_int_equal(wire_get_u32(&w), 0);
	assert_false(wire_ok(&w));
	assert_int_equal(wire_get_u8(&w), 0); /* would be there */
	assert_int_equal(wire_left(&w), 0);
	assert_null(wire_get_bytes(&w, 1));
	uint8_t dst[2] = {9, 9};
	wire_get(&w, dst, sizeof(dst));
	assert_int_equal(dst[0] | dst[1], 0);
}

static void skip_and_seek_stay_inside(void **s)
{
	const uint8_t b[4] = {1, 2, 3, 4};
	struct wire w = wire_reader(b, sizeof(b));
	wire_skip(&w, 3);
	assert_int_equal(wire_get_u8(&w), 4);
	wire_seek(&w, 1);
	assert_int_equal(wire_get_u8(&w), 2);
	wire_seek(&w, 4);
	assert_true(wire_ok(&w));
	wire_seek(&w, 5);
	assert_false(wire_ok(&w));
	w = wire_reader(b, sizeof(b));
	wire_skip(&w, 2);
	wire_skip(&w, SIZE_MAX); /* must not wrap */
	assert_false(wire_ok(&w));
}

static void sub_has_exactly_its_bytes(void **s)
{
	const uint8_t b[] = {1, 2, 3, 4, 5};
	struct wire w = wire_reader(b, sizeof(b));
	struct wire in = wire_sub(&w, 2);
	assert_int_equal(wire_get_u16(&in), 0x0102);
	assert_int_equal(wire_get_u8(&in), 0);
	assert_false(wire_ok(&in));
	assert_true(wire_ok(&w)); /* the error is the inner one's */
	assert_int_equal(wire_get_u8(&w), 3);
	in = wire_sub(&w, 3);
	assert_false(wire_ok(&in));
	assert_false(wire_ok(&w));
	assert_int_equal(wire_get_u8(&in), 0);
}

static void writes_and_stops_at_the_room(void **s)
{
	uint8_t room[26];
	memset(room, 0x55, sizeof(room));
	struct wire w = wire_writer(room, sizeof(room) - 1);
	wire_put_u8(&w, 1);
	wire_put_u16(&w, 0);
	wire_put_u32(&w, 0x04050607);
	wire_put_u64(&w, UINT64_C(0x08090a0b0c0d0e0f));
	wire_put_mac(&w, (struct mac){{1, 2, 3, 4, 5, 6}});
	wire_put_ip4(&w, htobe32(0x0a000001));
	wire_patch_u16(&w, 1, 0x0203);
	assert_true(wire_ok(&w));
	assert_int_equal(wire_pos(&w), 25);
	const uint8_t want[] = {1,  2,	3, 4, 5, 6, 7, 8, 9,  10, 11, 12, 13,
				14, 15, 1, 2, 3, 4, 5, 6, 10, 0,  0,  1,  0x55};
	assert_memory_equal(room, want, sizeof(want));
	wire_put_u8(&w, 1);
	assert_false(wire_ok(&w));
	assert_int_equal(room[25], 0x55);
}

static void patch_only_what_was_written(void **s)
{
	uint8_t room[8] = {0};
	struct wire w = wire_writer(room, sizeof(room));
	wire_put_zero(&w, 3);
	wire_patch_u16(&w, 1, 0xabcd);
	assert_true(wire_ok(&w));
	wire_patch_u16(&w, 2, 0xabcd);
	assert_false(wire_ok(&w));
	w = wire_writer(room, sizeof(room));
	wire_put_zero(&w, 3);
	wire_patch_u16(&w, SIZE_MAX, 1);
	assert_false(wire_ok(&w));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_big_endian),
		cmocka_unit_test(error_is_sticky),
		cmocka_unit_test(skip_and_seek_stay_inside),
		cmocka_unit_test(sub_has_exactly_its_bytes),
		cmocka_unit_test(writes_and_stops_at_the_room),
		cmocka_unit_test(patch_only_what_was_written),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
