/* The forwarding database: learning, moving, limits, ageing, generations, eviction. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net/headers.h"
#include "switch/fdb.h"

#define MACS 1000u

struct fixture {
	struct fdb f;
	void *mem;
};

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	x->mem = aligned_alloc(64, fdb_bytes(MACS));
	memset(x->mem, 0, fdb_bytes(MACS));
	assert_int_equal(fdb_init(&x->f, x->mem, MACS, 64, 64, 0x1234), 0);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	fdb_fini(&x->f);
	free(x->mem);
	free(x);
	return 0;
}

static struct mac mac(uint64_t v)
{
	return mac_from_u64(UINT64_C(0x520000000000) + v);
}

static void learn_and_move(void **state)
{
	struct fdb *f = &((struct fixture *)*state)->f;

	assert_int_equal(fdb_lookup(f, 1, mac(1)), PORT_NONE);
	assert_int_equal(fdb_learn(f, 1, mac(1), 3, 0, 10), FDB_NEW);
	assert_int_equal(fdb_learn(f, 1, mac(1), 3, 0, 11), FDB_SAME);
	assert_int_equal(fdb_lookup(f, 1, mac(1)), 3);
	assert_int_equal(fdb_lookup(f, 2, mac(1)), PORT_NONE); /* another domain */
	assert_int_equal(fdb_learn(f, 1, mac(1), 4, 0, 12), FDB_MOVED);
	assert_int_equal(fdb_lookup(f, 1, mac(1)), 4);
	assert_int_equal(f->port_count[3], 0);
	assert_int_equal(f->port_count[4], 1);
	assert_int_equal(f->moves, 1);
}

static void groups_are_never_learned(void **state)
{
	struct fdb *f = &((struct fixture *)*state)->f;

	fdb_learn(f, 1, MAC_BROADCAST, 3, 0, 1);
	fdb_learn(f, 1, (struct mac){{0}}, 3, 0, 1);
	assert_int_equal(f->count, 0);
}

static void statics_stay(void **state)
{
	struct fdb *f = &((struct fixture *)*state)->f;

	assert_int_equal(fdb_add_static(f, 1, mac(7), 5), 0);
	assert_int_equal(fdb_learn(f, 1, mac(7), 6, 0, 1), FDB_STATIC);
	assert_int_equal(fdb_learn(f, 1, mac(7), 5, 0, 1), FDB_SAME);
	while (!fdb_age(f, 1000000, 300, 1000))
		;
	assert_int_equal(fdb_lookup(f, 1, mac(7)), 5);
	fdb_flush_learned(f);
	assert_int_equal(fdb_lookup(f, 1, mac(7)), 5);
	assert_int_equal(fdb_del(f, 1, mac(7)), 0);
	assert_int_equal(fdb_lookup(f, 1, mac(7)), PORT_NONE);
	assert_true(fdb_del(f, 1, mac(7)) < 0);
}

static void a_port_has_a_limit(void **state)
{
	struct fdb *f = &((struct fixture *)*state)->f;

	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(fdb_learn(f, 1, mac(i), 2, 5, 1), FDB_NEW);
	assert_int_equal(fdb_learn(f, 1, mac(9), 2, 5, 1), FDB_LIMIT);
	assert_int_equal(fdb_learn(f, 1, mac(0), 2, 5, 1), FDB_SAME);
	assert_int_equal(fdb_learn(f, 1, mac(9), 3, 0, 1), FDB_NEW);
	assert_int_equal(fdb_learn(f, 1, mac(9), 2, 5, 1), FDB_LIMIT); /* a move counts too */
	assert_int_equal(fdb_lookup(f, 1, mac(9)), 3);
}

static void ageing(void **state)
{
	struct fdb *f = &((struct fixture *)*state)->f;

	fdb_learn(f, 1, mac(1), 2, 0, 100);
	fdb_learn(f, 1, mac(2), 2, 0, 100);
	fdb_learn(f, 1, mac(2), 2, 0, 300); /* seen again */
	while (!fdb_age(f, 399, 300, 3))
		;
	assert_int_equal(fdb_lookup(f, 1, mac(1)), 2);
	while (!fdb_age(f, 400, 300, 3))
		;
	assert_int_equal(fdb_lookup(f, 1, mac(1)), PORT_NONE);
	assert_int_equal(fdb_lookup(f, 1, mac(2)), 2);
	assert_int_equal(f->count, 1);
	assert_int_equal(f->port_count[2], 1);
}

