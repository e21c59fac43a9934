/* The DNS service: message format, names, local answers, and the forwarder between a fake
 * switch and real UDP sockets on this host that play the upstream servers. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "dhcp/dns_forward.h"
#include "dhcp/dns_msg.h"
#include "dhcp/dns_udp.h"
#include "dhcp/dns_zone.h"
#include "dhcp/resolv.h"
#include "net/clock.h"
#include "net/csum.h"
#include "net/parse.h"

#define DOMAIN	3
#define GUEST	htobe32(0x0a0a0a32) /* 10.10.10.50 */
#define WEB1	htobe32(0x0a0a0a0a) /* 10.10.10.10 */
#define GATEWAY htobe32(0x0a0a0a01) /* 10.10.10.1 */
#define SPORT	40000

/* ---- a switch that keeps what is sent ---- */

static struct arena *arena;
static struct pkt_pool *pool;
static struct loop *loop;
static struct pkt *sent[1024];
static unsigned n_sent, stop_at;
static domain_idx sent_domain;
static struct port gateway_port;

struct pkt_pool *sw_main_pool(struct sw *sw)
{
	return pool;
}

void sw_slow_down(struct port *in, domain_idx dom, struct pkt *k)
{
	assert_ptr_equal(in, &gateway_port);
	assert_true(n_sent < ARRAY_SIZE(sent));
	sent_domain = dom;
	sent[n_sent++] = k;
	if (stop_at && n_sent >= stop_at)
		loop_stop(loop);
}

static unsigned refused[DROP_COUNT];

void sw_slow_refuse(const struct pkt *k, enum drop_reason why)
{
	assert_non_null(k);
	refused[why]++;
}

static void forget_sent(void)
{
	while (n_sent)
		pkt_free(pool, sent[--n_sent]);
}

/* ---- a resolv.conf with ports ---- */

static struct resolv_list servers;

const struct resolv_list *resolv_list(const struct resolv *r)
{
	return &servers;
}

static int upstream[3];

static void open_upstreams(unsigned n)
{
	servers.n = n;
	for (unsigned i = 0; i < n; i++) {
		struct resolv_server *s = &servers.server[i];

		*s = (struct resolv_server){.len = sizeof(s->in4)};
		s->in4.sin_family = AF_INET;
		s->in4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		upstream[i] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		assert_int_equal(bind(upstream[i], &s->sa, s->len), 0);
		assert_int_equal(getsockname(upstream[i], &s->sa, &s->len), 0);
	}
}

static void close_upstreams(void)
{
	for (unsigned i = 0; i < servers.n; i++)
		if (upstream[i] >= 0)
			close(upstream[i]);
	servers.n = 0;
}

/* ---- building and reading messages ---- */

struct ask {
	const char *name;
	uint16_t type, class, flags, edns_size;
	bool edns, dnssec_ok;
	uint8_t edns_version;
};

static size_t make_query(const struct ask *a, uint8_t *room, size_t len)
{
	struct wire w = wire_writer(room, len);
	const char *p = a->name;

	wire_put_u16(&w, 0x1234);
	wire_put_u16(&w, a->flags ? a->flags : DNS_RD);
	wire_put_u16(&w, 1);
	wire_put_zero(&w, 4);
	wire_put_u16(&w, a->edns);
	while (*p) {
		size_t label = strcspn(p, ".");

		wire_put_u8(&w, (uint8_t)label);
		wire_put(&w, p, label);
		p += label + (p[label] == '.');
	}
	wire_put_u8(&w, 0);
	wire_put_u16(&w, a->type);
	wire_put_u16(&w, a->class ? a->class : DNS_CLASS_IN);
	if (a->edns) {
		wire_put_u8(&w, 0);
		wire_put_u16(&w, DNS_TYPE_OPT);
		wire_put_u16(&w, a->edns_size);
		wire_put_u32(&w, (uint32_t)a->edns_version << 16 | (a->dnssec_ok ? 0x8000 : 0));
		wire_put_u16(&w, 0);
	}
	assert_true(wire_ok(&w));
	return wire_pos(&w);
}

struct said {
	struct dns_header h;
	struct dns_question q;
	unsigned rcode;
	uint16_t type; /* of the first record */
	uint32_t ttl;
	be32 addr;
	size_t owner; /* where the SOA's or answer's owner points; 0 the root */
	struct dns_name ptr;
};

static void read_record(struct wire *w, struct said *s)
{
	unsigned first = wire_get_u8(w);
	uint16_t len;

	s->owner = first ? (first & 0x3f) << 8 | wire_get_u8(w) : 0;
	s->type = wire_get_u16(w);
	wire_skip(w, 2);
	s->ttl = wire_get_u32(w);
	len = wire_get_u16(w);
	if (s->type == DNS_TYPE_A) {
		assert_int_equal(len, 4);
		s->addr = wire_get_ip4(w);
	} else if (s->type == DNS_TYPE_PTR) {
		dns_get_name(w, &s->ptr);
	}
}

static struct said read_answer(const void *msg, size_t len)
{
	struct said s = {0};
	struct wire w = wire_reader(msg, len);

	assert_int_equal(dns_answer_parse(msg, len, &s.h, &s.q), 0);
	s.rcode = s.h.flags & DNS_RCODE;
	wire_seek(&w, s.q.end);
	if (s.h.answers || s.h.authorities)
		read_record(&w, &s);
	assert_true(wire_ok(&w));
	return s;
}

/* ---- messages ---- */

static void parses_a_query(void **state)
{
	struct ask a = {"WeB1.Lab.internal", DNS_TYPE_A, .edns = true, .edns_size = 4096,
			.dnssec_ok = true};
	struct dns_query q;
	uint8_t msg[512];
	size_t len = make_query(&a, msg, sizeof(msg));

	assert_int_equal(dns_query_parse(msg, len, &q), 0);
	assert_int_equal(q.h.id, 0x1234);
	assert_int_equal(q.q.type, DNS_TYPE_A);
	assert_int_equal(q.q.name.len, 19);
	assert_memory_equal(q.q.name.b, "\4web1\3lab\10internal", 19);
	assert_true(q.edns && q.dnssec_ok);
	assert_int_equal(q.edns_size, 4096);
	assert_int_equal(dns_name_labels(&q.q.name), 3);
	for (size_t cut = 0; cut < len; cut++) /* every shorter one is refused */
		assert_true(dns_query_parse(msg, cut, &q) < 0);
}

