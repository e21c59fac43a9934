/* A bounded hash table and an LRU list, both intrusive.
 *
 * The table chains nodes that live inside the caller's objects, which come from the
 * caller's own fixed array (struct pool in this file): nothing is allocated after
 * init, and the bound is the pool's size.  Hashes are the caller's, made with
 * hash_* and the table's secret, so that a guest cannot aim at one bucket.
 * One thread at a time. */
#ifndef NET_TABLE_H
#define NET_TABLE_H

#include "net/types.h"

struct tab_node {
	struct tab_node *next;
	uint32_t hash;
};
struct table {
	struct tab_node **bucket;
	uint32_t mask, count;
	uint64_t secret;
};
/* Buckets for about `capacity` nodes (load 1), zero pages until used.  0 or -ENOMEM. */
int table_init(struct table *t, uint32_t capacity);
void table_fini(struct table *t);
void table_add(struct table *t, struct tab_node *n, uint32_t hash);
void table_del(struct table *t, struct tab_node *n);
/* First node in the hash's chain; walk with ->next and compare ->hash and the key. */
static inline struct tab_node *table_chain(const struct table *t, uint32_t hash)
{
	return t->bucket[hash & t->mask];
}
/* Asks for the bucket of a hash that is looked for soon: the first step of a burst's look-ups, which then
 * wait for memory together and not one after the other. */
static inline void table_prefetch(const struct table *t, uint32_t hash)
{
	prefetch(&t->bucket[hash & t->mask]);
}
/* 64-bit mix (Stafford variant 13 of the MurmurHash3 finaliser), keyed. */
static inline uint64_t hash_mix(uint64_t h)
{
	h ^= h >> 30;
	h *= 0xbf58476d1ce4e5b9u;
	h ^= h >> 27;
	h *= 0x94d049bb133111ebu;
	return h ^ h >> 31;
}
static inline uint32_t table_hash2(const struct table *t, uint64_t a, uint64_t b)
{
	return (uint32_t)hash_mix(hash_mix(a ^ t->secret) + b);
}

struct lru_node {
	struct lru_node *prev, *next;
};
struct lru { /* head.next is the most recent, head.prev the least */
	struct lru_node head;
};
void lru_init(struct lru *l);
void lru_add(struct lru *l, struct lru_node *n);   /* as most recent */
void lru_touch(struct lru *l, struct lru_node *n); /* to the front */
void lru_del(struct lru_node *n);                  /* safe on a node not in a list (zeroed) */
struct lru_node *lru_oldest(struct lru *l);        /* NULL when empty */

/* Fixed objects of one size with a free list; pages are touched on first use only.  Tables and pools for
 * TABLE_HUGE objects or more ask for huge pages: at random, most of a look-up is finding the page. */
#define TABLE_HUGE (UINT32_C(1) << 19)
struct pool {
	uint8_t *mem;
	size_t size, bytes;
	uint32_t max, used, fresh; /* fresh: objects never handed out yet start here */
	void *free;
};
int pool_init(struct pool *p, size_t object_size, uint32_t max); /* 0 or -ENOMEM */
void pool_fini(struct pool *p);
void *pool_get(struct pool *p); /* zeroed; NULL when all are in use */
void pool_put(struct pool *p, void *o);

#endif
