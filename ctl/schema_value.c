/* Reads one value of each kind (schema_value.h); the tables that name the kinds are in
 * ctl/schema.c. */
#include "ctl/schema_value.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WORKERS_MOST 16u /* as many as the switch has room for */

#define IFNAME_LEN_MAX 15  /* IFNAMSIZ less the end */
#define DOMAIN_LEN_MAX 253 /* RFC 1035 2.3.4 */
#define LABEL_LEN_MAX  63

int value_store(const char *s, char **slot, struct diag *d)
{
	char *copy = strdup(s);
	if (!copy) {
		d->out_of_memory = true;
		return -ENOMEM;
	}
	free(*slot);
	*slot = copy;
	return 0;
}

int value_number(const char *s, uint32_t *ret)
{
	if (!*s || strlen(s) > 10 || strspn(s, "0123456789") != strlen(s))
		return -EINVAL;
	unsigned long long v = strtoull(s, NULL, 10);
	if (v > UINT32_MAX)
		return -ERANGE;
	*ret = (uint32_t)v;
	return 0;
}

static int read_number(const struct field *f, struct node *n, uint32_t *ret, struct diag *d)
{
	uint32_t v;
	if (value_number(n->text, &v) < 0) {
		diag_at(d, n, "'%s' must be a number from %u to %u, not '%s'", f->key, f->min,
			f->max, n->text);
		return -EINVAL;
	}
	if (v < f->min || v > f->max) {
		diag_at(d, n, "%s %u is out of range (%u to %u)", f->key, v, f->min, f->max);
		return -EINVAL;
	}
	*ret = v;
	return 0;
}

static int read_version(const struct field *f, struct node *n, void *base, struct diag *d)
{
	if (!strcmp(n->text, "1"))
		return 0;
	diag_at(d, n, "version '%s' is not known: this vswitchd reads version 1", n->text);
	return -EINVAL;
}

static int read_u32(const struct field *f, struct node *n, void *base, struct diag *d)
{
	return read_number(f, n, field_at(f, base), d);
}

/* auto: a core is left for main, the guests and everybody else. */
static uint32_t workers_auto(void)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	return cores < 3 ? 1 : cores - 1 < WORKERS_MOST ? (uint32_t)cores - 1 : WORKERS_MOST;
}

static int read_workers(const struct field *f, struct node *n, void *base, struct diag *d)
{
	uint32_t v = workers_auto();
	if (strcmp(n->text, "auto") && (value_number(n->text, &v) < 0 || !v || v > WORKERS_MOST)) {
		diag_at(d, n, "'workers' must be a number from 1 to %u or 'auto', not '%s'",
			WORKERS_MOST, n->text);
		return -EINVAL;
	}
	*(uint32_t *)field_at(f, base) = v;
	return 0;
}

int value_bool(const char *s, bool *ret)
{
	if (!strcmp(s, "true") || !strcmp(s, "false")) {
		*ret = *s == 't';
		return 0;
	}
	return -EINVAL;
}

static int read_bool(const struct field *f, struct node *n, void *base, struct diag *d)
{
	if (!value_bool(n->text, field_at(f, base)))
		return 0;
	diag_at(d, n, "'%s' must be true or false, not '%s'", f->key, n->text);
	return -EINVAL;
}

/* "tap, netdev, dgram": the choices that are built. */
void value_choices(const struct choice *c, char *buf, size_t size)
{
	size_t used = 0;
	*buf = 0;
	for (; c->name; c++)
		if (!c->why_not && used < size)
			used += (size_t)snprintf(buf + used, size - used, "%s%s", used ? ", " : "",
						 c->name);
}

static int read_choice(const struct field *f, struct node *n, uint32_t *ret, struct diag *d)
{
	const char *names[8], *meant;
	char list[160];
	size_t count = 0;
	for (const struct choice *c = f->choices; c->name; c++) {
		names[count++] = c->name;
		if (strcmp(c->name, n->text))
			continue;
		if (c->why_not) {
			diag_at(d, n, "%s '%s' is not built yet: %s", f->key, c->name, c->why_not);
			return -EINVAL;
		}
		*ret = c->value;
		return 0;
	}
	value_choices(f->choices, list, sizeof(list));
	meant = closest_name(n->text, names, count);
	if (meant)
		diag_at(d, n, "unknown %s '%s' (did you mean '%s'?)", f->key, n->text, meant);
	else
		diag_at(d, n, "unknown %s '%s' (one of %s)", f->key, n->text, list);
	return -EINVAL;
}