static int parse_bytes(const char *bytes, size_t len)
{
	struct dns_query q;

	return dns_query_parse(bytes, len, &q);
}
#define PARSE(s)	      parse_bytes(s, sizeof(s) - 1)
#define HEADER(flags, counts) "\0\1" flags counts
#define ONE		      HEADER("\1\0", "\0\1\0\0\0\0\0\0")
#define TAIL		      "\0\1\0\1"

static void refuses_bad_queries(void **state)
{
	uint8_t longest[512] = ONE;
	size_t at = 12;

	assert_int_equal(PARSE("\0\1\1"), -EBADMSG);
	assert_int_equal(PARSE(HEADER("\x81\0", "\0\1\0\0\0\0\0\0") "\1a\0" TAIL), -EBADMSG);
	assert_int_equal(PARSE(HEADER("\1\0", "\0\0\0\0\0\0\0\0")), -EPROTO);
	assert_int_equal(PARSE(HEADER("\1\0", "\0\2\0\0\0\0\0\0") "\1a\0" TAIL "\1b\0" TAIL),
			 -EPROTO);
	assert_int_equal(PARSE(ONE "\1a\0" TAIL), 0);
	assert_int_equal(PARSE(ONE "\xc0\x0c" TAIL), -EPROTO);	  /* points at itself */
	assert_int_equal(PARSE(ONE "\1a\xc0\x0c" TAIL), -EPROTO); /* a loop */
	assert_int_equal(PARSE(ONE "\x41"
				   "a\0" TAIL),
			 -EPROTO); /* extended label */
	assert_int_equal(PARSE(ONE "\1a" TAIL), -EPROTO);
	assert_int_equal(PARSE(ONE "\0" TAIL), 0); /* the root */
	/* four labels of 62 octets and one of 2 make 255 octets, one of 3 is too many */
	for (int i = 0; i < 4; i++, at += 63)
		longest[at] = 62;
	longest[at] = 1;
	memcpy(&longest[at + 2], "\0\0\1\0\1", 5);
	assert_int_equal(parse_bytes((char *)longest, at + 7), 0);
	longest[at] = 2;
	memcpy(&longest[at + 3], "\0\0\1\0\1", 5);
	assert_int_equal(parse_bytes((char *)longest, at + 8), -EPROTO);
}

static void reads_opt_only_where_it_belongs(void **state)
{
#define OPT "\0\0\x29\4\xd0\0\0\0\0\0\0"
	struct dns_query q;
	static const char in_answer[] = HEADER("\1\0", "\0\1\0\1\0\0\0\0") "\1a\0" TAIL OPT;

	assert_int_equal(dns_query_parse(in_answer, sizeof(in_answer) - 1, &q), 0);
	assert_false(q.edns);
	assert_int_equal(PARSE(HEADER("\1\0", "\0\1\0\0\0\0\0\1") "\1a\0" TAIL OPT), 0);
	assert_int_equal(PARSE(HEADER("\1\0", "\0\1\0\0\0\0\0\2") "\1a\0" TAIL OPT OPT), -EPROTO);
	assert_int_equal(PARSE(HEADER("\1\0", "\0\1\0\0\0\0\0\1") "\1a\0" TAIL
								  "\1b\0\0\x29\4\xd0\0\0\0\0\0\0"),
			 -EPROTO); /* not the root's */
	/* an owner that is a pointer is stepped over */
	assert_int_equal(PARSE(HEADER("\1\0", "\0\1\0\0\0\0\0\1") "\1a\0" TAIL
								  "\xc0\x0c\0\1\0\1\0\0\0\0\0\0"),
			 0);
}

static void understands_names(void **state)
{
	struct dns_name n, zone, odd = {4, "\2a\0"};
	char label[64], text[300];
	unsigned octets, below;
	be32 addr;

	assert_int_equal(dns_name_parse("Lab.Internal.", &zone), 0);
	assert_memory_equal(zone.b, "\3lab\10internal", 14);
	assert_int_equal(dns_name_parse("", &n), 0);
	assert_int_equal(n.len, 1);
	assert_true(dns_name_in(&zone, &n));
	assert_int_equal(dns_name_parse(".", &n), 0);
	assert_int_equal(dns_name_parse("a..b", &n), -EINVAL);
	assert_int_equal(dns_name_parse("a..", &n), -EINVAL);
	assert_int_equal(dns_name_parse(".a", &n), -EINVAL);
	memset(text, 'a', sizeof(text));
	text[64] = 0;
	assert_int_equal(dns_name_parse(text, &n), -EINVAL);
	assert_int_equal(dns_name_parse("web1.lab.internal", &n), 0);
	assert_true(dns_name_in(&n, &zone));
	assert_false(dns_name_in(&zone, &n));
	assert_true(dns_name_label(&n, 1, label));
	assert_string_equal(label, "lab");
	assert_int_equal(dns_name_offset(&n, 1), 5);
	assert_int_equal(dns_name_parse("notlab.internal", &n), 0);
	assert_false(dns_name_in(&n, &zone));
	assert_false(dns_name_label(&odd, 0, label));

	assert_int_equal(dns_name_parse("50.10.10.10.in-addr.arpa", &n), 0);
	assert_true(dns_name_reverse(&n, &addr, &octets, &below));
	assert_int_equal(addr, GUEST);
	assert_int_equal(octets, 4);
	assert_int_equal(below, 0);
	assert_int_equal(dns_name_parse("x.50.10.10.10.in-addr.arpa", &n), 0);
	assert_true(dns_name_reverse(&n, &addr, &octets, &below));
	assert_int_equal(below, 1);
	assert_int_equal(dns_name_parse("10.in-addr.arpa", &n), 0);
	assert_true(dns_name_reverse(&n, &addr, &octets, &below));
	assert_int_equal(octets, 1);
	assert_int_equal(addr, htobe32(0x0a000000));
	assert_int_equal(dns_name_parse("256.in-addr.arpa", &n), 0);
	assert_false(dns_name_reverse(&n, &addr, &octets, &below));
	assert_int_equal(dns_name_parse("01.in-addr.arpa", &n), 0);
	assert_false(dns_name_reverse(&n, &addr, &octets, &below));
	assert_int_equal(dns_name_parse("ip6.arpa", &n), 0);
	assert_false(dns_name_reverse(&n, &addr, &octets, &below));
}

