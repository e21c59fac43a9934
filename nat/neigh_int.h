/* What nat/neigh.c and nat/neigh_nd.c have in common. */
#ifndef NAT_NEIGH_INT_H
#define NAT_NEIGH_INT_H

#include "nat/neigh.h"

struct neigh *neigh_find16(struct neigh_table *t, const struct neigh_if *nif, const uint8_t ip[16]);
/* known: it has spoken, and may push out one that has not, or that has not for longest. */
struct neigh *neigh_get16(struct neigh_table *t, struct neigh_if *nif, const uint8_t ip[16], bool known);
/* n is at that MAC address: what waits for it goes. */
void neigh_confirm(struct neigh_table *t, struct neigh *n, struct worker *w, nsec_t now, struct mac mac);
/* Asks for an IPv6 address, `at` that MAC address or its solicited-node group (NULL). */
void neigh_solicit(struct neigh_if *nif, struct worker *w, const uint8_t ip[16], const struct mac *at);

#endif
