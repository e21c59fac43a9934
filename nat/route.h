/* Routes: which prefix of all that are known is the longest one an address lies in.
 *
 * One table holds both families: a key is sixteen bytes, an IPv4 address standing there as
 * ::ffff:a.b.c.d, so that an IPv4 prefix of length n has 96 + n bits and can never
 * be taken for one of IPv6.  What a prefix leads to is a pointer of the caller's.
 *
 * The table is a binary trie without one-way branches (Morrison's PATRICIA, with the skipped
 * bits kept and compared): a node stands for a prefix that was entered, or for the point where
 * two of them part.  A look-up visits at most as many nodes as prefixes lie above one another
 * or part on the way, never more than bits + 1, and in practice log2 of the entries; no
 * allocation, no recursion.  n prefixes need at most 2n - 1 nodes, which are taken at the
 * start, so that adding cannot fail for want of memory but only at the bound.
 *
 * One thread at a time; nat/ keeps its tables on worker 0. */
#ifndef NAT_ROUTE_H
#define NAT_ROUTE_H

#include "net/types.h"

#define ROUTE_KEY_BYTES 16u
#define ROUTE_KEY_BITS 128u
#define ROUTE_BITS4 96u /* added to the length of an IPv4 prefix */

struct route_table;

/* Room for max prefixes, at most 2^30.  NULL on ENOMEM. */
struct route_table *route_table_new(uint32_t max);
void route_table_free(struct route_table *t); /* accepts NULL */

/* The first `bits` bits of key lead to user, which is not NULL; the others do not matter.
 * -EEXIST when the prefix is there already, -ENOSPC beyond max, -EINVAL for more than 128 bits. */
int route_add(struct route_table *t, const uint8_t key[ROUTE_KEY_BYTES], unsigned bits, void *user);
int route_del(struct route_table *t, const uint8_t key[ROUTE_KEY_BYTES], unsigned bits); /* -ENOENT */
/* Where the longest prefix of key leads; NULL when none matches. */
void *route_lookup(const struct route_table *t, const uint8_t key[ROUTE_KEY_BYTES]);
/* Where exactly this prefix leads; NULL when it is not there. */
void *route_find(const struct route_table *t, const uint8_t key[ROUTE_KEY_BYTES], unsigned bits);
uint32_t route_count(const struct route_table *t);
/* All prefixes, by address, shorter ones first; the bits of key after the prefix are zero. */
void route_each(const struct route_table *t,
		void (*fn)(void *arg, const uint8_t key[ROUTE_KEY_BYTES], unsigned bits, void *user),
		void *arg);

#endif
