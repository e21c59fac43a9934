/* The log: one line a message to stderr, in the form journald understands.
 *
 * "<6>area: text" under systemd (JOURNAL_STREAM set), "area: text" otherwise.  What a
 * packet or a guest can trigger goes through log_limited(), which lets `burst`
 * messages through and then one a minute with the number held back.
 * Any thread; a line is written by one write(2). */
#ifndef NET_LOG_H
#define NET_LOG_H

#include "net/types.h"

enum log_level { LOG_ERROR_ = 3, LOG_WARN_ = 4, LOG_NOTICE_ = 5, LOG_INFO_ = 6, LOG_DEBUG_ = 7 };

void log_set_level(enum log_level most);
/* Prefixes every line, for a program that shares a terminal: "vswitchd: ". */
void log_set_name(const char *name);
void log_at(enum log_level l, const char *area, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#define log_error(area, ...) log_at(LOG_ERROR_, area, __VA_ARGS__)
#define log_warn(area, ...) log_at(LOG_WARN_, area, __VA_ARGS__)
#define log_notice(area, ...) log_at(LOG_NOTICE_, area, __VA_ARGS__)
#define log_info(area, ...) log_at(LOG_INFO_, area, __VA_ARGS__)
#define log_debug(area, ...) log_at(LOG_DEBUG_, area, __VA_ARGS__)

/* One per place that logs on a guest's behalf; zero-initialise. */
struct log_limit {
	nsec_t window_start;
	unsigned passed, held;
};
/* Whether to log now; *ret_held gets how many were held back since the last. */
bool log_limited(struct log_limit *l, nsec_t now, unsigned burst, unsigned *ret_held);

#endif
