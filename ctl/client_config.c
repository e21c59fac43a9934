/* `config check`: the one command that needs no daemon. */
#include <stdio.h>
#include <string.h>

#include "ctl/client_commands.h"
#include "ctl/config.h"

#define DEFAULT_FILE "/etc/vswitchd/vswitchd.yaml"

int client_run_config_check(const struct request *q, struct client *c, struct client_error *e)
{
	const char *path = q->n_words ? q->word[0] : DEFAULT_FILE;
	struct config_defaults defaults = config_defaults();
	struct config *cfg = config_load(path, &defaults, stderr);
	if (!cfg) {
		e->exit = CLIENT_INVALID;
		e->text[0] = 0; /* the findings were printed, with their carets */
		return CLIENT_INVALID;
	}
	json_t *answer = json_pack("{s:s, s:b}", "path", path, "valid", 1);
	if (q->given[OPT_JSON] && answer)
		json_dumpf(answer, stdout, JSON_INDENT(2)), putchar('\n');
	else
		printf("%s: ok: %zu networks, %zu ports, %zu uplinks\n", path, cfg->n_networks,
		       cfg->n_ports, cfg->n_uplinks);
	json_decref(answer);
	config_free(cfg);
	return CLIENT_OK;
}
