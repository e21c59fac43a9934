/* The vhost-user port against real sockets, a fake switch and rings that only remember: the
 * handshake, each kind of message, what is refused and that nothing is left behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tap/usock.h"
#include "tap/vhost_dev.h"
#include "tap/vhost_user.h"
#include "tests/unit/tap_fake.h"
#include "tests/unit/send_fds.h"

#define MEM_SIZE (1u << 20)
#define GPA	 0x100000u
#define UVA	 0x7f0000000000u
#define SIZE	 256u
#define ACK	 UINT64_C(8) /* REPLY_ACK */

static char dir[64], path[96];
static int fe = -1;	/* the frontend's end */
static int mem_fd = -1; /* its memory */
static unsigned files_before;

static unsigned open_files(void)
{
	unsigned n = 0;
	DIR *d = opendir("/proc/self/fd");

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static const struct vhost_user_config base_config = {.socket = path, .queues = 2};

static int open_port(const struct vhost_user_config *c)
{
	struct port *p;

	return vhost_user_open(FAKE_SW, FAKE_LOOP, "vm", c, &(struct port_conf){.mtu = 1400}, &p);
}

static int setup(void **state)
{
	files_before = open_files();
	snprintf(dir, sizeof(dir), "/tmp/test_vhost.XXXXXX");
	if (fake_setup(state) || !mkdtemp(dir))
		return 1;
	snprintf(path, sizeof(path), "%s/vm.sock", dir);
	mem_fd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	return ftruncate(mem_fd, MEM_SIZE) || open_port(&base_config);
}

static void hang_up(void)
{
	if (fe >= 0)
		close(fe);
	fe = -1;
	fake_loop_run(false);
}

static int teardown(void **state)
{
	hang_up();
	close(mem_fd);
	int r = fake_teardown(state);
	fake.port.ops = NULL;
	r |= rmdir(dir);
	if (open_files() != files_before) {
		fprintf(stderr, "%u files before, %u after\n", files_before, open_files());
		return 1;
	}
	return r;
}

/* ---- a frontend in a few lines ---- */

static int dial(void)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	fake_loop_run(false);
	return fd;
}

static void put(const void *bytes, size_t len, const int *fds, unsigned n_fds)
{
	assert_int_equal(send_fds(fe, bytes, len, fds, n_fds), (ssize_t)len);
}

static void say(uint32_t request, uint32_t flags, const void *body, uint32_t size, const int *fds,
		unsigned n_fds)
{
	uint8_t b[4096];
	uint32_t hdr[3] = {request, VHOST_VERSION | flags, size};

	memcpy(b, hdr, sizeof(hdr));
	if (size)
		memcpy(b + sizeof(hdr), body, size);
	put(b, sizeof(hdr) + size, fds, n_fds);
	fake_loop_run(false);
}

static void say_u64(uint32_t request, uint32_t flags, uint64_t v, int fd)
{
	say(request, flags, &v, sizeof(v), &fd, fd >= 0);
}

/* The reply to `request`: its size, -1 when none came, -2 when the connection is closed. */
static int hear(uint32_t request, void *body, size_t room, int *fd)
{
	uint8_t b[4096];
	uint32_t hdr[3];
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = {b, sizeof(b)};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
			   .msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(fe, &h, MSG_DONTWAIT);

	if (n <= 0)
		return n < 0 && errno == EAGAIN ? -1 : -2;
	memcpy(hdr, b, sizeof(hdr));
	assert_int_equal(n, 12 + hdr[2]);
	assert_int_equal(hdr[0], request);
	assert_int_equal(hdr[1], VHOST_VERSION | VHOST_REPLY);
	assert_true(hdr[2] <= room);
	memcpy(body, b + 12, hdr[2]);
	if (fd)
		memcpy(fd, CMSG_DATA(CMSG_FIRSTHDR(&h)), sizeof(*fd));
	return (int)hdr[2];
}

static uint64_t ask(uint32_t request)
{
	uint64_t v = 0;

	say(request, 0, NULL, 0, NULL, 0);
	assert_int_equal(hear(request, &v, sizeof(v), NULL), 8);
	return v;
}

/* The status of a message sent with NEED_REPLY. */
static uint64_t status(uint32_t request)
{
	uint64_t v = 77;

	assert_int_equal(hear(request, &v, sizeof(v), NULL), 8);
	return v;
}

static bool closed(void)
{
	uint8_t b;

	return recv(fe, &b, 1, MSG_DONTWAIT) == 0 || errno == ECONNRESET; /* reset: it had not read all */
}

/* The value of a key of describe(). */
struct look {
	const char *key;
	char value[512];
};
static void on_describe(void *arg, const char *key, const char *value)
{
	struct look *l = arg;

	if (!strcmp(l->key, key))
		snprintf(l->value, sizeof(l->value), "%s", value);
}
static const char *shown(const char *key)
{
	static struct look l;

	l = (struct look){.key = key};
	fake.port.ops->describe(&fake.port, on_describe, &l);
	return l.value;
}
#define assert_shown(key, part)                                                                    \
	do {                                                                                       \
		if (!strstr(shown(key), part))                                                     \
			fail_msg("%s is '%s', without '%s'", key, shown(key), part);               \
	} while (0)

