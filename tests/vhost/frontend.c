/* The device's life and its frames, of frontend.h. */
#include "tests/vhost/frontend.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define BIG_BUFFER   (66u * 1024) /* a 65535 byte frame, its header, to a page's half */
#define MERGE_BUFFER 4096u
#define REGION_HOLE  (1ull << 20)
#define LINE	     64u

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "virtio 1 on other hosts needs swaps");

uint64_t fe_features_default(void)
{
	return FE_BIT(VIRTIO_F_VERSION_1) | FE_F_PROTOCOL | FE_F_LOG_ALL |
	       FE_BIT(VIRTIO_NET_F_MRG_RXBUF) | FE_BIT(VIRTIO_RING_F_INDIRECT_DESC) |
	       FE_BIT(VIRTIO_RING_F_EVENT_IDX) | FE_BIT(VIRTIO_F_ANY_LAYOUT) |
	       FE_BIT(VIRTIO_NET_F_CSUM) | FE_BIT(VIRTIO_NET_F_GUEST_CSUM) |
	       FE_BIT(VIRTIO_NET_F_GUEST_TSO4) | FE_BIT(VIRTIO_NET_F_GUEST_TSO6) |
	       FE_BIT(VIRTIO_NET_F_GUEST_ECN) | FE_BIT(VIRTIO_NET_F_HOST_TSO4) |
	       FE_BIT(VIRTIO_NET_F_HOST_TSO6) | FE_BIT(VIRTIO_NET_F_HOST_ECN) | FE_F_USO |
	       FE_BIT(VIRTIO_NET_F_MQ) | FE_BIT(VIRTIO_NET_F_CTRL_VQ) |
	       FE_BIT(VIRTIO_NET_F_STATUS) | FE_BIT(VIRTIO_NET_F_MTU) |
	       FE_BIT(VIRTIO_NET_F_GUEST_ANNOUNCE);
}

static int fail(struct fe *fe, int err, const char *what)
{
	snprintf(fe->error, sizeof(fe->error), "%s: %s", what, strerror(-err));
	return err;
}

/* ---- guest memory ---- */

static int region_open(struct fe *fe, unsigned i, uint64_t size)
{
	struct fe_region *r = &fe->region[i];

	r->size = size;
	r->gpa = i * (size + REGION_HOLE);
	r->offset = i * FE_PAGE;
	r->fd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (r->fd < 0 || ftruncate(r->fd, (off_t)(size + r->offset)) < 0)
		return fail(fe, -errno, "guest memory");
	if (fe->cfg.seal && fcntl(r->fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0)
		return fail(fe, -errno, "seal guest memory");
	r->base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, (off_t)r->offset);
	if (r->base == MAP_FAILED)
		return fail(fe, -errno, "map guest memory");
	if (i == 0)
		r->used = FE_PAGE; /* nothing of ours at guest address 0 */
	fe->nregions = i + 1;
	return 0;
}

void *fe_alloc(struct fe *fe, unsigned region, size_t size, size_t align, uint64_t *ret_gpa)
{
	struct fe_region *r = &fe->region[region];
	size_t at = (r->used + align - 1) & ~(align - 1);

	if (at + size > r->size)
		return NULL;
	r->used = at + size;
	if (ret_gpa)
		*ret_gpa = r->gpa + at;
	return r->base + at;
}

void *fe_at(struct fe *fe, uint64_t gpa)
{
	for (unsigned i = 0; i < fe->nregions; i++) {
		struct fe_region *r = &fe->region[i];

		if (gpa >= r->gpa && gpa - r->gpa < r->size)
			return r->base + (gpa - r->gpa);
	}
	return NULL;
}

static uint64_t round_up(uint64_t n, uint64_t to)
{
	return (n + to - 1) / to * to;
}

/* Sparse: enough in every region for all, so that layout never has to think. */
static uint64_t memory_needed(const struct fe_config *c)
{
	uint64_t ring = 16ull * (FE_TABLE + 2) * c->size + 8ull * FE_PAGE;
	uint64_t buffers = (uint64_t)c->size * (c->rx_buf + c->tx_buf + 2 * LINE);

	return round_up(FE_PAGE + c->pairs * (2 * ring + buffers), FE_PAGE);
}

