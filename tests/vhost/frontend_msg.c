/* The message layer of frontend.h: a socket, headers, descriptors, answers. */
#include "tests/vhost/frontend.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define RETRY_MS  20
#define NS_PER_MS 1000000

int64_t fe_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static int fail(struct fe *fe, int err, const char *what)
{
	snprintf(fe->error, sizeof(fe->error), "%s: %s", what, strerror(-err));
	return err;
}

static int fail_request(struct fe *fe, int err, uint32_t request, const char *what)
{
	snprintf(fe->error, sizeof(fe->error), "request %u: %s: %s", request, what, strerror(-err));
	return err;
}

static int wait_fd(int fd, short events, int64_t deadline)
{
	int64_t left = (deadline - fe_now_ns() + NS_PER_MS - 1) / NS_PER_MS;
	struct pollfd p = {.fd = fd, .events = events};
	int n = poll(&p, 1, left > 0 ? (int)left : 0);

	return n > 0 ? 0 : n == 0 ? -ETIMEDOUT : -errno;
}

static int64_t deadline_of(const struct fe *fe)
{
	return fe_now_ns() + (int64_t)fe->timeout_ms * NS_PER_MS;
}

/* ---- the connection ---- */

static int dial(struct fe *fe, const struct sockaddr_un *a)
{
	int64_t deadline = deadline_of(fe);

	for (;;) {
		fe->sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fe->sock < 0)
			return fail(fe, -errno, "socket");
		if (connect(fe->sock, (const void *)a, sizeof(*a)) == 0)
			return 0;
		int err = -errno;
		close(fe->sock);
		fe->sock = -1;
		if (fe_now_ns() > deadline)
			return fail(fe, err, "connect");
		usleep(RETRY_MS * 1000);
	}
}

static int wait_for_dial(struct fe *fe, const struct sockaddr_un *a)
{
	int err;

	if (fe->listener < 0) {
		fe->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		unlink(a->sun_path);
		if (bind(fe->listener, (const void *)a, sizeof(*a)) < 0 ||
		    listen(fe->listener, 1) < 0)
			return fail(fe, -errno, "listen");
	}
	if ((err = wait_fd(fe->listener, POLLIN, deadline_of(fe))))
		return fail(fe, err, "waiting for the backend to dial");
	fe->sock = accept4(fe->listener, NULL, NULL, SOCK_CLOEXEC);
	return fe->sock < 0 ? fail(fe, -errno, "accept") : 0;
}

int fe_connect(struct fe *fe)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	if (strlen(fe->cfg.path) >= sizeof(a.sun_path))
		return fail(fe, -ENAMETOOLONG, fe->cfg.path);
	strcpy(a.sun_path, fe->cfg.path);
	return fe->cfg.listen ? wait_for_dial(fe, &a) : dial(fe, &a);
}

bool fe_alive(const struct fe *fe)
{
	struct pollfd p = {.fd = fe->sock, .events = POLLIN};
	char c;

	if (fe->sock < 0)
		return false;
	if (poll(&p, 1, 0) <= 0)
		return true;
	return recv(fe->sock, &c, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* ---- out and in ---- */

int fe_send_bytes(struct fe *fe, const void *bytes, size_t len, const int *fds, unsigned nfds)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int) * FE_FDS_MAX)];
	} u = {0};
	struct iovec iov = {(void *)bytes, len};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	if (nfds) {
		m.msg_control = u.room;
		m.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		*c = (struct cmsghdr){.cmsg_level = SOL_SOCKET,
				      .cmsg_type = SCM_RIGHTS,
				      .cmsg_len = CMSG_LEN(sizeof(int) * nfds)};
		memcpy(CMSG_DATA(c), fds, sizeof(int) * nfds);
	}
	n = sendmsg(fe->sock, &m, MSG_NOSIGNAL);
	if (n < 0)
		return fail(fe, -errno, "send");
	return (size_t)n == len ? 0 : fail(fe, -EIO, "send");
}

int fe_send(struct fe *fe, const struct fe_msg *m, const int *fds, unsigned nfds)
{
	return fe_send_bytes(fe, m, FE_HDR_SIZE + m->size, fds, nfds);
}

static void take_fds(struct msghdr *mh, int *fds, unsigned *nfds)
{
	unsigned room = fds ? *nfds : 0, got = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		unsigned n = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		int fd[FE_FDS_MAX];

		if (c->cmsg_type != SCM_RIGHTS)
			continue;
		memcpy(fd, CMSG_DATA(c), n * sizeof(int));
		for (unsigned i = 0; i < n; i++) {
			if (got < room)
				fds[got++] = fd[i];
			else
				close(fd[i]);
		}
	}
	if (nfds)
		*nfds = got;
}

