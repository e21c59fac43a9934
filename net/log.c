/* The log of log.h.  A line is built on the stack and leaves by one write(2), so that
 * lines of two threads never mix and nothing is allocated. */
#include "net/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_   1024u
#define HELD_REPORT (60 * NSEC_PER_SEC)

static _Atomic int max_level = LOG_INFO_;
static const char *_Atomic program = "";

void log_set_level(enum log_level most)
{
	atomic_store_explicit(&max_level, (int)most, memory_order_relaxed);
}

void log_set_name(const char *name)
{
	atomic_store_explicit(&program, name ? name : "", memory_order_release);
}

/* journald reads "<6>"; it sets JOURNAL_STREAM for what it listens to (sd-daemon(3)). */
static bool under_journal(void)
{
	static _Atomic int known; /* 0 not looked yet, 1 no, 2 yes */
	int k = atomic_load_explicit(&known, memory_order_relaxed);
	if (!k) {
		k = getenv("JOURNAL_STREAM") ? 2 : 1;
		atomic_store_explicit(&known, k, memory_order_relaxed);
	}
	return k == 2;
}

/* A guest's host name must not forge a line or move a terminal's cursor. */
static void defuse(char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)s[i] < ' ' || s[i] == 0x7f)
			s[i] = '?';
}

static void write_line(const char *s, size_t n)
{
	ssize_t r;
	do {
		r = write(STDERR_FILENO, s, n);
	} while (r < 0 && errno == EINTR);
}

void log_at(enum log_level l, const char *area, const char *fmt, ...)
{
	if ((int)l > atomic_load_explicit(&max_level, memory_order_relaxed))
		return;
	int saved = errno;
	char line[LINE_MAX_], prefix[8] = "";
	if (under_journal())
		snprintf(prefix, sizeof(prefix), "<%d>", (int)l % 8);
	const size_t room = sizeof(line) - 1; /* the newline's */
	size_t n = (size_t)snprintf(line, room, "%s%s%s: ", prefix,
				    atomic_load_explicit(&program, memory_order_acquire), area);
	n = n < room ? n : room - 1;
	va_list ap;
	va_start(ap, fmt);
	errno = saved; /* for %m */
	int m = vsnprintf(line + n, room - n, fmt, ap);
	va_end(ap);
	if (m > 0)
		n += (size_t)m;
	if (n >= room) {
		n = room - 1;
		memcpy(line + n - 3, "...", 3);
	}
	defuse(line, n);
	line[n++] = '\n';
	write_line(line, n);
	errno = saved;
}

bool log_limited(struct log_limit *l, nsec_t now, unsigned burst, unsigned *ret_held)
{
	bool fresh = !l->window_start || now >= l->window_start + HELD_REPORT;
	if (l->passed >= burst && !fresh) {
		l->held++;
		return false;
	}
	if (fresh) {
		/* After a minute in which nothing was held back, the burst is earned again. */
		if (!l->held)
			l->passed = 0;
		l->window_start = now ? now : 1;
	}
	l->passed++;
	*ret_held = l->held;
	l->held = 0;
	return true;
}
