/* One function for each message, and the rings' way from parked to running. */
#include "tap/vhost_dev.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define BIT64(b)      (UINT64_C(1) << (b))
#define MTU_MIN	      68u /* virtio 1.2 5.1.4.1 */
#define MTU_DEFAULT   1500u
#define STATUS_LINK   1u /* VIRTIO_NET_S_LINK_UP */
#define USED_HDR      6u /* flags, index and the event index behind a used ring ... */
#define USED_ELEM     8u /* ... of these; virtio 1.2 2.7.8 */
/* The layouts of the inflight area in the vhost-user text: a header, one entry for each
 * descriptor, the whole a multiple of 64 bytes for each ring. */
#define INFLIGHT_SPLIT_HDR  16u
#define INFLIGHT_SPLIT_DESC 16u
#define INFLIGHT_PACKED_HDR 32u
#define INFLIGHT_PACKED_DESC 32u
#define INFLIGHT_ALIGN	    64u
#define INFLIGHT_PAGE	    4096u

static int refuse(int err, const char *what, const char **ret_why)
{
	*ret_why = what;
	return err;
}

/* ---- features ---- */

struct feature_name {
	uint8_t bit;
	const char *name;
};
static const struct feature_name feature_names[] = {
#define X(id, bit, name) {bit, name},
	VHOST_FEATURES(X)
#undef X
};
static const struct feature_name protocol_names[] = {
#define X(id, bit, name) {bit, name},
	VHOST_PROTOCOL_FEATURES(X)
#undef X
};

#define X(id, bit, name) | BIT64(bit)
static const uint64_t all_features = 0 VHOST_FEATURES(X);
static const uint64_t all_protocol = 0 VHOST_PROTOCOL_FEATURES(X);
#undef X

static void names_text(const struct feature_name *v, size_t n, uint64_t bits, char *buf, size_t len)
{
	size_t at = 0;

	buf[0] = 0;
	for (size_t i = 0; i < n && at < len; i++)
		if (bits & BIT64(v[i].bit))
			at += (size_t)snprintf(buf + at, len - at, "%s%s", at ? " " : "", v[i].name);
}

void vhost_features_text(uint64_t features, char *buf, size_t len)
{
	names_text(feature_names, ARRAY_SIZE(feature_names), features, buf, len);
}

void vhost_protocol_text(uint64_t features, char *buf, size_t len)
{
	names_text(protocol_names, ARRAY_SIZE(protocol_names), features, buf, len);
}

static bool has(const struct vhost_dev *d, enum vhost_feature f)
{
	return d->features & BIT64(f);
}

/* CTRL_VQ and CTRL_RX as DPDK has it: the frontend serves that queue itself, and without
 * them it could not tell its guest of MQ and GUEST_ANNOUNCE. */
uint64_t vhost_dev_offered(const struct vhost_dev *d)
{
	uint64_t f = all_features;

	if (!d->conf.has_mac)
		f &= ~BIT64(VHOST_F_MAC);
	if (d->conf.pairs == 1)
		f &= ~BIT64(VHOST_F_MQ);
	return f;
}

unsigned vhost_dev_offloads(const struct vhost_dev *d)
{
	unsigned o = 0;

	if (!has(d, VHOST_F_GUEST_CSUM)) /* the others need it: virtio 1.2 5.1.3.1 */
		return 0;
	o |= OFFLOAD_CSUM;
	o |= has(d, VHOST_F_GUEST_TSO4) ? OFFLOAD_TSO4 : 0;
	o |= has(d, VHOST_F_GUEST_TSO6) ? OFFLOAD_TSO6 : 0;
	o |= has(d, VHOST_F_GUEST_ECN) ? OFFLOAD_ECN : 0;
	/* A frame does not say which of the two it needs, so both or none. */
	o |= has(d, VHOST_F_GUEST_USO4) && has(d, VHOST_F_GUEST_USO6) ? OFFLOAD_USO : 0;
	return o;
}

/* ---- rings: parked and running ---- */

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void signal_fd(int fd)
{
	uint64_t one = 1;

	if (fd >= 0 && write(fd, &one, sizeof(one)) < 0)
		return; /* full, and so readable: it is signalled */
}

static bool wanted(const struct vhost_dev *d, const struct vhost_ring *r)
{
	return d->has_features && d->mem && r->conf.size && r->has_addr && r->kicked && r->enabled;
}

static void park_begin(struct vhost_dev *d, struct vhost_ring *r)
{
	if (r->running)
		d->ops->detach(d->arg, r);
}

