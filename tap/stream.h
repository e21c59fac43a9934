/* A byte stream that carries frames, each after its length: QEMU's `stream` and
 * `socket` netdevs, libvirt's server/client, passt, socket_vmnet (tap/stream_frame.h).
 *
 * Listening, the port serves one peer at a time; another connection is accepted and
 * closed at once.  Connecting, it dials again after 100 ms to 2 s whenever the
 * connection is lost: with QEMU 7.2, which cannot reconnect, the switch is the side
 * that should dial.  A peer that reads slowly has a backlog (tap/backlog.h) behind the
 * kernel's buffer; beyond it is dropped to (tx-full).  One that announces an impossible
 * length is disconnected (rx-oversize).
 *
 * An address is a path (it contains a '/') or HOST:PORT with numeric IPv4 or [IPv6].
 * Main thread. */
#ifndef TAP_STREAM_H
#define TAP_STREAM_H

#include <sys/types.h>

#include "net/loop.h"
#include "switch/port.h"

struct stream_config {
	const char *listen, *connect; /* exactly one */
	mode_t mode;		      /* of a listening socket file; 0: 0660 */
	const char *group;	      /* NULL: the process's */
};

/* Strings are copied.  -EINVAL when the address does not parse. */
int stream_open(struct sw *sw, struct loop *loop, const char *name, const struct stream_config *cfg,
		const struct port_conf *conf, struct port **ret_port);

#endif
