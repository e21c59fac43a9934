/* The host uplink between a fake switch and real sockets, in a network namespace of its own:
 *
 *	test as NAPT 192.0.0.2 -- port slirp/t -- libslirp -- sockets on lo: 127.0.0.1, 198.51.100.1
 *
 * Skipped where no namespace can be made. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "nat/uplink_host.h"
#include "net/clock.h"
#include "net/csum.h"
#include "net/parse.h"
#include "net/wire.h"

#define DOMAIN	 9
#define OUTSIDE	 htobe32(0xc6336401) /* 198.51.100.1 */
#define LOOPBACK htobe32(0x7f000001)
#define OUR_PORT 5000

/* ---- a switch with one port ---- */

static struct arena *arena;
static struct pkt_pool *pool;
static struct loop *loop;
static struct port port;
static struct pkt *up[64], *down[4096];
static struct slow_sink *up_sink;
static unsigned n_up, up_room, n_down;
static bool started;

int sw_port_add(struct sw *sw, const char *name, const struct port_ops *ops, void *priv,
		const struct port_conf *conf, struct port_caps caps, bool hidden,
		struct port *parent, struct port **ret_port)
{
	assert_string_equal(name, "slirp/t");
	assert_int_equal(conf->domain, DOMAIN);
	assert_int_equal(caps.offloads, OFFLOAD_JUMBO);
	assert_true(hidden);
	port = (struct port){.ops = ops, .priv = priv};
	*ret_port = &port;
	return 0;
}

int port_start(struct port *p, int fd)
{
	started = true;
	return 0;
}

void sw_port_del(struct port *p)
{
	if (!p)
		return;
	started = false;
	p->ops->close(p);
}

struct pkt_pool *sw_main_pool(struct sw *sw)
{
	return pool;
}

struct pkt_pool *worker_pool(struct worker *w)
{
	return pool;
}

bool worker_slow_up(struct worker *w, struct slow_sink *sink, struct pkt *k)
{
	assert_false(k->flags & PKT_SHARED);
	if (n_up == up_room)
		return false;
	up_sink = sink;
	up[n_up++] = k;
	return true;
}

void sw_slow_down(struct port *in, domain_idx dom, struct pkt *k)
{
	assert_ptr_equal(in, &port);
	assert_int_equal(dom, DOMAIN);
	if (n_down == ARRAY_SIZE(down))
		pkt_free(pool, k);
	else
		down[n_down++] = k;
}

static void drain_up(void)
{
	for (unsigned i = 0; i < n_up; i++)
		up_sink->fn(up_sink->arg, up[i]);
	n_up = 0;
}

static void forget_down(void)
{
	while (n_down)
		pkt_free(pool, down[--n_down]);
}

/* ---- frames ---- */

static const struct mac our_mac = {{2, 0, 0, 0, 0, 7}};

struct l4 {
	be32 src, dst;
	uint16_t sport, dport;
	uint32_t seq, ack;
	uint8_t flags;
	const char *options; /* of TCP; a multiple of four bytes */
	size_t options_len;
};

static struct pkt *ip_frame(be32 src, be32 dst, uint8_t proto, const void *l4, size_t len)
{
	static uint8_t buf[ETH_FRAME_MAX];
	struct wire w = wire_writer(buf, sizeof(buf));
	struct ip4_hdr ip = {.ver_ihl = 0x45,
			     .len = htobe16((uint16_t)(20 + len)),
			     .ttl = 64,
			     .proto = proto,
			     .src = src,
			     .dst = dst};
	struct pkt *k;

	ip.csum = csum_ip4_header(&ip, sizeof(ip));
	wire_put_zero(&w, 6);
	wire_put_mac(&w, our_mac);
	wire_put_u16(&w, ETHERTYPE_IP4);
	wire_put(&w, &ip, sizeof(ip));
	wire_put(&w, l4, len);
	assert_true(wire_ok(&w));
	k = pkt_from(pool, buf, wire_pos(&w));
	assert_non_null(k);
	assert_int_equal(pkt_parse(k), DROP_NONE);
	return k;
}

static be16 l4_csum(const struct l4 *a, uint8_t proto, const void *bytes, size_t len)
{
	return csum_finish(
		csum_add(csum_pseudo4(a->src, a->dst, proto, (uint16_t)len), bytes, len));
}

