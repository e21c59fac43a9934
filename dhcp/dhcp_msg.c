/* DHCPv4 messages to and from bytes; what they mean is dhcp_server.c's. */
#include "dhcp/dhcp_msg.h"

#include <errno.h>
#include <string.h>

#define DHCP_MAGIC     0x63825363u /* RFC 1497, RFC 2131 3 */
#define OVERLOAD_FILE  1
#define OVERLOAD_SNAME 2
#define OPT_CHUNK      255u
#define OPT_HEADER     2u
#define ROOM_TAIL      4u /* option 52 and the end, kept free in the options field */

struct dhcp_hdr { /* RFC 2131 2, figure 1 */
	uint8_t op, htype, hlen, hops;
	be32 xid;
	be16 secs, flags;
	be32 ciaddr, yiaddr, siaddr, giaddr;
	uint8_t chaddr[16];
	uint8_t sname[64];
	uint8_t file[128];
	be32 cookie;
	uint8_t options[];
} __attribute__((packed));
_Static_assert(sizeof(struct dhcp_hdr) == DHCP_HEADER, "RFC 2131 2");

/* ---- parsing ---- */

static void parse_fixed(struct wire *w, struct dhcp_msg *m, struct wire *ret_sname,
			struct wire *ret_file)
{
	m->op = wire_get_u8(w);
	m->htype = wire_get_u8(w);
	m->hlen = wire_get_u8(w);
	m->hops = wire_get_u8(w);
	m->xid = wire_get_u32(w);
	m->secs = wire_get_u16(w);
	m->flags = wire_get_u16(w);
	m->ciaddr = wire_get_ip4(w);
	m->yiaddr = wire_get_ip4(w);
	m->siaddr = wire_get_ip4(w);
	m->giaddr = wire_get_ip4(w);
	m->chaddr = wire_get_mac(w);
	wire_skip(w, sizeof(((struct dhcp_hdr *)0)->chaddr) - sizeof(m->chaddr));
	*ret_sname = wire_sub(w, sizeof(((struct dhcp_hdr *)0)->sname));
	*ret_file = wire_sub(w, sizeof(((struct dhcp_hdr *)0)->file));
}

/* The next option that is not padding; false at the end of the field, or on error. */
static bool next_option(struct wire *w, uint8_t *ret_code, struct wire *ret_value)
{
	uint8_t code = DHCP_OPT_PAD;
	while (code == DHCP_OPT_PAD) {
		if (!wire_left(w))
			return false;
		code = wire_get_u8(w);
	}
	if (code == DHCP_OPT_END)
		return false;
	*ret_code = code;
	*ret_value = wire_sub(w, wire_get_u8(w));
	return wire_ok(w);
}

/* RFC 2132 9.3; it counts in the options field only. */
static uint8_t overload_of(struct wire options)
{
	struct wire v;
	uint8_t code, overload = 0;
	while (next_option(&options, &code, &v)) {
		if (code == DHCP_OPT_OVERLOAD)
			overload = wire_get_u8(&v);
	}
	return overload;
}

static int count_options(struct wire field, struct dhcp_msg *m)
{
	struct wire v;
	uint8_t code;
	while (next_option(&field, &code, &v)) {
		m->opt[code].present = true;
		m->opt[code].len += (uint16_t)wire_left(&v);
	}
	return wire_ok(&field) ? 0 : -1;
}

static void copy_options(struct wire field, struct dhcp_msg *m)
{
	struct wire v;
	uint8_t code;
	while (next_option(&field, &code, &v)) {
		size_t n = wire_left(&v);
		struct wire to = wire_writer(m->store, sizeof(m->store));
		wire_seek(&to, (size_t)m->opt[code].off + m->opt[code].len);
		wire_put(&to, wire_get_bytes(&v, n), n);
		m->opt[code].len += (uint16_t)n;
	}
}

/* Two passes over the fields: lengths first, which give each option its place in the
 * store, then the bytes, so that the parts of a split option end up side by side. */
static int gather(const struct wire *field, unsigned n, struct dhcp_msg *m)
{
	for (unsigned i = 0; i < n; i++) {
		if (count_options(field[i], m))
			return -1;
	}
	size_t off = 0;
	for (unsigned c = 0; c < 256; c++) {
		m->opt[c].off = (uint16_t)off;
		off += m->opt[c].len;
		m->opt[c].len = 0;
	}
	if (off > sizeof(m->store))
		return -1;
	for (unsigned i = 0; i < n; i++)
		copy_options(field[i], m);
	return 0;
}

