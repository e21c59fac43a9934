/* YAML into a tree with positions, and findings with a caret: the only file that knows
 * libfyaml.  ctl/schema.c walks the tree, ctl/config_check.c compares its parts,
 * ctl/config_text.c writes it back. */
#include "ctl/config_tree.h"

#include <ctype.h>
#include <errno.h>
#include <libfyaml.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define DIAG_PRINT_MAX 20 /* findings shown in one run */

/* ---- findings ---- */

static void diag_vadd(struct diag *d, unsigned line, unsigned col, unsigned len, const char *lead,
		      const char *fmt, va_list ap)
{
	char *body = NULL, *msg = NULL;
	struct diag_entry *e = realloc(d->entry, (d->n + 1) * sizeof(*e));
	if (e)
		d->entry = e;
	if (!e || vasprintf(&body, fmt, ap) < 0 ||
	    asprintf(&msg, "%s%s%s", lead, *lead ? ": " : "", body) < 0) {
		d->out_of_memory = true;
		free(body);
		return;
	}
	free(body);
	d->entry[d->n++] = (struct diag_entry){line, col, len, msg};
}

void diag_add(struct diag *d, unsigned line, unsigned col, unsigned len, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	diag_vadd(d, line, col, len, "", fmt, ap);
	va_end(ap);
}

void diag_at(struct diag *d, struct node *n, const char *fmt, ...)
{
	char lead[80] = "";
	if (!d->text)
		node_object(n, lead, sizeof(lead));
	/* a mapping or list is long: what is underlined is its name */
	const struct node *at = n->kind != NODE_SCALAR && n->key ? n->key : n;
	va_list ap;
	va_start(ap, fmt);
	diag_vadd(d, at->line, at->col, at->len, lead, fmt, ap);
	va_end(ap);
	for (struct node *up = n; up; up = up->parent)
		up->bad = true;
}

static int entry_order(const void *a, const void *b)
{
	const struct diag_entry *x = a, *y = b;
	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	return x->col < y->col ? -1 : x->col > y->col;
}

