/* The clsact programs of hostcut.h, assembled here and attached through libbpf.
 *
 * netdev.c calls hostcut_attach(); all undoing goes through the journal in
 * hoststate.c, which calls back the two remove functions, so that detaching, the start
 * after a crash and --cleanup are the same code. */
#include "tap/hostcut.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <ifaddrs.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/pkt_cls.h>
#include <netinet/in.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/headers.h"
#include "tap/hostports.h"
#include "tap/ifset.h"

/* Where our filters hang: a priority nobody types, behind those people do. */
#define FILTER_PRIORITY 0x7653
#define FILTER_HANDLE	1
#define PROG_PREFIX	"vsw_"

/* ---- the programs ---- */

#define R0 BPF_REG_0
#define R1 BPF_REG_1
#define R2 BPF_REG_2
#define R3 BPF_REG_3
#define R6 BPF_REG_6
#define INSN(op, d, s, o, i)                                                                       \
	((struct bpf_insn){.code = (op), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i)})
#define MOV(d, s)	 INSN(BPF_ALU64 | BPF_MOV | BPF_X, d, s, 0, 0)
#define MOVI(d, i)	 INSN(BPF_ALU64 | BPF_MOV | BPF_K, d, 0, 0, i)
#define LOAD32(d, s, o)	 INSN(BPF_LDX | BPF_MEM | BPF_W, d, s, o, 0)
#define STORE32(d, s, o) INSN(BPF_STX | BPF_MEM | BPF_W, d, s, o, 0)
#define LOADABS(size, at)                                                                          \
	INSN(BPF_LD | BPF_ABS | (size), 0, 0, 0, at) /* R0 = frame[at], R6 = ctx */
#define JNE32(d, i, o) INSN(BPF_JMP32 | BPF_JNE | BPF_K, d, 0, o, i)
#define JSET(d, i, o)  INSN(BPF_JMP | BPF_JSET | BPF_K, d, 0, o, i)
#define CALL(fn)       INSN(BPF_JMP | BPF_CALL, 0, 0, 0, fn)
#define EXIT	       INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)
#define MARK_OFF       ((short)offsetof(struct __sk_buff, mark))

static int load(const char *name, const struct bpf_insn *insn, size_t n)
{
	/* the helpers called here ask for no licence */
	int fd = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, name, "Dual BSD/GPL", insn, n, NULL);

	return fd < 0 ? -errno : fd;
}

static int load_exclude(void)
{
	const struct bpf_insn p[] = {MOVI(R0, TC_ACT_SHOT), EXIT};

	return load(PROG_PREFIX "exclude", p, ARRAY_SIZE(p));
}

/* Ours for the interface itself: to its ingress.  Ours for a group: there too.  The rest
 * goes out. */
static int load_share_out(int ifindex, struct mac own, uint32_t mark)
{
	int hi = (int)(uint32_t)(mac_u64(own) >> 16), lo = (int)(mac_u64(own) & 0xffff);
	const struct bpf_insn p[] = {
		/*  0 */ MOV(R6, R1),
		/*  1 */ LOAD32(R2, R6, MARK_OFF),
		/*  2 */ JNE32(R2, (int)mark, 14), /* -> 17 */
		/*  3 */ LOADABS(BPF_B, 0),
		/*  4 */ JSET(R0, 1, 8), /* -> 13 */
		/*  5 */ LOADABS(BPF_W, 0),
		/*  6 */ JNE32(R0, hi, 10), /* -> 17 */
		/*  7 */ LOADABS(BPF_H, 4),
		/*  8 */ JNE32(R0, lo, 8), /* -> 17 */
		/*  9 */ MOVI(R1, ifindex),
		/* 10 */ MOVI(R2, BPF_F_INGRESS),
		/* 11 */ CALL(BPF_FUNC_redirect),
		/* 12 */ EXIT,
		/* 13 */ MOV(R1, R6),
		/* 14 */ MOVI(R2, ifindex),
		/* 15 */ MOVI(R3, BPF_F_INGRESS),
		/* 16 */ CALL(BPF_FUNC_clone_redirect),
		/* 17 */ MOVI(R0, TC_ACT_UNSPEC), /* on to the next filter */
		/* 18 */ EXIT,
	};
	return load(PROG_PREFIX "share_out", p, ARRAY_SIZE(p));
}

