/* The wire of vhost-user: messages on a UNIX stream socket, file descriptors beside them.
 *
 * A header of 12 bytes {request, flags, size} and `size` bytes of payload, all in the host's
 * byte order.  Flags: version 1 in the two low bits, REPLY, NEED_REPLY.  What each message
 * looks like (sizes, how many descriptors, whether it is answered with a body) is one const
 * table; a message that does not look like its row never reaches the device.
 *
 * Receiving takes what is there and no more: a message is put together over as many calls
 * as its bytes need, and a read never goes beyond it, so that descriptors stay with the
 * message they came with.  Every descriptor that is received is closed by vhost_msg_close()
 * or vhost_rx_fini(), unless somebody took it with vhost_msg_take_fd().
 *
 * Unknown messages are no error of the wire: they come out with kind NULL.
 * Main thread; no clock; no allocation. */
#ifndef TAP_VHOST_MSG_H
#define TAP_VHOST_MSG_H

#include "tap/vhost_mem.h"

#define VHOST_HDR	  12u
#define VHOST_TABLE_MAX	  32u /* regions in one SET_MEM_TABLE: rust-vmm sends up to 32, QEMU 8 */
#define VHOST_FDS_MAX	  VHOST_TABLE_MAX
#define VHOST_CONFIG_MAX  256u
#define VHOST_VRING_NO_FD (UINT64_C(1) << 8) /* of SET_VRING_KICK, CALL and ERR */
#define VHOST_VRING_INDEX UINT64_C(0xff)
#define VHOST_VRING_F_LOG_ 1u /* of SET_VRING_ADDR: writes to the used ring are logged */

enum vhost_flags {
	VHOST_VERSION = 1,
	VHOST_VERSION_MASK = 3,
	VHOST_REPLY = 1 << 2,
	VHOST_NEED_REPLY = 1 << 3,
};

enum vhost_body { /* how it is answered */
	BODY_NONE,    /* with a status, when NEED_REPLY asks */
	BODY_ALWAYS,
};

/* X(ENUM, id, payload min, max, fds min, max, body).  What we refuse (IOTLB, postcopy, device
 * state, shared objects) has no row. */
#define VHOST_MESSAGES(X)                                                                          \
	X(GET_FEATURES, 1, 0, 0, 0, 0, BODY_ALWAYS)                                                \
	X(SET_FEATURES, 2, 8, 8, 0, 0, BODY_NONE)                                                  \
	X(SET_OWNER, 3, 0, 0, 0, 0, BODY_NONE)                                                     \
	X(RESET_OWNER, 4, 0, 0, 0, 0, BODY_NONE)                                                   \
	X(SET_MEM_TABLE, 5, 8, 8 + 32 * VHOST_TABLE_MAX, 0, VHOST_TABLE_MAX, BODY_NONE)            \
	X(SET_LOG_BASE, 6, 16, 16, 1, 1, BODY_ALWAYS)                                              \
	X(SET_LOG_FD, 7, 0, 8, 0, 1, BODY_NONE)                                                    \
	X(SET_VRING_NUM, 8, 8, 8, 0, 0, BODY_NONE)                                                 \
	X(SET_VRING_ADDR, 9, 40, 40, 0, 0, BODY_NONE)                                              \
	X(SET_VRING_BASE, 10, 8, 8, 0, 0, BODY_NONE)                                               \
	X(GET_VRING_BASE, 11, 8, 8, 0, 0, BODY_ALWAYS)                                             \
	X(SET_VRING_KICK, 12, 8, 8, 0, 1, BODY_NONE)                                               \
	X(SET_VRING_CALL, 13, 8, 8, 0, 1, BODY_NONE)                                               \
	X(SET_VRING_ERR, 14, 8, 8, 0, 1, BODY_NONE)                                                \
	X(GET_PROTOCOL_FEATURES, 15, 0, 0, 0, 0, BODY_ALWAYS)                                      \
	X(SET_PROTOCOL_FEATURES, 16, 8, 8, 0, 0, BODY_NONE)                                        \
	X(GET_QUEUE_NUM, 17, 0, 0, 0, 0, BODY_ALWAYS)                                              \
	X(SET_VRING_ENABLE, 18, 8, 8, 0, 0, BODY_NONE)                                             \
	X(SEND_RARP, 19, 8, 8, 0, 0, BODY_NONE)                                                    \
	X(NET_SET_MTU, 20, 8, 8, 0, 0, BODY_NONE)                                                  \
	X(SET_BACKEND_REQ_FD, 21, 0, 0, 1, 1, BODY_NONE)                                           \
	X(GET_CONFIG, 24, 12, 12 + VHOST_CONFIG_MAX, 0, 0, BODY_ALWAYS)                            \
	X(SET_CONFIG, 25, 12, 12 + VHOST_CONFIG_MAX, 0, 0, BODY_NONE)                              \
	X(GET_INFLIGHT_FD, 31, 20, 24, 0, 0, BODY_ALWAYS)                                          \
	X(SET_INFLIGHT_FD, 32, 20, 24, 1, 1, BODY_NONE)                                            \
	X(RESET_DEVICE, 34, 0, 0, 0, 0, BODY_NONE)                                                 \
	X(GET_MAX_MEM_SLOTS, 36, 0, 0, 0, 0, BODY_ALWAYS)                                          \
	X(ADD_MEM_REG, 37, 40, 40, 1, 1, BODY_NONE)                                                \
	X(REM_MEM_REG, 38, 40, 40, 0, 1, BODY_NONE)                                                \
	X(SET_STATUS, 39, 8, 8, 0, 0, BODY_NONE)                                                   \
	X(GET_STATUS, 40, 0, 0, 0, 0, BODY_ALWAYS)

