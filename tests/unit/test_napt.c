/* The translator on the bench of nat_bench.h: mappings, filtering, checksums, timers,
 * limits, ICMP errors, fragments, hairpins.  After every test the switch's books must
 * balance and no packet memory may be missing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/nat_bench.h"

static const struct nat_limits small = {.max_sessions = 64};

static int setup(void **state)
{
	*state = nb_new(NULL);
	return 0;
}

static int setup_small(void **state)
{
	*state = nb_new(&small);
	return 0;
}

static void check_port(void *arg, struct port *p, const struct sw_port_counters *c)
{
	uint64_t rx = c->forwarded + c->flooded + c->consumed, tx = c->tx_packets;

	for (unsigned i = 0; i < DROP_COUNT; i++) {
		rx += c->rx_drop[i];
		tx += c->tx_drop[i];
	}
	assert_int_equal(c->rx_packets, rx);
	assert_int_equal(c->offered, tx);
	*(uint64_t *)arg += c->offered;
}

static int teardown(void **state)
{
	struct nb *x = *state;
	struct sw_totals t;
	uint64_t offered = 0;

	sw_counters(x->sw, &t, check_port, &offered);
	assert_int_equal(t.copies, offered + t.gone_offered);
	nb_free(x);
	return 0;
}

/* The one frame that came out there. */
static struct nb_pkt only(struct dummy *d)
{
	struct nb_pkt p;

	assert_int_equal(d->n_out, 1);
	assert_true(nb_read(&d->out[0], &p));
	d->n_out = 0;
	return p;
}

static struct nb_pkt out_once(struct nb *x, struct nb_pkt p)
{
	nb_send(x, x->guest, &p);
	return only(x->world);
}

static void same_outside_port_for_all_remotes(void **state)
{
	struct nb *x = *state;
	struct nb_pkt a = out_once(x, nb_out(17, G1, 5000, R1, 53));
	struct nb_pkt b = out_once(x, nb_out(17, G1, 5000, R2, 99));
	struct nb_pkt c = out_once(x, nb_out(17, G1, 5001, R1, 53));

	assert_int_equal(a.src, OUTSIDE);
	assert_int_equal(a.dst, R1);
	assert_int_equal(a.dport, 53);
	assert_int_equal(a.src_mac, UP_MAC);
	assert_int_equal(a.dst_mac, WORLD_MAC);
	assert_int_equal(a.ttl, 63);
	assert_int_equal(b.sport, a.sport); /* RFC 4787 REQ-1 */
	assert_int_not_equal(c.sport, a.sport);
	assert_int_equal(a.sport & 1, 0); /* parity, RFC 4787 4.2.2 */
	assert_int_equal(c.sport & 1, 1);
	assert_true(a.sport >= 1024);
}

static void two_guests_never_share_a_port(void **state)
{
	struct nb *x = *state;
	struct nb_pkt a = out_once(x, nb_out(17, G1, 5000, R1, 53));
	struct nb_pkt b = out_once(x, nb_out(17, G2, 5000, R1, 53));

	assert_int_not_equal(a.sport, b.sport);
}

static void answers_find_their_guest(void **state)
{
	struct nb *x = *state;
	struct nb_pkt o = out_once(x, nb_out(17, G1, 5000, R1, 53)), a = nb_in(17, R1, 53, o.sport);

	nb_send(x, x->world, &a);
	struct nb_pkt i = only(x->guest);
	assert_int_equal(i.dst, G1);
	assert_int_equal(i.dport, 5000);
	assert_int_equal(i.src, R1);
	assert_int_equal(i.sport, 53);
	assert_int_equal(i.dst_mac, G1_MAC);
	assert_int_equal(i.src_mac, GW_MAC);
	assert_int_equal(i.ttl, 63);
}

static void set_filtering(struct nb *x, enum gateway_filtering f)
{
	x->conf.filtering = f;
	assert_int_equal(gateway_set_conf(x->gw, &x->conf), 0);
}

static bool comes_in(struct nb *x, be32 src, uint16_t sport, uint16_t dport)
{
	struct nb_pkt p = nb_in(17, src, sport, dport);

	nb_clear(x);
	nb_send(x, x->world, &p);
	return x->guest->n_out == 1;
}

static void filtering_modes(void **state)
{
	struct nb *x = *state;
	uint16_t port = out_once(x, nb_out(17, G1, 5000, R1, 53)).sport;

	assert_true(comes_in(x, R1, 53, port));
	assert_false(comes_in(x, R1, 54, port));
	assert_false(comes_in(x, R2, 53, port));
	assert_int_equal(nb_drops(uplink_port(x->up), DROP_NAT_FILTERED), 2);
	set_filtering(x, GATEWAY_FILTER_ADDRESS_DEPENDENT);
	assert_true(comes_in(x, R1, 54, port));
	assert_false(comes_in(x, R2, 53, port));
	set_filtering(x, GATEWAY_FILTER_ENDPOINT_INDEPENDENT);
	assert_true(comes_in(x, R2, 53, port));
	assert_false(comes_in(x, R2, 53, port ^ 2));
	assert_int_equal(nb_drops(uplink_port(x->up), DROP_NAT_NO_MAPPING), 1);
}

/* nb_read() sums every frame anew; here over sizes, forms and both directions. */
static void checksums(void **state)
{
	struct nb *x = *state;
	static const uint8_t protos[] = {6, 17, 1};

	for (unsigned i = 0; i < 3 * 2 * 40; i++) {
		struct nb_pkt p = nb_out(protos[i % 3], G1, (uint16_t)(6000 + i), R1, 80);
		p.partial = protos[i % 3] != 1 && (i / 3) % 2;
		p.payload = (uint16_t)(i * 13 % 1400);
		p.flags = TCP_SYN;
		struct nb_pkt o = out_once(x, p);
		struct nb_pkt a = nb_in(p.proto, R1, 80, o.sport);
		if (p.proto == 1)
			a.sport = o.sport;
		a.partial = p.partial;
		a.payload = (uint16_t)(i * 31 % 1400);
		a.flags = TCP_SYN | TCP_ACK;
		nb_send(x, x->world, &a);
		struct nb_pkt in = only(x->guest);
		assert_int_equal(p.proto == 1 ? in.sport : in.dport, 6000 + i);
	}
}

static void udp_without_checksum_stays_so(void **state)
{
	struct nb *x = *state;
	struct nb_pkt p = nb_out(17, G1, 5000, R1, 53);

	p.no_csum = true;
	nb_send(x, x->guest, &p);
	assert_int_equal(x->world->n_out, 1);
	assert_int_equal(nb_get16(x->world->out[0].bytes + 40), 0);
}

static void tso_frame_passes_whole(void **state)
{
	struct nb *x = *state;
	struct nb_pkt p = nb_out(6, G1, 5000, R1, 80);

	p.flags = TCP_SYN;
	out_once(x, p);
	p.flags = TCP_ACK;
	p.partial = true;
	p.payload = 3900;
	p.gso_size = 1448;
	struct nb_pkt o = out_once(x, p);
	assert_int_equal(o.payload, 20 + 3900);
	assert_int_equal(o.src, OUTSIDE);
}

