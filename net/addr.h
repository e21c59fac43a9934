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

be32 prefix4_mask(struct prefix4 p);
be32 prefix4_network(struct prefix4 p);
be32 prefix4_broadcast(struct prefix4 p); /* last address; for /31 and /32 the last as well */
bool prefix4_contains(struct prefix4 p, be32 a);
bool prefix4_overlap(struct prefix4 a, struct prefix4 b);
/* Multicast 224/4, 0/8, 127/8, 240/4 or broadcast: not a host's unicast address. */
bool ip4_is_martian(be32 a);

#endif
