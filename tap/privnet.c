/* The namespace of tap/privnet.h.  Behind fork() there are system calls only: another thread may have held
 * any lock. */
#include "tap/privnet.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define INTERFACE "services"

/* What the child says beside the fds: which step failed, and why. */
struct report {
	int step, error; /* error 0: done */
};

enum step { STEP_NAMESPACE, STEP_TUN, STEP_ADDRESS, STEP_LISTEN, STEP_CHILD, STEPS };
static const char *const steps[STEPS] = {
	[STEP_NAMESPACE] = "make a network namespace",
	[STEP_TUN] = "make a TUN device in a network namespace of its own",
	[STEP_ADDRESS] = "set the address of a TUN device",
	[STEP_LISTEN] = "listen in a network namespace of its own",
	[STEP_CHILD] = "start a process",
};

struct wanted {
	struct prefix4 address;
	uint32_t mtu;
	uint16_t port;
};

/* ---- in the child ---- */

static bool enter_namespace(void)
{
	return unshare(CLONE_NEWNET) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0;
}

static int make_tun(void)
{
	struct ifreq ifr = {.ifr_name = INTERFACE, .ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR};
	int header = sizeof(struct virtio_net_hdr);
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0 && (ioctl(fd, TUNSETIFF, &ifr) < 0 || ioctl(fd, TUNSETVNETHDRSZ, &header) < 0)) {
		close(fd);
		return -1;
	}
	return fd;
}

/* A sysctl of the namespace, if it lets us. */
static void set_sysctl(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, value, strlen(value)) < 0)
		errno = 0;
	close(fd);
}

/* Closed connections that the kernel remembers are a guest's to make; it needs none of them. */
#define TIME_WAITS "64"

static void tame(void)
{
	set_sysctl("/proc/sys/net/ipv6/conf/" INTERFACE "/disable_ipv6", "1");
	set_sysctl("/proc/sys/net/ipv4/tcp_max_tw_buckets", TIME_WAITS);
}

static int set_in(int fd, unsigned long request, be32 addr)
{
	struct ifreq ifr = {.ifr_name = INTERFACE};
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = addr};

	memcpy(&ifr.ifr_addr, &in, sizeof(in));
	return ioctl(fd, request, &ifr);
}

static int set_address(int fd, const struct wanted *w)
{
	struct ifreq mtu = {.ifr_name = INTERFACE, .ifr_mtu = (int)w->mtu},
		     up = {.ifr_name = INTERFACE, .ifr_flags = IFF_UP | IFF_NOARP};

	return ioctl(fd, SIOCSIFMTU, &mtu) || set_in(fd, SIOCSIFADDR, w->address.addr) ||
			       set_in(fd, SIOCSIFNETMASK, prefix4_mask(w->address)) || ioctl(fd, SIOCSIFFLAGS, &up)
		       ? -1
		       : 0;
}

static int listen_at(int fd, const struct wanted *w)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = w->address.addr, .sin_port = htons(w->port)};

	return bind(fd, (struct sockaddr *)&at, sizeof(at)) || listen(fd, PRIVNET_BACKLOG) ? -1 : 0;
}

static void send_report(int to, struct report r, const int fds[2])
{
	struct iovec iov = {&r, sizeof(r)};
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(2 * sizeof(int))];
	} control = {.room = {0}};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

	if (!r.error) {
		m.msg_control = control.room;
		m.msg_controllen = sizeof(control.room);
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(2 * sizeof(int));
		memcpy(CMSG_DATA(c), fds, 2 * sizeof(int));
	}
	while (sendmsg(to, &m, MSG_NOSIGNAL) < 0 && errno == EINTR)
		;
}

static void child(int to, const struct wanted *w)
{
	struct report r = {.step = STEP_NAMESPACE};
	int fds[2] = {-1, -1};
	bool ok = enter_namespace();

	if (ok) {
		r.step = STEP_TUN;
		ok = (fds[0] = make_tun()) >= 0;
	}
	if (ok) {
		tame();
		r.step = STEP_ADDRESS;
		fds[1] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		ok = fds[1] >= 0 && set_address(fds[1], w) == 0;
	}
	if (ok) {
		r.step = STEP_LISTEN;
		ok = listen_at(fds[1], w) == 0;
	}
	r.error = ok ? 0 : errno ? errno : EIO;
	send_report(to, r, fds);
	_exit(0);
}

/* ---- in the daemon ---- */

static void receive_report(int from, struct report *ret_report, struct privnet *ret_net)
{
	struct report r;
	struct iovec iov = {&r, sizeof(r)};
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(2 * sizeof(int))];
	} control;
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.room,
			   .msg_controllen = sizeof(control.room)};
	int fds[2];
	ssize_t n;

	do
		n = recvmsg(from, &m, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof(r))
		return;
	*ret_report = r;
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	if (r.error || !c || c->cmsg_type != SCM_RIGHTS || c->cmsg_len != CMSG_LEN(sizeof(fds)))
		return;
	memcpy(fds, CMSG_DATA(c), sizeof(fds));
	*ret_net = (struct privnet){fds[0], fds[1]};
}

int privnet_open(struct prefix4 address, uint32_t mtu, uint16_t port, struct privnet *ret_net, const char **ret_what)
{
	struct wanted w = {address, mtu, port};
	struct report r = {STEP_CHILD, EIO};
	struct privnet net = {-1, -1};
	int pair[2];

	*ret_what = steps[STEP_CHILD];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	pid_t pid = fork();
	if (pid == 0)
		child(pair[1], &w);
	if (pid < 0)
		r.error = errno;
	close(pair[1]);
	if (pid > 0) {
		receive_report(pair[0], &r, &net);
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	close(pair[0]);
	*ret_what = steps[r.step];
	if (net.tun < 0)
		return r.error ? -r.error : -EIO;
	*ret_net = net;
	return 0;
}

void privnet_close(struct privnet *p)
{
	if (p->tun >= 0)
		close(p->tun);
	if (p->listener >= 0)
		close(p->listener);
	p->tun = p->listener = -1;
}
