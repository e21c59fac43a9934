/* The DHCP client by a stepped clock: against our own server, and against messages that no
 * server of good will sends. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "dhcp/dhcp_client.h"
#include "dhcp/dhcp_server.h"

#define S     NSEC_PER_SEC
#define T0    (1000 * S)
#define LEASE 1000u

static const struct mac mac = {{2, 0, 0, 0, 0, 7}};
static struct dhcp_client c;
static struct dhcp_client_out o;
static struct lease_store *store;
static struct dhcp_server *server;

static be32 ip(uint8_t net, uint8_t last)
{
	return htobe32(UINT32_C(0x0a000000) | (uint32_t)net << 16 | last);
}

static void serve(uint8_t net, uint8_t router)
{
	struct dhcp_conf conf = {.network = "lab", .server_id = ip(net, 1), .router = ip(net, router),
				 .subnet = {ip(net, 0), 24}, .range_first = ip(net, 50),
				 .range_last = ip(net, 60), .lease_s = LEASE, .mtu = 1400};
	if (server)
		assert_int_equal(dhcp_server_set_conf(server, &conf, (int64_t)(T0 / S)), 0);
	else
		server = dhcp_server_new(store, &conf);
	assert_non_null(server);
}

static int setup(void **state)
{
	(void)state;
	store = lease_store_new(NULL, (int64_t)(T0 / S));
	serve(1, 1);
	dhcp_client_init(&c, mac, "vsw", 0, 42, T0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	dhcp_server_free(server);
	lease_store_free(store);
	server = NULL;
	return 0;
}

/* Carries what the client said to the server and the answer back, until nobody speaks.  The
 * first event other than NOTHING. */
static enum dhcp_client_event talk(nsec_t now)
{
	static struct dhcp_reply reply;
	enum dhcp_client_event ev = o.event;

	while (o.len) {
		struct dhcp_request_ctx ctx = {.port = "p", .now_s = (int64_t)(now / S)};
		if (dhcp_handle(server, &ctx, o.bytes, o.len, &reply) != 1) {
			o.len = 0;
			break;
		}
		dhcp_client_input(&c, now, reply.bytes, reply.len, &o);
		ev = ev ? ev : o.event;
	}
	return ev;
}

static enum dhcp_client_event step(nsec_t now)
{
	dhcp_client_tick(&c, now, &o);
	return talk(now);
}

static void bind_it(void)
{
	assert_int_equal(step(T0), DHCP_CLIENT_LEASED);
	assert_int_equal(c.state, DHCP_CLIENT_BOUND);
}

static void takes_a_lease(void **state)
{
	bind_it();
	assert_true(prefix4_contains((struct prefix4){ip(1, 0), 24}, c.lease.address.addr));
	assert_int_equal(c.lease.address.len, 24);
	assert_int_equal(c.lease.gateway, ip(1, 1));
	assert_int_equal(c.lease.server, ip(1, 1));
	assert_int_equal(c.lease.mtu, 1400);
	assert_int_equal(c.lease.lease_s, LEASE);
	assert_int_equal(c.at, T0 + LEASE / 2 * S);
}

static void discovers_with_backoff(void **state)
{
	nsec_t now = T0, last = T0;
	static const unsigned want[] = {4, 8, 16, 32, 64, 64, 64};

	for (unsigned i = 0; i < ARRAY_SIZE(want); i++) {
		dhcp_client_tick(&c, now, &o);
		assert_true(o.len > 0);
		assert_int_equal(o.src, 0);
		assert_int_equal(o.dst, UINT32_MAX);
		last = now;
		now = c.at;
		assert_true(now - last >= (want[i] - 1) * S && now - last <= (want[i] + 1) * S);
		dhcp_client_tick(&c, now - 1, &o);
		assert_int_equal(o.len, 0);
	}
}

