/* Text forms of addresses, and prefixes.
 *
 * Parsers take the whole string or fail (-EINVAL) and leave ret_ untouched then.
 * Printers write into a caller's buffer and return it, for use inside printf. */
#ifndef NET_ADDR_H
#define NET_ADDR_H

#include "net/types.h"

#define MAC_STRLEN 18
#define IP4_STRLEN 16
#define IP6_STRLEN 46
#define PREFIX_STRLEN 50
#define IP4_PORT_STRLEN 22

struct prefix4 {
	be32 addr;   /* as written; host bits may be set: 10.10.10.254/24 */
	uint8_t len; /* 0..32 */
};

struct prefix6 {
	uint8_t addr[16]; /* as written */
	uint8_t len;	  /* 0..128 */
};

int mac_parse(const char *s, struct mac *ret_mac); /* aa:bb:cc:dd:ee:ff, case and '-' accepted */
char *mac_format(struct mac m, char buf[MAC_STRLEN]); /* lower case */
int ip4_parse(const char *s, be32 *ret_addr);         /* strict dotted quad, no leading zeroes */
char *ip4_format(be32 a, char buf[IP4_STRLEN]);
int ip6_parse(const char *s, uint8_t ret_addr[16]);
char *ip6_format(const uint8_t a[16], char buf[IP6_STRLEN]);
int prefix4_parse(const char *s, struct prefix4 *ret_prefix);
char *prefix4_format(struct prefix4 p, char buf[PREFIX_STRLEN]);
int ip4_port_parse(const char *s, be32 *ret_addr, uint16_t *ret_port); /* "10.0.0.1:22"; ":22" gives 0.0.0.0 */
char *ip4_port_format(be32 a, uint16_t port, char buf[IP4_PORT_STRLEN]);

int prefix6_parse(const char *s, struct prefix6 *ret_prefix);
char *prefix6_format(const struct prefix6 *p, char buf[PREFIX_STRLEN]);
bool prefix6_contains(const struct prefix6 *p, const uint8_t a[16]);
bool prefix6_overlap(const struct prefix6 *a, const struct prefix6 *b);
static inline bool ip6_is_multicast(const uint8_t a[16]) { return a[0] == 0xff; }
static inline bool ip6_is_link_local(const uint8_t a[16]) /* RFC 4291 2.5.6 */
{
	return a[0] == 0xfe && (a[1] & 0xc0) == 0x80;
}
static inline bool ip6_is_unspecified(const uint8_t a[16])
{
	static const uint8_t zero[16];
	return !__builtin_memcmp(a, zero, sizeof(zero));
}

be32 prefix4_mask(struct prefix4 p);
be32 prefix4_network(struct prefix4 p);
be32 prefix4_broadcast(struct prefix4 p); /* last address; for /31 and /32 the last as well */
bool prefix4_contains(struct prefix4 p, be32 a);
bool prefix4_overlap(struct prefix4 a, struct prefix4 b);
/* Multicast 224/4, 0/8, 127/8, 240/4 or broadcast: not a host's unicast address. */
bool ip4_is_martian(be32 a);

#endif
