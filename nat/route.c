/* A path-compressed binary trie over sixteen-byte keys; see route.h. */
#include "nat/route.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NONE 0u /* node 0 is never handed out: a link of 0 leads nowhere */
#define MAX_PREFIXES (1u << 30)
#define BYTE_BITS 8u

struct node {
	uint8_t key[ROUTE_KEY_BYTES]; /* zero after its bits */
	uint32_t child[2];	      /* by the bit that follows; child[0] of a free one: the next */
	uint8_t bits;
	void *user; /* NULL: only a fork */
};

struct route_table {
	uint32_t root, free, fresh, count, max;
	struct node node[];
};

/* ---- bits ---- */

static unsigned bit_at(const uint8_t *key, unsigned i)
{
	return key[i / BYTE_BITS] >> (BYTE_BITS - 1 - i % BYTE_BITS) & 1;
}

/* How many leading bits of a and b agree, at most `limit`. */
static unsigned common_bits(const uint8_t *a, const uint8_t *b, unsigned limit)
{
	unsigned n = 0;

	while (n < limit && a[n / BYTE_BITS] == b[n / BYTE_BITS])
		n += BYTE_BITS;
	if (n < limit) /* the first byte that differs: its leading zeroes, of 32 bits */
		n += (unsigned)__builtin_clz((unsigned)(a[n / BYTE_BITS] ^ b[n / BYTE_BITS])) - 24;
	return n < limit ? n : limit;
}

static void copy_key(uint8_t *to, const uint8_t *from, unsigned bits)
{
	unsigned whole = bits / BYTE_BITS, rest = bits % BYTE_BITS;

	memset(to, 0, ROUTE_KEY_BYTES);
	memcpy(to, from, whole);
	if (rest)
		to[whole] = (uint8_t)(from[whole] & 0xffu << (BYTE_BITS - rest));
}

/* ---- nodes ---- */

struct route_table *route_table_new(uint32_t max)
{
	struct route_table *t;
	size_t nodes = 2 * (size_t)max + 1; /* 2n - 1, the unused one at 0, one to spare */

	if (max > MAX_PREFIXES)
		return NULL;
	t = calloc(1, sizeof(*t) + nodes * sizeof(t->node[0]));
	if (t) {
		t->fresh = 1;
		t->max = max;
	}
	return t;
}

void route_table_free(struct route_table *t)
{
	free(t);
}

static uint32_t node_new(struct route_table *t, const uint8_t *key, unsigned bits, void *user)
{
	uint32_t i = t->free ? t->free : t->fresh++;
	struct node *n = &t->node[i];

	if (i == t->free)
		t->free = n->child[0];
	*n = (struct node){.bits = (uint8_t)bits, .user = user};
	copy_key(n->key, key, bits);
	return i;
}

static void node_free(struct route_table *t, uint32_t i)
{
	t->node[i].user = NULL;
	t->node[i].child[0] = t->free;
	t->free = i;
}

/* ---- changes ---- */

/* The link that leads to the first node that is not a proper prefix of the key's `bits`, and
 * how many bits that node has in common with them. */
static uint32_t *descend(struct route_table *t, const uint8_t *key, unsigned bits, unsigned *ret_common)
{
	uint32_t *at = &t->root;

	*ret_common = 0;
	while (*at != NONE) {
		struct node *n = &t->node[*at];
		unsigned limit = n->bits < bits ? n->bits : bits;
		*ret_common = common_bits(n->key, key, limit);
		if (*ret_common < n->bits || n->bits == bits)
			break;
		at = &n->child[bit_at(key, n->bits)];
	}
	return at;
}

int route_add(struct route_table *t, const uint8_t key[ROUTE_KEY_BYTES], unsigned bits, void *user)
{
	unsigned common;
	uint32_t *at, below, added;

	if (bits > ROUTE_KEY_BITS || !user)
		return -EINVAL;
	at = descend(t, key, bits, &common);
	below = *at;
	if (below != NONE && common == bits && t->node[below].bits == bits && t->node[below].user)
		return -EEXIST;
	if (t->count == t->max)
		return -ENOSPC;
	t->count++;
	if (below != NONE && common == bits && t->node[below].bits == bits) {
		t->node[below].user = user; /* a fork becomes an entry */
		return 0;
	}
	added = node_new(t, key, bits, user);
	if (below == NONE) {
		*at = added;
	} else if (common == bits) { /* it lies above what is there */
		t->node[added].child[bit_at(t->node[below].key, bits)] = below;
		*at = added;
	} else {
		uint32_t fork = node_new(t, key, common, NULL);
		t->node[fork].child[bit_at(key, common)] = added;
		t->node[fork].child[bit_at(t->node[below].key, common)] = below;
		*at = fork;
	}
	return 0;
}

/* Takes a node out of the trie that neither is an entry nor parts two others. */
static void prune(struct route_table *t, uint32_t *at)
{
	uint32_t i = *at;
	struct node *n = &t->node[i];

	if (n->user || (n->child[0] != NONE && n->child[1] != NONE))
		return;
	*at = n->child[0] != NONE ? n->child[0] : n->child[1];
	node_free(t, i);
}

int route_del(struct route_table *t, const uint8_t key[ROUTE_KEY_BYTES], unsigned bits)
{
	uint32_t *above = NULL, *at = &t->root;

	if (bits > ROUTE_KEY_BITS)
		return -ENOENT;
	while (*at != NONE && t->node[*at].bits < bits) {
		above = at;
		at = &t->node[*at].child[bit_at(key, t->node[*at].bits)];
	}
	if (*at == NONE || t->node[*at].bits != bits || !t->node[*at].user ||
	    common_bits(t->node[*at].key, key, bits) < bits)
		return -ENOENT;
	t->node[*at].user = NULL;
	t->count--;
	prune(t, at);
	if (above)
		prune(t, above);
	return 0;
}

/* ---- look-ups ---- */

void *route_lookup(const struct route_table *t, const uint8_t key[ROUTE_KEY_BYTES])
{
	void *best = NULL;

	for (uint32_t i = t->root; i != NONE;) {
		const struct node *n = &t->node[i];
		if (common_bits(n->key, key, n->bits) < n->bits)
			break;
		if (n->user)
			best = n->user;
		if (n->bits == ROUTE_KEY_BITS)
			break;
		i = n->child[bit_at(key, n->bits)];
	}
	return best;
}

void *route_find(const struct route_table *t, const uint8_t key[ROUTE_KEY_BYTES], unsigned bits)
{
	uint32_t i = t->root;

	while (i != NONE && t->node[i].bits < bits)
		i = t->node[i].child[bit_at(key, t->node[i].bits)];
	if (i == NONE || t->node[i].bits != bits || common_bits(t->node[i].key, key, bits) < bits)
		return NULL;
	return t->node[i].user;
}

uint32_t route_count(const struct route_table *t)
{
	return t->count;
}

/* Depth is at most one node a bit, and each leaves one sibling behind. */
void route_each(const struct route_table *t,
		void (*fn)(void *arg, const uint8_t key[ROUTE_KEY_BYTES], unsigned bits, void *user),
		void *arg)
{
	uint32_t stack[ROUTE_KEY_BITS + 2];
	unsigned n = 0;

	stack[n++] = t->root;
	while (n) {
		uint32_t i = stack[--n];
		const struct node *o = &t->node[i];
		if (i == NONE)
			continue;
		if (o->user)
			fn(arg, o->key, o->bits, o->user);
		stack[n++] = o->child[1];
		stack[n++] = o->child[0];
	}
}
