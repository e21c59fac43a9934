/* A virtqueue of a network device, seen from the device: split (virtio 1.2 2.7) and packed
 * (2.8) rings in memory that belongs to somebody hostile.
 *
 * Two directions, told by who calls: vring_dequeue() takes what the driver sends (its
 * transmit queue), vring_enqueue() gives it what it receives (its receive queue).  A vring
 * does one of the two for all its life.
 *
 * What is read.  Every word of shared memory is read once, into a local, and only the
 * local is checked and used.  A frame's first VRING_HEAD bytes are copied to the packet's
 * private head; that copy is parsed, policed and sent.  The rest stays where it is
 * until vring_dequeue_done(): tail pieces point into the guest's memory (PKT_BORROWED).
 * Frames up to VRING_HEAD long have no tail.
 *
 * What is believed.  Nothing: see vring_fault.  A fault of the ring itself stops the ring
 * for good (`fault` is set; main re-starts it when the frontend says so); a bad frame in a
 * sound ring is a packet with pkt->drop set.
 *
 * Offloads.  The virtio_net_hdr goes with the packet, as does what the driver expects:
 * flags the driver did not negotiate are refused on dequeue (RX_BAD_OFFLOAD), and never
 * produced on enqueue (the port's caps see to that).
 *
 * Notifications.  vring_disarm() asks the driver not to kick; vring_arm() asks for it and
 * looks again.  Sleeping with a packet waiting is impossible: see vring_arm() in vring.c
 * for the proof.  Calls to the driver are made once a burst, and only if it asked.
 *
 * Order of publication: payload, dirty-log bits, used entries, (their log bits), used index, fence,
 * look at the driver's wish, eventfd.
 *
 * Worker that owns the queue (dequeue), or whoever holds the queue's lock (enqueue); start and stop
 * on main, while no worker is inside. */
#ifndef TAP_VRING_H
#define TAP_VRING_H

#include "net/pkt.h"
#include "switch/port.h"
#include "tap/vhost_mem.h"

#define VRING_SIZE_MAX 32768u /* virtio 1.2 2.7; packed rings too, by our choice */
#define VRING_HEAD     256u   /* bytes of a frame that are copied and policed */

/* Feature bits of virtio 1.2 5.1.3 and 6 that a ring must know. */
#define VRING_F_MRG_RXBUF     15
#define VRING_F_INDIRECT_DESC 28
#define VRING_F_EVENT_IDX     29
#define VRING_F_VERSION_1     32
#define VRING_F_RING_PACKED   34
#define VRING_F_IN_ORDER      35
#define VRING_F_HOST_USO      56

/* Why a ring was stopped.  X(ENUM, "text") */
#define VRING_FAULTS(X)                                                                            \
	X(AVAIL_INDEX, "available index ran ahead by more than the ring's size")                   \
	X(HEAD, "descriptor index outside the ring")                                               \
	X(CHAIN, "descriptor chain that loops or is longer than the ring")                         \
	X(INDIRECT, "indirect table that is nested, misaligned, too long or not in memory")        \
	X(DIRECTION, "descriptor of the wrong direction")                                          \
	X(ADDRESS, "descriptor outside guest memory")                                              \
	X(HEADER, "buffer too short for the network header")                                       \
	X(PACKED_ID, "packed descriptor with a buffer id outside the ring")                        \
	X(MEMORY, "guest memory was taken away")

enum vring_fault {
	VRING_OK = 0,
#define X(id, text) VRING_FAULT_##id,
	VRING_FAULTS(X)
#undef X
		VRING_FAULT_COUNT
};
const char *vring_fault_text(enum vring_fault f);

/* What the frontend said of a ring. */
struct vring_conf {
	uint32_t size;
	uint64_t desc, avail, used; /* uva; packed: descriptors, driver and device event areas */
	bool log_used;		    /* VHOST_VRING_F_LOG: used writes are logged at used_log */
	uint64_t used_log;	    /* gpa; packed: not used, the table tells */
	uint32_t base;		    /* split: last_avail; packed: last_avail | wrap << 15 |
				     * last_used << 16 | wrap << 31 (vhost-user, SET_VRING_BASE),
				     * of which the high half is not believed */
	uint64_t features;	    /* as negotiated */
	int call_fd;		    /* -1: the driver polls; the caller's */
	void *inflight;		    /* this queue's part of the inflight region, or NULL */
	uint32_t inflight_len;
};

