/* Answers of the daemon as text for people: aligned tables, and fields one a line.
 *
 * What is printed may come from guests (host names, socket names): bytes that a terminal
 * might take as a command are replaced.  Colours only on a terminal, and never with
 * NO_COLOR set. */
#ifndef CTL_RENDER_H
#define CTL_RENDER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct request;

struct render {
	FILE *out;
	bool color;
};

enum render_kind {
	RENDER_TEXT,     /* a string, number or boolean as it is; null is '-' */
	RENDER_NUMBER,   /* right-aligned */
	RENDER_BYTES,    /* 1.2M */
	RENDER_DURATION, /* seconds: 1h02m; null is 'never' */
	RENDER_STATE,    /* up, down: coloured */
	RENDER_SUM,      /* of an object's numbers */
	RENDER_COUNT,    /* of an array's items */
	RENDER_LIST,     /* an array's items */
	RENDER_YESNO,
};

struct column {
	const char *title;
	const char *key;
	enum render_kind kind;
};

/* One row for each object of the array; `empty` is printed when there is none. */
void render_table(struct render *r, json_t *rows, const struct column *columns, size_t n,
		  const char *empty);
/* "title: value", aligned; fields that are null or absent are left out. */
void render_fields(struct render *r, json_t *object, const struct column *fields, size_t n);
/* The value as the column says, printable, in buf. */
void render_value(json_t *v, enum render_kind kind, char *buf, size_t len);
/* Replaces what is not printable, in place. */
void render_clean(char *s);
void render_bold(struct render *r, const char *s);

/* ---- results of methods: render_verbs.c ---- */

#define RENDERERS(X)                                                                               \
	X(show) X(status) X(version) X(doctor) X(counters) X(vlan_list) X(net_list) X(net_show) X(uplink_list) X(uplink_show) \
	X(port_list) X(port_show) X(mac_list) X(lease_list) X(dns_list) X(nat_list) X(ended)       \
	X(forward_list) X(config_show) X(config_diff) X(config_apply) X(config_save)
#define X(name) void render_##name(struct render *r, json_t *result, const struct request *q);
RENDERERS(X)
#undef X

/* One line about a captured frame, tcpdump's way: render_packet.c. */
void render_packet(FILE *out, const uint8_t *bytes, size_t len, uint32_t wire_len);

#endif
