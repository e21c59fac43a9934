/* Leases in memory: who holds what, who may get what.  lease_journal.c keeps them on
 * disk, dhcp_server.c decides when a client gets one, dns asks for names. */
#include "dhcp/lease.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dhcp/lease_journal.h"
#include "dhcp/lease_reserve.h"
#include "net/headers.h"

#define TABLE_SIZE    16384u
#define LISTENERS_MAX 4u
#define SUFFIX_MAX    99u
#define SUFFIX_ROOM   3u /* "-99" */
#define COMPACT_LINES 4096u
/* How long a network that is no longer configured is remembered. */
#define FORGET_S    (30 * 86400)
#define STATES	    4u
#define HW_ETHERNET 1
#define WORD_BITS   64u

/* Whoever is behind one switch port, with what it holds.  Lives as long as a lease
 * refers to it. */
struct lease_owner {
	struct tab_node node;
	struct lru_node in_pool;
	struct lease_pool *pool;
	uint32_t refs, held, offers, declined; /* held: offered and bound, not exempt */
	char name[LEASE_PORT_MAX];
};

struct lease_pool {
	struct lease_store *store;
	struct lease_pool *next;
	char name[LEASE_POOL_NAME_MAX];
	bool active; /* has a conf */
	struct prefix4 subnet;
	uint32_t first, size; /* host order; the range's length, at most LEASE_RANGE_MAX */
	uint32_t max_per_port;
	be32 *excluded;
	size_t n_excluded;
	struct lease_reserve res;
	uint64_t *taken; /* one bit an address of the range: excluded, reserved or a lease */
	struct lru state[STATES];
	uint32_t count[STATES];
	struct lru owners;
	uint64_t evicted;
};

struct on_synced {
	void (*fn)(void *arg);
	void *arg;
};

struct lease_store {
	struct lease_journal *journal;
	struct lease_pool *pools;
	struct table by_addr, by_key, by_name, owners;
	int64_t next; /* nothing runs out before */
	bool dirty;
	int degraded;
	int64_t seen;	     /* the latest time anybody told us */
	int64_t retry, wait; /* when a failed journal is tried again, and how long after that */
	uint64_t lines_next; /* compact when the journal has that many */
	struct {
		lease_event_fn *fn;
		void *arg;
	} listener[LISTENERS_MAX];
	unsigned n_listeners;
	void (*defer)(void *arg);
	void *defer_arg;
	struct on_synced *synced;
	size_t n_synced;
	void (*on_degraded)(void *arg, int err);
	void *degraded_arg;
};

/* ---- hashes and look-ups ---- */

struct lease_key lease_key_of_mac(struct mac m)
{
	struct lease_key k = {.len = 1 + sizeof(m.b), .b = {HW_ETHERNET}};
	memcpy(k.b + 1, m.b, sizeof(m.b));
	return k;
}

static bool key_eq(const struct lease_key *a, const struct lease_key *b)
{
	return a->len == b->len && !memcmp(a->b, b->b, a->len);
}

static uint64_t hash_bytes(uint64_t seed, const void *bytes, size_t n)
{
	const uint8_t *b = bytes;
	uint64_t h = seed ^ n;
	for (size_t i = 0; i < n; i++)
		h = hash_mix(h ^ b[i]);
	return h;
}

static uint32_t hash_of(const struct table *t, const struct lease_pool *p, const void *b, size_t n)
{
	return (uint32_t)hash_bytes(hash_mix(t->secret ^ (uintptr_t)p), b, n);
}

static uint32_t hash_addr(const struct lease_pool *p, be32 a)
{
	return hash_of(&p->store->by_addr, p, &a, sizeof(a));
}

static uint32_t hash_key(const struct lease_pool *p, const struct lease_key *k)
{
	return hash_of(&p->store->by_key, p, k->b, k->len);
}

static uint32_t hash_name(const struct lease_pool *p, const char *name)
{
	return hash_of(&p->store->by_name, p, name, strlen(name));
}

/* The record of an address in any state. */
static struct lease *record_at(const struct lease_pool *p, be32 address)
{
	uint32_t h = hash_addr(p, address);
	for (struct tab_node *n = table_chain(&p->store->by_addr, h); n; n = n->next) {
		struct lease *l = container_of(n, struct lease, by_addr);
		if (n->hash == h && l->address == address && l->pool == p)
			return l;
	}
	return NULL;
}

/* Bound goes before offered, offered before expired: a client has more than one record
 * only while it moves to another address. */
static struct lease *record_of(const struct lease_pool *p, const struct lease_key *k)
{
	static const uint8_t rank[STATES] = {
		[LEASE_BOUND] = 3, [LEASE_OFFERED] = 2, [LEASE_EXPIRED] = 1};
	uint32_t h = hash_key(p, k);
	struct lease *best = NULL;
	for (struct tab_node *n = table_chain(&p->store->by_key, h); n; n = n->next) {
		struct lease *l = container_of(n, struct lease, by_key);
		if (n->hash == h && l->pool == p && key_eq(&l->key, k) &&
		    (!best || rank[l->state] > rank[best->state]))
			best = l;
	}
	return best;
}

/* Another record of the client than `but`. */
static struct lease *other_record_of(const struct lease_pool *p, const struct lease_key *k,
				     const struct lease *but)
{
	uint32_t h = hash_key(p, k);
	for (struct tab_node *n = table_chain(&p->store->by_key, h); n; n = n->next) {
		struct lease *l = container_of(n, struct lease, by_key);
		if (n->hash == h && l->pool == p && l != but && key_eq(&l->key, k))
			return l;
	}
	return NULL;
}