static int event(void)
{
	return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

static void say_fd(uint32_t request, unsigned ring)
{
	int fd = event();

	say_u64(request, 0, ring, fd);
	close(fd);
}

static struct vhost_table_msg table(uint32_t n)
{
	return (struct vhost_table_msg){.n = n, .r = {{GPA, MEM_SIZE, UVA, 0}}};
}

static void say_memory(void)
{
	struct vhost_table_msg t = table(1);

	say(VHOST_SET_MEM_TABLE, 0, &t, 40, &mem_fd, 1);
}

static void say_state(uint32_t request, uint32_t flags, uint32_t index, uint32_t num)
{
	struct vhost_vring_state s = {index, num};

	say(request, flags, &s, sizeof(s), NULL, 0);
}

static void say_addr(uint32_t flags, unsigned ring, uint64_t desc)
{
	struct vhost_vring_addr_msg a = {.index = ring, .desc = desc, .avail = desc + 0x1000,
					 .used = desc + 0x2000};

	say(VHOST_SET_VRING_ADDR, flags, &a, sizeof(a), NULL, 0);
}

static void say_ring(unsigned ring)
{
	say_state(VHOST_SET_VRING_NUM, 0, ring, SIZE);
	say_state(VHOST_SET_VRING_BASE, 0, ring, 5);
	say_addr(0, ring, UVA + 0x4000 * ring);
	say_fd(VHOST_SET_VRING_KICK, ring);
	say_fd(VHOST_SET_VRING_CALL, ring);
}

#define FEATURES (UINT64_C(1) << VHOST_F_VERSION_1 | UINT64_C(1) << VHOST_F_PROTOCOL_FEATURES)

/* As QEMU does it. */
static void handshake(uint64_t features, uint64_t protocol)
{
	fe = dial();
	ask(VHOST_GET_FEATURES);
	ask(VHOST_GET_PROTOCOL_FEATURES);
	if (features & UINT64_C(1) << VHOST_F_PROTOCOL_FEATURES)
		say_u64(VHOST_SET_PROTOCOL_FEATURES, 0, protocol, -1);
	say(VHOST_SET_OWNER, 0, NULL, 0, NULL, 0);
	say_u64(VHOST_SET_FEATURES, 0, features, -1);
}

static void up(void)
{
	handshake(FEATURES, ACK);
	say_memory();
	for (unsigned i = 0; i < 2; i++) {
		say_ring(i);
		say_state(VHOST_SET_VRING_ENABLE, 0, i, 1);
	}
	assert_true(fake.port.running);
}

static uint32_t base_of(unsigned ring)
{
	struct vhost_vring_state s = {ring, 0};

	say(VHOST_GET_VRING_BASE, 0, &s, sizeof(s), NULL, 0);
	assert_int_equal(hear(VHOST_GET_VRING_BASE, &s, sizeof(s), NULL), 8);
	assert_int_equal(s.index, ring);
	return s.num;
}

static uint8_t send_one(void)
{
	uint8_t frame[60] = {0};
	struct pkt_out o = {.pkt = pkt_from(fake.pool, frame, sizeof(frame))};

	fake.port.ops->tx_burst(&fake.port, FAKE_WORKER, &o, 1);
	pkt_free(fake.pool, o.pkt);
	return o.drop;
}

/* ---- what works ---- */

static void test_handshake(void **state)
{
	assert_shown("reason", "waiting for a frontend");
	fe = dial();
	uint64_t f = ask(VHOST_GET_FEATURES);
	assert_true(f & UINT64_C(1) << VHOST_F_MQ);
	assert_false(f & UINT64_C(1) << VHOST_F_MAC); /* none is configured */
	assert_true(ask(VHOST_GET_PROTOCOL_FEATURES) & ACK);
	assert_int_equal(ask(VHOST_GET_QUEUE_NUM), 2);
	assert_int_equal(ask(VHOST_GET_MAX_MEM_SLOTS), VHOST_REGIONS_MAX);
	hang_up();
	up();
	assert_shown("reason", "");
	assert_shown("frontend", "pid");
	assert_shown("features", "version-1");
	assert_shown("memory", "1 regions, 1048576 bytes, not sealed");
	assert_shown("rings", "split, 256 entries");
	assert_true(fake.queue_fd[0] >= 0);
	assert_int_equal(send_one(), DROP_NONE);
	hang_up();
	assert_false(fake.port.running);
	assert_int_equal(send_one(), DROP_TX_GONE);
	assert_shown("reason", "closed the connection");
}

/* Without PROTOCOL_FEATURES rings start enabled; with it they wait for SET_VRING_ENABLE. */
static void test_enable(void **state)
{
	handshake(UINT64_C(1) << VHOST_F_VERSION_1, 0);
	say_memory();
	say_ring(0);
	assert_true(fake.port.running);
	hang_up();
	handshake(FEATURES, 0);
	say_memory();
	say_ring(0);
	say_ring(1);
	assert_false(fake.port.running);
	say_state(VHOST_SET_VRING_ENABLE, 0, 1, 1);
	assert_true(fake.port.running);
	assert_int_equal(send_one(), DROP_TX_GONE);
	say_state(VHOST_SET_VRING_ENABLE, 0, 0, 1);
	assert_int_equal(send_one(), DROP_NONE);
	say_state(VHOST_SET_VRING_ENABLE, 0, 0, 0);
	assert_int_equal(send_one(), DROP_TX_GONE);
	say_state(VHOST_SET_VRING_ENABLE, 0, 1, 0);
	assert_false(fake.port.running);
}

/* GET_VRING_BASE: the worker is out before the reply, and the base is where it stopped. */
static void test_stop(void **state)
{
	up();
	assert_int_equal(send_one(), DROP_NONE);
	unsigned synced = fake.synced;
	assert_int_equal(base_of(0), 6);
	assert_true(fake.synced > synced);
	assert_int_equal(send_one(), DROP_TX_GONE);
	assert_true(fake.queue_fd[0] >= 0); /* the other one runs on */
	assert_int_equal(base_of(1), 5);
	assert_int_equal(fake.queue_fd[0], -1);
	assert_false(fake.port.running);
	assert_int_equal(base_of(3), 0); /* one that never ran */
	say_ring(0);
	assert_true(fake.port.running); /* it is still enabled */
}

static void test_polling(void **state)
{
	up();
	int watched = fake.queue_fd[0];
	assert_false(fake.port.ops->arm(&fake.port, 0, FAKE_WORKER));
	say_u64(VHOST_SET_VRING_KICK, 0, 1 | VHOST_VRING_NO_FD, -1);
	assert_true(fake.queue_fd[0] >= 0 && fake.queue_fd[0] != watched);
	assert_true(fake.port.ops->arm(&fake.port, 0, FAKE_WORKER)); /* never asleep */
}

/* The call descriptor is signalled when it is given: what was used before may be untold. */
static void test_call(void **state)
{
	uint64_t v;
	int fd = event();

	up();
	say_u64(VHOST_SET_VRING_CALL, 0, 0, fd);
	assert_int_equal(read(fd, &v, sizeof(v)), 8);
	close(fd);
	fd = mem_fd; /* not an eventfd: a worker might wait in writing it */
	say_u64(VHOST_SET_VRING_CALL, VHOST_NEED_REPLY, 0, fd);
	assert_int_equal(status(VHOST_SET_VRING_CALL), 1);
}

static void test_offloads(void **state)
{
	handshake(FEATURES | 1 << VHOST_F_GUEST_CSUM | 1 << VHOST_F_GUEST_TSO4 |
			  UINT64_C(1) << VHOST_F_GUEST_USO4, 0);
	say_memory();
	say_ring(0);
	say_state(VHOST_SET_VRING_ENABLE, 0, 0, 1);
	assert_int_equal(fake.port.caps.offloads, OFFLOAD_CSUM | OFFLOAD_TSO4);
	assert_int_equal(fake.port.caps.queues, 2);
	unsigned starts = fake.starts;
	say_u64(VHOST_NET_SET_MTU, 0, 9000, -1); /* caps are fixed while it runs: once down and up */
	assert_int_equal(fake.port.caps.mtu, 9000);
	assert_int_equal(fake.starts, starts + 1);
	assert_true(fake.port.running);
}

static void test_reply_ack(void **state)
{
	uint64_t v;

	handshake(FEATURES, 0);
	say_state(VHOST_SET_VRING_NUM, VHOST_NEED_REPLY, 0, SIZE);
	assert_int_equal(hear(VHOST_SET_VRING_NUM, &v, 8, NULL), -1); /* not negotiated */
	say_u64(VHOST_SET_PROTOCOL_FEATURES, 0, ACK, -1);
	say_state(VHOST_SET_VRING_NUM, VHOST_NEED_REPLY, 0, SIZE);
	assert_int_equal(status(VHOST_SET_VRING_NUM), 0);
	say_state(VHOST_SET_VRING_NUM, 0, 0, SIZE);
	assert_int_equal(hear(VHOST_SET_VRING_NUM, &v, 8, NULL), -1); /* not asked for */
	say(VHOST_GET_FEATURES, VHOST_NEED_REPLY, NULL, 0, NULL, 0);
	assert_int_equal(hear(VHOST_GET_FEATURES, &v, 8, NULL), 8); /* one answer, not two */
	assert_int_equal(hear(VHOST_GET_FEATURES, &v, 8, NULL), -1);
}

static void test_features_change(void **state)
{
	up();
	say_u64(VHOST_SET_FEATURES, 0, FEATURES, -1);
	assert_true(fake.port.running); /* nothing changed */
	say_u64(VHOST_SET_FEATURES, 0, FEATURES | 1 << VHOST_F_CSUM, -1);
	assert_false(fake.port.running); /* rings wait for their kick descriptors */
	say_ring(0);
	assert_true(fake.port.running);
	say_u64(VHOST_SET_FEATURES, VHOST_NEED_REPLY, FEATURES | UINT64_C(1) << 60, -1);
	assert_int_equal(status(VHOST_SET_FEATURES), 1); /* was not offered */
}

static void test_memory_swap(void **state)
{
	struct vhost_mem_reg_msg m = {.r = {GPA + MEM_SIZE, MEM_SIZE, UVA + MEM_SIZE, 0}};
	struct vhost_vring_state s;

	up();
	send_one();
	unsigned synced = fake.synced, starts = fake.starts;
	say(VHOST_ADD_MEM_REG, VHOST_NEED_REPLY, &m, sizeof(m), &mem_fd, 1);
	assert_int_equal(status(VHOST_ADD_MEM_REG), 0);
	assert_true(fake.synced > synced);
	assert_int_equal(fake.starts, starts); /* the link does not flap */
	assert_shown("memory", "2 regions");
	m.r.mmap_offset = 4711; /* not looked at; and a stray descriptor is closed */
	say(VHOST_REM_MEM_REG, VHOST_NEED_REPLY, &m, sizeof(m), &mem_fd, 1);
	assert_int_equal(status(VHOST_REM_MEM_REG), 0);
	say(VHOST_REM_MEM_REG, VHOST_NEED_REPLY, &m, sizeof(m), NULL, 0);
	assert_int_equal(status(VHOST_REM_MEM_REG), 1); /* there is none like it */
	/* The rings' own region goes and comes back: they go on where they were. */
	m.r = (struct vhost_region_msg){GPA, MEM_SIZE, UVA, 0};
	say(VHOST_REM_MEM_REG, 0, &m, sizeof(m), NULL, 0);
	assert_false(fake.port.running);
	assert_shown("stopped-ring", "outside guest memory");
	say(VHOST_ADD_MEM_REG, 0, &m, sizeof(m), &mem_fd, 1);
	assert_true(fake.port.running);
	s.num = base_of(0);
	assert_int_equal(s.num, 6);
}

static void test_log(void **state)
{
	struct vhost_log_msg l = {.size = 4096, .offset = 0};
	struct vhost_vring_addr_msg a = {.index = 0, .flags = 1, .desc = UVA, .avail = UVA + 0x1000,
					 .used = UVA + 0x2000, .log = GPA + 0x2000};
	uint64_t v;

	up();
	say(VHOST_SET_LOG_BASE, 0, &l, sizeof(l), &mem_fd, 1);
	assert_int_equal(hear(VHOST_SET_LOG_BASE, &v, sizeof(v), NULL), 8);
	say_u64(VHOST_SET_FEATURES, 0, FEATURES | 1 << VHOST_F_LOG_ALL, -1);
	assert_true(fake.port.running); /* logging alone resets no ring */
	assert_shown("memory", "writes are logged");
	say(VHOST_SET_VRING_ADDR, VHOST_NEED_REPLY, &a, sizeof(a), NULL, 0);
	assert_int_equal(status(VHOST_SET_VRING_ADDR), 0);
	a.log = UINT64_MAX - 100;
	say(VHOST_SET_VRING_ADDR, VHOST_NEED_REPLY, &a, sizeof(a), NULL, 0);
	assert_int_equal(status(VHOST_SET_VRING_ADDR), 1);
	assert_true(fake.port.running);
	say_u64(VHOST_SET_FEATURES, 0, FEATURES, -1);
	assert_null(strstr(shown("memory"), "logged"));
	/* of a packed ring the address is not used: the log is where the descriptors are */
	say_u64(VHOST_SET_FEATURES, 0, FEATURES | UINT64_C(1) << VHOST_F_RING_PACKED | 1 << VHOST_F_LOG_ALL, -1);
	say(VHOST_SET_VRING_ADDR, VHOST_NEED_REPLY, &a, sizeof(a), NULL, 0);
	assert_int_equal(status(VHOST_SET_VRING_ADDR), 0);
}

static void test_config(void **state)
{
	struct vhost_config_msg c = {.offset = 0, .size = 12};

	handshake(FEATURES, ACK | 1 << VHOST_PF_CONFIG);
	say(VHOST_GET_CONFIG, 0, &c, 24, NULL, 0);
	assert_int_equal(hear(VHOST_GET_CONFIG, &c, sizeof(c), NULL), 24);
	assert_int_equal(c.bytes[6], 1);			  /* link up */
	assert_int_equal(c.bytes[8], 2);			  /* pairs */
	assert_int_equal(c.bytes[10] | c.bytes[11] << 8, 1400); /* mtu */
	c.offset = UINT32_MAX;
	say(VHOST_GET_CONFIG, 0, &c, 24, NULL, 0);
	assert_int_equal(hear(VHOST_GET_CONFIG, &c, sizeof(c), NULL), 0);
	say(VHOST_SET_CONFIG, VHOST_NEED_REPLY, &c, 24, NULL, 0);
	assert_int_equal(status(VHOST_SET_CONFIG), 1);
}

/* `config-space: false`: it is neither offered nor taken. */
static void test_config_not_offered(void **state)
{
	const uint64_t config = 1 << VHOST_PF_CONFIG;
	struct vhost_user_config c = base_config;
	uint64_t offered;

	fe = dial();
	offered = ask(VHOST_GET_PROTOCOL_FEATURES);
	assert_true(offered & config);
	hang_up();
	assert_int_equal(fake_teardown(state), 0);
	assert_int_equal(fake_setup(state), 0);
	c.no_config = true;
	assert_int_equal(open_port(&c), 0);
	fe = dial();
	assert_int_equal(ask(VHOST_GET_PROTOCOL_FEATURES), offered & ~config);
	say_u64(VHOST_SET_PROTOCOL_FEATURES, 0, ACK, -1);
	say_u64(VHOST_SET_PROTOCOL_FEATURES, VHOST_NEED_REPLY, ACK | config, -1);
	assert_int_equal(status(VHOST_SET_PROTOCOL_FEATURES), 1);
}

/* ---- the backend's channel ---- */

static int channel = -1; /* the frontend's end */

static void say_channel(void)
{
	int s[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s), 0);
	say(VHOST_SET_BACKEND_REQ_FD, 0, NULL, 0, &s[1], 1);
	close(s[1]);
	channel = s[0];
}

