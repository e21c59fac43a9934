/* UPnP Internet Gateway Device:1, as much of it as opening ports takes: discovery (SSDP at UDP port 1900),
 * descriptions and SOAP calls of WANIPConnection:1 (HTTP at TCP port IGD_HTTP_PORT of the gateway).
 *
 *	bytes -> igd_http_parse() -> struct igd_http -> igd_serve() -> bytes
 *	                                 '-> igd_soap_parse() -> struct igd_call -> nat/portmap.h
 *
 * The parsers read text of hostile guests and keep to a narrow form: a whole request of at most
 * IGD_REQUEST_MAX bytes with Content-Length, no chunks, no folded lines, nothing twice that counts; XML without
 * DOCTYPE, CDATA and processing beyond the declaration, of the four levels SOAP has, with the five
 * named entities.  What is kept of an argument is printable ASCII.
 *
 * A guest maps ports to itself only: NewInternalClient is where the connection came from, or error 606;
 * what it lists and deletes is its own.  SOAPAction and the Host's address must be there and right, so that
 * a page in a guest's browser cannot send such requests (no cross-origin request may carry the
 * one, no rebound name has the other).
 *
 * Lease 0, "for ever" in version 1, is a week, as version 2 of the standard has it.  GENA events
 * and alive announcements are not sent: clients search.
 *
 * No state; time is an argument.  igd_serve() for the main thread, the rest for any. */
#ifndef NAT_IGD_H
#define NAT_IGD_H

#include "nat/portmap.h"
#include "net/types.h"

#define IGD_SSDP_PORT 1900u
#define IGD_HTTP_PORT 5000u
#define IGD_HEAD_MAX 4096u /* of a request, to the empty line */
#define IGD_BODY_MAX 4096u
#define IGD_REQUEST_MAX (IGD_HEAD_MAX + IGD_BODY_MAX)
#define IGD_ANSWER_MAX 12288u
#define IGD_LEASE_MAX 604800u /* seconds */

struct igd_text { /* part of what was parsed, without an end mark */
	const char *s;
	size_t n;
};

/* ---- HTTP ---- */

enum igd_method { IGD_GET, IGD_POST };
struct igd_http {
	enum igd_method method;
	struct igd_text path, host, action, body; /* host and action: empty when not given */
};
/* The request's length when it is whole; 0: more must come; else less than 0, the status to answer as -400. */
int igd_http_parse(const char *bytes, size_t len, struct igd_http *ret_http);
/* A whole answer that says no.  Its length. */
size_t igd_http_error(int status, char *out, size_t size);

/* ---- SOAP ---- */

enum igd_action {
	IGD_ADD,
	IGD_ADD_ANY, /* of version 2; clients that know it use it with version 1 too */
	IGD_DELETE,
	IGD_GET_SPECIFIC,
	IGD_GET_GENERIC,
	IGD_GET_ADDRESS,
	IGD_GET_STATUS,
	IGD_GET_TYPE,
	IGD_GET_LINK, /* WANCommonInterfaceConfig:1 */
	IGD_ACTIONS
};
enum igd_arg {
	IGD_REMOTE_HOST,
	IGD_EXTERNAL_PORT,
	IGD_PROTOCOL,
	IGD_INTERNAL_PORT,
	IGD_INTERNAL_CLIENT,
	IGD_ENABLED,
	IGD_DESCRIPTION,
	IGD_LEASE,
	IGD_INDEX,
	IGD_ARGS
};
#define IGD_ARG_MAX PORTMAP_TEXT
struct igd_call {
	enum igd_action action;
	unsigned given;                   /* a bit for each argument; those the action needs are there */
	char arg[IGD_ARGS][IGD_ARG_MAX]; /* longer ones are cut */
};
enum igd_error { /* UPnP Device Architecture 3.2.2, WANIPConnection:1 2.4 */
	IGD_OK = 0,
	IGD_INVALID_ACTION = 401,
	IGD_INVALID_ARGS = 402,
	IGD_FAILED = 501,
	IGD_NOT_AUTHORIZED = 606,
	IGD_NO_INDEX = 713,
	IGD_NO_ENTRY = 714,
	IGD_WILDCARD_PORT = 716,
	IGD_CONFLICT = 718,
	IGD_REMOTE_HOST_ONLY_WILDCARD = 726,
};
enum igd_error igd_soap_parse(const struct igd_http *h, struct igd_call *ret_call);
const char *igd_action_name(enum igd_action a);

/* ---- SSDP ---- */

/* 1: a search for something that is here, named by *ret_target; 0: another message, or a search for something
 * else; -EINVAL: no SSDP. */
int igd_ssdp_parse(const void *bytes, size_t len, struct igd_text *ret_target);

/* ---- the device ---- */

struct igd_server {
	struct portmap *portmap;
	be32 address; /* the gateway's, where we are */
	struct mac mac; /* what the device is known by */
};
/* An answer to a search. */
size_t igd_ssdp_build(const struct igd_server *s, struct igd_text target, char *out, size_t size);
/* Does what the request asks, and writes the whole answer.  Its length, at most IGD_ANSWER_MAX. */
size_t igd_serve(const struct igd_server *s, const struct portmap_guest *who, const struct igd_http *h, nsec_t now,
		 char *out, size_t size);

#endif