static int read_enum(const struct field *f, struct node *n, void *base, struct diag *d)
{
	uint32_t unused; /* a value that can only be one is not kept */
	return read_choice(f, n, f->offset == UINT16_MAX ? &unused : field_at(f, base), d);
}

static int read_flags(const struct field *f, struct node *n, void *base, struct diag *d)
{
	uint32_t flags = 0, one;
	for (size_t i = 0; i < (n->kind == NODE_LIST ? n->n : 1); i++) {
		struct node *word = n->kind == NODE_LIST ? n->kid[i] : n;
		if (word->kind != NODE_SCALAR) {
			diag_at(d, word, "'%s' takes a word or a list of them", f->key);
			return -EINVAL;
		}
		if (read_choice(f, word, &one, d) < 0)
			return -EINVAL;
		flags |= one;
	}
	*(uint32_t *)field_at(f, base) = flags;
	return 0;
}

static int read_vlan(const struct field *f, struct node *n, void *base, struct diag *d)
{
	uint32_t v;
	if (read_number(f, n, &v, d) < 0)
		return -EINVAL;
	*(vlan_id *)field_at(f, base) = (vlan_id)v;
	return 0;
}

bool value_name_ok(const char *s, bool globs)
{
	size_t len = strlen(s);
	if (!len || len > NAME_LEN_MAX)
		return false;
	for (; *s; s++)
		if (!(isalnum((unsigned char)*s) || strchr(globs ? "_.-*?[]!^" : "_.-", *s)))
			return false;
	return true;
}

static int read_name(const struct field *f, struct node *n, void *base, struct diag *d)
{
	if (value_name_ok(n->text, false))
		return value_store(n->text, field_at(f, base), d);
	diag_at(d, n, "'%s' must be a name: up to %d of A-Z a-z 0-9 _ . -", f->key, NAME_LEN_MAX);
	return -EINVAL;
}

/* One name, or a list of them in order of preference. */
static int read_uplinks(const struct field *f, struct node *n, void *base, struct diag *d)
{
	struct cfg_network *net = base;
	size_t count = n->kind == NODE_LIST ? n->n : 1;
	int r = 0;
	if (n->kind == NODE_MAP || !count || count > 1 + CFG_BACKUPS_MAX) {
		diag_at(d, n, "'%s' takes a name, or a list of up to %d names", f->key, 1 + CFG_BACKUPS_MAX);
		return -EINVAL;
	}
	for (size_t i = 0; i < count && !r; i++) {
		struct node *one = n->kind == NODE_LIST ? n->kid[i] : n;
		if (one->kind != NODE_SCALAR || !value_name_ok(one->text, false)) {
			diag_at(d, one, "'%s' must be a name: up to %d of A-Z a-z 0-9 _ . -", f->key,
				NAME_LEN_MAX);
			return -EINVAL;
		}
		r = value_store(one->text, i ? &net->backup[net->n_backups++] : &net->uplink, d);
	}
	return r;
}

static int read_string(const struct field *f, struct node *n, void *base, struct diag *d)
{
	size_t len = strlen(n->text);
	if (len && len <= f->max)
		return value_store(n->text, field_at(f, base), d);
	diag_at(d, n, "'%s' must have 1 to %u characters", f->key, f->max);
	return -EINVAL;
}

static int read_path(const struct field *f, struct node *n, void *base, struct diag *d)
{
	if (*n->text != '/')
		diag_at(d, n, "'%s' must be an absolute path, not '%s'", f->key, n->text);
	else if (strlen(n->text) > f->max)
		diag_at(d, n, "the path is too long: %zu bytes, at most %u", strlen(n->text),
			f->max);
	else if (n->text[strlen(n->text) - 1] == '/' && f->max == SUN_PATH_MAX)
		diag_at(d, n, "'%s' must be a socket, not a folder", f->key);
	else
		return value_store(n->text, field_at(f, base), d);
	return -EINVAL;
}

