/* From a command line to a request: options anywhere, then noun, verb and arguments, all by
 * the tables of client_commands.c. */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/client_commands.h"
#include "ctl/config.h"

static const char *const aliases[][2] = {
	{"ls", "list"}, {"rm", "del"}, {"delete", "del"}, {"remove", "del"}, {"get", "show"},
};
/* Keys of the configuration whose value is a list; on a command line commas separate. */
static const char *const list_keys[] = {"trunk", "upstream"};

static int __attribute__((format(printf, 2, 3))) usage(struct client_error *e, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	e->exit = CLIENT_USAGE;
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	return CLIENT_USAGE;
}

static int unknown(struct client_error *e, const char *what, const char *typed,
		   const char *const *names, size_t n)
{
	const char *meant = closest_name(typed, names, n);
	if (meant)
		return usage(e, "unknown %s '%s' (did you mean '%s'?)", what, typed, meant);
	return usage(e, "unknown %s '%s' (try --help)", what, typed);
}

/* ---- options ---- */

static int find_option(const char *arg, size_t len)
{
	for (int o = 0; o < OPTIONS; o++) {
		const struct option_def *d = &option_defs[o];
		if (arg[1] == '-' ? strlen(d->name) == len - 2 && strncmp(arg + 2, d->name, len - 2) == 0
				  : d->letter && len == 2 && arg[1] == d->letter)
			return o;
	}
	return -1;
}

static int unknown_option(const char *arg, struct client_error *e)
{
	const char *names[OPTIONS];
	size_t n = 0;
	for (int o = 0; o < OPTIONS; o++)
		if (option_defs[o].help)
			names[n++] = option_defs[o].name;
	const char *meant = arg[1] == '-' ? closest_name(arg + 2, names, n) : NULL;
	if (meant)
		return usage(e, "unknown option '%s' (did you mean '--%s'?)", arg, meant);
	return usage(e, "unknown option '%s' (try --help)", arg);
}

static bool is_number(const char *s)
{
	return s && *s && strspn(s, "0123456789") == strlen(s) && strlen(s) < 10;
}

/* Takes one option at argv[*i] with its value, which may be the next word. */
static int take_option(int argc, char **argv, int *i, struct request *q, struct client_error *e)
{
	const char *arg = argv[*i], *eq = arg[1] == '-' ? strchr(arg, '=') : NULL;
	int o = find_option(arg, eq ? (size_t)(eq - arg) : strlen(arg));
	const char *value = eq ? eq + 1 : NULL, *next = *i + 1 < argc ? argv[*i + 1] : NULL;
	if (o < 0)
		return unknown_option(arg, e);
	const struct option_def *d = &option_defs[o];
	if (d->value == VALUE_NONE && value)
		return usage(e, "--%s takes no value", d->name);
	bool takes_next = d->value == VALUE_REQUIRED || d->value == VALUE_NUMBER ||
			  (d->value == VALUE_OPTIONAL_NUMBER && is_number(next));
	if (takes_next && !value) {
		if (!next)
			return usage(e, "--%s needs a value: %s", d->name, d->placeholder);
		value = next;
		++*i;
	}
	bool number = d->value == VALUE_NUMBER || (d->value == VALUE_OPTIONAL_NUMBER && value);
	if (number && !is_number(value))
		return usage(e, "--%s: '%s' is not a number", d->name, value);
	q->given[o] = true;
	q->value[o] = value;
	return 0;
}

/* Splits argv into options, taken at once, and the other words.  After -- all are words. */
static int split(int argc, char **argv, struct request *q, const char **words, size_t *ret_n,
		 struct client_error *e)
{
	bool only_words = false;
	size_t n = 0;
	for (int i = 0; i < argc; i++) {
		if (!only_words && strcmp(argv[i], "--") == 0) {
			only_words = true;
		} else if (!only_words && argv[i][0] == '-' && argv[i][1]) {
			int r = take_option(argc, argv, &i, q, e);
			if (r)
				return r;
		} else {
			words[n++] = argv[i];
		}
	}
	*ret_n = n;
	return 0;
}

/* ---- noun and verb ---- */

static const char *unalias(const char *verb)
{
	for (size_t i = 0; i < ARRAY_SIZE(aliases); i++)
		if (strcmp(aliases[i][0], verb) == 0)
			return aliases[i][1];
	return verb;
}

static const struct command *first_of(const char *noun)
{
	for (size_t i = 0; i < n_commands; i++)
		if (strcmp(commands[i].noun, noun) == 0)
			return &commands[i];
	return NULL;
}

