/* The parser: sound frames give the right offsets, and a table of frames with one thing
 * wrong gives for each the one reason.  Frames stand in memory of exactly their
 * length, so that the address sanitizer sees a byte too far. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/csum.h"
#include "net/gso.h"
#include "net/parse.h"

enum base { TCP4, UDP4, ICMP4, TCP6, UDP6, ICMP6, ARP, LLC, OTHER, GRE4, BASES };

#define L3  14u
#define L4  34u /* of IPv4 without options */
#define L46 54u /* of IPv6 without extensions */

struct frame {
	uint8_t b[4096];
	uint32_t len;
};

static void put(struct frame *f, const void *p, size_t n)
{
	memcpy(f->b + f->len, p, n);
	f->len += (uint32_t)n;
}

static void put_zero(struct frame *f, size_t n)
{
	memset(f->b + f->len, 0, n);
	f->len += (uint32_t)n;
}

static void fix_ip_csum(struct frame *f)
{
	struct ip4_hdr *h = (struct ip4_hdr *)(f->b + L3);
	h->csum = csum_ip4_header(h, (h->ver_ihl & 15) * 4u);
}

static void put_eth(struct frame *f, ethertype type)
{
	struct eth_hdr e = {{{2, 0, 0, 0, 0, 1}}, {{2, 0, 0, 0, 0, 2}}, htobe16(type)};
	put(f, &e, sizeof(e));
}

static void put_ip4(struct frame *f, uint8_t proto, size_t payload)
{
	struct ip4_hdr h = {.ver_ihl = 0x45,
			    .ttl = 64,
			    .proto = proto,
			    .src = htobe32(0x0a000001),
			    .dst = htobe32(0x0a000002),
			    .len = htobe16((uint16_t)(20 + payload))};
	put(f, &h, sizeof(h));
	fix_ip_csum(f);
}

static void put_ip6(struct frame *f, uint8_t next, size_t payload)
{
	struct ip6_hdr h = {.ver_tc_flow = htobe32(6u << 28),
			    .len = htobe16((uint16_t)payload),
			    .next = next,
			    .hops = 64,
			    .src = {0xfd, 1},
			    .dst = {0xfd, 2}};
	put(f, &h, sizeof(h));
}

static void put_tcp(struct frame *f, size_t payload)
{
	struct tcp_hdr h = {.sport = htobe16(1),
			    .dport = htobe16(2),
			    .off = 0x50,
			    .flags = TCP_ACK};
	put(f, &h, sizeof(h));
	put_zero(f, payload);
}

static void put_udp(struct frame *f, size_t payload)
{
	struct udp_hdr h = {.sport = htobe16(1),
			    .dport = htobe16(2),
			    .len = htobe16((uint16_t)(8 + payload))};
	put(f, &h, sizeof(h));
	put_zero(f, payload);
}

static const struct arp_hdr arp = {
	.htype = 0x0100, .ptype = 0x0008, .hlen = 6, .plen = 4, .op = 0x0100};

static void make(struct frame *f, enum base base)
{
	f->len = 0;
	switch (base) {
	case TCP4:
		put_eth(f, ETHERTYPE_IP4);
		put_ip4(f, IPPROTO4_TCP, 20 + 40);
		put_tcp(f, 40);
		break;
	case UDP4:
		put_eth(f, ETHERTYPE_IP4);
		put_ip4(f, IPPROTO4_UDP, 8 + 40);
		put_udp(f, 40);
		break;
	case ICMP4:
		put_eth(f, ETHERTYPE_IP4);
		put_ip4(f, IPPROTO4_ICMP, 8 + 40);
		put_zero(f, 48);
		break;
	case GRE4:
		put_eth(f, ETHERTYPE_IP4);
		put_ip4(f, IPPROTO4_GRE, 64);
		put_zero(f, 64);
		break;
	case TCP6:
		put_eth(f, ETHERTYPE_IP6);
		put_ip6(f, IPPROTO4_TCP, 20 + 40);
		put_tcp(f, 40);
		break;
	case UDP6:
		put_eth(f, ETHERTYPE_IP6);
		put_ip6(f, IPPROTO4_UDP, 8 + 40);
		put_udp(f, 40);
		break;
	case ICMP6:
		put_eth(f, ETHERTYPE_IP6);
		put_ip6(f, IPPROTO6_ICMP, 8 + 40);
		put_zero(f, 48);
		break;
	case ARP:
		put_eth(f, ETHERTYPE_ARP);
		put(f, &arp, sizeof(arp));
		break;
	case LLC:
		put_eth(f, 46);
		put_zero(f, 46);
		break;
	default:
		put_eth(f, 0x88b5); /* for local experiments */
		put_zero(f, 46);
	}
}

