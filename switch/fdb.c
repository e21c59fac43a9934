/* The two-choice bucketed table of fdb.h.
 *
 * An address sits in one of two buckets.  When both are full the writer moves one
 * entry of the first to its own other bucket (one step of cuckoo hashing: copied
 * before it is erased, so a reader may see it twice but never not at all), and when
 * that fails evicts. */
#include "switch/fdb.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "net/headers.h"
#include "net/table.h"

#define FDB_WAYS 4
#define FDB_F_STATIC 1u

#define KEY(mac, dom) (mac_u64(mac) << 16 | (dom))
#define KEY_DOMAIN(k) ((domain_idx)(k))
#define KEY_MAC(k) mac_from_u64((k) >> 16)

struct fdb_val {
	port_idx port;
	uint16_t flags, port_gen, domain_gen;
};

static uint64_t val_pack(struct fdb_val v)
{
	return (uint64_t)v.port << 48 | (uint64_t)v.flags << 32 | (uint64_t)v.port_gen << 16 |
	       v.domain_gen;
}

static struct fdb_val val_unpack(uint64_t v)
{
	return (struct fdb_val){v >> 48, v >> 32, v >> 16, v};
}

static uint64_t load(const _Atomic uint64_t *p)
{
	return atomic_load_explicit((_Atomic uint64_t *)(uintptr_t)p, memory_order_acquire);
}

static uint16_t gen_of(_Atomic uint16_t *g)
{
	return atomic_load_explicit(g, memory_order_relaxed);
}

size_t fdb_bytes(uint32_t max)
{
	size_t buckets = 16;

	while (buckets * FDB_WAYS * 3 / 4 < max)
		buckets *= 2;
	return buckets * sizeof(struct fdb_bucket);
}

int fdb_init(struct fdb *f, void *mem, uint32_t max, uint16_t ports, uint16_t domains,
	     uint64_t secret)
{
	size_t buckets = fdb_bytes(max) / sizeof(struct fdb_bucket);

	*f = (struct fdb){.bucket = mem, .mask = (uint32_t)buckets - 1, .max = max, .secret = secret,
			  .ports = ports, .domains = domains};
	f->seen = calloc(buckets * FDB_WAYS, sizeof(*f->seen));
	f->port_gen = calloc(ports, sizeof(*f->port_gen));
	f->domain_gen = calloc(domains, sizeof(*f->domain_gen));
	f->port_count = calloc(ports, sizeof(*f->port_count));
	if (!f->seen || !f->port_gen || !f->domain_gen || !f->port_count) {
		fdb_fini(f);
		return -ENOMEM;
	}
	return 0;
}

void fdb_fini(struct fdb *f)
{
	free((void *)f->seen);
	free((void *)f->port_gen);
	free((void *)f->domain_gen);
	free(f->port_count);
	f->seen = NULL;
	f->port_gen = f->domain_gen = NULL;
	f->port_count = NULL;
}

/* The two buckets of a key: halves of one keyed hash. */
static void buckets_of(const struct fdb *f, uint64_t key, uint32_t b[2])
{
	uint64_t h = hash_mix(key ^ f->secret);

	b[0] = (uint32_t)h & f->mask;
	b[1] = (uint32_t)(h >> 32) & f->mask;
	if (b[1] == b[0])
		b[1] = (b[0] + 1) & f->mask;
}

static bool live(const struct fdb *f, uint64_t key, struct fdb_val v)
{
	return v.port < f->ports && KEY_DOMAIN(key) < f->domains &&
	       v.port_gen == gen_of(&f->port_gen[v.port]) &&
	       v.domain_gen == gen_of(&f->domain_gen[KEY_DOMAIN(key)]);
}

struct slot {
	struct fdb_entry *e;
	uint32_t idx; /* in f->seen */
};

static struct slot slot_at(const struct fdb *f, uint32_t bucket, unsigned way)
{
	return (struct slot){&f->bucket[bucket].e[way], bucket * FDB_WAYS + way};
}

static bool find(const struct fdb *f, uint64_t key, struct slot *ret_slot)
{
	uint32_t b[2];

	buckets_of(f, key, b);
	for (unsigned i = 0; i < 2; i++) {
		for (unsigned w = 0; w < FDB_WAYS; w++) {
			struct slot s = slot_at(f, b[i], w);
			if (load(&s.e->key) == key) {
				*ret_slot = s;
				return true;
			}
		}
	}
	return false;
}

