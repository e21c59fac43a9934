/* The `host` uplink: frames of the uplink's domain to and from libslirp.
 *
 * nat/uplink.c translates and does ARP on the other side of the domain; this file is only a
 * cable to the host's sockets.  Three parts: the port (worker), libslirp's environment
 * (main: sockets to poll, clock, frames out), and forwards.
 *
 * Polling.  libslirp says anew after every activity which sockets it waits for.  They stand
 * in an epoll instance of our own, changed only where something changed, and the loop
 * watches that one fd.  A round is: let libslirp handle what is ready, ask it what it
 * waits for now.  Frames from guests are followed by one round for all of them. */
#include "nat/uplink_host.h"

#include <errno.h>
#include <slirp/libslirp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "nat/uplink_host_reass.h"
#include "net/clock.h"
#include "net/csum.h"
#include "net/parse.h"
#include "net/table.h"
#include "net/wire.h"

#define TICK_NONE_MS   1000u		  /* libslirp's answer when it has nothing to time */
#define QUIET_AFTER    (5 * NSEC_PER_SEC) /* without a frame or a socket event: tick slowly */
#define QUIET_TICK     (2 * NSEC_PER_SEC)
#define SILENT_AFTER   (180 * NSEC_PER_SEC)  /* and with listeners only: closing states are over */
#define STALE_AFTER    (100 * NSEC_PER_MSEC) /* libslirp reads the clock in rounds only */
#define READY_MAX      256
#define FORWARDS_MAX   4096u
#define FLOWS	       1024u /* UDP flows from the host's loopback that may be answered; a power of two */
#define FLOW_TTL       (300 * NSEC_PER_SEC)
#define FDS_FOR_OTHERS 1024u /* of the process's file descriptors, or half of them when few */
#define UDP_KEPT       200u  /* seconds that libslirp surely keeps a UDP socket for, 240 in fact */

#define TCP_OPT_END 0
#define TCP_OPT_NOP 1
#define TCP_OPT_MSS 2
#define MSS_HOST    (UPLINK_HOST_MTU - 40u) /* what libslirp may send in one packet */
#define MSS_MIN	    536u		    /* RFC 9293 3.7.1; smaller ones stay as they are */

struct forward {
	uint8_t proto;
	be32 addr;
	uint16_t host_port, outside_port;
};

/* What came by a UDP forward from the host's loopback, and may be answered. */
struct flow {
	uint16_t outside_port, host_port;
	nsec_t expires;
};

struct polled { /* in the order libslirp named them */
	int fd;
	uint32_t ready; /* EPOLL* */
};

struct watched {	 /* by fd */
	uint32_t events; /* in the epoll instance; 0: not there */
	uint32_t round;
	unsigned index; /* into polled, when round is the current one */
};

struct uplink_host {
	struct sw *sw;
	struct loop *loop;
	struct port *port;
	domain_idx domain;
	bool loopback;
	struct slow_sink sink;
	/* Frames that the worker handed up and main has not seen yet keep the object alive. */
	_Atomic uint64_t handed;
	uint64_t taken;
	bool dying;

	struct reass *reass;
	Slirp *slirp;
	int epoll;
	struct loop_fd *epoll_fd;
	struct loop_timer *tick, *soon;
	bool soon_armed;
	nsec_t last_activity, last_round;
	struct polled *polled;
	unsigned n_polled, max_polled;
	int *former; /* fds of the round before */
	unsigned n_former;
	struct watched *watched;
	unsigned n_watched;
	uint32_t round;

	unsigned max_sockets, opened; /* opened: new flows since the last round, at most */
	uint32_t udp_seen[65536];     /* by outside port: second of its last packet out; 0: none */
	struct forward *forward;
	unsigned n_forwards, n_udp_forwards;
	struct flow flow[FLOWS];
	uint16_t mss[65536]; /* that the guest of an outside TCP port named; 0: small frames only */
	uint8_t frame[ETH_FRAME_MAX];
	struct uplink_host_stats stats;
};