/* Parses a copy that is exactly as long as the frame; the caller frees k->head - shift. */
static enum drop_reason parse(const struct frame *f, struct virtio_net_hdr vnet, struct pkt *k,
			      void **ret_mem)
{
	uint8_t *exact = malloc(f->len ? f->len : 1);
	memcpy(exact, f->b, f->len);
	*k = (struct pkt){.head = exact, .len = f->len, .head_len = (uint16_t)f->len, .vnet = vnet};
	*ret_mem = exact;
	enum drop_reason r = pkt_untag(k);
	return r ? r : pkt_parse(k);
}

static enum drop_reason reason(const struct frame *f, struct virtio_net_hdr vnet)
{
	struct pkt k;
	void *mem;
	enum drop_reason r = parse(f, vnet, &k, &mem);
	free(mem);
	return r;
}

static void sound_frames(void **s)
{
	static const struct {
		uint16_t flags, l3, l4;
		uint8_t proto;
		ethertype type;
		uint32_t l4_len;
	} want[BASES] = {
		[TCP4] = {PKT_IP4 | PKT_L4, L3, L4, 6, ETHERTYPE_IP4, 60},
		[UDP4] = {PKT_IP4 | PKT_L4, L3, L4, 17, ETHERTYPE_IP4, 48},
		[ICMP4] = {PKT_IP4 | PKT_L4, L3, L4, 1, ETHERTYPE_IP4, 48},
		[GRE4] = {PKT_IP4, L3, L4, 47, ETHERTYPE_IP4, 64},
		[TCP6] = {PKT_IP6 | PKT_L4, L3, L46, 6, ETHERTYPE_IP6, 60},
		[UDP6] = {PKT_IP6 | PKT_L4, L3, L46, 17, ETHERTYPE_IP6, 48},
		[ICMP6] = {PKT_IP6 | PKT_L4, L3, L46, 58, ETHERTYPE_IP6, 48},
		[ARP] = {PKT_ARP, L3, L3, 0, ETHERTYPE_ARP, 0},
		[LLC] = {0, L3, L3, 0, 46, 0},
		[OTHER] = {0, L3, L3, 0, 0x88b5, 0},
	};
	for (enum base b = 0; b < BASES; b++) {
		for (unsigned tags = 0; tags < 3; tags++) {
			struct frame f, g;
			make(&g, b);
			f.len = 0;
			put(&f, g.b, 12);
			for (unsigned i = 0; i < tags; i++)
				put(&f, i + 1 < tags ? "\x88\xa8\x20\x05" : "\x81\x00\x60\x07", 4);
			put(&f, g.b + 12, g.len - 12);
			put_zero(&f, b % 3); /* padding behind the packet is fine */
			struct pkt k;
			void *mem;
			assert_int_equal(parse(&f, (struct virtio_net_hdr){0}, &k, &mem),
					 DROP_NONE);
			unsigned inner = tags == 2 ? 4 : 0;
			assert_int_equal(k.tag.tpid, tags == 2 ? 0x88a8 : tags ? 0x8100 : 0);
			assert_int_equal(k.tag.tci, tags == 2 ? 0x2005 : tags ? 0x6007 : 0);
			assert_int_equal(k.len, g.len + b % 3 + inner);
			assert_int_equal(k.head_len, k.len);
			assert_memory_equal(k.head, g.b, 12);
			assert_int_equal(k.flags, want[b].flags | PKT_PARSED);
			assert_int_equal(k.l3_off, want[b].l3 + inner);
			assert_int_equal(k.l4_off, want[b].l4 + inner);
			assert_int_equal(k.ip_proto, want[b].proto);
			assert_int_equal(k.type, want[b].type);
			assert_int_equal(pkt_l4_len(&k), want[b].l4_len);
			free(mem);
		}
	}
}