static void renews_at_half(void **state)
{
	bind_it();
	dhcp_client_tick(&c, T0 + 499 * S, &o);
	assert_int_equal(o.len, 0);
	dhcp_client_tick(&c, T0 + 500 * S, &o);
	assert_int_equal(c.state, DHCP_CLIENT_RENEWING);
	assert_int_equal(o.dst, c.lease.server); /* 4.4.5: by unicast */
	assert_int_equal(o.src, c.lease.address.addr);
	assert_int_equal(talk(T0 + 500 * S), DHCP_CLIENT_RENEWED);
	assert_int_equal(c.end, T0 + 1500 * S);
}

static void lease_counts_from_the_first_request(void **state)
{
	bind_it();
	dhcp_client_tick(&c, T0 + 500 * S, &o); /* lost */
	dhcp_client_tick(&c, c.at, &o);
	assert_int_equal(talk(T0 + 700 * S), DHCP_CLIENT_RENEWED);
	assert_int_equal(c.end, T0 + 1500 * S);
}

static void server_gone_rebinds_then_loses(void **state)
{
	bool rebound = false;
	unsigned sent = 0;

	bind_it();
	while (c.has_lease) {
		nsec_t now = c.at;
		dhcp_client_tick(&c, now, &o);
		sent++;
		if (c.state == DHCP_CLIENT_REBINDING) {
			rebound = true;
			assert_true(now >= T0 + 875 * S);
			assert_int_equal(o.dst, UINT32_MAX);
		}
		assert_true(sent < 20);
		if (!c.has_lease) {
			assert_int_equal(now, T0 + LEASE * S);
			assert_int_equal(o.event, DHCP_CLIENT_LOST);
			assert_int_equal(c.state, DHCP_CLIENT_SELECTING);
		}
	}
	assert_true(rebound);
	serve(1, 1);
	assert_int_equal(step(c.at), DHCP_CLIENT_LEASED);
}

static void follows_a_new_gateway(void **state)
{
	bind_it();
	serve(1, 9);
	assert_int_equal(step(T0 + 500 * S), DHCP_CLIENT_LEASED);
	assert_int_equal(c.lease.gateway, ip(1, 9));
}

/* The server serves another subnet now: NAK, and an address there. */
static void nak_starts_over(void **state)
{
	be32 was;

	bind_it();
	was = c.lease.address.addr;
	serve(2, 1);
	c.server = c.lease.server = ip(2, 1); /* it answers by the name it has now */
	assert_int_equal(step(T0 + 500 * S), DHCP_CLIENT_LOST);
	assert_int_equal(c.stats.naks, 1);
	assert_int_equal(step(c.at), DHCP_CLIENT_LEASED);
	assert_int_not_equal(c.lease.address.addr, was);
	assert_true(prefix4_contains((struct prefix4){ip(2, 0), 24}, c.lease.address.addr));
}

static void reboots_with_what_it_had(void **state)
{
	be32 was;

	bind_it();
	was = c.lease.address.addr;
	dhcp_client_init(&c, mac, "vsw", was, 43, T0 + 10 * S);
	assert_int_equal(c.state, DHCP_CLIENT_REBOOTING);
	assert_int_equal(step(T0 + 10 * S), DHCP_CLIENT_LEASED);
	assert_int_equal(c.lease.address.addr, was);
	assert_int_equal(c.stats.sent, 1); /* one request, no discover */
}

static void reboot_without_answer_discovers(void **state)
{
	dhcp_client_init(&c, mac, "vsw", ip(1, 55), 43, T0);
	for (int i = 0; i < 2; i++) {
		dhcp_client_tick(&c, c.at, &o);
		assert_int_equal(c.state, DHCP_CLIENT_REBOOTING);
	}
	dhcp_client_tick(&c, c.at, &o);
	assert_int_equal(c.state, DHCP_CLIENT_SELECTING);
}

static void a_link_that_returns_keeps_the_lease(void **state)
{
	bind_it();
	dhcp_client_link_up(&c, T0 + 5 * S);
	assert_true(c.has_lease);
	assert_int_equal(step(T0 + 5 * S), DHCP_CLIENT_RENEWED);
	dhcp_client_link_up(&c, T0 + 9 * S); /* and nobody answers this time */
	dhcp_client_tick(&c, c.at, &o);
	dhcp_client_tick(&c, c.at, &o);
	dhcp_client_tick(&c, c.at, &o);
	assert_int_equal(c.state, DHCP_CLIENT_BOUND);
	assert_int_equal(c.end, T0 + (5 + LEASE) * S);
}

