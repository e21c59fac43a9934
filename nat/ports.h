/* The outside ports of an uplink: which are taken, by whom they were used last, and a
 * random free one.
 *
 * One bit for each port of each protocol, so that a port belongs to one mapping (no
 * overloading, RFC 4787 REQ-3).  The choice is random over the uplink's range
 * (RFC 6056 3.3.1), and of the inside port's parity where asked (RFC 4787 4.2.2).
 *
 * Hold.  The port of an ended mapping is given to nobody but its last owner for
 * PORTS_HOLD (RFC 6888 REQ-8), so that late packets of a remote do not reach a stranger.  Held
 * ports stand in a queue, oldest first.  Only when no other port is left does the
 * one that was held the longest give way, and that is counted (`gave_way`): under
 * such pressure a guest without service is worse than a late packet.
 *
 * Blocks.  A guest may instead get runs of neighbouring ports, of all protocols at once,
 * as it grows (RFC 6888 REQ-14, RFC 7422): who it was behind an outside port at some time is then
 * told by a few blocks and not by every mapping.  Its ports are random within its blocks.
 *
 * Owners are numbers of the caller's choice, 0 = nobody.  Memory: some 1.2 MB for each protocol
 * that is used, resident as ports are.  Worker 0. */
#ifndef NAT_PORTS_H
#define NAT_PORTS_H

#include "net/types.h"

#define PORTS_FIRST 1024u /* well-known ports are for forwards only */
#define PORTS_LAST 65535u
#define PORTS_HOLD (120 * NSEC_PER_SEC) /* RFC 6888 REQ-8 */
#define PORTS_WORDS (65536u / 64)

enum ports_row { PORTS_TCP, PORTS_UDP, PORTS_ICMP, PORTS_ROWS };

struct ports_set {
	uint64_t bit[PORTS_WORDS];
};
struct port_past { /* of a held port */
	uint32_t owner;
	uint32_t since_s;
	uint16_t older, newer; /* in the queue; 0 = none */
};
struct ports {
	struct ports_set taken[PORTS_ROWS], held[PORTS_ROWS];
	struct ports_set in_block;              /* some guest's, whatever the protocol */
	uint16_t oldest[PORTS_ROWS], newest[PORTS_ROWS];
	uint16_t first, last;                   /* what is ours to give */
	uint64_t gave_way;                      /* held ports given to others all the same */
	struct port_past past[PORTS_ROWS][65536];
};
enum ports_parity { PORTS_ANY, PORTS_EVEN, PORTS_ODD };

struct port_block {
	uint16_t first, len; /* len 0: none */
};
/* What a mapping asks for. */
struct ports_want {
	uint8_t proto;
	uint8_t parity; /* enum ports_parity */
	uint32_t owner;
	uint32_t random;
	nsec_t now;
};

/* p is zeroed memory. */
void ports_init(struct ports *p);
/* 0, 0 = all but the well-known ones.  What is taken outside the new range stays taken. */
void ports_set_range(struct ports *p, uint16_t first, uint16_t last);

bool ports_taken(const struct ports *p, uint8_t proto, uint16_t port);
/* Any port, also one outside the range.  false: it was taken. */
bool ports_take(struct ports *p, uint8_t proto, uint16_t port);
/* Held for `owner`; 0 = free at once. */
void ports_release(struct ports *p, uint8_t proto, uint16_t port, uint32_t owner, nsec_t now);
/* Whether somebody who may not be `owner` has or had it: taken, held, or in a block. */
bool ports_reserved(struct ports *p, uint8_t proto, uint16_t port, uint32_t owner, nsec_t now);

/* Takes a free one.  Rather no parity than no port (RFC 4787 4.2.2 is a SHOULD).  -1: none. */
int ports_pick(struct ports *p, const struct ports_want *want);
/* Likewise in a block of the owner's. */
int ports_pick_in(struct ports *p, const struct ports_want *want, struct port_block b);
/* A block of `len` ports that nobody has or, if possible, holds.  false: there is none. */
bool ports_block_take(struct ports *p, uint16_t len, uint32_t random, nsec_t now,
		      struct port_block *ret_block);
void ports_block_release(struct ports *p, struct port_block b);

#endif
