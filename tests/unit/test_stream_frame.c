/* The stream reassembler: frames whole, in pieces, back to back, and lengths that lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tap/stream_frame.h"

#define CAP STREAM_UNIT_MAX
static uint8_t buf[CAP];

static void feed(struct stream_frame *s, const void *bytes, uint32_t n)
{
	uint32_t room;
	uint8_t *at = stream_frame_room(s, &room);

	assert_true(room >= n);
	memcpy(at, bytes, n);
	stream_frame_added(s, n);
}

static void test_whole_and_pieces(void **state)
{
	static const uint8_t two[] = {0, 0, 0, 3, 'a', 'b', 'c', 0, 0, 0, 1, 'd'};
	struct stream_frame s;
	const uint8_t *f = NULL;
	uint32_t len;

	stream_frame_init(&s, buf, CAP);
	feed(&s, two, sizeof(two));
	assert_int_equal(stream_frame_next(&s, &f, &len), STREAM_FRAME);
	assert_int_equal(len, 3);
	assert_memory_equal(f, "abc", 3);
	assert_int_equal(stream_frame_next(&s, &f, &len), STREAM_FRAME);
	assert_int_equal(len, 1);
	assert_int_equal(*f, 'd');
	assert_int_equal(stream_frame_next(&s, &f, &len), STREAM_MORE);
	for (size_t i = 0; i < 7; i++) { /* the first frame again, byte by byte */
		assert_int_equal(stream_frame_next(&s, &f, &len), STREAM_MORE);
		feed(&s, &two[i], 1);
	}
	assert_int_equal(stream_frame_next(&s, &f, &len), STREAM_FRAME);
	assert_int_equal(len, 3);
}

static enum stream_next announce(uint32_t v)
{
	struct stream_frame s;
	const uint8_t *f;
	be32 be = htobe32(v);
	uint32_t len;

	stream_frame_init(&s, buf, CAP);
	feed(&s, &be, sizeof(be));
	enum stream_next r = stream_frame_next(&s, &f, &len);
	if (r == STREAM_BAD) {
		assert_int_equal(s.bad_len, v);
		feed(&s, "\0\0\0\1x", 5); /* bad for good */
		assert_int_equal(stream_frame_next(&s, &f, &len), STREAM_BAD);
	}
	return r;
}

static void test_impossible_lengths(void **state)
{
	assert_int_equal(announce(0), STREAM_BAD);
	assert_int_equal(announce(1), STREAM_MORE);
	assert_int_equal(announce(ETH_FRAME_MAX), STREAM_MORE);
	assert_int_equal(announce(ETH_FRAME_MAX + 1), STREAM_BAD);
	assert_int_equal(announce(UINT32_MAX), STREAM_BAD);
}

static void test_largest_fits(void **state)
{
	be32 be = htobe32(ETH_FRAME_MAX);
	static uint8_t big[ETH_FRAME_MAX];
	struct stream_frame s;
	const uint8_t *f;
	uint32_t len, room;

	stream_frame_init(&s, buf, CAP);
	feed(&s, &be, sizeof(be));
	feed(&s, big, sizeof(big) - 1);
	assert_int_equal(stream_frame_next(&s, &f, &len), STREAM_MORE);
	stream_frame_room(&s, &room);
	assert_int_equal(room, 1);
	feed(&s, big, 1);
	assert_int_equal(stream_frame_next(&s, &f, &len), STREAM_FRAME);
	assert_int_equal(len, ETH_FRAME_MAX);
}

int main(void)
{
	const struct CMUnitTest t[] = {
		cmocka_unit_test(test_whole_and_pieces),
		cmocka_unit_test(test_impossible_lengths),
		cmocka_unit_test(test_largest_fits),
	};
	return cmocka_run_group_tests(t, NULL, NULL);
}