static struct pkt *udp_frame(const struct l4 *a, const char *data, size_t len)
{
	uint8_t buf[2048];
	struct udp_hdr h = {htobe16(a->sport), htobe16(a->dport), htobe16((uint16_t)(8 + len)), 0};

	memcpy(buf + 8, data, len);
	memcpy(buf, &h, 8);
	h.csum = l4_csum(a, IPPROTO4_UDP, buf, 8 + len);
	memcpy(buf, &h, 8);
	return ip_frame(a->src, a->dst, IPPROTO4_UDP, buf, 8 + len);
}

static struct pkt *tcp_frame(const struct l4 *a, const char *data, size_t len)
{
	static uint8_t buf[65536];
	size_t header = 20 + a->options_len;
	struct tcp_hdr h = {.sport = htobe16(a->sport),
			    .dport = htobe16(a->dport),
			    .seq = htobe32(a->seq),
			    .ack = htobe32(a->ack),
			    .off = (uint8_t)(header / 4 << 4),
			    .flags = a->flags,
			    .window = htobe16(65000)};

	if (a->options_len)
		memcpy(buf + 20, a->options, a->options_len);
	if (len)
		memcpy(buf + header, data, len);
	memcpy(buf, &h, 20);
	h.csum = l4_csum(a, IPPROTO4_TCP, buf, header + len);
	memcpy(buf, &h, 20);
	return ip_frame(a->src, a->dst, IPPROTO4_TCP, buf, header + len);
}

static struct pkt *icmp_frame(be32 dst)
{
	uint8_t buf[16] = {ICMP4_ECHO, 0, 0, 0, 0x12, 0x34, 0, 1, 'p', 'i', 'n', 'g'};
	be16 csum = csum_finish(csum_add(0, buf, sizeof(buf)));

	memcpy(buf + 2, &csum, 2);
	return ip_frame(UPLINK_HOST_OUTSIDE, dst, IPPROTO4_ICMP, buf, sizeof(buf));
}

static struct pkt *arp_announce(void)
{
	uint8_t buf[42];
	struct wire w = wire_writer(buf, sizeof(buf));
	struct pkt *k;

	wire_put_mac(&w, MAC_BROADCAST);
	wire_put_mac(&w, our_mac);
	wire_put_u16(&w, ETHERTYPE_ARP);
	wire_put_u16(&w, ARP_HTYPE_ETHER);
	wire_put_u16(&w, ETHERTYPE_IP4);
	wire_put_u8(&w, 6);
	wire_put_u8(&w, 4);
	wire_put_u16(&w, ARP_REQUEST);
	wire_put_mac(&w, our_mac);
	wire_put_ip4(&w, UPLINK_HOST_OUTSIDE);
	wire_put_zero(&w, 6);
	wire_put_ip4(&w, UPLINK_HOST_OUTSIDE);
	k = pkt_from(pool, buf, wire_pos(&w));
	assert_int_equal(pkt_parse(k), DROP_NONE);
	return k;
}

/* Offers the frame to the port, as the pipeline would.  The drop reason. */
static uint8_t offer(struct pkt *k)
{
	struct pkt_out o = {.pkt = k};

	port.ops->tx_burst(&port, NULL, &o, 1);
	if (!o.taken)
		pkt_free(pool, k);
	return o.drop;
}

static void send_frame(struct pkt *k)
{
	assert_int_equal(offer(k), DROP_NONE);
	drain_up();
}

/* ---- waiting ---- */

static void on_turn(void *arg)
{
	loop_stop(loop);
}

static void run_for(nsec_t t)
{
	struct loop_timer *timer = loop_timer_new(loop, on_turn, NULL);

	loop_timer_arm(timer, t);
	loop_run(loop);
	loop_timer_free(timer);
}

/* The first frame from the host of this protocol with an L4 header, within two seconds;
 * NULL when there is none.  It is the caller's. */
static struct pkt *await(uint8_t proto)
{
	for (int tries = 0; tries < 400; tries++) {
		for (unsigned i = 0; i < n_down; i++) {
			struct pkt *k = down[i];

			if (pkt_parse(k) == DROP_NONE && k->flags & PKT_L4 &&
			    k->ip_proto == proto) {
				memmove(&down[i], &down[i + 1], (--n_down - i) * sizeof(down[0]));
				return k;
			}
		}
		run_for(5 * NSEC_PER_MSEC);
	}
	return NULL;
}