static void park_end(struct vhost_dev *d, struct vhost_ring *r)
{
	if (!r->running)
		return;
	r->calls += atomic_load_explicit(&r->q.calls, memory_order_relaxed);
	r->conf.base = vring_stop(&r->q);
	r->running = false;
	d->n_running--;
}

static void park(struct vhost_dev *d, struct vhost_ring *r)
{
	if (!r->running)
		return;
	park_begin(d, r);
	d->ops->quiesce(d->arg);
	park_end(d, r);
}

static void park_all(struct vhost_dev *d)
{
	if (!d->n_running)
		return;
	for (unsigned i = 0; i < d->n_rings; i++)
		park_begin(d, &d->ring[i]);
	d->ops->quiesce(d->arg);
	for (unsigned i = 0; i < d->n_rings; i++)
		park_end(d, &d->ring[i]);
}

static void inflight_part(const struct vhost_dev *d, struct vhost_ring *r)
{
	bool in = r->index < d->inflight_queues;

	r->conf.inflight = in ? d->inflight.at + (size_t)r->index * d->inflight_each : NULL;
	r->conf.inflight_len = in ? d->inflight_each : 0;
}

/* Lets a ring run that should and does not.  -errno with r->why when it cannot. */
static int resume(struct vhost_dev *d, struct vhost_ring *r)
{
	if (r->running || !wanted(d, r))
		return 0;
	r->conf.features = d->features;
	r->conf.call_fd = r->call;
	inflight_part(d, r);
	int e = vring_start(&r->q, d->mem, &r->conf, &r->why);
	if (e)
		return e;
	e = d->ops->attach(d->arg, r);
	if (e) {
		r->conf.base = vring_stop(&r->q);
		r->why = "the switch cannot take the ring";
		return e;
	}
	r->why = NULL;
	r->running = true;
	d->n_running++;
	/* What was used just before a restart may never have been told: once too often is
	 * harmless. */
	signal_fd(r->call);
	return 0;
}

/* For a message that may have completed what the ring needs. */
static int resume_or_refuse(struct vhost_dev *d, struct vhost_ring *r, const char **ret_why)
{
	int e = resume(d, r);

	if (e)
		*ret_why = r->why;
	return e;
}

/* A ring that lost its memory waits for it to come back: QEMU removes a region before it
 * adds the larger one. */
static void resume_all(struct vhost_dev *d)
{
	for (unsigned i = 0; i < d->n_rings; i++)
		resume(d, &d->ring[i]);
}

/* As after GET_VRING_BASE: it runs again with a new kick descriptor. */
static void stop_ring(struct vhost_dev *d, struct vhost_ring *r)
{
	park(d, r);
	r->kicked = false;
	r->why = NULL;
	close_fd(&r->kick);
	close_fd(&r->call);
}

static void stop_all(struct vhost_dev *d)
{
	park_all(d);
	for (unsigned i = 0; i < d->n_rings; i++)
		stop_ring(d, &d->ring[i]);
}

/* The index is compared as the 32 bits it came as (CVE-2020-10723). */
static struct vhost_ring *ring_at(struct vhost_dev *d, uint32_t index, const char **ret_why)
{
	if (index < d->n_rings)
		return &d->ring[index];
	*ret_why = "a ring beyond those there are";
	return NULL;
}

/* ---- features and what comes before the rings ---- */

static int get_features(struct vhost_dev *d, struct vhost_msg *m, const char **ret_why)
{
	uint64_t f = vhost_dev_offered(d);

	vhost_msg_reply(m, &f, sizeof(f));
	return 0;
}

/* What the memory goes with, whenever one of them is new.  No ring runs. */
static void mem_attach(struct vhost_dev *d)
{
	const struct vhost_shm log = vhost_log_shm(&d->log);

	if (!d->mem)
		return;
	d->mem->log = has(d, VHOST_F_LOG_ALL) && d->log.bits ? &d->log : NULL;
	vhost_mem_beside(d->mem, VHOST_BESIDE_LOG, &log);
	vhost_mem_beside(d->mem, VHOST_BESIDE_INFLIGHT, &d->inflight);
}

static void mem_forget(struct vhost_dev *d, enum vhost_beside which)
{
	if (d->mem)
		vhost_mem_beside(d->mem, which, NULL);
}

static void enable_all(struct vhost_dev *d, bool on)
{
	for (unsigned i = 0; i < d->n_rings; i++)
		d->ring[i].enabled = on;
}

