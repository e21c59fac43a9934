/* The lease store: who gets what, and what survives a cut, a full disk and kill -9. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "dhcp/lease_journal.h"

#define T0	     ((int64_t)1000000)
#define KILLS	     60
#define RANDOM_STEPS 20000

static char dir[64];

static int make_dir(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/test_lease.XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	static const char *const names[] = {"leases", "leases.new", "leases.unread", "x/leases",
					    "x"};
	char path[128];
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		remove(path);
	}
	return rmdir(dir);
}

static be32 ip(const char *s)
{
	be32 a = 0;
	assert_int_equal(ip4_parse(s, &a), 0);
	return a;
}

static struct lease_client client(unsigned n, const char *port)
{
	struct lease_client c = {.mac = {{0x52, 0x54, 0, (uint8_t)(n >> 16), (uint8_t)(n >> 8),
					  (uint8_t)n}},
				 .port = port};
	c.key = lease_key_of_mac(c.mac);
	return c;
}

static struct lease_pool_conf conf_of(const char *first, const char *last)
{
	static be32 gateway;
	struct lease_pool_conf c = {.excluded = &gateway, .n_excluded = 1};
	gateway = ip("10.0.0.1");
	prefix4_parse("10.0.0.0/16", &c.subnet);
	c.first = ip(first);
	c.last = ip(last);
	return c;
}

static struct lease_pool *pool_of(struct lease_store *s, const char *first, const char *last)
{
	struct lease_pool_conf c = conf_of(first, last);
	struct lease_pool *p = lease_pool_get(s, "lab");
	assert_non_null(p);
	assert_int_equal(lease_pool_set_conf(p, &c, T0), 0);
	return p;
}

static be32 offer(struct lease_pool *p, struct lease_client c, int64_t now)
{
	const struct lease *l;
	assert_int_equal(lease_offer(p, &c, 0, now, &l), 0);
	return l->address;
}

static const struct lease *bind_named(struct lease_pool *p, struct lease_client c, be32 a,
				      const char *name, int64_t now)
{
	const struct lease *l = NULL;
	assert_int_equal(lease_bind(p, &c, a, name, 3600, now, &l), 0);
	return l;
}

static be32 get(struct lease_pool *p, struct lease_client c, int64_t now)
{
	be32 a = offer(p, c, now);
	bind_named(p, c, a, NULL, now);
	return a;
}

/* ---- giving ---- */

static void test_same_address_again(void **state)
{
	struct lease_store *s = lease_store_new(NULL, T0);
	struct lease_pool *p = pool_of(s, "10.0.0.10", "10.0.0.200");
	struct lease_client c = client(1, "p1");
	be32 a = get(p, c, T0);
	assert_true(lease_find_address(p, a, T0 + 3599) != NULL);
	assert_null(lease_find_address(p, a, T0 + 3600));
	assert_int_equal(lease_store_tick(s, T0 + 3600), LEASE_FOREVER);
	assert_int_equal(lease_pool_stats(p).expired, 1);
	assert_int_equal(offer(p, c, T0 + 99999), a);
	lease_store_free(s);

	/* and without any memory of it, by the hash alone */
	s = lease_store_new(NULL, T0);
	p = pool_of(s, "10.0.0.10", "10.0.0.200");
	assert_int_equal(offer(p, c, T0), a);
	lease_store_free(s);
}

static void test_order_of_choice(void **state)
{
	struct lease_store *s = lease_store_new(NULL, T0);
	struct lease_pool *p = pool_of(s, "10.0.0.10", "10.0.0.200");
	struct lease_client c = client(1, "p1"), d = client(2, "p2");
	const struct lease *l;
	assert_int_equal(lease_offer(p, &c, ip("10.0.0.77"), T0, &l), 0);
	assert_int_equal(l->address, ip("10.0.0.77")); /* requested and free */
	assert_int_equal(lease_offer(p, &d, ip("10.0.0.77"), T0, &l), 0);
	assert_int_not_equal(l->address, ip("10.0.0.77")); /* not free */
	assert_int_equal(lease_offer(p, &d, ip("10.0.0.1"), T0, &l), 0);
	assert_int_not_equal(l->address, ip("10.0.0.1")); /* the gateway */
	assert_int_equal(lease_offer(p, &c, ip("10.0.0.78"), T0, &l), 0);
	assert_int_equal(l->address, ip("10.0.0.77")); /* had goes before requested */
	struct lease_reservation r = {.mac = c.mac, .address = ip("10.0.0.5"), .hostname = "Web1"};
	assert_int_equal(lease_reserve(p, &r, T0), 0);
	assert_int_equal(offer(p, c, T0), ip("10.0.0.5"));
	assert_int_equal(lease_pool_stats(p).offered, 2); /* the old offer went */
	lease_store_free(s);
}

