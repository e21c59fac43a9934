/* What takes more than one value to judge: references, overlaps, duplicates,
 * contradictions; and the defaults that are computed from other values (gateway, range,
 * DNS address, uplink, the VLANs of a trunk).
 *
 * Runs after ctl/schema.c on the filled struct and the tree it came from, whose entries
 * are in the same order.  What is already known to be wrong is not judged again.
 *
 * Main thread; no clock, no state. */
#ifndef CTL_CONFIG_CHECK_H
#define CTL_CONFIG_CHECK_H

#include "ctl/config.h"
#include "ctl/config_tree.h"

void config_check(struct config *c, struct node *root, struct diag *d);

#endif
