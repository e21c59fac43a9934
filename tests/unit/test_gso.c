/* The segmenter and the checksum finisher: what comes out is parsed afresh, its
 * checksums are verified as a receiver would, and its payload put together again. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "net/csum.h"
#include "net/gso.h"
#include "net/parse.h"

static struct arena *arena;
static struct pkt_pool *pool;
static struct pkt *out[GSO_MAX_SEGS];

static int setup(void **s)
{
	arena = arena_new(2000, 64);
	pool = pkt_pool_new(arena);
	return arena && pool ? 0 : -1;
}

static int teardown(void **s)
{
	pkt_pool_free(pool);
	struct arena_stats st = arena_stats(arena);
	int leaked = st.small_free != st.small_total || st.big_free != st.big_total;
	arena_free(arena);
	return leaked ? -1 : 0;
}

/* What to build. */
struct spec {
	bool v6, udp, inner_tag;
	uint8_t options; /* bytes of TCP options, a multiple of 4 */
	uint8_t ip_options;
	uint32_t payload;
	uint16_t gso_size; /* 0: none */
	uint8_t tcp_flags;
	bool ecn;
};

static uint32_t build(const struct spec *s, uint8_t *b)
{
	uint32_t l3 = s->inner_tag ? 18 : 14, l4 = l3 + (s->v6 ? 40 : 20u + s->ip_options);
	uint32_t hlen = s->udp ? 8 : 20u + s->options, l4_len = hlen + s->payload;
	const uint16_t type = s->v6 ? ETHERTYPE_IP6 : ETHERTYPE_IP4;
	memset(b, 0, l4 + hlen);
	b[0] = b[6] = 2;
	if (s->inner_tag)
		memcpy(b + 12, "\x81\x00\x00\x07", 4);
	b[l3 - 2] = (uint8_t)(type >> 8);
	b[l3 - 1] = (uint8_t)type;
	const uint8_t proto = s->udp ? IPPROTO4_UDP : IPPROTO4_TCP;
	csum_t ps;
	if (s->v6) {
		struct ip6_hdr *h = (struct ip6_hdr *)(b + l3);
		*h = (struct ip6_hdr){.ver_tc_flow = htobe32(6u << 28),
				      .hops = 9,
				      .next = proto,
				      .len = htobe16((uint16_t)l4_len),
				      .src = {0xfd, 1},
				      .dst = {0xfd, 2}};
		ps = csum_pseudo6(h->src, h->dst, proto, l4_len);
	} else {
		struct ip4_hdr *h = (struct ip4_hdr *)(b + l3);
		*h = (struct ip4_hdr){.ver_ihl = (uint8_t)(0x45 + s->ip_options / 4),
				      .ttl = 9,
				      .proto = proto,
				      .id = htobe16(0xfff0),
				      .src = htobe32(0x0a000001),
				      .len = htobe16((uint16_t)(l4 - l3 + l4_len)),
				      .dst = htobe32(0x0a000002)};
		h->csum = csum_ip4_header(h, l4 - l3);
		ps = csum_pseudo4(h->src, h->dst, proto, (uint16_t)l4_len);
	}
	if (s->udp)
		*(struct udp_hdr *)(b + l4) =
			(struct udp_hdr){1, 2, htobe16((uint16_t)l4_len), csum_fold(ps)};
	else
		*(struct tcp_hdr *)(b + l4) = (struct tcp_hdr){.sport = 1,
							       .dport = 2,
							       .seq = htobe32(0xffffff00),
							       .csum = csum_fold(ps),
							       .off = (uint8_t)(hlen / 4 << 4),
							       .flags = s->tcp_flags};
	for (uint32_t i = hlen - s->options * !s->udp; i < l4_len; i++)
		b[l4 + i] = (uint8_t)(rand() >> 7);
	return l4 + l4_len;
}

