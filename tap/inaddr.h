/* "127.0.0.1:20000" and "[::1]:20000" as socket addresses.  Numeric only: a name would
 * have to be resolved, which blocks.  Any thread. */
#ifndef TAP_INADDR_H
#define TAP_INADDR_H

#include <sys/socket.h>

#define INADDR_STRLEN 64

/* ":22" is any IPv4 address.  -EINVAL, also for port 0. */
int inaddr_parse(const char *s, struct sockaddr_storage *ret_sa, socklen_t *ret_len);
/* The same text back; "?" for another family. */
char *inaddr_format(const struct sockaddr_storage *sa, char buf[INADDR_STRLEN]);

#endif
