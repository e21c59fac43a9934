/* A NAT on the real switch, without its thread: one network with guests behind a dummy
 * port, one uplink with the world behind another.
 *
 *	guests 10.10.10.x --- "guest" --- gw/lab === uplink/wan --- "world" --- 203.0.113.0/24, ...
 *
 * Frames are built and checked with sums of its own, byte by byte, so that a mistake in
 * net/csum.c does not hide itself.  Time moves only by nb_step(). */
#ifndef TESTS_NAT_BENCH_H
#define TESTS_NAT_BENCH_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "nat/gateway.h"
#include "nat/internal.h"
#include "net/clock.h"
#include "net/headers.h"
#include "switch/internal.h"
#include "tests/unit/dummy.h"

#define IP(a, b, c, d) htobe32((uint32_t)(a) << 24 | (b) << 16 | (c) << 8 | (d))
#define GW_IP IP(10, 10, 10, 1)
#define G1 IP(10, 10, 10, 11)
#define G2 IP(10, 10, 10, 12)
#define OUTSIDE IP(203, 0, 113, 2)
#define NEXT_HOP IP(203, 0, 113, 1)
#define R1 IP(198, 51, 100, 1)
#define R2 IP(198, 51, 100, 2)
#define GW_MAC 0x0200000000aaull
#define UP_MAC 0x0200000000bbull
#define WORLD_MAC 0x0200000000ccull
#define G1_MAC 0x525400000001ull
#define G2_MAC 0x525400000002ull

struct nb {
	struct loop *loop;
	struct sw *sw;
	struct nat *nat;
	domain_idx dom;
	struct gateway *gw;
	struct uplink *up;
	struct gateway_conf conf;
	struct dummy *guest, *world;
};

struct nb_pkt { /* what a test says about a packet, and what came out */
	uint64_t dst_mac, src_mac;
	be32 src, dst;
	uint16_t sport, dport; /* ICMP echo: sport is the id */
	uint8_t proto, flags, ttl;
	uint8_t type; /* ICMP */
	uint16_t payload, frag, mss;
	bool partial, no_csum;
	uint16_t gso_size;
};

static inline uint32_t nb_sum(uint32_t s, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		s += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return s;
}
static inline void nb_put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}
static inline uint16_t nb_get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}
static inline uint32_t nb_pseudo(const uint8_t *ip, size_t l4)
{
	uint8_t tail[4] = {0, ip[9], (uint8_t)(l4 >> 8), (uint8_t)l4};
	return nb_sum(nb_sum(0, ip + 12, 8), tail, 4);
}

/* Builds the frame; returns its length. */
static inline size_t nb_build(uint8_t *f, const struct nb_pkt *p)
{
	size_t header = p->proto == 6 ? (p->mss ? 24 : 20) : 8, l4 = header + p->payload;
	uint8_t *ip = f + 14, *t = f + 34;
	struct mac d = mac_from_u64(p->dst_mac), s = mac_from_u64(p->src_mac);
	size_t field = p->proto == 6 ? 16 : p->proto == 17 ? 6 : 2;

	memset(f, 0, 34 + l4);
	memcpy(f, d.b, 6);
	memcpy(f + 6, s.b, 6);
	nb_put16(f + 12, 0x0800);
	ip[0] = 0x45;
	nb_put16(ip + 2, (uint32_t)(20 + l4));
	nb_put16(ip + 4, 0x1234);
	nb_put16(ip + 6, p->frag);
	ip[8] = p->ttl ? p->ttl : 64;
	ip[9] = p->proto;
	memcpy(ip + 12, &p->src, 4);
	memcpy(ip + 16, &p->dst, 4);
	nb_put16(ip + 10, 0xffff ^ nb_sum(0, ip, 20));
	if (p->proto == 1) {
		t[0] = p->type;
		nb_put16(t + 4, p->sport);
	} else {
		nb_put16(t, p->sport);
		nb_put16(t + 2, p->dport);
	}
	if (p->proto == 17)
		nb_put16(t + 4, (uint32_t)l4);
	if (p->proto == 6) {
		t[12] = (uint8_t)(header / 4 << 4);
		t[13] = p->flags;
		if (p->mss) {
			t[20] = 2;
			t[21] = 4;
			nb_put16(t + 22, p->mss);
		}
	}
	for (size_t i = 0; i < p->payload; i++)
		t[header + i] = (uint8_t)(i * 7 + 3);
	uint32_t pseudo = p->proto == 1 ? 0 : nb_pseudo(ip, l4);
	if (p->partial)
		nb_put16(t + field, pseudo);
	else if (!p->no_csum)
		nb_put16(t + field, 0xffff ^ nb_sum(pseudo, t, l4));
	return 34 + l4;
}

