/* The lease store: which client holds which IPv4 address of which network.
 *
 * A *store* is one for the daemon and owns the journal; a *pool* is one for each
 * network (for a nat-per-vm network: for each appliance, named "NETWORK/PORT") and
 * owns addresses.  Everything is keyed by (pool, address), never by address alone.
 * A client is its *key*: option 61 as sent or, without one, the bytes 01 and its MAC,
 * which is the option 61 most systems send; a boot ROM without an id and the system it
 * starts are thus one client and keep one address.
 *
 *	          lease_offer          lease_bind            time, lease_release
 *	(nothing) ----------> OFFERED ----------> BOUND ------------------> EXPIRED
 *	              30 s, then forgotten          |  <-- lease_bind ----     |
 *	                                            | lease_decline            | taken by another
 *	                                            v                          v client when nothing
 *	                                        DECLINED -- 600 s --> (nothing)  else is free
 *
 * Which address: the client's reservation; the one it has or had; the one it asks for;
 * else a hash of its key, walked through the range, so that a guest gets the same
 * address again even after its lease was forgotten; else the longest expired lease's.
 * Never one that is excluded, quarantined, reserved for or held by another.
 *
 * Limits.  A pool hands out at most LEASE_RANGE_MAX addresses.  Each ingress port may
 * hold `max_per_port` leases (reservations not counted), LEASE_OFFERS_PER_PORT offers
 * and LEASE_DECLINED_PER_PORT quarantined addresses; beyond these its own oldest offer
 * or quarantine goes.  A full pool takes back the oldest offer of the port with most of
 * them, so a guest that floods DISCOVERs with invented MACs pushes out itself.
 *
 * Journal: DIR/leases, text, one line a change, each with its CRC-32 in front; the
 * format is at the top of lease_journal.h.  lease_bind() only writes; what must survive (an ACK)
 * waits for lease_store_sync().  Replay takes every whole line with a right checksum
 * and ignores the rest: a torn last line was never acknowledged.  Offers are
 * not written.  When the file has grown it is rewritten beside, synced and renamed.
 * If it cannot be written the leases live on in memory, lease_store_degraded() says why,
 * and the whole state is written anew a second after the next change, then after twice as
 * long each time up to LEASE_RETRY_S.
 *
 * Time is an argument: `now_s` is clock_wall(), seconds since 1970, so that expiry
 * survives a restart.  Main thread only.  Nothing here logs. */
#ifndef DHCP_LEASE_H
#define DHCP_LEASE_H

#include "net/addr.h"
#include "net/table.h"
#include "net/types.h"

#define LEASE_RANGE_MAX		65536u
#define LEASE_KEY_MAX		255u
#define LEASE_NAME_MAX		64u /* a DNS label (63) and its zero */
#define LEASE_PORT_MAX		96u /* PORT_NAME_MAX */
#define LEASE_PER_PORT		64u
#define LEASE_OFFERS_PER_PORT	32u
#define LEASE_DECLINED_PER_PORT 8u
#define LEASE_OFFER_S		30
#define LEASE_DECLINE_S		600
#define LEASE_RETRY_S		30
#define LEASE_FOREVER		INT64_MAX /* expires: never */

struct lease_store;
struct lease_pool;
struct lease_owner;

struct lease_key {
	uint8_t len;
	uint8_t b[LEASE_KEY_MAX];
};
/* The key of a client that sends no option 61. */
struct lease_key lease_key_of_mac(struct mac m);

enum lease_state { LEASE_OFFERED, LEASE_BOUND, LEASE_EXPIRED, LEASE_DECLINED };

/* One address in use or remembered.  Read only outside lease.c, and valid until the
 * next call that changes the store. */
struct lease {
	struct lease_pool *pool;
	be32 address;
	enum lease_state state;
	struct mac mac;
	struct lease_key key;	       /* len 0 when DECLINED */
	char hostname[LEASE_NAME_MAX]; /* lower case, unique among the pool's bound leases; "" =
					  none */
	char wanted[LEASE_NAME_MAX];   /* what the client asked to be called */
	int64_t expires;	       /* wall-clock second, or LEASE_FOREVER */
	/* -- lease.c's own -- */
	struct lease_owner *owner;
	struct tab_node by_addr, by_key, by_name;
	struct lru_node by_age; /* of its state's list in the pool */
	bool named;		/* in the table of names */
	bool exempt;		/* reserved: not counted against its port */
};

