/* The dummy port: a port of tests, fed and emptied by hand.
 *
 * What is pushed comes out of rx_burst; what the switch sends is kept, as flat frames with
 * the tag put back, up to DUMMY_KEEP; `full` makes it refuse like a peer that does not
 * read.  Offloads are what caps says. */
#ifndef TESTS_DUMMY_H
#define TESTS_DUMMY_H

#include "switch/switch.h"

#define DUMMY_KEEP 256
#define DUMMY_HEAD 64

struct dummy_frame {
	size_t len;
	uint8_t bytes[4096];
	struct virtio_net_hdr vnet;
};

struct dummy {
	struct port *port;
	int efd; /* readable while something is pushed */
	_Atomic unsigned head, tail;
	struct dummy_frame in[DUMMY_KEEP];
	_Atomic unsigned n_out;
	struct dummy_frame out[DUMMY_KEEP];
	bool full;
	bool borrows; /* frames come with all behind DUMMY_HEAD in in[], as a guest's memory */
	_Atomic uint8_t *changes; /* counted up with each frame sent to it: that memory, say */
	unsigned n_borrowed;	  /* frames sent to it that were still borrowed */
	bool closed;
	unsigned confs; /* times its conf was replaced */
};

struct dummy *dummy_new(struct sw *sw, const char *name, const struct port_conf *conf,
			struct port_caps caps);
/* After sw_port_del(): the object outlives its port so that tests can look. */
void dummy_free(struct dummy *d);
void dummy_push(struct dummy *d, const void *frame, size_t len);
/* Ethernet + payload zeroes: an IPv6-free, unknown EtherType frame (0x88b5, local experimental). */
size_t dummy_frame(uint8_t *buf, uint64_t dst, uint64_t src, int vid, size_t len);

struct port_conf dummy_access(vlan_id vid);

#endif