static int set_features(struct vhost_dev *d, struct vhost_msg *m, const char **ret_why)
{
	uint64_t f = m->u.u64, changed = f ^ d->features;

	if (f & ~vhost_dev_offered(d))
		return refuse(-EINVAL, "features that were not offered", ret_why);
	if (d->has_features && !changed)
		return 0;
	if (changed & ~BIT64(VHOST_F_LOG_ALL) && d->n_running)
		stop_all(d);
	else
		park_all(d);
	d->features = f;
	d->has_features = true;
	if (!has(d, VHOST_F_PROTOCOL_FEATURES))
		enable_all(d, true);
	mem_attach(d);
	resume_all(d);
	return 0;
}

static uint64_t protocol_offered(const struct vhost_dev *d)
{
	return all_protocol & ~(d->conf.no_config ? BIT64(VHOST_PF_CONFIG) : 0);
}

static int get_protocol_features(struct vhost_dev *d, struct vhost_msg *m, const char **ret_why)
{
	const uint64_t offered = protocol_offered(d);

	vhost_msg_reply(m, &offered, sizeof(offered));
	return 0;
}

static int set_protocol_features(struct vhost_dev *d, struct vhost_msg *m, const char **ret_why)
{
	if (m->u.u64 & ~protocol_offered(d))
		return refuse(-EINVAL, "protocol features that were not offered", ret_why);
	d->protocol = m->u.u64;
	return 0;
}

static int get_queue_num(struct vhost_dev *d, struct vhost_msg *m, const char **ret_why)
{
	uint64_t n = d->conf.pairs;

	vhost_msg_reply(m, &n, sizeof(n));
	return 0;
}

static int set_owner(struct vhost_dev *d, struct vhost_msg *m, const char **ret_why)
{
	d->owned = true;
	return 0;
}

static int reset_owner(struct vhost_dev *d, struct vhost_msg *m, const char **ret_why)
{
	return 0; /* deprecated: frontends that send it mean nothing by it, or disable rings after it */
}

static int reset_device(struct vhost_dev *d, struct vhost_msg *m, const char **ret_why)
{
	stop_all(d);
	enable_all(d, false);
	for (unsigned i = 0; i < d->n_rings; i++) {
		struct vhost_ring *r = &d->ring[i];
		r->conf = (struct vring_conf){.call_fd = -1};
		r->has_addr = false;
	}
	d->features = 0;
	d->has_features = false;
	d->status = 0;
	mem_attach(d);
	return 0;
}

static int set_status(struct vhost_dev *d, struct vhost_msg *m, const char **ret_why)
{
	if (m->u.u64 > UINT8_MAX)
		return refuse(-EINVAL, "a status of more than eight bits", ret_why);
	d->status = (uint8_t)m->u.u64;
	if (!d->status)
		stop_all(d);
	return 0;
}

static int get_status(struct vhost_dev *d, struct vhost_msg *m, const char **ret_why)
{
	uint64_t s = d->status;

	vhost_msg_reply(m, &s, sizeof(s));
	return 0;
}

/* Only such a socket is sure not to block us: a TCP one may linger in close(). */
static bool unix_stream(int fd)
{
	int domain = 0, type = 0;
	socklen_t len = sizeof(int);

	return !getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) && domain == AF_UNIX &&
	       !getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) && type == SOCK_STREAM;
}

static int set_backend_req_fd(struct vhost_dev *d, struct vhost_msg *m, const char **ret_why)
{
	if (!unix_stream(m->fd[0]))
		return refuse(-EINVAL, "a backend channel that is no UNIX stream socket", ret_why);
	close_fd(&d->backend_fd);
	d->backend_fd = vhost_msg_take_fd(m, 0);
	return 0;
}

/* ---- memory ---- */

/* Puts `mem` in the place of what was there, rings parked meanwhile. */
static void swap_mem(struct vhost_dev *d, struct vhost_mem *mem)
{
	struct vhost_mem *old = d->mem;

	park_all(d);
	d->mem = mem;
	mem_attach(d);
	resume_all(d);
	vhost_mem_free(old);
}

static int set_mem_table(struct vhost_dev *d, struct vhost_msg *m, const char **ret_why)
{
	const struct vhost_table_msg *t = &m->u.table;
	struct vhost_mem *mem = NULL, *next;

	if (!t->n || t->n > VHOST_TABLE_MAX || m->size != 8 + t->n * sizeof(t->r[0]))
		return refuse(-EINVAL, "a memory table of the wrong length", ret_why);
	if (m->n_fds != t->n)
		return refuse(-EINVAL, "a memory table without a descriptor for each region", ret_why);
	for (unsigned i = 0; i < t->n; i++) {
		int e = vhost_mem_add(mem, &t->r[i], m->fd[i], &next, ret_why);
		vhost_mem_free(mem); /* the next one holds its regions */
		if (e)
			return e;
		mem = next;
	}
	swap_mem(d, mem);
	return 0;
}

