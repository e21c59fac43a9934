/* The server's inside, shared by its core (dhcp_server.c) and its skin (dhcp_receive.c). */
#ifndef DHCP_DHCP_SERVER_PRIV_H
#define DHCP_DHCP_SERVER_PRIV_H

#include "dhcp/dhcp_server.h"

struct dhcp_value {    /* an option's bytes as every client gets them */
	bool always;   /* else only those who ask */
	uint8_t *data; /* NULL: none */
	size_t len;
};

struct dhcp_server {
	struct lease_store *store;
	struct lease_pool *pool;
	struct dhcp_value *values; /* by option code */
	struct prefix4 subnet;
	be32 server_id;
	struct mac server_mac;
	uint32_t lease_s, mtu;
	bool rapid_commit, one_guest;
	struct sw *sw;
	struct port *gateway;
	struct dhcp_stats stats;
	/* -- dhcp_receive.c's: answers that wait for the journal, oldest first -- */
	struct pkt *waiting, **waiting_end;
	unsigned n_waiting;
	void (*on_free)(struct dhcp_server *s);
};

#endif
