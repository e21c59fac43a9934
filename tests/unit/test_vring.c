/* Virtqueues against a driver that keeps the rules and against ones that do not.  Every test runs
 * on a split and on a packed ring unless its name says which; a defect class of other backends has
 * a test with its number. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <cmocka.h>

#include "net/parse.h"
#include "tests/unit/vring_driver.h"

#define F(bit) (1ull << VRING_F_##bit)
#define MODERN F(VERSION_1)
#define NET    (MODERN | F(MRG_RXBUF) | F(INDIRECT_DESC))
#define RING   GUEST_A
#define DATA   (GUEST_A + 0x40000) /* buffers, past the rings */
#define TABLE  (GUEST_A + 0x30000)
#define HDR    12u

static uint64_t kind; /* F(RING_PACKED) or 0, of the group that runs */

/* One ring, its driver, and packets. */
struct bed {
	struct guest g;
	struct driver d;
	struct vring q;
	struct vring_conf conf;
	struct arena *arena;
	struct pkt_pool *pool;
	struct pkt *k[PKT_BURST];
	unsigned n, lost;
};

static void bed_start(struct bed *b)
{
	const char *why = "";

	b->conf = driver_conf(&b->d);
	assert_int_equal(vring_start(&b->q, b->g.mem, &b->conf, &why), 0);
}

static void bed_init(struct bed *b, uint16_t size, uint64_t features)
{
	memset(b, 0, sizeof(*b));
	guest_init(&b->g);
	driver_init(&b->d, &b->g, RING, size, features | kind);
	b->arena = arena_new(256, 4);
	b->pool = pkt_pool_new(b->arena);
	b->d.call_fd = eventfd(0, EFD_NONBLOCK);
	b->d.kick_fd = eventfd(0, EFD_NONBLOCK);
	bed_start(b);
}

static void bed_fini(struct bed *b)
{
	vring_stop(&b->q);
	close(b->d.call_fd);
	close(b->d.kick_fd);
	driver_fini(&b->d);
	guest_fini(&b->g);
	pkt_pool_free(b->pool);
	struct arena_stats s = arena_stats(b->arena);
	assert_int_equal(s.small_free, s.small_total);
	assert_int_equal(s.big_free, s.big_total);
	arena_free(b->arena);
}

static unsigned take(struct bed *b)
{
	driver_publish(&b->d);
	b->n = vring_dequeue(&b->q, b->pool, b->k, PKT_BURST, &b->lost);
	return b->n;
}

static void done(struct bed *b)
{
	if (b->n || b->lost)
		vring_dequeue_done(&b->q);
	pkt_free_bulk(b->pool, b->k, b->n);
	b->n = 0;
}

static void pattern(struct bed *b, uint64_t gpa, uint32_t len, uint8_t seed)
{
	for (uint32_t i = 0; i < len; i++)
		*guest_at(&b->g, gpa + i) = (uint8_t)(seed + i * 7 + (i >> 8));
}

static void assert_pattern(const struct pkt *k, uint8_t seed)
{
	for (uint32_t i = 0; i < k->len; i++) {
		uint8_t c;
		assert_true(pkt_read(k, i, &c, 1));
		assert_int_equal(c, (uint8_t)(seed + i * 7 + (i >> 8)));
	}
}

/* A driver's frame of `len` at gpa, its header (zero) before it. */
static void add_frame(struct bed *b, uint64_t gpa, uint32_t len, uint8_t seed)
{
	struct sg s = {gpa, b->q.hdr_len + len};

	for (unsigned i = 0; i < b->q.hdr_len; i++)
		*guest_at(&b->g, gpa + i) = 0;
	pattern(b, gpa + b->q.hdr_len, len, seed);
	assert_true(driver_add(&b->d, &s, 1, false, 0));
}

static void expect_fault(struct bed *b, enum vring_fault f)
{
	struct pkt_out v = {.pkt = NULL};

	assert_int_equal(take(b), 0);
	assert_int_equal(b->q.fault, f);
	/* nothing moves any more */
	assert_int_equal(take(b), 0);
	assert_false(vring_arm(&b->q));
	vring_dequeue_done(&b->q);
	vring_disarm(&b->q);
	vring_enqueue(&b->q, &v, 1);
	assert_int_equal(v.drop, DROP_TX_GONE);
	assert_true(strlen(vring_fault_text(f)) > 0);
	bed_fini(b);
}

/* ---- dequeue ---- */

static void test_sizes(void **state)
{
	static const uint32_t sizes[] = {1,   14,  15,	16,   17,   31,	   32,	 33,
					 60,  63,  64,	65,   127,  128,   129,	 255,
					 256, 257, 320, 1514, 4000, 65535, 65550};
	static const uint64_t with[] = {
		NET, 0, F(MRG_RXBUF), MODERN, NET | F(EVENT_IDX), NET | F(IN_ORDER)};
	struct bed b;

	for (unsigned w = 0; w < ARRAY_SIZE(with); w++) {
		bed_init(&b, 8, with[w]);
		assert_int_equal(b.q.hdr_len, with[w] & (MODERN | F(MRG_RXBUF)) ? 12 : 10);
		for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
			uint32_t len;
			uint16_t id;
			add_frame(&b, DATA, sizes[i], (uint8_t)i);
			assert_int_equal(take(&b), 1);
			assert_int_equal(b.k[0]->drop, DROP_NONE);
			assert_int_equal(b.k[0]->len, sizes[i]);
			assert_int_equal(b.k[0]->head_len, sizes[i] < 256 ? sizes[i] : 256);
			assert_int_equal(!!(b.k[0]->flags & PKT_BORROWED), sizes[i] > 256);
			assert_pattern(b.k[0], (uint8_t)i);
			assert_false(driver_used(&b.d, &id, &len)); /* not before it is done with */
			done(&b);
			assert_true(driver_used(&b.d, &id, &len));
			assert_int_equal(len, 0);
			assert_false(driver_used(&b.d, &id, &len));
		}
		bed_fini(&b);
	}
}

/* What was copied is what counts: the head does not follow the guest's memory. */
static void test_head_is_private(void **state)
{
	struct bed b;

	bed_init(&b, 8, NET);
	add_frame(&b, DATA, 256, 3);
	assert_int_equal(take(&b), 1);
	pattern(&b, DATA + HDR, 256, 99);
	assert_pattern(b.k[0], 3);
	done(&b);
	bed_fini(&b);
}

/* Header and frame cut anywhere, in a chain and in an indirect table.  CVE-2022-2132. */
static void test_cve_2022_2132_split_header(void **state)
{
	struct bed b;
	uint32_t got_len;
	uint16_t id;

	bed_init(&b, 64, NET);
	for (unsigned first = 1; first <= 14; first++) {
		for (unsigned table = 0; table < 2; table++) {
			struct sg s[32];
			uint32_t total = HDR + 300, at = 0;
			unsigned n = 0;
			pattern(&b, DATA, total, 0);
			memset(guest_at(&b.g, DATA), 0, HDR);
			while (at < total) {
				uint32_t len = n < 24 ? first : total - at;
				len = len < total - at ? len : total - at;
				s[n++] = (struct sg){DATA + at, len};
				at += len;
			}
			assert_true(driver_add(&b.d, s, n, false, table ? TABLE : 0));
			assert_int_equal(take(&b), 1);
			assert_int_equal(b.k[0]->drop, DROP_NONE);
			assert_int_equal(b.k[0]->len, 300);
			for (uint32_t i = 0; i < 300; i++) {
				uint8_t c;
				assert_true(pkt_read(b.k[0], i, &c, 1));
				assert_int_equal(c, *guest_at(&b.g, DATA + HDR + i));
			}
			done(&b);
			assert_true(driver_used(&b.d, &id, &got_len));
		}
	}
	bed_fini(&b);
}

/* The same CVE's other half: chains that end with the header, or before, are refused frames and
 * given back, not a loop. */
static void test_cve_2022_2132_no_frame(void **state)
{
	struct bed b;
	uint32_t len;
	uint16_t id;

	bed_init(&b, 16, NET);
	for (uint32_t total = 0; total <= HDR; total++) {
		struct sg s[2] = {{DATA, total / 2}, {DATA, total - total / 2}};
		assert_true(driver_add(&b.d, s, 2, false, 0));
		assert_true(driver_add(&b.d, s + 1, 1, false, 0));
		assert_int_equal(take(&b), 2);
		assert_int_equal(b.k[0]->drop, DROP_RX_RUNT);
		assert_int_equal(b.k[1]->drop, DROP_RX_RUNT);
		done(&b);
		assert_true(driver_used(&b.d, &id, &len));
		assert_true(driver_used(&b.d, &id, &len));
	}
	assert_int_equal(b.q.fault, VRING_OK);
	bed_fini(&b);
}