/* The line of the text, and under it the caret; tabs stay tabs so that both align. */
static void print_source(const struct diag *d, const struct diag_entry *e, FILE *out)
{
	const char *line = d->text;
	for (unsigned i = 1; i < e->line && line; i++) {
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
	if (!line || !*line)
		return;
	int len = (int)strcspn(line, "\r\n");
	fprintf(out, "%.*s\n", len, line);
	unsigned col = 1;
	const char *p = line;
	for (; p < line + len && col < e->col; p++) {
		if (((unsigned char)*p & 0xc0) == 0x80)
			continue; /* inside a UTF-8 character */
		fputc(*p == '\t' ? '\t' : ' ', out);
		col++;
	}
	fputc('^', out);
	for (unsigned i = 1; i < e->len; i++)
		fputc('~', out);
	fputc('\n', out);
}

void diag_print(struct diag *d, FILE *out)
{
	qsort(d->entry, d->n, sizeof(*d->entry), entry_order);
	for (size_t i = 0; i < d->n && i < DIAG_PRINT_MAX; i++) {
		const struct diag_entry *e = &d->entry[i];
		if (!d->text && !d->name)
			fprintf(out, "%s\n", e->msg);
		else if (!e->line)
			fprintf(out, "%s: error: %s\n", d->name, e->msg);
		else
			fprintf(out, "%s:%u:%u: error: %s\n", d->name, e->line, e->col, e->msg);
		if (d->text && e->line)
			print_source(d, e, out);
	}
	if (d->n > DIAG_PRINT_MAX)
		fprintf(out, "%s%s%zu more errors\n", d->name ? d->name : "", d->name ? ": " : "",
			d->n - DIAG_PRINT_MAX);
	if (d->out_of_memory)
		fprintf(out, "out of memory\n");
}

void diag_fini(struct diag *d)
{
	for (size_t i = 0; i < d->n; i++)
		free(d->entry[i].msg);
	free(d->entry);
	d->entry = NULL;
	d->n = 0;
}

/* ---- nodes ---- */

struct node *node_new(enum node_kind kind, const char *text)
{
	struct node *n = calloc(1, sizeof(*n));
	if (!n)
		return NULL;
	n->kind = kind;
	n->len = 1;
	if (text && !(n->text = strdup(text))) {
		free(n);
		return NULL;
	}
	return n;
}

void node_free(struct node *n)
{
	if (!n)
		return;
	for (size_t i = 0; i < n->n; i++)
		node_free(n->kid[i]);
	node_free(n->key);
	free(n->kid);
	free(n->text);
	free(n);
}

struct node *tree_copy(const struct node *n)
{
	struct node *c = node_new(n->kind, n->text);
	if (!c)
		return NULL;
	c->quoted = n->quoted;
	c->line = n->line;
	c->col = n->col;
	c->len = n->len;
	for (size_t i = 0; i < n->n; i++) {
		struct node *k = tree_copy(n->kid[i]);
		if (!k || node_append(c, k) < 0)
			goto fail;
		if (n->kid[i]->key && !(k->key = tree_copy(n->kid[i]->key)))
			goto fail;
		if (k->key)
			k->key->parent = c;
	}
	return c;
fail:
	node_free(c);
	return NULL;
}

bool node_is_null(const struct node *n)
{
	if (!n)
		return true;
	if (n->kind != NODE_SCALAR || n->quoted)
		return false;
	return !*n->text || !strcmp(n->text, "~") || !strcasecmp(n->text, "null");
}

struct node *node_get(const struct node *map, const char *key)
{
	if (!map || map->kind != NODE_MAP)
		return NULL;
	for (size_t i = 0; i < map->n; i++)
		if (map->kid[i]->key && !strcmp(map->kid[i]->key->text, key))
			return map->kid[i];
	return NULL;
}

int node_append(struct node *list, struct node *value)
{
	/* grows by doubling: at sizes that are powers of two */
	if (!(list->n & (list->n - 1))) {
		struct node **kid = realloc(list->kid, (list->n ? 2 * list->n : 1) * sizeof(*kid));
		if (!kid) {
			node_free(value);
			return -ENOMEM;
		}
		list->kid = kid;
	}
	value->parent = list;
	list->kid[list->n++] = value;
	return 0;
}

int node_set(struct node *map, const char *key, struct node *value)
{
	struct node *k = node_new(NODE_SCALAR, key);
	if (!k) {
		node_free(value);
		return -ENOMEM;
	}
	k->parent = map;
	node_free(value->key);
	value->key = k;
	for (size_t i = 0; i < map->n; i++) {
		if (strcmp(map->kid[i]->key->text, key))
			continue;
		node_free(map->kid[i]);
		map->kid[i] = value;
		value->parent = map;
		return 0;
	}
	return node_append(map, value);
}

void node_remove(struct node *parent, size_t i)
{
	/* the array stays as large: node_append() only asks for what n needs */
	struct node *gone = parent->kid[i];
	for (size_t j = i + 1; j < parent->n; j++)
		parent->kid[j - 1] = parent->kid[j];
	parent->n--;
	node_free(gone);
}

void node_object(const struct node *n, char *buf, size_t size)
{
	static const struct {
		const char *section, *one;
	} names[] = {
		{"ports", "port"},
		{"networks", "network"},
		{"uplinks", "uplink"},
	};
	*buf = 0;
	const struct node *in = NULL; /* the entry of a section that n is in */
	for (; n && n->parent && n->parent->parent; n = n->parent)
		in = n;
	if (!n || !n->key)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (in && !strcmp(n->key->text, names[i].section))
			snprintf(buf, size, "%s '%s'", names[i].one,
				 in->key ? in->key->text : in->text);
	}
	if (!*buf)
		snprintf(buf, size, "%s", n->key->text);
}

/* ---- reading ---- */

struct reader {
	struct fy_parser *fyp;
	struct diag *d;
	bool stop;
};

static struct node *read_node(struct reader *r, struct fy_event *e, unsigned depth);

