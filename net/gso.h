/* Finishing offloads in software: the one segmenter and the one checksum finisher.
 *
 * Used on the way out of a port that cannot take what the packet still needs.
 * The input is left as it is; outputs are packets of their own. */
#ifndef NET_GSO_H
#define NET_GSO_H

#include "net/pkt.h"

/* The largest number of segments one frame can have: 65535 bytes at the smallest MSS
 * we take from a guest. */
#define GSO_MIN_SIZE 88u /* Linux refuses smaller ones too (tcp_min_snd_mss neighbourhood) */
#define GSO_MAX_SEGS 768u

/* Finishes `k`, which is parsed (PKT_PARSED), for a port with capabilities `caps` (enum
 * pkt_offload).
 * Puts up to `max` new packets into out and returns their number; 0 with *ret_drop
 * set when the frame's offload fields contradict its headers (TX_SPLIT), when there
 * are more than max (TX_SPLIT) or when the pool is empty (TX_NO_BUFFER); nothing is
 * leaked then.  Each output carries only offloads that are in caps.
 * TCP (RFC 9293): sequence numbers advance, FIN/PSH only on the last, CWR only on
 * the first, IPv4 ids count up.  UDP (USO): one datagram each. */
unsigned gso_finish(struct pkt_pool *pool, const struct pkt *k, unsigned caps, struct pkt **out,
		    unsigned max, enum drop_reason *ret_drop);
/* Completes a pending checksum in place (k private, CSUM pending, no GSO). */
void gso_finish_csum(struct pkt *k);

#endif
