/* FTP and TFTP of nat/alg.h. */
#include "nat/alg.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "nat/internal.h"
#include "nat/tcp_track.h"
#include "net/gso.h"
#include "net/wire.h"

#define PORT_FTP 21u
#define PORT_TFTP 69u
#define TFTP_RRQ 1u
#define TFTP_WRQ 2u
#define PROBES 8u
#define TCP_OPT_END 0
#define TCP_OPT_NOP 1
#define TCP_OPT_SACK_PERMITTED 4
#define DATA_PORT_LEAST 1024u

/* ---- commands ---- */

/* A decimal number up to `most`, and the character behind it. */
static bool take_number(const char **s, const char *end, unsigned most, char behind, unsigned *ret)
{
	unsigned v = 0;
	const char *p = *s;

	for (; p < end && *p >= '0' && *p <= '9' && p - *s < 5; p++)
		v = v * 10 + (unsigned)(*p - '0');
	if (p == *s || p == end || *p != behind || v > most)
		return false;
	*ret = v;
	*s = p + 1;
	return true;
}

/* Four numbers of an address, the last of which ends in `behind`. */
static bool take_address(const char **s, const char *end, char between, char behind, be32 *ret)
{
	uint8_t b[4];
	unsigned v;

	for (unsigned i = 0; i < sizeof(b); i++) {
		if (!take_number(s, end, UINT8_MAX, i < sizeof(b) - 1 ? between : behind, &v))
			return false;
		b[i] = (uint8_t)v;
	}
	memcpy(ret, b, sizeof(b));
	return true;
}

/* h1,h2,h3,h4,p1,p2 CR */
static bool parse_port(const char *s, const char *end, struct alg_command *c)
{
	unsigned high, low;

	if (!take_address(&s, end, ',', ',', &c->addr) || !take_number(&s, end, UINT8_MAX, ',', &high) ||
	    !take_number(&s, end, UINT8_MAX, '\r', &low))
		return false;
	c->port = (uint16_t)(high * 256 + low);
	return s + 1 == end;
}

/* |1|address|port| CR, with any delimiter (RFC 2428 2) */
static bool parse_eprt(const char *s, const char *end, struct alg_command *c)
{
	char d = s < end ? *s++ : 0;
	unsigned family, port;

	if (d < 33 || d > 126 || (d >= '0' && d <= '9') || !take_number(&s, end, 9, d, &family) || family != 1 ||
	    !take_address(&s, end, '.', d, &c->addr) || !take_number(&s, end, UINT16_MAX, d, &port))
		return false;
	c->port = (uint16_t)port;
	return s + 2 == end && *s == '\r';
}

bool alg_ftp_parse(const char *line, size_t len, struct alg_command *ret)
{
	struct alg_command c = {.extended = false};
	const char *end = line + len;

	if (len < 8 || end[-1] != '\n')
		return false;
	c.extended = !strncasecmp(line, "EPRT ", 5);
	if (c.extended ? !parse_eprt(line + 5, end, &c)
		       : strncasecmp(line, "PORT ", 5) || !parse_port(line + 5, end, &c))
		return false;
	*ret = c;
	return true;
}

size_t alg_ftp_build(const struct alg_command *c, char line[ALG_LINE_MAX])
{
	char ip[IP4_STRLEN];
	int n;

	ip4_format(c->addr, ip);
	if (c->extended) {
		n = snprintf(line, ALG_LINE_MAX, "EPRT |1|%s|%u|\r\n", ip, c->port);
		return (size_t)n;
	}
	for (char *p = ip; *p; p++)
		*p = *p == '.' ? ',' : *p;
	n = snprintf(line, ALG_LINE_MAX, "PORT %s,%u,%u\r\n", ip, c->port >> 8, c->port & 255u);
	return (size_t)n;
}

/* ---- sequence numbers ---- */

static struct alg_ftp *find(struct nat *n, const struct session *s, bool make)
{
	uint64_t h = hash_mix((uintptr_t)s);
	struct alg_ftp *room = NULL;

	for (unsigned i = 0; i < PROBES; i++) {
		struct alg_ftp *f = &n->alg.ftp[(h + i) % ALG_FTP_MAX];
		if (f->s == s)
			return f;
		if (!f->s && !room)
			room = f;
	}
	if (make && room)
		*room = (struct alg_ftp){.s = s};
	return make ? room : NULL;
}

void alg_forget(struct nat *n, const struct session *s)
{
	struct alg_ftp *f = find(n, s, false);

	if (f)
		f->s = NULL;
}