static void test_exhaustion(void **state)
{
	struct lease_store *s = lease_store_new(NULL, T0);
	struct lease_pool *p = pool_of(s, "10.0.0.0", "10.0.0.9"); /* .0 and .1 are not hosts' */
	struct lease_client late = client(99, "p9");
	const struct lease *l;
	be32 seen[8];
	for (unsigned i = 0; i < 8; i++) {
		seen[i] = get(p, client(i, "p1"), T0 + i);
		assert_int_not_equal(seen[i], ip("10.0.0.0"));
		assert_int_not_equal(seen[i], ip("10.0.0.1"));
		for (unsigned j = 0; j < i; j++)
			assert_int_not_equal(seen[i], seen[j]);
	}
	assert_int_equal(lease_offer(p, &late, 0, T0 + 10, &l), -ENOSPC);
	assert_int_equal(lease_bind(p, &late, seen[3], NULL, 60, T0 + 10, &l), -EADDRINUSE);
	/* the longest expired one is taken over */
	assert_int_equal(lease_offer(p, &late, 0, T0 + 3604, &l), 0);
	assert_int_equal(l->address, seen[0]);
	lease_store_free(s);
}

static void test_offer_runs_out(void **state)
{
	struct lease_store *s = lease_store_new(NULL, T0);
	struct lease_pool *p = pool_of(s, "10.0.0.10", "10.0.0.10");
	struct lease_client a = client(1, "p1"), b = client(2, "p2");
	const struct lease *l;
	be32 addr = offer(p, a, T0);
	assert_int_equal(lease_bind(p, &b, addr, NULL, 60, T0 + LEASE_OFFER_S - 1, &l),
			 -EADDRINUSE);
	assert_int_equal(lease_bind(p, &b, addr, NULL, 60, T0 + LEASE_OFFER_S, &l), 0);
	lease_store_free(s);
}

static void test_flood_hurts_only_itself(void **state)
{
	struct lease_store *s = lease_store_new(NULL, T0);
	struct lease_pool *p =
		pool_of(s, "10.0.0.10", "10.0.0.29"); /* fewer than a port's offers */
	struct lease_client good = client(1, "good");
	be32 mine = offer(p, good, T0);
	const struct lease *l;
	for (unsigned i = 0; i < 5000; i++) {
		struct lease_client c = client(1000 + i, "evil");
		assert_int_equal(lease_offer(p, &c, 0, T0, &l), 0);
		assert_true(lease_pool_stats(p).offered <= 20);
	}
	assert_int_equal(lease_bind(p, &good, mine, NULL, 3600, T0, &l), 0);
	assert_int_equal(get(p, client(2, "other"), T0) != 0, true);
	assert_true(lease_pool_stats(p).evicted_offers > 4900);
	lease_store_free(s);
}

static void test_port_limit(void **state)
{
	struct lease_store *s = lease_store_new(NULL, T0);
	struct lease_pool *p = pool_of(s, "10.0.0.10", "10.0.1.200");
	struct lease_client over = client(500, "p1");
	const struct lease *l;
	for (unsigned i = 0; i < LEASE_PER_PORT; i++)
		get(p, client(i, "p1"), T0);
	assert_int_equal(lease_offer(p, &over, 0, T0, &l), -EDQUOT);
	assert_int_equal(lease_bind(p, &over, ip("10.0.1.150"), NULL, 60, T0, &l), -EDQUOT);
	assert_int_equal(get(p, client(3, "p1"), T0 + 1) != 0, true); /* what it has it keeps */
	assert_int_equal(get(p, client(501, "p2"), T0) != 0, true);
	struct lease_reservation r = {.mac = over.mac, .address = ip("10.0.0.5")};
	assert_int_equal(lease_reserve(p, &r, T0), 0);
	assert_int_equal(get(p, over, T0), ip("10.0.0.5")); /* reserved ones are not counted */
	lease_release(p,
		      lease_find_client(p,
					&(struct lease_key){.len = 7,
							    .b = {1, 0x52, 0x54, 0, 0, 0, 4}},
					T0)
			      ->address,
		      T0);
	assert_int_equal(get(p, client(502, "p1"), T0) != 0, true);
	lease_store_free(s);
}