static void gives_it_back(void **state)
{
	struct dhcp_request_ctx ctx = {.port = "p", .now_s = (int64_t)(T0 / S)};
	static struct dhcp_reply reply;

	bind_it();
	dhcp_client_release(&c, &o);
	assert_int_equal(o.event, DHCP_CLIENT_LOST);
	assert_int_equal(o.dst, ip(1, 1));
	assert_int_equal(dhcp_handle(server, &ctx, o.bytes, o.len, &reply), 0);
	assert_int_equal(c.at, 0);
	dhcp_client_release(&c, &o);
	assert_int_equal(o.len, 0);
}

/* ---- answers made by hand ---- */

struct answer {
	enum dhcp_type type;
	uint32_t xid;
	struct mac chaddr;
	be32 yiaddr, server, mask;
	uint32_t lease_s, t1, t2;
	const uint8_t *routes;
	size_t n_routes;
	be32 router;
};

static int give(struct answer a, nsec_t now)
{
	static uint8_t room[DHCP_MSG_MAX];
	struct dhcp_msg m = {.htype = DHCP_HTYPE_ETHERNET, .hlen = 6, .xid = a.xid, .chaddr = a.chaddr};
	struct dhcp_build b;

	dhcp_build_start(&b, room, DHCP_MSG_MAX, &m, a.type, 0, a.yiaddr, 0);
	if (a.server)
		dhcp_build_ip4(&b, DHCP_OPT_SERVER_ID, a.server);
	if (a.mask)
		dhcp_build_ip4(&b, DHCP_OPT_MASK, a.mask);
	if (a.lease_s)
		dhcp_build_u32(&b, DHCP_OPT_LEASE_TIME, a.lease_s);
	if (a.t1)
		dhcp_build_u32(&b, DHCP_OPT_T1, a.t1);
	if (a.t2)
		dhcp_build_u32(&b, DHCP_OPT_T2, a.t2);
	if (a.router)
		dhcp_build_ip4(&b, DHCP_OPT_ROUTER, a.router);
	if (a.routes)
		dhcp_build_put(&b, DHCP_OPT_ROUTES, a.routes, a.n_routes);
	return dhcp_client_input(&c, now, room, dhcp_build_finish(&b), &o);
}

static struct answer good(enum dhcp_type type)
{
	return (struct answer){.type = type, .xid = c.xid, .chaddr = mac, .yiaddr = ip(1, 77),
			       .server = ip(1, 1), .mask = htobe32(0xffffff00), .lease_s = 600};
}

static void only_answers_to_us_count(void **state)
{
	struct answer a;

	dhcp_client_tick(&c, T0, &o);
	a = good(DHCP_OFFER);
	a.xid ^= 1;
	assert_int_equal(give(a, T0), -ENOMSG);
	a = good(DHCP_OFFER);
	a.chaddr.b[5] ^= 1;
	assert_int_equal(give(a, T0), -ENOMSG);
	a = good(DHCP_OFFER);
	a.server = 0;
	assert_int_equal(give(a, T0), -ENOMSG);
	a = good(DHCP_OFFER);
	a.yiaddr = htobe32(0x7f000001);
	assert_int_equal(give(a, T0), -ENOMSG);
	a = good(DHCP_OFFER);
	a.mask = htobe32(0xff00ff00);
	assert_int_equal(give(a, T0), -ENOMSG);
	a = good(DHCP_OFFER);
	a.lease_s = 0;
	assert_int_equal(give(a, T0), -ENOMSG);
	assert_int_equal(give(good(DHCP_ACK), T0), -ENOMSG); /* nothing was asked for */
	assert_int_equal(give(good(DHCP_NAK), T0), -ENOMSG);
	assert_int_equal(c.state, DHCP_CLIENT_SELECTING);
	assert_int_equal(give(good(DHCP_OFFER), T0), 0);
	assert_int_equal(c.state, DHCP_CLIENT_REQUESTING);
	a = good(DHCP_ACK);
	a.server = ip(1, 2); /* another server than the one chosen */
	assert_int_equal(give(a, T0), -ENOMSG);
	a = good(DHCP_NAK);
	a.server = ip(1, 2);
	assert_int_equal(give(a, T0), -ENOMSG);
	assert_int_equal(give(good(DHCP_ACK), T0), 0);
	assert_int_equal(o.event, DHCP_CLIENT_LEASED);
	assert_int_equal(dhcp_client_input(&c, T0, "short", 5, &o), -EBADMSG);
}

