/* A pool's reservations as one immutable set with three sorted views.
 *
 * Sixty thousand of them are set up in tens of milliseconds and found in sixteen steps;
 * a change makes a new set.  A reservation names its client by option 61 or by MAC, and
 * the former goes before the latter.  Main thread. */
#ifndef DHCP_LEASE_RESERVE_H
#define DHCP_LEASE_RESERVE_H

#include "dhcp/lease.h"

struct lease_reserve {
	struct lease_reservation *list;	   /* by address */
	struct lease_reservation **client; /* by client */
	struct lease_reservation **name;   /* by host name, those that have one */
	size_t n, n_name;
};

/* Copies and sorts; host names are sanitised.  -EEXIST when an address or a client comes
 * twice, -ENOMEM. */
int lease_reserve_build(const struct lease_reservation *from, size_t n,
			struct lease_reserve *ret_set);
void lease_reserve_free(struct lease_reserve *s); /* what it points to; fine when zeroed */
/* NULL when there is none. */
const struct lease_reservation *lease_reserve_at(const struct lease_reserve *s, be32 address);
const struct lease_reservation *lease_reserve_named(const struct lease_reserve *s,
						    const char *name);
const struct lease_reservation *lease_reserve_for(const struct lease_reserve *s,
						  const struct lease_client *c);

#endif
