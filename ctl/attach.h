/* The exact text that starts a guest on a port: one writer for each pair of hypervisor and
 * port type that truly works, in a table.
 *
 * The text is used as it is printed by tests/guest/ (QEMU 7.2) and tests/netns/libvirt.sh
 * (libvirt 9.0, its schema and its QEMU driver) and tests/netns/attach.sh (LXC 5.0, podman 4.3 in
 * Docker's place, Xen's hotplug scripts, QEMU with Proxmox' arguments).  Those for
 * cloud-hypervisor, Firecracker and VirtualBox, which are not in Debian, are checked against what
 * they document.  libvirt has no element for UNIX datagram or stream sockets, so there it is an
 * interface of libvirt's own (which the switch takes as it appears), a pair of UDP addresses, or
 * vhost-user. */
#ifndef CTL_ATTACH_H
#define CTL_ATTACH_H

#include <jansson.h>
#include <stdio.h>

struct attach_text {
	const char *mac;
	const char *local; /* dgram: the path QEMU binds */
	json_t *port;	   /* the daemon's answer: port, type, socket, listen, peer, interface */
};

/* The type of port a hypervisor is given when none was asked for: "dgram", "tap". */
const char *attach_default_type(const char *hypervisor);
/* Writes the text.  -ENOTSUP when the pair does not work; then `why` says what does. */
int attach_print(FILE *out, const char *hypervisor, const struct attach_text *a, const char **why);

#endif