static void do_round(struct uplink_host *u);

/* ---- the port: worker ---- */

/* To one of libslirp's own addresses. */
static enum drop_reason admit_own(const struct uplink_host *u, const struct pkt *k)
{
	const struct ip4_hdr *ip = pkt_ip4(k);
	uint16_t dport;

	if (!(k->flags & PKT_L4) || (k->flags & PKT_FRAGMENT) ||
	    (k->ip_proto != IPPROTO4_TCP && k->ip_proto != IPPROTO4_UDP))
		return DROP_GW_LOCAL_CLOSED;
	dport = be16toh(pkt_udp(k)->dport); /* at the same place in TCP */
	if (ip->dst == UPLINK_HOST_DNS)
		return dport == 53 ? DROP_NONE : DROP_GW_LOCAL_CLOSED;
	if (ip->dst != UPLINK_HOST_GATEWAY)
		return DROP_GW_LOCAL_CLOSED;
	/* Not libslirp's own DHCP and TFTP. */
	if (k->ip_proto == IPPROTO4_UDP)
		return dport == 67 || dport == 69 ? DROP_GW_LOCAL_CLOSED : DROP_NONE;
	/* The answers of a forward's guest, but no new connection.  libslirp makes one for
	 * a lone SYN only. */
	if (!u->loopback && (pkt_tcp(k)->flags & (TCP_SYN | TCP_ACK)) == TCP_SYN)
		return DROP_GW_LOCAL_CLOSED;
	return DROP_NONE;
}

static enum drop_reason admit(const struct uplink_host *u, const struct pkt *k)
{
	const struct prefix4 own = {UPLINK_HOST_GATEWAY, UPLINK_HOST_PREFIX_LEN};

	if (k->flags & PKT_ARP)
		return DROP_NONE;
	if (k->flags & PKT_IP6)
		return DROP_GW_IPV6;
	if (!(k->flags & PKT_IP4))
		return DROP_GW_NOT_MINE;
	if (ip4_is_martian(pkt_ip4(k)->dst))
		return DROP_GW_MARTIAN;
	return prefix4_contains(own, pkt_ip4(k)->dst) ? admit_own(u, k) : DROP_NONE;
}

static bool is_private(const struct pkt *k)
{
	return !(k->flags & PKT_SHARED) && (!k->n_tail || (k->big && k->tail == &k->own_tail));
}

static void hand_up(struct uplink_host *u, struct worker *w, struct pkt_out *o)
{
	struct pkt *k = is_private(o->pkt) ? o->pkt : pkt_copy(worker_pool(w), o->pkt);

	if (!k) {
		o->drop = DROP_TX_NO_BUFFER;
		return;
	}
	atomic_fetch_add_explicit(&u->handed, 1, memory_order_relaxed);
	if (worker_slow_up(w, &u->sink, k)) {
		o->taken = k == o->pkt;
		return;
	}
	atomic_fetch_sub_explicit(&u->handed, 1, memory_order_relaxed);
	o->drop = DROP_QUEUE_INTERNAL;
	if (k != o->pkt)
		pkt_free(worker_pool(w), k);
}

static void host_tx_burst(struct port *p, struct worker *w, struct pkt_out *v, unsigned n)
{
	struct uplink_host *u = p->priv;

	for (unsigned i = 0; i < n; i++) {
		v[i].drop = admit(u, v[i].pkt);
		if (!v[i].drop)
			hand_up(u, w, &v[i]);
	}
}

/* ---- loopback flows: main ---- */

static struct flow *flow_at(struct uplink_host *u, uint16_t outside_port, uint16_t host_port)
{
	uint64_t hash = hash_mix((uint64_t)outside_port << 16 | host_port);

	return &u->flow[hash & (FLOWS - 1)];
}

