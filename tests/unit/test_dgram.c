/* The datagram port against real sockets and a fake switch: who becomes a member, who
 * does not, how a member ends, and what waits for one that reads slowly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tap/backlog.h"
#include "tap/dgram.h"
#include "tests/unit/tap_fake.h"

#define LIMIT 10
static char dir[64], path[96];
static const uint8_t frame[60] = {0x52, 0x54, 0, 0, 0, 1, 0x52, 0x54, 0, 0, 0, 2, 0x88, 0xb5};

static int setup(void **state)
{
	struct port *p;

	snprintf(dir, sizeof(dir), "/tmp/test_dgram.XXXXXX");
	if (fake_setup(state) || !mkdtemp(dir))
		return 1;
	snprintf(path, sizeof(path), "%s/lab.dgram", dir);
	struct dgram_config c = {.path = path, .members = LIMIT};
	return dgram_open(FAKE_SW, FAKE_LOOP, "lab", &c, &(struct port_conf){0}, &p) || !p->running;
}

static int teardown(void **state)
{
	char cmd[128];
	int r = fake_teardown(state);

	r |= access(path, F_OK) == 0; /* removed with the port */
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	return system(cmd) | r;
}

static int sock(void)
{
	return socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
}

static struct sockaddr_un address(const char *name)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%.60s/%.20s", dir, name);
	return sa;
}

