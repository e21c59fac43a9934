/* The hash table, LRU list and object pool of table.h: the bounded containers that
 * NAT, ARP and leases are built from. */
#include "net/table.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "net/clock.h"
#include "net/poison.h"

/* Zero pages, resident once touched: calloc() would touch them when it recycles. */
static void *map_zero(size_t bytes, uint32_t objects)
{
	void *m = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (m == MAP_FAILED)
		return NULL;
	if (objects >= TABLE_HUGE)
		madvise(m, bytes, MADV_HUGEPAGE); /* else it works as well, slower */
	return m;
}

static uint64_t random_secret(void)
{
	uint64_t s;
	if (getrandom(&s, sizeof(s), GRND_NONBLOCK) == (ssize_t)sizeof(s))
		return s;
	return hash_mix(clock_now() ^ (uintptr_t)&s);
}

int table_init(struct table *t, uint32_t capacity)
{
	uint32_t n = 16;
	while (n < capacity && n < UINT32_C(1) << 31)
		n <<= 1;
	struct tab_node **b = map_zero(n * sizeof(*b), n);
	if (!b)
		return -ENOMEM;
	*t = (struct table){.bucket = b, .mask = n - 1, .secret = random_secret()};
	return 0;
}

void table_fini(struct table *t)
{
	if (t->bucket)
		munmap(t->bucket, (t->mask + (size_t)1) * sizeof(*t->bucket));
	*t = (struct table){0};
}

void table_add(struct table *t, struct tab_node *n, uint32_t hash)
{
	struct tab_node **b = &t->bucket[hash & t->mask];
	n->hash = hash;
	n->next = *b;
	*b = n;
	t->count++;
}

void table_del(struct table *t, struct tab_node *n)
{
	for (struct tab_node **p = &t->bucket[n->hash & t->mask]; *p; p = &(*p)->next) {
		if (*p == n) {
			*p = n->next;
			n->next = NULL;
			t->count--;
			return;
		}
	}
}

void lru_init(struct lru *l)
{
	l->head.prev = l->head.next = &l->head;
}

void lru_add(struct lru *l, struct lru_node *n)
{
	n->prev = &l->head;
	n->next = l->head.next;
	n->next->prev = n;
	l->head.next = n;
}

void lru_touch(struct lru *l, struct lru_node *n)
{
	if (l->head.next == n)
		return;
	lru_del(n);
	lru_add(l, n);
}

void lru_del(struct lru_node *n)
{
	if (!n->next)
		return;
	n->prev->next = n->next;
	n->next->prev = n->prev;
	n->prev = n->next = NULL;
}

struct lru_node *lru_oldest(struct lru *l)
{
	return l->head.prev == &l->head ? NULL : l->head.prev;
}

int pool_init(struct pool *p, size_t object_size, uint32_t max)
{
	/* 16: the alignment malloc() gives; also room for the free list's link. */
	size_t size = object_size ? (object_size + 15) & ~(size_t)15 : 16;
	size_t bytes = size * max;
	if (!bytes)
		bytes = size;
	if (max && bytes / max < size)
		return -ENOMEM;
	uint8_t *mem = map_zero(bytes, max);
	if (!mem)
		return -ENOMEM;
	*p = (struct pool){.mem = mem, .size = size, .bytes = bytes, .max = max};
	return 0;
}

void pool_fini(struct pool *p)
{
	if (p->mem) {
		ASAN_UNPOISON_MEMORY_REGION(p->mem, p->bytes);
		munmap(p->mem, p->bytes);
	}
	*p = (struct pool){0};
}

void *pool_get(struct pool *p)
{
	void *o = p->free;
	if (o) {
		memcpy(&p->free, o, sizeof(p->free));
		ASAN_UNPOISON_MEMORY_REGION(o, p->size);
		memset(o, 0, p->size);
	} else if (p->fresh < p->max) {
		o = p->mem + p->size * p->fresh++; /* still the zero page */
	} else {
		return NULL;
	}
	p->used++;
	return o;
}

void pool_put(struct pool *p, void *o)
{
	if (!o)
		return;
	memcpy(o, &p->free, sizeof(p->free));
	ASAN_POISON_MEMORY_REGION((uint8_t *)o + sizeof(p->free), p->size - sizeof(p->free));
	p->free = o;
	p->used--;
}
