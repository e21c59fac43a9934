/* Reading and building DNS messages.  dns_zone decides what to answer, dns_forward whom to
 * ask; this file only knows the format. */
#include "dhcp/dns_msg.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#define POINTER	   0xc0u /* the two high bits of a length octet, RFC 1035 4.1.4 */
#define POINTER_TO 0xc000u
#define EDNS_DO	   0x8000u /* RFC 3225 */

/* Names in SOA records of our own: nobody reads them, but they have to be there. */
static const char soa_mname[] = "gateway";
static const char soa_rname[] = "nobody";
#define SOA_SERIAL  1u
#define SOA_REFRESH 3600u
#define SOA_RETRY   600u
#define SOA_EXPIRE  86400u

static void get_header(struct wire *w, struct dns_header *h)
{
	h->id = wire_get_u16(w);
	h->flags = wire_get_u16(w);
	h->questions = wire_get_u16(w);
	h->answers = wire_get_u16(w);
	h->authorities = wire_get_u16(w);
	h->additionals = wire_get_u16(w);
}

int dns_header_parse(const void *msg, size_t len, struct dns_header *ret_h)
{
	struct wire w = wire_reader(msg, len);
	struct dns_header h;

	get_header(&w, &h);
	if (!wire_ok(&w))
		return -EBADMSG;
	*ret_h = h;
	return 0;
}

void dns_get_name(struct wire *w, struct dns_name *ret_name)
{
	unsigned len = 0;

	ret_name->len = 1;
	ret_name->b[0] = 0;
	for (;;) {
		unsigned label = wire_get_u8(w);

		/* the label itself and the root's octet have to fit as well */
		if (label > DNS_LABEL_MAX || len + label + (label ? 2 : 1) > DNS_NAME_MAX)
			wire_fail(w);
		if (!wire_ok(w))
			return;
		ret_name->b[len++] = (uint8_t)label;
		if (!label)
			break;
		wire_get(w, &ret_name->b[len], label);
		for (unsigned end = len + label; len < end; len++)
			ret_name->b[len] = (uint8_t)tolower(ret_name->b[len]);
	}
	ret_name->len = (uint8_t)len;
	if (!wire_ok(w))
		ret_name->len = 1;
}

/* Steps over an owner name; a pointer ends it. */
static void skip_name(struct wire *w)
{
	for (unsigned total = 0;;) {
		unsigned label = wire_get_u8(w);

		if (!wire_ok(w) || !label)
			return;
		if ((label & POINTER) == POINTER) {
			wire_skip(w, 1);
			return;
		}
		total += 1 + label;
		if (label > DNS_LABEL_MAX || total > DNS_NAME_MAX) {
			wire_fail(w);
			return;
		}
		wire_skip(w, label);
	}
}

static void get_question(struct wire *w, struct dns_question *q)
{
	dns_get_name(w, &q->name);
	q->type = wire_get_u16(w);
	q->class = wire_get_u16(w);
	q->end = wire_pos(w);
}

/* One record of a query; keeps what OPT says (RFC 6891 6.1.2). */
static void get_record(struct wire *w, struct dns_query *q, bool additional)
{
	size_t owner = wire_pos(w);
	uint16_t type, class;
	uint32_t ttl;
	bool root;

	skip_name(w);
	root = wire_pos(w) == owner + 1;
	type = wire_get_u16(w);
	class = wire_get_u16(w);
	ttl = wire_get_u32(w);
	wire_skip(w, wire_get_u16(w));
	if (type != DNS_TYPE_OPT || !additional || !wire_ok(w))
		return;
	if (q->edns || !root) {
		wire_fail(w);
		return;
	}
	q->edns = true;
	q->edns_size = class;
	q->edns_version = (uint8_t)(ttl >> 16);
	q->dnssec_ok = ttl & EDNS_DO;
}

int dns_query_parse(const void *msg, size_t len, struct dns_query *ret_q)
{
	struct wire w = wire_reader(msg, len);
	struct dns_query q = {0};
	unsigned i;

	get_header(&w, &q.h);
	if (!wire_ok(&w) || (q.h.flags & DNS_QR))
		return -EBADMSG;
	if (q.h.questions != 1)
		return -EPROTO;
	get_question(&w, &q.q);
	for (i = 0; i < q.h.answers && wire_ok(&w); i++)
		get_record(&w, &q, false);
	for (i = 0; i < q.h.authorities && wire_ok(&w); i++)
		get_record(&w, &q, false);
	for (i = 0; i < q.h.additionals && wire_ok(&w); i++)
		get_record(&w, &q, true);
	if (!wire_ok(&w))
		return -EPROTO;
	*ret_q = q;
	return 0;
}

