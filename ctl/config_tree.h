/* The YAML text as a small tree of our own, and the list of what is wrong with it.
 *
 * libfyaml is used for its event stream only and does not leave config_tree.c: a tree
 * of our own knows where each word stood, can be edited at run time (config_with), and
 * is strict where YAML is loose.  Refused here, with the position: a key given twice,
 * anchors and aliases, tags, a second document, a key that is not a word, nesting deeper
 * than TREE_DEPTH, control characters, more than TREE_TEXT_MAX bytes.
 *
 * Findings are collected, sorted by position and printed together, the way a compiler
 * does; a finding marks the node and everything above it `bad`, so that later checks skip
 * what is already known to be wrong.
 *
 * Main thread; no clock.  A tree is owned by whoever got it. */
#ifndef CTL_CONFIG_TREE_H
#define CTL_CONFIG_TREE_H

#include <stdio.h>

#include "ctl/config.h"
#include "net/types.h"

#define TREE_DEPTH    12
#define TREE_TEXT_MAX ((size_t)1 << 20)
#define TREE_KEYS_MAX 4096 /* of one mapping */

enum node_kind { NODE_SCALAR, NODE_MAP, NODE_LIST };

struct node {
	enum node_kind kind;
	bool quoted;		 /* scalar: stood in quotes, so `~` is a string */
	bool one_line;		 /* and on one line */
	bool bad;		 /* something below has been found wrong */
	unsigned line, col, len; /* 1-based; columns count characters; line 0: made by an edit */
	char *text;		 /* scalar */
	struct node *parent;	 /* NULL for the root */
	struct node *key;	 /* the key whose value this is; NULL in lists and for the root */
	struct node **kid;	 /* values of a mapping, or items of a list, in file order */
	size_t n;
};

struct diag_entry {
	unsigned line, col, len;
	char *msg;
};
/* Findings about one text.  With text NULL each is printed in one line, led by the name
 * of the object it is about ("port 'web1': ..."): for edits made at run time. */
struct diag {
	const char *name, *text;
	struct diag_entry *entry;
	size_t n;
	bool out_of_memory;
};

void diag_at(struct diag *d, struct node *n, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Without a node: the file cannot be read, say.  line 0 prints no position. */
void diag_add(struct diag *d, unsigned line, unsigned col, unsigned len, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
void diag_print(struct diag *d, FILE *out);
void diag_fini(struct diag *d);

/* The root of the text's only document; NULL with findings in d when it is not readable.
 * An empty text is an empty mapping. */
struct node *tree_parse(const char *text, size_t len, struct diag *d);
struct node *tree_copy(const struct node *n); /* NULL on ENOMEM */
void node_free(struct node *n);		      /* accepts NULL; n must have no parent */

struct node *node_new(enum node_kind kind, const char *text);
bool node_is_null(const struct node *n); /* NULL, empty, ~ or null, not in quotes */
struct node *node_get(const struct node *map,
		      const char *key); /* NULL when absent or not a mapping */
/* Put value under key, replacing what was there; takes ownership also on failure (-ENOMEM). */
int node_set(struct node *map, const char *key, struct node *value);
int node_append(struct node *list, struct node *value);
void node_remove(struct node *parent, size_t i);
/* "port 'web1'", "network 'lab'", "" : the named object a node belongs to. */
void node_object(const struct node *n, char *buf, size_t size);

/* Canonical form of one scalar: plain where that is safe, else in double quotes. */
void scalar_print(const struct node *n, FILE *out);

/* What a config keeps of where it came from (config.source). */
struct config_source {
	struct node *root;
	char *control_socket, *state_dir; /* the defaults it was read with */
};

#endif