/* Remembers a UDP frame that libslirp brings from the host's loopback. */
static void flow_note(struct uplink_host *u, const struct pkt *k)
{
	const struct udp_hdr *udp;
	struct flow *f;

	if (pkt_ip4(k)->src != UPLINK_HOST_GATEWAY || k->ip_proto != IPPROTO4_UDP ||
	    !(k->flags & PKT_L4))
		return;
	udp = pkt_udp(k);
	f = flow_at(u, be16toh(udp->dport), be16toh(udp->sport));
	*f = (struct flow){be16toh(udp->dport), be16toh(udp->sport), clock_now() + FLOW_TTL};
}

/* Whether a frame may go to libslirp's gateway address, if that is where it goes.  libslirp
 * itself cannot be told: with disable_host_loopback it refuses the answers, too. */
static bool flow_allows(struct uplink_host *u, const struct pkt *k)
{
	const struct udp_hdr *udp;
	const struct flow *f;

	if (u->loopback || !(k->flags & PKT_IP4) || pkt_ip4(k)->dst != UPLINK_HOST_GATEWAY ||
	    k->ip_proto != IPPROTO4_UDP)
		return true;
	udp = pkt_udp(k);
	f = flow_at(u, be16toh(udp->sport), be16toh(udp->dport));
	return f->outside_port == be16toh(udp->sport) && f->host_port == be16toh(udp->dport) &&
	       f->expires > clock_now();
}

/* ---- large segments: main ---- */

/* libslirp knows no TSO and would hand a socket's data over in pieces of the guest's MSS.  So it
 * is told of a large MSS, and what it then sends in one packet becomes a TSO frame of the
 * guest's true MSS: the guest's port cuts it, or the guest takes it whole. */

/* Where the value of the MSS option stands in the head; 0 when there is none. */
static size_t mss_offset(const struct pkt *k)
{
	size_t header = (size_t)(pkt_tcp(k)->off >> 4) * 4;
	struct wire w = wire_reader(k->head, k->l4_off + header);

	wire_seek(&w, k->l4_off + sizeof(struct tcp_hdr));
	while (wire_left(&w)) {
		uint8_t kind = wire_get_u8(&w), len;

		if (kind == TCP_OPT_END)
			return 0;
		if (kind == TCP_OPT_NOP)
			continue;
		len = wire_get_u8(&w);
		if (len < 2)
			return 0;
		if (kind == TCP_OPT_MSS)
			return len == 4 && wire_left(&w) >= 2 ? wire_pos(&w) : 0;
		wire_skip(&w, len - 2u);
	}
	return 0;
}

static be16 tcp_csum(const struct pkt *k)
{
	uint32_t len = pkt_l4_len(k);

	return csum_finish(csum_pkt(k, k->l4_off, len) + csum_pseudo4(pkt_ip4(k)->src,
								      pkt_ip4(k)->dst, IPPROTO4_TCP,
								      (uint16_t)len));
}

/* A SYN towards libslirp: remembers the guest's MSS and names the large one. */
static void mss_raise(struct uplink_host *u, struct pkt *k)
{
	struct tcp_hdr *tcp = pkt_tcp(k);
	size_t at = mss_offset(k);
	struct wire w = wire_writer(k->head, k->head_len);
	uint16_t *known = &u->mss[be16toh(tcp->sport)], mss;

	*known = 0;
	if (!at || tcp_csum(k))
		return;
	wire_seek(&w, at);
	mss = wire_get_u16(&w);
	if (mss < MSS_MIN || mss >= MSS_HOST)
		return;
	*known = mss;
	wire_patch_u16(&w, at, MSS_HOST);
	tcp->csum = 0;
	tcp->csum = tcp_csum(k);
}

/* A large segment from libslirp: asks for it to be cut to the guest's MSS. */
static void mss_lower(const struct uplink_host *u, struct pkt *k)
{
	struct tcp_hdr *tcp = pkt_tcp(k);
	uint16_t mss = u->mss[be16toh(tcp->dport)];
	uint16_t header = (uint16_t)((tcp->off >> 4) * 4);
	uint32_t len = pkt_l4_len(k);

	if (!mss || len <= (uint32_t)mss + header)
		return;
	k->vnet = (struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
		.gso_size = mss,
		.hdr_len = (uint16_t)(k->l4_off + header),
		.csum_start = k->l4_off,
		.csum_offset = offsetof(struct tcp_hdr, csum),
	};
	tcp->csum = csum_fold(
		csum_pseudo4(pkt_ip4(k)->src, pkt_ip4(k)->dst, IPPROTO4_TCP, (uint16_t)len));
}

