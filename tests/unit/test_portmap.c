/* Ports that guests ask for, on the bench of nat_bench.h: whose they are, how long, and at whose cost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "nat/portmap.h"
#include "tests/unit/nat_bench.h"

#define ALL (PORTCTL_NATPMP | PORTCTL_PCP)

struct bench {
	struct nb *x;
	struct portmap *m;
};
static const struct portmap_conf usual = {ALL, 4};

static nsec_t now(struct bench *b)
{
	return b->x->sw->worker->now;
}

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	b->x = nb_new(NULL);
	b->m = portmap_new(b->x->gw, &usual, now(b));
	*state = b;
	return b->m ? 0 : -1;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	portmap_free(b->m);
	nb_free(b->x);
	free(b);
	return 0;
}

static void mapped(be32 a, uint8_t ret[16])
{
	memset(ret, 0, 10);
	memset(ret + 10, 0xff, 2);
	memcpy(ret + 12, &a, 4);
}

static struct portctl_request pcp_map(be32 client, uint16_t inside, uint16_t outside, uint32_t life)
{
	struct portctl_request q = {.by = PORTCTL_PCP, .op = PORTCTL_MAP, .opcode = 1, .proto = 6, .internal_port = inside,
				    .external_port = outside, .lifetime = life, .nonce = "who-made-it"};

	mapped(client, q.client);
	return q;
}

static struct portctl_response ask_in(struct bench *b, domain_idx d, be32 who, const struct portctl_request *q)
{
	struct portmap_guest g = {d, who};
	struct portctl_response r;

	portmap_request(b->m, &g, q, now(b), &r);
	return r;
}

static struct portctl_response ask(struct bench *b, be32 who, const struct portctl_request *q)
{
	return ask_in(b, b->x->dom, who, q);
}

static bool syn_arrives(struct nb *x, be32 at, uint16_t dport, be32 guest, uint16_t port)
{
	struct nb_pkt p = nb_in(6, R1, (uint16_t)(10000 + dport % 1000), dport), i;

	nb_arp_all(x);
	p.dst = at;
	p.flags = TCP_SYN;
	nb_send(x, x->world, &p);
	return x->guest->n_out == 1 && nb_read(&x->guest->out[0], &i) && i.dst == guest && i.dport == port;
}

static void life_of_a_mapping(void **state)
{
	struct bench *b = *state;
	struct portctl_request q = pcp_map(G1, 80, 8080, 600);
	struct portctl_response r = ask(b, G1, &q);
	uint8_t outside[16];

	mapped(OUTSIDE, outside);
	assert_int_equal(r.result, PORTCTL_SUCCESS);
	assert_int_equal(r.external_port, 8080);
	assert_int_equal(r.lifetime, 600);
	assert_memory_equal(r.external, outside, 16);
	assert_true(syn_arrives(b->x, OUTSIDE, 8080, G1, 80));
	nb_step(b->x, 599000);
	assert_int_equal(portmap_advance(b->m, now(b)), now(b) + NSEC_PER_SEC);
	q.external_port = 9; /* of no meaning in a renewal */
	r = ask(b, G1, &q);
	assert_int_equal(r.external_port, 8080);
	nb_step(b->x, 599000);
	portmap_advance(b->m, now(b));
	assert_int_equal(portmap_count(b->m), 1);
	nb_step(b->x, 1000);
	assert_int_equal(portmap_advance(b->m, now(b)), 0);
	assert_int_equal(portmap_count(b->m), 0);
	assert_false(syn_arrives(b->x, OUTSIDE, 8080, G1, 80));
	assert_int_equal(portmap_answers(b->m, PORTCTL_SUCCESS), 2);
}

static void connections_outlive_their_mapping(void **state)
{
	struct bench *b = *state;
	struct portctl_request q = pcp_map(G1, 80, 8080, 600);

	ask(b, G1, &q);
	assert_true(syn_arrives(b->x, OUTSIDE, 8080, G1, 80));
	q.lifetime = 0;
	assert_int_equal(ask(b, G1, &q).result, PORTCTL_SUCCESS);
	assert_int_equal(gateway_sessions(b->x->gw), 1);
	q.lifetime = 600; /* its own connection does not keep it from its port, others' would */
	assert_int_equal(ask(b, G1, &q).external_port, 8080);
	portmap_reset(b->m, now(b));
	assert_int_equal(gateway_sessions(b->x->gw), 0);
}

