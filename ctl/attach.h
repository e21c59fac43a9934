/* The exact text that starts a guest on a port: one writer for each pair of hypervisor and
 * port type that truly works, in a table.
 *
 * What the text says was checked against QEMU 7.2 and libvirt 9.0 of Debian 12, but for
 * cloud-hypervisor, which is not in Debian.  libvirt has no element for UNIX datagram or
 * stream sockets, so there it is an interface of libvirt's own (which the switch takes as
 * it appears), a pair of UDP addresses, or vhost-user. */
#ifndef CTL_ATTACH_H
#define CTL_ATTACH_H

#include <jansson.h>
#include <stdio.h>

struct attach_text {
	const char *mac;
	const char *local; /* dgram: the path QEMU binds */
	json_t *port;      /* the daemon's answer: type, socket, listen, peer, interface */
};

/* The type of port a hypervisor is given when none was asked for: "dgram", "tap". */
const char *attach_default_type(const char *hypervisor);
/* Writes the text.  -ENOTSUP when the pair does not work; then `why` says what does. */
int attach_print(FILE *out, const char *hypervisor, const struct attach_text *a, const char **why);

#endif