/* ---- names ---- */

static void names_have_owners(void **state)
{
	struct dns_names *n = dns_names_new(8);
	struct dns_names_row row;

	assert_int_equal(dns_names_set(n, 1, DNS_NAME_STATIC, "Web1", WEB1, 0), 0);
	assert_true(dns_names_find(n, 1, "wEB1", &row));
	assert_int_equal(row.addr, WEB1);
	assert_string_equal(row.name, "web1");
	assert_false(dns_names_find(n, 2, "web1", &row)); /* another network */
	assert_int_equal(dns_names_set(n, 2, DNS_NAME_LEASE, "web1", GUEST, 0), 0);
	/* a guest takes neither a static name nor another guest's */
	assert_int_equal(dns_names_set(n, 1, DNS_NAME_LEASE, "web1", GUEST, 0), -EEXIST);
	assert_int_equal(dns_names_set(n, 1, DNS_NAME_LEASE, "db", GUEST, 0), 0);
	assert_int_equal(dns_names_set(n, 1, DNS_NAME_LEASE, "db", GATEWAY, 0), -EEXIST);
	/* it may change its own */
	assert_int_equal(dns_names_set(n, 1, DNS_NAME_LEASE, "db2.elsewhere.org", GUEST, 0), 0);
	assert_false(dns_names_find(n, 1, "db", &row));
	assert_true(dns_names_find_addr(n, 1, GUEST, &row));
	assert_string_equal(row.name, "db2");
	/* the operator takes any */
	assert_int_equal(dns_names_set(n, 1, DNS_NAME_STATIC, "db2", GATEWAY, 0), 0);
	assert_true(dns_names_find(n, 1, "db2", &row));
	assert_int_equal(row.addr, GATEWAY);
	assert_int_equal(dns_names_set(n, 1, DNS_NAME_STATIC, "db2", WEB1, 0), -EEXIST);
	/* the static name is an address's reverse, and the lease's end leaves it */
	assert_int_equal(dns_names_set(n, 1, DNS_NAME_LEASE, "zz", WEB1, 0), 0);
	assert_true(dns_names_find_addr(n, 1, WEB1, &row));
	assert_string_equal(row.name, "web1");
	assert_int_equal(dns_names_del_addr(n, 1, DNS_NAME_LEASE, WEB1), 1);
	assert_true(dns_names_find(n, 1, "web1", &row));
	dns_names_clear(n, 1);
	assert_int_equal(dns_names_count(n), 1);
	dns_names_free(n);
	dns_names_free(NULL);
}

static void names_are_bounded(void **state)
{
	struct dns_names *n = dns_names_new(8);
	char name[8] = "n0";
	static const char *const bad[] = {
		"",    "-a",
		"a-",  "a_b",
		"a b", "\xc3\xa4",
		".",   "0123456789012345678901234567890123456789012345678901234567890123"};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(dns_names_set(n, 1, DNS_NAME_LEASE, bad[i], GUEST, 0), -EINVAL);
	for (unsigned i = 0; i < 5; i++, name[1]++)
		assert_int_equal(dns_names_set(n, 1, DNS_NAME_LEASE, name, htobe32(i), 0),
				 i < 4 ? 0 : -ENOSPC);
	assert_int_equal(dns_names_set(n, 2, DNS_NAME_LEASE, "other", GUEST, 0), 0);
	assert_int_equal(dns_names_del(n, 1, "n0"), 0);
	assert_int_equal(dns_names_del(n, 1, "n0"), -ENOENT);
	assert_int_equal(dns_names_set(n, 1, DNS_NAME_LEASE, "n9", GUEST, 0), 0);
	dns_names_free(n);
}

/* ---- local answers ---- */

static struct dns_names *names;
static struct dns_zone zone = {.domain = DOMAIN, .subnet = {0, 24}};

static int zone_ask(const struct ask *a, struct said *ret)
{
	uint8_t msg[512], room[1232];
	size_t len = make_query(a, msg, sizeof(msg));
	struct dns_query q;
	int n;

	assert_int_equal(dns_query_parse(msg, len, &q), 0);
	n = dns_zone_answer(&zone, names, 100 * NSEC_PER_SEC, &q, msg, room, sizeof(room));
	assert_true(n >= 0);
	if (n) {
		*ret = read_answer(room, (size_t)n);
		assert_int_equal(ret->h.id, 0x1234);
		assert_memory_equal(room + 12, msg + 12, ret->q.end - 12); /* case kept */
	}
	return n;
}

static int zone_setup(void **state)
{
	zone.subnet.addr = GATEWAY;
	dns_name_parse("lab.internal", &zone.suffix);
	names = dns_names_new(0);
	dns_names_set(names, DOMAIN, DNS_NAME_STATIC, "web1", WEB1, 0);
	dns_names_set(names, DOMAIN, DNS_NAME_LEASE, "vm", GUEST, 107 * NSEC_PER_SEC);
	return 0;
}

static int zone_teardown(void **state)
{
	dns_names_free(names);
	return 0;
}

