/* The DNS server of the guests: answers what is local, relays the rest over UDP.
 *
 * A query arrives as the frame the gateway handed up (dns_receive); the network it
 * belongs to is k->domain.  dns_zone answers what is local.  Everything else becomes an
 * exchange: one slot of a fixed table, with a random id, sent through the network's
 * dns_transport to its first upstream server.  After DNS_TRY without an answer the next
 * server is asked; every server is asked at most twice; an answer of SERVFAIL or REFUSED, or
 * an ICMP error, moves on at once.  After DNS_GIVE_UP, or when all have failed, the
 * guest gets SERVFAIL: it must never read a dead upstream as "no such name".
 *
 * An answer counts only when it came from the server asked (the transport sees to
 * it), carries the exchange's id, and repeats the question (RFC 5452 9.1).  It is relayed
 * byte for byte, with the guest's id, when it fits what the guest said it takes (512, or
 * its EDNS size) and one packet; else the guest gets header, question and TC and asks
 * again over TCP, which the gateway translates to the upstream.
 *
 * Bounds: DNS_INFLIGHT exchanges; of them DNS_GUEST_SHARE for one guest (domain and
 * address), whose further queries are dropped and counted; when the table is full the
 * oldest exchange of the domain that has most makes room.
 *
 * Main thread only.  It never logs; dns_stats tells. */
#ifndef DHCP_DNS_FORWARD_H
#define DHCP_DNS_FORWARD_H

#include "dhcp/dns_names.h"
#include "dhcp/dns_transport.h"
#include "net/addr.h"
#include "switch/switch.h"

#define DNS_INFLIGHT	512u
#define DNS_GUEST_SHARE 64u
#define DNS_TRY		(800 * NSEC_PER_MSEC)
#define DNS_GIVE_UP	(5 * NSEC_PER_SEC)

struct dns_server;

/* One network. */
struct dns_conf {
	domain_idx domain;
	struct port *gateway;  /* replies enter the domain as if received on it */
	struct mac mac;	       /* and come from this MAC */
	be32 gateway_addr;     /* gets the name "gateway"; 0 = no name */
	struct prefix4 subnet; /* whose reverse names are answered here */
	uint32_t mtu;	       /* of the network; 0 = 1500 */
	const char *suffix;    /* "lab.internal"; NULL or "": none; copied */
	/* Where other names are asked; the caller's, and outlives the conf.  NULL: nowhere,
	 * SERVFAIL. */
	struct dns_transport *upstream;
};

struct dns_stats {
	uint64_t queries;   /* = local + forwarded + failed + refused + dropped_* */
	uint64_t local;	    /* answered here: names of the network, or that there is no such */
	uint64_t forwarded; /* became an exchange */
	uint64_t failed;    /* SERVFAIL at once: no upstream, no socket */
	uint64_t refused;   /* FORMERR or NOTIMP of our own */
	/* each also a drop of the gateway's port, under this name */
	uint64_t dropped_malformed; /* svc-malformed: no UDP header, wrong checksum, an answer */
	uint64_t dropped_off;	    /* svc-off: a network without DNS */
	uint64_t dropped_share;	    /* svc-share: the guest has DNS_GUEST_SHARE in flight */
	uint64_t relayed;	    /* of forwarded: the guest got the upstream's answer */
	uint64_t truncated;	    /* of forwarded: it got TC instead */
	uint64_t timed_out;	    /* of forwarded: it got SERVFAIL */
	uint64_t evicted;	    /* of forwarded: dropped for a newer one or with its network */
	uint64_t retries;	    /* times an exchange went on to a further server or try */
	uint64_t bad_answers;	    /* ignored: other id, other question, not an answer */
	uint64_t no_buffer;	    /* replies lost because no packet was free */
};

/* names: the caller's, outlives the server, which adds and removes "gateway".  NULL with errno. */
struct dns_server *dns_server_new(struct sw *sw, struct loop *loop, struct dns_names *names);
void dns_server_free(struct dns_server *s); /* accepts NULL */
/* Adds the network or changes it.  With another `upstream` what is in flight is dropped.
 * -EINVAL: a suffix that is no name, a domain out of range; -ENOMEM; the old conf stays then. */
int dns_server_set_conf(struct dns_server *s, const struct dns_conf *conf);
/* Forgets the network, its exchanges and its names; fine when there is none. */
void dns_server_del_conf(struct dns_server *s, domain_idx domain);

/* A frame for the DNS server of k->domain: Ethernet, IPv4, UDP, offsets parsed.  Takes k. */
void dns_receive(struct dns_server *s, struct pkt *k);
/* The same as the end of a slow path; lives as long as the server. */
struct slow_sink *dns_server_sink(struct dns_server *s);

struct dns_stats dns_server_stats(const struct dns_server *s);
unsigned dns_server_inflight(const struct dns_server *s);

#endif