static int get_max_mem_slots(struct vhost_dev *d, struct vhost_msg *m, const char **ret_why)
{
	uint64_t n = VHOST_REGIONS_MAX;

	vhost_msg_reply(m, &n, sizeof(n));
	return 0;
}

static int add_mem_reg(struct vhost_dev *d, struct vhost_msg *m, const char **ret_why)
{
	struct vhost_mem *mem;
	int e = vhost_mem_add(d->mem, &m->u.region.r, m->fd[0], &mem, ret_why);

	if (!e)
		swap_mem(d, mem);
	return e;
}

static int rem_mem_reg(struct vhost_dev *d, struct vhost_msg *m, const char **ret_why)
{
	struct vhost_mem *mem;
	int e = vhost_mem_remove(d->mem, &m->u.region.r, &mem, ret_why);

	if (!e)
		swap_mem(d, mem);
	return e;
}

/* ---- the dirty log ---- */

static bool log_covers_regions(const struct vhost_dev *d, const struct vhost_log *l)
{
	for (unsigned i = 0; d->mem && i < d->mem->n; i++)
		if (!vhost_log_covers(l, d->mem->r[i].gpa, d->mem->r[i].size))
			return false;
	return true;
}

static int set_log_base(struct vhost_dev *d, struct vhost_msg *m, const char **ret_why)
{
	struct vhost_log log;
	uint64_t zero = 0;
	int e = vhost_log_map(&log, m->fd[0], m->u.log.offset, m->u.log.size);

	if (e)
		return refuse(e, "a dirty log that its file does not hold", ret_why);
	if (!log_covers_regions(d, &log)) {
		vhost_log_unmap(&log);
		return refuse(-EINVAL, "a dirty log too short for the memory", ret_why);
	}
	park_all(d);
	mem_forget(d, VHOST_BESIDE_LOG);
	vhost_log_unmap(&d->log);
	d->log = log;
	mem_attach(d);
	resume_all(d);
	vhost_msg_reply(m, &zero, sizeof(zero));
	return 0;
}

static int set_log_fd(struct vhost_dev *d, struct vhost_msg *m, const char **ret_why)
{
	return 0; /* would be written for each page; no frontend waits for it */
}

/* ---- rings ---- */

static int set_vring_num(struct vhost_dev *d, struct vhost_msg *m, const char **ret_why)
{
	struct vhost_ring *r = ring_at(d, m->u.state.index, ret_why);
	uint32_t n = m->u.state.num;

	if (!r)
		return -EINVAL;
	if (!n || n > VRING_SIZE_MAX || n & (n - 1))
		return refuse(-EINVAL, "a ring size that is no power of two up to 32768", ret_why);
	if (r->running)
		return refuse(-EBUSY, "the size of a ring that runs", ret_why);
	r->conf.size = n;
	return resume_or_refuse(d, r, ret_why);
}

/* Also for a ring that runs: the start of a migration turns its log on so. */
static int set_vring_addr(struct vhost_dev *d, struct vhost_msg *m, const char **ret_why)
{
	const struct vhost_vring_addr_msg *a = &m->u.addr;
	struct vhost_ring *r = ring_at(d, a->index, ret_why);
	bool log = a->flags & VHOST_VRING_F_LOG_;

	if (!r)
		return -EINVAL;
	if (a->flags & ~VHOST_VRING_F_LOG_)
		return refuse(-EINVAL, "unknown flags of a ring's addresses", ret_why);
	/* A packed ring's log is where its descriptors are, see vring_start(). */
	if (log && d->log.bits && r->conf.size && !has(d, VHOST_F_RING_PACKED) &&
	    !vhost_log_covers(&d->log, a->log, USED_HDR + (uint64_t)r->conf.size * USED_ELEM))
		return refuse(-EINVAL, "a used ring that the dirty log does not cover", ret_why);
	park(d, r);
	r->conf.desc = a->desc;
	r->conf.avail = a->avail;
	r->conf.used = a->used;
	r->conf.log_used = log;
	r->conf.used_log = a->log;
	r->has_addr = true;
	return resume_or_refuse(d, r, ret_why);
}

static int set_vring_base(struct vhost_dev *d, struct vhost_msg *m, const char **ret_why)
{
	struct vhost_ring *r = ring_at(d, m->u.state.index, ret_why);

	if (!r)
		return -EINVAL;
	if (r->running)
		return refuse(-EBUSY, "the base of a ring that runs", ret_why);
	if (!has(d, VHOST_F_RING_PACKED) && m->u.state.num > UINT16_MAX)
		return refuse(-EINVAL, "a base beyond 65535", ret_why);
	r->conf.base = m->u.state.num;
	return 0;
}

