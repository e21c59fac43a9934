/* Forwards: in from anyone, conflicts with their owner's name, live adding and removing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/nat_bench.h"

static struct nat_forward web; /* tcp 2222 of the uplink to port 22 of the first guest */

static int setup(void **state)
{
	web = (struct nat_forward){.proto = 6, .listen_port = 2222, .to = G1, .to_port = 22};
	*state = nb_new(NULL);
	return 0;
}

static int teardown(void **state)
{
	nb_free(*state);
	return 0;
}

static bool syn_arrives(struct nb *x, be32 from, uint16_t dport)
{
	struct nb_pkt p = nb_in(6, from, 9999, dport), i;

	nb_clear(x);
	p.flags = TCP_SYN;
	nb_send(x, x->world, &p);
	if (!x->guest->n_out)
		return false;
	assert_true(nb_read(&x->guest->out[0], &i));
	assert_int_equal(i.src, from); /* the client's own address */
	return i.dst == G1 && i.dport == 22;
}

static void whole_connection(void **state)
{
	struct nb *x = *state;
	struct nb_pkt a = nb_out(6, G1, 22, R1, 9999), o;

	assert_false(syn_arrives(x, R1, 2222));
	assert_int_equal(nat_forward_add(x->gw, &web, NULL), 0);
	assert_true(syn_arrives(x, R1, 2222));
	a.flags = TCP_SYN | TCP_ACK;
	nb_send(x, x->guest, &a);
	assert_int_equal(x->world->n_out, 1);
	assert_true(nb_read(&x->world->out[0], &o));
	assert_int_equal(o.src, OUTSIDE);
	assert_int_equal(o.sport, 2222);
	assert_true(syn_arrives(x, R2, 2222));
	assert_int_equal(gateway_sessions(x->gw), 2);
	assert_int_equal(nat_forward_del(x->gw, &web), 0);
	assert_int_equal(gateway_sessions(x->gw), 2);
	assert_false(syn_arrives(x, IP(198, 51, 100, 3), 2222));
	nat_flush(x->nat, x->gw);
	assert_int_equal(nat_forward_del(x->gw, &web), -ENOENT);
	assert_int_equal(nat_forward_add(x->gw, &web, NULL), 0); /* the port is free again */
}

/* What was open when its forward went stays open, both ways, until it ends or is killed. */
static void deleted_forward_keeps_its_sessions(void **state)
{
	struct nb *x = *state;
	struct nb_pkt in = nb_in(6, R1, 9999, 2222), out = nb_out(6, G1, 22, R1, 9999), o;
	struct nat_forward other = web;

	assert_int_equal(nat_forward_add(x->gw, &web, NULL), 0);
	assert_true(syn_arrives(x, R1, 2222));
	assert_int_equal(nat_forward_del(x->gw, &web), 0);
	assert_true(ports_taken(&x->up->ports, 6, 2222));
	nb_clear(x);
	out.flags = TCP_SYN | TCP_ACK;
	nb_send(x, x->guest, &out);
	assert_int_equal(x->world->n_out, 1);
	assert_true(nb_read(&x->world->out[0], &o));
	assert_int_equal(o.sport, 2222);
	in.flags = TCP_ACK;
	nb_send(x, x->world, &in);
	assert_int_equal(x->guest->n_out, 1);
	assert_false(syn_arrives(x, R2, 2222)); /* nothing new */
	other.to_port = 23;                     /* the place is free for another */
	assert_int_equal(nat_forward_add(x->gw, &other, NULL), 0);
	nb_clear(x);
	nb_send(x, x->world, &in);
	assert_true(nb_read(&x->guest->out[0], &o));
	assert_int_equal(o.dport, 22);
	assert_int_equal(nat_forward_kill(x->gw, &web), 1);
	assert_int_equal(gateway_sessions(x->gw), 0);
	assert_true(ports_taken(&x->up->ports, 6, 2222)); /* the other one's */
	assert_int_equal(nat_forward_del(x->gw, &other), 0);
	assert_false(ports_taken(&x->up->ports, 6, 2222));
}

static void uplink_takes_the_retired_along(void **state)
{
	struct nb *x = *state;

	assert_int_equal(nat_forward_add(x->gw, &web, NULL), 0);
	assert_true(syn_arrives(x, R1, 2222));
	assert_int_equal(nat_forward_del(x->gw, &web), 0);
	assert_int_equal(gateway_set_uplink(x->gw, NULL, NULL), 0);
	assert_int_equal(gateway_sessions(x->gw), 0);
	assert_false(ports_taken(&x->up->ports, 6, 2222));
	assert_int_equal(gateway_set_uplink(x->gw, x->up, NULL), 0);
	assert_int_equal(nat_forward_add(x->gw, &web, NULL), 0);
	assert_true(syn_arrives(x, R1, 2222));
}

static void stray_segment_opens_nothing(void **state)
{
	struct nb *x = *state;
	struct nb_pkt p = nb_in(6, R1, 9999, 2222);

	assert_int_equal(nat_forward_add(x->gw, &web, NULL), 0);
	nb_send(x, x->world, &p);
	assert_int_equal(x->guest->n_out, 0);
	assert_int_equal(nb_drops(uplink_port(x->up), DROP_NAT_NO_MAPPING), 1);
}

