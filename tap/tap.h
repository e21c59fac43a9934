/* A TAP interface of the host whose file descriptor the switch holds.
 *
 * The host (or the network namespace the interface is moved into: that is how a
 * container gets it) sees an ordinary interface; each read is one frame, a TSO super
 * frame of up to 64 KB included, and each write is one frame, with a 10-byte
 * virtio_net_hdr in front that says which checksums and segments are still to be made.
 * The interface is found by its fd alone once it exists, so renaming or moving it
 * harms nothing.  It disappears with the port.
 *
 * When the interface cannot be made now (the name is held by another process, no
 * /dev/net/tun, no permission) or is deleted from outside, the port is down with the
 * reason and tries again, 100 ms to 10 s apart.
 *
 * All functions: main thread. */
#ifndef TAP_TAP_H
#define TAP_TAP_H

#include "net/addr.h"
#include "net/loop.h"
#include "switch/port.h"

struct tap_config {
	const char *interface; /* at most 15 characters; NULL: the kernel picks vswN */
	uint32_t mtu;	       /* of the host's side; 0: the kernel's default */
	bool has_address;
	struct prefix4 address; /* of the host on it: 10.10.10.254/24 */
};

/* Strings of cfg are copied.  -EINVAL for an impossible interface name, else what
 * sw_port_add() returns. */
int tap_open(struct sw *sw, struct loop *loop, const char *name, const struct tap_config *cfg,
	     const struct port_conf *conf, struct port **ret_port);

/* Whether p is a TAP port whose interface is called ifname now (wherever it was moved). */
bool tap_holds(const struct port *p, const char *ifname);

#endif
