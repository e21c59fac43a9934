/* The headers of Ethernet, IP and what they carry, as they stand in memory.
 *
 * Structs are packed, fields big-endian by type, sizes asserted.  A header is
 * only laid over bytes that net/parse.h has found to be there (in a packet's
 * private head), or that a builder is about to fill. */
#ifndef NET_HEADERS_H
#define NET_HEADERS_H

#include "net/types.h"

#define ETHERTYPE_IP4 ((ethertype)0x0800)
#define ETHERTYPE_ARP ((ethertype)0x0806)
#define ETHERTYPE_RARP ((ethertype)0x8035)
#define ETHERTYPE_VLAN ((ethertype)0x8100) /* 802.1Q C-tag */
#define ETHERTYPE_QINQ ((ethertype)0x88a8) /* 802.1ad S-tag */
#define ETHERTYPE_IP6 ((ethertype)0x86dd)
#define ETHERTYPE_MIN ((ethertype)0x0600) /* below: 802.3 length */

#define IPPROTO4_ICMP 1
#define IPPROTO4_TCP 6
#define IPPROTO4_UDP 17
#define IPPROTO4_GRE 47
#define IPPROTO4_ESP 50
#define IPPROTO6_ICMP 58

#define ETH_HLEN_ 14u
#define ETH_MIN_NO_FCS 60u
#define ETH_FRAME_MAX 65550u /* 14 + 65535 and a byte to round: the largest frame any port may carry */

struct eth_hdr {
	struct mac dst, src;
	be16 type;
} __attribute__((packed));
_Static_assert(sizeof(struct eth_hdr) == 14, "802.3");

struct vlan_hdr { /* what follows the TPID */
	be16 tci;
	be16 type;
} __attribute__((packed));
_Static_assert(sizeof(struct vlan_hdr) == 4, "802.1Q");

struct arp_hdr { /* RFC 826, Ethernet and IPv4 */
	be16 htype, ptype;
	uint8_t hlen, plen;
	be16 op;
	struct mac sha;
	be32 spa;
	struct mac tha;
	be32 tpa;
} __attribute__((packed));
_Static_assert(sizeof(struct arp_hdr) == 28, "RFC 826");
#define ARP_HTYPE_ETHER 1
#define ARP_REQUEST 1
#define ARP_REPLY 2

struct ip4_hdr { /* RFC 791 3.1 */
	uint8_t ver_ihl;
	uint8_t tos;
	be16 len;
	be16 id;
	be16 frag; /* flags:3 offset:13, see IP4_* */
	uint8_t ttl;
	uint8_t proto;
	be16 csum;
	be32 src, dst;
} __attribute__((packed));
_Static_assert(sizeof(struct ip4_hdr) == 20, "RFC 791");
#define IP4_DF 0x4000u
#define IP4_MF 0x2000u
#define IP4_OFFSET 0x1fffu

struct ip6_hdr { /* RFC 8200 3 */
	be32 ver_tc_flow;
	be16 len;
	uint8_t next;
	uint8_t hops;
	uint8_t src[16], dst[16];
} __attribute__((packed));
_Static_assert(sizeof(struct ip6_hdr) == 40, "RFC 8200");
#define IP6_MTU_MIN 1280u /* RFC 8200 5 */
#define IPPROTO6_FRAGMENT 44

struct ip6_frag { /* RFC 8200 4.5 */
	uint8_t next, reserved;
	be16 off; /* offset in bytes, of which the low bits are 0:2 more:1, see IP6_* */
	be32 id;
} __attribute__((packed));
_Static_assert(sizeof(struct ip6_frag) == 8, "RFC 8200");
#define IP6_MF 0x0001u
#define IP6_OFFSET 0xfff8u

struct tcp_hdr { /* RFC 9293 3.1 */
	be16 sport, dport;
	be32 seq, ack;
	uint8_t off; /* data offset:4, reserved:4 */
	uint8_t flags;
	be16 window;
	be16 csum;
	be16 urgent;
} __attribute__((packed));
_Static_assert(sizeof(struct tcp_hdr) == 20, "RFC 9293");
#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_PSH 0x08
#define TCP_ACK 0x10
#define TCP_CWR 0x80

struct udp_hdr { /* RFC 768 */
	be16 sport, dport;
	be16 len;
	be16 csum;
} __attribute__((packed));
_Static_assert(sizeof(struct udp_hdr) == 8, "RFC 768");

