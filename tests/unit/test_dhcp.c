/* The DHCP server: parser and builder, every message in every state with stepped time, and
 * the skin on a switch that is three functions of ours. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dhcp/dhcp_server.h"
#include "net/clock.h"
#include "net/csum.h"
#include "net/parse.h"
#include "switch/port.h"
#include "switch/worker.h"

#define T0	((int64_t)1000000)
#define LEASE_S 7200u

static be32 ip(const char *s)
{
	be32 a = 0;
	assert_int_equal(ip4_parse(s, &a), 0);
	return a;
}

/* ---- messages as a client writes them ---- */

struct client_msg {
	uint8_t b[2048];
	struct wire w;
};

static const struct mac mac1 = {{0x52, 0x54, 0, 0, 0, 1}}, mac2 = {{0x52, 0x54, 0, 0, 0, 2}};

static void begin(struct client_msg *c, struct mac m, uint16_t flags, be32 ciaddr)
{
	memset(c, 0, sizeof(*c));
	c->w = wire_writer(c->b, sizeof(c->b));
	wire_put_u32(&c->w, 0x01010600);
	wire_put_u32(&c->w, 0xdeadbeef);
	wire_put_u16(&c->w, 7);
	wire_put_u16(&c->w, flags);
	wire_put_ip4(&c->w, ciaddr);
	wire_put_zero(&c->w, 12);
	wire_put_mac(&c->w, m);
	wire_put_zero(&c->w, 10 + 64 + 128);
	wire_put_u32(&c->w, 0x63825363);
}

static void opt(struct client_msg *c, uint8_t code, const void *data, size_t len)
{
	wire_put_u8(&c->w, code);
	wire_put_u8(&c->w, (uint8_t)len);
	wire_put(&c->w, data, len);
}

static void opt_u8(struct client_msg *c, uint8_t code, uint8_t v)
{
	opt(c, code, &v, 1);
}

static void opt_ip(struct client_msg *c, uint8_t code, const char *a)
{
	be32 v = ip(a);
	opt(c, code, &v, 4);
}

static void opt_u16(struct client_msg *c, uint8_t code, uint16_t v)
{
	be16 b = htobe16(v);
	opt(c, code, &b, 2);
}

static size_t end(struct client_msg *c)
{
	wire_put_u8(&c->w, 255);
	assert_true(wire_ok(&c->w));
	return wire_pos(&c->w);
}

/* ---- a server under test ---- */

struct bench {
	struct lease_store *store;
	struct dhcp_server *s;
	struct dhcp_conf conf;
	int64_t now;
	const char *port;
	struct dhcp_reply r;
	struct dhcp_msg got; /* the answer, parsed (by our own parser, tested first) */
};

static struct bench *bench_new(void)
{
	struct bench *b = calloc(1, sizeof(*b));
	b->now = T0;
	b->port = "p1";
	b->store = lease_store_new(NULL, T0);
	b->conf = (struct dhcp_conf){
		.network = "lab",
		.server_id = ip("10.10.10.1"),
		.router = ip("10.10.10.1"),
		.dns = {ip("127.0.0.53"), ip("10.10.10.1")},
		.n_dns = 2,
		.domain = "lab.internal",
		.lease_s = LEASE_S,
		.range_first = ip("10.10.10.50"),
		.range_last = ip("10.10.10.59"),
		.server_mac = {{2, 0, 0, 0, 0, 1}},
	};
	prefix4_parse("10.10.10.0/24", &b->conf.subnet);
	b->s = dhcp_server_new(b->store, &b->conf);
	assert_non_null(b->s);
	return b;
}

static void bench_free(struct bench *b)
{
	dhcp_server_free(b->s);
	lease_store_free(b->store);
	free(b);
}

static int reconf(struct bench *b)
{
	return dhcp_server_set_conf(b->s, &b->conf, b->now);
}

static int tell(struct bench *b, struct client_msg *c)
{
	struct dhcp_request_ctx ctx = {.port = b->port, .now_s = b->now};
	size_t len = end(c);
	uint8_t *exact = malloc(len); /* so that a sanitizer sees a byte too far */
	memcpy(exact, c->b, len);
	int r = dhcp_handle(b->s, &ctx, exact, len, &b->r);
	free(exact);
	if (r == 1) {
		assert_in_range(b->r.len, DHCP_MSG_PAD, DHCP_MSG_MAX);
		assert_int_equal(b->r.bytes[240], DHCP_OPT_TYPE); /* 53 first */
		assert_int_equal(dhcp_msg_parse(b->r.bytes, b->r.len, &b->got), 0);
		assert_int_equal(b->got.xid, 0xdeadbeef);
		assert_int_equal(b->got.op, 2);
	}
	return r;
}

static void expect_type(struct bench *b, int r, uint8_t type)
{
	uint8_t t = 0;
	be32 server = 0;
	assert_int_equal(r, 1);
	assert_true(dhcp_msg_u8(&b->got, DHCP_OPT_TYPE, &t));
	assert_int_equal(t, type);
	assert_int_equal(b->r.type, type);
	assert_true(dhcp_msg_ip4(&b->got, DHCP_OPT_SERVER_ID, &server));
	assert_int_equal(server, b->conf.server_id);
}