/* A client as a message shows it. */
struct lease_client {
	struct lease_key key;
	struct mac mac;
	const char *port; /* name of the ingress port; never NULL */
};

struct lease_reservation {
	bool by_key; /* else by MAC */
	struct mac mac;
	struct lease_key key;
	be32 address;
	char hostname[LEASE_NAME_MAX]; /* "" when not given */
};

struct lease_pool_conf {
	struct prefix4 subnet;
	be32 first, last;     /* the range, both included; first 0 = reservations only */
	const be32 *excluded; /* gateway, DNS, ...: never handed out by the range */
	size_t n_excluded;
	const struct lease_reservation *reservations; /* copied */
	size_t n_reservations;
	uint32_t max_per_port; /* 0 = LEASE_PER_PORT */
};

/* ---- store ---- */

/* Opens DIR/leases and replays it (dir is made, 0700, if missing; NULL: memory only).  An
 * unreadable or unwritable journal is no failure: see lease_store_degraded().  NULL with
 * errno on ENOMEM only. */
struct lease_store *lease_store_new(const char *dir, int64_t now_s);
void lease_store_free(struct lease_store *s); /* syncs; frees the pools; accepts NULL */

enum lease_event { LEASE_EV_ADDED, LEASE_EV_RENEWED, LEASE_EV_EXPIRED, LEASE_EV_RELEASED };
typedef void lease_event_fn(void *arg, enum lease_event ev, const struct lease *l);
/* Up to four listeners, called after the change (of RELEASED and EXPIRED: with the lease
 * as it was but for its state).  They must not change the store.  -ENOSPC. */
int lease_store_listen(struct lease_store *s, lease_event_fn *fn, void *arg);

/* Makes every change so far durable with one fdatasync; nothing to do costs nothing.
 * 0, or -errno when degraded: the change is then in memory only, and the ACK may leave. */
int lease_store_sync(struct lease_store *s);
bool lease_store_dirty(const struct lease_store *s); /* something waits for a sync */
/* Grouping: fn is called when a clean store becomes dirty, and then promises a
 * lease_store_sync() soon, e.g. from a zero timer; messages that wait for it are sent by
 * what lease_store_on_synced() registered.  Without fn, dhcp_receive() syncs itself. */
void lease_store_defer(struct lease_store *s, void (*fn)(void *arg), void *arg);
bool lease_store_deferred(const struct lease_store *s);
/* Called after each sync (any number; -ENOMEM).  _off() removes what has the same arg. */
int lease_store_on_synced(struct lease_store *s, void (*fn)(void *arg), void *arg);
void lease_store_off_synced(struct lease_store *s, void *arg);

/* 0, or the -errno why leases are not being written at the moment. */
int lease_store_degraded(const struct lease_store *s);
/* Called once when that changes: err is -errno, or 0 when it writes again.  At start too,
 * if it is degraded then. */
void lease_store_on_degraded(struct lease_store *s, void (*fn)(void *arg, int err), void *arg);

/* Ends what has run out, retries a failed journal.  Returns the wall-clock second at
 * which it should next be called (LEASE_FOREVER: when something changes). */
int64_t lease_store_tick(struct lease_store *s, int64_t now_s);
/* The same second, without doing anything: re-arm the timer with it after events. */
int64_t lease_store_next(const struct lease_store *s);

struct lease_store_stats {
	uint64_t replayed, bad_lines; /* at start */
	uint64_t writes, syncs, compactions, failures;
	size_t journal_bytes;
};
struct lease_store_stats lease_store_stats(const struct lease_store *s);

/* Calls fn for each lease of each pool, sorted by nothing; fn must not change the store.
 * `lease list` shows those BOUND (lease_is_current()). */
void lease_store_each(struct lease_store *s, void (*fn)(void *arg, const struct lease *l),
		      void *arg);

/* ---- pools ---- */

/* The pool of that name, made when missing (also for a name that only the journal
 * knows).  NULL with errno: ENOMEM, ENAMETOOLONG. */
struct lease_pool *lease_pool_get(struct lease_store *s, const char *name);
struct lease_pool *lease_pool_find(struct lease_store *s, const char *name); /* or NULL */
const char *lease_pool_name(const struct lease_pool *p);
/* Takes a new range and reservations.  Leases that no longer fit stay until they expire
 * or their client renews (and is refused); those outside the subnet end (RELEASED), and
 * offers and expired ones that do not fit go at once.
 * -EINVAL when first > last or the range leaves the subnet, -EEXIST when two
 * reservations have one address or one client, -ENOMEM; the old conf stays then. */
