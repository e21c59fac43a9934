/* The pipeline on dummy ports, with real worker threads, one and then three: forwarding, flooding, VLANs,
 * limits, members, the slow path, and after every test the accounting equations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "net/clock.h"
#include "net/headers.h"
#include "tests/unit/dummy.h"

#define A 0x520000000001u
#define B 0x520000000002u
#define C 0x520000000003u
#define ALL 0xffffffffffffu
#define BIG_SLOTS 8

struct bench {
	struct loop *loop;
	struct sw *sw;
	struct dummy *port[8];
	unsigned n;
};

static const struct port_caps no_caps = {0};
static unsigned workers;

static int setup(void **state)
{
	struct bench *x = calloc(1, sizeof(*x));
	struct sw_config cfg = {.workers = workers,
				.max_macs = 1000,
				.small_slots = 512,
				.big_slots = BIG_SLOTS};
	domain_idx d;

	x->loop = loop_new();
	x->sw = sw_new(x->loop, &cfg);
	assert_non_null(x->sw);
	assert_int_equal(sw_domain_add(x->sw, 10, "lab", &d), 0);
	assert_int_equal(sw_domain_add(x->sw, 20, "office", &d), 0);
	assert_int_equal(sw_start(x->sw), 0);
	*state = x;
	return 0;
}

/* Until the worker has served what was pushed: fds are level-triggered, a call comes
 * after the round that serves them; two rounds make it certain, and two more bring what one
 * worker hands to another. */
static void settle(struct bench *x)
{
	for (unsigned i = 0; i < 3; i++) {
		sw_synchronize(x->sw);
		sw_slow_drain(x->sw);
	}
	for (unsigned i = 0; i < x->n; i++) {
		struct dummy *d = x->port[i];
		for (unsigned t = 0; t < 1000 && d->head != d->tail; t++) {
			nanosleep(&(struct timespec){0, 1000000}, NULL);
			sw_synchronize(x->sw);
		}
	}
	sw_synchronize(x->sw);
	sw_synchronize(x->sw);
	sw_slow_drain(x->sw);
}

struct books {
	uint64_t offered;
};

static void check_port(void *arg, struct port *p, const struct sw_port_counters *c)
{
	uint64_t rx = c->forwarded + c->flooded + c->consumed, tx = c->tx_packets;

	for (unsigned i = 0; i < DROP_COUNT; i++) {
		rx += c->rx_drop[i];
		tx += c->tx_drop[i];
	}
	assert_int_equal(c->rx_packets, rx);
	assert_int_equal(c->offered, tx);
	((struct books *)arg)->offered += c->offered;
}

static int teardown(void **state)
{
	struct bench *x = *state;
	struct sw_totals t;
	struct books b = {0};

	settle(x);
	sw_counters(x->sw, &t, check_port, &b);
	assert_int_equal(t.copies, b.offered + t.gone_offered);
	sw_free(x->sw);
	for (unsigned i = 0; i < x->n; i++) {
		assert_true(x->port[i]->closed);
		dummy_free(x->port[i]);
	}
	loop_free(x->loop);
	free(x);
	return 0;
}

static struct dummy *port(struct bench *x, const char *name, struct port_conf conf)
{
	return x->port[x->n++] = dummy_new(x->sw, name, &conf, no_caps);
}

static struct port_conf trunk(vlan_id native)
{
	struct port_conf c = {.vlan = {.mode = VLAN_TRUNK, .pvid = native}, .domain = DOMAIN_NONE};

	vlan_set_add(&c.vlan.allowed, 10);
	vlan_set_add(&c.vlan.allowed, 20);
	return c;
}

static void push(struct dummy *d, uint64_t dst, uint64_t src, int vid)
{
	uint8_t f[64];

	dummy_push(d, f, dummy_frame(f, dst, src, vid, sizeof(f)));
}

struct pick {
	struct port *p;
	struct sw_port_counters c;
};

static void pick_port(void *arg, struct port *p, const struct sw_port_counters *c)
{
	struct pick *k = arg;

	if (k->p == p)
		k->c = *c;
}

static struct sw_port_counters counters_of(struct bench *x, struct port *p)
{
	struct sw_totals t;
	struct pick k = {.p = p};

	sw_counters(x->sw, &t, pick_port, &k);
	return k.c;
}

static struct sw_port_counters counters(struct bench *x, struct dummy *d)
{
	return counters_of(x, d->port);
}