static void config_defaults(struct fe_config *c)
{
	bool mergeable = c->features & FE_BIT(VIRTIO_NET_F_MRG_RXBUF);

	c->pairs = c->pairs ? c->pairs : 1;
	c->size = c->size ? c->size : 256;
	c->regions = c->regions ? c->regions : 1;
	c->rx_buf = c->rx_buf ? c->rx_buf : mergeable ? MERGE_BUFFER : BIG_BUFFER;
	c->tx_buf = c->tx_buf ? c->tx_buf : BIG_BUFFER;
	c->rx_split = c->rx_split ? c->rx_split : 1;
	c->tx_split = c->tx_split ? c->tx_split : 1;
	if (c->pairs > 1)
		c->protocol |= FE_P_MQ;
}

int fe_init(struct fe *fe, const struct fe_config *cfg)
{
	int err = 0;

	memset(fe, 0, sizeof(*fe));
	fe->cfg = *cfg;
	fe->sock = fe->listener = fe->backend_req = fe->inflight_fd = fe->log_fd = -1;
	fe->timeout_ms = 5000;
	config_defaults(&fe->cfg);
	if (fe->cfg.pairs > FE_PAIRS_MAX || fe->cfg.regions > FE_REGIONS_MAX ||
	    fe->cfg.tx_split > FE_TABLE)
		return fail(fe, -EINVAL, "configuration");
	for (unsigned i = 0; i < fe->cfg.regions && !err; i++)
		err = region_open(fe, i, memory_needed(&fe->cfg));
	return err;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void pair_free(struct fe_pair *p)
{
	if (p->rx.slot)
		fe_ring_free(&p->rx);
	if (p->tx.slot)
		fe_ring_free(&p->tx);
	free(p->rx_at);
	free(p->tx_at);
	free(p->rx_gpa);
	free(p->tx_gpa);
	free(p->tx_free);
	memset(p, 0, sizeof(*p));
}

void fe_disconnect(struct fe *fe)
{
	close_fd(&fe->sock);
	close_fd(&fe->backend_req);
}

void fe_fini(struct fe *fe)
{
	fe_disconnect(fe);
	if (fe->listener >= 0)
		unlink(fe->cfg.path);
	close_fd(&fe->listener);
	close_fd(&fe->inflight_fd);
	close_fd(&fe->log_fd);
	if (fe->log)
		munmap(fe->log, fe->log_size);
	for (unsigned i = 0; i < fe->cfg.pairs && i < FE_PAIRS_MAX; i++)
		pair_free(&fe->pair[i]);
	for (unsigned i = 0; i < fe->nregions; i++) {
		munmap(fe->region[i].base, fe->region[i].size);
		close_fd(&fe->region[i].fd);
	}
	fe->nregions = 0;
}

/* ---- negotiation ---- */

static int ask_u64(struct fe *fe, uint32_t request, uint64_t *ret)
{
	struct fe_msg m = {.request = request};
	int err = fe_ask(fe, &m, NULL);

	if (!err && m.size != 8)
		err = fail(fe, -EPROTO, "size of an answer");
	if (!err)
		*ret = m.u64;
	return err;
}

int fe_set_features(struct fe *fe, uint64_t features)
{
	return fe_tell_u64(fe, FE_SET_FEATURES, features, -1);
}

static int give_backend_channel(struct fe *fe)
{
	int sv[2], err;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
		return fail(fe, -errno, "socketpair");
	struct fe_msg m = {.request = FE_SET_BACKEND_REQ_FD};
	err = fe_tell(fe, &m, &sv[1], 1);
	close(sv[1]);
	close_fd(&fe->backend_req);
	fe->backend_req = sv[0];
	return err;
}

static int ask_limits(struct fe *fe)
{
	uint64_t v;
	int err = 0;

	fe->queue_max = 1;
	if (fe->protocol & FE_P_MQ) {
		if ((err = ask_u64(fe, FE_GET_QUEUE_NUM, &v)))
			return err;
		fe->queue_max = (unsigned)v;
	}
	if (fe->cfg.pairs > fe->queue_max)
		return fail(fe, -E2BIG, "the backend has fewer queue pairs");
	if (fe->protocol & FE_P_MEM_SLOTS) {
		if ((err = ask_u64(fe, FE_GET_MAX_MEM_SLOTS, &v)))
			return err;
		fe->slots_max = (unsigned)v;
	}
	return fe->protocol & FE_P_BACKEND_REQ ? give_backend_channel(fe) : 0;
}

static int negotiate_protocol(struct fe *fe)
{
	int err;

	fe->protocol = 0;
	if (!(fe->features & FE_F_PROTOCOL))
		return 0;
	if ((err = ask_u64(fe, FE_GET_PROTOCOL_FEATURES, &fe->offered_protocol)))
		return err;
	uint64_t both = fe->offered_protocol & fe->cfg.protocol;
	if (!(both & FE_P_REPLY_ACK))
		both &= ~FE_P_BACKEND_REQ;
	if ((err = fe_tell_u64(fe, FE_SET_PROTOCOL_FEATURES, both, -1)))
		return err;
	fe->protocol = both;
	return ask_limits(fe);
}

/* Features that need another one, of virtio 1.2, 5.1.3.1: a driver may not take them alone. */
static uint64_t without_orphans(uint64_t f)
{
	static const struct {
		uint64_t bit, needs; /* any of */
	} rules[] = {
		{FE_BIT(VIRTIO_NET_F_HOST_TSO4), FE_BIT(VIRTIO_NET_F_CSUM)},
		{FE_BIT(VIRTIO_NET_F_HOST_TSO6), FE_BIT(VIRTIO_NET_F_CSUM)},
		{FE_F_HOST_USO, FE_BIT(VIRTIO_NET_F_CSUM)},
		{FE_BIT(VIRTIO_NET_F_HOST_ECN),
		 FE_BIT(VIRTIO_NET_F_HOST_TSO4) | FE_BIT(VIRTIO_NET_F_HOST_TSO6)},
		{FE_BIT(VIRTIO_NET_F_GUEST_TSO4), FE_BIT(VIRTIO_NET_F_GUEST_CSUM)},
		{FE_BIT(VIRTIO_NET_F_GUEST_TSO6), FE_BIT(VIRTIO_NET_F_GUEST_CSUM)},
		{FE_F_USO & ~FE_F_HOST_USO, FE_BIT(VIRTIO_NET_F_GUEST_CSUM)},
		{FE_BIT(VIRTIO_NET_F_GUEST_ECN),
		 FE_BIT(VIRTIO_NET_F_GUEST_TSO4) | FE_BIT(VIRTIO_NET_F_GUEST_TSO6)},
		{FE_BIT(VIRTIO_NET_F_MQ) | FE_BIT(VIRTIO_NET_F_GUEST_ANNOUNCE),
		 FE_BIT(VIRTIO_NET_F_CTRL_VQ)},
	};

	for (size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++)
		if (!(f & rules[i].needs))
			f &= ~rules[i].bit;
	return f;
}

int fe_negotiate(struct fe *fe)
{
	const uint64_t modern = FE_BIT(VIRTIO_F_VERSION_1) | FE_BIT(VIRTIO_NET_F_MRG_RXBUF);
	int err;

	fe->protocol = 0;
	if ((err = ask_u64(fe, FE_GET_FEATURES, &fe->offered)))
		return err;
	fe->features = without_orphans(fe->offered & fe->cfg.features);
	if (fe->cfg.features & ~fe->offered & FE_BIT(VIRTIO_F_RING_PACKED))
		return fail(fe, -EOPNOTSUPP, "the backend has no packed rings");
	if ((err = negotiate_protocol(fe)))
		return err;
	struct fe_msg owner = {.request = FE_SET_OWNER};
	if ((err = fe_tell(fe, &owner, NULL, 0)))
		return err;
	fe->hdr_len = fe->features & modern ? 12 : 10;
	return fe_set_features(fe, fe->features & ~FE_F_LOG_ALL);
}

/* ---- memory, log, in-flight region ---- */

static struct fe_wire_region wire_of(const struct fe_region *r)
{
	return (struct fe_wire_region){r->gpa, r->size, (uint64_t)(uintptr_t)r->base, r->offset};
}

int fe_add_region(struct fe *fe, const struct fe_region *r)
{
	struct fe_msg m = {.request = FE_ADD_MEM_REG, .size = sizeof(m.slot)};

	m.slot.region = wire_of(r);
	return fe_tell(fe, &m, &r->fd, 1);
}

int fe_del_region(struct fe *fe, const struct fe_region *r)
{
	struct fe_msg m = {.request = FE_REM_MEM_REG, .size = sizeof(m.slot)};

	m.slot.region = wire_of(r);
	return fe_tell(fe, &m, NULL, 0);
}

static int send_table(struct fe *fe)
{
	struct fe_msg m = {.request = FE_SET_MEM_TABLE};
	int fds[FE_REGIONS_MAX];

	m.mem.n = fe->nregions;
	m.size = 8 + fe->nregions * (uint32_t)sizeof(struct fe_wire_region);
	for (unsigned i = 0; i < fe->nregions; i++) {
		m.mem.region[i] = wire_of(&fe->region[i]);
		fds[i] = fe->region[i].fd;
	}
	return fe_tell(fe, &m, fds, fe->nregions);
}

int fe_send_memory(struct fe *fe)
{
	int err = 0;

	if (!(fe->protocol & FE_P_MEM_SLOTS))
		return send_table(fe);
	for (unsigned i = 0; i < fe->nregions && !err; i++)
		err = fe_add_region(fe, &fe->region[i]);
	return err;
}

int fe_inflight_get(struct fe *fe)
{
	struct fe_msg m = {.request = FE_GET_INFLIGHT_FD, .size = sizeof(m.inflight)};
	int err;

	m.inflight.queues = (uint16_t)(2 * fe->cfg.pairs);
	m.inflight.queue_size = (uint16_t)fe->cfg.size;
	close_fd(&fe->inflight_fd);
	if ((err = fe_ask(fe, &m, &fe->inflight_fd)))
		return err;
	if (fe->inflight_fd < 0 || m.size != sizeof(m.inflight))
		return fail(fe, -EPROTO, "in-flight region");
	fe->inflight_size = m.inflight.size;
	fe->inflight_offset = m.inflight.offset;
	return 0;
}

int fe_inflight_set(struct fe *fe)
{
	struct fe_msg m = {.request = FE_SET_INFLIGHT_FD, .size = sizeof(m.inflight)};

	m.inflight.size = fe->inflight_size;
	m.inflight.offset = fe->inflight_offset;
	m.inflight.queues = (uint16_t)(2 * fe->cfg.pairs);
	m.inflight.queue_size = (uint16_t)fe->cfg.size;
	return fe_tell(fe, &m, &fe->inflight_fd, 1);
}

/* One bit a page up to the highest guest address. */
static int log_open(struct fe *fe)
{
	const struct fe_region *last = &fe->region[fe->nregions - 1];

	fe->log_size = round_up((last->gpa + last->size) / FE_PAGE / 8 + 1, FE_PAGE);
	fe->log_fd = memfd_create("log", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fe->log_fd < 0 || ftruncate(fe->log_fd, (off_t)fe->log_size) < 0)
		return fail(fe, -errno, "dirty log");
	fe->log = mmap(NULL, fe->log_size, PROT_READ | PROT_WRITE, MAP_SHARED, fe->log_fd, 0);
	return fe->log == MAP_FAILED ? fail(fe, -errno, "map the dirty log") : 0;
}

static int log_share(struct fe *fe)
{
	struct fe_msg m = {.request = FE_SET_LOG_BASE,
			   .flags = FE_FLAG_VERSION,
			   .size = sizeof(m.log)};
	unsigned none = 0;
	int err = fe->log ? 0 : log_open(fe);

	if (err)
		return err;
	m.log.size = fe->log_size;
	if ((err = fe_send(fe, &m, &fe->log_fd, 1)) || (err = fe_recv(fe, &m, NULL, &none)))
		return err;
	return m.request == FE_SET_LOG_BASE ? 0 : fail(fe, -EPROTO, "answer to SET_LOG_BASE");
}

int fe_share(struct fe *fe)
{
	int err = 0;

	if (fe->cfg.inflight && fe->protocol & FE_P_INFLIGHT) {
		err = fe->inflight_fd < 0 ? fe_inflight_get(fe) : 0;
		err = err ? err : fe_inflight_set(fe);
	}
	err = err ? err : fe_send_memory(fe);
	if (!err && fe->cfg.log && fe->protocol & FE_P_LOG_SHMFD)
		err = fe_log_set(fe, true);
	return err;
}

static unsigned nrings(const struct fe *fe)
{
	return fe->laid_out ? 2 * fe->cfg.pairs : 0;
}

int fe_log_set(struct fe *fe, bool on)
{
	int err = on ? log_share(fe) : 0;

	fe->features = on ? fe->features | FE_F_LOG_ALL : fe->features & ~FE_F_LOG_ALL;
	err = err ? err : fe_set_features(fe, fe->features);
	for (unsigned i = 0; i < nrings(fe) && !err; i++)
		err = fe_ring_addr(fe, fe_ring(fe, i));
	return err;
}

bool fe_log_dirty(const struct fe *fe, uint64_t gpa, uint64_t len)
{
	for (uint64_t page = gpa / FE_PAGE; page <= (gpa + len - 1) / FE_PAGE; page++)
		if (!(__atomic_load_n(&fe->log[page / 8], __ATOMIC_ACQUIRE) & 1 << page % 8))
			return false;
	return true;
}

size_t fe_log_count(const struct fe *fe)
{
	size_t n = 0;

	for (size_t i = 0; i < fe->log_size; i++)
		n += (size_t)__builtin_popcount(__atomic_load_n(&fe->log[i], __ATOMIC_ACQUIRE));
	return n;
}

void fe_log_clear(struct fe *fe)
{
	for (size_t i = 0; i < fe->log_size; i++)
		__atomic_store_n(&fe->log[i], 0, __ATOMIC_SEQ_CST);
}

/* ---- rings ---- */

struct fe_ring *fe_ring(struct fe *fe, unsigned index)
{
	return index % 2 ? &fe->pair[index / 2].tx : &fe->pair[index / 2].rx;
}

int fe_ring_addr(struct fe *fe, struct fe_ring *r)
{
	struct fe_msg m = {.request = FE_SET_VRING_ADDR, .size = sizeof(m.addr)};

	m.addr.index = r->index;
	m.addr.desc = (uintptr_t)fe_at(fe, r->desc_gpa);
	m.addr.avail = (uintptr_t)fe_at(fe, r->avail_gpa);
	m.addr.used = (uintptr_t)fe_at(fe, r->used_gpa);
	if (fe->features & FE_F_LOG_ALL) {
		m.addr.flags = FE_VRING_F_LOG;
		m.addr.log = r->packed ? r->desc_gpa : r->used_gpa;
	}
	return fe_tell(fe, &m, NULL, 0);
}

static int tell_state(struct fe *fe, uint32_t request, unsigned index, uint32_t num)
{
	struct fe_msg m = {.request = request, .size = 8, .state = {index, num}};

	return fe_tell(fe, &m, NULL, 0);
}

static int tell_fd(struct fe *fe, uint32_t request, unsigned index, int fd)
{
	return fe_tell_u64(fe, request, index | (fd < 0 ? FE_VRING_NOFD : 0), fd);
}

int fe_ring_setup(struct fe *fe, struct fe_ring *r)
{
	int err = tell_state(fe, FE_SET_VRING_NUM, r->index, r->size);

	err = err ? err : tell_state(fe, FE_SET_VRING_BASE, r->index, fe_ring_base(r));
	err = err ? err : fe_ring_addr(fe, r);
	err = err ? err : tell_fd(fe, FE_SET_VRING_ERR, r->index, r->err);
	err = err ? err : tell_fd(fe, FE_SET_VRING_CALL, r->index, fe->cfg.no_call ? -1 : r->call);
	return err ? err : tell_fd(fe, FE_SET_VRING_KICK, r->index, fe->cfg.no_kick ? -1 : r->kick);
}

int fe_ring_enable(struct fe *fe, struct fe_ring *r, bool on)
{
	return tell_state(fe, FE_SET_VRING_ENABLE, r->index, on);
}

int fe_ring_stop(struct fe *fe, struct fe_ring *r, uint32_t *ret_base)
{
	struct fe_msg m = {.request = FE_GET_VRING_BASE, .size = 8, .state = {r->index, 0}};
	int err = fe_ask(fe, &m, NULL);

	if (!err && (m.size != 8 || m.state.index != r->index))
		err = fail(fe, -EPROTO, "answer to GET_VRING_BASE");
	if (!err && ret_base)
		*ret_base = m.state.num;
	return err;
}

static int buffers_layout(struct fe *fe, unsigned n, uint32_t size, uint8_t ***ret_at,
			  uint64_t **ret_gpa)
{
	*ret_at = calloc(n, sizeof(**ret_at));
	*ret_gpa = calloc(n, sizeof(**ret_gpa));
	if (!*ret_at || !*ret_gpa)
		return -ENOMEM;
	for (unsigned i = 0; i < n; i++) {
		(*ret_at)[i] = fe_alloc(fe, i % fe->nregions, size, LINE, &(*ret_gpa)[i]);
		if (!(*ret_at)[i])
			return -ENOMEM;
	}
	return 0;
}

static void rx_give(struct fe *fe, struct fe_pair *p, uint32_t token)
{
	struct fe_seg seg[FE_TABLE];
	uint32_t n = fe->cfg.rx_split, size = fe->cfg.rx_buf, at = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t len = i + 1 == n ? size - at : size / n;

		seg[i] = (struct fe_seg){p->rx_gpa[token] + at, len, true};
		at += len;
	}
	fe_ring_add(&p->rx, seg, n, token,
		    fe->features & FE_BIT(VIRTIO_RING_F_INDIRECT_DESC) && !fe->cfg.no_indirect);
}

