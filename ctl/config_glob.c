/* Whether two name patterns can match the same name (config_glob.h); ctl/config_check.c
 * asks. */
#include "ctl/config_glob.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

/* One step from *s, which moves behind it. */
static int take_step(const char **s, struct glob_step *step, unsigned *literals)
{
	const char *p = *s;
	*step = (struct glob_step){.star = *p == '*'};
	*s = p + 1;
	if (*p == '*' || *p == '?') {
		for (int c = 1; c < 256; c++)
			step->set[c] = true;
		return 0;
	}
	if (*p != '[') {
		step->set[(unsigned char)*p] = true;
		(*literals)++;
		return 0;
	}
	const char *first = p[1] == '!' || p[1] == '^' ? p + 2 : p + 1;
	const char *close = *first ? strchr(first + 1, ']') : NULL;
	char one[64];
	if (!close || (size_t)(close - p) + 2 > sizeof(one))
		return -EINVAL;
	/* the set is what fnmatch() says it is, as at run time */
	snprintf(one, sizeof(one), "%.*s", (int)(close - p + 1), p);
	for (int c = 1; c < 256; c++)
		step->set[c] = !fnmatch(one, (char[2]){(char)c, 0}, 0);
	*s = close + 1;
	return 0;
}

int glob_parse(const char *pattern, struct glob *ret_glob)
{
	struct glob g = {.n = 0};
	while (*pattern) {
		if (g.n == GLOB_STEPS_MAX)
			return -E2BIG;
		if (take_step(&pattern, &g.step[g.n++], &g.literals) < 0)
			return -EINVAL;
	}
	*ret_glob = g;
	return 0;
}

static bool sets_meet(const struct glob_step *a, const struct glob_step *b)
{
	for (int c = 1; c < 256; c++)
		if (a->set[c] && b->set[c])
			return true;
	return false;
}

/* reach[i][j]: some text is matched by the first i steps of a and the first j of b. */
bool glob_meet(const struct glob *a, const struct glob *b)
{
	bool reach[GLOB_STEPS_MAX + 1][GLOB_STEPS_MAX + 1] = {{true}};
	for (unsigned i = 0; i <= a->n; i++) {
		for (unsigned j = 0; j <= b->n; j++) {
			bool sa = i < a->n && a->step[i].star, sb = j < b->n && b->step[j].star;
			if (!reach[i][j])
				continue;
			if (sa) /* a star may match nothing */
				reach[i + 1][j] = true;
			if (sb)
				reach[i][j + 1] = true;
			if (i < a->n && j < b->n && sets_meet(&a->step[i], &b->step[j]))
				reach[i + !sa][j + !sb] = true;
		}
	}
	return reach[a->n][b->n];
}
