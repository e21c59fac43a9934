/* The TCP state table of nat/flow.h's sessions; see the header. */
#include "nat/tcp_track.h"

#include "net/headers.h"

enum event { EV_DATA, EV_SYN, EV_FIN, EV_RST, EV_COUNT };

#define SENT TCPS_SYN_SENT
#define RCVD TCPS_SYN_RCVD
#define EST TCPS_ESTABLISHED
#define FINI TCPS_FIN_INSIDE
#define FINO TCPS_FIN_OUTSIDE
#define CLOS TCPS_CLOSING
#define RST TCPS_RESET

/* A SYN in a closing or reset session is a new connection on the old ports. */
static const uint8_t next[TCPS_COUNT][2][EV_COUNT] = {
	/*                      from inside              from outside            */
	/*                      data  SYN   FIN   RST    data  SYN   FIN   RST   */
	[TCPS_SYN_SENT] =    { {SENT, SENT, SENT, RST}, {SENT, EST,  SENT, RST} },
	[TCPS_SYN_RCVD] =    { {RCVD, EST,  RCVD, RST}, {RCVD, RCVD, RCVD, RST} },
	[TCPS_ESTABLISHED] = { {EST,  EST,  FINI, RST}, {EST,  EST,  FINO, RST} },
	[TCPS_FIN_INSIDE] =  { {FINI, FINI, FINI, RST}, {FINI, FINI, CLOS, RST} },
	[TCPS_FIN_OUTSIDE] = { {FINO, FINO, CLOS, RST}, {FINO, FINO, FINO, RST} },
	[TCPS_CLOSING] =     { {CLOS, SENT, CLOS, CLOS}, {CLOS, RCVD, CLOS, CLOS} },
	[TCPS_RESET] =       { {EST,  SENT, EST,  RST}, {EST,  RCVD, EST,  RST} },
};

static const struct {
	const char *name;
	enum tcp_timer timer;
	bool refreshes;
} states[] = {
	[TCPS_SYN_SENT] = {"syn-sent", TCPT_TRANSITORY, true},
	[TCPS_SYN_RCVD] = {"syn-received", TCPT_TRANSITORY, true},
	[TCPS_ESTABLISHED] = {"established", TCPT_ESTABLISHED, true},
	/* a half-closed connection may carry data for long: RFC 6146 keeps the long timer */
	[TCPS_FIN_INSIDE] = {"fin-inside", TCPT_ESTABLISHED, true},
	[TCPS_FIN_OUTSIDE] = {"fin-outside", TCPT_ESTABLISHED, true},
	[TCPS_CLOSING] = {"closing", TCPT_TRANSITORY, false},
	[TCPS_RESET] = {"reset", TCPT_TRANSITORY, false},
};
_Static_assert(ARRAY_SIZE(states) == TCPS_COUNT, "every state has a row");

static enum event classify(uint8_t flags)
{
	if (flags & TCP_RST)
		return EV_RST;
	if (flags & TCP_SYN)
		return EV_SYN;
	return flags & TCP_FIN ? EV_FIN : EV_DATA;
}

enum tcp_state tcp_track(enum tcp_state s, enum tcp_side from, uint8_t flags)
{
	return next[s][from][classify(flags)];
}

enum tcp_timer tcp_track_timer(enum tcp_state s)
{
	return states[s].timer;
}

bool tcp_track_refreshes(enum tcp_state s)
{
	return states[s].refreshes;
}

const char *tcp_track_name(enum tcp_state s)
{
	return states[s].name;
}
