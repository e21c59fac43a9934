/* Packets and their arena: bounds, contents, and slots that wander between threads. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "net/headers.h"
#include "net/pkt.h"

static void the_arena_is_a_bound(void **s)
{
	struct arena *a = arena_new(100, 5);
	struct pkt_pool *p = pkt_pool_new(a);
	struct pkt *k[100];
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 100; i++) {
			k[i] = pkt_new(p);
			assert_non_null(k[i]);
			assert_int_equal(k[i]->in_port, PORT_NONE);
			assert_int_equal(k[i]->domain, DOMAIN_NONE);
			assert_int_equal(k[i]->len | k[i]->flags | k[i]->vnet.flags, 0);
			assert_int_equal(k[i]->head - (uint8_t *)k[i], PKT_HEAD_OFF);
			assert_int_equal(pkt_add_big(p, k[i]), i < 5);
			memset(k[i], 0xff, offsetof(struct pkt, own_tail)); /* pkt_new() clears */
			k[i]->flags = 0;
		}
		assert_null(pkt_new(p));
		for (unsigned i = 0; i < 100; i++)
			pkt_free(p, k[i]);
	}
	pkt_free(p, NULL);
	pkt_pool_free(p);
	pkt_pool_free(NULL);
	struct arena_stats st = arena_stats(a);
	assert_int_equal(st.small_free, 100);
	assert_int_equal(st.small_total, 100);
	assert_int_equal(st.big_free, 5);
	arena_free(a);
	arena_free(NULL);
}

/* A pool that only frees gives back what it cannot keep. */
static void pools_spill(void **s)
{
	struct arena *a = arena_new(5000, 100);
	struct pkt_pool *p = pkt_pool_new(a), *q = pkt_pool_new(a);
	static struct pkt *k[5000];
	for (unsigned i = 0; i < 5000; i++) {
		assert_non_null(k[i] = pkt_new(p));
		assert_int_equal(pkt_add_big(p, k[i]), i < 100);
	}
	assert_null(pkt_new(q));
	for (unsigned i = 0; i < 5000; i++)
		pkt_free(q, k[i]);
	struct arena_stats st = arena_stats(a);
	assert_true(st.small_free >= 5000 - 256);
	assert_true(st.big_free >= 100 - 16);
	assert_non_null(k[0] = pkt_new(p));
	pkt_free(p, k[0]);
	pkt_pool_free(p);
	pkt_pool_free(q);
	assert_int_equal(arena_stats(a).small_free, 5000);
	assert_int_equal(arena_stats(a).big_free, 100);
	arena_free(a);
}

static void set_len_places_the_bytes(void **s)
{
	struct arena *a = arena_new(4, 1);
	struct pkt_pool *p = pkt_pool_new(a);
	struct pkt *k = pkt_new(p);
	assert_true(pkt_add_big(p, k));
	pkt_set_len(p, k, PKT_HEAD_MAX + 1);
	assert_int_equal(k->head_len, PKT_HEAD_MAX);
	assert_int_equal(k->n_tail, 1);
	assert_int_equal(k->tail->iov_len, 1);
	struct pkt *l = pkt_new(p);
	assert_false(pkt_add_big(p, l));
	pkt_set_len(p, k, PKT_HEAD_MAX);
	assert_int_equal(k->n_tail, 0);
	assert_null(k->big);
	assert_true(pkt_add_big(p, l)); /* it was given back */
	assert_true(pkt_add_big(p, l)); /* and one is enough */
	pkt_free(p, k);
	pkt_free(p, l);
	pkt_pool_free(p);
	arena_free(a);
}

static uint8_t data[80000], back[80000];

