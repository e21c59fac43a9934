/* The choice of outside ports: range, parity, randomness, the hold after release, blocks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "nat/ports.h"
#include "net/headers.h"
#include "net/table.h"

#define UDP IPPROTO4_UDP
#define TCP IPPROTO4_TCP
#define ANNA 7u
#define BERT 8u
#define T0 (1000 * NSEC_PER_SEC)

static uint64_t seed;

static struct ports_want want(uint32_t owner, enum ports_parity parity, nsec_t now)
{
	return (struct ports_want){UDP, parity, owner, (uint32_t)hash_mix(++seed), now};
}

static int pick(struct ports *p, uint32_t owner, nsec_t now)
{
	struct ports_want w = want(owner, PORTS_ANY, now);

	return ports_pick(p, &w);
}

static int setup(void **state)
{
	struct ports *p = calloc(1, sizeof(*p));

	seed = 0;
	ports_init(p);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

static void every_port_once_and_no_more(void **state)
{
	struct ports *p = *state;
	static bool seen[65536];

	ports_set_range(p, 40003, 40333);
	for (unsigned i = 40003; i <= 40333; i++) {
		int port = pick(p, ANNA, T0);
		assert_in_range(port, 40003, 40333);
		assert_false(seen[port]);
		seen[port] = true;
	}
	assert_int_equal(pick(p, ANNA, T0), -1);
	/* the other protocol has ports of its own */
	struct ports_want w = want(ANNA, PORTS_ANY, T0);
	w.proto = TCP;
	assert_true(ports_pick(p, &w) > 0);
}

static void parity_while_there_is_any(void **state)
{
	struct ports *p = *state;

	ports_set_range(p, 2000, 2099);
	for (unsigned i = 0; i < 50; i++) {
		struct ports_want w = want(ANNA, PORTS_ODD, T0);
		assert_int_equal(ports_pick(p, &w) & 1, 1);
	}
	struct ports_want w = want(ANNA, PORTS_ODD, T0);
	int port = ports_pick(p, &w);
	assert_true(port > 0 && !(port & 1));
}

/* RFC 6056: 10,000 choices over 64 cells; chi-square with 63 degrees of freedom stays below 117
 * in all but one of 100,000 series, and the series is fixed by the seed. */
static void choices_are_spread(void **state)
{
	struct ports *p = *state;
	unsigned cell[64] = {0};
	double chi = 0, expect = 10000.0 / 64;

	ports_set_range(p, 1024, 1024 + 64 * 1000 - 1);
	for (unsigned i = 0; i < 10000; i++) {
		int port = pick(p, ANNA, T0);
		cell[(port - 1024) / 1000]++;
		ports_release(p, UDP, (uint16_t)port, 0, T0);
	}
	for (unsigned i = 0; i < 64; i++)
		chi += (cell[i] - expect) * (cell[i] - expect) / expect;
	assert_true(chi < 117);
}

static void a_held_port_waits_for_its_owner(void **state)
{
	struct ports *p = *state;

	ports_set_range(p, 5000, 5003);
	int a = pick(p, ANNA, T0);
	ports_release(p, UDP, (uint16_t)a, ANNA, T0);
	assert_false(ports_taken(p, UDP, (uint16_t)a));
	assert_true(ports_reserved(p, UDP, (uint16_t)a, BERT, T0));
	assert_false(ports_reserved(p, UDP, (uint16_t)a, ANNA, T0));
	for (unsigned i = 0; i < 3; i++)
		assert_int_not_equal(pick(p, BERT, T0 + 119 * NSEC_PER_SEC), a);
	assert_int_equal(pick(p, ANNA, T0 + 119 * NSEC_PER_SEC), a); /* the same guest may */
	assert_int_equal(p->gave_way, 0);
}

static void a_held_port_is_free_after_two_minutes(void **state)
{
	struct ports *p = *state;

	ports_set_range(p, 5000, 5000);
	assert_int_equal(pick(p, ANNA, T0), 5000);
	ports_release(p, UDP, 5000, ANNA, T0);
	assert_true(ports_reserved(p, UDP, 5000, BERT, T0 + PORTS_HOLD));
	assert_int_equal(pick(p, BERT, T0 + PORTS_HOLD + NSEC_PER_SEC), 5000);
	assert_int_equal(p->gave_way, 0);
}

