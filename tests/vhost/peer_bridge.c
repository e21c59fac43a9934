/* bridge: a kernel TAP joined to a vhost-user socket, frames with their virtio_net_hdr both ways,
 * so that a namespace's TCP stack is a guest with every offload a guest's kernel would have.
 *
 * A frame is read from the TAP straight into the buffer it is sent from, and written from the
 * buffers it arrived in.  The TAP is told what the backend takes: nothing is ever segmented here.
 */
#include "tests/vhost/peer.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef TUN_F_USO4 /* Linux 6.2 */
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

#define AT_ONCE	    4096 /* a frame this long is worth a notification of its own */
#define SPIN_ROUNDS 20	 /* empty rounds before sleeping */
#define POLL_MS	    100

struct bridge {
	struct peer *p;
	int tap[FE_PAIRS_MAX];
	bool blocked[FE_PAIRS_MAX]; /* the transmit ring is full */
};

static int say(struct peer *p, const char *what)
{
	int err = -errno;

	snprintf(p->fe.error, sizeof(p->fe.error), "%s: %s", what, strerror(-err));
	return err;
}

static int open_tap(struct peer *p, int *ret_fd)
{
	struct ifreq ifr = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};

	if (p->o.fe.pairs > 1)
		ifr.ifr_flags |= IFF_MULTI_QUEUE;
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", p->o.tap);
	*ret_fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (*ret_fd < 0 || ioctl(*ret_fd, TUNSETIFF, &ifr) < 0)
		return say(p, "make the TAP");
	if (!p->o.has_mac)
		return 0;
	memcpy(ifr.ifr_hwaddr.sa_data, p->o.mac, 6);
	ifr.ifr_hwaddr.sa_family = ARPHRD_ETHER;
	return ioctl(*ret_fd, SIOCSIFHWADDR, &ifr) < 0 ? say(p, "set the TAP's address") : 0;
}

static unsigned tap_offloads(uint64_t f)
{
	unsigned o = f & FE_BIT(VIRTIO_NET_F_CSUM) ? TUN_F_CSUM : 0;

	if (!o)
		return 0;
	o |= f & FE_BIT(VIRTIO_NET_F_HOST_TSO4) ? TUN_F_TSO4 : 0;
	o |= f & FE_BIT(VIRTIO_NET_F_HOST_TSO6) ? TUN_F_TSO6 : 0;
	o |= f & FE_BIT(VIRTIO_NET_F_HOST_ECN) ? TUN_F_TSO_ECN : 0;
	o |= f & FE_F_HOST_USO ? TUN_F_USO4 | TUN_F_USO6 : 0;
	return o;
}

static int tune_tap(struct peer *p, int fd)
{
	unsigned offloads = tap_offloads(p->fe.features);
	int hdr = (int)p->fe.hdr_len;

	if (ioctl(fd, TUNSETVNETHDRSZ, &hdr) < 0)
		return say(p, "TUNSETVNETHDRSZ");
	if (ioctl(fd, TUNSETOFFLOAD, offloads) < 0 &&
	    ioctl(fd, TUNSETOFFLOAD, offloads & ~(TUN_F_USO4 | TUN_F_USO6)) < 0)
		return say(p, "TUNSETOFFLOAD");
	return 0;
}

static unsigned from_tap(struct bridge *b, unsigned q)
{
	struct fe *fe = &b->p->fe;
	unsigned n;

	for (n = 0; n < PEER_BURST; n++) {
		uint8_t *at = fe_tx_buffer(fe, q);
		ssize_t len;

		b->blocked[q] = !at;
		if (!at)
			break;
		memset(at, 0, fe->hdr_len);
		len = read(b->tap[q], at, fe->cfg.tx_buf);
		if (len <= (ssize_t)fe->hdr_len)
			break;
		b->p->tx_gso += ((struct virtio_net_hdr *)at)->gso_type != VIRTIO_NET_HDR_GSO_NONE;
		if (fe_tx_commit(fe, q, (uint32_t)len - fe->hdr_len))
			break;
		if (len >= AT_ONCE)
			fe_tx_flush(fe, q);
	}
	if (n)
		fe_tx_flush(fe, q);
	return n;
}

static void to_tap(struct bridge *b, unsigned q, struct fe_frame *f)
{
	struct iovec iov[FE_PIECES_MAX + 1];

	iov[0] = (struct iovec){f->raw, b->p->fe.hdr_len};
	memcpy(&iov[1], f->iov, f->n * sizeof(*iov));
	b->p->rx_gso += f->hdr.hdr.gso_type != VIRTIO_NET_HDR_GSO_NONE;
	b->p->rx_csum += !!(f->hdr.hdr.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM);
	if (writev(b->tap[q], iov, (int)f->n + 1) < 0)
		b->p->dropped++;
}