static bool readable(int fd, int ms)
{
	struct pollfd p = {fd, POLLIN, 0};

	for (int t = 0; t <= ms; t += 5) {
		if (poll(&p, 1, 0))
			return true;
		run_for(5 * NSEC_PER_MSEC);
	}
	return false;
}

/* ---- the host's side ---- */

static int host_socket(int type, be32 addr, uint16_t *ret_port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = addr};
	socklen_t len = sizeof(a);
	int s = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(s, (struct sockaddr *)&a, len), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(s, 8), 0);
	assert_int_equal(getsockname(s, (struct sockaddr *)&a, &len), 0);
	*ret_port = ntohs(a.sin_port);
	return s;
}

static int host_connect(int type, be32 addr, uint16_t to)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_addr.s_addr = addr,
				.sin_port = htons(to)};
	int s = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(s, (struct sockaddr *)&a, sizeof(a)), 0);
	return s;
}

static bool in_namespace;

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0)
		return;
	if (write(fd, text, strlen(text)) < 0) { /* then the test that needs it skips */
	}
	close(fd);
}

static int make_namespace(void **state)
{
	char map[32];
	unsigned uid = getuid();

	if (uid ? unshare(CLONE_NEWUSER | CLONE_NEWNET) : unshare(CLONE_NEWNET)) {
		print_message("skipped: no network namespace: %s\n", strerror(errno));
		return 0;
	}
	if (uid) {
		snprintf(map, sizeof(map), "0 %u 1", uid);
		write_file("/proc/self/uid_map", map);
	}
	in_namespace = !system("ip link set lo up && ip addr add 198.51.100.1/32 dev lo");
	write_file("/proc/sys/net/ipv4/ping_group_range", "0 0");
	return 0;
}

static struct uplink_host *uplink;

static int setup_with(bool loopback)
{
	struct uplink_host_conf conf = {"t", loopback};

	if (!in_namespace)
		return 0;
	arena = arena_new(8192, 64);
	pool = pkt_pool_new(arena);
	loop = loop_new();
	n_up = n_down = 0;
	up_room = ARRAY_SIZE(up);
	assert_int_equal(uplink_host_new(NULL, loop, DOMAIN, &conf, &uplink), 0);
	assert_true(started);
	send_frame(arp_announce());
	return 0;
}

static int setup(void **state)
{
	return setup_with(false);
}

static int setup_open(void **state)
{
	return setup_with(true);
}

static int teardown(void **state)
{
	struct arena_stats a;

	if (!in_namespace)
		return 0;
	uplink_host_free(uplink);
	assert_false(started);
	drain_up();
	forget_down();
	loop_free(loop);
	pkt_pool_free(pool);
	a = arena_stats(arena);
	assert_int_equal(a.small_free, a.small_total);
	assert_int_equal(a.big_free, a.big_total);
	arena_free(arena);
	return 0;
}

#define NEED_NAMESPACE                                                                             \
	do {                                                                                       \
		if (!in_namespace)                                                                 \
			skip();                                                                    \
	} while (0)

/* ---- stories ---- */

static void udp_goes_out_and_comes_back(void **state)
{
	struct l4 a = {UPLINK_HOST_OUTSIDE, OUTSIDE, OUR_PORT};
	struct sockaddr_in from;
	socklen_t from_len = sizeof(from);
	char buf[32];
	struct pkt *k;
	int s;

	NEED_NAMESPACE;
	s = host_socket(SOCK_DGRAM, OUTSIDE, &a.dport);
	clock_advance(3600 * NSEC_PER_SEC); /* first frame after a long sleep */
	send_frame(udp_frame(&a, "hello", 5));
	assert_true(readable(s, 1000));
	assert_int_equal(recvfrom(s, buf, sizeof(buf), 0, (struct sockaddr *)&from, &from_len), 5);
	assert_memory_equal(buf, "hello", 5);
	assert_int_equal(sendto(s, "world!", 6, 0, (struct sockaddr *)&from, from_len), 6);
	k = await(IPPROTO4_UDP);
	assert_non_null(k);
	assert_true(mac_eq(pkt_eth(k)->dst, our_mac));
	assert_int_equal(pkt_ip4(k)->src, OUTSIDE);
	assert_int_equal(pkt_ip4(k)->dst, UPLINK_HOST_OUTSIDE);
	assert_int_equal(be16toh(pkt_udp(k)->dport), OUR_PORT);
	assert_int_equal(be16toh(pkt_udp(k)->sport), a.dport);
	assert_true(pkt_read(k, k->l4_off + 8, buf, 6));
	assert_memory_equal(buf, "world!", 6);
	pkt_free(pool, k);
	close(s);
}