static void test_decline(void **state)
{
	struct lease_store *s = lease_store_new(NULL, T0);
	struct lease_pool *p = pool_of(s, "10.0.0.10", "10.0.0.11");
	struct lease_client c = client(1, "p1");
	be32 bad = get(p, c, T0);
	assert_int_equal(lease_decline(p, bad, T0), 0);
	assert_int_equal(lease_decline(p, bad, T0), -ENOENT);
	be32 next = get(p, c, T0);
	assert_int_not_equal(next, bad);
	assert_int_equal(lease_usable(p, &c, bad, T0 + LEASE_DECLINE_S - 1), -EADDRINUSE);
	assert_int_equal(lease_usable(p, &c, bad, T0 + LEASE_DECLINE_S), 0);
	lease_store_free(s);

	s = lease_store_new(NULL, T0);
	p = pool_of(s, "10.0.0.10", "10.0.0.200");
	for (unsigned i = 0; i < 100; i++) /* a guest cannot quarantine the range */
		lease_decline(p, get(p, client(i, "p1"), T0), T0);
	assert_int_equal(lease_pool_stats(p).declined, LEASE_DECLINED_PER_PORT);
	lease_store_free(s);
}

static void test_reservations(void **state)
{
	struct lease_store *s = lease_store_new(NULL, T0);
	struct lease_pool *p = pool_of(s, "10.0.0.10", "10.0.0.11");
	struct lease_pool_conf c = conf_of("10.0.0.10", "10.0.0.11");
	struct lease_client a = client(1, "p1"), b = client(2, "p2");
	struct lease_reservation r[2] = {{.mac = a.mac,
					  .address = ip("10.0.0.10"),
					  .hostname = "web1"},
					 {.mac = b.mac, .address = ip("10.0.0.10")}};
	c.reservations = r;
	c.n_reservations = 2;
	assert_int_equal(lease_pool_set_conf(p, &c, T0), -EEXIST);
	r[1].address = ip("10.0.0.12");
	r[1].mac = a.mac;
	assert_int_equal(lease_pool_set_conf(p, &c, T0), -EEXIST);
	r[1].address = ip("10.9.0.12");
	r[1].mac = b.mac;
	assert_int_equal(lease_pool_set_conf(p, &c, T0), -EINVAL);
	c.n_reservations = 1;
	assert_int_equal(lease_pool_set_conf(p, &c, T0), 0);
	assert_int_equal(get(p, b, T0), ip("10.0.0.11"));
	assert_int_equal(lease_usable(p, &b, ip("10.0.0.10"), T0), -EADDRINUSE);
	struct lease_client third = client(3, "p3");
	const struct lease *l;
	assert_int_equal(lease_offer(p, &third, 0, T0, &l), -ENOSPC);
	be32 got = get(p, a, T0);
	assert_int_equal(got, ip("10.0.0.10"));
	assert_string_equal(lease_find_address(p, got, T0)->hostname, "web1");
	/* by client id, outside the range, taken away again */
	struct lease_reservation by_id = {.by_key = true,
					  .address = ip("10.0.3.3"),
					  .key = {.len = 4, .b = {0, 'x', 'y', 'z'}}};
	third.key = by_id.key;
	assert_int_equal(lease_reserve(p, &by_id, T0), 0);
	assert_int_equal(lease_reserve(p, &by_id, T0), -EEXIST);
	assert_int_equal(get(p, third, T0), ip("10.0.3.3"));
	assert_int_equal(lease_unreserve(p, ip("10.0.3.3")), 0);
	assert_int_equal(lease_unreserve(p, ip("10.0.3.3")), -ENOENT);
	assert_int_equal(lease_usable(p, &third, ip("10.0.3.3"), T0), -ERANGE);
	by_id.address = ip("10.1.0.1");
	assert_int_equal(lease_reserve(p, &by_id, T0), -ERANGE);
	lease_store_free(s);
}

static void check_name(const char *from, const char *to)
{
	char out[LEASE_NAME_MAX];
	assert_int_equal(lease_name_sanitise(from, strlen(from), out), *to != 0);
	assert_string_equal(out, to);
}

