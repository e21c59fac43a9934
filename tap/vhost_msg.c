/* The table of messages, and the one place where bytes become one. */
#include "tap/vhost_msg.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct vhost_msg_kind kinds[VHOST_REQUEST_END] = {
#define X(name, id, min, max, fds_min, fds_max, body)                                              \
	[id] = {#name, min, max, fds_min, fds_max, body},
	VHOST_MESSAGES(X)
#undef X
};

const struct vhost_msg_kind *vhost_msg_kind(uint32_t request)
{
	return request < VHOST_REQUEST_END && kinds[request].name ? &kinds[request] : NULL;
}

int vhost_msg_take_fd(struct vhost_msg *m, unsigned i)
{
	if (i >= m->n_fds)
		return -1;
	int fd = m->fd[i];
	m->fd[i] = -1;
	return fd;
}

void vhost_msg_close(struct vhost_msg *m)
{
	for (unsigned i = 0; i < m->n_fds; i++)
		if (m->fd[i] >= 0)
			close(m->fd[i]);
	m->n_fds = 0;
}

/* ---- receiving ---- */

void vhost_rx_init(struct vhost_rx *r)
{
	r->have = 0;
	memset(&r->msg, 0, sizeof(r->msg));
}

void vhost_rx_fini(struct vhost_rx *r)
{
	vhost_msg_close(&r->msg);
	vhost_rx_init(r);
}

/* Every descriptor that came is ours by now; those beyond the room are closed and make it an
 * error, as does what the kernel had to throw away. */
static bool keep_fds(struct vhost_msg *m, struct msghdr *h)
{
	bool fits = !(h->msg_flags & MSG_CTRUNC);

	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int), i = 0; i < n; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
			if (m->n_fds < VHOST_FDS_MAX) {
				m->fd[m->n_fds++] = fd;
			} else {
				close(fd);
				fits = false;
			}
		}
	}
	return fits;
}

/* Reads until *have is `want`: 1, or 0 when the rest has not come, or -errno. */
static int fill(struct vhost_rx *r, int sock, uint8_t *at, uint32_t want, const char **ret_why)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * VHOST_FDS_MAX)];
	} control;

	while (want) {
		struct iovec iov = {at, want};
		struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
				   .msg_controllen = sizeof(control)};
		ssize_t n = recvmsg(sock, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		if (!keep_fds(&r->msg, &h)) {
			*ret_why = "too many file descriptors in one message";
			return -EPROTO;
		}
		if (!n)
			return -ECONNRESET;
		r->have += (uint32_t)n;
		at += n;
		want -= (uint32_t)n;
	}
	return 1;
}

static int bad(const char *what, const char **ret_why)
{
	*ret_why = what;
	return -EPROTO;
}

/* What the header alone can tell. */
static int check_header(struct vhost_rx *r, const char **ret_why)
{
	struct vhost_msg *m = &r->msg;

	memcpy(&m->request, r->hdr, 4);
	memcpy(&m->flags, r->hdr + 4, 4);
	memcpy(&m->size, r->hdr + 8, 4);
	m->kind = vhost_msg_kind(m->request);
	if ((m->flags & VHOST_VERSION_MASK) != VHOST_VERSION)
		return bad("a message of another protocol version", ret_why);
	if (m->flags & VHOST_REPLY)
		return bad("a reply to what was never asked", ret_why);
	if (m->size > VHOST_PAYLOAD_MAX)
		return bad("a message longer than any", ret_why);
	if (m->kind && (m->size < m->kind->min || m->size > m->kind->max))
		return bad("a message of the wrong size", ret_why);
	return 0;
}

static int check_whole(const struct vhost_msg *m, const char **ret_why)
{
	if (!m->kind)
		return 0;
	if (m->n_fds > m->kind->fds_max)
		return bad("more file descriptors than the message has", ret_why);
	if (m->n_fds < m->kind->fds_min)
		return bad("a message without its file descriptor", ret_why);
	return 0;
}

int vhost_rx(struct vhost_rx *r, int sock, struct vhost_msg *ret_msg, const char **ret_why)
{
	int n = 1;

	if (r->have < VHOST_HDR) {
		n = fill(r, sock, r->hdr + r->have, VHOST_HDR - r->have, ret_why);
		if (n != 1)
			return n;
		n = check_header(r, ret_why);
		if (n)
			return n;
	}
	uint32_t done = r->have - VHOST_HDR;
	n = fill(r, sock, r->msg.u.bytes + done, r->msg.size - done, ret_why);
	if (n != 1)
		return n;
	n = check_whole(&r->msg, ret_why);
	if (n)
		return n;
	*ret_msg = r->msg;
	vhost_rx_init(r);
	return 1;
}

/* ---- answering ---- */

void vhost_msg_reply(struct vhost_msg *m, const void *body, uint32_t size)
{
	vhost_msg_close(m);
	m->flags = VHOST_VERSION | VHOST_REPLY;
	m->size = size;
	if (body)
		memcpy(&m->u, body, size);
}

int vhost_msg_send(int sock, const struct vhost_msg *m, int fd)
{
	uint32_t hdr[3] = {m->request, m->flags, m->size};
	struct iovec iov[2] = {{hdr, sizeof(hdr)}, {(void *)(uintptr_t)&m->u, m->size}};
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct msghdr h = {.msg_iov = iov, .msg_iovlen = 2};

	if (fd >= 0) {
		h.msg_control = &control;
		h.msg_controllen = sizeof(control);
		struct cmsghdr *c = CMSG_FIRSTHDR(&h);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	ssize_t n;
	do
		n = sendmsg(sock, &h, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return (size_t)n == sizeof(hdr) + m->size ? 0 : -EAGAIN;
}
