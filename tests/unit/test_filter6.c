/* The filter of IPv6: who is let in, for how long, how many; by a stepped clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/nat_bench.h"

#define ECHO_ID 7

static const uint8_t guest[16] = {0xfd, 0x10, [15] = 0x11}, world[16] = {0x20, 1, 0xd, 0xb8, [15] = 0x77},
		     next_hop[16] = {0x20, 1, 0xd, 0xb8, [15] = 1}, ours[16] = {0x20, 1, 0xd, 0xb8, [15] = 2},
		     gateway[16] = {0xfd, 0x10, [15] = 1};

/* A frame with an L4 message of `len` bytes, its checksum right (at `field` of it). */
static void push6(struct nb *x, struct dummy *from, const uint8_t src[16], const uint8_t dst[16], uint8_t proto,
		  uint8_t hops, const uint8_t *l4, size_t len, size_t field)
{
	bool out = from == x->guest;
	struct mac d = mac_from_u64(out ? GW_MAC : UP_MAC), s = mac_from_u64(out ? G1_MAC : WORLD_MAC);
	uint8_t f[200] = {0};

	memcpy(f, d.b, 6);
	memcpy(f + 6, s.b, 6);
	nb_put16(f + 12, 0x86dd);
	f[14] = 0x60;
	nb_put16(f + 18, (uint32_t)len);
	f[20] = proto;
	f[21] = hops;
	memcpy(f + 22, src, 16);
	memcpy(f + 38, dst, 16);
	memcpy(f + 54, l4, len);
	nb_put16(f + 54 + field, 0);
	nb_put16(f + 54 + field, 0xffff ^ nb_sum(nb_sum(proto + (uint32_t)len, f + 22, 32), f + 54, len));
	nb_push(x, from, f, 54 + len, (struct virtio_net_hdr){0});
}

/* src tells the gateway, or the uplink, its MAC address, as an answer. */
static void says_where(struct nb *x, struct dummy *from, const uint8_t src[16], const uint8_t to[16], uint64_t mac)
{
	struct mac m = mac_from_u64(mac);
	uint8_t na[32] = {136, [4] = 0x60, [24] = 2, [25] = 1};

	memcpy(na + 8, src, 16);
	memcpy(na + 26, m.b, 6);
	push6(x, from, src, to, 58, 255, na, sizeof(na), 2);
}

static void udp(struct nb *x, struct dummy *from, uint16_t sport, uint16_t dport)
{
	uint8_t u[12] = {0};
	bool out = from == x->guest;

	nb_put16(u, sport);
	nb_put16(u + 2, dport);
	nb_put16(u + 4, sizeof(u));
	push6(x, from, out ? guest : world, out ? world : guest, 17, 64, u, sizeof(u), 6);
}

static void tcp(struct nb *x, struct dummy *from, uint16_t sport, uint16_t dport, uint8_t flags)
{
	uint8_t t[20] = {[12] = 0x50, [13] = flags};
	bool out = from == x->guest;

	nb_put16(t, sport);
	nb_put16(t + 2, dport);
	push6(x, from, out ? guest : world, out ? world : guest, 6, 64, t, sizeof(t), 16);
}

static void echo(struct nb *x, struct dummy *from, uint8_t type)
{
	uint8_t e[8] = {type, [5] = ECHO_ID};
	bool out = from == x->guest;

	push6(x, from, out ? guest : world, out ? world : guest, 58, 64, e, sizeof(e), 2);
}

/* Both sides' neighbours are known again: they are forgotten while the clock is stepped. */
static void meet(struct nb *x)
{
	udp(x, x->guest, 9, 9);
	says_where(x, x->world, next_hop, ours, WORLD_MAC);
	says_where(x, x->world, world, ours, WORLD_MAC);
	udp(x, x->world, 9, 9);
	says_where(x, x->guest, guest, gateway, G1_MAC);
	nb_clear(x);
}

static int setup(void **state)
{
	struct nb *x = nb_new(NULL);
	struct uplink_conf uc = *uplink_get_conf(x->up);

	memcpy(uc.address6.addr, ours, 16);
	uc.address6.len = 64;
	memcpy(uc.gateway6, next_hop, 16);
	uplink_set_conf(x->up, &uc);
	nb_step(x, 100);
	memcpy(x->conf.address6.addr, gateway, 16);
	x->conf.address6.len = 64;
	x->conf.mode = GATEWAY_ROUTED;
	x->conf.filter6 = true;
	x->conf.sessions_per_guest = 8;
	gateway_set_conf(x->gw, &x->conf);
	meet(x);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	nb_free(*state);
	return 0;
}

