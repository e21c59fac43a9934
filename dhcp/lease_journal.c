/* The journal of lease.c: file, lines and checksums; what a line means is lease.c's. */
#include "dhcp/lease_journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_NAME   "leases"
#define FILE_NEW    "leases.new"
#define FILE_UNREAD "leases.unread"
#define LINE_MAX_   2048u
#define BUF_SIZE    (64u * 1024)
#define CRC_DIGITS  8
#define FIELDS_MAX  9

struct lease_journal {
	char *dir;
	int fd;
	int err;
	uint64_t lines; /* since the last rewrite */
	size_t bytes;
	uint64_t replayed, bad_lines, writes, syncs, rewrites, failures;
	bool unsynced;
	bool unread; /* the file could not be read at start: it is set aside, not replaced */
	size_t used;
	char buf[BUF_SIZE];
};

/* ---- lines ---- */

/* IEEE 802.3's CRC, four bits at a time. */
static uint32_t crc32_of(const char *s, size_t n)
{
	static const uint32_t nibble[16] = {
		0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
		0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
		0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
	};
	uint32_t c = ~0u;
	for (size_t i = 0; i < n; i++) {
		c ^= (uint8_t)s[i];
		c = c >> 4 ^ nibble[c & 15];
		c = c >> 4 ^ nibble[c & 15];
	}
	return ~c;
}

struct text { /* a line being written; over: it did not fit */
	char *b;
	size_t size, n;
	bool over;
};

__attribute__((format(printf, 2, 3))) static void text_add(struct text *t, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int n = t->over ? 0 : vsnprintf(t->b + t->n, t->size - t->n, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= t->size - t->n)
		t->over = true;
	else
		t->n += (size_t)n;
}

static bool is_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("._:/@+,", c));
}

/* A field: "-" when empty, hence a hyphen that stands first is escaped. */
static void text_name(struct text *t, const char *s)
{
	text_add(t, "%s", *s ? " " : " -");
	for (const char *p = s; *p; p++) {
		if (is_plain(*p) || (*p == '-' && p != s))
			text_add(t, "%c", *p);
		else
			text_add(t, "%%%02x", (uint8_t)*p);
	}
}

static void text_key(struct text *t, const struct lease_key *k)
{
	text_add(t, "%s", k->len ? " " : " -");
	for (unsigned i = 0; i < k->len; i++)
		text_add(t, "%02x", k->b[i]);
}

static void text_expires(struct text *t, int64_t when)
{
	if (when == LEASE_FOREVER)
		text_add(t, " never");
	else
		text_add(t, " %lld", (long long)when);
}

static void text_record(struct text *t, const struct lease_record *r)
{
	char ip[IP4_STRLEN], mac[MAC_STRLEN];
	text_add(t, "%c", r->op);
	text_name(t, r->pool);
	text_add(t, " %s", ip4_format(r->address, ip));
	if (r->op == LEASE_OP_BOUND) {
		text_add(t, " %s", mac_format(r->mac, mac));
		text_key(t, &r->key);
	}
	text_expires(t, r->expires);
	if (r->op == LEASE_OP_BOUND) {
		text_name(t, r->hostname);
		text_name(t, r->wanted);
	}
	if (r->op != LEASE_OP_RELEASED)
		text_name(t, r->port);
}

