/* Port mappings that the guests of one gateway have asked for: who may have which, and for how
 * long.  The codecs (nat/portctl.h, nat/igd.h) say what was asked; a mapping that is granted is
 * a forward of the gateway's (nat_forward_grant), open to anyone outside.
 *
 *	request -> portmap_request() -> row here + forward there -> response
 *
 * A mapping belongs to the guest that asked: its domain and address, both as the packet had
 * them and never as it said.  NAT-PMP and PCP know it by protocol and inside port, and one
 * mapping serves both; PCP changes or deletes it only with the nonce that made it (RFC 6887
 * 11.3), NAT-PMP stands for the nonce of zeroes.  UPnP knows its own by protocol and outside port, several of
 * which may lead to one inside port.  The outside port is the one by
 * which the guest's packets from there leave already, so that the NAT stays endpoint-independent, or else one that
 * nobody has, from 1024 on; which one was wished is a hint, but for PREFER_FAILURE and UPnP.
 *
 * Refused on purpose: THIRD_PARTY (no guest speaks for another); FILTER, whose prefixes the
 * forwards do not have (UNSUPP_OPTION); PEER (UNSUPP_OPCODE), by which a guest would keep sessions in
 * the table for a day that it does not use.
 *
 * Lifetimes.  At most PORTMAP_LIFE_MAX; PCP's are at least PORTMAP_LIFE_MIN (RFC 6887 15), NAT-PMP's
 * are never longer than asked (RFC 6886 3.3).  What has expired lets nothing new in; connections
 * that are there go on.  When the lease of the guest's address ends or begins, its mappings end, connections too, so
 * that who gets the address next is not reached by them.
 *
 * Epoch: seconds since the table was made, or since all mappings were lost or the address outside
 * changed (RFC 6887 8.5), so that clients notice and ask again.
 *
 * Bounds.  per_guest mappings a guest, PORTMAPS_MAX in all; PORTMAP_CHANGES_S changes a second of
 * one guest, as each is a call of the worker.  Renewals are none.
 *
 * Nothing survives a restart: clients see it by the epoch.  Main thread; time is an argument. */
#ifndef NAT_PORTMAP_H
#define NAT_PORTMAP_H

#include "nat/gateway.h"
#include "nat/portctl.h"

#define PORTMAPS_MAX NAT_GRANTS_MAX
#define PORTMAP_LIFE_MIN 120u   /* seconds */
#define PORTMAP_LIFE_MAX 86400u
#define PORTMAP_CHANGES_S 32u
#define PORTMAP_TEXT 64u

struct portmap;
struct portmap_row;

struct portmap_conf {
	unsigned protocols; /* enum portctl_protocols */
	uint32_t per_guest;
	/* Told of each mapping that is granted or ends; must change none.  NULL: nobody. */
	void (*told)(void *arg, const struct portmap_row *r, bool open);
	void *arg;
};
struct portmap_guest { /* who asks: where the packet came from */
	domain_idx domain;
	be32 addr;
};
struct portmap_row {
	struct portmap_guest guest;
	uint8_t by; /* enum portctl_protocols */
	uint8_t proto;
	uint16_t inside_port, outside_port;
	uint8_t nonce[PORTCTL_NONCE];
	nsec_t expires;
	char text[PORTMAP_TEXT]; /* UPnP: what the guest calls it; printable ASCII */
};

/* NULL with errno.  g must outlive it. */
struct portmap *portmap_new(struct gateway *g, const struct portmap_conf *c, nsec_t now);
/* Mappings of protocols that are no longer allowed end at once, with their connections; all do when the
 * gateway's subnet has changed.  A smaller quota ends none. */
void portmap_set_conf(struct portmap *m, const struct portmap_conf *c, nsec_t now);
void portmap_free(struct portmap *m); /* its mappings and their connections; accepts NULL */
const struct portmap_conf *portmap_get_conf(const struct portmap *m);

/* Does what q asks for, or finds out why not. */
void portmap_request(struct portmap *m, const struct portmap_guest *who,
		     const struct portctl_request *q, nsec_t now, struct portctl_response *ret_r);
/* UPnP: opens want->outside_port (of want->guest, to want->inside_port, under want->text), renews it, or leads it
 * elsewhere; exactly: that one or none (CANNOT_PROVIDE_EXTERNAL).  *ret_port: what it got. */
enum portctl_result portmap_open(struct portmap *m, const struct portmap_row *want, uint32_t lifetime_s,
				 bool exactly, nsec_t now, uint16_t *ret_port);
/* UPnP: -ENOENT; -EPERM: another's, or not opened by UPnP; -EAGAIN: too many changes. */
int portmap_close(struct portmap *m, const struct portmap_guest *who, uint8_t proto, uint16_t outside_port,
		  nsec_t now);
be32 portmap_outside(const struct portmap *m); /* the address outside; 0: none that guests may open ports at */
uint32_t portmap_uptime(const struct portmap *m, nsec_t now); /* the epoch, in seconds */
/* Ends what has expired.  When to be called again; 0 = never. */
nsec_t portmap_advance(struct portmap *m, nsec_t now);
nsec_t portmap_next(const struct portmap *m);

/* The uplink is about to be another, or to go: all mappings are lost. */
void portmap_reset(struct portmap *m, nsec_t now);
/* A domain of the gateway's is about to go. */
void portmap_end_domain(struct portmap *m, domain_idx d);
/* The guest has lost its address, or another is about to get it. */
void portmap_end_guest(struct portmap *m, const struct portmap_guest *who);
/* People want this outside port, or have the mapping deleted.  false: it is no guest's. */
bool portmap_evict(struct portmap *m, uint8_t proto, uint16_t outside_port, bool kill);

uint32_t portmap_count(const struct portmap *m);
const struct portmap_row *portmap_at(const struct portmap *m, uint32_t i); /* i < count; in no order */
/* Answers given so far, by result. */
uint64_t portmap_answers(const struct portmap *m, enum portctl_result r);
const char *portmap_source(uint8_t by); /* "pcp" */

#endif
