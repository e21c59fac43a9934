/* Router advertisements: bytes of RFC 4861 and 8106, what a solicitation must be, when to send.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "dhcp/ra.h"
#include "net/csum.h"
#include "net/parse.h"

#define ICMP (sizeof(struct eth_hdr) + sizeof(struct ip6_hdr))

static const uint8_t link_local[16] = {0xfe, 0x80, [15] = 1};

static struct ra_conf conf(void)
{
	return (struct ra_conf){
		.mac = {{2, 0, 0, 0, 0, 1}}, .source = {0xfe, 0x80, [15] = 1}, .mtu = 1400, .router = true,
		.prefix = {{.addr = {0xfd, 0x10, 0, 0x10}, .len = 64}}, .n_prefixes = 1,
		.dns = {{0xfd, 0x10, 0, 0x10, [15] = 1}}, .n_dns = 1, .domain = "lab.internal",
	};
}

static struct pkt parsed(uint8_t *frame, size_t len)
{
	struct pkt k = {.head = frame, .head_len = (uint16_t)len, .len = (uint32_t)len};
	assert_int_equal(pkt_parse(&k), DROP_NONE);
	return k;
}

static void fix_csum(uint8_t *frame, size_t len)
{
	struct ip6_hdr *ip = (struct ip6_hdr *)(frame + sizeof(struct eth_hdr));
	struct icmp_hdr *h = (struct icmp_hdr *)(frame + ICMP);
	h->csum = 0;
	h->csum = csum_finish(csum_add(csum_pseudo6(ip->src, ip->dst, 58, (uint32_t)(len - ICMP)), h, len - ICMP));
}

static void advertisement(void **s)
{
	static const uint8_t want[] = {
		134, 0, 0, 0, 64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0,
		1, 1, 2, 0, 0, 0, 0, 1,
		5, 1, 0, 0, 0, 0, 0x05, 0x78,
		3, 4, 64, 0xc0, 0, 0x27, 0x8d, 0, 0, 0x09, 0x3a, 0x80, 0, 0, 0, 0,
		0xfd, 0x10, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		25, 3, 0, 0, 0, 0, 0x07, 0x08, 0xfd, 0x10, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
		31, 3, 0, 0, 0, 0, 0x07, 0x08, 3, 'l', 'a', 'b', 8, 'i', 'n', 't', 'e', 'r', 'n', 'a', 'l', 0, 0, 0,
	};
	uint8_t f[RA_FRAME_MAX];
	struct ra_conf c = conf();
	size_t n = ra_build(&c, f, sizeof(f));
	assert_int_equal(n, ICMP + sizeof(want));
	struct pkt k = parsed(f, n);
	assert_int_equal(pkt_ip6(&k)->hops, 255);
	assert_memory_equal(pkt_ip6(&k)->src, link_local, 16);
	assert_int_equal(csum_fold(csum_pseudo6(pkt_ip6(&k)->src, pkt_ip6(&k)->dst, 58, pkt_l4_len(&k)) +
				   csum_pkt(&k, k.l4_off, pkt_l4_len(&k))), 0xffff);
	pkt_icmp(&k)->csum = 0;
	assert_memory_equal(f + ICMP, want, sizeof(want));
}

static void farewell(void **s)
{
	static const uint8_t zero[8];
	uint8_t f[RA_FRAME_MAX];
	struct ra_conf c = conf();
	ra_farewell(&c);
	assert_int_not_equal(ra_build(&c, f, sizeof(f)), 0);
	assert_memory_equal(f + ICMP + 6, zero, 2);		  /* router */
	assert_memory_equal(f + ICMP + 32 + 4, ((uint8_t[]){0, 0, 0x1c, 0x20}), 4); /* valid */
	assert_memory_equal(f + ICMP + 32 + 8, zero, 4);	  /* preferred */
	assert_memory_equal(f + ICMP + 64 + 4, zero, 4);	  /* RDNSS */
	assert_memory_equal(f + ICMP + 64 + 24 + 4, zero, 4);	  /* DNSSL */
}

/* A prefix that is no /64 is on-link, and nobody is asked to make an address of it. */
static void other_lengths(void **s)
{
	uint8_t f[RA_FRAME_MAX];
	struct ra_conf c = conf();
	c.prefix[0].len = 80;
	assert_int_not_equal(ra_build(&c, f, sizeof(f)), 0);
	assert_int_equal(f[ICMP + 32 + 3], 0x80);
}

