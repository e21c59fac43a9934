/* The journal of hoststate.h.  netdev.c and hostcut.c record here; the undoing of traffic
 * control objects is hostcut.c's, because libbpf is. */
#include "tap/hoststate.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tap/hostcut.h"
#include "tap/hostports.h"
#include "tap/ifset.h"

#ifndef SO_NETNS_COOKIE /* Linux 5.14 */
#define SO_NETNS_COOKIE 71
#endif

#define JOURNAL	    "host-changes"
#define JOURNAL_NEW "host-changes.new"
#define LOCK	    "host-changes.lock"
#define HEADER	    "# vswitchd: what is changed on the host now, and how it was.  Do not edit.\n"
#define BOOT_LEN    36
#define TEXT_MAX    1600
#define ENTRIES_MAX 20000u

struct entry {
	char boot[BOOT_LEN + 1];
	uint64_t netns; /* cookie; 0 = unknown */
	int ifindex;
	char ifname[IF_NAMESIZE];
	enum hoststate_kind kind;
	long old;
	char *text; /* NULL: none */
};

struct hoststate {
	int dir, lock;
	char boot[BOOT_LEN + 1];
	uint64_t netns;
	struct entry *e;
	size_t n, room;
};

static const char *const kind_name[HOSTSTATE_KINDS] = {
	[HOSTSTATE_PORTS] = "ports",
	[HOSTSTATE_UP] = "up",
	[HOSTSTATE_IPV6] = "ipv6",
	[HOSTSTATE_CLSACT] = "clsact",
	[HOSTSTATE_TC_INGRESS] = "tc-ingress",
	[HOSTSTATE_TC_EGRESS] = "tc-egress",
};

/* ---- the file ---- */

static int write_entries(const struct hoststate *hs, FILE *f)
{
	fputs(HEADER, f);
	for (size_t i = 0; i < hs->n; i++) {
		const struct entry *e = &hs->e[i];
		fprintf(f, "%s %llu %d %s %s %ld%s%s\n", e->boot, (unsigned long long)e->netns,
			e->ifindex, e->ifname, kind_name[e->kind], e->old, e->text ? " " : "",
			e->text ? e->text : "");
	}
	if (fflush(f) == EOF || ferror(f) || fsync(fileno(f)) < 0)
		return errno ? -errno : -EIO;
	return 0;
}

