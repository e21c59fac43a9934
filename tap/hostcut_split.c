/* The programs of hostcut_split.h, assembled with labels in place of counted distances.  Both are the
 * same walk through the headers; they differ in what they return, and in what the host may
 * see as well. */
#include "tap/hostcut_split.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <string.h>

#include "net/headers.h"

#define INSNS_MAX  (96 + HOSTSPLIT_EXCEPT_MAX)
#define R0	   BPF_REG_0
#define R1	   BPF_REG_1
#define R6	   BPF_REG_6 /* the context, where LD_ABS wants it */
#define R7	   BPF_REG_7 /* where layer 4 begins */
#define R8	   BPF_REG_8 /* protocol */
#define AT_TYPE	   12	     /* in the frame */
#define AT_ARP_OP  20
#define AT_IP	   14
#define AT_FRAG	   (AT_IP + 6)
#define AT_PROTO   (AT_IP + 9)
#define AT_DST	   (AT_IP + 16)
#define ICMP_INNER 8 /* of an error: the packet it is about */
#define FRAG_OFFSET_MASK 0x1fff

enum label { NEXT, YES, NO, ARP, LATER, PORTS, ICMP, ECHO, ERROR, SOURCE, ECHO_SENT, RANGE, LABELS };

struct code {
	struct bpf_insn insn[INSNS_MAX];
	uint8_t to[INSNS_MAX]; /* label a jump goes to */
	int at[LABELS];
	unsigned n;
};

static void put(struct code *c, uint8_t op, uint8_t dst, uint8_t src, short off, int imm, enum label to)
{
	c->to[c->n] = (uint8_t)to;
	c->insn[c->n++] = (struct bpf_insn){.code = op, .dst_reg = dst, .src_reg = src, .off = off, .imm = imm};
}

static void label(struct code *c, enum label l)
{
	c->at[l] = (int)c->n;
}

static void load(struct code *c, uint8_t size, int at) /* R0 = frame[at] */
{
	put(c, BPF_LD | BPF_ABS | size, 0, 0, 0, at, NEXT);
}

static void load_l4(struct code *c, uint8_t size, int at) /* R0 = frame[R7 + at] */
{
	put(c, BPF_LD | BPF_IND | size, 0, R7, 0, at, NEXT);
}

static void alu(struct code *c, uint8_t op, uint8_t dst, int imm)
{
	put(c, BPF_ALU64 | op | BPF_K, dst, 0, 0, imm, NEXT);
}

static void move(struct code *c, uint8_t dst, uint8_t src)
{
	put(c, BPF_ALU64 | BPF_MOV | BPF_X, dst, src, 0, 0, NEXT);
}

/* A jump when `reg OP imm`, as 32 bits without sign. */
static void jump_if(struct code *c, uint8_t op, uint8_t reg, uint32_t imm, enum label to)
{
	put(c, BPF_JMP32 | op | BPF_K, reg, 0, 0, (int)imm, to);
}

static void jump(struct code *c, enum label to)
{
	put(c, BPF_JMP | BPF_JA, 0, 0, 0, 0, to);
}

static void result(struct code *c, enum label l, int value)
{
	label(c, l);
	put(c, BPF_ALU64 | BPF_MOV | BPF_K, R0, 0, 0, value, NEXT);
	put(c, BPF_JMP | BPF_EXIT, 0, 0, 0, 0, NEXT);
}

static void ip_header(struct code *c, be32 address)
{
	move(c, R6, R1);
	put(c, BPF_LDX | BPF_MEM | BPF_W, R0, R6, offsetof(struct __sk_buff, vlan_present), 0, NEXT);
	jump_if(c, BPF_JNE, R0, 0, NO);
	load(c, BPF_H, AT_TYPE);
	jump_if(c, BPF_JEQ, R0, ETHERTYPE_ARP, ARP);
	jump_if(c, BPF_JNE, R0, ETHERTYPE_IP4, NO);
	load(c, BPF_W, AT_DST);
	jump_if(c, BPF_JNE, R0, be32toh(address), NO);
	load(c, BPF_H, AT_FRAG);
	alu(c, BPF_AND, R0, FRAG_OFFSET_MASK);
	jump_if(c, BPF_JNE, R0, 0, LATER);
	load(c, BPF_B, AT_IP);
	alu(c, BPF_AND, R0, 0xf);
	alu(c, BPF_LSH, R0, 2);
	alu(c, BPF_ADD, R0, AT_IP);
	move(c, R7, R0);
	load(c, BPF_B, AT_PROTO);
	jump_if(c, BPF_JEQ, R0, IPPROTO4_TCP, PORTS);
	jump_if(c, BPF_JEQ, R0, IPPROTO4_UDP, PORTS);
	jump_if(c, BPF_JEQ, R0, IPPROTO4_ICMP, ICMP);
	jump(c, NO);
	label(c, PORTS);
	load_l4(c, BPF_H, 2);
	jump(c, RANGE);
}