static int read_ifname(const struct field *f, struct node *n, void *base, struct diag *d)
{
	const char *s = n->text;
	if (strlen(s) > IFNAME_LEN_MAX) {
		diag_at(d, n, "interface name '%s' is too long: at most %d characters", s,
			IFNAME_LEN_MAX);
		return -EINVAL;
	}
	if (!*s || !strcmp(s, ".") || !strcmp(s, "..") || s[strcspn(s, "/: \t%")]) {
		diag_at(d, n, "'%s' is not a name an interface can have", s);
		return -EINVAL;
	}
	return value_store(s, field_at(f, base), d);
}

/* Labels of letters, digits and inner hyphens (RFC 1123 2.1). */
bool value_domain_ok(const char *s, bool one_label)
{
	if (!*s || strlen(s) > DOMAIN_LEN_MAX)
		return false;
	for (;;) {
		size_t len = strcspn(s, ".");
		if (!len || len > LABEL_LEN_MAX || s[0] == '-' || s[len - 1] == '-')
			return false;
		for (size_t i = 0; i < len; i++)
			if (!isalnum((unsigned char)s[i]) && s[i] != '-')
				return false;
		if (!s[len])
			return true;
		if (one_label)
			return false;
		s += len + 1;
	}
}

static int read_domain(const struct field *f, struct node *n, void *base, struct diag *d)
{
	if (value_domain_ok(n->text, f->kind == F_HOSTNAME))
		return value_store(n->text, field_at(f, base), d);
	if (f->kind == F_HOSTNAME)
		diag_at(d, n, "'%s' is not a host name: letters, digits and inner hyphens, no dots",
			n->text);
	else
		diag_at(d, n, "'%s' is not a domain: labels of letters, digits and inner hyphens",
			n->text);
	return -EINVAL;
}

static int parse_ip4(const char *key, struct node *n, const char *text, be32 *ret, struct diag *d)
{
	be32 a;
	uint8_t six[16];
	if (ip4_parse(text, &a) == 0) {
		*ret = a;
		return 0;
	}
	if (ip6_parse(text, six) == 0)
		diag_at(d, n, IPV6_ADDR_WHY);
	else
		diag_at(d, n, "'%s' must be an IPv4 address such as 10.10.10.1, not '%s'", key,
			text);
	return -EINVAL;
}

static int read_ip4(const struct field *f, struct node *n, void *base, struct diag *d)
{
	return parse_ip4(f->key, n, n->text, field_at(f, base), d);
}

static int parse_prefix(const struct field *f, struct node *n, struct prefix4 *ret, struct diag *d)
{
	be32 alone;
	if (prefix4_parse(n->text, ret) == 0)
		return 0;
	if (strchr(n->text, ':'))
		diag_at(d, n, IPV6_ADDR_WHY);
	else if (ip4_parse(n->text, &alone) == 0)
		diag_at(d, n, "'%s' needs a prefix length: %s/24", f->key, n->text);
	else
		diag_at(d, n,
			"'%s' must be an IPv4 address and prefix length such as 10.10.10.0/24, not "
			"'%s'",
			f->key, n->text);
	return -EINVAL;
}

static int read_subnet(const struct field *f, struct node *n, void *base, struct diag *d)
{
	struct prefix4 p;
	char buf[PREFIX_STRLEN];
	if (parse_prefix(f, n, &p, d) < 0)
		return -EINVAL;
	if (p.len < f->min || p.len > f->max) {
		diag_at(d, n, "a subnet is a /%u to a /%u, not a /%u", f->min, f->max, p.len);
		return -EINVAL;
	}
	struct prefix4 net = {prefix4_network(p), p.len};
	if (net.addr != p.addr) {
		diag_at(d, n, "%s has host bits set (did you mean %s?)", n->text,
			prefix4_format(net, buf));
		return -EINVAL;
	}
	if (ip4_is_martian(p.addr)) {
		diag_at(d, n, "%s is no subnet that hosts can use", n->text);
		return -EINVAL;
	}
	*(struct prefix4 *)field_at(f, base) = p;
	*field_flag(f, base) = true;
	return 0;
}