static void rx_fill(struct fe *fe, struct fe_pair *p)
{
	bool indirect = fe->features & FE_BIT(VIRTIO_RING_F_INDIRECT_DESC) && !fe->cfg.no_indirect;
	unsigned n = indirect ? p->rx.size : p->rx.size / fe->cfg.rx_split;

	for (uint32_t i = 0; i < n; i++)
		rx_give(fe, p, i);
	fe_ring_publish(&p->rx);
}

static int pair_layout(struct fe *fe, unsigned i)
{
	struct fe_pair *p = &fe->pair[i];
	unsigned n = fe->cfg.size;
	int err = fe_ring_layout(fe, &p->rx, 2 * i);

	err = err ? err : fe_ring_layout(fe, &p->tx, 2 * i + 1);
	err = err ? err : buffers_layout(fe, n, fe->cfg.rx_buf, &p->rx_at, &p->rx_gpa);
	err = err ? err : buffers_layout(fe, n, fe->cfg.tx_buf, &p->tx_at, &p->tx_gpa);
	p->tx_free = calloc(n, sizeof(*p->tx_free));
	if (err || !p->tx_free)
		return fail(fe, -ENOMEM, "rings and buffers");
	for (p->tx_nfree = 0; p->tx_nfree < n; p->tx_nfree++)
		p->tx_free[p->tx_nfree] = n - 1 - p->tx_nfree;
	rx_fill(fe, p);
	fe_ring_arm(&p->tx, false);
	return 0;
}

