/* The configuration's keys as data: what there is, of which type, in which range, with
 * which default, and what each means.
 *
 * One table for each kind of object (the whole, control, limits, uplink, network, dhcp,
 * reservation, dns, forward, nat, port), one row for each key, one walker over them all:
 * reading, freeing, comparing, printing and docs/config.md come from the same rows.  A key
 * or value that is promised but not built has its row too, with the reason; it is
 * refused with that reason and never with "unknown key".
 *
 * What one value can tell alone is checked here (type, range, syntax); what takes two
 * values is checked in ctl/config_check.c.
 *
 * Main thread; no clock, no state. */
#ifndef CTL_SCHEMA_H
#define CTL_SCHEMA_H

#include "ctl/config.h"
#include "ctl/config_tree.h"

enum field_kind {
	F_VERSION,
	F_U32,
	F_WORKERS,
	F_BOOL,
	F_ENUM,
	F_FLAGS, /* a word or a list of them, a bit each */
	F_VLAN,
	F_NAME,
	F_STRING,
	F_PATH,
	F_IFNAME,
	F_DOMAIN,
	F_HOSTNAME,
	F_IP4,
	F_SUBNET,
	F_SUBNETS, /* of a network, one for each family */
	F_PREFIX6,
	F_HOSTPREFIX,
	F_UPLINKS,
	F_PORT_RANGE,
	F_MAC,
	F_DURATION,
	F_OCTAL,
	F_RANGE,
	F_UPSTREAM,
	F_OPTIONS,
	F_TRUNK,
	F_LISTEN,
	F_TARGET,
	F_UDP_LISTEN,
	F_UDP_PEER,
	F_OBJECT,  /* a mapping whose keys are fields of the same struct */
	F_LIST,	   /* a list of mappings: an array of structs */
	F_NAMED,   /* a mapping of names to mappings: an array of structs that begin with their name
		    */
	F_UNBUILT, /* known, refused, help says why */
	F_KINDS
};

struct choice {
	const char *name;
	uint32_t value;
	const char *why_not; /* set: known, but refused for this reason */
};

enum {
	FIELD_LIST_OF_ONE = 1, /* a list with one value, or one for each family, is as good as a value */
	FIELD_SWITCH =
		2, /* object: `true` and `false` stand for {} and for none; the bool is at `also` */
	FIELD_GLOBS = 4, /* named: the name may be a pattern */
	FIELD_DHCP = 8	 /* hostprefix: or the word `dhcp`; `also` is then the bool that says so */
};

struct field {
	const char *key;
	enum field_kind kind;
	uint16_t offset,
		also; /* also: of the count of an array, or of the bool that says "was given" */
	uint16_t flags;
	uint32_t only;	/* for which values of the selector, a bit each; 0: for all */
	uint32_t needs; /* for which it is required */
	uint32_t min, max;
	uint16_t six; /* where the IPv6 value goes, 16 bytes or a struct prefix6; 0: IPv4 only */
	const struct choice *choices;
	const struct schema *object;
	const char *dflt; /* as text, read like a value */
	const char *help; /* one line; a default that is computed is named here */
};

struct schema {
	const char *what;     /* "port" */
	const char *selector; /* the key whose value decides which others go with it, or NULL */
	size_t size;	      /* of the struct of an array element */
	const struct field *fields;
	size_t n;
	bool block; /* printed one key a line */
};
extern const struct schema schema_top, schema_uplink, schema_network, schema_port;

#define ALWAYS UINT32_MAX

/* Reads the mapping into the struct at base (zeroed), defaults included.  Findings go to d. */
void schema_read(const struct schema *s, struct node *map, void *base, struct diag *d);
void schema_free(const struct schema *s, void *base);
bool schema_equal(const struct schema *s, const void *a, const void *b);
/* The row of a key, among those that go with the selector's value in this mapping. */
const struct field *schema_field(const struct schema *s, const struct node *map, const char *key);
void schema_reference(FILE *out);

int duration_parse(const char *text, uint32_t *ret_seconds);
bool name_is_glob(const char *name);

#endif
