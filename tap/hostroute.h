/* How the host reaches the world through one of its interfaces, followed by rtnetlink: for an uplink that
 * shares the interface's address.
 *
 * What counts is what the kernel itself would do (a FIB look-up, so that rules and several tables
 * count too) with a packet for an address far away: through which interface, by which next hop,
 * from which address.  When it is another interface, a VPN's for instance, ours is out of
 * use, and that is said.  A host without a default route has its interface's subnet only.
 *
 * Main thread. */
#ifndef TAP_HOSTROUTE_H
#define TAP_HOSTROUTE_H

#include <net/if.h>

#include "net/addr.h"
#include "net/loop.h"

struct hostroute;

struct hostroute_state {
	struct prefix4 address; /* len 0: none, `why` says why */
	be32 gateway;		/* 0: none */
	struct mac mac;
	char why[96];
};

/* changed(arg) is called on the loop when an address, a route, a rule or a link has changed;
 * whether that matters here, hostroute_get() says.  0 or -errno. */
int hostroute_new(struct loop *loop, void (*changed)(void *arg), void *arg,
		  struct hostroute **ret_route);
void hostroute_free(struct hostroute *r); /* accepts NULL */
void hostroute_get(struct hostroute *r, const char *ifname, struct hostroute_state *ret_state);

#endif