/* A field of the TCP header changes; a pending checksum is made of what will stand there. */
static be32 change(struct pkt *k, be32 from, uint32_t to)
{
	struct tcp_hdr *tcp = pkt_tcp(k);

	if (!l4_csum_pending(k))
		tcp->csum = csum_apply(tcp->csum, csum_delta32(from, htobe32(to)));
	return htobe32(to);
}

static uint32_t shift_at(const struct alg_ftp *f, uint32_t seq)
{
	return (int32_t)(seq - f->at) > 0 ? f->after : f->before;
}

static uint32_t shift_of_ack(const struct alg_ftp *f, uint32_t ack)
{
	return (int32_t)(ack - (f->at + f->before)) > 0 ? f->after : f->before;
}

/* ---- the other port ---- */

/* Has the mapping of a guest's port, new or not, let the server in.  false: it cannot be had. */
static bool expect(struct nat *n, const struct session *ctl, struct transit *t, be16 iport, be16 *ret_oport)
{
	struct flow_table *f = &n->flow;
	struct leg *leg = ctl->m->leg;
	be32 inside = ctl->m->inside;
	const nsec_t until = t->now + ALG_EXPECT_S * NSEC_PER_SEC;
	const struct flow_remote server = {ctl->remote, ctl->seen, 0};
	enum drop_reason why;
	struct mapping *m = flow_map_in(f, leg->domain, IPPROTO4_TCP, inside, iport);
	/* port 0 is no connection's: it stands for the server while it is awaited */
	struct session *s = flow_find_in(f, flow_key(leg->domain, IPPROTO4_TCP, inside, iport, server.seen, 0));

	if (!s && flow_admit(f, leg, inside, t->now) != DROP_NONE)
		return false;
	if (!m)
		m = flow_map_new(f, leg, t->origin ? t->k->in_port : PORT_NONE, IPPROTO4_TCP, inside, iport, &why);
	if (m && !s)
		s = flow_new(f, t->w, m, &server, until, &why);
	if (!s && m)
		flow_map_unused(f, m);
	if (!s)
		return false;
	s->state = TCPS_SYN_SENT;
	flow_expire_at(f, t->w, s, until);
	m->expects = true;
	m->fresh_until = until;
	*ret_oport = m->oport;
	return true;
}

/* ---- segments ---- */

/* The command of a segment that is nothing else; *ret_len its bytes. */
static bool read_command(const struct pkt *k, char line[ALG_LINE_MAX], size_t *ret_len, struct alg_command *ret)
{
	const size_t header = (size_t)(pkt_tcp(k)->off >> 4) * 4, l4 = pkt_l4_len(k);

	if (k->vnet.gso_type != VIRTIO_NET_HDR_GSO_NONE || k->flags & PKT_FRAGMENT || l4 <= header ||
	    l4 - header > ALG_LINE_MAX || !pkt_read(k, k->l4_off + header, line, l4 - header))
		return false;
	*ret_len = l4 - header;
	return alg_ftp_parse(line, *ret_len, ret);
}

/* Puts another text behind the headers of t->k, which is ours. */
static bool replace_text(struct transit *t, const char *text, size_t len)
{
	struct pkt *k = t->k;
	const size_t header = k->l4_off + (size_t)(pkt_tcp(k)->off >> 4) * 4;
	struct ip4_hdr *ip = pkt_ip4(k);

	if (header + len > PKT_HEAD_MAX || header > k->head_len)
		return false;
	be16 l3 = htobe16((uint16_t)(header - k->l3_off + len));
	ip->csum = csum_apply(ip->csum, csum_delta16(ip->len, l3));
	ip->len = l3;
	pkt_set_len(worker_pool(t->w), k, (uint32_t)(header + len));
	k->flags &= (uint16_t)~PKT_BORROWED;
	memcpy(k->head + header, text, len);
	struct tcp_hdr *tcp = pkt_tcp(k);
	uint16_t l4 = (uint16_t)(header - k->l4_off + len);
	tcp->csum = 0;
	tcp->csum = csum_finish(csum_pseudo4(ip->src, ip->dst, IPPROTO4_TCP, l4) +
				csum_fold(csum_pkt(k, k->l4_off, l4)));
	k->vnet = (struct virtio_net_hdr){0};
	return true;
}

