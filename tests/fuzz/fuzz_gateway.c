/* Frames of any shape at both sides of a NAT, with time passing between them.
 *
 * The input is a list of records:
 *	op:1 len:1 bytes:len
 * op bits 0-1: 0 from the guest, 1 from the world, 2 the last frame that left to the world
 * comes back turned around with the record's bytes xored over it from byte 20 on,
 * 3 the clock moves by len seconds.  Bit 2: pad the frame to 1600 bytes.
 * The byte before the records: its rest by 3 is the filtering; bit 6: IPv6 is filtered, and routed, or
 * with bit 5 translated.
 * Bit 3: the first two bytes are vnet flags and gso_type, the next two gso_size.
 * Header checksums are made right, so that what lies behind them is reached.
 * At the end the switch's books must balance. */
#include "tests/unit/nat_bench.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define FRAME_MAX 1600u
#define RECORDS_MAX 64u

/* ICMPv6 right behind the IPv6 header: its checksum is made right. */
static void fix_icmp6(uint8_t *f, size_t len)
{
	size_t l4 = nb_get16(f + 18);

	if (len < 62 || f[20] != 58 || l4 < 8 || 54 + l4 > len)
		return;
	uint8_t *t = f + 54;
	nb_put16(t + 2, 0);
	nb_put16(t + 2, 0xffff ^ nb_sum(nb_sum(58 + (uint32_t)l4, f + 22, 32), t, l4));
}

static void fix_sums(uint8_t *f, size_t len)
{
	if (len >= 34 && nb_get16(f + 12) == 0x86dd)
		fix_icmp6(f, len);
	if (len < 34 || nb_get16(f + 12) != 0x0800)
		return;
	size_t header = (size_t)(f[14] & 15) * 4, total = nb_get16(f + 16);
	if (header < 20 || 14 + header > len)
		return;
	nb_put16(f + 24, 0);
	nb_put16(f + 24, 0xffff ^ nb_sum(0, f + 14, header));
	if (f[23] == 1 && total >= header + 8 && 14 + total <= len) {
		uint8_t *t = f + 14 + header;
		nb_put16(t + 2, 0);
		nb_put16(t + 2, 0xffff ^ nb_sum(0, t, total - header));
	}
}

static void swap(uint8_t *a, uint8_t *b, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint8_t c = a[i];
		a[i] = b[i];
		b[i] = c;
	}
}

static size_t turn6(uint8_t *f, size_t len)
{
	if (len < 58)
		return len;
	swap(f + 22, f + 38, 16);
	if (f[20] == 58 && f[54] == 128)
		f[54] = 129;
	else if (f[20] != 58)
		swap(f + 54, f + 56, 2);
	return len;
}

/* The frame as an answer to itself. */
static size_t turn(const struct dummy_frame *o, uint8_t *f)
{
	size_t len = o->len < FRAME_MAX ? o->len : FRAME_MAX;

	memcpy(f, o->bytes, len);
	if (len < 38)
		return len;
	swap(f, f + 6, 6);
	if (nb_get16(f + 12) == 0x86dd)
		return turn6(f, len);
	swap(f + 26, f + 30, 4);
	if (f[23] == 1)
		f[34] = 0;
	else
		swap(f + 34, f + 36, 2);
	return len;
}

static void one(struct nb *x, uint8_t op, const uint8_t *p, size_t len)
{
	uint8_t f[FRAME_MAX] = {0};
	struct virtio_net_hdr v = {0};
	size_t n = len;

	if ((op & 3) == 3) {
		nb_step(x, len * 1000);
		return;
	}
	if ((op & 8) && len >= 4) {
		v.flags = p[0];
		v.gso_type = p[1];
		v.gso_size = nb_get16(p + 2);
		v.csum_start = 34;
		v.csum_offset = 16;
		p += 4;
		n = len -= 4;
	}
	if ((op & 3) == 2) {
		if (!x->world->n_out)
			return;
		n = turn(&x->world->out[x->world->n_out - 1], f);
		for (size_t i = 0; i < len && 20 + i < n; i++)
			f[20 + i] ^= p[i];
	} else {
		memcpy(f, p, len);
	}
	if (op & 4)
		n = FRAME_MAX;
	fix_sums(f, n);
	nb_push(x, op & 3 ? x->world : x->guest, f, n, v);
	if (x->world->n_out > DUMMY_KEEP / 2 || x->guest->n_out > DUMMY_KEEP / 2)
		nb_clear(x);
}

static void balance(void *arg, struct port *p, const struct sw_port_counters *c)
{
	uint64_t rx = c->forwarded + c->flooded + c->consumed, tx = c->tx_packets;

	for (unsigned i = 0; i < DROP_COUNT; i++) {
		rx += c->rx_drop[i];
		tx += c->tx_drop[i];
	}
	if (c->rx_packets != rx || c->offered != tx)
		abort();
	*(uint64_t *)arg += c->offered;
}

static void eat(void *arg, struct pkt *k)
{
	pkt_free(sw_main_pool(arg), k);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const struct nat_limits limits = {.max_sessions = 16};
	struct nb *x = nb_new(&limits);
	struct slow_sink sink = {eat, x->sw};
	struct nat_forward web = {.proto = 6, .listen_port = 2222, .to = G1, .to_port = 22};
	struct sw_totals t;
	uint64_t offered = 0;

	x->conf.address6 = (struct prefix6){.addr = {0xfd, 0x10, [15] = 1}, .len = 64};
	if (len)
		x->conf.filtering = data[0] % 3;
	x->conf.algs = ALG_FTP | ALG_TFTP;
	if (len && data[0] & 0x40) {
		struct uplink_conf uc = *uplink_get_conf(x->up);
		uc.address6 = (struct prefix6){.addr = {0x20, 1, 0xd, 0xb8, [15] = 2}, .len = 64};
		memcpy(uc.gateway6, (uint8_t[16]){0x20, 1, 0xd, 0xb8, [15] = 1}, 16);
		uplink_set_conf(x->up, &uc);
		if (data[0] & 0x20)
			x->conf.npt = (struct prefix6){.addr = {0x20, 1, 0xd, 0xb8, 0, 3}, .len = 64};
		else
			x->conf.mode = GATEWAY_ROUTED;
		x->conf.filter6 = true;
	}
	gateway_set_conf(x->gw, &x->conf);
	gateway_set_sink(x->gw, GATEWAY_DHCP, &sink);
	gateway_set_sink(x->gw, GATEWAY_DNS, &sink);
	gateway_set_sink(x->gw, GATEWAY_RA, &sink);
	gateway_set_dns_upstream(x->gw, R2);
	nat_forward_add(x->gw, &web, NULL);
	for (size_t at = 1, r = 0; at + 2 <= len && r < RECORDS_MAX; r++) {
		size_t n = data[at + 1];
		if (n > len - at - 2)
			n = len - at - 2;
		one(x, data[at], data + at + 2, n);
		sw_slow_drain(x->sw);
		at += 2 + n;
	}
	sw_counters(x->sw, &t, balance, &offered);
	if (t.copies != offered + t.gone_offered)
		abort();
	nb_free(x);
	return 0;
}