static int guest(const char *name)
{
	struct sockaddr_un sa = address(name);
	int fd = sock();

	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

static void gone(int fd, const char *name)
{
	close(fd);
	unlink(address(name).sun_path);
}

/* Sends a frame from fd and returns where it was received, PORT_NONE for the port itself. */
static port_idx say(int fd, uint8_t *ret_drop)
{
	struct sockaddr_un to = address("lab.dgram");
	struct pkt *k[PKT_BURST];

	assert_int_equal(sendto(fd, frame, sizeof(frame), 0, (struct sockaddr *)&to, sizeof(to)),
			 sizeof(frame));
	unsigned n = fake.port.ops->rx_burst(&fake.port, 0, FAKE_WORKER, k, PKT_BURST);
	if (!n) /* told the switch that it was dry */
		n = fake.port.ops->rx_burst(&fake.port, 0, FAKE_WORKER, k, PKT_BURST);
	assert_int_equal(n, 1);
	assert_int_equal(k[0]->len, sizeof(frame));
	assert_memory_equal(k[0]->head, frame, sizeof(frame));
	port_idx in = k[0]->in_port;
	*ret_drop = k[0]->drop;
	pkt_free(fake.pool, k[0]);
	return in;
}

static uint8_t tell(struct port *m)
{
	struct pkt_out o = {.pkt = pkt_from(fake.pool, frame, sizeof(frame))};

	m->ops->tx_burst(m, FAKE_WORKER, &o, 1);
	pkt_free(fake.pool, o.pkt);
	return o.drop;
}

static void test_members(void **state)
{
	int a = guest("a.sock"), b = guest("b.sock");
	uint8_t drop, got[64];

	port_idx ia = say(a, &drop), ib = say(b, &drop);
	assert_int_equal(fake.members, 2);
	assert_int_not_equal(ia, ib);
	assert_int_equal(say(a, &drop), ia);
	assert_int_equal(drop, DROP_NONE);
	assert_string_equal(fake.member[0]->name, "a.sock");
	assert_int_equal(tell(fake.member[1]), DROP_NONE);
	assert_int_equal(recv(b, got, sizeof(got), 0), sizeof(frame));
	assert_true(recv(a, got, sizeof(got), 0) < 0);
	close(a);
	close(b);
}

static void test_who_cannot_be_answered(void **state)
{
	struct sockaddr_un abstract = {.sun_family = AF_UNIX, .sun_path = "\0test_dgram"};
	int unnamed = sock(), hidden = sock();
	uint8_t drop;

	assert_int_equal(say(unnamed, &drop), PORT_NONE);
	assert_int_equal(drop, DROP_RX_BAD_PEER);
	assert_int_equal(bind(hidden, (struct sockaddr *)&abstract, 14), 0);
	assert_int_equal(say(hidden, &drop), PORT_NONE);
	assert_int_equal(drop, DROP_RX_BAD_PEER);
	assert_int_equal(fake.members, 0);
	close(unnamed);
	close(hidden);
}

static void test_limit(void **state)
{
	char name[16];
	uint8_t drop;
	int fd[LIMIT + 1];

	for (int i = 0; i <= LIMIT; i++) {
		snprintf(name, sizeof(name), "g%d", i);
		fd[i] = guest(name);
		say(fd[i], &drop);
		assert_int_equal(drop, i < LIMIT ? DROP_NONE : DROP_RX_MEMBER_LIMIT);
	}
	for (int i = 0; i <= LIMIT; i++)
		close(fd[i]);
}

static void test_restart_keeps_the_member(void **state)
{
	int a = guest("a.sock");
	uint8_t drop;
	port_idx in = say(a, &drop);

	gone(a, "a.sock");
	for (int i = 0; i < 10; i++) /* refused often, but not for long */
		assert_int_equal(tell(fake.member[0]), DROP_TX_GONE);
	a = guest("a.sock");
	assert_int_equal(tell(fake.member[0]), DROP_NONE);
	assert_int_equal(say(a, &drop), in);
	assert_int_equal(fake.ended, 0);
	fake.now += 10 * NSEC_PER_SEC; /* being heard of starts the count afresh */
	gone(a, "a.sock");
	for (int i = 0; i < 10; i++)
		assert_int_equal(tell(fake.member[0]), DROP_TX_GONE);
	assert_int_equal(fake.ended, 0);
}

static void test_gone_ends_the_member(void **state)
{
	int a = guest("a.sock");
	uint8_t drop;

	say(a, &drop);
	gone(a, "a.sock");
	for (int i = 0; i < 4; i++) {
		tell(fake.member[0]);
		fake.now += NSEC_PER_SEC;
	}
	assert_int_equal(fake.ended, 1);
	assert_int_equal(tell(fake.member[0]), DROP_TX_GONE); /* until main has closed it */
	fake_close_member(fake.member[0]);
	a = guest("a.sock");
	say(a, &drop); /* a new member at the same path */
	assert_int_equal(drop, DROP_NONE);
	assert_int_equal(fake.members, 1);
	close(a);
}

static void test_silent_death_is_found(void **state)
{
	int a = guest("a.sock"), b = guest("b.sock");
	uint8_t drop;

	say(a, &drop);
	say(b, &drop);
	gone(a, "a.sock");
	close(b); /* its file stays, as after a kill */
	assert_true(fake.port.ops->tick(&fake.port, FAKE_WORKER, fake.now) > fake.now);
	assert_int_equal(fake.ended, 0);
	fake.now += 31 * NSEC_PER_SEC;
	fake.port.ops->tick(&fake.port, FAKE_WORKER, fake.now);
	assert_int_equal(fake.ended, 2);
}

/* ---- a guest that reads slowly ---- */

static uint8_t tell_mark(struct port *m, unsigned mark, uint16_t flags)
{
	struct pkt_out o = {.pkt = pkt_from(fake.pool, &mark, sizeof(mark))};

	o.pkt->flags |= flags;
	m->ops->tx_burst(m, FAKE_WORKER, &o, 1);
	assert_false(o.taken);
	pkt_free(fake.pool, o.pkt);
	return o.drop;
}

/* Marks them from `mark` on; returns the mark that was refused. */
static unsigned fill_up(struct port *m, unsigned mark)
{
	while (tell_mark(m, mark, 0) == DROP_NONE)
		mark++;
	return mark;
}

/* Reads all in the guest's queue, which must go on at `mark`; returns the next mark. */
static unsigned read_queue(int fd, unsigned mark)
{
	unsigned got;

	for (; recv(fd, &got, sizeof(got), 0) == sizeof(got); mark++)
		assert_int_equal(got, mark);
	return mark;
}

static unsigned read_all(int fd, unsigned mark)
{
	do
		mark = read_queue(fd, mark);
	while (fake_writable());
	return mark;
}

static void test_backlog_keeps_order(void **state)
{
	int a = guest("a.sock");
	uint8_t drop;

	say(a, &drop);
	unsigned n = fill_up(fake.member[0], 0), queued;
	assert_int_equal(fake_writable(), 0);
	queued = read_queue(a, 0);
	assert_int_equal(n, queued + BACKLOG_FRAMES);
	assert_int_equal(tell_mark(fake.member[0], n, 0), DROP_NONE); /* behind the others */
	assert_int_equal(read_all(a, queued), n + 1);
	assert_int_equal(fill_up(fake.member[0], 0), n); /* and so again */
	assert_int_equal(read_all(a, 0), n);
	assert_int_equal(fake.undone, 0);
	close(a);
}

static void test_backlog_over_the_port(void **state)
{
	int fd[9];
	unsigned kept = 0, n = 0, queued = 0;
	uint8_t drop;
	char name[16];

	for (unsigned i = 0; i < ARRAY_SIZE(fd); i++) {
		snprintf(name, sizeof(name), "g%u", i);
		fd[i] = guest(name);
		say(fd[i], &drop);
		n = fill_up(fake.member[i], 0);
		queued = read_queue(fd[i], 0);
		kept += n - queued;
	}
	assert_int_equal(kept, BACKLOG_PORT_FRAMES);
	assert_int_equal(n, queued); /* nothing left for the last one ... */
	fake_writable();
	n = fill_up(fake.member[8], 0); /* ... until others have read */
	assert_true(n > read_queue(fd[8], 0));
	for (unsigned i = 0; i < ARRAY_SIZE(fd); i++)
		close(fd[i]);
}

static void test_deaf_guest(void **state)
{
	int a = guest("a.sock");
	uint8_t drop;

	say(a, &drop);
	struct port *m = fake.member[0];
	unsigned n = fill_up(m, 0);
	assert_int_equal(fake.tick_at, fake.now + BACKLOG_PATIENCE);
	fake.now = fake.tick_at;
	assert_int_equal(m->ops->tick(m, FAKE_WORKER, fake.now), 0);
	assert_int_equal(fake.undone_why[DROP_TX_FULL], BACKLOG_FRAMES);
	assert_int_equal(fill_up(m, n), n); /* nothing more is kept ... */
	assert_int_equal(read_all(a, 0), n - BACKLOG_FRAMES);
	assert_int_equal(fill_up(m, 0), n); /* ... until it has read */
	close(a);
}

static void test_slow_guest_is_not_deaf(void **state)
{
	int a = guest("a.sock");
	uint8_t drop;
	unsigned got;

	say(a, &drop);
	struct port *m = fake.member[0];
	fill_up(m, 0);
	for (unsigned i = 0; i < 10; i++) {
		fake.now += NSEC_PER_SEC;
		assert_int_equal(recv(a, &got, sizeof(got), 0), sizeof(got));
		assert_int_equal(fake_writable(), 1);
		assert_int_equal(m->ops->tick(m, FAKE_WORKER, fake.now), fake.now + BACKLOG_PATIENCE);
	}
	assert_int_equal(fake.undone, 0);
	close(a);
}

static void test_pieces_count_once(void **state)
{
	int a = guest("a.sock");
	uint8_t drop;

	say(a, &drop);
	struct port *m = fake.member[0];
	for (unsigned i = 0; i < 30; i++) /* three frames of ten pieces; the queue takes one or so */
		assert_int_equal(tell_mark(m, i, i % 10 == 9 ? 0 : PKT_MORE), DROP_NONE);
	unsigned queued = read_queue(a, 0);
	gone(a, "a.sock");
	fake_writable();
	assert_int_equal(fake.undone_why[DROP_TX_GONE], (30 - queued + 9) / 10);
	assert_int_equal(fake.undone, fake.undone_why[DROP_TX_GONE]);
}

static void test_a_broken_frame_is_not_undone(void **state)
{
	int a = guest("a.sock");
	uint8_t drop;

	say(a, &drop);
	struct port *m = fake.member[0];
	while (tell_mark(m, 0, PKT_MORE) == DROP_NONE)
		;
	while (recv(a, &drop, 1, 0) > 0)
		;
	fake_writable(); /* there is room again, though not for the rest of this frame */
	assert_int_equal(tell_mark(m, 0, PKT_MORE), DROP_TX_FULL);
	assert_int_equal(tell_mark(m, 0, 0), DROP_TX_FULL);
	assert_int_equal(tell_mark(m, 0, 0), DROP_NONE);
	gone(a, "a.sock");
	fake_writable();
	assert_int_equal(fake.undone, 1);
}

static void test_restart_with_a_backlog(void **state)
{
	int a = guest("a.sock");
	uint8_t drop;

	say(a, &drop);
	unsigned n = fill_up(fake.member[0], 0);
	gone(a, "a.sock");
	a = guest("a.sock"); /* the next reader gets what waited, and only that */
	assert_int_equal(fake_writable(), 1);
	assert_int_equal(read_all(a, n - BACKLOG_FRAMES), n);
	assert_int_equal(fake.undone, 0);
	/* `wake` hangs on the first one's socket: found out, and made anew after a moment */
	assert_int_equal(fill_up(fake.member[0], 0), n);
	assert_int_equal(fake_writable(), 1);
	assert_int_equal(fake_writable(), 0);
	struct port *m = fake.member[0];
	assert_true(fake.tick_at - fake.now < NSEC_PER_SEC);
	assert_true(m->ops->tick(m, FAKE_WORKER, fake.tick_at) > 0);
	assert_int_equal(fake_writable(), 0);
	assert_int_equal(read_all(a, 0), n);
	assert_int_equal(fake.undone, 0);
	close(a);
}

static void test_end_with_a_backlog(void **state)
{
	unsigned files = fake_open_files();
	int a = guest("a.sock"), b = guest("b.sock");
	uint8_t drop;

	say(a, &drop);
	say(b, &drop);
	fill_up(fake.member[0], 0);
	fill_up(fake.member[1], 0);
	fake_close_member(fake.member[1]); /* main takes it away: a reload */
	assert_int_equal(fake.undone, BACKLOG_FRAMES);
	fake.now += 31 * NSEC_PER_SEC;
	gone(a, "a.sock");
	fake.port.ops->tick(&fake.port, FAKE_WORKER, fake.now);
	assert_int_equal(fake.ended, 1);
	assert_int_equal(fake.undone, 2 * BACKLOG_FRAMES);
	fake_writable(); /* one that was due harms nothing */
	fake_close_member(fake.member[0]);
	assert_int_equal(fake.undone_why[DROP_TX_GONE], 2 * BACKLOG_FRAMES);
	close(b);
	assert_int_equal(fake_open_files(), files);
}

/* The kernel queues without end for a guest whose socket is connected to the port's. */
static void test_deaf_and_connected(void **state)
{
	struct sockaddr_un lab = address("lab.dgram");
	int a = guest("a.sock"), b = guest("b.sock");
	uint8_t drop, got[64];
	unsigned n = 0, read = 0;

	assert_int_equal(connect(a, (struct sockaddr *)&lab, sizeof(lab)), 0);
	say(a, &drop);
	say(b, &drop);
	while (tell(fake.member[0]) == DROP_NONE && n < 100000)
		n++;
	assert_in_range(n, 1000, 20000); /* 2 MB of 60 bytes and the kernel's own for each */
	for (unsigned i = 0; i < 5; i++) /* the others are not concerned */
		assert_int_equal(tell(fake.member[1]), DROP_NONE);
	assert_int_equal(tell(fake.member[0]), DROP_TX_FULL);
	while (recv(a, got, sizeof(got), 0) > 0)
		read++;
	assert_int_equal(read, n);
	assert_int_equal(tell(fake.member[0]), DROP_NONE);
	close(a);
	close(b);
}

static void test_no_file_to_wait_with(void **state)
{
	struct rlimit old, none;
	int a = guest("a.sock");
	uint8_t drop;

	say(a, &drop);
	getrlimit(RLIMIT_NOFILE, &old);
	none = (struct rlimit){.rlim_cur = 3, .rlim_max = old.rlim_max};
	setrlimit(RLIMIT_NOFILE, &none);
	unsigned n = fill_up(fake.member[0], 0);
	setrlimit(RLIMIT_NOFILE, &old);
	assert_int_equal(read_all(a, 0), n); /* what the kernel queues, no more */
	assert_int_equal(fake.undone, 0);
	close(a);
}

int main(void)
{
	const struct CMUnitTest t[] = {
		cmocka_unit_test_setup_teardown(test_members, setup, teardown),
		cmocka_unit_test_setup_teardown(test_who_cannot_be_answered, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_restart_keeps_the_member, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gone_ends_the_member, setup, teardown),
		cmocka_unit_test_setup_teardown(test_silent_death_is_found, setup, teardown),
		cmocka_unit_test_setup_teardown(test_backlog_keeps_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_backlog_over_the_port, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deaf_guest, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slow_guest_is_not_deaf, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pieces_count_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_broken_frame_is_not_undone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_restart_with_a_backlog, setup, teardown),
		cmocka_unit_test_setup_teardown(test_end_with_a_backlog, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deaf_and_connected, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_file_to_wait_with, setup, teardown),
	};
	return cmocka_run_group_tests(t, NULL, NULL);
}