static int get_vring_base(struct vhost_dev *d, struct vhost_msg *m, const char **ret_why)
{
	struct vhost_ring *r = ring_at(d, m->u.state.index, ret_why);

	if (!r)
		return -EINVAL;
	stop_ring(d, r);
	m->u.state.num = r->conf.base;
	vhost_msg_reply(m, NULL, sizeof(m->u.state));
	return 0;
}

/* A worker writes these, and must never wait in doing so: only eventfds, made nonblocking.
 * (Their owner can undo that.  A worker that then blocks is the price of a frontend that
 * runs with the trust of the socket's group; no cheaper way to signal is known.) */
static int check_eventfd(int fd, const char **ret_why)
{
	char path[32], target[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(path, target, sizeof(target) - 1);
	if (n >= 0) {
		target[n] = 0;
		if (strcmp(target, "anon_inode:[eventfd]") != 0)
			return refuse(-EINVAL, "a descriptor that is no eventfd", ret_why);
	}
	int flags = fcntl(fd, F_GETFL);
	if (flags < 0 || (!(flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0))
		return refuse(-errno, "a descriptor that cannot be made nonblocking", ret_why);
	return 0;
}

/* The ring and the descriptor (-1: none) of SET_VRING_KICK, CALL and ERR. */
static int ring_fd(struct vhost_dev *d, struct vhost_msg *m, struct vhost_ring **ret_ring,
		   int *ret_fd, const char **ret_why)
{
	uint64_t v = m->u.u64;
	bool none = v & VHOST_VRING_NO_FD;

	if (v & ~(VHOST_VRING_INDEX | VHOST_VRING_NO_FD))
		return refuse(-EINVAL, "a ring beyond those there are", ret_why);
	struct vhost_ring *r = ring_at(d, (uint32_t)(v & VHOST_VRING_INDEX), ret_why);
	if (!r)
		return -EINVAL;
	if (none != (m->n_fds == 0))
		return refuse(-EINVAL, none ? "a descriptor where none was announced"
					    : "no descriptor where one was announced", ret_why);
	int e = none ? 0 : check_eventfd(m->fd[0], ret_why);
	if (e)
		return e;
	*ret_ring = r;
	*ret_fd = vhost_msg_take_fd(m, 0);
	return 0;
}

static int set_vring_kick(struct vhost_dev *d, struct vhost_msg *m, const char **ret_why)
{
	struct vhost_ring *r;
	int fd, e = ring_fd(d, m, &r, &fd, ret_why);

	if (e)
		return e;
	park(d, r);
	close_fd(&r->kick);
	r->kick = fd;
	r->kicked = true;
	return resume_or_refuse(d, r, ret_why);
}

static int set_vring_call(struct vhost_dev *d, struct vhost_msg *m, const char **ret_why)
{
	struct vhost_ring *r;
	int fd, e = ring_fd(d, m, &r, &fd, ret_why);

	if (e)
		return e;
	park(d, r);
	close_fd(&r->call);
	r->call = fd;
	return resume_or_refuse(d, r, ret_why);
}

static int set_vring_err(struct vhost_dev *d, struct vhost_msg *m, const char **ret_why)
{
	struct vhost_ring *r;
	int fd, e = ring_fd(d, m, &r, &fd, ret_why);

	if (e)
		return e;
	close_fd(&r->err);
	r->err = fd;
	return 0;
}

static int set_vring_enable(struct vhost_dev *d, struct vhost_msg *m, const char **ret_why)
{
	struct vhost_ring *r = ring_at(d, m->u.state.index, ret_why);

	if (!r)
		return -EINVAL;
	if (m->u.state.num > 1)
		return refuse(-EINVAL, "neither enable nor disable", ret_why);
	if (r->enabled == m->u.state.num)
		return 0;
	r->enabled = m->u.state.num;
	if (!r->enabled)
		park(d, r);
	return resume_or_refuse(d, r, ret_why);
}

/* ---- of the network device ---- */

static int send_rarp(struct vhost_dev *d, struct vhost_msg *m, const char **ret_why)
{
	struct mac mac;

	memcpy(mac.b, &m->u.u64, sizeof(mac.b)); /* the first six bytes on the wire */
	if (mac.b[0] & 1)
		return refuse(-EINVAL, "RARP for a group address", ret_why);
	d->ops->rarp(d->arg, mac);
	return 0;
}

static int net_set_mtu(struct vhost_dev *d, struct vhost_msg *m, const char **ret_why)
{
	if (m->u.u64 < MTU_MIN || m->u.u64 > UINT16_MAX)
		return refuse(-EINVAL, "an impossible MTU", ret_why);
	if (d->mtu == m->u.u64)
		return 0;
	park_all(d);
	d->ops->down(d->arg);
	d->mtu = (uint32_t)m->u.u64;
	resume_all(d);
	return 0;
}

/* virtio 1.2 5.1.4, little-endian; what follows is of features we do not have. */
struct net_config {
	uint8_t mac[6];
	uint16_t status, max_virtqueue_pairs, mtu;
};
_Static_assert(sizeof(struct net_config) == 12, "on the wire");

/* A frontend that has set an MTU hears its own. */
static struct net_config net_config(const struct vhost_dev *d)
{
	struct net_config n = {
		.status = htole16(d->conf.link_down ? 0 : STATUS_LINK),
		.max_virtqueue_pairs = htole16((uint16_t)d->conf.pairs),
		.mtu = htole16((uint16_t)(d->mtu ? d->mtu : d->conf.mtu)),
	};

	if (d->conf.has_mac)
		memcpy(n.mac, d->conf.mac.b, sizeof(n.mac));
	return n;
}

static int get_config(struct vhost_dev *d, struct vhost_msg *m, const char **ret_why)
{
	struct vhost_config_msg *c = &m->u.config;
	uint8_t space[VHOST_CONFIG_MAX] = {0};
	struct net_config n = net_config(d);

	memcpy(space, &n, sizeof(n));
	if (c->offset > sizeof(space) || c->size > sizeof(space) - c->offset ||
	    m->size != 12 + c->size) {
		vhost_msg_reply(m, NULL, 0); /* how this message is refused */
		return 0;
	}
	memcpy(c->bytes, space + c->offset, c->size);
	vhost_msg_reply(m, NULL, 12 + c->size);
	return 0;
}

static int set_config(struct vhost_dev *d, struct vhost_msg *m, const char **ret_why)
{
	return refuse(-EPERM, "the device's configuration cannot be written", ret_why);
}

/* ---- the backend's channel ---- */

#define THROWN_AWAY 16u /* reads before each message */

/* Descriptors that came along are closed by the kernel, as nobody asked for them. */
static void backend_drain(int fd)
{
	uint8_t b[4096];

	for (unsigned i = 0; i < THROWN_AWAY && recv(fd, b, sizeof(b), MSG_DONTWAIT) > 0; i++)
		;
}

static void say_config_changed(struct vhost_dev *d)
{
	const uint64_t both = BIT64(VHOST_PF_BACKEND_REQ) | BIT64(VHOST_PF_CONFIG);
	const struct vhost_msg m = {.request = VHOST_BACKEND_CONFIG_CHANGE_MSG, .flags = VHOST_VERSION};

	if (d->backend_fd < 0 || (d->protocol & both) != both)
		return;
	backend_drain(d->backend_fd);
	int e = vhost_msg_send(d->backend_fd, &m, -1);
	if (e && e != -EAGAIN) /* twelve bytes are sent whole or not at all */
		close_fd(&d->backend_fd);
}

void vhost_dev_link(struct vhost_dev *d, bool up, uint32_t mtu)
{
	const struct net_config was = net_config(d);

	d->conf.link_down = !up;
	d->conf.mtu = mtu ? mtu : MTU_DEFAULT;
	const struct net_config now = net_config(d);
	if (memcmp(&was, &now, sizeof(was)) != 0)
		say_config_changed(d);
}

/* ---- inflight ---- */

static void inflight_drop(struct vhost_dev *d)
{
	mem_forget(d, VHOST_BESIDE_INFLIGHT);
	vhost_shm_unmap(&d->inflight);
	d->inflight_queues = 0;
	d->inflight_each = 0;
}

/* How much each ring of that size needs; 0: impossible. */
static uint32_t inflight_each(const struct vhost_dev *d, const struct vhost_inflight_msg *i)
{
	uint32_t size = i->queue_size;

	if (!i->num_queues || i->num_queues > d->n_rings) /* CVE-2021-3839 */
		return 0;
	if (!size || size > VRING_SIZE_MAX || size & (size - 1))
		return 0;
	size = has(d, VHOST_F_RING_PACKED) ? INFLIGHT_PACKED_HDR + size * INFLIGHT_PACKED_DESC
					   : INFLIGHT_SPLIT_HDR + size * INFLIGHT_SPLIT_DESC;
	return (size + INFLIGHT_ALIGN - 1) & ~(INFLIGHT_ALIGN - 1);
}

/* Sealed, so that what we write to can never be cut short. */
static int inflight_file(uint64_t bytes)
{
	int fd = memfd_create("vhost-inflight", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)bytes) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0) {
		int err = errno;
		close(fd);
		return -err;
	}
	return fd;
}

