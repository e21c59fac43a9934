/* Frames through recvmmsg and sendmmsg: the data path of netdev.c, dgram.c and udp.c.
 * tap.c reads and writes a character device and shares only msgs_vnet(). */
#include "tap/msgs.h"

#include <errno.h>

#include "net/headers.h"

#define RX_SLOTS       8u
#define RX_SLOTS_LARGE 3u
#define LARGE_FRAME    (16u * 1024)
#define CONTROL_ROOM   128u
#define TAG_LEN	       4u
#define TX_IOV	       512u

/* Messages being received: ready[0..have) are packets that wait for a frame. */
struct slots {
	struct pkt *ready[RX_SLOTS];
	unsigned have;
	struct mmsghdr hdr[RX_SLOTS];
	struct iovec iov[RX_SLOTS][3];
	struct sockaddr_un name[RX_SLOTS];
	_Alignas(8) uint8_t control[RX_SLOTS][CONTROL_ROOM];
};

static void fill(struct slots *s, struct pkt_pool *pool, unsigned want)
{
	while (s->have < want) {
		struct pkt *k = pkt_new(pool);
		if (!k)
			return;
		pkt_add_big(pool, k); /* without one a long frame is RX_NO_BUFFER */
		s->ready[s->have++] = k;
	}
}

static void prepare(const struct msgs_rx *r, struct slots *s, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct pkt *k = s->ready[i];
		struct msghdr *m = &s->hdr[i].msg_hdr;
		struct iovec *v = s->iov[i];
		*m = (struct msghdr){.msg_iov = v};
		if (r->vnet)
			v[m->msg_iovlen++] = (struct iovec){&k->vnet, sizeof(k->vnet)};
		v[m->msg_iovlen++] = (struct iovec){k->head, PKT_HEAD_MAX};
		if (k->big)
			v[m->msg_iovlen++] = (struct iovec){k->big, PKT_BIG_SLOT};
		if (r->names) {
			m->msg_name = &s->name[i];
			m->msg_namelen = sizeof(s->name[i]);
		}
		if (r->control) {
			m->msg_control = s->control[i];
			m->msg_controllen = CONTROL_ROOM;
		}
	}
}

/* The packet of a received message, complete or with its reason to be dropped. */
static struct pkt *finish(const struct msgs_rx *r, struct port *p, struct worker *w, struct pkt *k,
			  struct mmsghdr *h)
{
	uint32_t skip = r->vnet ? sizeof(k->vnet) : 0;
	uint32_t room = PKT_HEAD_MAX + (k->big ? PKT_BIG_SLOT : 0);
	uint32_t len = h->msg_len < skip ? 0 : h->msg_len - skip;

	if (h->msg_hdr.msg_flags & MSG_TRUNC)
		k->drop = k->big ? DROP_RX_TRUNCATED : DROP_RX_NO_BUFFER;
	else if (len > ETH_FRAME_MAX)
		k->drop = DROP_RX_OVERSIZE;
	else if (r->accept)
		k->drop = r->accept(p, w, k, &h->msg_hdr);
	/* DATA_VALID is the sender's word, of no use to us */
	k->vnet.flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM;
	pkt_set_len(worker_pool(w), k, len < room ? len : room);
	return k;
}

/* Not one packet to be had: the frame is read away, or its sender would be held up. */
static void lose_one(int fd, struct port *p)
{
	uint8_t junk[64];
	ssize_t n = recv(fd, junk, sizeof(junk), MSG_DONTWAIT | MSG_TRUNC);

	if (n >= 0)
		port_rx_lost(p, DROP_RX_NO_BUFFER, 1, (size_t)n);
}

static unsigned next_want(unsigned got, unsigned asked, size_t bytes)
{
	unsigned top = bytes > (size_t)got * LARGE_FRAME ? RX_SLOTS_LARGE : RX_SLOTS;
	unsigned want = got == asked ? top : got + 1;

	return want < top ? want : top;
}

unsigned msgs_rx_burst(struct msgs_rx *r, int fd, struct port *p, struct worker *w,
		       struct pkt **out, unsigned max, int *ret_errno)
{
	struct pkt_pool *pool = worker_pool(w);
	struct slots s;
	size_t bytes = 0;
	unsigned n = 0;
	int got;