static void bytes_survive(void **s)
{
	struct arena *a = arena_new(16, 4);
	struct pkt_pool *p = pkt_pool_new(a);
	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(rand() >> 7);
	const size_t most = PKT_HEAD_MAX + PKT_BIG_SLOT;
	const size_t lens[] = {0, 1, 60, PKT_HEAD_MAX, PKT_HEAD_MAX + 1, ETH_FRAME_MAX, most};
	for (unsigned i = 0; i < ARRAY_SIZE(lens); i++) {
		struct pkt *k = pkt_from(p, data, lens[i]);
		assert_non_null(k);
		assert_int_equal(k->len, lens[i]);
		k->flags = PKT_SHARED | PKT_IP4;
		k->in_port = 3;
		k->l4_off = 34;
		k->vnet.gso_size = 5;
		k->next = k;
		struct pkt *c = pkt_copy(p, k);
		assert_non_null(c);
		assert_int_equal(c->flags, PKT_IP4);
		assert_int_equal(c->in_port, 3);
		assert_int_equal(c->l4_off, 34);
		assert_int_equal(c->vnet.gso_size, 5);
		assert_null(c->next);
		assert_true(pkt_read(c, 0, back, lens[i]));
		assert_memory_equal(back, data, lens[i]);
		assert_false(pkt_read(c, 0, back, lens[i] + 1));
		assert_false(pkt_read(c, lens[i] + 1, back, 0));
		assert_false(pkt_read(c, 1, back, SIZE_MAX));
		for (unsigned j = 0; j < 50; j++) {
			size_t off = (size_t)rand() % (lens[i] + 1);
			size_t n = (size_t)rand() % (lens[i] - off + 1);
			assert_true(pkt_read(k, off, back, n));
			assert_memory_equal(back, data + off, n);
		}
		pkt_free(p, k);
		pkt_free(p, c);
	}
	assert_null(pkt_from(p, data, most + 1));
	pkt_pool_free(p);
	assert_int_equal(arena_stats(a).small_free, 16);
	assert_int_equal(arena_stats(a).big_free, 4);
	arena_free(a);
}

/* A frame in guest memory, its head private: the copy owns everything. */
static void copy_gathers_foreign_tails(void **s)
{
	struct arena *a = arena_new(4, 1);
	struct pkt_pool *p = pkt_pool_new(a);
	struct iovec v[3] = {{data + 128, 1000}, {data + 1128, 0}, {data + 1128, 3000}};
	struct pkt *k = pkt_from(p, data, 128);
	k->tail = v;
	k->n_tail = 3;
	k->len = 4128;
	struct pkt *c = pkt_copy(p, k);
	assert_int_equal(c->n_tail, 1);
	assert_true(pkt_read(c, 0, back, 4128));
	assert_memory_equal(back, data, 4128);
	assert_null(pkt_copy(p, k)); /* no second big slot; nothing leaks */
	k->len = 1128;
	k->n_tail = 1;
	struct pkt *d = pkt_copy(p, k);
	assert_int_equal(d->n_tail, 0); /* small enough for the head */
	pkt_free(p, c);
	pkt_free(p, d);
	pkt_free(p, k);
	pkt_pool_free(p);
	assert_int_equal(arena_stats(a).small_free, 4);
	arena_free(a);
}

static size_t flatten(const struct iovec *v, unsigned n, uint8_t *to)
{
	size_t at = 0;
	for (unsigned i = 0; i < n; i++) {
		memcpy(to + at, v[i].iov_base, v[i].iov_len);
		at += v[i].iov_len;
	}
	return at;
}

static void iov_puts_the_tag_back(void **s)
{
	struct arena *a = arena_new(4, 1);
	struct pkt_pool *p = pkt_pool_new(a);
	uint8_t tagbuf[4];
	struct iovec v[4];
	for (size_t len = 14; len < 5000; len += 1000) {
		struct pkt *k = pkt_from(p, data, len);
		unsigned n = pkt_iov(k, (struct vlan_tag){0}, tagbuf, v, 4);
		assert_int_equal(n, 1u + k->n_tail);
		assert_int_equal(flatten(v, n, back), len);
		assert_memory_equal(back, data, len);
		n = pkt_iov(k, (struct vlan_tag){0x88a8, 0x600a}, tagbuf, v, 4);
		assert_int_equal(n, 3u + k->n_tail);
		assert_int_equal(flatten(v, n, back), len + 4);
		assert_memory_equal(back, data, 12);
		assert_memory_equal(back + 12, "\x88\xa8\x60\x0a", 4);
		assert_memory_equal(back + 16, data + 12, len - 12);
		assert_int_equal(pkt_iov(k, (struct vlan_tag){0x8100, 1}, tagbuf, v, 2), 0);
		assert_int_equal(pkt_iov(k, (struct vlan_tag){0}, tagbuf, v, k->n_tail), 0);
		pkt_free(p, k);
	}
	pkt_pool_free(p);
	arena_free(a);
}