static struct lease *record_named(const struct lease_pool *p, const char *name)
{
	uint32_t h = hash_name(p, name);
	for (struct tab_node *n = table_chain(&p->store->by_name, h); n; n = n->next) {
		struct lease *l = container_of(n, struct lease, by_name);
		if (n->hash == h && l->pool == p && !strcmp(l->hostname, name))
			return l;
	}
	return NULL;
}

/* ---- reservations ---- */

static const struct lease_reservation *res_at(const struct lease_pool *p, be32 address)
{
	return lease_reserve_at(&p->res, address);
}

const struct lease_reservation *lease_reservation_of(const struct lease_pool *p,
						     const struct lease_client *c)
{
	return lease_reserve_for(&p->res, c);
}

size_t lease_reservations(const struct lease_pool *p, const struct lease_reservation **ret_list)
{
	*ret_list = p->res.list;
	return p->res.n;
}

static void install_reservations(struct lease_pool *p, const struct lease_reserve *set)
{
	lease_reserve_free(&p->res);
	p->res = *set;
}

/* ---- the range ---- */

static bool in_range(const struct lease_pool *p, be32 address)
{
	return be32toh(address) - p->first < p->size;
}

static bool is_excluded(const struct lease_pool *p, be32 address)
{
	for (size_t i = 0; i < p->n_excluded; i++) {
		if (p->excluded[i] == address)
			return true;
	}
	/* network and broadcast address are no host's, except in a /31 and /32 (RFC 3021) */
	return p->subnet.len < 31 &&
	       (address == prefix4_network(p->subnet) || address == prefix4_broadcast(p->subnet));
}

static void mark(struct lease_pool *p, be32 address, bool taken)
{
	uint32_t i = be32toh(address) - p->first;
	if (i >= p->size)
		return;
	uint64_t bit = UINT64_C(1) << (i % WORD_BITS);
	if (taken)
		p->taken[i / WORD_BITS] |= bit;
	else
		p->taken[i / WORD_BITS] &= ~bit;
}

static void remark(struct lease_pool *p, be32 address)
{
	mark(p, address, record_at(p, address) || res_at(p, address) || is_excluded(p, address));
}

/* First clear bit in [from, to); to when there is none. */
static uint32_t first_free(const struct lease_pool *p, uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i < to; i = (i / WORD_BITS + 1) * WORD_BITS) {
		uint64_t w = ~p->taken[i / WORD_BITS] & ~UINT64_C(0) << (i % WORD_BITS);
		if (w) {
			uint32_t at = i / WORD_BITS * WORD_BITS + (uint32_t)__builtin_ctzll(w);
			return at < to ? at : to;
		}
	}
	return to;
}

/* The hash is not keyed: a client's place in the range is to be the same after a restart. */
static bool walk_range(const struct lease_pool *p, const struct lease_key *k, be32 *ret_address)
{
	if (!p->size)
		return false;
	uint32_t start = (uint32_t)(hash_bytes(0, k->b, k->len) % p->size);
	uint32_t at = first_free(p, start, p->size);
	if (at == p->size) {
		at = first_free(p, 0, start);
		if (at == start)
			return false;
	}
	*ret_address = htobe32(p->first + at);
	return true;
}

/* Whether the client may have the address at all, without regard to what is leased. */
static int assignable(const struct lease_pool *p, const struct lease_client *c, be32 address)
{
	const struct lease_reservation *r = res_at(p, address);
	if (!p->active || !prefix4_contains(p->subnet, address) || is_excluded(p, address))
		return -ERANGE;
	if (r)
		return r == lease_reservation_of(p, c) ? 0 : -EADDRINUSE;
	return in_range(p, address) ? 0 : -ERANGE;
}

static bool fits(const struct lease *l)
{
	struct lease_client c = {.key = l->key, .mac = l->mac};
	return !assignable(l->pool, &c, l->address);
}

/* ---- owners ---- */

static struct lease_owner *owner_find(struct lease_pool *p, const char *name)
{
	uint32_t h = hash_of(&p->store->owners, p, name, strlen(name));
	for (struct tab_node *n = table_chain(&p->store->owners, h); n; n = n->next) {
		struct lease_owner *o = container_of(n, struct lease_owner, node);
		if (n->hash == h && o->pool == p && !strcmp(o->name, name))
			return o;
	}
	return NULL;
}

/* With a reference; NULL on ENOMEM. */
static struct lease_owner *owner_get(struct lease_pool *p, const char *name)
{
	char cut[LEASE_PORT_MAX];
	snprintf(cut, sizeof(cut), "%s", name);
	struct lease_owner *o = owner_find(p, cut);
	if (!o) {
		o = calloc(1, sizeof(*o));
		if (!o)
			return NULL;
		o->pool = p;
		memcpy(o->name, cut, sizeof(cut));
		table_add(&p->store->owners, &o->node,
			  hash_of(&p->store->owners, p, cut, strlen(cut)));
		lru_add(&p->owners, &o->in_pool);
	}
	o->refs++;
	return o;
}

static void owner_put(struct lease_owner *o)
{
	if (!o || --o->refs)
		return;
	table_del(&o->pool->store->owners, &o->node);
	lru_del(&o->in_pool);
	free(o);
}

static void owner_count(struct lease *l, int by)
{
	struct lease_owner *o = l->owner;
	bool holds = l->state == LEASE_OFFERED || l->state == LEASE_BOUND;
	if (holds && !l->exempt)
		o->held += (uint32_t)by;
	if (l->state == LEASE_OFFERED)
		o->offers += (uint32_t)by;
	if (l->state == LEASE_DECLINED)
		o->declined += (uint32_t)by;
}

/* ---- records: the only functions that change a lease ---- */

static void emit(struct lease *l, enum lease_event ev)
{
	struct lease_store *s = l->pool->store;
	for (unsigned i = 0; i < s->n_listeners; i++)
		s->listener[i].fn(s->listener[i].arg, ev, l);
}

