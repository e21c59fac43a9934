/* PCP (RFC 6887): header, opcodes and options to and from the model of nat/portctl.h.
 *
 * An option that must be understood (code below 128) and is not known, or does not go with the
 * opcode, refuses the request; others are skipped and left out of the answer.
 * THIRD_PARTY is known and always refused: no guest speaks for another. */
#include <string.h>

#include "nat/portctl.h"
#include "net/headers.h"
#include "net/wire.h"

#define VERSION 2
#define RESPONSE 0x80u
#define HEADER_LEN 24u

enum { OP_ANNOUNCE, OP_MAP, OP_PEER, OPS };
enum { OPT_THIRD_PARTY = 1, OPT_PREFER_FAILURE = 2, OPT_FILTER = 3, OPT_OPTIONAL = 128 };

#define FILTER_LEN 20u

/* ---- requests ---- */

static void option_third_party(struct portctl_request *q, struct wire *o)
{
	q->error = wire_left(o) == 16 ? PORTCTL_NOT_AUTHORIZED : PORTCTL_MALFORMED_OPTION;
}

static void option_prefer_failure(struct portctl_request *q, struct wire *o)
{
	/* 13.2: no data, at most once, and of no sense in a request that deletes */
	if (wire_left(o) || q->prefer_failure)
		q->error = PORTCTL_MALFORMED_OPTION;
	else if (!q->lifetime)
		q->error = PORTCTL_MALFORMED_REQUEST;
	q->prefer_failure = true;
}

static void option_filter(struct portctl_request *q, struct wire *o)
{
	struct portctl_filter f;

	if (wire_left(o) != FILTER_LEN) {
		q->error = PORTCTL_MALFORMED_OPTION;
		return;
	}
	wire_skip(o, 1);
	f.prefix_len = wire_get_u8(o);
	f.port = wire_get_u16(o);
	wire_get(o, f.addr, sizeof(f.addr));
	q->filtered = true;
	if (f.prefix_len > 128)
		q->error = PORTCTL_MALFORMED_OPTION;
	else if (!f.prefix_len)
		q->n_filters = 0; /* 13.3: removes those before it */
	else if (q->n_filters == PORTCTL_FILTERS)
		q->error = PORTCTL_EXCESSIVE_REMOTE_PEERS;
	else
		q->filter[q->n_filters++] = f;
}

static const struct option {
	void (*read)(struct portctl_request *q, struct wire *o);
	unsigned ops; /* a bit for each opcode it goes with */
} options[OPT_OPTIONAL] = {
	[OPT_THIRD_PARTY] = {option_third_party, 1u << OP_MAP | 1u << OP_PEER},
	[OPT_PREFER_FAILURE] = {option_prefer_failure, 1u << OP_MAP},
	[OPT_FILTER] = {option_filter, 1u << OP_MAP},
};

static void read_options(struct portctl_request *q, struct wire *w)
{
	while (wire_left(w) && !q->error) {
		uint8_t code = wire_get_u8(w);
		wire_skip(w, 1);
		uint16_t len = wire_get_u16(w);
		struct wire o = wire_sub(w, len);
		wire_skip(w, -(size_t)len & 3u); /* 7.3: padded to four */
		if (!wire_ok(w))
			q->error = PORTCTL_MALFORMED_OPTION;
		else if (code >= OPT_OPTIONAL)
			continue;
		else if (!options[code].read || !(options[code].ops >> q->opcode & 1))
			q->error = PORTCTL_UNSUPP_OPTION;
		else
			options[code].read(q, &o);
	}
}

static bool all_zero(const uint8_t a[16])
{
	static const uint8_t zero[16];

	return !memcmp(a, zero, sizeof(zero));
}

static void read_mapping(struct portctl_request *q, struct wire *w)
{
	wire_get(w, q->nonce, sizeof(q->nonce));
	q->proto = wire_get_u8(w);
	wire_skip(w, 3);
	q->internal_port = wire_get_u16(w);
	q->external_port = wire_get_u16(w);
	wire_get(w, q->external, sizeof(q->external));
	if (q->op == PORTCTL_PEER) {
		q->remote_port = wire_get_u16(w);
		wire_skip(w, 2);
		wire_get(w, q->remote, sizeof(q->remote));
	}
}

/* What only the mapping's own fields tell. */
static enum portctl_result check_mapping(const struct portctl_request *q)
{
	bool ports = q->proto == IPPROTO4_TCP || q->proto == IPPROTO4_UDP;

