/* Text forms of addresses (addr.h).  Hand-written where the C library is too lenient:
 * inet_aton() takes "1.2" and "010.1.1.1", strtoul() takes "+1" and " 1". */
#include "net/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* A decimal number up to `max` without sign or leading zero; *s moves past it. */
static int take_number(const char **s, unsigned max, unsigned *ret_n)
{
	const char *p = *s;
	unsigned n = 0;
	if (*p < '0' || *p > '9' || (*p == '0' && p[1] >= '0' && p[1] <= '9'))
		return -EINVAL;
	for (; *p >= '0' && *p <= '9'; p++) {
		n = n * 10 + (unsigned)(*p - '0');
		if (n > max)
			return -EINVAL;
	}
	*s = p;
	*ret_n = n;
	return 0;
}

int mac_parse(const char *s, struct mac *ret_mac)
{
	struct mac m;
	char sep = 0;
	for (unsigned i = 0; i < sizeof(m.b); i++) {
		if (i == 1)
			sep = *s;
		if (i && (*s != sep || (sep != ':' && sep != '-')))
			return -EINVAL;
		s += i != 0;
		int hi = hex_digit(s[0]);
		int lo = hi < 0 ? -1 : hex_digit(s[1]);
		if (lo < 0)
			return -EINVAL;
		m.b[i] = (uint8_t)(hi << 4 | lo);
		s += 2;
	}
	if (*s)
		return -EINVAL;
	*ret_mac = m;
	return 0;
}

char *mac_format(struct mac m, char buf[MAC_STRLEN])
{
	snprintf(buf, MAC_STRLEN, "%02x:%02x:%02x:%02x:%02x:%02x", m.b[0], m.b[1], m.b[2], m.b[3],
		 m.b[4], m.b[5]);
	return buf;
}

static int take_ip4(const char **s, be32 *ret_addr)
{
	uint32_t a = 0;
	const char *p = *s;
	for (unsigned i = 0; i < 4; i++) {
		unsigned n;
		if (i && *p++ != '.')
			return -EINVAL;
		if (take_number(&p, 255, &n))
			return -EINVAL;
		a = a << 8 | n;
	}
	*s = p;
	*ret_addr = htobe32(a);
	return 0;
}

int ip4_parse(const char *s, be32 *ret_addr)
{
	be32 a;
	if (take_ip4(&s, &a) || *s)
		return -EINVAL;
	*ret_addr = a;
	return 0;
}

char *ip4_format(be32 a, char buf[IP4_STRLEN])
{
	uint32_t h = be32toh(a);
	snprintf(buf, IP4_STRLEN, "%u.%u.%u.%u", h >> 24, h >> 16 & 255, h >> 8 & 255, h & 255);
	return buf;
}

int ip6_parse(const char *s, uint8_t ret_addr[16])
{
	uint8_t a[16];
	if (inet_pton(AF_INET6, s, a) != 1)
		return -EINVAL;
	memcpy(ret_addr, a, sizeof(a));
	return 0;
}

char *ip6_format(const uint8_t a[16], char buf[IP6_STRLEN])
{
	if (!inet_ntop(AF_INET6, a, buf, IP6_STRLEN))
		buf[0] = 0; /* cannot be: the buffer is the size POSIX asks for */
	return buf;
}

int prefix4_parse(const char *s, struct prefix4 *ret_prefix)
{
	be32 a;
	unsigned len;
	if (take_ip4(&s, &a) || *s++ != '/' || take_number(&s, 32, &len) || *s)
		return -EINVAL;
	*ret_prefix = (struct prefix4){.addr = a, .len = (uint8_t)len};
	return 0;
}

char *prefix4_format(struct prefix4 p, char buf[PREFIX_STRLEN])
{
	char a[IP4_STRLEN];
	snprintf(buf, PREFIX_STRLEN, "%s/%u", ip4_format(p.addr, a), p.len);
	return buf;
}

int ip4_port_parse(const char *s, be32 *ret_addr, uint16_t *ret_port)
{
	be32 a = 0;
	unsigned port;
	if (*s != ':' && take_ip4(&s, &a))
		return -EINVAL;
	if (*s++ != ':' || take_number(&s, 65535, &port) || *s)
		return -EINVAL;
	*ret_addr = a;
	*ret_port = (uint16_t)port;
	return 0;
}

char *ip4_port_format(be32 a, uint16_t port, char buf[IP4_PORT_STRLEN])
{
	char ip[IP4_STRLEN];
	snprintf(buf, IP4_PORT_STRLEN, "%s:%u", ip4_format(a, ip), port);
	return buf;
}

be32 prefix4_mask(struct prefix4 p)
{
	/* A shift by 32 is undefined, hence /0 by itself. */
	return p.len ? htobe32(UINT32_MAX << (32 - (p.len > 32 ? 32 : p.len))) : 0;
}

be32 prefix4_network(struct prefix4 p)
{
	return p.addr & prefix4_mask(p);
}

be32 prefix4_broadcast(struct prefix4 p)
{
	return p.addr | ~prefix4_mask(p);
}

bool prefix4_contains(struct prefix4 p, be32 a)
{
	return ((p.addr ^ a) & prefix4_mask(p)) == 0;
}

bool prefix4_overlap(struct prefix4 a, struct prefix4 b)
{
	return a.len < b.len ? prefix4_contains(a, b.addr) : prefix4_contains(b, a.addr);
}

bool ip4_is_martian(be32 a)
{
	const uint32_t h = be32toh(a);
	return h >> 24 == 0 || h >> 24 == 127 || h >> 28 >= 14;
}

int prefix6_parse(const char *s, struct prefix6 *ret_prefix)
{
	const char *slash = strchr(s, '/');
	struct prefix6 p;
	char text[IP6_STRLEN];
	unsigned len = 0;

	if (!slash || (size_t)(slash - s) >= sizeof(text) || !slash[1] || strlen(slash + 1) > 3 ||
	    strspn(slash + 1, "0123456789") != strlen(slash + 1) || (slash[1] == '0' && slash[2]))
		return -EINVAL;
	memcpy(text, s, (size_t)(slash - s));
	text[slash - s] = 0;
	for (const char *d = slash + 1; *d; d++)
		len = len * 10 + (unsigned)(*d - '0');
	if (len > 128 || ip6_parse(text, p.addr) < 0)
		return -EINVAL;
	p.len = (uint8_t)len;
	*ret_prefix = p;
	return 0;
}

char *prefix6_format(const struct prefix6 *p, char buf[PREFIX_STRLEN])
{
	char text[IP6_STRLEN];

	snprintf(buf, PREFIX_STRLEN, "%s/%u", ip6_format(p->addr, text), p->len);
	return buf;
}

static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	if (memcmp(a, b, bits / 8))
		return false;
	return !(bits % 8) || !((a[bits / 8] ^ b[bits / 8]) >> (8 - bits % 8));
}

bool prefix6_contains(const struct prefix6 *p, const uint8_t a[16])
{
	return same_bits(p->addr, a, p->len);
}

bool prefix6_overlap(const struct prefix6 *a, const struct prefix6 *b)
{
	return same_bits(a->addr, b->addr, a->len < b->len ? a->len : b->len);
}