int dns_answer_parse(const void *msg, size_t len, struct dns_header *ret_h,
		     struct dns_question *ret_q)
{
	struct wire w = wire_reader(msg, len);
	struct dns_question q = {.end = DNS_HEADER_LEN};
	struct dns_header h;

	get_header(&w, &h);
	if (!wire_ok(&w) || !(h.flags & DNS_QR) || h.questions > 1)
		return -EBADMSG;
	if (h.questions)
		get_question(&w, &q);
	if (!wire_ok(&w))
		return -EBADMSG;
	*ret_h = h;
	*ret_q = q;
	return 0;
}

bool dns_name_eq(const struct dns_name *a, const struct dns_name *b)
{
	return a->len == b->len && !memcmp(a->b, b->b, a->len);
}

unsigned dns_name_labels(const struct dns_name *n)
{
	unsigned labels = 0;

	for (unsigned at = 0; n->b[at]; at += n->b[at] + 1u)
		labels++;
	return labels;
}

size_t dns_name_offset(const struct dns_name *n, unsigned i)
{
	size_t at = 0;

	while (i-- && n->b[at])
		at += n->b[at] + 1u;
	return at;
}

bool dns_name_in(const struct dns_name *n, const struct dns_name *zone)
{
	unsigned have = dns_name_labels(n), want = dns_name_labels(zone);
	size_t at;

	if (have < want)
		return false;
	at = dns_name_offset(n, have - want);
	return n->len - at == zone->len && !memcmp(&n->b[at], zone->b, zone->len);
}

bool dns_name_label(const struct dns_name *n, unsigned i, char ret_label[DNS_LABEL_MAX + 1])
{
	size_t at = dns_name_offset(n, i);
	unsigned len = n->b[at];

	if (!len || memchr(&n->b[at + 1], 0, len))
		return false;
	memcpy(ret_label, &n->b[at + 1], len);
	ret_label[len] = 0;
	return true;
}

int dns_name_parse(const char *text, struct dns_name *ret_name)
{
	struct dns_name n = {.len = 0};
	size_t left = strlen(text);

	if (left && text[left - 1] == '.')
		left--;
	while (left) {
		const char *dot = memchr(text, '.', left);
		size_t label = dot ? (size_t)(dot - text) : left;

		if (!label || label > DNS_LABEL_MAX || n.len + label + 2 > DNS_NAME_MAX)
			return -EINVAL;
		n.b[n.len++] = (uint8_t)label;
		for (size_t i = 0; i < label; i++)
			n.b[n.len++] = (uint8_t)tolower((unsigned char)text[i]);
		left -= label;
		text += label;
		if (dot && !--left)
			return -EINVAL; /* "a.." */
		text += dot != NULL;
	}
	n.b[n.len++] = 0;
	*ret_name = n;
	return 0;
}

/* A decimal octet without leading zeroes. */
static bool label_octet(const char *s, uint8_t *ret)
{
	unsigned v = 0;

	if (s[0] == '0' && s[1])
		return false;
	for (; *s; s++) {
		if (!isdigit((unsigned char)*s))
			return false;
		v = v * 10 + (unsigned)(*s - '0');
		if (v > 255)
			return false;
	}
	*ret = (uint8_t)v;
	return true;
}

bool dns_name_reverse(const struct dns_name *n, be32 *ret_addr, unsigned *ret_octets,
		      unsigned *ret_below)
{
	static const struct dns_name arpa = {14, "\7in-addr\4arpa"};
	unsigned labels = dns_name_labels(n), octets;
	uint32_t addr = 0;
	char label[DNS_LABEL_MAX + 1];
	uint8_t octet;

	if (!dns_name_in(n, &arpa))
		return false;
	labels -= 2;
	octets = labels < 4 ? labels : 4;
	for (unsigned i = 0; i < octets; i++) { /* from the right: the first octet first */
		if (!dns_name_label(n, labels - 1 - i, label) || !label_octet(label, &octet))
			return false;
		addr |= (uint32_t)octet << (24 - 8 * i);
	}
	*ret_addr = htobe32(addr);
	*ret_octets = octets;
	*ret_below = labels - octets;
	return true;
}

void dns_build_begin(struct dns_builder *b, void *room, size_t len, const struct dns_query *q,
		     const void *msg, unsigned flags, enum dns_rcode rcode)
{
	struct wire question = wire_reader(msg, q->q.end);
	const uint8_t *bytes;

	wire_skip(&question, DNS_HEADER_LEN);
	bytes = wire_get_bytes(&question, q->q.end - DNS_HEADER_LEN);
	*b = (struct dns_builder){.w = wire_writer(room, len)};
	wire_put_u16(&b->w, q->h.id);
	wire_put_u16(&b->w,
		     (uint16_t)(DNS_QR | DNS_RA | (q->h.flags & (DNS_OPCODE | DNS_RD | DNS_CD)) |
				flags | ((unsigned)rcode & DNS_RCODE)));
	wire_put_u16(&b->w, 1);
	wire_put_zero(&b->w, 6); /* counts, see dns_build_end() */
	if (bytes)
		wire_put(&b->w, bytes, q->q.end - DNS_HEADER_LEN);
	else
		wire_fail(&b->w);
}