static void echo_id(struct code *c, bool host_sees_echoes)
{
	if (host_sees_echoes) {
		jump(c, NO);
		return;
	}
	load_l4(c, BPF_H, 4);
	jump(c, RANGE);
}

static void icmp(struct code *c, bool host_sees_echoes)
{
	label(c, ICMP);
	load_l4(c, BPF_B, 0);
	jump_if(c, BPF_JEQ, R0, ICMP4_ECHO_REPLY, ECHO);
	jump_if(c, BPF_JEQ, R0, ICMP4_UNREACHABLE, ERROR);
	jump_if(c, BPF_JEQ, R0, ICMP4_TIME_EXCEEDED, ERROR);
	jump_if(c, BPF_JEQ, R0, ICMP4_PARAM_PROBLEM, ERROR);
	jump(c, NO);
	label(c, ECHO);
	echo_id(c, host_sees_echoes);
	label(c, ERROR); /* R7 moves on to layer 4 of the quoted packet */
	load_l4(c, BPF_B, ICMP_INNER + 9);
	move(c, R8, R0);
	load_l4(c, BPF_B, ICMP_INNER);
	alu(c, BPF_AND, R0, 0xf);
	alu(c, BPF_LSH, R0, 2);
	alu(c, BPF_ADD, R0, ICMP_INNER);
	put(c, BPF_ALU64 | BPF_ADD | BPF_X, R7, R0, 0, 0, NEXT);
	jump_if(c, BPF_JEQ, R8, IPPROTO4_TCP, SOURCE);
	jump_if(c, BPF_JEQ, R8, IPPROTO4_UDP, SOURCE);
	jump_if(c, BPF_JEQ, R8, IPPROTO4_ICMP, ECHO_SENT);
	jump(c, NO);
	label(c, SOURCE);
	load_l4(c, BPF_H, 0);
	jump(c, RANGE);
	label(c, ECHO_SENT);
	echo_id(c, host_sees_echoes);
}

static void range(struct code *c, const struct hostsplit *s)
{
	label(c, RANGE);
	jump_if(c, BPF_JLT, R0, s->first, NO);
	jump_if(c, BPF_JGT, R0, s->last, NO);
	for (unsigned i = 0; i < s->n_except; i++)
		jump_if(c, BPF_JEQ, R0, s->except[i], NO);
}

static void assemble(struct code *c, const struct hostsplit *s, bool for_host, int ours, int not_ours)
{
	*c = (struct code){0};
	ip_header(c, s->address);
	icmp(c, for_host);
	range(c, s);
	result(c, YES, ours);
	label(c, ARP);
	load(c, BPF_H, AT_ARP_OP);
	jump_if(c, BPF_JEQ, R0, ARP_REPLY, for_host ? NO : YES);
	jump(c, NO);
	label(c, LATER);
	jump(c, for_host ? NO : YES);
	result(c, NO, not_ours);
	for (unsigned i = 0; i < c->n; i++) {
		if (c->to[i] != NEXT)
			c->insn[i].off = (short)(c->at[c->to[i]] - (int)i - 1);
	}
}

static int load_program(enum bpf_prog_type type, const char *name, const struct code *c)
{
	/* the helpers called here ask for no licence */
	int fd = bpf_prog_load(type, name, "Dual BSD/GPL", c->insn, c->n, NULL);

	return fd < 0 ? -errno : fd;
}

int hostsplit_load_socket(const char *name, const struct hostsplit *s)
{
	struct code c;

	assemble(&c, s, false, -1, 0); /* how many bytes to keep */
	return load_program(BPF_PROG_TYPE_SOCKET_FILTER, name, &c);
}

int hostsplit_load_ingress(const char *name, const struct hostsplit *s)
{
	struct code c;

	assemble(&c, s, true, TC_ACT_SHOT, TC_ACT_UNSPEC);
	return load_program(BPF_PROG_TYPE_SCHED_CLS, name, &c);
}