static size_t sessions(struct nb *x)
{
	return gateway_sessions(x->gw);
}

static void udp_timer(void **state)
{
	struct nb *x = *state;
	uint16_t port = out_once(x, nb_out(17, G1, 5000, R1, 53)).sport;

	nb_step(x, 295000);
	assert_int_equal(sessions(x), 1);
	assert_true(comes_in(x, R1, 53, port)); /* does not refresh, RFC 4787 REQ-6 */
	nb_step(x, 6000);
	assert_int_equal(sessions(x), 0);
	assert_false(comes_in(x, R1, 53, port));

	nb_clear(x);
	out_once(x, nb_out(17, G1, 5000, R1, 53));
	nb_step(x, 200000);
	out_once(x, nb_out(17, G1, 5000, R1, 53)); /* refreshes */
	nb_step(x, 200000);
	assert_int_equal(sessions(x), 1);
	nb_step(x, 101000);
	assert_int_equal(sessions(x), 0);
}

static void tcp_open(struct nb *x, uint16_t sport, uint16_t *ret_port)
{
	struct nb_pkt p = nb_out(6, G1, sport, R1, 80);

	p.flags = TCP_SYN;
	*ret_port = out_once(x, p).sport;
	struct nb_pkt a = nb_in(6, R1, 80, *ret_port);
	a.flags = TCP_SYN | TCP_ACK;
	nb_send(x, x->world, &a);
	only(x->guest);
}

static void tcp_timers(void **state)
{
	struct nb *x = *state;
	uint16_t port;
	struct nb_pkt p = nb_out(6, G1, 6000, R1, 80);

	p.flags = TCP_SYN;
	out_once(x, p);
	nb_step(x, 241000); /* never answered: transitory */
	assert_int_equal(sessions(x), 0);

	tcp_open(x, 6001, &port);
	nb_step(x, 7400000);
	assert_int_equal(sessions(x), 1);
	nb_step(x, 41000);
	assert_int_equal(sessions(x), 0);

	tcp_open(x, 6002, &port);
	p = nb_out(6, G1, 6002, R1, 80);
	p.flags = TCP_FIN | TCP_ACK;
	out_once(x, p);
	struct nb_pkt a = nb_in(6, R1, 80, port);
	a.flags = TCP_FIN | TCP_ACK;
	nb_send(x, x->world, &a);
	only(x->guest);
	nb_step(x, 235000);
	assert_int_equal(sessions(x), 1);
	nb_step(x, 6000);
	assert_int_equal(sessions(x), 0);
}

/* RFC 7857 2.2: the RST starts the short timer, traffic after it brings back the long one. */
static void tcp_reset_does_not_end(void **state)
{
	struct nb *x = *state;
	uint16_t port;

	tcp_open(x, 6000, &port);
	struct nb_pkt a = nb_in(6, R1, 80, port);
	a.flags = TCP_RST;
	nb_send(x, x->world, &a);
	only(x->guest);
	out_once(x, nb_out(6, G1, 6000, R1, 80));
	nb_step(x, 1000000);
	assert_int_equal(sessions(x), 1);
}

static void tcp_without_syn_is_reset(void **state)
{
	struct nb *x = *state;
	struct nb_pkt p = nb_out(6, G1, 6000, R1, 80);

	nb_send(x, x->guest, &p);
	assert_int_equal(x->world->n_out, 0);
	struct nb_pkt r = only(x->guest);
	assert_true(r.flags & TCP_RST);
	assert_int_equal(r.src, R1);
	assert_int_equal(r.dport, 6000);
	assert_int_equal(nb_drops(gateway_port(x->gw), DROP_NAT_NOT_SYN), 1);
}

static void syn_from_outside(struct nb *x, uint16_t dport)
{
	struct nb_pkt p = nb_in(6, R1, 80, dport);

	p.flags = TCP_SYN;
	nb_send(x, x->world, &p);
}

/* RFC 5382 REQ-4, and REQ-2: a SYN from inside within the six seconds is the other half. */
static void unsolicited_syn_waits_six_seconds(void **state)
{
	struct nb *x = *state;
	uint16_t port;

	syn_from_outside(x, 3333);
	syn_from_outside(x, 3333); /* sent again: one answer */
	nb_step(x, 5900);
	assert_int_equal(x->world->n_out, 0);
	nb_step(x, 200);
	struct nb_pkt e = only(x->world);
	assert_int_equal(e.type, ICMP4_UNREACHABLE);
	assert_int_equal(x->world->out[0].bytes[35], ICMP4_UNREACH_PORT);
	assert_int_equal(e.dst, R1);
	assert_int_equal(nb_drops(uplink_port(x->up), DROP_NAT_NO_MAPPING), 2);

	struct nb_pkt p = nb_out(6, G1, 6000, R2, 80); /* a mapping, but R1 is a stranger to it */
	p.flags = TCP_SYN;
	port = out_once(x, p).sport;
	syn_from_outside(x, port);
	assert_int_equal(nb_drops(uplink_port(x->up), DROP_NAT_FILTERED), 1);
	p.dst = R1;
	assert_int_equal(out_once(x, p).sport, port);
	nb_step(x, 7000);
	assert_int_equal(x->world->n_out, 0);
	syn_from_outside(x, port); /* sent again: simultaneous open */
	assert_int_equal(only(x->guest).flags, TCP_SYN);
	nb_step(x, 400000); /* long past the transitory timer */
	struct nat_row *row;
	size_t n;
	assert_int_equal(nat_list(x->nat, NULL, &row, &n), 0);
	assert_int_equal(n, 1);
	assert_string_equal(row[0].state, "established");
	free(row);
}

static void unsolicited_syns_are_limited(void **state)
{
	struct nb *x = *state;

	for (unsigned i = 0; i < 2 * SYN_WAIT_MAX; i++)
		syn_from_outside(x, (uint16_t)(2000 + i));
	assert_int_equal(x->nat->n_syn, SYN_WAIT_MAX);
	nb_step(x, 6100);
	assert_int_equal(x->nat->n_syn, 0);
	assert_int_equal(x->world->n_out, SYN_WAIT_MAX);
	syn_from_outside(x, 2000); /* one is left to be freed with the rest */
}

/* The uplink has another address: a connection of before is told, and its answer is reset. */
static void stale_connections_are_told(void **state)
{
	struct nb *x = *state;
	struct uplink_conf c = *uplink_get_conf(x->up);
	uint16_t port;

	tcp_open(x, 6000, &port);
	out_once(x, nb_out(17, G1, 5000, R1, 53)); /* UDP has nothing that could be told */
	c.address.addr = htobe32(be32toh(OUTSIDE) + 5);
	assert_int_equal(uplink_set_conf(x->up, &c), 0);
	nb_step(x, 10);
	assert_int_equal(sessions(x), 0);
	struct nb_pkt told = only(x->guest);
	assert_int_equal(told.src, R1);
	assert_int_equal(told.sport, 80);
	assert_int_equal(told.dport, 6000);
	assert_int_equal(told.flags, TCP_ACK);
	struct nb_pkt p = nb_out(6, G1, 6000, R1, 80); /* the challenge ACK */
	nb_send(x, x->guest, &p);
	assert_true(only(x->guest).flags & TCP_RST);
}

