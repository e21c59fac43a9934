/* The DHCPv4 server of one network (RFC 2131, 2132, 3442, 4039, 6842).
 *
 * A pure core and a thin skin.  dhcp_handle() takes the bytes of one message and the
 * time, changes the lease pool and returns the bytes of the answer and where to send
 * them; dhcp_receive() is the slow path's sink: it takes a frame the gateway was sent,
 * checks UDP, and puts the answer back on the switch.
 *
 * We are the only server of the network (its gateway says who serves it), hence
 * authoritative: a client that turns up with an address we did not give it gets a NAK
 * at once instead of the silence that RFC 2131 4.3.2 asks of one server among several.
 * Messages by way of a relay (giaddr) and BOOTP are ignored and counted.
 *
 * An ACK leaves only after its lease is on disk: dhcp_reply.commit says so, and
 * dhcp_receive() either syncs or, with lease_store_defer(), queues the frame until
 * the store's next sync, so that a burst of ACKs shares one.
 *
 * Main thread only.  Durations are seconds; now_s is clock_wall(). */
#ifndef DHCP_DHCP_SERVER_H
#define DHCP_DHCP_SERVER_H

#include "dhcp/dhcp_msg.h"
#include "dhcp/lease.h"
#include "net/pkt.h"

struct sw;
struct port;
struct dhcp_server;

#define DHCP_DNS_MAX	 4u
#define DHCP_WAITING_MAX 256u /* ACKs that wait for a sync; beyond: sync at once */

struct dhcp_option {
	uint8_t code;
	uint8_t len; /* 0: the option is never sent, not even our own value for it */
	uint8_t data[255];
};
struct dhcp_route { /* option 121 */
	struct prefix4 to;
	be32 via;
};

/* Everything is copied.  In brackets: what an empty value means. */
struct dhcp_conf {
	const char *network; /* the pool's name in the store; fixed at dhcp_server_new() */
	struct prefix4 subnet;
	be32 server_id; /* option 54 and the source of answers: the gateway */
	struct mac server_mac;
	be32 router;		/* option 3 [none] */
	be32 dns[DHCP_DNS_MAX]; /* option 6; loopback addresses are left out */
	size_t n_dns;
	const char *domain;	   /* option 15 [NULL: none] */
	const char *const *search; /* option 119: domain names */
	size_t n_search;
	const struct dhcp_route
		*routes; /* option 121, to those who ask; the default route is added */
	size_t n_routes;
	uint32_t mtu;		      /* option 26, when asked or not 1500 [1500] */
	uint32_t lease_s;	      /* [43200]; UINT32_MAX: for ever */
	be32 range_first, range_last; /* gateway, server_id and dns are never handed out */
	const struct lease_reservation *reservations;
	size_t n_reservations;
	uint32_t max_per_port; /* leases one switch port may hold [LEASE_PER_PORT] */
	bool rapid_commit;     /* RFC 4039: two messages instead of four, to those who ask */
	bool one_guest; /* whoever asks is the network's one guest, under whatever id or MAC: the
			 * same address for its boot ROM, its system, and the next one */
	const struct dhcp_option *options; /* go before our own values of the same code */
	size_t n_options;
	/* for dhcp_receive() only */
	struct sw *sw;
	struct port *gateway; /* the port that answers are sent into the network from */
};

/* X(field, "json-name", "sentence") */
#define DHCP_STATS(X)                                                                              \
	X(discover, "discover", "DHCPDISCOVER received")                                           \
	X(request, "request", "DHCPREQUEST received")                                              \
	X(decline, "decline", "DHCPDECLINE received")                                              \
	X(release, "release", "DHCPRELEASE received")                                              \
	X(inform, "inform", "DHCPINFORM received")                                                 \
	X(offer, "offer", "DHCPOFFER sent")                                                        \
	X(ack, "ack", "DHCPACK sent")                                                              \
	X(nak, "nak", "DHCPNAK sent")                                                              \
	X(malformed, "malformed", "messages that do not parse: svc-malformed")                    \
	X(contradictory, "contradictory", "messages whose fields RFC 2131 table 5 excludes")       \
	X(bootp, "bootp", "BOOTP requests, ignored")                                               \
	X(relayed, "relayed", "messages by way of a relay agent, ignored")                         \
	X(unsupported, "unsupported", "message types a server does not take")                      \
	X(other_server, "other-server", "requests that chose another server")                      \
	X(no_address, "no-address", "discovers unanswered: the range is used up")                  \
	X(port_limit, "port-limit", "messages unanswered: the port holds too many leases")         \
	X(foreign_port, "foreign-port",                                                            \
	  "releases and declines from a port that has not the lease")                              \
	X(unknown_lease, "unknown-lease", "releases and declines of no lease")                     \
	X(no_buffer, "no-buffer", "answers lost for want of a packet buffer")

struct dhcp_stats {
#define X(field, name, text) uint64_t field;
	DHCP_STATS(X)
#undef X
};

/* What surrounds a message. */
struct dhcp_request_ctx {
	const char *port;    /* ingress port's name; never NULL */
	port_idx port_index; /* for information */
	int64_t now_s;
};

struct dhcp_reply {
	uint8_t type; /* enum dhcp_type of the answer */
	bool commit;  /* may leave only after lease_store_sync() */
	be32 dst_ip;
	struct mac dst_mac; /* RFC 2131 4.1: chaddr or broadcast */
	size_t len;
	uint8_t bytes[DHCP_MSG_MAX]; /* from server_id:67 to dst_ip:68 */
};

/* NULL with errno: as dhcp_server_set_conf().  The store must outlive the server. */
struct dhcp_server *dhcp_server_new(struct lease_store *store, const struct dhcp_conf *conf);
/* Leases stay in the store; answers still waiting for a sync are dropped.  Accepts NULL. */
void dhcp_server_free(struct dhcp_server *s);
/* Live change; running leases stay.  -EINVAL (range, subnet, an option code that is the
 * protocol's own: dhcp_option_allowed()), -EEXIST (two reservations for one address or
 * client), -ENOMEM; the old conf stays then.  now_s as everywhere. */
int dhcp_server_set_conf(struct dhcp_server *s, const struct dhcp_conf *conf, int64_t now_s);
/* Whether `options:` may set this code.  Not 0, 50-55, 57-59, 61, 80, 82, 255. */
bool dhcp_option_allowed(uint8_t code);
struct lease_pool *dhcp_server_pool(struct dhcp_server *s);
const struct dhcp_stats *dhcp_server_stats(const struct dhcp_server *s);
/* Name and value of each counter, in the order above. */
void dhcp_stats_each(const struct dhcp_stats *st,
		     void (*fn)(void *arg, const char *name, uint64_t v), void *arg);

/* Handles the `len` bytes after the UDP header.  1: *ret_reply is to be sent; 0: no answer
 * is due; -EBADMSG: does not parse.  All are counted. */
int dhcp_handle(struct dhcp_server *s, const struct dhcp_request_ctx *ctx, const void *msg,
		size_t len, struct dhcp_reply *ret_reply);

/* A struct slow_sink's fn, with the server as its arg (dhcp_receive.c).  Takes k: an
 * IPv4/UDP frame to port 67, offsets valid. */
void dhcp_receive(void *server, struct pkt *k);

#endif
