/* Settings of host interfaces through libnl-route: up, down, MTU, an address.
 *
 * By index, in the calling thread's network namespace, one netlink exchange each.
 * 0 or -errno.  Main thread. */
#ifndef TAP_IFSET_H
#define TAP_IFSET_H

#include "net/addr.h"

int ifset_up(int ifindex, bool up);
int ifset_mtu(int ifindex, uint32_t mtu);
int ifset_address(int ifindex, struct prefix4 address); /* 0 as well when it is there */
/* Whether any filter hangs on the interface's clsact hooks. */
bool ifset_has_filters(int ifindex);
/* IFF_* of the interface. */
int ifset_flags(int ifindex, unsigned *ret_flags);

#endif