/* The nonce and the address are what a mapping belongs to. */
static void whose_it_is(void **state)
{
	struct bench *b = *state;
	struct portctl_request q = pcp_map(G1, 80, 8080, 600), pmp = {.by = PORTCTL_NATPMP, .op = PORTCTL_MAP,
		.proto = 6, .internal_port = 80, .external_port = 8080, .lifetime = 600};

	assert_int_equal(ask(b, G2, &q).result, PORTCTL_ADDRESS_MISMATCH);
	assert_int_equal(ask(b, G1, &q).result, PORTCTL_SUCCESS);
	assert_int_equal(ask(b, G1, &pmp).result, PORTCTL_NOT_AUTHORIZED);
	q.nonce[0]++;
	assert_int_equal(ask(b, G1, &q).result, PORTCTL_NOT_AUTHORIZED);
	q.lifetime = 0;
	assert_int_equal(ask(b, G1, &q).result, PORTCTL_NOT_AUTHORIZED);
	q.internal_port = 0; /* all of this nonce's: none */
	q.proto = 0;
	assert_int_equal(ask(b, G1, &q).result, PORTCTL_SUCCESS);
	pmp.lifetime = pmp.internal_port = 0;
	assert_int_equal(ask(b, G1, &pmp).result, PORTCTL_SUCCESS);
	q = pcp_map(G2, 80, 8080, 0); /* another's */
	assert_int_equal(ask(b, G2, &q).result, PORTCTL_SUCCESS);
	assert_int_equal(portmap_count(b->m), 1);
	assert_true(syn_arrives(b->x, OUTSIDE, 8080, G1, 80));
	q = pcp_map(G1, 0, 0, 0);
	assert_int_equal(ask(b, G1, &q).result, PORTCTL_SUCCESS);
	assert_int_equal(portmap_count(b->m), 0);
}

/* No port that another guest uses, or used a moment ago. */
static void takes_nothing_from_others(void **state)
{
	struct bench *b = *state;
	struct nb_pkt out = nb_out(17, G2, 4000, R1, 53), o;
	struct portctl_request q = pcp_map(G1, 80, 0, 600);

	nb_send(b->x, b->x->guest, &out);
	assert_true(nb_read(&b->x->world->out[0], &o));
	q.proto = 17;
	q.external_port = o.sport;
	q.prefer_failure = true;
	assert_int_equal(ask(b, G1, &q).result, PORTCTL_CANNOT_PROVIDE_EXTERNAL);
	nat_flush(b->x->nat, b->x->gw);
	assert_int_equal(ask(b, G1, &q).result, PORTCTL_CANNOT_PROVIDE_EXTERNAL);
	q.prefer_failure = false;
	assert_int_not_equal(ask(b, G1, &q).external_port, o.sport);
	mapped(G2, q.client);
	assert_int_equal(ask(b, G2, &q).external_port, o.sport); /* held for him */
	q.lifetime = 0;
	ask(b, G2, &q);
	q = pcp_map(G1, 81, o.sport, 600);
	q.proto = 17;
	assert_int_not_equal(ask(b, G1, &q).external_port, o.sport); /* and held again */
	q = pcp_map(G1, 82, 443, 600);
	assert_true(ask(b, G1, &q).external_port >= PORTS_FIRST);
}

static void limits(void **state)
{
	struct bench *b = *state;
	struct portctl_request q;
	struct portctl_response r;
	unsigned n = 0;

	for (uint16_t p = 1; p <= 5; p++) {
		q = pcp_map(G1, p, 0, 600);
		r = ask(b, G1, &q);
		assert_int_equal(r.result, p <= 4 ? PORTCTL_SUCCESS : PORTCTL_USER_EX_QUOTA);
	}
	assert_int_equal(r.lifetime, 30);
	q = pcp_map(G1, 4, 0, 700);
	assert_int_equal(ask(b, G1, &q).result, PORTCTL_SUCCESS);
	for (; n < 100; n++) { /* of changes, a second's worth at once */
		q = pcp_map(G2, 80, 0, n % 2 ? 0 : 600);
		if (ask(b, G2, &q).result == PORTCTL_NO_RESOURCES)
			break;
	}
	assert_int_equal(n, PORTMAP_CHANGES_S);
	nb_step(b->x, 1000);
	assert_int_equal(ask(b, G2, &q).result, PORTCTL_SUCCESS);
	assert_int_equal(portmap_answers(b->m, PORTCTL_USER_EX_QUOTA), 1);
}

static void lifetimes(void **state)
{
	struct bench *b = *state;
	struct portctl_request q = pcp_map(G1, 80, 0, 1), pmp = {.by = PORTCTL_NATPMP, .op = PORTCTL_MAP,
		.proto = 17, .internal_port = 80, .lifetime = 60};

	assert_int_equal(ask(b, G1, &q).lifetime, PORTMAP_LIFE_MIN);
	q.lifetime = UINT32_MAX;
	assert_int_equal(ask(b, G1, &q).lifetime, PORTMAP_LIFE_MAX);
	assert_int_equal(ask(b, G1, &pmp).lifetime, 60);
}