static void unname(struct lease *l)
{
	if (l->named)
		table_del(&l->pool->store->by_name, &l->by_name);
	l->named = false;
}

static void set_name(struct lease *l, const char *name)
{
	unname(l);
	snprintf(l->hostname, sizeof(l->hostname), "%s", name);
	if (*name) {
		table_add(&l->pool->store->by_name, &l->by_name, hash_name(l->pool, name));
		l->named = true;
	}
}

/* Takes the lease out of its state's list and counters. */
static void leave_state(struct lease *l)
{
	owner_count(l, -1);
	lru_del(&l->by_age);
	l->pool->count[l->state]--;
	if (l->state == LEASE_BOUND)
		unname(l);
}

static void enter_state(struct lease *l, enum lease_state state, int64_t expires)
{
	struct lease_store *s = l->pool->store;
	l->state = state;
	l->expires = expires;
	lru_add(&l->pool->state[state], &l->by_age);
	l->pool->count[state]++;
	owner_count(l, 1);
	if (state != LEASE_EXPIRED && expires < s->next)
		s->next = expires;
}

static void set_state(struct lease *l, enum lease_state state, int64_t expires)
{
	leave_state(l);
	enter_state(l, state, expires);
}

static void drop_key(struct lease *l)
{
	if (l->key.len)
		table_del(&l->pool->store->by_key, &l->by_key);
	l->key.len = 0;
}

static void set_key(struct lease *l, const struct lease_key *k)
{
	drop_key(l);
	l->key = *k;
	table_add(&l->pool->store->by_key, &l->by_key, hash_key(l->pool, k));
}

/* The record ends without a trace. */
static void forget(struct lease *l)
{
	struct lease_pool *p = l->pool;
	leave_state(l);
	drop_key(l);
	table_del(&p->store->by_addr, &l->by_addr);
	owner_put(l->owner);
	remark(p, l->address);
	free(l);
}

/* The record of the address, for `state`, made over to the client.  NULL on ENOMEM, with
 * nothing changed. */
static struct lease *take(struct lease_pool *p, be32 address, const struct lease_client *c,
			  enum lease_state state, int64_t expires)
{
	struct lease *l = record_at(p, address);
	struct lease_owner *o = owner_get(p, c->port);
	bool is_new = !l;
	if (o && is_new)
		l = calloc(1, sizeof(*l));
	if (!o || !l) {
		owner_put(o);
		return NULL;
	}
	if (is_new) {
		l->pool = p;
		l->address = address;
		table_add(&p->store->by_addr, &l->by_addr, hash_addr(p, address));
		mark(p, address, true);
	} else {
		leave_state(l);
		owner_put(l->owner);
	}
	if (!key_eq(&l->key, &c->key)) {
		set_key(l, &c->key);
		l->hostname[0] = l->wanted[0] = 0;
	}
	l->mac = c->mac;
	l->owner = o;
	l->exempt = res_at(p, address) != NULL;
	enter_state(l, state, expires);
	return l;
}

/* ---- journal ---- */

static void report_degraded(struct lease_store *s)
{
	int err = lease_journal_error(s->journal);
	bool changed = !err != !s->degraded;
	s->degraded = err;
	if (changed && s->on_degraded)
		s->on_degraded(s->degraded_arg, err);
}

static void fill_record(const struct lease *l, struct lease_record *r)
{
	static const enum lease_op op[STATES] = {[LEASE_BOUND] = LEASE_OP_BOUND,
						 [LEASE_EXPIRED] = LEASE_OP_BOUND,
						 [LEASE_DECLINED] = LEASE_OP_DECLINED};
	*r = (struct lease_record){.op = op[l->state],
				   .address = l->address,
				   .mac = l->mac,
				   .key = l->key,
				   .expires = l->expires};
	memcpy(r->pool, l->pool->name, sizeof(r->pool));
	memcpy(r->hostname, l->hostname, sizeof(r->hostname));
	memcpy(r->wanted, l->wanted, sizeof(r->wanted));
	memcpy(r->port, l->owner->name, sizeof(r->port));
}

static void make_dirty(struct lease_store *s)
{
	bool was = s->dirty;
	s->dirty = true;
	if (!was && s->defer)
		s->defer(s->defer_arg);
}

static void write_record(struct lease *l, enum lease_op op)
{
	struct lease_store *s = l->pool->store;
	struct lease_record r;
	fill_record(l, &r);
	r.op = op;
	lease_journal_append(s->journal, &r);
	make_dirty(s);
}

static void write_pool(void *arg)
{
	struct lease_store *s = arg;
	struct lease_record r;
	for (struct lease_pool *p = s->pools; p; p = p->next) {
		for (unsigned st = LEASE_BOUND; st < STATES; st++) {
			struct lru_node *head = &p->state[st].head;
			for (struct lru_node *n = head->prev; n != head; n = n->prev) {
				fill_record(container_of(n, struct lease, by_age), &r);
				lease_journal_append(s->journal, &r);
			}
		}
	}
}

static void compact(struct lease_store *s)
{
	lease_journal_rewrite(s->journal, write_pool, s);
	s->lines_next = 2 * lease_journal_lines(s->journal) + COMPACT_LINES;
}

int lease_store_sync(struct lease_store *s)
{
	if (!s->dirty)
		return s->degraded;
	lease_journal_sync(s->journal);
	if (!lease_journal_error(s->journal) && lease_journal_lines(s->journal) > s->lines_next)
		compact(s);
	s->dirty = false;
	report_degraded(s);
	if (s->degraded && s->retry > s->seen + 1) {
		/* something new is at risk: try again soon, not at every message */
		s->retry = s->seen + 1;
		s->wait = 1;
	}
	for (size_t i = 0; i < s->n_synced; i++)
		s->synced[i].fn(s->synced[i].arg);
	return s->degraded;
}

