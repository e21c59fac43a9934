/* Answers from a hostile DHCP server, to a client that lives through one input.
 *
 * Input: records of one byte of context (low bit: the transaction id is put right; bit 1: the
 * hardware address too; high nibble: seconds, times 64), two bytes of length, a message.  What must
 * hold: a lease has a unicast address, times in order, bounded routes; whoever waits is called
 * again; what is sent parses. */
#include <stdlib.h>
#include <string.h>

#include "dhcp/dhcp_client.h"

#define RECORDS_MAX 64
#define XID_AT	    4
#define CHADDR_AT   28

static const struct mac mac = {{2, 0, 0, 0, 0, 7}};

static void need(bool ok)
{
	if (!ok)
		abort();
}

static void check(const struct dhcp_client *c, const struct dhcp_client_out *o)
{
	static struct dhcp_msg m;

	if (o->len)
		need(o->len >= DHCP_MSG_PAD && !dhcp_msg_parse(o->bytes, o->len, &m) && m.op == DHCP_OP_REQUEST);
	if (c->has_lease) {
		need(!ip4_is_martian(c->lease.address.addr) && c->lease.address.len <= 32);
		need(c->lease.t1_s <= c->lease.t2_s && c->lease.t2_s <= c->lease.lease_s);
		need(c->lease.n_routes <= DHCP_CLIENT_ROUTES);
	}
	need(c->at || (c->has_lease && !c->end));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct dhcp_client_out o;
	static uint8_t buf[65536];
	struct wire w = wire_reader(data, len);
	struct dhcp_client c;
	nsec_t now = NSEC_PER_SEC;

	dhcp_client_init(&c, mac, "h", 0, 1, now);
	for (unsigned i = 0; i < RECORDS_MAX && wire_left(&w) > 3; i++) {
		uint8_t how = wire_get_u8(&w);
		size_t n = wire_get_u16(&w);
		n = n < wire_left(&w) ? n : wire_left(&w);
		now += (nsec_t)(how >> 4) * 64 * NSEC_PER_SEC;
		dhcp_client_tick(&c, now, &o);
		check(&c, &o);
		if (n)
			memcpy(buf, wire_get_bytes(&w, n), n);
		be32 xid = htobe32(c.xid);
		if ((how & 1) && n >= XID_AT + sizeof(xid))
			memcpy(buf + XID_AT, &xid, sizeof(xid));
		if ((how & 2) && n >= CHADDR_AT + sizeof(mac))
			memcpy(buf + CHADDR_AT, &mac, sizeof(mac));
		dhcp_client_input(&c, now, buf, n, &o);
		check(&c, &o);
	}
	dhcp_client_release(&c, &o);
	return 0;
}