/* Names our port in the place of the guest's; *ret_grown: by how much the text has grown. */
static bool translate(struct nat *n, const struct session *s, struct transit *t, struct alg_command c, size_t was,
		      uint32_t *ret_grown)
{
	char line[ALG_LINE_MAX];
	be16 oport;

	if (c.addr != s->m->inside || c.port < DATA_PORT_LEAST || !expect(n, s, t, htobe16(c.port), &oport))
		return false;
	c.addr = s->m->outside;
	c.port = be16toh(oport);
	size_t len = alg_ftp_build(&c, line);
	*ret_grown = (uint32_t)(len - was);
	return replace_text(t, line, len);
}

/* Makes the option of a SYN that offers SACK into nothing. */
static void strip_sack(struct pkt *k)
{
	struct tcp_hdr *tcp = pkt_tcp(k);
	size_t header = (size_t)(tcp->off >> 4) * 4, in_head = (size_t)(k->head_len - k->l4_off);
	struct wire o = wire_writer(tcp, header < in_head ? header : in_head);

	wire_skip(&o, sizeof(*tcp));
	while (wire_left(&o) > 1) {
		size_t at = wire_pos(&o);
		uint8_t kind = o.base[at], len = o.base[at + 1];
		if (kind == TCP_OPT_END)
			return;
		if (kind == TCP_OPT_SACK_PERMITTED && len == 2) {
			be16 from = at & 1 ? htobe16(len) : htobe16((uint16_t)(kind << 8 | len));
			be16 to = at & 1 ? htobe16(TCP_OPT_NOP) : htobe16(TCP_OPT_NOP << 8 | TCP_OPT_NOP);
			csum_t d = csum_delta16(from, to);
			if (at & 1) /* the two bytes stand in different words of the sum */
				d = csum_delta16(htobe16(kind), htobe16(TCP_OPT_NOP)) +
				    csum_delta16(htobe16((uint16_t)(len << 8)), htobe16(TCP_OPT_NOP << 8));
			o.base[at] = o.base[at + 1] = TCP_OPT_NOP;
			if (!l4_csum_pending(k))
				tcp->csum = csum_apply(tcp->csum, d);
			return;
		}
		wire_skip(&o, kind == TCP_OPT_NOP ? 1 : len < 2 ? wire_left(&o) + 1 : len);
	}
}

static void from_inside(struct nat *n, struct session *s, struct transit *t)
{
	const uint32_t seq = be32toh(pkt_tcp(t->k)->seq);
	char line[ALG_LINE_MAX];
	struct alg_command c;
	size_t len;
	uint32_t grown;
	bool named = read_command(t->k, line, &len, &c);
	struct alg_ftp *f = find(n, s, named);

	if (f && named && translate(n, s, t, c, len, &grown)) {
		n->alg.translated++;
		if (!f->shifts || (int32_t)(seq - f->at) > 0) /* else it is sent again */
			*f = (struct alg_ftp){s, true, seq, f->after, f->after + grown};
	} else if (named) {
		n->alg.left++;
	}
	if (f && f->shifts)
		pkt_tcp(t->k)->seq = change(t->k, pkt_tcp(t->k)->seq, seq + shift_at(f, seq));
}

void alg_ftp_cross(struct nat *n, struct session *s, struct transit *t, bool to_outside)
{
	struct tcp_hdr *tcp = pkt_tcp(t->k);
	struct alg_ftp *f;

	if (t->k->flags & PKT_FRAGMENT)
		return;
	if (to_outside && tcp->flags & TCP_SYN)
		strip_sack(t->k);
	else if (to_outside)
		from_inside(n, s, t);
	else if (tcp->flags & TCP_ACK && (f = find(n, s, false)) && f->shifts)
		tcp->ack = change(t->k, tcp->ack, be32toh(tcp->ack) - shift_of_ack(f, be32toh(tcp->ack)));
}

/* ---- sessions ---- */

void alg_begin(const struct gateway *g, struct mapping *m, be16 rport, const struct transit *t, bool *ret_ftp)
{
	be16 opcode;

	*ret_ftp = g->conf.algs & ALG_FTP && m->proto == IPPROTO4_TCP && rport == htobe16(PORT_FTP);
	if (g->conf.algs & ALG_TFTP && m->proto == IPPROTO4_UDP && rport == htobe16(PORT_TFTP) &&
	    pkt_l4_len(t->k) >= sizeof(struct udp_hdr) + sizeof(opcode) &&
	    pkt_read(t->k, t->k->l4_off + sizeof(struct udp_hdr), &opcode, sizeof(opcode)) &&
	    (opcode == htobe16(TFTP_RRQ) || opcode == htobe16(TFTP_WRQ)))
		m->expects = true;
}
