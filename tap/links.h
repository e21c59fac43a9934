/* The interfaces of this network namespace, followed by rtnetlink.
 *
 * A table filled once by a dump and kept up to date by RTM_NEWLINK and RTM_DELLINK on
 * the loop; when the kernel says messages were lost, it is dumped again.  One for all
 * netdev ports.  Main thread. */
#ifndef TAP_LINKS_H
#define TAP_LINKS_H

#include <net/if.h>

#include "net/loop.h"
#include "net/types.h"

struct links;

struct link {
	int ifindex;
	char name[IF_NAMESIZE];
	unsigned flags; /* IFF_* */
	uint32_t mtu;
	uint16_t type; /* ARPHRD_* */
	struct mac mac;
	bool seen; /* its own: by the dump under way */
};

/* changed(arg) is called on the loop after every batch of changes.  0 or -errno. */
int links_new(struct loop *loop, void (*changed)(void *arg), void *arg, struct links **ret_links);
void links_free(struct links *l); /* accepts NULL */
/* NULL when there is none.  Pointers are valid until the loop runs on. */
const struct link *links_find(const struct links *l, const char *name);
const struct link *links_at(const struct links *l, size_t i); /* NULL past the last */

#endif
