/* The host's name servers, followed as they change: /etc/resolv.conf (resolv.conf(5)).
 *
 * The file is often a symlink into a directory of systemd-resolved or NetworkManager, is
 * replaced by rename, or is a bind mount that is rewritten in place.  So inotify watches the
 * directory of the path, that of every symlink on the way to the file, and the file
 * itself; where a directory does not exist yet, the nearest one that does.  When
 * anything with a name of interest happens there, the file is read again and, if the
 * list differs, `changed` is called.
 *
 * Only `nameserver ADDRESS` lines count, IPv4 and IPv6 (with %zone); the first
 * RESOLV_SERVERS_MAX of them, of the first RESOLV_FILE_MAX bytes.  A missing or unreadable
 * file is an empty list, not a server on this host as for libc: no answer is better than one
 * from a guess.
 *
 * Main thread; no timers: it costs nothing while nothing changes. */
#ifndef DHCP_RESOLV_H
#define DHCP_RESOLV_H

#include <netinet/in.h>

#include "net/loop.h"

#define RESOLV_PATH	   "/etc/resolv.conf"
#define RESOLV_SERVERS_MAX 8u
#define RESOLV_FILE_MAX	   65536u

struct resolv_server {
	union {
		struct sockaddr sa;
		struct sockaddr_in in4; /* port 53 */
		struct sockaddr_in6 in6;
	};
	socklen_t len;
};
struct resolv_list {
	unsigned n;
	struct resolv_server server[RESOLV_SERVERS_MAX];
};

struct resolv;

/* Reads `path` (copied) and follows it; changed may be NULL.  NULL with errno; a missing file is
 * no error. */
struct resolv *resolv_new(struct loop *loop, const char *path, void (*changed)(void *arg),
			  void *arg);
void resolv_free(struct resolv *r); /* accepts NULL */
/* Valid until the next change. */
const struct resolv_list *resolv_list(const struct resolv *r);
/* The parser alone: text of len bytes, not terminated. */
void resolv_parse(const char *text, size_t len, struct resolv_list *ret_list);

#endif
