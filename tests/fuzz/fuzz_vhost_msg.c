/* vhost-user from the socket to the rings' doorstep: whatever bytes and descriptors a frontend
 * sends, in whatever pieces, nothing is left behind when it is gone.
 * Input: records of {descriptors, length, bytes}.  The first byte's low two bits say how many
 * descriptors go along (0, 1, 2, 33), the next two of which kind: guest memory of 64 KB, an
 * eventfd, a socket, or memory whose file is cut short while the device has it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tap/vhost_dev.h"
#include "tests/unit/send_fds.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define MEM 65536
#define FDS 33u

static int mem_fd = -1, event_fd, socks[2], cut_fd;
static unsigned attached;

/* The worker's part: looks at the ring that it is given, and must be told before it goes. */
static int on_attach(void *arg, struct vhost_ring *r)
{
	unsigned lost;

	if (r->ready)
		abort();
	r->ready = true;
	attached++;
	vring_dequeue(&r->q, NULL, NULL, 0, &lost);
	return 0;
}
static void on_detach(void *arg, struct vhost_ring *r)
{
	if (!r->ready)
		abort();
	r->ready = false;
	attached--;
}
static void on_nothing(void *arg)
{
}
static void on_down(void *arg)
{
	if (attached)
		abort();
}
static void on_rarp(void *arg, struct mac m)
{
}
static const struct vhost_dev_ops ops = {on_attach, on_detach, on_nothing, on_down, on_rarp};

static void open_once(void)
{
	if (mem_fd >= 0)
		return;
	mem_fd = memfd_create("guest", MFD_CLOEXEC);
	event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (ftruncate(mem_fd, MEM) || socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, socks))
		abort();
}

static unsigned open_files(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 200; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static bool put(int sock, const uint8_t *bytes, size_t len, unsigned n_fds, int fd)
{
	int fds[SEND_FDS_MAX];

	for (unsigned i = 0; i < n_fds; i++)
		fds[i] = fd;
	return send_fds(sock, bytes, len, fds, n_fds) == (ssize_t)len;
}

/* What has arrived; false when the connection is over. */
static bool serve(struct vhost_dev *d, struct vhost_rx *rx, int sock)
{
	struct vhost_msg m;
	const char *why = NULL;
	int r;

	while ((r = vhost_rx(rx, sock, &m, &why)) == 1) {
		if (vhost_dev_handle(d, &m, sock, &why) < 0) {
			if (!why)
				abort();
			return false;
		}
	}
	if (r == -EPROTO && !why)
		abort();
	return r == 0;
}

static void talk(struct vhost_dev *d, const uint8_t *data, size_t len)
{
	static const unsigned counts[] = {0, 1, 2, FDS};
	const int kinds[] = {mem_fd, event_fd, socks[0], cut_fd};
	struct vhost_rx rx;
	char replies[4096];
	int s[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s))
		abort();
	vhost_rx_init(&rx);
	while (len > 2) {
		size_t n = data[1] < len - 2 ? data[1] : len - 2;
		if (n && !put(s[1], data + 2, n, counts[data[0] & 3], kinds[data[0] >> 2 & 3]))
			break;
		if (data[0] & 0x10 && ftruncate(cut_fd, 0))
			abort();
		if (!serve(d, &rx, s[0]))
			break;
		while (recv(s[1], replies, sizeof(replies), MSG_DONTWAIT) > 0)
			; /* its descriptors are dropped by the kernel */
		data += 2 + n;
		len -= 2 + n;
	}
	vhost_rx_fini(&rx);
	close(s[0]);
	close(s[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct vhost_dev_conf c = {.pairs = 2};
	struct vhost_dev d;

	open_once();
	cut_fd = memfd_create("cut", MFD_CLOEXEC);
	if (ftruncate(cut_fd, MEM) || vhost_dev_init(&d, &c, &ops, NULL))
		abort();
	unsigned files = open_files();
	talk(&d, data, len);
	vhost_dev_reset(&d);
	if (attached || open_files() != files || d.mem || d.log.bits || d.inflight.base)
		abort();
	vhost_dev_fini(&d);
	close(cut_fd);
	return 0;
}