/* Rings use the new area from their next start on; those that run are restarted. */
static void inflight_use(struct vhost_dev *d, const struct vhost_shm *s, uint16_t queues,
			 uint32_t each)
{
	park_all(d);
	inflight_drop(d); /* of a message before: CVE-2020-10726 */
	d->inflight = *s;
	d->inflight_queues = queues;
	d->inflight_each = each;
	mem_attach(d);
	resume_all(d);
}

static int get_inflight_fd(struct vhost_dev *d, struct vhost_msg *m, const char **ret_why)
{
	struct vhost_inflight_msg *i = &m->u.inflight;
	uint32_t each = inflight_each(d, i);
	uint64_t bytes = ((uint64_t)each * i->num_queues + INFLIGHT_PAGE - 1) & ~(uint64_t)(INFLIGHT_PAGE - 1);
	struct vhost_shm s;

	if (!each)
		return refuse(-EINVAL, "an inflight area for rings that there are not", ret_why);
	int fd = inflight_file(bytes);
	if (fd < 0)
		return refuse(fd, "no memory for an inflight area", ret_why);
	int e = vhost_shm_map(fd, 0, bytes, &s, ret_why);
	if (e) {
		close(fd);
		return e;
	}
	inflight_use(d, &s, i->num_queues, each);
	i->size = bytes;
	i->offset = 0;
	d->reply_fd = fd;
	vhost_msg_reply(m, NULL, m->size);
	return 0;
}