/* A frame with up to four bytes changed, and cut to `len`. */
struct bad {
	const char *what;
	enum base base;
	enum drop_reason want;
	struct {
		uint16_t at;
		uint8_t v;
	} set[4];
	uint32_t len;	/* 0: as it is */
	bool keep_csum; /* leave the IPv4 header checksum wrong */
};

static const struct bad bad[] = {
	{"empty", TCP4, DROP_RX_RUNT, .len = 1},
	{"13 bytes", TCP4, DROP_RX_RUNT, .len = 13},
	{"group source", TCP4, DROP_ETH_SRC_GROUP, {{6, 3}}},
	{"zero source", TCP4, DROP_ETH_SRC_ZERO, {{6, 0}, {11, 0}}},
	{"STP", OTHER, DROP_ETH_CONTROL, {{0, 1}, {1, 0x80}, {2, 0xc2}, {5, 0}}},
	{"LLDP", OTHER, DROP_ETH_CONTROL, {{0, 1}, {1, 0x80}, {2, 0xc2}, {5, 0x0e}}},
	{"0f", OTHER, DROP_ETH_CONTROL, {{0, 1}, {1, 0x80}, {2, 0xc2}, {5, 0x0f}}},
	{"10 is not", OTHER, DROP_NONE, {{0, 1}, {1, 0x80}, {2, 0xc2}, {5, 0x10}}},
	{"802.3 length", LLC, DROP_ETH_LENGTH, {{13, 47}}},
	{"802.3 length 1535", LLC, DROP_ETH_LENGTH, {{12, 5}, {13, 0xff}}},
	{"802.3 short", LLC, DROP_NONE, {{13, 3}}},
	{"tag cut", OTHER, DROP_VLAN_TRUNCATED, {{12, 0x81}, {13, 0}}, .len = 17},
	{"inner tag cut",
	 OTHER,
	 DROP_VLAN_TRUNCATED,
	 {{12, 0x81}, {13, 0}, {16, 0x81}, {17, 0}},
	 .len = 21},

	{"ARP of 27", ARP, DROP_ARP_MALFORMED, .len = L3 + 27},
	{"ARP of 7", ARP, DROP_ARP_MALFORMED, .len = L3 + 7},
	{"ARP without body", ARP, DROP_ARP_MALFORMED, .len = L3},
	{"ARP hlen", ARP, DROP_ARP_MALFORMED, {{L3 + 4, 5}}},
	{"ARP plen", ARP, DROP_ARP_MALFORMED, {{L3 + 5, 3}}},
	{"ARP plen 16", ARP, DROP_ARP_MALFORMED, {{L3 + 5, 16}}},
	{"ARP sizes beyond", ARP, DROP_ARP_MALFORMED, {{L3, 0}, {L3 + 1, 6}, {L3 + 4, 255}}},
	{"ARP of other hardware", ARP, DROP_NONE, {{L3, 0}, {L3 + 1, 6}}},
	{"ARP of other protocol", ARP, DROP_NONE, {{L3 + 2, 0x86}, {L3 + 3, 0xdd}}},

	{"IPv4 of nothing", TCP4, DROP_IP4_TRUNCATED, .len = L3},
	{"IPv4 of 19", TCP4, DROP_IP4_TRUNCATED, .len = L3 + 19},
	{"IPv4 version 5", TCP4, DROP_IP4_HEADER, {{L3, 0x55}}},
	{"IPv4 version 6", TCP4, DROP_IP4_HEADER, {{L3, 0x65}}},
	{"IPv4 ihl 4", TCP4, DROP_IP4_HEADER, {{L3, 0x44}}},
	{"IPv4 ihl 0", TCP4, DROP_IP4_HEADER, {{L3, 0x40}}},
	{"IPv4 options past the end", TCP4, DROP_IP4_TRUNCATED, {{L3, 0x4f}}, .len = L3 + 59},
	{"IPv4 longer than the frame", TCP4, DROP_IP4_TRUNCATED, {{L3 + 3, 81}}},
	{"IPv4 cut", TCP4, DROP_IP4_TRUNCATED, .len = L3 + 79},
	{"IPv4 total below header", TCP4, DROP_IP4_HEADER, {{L3 + 3, 19}}},
	{"IPv4 total 0", TCP4, DROP_IP4_HEADER, {{L3 + 3, 0}}},
	{"IPv4 checksum", TCP4, DROP_IP4_CHECKSUM, {{L3 + 8, 63}}, .keep_csum = true},
	{"IPv4 checksum of options", ICMP4, DROP_IP4_CHECKSUM, {{L3, 0x46}}, .keep_csum = true},
	{"IPv4 middle fragment of 7n", TCP4, DROP_IP4_FRAGMENT, {{L3 + 6, 0x20}, {L3 + 3, 79}}},
	{"IPv4 ends past 65535", TCP4, DROP_IP4_FRAGMENT, {{L3 + 6, 0x1f}, {L3 + 7, 0xff}}},
	{"IPv4 ends at 65536",
	 UDP4,
	 DROP_IP4_FRAGMENT,
	 {{L3 + 6, 0x1f}, {L3 + 7, 0xfd}, {L3 + 3, 24}}},
	{"IPv4 ends at 65535", UDP4, DROP_NONE, {{L3 + 6, 0x1f}, {L3 + 7, 0xfd}, {L3 + 3, 23}}},
	{"IPv4 empty fragment", TCP4, DROP_IP4_FRAGMENT, {{L3 + 6, 0x20}, {L3 + 3, 20}}},
	{"IPv4 empty last fragment", TCP4, DROP_IP4_FRAGMENT, {{L3 + 7, 1}, {L3 + 3, 20}}},

	{"TCP of 19", TCP4, DROP_TCP_MALFORMED, {{L3 + 3, 39}}},
	{"TCP offset 4", TCP4, DROP_TCP_MALFORMED, {{L4 + 12, 0x40}}},
	{"TCP offset past the end", TCP4, DROP_TCP_MALFORMED, {{L4 + 12, 0xf0}, {L3 + 3, 79}}},
	{"TCP offset at the end", TCP4, DROP_NONE, {{L4 + 12, 0xf0}}},
	{"TCP tiny fragment", TCP4, DROP_TCP_MALFORMED, {{L3 + 6, 0x20}, {L3 + 3, 36}}},
	{"UDP of 7", UDP4, DROP_UDP_MALFORMED, {{L3 + 3, 27}}},
	{"UDP length 7", UDP4, DROP_UDP_MALFORMED, {{L4 + 5, 7}}},
	{"UDP length 0", UDP4, DROP_UDP_MALFORMED, {{L4 + 5, 0}}},
	{"UDP length past the end", UDP4, DROP_UDP_MALFORMED, {{L4 + 5, 49}}},
	{"UDP length below the end", UDP4, DROP_NONE, {{L4 + 5, 8}}},
	{"UDP first fragment", UDP4, DROP_NONE, {{L3 + 6, 0x20}, {L4 + 4, 5}}},
	{"ICMP of 7", ICMP4, DROP_ICMP_MALFORMED, {{L3 + 3, 27}}},
	{"ICMP6 of 7", ICMP6, DROP_ICMP_MALFORMED, {{L3 + 5, 7}}},
	{"ICMP6 number over IPv4", ICMP4, DROP_NONE, {{L3 + 9, 58}, {L3 + 3, 21}}},

	{"IPv6 of 39", TCP6, DROP_IP6_TRUNCATED, .len = L3 + 39},
	{"IPv6 version 4", TCP6, DROP_IP6_HEADER, {{L3, 0x45}}},
	{"IPv6 longer than the frame", TCP6, DROP_IP6_TRUNCATED, {{L3 + 5, 61}}},
	{"IPv6 cut", TCP6, DROP_IP6_TRUNCATED, .len = L46 + 59},
	{"IPv6 TCP of 0", TCP6, DROP_TCP_MALFORMED, {{L3 + 5, 0}}},
	{"IPv6 extension past the end", UDP6, DROP_IP6_TRUNCATED, {{L3 + 6, 60}, {L46 + 1, 6}}},
	{"IPv6 extension of 4", UDP6, DROP_IP6_TRUNCATED, {{L3 + 6, 60}, {L3 + 5, 4}}},
	{"IPv6 second hop-by-hop", UDP6, DROP_IP6_HEADER, {{L3 + 6, 60}, {L46, 0}, {L46 + 1, 0}}},
	{"IPv6 middle fragment of 7n",
	 ICMP6,
	 DROP_IP6_FRAGMENT,
	 {{L3 + 6, 44}, {L46 + 3, 1}, {L3 + 5, 47}}},
	{"IPv6 ends past 65535",
	 ICMP6,
	 DROP_IP6_FRAGMENT,
	 {{L3 + 6, 44}, {L46 + 2, 0xff}, {L46 + 3, 0xf9}}},
	{"IPv6 later fragment", ICMP6, DROP_NONE, {{L3 + 6, 44}, {L46, 6}, {L46 + 3, 8}}},
	{"IPv6 no next header", ICMP6, DROP_NONE, {{L3 + 6, 59}}},
};