static int start_ring(struct fe *fe, struct fe_ring *r)
{
	int err = fe_ring_setup(fe, r);

	if (!err && fe->features & FE_F_PROTOCOL)
		err = fe_ring_enable(fe, r, true);
	if (!err && !fe->cfg.no_kick)
		fe_ring_kick_now(r); /* starts the ring */
	return err;
}

int fe_start(struct fe *fe)
{
	int err = 0;

	for (unsigned i = 0; i < fe->cfg.pairs && !fe->laid_out && !err; i++)
		err = pair_layout(fe, i);
	fe->laid_out = fe->laid_out || !err;
	for (unsigned i = 0; i < nrings(fe) && !err; i++)
		err = start_ring(fe, fe_ring(fe, i));
	if (!err && fe->cfg.mtu && fe->protocol & FE_P_NET_MTU)
		err = fe_set_mtu(fe, fe->cfg.mtu);
	if (!err && fe->protocol & FE_P_STATUS)
		err = fe_tell_u64(fe, FE_SET_STATUS, FE_STATUS_DRIVER_OK, -1);
	return err;
}

int fe_up(struct fe *fe)
{
	int err = fe_connect(fe);

	err = err ? err : fe_negotiate(fe);
	err = err ? err : fe_share(fe);
	return err ? err : fe_start(fe);
}

