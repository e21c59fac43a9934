/* A vhost-user frontend and its virtio-net driver in one: what QEMU and a guest's kernel are to a
 * backend, in a few hundred lines and without either.  Tests and benchmarks use it as the guest.
 *
 * It is an independent reading of the vhost-user and virtio 1.2 texts: it shares no header with the
 * backend under test, so that one misreading cannot hide in both.
 *
 *	fe_init			guest memory (memfds), nothing said yet
 *	fe_connect		dials the backend, or waits for it to dial (cfg.listen)
 *	fe_negotiate		features and protocol features -> fe->features, fe->protocol
 *	fe_share		memory table or slots, dirty log, in-flight region
 *	fe_start		rings laid out, announced, filled, enabled
 *	fe_up			the four above
 *	fe_tx.. fe_rx..		frames;  fe_wait sleeps on call eventfds
 *	fe_stop			GET_VRING_BASE for every ring
 *	fe_disconnect		the socket only: memory and rings stay, fe_up resumes them
 *
 * A test of bad input stops between any two of these, sends what it likes with fe_send() and writes
 * what it likes into the rings: struct fe_ring shows all of their words.
 *
 * Memory: cfg.regions memfds, each at an own guest address with holes between, and behind an offset
 * into its file; frontend addresses are where they are mapped here.  Rings live in region 0,
 *buffers are spread over all.  Sizes come from cfg and are sparse until touched.
 *
 * One thread.  Functions return 0 or a count, or a negative errno with the story in fe->error;
 * -EREMOTEIO means that the backend answered no, -EPROTO that it answered nonsense.  Every wait has
 *a deadline: fe->timeout_ms.  Little-endian hosts only. */
#ifndef TESTS_VHOST_FRONTEND_H
#define TESTS_VHOST_FRONTEND_H

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define FE_REGIONS_MAX 64u
#define FE_PAIRS_MAX   64u
#define FE_PIECES_MAX  300u /* of one received frame, and descriptors of one chain */
#define FE_FDS_MAX     32u
#define FE_PAYLOAD_MAX 4096u
#define FE_PAGE	       4096u

enum fe_request {
	FE_GET_FEATURES = 1,
	FE_SET_FEATURES,
	FE_SET_OWNER,
	FE_RESET_OWNER,
	FE_SET_MEM_TABLE,
	FE_SET_LOG_BASE,
	FE_SET_LOG_FD,
	FE_SET_VRING_NUM,
	FE_SET_VRING_ADDR,
	FE_SET_VRING_BASE,
	FE_GET_VRING_BASE,
	FE_SET_VRING_KICK,
	FE_SET_VRING_CALL,
	FE_SET_VRING_ERR,
	FE_GET_PROTOCOL_FEATURES,
	FE_SET_PROTOCOL_FEATURES,
	FE_GET_QUEUE_NUM,
	FE_SET_VRING_ENABLE,
	FE_SEND_RARP,
	FE_NET_SET_MTU,
	FE_SET_BACKEND_REQ_FD,
	FE_IOTLB_MSG,
	FE_SET_VRING_ENDIAN,
	FE_GET_CONFIG,
	FE_SET_CONFIG,
	FE_GET_INFLIGHT_FD = 31,
	FE_SET_INFLIGHT_FD,
	FE_RESET_DEVICE = 34,
	FE_VRING_KICK,
	FE_GET_MAX_MEM_SLOTS,
	FE_ADD_MEM_REG,
	FE_REM_MEM_REG,
	FE_SET_STATUS,
	FE_GET_STATUS,
};

/* protocol features, as bits */
#define FE_P_MQ		  (1ull << 0)
#define FE_P_LOG_SHMFD	  (1ull << 1)
#define FE_P_RARP	  (1ull << 2)
#define FE_P_REPLY_ACK	  (1ull << 3)
#define FE_P_NET_MTU	  (1ull << 4)
#define FE_P_BACKEND_REQ  (1ull << 5)
#define FE_P_CONFIG	  (1ull << 9)
#define FE_P_INFLIGHT	  (1ull << 12)
#define FE_P_RESET_DEVICE (1ull << 13)
#define FE_P_MEM_SLOTS	  (1ull << 15)
#define FE_P_STATUS	  (1ull << 16)
#define FE_P_ALL                                                                                   \
	(FE_P_MQ | FE_P_LOG_SHMFD | FE_P_RARP | FE_P_REPLY_ACK | FE_P_NET_MTU | FE_P_BACKEND_REQ | \
	 FE_P_CONFIG | FE_P_INFLIGHT | FE_P_RESET_DEVICE | FE_P_MEM_SLOTS | FE_P_STATUS)

