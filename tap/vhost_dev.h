/* A virtio network device as a vhost-user frontend sees it: what each message does.
 *
 * The device is what one connection has told us: features, memory, rings, log.  It begins
 * empty with every connection (vhost_dev_init) and leaves nothing behind at its end
 * (vhost_dev_reset).  Whoever owns it (tap/vhost_user.c) receives the messages, hands them
 * in one by one, and lets workers use the rings that the device says may be used.
 *
 * A ring lives in two steps.  It *runs* when it has features, memory, a size, addresses and
 * a kick descriptor (or the word that there is none), is enabled, and vring_start() found
 * it sound; then it is handed to the workers with ops->attach.  Whatever changes something
 * a worker may be looking at (memory, log, descriptors, features) first parks the rings that use it: detach,
 * wait until no worker is inside, vring_stop(), which yields the base to go on from.  So a
 * status is never sent before the workers have let go, and nothing is touched after the
 * reply to GET_VRING_BASE.
 *
 * Rings start enabled when PROTOCOL_FEATURES was not negotiated, else when they are told.
 * A change of features, but for LOG_ALL, resets rings that run: they wait for a kick descriptor again.
 * RESET_OWNER does nothing; RESET_DEVICE and status 0 stop the rings and keep the memory,
 * because QEMU sends only what changes of it.
 *
 * A message that asks for what cannot be is refused: with a status other than zero when one
 * was asked for, with a reply that says so (GET_CONFIG: no bytes), else by ending the connection.
 * The backend's channel.  We say one thing on it: CONFIG_CHANGE_MSG, and never wait for an answer.  What
 * comes back is thrown away when the next one is sent, and not looked at before, so that a
 * frontend that stuffs it fills its own buffer.  Where that does not drain, messages of the same
 * kind are unread in it, and one more would say nothing new.
 *
 * Main thread, but for what struct vhost_ring says. */
#ifndef TAP_VHOST_DEV_H
#define TAP_VHOST_DEV_H

#include "net/counter.h"
#include "tap/vhost_msg.h"
#include "tap/vring.h"

#define VHOST_PAIRS_MAX PORT_QUEUES_MAX

/* Bits of GET_FEATURES, beside those of vring.h.  X(ENUM, bit, "name") */
#define VHOST_FEATURES(X)                                                                          \
	X(CSUM, 0, "csum")                                                                         \
	X(GUEST_CSUM, 1, "guest-csum")                                                             \
	X(MTU, 3, "mtu")                                                                           \
	X(MAC, 5, "mac")                                                                           \
	X(GUEST_TSO4, 7, "guest-tso4")                                                             \
	X(GUEST_TSO6, 8, "guest-tso6")                                                             \
	X(GUEST_ECN, 9, "guest-ecn")                                                               \
	X(HOST_TSO4, 11, "host-tso4")                                                              \
	X(HOST_TSO6, 12, "host-tso6")                                                              \
	X(HOST_ECN, 13, "host-ecn")                                                                \
	X(MRG_RXBUF, 15, "mrg-rxbuf")                                                              \
	X(STATUS, 16, "status")                                                                    \
	X(CTRL_VQ, 17, "ctrl-vq")                                                                  \
	X(CTRL_RX, 18, "ctrl-rx")                                                                  \
	X(GUEST_ANNOUNCE, 21, "guest-announce")                                                    \
	X(MQ, 22, "mq")                                                                            \
	X(LOG_ALL, 26, "log-all")                                                                  \
	X(ANY_LAYOUT, 27, "any-layout")                                                            \
	X(INDIRECT_DESC, 28, "indirect-desc")                                                      \
	X(EVENT_IDX, 29, "event-idx")                                                              \
	X(PROTOCOL_FEATURES, 30, "protocol-features")                                              \
	X(VERSION_1, 32, "version-1")                                                              \
	X(RING_PACKED, 34, "ring-packed")                                                          \
	X(IN_ORDER, 35, "in-order")                                                                \
	X(GUEST_USO4, 54, "guest-uso4")                                                            \
	X(GUEST_USO6, 55, "guest-uso6")                                                            \
	X(HOST_USO, 56, "host-uso")
enum vhost_feature {
#define X(id, bit, name) VHOST_F_##id = bit,
	VHOST_FEATURES(X)
#undef X
};