static void expect_bytes(struct bench *b, uint8_t code, const char *bytes, size_t len)
{
	size_t n = 0;
	const uint8_t *p = dhcp_msg_get(&b->got, code, &n);
	assert_non_null(p);
	assert_int_equal(n, len);
	assert_memory_equal(p, bytes, len);
}

static void expect_text(struct bench *b, uint8_t code, const char *text)
{
	expect_bytes(b, code, text, strlen(text));
}

static be32 discover(struct bench *b, struct mac m)
{
	struct client_msg c;
	begin(&c, m, 0, 0);
	opt_u8(&c, DHCP_OPT_TYPE, DHCP_DISCOVER);
	expect_type(b, tell(b, &c), DHCP_OFFER);
	assert_false(b->r.commit);
	return b->got.yiaddr;
}

static int selecting(struct bench *b, struct mac m, be32 a)
{
	struct client_msg c;
	begin(&c, m, 0, 0);
	opt_u8(&c, DHCP_OPT_TYPE, DHCP_REQUEST);
	opt(&c, DHCP_OPT_REQUESTED_IP, &a, 4);
	opt_ip(&c, DHCP_OPT_SERVER_ID, "10.10.10.1");
	return tell(b, &c);
}

static be32 get(struct bench *b, struct mac m)
{
	be32 a = discover(b, m);
	expect_type(b, selecting(b, m, a), DHCP_ACK);
	assert_true(b->r.commit);
	assert_int_equal(b->got.yiaddr, a);
	return a;
}

static int init_reboot(struct bench *b, struct mac m, be32 a)
{
	struct client_msg c;
	begin(&c, m, 0, 0);
	opt_u8(&c, DHCP_OPT_TYPE, DHCP_REQUEST);
	opt(&c, DHCP_OPT_REQUESTED_IP, &a, 4);
	return tell(b, &c);
}

static int renew(struct bench *b, struct mac m, be32 a)
{
	struct client_msg c;
	begin(&c, m, 0, a);
	opt_u8(&c, DHCP_OPT_TYPE, DHCP_REQUEST);
	return tell(b, &c);
}

static int farewell(struct bench *b, struct mac m, uint8_t type, be32 a)
{
	struct client_msg c;
	begin(&c, m, 0, type == DHCP_RELEASE ? a : 0);
	opt_u8(&c, DHCP_OPT_TYPE, type);
	opt_ip(&c, DHCP_OPT_SERVER_ID, "10.10.10.1");
	if (type == DHCP_DECLINE)
		opt(&c, DHCP_OPT_REQUESTED_IP, &a, 4);
	return tell(b, &c);
}

static const struct lease *lease_of(struct bench *b, be32 a)
{
	return lease_find_address(dhcp_server_pool(b->s), a, b->now);
}

/* ---- format ---- */

static void test_parse_overload_and_long(void **state)
{
	struct client_msg c;
	struct dhcp_msg m;
	size_t n;
	begin(&c, mac1, 0, 0);
	opt_u8(&c, DHCP_OPT_TYPE, DHCP_DISCOVER);
	wire_put_zero(&c.w, 5); /* pad */
	opt_u8(&c, DHCP_OPT_OVERLOAD, 3);
	opt(&c, 77, "ab", 2);
	size_t len = end(&c);
	memcpy(c.b + 108,
	       "\x4d\x02"
	       "cd"
	       "\xff\x4d\x01!",
	       8); /* file; what follows its end is none */
	memcpy(c.b + 44,
	       "\x4d\x01"
	       "e"
	       "\x0c\x02hi",
	       7); /* sname, without an end */
	assert_int_equal(dhcp_msg_parse(c.b, len, &m), 0);
	const uint8_t *p = dhcp_msg_get(&m, 77, &n);
	assert_int_equal(n, 5);
	assert_memory_equal(p, "abcde", 5);
	p = dhcp_msg_get(&m, DHCP_OPT_HOSTNAME, &n);
	assert_memory_equal(p, "hi", 2);
	assert_null(dhcp_msg_get(&m, 99, &n));
	uint16_t v16 = 4;
	assert_false(dhcp_msg_u16(&m, DHCP_OPT_TYPE, &v16)); /* wrong length */
	assert_int_equal(v16, 4);
}

static void test_parse_refuses(void **state)
{
	struct client_msg c;
	struct dhcp_msg m;
	begin(&c, mac1, 0, 0);
	opt_u8(&c, DHCP_OPT_TYPE, DHCP_DISCOVER);
	size_t len = end(&c);
	assert_int_equal(dhcp_msg_parse(c.b, 235, &m), -EBADMSG);
	assert_int_equal(dhcp_msg_parse(c.b, 0, &m), -EBADMSG);
	assert_int_equal(dhcp_msg_parse(c.b, DHCP_MSG_MAX + 1, &m), -EBADMSG);
	assert_int_equal(dhcp_msg_parse(c.b, len - 1, &m), 0);	      /* no end */
	assert_int_equal(dhcp_msg_parse(c.b, len - 2, &m), -EBADMSG); /* inside an option */
	assert_int_equal(dhcp_msg_parse(c.b, len - 3, &m), -EBADMSG); /* no length */
	assert_int_equal(dhcp_msg_parse(c.b, 238, &m), 0);	      /* half a cookie: BOOTP */
	assert_false(m.cookie);
	c.b[2] = 16; /* hlen */
	assert_int_equal(dhcp_msg_parse(c.b, len, &m), -EBADMSG);
}

