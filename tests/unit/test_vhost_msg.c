/* The wire of vhost-user over a socketpair: messages in any number of pieces, what is no
 * message, and descriptors that are closed on every path. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tap/vhost_msg.h"
#include "tests/unit/send_fds.h"

static int sock[2]; /* ours, the frontend's */
static int passed = -1; /* what is sent beside messages */
static struct vhost_rx rx;
static struct vhost_msg msg;
static const char *why;
static unsigned files_before;

static unsigned open_files(void)
{
	unsigned n = 0;
	DIR *d = opendir("/proc/self/fd");

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static int setup(void **state)
{
	files_before = open_files();
	vhost_rx_init(&rx);
	why = NULL;
	passed = open("/dev/null", O_RDONLY | O_CLOEXEC);
	files_before++;
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock);
}

static int teardown(void **state)
{
	vhost_rx_fini(&rx);
	vhost_msg_close(&msg);
	close(sock[0]);
	close(sock[1]);
	int leaked = open_files() != files_before;
	close(passed);
	return leaked;
}

static void put(const void *bytes, size_t len, unsigned n_fds)
{
	int fds[SEND_FDS_MAX];

	for (unsigned i = 0; i < n_fds; i++)
		fds[i] = passed;
	assert_int_equal(send_fds(sock[1], bytes, len, fds, n_fds), (ssize_t)len);
}

static size_t build(uint8_t *b, uint32_t request, uint32_t flags, uint32_t size)
{
	uint32_t hdr[3] = {request, flags, size};

	memcpy(b, hdr, sizeof(hdr));
	for (uint32_t i = 0; i < size && i < 2048; i++)
		b[12 + i] = (uint8_t)(i + 1);
	return (size_t)12 + size;
}

static int get(void)
{
	return vhost_rx(&rx, sock[0], &msg, &why);
}

static void test_pieces(void **state)
{
	uint8_t b[64];
	size_t len = build(b, VHOST_SET_FEATURES, VHOST_VERSION | VHOST_NEED_REPLY, 8);

	for (size_t piece = 1; piece <= len; piece++) {
		for (size_t at = 0; at < len; at += piece) {
			assert_int_equal(get(), 0);
			put(b + at, piece < len - at ? piece : len - at, 0);
		}
		assert_int_equal(get(), 1);
		assert_false(vhost_rx_midway(&rx));
		assert_int_equal(msg.request, VHOST_SET_FEATURES);
		assert_int_equal(msg.size, 8);
		assert_memory_equal(&msg.u, b + 12, 8);
		assert_int_equal(msg.u.bytes[8], 0);
		assert_true(vhost_msg_wants_status(&msg));
	}
}

/* Two in one write, descriptors with the second: each keeps its own. */
static void test_back_to_back(void **state)
{
	uint8_t b[128];
	size_t one = build(b, VHOST_SET_OWNER, VHOST_VERSION, 0);
	size_t two = build(b + one, VHOST_ADD_MEM_REG, VHOST_VERSION, 40);

	put(b, one, 0);
	put(b + one, two, 1);
	assert_int_equal(get(), 1);
	assert_int_equal(msg.n_fds, 0);
	assert_int_equal(get(), 1);
	assert_int_equal(msg.n_fds, 1);
	int fd = vhost_msg_take_fd(&msg, 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(vhost_msg_take_fd(&msg, 0), -1);
	assert_int_equal(vhost_msg_take_fd(&msg, 1), -1);
	vhost_msg_close(&msg);
	assert_true(fcntl(fd, F_GETFD) >= 0);
	close(fd);
	assert_int_equal(get(), 0);
}

/* A descriptor that comes with the last byte belongs to the message all the same. */
static void test_late_fd(void **state)
{
	uint8_t b[64];
	size_t len = build(b, VHOST_ADD_MEM_REG, VHOST_VERSION, 40);

	put(b, len - 1, 0);
	assert_int_equal(get(), 0);
	put(b + len - 1, 1, 1);
	assert_int_equal(get(), 1);
	assert_int_equal(msg.n_fds, 1);
}

static void refused(uint32_t request, uint32_t flags, uint32_t size, unsigned fds)
{
	uint8_t b[4096] = {0};
	size_t len = build(b, request, flags, size);

	put(b, len < sizeof(b) ? len : sizeof(b), fds);
	if (get() != -EPROTO || !why)
		fail_msg("request %u, flags %x, size %u, %u fds", request, flags, size, fds);
	vhost_rx_fini(&rx);
	close(sock[0]);
	close(sock[1]);
	assert_int_equal(open_files(), files_before); /* the surplus too */
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock), 0);
}

