/* The journal of what we changed on the host's interfaces, and its undoing.
 *
 * Every change is recorded here before it is made and struck out after it was undone,
 * so that a daemon killed at any instant leaves nothing that the next start or
 * `vswitchd --cleanup` does not find.  Undoing is idempotent and exact about what it
 * may touch: an entry names boot, network namespace, interface index and name;
 * entries of an earlier boot are forgotten (the kernel's state went with it), those of
 * another namespace are kept for whoever runs there, and an interface that is gone
 * took its state along.
 *
 * The file is DIR/host-changes, text, one change a line, replaced as a whole by
 * write, fsync, rename; a lock on DIR/host-changes.lock keeps a second daemon and a
 * --cleanup under a running daemon out.  Main thread. */
#ifndef TAP_HOSTSTATE_H
#define TAP_HOSTSTATE_H

#include <stdio.h>

#include "net/types.h"

struct hoststate;

/* In the order they are made; undone in reverse. */
enum hoststate_kind {
	HOSTSTATE_PORTS,      /* ip_local_reserved_ports has a range more; text: the list before */
	HOSTSTATE_UP,	      /* the interface was set up; old: unused */
	HOSTSTATE_IPV6,	      /* disable_ipv6 was set; old: its value before */
	HOSTSTATE_CLSACT,     /* the clsact qdisc was added */
	HOSTSTATE_TC_INGRESS, /* our filter */
	HOSTSTATE_TC_EGRESS,
	HOSTSTATE_KINDS
};

/* Creates dir (one level) if need be.  -EBUSY: another process holds it; else -errno. */
int hoststate_open(const char *dir, struct hoststate **ret_hs);
void hoststate_close(struct hoststate *hs); /* undoes nothing; accepts NULL */
/* On disk when it returns 0; on failure (-errno) do not make the change.  Recording
 * what is recorded keeps the first `old`. */
int hoststate_record(struct hoststate *hs, int ifindex, const char *ifname,
		     enum hoststate_kind kind, long old);
/* The same with text, without white space, for what a number cannot hold. */
int hoststate_record_text(struct hoststate *hs, int ifindex, const char *ifname,
			  enum hoststate_kind kind, long old, const char *text);
bool hoststate_has(struct hoststate *hs, int ifindex, enum hoststate_kind kind);
/* Strikes out a change that was not made after all. */
void hoststate_forget(struct hoststate *hs, int ifindex, enum hoststate_kind kind);
/* Undoes and strikes out all entries of the interface.  What fails stays recorded, and
 * is told on `log` (NULL: not told); the first -errno is returned. */
int hoststate_restore(struct hoststate *hs, int ifindex, FILE *log);
/* The same for every interface in this namespace.  Each is told on `log`. */
int hoststate_restore_all(struct hoststate *hs, FILE *log);
size_t hoststate_count(const struct hoststate *hs);

#endif