static void set_link(bool up, uint32_t mtu)
{
	struct port_conf c = {.admin_down = !up, .mtu = mtu};

	fake.port.ops->conf_changed(&fake.port, &c);
}

/* How many CONFIG_CHANGE_MSGs wait, and nothing else. */
static unsigned told(void)
{
	const uint32_t want[3] = {VHOST_BACKEND_CONFIG_CHANGE_MSG, VHOST_VERSION, 0};
	uint32_t hdr[3];
	unsigned n = 0;

	for (; recv(channel, hdr, sizeof(hdr), MSG_DONTWAIT) == sizeof(hdr); n++)
		assert_memory_equal(hdr, want, sizeof(want));
	return n;
}

static void read_link(bool *up, unsigned *mtu)
{
	struct vhost_config_msg c = {.offset = 0, .size = 12};

	say(VHOST_GET_CONFIG, 0, &c, 24, NULL, 0);
	assert_int_equal(hear(VHOST_GET_CONFIG, &c, sizeof(c), NULL), 24);
	*up = c.bytes[6] & 1;
	*mtu = c.bytes[10] | (unsigned)c.bytes[11] << 8;
}

#define BOTH (1 << VHOST_PF_CONFIG | 1 << VHOST_PF_BACKEND_REQ)

static void test_link_is_told(void **state)
{
	bool up;
	unsigned mtu;

	handshake(FEATURES, ACK | BOTH);
	say_channel();
	set_link(true, 1400);
	assert_int_equal(told(), 0); /* that is what it was */
	set_link(false, 1400);
	assert_int_equal(told(), 1);
	read_link(&up, &mtu);
	assert_false(up);
	set_link(true, 9000);
	assert_int_equal(told(), 1);
	read_link(&up, &mtu);
	assert_true(up);
	assert_int_equal(mtu, 9000);
	say_u64(VHOST_NET_SET_MTU, 0, 1300, -1); /* a frontend that knows better hears its own */
	set_link(true, 1500);
	assert_int_equal(told(), 0);
	read_link(&up, &mtu);
	assert_int_equal(mtu, 1300);
	/* the link's state is the port's, not the connection's */
	set_link(false, 1500);
	assert_int_equal(told(), 1);
	close(channel);
	hang_up();
	set_link(false, 1600); /* nobody there */
	handshake(FEATURES, BOTH);
	read_link(&up, &mtu);
	assert_false(up);
	assert_int_equal(mtu, 1600);
}