static void test_build_overflows(void **state)
{
	struct client_msg c;
	struct dhcp_msg m, back;
	struct dhcp_build b;
	uint8_t room[DHCP_MSG_MAX], long_value[255];
	size_t n;
	memset(long_value, 'x', sizeof(long_value));
	begin(&c, mac1, 0, 0);
	assert_int_equal(dhcp_msg_parse(c.b, end(&c), &m), 0);
	dhcp_build_start(&b, room, 0, &m, DHCP_ACK, 0, 0, 0);
	dhcp_build_put(&b, 200, long_value, 250);
	dhcp_build_put(&b, 201, long_value, 120); /* into file */
	dhcp_build_put(&b, 202, long_value, 60);  /* into sname */
	dhcp_build_put(&b, 203, long_value, 200); /* nowhere */
	dhcp_build_put(&b, 200, "again", 5);
	assert_true(b.full);
	assert_true(dhcp_build_has(&b, 202) && !dhcp_build_has(&b, 203));
	size_t len = dhcp_build_finish(&b);
	assert_true(len <= DHCP_MSG_SMALL);
	assert_int_equal(dhcp_msg_parse(room, len, &back), 0);
	dhcp_msg_get(&back, 200, &n);
	assert_int_equal(n, 250);
	dhcp_msg_get(&back, 201, &n);
	assert_int_equal(n, 120);
	dhcp_msg_get(&back, 202, &n);
	assert_int_equal(n, 60);
	assert_false(dhcp_msg_has(&back, 203));

	uint8_t longer[600];
	memset(longer, 'y', sizeof(longer));
	dhcp_build_start(&b, room, 9999, &m, DHCP_ACK, 0, 0, 0);
	dhcp_build_put(&b, 204, longer, sizeof(longer)); /* RFC 3396 */
	assert_int_equal(dhcp_msg_parse(room, dhcp_build_finish(&b), &back), 0);
	dhcp_msg_get(&back, 204, &n);
	assert_int_equal(n, sizeof(longer));
}

/* ---- states ---- */

static void test_four_messages(void **state)
{
	struct bench *b = bench_new();
	uint32_t v = 0;
	be32 a = get(b, mac1);
	assert_int_equal(b->r.dst_ip, a); /* no broadcast flag: unicast to yiaddr and chaddr */
	assert_true(mac_eq(b->r.dst_mac, mac1));
	assert_true(dhcp_msg_u32(&b->got, DHCP_OPT_LEASE_TIME, &v) && v == LEASE_S);
	assert_true(dhcp_msg_u32(&b->got, DHCP_OPT_T1, &v) && v == LEASE_S / 2);
	assert_true(dhcp_msg_u32(&b->got, DHCP_OPT_T2, &v) && v == LEASE_S / 8 * 7);
	be32 got;
	assert_true(dhcp_msg_ip4(&b->got, DHCP_OPT_MASK, &got) && got == ip("255.255.255.0"));
	assert_true(dhcp_msg_ip4(&b->got, DHCP_OPT_ROUTER, &got) && got == ip("10.10.10.1"));
	assert_true(dhcp_msg_ip4(&b->got, DHCP_OPT_DNS, &got) && got == ip("10.10.10.1"));
	assert_true(dhcp_msg_ip4(&b->got, DHCP_OPT_BROADCAST, &got) && got == ip("10.10.10.255"));
	expect_text(b, DHCP_OPT_DOMAIN, "lab.internal");
	assert_int_equal(lease_of(b, a)->expires, T0 + LEASE_S);
	assert_int_equal(discover(b, mac1), a);
	assert_int_equal(lease_of(b, a)->state, LEASE_BOUND); /* an offer takes nothing away */
	assert_int_not_equal(discover(b, mac2), a);
	const struct dhcp_stats *st = dhcp_server_stats(b->s);
	assert_int_equal(st->discover, 3);
	assert_int_equal(st->offer, 3);
	assert_int_equal(st->ack, 1);
	bench_free(b);
}

static void test_selecting(void **state)
{
	struct bench *b = bench_new();
	struct client_msg c;
	be32 a = discover(b, mac1);
	begin(&c, mac1, 0, 0); /* chose another server: our offer is free again */
	opt_u8(&c, DHCP_OPT_TYPE, DHCP_REQUEST);
	opt(&c, DHCP_OPT_REQUESTED_IP, &a, 4);
	opt_ip(&c, DHCP_OPT_SERVER_ID, "10.10.10.2");
	assert_int_equal(tell(b, &c), 0);
	assert_int_equal(lease_pool_stats(dhcp_server_pool(b->s)).offered, 0);
	assert_int_equal(dhcp_server_stats(b->s)->other_server, 1);
	expect_type(b, selecting(b, mac2, ip("10.10.10.1")), DHCP_NAK);
	expect_type(b, selecting(b, mac2, ip("192.168.1.5")), DHCP_NAK);
	a = get(b, mac1);
	expect_type(b, selecting(b, mac2, a), DHCP_NAK);
	begin(&c, mac1, 0, 0);
	opt_u8(&c, DHCP_OPT_TYPE, DHCP_REQUEST);
	opt_ip(&c, DHCP_OPT_SERVER_ID, "10.10.10.1");
	assert_int_equal(tell(b, &c), 0);
	begin(&c, mac1, 0, 0);
	opt_u8(&c, DHCP_OPT_TYPE, DHCP_REQUEST);
	assert_int_equal(tell(b, &c), 0);
	assert_int_equal(dhcp_server_stats(b->s)->contradictory, 2);
	bench_free(b);
}

