/* RFC 6296; see npt.h. */
#include "nat/npt.h"

#include <string.h>

#include "net/headers.h"
#include "net/parse.h"

#define WORDS 8u
#define ALL_ONES 0xffff

void npt_init(struct npt *p, const uint8_t inside[16], const uint8_t outside[16])
{
	memcpy(p->inside, inside, sizeof(p->inside));
	memcpy(p->outside, outside, sizeof(p->outside));
	be16 in = csum_fold(csum_add(0, p->inside, sizeof(p->inside)));
	be16 out = csum_fold(csum_add(0, p->outside, sizeof(p->outside)));
	p->adjust = csum_fold(csum_add16(in, (be16)~out)); /* in - out (RFC 1071) */
}

static bool map(uint8_t addr[16], const uint8_t *from, const uint8_t *to, be16 adjust)
{
	be16 word[WORDS];

	if (memcmp(addr, from, NPT_LEN / 8))
		return false;
	memcpy(word, addr, sizeof(word));
	for (unsigned i = NPT_LEN / 16; i < WORDS; i++) {
		if (word[i] == ALL_ONES)
			continue;
		word[i] = csum_fold(csum_add16(word[i], adjust));
		if (word[i] == ALL_ONES)
			word[i] = 0;
		memcpy(addr, word, sizeof(word));
		memcpy(addr, to, NPT_LEN / 8);
		return true;
	}
	return false;
}

bool npt_out(const struct npt *p, uint8_t addr[16])
{
	return map(addr, p->inside, p->outside, p->adjust);
}

bool npt_in(const struct npt *p, uint8_t addr[16])
{
	return map(addr, p->outside, p->inside, (be16)~p->adjust);
}

static bool is_error(const struct pkt *k)
{
	return (k->flags & PKT_L4) && k->ip_proto == IPPROTO6_ICMP && pkt_icmp(k)->type < ICMP6_INFORMATIONAL;
}

bool npt_rewrite(const struct npt *p, struct pkt *k, bool out)
{
	struct ip6_hdr *ip = pkt_ip6(k), *quoted = NULL;

	if (is_error(k)) {
		const uint32_t at = k->l4_off + (uint32_t)sizeof(struct icmp_hdr);
		if (k->head_len < at + sizeof(*quoted))
			return false;
		quoted = (struct ip6_hdr *)(pkt_icmp(k) + 1);
	}
	if (!(out ? npt_out(p, ip->src) : npt_in(p, ip->dst)))
		return false;
	/* what the guest was sent, or has sent; if it is of somebody else, it is not ours to change */
	if (quoted && out)
		npt_out(p, quoted->dst);
	else if (quoted)
		npt_in(p, quoted->src);
	return true;
}
