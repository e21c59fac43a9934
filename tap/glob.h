/* Which pattern an interface name belongs to: matching, and how specific a pattern is.
 *
 * Patterns are shell globs: * any string, ? any character, [] a set.  Of several
 * that match, the one with the most literal characters wins.  Pure; any thread. */
#ifndef TAP_GLOB_H
#define TAP_GLOB_H

#include <fnmatch.h>
#include <stdbool.h>
#include <string.h>

static inline bool glob_is(const char *s)
{
	return strpbrk(s, "*?[") != NULL;
}

static inline bool glob_match(const char *pattern, const char *name)
{
	return fnmatch(pattern, name, FNM_NOESCAPE) == 0;
}

/* Characters outside *, ? and [sets]. */
static inline size_t glob_literals(const char *pattern)
{
	size_t n = 0;

	for (const char *c = pattern; *c; c++) {
		const char *close = *c == '[' && c[1] ? strchr(c + 2, ']') : NULL;
		if (close)
			c = close;
		else if (*c != '*' && *c != '?')
			n++;
	}
	return n;
}

#endif