int fe_stop(struct fe *fe)
{
	int err = 0;

	for (unsigned i = 0; i < nrings(fe) && !err; i++)
		err = fe_ring_stop(fe, fe_ring(fe, i), NULL);
	return err;
}

/* ---- single requests ---- */

int fe_send_rarp(struct fe *fe, const uint8_t mac[6])
{
	uint64_t v = 0;

	memcpy(&v, mac, 6);
	return fe_tell_u64(fe, FE_SEND_RARP, v, -1);
}

int fe_set_mtu(struct fe *fe, uint16_t mtu)
{
	return fe_tell_u64(fe, FE_NET_SET_MTU, mtu, -1);
}

int fe_get_config(struct fe *fe, void *buf, size_t len)
{
	struct fe_msg m = {.request = FE_GET_CONFIG, .size = 12 + (uint32_t)len};
	int err;

	m.config.size = (uint32_t)len;
	if ((err = fe_ask(fe, &m, NULL)))
		return err;
	if (m.size == 0)
		return fail(fe, -EREMOTEIO, "GET_CONFIG");
	if (m.size != 12 + len)
		return fail(fe, -EPROTO, "answer to GET_CONFIG");
	memcpy(buf, m.config.data, len);
	return 0;
}

int fe_reset_device(struct fe *fe)
{
	struct fe_msg m = {.request = FE_RESET_DEVICE};

	return fe_tell(fe, &m, NULL, 0);
}