static void learns_and_forwards(void **state)
{
	struct bench *x = *state;
	struct dummy *a = port(x, "a", dummy_access(10)), *b = port(x, "b", dummy_access(10)),
		     *c = port(x, "c", dummy_access(10)), *o = port(x, "o", dummy_access(20));

	push(a, ALL, A, -1);
	settle(x);
	assert_int_equal(b->n_out, 1);
	assert_int_equal(c->n_out, 1);
	assert_int_equal(o->n_out, 0); /* another VLAN */
	push(b, A, B, -1);
	settle(x);
	assert_int_equal(a->n_out, 1);
	assert_int_equal(c->n_out, 1); /* A was known */
	push(a, C, A, -1);             /* unknown unicast floods */
	settle(x);
	assert_int_equal(b->n_out, 2);
	assert_int_equal(c->n_out, 2);
	assert_int_equal(counters(x, a).flooded, 2);
	assert_int_equal(counters(x, b).forwarded, 1);
	push(a, A, A + 0x10, -1); /* behind the port it came from */
	settle(x);
	assert_int_equal(counters(x, a).rx_drop[DROP_SAME_PORT], 1);
}

/* A guest that rewrites a frame while it is being flooded. */
static void floods_read_a_guest_once(void **state)
{
	struct bench *x = *state;
	struct dummy *a = port(x, "a", dummy_access(10)), *b = port(x, "b", dummy_access(10)),
		     *c = port(x, "c", dummy_access(10));
	uint8_t f[600];

	a->borrows = true;
	b->changes = c->changes = (_Atomic uint8_t *)&a->in[0].bytes[sizeof(f) - 1];
	dummy_frame(f, ALL, A, -1, sizeof(f));
	memset(f + 14, 7, sizeof(f) - 14);
	dummy_push(a, f, sizeof(f));
	settle(x);
	assert_int_equal(*b->changes, 7 + 2);
	assert_int_equal(b->n_out, 1);
	assert_int_equal(c->n_out, 1);
	assert_int_equal(b->out[0].len, sizeof(f));
	assert_memory_equal(b->out[0].bytes, f, sizeof(f));
	assert_int_equal(c->out[0].len, sizeof(f));
	assert_memory_equal(c->out[0].bytes, f, sizeof(f));
	assert_int_equal(b->n_borrowed + c->n_borrowed, 0);
	b->changes = c->changes = NULL;
	sw_port_del(c->port);
	dummy_push(a, f, sizeof(f)); /* a flood of one is no copy, unless another thread sends it */
	settle(x);
	assert_int_equal(b->n_out, 2);
	assert_memory_equal(b->out[1].bytes, f, sizeof(f));
	assert_int_equal(b->n_borrowed, workers == 1);
}

static void floods_without_a_buffer_are_counted(void **state)
{
	struct bench *x = *state;
	struct dummy *a = port(x, "a", dummy_access(10)), *b = port(x, "b", dummy_access(10)),
		     *c = port(x, "c", dummy_access(10));
	struct pkt_pool *pool = sw_main_pool(x->sw);
	struct pkt *k[BIG_SLOTS];
	uint8_t f[600];

	a->borrows = true;
	for (unsigned i = 0; i < BIG_SLOTS; i++) {
		k[i] = pkt_new(pool);
		assert_true(pkt_add_big(pool, k[i]));
	}
	dummy_push(a, f, dummy_frame(f, ALL, A, -1, sizeof(f)));
	settle(x);
	assert_int_equal(b->n_out + c->n_out, 0);
	assert_int_equal(counters(x, a).rx_drop[DROP_RX_NO_BUFFER], 1);
	for (unsigned i = 0; i < BIG_SLOTS; i++)
		pkt_free(pool, k[i]);
	push(a, ALL, A, -1); /* what stands in its head needs none */
	settle(x);
	assert_int_equal(b->n_out, 1);
	assert_int_equal(c->n_out, 1);
}

static void tags_at_the_edge_only(void **state)
{
	struct bench *x = *state;
	struct dummy *a = port(x, "a", dummy_access(10)), *t = port(x, "t", trunk(0)),
		     *n = port(x, "n", trunk(10));

	push(a, ALL, A, -1);
	settle(x);
	assert_int_equal(t->n_out, 1);
	assert_int_equal(t->out[0].bytes[12], 0x81);
	assert_int_equal(t->out[0].bytes[15], 10);
	assert_int_equal(t->out[0].len, 68);
	assert_int_equal(n->out[0].bytes[12], 0x88); /* native: untagged */
	push(t, A, B, 0xa000 | 10);
	settle(x);
	assert_int_equal(a->n_out, 1);
	assert_int_equal(a->out[0].len, 60);
	assert_int_equal(a->out[0].bytes[12], 0x88);
	push(t, ALL, B, 30);
	push(t, ALL, B, -1);
	push(a, ALL, A, 10);
	push(n, ALL, C, 0xa000 | 20); /* PCP goes along */
	settle(x);
	assert_int_equal(counters(x, t).rx_drop[DROP_VLAN_FILTERED], 1);
	assert_int_equal(counters(x, t).rx_drop[DROP_VLAN_UNTAGGED], 1);
	assert_int_equal(counters(x, a).rx_drop[DROP_VLAN_TAGGED], 1);
	assert_int_equal(t->n_out, 2);
	assert_int_equal(t->out[1].bytes[14], 0xa0);
	assert_int_equal(t->out[1].bytes[15], 20);
}