static void not_all_stale_ones_are_told_at_once(void **state)
{
	struct nb *x = *state;
	uint16_t port;

	for (unsigned i = 0; i < NAT_TOLD_MAX + 44; i++)
		tcp_open(x, (uint16_t)(6000 + i), &port);
	gateway_set_uplink(x->gw, NULL, NULL);
	nb_step(x, 10);
	assert_int_equal(x->guest->n_out, NAT_TOLD_MAX);
}

static void mss_is_clamped(void **state)
{
	struct nb *x = *state;
	struct uplink_conf c = *uplink_get_conf(x->up);
	struct nb_pkt p = nb_out(6, G1, 6000, R1, 80);

	c.mtu = 1400;
	assert_int_equal(uplink_set_conf(x->up, &c), 0);
	nb_arp(x, x->world, WORLD_MAC, NEXT_HOP, OUTSIDE, 1);
	nb_step(x, 10);
	nb_clear(x);
	p.flags = TCP_SYN;
	p.mss = 1460;
	out_once(x, p);
	nb_send(x, x->guest, &p);
	assert_int_equal(nb_get16(x->world->out[0].bytes + 56), 1360);
	only(x->world); /* and the checksum is right */
}

static void guest_session_limit(void **state)
{
	struct nb *x = *state;

	x->conf.sessions_per_guest = 5;
	gateway_set_conf(x->gw, &x->conf);
	for (unsigned i = 0; i < 5; i++)
		out_once(x, nb_out(17, G1, 5000, R1, (uint16_t)(100 + i)));
	struct nb_pkt p = nb_out(17, G1, 5000, R1, 200);
	nb_send(x, x->guest, &p);
	assert_int_equal(x->world->n_out, 0);
	assert_int_equal(nb_drops(gateway_port(x->gw), DROP_NAT_SESSIONS), 1);
	struct nb_pkt e = only(x->guest);
	assert_int_equal(e.type, ICMP4_UNREACHABLE); /* RFC 5508 REQ-8 */
	out_once(x, nb_out(17, G2, 5000, R1, 200)); /* the neighbour is not concerned */
	assert_int_equal(sessions(x), 6);
}

/* One more session of G1 is refused for `why`, with ICMP 3/13; G2 is not concerned. */
static void refused(struct nb *x, uint16_t sport, enum drop_reason why)
{
	struct nb_pkt p = nb_out(17, G1, sport, R1, 200);
	uint64_t before = nb_drops(gateway_port(x->gw), why);

	nb_clear(x);
	nb_send(x, x->guest, &p);
	assert_int_equal(x->world->n_out, 0);
	assert_int_equal(nb_drops(gateway_port(x->gw), why), before + 1);
	assert_int_equal(only(x->guest).type, ICMP4_UNREACHABLE); /* RFC 5508 REQ-8 */
	out_once(x, nb_out(17, G2, sport, R1, 200));
}

static void guest_mapping_limit(void **state)
{
	struct nb *x = *state;

	x->conf.mappings_per_guest = 3;
	gateway_set_conf(x->gw, &x->conf);
	for (unsigned i = 0; i < 3; i++)
		out_once(x, nb_out(17, G1, (uint16_t)(5000 + i), R1, 53));
	refused(x, 5003, DROP_NAT_MAPPINGS);
	out_once(x, nb_out(17, G1, 5000, R2, 53)); /* a session more of one it has */
}

static void guest_port_limit(void **state)
{
	struct nb *x = *state;

	x->conf.ports_per_guest = 2;
	gateway_set_conf(x->gw, &x->conf);
	for (unsigned i = 0; i < 2; i++)
		out_once(x, nb_out(17, G1, (uint16_t)(5000 + i), R1, 53));
	refused(x, 5002, DROP_NAT_PORT_QUOTA);
	nb_step(x, 301000); /* they end: it may have others */
	out_once(x, nb_out(17, G1, 5003, R1, 53));
}

static void guest_rate_limit(void **state)
{
	struct nb *x = *state;

	x->conf.new_sessions_per_s = 10;
	gateway_set_conf(x->gw, &x->conf);
	out_once(x, nb_out(17, G1, 4999, R1, 53)); /* the first is not counted: nothing knows the guest yet */
	for (unsigned i = 0; i < 10; i++)
		out_once(x, nb_out(17, G1, (uint16_t)(5000 + i), R1, 53));
	refused(x, 5010, DROP_NAT_RATE);
	nb_step(x, 100);
	out_once(x, nb_out(17, G1, 5010, R1, 53));
	refused(x, 5011, DROP_NAT_RATE);
	out_once(x, nb_out(17, G1, 5000, R1, 53)); /* what exists goes on */
	nb_step(x, 5000);
	for (unsigned i = 0; i < 10; i++) /* never more than a second's worth */
		out_once(x, nb_out(17, G1, (uint16_t)(5100 + i), R1, 53));
	refused(x, 5110, DROP_NAT_RATE);
}

static void ports_come_in_blocks(void **state)
{
	struct nb *x = *state;
	unsigned of_block[65536 / 16] = {0}, blocks = 0;

	x->conf.port_block = 16;
	gateway_set_conf(x->gw, &x->conf);
	for (unsigned i = 0; i < 40; i++) {
		unsigned b = out_once(x, nb_out(17, G1, (uint16_t)(5000 + i), R1, 53)).sport / 16;
		blocks += !of_block[b]++;
	}
	assert_int_equal(blocks, 3);
	for (unsigned i = 0; i < 20; i++) /* nobody else gets a port of them */
		assert_int_equal(of_block[out_once(x, nb_out(17, G2, (uint16_t)(5000 + i), R1, 53)).sport / 16], 0);
	for (unsigned i = 40; i < 16 * 16; i++)
		out_once(x, nb_out(17, G1, (uint16_t)(5000 + i), R1, 53));
	struct nb_pkt p = nb_out(17, G1, 6000, R1, 53);
	nb_send(x, x->guest, &p);
	assert_int_equal(nb_drops(gateway_port(x->gw), DROP_NAT_PORT_QUOTA), 1);
	nat_flush(x->nat, NULL); /* and all come back */
	for (unsigned i = 0; i < PORTS_WORDS; i++)
		assert_int_equal(x->up->ports.in_block.bit[i], 0);
}

