/* Between the switch and the DHCP server: frames in, frames out.  Kept apart from
 * dhcp_server.c, which needs no switch. */
#include <errno.h>

#include "dhcp/dhcp_frame.h"
#include "dhcp/dhcp_server_priv.h"
#include "net/clock.h"
#include "switch/port.h"
#include "switch/worker.h"

static struct pkt *build_frame(struct dhcp_server *s, domain_idx domain, const struct dhcp_reply *r)
{
	const struct dhcp_frame f = {s->server_mac, r->dst_mac, s->server_id, r->dst_ip, DHCP_SERVER_PORT,
				     DHCP_CLIENT_PORT};
	struct pkt *k = dhcp_frame_build(sw_main_pool(s->sw), &f, r->bytes, r->len);
	if (k)
		k->domain = domain;
	return k;
}

/* ---- answers that wait for the journal ---- */

static void send_waiting(void *arg)
{
	struct dhcp_server *s = arg;
	struct pkt *k = s->waiting;
	s->waiting = NULL;
	s->waiting_end = &s->waiting;
	s->n_waiting = 0;
	for (struct pkt *next; k; k = next) {
		next = k->next;
		k->next = NULL;
		sw_slow_down(s->gateway, k->domain, k);
	}
}

static void forget_waiting(struct dhcp_server *s)
{
	lease_store_off_synced(s->store, s);
	for (struct pkt *k = s->waiting, *next; k; k = next) {
		next = k->next;
		pkt_free(sw_main_pool(s->sw), k);
	}
	s->waiting = NULL;
}

/* Listens for syncs from the first answer that waits for one. */
static bool can_wait(struct dhcp_server *s)
{
	if (!lease_store_deferred(s->store) || s->n_waiting >= DHCP_WAITING_MAX)
		return false;
	if (s->on_free)
		return true;
	if (lease_store_on_synced(s->store, send_waiting, s))
		return false;
	s->waiting_end = &s->waiting;
	s->on_free = forget_waiting;
	return true;
}

static void enqueue(struct dhcp_server *s, struct pkt *k)
{
	k->next = NULL;
	*s->waiting_end = k;
	s->waiting_end = &k->next;
	s->n_waiting++;
}

static void answer(struct dhcp_server *s, domain_idx domain, const struct dhcp_reply *r)
{
	struct pkt *k = build_frame(s, domain, r);
	bool wait = r->commit && lease_store_dirty(s->store);
	if (!k) {
		s->stats.no_buffer++;
		return;
	}
	if (wait && can_wait(s)) {
		enqueue(s, k);
		return;
	}
	/* also when it fails: in memory only is what a full disk leaves us (lease.h) */
	if (wait)
		lease_store_sync(s->store);
	sw_slow_down(s->gateway, domain, k);
}

/* ---- messages in ---- */

void dhcp_receive(void *server, struct pkt *k)
{
	struct dhcp_server *s = server;
	struct dhcp_reply reply;
	uint8_t msg[DHCP_MSG_MAX];
	const struct port *in =
		k->in_port == PORT_NONE ? NULL : sw_port_at(s->gateway->sw, k->in_port);
	struct dhcp_request_ctx ctx = {.port = in ? in->name : "",
				       .port_index = k->in_port,
				       .now_s = clock_wall()};
	size_t len = dhcp_frame_read(k, DHCP_SERVER_PORT, msg);
	int r = -EBADMSG;
	if (!len)
		s->stats.malformed++;
	else
		r = dhcp_handle(s, &ctx, msg, len, &reply);
	if (r == 1)
		answer(s, k->domain, &reply);
	else if (r == -EBADMSG)
		sw_slow_refuse(k, DROP_SVC_MALFORMED);
	/* a release, or what was journalled beside an answer */
	if (lease_store_dirty(s->store) && !lease_store_deferred(s->store))
		lease_store_sync(s->store);
	pkt_free(sw_main_pool(s->sw), k);
}