/* Owner, type, class, ttl, and room for the length of the data; returns where that stands. */
static size_t record_begin(struct dns_builder *b, size_t owner, uint16_t type, uint32_t ttl)
{
	size_t at;

	if (owner)
		wire_put_u16(&b->w, (uint16_t)(POINTER_TO | owner));
	else
		wire_put_u8(&b->w, 0);
	wire_put_u16(&b->w, type);
	wire_put_u16(&b->w, DNS_CLASS_IN);
	wire_put_u32(&b->w, ttl);
	at = wire_pos(&b->w);
	wire_put_u16(&b->w, 0);
	return at;
}

static void record_end(struct dns_builder *b, size_t at)
{
	wire_patch_u16(&b->w, at, (uint16_t)(wire_pos(&b->w) - at - 2));
}

void dns_build_a(struct dns_builder *b, size_t owner, uint32_t ttl, be32 addr)
{
	size_t at = record_begin(b, owner, DNS_TYPE_A, ttl);

	wire_put_ip4(&b->w, addr);
	record_end(b, at);
	b->answers++;
}

void dns_build_ptr(struct dns_builder *b, size_t owner, uint32_t ttl, const struct dns_name *name)
{
	size_t at = record_begin(b, owner, DNS_TYPE_PTR, ttl);

	wire_put(&b->w, name->b, name->len);
	record_end(b, at);
	b->answers++;
}

/* "label" under the owner. */
static void put_below(struct dns_builder *b, const char *label, size_t owner)
{
	wire_put_u8(&b->w, (uint8_t)strlen(label));
	wire_put(&b->w, label, strlen(label));
	if (owner)
		wire_put_u16(&b->w, (uint16_t)(POINTER_TO | owner));
	else
		wire_put_u8(&b->w, 0);
}

void dns_build_soa(struct dns_builder *b, size_t owner, uint32_t ttl, bool authority)
{
	size_t at = record_begin(b, owner, DNS_TYPE_SOA, ttl);

	put_below(b, soa_mname, owner);
	put_below(b, soa_rname, owner);
	wire_put_u32(&b->w, SOA_SERIAL);
	wire_put_u32(&b->w, SOA_REFRESH);
	wire_put_u32(&b->w, SOA_RETRY);
	wire_put_u32(&b->w, SOA_EXPIRE);
	wire_put_u32(&b->w, ttl); /* negative TTL, RFC 2308 4 */
	record_end(b, at);
	if (authority)
		b->authorities++;
	else
		b->answers++;
}

size_t dns_build_end(struct dns_builder *b, const struct dns_query *q, enum dns_rcode rcode)
{
	wire_patch_u16(&b->w, 6, b->answers);
	wire_patch_u16(&b->w, 8, b->authorities);
	if (q->edns) {
		wire_patch_u16(&b->w, 10, 1);
		wire_put_u8(&b->w, 0);
		wire_put_u16(&b->w, DNS_TYPE_OPT);
		wire_put_u16(&b->w, DNS_UDP_EDNS);
		wire_put_u32(&b->w, (uint32_t)rcode >> 4 << 24 | (q->dnssec_ok ? EDNS_DO : 0));
		wire_put_u16(&b->w, 0);
	}
	return wire_ok(&b->w) ? wire_pos(&b->w) : 0;
}

size_t dns_build_error(void *room, size_t len, const struct dns_query *q, const void *msg,
		       unsigned flags, enum dns_rcode rcode)
{
	struct dns_builder b;

	dns_build_begin(&b, room, len, q, msg, flags, rcode);
	return dns_build_end(&b, q, rcode);
}

size_t dns_build_formerr(void *room, size_t len, const struct dns_header *h)
{
	struct wire w = wire_writer(room, len);

	wire_put_u16(&w, h->id);
	wire_put_u16(&w, (uint16_t)(DNS_QR | DNS_RA | (h->flags & (DNS_OPCODE | DNS_RD)) |
				    DNS_FORMERR));
	wire_put_zero(&w, 8);
	return wire_ok(&w) ? wire_pos(&w) : 0;
}

size_t dns_query_room(const struct dns_query *q)
{
	/* Values below 512 are to be read as 512, RFC 6891 6.2.3. */
	return q->edns && q->edns_size > DNS_UDP_PLAIN ? q->edns_size : DNS_UDP_PLAIN;
}

void dns_set_id(void *msg, uint16_t id)
{
	struct wire w = wire_writer(msg, 2);

	wire_put_u16(&w, id);
}