static void answers_names(void **state)
{
	static const char *const forms[] = {"web1", "WEB1", "web1.lab.internal",
					    "Web1.LAB.internal"};
	struct said s;

	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		assert_true(zone_ask(&(struct ask){forms[i], DNS_TYPE_A}, &s));
		assert_int_equal(s.rcode, DNS_NOERROR);
		assert_int_equal(s.h.answers, 1);
		assert_int_equal(s.addr, WEB1);
		assert_int_equal(s.owner, 12);
		assert_int_equal(s.ttl, DNS_ZONE_TTL);
		assert_true(s.h.flags & DNS_AA && s.h.flags & DNS_RA && s.h.flags & DNS_RD);
	}
	assert_true(zone_ask(&(struct ask){"vm", DNS_TYPE_A}, &s));
	assert_int_equal(s.ttl, 7); /* what is left of the lease */
	assert_true(zone_ask(&(struct ask){"vm", DNS_TYPE_ANY, .edns = true}, &s));
	assert_int_equal(s.type, DNS_TYPE_A);
	assert_int_equal(s.h.additionals, 1);
}

static void other_types_are_nodata(void **state)
{
	static const uint16_t types[] = {DNS_TYPE_AAAA, 15, 65, 65280, DNS_TYPE_DS};
	struct said s;

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		assert_true(zone_ask(&(struct ask){"web1.lab.internal", types[i]}, &s));
		assert_int_equal(s.rcode, DNS_NOERROR);
		assert_int_equal(s.h.answers, 0);
		assert_int_equal(s.h.authorities, 1);
		assert_int_equal(s.type, DNS_TYPE_SOA);
		assert_int_equal(s.owner, 12 + 5);
		assert_true(zone_ask(&(struct ask){"web1", types[i]}, &s));
		assert_int_equal(s.rcode, DNS_NOERROR);
		assert_int_equal(s.owner, 0);
	}
	assert_true(zone_ask(&(struct ask){"lab.internal", DNS_TYPE_A}, &s));
	assert_int_equal(s.rcode, DNS_NOERROR);
	assert_int_equal(s.h.authorities, 1);
	assert_true(zone_ask(&(struct ask){"lab.internal", DNS_TYPE_SOA}, &s));
	assert_int_equal(s.h.answers, 1);
	assert_int_equal(s.type, DNS_TYPE_SOA);
}

static void unknown_names_stay_here(void **state)
{
	static const char *const unknown[] = {"nope.lab.internal", "a.web1.lab.internal", "nope",
					      "we b1.lab.internal"};
	struct said s;

	for (size_t i = 0; i < ARRAY_SIZE(unknown); i++) {
		assert_true(zone_ask(&(struct ask){unknown[i], DNS_TYPE_A}, &s));
		assert_int_equal(s.rcode, DNS_NXDOMAIN);
		assert_int_equal(s.type, DNS_TYPE_SOA);
	}
	assert_true(zone_ask(&(struct ask){"nope", 65}, &s));
	assert_true(zone_ask(&(struct ask){"nope.lab.internal", DNS_TYPE_DS}, &s));
	assert_true(zone_ask(&(struct ask){"web1.lab.internal", DNS_TYPE_A, .class = 3}, &s));
	assert_int_equal(s.rcode, DNS_REFUSED);
	assert_true(
		zone_ask(&(struct ask){"web1", DNS_TYPE_A, .edns = true, .edns_version = 1}, &s));
	assert_int_equal(s.rcode, 0); /* of BADVERS only the upper bits are set, in OPT */
	assert_int_equal(s.h.answers, 0);
	assert_int_equal(s.h.additionals, 1);
}

static void the_world_is_forwarded(void **state)
{
	static const char *const world[] = {"example.org",     "web1.example.org",
					    "internal2.lab",   "",
					    "xlab.internal",   "5.5.5.5.in-addr.arpa",
					    "10.in-addr.arpa", "b.ip6.arpa"};
	struct said s;

	for (size_t i = 0; i < ARRAY_SIZE(world); i++)
		assert_int_equal(zone_ask(&(struct ask){world[i], DNS_TYPE_PTR}, &s), 0);
	assert_int_equal(zone_ask(&(struct ask){"com", DNS_TYPE_DS}, &s), 0);
	assert_int_equal(zone_ask(&(struct ask){"com", DNS_TYPE_DNSKEY}, &s), 0);
}

static void answers_reverse(void **state)
{
	struct dns_name full;
	struct said s;

	assert_true(zone_ask(&(struct ask){"10.10.10.10.in-addr.arpa", DNS_TYPE_PTR}, &s));
	assert_int_equal(s.h.answers, 1);
	dns_name_parse("web1.lab.internal", &full);
	assert_true(dns_name_eq(&s.ptr, &full));
	assert_true(zone_ask(&(struct ask){"10.10.10.10.in-addr.arpa", DNS_TYPE_A}, &s));
	assert_int_equal(s.rcode, DNS_NOERROR);
	assert_int_equal(s.type, DNS_TYPE_SOA);
	assert_int_equal(s.owner, 12 + 3); /* 10.10.10.in-addr.arpa */
	assert_true(zone_ask(&(struct ask){"77.10.10.10.in-addr.arpa", DNS_TYPE_PTR}, &s));
	assert_int_equal(s.rcode, DNS_NXDOMAIN);
	assert_true(zone_ask(&(struct ask){"1.10.10.10.10.in-addr.arpa", DNS_TYPE_PTR}, &s));
	assert_int_equal(s.rcode, DNS_NXDOMAIN);
	assert_true(zone_ask(&(struct ask){"10.10.10.in-addr.arpa", DNS_TYPE_NS}, &s));
	assert_int_equal(s.rcode, DNS_NOERROR);
	dns_name_parse("", &zone.suffix); /* a network without a DNS domain */
	assert_true(zone_ask(&(struct ask){"10.10.10.10.in-addr.arpa", DNS_TYPE_PTR}, &s));
	dns_name_parse("web1", &full);
	assert_true(dns_name_eq(&s.ptr, &full));
	assert_int_equal(zone_ask(&(struct ask){"web1.lab.internal", DNS_TYPE_A}, &s), 0);
}

/* ---- the forwarder ---- */