/* The mappings move along to another address, and clients are told by the epoch. */
static void outside_address(void **state)
{
	struct bench *b = *state;
	struct portctl_request q = pcp_map(G1, 80, 8080, 86400), hello = {.by = PORTCTL_PCP, .op = PORTCTL_ANNOUNCE};
	struct uplink_conf c = *uplink_get_conf(b->x->up);

	mapped(G1, hello.client);
	ask(b, G1, &q);
	nb_step(b->x, 100000);
	assert_int_equal(ask(b, G1, &hello).epoch, 100);
	c.address.addr = IP(203, 0, 113, 7);
	assert_int_equal(uplink_set_conf(b->x->up, &c), 0);
	assert_int_equal(ask(b, G1, &hello).epoch, 0);
	assert_true(syn_arrives(b->x, c.address.addr, 8080, G1, 80));
	mapped(OUTSIDE, q.external);
	q.prefer_failure = true;
	assert_int_equal(ask(b, G1, &q).result, PORTCTL_CANNOT_PROVIDE_EXTERNAL);
	c.address.addr = 0;
	assert_int_equal(uplink_set_conf(b->x->up, &c), 0);
	q = pcp_map(G1, 81, 0, 600);
	assert_int_equal(ask(b, G1, &q).result, PORTCTL_NETWORK_FAILURE);
	c.address.addr = OUTSIDE;
	c.proxied = true;
	assert_int_equal(uplink_set_conf(b->x->up, &c), 0);
	assert_int_equal(ask(b, G1, &q).result, PORTCTL_NOT_AUTHORIZED);
	portmap_reset(b->m, now(b));
	assert_int_equal(gateway_set_uplink(b->x->gw, NULL, NULL), 0);
	assert_int_equal(ask(b, G1, &q).result, PORTCTL_NETWORK_FAILURE);
}

/* Where guests have the same address, the domain tells them apart. */
static void legs(void **state)
{
	struct bench *b = *state;
	struct portctl_request q = pcp_map(G1, 80, 8080, 600);
	domain_idx leg;

	assert_int_equal(sw_domain_add(b->x->sw, 0, "leg", &leg), 0);
	assert_int_equal(gateway_leg_add(b->x->gw, leg), 0);
	assert_int_equal(ask_in(b, leg, G1, &q).external_port, 8080);
	assert_int_not_equal(ask(b, G1, &q).external_port, 8080);
	q.lifetime = 0;
	ask(b, G1, &q);
	assert_int_equal(portmap_count(b->m), 1);
	assert_int_equal(portmap_at(b->m, 0)->guest.domain, leg);
	portmap_end_domain(b->m, leg);
	assert_int_equal(portmap_count(b->m), 0);
	gateway_leg_del(b->x->gw, leg);
	q.lifetime = 600; /* a request that was on its way */
	assert_int_equal(ask_in(b, leg, G1, &q).result, PORTCTL_NOT_AUTHORIZED);
	assert_int_equal(portmap_count(b->m), 0);
	assert_false(ports_taken(&b->x->up->ports, 6, 8080));
}

static void people_come_first(void **state)
{
	struct bench *b = *state;
	struct portctl_request q = pcp_map(G1, 80, 8080, 600);
	struct nat_forward web = {.proto = 6, .listen_port = 8080, .to = G2, .to_port = 80};
	struct portmap_conf none = {PORTCTL_NATPMP, 4};

	ask(b, G1, &q);
	assert_int_equal(nat_forward_add(b->x->gw, &web, NULL), -EADDRINUSE);
	assert_false(portmap_evict(b->m, 17, 8080, true));
	assert_true(portmap_evict(b->m, 6, 8080, true));
	assert_int_equal(nat_forward_add(b->x->gw, &web, NULL), 0);
	assert_int_not_equal(ask(b, G1, &q).external_port, 8080);
	portmap_set_conf(b->m, &none, now(b));
	assert_int_equal(portmap_count(b->m), 0);
	assert_true(syn_arrives(b->x, OUTSIDE, 8080, G2, 80));
}

/* Who gets the address next is not reached by what the one before has opened. */
static void address_changes_hands(void **state)
{
	struct bench *b = *state;
	struct portctl_request q = pcp_map(G1, 80, 8080, 600), other = pcp_map(G2, 80, 8081, 600);
	struct portmap_guest who = {b->x->dom, G1};

	ask(b, G1, &q);
	ask(b, G2, &other);
	assert_true(syn_arrives(b->x, OUTSIDE, 8080, G1, 80));
	portmap_end_guest(b->m, &who);
	assert_int_equal(gateway_sessions(b->x->gw), 0);
	assert_false(syn_arrives(b->x, OUTSIDE, 8080, G1, 80));
	assert_true(syn_arrives(b->x, OUTSIDE, 8081, G2, 80));
}

