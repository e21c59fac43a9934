/* Captures on the real pipeline with dummy ports: what is seen of a frame, where filters and
 * scopes cut, and that records that cannot be delivered are counted. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "switch/capture.h"
#include "tests/unit/dummy.h"

#define A 0x520000000001u
#define B 0x520000000002u
#define ALL 0xffffffffffffu
#define KEEP 64

struct seen {
	struct capture_record r;
	uint8_t bytes[256];
};

struct bench {
	struct loop *loop;
	struct sw *sw;
	struct captures *captures;
	struct capture *capture; /* stopped at the end, unless NULL */
	domain_idx lab, office;
	struct dummy *a, *b, *t; /* access 10, access 10, trunk 10 and 20 */
	unsigned n;
	struct seen seen[KEEP];
	bool stop_inside;
};

static int setup(void **state)
{
	struct bench *x = calloc(1, sizeof(*x));
	struct sw_config cfg = {.max_macs = 1000, .small_slots = 512, .big_slots = 8};
	struct port_conf access = dummy_access(10);
	struct port_conf trunk = {.vlan = {.mode = VLAN_TRUNK}, .domain = DOMAIN_NONE};
	vlan_set_add(&trunk.vlan.allowed, 10);
	vlan_set_add(&trunk.vlan.allowed, 20);
	x->loop = loop_new();
	x->sw = sw_new(x->loop, &cfg);
	assert_int_equal(sw_domain_add(x->sw, 10, "lab", &x->lab), 0);
	assert_int_equal(sw_domain_add(x->sw, 20, "office", &x->office), 0);
	assert_int_equal(sw_start(x->sw), 0);
	x->a = dummy_new(x->sw, "a", &access, (struct port_caps){0});
	x->b = dummy_new(x->sw, "b", &access, (struct port_caps){0});
	x->t = dummy_new(x->sw, "t", &trunk, (struct port_caps){0});
	x->captures = captures_new(x->sw);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct bench *x = *state;
	captures_free(x->captures); /* ends what still runs */
	assert_null(sw_captures(x->sw));
	sw_free(x->sw);
	dummy_free(x->a);
	dummy_free(x->b);
	dummy_free(x->t);
	loop_free(x->loop);
	free(x);
	return 0;
}

/* Until the worker has taken, and counted, all that was pushed. */
static void wait_taken(struct bench *x, struct dummy *from)
{
	for (unsigned i = 0; i < 10000 && counter_read(&from->port->c->rx_packets) < from->tail; i++)
		nanosleep(&(struct timespec){0, 1000000}, NULL);
	assert_int_equal(counter_read(&from->port->c->rx_packets), from->tail);
	sw_synchronize(x->sw);
}

static void settle(struct bench *x, struct dummy *from)
{
	wait_taken(x, from);
	sw_slow_drain(x->sw);
}

static void push(struct bench *x, struct dummy *d, uint64_t dst, uint64_t src, int vid, size_t len)
{
	uint8_t f[4096];
	dummy_push(d, f, dummy_frame(f, dst, src, vid, len));
}

static void take(void *arg, const struct capture_record *r)
{
	struct bench *x = arg;
	assert_true(x->n < KEEP);
	struct seen *s = &x->seen[x->n++];
	s->r = *r;
	memcpy(s->bytes, r->bytes, r->len < sizeof(s->bytes) ? r->len : sizeof(s->bytes));
	if (x->stop_inside) {
		capture_stop(x->capture);
		x->capture = NULL;
	}
}

static const struct capture_spec everything = {
	.port = PORT_NONE, .domain = DOMAIN_NONE, .in = true, .out = true};

static void start(struct bench *x, struct capture_spec spec)
{
	char error[256] = "";
	assert_int_equal(capture_start(x->captures, &spec, take, x, &x->capture, error, sizeof(error)), 0);
}

static void expect(struct bench *x, unsigned i, struct dummy *d, bool outgoing, enum drop_reason drop)
{
	assert_true(i < x->n);
	assert_int_equal(x->seen[i].r.port, d->port->idx);
	assert_int_equal(x->seen[i].r.outgoing, outgoing);
	assert_int_equal(x->seen[i].r.drop, drop);
}

static void test_journey(void **state)
{
	struct bench *x = *state;
	start(x, everything);
	push(x, x->a, ALL, A, -1, 60);
	settle(x, x->a);
	assert_int_equal(x->n, 3);
	unsigned in = x->seen[0].r.outgoing ? (x->seen[1].r.outgoing ? 2 : 1) : 0;
	expect(x, in, x->a, false, DROP_NONE);
	assert_int_equal(x->seen[in].r.wire_len, 60);
	for (unsigned i = 0; i < 3; i++) {
		if (x->seen[i].r.port != x->t->port->idx)
			continue;
		assert_int_equal(x->seen[i].r.wire_len, 64); /* the tag counts */
		assert_memory_equal(x->seen[i].bytes + 12, "\x81\0\0\x0a", 4);
	}
	assert_true(x->seen[0].r.time_ns > UINT64_C(1600000000) * NSEC_PER_SEC);
}

static void test_port_scope(void **state)
{
	struct bench *x = *state;
	struct capture_spec s = everything;
	s.port = x->b->port->idx;
	start(x, s);
	push(x, x->a, ALL, A, -1, 60);
	settle(x, x->a);
	assert_int_equal(x->n, 1);
	expect(x, 0, x->b, true, DROP_NONE);
}

