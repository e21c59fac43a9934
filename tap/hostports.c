/* See hostports.h; netdev.c reserves, hoststate.c undoes. */
#include "tap/hostports.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SYSCTL "/proc/sys/net/ipv4/ip_local_reserved_ports"

static bool has(const struct hostports_set *s, unsigned p)
{
	return s->w[p / 64] >> p % 64 & 1;
}

static void set(struct hostports_set *s, unsigned p, bool on)
{
	if (on)
		s->w[p / 64] |= UINT64_C(1) << p % 64;
	else
		s->w[p / 64] &= ~(UINT64_C(1) << p % 64);
}

int hostports_parse(const char *text, struct hostports_set *ret_set)
{
	struct hostports_set s = {{0}};

	while (*text && *text != '\n') {
		char *end;
		unsigned long first = strtoul(text, &end, 10), last = first;
		if (end == text)
			return -EINVAL;
		if (*end == '-') {
			text = end + 1;
			last = strtoul(text, &end, 10);
			if (end == text)
				return -EINVAL;
		}
		if (last > UINT16_MAX || first > last)
			return -EINVAL;
		for (; first <= last; first++)
			set(&s, (unsigned)first, true);
		text = *end == ',' ? end + 1 : end;
		if (*end && *end != ',' && *end != '\n')
			return -EINVAL;
	}
	*ret_set = s;
	return 0;
}

int hostports_format(const struct hostports_set *s, char *buf, size_t size)
{
	size_t used = 0;

	buf[0] = 0;
	for (unsigned p = 0, last; p <= UINT16_MAX; p = last + 1) {
		last = p;
		if (!has(s, p))
			continue;
		while (last < UINT16_MAX && has(s, last + 1))
			last++;
		used += (size_t)snprintf(buf + used, size - used, last > p ? "%s%u-%u" : "%s%u",
					 used ? "," : "", p, last);
		if (used >= size)
			return -E2BIG;
	}
	return 0;
}

static int read_list(char buf[HOSTPORTS_LIST_MAX])
{
	FILE *f = fopen(SYSCTL, "re");
	int r = 0;

	if (!f)
		return -errno;
	buf[0] = 0;
	if (!fgets(buf, HOSTPORTS_LIST_MAX, f) && ferror(f))
		r = -EIO;
	else if (!strchr(buf, '\n') && strlen(buf) == HOSTPORTS_LIST_MAX - 1)
		r = -E2BIG;
	buf[strcspn(buf, "\n")] = 0;
	fclose(f);
	return r;
}

static int write_list(const struct hostports_set *s)
{
	char text[2 * HOSTPORTS_LIST_MAX];
	int r = hostports_format(s, text, sizeof(text));
	FILE *f = r ? NULL : fopen(SYSCTL, "we");

	if (r)
		return r;
	if (!f)
		return -errno;
	fprintf(f, "%s\n", text); /* one write(): the kernel takes a list whole */
	return fclose(f) == EOF ? -errno : 0;
}

int hostports_reserve(struct hoststate *hs, int ifindex, const char *ifname, uint16_t first,
		      uint16_t last)
{
	struct hostports_set s;
	char before[HOSTPORTS_LIST_MAX];
	int r = read_list(before);

	if (!r)
		r = hostports_parse(before, &s);
	if (!r)
		r = hoststate_record_text(hs, ifindex, ifname, HOSTSTATE_PORTS, (long)first << 16 | last,
					  before);
	if (r)
		return r;
	for (unsigned p = first; p <= last; p++)
		set(&s, p, true);
	r = write_list(&s);
	if (r)
		hoststate_forget(hs, ifindex, HOSTSTATE_PORTS);
	return r;
}

int hostports_unreserve(long range, const char *before)
{
	struct hostports_set now, was;
	char text[HOSTPORTS_LIST_MAX];
	int r = read_list(text);

	if (!r)
		r = hostports_parse(text, &now);
	if (!r)
		r = hostports_parse(before, &was);
	if (r)
		return r == -ENOENT ? 0 : r;
	for (unsigned p = (unsigned)(range >> 16); p <= (range & 0xffff); p++) {
		if (!has(&was, p))
			set(&now, p, false);
	}
	return write_list(&now);
}

unsigned hostports_in_use(uint16_t first, uint16_t last, uint16_t *ret_ports, unsigned max)
{
	static const char *const path[] = {"/proc/net/tcp", "/proc/net/tcp6", "/proc/net/udp", "/proc/net/udp6"};
	struct hostports_set seen = {{0}};
	unsigned n = 0;

	for (size_t i = 0; i < sizeof(path) / sizeof(path[0]); i++) {
		FILE *f = fopen(path[i], "re");
		char line[512];
		unsigned port;
		while (f && fgets(line, sizeof(line), f)) {
			if (sscanf(line, " %*u: %*[0-9A-Fa-f]:%x", &port) != 1 || port < first ||
			    port > last || has(&seen, port))
				continue;
			set(&seen, port, true);
			if (n++ < max)
				ret_ports[n - 1] = (uint16_t)port;
		}
		if (f)
			fclose(f);
	}
	return n;
}