static void test_names(void **state)
{
	check_name("Web1", "web1");
	check_name("web1.lab.internal", "web1");
	check_name("-a_b c-", "a-b-c");
	check_name("\xc3\xa4x\"$(reboot)", "xreboot");
	check_name("...", "");
	check_name("WPAD", "");
	check_name("0123456789012345678901234567890123456789012345678901234567890123456789",
		   "012345678901234567890123456789012345678901234567890123456789012");
	struct lease_store *s = lease_store_new(NULL, T0);
	struct lease_pool *p = pool_of(s, "10.0.0.10", "10.0.0.200");
	struct lease_client a = client(1, "p1"), b = client(2, "p2"), c = client(3, "p3");
	be32 aa = offer(p, a, T0), ab = offer(p, b, T0);
	assert_string_equal(bind_named(p, a, aa, "web", T0)->hostname, "web");
	assert_string_equal(bind_named(p, b, ab, "web", T0)->hostname, "web-2");
	assert_string_equal(bind_named(p, b, ab, NULL, T0 + 1)->hostname, "web-2");
	assert_int_equal(lease_find_name(p, "WEB-2", T0)->address, ab);
	/* stays what it is called while it runs; the name comes free with its lease */
	lease_release(p, aa, T0 + 2);
	assert_null(lease_find_name(p, "web", T0 + 2));
	assert_string_equal(bind_named(p, b, ab, "web", T0 + 3)->hostname, "web-2");
	assert_string_equal(bind_named(p, a, aa, "web", T0 + 4)->hostname, "web");
	struct lease_reservation r = {.mac = c.mac, .address = ip("10.0.0.5"), .hostname = "web"};
	assert_int_equal(lease_reserve(p, &r, T0 + 5), 0);
	assert_string_equal(bind_named(p, c, r.address, "other", T0 + 5)->hostname, "web");
	assert_string_equal(lease_find_address(p, aa, T0 + 5)->hostname, "web-3");
	lease_store_free(s);
}

static void count_event(void *arg, enum lease_event ev, const struct lease *l)
{
	unsigned *n = arg;
	n[ev]++;
	if (ev == LEASE_EV_EXPIRED || ev == LEASE_EV_RELEASED)
		assert_int_not_equal(l->state, LEASE_BOUND);
}

static void test_events(void **state)
{
	unsigned n[4] = {0};
	struct lease_store *s = lease_store_new(NULL, T0);
	struct lease_pool *p = pool_of(s, "10.0.0.10", "10.0.0.200");
	struct lease_client c = client(1, "p1");
	assert_int_equal(lease_store_listen(s, count_event, n), 0);
	be32 a = get(p, c, T0);
	bind_named(p, c, a, NULL, T0 + 10);
	lease_release(p, a, T0 + 20);
	bind_named(p, c, a, NULL, T0 + 30);
	assert_int_equal(lease_store_next(s), T0 + 3630);
	lease_store_tick(s, T0 + 3629);
	assert_int_equal(n[LEASE_EV_EXPIRED], 0);
	lease_store_tick(s, T0 + 3630);
	assert_int_equal(n[LEASE_EV_ADDED], 2);
	assert_int_equal(n[LEASE_EV_RENEWED], 1);
	assert_int_equal(n[LEASE_EV_RELEASED], 1);
	assert_int_equal(n[LEASE_EV_EXPIRED], 1);
	lease_store_free(s);
}

static void test_pools_are_apart(void **state)
{
	struct lease_store *s = lease_store_new(NULL, T0);
	struct lease_pool_conf c = conf_of("10.0.0.15", "10.0.0.15");
	struct lease_pool *p = lease_pool_get(s, "vms/a"), *q = lease_pool_get(s, "vms/b");
	assert_int_equal(lease_pool_set_conf(p, &c, T0), 0);
	assert_int_equal(lease_pool_set_conf(q, &c, T0), 0);
	assert_int_equal(get(p, client(1, "a"), T0),
			 ip("10.0.0.15")); /* equal MACs, equal addresses */
	assert_int_equal(get(q, client(1, "b"), T0), ip("10.0.0.15"));
	lease_release(p, ip("10.0.0.15"), T0);
	assert_non_null(lease_find_address(q, ip("10.0.0.15"), T0));
	lease_store_free(s);
}

