/* The DNS message: what of it a forwarder has to understand (RFC 1035 4, RFC 6891).
 *
 * A forwarder reads the header, the one question and the EDNS record of a query, and
 * the header and question of an answer; everything else passes through unread
 * (RFC 5625 4).  Names are kept in wire form (length octet, label, ..., 0) and
 * lower-cased for comparison, so that a dot inside a label is not a separator and
 * nothing has to be escaped.
 *
 * Compression pointers: a question cannot have one that means anything, so there it
 * is an error; in the owner of a record that is only stepped over, a pointer ends the
 * name and is not followed.  Nothing is ever followed, so nothing can loop.
 *
 * Answers are built with a wire cursor (net/wire.h) that starts at the message's
 * first byte; owner names point back into the question.
 *
 * Pure functions, no allocation, any thread. */
#ifndef DHCP_DNS_MSG_H
#define DHCP_DNS_MSG_H

#include "net/types.h"
#include "net/wire.h"

#define DNS_PORT       53
#define DNS_HEADER_LEN 12u
#define DNS_NAME_MAX   255u /* octets on the wire with the root label, RFC 1035 2.3.4 */
#define DNS_LABEL_MAX  63u
#define DNS_LABELS_MAX 127u
#define DNS_TEXT_MAX   254u  /* "web1.lab.internal" and its zero, plain names only */
#define DNS_UDP_PLAIN  512u  /* largest UDP message without EDNS, RFC 1035 2.3.4 */
#define DNS_UDP_EDNS   1232u /* what our own OPT record offers: no fragments even over IPv6 */

enum dns_type { /* IANA DNS parameters; the wire's 16 bits may hold any other */
		DNS_TYPE_A = 1,
		DNS_TYPE_NS = 2,
		DNS_TYPE_SOA = 6,
		DNS_TYPE_PTR = 12,
		DNS_TYPE_AAAA = 28,
		DNS_TYPE_OPT = 41,
		DNS_TYPE_DS = 43,
		DNS_TYPE_DNSKEY = 48,
		DNS_TYPE_ANY = 255,
};
#define DNS_CLASS_IN 1

enum dns_rcode {
	DNS_NOERROR = 0,
	DNS_FORMERR = 1,
	DNS_SERVFAIL = 2,
	DNS_NXDOMAIN = 3,
	DNS_NOTIMP = 4,
	DNS_REFUSED = 5,
	DNS_BADVERS = 16, /* RFC 6891 9; its upper bits travel in the OPT record */
};

/* The header's second 16 bits. */
#define DNS_QR	   0x8000u
#define DNS_OPCODE 0x7800u
#define DNS_AA	   0x0400u
#define DNS_TC	   0x0200u
#define DNS_RD	   0x0100u
#define DNS_RA	   0x0080u
#define DNS_AD	   0x0020u
#define DNS_CD	   0x0010u
#define DNS_RCODE  0x000fu

/* A name in wire form, lower case; len counts the root label, so 1..255. */
struct dns_name {
	uint8_t len;
	uint8_t b[DNS_NAME_MAX];
};

struct dns_question {
	struct dns_name name;
	uint16_t type, class;
	size_t end; /* offset of the first byte after the question */
};

struct dns_header {
	uint16_t id, flags;
	uint16_t questions, answers, authorities, additionals;
};

struct dns_query {
	struct dns_header h;
	struct dns_question q;
	bool edns, dnssec_ok;
	uint8_t edns_version;
	uint16_t edns_size; /* as the client wrote it */
};

/* Reads the header only.  -EBADMSG when shorter than one. */
int dns_header_parse(const void *msg, size_t len, struct dns_header *ret_h);
/* Reads a query whole.  -EBADMSG: not even a header, or it is an answer (QR), so that
 * nothing may be said in return.  -EPROTO: FORMERR is due (RFC 1035 4.1.1): a question
 * that does not parse, not exactly one (RFC 9619), records cut short, two OPTs. */
int dns_query_parse(const void *msg, size_t len, struct dns_query *ret_q);
/* Reads header and question of an answer; q.end is DNS_HEADER_LEN when it has none.
 * -EBADMSG. */
int dns_answer_parse(const void *msg, size_t len, struct dns_header *ret_h,
		     struct dns_question *ret_q);

/* A name at the cursor, without compression; the cursor fails when there is none. */
void dns_get_name(struct wire *w, struct dns_name *ret_name);

/* ---- names ---- */

bool dns_name_eq(const struct dns_name *a, const struct dns_name *b);
/* Labels without the root: 2 for "web1.lab." */
unsigned dns_name_labels(const struct dns_name *n);
/* Whether n is `zone` or below it.  The root contains all. */
bool dns_name_in(const struct dns_name *n, const struct dns_name *zone);
/* Text of the n'th label (0 = leftmost), zero-terminated, false when there is none or it has
 * a zero octet. */
bool dns_name_label(const struct dns_name *n, unsigned i, char ret_label[DNS_LABEL_MAX + 1]);
/* Offset in the name of its i'th label, or of the root when it has fewer. */
size_t dns_name_offset(const struct dns_name *n, unsigned i);
/* "lab.internal" or "lab.internal."; "" and "." are the root.  -EINVAL: an empty or
 * overlong label, a name longer than 255. */
int dns_name_parse(const char *text, struct dns_name *ret_name);
/* The address that d.c.b.a.in-addr.arpa stands for.  *ret_octets: how many of it are
 * given, 0..4; more labels in front of four are counted in *ret_below.  false: not
 * under in-addr.arpa, or not numbers (RFC 1035 3.5). */
bool dns_name_reverse(const struct dns_name *n, be32 *ret_addr, unsigned *ret_octets,
		      unsigned *ret_below);

/* ---- answers ---- */

/* One answer to a query, built in place.  Sections in order: answers, authorities. */
struct dns_builder {
	struct wire w;
	uint16_t answers, authorities;
};
/* Header (QR, RA, opcode, RD and CD as asked, rcode) and the question byte for byte as it
 * came, upper case included; `msg` is the query's bytes. */
void dns_build_begin(struct dns_builder *b, void *room, size_t len, const struct dns_query *q,
		     const void *msg, unsigned flags, enum dns_rcode rcode);
/* Records whose owner stands at offset `owner` of the message; ttl in seconds. */
void dns_build_a(struct dns_builder *b, size_t owner, uint32_t ttl, be32 addr);
void dns_build_ptr(struct dns_builder *b, size_t owner, uint32_t ttl, const struct dns_name *name);
/* `owner` 0 is the root.  As an answer (type SOA was asked) or in the authority section of
 * a negative answer, whose TTL is `ttl` then (RFC 2308 3).  Call it last. */
void dns_build_soa(struct dns_builder *b, size_t owner, uint32_t ttl, bool authority);
/* Counts, and the OPT record when the query had one.  The message's length, 0 when it did
 * not fit. */
size_t dns_build_end(struct dns_builder *b, const struct dns_query *q, enum dns_rcode rcode);

/* A whole answer that only says rcode (and TC, with flags = DNS_TC). */
size_t dns_build_error(void *room, size_t len, const struct dns_query *q, const void *msg,
		       unsigned flags, enum dns_rcode rcode);
/* FORMERR to a message of which only the header was legible. */
size_t dns_build_formerr(void *room, size_t len, const struct dns_header *h);
/* How long an answer the client takes over UDP: 512, or what its EDNS says. */
size_t dns_query_room(const struct dns_query *q);
/* Overwrites the id of a message of at least two bytes. */
void dns_set_id(void *msg, uint16_t id);

#endif
