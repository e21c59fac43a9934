/* A cursor over bytes from or for the wire, with a sticky error.
 *
 * Protocol code (ARP, DHCP, DNS, ICMP) reads and writes through it and never
 * walks raw pointers.  Reading past the end, writing past the room or seeking
 * outside sets `err` once; from then on reads give zero and writes do nothing, so
 * that a parser checks wire_ok() where it matters and not after every field.
 * Nested TLVs get a sub-cursor of exactly the stated length.  All multi-byte
 * numbers are big-endian on the wire and host order in the API.
 *
 * No allocation, no ownership: the bytes must outlive the cursor.  Any thread. */
#ifndef NET_WIRE_H
#define NET_WIRE_H

#include "net/types.h"

struct wire {
	uint8_t *base; /* written only by wire_put_* */
	size_t len, pos;
	bool err;
};

/* A cursor to read `len` bytes, or to write at most that many. */
struct wire wire_reader(const void *bytes, size_t len);
struct wire wire_writer(void *room, size_t len);

static inline bool wire_ok(const struct wire *w) { return !w->err; }
static inline size_t wire_left(const struct wire *w) { return w->err ? 0 : w->len - w->pos; }
static inline size_t wire_pos(const struct wire *w) { return w->pos; }
void wire_fail(struct wire *w);
void wire_seek(struct wire *w, size_t pos); /* absolute; past the end is an error */
void wire_skip(struct wire *w, size_t n);

uint8_t wire_get_u8(struct wire *w);
uint16_t wire_get_u16(struct wire *w);
uint32_t wire_get_u32(struct wire *w);
uint64_t wire_get_u64(struct wire *w);
void wire_get(struct wire *w, void *dst, size_t n); /* zeroes dst on error */
struct mac wire_get_mac(struct wire *w);
be32 wire_get_ip4(struct wire *w); /* stays big-endian */
/* The next n bytes in place; NULL on error. */
const uint8_t *wire_get_bytes(struct wire *w, size_t n);
/* A reader of exactly the next n bytes, which are skipped here; failed if short. */
struct wire wire_sub(struct wire *w, size_t n);

void wire_put_u8(struct wire *w, uint8_t v);
void wire_put_u16(struct wire *w, uint16_t v);
void wire_put_u32(struct wire *w, uint32_t v);
void wire_put_u64(struct wire *w, uint64_t v);
void wire_put(struct wire *w, const void *src, size_t n);
void wire_put_mac(struct wire *w, struct mac m);
void wire_put_ip4(struct wire *w, be32 a);
void wire_put_zero(struct wire *w, size_t n);
/* Overwrites two bytes at an absolute position already written. */
void wire_patch_u16(struct wire *w, size_t pos, uint16_t v);

#endif