/* RFC 6888 REQ-8, step by step: the port that G1 had is not G2's for two minutes. */
static void ended_ports_are_held(void **state)
{
	struct nb *x = *state;

	ports_set_range(&x->up->ports, 40000, 40001);
	uint16_t port = out_once(x, nb_out(17, G1, 5000, R1, 53)).sport;
	nat_flush(x->nat, NULL);
	assert_int_equal(out_once(x, nb_out(17, G2, 5000, R1, 53)).sport, port ^ 1);
	assert_int_equal(out_once(x, nb_out(17, G1, 5000, R1, 53)).sport, port); /* its own again */
	nat_flush(x->nat, NULL);
	nb_step(x, 122000);
	assert_int_equal(out_once(x, nb_out(17, G2, 5000, R1, 53)).sport & ~1, 40000);
	assert_int_equal(out_once(x, nb_out(17, G2, 5002, R1, 53)).sport & ~1, 40000);
	struct nat_stats s;
	nat_get_stats(x->nat, &s);
	assert_int_equal(s.ports_gave_way, 0);
	nat_flush(x->nat, NULL); /* nothing else is left: they give way, and that is told */
	out_once(x, nb_out(17, G1, 5000, R1, 53));
	nat_get_stats(x->nat, &s);
	assert_int_equal(s.ports_gave_way, 1);
}

static void sixty_thousand_mappings(void **state)
{
	struct nb *x = *state;
	static bool seen[65536];

	x->conf.sessions_per_guest = 65536;
	gateway_set_conf(x->gw, &x->conf);
	for (unsigned i = 0; i < 60000; i++) {
		uint16_t port = out_once(x, nb_out(17, G1, (uint16_t)(1000 + i), R1, 53)).sport;
		assert_false(seen[port]);
		seen[port] = true;
	}
	assert_int_equal(sessions(x), 60000);
}

static struct nb_pkt gre_back(uint8_t proto)
{
	return (struct nb_pkt){.dst_mac = UP_MAC, .src_mac = WORLD_MAC, .proto = proto, .src = R1,
			       .dst = OUTSIDE, .payload = 20, .no_csum = true};
}

/* GRE and ESP by the pair of addresses. */
/* Enough sessions for bursts to be looked up ahead: out, and what comes back. */
static void bursts_among_many(void **state)
{
	struct nb *x = *state;
	uint16_t outside[PKT_BURST];

	x->conf.sessions_per_guest = 2 * FLOW_NEAR;
	gateway_set_conf(x->gw, &x->conf);
	for (unsigned i = 0; i < FLOW_NEAR + 100; i++) {
		struct nb_pkt p = nb_out(17, G1, (uint16_t)(10000 + i), R1, 53);
		nb_send(x, x->guest, &p);
		nb_clear(x);
	}
	assert_true(x->nat->flow.in.count > FLOW_NEAR);
	struct nb_burst out = {.from = x->guest}, back = {.from = x->world};
	while (out.n < PKT_BURST) { /* some are of no session yet */
		struct nb_pkt p = nb_out(17, G1, (uint16_t)(10000 + 67 * out.n), R1, 53);
		nb_burst_add(&out, &p);
	}
	nb_burst_send(x, &out);
	assert_int_equal(x->world->n_out, PKT_BURST);
	for (unsigned i = 0; i < PKT_BURST; i++) {
		struct nb_pkt o;
		assert_true(nb_read(&x->world->out[i], &o));
		outside[i] = o.sport;
		struct nb_pkt p = nb_in(17, R1, 53, o.sport);
		nb_burst_add(&back, &p);
	}
	nb_clear(x);
	nb_burst_send(x, &back);
	assert_int_equal(x->guest->n_out, PKT_BURST);
	for (unsigned i = 0; i < PKT_BURST; i++) {
		struct nb_pkt o;
		assert_true(nb_read(&x->guest->out[i], &o));
		assert_int_equal(o.dport, 10000 + 67 * i);
		assert_true(outside[i]);
	}
}

static void protocols_without_ports(void **state)
{
	struct nb *x = *state;
	static const uint8_t protos[] = {47, 50};

	for (unsigned i = 0; i < 2; i++) {
		struct nb_pkt p = nb_out(protos[i], G1, 0x1234, R1, 0x5678), back = gre_back(protos[i]);
		uint8_t sent[256];
		p.no_csum = true;
		size_t len = nb_build(sent, &p);
		nb_send(x, x->world, &back); /* nobody has called */
		assert_int_equal(nb_drops(uplink_port(x->up), DROP_NAT_NO_MAPPING), 3 * i + 1);
		nb_send(x, x->guest, &p);
		assert_int_equal(x->world->n_out, 1);
		const uint8_t *o = x->world->out[0].bytes;
		assert_int_equal(nb_sum(0, o + 14, 20), 0xffff);
		assert_memory_equal(o + 26, &(be32){OUTSIDE}, 4);
		assert_memory_equal(o + 34, sent + 34, len - 34); /* the payload is as it was */
		nb_send(x, x->world, &back);
		assert_int_equal(x->guest->n_out, 1);
		assert_memory_equal(x->guest->out[0].bytes + 30, &(be32){G1}, 4);
		p.src = G2; /* the same remote is taken, another is not */
		p.src_mac = G2_MAC;
		nb_clear(x);
		nb_send(x, x->guest, &p);
		assert_int_equal(nb_drops(gateway_port(x->gw), DROP_NAT_PAIR), i + 1);
		p.dst = R2;
		nb_send(x, x->guest, &p);
		assert_int_equal(x->world->n_out, 1);
		nb_clear(x);
		set_filtering(x, GATEWAY_FILTER_ENDPOINT_INDEPENDENT); /* of no effect here */
		back.src = IP(192, 0, 2, 77);
		nb_send(x, x->world, &back);
		assert_int_equal(x->guest->n_out, 0);
		nb_step(x, 301000);
		assert_int_equal(sessions(x), 0);
		back.src = R1;
		nb_send(x, x->world, &back);
		assert_int_equal(x->guest->n_out, 0);
	}
}

static void other_protocols(void **state)
{
	struct nb *x = *state;
	struct nb_pkt sctp = nb_out(132, G1, 0, R1, 0), back = gre_back(132);

	nb_send(x, x->guest, &sctp);
	assert_int_equal(nb_drops(gateway_port(x->gw), DROP_NAT_PROTOCOL), 1);
	nb_send(x, x->world, &back);
	assert_int_equal(nb_drops(uplink_port(x->up), DROP_NAT_PROTOCOL), 1);
	assert_int_equal(x->world->n_out + x->guest->n_out, 0);
}

static void full_table_takes_from_the_heaviest(void **state)
{
	struct nb *x = *state;

	for (unsigned i = 0; i < 64; i++)
		out_once(x, nb_out(17, G1, 5000, R1, (uint16_t)(100 + i)));
	for (unsigned i = 0; i < 10; i++)
		out_once(x, nb_out(17, G2, (uint16_t)(7000 + i), R1, 53));
	struct nat_row *row;
	size_t n, of_g2 = 0;
	assert_int_equal(nat_list(x->nat, NULL, &row, &n), 0);
	for (size_t i = 0; i < n; i++)
		of_g2 += row[i].inside == G2;
	free(row);
	assert_int_equal(n, 64);
	assert_int_equal(of_g2, 10);
	struct nat_stats s;
	nat_get_stats(x->nat, &s);
	assert_int_equal(s.evicted, 10);
	assert_int_equal(s.mappings, 11);
}