/* SLAAC makes 64 bits of an address (RFC 4862 5.5.3 d), so that a network has a /64. */
static int read_subnet6(struct node *n, struct cfg_network *net, struct diag *d)
{
	struct prefix6 p, whole;
	char buf[PREFIX_STRLEN];
	if (prefix6_parse(n->text, &p) < 0) {
		diag_at(d, n, "'subnet' must be an IPv6 prefix such as fd10:10::/64, not '%s'", n->text);
		return -EINVAL;
	}
	if (p.len != 64) {
		diag_at(d, n, "an IPv6 subnet is a /64, not a /%u", p.len);
		return -EINVAL;
	}
	whole = p;
	memset(whole.addr + 8, 0, 8);
	if (memcmp(whole.addr, p.addr, sizeof(p.addr))) {
		diag_at(d, n, "%s has host bits set (did you mean %s?)", n->text,
			prefix6_format(&whole, buf));
		return -EINVAL;
	}
	if (ip6_is_multicast(p.addr) || ip6_is_link_local(p.addr) || ip6_is_unspecified(p.addr)) {
		diag_at(d, n, "%s is no subnet that hosts can use", n->text);
		return -EINVAL;
	}
	net->subnet6 = p;
	net->has_subnet6 = true;
	return 0;
}

/* One value, or one for each family: of a network. */
static int read_subnets(const struct field *f, struct node *n, void *base, struct diag *d)
{
	struct cfg_network *net = base;
	struct node *one[1] = {n}, **item = n->kind == NODE_LIST ? n->kid : one;
	size_t count = n->kind == NODE_LIST ? n->n : 1;
	if (!count) {
		diag_at(d, n, "'%s' is an empty list", f->key);
		return -EINVAL;
	}
	net->has_subnet = net->has_subnet6 = false;
	for (size_t i = 0; i < count; i++) {
		if (item[i]->kind != NODE_SCALAR) {
			diag_at(d, item[i], "'%s' takes prefixes", f->key);
			return -EINVAL;
		}
		const bool six = strchr(item[i]->text, ':');
		if (six ? net->has_subnet6 : net->has_subnet) {
			diag_at(d, item[i], "'%s' takes one IPv%d value, this is one more", f->key, six ? 6 : 4);
			return -EINVAL;
		}
		if (six ? read_subnet6(item[i], net, d) : read_subnet(f, item[i], base, d))
			return -EINVAL;
	}
	if (net->has_subnet)
		return 0;
	diag_at(d, item[0], "a network of IPv6 alone is not built yet: give an IPv4 subnet as well");
	return -EINVAL;
}

static bool is_unicast6(const uint8_t a[16])
{
	static const uint8_t low[10]; /* ::/80: nobody, loopback, IPv4 in other forms */
	return !ip6_is_multicast(a) && memcmp(a, low, sizeof(low)) != 0;
}

size_t value_size6(const struct field *f)
{
	return f->kind == F_IP4 ? 16 : sizeof(struct prefix6);
}

/* A subnet has no host bits; an interface's address is not of the link alone, which it has anyway. */
static int read_prefix6(const struct field *f, struct node *n, struct prefix6 *ret, struct diag *d)
{
	struct prefix6 p, net;
	char buf[PREFIX_STRLEN];
	if (prefix6_parse(n->text, &p) < 0 || !p.len) {
		diag_at(d, n, "'%s' must be an IPv6 address and a length such as fd10:10::2/64, not '%s'", f->key,
			n->text);
		return -EINVAL;
	}
	net = p;
	for (unsigned i = p.len; i < 128; i++)
		net.addr[i / 8] &= (uint8_t)~(0x80u >> i % 8);
	if (f->kind != F_HOSTPREFIX && memcmp(net.addr, p.addr, sizeof(p.addr))) {
		diag_at(d, n, "%s has host bits set (did you mean %s?)", n->text, prefix6_format(&net, buf));
		return -EINVAL;
	}
	if (!is_unicast6(p.addr) || ip6_is_link_local(p.addr)) {
		diag_at(d, n, "%s is no %s that hosts can use", n->text, f->kind != F_HOSTPREFIX ? "subnet" : "address");
		return -EINVAL;
	}
	*ret = p;
	return 0;
}