port_idx fdb_lookup(const struct fdb *f, domain_idx d, struct mac m)
{
	uint64_t key = KEY(m, d);
	struct slot s;

	if (!find(f, key, &s))
		return PORT_NONE;
	struct fdb_val v = val_unpack(load(&s.e->value));
	if (load(&s.e->key) != key || !live(f, key, v))
		return PORT_NONE;
	return v.port;
}

void fdb_prefetch(const struct fdb *f, domain_idx d, struct mac m)
{
	uint32_t b[2];

	buckets_of(f, KEY(m, d), b);
	__builtin_prefetch(&f->bucket[b[0]]);
	__builtin_prefetch(&f->bucket[b[1]]);
}

static void seen_at(struct fdb *f, uint32_t idx, uint32_t now_s)
{
	if (atomic_load_explicit(&f->seen[idx], memory_order_relaxed) != now_s)
		atomic_store_explicit(&f->seen[idx], now_s, memory_order_relaxed);
}

/* Erases an entry; counts it off its owner only if it was live. */
static void erase(struct fdb *f, struct slot s)
{
	uint64_t key = load(&s.e->key);
	struct fdb_val v = val_unpack(load(&s.e->value));

	if (live(f, key, v)) {
		f->port_count[v.port]--;
		f->count--;
	}
	atomic_store_explicit(&s.e->key, 0, memory_order_release);
}

static void fill(struct fdb *f, struct slot s, uint64_t key, struct fdb_val v, uint32_t now_s)
{
	atomic_store_explicit(&f->seen[s.idx], now_s, memory_order_relaxed);
	atomic_store_explicit(&s.e->value, val_pack(v), memory_order_release);
	atomic_store_explicit(&s.e->key, key, memory_order_release);
	f->port_count[v.port]++;
	f->count++;
}

/* A way of the bucket that is empty or void. */
static bool vacant(struct fdb *f, uint32_t bucket, struct slot *ret_slot)
{
	for (unsigned w = 0; w < FDB_WAYS; w++) {
		struct slot s = slot_at(f, bucket, w);
		uint64_t key = load(&s.e->key);
		if (key && live(f, key, val_unpack(load(&s.e->value))))
			continue;
		if (key)
			erase(f, s);
		*ret_slot = s;
		return true;
	}
	return false;
}

/* Moves some learned entry of the bucket to that entry's other bucket. */
static bool displace(struct fdb *f, uint32_t bucket, struct slot *ret_slot)
{
	for (unsigned w = 0; w < FDB_WAYS; w++) {
		struct slot s = slot_at(f, bucket, w), to;
		uint64_t key = load(&s.e->key), value = load(&s.e->value);
		uint32_t b[2];

		if (val_unpack(value).flags & FDB_F_STATIC)
			continue;
		buckets_of(f, key, b);
		if (!vacant(f, b[b[0] == bucket], &to))
			continue;
		atomic_store_explicit(&f->seen[to.idx], f->seen[s.idx], memory_order_relaxed);
		atomic_store_explicit(&to.e->value, value, memory_order_release);
		atomic_store_explicit(&to.e->key, key, memory_order_release);
		atomic_store_explicit(&s.e->key, 0, memory_order_release);
		*ret_slot = s;
		return true;
	}
	return false;
}

/* Evicts from the two buckets a learned entry of the port that owns most of the table. */
static bool evict_near(struct fdb *f, const uint32_t b[2], struct slot *ret_slot)
{
	bool found = false;
	uint32_t most = 0;

	for (unsigned i = 0; i < 2 * FDB_WAYS; i++) {
		struct slot s = slot_at(f, b[i / FDB_WAYS], i % FDB_WAYS);
		struct fdb_val v = val_unpack(load(&s.e->value));
		if (v.flags & FDB_F_STATIC || f->port_count[v.port] < most)
			continue;
		most = f->port_count[v.port];
		*ret_slot = s;
		found = true;
	}
	if (found) {
		erase(f, *ret_slot);
		f->evictions++;
	}
	return found;
}

