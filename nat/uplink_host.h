/* The `host` uplink: out through the host's own sockets, by way of libslirp.
 *
 * It works for an ordinary user, over Wi-Fi, VPN and whatever the host routes by,
 * and touches no interface.  One libslirp serves all guests: it stands behind our own
 * NAPT, sees a single "guest" (the NAPT's outside address), and ends every TCP
 * connection and UDP flow in a socket of the host.  In the switch it is an ordinary hidden
 * port "slirp/NAME" in the uplink's domain, beside the NAPT's own:
 *
 *	NAPT --(domain of the uplink)--> port slirp/NAME --> main thread: libslirp --> sockets
 *	192.0.0.2/29                                         192.0.0.1, DNS 192.0.0.3
 *
 * The inside network is from RFC 7335's 192.0.0.0/29, which no router forwards.
 *
 * What a guest may not reach through it: addresses that are no unicast hosts (0/8, 127/8,
 * 224/4, 240/4), and libslirp's own addresses except port 53 of UPLINK_HOST_DNS
 * (which is the host's first name server, for DNS over TCP).  With `loopback` set, and only
 * then, UPLINK_HOST_GATEWAY is the host's 127.0.0.1.  Forwards work either way: a
 * connection from the host's loopback arrives from UPLINK_HOST_GATEWAY and its answers
 * pass, new flows in the other direction do not.
 *
 * Offloads.  A TSO frame is given to libslirp as one large IP packet (OFFLOAD_JUMBO), and
 * large segments come back as TSO frames of the guest's MSS: libslirp is told of a
 * larger one.
 *
 * Sockets.  Guests together may use the process's file descriptors (RLIMIT_NOFILE when the
 * uplink is made) but for 1024, or half of them when there are few; beyond, packets of
 * new flows are dropped and counted (no_socket).
 *
 * ICMP echo goes through a ping socket, when net.ipv4.ping_group_range allows it, or a raw
 * one with CAP_NET_RAW; else libslirp answers with "unreachable".
 *
 * Threads: the port's tx_burst runs on the worker and hands frames up; all of
 * libslirp runs on the main thread, as do all functions here.  No timer runs unless
 * libslirp has sockets or fragments to time, and a slow one when these are quiet.
 *
 * RFC conformance of what libslirp does is not promised: it may be replaced, and no type of
 * its leaves this file. */
#ifndef NAT_UPLINK_HOST_H
#define NAT_UPLINK_HOST_H

#include "net/addr.h"
#include "net/loop.h"
#include "switch/switch.h"

/* 192.0.0.0/29 (RFC 7335), network order. */
#define UPLINK_HOST_GATEWAY    ((be32)htobe32(0xc0000001u)) /* libslirp itself */
#define UPLINK_HOST_OUTSIDE    ((be32)htobe32(0xc0000002u)) /* the NAPT's outside address */
#define UPLINK_HOST_DNS	       ((be32)htobe32(0xc0000003u)) /* the host's name server, port 53 */
#define UPLINK_HOST_PREFIX_LEN 29
#define UPLINK_HOST_MTU	       65520u

struct uplink_host;

struct uplink_host_conf {
	const char *name; /* of the uplink; the port is "slirp/NAME" */
	bool loopback;	  /* guests may reach the host's 127.0.0.1 as UPLINK_HOST_GATEWAY */
};

/* Starts libslirp and its port in `domain`.  0 or -errno (-EEXIST: the port's name). */
int uplink_host_new(struct sw *sw, struct loop *loop, domain_idx domain,
		    const struct uplink_host_conf *conf, struct uplink_host **ret_u);
void uplink_host_free(struct uplink_host *u); /* accepts NULL; ends every connection */
struct port *uplink_host_port(struct uplink_host *u);

/* Listens on the host at addr (0.0.0.0: any) : host_port and passes what comes to
 * UPLINK_HOST_OUTSIDE : outside_port, where the NAPT has a forward to the guest.
 * proto: IPPROTO4_TCP or IPPROTO4_UDP; ports in host order.  -EADDRINUSE, -EACCES (a
 * port below 1024), -EADDRNOTAVAIL, -EEXIST, -EPROTONOSUPPORT, -ENOSPC. */
int uplink_host_forward_add(struct uplink_host *u, uint8_t proto, be32 addr, uint16_t host_port,
			    uint16_t outside_port);
/* -ENOENT.  Connections that are open stay. */
int uplink_host_forward_del(struct uplink_host *u, uint8_t proto, be32 addr, uint16_t host_port);

struct uplink_host_stats {
	uint64_t to_host, from_host; /* frames into and out of libslirp */
	uint64_t closed_loopback;    /* UDP to UPLINK_HOST_GATEWAY that answers nothing */
	uint64_t no_socket;	     /* frames that would have needed a socket too many */
	uint64_t bad_fragments;	     /* datagrams given up: fragments that overlap or contradict */
	uint64_t no_buffer;	     /* frames from libslirp lost: no packet was free */
	uint64_t guest_errors;	     /* packets that libslirp called wrong */
	unsigned sockets;	     /* polled now */
};
struct uplink_host_stats uplink_host_stats(const struct uplink_host *u);

#endif
