/* What the gateway itself does: ARP, ICMP, services by slow sinks, refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/nat_bench.h"

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

static struct nb_pkt only(struct dummy *d)
{
	struct nb_pkt p;

	assert_int_equal(d->n_out, 1);
	assert_true(nb_read(&d->out[0], &p));
	d->n_out = 0;
	return p;
}

static uint64_t drops(struct nb *x, enum drop_reason why)
{
	return nb_drops(gateway_port(x->gw), why);
}

static void answers_arp(void **state)
{
	struct nb *x = *state;
	const uint8_t *f = x->guest->out[0].bytes;
	be32 spa;

	nb_arp(x, x->guest, G1_MAC, G1, GW_IP, 1);
	assert_int_equal(x->guest->n_out, 1);
	assert_int_equal(nb_get16(f + 12), 0x0806);
	assert_int_equal(nb_get16(f + 20), 2);
	memcpy(&spa, f + 28, 4);
	assert_int_equal(spa, GW_IP);
	nb_clear(x);
	nb_arp(x, x->guest, G1_MAC, G1, G2, 1); /* for somebody else */
	assert_int_equal(x->guest->n_out, 0);
}

static void answers_ping(void **state)
{
	struct nb *x = *state;
	struct nb_pkt p = nb_out(1, G1, 77, GW_IP, 0);

	p.payload = 1000;
	nb_send(x, x->guest, &p);
	struct nb_pkt r = only(x->guest);
	assert_int_equal(r.type, ICMP4_ECHO_REPLY);
	assert_int_equal(r.src, GW_IP);
	assert_int_equal(r.dst, G1);
	assert_int_equal(r.sport, 77);
	assert_int_equal(r.dst_mac, G1_MAC);

	p = nb_out(1, G1, 78, OUTSIDE, 0); /* the outside address is ours too */
	nb_send(x, x->guest, &p);
	assert_int_equal(only(x->guest).src, OUTSIDE);
	p = nb_in(1, NEXT_HOP, 79, 0);
	p.type = 8;
	nb_send(x, x->world, &p);
	assert_int_equal(only(x->world).src, OUTSIDE);
}

static void refuses_strangers(void **state)
{
	struct nb *x = *state;
	const be32 spoofed[] = {IP(10, 10, 11, 1), GW_IP, IP(10, 10, 10, 0), IP(10, 10, 10, 255)};

	for (unsigned i = 0; i < ARRAY_SIZE(spoofed); i++) {
		struct nb_pkt p = nb_out(17, spoofed[i], 1, R1, 53);
		nb_send(x, x->guest, &p);
	}
	assert_int_equal(drops(x, DROP_GW_SPOOFED), 4);
	struct nb_pkt p = nb_out(17, IP(127, 0, 0, 1), 1, R1, 53);
	nb_send(x, x->guest, &p);
	p = nb_out(17, G1, 1, IP(127, 0, 0, 1), 53);
	nb_send(x, x->guest, &p);
	p = nb_out(17, G1, 1, IP(240, 0, 0, 1), 53);
	nb_send(x, x->guest, &p);
	assert_int_equal(drops(x, DROP_GW_MARTIAN), 3);
	p = nb_out(17, G1, 1, G2, 53); /* on-link: not through us */
	nb_send(x, x->guest, &p);
	assert_int_equal(drops(x, DROP_GW_NO_ROUTE), 1);
	assert_int_equal(x->world->n_out, 0);
}

static void closed_ports_answer(void **state)
{
	struct nb *x = *state;
	struct nb_pkt p = nb_out(17, G1, 1000, GW_IP, 9);

	nb_send(x, x->guest, &p);
	struct nb_pkt e = only(x->guest);
	assert_int_equal(e.type, ICMP4_UNREACHABLE);
	assert_int_equal(x->guest->out[0].bytes[35], ICMP4_UNREACH_PORT);
	p = nb_out(6, G1, 1000, GW_IP, 80);
	p.flags = TCP_SYN;
	nb_send(x, x->guest, &p);
	assert_int_equal(only(x->guest).flags, TCP_RST | TCP_ACK);
	p = nb_out(6, G1, 1000, GW_IP, 53); /* no upstream set */
	p.flags = TCP_SYN;
	nb_send(x, x->guest, &p);
	assert_true(only(x->guest).flags & TCP_RST);
	assert_int_equal(drops(x, DROP_GW_LOCAL_CLOSED), 3);
}