static void the_longest_held_gives_way(void **state)
{
	struct ports *p = *state;

	ports_set_range(p, 5000, 5002);
	for (unsigned i = 5000; i <= 5002; i++)
		assert_true(ports_take(p, UDP, (uint16_t)i));
	ports_release(p, UDP, 5001, ANNA, T0);
	ports_release(p, UDP, 5000, ANNA, T0 + NSEC_PER_SEC);
	ports_release(p, UDP, 5002, ANNA, T0 + 2 * NSEC_PER_SEC);
	assert_int_equal(pick(p, BERT, T0 + 3 * NSEC_PER_SEC), 5001);
	assert_int_equal(p->gave_way, 1);
	ports_take(p, UDP, 5000); /* out of the middle of the queue */
	assert_int_equal(pick(p, BERT, T0 + 3 * NSEC_PER_SEC), 5002);
	assert_int_equal(pick(p, BERT, T0 + 3 * NSEC_PER_SEC), -1);
}

static void blocks_belong_to_one(void **state)
{
	struct ports *p = *state;
	struct port_block a, b, c;

	ports_set_range(p, 6010, 6200);
	assert_true(ports_block_take(p, 64, 12345, T0, &a));
	assert_true(ports_block_take(p, 64, 12345, T0, &b));
	assert_int_not_equal(a.first, b.first);
	assert_int_equal(a.first % 64, 0);
	assert_true(a.first >= 6010 && a.first + 63 <= 6200);
	assert_false(ports_block_take(p, 64, 1, T0, &c)); /* 6144.. would leave the range */
	for (unsigned i = 0; i < 64; i++) {
		struct ports_want w = want(ANNA, PORTS_EVEN, T0);
		assert_in_range(ports_pick_in(p, &w, a), a.first, a.first + 63u);
	}
	struct ports_want w = want(ANNA, PORTS_ANY, T0);
	assert_int_equal(ports_pick_in(p, &w, a), -1);
	for (unsigned i = 0; i < 191 - 128; i++) { /* those without blocks have the rest */
		int port = pick(p, BERT, T0);
		assert_true(port > 0);
		assert_false(port >= a.first && port < a.first + 64);
		assert_false(port >= b.first && port < b.first + 64);
	}
	assert_int_equal(pick(p, BERT, T0), -1);
	ports_block_release(p, b);
	assert_true(pick(p, BERT, T0) > 0);
}

static void a_block_with_held_ports_is_the_last_choice(void **state)
{
	struct ports *p = *state;
	struct port_block b;

	ports_set_range(p, 6400, 6400 + 127);
	ports_take(p, TCP, 6410);
	ports_release(p, TCP, 6410, ANNA, T0);
	assert_true(ports_block_take(p, 64, 0, T0, &b));
	assert_int_equal(b.first, 6464);
	assert_int_equal(p->gave_way, 0);
	assert_true(ports_block_take(p, 64, 0, T0, &b));
	assert_int_equal(b.first, 6400);
	assert_int_equal(p->gave_way, 1);
}

static void sixty_thousand_of_one_guest(void **state)
{
	struct ports *p = *state;

	for (unsigned i = 0; i < 60000; i++) {
		struct ports_want w = want(ANNA, i & 1 ? PORTS_ODD : PORTS_EVEN, T0);
		int port = ports_pick(p, &w);
		assert_true(port >= 1024);
		assert_int_equal(port & 1, i & 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_port_once_and_no_more, setup, teardown),
		cmocka_unit_test_setup_teardown(parity_while_there_is_any, setup, teardown),
		cmocka_unit_test_setup_teardown(choices_are_spread, setup, teardown),
		cmocka_unit_test_setup_teardown(a_held_port_waits_for_its_owner, setup, teardown),
		cmocka_unit_test_setup_teardown(a_held_port_is_free_after_two_minutes, setup, teardown),
		cmocka_unit_test_setup_teardown(the_longest_held_gives_way, setup, teardown),
		cmocka_unit_test_setup_teardown(blocks_belong_to_one, setup, teardown),
		cmocka_unit_test_setup_teardown(a_block_with_held_ports_is_the_last_choice, setup, teardown),
		cmocka_unit_test_setup_teardown(sixty_thousand_of_one_guest, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
