/* A guest's own network device, served by us: the vhost-user port.
 *
 * The hypervisor (the frontend) hands over the guest's memory and rings by a UNIX socket;
 * from then on frames move between guests' memory without it.  In role server we listen and
 * it dials; in role client it listens (QEMU: server=on,wait=off) and we dial again and again,
 * so that neither side's restart strands a guest.  One frontend at a time; another one is
 * refused, unless the first is already gone.
 *
 * Rings.  The guest's transmit ring q is the port's receive queue q, polled by a worker of
 * its own.  Its receive rings are sent to by any worker: each takes the running one of its own number
 * modulo how many run, under that ring's lock when there are several workers.
 * The link is up while any ring runs.
 *
 * Time-outs.  A frontend that leaves a message unfinished for 5 s, or has not said SET_OWNER
 * 30 s after it connected, is disconnected: it holds the only place.  After that it may be
 * silent for ever (QEMU is, while its guest has no driver).  One that does not read a reply
 * is disconnected at once; main waits for nobody.
 *
 * What ends a connection (its peer, a malformed message, a ring fault, memory taken away) is
 * kept for `port show` and logged, a few times a minute at most; everything the frontend had
 * given is let go, and the port waits for the next one.
 *
 * Main thread. */
#ifndef TAP_VHOST_USER_H
#define TAP_VHOST_USER_H

#include <sys/types.h>

#include "net/loop.h"
#include "switch/port.h"

struct vhost_user_config {
	const char *socket; /* a path */
	bool client;	    /* we dial */
	unsigned queues;    /* pairs, 1 to PORT_QUEUES_MAX */
	bool no_config;	    /* CONFIG is not offered */
	mode_t mode;	    /* of the socket file of a server; 0: 0660 */
	const char *group;  /* NULL: the process's */
	bool has_mac;
	struct mac mac; /* that guests are told */
};

/* Strings are copied.  What guests are told of the link is conf->mtu and admin_down.  -EINVAL,
 * -ENAMETOOLONG (path), -ENOMEM, as sw_port_add(). */
int vhost_user_open(struct sw *sw, struct loop *loop, const char *name,
		    const struct vhost_user_config *cfg, const struct port_conf *conf,
		    struct port **ret_port);

#endif