static void test_init_reboot(void **state)
{
	struct bench *b = bench_new();
	be32 a = get(b, mac1), other = a ^ htobe32(1);
	b->now += 100;
	expect_type(b, init_reboot(b, mac1, a), DHCP_ACK);
	assert_int_equal(lease_of(b, a)->expires, b->now + LEASE_S);
	b->now += LEASE_S + 5; /* run out, but remembered and still free */
	expect_type(b, init_reboot(b, mac1, a), DHCP_ACK);
	expect_type(b, init_reboot(b, mac1, ip("192.168.7.7")),
		    DHCP_NAK); /* moved here from elsewhere */
	assert_int_equal(b->r.dst_ip, ip("255.255.255.255"));
	assert_true(mac_eq(b->r.dst_mac, MAC_BROADCAST));
	assert_int_equal(b->got.yiaddr, 0);
	assert_true(dhcp_msg_has(&b->got, DHCP_OPT_MESSAGE));
	assert_false(dhcp_msg_has(&b->got, DHCP_OPT_LEASE_TIME));
	expect_type(b, init_reboot(b, mac1, other), DHCP_NAK); /* not what it had */
	expect_type(b, init_reboot(b, mac2, other), DHCP_NAK); /* unknown: authoritative */
	expect_type(b, init_reboot(b, mac2, a), DHCP_NAK);     /* another's */
	bench_free(b);
}

static void test_renew(void **state)
{
	struct bench *b = bench_new();
	be32 a = get(b, mac1);
	b->now += LEASE_S / 2;
	expect_type(b, renew(b, mac1, a), DHCP_ACK);
	assert_int_equal(b->r.dst_ip, a);
	assert_int_equal(b->got.ciaddr, a);
	assert_int_equal(lease_of(b, a)->expires, b->now + LEASE_S);
	expect_type(b, renew(b, mac2, a), DHCP_NAK);
	expect_type(b, renew(b, mac1, ip("10.10.11.5")), DHCP_NAK);
	assert_int_equal(b->r.dst_ip, ip("255.255.255.255"));
	assert_int_equal(b->got.ciaddr, 0);
	expect_type(b, renew(b, mac1, ip("10.10.10.200")),
		    DHCP_NAK);		 /* right network, outside the range */
	assert_non_null(lease_of(b, a)); /* a NAK changes nothing */
	expect_type(b, renew(b, mac2, ip("10.10.10.59")), DHCP_ACK); /* lost lease, free address */
	bench_free(b);
}

static void test_release_and_decline(void **state)
{
	struct bench *b = bench_new();
	be32 a = get(b, mac1);
	assert_int_equal(farewell(b, mac2, DHCP_RELEASE, a), 0); /* not its own */
	assert_non_null(lease_of(b, a));
	b->port = "p2"; /* a neighbour who forges the MAC */
	assert_int_equal(farewell(b, mac1, DHCP_RELEASE, a), 0);
	assert_int_equal(farewell(b, mac1, DHCP_DECLINE, a), 0);
	assert_non_null(lease_of(b, a));
	assert_int_equal(dhcp_server_stats(b->s)->foreign_port, 2);
	assert_int_equal(dhcp_server_stats(b->s)->unknown_lease, 1);
	b->port = "p1";
	assert_int_equal(farewell(b, mac1, DHCP_RELEASE, a), 0);
	assert_null(lease_of(b, a));
	assert_int_equal(get(b, mac1), a);
	assert_int_equal(farewell(b, mac1, DHCP_DECLINE, a), 0);
	assert_null(lease_of(b, a));
	assert_int_not_equal(get(b, mac1), a);
	expect_type(b, selecting(b, mac2, a), DHCP_NAK);
	b->now += LEASE_DECLINE_S;
	expect_type(b, selecting(b, mac2, a), DHCP_ACK);
	bench_free(b);
}

static void test_inform(void **state)
{
	struct bench *b = bench_new();
	struct client_msg c;
	begin(&c, mac1, DHCP_FLAG_BROADCAST, ip("10.10.10.7"));
	opt_u8(&c, DHCP_OPT_TYPE, DHCP_INFORM);
	expect_type(b, tell(b, &c), DHCP_ACK);
	assert_int_equal(b->got.yiaddr, 0);
	assert_int_equal(b->r.dst_ip, ip("10.10.10.7"));
	assert_false(dhcp_msg_has(&b->got, DHCP_OPT_LEASE_TIME));
	assert_false(dhcp_msg_has(&b->got, DHCP_OPT_T1));
	assert_true(dhcp_msg_has(&b->got, DHCP_OPT_DNS));
	assert_false(b->r.commit);
	assert_int_equal(lease_pool_stats(dhcp_server_pool(b->s)).bound, 0);
	begin(&c, mac1, 0, 0);
	opt_u8(&c, DHCP_OPT_TYPE, DHCP_INFORM);
	assert_int_equal(tell(b, &c), 0);
	bench_free(b);
}