static void test_conf_change(void **state)
{
	struct lease_store *s = lease_store_new(NULL, T0);
	struct lease_pool *p = pool_of(s, "10.0.0.10", "10.0.0.19");
	struct lease_client c = client(1, "p1");
	const struct lease *l;
	be32 a = get(p, c, T0);
	pool_of(s, "10.0.0.20", "10.0.0.29");
	assert_non_null(lease_find_address(p, a, T0 + 1)); /* runs on, is not renewed */
	assert_int_equal(lease_bind(p, &c, a, NULL, 60, T0 + 1, &l), -ERANGE);
	be32 b = get(p, c, T0 + 1);
	assert_null(lease_find_address(p, a, T0 + 1));
	assert_true(be32toh(b) >= be32toh(ip("10.0.0.20")));
	struct lease_pool_conf other = {.first = ip("10.9.0.5"), .last = ip("10.9.0.9")};
	prefix4_parse("10.9.0.0/24", &other.subnet);
	assert_int_equal(lease_pool_set_conf(p, &other, T0 + 2), 0);
	assert_null(lease_find_address(p, b, T0 + 2));
	assert_int_equal(lease_pool_stats(p).bound + lease_pool_stats(p).expired, 0);
	pool_of(s, "10.0.0.20", "10.0.0.29");
	struct lease_pool_conf bad = conf_of("10.0.0.20", "10.0.0.19");
	assert_int_equal(lease_pool_set_conf(p, &bad, T0), -EINVAL);
	assert_int_equal(lease_pool_stats(p).size, 10);
	lease_store_free(s);
}

/* ---- the journal ---- */

struct shot { /* what a store holds, by address */
	struct {
		be32 address;
		struct lease_key key;
		int64_t expires;
		char hostname[LEASE_NAME_MAX], port[LEASE_PORT_MAX];
	} row[256];
	unsigned n;
};

static void shoot(void *arg, const struct lease *l)
{
	struct shot *s = arg;
	if (!lease_is_current(l, T0))
		return;
	s->row[s->n].address = l->address;
	s->row[s->n].key = l->key;
	s->row[s->n].expires = l->expires;
	snprintf(s->row[s->n].hostname, LEASE_NAME_MAX, "%s", l->hostname);
	snprintf(s->row[s->n++].port, LEASE_PORT_MAX, "%s", lease_port(l));
}

static bool shot_has(const struct shot *s, const struct shot *one, unsigned i)
{
	for (unsigned k = 0; k < s->n; k++) {
		if (!memcmp(&s->row[k], &one->row[i], sizeof(s->row[k])))
			return true;
	}
	return false;
}

static void read_shot(struct shot *ret)
{
	struct lease_store *s = lease_store_new(dir, T0);
	memset(ret, 0, sizeof(*ret));
	pool_of(s, "10.0.0.10", "10.0.0.200");
	lease_store_each(s, shoot, ret);
	lease_store_free(s);
}

static size_t slurp(char *buf, size_t size)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/leases", dir);
	FILE *f = fopen(path, "rb");
	assert_non_null(f);
	size_t n = fread(buf, 1, size, f);
	fclose(f);
	return n;
}

static void spill(const char *buf, size_t n)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/leases", dir);
	FILE *f = fopen(path, "wb");
	assert_non_null(f);
	assert_int_equal(fwrite(buf, 1, n, f), n);
	fclose(f);
}

/* Three leases with all that a line can carry. */
static void write_three(void)
{
	struct lease_store *s = lease_store_new(dir, T0);
	struct lease_pool *p = pool_of(s, "10.0.0.10", "10.0.0.200");
	struct lease_client c = client(2, "dgram/@guest 7%\n-");
	const struct lease *l;
	bind_named(p, client(1, "-"), offer(p, client(1, "-"), T0), "web", T0);
	c.key = (struct lease_key){.len = 255, .b = {0xff, 0, '\n', ' '}};
	bind_named(p, c, offer(p, c, T0), "web", T0);
	c = client(3, "");
	assert_int_equal(lease_bind(p, &c, offer(p, c, T0), NULL, UINT32_MAX, T0, &l), 0);
	assert_int_equal(lease_store_sync(s), 0);
	lease_store_free(s);
}

static void test_replay(void **state)
{
	struct shot a, b;
	write_three();
	read_shot(&a);
	read_shot(&b); /* now from the rewritten file */
	assert_int_equal(a.n, 3);
	assert_int_equal(b.n, 3);
	for (unsigned i = 0; i < 3; i++)
		assert_true(shot_has(&a, &b, i));
	bool seen = false;
	for (unsigned i = 0; i < 3; i++)
		seen |= !strcmp(a.row[i].port, "dgram/@guest 7%\n-") && a.row[i].key.len == 255 &&
			!strcmp(a.row[i].hostname, "web-2");
	assert_true(seen);
}

