/* Reservations of one pool, found by address, by client and by name; what they mean for
 * who gets what is lease.c's. */
#include "dhcp/lease_reserve.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int cmp_u32(uint32_t a, uint32_t b)
{
	return a < b ? -1 : a > b;
}

static int cmp_address(const void *a, const void *b)
{
	const struct lease_reservation *x = a, *y = b;
	return cmp_u32(be32toh(x->address), be32toh(y->address));
}

static int cmp_clients(const struct lease_reservation *x, const struct lease_reservation *y)
{
	if (x->by_key != y->by_key)
		return x->by_key ? 1 : -1;
	if (!x->by_key)
		return memcmp(x->mac.b, y->mac.b, sizeof(x->mac.b));
	if (x->key.len != y->key.len)
		return cmp_u32(x->key.len, y->key.len);
	return memcmp(x->key.b, y->key.b, x->key.len);
}

static int cmp_client(const void *a, const void *b)
{
	return cmp_clients(*(struct lease_reservation *const *)a,
			   *(struct lease_reservation *const *)b);
}

static int cmp_name(const void *a, const void *b)
{
	const struct lease_reservation *x = *(struct lease_reservation *const *)a;
	const struct lease_reservation *y = *(struct lease_reservation *const *)b;
	return strcmp(x->hostname, y->hostname);
}

void lease_reserve_free(struct lease_reserve *s)
{
	free(s->list);
	free(s->client);
	free(s->name);
}

static int allocate(struct lease_reserve *s, size_t n)
{
	s->list = calloc(n + 1, sizeof(*s->list));
	s->client = calloc(n + 1, sizeof(*s->client));
	s->name = calloc(n + 1, sizeof(*s->name));
	return s->list && s->client && s->name ? 0 : -ENOMEM;
}

static void sort(struct lease_reserve *s)
{
	qsort(s->list, s->n, sizeof(*s->list), cmp_address);
	for (size_t i = 0; i < s->n; i++) {
		s->client[i] = &s->list[i];
		if (s->list[i].hostname[0])
			s->name[s->n_name++] = &s->list[i];
	}
	qsort(s->client, s->n, sizeof(*s->client), cmp_client);
	qsort(s->name, s->n_name, sizeof(*s->name), cmp_name);
}

static bool has_twins(const struct lease_reserve *s)
{
	for (size_t i = 1; i < s->n; i++) {
		if (!cmp_address(&s->list[i - 1], &s->list[i]) ||
		    !cmp_client(&s->client[i - 1], &s->client[i]))
			return true;
	}
	return false;
}

int lease_reserve_build(const struct lease_reservation *from, size_t n,
			struct lease_reserve *ret_set)
{
	struct lease_reserve s = {.n = n};
	int r = allocate(&s, n);
	for (size_t i = 0; !r && i < n; i++) {
		const char *name = from[i].hostname;
		s.list[i] = from[i];
		lease_name_sanitise(name, strlen(name), s.list[i].hostname);
	}
	if (!r) {
		sort(&s);
		r = has_twins(&s) ? -EEXIST : 0;
	}
	if (r) {
		lease_reserve_free(&s);
		return r;
	}
	*ret_set = s;
	return 0;
}

const struct lease_reservation *lease_reserve_at(const struct lease_reserve *s, be32 address)
{
	struct lease_reservation want = {.address = address};
	return s->n ? bsearch(&want, s->list, s->n, sizeof(want), cmp_address) : NULL;
}

static const struct lease_reservation *find(struct lease_reservation **v, size_t n,
					    struct lease_reservation *want,
					    int (*cmp)(const void *a, const void *b))
{
	struct lease_reservation **r = n ? bsearch(&want, v, n, sizeof(want), cmp) : NULL;
	return r ? *r : NULL;
}

const struct lease_reservation *lease_reserve_named(const struct lease_reserve *s, const char *name)
{
	struct lease_reservation want = {0};
	snprintf(want.hostname, sizeof(want.hostname), "%s", name);
	return find(s->name, s->n_name, &want, cmp_name);
}

const struct lease_reservation *lease_reserve_for(const struct lease_reserve *s,
						  const struct lease_client *c)
{
	struct lease_reservation by_key = {.by_key = true, .key = c->key};
	struct lease_reservation by_mac = {.mac = c->mac};
	const struct lease_reservation *r = find(s->client, s->n, &by_key, cmp_client);
	return r ? r : find(s->client, s->n, &by_mac, cmp_client);
}