static struct dns_server *server;
static struct dns_transport *transport;
static const struct mac guest_mac = {{2, 0, 0, 0, 0, 1}}, gw_mac = {{2, 0, 0, 0, 0, 2}};

static struct dns_conf network(void)
{
	return (struct dns_conf){.domain = DOMAIN,
				 .gateway = &gateway_port,
				 .mac = gw_mac,
				 .gateway_addr = GATEWAY,
				 .subnet = {GATEWAY, 24},
				 .suffix = "lab.internal",
				 .upstream = transport};
}

static int forward_setup(void **state)
{
	struct dns_conf conf;

	arena = arena_new(2048, 4);
	pool = pkt_pool_new(arena);
	loop = loop_new();
	names = dns_names_new(0);
	server = dns_server_new(NULL, loop, names);
	transport = dns_host_new(loop, NULL);
	assert_true(arena && pool && loop && server && transport);
	conf = network();
	assert_int_equal(dns_server_set_conf(server, &conf), 0);
	return 0;
}

static void check_sums(void)
{
	struct dns_stats st = dns_server_stats(server);

	assert_int_equal(st.queries, st.local + st.forwarded + st.failed + st.refused +
					     st.dropped_malformed + st.dropped_off +
					     st.dropped_share);
	assert_int_equal(st.forwarded, st.relayed + st.truncated + st.timed_out + st.evicted +
					       dns_server_inflight(server));
}

static int forward_teardown(void **state)
{
	struct arena_stats a;

	check_sums();
	dns_server_free(server);
	dns_transport_free(transport);
	dns_names_free(names);
	forget_sent();
	loop_free(loop);
	close_upstreams();
	pkt_pool_free(pool);
	a = arena_stats(arena);
	assert_int_equal(a.small_free, a.small_total); /* no packet was lost */
	arena_free(arena);
	return 0;
}

static void receive_bytes(domain_idx domain, be32 from, const void *msg, size_t len)
{
	struct dns_udp u = {guest_mac, gw_mac, from, GATEWAY, SPORT, DNS_PORT};
	struct pkt *k = dns_udp_build(pool, &u, msg, len, 0x1234);

	assert_non_null(k);
	k->domain = domain;
	dns_receive(server, k);
}

static size_t receive(const struct ask *a, uint8_t *msg, size_t room)
{
	size_t len = make_query(a, msg, room);

	receive_bytes(DOMAIN, GUEST, msg, len);
	return len;
}

static void on_deadline(void *arg)
{
	fail_msg("no answer in time");
}

/* Runs the loop until n frames have been sent to guests. */
static void run_until(unsigned n)
{
	struct loop_timer *t = loop_timer_new(loop, on_deadline, NULL);

	stop_at = n;
	loop_timer_arm(t, 1000 * NSEC_PER_SEC); /* of the test clock, which is stepped */
	if (n_sent < n)
		assert_int_equal(loop_run(loop), 0);
	stop_at = 0;
	loop_timer_free(t);
	assert_int_equal(n_sent, n);
}

static void on_turn(void *arg)
{
	loop_stop(loop);
}

/* Lets due timers and ready sockets be handled. */
static void turn(void)
{
	struct loop_timer *t = loop_timer_new(loop, on_turn, NULL);

	loop_timer_arm(t, 20 * NSEC_PER_MSEC);
	loop_run(loop);
	loop_timer_free(t);
}

static void step(nsec_t by)
{
	clock_advance(by);
	loop_clock_moved(loop);
	turn();
}

/* The reply in a sent frame, everything around it checked. */
static struct said sent_answer(unsigned i, uint8_t *ret_msg, size_t *ret_len)
{
	struct pkt *k = sent[i];
	struct dns_udp u;
	int len;

	k->flags = 0;
	assert_int_equal(pkt_parse(k), DROP_NONE);
	len = dns_udp_read(k, &u, ret_msg, DNS_UDP_MAX);
	assert_true(len > 0);
	assert_int_equal(u.src, GATEWAY);
	assert_int_equal(u.dst, GUEST);
	assert_int_equal(u.sport, DNS_PORT);
	assert_int_equal(u.dport, SPORT);
	assert_true(mac_eq(u.src_mac, gw_mac) && mac_eq(u.dst_mac, guest_mac));
	assert_int_equal(sent_domain, DOMAIN);
	*ret_len = (size_t)len;
	struct said s = read_answer(ret_msg, (size_t)len);
	assert_int_equal(s.h.id, 0x1234);
	return s;
}

static unsigned sent_rcode(unsigned i)
{
	uint8_t msg[DNS_UDP_MAX];
	size_t len;

	return sent_answer(i, msg, &len).rcode;
}

/* What an upstream server got: the message, with who asked. */
static size_t upstream_get(int sock, uint8_t *msg, size_t room, struct sockaddr_in *from)
{
	struct pollfd p = {sock, POLLIN, 0};
	socklen_t len = sizeof(*from);
	ssize_t n;

	assert_int_equal(poll(&p, 1, 2000), 1);
	n = recvfrom(sock, msg, room, 0, (struct sockaddr *)from, &len);
	assert_true(n > 0);
	return (size_t)n;
}

static bool upstream_idle(int sock)
{
	struct pollfd p = {sock, POLLIN, 0};

	return poll(&p, 1, 0) == 0;
}

static void upstream_say(int sock, const void *msg, size_t len, const struct sockaddr_in *to)
{
	assert_int_equal(sendto(sock, msg, len, 0, (const struct sockaddr *)to, sizeof(*to)), len);
}

static const struct ask outside = {
	"Example.org", DNS_TYPE_A,	  .flags = DNS_RD | DNS_AD | DNS_CD,
	.edns = true,  .edns_size = 1400, .dnssec_ok = true};