/* features that linux/virtio_*.h of Debian 12 does not name, or names by number */
#define FE_BIT(n)	    (1ull << (n))
#define FE_F_LOG_ALL	    FE_BIT(26)
#define FE_F_PROTOCOL	    FE_BIT(30)
#define FE_F_USO	    (FE_BIT(54) | FE_BIT(55) | FE_BIT(56))
#define FE_F_HOST_USO	    FE_BIT(56)
#define FE_GSO_UDP_L4	    5
#define FE_FLAG_VERSION	    1u
#define FE_FLAG_REPLY	    (1u << 2)
#define FE_FLAG_NEED_REPLY  (1u << 3)
#define FE_VRING_NOFD	    (1u << 8) /* in the u64 of SET_VRING_KICK/CALL/ERR */
#define FE_VRING_F_LOG	    1u
#define FE_STATUS_DRIVER_OK 0x0f /* ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK */

struct fe_msg {
	uint32_t request, flags, size;
	union {
		uint64_t u64;
		struct {
			uint32_t index, num;
		} state;
		struct {
			uint32_t index, flags;
			uint64_t desc, used, avail, log; /* frontend addresses; log: guest's */
		} addr;
		struct {
			uint32_t n, pad;
			struct fe_wire_region {
				uint64_t gpa, size, uva, offset;
			} region[FE_REGIONS_MAX];
		} mem;
		struct {
			uint64_t pad;
			struct fe_wire_region region;
		} slot;
		struct {
			uint64_t size, offset;
		} log;
		struct {
			uint64_t size, offset;
			uint16_t queues, queue_size;
		} inflight;
		struct {
			uint32_t offset, size, flags;
			uint8_t data[256];
		} config;
		uint8_t raw[FE_PAYLOAD_MAX];
	};
} __attribute__((packed));
#define FE_HDR_SIZE offsetof(struct fe_msg, u64)
_Static_assert(FE_HDR_SIZE == 12, "vhost-user header");

struct fe_config {
	const char *path;
	bool listen;		 /* the backend dials us */
	unsigned pairs;		 /* 1 when 0 */
	unsigned size;		 /* of each ring, 256 when 0 */
	uint64_t features;	 /* wanted; fe_features_default() */
	uint64_t protocol;	 /* wanted, FE_P_... */
	unsigned regions;	 /* 1 when 0 */
	uint32_t rx_buf, tx_buf; /* bytes, header included; 0: 4096 mergeable, else 66 KB; 66 KB */
	unsigned rx_split;	 /* descriptors of one receive buffer, 1 when 0 */
	unsigned tx_split; /* descriptors of one sent frame, the header in the first; 1 when 0 */
	bool no_indirect;  /* chains even where indirect tables were negotiated */
	bool no_kick, no_call; /* "polling": no eventfd given */
	uint16_t mtu;	       /* NET_SET_MTU when not 0 */
	bool inflight, log;    /* set up by fe_share */
	bool seal;	       /* memfds sealed against shrinking, as QEMU does */
};

struct fe_region {
	uint64_t gpa, size, offset;
	uint8_t *base;
	size_t used; /* what fe_alloc gave out */
	int fd;
};