static void ipv6_and_group(void **state)
{
	struct nb *x = *state;
	uint8_t f[80];

	dummy_frame(f, GW_MAC, G1_MAC, -1, 80);
	nb_put16(f + 12, 0x86dd);
	f[14] = 0x60;
	f[20] = 59;
	nb_push(x, x->guest, f, 54, (struct virtio_net_hdr){0});
	assert_int_equal(drops(x, DROP_GW_IPV6), 1);
	memcpy(f, "\x33\x33\0\0\0\1", 6);
	nb_push(x, x->guest, f, 54, (struct virtio_net_hdr){0});
	struct nb_pkt p = nb_out(17, G1, 5353, IP(224, 0, 0, 251), 5353); /* mDNS */
	p.dst_mac = 0x01005e0000fbull;
	nb_send(x, x->guest, &p);
	uint64_t all = 0;
	for (unsigned i = 0; i < DROP_COUNT; i++)
		all += drops(x, i);
	assert_int_equal(all, 1); /* groups are not ours and not lost */
	dummy_frame(f, GW_MAC, G1_MAC, -1, 80);
	nb_push(x, x->guest, f, 80, (struct virtio_net_hdr){0});
	assert_int_equal(drops(x, DROP_GW_NOT_MINE), 1);
}

struct got {
	struct nb *x;
	unsigned n;
	uint16_t dport;
	be32 src;
};

static void sink_fn(void *arg, struct pkt *k)
{
	struct got *g = arg;

	g->n++;
	g->dport = be16toh(pkt_udp(k)->dport);
	g->src = pkt_ip4(k)->src;
	pkt_free(sw_main_pool(g->x->sw), k);
}

static void services_get_their_packets(void **state)
{
	struct nb *x = *state;
	struct got dhcp = {x}, dns = {x};
	struct slow_sink s1 = {sink_fn, &dhcp}, s2 = {sink_fn, &dns};
	struct nb_pkt p = nb_out(17, 0, 68, ~(be32)0, 67);

	p.dst_mac = 0xffffffffffffull;
	nb_send(x, x->guest, &p); /* nobody there yet */
	assert_int_equal(drops(x, DROP_SVC_OFF), 1);
	gateway_set_sink(x->gw, GATEWAY_DHCP, &s1);
	gateway_set_sink(x->gw, GATEWAY_DNS, &s2);
	nb_send(x, x->guest, &p); /* discover */
	p = nb_out(17, G1, 68, GW_IP, 67);
	nb_send(x, x->guest, &p); /* renewal */
	p = nb_out(17, G1, 4000, GW_IP, 53);
	nb_send(x, x->guest, &p);
	sw_slow_drain(x->sw);
	assert_int_equal(dhcp.n, 2);
	assert_int_equal(dns.n, 1);
	assert_int_equal(dns.dport, 53);
	x->conf.flags = GATEWAY_SERVE_DHCP;
	gateway_set_conf(x->gw, &x->conf);
	nb_send(x, x->guest, &p);
	assert_int_equal(drops(x, DROP_SVC_OFF), 2);
	gateway_set_sink(x->gw, GATEWAY_DHCP, NULL);
	gateway_set_sink(x->gw, GATEWAY_DNS, NULL);
}

static void dns_over_tcp_is_translated(void **state)
{
	struct nb *x = *state;
	struct nb_pkt p = nb_out(6, G1, 4000, GW_IP, 53);

	gateway_set_dns_upstream(x->gw, R2);
	p.flags = TCP_SYN;
	nb_send(x, x->guest, &p);
	struct nb_pkt o = only(x->world);
	assert_int_equal(o.dst, R2);
	assert_int_equal(o.src, OUTSIDE);
	struct nb_pkt a = nb_in(6, R2, 53, o.sport);
	a.flags = TCP_SYN | TCP_ACK;
	nb_send(x, x->world, &a);
	struct nb_pkt i = only(x->guest);
	assert_int_equal(i.src, GW_IP);
	assert_int_equal(i.dport, 4000);
}