static int save(const struct hoststate *hs)
{
	int fd = openat(hs->dir, JOURNAL_NEW, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	FILE *f = fdopen(fd, "w");
	if (!f) {
		close(fd);
		return -ENOMEM;
	}
	int r = write_entries(hs, f);
	if (fclose(f) == EOF && !r)
		r = -errno;
	if (!r && renameat(hs->dir, JOURNAL_NEW, hs->dir, JOURNAL) < 0)
		r = -errno;
	if (!r && fsync(hs->dir) < 0)
		r = -errno;
	return r;
}

static int add(struct hoststate *hs, const struct entry *e)
{
	if (hs->n == hs->room) {
		size_t room = hs->room ? hs->room * 2 : 16;
		struct entry *more =
			room > ENTRIES_MAX ? NULL : realloc(hs->e, room * sizeof(*more));
		if (!more)
			return -ENOMEM;
		hs->e = more;
		hs->room = room;
	}
	hs->e[hs->n++] = *e;
	return 0;
}

static void drop(struct hoststate *hs, size_t i)
{
	free(hs->e[i].text);
	memmove(&hs->e[i], &hs->e[i + 1], (hs->n - i - 1) * sizeof(*hs->e));
	hs->n--;
}

static bool parse_line(const char *line, struct entry *ret_entry)
{
	struct entry e = {0};
	unsigned long long netns;
	char kind[16], text[TEXT_MAX];
	int n = sscanf(line, "%36s %llu %d %15s %15s %ld %1599s", e.boot, &netns, &e.ifindex, e.ifname,
		       kind, &e.old, text);

	if (n < 6 || e.ifindex <= 0)
		return false;
	e.netns = netns;
	for (e.kind = 0; e.kind < HOSTSTATE_KINDS; e.kind++) {
		if (!strcmp(kind, kind_name[e.kind])) {
			e.text = n > 6 ? strdup(text) : NULL;
			*ret_entry = e;
			return true;
		}
	}
	return false;
}

/* Lines that do not parse are left out: every line is written whole or not at all. */
static int load(struct hoststate *hs)
{
	int fd = openat(hs->dir, JOURNAL, O_RDONLY | O_CLOEXEC);
	char line[256 + TEXT_MAX];
	int r = 0;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	FILE *f = fdopen(fd, "r");
	if (!f) {
		close(fd);
		return -ENOMEM;
	}
	while (!r && fgets(line, sizeof(line), f)) {
		struct entry e;
		if (!parse_line(line, &e))
			continue;
		if (strcmp(e.boot, hs->boot))
			free(e.text);
		else if ((r = add(hs, &e)))
			free(e.text);
	}
	fclose(f);
	return r;
}

/* ---- who and where we are ---- */

static void read_boot(char boot[BOOT_LEN + 1])
{
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");

	if (!f || fscanf(f, "%36s", boot) != 1)
		snprintf(boot, BOOT_LEN + 1, "unknown");
	if (f)
		fclose(f);
}

static uint64_t netns_cookie(void)
{
	uint64_t v = 0;
	socklen_t len = sizeof(v);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return 0;
	if (getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &v, &len) < 0)
		v = 0;
	close(fd);
	return v;
}

