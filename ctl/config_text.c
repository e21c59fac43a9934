/* A config as YAML: the tree it came from, in the order and form of the schema's rows.
 *
 * What the user wrote is kept as intent: a gateway that was given stays even where it
 * equals the computed one, and one that was not stays out, so that a later change of the
 * subnet moves it.  Fixed defaults, empty sections and comments are left out. */
#include <stdlib.h>
#include <string.h>

#include "ctl/config_tree.h"
#include "ctl/schema.h"

static void print_flow(const struct schema *s, const struct node *n, FILE *out);

static bool is_default(const struct field *f, const struct node *n)
{
	return f && f->dflt && n->kind == NODE_SCALAR && !strcmp(n->text, f->dflt);
}

/* Rows in table order; two rows of one name (for two types) are one key. */
static const struct node *value_of(const struct schema *s, const struct node *map,
				   const struct field *f)
{
	const struct node *v = schema_field(s, map, f->key) == f ? node_get(map, f->key) : NULL;
	if (!v || is_default(f, v))
		return NULL;
	bool empty = v->kind == NODE_SCALAR ? node_is_null(v) : !v->n;
	if (empty && !(f->flags & FIELD_SWITCH))
		return NULL;
	return v;
}

/* A mapping or list the schema has no rows for: a trunk, DHCP options. */
static void print_raw(const struct node *n, FILE *out)
{
	if (n->kind == NODE_SCALAR) {
		scalar_print(n, out);
		return;
	}
	fputc(n->kind == NODE_MAP ? '{' : '[', out);
	for (size_t i = 0; i < n->n; i++) {
		if (i)
			fputs(", ", out);
		if (n->kind == NODE_MAP) {
			scalar_print(n->kid[i]->key, out);
			fputs(": ", out);
		}
		print_raw(n->kid[i], out);
	}
	fputc(n->kind == NODE_MAP ? '}' : ']', out);
}

static void print_flow_value(const struct field *f, const struct node *v, FILE *out)
{
	if (f->flags & FIELD_LIST_OF_ONE && v->kind == NODE_LIST && v->n == 1)
		v = v->kid[0];
	if (f->kind == F_OBJECT && v->kind != NODE_SCALAR)
		print_flow(f->object, v, out);
	else
		print_raw(v, out);
}

static void print_flow(const struct schema *s, const struct node *n, FILE *out)
{
	const char *comma = "";
	fputc('{', out);
	for (const struct field *f = s->fields; f < s->fields + s->n; f++) {
		const struct node *v = value_of(s, n, f);
		if (!v)
			continue;
		fprintf(out, "%s%s: ", comma, f->key);
		print_flow_value(f, v, out);
		comma = ", ";
	}
	fputc('}', out);
}

static void print_block(const struct schema *s, const struct node *n, int indent, FILE *out);

/* The entries of a mapping of names, or of a list of mappings, one a line or block each. */
static void print_entries(const struct field *f, const struct node *v, int indent, FILE *out)
{
	fputc('\n', out);
	for (size_t i = 0; i < v->n; i++) {
		fprintf(out, "%*s", indent, "");
		if (f->kind == F_LIST) {
			fputs("- ", out);
		} else {
			scalar_print(v->kid[i]->key, out);
			fputc(':', out);
		}
		if (f->object->block) {
			fputc('\n', out);
			print_block(f->object, v->kid[i], indent + 2, out);
			continue;
		}
		if (f->kind != F_LIST)
			fputc(' ', out);
		print_flow(f->object, v->kid[i], out);
		fputc('\n', out);
	}
}

/* Whether printing the mapping in block form would print anything. */
static bool has_content(const struct schema *s, const struct node *n)
{
	for (const struct field *f = s->fields; f < s->fields + s->n; f++)
		if (value_of(s, n, f))
			return true;
	return false;
}

static void print_block(const struct schema *s, const struct node *n, int indent, FILE *out)
{
	for (const struct field *f = s->fields; f < s->fields + s->n; f++) {
		const struct node *v = value_of(s, n, f);
		if (!v)
			continue;
		fprintf(out, "%*s%s:", indent, "", f->key);
		if (f->kind == F_NAMED || f->kind == F_LIST) {
			print_entries(f, v, indent + 2, out);
		} else if (f->kind == F_OBJECT && f->object->block && v->kind == NODE_MAP &&
			   has_content(f->object, v)) {
			fputc('\n', out);
			print_block(f->object, v, indent + 2, out);
		} else {
			fputc(' ', out);
			print_flow_value(f, v, out);
			fputc('\n', out);
		}
	}
}

char *config_text(const struct config *c)
{
	const struct config_source *s = c->source;
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	if (!out)
		return NULL;
	print_block(&schema_top, s->root, 0, out);
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}