static void test_ignored(void **state)
{
	struct bench *b = bench_new();
	struct client_msg c;
	begin(&c, mac1, 0, 0); /* no option 53 */
	opt(&c, DHCP_OPT_HOSTNAME, "x", 1);
	assert_int_equal(tell(b, &c), 0);
	assert_int_equal(dhcp_server_stats(b->s)->bootp, 1);
	begin(&c, mac1, 0, 0);
	c.b[27] = 1; /* giaddr */
	opt_u8(&c, DHCP_OPT_TYPE, DHCP_DISCOVER);
	assert_int_equal(tell(b, &c), 0);
	assert_int_equal(dhcp_server_stats(b->s)->relayed, 1);
	for (unsigned t = 0; t < 256; t++) {
		if (t == 1 || t == 3 || t == 4 || t == 7 || t == 8)
			continue;
		begin(&c, mac1, 0, 0);
		opt_u8(&c, DHCP_OPT_TYPE, (uint8_t)t);
		assert_int_equal(tell(b, &c), 0);
	}
	assert_int_equal(dhcp_server_stats(b->s)->unsupported, 251);
	begin(&c, mac1, 0, 0);
	c.b[0] = 2;
	opt_u8(&c, DHCP_OPT_TYPE, DHCP_DISCOVER);
	assert_int_equal(tell(b, &c), -EBADMSG);
	begin(&c, MAC_BROADCAST, 0, 0);
	opt_u8(&c, DHCP_OPT_TYPE, DHCP_DISCOVER);
	assert_int_equal(tell(b, &c), -EBADMSG);
	begin(&c, mac1, 0, 0);
	opt(&c, DHCP_OPT_TYPE, "\1\1", 2);
	assert_int_equal(tell(b, &c), -EBADMSG);
	assert_int_equal(dhcp_server_stats(b->s)->malformed, 3);
	bench_free(b);
}

static void test_reservations(void **state)
{
	struct bench *b = bench_new();
	struct lease_reservation r = {.mac = mac1,
				      .address = ip("10.10.10.10"),
				      .hostname = "web1"};
	be32 a = get(b, mac1);
	b->conf.reservations = &r;
	b->conf.n_reservations = 1;
	assert_int_equal(reconf(b), 0);
	assert_non_null(lease_of(b, a));
	expect_type(b, renew(b, mac1, a), DHCP_NAK); /* it moves when it next asks */
	assert_int_equal(get(b, mac1), r.address);
	expect_text(b, DHCP_OPT_HOSTNAME, "web1");
	assert_null(lease_of(b, a));
	expect_type(b, init_reboot(b, mac2, r.address), DHCP_NAK);
	expect_type(b, selecting(b, mac2, r.address), DHCP_NAK);
	lease_release(dhcp_server_pool(b->s), r.address, b->now);
	expect_type(b, init_reboot(b, mac1, r.address), DHCP_ACK);
	bench_free(b);
}

static void test_full_and_limits(void **state)
{
	struct bench *b = bench_new();
	struct client_msg c;
	for (unsigned i = 0; i < 10; i++)
		get(b, (struct mac){{2, 0, 0, 0, 1, (uint8_t)i}});
	begin(&c, mac1, 0, 0);
	opt_u8(&c, DHCP_OPT_TYPE, DHCP_DISCOVER);
	assert_int_equal(tell(b, &c), 0);
	assert_int_equal(dhcp_server_stats(b->s)->no_address, 1);
	b->now += LEASE_S;
	b->conf.max_per_port = 2;
	assert_int_equal(reconf(b), 0);
	get(b, mac1);
	get(b, mac2);
	begin(&c, (struct mac){{2, 0, 0, 0, 1, 1}}, 0, 0);
	opt_u8(&c, DHCP_OPT_TYPE, DHCP_DISCOVER);
	assert_int_equal(tell(b, &c), 0);
	assert_int_equal(dhcp_server_stats(b->s)->port_limit, 1);
	b->port = "p2";
	get(b, (struct mac){{2, 0, 0, 0, 1, 1}});
	bench_free(b);
}

static void test_discover_flood(void **state)
{
	struct bench *b = bench_new();
	be32 a = discover(b, mac1);
	b->port = "evil";
	for (unsigned i = 0; i < 3000; i++)
		discover(b, (struct mac){{2, 0, 0, 1, (uint8_t)(i >> 8), (uint8_t)i}});
	b->port = "p1";
	expect_type(b, selecting(b, mac1, a), DHCP_ACK);
	b->port = "p3";
	get(b, mac2);
	bench_free(b);
}

/* ---- options ---- */

static void test_client_id(void **state)
{
	struct bench *b = bench_new();
	struct client_msg c;
	size_t n;
	be32 a[2];
	for (unsigned i = 0; i < 2; i++) { /* one MAC, two ids: two clients */
		begin(&c, mac1, 0, 0);
		opt_u8(&c, DHCP_OPT_TYPE, DHCP_DISCOVER);
		opt(&c, DHCP_OPT_CLIENT_ID,
		    i ? "\xff"
			"beta"
		      : "\xff"
			"alpha",
		    5);
		expect_type(b, tell(b, &c), DHCP_OFFER);
		a[i] = b->got.yiaddr;
		const uint8_t *id = dhcp_msg_get(&b->got, DHCP_OPT_CLIENT_ID, &n);
		assert_int_equal(n, 5); /* RFC 6842 */
		assert_memory_equal(id,
				    i ? "\xff"
					"beta"
				      : "\xff"
					"alph",
				    5);
	}
	assert_int_not_equal(a[0], a[1]);
	be32 plain = discover(b, mac2);
	begin(&c, mac2, 0, 0); /* 01 and the MAC is the same client as without an id */
	opt_u8(&c, DHCP_OPT_TYPE, DHCP_DISCOVER);
	opt(&c, DHCP_OPT_CLIENT_ID, "\1\x52\x54\0\0\0\2", 7);
	expect_type(b, tell(b, &c), DHCP_OFFER);
	assert_int_equal(b->got.yiaddr, plain);
	begin(&c, mac2, 0, 0); /* NAKs too */
	opt_u8(&c, DHCP_OPT_TYPE, DHCP_REQUEST);
	opt_ip(&c, DHCP_OPT_REQUESTED_IP, "1.2.3.4");
	opt(&c, DHCP_OPT_CLIENT_ID, "\1\x52\x54\0\0\0\2", 7);
	expect_type(b, tell(b, &c), DHCP_NAK);
	assert_true(dhcp_msg_has(&b->got, DHCP_OPT_CLIENT_ID));
	bench_free(b);
}