/* Of a length within the row's bounds. */
static int read_prefix_of6(const struct field *f, struct node *n, void *base, struct diag *d)
{
	struct prefix6 p, *at = field_at(f, base);
	if (read_prefix6(f, n, &p, d) < 0)
		return -EINVAL;
	if (p.len < f->min || p.len > f->max) {
		diag_at(d, n, "'%s' is a /%u to a /%u, not a /%u", f->key, f->min, f->max, p.len);
		return -EINVAL;
	}
	*at = p;
	return 0;
}

static int read_value6(const struct field *f, struct node *n, void *base, struct diag *d)
{
	void *at = (char *)base + f->six;
	uint8_t a[16];
	if (f->kind != F_IP4)
		return read_prefix6(f, n, at, d);
	if (ip6_parse(n->text, a) < 0 || !is_unicast6(a)) {
		diag_at(d, n, "'%s' must be the address of a host, such as fd10:10::1 or fe80::1, not '%s'", f->key,
			n->text);
		return -EINVAL;
	}
	memcpy(at, a, sizeof(a));
	return 0;
}

void value_read6(const struct field *f, struct node *n, void *base, struct diag *d)
{
	if (read_value6(f, n, base, d) < 0)
		n->bad = true;
	else if (f->kind == F_SUBNET && f->also)
		*field_flag(f, base) = true;
}

static int read_hostprefix(const struct field *f, struct node *n, void *base, struct diag *d)
{
	struct prefix4 p;
	if (f->flags & FIELD_DHCP && !strcmp(n->text, "dhcp")) {
		*field_flag(f, base) = true;
		return 0;
	}
	if (f->flags & FIELD_DHCP && !strcmp(n->text, "shared")) {
		((struct cfg_uplink *)base)->shared = true;
		return 0;
	}
	if (parse_prefix(f, n, &p, d) < 0)
		return -EINVAL;
	bool host = p.len >= 31 || (p.addr != prefix4_network(p) && p.addr != prefix4_broadcast(p));
	if (p.len < 1 || ip4_is_martian(p.addr) || !host) {
		diag_at(d, n, "%s is not an address a host can have", n->text);
		return -EINVAL;
	}
	*(struct prefix4 *)field_at(f, base) = p;
	if (f->also && !(f->flags & FIELD_DHCP))
		*field_flag(f, base) = true;
	return 0;
}

static int read_mac(const struct field *f, struct node *n, void *base, struct diag *d)
{
	static const struct mac zero;
	struct mac m;
	if (mac_parse(n->text, &m) < 0) {
		diag_at(d, n, "'%s' must be a MAC address such as 52:54:00:00:00:01, not '%s'",
			f->key, n->text);
		return -EINVAL;
	}
	if (m.b[0] & 1 || !memcmp(&m, &zero, sizeof(m))) {
		diag_at(d, n, "%s is not the address of one station", n->text);
		return -EINVAL;
	}
	*(struct mac *)field_at(f, base) = m;
	if (f->also)
		*field_flag(f, base) = true;
	return 0;
}

int duration_parse(const char *text, uint32_t *ret_seconds)
{
	static const struct {
		char unit;
		uint32_t seconds;
	} units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', DAY}};
	char digits[11];
	size_t len = strspn(text, "0123456789");
	uint32_t v, factor = 1;
	if (!len || len >= sizeof(digits))
		return -EINVAL;
	snprintf(digits, sizeof(digits), "%.*s", (int)len, text);
	if (value_number(digits, &v) < 0)
		return -EINVAL;
	if (text[len]) {
		factor = 0;
		for (size_t i = 0; i < ARRAY_SIZE(units); i++)
			if (text[len] == units[i].unit && !text[len + 1])
				factor = units[i].seconds;
		if (!factor)
			return -EINVAL;
	}
	if (v > UINT32_MAX / factor)
		return -ERANGE;
	*ret_seconds = v * factor;
	return 0;
}

