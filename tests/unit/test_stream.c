/* The stream port against real sockets and a fake switch: a reader that stops, frames cut
 * in two, ends of connections. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tap/backlog.h"
#include "tap/stream.h"
#include "tests/unit/tap_fake.h"

#define LEN 60000u /* more than AF_UNIX takes in one piece: sent frames are cut */
static char dir[64], path[96];
static uint8_t frame[LEN];

static int setup(void **state)
{
	struct port *p;

	for (unsigned i = 0; i < LEN; i++)
		frame[i] = (uint8_t)i;
	snprintf(dir, sizeof(dir), "/tmp/test_stream.XXXXXX");
	if (fake_setup(state) || !mkdtemp(dir))
		return 1;
	snprintf(path, sizeof(path), "%s/vm.sock", dir);
	struct stream_config c = {.listen = path};
	return stream_open(FAKE_SW, FAKE_LOOP, "vm", &c, &(struct port_conf){0}, &p) || p->running;
}

static int teardown(void **state)
{
	int r = fake_teardown(state);

	r |= access(path, F_OK) == 0;
	return rmdir(dir) | r;
}

static int dial(void)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	fake_loop_run(false);
	return fd;
}

/* Sends a frame of `len` bytes that begins with `mark`. */
static uint8_t tell(uint8_t mark, uint32_t len, uint16_t flags)
{
	frame[0] = mark;
	struct pkt_out o = {.pkt = pkt_from(fake.pool, frame, len)};

	o.pkt->flags |= flags;
	fake.port.ops->tx_burst(&fake.port, FAKE_WORKER, &o, 1);
	pkt_free(fake.pool, o.pkt);
	return o.drop;
}

/* Marks them from 0 on. */
static unsigned sent_until_full(void)
{
	unsigned n = 0;

	while (tell((uint8_t)n, LEN, 0) == DROP_NONE)
		n++;
	return n;
}

/* Reads what has arrived, and what comes as room appears if `all`, and checks that it is whole frames,
 * marked from 0 on; returns how many. */
static unsigned drain(int fd, bool all)
{
	static uint8_t got[8 << 20];
	unsigned frames = 0;
	size_t n = 0;
	ssize_t r;

	do {
		while ((r = read(fd, got + n, sizeof(got) - n)) > 0)
			n += (size_t)r;
	} while (all && fake_writable());
	if (all)
		assert_int_equal(n % (LEN + 4), 0);
	for (size_t at = 0; at + LEN + 4 <= n; at += LEN + 4, frames++) {
		assert_int_equal(got[at + 4], frames);
		assert_memory_equal(got + at + 5, frame + 1, LEN - 1);
	}
	return frames;
}

static void test_reader_that_stops(void **state)
{
	int fd = dial();

	assert_true(fake.port.running);
	unsigned n = sent_until_full();
	assert_true(n > BACKLOG_PORT_BIG + 1); /* these, a cut one and what went into the socket */
	assert_int_equal(fake_writable(), 0);
	assert_int_equal(tell(0xff, LEN, 0), DROP_TX_FULL);
	assert_int_equal(drain(fd, true), n); /* the cut one too */
	assert_int_equal(tell(0, LEN, 0), DROP_NONE);
	assert_int_equal(drain(fd, true), 1);
	assert_int_equal(fake.undone, 0);
	close(fd);
}

static void test_backlog_of_small_frames(void **state)
{
	int fd = dial();
	unsigned n = 0;

	while (tell(0, LEN, 0) == DROP_NONE)
		; /* full of large ones, small ones still go behind them */
	while (tell(0, 60, PKT_MORE) == DROP_NONE)
		n++;
	assert_int_equal(n, BACKLOG_FRAMES - BACKLOG_PORT_BIG);
	close(fd);
}

static void test_deaf(void **state)
{
	int fd = dial();
	unsigned n = sent_until_full();

	assert_int_equal(fake.port.ops->tick(&fake.port, FAKE_WORKER, fake.now + NSEC_PER_SEC),
			 fake.now + BACKLOG_PATIENCE);
	assert_int_equal(fake.undone, 0);
	fake.now += BACKLOG_PATIENCE;
	assert_int_equal(fake.port.ops->tick(&fake.port, FAKE_WORKER, fake.now), 0);
	assert_int_equal(fake.undone_why[DROP_TX_FULL], BACKLOG_PORT_BIG);
	assert_int_equal(fake.undone_bytes, BACKLOG_PORT_BIG * LEN);
	assert_int_equal(tell(0xff, LEN, 0), DROP_TX_FULL); /* nothing more is kept ... */
	assert_int_equal(drain(fd, true), n - BACKLOG_PORT_BIG); /* the cut one arrives whole */
	assert_int_equal(sent_until_full(), n); /* ... until it has read */
	close(fd);
}