static bool is_tcp(const struct pkt *k)
{
	const unsigned need = PKT_IP4 | PKT_L4;

	return (k->flags & need) == need && !(k->flags & PKT_FRAGMENT) &&
	       k->ip_proto == IPPROTO4_TCP;
}

/* ---- frames: main ---- */

static void run_soon(struct uplink_host *u)
{
	if (u->soon_armed)
		return;
	u->soon_armed = true;
	loop_timer_arm(u->soon, 0);
}

/* libslirp has one UDP socket for an outside port, whatever the remote is. */
static bool udp_is_new(struct uplink_host *u, const struct pkt *k)
{
	uint32_t *seen = &u->udp_seen[be16toh(pkt_udp(k)->sport)];
	uint32_t now = (uint32_t)(clock_now() / NSEC_PER_SEC);
	bool is_new = !*seen || now - *seen > UDP_KEPT;

	if (!is_new || u->n_polled + u->opened < u->max_sockets)
		*seen = now;
	return is_new;
}

/* Guests may not use up the file descriptors that the rest of the process needs: whether the
 * frame needs no socket of its own, or may have one. */
static bool socket_allowed(struct uplink_host *u, const struct pkt *k)
{
	if (!(k->flags & PKT_IP4))
		return true;
	if (is_tcp(k) && (pkt_tcp(k)->flags & (TCP_SYN | TCP_ACK)) != TCP_SYN)
		return true;
	if (k->flags & PKT_L4 && k->ip_proto == IPPROTO4_UDP && !udp_is_new(u, k))
		return true;
	if (u->n_polled + u->opened >= u->max_sockets)
		return false;
	u->opened++;
	return true;
}

static void input_fragment(struct uplink_host *u, const struct pkt *k)
{
	const uint8_t *frame;
	uint32_t len;
	int r = reass_add(u->reass, k, clock_now(), &frame, &len);

	if (r > 0)
		slirp_input(u->slirp, frame, (int)len);
	else if (r < 0)
		u->stats.bad_fragments++;
}

static void input(struct uplink_host *u, struct pkt *k)
{
	u->stats.to_host++;
	u->last_activity = clock_now();
	if (u->last_activity - u->last_round > STALE_AFTER)
		do_round(u); /* else the new flow would count as old, and expire at once */
	if (is_tcp(k) && pkt_tcp(k)->flags & TCP_SYN)
		mss_raise(u, k);
	if (k->flags & PKT_FRAGMENT)
		input_fragment(u, k);
	else if (!k->n_tail)
		slirp_input(u->slirp, k->head, (int)k->len);
	else if (k->len <= sizeof(u->frame) && pkt_read(k, 0, u->frame, k->len))
		slirp_input(u->slirp, u->frame, (int)k->len);
	run_soon(u);
}

static void destroy(struct uplink_host *u);

static void on_frame(void *arg, struct pkt *k)
{
	struct uplink_host *u = arg;

	u->taken++;
	if (u->dying) {
		pkt_free(sw_main_pool(u->sw), k);
		destroy(u);
		return;
	}
	if (!flow_allows(u, k))
		u->stats.closed_loopback++;
	else if (!socket_allowed(u, k))
		u->stats.no_socket++;
	else
		input(u, k);
	pkt_free(sw_main_pool(u->sw), k);
}

