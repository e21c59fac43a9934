/* What the control socket can be asked: the methods behind `vswitchctl`.
 *
 * A verb that reads takes its numbers from the running objects; a verb that changes
 * something makes a new configuration with config_with() and hands it to daemon_apply(), so
 * that a typed command and an edited file go the same way.  Exceptions are what the
 * configuration does not know: static MACs, leases, sessions, the test clock.
 *
 * Order at the end of the daemon: rpc_free() (hangs up, which stops captures), sw_stop(),
 * verbs_free(), sw_free().  Main thread. */
#ifndef CTL_VERBS_H
#define CTL_VERBS_H

#include "ctl/daemon.h"
#include "ctl/rpc.h"

struct verbs;

/* d must outlive it; d->sw exists already.  Takes d->on_event, for `events`.  NULL on ENOMEM. */
struct verbs *verbs_new(struct daemon *d);
void verbs_free(struct verbs *v); /* accepts NULL */
/* For rpc_new(); lives as long as v. */
const struct rpc_table *verbs_table(struct verbs *v);

#endif
