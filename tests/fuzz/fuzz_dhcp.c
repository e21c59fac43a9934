/* DHCP messages from a hostile guest: parser and server, on a small network that stays
 * from message to message within one input.
 *
 * Input: records of one byte of context (low nibble: which port; high nibble: seconds, times
 * 16), two bytes of length, and a message.  What must hold whatever was said: no two
 * running leases share an address or a client, addresses stay inside the range, and an
 * answer parses and keeps its length. */
#include <stdio.h>
#include <stdlib.h>

#include "dhcp/dhcp_server.h"

#define T0	    1000
#define RECORDS_MAX 64
#define POOL	    8u

static be32 ip(uint8_t last)
{
	return htobe32(UINT32_C(0x0a0a0a00) | last);
}

static struct dhcp_server *server_new(struct lease_store *store)
{
	static const struct lease_reservation res = {.mac = {{0x52, 0x54, 0, 0, 0, 9}},
						     .address = UINT32_C(0x090a0a0a),
						     .hostname = "web"};
	static const struct dhcp_option opt = {.code = 42, .len = 4, .data = {10, 10, 10, 1}};
	struct dhcp_conf c = {.network = "lab",
			      .server_id = ip(1),
			      .router = ip(1),
			      .domain = "lab",
			      .subnet = {.addr = ip(0), .len = 24},
			      .range_first = ip(50),
			      .range_last = ip(50 + POOL - 1),
			      .reservations = &res,
			      .n_reservations = 1,
			      .options = &opt,
			      .n_options = 1,
			      .rapid_commit = true};
	return dhcp_server_new(store, &c);
}

static void need(bool ok)
{
	if (!ok)
		abort();
}

struct seen {
	unsigned bound[256];
};

static void check_lease(void *arg, const struct lease *l)
{
	struct seen *s = arg;
	unsigned last = be32toh(l->address) & 0xff;
	need((last >= 50 && last < 50 + POOL) || last == 9);
	need(++s->bound[last] == 1);
}

static void check_answer(const struct dhcp_reply *r)
{
	static struct dhcp_msg m;
	need(r->len >= DHCP_MSG_PAD && r->len <= DHCP_MSG_MAX);
	need(!dhcp_msg_parse(r->bytes, r->len, &m));
	need(dhcp_msg_has(&m, DHCP_OPT_TYPE) && dhcp_msg_has(&m, DHCP_OPT_SERVER_ID));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct dhcp_reply reply;
	struct lease_store *store = lease_store_new(NULL, T0);
	struct dhcp_server *s = server_new(store);
	struct wire w = wire_reader(data, len);
	int64_t now = T0;
	need(s != NULL);
	for (unsigned i = 0; i < RECORDS_MAX && wire_left(&w) > 3; i++) {
		char port[8];
		uint8_t how = wire_get_u8(&w);
		size_t n = wire_get_u16(&w);
		n = n < wire_left(&w) ? n : wire_left(&w);
		snprintf(port, sizeof(port), "p%u", how & 15);
		now += (how >> 4) * 16;
		struct dhcp_request_ctx ctx = {.port = port, .now_s = now};
		if (dhcp_handle(s, &ctx, wire_get_bytes(&w, n), n, &reply) == 1)
			check_answer(&reply);
		lease_store_each(store, check_lease, &(struct seen){{0}});
	}
	dhcp_server_free(s);
	lease_store_free(store);
	return 0;
}
