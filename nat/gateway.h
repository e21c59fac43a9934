/* The NAT appliance, as the rest of the daemon sees it: gateways, uplinks, forwards.
 *
 * A gateway is the port through which a network's domain meets the world: it answers
 * ARP and ICMP for its address, hands DHCP and DNS to the services on the main thread,
 * and translates the rest (NAPT) to the address of its uplink.  An uplink is a hidden
 * domain with our outside port in it; whoever carries the frames to the world (a netdev
 * port, the libslirp port) is another port of that domain, so the outside is always
 * Ethernet with ARP.
 *
 *	guest port --- domain of "lab" --- gw/lab === uplink/wan --- hidden domain --- netdev port
 *
 * Modes.  A gateway translates (NAT), or routes between routed networks and out of its uplink, or
 * forwards nothing (host-only).  It may stand in further domains (gateway_leg_add) whose guests
 * have the same addresses and do not meet: an appliance for each.  An uplink may be a
 * host of one of the switch's own networks in place of a hidden domain.
 *
 * Translation (RFC 4787, 5382, 5508).  A mapping (domain, protocol, inside ip:port) has
 * one outside port of its uplink, whoever the remote is; it owns sessions, one for each
 * remote.  Everything is keyed by domain, so that networks may overlap.  Outside ports
 * are random, of equal parity for UDP, and belong to one mapping per protocol.
 *
 * Limits.  Tables are sized once (struct nat_limits) and take memory only as they fill.
 * A guest, that is an inside address of a domain, has at most sessions_per_guest
 * sessions, and as many mappings, outside ports and new sessions a second as its network
 * says; when the table is full the guest with most sessions loses its oldest one.
 * Packets that wait for ARP, fragments that are followed and ICMP errors that are sent
 * are bounded as well.
 *
 * IPv6.  A gateway with an address of it answers neighbour discovery, echo and DNS there.  Routed ones
 * route it as they do IPv4; in mode nat it leaves under another prefix where conf.npt says so, else not at
 * all (GW_NO_ROUTE).  Either may be behind a stateful filter (GW_UNSOLICITED).
 *
 * After a restart of the daemon TCP connections of before are unknown: a segment from
 * inside without SYN is dropped (NAT_NOT_SYN) and answered with RST, so that the guest
 * notices at once (RFC 7857 leaves this to the NAT).
 *
 * Threads.  All functions here are for the main thread unless they say otherwise; the
 * state is worker 0's and is reached through worker_call().  Nothing locks.  Clock: the
 * worker's. */
#ifndef NAT_GATEWAY_H
#define NAT_GATEWAY_H

#include "net/addr.h"
#include "net/pkt.h"
#include "net/types.h"
#include "switch/worker.h"

struct sw;
struct port;
struct nat;
struct gateway;
struct uplink;

#define NAT_NAME_MAX 64 /* of a network or an uplink, with the terminating zero */

/* ---- the translator ---- */

struct nat_limits {
	uint32_t max_sessions; /* 0 = 65536; also bounds mappings and guests */
};
/* NULL with errno.  One for each switch. */
struct nat *nat_new(struct sw *sw, const struct nat_limits *limits);
/* After every gateway and uplink is gone (the rest is freed with it); accepts NULL. */
void nat_free(struct nat *n);

/* ---- routes ---- */

struct route4 { /* static: what lies behind a router of the subnet */
	struct prefix4 to; /* without host bits */
	be32 via;
};
struct route6 {
	struct prefix6 to;
	uint8_t via[16];
};
#define ROUTES_MAX 64u /* of one gateway or uplink, of each family */

/* ---- uplinks ---- */

struct uplink_conf {
	char name[NAT_NAME_MAX];
	struct mac mac;         /* ours on the outside */
	struct prefix4 address; /* ours, with the length of the subnet that is on-link; 0/0: none yet */
	be32 gateway;           /* next hop for all else; 0 = on-link only */
	uint32_t mtu;           /* 0 = 1500 */
	struct route4 routes[ROUTES_MAX]; /* beside `gateway`; the longest wins */
	unsigned n_routes;
	/* IPv6, likewise; len 0: none.  The link-local address is made of mac, and gateway6 may be one. */
	struct prefix6 address6;
	uint8_t gateway6[16];
	struct route6 routes6[ROUTES_MAX];
	unsigned n_routes6;
	/* MAC and address are the host's as well, which answers for itself: no ARP, no echo of ours. */
	bool shared;
	uint16_t port_first, port_last; /* outside ports it may give; 0, 0 = all but well-known ones */
	/* It joins this domain, a network's of the switch, and makes none of its own; whoever
	 * carries its frames is there already.  Not changed by uplink_set_conf(). */
	bool in_network;
	domain_idx network;
	/* The listening addresses of forwards are the host's, and a proxy (libslirp) brings
	 * what comes there to our address, same port: any listen address is accepted. */
	bool proxied;
};
/* Makes the hidden domain and the port "uplink/NAME", announces the address by gratuitous
 * ARP a second later, when whoever carries it is there.  conf is copied.  -EEXIST, -ENOSPC, -ENOMEM. */