static void test_oversize(void **state)
{
	struct sg s = {DATA, HDR + 65551}, huge[2] = {{GUEST_A, GUEST_SIZE}, {GUEST_B, GUEST_SIZE}};
	struct bed b;
	uint32_t len;
	uint16_t id;

	bed_init(&b, 16, NET);
	assert_true(driver_add(&b.d, &s, 1, false, 0));
	assert_true(driver_add(&b.d, huge, 2, false, 0));
	assert_true(driver_add(&b.d, huge, 2, false, TABLE));
	assert_int_equal(take(&b), 3);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(b.k[i]->drop, DROP_RX_OVERSIZE);
	done(&b);
	for (unsigned i = 0; i < 3; i++)
		assert_true(driver_used(&b.d, &id, &len));
	bed_fini(&b);
}

/* More pieces than a packet can borrow: copied; without a big buffer the frame is lost. */
static void test_many_pieces(void **state)
{
	struct pkt *hog[8] = {NULL};
	struct sg s[256];
	struct bed b;

	bed_init(&b, 256, NET);
	pattern(&b, DATA + HDR, 256 * 9, 5);
	for (unsigned i = 0; i < 256; i++)
		s[i] = (struct sg){DATA + 9 * i, 9};
	for (unsigned n = 95; n < 256; n += n < 130 ? 1 : 60) {
		uint32_t len;
		uint16_t id;
		assert_true(driver_add(&b.d, s, n, false, n & 1 ? TABLE : 0));
		assert_int_equal(take(&b), 1);
		assert_int_equal(b.k[0]->drop, DROP_NONE);
		assert_int_equal(b.k[0]->len, 9 * n - HDR);
		assert_int_equal(!!(b.k[0]->flags & PKT_BORROWED), n <= PKT_BORROW_IOV);
		assert_pattern(b.k[0], 5);
		assert_true(pkt_own(b.pool, b.k[0]));
		assert_pattern(b.k[0], 5);
		done(&b);
		assert_true(driver_used(&b.d, &id, &len));
	}
	for (unsigned i = 0; i < ARRAY_SIZE(hog); i++) {
		hog[i] = pkt_new(b.pool);
		pkt_add_big(b.pool, hog[i]);
	}
	assert_true(driver_add(&b.d, s, 200, false, TABLE));
	assert_int_equal(take(&b), 1);
	assert_int_equal(b.k[0]->drop, DROP_RX_NO_BUFFER);
	done(&b);
	pkt_free_bulk(b.pool, hog, ARRAY_SIZE(hog));
	bed_fini(&b);
}

/* No packets: frames are lost, counted, and their descriptors given back. */
static void test_no_packets(void **state)
{
	struct pkt *hog[256];
	struct bed b;
	uint32_t len;
	uint16_t id;

	bed_init(&b, 16, NET);
	unsigned n = pkt_new_bulk(b.pool, hog, 256);
	pkt_free(b.pool, hog[--n]);
	for (unsigned i = 0; i < 5; i++) {
		struct sg s[2] = {{DATA + 256 * i, HDR}, {DATA + 256 * i + 100, 60}};
		assert_true(driver_add(&b.d, s, 2, false, 0));
	}
	assert_int_equal(take(&b), 1);
	assert_int_equal(b.lost, 4);
	done(&b);
	for (unsigned i = 0; i < 5; i++)
		assert_true(driver_used(&b.d, &id, &len));
	assert_false(driver_used(&b.d, &id, &len));
	pkt_free_bulk(b.pool, hog, n);
	bed_fini(&b);
}

/* A burst ends after PORT_RX_BYTES, and goes on where it ended. */
static void test_byte_budget(void **state)
{
	struct bed b;
	unsigned all = 0;

	bed_init(&b, 16, NET);
	for (unsigned i = 0; i < 8; i++) {
		struct sg s = {GUEST_B, HDR + 65000};
		assert_true(driver_add(&b.d, &s, 1, false, 0));
	}
	while (take(&b)) {
		assert_true(b.n <= 4);
		all += b.n;
		done(&b);
	}
	assert_int_equal(all, 8);
	bed_fini(&b);
}

static void put_vnet(struct bed *b, uint64_t gpa, struct virtio_net_hdr h)
{
	memcpy(guest_at(&b->g, gpa), &h, sizeof(h));
}

static unsigned offload(struct bed *b, struct virtio_net_hdr h, bool apart)
{
	struct sg s[2] = {{DATA, HDR + 100}, {DATA + HDR, 100}};

	put_vnet(b, DATA, h);
	if (apart)
		s[0].len = HDR;
	assert_true(driver_add(&b->d, s, apart ? 2 : 1, false, 0));
	assert_int_equal(take(b), 1);
	unsigned drop = b->k[0]->drop;
	if (drop == DROP_NONE && h.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		assert_memory_equal(&b->k[0]->vnet, &h, sizeof(h));
	if (drop == DROP_NONE)
		assert_int_equal(b->k[0]->vnet.flags & ~VIRTIO_NET_HDR_F_NEEDS_CSUM, 0);
	done(b);
	return drop;
}

/* A driver uses what it negotiated, and nothing else. */
static void test_offloads_negotiated(void **state)
{
	static const struct {
		uint8_t flags, type;
		uint16_t size;
		uint64_t need; /* 0: never allowed */
	} t[] = {
		{1, 0, 0, 1ull << VIRTIO_NET_F_CSUM},
		{1, 1, 1460, 1ull << VIRTIO_NET_F_CSUM | 1ull << VIRTIO_NET_F_HOST_TSO4},
		{1, 4, 1440, 1ull << VIRTIO_NET_F_CSUM | 1ull << VIRTIO_NET_F_HOST_TSO6},
		{1, 0x81, 1460,
		 1ull << VIRTIO_NET_F_CSUM | 1ull << VIRTIO_NET_F_HOST_TSO4 |
			 1ull << VIRTIO_NET_F_HOST_ECN},
		{1, 5, 1400, 1ull << VIRTIO_NET_F_CSUM | F(HOST_USO)},
		{1, 3, 1400, 0}, /* UFO */
		{0, 0x80, 0, 0}, /* ECN of nothing */
		{1, 1, 0, 0},	 /* GSO into nothing */
		{0, 2, 1400, 0}, /* unknown */
	};
	const uint64_t all = NET | 1ull << VIRTIO_NET_F_CSUM | 1ull << VIRTIO_NET_F_HOST_TSO4 |
			     1ull << VIRTIO_NET_F_HOST_TSO6 | 1ull << VIRTIO_NET_F_HOST_ECN |
			     F(HOST_USO);
	struct bed b;

	for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
		struct virtio_net_hdr h = {t[i].flags, t[i].type, 54, t[i].size, 34, 16};
		for (unsigned apart = 0; apart < 2; apart++) {
			bed_init(&b, 8, all);
			assert_int_equal(offload(&b, h, apart),
					 t[i].need ? DROP_NONE : DROP_RX_BAD_OFFLOAD);
			bed_fini(&b);
			for (unsigned bit = 0; bit < 64; bit++) {
				if (!(t[i].need >> bit & 1))
					continue;
				bed_init(&b, 8, all & ~(1ull << bit));
				assert_int_equal(offload(&b, h, apart), DROP_RX_BAD_OFFLOAD);
				bed_fini(&b);
			}
		}
	}
	bed_init(&b, 8, NET); /* DATA_VALID and unknown flags from a driver say nothing */
	assert_int_equal(offload(&b, (struct virtio_net_hdr){.flags = 0x2, .hdr_len = 9}, false),
			 DROP_NONE);
	assert_int_equal(offload(&b, (struct virtio_net_hdr){.flags = 0xfe}, true), DROP_NONE);
	bed_fini(&b);
}

