/* The port bitmaps of nat/ports.h. */
#include "nat/ports.h"

#include "net/headers.h"

#define OWN_TRIES 32u  /* held ports looked at for one of the owner's own */
#define SKIPS_MAX 1024u /* held ports that cannot be had now and are passed over */

static const uint64_t parity_mask[] = {
	[PORTS_ANY] = ~UINT64_C(0),
	[PORTS_EVEN] = UINT64_C(0x5555555555555555),
	[PORTS_ODD] = UINT64_C(0xaaaaaaaaaaaaaaaa),
};

static unsigned row(uint8_t proto)
{
	return proto == IPPROTO4_TCP ? PORTS_TCP : proto == IPPROTO4_UDP ? PORTS_UDP : PORTS_ICMP;
}

/* ---- sets ---- */

static bool has(const struct ports_set *s, unsigned port)
{
	return s->bit[port / 64] >> (port % 64) & 1;
}

static void put(struct ports_set *s, unsigned port)
{
	s->bit[port / 64] |= UINT64_C(1) << (port % 64);
}

static void drop(struct ports_set *s, unsigned port)
{
	s->bit[port / 64] &= ~(UINT64_C(1) << (port % 64));
}

/* The bits of `word` that lie in first..last. */
static uint64_t within(unsigned word, unsigned first, unsigned last)
{
	uint64_t m = ~UINT64_C(0);

	if (word == first / 64)
		m &= ~UINT64_C(0) << (first % 64);
	if (word == last / 64)
		m &= ~UINT64_C(0) >> (63 - last % 64);
	return word < first / 64 || word > last / 64 ? 0 : m;
}

static bool any_in(const struct ports_set *s, unsigned first, unsigned last)
{
	for (unsigned w = first / 64; w <= last / 64; w++) {
		if (s->bit[w] & within(w, first, last))
			return true;
	}
	return false;
}

/* ---- what is held ---- */

static void hold(struct ports *p, unsigned r, uint16_t port, uint32_t owner, nsec_t now)
{
	struct port_past *past = p->past[r];

	past[port] = (struct port_past){owner, (uint32_t)(now / NSEC_PER_SEC), p->newest[r], 0};
	if (p->newest[r])
		past[p->newest[r]].newer = port;
	else
		p->oldest[r] = port;
	p->newest[r] = port;
	put(&p->held[r], port);
}

static void unhold(struct ports *p, unsigned r, uint16_t port)
{
	struct port_past *past = p->past[r], *at = &past[port];

	if (!has(&p->held[r], port))
		return;
	*(at->older ? &past[at->older].newer : &p->oldest[r]) = at->newer;
	*(at->newer ? &past[at->newer].older : &p->newest[r]) = at->older;
	drop(&p->held[r], port);
}

static void let_go(struct ports *p, unsigned r, nsec_t now)
{
	uint32_t now_s = (uint32_t)(now / NSEC_PER_SEC);

	while (p->oldest[r] && now_s - p->past[r][p->oldest[r]].since_s > PORTS_HOLD / NSEC_PER_SEC)
		unhold(p, r, p->oldest[r]);
}

/* ---- single ports ---- */

void ports_init(struct ports *p)
{
	ports_set_range(p, 0, 0);
}

void ports_set_range(struct ports *p, uint16_t first, uint16_t last)
{
	p->first = first && first <= last ? first : PORTS_FIRST;
	p->last = first && first <= last ? last : PORTS_LAST;
}

bool ports_taken(const struct ports *p, uint8_t proto, uint16_t port)
{
	return has(&p->taken[row(proto)], port);
}

bool ports_take(struct ports *p, uint8_t proto, uint16_t port)
{
	if (ports_taken(p, proto, port))
		return false;
	unhold(p, row(proto), port);
	put(&p->taken[row(proto)], port);
	return true;
}

void ports_release(struct ports *p, uint8_t proto, uint16_t port, uint32_t owner, nsec_t now)
{
	unsigned r = row(proto);

	if (!has(&p->taken[r], port))
		return;
	drop(&p->taken[r], port);
	if (owner && port)
		hold(p, r, port, owner, now);
}

bool ports_reserved(struct ports *p, uint8_t proto, uint16_t port, uint32_t owner, nsec_t now)
{
	unsigned r = row(proto);

	let_go(p, r, now);
	return has(&p->taken[r], port) || has(&p->in_block, port) ||
	       (has(&p->held[r], port) && p->past[r][port].owner != owner);
}

/* ---- choosing ---- */

