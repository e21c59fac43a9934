/* Neighbours: questions, packets that wait, refusals, refreshing, limits; by the clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/nat_bench.h"

#define NEAR IP(203, 0, 113, 50) /* on-link at the uplink, not known yet */
#define NEAR_MAC 0x0200000000ddull

static int setup(void **state)
{
	*state = nb_new(NULL);
	return 0;
}

static int teardown(void **state)
{
	nb_free(*state);
	return 0;
}

static bool is_question(const struct dummy_frame *f, be32 ip, bool broadcast)
{
	be32 tpa;

	memcpy(&tpa, f->bytes + 38, 4);
	return nb_get16(f->bytes + 12) == 0x0806 && nb_get16(f->bytes + 20) == 1 && tpa == ip &&
	       (f->bytes[0] == 0xff) == broadcast;
}

static void packets_wait_for_the_answer(void **state)
{
	struct nb *x = *state;
	struct nb_pkt p = nb_out(17, G1, 5000, NEAR, 53), o;

	for (unsigned i = 0; i < 6; i++)
		nb_send(x, x->guest, &p);
	assert_int_equal(x->world->n_out, 1);
	assert_true(is_question(&x->world->out[0], NEAR, true));
	assert_int_equal(nb_drops(gateway_port(x->gw), DROP_GW_ARP_QUEUE), 2); /* NEIGH_QUEUE is 4 */
	nb_clear(x);
	nb_arp(x, x->world, NEAR_MAC, NEAR, OUTSIDE, 2);
	assert_int_equal(x->world->n_out, 4);
	assert_true(nb_read(&x->world->out[3], &o));
	assert_int_equal(o.dst_mac, NEAR_MAC);
	nb_clear(x);
	nb_send(x, x->guest, &p);
	assert_int_equal(x->world->n_out, 1);
}

static void silence_is_reported(void **state)
{
	struct nb *x = *state;
	struct nb_pkt p = nb_out(17, G1, 5000, NEAR, 53), e;
	struct port *gp = gateway_port(x->gw);

	nb_send(x, x->guest, &p);
	uint64_t sent = counter_read(&gp->c->tx_packets);
	nb_step(x, 1100);
	nb_step(x, 1100);
	assert_int_equal(x->world->n_out, 3); /* asked three times */
	assert_int_equal(x->guest->n_out, 0);
	nb_step(x, 1100);
	assert_int_equal(x->world->n_out, 3);
	assert_int_equal(nb_drops(gp, DROP_GW_UNREACHABLE), 1);
	assert_int_equal(counter_read(&gp->c->tx_packets), sent - 1); /* taken back from tx */
	assert_int_equal(x->guest->n_out, 1);
	assert_true(nb_read(&x->guest->out[0], &e));
	assert_int_equal(e.type, ICMP4_UNREACHABLE);
	assert_int_equal(e.dst, G1);
	nb_send(x, x->guest, &p); /* not asked again at once */
	assert_int_equal(nb_drops(gp, DROP_GW_UNREACHABLE), 2);
	nb_step(x, 4000);
	nb_send(x, x->guest, &p);
	assert_int_equal(x->world->n_out, 4);
}

static void known_address_is_probed_while_used(void **state)
{
	struct nb *x = *state;
	struct nb_pkt p = nb_out(17, G1, 5000, R1, 53);

	nb_send(x, x->guest, &p);
	assert_int_equal(x->world->n_out, 1);
	for (unsigned i = 0; i < 4; i++)
		nb_step(x, 9000);
	assert_int_equal(x->world->n_out, 1); /* unused: nothing is asked */
	nb_send(x, x->guest, &p);
	assert_int_equal(x->world->n_out, 3); /* the packet goes, and a question to the known MAC */
	assert_true(is_question(&x->world->out[1], NEXT_HOP, false) ||
		    is_question(&x->world->out[2], NEXT_HOP, false));
	nb_arp(x, x->world, WORLD_MAC, NEXT_HOP, OUTSIDE, 2);
	nb_clear(x);
	nb_step(x, 9000);
	nb_send(x, x->guest, &p);
	assert_int_equal(x->world->n_out, 1);
}

