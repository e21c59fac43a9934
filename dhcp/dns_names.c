/* The table of names, hashed by name and by address.  Filled by main from lease events and the
 * configuration, read by dns_zone. */
#include "dhcp/dns_names.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "net/table.h"

#define NAMES_DEFAULT 16384u

struct entry {
	struct tab_node by_name, by_addr;
	struct dns_names_row row;
	struct lru_node all; /* in dns_names.all */
};

struct dns_names {
	struct table by_name, by_addr;
	struct pool pool;
	struct lru all;
	uint32_t used[DOMAIN_NONE]; /* of each domain; zero pages until touched */
};

struct dns_names *dns_names_new(uint32_t max)
{
	struct dns_names *n = calloc(1, sizeof(*n));
	int err;

	if (!n)
		return NULL;
	if (!max)
		max = NAMES_DEFAULT;
	lru_init(&n->all);
	err = table_init(&n->by_name, max);
	if (!err)
		err = table_init(&n->by_addr, max);
	if (!err)
		err = pool_init(&n->pool, sizeof(struct entry), max);
	if (!err)
		return n;
	dns_names_free(n);
	errno = -err;
	return NULL;
}

void dns_names_free(struct dns_names *n)
{
	if (!n)
		return;
	table_fini(&n->by_name);
	table_fini(&n->by_addr);
	pool_fini(&n->pool);
	free(n);
}

/* Lower case, up to the first dot; false when it is no host name (RFC 1123 2.1). */
static bool to_label(const char *name, char ret[DNS_NAMES_LABEL])
{
	size_t len = strcspn(name, ".");

	if (!len || len >= DNS_NAMES_LABEL || name[0] == '-' || name[len - 1] == '-')
		return false;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)name[i];

		if (c >= 0x80 || (!isalnum(c) && c != '-'))
			return false;
		ret[i] = (char)tolower(c);
	}
	ret[len] = 0;
	return true;
}

static uint32_t hash_name(const struct dns_names *n, domain_idx domain, const char *label)
{
	uint64_t h = domain;

	for (; *label; label++)
		h = hash_mix(h ^ (unsigned char)*label) + n->by_name.secret;
	return table_hash2(&n->by_name, domain, h);
}

static uint32_t hash_addr(const struct dns_names *n, domain_idx domain, be32 addr)
{
	return table_hash2(&n->by_addr, domain, addr);
}

static struct entry *find_label(const struct dns_names *n, domain_idx domain, const char *label)
{
	uint32_t hash = hash_name(n, domain, label);

	for (struct tab_node *t = table_chain(&n->by_name, hash); t; t = t->next) {
		struct entry *e = container_of(t, struct entry, by_name);

		if (t->hash == hash && e->row.domain == domain && !strcmp(e->row.name, label))
			return e;
	}
	return NULL;
}

/* The entry of this kind that is oldest: chains are newest first. */
static struct entry *find_kind(const struct dns_names *n, domain_idx domain, be32 addr,
			       enum dns_name_kind kind)
{
	uint32_t hash = hash_addr(n, domain, addr);
	struct entry *found = NULL;

	for (struct tab_node *t = table_chain(&n->by_addr, hash); t; t = t->next) {
		struct entry *e = container_of(t, struct entry, by_addr);

		if (t->hash == hash && e->row.domain == domain && e->row.addr == addr &&
		    e->row.kind == kind)
			found = e;
	}
	return found;
}

static void entry_del(struct dns_names *n, struct entry *e)
{
	table_del(&n->by_name, &e->by_name);
	table_del(&n->by_addr, &e->by_addr);
	lru_del(&e->all);
	n->used[e->row.domain]--;
	pool_put(&n->pool, e);
}

static int entry_add(struct dns_names *n, const struct dns_names_row *row)
{
	struct entry *e;

	if (n->used[row->domain] >= (n->pool.max + 1) / 2)
		return -ENOSPC;
	e = pool_get(&n->pool);
	if (!e)
		return -ENOSPC;
	e->row = *row;
	table_add(&n->by_name, &e->by_name, hash_name(n, row->domain, row->name));
	table_add(&n->by_addr, &e->by_addr, hash_addr(n, row->domain, row->addr));
	lru_add(&n->all, &e->all);
	n->used[row->domain]++;
	return 0;
}

int dns_names_set(struct dns_names *n, domain_idx domain, enum dns_name_kind kind, const char *name,
		  be32 addr, nsec_t expires)
{
	struct dns_names_row row = {.domain = domain,
				    .addr = addr,
				    .kind = kind,
				    .expires = expires};
	struct entry *holder, *former = NULL;

	if (domain == DOMAIN_NONE || !to_label(name, row.name))
		return -EINVAL;
	holder = find_label(n, domain, row.name);
	if (holder && holder->row.kind <= kind && holder->row.addr != addr)
		return -EEXIST;
	if (kind == DNS_NAME_LEASE)
		former = find_kind(n, domain, addr, DNS_NAME_LEASE);
	if (former && former != holder) /* the guest calls itself something else now */
		entry_del(n, former);
	if (holder && holder->row.kind <= kind) {
		if (holder->row.kind == kind)
			holder->row.expires = expires;
		return 0;
	}
	if (holder) /* a static name comes before a lease's */
		entry_del(n, holder);
	return entry_add(n, &row);
}

unsigned dns_names_del_addr(struct dns_names *n, domain_idx domain, enum dns_name_kind kind,
			    be32 addr)
{
	struct entry *e;
	unsigned gone = 0;

	for (; (e = find_kind(n, domain, addr, kind)); gone++)
		entry_del(n, e);
	return gone;
}

int dns_names_del(struct dns_names *n, domain_idx domain, const char *name)
{
	char label[DNS_NAMES_LABEL];
	struct entry *e = to_label(name, label) ? find_label(n, domain, label) : NULL;

	if (!e)
		return -ENOENT;
	entry_del(n, e);
	return 0;
}

void dns_names_clear(struct dns_names *n, domain_idx domain)
{
	struct lru_node *node, *next;

	for (node = n->all.head.next; node != &n->all.head; node = next) {
		struct entry *e = container_of(node, struct entry, all);

		next = node->next;
		if (e->row.domain == domain)
			entry_del(n, e);
	}
}

bool dns_names_find(const struct dns_names *n, domain_idx domain, const char *name,
		    struct dns_names_row *ret_row)
{
	char label[DNS_NAMES_LABEL];
	struct entry *e = to_label(name, label) ? find_label(n, domain, label) : NULL;

	if (e)
		*ret_row = e->row;
	return e;
}

bool dns_names_find_addr(const struct dns_names *n, domain_idx domain, be32 addr,
			 struct dns_names_row *ret_row)
{
	struct entry *e = find_kind(n, domain, addr, DNS_NAME_STATIC);

	if (!e)
		e = find_kind(n, domain, addr, DNS_NAME_LEASE);
	if (e)
		*ret_row = e->row;
	return e;
}

void dns_names_each(const struct dns_names *n, domain_idx domain,
		    void (*fn)(void *arg, const struct dns_names_row *row), void *arg)
{
	for (struct lru_node *node = n->all.head.next; node != &n->all.head; node = node->next) {
		const struct entry *e = container_of(node, struct entry, all);

		if (domain == DOMAIN_NONE || e->row.domain == domain)
			fn(arg, &e->row);
	}
}

uint32_t dns_names_count(const struct dns_names *n)
{
	return n->pool.used;
}
