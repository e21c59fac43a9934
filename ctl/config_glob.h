/* Name patterns of netdev ports, compared with each other: can one name match both?
 *
 * A pattern is what fnmatch() takes, of `*`, `?`, `[..]` and characters of a name.  The port
 * with the longest literal part takes an interface; two that tie must not meet.
 *
 * Any thread; nothing here has state. */
#ifndef CTL_CONFIG_GLOB_H
#define CTL_CONFIG_GLOB_H

#include "net/types.h"

#define GLOB_STEPS_MAX 32

struct glob_step {
	bool star;     /* any number of these, not one */
	bool set[256]; /* characters that match */
};
struct glob {
	unsigned n, literals; /* steps, and how many of them are plain characters */
	struct glob_step step[GLOB_STEPS_MAX];
};

/* -EINVAL when a [ is not closed, -E2BIG above GLOB_STEPS_MAX. */
int glob_parse(const char *pattern, struct glob *ret_glob);
bool glob_meet(const struct glob *a, const struct glob *b);

#endif