static void a_port_that_does_not_read_harms_only_itself(void **state)
{
	struct bench *x = *state;
	struct dummy *a = port(x, "a", dummy_access(10)), *b = port(x, "b", dummy_access(10)),
		     *c = port(x, "c", dummy_access(10));

	b->full = true;
	for (unsigned i = 0; i < 100; i++)
		push(a, ALL, A, -1);
	settle(x);
	assert_int_equal(c->n_out, 100);
	assert_int_equal(counters(x, b).tx_drop[DROP_TX_FULL], 100);
}

static void what_does_not_fit_is_dropped(void **state)
{
	struct bench *x = *state;
	struct port_conf conf = dummy_access(10);
	struct dummy *a = port(x, "a", conf), *b = dummy_new(x->sw, "b", &conf, (struct port_caps){0, 1000});
	uint8_t f[1014 + 4 + 1];

	x->port[x->n++] = b;
	dummy_push(a, f, dummy_frame(f, ALL, A, -1, 1014 + 4)); /* room for an inner tag */
	dummy_push(a, f, dummy_frame(f, ALL, A, -1, sizeof(f)));
	settle(x);
	assert_int_equal(b->n_out, 1);
	assert_int_equal(counters(x, b).tx_drop[DROP_TX_OVERSIZE], 1);
}

static void moves_are_counted(void **state)
{
	struct bench *x = *state;
	struct dummy *a = port(x, "a", dummy_access(10)), *b = port(x, "b", dummy_access(10));
	struct sw_totals t;
	struct books books = {0};

	push(a, ALL, A, -1);
	settle(x);
	assert_int_equal(counters(x, b).mac_moves, 0);
	for (unsigned i = 0; i < 3; i++) { /* to b, to a, to b */
		push(i % 2 ? a : b, ALL, A, -1);
		settle(x);
	}
	sw_counters(x->sw, &t, check_port, &books);
	assert_int_equal(t.mac_moves, 3);
	assert_int_equal(t.macs, 1);
	assert_int_equal(counters(x, b).mac_moves + counters(x, a).mac_moves, 3);
}

static void limits_isolation_and_down(void **state)
{
	struct bench *x = *state;
	struct port_conf one = dummy_access(10), iso = dummy_access(10), down = dummy_access(10);

	one.max_macs = 1;
	iso.isolated = true;
	down.admin_down = true;
	struct dummy *a = port(x, "a", one), *i1 = port(x, "i1", iso), *i2 = port(x, "i2", iso),
		     *z = port(x, "z", down);

	push(a, ALL, A, -1);
	push(a, ALL, A + 0x100, -1);
	push(i1, ALL, B, -1);
	push(z, ALL, C, -1);
	settle(x);
	assert_int_equal(counters(x, a).rx_drop[DROP_SRC_LIMIT], 1);
	assert_int_equal(i1->n_out, 1);
	assert_int_equal(i2->n_out, 1); /* from a, not from i1 */
	assert_int_equal(z->n_out, 0);
	assert_int_equal(counters(x, z).rx_drop[DROP_PORT_DOWN], 1);
	push(i2, B, B + 0x100, -1);
	settle(x);
	assert_int_equal(counters(x, i2).rx_drop[DROP_ISOLATED], 1);
	assert_int_equal(port_set_conf(z->port, &(struct port_conf){.vlan = {.mode = VLAN_ACCESS, .pvid = 20},
								      .domain = DOMAIN_NONE}), 0);
	push(z, ALL, C, -1);
	settle(x);
	assert_int_equal(counters(x, z).rx_drop[DROP_NO_DESTINATION], 1);
	assert_int_equal(z->confs, 1); /* its backend was told */
	assert_int_equal(a->confs, 0);
}

