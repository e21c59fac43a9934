/* A switch of one thread for the tests of port backends: it records what a backend asks
 * of it, and the test calls the backend's ops itself.  Time is fake.now. */
#ifndef TESTS_TAP_FAKE_H
#define TESTS_TAP_FAKE_H

#include "net/loop.h"
#include "switch/port.h"
#include "switch/worker.h"

#define FAKE_MEMBERS 64

struct fake {
	struct arena *arena;
	struct pkt_pool *pool;
	nsec_t now, tick_at;
	nsec_t pass; /* fake_loop_run() fires timers of at most this; 0: all */
	struct port port; /* the one that was added */
	struct port *member[FAKE_MEMBERS];
	unsigned members, ended, events, undone;
	size_t undone_bytes;
	unsigned starts, synced;
	int queue_fd[PORT_QUEUES_MAX]; /* of started queues; -1 */
	struct pkt *injected;	       /* the last of sw_slow_down() */
	unsigned lost[DROP_COUNT], undone_why[DROP_COUNT];
	struct {
		struct port *port;
		int fd;
	} watch[FAKE_MEMBERS]; /* asked for with port_watch_write() */
};
extern struct fake fake;

#define FAKE_SW	    ((struct sw *)&fake)
#define FAKE_WORKER ((struct worker *)&fake)
#define FAKE_LOOP   ((struct loop *)&fake)

int fake_setup(void **state);
int fake_teardown(void **state); /* closes members and the port, then fails if a packet leaked */
/* What main does after port_member_end(). */
void fake_close_member(struct port *m);
/* Calls ops->writable where it was asked for and the fd is ready; returns how many. */
unsigned fake_writable(void);
unsigned fake_open_files(void);
/* Fires the loop's fd callbacks whose fd is ready, and timers when `timers`. */
void fake_loop_run(bool timers);

#endif