void value_print_time(uint32_t s, char *buf, size_t size)
{
	if (s && s % DAY == 0)
		snprintf(buf, size, "%ud", s / DAY);
	else if (s && s % 3600 == 0)
		snprintf(buf, size, "%uh", s / 3600);
	else if (s && s % 60 == 0)
		snprintf(buf, size, "%um", s / 60);
	else
		snprintf(buf, size, "%us", s);
}

static int read_duration(const struct field *f, struct node *n, void *base, struct diag *d)
{
	uint32_t s;
	char lo[16], hi[16];
	if (duration_parse(n->text, &s) < 0) {
		diag_at(d, n, "'%s' must be a time such as 300s, 30m, 12h or 1d, not '%s'", f->key,
			n->text);
		return -EINVAL;
	}
	if (s < f->min || s > f->max) {
		value_print_time(f->min, lo, sizeof(lo));
		value_print_time(f->max, hi, sizeof(hi));
		diag_at(d, n, "%s %s is out of range (%s to %s)", f->key, n->text, lo, hi);
		return -EINVAL;
	}
	*(uint32_t *)field_at(f, base) = s;
	return 0;
}

static int read_octal(const struct field *f, struct node *n, void *base, struct diag *d)
{
	const char *s = n->text;
	if (!strncmp(s, "0o", 2))
		s += 2;
	if (!*s || strlen(s) > 4 || strspn(s, "01234567") != strlen(s) ||
	    strtoul(s, NULL, 8) > f->max) {
		diag_at(d, n, "'%s' must be octal permission bits such as 0660, not '%s'", f->key,
			n->text);
		return -EINVAL;
	}
	*(uint32_t *)field_at(f, base) = (uint32_t)strtoul(s, NULL, 8);
	return 0;
}

static int read_range(const struct field *f, struct node *n, void *base, struct diag *d)
{
	char first[IP4_STRLEN];
	be32 a, b, *slot = field_at(f, base);
	const char *dash = strchr(n->text, '-');
	if (strchr(n->text, ':')) {
		diag_at(d, n, IPV6_ADDR_WHY);
		return -EINVAL;
	}
	size_t len = dash ? (size_t)(dash - n->text) : 0;
	if (len && len < sizeof(first))
		snprintf(first, sizeof(first), "%.*s", (int)len, n->text);
	if (!len || len >= sizeof(first) || ip4_parse(first, &a) < 0 ||
	    ip4_parse(dash + 1, &b) < 0) {
		diag_at(d, n, "'%s' must be FIRST-LAST such as 10.10.10.50-10.10.10.199, not '%s'",
			f->key, n->text);
		return -EINVAL;
	}
	slot[0] = a;
	slot[1] = b;
	return 0;
}

static int read_port_range(const struct field *f, struct node *n, void *base, struct diag *d)
{
	uint16_t *slot = field_at(f, base);
	unsigned first, last;
	int end = 0;
	if (sscanf(n->text, "%5u-%5u%n", &first, &last, &end) != 2 || n->text[end] || first < f->min ||
	    last > UINT16_MAX || first > last) {
		diag_at(d, n, "'%s' must be FIRST-LAST such as 40000-59999, from %u to %u, not '%s'", f->key,
			f->min, UINT16_MAX, n->text);
		return -EINVAL;
	}
	slot[0] = (uint16_t)first;
	slot[1] = (uint16_t)last;
	return 0;
}

