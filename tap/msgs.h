/* Whole frames through recvmmsg(2) and sendmmsg(2), for the ports whose socket keeps
 * frame boundaries: netdev, dgram, udp.
 *
 * Receiving: each message gets a packet with room for the largest frame (head, then a
 * big buffer that is given back at once when the frame fits the head), so nothing is
 * copied and nothing can be cut off.  The number asked for follows what came last:
 * large frames are taken few at a time so that they are still in the cache when they
 * are sent, and a call that got less than it asked for means the queue is empty, which
 * saves the call that would only say EAGAIN.
 *
 * Sending: a burst is one system call.  Worker thread; no state but struct msgs_rx. */
#ifndef TAP_MSGS_H
#define TAP_MSGS_H

#include <sys/socket.h>
#include <sys/un.h>

#include "switch/port.h"
#include "switch/worker.h"

struct msgs_rx {
	bool vnet;    /* a virtio_net_hdr stands in front of each frame */
	bool names;   /* accept() wants the sender's address */
	bool control; /* accept() wants control messages */
	/* Completes a packet (tag, in_port) from its message, or gives the reason to
	 * refuse it; msg_namelen and msg_controllen are as received.  May be NULL. */
	enum drop_reason (*accept)(struct port *p, struct worker *w, struct pkt *k,
				   struct msghdr *m);
	/* -- its own; zero at start -- */
	unsigned want;
	bool dry;
};

/* One rx_burst of the port contract.  *ret_errno gets 0, or why the socket failed
 * (EAGAIN does not count). */
unsigned msgs_rx_burst(struct msgs_rx *r, int fd, struct port *p, struct worker *w,
		       struct pkt **out, unsigned max, int *ret_errno);

/* Sends v[] through fd, to `name` when it is not NULL.  Sets drop for what was not
 * sent.  Returns 0 or the errno that ended the burst. */
int msgs_tx_burst(int fd, bool vnet, const struct sockaddr *name, socklen_t name_len,
		  struct pkt_out *v, unsigned n);

/* The drop reason for a failed send. */
enum drop_reason msgs_tx_drop(int err);

/* The virtio_net_hdr to send `k` with when `tag` goes back into the frame: offsets move
 * by the tag's four bytes. */
struct virtio_net_hdr msgs_vnet(const struct pkt *k, struct vlan_tag tag);

#endif