/* SYN, SYN|ACK, ACK; the host's socket.  a is brought up to date. */
static int tcp_open(struct l4 *a, int listener)
{
	struct pkt *k;
	int s;

	a->seq = 1000;
	a->flags = TCP_SYN;
	send_frame(tcp_frame(a, NULL, 0));
	k = await(IPPROTO4_TCP);
	assert_non_null(k);
	assert_int_equal(pkt_tcp(k)->flags, TCP_SYN | TCP_ACK);
	assert_int_equal(be32toh(pkt_tcp(k)->ack), 1001);
	a->seq++;
	a->ack = be32toh(pkt_tcp(k)->seq) + 1;
	a->flags = TCP_ACK;
	a->options_len = 0;
	pkt_free(pool, k);
	send_frame(tcp_frame(a, NULL, 0));
	assert_true(readable(listener, 1000));
	s = accept(listener, NULL, NULL);
	assert_true(s >= 0);
	return s;
}

static void tcp_carries_large_frames(void **state)
{
	struct l4 a = {UPLINK_HOST_OUTSIDE, OUTSIDE, OUR_PORT};
	static char data[20000], got[20000];
	size_t have = 0;
	struct pkt *k;
	int listener, s;

	NEED_NAMESPACE;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)(i * 7);
	listener = host_socket(SOCK_STREAM, OUTSIDE, &a.dport);
	s = tcp_open(&a, listener);
	send_frame(tcp_frame(&a, data, sizeof(data))); /* one IP packet of 20 KB */
	while (have < sizeof(got) && readable(s, 1000))
		have += (size_t)read(s, got + have, sizeof(got) - have);
	assert_int_equal(have, sizeof(got));
	assert_memory_equal(got, data, sizeof(got));
	forget_down();
	assert_int_equal(write(s, "bye", 3), 3);
	close(s);
	do { /* an ACK of ours comes first */
		k = await(IPPROTO4_TCP);
		assert_non_null(k);
		have = pkt_l4_len(k) - (unsigned)(pkt_tcp(k)->off >> 4) * 4;
		pkt_free(pool, k);
	} while (have != 3);
	a.seq += sizeof(data);
	a.flags = TCP_RST;
	send_frame(tcp_frame(&a, NULL, 0));
	close(listener);
}

static const struct {
	const char *options;
	size_t len;
	uint16_t gso_size; /* of what comes back; 0: not a large frame */
} mss_cases[] = {
	{"\2\4\5\xb4", 4, 1460},
	{"\1\1\4\2\1\2\4\4\xb0\0\0\0", 12, 1200}, /* at an odd offset */
	{"", 0, 0},
	{"\2\4\0\x64", 4, 0},	      /* below what TCP promises */
	{"\0\2\4\5\xb4\1\1\1", 8, 0}, /* behind the end of the list */
	{"\2\3\5\xb4", 4, 0},
	{"\1\1\1\2", 4, 0}, /* cut short */
	{"\1\1\2\4", 4, 0},
	{"\3\0\2\4\5\xb4\1\1", 8, 0}, /* an option of no length */
	{"\3\xff\2\4\5\xb4\1\1", 8, 0},
};