bool lease_store_dirty(const struct lease_store *s)
{
	return s->dirty;
}

void lease_store_defer(struct lease_store *s, void (*fn)(void *arg), void *arg)
{
	s->defer = fn;
	s->defer_arg = arg;
}

bool lease_store_deferred(const struct lease_store *s)
{
	return s->defer;
}

int lease_store_on_synced(struct lease_store *s, void (*fn)(void *arg), void *arg)
{
	struct on_synced *v = realloc(s->synced, (s->n_synced + 1) * sizeof(*v));
	if (!v)
		return -ENOMEM;
	s->synced = v;
	v[s->n_synced++] = (struct on_synced){fn, arg};
	return 0;
}

void lease_store_off_synced(struct lease_store *s, void *arg)
{
	size_t n = 0;
	for (size_t i = 0; i < s->n_synced; i++) {
		if (s->synced[i].arg != arg)
			s->synced[n++] = s->synced[i];
	}
	s->n_synced = n;
}

int lease_store_degraded(const struct lease_store *s)
{
	return s->degraded;
}

void lease_store_on_degraded(struct lease_store *s, void (*fn)(void *arg, int err), void *arg)
{
	s->on_degraded = fn;
	s->degraded_arg = arg;
	if (fn && s->degraded)
		fn(arg, s->degraded);
}

struct lease_store_stats lease_store_stats(const struct lease_store *s)
{
	struct lease_store_stats st;
	lease_journal_stats(s->journal, &st);
	return st;
}

/* ---- replay ---- */

struct replay {
	struct lease_store *store;
	int64_t now_s;
};

static void end_others_of(struct lease_pool *p, const struct lease_key *k, struct lease *keep)
{
	for (struct lease *o; (o = other_record_of(p, k, keep));) {
		if (o->state == LEASE_BOUND) {
			set_state(o, LEASE_EXPIRED, o->expires);
			emit(o, LEASE_EV_RELEASED);
		}
		forget(o);
	}
}

static void replay_bound(struct lease_pool *p, const struct lease_record *r, int64_t now_s)
{
	struct lease_client c = {.key = r->key, .mac = r->mac, .port = r->port};
	bool current = r->expires > now_s;
	struct lease *l =
		take(p, r->address, &c, current ? LEASE_BOUND : LEASE_EXPIRED, r->expires);
	if (!l)
		return;
	end_others_of(p, &r->key, l);
	memcpy(l->wanted, r->wanted, sizeof(l->wanted));
	/* in a damaged journal two leases may claim one name: the later line has it */
	struct lease *rival = current && r->hostname[0] ? record_named(p, r->hostname) : NULL;
	if (rival)
		set_name(rival, "");
	if (current)
		set_name(l, r->hostname);
	else
		memcpy(l->hostname, r->hostname, sizeof(l->hostname));
}

static void replay_released(struct lease_pool *p, const struct lease_record *r, int64_t now_s)
{
	struct lease *l = record_at(p, r->address);
	if (l && l->state == LEASE_BOUND)
		set_state(l, LEASE_EXPIRED, r->expires);
}

static void quarantine(struct lease *l, int64_t until)
{
	drop_key(l);
	l->hostname[0] = l->wanted[0] = 0;
	set_state(l, LEASE_DECLINED, until);
}

static void replay_declined(struct lease_pool *p, const struct lease_record *r, int64_t now_s)
{
	struct lease_client c = {.key = lease_key_of_mac((struct mac){{0}}), .port = r->port};
	struct lease *l = take(p, r->address, &c, LEASE_EXPIRED, r->expires);
	if (l && r->expires > now_s)
		quarantine(l, r->expires);
	else if (l)
		forget(l);
}

static void replay_line(void *arg, const struct lease_record *r)
{
	struct replay *a = arg;
	struct lease_pool *p = lease_pool_get(a->store, r->pool);
	if (!p)
		return;
	switch (r->op) {
	case LEASE_OP_BOUND: replay_bound(p, r, a->now_s); break;
	case LEASE_OP_RELEASED: replay_released(p, r, a->now_s); break;
	case LEASE_OP_DECLINED: replay_declined(p, r, a->now_s); break;
	}
}

/* What a network left behind that is gone from the config for long. */
static void forget_old(struct lease_store *s, int64_t now_s)
{
	for (struct lease_pool *p = s->pools; p; p = p->next) {
		struct lru_node *head = &p->state[LEASE_EXPIRED].head;
		for (struct lru_node *n = head->next, *next; !p->active && n != head; n = next) {
			struct lease *l = container_of(n, struct lease, by_age);
			next = n->next;
			if (l->expires < now_s - FORGET_S)
				forget(l);
		}
	}
}

/* ---- store ---- */

struct lease_store *lease_store_new(const char *dir, int64_t now_s)
{
	struct lease_store *s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->next = LEASE_FOREVER;
	s->journal = lease_journal_new(dir);
	if (!s->journal || table_init(&s->by_addr, TABLE_SIZE) ||
	    table_init(&s->by_key, TABLE_SIZE) || table_init(&s->by_name, TABLE_SIZE) ||
	    table_init(&s->owners, TABLE_SIZE)) {
		lease_store_free(s);
		errno = ENOMEM;
		return NULL;
	}
	lease_journal_replay(s->journal, replay_line, &(struct replay){s, now_s});
	forget_old(s, now_s);
	/* Always a fresh file: it has no torn end to append to. */
	compact(s);
	s->degraded = lease_journal_error(s->journal);
	s->seen = now_s;
	s->retry = now_s + 1;
	s->wait = 1;
	s->dirty = false;
	return s;
}

