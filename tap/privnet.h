/* A TCP of our own: the kernel's, in a network namespace that nobody else is in.
 *
 * The namespace has one interface, a TUN device with the given address, whose other end is an fd here:
 * what is written there (IPv4 packets, each behind a struct virtio_net_hdr) arrives at the kernel's
 * stack, and what it sends is read there.  A TCP socket listens at the address.  Both fds
 * keep the namespace alive; with the last of them it is gone, so that nothing can stay behind. It has no
 * route but to the prefix, no loopback, no IPv6, and nothing on the host leads into it.
 *
 * A child process makes it and sends the fds, as only a process of one thread may enter a user namespace,
 * which is what it takes without CAP_SYS_ADMIN.  The caller waits for it, some milliseconds.
 *
 * Main thread. */
#ifndef TAP_PRIVNET_H
#define TAP_PRIVNET_H

#include "net/addr.h"
#include "net/types.h"

struct privnet {
	int tun, listener; /* both non-blocking */
};

#define PRIVNET_BACKLOG 16

/* 0, or -errno with *ret_what saying what failed, as static text. */
int privnet_open(struct prefix4 address, uint32_t mtu, uint16_t port, struct privnet *ret_net, const char **ret_what);
void privnet_close(struct privnet *p);

#endif
