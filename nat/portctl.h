/* What a guest may ask of the gateway about its ports, in one vocabulary for the
 * protocols that say it: NAT-PMP (RFC 6886) and PCP (RFC 6887), both at UDP port 5351,
 * and UPnP IGD.
 *
 *	bytes -> portctl_parse() -> struct portctl_request -> (who decides)
 *	      -> struct portctl_response -> portctl_build() -> bytes
 *
 * Version 0 is NAT-PMP, 2 is PCP; what else comes is told the version to use (RFC 6887 9,
 * RFC 6886 3.5).  A protocol that is switched off is answered like a version that is not
 * known, so that clients which speak both find the other.
 *
 * Result codes are PCP's; NAT-PMP's six are made from them.  Addresses are 16 bytes as PCP
 * has them: IPv4 is ::ffff:a.b.c.d.  Ports and lifetimes are in host order.
 *
 * No state, no clock, no allocation; any thread. */
#ifndef NAT_PORTCTL_H
#define NAT_PORTCTL_H

#include "net/types.h"

#define PORTCTL_PORT 5351u
#define PORTCTL_MSG_MAX 1100u /* RFC 6887 7 */
#define PORTCTL_NONCE 12u
#define PORTCTL_FILTERS 8u /* remote prefixes that one mapping may be limited to */

enum portctl_protocols { PORTCTL_NATPMP = 1 << 0, PORTCTL_PCP = 1 << 1, PORTCTL_UPNP = 1 << 2 };

enum portctl_op {
	PORTCTL_ANNOUNCE, /* PCP: is the server there, which epoch */
	PORTCTL_MAP,
	PORTCTL_PEER,
	PORTCTL_ADDRESS, /* NAT-PMP: the outside address */
};

enum portctl_result { /* RFC 6887 7.4 */
	PORTCTL_SUCCESS,
	PORTCTL_UNSUPP_VERSION,
	PORTCTL_NOT_AUTHORIZED,
	PORTCTL_MALFORMED_REQUEST,
	PORTCTL_UNSUPP_OPCODE,
	PORTCTL_UNSUPP_OPTION,
	PORTCTL_MALFORMED_OPTION,
	PORTCTL_NETWORK_FAILURE,
	PORTCTL_NO_RESOURCES,
	PORTCTL_UNSUPP_PROTOCOL,
	PORTCTL_USER_EX_QUOTA,
	PORTCTL_CANNOT_PROVIDE_EXTERNAL,
	PORTCTL_ADDRESS_MISMATCH,
	PORTCTL_EXCESSIVE_REMOTE_PEERS,
	PORTCTL_RESULTS
};

struct portctl_filter { /* RFC 6887 13.3 */
	uint8_t prefix_len; /* of 128: an IPv4 /24 is 120 */
	uint16_t port;      /* 0: all */
	uint8_t addr[16];
};

struct portctl_request {
	enum portctl_protocols by; /* one of them */
	enum portctl_op op;
	uint8_t opcode;            /* as it came */
	enum portctl_result error; /* found while parsing; then only `by` and `opcode` are sure */
	uint8_t proto;             /* 6, 17, or what else was asked; 0: all (to delete) */
	uint16_t internal_port;    /* 0: all (to delete) */
	uint16_t external_port;    /* wanted; 0: any */
	uint32_t lifetime;         /* seconds; 0: delete */
	uint8_t client[16];        /* who it says it is (PCP) */
	uint8_t external[16];      /* wanted (PCP) */
	uint8_t nonce[PORTCTL_NONCE];
	uint8_t remote[16]; /* PEER */
	uint16_t remote_port;
	bool prefer_failure; /* the wanted external port or none */
	bool filtered;       /* FILTER came: replace the filters by those here */
	uint8_t n_filters;
	struct portctl_filter filter[PORTCTL_FILTERS];
};

struct portctl_response {
	enum portctl_result result;
	uint32_t lifetime; /* granted; of an error: how long it will stay so */
	uint32_t epoch;
	uint16_t external_port;
	uint8_t external[16];
};

/* 0, also when *ret is an error to be answered; -EINVAL: nothing may be answered (too short, a
 * response).  allowed: enum portctl_protocols. */
int portctl_parse(const void *bytes, size_t len, unsigned allowed, struct portctl_request *ret);
/* The answer's length, at most PORTCTL_MSG_MAX; 0 when it does not fit into room.  bytes, len: the
 * request, which PCP errors repeat. */
size_t portctl_build(const struct portctl_request *q, const void *bytes, size_t len,
		     const struct portctl_response *r, void *room, size_t size);
/* "NOT_AUTHORIZED" */
const char *portctl_result_name(enum portctl_result r);

/* The two codecs; portctl_parse() has looked at the version and found two bytes. */
void natpmp_parse(const void *bytes, size_t len, struct portctl_request *ret);
size_t natpmp_build(const struct portctl_request *q, const struct portctl_response *r, void *room,
		    size_t size);
void pcp_parse(const void *bytes, size_t len, struct portctl_request *ret);
size_t pcp_build(const struct portctl_request *q, const void *bytes, size_t len,
		 const struct portctl_response *r, void *room, size_t size);

#endif
