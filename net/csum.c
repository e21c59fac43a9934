/* Internet checksums over buffers, headers and packets; one algorithm for parse.c,
 * gso.c and the NAT. */
#include "net/csum.h"

#include <string.h>

#include "net/headers.h"

static inline uint64_t load64(const uint8_t *p)
{
	uint64_t v;
	memcpy(&v, p, sizeof(v));
	return v;
}

/* The last 1 to 7 bytes; missing ones count as zero behind them (RFC 1071 1).  In pieces
 * of fixed size, which compile to loads and not to calls. */
static inline uint64_t load_last(const uint8_t *p, size_t len)
{
	uint64_t sum = 0;
	if (len & 4) {
		uint32_t v;
		memcpy(&v, p, sizeof(v));
		sum += v;
		p += sizeof(v);
	}
	if (len & 2) {
		uint16_t v;
		memcpy(&v, p, sizeof(v));
		sum += v;
		p += sizeof(v);
	}
	if (len & 1) {
		uint16_t v = 0;
		memcpy(&v, p, 1);
		sum += v;
	}
	return sum;
}

/* A one's-complement sum of 64-bit words keeps its carries: the sum of 16-bit words
 * comes out by folding (RFC 1071 2(C)). */
static inline uint64_t add_carry(uint64_t a, uint64_t b)
{
	a += b;
	return a + (a < b);
}

/* Down to 33 bits, so that the caller can add thousands of pieces without a carry. */
static inline csum_t squeeze(uint64_t s)
{
	return (s & 0xffffffff) + (s >> 32);
}

csum_t csum_add(csum_t sum, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	/* Four independent chains, or each add would wait for the carry before it. */
	uint64_t a = 0, b = 0, c = 0, d = 0;
	for (; len >= 64; p += 64, len -= 64) {
		a = add_carry(a, load64(p));
		b = add_carry(b, load64(p + 8));
		c = add_carry(c, load64(p + 16));
		d = add_carry(d, load64(p + 24));
		a = add_carry(a, load64(p + 32));
		b = add_carry(b, load64(p + 40));
		c = add_carry(c, load64(p + 48));
		d = add_carry(d, load64(p + 56));
	}
	for (; len >= 8; p += 8, len -= 8)
		a = add_carry(a, load64(p));
	if (len)
		b = add_carry(b, load_last(p, len));
	return sum + squeeze(add_carry(add_carry(a, b), add_carry(c, d)));
}

be16 csum_ip4_header(const void *hdr, size_t len)
{
	be16 field = 0;
	if (len >= sizeof(struct ip4_hdr))
		memcpy(&field, (const uint8_t *)hdr + offsetof(struct ip4_hdr, csum),
		       sizeof(field));
	/* Adding the complement takes the field out; a header's sum is never zero. */
	return csum_finish(csum_add16(csum_add(0, hdr, len), (be16)~field));
}

csum_t csum_pseudo4(be32 src, be32 dst, uint8_t proto, uint16_t l4_len)
{
	csum_t s = csum_add32(csum_add32(0, src), dst);
	return csum_add16(csum_add16(s, htobe16(proto)), htobe16(l4_len));
}

csum_t csum_pseudo6(const uint8_t src[16], const uint8_t dst[16], uint8_t proto, uint32_t l4_len)
{
	csum_t s = csum_add(csum_add(0, src, 16), dst, 16);
	return csum_add32(csum_add32(s, htobe32(proto)), htobe32(l4_len));
}

/* Adds a piece that begins `at` bytes into the summed data: at an odd offset its bytes
 * stand in the other halves of the words (RFC 1071 2(B)). */
static csum_t add_piece(csum_t sum, size_t at, const uint8_t *p, size_t n)
{
	if (!(at & 1))
		return csum_add(sum, p, n);
	return csum_add16(sum, __builtin_bswap16(csum_fold(csum_add(0, p, n))));
}

csum_t csum_pkt(const struct pkt *k, size_t off, size_t len)
{
	csum_t sum = 0;
	size_t at = 0; /* bytes summed */
	if (off < k->head_len) {
		size_t n = k->head_len - off < len ? k->head_len - off : len;
		sum = csum_add(sum, k->head + off, n);
		at = n;
		off = 0;
	} else {
		off -= k->head_len;
	}
	for (unsigned i = 0; i < k->n_tail && at < len; i++) {
		const struct iovec *v = &k->tail[i];
		if (off >= v->iov_len) {
			off -= v->iov_len;
			continue;
		}
		size_t n = v->iov_len - off < len - at ? v->iov_len - off : len - at;
		sum = add_piece(sum, at, (const uint8_t *)v->iov_base + off, n);
		at += n;
		off = 0;
	}
	return sum;
}

be16 csum_apply(be16 csum, csum_t delta)
{
	return csum_finish(delta + (be16)~csum);
}

be16 csum_apply_partial(be16 partial, csum_t delta)
{
	return csum_fold(delta + partial);
}
