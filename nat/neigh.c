/* Neighbours of gateways and uplinks: the cache, the questions, the packets that wait, ARP; neighbour
 * discovery is neigh_nd.c's.  nat/flow.h's mappings and sessions keep references into it. */
#include "nat/neigh_int.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "net/parse.h"
#include "net/wire.h"

#define NEIGH_TICK (100 * NSEC_PER_MSEC)
#define ARP_FRAME_LEN ETH_MIN_NO_FCS

int neigh_table_init(struct neigh_table *t, nsec_t now)
{
	*t = (struct neigh_table){0};
	if (table_init(&t->by_ip, 4096) < 0)
		return -ENOMEM;
	t->slot = mmap(NULL, NEIGH_MAX * sizeof(*t->slot), PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (t->slot == MAP_FAILED) {
		t->slot = NULL;
		table_fini(&t->by_ip);
		return -ENOMEM;
	}
	wheel_init(&t->wheel, now, NEIGH_TICK);
	return 0;
}

void neigh_table_fini(struct neigh_table *t)
{
	if (!t->slot)
		return;
	munmap(t->slot, NEIGH_MAX * sizeof(*t->slot));
	table_fini(&t->by_ip);
	t->slot = NULL;
}

void neigh_if_init(struct neigh_if *nif)
{
	lru_init(&nif->entries);
	lru_init(&nif->asked);
	nif->count = nif->waiting = nif->n_asked = 0;
}

static uint32_t hash_of(const struct neigh_table *t, domain_idx d, const uint8_t ip[16])
{
	uint64_t half[2];

	memcpy(half, ip, sizeof(half));
	return table_hash2(&t->by_ip, half[0] ^ d, half[1]);
}

static const uint8_t mapped[12] = {[10] = 0xff, 0xff};

static void map4(be32 ip, uint8_t ret[16])
{
	memcpy(ret, mapped, sizeof(mapped));
	memcpy(ret + sizeof(mapped), &ip, sizeof(ip));
}

static bool has_answered(const struct neigh *n)
{
	return n->state == NEIGH_REACHABLE_ || n->state == NEIGH_PROBE;
}

/* Moves n to the list of its state, as the youngest. */
static void set_state(struct neigh *n, enum neigh_state s)
{
	struct neigh_if *nif = n->nif;
	bool was = has_answered(n);

	n->state = (uint8_t)s;
	lru_del(&n->lru);
	lru_add(has_answered(n) ? &nif->entries : &nif->asked, &n->lru);
	nif->n_asked = nif->n_asked + was - has_answered(n);
}

/* One waiting packet is lost.  A frame that had been counted as sent by its origin is moved to
 * the origin's drops; one of our own counts as read and lost at the interface. */
static void lose(struct neigh_if *nif, struct worker *w, struct pkt *k, struct port *origin,
		 enum drop_reason why)
{
	if (origin)
		port_tx_undo(origin, why, k->len);
	else
		port_rx_lost(nif->port, why, 1, k->len);
	pkt_free(worker_pool(w), k);
}

static void drop_waiting(struct neigh *n, struct worker *w, nsec_t now, enum drop_reason why)
{
	struct neigh_if *nif = n->nif;
	unsigned count = n->n_wait;

	n->n_wait = 0; /* first: `lost` may come back here with packets of its own */
	nif->waiting -= count;
	for (unsigned i = 0; i < count; i++) {
		if (now && nif->lost)
			nif->lost(nif, w, now, n->wait[i].k);
		lose(nif, w, n->wait[i].k, n->wait[i].origin, why);
	}
}

static void neigh_free(struct neigh_table *t, struct neigh *n, struct worker *w)
{
	drop_waiting(n, w, 0, DROP_GW_ARP_QUEUE);
	wheel_stop(&t->wheel, &n->timer);
	table_del(&t->by_ip, &n->node);
	lru_del(&n->lru);
	n->nif->count--;
	if (!has_answered(n))
		n->nif->n_asked--;
	n->nif = NULL;
	n->state = NEIGH_FREE;
	n->next_free = t->free;
	t->free = n;
	t->used--;
}

void neigh_if_flush(struct neigh_table *t, struct neigh_if *nif, struct worker *w)
{
	struct lru_node *l;

	while ((l = lru_oldest(&nif->entries)) || (l = lru_oldest(&nif->asked)))
		neigh_free(t, container_of(l, struct neigh, lru), w);
}

void neigh_forget_origin(struct neigh_table *t, struct port *origin, struct worker *w)
{
	for (uint32_t i = 0; i < t->fresh; i++) {
		struct neigh *n = &t->slot[i];
		for (unsigned j = 0; j < n->n_wait; j++) {
			if (n->wait[j].origin != origin)
				continue;
			lose(n->nif, w, n->wait[j].k, origin, DROP_GW_UNREACHABLE);
			n->wait[j] = n->wait[--n->n_wait];
			n->nif->waiting--;
			j--;
		}
	}
}

struct neigh *neigh_find16(struct neigh_table *t, const struct neigh_if *nif, const uint8_t ip[16])
{
	uint32_t h = hash_of(t, nif->domain, ip);

	for (struct tab_node *b = table_chain(&t->by_ip, h); b; b = b->next) {
		struct neigh *n = container_of(b, struct neigh, node);
		if (b->hash == h && n->nif == nif && !memcmp(n->ip, ip, sizeof(n->ip)))
			return n;
	}
	return NULL;
}

struct neigh *neigh_find(struct neigh_table *t, const struct neigh_if *nif, be32 ip)
{
	uint8_t key[16];

	map4(ip, key);
	return neigh_find16(t, nif, key);
}

static struct neigh *take_slot(struct neigh_table *t)
{
	struct neigh *n = t->free;

	if (n)
		t->free = n->next_free;
	else if (t->fresh < NEIGH_MAX)
		n = &t->slot[t->fresh++];
	if (n) {
		uint32_t gen = n->gen + 1 ? n->gen + 1 : 1;
		*n = (struct neigh){.gen = gen};
		t->used++;
	}
	return n;
}

/* Makes room for one more that has not answered yet, or is known already. */
static bool make_room(struct neigh_table *t, struct neigh_if *nif, bool known)
{
	struct lru_node *l = NULL;
	bool full = nif->count >= NEIGH_IF_MAX || (t->fresh == NEIGH_MAX && !t->free);

	if (!full && (known || nif->n_asked < NEIGH_IF_ASKED))
		return true;
	l = lru_oldest(&nif->asked);
	if (!l && known)
		l = lru_oldest(&nif->entries);
	/* no worker needed: what waits the longest has long been answered or dropped */
	if (!l || container_of(l, struct neigh, lru)->n_wait)
		return false;
	neigh_free(t, container_of(l, struct neigh, lru), NULL);
	return true;
}

struct neigh *neigh_get16(struct neigh_table *t, struct neigh_if *nif, const uint8_t ip[16], bool known)
{
	struct neigh *n = neigh_find16(t, nif, ip);

	if (n || !make_room(t, nif, known))
		return n;
	n = take_slot(t);
	if (!n)
		return NULL;
	memcpy(n->ip, ip, sizeof(n->ip));
	n->nif = nif;
	n->state = NEIGH_FAILED;
	nif->count++;
	nif->n_asked++;
	table_add(&t->by_ip, &n->node, hash_of(t, nif->domain, ip));
	lru_add(&nif->asked, &n->lru);
	return n;
}

struct neigh *neigh_get(struct neigh_table *t, struct neigh_if *nif, be32 ip)
{
	uint8_t key[16];

	map4(ip, key);
	return neigh_get16(t, nif, key, false);
}

struct neigh *neigh_get6(struct neigh_table *t, struct neigh_if *nif, const uint8_t ip[16])
{
	return neigh_get16(t, nif, ip, false);
}

/* ---- sending ---- */

void neigh_emit(struct neigh_if *nif, struct worker *w, struct pkt *k, struct mac dst)
{
	struct eth_hdr *e = pkt_eth(k);

	e->dst = dst;
	e->src = nif->mac;
	k->tag = (struct vlan_tag){0};
	worker_inject(w, nif->port, nif->domain, k);
}

static void arp_send(struct neigh_if *nif, struct worker *w, uint16_t op, struct mac eth_dst,
		     be32 spa, struct mac tha, be32 tpa)
{
	uint8_t room[ARP_FRAME_LEN];
	struct wire o = wire_writer(room, sizeof(room));

	wire_put_mac(&o, eth_dst);
	wire_put_mac(&o, nif->mac);
	wire_put_u16(&o, ETHERTYPE_ARP);
	wire_put_u16(&o, ARP_HTYPE_ETHER);
	wire_put_u16(&o, ETHERTYPE_IP4);
	wire_put_u8(&o, 6);
	wire_put_u8(&o, 4);
	wire_put_u16(&o, op);
	wire_put_mac(&o, nif->mac);
	wire_put_ip4(&o, spa);
	wire_put_mac(&o, tha);
	wire_put_ip4(&o, tpa);
	wire_put_zero(&o, wire_left(&o));
	struct pkt *k = pkt_from(worker_pool(w), room, sizeof(room));
	if (k)
		worker_inject(w, nif->port, nif->domain, k);
	else
		port_rx_lost(nif->port, DROP_RX_NO_BUFFER, 1, sizeof(room));
}

void neigh_ask(struct neigh_if *nif, struct worker *w, be32 ip, const struct mac *at)
{
	arp_send(nif, w, ARP_REQUEST, at ? *at : MAC_BROADCAST, nif->address.addr, (struct mac){{0}}, ip);
}

void neigh_announce(struct neigh_if *nif, struct worker *w)
{
	arp_send(nif, w, ARP_REQUEST, MAC_BROADCAST, nif->address.addr, (struct mac){{0}},
		 nif->address.addr);
}

static void arm(struct neigh_table *t, struct neigh *n, struct worker *w, nsec_t at)
{
	wheel_arm(&t->wheel, &n->timer, at);
	if (t->wake)
		t->wake(t->arg, w, at);
}

/* Asks for n: the first time everyone, when it was known only itself (RFC 4861 7.3.3). */
static void ask(struct neigh_table *t, struct neigh *n, struct worker *w, nsec_t now)
{
	const struct mac *at = n->state == NEIGH_PROBE ? &n->mac : NULL;
	be32 ip;

	n->tries++;
	if (memcmp(n->ip, mapped, sizeof(mapped))) {
		neigh_solicit(n->nif, w, n->ip, at);
	} else {
		memcpy(&ip, n->ip + sizeof(mapped), sizeof(ip));
		neigh_ask(n->nif, w, ip, at);
	}
	arm(t, n, w, now + NEIGH_RETRY);
}

/* Whether one more may be asked for: a bucket that drains at NEIGH_ASK_RATE. */
static bool may_ask(struct neigh_if *nif, nsec_t now)
{
	const nsec_t each = NSEC_PER_SEC / NEIGH_ASK_RATE;

	if (nif->asked_until < now)
		nif->asked_until = now;
	if (nif->asked_until - now > NSEC_PER_SEC)
		return false;
	nif->asked_until += each;
	return true;
}

static void start_asking(struct neigh_table *t, struct neigh *n, struct worker *w, nsec_t now,
			 enum neigh_state s)
{
	set_state(n, s);
	n->tries = 0;
	ask(t, n, w, now);
}

/* A packet whose tail lies in memory that is only lent must be copied to wait. */
static struct pkt *keepable(struct pkt *k, struct worker *w)
{
	if (!k->n_tail || k->tail == &k->own_tail)
		return k;
	struct pkt *c = pkt_copy(worker_pool(w), k);
	if (c)
		pkt_free(worker_pool(w), k);
	return c;
}

static enum drop_reason wait_for(struct neigh *n, struct worker *w, struct pkt *k,
				 struct port *origin)
{
	if (n->n_wait >= NEIGH_QUEUE || n->nif->waiting >= NEIGH_IF_QUEUE)
		return DROP_GW_ARP_QUEUE;
	k = keepable(k, w);
	if (!k)
		return DROP_GW_ARP_QUEUE;
	n->wait[n->n_wait].k = k;
	n->wait[n->n_wait++].origin = origin;
	n->nif->waiting++;
	return DROP_NONE;
}

enum drop_reason neigh_output(struct neigh_table *t, struct neigh *n, struct worker *w, nsec_t now,
			      struct pkt *k, struct port *origin)
{
	enum drop_reason why;

	switch (n->state) {
	case NEIGH_FAILED:
		if (n->confirmed && now < n->confirmed + NEIGH_FAILED_FOR)
			return DROP_GW_UNREACHABLE;
		if (!may_ask(n->nif, now))
			return DROP_GW_ARP_QUEUE;
		why = wait_for(n, w, k, origin);
		if (why == DROP_NONE)
			start_asking(t, n, w, now, NEIGH_INCOMPLETE);
		return why;
	case NEIGH_INCOMPLETE:
		return wait_for(n, w, k, origin);
	case NEIGH_REACHABLE_:
		if (now - n->confirmed > NEIGH_REACHABLE)
			start_asking(t, n, w, now, NEIGH_PROBE);
		break;
	default:
		break;
	}
	neigh_emit(n->nif, w, k, n->mac);
	return DROP_NONE;
}

/* ---- answers ---- */

void neigh_confirm(struct neigh_table *t, struct neigh *n, struct worker *w, nsec_t now,
		    struct mac mac)
{
	struct neigh_if *nif = n->nif;
	unsigned count = n->n_wait;

	n->mac = mac;
	set_state(n, NEIGH_REACHABLE_);
	n->confirmed = now;
	n->n_wait = 0;
	nif->waiting -= count;
	wheel_stop(&t->wheel, &n->timer);
	for (unsigned i = 0; i < count; i++)
		neigh_emit(nif, w, n->wait[i].k, mac);
}

static bool is_ours(const struct neigh_if *nif, be32 ip)
{
	return ip && (ip == nif->address.addr || ip == nif->also);
}

void neigh_arp_input(struct neigh_table *t, struct neigh_if *nif, struct worker *w, nsec_t now,
		     const struct pkt *k)
{
	const struct arp_hdr *a = pkt_arp(k);
	struct mac sha = a->sha;
	be32 spa = a->spa;

	/* RFC 826: learn from whoever we know, and from whoever asks for us.  The claims of
	 * group addresses and of our own addresses are nobody's; RFC 5227 probes have spa 0. */
	bool for_us = is_ours(nif, a->tpa);
	if (spa && !is_ours(nif, spa) && prefix4_contains(nif->address, spa) &&
	    !mac_is_group(sha) && !mac_is_zero(sha)) {
		uint8_t key[16];
		map4(spa, key);
		struct neigh *n = for_us ? neigh_get16(t, nif, key, true) : neigh_find16(t, nif, key);
		if (n)
			neigh_confirm(t, n, w, now, sha);
	}
	if (for_us && !nif->quiet && a->op == htobe16(ARP_REQUEST))
		arp_send(nif, w, ARP_REPLY, sha, a->tpa, sha, spa);
}

/* ---- time ---- */

struct due_arg {
	struct neigh_table *t;
	struct worker *w;
	nsec_t now;
};

static void due(void *arg, struct wheel_timer *timer)
{
	struct due_arg *d = arg;
	struct neigh *n = container_of(timer, struct neigh, timer);

	if (n->tries < NEIGH_TRIES) {
		ask(d->t, n, d->w, d->now);
		return;
	}
	set_state(n, NEIGH_FAILED);
	n->confirmed = d->now;
	drop_waiting(n, d->w, d->now, DROP_GW_UNREACHABLE);
}

void neigh_advance(struct neigh_table *t, struct worker *w, nsec_t now)
{
	struct due_arg d = {t, w, now};

	wheel_advance(&t->wheel, now, due, &d);
}
