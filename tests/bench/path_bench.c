/* What a frame costs from one guest's ring to another's, through the whole pipeline: VLAN,
 * parser, learning, lookup, counters.  Drivers and switch take turns on one thread, so this
 * counts instructions (under `valgrind --tool=callgrind`, repeatably), not the traffic
 * between cores.
 *	build/tests/bench/path_bench [rounds [frame bytes [burst]]] */
#include <stdio.h>
#include <time.h>

#include "net/headers.h"
#include "switch/internal.h"
#include "tests/unit/vring_driver.h"

#define RING 256u
#define SLOT 2048u
#define MAC_A 0x020000000001u
#define MAC_B 0x020000000002u

struct side {
	struct guest g;
	struct driver drv;
	struct vring q;
	struct port *port;
};

static unsigned side_rx(struct port *p, unsigned queue, struct worker *w, struct pkt **out, unsigned max)
{
	unsigned lost = 0;

	return vring_dequeue(&((struct side *)p->priv)->q, worker_pool(w), out, max, &lost);
}
static void side_done(struct port *p, unsigned queue, struct worker *w)
{
	vring_dequeue_done(&((struct side *)p->priv)->q);
}
static void side_tx(struct port *p, struct worker *w, struct pkt_out *v, unsigned n)
{
	vring_enqueue(&((struct side *)p->priv)->q, v, n);
}
static const struct port_ops side_ops = {
	.type = "side", .tx_any = true, .rx_burst = side_rx, .rx_done = side_done, .tx_burst = side_tx};

static void side_init(struct side *s, struct sw *sw, const char *name)
{
	const struct port_conf conf = {.vlan = {.mode = VLAN_ACCESS, .pvid = 10}, .domain = DOMAIN_NONE};
	const struct port_caps caps = {.offloads = ~0u};
	const char *why;

	guest_init(&s->g);
	driver_init(&s->drv, &s->g, GUEST_A, RING,
		    1ull << VRING_F_VERSION_1 | 1ull << VRING_F_MRG_RXBUF | 1ull << VRING_F_EVENT_IDX);
	struct vring_conf c = driver_conf(&s->drv);
	if (vring_start(&s->q, s->g.mem, &c, &why) ||
	    sw_port_add(sw, name, &side_ops, s, &conf, caps, false, NULL, &s->port) ||
	    port_start(s->port, -1))
		abort();
}

/* 60 bytes of UDP, or more. */
static void frame_to(uint8_t *at, uint32_t len)
{
	struct mac a = mac_from_u64(MAC_A), b = mac_from_u64(MAC_B);
	struct eth_hdr *e = (void *)at;
	struct ip4_hdr *ip = (void *)(at + sizeof(*e));
	struct udp_hdr *u = (void *)(ip + 1);

	memset(at, 0, len);
	*e = (struct eth_hdr){.dst = b, .src = a, .type = htobe16(ETHERTYPE_IP4)};
	*ip = (struct ip4_hdr){.ver_ihl = 0x45, .ttl = 64, .proto = IPPROTO4_UDP};
	ip->len = htobe16((uint16_t)(len - sizeof(*e)));
	uint32_t sum = 0;
	for (unsigned i = 0; i < sizeof(*ip); i += 2)
		sum += (uint32_t)((uint8_t *)ip)[i] << 8 | ((uint8_t *)ip)[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	ip->csum = htobe16((uint16_t)~(sum + (sum >> 16)));
	u->len = htobe16((uint16_t)(len - sizeof(*e) - sizeof(*ip)));
}

static void drivers(struct side *a, struct side *b, unsigned round, uint32_t len, unsigned burst)
{
	uint32_t used;
	uint16_t id;

	while (driver_used(&a->drv, &id, &used))
		;
	while (driver_used(&b->drv, &id, &used))
		;
	for (unsigned i = 0; i < burst; i++) {
		uint64_t at = GUEST_B + SLOT * ((round * burst + i) % RING);
		struct sg in = {at, SLOT}, out = {at, 12 + len};
		if (!driver_add(&a->drv, &out, 1, false, 0) || !driver_add(&b->drv, &in, 1, true, 0))
			abort();
	}
	driver_publish(&a->drv);
	driver_publish(&b->drv);
	driver_want_calls(&a->drv, false);
	driver_want_calls(&b->drv, false);
}

int main(int argc, char **argv)
{
	unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 100000;
	uint32_t len = argc > 2 ? (uint32_t)atoi(argv[2]) : 60;
	unsigned burst = argc > 3 ? (unsigned)atoi(argv[3]) : 64;
	static struct side a, b;
	struct loop *loop = loop_new();
	struct sw *sw = sw_new(loop, &(struct sw_config){0});
	struct timespec t0, t1;
	domain_idx d;
	double ns = 0;

	if (sw_domain_add(sw, 10, "lab", &d))
		abort();
	side_init(&a, sw, "a");
	side_init(&b, sw, "b");
	sw_fdb_add_static(sw, d, mac_from_u64(MAC_B), b.port);
	for (unsigned i = 0; i < RING; i++)
		frame_to(guest_at(&a.g, GUEST_B + SLOT * i) + 12, len);
	for (unsigned i = 0; i < rounds; i++) {
		drivers(&a, &b, i, len, burst);
		vring_let_go(&a.q); /* all of it now: the driver has stopped */
		clock_gettime(CLOCK_MONOTONIC, &t0);
		if (worker_serve(&sw->worker[0], &a.port->rxq[0]) != burst)
			abort();
		clock_gettime(CLOCK_MONOTONIC, &t1);
		ns += (double)(t1.tv_sec - t0.tv_sec) * 1e9 + (double)(t1.tv_nsec - t0.tv_nsec);
	}
	printf("%u B, burst %u: %.1f ns/packet, sent %llu\n", len, burst, ns / rounds / burst,
	       (unsigned long long)counter_read(&b.port->c->tx_packets));
	return 0;
}
