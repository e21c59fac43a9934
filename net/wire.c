/* The cursor of wire.h: every access goes through take(), the one bounds check. */
#include "net/wire.h"

#include <string.h>

struct wire wire_reader(const void *bytes, size_t len)
{
	return (struct wire){.base = (uint8_t *)(uintptr_t)bytes, .len = len};
}

struct wire wire_writer(void *room, size_t len)
{
	return (struct wire){.base = room, .len = len};
}

static uint8_t *take(struct wire *w, size_t n)
{
	if (w->err || n > w->len - w->pos) {
		w->err = true;
		return NULL;
	}
	uint8_t *p = w->base + w->pos;
	w->pos += n;
	return p;
}

void wire_fail(struct wire *w)
{
	w->err = true;
}

void wire_seek(struct wire *w, size_t pos)
{
	if (pos > w->len)
		w->err = true;
	else
		w->pos = pos;
}

void wire_skip(struct wire *w, size_t n)
{
	take(w, n);
}

uint8_t wire_get_u8(struct wire *w)
{
	const uint8_t *p = take(w, 1);
	return p ? *p : 0;
}

uint16_t wire_get_u16(struct wire *w)
{
	be16 v;
	wire_get(w, &v, sizeof(v));
	return be16toh(v);
}

uint32_t wire_get_u32(struct wire *w)
{
	be32 v;
	wire_get(w, &v, sizeof(v));
	return be32toh(v);
}

uint64_t wire_get_u64(struct wire *w)
{
	be64 v;
	wire_get(w, &v, sizeof(v));
	return be64toh(v);
}

void wire_get(struct wire *w, void *dst, size_t n)
{
	const uint8_t *p = take(w, n);
	if (p)
		memcpy(dst, p, n);
	else
		memset(dst, 0, n);
}

struct mac wire_get_mac(struct wire *w)
{
	struct mac m;
	wire_get(w, &m, sizeof(m));
	return m;
}

be32 wire_get_ip4(struct wire *w)
{
	be32 a;
	wire_get(w, &a, sizeof(a));
	return a;
}

const uint8_t *wire_get_bytes(struct wire *w, size_t n)
{
	return take(w, n);
}

struct wire wire_sub(struct wire *w, size_t n)
{
	uint8_t *p = take(w, n);
	return (struct wire){.base = p, .len = p ? n : 0, .err = !p};
}

void wire_put_u8(struct wire *w, uint8_t v)
{
	wire_put(w, &v, 1);
}

void wire_put_u16(struct wire *w, uint16_t v)
{
	be16 b = htobe16(v);
	wire_put(w, &b, sizeof(b));
}

void wire_put_u32(struct wire *w, uint32_t v)
{
	be32 b = htobe32(v);
	wire_put(w, &b, sizeof(b));
}

void wire_put_u64(struct wire *w, uint64_t v)
{
	be64 b = htobe64(v);
	wire_put(w, &b, sizeof(b));
}

void wire_put(struct wire *w, const void *src, size_t n)
{
	uint8_t *p = take(w, n);
	if (p && n) /* src may be NULL then */
		memcpy(p, src, n);
}

void wire_put_mac(struct wire *w, struct mac m)
{
	wire_put(w, m.b, sizeof(m.b));
}

void wire_put_ip4(struct wire *w, be32 a)
{
	wire_put(w, &a, sizeof(a));
}

void wire_put_zero(struct wire *w, size_t n)
{
	uint8_t *p = take(w, n);
	if (p)
		memset(p, 0, n);
}

void wire_patch_u16(struct wire *w, size_t pos, uint16_t v)
{
	be16 b = htobe16(v);
	if (w->err || pos > w->pos || w->pos - pos < sizeof(b))
		w->err = true;
	else
		memcpy(w->base + pos, &b, sizeof(b));
}
