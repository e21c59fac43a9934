/* Everything the DNS service reads from others: queries of guests, answers of servers, and
 * resolv.conf.  What is answered here must itself be a message that parses. */
#include <stdlib.h>
#include <string.h>

#include "dhcp/dns_msg.h"
#include "dhcp/dns_udp.h"
#include "dhcp/dns_zone.h"
#include "dhcp/resolv.h"

#define DOMAIN 1
#define NOW    (1000 * NSEC_PER_SEC)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check(bool ok)
{
	if (!ok)
		abort();
}

static struct dns_names *names_new(void)
{
	struct dns_names *n = dns_names_new(64);

	check(n != NULL);
	dns_names_set(n, DOMAIN, DNS_NAME_STATIC, "web1", htobe32(0x0a0a0a0a), 0);
	dns_names_set(n, DOMAIN, DNS_NAME_LEASE, "vm", htobe32(0x0a0a0a32), NOW + NSEC_PER_SEC);
	return n;
}

static void check_answer(const struct dns_query *q, const uint8_t *data, const void *msg,
			 size_t len)
{
	struct dns_question question;
	struct dns_header h;

	check(dns_answer_parse(msg, len, &h, &question) == 0);
	check(h.id == q->h.id && h.questions == 1 && question.end == q->q.end);
	check(question.type == q->q.type && dns_name_eq(&question.name, &q->q.name));
	check(!memcmp((const uint8_t *)msg + DNS_HEADER_LEN, data + DNS_HEADER_LEN,
		      q->q.end - DNS_HEADER_LEN));
}

static void as_query(struct dns_names *names, const uint8_t *data, size_t len)
{
	struct dns_zone zone = {.domain = DOMAIN, .subnet = {htobe32(0x0a0a0a01), 24}};
	uint8_t room[DNS_UDP_EDNS], error[DNS_UDP_PLAIN];
	struct dns_query q;
	struct dns_header h;
	size_t n;
	int r;

	check(dns_name_parse("lab.internal", &zone.suffix) == 0);
	if (dns_query_parse(data, len, &q)) {
		if (!dns_header_parse(data, len, &h))
			check(dns_build_formerr(room, sizeof(room), &h) == DNS_HEADER_LEN);
		return;
	}
	check(dns_query_room(&q) >= DNS_UDP_PLAIN);
	r = dns_zone_answer(&zone, names, NOW, &q, data, room, sizeof(room));
	check(r >= 0);
	if (r)
		check_answer(&q, data, room, (size_t)r);
	n = dns_build_error(error, sizeof(error), &q, data, DNS_TC, DNS_SERVFAIL);
	check(n != 0);
	check_answer(&q, data, error, n);
	/* a builder without room says so and writes nothing beyond */
	for (size_t small = 0; small < n; small += 7)
		check(dns_build_error(error, small, &q, data, 0, DNS_SERVFAIL) == 0);
}

static void as_answer(const uint8_t *data, size_t len)
{
	struct dns_question q;
	struct dns_header h;
	unsigned octets, below;
	be32 addr;

	if (dns_answer_parse(data, len, &h, &q))
		return;
	check(q.end <= len);
	if (h.questions && dns_name_reverse(&q.name, &addr, &octets, &below))
		check(octets <= 4);
}

static void as_resolv_conf(const uint8_t *data, size_t len)
{
	struct resolv_list l;

	resolv_parse((const char *)data, len, &l);
	check(l.n <= RESOLV_SERVERS_MAX);
	for (unsigned i = 0; i < l.n; i++)
		check(l.server[i].len == sizeof(struct sockaddr_in) ||
		      l.server[i].len == sizeof(struct sockaddr_in6));
}

static void as_name(struct dns_names *names, const uint8_t *data, size_t len)
{
	char text[DNS_TEXT_MAX];
	struct dns_names_row row;
	struct dns_name n;

	if (len >= sizeof(text))
		len = sizeof(text) - 1;
	memcpy(text, data, len);
	text[len] = 0;
	if (!dns_name_parse(text, &n))
		check(dns_name_labels(&n) <= DNS_LABELS_MAX && !n.b[n.len - 1]);
	if (!dns_names_set(names, DOMAIN, DNS_NAME_LEASE, text, htobe32(0x0a0a0a33), 0))
		check(dns_names_find(names, DOMAIN, text, &row) &&
		      dns_names_find_addr(names, DOMAIN, htobe32(0x0a0a0a33), &row));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct dns_names *names = names_new();

	as_query(names, data, len);
	as_answer(data, len);
	as_resolv_conf(data, len);
	as_name(names, data, len);
	dns_names_free(names);
	return 0;
}