static void ports_go_and_their_addresses_with_them(void **state)
{
	struct bench *x = *state;
	struct dummy *a = port(x, "a", dummy_access(10)), *b = port(x, "b", dummy_access(10)),
		     *c = port(x, "c", dummy_access(10));
	struct sw_totals t;
	struct books books = {0};

	push(b, ALL, B, -1);
	settle(x);
	sw_port_del(b->port);
	assert_true(b->closed);
	push(a, B, A, -1); /* floods again */
	settle(x);
	assert_int_equal(c->n_out, 2);
	assert_null(sw_port_find(x->sw, "b"));
	sw_counters(x->sw, &t, check_port, &books);
	assert_int_equal(t.macs, 1);
}

static void malformed_frames_go_nowhere(void **state)
{
	struct bench *x = *state;
	struct dummy *a = port(x, "a", dummy_access(10)), *b = port(x, "b", dummy_access(10));
	uint8_t f[64];
	struct sw_port_counters c;

	push(a, ALL, ALL, -1);
	push(a, ALL, 0, -1);
	dummy_push(a, f, 9);
	push(a, 0x0180c2000000, A, -1);
	settle(x);
	c = counters(x, a);
	assert_int_equal(c.rx_drop[DROP_ETH_SRC_GROUP], 1);
	assert_int_equal(c.rx_drop[DROP_ETH_SRC_ZERO], 1);
	assert_int_equal(c.rx_drop[DROP_RX_RUNT], 1);
	assert_int_equal(c.rx_drop[DROP_ETH_CONTROL], 1);
	assert_int_equal(b->n_out, 0);
}

/* ---- the slow path ---- */

struct up {
	struct slow_sink sink;
	struct bench *x;
	unsigned got;
};

static void got_up(void *arg, struct pkt *k)
{
	struct up *u = arg;

	if (u->got++)
		sw_slow_refuse(k, DROP_SVC_MALFORMED);
	pkt_free(sw_main_pool(u->x->sw), k);
}

static void up_tx(struct port *p, struct worker *w, struct pkt_out *v, unsigned n)
{
	struct up *u = p->priv;

	for (unsigned i = 0; i < n; i++) {
		struct pkt *k = v[i].pkt;
		if (k->flags & PKT_SHARED)
			k = pkt_copy(worker_pool(w), k);
		if (k)
			k->offered_to = p;
		if (!k || !worker_slow_up(w, &u->sink, k)) {
			v[i].drop = DROP_SVC_QUEUE;
			if (k && k != v[i].pkt)
				pkt_free(worker_pool(w), k);
		} else {
			v[i].taken = k == v[i].pkt;
		}
	}
}

static const struct port_ops up_ops = {.type = "up", .tx_burst = up_tx};

static void slow_path_both_ways(void **state)
{
	struct bench *x = *state;
	struct dummy *a = port(x, "a", dummy_access(10)), *b = port(x, "b", dummy_access(10));
	domain_idx d = sw_domain_of_vid(x->sw, 10);
	struct port_conf conf = {.vlan = {.mode = VLAN_INTERNAL}, .domain = d, .known_only = true};
	struct up u = {.x = x};
	struct sw_totals t;
	struct port *p;
	uint8_t f[64];

	u.sink = (struct slow_sink){got_up, &u};
	assert_int_equal(sw_port_add(x->sw, "gw", &up_ops, &u, &conf, (struct port_caps){.offloads = ~0u}, true,
				     NULL, &p), 0);
	assert_int_equal(port_start(p, -1), 0);
	assert_int_equal(sw_fdb_add_static(x->sw, d, mac_from_u64(C), p), 0);
	push(a, ALL, A, -1); /* shared with b: a copy */
	push(a, C, A, -1);   /* alone: taken */
	push(a, 0x520000000099u, A, -1); /* unknown: not to the gateway */
	settle(x);
	assert_int_equal(u.got, 2);
	assert_int_equal(b->n_out, 2);
	struct sw_port_counters gw = counters_of(x, p); /* the second was refused by main */
	assert_int_equal(gw.offered, 2);
	assert_int_equal(gw.tx_packets, 1);
	assert_int_equal(gw.tx_bytes, 64);
	assert_int_equal(gw.tx_drop[DROP_SVC_MALFORMED], 1);
	struct pkt *k = pkt_from(sw_main_pool(x->sw), f, dummy_frame(f, A, C, -1, sizeof(f)));
	sw_slow_down(p, d, k);
	settle(x);
	for (unsigned i = 0; i < 1000 && !a->n_out; i++)
		nanosleep(&(struct timespec){0, 1000000}, NULL);
	assert_int_equal(a->n_out, 1);
	push(b, ALL, C, -1); /* the gateway's address, forged */
	settle(x);
	assert_int_equal(counters(x, b).rx_drop[DROP_SRC_STATIC], 1);
	push(a, C, A, -1);
	settle(x);
	sw_port_del(p); /* with a refusal that nobody has asked for yet */
	sw_counters(x->sw, &t, pick_port, &(struct pick){0});
	assert_int_equal(t.gone_tx_drop[DROP_SVC_MALFORMED], 2);
}

