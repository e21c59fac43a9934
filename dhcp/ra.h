/* Router advertisements (RFC 4861 6.2): what a network with an IPv6 subnet tells its guests, so
 * that each makes an address of its own (SLAAC, RFC 4862) and finds the gateway and DNS.
 *
 * Three pieces, none of which knows a switch or a clock: the frame of an advertisement, the check
 * of a guest's solicitation, and the plan of when to send.
 *
 * What is said: prefixes (on-link, autonomous), MTU, our MAC address, DNS servers and search domain
 * (RFC 8106), how long we are a default router. Lifetimes are three times the longest interval,
 * so that two lost advertisements take nothing from a guest. What goes away, a server or the router,
 * is said goodbye to with a lifetime of zero.  A prefix that goes is preferred no longer, and stays
 * valid and on-link for two hours, for the connections that guests have (RFC 4862 5.5.3 e and 5.5.4).
 *
 * Advertisements go to all nodes, also those that answer: then a flood of solicitations costs one
 * frame in three seconds.
 *
 * Time is an argument, and so is randomness. Any thread. */
#ifndef DHCP_RA_H
#define DHCP_RA_H

#include "net/headers.h"
#include "net/pkt.h"

#define RA_PREFIXES_MAX 8u
#define RA_DNS_MAX	4u
#define RA_FRAME_MAX	1294u /* fits the smallest MTU of IPv6 and its Ethernet header */

#define RA_INTERVAL_MIN	   (200 * NSEC_PER_SEC) /* RFC 4861 6.2.1 MinRtrAdvInterval */
#define RA_INTERVAL_MAX	   (600 * NSEC_PER_SEC) /* MaxRtrAdvInterval */
#define RA_INITIAL_MAX	   (16 * NSEC_PER_SEC)	/* RFC 4861 10 */
#define RA_INITIAL_COUNT   3u
#define RA_MIN_DELAY	   (3 * NSEC_PER_SEC) /* MIN_DELAY_BETWEEN_RAS */
#define RA_ANSWER_MAX	   (500 * NSEC_PER_MSEC) /* MAX_RA_DELAY_TIME */
#define RA_LIFETIME_S	   1800u /* AdvDefaultLifetime; of RDNSS and DNSSL too (RFC 8106 5.1) */
#define RA_VALID_S	   2592000u /* AdvValidLifetime, 30 days */
#define RA_PREFERRED_S	   604800u  /* AdvPreferredLifetime, 7 days */

#define RA_GONE_VALID_S	   7200u

struct ra_prefix {
	uint8_t addr[16];
	uint8_t len;
	bool gone; /* deprecated */
};
struct ra_conf {
	struct mac mac;	    /* ours */
	uint8_t source[16]; /* our link-local address (RFC 4861 6.1.2) */
	uint32_t mtu;	    /* 0: not said */
	bool router;	    /* a default router; else lifetime 0 */
	struct ra_prefix prefix[RA_PREFIXES_MAX];
	unsigned n_prefixes;
	uint8_t dns[RA_DNS_MAX][16];
	unsigned n_dns;
	const char *domain; /* NULL: none */
	bool dns_gone;	    /* dns and domain are said with lifetime zero */
};
/* The whole frame to all nodes. Returns its length; 0 when it does not fit or the domain is none. */
size_t ra_build(const struct ra_conf *c, void *room, size_t size);
/* What is left to say of `c` when it ends (RFC 4861 6.2.5): all of it with lifetime zero. */
void ra_farewell(struct ra_conf *c);

struct ra_solicit {
	uint8_t source[16]; /* may be all zeroes */
	struct mac mac;	    /* of the source, when has_mac */
	bool has_mac;
};
/* Checks a parsed frame as RFC 4861 6.1.1 asks. -EBADMSG: it is none, or not sound. */
int ra_solicit_parse(const struct pkt *k, struct ra_solicit *ret);

/* When the next advertisement is due. `random`: any 32 bits. */
struct ra_plan {
	nsec_t next, last; /* last 0: none was sent */
	unsigned initial;  /* how many of the first, frequent ones are left */
};
/* At start, and when what is said has changed: at once, but not too soon after the last. */
void ra_plan_start(struct ra_plan *p, nsec_t now);
void ra_plan_sent(struct ra_plan *p, nsec_t now, uint32_t random);
void ra_plan_solicited(struct ra_plan *p, nsec_t now, uint32_t random);

#endif