int fe_status(struct fe *fe, uint8_t *ret_status)
{
	uint64_t v;
	int err = ask_u64(fe, FE_GET_STATUS, &v);

	if (!err)
		*ret_status = (uint8_t)v;
	return err;
}

/* ---- sending ---- */

int fe_tx_reap(struct fe *fe, unsigned pair)
{
	struct fe_pair *p = &fe->pair[pair];
	uint32_t token, len;
	int n = 0, r;

	while ((r = fe_ring_get(&p->tx, &token, &len)) > 0) {
		p->tx_free[p->tx_nfree++] = token;
		n++;
	}
	fe_ring_arm(&p->tx, false);
	return r < 0 ? fail(fe, r, "used element of a transmit ring") : n;
}

static unsigned tx_places(const struct fe *fe)
{
	bool indirect = fe->features & FE_BIT(VIRTIO_RING_F_INDIRECT_DESC) && !fe->cfg.no_indirect;

	return indirect ? 1 : fe->cfg.tx_split;
}

uint8_t *fe_tx_buffer(struct fe *fe, unsigned pair)
{
	struct fe_pair *p = &fe->pair[pair];

	if ((!p->tx_nfree || p->tx.free < tx_places(fe)) && fe_tx_reap(fe, pair) <= 0)
		p->tx_full++;
	if (!p->tx_nfree || p->tx.free < tx_places(fe))
		return NULL;
	return p->tx_at[p->tx_free[p->tx_nfree - 1]];
}