static struct virtio_net_hdr offload(const struct spec *s)
{
	uint32_t l4 = (s->inner_tag ? 18 : 14) + (s->v6 ? 40 : 20u + s->ip_options);
	struct virtio_net_hdr v = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
				   .csum_start = (uint16_t)l4,
				   .csum_offset = s->udp ? 6 : 16};
	if (s->gso_size) {
		v.gso_size = s->gso_size;
		v.gso_type = s->udp  ? VIRTIO_NET_HDR_GSO_UDP_L4
			     : s->v6 ? VIRTIO_NET_HDR_GSO_TCPV6
				     : VIRTIO_NET_HDR_GSO_TCPV4;
		v.gso_type |= s->ecn ? VIRTIO_NET_HDR_GSO_ECN : 0;
	}
	return v;
}

static uint8_t frame[70000];

/* The frame as a packet whose tail is cut into pieces at random. */
static void scatter(const struct spec *s, struct pkt *k, struct iovec *v, unsigned pieces)
{
	static uint8_t head[PKT_HEAD_MAX];
	uint32_t len = build(s, frame);
	uint32_t hl = len < PKT_PARSE + 60 ? len : PKT_PARSE + (uint32_t)rand() % 60;
	memcpy(head, frame, hl);
	*k = (struct pkt){.head = head,
			  .head_len = (uint16_t)hl,
			  .len = len,
			  .tail = v,
			  .vnet = offload(s),
			  .in_port = 7,
			  .domain = 8,
			  .tag = {0x8100, 5}};
	uint32_t at = hl;
	while (at < len) {
		uint32_t n =
			k->n_tail + 1u == pieces ? len - at : (uint32_t)rand() % (len - at + 1);
		v[k->n_tail++] = (struct iovec){frame + at, n};
		at += n;
	}
	assert_int_equal(pkt_parse(k), DROP_NONE);
}

/* As a receiver: parse what is there, verify the L4 checksum. */
static void receive(struct pkt *k)
{
	const struct pkt was = *k;
	assert_int_equal(k->vnet.flags | k->vnet.gso_type, 0);
	k->l3_off = k->l4_off = 0;
	assert_int_equal(pkt_parse(k), DROP_NONE);
	assert_int_equal(k->flags, was.flags);
	assert_int_equal(k->l3_off, was.l3_off);
	assert_int_equal(k->l4_off, was.l4_off);
	assert_int_equal(k->ip_proto, was.ip_proto);
	assert_int_equal(k->type, was.type);
	uint32_t n = pkt_l4_len(k);
	assert_int_equal(k->l4_off + n, k->len);
	csum_t ps =
		k->flags & PKT_IP4
			? csum_pseudo4(pkt_ip4(k)->src, pkt_ip4(k)->dst, k->ip_proto, (uint16_t)n)
			: csum_pseudo6(pkt_ip6(k)->src, pkt_ip6(k)->dst, k->ip_proto, n);
	assert_int_equal(csum_fold(ps + csum_pkt(k, k->l4_off, n)), 0xffff);
	if (k->ip_proto == IPPROTO4_UDP) {
		assert_int_not_equal(pkt_udp(k)->csum, 0);
		assert_int_equal(be16toh(pkt_udp(k)->len), n);
	}
}

static void check_tcp(const struct spec *s, const struct pkt *k, unsigned i, unsigned n)
{
	const struct tcp_hdr *t = pkt_tcp(k);
	uint8_t want = s->tcp_flags;
	if (i)
		want &= (uint8_t)~TCP_CWR;
	if (i + 1 < n)
		want &= (uint8_t) ~(TCP_FIN | TCP_PSH);
	assert_int_equal(be32toh(t->seq), 0xffffff00 + i * s->gso_size);
	assert_int_equal(t->flags, want);
	if (k->flags & PKT_IP4)
		assert_int_equal(be16toh(pkt_ip4(k)->id), (uint16_t)(0xfff0 + i));
}