static void test_end_with_a_frame_half_sent(void **state)
{
	unsigned files = fake_open_files();
	struct pkt *k[PKT_BURST];
	int fd = dial();

	unsigned n = sent_until_full(), arrived = drain(fd, false);
	assert_int_equal(n - arrived, BACKLOG_PORT_BIG + 1);
	close(fd);
	assert_int_equal(fake.port.ops->rx_burst(&fake.port, 0, FAKE_WORKER, k, PKT_BURST), 0);
	assert_true(fake.events);
	fake.port.ops->event(&fake.port, fake.events);
	assert_false(fake.port.running);
	assert_int_equal(fake.undone_why[DROP_TX_GONE], n - arrived); /* were counted as sent */
	assert_int_equal(fake_open_files(), files);
	fd = dial();
	assert_true(fake.port.running);
	assert_int_equal(tell(0, LEN, 0), DROP_NONE);
	close(fd);
}

static void test_second_is_refused(void **state)
{
	int fd = dial(), second = dial();
	char c;

	assert_int_equal(read(second, &c, 1), 0);
	assert_true(read(fd, &c, 1) < 0); /* EAGAIN: still there */
	close(second);
	close(fd);
	fd = dial(); /* at once, before the worker told of the first one's end */
	assert_true(read(fd, &c, 1) < 0);
	assert_int_equal(tell(0, LEN, 0), DROP_NONE);
	fake.port.ops->event(&fake.port, 1); /* which comes late and harms nothing */
	assert_true(fake.port.running);
	close(fd);
}

static void test_impossible_length(void **state)
{
	static const uint8_t lie[] = {0, 0, 0, 2, 'o', 'k', 0, 2, 0, 0};
	struct pkt *k[PKT_BURST];
	int fd = dial();

	assert_int_equal(write(fd, lie, sizeof(lie)), sizeof(lie));
	assert_int_equal(fake.port.ops->rx_burst(&fake.port, 0, FAKE_WORKER, k, PKT_BURST), 1);
	assert_int_equal(k[0]->len, 2);
	pkt_free(fake.pool, k[0]);
	assert_int_equal(fake.lost[DROP_RX_OVERSIZE], 1);
	assert_int_equal(fake.port.ops->rx_burst(&fake.port, 0, FAKE_WORKER, k, PKT_BURST), 0);
	assert_int_equal(fake.lost[DROP_RX_OVERSIZE], 1); /* once */
	fake.port.ops->event(&fake.port, fake.events);
	assert_false(fake.port.running);
	close(fd);
}

static void test_end_with_a_frame_half_received(void **state)
{
	static const uint8_t half[] = {0, 0, 0, 2, 'o', 'k', 0, 0, 0, 60, 'n', 'o'};
	struct pkt *k[PKT_BURST];
	int fd = dial();

	assert_int_equal(write(fd, half, sizeof(half)), sizeof(half));
	assert_int_equal(fake.port.ops->rx_burst(&fake.port, 0, FAKE_WORKER, k, PKT_BURST), 1);
	pkt_free(fake.pool, k[0]);
	close(fd);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(fake.port.ops->rx_burst(&fake.port, 0, FAKE_WORKER, k, PKT_BURST), 0);
	fake.port.ops->event(&fake.port, fake.events);
	assert_int_equal(fake.lost[DROP_RX_TRUNCATED], 1);
	fd = dial(); /* nothing of it is left over */
	assert_int_equal(write(fd, half, 6), 6);
	assert_int_equal(fake.port.ops->rx_burst(&fake.port, 0, FAKE_WORKER, k, PKT_BURST), 1);
	assert_int_equal(k[0]->len, 2);
	pkt_free(fake.pool, k[0]);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest t[] = {
		cmocka_unit_test_setup_teardown(test_reader_that_stops, setup, teardown),
		cmocka_unit_test_setup_teardown(test_backlog_of_small_frames, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deaf, setup, teardown),
		cmocka_unit_test_setup_teardown(test_end_with_a_frame_half_sent, setup, teardown),
		cmocka_unit_test_setup_teardown(test_second_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_impossible_length, setup, teardown),
		cmocka_unit_test_setup_teardown(test_end_with_a_frame_half_received, setup, teardown),
	};
	return cmocka_run_group_tests(t, NULL, NULL);
}