static void make_bad(struct frame *f, const struct bad *b)
{
	make(f, b->base);
	for (unsigned i = 0; i < ARRAY_SIZE(b->set); i++)
		if (b->set[i].at || b->set[i].v)
			f->b[b->set[i].at] = b->set[i].v;
	if (b->want == DROP_ETH_SRC_ZERO)
		memset(f->b + 6, 0, 6);
	if (f->b[12] == 8 && f->b[13] == 0 && !b->keep_csum) {
		memset(f->b + f->len, 0, 60); /* an options length past the end sums zeroes */
		fix_ip_csum(f);
	}
	if (b->len)
		f->len = b->len;
}

static void malformed_frames(void **s)
{
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		struct frame f = {0};
		make_bad(&f, &bad[i]);
		enum drop_reason r = reason(&f, (struct virtio_net_hdr){0});
		if (r != bad[i].want)
			fail_msg("%s: %s, not %s", bad[i].what, drop_name(r),
				 drop_name(bad[i].want));
	}
}

/* Cut anywhere, a frame of known layers is refused, and nothing is read past its end. */
static void every_truncation(void **s)
{
	for (enum base b = 0; b < BASES; b++) {
		struct frame f;
		make(&f, b);
		while (f.len--) {
			enum drop_reason r = reason(&f, (struct virtio_net_hdr){0});
			if (b != OTHER || f.len < 14)
				assert_int_not_equal(r, DROP_NONE);
			if (f.len == 0)
				break;
		}
	}
}

