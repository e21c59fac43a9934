/* The local part of the DNS service: dns_forward asks here first and relays what comes back
 * as "not mine". */
#include "dhcp/dns_zone.h"

#include <errno.h>
#include <string.h>

/* What the query is about, once its name has been sorted. */
enum kind {
	FORWARD,
	HOST,	    /* a single label, or one below the suffix */
	APEX,	    /* the suffix itself */
	NO_NAME,    /* in the suffix but no possible host */
	REVERSE,    /* an address of the subnet */
	REVERSE_IN, /* above or below addresses of the subnet, with nothing there */
};

struct subject {
	enum kind kind;
	bool exists;
	unsigned zone_label; /* the SOA's owner: labels of the name to leave out; ... */
	bool root;	     /* ... or the root */
	struct dns_names_row row;
};

/* Types that are asked of "com." by resolvers that walk or validate the tree. */
static bool is_delegation(uint16_t type)
{
	return type == DNS_TYPE_NS || type == DNS_TYPE_SOA || type == DNS_TYPE_DS ||
	       type == DNS_TYPE_DNSKEY;
}

static bool lookup(const struct dns_zone *z, const struct dns_names *names,
		   const struct dns_name *name, struct dns_names_row *ret_row)
{
	char label[DNS_LABEL_MAX + 1];

	/* A dot inside a label would be cut off by the table. */
	return dns_name_label(name, 0, label) && !strchr(label, '.') &&
	       dns_names_find(names, z->domain, label, ret_row);
}

static struct subject sort_reverse(const struct dns_zone *z, const struct dns_names *names,
				   const struct dns_query *q, be32 addr, unsigned octets,
				   unsigned below)
{
	struct subject s = {.kind = REVERSE_IN};
	unsigned zone = z->subnet.len / 8;

	/* 10.in-addr.arpa is not ours just because 10.10.10.0/24 is. */
	if (octets * 8 < z->subnet.len || !prefix4_contains(z->subnet, addr))
		return (struct subject){.kind = FORWARD};
	if (zone > 3)
		zone = 3;
	s.zone_label = dns_name_labels(&q->q.name) - 2 - zone;
	s.exists = octets < 4;
	if (octets == 4) {
		s.exists = dns_names_find_addr(names, z->domain, addr, &s.row) && !below;
		s.kind = s.exists ? REVERSE : REVERSE_IN;
	}
	return s;
}

static struct subject sort_name(const struct dns_zone *z, const struct dns_names *names,
				const struct dns_query *q)
{
	unsigned labels = dns_name_labels(&q->q.name), suffix = dns_name_labels(&z->suffix);
	struct subject s = {.kind = HOST, .zone_label = labels - suffix};
	unsigned octets, below;
	be32 addr;

	if (dns_name_reverse(&q->q.name, &addr, &octets, &below))
		return sort_reverse(z, names, q, addr, octets, below);
	if (suffix && dns_name_in(&q->q.name, &z->suffix)) {
		s.kind = labels == suffix ? APEX : labels == suffix + 1 ? HOST : NO_NAME;
		s.exists =
			s.kind == APEX || (s.kind == HOST && lookup(z, names, &q->q.name, &s.row));
		return s;
	}
	s.root = true;
	s.exists = labels == 1 && lookup(z, names, &q->q.name, &s.row);
	if (labels != 1 || (!s.exists && is_delegation(q->q.type)))
		s.kind = FORWARD;
	return s;
}

static uint32_t row_ttl(const struct dns_names_row *row, nsec_t now)
{
	if (!row->expires || row->expires >= now + DNS_ZONE_TTL * NSEC_PER_SEC)
		return DNS_ZONE_TTL;
	return row->expires > now ? (uint32_t)((row->expires - now) / NSEC_PER_SEC) : 0;
}

/* label.suffix */
static void full_name(const struct dns_zone *z, const char *label, struct dns_name *ret)
{
	struct wire w = wire_writer(ret->b, sizeof(ret->b));

	wire_put_u8(&w, (uint8_t)strlen(label));
	wire_put(&w, label, strlen(label));
	wire_put(&w, z->suffix.b, z->suffix.len);
	if (!wire_ok(&w)) { /* a suffix of nearly 255 octets */
		w = wire_writer(ret->b, sizeof(ret->b));
		wire_put_u8(&w, 0);
	}
	ret->len = (uint8_t)wire_pos(&w);
}

static void put_answer(const struct dns_zone *z, const struct subject *s, nsec_t now,
		       const struct dns_query *q, struct dns_builder *b)
{
	uint16_t type = q->q.type;
	struct dns_name full;
	size_t soa = s->root ? 0 : DNS_HEADER_LEN + dns_name_offset(&q->q.name, s->zone_label);

	if (s->exists && s->kind == HOST && (type == DNS_TYPE_A || type == DNS_TYPE_ANY)) {
		dns_build_a(b, DNS_HEADER_LEN, row_ttl(&s->row, now), s->row.addr);
	} else if (s->kind == REVERSE && (type == DNS_TYPE_PTR || type == DNS_TYPE_ANY)) {
		full_name(z, s->row.name, &full);
		dns_build_ptr(b, DNS_HEADER_LEN, row_ttl(&s->row, now), &full);
	} else {
		bool asked = s->kind == APEX && (type == DNS_TYPE_SOA || type == DNS_TYPE_ANY);

		dns_build_soa(b, soa, DNS_ZONE_TTL, !asked);
	}
}

int dns_zone_answer(const struct dns_zone *z, const struct dns_names *names, nsec_t now,
		    const struct dns_query *q, const void *msg, void *room, size_t len)
{
	struct subject s = sort_name(z, names, q);
	enum dns_rcode rcode = s.exists ? DNS_NOERROR : DNS_NXDOMAIN;
	struct dns_builder b;
	size_t n;

	if (s.kind == FORWARD)
		return 0;
	if (q->edns_version)
		rcode = DNS_BADVERS; /* RFC 6891 6.1.3 */
	else if (q->q.class != DNS_CLASS_IN)
		rcode = DNS_REFUSED; /* our names have no other class, and do not leak in one */
	if (rcode == DNS_NOERROR || rcode == DNS_NXDOMAIN) {
		dns_build_begin(&b, room, len, q, msg, DNS_AA, rcode);
		put_answer(z, &s, now, q, &b);
		n = dns_build_end(&b, q, rcode);
	} else {
		n = dns_build_error(room, len, q, msg, 0, rcode);
	}
	return n ? (int)n : -EMSGSIZE;
}