static void does_not_fit(void **s)
{
	char label[70], longest[300];
	uint8_t f[RA_FRAME_MAX];
	struct ra_conf c = conf();
	size_t n = ra_build(&c, f, sizeof(f));
	for (size_t i = 0; i < n; i++)
		assert_int_equal(ra_build(&c, f, i), 0);
	memset(label, 'a', sizeof(label));
	label[64] = 0;
	c.domain = label;
	assert_int_equal(ra_build(&c, f, sizeof(f)), 0);
	for (unsigned i = 0; i < 254; i++)
		longest[i] = i % 2 ? '.' : 'a';
	longest[253] = 0;
	c.domain = longest;
	c.n_prefixes = RA_PREFIXES_MAX;
	c.n_dns = RA_DNS_MAX;
	assert_int_not_equal(ra_build(&c, f, sizeof(f)), 0);
	longest[253] = '.';
	longest[254] = 0;
	assert_int_equal(ra_build(&c, f, sizeof(f)), 0);
	c.domain = "a..b";
	assert_int_equal(ra_build(&c, f, sizeof(f)), 0);
}

/* ---- solicitations ---- */

static size_t solicit(uint8_t *f)
{
	static const uint8_t frame[] = {
		0x33, 0x33, 0, 0, 0, 2, 0x52, 0x54, 0, 0, 0, 1, 0x86, 0xdd,
		0x60, 0, 0, 0, 0, 16, 58, 255,
		0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2,
		0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2,
		133, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0x52, 0x54, 0, 0, 0, 1,
	};
	memcpy(f, frame, sizeof(frame));
	fix_csum(f, sizeof(frame));
	return sizeof(frame);
}

static int judge(uint8_t *f, size_t len, struct ra_solicit *ret)
{
	struct pkt k = parsed(f, len);
	return ra_solicit_parse(&k, ret);
}

static void sound_solicitation(void **s)
{
	struct ra_solicit r;
	uint8_t f[128];
	size_t n = solicit(f);
	assert_int_equal(judge(f, n, &r), 0);
	assert_true(r.has_mac);
	assert_int_equal(r.mac.b[0], 0x52);
	assert_int_equal(r.source[15], 2);
	memset(f + 22, 0, 16); /* unspecified, without the option */
	f[19] = 8;
	fix_csum(f, n - 8);
	assert_int_equal(judge(f, n - 8, &r), 0);
	assert_false(r.has_mac);
}

static void bad_solicitations(void **s)
{
	static const struct { size_t at; uint8_t v; } bad[] = {
		{21, 254}, /* came through a router */
		{ICMP, 134}, {ICMP + 1, 1},
		{ICMP + 9, 0}, /* an option of length 0, which would never end */
		{ICMP + 9, 2}, /* or past the end */
	};
	struct ra_solicit r;
	uint8_t f[128];
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		size_t n = solicit(f);
		f[bad[i].at] = bad[i].v;
		fix_csum(f, n);
		assert_int_equal(judge(f, n, &r), -EBADMSG);
	}
	size_t n = solicit(f);
	f[ICMP + 2] ^= 1;
	assert_int_equal(judge(f, n, &r), -EBADMSG);
	n = solicit(f);
	memset(f + 22, 0, 16); /* unspecified with a source address option */
	fix_csum(f, n);
	assert_int_equal(judge(f, n, &r), -EBADMSG);
}

/* ---- the plan ---- */

#define S NSEC_PER_SEC

static void first_ones_are_frequent(void **s)
{
	struct ra_plan p = {0};
	ra_plan_start(&p, 100 * S);
	assert_int_equal(p.next, 100 * S);
	ra_plan_sent(&p, 100 * S, UINT32_MAX);
	assert_int_equal(p.next, 116 * S);
	ra_plan_sent(&p, 116 * S, UINT32_MAX);
	assert_int_equal(p.next, 132 * S);
	ra_plan_sent(&p, 132 * S, UINT32_MAX);
	assert_int_equal(p.next, 732 * S);
	ra_plan_sent(&p, 732 * S, 0);
	assert_int_equal(p.next, 932 * S);
}

static void answers_are_limited(void **s)
{
	struct ra_plan p = {0};
	ra_plan_start(&p, 100 * S);
	for (nsec_t t = 100 * S; t <= 132 * S; t += 16 * S)
		ra_plan_sent(&p, t, 0);
	ra_plan_solicited(&p, 200 * S, UINT32_MAX);
	assert_int_equal(p.next, 200 * S + 500 * NSEC_PER_MSEC);
	ra_plan_solicited(&p, 200 * S, 0); /* an earlier answer does for both */
	assert_int_equal(p.next, 200 * S);
	ra_plan_sent(&p, 200 * S, 0);
	ra_plan_solicited(&p, 201 * S, 0);
	assert_int_equal(p.next, 203 * S);
	ra_plan_start(&p, 201 * S); /* a change as well */
	assert_int_equal(p.next, 203 * S);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(advertisement), cmocka_unit_test(farewell),
		cmocka_unit_test(other_lengths), cmocka_unit_test(does_not_fit),
		cmocka_unit_test(sound_solicitation), cmocka_unit_test(bad_solicitations),
		cmocka_unit_test(first_ones_are_frequent), cmocka_unit_test(answers_are_limited),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
