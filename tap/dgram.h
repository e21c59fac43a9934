/* One AF_UNIX datagram socket that serves any number of guests: a raw frame a datagram.
 *
 * QEMU's `-netdev dgram` binds a path of its own and sends to ours; the sender's path
 * tells the guests apart.  Each is a member port, made at its first frame, named after
 * the last component of its path, and ended when its socket has refused us for a while
 * (a QEMU that restarts and binds the same path goes on where it was).  After a restart
 * of the switch guests carry on without action, because datagrams need no connection.
 *
 * A guest that reads slowly has a backlog (tap/backlog.h) behind the kernel's queue of
 * net.unix.max_dgram_qlen datagrams; beyond it is dropped to (tx-full).  For a guest
 * that has connected its socket to ours the kernel has no such bound: it has a share of
 * 2 MB of the kernel's memory with all of its kind on this socket, and no backlog.
 *
 * A sender without a path (unnamed, abstract, relative) cannot be answered: its frames
 * are dropped with rx-bad-peer.  No offloads: frames are complete on this wire.
 * Main thread. */
#ifndef TAP_DGRAM_H
#define TAP_DGRAM_H

#include <sys/types.h>

#include "net/loop.h"
#include "switch/port.h"

#define DGRAM_MEMBERS_DEFAULT 1024u

struct dgram_config {
	const char *path;
	mode_t mode;	   /* of the socket file; 0: 0660 */
	const char *group; /* NULL: the process's */
	unsigned members;  /* most guests at a time; 0: DGRAM_MEMBERS_DEFAULT */
};

/* A stale socket file is replaced; a live one, or a file that is no socket, never: the port is
 * then down with the reason and tries again every few seconds.  Strings are copied.
 * -ENAMETOOLONG for a path that does not fit sun_path. */
int dgram_open(struct sw *sw, struct loop *loop, const char *name, const struct dgram_config *cfg,
	       const struct port_conf *conf, struct port **ret_port);

#endif