/* csum_start beyond the frame is seen where the private head is parsed.  CVE-2024-11614. */
static void test_cve_2024_11614_csum_start(void **state)
{
	static const uint8_t ip4_tcp[54] = {2,	0, 0,  0, 0,	1,    2,  0,  0,	  0,
					    0,	2, 8,  0, 0x45, 0,    0,  40, 0,	  0,
					    0,	0, 64, 6, 0x66, 0xce, 10, 0,  0,	  1,
					    10, 0, 0,  2, 0,	1,    0,  2,  [46] = 0x50};
	static const uint16_t start[] = {34, 35, 53, 54, 300, 65535};
	struct bed b;

	bed_init(&b, 8, NET | 1ull << VIRTIO_NET_F_CSUM);
	for (unsigned i = 0; i < ARRAY_SIZE(start); i++) {
		struct sg s = {DATA, HDR + sizeof(ip4_tcp)};
		put_vnet(&b, DATA,
			 (struct virtio_net_hdr){.flags = 1,
						 .csum_start = start[i],
						 .csum_offset = 16});
		memcpy(guest_at(&b.g, DATA + HDR), ip4_tcp, sizeof(ip4_tcp));
		assert_true(driver_add(&b.d, &s, 1, false, 0));
		assert_int_equal(take(&b), 1);
		/* changed after the copy: of no effect */
		put_vnet(&b, DATA, (struct virtio_net_hdr){.flags = 1, .csum_start = 9999});
		assert_int_equal(b.k[0]->drop, DROP_NONE);
		assert_int_equal(pkt_parse(b.k[0]), i ? DROP_RX_BAD_OFFLOAD : DROP_NONE);
		done(&b);
	}
	bed_fini(&b);
}

/* ---- what is not believed ---- */

/* Buffers may span regions, and may not leave memory.  CVE-2018-1059. */
static void test_cve_2018_1059_regions(void **state)
{
	static const struct sg bad[] = {
		{GUEST_B + GUEST_SIZE - 50, 100}, {GUEST_C - 50, 100},
		{GUEST_C + GUEST_SIZE - 50, 100}, {0, 100},
		{UINT64_MAX - 50, 100},		  {GUEST_A, UINT32_MAX},
		{GUEST_B + GUEST_SIZE, 60},	  {GUEST_A - 1, 60},
	};
	struct bed b;

	bed_init(&b, 8, NET);
	for (uint32_t before = 1; before < 400; before += 13) {
		add_frame(&b, GUEST_B - before, 300, (uint8_t)before);
		assert_int_equal(take(&b), 1);
		assert_int_equal(b.k[0]->drop, DROP_NONE);
		assert_pattern(b.k[0], (uint8_t)before);
		done(&b);
		uint32_t len;
		uint16_t id;
		assert_true(driver_used(&b.d, &id, &len));
	}
	add_frame(&b, GUEST_C, 300, 1);
	assert_int_equal(take(&b), 1);
	assert_pattern(b.k[0], 1);
	done(&b);
	bed_fini(&b);
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		bed_init(&b, 8, NET);
		assert_true(driver_add(&b.d, &bad[i], 1, false, i & 1 ? TABLE : 0));
		expect_fault(&b, VRING_FAULT_ADDRESS);
	}
}

/* An empty descriptor is looked up like any other.  CVE-2020-10725. */
static void test_cve_2020_10725_empty(void **state)
{
	struct sg s[3] = {{DATA, HDR}, {GUEST_C + 5, 0}, {DATA + HDR, 60}};
	struct bed b;

	bed_init(&b, 8, NET);
	memset(guest_at(&b.g, DATA), 0, HDR);
	pattern(&b, DATA + HDR, 60, 1);
	assert_true(driver_add(&b.d, s, 3, false, 0));
	assert_int_equal(take(&b), 1);
	assert_pattern(b.k[0], 1);
	done(&b);
	s[1].gpa = 1;
	assert_true(driver_add(&b.d, s, 3, false, 0));
	expect_fault(&b, VRING_FAULT_ADDRESS);
	bed_init(&b, 8, NET);
	assert_true(driver_add(&b.d, &s[1], 1, false, 0));
	expect_fault(&b, VRING_FAULT_ADDRESS);
}

struct flip {
	uint8_t *word;
	_Atomic bool stop;
};

static void *flip_len(void *arg)
{
	struct flip *f = arg;
	uint32_t len[2] = {HDR + 60, 8192};

	for (unsigned i = 0; !f->stop; i++)
		__atomic_store_n((uint32_t *)(void *)f->word, len[i & 1], __ATOMIC_RELAXED);
	return NULL;
}

/* The length changes between any two looks.  The buffer ends where memory does: one look checked
 * and another one used would touch the hole behind it.  CVE-2020-14375 and its kin. */
static void test_cve_2020_14375_double_fetch(void **state)
{
	struct sg s = {GUEST_C + GUEST_SIZE - HDR - 60, HDR + 60};
	struct flip f = {.word = NULL};
	unsigned good = 0;
	struct bed b;
	pthread_t t;

	bed_init(&b, 4, NET);
	f.word = guest_at(&b.g, RING + 8); /* of descriptor 0 */
	for (unsigned round = 0; round < 400; round++) {
		driver_fini(&b.d);
		int call = b.d.call_fd, kick = b.d.kick_fd;
		driver_init(&b.d, &b.g, RING, 4, NET | kind);
		b.d.call_fd = call, b.d.kick_fd = kick;
		vring_stop(&b.q);
		bed_start(&b);
		assert_true(driver_add(&b.d, &s, 1, false, 0));
		if (round == 0)
			assert_int_equal(pthread_create(&t, NULL, flip_len, &f), 0);
		if (round % 16 == 0)
			sched_yield();
		if (take(&b)) {
			assert_int_equal(b.k[0]->len, 60);
			good++;
		} else {
			assert_int_equal(b.q.fault, VRING_FAULT_ADDRESS);
		}
		done(&b);
	}
	f.stop = true;
	pthread_join(t, NULL);
	assert_true(good <= 400);
	bed_fini(&b);
}

static void test_direction(void **state)
{
	struct sg s[2] = {{DATA, 100}, {DATA + 100, 100}};
	struct pkt_out v = {.pkt = NULL};
	struct bed b;

	for (unsigned table = 0; table < 2; table++) {
		bed_init(&b, 8, NET);
		assert_true(driver_add(&b.d, s, 2, true, table ? TABLE : 0));
		expect_fault(&b, VRING_FAULT_DIRECTION);
		bed_init(&b, 8, NET); /* readable where we write */
		assert_true(driver_add(&b.d, s, 2, false, table ? TABLE : 0));
		driver_publish(&b.d);
		v = (struct pkt_out){.pkt = pkt_new(b.pool)};
		pkt_set_len(b.pool, v.pkt, 60);
		vring_enqueue(&b.q, &v, 1);
		assert_int_equal(v.drop, DROP_TX_GONE);
		assert_int_equal(b.q.fault, VRING_FAULT_DIRECTION);
		pkt_free(b.pool, v.pkt);
		bed_fini(&b);
	}
}

/* Tables: nested, of a length that is not whole, empty, too long, not in memory, not negotiated. */
static void test_indirect(void **state)
{
	static const struct {
		uint64_t at;
		uint32_t len;
	} bad[] = {
		{TABLE, 15},
		{TABLE, 17},
		{TABLE, 0},
		{TABLE, 16 * 40000},
		{1, 32},
		{GUEST_C + GUEST_SIZE - 16, 32},
		{GUEST_A + GUEST_SIZE - 8, 32},
	};
	struct sg s[2] = {{DATA, 8}, {DATA + 8, 100}};
	struct bed b;

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		bed_init(&b, 8, NET);
		memset(guest_at(&b.g, DATA), 0, 200);
		assert_true(driver_add(&b.d, s, 2, false, TABLE));
		drv_desc(guest_at(&b.g, GUEST_A + GUEST_SIZE - 16), DATA, 5, D_NEXT, 1, kind != 0);
		drv_desc(guest_at(&b.g, GUEST_C + GUEST_SIZE - 16), DATA, 5, D_NEXT, 1, kind != 0);
		uint8_t *d = guest_at(&b.g, RING);
		drv_w64(d, bad[i].at);
		__atomic_store_n((uint32_t *)(void *)(d + 8), bad[i].len, __ATOMIC_RELAXED);
		expect_fault(&b, VRING_FAULT_INDIRECT);
	}
	bed_init(&b, 8, NET); /* nested */
	assert_true(driver_add(&b.d, s, 2, false, TABLE));
	drv_desc(guest_at(&b.g, TABLE), TABLE, 32, D_INDIRECT, 1, kind != 0);
	expect_fault(&b, VRING_FAULT_INDIRECT);
	bed_init(&b, 8, MODERN); /* not negotiated */
	assert_true(driver_add(&b.d, s, 2, false, TABLE));
	expect_fault(&b, VRING_FAULT_INDIRECT);
	bed_init(&b, 8, NET); /* with NEXT: 2.7.5.3.1 */
	assert_true(driver_add(&b.d, s, 2, false, TABLE));
	uint8_t *flags = guest_at(&b.g, RING + (kind ? 14 : 12));
	drv_w16(flags, drv_r16(flags) | D_NEXT);
	expect_fault(&b, VRING_FAULT_INDIRECT);
}

