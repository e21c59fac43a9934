/* NAT-PMP and PCP: bytes to the common model and back, by the examples of RFC 6886 3 and
 * the layouts of RFC 6887 7, 11, 12, 13. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "nat/portctl.h"
#include "net/wire.h"

#define BOTH (PORTCTL_NATPMP | PORTCTL_PCP)
#define MAPPED(a, b, c, d) {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d}

static const uint8_t guest[16] = MAPPED(10, 10, 10, 5), outside[16] = MAPPED(203, 0, 113, 2),
		     server[16] = MAPPED(198, 51, 100, 1), nonce[12] = "0123456789a";
static uint8_t msg[1200];
static struct wire w;
static struct portctl_request q;

static void pcp_header(uint8_t opcode, uint32_t lifetime)
{
	w = wire_writer(msg, sizeof(msg));
	wire_put_u8(&w, 2);
	wire_put_u8(&w, opcode);
	wire_put_zero(&w, 2);
	wire_put_u32(&w, lifetime);
	wire_put(&w, guest, 16);
}

static void pcp_map(uint8_t opcode, uint32_t lifetime, uint8_t proto, uint16_t inside, uint16_t out)
{
	pcp_header(opcode, lifetime);
	wire_put(&w, nonce, 12);
	wire_put_u8(&w, proto);
	wire_put_zero(&w, 3);
	wire_put_u16(&w, inside);
	wire_put_u16(&w, out);
	wire_put_zero(&w, 16);
}

static void option(uint8_t code, const void *bytes, uint16_t len)
{
	wire_put_u8(&w, code);
	wire_put_u8(&w, 0);
	wire_put_u16(&w, len);
	wire_put(&w, bytes, len);
	wire_put_zero(&w, -(size_t)len & 3);
}

static void filter(uint8_t len, uint16_t port)
{
	uint8_t b[20];
	struct wire f = wire_writer(b, sizeof(b));

	wire_put_u8(&f, 0);
	wire_put_u8(&f, len);
	wire_put_u16(&f, port);
	wire_put(&f, server, 16);
	option(3, b, sizeof(b));
}

static enum portctl_result parsed(void)
{
	assert_true(wire_ok(&w));
	assert_int_equal(portctl_parse(msg, wire_pos(&w), BOTH, &q), 0);
	assert_int_equal(q.by, PORTCTL_PCP);
	return q.error;
}

static size_t answer(enum portctl_result result, uint8_t *out)
{
	struct portctl_response r = {.result = result, .lifetime = 60, .epoch = 7, .external_port = 8081};

	memcpy(r.external, outside, 16);
	return portctl_build(&q, msg, wire_pos(&w), &r, out, PORTCTL_MSG_MAX);
}

static void natpmp(void **state)
{
	static const uint8_t address[] = {0, 0}, map[] = {0, 2, 0, 0, 0, 80, 31, 144, 0, 0, 14, 16};
	static const uint8_t address_is[] = {0, 128, 0, 0, 0, 0, 0, 7, 203, 0, 113, 2};
	static const uint8_t map_is[] = {0, 130, 0, 0, 0, 0, 0, 7, 0, 80, 31, 145, 0, 0, 0, 60};
	static const uint8_t refused[] = {0, 130, 0, 2, 0, 0, 0, 7, 0, 80, 0, 0, 0, 0, 0, 0};
	uint8_t out[PORTCTL_MSG_MAX];

	assert_int_equal(portctl_parse(address, 2, BOTH, &q), 0);
	assert_int_equal(q.op, PORTCTL_ADDRESS);
	assert_int_equal(answer(PORTCTL_SUCCESS, out), sizeof(address_is));
	assert_memory_equal(out, address_is, sizeof(address_is));
	assert_int_equal(portctl_parse(map, sizeof(map), BOTH, &q), 0);
	assert_int_equal(q.error, 0);
	assert_int_equal(q.proto, 6);
	assert_int_equal(q.internal_port, 80);
	assert_int_equal(q.external_port, 8080);
	assert_int_equal(q.lifetime, 3600);
	assert_int_equal(answer(PORTCTL_SUCCESS, out), sizeof(map_is));
	assert_memory_equal(out, map_is, sizeof(map_is));
	assert_int_equal(answer(PORTCTL_NOT_AUTHORIZED, out), sizeof(refused));
	assert_memory_equal(out, refused, sizeof(refused));
}

static void natpmp_wrong(void **state)
{
	static const uint8_t cut[] = {0, 2, 0, 0, 0, 80}, op[] = {0, 9}, response[] = {0, 128};
	static const uint8_t all[] = {0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9};
	static const uint8_t delete_all[] = {0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
	static const uint8_t op_is[] = {0, 137, 0, 5};
	uint8_t out[PORTCTL_MSG_MAX];

	assert_int_equal(portctl_parse(cut, sizeof(cut), BOTH, &q), 0);
	assert_int_equal(q.error, PORTCTL_MALFORMED_REQUEST);
	assert_int_equal(portctl_parse(all, sizeof(all), BOTH, &q), 0);
	assert_int_equal(q.error, PORTCTL_NOT_AUTHORIZED);
	assert_int_equal(portctl_parse(delete_all, sizeof(delete_all), BOTH, &q), 0);
	assert_int_equal(q.error, 0);
	assert_int_equal(portctl_parse(op, sizeof(op), BOTH, &q), 0);
	assert_int_equal(answer(q.error, out), sizeof(op_is));
	assert_memory_equal(out, op_is, sizeof(op_is));
	assert_int_equal(portctl_parse(response, 2, BOTH, &q), -EINVAL);
	assert_int_equal(portctl_parse(op, 1, BOTH, &q), -EINVAL);
	assert_int_equal(portctl_parse(op, 2, 0, &q), -EINVAL);
}

/* RFC 6887 9 and appendix A: who speaks another version is told ours. */
static void versions(void **state)
{
	static const uint8_t natpmp_address[] = {0, 0}, one[24] = {1, 1};
	uint8_t out[PORTCTL_MSG_MAX];

	pcp_map(1, 3600, 6, 80, 0);
	assert_int_equal(portctl_parse(msg, wire_pos(&w), PORTCTL_NATPMP, &q), 0);
	assert_int_equal(answer(q.error, out), 4);
	assert_memory_equal(out, ((uint8_t[]){0, 129, 0, 1}), 4);
	assert_int_equal(portctl_parse(natpmp_address, 2, PORTCTL_PCP, &q), 0);
	assert_int_equal(q.error, PORTCTL_UNSUPP_VERSION);
	w.pos = 2;
	assert_int_equal(answer(q.error, out), 24);
	assert_memory_equal(out, ((uint8_t[]){2, 128, 0, 1}), 4); /* NAT-PMP reads: unsupported version */
	assert_int_equal(portctl_parse(one, sizeof(one), BOTH, &q), 0);
	assert_int_equal(q.error, PORTCTL_UNSUPP_VERSION);
}

