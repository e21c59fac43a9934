/* DHCP options given as text in the config, encoded by code (RFC 2132 and the registry);
 * the other kinds of values are in ctl/schema_value.c. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/schema_value.h"

enum option_type { OPT_IP4S, OPT_U8, OPT_U16, OPT_U32, OPT_STRING, OPT_DOMAINS, OPT_OURS };
static const struct {
	uint8_t code;
	enum option_type type;
} known_options[] = {
	{0, OPT_OURS},	   {1, OPT_OURS},    {2, OPT_U32},	 {3, OPT_IP4S},
	{4, OPT_IP4S},	   {5, OPT_IP4S},    {6, OPT_IP4S},	 {7, OPT_IP4S},
	{8, OPT_IP4S},	   {9, OPT_IP4S},    {10, OPT_IP4S},	 {11, OPT_IP4S},
	{13, OPT_U16},	   {15, OPT_STRING}, {16, OPT_IP4S},	 {17, OPT_STRING},
	{19, OPT_U8},	   {20, OPT_U8},     {22, OPT_U16},	 {23, OPT_U8},
	{24, OPT_U32},	   {26, OPT_U16},    {27, OPT_U8},	 {28, OPT_IP4S},
	{31, OPT_U8},	   {32, OPT_IP4S},   {33, OPT_IP4S},	 {35, OPT_U32},
	{37, OPT_U8},	   {38, OPT_U32},    {40, OPT_STRING},	 {41, OPT_IP4S},
	{42, OPT_IP4S},	   {44, OPT_IP4S},   {45, OPT_IP4S},	 {46, OPT_U8},
	{47, OPT_STRING},  {48, OPT_IP4S},   {49, OPT_IP4S},	 {50, OPT_OURS},
	{51, OPT_OURS},	   {52, OPT_OURS},   {53, OPT_OURS},	 {54, OPT_OURS},
	{55, OPT_OURS},	   {56, OPT_OURS},   {57, OPT_OURS},	 {58, OPT_OURS},
	{59, OPT_OURS},	   {61, OPT_OURS},   {64, OPT_STRING},	 {65, OPT_IP4S},
	{66, OPT_STRING},  {67, OPT_STRING}, {69, OPT_IP4S},	 {70, OPT_IP4S},
	{71, OPT_IP4S},	   {72, OPT_IP4S},   {73, OPT_IP4S},	 {74, OPT_IP4S},
	{80, OPT_OURS},	   {82, OPT_OURS},   {100, OPT_STRING},	 {101, OPT_STRING},
	{114, OPT_STRING}, {116, OPT_U8},    {119, OPT_DOMAINS}, {150, OPT_IP4S},
	{252, OPT_STRING}, {255, OPT_OURS},
};
static const char *const option_wants[] = {
	[OPT_IP4S] = "IPv4 addresses",
	[OPT_U8] = "a number up to 255",
	[OPT_U16] = "a number up to 65535",
	[OPT_U32] = "a number",
	[OPT_STRING] = "text",
	[OPT_DOMAINS] = "domains",
};

static int option_add(struct cfg_option *o, const void *data, size_t len)
{
	if (len > sizeof(o->data) - o->len)
		return -EMSGSIZE;
	memcpy(o->data + o->len, data, len);
	o->len += (uint8_t)len;
	return 0;
}

static int option_add_hex(struct cfg_option *o, const char *hex)
{
	size_t len = strlen(hex);
	if (!len || len % 2 || strspn(hex, "0123456789abcdefABCDEF") != len)
		return -EINVAL;
	for (size_t i = 0; i < len; i += 2) {
		char two[3] = {hex[i], hex[i + 1], 0};
		uint8_t b = (uint8_t)strtoul(two, NULL, 16);
		if (option_add(o, &b, 1) < 0)
			return -EMSGSIZE;
	}
	return 0;
}

/* RFC 3397, each name in full. */
static int option_add_domain(struct cfg_option *o, const char *s)
{
	if (!value_domain_ok(s, false))
		return -EINVAL;
	for (size_t len; (len = strcspn(s, ".")); s += s[len] ? len + 1 : len) {
		uint8_t l = (uint8_t)len;
		if (option_add(o, &l, 1) < 0 || option_add(o, s, len) < 0)
			return -EMSGSIZE;
	}
	return option_add(o, "", 1);
}

