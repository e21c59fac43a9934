/* How a DNS query gets to an upstream server and its answer back.
 *
 * dns_forward decides whom to ask and when to give up; a transport carries the bytes.
 * Two exist: host sockets to the servers of the host's resolv.conf (dns_host_new, for
 * `upstream: system`), and packets through the network's own uplink (dns_routed_new, for
 * listed servers).  Whoever makes one frees it, after the confs that name it are gone.
 *
 * Main thread only. */
#ifndef DHCP_DNS_TRANSPORT_H
#define DHCP_DNS_TRANSPORT_H

#include "net/loop.h"
#include "net/pkt.h"
#include "net/table.h"

#define DNS_SERVERS_MAX 8u

struct dns_transport;
struct resolv;

/* One query on its way, as a transport sees it; embedded in the forwarder's exchange.
 * The forwarder zeroes it and sets fn; the rest is the transport's. */
struct dns_carrier {
	/* The server answered with len bytes (source already verified), or, len 0, cannot be
	 * reached.  May close the carrier. */
	void (*fn)(struct dns_carrier *c, const void *msg, size_t len);
	struct dns_transport *t; /* NULL: not open */
	/* -- dns_host -- */
	int sock;
	struct loop_fd *fd;
	/* -- dns_routed -- */
	struct tab_node node;
	bool waiting; /* in the table */
	uint8_t slot; /* whose source port it has */
	uint16_t id;  /* of the message sent */
	be32 server;
};

struct dns_transport {
	/* How many servers there are now, at most DNS_SERVERS_MAX; numbered by preference. */
	unsigned (*servers)(struct dns_transport *t);
	/* Opens a path to server `i` from an unpredictable source port.  -errno. */
	int (*open)(struct dns_transport *t, struct dns_carrier *c, unsigned i);
	/* Sends (again) on an open path.  -errno. */
	int (*send)(struct dns_transport *t, struct dns_carrier *c, const void *msg, size_t len);
	/* From now on c->fn is not called; fine when not open. */
	void (*close)(struct dns_transport *t, struct dns_carrier *c);
	void (*free)(struct dns_transport *t);
};
void dns_transport_free(struct dns_transport *t); /* accepts NULL */

/* ---- host sockets ---- */

/* Asks the servers of `resolv`, whatever they are at the time.  resolv outlives it.  NULL with
 * errno. */
struct dns_transport *dns_host_new(struct loop *loop, struct resolv *resolv);

/* ---- through an uplink ---- */

/* Source ports are a NAT's resource, so that queries share a few: DNS_ROUTED_PORTS random
 * ones at a time, each for a random number of queries (8..39) and then for the next; the NAT adds a
 * random outside port to each. */
#define DNS_ROUTED_PORTS 4u

struct dns_routed_conf {
	struct pkt_pool *pool; /* sw_main_pool() */
	be32 source;	       /* the address queries come from: the gateway's */
	const be32 *servers;   /* copied; at most DNS_SERVERS_MAX are used */
	unsigned n_servers;
	/* Opens (on) or closes a UDP port of `source`, host order: what comes there is to be
	 * given to dns_routed_receive().  -EADDRINUSE: another is tried. */
	int (*bind)(void *arg, uint16_t port, bool on);
	/* Takes k: an Ethernet frame with zero MACs holding an IPv4 UDP datagram from `source`,
	 * checksums complete, offsets set as pkt_parse() does. */
	void (*send)(void *arg, struct pkt *k);
	void *arg;
};
struct dns_transport *dns_routed_new(const struct dns_routed_conf *conf); /* NULL with errno */
/* Gives a frame (offsets parsed) that came to a bound port; k stays the caller's.  false: it
 * answers none of our queries. */
bool dns_routed_receive(struct dns_transport *t, const struct pkt *k);

#endif
