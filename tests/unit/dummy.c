/* The dummy port of dummy.h. */
#include "tests/unit/dummy.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "net/headers.h"

static struct pkt *borrow(struct worker *w, struct dummy_frame *f)
{
	struct pkt *k = pkt_from(worker_pool(w), f->bytes, DUMMY_HEAD);
	struct iovec *tail;

	if (!k)
		return NULL;
	tail = pkt_borrow_iov(k);
	*tail = (struct iovec){f->bytes + DUMMY_HEAD, f->len - DUMMY_HEAD};
	k->len = (uint32_t)f->len;
	k->tail = tail;
	k->n_tail = 1;
	k->flags |= PKT_BORROWED;
	return k;
}

static unsigned dummy_rx(struct port *p, unsigned queue, struct worker *w, struct pkt **out, unsigned max)
{
	struct dummy *d = p->priv;
	unsigned n = 0;
	uint64_t junk;

	if (read(d->efd, &junk, sizeof(junk)) < 0) { /* nothing new */
	}
	while (n < max && d->head != d->tail) {
		struct dummy_frame *f = &d->in[d->head++ % DUMMY_KEEP];
		struct pkt *k = d->borrows && f->len > DUMMY_HEAD
					? borrow(w, f)
					: pkt_from(worker_pool(w), f->bytes, f->len);
		if (k)
			out[n++] = k;
		else
			port_rx_lost(p, DROP_RX_NO_BUFFER, 1, f->len);
	}
	return n;
}

static void dummy_tx(struct port *p, struct worker *w, struct pkt_out *v, unsigned n)
{
	struct dummy *d = p->priv;

	for (unsigned i = 0; i < n; i++) {
		unsigned at = d->n_out;
		struct iovec iov[8];
		uint8_t tag[4];
		if (d->full || at == DUMMY_KEEP) {
			v[i].drop = DROP_TX_FULL;
			continue;
		}
		unsigned pieces = pkt_iov(v[i].pkt, v[i].tag, tag, iov, 8);
		struct dummy_frame *f = &d->out[at];
		f->len = 0;
		f->vnet = v[i].pkt->vnet;
		for (unsigned j = 0; j < pieces; j++) {
			if (f->len + iov[j].iov_len <= sizeof(f->bytes))
				memcpy(f->bytes + f->len, iov[j].iov_base, iov[j].iov_len);
			f->len += iov[j].iov_len;
		}
		d->n_borrowed += (v[i].pkt->flags & PKT_BORROWED) != 0;
		if (d->changes)
			atomic_fetch_add(d->changes, 1);
		d->n_out = at + 1;
	}
}

static void dummy_close(struct port *p)
{
	((struct dummy *)p->priv)->closed = true;
}

static void dummy_conf_changed(struct port *p, const struct port_conf *conf)
{
	((struct dummy *)p->priv)->confs++;
}

static const struct port_ops dummy_ops = {
	.type = "dummy", .rx_burst = dummy_rx, .tx_burst = dummy_tx, .close = dummy_close,
	.conf_changed = dummy_conf_changed};

struct dummy *dummy_new(struct sw *sw, const char *name, const struct port_conf *conf,
			struct port_caps caps)
{
	struct dummy *d = calloc(1, sizeof(*d));

	d->efd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (sw_port_add(sw, name, &dummy_ops, d, conf, caps, false, NULL, &d->port) ||
	    port_start(d->port, d->efd)) {
		dummy_free(d);
		return NULL;
	}
	return d;
}

void dummy_free(struct dummy *d)
{
	if (d)
		close(d->efd);
	free(d);
}

struct push {
	struct dummy *d;
	const void *frame;
	size_t len;
};

static void push_on_worker(struct worker *w, void *arg)
{
	struct push *p = arg;
	struct dummy_frame *f = &p->d->in[p->d->tail++ % DUMMY_KEEP];
	uint64_t one = 1;

	f->len = p->len;
	memcpy(f->bytes, p->frame, p->len);
	if (write(p->d->efd, &one, sizeof(one)) < 0)
		abort();
}

void dummy_push(struct dummy *d, const void *frame, size_t len)
{
	struct push p = {d, frame, len};

	worker_call(d->port->sw, d->port, push_on_worker, &p);
}

size_t dummy_frame(uint8_t *buf, uint64_t dst, uint64_t src, int vid, size_t len)
{
	struct mac m = mac_from_u64(dst), s = mac_from_u64(src);
	size_t at = 12;

	memset(buf, 0, len);
	memcpy(buf, m.b, 6);
	memcpy(buf + 6, s.b, 6);
	if (vid >= 0) {
		buf[at++] = 0x81;
		buf[at++] = 0x00;
		buf[at++] = (uint8_t)(vid >> 8);
		buf[at++] = (uint8_t)vid;
	}
	buf[at++] = 0x88;
	buf[at++] = 0xb5;
	return len;
}

struct port_conf dummy_access(vlan_id vid)
{
	return (struct port_conf){.vlan = {.mode = VLAN_ACCESS, .pvid = vid}, .domain = DOMAIN_NONE};
}