/* The table is full: take one from the port that owns most, looking from a moving point. */
static bool evict_any(struct fdb *f)
{
	port_idx heaviest = 0;

	for (port_idx p = 1; p < f->ports; p++) {
		if (f->port_count[p] > f->port_count[heaviest])
			heaviest = p;
	}
	for (uint32_t i = 0; i <= f->mask; i++) {
		uint32_t bucket = (f->sweep + i) & f->mask;
		for (unsigned w = 0; w < FDB_WAYS; w++) {
			struct slot s = slot_at(f, bucket, w);
			uint64_t key = load(&s.e->key);
			struct fdb_val v = val_unpack(load(&s.e->value));
			if (!key || v.port != heaviest || v.flags & FDB_F_STATIC || !live(f, key, v))
				continue;
			erase(f, s);
			f->evictions++;
			f->sweep = bucket;
			return true;
		}
	}
	return false;
}

static int insert(struct fdb *f, uint64_t key, struct fdb_val v, uint32_t now_s)
{
	uint32_t b[2];
	struct slot s;

	if (f->count >= f->max && !evict_any(f))
		return -ENOSPC;
	buckets_of(f, key, b);
	if (!vacant(f, b[0], &s) && !vacant(f, b[1], &s) && !displace(f, b[0], &s) &&
	    !displace(f, b[1], &s) && !evict_near(f, b, &s))
		return -ENOSPC;
	fill(f, s, key, v, now_s);
	return 0;
}

static struct fdb_val val_now(const struct fdb *f, domain_idx d, port_idx p, uint16_t flags)
{
	return (struct fdb_val){p, flags, gen_of(&f->port_gen[p]), gen_of(&f->domain_gen[d])};
}

static enum fdb_learned learn_known(struct fdb *f, struct slot s, uint64_t key, port_idx p,
				    uint32_t limit, uint32_t now_s)
{
	struct fdb_val v = val_unpack(load(&s.e->value));

	if (v.flags & FDB_F_STATIC)
		return v.port == p ? FDB_SAME : FDB_STATIC;
	if (v.port == p) {
		seen_at(f, s.idx, now_s);
		return FDB_SAME;
	}
	if (limit && f->port_count[p] >= limit)
		return FDB_LIMIT;
	f->port_count[v.port]--;
	f->port_count[p]++;
	f->moves++;
	atomic_store_explicit(&s.e->value, val_pack(val_now(f, KEY_DOMAIN(key), p, 0)),
			      memory_order_release);
	seen_at(f, s.idx, now_s);
	return FDB_MOVED;
}

bool fdb_seen(struct fdb *f, domain_idx d, struct mac m, port_idx p, uint32_t now_s)
{
	uint64_t key = KEY(m, d);
	struct slot s;

	if (unlikely(!find(f, key, &s)))
		return false;
	struct fdb_val v = val_unpack(load(&s.e->value));
	if (unlikely(load(&s.e->key) != key || v.port != p || !live(f, key, v)))
		return false;
	if (!(v.flags & FDB_F_STATIC))
		seen_at(f, s.idx, now_s);
	return true;
}

enum fdb_learned fdb_learn(struct fdb *f, domain_idx d, struct mac m, port_idx p, uint32_t limit,
			   uint32_t now_s)
{
	uint64_t key = KEY(m, d);
	struct slot s;

	if (mac_is_group(m) || mac_is_zero(m) || p >= f->ports || d >= f->domains)
		return FDB_LIMIT;
	if (find(f, key, &s)) {
		if (live(f, key, val_unpack(load(&s.e->value))))
			return learn_known(f, s, key, p, limit, now_s);
		erase(f, s);
	}
	if (limit && f->port_count[p] >= limit)
		return FDB_LIMIT;
	return insert(f, key, val_now(f, d, p, 0), now_s) ? FDB_FULL : FDB_NEW;
}

int fdb_add_static(struct fdb *f, domain_idx d, struct mac m, port_idx p)
{
	uint64_t key = KEY(m, d);
	struct slot s;

	if (find(f, key, &s))
		erase(f, s);
	return insert(f, key, val_now(f, d, p, FDB_F_STATIC), 0);
}