static unsigned flows(struct nb *x)
{
	struct nat_stats s;

	nat_get_stats(x->nat, &s);
	return s.flows6;
}

static uint64_t refused(struct nb *x)
{
	return nb_drops(uplink_port(x->up), DROP_GW_UNSOLICITED);
}

static void udp_comes_back_for_its_time(void **state)
{
	struct nb *x = *state;

	udp(x, x->world, 77, 4000);
	assert_int_equal(refused(x), 1);
	udp(x, x->guest, 4000, 9);
	nb_step(x, 1000);
	nb_clear(x);
	udp(x, x->world, 77, 4000); /* from another port: anybody may */
	assert_int_equal(x->guest->n_out, 1);
	for (unsigned i = 0; i < 33; i++) /* what comes in keeps nothing alive */
		nb_step(x, 9000);
	meet(x);
	udp(x, x->world, 77, 4000);
	assert_int_equal(refused(x), 1);
	nb_step(x, 9000);
	udp(x, x->world, 77, 4000);
	assert_int_equal(refused(x), 2);
}

static void tcp_is_followed(void **state)
{
	struct nb *x = *state;
	unsigned before = flows(x);

	tcp(x, x->world, 80, 4000, TCP_SYN);
	assert_int_equal(refused(x), 1);
	tcp(x, x->guest, 4000, 80, TCP_SYN);
	assert_int_equal(flows(x), before + 1);
	nb_clear(x);
	tcp(x, x->world, 80, 4000, TCP_SYN | TCP_ACK);
	assert_int_equal(x->guest->n_out, 1);
	tcp(x, x->world, 81, 4000, TCP_ACK); /* another port is another connection */
	assert_int_equal(refused(x), 2);
	for (unsigned i = 0; i < 40; i++) /* beyond the transitory 240 s: it is established */
		nb_step(x, 9000);
	meet(x);
	nb_clear(x);
	tcp(x, x->world, 80, 4000, TCP_ACK);
	assert_int_equal(x->guest->n_out, 1);
	tcp(x, x->guest, 4000, 80, TCP_FIN | TCP_ACK);
	tcp(x, x->world, 80, 4000, TCP_FIN | TCP_ACK);
	for (unsigned i = 0; i < 28; i++)
		nb_step(x, 9000);
	tcp(x, x->world, 80, 4000, TCP_ACK);
	assert_int_equal(refused(x), 3);
}

static void a_syn_unasked_is_told_of_late(void **state)
{
	struct nb *x = *state;

	tcp(x, x->world, 80, 4000, TCP_SYN);
	nb_clear(x);
	nb_step(x, 5000);
	assert_int_equal(x->world->n_out, 0);
	nb_step(x, 2000);
	assert_int_equal(x->world->n_out, 1);
	assert_int_equal(x->world->out[0].bytes[54], ICMP6_UNREACHABLE);
	assert_int_equal(x->world->out[0].bytes[55], ICMP6_UNREACH_ADMIN);
	tcp(x, x->world, 80, 4001, TCP_SYN); /* half of a simultaneous open (REC-32) */
	tcp(x, x->guest, 4001, 80, TCP_SYN);
	nb_clear(x);
	nb_step(x, 7000);
	assert_int_equal(x->world->n_out, 0);
	tcp(x, x->world, 80, 4001, TCP_SYN);
	assert_int_equal(x->guest->n_out, 1);
}

static void echo_is_answered_not_asked(void **state)
{
	struct nb *x = *state;

	echo(x, x->world, ICMP6_ECHO);
	echo(x, x->world, ICMP6_ECHO_REPLY);
	assert_int_equal(refused(x), 2);
	echo(x, x->guest, ICMP6_ECHO);
	nb_clear(x);
	echo(x, x->world, ICMP6_ECHO_REPLY);
	assert_int_equal(x->guest->n_out, 1);
	echo(x, x->world, ICMP6_ECHO);
	assert_int_equal(refused(x), 3);
}

static void a_port_has_its_share(void **state)
{
	struct nb *x = *state;

	for (uint16_t i = 0; i < 20; i++)
		udp(x, x->guest, (uint16_t)(5000 + i), 9);
	assert_int_equal(flows(x), 8);
	assert_int_equal(nb_drops(gateway_port(x->gw), DROP_NAT_SESSIONS), 13);
	gateway_free(x->gw);
	x->gw = NULL;
	assert_int_equal(flows(x), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(udp_comes_back_for_its_time), T(tcp_is_followed), T(a_syn_unasked_is_told_of_late),
		T(echo_is_answered_not_asked),	T(a_port_has_its_share),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