static struct pkt flags_of(const struct bad *b)
{
	struct frame f = {0};
	struct pkt k;
	void *mem;
	make_bad(&f, b);
	assert_int_equal(parse(&f, (struct virtio_net_hdr){0}, &k, &mem), DROP_NONE);
	free(mem);
	return k;
}

static void fragments(void **s)
{
	const struct bad first = {"", UDP4, DROP_NONE, {{L3 + 6, 0x20}}};
	const struct bad later = {"", UDP4, DROP_NONE, {{L3 + 7, 1}}};
	const struct bad first6 = {"", ICMP6, DROP_NONE, {{L3 + 6, 44}, {L46, 58}, {L46 + 3, 1}}};
	const struct bad later6 = {"", ICMP6, DROP_NONE, {{L3 + 6, 44}, {L46, 58}, {L46 + 3, 8}}};
	const struct bad atomic6 = {"", ICMP6, DROP_NONE, {{L3 + 6, 44}, {L46, 58}}};
	struct pkt k = flags_of(&first);
	assert_int_equal(k.flags, PKT_PARSED | PKT_IP4 | PKT_L4 | PKT_FRAGMENT);
	k = flags_of(&later);
	assert_int_equal(k.flags, PKT_PARSED | PKT_IP4 | PKT_FRAGMENT);
	k = flags_of(&first6);
	assert_int_equal(k.flags, PKT_PARSED | PKT_IP6 | PKT_L4 | PKT_FRAGMENT);
	assert_int_equal(k.l4_off, L46 + 8);
	k = flags_of(&later6);
	assert_int_equal(k.flags, PKT_PARSED | PKT_IP6 | PKT_FRAGMENT);
	assert_int_equal(k.ip_proto, 58);
	k = flags_of(&atomic6);
	assert_int_equal(k.flags, PKT_PARSED | PKT_IP6 | PKT_L4);
	k = flags_of(&(struct bad){"", ARP, DROP_NONE, {{L3, 0}, {L3 + 1, 6}}});
	assert_int_equal(k.flags, PKT_PARSED); /* not ours to read */
}