/* One virtqueue as its driver sees it.  Shared words first. */
struct fe_ring {
	unsigned index, size;
	struct vring_desc *desc; /* split */
	struct vring_avail *avail;
	struct vring_used *used;
	struct vring_packed_desc *pdesc; /* packed */
	struct vring_packed_desc_event *driver, *device;
	uint64_t desc_gpa, avail_gpa, used_gpa; /* packed: descriptors, driver's, device's area */
	int kick, call, err;
	bool packed, event_idx, in_order;
	/* the driver's own state */
	struct fe_slot {
		uint32_t token;
		uint16_t descs, next;
		bool busy;
	} * slot;
	uint16_t *fifo; /* heads in the order they were made available, for in-order devices */
	uint16_t fifo_in, fifo_out;
	uint16_t free_head, free_tail;
	unsigned free, heads;	      /* places; and heads in the list */
	int32_t batch;		      /* the head that ends an in-order batch, -1 outside one */
	uint16_t avail_idx, used_idx; /* packed: positions in the ring */
	bool avail_wrap, used_wrap;
	uint16_t kicked; /* split: avail_idx at the last kick */
	unsigned since_kick;
	void *table; /* indirect tables, FE_TABLE entries for each head */
	uint64_t table_gpa;
	uint64_t kicks, calls;
};
#define FE_TABLE 64u

struct fe_seg {
	uint64_t gpa;
	uint32_t len;
	bool write; /* by the device */
};

struct fe_pair {
	struct fe_ring rx, tx;
	uint8_t **rx_at, **tx_at; /* buffers, and where the backend finds them */
	uint64_t *rx_gpa, *tx_gpa;
	uint32_t *tx_free; /* a stack: the warmest buffer is used next */
	unsigned tx_nfree;
	uint64_t rx_frames, rx_bytes, tx_frames, tx_bytes, tx_full;
};

struct fe {
	struct fe_config cfg;
	int sock, listener, backend_req;
	int timeout_ms;
	uint64_t offered, features, offered_protocol, protocol;
	unsigned queue_max, slots_max;
	unsigned hdr_len; /* of virtio_net_hdr: 12, or 10 for an old driver without mergeable
			     buffers */
	unsigned nregions;
	struct fe_region region[FE_REGIONS_MAX];
	bool laid_out; /* rings exist from an earlier connection */
	struct fe_pair pair[FE_PAIRS_MAX];
	int inflight_fd;
	uint64_t inflight_size, inflight_offset;
	int log_fd;
	uint8_t *log;
	size_t log_size;
	char error[200];
};

/* A received frame, in place until fe_rx_done. */
struct fe_frame {
	struct virtio_net_hdr_mrg_rxbuf hdr;
	uint32_t len; /* without the header */
	unsigned n;
	struct iovec iov[FE_PIECES_MAX];
	uint32_t token[FE_PIECES_MAX];
	uint8_t *raw; /* the header in place */
};

uint64_t fe_features_default(void); /* all that a Linux guest would want, split rings */

int fe_init(struct fe *fe, const struct fe_config *cfg);
void fe_fini(struct fe *fe);
int fe_connect(struct fe *fe);
int fe_negotiate(struct fe *fe);
int fe_share(struct fe *fe);
int fe_start(struct fe *fe);
int fe_up(struct fe *fe);
int fe_stop(struct fe *fe);
void fe_disconnect(struct fe *fe);
bool fe_alive(const struct fe *fe); /* the backend has not hung up */
int64_t fe_now_ns(void);

/* Messages.  fe_send takes any header and any fds; fe_ask sends and reads the answer into `m`;
 * fe_tell sends and, with REPLY_ACK, wants the acknowledgement. */
int fe_send(struct fe *fe, const struct fe_msg *m, const int *fds, unsigned nfds);
int fe_send_bytes(struct fe *fe, const void *bytes, size_t len, const int *fds, unsigned nfds);
int fe_recv(struct fe *fe, struct fe_msg *m, int *fds, unsigned *nfds);
int fe_ask(struct fe *fe, struct fe_msg *m, int *ret_fd);
int fe_tell(struct fe *fe, struct fe_msg *m, const int *fds, unsigned nfds);
int fe_tell_u64(struct fe *fe, uint32_t request, uint64_t value, int fd);
int fe_sync(struct fe *fe); /* a round trip: what was sent before has been read */