/* A table may begin at any byte, and is found after other descriptors too (2.7.5.3.2). */
static void test_indirect_unaligned_and_last(void **state)
{
	struct sg s[2] = {{DATA, 20}, {DATA + 20, 100}}, direct[2] = {{DATA, 20}, {TABLE + 3, 16}};
	struct bed b;
	uint32_t len;
	uint16_t id;

	bed_init(&b, 8, NET);
	memset(guest_at(&b.g, DATA), 0, HDR);
	pattern(&b, DATA + HDR, 120 - HDR, 4);
	uint8_t t[32];
	drv_desc((void *)t, s[0].gpa, s[0].len, kind ? 0 : D_NEXT, 1, kind != 0);
	drv_desc((void *)(t + 16), s[1].gpa, s[1].len, 0, 0, kind != 0);
	memcpy(guest_at(&b.g, TABLE + 5), t, sizeof(t));
	struct sg one = {TABLE + 5, 32};
	assert_true(driver_add(&b.d, &one, 1, false, 0));
	uint8_t *flags = guest_at(&b.g, RING + (kind ? 14 : 12));
	drv_w16(flags, drv_r16(flags) | D_INDIRECT);
	assert_int_equal(take(&b), 1);
	assert_int_equal(b.k[0]->len, 120 - HDR);
	assert_pattern(b.k[0], 4);
	done(&b);
	assert_true(driver_used(&b.d, &id, &len));
	drv_desc((void *)t, s[1].gpa, s[1].len, 0, 0, kind != 0);
	memcpy(guest_at(&b.g, TABLE + 3), t, 16);
	assert_true(driver_add(&b.d, direct, 2, false, 0));
	flags = guest_at(&b.g, RING + 16 * 2 + (kind ? 14 : 12));
	drv_w16(flags, drv_r16(flags) | D_INDIRECT);
	assert_int_equal(take(&b), 1);
	assert_int_equal(b.k[0]->len, 120 - HDR);
	assert_pattern(b.k[0], 4);
	done(&b);
	bed_fini(&b);
}

/* Chains without end (DPDK a436f53ebf and kin): next of itself, of another, in a table. */
static void test_dead_loop_split(void **state)
{
	struct sg s[3] = {{DATA, 0}, {DATA, 0}, {DATA, 0}};
	static const uint16_t next[] = {0, 1, 2, 8, 65535};
	struct bed b;

	for (unsigned i = 0; i < ARRAY_SIZE(next); i++) {
		for (unsigned table = 0; table < 2; table++) {
			bed_init(&b, 8, NET);
			assert_true(driver_add(&b.d, s, 3, false, table ? TABLE : 0));
			drv_desc(guest_at(&b.g, (table ? TABLE : RING) + 16 * 2), DATA, 0, D_NEXT,
				 next[i], false);
			expect_fault(&b, VRING_FAULT_CHAIN);
		}
	}
}

static void test_dead_loop_packed(void **state)
{
	struct sg s = {DATA, 0};
	struct bed b;

	bed_init(&b, 8, NET);
	for (unsigned i = 0; i < 8; i++) {
		assert_true(driver_add(&b.d, &s, 1, false, 0));
		uint8_t *flags = guest_at(&b.g, RING + 16 * i + 14);
		drv_w16(flags, drv_r16(flags) | D_NEXT);
	}
	expect_fault(&b, VRING_FAULT_CHAIN);
}

static void test_avail_index_jump_split(void **state)
{
	static const uint16_t jump[] = {9, 10, 0x8000, 0xffff};
	struct pkt_out v = {.pkt = NULL};
	struct bed b;

	for (unsigned i = 0; i < ARRAY_SIZE(jump); i++) {
		bed_init(&b, 8, NET);
		b.d.idx = jump[i];
		expect_fault(&b, VRING_FAULT_AVAIL_INDEX);
		bed_init(&b, 8, NET);
		b.d.idx = jump[i];
		driver_publish(&b.d);
		vring_enqueue(&b.q, &v, 1);
		assert_int_equal(b.q.fault, VRING_FAULT_AVAIL_INDEX);
		bed_fini(&b);
	}
}

static void test_head_outside_split(void **state)
{
	static const uint16_t head[] = {8, 9, 0xffff};
	struct sg s = {DATA, 100};
	struct bed b;

	for (unsigned i = 0; i < ARRAY_SIZE(head); i++) {
		bed_init(&b, 8, NET);
		assert_true(driver_add(&b.d, &s, 1, false, 0));
		assert_true(driver_add(&b.d, &s, 1, false, 0));
		drv_w16(b.d.a + 4 + 2, head[i]);
		expect_fault(&b, VRING_FAULT_HEAD);
		bed_init(&b, 8, NET);
		assert_true(driver_add(&b.d, &s, 1, true, 0));
		drv_w16(b.d.a + 4, head[i]);
		driver_publish(&b.d);
		struct pkt_out v = {.pkt = pkt_new(b.pool)};
		vring_enqueue(&b.q, &v, 1);
		assert_int_equal(v.drop, DROP_TX_GONE);
		assert_int_equal(b.q.fault, VRING_FAULT_HEAD);
		pkt_free(b.pool, v.pkt);
		bed_fini(&b);
	}
}

static void test_id_outside_packed(void **state)
{
	struct sg s = {DATA, 100};
	struct bed b;

	bed_init(&b, 8, NET);
	assert_true(driver_add(&b.d, &s, 1, false, 0));
	drv_w16(guest_at(&b.g, RING + 12), 8);
	expect_fault(&b, VRING_FAULT_PACKED_ID);
}

static void test_memory_taken_away(void **state)
{
	struct bed b;

	bed_init(&b, 8, NET);
	add_frame(&b, DATA, 60, 1);
	b.g.mem->broken = true;
	expect_fault(&b, VRING_FAULT_MEMORY);
}

/* ---- enqueue ---- */

static struct pkt *frame(struct bed *b, uint32_t len, uint8_t seed)
{
	struct pkt *k = pkt_new(b->pool);

	if (len > PKT_HEAD_MAX)
		assert_true(pkt_add_big(b->pool, k));
	pkt_set_len(b->pool, k, len);
	for (uint32_t i = 0; i < len; i++)
		*(i < k->head_len ? k->head + i : (uint8_t *)k->big + i - k->head_len) =
			(uint8_t)(seed + i * 7 + (i >> 8));
	return k;
}

static unsigned send_one(struct bed *b, struct pkt *k, struct vlan_tag tag)
{
	struct pkt_out v = {.pkt = k, .tag = tag};

	vring_enqueue(&b->q, &v, 1);
	assert_false(v.taken);
	return v.drop;
}
#define UNTAGGED ((struct vlan_tag){0})

static void add_room(struct bed *b, uint64_t gpa, uint32_t len)
{
	struct sg s = {gpa, len};

	assert_true(driver_add(&b->d, &s, 1, true, 0));
	driver_publish(&b->d);
}

static void test_send_sizes(void **state)
{
	static const uint32_t sizes[] = {14,  20,  33,	 60,   64,   65,   100,
					 256, 257, 1514, 1856, 1857, 9000, 65550};
	static const uint64_t with[] = {NET, 0, F(MRG_RXBUF), MODERN, NET | F(IN_ORDER)};
	struct bed b;

	for (unsigned w = 0; w < ARRAY_SIZE(with); w++) {
		bed_init(&b, 8, with[w]);
		const unsigned hdr = b.q.hdr_len;
		for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
			uint32_t len;
			uint16_t id;
			struct pkt *k = frame(&b, sizes[i], (uint8_t)i);
			add_room(&b, DATA, hdr + 65550);
			memset(guest_at(&b.g, DATA), 0xee, hdr + sizes[i] + 8);
			assert_int_equal(send_one(&b, k, UNTAGGED), DROP_NONE);
			assert_true(driver_used(&b.d, &id, &len));
			assert_int_equal(len, hdr + sizes[i]);
			const uint8_t *m = guest_at(&b.g, DATA);
			for (unsigned j = 0; j < hdr; j++)
				assert_int_equal(m[j], j == 10); /* num_buffers is 1 */
			for (uint32_t j = 0; j < sizes[i]; j++)
				assert_int_equal(m[hdr + j], (uint8_t)(i + j * 7 + (j >> 8)));
			assert_int_equal(m[hdr + sizes[i]], 0xee);
			pkt_free(b.pool, k);
		}
		bed_fini(&b);
	}
}