static void large_segments_become_tso(void **state)
{
	static char data[20000];
	struct l4 a = {UPLINK_HOST_OUTSIDE, OUTSIDE, OUR_PORT};
	struct pkt *k;
	int listener, s;
	be16 partial;

	NEED_NAMESPACE;
	listener = host_socket(SOCK_STREAM, OUTSIDE, &a.dport);
	for (size_t i = 0; i < ARRAY_SIZE(mss_cases); i++) {
		a.options = mss_cases[i].options;
		a.options_len = mss_cases[i].len;
		a.sport++;
		s = tcp_open(&a, listener);
		assert_int_equal(write(s, data, sizeof(data)), sizeof(data));
		k = await(IPPROTO4_TCP);
		assert_non_null(k);
		assert_int_equal(k->vnet.gso_size, mss_cases[i].gso_size);
		if (mss_cases[i].gso_size) {
			assert_int_equal(k->vnet.gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
			assert_int_equal(k->vnet.csum_start, 34);
			assert_int_equal(pkt_segments(k),
					 (k->len - 54 + k->vnet.gso_size - 1) / k->vnet.gso_size);
			partial = csum_fold(csum_pseudo4(OUTSIDE, UPLINK_HOST_OUTSIDE, IPPROTO4_TCP,
							 (uint16_t)(k->len - 34)));
			assert_int_equal(pkt_tcp(k)->csum, partial);
		}
		pkt_free(pool, k);
		a.flags = TCP_RST;
		send_frame(tcp_frame(&a, NULL, 0));
		forget_down();
		close(s);
	}
	close(listener);
}

static void flows_leave_descriptors_to_others(void **state)
{
	struct l4 a = {UPLINK_HOST_OUTSIDE, OUTSIDE, OUR_PORT};
	struct rlimit old, few = {.rlim_cur = 60};
	struct uplink_host_stats st;
	char buf[8];
	int s;

	NEED_NAMESPACE;
	teardown(state);
	getrlimit(RLIMIT_NOFILE, &old);
	few.rlim_max = old.rlim_max;
	setrlimit(RLIMIT_NOFILE, &few);
	setup(state);
	s = host_socket(SOCK_DGRAM, OUTSIDE, &a.dport);
	for (unsigned i = 0; i < 100; i++, a.sport++)
		send_frame(udp_frame(&a, "x", 1));
	st = uplink_host_stats(uplink);
	assert_int_equal(st.no_socket, 70);
	a.flags = TCP_SYN;
	send_frame(tcp_frame(&a, NULL, 0));
	assert_int_equal(uplink_host_stats(uplink).no_socket, 71);
	while (readable(s, 20))
		assert_int_equal(recv(s, buf, sizeof(buf), 0), 1);
	a.sport = OUR_PORT; /* flows there are go on */
	send_frame(udp_frame(&a, "y", 1));
	assert_true(readable(s, 1000));
	assert_int_equal(uplink_host_stats(uplink).sockets, 30);
	close(s);
	setrlimit(RLIMIT_NOFILE, &old);
}

/* A UDP datagram of 24 bytes of payload in eight-byte pieces; which come, in this order,
 * and whether it arrives. */
static void fragments_are_put_together(void **state)
{
	static const struct {
		struct {
			uint8_t at, len;
			bool last;
		} piece[6]; /* in bytes of the IP payload; len 0 ends the list */
		bool arrives;
	} cases[] = {
		{{{0, 16}, {16, 16, true}}, true},
		{{{16, 16, true}, {8, 8}, {0, 8}}, true},    /* backwards */
		{{{0, 16}, {8, 8}, {16, 16, true}}, false},  /* overlap */
		{{{0, 16}, {0, 16}, {16, 16, true}}, false}, /* twice */
		{{{0, 16}, {24, 8, true}}, false},	     /* a hole */
		{{{24, 8}, {0, 8}, {8, 8, true}}, false},   /* more behind the end */
		{{{24, 8}, {8, 8, true}, {0, 8}}, false},
		{{{16, 16, true}, {16, 16, true}, {0, 16}}, false}, /* two ends */
		{{{24, 8, true}, {0, 8}, {8, 8}, {16, 8}}, true},
	};
	struct l4 a = {UPLINK_HOST_OUTSIDE, OUTSIDE, OUR_PORT};
	char data[25] = "abcdefghijklmnopqrstuvwx", got[32];
	int s;

	NEED_NAMESPACE;
	s = host_socket(SOCK_DGRAM, OUTSIDE, &a.dport);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (size_t j = 0; j < 6 && cases[i].piece[j].len; j++) {
			struct pkt *k = udp_frame(&a, data, 24);
			struct ip4_hdr *ip = pkt_ip4(k);
			unsigned at = cases[i].piece[j].at, len = cases[i].piece[j].len;

			memmove(k->head + 34, k->head + 34 + at, len);
			pkt_set_len(pool, k, 34 + len);
			ip->len = htobe16((uint16_t)(20 + len));
			ip->id = htobe16((uint16_t)i);
			ip->frag =
				htobe16((uint16_t)(at / 8 | (cases[i].piece[j].last ? 0 : IP4_MF)));
			ip->csum = 0;
			ip->csum = csum_ip4_header(ip, 20);
			k->flags = 0;
			assert_int_equal(pkt_parse(k), DROP_NONE);
			assert_true(k->flags & PKT_FRAGMENT);
			send_frame(k);
		}
		assert_int_equal(readable(s, cases[i].arrives ? 1000 : 10), cases[i].arrives);
		if (cases[i].arrives) {
			assert_int_equal(recv(s, got, sizeof(got), 0), 24);
			assert_memory_equal(got, data, 24);
		}
	}
	assert_true(uplink_host_stats(uplink).bad_fragments >= 4);
	close(s);
}