int uplink_new(struct nat *n, const struct uplink_conf *conf, struct uplink **ret_uplink);
/* Live change; sessions are kept unless the address changes, forwards stay.  The name does
 * not change.  -ENOSPC when a new MAC address cannot be entered into the FDB. */
int uplink_set_conf(struct uplink *u, const struct uplink_conf *conf);
/* Its gateways lose their uplink and their sessions; the domain goes.  Delete the other ports of
 * the domain first.  Accepts NULL. */
void uplink_free(struct uplink *u);
domain_idx uplink_domain(const struct uplink *u); /* where the carrying port belongs */
struct port *uplink_port(const struct uplink *u);
const struct uplink_conf *uplink_get_conf(const struct uplink *u);
/* Where UDP to port 68 goes that comes in there, to our MAC or to all: a DHCP client's.  NULL: none. */
void uplink_set_dhcp_sink(struct uplink *u, struct slow_sink *sink);
/* Asks the next hop for its MAC address, everybody (`all`) or where it was last.  When it last answered, by the
 * worker's clock; 0: not since the last change of address or link. */
nsec_t uplink_probe(struct uplink *u, bool all);
/* Outside ports, at most UPLINK_KEEP_MAX, that no mapping may have, in place of those of before. */
#define UPLINK_KEEP_MAX 256u
void uplink_keep_ports(struct uplink *u, const uint16_t *ports, unsigned n);
/* The carrying port (re)started: announce the address again, resolve the next hop anew. */
void uplink_link_up(struct uplink *u);

/* ---- gateways ---- */

enum gateway_filtering { /* RFC 4787 5; same order as ctl's enum nat_filtering */
	GATEWAY_FILTER_ENDPOINT_INDEPENDENT,
	GATEWAY_FILTER_ADDRESS_DEPENDENT,
	GATEWAY_FILTER_ADDRESS_AND_PORT_DEPENDENT,
};
enum gateway_mode {
	GATEWAY_NAT,
	GATEWAY_ROUTED,    /* forwards between networks of this mode and its uplink, untranslated */
	GATEWAY_HOST_ONLY, /* forwards nothing: ICMP "administratively prohibited" */
};
enum gateway_flags {
	GATEWAY_SERVE_DHCP = 1 << 0, /* else SVC_OFF */
	GATEWAY_SERVE_DNS = 1 << 1,
};
struct gateway_conf {
	char network[NAT_NAME_MAX];
	struct mac mac;
	struct prefix4 address; /* the gateway's address and the subnet's length */
	struct prefix6 address6; /* likewise, a /64; len 0 = no IPv6 */
	be32 dns_address;       /* may be equal to address.addr; 0 = none of its own */
	uint32_t mtu;           /* of the network; 0 = 1500 */
	enum gateway_mode mode;
	struct route4 routes[ROUTES_MAX]; /* (routed) */
	unsigned n_routes;
	struct route6 routes6[ROUTES_MAX];
	unsigned n_routes6;
	/* Further legs have their guests under the same addresses: none of them is routed to. */
	bool alike;
	unsigned flags;         /* enum gateway_flags */
	enum gateway_filtering filtering;
	/* seconds; 0 = 300, 7440, 240, 60 (RFC 4787 REQ-5, RFC 5382 REQ-5, RFC 5508 REQ-2) */
	uint32_t udp_timeout_s, tcp_established_s, tcp_transitory_s, icmp_timeout_s;
	/* (nat) its /64 is this prefix outside (nat/npt.h), which routers there send to the uplink's address;
	 * len 0: its IPv6 ends here */
	struct prefix6 npt;
	bool filter6;                /* (routed, npt) IPv6 comes in only where it was asked for: nat/filter6.h */
	uint32_t sessions_per_guest; /* 0 = 4096 */
	/* 0 = no limit of its own; the rate may come as a burst of one second's worth */
	uint32_t mappings_per_guest, ports_per_guest, new_sessions_per_s;
	unsigned algs; /* enum alg_flags (nat/alg.h) */
	uint16_t port_block; /* ports come in runs of so many (RFC 7422); 0 = singly */
};
/* Makes the port "gw/NETWORK" in domain d, with a static FDB entry for its MAC.  conf is
 * copied.  -EEXIST, -ENOSPC, -ENOMEM. */
