/* One raw frame a UDP datagram, between two fixed addresses: QEMU's `dgram` over inet,
 * VirtualBox's UDPTunnel, GNS3.  No handshake: the port is up when its socket is bound.
 *
 * Only frames from the peer's address and port are received: the socket is connected, and
 * the kernel delivers to it what the peer sends and nothing else.  Anybody else's go to a second
 * socket on the same address, whose filter has the kernel drop them in the sender's own
 * time: they wake nobody, fill no queue of the peer's, and are counted as rx-stranger
 * from the kernel's number of drops, without their bytes.  What did not fit the peer's
 * queue is rx-overrun, counted likewise.
 *
 * Frames over 65507 bytes do not fit: tx-oversize.  No offloads.  Main thread. */
#ifndef TAP_UDP_H
#define TAP_UDP_H

#include "net/loop.h"
#include "switch/port.h"

struct udp_config {
	const char *listen, *peer; /* "127.0.0.1:20000", "[::1]:20001" */
};

/* Strings are copied.  -EINVAL when an address does not parse or the families differ.
 * A local address that is not there yet: down with the reason, tried again. */
int udp_open(struct sw *sw, struct loop *loop, const char *name, const struct udp_config *cfg,
	     const struct port_conf *conf, struct port **ret_port);

#endif