static void test_broadcast_flag(void **state)
{
	struct bench *b = bench_new();
	struct client_msg c;
	begin(&c, mac1, DHCP_FLAG_BROADCAST, 0);
	opt_u8(&c, DHCP_OPT_TYPE, DHCP_DISCOVER);
	expect_type(b, tell(b, &c), DHCP_OFFER);
	assert_int_equal(b->r.dst_ip, ip("255.255.255.255"));
	assert_true(mac_eq(b->r.dst_mac, MAC_BROADCAST));
	assert_int_equal(b->got.flags, DHCP_FLAG_BROADCAST);
	bench_free(b);
}

static void test_options(void **state)
{
	static const char *const search[] = {"lab.internal", "example.org"};
	struct bench *b = bench_new();
	struct client_msg c;
	struct dhcp_route route = {.via = ip("10.10.10.254")};
	struct dhcp_option o[] = {{.code = DHCP_OPT_NTP, .len = 4, .data = {10, 10, 10, 1}},
				  {.code = 43, .len = 2, .data = {1, 2}},
				  {.code = DHCP_OPT_DOMAIN, .len = 0}};
	uint16_t mtu = 0;
	prefix4_parse("192.168.128.0/17", &route.to);
	b->conf.search = search;
	b->conf.n_search = 2;
	b->conf.routes = &route;
	b->conf.n_routes = 1;
	b->conf.options = o;
	b->conf.n_options = 3;
	assert_int_equal(reconf(b), 0);
	begin(&c, mac1, 0, 0);
	opt_u8(&c, DHCP_OPT_TYPE, DHCP_DISCOVER);
	opt(&c, DHCP_OPT_PARAM_LIST, "\1\3\171\167\32", 5);
	expect_type(b, tell(b, &c), DHCP_OFFER);
	expect_bytes(b, DHCP_OPT_NTP, "\12\12\12\1", 4);
	assert_true(dhcp_msg_has(&b->got, 43));
	assert_false(dhcp_msg_has(&b->got, DHCP_OPT_DOMAIN)); /* switched off */
	expect_bytes(b, DHCP_OPT_ROUTES, "\x11\xc0\xa8\x80\x0a\x0a\x0a\xfe\x00\x0a\x0a\x0a\x01",
		     8 + 5);
	expect_bytes(b, DHCP_OPT_SEARCH, "\3lab\10internal\0\7example\3org\0", 14 + 13);
	assert_true(dhcp_msg_u16(&b->got, DHCP_OPT_MTU, &mtu) && mtu == 1500);
	begin(&c, mac1, 0, 0);
	opt_u8(&c, DHCP_OPT_TYPE, DHCP_DISCOVER);
	opt(&c, DHCP_OPT_PARAM_LIST, "\1", 1);
	expect_type(b, tell(b, &c), DHCP_OFFER);
	assert_false(dhcp_msg_has(&b->got, DHCP_OPT_ROUTES)); /* not asked */
	assert_false(dhcp_msg_has(&b->got, DHCP_OPT_MTU));
	assert_true(dhcp_msg_has(&b->got, DHCP_OPT_ROUTER)); /* always */
	b->conf.mtu = 1400;
	assert_int_equal(reconf(b), 0);
	expect_type(b, tell(b, &c), DHCP_OFFER);
	assert_true(dhcp_msg_u16(&b->got, DHCP_OPT_MTU, &mtu) && mtu == 1400);
	o[0].code = DHCP_OPT_LEASE_TIME;
	assert_int_equal(reconf(b), -EINVAL);
	assert_int_equal(discover(b, mac1) != 0, true); /* the old conf stays */
	bench_free(b);
}

static void test_max_size(void **state)
{
	struct bench *b = bench_new();
	struct client_msg c;
	struct dhcp_option o[5];
	for (unsigned i = 0; i < 5; i++) {
		o[i] = (struct dhcp_option){.code = (uint8_t)(200 + i), .len = 150};
		memset(o[i].data, 'a' + (int)i, 150);
	}
	b->conf.options = o;
	b->conf.n_options = 5;
	assert_int_equal(reconf(b), 0);
	for (unsigned big = 0; big < 2; big++) {
		begin(&c, mac1, 0, 0);
		opt_u8(&c, DHCP_OPT_TYPE, DHCP_DISCOVER);
		opt_u16(&c, DHCP_OPT_MAX_SIZE, big ? 1400 : 576);
		expect_type(b, tell(b, &c), DHCP_OFFER);
		assert_true(b->r.len <= (big ? 1400u : 576u) - 28);
		assert_int_equal(dhcp_msg_has(&b->got, 204), big);
		assert_true(dhcp_msg_has(&b->got, DHCP_OPT_LEASE_TIME));
	}
	bench_free(b);
}

