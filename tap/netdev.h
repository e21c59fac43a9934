/* An existing interface of the host as a port: a packet socket bound to it.
 *
 * Any hypervisor that ends in "an interface with a known name appears" attaches this
 * way, and so does a physical NIC.  Frames keep their offloads (PACKET_VNET_HDR) and
 * their outer VLAN tag (PACKET_AUXDATA).  The interface need not exist: the port waits
 * for it by rtnetlink, follows its link state and MTU, and survives its removal.
 *
 * What becomes of the host's own IP stack on the interface is the host mode:
 *   exclude  the stack sees nothing of what arrives, IPv6 is off on it, and it is set up
 *            if it was down: the interface belongs to the switch;
 *   share    the host's addresses keep working, guests and host reach each other;
 *   none     nothing is touched, and what the stack sends is not received: for an
 *            uplink with an address and MAC of its own;
 *   split    its address and a range of its ports are ours too (tap/hostcut_split.h): for an
 *            uplink that shares them;
 *   unset    exclude, but an interface with an address or default route is refused.
 * Every change is journalled before it is made (tap/hoststate.h) and undone on detach.
 *
 * A port whose interface is a glob ("tap*i1") never starts itself; each interface that
 * matches becomes a port with it as parent, named "PORT/INTERFACE".  An interface is
 * taken by the explicit port that names it, else by the pattern with the longest
 * literal part.  Two equally long patterns are the caller's to refuse; here the first
 * keeps it.
 *
 * The hub is what all netdev ports of a switch share: the rtnetlink watcher, the
 * journal, who holds which interface.  All functions: main thread. */
#ifndef TAP_NETDEV_H
#define TAP_NETDEV_H

#include <stdio.h>

#include "net/loop.h"
#include "switch/port.h"

struct hostsplit;
struct netdev_hub;

/* Restores first what a killed daemon left according to the journal in state_dir (lines
 * about it go to `log`, NULL for none).  An unusable state_dir is not an error: ports
 * that would change the host are down with that reason.  0 or -errno. */
int netdev_hub_new(struct sw *sw, struct loop *loop, const char *state_dir, FILE *log,
		   struct netdev_hub **ret_hub);
/* Restores what its ports changed; ports not deleted yet are dead after it.  Accepts NULL. */
void netdev_hub_free(struct netdev_hub *h);
/* Interfaces no pattern may take, because they are the daemon's own; those of its TAP ports
 * are known without.  Counted: as many unreserves as reserves. */
int netdev_hub_reserve(struct netdev_hub *h, const char *ifname); /* -ENOMEM */
void netdev_hub_unreserve(struct netdev_hub *h, const char *ifname);

enum netdev_host { NETDEV_HOST_UNSET, NETDEV_HOST_EXCLUDE, NETDEV_HOST_SHARE, NETDEV_HOST_NONE, NETDEV_HOST_SPLIT };

struct netdev_config {
	struct netdev_hub *hub;
	const char *interface; /* a name, or a glob of *, ? and [] */
	enum netdev_host host;
	const struct hostsplit *split; /* with NETDEV_HOST_SPLIT; copied */
	bool hidden; /* an uplink's: not in `port list` */
};

/* Strings of cfg are copied.  -EINVAL for an impossible name, else what sw_port_add()
 * returns. */
int netdev_open(struct sw *sw, struct loop *loop, const char *name, const struct netdev_config *cfg,
		const struct port_conf *conf, struct port **ret_port);

/* Another address, or other ports that are the host's, of a port with NETDEV_HOST_SPLIT. */
void netdev_set_split(struct port *p, const struct hostsplit *s);
/* Whether the interface has an IPv4 address, an IPv6 address other than link-local, or a
 * default route. */
bool netdev_carries_address(const char *ifname);

#endif