static void own_datagrams_go_out_and_come_back(void **state)
{
	struct nb *x = *state;
	struct got got = {x};
	struct slow_sink sink = {sink_fn, &got};
	struct nb_pkt p = nb_out(17, GW_IP, 3333, R1, 53);
	uint8_t f[200];
	size_t len = nb_build(f, &p);

	assert_int_equal(gateway_udp_socket(x->gw, 0, &sink), 0);
	assert_int_equal(gateway_udp_socket(x->gw, 0, &sink), 0);
	gateway_send(x->gw, pkt_from(sw_main_pool(x->sw), f, len));
	struct nb_pkt o = only(x->world);
	assert_int_equal(o.src, OUTSIDE);
	struct nb_pkt a = nb_in(17, R1, 53, o.sport);
	nb_send(x, x->world, &a);
	sw_slow_drain(x->sw);
	assert_int_equal(got.n, 1);
	assert_int_equal(got.dport, 3333);
	/* a guest cannot speak in the gateway's name */
	nb_send(x, x->guest, &p);
	assert_int_equal(drops(x, DROP_GW_SPOOFED), 1);
	nb_step(x, 11000);
	assert_int_equal(gateway_sessions(x->gw), 0);
	assert_int_equal(gateway_udp_socket(x->gw, 0, NULL), 0);
	gateway_send(x->gw, pkt_from(sw_main_pool(x->sw), f, len));
	assert_int_equal(x->world->n_out, 0);
}

static void networks_are_not_joined(void **state)
{
	struct nb *x = *state;
	struct gateway_conf c = nb_conf();
	struct gateway *other;
	domain_idx d;

	assert_int_equal(sw_domain_add(x->sw, 20, "office", &d), 0);
	strcpy(c.network, "office");
	c.address.addr = IP(10, 20, 0, 1);
	assert_int_equal(gateway_new(x->nat, d, &c, &other), 0);
	struct nb_pkt p = nb_out(17, G1, 1, IP(10, 20, 0, 9), 53);
	nb_send(x, x->guest, &p);
	assert_int_equal(drops(x, DROP_GW_NO_ROUTE), 1);
	assert_int_equal(only(x->guest).type, ICMP4_UNREACHABLE);
	gateway_free(other);
	nb_step(x, 1000); /* the first is still ticked */
	assert_int_equal(gateway_new(x->nat, x->dom, &x->conf, &other), -EEXIST);
}

static void without_uplink(void **state)
{
	struct nb *x = *state;
	struct nb_pkt p = nb_out(17, G1, 1, R1, 53);

	nb_send(x, x->guest, &p);
	assert_int_equal(gateway_sessions(x->gw), 1);
	assert_int_equal(gateway_set_uplink(x->gw, NULL, NULL), 0);
	assert_int_equal(gateway_sessions(x->gw), 0);
	nb_clear(x);
	nb_send(x, x->guest, &p);
	assert_int_equal(only(x->guest).type, ICMP4_UNREACHABLE);
	assert_int_equal(drops(x, DROP_GW_NO_ROUTE), 1);
	assert_int_equal(gateway_set_uplink(x->gw, x->up, NULL), 0);
	nb_send(x, x->guest, &p);
	assert_int_equal(x->world->n_out, 1);
}

static void errors_are_limited(void **state)
{
	struct nb *x = *state;
	struct nb_pkt p = nb_out(17, G1, 1000, GW_IP, 9);
	struct nat_stats s;

	for (unsigned i = 0; i < 300; i++)
		nb_send(x, x->guest, &p);
	nat_get_stats(x->nat, &s);
	assert_int_equal(s.icmp_sent, 200);
	assert_int_equal(s.icmp_held, 100);
	nb_step(x, 50);
	nb_send(x, x->guest, &p);
	nat_get_stats(x->nat, &s);
	assert_int_equal(s.icmp_sent, 201);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(answers_arp),
		T(answers_ping),
		T(refuses_strangers),
		T(closed_ports_answer),
		T(ipv6_and_group),
		T(services_get_their_packets),
		T(dns_over_tcp_is_translated),
		T(own_datagrams_go_out_and_come_back),
		T(networks_are_not_joined),
		T(without_uplink),
		T(errors_are_limited),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