static void ports_run_out(void **state)
{
	struct nb *x = *state;

	for (unsigned i = 1024; i < 65536; i++)
		ports_take(&x->up->ports, 17, (uint16_t)i);
	ports_release(&x->up->ports, 17, 40001, 0, 0);
	/* of the wrong parity: better than none */
	struct nb_pkt o = out_once(x, nb_out(17, G1, 5000, R1, 53));
	assert_int_equal(o.sport, 40001);
	struct nb_pkt p = nb_out(17, G1, 5002, R1, 53);
	nb_send(x, x->guest, &p);
	assert_int_equal(nb_drops(gateway_port(x->gw), DROP_NAT_PORTS), 1);
	nat_flush(x->nat, NULL);
	assert_false(ports_taken(&x->up->ports, 17, 40001));
}

/* A port whose guest forges inside addresses, and one beside it with an honest guest. */
static struct dummy *victim_new(struct nb *x)
{
	struct port_conf c = dummy_access(10);

	return dummy_new(x->sw, "victim", &c, (struct port_caps){.offloads = 0x3f});
}

static void forge(struct nb *x, unsigned first, unsigned n)
{
	for (unsigned i = first; i < first + n; i++) {
		struct nb_pkt p = nb_out(17, IP(10, 10, 10, 20 + i), 5000, R1, 53);
		nb_send(x, x->guest, &p);
		nb_clear(x);
	}
}

static size_t sessions_of(struct nb *x, be32 inside)
{
	struct nat_row *row;
	size_t n, count = 0;

	assert_int_equal(nat_list(x->nat, NULL, &row, &n), 0);
	for (size_t i = 0; i < n; i++)
		count += row[i].inside == inside;
	free(row);
	return count;
}

/* By guests, the honest one would be the heaviest. */
static void forged_addresses_lose_their_own(void **state)
{
	struct nb *x = *state;
	struct dummy *victim = victim_new(x);

	forge(x, 0, 64);
	for (unsigned i = 0; i < 10; i++) {
		struct nb_pkt p = nb_out(17, G2, (uint16_t)(7000 + i), R1, 53);
		nb_send(x, victim, &p);
		assert_int_equal(x->world->n_out, 1);
		nb_clear(x);
	}
	forge(x, 64, 64);
	assert_int_equal(sessions(x), 64);
	assert_int_equal(sessions_of(x, G2), 10);
	sw_port_del(victim->port);
	dummy_free(victim);
}

static void forged_addresses_do_not_take_all_ports(void **state)
{
	struct nb *x = *state;
	struct dummy *victim = victim_new(x);
	struct nb_pkt p = nb_out(17, G2, 7000, R1, 53);

	for (unsigned i = 1024; i < 65536; i++)
		ports_take(&x->up->ports, 17, (uint16_t)i);
	for (unsigned i = 0; i < 40; i++)
		ports_release(&x->up->ports, 17, (uint16_t)(40000 + i), 0, 0);
	forge(x, 0, 60);
	assert_int_equal(nb_drops(gateway_port(x->gw), DROP_NAT_PORTS), 20);
	nb_send(x, victim, &p);
	assert_int_equal(x->world->n_out, 1);
	assert_int_equal(sessions(x), 40);
	assert_int_equal(sessions_of(x, G2), 1);
	sw_port_del(victim->port);
	dummy_free(victim);
}

static void random_ports_spread(void **state)
{
	struct nb *x = *state;
	unsigned in_quarter[4] = {0};

	for (unsigned i = 0; i < 400; i++)
		in_quarter[out_once(x, nb_out(17, G1, (uint16_t)(2000 + i), R1, 53)).sport / 16384]++;
	for (unsigned q = 0; q < 4; q++)
		assert_in_range(in_quarter[q], 60, 140);
}

static void icmp_echo(void **state)
{
	struct nb *x = *state;
	struct nb_pkt a = nb_out(1, G1, 4242, R1, 0), b = nb_out(1, G2, 4242, R1, 0);
	struct nb_pkt oa = out_once(x, a), ob = out_once(x, b);

	assert_int_not_equal(oa.sport, ob.sport);
	struct nb_pkt r = nb_in(1, R1, ob.sport, 0);
	r.sport = ob.sport;
	nb_send(x, x->world, &r);
	struct nb_pkt i = only(x->guest);
	assert_int_equal(i.dst, G2);
	assert_int_equal(i.sport, 4242);
	nb_step(x, 59000);
	assert_int_equal(sessions(x), 2);
	nb_step(x, 2000);
	assert_int_equal(sessions(x), 0);
}

/* An ICMP error from `from` that quotes the frame `about`. */
static size_t build_error(uint8_t *f, uint64_t dst_mac, uint64_t src_mac, be32 from, be32 to,
			  uint8_t code, const struct dummy_frame *about, size_t quote)
{
	struct nb_pkt p = {.dst_mac = dst_mac, .src_mac = src_mac, .src = from, .dst = to, .proto = 1,
			   .type = 3, .payload = (uint16_t)quote};
	size_t len = nb_build(f, &p);

	f[35] = code;
	memcpy(f + 42, about->bytes + 14, quote);
	nb_put16(f + 36, 0);
	nb_put16(f + 36, 0xffff ^ nb_sum(0, f + 34, 8 + quote));
	return len;
}

static void icmp_error_from_outside(void **state)
{
	struct nb *x = *state;
	static const uint8_t protos[] = {17, 6, 1, 50};
	uint8_t f[256];

	for (unsigned i = 0; i < 4; i++) {
		struct nb_pkt p = nb_out(protos[i], G1, 5000, R1, 33434), q;
		p.flags = TCP_SYN;
		nb_send(x, x->guest, &p);
		size_t len = build_error(f, UP_MAC, WORLD_MAC, IP(192, 0, 2, 9), OUTSIDE, 1,
					 &x->world->out[0], 40);
		nb_push(x, x->world, f, len, (struct virtio_net_hdr){0});
		assert_int_equal(x->guest->n_out, 1);
		struct dummy_frame in = x->guest->out[0];
		struct nb_pkt e = only(x->guest); /* outer sums */
		assert_int_equal(e.dst, G1);
		assert_int_equal(e.src, IP(192, 0, 2, 9));
		/* the quoted packet is what the guest had sent, its header sum included */
		struct dummy_frame inner = {.len = in.len - 28};
		memcpy(inner.bytes + 14, in.bytes + 42, in.len - 42);
		assert_int_equal(nb_sum(0, inner.bytes + 14, 20), 0xffff);
		memcpy(&q.src, inner.bytes + 26, 4);
		assert_int_equal(q.src, G1);
		assert_int_equal(nb_get16(inner.bytes + (protos[i] == 1 ? 38 : 34)), 5000);
		if (protos[i] == 6 || protos[i] == 17) { /* the whole of it was quoted but for the last 8 bytes */
			uint8_t sent[256];
			nb_build(sent, &p);
			size_t field = protos[i] == 6 ? 16 : 6;
			assert_int_equal(nb_get16(inner.bytes + 34 + field), nb_get16(sent + 34 + field));
		}
		nb_clear(x);
	}
	assert_int_equal(sessions(x), 4); /* RFC 4787 REQ-12 */
}