static void test_link_is_not_told(void **state)
{
	const int without[] = {0, 1 << VHOST_PF_CONFIG, 1 << VHOST_PF_BACKEND_REQ};

	for (unsigned i = 0; i < ARRAY_SIZE(without); i++) {
		handshake(FEATURES, without[i]);
		say_channel();
		set_link(i % 2, 1400 + i);
		assert_int_equal(told(), 0);
		close(channel);
		hang_up();
	}
	handshake(FEATURES, ACK | BOTH); /* and no channel */
	set_link(false, 1400);
	assert_false(closed());
	say(VHOST_SET_BACKEND_REQ_FD, VHOST_NEED_REPLY, NULL, 0, &mem_fd, 1);
	assert_int_equal(status(VHOST_SET_BACKEND_REQ_FD), 1);
}

/* One that does not read, stuffs the other direction, descriptors and all, and then goes. */
static void test_stuffed_channel(void **state)
{
	uint8_t junk[4096] = {0};
	bool up;
	unsigned mtu, n;

	handshake(FEATURES, ACK | BOTH);
	say_channel();
	unsigned files = open_files();
	int talk = fe;
	fe = channel; /* put() sends there */
	for (unsigned i = 0; i < 8; i++)
		put(junk, sizeof(junk), &mem_fd, 1);
	while (send(channel, junk, sizeof(junk), MSG_DONTWAIT) > 0)
		;
	fe = talk;
	for (unsigned i = 0; i < 20000; i++) /* far more than its buffer holds */
		set_link(i % 2, 1400);
	assert_int_equal(open_files(), files);
	read_link(&up, &mtu);
	assert_true(up);
	assert_true(send(channel, junk, 1, MSG_DONTWAIT) > 0); /* what it had sent is thrown away */
	n = told();
	assert_true(n > 0 && n < 20000); /* whole messages, and it has not missed that something changed */
	set_link(false, 1400);
	assert_int_equal(told(), 1);
	close(channel);
	set_link(true, 1400); /* EPIPE: ours is closed as well */
	assert_int_equal(open_files(), files - 2);
	read_link(&up, &mtu);
	assert_true(up);
}

