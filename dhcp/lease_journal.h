/* The lease store's file: lines in, lines out, never half a truth.
 *
 * DIR/leases is text so that it can be read and grepped:
 *
 *	CRC32 B POOL ADDRESS MAC KEY EXPIRES NAME WANTED PORT	bound until EXPIRES
 *	CRC32 R POOL ADDRESS EXPIRES				released (EXPIRES: when)
 *	CRC32 D POOL ADDRESS EXPIRES PORT			declined, quarantined until EXPIRES
 *
 * The CRC-32 (IEEE 802.3, eight hex digits) covers the rest of the line without its
 * newline.  EXPIRES is seconds since 1970 or "never"; KEY is hex; names are
 * percent-encoded, "-" when empty.  A later line about an address replaces an earlier
 * one, and a B line also ends whatever else its client held in the pool, so that each
 * change is one line and a change is either wholly there or not at all.
 *
 * Appends are collected in memory and written by lease_journal_sync().  After a failed
 * write the file may end in half a line, so nothing is appended to it any more: only
 * lease_journal_rewrite(), which makes a new file and renames it over the old one, heals.
 *
 * Main thread; no clock. */
#ifndef DHCP_LEASE_JOURNAL_H
#define DHCP_LEASE_JOURNAL_H

#include "dhcp/lease.h"

#define LEASE_POOL_NAME_MAX 160u /* "NETWORK/PORT" and its zero */

struct lease_journal;

enum lease_op { LEASE_OP_BOUND = 'B', LEASE_OP_RELEASED = 'R', LEASE_OP_DECLINED = 'D' };

struct lease_record {
	enum lease_op op;
	char pool[LEASE_POOL_NAME_MAX];
	be32 address;
	struct mac mac;
	struct lease_key key;
	int64_t expires;
	char hostname[LEASE_NAME_MAX], wanted[LEASE_NAME_MAX], port[LEASE_PORT_MAX];
};

/* Nothing is read or written yet.  dir NULL: memory only, every call succeeds.  NULL
 * on ENOMEM. */
struct lease_journal *lease_journal_new(const char *dir);
void lease_journal_free(struct lease_journal *j); /* without a sync; accepts NULL */
/* Hands every good line to fn.  0 (also when there is no file yet), or -errno. */
int lease_journal_replay(struct lease_journal *j,
			 void (*fn)(void *arg, const struct lease_record *r), void *arg);
/* Both return 0, or the -errno that has made the journal useless until a rewrite. */
int lease_journal_append(struct lease_journal *j, const struct lease_record *r);
int lease_journal_sync(struct lease_journal *j);
/* Starts a new file with what each() appends and puts it in the old one's place.  When
 * this fails, a file that was good before is still used. */
int lease_journal_rewrite(struct lease_journal *j, void (*each)(void *arg), void *arg);
int lease_journal_error(const struct lease_journal *j);
/* Lines appended since the last rewrite (or attempt). */
uint64_t lease_journal_lines(const struct lease_journal *j);
/* The journal's part of the statistics. */
void lease_journal_stats(const struct lease_journal *j, struct lease_store_stats *ret_stats);

/* One line with its newline, for tests and fuzzing: its length, or -E2BIG. */
int lease_record_format(const struct lease_record *r, char *buf, size_t size);
/* A line without its newline, which is overwritten.  -EBADMSG. */
int lease_record_parse(char *line, struct lease_record *ret_record);

#endif
