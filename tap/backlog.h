/* Frames that wait for room at a peer that reads more slowly than they come.
 *
 * A 64 KB TSO frame from a TAP becomes some 45 frames for a guest on a socket, while the
 * kernel queues ten datagrams (net.unix.max_dgram_qlen) or 200 KB of a stream: what does
 * not fit is kept here, a copy in packet memory of ours, and sent when the peer has
 * read.  Nothing overtakes it.
 *
 * Limits: BACKLOG_FRAMES a peer, BACKLOG_PORT_FRAMES and BACKLOG_PORT_BIG over all peers
 * of a port (struct backlog_share), BACKLOG_PATIENCE without a frame leaving.  A peer
 * that took longer is deaf: its backlog is dropped and it gets none until it reads again.
 *
 * Counting: a frame kept is a frame sent; one that is lost after all is taken back with
 * port_tx_undo(), and of the pieces of one frame (PKT_MORE) only the last counts.
 * Worker thread; all zero but `share` is an empty backlog. */
#ifndef TAP_BACKLOG_H
#define TAP_BACKLOG_H

#include "switch/port.h"
#include "switch/worker.h"

#define BACKLOG_FRAMES	    64u	 /* one TSO frame and what comes beside it */
#define BACKLOG_PORT_FRAMES 512u /* an eighth of the switch's small slots by default */
#define BACKLOG_PORT_BIG    16u	 /* of them jumbo frames: a twelfth of its big ones */
#define BACKLOG_PATIENCE    (2 * NSEC_PER_SEC)

struct backlog_share {
	unsigned frames, big;
};

struct backlog {
	struct backlog_share *share;
	struct pkt *first, *last; /* pkt->tag is the tag to leave with */
	unsigned n;
	nsec_t moved; /* when the last one left, or the first one came */
	bool deaf;    /* the owner clears it when a send succeeds */
	bool broken;  /* a piece was refused: so is the rest of its frame */
};

/* Keeps what it has room for of v[0..n), in order; the rest gets drop = TX_FULL. */
void backlog_keep(struct backlog *b, struct port *p, struct worker *w, struct pkt_out *v,
		  unsigned n);
/* The oldest frames, to be sent; returns how many. */
unsigned backlog_peek(const struct backlog *b, struct pkt_out v[PKT_BURST]);
/* The oldest n, v[] from backlog_peek(), were sent, or lost where drop is set. */
void backlog_done(struct backlog *b, struct port *p, struct worker *w, const struct pkt_out *v,
		  unsigned n);
void backlog_drop(struct backlog *b, struct port *p, struct worker *w, enum drop_reason why);
/* Ends the patience with a deaf peer; returns when to call again (backlog_keep() has
 * set the port's tick for the first time), 0 when there is nothing to wait for. */
nsec_t backlog_tick(struct backlog *b, struct port *p, struct worker *w, nsec_t now);

#endif