static void test_rarp(void **state)
{
	const uint8_t mac[8] = {0x52, 0x54, 0, 1, 2, 3};
	uint8_t b[60];
	uint64_t v;

	up();
	memcpy(&v, mac, sizeof(v));
	say_u64(VHOST_SEND_RARP, 0, v, -1);
	assert_non_null(fake.injected);
	assert_true(pkt_read(fake.injected, 0, b, sizeof(b)));
	assert_int_equal(b[0], 0xff);
	assert_memory_equal(b + 6, mac, 6);
	assert_int_equal(b[12] << 8 | b[13], 0x8035);
	assert_memory_equal(b + 22, mac, 6);
	assert_memory_equal(b + 32, mac, 6);
}

static void test_reset_device(void **state)
{
	up();
	say_u64(VHOST_SET_STATUS, 0, 15, -1);
	assert_int_equal(ask(VHOST_GET_STATUS), 15);
	say(VHOST_RESET_OWNER, 0, NULL, 0, NULL, 0);
	assert_true(fake.port.running); /* means nothing */
	say(VHOST_RESET_DEVICE, 0, NULL, 0, NULL, 0);
	assert_false(fake.port.running);
	assert_int_equal(ask(VHOST_GET_STATUS), 0);
	say_u64(VHOST_SET_FEATURES, 0, FEATURES, -1);
	say_ring(0); /* memory is kept: QEMU sends changes only */
	assert_false(fake.port.running);
	say_state(VHOST_SET_VRING_ENABLE, 0, 0, 1);
	assert_true(fake.port.running);
	say_u64(VHOST_SET_STATUS, 0, 0, -1);
	assert_false(fake.port.running);
}

/* ---- life ---- */

static void test_second_frontend(void **state)
{
	up();
	int first = fe;
	fe = dial();
	assert_true(closed());
	assert_shown("refused", "a second frontend");
	assert_true(fake.port.running);
	close(fe);
	close(first); /* the first is gone, and main has not noticed: the next one gets the place */
	handshake(FEATURES, 0);
	assert_false(closed());
	ask(VHOST_GET_FEATURES);
}

static void test_slow_message(void **state)
{
	uint32_t hdr[3] = {VHOST_SET_FEATURES, VHOST_VERSION, 8};

	up();
	fake_loop_run(true); /* the handshake is done: no timer is armed */
	assert_true(fake.port.running);
	put(hdr, 6, NULL, 0);
	fake_loop_run(false);
	put((uint8_t *)hdr + 6, 6, NULL, 0);
	fake_loop_run(false);
	assert_true(fake.port.running);
	uint64_t v = FEATURES;
	put(&v, 8, NULL, 0); /* in three pieces, and whole */
	fake_loop_run(false);
	fake_loop_run(true);
	assert_true(fake.port.running);
	put(hdr, 11, NULL, 0);
	fake_loop_run(false);
	fake_loop_run(true); /* 5 s later */
	assert_true(closed());
	assert_shown("refused", "not finished within 5 s");
	assert_false(fake.port.running);
}

static void test_silent_frontend(void **state)
{
	fe = dial();
	ask(VHOST_GET_FEATURES);
	fake_loop_run(true);
	assert_true(closed());
	assert_shown("refused", "SET_OWNER");
}

