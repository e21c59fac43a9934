/* The queue of backlog.h, for dgram.c and stream.c, which know when there is room. */
#include "tap/backlog.h"

#define VLAN_LEN 4u

static bool has_room(const struct backlog *b, const struct pkt *k)
{
	return !b->deaf && !b->broken && b->n < BACKLOG_FRAMES &&
	       b->share->frames < BACKLOG_PORT_FRAMES &&
	       (k->len <= PKT_HEAD_MAX || b->share->big < BACKLOG_PORT_BIG);
}

/* A copy, not the packet itself: that is still to be captured, and its tail may be
 * memory that is there for this burst only. */
static bool keep(struct backlog *b, struct worker *w, const struct pkt_out *o)
{
	struct pkt *k = has_room(b, o->pkt) ? pkt_copy(worker_pool(w), o->pkt) : NULL;

	if (!k)
		return false;
	k->tag = o->tag;
	if (b->n++)
		b->last->next = k;
	else
		b->first = k;
	b->last = k;
	b->share->frames++;
	b->share->big += k->big != NULL;
	return true;
}

void backlog_keep(struct backlog *b, struct port *p, struct worker *w, struct pkt_out *v,
		  unsigned n)
{
	bool was_empty = !b->n;

	for (unsigned i = 0; i < n; i++) {
		bool kept = keep(b, w, &v[i]);
		v[i].drop = kept ? DROP_NONE : DROP_TX_FULL;
		b->broken = !kept && v[i].pkt->flags & PKT_MORE;
	}
	if (was_empty && b->n) {
		b->moved = worker_now(w);
		port_tick_at(p, w, b->moved + BACKLOG_PATIENCE);
	}
}

unsigned backlog_peek(const struct backlog *b, struct pkt_out v[PKT_BURST])
{
	unsigned n = 0;

	for (struct pkt *k = b->first; k && n < PKT_BURST; k = k->next)
		v[n++] = (struct pkt_out){.pkt = k, .tag = k->tag};
	return n;
}

static void remove_first(struct backlog *b, struct port *p, struct worker *w, enum drop_reason why)
{
	struct pkt *k = b->first;

	if (why && !(k->flags & PKT_MORE))
		port_tx_undo(p, why, k->len + (k->tag.tpid ? VLAN_LEN : 0));
	b->first = k->next;
	b->n--;
	b->share->frames--;
	b->share->big -= k->big != NULL;
	pkt_free(worker_pool(w), k);
}

void backlog_done(struct backlog *b, struct port *p, struct worker *w, const struct pkt_out *v,
		  unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		remove_first(b, p, w, v[i].drop);
	if (n)
		b->moved = worker_now(w);
}

void backlog_drop(struct backlog *b, struct port *p, struct worker *w, enum drop_reason why)
{
	while (b->n)
		remove_first(b, p, w, why);
}

nsec_t backlog_tick(struct backlog *b, struct port *p, struct worker *w, nsec_t now)
{
	if (b->n && now - b->moved < BACKLOG_PATIENCE)
		return b->moved + BACKLOG_PATIENCE;
	if (b->n) {
		b->deaf = true;
		backlog_drop(b, p, w, DROP_TX_FULL);
	}
	return 0;
}