static void pool_free(struct lease_pool *p)
{
	for (unsigned st = 0; st < STATES; st++) {
		for (struct lru_node *n; (n = lru_oldest(&p->state[st]));)
			forget(container_of(n, struct lease, by_age));
	}
	lease_reserve_free(&p->res);
	free(p->excluded);
	free(p->taken);
	free(p);
}

void lease_store_free(struct lease_store *s)
{
	if (!s)
		return;
	if (s->journal)
		lease_journal_sync(s->journal);
	for (struct lease_pool *p = s->pools, *next; p; p = next) {
		next = p->next;
		pool_free(p);
	}
	lease_journal_free(s->journal);
	table_fini(&s->by_addr);
	table_fini(&s->by_key);
	table_fini(&s->by_name);
	table_fini(&s->owners);
	free(s->synced);
	free(s);
}

int lease_store_listen(struct lease_store *s, lease_event_fn *fn, void *arg)
{
	if (s->n_listeners == LISTENERS_MAX)
		return -ENOSPC;
	s->listener[s->n_listeners].fn = fn;
	s->listener[s->n_listeners++].arg = arg;
	return 0;
}

static void run_out(struct lease *l)
{
	if (l->state == LEASE_BOUND) {
		set_state(l, LEASE_EXPIRED, l->expires);
		emit(l, LEASE_EV_EXPIRED);
		if (l->pool->active && !fits(l))
			forget(l);
	} else if (l->state != LEASE_EXPIRED) {
		forget(l);
	}
}

static void expire_list(struct lease_store *s, struct lru *list, int64_t now_s)
{
	/* oldest first, so that the list of the expired stays in that order */
	for (struct lru_node *n = list->head.prev, *next; n != &list->head; n = next) {
		struct lease *l = container_of(n, struct lease, by_age);
		next = n->prev;
		if (l->expires <= now_s)
			run_out(l);
		else if (l->expires < s->next)
			s->next = l->expires;
	}
}

/* A walk over everything, but only when something may have run out. */
static void expire(struct lease_store *s, int64_t now_s)
{
	if (now_s > s->seen)
		s->seen = now_s;
	if (now_s < s->next)
		return;
	s->next = LEASE_FOREVER;
	for (struct lease_pool *p = s->pools; p; p = p->next) {
		expire_list(s, &p->state[LEASE_OFFERED], now_s);
		expire_list(s, &p->state[LEASE_BOUND], now_s);
		expire_list(s, &p->state[LEASE_DECLINED], now_s);
	}
}

int64_t lease_store_next(const struct lease_store *s)
{
	return s->degraded && s->retry < s->next ? s->retry : s->next;
}

int64_t lease_store_tick(struct lease_store *s, int64_t now_s)
{
	expire(s, now_s);
	if (s->degraded && now_s >= s->retry) {
		compact(s);
		report_degraded(s);
		s->retry = now_s + s->wait;
		s->wait = 2 * s->wait < LEASE_RETRY_S ? 2 * s->wait : LEASE_RETRY_S;
	} else if (s->dirty) {
		lease_store_sync(s);
	}
	return lease_store_next(s);
}

void lease_store_each(struct lease_store *s, void (*fn)(void *arg, const struct lease *l),
		      void *arg)
{
	for (struct lease_pool *p = s->pools; p; p = p->next) {
		for (unsigned st = 0; p->active && st < STATES; st++) {
			struct lru_node *head = &p->state[st].head;
			for (struct lru_node *n = head->prev; n != head; n = n->prev)
				fn(arg, container_of(n, struct lease, by_age));
		}
	}
}

/* ---- pools ---- */

struct lease_pool *lease_pool_find(struct lease_store *s, const char *name)
{
	struct lease_pool *p = s->pools;
	while (p && strcmp(p->name, name))
		p = p->next;
	return p;
}

struct lease_pool *lease_pool_get(struct lease_store *s, const char *name)
{
	struct lease_pool *p = lease_pool_find(s, name);
	if (p)
		return p;
	if (strlen(name) >= sizeof(p->name)) {
		errno = ENAMETOOLONG;
		return NULL;
	}
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	memcpy(p->name, name, strlen(name));
	p->store = s;
	for (unsigned st = 0; st < STATES; st++)
		lru_init(&p->state[st]);
	lru_init(&p->owners);
	p->next = s->pools;
	s->pools = p;
	return p;
}

const char *lease_pool_name(const struct lease_pool *p)
{
	return p->name;
}

static bool conf_valid(const struct lease_pool_conf *c)
{
	if (c->first &&
	    (be32toh(c->first) > be32toh(c->last) || !prefix4_contains(c->subnet, c->first) ||
	     !prefix4_contains(c->subnet, c->last)))
		return false;
	for (size_t i = 0; i < c->n_reservations; i++) {
		if (!prefix4_contains(c->subnet, c->reservations[i].address))
			return false;
	}
	return true;
}

static uint32_t range_size(const struct lease_pool_conf *c)
{
	if (!c->first)
		return 0;
	uint32_t span = be32toh(c->last) - be32toh(c->first);
	return span < LEASE_RANGE_MAX ? span + 1 : LEASE_RANGE_MAX;
}

/* Offers and memories that the new conf would not make go. */
static void prune(struct lease_pool *p)
{
	static const enum lease_state loose[] = {LEASE_OFFERED, LEASE_EXPIRED};
	for (unsigned i = 0; i < ARRAY_SIZE(loose); i++) {
		struct lru *list = &p->state[loose[i]];
		for (struct lru_node *n = list->head.next, *next; n != &list->head; n = next) {
			struct lease *l = container_of(n, struct lease, by_age);
			next = n->next;
			if (!fits(l))
				forget(l);
		}
	}
}

