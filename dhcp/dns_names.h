/* Who is called what: the names of each network's guests and of its gateway.
 *
 * A name is one label ("web1"); the network's DNS domain is put behind it by whoever
 * answers (dhcp/dns_zone.h).  Everything is keyed by domain index, so that the guests of
 * two networks, or of a hundred NAT-per-VM ports, may have equal names and addresses.
 *
 * Two kinds.  Static names come from the operator (reservations, `dns add`) and from
 * the switch ("gateway"); an address may have several, and the first one set is its
 * reverse.  Lease names are what a guest calls itself in DHCP: one an address, the
 * last one set; they never replace a static name nor another guest's lease name
 * (first come, first served), so that a guest cannot take over a name by asking
 * for it.
 *
 * Bounded by the capacity given, of which one domain may fill half.  Main thread; the
 * clock is the caller's (`expires`, the end of the lease, only shortens TTLs: removal
 * is the caller's, from the lease's end). */
#ifndef DHCP_DNS_NAMES_H
#define DHCP_DNS_NAMES_H

#include "net/types.h"

#define DNS_NAMES_LABEL 64 /* 63 octets (RFC 1035 2.3.4) and a zero */

enum dns_name_kind { DNS_NAME_STATIC, DNS_NAME_LEASE };

struct dns_names;

/* Room for `max` names (0 = 16384), touched on use.  NULL with errno. */
struct dns_names *dns_names_new(uint32_t max);
void dns_names_free(struct dns_names *n); /* accepts NULL */

/* Sets `name` (any case; what follows a first dot is ignored) for addr.  expires 0 =
 * never.  Setting what is there already renews `expires`.
 * -EINVAL: not letters, digits and inner hyphens (RFC 1123 2.1); -EEXIST: a name that
 * a lease may not take (see above), or static with another address; -ENOSPC. */
int dns_names_set(struct dns_names *n, domain_idx domain, enum dns_name_kind kind, const char *name,
		  be32 addr, nsec_t expires);
/* Removes the names of this kind that addr has.  Returns how many. */
unsigned dns_names_del_addr(struct dns_names *n, domain_idx domain, enum dns_name_kind kind,
			    be32 addr);
/* Removes one name of any kind; -ENOENT. */
int dns_names_del(struct dns_names *n, domain_idx domain, const char *name);
/* Removes all names of the domain. */
void dns_names_clear(struct dns_names *n, domain_idx domain);

struct dns_names_row {
	domain_idx domain;
	be32 addr;
	enum dns_name_kind kind;
	nsec_t expires;		    /* 0 = never */
	char name[DNS_NAMES_LABEL]; /* lower case */
};
/* By name, any case; by address, static names first.  false when there is none. */
bool dns_names_find(const struct dns_names *n, domain_idx domain, const char *name,
		    struct dns_names_row *ret_row);
bool dns_names_find_addr(const struct dns_names *n, domain_idx domain, be32 addr,
			 struct dns_names_row *ret_row);
/* Every name of the domain, DOMAIN_NONE: of all, in no order; fn must not change the table. */
void dns_names_each(const struct dns_names *n, domain_idx domain,
		    void (*fn)(void *arg, const struct dns_names_row *row), void *arg);
uint32_t dns_names_count(const struct dns_names *n);

#endif
