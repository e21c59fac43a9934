/* Text forms of socket addresses, for udp.c and the TCP side of stream.c. */
#include "tap/inaddr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int parse_port(const char *s, uint16_t *ret_port)
{
	unsigned long v = 0;
	size_t n = strspn(s, "0123456789");

	if (!n || n > 5 || s[n])
		return -EINVAL;
	v = strtoul(s, NULL, 10);
	if (!v || v > UINT16_MAX)
		return -EINVAL;
	*ret_port = (uint16_t)v;
	return 0;
}

int inaddr_parse(const char *s, struct sockaddr_storage *ret_sa, socklen_t *ret_len)
{
	const char *colon = strrchr(s, ':');
	char host[INET6_ADDRSTRLEN + 2];
	uint16_t port;

	if (!colon || (size_t)(colon - s) >= sizeof(host) || parse_port(colon + 1, &port))
		return -EINVAL;
	snprintf(host, sizeof(host), "%.*s", (int)(colon - s), s);
	size_t n = strlen(host);
	struct sockaddr_storage sa = {0};
	if (n > 2 && host[0] == '[' && host[n - 1] == ']') {
		struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&sa;
		host[n - 1] = 0;
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(port);
		if (inet_pton(AF_INET6, host + 1, &in6->sin6_addr) != 1)
			return -EINVAL;
		*ret_len = sizeof(*in6);
	} else {
		struct sockaddr_in *in = (struct sockaddr_in *)&sa;
		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		if (n && inet_pton(AF_INET, host, &in->sin_addr) != 1)
			return -EINVAL;
		*ret_len = sizeof(*in);
	}
	*ret_sa = sa;
	return 0;
}

char *inaddr_format(const struct sockaddr_storage *sa, char buf[INADDR_STRLEN])
{
	char host[INET6_ADDRSTRLEN];

	snprintf(buf, INADDR_STRLEN, "?");
	if (sa->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)sa;
		if (inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host)))
			snprintf(buf, INADDR_STRLEN, "%s:%u", host, ntohs(in->sin_port));
	} else if (sa->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)sa;
		if (inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host)))
			snprintf(buf, INADDR_STRLEN, "[%s]:%u", host, ntohs(in6->sin6_port));
	}
	return buf;
}