/* The ports that an uplink may give are what guests get of it. */
static void range_of_the_uplink(void **state)
{
	struct bench *b = *state;
	struct portctl_request q = pcp_map(G1, 80, 8080, 600);
	struct uplink_conf c = *uplink_get_conf(b->x->up);

	c.port_first = 40000;
	c.port_last = 40009;
	assert_int_equal(uplink_set_conf(b->x->up, &c), 0);
	struct portctl_response r = ask(b, G1, &q);
	assert_in_range(r.external_port, 40000, 40009);
	q = pcp_map(G1, 81, 40010, 600);
	q.prefer_failure = true;
	assert_int_equal(ask(b, G1, &q).result, PORTCTL_CANNOT_PROVIDE_EXTERNAL);
}

/* A port that the guest has outside already is the one it gets (the mapping is endpoint-independent). */
static void implicit_becomes_explicit(void **state)
{
	struct bench *b = *state;
	struct nb_pkt out = nb_out(17, G1, 4000, R1, 53), in, o;
	struct portctl_request q = pcp_map(G1, 4000, 9000, 600);

	nb_send(b->x, b->x->guest, &out);
	assert_true(nb_read(&b->x->world->out[0], &o));
	in = nb_in(17, R2, 999, o.sport);
	q.proto = 17;
	q.prefer_failure = true;
	assert_int_not_equal(ask(b, G1, &q).external_port, o.sport); /* that wish or none: another beside it */
	q.lifetime = 0;
	ask(b, G1, &q);
	q.lifetime = 600;
	q.prefer_failure = false;
	assert_int_equal(ask(b, G1, &q).external_port, o.sport);
	assert_int_equal(gateway_sessions(b->x->gw), 1);
	struct nat_stats st;
	nat_get_stats(b->x->nat, &st);
	assert_int_equal(st.mappings, 0); /* it is the forward now */
	nb_clear(b->x);
	nb_send(b->x, b->x->world, &in); /* a stranger gets in */
	assert_int_equal(b->x->guest->n_out, 1);
	in = nb_in(17, R1, 53, o.sport); /* and so does the one spoken to */
	nb_send(b->x, b->x->world, &in);
	assert_int_equal(b->x->guest->n_out, 2);
	out = nb_out(17, G1, 4000, IP(198, 51, 100, 77), 53); /* whatever the remote */
	nb_clear(b->x);
	nb_send(b->x, b->x->guest, &out);
	assert_true(nb_read(&b->x->world->out[0], &in));
	assert_int_equal(in.sport, o.sport);
	assert_int_equal(gateway_sessions(b->x->gw), 3);
	q.lifetime = 0;
	ask(b, G1, &q);
	assert_int_equal(gateway_sessions(b->x->gw), 3); /* they go on */
	nat_flush(b->x->nat, b->x->gw);
	nat_get_stats(b->x->nat, &st);
	assert_int_equal(st.mappings, 0);
	assert_int_equal(st.guests, 0);
}

static void refused_on_purpose(void **state)
{
	struct bench *b = *state;
	struct portctl_request q = pcp_map(G1, 80, 8080, 600);

	q.op = PORTCTL_PEER;
	assert_int_equal(ask(b, G1, &q).result, PORTCTL_UNSUPP_OPCODE);
	q.op = PORTCTL_MAP;
	q.filtered = true;
	q.n_filters = 1;
	assert_int_equal(ask(b, G1, &q).result, PORTCTL_UNSUPP_OPTION);
	q.n_filters = 0; /* takes away what there is not */
	assert_int_equal(ask(b, G1, &q).result, PORTCTL_SUCCESS);
	q = pcp_map(GW_IP, 80, 0, 600);
	assert_int_equal(ask(b, GW_IP, &q).result, PORTCTL_NOT_AUTHORIZED);
	q.error = PORTCTL_MALFORMED_OPTION;
	assert_int_equal(ask(b, G1, &q).lifetime, 1800);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(life_of_a_mapping), T(connections_outlive_their_mapping), T(whose_it_is),
		T(takes_nothing_from_others), T(limits), T(lifetimes), T(outside_address), T(legs),
		T(people_come_first), T(address_changes_hands), T(range_of_the_uplink), T(implicit_becomes_explicit),
		T(refused_on_purpose),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
