/* FTP's commands, and what a control connection's numbers become (nat/alg.c). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/nat_bench.h"

#define SEQ 1000u
#define TEXT 54u /* of a frame without TCP options */

static void commands(void **state)
{
	const struct {
		const char *line;
		be32 addr;
		uint16_t port;
	} good[] = {
		{"PORT 10,10,10,11,4,210\r\n", G1, 1234},
		{"port 255,255,255,255,255,255\r\n", 0xffffffff, 65535},
		{"EPRT |1|10.10.10.11|1234|\r\n", G1, 1234},
		{"eprt !1!10.10.10.11!1234!\r\n", G1, 1234},
	};
	static const char *const bad[] = {
		"", "PORT", "PORT \r\n", "PORT 10,10,10,11,4,210\n", "PORT 10,10,10,11,4,210", "PORT 10,10,10,11,4\r\n",
		"PORT 10,10,10,256,4,210\r\n", "PORT 10,10,10,,4,210\r\n", "PORT 10,10,10,11,4,210,1\r\n",
		"PORT 10,10,10,11,4,210\r\nNOOP\r\n", "PORT  10,10,10,11,4,210\r\n", "PORT 000000000010,10,10,11,4,210\r\n",
		"EPRT |2|::1|1234|\r\n", "EPRT |1|10.10.10.11|1234\r\n", "EPRT |1|10.10.10.11|70000|\r\n",
		"EPRT 1110.10.10.1111234|\r\n", "EPRT |1|10.10.10|1234|\r\n", "EPRT |1|10.10.10.11|1234|x\r\n",
		"XPRT |1|10.10.10.11|1234|\r\n", "EPRT \r\n", "RETR PORT 1,2\r\n",
	};
	struct alg_command c;
	char line[ALG_LINE_MAX];

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(good); i++) {
		assert_true(alg_ftp_parse(good[i].line, strlen(good[i].line), &c));
		assert_int_equal(c.addr, good[i].addr);
		assert_int_equal(c.port, good[i].port);
		size_t n = alg_ftp_build(&c, line);
		struct alg_command again;
		assert_true(alg_ftp_parse(line, n, &again));
		assert_true(again.addr == c.addr && again.port == c.port && again.extended == c.extended);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(alg_ftp_parse(bad[i], strlen(bad[i]), &c));
}

static size_t sessions(struct nb *x)
{
	return gateway_sessions(x->gw);
}

/* A segment of the guest's with that text; what leaves. */
static struct dummy_frame *out_text(struct nb *x, uint32_t seq, const char *text)
{
	struct nb_pkt p = nb_out(6, G1, 5000, R1, 21);
	uint8_t f[256];
	size_t len = strlen(text);

	p.payload = (uint16_t)len;
	size_t n = nb_build(f, &p);
	nb_put16(f + 38, seq >> 16);
	nb_put16(f + 40, seq & 0xffff);
	memcpy(f + TEXT, text, len);
	nb_put16(f + 50, 0);
	nb_put16(f + 50, 0xffff ^ nb_sum(nb_pseudo(f + 14, n - 34), f + 34, n - 34));
	nb_clear(x);
	nb_push(x, x->guest, f, n, (struct virtio_net_hdr){0});
	assert_int_equal(x->world->n_out, 1);
	struct nb_pkt o;
	assert_true(nb_read(&x->world->out[0], &o)); /* its checksums */
	return &x->world->out[0];
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)nb_get16(p) << 16 | nb_get16(p + 2);
}

static uint16_t open_control(struct nb *x)
{
	struct nb_pkt syn = nb_out(6, G1, 5000, R1, 21), o, a;
	uint8_t f[256];

	syn.flags = TCP_SYN;
	syn.mss = 1460; /* four bytes of options: turned into SACK-permitted and two NOPs */
	syn.payload = 0;
	size_t n = nb_build(f, &syn);
	memcpy(f + TEXT, "\1\4\2\1", 4); /* at an odd place */
	nb_put16(f + 50, 0);
	nb_put16(f + 50, 0xffff ^ nb_sum(nb_pseudo(f + 14, n - 34), f + 34, n - 34));
	nb_push(x, x->guest, f, n, (struct virtio_net_hdr){0});
	assert_int_equal(x->world->n_out, 1);
	assert_true(nb_read(&x->world->out[0], &o));
	assert_memory_equal(x->world->out[0].bytes + TEXT, "\1\1\1\1", 4);
	nb_clear(x);
	a = nb_in(6, R1, 21, o.sport);
	a.flags = TCP_SYN | TCP_ACK;
	nb_send(x, x->world, &a);
	nb_clear(x);
	return o.sport;
}