static int set_inflight_fd(struct vhost_dev *d, struct vhost_msg *m, const char **ret_why)
{
	struct vhost_inflight_msg *i = &m->u.inflight;
	uint32_t each = inflight_each(d, i);
	struct vhost_shm s;

	if (!each)
		return refuse(-EINVAL, "an inflight area for rings that there are not", ret_why);
	if (i->size < (uint64_t)each * i->num_queues)
		return refuse(-EINVAL, "an inflight area too small for its rings", ret_why);
	int e = vhost_shm_map(m->fd[0], i->offset, i->size, &s, ret_why);
	if (e)
		return e;
	inflight_use(d, &s, i->num_queues, each);
	return 0;
}

/* ---- the table ---- */

typedef int handler(struct vhost_dev *d, struct vhost_msg *m, const char **ret_why);

static handler *const handlers[VHOST_REQUEST_END] = {
	[VHOST_GET_FEATURES] = get_features,
	[VHOST_SET_FEATURES] = set_features,
	[VHOST_SET_OWNER] = set_owner,
	[VHOST_RESET_OWNER] = reset_owner,
	[VHOST_SET_MEM_TABLE] = set_mem_table,
	[VHOST_SET_LOG_BASE] = set_log_base,
	[VHOST_SET_LOG_FD] = set_log_fd,
	[VHOST_SET_VRING_NUM] = set_vring_num,
	[VHOST_SET_VRING_ADDR] = set_vring_addr,
	[VHOST_SET_VRING_BASE] = set_vring_base,
	[VHOST_GET_VRING_BASE] = get_vring_base,
	[VHOST_SET_VRING_KICK] = set_vring_kick,
	[VHOST_SET_VRING_CALL] = set_vring_call,
	[VHOST_SET_VRING_ERR] = set_vring_err,
	[VHOST_GET_PROTOCOL_FEATURES] = get_protocol_features,
	[VHOST_SET_PROTOCOL_FEATURES] = set_protocol_features,
	[VHOST_GET_QUEUE_NUM] = get_queue_num,
	[VHOST_SET_VRING_ENABLE] = set_vring_enable,
	[VHOST_SEND_RARP] = send_rarp,
	[VHOST_NET_SET_MTU] = net_set_mtu,
	[VHOST_SET_BACKEND_REQ_FD] = set_backend_req_fd,
	[VHOST_GET_CONFIG] = get_config,
	[VHOST_SET_CONFIG] = set_config,
	[VHOST_GET_INFLIGHT_FD] = get_inflight_fd,
	[VHOST_SET_INFLIGHT_FD] = set_inflight_fd,
	[VHOST_RESET_DEVICE] = reset_device,
	[VHOST_GET_MAX_MEM_SLOTS] = get_max_mem_slots,
	[VHOST_ADD_MEM_REG] = add_mem_reg,
	[VHOST_REM_MEM_REG] = rem_mem_reg,
	[VHOST_SET_STATUS] = set_status,
	[VHOST_GET_STATUS] = get_status,
};