static int read_upstream(const struct field *f, struct node *n, void *base, struct diag *d)
{
	struct cfg_network *net = base;
	struct node *one[1] = {n}, **item = n->kind == NODE_LIST ? n->kid : one;
	size_t count = n->kind == NODE_LIST ? n->n : 1;
	free(net->upstreams);
	net->upstreams = NULL;
	net->n_upstreams = 0;
	net->upstream_system = n->kind == NODE_SCALAR && !strcmp(n->text, "system");
	if (net->upstream_system)
		return 0;
	if (!count || count > 8) {
		diag_at(d, n, "'upstream' takes 'system' or one to eight addresses");
		return -EINVAL;
	}
	net->upstreams = calloc(count, sizeof(*net->upstreams));
	if (!net->upstreams) {
		d->out_of_memory = true;
		return -ENOMEM;
	}
	for (size_t i = 0; i < count; i++) {
		if (item[i]->kind != NODE_SCALAR) {
			diag_at(d, item[i], "'upstream' takes 'system' or addresses");
			return -EINVAL;
		}
		if (parse_ip4(f->key, item[i], item[i]->text, &net->upstreams[i], d) < 0)
			return -EINVAL;
		if (ip4_is_martian(net->upstreams[i]) &&
		    (be32toh(net->upstreams[i]) >> 24) != 127) {
			diag_at(d, item[i], "%s is not a server's address", item[i]->text);
			return -EINVAL;
		}
	}
	net->n_upstreams = count;
	return 0;
}

/* What stands in trunk is resolved once all networks are known; here only its text. */
static int read_trunk(const struct field *f, struct node *n, void *base, struct diag *d)
{
	struct cfg_port *p = base;
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	if (!out) {
		d->out_of_memory = true;
		return -ENOMEM;
	}
	bool ok = n->kind == NODE_SCALAR || n->n;
	if (n->kind == NODE_SCALAR)
		fputs(n->text, out);
	for (size_t i = 0; i < n->n; i++) {
		ok = ok && n->kid[i]->kind == NODE_SCALAR;
		fprintf(out, "%s%s", i ? ", " : "", ok ? n->kid[i]->text : "");
	}
	fclose(out);
	free(p->trunk_text);
	p->trunk_text = text;
	p->is_trunk = true;
	if (ok)
		return 0;
	diag_at(d, n,
		"'trunk' takes a list of network names, VLAN numbers and ranges such as [lab, 20, "
		"100-199]");
	return -EINVAL;
}

/* Copies text without a "-LAST" behind its last colon; *ret_last 0 when there is none. */
static int range_cut(const char *text, char *buf, size_t size, uint16_t *ret_last)
{
	const char *colon = strrchr(text, ':'), *dash = colon ? strchr(colon, '-') : NULL;
	uint32_t last = 0;
	size_t n = dash ? (size_t)(dash - text) : strlen(text);
	if (n >= size || (dash && (value_number(dash + 1, &last) || !last || last > UINT16_MAX)))
		return -EINVAL;
	memcpy(buf, text, n);
	buf[n] = 0;
	*ret_last = (uint16_t)last;
	return 0;
}

int config_listen_parse(const char *text, be32 *ret_addr, uint16_t *ret_port, uint16_t *ret_last)
{
	char buf[IP4_PORT_STRLEN];
	uint16_t port, last;
	be32 a;
	if (range_cut(text, buf, sizeof(buf), &last) || ip4_port_parse(buf, &a, &port) || !port)
		return -EINVAL;
	if (last && (last <= port || last - port >= (int)CFG_RANGE_MAX))
		return -EINVAL;
	*ret_addr = a;
	*ret_port = port;
	*ret_last = last ? last : port;
	return 0;
}

static int read_listen(const struct field *f, struct node *n, void *base, struct diag *d)
{
	struct cfg_forward *fw = base;
	if (config_listen_parse(n->text, &fw->listen, &fw->listen_port, &fw->listen_last) == 0)
		return 0;
	diag_at(d, n, "'listen' must be ADDRESS:PORT or :PORT, or end in PORT-LAST for up to %u ports, not '%s'",
		CFG_RANGE_MAX, n->text);
	return -EINVAL;
}