static uint32_t acked(struct nb *x, uint16_t port, uint32_t ack)
{
	struct nb_pkt a = nb_in(6, R1, 21, port), o;
	uint8_t f[256];
	size_t n = nb_build(f, &a);

	nb_put16(f + 42, ack >> 16);
	nb_put16(f + 44, ack & 0xffff);
	nb_put16(f + 50, 0);
	nb_put16(f + 50, 0xffff ^ nb_sum(nb_pseudo(f + 14, n - 34), f + 34, n - 34));
	nb_clear(x);
	nb_push(x, x->world, f, n, (struct virtio_net_hdr){0});
	assert_int_equal(x->guest->n_out, 1);
	assert_true(nb_read(&x->guest->out[0], &o));
	return get32(x->guest->out[0].bytes + 42);
}

static void numbers_follow(void **state)
{
	struct nb *x = *state;
	static const char cmd[] = "PORT 10,10,10,11,195,80\r\n", next[] = "EPRT |1|10.10.10.11|50001|\r\n";
	struct alg_command c;

	x->conf.algs = ALG_FTP;
	gateway_set_conf(x->gw, &x->conf);
	uint16_t port = open_control(x);
	struct dummy_frame *o = out_text(x, SEQ, "USER x\r\n");
	assert_int_equal(get32(o->bytes + 38), SEQ);

	const uint32_t at = SEQ + 8, behind = at + sizeof(cmd) - 1;
	uint32_t grown = 0;
	for (unsigned sent = 0; sent < 2; sent++) { /* once, and again */
		o = out_text(x, at, cmd);
		assert_true(alg_ftp_parse((char *)o->bytes + TEXT, o->len - TEXT, &c));
		assert_int_equal(c.addr, OUTSIDE);
		assert_int_equal(get32(o->bytes + 38), at);
		grown = (uint32_t)(o->len - TEXT - (sizeof(cmd) - 1));
	}
	assert_int_equal(sessions(x), 2); /* the other stands for the server */
	o = out_text(x, behind, "LIST\r\n");
	assert_int_equal(get32(o->bytes + 38), behind + grown);
	assert_int_equal(acked(x, port, behind + grown), behind);
	assert_int_equal(acked(x, port, at), at);

	const uint32_t at2 = behind + 6;
	o = out_text(x, at2, next);
	assert_int_equal(get32(o->bytes + 38), at2 + grown);
	uint32_t grown2 = grown + (uint32_t)(o->len - TEXT - (sizeof(next) - 1));
	o = out_text(x, at2 + sizeof(next) - 1, "LIST\r\n");
	assert_int_equal(get32(o->bytes + 38), (uint32_t)(at2 + sizeof(next) - 1 + grown2));
	assert_int_equal(acked(x, port, (uint32_t)(at2 + sizeof(next) - 1 + grown2)), at2 + sizeof(next) - 1);
	assert_int_equal(x->nat->alg.translated, 3);
}

/* The server may come to a port that was named, from any of its own; nobody else, and not for ever. */
static void the_server_is_let_in(void **state)
{
	struct nb *x = *state;
	struct alg_command c;

	x->conf.algs = ALG_FTP;
	gateway_set_conf(x->gw, &x->conf);
	open_control(x);
	struct dummy_frame *o = out_text(x, SEQ, "PORT 10,10,10,11,195,80\r\n");
	assert_true(alg_ftp_parse((char *)o->bytes + TEXT, o->len - TEXT, &c));
	for (unsigned i = 0; i < 2; i++) {
		struct nb_pkt syn = nb_in(6, i ? R1 : R2, 2020, c.port);
		syn.flags = TCP_SYN;
		nb_clear(x);
		nb_send(x, x->world, &syn);
		assert_int_equal(x->guest->n_out, i);
	}
	assert_int_equal(nb_drops(uplink_port(x->up), DROP_NAT_FILTERED), 1);
	struct nb_pkt in;
	assert_true(nb_read(&x->guest->out[0], &in));
	assert_int_equal(in.dport, 195 << 8 | 80);
	nb_step(x, 61000);
	struct nb_pkt late = nb_in(6, R1, 2021, c.port);
	late.flags = TCP_SYN;
	nb_clear(x);
	nb_send(x, x->world, &late);
	assert_int_equal(x->guest->n_out, 0);
}

static void what_is_left_alone(void **state)
{
	struct nb *x = *state;
	static const char *const text[] = {"PORT 10,10,10,12,195,80\r\n", "PORT 10,10,10,11,3,255\r\n"};

	x->conf.algs = ALG_FTP;
	gateway_set_conf(x->gw, &x->conf);
	open_control(x);
	for (unsigned i = 0; i < ARRAY_SIZE(text); i++) {
		struct dummy_frame *o = out_text(x, SEQ + 100 * i, text[i]);
		assert_memory_equal(o->bytes + TEXT, text[i], strlen(text[i]));
		assert_int_equal(get32(o->bytes + 38), SEQ + 100 * i);
	}
	assert_int_equal(x->nat->alg.left, 2);
	assert_int_equal(sessions(x), 1);
	nat_flush(x->nat, NULL);
	for (unsigned i = 0; i < ALG_FTP_MAX; i++)
		assert_null(x->nat->alg.ftp[i].s);
}

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

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commands), T(numbers_follow), T(the_server_is_let_in), T(what_is_left_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
