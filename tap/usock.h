/* UNIX sockets at a path: bound over stale files, never over live ones.
 *
 * A stale socket file (nobody accepts a connection to it) is replaced, because a killed
 * daemon leaves one; a live one, and anything that is not a socket, is left alone.
 * Main thread. */
#ifndef TAP_USOCK_H
#define TAP_USOCK_H

#include <sys/types.h>

struct usock {
	int fd;
	dev_t dev; /* of the file we made */
	ino_t ino;
};

/* type: SOCK_DGRAM or SOCK_STREAM (which also listens); nonblocking, close-on-exec.
 * mode: of the file, 0 for 0660; group: a name or NULL.
 * -ENAMETOOLONG, -EADDRINUSE (live), -EEXIST (not a socket), -ENOENT (no such folder),
 * -ESRCH (no such group), else -errno.  Nothing is left behind on failure. */
int usock_bind(const char *path, int type, mode_t mode, const char *group, struct usock *ret_sock);
/* Closes it and removes the file if it is still ours. */
void usock_close(struct usock *s, const char *path);
/* What went wrong, for `reason`. */
const char *usock_strerror(int err);

#endif