static void ping_is_answered(void **state)
{
	struct pkt *k;

	NEED_NAMESPACE;
	send_frame(icmp_frame(OUTSIDE));
	k = await(IPPROTO4_ICMP);
	assert_non_null(k);
	assert_int_equal(pkt_icmp(k)->type, ICMP4_ECHO_REPLY);
	assert_int_equal(be16toh(pkt_icmp(k)->id), 0x1234);
	pkt_free(pool, k);
}

static void the_host_itself_is_closed(void **state)
{
	static const uint32_t never[] = {0x7f000001, 0x7f000101, 0x00000000, 0x0a000000 & 0,
					 0xe0000001, 0xf0000001, 0xffffffff};
	static const uint32_t own[] = {0xc0000000, 0xc0000001, 0xc0000003, 0xc0000004, 0xc0000007};
	struct l4 a = {UPLINK_HOST_OUTSIDE, 0, OUR_PORT, 80, .flags = TCP_SYN};
	struct prefix4 net = {UPLINK_HOST_GATEWAY, UPLINK_HOST_PREFIX_LEN};
	int tcp, udp;

	NEED_NAMESPACE;
	tcp = host_socket(SOCK_STREAM, LOOPBACK, &a.dport);
	for (size_t i = 0; i < ARRAY_SIZE(never); i++) {
		a.dst = htobe32(never[i]);
		assert_int_equal(offer(tcp_frame(&a, NULL, 0)), DROP_GW_MARTIAN);
		assert_int_equal(offer(udp_frame(&a, "x", 1)), DROP_GW_MARTIAN);
		assert_int_equal(offer(icmp_frame(a.dst)), DROP_GW_MARTIAN);
	}
	for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
		a.dst = htobe32(own[i]);
		assert_true(prefix4_contains(net, a.dst));
		assert_int_equal(offer(tcp_frame(&a, NULL, 0)), DROP_GW_LOCAL_CLOSED);
		assert_int_equal(offer(icmp_frame(a.dst)), DROP_GW_LOCAL_CLOSED);
	}
	a.dst = UPLINK_HOST_GATEWAY;
	a.flags = TCP_ACK; /* may be a forward's; libslirp knows of none */
	send_frame(tcp_frame(&a, NULL, 0));
	a.flags = TCP_SYN | TCP_ACK;
	send_frame(tcp_frame(&a, NULL, 0));
	assert_false(readable(tcp, 50));
	/* UDP is stopped on the main thread */
	udp = host_socket(SOCK_DGRAM, LOOPBACK, &a.dport);
	send_frame(udp_frame(&a, "x", 1));
	assert_false(readable(udp, 50));
	assert_int_equal(uplink_host_stats(uplink).closed_loopback, 1);
	a.dport = 69;
	assert_int_equal(offer(udp_frame(&a, "x", 1)), DROP_GW_LOCAL_CLOSED);
	/* the name server is open on its port */
	a.dst = UPLINK_HOST_DNS;
	a.dport = 53;
	a.flags = TCP_SYN;
	assert_int_equal(offer(tcp_frame(&a, NULL, 0)), DROP_NONE);
	close(tcp);
	close(udp);
}

static void loopback_can_be_opened(void **state)
{
	struct l4 a = {UPLINK_HOST_OUTSIDE, UPLINK_HOST_GATEWAY, OUR_PORT};
	int listener, s;

	NEED_NAMESPACE;
	listener = host_socket(SOCK_STREAM, LOOPBACK, &a.dport);
	s = tcp_open(&a, listener);
	close(s);
	a.dst = LOOPBACK; /* but not by its own name */
	assert_int_equal(offer(tcp_frame(&a, NULL, 0)), DROP_GW_MARTIAN);
	close(listener);
}

