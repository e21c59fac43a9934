/* The port contract: how anything attaches to the switch.
 *
 * A backend (tap/, nat/, a test) makes its own object, fills a port_ops table and
 * calls sw_port_add(); from then on the switch calls it through the table and it
 * calls the switch through the functions at the end.  A port's life:
 *
 *	sw_port_add()   main    listed, link down, no worker calls it
 *	port_start(fd)  main    link up: its worker polls fd, calls rx_burst and tx_burst
 *	port_stop()     main    link down again; when it returns no worker is inside
 *	                        the port or will enter it, and the fd may be closed
 *	sw_port_del()   main    stop, ops->close, forgotten; index reused with a new generation
 *
 * A port whose other side is not there yet (a stream that dials, an interface that
 * does not exist) stays stopped and starts when it can; it may start and stop many
 * times.  What happens on the worker and needs main (end of file, a new member) is
 * told with port_event(), and comes back as ops->event on the main thread.
 *
 * Member ports: one backend object with many peers (dgram) adds a port for each with
 * port_member_new(), from the worker, and sets pkt->in_port to it in rx_burst.
 * A member shares its parent's ops, priv and fd, has its own peer pointer,
 * counters, generation and limits, and is never started itself: it runs while its
 * parent does.
 *
 * Queues.  A port receives through one queue or, when its caps say so, through several
 * (a guest with multi-queue), each polled by a worker of its own: port_start() starts
 * queue 0 with its fd; a port that starts with fd -1 may start its queues one by one with
 * port_queue_start().  A queue is either told of by its fd being readable, or, when the
 * port has the arm op, polled while packets flow and watched, edge-triggered, only after
 * arm() has found nothing waiting.
 *
 * With several workers each port and each queue belongs to one; frames for a port of
 * another worker go there by a ring, unless tx_any says that the port sorts it out.
 *
 * A port that does not drain is dropped to (TX_FULL) and never waited for. */
#ifndef SWITCH_PORT_H
#define SWITCH_PORT_H

#include "net/counter.h"
#include "net/pkt.h"
#include "net/types.h"
#include "vlan/vlan.h"

struct sw;
struct worker;
struct port;
struct port_conf;

#define PORT_NAME_MAX 96 /* with the terminating zero; "PARENT/PEER" for members */

/* One packet offered to a port. */
struct pkt_out {
	struct pkt *pkt;
	struct vlan_tag tag; /* to leave with; tpid 0 = untagged */
	uint8_t drop;        /* set by tx_burst when not sent: enum drop_reason */
	bool taken;          /* set by tx_burst when it keeps pkt (never when PKT_SHARED) */
	uint8_t slot;        /* the pipeline's own */
};

struct port_caps {
	unsigned offloads; /* enum pkt_offload the port takes on tx; fixed while started */
	uint32_t mtu;      /* largest L3 payload on tx; 0 = 65535 */
	uint16_t queues;   /* for rx, at most PORT_QUEUES_MAX; 0 = 1; as given to sw_port_add() */
};

#define PORT_QUEUES_MAX 64u

/* Receives one "key: value" of describe. */
typedef void port_describe_fn(void *arg, const char *key, const char *value);

struct port_ops {
	const char *type; /* "tap", "dgram", ... as in the config; never NULL */

	/* Frames come from and go to members only; the port itself is never sent to. */
	bool members;
	/* tx_burst may be called by several workers at once. */
	bool tx_any;
	/* The port belongs to worker 0 (gateways and uplinks: they share the NAT's tables);
	 * others are spread over the workers. */
	bool on_first_worker;