static const struct command *find_verb(const char *noun, const char *verb)
{
	for (size_t i = 0; i < n_commands; i++)
		if (strcmp(commands[i].noun, noun) == 0 && strcmp(commands[i].verb, verb) == 0)
			return &commands[i];
	return NULL;
}

static int unknown_noun(const char *noun, struct client_error *e)
{
	const char *names[n_commands];
	for (size_t i = 0; i < n_commands; i++)
		names[i] = commands[i].noun;
	return unknown(e, "command", noun, names, n_commands);
}

static int unknown_verb(const char *noun, const char *verb, struct client_error *e)
{
	const char *names[n_commands];
	char what[64];
	size_t n = 0;
	for (size_t i = 0; i < n_commands; i++)
		if (strcmp(commands[i].noun, noun) == 0)
			names[n++] = commands[i].verb;
	snprintf(what, sizeof(what), "verb of '%s':", noun);
	return unknown(e, what, verb, names, n);
}

/* Sets q->command and tells how many words named it. */
static int find_command(const char **words, size_t n, struct request *q, size_t *ret_used,
			struct client_error *e)
{
	const struct command *c = first_of(n ? words[0] : "show");
	size_t used = n ? 1 : 0;
	if (!c)
		return unknown_noun(words[0], e);
	if (c->verb && n > 1) {
		c = find_verb(words[0], unalias(words[1]));
		if (!c)
			return unknown_verb(words[0], words[1], e);
		used = 2;
	}
	q->command = c;
	*ret_used = used;
	return 0;
}

static int check_options(const struct request *q, struct client_error *e)
{
	for (int o = 0; o < OPTIONS; o++)
		if (q->given[o] && !((q->command->options | OPT_GLOBAL) & OPT_BIT(o)))
			return usage(e, "--%s does not go with '%s%s%s'", option_defs[o].name,
				     q->command->noun, q->command->verb ? " " : "",
				     q->command->verb ? q->command->verb : "");
	return 0;
}

/* ---- keys and values as YAML ---- */

static bool is_plain(const char *s)
{
	bool safe = *s && !strchr(":-?", *s) && s[strlen(s) - 1] != ':';
	for (; *s && safe; s++)
		safe = isalnum((unsigned char)*s) || strchr("_./:+-%", *s);
	return safe;
}

static void put_scalar(FILE *f, const char *s, size_t len)
{
	char copy[len + 1];
	memcpy(copy, s, len);
	copy[len] = 0;
	if (is_plain(copy)) {
		fputs(copy, f);
		return;
	}
	fputc('"', f);
	for (const char *p = copy; *p; p++) {
		if (*p == '"' || *p == '\\')
			fputc('\\', f);
		fputc(*p, f);
	}
	fputc('"', f);
}

static bool takes_list(const char *key)
{
	const char *last = strrchr(key, '.');
	for (size_t i = 0; i < ARRAY_SIZE(list_keys); i++)
		if (strcmp(list_keys[i], last ? last + 1 : key) == 0)
			return true;
	return false;
}

/* A value that begins like a YAML collection is one; "a,b" is a list where a list goes. */
static void put_value(FILE *f, const char *key, const char *value)
{
	if (*value == '{' || *value == '[') {
		fputs(value, f);
		return;
	}
	if (!takes_list(key) || !strchr(value, ',')) {
		put_scalar(f, value, strlen(value));
		return;
	}
	for (const char *p = value, *sep = "["; p; sep = ", ") {
		size_t len = strcspn(p, ",");
		fputs(sep, f);
		put_scalar(f, p, len);
		p = p[len] ? p + len + 1 : NULL;
	}
	fputc(']', f);
}

/* dhcp.lease 1h is {dhcp: {lease: 1h}} */
static void put_pair(FILE *f, const char *key, size_t key_len, const char *value)
{
	char path[256];
	unsigned depth = 0;
	snprintf(path, sizeof(path), "%.*s", (int)key_len, key);
	for (const char *p = path; p; depth++) {
		size_t len = strcspn(p, ".");
		put_scalar(f, p, len);
		fputs(": ", f);
		p = p[len] ? p + len + 1 : NULL;
		if (p)
			fputc('{', f);
	}
	put_value(f, path, value);
	while (--depth)
		fputc('}', f);
}

/* KEY VALUE or KEY=VALUE, any number of them; a single word that is a mapping is taken as
 * it stands. */
