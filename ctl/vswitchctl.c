/* The control tool: reads a command line, asks the daemon, prints the answer.
 *
 * What can be typed is the table in client_commands.c; how answers look is render*.c. */
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ctl/client_commands.h"
#include "ctl/config.h"

#define WATCH_SECONDS 2
#define CLEAR "\033[H\033[2J\033[3J"

static bool starts_with(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* One line, or as many as the daemon's findings have; those that carry a position or
 * their own "error:" stand as they are. */
static void print_error(const struct client_error *e)
{
	char text[sizeof(e->text)];
	snprintf(text, sizeof(text), "%s", e->text);
	bool positions = strstr(text, ": error: ") != NULL;
	char *rest = text;
	for (char *line; (line = strsep(&rest, "\n"));) {
		if (!positions)
			render_clean(line);
		if (*line || positions)
			fprintf(stderr, "%s%s\n", positions || starts_with(line, "error: ") ? "" : "error: ",
				line);
	}
}

static bool wants_color(void)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
	return isatty(STDOUT_FILENO) && !(no && *no) && !(term && strcmp(term, "dumb") == 0);
}

static void print_json(json_t *result)
{
	json_dumpf(result, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
	putchar('\n');
}

/* For completion: the names in a list, one a line. */
static void print_names(json_t *list)
{
	size_t i;
	json_t *o;
	json_array_foreach(list, i, o)
	{
		const char *name = json_string_value(json_object_get(o, "name"));
		if (name)
			puts(name);
	}
}

static int ask_and_print(const struct request *q, struct client *c, struct client_error *e)
{
	const struct command *cmd = q->command;
	struct render r = {.out = stdout, .color = wants_color()};
	json_t *result = client_call(c, cmd->method, json_incref(q->params), e);
	if (!result)
		return (int)e->exit;
	if (q->given[OPT_WATCH] && isatty(STDOUT_FILENO))
		fputs(CLEAR, stdout);
	if (q->given[OPT_NAMES])
		print_names(result);
	else if (q->given[OPT_JSON])
		print_json(result);
	else if (cmd->render && !json_is_null(result))
		cmd->render(&r, result, q);
	json_decref(result);
	fflush(stdout);
	return CLIENT_OK;
}

static int watch(const struct request *q, struct client *c, struct client_error *e)
{
	const char *seconds = q->value[OPT_WATCH];
	struct timespec pause = {.tv_sec = seconds ? atol(seconds) : WATCH_SECONDS};
	if (pause.tv_sec == 0)
		pause.tv_sec = 1;
	while (ask_and_print(q, c, e) == 0 && !ferror(stdout))
		nanosleep(&pause, NULL);
	return (int)e->exit;
}

static int run(const struct request *q, struct client_error *e)
{
	const struct command *cmd = q->command;
	if (cmd->local)
		return cmd->run(q, NULL, e);
	struct client *c = client_open(q->value[OPT_CONTROL], e);
	if (!c)
		return (int)e->exit;
	int r = cmd->run ? cmd->run(q, c, e) : q->given[OPT_WATCH] ? watch(q, c, e) : ask_and_print(q, c, e);
	client_free(c);
	return r;
}

/* --help, --version and the reference pages of docs/, which ask for no daemon. */
static bool inform(const struct request *q)
{
	struct render r = {.out = stdout, .color = wants_color()};
	if (q->given[OPT_HELP] && q->command)
		help_noun(&r, q->command->noun);
	else if (q->given[OPT_HELP])
		help_all(&r);
	else if (q->given[OPT_HELP_MARKDOWN])
		help_markdown(&r);
	else if (q->given[OPT_HELP_CONFIG])
		config_print_reference(stdout);
	else if (q->given[OPT_VERSION])
		printf("vswitchctl %s\n", VSWITCH_VERSION);
	else
		return false;
	return true;
}

int main(int argc, char **argv)
{
	struct client_error e = {0};
	struct request q;
	setlocale(LC_TIME, "");
	if (request_parse(argc - 1, argv + 1, &q, &e) == 0 && !inform(&q))
		run(&q, &e);
	if (e.exit && e.text[0])
		print_error(&e);
	request_fini(&q);
	if (fflush(stdout) && !e.exit)
		e.exit = CLIENT_ERROR;
	return (int)e.exit;
}
