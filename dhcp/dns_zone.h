/* What a network answers itself, and what it never lets out.
 *
 * Local:
 *   NAME, NAME.SUFFIX    A: the address.  Any other type: NODATA with an SOA, never NXDOMAIN
 *                        (a resolver that asks for AAAA first would believe the name gone).
 *   other names in SUFFIX: NXDOMAIN, never forwarded.
 *   other single labels: NXDOMAIN; but NS, SOA, DS and DNSKEY of one are forwarded, since
 *                        "com" is one and validating resolvers in guests ask for them.
 *   d.c.b.a.in-addr.arpa in the network's subnet: PTR, or NXDOMAIN (RFC 6303's reason:
 *                        private reverse queries are not for the world's servers).
 * Everything else is for the upstreams, unchanged (RFC 5625).
 *
 * TTLs are short (DNS_ZONE_TTL), and shorter when the lease ends sooner.
 *
 * Pure: a query, the table of names, the time in; bytes out.  No allocation. */
#ifndef DHCP_DNS_ZONE_H
#define DHCP_DNS_ZONE_H

#include "dhcp/dns_msg.h"
#include "dhcp/dns_names.h"
#include "net/addr.h"

#define DNS_ZONE_TTL 60u /* seconds */

struct dns_zone {
	domain_idx domain;
	struct prefix4 subnet;
	struct dns_name suffix; /* the root: the network has no DNS domain */
};

/* Answers `q`, whose bytes are `msg`, into room.  Returns the answer's length, or 0 when the
 * query is to be forwarded.  -EMSGSIZE when room is too small for any answer (512 is enough
 * for every answer built here). */
int dns_zone_answer(const struct dns_zone *z, const struct dns_names *names, nsec_t now,
		    const struct dns_query *q, const void *msg, void *room, size_t len);

#endif