static int read_all(int sock, void *to, size_t len, int64_t deadline)
{
	for (size_t at = 0; at < len;) {
		int err = wait_fd(sock, POLLIN, deadline);
		ssize_t n;

		if (err)
			return err;
		n = recv(sock, (char *)to + at, len - at, 0);
		if (n <= 0)
			return n ? -errno : -ECONNRESET;
		at += (size_t)n;
	}
	return 0;
}

static int recv_from(struct fe *fe, int sock, struct fe_msg *m, int *fds, unsigned *nfds)
{
	char room[CMSG_SPACE(sizeof(int) * FE_FDS_MAX)];
	struct iovec iov = {m, FE_HDR_SIZE};
	struct msghdr mh = {.msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = room,
			    .msg_controllen = sizeof(room)};
	int64_t deadline = deadline_of(fe);
	int err = wait_fd(sock, POLLIN, deadline);
	ssize_t n;

	if (err)
		return fail(fe, err, "waiting for an answer");
	n = recvmsg(sock, &mh, MSG_CMSG_CLOEXEC);
	if (n <= 0)
		return fail(fe, n ? -errno : -ECONNRESET, "receive");
	take_fds(&mh, fds, nfds);
	err = read_all(sock, (char *)m + n, FE_HDR_SIZE - (size_t)n, deadline);
	if (!err && m->size > FE_PAYLOAD_MAX)
		err = -EPROTO;
	if (!err)
		err = read_all(sock, m->raw, m->size, deadline);
	return err ? fail(fe, err, "receive") : 0;
}

int fe_recv(struct fe *fe, struct fe_msg *m, int *fds, unsigned *nfds)
{
	return recv_from(fe, fe->sock, m, fds, nfds);
}

int fe_ask(struct fe *fe, struct fe_msg *m, int *ret_fd)
{
	uint32_t request = m->request;
	int fd = -1, err;
	unsigned nfds = 1;

	m->flags |= FE_FLAG_VERSION;
	if ((err = fe_send(fe, m, NULL, 0)) || (err = fe_recv(fe, m, &fd, &nfds)))
		return fail_request(fe, err, request, "no answer");
	if (ret_fd)
		*ret_fd = nfds ? fd : -1;
	else if (nfds)
		close(fd);
	if (m->request != request || (m->flags & 7) != (FE_FLAG_VERSION | FE_FLAG_REPLY))
		return fail_request(fe, -EPROTO, request, "another answer");
	return 0;
}

int fe_tell(struct fe *fe, struct fe_msg *m, const int *fds, unsigned nfds)
{
	bool ack = fe->protocol & FE_P_REPLY_ACK;
	uint32_t request = m->request;
	struct fe_msg answer;
	unsigned none = 0;
	int err;

	m->flags |= FE_FLAG_VERSION | (ack ? FE_FLAG_NEED_REPLY : 0);
	if ((err = fe_send(fe, m, fds, nfds)) || !ack)
		return err;
	if ((err = fe_recv(fe, &answer, NULL, &none)))
		return fail_request(fe, err, request, "no acknowledgement");
	if (answer.request != request || answer.size != 8 || !(answer.flags & FE_FLAG_REPLY))
		return fail_request(fe, -EPROTO, request, "acknowledgement");
	return answer.u64 ? fail_request(fe, -EREMOTEIO, request, "refused") : 0;
}

int fe_tell_u64(struct fe *fe, uint32_t request, uint64_t value, int fd)
{
	struct fe_msg m = {.request = request, .size = 8, .u64 = value};

	return fe_tell(fe, &m, &fd, fd >= 0);
}

int fe_sync(struct fe *fe)
{
	struct fe_msg m = {.request = FE_GET_FEATURES};

	return fe_ask(fe, &m, NULL);
}

int fe_backend_request(struct fe *fe, struct fe_msg *m)
{
	struct pollfd p = {.fd = fe->backend_req, .events = POLLIN};
	unsigned none = 0;
	int err;

	if (fe->backend_req < 0 || poll(&p, 1, 0) <= 0)
		return 0;
	if ((err = recv_from(fe, fe->backend_req, m, NULL, &none)))
		return err;
	if (m->flags & FE_FLAG_NEED_REPLY) {
		struct fe_msg ok = {m->request, FE_FLAG_VERSION | FE_FLAG_REPLY, 8, {0}};

		if (send(fe->backend_req, &ok, FE_HDR_SIZE + 8, MSG_NOSIGNAL) < 0)
			return -errno;
	}
	return 1;
}
