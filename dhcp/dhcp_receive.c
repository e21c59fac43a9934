/* Between the switch and the DHCP server: frames in, frames out.  Kept apart from
 * dhcp_server.c, which needs no switch. */
#include <errno.h>
#include <string.h>

#include "dhcp/dhcp_server_priv.h"
#include "net/clock.h"
#include "net/csum.h"
#include "net/parse.h"
#include "switch/port.h"
#include "switch/worker.h"

#define REPLY_TTL   64
#define IP4_VER_IHL 0x45

struct reply_hdr {
	struct eth_hdr eth;
	struct ip4_hdr ip;
	struct udp_hdr udp;
} __attribute__((packed));
_Static_assert(sizeof(struct reply_hdr) == 42, "no options");
_Static_assert(sizeof(struct reply_hdr) + DHCP_MSG_MAX <= PKT_HEAD_MAX, "an answer fits a head");

static struct pkt *build_frame(struct dhcp_server *s, domain_idx domain, const struct dhcp_reply *r)
{
	struct pkt_pool *pool = sw_main_pool(s->sw);
	struct pkt *k = pkt_new(pool);
	if (!k)
		return NULL;
	uint16_t udp_len = (uint16_t)(sizeof(struct udp_hdr) + r->len);
	struct reply_hdr h = {
		.eth = {r->dst_mac, s->server_mac, htobe16(ETHERTYPE_IP4)},
		.ip = {.ver_ihl = IP4_VER_IHL,
		       .len = htobe16((uint16_t)(sizeof(h.ip) + udp_len)),
		       .ttl = REPLY_TTL,
		       .proto = IPPROTO4_UDP,
		       .src = s->server_id,
		       .dst = r->dst_ip},
		.udp = {htobe16(DHCP_SERVER_PORT), htobe16(DHCP_CLIENT_PORT), htobe16(udp_len)},
	};
	h.ip.csum = csum_ip4_header(&h.ip, sizeof(h.ip));
	csum_t sum = csum_pseudo4(h.ip.src, h.ip.dst, IPPROTO4_UDP, udp_len);
	sum = csum_add(csum_add(sum, &h.udp, sizeof(h.udp)), r->bytes, r->len);
	h.udp.csum = csum_finish(sum);
	if (!h.udp.csum) /* RFC 768: zero would mean none */
		h.udp.csum = UINT16_MAX;
	struct wire w = wire_writer(k->head, PKT_HEAD_MAX);
	wire_put(&w, &h, sizeof(h));
	wire_put(&w, r->bytes, r->len);
	pkt_set_len(pool, k, (uint32_t)wire_pos(&w));
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

/* A checksum that a guest left to be finished has crossed no wire yet. */
static bool checksum_ok(const struct pkt *k, uint16_t udp_len)
{
	const struct ip4_hdr *ip = pkt_ip4(k);
	if (!pkt_udp(k)->csum || k->vnet.flags)
		return true;
	csum_t sum = csum_pseudo4(ip->src, ip->dst, IPPROTO4_UDP, udp_len);
	return csum_finish(sum + csum_fold(csum_pkt(k, k->l4_off, udp_len))) == 0;
}

/* The bytes after the UDP header, copied: the frame may be in pieces.  0 when it is not a
 * message to a DHCP server. */
static size_t read_message(const struct pkt *k, uint8_t buf[DHCP_MSG_MAX])
{
	const uint16_t need = PKT_IP4 | PKT_L4;
	if ((k->flags & need) != need || k->flags & PKT_FRAGMENT || k->ip_proto != IPPROTO4_UDP)
		return 0;
	uint16_t udp_len = be16toh(pkt_udp(k)->len);
	if (be16toh(pkt_udp(k)->dport) != DHCP_SERVER_PORT || udp_len <= sizeof(struct udp_hdr) ||
	    udp_len > sizeof(struct udp_hdr) + DHCP_MSG_MAX || udp_len > pkt_l4_len(k) ||
	    !checksum_ok(k, udp_len))
		return 0;
	size_t len = udp_len - sizeof(struct udp_hdr);
	return pkt_read(k, k->l4_off + sizeof(struct udp_hdr), buf, len) ? len : 0;
}

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
	size_t len = read_message(k, msg);
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