/* Bits of GET_PROTOCOL_FEATURES: exactly these are offered, CONFIG unless conf says not to. */
#define VHOST_PROTOCOL_FEATURES(X)                                                                 \
	X(MQ, 0, "mq")                                                                             \
	X(LOG_SHMFD, 1, "log-shmfd")                                                               \
	X(RARP, 2, "rarp")                                                                         \
	X(REPLY_ACK, 3, "reply-ack")                                                               \
	X(NET_MTU, 4, "net-mtu")                                                                   \
	X(BACKEND_REQ, 5, "backend-req")                                                           \
	X(CONFIG, 9, "config")                                                                     \
	X(INFLIGHT_SHMFD, 12, "inflight-shmfd")                                                    \
	X(RESET_DEVICE, 13, "reset-device")                                                        \
	X(CONFIGURE_MEM_SLOTS, 15, "configure-mem-slots")                                          \
	X(STATUS, 16, "status")
enum vhost_protocol_feature {
#define X(id, bit, name) VHOST_PF_##id = bit,
	VHOST_PROTOCOL_FEATURES(X)
#undef X
};

/* "csum guest-csum ..." of a set of bits, cut at len. */
void vhost_features_text(uint64_t features, char *buf, size_t len);
void vhost_protocol_text(uint64_t features, char *buf, size_t len);

struct vhost_ring {
	/* main's */
	unsigned index; /* even: to the guest, odd: from it */
	bool enabled, kicked, has_addr, running;
	int kick, call, err; /* -1 */
	struct vring_conf conf; /* base: where it goes on while it does not run */
	const char *why;	/* it should run and cannot, for this reason; NULL */
	uint64_t calls;		/* to the driver, before its last start */
	/* a worker's while it is attached, under `lock` where several may send */
	struct vring q;
	nsec_t behind_since; /* from the guest: vring_let_go(); 0 = it is not */
	_Atomic bool ready; /* to the guest: tx_burst may use it */
	_Atomic bool lock;
};

struct vhost_dev_conf {
	unsigned pairs; /* of rings, 1 to VHOST_PAIRS_MAX */
	uint32_t mtu;	/* that guests are told; 0: 1500 */
	bool link_down; /* that guests are told */
	bool no_config; /* CONFIG is not offered: QEMU 7.1.0 to early 7.2 die of it */
	bool has_mac;
	struct mac mac;
};

struct vhost_dev_ops {
	/* r runs: let a worker have it.  -errno: it is stopped again. */
	int (*attach)(void *arg, struct vhost_ring *r);
	void (*detach)(void *arg, struct vhost_ring *r);
	/* Returns when no worker is inside a ring detached before. */
	void (*quiesce)(void *arg);
	/* No ring is attached: after a message that left none, or because what the port can
	 * take (vhost_dev_offloads, mtu) is about to change. */
	void (*down)(void *arg);
	void (*rarp)(void *arg, struct mac m);
};

struct vhost_dev {
	const struct vhost_dev_ops *ops;
	void *arg;
	struct vhost_dev_conf conf;
	unsigned n_rings, n_running;
	struct vhost_ring *ring; /* kept for all the device's life */
	uint64_t features, protocol;
	bool has_features, owned; /* SET_OWNER: the frontend means it */
	uint8_t status;
	uint32_t mtu; /* NET_SET_MTU; 0 */
	struct vhost_mem *mem;
	struct vhost_log log;
	struct vhost_shm inflight;
	uint16_t inflight_queues;
	uint32_t inflight_each;
	int backend_fd; /* SET_BACKEND_REQ_FD; -1 */
	int reply_fd;	/* goes with the reply being made; -1 */
	const char *nack; /* why the last message was answered with a failure; NULL: it was not */
};

int vhost_dev_init(struct vhost_dev *d, const struct vhost_dev_conf *c,
		   const struct vhost_dev_ops *ops, void *arg); /* -ENOMEM, -EINVAL */
void vhost_dev_reset(struct vhost_dev *d); /* to the state after init: a connection has ended */
void vhost_dev_fini(struct vhost_dev *d);

/* Does what m says, answers it on `sock` if it is to be answered, and closes its
 * descriptors.  -errno: the connection must end, for the reason in *ret_why. */
int vhost_dev_handle(struct vhost_dev *d, struct vhost_msg *m, int sock, const char **ret_why);

/* What the guest may read of its link is this from now on (mtu 0: 1500).  Its frontend is told when
 * that changes an answer of GET_CONFIG and it has given us a channel to say so. */
void vhost_dev_link(struct vhost_dev *d, bool up, uint32_t mtu);
uint64_t vhost_dev_offered(const struct vhost_dev *d);
unsigned vhost_dev_offloads(const struct vhost_dev *d); /* enum pkt_offload the guest takes */
/* Why the connection must end, when a file of the frontend's was cut short and that was met; NULL. */
const char *vhost_dev_broken(const struct vhost_dev *d);
/* Tells the frontend, by the err descriptors of the rings that run, that something is wrong. */
void vhost_dev_signal_err(struct vhost_dev *d);

#endif