static void test_send_tag(void **state)
{
	const struct vlan_tag tag = {0x8100, 0x2123};
	struct bed b;
	uint32_t len;
	uint16_t id;

	bed_init(&b, 64, NET);
	for (unsigned pieces = 1; pieces <= 40; pieces += 3) {
		struct pkt *k = frame(&b, 500, 9);
		struct sg s[40];
		uint8_t got[HDR + 504];
		k->vnet = (struct virtio_net_hdr){1, 1, 54, 1460, 34, 16};
		for (unsigned i = 0; i < pieces; i++)
			s[i] = (struct sg){DATA + 5 * i, i + 1 < pieces ? 5 : 600};
		assert_true(driver_add(&b.d, s, pieces, true, 0));
		driver_publish(&b.d);
		assert_int_equal(send_one(&b, k, tag), DROP_NONE);
		assert_true(driver_used(&b.d, &id, &len));
		assert_int_equal(len, sizeof(got));
		memcpy(got, guest_at(&b.g, DATA), sizeof(got));
		struct virtio_net_hdr want = {1, 1, 58, 1460, 38, 16};
		assert_memory_equal(got, &want, sizeof(want));
		assert_memory_equal(got + HDR, k->head, 12);
		assert_memory_equal(got + HDR + 12, "\x81\x00\x21\x23", 4);
		assert_memory_equal(got + HDR + 16, k->head + 12, 488);
		k->head_len = 11; /* never happens; nothing is written */
		add_room(&b, DATA, 1000);
		assert_int_equal(send_one(&b, k, tag), DROP_TX_ERROR);
		k->head_len = 500;
		assert_int_equal(send_one(&b, k, UNTAGGED), DROP_NONE);
		assert_true(driver_used(&b.d, &id, &len));
		pkt_free(b.pool, k);
	}
	bed_fini(&b);
}

/* A frame over several buffers, each of one or more pieces; all or nothing. */
static void test_mergeable(void **state)
{
	struct bed b;
	uint32_t len, total;
	uint16_t id;

	bed_init(&b, 64, NET);
	struct pkt *k = frame(&b, 9000, 1);
	for (unsigned i = 0; i < 5; i++)
		add_room(&b, DATA + 1500 * i, 1500);
	memset(guest_at(&b.g, DATA), 0xee, 10000);
	assert_int_equal(send_one(&b, k, UNTAGGED), DROP_TX_FULL); /* 7500 are not enough */
	assert_false(driver_used(&b.d, &id, &len));
	assert_int_equal(*guest_at(&b.g, DATA), 0xee);
	struct sg two[2] = {{DATA + 7500, 100}, {DATA + 7600, 1400}};
	assert_true(driver_add(&b.d, two, 2, true, TABLE));
	assert_true(driver_add(&b.d, (struct sg[]){{DATA + 9000, 700}}, 1, true, 0));
	driver_publish(&b.d);
	assert_int_equal(send_one(&b, k, UNTAGGED), DROP_NONE);
	total = 0;
	for (unsigned i = 0; i < 7; i++) {
		assert_true(driver_used(&b.d, &id, &len));
		assert_int_equal(len, i < 6 ? 1500 : 12);
		total += len;
	}
	assert_false(driver_used(&b.d, &id, &len));
	assert_int_equal(total, 9012);
	assert_int_equal(guest_at(&b.g, DATA)[10], 7); /* num_buffers */
	for (uint32_t i = 0; i < 9000; i++)
		assert_int_equal(guest_at(&b.g, DATA)[HDR + i], (uint8_t)(1 + i * 7 + (i >> 8)));
	pkt_free(b.pool, k);
	bed_fini(&b);
}

/* A burst in which frames that do not fit stand between others that do. */
static void test_burst_shortage(void **state)
{
	struct pkt_out v[PKT_BURST];
	struct bed b;
	uint32_t len;
	uint16_t id;
	unsigned sent = 0;

	bed_init(&b, 32, NET);
	for (unsigned i = 0; i < 32; i++)
		add_room(&b, DATA + 256 * i, 256);
	for (unsigned i = 0; i < 48; i++)
		v[i] = (struct pkt_out){.pkt = frame(&b, i % 3 ? 60 : 1500, (uint8_t)i)};
	vring_enqueue(&b.q, v, 48);
	for (unsigned i = 0; i < 48; i++) {
		unsigned bufs = i % 3 ? 1 : 6;
		if (v[i].drop != DROP_NONE) {
			assert_int_equal(v[i].drop, DROP_TX_FULL);
		} else {
			sent += bufs;
			for (unsigned j = 0; j < bufs; j++)
				assert_true(driver_used(&b.d, &id, &len));
		}
		pkt_free(b.pool, v[i].pkt);
	}
	assert_false(driver_used(&b.d, &id, &len));
	assert_int_equal(sent, 32);
	bed_fini(&b);
}

/* More pieces in one burst than the scratch holds. */
static void test_burst_scratch(void **state)
{
	struct pkt_out v[PKT_BURST];
	struct bed b;
	uint32_t len;
	uint16_t id;

	bed_init(&b, 64, NET);
	for (unsigned i = 0; i < 64; i++) {
		struct sg s[60];
		for (unsigned j = 0; j < 60; j++)
			s[j] = (struct sg){DATA + 1024 * i + 10 * j, 10};
		assert_true(driver_add(&b.d, s, 60, true, TABLE + 1024 * i));
		v[i] = (struct pkt_out){.pkt = frame(&b, 580, (uint8_t)i)};
	}
	driver_publish(&b.d);
	vring_enqueue(&b.q, v, 64);
	for (unsigned i = 0; i < 64; i++) {
		assert_int_equal(v[i].drop, DROP_NONE);
		assert_true(driver_used(&b.d, &id, &len));
		assert_int_equal(len, 592);
		assert_memory_equal(guest_at(&b.g, DATA + 1024 * i + HDR), v[i].pkt->head, 580);
		pkt_free(b.pool, v[i].pkt);
	}
	bed_fini(&b);
}

/* Without MRG_RXBUF a frame has one buffer, which may be a long chain; what is longer than the
 * buffer whose turn it is, is refused, and the buffer stays for others. */
static void test_not_mergeable(void **state)
{
	struct sg s[19] = {{DATA, HDR}};
	struct bed b;
	uint32_t len;
	uint16_t id;

	bed_init(&b, 64, MODERN | F(INDIRECT_DESC));
	struct pkt *big = frame(&b, 65000, 2), *small = frame(&b, 60, 3);
	add_room(&b, DATA, 1526);
	assert_int_equal(send_one(&b, big, UNTAGGED), DROP_TX_OVERSIZE);
	assert_int_equal(send_one(&b, small, UNTAGGED), DROP_NONE);
	assert_true(driver_used(&b.d, &id, &len));
	for (unsigned i = 1; i < 19; i++)
		s[i] = (struct sg){GUEST_B + 4096 * (19 - i), 4096};
	assert_true(driver_add(&b.d, s, 19, true, 0));
	assert_true(driver_add(&b.d, s, 19, true, TABLE));
	driver_publish(&b.d);
	for (unsigned i = 0; i < 2; i++) {
		memset(guest_at(&b.g, GUEST_B), 0, 20 * 4096);
		assert_int_equal(send_one(&b, big, UNTAGGED), DROP_NONE);
		assert_true(driver_used(&b.d, &id, &len));
		assert_int_equal(len, HDR + 65000);
		for (uint32_t j = 0; j < 65000; j++)
			assert_int_equal(guest_at(&b.g, s[1 + j / 4096].gpa)[j % 4096],
					 (uint8_t)(2 + j * 7 + (j >> 8)));
	}
	pkt_free(b.pool, big);
	pkt_free(b.pool, small);
	bed_fini(&b);
}

static void test_buffer_without_room_for_header(void **state)
{
	struct bed b;

	bed_init(&b, 8, NET);
	struct pkt *k = frame(&b, 60, 0);
	add_room(&b, DATA, 11);
	add_room(&b, DATA, 2000);
	assert_int_equal(send_one(&b, k, UNTAGGED), DROP_TX_GONE);
	assert_int_equal(b.q.fault, VRING_FAULT_HEADER);
	pkt_free(b.pool, k);
	bed_fini(&b);
}

