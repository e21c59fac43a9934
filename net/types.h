/* The numbers of the trade, each with a type of its own.
 *
 * Wire fields are big-endian and carry it in their name: a be16 never meets a
 * uint16_t without be16toh()/htobe16().  Indexes, VLAN ids and domains are
 * distinct typedefs so that a prototype says which one it wants.
 *
 * Any thread; nothing here has state. */
#ifndef NET_TYPES_H
#define NET_TYPES_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint16_t be16; /* big-endian on the wire and in memory */
typedef uint32_t be32;
typedef uint64_t be64;

typedef uint16_t ethertype; /* host order, ETH_P_* */
typedef uint16_t vlan_id;   /* host order, 0 = none, 1..4094, 4095 reserved (802.1Q 9.6) */
typedef uint16_t port_idx;  /* slot in the switch's port table */
typedef uint16_t domain_idx; /* slot in the switch's domain table */

#define PORT_NONE ((port_idx)0xffff)
#define DOMAIN_NONE ((domain_idx)0xffff)

typedef uint64_t nsec_t; /* nanoseconds of the clock in net/clock.h */
#define NSEC_PER_SEC ((nsec_t)1000000000)
#define NSEC_PER_MSEC ((nsec_t)1000000)

/* A MAC address as it stands in a frame. */
struct mac {
	uint8_t b[6];
};
_Static_assert(sizeof(struct mac) == 6, "on the wire");

/* An 802.1Q tag kept beside the frame.  tpid 0 means untagged; both host order. */
struct vlan_tag {
	uint16_t tpid; /* 0, 0x8100 or 0x88a8 */
	uint16_t tci;  /* PCP:3 DEI:1 VID:12 */
};

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* Asks for the line of p from memory.  The asm is there because GCC drops calls of functions that do
 * nothing but prefetch: it takes them for functions without effect. */
static inline void prefetch(const void *p)
{
	__asm__ volatile("" : : "r"(p));
	__builtin_prefetch(p);
}

#endif
