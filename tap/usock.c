/* Binding and unbinding UNIX sockets, for dgram.c and the listening side of stream.c. */
#include "tap/usock.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define LISTEN_BACKLOG 8
#define DEFAULT_MODE   0660

static int address(const char *path, struct sockaddr_un *ret_sa)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};

	if (strlen(path) >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	*ret_sa = sa;
	return 0;
}

/* 0: the way is free.  Connecting tells live from stale without disturbing a
 * datagram socket's owner. */
static int remove_stale(const struct sockaddr_un *sa, int type)
{
	struct stat st;
	int r = 0;

	if (lstat(sa->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) < 0 && errno == ECONNREFUSED)
		r = unlink(sa->sun_path) < 0 && errno != ENOENT ? -errno : 0;
	else
		r = -EADDRINUSE; /* connected, busy, or of another type: somebody has it */
	close(fd);
	return r;
}

static int set_owner(const char *path, mode_t mode, const char *group)
{
	if (chmod(path, mode ? mode : DEFAULT_MODE) < 0)
		return -errno;
	if (!group)
		return 0;
	struct group *g = getgrnam(group);
	if (!g)
		return -ESRCH;
	return chown(path, (uid_t)-1, g->gr_gid) < 0 ? -errno : 0;
}

int usock_bind(const char *path, int type, mode_t mode, const char *group, struct usock *ret_sock)
{
	struct sockaddr_un sa;
	struct stat st;
	int r = address(path, &sa);

	if (!r)
		r = remove_stale(&sa, type);
	if (r)
		return r;
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	mode_t old = umask(0177); /* nobody gets in before set_owner() */
	r = bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ? -errno : 0;
	umask(old);
	if (r) {
		close(fd);
		return r;
	}
	r = set_owner(path, mode, group);
	if (!r && type == SOCK_STREAM && listen(fd, LISTEN_BACKLOG) < 0)
		r = -errno;
	if (!r && lstat(path, &st) < 0)
		r = -errno;
	if (r) {
		close(fd);
		unlink(path);
		return r;
	}
	*ret_sock = (struct usock){.fd = fd, .dev = st.st_dev, .ino = st.st_ino};
	return 0;
}

void usock_close(struct usock *s, const char *path)
{
	struct stat st;

	if (s->fd < 0)
		return;
	if (lstat(path, &st) == 0 && st.st_dev == s->dev && st.st_ino == s->ino)
		unlink(path);
	close(s->fd);
	s->fd = -1;
}

const char *usock_strerror(int err)
{
	switch (err) {
	case -EADDRINUSE: return "a live socket is there";
	case -EEXIST: return "a file that is no socket is there";
	case -ENOENT: return "the folder does not exist";
	case -ESRCH: return "the group does not exist";
	default: return strerror(-err);
	}
}