static void impossible_times_fall_back(void **state)
{
	struct answer a;

	dhcp_client_tick(&c, T0, &o);
	give(good(DHCP_OFFER), T0);
	a = good(DHCP_ACK);
	a.t1 = 599;
	a.t2 = 100;
	assert_int_equal(give(a, T0), 0);
	assert_int_equal(c.lease.t1_s, 300);
	assert_int_equal(c.lease.t2_s, 525);
}

static void forever_never_wakes(void **state)
{
	struct answer a;

	dhcp_client_tick(&c, T0, &o);
	give(good(DHCP_OFFER), T0);
	a = good(DHCP_ACK);
	a.lease_s = DHCP_CLIENT_FOREVER;
	assert_int_equal(give(a, T0), 0);
	assert_int_equal(c.at, 0);
}

static void classless_routes(void **state)
{
	static const uint8_t r[] = {0, 10, 1, 0, 254, 24, 192, 168, 7, 10, 1, 0, 253,
				    8, 172, 0, 0, 0, 0};
	struct answer a;

	dhcp_client_tick(&c, T0, &o);
	give(good(DHCP_OFFER), T0);
	a = good(DHCP_ACK);
	a.routes = r;
	a.n_routes = sizeof(r);
	a.router = ip(1, 1); /* RFC 3442: ignored beside option 121 */
	assert_int_equal(give(a, T0), 0);
	assert_int_equal(c.lease.gateway, ip(1, 254));
	assert_int_equal(c.lease.n_routes, 2);
	assert_int_equal(c.lease.route[0].to.addr, htobe32(0xc0a80700));
	assert_int_equal(c.lease.route[0].to.len, 24);
	assert_int_equal(c.lease.route[0].via, ip(1, 253));
	assert_int_equal(c.lease.route[1].via, 0);
	dhcp_client_link_up(&c, T0);
	dhcp_client_tick(&c, T0, &o);
	a = good(DHCP_ACK);
	a.routes = r;
	a.n_routes = sizeof(r) - 2; /* cut short: the option is as if absent */
	a.router = ip(1, 1);
	assert_int_equal(give(a, T0), 0);
	assert_int_equal(o.event, DHCP_CLIENT_LEASED);
	assert_int_equal(c.lease.gateway, ip(1, 1));
	assert_int_equal(c.lease.n_routes, 0);
}

static void naks_do_not_loop(void **state)
{
	for (unsigned i = 0; i < 2; i++) {
		nsec_t now = c.at;
		dhcp_client_tick(&c, now, &o);
		give(good(DHCP_OFFER), now);
		assert_int_equal(give(good(DHCP_NAK), now), 0);
		assert_int_equal(c.at, i ? now + 10 * S : now);
	}
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(takes_a_lease), T(discovers_with_backoff), T(renews_at_half),
		T(lease_counts_from_the_first_request), T(server_gone_rebinds_then_loses),
		T(follows_a_new_gateway), T(nak_starts_over), T(reboots_with_what_it_had),
		T(reboot_without_answer_discovers), T(a_link_that_returns_keeps_the_lease),
		T(gives_it_back), T(only_answers_to_us_count), T(impossible_times_fall_back),
		T(forever_never_wakes), T(classless_routes), T(naks_do_not_loop),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