static void segments_add_up(const struct spec *s, unsigned pieces)
{
	struct pkt k;
	struct iovec v[8];
	enum drop_reason why;
	scatter(s, &k, v, pieces);
	uint32_t hdr = k.l4_off + (s->udp ? 8 : 20u + s->options), at = hdr;
	unsigned n = gso_finish(pool, &k, 0, out, GSO_MAX_SEGS, &why);
	assert_int_equal(n, s->payload ? (s->payload + s->gso_size - 1) / s->gso_size : 1);
	assert_int_equal(n, pkt_segments(&k));
	for (unsigned i = 0; i < n; i++) {
		static uint8_t got[70000];
		receive(out[i]);
		assert_true(pkt_read(out[i], 0, got, out[i]->len));
		assert_memory_equal(got, frame, k.l3_off); /* Ethernet */
		uint32_t opts = k.l4_off + 20;
		if (!s->udp)
			assert_memory_equal(got + opts, frame + opts, s->options);
		uint32_t bytes = out[i]->len - hdr;
		assert_int_equal(bytes, i + 1 < n ? s->gso_size : k.len - at);
		assert_memory_equal(got + hdr, frame + at, bytes);
		at += bytes;
		if (!s->udp)
			check_tcp(s, out[i], i, n);
		assert_int_equal(out[i]->in_port, 7);
		assert_int_equal(out[i]->domain, 8);
		assert_int_equal(out[i]->tag.tci, 5);
		pkt_free(pool, out[i]);
	}
	assert_int_equal(at, k.len);
}

static void random_frames(void **st)
{
	for (unsigned i = 0; i < 1500; i++) {
		struct spec s = {.v6 = rand() % 2,
				 .udp = rand() % 3 == 0,
				 .inner_tag = rand() % 5 == 0,
				 .options = (uint8_t)(rand() % 11 * 4),
				 .tcp_flags = (uint8_t)(rand() >> 7),
				 .gso_size = (uint16_t)(GSO_MIN_SIZE + rand() % 1500)};
		if (!s.v6 && rand() % 4 == 0)
			s.ip_options = (uint8_t)(rand() % 11 * 4);
		if (rand() % 20 == 0)
			s.gso_size =
				(uint16_t)(8000 + rand() % 20000); /* segments with a big buffer */
		s.ecn = !s.udp && rand() % 2;
		s.payload = (uint32_t)rand() % (s.udp ? s.gso_size * 40u : 65000u);
		if (s.payload > 65000)
			s.payload = 65000;
		segments_add_up(&s, 1 + (unsigned)rand() % 6);
	}
}

static void corners(void **st)
{
	const struct spec t[] = {
		{.gso_size = 1448, .payload = 1448, .tcp_flags = TCP_FIN | TCP_PSH | TCP_CWR},
		{.gso_size = 1448, .payload = 1449, .tcp_flags = 0xff, .ecn = true},
		{.gso_size = 1448, .payload = 1, .tcp_flags = 0xff},
		{.gso_size = 1448, .payload = 0, .tcp_flags = TCP_ACK},
		{.gso_size = GSO_MIN_SIZE, .payload = 65495},
		{.gso_size = 1440, .payload = 65475, .v6 = true, .options = 40},
		{.gso_size = 65000, .payload = 65001},
		{.udp = true, .gso_size = 1, .payload = 128},
		{.udp = true, .gso_size = 1200, .payload = 12001, .v6 = true},
	};
	for (unsigned i = 0; i < ARRAY_SIZE(t); i++)
		for (unsigned pieces = 1; pieces < 4; pieces++)
			segments_add_up(&t[i], pieces);
}

/* Which caps make of a TSO frame what. */
static void caps_decide(void **st)
{
	const unsigned tso = OFFLOAD_CSUM | OFFLOAD_TSO4;
	static const struct {
		unsigned caps, n;
		bool ecn, kept; /* offload fields kept */
	} t[] = {
		{OFFLOAD_CSUM | OFFLOAD_TSO4, 1, false, true},
		{OFFLOAD_CSUM | OFFLOAD_TSO6, 3, false, false},
		{OFFLOAD_CSUM | OFFLOAD_TSO4, 3, true, false},
		{OFFLOAD_CSUM | OFFLOAD_TSO4 | OFFLOAD_ECN, 1, true, true},
		{OFFLOAD_CSUM, 3, false, false},
		{OFFLOAD_TSO4, 3, false, false},
		{0, 3, false, false},
		{OFFLOAD_JUMBO, 1, false, false},
		{OFFLOAD_JUMBO | OFFLOAD_CSUM, 1, true, false},
	};
	for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
		struct spec s = {.gso_size = 1000,
				 .payload = 2500,
				 .tcp_flags = TCP_ACK,
				 .ecn = t[i].ecn};
		struct pkt k;
		struct iovec v[8];
		enum drop_reason why;
		scatter(&s, &k, v, 3);
		assert_int_equal(pkt_needs(&k), tso | (t[i].ecn ? OFFLOAD_ECN : 0));
		assert_int_equal(gso_finish(pool, &k, t[i].caps, out, GSO_MAX_SEGS, &why), t[i].n);
		for (unsigned j = 0; j < t[i].n; j++) {
			assert_int_equal(pkt_needs(out[j]) & ~t[i].caps, 0);
			if (t[i].kept)
				assert_memory_equal(&out[j]->vnet, &k.vnet, sizeof(k.vnet));
			else
				receive(out[j]);
			pkt_free(pool, out[j]);
		}
	}
}

