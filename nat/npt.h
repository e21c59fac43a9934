/* Network prefix translation (RFC 6296): a network's /64 is another /64 outside, each address one for one.
 *
 * Nothing is remembered.  A word of the interface identifier takes up the difference of the prefixes, so
 * that no checksum changes (3.5: the first of its four words that is not 0xffff; a result of
 * 0xffff is written as zero).  An identifier of nothing but ones has no such word, and no address
 * outside.  An outside prefix shorter than /64 is filled up with zeroes (3.1).
 *
 * Pure; any thread. */
#ifndef NAT_NPT_H
#define NAT_NPT_H

#include "net/csum.h"
#include "net/types.h"

#define NPT_LEN 64u

struct npt {
	uint8_t inside[NPT_LEN / 8], outside[NPT_LEN / 8];
	be16 adjust; /* to be added on the way out, in one's complement; its complement on the way in */
};

void npt_init(struct npt *p, const uint8_t inside[16], const uint8_t outside[16]);
/* Translates in place.  false, and nothing changed: it is not of the prefix, or has no counterpart. */
bool npt_out(const struct npt *p, uint8_t addr[16]);
bool npt_in(const struct npt *p, uint8_t addr[16]);
/* The source (out) or destination of an IPv6 packet of our own, and in an ICMPv6 error the other
 * address of the packet it quotes.  false: no counterpart, or an error cut short. */
bool npt_rewrite(const struct npt *p, struct pkt *k, bool out);

#endif