enum vhost_request {
#define X(name, id, ...) VHOST_##name = id,
	VHOST_MESSAGES(X)
#undef X
	VHOST_REQUEST_END = 41,
};

/* What we ask on the backend's own channel (SET_BACKEND_REQ_FD). */
enum vhost_backend_request {
	VHOST_BACKEND_CONFIG_CHANGE_MSG = 2,
};

struct vhost_msg_kind {
	const char *name;
	uint16_t min, max;	 /* of the payload */
	uint8_t fds_min, fds_max;
	uint8_t body;
};
const struct vhost_msg_kind *vhost_msg_kind(uint32_t request); /* NULL: unknown */

/* ---- payloads, as they stand on the wire ---- */

struct vhost_vring_state {
	uint32_t index, num;
};
struct vhost_vring_addr_msg {
	uint32_t index, flags;
	uint64_t desc, used, avail, log;
};
struct vhost_table_msg {
	uint32_t n, padding;
	struct vhost_region_msg r[VHOST_TABLE_MAX];
};
struct vhost_mem_reg_msg {
	uint64_t padding;
	struct vhost_region_msg r;
};
struct vhost_log_msg {
	uint64_t size, offset;
};
struct vhost_config_msg {
	uint32_t offset, size, flags;
	uint8_t bytes[VHOST_CONFIG_MAX];
};
struct vhost_inflight_msg { /* 20 bytes, or 24 with the compiler's padding: both are seen */
	uint64_t size, offset;
	uint16_t num_queues, queue_size;
	uint32_t padding;
};
_Static_assert(sizeof(struct vhost_region_msg) == 32, "on the wire");
_Static_assert(sizeof(struct vhost_vring_addr_msg) == 40, "on the wire");
_Static_assert(sizeof(struct vhost_mem_reg_msg) == 40, "on the wire");
_Static_assert(sizeof(struct vhost_config_msg) == 12 + VHOST_CONFIG_MAX, "on the wire");
_Static_assert(sizeof(struct vhost_inflight_msg) == 24, "on the wire");

union vhost_payload {
	uint64_t u64;
	struct vhost_vring_state state;
	struct vhost_vring_addr_msg addr;
	struct vhost_table_msg table;
	struct vhost_mem_reg_msg region;
	struct vhost_log_msg log;
	struct vhost_config_msg config;
	struct vhost_inflight_msg inflight;
	uint8_t bytes[sizeof(struct vhost_table_msg)];
};
#define VHOST_PAYLOAD_MAX sizeof(union vhost_payload)

struct vhost_msg {
	uint32_t request, flags, size;
	const struct vhost_msg_kind *kind; /* NULL: unknown */
	unsigned n_fds;
	int fd[VHOST_FDS_MAX]; /* -1: taken */
	union vhost_payload u; /* zero beyond size */
};

/* The i-th descriptor, the caller's from now on; -1 when there is none. */
int vhost_msg_take_fd(struct vhost_msg *m, unsigned i);
void vhost_msg_close(struct vhost_msg *m); /* those that nobody took */
/* Whether the frontend waits for a status and nothing else. */
static inline bool vhost_msg_wants_status(const struct vhost_msg *m)
{
	return m->flags & VHOST_NEED_REPLY && !(m->kind && m->kind->body == BODY_ALWAYS);
}

/* ---- receiving ---- */

struct vhost_rx {
	struct vhost_msg msg; /* as far as it has come */
	uint32_t have;	      /* bytes of header and payload */
	uint8_t hdr[VHOST_HDR];
};
void vhost_rx_init(struct vhost_rx *r);
void vhost_rx_fini(struct vhost_rx *r); /* closes what a half message brought */
static inline bool vhost_rx_midway(const struct vhost_rx *r) { return r->have != 0; }
/* Reads from a stream socket, never blocking.  1: *ret_msg is whole, its descriptors the
 * caller's; 0: more must come; -ECONNRESET: the peer is gone; -EPROTO: it does not speak
 * vhost-user (a sentence in *ret_why); other -errno of the socket. */
int vhost_rx(struct vhost_rx *r, int sock, struct vhost_msg *ret_msg, const char **ret_why);

/* ---- answering ---- */

/* Makes `m` the reply to itself, with the `size` bytes at body (NULL: as they stand in m->u).
 * Its descriptors are closed by then. */
void vhost_msg_reply(struct vhost_msg *m, const void *body, uint32_t size);
/* Sends m and, when fd is not -1, that descriptor; never blocks.  -EAGAIN: the frontend does not
 * read (nothing was sent, or only a part: the connection is of no use any more). */
int vhost_msg_send(int sock, const struct vhost_msg *m, int fd);

#endif