/* RFC 5508 REQ-3 b: the quoted header has options. */
static void icmp_error_quotes_options(void **state)
{
	struct nb *x = *state;
	struct nb_pkt p = nb_out(17, G1, 5000, R1, 33434);
	uint8_t f[256];

	nb_send(x, x->guest, &p);
	struct dummy_frame sent = x->world->out[0];
	uint8_t *ip = sent.bytes + 14;
	nb_clear(x);
	memmove(ip + 24, ip + 20, 28);
	memset(ip + 20, 1, 4); /* no operation, four times */
	ip[0] = 0x46;
	nb_put16(ip + 2, nb_get16(ip + 2) + 4u);
	nb_put16(ip + 10, 0);
	nb_put16(ip + 10, 0xffff ^ nb_sum(0, ip, 24));
	size_t len = build_error(f, UP_MAC, WORLD_MAC, R1, OUTSIDE, 3, &sent, 52);
	nb_push(x, x->world, f, len, (struct virtio_net_hdr){0});
	assert_int_equal(x->guest->n_out, 1);
	const uint8_t *inner = x->guest->out[0].bytes + 42;
	assert_int_equal(only(x->guest).dst, G1);
	assert_int_equal(nb_sum(0, inner, 24), 0xffff);
	assert_int_equal(nb_get16(inner + 24), 5000);
	assert_int_equal(nb_get16(inner + 26), 33434);
}

static void icmp_error_forged(void **state)
{
	struct nb *x = *state;
	struct nb_pkt p = nb_out(17, G1, 5000, R1, 33434);
	uint8_t f[256];

	nb_send(x, x->guest, &p);
	struct dummy_frame sent = x->world->out[0];
	size_t len = build_error(f, UP_MAC, WORLD_MAC, R2, OUTSIDE, 1, &sent, 40);
	f[36] ^= 1; /* checksum */
	nb_push(x, x->world, f, len, (struct virtio_net_hdr){0});
	assert_int_equal(nb_drops(uplink_port(x->up), DROP_NAT_CHECKSUM), 1);
	sent.bytes[36] ^= 1; /* another remote port: no session */
	len = build_error(f, UP_MAC, WORLD_MAC, R2, OUTSIDE, 1, &sent, 40);
	nb_push(x, x->world, f, len, (struct virtio_net_hdr){0});
	assert_int_equal(nb_drops(uplink_port(x->up), DROP_NAT_ICMP), 1);
	len = build_error(f, UP_MAC, WORLD_MAC, R2, OUTSIDE, 1, &sent, 24); /* too little quoted */
	nb_push(x, x->world, f, len, (struct virtio_net_hdr){0});
	assert_int_equal(nb_drops(uplink_port(x->up), DROP_NAT_ICMP), 2);
	assert_int_equal(x->guest->n_out, 0);
}

static void icmp_error_from_inside(void **state)
{
	struct nb *x = *state;
	struct nb_pkt o = out_once(x, nb_out(17, G1, 5000, R1, 53)), a = nb_in(17, R1, 53, o.sport);
	uint8_t f[256];

	nb_send(x, x->world, &a);
	size_t len = build_error(f, GW_MAC, G1_MAC, G1, R1, 3, &x->guest->out[0], 40);
	nb_push(x, x->guest, f, len, (struct virtio_net_hdr){0});
	assert_int_equal(x->world->n_out, 1);
	const uint8_t *inner = x->world->out[0].bytes + 42;
	assert_int_equal(nb_sum(0, inner, 20), 0xffff);
	assert_int_equal(nb_get16(inner + 22), o.sport);
	struct nb_pkt e = only(x->world);
	assert_int_equal(e.src, OUTSIDE);
	assert_int_equal(e.dst, R1);
}

static void ttl_runs_out(void **state)
{
	struct nb *x = *state;
	struct nb_pkt p = nb_out(17, G1, 5000, R1, 33434);

	p.ttl = 1;
	nb_send(x, x->guest, &p);
	assert_int_equal(x->world->n_out, 0);
	struct nb_pkt e = only(x->guest);
	assert_int_equal(e.type, ICMP4_TIME_EXCEEDED);
	assert_int_equal(e.src, GW_IP);
	assert_int_equal(nb_drops(gateway_port(x->gw), DROP_GW_TTL), 1);
}

static void too_big(void **state)
{
	struct nb *x = *state;
	struct nb_pkt p = nb_out(17, G1, 5000, R1, 53);

	p.payload = 1600;
	p.frag = IP4_DF;
	nb_send(x, x->guest, &p);
	struct nb_pkt e = only(x->guest);
	assert_int_equal(e.type, ICMP4_UNREACHABLE);
	assert_int_equal(nb_get16(x->guest->out[0].bytes + 40), 1500);
	assert_int_equal(nb_drops(gateway_port(x->gw), DROP_GW_TOO_BIG), 1);

	p.frag = 0; /* may be cut */
	nb_send(x, x->guest, &p);
	assert_int_equal(x->world->n_out, 2);
	uint8_t whole[14 + 20 + 2000];
	const uint8_t *a = x->world->out[0].bytes, *b = x->world->out[1].bytes;
	size_t la = nb_get16(a + 16) - 20u, lb = nb_get16(b + 16) - 20u;
	assert_int_equal(nb_get16(a + 20), IP4_MF);
	assert_int_equal(nb_get16(b + 20) * 8, la);
	assert_int_equal(la + lb, 1608);
	assert_true(la + 20 <= 1500);
	memcpy(whole, a, 34 + la);
	memcpy(whole + 34 + la, b + 34, lb);
	assert_int_equal(nb_sum(nb_pseudo(whole + 14, la + lb), whole + 34, la + lb), 0xffff);
}

static void fragments_follow_their_first(void **state)
{
	struct nb *x = *state;
	struct nb_pkt p = nb_out(17, G1, 5000, R1, 53);

	p.payload = 1000;
	p.frag = IP4_MF;
	nb_send(x, x->guest, &p);
	p.frag = 126; /* 1008 / 8 */
	p.payload = 16;
	nb_send(x, x->guest, &p);
	assert_int_equal(x->world->n_out, 2);
	struct nb_pkt a, b;
	assert_true(nb_read(&x->world->out[0], &a) && nb_read(&x->world->out[1], &b));
	assert_int_equal(b.src, OUTSIDE);
	assert_int_equal(b.dst, R1);
	struct nb_pkt in = nb_in(17, R1, 53, a.sport);
	nb_clear(x);
	in.payload = 1000;
	in.frag = IP4_MF;
	nb_send(x, x->world, &in);
	in.frag = 126;
	in.payload = 16;
	nb_send(x, x->world, &in);
	assert_int_equal(x->guest->n_out, 2);
	assert_true(nb_read(&x->guest->out[1], &b));
	assert_int_equal(b.dst, G1);
	assert_int_equal(b.dst_mac, G1_MAC);
	p.src = G2; /* never began */
	p.src_mac = G2_MAC;
	nb_send(x, x->guest, &p);
	nb_step(x, 29000);
	assert_int_equal(nb_drops(gateway_port(x->gw), DROP_NAT_FRAGMENT), 0);
	nb_step(x, 2000); /* the first did not come */
	assert_int_equal(nb_drops(gateway_port(x->gw), DROP_NAT_FRAGMENT), 1);
}