static void place(struct node *n, struct fy_event *e)
{
	const struct fy_mark *a = fy_event_start_mark(e), *b = fy_event_end_mark(e);
	if (!a)
		return;
	n->line = (unsigned)a->line + 1;
	n->col = (unsigned)a->column + 1;
	if (b && b->line == a->line && b->column >= a->column && n->kind == NODE_SCALAR) {
		n->len = (unsigned)(b->column - a->column);
		n->one_line = true;
	}
}

static void widen(struct node *n)
{
	n->col--;
	n->len += n->one_line ? 2 : 0;
}

static void reader_fail(struct reader *r, struct node *at, const char *why)
{
	diag_at(r->d, at, "%s", why);
	r->stop = true;
}

static struct node *read_scalar(struct reader *r, struct fy_event *e)
{
	size_t len = 0;
	const char *s = e->scalar.value ? fy_token_get_text(e->scalar.value, &len) : NULL;
	struct node *n = node_new(NODE_SCALAR, "");
	if (!n)
		return NULL;
	place(n, e);
	char *text = strndup(s ? s : "", s ? len : 0);
	if (!text) {
		node_free(n);
		return NULL;
	}
	free(n->text);
	n->text = text;
	enum fy_scalar_style style =
		e->scalar.value ? fy_token_scalar_style(e->scalar.value) : FYSS_PLAIN;
	n->quoted = style != FYSS_PLAIN && style != FYSS_ANY;
	if ((style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED) && n->col > 1)
		widen(n); /* the mark is inside the quotes */
	for (size_t i = 0; s && i < len; i++) {
		if ((unsigned char)s[i] < ' ' || s[i] == 127) {
			diag_at(r->d, n, "a line break or control character inside a value");
			break;
		}
	}
	if (e->scalar.tag || e->scalar.anchor)
		diag_at(r->d, n, "YAML anchors and tags are not used here: write the value out");
	return n;
}

static struct fy_event *next_event(struct reader *r)
{
	struct fy_event *e = r->stop ? NULL : fy_parser_parse(r->fyp);
	if (!e)
		r->stop = true;
	return e;
}

/* One `key: value` of a mapping; e is the key's event. */
static int read_pair(struct reader *r, struct node *map, struct fy_event *e, unsigned depth)
{
	struct node *key = read_node(r, e, depth), *value = NULL;
	if (!key)
		return -EINVAL;
	key->parent = map;
	if (key->kind != NODE_SCALAR || node_is_null(key)) {
		reader_fail(r, key, "a key must be a word");
		goto out;
	}
	struct node *first = node_get(map, key->text);
	if (first)
		diag_at(r->d, key, "'%s' is given twice (first on line %u)", key->text,
			first->key->line);
	if (map->n >= TREE_KEYS_MAX) {
		reader_fail(r, key, "too many keys in one mapping");
		goto out;
	}
	e = next_event(r);
	value = e ? read_node(r, e, depth) : NULL;
	fy_parser_event_free(r->fyp, e);
	if (!value)
		goto out;
	if (first) {
		node_free(value);
		node_free(key);
		return 0;
	}
	value->key = key;
	return node_append(map, value);
out:
	node_free(key);
	return -EINVAL;
}

static struct node *read_collection(struct reader *r, struct fy_event *e, enum node_kind kind,
				    unsigned depth)
{
	enum fy_event_type end = kind == NODE_MAP ? FYET_MAPPING_END : FYET_SEQUENCE_END;
	bool marked = kind == NODE_MAP ? e->mapping_start.anchor || e->mapping_start.tag
				       : e->sequence_start.anchor || e->sequence_start.tag;
	struct node *n = node_new(kind, NULL);
	if (!n)
		return NULL;
	place(n, e);
	if (marked)
		diag_at(r->d, n, "YAML anchors and tags are not used here: write the value out");
	if (depth >= TREE_DEPTH)
		reader_fail(r, n, "nested too deep");
	for (bool more = true; more && !r->stop;) {
		struct fy_event *k = next_event(r);
		if (!k)
			break;
		more = k->type != end;
		if (more && kind == NODE_MAP) {
			if (read_pair(r, n, k, depth + 1) < 0)
				r->stop = true;
		} else if (more) {
			struct node *item = read_node(r, k, depth + 1);
			if (!item || node_append(n, item) < 0)
				r->stop = true;
		}
		fy_parser_event_free(r->fyp, k);
	}
	return n;
}