/* Leases of another subnet are of no use to anybody. */
static void end_foreign(struct lease_pool *p, int64_t now_s)
{
	struct lru *list = &p->state[LEASE_BOUND];
	for (struct lru_node *n = list->head.next, *next; n != &list->head; n = next) {
		struct lease *l = container_of(n, struct lease, by_age);
		next = n->next;
		if (prefix4_contains(p->subnet, l->address))
			continue;
		set_state(l, LEASE_EXPIRED, now_s);
		write_record(l, LEASE_OP_RELEASED);
		emit(l, LEASE_EV_RELEASED);
	}
}

/* Bits of the range, and which leases count against their port. */
static void remark_all(struct lease_pool *p)
{
	memset(p->taken, 0, (p->size / WORD_BITS + 1) * sizeof(*p->taken));
	for (unsigned st = 0; st < STATES; st++) {
		struct lru_node *head = &p->state[st].head;
		for (struct lru_node *n = head->next; n != head; n = n->next) {
			struct lease *l = container_of(n, struct lease, by_age);
			owner_count(l, -1);
			l->exempt = res_at(p, l->address) != NULL;
			owner_count(l, 1);
			mark(p, l->address, true);
		}
	}
	for (size_t i = 0; i < p->res.n; i++)
		mark(p, p->res.list[i].address, true);
	for (size_t i = 0; i < p->n_excluded; i++)
		mark(p, p->excluded[i], true);
	remark(p, prefix4_network(p->subnet));
	remark(p, prefix4_broadcast(p->subnet));
}

int lease_pool_set_conf(struct lease_pool *p, const struct lease_pool_conf *c, int64_t now_s)
{
	struct lease_reserve set;
	if (!conf_valid(c))
		return -EINVAL;
	uint32_t size = range_size(c);
	uint64_t *taken = calloc(size / WORD_BITS + 1, sizeof(*taken));
	be32 *excluded = calloc(c->n_excluded + 1, sizeof(*excluded));
	int r = taken && excluded ? lease_reserve_build(c->reservations, c->n_reservations, &set)
				  : -ENOMEM;
	if (r) {
		free(taken);
		free(excluded);
		return r;
	}
	for (size_t i = 0; i < c->n_excluded; i++)
		excluded[i] = c->excluded[i];
	install_reservations(p, &set);
	free(p->taken);
	free(p->excluded);
	p->taken = taken;
	p->excluded = excluded;
	p->n_excluded = c->n_excluded;
	p->subnet = c->subnet;
	p->first = be32toh(c->first);
	p->size = size;
	p->max_per_port = c->max_per_port ? c->max_per_port : LEASE_PER_PORT;
	p->active = true;
	expire(p->store, now_s);
	end_foreign(p, now_s);
	prune(p);
	remark_all(p);
	return 0;
}

void lease_pool_retire(struct lease_pool *p)
{
	p->active = false;
}

/* Puts one reservation more, or all but those at `but`, in place of the old. */
static int reserve_change(struct lease_pool *p, const struct lease_reservation *add, be32 but)
{
	struct lease_reservation *list = calloc(p->res.n + 1, sizeof(*list));
	struct lease_reserve set;
	size_t n = 0;
	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < p->res.n; i++) {
		if (add || p->res.list[i].address != but)
			list[n++] = p->res.list[i];
	}
	if (add)
		list[n++] = *add;
	int r = lease_reserve_build(list, n, &set);
	free(list);
	if (r)
		return r;
	install_reservations(p, &set);
	prune(p);
	remark_all(p);
	return 0;
}

int lease_reserve(struct lease_pool *p, const struct lease_reservation *r, int64_t now_s)
{
	if (!p->active || !prefix4_contains(p->subnet, r->address) || is_excluded(p, r->address))
		return -ERANGE;
	expire(p->store, now_s);
	return reserve_change(p, r, 0);
}

int lease_unreserve(struct lease_pool *p, be32 address)
{
	return res_at(p, address) ? reserve_change(p, NULL, address) : -ENOENT;
}

/* ---- giving addresses ---- */

static int usable(const struct lease_pool *p, const struct lease_client *c, be32 address)
{
	int r = assignable(p, c, address);
	const struct lease *l = r ? NULL : record_at(p, address);
	if (!l || l->state == LEASE_EXPIRED)
		return r;
	return l->state != LEASE_DECLINED && key_eq(&l->key, &c->key) ? 0 : -EADDRINUSE;
}

int lease_usable(struct lease_pool *p, const struct lease_client *c, be32 address, int64_t now_s)
{
	expire(p->store, now_s);
	return usable(p, c, address);
}

static struct lease *oldest_of(const struct lease_pool *p, enum lease_state st,
			       const struct lease_owner *o)
{
	const struct lru_node *head = &p->state[st].head;
	for (struct lru_node *n = head->prev; n != head; n = n->prev) {
		struct lease *l = container_of(n, struct lease, by_age);
		if (l->owner == o)
			return l;
	}
	return NULL;
}

static bool evict_offer_of(struct lease_pool *p, const struct lease_owner *o)
{
	struct lease *l = o && o->offers ? oldest_of(p, LEASE_OFFERED, o) : NULL;
	if (!l)
		return false;
	forget(l);
	p->evicted++;
	return true;
}

/* Takes an offer back from whoever sits on most of them. */
static bool evict_heaviest(struct lease_pool *p)
{
	const struct lease_owner *most = NULL;
	for (struct lru_node *n = p->owners.head.next; n != &p->owners.head; n = n->next) {
		const struct lease_owner *o = container_of(n, struct lease_owner, in_pool);
		if (!most || o->offers > most->offers)
			most = o;
	}
	return evict_offer_of(p, most);
}