/* Single steps, for tests of their order. */
int fe_set_features(struct fe *fe, uint64_t features);
int fe_send_memory(struct fe *fe);
int fe_add_region(struct fe *fe, const struct fe_region *r);
int fe_del_region(struct fe *fe, const struct fe_region *r);
int fe_ring_setup(struct fe *fe, struct fe_ring *r); /* NUM, BASE, ADDR, ERR, CALL, KICK */
int fe_ring_addr(struct fe *fe, struct fe_ring *r);  /* ADDR alone: the log flag changed */
int fe_ring_enable(struct fe *fe, struct fe_ring *r, bool on);
int fe_ring_stop(struct fe *fe, struct fe_ring *r, uint32_t *ret_base);
int fe_send_rarp(struct fe *fe, const uint8_t mac[6]);
int fe_set_mtu(struct fe *fe, uint16_t mtu);
int fe_get_config(struct fe *fe, void *buf, size_t len);
int fe_inflight_get(struct fe *fe);
int fe_inflight_set(struct fe *fe);
int fe_reset_device(struct fe *fe);
int fe_status(struct fe *fe, uint8_t *ret_status);
/* A request of the backend's, when BACKEND_REQ was negotiated: 1 and the message, 0 none. */
int fe_backend_request(struct fe *fe, struct fe_msg *m);

/* Dirty log: switches logging on or off in a running device; pages by guest address. */
int fe_log_set(struct fe *fe, bool on);
bool fe_log_dirty(const struct fe *fe, uint64_t gpa, uint64_t len); /* every page of it */
size_t fe_log_count(const struct fe *fe);
void fe_log_clear(struct fe *fe);

/* Guest memory. */
void *fe_alloc(struct fe *fe, unsigned region, size_t size, size_t align, uint64_t *ret_gpa);
void *fe_at(struct fe *fe, uint64_t gpa);
struct fe_ring *fe_ring(struct fe *fe, unsigned index); /* 2 * pair: rx, 2 * pair + 1: tx */

/* Rings.  A token (below the ring's size) names the buffer when it comes back. */
int fe_ring_add(struct fe_ring *r, const struct fe_seg *seg, unsigned n, uint32_t token,
		bool indirect);
void fe_ring_publish(struct fe_ring *r);
bool fe_ring_kick(struct fe_ring *r); /* when the device wants it; true when it did */
void fe_ring_kick_now(struct fe_ring *r);
bool fe_ring_pending(const struct fe_ring *r);
int fe_ring_get(struct fe_ring *r, uint32_t *ret_token, uint32_t *ret_len);
void fe_ring_arm(struct fe_ring *r, bool on); /* whether the device should call */
int fe_ring_layout(struct fe *fe, struct fe_ring *r, unsigned index);
void fe_ring_restart(struct fe *fe, struct fe_ring *r); /* forgets all, memory zeroed */
uint32_t fe_ring_base(const struct fe_ring *r);		/* for SET_VRING_BASE */
void fe_ring_free(struct fe_ring *r);

/* Frames.  Sending: fe_tx_buffer gives fe->hdr_len bytes of header and room for the frame behind,
 * NULL when all are out; fe_tx_commit queues it; fe_tx_flush publishes and kicks.
 * Receiving: fe_rx gives 1 frame, 0 none, or -EPROTO; fe_rx_done gives its buffers back,
 * fe_rx_flush publishes them. */
uint8_t *fe_tx_buffer(struct fe *fe, unsigned pair);
int fe_tx_commit(struct fe *fe, unsigned pair, uint32_t frame_len);
int fe_tx(struct fe *fe, unsigned pair, const struct virtio_net_hdr *hdr, const void *frame,
	  uint32_t len); /* by copy; hdr may be NULL; -ENOBUFS when full */
void fe_tx_flush(struct fe *fe, unsigned pair);
int fe_tx_reap(struct fe *fe, unsigned pair);
int fe_rx(struct fe *fe, unsigned pair, struct fe_frame *f);
void fe_rx_done(struct fe *fe, unsigned pair, struct fe_frame *f);
void fe_rx_flush(struct fe *fe, unsigned pair);
uint32_t fe_frame_copy(const struct fe_frame *f, void *to, uint32_t cap);
/* Sleeps until a receive ring has something (1), or timeout_ms passed (0). */
int fe_wait(struct fe *fe, int timeout_ms);

#endif