static void test_cut_anywhere(void **state)
{
	static char text[8192];
	struct shot whole, part;
	write_three();
	size_t n = slurp(text, sizeof(text));
	read_shot(&whole);
	for (size_t cut = 0; cut <= n; cut++) {
		unsigned lines = 0;
		for (size_t i = 0; i < cut; i++)
			lines += text[i] == '\n';
		spill(text, cut);
		read_shot(&part);
		assert_int_equal(part.n, lines);
		for (unsigned i = 0; i < part.n; i++)
			assert_true(shot_has(&whole, &part, i));
	}
}

static void test_corrupt_anywhere(void **state)
{
	static char text[8192];
	struct shot whole, part;
	write_three();
	size_t n = slurp(text, sizeof(text));
	read_shot(&whole);
	for (size_t i = 0; i < n; i++) {
		for (unsigned bit = 0; bit < 9; bit += 4) {
			char was = text[i];
			text[i] = bit == 8 ? 0 : (char)(was ^ 1 << bit);
			spill(text, n);
			text[i] = was;
			read_shot(&part);
			/* a letter's case in the checksum is all that may go unnoticed */
			assert_in_range(part.n, was == '\n' ? 1 : 2, 3);
			for (unsigned k = 0; k < part.n; k++)
				assert_true(shot_has(&whole, &part, k));
		}
	}
}

static void test_known_line(void **state)
{
	char buf[256], line[] = "91bfa399 R lab 10.0.0.10 1000000";
	struct lease_record r = {.op = LEASE_OP_RELEASED,
				 .pool = "lab",
				 .address = ip("10.0.0.10"),
				 .expires = T0};
	assert_int_equal(lease_record_format(&r, buf, sizeof(buf)), strlen(line) + 1);
	buf[strlen(line)] = 0;
	assert_string_equal(buf, line); /* zlib.crc32() made it */
	assert_int_equal(lease_record_parse(line, &r), 0);
	assert_int_equal(lease_record_format(&r, buf, 10), -E2BIG);
}

static void test_release_and_decline_survive(void **state)
{
	struct lease_store *s = lease_store_new(dir, T0);
	struct lease_pool *p = pool_of(s, "10.0.0.10", "10.0.0.200");
	struct lease_client c = client(1, "p1"), d = client(2, "p2");
	be32 a = get(p, c, T0), b = get(p, d, T0);
	lease_release(p, a, T0);
	lease_decline(p, b, T0);
	lease_store_free(s);
	for (unsigned again = 0; again < 2; again++) {
		s = lease_store_new(dir, T0 + 1);
		p = pool_of(s, "10.0.0.10", "10.0.0.200");
		assert_null(lease_find_address(p, a, T0 + 1));
		assert_int_equal(lease_last_address(p, &c.key), a);
		assert_int_equal(lease_usable(p, &d, b, T0 + 1), -EADDRINUSE);
		assert_int_equal(lease_usable(p, &d, b, T0 + LEASE_DECLINE_S), 0);
		lease_store_free(s);
	}
}

static void test_compaction(void **state)
{
	struct lease_store *s = lease_store_new(dir, T0);
	struct lease_pool *p = pool_of(s, "10.0.0.10", "10.0.0.200");
	struct shot sh;
	for (unsigned i = 0; i < 20000; i++) {
		get(p, client(i % 7, "p1"), T0);
		if (i % 100 == 0)
			lease_store_sync(s);
	}
	lease_store_sync(s);
	struct lease_store_stats st = lease_store_stats(s);
	assert_true(st.compactions >= 4);
	assert_true(st.journal_bytes < 1000000);
	lease_store_free(s);
	read_shot(&sh);
	assert_int_equal(sh.n, 7);
}

static void on_degraded(void *arg, int err)
{
	int *seen = arg;
	seen[err == 0]++;
}