/* From libslirp to the guests. */
static ssize_t on_output(const void *buf, size_t len, void *opaque)
{
	struct uplink_host *u = opaque;
	struct pkt *k = u->port ? pkt_from(sw_main_pool(u->sw), buf, len) : NULL;

	if (!k) { /* TCP will send it again */
		u->stats.no_buffer++;
		return (ssize_t)len;
	}
	u->stats.from_host++;
	u->last_activity = clock_now();
	if (pkt_parse(k) == DROP_NONE && is_tcp(k))
		mss_lower(u, k);
	else if (u->n_udp_forwards && k->flags & PKT_IP4)
		flow_note(u, k);
	sw_slow_down(u->port, u->domain, k);
	return (ssize_t)len;
}

/* ---- libslirp's environment: main ---- */

static const struct {
	int slirp;
	uint32_t epoll;
} poll_bits[] = {
	{SLIRP_POLL_IN, EPOLLIN},   {SLIRP_POLL_OUT, EPOLLOUT}, {SLIRP_POLL_PRI, EPOLLPRI},
	{SLIRP_POLL_ERR, EPOLLERR}, {SLIRP_POLL_HUP, EPOLLHUP},
};

static bool watched_grow(struct uplink_host *u, int fd)
{
	unsigned n = u->n_watched ? u->n_watched : 64;
	struct watched *v;

	if ((unsigned)fd < u->n_watched)
		return true;
	while (n <= (unsigned)fd)
		n *= 2;
	v = realloc(u->watched, n * sizeof(*v));
	if (!v)
		return false;
	memset(v + u->n_watched, 0, (n - u->n_watched) * sizeof(*v));
	u->watched = v;
	u->n_watched = n;
	return true;
}

static bool polled_grow(struct uplink_host *u)
{
	unsigned n = u->max_polled ? u->max_polled * 2 : 64;
	struct polled *polled;
	int *former;

	if (u->n_polled < u->max_polled)
		return true;
	polled = realloc(u->polled, n * sizeof(*polled));
	if (!polled)
		return false;
	u->polled = polled;
	former = realloc(u->former, n * sizeof(*former));
	if (!former)
		return false;
	u->former = former;
	u->max_polled = n;
	return true;
}

static void watch(struct uplink_host *u, int fd, uint32_t events)
{
	struct watched *w = &u->watched[fd];
	struct epoll_event e = {.events = events, .data.fd = fd};

	if (w->events == events)
		return;
	/* The fd's number may have passed to another socket unnoticed. */
	if (epoll_ctl(u->epoll, w->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &e))
		epoll_ctl(u->epoll, errno == ENOENT ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &e);
	w->events = events;
}

static void unwatch(struct uplink_host *u, int fd)
{
	if ((unsigned)fd >= u->n_watched || !u->watched[fd].events)
		return;
	epoll_ctl(u->epoll, EPOLL_CTL_DEL, fd, NULL);
	u->watched[fd].events = 0;
}

static int on_add_poll(int fd, int events, void *opaque)
{
	struct uplink_host *u = opaque;
	uint32_t bits = 0;

	if (fd < 0 || !watched_grow(u, fd) || !polled_grow(u))
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(poll_bits); i++)
		if (events & poll_bits[i].slirp)
			bits |= poll_bits[i].epoll;
	watch(u, fd, bits);
	u->watched[fd].round = u->round;
	u->watched[fd].index = u->n_polled;
	u->polled[u->n_polled] = (struct polled){.fd = fd};
	return (int)u->n_polled++;
}

static int on_get_revents(int index, void *opaque)
{
	const struct uplink_host *u = opaque;
	int events = 0;

	if (index < 0 || (unsigned)index >= u->n_polled)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(poll_bits); i++)
		if (u->polled[index].ready & poll_bits[i].epoll)
			events |= poll_bits[i].slirp;
	return events;
}

static void on_register(int fd, void *opaque)
{
	(void)fd;
	(void)opaque;
}

/* About to be closed: the number may be another socket's soon. */
static void on_unregister(int fd, void *opaque)
{
	struct uplink_host *u = opaque;
	int saved = errno;

	if (fd >= 0) {
		if ((unsigned)fd < u->n_watched && u->watched[fd].round == u->round &&
		    u->watched[fd].index < u->n_polled)
			u->polled[u->watched[fd].index].ready = 0;
		unwatch(u, fd);
	}
	errno = saved;
}

