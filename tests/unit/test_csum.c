/* Checksums against the plain 16-bit loop of RFC 1071 4.1, on random data. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "net/csum.h"
#include "net/headers.h"

static uint8_t data[70000];

static void randomize(void *p, size_t n)
{
	uint8_t *b = p;
	for (size_t i = 0; i < n; i++)
		b[i] = (uint8_t)(rand() >> 7);
}

/* The sum over bytes as big-endian words, folded, host order. */
static uint16_t naive(uint32_t sum, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static void rfc1071_example(void **s)
{
	const uint8_t b[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
	assert_int_equal(be16toh(csum_fold(csum_add(0, b, sizeof(b)))), 0xddf2);
}

static void every_length_and_alignment(void **s)
{
	randomize(data, sizeof(data));
	for (size_t n = 0; n < 300; n++)
		for (size_t at = 0; at < 9; at++)
			assert_int_equal(be16toh(csum_fold(csum_add(0, data + at, n))),
					 naive(0, data + at, n));
	for (size_t n = 65000; n < 65010; n++)
		assert_int_equal(be16toh(csum_fold(csum_add(0, data + 1, n))),
				 naive(0, data + 1, n));
}

static void carries_are_kept(void **s)
{
	memset(data, 0xff, sizeof(data));
	for (size_t n = 1; n < 200; n++)
		assert_int_equal(be16toh(csum_fold(csum_add(0, data, n))), naive(0, data, n));
	/* Many pieces into one sum. */
	csum_t sum = 0;
	for (unsigned i = 0; i < 100000; i++)
		sum = csum_add(sum, data, 64);
	assert_int_equal(csum_fold(sum), 0xffff);
}

static void ip4_header_by_hand(void **s)
{
	const uint8_t h[20] = {0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11,
			       0xb8, 0x61, 0xc0, 0xa8, 0x00, 0x01, 0xc0, 0xa8, 0x00, 0xc7};
	assert_int_equal(be16toh(csum_ip4_header(h, 20)), 0xb861);
	uint8_t other[60];
	for (unsigned i = 0; i < 1000; i++) {
		size_t len = 20 + 4 * (size_t)(rand() % 11);
		randomize(other, sizeof(other));
		other[0] = 0x45;
		be16 c = csum_ip4_header(other, len);
		memcpy(other + 10, &c, 2);
		assert_int_equal(naive(0, other, len), 0xffff);
	}
}

static void pseudo_headers(void **s)
{
	uint8_t p[40];
	for (unsigned i = 0; i < 200; i++) {
		randomize(p, sizeof(p));
		be32 src, dst;
		memcpy(&src, p, 4);
		memcpy(&dst, p + 4, 4);
		const uint8_t ph[12] = {p[0], p[1], p[2], p[3], p[4], p[5],
					p[6], p[7], 0,	  17,	0x12, 0x34};
		assert_int_equal(be16toh(csum_fold(csum_pseudo4(src, dst, 17, 0x1234))),
				 naive(0, ph, 12));
		uint8_t ph6[40];
		memcpy(ph6, p, 32);
		memcpy(ph6 + 32, (uint8_t[]){0, 1, 0x12, 0x34, 0, 0, 0, 58}, 8);
		assert_int_equal(be16toh(csum_fold(csum_pseudo6(p, p + 16, 58, 0x11234))),
				 naive(0, ph6, 40));
	}
}

/* A frame in pieces of odd lengths sums like the same bytes in one. */
static void pieces_of_any_length(void **s)
{
	randomize(data, sizeof(data));
	for (unsigned i = 0; i < 3000; i++) {
		struct iovec v[5];
		struct pkt k = {.head = data, .head_len = (uint16_t)(rand() % 200), .tail = v};
		size_t at = k.head_len;
		k.n_tail = (uint16_t)(rand() % 6);
		for (unsigned j = 0; j < k.n_tail; j++) {
			v[j] = (struct iovec){data + at, (size_t)(rand() % 70)};
			at += v[j].iov_len;
		}
		k.len = (uint32_t)at;
		size_t off = (size_t)rand() % (at + 1), n = (size_t)rand() % (at - off + 1);
		assert_int_equal(be16toh(csum_fold(csum_pkt(&k, off, n))), naive(0, data + off, n));
	}
}

/* Both forms of zero are the same number. */
static void assert_same_sum(be16 a, be16 b)
{
	assert_int_equal(a == 0xffff ? 0 : a, b == 0xffff ? 0 : b);
}

static void incremental_equals_recomputed(void **s)
{
	for (unsigned i = 0; i < 20000; i++) {
		uint8_t b[64];
		randomize(b, sizeof(b));
		if (i % 7 == 0)
			memset(b, i % 2 ? 0xff : 0, 32); /* the corners of RFC 1624 3 */
		be16 f16, t16 = (be16)rand();
		be32 f32, t32 = (be32)rand() * 3u;
		memcpy(&f16, b + 6, 2);
		memcpy(&f32, b + 12, 4);
		csum_t d = csum_delta16(f16, t16) + csum_delta32(f32, t32);
		memcpy(b + 6, &t16, 2);
		memcpy(b + 12, &t32, 4);
		b[40] |= 1; /* the rest of a packet is never all zero */
		be16 csum = csum_finish(csum_add(0, b, sizeof(b)));
		be16 partial = csum_fold(csum_add(0, b, sizeof(b)));
		/* back to where it was, and there again */
		csum_t back = csum_delta16(t16, f16) + csum_delta32(t32, f32);
		memcpy(b + 6, &f16, 2);
		memcpy(b + 12, &f32, 4);
		be16 was = csum_finish(csum_add(0, b, sizeof(b)));
		assert_same_sum(csum_apply(csum, back), was);
		assert_same_sum(csum_apply(was, d), csum);
		assert_same_sum(csum_apply_partial(partial, back), (be16)~was);
		assert_same_sum(csum_apply_partial((be16)~was, d), partial);
		/* a receiver sums data and checksum to all ones: the exact check */
		be16 applied = csum_apply(csum, back);
		assert_int_equal(csum_fold(csum_add16(csum_add(0, b, sizeof(b)), applied)), 0xffff);
	}
}

/* RFC 1624 4: eq. 3 gives 0x0000 here where eq. 2 goes wrong with 0xffff. */
static void rfc1624_example(void **s)
{
	csum_t d = csum_delta16(htobe16(0x5555), htobe16(0x3285));
	assert_int_equal(csum_apply(htobe16(0xdd2f), d), 0x0000);
}

int main(void)
{
	srand(1);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rfc1071_example),
		cmocka_unit_test(every_length_and_alignment),
		cmocka_unit_test(carries_are_kept),
		cmocka_unit_test(ip4_header_by_hand),
		cmocka_unit_test(pseudo_headers),
		cmocka_unit_test(pieces_of_any_length),
		cmocka_unit_test(incremental_equals_recomputed),
		cmocka_unit_test(rfc1624_example),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
