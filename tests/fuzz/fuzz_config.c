/* Any text as a config.  What is accepted must print, and the print must read back to the
 * same config and the same text; what is refused must say why. */
#include <stdlib.h>
#include <string.h>

#include "ctl/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* libfyaml 0.7.12 loses its copy of a quoted text with many escapes (''); not ours. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libfyaml.so\n";
}

static const struct config_defaults defaults = {"/run/vswitchd/control.sock", "/var/lib/vswitchd"};

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void check_round_trip(const struct config *c)
{
	char *text = config_text(c);
	must(text != NULL);
	struct config *again = config_parse(text, "again", &defaults, stderr);
	must(again != NULL && config_equal(c, again));
	char *text2 = config_text(again);
	must(text2 && !strcmp(text, text2));
	free(text2);
	config_free(again);
	free(text);
}

/* Each port taken out and put back as an edit: the validator must survive any state. */
static void check_edits(const struct config *c, FILE *err)
{
	char path[80];
	for (size_t i = 0; i < c->n_networks && i < 4; i++) {
		snprintf(path, sizeof(path), "networks/%s", c->networks[i].name);
		config_free(config_with(c, path, NULL, false, err));
	}
	for (size_t i = 0; i < c->n_ports && i < 4; i++) {
		snprintf(path, sizeof(path), "ports/%s", c->ports[i].name);
		struct config *less = config_with(c, path, NULL, false, err);
		must(less && less->n_ports == c->n_ports - 1);
		config_free(less);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *text = strndup((const char *)data, len), *said = NULL;
	size_t size;
	FILE *err = open_memstream(&said, &size);
	struct config *c = config_parse(text, "fuzz", &defaults, err);
	fflush(err);
	must(c != NULL || size > 0);
	if (c) {
		check_round_trip(c);
		check_edits(c, err);
	}
	config_free(c);
	fclose(err);
	free(said);
	free(text);
	return 0;
}
