/* What the host modes `exclude` and `share` do to an interface, and its undoing.
 *
 * exclude: a clsact ingress program drops all that arrives.  Packet sockets are served
 *   before it, so the switch still gets everything and the host's stack nothing (no
 *   ARP answers, no IP input, no bridge).  IPv6 is disabled on the interface, so that
 *   it sends no solicitations of its own either, unless it carries IPv6
 *   addresses of the user's, which disabling would delete.
 * share: what we send carries a socket mark.  A clsact egress program redirects
 *   marked frames for the interface's own MAC to its ingress, where the host's stack
 *   takes them, and clones marked group frames to there on their way out.  What the
 *   stack sends is seen by our packet socket as outgoing.  A filter on that socket
 *   ignores marked frames, or each would come back as if from outside; an ingress
 *   program takes the mark off before the stack could route by it.
 *
 * split: the host's address is ours as well, with a range of its ports: what each of the two gets is
 *   hostcut_split.h's.  The range is reserved (hostports.h) before anything else.
 *
 * The programs are a few instructions, assembled in hostcut.c; no compiler or BTF is
 * needed at run time.  Filters of others on the same hooks go on working: ours
 * continue to the next one except where they drop or redirect.
 * All changes are journalled in hoststate.h first.  Main thread. */
#ifndef TAP_HOSTCUT_H
#define TAP_HOSTCUT_H

#include "tap/hostcut_split.h"
#include "tap/hoststate.h"

enum hostcut_mode { HOSTCUT_EXCLUDE, HOSTCUT_SHARE };

/* Cuts.  mark: for share, what SO_MARK is set to on the sending socket.  On failure
 * (-errno) what was done is undone, and `why` says in words what could not be done. */
int hostcut_attach(struct hoststate *hs, int ifindex, const char *ifname, struct mac own,
		   enum hostcut_mode mode, uint32_t mark, char *why, size_t why_len);
/* The same for split; called again for a changed `s`, it replaces the program in place. */
int hostcut_attach_split(struct hoststate *hs, int ifindex, const char *ifname,
			 const struct hostsplit *s, char *why, size_t why_len);
int hostcut_split_socket(int fd, const struct hostsplit *s); /* and the socket's filter */
/* Undoes it: hoststate_restore(). */
void hostcut_detach(struct hoststate *hs, int ifindex);
/* Makes a packet socket send with the mark and ignore frames that carry it. */
int hostcut_mark_socket(int fd, uint32_t mark);

/* For hoststate.c: removes our filter; 0 also when it is not there. */
int hostcut_remove_filter(int ifindex, bool egress);
/* Removes clsact unless filters of others are on it. */
int hostcut_remove_clsact(int ifindex);

#endif
