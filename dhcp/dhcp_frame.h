/* Ethernet, IPv4 and UDP around a DHCP message: for the server (dhcp_receive.c) and for the client of an
 * uplink.  Not for DNS, whose frames have any ports and get a new id (dns_udp.h).
 *
 * Pure; a packet is taken from the pool given. */
#ifndef DHCP_DHCP_FRAME_H
#define DHCP_DHCP_FRAME_H

#include "dhcp/dhcp_msg.h"
#include "net/pkt.h"

struct dhcp_frame {
	struct mac src_mac, dst_mac;
	be32 src, dst;
	uint16_t sport, dport; /* host order */
};
/* NULL when the pool is empty.  len: at most DHCP_MSG_MAX. */
struct pkt *dhcp_frame_build(struct pkt_pool *pool, const struct dhcp_frame *f, const void *msg, size_t len);
/* The bytes after the UDP header of a frame to `dport`, copied: it may be in pieces.  0 when it is no
 * whole datagram to there or its checksum is wrong; one that is still to be finished has
 * crossed no wire yet and is right. */
size_t dhcp_frame_read(const struct pkt *k, uint16_t dport, uint8_t msg[DHCP_MSG_MAX]);

#endif