/* Reads a frame back; false when it is not one of ours or a checksum is wrong. */
static inline bool nb_read(const struct dummy_frame *o, struct nb_pkt *ret)
{
	const uint8_t *f = o->bytes, *ip = f + 14, *t = f + 34;
	struct nb_pkt p = {0};
	struct mac d, s;

	memcpy(d.b, f, 6);
	memcpy(s.b, f + 6, 6);
	if (o->len < 42 || nb_get16(f + 12) != 0x0800 || nb_sum(0, ip, 20) != 0xffff)
		return false;
	size_t l4 = nb_get16(ip + 2) - 20u;
	p.dst_mac = mac_u64(d);
	p.src_mac = mac_u64(s);
	p.proto = ip[9];
	p.ttl = ip[8];
	p.frag = nb_get16(ip + 6);
	memcpy(&p.src, ip + 12, 4);
	memcpy(&p.dst, ip + 16, 4);
	p.type = t[0];
	p.sport = nb_get16(p.proto == 1 ? t + 4 : t);
	p.dport = p.proto == 1 ? 0 : nb_get16(t + 2);
	p.flags = p.proto == 6 ? t[13] : 0;
	p.payload = (uint16_t)l4;
	size_t field = p.proto == 6 ? 16 : p.proto == 17 ? 6 : 2;
	uint32_t pseudo = p.proto == 1 ? 0 : nb_pseudo(ip, l4);
	*ret = p;
	if (p.frag & 0x3fff)
		return true; /* not whole */
	if (o->vnet.flags & 1)
		return nb_get16(t + field) == pseudo;
	if (p.proto == 17 && !nb_get16(t + field))
		return true;
	return nb_sum(pseudo, t, l4) == 0xffff;
}

struct nb_push {
	struct nb *x;
	struct dummy *from;
	const uint8_t *frame;
	size_t len;
	struct virtio_net_hdr vnet;
};

static inline void nb_push_fn(struct worker *w, void *arg)
{
	struct nb_push *c = arg;
	struct pkt *k = pkt_from(worker_pool(w), c->frame, c->len);

	if (!k) {
		k = pkt_new(worker_pool(w));
		if (!k)
			return;
		if (c->len > PKT_HEAD_MAX && !pkt_add_big(worker_pool(w), k)) {
			pkt_free(worker_pool(w), k);
			return;
		}
		size_t head = c->len < PKT_HEAD_MAX ? c->len : PKT_HEAD_MAX;
		memcpy(k->head, c->frame, head);
		if (c->len > head)
			memcpy(k->big, c->frame + head, c->len - head);
		pkt_set_len(worker_pool(w), k, (uint32_t)c->len);
	}
	k->vnet = c->vnet;
	worker_inject(w, c->from->port, 0, k);
}

static inline void nb_push(struct nb *x, struct dummy *from, const void *frame, size_t len,
			   struct virtio_net_hdr vnet)
{
	struct nb_push c = {x, from, frame, len, vnet};

	worker_call(x->sw, NULL, nb_push_fn, &c);
}

static inline void nb_send(struct nb *x, struct dummy *from, const struct nb_pkt *p)
{
	uint8_t f[70000];
	size_t len = nb_build(f, p);
	struct virtio_net_hdr v = {0};

	if (p->partial) {
		v.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		v.csum_start = 34;
		v.csum_offset = p->proto == 6 ? 16 : 6;
	}
	if (p->gso_size) {
		v.gso_type = p->proto == 6 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_UDP_L4;
		v.gso_size = p->gso_size;
		v.hdr_len = 54;
	}
	nb_push(x, from, f, len, v);
}

/* Up to PKT_BURST small frames that the switch gets at once. */
struct nb_burst {
	struct dummy *from;
	unsigned n;
	size_t len[PKT_BURST];
	uint8_t frame[PKT_BURST][128];
};
static inline void nb_burst_add(struct nb_burst *b, const struct nb_pkt *p)
{
	b->len[b->n] = nb_build(b->frame[b->n], p);
	b->n++;
}
static inline void nb_burst_fn(struct worker *w, void *arg)
{
	struct nb_burst *b = arg;

	for (unsigned i = 0; i < b->n; i++) {
		struct pkt *k = pkt_from(worker_pool(w), b->frame[i], b->len[i]);
		if (!k)
			abort();
		worker_inject(w, b->from->port, 0, k);
	}
}
static inline void nb_burst_send(struct nb *x, struct nb_burst *b)
{
	worker_call(x->sw, NULL, nb_burst_fn, b);
}