/* The node that starts with event e, which stays the caller's. */
static struct node *read_node(struct reader *r, struct fy_event *e, unsigned depth)
{
	switch (e->type) {
	case FYET_SCALAR: return read_scalar(r, e);
	case FYET_MAPPING_START: return read_collection(r, e, NODE_MAP, depth);
	case FYET_SEQUENCE_START: return read_collection(r, e, NODE_LIST, depth);
	case FYET_ALIAS: {
		struct node *n = node_new(NODE_SCALAR, "");
		if (n) {
			place(n, e);
			n->col -= n->col > 1; /* the mark is behind the * */
			diag_at(r->d, n, "YAML aliases are not used here: write the value out");
		}
		return n;
	}
	default: return NULL;
	}
}

/* What libfyaml found, in our words' shape. */
static void take_library_errors(struct diag *d, struct fy_diag *fyd)
{
	void *it = NULL;
	for (struct fy_diag_error *e; (e = fy_diag_errors_iterate(fyd, &it));) {
		unsigned line = e->line > 0 ? (unsigned)e->line : 1;
		unsigned col = e->column > 0 ? (unsigned)e->column : 1;
		diag_add(d, line, col, 1, "%.*s", (int)strcspn(e->msg, "\n"), e->msg);
		return; /* the first says it; the rest follow from it */
	}
}

static struct node *read_document(struct reader *r)
{
	struct node *root = NULL;
	for (struct fy_event *e; (e = next_event(r));) {
		if (e->type == FYET_DOCUMENT_START && root)
			reader_fail(r, root, "a second document follows: there must be only one");
		else if (e->type == FYET_MAPPING_START || e->type == FYET_SEQUENCE_START ||
			 e->type == FYET_SCALAR || e->type == FYET_ALIAS)
			root = read_node(r, e, 0);
		bool end = e->type == FYET_STREAM_END;
		fy_parser_event_free(r->fyp, e);
		if (end)
			break;
	}
	return root;
}

static struct node *tree_read(const char *text, size_t len, struct diag *d)
{
	struct fy_diag_cfg dcfg;
	fy_diag_cfg_default(&dcfg);
	dcfg.fp = NULL;
	struct fy_diag *fyd = fy_diag_create(&dcfg);
	if (!fyd)
		return NULL;
	fy_diag_set_collect_errors(fyd, true);
	struct fy_parse_cfg cfg = {
		.flags = FYPCF_QUIET | FYPCF_DEFAULT_VERSION_1_2 | FYPCF_JSON_NONE |
			 FYPCF_ALLOW_DUPLICATE_KEYS,
		.diag = fyd,
	};
	struct reader r = {.fyp = fy_parser_create(&cfg), .d = d};
	struct node *root = NULL;
	size_t before = d->n;
	if (r.fyp && fy_parser_set_string(r.fyp, text, len) == 0)
		root = read_document(&r);
	if (fy_diag_got_error(fyd) && d->n == before)
		take_library_errors(d, fyd);
	if (r.stop && d->n == before)
		diag_add(d, 1, 1, 1, "not readable as YAML");
	fy_parser_destroy(r.fyp);
	fy_diag_destroy(fyd);
	if (d->n > before) {
		node_free(root);
		return NULL;
	}
	return root ? root : node_new(NODE_MAP, NULL);
}