/* One descriptor as we read it. */
struct vring_buf {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t next; /* split: of the chain; packed: the buffer id */
};

/* A buffer that is to be given back. */
struct vring_held {
	uint32_t len; /* bytes written to it */
	uint16_t id;
	uint16_t slots; /* packed: descriptors it takes up in the ring */
};
struct vring_scratch; /* room for one burst's pieces and buffers, vring_int.h */

struct vring {
	/* fixed while it runs */
	const struct vhost_mem *mem;
	uint32_t size, mask;
	uint8_t hdr_len; /* 10 or 12 */
	bool packed, event_idx, indirect, mergeable, in_order;
	uint8_t *desc, *avail, *used; /* packed: desc, driver event, device event */
	bool log_used;
	uint64_t used_log; /* gpa; packed: of the descriptors, where used ones are written */
	int call_fd;
	uint64_t features;
	void *inflight;
	/* moving */
	uint16_t last_avail, last_used; /* packed: offsets, with the wrap flags beside */
	bool avail_wrap, used_wrap;
	uint16_t signalled; /* used index at the last look at the driver's wish */
	bool signalled_valid;
	bool armed;		   /* the driver was asked to kick */
	unsigned hint, table_hint; /* of vhost_gpa(): buffers, indirect tables */
	uint64_t taken;		   /* so far: order in the inflight region */
	uint16_t n_held;	   /* taken by dequeue, to be given back by dequeue_done */
	bool streaming, behind;	   /* see vring_let_go() */
	uint16_t let_go, let_go_next; /* bursts to be taken at once; as many the next time */
	enum vring_fault fault;
	_Atomic uint64_t calls;	       /* eventfd writes to the driver */
	struct vring_scratch *scratch; /* one allocation, at start */
};

/* Checks conf against mem and brings the ring to life, disarmed; the caller looks at it once.
 * -EINVAL, -EFAULT (not in memory), -ENOMEM, with a sentence for people.  mem and fds stay the
 * caller's and must outlive vring_stop(). */
int vring_start(struct vring *q, const struct vhost_mem *mem, const struct vring_conf *conf,
		const char **ret_why);
/* Returns the base for GET_VRING_BASE.  Guest memory is not touched by it or after it. */
uint32_t vring_stop(struct vring *q);

/* The driver's frames, at most `max` (<= PKT_BURST) and about PORT_RX_BYTES.  Frames that are
 * refused come with pkt->drop set; lost ones for want of packets are counted in
 * *ret_no_buffer and their descriptors given back all the same.  After a return above 0, or
 * when *ret_no_buffer is, vring_dequeue_done() must follow before the next call. */
unsigned vring_dequeue(struct vring *q, struct pkt_pool *pool, struct pkt **out, unsigned max,
		       unsigned *ret_no_buffer);
/* A driver that streams is followed at a distance of VRING_TRAIL entries (split rings): who reads the
 * line that it is writing takes it away from it, for each entry again, and both are slower (by
 * a third, measured).  What is not older than that waits, and `behind` says so after a vring_dequeue() that
 * returned 0: a caller that has seen it for some microseconds says vring_let_go(), and all of it
 * comes.  When that happens the driver does not stream that much, and for a number of bursts (twice as
 * many each time) the distance is not kept. */
#define VRING_TRAIL 32u
void vring_let_go(struct vring *q);
/* Gives the descriptors back and calls the driver if it wants that. */
void vring_dequeue_done(struct vring *q);
/* Sends v[]: sets drop where a frame found no room (TX_FULL), where it is longer than the one
 * buffer that it may have without MRG_RXBUF (TX_OVERSIZE; the buffer stays for others), or the
 * ring is at fault (TX_GONE).  Never takes a packet.  Publishes and calls once. */
void vring_enqueue(struct vring *q, struct pkt_out *v, unsigned n);

/* Notifications of a ring that is dequeued. */
bool vring_arm(struct vring *q); /* true: something waits, do not sleep */
void vring_disarm(struct vring *q);

#endif