static void conflicts(void **state)
{
	struct nb *x = *state;
	struct gateway_conf c = nb_conf();
	struct gateway *other;
	char owner[NAT_NAME_MAX] = "";
	domain_idx d;
	struct nat_forward f = web, udp = web;

	assert_int_equal(sw_domain_add(x->sw, 20, "office", &d), 0);
	strcpy(c.network, "office");
	c.address.addr = IP(10, 20, 0, 1);
	assert_int_equal(gateway_new(x->nat, d, &c, &other), 0);
	assert_int_equal(gateway_set_uplink(other, x->up, NULL), 0);
	assert_int_equal(nat_forward_add(x->gw, &web, NULL), 0);
	assert_int_equal(nat_forward_add(x->gw, &web, owner), -EADDRINUSE);
	assert_string_equal(owner, "lab");
	f.to = IP(10, 20, 0, 5);
	owner[0] = 0;
	assert_int_equal(nat_forward_add(other, &f, owner), -EADDRINUSE);
	assert_string_equal(owner, "lab");
	udp.proto = 17;
	assert_int_equal(nat_forward_add(x->gw, &udp, NULL), 0);
	/* a network that brings its forwards to an uplink where one is taken stays where it is */
	assert_int_equal(gateway_set_uplink(other, NULL, NULL), 0);
	assert_int_equal(nat_forward_add(other, &f, NULL), 0);
	assert_int_equal(gateway_set_uplink(other, x->up, owner), -EADDRINUSE);
	assert_null(gateway_uplink(other));
	assert_int_equal(nat_forward_del(x->gw, &web), 0);
	assert_int_equal(gateway_set_uplink(other, x->up, owner), 0);
	gateway_free(other);
	assert_int_equal(nat_forward_add(x->gw, &web, NULL), 0);
}

static void what_is_refused(void **state)
{
	struct nb *x = *state;
	struct nat_forward f = web;

	f.listen = R1;
	assert_int_equal(nat_forward_add(x->gw, &f, NULL), -EADDRNOTAVAIL);
	f.listen = OUTSIDE;
	assert_int_equal(nat_forward_add(x->gw, &f, NULL), 0);
	f = web;
	f.to = R1;
	assert_int_equal(nat_forward_add(x->gw, &f, NULL), -EINVAL);
	f = web;
	f.proto = 1;
	assert_int_equal(nat_forward_add(x->gw, &f, NULL), -EINVAL);
	f = web;
	f.listen_port = 0;
	assert_int_equal(nat_forward_add(x->gw, &f, NULL), -EINVAL);
}

static void guests_mapping_gives_way(void **state)
{
	struct nb *x = *state;
	struct nb_pkt p = nb_out(17, G2, 5000, R1, 53), o;
	struct nat_forward f = {.proto = 17, .to = G1, .to_port = 22};

	nb_send(x, x->guest, &p);
	assert_true(nb_read(&x->world->out[0], &o));
	f.listen_port = o.sport;
	assert_int_equal(nat_forward_add(x->gw, &f, NULL), 0);
	nb_clear(x);
	nb_send(x, x->guest, &p); /* gets another port */
	assert_true(nb_read(&x->world->out[0], &o));
	assert_int_not_equal(o.sport, f.listen_port);
	assert_int_equal(nat_forward_del(x->gw, &f), 0);
	assert_false(ports_taken(&x->up->ports, 17, f.listen_port));
}

static void survives_a_new_address(void **state)
{
	struct nb *x = *state;
	struct uplink_conf c = *uplink_get_conf(x->up);

	assert_int_equal(nat_forward_add(x->gw, &web, NULL), 0);
	assert_true(syn_arrives(x, R1, 2222));
	c.address.addr = IP(203, 0, 113, 77);
	assert_int_equal(uplink_set_conf(x->up, &c), 0);
	assert_int_equal(gateway_sessions(x->gw), 0);
	assert_false(syn_arrives(x, R1, 2222));
	c.address.addr = OUTSIDE;
	assert_int_equal(uplink_set_conf(x->up, &c), 0);
	assert_true(syn_arrives(x, R1, 2222));
}

static void proxied_uplink_takes_any_listen_address(void **state)
{
	struct nb *x = *state;
	struct uplink_conf c = *uplink_get_conf(x->up);
	struct nat_forward f = web;

	c.proxied = true;
	assert_int_equal(uplink_set_conf(x->up, &c), 0);
	f.listen = IP(127, 0, 0, 1);
	assert_int_equal(nat_forward_add(x->gw, &f, NULL), 0);
	assert_true(syn_arrives(x, NEXT_HOP, 2222));
}

static void count_one(void *arg, const struct nat_forward *f)
{
	++*(unsigned *)arg;
}

static void a_thousand(void **state)
{
	struct nb *x = *state;
	unsigned n = 0;

	for (unsigned i = 0; i < 1000; i++) {
		struct nat_forward f = {.proto = 17, .listen_port = (uint16_t)(20000 + i),
					.to = G1, .to_port = 22};
		assert_int_equal(nat_forward_add(x->gw, &f, NULL), 0);
	}
	nat_forward_list(x->gw, count_one, &n);
	assert_int_equal(n, 1000);
	for (unsigned i = 0; i < 1000; i++) {
		struct nat_forward f = {.proto = 17, .listen_port = (uint16_t)(20000 + i)};
		assert_int_equal(nat_forward_del(x->gw, &f), 0);
	}
	n = 0;
	nat_forward_list(x->gw, count_one, &n);
	assert_int_equal(n, 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(whole_connection),
		T(deleted_forward_keeps_its_sessions),
		T(uplink_takes_the_retired_along),
		T(stray_segment_opens_nothing),
		T(conflicts),
		T(what_is_refused),
		T(guests_mapping_gives_way),
		T(survives_a_new_address),
		T(proxied_uplink_takes_any_listen_address),
		T(a_thousand),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