int dhcp_msg_parse(const void *bytes, size_t len, struct dhcp_msg *ret_msg)
{
	if (len > DHCP_MSG_MAX)
		return -EBADMSG;
	struct dhcp_msg m = {0};
	struct wire w = wire_reader(bytes, len), sname, file;
	parse_fixed(&w, &m, &sname, &file);
	if (!wire_ok(&w) || m.htype != DHCP_HTYPE_ETHERNET || m.hlen != sizeof(m.chaddr))
		return -EBADMSG;
	m.cookie = wire_left(&w) >= sizeof(be32) && wire_get_u32(&w) == DHCP_MAGIC;
	if (m.cookie) {
		struct wire field[3] = {wire_sub(&w, wire_left(&w))};
		uint8_t overload = overload_of(field[0]);
		unsigned n = 1;
		if (overload & OVERLOAD_FILE) /* RFC 3396 5: file before sname */
			field[n++] = file;
		if (overload & OVERLOAD_SNAME)
			field[n++] = sname;
		if (gather(field, n, &m))
			return -EBADMSG;
	}
	*ret_msg = m;
	return 0;
}

/* ---- getters ---- */

bool dhcp_msg_has(const struct dhcp_msg *m, uint8_t code)
{
	return m->opt[code].present;
}

const uint8_t *dhcp_msg_get(const struct dhcp_msg *m, uint8_t code, size_t *ret_len)
{
	if (!m->opt[code].present)
		return NULL;
	*ret_len = m->opt[code].len;
	return &m->store[m->opt[code].off];
}

/* A reader of the option when it is exactly `len` bytes long. */
static bool exactly(const struct dhcp_msg *m, uint8_t code, size_t len, struct wire *ret_value)
{
	size_t n;
	const uint8_t *p = dhcp_msg_get(m, code, &n);
	if (!p || n != len)
		return false;
	*ret_value = wire_reader(p, n);
	return true;
}

bool dhcp_msg_u8(const struct dhcp_msg *m, uint8_t code, uint8_t *ret_v)
{
	struct wire w;
	bool ok = exactly(m, code, sizeof(*ret_v), &w);
	if (ok)
		*ret_v = wire_get_u8(&w);
	return ok;
}

bool dhcp_msg_u16(const struct dhcp_msg *m, uint8_t code, uint16_t *ret_v)
{
	struct wire w;
	bool ok = exactly(m, code, sizeof(*ret_v), &w);
	if (ok)
		*ret_v = wire_get_u16(&w);
	return ok;
}

bool dhcp_msg_u32(const struct dhcp_msg *m, uint8_t code, uint32_t *ret_v)
{
	struct wire w;
	bool ok = exactly(m, code, sizeof(*ret_v), &w);
	if (ok)
		*ret_v = wire_get_u32(&w);
	return ok;
}

bool dhcp_msg_ip4(const struct dhcp_msg *m, uint8_t code, be32 *ret_addr)
{
	struct wire w;
	bool ok = exactly(m, code, sizeof(*ret_addr), &w);
	if (ok)
		*ret_addr = wire_get_ip4(&w);
	return ok;
}

bool dhcp_msg_asks(const struct dhcp_msg *m, uint8_t code)
{
	size_t n;
	const uint8_t *p = dhcp_msg_get(m, DHCP_OPT_PARAM_LIST, &n);
	return p && memchr(p, code, n);
}

/* ---- building ---- */

static size_t clamp_size(size_t max)
{
	if (max < DHCP_MSG_SMALL)
		return DHCP_MSG_SMALL;
	return max > DHCP_MSG_MAX ? DHCP_MSG_MAX : max;
}