int hoststate_open(const char *dir, struct hoststate **ret_hs)
{
	struct hoststate *hs = calloc(1, sizeof(*hs));
	int r = 0;

	if (!hs)
		return -ENOMEM;
	hs->lock = -1;
	mkdir(dir, 0755); /* the open says what matters */
	hs->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (hs->dir < 0)
		r = -errno;
	if (!r) {
		hs->lock = openat(hs->dir, LOCK, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		if (hs->lock < 0)
			r = -errno;
		else if (flock(hs->lock, LOCK_EX | LOCK_NB) < 0)
			r = errno == EWOULDBLOCK ? -EBUSY : -errno;
	}
	if (!r) {
		read_boot(hs->boot);
		hs->netns = netns_cookie();
		r = load(hs);
	}
	if (r)
		hoststate_close(hs);
	else
		*ret_hs = hs;
	return r;
}

void hoststate_close(struct hoststate *hs)
{
	if (!hs)
		return;
	if (hs->lock >= 0)
		close(hs->lock);
	if (hs->dir >= 0)
		close(hs->dir);
	for (size_t i = 0; i < hs->n; i++)
		free(hs->e[i].text);
	free(hs->e);
	free(hs);
}

size_t hoststate_count(const struct hoststate *hs)
{
	return hs->n;
}

/* ---- entries ---- */

static bool here(const struct hoststate *hs, const struct entry *e)
{
	return e->netns == hs->netns;
}

static struct entry *find(struct hoststate *hs, int ifindex, enum hoststate_kind kind)
{
	for (size_t i = 0; i < hs->n; i++) {
		struct entry *e = &hs->e[i];
		if (here(hs, e) && e->ifindex == ifindex && e->kind == kind)
			return e;
	}
	return NULL;
}

bool hoststate_has(struct hoststate *hs, int ifindex, enum hoststate_kind kind)
{
	return find(hs, ifindex, kind) != NULL;
}

int hoststate_record(struct hoststate *hs, int ifindex, const char *ifname,
		     enum hoststate_kind kind, long old)
{
	return hoststate_record_text(hs, ifindex, ifname, kind, old, NULL);
}

int hoststate_record_text(struct hoststate *hs, int ifindex, const char *ifname,
			  enum hoststate_kind kind, long old, const char *text)
{
	struct entry e = {.netns = hs->netns, .ifindex = ifindex, .kind = kind, .old = old};

	if (find(hs, ifindex, kind))
		return 0;
	if (text && strlen(text) >= TEXT_MAX)
		return -E2BIG;
	e.text = text ? strdup(text) : NULL;
	if (text && !e.text)
		return -ENOMEM;
	snprintf(e.boot, sizeof(e.boot), "%s", hs->boot);
	snprintf(e.ifname, sizeof(e.ifname), "%s", ifname);
	int r = add(hs, &e);
	if (r)
		free(e.text);
	else if ((r = save(hs)))
		drop(hs, hs->n - 1);
	return r;
}

void hoststate_forget(struct hoststate *hs, int ifindex, enum hoststate_kind kind)
{
	struct entry *e = find(hs, ifindex, kind);

	if (e) {
		drop(hs, (size_t)(e - hs->e));
		save(hs); /* if not, the undoing later finds nothing to undo */
	}
}

/* ---- undoing ---- */

static int undo_ipv6(const char *ifname, long old)
{
	char path[128];

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", ifname);
	FILE *f = fopen(path, "we");
	if (!f)
		return errno == ENOENT ? 0 : -errno;
	fprintf(f, "%ld\n", old);
	return fclose(f) == EOF ? -errno : 0;
}

static int undo(const struct entry *e, const char *ifname)
{
	switch (e->kind) {
	case HOSTSTATE_PORTS: return hostports_unreserve(e->old, e->text ? e->text : "");
	case HOSTSTATE_UP: return ifset_up(e->ifindex, false);
	case HOSTSTATE_IPV6: return undo_ipv6(ifname, e->old);
	case HOSTSTATE_CLSACT: return hostcut_remove_clsact(e->ifindex);
	case HOSTSTATE_TC_INGRESS:
	case HOSTSTATE_TC_EGRESS:
		return hostcut_remove_filter(e->ifindex, e->kind == HOSTSTATE_TC_EGRESS);
	case HOSTSTATE_KINDS: break;
	}
	return -EINVAL;
}

/* 0 also when the interface is gone, or is another one under an index used again. */
static int undo_if_there(const struct entry *e, FILE *log)
{
	char ifname[IF_NAMESIZE];

	if (e->kind == HOSTSTATE_PORTS) /* of the host, whatever became of the interface */
		snprintf(ifname, sizeof(ifname), "%s", e->ifname);
	else if (!if_indextoname((unsigned)e->ifindex, ifname) ||
		 (!e->netns && strcmp(ifname, e->ifname)))
		return 0;
	int r = undo(e, ifname);
	if (r == -ENODEV)
		r = 0;
	if (log && r)
		fprintf(log, "%s: cannot undo %s: %s\n", ifname, kind_name[e->kind], strerror(-r));
	else if (log)
		fprintf(log, "%s: undid %s\n", ifname, kind_name[e->kind]);
	return r;
}

/* ifindex 0: all. */
static int restore(struct hoststate *hs, int ifindex, FILE *log)
{
	int first = 0;
	bool changed = false;

	for (int kind = HOSTSTATE_KINDS - 1; kind >= 0; kind--) {
		for (size_t i = hs->n; i-- > 0;) {
			struct entry *e = &hs->e[i];
			if (!here(hs, e) || (int)e->kind != kind ||
			    (ifindex && e->ifindex != ifindex))
				continue;
			int r = undo_if_there(e, log);
			if (r) {
				first = first ? first : r;
				continue;
			}
			drop(hs, i);
			changed = true;
		}
	}
	if (changed) {
		int r = save(hs);
		first = first ? first : r;
	}
	return first;
}

int hoststate_restore(struct hoststate *hs, int ifindex, FILE *log)
{
	return restore(hs, ifindex, log);
}

int hoststate_restore_all(struct hoststate *hs, FILE *log)
{
	return restore(hs, 0, log);
}
