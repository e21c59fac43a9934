/* Following resolv.conf, for dns_host. */
#include "dhcp/resolv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#define HOPS_MAX	8 /* symlinks followed by name */
#define DNS_SERVER_PORT 53
#define DIR_EVENTS                                                                                 \
	(IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF |   \
	 IN_MOVE_SELF | IN_ATTRIB)
#define FILE_EVENTS (IN_CLOSE_WRITE | IN_DELETE_SELF | IN_MOVE_SELF)

/* A directory, and the one name in it that concerns us; or the file itself (name empty). */
struct watch {
	int wd;
	char name[NAME_MAX + 1];
};

struct resolv {
	struct loop *loop;
	char *path;
	void (*changed)(void *arg);
	void *arg;
	int inotify;
	struct loop_fd *fd;
	struct watch watch[HOPS_MAX + 1];
	unsigned n_watch;
	struct resolv_list list;
};

/* ---- the file ---- */

static bool parse_address(char *text, struct resolv_server *ret)
{
	struct resolv_server s = {0};
	char *zone = strchr(text, '%');

	if (inet_pton(AF_INET, text, &s.in4.sin_addr) == 1) {
		s.in4.sin_family = AF_INET;
		s.in4.sin_port = htons(DNS_SERVER_PORT);
		s.len = sizeof(s.in4);
		*ret = s;
		return s.in4.sin_addr.s_addr != INADDR_ANY;
	}
	if (zone) {
		*zone++ = 0;
		s.in6.sin6_scope_id = if_nametoindex(zone);
		if (!s.in6.sin6_scope_id)
			s.in6.sin6_scope_id = (uint32_t)strtoul(zone, NULL, 10);
	}
	if (inet_pton(AF_INET6, text, &s.in6.sin6_addr) != 1)
		return false;
	s.in6.sin6_family = AF_INET6;
	s.in6.sin6_port = htons(DNS_SERVER_PORT);
	s.len = sizeof(s.in6);
	*ret = s;
	return true;
}

/* One line: "nameserver", blanks, an address, and then nothing or blanks and anything. */
static void parse_line(const char *line, size_t len, struct resolv_list *l)
{
	static const char keyword[] = "nameserver";
	char text[INET6_ADDRSTRLEN + IF_NAMESIZE + 1];
	size_t at = sizeof(keyword) - 1, n = 0;

	if (len <= at || memcmp(line, keyword, at) || (line[at] != ' ' && line[at] != '\t'))
		return;
	while (at < len && (line[at] == ' ' || line[at] == '\t'))
		at++;
	for (; at < len && !strchr(" \t\r;#", line[at]); at++) {
		if (n == sizeof(text) - 1 || !line[at])
			return;
		text[n++] = line[at];
	}
	text[n] = 0;
	if (l->n < RESOLV_SERVERS_MAX && parse_address(text, &l->server[l->n]))
		l->n++;
}

void resolv_parse(const char *text, size_t len, struct resolv_list *ret_list)
{
	struct resolv_list l = {0};

	while (len) {
		const char *end = memchr(text, '\n', len);
		size_t line = end ? (size_t)(end - text) : len;

		parse_line(text, line, &l);
		len -= line + (end != NULL);
		text += line + (end != NULL);
	}
	*ret_list = l;
}

static void read_file(const char *path, struct resolv_list *ret_list)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	char *text = fd < 0 ? NULL : malloc(RESOLV_FILE_MAX);
	size_t len = 0;
	ssize_t n = 1;

	while (text && n > 0 && len < RESOLV_FILE_MAX) {
		n = read(fd, text + len, RESOLV_FILE_MAX - len);
		len += n > 0 ? (size_t)n : 0;
	}
	if (text)
		resolv_parse(text, len, ret_list);
	else
		*ret_list = (struct resolv_list){0};
	free(text);
	if (fd >= 0)
		close(fd);
}

/* ---- watches ---- */

static void add_watch(struct resolv *r, const char *path, const char *name, uint32_t events)
{
	struct watch *w = &r->watch[r->n_watch];

	if (r->n_watch == sizeof(r->watch) / sizeof(r->watch[0]))
		return;
	w->wd = inotify_add_watch(r->inotify, path, events);
	if (w->wd < 0)
		return;
	strncpy(w->name, name, sizeof(w->name) - 1);
	w->name[sizeof(w->name) - 1] = 0;
	r->n_watch++;
}

