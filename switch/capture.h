/* Captures: copies of frames, with what became of them, for whoever watches.
 *
 * Main starts and stops captures; each has a libpcap filter, a scope (everything, a
 * port with its members, a domain), directions, and whether only losses are of interest.
 * Workers see a set that is published whole; while nobody captures the published pointer
 * is NULL and a packet costs one load.
 *
 * A frame that passes the filter is copied (up to snaplen, its outer tag put back) into a
 * packet of the arena and handed to main by the slow path; nothing is allocated.  When no
 * slot is free, the queue to main is full or a quarter of all packets waits in it, the
 * record is lost and counted: a capture never stops forwarding.  A frame too long for a small slot is cut short when no
 * big slot is free.
 *
 * Filters see the frame without its outer VLAN tag, as a guest on an access port would, and
 * of a packet that is not wholly in its private head only the head; a filter that says
 * `vlan` sees the tagged frame.  Frames are shown as they are: a TSO frame in one
 * piece, a partial checksum as such.
 *
 * capture_packet() is for workers, all else for the main thread.  Timestamps are wall clock
 * nanoseconds, read once a record: the one place below ctl/ that looks at it. */
#ifndef SWITCH_CAPTURE_H
#define SWITCH_CAPTURE_H

#include "switch/worker.h"

#define CAPTURE_MAX 8 /* at once */
#define CAPTURE_SNAPLEN_MAX (64u * 1024)

struct captures;    /* main's: all captures of a switch */
struct capture;     /* main's: one of them */
struct capture_set; /* the workers' */

struct capture_spec {
	const char *filter; /* libpcap's language; NULL or "" takes all */
	port_idx port;      /* PORT_NONE: any; else the port and its members */
	domain_idx domain;  /* DOMAIN_NONE: any */
	bool in, out;       /* received from, sent to a port */
	bool drops_only;
	uint32_t snaplen; /* 0 = CAPTURE_SNAPLEN_MAX */
};

struct capture_record {
	port_idx port;
	bool outgoing;
	enum drop_reason drop; /* DROP_NONE: not lost here */
	uint64_t time_ns;      /* since 1970 */
	uint32_t wire_len;     /* of the frame, its tag counted */
	uint32_t len;          /* of what follows */
	const uint8_t *bytes;  /* valid during the call only */
};

struct captures *captures_new(struct sw *sw); /* NULL on ENOMEM */
/* After sw_stop(); stops what is left; accepts NULL. */
void captures_free(struct captures *cs);

/* -EINVAL with libpcap's words in `error` when the filter does not compile; -ENOSPC when
 * CAPTURE_MAX run already; -ENOMEM.  fn is called for each record until capture_stop(). */
int capture_start(struct captures *cs, const struct capture_spec *spec,
		  void (*fn)(void *arg, const struct capture_record *r), void *arg,
		  struct capture **ret_capture, char *error, size_t error_len);
/* fn is not called any more when it returns; safe inside fn; accepts NULL. */
void capture_stop(struct capture *c);
/* Records lost so far because something was full. */
uint64_t capture_lost(const struct capture *c);

/* ---- the pipeline's part ---- */

/* Worker.  `port` is where the frame came from (outgoing false) or was offered to; why:
 * DROP_NONE or what became of it there; tag: as on that wire.  Reads k only. */
void capture_packet(struct capture_set *cs, struct worker *w, const struct pkt *k, port_idx port,
		    bool outgoing, enum drop_reason why, struct vlan_tag tag);
/* switch.c: the published pointer. */
struct capture_set *sw_captures(struct sw *sw);                     /* any thread */
void sw_captures_publish(struct sw *sw, struct capture_set *cs);    /* main */

#endif