/* Length of the UTF-8 character at s, 0 when it is none (RFC 3629 3). */
static unsigned utf8_len(const unsigned char *s)
{
	unsigned n = *s < 0x80		   ? 1
		     : (*s & 0xe0) == 0xc0 ? 2
		     : (*s & 0xf0) == 0xe0 ? 3
		     : (*s & 0xf8) == 0xf0 ? 4
					   : 0;
	uint32_t c = n > 1 ? *s & (0x7f >> n) : *s;
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	for (unsigned i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	return c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? 0 : n;
}

/* What libfyaml need not see: it can loop for ever over a malformed directive (0.7.12). */
static bool check_characters(const char *text, size_t len, struct diag *d)
{
	unsigned line = 1, col = 1;
	const char *why = NULL;
	for (const char *s = text; s < text + len && !why; col++) {
		unsigned n = utf8_len((const unsigned char *)s);
		if (!n || (s[0] == '\r' && s[1] != '\n') ||
		    ((unsigned char)*s < ' ' && !strchr("\t\r\n", *s)) || *s == 127)
			why = "a character that does not belong in a text";
		else if (col == 1 && *s == '%')
			why = "YAML directives are not used here";
		if (why)
			break;
		if (*s == '\n') {
			line++;
			col = 0;
		}
		s += n;
	}
	if (why)
		diag_add(d, line, col, 1, "%s", why);
	return !why;
}

struct node *tree_parse(const char *text, size_t len, struct diag *d)
{
	if (len > TREE_TEXT_MAX) {
		diag_add(d, 0, 0, 0, "larger than %zu bytes", TREE_TEXT_MAX);
		return NULL;
	}
	if (!check_characters(text, len, d))
		return NULL;
	struct node *root = tree_read(text, len, d);
	if (root && node_is_null(root)) {
		node_free(root);
		root = node_new(NODE_MAP, NULL);
	}
	if (!root && !d->n)
		d->out_of_memory = true;
	return root;
}

/* ---- writing ---- */

static bool plain_is_safe(const struct node *n)
{
	const char *s = n->text;
	static const char *const words[] = {"null", "true", "false", "yes", "no",
					    "on",   "off",  "y",     "n"};
	if (!isalnum((unsigned char)*s) && *s != '/')
		return false;
	for (; *s; s++)
		if (!isalnum((unsigned char)*s) && !strchr("_./-", *s))
			return false;
	for (size_t i = 0; n->quoted && i < ARRAY_SIZE(words); i++)
		if (!strcasecmp(n->text, words[i]))
			return false;
	return true;
}

void scalar_print(const struct node *n, FILE *out)
{
	if (node_is_null(n)) {
		fputc('~', out);
		return;
	}
	if (plain_is_safe(n)) {
		fputs(n->text, out);
		return;
	}
	fputc('"', out);
	for (const char *s = n->text; *s; s++) {
		if (*s == '"' || *s == '\\')
			fputc('\\', out);
		fputc(*s, out);
	}
	fputc('"', out);
}

/* ---- what was meant ---- */

#define NAME_CONSIDERED 64

/* Edit distance with neighbours swapped counting as one. */
static unsigned distance(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b);
	unsigned d[3][NAME_CONSIDERED + 1];
	if (n > NAME_CONSIDERED || m > NAME_CONSIDERED)
		return UINT32_MAX;
	for (size_t j = 0; j <= m; j++)
		d[0][j] = (unsigned)j;
	for (size_t i = 1; i <= n; i++) {
		unsigned *cur = d[i % 3], *prev = d[(i - 1) % 3], *prev2 = d[(i + 1) % 3];
		cur[0] = (unsigned)i;
		for (size_t j = 1; j <= m; j++) {
			unsigned best = prev[j - 1] + (tolower((unsigned char)a[i - 1]) !=
						       tolower((unsigned char)b[j - 1]));
			if (prev[j] + 1 < best)
				best = prev[j] + 1;
			if (cur[j - 1] + 1 < best)
				best = cur[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    prev2[j - 2] + 1 < best)
				best = prev2[j - 2] + 1;
			cur[j] = best;
		}
	}
	return d[n % 3][m];
}

const char *closest_name(const char *typed, const char *const *names, size_t n)
{
	const char *found = NULL;
	size_t len = strlen(typed);
	unsigned best = len < 3 ? 1 : len < 6 ? 2 : 3; /* more is another word */
	for (size_t i = 0; i < n; i++) {
		unsigned d = distance(typed, names[i]);
		if (d <= best && d < strlen(names[i]) && (!found || d < best)) {
			best = d;
			found = names[i];
		}
	}
	return found;
}