/* A host port that is free right now. */
static uint16_t free_port(int type)
{
	uint16_t p;

	close(host_socket(type, LOOPBACK, &p));
	return p;
}

static void forwards_tcp(void **state)
{
	struct l4 a = {UPLINK_HOST_OUTSIDE, UPLINK_HOST_GATEWAY, 2222, .seq = 77};
	uint16_t listen_port;
	char buf[8];
	struct pkt *k;
	int s, taken;

	NEED_NAMESPACE;
	listen_port = free_port(SOCK_STREAM);
	assert_int_equal(uplink_host_forward_add(uplink, IPPROTO4_TCP, LOOPBACK, listen_port, 2222),
			 0);
	assert_int_equal(uplink_host_forward_add(uplink, IPPROTO4_TCP, LOOPBACK, listen_port, 1),
			 -EEXIST);
	taken = host_socket(SOCK_STREAM, LOOPBACK, &a.dport);
	assert_int_equal(uplink_host_forward_add(uplink, IPPROTO4_TCP, LOOPBACK, a.dport, 1),
			 -EADDRINUSE);
	assert_int_equal(uplink_host_forward_add(uplink, IPPROTO4_TCP, htobe32(0xc0000201), 1234,
						 1),
			 -EADDRNOTAVAIL);
	assert_int_equal(uplink_host_forward_add(uplink, IPPROTO4_GRE, LOOPBACK, 1, 1),
			 -EPROTONOSUPPORT);
	close(taken);

	run_for(NSEC_PER_MSEC);
	s = host_connect(SOCK_STREAM, LOOPBACK, listen_port);
	k = await(IPPROTO4_TCP);
	assert_non_null(k);
	assert_int_equal(pkt_tcp(k)->flags, TCP_SYN);
	assert_int_equal(pkt_ip4(k)->src, UPLINK_HOST_GATEWAY);
	assert_int_equal(pkt_ip4(k)->dst, UPLINK_HOST_OUTSIDE);
	assert_int_equal(be16toh(pkt_tcp(k)->dport), 2222);
	a.dport = be16toh(pkt_tcp(k)->sport);
	a.ack = be32toh(pkt_tcp(k)->seq) + 1;
	pkt_free(pool, k);
	a.flags = TCP_SYN | TCP_ACK;
	send_frame(tcp_frame(&a, NULL, 0));
	a.seq++;
	a.flags = TCP_ACK | TCP_PSH;
	send_frame(tcp_frame(&a, "SSH-2", 5));
	assert_true(readable(s, 1000));
	assert_int_equal(read(s, buf, sizeof(buf)), 5);
	close(s);

	assert_int_equal(uplink_host_forward_del(uplink, IPPROTO4_TCP, LOOPBACK, listen_port), 0);
	assert_int_equal(uplink_host_forward_del(uplink, IPPROTO4_TCP, LOOPBACK, listen_port),
			 -ENOENT);
	taken = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(taken,
				 (struct sockaddr *)&(
					 struct sockaddr_in){.sin_family = AF_INET,
							     .sin_port = htons(listen_port),
							     .sin_addr.s_addr = LOOPBACK},
				 sizeof(struct sockaddr_in)),
			 -1);
	close(taken);
}

