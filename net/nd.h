/* What gateway and router advertisements share of neighbour discovery (RFC 4861): our link-local
 * address and the walk over a message's options.  Pure. */
#ifndef NET_ND_H
#define NET_ND_H

#include "net/headers.h"
#include "net/wire.h"

/* fe80::/64 and the EUI-64 of a MAC address (RFC 4291 2.5.1, appendix A). */
void nd_link_local(struct mac m, uint8_t ret[16]);

struct nd_mac {
	struct mac mac;
	bool given;
};
/* Reads options up to the end of w and keeps the MAC address of the one of `type`; those not known are
 * skipped.  -EBADMSG: a length of zero, or past the end, voids the whole (RFC 4861 4.6). */
int nd_read_mac(struct wire *w, uint8_t type, struct nd_mac *ret);

#endif