/* The fragment header is found behind other extension headers, and told from its look-alikes. */
static void fragment_header(void **s)
{
	struct frame f = {0};
	struct pkt k;
	void *mem;
	put_eth(&f, ETHERTYPE_IP6);
	put_ip6(&f, 60, 8 + 8 + 16);
	put(&f, (uint8_t[8]){44, 0, 44}, 8);
	put(&f, (uint8_t[8]){17, 0, 0x05, 0xa9, 1, 2, 3, 4}, 8);
	put_zero(&f, 16);
	assert_int_equal(parse(&f, (struct virtio_net_hdr){0}, &k, &mem), DROP_NONE);
	const struct ip6_frag *h = pkt_ip6_frag(&k);
	assert_ptr_equal(h, k.head + L46 + 8);
	assert_int_equal(be16toh(h->off) & IP6_OFFSET, 0x5a8);
	assert_true(be16toh(h->off) & IP6_MF);
	assert_int_equal(be32toh(h->id), 0x01020304);
	assert_int_equal(k.ip_proto, 17);
	assert_int_equal(pkt_l4_len(&k), 16);
	free(mem);
	make(&f, UDP6);
	assert_int_equal(parse(&f, (struct virtio_net_hdr){0}, &k, &mem), DROP_NONE);
	assert_null(pkt_ip6_frag(&k));
	free(mem);
}

/* n extension headers of 8 bytes, hop-by-hop first, then UDP. */
static enum drop_reason chain(unsigned n, struct pkt *k)
{
	struct frame f = {0};
	put_eth(&f, ETHERTYPE_IP6);
	put_ip6(&f, n ? 0 : 17, 8u * n + 8);
	for (unsigned i = 0; i < n; i++)
		put(&f, (uint8_t[8]){i + 1 < n ? (i % 2 ? 43 : 60) : 17}, 8);
	put_udp(&f, 0);
	void *mem;
	enum drop_reason r = parse(&f, (struct virtio_net_hdr){0}, k, &mem);
	if (r == DROP_NONE)
		assert_int_equal(pkt_l4_len(k), 8);
	free(mem);
	return r;
}

static void extension_chains(void **s)
{
	struct pkt k;
	for (unsigned n = 0; n <= 8; n++) {
		assert_int_equal(chain(n, &k), DROP_NONE);
		assert_int_equal(k.l4_off, L46 + 8 * n);
		assert_true(k.flags & PKT_L4);
	}
	assert_int_equal(chain(9, &k), DROP_IP6_HEADER);
}

/* The chain goes on in the frame, but beyond the private head. */
static void chain_beyond_the_head(void **s)
{
	struct frame f = {0};
	put_eth(&f, ETHERTYPE_IP6);
	put_ip6(&f, 60, 200);
	put(&f, (uint8_t[8]){17, 10}, 8);
	put_zero(&f, 192);
	struct iovec tail = {f.b + PKT_PARSE, f.len - PKT_PARSE};
	struct pkt k = {
		.head = f.b, .len = f.len, .head_len = PKT_PARSE, .tail = &tail, .n_tail = 1};
	assert_int_equal(pkt_parse(&k), DROP_IP6_HEADER);
}

#define NEEDS VIRTIO_NET_HDR_F_NEEDS_CSUM
struct offload {
	const char *what;
	enum base base;
	bool ok;
	struct virtio_net_hdr v;
};
#define V(f, t, size, start, off)                                                                  \
	{                                                                                          \
		.flags = f, .gso_type = t, .gso_size = size, .csum_start = start,                  \
		.csum_offset = off                                                                 \
	}

