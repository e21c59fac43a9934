/* The life of a TCP connection as a NAT sees it: a const table (RFC 6146 3.5.2, which
 * gives the states; RFC 5382 REQ-5 and RFC 7857 2, which give the timers).
 *
 * The NAT does not follow windows.  It therefore never ends a session on a RST, which may
 * be forged or out of window: the session becomes `reset` with the transitory timer, and
 * whatever follows brings it back to `established` (RFC 7857 2.2).
 *
 * Pure; any thread. */
#ifndef NAT_TCP_TRACK_H
#define NAT_TCP_TRACK_H

#include "net/types.h"

enum tcp_state {
	TCPS_SYN_SENT,    /* SYN from inside only */
	TCPS_SYN_RCVD,    /* SYN from outside only */
	TCPS_ESTABLISHED, /* SYN from both sides, simultaneous open included (RFC 5382 REQ-2) */
	TCPS_FIN_INSIDE,  /* the inside has closed its half */
	TCPS_FIN_OUTSIDE,
	TCPS_CLOSING,     /* both have */
	TCPS_RESET,       /* a RST was seen */
	TCPS_COUNT
};
enum tcp_timer { TCPT_TRANSITORY, TCPT_ESTABLISHED };
enum tcp_side { TCP_FROM_INSIDE, TCP_FROM_OUTSIDE };

/* The state after a segment with these flags. */
enum tcp_state tcp_track(enum tcp_state s, enum tcp_side from, uint8_t flags);
enum tcp_timer tcp_track_timer(enum tcp_state s);
/* Whether segments from inside prolong the session in this state: not once it closes. */
bool tcp_track_refreshes(enum tcp_state s);
const char *tcp_track_name(enum tcp_state s);

#endif
