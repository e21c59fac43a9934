/* UPnP for the guests of a network: searches answered by UDP, HTTP over the kernel's TCP in a namespace of
 * its own (tap/privnet.h), which the gateway lends its address.
 *
 *	guest -- gateway port 5000 -> sink -> TUN | kernel's TCP | -> connection -> igd_serve()
 *	guest <- gateway_send_in() <--------- TUN |              | <- answer
 *
 * Nothing is translated: the kernel there sees the guests' own addresses, and the table of mappings is
 * asked in the name of the address a connection came from.
 *
 * Bounds.  UPNP_CONNECTIONS at a time, UPNP_PER_GUEST of one guest, each for UPNP_PATIENCE, one request each.
 * What is beyond is reset at once.  A connection keeps its place until the guest has closed it as well,
 * and is reset when that takes too long: a socket that is closed here leaves nothing to the kernel that
 * the guest could pile up.  A frame for the TCP is at most UPNP_FRAME_MAX bytes.
 *
 * Main thread. */
#ifndef CTL_UPNP_H
#define CTL_UPNP_H

#include <stdio.h>

#include "ctl/daemon.h"

#define UPNP_CONNECTIONS 16u
#define UPNP_PER_GUEST 4u
#define UPNP_PATIENCE (10 * NSEC_PER_SEC)
#define UPNP_FRAME_MAX 9216u

struct upnp_stats {
	uint64_t searches, requests, refused; /* refused: connections beyond the bounds, requests that are none */
};

/* n->gateway and n->portmap are there and outlive it.  changed: is called when a request may have changed a
 * mapping.  NULL with errno, and *ret_what saying what could not be done. */
struct upnp *upnp_new(struct run_network *n, void (*changed)(struct run_network *n), const char **ret_what);
void upnp_free(struct upnp *u); /* its connections too; accepts NULL */
/* Whether the gateway's address, MAC and MTU are still what it was made for. */
bool upnp_fits(const struct upnp *u);
struct upnp_stats upnp_stats(const struct upnp *u);

#endif