static void moved_next_hop_is_followed(void **state)
{
	struct nb *x = *state;
	struct nb_pkt p = nb_out(17, G1, 5000, R1, 53), o;

	nb_send(x, x->guest, &p);
	nb_arp(x, x->world, NEAR_MAC, NEXT_HOP, NEXT_HOP, 1); /* gratuitous */
	nb_clear(x);
	nb_send(x, x->guest, &p);
	assert_true(nb_read(&x->world->out[0], &o));
	assert_int_equal(o.dst_mac, NEAR_MAC);
}

static void lies_are_not_learned(void **state)
{
	struct nb *x = *state;
	struct nb_pkt p = nb_out(17, G1, 5000, R1, 53), o;
	uint32_t before = x->nat->neigh.used;

	nb_arp(x, x->guest, NEAR_MAC, IP(10, 99, 0, 1), GW_IP, 1); /* not of this subnet */
	nb_arp(x, x->guest, NEAR_MAC, GW_IP, GW_IP, 1);            /* our own address */
	nb_arp(x, x->guest, NEAR_MAC, 0, GW_IP, 1);                /* a probe: answered, not learned */
	nb_arp(x, x->guest, NEAR_MAC, IP(10, 10, 10, 77), G2, 1);  /* not for us */
	nb_arp(x, x->guest, NEAR_MAC, NEXT_HOP, NEXT_HOP, 1);      /* of the other side */
	assert_int_equal(x->nat->neigh.used, before);
	nb_clear(x);
	nb_send(x, x->guest, &p);
	assert_true(nb_read(&x->world->out[0], &o));
	assert_int_equal(o.dst_mac, WORLD_MAC);
}

static void a_scan_is_bounded(void **state)
{
	struct nb *x = *state;
	struct uplink_conf c = *uplink_get_conf(x->up);
	struct nb_pkt o;

	c.address.len = 8;
	assert_int_equal(uplink_set_conf(x->up, &c), 0);
	for (unsigned i = 0; i < 6000; i++) {
		struct nb_pkt p = nb_out(17, G1, 5000, htobe32(0xcb010000u + i), 53);
		nb_send(x, x->guest, &p);
		nb_clear(x);
		if (i % 60 == 0)
			nb_step(x, 4000);
	}
	assert_true(x->up->nif.count <= NEIGH_IF_MAX);
	assert_true(x->up->nif.waiting <= NEIGH_IF_QUEUE);
	for (unsigned i = 0; i < 4; i++)
		nb_step(x, 1100);
	assert_int_equal(x->up->nif.waiting, 0);
	nb_arp_all(x);
	struct nb_pkt p = nb_out(17, G2, 5000, R1, 53);
	nb_send(x, x->guest, &p);
	assert_true(nb_read(&x->world->out[0], &o)); /* others still get out */
	assert_int_equal(o.dst, R1);
}

static void gateway_goes_while_packets_wait(void **state)
{
	struct nb *x = *state;
	struct nb_pkt p = nb_out(17, G1, 5000, NEAR, 53);

	nb_send(x, x->guest, &p);
	assert_int_equal(x->up->nif.waiting, 1);
	gateway_free(x->gw);
	x->gw = NULL;
	assert_int_equal(x->up->nif.waiting, 0);
	nb_step(x, 5000);
}

static void uplink_announces_itself(void **state)
{
	struct nb *x = *state;

	uplink_link_up(x->up);
	nb_step(x, 10);
	assert_int_equal(x->world->n_out, 1);
	assert_true(is_question(&x->world->out[0], OUTSIDE, true));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(packets_wait_for_the_answer),
		T(silence_is_reported),
		T(known_address_is_probed_while_used),
		T(moved_next_hop_is_followed),
		T(lies_are_not_learned),
		T(a_scan_is_bounded),
		T(gateway_goes_while_packets_wait),
		T(uplink_announces_itself),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