	/* Worker; does not block; may not be NULL unless the port never starts with an fd.
	 * Takes up to `max` (<= PKT_BURST) frames from the pool and returns how many; fewer
	 * than max means the source is dry for now.  Frames it must refuse are returned
	 * too, with pkt->drop set, so that they are counted; where not even a packet could
	 * be had, port_rx_lost().  It stops early after PORT_RX_BYTES so that what it read
	 * is still in the cache when it is sent.  It fills head, len, head_len, tail, vnet,
	 * and tag when the kernel delivered the tag beside the frame.  A tail may be memory
	 * that the port takes back in rx_done: PKT_BORROWED is set then.  `queue` is 0 unless
	 * caps.queues says there are more. */
	unsigned (*rx_burst)(struct port *p, unsigned queue, struct worker *w, struct pkt **out,
			     unsigned max);
	/* Worker; optional: everything the last rx_burst of this queue returned (and it was not 0) has
	 * been sent or copied. */
	void (*rx_done)(struct port *p, unsigned queue, struct worker *w);

	/* Worker; optional, both or none.  disarm: the queue is polled from now on, its fd need
	 * not be written.  arm: ask for the fd to be written when something comes, then look
	 * again: true when something waits already, and the queue stays polled. */
	bool (*arm)(struct port *p, unsigned queue, struct worker *w);
	void (*disarm)(struct port *p, unsigned queue, struct worker *w);

	/* Worker; does not block, must accept any n <= PKT_BURST.  Every frame fits caps.
	 * Sends or sets drop for each entry; does not count (the switch does).  May write to
	 * or take packets that are not PKT_SHARED, else reads only. */
	void (*tx_burst)(struct port *p, struct worker *w, struct pkt_out *v, unsigned n);

	/* Worker; optional.  Called when `now` reaches what the last call returned (at first
	 * soon after the start); 0 = not again until port_tick_at(). */
	nsec_t (*tick)(struct port *p, struct worker *w, nsec_t now);

	/* Worker; optional: the fd given to port_watch_write() takes data again. */
	void (*writable)(struct port *p, struct worker *w);

	/* Worker, between two bursts; optional: port_rx_lost() for what the kernel has dropped
	 * by itself, before a picture of the counters is taken. */
	void (*collect)(struct port *p);

	/* Main; optional: what port_event(p, code) said.  p may be a member. */
	void (*event)(struct port *p, unsigned code);

	/* Main; optional: port_set_conf() has replaced the conf; this is the new one. */
	void (*conf_changed)(struct port *p, const struct port_conf *conf);

	/* Main; optional: more lines for `port show`. */
	void (*describe)(struct port *p, port_describe_fn *fn, void *arg);

	/* Main; frees the backend's object (p->priv).  Called once, after port_stop(), also
	 * when the port never started; for a member it frees only p->peer. */
	void (*close)(struct port *p);
};

#define PORT_RX_BYTES (192u * 1024)

/* Each worker counts for itself; every frame in exactly one of each group. */
struct port_counters {
	counter rx_packets, rx_bytes, rx_segments;       /* = forwarded + flooded + consumed + rx_drop[] */
	counter forwarded, flooded, consumed;
	counter rx_drop[DROP_COUNT];
	counter offered;                                 /* = tx_packets + tx_drop[] */
	counter tx_packets, tx_bytes, tx_segments;
	counter tx_drop[DROP_COUNT];
	counter mac_moves;
};

/* What forwarding needs to know; replaced as a whole by port_set_conf(). */
struct port_conf {
	struct port_vlan vlan;
	domain_idx domain;  /* when not DOMAIN_NONE: untagged frames are in it, no others pass */
	uint32_t max_macs;  /* 0 = no limit of its own */
	bool isolated;      /* exchanges nothing with other isolated ports */
	bool known_only;    /* gets no unknown unicast: its addresses are in the FDB for good */
	bool one_peer;      /* a port with members takes one at a time */
	bool admin_down;
	uint32_t mtu; /* of the network, for backends that tell their guests; 0 = not known */
};

/* A receive queue; the switch's own. */
struct outq;

struct rxq {
	struct port *port;
	uint16_t idx;
	bool ready;
	uint32_t polled; /* poll.c: 1 + its place there; 0 = none */
	uint32_t dry;	 /* poll.c: empty rounds */
	int fd;
	struct worker *worker; /* while started */
	struct rxq *next_ready;
	_Atomic uint64_t wakes; /* how often the fd was found written */
};