int gateway_new(struct nat *n, domain_idx d, const struct gateway_conf *conf,
		struct gateway **ret_gateway);
/* Live change: timers, filtering, limits and services touch no session; another address
 * or prefix flushes them.  The network's name in listings follows, the port's does not. */
int gateway_set_conf(struct gateway *g, const struct gateway_conf *conf);
/* One more domain that the gateway serves, in its port's name and under its addresses; guests of
 * different ones do not meet.  -ENOMEM, -EEXIST, -ENOSPC (its MAC in the FDB). */
int gateway_leg_add(struct gateway *g, domain_idx d);
/* Its sessions end, its forwards wait for it to come back; fine when there is none. */
void gateway_leg_del(struct gateway *g, domain_idx d);
void gateway_free(struct gateway *g); /* its sessions, forwards and port; accepts NULL */
const struct gateway_conf *gateway_get_conf(const struct gateway *g);
struct port *gateway_port(const struct gateway *g);
domain_idx gateway_domain(const struct gateway *g);
struct uplink *gateway_uplink(const struct gateway *g); /* NULL when it has none */

/* Where routed traffic leaves; NULL: nowhere (GW_NO_ROUTE).  A change flushes the sessions and
 * moves the forwards.  -EADDRINUSE when a forward's port is taken at the new uplink: then
 * nothing changes; owner (may be NULL, else NAT_NAME_MAX bytes) gets the network that has it. */
int gateway_set_uplink(struct gateway *g, struct uplink *u, char *ret_owner);

/* Services.  The sink's function runs on the main thread and owns the packet: a whole
 * frame, parsed, from a guest to UDP port 67 or 53 of the gateway (or broadcast), DNS over IPv6 as well;
 * for GATEWAY_RA a router solicitation, for GATEWAY_PORTCTL what comes to port 5351, for
 * GATEWAY_SSDP to port 1900 (also of 239.255.255.250), for GATEWAY_HTTP to TCP port 5000 of the
 * gateway's address in its first domain, whose owner has a TCP and answers by gateway_send_in().  Answers are
 * built as frames and sent with sw_slow_down(gateway_port(g), gateway_domain(g), k).
 * sink must live until it is replaced; NULL = none (DHCP and DNS: SVC_OFF; others: a closed port). */
enum gateway_service {
	GATEWAY_DHCP,
	GATEWAY_DNS,
	GATEWAY_RA,
	GATEWAY_PORTCTL,
	GATEWAY_SSDP,
	GATEWAY_HTTP,
	GATEWAY_SERVICES
};
void gateway_set_sink(struct gateway *g, enum gateway_service s, struct slow_sink *sink);
/* TCP/53 at the gateway's and the DNS address is translated to this server through
 * the uplink; 0 = refused with RST. */
void gateway_set_dns_upstream(struct gateway *g, be32 addr);

/* UDP of services that leaves through the uplink.  Datagrams that come back to `port` of the
 * gateway's address (translated, whole frames, parsed) go to sink; port 0 = to any port
 * that has no sink of its own, for services that choose a new port for each question.  NULL
 * closes it; the same sink again is fine.  Such sessions live GATEWAY_LOCAL_TIMEOUT_S and are not
 * limited as a guest's are.  -EADDRINUSE, -ENOSPC beyond GATEWAY_SOCKETS. */
#define GATEWAY_LOCAL_TIMEOUT_S 10u
#define GATEWAY_SOCKETS 8
int gateway_udp_socket(struct gateway *g, uint16_t port, struct slow_sink *sink);
/* Sends a frame with an IPv4 UDP packet from the gateway's address and such a port, through the
 * uplink as if it came from inside.  Takes k (from sw_main_pool(); the Ethernet header's
 * addresses are filled in).  Lost frames are counted at the gateway's port. */
