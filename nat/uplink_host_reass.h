/* Puts IPv4 fragments together for uplink_host, so that libslirp never sees one.
 *
 * libslirp's own reassembly can be made to crash by fragments of a guest's making (seen with
 * 4.7.0), so this is the strict kind: fragments of a datagram may come in any order and
 * none may overlap another (RFC 5722's rule, which is IPv6's, is the safe one here,
 * too): a datagram with an overlap or two ends is given up.  IP options of the first
 * fragment are kept out.
 *
 * REASS_SLOTS datagrams at a time, each at most 65535 bytes, for REASS_TTL; when all are in
 * use the oldest makes room.  Memory is touched on use only.  One thread; time is an
 * argument, looked at only when a fragment comes. */
#ifndef NAT_UPLINK_HOST_REASS_H
#define NAT_UPLINK_HOST_REASS_H

#include "net/pkt.h"

#define REASS_SLOTS 16u
#define REASS_TTL   (15 * NSEC_PER_SEC) /* RFC 791 3.2's initial timer */

struct reass;

struct reass *reass_new(void);	  /* NULL on ENOMEM */
void reass_free(struct reass *r); /* accepts NULL */

/* Takes in a fragment (PKT_IP4 and PKT_FRAGMENT set, offsets valid); k stays the caller's.
 * When it completes a datagram, *ret_frame and *ret_len are its frame, Ethernet
 * header first, valid until the next call, and 1 is returned.  0: more are needed.  -EBADMSG:
 * the datagram was given up. */
int reass_add(struct reass *r, const struct pkt *k, nsec_t now, const uint8_t **ret_frame,
	      uint32_t *ret_len);

#endif