static void local_names_are_answered(void **state)
{
	uint8_t msg[DNS_UDP_MAX];
	struct said s;
	size_t len;

	open_upstreams(1);
	dns_names_set(names, DOMAIN, DNS_NAME_LEASE, "vm", GUEST, 0);
	receive(&(struct ask){"vm.lab.internal", DNS_TYPE_A}, msg, sizeof(msg));
	receive(&(struct ask){"gateway", DNS_TYPE_A}, msg, sizeof(msg));
	receive(&(struct ask){"nope", DNS_TYPE_A}, msg, sizeof(msg));
	assert_int_equal(n_sent, 3);
	s = sent_answer(0, msg, &len);
	assert_int_equal(s.addr, GUEST);
	s = sent_answer(1, msg, &len);
	assert_int_equal(s.addr, GATEWAY);
	assert_int_equal(sent_rcode(2), DNS_NXDOMAIN);
	assert_true(upstream_idle(upstream[0]));
	assert_int_equal(dns_server_stats(server).local, 3);
}

static void relays_unchanged(void **state)
{
	uint8_t query[512], got[512], answer[512], back[DNS_UDP_MAX];
	struct sockaddr_in from;
	size_t len, n;

	open_upstreams(1);
	len = receive(&outside, query, sizeof(query));
	n = upstream_get(upstream[0], got, sizeof(got), &from);
	assert_int_equal(n, len);
	assert_memory_equal(got + 2, query + 2, len - 2); /* AD, CD, DO, case, size */
	memcpy(answer, got, n);
	answer[2] |= 0x80;
	memset(answer + n, 0xee, 100); /* what a forwarder does not read */
	n += 100;
	upstream_say(upstream[0], answer, n, &from);
	run_until(1);
	sent_answer(0, back, &len);
	assert_int_equal(len, n);
	assert_memory_equal(back + 2, answer + 2, n - 2);
	assert_int_equal(dns_server_inflight(server), 0);
	assert_int_equal(dns_server_stats(server).relayed, 1);
}

static void ids_and_ports_are_fresh(void **state)
{
	uint8_t query[512], got[512];
	struct sockaddr_in from[32];
	uint16_t id[32];
	unsigned same_id = 0, same_port = 0, next_port = 0;

	open_upstreams(1);
	for (unsigned i = 0; i < 32; i++) {
		receive(&outside, query, sizeof(query));
		upstream_get(upstream[0], got, sizeof(got), &from[i]);
		id[i] = (uint16_t)(got[0] << 8 | got[1]);
		for (unsigned j = 0; j < i; j++) {
			same_id += id[i] == id[j];
			same_port += from[i].sin_port == from[j].sin_port;
		}
		if (i)
			next_port += (uint16_t)(ntohs(from[i].sin_port) -
						ntohs(from[i - 1].sin_port)) <= 2;
	}
	assert_true(same_id <= 1); /* chance: 496 pairs of 65536 */
	assert_int_equal(same_port, 0);
	assert_true(next_port <= 3);
}

static void wrong_answers_are_ignored(void **state)
{
	uint8_t query[512], got[512], bad[512];
	struct sockaddr_in from;
	int stranger = socket(AF_INET, SOCK_DGRAM, 0);
	size_t n;

	open_upstreams(1);
	receive(&outside, query, sizeof(query));
	n = upstream_get(upstream[0], got, sizeof(got), &from);
	got[2] |= 0x80;
	memcpy(bad, got, n);
	bad[0] ^= 1; /* another id */
	upstream_say(upstream[0], bad, n, &from);
	memcpy(bad, got, n);
	bad[13] ^= 2; /* another name */
	upstream_say(upstream[0], bad, n, &from);
	memcpy(bad, got, n);
	bad[2] &= 0x7f; /* a query */
	upstream_say(upstream[0], bad, n, &from);
	upstream_say(upstream[0], got, 11, &from);
	memcpy(bad, got, n);
	bad[5] = 0; /* no question, but no FORMERR either */
	upstream_say(upstream[0], bad, 12, &from);
	upstream_say(stranger, got, n, &from); /* another source */
	turn();
	assert_int_equal(n_sent, 0);
	assert_int_equal(dns_server_stats(server).bad_answers, 5);
	got[13] ^= 0x20; /* the case of a letter may change */
	upstream_say(upstream[0], got, n, &from);
	run_until(1);
	close(stranger);
}

static void formerr_without_question_passes(void **state)
{
	uint8_t query[512], got[512];
	struct sockaddr_in from;

	open_upstreams(1);
	receive(&outside, query, sizeof(query));
	upstream_get(upstream[0], got, sizeof(got), &from);
	got[2] |= 0x80;
	got[3] |= DNS_FORMERR;
	got[5] = got[11] = 0;
	upstream_say(upstream[0], got, 12, &from);
	run_until(1);
	assert_int_equal(sent_rcode(0), DNS_FORMERR);
}

static void long_answers_are_truncated(void **state)
{
	static const struct {
		struct ask a;
		size_t fits;
	} cases[] = {
		{{"example.org", 16}, 512},
		{{"example.org", 16, .edns = true, .edns_size = 100}, 512},
		{{"example.org", 16, .edns = true, .edns_size = 1232}, 1232},
		{{"example.org", 16, .edns = true, .edns_size = 4096}, 1472}, /* one packet */
	};
	uint8_t query[512], got[2048], back[DNS_UDP_MAX];
	struct sockaddr_in from;
	struct said s;
	size_t len;

	open_upstreams(1);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (int over = 0; over < 2; over++) {
			receive(&cases[i].a, query, sizeof(query));
			memset(got, 0, sizeof(got));
			upstream_get(upstream[0], got, sizeof(got), &from);
			got[2] |= 0x80;
			upstream_say(upstream[0], got, cases[i].fits + (size_t)over, &from);
			run_until(1);
			s = sent_answer(0, back, &len);
			assert_int_equal(!!(s.h.flags & DNS_TC), over);
			assert_true(over ? len < 100 : len == cases[i].fits);
			if (over)
				assert_int_equal(s.h.additionals, cases[i].a.edns);
			forget_sent();
		}
	}
	assert_int_equal(dns_server_stats(server).truncated, 4);
}

