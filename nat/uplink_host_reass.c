/* Reassembly for uplink_host: a bitmap of 8-byte units for each datagram says what is there. */
#include "nat/uplink_host_reass.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "net/csum.h"
#include "net/headers.h"
#include "net/parse.h"

#define UNIT	    8u /* RFC 791 3.1: offsets count eight bytes */
#define UNITS	    (65536u / UNIT)
#define HEADERS	    (sizeof(struct eth_hdr) + sizeof(struct ip4_hdr))
#define PAYLOAD_MAX (65535u - sizeof(struct ip4_hdr))

struct datagram {
	bool used;
	be32 src, dst;
	be16 id;
	uint8_t proto;
	nsec_t since;
	uint32_t have; /* units */
	uint32_t len;  /* of the payload; 0 until the last fragment has come */
	uint32_t end;  /* of what is there */
	uint64_t unit[UNITS / 64];
	struct {
		struct eth_hdr eth;
		struct ip4_hdr ip;
		uint8_t payload[65536];
	} __attribute__((packed)) frame;
};

struct reass {
	struct datagram d[REASS_SLOTS];
};

struct reass *reass_new(void)
{
	return calloc(1, sizeof(struct reass));
}

void reass_free(struct reass *r)
{
	free(r);
}

static bool belongs(const struct datagram *d, const struct ip4_hdr *ip)
{
	return d->used && d->src == ip->src && d->dst == ip->dst && d->id == ip->id &&
	       d->proto == ip->proto;
}

/* The fragment's datagram, or the slot to begin it in: a free one, else the oldest. */
static struct datagram *find(struct reass *r, const struct ip4_hdr *ip, nsec_t now)
{
	struct datagram *oldest = &r->d[0], *d;

	for (d = r->d; d < r->d + REASS_SLOTS; d++) {
		if (d->used && now - d->since > REASS_TTL)
			d->used = false;
		if (belongs(d, ip))
			return d;
		if (!d->used || (oldest->used && d->since < oldest->since))
			oldest = d;
	}
	memset(oldest, 0, offsetof(struct datagram, frame));
	oldest->used = true;
	oldest->src = ip->src;
	oldest->dst = ip->dst;
	oldest->id = ip->id;
	oldest->proto = ip->proto;
	oldest->since = now;
	return oldest;
}

/* Marks the units of [at, at + len) as there; false when one was already. */
static bool mark(struct datagram *d, uint32_t at, uint32_t len)
{
	for (uint32_t u = at / UNIT; u < (at + len + UNIT - 1) / UNIT; u++) {
		uint64_t bit = UINT64_C(1) << (u % 64);

		if (d->unit[u / 64] & bit)
			return false;
		d->unit[u / 64] |= bit;
		d->have++;
	}
	return true;
}

/* Whether the fragment fits with what is there; the last one sets the length. */
static bool place(struct datagram *d, uint32_t at, uint32_t len, bool more)
{
	if (!len || at + len > PAYLOAD_MAX || (more && len % UNIT))
		return false;
	if (!more) {
		if (d->len)
			return false;
		d->len = at + len;
	}
	if (at + len > d->end)
		d->end = at + len;
	/* Nothing beyond the end, so that as many units as the length has are all of them. */
	return (!d->len || d->end <= d->len) && mark(d, at, len);
}

static void finish(struct datagram *d, const struct pkt *k)
{
	d->frame.eth = *pkt_eth(k);
	d->frame.ip = *pkt_ip4(k);
	d->frame.ip.ver_ihl = 0x45;
	d->frame.ip.len = htobe16((uint16_t)(sizeof(struct ip4_hdr) + d->len));
	d->frame.ip.frag = 0;
	d->frame.ip.csum = 0;
	d->frame.ip.csum = csum_ip4_header(&d->frame.ip, sizeof(d->frame.ip));
	d->used = false;
}

int reass_add(struct reass *r, const struct pkt *k, nsec_t now, const uint8_t **ret_frame,
	      uint32_t *ret_len)
{
	const struct ip4_hdr *ip = pkt_ip4(k);
	uint32_t header = (uint32_t)(ip->ver_ihl & 0xf) * 4, total = be16toh(ip->len);
	uint32_t at = (be16toh(ip->frag) & IP4_OFFSET) * UNIT, len = total - header;
	bool more = be16toh(ip->frag) & IP4_MF;
	struct datagram *d;

	if (total < header)
		return -EBADMSG;
	d = find(r, ip, now);
	if (!place(d, at, len, more) ||
	    !pkt_read(k, k->l3_off + header, &d->frame.payload[at], len)) {
		d->used = false;
		return -EBADMSG;
	}
	if (!d->len || d->have < (d->len + UNIT - 1) / UNIT)
		return 0;
	finish(d, k);
	*ret_frame = (const uint8_t *)&d->frame;
	*ret_len = (uint32_t)HEADERS + d->len;
	return 1;
}