/* Watches the directory of `path` for its last component; where there is no such directory, the
 * nearest one above for the component that is missing. */
static void watch_dir_of(struct resolv *r, const char *path)
{
	char dir[PATH_MAX], base[PATH_MAX], here[PATH_MAX];

	strcpy(here, path);
	for (;;) {
		strcpy(dir, here);
		strcpy(base, here);
		strcpy(here, dirname(dir));
		if (!access(here, F_OK) || !strcmp(here, "/") || !strcmp(here, ".")) {
			add_watch(r, here, basename(base), DIR_EVENTS | IN_ONLYDIR);
			return;
		}
	}
}

/* Reads the symlink at `path` and makes it the path it leads to.  false: no (further) link. */
static bool follow_link(char path[PATH_MAX])
{
	char target[PATH_MAX], dir[PATH_MAX], *parent;
	ssize_t n = readlink(path, target, sizeof(target) - 1);

	if (n <= 0)
		return false;
	target[n] = 0;
	if (target[0] == '/') {
		strcpy(path, target);
		return true;
	}
	strcpy(dir, path);
	parent = dirname(dir);
	if (strlen(parent) + 1 + (size_t)n >= PATH_MAX)
		return false;
	strcpy(path, parent);
	strcat(path, "/");
	strcat(path, target);
	return true;
}

static void watch_all(struct resolv *r)
{
	char path[PATH_MAX];

	r->n_watch = 0;
	strcpy(path, r->path);
	for (int hop = 0; hop < HOPS_MAX; hop++) {
		watch_dir_of(r, path);
		if (!follow_link(path))
			break;
	}
	add_watch(r, r->path, "", FILE_EVENTS); /* a bind mount has another directory */
}

static bool concerns(const struct resolv *r, const struct inotify_event *e)
{
	if (e->mask & IN_Q_OVERFLOW)
		return true;
	for (unsigned i = 0; i < r->n_watch; i++) {
		const struct watch *w = &r->watch[i];

		if (w->wd == e->wd && (!e->len || !strcmp(w->name, e->name)))
			return !(e->mask & IN_IGNORED);
	}
	return false;
}

/* All watches anew on a new inotify instance, so that none is left on what is no longer of
 * interest. */
static int restart(struct resolv *r);

static void reread(struct resolv *r)
{
	struct resolv_list now;

	read_file(r->path, &now);
	if (!memcmp(&now, &r->list, sizeof(now)))
		return;
	r->list = now;
	if (r->changed)
		r->changed(r->arg);
}

static void on_inotify(void *arg, int fd, unsigned events)
{
	_Alignas(struct inotify_event) char buf[4096];
	struct resolv *r = arg;
	bool hit = false;
	ssize_t n;

	(void)events;
	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		for (char *at = buf; at < buf + n;) {
			const struct inotify_event *e = (const struct inotify_event *)at;

			hit |= concerns(r, e);
			at += sizeof(*e) + e->len;
		}
	}
	if (!hit)
		return;
	restart(r); /* on failure the old watches stay, which may miss a change of links */
	reread(r);
}

static int restart(struct resolv *r)
{
	int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), err;
	struct loop_fd *watched;

	if (fd < 0)
		return -errno;
	watched = loop_fd_new(r->loop, fd, LOOP_READ, on_inotify, r);
	if (!watched) {
		err = -errno;
		close(fd);
		return err;
	}
	loop_fd_free(r->fd);
	if (r->inotify >= 0)
		close(r->inotify);
	r->inotify = fd;
	r->fd = watched;
	watch_all(r);
	return 0;
}

struct resolv *resolv_new(struct loop *loop, const char *path, void (*changed)(void *arg),
			  void *arg)
{
	struct resolv *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return NULL;
	r->loop = loop;
	r->changed = changed;
	r->arg = arg;
	r->inotify = -1;
	r->path = strlen(path) < PATH_MAX ? strdup(path) : NULL;
	err = r->path ? restart(r) : -ENOMEM;
	if (err) {
		resolv_free(r);
		errno = -err;
		return NULL;
	}
	read_file(r->path, &r->list);
	return r;
}

void resolv_free(struct resolv *r)
{
	if (!r)
		return;
	loop_fd_free(r->fd);
	if (r->inotify >= 0)
		close(r->inotify);
	free(r->path);
	free(r);
}

const struct resolv_list *resolv_list(const struct resolv *r)
{
	return &r->list;
}
