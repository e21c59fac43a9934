/* A DHCPv4 client (RFC 2131 4.4) for an uplink's address.
 *
 * Pure: it is told the time and what arrived, and says what to send, when to be called
 * again, and what became of the lease.  Frames are ctl/uplinks.c's.
 *
 *	INIT ----> SELECTING -> REQUESTING -> BOUND -> RENEWING -> REBINDING
 *	  ^            ^  NAK, no answer |      ^  ACK    |             |  NAK, end of lease
 *	  |            '-----------------'      '---------+-------------+--------> INIT
 *	REBOOTING (a lease is remembered, or the cable came back): ACK -> BOUND, else INIT
 *
 * The transaction id is random for each exchange; answers count only with it, with our
 * hardware address, and, once a server is chosen, from that server (4.4.1, 4.4.5).
 * Repetitions back off from 4 to 64 s, each shifted by up to a second (4.1).  Of the
 * offers the first is taken: one that waits for better ones makes every start slower.
 * No ARP probe precedes the use of an address (2.2 asks for it by SHOULD): servers
 * probe as well, and the wait would be that of each fail-over; so nothing is ever declined.
 *
 * Main thread. */
#ifndef DHCP_DHCP_CLIENT_H
#define DHCP_DHCP_CLIENT_H

#include "dhcp/dhcp_msg.h"
#include "net/addr.h"

#define DHCP_CLIENT_ROUTES  16 /* further ones of a server are not taken */
#define DHCP_CLIENT_FOREVER UINT32_MAX

struct dhcp_client_route {
	struct prefix4 to;
	be32 via; /* 0: on-link (RFC 3442) */
};

struct dhcp_client_lease {
	struct prefix4 address;
	be32 gateway; /* 0: none */
	be32 server;
	uint32_t mtu; /* 0: not said */
	uint32_t lease_s, t1_s, t2_s;
	struct dhcp_client_route route[DHCP_CLIENT_ROUTES];
	unsigned n_routes; /* beside the default route */
};

enum dhcp_client_state {
	DHCP_CLIENT_INIT,
	DHCP_CLIENT_SELECTING,
	DHCP_CLIENT_REQUESTING,
	DHCP_CLIENT_REBOOTING,
	DHCP_CLIENT_BOUND,
	DHCP_CLIENT_RENEWING,
	DHCP_CLIENT_REBINDING,
	DHCP_CLIENT_STATES
};

enum dhcp_client_event {
	DHCP_CLIENT_NOTHING,
	DHCP_CLIENT_LEASED,  /* a lease, or one with other contents */
	DHCP_CLIENT_RENEWED, /* the same for longer */
	DHCP_CLIENT_LOST,    /* its address must not be used any more */
};

struct dhcp_client {
	struct mac mac;
	char hostname[64]; /* empty: none is sent */
	enum dhcp_client_state state;
	struct dhcp_client_lease lease; /* valid when has_lease */
	bool has_lease;
	be32 wanted; /* remembered or offered; 0: none */
	be32 server; /* chosen */
	uint32_t xid;
	uint64_t random;
	unsigned tries, naks;
	nsec_t started, asked; /* this acquisition; the first request of this exchange */
	nsec_t at;	       /* when to be called; 0: never */
	nsec_t t1, t2, end;    /* of the lease; 0: never */
	struct {
		uint64_t sent, renewals, naks, lost, ignored, malformed;
	} stats;
};

/* What a call wants done. */
struct dhcp_client_out {
	enum dhcp_client_event event;
	size_t len; /* 0: nothing is sent */
	be32 src, dst;
	uint8_t bytes[DHCP_MSG_MAX];
};

/* remembered: an address of before (REBOOTING), or 0.  Call tick at c->at (now). */
void dhcp_client_init(struct dhcp_client *c, struct mac mac, const char *hostname,
		      be32 remembered, uint64_t seed, nsec_t now);
/* What is due.  c->at says when to come again. */
void dhcp_client_tick(struct dhcp_client *c, nsec_t now, struct dhcp_client_out *ret_out);
/* A UDP payload for port 68.  -EBADMSG: not a DHCP answer; -ENOMSG: not for us, or not now. */
int dhcp_client_input(struct dhcp_client *c, nsec_t now, const void *bytes, size_t len,
		      struct dhcp_client_out *ret_out);
/* The cable came back: is the lease still good here?  It is used meanwhile (3.2). */
void dhcp_client_link_up(struct dhcp_client *c, nsec_t now);
/* Gives the lease back (4.4.6); the client is in INIT then, and asleep. */
void dhcp_client_release(struct dhcp_client *c, struct dhcp_client_out *ret_out);
/* "bound" */
const char *dhcp_client_state_name(enum dhcp_client_state s);

#endif