static void on_guest_error(const char *msg, void *opaque)
{
	struct uplink_host *u = opaque;

	(void)msg;
	u->stats.guest_errors++;
}

static int64_t on_clock(void *opaque)
{
	(void)opaque;
	return (int64_t)clock_now();
}

/* libslirp has timers for IPv6 router advertisements only, which are off. */
static void *on_timer_new(SlirpTimerCb cb, void *cb_opaque, void *opaque)
{
	(void)cb;
	(void)cb_opaque;
	return opaque;
}

static void *on_timer_new_opaque(SlirpTimerId id, void *cb_opaque, void *opaque)
{
	(void)id;
	(void)cb_opaque;
	return opaque;
}

static void on_timer_free(void *timer, void *opaque)
{
	(void)timer;
	(void)opaque;
}

static void on_timer_mod(void *timer, int64_t expire_time, void *opaque)
{
	(void)timer;
	(void)expire_time;
	(void)opaque;
}

static void on_notify(void *opaque)
{
	run_soon(opaque);
}

/* ---- rounds: main ---- */

/* How long until libslirp wants to look at its clocks again; 0: not until something happens.
 * While nothing has happened for a while its half-second ticks become slower ones: what
 * they count then (closing states, UDP expiry) just takes longer. */
static nsec_t next_tick(const struct uplink_host *u, uint32_t asked_ms)
{
	nsec_t asked = asked_ms * NSEC_PER_MSEC, quiet = clock_now() - u->last_activity;

	if (asked_ms >= TICK_NONE_MS)
		return 0;
	if (quiet >= SILENT_AFTER && u->n_polled == u->n_forwards)
		return 0;
	return quiet >= QUIET_AFTER && asked < QUIET_TICK ? QUIET_TICK : asked;
}

static void ask(struct uplink_host *u)
{
	uint32_t timeout = UINT32_MAX;
	nsec_t tick;

	u->n_former = u->n_polled;
	for (unsigned i = 0; i < u->n_polled; i++)
		u->former[i] = u->polled[i].fd;
	u->n_polled = 0;
	u->opened = 0;
	u->round++;
	slirp_pollfds_fill(u->slirp, &timeout, on_add_poll, u);
	for (unsigned i = 0; i < u->n_former; i++)
		if (u->watched[u->former[i]].round != u->round)
			unwatch(u, u->former[i]);
	tick = next_tick(u, timeout);
	if (tick)
		loop_timer_arm(u->tick, tick);
	else
		loop_timer_stop(u->tick);
}

static void do_round(struct uplink_host *u)
{
	u->last_round = clock_now();
	slirp_pollfds_poll(u->slirp, 0, on_get_revents, u);
	ask(u);
}

static void on_tick(void *arg)
{
	do_round(arg);
}

static void on_soon(void *arg)
{
	struct uplink_host *u = arg;

	u->soon_armed = false;
	do_round(u);
}

static void on_epoll(void *arg, int fd, unsigned events)
{
	struct epoll_event ready[READY_MAX];
	struct uplink_host *u = arg;
	int n = epoll_wait(fd, ready, READY_MAX, 0);

	(void)events;
	for (int i = 0; i < n; i++) {
		const struct watched *w = &u->watched[ready[i].data.fd];

		if (w->round == u->round)
			u->polled[w->index].ready = ready[i].events;
	}
	if (n > 0) {
		u->last_activity = clock_now();
		do_round(u);
	}
}

/* ---- forwards: main ---- */

static struct forward *forward_find(struct uplink_host *u, uint8_t proto, be32 addr, uint16_t port)
{
	for (unsigned i = 0; i < u->n_forwards; i++) {
		struct forward *f = &u->forward[i];

		if (f->proto == proto && f->addr == addr && f->host_port == port)
			return f;
	}
	return NULL;
}