/* tx_split 1: header and frame together; else the header alone, and the frame in even parts. */
static unsigned tx_segments(const struct fe *fe, uint64_t gpa, uint32_t len, struct fe_seg *seg)
{
	uint32_t parts = fe->cfg.tx_split - 1, at = fe->hdr_len, end = at + len;
	unsigned n = 1;

	seg[0] = (struct fe_seg){gpa, parts ? fe->hdr_len : end, false};
	for (uint32_t i = 0; i < parts && at < end; i++) {
		uint32_t piece = i + 1 == parts ? end - at : len / parts ? len / parts : 1;

		seg[n++] = (struct fe_seg){gpa + at, piece, false};
		at += piece;
	}
	return n;
}

int fe_tx_commit(struct fe *fe, unsigned pair, uint32_t frame_len)
{
	struct fe_pair *p = &fe->pair[pair];
	uint32_t token = p->tx_free[p->tx_nfree - 1];
	struct fe_seg seg[FE_TABLE];
	unsigned n = tx_segments(fe, p->tx_gpa[token], frame_len, seg);
	int err = fe_ring_add(&p->tx, seg, n, token, tx_places(fe) == 1);

	if (err)
		return fail(fe, err, "transmit ring");
	p->tx_nfree--;
	p->tx_frames++;
	p->tx_bytes += frame_len;
	return 0;
}