/* The first port from `start` on, once round first..last, that is in none of the sets. */
static int search(const struct ports_set *const no[3], unsigned first, unsigned last, unsigned start,
		  enum ports_parity parity)
{
	unsigned word = start / 64, n = last / 64 - first / 64 + 1;
	uint64_t upper = ~UINT64_C(0) << (start % 64);

	/* the first word twice: its upper part first, its lower part last */
	for (unsigned i = 0; i <= n; i++) {
		uint64_t bad = 0;
		for (unsigned j = 0; j < 3 && no[j]; j++)
			bad |= no[j]->bit[word];
		uint64_t free = ~bad & parity_mask[parity] & within(word, first, last);
		free &= i == 0 ? upper : ~UINT64_C(0);
		if (free)
			return (int)(word * 64 + (unsigned)__builtin_ctzll(free));
		word = word == last / 64 ? first / 64 : word + 1;
	}
	return -1;
}

static int search_parity(const struct ports_set *const no[3], unsigned first, unsigned last,
			 const struct ports_want *w)
{
	unsigned start = first + w->random % (last - first + 1);
	int port = search(no, first, last, start, w->parity);

	return port < 0 && w->parity != PORTS_ANY ? search(no, first, last, start, PORTS_ANY) : port;
}

/* A held port: one that was the owner's if a few looks find it, else the oldest. */
static int give_way(struct ports *p, unsigned r, uint32_t owner)
{
	uint16_t port = p->oldest[r], oldest = 0;
	unsigned tries = 0, skips = 0;

	for (; port && tries < OWN_TRIES && skips < SKIPS_MAX; port = p->past[r][port].newer) {
		if (has(&p->in_block, port) || port < p->first || port > p->last) {
			skips++;
			continue;
		}
		tries++;
		if (p->past[r][port].owner == owner)
			return port;
		if (!oldest)
			oldest = port;
	}
	if (!oldest)
		return -1;
	p->gave_way++;
	return oldest;
}

int ports_pick(struct ports *p, const struct ports_want *w)
{
	unsigned r = row(w->proto);
	const struct ports_set *const no[3] = {&p->taken[r], &p->held[r], &p->in_block};
	int port;

	let_go(p, r, w->now);
	port = search_parity(no, p->first, p->last, w);
	if (port < 0)
		port = give_way(p, r, w->owner);
	if (port >= 0)
		ports_take(p, w->proto, (uint16_t)port);
	return port;
}

int ports_pick_in(struct ports *p, const struct ports_want *w, struct port_block b)
{
	const struct ports_set *const no[3] = {&p->taken[row(w->proto)]};
	int port = b.len ? search_parity(no, b.first, b.first + b.len - 1u, w) : -1;

	if (port >= 0)
		ports_take(p, w->proto, (uint16_t)port);
	return port;
}

/* ---- blocks ---- */

static bool block_free(const struct ports *p, unsigned first, unsigned last, bool held_too)
{
	if (any_in(&p->in_block, first, last))
		return false;
	for (unsigned r = 0; r < PORTS_ROWS; r++) {
		if (any_in(&p->taken[r], first, last) || (!held_too && any_in(&p->held[r], first, last)))
			return false;
	}
	return true;
}

static bool block_search(struct ports *p, uint16_t len, uint32_t random, bool held_too,
			 struct port_block *ret_block)
{
	/* from whole multiples of the length, so that blocks of a kind leave no gaps */
	unsigned first = (p->first + len - 1u) / len * len;
	unsigned n = first + len - 1u <= p->last ? (p->last + 1u - first) / len : 0;

	for (unsigned i = 0; i < n; i++) {
		unsigned at = first + (random % n + i) % n * len;
		if (block_free(p, at, at + len - 1u, held_too)) {
			*ret_block = (struct port_block){(uint16_t)at, len};
			return true;
		}
	}
	return false;
}

bool ports_block_take(struct ports *p, uint16_t len, uint32_t random, nsec_t now,
		      struct port_block *ret_block)
{
	struct port_block b;

	for (unsigned r = 0; r < PORTS_ROWS; r++)
		let_go(p, r, now);
	if (!len)
		return false;
	if (!block_search(p, len, random, false, &b)) {
		if (!block_search(p, len, random, true, &b))
			return false;
		p->gave_way++;
	}
	for (unsigned i = 0; i < len; i++)
		put(&p->in_block, b.first + i);
	*ret_block = b;
	return true;
}

void ports_block_release(struct ports *p, struct port_block b)
{
	for (unsigned i = 0; i < b.len; i++)
		drop(&p->in_block, b.first + i);
}