/* A jumbo's checksum is right even where the sender's partial sum knew another length. */
static void jumbo_ignores_the_field(void **st)
{
	struct spec s = {.gso_size = 1000, .payload = 60000, .tcp_flags = TCP_ACK};
	struct pkt k;
	struct iovec v[8];
	enum drop_reason why;
	scatter(&s, &k, v, 3);
	pkt_tcp(&k)->csum ^= 0x1234;
	assert_int_equal(gso_finish(pool, &k, OFFLOAD_JUMBO, out, 1, &why), 1);
	receive(out[0]);
	pkt_free(pool, out[0]);
}

/* Datagram borders must survive: JUMBO does not speak of UDP. */
static void jumbo_cuts_udp(void **st)
{
	struct spec s = {.gso_size = 1000, .payload = 2500, .udp = true};
	struct pkt k;
	struct iovec v[8];
	enum drop_reason why;
	scatter(&s, &k, v, 3);
	assert_int_equal(gso_finish(pool, &k, OFFLOAD_JUMBO, out, GSO_MAX_SEGS, &why), 3);
	for (unsigned i = 0; i < 3; i++) {
		receive(out[i]);
		pkt_free(pool, out[i]);
	}
}

static void plain_checksums(void **st)
{
	for (unsigned i = 0; i < 2000; i++) {
		struct spec s = {.v6 = rand() % 2,
				 .udp = rand() % 2,
				 .payload = (uint32_t)rand() % 3000,
				 .inner_tag = rand() % 4 == 0};
		struct pkt k;
		struct iovec v[8];
		enum drop_reason why;
		scatter(&s, &k, v, 4);
		assert_int_equal(pkt_needs(&k), OFFLOAD_CSUM);
		assert_int_equal(gso_finish(pool, &k, OFFLOAD_CSUM, out, 1, &why), 1);
		assert_memory_equal(&out[0]->vnet, &k.vnet, sizeof(k.vnet));
		pkt_free(pool, out[0]);
		assert_int_equal(gso_finish(pool, &k, 0, out, 1, &why), 1);
		receive(out[0]);
		pkt_free(pool, out[0]);
	}
}

/* Dirty padding behind the IP packet is not part of the checksum. */
static void padding_is_not_summed(void **st)
{
	struct spec s = {.payload = 4};
	uint32_t len = build(&s, frame);
	memset(frame + len, 0xa5, 10);
	struct pkt *k = pkt_from(pool, frame, len + 10);
	k->vnet = offload(&s);
	assert_int_equal(pkt_parse(k), DROP_NONE);
	gso_finish_csum(k);
	assert_int_equal(k->vnet.flags, 0);
	csum_t ps = csum_pseudo4(pkt_ip4(k)->src, pkt_ip4(k)->dst, 6, 24);
	assert_int_equal(csum_fold(ps + csum_pkt(k, k->l4_off, 24)), 0xffff);
	pkt_free(pool, k);
}

/* A UDP checksum that comes out as zero goes out as ones (RFC 768). */
static void udp_zero_becomes_ones(void **st)
{
	struct spec s = {.udp = true, .payload = 2};
	uint32_t len = build(&s, frame);
	memset(frame + len - 2, 0, 2);
	struct pkt *k = pkt_from(pool, frame, len);
	k->vnet = offload(&s);
	assert_int_equal(pkt_parse(k), DROP_NONE);
	/* payload = what makes the sum all ones */
	be16 rest = csum_finish(csum_pkt(k, k->l4_off, 10));
	memcpy(k->head + len - 2, &rest, 2);
	gso_finish_csum(k);
	assert_int_equal(pkt_udp(k)->csum, 0xffff);
	pkt_free(pool, k);
}