int fe_tx(struct fe *fe, unsigned pair, const struct virtio_net_hdr *hdr, const void *frame,
	  uint32_t len)
{
	uint8_t *to = fe_tx_buffer(fe, pair);

	if (!to)
		return -ENOBUFS;
	memset(to, 0, fe->hdr_len);
	if (hdr)
		memcpy(to, hdr, sizeof(*hdr));
	memcpy(to + fe->hdr_len, frame, len);
	return fe_tx_commit(fe, pair, len);
}

void fe_tx_flush(struct fe *fe, unsigned pair)
{
	fe_ring_publish(&fe->pair[pair].tx);
	fe_ring_kick(&fe->pair[pair].tx);
}

/* ---- receiving ---- */

static int rx_piece(struct fe *fe, struct fe_pair *p, struct fe_frame *f)
{
	uint32_t skip = f->n == 0 ? fe->hdr_len : 0, len;
	int r = fe_ring_get(&p->rx, &f->token[f->n], &len);

	if (r <= 0)
		return r;
	uint8_t *at = p->rx_at[f->token[f->n]];
	if (len < skip || len > fe->cfg.rx_buf)
		return -EPROTO;
	if (f->n == 0) {
		f->raw = at;
		memcpy(&f->hdr, at, fe->hdr_len);
	}
	f->iov[f->n++] = (struct iovec){at + skip, len - skip};
	f->len += len - skip;
	return 1;
}

int fe_rx(struct fe *fe, unsigned pair, struct fe_frame *f)
{
	struct fe_pair *p = &fe->pair[pair];
	unsigned want = 1;
	int r;

	f->n = f->len = 0;
	if ((r = rx_piece(fe, p, f)) <= 0)
		return r ? fail(fe, r, "received buffer") : 0;
	if (fe->features & FE_BIT(VIRTIO_NET_F_MRG_RXBUF))
		want = f->hdr.num_buffers;
	if (want == 0 || want > FE_PIECES_MAX)
		return fail(fe, -EPROTO, "num_buffers");
	while (f->n < want)
		if ((r = rx_piece(fe, p, f)) <= 0)
			return fail(fe, r ? r : -EPROTO, "a merged frame published in parts");
	p->rx_frames++;
	p->rx_bytes += f->len;
	return 1;
}

void fe_rx_done(struct fe *fe, unsigned pair, struct fe_frame *f)
{
	for (unsigned i = 0; i < f->n; i++)
		rx_give(fe, &fe->pair[pair], f->token[i]);
	f->n = 0;
}

void fe_rx_flush(struct fe *fe, unsigned pair)
{
	fe_ring_publish(&fe->pair[pair].rx);
	fe_ring_kick(&fe->pair[pair].rx);
}

uint32_t fe_frame_copy(const struct fe_frame *f, void *to, uint32_t cap)
{
	uint32_t at = 0;

	for (unsigned i = 0; i < f->n && at < cap; i++) {
		uint32_t n = f->iov[i].iov_len < cap - at ? (uint32_t)f->iov[i].iov_len : cap - at;

		memcpy((uint8_t *)to + at, f->iov[i].iov_base, n);
		at += n;
	}
	return at;
}

int fe_wait(struct fe *fe, int timeout_ms)
{
	struct pollfd p[FE_PAIRS_MAX + 1];
	unsigned n = fe->cfg.pairs, i;
	uint64_t count;

	for (i = 0; i < n; i++) {
		fe_ring_arm(&fe->pair[i].rx, true);
		p[i] = (struct pollfd){.fd = fe->pair[i].rx.call, .events = POLLIN};
	}
	for (i = 0; i < n; i++)
		if (fe_ring_pending(&fe->pair[i].rx))
			return 1;
	p[n] = (struct pollfd){.fd = fe->sock, .events = POLLIN};
	if (poll(p, n + 1, timeout_ms) <= 0)
		return 0;
	for (i = 0; i < n; i++)
		if (p[i].revents && read(p[i].fd, &count, sizeof(count)) > 0)
			fe->pair[i].rx.calls += count;
	return p[n].revents ? -ECONNRESET : 1;
}