static void pcp_maps(void **state)
{
	uint8_t out[PORTCTL_MSG_MAX];

	pcp_map(1, 3600, 17, 5000, 6000);
	option(2, NULL, 0);
	filter(120, 443);
	assert_int_equal(parsed(), PORTCTL_SUCCESS);
	assert_int_equal(q.op, PORTCTL_MAP);
	assert_int_equal(q.proto, 17);
	assert_int_equal(q.internal_port, 5000);
	assert_int_equal(q.external_port, 6000);
	assert_memory_equal(q.client, guest, 16);
	assert_memory_equal(q.nonce, nonce, 12);
	assert_true(q.prefer_failure);
	assert_int_equal(q.n_filters, 1);
	assert_int_equal(q.filter[0].prefix_len, 120);
	assert_int_equal(q.filter[0].port, 443);
	assert_int_equal(answer(PORTCTL_SUCCESS, out), 24 + 36 + 4 + 24);
	struct wire a = wire_reader(out, sizeof(out));
	assert_int_equal(wire_get_u32(&a), 0x02810000);
	assert_int_equal(wire_get_u32(&a), 60);
	assert_int_equal(wire_get_u32(&a), 7);
	wire_skip(&a, 12);
	assert_memory_equal(wire_get_bytes(&a, 12), nonce, 12);
	assert_int_equal(wire_get_u32(&a), 17u << 24);
	assert_int_equal(wire_get_u16(&a), 5000);
	assert_int_equal(wire_get_u16(&a), 8081);
	assert_memory_equal(wire_get_bytes(&a, 16), outside, 16);
}

static void pcp_peers(void **state)
{
	uint8_t out[PORTCTL_MSG_MAX];

	pcp_map(2, 3600, 6, 80, 0);
	wire_put_u16(&w, 443);
	wire_put_zero(&w, 2);
	wire_put(&w, server, 16);
	assert_int_equal(parsed(), PORTCTL_SUCCESS);
	assert_int_equal(q.op, PORTCTL_PEER);
	assert_int_equal(q.remote_port, 443);
	assert_memory_equal(q.remote, server, 16);
	assert_int_equal(answer(PORTCTL_SUCCESS, out), 24 + 56);
	filter(120, 0); /* FILTER goes with MAP only */
	assert_int_equal(parsed(), PORTCTL_UNSUPP_OPTION);
	pcp_map(2, 3600, 6, 80, 0);
	wire_put_zero(&w, 20);
	assert_int_equal(parsed(), PORTCTL_MALFORMED_REQUEST);
}

