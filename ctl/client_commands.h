/* The commands of vswitchctl as data: one table, from which parsing, usage errors, help,
 * docs/commands.md and shell completion come.
 *
 * A command's arguments are written the way help shows them, and that text is what the
 * parser goes by: NAME is a required word and becomes the parameter "name", [NET] an
 * optional one, and KEY VALUE... takes the rest as keys of the configuration and becomes
 * "spec", a YAML mapping. */
#ifndef CTL_CLIENT_COMMANDS_H
#define CTL_CLIENT_COMMANDS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctl/client.h"
#include "ctl/render.h"

enum option_id {
	OPT_JSON, OPT_WATCH, OPT_CONTROL, OPT_HELP, OPT_VERSION, OPT_HELP_MARKDOWN, OPT_HELP_CONFIG,
	OPT_NAMES,
	OPT_MAY_EXIST, OPT_IF_EXISTS, OPT_KILL, OPT_DROPS, OPT_PORT, OPT_FOR, OPT_NAME, OPT_TYPE, OPT_MAC,
	OPT_FILTER, OPT_WRITE, OPT_COUNT_, OPT_SECONDS, OPT_SNAPLEN, OPT_DIRECTION,
	OPTIONS
};
#define OPT_BIT(o) (UINT32_C(1) << (o))
/* Understood by every command. */
#define OPT_GLOBAL                                                                                 \
	(OPT_BIT(OPT_JSON) | OPT_BIT(OPT_WATCH) | OPT_BIT(OPT_CONTROL) | OPT_BIT(OPT_HELP) |       \
	 OPT_BIT(OPT_VERSION) | OPT_BIT(OPT_HELP_MARKDOWN) | \
	 OPT_BIT(OPT_HELP_CONFIG) | OPT_BIT(OPT_NAMES))

enum option_value { VALUE_NONE, VALUE_REQUIRED, VALUE_NUMBER, VALUE_OPTIONAL_NUMBER };

struct option_def {
	const char *name; /* without dashes */
	char letter;      /* 0: none */
	enum option_value value;
	const char *placeholder; /* of the value, in help; choices are separated by '|' */
	const char *param;       /* sent to the daemon under this name by commands without run(); NULL: not */
	const char *help;        /* NULL: hidden */
};
extern const struct option_def option_defs[OPTIONS];

struct command;

/* A command line, understood. */
struct request {
	const struct command *command;
	bool given[OPTIONS];
	const char *value[OPTIONS]; /* NULL when it has none */
	const char *word[4];        /* arguments in order */
	size_t n_words;
	json_t *params; /* of the method, from words and options; owned */
};

struct command {
	const char *noun;
	const char *verb;   /* NULL: the noun stands alone */
	const char *args;   /* "" for none */
	const char *method; /* NULL: none is called unless run() does */
	uint32_t options;   /* OPT_BIT()s beside OPT_GLOBAL */
	/* Prints the result; NULL: there is nothing to print. */
	void (*render)(struct render *r, json_t *result, const struct request *q);
	/* In place of calling method and rendering; c is NULL for `local` commands. */
	int (*run)(const struct request *q, struct client *c, struct client_error *e);
	bool local; /* needs no daemon */
	const char *help;
};
extern const struct command commands[];
extern const size_t n_commands;

/* Reads the arguments (without the program's name).  0, or CLIENT_USAGE with e set.  With
 * --help and the like only ret_q->given and, if there is one, ret_q->command are set. */
int request_parse(int argc, char **argv, struct request *ret_q, struct client_error *e);
void request_fini(struct request *q);

/* ---- run() of commands, in client_*.c and attach.c ---- */

int client_run_attach(const struct request *q, struct client *c, struct client_error *e);
int client_run_capture(const struct request *q, struct client *c, struct client_error *e);
int client_run_events(const struct request *q, struct client *c, struct client_error *e);
int client_run_config_check(const struct request *q, struct client *c, struct client_error *e);
int client_run_completion(const struct request *q, struct client *c, struct client_error *e);

/* ---- client_help.c ---- */

void help_all(struct render *r);
void help_noun(struct render *r, const char *noun);
void help_markdown(struct render *r);
/* One line: "vswitchctl port add NAME KEY VALUE... [--may-exist]". */
void help_usage(const struct command *c, char *buf, size_t len);

#endif