static const struct offload offloads[] = {
	{"none", TCP4, true, V(0, 0, 0, 0, 0)},
	{"valid", TCP4, true, V(VIRTIO_NET_HDR_F_DATA_VALID, 0, 0, 0, 0)},
	{"unknown flag", TCP4, false, V(0x40, 0, 0, 0, 0)},
	{"tcp", TCP4, true, V(NEEDS, 0, 0, L4, 16)},
	{"tcp6", TCP6, true, V(NEEDS, 0, 0, L46, 16)},
	{"udp", UDP4, true, V(NEEDS, 0, 0, L4, 6)},
	{"udp6", UDP6, true, V(NEEDS, 0, 0, L46, 6)},
	{"icmp6", ICMP6, true, V(NEEDS, 0, 0, L46, 2)},
	{"wrong field", TCP4, false, V(NEEDS, 0, 0, L4, 6)},
	{"field in ports", UDP4, false, V(NEEDS, 0, 0, L4, 0)},
	{"start in ip", TCP4, false, V(NEEDS, 0, 0, L3, 16)},
	{"start in ethernet", OTHER, false, V(NEEDS, 0, 0, 0, 6)},
	{"start in tcp header", TCP4, false, V(NEEDS, 0, 0, L4 + 2, 16)},
	{"inner of a udp tunnel", UDP4, true, V(NEEDS, 0, 0, L4 + 16, 16)},
	{"inner of gre", GRE4, true, V(NEEDS, 0, 0, L4 + 24, 16)},
	{"gre header", GRE4, false, V(NEEDS, 0, 0, L4 - 1, 0)},
	{"field past the end", TCP4, false, V(NEEDS, 0, 0, 92, 16)},
	{"start past the end", TCP4, false, V(NEEDS, 0, 0, 4000, 16)},
	{"start + offset wraps", TCP4, false, V(NEEDS, 0, 0, L4, 0xffff)},
	{"arp", ARP, false, V(NEEDS, 0, 0, L3, 2)},
	{"unknown type, inside", OTHER, true, V(NEEDS, 0, 0, L3 + 4, 2)},
	{"unknown type, outside", OTHER, false, V(NEEDS, 0, 0, 59, 0)},
	{"tso4", TCP4, true, V(NEEDS, VIRTIO_NET_HDR_GSO_TCPV4, 1448, L4, 16)},
	{"tso4 ecn", TCP4, true, V(NEEDS, VIRTIO_NET_HDR_GSO_TCPV4 | 0x80, 1448, L4, 16)},
	{"tso4 without csum", TCP4, true, V(0, VIRTIO_NET_HDR_GSO_TCPV4, 1448, 0, 0)},
	{"tso6", TCP6, true, V(NEEDS, VIRTIO_NET_HDR_GSO_TCPV6, 1428, L46, 16)},
	{"uso", UDP4, true, V(NEEDS, VIRTIO_NET_HDR_GSO_UDP_L4, 10, L4, 6)},
	{"uso6", UDP6, true, V(NEEDS, VIRTIO_NET_HDR_GSO_UDP_L4, 10, L46, 6)},
	{"ecn alone", TCP4, false, V(NEEDS, 0x80, 1448, L4, 16)},
	{"uso ecn", UDP4, false, V(NEEDS, VIRTIO_NET_HDR_GSO_UDP_L4 | 0x80, 10, L4, 6)},
	{"ufo", UDP4, false, V(NEEDS, VIRTIO_NET_HDR_GSO_UDP, 10, L4, 6)},
	{"unknown gso", TCP4, false, V(NEEDS, 2, 1448, L4, 16)},
	{"size 0", TCP4, false, V(NEEDS, VIRTIO_NET_HDR_GSO_TCPV4, 0, L4, 16)},
	{"size 87", TCP4, false, V(NEEDS, VIRTIO_NET_HDR_GSO_TCPV4, 87, L4, 16)},
	{"uso size 0", UDP4, false, V(NEEDS, VIRTIO_NET_HDR_GSO_UDP_L4, 0, L4, 6)},
	{"tso4 on udp", UDP4, false, V(NEEDS, VIRTIO_NET_HDR_GSO_TCPV4, 1448, L4, 6)},
	{"tso4 on ipv6", TCP6, false, V(NEEDS, VIRTIO_NET_HDR_GSO_TCPV4, 1448, L46, 16)},
	{"tso6 on ipv4", TCP4, false, V(NEEDS, VIRTIO_NET_HDR_GSO_TCPV6, 1448, L4, 16)},
	{"uso on tcp", TCP4, false, V(NEEDS, VIRTIO_NET_HDR_GSO_UDP_L4, 100, L4, 16)},
	{"tso on arp", ARP, false, V(0, VIRTIO_NET_HDR_GSO_TCPV4, 1448, 0, 0)},
	{"tso on nothing", OTHER, false, V(0, VIRTIO_NET_HDR_GSO_TCPV4, 1448, 0, 0)},
	{"tso of an inner header", GRE4, false,
	 V(NEEDS, VIRTIO_NET_HDR_GSO_TCPV4, 1448, L4 + 24, 16)},
};