static void test_domain_scope(void **state)
{
	struct bench *x = *state;
	struct capture_spec s = everything;
	s.domain = x->lab;
	s.out = false;
	start(x, s);
	push(x, x->t, ALL, B, 20, 60); /* office */
	settle(x, x->t);
	assert_int_equal(x->n, 0);
	push(x, x->a, ALL, A, -1, 60);
	settle(x, x->a);
	assert_int_equal(x->n, 1);
	/* lost before its VLAN was known: its port's network sees it */
	push(x, x->a, ALL, A, 20, 60);
	settle(x, x->a);
	assert_int_equal(x->n, 2);
	expect(x, 1, x->a, false, DROP_VLAN_TAGGED);
}

static void test_drops_only(void **state)
{
	struct bench *x = *state;
	struct capture_spec s = everything;
	s.drops_only = true;
	start(x, s);
	x->b->full = true;
	push(x, x->a, ALL, A, -1, 60);
	settle(x, x->a);
	assert_int_equal(x->n, 1);
	expect(x, 0, x->b, true, DROP_TX_FULL);
}

static void test_filter(void **state)
{
	struct bench *x = *state;
	struct capture_spec s = everything;
	s.out = false;
	s.filter = "ether src 52:00:00:00:00:02";
	start(x, s);
	push(x, x->a, ALL, A, -1, 60);
	settle(x, x->a);
	assert_int_equal(x->n, 0);
	push(x, x->t, ALL, B, 10, 60); /* told by its MAC, tag or not */
	settle(x, x->t);
	assert_int_equal(x->n, 1);
	capture_stop(x->capture);
	s.filter = "vlan 20";
	start(x, s);
	push(x, x->t, ALL, B, 10, 60);
	push(x, x->t, ALL, B, 20, 60);
	settle(x, x->t);
	assert_int_equal(x->n, 2);
	assert_memory_equal(x->seen[1].bytes + 12, "\x81\0\0\x14", 4);
}

static void test_snaplen(void **state)
{
	struct bench *x = *state;
	struct capture_spec s = everything;
	s.out = false;
	s.snaplen = 100;
	start(x, s);
	push(x, x->a, ALL, A, -1, 1500);
	settle(x, x->a);
	assert_int_equal(x->seen[0].r.len, 100);
	assert_int_equal(x->seen[0].r.wire_len, 1500);
	capture_stop(x->capture);
	s.snaplen = 0;
	start(x, s);
	push(x, x->a, ALL, A, -1, 4000); /* longer than a slot's head: by way of a large one */
	settle(x, x->a);
	assert_int_equal(x->n, 2);
	assert_int_equal(x->seen[1].r.len, 4000);
	assert_memory_equal(x->seen[1].bytes, "\xff\xff\xff\xff\xff\xff\x52\0\0\0\0\x01", 12);
}

static void test_refusals(void **state)
{
	struct bench *x = *state;
	struct capture_spec s = everything;
	struct capture *c = NULL;
	char error[256] = "";
	s.filter = "tcp prt 80";
	assert_int_equal(capture_start(x->captures, &s, take, x, &c, error, sizeof(error)), -EINVAL);
	assert_non_null(strstr(error, "syntax"));
	assert_null(c);
	s.filter = NULL;
	for (unsigned i = 0; i < CAPTURE_MAX; i++)
		start(x, s);
	assert_int_equal(capture_start(x->captures, &s, take, x, &c, error, sizeof(error)), -ENOSPC);
	capture_stop(NULL);
}

/* Records under way when a capture ends go nowhere, whoever ends it. */
static void test_stop(void **state)
{
	struct bench *x = *state;
	start(x, everything);
	x->stop_inside = true;
	push(x, x->a, ALL, A, -1, 60);
	settle(x, x->a);
	assert_int_equal(x->n, 1);
	assert_null(x->capture);
	assert_null(sw_captures(x->sw));
	push(x, x->a, ALL, A, -1, 60);
	settle(x, x->a);
	assert_int_equal(x->n, 1);
}

static void count_only(void *arg, const struct capture_record *r)
{
	++*(unsigned *)arg;
}

/* Main does not look for a while: the switch keeps the memory it needs, and nothing is
 * lost unsaid. */
static void test_lost(void **state)
{
	struct bench *x = *state;
	struct capture_spec s = everything;
	char error[64];
	unsigned delivered = 0;
	s.out = false;
	assert_int_equal(capture_start(x->captures, &s, count_only, &delivered, &x->capture, error,
				       sizeof(error)), 0);
	for (unsigned i = 0; i < 2000; i++) {
		push(x, x->t, ALL, B, 10, 60);
		if (i % 100 == 99)
			wait_taken(x, x->t);
	}
	assert_int_equal(counter_read(&x->t->port->c->rx_drop[DROP_RX_NO_BUFFER]), 0);
	sw_slow_drain(x->sw);
	assert_in_range(delivered, 100, 128); /* a quarter of 512 */
	assert_int_equal(delivered + capture_lost(x->capture), 2000);
	push(x, x->t, ALL, B, 10, 60); /* and it goes on */
	settle(x, x->t);
	assert_int_equal(delivered + capture_lost(x->capture), 2001);
	assert_in_range(delivered, 101, 129);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_journey), T(test_port_scope), T(test_domain_scope), T(test_drops_only), T(test_filter),
		T(test_snaplen), T(test_refusals),   T(test_stop),	   T(test_lost),
	};
	return cmocka_run_group_tests_name("capture", tests, NULL, NULL);
}
