/* Base64: the daemon encodes captured frames, the client decodes them. */
#include "ctl/base64.h"

#include <errno.h>

static const char alphabet[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(const uint8_t *bytes, size_t n, char *out)
{
	for (size_t i = 0; i < n; i += 3) {
		uint32_t v = (uint32_t)bytes[i] << 16;
		v |= i + 1 < n ? (uint32_t)bytes[i + 1] << 8 : 0;
		v |= i + 2 < n ? bytes[i + 2] : 0;
		*out++ = alphabet[v >> 18];
		*out++ = alphabet[v >> 12 & 63];
		*out++ = i + 1 < n ? alphabet[v >> 6 & 63] : '=';
		*out++ = i + 2 < n ? alphabet[v & 63] : '=';
	}
	*out = 0;
}

static int value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* One group of four, `n` of them before the padding; returns the 24 bits or -1. */
static int32_t group(const char *text, size_t n)
{
	int32_t v = 0;
	for (size_t i = 0; i < 4; i++) {
		int d = i < n ? value(text[i]) : 0;
		if (d < 0)
			return -1;
		v = v << 6 | d;
	}
	return v;
}

int base64_decode(const char *text, size_t n, uint8_t *out, size_t room, size_t *ret_len)
{
	size_t pad = n && text[n - 1] == '=' ? 1 + (n > 1 && text[n - 2] == '=') : 0;
	if (n % 4 || n / 4 * 3 - pad > room)
		return -EINVAL;
	size_t done = 0;
	for (size_t i = 0; i < n; i += 4) {
		size_t digits = i + 4 == n ? 4 - pad : 4;
		int32_t v = group(text + i, digits);
		uint32_t unused = (1u << (4 - digits) * 8) - 1;
		if (v < 0 || (uint32_t)v & unused)
			return -EINVAL;
		for (size_t j = 0; j + 1 < digits; j++)
			out[done++] = (uint8_t)(v >> (16 - 8 * j));
	}
	*ret_len = done;
	return 0;
}