static void test_full_disk(void **state)
{
	int seen[2] = {0};
	struct shot sh;
	struct rlimit old, small = {.rlim_cur = 4000};
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	small.rlim_max = old.rlim_max;
	struct lease_store *s = lease_store_new(dir, T0);
	struct lease_pool *p = pool_of(s, "10.0.0.10", "10.0.0.200");
	lease_store_on_degraded(s, on_degraded, seen);
	setrlimit(RLIMIT_FSIZE, &small);
	for (unsigned i = 0; i < 100; i++) {
		get(p, client(i, i & 1 ? "p1" : "p2"), T0);
		lease_store_sync(s);
	}
	assert_int_equal(seen[0], 1); /* said once */
	assert_int_equal(lease_store_degraded(s), -EFBIG);
	assert_int_equal(lease_pool_stats(p).bound, 100);
	int64_t now = T0;
	for (int64_t wait = 1, total = 1; total < 30; total += wait) { /* ever more rarely */
		assert_int_equal(lease_store_next(s), T0 + total);
		now = lease_store_next(s);
		lease_store_tick(s, now);
		assert_int_equal(lease_store_degraded(s), -EFBIG);
		wait = total == 1 ? 1 : 2 * wait < LEASE_RETRY_S ? 2 * wait : LEASE_RETRY_S;
	}
	assert_int_equal(seen[0] + seen[1], 1);
	get(p, client(100, "p1"), now); /* something new: soon again */
	lease_store_sync(s);
	assert_int_equal(lease_store_next(s), now + 1);
	setrlimit(RLIMIT_FSIZE, &old);
	lease_store_tick(s, now + 1);
	assert_int_equal(lease_store_degraded(s), 0);
	assert_int_equal(seen[1], 1);
	lease_store_free(s);
	read_shot(&sh);
	assert_int_equal(sh.n, 101);
}

/* A compaction that finds no room leaves the good file in use. */
static void test_failed_compaction(void **state)
{
	char path[128];
	struct shot sh;
	struct lease_store *s = lease_store_new(dir, T0);
	struct lease_pool *p = pool_of(s, "10.0.0.10", "10.0.0.200");
	snprintf(path, sizeof(path), "%s/leases.new", dir);
	assert_int_equal(mkdir(path, 0700), 0); /* cannot be opened for writing, even by root */
	for (unsigned i = 0; i < 20000; i++) {
		get(p, client(i % 7, "p1"), T0);
		if (i % 100 == 0)
			assert_int_equal(lease_store_sync(s), 0);
	}
	assert_true(lease_store_stats(s).failures > 0);
	lease_store_free(s);
	rmdir(path);
	read_shot(&sh);
	assert_int_equal(sh.n, 7);
}

static void test_no_directory(void **state)
{
	char sub[128];
	int seen[2] = {0};
	snprintf(sub, sizeof(sub), "%s/x/y", dir);
	struct lease_store *s = lease_store_new(sub, T0);
	assert_int_equal(lease_store_degraded(s), -ENOENT);
	lease_store_on_degraded(s, on_degraded, seen);
	assert_int_equal(seen[0], 1);
	struct lease_pool *p = pool_of(s, "10.0.0.10", "10.0.0.200");
	assert_int_equal(get(p, client(1, "p"), T0) != 0, true);
	assert_int_equal(lease_store_sync(s), -ENOENT);
	lease_store_free(s);
}

/* ---- kill -9 ---- */

struct acked {
	be32 address;
	unsigned who;
	bool released;
};

/* Leases at random; tells the parent only what a sync has made durable. */
static void churn(int out, unsigned seed)
{
	struct lease_store *s = lease_store_new(dir, T0);
	struct lease_pool *p = pool_of(s, "10.0.0.10", "10.0.0.200");
	struct lease_pool_conf c = conf_of("10.0.0.10", "10.0.0.200");
	c.max_per_port = 10000;
	lease_pool_set_conf(p, &c, T0);
	srandom(seed);
	for (;;) {
		struct acked a = {.who = (unsigned)random() % 150};
		struct lease_client cl = client(a.who, "p1");
		const struct lease *l = lease_find_client(p, &cl.key, T0);
		a.released = l && l->state == LEASE_BOUND && random() % 3 == 0;
		if (a.released) {
			a.address = l->address;
			lease_release(p, a.address, T0);
		} else if (!lease_offer(p, &cl, 0, T0, &l)) {
			a.address = l->address;
			lease_bind(p, &cl, a.address, NULL, 3600, T0, &l);
		} else {
			continue;
		}
		lease_store_sync(s);
		if (write(out, &a, sizeof(a)) != sizeof(a))
			_exit(0);
	}
}