/* The inner checksum of a tunnel: the outer header stays as it is. */
static void inner_checksum(void **st)
{
	struct spec outer = {.udp = true, .payload = 60};
	struct spec s = {.payload = 10};
	uint32_t len = build(&outer, frame);
	uint8_t in[200];
	uint32_t n = build(&s, in);
	memcpy(frame + len - n + 4, in, n - 4); /* cut by four; the sum runs to the frame's end */
	struct pkt *k = pkt_from(pool, frame, len);
	k->vnet = (struct virtio_net_hdr){.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
					  .csum_offset = 16,
					  .csum_start = (uint16_t)(len - n + 4 + 34)};
	assert_int_equal(pkt_parse(k), DROP_NONE);
	assert_false(pkt_l4_partial(k));
	be16 before = pkt_udp(k)->csum;
	uint16_t start = k->vnet.csum_start;
	csum_t sum = csum_pkt(k, start, len - start);
	gso_finish_csum(k);
	assert_int_equal(pkt_udp(k)->csum, before);
	be16 c;
	assert_true(pkt_read(k, start + 16u, &c, 2));
	assert_int_equal(c, csum_finish(sum));
	pkt_free(pool, k);
}

static void refusals_leak_nothing(void **st)
{
	struct spec s = {.gso_size = 100, .payload = 60000};
	struct pkt k;
	struct iovec v[8];
	enum drop_reason why = DROP_NONE;
	scatter(&s, &k, v, 3);
	assert_int_equal(gso_finish(pool, &k, 0, out, 599, &why), 0);
	assert_int_equal(why, DROP_TX_SPLIT);
	assert_int_equal(gso_finish(pool, &k, 0, out, 600, &why), 600);
	for (unsigned i = 0; i < 600; i++)
		pkt_free(pool, out[i]);
	/* an arena too small for all of them */
	struct arena *a = arena_new(300, 0);
	struct pkt_pool *p = pkt_pool_new(a);
	assert_int_equal(gso_finish(p, &k, 0, out, 600, &why), 0);
	assert_int_equal(why, DROP_TX_NO_BUFFER);
	pkt_pool_free(p);
	assert_int_equal(arena_stats(a).small_free, 300);
	p = pkt_pool_new(a);
	k.vnet.gso_size = 30000; /* needs a big buffer, and there is none */
	assert_int_equal(gso_finish(p, &k, 0, out, 600, &why), 0);
	assert_int_equal(why, DROP_TX_NO_BUFFER);
	pkt_pool_free(p);
	assert_int_equal(arena_stats(a).small_free, 300);
	arena_free(a);
	/* headers that a rewrite made contradictory */
	k.vnet.gso_size = 100;
	k.vnet.gso_type = VIRTIO_NET_HDR_GSO_TCPV6;
	why = DROP_NONE;
	assert_int_equal(gso_finish(pool, &k, 0, out, 600, &why), 0);
	assert_int_equal(why, DROP_TX_SPLIT);
	k.vnet.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
	pkt_ip4(&k)->len = htobe16(65535);
	assert_int_equal(gso_finish(pool, &k, 0, out, 768, &why), 0);
	assert_int_equal(why, DROP_TX_SPLIT);
}

int main(void)
{
	srand(1);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(random_frames, setup, teardown),
		cmocka_unit_test_setup_teardown(corners, setup, teardown),
		cmocka_unit_test_setup_teardown(caps_decide, setup, teardown),
		cmocka_unit_test_setup_teardown(jumbo_ignores_the_field, setup, teardown),
		cmocka_unit_test_setup_teardown(jumbo_cuts_udp, setup, teardown),
		cmocka_unit_test_setup_teardown(plain_checksums, setup, teardown),
		cmocka_unit_test_setup_teardown(padding_is_not_summed, setup, teardown),
		cmocka_unit_test_setup_teardown(udp_zero_becomes_ones, setup, teardown),
		cmocka_unit_test_setup_teardown(inner_checksum, setup, teardown),
		cmocka_unit_test_setup_teardown(refusals_leak_nothing, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
