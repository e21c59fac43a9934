/* The ports of the host's address that are ours: kept from its own sockets by the sysctl
 * net.ipv4.ip_local_reserved_ports, which we merge with what is there.
 *
 * Undoing takes out what was added and nothing else, so that a list changed meanwhile keeps the
 * change: the journal has the range and the list as it was.  A list that nobody
 * changed becomes what it was, to the letter.  Main thread. */
#ifndef TAP_HOSTPORTS_H
#define TAP_HOSTPORTS_H

#include "tap/hoststate.h"

#define HOSTPORTS_LIST_MAX 1500 /* longer ones are not merged with: -E2BIG */

/* Journalled, as the interface's.  -errno. */
int hostports_reserve(struct hoststate *hs, int ifindex, const char *ifname, uint16_t first,
		      uint16_t last);
/* For hoststate.c: the range as recorded, and the list before it. */
int hostports_unreserve(long range, const char *before);
/* Local ports of the range that sockets of the host have, TCP and UDP: up to max.  Returns how many
 * there are. */
unsigned hostports_in_use(uint16_t first, uint16_t last, uint16_t *ret_ports, unsigned max);

/* The text form, for the two above and their test: "8080,9000-9100".  -EINVAL. */
struct hostports_set {
	uint64_t w[65536 / 64];
};
int hostports_parse(const char *text, struct hostports_set *ret_set);
int hostports_format(const struct hostports_set *s, char *buf, size_t size); /* -E2BIG */

#endif