/* ---- the walker ---- */

static int send_reply(struct vhost_dev *d, const struct vhost_msg *m, int sock, const char **ret_why)
{
	int e = vhost_msg_send(sock, m, d->reply_fd);

	close_fd(&d->reply_fd); /* CVE-2022-0669: ours is closed, sent or not */
	return e == -EAGAIN ? refuse(e, "the frontend does not read its replies", ret_why)
	       : e	    ? refuse(e, "the frontend is gone", ret_why)
			    : 0;
}

const char *vhost_dev_broken(const struct vhost_dev *d)
{
	const struct vhost_shm log = vhost_log_shm(&d->log);

	if (vhost_shm_broken(&log))
		return "the dirty log's file was cut short";
	if (vhost_shm_broken(&d->inflight))
		return "the inflight area's file was cut short";
	return d->mem && d->mem->broken ? vring_fault_text(VRING_FAULT_MEMORY) : NULL;
}

int vhost_dev_handle(struct vhost_dev *d, struct vhost_msg *m, int sock, const char **ret_why)
{
	/* As it was when the message was sent: SET_PROTOCOL_FEATURES itself has no status yet. */
	bool status = d->protocol & BIT64(VHOST_PF_REPLY_ACK) && vhost_msg_wants_status(m);
	bool body = m->kind && m->kind->body == BODY_ALWAYS;
	uint64_t failed;
	int e;

	*ret_why = "a message that is not supported";
	e = m->kind ? handlers[m->request](d, m, ret_why) : -ENOTSUP;
	if (!d->n_running)
		d->ops->down(d->arg);
	const char *broken = vhost_dev_broken(d); /* met in starting a ring, or by a worker */
	if (broken) {
		close_fd(&d->reply_fd);
		vhost_msg_close(m);
		return refuse(-EFAULT, broken, ret_why);
	}
	if (e && !status) {
		vhost_msg_close(m);
		return e;
	}
	failed = e != 0;
	d->nack = e ? *ret_why : NULL;
	if (status)
		vhost_msg_reply(m, &failed, sizeof(failed));
	if (status || body)
		return send_reply(d, m, sock, ret_why);
	vhost_msg_close(m);
	return 0;
}

void vhost_dev_signal_err(struct vhost_dev *d)
{
	for (unsigned i = 0; i < d->n_rings; i++)
		if (d->ring[i].running)
			signal_fd(d->ring[i].err);
}

/* ---- life ---- */

int vhost_dev_init(struct vhost_dev *d, const struct vhost_dev_conf *c,
		   const struct vhost_dev_ops *ops, void *arg)
{
	if (!c->pairs || c->pairs > VHOST_PAIRS_MAX)
		return -EINVAL;
	*d = (struct vhost_dev){.ops = ops, .arg = arg, .conf = *c, .n_rings = 2 * c->pairs,
				.backend_fd = -1, .reply_fd = -1};
	if (!d->conf.mtu)
		d->conf.mtu = MTU_DEFAULT;
	d->ring = calloc(d->n_rings, sizeof(*d->ring));
	if (!d->ring)
		return -ENOMEM;
	for (unsigned i = 0; i < d->n_rings; i++) {
		struct vhost_ring *r = &d->ring[i];
		r->index = i;
		r->kick = r->call = r->err = r->conf.call_fd = -1;
	}
	vhost_mem_guard();
	return 0;
}

void vhost_dev_reset(struct vhost_dev *d)
{
	stop_all(d);
	d->ops->down(d->arg);
	for (unsigned i = 0; i < d->n_rings; i++) {
		struct vhost_ring *r = &d->ring[i];
		close_fd(&r->err);
		r->conf = (struct vring_conf){.call_fd = -1};
		r->has_addr = r->enabled = false;
		r->calls = 0;
	}
	vhost_mem_free(d->mem);
	d->mem = NULL;
	vhost_log_unmap(&d->log);
	inflight_drop(d);
	close_fd(&d->backend_fd);
	d->features = d->protocol = 0;
	d->has_features = d->owned = false;
	d->status = 0;
	d->mtu = 0;
	d->nack = NULL;
}

void vhost_dev_fini(struct vhost_dev *d)
{
	if (!d->ring)
		return;
	vhost_dev_reset(d);
	free(d->ring);
	d->ring = NULL;
}