void gateway_send(struct gateway *g, struct pkt *k);
/* Sends a frame with an IPv4 packet from the gateway's address to a guest of its first domain.  Takes k, as
 * above. */
void gateway_send_in(struct gateway *g, struct pkt *k);

/* ---- forwards ---- */

struct nat_forward {
	uint8_t proto;  /* 6 or 17 */
	be32 listen;    /* 0 = the uplink's address */
	uint16_t listen_port; /* host order */
	be32 to;
	uint16_t to_port;
	bool in_leg;       /* `to` is in this domain of the gateway's, and not in its first */
	domain_idx domain;
	uint8_t by; /* 0: people; else the enum portctl_protocols that the guest at `to` asked by */
};
#define NAT_FORWARDS_MAX 4096 /* of one gateway, by people */
#define NAT_GRANTS_MAX 1024   /* and by guests */
/* -EADDRINUSE: the port is a forward's of network *ret_owner (NAT_NAME_MAX bytes, may be
 * NULL); a guest's mapping that happens to have the port gives way.  -EADDRNOTAVAIL: listen
 * is not the uplink's address.  -EINVAL, -ENOSPC, -ENOMEM.  Without an uplink the forward waits for
 * one. */
int nat_forward_add(struct gateway *g, const struct nat_forward *f, char *ret_owner);
/* Likewise for a guest, at the uplink's address, and without harm to anyone: no port that somebody
 * has, that is held or in a block, none below 1024 or outside the uplink's range.
 * f->listen_port is the port it would like, 0 for any; *ret_port is what it got: rather the one by which
 * packets from f->to leave already, whose sessions are then the grant's.  exactly: that wish or none.
 * -EADDRINUSE, -ENOSPC (no port, or NAT_GRANTS_MAX), -ENETDOWN (no uplink, or no address there), -EPERM
 * (the address outside is the host's: proxied), -EINVAL, -ENOMEM. */
int nat_forward_grant(struct gateway *g, const struct nat_forward *f, bool exactly, uint16_t *ret_port);
/* By proto, listen and listen_port.  Nothing new comes in; its sessions go on until they end.
 * -ENOENT. */
int nat_forward_del(struct gateway *g, const struct nat_forward *f);
/* Ends the sessions of such a forward, and those that deleted ones of this place have left.
 * Returns how many. */
size_t nat_forward_kill(struct gateway *g, const struct nat_forward *f);
/* All of a gateway, in order of adding: fn on the main thread. */
void nat_forward_list(struct gateway *g, void (*fn)(void *arg, const struct nat_forward *f),
		      void *arg);

/* ---- looking and cleaning ---- */

struct nat_row {
	char network[NAT_NAME_MAX];
	domain_idx domain;
	port_idx port; /* where the guest was last seen; PORT_NONE when not known */
	uint8_t proto;
	be32 inside, outside, remote;
	uint16_t inside_port, outside_port, remote_port; /* host order; ICMP: the id, remote 0 */
	const char *state;                               /* "established", "udp", ...: static text */
	bool forwarded; /* by a forward, ... */
	uint8_t by;     /* ... whose: see struct nat_forward */
	uint32_t expires_s;
};
/* All sessions; g NULL = of every gateway.  *ret_rows is malloc'ed, the caller's.  -ENOMEM. */
int nat_list(struct nat *n, struct gateway *g, struct nat_row **ret_rows, size_t *ret_n);
/* Ends sessions: those of g (NULL = all).  Returns how many. */
size_t nat_flush(struct nat *n, struct gateway *g);
/* Ends the sessions that match: fields that are 0 match all. */
struct nat_match {
	uint8_t proto;
	be32 inside, remote;
	uint16_t inside_port, remote_port; /* host order */
};
size_t nat_kill(struct nat *n, struct gateway *g, const struct nat_match *m);

struct nat_stats {
	uint32_t sessions, mappings, guests, neighbours;
	uint32_t flows6; /* of the filter of IPv6 */
	uint64_t created, expired, evicted; /* sessions, ever */
	uint64_t ports_gave_way;            /* held ports that another guest got before their time */
	uint64_t alg_translated, alg_left;  /* FTP commands; those that named another's address, or too much */
	uint64_t icmp_sent, icmp_held;      /* ICMP errors and RSTs of our own; held by the rate limit */
};
void nat_get_stats(struct nat *n, struct nat_stats *ret_stats);
uint32_t gateway_sessions(struct gateway *g); /* now */

#endif