struct icmp_hdr { /* RFC 792; ICMPv6 has the same first eight bytes */
	uint8_t type, code;
	be16 csum;
	be16 id, seq; /* of echo; unused and next-hop MTU (RFC 1191) in errors */
} __attribute__((packed));
_Static_assert(sizeof(struct icmp_hdr) == 8, "RFC 792");
#define ICMP4_ECHO_REPLY 0
#define ICMP4_UNREACHABLE 3
#define ICMP4_ECHO 8
#define ICMP4_TIME_EXCEEDED 11
#define ICMP4_PARAM_PROBLEM 12
#define ICMP4_UNREACH_NET 0
#define ICMP4_UNREACH_HOST 1
#define ICMP4_UNREACH_PORT 3
#define ICMP4_UNREACH_FRAG 4
#define ICMP4_UNREACH_ADMIN 13
/* RFC 4443: errors below 128; an MTU of 32 bits stands where echo has id and seq. */
#define ICMP6_UNREACHABLE 1
#define ICMP6_TOO_BIG 2
#define ICMP6_TIME_EXCEEDED 3
#define ICMP6_PARAM_PROBLEM 4
#define ICMP6_INFORMATIONAL 128
#define ICMP6_ECHO 128
#define ICMP6_ECHO_REPLY 129
#define ICMP6_UNREACH_NO_ROUTE 0
#define ICMP6_UNREACH_ADMIN 1
#define ICMP6_UNREACH_ADDRESS 3
#define ICMP6_UNREACH_PORT 4
#define ICMP6_MLD_QUERY 130 /* RFC 2710, RFC 3810 */
#define ICMP6_MLD_REPORT 131
#define ICMP6_MLD_DONE 132
#define ICMP6_MLD2_REPORT 143
#define ICMP6_ND_RS 133 /* RFC 4861 4 */
#define ICMP6_ND_RA 134
#define ICMP6_ND_NS 135
#define ICMP6_ND_NA 136
#define ICMP6_ND_REDIRECT 137

#define ND_HOPS 255u /* what shows that a message crossed no router (RFC 4861 7.1) */

struct nd_rs { /* RFC 4861 4.1; options follow */
	uint8_t type, code;
	be16 csum;
	be32 reserved;
} __attribute__((packed));
_Static_assert(sizeof(struct nd_rs) == 8, "RFC 4861");

struct nd_ra { /* RFC 4861 4.2 */
	uint8_t type, code;
	be16 csum;
	uint8_t hops, flags;
	be16 lifetime; /* seconds as a default router */
	be32 reachable, retrans; /* milliseconds; 0: not said */
} __attribute__((packed));
_Static_assert(sizeof(struct nd_ra) == 16, "RFC 4861");

struct nd_ns { /* RFC 4861 4.3 and, with flags, 4.4 */
	uint8_t type, code;
	be16 csum;
	be32 flags; /* of an advertisement: ND_NA_* */
	uint8_t target[16];
} __attribute__((packed));
_Static_assert(sizeof(struct nd_ns) == 24, "RFC 4861");
#define ND_NA_ROUTER 0x80000000u
#define ND_NA_SOLICITED 0x40000000u
#define ND_NA_OVERRIDE 0x20000000u

/* Options of ND, in units of 8 bytes (RFC 4861 4.6, RFC 8106). */
#define ND_OPT_SOURCE_MAC 1
#define ND_OPT_TARGET_MAC 2
#define ND_OPT_PREFIX 3
#define ND_OPT_MTU 5
#define ND_OPT_RDNSS 25
#define ND_OPT_DNSSL 31

static inline bool mac_is_group(struct mac m) { return m.b[0] & 1; }
static inline bool mac_is_zero(struct mac m)
{
	return !(m.b[0] | m.b[1] | m.b[2] | m.b[3] | m.b[4] | m.b[5]);
}
static inline bool mac_eq(struct mac a, struct mac b)
{
	return !__builtin_memcmp(a.b, b.b, 6);
}
/* The 48 bits as a number, first byte on the wire highest. */
static inline uint64_t mac_u64(struct mac m)
{
	be32 hi;
	be16 lo;

	__builtin_memcpy(&hi, m.b, sizeof(hi));
	__builtin_memcpy(&lo, m.b + sizeof(hi), sizeof(lo));
	return (uint64_t)be32toh(hi) << 16 | be16toh(lo);
}
static inline struct mac mac_from_u64(uint64_t v)
{
	return (struct mac){{v >> 40, v >> 32, v >> 24, v >> 16, v >> 8, v}};
}
#define MAC_BROADCAST ((struct mac){{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}})

#endif
