/* docs/config.md from the tables of ctl/schema.c. */
#include <string.h>

#include "ctl/schema_value.h"

static void reference_value(const struct schema *s, const struct field *f, FILE *out)
{
	char list[200], lo[16], hi[16];
	if (f->choices) {
		value_choices(f->choices, list, sizeof(list));
		fprintf(out, "%s%s", f->kind == F_FLAGS ? "list of " : "", list);
	} else if (f->kind == F_DURATION) {
		value_print_time(f->min, lo, sizeof(lo));
		value_print_time(f->max, hi, sizeof(hi));
		fprintf(out, "time, %s to %s", lo, hi);
	} else if (f->kind == F_U32 || f->kind == F_VLAN) {
		fprintf(out, "number, %u to %u", f->min, f->max);
	} else {
		fputs(schema_kinds[f->kind].type, out);
	}
}

static void reference_row(const struct schema *s, const struct field *f, FILE *out)
{
	char list[160] = "";
	fprintf(out, "| `%s` | ", f->key);
	reference_value(s, f, out);
	fprintf(out, " | ");
	if (f->dflt)
		fprintf(out, "`%s`", f->dflt);
	else if (f->needs == ALWAYS)
		fputs("required", out);
	else if (f->needs) {
		schema_only(s, f->needs, list, sizeof(list));
		fprintf(out, "required for %s", list);
	}
	fprintf(out, " | ");
	if (f->only && f->only != f->needs) {
		schema_only(s, f->only, list, sizeof(list));
		fprintf(out, "(%s) ", list);
	}
	fprintf(out, "%s |\n", f->help);
}

static void reference_table(const struct schema *s, const char *title, FILE *out)
{
	fprintf(out, "\n## %s\n\n| key | value | default | meaning |\n|---|---|---|---|\n", title);
	for (const struct field *f = s->fields; f < s->fields + s->n; f++)
		if (f->kind != F_UNBUILT)
			reference_row(s, f, out);
	for (const struct field *f = s->fields; f < s->fields + s->n; f++) {
		char sub[80];
		if (!f->object)
			continue;
		bool top = s == &schema_top;
		snprintf(sub, sizeof(sub), "%s%s%s%s", top ? "" : title, top ? "" : ".", f->key,
			 f->kind == F_NAMED  ? ".NAME"
			 : f->kind == F_LIST ? "[]"
					     : "");
		reference_table(f->object, sub, out);
	}
}

static void reference_unbuilt(const struct schema *s, const char *path, FILE *out)
{
	for (const struct field *f = s->fields; f < s->fields + s->n; f++) {
		char sub[80];
		if (f->kind == F_UNBUILT)
			fprintf(out, "- `%s%s`: %s\n", path, f->key, f->help);
		for (const struct choice *c = f->choices; c && c->name; c++)
			if (c->why_not)
				fprintf(out, "- `%s%s: %s`: %s\n", path, f->key, c->name,
					c->why_not);
		snprintf(sub, sizeof(sub), "%s%s.", path, f->key);
		if (f->object)
			reference_unbuilt(f->object, sub, out);
	}
}

void schema_reference(FILE *out)
{
	reference_table(&schema_top, "The whole", out);
	fprintf(out, "\n## Known, but not built yet\n\nThese are refused, with the reason.\n\n");
	reference_unbuilt(&schema_top, "", out);
	fprintf(out, "- a network or uplink of IPv6 alone; NAT66 with ports, and forwards of IPv6\n");
}
