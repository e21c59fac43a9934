/* Reassembly in front of libslirp: any series of fragments.  Each byte of a fragment says where it
 * stands, so that a datagram with a hole or a byte of another one is seen. */
#include <stdlib.h>
#include <string.h>

#include "nat/uplink_host_reass.h"
#include "net/csum.h"
#include "net/parse.h"
#include "net/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define HEADERS 34u

static uint8_t pattern(uint8_t id, size_t at)
{
	return (uint8_t)(id * 41 + at * 31 + (at >> 5));
}

static void check(bool ok)
{
	if (!ok)
		abort();
}

static struct pkt *fragment(struct pkt_pool *pool, uint8_t id, uint16_t frag, size_t len)
{
	uint8_t buf[HEADERS + 1500];
	struct ip4_hdr ip = {.ver_ihl = 0x45,
			     .len = htobe16((uint16_t)(20 + len)),
			     .id = id,
			     .frag = htobe16(frag),
			     .ttl = 64,
			     .proto = IPPROTO4_UDP,
			     .src = htobe32(0xc0000002),
			     .dst = htobe32(0xc6336401)};
	struct wire w = wire_writer(buf, sizeof(buf));
	size_t at = (frag & IP4_OFFSET) * 8u;

	ip.csum = csum_ip4_header(&ip, sizeof(ip));
	wire_put_zero(&w, 11);
	wire_put_u8(&w, 1); /* a source MAC */
	wire_put_u16(&w, ETHERTYPE_IP4);
	wire_put(&w, &ip, sizeof(ip));
	for (size_t i = 0; i < len; i++)
		wire_put_u8(&w, pattern(id, at + i));
	check(wire_ok(&w));
	return pkt_from(pool, buf, wire_pos(&w));
}

/* Four bytes of input are a fragment: id and flags, offset, length. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct arena *arena = arena_new(64, 1);
	struct pkt_pool *pool = pkt_pool_new(arena);
	struct reass *r = reass_new();
	struct wire w = wire_reader(data, len);
	nsec_t now = NSEC_PER_SEC;

	while (wire_left(&w) >= 4) {
		uint8_t id = wire_get_u8(&w), size = wire_get_u8(&w);
		uint16_t frag = wire_get_u16(&w) & (IP4_MF | IP4_OFFSET);
		struct pkt *k = fragment(pool, id, frag, (size_t)size * 4);
		const uint8_t *frame;
		uint32_t n;

		now += size ? 0 : NSEC_PER_SEC;
		check(k != NULL);
		if (pkt_parse(k) == DROP_NONE && k->flags & PKT_FRAGMENT &&
		    reass_add(r, k, now, &frame, &n) == 1) {
			check(n > HEADERS && n <= HEADERS + 65515);
			for (uint32_t i = HEADERS; i < n; i++)
				check(frame[i] == pattern(id, i - HEADERS));
		}
		pkt_free(pool, k);
	}
	reass_free(r);
	pkt_pool_free(pool);
	arena_free(arena);
	return 0;
}
