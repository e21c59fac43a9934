/* Ethernet, IPv4 or IPv6, and UDP around a DNS message, for frames of our own and those of guests.
 *
 * Pure; a packet is taken from the pool given.  No fragments in either direction: what is
 * built always fits one packet (DNS_UDP_MAX). */
#ifndef DHCP_DNS_UDP_H
#define DHCP_DNS_UDP_H

#include "net/headers.h"
#include "net/pkt.h"

#define DNS_UDP_HEADERS (14u + 20u + 8u)
#define DNS_UDP_HEADERS6 (14u + 40u + 8u)
#define DNS_UDP_MAX	1472u /* of payload: an MTU of 1500 without its IPv4 and UDP headers */
_Static_assert(DNS_UDP_HEADERS6 + DNS_UDP_MAX <= PKT_HEAD_MAX, "all in the head");

struct dns_udp {
	struct mac src_mac, dst_mac;
	be32 src, dst; /* 0 when six */
	uint16_t sport, dport; /* host order */
	bool six;
	uint8_t src6[16], dst6[16];
};

/* Reads a frame's addresses and payload.  The payload's length, or -EBADMSG: not a whole UDP
 * datagram, a wrong checksum (one that is still to be finished is right), or longer
 * than max. */
int dns_udp_read(const struct pkt *k, struct dns_udp *ret_u, void *payload, size_t max);
/* A frame from src to dst with the message, its id replaced; NULL when the pool is empty or the
 * message is longer than DNS_UDP_MAX or shorter than an id. */
struct pkt *dns_udp_build(struct pkt_pool *pool, const struct dns_udp *u, const void *msg,
			  size_t len, uint16_t id);

#endif