static void test_lease_time(void **state)
{
	static const struct {
		uint32_t conf, asked, given;
	} rows[] = {{7200, 600, 600},
		    {7200, 5, 60},
		    {7200, 99999, 7200},
		    {30, 5, 30},
		    {UINT32_MAX, UINT32_MAX, UINT32_MAX},
		    {UINT32_MAX, 600, 600}};
	struct bench *b = bench_new();
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct client_msg c;
		be32 asked = htobe32(rows[i].asked);
		uint32_t v = 0;
		b->conf.lease_s = rows[i].conf;
		assert_int_equal(reconf(b), 0);
		begin(&c, mac1, 0, 0);
		opt_u8(&c, DHCP_OPT_TYPE, DHCP_DISCOVER);
		opt(&c, DHCP_OPT_LEASE_TIME, &asked, 4);
		expect_type(b, tell(b, &c), DHCP_OFFER);
		assert_true(dhcp_msg_u32(&b->got, DHCP_OPT_LEASE_TIME, &v));
		assert_int_equal(v, rows[i].given);
		assert_int_equal(dhcp_msg_has(&b->got, DHCP_OPT_T1), v != UINT32_MAX);
	}
	be32 a = ip("10.10.10.55");
	expect_type(b, selecting(b, mac1, a), DHCP_ACK);
	b->now += INT64_C(4000000000);
	assert_int_equal(lease_remaining(lease_of(b, a), b->now), -1);
	bench_free(b);
}

static void test_rapid_commit(void **state)
{
	struct bench *b = bench_new();
	struct client_msg c;
	for (unsigned on = 0; on < 2; on++) {
		b->conf.rapid_commit = on;
		assert_int_equal(reconf(b), 0);
		begin(&c, mac1, 0, 0);
		opt_u8(&c, DHCP_OPT_TYPE, DHCP_DISCOVER);
		opt(&c, DHCP_OPT_RAPID_COMMIT, "", 0);
		expect_type(b, tell(b, &c), on ? DHCP_ACK : DHCP_OFFER);
		assert_int_equal(dhcp_msg_has(&b->got, DHCP_OPT_RAPID_COMMIT), on);
		assert_int_equal(b->r.commit, on);
	}
	assert_non_null(lease_of(b, b->got.yiaddr));
	bench_free(b);
}

static void test_hostnames(void **state)
{
	struct bench *b = bench_new();
	struct client_msg c;
	const struct mac m[2] = {mac1, mac2};
	for (unsigned i = 0; i < 2; i++) {
		begin(&c, m[i], 0, 0);
		opt_u8(&c, DHCP_OPT_TYPE, DHCP_REQUEST);
		opt_ip(&c, DHCP_OPT_SERVER_ID, "10.10.10.1");
		opt_ip(&c, DHCP_OPT_REQUESTED_IP, i ? "10.10.10.51" : "10.10.10.50");
		opt(&c, DHCP_OPT_HOSTNAME, "Debian.local", 12);
		opt(&c, DHCP_OPT_PARAM_LIST, "\14", 1);
		expect_type(b, tell(b, &c), DHCP_ACK);
		expect_text(b, DHCP_OPT_HOSTNAME, i ? "debian-2" : "debian");
	}
	assert_int_equal(lease_find_name(dhcp_server_pool(b->s), "debian-2", b->now)->address,
			 ip("10.10.10.51"));
	bench_free(b);
}

/* ---- the skin ---- */

static struct arena *arena;
static struct pkt_pool *pool;
static struct port gateway, guest = {.name = "p1"};
static struct pkt *sent[8];
static unsigned n_sent;

struct pkt_pool *sw_main_pool(struct sw *sw)
{
	return pool;
}

void sw_slow_down(struct port *in, domain_idx dom, struct pkt *k)
{
	assert_ptr_equal(in, &gateway);
	assert_int_equal(dom, 3);
	sent[n_sent++] = k;
}

static unsigned n_refused;

void sw_slow_refuse(const struct pkt *k, enum drop_reason why)
{
	assert_int_equal(why, DROP_SVC_MALFORMED);
	n_refused++;
}

struct port *sw_port_at(struct sw *sw, port_idx i)
{
	return i == 5 ? &guest : NULL;
}

static int set_up(void **state)
{
	arena = arena_new(64, 0);
	pool = pkt_pool_new(arena);
	return 0;
}

static int tear_down(void **state)
{
	while (n_sent)
		pkt_free(pool, sent[--n_sent]);
	pkt_pool_free(pool);
	arena_free(arena);
	return 0;
}