static void test_send_outside_memory(void **state)
{
	struct bed b;

	for (unsigned i = 0; i < 2; i++) {
		bed_init(&b, 8, NET);
		struct pkt *k = frame(&b, 60, 0);
		add_room(&b, i ? GUEST_C + GUEST_SIZE - 60 : 8, 2000);
		assert_int_equal(send_one(&b, k, UNTAGGED), DROP_TX_GONE);
		assert_int_equal(b.q.fault, VRING_FAULT_ADDRESS);
		pkt_free(b.pool, k);
		bed_fini(&b);
	}
}

/* From a guest's memory to another's, the tail copied once. */
static void test_guest_to_guest(void **state)
{
	struct bed a, b;
	struct sg s[3] = {{DATA, HDR + 100}, {GUEST_B - 700, 1400}, {GUEST_C, 500}};
	uint32_t len;
	uint16_t id;

	bed_init(&a, 8, NET);
	bed_init(&b, 8, NET);
	memset(guest_at(&a.g, DATA), 0, HDR);
	pattern(&a, DATA + HDR, 100, 1);
	pattern(&a, GUEST_B - 700, 1400, 2);
	pattern(&a, GUEST_C, 500, 3);
	assert_true(driver_add(&a.d, s, 3, false, 0));
	assert_int_equal(take(&a), 1);
	add_room(&b, DATA, 1000);
	add_room(&b, DATA + 1000, 1200);
	assert_int_equal(send_one(&b, a.k[0], UNTAGGED), DROP_NONE);
	done(&a);
	assert_true(driver_used(&b.d, &id, &len));
	assert_int_equal(len, 1000);
	assert_true(driver_used(&b.d, &id, &len));
	assert_int_equal(len, HDR + 2000 - 1000);
	for (uint32_t i = 0; i < 2000; i++) {
		uint64_t from = i < 100	   ? DATA + HDR + i
				: i < 1500 ? GUEST_B - 700 + i - 100
					   : GUEST_C + i - 1500;
		assert_int_equal(*guest_at(&b.g, DATA + HDR + i), *guest_at(&a.g, from));
	}
	bed_fini(&a);
	bed_fini(&b);
}

/* ---- dirty log ---- */

/* What is marked is what was written: buffers over pages, regions and several chains, never
 * beyond (CVE-2019-14835), and the used ring. */
static void test_cve_2019_14835_dirty_log(void **state)
{
	struct bed b;

	bed_init(&b, 16, NET);
	guest_log(&b.g);
	/* read only: nothing is dirty but the used ring, if it is logged */
	add_frame(&b, DATA, 60, 1);
	assert_int_equal(take(&b), 1);
	done(&b);
	assert_int_equal(guest_dirty_pages(&b.g), 0);
	bed_fini(&b);

	bed_init(&b, 16, NET);
	guest_log(&b.g);
	struct pkt *k = frame(&b, 9000, 1);
	add_room(&b, DATA + 4000, 1000);       /* pages 0 and 1 */
	add_room(&b, GUEST_B - 4096, 5000);    /* the last of A, the first of B */
	add_room(&b, DATA + 0x10000, 0x10000); /* one of its pages */
	assert_int_equal(send_one(&b, k, UNTAGGED), DROP_NONE);
	assert_true(guest_dirty(&b.g, DATA));
	assert_true(guest_dirty(&b.g, DATA + 4096));
	assert_true(guest_dirty(&b.g, GUEST_B - 1));
	assert_true(guest_dirty(&b.g, GUEST_B));
	assert_true(guest_dirty(&b.g, DATA + 0x10000));
	assert_int_equal(guest_dirty_pages(&b.g), 5);
	add_room(&b, GUEST_C, 10000); /* beyond the log: ignored, not written past its end */
	assert_int_equal(send_one(&b, k, UNTAGGED), DROP_NONE);
	assert_int_equal(guest_dirty_pages(&b.g), 5);
	pkt_free(b.pool, k);
	bed_fini(&b);

	bed_init(&b, 16, NET);
	guest_log(&b.g);
	vring_stop(&b.q);
	b.conf.log_used = true;
	/* A packed ring's used entries are in its descriptors.  QEMU names the device event area, as it
	 * has no used ring to name. */
	b.conf.used_log = kind ? GUEST_B : GUEST_A;
	const uint64_t dirty = kind ? b.d.desc : GUEST_A;
	const char *why;
	assert_int_equal(vring_start(&b.q, b.g.mem, &b.conf, &why), 0);
	memset((void *)b.g.bits, 0, 8);
	add_frame(&b, DATA, 60, 1);
	assert_int_equal(take(&b), 1);
	assert_int_equal(guest_dirty_pages(&b.g), 0);
	done(&b);
	assert_true(guest_dirty(&b.g, dirty));
	assert_int_equal(guest_dirty_pages(&b.g), 1);
	bed_fini(&b);
}

/* ---- starting and stopping ---- */

static void test_start_refuses(void **state)
{
	struct vring_conf c;
	const char *why;
	struct vring q;
	struct bed b;

	bed_init(&b, 8, NET | F(EVENT_IDX));
	c = b.conf;
#define REFUSED(err, change)                                                                       \
	do {                                                                                       \
		c = b.conf;                                                                        \
		why = NULL;                                                                        \
		change;                                                                            \
		assert_int_equal(vring_start(&q, b.g.mem, &c, &why), err);                         \
		assert_non_null(why);                                                              \
	} while (0)
	REFUSED(-EINVAL, c.size = 0);
	REFUSED(-EINVAL, c.size = 32769);
	REFUSED(-EINVAL, c.size = 65536);
	REFUSED(-EINVAL, c.desc += 8);
	REFUSED(-EINVAL, c.avail += 1);
	REFUSED(-EINVAL, c.used += 2);
	REFUSED(-EFAULT, c.desc = 16);
	REFUSED(-EFAULT, c.avail = 16);
	REFUSED(-EFAULT, c.used = 16);
	/* CVE class "ring partly mapped" (DPDK 5d9dc18e1b): ends past its region, or spans two */
	REFUSED(-EFAULT, c.desc = GUEST_UVA + GUEST_C + GUEST_SIZE - 16 * 7);
	REFUSED(-EFAULT, c.desc = GUEST_UVA + GUEST_B - 16);
	REFUSED(-EFAULT, c.used = GUEST_UVA + GUEST_C + GUEST_SIZE - (kind ? 0 : 68));
	REFUSED(-EFAULT, c.avail = GUEST_UVA + GUEST_C + GUEST_SIZE - (kind ? 0 : 20));
	REFUSED(-EFAULT, c.used = UINT64_MAX - 3);
	REFUSED(-EINVAL, c.base = kind ? 8 : 65536);
	if (kind)
		REFUSED(-EINVAL, c.base = 8u << 16);
	else
		REFUSED(-EINVAL, c.size = 6);
	guest_log(&b.g);
	if (kind) {
		REFUSED(-EINVAL, (c.log_used = true, c.desc = GUEST_UVA + GUEST_C));
	} else {
		REFUSED(-EINVAL, (c.log_used = true, c.used_log = GUEST_C));
		REFUSED(-EINVAL, (c.log_used = true, c.used_log = UINT64_MAX - 3));
	}
	uint64_t small[4];
	REFUSED(-EINVAL, (c.inflight = small, c.inflight_len = sizeof(small)));
	/* and what just fits */
	c = b.conf;
	c.used = GUEST_UVA + GUEST_C + GUEST_SIZE - (kind ? 4 : 72);
	assert_int_equal(vring_start(&q, b.g.mem, &c, &why), 0);
	vring_stop(&q);
	bed_fini(&b);
}

