/* The routing table against what a walk over a plain list says. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "nat/route.h"

struct entry {
	uint8_t key[ROUTE_KEY_BYTES];
	unsigned bits;
	bool in;
};

#define N 600
static struct entry entries[N];

static bool matches(const struct entry *e, const uint8_t *key)
{
	for (unsigned i = 0; i < e->bits; i++) {
		if ((e->key[i / 8] ^ key[i / 8]) & 0x80 >> i % 8)
			return false;
	}
	return true;
}

static const struct entry *linear(const uint8_t *key)
{
	const struct entry *best = NULL;

	for (unsigned i = 0; i < N; i++) {
		if (entries[i].in && matches(&entries[i], key) && (!best || entries[i].bits > best->bits))
			best = &entries[i];
	}
	return best;
}

/* Keys close to one another, so that prefixes nest and part at every depth. */
static void random_key(uint8_t key[ROUTE_KEY_BYTES])
{
	memset(key, 0, ROUTE_KEY_BYTES);
	if (rand() % 2) { /* IPv4 */
		key[10] = key[11] = 0xff;
		key[12] = 10;
		key[13] = (uint8_t)(rand() % 4);
		key[14] = (uint8_t)rand();
		key[15] = (uint8_t)rand();
		return;
	}
	key[0] = 0xfd;
	for (unsigned i = 1; i < ROUTE_KEY_BYTES; i++)
		key[i] = (uint8_t)(rand() % 3 ? 0 : rand());
}

static void near(uint8_t key[ROUTE_KEY_BYTES])
{
	if (rand() % 4) {
		memcpy(key, entries[rand() % N].key, ROUTE_KEY_BYTES);
		key[rand() % 16] ^= (uint8_t)(1 << rand() % 8);
	} else {
		random_key(key);
	}
}

static bool is_twin(const struct entry *e)
{
	for (unsigned i = 0; i < N; i++) {
		const struct entry *o = &entries[i];
		if (o != e && o->in && o->bits == e->bits && matches(o, e->key))
			return true;
	}
	return false;
}

static void agrees_with_a_list(void **s)
{
	struct route_table *t = route_table_new(N);
	uint32_t in = 0;

	(void)s;
	srand(4);
	for (unsigned i = 0; i < N; i++) {
		random_key(entries[i].key);
		entries[i].bits = (unsigned)rand() % (ROUTE_KEY_BITS + 1);
		if (entries[i].key[0] == 0)
			entries[i].bits = ROUTE_BITS4 + (unsigned)rand() % 33;
	}
	for (unsigned step = 0; step < 30000; step++) {
		struct entry *e = &entries[rand() % N];
		uint8_t key[ROUTE_KEY_BYTES];
		if (e->in) {
			assert_ptr_equal(route_find(t, e->key, e->bits), e);
			assert_int_equal(route_add(t, e->key, e->bits, e), -EEXIST);
			assert_int_equal(route_del(t, e->key, e->bits), 0);
			e->in = false;
			in--;
		} else if (is_twin(e)) {
			assert_int_equal(route_add(t, e->key, e->bits, e), -EEXIST);
		} else {
			assert_null(route_find(t, e->key, e->bits));
			assert_int_equal(route_del(t, e->key, e->bits), -ENOENT);
			assert_int_equal(route_add(t, e->key, e->bits, e), 0);
			e->in = true;
			in++;
		}
		assert_int_equal(route_count(t), in);
		near(key);
		assert_ptr_equal(route_lookup(t, key), linear(key));
	}
	for (unsigned i = 0; i < N; i++) {
		if (entries[i].in)
			assert_int_equal(route_del(t, entries[i].key, entries[i].bits), 0);
		entries[i].in = false;
	}
	assert_null(route_lookup(t, entries[0].key));
	route_table_free(t);
}

static const uint8_t *v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
	static uint8_t k[4][ROUTE_KEY_BYTES];
	static unsigned turn;
	uint8_t *p = k[turn++ % 4];

	memset(p, 0, ROUTE_KEY_BYTES);
	p[10] = p[11] = 0xff;
	p[12] = a, p[13] = b, p[14] = c, p[15] = d;
	return p;
}