void dhcp_build_start(struct dhcp_build *b, void *room, size_t max, const struct dhcp_msg *m,
		      enum dhcp_type type, be32 ciaddr, be32 yiaddr, be32 siaddr)
{
	struct dhcp_hdr *h = memset(room, 0, DHCP_MSG_MAX);
	h->op = DHCP_OP_REPLY;
	h->htype = m->htype;
	h->hlen = m->hlen;
	h->xid = htobe32(m->xid);
	h->flags = htobe16(m->flags);
	h->ciaddr = ciaddr;
	h->yiaddr = yiaddr;
	h->siaddr = siaddr;
	h->giaddr = m->giaddr;
	memcpy(h->chaddr, m->chaddr.b, sizeof(m->chaddr.b));
	h->cookie = htobe32(DHCP_MAGIC);
	*b = (struct dhcp_build){.max = clamp_size(max), .room = room};
	b->main = wire_writer(h->options, b->max - DHCP_HEADER - ROOM_TAIL);
	b->file = wire_writer(h->file, sizeof(h->file) - 1); /* less its end */
	b->sname = wire_writer(h->sname, sizeof(h->sname) - 1);
	dhcp_build_u8(b, DHCP_OPT_TYPE, type);
}

void dhcp_build_request(struct dhcp_build *b, void *room, const struct dhcp_msg *m,
			enum dhcp_type type, be32 ciaddr)
{
	struct dhcp_hdr *h = room;
	dhcp_build_start(b, room, DHCP_MSG_SMALL, m, type, ciaddr, 0, 0);
	h->op = DHCP_OP_REQUEST;
	h->secs = htobe16(m->secs);
}

bool dhcp_build_has(const struct dhcp_build *b, uint8_t code)
{
	return b->seen[code / 8] >> (code % 8) & 1;
}

static void put_chunks(struct wire *w, uint8_t code, const uint8_t *data, size_t len)
{
	struct wire from = wire_reader(data, len);
	do {
		size_t n = wire_left(&from) < OPT_CHUNK ? wire_left(&from) : OPT_CHUNK;
		wire_put_u8(w, code);
		wire_put_u8(w, (uint8_t)n);
		wire_put(w, wire_get_bytes(&from, n), n);
	} while (wire_left(&from));
}

/* An option stays whole within one field: the first of the three that has room. */
void dhcp_build_put(struct dhcp_build *b, uint8_t code, const void *data, size_t len)
{
	size_t chunks = len ? (len + OPT_CHUNK - 1) / OPT_CHUNK : 1;
	size_t need = len + chunks * OPT_HEADER;
	struct wire *field[] = {&b->main, &b->file, &b->sname};
	if (dhcp_build_has(b, code))
		return;
	for (unsigned i = 0; i < ARRAY_SIZE(field); i++) {
		if (wire_left(field[i]) >= need) {
			put_chunks(field[i], code, data, len);
			b->seen[code / 8] |= (uint8_t)(1u << (code % 8));
			return;
		}
	}
	b->full = true;
}

void dhcp_build_u8(struct dhcp_build *b, uint8_t code, uint8_t v)
{
	dhcp_build_put(b, code, &v, sizeof(v));
}

void dhcp_build_u16(struct dhcp_build *b, uint8_t code, uint16_t v)
{
	be16 wire = htobe16(v);
	dhcp_build_put(b, code, &wire, sizeof(wire));
}

void dhcp_build_u32(struct dhcp_build *b, uint8_t code, uint32_t v)
{
	be32 wire = htobe32(v);
	dhcp_build_put(b, code, &wire, sizeof(wire));
}

void dhcp_build_ip4(struct dhcp_build *b, uint8_t code, be32 a)
{
	dhcp_build_put(b, code, &a, sizeof(a));
}

/* Ends an overflow field, with the byte kept free for it; whether it was used. */
static bool end_field(struct wire *w)
{
	if (!wire_pos(w))
		return false;
	w->len++;
	wire_put_u8(w, DHCP_OPT_END);
	return true;
}

size_t dhcp_build_finish(struct dhcp_build *b)
{
	uint8_t overload = end_field(&b->file) ? OVERLOAD_FILE : 0;
	overload |= end_field(&b->sname) ? OVERLOAD_SNAME : 0;
	b->main.len += ROOM_TAIL;
	if (overload) {
		wire_put_u8(&b->main, DHCP_OPT_OVERLOAD);
		wire_put_u8(&b->main, sizeof(overload));
		wire_put_u8(&b->main, overload);
	}
	wire_put_u8(&b->main, DHCP_OPT_END);
	size_t len = DHCP_HEADER + wire_pos(&b->main);
	return len < DHCP_MSG_PAD ? DHCP_MSG_PAD : len; /* the rest is zero already: pad */
}