/* Makes room in the port's share for `address`; -EDQUOT when it is used up by leases. */
static int charge(struct lease_pool *p, const struct lease_client *c, be32 address)
{
	struct lease_owner *o = owner_find(p, c->port);
	const struct lease *l = record_at(p, address);
	bool counted = l && l->owner == o && !l->exempt &&
		       (l->state == LEASE_OFFERED || l->state == LEASE_BOUND);
	if (!o || counted || res_at(p, address) || o->held < p->max_per_port)
		return 0;
	return evict_offer_of(p, o) ? 0 : -EDQUOT;
}

static bool try_address(struct lease_pool *p, const struct lease_client *c, be32 address,
			bool even_remembered)
{
	const struct lease *l = record_at(p, address);
	if (!address || usable(p, c, address))
		return false;
	return even_remembered || !l || key_eq(&l->key, &c->key);
}

/* The order is the header's. */
static int choose(struct lease_pool *p, const struct lease_client *c, be32 requested,
		  be32 *ret_address)
{
	const struct lease_reservation *r = lease_reservation_of(p, c);
	const struct lease *had = record_of(p, &c->key);
	be32 a;
	if (r && try_address(p, c, r->address, true)) {
		*ret_address = r->address;
		return 0;
	}
	if (had && try_address(p, c, had->address, true)) {
		*ret_address = had->address;
		return 0;
	}
	if (try_address(p, c, requested, false)) {
		*ret_address = requested;
		return 0;
	}
	if (walk_range(p, &c->key, &a)) {
		*ret_address = a;
		return 0;
	}
	for (struct lru_node *n = p->state[LEASE_EXPIRED].head.prev;
	     n != &p->state[LEASE_EXPIRED].head; n = n->prev) {
		a = container_of(n, struct lease, by_age)->address;
		if (try_address(p, c, a, true)) {
			*ret_address = a;
			return 0;
		}
	}
	if (!evict_heaviest(p) || !walk_range(p, &c->key, &a))
		return -ENOSPC;
	*ret_address = a;
	return 0;
}

/* What the client was offered before and did not take. */
static void drop_other_offers(struct lease_pool *p, const struct lease_client *c, be32 keep)
{
	uint32_t h = hash_key(p, &c->key);
	for (struct tab_node *n = table_chain(&p->store->by_key, h), *next; n; n = next) {
		struct lease *l = container_of(n, struct lease, by_key);
		next = n->next;
		if (n->hash == h && l->pool == p && l->state == LEASE_OFFERED &&
		    l->address != keep && key_eq(&l->key, &c->key))
			forget(l);
	}
}

int lease_offer(struct lease_pool *p, const struct lease_client *c, be32 requested, int64_t now_s,
		const struct lease **ret_lease)
{
	be32 address;
	expire(p->store, now_s);
	int r = choose(p, c, requested, &address);
	if (!r)
		r = charge(p, c, address);
	if (r)
		return r;
	struct lease *l = record_at(p, address);
	if (!l || l->state != LEASE_BOUND) {
		struct lease_owner *o = owner_find(p, c->port);
		bool renews = l && l->state == LEASE_OFFERED && l->owner == o;
		if (o && !renews && o->offers >= LEASE_OFFERS_PER_PORT)
			evict_offer_of(p, o);
		drop_other_offers(p, c, address);
		l = take(p, address, c, LEASE_OFFERED, now_s + LEASE_OFFER_S);
		if (!l)
			return -ENOMEM;
	}
	*ret_lease = l;
	return 0;
}

/* ---- names ---- */

bool lease_name_sanitise(const void *bytes, size_t len, char out[LEASE_NAME_MAX])
{
	static const char *const misleading[] = {"localhost", "wpad", "isatap"};
	const char *s = bytes;
	size_t n = 0;
	for (size_t i = 0; i < len && s[i] && s[i] != '.' && n < LEASE_NAME_MAX - 1; i++) {
		bool alnum = isascii(s[i]) && isalnum((unsigned char)s[i]);
		if (alnum || (n && (s[i] == '-' || s[i] == '_' || s[i] == ' ')))
			out[n++] = alnum ? (char)tolower((unsigned char)s[i]) : '-';
	}
	while (n && out[n - 1] == '-')
		n--;
	out[n] = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(misleading); i++) {
		if (!strcmp(out, misleading[i]))
			out[n = 0] = 0;
	}
	return n;
}

static bool name_free(const struct lease_pool *p, const struct lease *l, const char *name,
		      const struct lease_reservation *mine)
{
	const struct lease_reservation *r = lease_reserve_named(&p->res, name);
	const struct lease *other = record_named(p, name);
	return (!other || other == l) && (!r || r == mine);
}

/* `want`, or "want-2" and so on; "" when a hundred guests ask for it. */
static void unique_name(const struct lease_pool *p, const struct lease *l, const char *want,
			const struct lease_reservation *mine, char out[LEASE_NAME_MAX])
{
	snprintf(out, LEASE_NAME_MAX, "%s", want);
	for (unsigned i = 2; *want && !name_free(p, l, out, mine); i++) {
		if (i > SUFFIX_MAX) {
			out[0] = 0;
			return;
		}
		snprintf(out, LEASE_NAME_MAX, "%.*s-%u", (int)(LEASE_NAME_MAX - 1 - SUFFIX_ROOM),
			 want, i);
	}
}

/* A reserved name is the reservation's: a guest that came first gets another. */
static void take_name_from(struct lease_pool *p, struct lease *l, const char *name)
{
	char instead[LEASE_NAME_MAX];
	struct lease *rival = record_named(p, name);
	if (!rival || rival == l)
		return;
	set_name(rival, "");
	set_name(l, name);
	unique_name(p, rival, name, NULL, instead);
	set_name(rival, instead);
	write_record(rival, LEASE_OP_BOUND);
	emit(rival, LEASE_EV_RENEWED);
}