static void next_server_after_a_while(void **state)
{
	uint8_t query[512], got[512];
	struct sockaddr_in from;
	size_t n;

	open_upstreams(2);
	receive(&outside, query, sizeof(query));
	upstream_get(upstream[0], got, sizeof(got), &from);
	assert_true(upstream_idle(upstream[1]));
	step(DNS_TRY + NSEC_PER_MSEC);
	n = upstream_get(upstream[1], got, sizeof(got), &from);
	assert_int_equal(dns_server_stats(server).retries, 1);
	got[2] |= 0x80;
	upstream_say(upstream[1], got, n, &from);
	run_until(1);
	/* and the one that answered is asked first from now on */
	receive(&outside, query, sizeof(query));
	upstream_get(upstream[1], got, sizeof(got), &from);
	assert_true(upstream_idle(upstream[0]));
}

static void silence_ends_in_servfail(void **state)
{
	uint8_t query[512], got[512], again[512];
	struct sockaddr_in from, second;

	open_upstreams(1);
	receive(&outside, query, sizeof(query));
	upstream_get(upstream[0], got, sizeof(got), &from);
	step(DNS_TRY + NSEC_PER_MSEC);
	upstream_get(upstream[0], again, sizeof(again), &second);
	assert_int_equal(from.sin_port, second.sin_port); /* the same question again, ... */
	assert_int_equal(got[0], again[0]);		  /* so that a late answer counts */
	step(DNS_TRY + NSEC_PER_MSEC);
	assert_true(upstream_idle(upstream[0])); /* twice is enough */
	assert_int_equal(n_sent, 0);
	step(DNS_GIVE_UP);
	assert_int_equal(n_sent, 1);
	assert_int_equal(sent_rcode(0), DNS_SERVFAIL);
	assert_int_equal(dns_server_inflight(server), 0);
	assert_int_equal(dns_server_stats(server).timed_out, 1);
}

static void dead_servers_fail_at_once(void **state)
{
	uint8_t query[512], got[512];
	struct sockaddr_in from;

	open_upstreams(2);
	close(upstream[0]); /* "port unreachable" */
	upstream[0] = -1;
	receive(&outside, query, sizeof(query));
	turn();
	upstream_get(upstream[1], got, sizeof(got), &from);
	close(upstream[1]);
	upstream[1] = -1;
	receive(&outside, query, sizeof(query));
	run_until(1);
	assert_int_equal(sent_rcode(0), DNS_SERVFAIL);
	servers.n = 0;
	receive(&outside, query, sizeof(query));
	assert_int_equal(n_sent, 2);
	assert_int_equal(sent_rcode(1), DNS_SERVFAIL);
	assert_int_equal(dns_server_stats(server).failed, 1);
}

static void servfail_is_asked_elsewhere(void **state)
{
	uint8_t query[512], got[512];
	struct sockaddr_in from;
	size_t n;

	open_upstreams(2);
	receive(&outside, query, sizeof(query));
	for (int i = 0; i < 2; i++) {
		n = upstream_get(upstream[i], got, sizeof(got), &from);
		got[2] |= 0x80;
		got[3] |= DNS_SERVFAIL;
		upstream_say(upstream[i], got, n, &from);
		if (!i)
			turn();
	}
	run_until(1); /* the last one's word is relayed */
	assert_int_equal(sent_rcode(0), DNS_SERVFAIL);
	assert_int_equal(dns_server_stats(server).relayed, 1);
}

static void malformed_and_foreign(void **state)
{
	uint8_t msg[512] = {0};
	struct pkt *k;
	size_t len = make_query(&outside, msg, sizeof(msg));

	receive_bytes(DOMAIN, GUEST, msg, 8); /* no header */
	msg[2] |= 0x80;
	receive_bytes(DOMAIN, GUEST, msg, len); /* an answer */
	msg[2] &= 0x7f;
	assert_int_equal(n_sent, 0);
	assert_int_equal(dns_server_stats(server).dropped_malformed, 2);
	receive_bytes(DOMAIN + 1, GUEST, msg, len);
	assert_int_equal(dns_server_stats(server).dropped_off, 1);
	receive_bytes(DOMAIN, GUEST, msg, 20); /* a header, and half a question */
	assert_int_equal(sent_rcode(0), DNS_FORMERR);
	msg[2] |= 5 << 3; /* UPDATE */
	receive_bytes(DOMAIN, GUEST, msg, len);
	assert_int_equal(sent_rcode(1), DNS_NOTIMP);
	assert_int_equal(dns_server_stats(server).refused, 2);
	/* a wrong UDP checksum */
	k = dns_udp_build(pool, &(struct dns_udp){guest_mac, gw_mac, GUEST, GATEWAY, SPORT, 53},
			  msg, len, 1);
	pkt_udp(k)->csum ^= 0x55;
	k->domain = DOMAIN;
	dns_receive(server, k);
	assert_int_equal(dns_server_stats(server).dropped_malformed, 3);
	/* not UDP at all */
	k = pkt_from(pool, msg, len);
	k->domain = DOMAIN;
	dns_receive(server, k);
	assert_int_equal(dns_server_stats(server).dropped_malformed, 4);
	assert_int_equal(refused[DROP_SVC_MALFORMED], 4);
	assert_int_equal(refused[DROP_SVC_OFF], 1);
}

static void a_guest_has_its_share(void **state)
{
	uint8_t msg[512];
	size_t len = make_query(&outside, msg, sizeof(msg));
	unsigned i;

	open_upstreams(1);
	for (i = 0; i < DNS_GUEST_SHARE + 5; i++)
		receive_bytes(DOMAIN, GUEST, msg, len);
	assert_int_equal(dns_server_inflight(server), DNS_GUEST_SHARE);
	assert_int_equal(dns_server_stats(server).dropped_share, 5);
	assert_int_equal(refused[DROP_SVC_SHARE], 5);
	/* many guests fill the table: the oldest queries of their network go */
	for (i = 0; i < DNS_INFLIGHT; i++)
		receive_bytes(DOMAIN, htobe32(0x0a0a0a02 + i % 16), msg, len);
	assert_int_equal(dns_server_inflight(server), DNS_INFLIGHT);
	assert_int_equal(dns_server_stats(server).evicted, DNS_GUEST_SHARE);
	check_sums();
}

