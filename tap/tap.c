/* The TAP port of tap.h.
 *
 * A read is one frame.  It goes into the packet's head and, past PKT_HEAD_MAX, straight
 * into a big buffer; one packet with both is kept ready per port, and gives its big
 * buffer on to the next one whenever the frame fitted the head. */
#include "tap/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "net/headers.h"
#include "switch/worker.h"
#include "tap/ifset.h"
#include "tap/msgs.h"

#ifndef TUN_F_USO4 /* Linux 6.2 */
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

#define TUN_OFFLOADS (TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN)
#define TAP_OFFLOADS (OFFLOAD_CSUM | OFFLOAD_TSO4 | OFFLOAD_TSO6 | OFFLOAD_ECN)
#define TX_IOV	     264u
#define RETRY_FIRST  (100 * NSEC_PER_MSEC)
#define RETRY_MOST   (10 * NSEC_PER_SEC)

enum { EV_LOST = 1 << 0 }; /* the interface was deleted under us */

struct tap {
	/* main */
	struct port *port;
	struct loop_timer *retry;
	nsec_t backoff;
	char wanted[IFNAMSIZ], ifname[IFNAMSIZ];
	uint32_t mtu;
	bool has_address;
	struct prefix4 address;
	char reason[128]; /* "" when up */
	/* set while stopped, then the worker's */
	int fd;
	struct pkt *spare; /* with a big buffer, when one was free */
	bool dry;
};

/* ---- main: making the interface ---- */

static const char *step(struct tap *t, int *ret_err)
{
	struct ifreq ifr = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	int hdr_len = sizeof(struct virtio_net_hdr);
	const char *what = "open /dev/net/tun";

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", t->wanted[0] ? t->wanted : "vsw%d");
	t->fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (t->fd < 0)
		goto fail;
	what = "create the interface";
	if (ioctl(t->fd, TUNSETIFF, &ifr) < 0)
		goto fail;
	snprintf(t->ifname, sizeof(t->ifname), "%s", ifr.ifr_name);
	what = "set the size of the offload header";
	if (ioctl(t->fd, TUNSETVNETHDRSZ, &hdr_len) < 0)
		goto fail;
	return NULL;
fail:
	*ret_err = -errno;
	return what;
}

/* Tells the kernel what we can read; it can take the same from us. */
static unsigned set_offloads(int fd)
{
	if (ioctl(fd, TUNSETOFFLOAD, TUN_OFFLOADS | TUN_F_USO4 | TUN_F_USO6) == 0)
		return TAP_OFFLOADS | OFFLOAD_USO;
	if (ioctl(fd, TUNSETOFFLOAD, TUN_OFFLOADS) == 0)
		return TAP_OFFLOADS;
	return 0;
}

static const char *configure(struct tap *t, int *ret_err)
{
	int ifindex = (int)if_nametoindex(t->ifname);

	if (t->mtu && (*ret_err = ifset_mtu(ifindex, t->mtu)))
		return "set the MTU";
	if (t->has_address && (*ret_err = ifset_address(ifindex, t->address)))
		return "set the address";
	if ((*ret_err = ifset_up(ifindex, true)))
		return "set the interface up";
	return NULL;
}

static void tap_shut(struct tap *t)
{
	port_stop(t->port);
	pkt_free(sw_main_pool(t->port->sw), t->spare);
	t->spare = NULL;
	t->dry = false;
	if (t->fd >= 0)
		close(t->fd);
	t->fd = -1;
}

static void try_later(struct tap *t)
{
	loop_timer_arm(t->retry, t->backoff);
	t->backoff = t->backoff * 2 < RETRY_MOST ? t->backoff * 2 : RETRY_MOST;
}

static void tap_try(void *arg)
{
	struct tap *t = arg;
	int err = 0;
	const char *what = step(t, &err);

	if (!what) {
		port_set_caps(t->port, (struct port_caps){.offloads = set_offloads(t->fd)});
		what = configure(t, &err);
	}
	if (!what && (err = port_start(t->port, t->fd)))
		what = "start";
	if (!what) {
		t->reason[0] = 0;
		t->backoff = RETRY_FIRST;
		return;
	}
	snprintf(t->reason, sizeof(t->reason), "cannot %s: %s", what,
		 err == -EBUSY ? "another process holds it" : strerror(-err));
	tap_shut(t);
	try_later(t);
}

static void tap_event(struct port *p, unsigned code)
{
	struct tap *t = p->priv;
	struct ifreq ifr;

	/* a late event of the interface before this one finds it alive */
	if (!(code & EV_LOST) || t->fd < 0 || ioctl(t->fd, TUNGETIFF, &ifr) == 0)
		return;
	snprintf(t->reason, sizeof(t->reason), "the interface was deleted");
	tap_shut(t);
	try_later(t);
}

static void tap_describe(struct port *p, port_describe_fn *fn, void *arg)
{
	struct tap *t = p->priv;
	unsigned o = p->caps.offloads;

	fn(arg, "interface", t->ifname[0] ? t->ifname : t->wanted);
	if (t->reason[0])
		fn(arg, "reason", t->reason);
	else
		fn(arg, "offloads",
		   !o		     ? "none"
		   : o & OFFLOAD_USO ? "csum tso4 tso6 ecn uso"
				     : "csum tso4 tso6 ecn");
}

static void tap_close(struct port *p)
{
	struct tap *t = p->priv;

	loop_timer_free(t->retry);
	pkt_free(sw_main_pool(p->sw), t->spare);
	if (t->fd >= 0)
		close(t->fd);
	free(t);
}

/* ---- worker ---- */

