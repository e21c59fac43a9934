/* The port bitmaps of nat/ports.h. */
#include "nat/ports.h"

#include "net/headers.h"

#define WORDS (65536u / 64)
#define FIRST_WORD (PORTS_FIRST / 64)

static const uint64_t parity_mask[] = {
	[PORTS_ANY] = ~UINT64_C(0),
	[PORTS_EVEN] = UINT64_C(0x5555555555555555),
	[PORTS_ODD] = UINT64_C(0xaaaaaaaaaaaaaaaa),
};

static unsigned row(uint8_t proto)
{
	return proto == IPPROTO4_TCP ? 0 : proto == IPPROTO4_UDP ? 1 : 2;
}

bool ports_taken(const struct ports *p, uint8_t proto, uint16_t port)
{
	return p->bit[row(proto)][port / 64] >> (port % 64) & 1;
}

bool ports_take(struct ports *p, uint8_t proto, uint16_t port)
{
	if (ports_taken(p, proto, port))
		return false;
	p->bit[row(proto)][port / 64] |= UINT64_C(1) << (port % 64);
	return true;
}

void ports_release(struct ports *p, uint8_t proto, uint16_t port)
{
	p->bit[row(proto)][port / 64] &= ~(UINT64_C(1) << (port % 64));
}

int ports_pick(struct ports *p, uint8_t proto, enum ports_parity parity, uint32_t random)
{
	uint64_t *bits = p->bit[row(proto)];
	uint32_t start = PORTS_FIRST + random % (65536u - PORTS_FIRST);
	uint64_t from_start = ~UINT64_C(0) << (start % 64);
	unsigned word = start / 64;

	/* once round, the first word twice: its upper part first, its lower part last */
	for (unsigned i = 0; i <= WORDS - FIRST_WORD; i++) {
		uint64_t free = ~bits[word] & parity_mask[parity];
		if (i == 0)
			free &= from_start;
		if (free) {
			unsigned port = word * 64 + (unsigned)__builtin_ctzll(free);
			ports_take(p, proto, (uint16_t)port);
			return (int)port;
		}
		if (++word == WORDS)
			word = FIRST_WORD;
	}
	return -1;
}