	*ret_errno = 0;
	if (r->dry) {
		r->dry = false;
		return 0;
	}
	s.have = 0;
	while (n < max && bytes < PORT_RX_BYTES) {
		unsigned want = r->want ? r->want : 2;
		if (want > max - n)
			want = max - n;
		fill(&s, pool, want);
		if (!s.have) {
			lose_one(fd, p);
			break;
		}
		want = s.have < want ? s.have : want;
		prepare(r, &s, want);
		got = recvmmsg(fd, s.hdr, want, MSG_DONTWAIT, NULL);
		if (got <= 0) {
			if (got < 0 && errno != EAGAIN && errno != EINTR)
				*ret_errno = errno;
			break;
		}
		size_t now = 0;
		for (int i = 0; i < got; i++) {
			out[n] = finish(r, p, w, s.ready[i], &s.hdr[i]);
			now += out[n++]->len;
		}
		s.have -= (unsigned)got;
		for (unsigned i = 0; i < s.have; i++)
			s.ready[i] = s.ready[i + (unsigned)got];
		bytes += now;
		r->want = next_want((unsigned)got, want, now);
		if ((unsigned)got < want) {
			r->dry = true;
			break;
		}
	}
	for (unsigned i = 0; i < s.have; i++)
		pkt_free(pool, s.ready[i]);
	return n;
}

/* ---- sending ---- */

struct virtio_net_hdr msgs_vnet(const struct pkt *k, struct vlan_tag tag)
{
	struct virtio_net_hdr h = k->vnet;

	if (tag.tpid) {
		if (h.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
			h.csum_start += TAG_LEN;
		if (h.hdr_len)
			h.hdr_len += TAG_LEN;
	}
	return h;
}

enum drop_reason msgs_tx_drop(int err)
{
	switch (err) {
	case EAGAIN:
	case ENOBUFS:
	case ENOMEM: return DROP_TX_FULL;
	case EMSGSIZE: return DROP_TX_OVERSIZE;
	case ECONNREFUSED:
	case ECONNRESET:
	case ENOENT:
	case ENOTCONN:
	case EPIPE:
	case ENETDOWN:
	case ENETUNREACH:
	case EHOSTUNREACH:
	case ENXIO:
	case ENODEV:
	case EIO:
	case EBADFD: return DROP_TX_GONE;
	default: return DROP_TX_ERROR;
	}
}

struct tx_batch {
	struct mmsghdr hdr[PKT_BURST];
	struct virtio_net_hdr vnet[PKT_BURST];
	uint8_t tag[PKT_BURST][TAG_LEN];
	struct iovec iov[TX_IOV];
	unsigned n, n_iov;
};

/* false: no room for this one in the batch. */
static bool add(struct tx_batch *b, bool vnet, const struct sockaddr *name, socklen_t name_len,
		const struct pkt_out *o)
{
	struct iovec *v = &b->iov[b->n_iov];
	unsigned room = TX_IOV - b->n_iov, n = 0;

	if (room < 2)
		return false;
	if (vnet) {
		b->vnet[b->n] = msgs_vnet(o->pkt, o->tag);
		v[n++] = (struct iovec){&b->vnet[b->n], sizeof(b->vnet[0])};
	}
	unsigned parts = pkt_iov(o->pkt, o->tag, b->tag[b->n], v + n, room - n);
	if (!parts)
		return false;
	b->hdr[b->n++].msg_hdr = (struct msghdr){
		.msg_name = (void *)(uintptr_t)name,
		.msg_namelen = name ? name_len : 0,
		.msg_iov = v,
		.msg_iovlen = n + parts,
	};
	b->n_iov += n + parts;
	return true;
}

static void drop_all(struct pkt_out *v, unsigned n, enum drop_reason why)
{
	for (unsigned i = 0; i < n; i++)
		v[i].drop = why;
}

/* Sends b's messages, which are v[0..b->n).  A full or vanished receiver is so for the
 * rest of the burst too; any other error is one frame's. */
static int flush(int fd, struct tx_batch *b, struct pkt_out *v)
{
	for (unsigned at = 0; at < b->n;) {
		int sent = sendmmsg(fd, b->hdr + at, b->n - at, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent > 0) {
			at += (unsigned)sent;
			continue;
		}
		if (errno == EINTR)
			continue;
		v[at].drop = msgs_tx_drop(errno);
		if (v[at].drop == DROP_TX_FULL || v[at].drop == DROP_TX_GONE) {
			int err = errno;
			drop_all(v + at, b->n - at, v[at].drop);
			return err;
		}
		at++;
	}
	return 0;
}

int msgs_tx_burst(int fd, bool vnet, const struct sockaddr *name, socklen_t name_len,
		  struct pkt_out *v, unsigned n)
{
	struct tx_batch b;
	unsigned at = 0;

	while (at < n) {
		unsigned first = at;
		b.n = b.n_iov = 0;
		while (at < n && add(&b, vnet, name, name_len, &v[at]))
			at++;
		if (at == first) { /* in more pieces than fit at all */
			v[at++].drop = DROP_TX_ERROR;
			continue;
		}
		int err = flush(fd, &b, v + first);
		if (err) {
			drop_all(v + at, n - at, msgs_tx_drop(err));
			return err;
		}
	}
	return 0;
}