/* From a guest to the world, and back. */
static inline struct nb_pkt nb_out(uint8_t proto, be32 src, uint16_t sport, be32 dst,
				   uint16_t dport)
{
	return (struct nb_pkt){.dst_mac = GW_MAC, .src_mac = src == G2 ? G2_MAC : G1_MAC,
			       .proto = proto, .src = src, .sport = sport, .dst = dst,
			       .dport = dport, .payload = 20, .flags = TCP_ACK, .type = 8};
}
static inline struct nb_pkt nb_in(uint8_t proto, be32 src, uint16_t sport, uint16_t dport)
{
	return (struct nb_pkt){.dst_mac = UP_MAC, .src_mac = WORLD_MAC, .proto = proto, .src = src,
			       .sport = sport, .dst = OUTSIDE, .dport = dport, .payload = 20,
			       .flags = TCP_ACK, .type = 0};
}

static inline void nb_arp(struct nb *x, struct dummy *from, uint64_t mac, be32 spa, be32 tpa,
			  uint16_t op)
{
	uint8_t f[60] = {0};
	struct mac m = mac_from_u64(mac);

	memset(f, 0xff, 6);
	memcpy(f + 6, m.b, 6);
	nb_put16(f + 12, 0x0806);
	nb_put16(f + 14, 1);
	nb_put16(f + 16, 0x0800);
	f[18] = 6;
	f[19] = 4;
	nb_put16(f + 20, op);
	memcpy(f + 22, m.b, 6);
	memcpy(f + 28, &spa, 4);
	memcpy(f + 38, &tpa, 4);
	nb_push(x, from, f, sizeof(f), (struct virtio_net_hdr){0});
}

static inline void nb_clear(struct nb *x)
{
	x->guest->n_out = x->world->n_out = 0;
}

static inline void nb_tick_fn(struct worker *w, void *arg)
{
	struct nb *x = arg;
	struct port *p[] = {x->gw ? gateway_port(x->gw) : NULL, x->up ? uplink_port(x->up) : NULL};

	for (unsigned i = 0; i < 2; i++) {
		if (p[i] && p[i]->tick_due && p[i]->tick_due <= w->now) {
			p[i]->tick_due = 0;
			p[i]->tick_due = p[i]->ops->tick(p[i], w, w->now);
		}
	}
}
/* Everyone says who he is, as he would when asked. */
static inline void nb_arp_all(struct nb *x)
{
	nb_arp(x, x->guest, G1_MAC, G1, GW_IP, 1);
	nb_arp(x, x->guest, G2_MAC, G2, GW_IP, 1);
	nb_arp(x, x->world, WORLD_MAC, NEXT_HOP, OUTSIDE, 1);
	nb_clear(x);
}
/* Moves the clock and runs what is due; over many seconds neighbours are kept fresh. */
static inline void nb_step(struct nb *x, uint64_t ms)
{
	x->sw->worker->now += ms * NSEC_PER_MSEC;
	for (unsigned i = 0; i < 3; i++)
		worker_call(x->sw, NULL, nb_tick_fn, x);
	if (ms > 10000)
		nb_arp_all(x);
}

static inline struct gateway_conf nb_conf(void)
{
	return (struct gateway_conf){
		.network = "lab",
		.mac = mac_from_u64(GW_MAC),
		.address = {GW_IP, 24},
		.flags = GATEWAY_SERVE_DHCP | GATEWAY_SERVE_DNS,
		.filtering = GATEWAY_FILTER_ADDRESS_AND_PORT_DEPENDENT,
	};
}

static inline struct nb *nb_new(const struct nat_limits *limits)
{
	struct nb *x = calloc(1, sizeof(*x));
	struct sw_config cfg = {.max_macs = 1000, .small_slots = 1024, .big_slots = 8};
	struct port_caps caps = {.offloads = 0x3f};
	struct uplink_conf uc = {.name = "wan", .mac = mac_from_u64(UP_MAC), .address = {OUTSIDE, 24},
				 .gateway = NEXT_HOP};
	struct port_conf gc = dummy_access(10), wc = dummy_access(1);

	x->loop = loop_new();
	x->sw = sw_new(x->loop, &cfg);
	x->conf = nb_conf();
	sw_domain_add(x->sw, 10, "lab", &x->dom);
	x->nat = nat_new(x->sw, limits);
	if (gateway_new(x->nat, x->dom, &x->conf, &x->gw) || uplink_new(x->nat, &uc, &x->up) ||
	    gateway_set_uplink(x->gw, x->up, NULL))
		abort();
	wc.domain = uplink_domain(x->up);
	x->guest = dummy_new(x->sw, "guest", &gc, caps);
	x->world = dummy_new(x->sw, "world", &wc, caps);
	nb_step(x, 1000);
	nb_arp_all(x);
	return x;
}

static inline void nb_free(struct nb *x)
{
	gateway_free(x->gw);
	uplink_free(x->up);
	nat_free(x->nat);
	sw_free(x->sw);
	dummy_free(x->guest);
	dummy_free(x->world);
	loop_free(x->loop);
	free(x);
}

static inline uint64_t nb_drops(struct port *p, enum drop_reason why)
{
	return counter_read(&p->c->tx_drop[why]);
}

#endif
