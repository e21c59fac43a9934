/* NAT-PMP (RFC 6886 3): messages of fixed length to and from the model of nat/portctl.h. */
#include "nat/portctl.h"
#include "net/headers.h"
#include "net/wire.h"

enum { OP_ADDRESS, OP_MAP_UDP, OP_MAP_TCP, OPS };

#define RESPONSE 0x80u
#define MAP_LEN 12u

enum natpmp_result { /* RFC 6886 3.5 */
	NATPMP_SUCCESS,
	NATPMP_UNSUPP_VERSION,
	NATPMP_REFUSED,
	NATPMP_NETWORK_FAILURE,
	NATPMP_NO_RESOURCES,
	NATPMP_UNSUPP_OPCODE
};

static const uint8_t results[PORTCTL_RESULTS] = {
	[PORTCTL_SUCCESS] = NATPMP_SUCCESS,
	[PORTCTL_UNSUPP_VERSION] = NATPMP_UNSUPP_VERSION,
	[PORTCTL_NOT_AUTHORIZED] = NATPMP_REFUSED,
	[PORTCTL_MALFORMED_REQUEST] = NATPMP_UNSUPP_OPCODE,
	[PORTCTL_UNSUPP_OPCODE] = NATPMP_UNSUPP_OPCODE,
	[PORTCTL_UNSUPP_OPTION] = NATPMP_UNSUPP_OPCODE,
	[PORTCTL_MALFORMED_OPTION] = NATPMP_UNSUPP_OPCODE,
	[PORTCTL_NETWORK_FAILURE] = NATPMP_NETWORK_FAILURE,
	[PORTCTL_NO_RESOURCES] = NATPMP_NO_RESOURCES,
	[PORTCTL_UNSUPP_PROTOCOL] = NATPMP_UNSUPP_OPCODE,
	[PORTCTL_USER_EX_QUOTA] = NATPMP_NO_RESOURCES,
	[PORTCTL_CANNOT_PROVIDE_EXTERNAL] = NATPMP_NO_RESOURCES,
	[PORTCTL_ADDRESS_MISMATCH] = NATPMP_REFUSED,
	[PORTCTL_EXCESSIVE_REMOTE_PEERS] = NATPMP_NO_RESOURCES,
};

void natpmp_parse(const void *bytes, size_t len, struct portctl_request *ret)
{
	struct wire w = wire_reader(bytes, len);

	wire_skip(&w, 2);
	if (ret->opcode == OP_ADDRESS) {
		ret->op = PORTCTL_ADDRESS;
		return;
	}
	if (ret->opcode >= OPS) { /* RFC 6886 3.5 */
		ret->error = PORTCTL_UNSUPP_OPCODE;
		return;
	}
	ret->op = PORTCTL_MAP;
	ret->proto = ret->opcode == OP_MAP_UDP ? IPPROTO4_UDP : IPPROTO4_TCP;
	wire_skip(&w, 2); /* reserved: ignored on reception (3.3) */
	ret->internal_port = wire_get_u16(&w);
	ret->external_port = wire_get_u16(&w);
	ret->lifetime = wire_get_u32(&w);
	if (!wire_ok(&w) || len != MAP_LEN)
		ret->error = PORTCTL_MALFORMED_REQUEST;
	else if (!ret->internal_port && ret->lifetime)
		ret->error = PORTCTL_NOT_AUTHORIZED; /* all ports can be deleted only (3.4) */
}

static void put_address(struct wire *w, const uint8_t external[16])
{
	struct wire a = wire_reader(external, 16);

	wire_skip(&a, 12);
	wire_put_u32(w, wire_get_u32(&a));
}

size_t natpmp_build(const struct portctl_request *q, const struct portctl_response *r, void *room,
		    size_t size)
{
	struct wire w = wire_writer(room, size);

	wire_put_u8(&w, 0);
	wire_put_u8(&w, q->opcode | RESPONSE);
	wire_put_u16(&w, results[r->result]);
	if (r->result == PORTCTL_UNSUPP_VERSION || r->result == PORTCTL_UNSUPP_OPCODE)
		return wire_ok(&w) ? wire_pos(&w) : 0;
	wire_put_u32(&w, r->epoch);
	if (q->op == PORTCTL_ADDRESS) {
		if (r->result)
			wire_put_u32(&w, 0); /* 3.2: the address is zero in an error */
		else
			put_address(&w, r->external);
	} else {
		wire_put_u16(&w, q->internal_port);
		wire_put_u16(&w, r->result ? 0 : r->external_port);
		wire_put_u32(&w, r->result ? 0 : r->lifetime); /* an error creates nothing (3.3) */
	}
	return wire_ok(&w) ? wire_pos(&w) : 0;
}
