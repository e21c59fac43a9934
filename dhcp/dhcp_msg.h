/* DHCPv4 messages as bytes (RFC 2131 2, RFC 2132, RFC 3396).
 *
 * Parsing gathers the options of the options field and, when option 52 says so, of
 * `file` and `sname`, in that order, into one store: an option that appears several
 * times is the concatenation of its parts (RFC 3396 5).  Pad and end are honoured; a
 * field without end is read to its last byte, since clients exist that forget it; an
 * option that runs past its field makes the whole message malformed.
 *
 * Building writes option 53 first, fills the options field up to the size the client
 * takes, overflows into `file` and `sname` (option 52) when it must, and pads to the 300
 * bytes that BOOTP relays and old clients expect (RFC 1542 2.1).
 *
 * Pure, no allocation, any thread.  Addresses stay big-endian, numbers are host order. */
#ifndef DHCP_DHCP_MSG_H
#define DHCP_DHCP_MSG_H

#include "net/types.h"
#include "net/wire.h"

#define DHCP_SERVER_PORT 67
#define DHCP_CLIENT_PORT 68
#define DHCP_MSG_MAX	 1472u /* 1500 less IPv4 and UDP headers */
#define DHCP_MSG_SMALL	 548u  /* 576 likewise: what every client takes (RFC 2131 2) */
#define DHCP_MSG_PAD	 300u
#define DHCP_HEADER	 240u /* fixed part and magic cookie */

enum dhcp_type { /* RFC 2132 9.6 */
		 DHCP_DISCOVER = 1,
		 DHCP_OFFER,
		 DHCP_REQUEST,
		 DHCP_DECLINE,
		 DHCP_ACK,
		 DHCP_NAK,
		 DHCP_RELEASE,
		 DHCP_INFORM,
};

enum dhcp_code { /* options: RFC 2132 unless said */
		 DHCP_OPT_PAD = 0,
		 DHCP_OPT_MASK = 1,
		 DHCP_OPT_ROUTER = 3,
		 DHCP_OPT_DNS = 6,
		 DHCP_OPT_HOSTNAME = 12,
		 DHCP_OPT_DOMAIN = 15,
		 DHCP_OPT_MTU = 26,
		 DHCP_OPT_BROADCAST = 28,
		 DHCP_OPT_NTP = 42,
		 DHCP_OPT_REQUESTED_IP = 50,
		 DHCP_OPT_LEASE_TIME = 51,
		 DHCP_OPT_OVERLOAD = 52,
		 DHCP_OPT_TYPE = 53,
		 DHCP_OPT_SERVER_ID = 54,
		 DHCP_OPT_PARAM_LIST = 55,
		 DHCP_OPT_MESSAGE = 56,
		 DHCP_OPT_MAX_SIZE = 57,
		 DHCP_OPT_T1 = 58,
		 DHCP_OPT_T2 = 59,
		 DHCP_OPT_CLIENT_ID = 61,
		 DHCP_OPT_TFTP_NAME = 66, /* the protocol's own name for what overload hides */
		 DHCP_OPT_BOOT_FILE = 67,
		 DHCP_OPT_RAPID_COMMIT = 80, /* RFC 4039 */
		 DHCP_OPT_RELAY_INFO = 82,   /* RFC 3046 */
		 DHCP_OPT_SEARCH = 119,	     /* RFC 3397 */
		 DHCP_OPT_ROUTES = 121,	     /* RFC 3442 */
		 DHCP_OPT_END = 255,
};

#define DHCP_HTYPE_ETHERNET 1
#define DHCP_OP_REQUEST	    1
#define DHCP_OP_REPLY	    2
#define DHCP_FLAG_BROADCAST 0x8000u

struct dhcp_msg {
	uint8_t op, htype, hlen, hops;
	uint32_t xid;
	uint16_t secs, flags;
	be32 ciaddr, yiaddr, siaddr, giaddr;
	struct mac chaddr;
	bool cookie; /* false: plain BOOTP, no options */
	struct {
		uint16_t off, len;
		bool present;
	} opt[256];
	uint8_t store[DHCP_MSG_MAX];
};

/* Reads a message of `len` bytes.  -EBADMSG: shorter than a BOOTP header, longer than
 * DHCP_MSG_MAX, not Ethernet addresses, or options cut short. */
int dhcp_msg_parse(const void *bytes, size_t len, struct dhcp_msg *ret_msg);

/* The getters: false (and ret_ untouched) when the option is absent or of the wrong
 * length for its type. */
bool dhcp_msg_has(const struct dhcp_msg *m, uint8_t code);
const uint8_t *dhcp_msg_get(const struct dhcp_msg *m, uint8_t code,
			    size_t *ret_len); /* NULL: absent */
bool dhcp_msg_u8(const struct dhcp_msg *m, uint8_t code, uint8_t *ret_v);
bool dhcp_msg_u16(const struct dhcp_msg *m, uint8_t code, uint16_t *ret_v);
bool dhcp_msg_u32(const struct dhcp_msg *m, uint8_t code, uint32_t *ret_v);
bool dhcp_msg_ip4(const struct dhcp_msg *m, uint8_t code, be32 *ret_addr);
bool dhcp_msg_asks(const struct dhcp_msg *m, uint8_t code); /* option 55 lists it */

/* A message being written. */
struct dhcp_build {
	struct wire main, file, sname;
	size_t max;
	bool full; /* an option had to be left out */
	uint8_t *room;
	uint8_t seen[32]; /* one bit for each code put */
};
/* Starts an answer to `m` in `room` (DHCP_MSG_MAX bytes): op, xid, flags, giaddr, chaddr are
 * copied, option 53 is written.  `max` is the largest length the client takes, clamped to
 * [DHCP_MSG_SMALL, DHCP_MSG_MAX]. */
void dhcp_build_start(struct dhcp_build *b, void *room, size_t max, const struct dhcp_msg *m,
		      enum dhcp_type type, be32 ciaddr, be32 yiaddr, be32 siaddr);
/* Starts a client's message: like an answer, but a request, `m` giving xid, secs, flags and
 * chaddr, and as long as every server takes. */
void dhcp_build_request(struct dhcp_build *b, void *room, const struct dhcp_msg *m,
			enum dhcp_type type, be32 ciaddr);
/* Each puts one option once: a second value for a code is ignored.  Longer than 255 bytes
 * is split (RFC 3396).  What does not fit is left out; b->full tells. */
void dhcp_build_put(struct dhcp_build *b, uint8_t code, const void *data, size_t len);
void dhcp_build_u8(struct dhcp_build *b, uint8_t code, uint8_t v);
void dhcp_build_u16(struct dhcp_build *b, uint8_t code, uint16_t v);
void dhcp_build_u32(struct dhcp_build *b, uint8_t code, uint32_t v);
void dhcp_build_ip4(struct dhcp_build *b, uint8_t code, be32 a);
bool dhcp_build_has(const struct dhcp_build *b, uint8_t code);
/* Ends and pads; returns the length. */
size_t dhcp_build_finish(struct dhcp_build *b);

#endif
