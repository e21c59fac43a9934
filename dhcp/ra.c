/* Router advertisements: the codec and the plan (ra.h). */
#include "dhcp/ra.h"

#include <errno.h>
#include <string.h>

#include "net/addr.h"
#include "net/csum.h"
#include "net/nd.h"
#include "net/parse.h"
#include "net/wire.h"

#define PREFIX_ON_LINK	  0x80u /* RFC 4861 4.6.2 */
#define PREFIX_AUTONOMOUS 0x40u
#define LABEL_MAX	  63u  /* RFC 1035 2.3.4 */
#define DOMAIN_MAX	  253u
#define CUR_HOPS	  64u

static const uint8_t all_nodes[16] = {0xff, 0x02, [15] = 1}; /* RFC 4291 2.7.1 */

/* ---- advertisements ---- */

static void put_eth_ip6(struct wire *o, const struct ra_conf *c)
{
	static const struct mac all_nodes_mac = {{0x33, 0x33, 0, 0, 0, 1}}; /* RFC 2464 7 */

	wire_put_mac(o, all_nodes_mac);
	wire_put_mac(o, c->mac);
	wire_put_u16(o, ETHERTYPE_IP6);
	wire_put_u32(o, 6u << 28);
	wire_put_u16(o, 0); /* length, when it is known */
	wire_put_u8(o, IPPROTO6_ICMP);
	wire_put_u8(o, ND_HOPS);
	wire_put(o, c->source, 16);
	wire_put(o, all_nodes, 16);
}

static void put_prefix(struct wire *o, const struct ra_prefix *p)
{
	wire_put_u8(o, ND_OPT_PREFIX);
	wire_put_u8(o, 4);
	wire_put_u8(o, p->len);
	/* RFC 4862 5.5.3 d: an interface identifier has 64 bits; of another length guests make none */
	wire_put_u8(o, p->len == 64 ? PREFIX_ON_LINK | PREFIX_AUTONOMOUS : PREFIX_ON_LINK);
	wire_put_u32(o, p->gone ? RA_GONE_VALID_S : RA_VALID_S);
	wire_put_u32(o, p->gone ? 0 : RA_PREFERRED_S);
	wire_put_u32(o, 0);
	wire_put(o, p->addr, 16);
}

static void put_dns(struct wire *o, const struct ra_conf *c)
{
	wire_put_u8(o, ND_OPT_RDNSS);
	wire_put_u8(o, (uint8_t)(1 + 2 * c->n_dns)); /* RFC 8106 5.1 */
	wire_put_u16(o, 0);
	wire_put_u32(o, c->dns_gone ? 0 : RA_LIFETIME_S);
	for (unsigned i = 0; i < c->n_dns; i++)
		wire_put(o, c->dns[i], 16);
}

/* RFC 8106 5.2: labels as in RFC 1035 3.1, zeroes up to a multiple of eight. */
static void put_domain(struct wire *o, const char *s, bool gone)
{
	size_t len = strlen(s), units = (8 + len + 2 + 7) / 8, end = wire_pos(o) + units * 8;

	if (!len || len > DOMAIN_MAX)
		wire_fail(o);
	wire_put_u8(o, ND_OPT_DNSSL);
	wire_put_u8(o, (uint8_t)units);
	wire_put_u16(o, 0);
	wire_put_u32(o, gone ? 0 : RA_LIFETIME_S);
	while (*s && wire_ok(o)) {
		size_t n = strcspn(s, ".");
		if (!n || n > LABEL_MAX)
			wire_fail(o);
		wire_put_u8(o, (uint8_t)n);
		wire_put(o, s, n);
		s += n + (s[n] == '.');
	}
	if (wire_ok(o))
		wire_put_zero(o, end - wire_pos(o));
}

static void put_options(struct wire *o, const struct ra_conf *c)
{
	wire_put_u8(o, ND_OPT_SOURCE_MAC);
	wire_put_u8(o, 1);
	wire_put_mac(o, c->mac);
	if (c->mtu) {
		wire_put_u8(o, ND_OPT_MTU);
		wire_put_u8(o, 1);
		wire_put_u16(o, 0);
		wire_put_u32(o, c->mtu);
	}
	for (unsigned i = 0; i < c->n_prefixes; i++)
		put_prefix(o, &c->prefix[i]);
	if (c->n_dns)
		put_dns(o, c);
	if (c->domain)
		put_domain(o, c->domain, c->dns_gone);
}