/* A fragment of `len` bytes at `at` of a datagram; the UDP header of the first counts. */
static struct nb_pkt piece(struct nb_pkt p, unsigned at, unsigned len, bool more)
{
	p.frag = (uint16_t)(at / 8 | (more ? IP4_MF : 0));
	p.payload = (uint16_t)(len - 8);
	return p;
}

static void fragments_in_any_order(void **state)
{
	struct nb *x = *state;
	struct nb_pkt p = nb_out(17, G1, 5000, R1, 53);
	static const uint8_t order[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
	uint16_t port = out_once(x, p).sport;

	for (unsigned i = 0; i < 12; i++) {
		bool in = i >= 6;
		struct nb_pkt q = in ? nb_in(17, R1, 53, port) : p, o;
		struct dummy *from = in ? x->world : x->guest, *to = in ? x->guest : x->world;
		nb_clear(x);
		for (unsigned j = 0; j < 3; j++) {
			struct nb_pkt f = piece(q, order[i % 6][j] * 800u, 800, order[i % 6][j] < 2);
			nb_send(x, from, &f);
		}
		assert_int_equal(to->n_out, 3); /* the same id each time: nothing of before is in the way */
		for (unsigned j = 0; j < 3; j++) {
			assert_true(nb_read(&to->out[j], &o));
			assert_int_equal(o.src, in ? R1 : OUTSIDE);
			assert_int_equal(o.dst, in ? G1 : R1);
			assert_int_equal(o.dst_mac, in ? G1_MAC : WORLD_MAC);
		}
	}
	assert_int_equal(x->nat->frags_held, 0);
}

static void overlapping_fragments_are_dropped(void **state)
{
	struct nb *x = *state;
	struct nb_pkt p = nb_out(17, G1, 5000, R1, 53);
	/* at, length, more: after a first of 0..800 has gone out */
	static const unsigned bad[][3] = {{792, 800, 1}, {400, 80, 1}, {800, 80, 0}, {0, 800, 1}};
	uint64_t drops = 0;

	for (unsigned i = 0; i < 4; i++) {
		struct nb_pkt f = piece(p, 0, 800, true);
		p.dst = f.dst = htobe32(be32toh(R1) + 10 + i);
		nb_clear(x);
		nb_send(x, x->guest, &f);
		if (i == 2) { /* beyond the end that its last has set */
			f = piece(p, 800, 16, false);
			nb_send(x, x->guest, &f);
			f = piece(p, 0, 800, true); /* that one is whole: begin another with a hole */
			nb_send(x, x->guest, &f);
			f = piece(p, 1600, 800, true);
			nb_send(x, x->guest, &f);
		}
		unsigned before = x->world->n_out;
		f = piece(p, bad[i][0], bad[i][1], bad[i][2]);
		nb_send(x, x->guest, &f);
		f = piece(p, 2400, 80, false); /* and what follows */
		nb_send(x, x->guest, &f);
		assert_int_equal(x->world->n_out, before);
		drops += 2;
		assert_int_equal(nb_drops(gateway_port(x->gw), DROP_NAT_FRAG_OVERLAP), drops);
	}
	nb_clear(x); /* before the first: what was held goes as well */
	p.dst = R2;
	struct nb_pkt f = piece(p, 800, 800, true);
	nb_send(x, x->guest, &f);
	f = piece(p, 1592, 800, false);
	nb_send(x, x->guest, &f);
	f = piece(p, 0, 800, true);
	nb_send(x, x->guest, &f);
	assert_int_equal(x->world->n_out, 0);
	assert_int_equal(nb_drops(gateway_port(x->gw), DROP_NAT_FRAG_OVERLAP), drops + 3);
}

static void held_fragments_are_limited(void **state)
{
	struct nb *x = *state;

	x->nat->random[0] = x->nat->random[1] = 1; /* which datagrams meet in the table is not left to chance */
	for (unsigned i = 0; i < 70; i++) {
		struct nb_pkt f = piece(nb_out(17, G1, 5000, htobe32(be32toh(R1) + i), 53), 800, 80, true);
		nb_send(x, x->guest, &f);
	}
	assert_int_equal(nb_drops(gateway_port(x->gw), DROP_NAT_FRAG_LIMIT), 70 - FRAG_HELD_SRC);
	for (unsigned i = 0; i < 70; i++) { /* the neighbour has its own */
		struct nb_pkt f = piece(nb_out(17, G2, 5000, htobe32(be32toh(R1) + i), 53), 800, 80, true);
		nb_send(x, x->guest, &f);
	}
	assert_int_equal(x->nat->frags_held, 2 * FRAG_HELD_SRC);
	for (unsigned i = 0; i < 400; i++) {
		struct nb_pkt f = piece(nb_in(17, htobe32(be32toh(R1) + 256 + i), 53, 5000), 800, 80, true);
		nb_send(x, x->world, &f);
		assert_true(x->nat->frags_held <= FRAG_HELD_MAX);
	}
	assert_true(nb_drops(uplink_port(x->up), DROP_NAT_FRAG_LIMIT) > 0);
	nb_step(x, 31000);
	assert_int_equal(x->nat->frags_held, 0);
}

/* An echo request to the gateway itself: nothing comes back of it before all of it is there. */
static void echo_in_fragments(void **state)
{
	struct nb *x = *state;
	struct nb_pkt p = nb_out(1, G1, 77, GW_IP, 0), o;
	static const uint8_t order[4][3] = {{0, 1, 2}, {2, 1, 0}, {1, 2, 0}, {2, 0, 1}};

	p.type = 8;
	for (unsigned i = 0; i < 4; i++) {
		nb_clear(x);
		for (unsigned j = 0; j < 3; j++) {
			struct nb_pkt f = piece(p, order[i][j] * 800u, 800, order[i][j] < 2);
			assert_int_equal(x->guest->n_out, 0);
			nb_send(x, x->guest, &f);
		}
		assert_int_equal(x->guest->n_out, 3);
		for (unsigned j = 0; j < 3; j++) {
			assert_true(nb_read(&x->guest->out[j], &o));
			assert_true(o.src == GW_IP && o.dst == G1 && o.dst_mac == G1_MAC && o.payload == 800);
			assert_int_equal(o.frag & 0x1fff, order[i][j] * 100u);
			assert_int_equal(o.type, order[i][j] ? 8 : 0); /* a later one begins with data */
		}
	}
	assert_int_equal(x->nat->frags_held, 0);
	assert_int_equal(x->world->n_out, 0);
}

static void other_fragments_to_the_gateway_are_dropped(void **state)
{
	struct nb *x = *state;
	struct port *gw = gateway_port(x->gw);
	struct nb_pkt f = piece(nb_out(17, G1, 5000, GW_IP, 53), 0, 800, true);

	nb_send(x, x->guest, &f);
	f = piece(nb_out(1, G1, 77, GW_IP, 0), 0, 800, true);
	f.type = 13; /* timestamp */
	nb_send(x, x->guest, &f);
	assert_int_equal(nb_drops(gw, DROP_GW_FRAGMENT), 2);
	f.type = 8;
	nb_send(x, x->guest, &f);
	f = piece(f, 792, 800, true); /* overlaps: the one held goes as well */
	nb_send(x, x->guest, &f);
	assert_int_equal(nb_drops(gw, DROP_NAT_FRAG_OVERLAP), 2);
	f = piece(nb_out(1, G2, 77, GW_IP, 0), 800, 800, false); /* never whole */
	nb_send(x, x->guest, &f);
	assert_int_equal(x->nat->frags_held, 1);
	nb_step(x, 31000);
	assert_int_equal(nb_drops(gw, DROP_NAT_FRAGMENT), 1);
	assert_int_equal(x->guest->n_out, 0);
	assert_int_equal(x->nat->frags_held, 0);
}

/* What one source has held beyond its share ends the datagram, and only that. */
static void held_echoes_are_limited(void **state)
{
	struct nb *x = *state;
	struct nb_pkt f;

	for (unsigned i = 0; i <= FRAG_HELD_SRC; i++) {
		f = piece(nb_out(1, G1, 77, GW_IP, 0), i * 800, 800, true);
		f.type = 8;
		nb_send(x, x->guest, &f);
	}
	assert_int_equal(nb_drops(gateway_port(x->gw), DROP_NAT_FRAG_LIMIT), FRAG_HELD_SRC + 1);
	assert_int_equal(x->nat->frags_held, 0);
	for (unsigned i = 0; i < 2; i++) {
		f = piece(nb_out(1, G2, 77, GW_IP, 0), i * 800, 800, !i);
		f.src_mac = G2_MAC;
		f.type = 8;
		nb_send(x, x->guest, &f);
	}
	assert_int_equal(x->guest->n_out, 2);
}

static void hairpin_in_fragments(void **state)
{
	struct nb *x = *state;
	uint16_t p1 = out_once(x, nb_out(17, G1, 5000, R1, 53)).sport;
	struct nb_pkt h = nb_out(17, G2, 6000, OUTSIDE, p1), i;

	set_filtering(x, GATEWAY_FILTER_ENDPOINT_INDEPENDENT);
	struct nb_pkt late = piece(h, 800, 80, false), first = piece(h, 0, 800, true);
	nb_send(x, x->guest, &late);
	nb_send(x, x->guest, &first);
	assert_int_equal(x->guest->n_out, 2);
	for (unsigned j = 0; j < 2; j++) {
		assert_true(nb_read(&x->guest->out[j], &i));
		assert_int_equal(i.src, OUTSIDE);
		assert_int_equal(i.dst, G1);
	}
}

/* RFC 4787 REQ-9: guests meet through the outside address, and see it as the source. */
static void hairpin(void **state)
{
	struct nb *x = *state;
	uint16_t p1 = out_once(x, nb_out(17, G1, 5000, R1, 53)).sport;
	struct nb_pkt h = nb_out(17, G2, 6000, OUTSIDE, p1);

	set_filtering(x, GATEWAY_FILTER_ENDPOINT_INDEPENDENT);
	nb_send(x, x->guest, &h);
	struct nb_pkt i = only(x->guest);
	assert_int_equal(i.dst, G1);
	assert_int_equal(i.dport, 5000);
	assert_int_equal(i.src, OUTSIDE);
	struct nb_pkt back = nb_out(17, G1, 5000, OUTSIDE, i.sport);
	nb_send(x, x->guest, &back);
	struct nb_pkt j = only(x->guest);
	assert_int_equal(j.dst, G2);
	assert_int_equal(j.dport, 6000);
	assert_int_equal(j.sport, p1);
	assert_int_equal(x->world->n_out, 0);
}

static void kill_and_list(void **state)
{
	struct nb *x = *state;
	struct nat_row *row;
	struct nat_match m = {.proto = 17, .inside = G1};
	size_t n;

	out_once(x, nb_out(17, G1, 5000, R1, 53));
	out_once(x, nb_out(17, G2, 5000, R1, 53));
	assert_int_equal(nat_list(x->nat, x->gw, &row, &n), 0);
	assert_int_equal(n, 2);
	assert_string_equal(row[0].network, "lab");
	assert_string_equal(row[0].state, "udp");
	assert_int_equal(row[0].expires_s, 300);
	assert_int_equal(row[0].port, x->guest->port->idx);
	free(row);
	assert_int_equal(nat_kill(x->nat, NULL, &m), 1);
	assert_int_equal(nat_flush(x->nat, x->gw), 1);
	assert_int_equal(sessions(x), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(same_outside_port_for_all_remotes),
		T(two_guests_never_share_a_port),
		T(answers_find_their_guest),
		T(filtering_modes),
		T(checksums),
		T(udp_without_checksum_stays_so),
		T(tso_frame_passes_whole),
		T(udp_timer),
		T(tcp_timers),
		T(tcp_reset_does_not_end),
		T(tcp_without_syn_is_reset),
		T(unsolicited_syn_waits_six_seconds),
		T(unsolicited_syns_are_limited),
		T(stale_connections_are_told),
		T(not_all_stale_ones_are_told_at_once),
		T(mss_is_clamped),
		T(guest_session_limit), T(protocols_without_ports),
		T(other_protocols),
		T(guest_mapping_limit),
		T(guest_port_limit),
		T(guest_rate_limit),
		T(ports_come_in_blocks),
		T(ended_ports_are_held),
		T(sixty_thousand_mappings),
		T(bursts_among_many),
		cmocka_unit_test_setup_teardown(full_table_takes_from_the_heaviest, setup_small, teardown),
		T(ports_run_out),
		cmocka_unit_test_setup_teardown(forged_addresses_lose_their_own, setup_small, teardown),
		T(forged_addresses_do_not_take_all_ports),
		T(random_ports_spread),
		T(icmp_echo),
		T(icmp_error_from_outside),
		T(icmp_error_quotes_options),
		T(icmp_error_forged),
		T(icmp_error_from_inside),
		T(ttl_runs_out),
		T(too_big),
		T(fragments_follow_their_first),
		T(fragments_in_any_order),
		T(overlapping_fragments_are_dropped),
		T(held_fragments_are_limited),
		T(echo_in_fragments),
		T(other_fragments_to_the_gateway_are_dropped),
		T(held_echoes_are_limited),
		T(hairpin_in_fragments),
		T(hairpin),
		T(kill_and_list),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