static int load_share_in(uint32_t mark)
{
	const struct bpf_insn p[] = {
		/* 0 */ LOAD32(R2, R1, MARK_OFF),
		/* 1 */ JNE32(R2, (int)mark, 2), /* -> 4 */
		/* 2 */ MOVI(R2, 0),
		/* 3 */ STORE32(R1, R2, MARK_OFF),
		/* 4 */ MOVI(R0, TC_ACT_UNSPEC),
		/* 5 */ EXIT,
	};
	return load(PROG_PREFIX "share_in", p, ARRAY_SIZE(p));
}

/* ---- hooks ---- */

/* libbpf insists on zeroes in the padding too, which initialisers do not promise. */
static void hook_init(struct bpf_tc_hook *h, int ifindex, bool egress)
{
	memset(h, 0, sizeof(*h));
	h->sz = sizeof(*h);
	h->ifindex = ifindex;
	h->attach_point = egress ? BPF_TC_EGRESS : BPF_TC_INGRESS;
}

static void opts_init(struct bpf_tc_opts *o, int prog_fd)
{
	memset(o, 0, sizeof(*o));
	o->sz = sizeof(*o);
	o->prog_fd = prog_fd;
	o->handle = FILTER_HANDLE;
	o->priority = FILTER_PRIORITY;
}

/* Whether the filter at our place is one of our programs. */
static bool is_ours(uint32_t prog_id)
{
	struct bpf_prog_info info = {0};
	uint32_t len = sizeof(info);
	int fd = bpf_prog_get_fd_by_id(prog_id);

	if (fd < 0)
		return false;
	bool ours = bpf_obj_get_info_by_fd(fd, &info, &len) == 0 &&
		    !strncmp(info.name, PROG_PREFIX, sizeof(PROG_PREFIX) - 1);
	close(fd);
	return ours;
}

/* Takes a program and hangs it up, in the journal first. */
static int hang(struct hoststate *hs, int ifindex, const char *ifname, bool egress, bool replace,
		int prog_fd)
{
	enum hoststate_kind kind = egress ? HOSTSTATE_TC_EGRESS : HOSTSTATE_TC_INGRESS;
	struct bpf_tc_hook h;
	struct bpf_tc_opts o;
	int r = hoststate_record(hs, ifindex, ifname, kind, 0);

	if (!r) {
		hook_init(&h, ifindex, egress);
		opts_init(&o, prog_fd);
		o.flags = replace ? BPF_TC_F_REPLACE : 0;
		r = bpf_tc_attach(&h, &o);
		if (r && !replace)
			hoststate_forget(hs, ifindex, kind);
	}
	close(prog_fd);
	return r;
}

static int add_clsact(struct hoststate *hs, int ifindex, const char *ifname)
{
	struct bpf_tc_hook h;
	int r = hoststate_record(hs, ifindex, ifname, HOSTSTATE_CLSACT, 0);

	if (r)
		return r;
	hook_init(&h, ifindex, false);
	r = bpf_tc_hook_create(&h);
	if (r) /* somebody else's serves as well */
		hoststate_forget(hs, ifindex, HOSTSTATE_CLSACT);
	return r == -EEXIST ? 0 : r;
}

int hostcut_remove_filter(int ifindex, bool egress)
{
	struct bpf_tc_hook h;
	struct bpf_tc_opts o;

	libbpf_set_print(NULL);
	hook_init(&h, ifindex, egress);
	opts_init(&o, 0);
	int r = bpf_tc_query(&h, &o);
	if (r)
		return r == -ENOENT || r == -EINVAL || r == -ENODEV ? 0 : r;
	if (!is_ours(o.prog_id))
		return 0;
	opts_init(&o, 0);
	r = bpf_tc_detach(&h, &o);
	return r == -ENOENT ? 0 : r;
}

int hostcut_remove_clsact(int ifindex)
{
	struct bpf_tc_hook h;

	if (ifset_has_filters(ifindex))
		return 0;
	libbpf_set_print(NULL);
	hook_init(&h, ifindex, false);
	h.attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS;
	int r = bpf_tc_hook_destroy(&h);
	return r == -ENOENT || r == -EINVAL ? 0 : r;
}

/* ---- IPv6 ---- */

/* Disabling IPv6 would delete addresses that somebody set. */
static bool has_ip6_address(const char *ifname)
{
	struct ifaddrs *all;
	bool found = false;

	if (getifaddrs(&all) < 0)
		return true;
	for (struct ifaddrs *a = all; a && !found; a = a->ifa_next) {
		if (!a->ifa_addr || a->ifa_addr->sa_family != AF_INET6 ||
		    strcmp(a->ifa_name, ifname))
			continue;
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)a->ifa_addr;
		found = !IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr);
	}
	freeifaddrs(all);
	return found;
}