size_t ra_build(const struct ra_conf *c, void *room, size_t size)
{
	struct wire o = wire_writer(room, size < RA_FRAME_MAX ? size : RA_FRAME_MAX);
	const size_t ip = sizeof(struct eth_hdr), icmp = ip + sizeof(struct ip6_hdr);

	put_eth_ip6(&o, c);
	wire_put_u8(&o, ICMP6_ND_RA);
	wire_put_u8(&o, 0);
	wire_put_u16(&o, 0);
	wire_put_u8(&o, CUR_HOPS);
	wire_put_u8(&o, 0); /* neither M nor O: there is no DHCPv6 */
	wire_put_u16(&o, c->router ? RA_LIFETIME_S : 0);
	wire_put_u32(&o, 0);
	wire_put_u32(&o, 0);
	put_options(&o, c);
	if (!wire_ok(&o))
		return 0;
	const size_t len = wire_pos(&o) - icmp;
	wire_patch_u16(&o, ip + offsetof(struct ip6_hdr, len), (uint16_t)len);
	csum_t sum = csum_pseudo6(c->source, all_nodes, IPPROTO6_ICMP, (uint32_t)len);
	sum = csum_add(sum, o.base + icmp, len);
	wire_patch_u16(&o, icmp + offsetof(struct nd_ra, csum), be16toh(csum_finish(sum)));
	return wire_pos(&o);
}

void ra_farewell(struct ra_conf *c)
{
	c->router = false;
	c->dns_gone = true;
	for (unsigned i = 0; i < c->n_prefixes; i++)
		c->prefix[i].gone = true;
}

/* ---- solicitations ---- */

/* A checksum that a guest left to be finished has crossed no wire yet. */
static bool checksum_ok(const struct pkt *k, uint32_t len)
{
	const struct ip6_hdr *h = pkt_ip6(k);

	if (pkt_l4_partial(k))
		return true;
	return csum_finish(csum_pseudo6(h->src, h->dst, IPPROTO6_ICMP, len) +
			   csum_fold(csum_pkt(k, k->l4_off, len))) == 0;
}

int ra_solicit_parse(const struct pkt *k, struct ra_solicit *ret)
{
	const uint16_t need = PKT_IP6 | PKT_L4;
	struct ra_solicit s;
	struct nd_mac source;
	uint8_t room[IP6_MTU_MIN];

	if ((k->flags & (need | PKT_FRAGMENT)) != need || k->ip_proto != IPPROTO6_ICMP)
		return -EBADMSG;
	const uint32_t len = pkt_l4_len(k);
	const struct icmp_hdr *h = pkt_icmp(k);
	if (h->type != ICMP6_ND_RS || h->code || pkt_ip6(k)->hops != ND_HOPS ||
	    len < sizeof(struct nd_rs) || len > sizeof(room) || !checksum_ok(k, len) ||
	    !pkt_read(k, k->l4_off, room, len))
		return -EBADMSG;
	struct wire w = wire_reader(room, len);
	wire_skip(&w, sizeof(struct nd_rs));
	if (nd_read_mac(&w, ND_OPT_SOURCE_MAC, &source) < 0)
		return -EBADMSG;
	s = (struct ra_solicit){.mac = source.mac, .has_mac = source.given};
	memcpy(s.source, pkt_ip6(k)->src, sizeof(s.source));
	if (s.has_mac && ip6_is_unspecified(s.source))
		return -EBADMSG;
	*ret = s;
	return 0;
}

/* ---- the plan ---- */

static nsec_t spread(uint32_t random, nsec_t span)
{
	return (nsec_t)random * (span / NSEC_PER_MSEC) / UINT32_MAX * NSEC_PER_MSEC;
}

/* RFC 4861 6.2.6: two multicast advertisements are never closer. */
static nsec_t not_too_soon(const struct ra_plan *p, nsec_t at)
{
	return p->last && at < p->last + RA_MIN_DELAY ? p->last + RA_MIN_DELAY : at;
}

void ra_plan_start(struct ra_plan *p, nsec_t now)
{
	p->initial = RA_INITIAL_COUNT;
	p->next = not_too_soon(p, now);
}

void ra_plan_sent(struct ra_plan *p, nsec_t now, uint32_t random)
{
	nsec_t wait = RA_INTERVAL_MIN + spread(random, RA_INTERVAL_MAX - RA_INTERVAL_MIN);

	if (p->initial && --p->initial && wait > RA_INITIAL_MAX) /* RFC 4861 6.2.4 */
		wait = RA_INITIAL_MAX;
	p->last = now;
	p->next = now + wait;
}

void ra_plan_solicited(struct ra_plan *p, nsec_t now, uint32_t random)
{
	nsec_t at = not_too_soon(p, now + spread(random, RA_ANSWER_MAX));

	if (at < p->next)
		p->next = at;
}