static struct forward *forward_room(struct uplink_host *u)
{
	struct forward *v;

	if (u->n_forwards >= FORWARDS_MAX)
		return NULL;
	v = realloc(u->forward, (u->n_forwards + 1) * sizeof(*v));
	if (!v)
		return NULL;
	u->forward = v;
	return &v[u->n_forwards];
}

int uplink_host_forward_add(struct uplink_host *u, uint8_t proto, be32 addr, uint16_t host_port,
			    uint16_t outside_port)
{
	struct in_addr listen = {addr}, guest = {UPLINK_HOST_OUTSIDE};
	struct forward *f;

	if (proto != IPPROTO4_TCP && proto != IPPROTO4_UDP)
		return -EPROTONOSUPPORT;
	if (forward_find(u, proto, addr, host_port))
		return -EEXIST;
	f = forward_room(u);
	if (!f)
		return -ENOSPC;
	errno = 0;
	if (slirp_add_hostfwd(u->slirp, proto == IPPROTO4_UDP, listen, host_port, guest,
			      outside_port))
		return errno ? -errno : -EADDRINUSE;
	*f = (struct forward){proto, addr, host_port, outside_port};
	u->n_forwards++;
	u->n_udp_forwards += proto == IPPROTO4_UDP;
	run_soon(u);
	return 0;
}

int uplink_host_forward_del(struct uplink_host *u, uint8_t proto, be32 addr, uint16_t host_port)
{
	struct forward *f = forward_find(u, proto, addr, host_port);
	struct in_addr listen = {addr};

	if (!f)
		return -ENOENT;
	slirp_remove_hostfwd(u->slirp, proto == IPPROTO4_UDP, listen, host_port);
	*f = u->forward[--u->n_forwards];
	u->n_udp_forwards -= proto == IPPROTO4_UDP;
	run_soon(u);
	return 0;
}

/* ---- life: main ---- */

struct uplink_host_stats uplink_host_stats(const struct uplink_host *u)
{
	struct uplink_host_stats s = u->stats;

	s.sockets = u->n_polled;
	return s;
}

struct port *uplink_host_port(struct uplink_host *u)
{
	return u->port;
}

static void host_describe(struct port *p, port_describe_fn *fn, void *arg)
{
	const struct uplink_host *u = p->priv;
	const struct {
		const char *key;
		uint64_t value;
	} rows[] = {
		{"sockets", u->n_polled},
		{"forwards", u->n_forwards},
		{"frames-to-host", u->stats.to_host},
		{"frames-from-host", u->stats.from_host},
		{"closed-loopback", u->stats.closed_loopback},
		{"no-socket", u->stats.no_socket},
		{"bad-fragments", u->stats.bad_fragments},
		{"no-buffer", u->stats.no_buffer},
		{"guest-errors", u->stats.guest_errors},
	};
	char value[32];

	fn(arg, "engine", slirp_version_string());
	fn(arg, "loopback", u->loopback ? "open" : "closed");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		snprintf(value, sizeof(value), "%llu", (unsigned long long)rows[i].value);
		fn(arg, rows[i].key, value);
	}
}

static void host_close(struct port *p)
{
	struct uplink_host *u = p->priv;

	u->port = NULL; /* the object is its owner's, see uplink_host_free() */
}

static const struct port_ops host_ops = {
	.type = "slirp",
	.on_first_worker = true,
	.tx_burst = host_tx_burst,
	.describe = host_describe,
	.close = host_close,
};

static const SlirpCb callbacks = {
	.send_packet = on_output,
	.guest_error = on_guest_error,
	.clock_get_ns = on_clock,
	.timer_new = on_timer_new,
	.timer_free = on_timer_free,
	.timer_mod = on_timer_mod,
	.register_poll_fd = on_register,
	.unregister_poll_fd = on_unregister,
	.notify = on_notify,
	.timer_new_opaque = on_timer_new_opaque,
};