int fdb_del(struct fdb *f, domain_idx d, struct mac m)
{
	uint64_t key = KEY(m, d);
	struct slot s;

	if (!find(f, key, &s))
		return -ENOENT;
	bool was = live(f, key, val_unpack(load(&s.e->value)));
	erase(f, s);
	return was ? 0 : -ENOENT;
}

static void each_slot(const struct fdb *f, uint32_t from, uint32_t n,
		      void (*fn)(struct fdb *f, struct slot s, uint64_t key, struct fdb_val v, void *arg),
		      void *arg)
{
	for (uint32_t i = 0; i < n; i++) {
		for (unsigned w = 0; w < FDB_WAYS; w++) {
			struct slot s = slot_at(f, (from + i) & f->mask, w);
			uint64_t key = load(&s.e->key);
			if (key)
				fn((struct fdb *)(uintptr_t)f, s, key, val_unpack(load(&s.e->value)), arg);
		}
	}
}

static void sweep_void(struct fdb *f, struct slot s, uint64_t key, struct fdb_val v, void *arg)
{
	(void)arg;
	if (!live(f, key, v))
		erase(f, s);
}

static void uncount_domain(struct fdb *f, struct slot s, uint64_t key, struct fdb_val v, void *arg)
{
	const domain_idx *d = arg;

	(void)s;
	if (KEY_DOMAIN(key) == *d && live(f, key, v)) {
		f->port_count[v.port]--;
		f->count--;
	}
}

/* Before a generation comes round to 0, what is void goes, lest it come back to life. */
static void bump(struct fdb *f, _Atomic uint16_t *gen)
{
	uint16_t g = (uint16_t)(gen_of(gen) + 1);

	if (g == 0)
		each_slot(f, 0, f->mask + 1, sweep_void, NULL);
	atomic_store_explicit(gen, g, memory_order_release);
}

void fdb_flush_port(struct fdb *f, port_idx p)
{
	bump(f, &f->port_gen[p]);
	f->count -= f->port_count[p];
	f->port_count[p] = 0;
}

/* Unlike a port's, a domain's share of each port's count is not kept, so that learning
 * stays one counter; removing a network may cost a walk. */
void fdb_flush_domain(struct fdb *f, domain_idx d)
{
	each_slot(f, 0, f->mask + 1, uncount_domain, &d);
	bump(f, &f->domain_gen[d]);
}

static void erase_learned(struct fdb *f, struct slot s, uint64_t key, struct fdb_val v, void *arg)
{
	(void)key;
	(void)arg;
	if (!(v.flags & FDB_F_STATIC))
		erase(f, s);
}

void fdb_flush_learned(struct fdb *f)
{
	each_slot(f, 0, f->mask + 1, erase_learned, NULL);
}

struct ageing {
	uint32_t now_s, age_s;
};

static void age_one(struct fdb *f, struct slot s, uint64_t key, struct fdb_val v, void *arg)
{
	const struct ageing *a = arg;

	if (!live(f, key, v) ||
	    (!(v.flags & FDB_F_STATIC) && a->now_s - f->seen[s.idx] >= a->age_s))
		erase(f, s);
}

bool fdb_age(struct fdb *f, uint32_t now_s, uint32_t age_s, uint32_t buckets)
{
	struct ageing a = {now_s, age_s};
	uint32_t left = f->mask + 1 - f->sweep;
	bool round = buckets >= left;
	uint32_t n = round ? left : buckets;

	each_slot(f, f->sweep, n, age_one, &a);
	f->sweep = (f->sweep + n) & f->mask;
	return round;
}

struct each_arg {
	void (*fn)(void *arg, domain_idx d, struct mac m, port_idx p, uint32_t seen_s, bool is_static);
	void *arg;
};

static void each_one(struct fdb *f, struct slot s, uint64_t key, struct fdb_val v, void *arg)
{
	const struct each_arg *e = arg;

	if (live(f, key, v))
		e->fn(e->arg, KEY_DOMAIN(key), KEY_MAC(key), v.port, f->seen[s.idx],
		      v.flags & FDB_F_STATIC);
}

void fdb_each(const struct fdb *f,
	      void (*fn)(void *arg, domain_idx d, struct mac m, port_idx p, uint32_t seen_s,
			 bool is_static),
	      void *arg)
{
	struct each_arg e = {fn, arg};

	each_slot(f, 0, f->mask + 1, each_one, &e);
}