static void offload_fields(void **s)
{
	for (unsigned i = 0; i < ARRAY_SIZE(offloads); i++) {
		struct frame f;
		make(&f, offloads[i].base);
		enum drop_reason r = reason(&f, offloads[i].v);
		if (r != (offloads[i].ok ? DROP_NONE : DROP_RX_BAD_OFFLOAD))
			fail_msg("%s: %s", offloads[i].what, drop_name(r));
	}
}

static void offload_on_fragments(void **s)
{
	struct frame f = {0};
	make_bad(&f, &(struct bad){"", UDP4, DROP_NONE, {{L3 + 6, 0x20}}});
	assert_int_equal(reason(&f, (struct virtio_net_hdr)V(NEEDS, 0, 0, L4, 6)),
			 DROP_RX_BAD_OFFLOAD);
}

/* 129 datagrams in one frame are more than Linux would send. */
static void uso_segment_limit(void **s)
{
	struct frame f = {0};
	put_eth(&f, ETHERTYPE_IP4);
	put_ip4(&f, IPPROTO4_UDP, 8 + 128);
	put_udp(&f, 128);
	const struct virtio_net_hdr v = V(NEEDS, VIRTIO_NET_HDR_GSO_UDP_L4, 1, L4, 6);
	assert_int_equal(reason(&f, v), DROP_NONE);
	f.len = 0;
	put_eth(&f, ETHERTYPE_IP4);
	put_ip4(&f, IPPROTO4_UDP, 8 + 129);
	put_udp(&f, 129);
	assert_int_equal(reason(&f, v), DROP_RX_BAD_OFFLOAD);
}

static void untag_moves_csum_start(void **s)
{
	struct frame f = {0}, g;
	make(&g, TCP4);
	put(&f, g.b, 12);
	put(&f, "\x81\x00\x00\x0a", 4);
	put(&f, g.b + 12, g.len - 12);
	struct virtio_net_hdr v = V(NEEDS, 0, 0, L4 + 4, 16);
	v.hdr_len = 58;
	struct pkt k;
	void *mem;
	assert_int_equal(parse(&f, v, &k, &mem), DROP_NONE);
	assert_int_equal(k.vnet.csum_start, L4);
	assert_int_equal(k.vnet.hdr_len, 54);
	assert_memory_equal(k.head, g.b, g.len);
	assert_true(pkt_l4_partial(&k));
	/* a tag that the kernel took out already leaves the inner one in */
	free(mem);
	uint8_t *copy = malloc(f.len);
	memcpy(copy, f.b, f.len);
	k = (struct pkt){.head = copy,
			 .len = f.len,
			 .head_len = (uint16_t)f.len,
			 .tag = {0x88a8, 5}};
	assert_int_equal(pkt_untag(&k), DROP_NONE);
	assert_int_equal(k.tag.tpid, 0x88a8);
	assert_int_equal(k.len, f.len);
	assert_int_equal(pkt_parse(&k), DROP_NONE);
	assert_int_equal(k.l3_off, 18);
	free(copy);
}

/* Parsing again after a rewrite forgets what was, except who shares the packet. */
static void parse_twice(void **s)
{
	struct frame f;
	make(&f, TCP4);
	struct pkt k = {.head = f.b,
			.len = f.len,
			.head_len = (uint16_t)f.len,
			.flags = PKT_SHARED};
	assert_int_equal(pkt_parse(&k), DROP_NONE);
	assert_int_equal(k.flags, PKT_SHARED | PKT_PARSED | PKT_IP4 | PKT_L4);
	make(&f, ARP);
	k.len = k.head_len = (uint16_t)f.len;
	assert_int_equal(pkt_parse(&k), DROP_NONE);
	assert_int_equal(k.flags, PKT_SHARED | PKT_PARSED | PKT_ARP);
	assert_int_equal(k.ip_proto, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sound_frames),	     cmocka_unit_test(malformed_frames),
		cmocka_unit_test(every_truncation),  cmocka_unit_test(fragments),
		cmocka_unit_test(extension_chains),  cmocka_unit_test(chain_beyond_the_head),
		cmocka_unit_test(offload_fields),    cmocka_unit_test(offload_on_fragments),
		cmocka_unit_test(uso_segment_limit), cmocka_unit_test(untag_moves_csum_start),
		cmocka_unit_test(parse_twice),	     cmocka_unit_test(fragment_header),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