	if (q->op == PORTCTL_PEER && (!q->proto || !q->internal_port || !q->remote_port || all_zero(q->remote)))
		return PORTCTL_MALFORMED_REQUEST; /* 12.1, 12.3 */
	if (!q->proto && q->internal_port)
		return PORTCTL_MALFORMED_REQUEST; /* 11.1: all protocols means all ports */
	if (q->lifetime && (!ports || !q->internal_port))
		return PORTCTL_UNSUPP_PROTOCOL; /* no protocol without ports, no address as a whole */
	return PORTCTL_SUCCESS;
}

void pcp_parse(const void *bytes, size_t len, struct portctl_request *q)
{
	static const enum portctl_op ops[OPS] = {PORTCTL_ANNOUNCE, PORTCTL_MAP, PORTCTL_PEER};
	struct wire w = wire_reader(bytes, len);

	if (len < HEADER_LEN || len > PORTCTL_MSG_MAX || len % 4) { /* 8.3 */
		q->error = PORTCTL_MALFORMED_REQUEST;
		return;
	}
	if (q->opcode >= OPS) {
		q->error = PORTCTL_UNSUPP_OPCODE;
		return;
	}
	q->op = ops[q->opcode];
	wire_skip(&w, 4);
	q->lifetime = wire_get_u32(&w);
	wire_get(&w, q->client, sizeof(q->client));
	if (q->op != PORTCTL_ANNOUNCE)
		read_mapping(q, &w);
	if (!wire_ok(&w)) {
		q->error = PORTCTL_MALFORMED_REQUEST;
		return;
	}
	read_options(q, &w);
	if (!q->error && q->op != PORTCTL_ANNOUNCE)
		q->error = check_mapping(q);
}

/* ---- answers ---- */

static void put_header(struct wire *w, const struct portctl_request *q, const struct portctl_response *r)
{
	wire_put_u8(w, VERSION);
	wire_put_u8(w, q->opcode | RESPONSE);
	wire_put_u8(w, 0);
	wire_put_u8(w, (uint8_t)r->result);
	wire_put_u32(w, r->lifetime);
	wire_put_u32(w, r->epoch);
	wire_put_zero(w, 12);
}

/* 8.3: an error repeats what was asked, whole words of it and not more than a message. */
static void put_error_body(struct wire *w, const void *bytes, size_t len)
{
	struct wire in = wire_reader(bytes, len < PORTCTL_MSG_MAX ? len : PORTCTL_MSG_MAX);

	if (wire_left(&in) <= HEADER_LEN)
		return;
	wire_skip(&in, HEADER_LEN);
	size_t n = wire_left(&in);
	wire_put(w, wire_get_bytes(&in, n), n);
	wire_put_zero(w, -n & 3u);
}

static void put_option(struct wire *w, uint8_t code, uint16_t len)
{
	wire_put_u8(w, code);
	wire_put_u8(w, 0);
	wire_put_u16(w, len);
}

static void put_mapping(struct wire *w, const struct portctl_request *q, const struct portctl_response *r)
{
	wire_put(w, q->nonce, sizeof(q->nonce));
	wire_put_u8(w, q->proto);
	wire_put_zero(w, 3);
	wire_put_u16(w, q->internal_port);
	wire_put_u16(w, r->external_port);
	wire_put(w, r->external, sizeof(r->external));
	if (q->op == PORTCTL_PEER) {
		wire_put_u16(w, q->remote_port);
		wire_put_zero(w, 2);
		wire_put(w, q->remote, sizeof(q->remote));
	}
	if (q->prefer_failure)
		put_option(w, OPT_PREFER_FAILURE, 0);
	for (unsigned i = 0; i < q->n_filters; i++) {
		const struct portctl_filter *f = &q->filter[i];
		put_option(w, OPT_FILTER, FILTER_LEN);
		wire_put_u8(w, 0);
		wire_put_u8(w, f->prefix_len);
		wire_put_u16(w, f->port);
		wire_put(w, f->addr, sizeof(f->addr));
	}
}

size_t pcp_build(const struct portctl_request *q, const void *bytes, size_t len,
		 const struct portctl_response *r, void *room, size_t size)
{
	struct wire w = wire_writer(room, size < PORTCTL_MSG_MAX ? size : PORTCTL_MSG_MAX);

	put_header(&w, q, r);
	if (r->result)
		put_error_body(&w, bytes, len);
	else if (q->op != PORTCTL_ANNOUNCE)
		put_mapping(&w, q, r);
	return wire_ok(&w) ? wire_pos(&w) : 0;
}