static void test_stop_returns_base(void **state)
{
	struct bed b;

	bed_init(&b, 8, NET);
	for (unsigned i = 0; i < 11; i++) {
		uint32_t len;
		uint16_t id;
		add_frame(&b, DATA, 60, 1);
		assert_int_equal(take(&b), 1);
		done(&b);
		assert_true(driver_used(&b.d, &id, &len));
	}
	/* packed: 11 = 8 + 3, wrapped once */
	uint32_t base = vring_stop(&b.q);
	assert_int_equal(base, kind ? 0x00030003u : 11u);
	b.conf.base = base;
	const char *why;
	assert_int_equal(vring_start(&b.q, b.g.mem, &b.conf, &why), 0);
	add_frame(&b, DATA, 60, 2);
	assert_int_equal(take(&b), 1);
	assert_pattern(b.k[0], 2);
	/* stopped with frames in hand: they come again */
	pkt_free_bulk(b.pool, b.k, 1);
	b.n = 0;
	assert_int_equal(vring_stop(&b.q), base);
	assert_int_equal(vring_start(&b.q, b.g.mem, &b.conf, &why), 0);
	assert_int_equal(take(&b), 1);
	assert_pattern(b.k[0], 2);
	done(&b);
	bed_fini(&b);
}

/* A successor goes on at what was published, whatever base it is told. */
static void test_inflight(void **state)
{
	static uint64_t region[8 + 4 * 16];
	const char *why;
	struct bed b;
	uint32_t len;
	uint16_t id;

	memset(region, 0, sizeof(region));
	bed_init(&b, 8, NET);
	vring_stop(&b.q);
	b.conf.inflight = region;
	b.conf.inflight_len = sizeof(region);
	assert_int_equal(vring_start(&b.q, b.g.mem, &b.conf, &why), 0);
	for (unsigned i = 0; i < 11; i++) {
		add_frame(&b, DATA, 60, 1);
		assert_int_equal(take(&b), 1);
		done(&b);
		assert_true(driver_used(&b.d, &id, &len));
	}
	add_frame(&b, DATA, 60, 7);
	add_frame(&b, DATA + 256, 60, 8);
	assert_int_equal(take(&b), 2);
	/* killed here: two are taken and not given back */
	pkt_free_bulk(b.pool, b.k, 2);
	b.n = 0;
	free(b.q.scratch);
	assert_int_equal(vring_start(&b.q, b.g.mem, &b.conf, &why), 0); /* base of the beginning */
	assert_int_equal(take(&b), 2);
	assert_pattern(b.k[0], 7);
	assert_pattern(b.k[1], 8);
	done(&b);
	assert_true(driver_used(&b.d, &id, &len));
	assert_true(driver_used(&b.d, &id, &len));
	assert_false(driver_used(&b.d, &id, &len));
	bed_fini(&b);
}

/* ---- notifications ---- */

static unsigned calls(struct bed *b)
{
	uint64_t n = 0;

	return read(b->d.call_fd, &n, sizeof(n)) == (ssize_t)sizeof(n) ? (unsigned)n : 0;
}

static void one_frame(struct bed *b, unsigned n)
{
	uint32_t len;
	uint16_t id;

	for (unsigned i = 0; i < n; i++)
		add_frame(b, DATA, 60, 1);
	assert_int_equal(take(b), n);
	done(b);
	for (unsigned i = 0; i < n; i++)
		assert_true(driver_used(&b->d, &id, &len));
}

static void test_calls(void **state)
{
	struct bed b;

	for (unsigned event = 0; event < 2; event++) {
		bed_init(&b, 8, event ? NET | F(EVENT_IDX) : NET);
		driver_want_calls(&b.d, true);
		for (unsigned i = 0; i < 20; i++) {
			one_frame(&b, 1 + i % 7);
			assert_int_equal(calls(&b), 1); /* once a burst */
			driver_want_calls(&b.d, true);
		}
		assert_int_equal(b.q.calls, 20);
		driver_want_calls(&b.d, false);
		for (unsigned i = 0; i < 20; i++)
			one_frame(&b, 3);
		assert_int_equal(calls(&b), 0);
		if (event) { /* from the next but one on */
			driver_want_calls(&b.d, true);
			one_frame(&b, 1);
			assert_int_equal(calls(&b), 1);
			one_frame(&b, 5);
			assert_int_equal(calls(&b), 0); /* the event is behind */
		}
		assert_int_equal(take(&b), 0); /* nothing done, nobody called */
		driver_want_calls(&b.d, true);
		assert_int_equal(calls(&b), 0);
		bed_fini(&b);
		/* without an eventfd nobody is called */
		bed_init(&b, 8, event ? NET | F(EVENT_IDX) : NET);
		vring_stop(&b.q);
		b.conf.call_fd = -1;
		const char *why;
		assert_int_equal(vring_start(&b.q, b.g.mem, &b.conf, &why), 0);
		driver_want_calls(&b.d, true);
		one_frame(&b, 3);
		assert_int_equal(calls(&b), 0);
		bed_fini(&b);
	}
}

static void test_arm(void **state)
{
	struct bed b;

	for (unsigned event = 0; event < 2; event++) {
		bed_init(&b, 8, event ? NET | F(EVENT_IDX) : NET);
		for (unsigned i = 0; i < 30; i++) {
			/* polled: no kicks */
			add_frame(&b, DATA, 60, 1);
			driver_publish(&b.d);
			if (!event || i == 0)
				assert_false(driver_must_kick(&b.d));
			assert_true(vring_arm(&b.q)); /* something waits */
			assert_int_equal(take(&b), 1);
			done(&b);
			uint32_t len;
			uint16_t id;
			assert_true(driver_used(&b.d, &id, &len));
			driver_must_kick(&b.d);
			assert_false(vring_arm(&b.q));
			add_frame(&b, DATA, 60, 1);
			driver_publish(&b.d);
			assert_true(driver_must_kick(&b.d));
			vring_disarm(&b.q);
			assert_int_equal(take(&b), 1);
			done(&b);
			assert_true(driver_used(&b.d, &id, &len));
			one_frame(&b, 1 + i % 3);
		}
		bed_fini(&b);
	}
}

/* ---- at a distance ---- */

static void add_many(struct bed *b, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		add_frame(b, DATA + 128 * i, 60, 1);
}

static unsigned take_some(struct bed *b)
{
	unsigned n = take(b);
	uint32_t len;
	uint16_t id;

	done(b);
	while (driver_used(&b->d, &id, &len))
		;
	return n;
}

/* What a streaming driver wrote last is left until there is more, or the caller has waited. */
static void test_streams_split(void **state)
{
	struct bed b;

	bed_init(&b, 256, NET);
	add_many(&b, 64);
	assert_int_equal(take_some(&b), 64);
	add_many(&b, 40);
	assert_int_equal(take_some(&b), 0);
	assert_true(b.q.behind);
	assert_true(vring_arm(&b.q)); /* nobody sleeps over it */
	add_many(&b, 30);
	assert_int_equal(take_some(&b), 70 - VRING_TRAIL);
	assert_int_equal(take_some(&b), 0);
	vring_let_go(&b.q);
	assert_int_equal(take_some(&b), VRING_TRAIL);
	assert_false(b.q.behind);
	bed_fini(&b);
}

/* When waiting did not pay it is left off for ever more bursts; a burst that is short ends it. */
static void test_streams_not_split(void **state)
{
	struct bed b;

	bed_init(&b, 256, NET);
	add_many(&b, 40);
	assert_int_equal(take_some(&b), 40);
	for (unsigned at_once = 0, i = 0; i < 5; i++, at_once = at_once * 2 + 1) {
		add_many(&b, 40);
		assert_int_equal(take_some(&b), 0);
		vring_let_go(&b.q);
		assert_int_equal(take_some(&b), 40);
		for (unsigned k = 0; k < at_once; k++) {
			add_many(&b, 40);
			assert_int_equal(take_some(&b), 40);
		}
	}
	add_many(&b, 100);
	assert_int_equal(take_some(&b), 64); /* 68 are ripe */
	assert_int_equal(take_some(&b), 0);
	vring_let_go(&b.q);
	assert_int_equal(take_some(&b), 36);
	add_many(&b, 3); /* let go: a burst that is taken whole, and short */
	assert_int_equal(take_some(&b), 0);
	vring_let_go(&b.q);
	assert_int_equal(take_some(&b), 3);
	add_many(&b, 40);
	assert_int_equal(take_some(&b), 40);
	bed_fini(&b);
	bed_init(&b, 64, NET); /* a ring too short to leave anything */
	for (unsigned i = 0; i < 5; i++) {
		add_many(&b, 40);
		assert_int_equal(take_some(&b), 40);
	}
	bed_fini(&b);
}

/* ---- over and over ---- */

/* Rings of odd sizes go round many times in uneven steps, both directions, and 16-bit indexes
 * wrap. */
