/* Router advertisements of one network: sends what dhcp/ra.h builds, when its plan says so, and
 * answers solicitations.  A change is told at once: first a farewell to what went (a prefix, the DNS
 * servers), then what is there now.  Gone prefixes are repeated with every advertisement, for guests
 * that missed the first, until newer ones need their room.
 *
 * Main thread; clock: the loop's.  Between two advertisements nothing runs. */
#ifndef DHCP_RA_SERVER_H
#define DHCP_RA_SERVER_H

#include "dhcp/ra.h"

struct sw;
struct loop;
struct port;
struct ra_server;

/* Sends by `gateway`, into `domain`; conf is copied.  NULL with errno. */
struct ra_server *ra_server_new(struct sw *sw, struct loop *loop, struct port *gateway, domain_idx domain,
				const struct ra_conf *conf);
int ra_server_set_conf(struct ra_server *s, const struct ra_conf *conf); /* -ENOMEM */
/* Says farewell; while its port is still there.  Accepts NULL. */
void ra_server_free(struct ra_server *s);
/* A solicitation, as a slow_sink's function: takes k. */
void ra_server_receive(void *server, struct pkt *k);

#endif