static int build_spec(const char **words, size_t n, FILE *f, struct client_error *e)
{
	if (n == 1 && words[0][0] == '{') {
		fputs(words[0], f);
		return 0;
	}
	const char *sep = "{";
	for (size_t i = 0; i < n; i++, sep = ", ") {
		const char *eq = strchr(words[i], '='), *value = eq ? eq + 1 : words[i + 1];
		size_t key_len = eq ? (size_t)(eq - words[i]) : strlen(words[i]);
		if (!key_len || (!eq && i + 1 == n))
			return usage(e, "'%s' needs a value", words[i]);
		fputs(sep, f);
		put_pair(f, words[i], key_len, value);
		i += !eq;
	}
	fputc('}', f);
	return 0;
}

static int add_spec(const char **words, size_t n, json_t *params, struct client_error *e)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	if (!f)
		return usage(e, "out of memory");
	int r = build_spec(words, n, f, e);
	fclose(f);
	if (!r && json_object_set_new(params, "spec", json_string(text)))
		r = usage(e, "arguments must be UTF-8");
	free(text);
	return r;
}

/* ---- arguments ---- */

static void param_name(const char *arg, size_t len, char *out)
{
	size_t n = 0;
	for (size_t i = 0; i < len && n < 31; i++)
		if (isalpha((unsigned char)arg[i]))
			out[n++] = (char)tolower((unsigned char)arg[i]);
	out[n] = 0;
}

static int set_word(struct request *q, const char *param, const char *word, struct client_error *e)
{
	json_t *v;
	if (strcmp(param, "seconds") == 0) {
		if (!is_number(word))
			return usage(e, "'%s' is not a whole number of seconds", word);
		v = json_integer(atol(word));
	} else {
		v = json_string(word);
	}
	if (json_object_set_new(q->params, param, v))
		return usage(e, "arguments must be UTF-8");
	if (q->n_words < ARRAY_SIZE(q->word))
		q->word[q->n_words++] = word;
	return 0;
}

static int usage_of(const struct request *q, const char *what, struct client_error *e)
{
	char line[256];
	help_usage(q->command, line, sizeof(line));
	return usage(e, "%s; usage: %s", what, line);
}

/* Walks the command's args text beside the words. */
static int take_words(struct request *q, const char **words, size_t n, struct client_error *e)
{
	size_t used = 0;
	for (const char *a = q->command->args; *a;) {
		size_t len = strcspn(a, " ");
		char param[32], what[96];
		if (strncmp(a, "KEY", 3) == 0) {
			if (used == n)
				return usage_of(q, "KEY VALUE is missing", e);
			return add_spec(words + used, n - used, q->params, e);
		}
		snprintf(what, sizeof(what), "%.*s is missing", (int)len, a);
		if (used == n && *a != '[')
			return usage_of(q, what, e);
		param_name(a, len, param);
		int r = used < n ? set_word(q, param, words[used++], e) : 0;
		if (r)
			return r;
		a += len + (a[len] == ' ');
	}
	char what[96];
	snprintf(what, sizeof(what), "'%.60s' is too much", used < n ? words[used] : "");
	return used < n ? usage_of(q, what, e) : 0;
}

static int take_params(struct request *q, struct client_error *e)
{
	for (int o = 0; o < OPTIONS; o++) {
		const struct option_def *d = &option_defs[o];
		if (!q->given[o] || !d->param)
			continue;
		json_t *v = d->value == VALUE_NONE ? json_true() : json_string(q->value[o]);
		if (json_object_set_new(q->params, d->param, v))
			return usage(e, "arguments must be UTF-8");
	}
	return 0;
}

int request_parse(int argc, char **argv, struct request *ret_q, struct client_error *e)
{
	const char *words[argc + 2];
	size_t n = 0, used = 0;
	struct request *q = ret_q;
	*q = (struct request){0};
	int r = split(argc, argv, q, words, &n, e);
	if (r)
		return r;
	words[n] = NULL;
	bool info = q->given[OPT_HELP] || q->given[OPT_VERSION] || q->given[OPT_HELP_MARKDOWN] ||
		    q->given[OPT_HELP_CONFIG];
	if (info && !n)
		return 0;
	r = find_command(words, n, q, &used, e);
	if (r || info)
		return r;
	q->params = json_object();
	r = check_options(q, e);
	if (!r)
		r = take_words(q, words + used, n - used, e);
	if (!r)
		r = take_params(q, e);
	return r;
}

void request_fini(struct request *q)
{
	json_decref(q->params);
	q->params = NULL;
}