static void assign_name(struct lease_pool *p, struct lease *l, const struct lease_client *c,
			const char *asked, const char *had)
{
	const struct lease_reservation *r = lease_reservation_of(p, c);
	char name[LEASE_NAME_MAX];
	bool same = !asked || !strcmp(asked, l->wanted);
	if (asked)
		snprintf(l->wanted, sizeof(l->wanted), "%s", asked);
	if (r && r->hostname[0]) {
		take_name_from(p, l, r->hostname);
		set_name(l, r->hostname);
		return;
	}
	/* what it was called already, suffix and all, as long as it asks for the same */
	if (same && *had && name_free(p, l, had, r)) {
		snprintf(name, sizeof(name), "%s", had);
		set_name(l, name);
		return;
	}
	unique_name(p, l, l->wanted, r, name);
	set_name(l, name);
}

static int64_t expiry(int64_t now_s, uint32_t seconds)
{
	return seconds == UINT32_MAX ? LEASE_FOREVER : now_s + seconds;
}

int lease_bind(struct lease_pool *p, const struct lease_client *c, be32 address,
	       const char *hostname, uint32_t seconds, int64_t now_s,
	       const struct lease **ret_lease)
{
	char had[LEASE_NAME_MAX] = "";
	expire(p->store, now_s);
	int r = usable(p, c, address);
	if (!r)
		r = charge(p, c, address);
	if (r)
		return r;
	struct lease *l = record_at(p, address);
	bool again = l && l->state == LEASE_BOUND;
	if (l && key_eq(&l->key, &c->key))
		memcpy(had, l->hostname, sizeof(had));
	l = take(p, address, c, LEASE_BOUND, expiry(now_s, seconds));
	if (!l)
		return -ENOMEM;
	end_others_of(p, &c->key, l);
	assign_name(p, l, c, hostname, had);
	write_record(l, LEASE_OP_BOUND);
	emit(l, again ? LEASE_EV_RENEWED : LEASE_EV_ADDED);
	*ret_lease = l;
	return 0;
}

int lease_release(struct lease_pool *p, be32 address, int64_t now_s)
{
	expire(p->store, now_s);
	struct lease *l = record_at(p, address);
	if (!l || (l->state != LEASE_BOUND && l->state != LEASE_OFFERED))
		return -ENOENT;
	if (l->state == LEASE_OFFERED) {
		forget(l);
		return 0;
	}
	set_state(l, LEASE_EXPIRED, now_s);
	write_record(l, LEASE_OP_RELEASED);
	emit(l, LEASE_EV_RELEASED);
	return 0;
}

int lease_decline(struct lease_pool *p, be32 address, int64_t now_s)
{
	expire(p->store, now_s);
	struct lease *l = record_at(p, address);
	if (!l || (l->state != LEASE_BOUND && l->state != LEASE_OFFERED))
		return -ENOENT;
	if (l->owner->declined >= LEASE_DECLINED_PER_PORT)
		forget(oldest_of(p, LEASE_DECLINED, l->owner));
	if (l->state == LEASE_BOUND) {
		set_state(l, LEASE_EXPIRED, now_s);
		emit(l, LEASE_EV_RELEASED);
	}
	quarantine(l, now_s + LEASE_DECLINE_S);
	write_record(l, LEASE_OP_DECLINED);
	return 0;
}

/* ---- look-ups ---- */

bool lease_is_current(const struct lease *l, int64_t now_s)
{
	return l->state == LEASE_BOUND && l->expires > now_s;
}

static const struct lease *current_or_null(const struct lease *l, int64_t now_s)
{
	return l && lease_is_current(l, now_s) ? l : NULL;
}

const struct lease *lease_find_address(const struct lease_pool *p, be32 address, int64_t now_s)
{
	return current_or_null(record_at(p, address), now_s);
}

const struct lease *lease_find_name(const struct lease_pool *p, const char *name, int64_t now_s)
{
	char lower[LEASE_NAME_MAX];
	size_t n = 0;
	for (; name[n] && n < sizeof(lower) - 1; n++)
		lower[n] = (char)tolower((unsigned char)name[n]);
	if (!n || name[n])
		return NULL;
	lower[n] = 0;
	return current_or_null(record_named(p, lower), now_s);
}

const struct lease *lease_find_mac(const struct lease_pool *p, struct mac m, int64_t now_s)
{
	const struct lru_node *head = &p->state[LEASE_BOUND].head;
	for (struct lru_node *n = head->next; n != head; n = n->next) {
		struct lease *l = container_of(n, struct lease, by_age);
		if (mac_eq(l->mac, m) && lease_is_current(l, now_s))
			return l;
	}
	return NULL;
}

const struct lease *lease_find_client(const struct lease_pool *p, const struct lease_key *k,
				      int64_t now_s)
{
	const struct lease *l = record_of(p, k);
	bool held = l && (l->state == LEASE_BOUND || l->state == LEASE_OFFERED);
	return held && l->expires > now_s ? l : NULL;
}

be32 lease_last_address(const struct lease_pool *p, const struct lease_key *k)
{
	const struct lease *l = record_of(p, k);
	return l ? l->address : 0;
}

const char *lease_port(const struct lease *l)
{
	return l->owner->name;
}

int64_t lease_remaining(const struct lease *l, int64_t now_s)
{
	if (l->expires == LEASE_FOREVER)
		return -1;
	return l->expires > now_s ? l->expires - now_s : 0;
}

struct lease_pool_stats lease_pool_stats(const struct lease_pool *p)
{
	return (struct lease_pool_stats){.size = p->size,
					 .offered = p->count[LEASE_OFFERED],
					 .bound = p->count[LEASE_BOUND],
					 .expired = p->count[LEASE_EXPIRED],
					 .declined = p->count[LEASE_DECLINED],
					 .evicted_offers = p->evicted};
}