/* One that asks and never reads: main does not wait, and ends it. */
static void test_unread_replies(void **state)
{
	uint32_t hdr[3] = {VHOST_GET_FEATURES, VHOST_VERSION, 0};

	up();
	for (unsigned i = 0; i < 100000; i++) {
		if (send(fe, hdr, sizeof(hdr), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			break;
		fake_loop_run(false);
	}
	assert_shown("refused", "does not read its replies");
	assert_false(fake.port.running);
}

static void test_ring_fault(void **state)
{
	struct pkt *out[PKT_BURST];
	uint64_t v;
	int err = event();

	up();
	vhost_mem_guard(); /* cmocka has put its own handler over it */
	say_u64(VHOST_SET_VRING_ERR, 0, 1, err);
	assert_int_equal(ftruncate(mem_fd, 0), 0); /* the file is cut under the worker */
	fake.port.ops->rx_burst(&fake.port, 0, FAKE_WORKER, out, PKT_BURST);
	assert_true(fake.events);
	fake.port.ops->event(&fake.port, fake.events);
	assert_shown("refused", "taken away");
	assert_int_equal(read(err, &v, sizeof(v)), 8);
	close(err);
	assert_true(closed());
	assert_false(fake.port.running);
	fake.port.ops->event(&fake.port, fake.events); /* a late one is of no connection */
	assert_int_equal(ftruncate(mem_fd, MEM_SIZE), 0);
	close(fe);
	up();
}

static void expect_end(const char *why)
{
	fake_loop_run(false);
	assert_true(closed());
	assert_shown("refused", why);
	assert_false(fake.port.running);
	close(fe);
	fe = -1;
}

static int file_of(uint64_t bytes)
{
	int fd = memfd_create("beside", MFD_CLOEXEC);

	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	return fd;
}

/* The worker meets that a file was cut short. */
static void meet(const char *what)
{
	struct pkt *out[PKT_BURST];

	fake.events = 0;
	fake.port.ops->rx_burst(&fake.port, 0, FAKE_WORKER, out, PKT_BURST);
	assert_true(fake.events);
	fake.port.ops->event(&fake.port, fake.events);
	expect_end(what);
}

static int up_with_log(void)
{
	struct vhost_log_msg l = {.size = 4096};
	int fd = file_of(4096);
	uint64_t v;

	up();
	say(VHOST_SET_LOG_BASE, 0, &l, sizeof(l), &fd, 1);
	assert_int_equal(hear(VHOST_SET_LOG_BASE, &v, sizeof(v), NULL), 8);
	say_u64(VHOST_SET_FEATURES, 0, FEATURES | 1 << VHOST_F_LOG_ALL, -1);
	return fd;
}

static int up_with_inflight(void)
{
	struct vhost_inflight_msg m = {.num_queues = 2, .queue_size = SIZE};
	int fd;

	m.size = 2 * (16 + 16 * SIZE + 48);
	fd = file_of(m.size);
	up();
	say(VHOST_SET_INFLIGHT_FD, VHOST_NEED_REPLY, &m, sizeof(m), &fd, 1);
	assert_int_equal(status(VHOST_SET_INFLIGHT_FD), 0);
	return fd;
}

/* The files beside the memory are as much the frontend's to cut short. */
static void test_log_cut_short(void **state)
{
	vhost_mem_guard();
	int fd = up_with_log();
	say_memory(); /* whichever memory it goes with */
	assert_int_equal(ftruncate(fd, 0), 0);
	meet("the dirty log's file was cut short");
	close(fd);
}

static void test_inflight_cut_short(void **state)
{
	vhost_mem_guard();
	int fd = up_with_inflight();
	assert_int_equal(ftruncate(fd, 0), 0);
	meet("the inflight area's file was cut short");
	close(fd);
	fd = up_with_inflight(); /* one that was replaced may go */
	struct vhost_inflight_msg m = {.num_queues = 2, .queue_size = SIZE};
	int ours;
	say(VHOST_GET_INFLIGHT_FD, 0, &m, sizeof(m), NULL, 0);
	assert_int_equal(hear(VHOST_GET_INFLIGHT_FD, &m, sizeof(m), &ours), sizeof(m));
	close(ours);
	assert_int_equal(ftruncate(fd, 0), 0);
	struct pkt *out[PKT_BURST];
	fake.events = 0;
	fake.port.ops->rx_burst(&fake.port, 0, FAKE_WORKER, out, PKT_BURST);
	assert_false(fake.events);
	close(fd);
}

/* Main meets memory that is gone: no answer to the message in hand, and the end. */
static void test_cut_short_on_main(void **state)
{
	vhost_mem_guard();
	up();
	assert_int_equal(ftruncate(mem_fd, 0), 0);
	say_u64(VHOST_SET_FEATURES, 0, FEATURES | 1 << VHOST_F_LOG_ALL, -1);
	expect_end("SET_FEATURES: guest memory was taken away");
	assert_int_equal(ftruncate(mem_fd, MEM_SIZE), 0);
}

static void test_client(void **state)
{
	struct vhost_user_config c = base_config;
	struct usock s;
	uint64_t v;

	assert_int_equal(fake_teardown(state), 0);
	assert_int_equal(fake_setup(state), 0);
	c.client = true;
	fake.pass = 3 * NSEC_PER_SEC; /* not the handshake's time-out */
	assert_int_equal(open_port(&c), 0);
	assert_shown("reason", "cannot connect");
	fake_loop_run(true);
	assert_int_equal(usock_bind(path, SOCK_STREAM, 0, NULL, &s), 0);
	for (unsigned i = 0; i < 3; i++) { /* each time it comes again by itself */
		fake_loop_run(true);
		fe = accept4(s.fd, NULL, NULL, SOCK_CLOEXEC);
		assert_true(fe >= 0);
		say(VHOST_GET_FEATURES, 0, NULL, 0, NULL, 0);
		assert_int_equal(hear(VHOST_GET_FEATURES, &v, 8, NULL), 8);
		hang_up();
	}
	usock_close(&s, path);
}

/* ---- what is refused by the wire ---- */

static void test_malformed(void **state)
{
	uint32_t hdr[3] = {VHOST_GET_FEATURES, 2, 0};
	uint64_t v = 0;
	int fds[40];

	up();
	put(hdr, sizeof(hdr), NULL, 0);
	expect_end("another protocol version");
	up();
	say(VHOST_GET_FEATURES, VHOST_REPLY, NULL, 0, NULL, 0);
	expect_end("never asked");
	up();
	hdr[1] = VHOST_VERSION;
	hdr[2] = UINT32_MAX;
	put(hdr, sizeof(hdr), NULL, 0);
	expect_end("longer than any");
	up();
	say(VHOST_SET_FEATURES, 0, &v, 4, NULL, 0);
	expect_end("wrong size");
	up();
	say(VHOST_GET_FEATURES, 0, &v, 8, NULL, 0);
	expect_end("wrong size");
	up();
	say_u64(VHOST_SET_FEATURES, 0, FEATURES, mem_fd);
	expect_end("more file descriptors");
	up();
	say(VHOST_SET_BACKEND_REQ_FD, 0, NULL, 0, NULL, 0);
	expect_end("without its file descriptor");
	up();
	for (unsigned i = 0; i < 40; i++)
		fds[i] = mem_fd;
	say(VHOST_SET_MEM_TABLE, 0, &v, 8, fds, 40); /* more than there is room for */
	expect_end("too many file descriptors");
}

static void test_unknown(void **state)
{
	up();
	for (uint32_t request = 41; request < 60; request++) {
		say_u64(request, VHOST_NEED_REPLY, 1, mem_fd);
		assert_int_equal(status(request), 1);
	}
	say_u64(22, 0, 1, -1); /* IOTLB_MSG: may wait for an answer we cannot give */
	expect_end("not supported");
}

/* ---- what is refused by the device ---- */

static void refused_u64(uint32_t request, uint64_t v, int fd)
{
	say_u64(request, VHOST_NEED_REPLY, v, fd);
	assert_int_equal(status(request), 1);
}

static void refused_state(uint32_t request, uint32_t index, uint32_t num)
{
	say_state(request, VHOST_NEED_REPLY, index, num);
	assert_int_equal(status(request), 1);
}

static void refused_region(uint64_t gpa, uint64_t size, uint64_t uva, uint64_t offset, int fd)
{
	struct vhost_mem_reg_msg m = {.r = {gpa, size, uva, offset}};

	say(VHOST_ADD_MEM_REG, VHOST_NEED_REPLY, &m, sizeof(m), &fd, 1);
	assert_int_equal(status(VHOST_ADD_MEM_REG), 1);
}

static void test_bad_regions(void **state)
{
	const uint64_t far = 1ull << 40, two64 = 0;
	struct vhost_table_msg t = table(2);
	int fds[2] = {mem_fd, mem_fd};

	up();
	refused_region(GPA, 4096, far, 0, mem_fd);		    /* overlaps in gpa ... */
	refused_region(far, 4096, UVA + MEM_SIZE - 4096, 0, mem_fd); /* ... and in uva */
	refused_region(0, MEM_SIZE * 2, far, 0, mem_fd);
	refused_region(far, 0, far, 0, mem_fd);
	refused_region(far, MEM_SIZE + 4096, far, 0, mem_fd);	 /* more than the file has */
	refused_region(far, 4096, far, MEM_SIZE, mem_fd);
	refused_region(two64 - 4096, 8192, far, 0, mem_fd);	 /* wraps in each of the three */
	refused_region(far, 8192, two64 - 4096, 0, mem_fd);
	refused_region(far, 8192, far, two64 - 4096, mem_fd);
	refused_region(far, UINT64_MAX, far, 0, mem_fd);
	refused_region(far + 3, 4096, far, 0, mem_fd);		 /* would misalign what is aligned */
	refused_region(far, 4096, far, 0, fe);			 /* no memory file */
	say(VHOST_SET_MEM_TABLE, VHOST_NEED_REPLY, &t, 72, fds, 2); /* the second is empty */
	assert_int_equal(status(VHOST_SET_MEM_TABLE), 1);
	t.r[1] = t.r[0];
	say(VHOST_SET_MEM_TABLE, VHOST_NEED_REPLY, &t, 72, fds, 2);
	assert_int_equal(status(VHOST_SET_MEM_TABLE), 1);
	say(VHOST_SET_MEM_TABLE, VHOST_NEED_REPLY, &t, 40, fds, 1); /* says 2, brings 1 */
	assert_int_equal(status(VHOST_SET_MEM_TABLE), 1);
	t.n = UINT32_MAX;
	say(VHOST_SET_MEM_TABLE, VHOST_NEED_REPLY, &t, 72, fds, 2);
	assert_int_equal(status(VHOST_SET_MEM_TABLE), 1);
	assert_true(fake.port.running); /* on the memory it had */
	assert_int_equal(send_one(), DROP_NONE);
}

static void test_bad_rings(void **state)
{
	up();
	refused_state(VHOST_SET_VRING_NUM, 2, 0);
	refused_state(VHOST_SET_VRING_NUM, 2, 3);
	refused_state(VHOST_SET_VRING_NUM, 2, 65536);
	refused_state(VHOST_SET_VRING_NUM, 2, UINT32_MAX);
	refused_state(VHOST_SET_VRING_NUM, 0, SIZE); /* it runs */
	refused_state(VHOST_SET_VRING_BASE, 0, 1);
	refused_state(VHOST_SET_VRING_BASE, 2, 65536);
	refused_state(VHOST_SET_VRING_ENABLE, 2, 2);
	refused_u64(VHOST_SET_VRING_KICK, 2, -1);			 /* no descriptor */
	refused_u64(VHOST_SET_VRING_KICK, 2 | VHOST_VRING_NO_FD, mem_fd); /* one too many */
	refused_u64(VHOST_SET_VRING_KICK, UINT64_C(1) << 32, mem_fd);
	refused_u64(VHOST_NET_SET_MTU, 67, -1);
	refused_u64(VHOST_NET_SET_MTU, 65536 + 1500, -1);
	refused_u64(VHOST_SET_PROTOCOL_FEATURES, 1 << 8, -1); /* PAGEFAULT */
	refused_u64(VHOST_SET_STATUS, 256, -1);
	/* a ring outside memory never runs */
	say_state(VHOST_SET_VRING_NUM, 0, 2, SIZE);
	say_state(VHOST_SET_VRING_ENABLE, 0, 2, 1);
	say_addr(0, 2, UVA + MEM_SIZE - 64);
	refused_u64(VHOST_SET_VRING_KICK, 2 | VHOST_VRING_NO_FD, -1);
	assert_shown("queues", "3 enabled, 2 running");
	assert_shown("refused", "said no to the frontend");
	assert_shown("refused", "SET_VRING_KICK: a ring outside guest memory");
	/* without REPLY_ACK the connection is what pays */
	say_state(VHOST_SET_VRING_NUM, 0, 2, 3);
	expect_end("power of two");
}

/* The index is 32 bits wide and is compared so. */
static void test_cve_2020_10723(void **state)
{
	up();
	for (unsigned i = 0; i < 3; i++) {
		const uint32_t index[] = {4, 0x10000, UINT32_MAX};
		struct vhost_vring_addr_msg a = {.index = index[i], .desc = UVA, .avail = UVA, .used = UVA};
		refused_state(VHOST_SET_VRING_NUM, index[i], SIZE);
		refused_state(VHOST_SET_VRING_BASE, index[i], 0);
		refused_state(VHOST_SET_VRING_ENABLE, index[i], 1);
		say(VHOST_SET_VRING_ADDR, VHOST_NEED_REPLY, &a, sizeof(a), NULL, 0);
		assert_int_equal(status(VHOST_SET_VRING_ADDR), 1);
	}
	say_state(VHOST_GET_VRING_BASE, 0, 0x10000, 0);
	expect_end("beyond those there are");
}

/* Offset and size of the log wrap around together, or go beyond the file. */
static void test_cve_2020_10722(void **state)
{
	const struct vhost_log_msg bad[] = {{UINT64_MAX, 4096},	    {4096, UINT64_MAX - 4095},
					    {4096, 0 - (uint64_t)4096}, {MEM_SIZE + 1, 0},
					    {0, 0},		    {16, 0} /* less than memory */};

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		up();
		say(VHOST_SET_LOG_BASE, 0, &bad[i], sizeof(bad[i]), &mem_fd, 1);
		expect_end("dirty log");
	}
}

/* Messages over and over leave no more behind than once. */
static void test_cve_2019_14818(void **state)
{
	struct vhost_log_msg l = {.size = 4096};
	uint64_t v;
	unsigned n = 0;

	up();
	for (unsigned i = 0; i < 50; i++) {
		for (unsigned ring = 0; ring < 4; ring++) {
			say_fd(VHOST_SET_VRING_KICK, ring);
			say_fd(VHOST_SET_VRING_CALL, ring);
			say_fd(VHOST_SET_VRING_ERR, ring);
		}
		say_memory();
		say(VHOST_SET_BACKEND_REQ_FD, 0, NULL, 0, &fe, 1);
		say(VHOST_SET_LOG_BASE, 0, &l, sizeof(l), &mem_fd, 1);
		assert_int_equal(hear(VHOST_SET_LOG_BASE, &v, 8, NULL), 8);
		say_u64(VHOST_SET_LOG_FD, 0, 0, mem_fd);
		if (!i)
			n = open_files();
		assert_int_equal(open_files(), n);
	}
}

static unsigned mappings(void)
{
	char line[512];
	unsigned n = 0;
	FILE *f = fopen("/proc/self/maps", "r");

	while (fgets(line, sizeof(line), f))
		n += strstr(line, "vhost-inflight") != NULL;
	fclose(f);
	return n;
}

static int get_inflight(struct vhost_inflight_msg *m, uint32_t size)
{
	int fd = -1;

	*m = (struct vhost_inflight_msg){.num_queues = 4, .queue_size = SIZE};
	say(VHOST_GET_INFLIGHT_FD, 0, m, size, NULL, 0);
	assert_int_equal(hear(VHOST_GET_INFLIGHT_FD, m, sizeof(*m), &fd), size);
	assert_true(fcntl(fd, F_GET_SEALS) & F_SEAL_SHRINK);
	assert_true(m->size >= 4 * (16 + 16 * SIZE));
	return fd;
}

/* GET_INFLIGHT_FD again and again: the area before is let go, descriptor and mapping. */
static void test_cve_2020_10726(void **state)
{
	struct vhost_inflight_msg m;
	unsigned n;

	up();
	n = open_files();
	for (unsigned i = 0; i < 50; i++)
		close(get_inflight(&m, i % 2 ? 20 : 24)); /* both sizes are seen */
	assert_int_equal(open_files(), n);
	assert_int_equal(mappings(), 1);
	assert_true(fake.port.running);
	hang_up();
	assert_int_equal(mappings(), 0);
}

/* Inflight for more rings than there are, and what multiplies beyond its file. */
static void test_cve_2021_3839(void **state)
{
	struct vhost_inflight_msg m;

	up();
	int fd = get_inflight(&m, 24);
	const struct vhost_inflight_msg good = m;
	say(VHOST_SET_INFLIGHT_FD, VHOST_NEED_REPLY, &m, sizeof(m), &fd, 1);
	assert_int_equal(status(VHOST_SET_INFLIGHT_FD), 0);
	for (unsigned i = 0; i < 6; i++) {
		m = good;
		m.num_queues = i == 0 ? 5 : i == 1 ? UINT16_MAX : i == 2 ? 0 : m.num_queues;
		m.queue_size = i == 3 ? 0 : i == 4 ? 2 * SIZE : m.queue_size;
		m.offset = i == 5 ? 4096 : 0;
		say(VHOST_SET_INFLIGHT_FD, VHOST_NEED_REPLY, &m, sizeof(m), &fd, 1);
		assert_int_equal(status(VHOST_SET_INFLIGHT_FD), 1);
	}
	close(fd);
	m = good;
	m.num_queues = 5;
	say(VHOST_GET_INFLIGHT_FD, 0, &m, sizeof(m), NULL, 0);
	expect_end("rings that there are not");
}

/* The descriptor that comes with inflight messages is closed, taken or refused. */
static void test_cve_2022_0669(void **state)
{
	struct vhost_inflight_msg m;

	up();
	int fd = get_inflight(&m, 24);
	unsigned n = open_files();
	for (unsigned i = 0; i < 20; i++) {
		m.num_queues = i % 2 ? 4 : 9;
		say(VHOST_SET_INFLIGHT_FD, VHOST_NEED_REPLY, &m, sizeof(m), &fd, 1);
		assert_int_equal(status(VHOST_SET_INFLIGHT_FD), !(i % 2));
		assert_int_equal(open_files(), n);
	}
	say(VHOST_GET_INFLIGHT_FD, 0, &m, sizeof(m), &fd, 1); /* where none belongs */
	close(fd);
	expect_end("more file descriptors");
}

/* A frontend that goes at any moment leaves nothing. */
static void test_killed_anywhere(void **state)
{
	unsigned n = open_files();

	for (unsigned steps = 0; steps < 40; steps++) {
		fe = dial();
		for (unsigned i = 0; i < steps; i++) {
			switch (i % 8) {
			case 0: say_u64(VHOST_SET_FEATURES, 0, FEATURES, -1); break;
			case 1: say_memory(); break;
			case 2: say_ring(i / 8 % 4); break;
			case 3: say_state(VHOST_SET_VRING_ENABLE, 0, i / 8 % 4, 1); break;
			case 4: say_fd(VHOST_SET_VRING_ERR, i / 8 % 4); break;
			case 5: put("\x05\0\0\0\1", 5, &mem_fd, i + 1 == steps); break;
			default: break;
			}
			if (i % 8 == 5) /* half a message: only the last thing it does */
				break;
		}
		hang_up();
		assert_false(fake.port.running);
		assert_int_equal(open_files(), n);
	}
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_handshake),	    TEST(test_enable),
		TEST(test_stop),	    TEST(test_polling),
		TEST(test_call),	    TEST(test_offloads),
		TEST(test_reply_ack),	    TEST(test_features_change),
		TEST(test_memory_swap),	    TEST(test_log),
		TEST(test_config_not_offered),
		TEST(test_config),	    TEST(test_link_is_told),
		TEST(test_link_is_not_told), TEST(test_stuffed_channel),
		TEST(test_rarp),
		TEST(test_reset_device),    TEST(test_second_frontend),
		TEST(test_slow_message),    TEST(test_silent_frontend),
		TEST(test_unread_replies),  TEST(test_ring_fault),
		TEST(test_log_cut_short),  TEST(test_inflight_cut_short),
		TEST(test_cut_short_on_main),
		TEST(test_client),	    TEST(test_malformed),
		TEST(test_unknown),	    TEST(test_bad_regions),
		TEST(test_bad_rings),	    TEST(test_cve_2020_10723),
		TEST(test_cve_2020_10722),  TEST(test_cve_2019_14818),
		TEST(test_cve_2020_10726),  TEST(test_cve_2021_3839),
		TEST(test_cve_2022_0669),   TEST(test_killed_anywhere),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
