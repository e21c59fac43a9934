/* The forwarding database: which port a MAC address of a domain was last seen on.
 *
 * Layout.  Memory from the caller, an array of 64-byte buckets of four 16-byte entries;
 * every key has two buckets (a guest cannot fill one on purpose: the hash is keyed).  An
 * entry is two 64-bit words, key (mac:48 domain:16) and value (port:16 flags:16 portgen:16
 * domgen:16), so that a kernel program can read the same memory.  An entry whose
 * generation differs from its port's or domain's is void: a port or a domain is flushed
 * by bumping a number, whatever it had learned.  When a generation wraps, a sweep clears
 * what is void so that nothing comes back to life.
 *
 * Who.  One writer at a time (the worker, or with several workers whoever holds the
 * switch's lock: learning must answer at once whether a port is at its limit, and it is
 * rare); any number of readers.  The writer stores value before
 * key; a reader re-checks the key after the value.  Moving an address stores the value
 * alone.  Ages live in a parallel array that anyone may store to, and only when the
 * second changes.
 *
 * Limits.  `max` entries in all and a limit for each port; when the table is full or both
 * buckets are, the victim is an entry of the port that owns most, never a static one.
 * Group and zero addresses are never learned.  Time is in seconds of the caller's. */
#ifndef SWITCH_FDB_H
#define SWITCH_FDB_H

#include "net/types.h"

struct fdb_entry {
	_Atomic uint64_t key, value;
};
struct fdb_bucket {
	struct fdb_entry e[4];
};
_Static_assert(sizeof(struct fdb_bucket) == 64, "one cache line");

enum fdb_learned {
	FDB_SAME,     /* known on this port */
	FDB_NEW,
	FDB_MOVED,    /* from another port */
	FDB_STATIC,   /* belongs to another port by configuration: not changed */
	FDB_LIMIT,    /* the port has as many as it may */
	FDB_FULL,     /* nothing could be evicted */
};

struct fdb {
	struct fdb_bucket *bucket;
	_Atomic uint32_t *seen; /* second of last sight, one an entry */
	uint32_t mask, max;
	_Atomic uint32_t count;
	uint64_t secret;
	uint16_t ports, domains;
	_Atomic uint16_t *port_gen, *domain_gen;
	uint32_t *port_count; /* live entries a port owns */
	uint64_t moves, evictions;
	uint32_t sweep; /* where ageing goes on */
};

/* Bytes of bucket memory for `max` addresses (three quarters load). */
size_t fdb_bytes(uint32_t max);
/* mem: zeroed, 64-byte aligned, fdb_bytes(max) long, the caller's.  -ENOMEM. */
int fdb_init(struct fdb *f, void *mem, uint32_t max, uint16_t ports, uint16_t domains,
	     uint64_t secret);
void fdb_fini(struct fdb *f);

/* Any thread.  PORT_NONE when unknown. */
port_idx fdb_lookup(const struct fdb *f, domain_idx d, struct mac m);
void fdb_prefetch(const struct fdb *f, domain_idx d, struct mac m);
/* Whether m is known on port p: its age is refreshed, and there is nothing to learn. */
bool fdb_seen(struct fdb *f, domain_idx d, struct mac m, port_idx p, uint32_t now_s);

/* The writer. */
enum fdb_learned fdb_learn(struct fdb *f, domain_idx d, struct mac m, port_idx p, uint32_t limit,
			   uint32_t now_s);
int fdb_add_static(struct fdb *f, domain_idx d, struct mac m, port_idx p); /* -ENOSPC */
int fdb_del(struct fdb *f, domain_idx d, struct mac m);                    /* -ENOENT */
void fdb_flush_port(struct fdb *f, port_idx p);     /* O(1), statics too */
void fdb_flush_domain(struct fdb *f, domain_idx d); /* O(1), statics too */
void fdb_flush_learned(struct fdb *f);              /* all but statics; a sweep */
/* Frees entries not seen for `age_s` and void ones, over at most `buckets` buckets.
 * Returns true when it has come round to the start of the table. */
bool fdb_age(struct fdb *f, uint32_t now_s, uint32_t age_s, uint32_t buckets);
/* Calls fn for each live entry. */
void fdb_each(const struct fdb *f,
	      void (*fn)(void *arg, domain_idx d, struct mac m, port_idx p, uint32_t seen_s,
			 bool is_static),
	      void *arg);

#endif
