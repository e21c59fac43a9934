/* The Internet checksum (RFC 1071) and its incremental update (RFC 1624).
 *
 * A `csum_t` is a running one's-complement sum of 16-bit big-endian words, kept
 * unfolded in host memory order (so no byte swapping): fold it at the end. */
#ifndef NET_CSUM_H
#define NET_CSUM_H

#include "net/pkt.h"

typedef uint64_t csum_t;

/* Adds `len` bytes that start at an even offset of the summed data. */
csum_t csum_add(csum_t sum, const void *bytes, size_t len);
static inline csum_t csum_add16(csum_t sum, be16 v) { return sum + v; }
static inline csum_t csum_add32(csum_t sum, be32 v) { return sum + v; }
/* 16-bit one's-complement sum, not inverted. */
static inline be16 csum_fold(csum_t s)
{
	s = (s & 0xffffffff) + (s >> 32);
	s = (s & 0xffffffff) + (s >> 32);
	uint32_t v = (uint32_t)(s & 0xffff) + (uint32_t)(s >> 16);
	v = (v & 0xffff) + (v >> 16);
	return (be16)((v & 0xffff) + (v >> 16));
}
static inline be16 csum_finish(csum_t s) { return (be16)~csum_fold(s); }

/* Checksum of an IPv4 header with its csum field taken as zero. */
be16 csum_ip4_header(const void *hdr, size_t len);
/* Pseudo-header sums (RFC 9293 3.1, RFC 8200 8.1); l4_len in bytes. */
csum_t csum_pseudo4(be32 src, be32 dst, uint8_t proto, uint16_t l4_len);
csum_t csum_pseudo6(const uint8_t src[16], const uint8_t dst[16], uint8_t proto, uint32_t l4_len);
/* Sum over `len` bytes of the frame from offset `off`, across head and tail. */
csum_t csum_pkt(const struct pkt *k, size_t off, size_t len);

/* RFC 1624 eq. 3: what to add for a field that changes; sum up any number of them.
 * Usable on a stored checksum (csum_apply) and, unchanged in sign, on the
 * pseudo-header sum that CHECKSUM_PARTIAL leaves in the field
 * (csum_apply_partial). */
static inline csum_t csum_delta16(be16 from, be16 to) { return (csum_t)(be16)~from + to; }
static inline csum_t csum_delta32(be32 from, be32 to) { return (csum_t)(be32)~from + to; }
be16 csum_apply(be16 csum, csum_t delta);
be16 csum_apply_partial(be16 partial, csum_t delta);

#endif