static void forwards_udp_and_its_answers(void **state)
{
	struct l4 a = {UPLINK_HOST_OUTSIDE, UPLINK_HOST_GATEWAY, 5353};
	uint16_t listen_port, other_port;
	char buf[8];
	struct pkt *k;
	int s, other;

	NEED_NAMESPACE;
	listen_port = free_port(SOCK_DGRAM);
	other = host_socket(SOCK_DGRAM, LOOPBACK, &other_port);
	assert_int_equal(uplink_host_forward_add(uplink, IPPROTO4_UDP, LOOPBACK, listen_port, 5353),
			 0);
	run_for(NSEC_PER_MSEC);
	s = host_connect(SOCK_DGRAM, LOOPBACK, listen_port);
	assert_int_equal(send(s, "query", 5, 0), 5);
	k = await(IPPROTO4_UDP);
	assert_non_null(k);
	assert_int_equal(pkt_ip4(k)->src, UPLINK_HOST_GATEWAY);
	assert_int_equal(be16toh(pkt_udp(k)->dport), 5353);
	a.dport = be16toh(pkt_udp(k)->sport);
	pkt_free(pool, k);
	send_frame(udp_frame(&a, "answer", 6));
	assert_true(readable(s, 1000));
	assert_int_equal(recv(s, buf, sizeof(buf), 0), 6);
	a.dport = other_port; /* nobody there asked */
	send_frame(udp_frame(&a, "answer", 6));
	assert_false(readable(other, 50));
	assert_int_equal(uplink_host_stats(uplink).closed_loopback, 1);
	assert_int_equal(uplink_host_forward_del(uplink, IPPROTO4_UDP, LOOPBACK, listen_port), 0);
	close(s);
	close(other);
}

static void shared_and_refused_frames(void **state)
{
	struct l4 a = {UPLINK_HOST_OUTSIDE, OUTSIDE, OUR_PORT, 9};
	struct pkt_out o = {.pkt = udp_frame(&a, "x", 1)};
	uint8_t ip6[60] = {[12] = 0x86, [13] = 0xdd};

	NEED_NAMESPACE;
	o.pkt->flags |= PKT_SHARED;
	port.ops->tx_burst(&port, NULL, &o, 1);
	assert_false(o.taken || o.drop); /* a copy went */
	assert_int_equal(n_up, 1);
	up_room = 1;
	port.ops->tx_burst(&port, NULL, &o, 1);
	assert_int_equal(o.drop, DROP_QUEUE_INTERNAL);
	o.pkt->flags &= (uint16_t)~PKT_SHARED;
	assert_int_equal(offer(o.pkt), DROP_QUEUE_INTERNAL);
	assert_int_equal(offer(pkt_from(pool, ip6, sizeof(ip6))), DROP_GW_NOT_MINE);
	/* what is queued when the uplink goes is freed when it arrives (teardown) */
}

static long switches(void)
{
	struct rusage r;

	getrusage(RUSAGE_THREAD, &r); /* not those of a sanitizer's own thread */
	return r.ru_nvcsw;
}

static void idle_costs_nothing(void **state)
{
	struct l4 a = {UPLINK_HOST_OUTSIDE, OUTSIDE, OUR_PORT};
	long before;
	int s;

	NEED_NAMESPACE;
	run_for(50 * NSEC_PER_MSEC);
	before = switches();
	run_for(1500 * NSEC_PER_MSEC);
	assert_true(switches() - before <= 2);

	s = host_socket(SOCK_DGRAM, OUTSIDE, &a.dport);
	send_frame(udp_frame(&a, "x", 1)); /* a flow to time out */
	run_for(50 * NSEC_PER_MSEC);
	assert_int_equal(uplink_host_stats(uplink).sockets, 1);
	clock_advance(300 * NSEC_PER_SEC);
	loop_clock_moved(loop);
	run_for(50 * NSEC_PER_MSEC);
	assert_int_equal(uplink_host_stats(uplink).sockets, 0);
	/* a listener alone has nothing to time either */
	assert_int_equal(uplink_host_forward_add(uplink, IPPROTO4_TCP, LOOPBACK,
						 free_port(SOCK_STREAM), 1),
			 0);
	clock_advance(300 * NSEC_PER_SEC);
	loop_clock_moved(loop);
	run_for(50 * NSEC_PER_MSEC);
	before = switches();
	run_for(1500 * NSEC_PER_MSEC);
	assert_true(switches() - before <= 2);
	close(s);
}

#define STORY(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORY(udp_goes_out_and_comes_back),
		STORY(tcp_carries_large_frames),
		STORY(large_segments_become_tso),
		STORY(flows_leave_descriptors_to_others),
		STORY(fragments_are_put_together),
		STORY(ping_is_answered),
		STORY(the_host_itself_is_closed),
		cmocka_unit_test_setup_teardown(loopback_can_be_opened, setup_open, teardown),
		STORY(forwards_tcp),
		STORY(forwards_udp_and_its_answers),
		STORY(shared_and_refused_frames),
		STORY(idle_costs_nothing),
	};

	return cmocka_run_group_tests(tests, make_namespace, NULL);
}