static void flush_by_generation(void **state)
{
	struct fdb *f = &((struct fixture *)*state)->f;

	for (unsigned i = 0; i < 100; i++)
		fdb_learn(f, (domain_idx)(i % 2), mac(i), (port_idx)(i % 4), 0, 1);
	fdb_flush_port(f, 1);
	assert_int_equal(f->count, 75);
	assert_int_equal(fdb_lookup(f, 1, mac(1)), PORT_NONE);
	assert_int_equal(fdb_lookup(f, 0, mac(2)), 2);
	fdb_flush_domain(f, 0);
	assert_int_equal(f->count, 25);
	assert_int_equal(fdb_lookup(f, 0, mac(2)), PORT_NONE);
	assert_int_equal(fdb_lookup(f, 1, mac(3)), 3);
	assert_int_equal(fdb_learn(f, 1, mac(1), 1, 0, 2), FDB_NEW);
}

/* An entry of generation 0 must not come back when its port's number wraps. */
static void generations_wrap(void **state)
{
	struct fdb *f = &((struct fixture *)*state)->f;

	fdb_learn(f, 1, mac(1), 2, 0, 1);
	for (unsigned i = 0; i < 65536; i++)
		fdb_flush_port(f, 2);
	assert_int_equal(f->port_gen[2], 0);
	assert_int_equal(fdb_lookup(f, 1, mac(1)), PORT_NONE);
	assert_int_equal(f->count, 0);
}

/* A guest that floods addresses pushes out its own, not its neighbour's. */
static void eviction_takes_from_the_heaviest(void **state)
{
	struct fdb *f = &((struct fixture *)*state)->f;
	unsigned kept = 0;

	for (unsigned i = 0; i < 50; i++)
		fdb_learn(f, 1, mac(i), 1, 0, 1);
	for (unsigned i = 0; i < 20000; i++)
		assert_int_equal(fdb_learn(f, 1, mac(100000 + i), 2, 0, 2), FDB_NEW);
	for (unsigned i = 0; i < 50; i++)
		kept += fdb_lookup(f, 1, mac(i)) == 1;
	assert_int_equal(kept, 50);
	assert_true(f->count <= MACS);
	assert_int_equal(f->port_count[1] + f->port_count[2], f->count);
	assert_true(f->evictions >= 19000);
}

struct sum {
	unsigned n, statics;
};

static void add(void *arg, domain_idx d, struct mac m, port_idx p, uint32_t seen, bool is_static)
{
	struct sum *s = arg;
	s->n++;
	s->statics += is_static;
}

/* Random operations beside a plain array that cannot be wrong. */
static void model(void **state)
{
	struct fdb *f = &((struct fixture *)*state)->f;
	port_idx truth[400];
	struct sum s = {0};
	unsigned live = 0;

	srand(7);
	for (unsigned i = 0; i < 400; i++)
		truth[i] = PORT_NONE;
	for (unsigned step = 0; step < 50000; step++) {
		unsigned m = (unsigned)rand() % 400, p = (unsigned)rand() % 8;
		switch (rand() % 20) {
		case 0:
			assert_int_equal(fdb_del(f, 1, mac(m)) == 0, truth[m] != PORT_NONE);
			truth[m] = PORT_NONE;
			break;
		case 1:
			if (rand() % 50)
				break;
			fdb_flush_port(f, (port_idx)p);
			for (unsigned i = 0; i < 400; i++)
				truth[i] = truth[i] == p ? PORT_NONE : truth[i];
			break;
		default:
			fdb_learn(f, 1, mac(m), (port_idx)p, 0, step);
			truth[m] = (port_idx)p;
		}
		assert_int_equal(fdb_lookup(f, 1, mac(m)), truth[m]);
	}
	for (unsigned i = 0; i < 400; i++) {
		assert_int_equal(fdb_lookup(f, 1, mac(i)), truth[i]);
		live += truth[i] != PORT_NONE;
	}
	fdb_each(f, add, &s);
	assert_int_equal(s.n, live);
	assert_int_equal(f->count, live);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(learn_and_move), T(groups_are_never_learned), T(statics_stay), T(a_port_has_a_limit),
		T(ageing), T(flush_by_generation), T(generations_wrap),
		T(eviction_takes_from_the_heaviest), T(model),
	};

	return cmocka_run_group_tests_name("fdb", tests, NULL, NULL);
}