static void test_refused(void **state)
{
	refused(VHOST_GET_FEATURES, 0, 0, 0);
	refused(VHOST_GET_FEATURES, 2, 0, 0);
	refused(VHOST_GET_FEATURES, 3, 0, 1);
	refused(VHOST_GET_FEATURES, VHOST_VERSION | VHOST_REPLY, 0, 0);
	refused(VHOST_GET_FEATURES, VHOST_VERSION, 8, 0);
	refused(VHOST_SET_FEATURES, VHOST_VERSION, 0, 0);
	refused(VHOST_SET_FEATURES, VHOST_VERSION, 16, 0);
	refused(VHOST_SET_FEATURES, VHOST_VERSION, 8, 1);
	refused(VHOST_SET_FEATURES, VHOST_VERSION, UINT32_MAX, 3);
	refused(1000, VHOST_VERSION, VHOST_PAYLOAD_MAX + 1, 3);
	refused(VHOST_ADD_MEM_REG, VHOST_VERSION, 40, 0);
	refused(VHOST_ADD_MEM_REG, VHOST_VERSION, 40, 2);
	refused(VHOST_SET_VRING_KICK, VHOST_VERSION, 8, 2);
	refused(VHOST_SET_MEM_TABLE, VHOST_VERSION, 8, VHOST_FDS_MAX + 1); /* MSG_CTRUNC */
	refused(VHOST_SET_MEM_TABLE, VHOST_VERSION, 8, 64);
}

static void test_unknown(void **state)
{
	uint8_t b[64];
	static const uint32_t requests[] = {0, 22, 23, 26, 28, 30, 33, 35, 41, 1000, UINT32_MAX};

	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		put(b, build(b, requests[i], VHOST_VERSION | VHOST_NEED_REPLY, 16), 1);
		assert_int_equal(get(), 1);
		assert_null(msg.kind);
		assert_true(vhost_msg_wants_status(&msg));
		assert_int_equal(msg.n_fds, 1);
		vhost_msg_close(&msg);
	}
}

static void test_end(void **state)
{
	uint8_t b[64];

	put(b, build(b, VHOST_SET_FEATURES, VHOST_VERSION, 8) - 1, 2); /* half, with descriptors */
	close(sock[1]);
	assert_int_equal(get(), -ECONNRESET);
}

static void test_reply(void **state)
{
	uint8_t b[64];
	uint32_t hdr[3];
	uint64_t v = 42;
	int r = 0;

	put(b, build(b, VHOST_GET_FEATURES, VHOST_VERSION | VHOST_NEED_REPLY, 0), 0);
	assert_int_equal(get(), 1);
	assert_false(vhost_msg_wants_status(&msg)); /* its body is the answer */
	vhost_msg_reply(&msg, &v, sizeof(v));
	assert_int_equal(vhost_msg_send(sock[0], &msg, -1), 0);
	assert_int_equal(read(sock[1], b, sizeof(b)), 20);
	memcpy(hdr, b, sizeof(hdr));
	assert_int_equal(hdr[0], VHOST_GET_FEATURES);
	assert_int_equal(hdr[1], VHOST_VERSION | VHOST_REPLY);
	assert_int_equal(hdr[2], 8);
	for (unsigned i = 0; i < 100000 && !r; i++)
		r = vhost_msg_send(sock[0], &msg, -1);
	assert_int_equal(r, -EAGAIN); /* and not blocked */
	close(sock[1]);
	assert_true(vhost_msg_send(sock[0], &msg, sock[0]) < 0); /* no SIGPIPE */
}

/* The table and the numbers of the vhost-user text. */
static void test_table(void **state)
{
	unsigned n = 0;

	for (uint32_t r = 0; r < 300; r++) {
		const struct vhost_msg_kind *k = vhost_msg_kind(r);
		if (!k)
			continue;
		assert_true(k->min <= k->max && k->max <= VHOST_PAYLOAD_MAX);
		assert_true(k->fds_min <= k->fds_max && k->fds_max <= VHOST_FDS_MAX);
		n++;
	}
	assert_int_equal(n, 31);
	assert_int_equal(VHOST_SEND_RARP, 19);
	assert_int_equal(VHOST_GET_INFLIGHT_FD, 31);
	assert_int_equal(VHOST_REM_MEM_REG, 38);
	assert_int_equal(VHOST_GET_STATUS, 40);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_pieces),  TEST(test_back_to_back), TEST(test_late_fd), TEST(test_refused),
		TEST(test_unknown), TEST(test_end),	     TEST(test_reply),	 TEST(test_table),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