/* A packet ready to be read into, with a big buffer when one is to be had. */
static struct pkt *ready_spare(struct tap *t, struct pkt_pool *pool)
{
	if (!t->spare)
		t->spare = pkt_new(pool);
	if (t->spare && !t->spare->big)
		pkt_add_big(pool, t->spare);
	return t->spare;
}

/* The spare becomes the packet; its big buffer stays with the port if it was not used. */
static struct pkt *take_spare(struct tap *t, struct pkt_pool *pool, uint32_t len)
{
	struct pkt *k = t->spare;

	t->spare = NULL;
	if (len <= PKT_HEAD_MAX && k->big && (t->spare = pkt_new(pool))) {
		t->spare->big = k->big;
		t->spare->own_tail = k->own_tail;
		k->big = NULL;
		k->own_tail = (struct iovec){0};
	}
	pkt_set_len(pool, k, len);
	return k;
}

static void lost(struct tap *t, struct port *p, int err)
{
	if (err != EAGAIN && err != EINTR)
		port_event(p, EV_LOST);
	else
		t->dry = true;
}

static void lose_one(struct tap *t, struct port *p)
{
	uint8_t junk[PKT_SLOT];
	ssize_t n = read(t->fd, junk, sizeof(junk));

	if (n >= 0)
		port_rx_lost(p, DROP_RX_NO_BUFFER, 1, (size_t)n);
}

static unsigned tap_rx_burst(struct port *p, unsigned queue, struct worker *w, struct pkt **out,
				 unsigned max)
{
	struct tap *t = p->priv;
	struct pkt_pool *pool = worker_pool(w);
	size_t bytes = 0;
	unsigned n = 0;

	if (t->dry) { /* the last burst ended with EAGAIN: epoll says when to look again */
		t->dry = false;
		return 0;
	}
	while (n < max && bytes < PORT_RX_BYTES) {
		struct pkt *k = ready_spare(t, pool);
		if (!k) {
			lose_one(t, p);
			break;
		}
		uint8_t more; /* takes the place of a missing big buffer, to see that it was needed
			       */
		struct iovec v[3] = {
			{&k->vnet, sizeof(k->vnet)},
			{k->head, PKT_HEAD_MAX},
			{k->big ? k->big : &more, k->big ? PKT_BIG_SLOT : sizeof(more)},
		};
		ssize_t got = readv(t->fd, v, 3);
		if (got < 0) {
			lost(t, p, errno);
			break;
		}
		uint32_t len =
			got < (ssize_t)sizeof(k->vnet) ? 0 : (uint32_t)(got - sizeof(k->vnet));
		if (len > PKT_HEAD_MAX && !k->big) {
			k->drop = DROP_RX_NO_BUFFER;
			len = PKT_HEAD_MAX;
		} else if (len > ETH_FRAME_MAX) {
			k->drop = DROP_RX_OVERSIZE;
		}
		k->vnet.flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM; /* DATA_VALID is of no use to us */
		out[n] = take_spare(t, pool, len);
		bytes += out[n++]->len;
	}
	if (!n)
		t->dry = false; /* told already by returning 0 */
	return n;
}

static enum drop_reason send_one(int fd, const struct pkt_out *o)
{
	struct virtio_net_hdr h = msgs_vnet(o->pkt, o->tag);
	struct iovec v[TX_IOV];
	uint8_t tag[4];

	v[0] = (struct iovec){&h, sizeof(h)};
	unsigned n = pkt_iov(o->pkt, o->tag, tag, v + 1, TX_IOV - 1);
	if (!n)
		return DROP_TX_ERROR;
	return writev(fd, v, (int)n + 1) < 0 ? msgs_tx_drop(errno) : DROP_NONE;
}

static void tap_tx_burst(struct port *p, struct worker *w, struct pkt_out *v, unsigned n)
{
	struct tap *t = p->priv;

	for (unsigned i = 0; i < n; i++)
		v[i].drop = send_one(t->fd, &v[i]);
}

/* ---- opening ---- */

static const struct port_ops tap_ops = {
	.type = "tap",
	.rx_burst = tap_rx_burst,
	.tx_burst = tap_tx_burst,
	.event = tap_event,
	.describe = tap_describe,
	.close = tap_close,
};

int tap_open(struct sw *sw, struct loop *loop, const char *name, const struct tap_config *cfg,
	     const struct port_conf *conf, struct port **ret_port)
{
	const char *ifname = cfg->interface ? cfg->interface : "";
	int r = -ENOMEM;

	if (strlen(ifname) >= IFNAMSIZ || strchr(ifname, '/') || strchr(ifname, '%'))
		return -EINVAL;
	struct tap *t = calloc(1, sizeof(*t));
	if (!t)
		return r;
	t->fd = -1;
	t->backoff = RETRY_FIRST;
	t->mtu = cfg->mtu;
	t->has_address = cfg->has_address;
	t->address = cfg->address;
	snprintf(t->wanted, sizeof(t->wanted), "%s", ifname);
	t->retry = loop_timer_new(loop, tap_try, t);
	if (t->retry)
		r = sw_port_add(sw, name, &tap_ops, t, conf, (struct port_caps){0}, false, NULL,
				&t->port);
	if (r) {
		loop_timer_free(t->retry);
		free(t);
		return r;
	}
	tap_try(t);
	*ret_port = t->port;
	return 0;
}

bool tap_holds(const struct port *p, const char *ifname)
{
	const struct tap *t = p->priv;
	struct ifreq ifr;

	return p->ops == &tap_ops && t->fd >= 0 && ioctl(t->fd, TUNGETIFF, &ifr) == 0 &&
	       !strcmp(ifr.ifr_name, ifname);
}
