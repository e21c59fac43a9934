/* Values, tables and lists of fields of render.h; which columns a verb has is
 * render_verbs.c's. */
#include "ctl/render.h"

#include <stdlib.h>
#include <string.h>

#define CELL_MAX 256
#define COLUMNS_MAX 16
#define BOLD "\033[1m"
#define RED "\033[31m"
#define GREEN "\033[32m"
#define PLAIN "\033[0m"

void render_clean(char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f || (*s & 0x80))
			*s = '?';
}

void render_bold(struct render *r, const char *s)
{
	fprintf(r->out, "%s%s%s", r->color ? BOLD : "", s, r->color ? PLAIN : "");
}

/* ---- values ---- */

static void format_bytes(json_int_t n, char *buf, size_t len)
{
	static const char units[] = "KMGTPE";
	double v = (double)n;
	int unit = -1;
	while (v >= 1000 && unit + 1 < (int)sizeof(units) - 1) {
		v /= 1000;
		unit++;
	}
	if (unit < 0)
		snprintf(buf, len, "%lld", (long long)n);
	else
		snprintf(buf, len, v < 9.95 ? "%.1f%c" : "%.0f%c", v, units[unit]);
}

static void format_duration(json_int_t s, char *buf, size_t len)
{
	if (s < 60)
		snprintf(buf, len, "%llds", (long long)s);
	else if (s < 3600)
		snprintf(buf, len, "%lldm%02llds", (long long)s / 60, (long long)s % 60);
	else if (s < 86400)
		snprintf(buf, len, "%lldh%02lldm", (long long)s / 3600, (long long)s % 3600 / 60);
	else
		snprintf(buf, len, "%lldd%02lldh", (long long)s / 86400, (long long)s % 86400 / 3600);
}

static void format_plain(json_t *v, char *buf, size_t len)
{
	if (json_is_string(v))
		snprintf(buf, len, "%s", json_string_value(v));
	else if (json_is_integer(v))
		snprintf(buf, len, "%lld", (long long)json_integer_value(v));
	else if (json_is_boolean(v))
		snprintf(buf, len, "%s", json_is_true(v) ? "true" : "false");
	else
		snprintf(buf, len, "-");
}

static json_int_t sum_of(json_t *o)
{
	const char *key;
	json_t *v;
	json_int_t sum = 0;
	json_object_foreach(o, key, v)
		sum += json_integer_value(v);
	return sum;
}

static void format_list(json_t *list, char *buf, size_t len)
{
	char item[CELL_MAX];
	size_t i, used = 0;
	json_t *v;
	snprintf(buf, len, json_array_size(list) ? "" : "-");
	json_array_foreach(list, i, v)
	{
		format_plain(v, item, sizeof(item));
		if (used < len)
			used += (size_t)snprintf(buf + used, len - used, "%s%s", i ? ", " : "", item);
	}
}

void render_value(json_t *v, enum render_kind kind, char *buf, size_t len)
{
	if (kind == RENDER_DURATION && json_is_integer(v))
		format_duration(json_integer_value(v), buf, len);
	else if (kind == RENDER_DURATION)
		snprintf(buf, len, "never");
	else if (kind == RENDER_BYTES && json_is_integer(v))
		format_bytes(json_integer_value(v), buf, len);
	else if (kind == RENDER_SUM && json_is_object(v))
		snprintf(buf, len, "%lld", (long long)sum_of(v));
	else if (kind == RENDER_COUNT && json_is_array(v))
		snprintf(buf, len, "%zu", json_array_size(v));
	else if (kind == RENDER_LIST && json_is_array(v))
		format_list(v, buf, len);
	else if (kind == RENDER_YESNO && json_is_boolean(v))
		snprintf(buf, len, "%s", json_is_true(v) ? "yes" : "no");
	else
		format_plain(v, buf, len);
	render_clean(buf);
}

/* ---- tables ---- */

static bool is_right(enum render_kind k)
{
	return k == RENDER_NUMBER || k == RENDER_BYTES || k == RENDER_SUM || k == RENDER_COUNT ||
	       k == RENDER_DURATION;
}

static const char *color_of(const struct render *r, enum render_kind k, const char *text)
{
	if (!r->color || k != RENDER_STATE)
		return "";
	return strcmp(text, "up") == 0 ? GREEN : RED;
}

static void print_cell(struct render *r, const char *text, enum render_kind k, size_t width, bool last)
{
	size_t len = strlen(text), pad = width > len ? width - len : 0;
	const char *color = color_of(r, k, text);
	if (is_right(k))
		fprintf(r->out, "%*s", (int)pad, "");
	fprintf(r->out, "%s%s%s", color, text, *color ? PLAIN : "");
	if (!is_right(k) && !last)
		fprintf(r->out, "%*s", (int)pad, "");
	fputs(last ? "\n" : "  ", r->out);
}

static void measure(json_t *rows, const struct column *c, size_t *width)
{
	char cell[CELL_MAX];
	size_t i;
	json_t *row;
	*width = strlen(c->title);
	json_array_foreach(rows, i, row)
	{
		render_value(json_object_get(row, c->key), c->kind, cell, sizeof(cell));
		if (strlen(cell) > *width)
			*width = strlen(cell);
	}
}

void render_table(struct render *r, json_t *rows, const struct column *columns, size_t n,
		  const char *empty)
{
	size_t width[COLUMNS_MAX], i;
	char cell[CELL_MAX];
	json_t *row;
	if (!json_array_size(rows)) {
		fprintf(r->out, "%s\n", empty);
		return;
	}
	for (size_t c = 0; c < n; c++)
		measure(rows, &columns[c], &width[c]);
	fputs(r->color ? BOLD : "", r->out);
	for (size_t c = 0; c < n; c++)
		print_cell(r, columns[c].title,
			   columns[c].kind == RENDER_STATE ? RENDER_TEXT : columns[c].kind, width[c],
			   c + 1 == n);
	fputs(r->color ? PLAIN : "", r->out);
	json_array_foreach(rows, i, row)
	{
		for (size_t c = 0; c < n; c++) {
			render_value(json_object_get(row, columns[c].key), columns[c].kind, cell,
				     sizeof(cell));
			print_cell(r, cell, columns[c].kind, width[c], c + 1 == n);
		}
	}
}

void render_fields(struct render *r, json_t *object, const struct column *fields, size_t n)
{
	char value[1024];
	size_t width = 0;
	for (size_t i = 0; i < n; i++)
		if (strlen(fields[i].title) > width)
			width = strlen(fields[i].title);
	for (size_t i = 0; i < n; i++) {
		json_t *v = json_object_get(object, fields[i].key);
		if (!v || json_is_null(v))
			continue;
		render_value(v, fields[i].kind, value, sizeof(value));
		const char *color = color_of(r, fields[i].kind, value);
		fprintf(r->out, "%-*s  %s%s%s\n", (int)width, fields[i].title, color, value,
			*color ? PLAIN : "");
	}
}