int lease_record_format(const struct lease_record *r, char *buf, size_t size)
{
	char body[LINE_MAX_];
	struct text t = {.b = body, .size = sizeof(body)}, line = {.b = buf, .size = size};
	text_record(&t, r);
	text_add(&line, "%08x %s\n", crc32_of(body, t.n), body);
	return t.over || line.over ? -E2BIG : (int)line.n;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int hex_byte(const char *s)
{
	int hi = hex_digit(s[0]);
	int lo = hi < 0 ? -1 : hex_digit(s[1]);
	return lo < 0 ? -1 : hi << 4 | lo;
}

static bool read_name(const char *s, char *out, size_t size)
{
	size_t n = 0;
	if (!strcmp(s, "-"))
		s = "";
	for (; *s; s++) {
		int c = (uint8_t)*s;
		if (c == '%') {
			c = hex_byte(s + 1);
			s += 2;
		}
		if (c <= 0 || n + 1 >= size)
			return false;
		out[n++] = (char)c;
	}
	out[n] = 0;
	return true;
}

static bool read_key(const char *s, struct lease_key *k)
{
	*k = (struct lease_key){0};
	if (!strcmp(s, "-"))
		return true;
	for (; *s; s += 2) {
		int c = hex_byte(s);
		if (c < 0 || k->len == LEASE_KEY_MAX)
			return false;
		k->b[k->len++] = (uint8_t)c;
	}
	return true;
}

static bool read_expires(const char *s, int64_t *ret_when)
{
	char *end;
	if (!strcmp(s, "never")) {
		*ret_when = LEASE_FOREVER;
		return true;
	}
	errno = 0;
	long long v = strtoll(s, &end, 10);
	if (errno || end == s || *end || v < 0)
		return false;
	*ret_when = v;
	return true;
}

static bool read_bound(char **f, struct lease_record *r)
{
	return !mac_parse(f[2], &r->mac) && read_key(f[3], &r->key) && r->key.len &&
	       read_expires(f[4], &r->expires) &&
	       read_name(f[5], r->hostname, sizeof(r->hostname)) &&
	       read_name(f[6], r->wanted, sizeof(r->wanted)) &&
	       read_name(f[7], r->port, sizeof(r->port));
}

static bool read_released(char **f, struct lease_record *r)
{
	return read_expires(f[2], &r->expires);
}

static bool read_declined(char **f, struct lease_record *r)
{
	return read_expires(f[2], &r->expires) && read_name(f[3], r->port, sizeof(r->port));
}

static const struct {
	enum lease_op op;
	unsigned fields; /* after the letter */
	bool (*read)(char **f, struct lease_record *r);
} line_kinds[] = {
	{LEASE_OP_BOUND, 8, read_bound},
	{LEASE_OP_RELEASED, 3, read_released},
	{LEASE_OP_DECLINED, 4, read_declined},
};

static unsigned split(char *s, char **f, unsigned max)
{
	unsigned n = 0;
	for (char *p; n < max && (p = strsep(&s, " "));)
		f[n++] = p;
	return s ? max + 1 : n;
}

int lease_record_parse(char *line, struct lease_record *ret_record)
{
	struct lease_record r = {0};
	char *f[FIELDS_MAX], *end;
	if (strnlen(line, CRC_DIGITS + 2) < CRC_DIGITS + 2 || line[CRC_DIGITS] != ' ')
		return -EBADMSG;
	char *body = line + CRC_DIGITS + 1;
	if (strtoul(line, &end, 16) != crc32_of(body, strlen(body)) || end != line + CRC_DIGITS)
		return -EBADMSG;
	unsigned n = split(body, f, FIELDS_MAX);
	for (unsigned i = 0; i < ARRAY_SIZE(line_kinds); i++) {
		if (f[0][0] != (char)line_kinds[i].op || f[0][1] || n != line_kinds[i].fields + 1)
			continue;
		r.op = line_kinds[i].op;
		if (!read_name(f[1], r.pool, sizeof(r.pool)) || ip4_parse(f[2], &r.address) ||
		    !line_kinds[i].read(f + 1, &r))
			return -EBADMSG;
		*ret_record = r;
		return 0;
	}
	return -EBADMSG;
}

/* ---- the file ---- */

struct lease_journal *lease_journal_new(const char *dir)
{
	struct lease_journal *j = calloc(1, sizeof(*j));
	if (!j)
		return NULL;
	j->fd = -1;
	j->dir = dir ? strdup(dir) : NULL;
	if (dir && !j->dir) {
		free(j);
		return NULL;
	}
	return j;
}

void lease_journal_free(struct lease_journal *j)
{
	if (!j)
		return;
	if (j->fd >= 0)
		close(j->fd);
	free(j->dir);
	free(j);
}

int lease_journal_error(const struct lease_journal *j)
{
	return j->err;
}

uint64_t lease_journal_lines(const struct lease_journal *j)
{
	return j->lines;
}

void lease_journal_stats(const struct lease_journal *j, struct lease_store_stats *ret_stats)
{
	ret_stats->replayed = j->replayed;
	ret_stats->bad_lines = j->bad_lines;
	ret_stats->writes = j->writes;
	ret_stats->syncs = j->syncs;
	ret_stats->compactions = j->rewrites;
	ret_stats->failures = j->failures;
	ret_stats->journal_bytes = j->bytes;
}

static int fail(struct lease_journal *j, int err)
{
	j->err = err;
	j->failures++;
	j->used = 0;
	j->unsynced = false;
	return err;
}

static int write_all(int fd, const char *b, size_t n)
{
	while (n) {
		ssize_t w = write(fd, b, n);
		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return w < 0 ? -errno : -EIO;
		b += w;
		n -= (size_t)w;
	}
	return 0;
}

static int flush(struct lease_journal *j)
{
	if (!j->used)
		return 0;
	int r = write_all(j->fd, j->buf, j->used);
	if (r)
		return fail(j, r);
	j->writes++;
	j->bytes += j->used;
	j->used = 0;
	return 0;
}

int lease_journal_append(struct lease_journal *j, const struct lease_record *r)
{
	if (!j->dir || j->err)
		return j->err;
	if (BUF_SIZE - j->used < LINE_MAX_ && flush(j))
		return j->err;
	int n = lease_record_format(r, j->buf + j->used, BUF_SIZE - j->used);
	if (n < 0)
		return fail(j, n);
	j->used += (size_t)n;
	j->lines++;
	j->unsynced = true;
	return 0;
}

int lease_journal_sync(struct lease_journal *j)
{
	if (!j->dir || j->err || !j->unsynced || flush(j))
		return j->err;
	/* After a failed sync the kernel may have thrown the pages away: the file is not
	 * what we think, and is replaced. */
	if (fdatasync(j->fd))
		return fail(j, -errno);
	j->syncs++;
	j->unsynced = false;
	return 0;
}

static int open_dir(struct lease_journal *j)
{
	if (mkdir(j->dir, 0700) && errno != EEXIST)
		return -errno;
	int fd = open(j->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int start_file(struct lease_journal *j, int dir)
{
	int fd = openat(dir, FILE_NEW, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	j->fd = fd;
	j->err = 0;
	j->lines = 0;
	j->bytes = 0;
	j->unsynced = true; /* even an empty file is to be there */
	return 0;
}

/* The rename is what makes the new file count; the directory's sync makes that last. */
static int put_in_place(struct lease_journal *j, int dir)
{
	if (j->unread && renameat(dir, FILE_NAME, dir, FILE_UNREAD) && errno != ENOENT)
		return -errno;
	j->unread = false;
	if (renameat(dir, FILE_NEW, dir, FILE_NAME))
		return -errno;
	return 0;
}

static int rewrite_in(struct lease_journal *j, int dir, void (*each)(void *arg), void *arg)
{
	int old_fd = j->fd, old_err = j->err;
	size_t old_bytes = j->bytes;
	int r = start_file(j, dir);
	if (!r) {
		each(arg);
		r = lease_journal_sync(j);
	}
	if (!r)
		r = put_in_place(j, dir);
	if (r) { /* the old file goes on being appended to, if it was good */
		if (j->fd != old_fd)
			close(j->fd);
		unlinkat(dir, FILE_NEW, 0);
		j->fd = old_fd;
		j->bytes = old_bytes;
		fail(j, r);
		j->err = old_fd < 0 || old_err ? r : 0;
		j->lines = 0;
		return r;
	}
	if (old_fd >= 0)
		close(old_fd);
	j->rewrites++;
	return fsync(dir) ? fail(j, -errno) : 0;
}

int lease_journal_rewrite(struct lease_journal *j, void (*each)(void *arg), void *arg)
{
	if (!j->dir)
		return 0;
	lease_journal_sync(j);
	int dir = open_dir(j);
	if (dir < 0) {
		fail(j, dir);
		return dir;
	}
	int r = rewrite_in(j, dir, each, arg);
	close(dir);
	return r;
}

static int read_file(const char *dir, char **ret_text, size_t *ret_len)
{
	char path[4096];
	struct stat st;
	if ((size_t)snprintf(path, sizeof(path), "%s/" FILE_NAME, dir) >= sizeof(path))
		return -ENAMETOOLONG;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	int r = fstat(fd, &st) ? -errno : 0;
	char *text = r ? NULL : malloc((size_t)st.st_size + 1);
	size_t n = 0;
	for (ssize_t got = 1; text && got > 0 && n < (size_t)st.st_size; n += (size_t)got) {
		got = read(fd, text + n, (size_t)st.st_size - n);
		if (got < 0) {
			r = -errno;
			break;
		}
	}
	close(fd);
	if (r || !text) {
		free(text);
		return r ? r : -ENOMEM;
	}
	*ret_text = text;
	*ret_len = n;
	return 0;
}

static void replay_line(struct lease_journal *j, char *line, size_t len,
			void (*fn)(void *arg, const struct lease_record *r), void *arg)
{
	struct lease_record r;
	/* a zero inside (a hole after a crash) makes the line shorter than its place */
	if (strlen(line) != len || lease_record_parse(line, &r)) {
		j->bad_lines++;
		return;
	}
	j->replayed++;
	fn(arg, &r);
}

int lease_journal_replay(struct lease_journal *j,
			 void (*fn)(void *arg, const struct lease_record *r), void *arg)
{
	char *text;
	size_t len;
	if (!j->dir)
		return 0;
	int r = read_file(j->dir, &text, &len);
	if (r) {
		j->unread = r != -ENOENT;
		return j->unread ? r : 0;
	}
	for (char *p = text, *end = text + len; p < end;) {
		char *nl = memchr(p, '\n', (size_t)(end - p));
		if (!nl) { /* torn: its change was never synced */
			j->bad_lines++;
			break;
		}
		*nl = 0;
		replay_line(j, p, (size_t)(nl - p), fn, arg);
		p = nl + 1;
	}
	free(text);
	return 0;
}
