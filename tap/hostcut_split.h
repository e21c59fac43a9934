/* Which packets at a host's interface are ours when we share its address: two BPF programs, one
 * for our packet socket and one for the host's stack.
 *
 * Ours is, untagged, IPv4 and for the address:
 *   - TCP and UDP to a port of the range;
 *   - ICMP errors that quote a TCP or UDP packet from such a port.
 * These the host does not see: it would answer with RST or port unreachable.  Our socket gets
 * besides, as both have a use for them:
 *   - echo replies whose id is of the range, and errors about such echoes (ids cannot be reserved, and
 *     the host's own ping may have one; replies to nobody are not answered);
 *   - all fragments but first ones, which have no ports;
 *   - ARP replies.
 * Everything else is the host's alone, and our worker is not woken for it.  Ports of the
 * range in `except` are the host's: a socket of its had them when we came.
 *
 * The programs are assembled in hostcut_split.c, from one description.  Main thread. */
#ifndef TAP_HOSTCUT_SPLIT_H
#define TAP_HOSTCUT_SPLIT_H

#include <stddef.h>

#include "net/types.h"

#define HOSTSPLIT_EXCEPT_MAX 256u

struct hostsplit {
	be32 address; /* 0: nothing is ours */
	uint16_t first, last;
	uint16_t except[HOSTSPLIT_EXCEPT_MAX];
	unsigned n_except;
};

/* A program's fd, or -errno.  `name` is what bpftool shows. */
int hostsplit_load_socket(const char *name, const struct hostsplit *s); /* for SO_ATTACH_BPF */
int hostsplit_load_ingress(const char *name, const struct hostsplit *s); /* drops what is ours */

#endif