static int option_add_number(struct cfg_option *o, const char *s, unsigned bytes)
{
	uint32_t v;
	if (value_number(s, &v) < 0 || (bytes < 4 && v >> (8 * bytes)))
		return -EINVAL;
	be32 wire = htobe32(v);
	return option_add(o, (const uint8_t *)&wire + 4 - bytes, bytes);
}

static int option_add_text(struct cfg_option *o, enum option_type type, const char *s)
{
	be32 a;
	switch (type) {
	case OPT_IP4S: return ip4_parse(s, &a) < 0 ? -EINVAL : option_add(o, &a, sizeof(a));
	case OPT_U8: return option_add_number(o, s, 1);
	case OPT_U16: return option_add_number(o, s, 2);
	case OPT_U32: return option_add_number(o, s, 4);
	case OPT_DOMAINS: return option_add_domain(o, s);
	default: return *s ? option_add(o, s, strlen(s)) : -EINVAL;
	}
}

static int read_option(struct node *n, struct cfg_option *o, struct diag *d)
{
	uint32_t code;
	enum option_type type = OPT_STRING;
	if (value_number(n->key->text, &code) < 0 || !code || code >= 255) {
		diag_at(d, n->key, "a DHCP option is a number from 1 to 254, not '%s'",
			n->key->text);
		return -EINVAL;
	}
	for (size_t i = 0; i < ARRAY_SIZE(known_options); i++)
		if (known_options[i].code == code)
			type = known_options[i].type;
	if (type == OPT_OURS) {
		diag_at(d, n->key, "DHCP option %u is set by the server itself", code);
		return -EINVAL;
	}
	o->code = (uint8_t)code;
	struct node *one[1] = {n}, **item = n->kind == NODE_LIST ? n->kid : one;
	size_t count = n->kind == NODE_LIST ? n->n : 1;
	bool list = type == OPT_IP4S || type == OPT_DOMAINS;
	if (n->kind == NODE_SCALAR && !*n->text && n->quoted)
		return 0; /* "": the server's own value is not sent */
	int r = count && (count == 1 || list) ? 0 : -EINVAL;
	for (size_t i = 0; i < count && !r; i++) {
		if (item[i]->kind != NODE_SCALAR)
			r = -EINVAL;
		else if (count == 1 && !strncmp(item[i]->text, "0x", 2))
			r = option_add_hex(o, item[i]->text + 2);
		else
			r = option_add_text(o, type, item[i]->text);
	}
	if (r == -EMSGSIZE)
		diag_at(d, n, "DHCP option %u is too long: at most 255 bytes", code);
	else if (r < 0)
		diag_at(d, n, "DHCP option %u takes %s, or hex digits as 0x0a0b", code,
			option_wants[type]);
	return r;
}

int schema_read_options(const struct field *f, struct node *n, void *base, struct diag *d)
{
	struct cfg_network *net = base;
	int r = 0;
	if (n->kind != NODE_MAP) {
		diag_at(d, n, "'options' takes a mapping such as {42: 10.10.10.1}");
		return -EINVAL;
	}
	net->options = calloc(n->n ? n->n : 1, sizeof(*net->options));
	if (!net->options) {
		d->out_of_memory = true;
		return -ENOMEM;
	}
	for (size_t i = 0; i < n->n; i++) {
		r |= read_option(n->kid[i], &net->options[i], d);
		for (size_t j = 0; j < i; j++)
			if (net->options[j].code == net->options[i].code && net->options[i].code)
				diag_at(d, n->kid[i]->key, "DHCP option %u is given twice",
					net->options[i].code);
	}
	net->n_options = n->n;
	return r ? -EINVAL : 0;
}
