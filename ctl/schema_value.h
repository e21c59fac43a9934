/* One value of each kind, read from its node into the struct: the part of the schema that
 * knows syntax.  Used by ctl/schema.c alone; what a value means beside others is
 * ctl/config_check.c's.
 *
 * Readers return 0, or -EINVAL with a finding in d (-ENOMEM with d->out_of_memory).  Main
 * thread; no clock, no state. */
#ifndef CTL_SCHEMA_VALUE_H
#define CTL_SCHEMA_VALUE_H

#include "ctl/schema.h"

#define NAME_LEN_MAX 32
#define SUN_PATH_MAX 107 /* sockaddr_un, less the end */
#define DAY	     86400u

#define IPV6_ADDR_WHY "IPv6 addresses are not built yet; give an IPv4 address"

typedef int read_fn(const struct field *f, struct node *n, void *base, struct diag *d);

/* How the value lies in the struct: what freeing and comparing must know. */
enum storage { S_NONE, S_U32, S_U16, S_BOOL, S_STRING, S_MAC, S_PREFIX, S_SPECIAL };

struct kind {
	const char *type; /* for the reference */
	read_fn *read;
	enum storage storage;
	bool takes_any; /* reads mappings and lists itself */
};
extern const struct kind schema_kinds[F_KINDS];
read_fn schema_read_options; /* of DHCP: ctl/schema_options.c */

static inline void *field_at(const struct field *f, void *base)
{
	return (char *)base + f->offset;
}
static inline const void *field_cat(const struct field *f, const void *base)
{
	return (const char *)base + f->offset;
}
static inline bool *field_flag(const struct field *f, void *base)
{
	return (bool *)((char *)base + f->also);
}

/* "dgram, stream": the selector's values that have their bit in `only`. */
void schema_only(const struct schema *s, uint32_t only, char *buf, size_t size);

int value_number(const char *text, uint32_t *ret); /* decimal digits only; -ERANGE above 32 bits */
int value_bool(const char *text, bool *ret);
bool value_name_ok(const char *text, bool globs);
bool value_domain_ok(const char *text, bool one_label);		/* RFC 1123 2.1 */
/* The IPv6 value of a field that has `six`. */
void value_read6(const struct field *f, struct node *n, void *base, struct diag *d);
size_t value_size6(const struct field *f); /* bytes of it in the struct */
int value_store(const char *text, char **slot, struct diag *d); /* a copy; frees what was there */
void value_choices(const struct choice *c, char *buf, size_t size); /* "tap, netdev": those built */
void value_print_time(uint32_t seconds, char *buf, size_t size);    /* "5m" */

#endif