static void counts_segments_and_needs(void **s)
{
	uint8_t b[3000] = {0};
	struct pkt k = {.head = b, .head_len = 128, .len = 3000, .l4_off = 34};
	assert_int_equal(pkt_segments(&k), 1);
	assert_int_equal(pkt_needs(&k), 0);
	((struct tcp_hdr *)(b + 34))->off = 0x80;
	k.vnet = (struct virtio_net_hdr){.flags = 1,
					 .gso_type = 1,
					 .gso_size = 1467,
					 .csum_start = 34};
	assert_int_equal(pkt_segments(&k), 2); /* 3000 - 34 - 32 = 2 * 1467 */
	k.vnet.gso_size = 1466;
	assert_int_equal(pkt_segments(&k), 3);
	k.flags = PKT_L4;
	k.vnet.csum_start = 0;
	assert_int_equal(pkt_segments(&k), 3);
	k.vnet.gso_size = 0;
	assert_int_equal(pkt_segments(&k), 1);
	assert_int_equal(pkt_needs(&k), OFFLOAD_CSUM | OFFLOAD_TSO4);
	k.vnet.gso_type = VIRTIO_NET_HDR_GSO_TCPV6 | VIRTIO_NET_HDR_GSO_ECN;
	assert_int_equal(pkt_needs(&k), OFFLOAD_CSUM | OFFLOAD_TSO6 | OFFLOAD_ECN);
	k.vnet.gso_type = VIRTIO_NET_HDR_GSO_UDP_L4;
	k.vnet.gso_size = 1479;
	assert_int_equal(pkt_segments(&k), 2);
	assert_int_equal(pkt_needs(&k), OFFLOAD_CSUM | OFFLOAD_USO);
	k.len = k.head_len = 40; /* shorter than its headers */
	assert_int_equal(pkt_segments(&k), 1);
}

#define ROUNDS 30000
static struct arena *shared;
static struct pkt *_Atomic hand;

static void *taker(void *arg)
{
	struct pkt_pool *p = pkt_pool_new(shared);
	for (unsigned i = 0; i < ROUNDS;) {
		struct pkt *k = __atomic_exchange_n((struct pkt **)&hand, NULL, __ATOMIC_ACQ_REL);
		if (!k)
			continue;
		k->head[0]++;
		pkt_free(p, k);
		i++;
	}
	pkt_pool_free(p);
	return NULL;
}

/* One thread makes, the other frees: slots flow through the arena. */
static void two_threads(void **s)
{
	pthread_t t;
	shared = arena_new(600, 20);
	struct pkt_pool *p = pkt_pool_new(shared);
	assert_int_equal(pthread_create(&t, NULL, taker, NULL), 0);
	for (unsigned i = 0; i < ROUNDS;) {
		struct pkt *k = pkt_new(p);
		if (!k)
			continue;
		if (i % 16 == 0)
			pkt_add_big(p, k);
		k->head[0] = (uint8_t)i++;
		struct pkt *none = NULL;
		while (!__atomic_compare_exchange_n((struct pkt **)&hand, &none, k, false,
						    __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			none = NULL;
	}
	pthread_join(t, NULL);
	pkt_pool_free(p);
	assert_int_equal(arena_stats(shared).small_free, 600);
	assert_int_equal(arena_stats(shared).big_free, 20);
	arena_free(shared);
}

int main(void)
{
	srand(1);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_arena_is_a_bound),
		cmocka_unit_test(pools_spill),
		cmocka_unit_test(set_len_places_the_bytes),
		cmocka_unit_test(bytes_survive),
		cmocka_unit_test(copy_gathers_foreign_tails),
		cmocka_unit_test(iov_puts_the_tag_back),
		cmocka_unit_test(counts_segments_and_needs),
		cmocka_unit_test(two_threads),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