static int read_target(const struct field *f, struct node *n, void *base, struct diag *d)
{
	struct cfg_forward *fw = base;
	char text[300], *colon;
	uint32_t port;
	if (range_cut(n->text, text, sizeof(text), &fw->to_last))
		*text = 0;
	if (ip4_port_parse(text, &fw->to, &fw->to_port) == 0 && fw->to_port && fw->to)
		return 0;
	fw->to = 0;
	colon = strrchr(text, ':');
	if (colon && colon != text && value_number(colon + 1, &port) == 0 && port &&
	    port <= UINT16_MAX && value_store(text, &fw->to_name, d) == 0) {
		fw->to_name[colon - text] = 0;
		fw->to_port = (uint16_t)port;
		if (value_domain_ok(fw->to_name, false) &&
		    strspn(fw->to_name, "0123456789.") != strlen(fw->to_name))
			return 0;
	}
	diag_at(d, n, "'to' must be ADDRESS:PORT or NAME:PORT, not '%s'", n->text);
	return -EINVAL;
}

static int read_udp(const struct field *f, struct node *n, void *base, struct diag *d)
{
	be32 a;
	uint16_t port;
	if (ip4_port_parse(n->text, &a, &port) == 0 && port && (a || f->kind == F_UDP_LISTEN))
		return value_store(n->text, field_at(f, base), d);
	diag_at(d, n, "'%s' must be ADDRESS:PORT with a port from 1 to 65535, not '%s'", f->key,
		n->text);
	return -EINVAL;
}

static int read_unbuilt(const struct field *f, struct node *n, void *base, struct diag *d)
{
	diag_at(d, n->key ? n->key : n, "'%s' is not built yet: %s", f->key, f->help);
	n->bad = true;
	return -EINVAL;
}

/* ---- the kinds ---- */

const struct kind schema_kinds[F_KINDS] = {
	[F_VERSION] = {"1", read_version, S_NONE},
	[F_U32] = {"number", read_u32, S_U32},
	[F_WORKERS] = {"number or `auto`", read_workers, S_U32},
	[F_BOOL] = {"true or false", read_bool, S_BOOL},
	[F_ENUM] = {"word", read_enum, S_U32},
	[F_FLAGS] = {"list of words", read_flags, S_U32, true},
	[F_VLAN] = {"number", read_vlan, S_U16},
	[F_NAME] = {"name", read_name, S_STRING},
	[F_STRING] = {"text", read_string, S_STRING},
	[F_PATH] = {"path", read_path, S_STRING},
	[F_IFNAME] = {"interface", read_ifname, S_STRING},
	[F_DOMAIN] = {"domain", read_domain, S_STRING},
	[F_HOSTNAME] = {"host name", read_domain, S_STRING},
	[F_IP4] = {"address", read_ip4, S_U32},
	[F_SUBNET] = {"subnet", read_subnet, S_PREFIX},
	[F_SUBNETS] = {"subnet or list", read_subnets, S_SPECIAL, true},
	[F_PREFIX6] = {"IPv6 prefix", read_prefix_of6, S_SPECIAL},
	[F_HOSTPREFIX] = {"address/length", read_hostprefix, S_PREFIX},
	[F_PORT_RANGE] = {"ports", read_port_range, S_SPECIAL},
	[F_UPLINKS] = {"name or names", read_uplinks, S_SPECIAL, true},
	[F_MAC] = {"MAC address", read_mac, S_MAC},
	[F_DURATION] = {"time", read_duration, S_U32},
	[F_OCTAL] = {"octal", read_octal, S_U32},
	[F_RANGE] = {"range", read_range, S_SPECIAL},
	[F_UPSTREAM] = {"`system` or addresses", read_upstream, S_SPECIAL, true},
	[F_OPTIONS] = {"mapping", schema_read_options, S_SPECIAL, true},
	[F_TRUNK] = {"list", read_trunk, S_SPECIAL, true},
	[F_LISTEN] = {"address:port", read_listen, S_SPECIAL},
	[F_TARGET] = {"address:port", read_target, S_SPECIAL},
	[F_UDP_LISTEN] = {"address:port", read_udp, S_STRING},
	[F_UDP_PEER] = {"address:port", read_udp, S_STRING},
	[F_OBJECT] = {"mapping"},
	[F_LIST] = {"list of mappings"},
	[F_NAMED] = {"mapping of names"},
	[F_UNBUILT] = {"not built yet", read_unbuilt, S_NONE, true},
};