static int from_ring(struct bridge *b, unsigned q)
{
	struct fe *fe = &b->p->fe;
	struct fe_frame f;
	int n, r = 0;

	fe_ring_arm(&fe->pair[q].rx, false);
	for (n = 0; n < PEER_BURST && (r = fe_rx(fe, q, &f)) > 0; n++) {
		to_tap(b, q, &f);
		fe_rx_done(fe, q, &f);
	}
	if (n)
		fe_rx_flush(fe, q);
	return r < 0 ? r : n;
}

static bool look_again(struct bridge *b)
{
	struct fe *fe = &b->p->fe;
	bool found = false;

	for (unsigned q = 0; q < fe->cfg.pairs; q++) {
		fe_ring_arm(&fe->pair[q].rx, true);
		if (b->blocked[q])
			fe_ring_arm(&fe->pair[q].tx, true);
		found |= fe_ring_pending(&fe->pair[q].rx) ||
			 (b->blocked[q] && fe_ring_pending(&fe->pair[q].tx));
	}
	return found;
}

/* -ECONNRESET when the backend hung up. */
static int sleep_until_work(struct bridge *b)
{
	struct fe *fe = &b->p->fe;
	struct pollfd p[3 * FE_PAIRS_MAX + 1];
	unsigned n = 0, q;
	uint64_t count;

	if (look_again(b))
		return 0;
	p[n++] = (struct pollfd){.fd = fe->sock, .events = POLLIN};
	for (q = 0; q < fe->cfg.pairs; q++) {
		p[n++] = (struct pollfd){.fd = fe->pair[q].rx.call, .events = POLLIN};
		p[n++] = (struct pollfd){.fd = b->blocked[q] ? fe->pair[q].tx.call : -1,
					 .events = POLLIN};
		p[n++] = (struct pollfd){.fd = b->blocked[q] ? -1 : b->tap[q], .events = POLLIN};
	}
	if (poll(p, n, POLL_MS) <= 0)
		return 0;
	for (q = 0; q < fe->cfg.pairs; q++) {
		if (p[1 + 3 * q].revents && read(fe->pair[q].rx.call, &count, 8) > 0)
			fe->pair[q].rx.calls += count;
		if (p[2 + 3 * q].revents && read(fe->pair[q].tx.call, &count, 8) > 0)
			fe->pair[q].tx.calls += count;
	}
	return p[0].revents && !fe_alive(fe) ? -ECONNRESET : 0;
}

static int carry(struct bridge *b)
{
	unsigned idle = 0;
	int r;

	while (!peer_done(b->p)) {
		unsigned work = 0;

		for (unsigned q = 0; q < b->p->fe.cfg.pairs; q++) {
			work += from_tap(b, q);
			if ((r = from_ring(b, q)) < 0)
				return r;
			work += (unsigned)r;
		}
		idle = work ? 0 : idle + 1;
		if (idle < SPIN_ROUNDS || b->p->o.poll)
			continue;
		if ((r = sleep_until_work(b)))
			return r;
	}
	return 0;
}

static int one_connection(struct bridge *b)
{
	struct peer *p = b->p;
	int err = fe_connect(&p->fe);

	err = err ? err : fe_negotiate(&p->fe);
	for (unsigned q = 0; q < p->o.fe.pairs && !err; q++)
		err = tune_tap(p, b->tap[q]);
	err = err ? err : fe_share(&p->fe);
	err = err ? err : fe_start(&p->fe);
	if (err)
		return err;
	p->connections++;
	err = carry(b);
	if (!err && fe_alive(&p->fe))
		err = fe_stop(&p->fe);
	return err;
}

int peer_bridge(struct peer *p)
{
	struct bridge b = {.p = p};
	int err = fe_init(&p->fe, &p->o.fe);

	p->fe.timeout_ms = p->o.wait_ms;
	for (unsigned q = 0; q < p->o.fe.pairs && !err; q++)
		err = open_tap(p, &b.tap[q]);
	if (err)
		return err;
	do {
		err = one_connection(&b);
		fe_disconnect(&p->fe);
	} while (p->o.reconnect && !peer_done(p));
	return p->o.reconnect && peer_done(p) ? 0 : err;
}
