/* The outside ports of an uplink: which are taken, and a random free one.
 *
 * One bit for each port of each protocol, so that a port belongs to one mapping (no
 * overloading, RFC 4787 REQ-3).  The choice is random over the whole range
 * (RFC 6056 3.3.1), and of the inside port's parity where asked (RFC 4787 4.2.2).
 * Worker 0. */
#ifndef NAT_PORTS_H
#define NAT_PORTS_H

#include "net/types.h"

#define PORTS_FIRST 1024u /* well-known ports are for forwards only */

struct ports {
	uint64_t bit[3][65536 / 64]; /* TCP, UDP, ICMP */
};
enum ports_parity { PORTS_ANY, PORTS_EVEN, PORTS_ODD };

bool ports_taken(const struct ports *p, uint8_t proto, uint16_t port);
bool ports_take(struct ports *p, uint8_t proto, uint16_t port); /* false: it was taken */
void ports_release(struct ports *p, uint8_t proto, uint16_t port);
/* Takes a free one; `random` decides which.  -1 when there is none. */
int ports_pick(struct ports *p, uint8_t proto, enum ports_parity parity, uint32_t random);

#endif