int lease_pool_set_conf(struct lease_pool *p, const struct lease_pool_conf *c, int64_t now_s);

/* The network is gone from the config: nothing is given out, listed or offered any more; what
 * is bound stays in the journal, in case it comes back. */
void lease_pool_retire(struct lease_pool *p);

/* Run-time reservations, until the next lease_pool_set_conf().  An address held by
 * another client is taken from it when that lease ends.  -EEXIST: address or client
 * is reserved already; -ERANGE: outside the subnet; -ENOMEM. */
int lease_reserve(struct lease_pool *p, const struct lease_reservation *r, int64_t now_s);
int lease_unreserve(struct lease_pool *p, be32 address); /* -ENOENT */
/* NULL when the client has none. */
const struct lease_reservation *lease_reservation_of(const struct lease_pool *p,
						     const struct lease_client *c);
size_t lease_reservations(const struct lease_pool *p, const struct lease_reservation **ret_list);

/* Whether this client may have this address now: in the range or reserved for it, and not
 * excluded, quarantined, reserved for or held by another.  0, -ERANGE (not an address
 * of this pool), -EADDRINUSE. */
int lease_usable(struct lease_pool *p, const struct lease_client *c, be32 address, int64_t now_s);

/* Finds an address for a DISCOVER and holds it LEASE_OFFER_S.  requested: 0 = none.
 * A client that has a lease is offered it again, and the lease stays as it is.
 * -ENOSPC: the range is used up; -EDQUOT: the port is at its limit; -ENOMEM. */
int lease_offer(struct lease_pool *p, const struct lease_client *c, be32 requested, int64_t now_s,
		const struct lease **ret_lease);
/* Gives or extends a lease until now_s + seconds (UINT32_MAX: for ever) and writes it to
 * the journal.  hostname: as lease_name_sanitise() leaves it, or NULL; it may get a
 * suffix ("-2") when taken, and a reservation's name goes before it.
 * As lease_usable(), -EDQUOT and -ENOMEM. */
int lease_bind(struct lease_pool *p, const struct lease_client *c, be32 address,
	       const char *hostname, uint32_t seconds, int64_t now_s,
	       const struct lease **ret_lease);
/* Ends a lease at its client's or the operator's wish; the address stays remembered for
 * the client.  -ENOENT when the address is not bound or offered. */
int lease_release(struct lease_pool *p, be32 address, int64_t now_s);
/* The client found the address in use (RFC 2131 4.3.3): nobody gets it for
 * LEASE_DECLINE_S.  -ENOENT when it is not bound or offered. */
int lease_decline(struct lease_pool *p, be32 address, int64_t now_s);

/* Bound leases only, NULL when there is none at now_s. */
const struct lease *lease_find_address(const struct lease_pool *p, be32 address, int64_t now_s);
const struct lease *lease_find_name(const struct lease_pool *p, const char *name, int64_t now_s);
const struct lease *lease_find_mac(const struct lease_pool *p, struct mac m, int64_t now_s);
/* The client's lease, bound or offered. */
const struct lease *lease_find_client(const struct lease_pool *p, const struct lease_key *k,
				      int64_t now_s);
/* The address it has, is offered or had last; 0 when it is unknown. */
be32 lease_last_address(const struct lease_pool *p, const struct lease_key *k);
bool lease_is_current(const struct lease *l, int64_t now_s);   /* bound and not run out */
const char *lease_port(const struct lease *l);		       /* "" when unknown */
int64_t lease_remaining(const struct lease *l, int64_t now_s); /* seconds; -1 = for ever */

struct lease_pool_stats {
	uint32_t size; /* addresses in the range that can be handed out */
	uint32_t offered, bound, expired, declined;
	uint64_t evicted_offers;
};
struct lease_pool_stats lease_pool_stats(const struct lease_pool *p);

/* The first label of `len` bytes from a client (option 12, which some send with a domain
 * or a final zero) as an RFC 1123 label: letters, digits, inner hyphens, at most 63,
 * lower-cased.  false, and "" in out, when nothing usable is left or the name would
 * mislead other guests (localhost, wpad, isatap). */
bool lease_name_sanitise(const void *bytes, size_t len, char out[LEASE_NAME_MAX]);

#endif