static void the_longest_wins(void **s)
{
	struct route_table *t = route_table_new(4);
	char all, ten, lab, host;

	(void)s;
	assert_int_equal(route_add(t, v4(10, 1, 2, 99), ROUTE_BITS4 + 24, &lab), 0); /* host bits are nobody's */
	assert_int_equal(route_add(t, v4(0, 0, 0, 0), ROUTE_BITS4, &all), 0);
	assert_int_equal(route_add(t, v4(10, 1, 2, 3), ROUTE_BITS4 + 32, &host), 0);
	assert_int_equal(route_add(t, v4(10, 0, 0, 0), ROUTE_BITS4 + 8, &ten), 0);
	assert_ptr_equal(route_lookup(t, v4(10, 1, 2, 3)), &host);
	assert_ptr_equal(route_lookup(t, v4(10, 1, 2, 4)), &lab);
	assert_ptr_equal(route_lookup(t, v4(10, 1, 3, 3)), &ten);
	assert_ptr_equal(route_lookup(t, v4(192, 0, 2, 1)), &all);
	assert_int_equal(route_del(t, v4(10, 1, 2, 0), ROUTE_BITS4 + 24), 0);
	assert_ptr_equal(route_lookup(t, v4(10, 1, 2, 4)), &ten);
	assert_ptr_equal(route_lookup(t, v4(10, 1, 2, 3)), &host);
	route_table_free(t);
}

/* IPv4's default route does not lead IPv6 anywhere. */
static void families_stay_apart(void **s)
{
	static const uint8_t v6[ROUTE_KEY_BYTES] = {0x20, 0x01, 0x0d, 0xb8}, low[ROUTE_KEY_BYTES] = {[15] = 1};
	struct route_table *t = route_table_new(2);
	char four, six;

	(void)s;
	assert_int_equal(route_add(t, v4(0, 0, 0, 0), ROUTE_BITS4, &four), 0);
	assert_null(route_lookup(t, v6));
	assert_null(route_lookup(t, low));
	assert_int_equal(route_add(t, v6, 0, &six), 0);
	assert_ptr_equal(route_lookup(t, low), &six);
	assert_ptr_equal(route_lookup(t, v4(1, 2, 3, 4)), &four);
	route_table_free(t);
}

static void is_bounded_and_reuses(void **s)
{
	struct route_table *t = route_table_new(256);
	char x;

	(void)s;
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 256; i++)
			assert_int_equal(route_add(t, v4(10, 0, 0, (uint8_t)i), ROUTE_KEY_BITS, &x), 0);
		assert_int_equal(route_add(t, v4(10, 0, 1, 0), ROUTE_KEY_BITS, &x), -ENOSPC);
		assert_int_equal(route_add(t, v4(10, 0, 0, 7), ROUTE_KEY_BITS, &x), -EEXIST);
		for (unsigned i = 0; i < 256; i++)
			assert_int_equal(route_del(t, v4(10, 0, 0, (uint8_t)(i * 7)), ROUTE_KEY_BITS), 0);
	}
	assert_int_equal(route_add(t, v4(1, 1, 1, 1), ROUTE_KEY_BITS + 1, &x), -EINVAL);
	assert_int_equal(route_add(t, v4(1, 1, 1, 1), ROUTE_KEY_BITS, NULL), -EINVAL);
	route_table_free(t);
	route_table_free(NULL);
}

struct seen {
	unsigned n, bits[4];
	void *user[4];
};

static void see(void *arg, const uint8_t key[ROUTE_KEY_BYTES], unsigned bits, void *user)
{
	struct seen *seen = arg;

	(void)key;
	assert_true(seen->n < 4);
	seen->bits[seen->n] = bits;
	seen->user[seen->n++] = user;
}

static void lists_in_order(void **s)
{
	struct route_table *t = route_table_new(4);
	struct seen seen = {0};
	char a, b, c;

	(void)s;
	route_add(t, v4(10, 0, 2, 0), ROUTE_BITS4 + 24, &c);
	route_add(t, v4(10, 0, 1, 0), ROUTE_BITS4 + 24, &b);
	route_add(t, v4(10, 0, 0, 0), ROUTE_BITS4 + 8, &a);
	route_each(t, see, &seen);
	assert_int_equal(seen.n, 3);
	assert_ptr_equal(seen.user[0], &a);
	assert_ptr_equal(seen.user[1], &b);
	assert_ptr_equal(seen.user[2], &c);
	assert_int_equal(seen.bits[0], ROUTE_BITS4 + 8);
	route_table_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_longest_wins),
		cmocka_unit_test(families_stay_apart),
		cmocka_unit_test(is_bounded_and_reuses),
		cmocka_unit_test(lists_in_order),
		cmocka_unit_test(agrees_with_a_list),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