static void test_round_and_round(void **state)
{
	static const uint16_t split_sizes[] = {1, 2, 4, 64, 1024},
			      packed_sizes[] = {1, 2, 3, 5, 7, 63, 1000};
	static const uint64_t with[] = {NET, NET | F(EVENT_IDX), NET | F(IN_ORDER),
					NET | F(EVENT_IDX) | F(IN_ORDER)};
	const uint16_t *sizes = kind ? packed_sizes : split_sizes;
	unsigned n_sizes = kind ? ARRAY_SIZE(packed_sizes) : ARRAY_SIZE(split_sizes);

	for (unsigned i = 0; i < n_sizes * ARRAY_SIZE(with); i++) {
		uint32_t rnd = 12345 + i, sent = 0, got = 0, back = 0, len;
		uint16_t id, size = sizes[i % n_sizes];
		struct bed a, b;
		bed_init(&a, size, with[i / n_sizes]);
		bed_init(&b, size, with[i / n_sizes]);
		while (got < (i % n_sizes == 3 ? 70000u : 4000u)) {
			rnd = rnd * 1103515245 + 12345;
			unsigned n = 1 + (rnd >> 16) % 40, pieces = 1 + (rnd >> 24) % 3;
			for (unsigned j = 0; j < n; j++, sent++) {
				uint64_t at = DATA + 128 * (sent % 1024);
				struct sg s[3] = {{at, 80}};
				if (pieces > 1) {
					s[0].len = 12;
					s[1] = (struct sg){at + 12, pieces == 2 ? 68 : 30};
					s[2] = (struct sg){at + 42, 38};
				}
				memset(guest_at(&a.g, at), 0, 12);
				memcpy(guest_at(&a.g, at + 12), &sent, sizeof(sent));
				if (!driver_add(&a.d, s, pieces, false,
						rnd & 1 << 20 ? TABLE + 64 * (sent % 1024) : 0))
					break;
			}
			while (driver_add(&b.d, (struct sg[]){{DATA + 128 * (back % 1024), 100}}, 1,
					  true, 0))
				back++;
			driver_publish(&b.d);
			struct pkt_out v[PKT_BURST];
			unsigned m = take(&a);
			for (unsigned j = 0; j < m; j++)
				v[j] = (struct pkt_out){.pkt = a.k[j]};
			m = m < size ? m : size;
			vring_enqueue(&b.q, v, m);
			done(&a);
			while (driver_used(&a.d, &id, &len))
				;
			for (unsigned j = 0; j < m; j++, got++) {
				uint32_t no;
				assert_int_equal(v[j].drop, DROP_NONE);
				assert_true(driver_used(&b.d, &id, &len));
				assert_int_equal(len, 80);
				memcpy(&no, guest_at(&b.g, DATA + 128 * (got % 1024) + 12),
				       sizeof(no));
				assert_int_equal(no, got);
			}
			assert_false(driver_used(&b.d, &id, &len));
		}
		assert_int_equal(a.q.fault, VRING_OK);
		assert_int_equal(b.q.fault, VRING_OK);
		bed_fini(&a);
		bed_fini(&b);
	}
}

/* ---- sleeping ---- */

#define HAMMER 60000u

struct hammer {
	struct bed b;
	_Atomic bool failed;
};

/* The driver: a few at a time, a kick by the rule, then it waits until all have come back (so that
 * the device goes to sleep all the time) or only for room. */
static void *hammer_driver(void *arg)
{
	struct hammer *h = arg;
	struct driver *d = &h->b.d;
	uint32_t rnd = 1, sent = 0, back = 0, len;
	uint16_t id;

	while (back < HAMMER) {
		rnd = rnd * 1103515245 + 12345;
		unsigned n = 1 + (rnd >> 16) % 3;
		for (; n && sent < HAMMER; n--, sent++) {
			struct sg s = {DATA + 128 * (sent % 1024), 72};
			if (!driver_add(d, &s, 1, false, 0))
				break;
		}
		driver_kick(d);
		bool all = rnd & 1 << 25;
		do {
			while (driver_used(d, &id, &len))
				back++;
			if (atomic_load(&h->failed))
				return NULL;
			if (back != sent && (rnd & 3) == 0)
				sched_yield();
		} while (back < sent && (all || !d->free));
	}
	return NULL;
}

/* The device: polls a little, arms, sleeps.  A kick that never comes is a poll() that runs out. */
static bool hammer_device(struct hammer *h)
{
	struct pollfd p = {.fd = h->b.d.kick_fd, .events = POLLIN};
	uint64_t kicks;
	unsigned got = 0;

	while (got < HAMMER) {
		unsigned n = vring_dequeue(&h->b.q, h->b.pool, h->b.k, PKT_BURST, &h->b.lost);
		if (n) {
			vring_dequeue_done(&h->b.q);
			pkt_free_bulk(h->b.pool, h->b.k, n);
			got += n;
			continue;
		}
		if (h->b.q.fault)
			return false;
		if (vring_arm(&h->b.q))
			continue;
		if (poll(&p, 1, 5000) != 1)
			return false;
		if (read(p.fd, &kicks, sizeof(kicks)) < 0 && errno != EAGAIN)
			return false;
		vring_disarm(&h->b.q);
	}
	return true;
}

static void test_no_sleep_with_a_packet_waiting(void **state)
{
	for (unsigned i = 0; i < 4; i++) {
		static struct hammer h;
		pthread_t t;
		bed_init(&h.b, i & 2 ? 256 : 8, i & 1 ? NET | F(EVENT_IDX) : NET);
		driver_want_calls(&h.b.d, false);
		h.failed = false;
		assert_int_equal(pthread_create(&t, NULL, hammer_driver, &h), 0);
		bool ok = hammer_device(&h);
		h.failed = !ok;
		pthread_join(t, NULL);
		assert_true(ok);
		bed_fini(&h.b);
	}
}

static int split(void **state)
{
	kind = 0;
	return 0;
}
static int packed(void **state)
{
	kind = F(RING_PACKED);
	return 0;
}

#define BOTH                                                                                       \
	cmocka_unit_test(test_sizes), cmocka_unit_test(test_head_is_private),                      \
		cmocka_unit_test(test_cve_2022_2132_split_header),                                 \
		cmocka_unit_test(test_cve_2022_2132_no_frame), cmocka_unit_test(test_oversize),    \
		cmocka_unit_test(test_many_pieces), cmocka_unit_test(test_no_packets),             \
		cmocka_unit_test(test_byte_budget), cmocka_unit_test(test_offloads_negotiated),    \
		cmocka_unit_test(test_cve_2024_11614_csum_start),                                  \
		cmocka_unit_test(test_cve_2018_1059_regions),                                      \
		cmocka_unit_test(test_cve_2020_10725_empty),                                       \
		cmocka_unit_test(test_cve_2020_14375_double_fetch),                                \
		cmocka_unit_test(test_direction), cmocka_unit_test(test_indirect),                 \
		cmocka_unit_test(test_indirect_unaligned_and_last),                                \
		cmocka_unit_test(test_memory_taken_away), cmocka_unit_test(test_send_sizes),       \
		cmocka_unit_test(test_send_tag), cmocka_unit_test(test_mergeable),                 \
		cmocka_unit_test(test_burst_shortage), cmocka_unit_test(test_burst_scratch),       \
		cmocka_unit_test(test_not_mergeable),                                              \
		cmocka_unit_test(test_buffer_without_room_for_header),                             \
		cmocka_unit_test(test_send_outside_memory), cmocka_unit_test(test_guest_to_guest), \
		cmocka_unit_test(test_cve_2019_14835_dirty_log),                                   \
		cmocka_unit_test(test_start_refuses), cmocka_unit_test(test_stop_returns_base),    \
		cmocka_unit_test(test_inflight), cmocka_unit_test(test_calls),                     \
		cmocka_unit_test(test_arm), cmocka_unit_test(test_round_and_round),                \
		cmocka_unit_test(test_no_sleep_with_a_packet_waiting)

int main(void)
{
	const struct CMUnitTest on_split[] = {
		BOTH,
		cmocka_unit_test(test_dead_loop_split),
		cmocka_unit_test(test_avail_index_jump_split),
		cmocka_unit_test(test_head_outside_split),
		cmocka_unit_test(test_streams_split), cmocka_unit_test(test_streams_not_split),
	};
	const struct CMUnitTest on_packed[] = {
		BOTH,
		cmocka_unit_test(test_dead_loop_packed),
		cmocka_unit_test(test_id_outside_packed),
	};
	return cmocka_run_group_tests(on_split, split, NULL) +
	       cmocka_run_group_tests(on_packed, packed, NULL);
}