static struct pkt *frame_of(struct client_msg *c, be16 spoil)
{
	uint8_t f[2048];
	size_t len = end(c);
	uint16_t udp_len = (uint16_t)(8 + len);
	struct ip4_hdr ih = {.ver_ihl = 0x45,
			     .len = htobe16((uint16_t)(20 + udp_len)),
			     .ttl = 64,
			     .proto = 17,
			     .dst = UINT32_MAX};
	struct udp_hdr uh = {htobe16(68), htobe16(67), htobe16(udp_len), 0};
	struct eth_hdr eh = {MAC_BROADCAST, mac1, htobe16(0x0800)};
	ih.csum = csum_ip4_header(&ih, sizeof(ih));
	csum_t sum = csum_add(csum_pseudo4(ih.src, ih.dst, 17, udp_len), &uh, sizeof(uh));
	uh.csum = csum_finish(csum_add(sum, c->b, len)) ^ spoil;
	struct wire w = wire_writer(f, sizeof(f));
	wire_put(&w, &eh, sizeof(eh));
	wire_put(&w, &ih, sizeof(ih));
	wire_put(&w, &uh, sizeof(uh));
	wire_put(&w, c->b, len);
	struct pkt *k = pkt_from(pool, f, wire_pos(&w));
	assert_int_equal(pkt_parse(k), DROP_NONE);
	k->in_port = 5;
	k->domain = 3;
	return k;
}

static struct pkt *discover_frame(be16 spoil)
{
	struct client_msg c;
	begin(&c, mac1, 0, 0);
	opt_u8(&c, DHCP_OPT_TYPE, DHCP_DISCOVER);
	return frame_of(&c, spoil);
}

static struct pkt *request_frame(be32 a)
{
	struct client_msg c;
	begin(&c, mac1, 0, 0);
	opt_u8(&c, DHCP_OPT_TYPE, DHCP_REQUEST);
	opt(&c, DHCP_OPT_REQUESTED_IP, &a, 4);
	opt_ip(&c, DHCP_OPT_SERVER_ID, "10.10.10.1");
	return frame_of(&c, 0);
}

static struct bench *skin_new(void)
{
	struct bench *b = bench_new();
	b->conf.gateway = &gateway;
	assert_int_equal(reconf(b), 0);
	return b;
}

static void assert_refused(const struct bench *b, unsigned n)
{
	assert_int_equal(dhcp_server_stats(b->s)->malformed, n);
	assert_int_equal(n_refused, n);
}

static void test_receive(void **state)
{
	struct bench *b = skin_new();
	dhcp_receive(b->s, discover_frame(0));
	assert_int_equal(n_sent, 1);
	struct pkt *k = sent[0];
	assert_int_equal(pkt_parse(k), DROP_NONE);
	assert_int_equal(k->flags & (PKT_IP4 | PKT_L4), PKT_IP4 | PKT_L4);
	assert_true(mac_eq(pkt_eth(k)->src, b->conf.server_mac));
	assert_true(mac_eq(pkt_eth(k)->dst, mac1));
	assert_int_equal(pkt_ip4(k)->src, b->conf.server_id);
	uint16_t n = be16toh(pkt_udp(k)->len);
	csum_t sum = csum_pseudo4(pkt_ip4(k)->src, pkt_ip4(k)->dst, 17, n);
	assert_int_equal(csum_finish(csum_add(sum, pkt_udp(k), n)), 0);
	dhcp_receive(b->s, discover_frame(htobe16(0x1000)));
	assert_int_equal(n_sent, 1);
	assert_refused(b, 1);
	k = discover_frame(0);
	pkt_udp(k)->dport = htobe16(68);
	dhcp_receive(b->s, k);
	assert_refused(b, 2);
	k = discover_frame(0);
	k->flags &= ~PKT_L4;
	dhcp_receive(b->s, k);
	assert_refused(b, 3);
	bench_free(b);
}

static void want_sync(void *arg)
{
	(*(unsigned *)arg)++;
}

static void test_acks_wait_for_the_sync(void **state)
{
	struct bench *b = skin_new();
	unsigned wanted = 0;
	be32 a = discover(b, mac1);
	dhcp_receive(b->s, request_frame(a));
	assert_int_equal(n_sent, 1); /* nobody groups: synced and sent */
	assert_false(lease_store_dirty(b->store));
	lease_store_defer(b->store, want_sync, &wanted);
	dhcp_receive(b->s, request_frame(a));
	dhcp_receive(b->s, request_frame(a));
	assert_int_equal(n_sent, 1);
	assert_int_equal(wanted, 1);
	lease_store_sync(b->store);
	assert_int_equal(n_sent, 3);
	dhcp_receive(b->s, discover_frame(0)); /* an offer waits for nothing */
	assert_int_equal(n_sent, 4);
	dhcp_receive(b->s, request_frame(a));
	bench_free(b); /* with one waiting */
	assert_int_equal(n_sent, 4);
}

#define WITH_POOL(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse_overload_and_long),
		cmocka_unit_test(test_parse_refuses),
		cmocka_unit_test(test_build_overflows),
		cmocka_unit_test(test_four_messages),
		cmocka_unit_test(test_selecting),
		cmocka_unit_test(test_init_reboot),
		cmocka_unit_test(test_renew),
		cmocka_unit_test(test_release_and_decline),
		cmocka_unit_test(test_inform),
		cmocka_unit_test(test_ignored),
		cmocka_unit_test(test_reservations),
		cmocka_unit_test(test_full_and_limits),
		cmocka_unit_test(test_discover_flood),
		cmocka_unit_test(test_client_id),
		cmocka_unit_test(test_broadcast_flag),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_max_size),
		cmocka_unit_test(test_lease_time),
		cmocka_unit_test(test_rapid_commit),
		cmocka_unit_test(test_hostnames),
		WITH_POOL(test_receive),
		WITH_POOL(test_acks_wait_for_the_sync),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