/* ---- members ---- */

static unsigned member_rx(struct port *p, unsigned queue, struct worker *w, struct pkt **out, unsigned max)
{
	return 0;
}

static void member_tx(struct port *p, struct worker *w, struct pkt_out *v, unsigned n)
{
	*(unsigned *)p->peer += n;
}

static const struct port_ops member_ops = {
	.type = "many", .members = true, .rx_burst = member_rx, .tx_burst = member_tx};

struct make {
	struct port *parent, *m;
	unsigned sent;
	const char *name;
	int r;
};

static void make_member(struct worker *w, void *arg)
{
	struct make *m = arg;

	m->r = port_member_new(m->parent, m->name, &m->sent, 2, &m->m);
}

static void end_member(struct worker *w, void *arg)
{
	port_member_end(((struct make *)arg)->m);
}

static void members_come_and_go(void **state)
{
	struct bench *x = *state;
	struct dummy *a = port(x, "a", dummy_access(10));
	struct port_conf conf = dummy_access(10);
	struct make m[3] = {{.name = "x"}, {.name = "x"}, {.name = "y"}};
	struct port *p;

	assert_int_equal(sw_port_add(x->sw, "lab", &member_ops, NULL, &conf, no_caps, false, NULL, &p), 0);
	port_start(p, -1);
	for (unsigned i = 0; i < 3; i++) {
		m[i].parent = p;
		worker_call(x->sw, p, make_member, &m[i]);
	}
	assert_string_equal(m[0].m->name, "lab/x");
	assert_string_equal(m[1].m->name, "lab/x~2");
	assert_true(m[2].r < 0); /* the limit */
	settle(x);
	push(a, ALL, A, -1);
	settle(x);
	assert_int_equal(m[0].sent, 1);
	assert_int_equal(m[1].sent, 1);
	worker_call(x->sw, p, end_member, &m[0]);
	settle(x);
	assert_null(sw_port_find(x->sw, "lab/x"));
	push(a, ALL, A, -1);
	settle(x);
	assert_int_equal(m[0].sent, 1);
	assert_int_equal(m[1].sent, 2);
	worker_call(x->sw, p, end_member, &m[1]);
	sw_port_del(p); /* before main has heard that the member ended */
	assert_null(sw_port_find(x->sw, "lab/x~2"));
}

/* Nobody in the network they have left is to reach them any more. */
static void members_move_with_their_parent(void **state)
{
	struct bench *x = *state;
	struct port_conf lab = dummy_access(10), office = dummy_access(20);
	domain_idx was = sw_domain_of_vid(x->sw, 10);
	struct make m = {.name = "x"};

	assert_int_equal(sw_port_add(x->sw, "lab", &member_ops, NULL, &lab, no_caps, false, NULL, &m.parent), 0);
	port_start(m.parent, -1);
	worker_call(x->sw, m.parent, make_member, &m);
	settle(x);
	assert_int_equal(sw_fdb_add_static(x->sw, was, mac_from_u64(A), m.m), 0);
	assert_int_equal(port_set_conf(m.parent, &lab), 0);
	assert_int_equal(sw_fdb_where(x->sw, was, mac_from_u64(A)), m.m->idx);
	assert_int_equal(port_set_conf(m.parent, &office), 0);
	assert_int_equal(sw_fdb_where(x->sw, was, mac_from_u64(A)), PORT_NONE);
	sw_port_del(m.parent);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(learns_and_forwards),
		T(tags_at_the_edge_only),
		T(floods_read_a_guest_once),
		T(floods_without_a_buffer_are_counted),
		T(a_port_that_does_not_read_harms_only_itself),
		T(limits_isolation_and_down),
		T(what_does_not_fit_is_dropped),
		T(moves_are_counted),
		T(ports_go_and_their_addresses_with_them),
		T(malformed_frames_go_nowhere),
		T(slow_path_both_ways),
		T(members_come_and_go),
		T(members_move_with_their_parent),
	};

	workers = 1;
	int failed = cmocka_run_group_tests_name("switch", tests, NULL, NULL);
	workers = 3;
	return failed + cmocka_run_group_tests_name("switch, three workers", tests, NULL, NULL);
}