static unsigned socket_limit(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) || r.rlim_cur > UINT16_MAX)
		return UINT16_MAX; /* outside ports are that many */
	return (unsigned)(r.rlim_cur > 2 * FDS_FOR_OTHERS ? r.rlim_cur - FDS_FOR_OTHERS
							  : r.rlim_cur / 2);
}

/* disable_host_loopback stays off: it would also refuse the answers to forwarded UDP from
 * the host's loopback.  admit_own() and flow_allows() close it instead. */
static int start_slirp(struct uplink_host *u)
{
	SlirpConfig cfg = {
		.version = SLIRP_CONFIG_VERSION_MAX,
		.in_enabled = true,
		.vnetwork.s_addr = htobe32(be32toh(UPLINK_HOST_GATEWAY) & ~7u),
		.vnetmask.s_addr = htobe32(~7u),
		.vhost.s_addr = UPLINK_HOST_GATEWAY,
		.vdhcp_start.s_addr = UPLINK_HOST_OUTSIDE,
		.vnameserver.s_addr = UPLINK_HOST_DNS,
		.if_mtu = UPLINK_HOST_MTU,
		.if_mru = UPLINK_HOST_MTU,
		.disable_dhcp = true,
	};

	u->slirp = slirp_new(&cfg, &callbacks, u);
	return u->slirp ? 0 : -ENOMEM;
}

static int start_loop(struct uplink_host *u)
{
	u->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (u->epoll < 0)
		return -errno;
	u->epoll_fd = loop_fd_new(u->loop, u->epoll, LOOP_READ, on_epoll, u);
	u->tick = loop_timer_new(u->loop, on_tick, u);
	u->soon = loop_timer_new(u->loop, on_soon, u);
	return u->epoll_fd && u->tick && u->soon ? 0 : -ENOMEM;
}

static int start_port(struct uplink_host *u, const char *name)
{
	const struct port_conf conf = {.vlan.mode = VLAN_INTERNAL, .domain = u->domain};
	const struct port_caps caps = {.offloads = OFFLOAD_JUMBO};
	char port_name[PORT_NAME_MAX];
	int err;

	if (snprintf(port_name, sizeof(port_name), "slirp/%s", name) >= (int)sizeof(port_name))
		return -ENAMETOOLONG;
	err = sw_port_add(u->sw, port_name, &host_ops, u, &conf, caps, true, NULL, &u->port);
	return err ? err : port_start(u->port, -1);
}

/* Frees the object once no frame is on its way to it any more. */
static void destroy(struct uplink_host *u)
{
	if (u->taken != atomic_load_explicit(&u->handed, memory_order_acquire))
		return;
	free(u->polled);
	free(u->former);
	free(u->watched);
	free(u->forward);
	reass_free(u->reass);
	free(u);
}

void uplink_host_free(struct uplink_host *u)
{
	if (!u)
		return;
	sw_port_del(u->port);
	if (u->slirp)
		slirp_cleanup(u->slirp);
	loop_timer_free(u->tick);
	loop_timer_free(u->soon);
	loop_fd_free(u->epoll_fd);
	if (u->epoll >= 0)
		close(u->epoll);
	u->dying = true;
	destroy(u);
}

int uplink_host_new(struct sw *sw, struct loop *loop, domain_idx domain,
		    const struct uplink_host_conf *conf, struct uplink_host **ret_u)
{
	struct uplink_host *u = calloc(1, sizeof(*u));
	int err;

	if (!u)
		return -ENOMEM;
	u->sw = sw;
	u->loop = loop;
	u->domain = domain;
	u->loopback = conf->loopback;
	u->max_sockets = socket_limit();
	u->epoll = -1;
	u->sink = (struct slow_sink){on_frame, u};
	u->reass = reass_new();
	err = u->reass ? start_loop(u) : -ENOMEM;
	if (!err)
		err = start_slirp(u);
	if (!err)
		err = start_port(u, conf->name);
	if (err) {
		uplink_host_free(u);
		return err;
	}
	*ret_u = u;
	return 0;
}