static int disable_ip6(struct hoststate *hs, int ifindex, const char *ifname)
{
	char path[128];
	long old = 0;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", ifname);
	FILE *f = fopen(path, "r+e");
	if (!f)
		return errno == ENOENT ? 0 : -errno; /* a kernel without IPv6 */
	int r = fscanf(f, "%ld", &old) == 1 ? 0 : -EIO;
	if (!r && !old && !has_ip6_address(ifname)) {
		r = hoststate_record(hs, ifindex, ifname, HOSTSTATE_IPV6, old);
		rewind(f);
		if (!r && (fputs("1\n", f) == EOF || fflush(f) == EOF))
			r = -errno;
	}
	fclose(f);
	return r;
}

/* ---- attaching ---- */

static int failed(char *why, size_t len, const char *what, int err)
{
	snprintf(why, len, "cannot %s: %s", what, strerror(-err));
	return err;
}

static int attach(struct hoststate *hs, int ifindex, const char *ifname, struct mac own,
		  enum hostcut_mode mode, uint32_t mark, char *why, size_t why_len)
{
	int r = add_clsact(hs, ifindex, ifname);

	if (r)
		return failed(why, why_len, "add a clsact qdisc", r);
	int in = mode == HOSTCUT_EXCLUDE ? load_exclude() : load_share_in(mark);
	if (in < 0)
		return failed(why, why_len, "load the ingress program", in);
	r = hang(hs, ifindex, ifname, false, false, in);
	if (r)
		return failed(why, why_len, "attach the ingress program", r);
	if (mode == HOSTCUT_EXCLUDE) {
		r = disable_ip6(hs, ifindex, ifname);
		return r ? failed(why, why_len, "disable IPv6", r) : 0;
	}
	int out = load_share_out(ifindex, own, mark);
	if (out < 0)
		return failed(why, why_len, "load the egress program", out);
	r = hang(hs, ifindex, ifname, true, false, out);
	return r ? failed(why, why_len, "attach the egress program", r) : 0;
}

int hostcut_attach(struct hoststate *hs, int ifindex, const char *ifname, struct mac own,
		   enum hostcut_mode mode, uint32_t mark, char *why, size_t why_len)
{
	libbpf_set_print(NULL); /* errors come back as numbers */
	int r = attach(hs, ifindex, ifname, own, mode, mark, why, why_len);
	if (r)
		hostcut_detach(hs, ifindex);
	return r;
}

static int attach_split(struct hoststate *hs, int ifindex, const char *ifname,
			const struct hostsplit *s, bool replace, char *why, size_t why_len)
{
	int r = replace ? 0 : hostports_reserve(hs, ifindex, ifname, s->first, s->last);

	if (r)
		return failed(why, why_len, "reserve the ports", r);
	r = replace ? 0 : add_clsact(hs, ifindex, ifname);
	if (r)
		return failed(why, why_len, "add a clsact qdisc", r);
	int in = hostsplit_load_ingress(PROG_PREFIX "split", s);
	if (in < 0)
		return failed(why, why_len, "load the ingress program", in);
	r = hang(hs, ifindex, ifname, false, replace, in);
	return r ? failed(why, why_len, "attach the ingress program", r) : 0;
}

int hostcut_attach_split(struct hoststate *hs, int ifindex, const char *ifname,
			 const struct hostsplit *s, char *why, size_t why_len)
{
	bool replace = hoststate_has(hs, ifindex, HOSTSTATE_TC_INGRESS);

	libbpf_set_print(NULL);
	int r = attach_split(hs, ifindex, ifname, s, replace, why, why_len);
	if (r)
		hostcut_detach(hs, ifindex);
	return r;
}

int hostcut_split_socket(int fd, const struct hostsplit *s)
{
	int prog = hostsplit_load_socket(PROG_PREFIX "split_in", s), r = 0;

	if (prog < 0)
		return prog;
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_BPF, &prog, sizeof(prog)) < 0)
		r = -errno;
	close(prog);
	return r;
}

void hostcut_detach(struct hoststate *hs, int ifindex)
{
	hoststate_restore(hs, ifindex, NULL);
}

int hostcut_mark_socket(int fd, uint32_t mark)
{
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_MARK)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, mark, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	};
	struct sock_fprog prog = {.len = ARRAY_SIZE(f), .filter = f};

	if (setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) < 0)
		return -errno;
	return 0;
}