static void test_kill_anywhere(void **state)
{
	static struct acked last[150];
	memset(last, 0, sizeof(last));
	unsigned total = 0;
	for (unsigned round = 0; round < KILLS; round++) {
		int fd[2];
		struct acked a;
		assert_int_equal(pipe(fd), 0);
		pid_t pid = fork();
		if (!pid) {
			close(fd[0]);
			churn(fd[1], round + 1);
		}
		close(fd[1]);
		unsigned want = 1 + round * 7 % 60, n = 0;
		usleep(round * 300 % 3000);
		while (n < want && read(fd[0], &a, sizeof(a)) == sizeof(a)) {
			last[a.who] = a;
			n++;
		}
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		while (read(fd[0], &a, sizeof(a)) == sizeof(a))
			last[a.who] = a;
		close(fd[0]);
		total += n;

		/* every lease that was acknowledged is there, but for the one change that
		 * may have been synced and not yet told: a release, or its client's next */
		struct lease_store *s = lease_store_new(dir, T0);
		struct lease_pool *p = pool_of(s, "10.0.0.10", "10.0.0.200");
		unsigned differ = 0;
		for (unsigned who = 0; who < 150; who++) {
			struct lease_client c = client(who, "p1");
			const struct lease *l = lease_find_client(p, &c.key, T0);
			bool had = last[who].address && !last[who].released;
			if (had != (l != NULL) || (had && l->address != last[who].address))
				differ++;
			last[who] = (struct acked){.address = l ? l->address : 0, .who = who};
		}
		lease_store_free(s);
		assert_true(differ <= 1);
	}
	assert_true(total > KILLS);
}

/* ---- many steps at random, with what must always hold ---- */

static void test_random(void **state)
{
	struct lease_store *s = lease_store_new(NULL, T0);
	struct lease_pool *p = pool_of(s, "10.0.0.10", "10.0.0.40");
	int64_t now = T0;
	srandom(7);
	for (unsigned i = 0; i < RANDOM_STEPS; i++) {
		char port[8];
		const struct lease *l;
		unsigned who = (unsigned)random() % 60;
		snprintf(port, sizeof(port), "p%u", who % 5);
		struct lease_client c = client(who, port);
		be32 a = htobe32(be32toh(ip("10.0.0.5")) + (uint32_t)(random() % 40));
		switch (random() % 6) {
		case 0:
		case 1: lease_offer(p, &c, random() % 2 ? a : 0, now, &l); break;
		case 2: lease_bind(p, &c, a, random() % 2 ? "name" : NULL, 100, now, &l); break;
		case 3: random() % 2 ? lease_release(p, a, now) : lease_decline(p, a, now); break;
		case 4: {
			struct lease_reservation r = {.mac = c.mac,
						      .address = a,
						      .hostname = "name"};
			random() % 2 ? lease_reserve(p, &r, now) : lease_unreserve(p, a);
			break;
		}
		default: now += random() % 20; lease_store_tick(s, now);
		}
		struct shot sh = {0};
		struct lease_pool_stats st = lease_pool_stats(p);
		lease_store_each(s, shoot, &sh);
		assert_true(st.bound + st.offered + st.declined + st.expired <= 40);
		for (unsigned k = 0; k < sh.n; k++) {
			for (unsigned m = 0; m < k; m++) {
				assert_int_not_equal(sh.row[k].address, sh.row[m].address);
				assert_memory_not_equal(&sh.row[k].key, &sh.row[m].key,
							sizeof(sh.row[k].key));
				assert_true(!sh.row[k].hostname[0] ||
					    strcmp(sh.row[k].hostname, sh.row[m].hostname));
			}
		}
	}
	lease_store_free(s);
}

#define ON_DISK(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_address_again),
		cmocka_unit_test(test_order_of_choice),
		cmocka_unit_test(test_exhaustion),
		cmocka_unit_test(test_offer_runs_out),
		cmocka_unit_test(test_flood_hurts_only_itself),
		cmocka_unit_test(test_port_limit),
		cmocka_unit_test(test_decline),
		cmocka_unit_test(test_reservations),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_pools_are_apart),
		cmocka_unit_test(test_conf_change),
		cmocka_unit_test(test_known_line),
		cmocka_unit_test(test_random),
		ON_DISK(test_replay),
		ON_DISK(test_cut_anywhere),
		ON_DISK(test_corrupt_anywhere),
		ON_DISK(test_release_and_decline_survive),
		ON_DISK(test_compaction),
		ON_DISK(test_full_disk),
		ON_DISK(test_failed_compaction),
		ON_DISK(test_no_directory),
		ON_DISK(test_kill_anywhere),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