static void pcp_errors_repeat_the_request(void **state)
{
	uint8_t out[PORTCTL_MSG_MAX];

	pcp_map(1, 3600, 6, 80, 0);
	option(1, guest, 16);
	assert_int_equal(parsed(), PORTCTL_NOT_AUTHORIZED); /* THIRD_PARTY */
	assert_int_equal(answer(q.error, out), wire_pos(&w));
	assert_memory_equal(out + 24, msg + 24, wire_pos(&w) - 24);
	assert_int_equal(out[3], PORTCTL_NOT_AUTHORIZED);
}

static void pcp_announces(void **state)
{
	uint8_t out[PORTCTL_MSG_MAX];

	pcp_header(0, 0);
	assert_int_equal(parsed(), PORTCTL_SUCCESS);
	assert_int_equal(q.op, PORTCTL_ANNOUNCE);
	assert_int_equal(answer(PORTCTL_SUCCESS, out), 24);
}

static void pcp_refuses(void **state)
{
	static const uint8_t junk[5];

	pcp_header(5, 0);
	assert_int_equal(parsed(), PORTCTL_UNSUPP_OPCODE);
	pcp_header(1, 9); /* cut */
	assert_int_equal(parsed(), PORTCTL_MALFORMED_REQUEST);
	pcp_map(1, 9, 6, 80, 0);
	wire_put_u8(&w, 0); /* not of four */
	assert_int_equal(parsed(), PORTCTL_MALFORMED_REQUEST);
	pcp_map(1, 9, 6, 80, 0);
	wire_put_zero(&w, 1100 - 56); /* 1104 bytes */
	assert_int_equal(parsed(), PORTCTL_MALFORMED_REQUEST);
	pcp_map(1, 9, 0, 80, 0);
	assert_int_equal(parsed(), PORTCTL_MALFORMED_REQUEST);
	pcp_map(1, 9, 0, 0, 0);
	assert_int_equal(parsed(), PORTCTL_UNSUPP_PROTOCOL);
	pcp_map(1, 0, 0, 0, 0);
	assert_int_equal(parsed(), PORTCTL_SUCCESS); /* deletes all */
	pcp_map(1, 9, 132, 80, 0);
	assert_int_equal(parsed(), PORTCTL_UNSUPP_PROTOCOL);
	pcp_map(1, 9, 6, 80, 0);
	option(77, junk, 5);
	assert_int_equal(parsed(), PORTCTL_UNSUPP_OPTION);
	pcp_map(1, 9, 6, 80, 0);
	option(177, junk, 5); /* may be skipped, padding too */
	option(2, NULL, 0);
	assert_int_equal(parsed(), PORTCTL_SUCCESS);
	assert_true(q.prefer_failure);
	option(2, NULL, 0);
	assert_int_equal(parsed(), PORTCTL_MALFORMED_OPTION);
	pcp_map(1, 9, 6, 80, 0);
	wire_put_u32(&w, 0xb1000009); /* nine bytes, and there are four */
	wire_put_u32(&w, 0);
	assert_int_equal(parsed(), PORTCTL_MALFORMED_OPTION);
	pcp_map(1, 0, 6, 80, 0);
	option(2, NULL, 0);
	assert_int_equal(parsed(), PORTCTL_MALFORMED_REQUEST);
}

static void pcp_filters(void **state)
{
	pcp_map(1, 9, 6, 80, 0);
	for (unsigned i = 0; i < PORTCTL_FILTERS; i++)
		filter(120, (uint16_t)i);
	assert_int_equal(parsed(), PORTCTL_SUCCESS);
	assert_int_equal(q.n_filters, PORTCTL_FILTERS);
	filter(120, 99);
	assert_int_equal(parsed(), PORTCTL_EXCESSIVE_REMOTE_PEERS);
	pcp_map(1, 9, 6, 80, 0);
	filter(120, 1);
	filter(0, 0); /* removes what was before it */
	filter(128, 2);
	assert_int_equal(parsed(), PORTCTL_SUCCESS);
	assert_int_equal(q.n_filters, 1);
	assert_int_equal(q.filter[0].port, 2);
	filter(129, 0);
	assert_int_equal(parsed(), PORTCTL_MALFORMED_OPTION);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(natpmp),        cmocka_unit_test(natpmp_wrong),
		cmocka_unit_test(versions),      cmocka_unit_test(pcp_maps),
		cmocka_unit_test(pcp_peers),     cmocka_unit_test(pcp_errors_repeat_the_request),
		cmocka_unit_test(pcp_announces), cmocka_unit_test(pcp_refuses),
		cmocka_unit_test(pcp_filters),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