static void the_heaviest_network_pays(void **state)
{
	struct dns_conf other = network();
	uint8_t msg[512];
	size_t len = make_query(&outside, msg, sizeof(msg));

	open_upstreams(1);
	other.domain = DOMAIN + 1;
	assert_int_equal(dns_server_set_conf(server, &other), 0);
	for (unsigned i = 0; i < 10; i++)
		receive_bytes(DOMAIN + 1, GUEST, msg, len);
	for (unsigned i = 0; i < DNS_INFLIGHT; i++)
		receive_bytes(DOMAIN, htobe32(0x0a0a0a02 + i % 16), msg, len);
	dns_server_del_conf(server, DOMAIN); /* what is in flight goes with its network */
	assert_int_equal(dns_server_inflight(server), 10);
	assert_int_equal(dns_names_count(names), 1);
	other.upstream = NULL;
	assert_int_equal(dns_server_set_conf(server, &other), 0);
	assert_int_equal(dns_server_inflight(server), 0);
	other.suffix = "a..b";
	assert_int_equal(dns_server_set_conf(server, &other), -EINVAL);
	turn();
	assert_int_equal(n_sent, 0);
}

/* ---- through an uplink ---- */

static struct pkt *routed_out;
static uint16_t bound[8];
static unsigned n_bound, binds;

static int routed_bind(void *arg, uint16_t port, bool on)
{
	if (on) {
		assert_true(n_bound < ARRAY_SIZE(bound));
		bound[n_bound++] = port;
		binds++;
		return 0;
	}
	for (unsigned i = 0; i < n_bound; i++) {
		if (bound[i] == port) {
			bound[i] = bound[--n_bound];
			return 0;
		}
	}
	fail_msg("port %u was not open", port);
	return 0;
}

static void routed_send(void *arg, struct pkt *k)
{
	pkt_free(pool, routed_out);
	routed_out = k;
}

static void listed_servers_by_packets(void **state)
{
	const be32 list[] = {htobe32(0x08080808), htobe32(0x09090909)};
	struct dns_routed_conf rc = {pool, GATEWAY, list, 2, routed_bind, routed_send, NULL};
	struct dns_transport *host = transport;
	struct dns_conf conf = network();
	uint8_t query[512], msg[DNS_UDP_MAX];
	struct dns_udp u, back;
	struct pkt *k;
	int n;

	transport = conf.upstream = dns_routed_new(&rc);
	assert_int_equal(dns_server_set_conf(server, &conf), 0);
	for (unsigned i = 0; i < 400; i++) {
		receive(&outside, query, sizeof(query));
		n = dns_udp_read(routed_out, &u, msg, sizeof(msg));
		assert_true(n > 0);
		assert_int_equal(u.src, GATEWAY);
		assert_int_equal(u.dst, list[0]);
		assert_int_equal(u.dport, DNS_PORT);
		msg[2] |= 0x80;
		back = (struct dns_udp){u.dst_mac, u.src_mac, u.dst, u.src, u.dport, u.sport};
		if (!i) { /* from another server, to another port */
			back.src = list[1];
			k = dns_udp_build(pool, &back, msg, (size_t)n,
					  (uint16_t)(msg[0] << 8 | msg[1]));
			assert_false(dns_routed_receive(transport, k));
			pkt_free(pool, k);
			back.src = list[0];
			back.dport++;
			k = dns_udp_build(pool, &back, msg, (size_t)n,
					  (uint16_t)(msg[0] << 8 | msg[1]));
			assert_false(dns_routed_receive(transport, k));
			pkt_free(pool, k);
			back.dport--;
		}
		k = dns_udp_build(pool, &back, msg, (size_t)n, (uint16_t)(msg[0] << 8 | msg[1]));
		assert_true(dns_routed_receive(transport, k));
		pkt_free(pool, k);
		assert_int_equal(n_sent, 1);
		assert_int_equal(sent_rcode(0), DNS_NOERROR);
		forget_sent();
	}
	assert_true(n_bound <= DNS_ROUTED_PORTS);
	assert_true(binds >= 400 / 40 && binds <= 400 / 8 + DNS_ROUTED_PORTS);
	receive(&outside, query, sizeof(query)); /* in flight while the network goes */
	dns_server_del_conf(server, DOMAIN);
	dns_transport_free(transport);
	assert_int_equal(n_bound, 0);
	pkt_free(pool, routed_out);
	routed_out = NULL;
	transport = host;
}

#define FORWARD(f) cmocka_unit_test_setup_teardown(f, forward_setup, forward_teardown)
#define ZONE(f)	   cmocka_unit_test_setup_teardown(f, zone_setup, zone_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_a_query),
		cmocka_unit_test(refuses_bad_queries),
		cmocka_unit_test(reads_opt_only_where_it_belongs),
		cmocka_unit_test(understands_names),
		cmocka_unit_test(names_have_owners),
		cmocka_unit_test(names_are_bounded),
		ZONE(answers_names),
		ZONE(other_types_are_nodata),
		ZONE(unknown_names_stay_here),
		ZONE(the_world_is_forwarded),
		ZONE(answers_reverse),
		FORWARD(local_names_are_answered),
		FORWARD(relays_unchanged),
		FORWARD(ids_and_ports_are_fresh),
		FORWARD(wrong_answers_are_ignored),
		FORWARD(formerr_without_question_passes),
		FORWARD(long_answers_are_truncated),
		FORWARD(next_server_after_a_while),
		FORWARD(silence_ends_in_servfail),
		FORWARD(dead_servers_fail_at_once),
		FORWARD(servfail_is_asked_elsewhere),
		FORWARD(malformed_and_foreign),
		FORWARD(a_guest_has_its_share),
		FORWARD(the_heaviest_network_pays),
		FORWARD(listed_servers_by_packets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
