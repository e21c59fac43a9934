/* Table, LRU list and pool against what a plain array says. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "net/table.h"

struct item {
	struct tab_node node;
	struct lru_node lru;
	uint64_t key;
	bool in;
};

#define N 3000
static struct item items[N];

static struct item *find(const struct table *t, uint64_t key)
{
	uint32_t h = table_hash2(t, key, 1);
	for (struct tab_node *n = table_chain(t, h); n; n = n->next) {
		struct item *i = container_of(n, struct item, node);
		if (n->hash == h && i->key == key)
			return i;
	}
	return NULL;
}

static void table_finds_what_is_in(void **s)
{
	struct table t;
	assert_int_equal(table_init(&t, 1000), 0);
	assert_int_equal(t.mask, 1023);
	uint32_t in = 0;
	for (unsigned i = 0; i < N; i++)
		items[i] = (struct item){.key = i * UINT64_C(0x10000)};
	for (unsigned step = 0; step < 50000; step++) {
		struct item *i = &items[rand() % N];
		assert_ptr_equal(find(&t, i->key), i->in ? i : NULL);
		if (i->in)
			table_del(&t, &i->node);
		else
			table_add(&t, &i->node, table_hash2(&t, i->key, 1));
		i->in = !i->in;
		in += i->in ? 1u : -1u;
		assert_int_equal(t.count, in);
	}
	table_fini(&t);
	table_fini(&t); /* fine twice */
}

static void deleting_a_stranger_changes_nothing(void **s)
{
	struct table t;
	struct item a = {.key = 1}, b = {.key = 2};
	assert_int_equal(table_init(&t, 1), 0);
	table_add(&t, &a.node, 5);
	b.node.hash = 5;
	table_del(&t, &b.node);
	assert_int_equal(t.count, 1);
	assert_ptr_equal(table_chain(&t, 5), &a.node);
	table_fini(&t);
}

static void secrets_differ(void **s)
{
	struct table a, b;
	assert_int_equal(table_init(&a, 16) | table_init(&b, 16), 0);
	assert_true(a.secret != b.secret);
	assert_true(table_hash2(&a, 1, 2) != table_hash2(&b, 1, 2) ||
		    table_hash2(&a, 3, 4) != table_hash2(&b, 3, 4));
	assert_true(table_hash2(&a, 1, 2) != table_hash2(&a, 2, 1));
	table_fini(&a);
	table_fini(&b);
}

/* The worst bucket of keys in a row, as guests have them, stays short. */
static void hash_spreads(void **s)
{
	struct table t;
	static uint8_t load[4096];
	assert_int_equal(table_init(&t, 4096), 0);
	memset(load, 0, sizeof(load));
	unsigned worst = 0;
	for (uint64_t i = 0; i < 4096; i++) {
		unsigned n = ++load[table_hash2(&t, 0x0a0a0a00u + i, i << 16) & t.mask];
		worst = n > worst ? n : worst;
	}
	assert_in_range(worst, 2, 12);
	table_fini(&t);
}

static void lru_orders_by_use(void **s)
{
	struct lru l;
	struct lru_node n[4] = {0};
	lru_init(&l);
	assert_null(lru_oldest(&l));
	lru_del(&n[0]); /* in no list: nothing happens */
	for (unsigned i = 0; i < 4; i++)
		lru_add(&l, &n[i]);
	assert_ptr_equal(lru_oldest(&l), &n[0]);
	lru_touch(&l, &n[0]);
	lru_touch(&l, &n[0]);
	assert_ptr_equal(lru_oldest(&l), &n[1]);
	lru_del(&n[1]);
	lru_del(&n[1]);
	assert_ptr_equal(lru_oldest(&l), &n[2]);
	lru_del(&n[2]);
	lru_del(&n[1]); /* its old neighbours are not touched */
	assert_ptr_equal(lru_oldest(&l), &n[3]);
	lru_del(&n[0]);
	assert_ptr_equal(lru_oldest(&l), &n[3]);
	lru_del(&n[3]);
	assert_null(lru_oldest(&l));
}

static void pool_is_bounded_and_zeroed(void **s)
{
	struct pool p;
	void *o[100];
	assert_int_equal(pool_init(&p, 24, 100), 0);
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 100; i++) {
			o[i] = pool_get(&p);
			assert_non_null(o[i]);
			for (unsigned b = 0; b < 24; b++)
				assert_int_equal(((uint8_t *)o[i])[b], 0);
			memset(o[i], 0xff, 24);
			for (unsigned j = 0; j < i; j++)
				assert_ptr_not_equal(o[i], o[j]);
		}
		assert_null(pool_get(&p));
		assert_int_equal(p.used, 100);
		for (unsigned i = 0; i < 100; i++)
			pool_put(&p, o[(i * 37) % 100]);
		assert_int_equal(p.used, 0);
	}
	pool_fini(&p);
	pool_fini(&p);
}

int main(void)
{
	srand(1);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table_finds_what_is_in),
		cmocka_unit_test(deleting_a_stranger_changes_nothing),
		cmocka_unit_test(secrets_differ),
		cmocka_unit_test(hash_spreads),
		cmocka_unit_test(lru_orders_by_use),
		cmocka_unit_test(pool_is_bounded_and_zeroed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