struct port {
	const struct port_ops *ops;
	void *priv; /* the backend's object */
	void *peer; /* a member's own part of it; NULL otherwise */
	struct sw *sw;
	struct port *parent; /* NULL unless a member (of a dgram socket or a name pattern) */
	port_idx idx;
	char name[PORT_NAME_MAX];
	bool hidden; /* gateways and uplinks: in `counters`, not in `port list` */
	struct port_caps caps;
	_Atomic(const struct port_conf *) conf;
	_Atomic bool running;
	struct port_counters *c; /* one for each worker, see port_counters_here() */
	/* -- the switch's own -- */
	struct worker *worker; /* that the port belongs to */
	struct outq *outq;     /* one for each worker */
	uint16_t n_rxq;
	struct rxq *rxq;
	nsec_t tick_due; /* 0: none */
	/* Main's part of c, which takes it in while main waits for a picture of the counters. */
	uint64_t slow_lost;                  /* sw_slow_down() found the ring full */
	uint64_t refused[DROP_COUNT];        /* sw_slow_refuse() */
	uint64_t refused_bytes;
	_Atomic unsigned events;
	struct port *next_event;
};

/* ---- main thread ---- */

/* Adds a port; conf is copied.  hidden ports are the switch's own.  *ret_port is valid
 * until sw_port_del().  -EEXIST, -ENOSPC, -ENOMEM, -ENAMETOOLONG; on failure the backend's
 * object stays the caller's. */
int sw_port_add(struct sw *sw, const char *name, const struct port_ops *ops, void *priv,
		const struct port_conf *conf, struct port_caps caps, bool hidden,
		struct port *parent, struct port **ret_port);
void sw_port_del(struct port *p); /* and its members; accepts NULL */
/* fd: polled for reading by the worker; -1 for ports that only transmit or are fed by
 * worker_inject(). */
int port_start(struct port *p, int fd);
void port_stop(struct port *p); /* its queues too; fine when not running */
/* A queue of a running port: polled from now on, or no longer when it returns.  Every queue
 * is looked at once after its start.  The fd stays the caller's. */
int port_queue_start(struct port *p, unsigned queue, int fd); /* -EALREADY */
void port_queue_stop(struct port *p, unsigned queue);         /* fine when not started */
int port_set_conf(struct port *p, const struct port_conf *conf); /* and all under it */
void port_set_caps(struct port *p, struct port_caps caps);       /* only while stopped */
struct port *sw_port_find(struct sw *sw, const char *name);      /* NULL when there is none */
struct port *sw_port_at(struct sw *sw, port_idx i);              /* NULL for an empty slot */
port_idx sw_port_count(struct sw *sw);                           /* highest index in use + 1 */

/* ---- worker ---- */

/* Asks main to call ops->event(p, code); codes are bits 0..15 and are merged.  The event
 * is delivered before any packet that is sent to main after it. */
void port_event(struct port *p, unsigned code);
/* A member for a new peer; the name becomes "PARENT/peername", made unique.  -ENOSPC when the port has
 * `limit` members or the switch is full.  It takes the registry lock: rare by nature. */
int port_member_new(struct port *parent, const char *peername, void *peer, unsigned limit,
		    struct port **ret_port);
/* Ends a member: main removes it soon; until then it drops with TX_GONE. */
void port_member_end(struct port *member);
/* n frames (bytes in all) were lost before they became packets. */
void port_rx_lost(struct port *p, enum drop_reason why, unsigned n, size_t bytes);
/* A frame that tx_burst had taken is lost after all: moves it from tx to tx_drop[why]. */
void port_tx_undo(struct port *p, enum drop_reason why, size_t bytes);
void port_tick_at(struct port *p, struct worker *w, nsec_t when);
/* Calls ops->writable(p) once, when fd is next writable; ask again for more.  fd must not be
 * the one given to port_start() (dup it); closing it, and what it is a dup of, on the
 * worker ends the watch.  -errno. */
int port_watch_write(struct port *p, struct worker *w, int fd);

#endif
