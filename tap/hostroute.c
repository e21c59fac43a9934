/* See hostroute.h. */
#include "tap/hostroute.h"

#include <errno.h>
#include <ifaddrs.h>
#include <linux/if_packet.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <netlink/errno.h>
#include <netlink/netlink.h>
#include <netlink/route/route.h>
#include <netlink/route/rtnl.h>
#include <netlink/socket.h>
#include <stdlib.h>
#include <string.h>

#define FAR_AWAY     0x08080808u /* nothing is sent there: any address that no LAN has */
#define EVENT_BUFFER (256 * 1024)

struct hostroute {
	struct nl_sock *events, *ask;
	struct loop_fd *watch;
	struct loop_timer *soon; /* many messages are one change */
	void (*changed)(void *arg);
	void *arg;
};

static void on_timer(void *arg)
{
	struct hostroute *r = arg;

	r->changed(r->arg);
}

static void on_event(void *arg, int fd, unsigned events)
{
	struct hostroute *r = arg;

	while (nl_recvmsgs_default(r->events) >= 0)
		; /* what they say is asked for afterwards, lost ones included */
	loop_timer_arm(r->soon, 10 * NSEC_PER_MSEC);
}

static int ignore(struct nl_msg *m, void *arg)
{
	return NL_OK;
}

static int open_sockets(struct hostroute *r)
{
	r->events = nl_socket_alloc();
	r->ask = nl_socket_alloc();
	if (!r->events || !r->ask)
		return -ENOMEM;
	nl_socket_disable_seq_check(r->events);
	nl_socket_modify_cb(r->events, NL_CB_VALID, NL_CB_CUSTOM, ignore, NULL);
	if (nl_connect(r->events, NETLINK_ROUTE) < 0 || nl_connect(r->ask, NETLINK_ROUTE) < 0)
		return -EIO;
	nl_socket_set_buffer_size(r->events, EVENT_BUFFER, 0);
	if (nl_socket_add_memberships(r->events, RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR,
				      RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV4_RULE, 0) < 0 ||
	    nl_socket_set_nonblocking(r->events) < 0)
		return -EIO;
	return 0;
}

int hostroute_new(struct loop *loop, void (*changed)(void *arg), void *arg,
		  struct hostroute **ret_route)
{
	struct hostroute *r = calloc(1, sizeof(*r));
	int e;

	if (!r)
		return -ENOMEM;
	r->changed = changed;
	r->arg = arg;
	e = open_sockets(r);
	if (!e) {
		r->soon = loop_timer_new(loop, on_timer, r);
		r->watch = loop_fd_new(loop, nl_socket_get_fd(r->events), LOOP_READ, on_event, r);
		e = r->soon && r->watch ? 0 : -ENOMEM;
	}
	if (e)
		hostroute_free(r);
	else
		*ret_route = r;
	return e;
}

void hostroute_free(struct hostroute *r)
{
	if (!r)
		return;
	loop_fd_free(r->watch);
	loop_timer_free(r->soon);
	nl_socket_free(r->events);
	nl_socket_free(r->ask);
	free(r);
}

/* ---- what is now ---- */

static be32 addr4(struct nl_addr *a)
{
	be32 v = 0;

	if (a && nl_addr_get_family(a) == AF_INET && nl_addr_get_len(a) == sizeof(v))
		memcpy(&v, nl_addr_get_binary_addr(a), sizeof(v));
	return v;
}

struct way {
	int ifindex; /* 0: there is none */
	be32 from, gateway;
};

static struct way look_up(struct hostroute *r)
{
	be32 far = htobe32(FAR_AWAY);
	struct nl_addr *dst = nl_addr_build(AF_INET, &far, sizeof(far));
	struct rtnl_route *route = NULL;
	struct way w = {0};

	if (dst && rtnl_route_lookup(r->ask, dst, &route) >= 0 && route &&
	    rtnl_route_get_type(route) == RTN_UNICAST && rtnl_route_get_nnexthops(route) > 0) {
		struct rtnl_nexthop *hop = rtnl_route_nexthop_n(route, 0);
		w = (struct way){rtnl_route_nh_get_ifindex(hop), addr4(rtnl_route_get_pref_src(route)),
				 addr4(rtnl_route_nh_get_gateway(hop))};
	}
	if (route)
		rtnl_route_put(route);
	if (dst)
		nl_addr_put(dst);
	return w;
}

static uint8_t mask_len(const struct sockaddr *sa)
{
	return sa ? (uint8_t)__builtin_popcount(((const struct sockaddr_in *)sa)->sin_addr.s_addr) : 32;
}

/* The interface's MAC address, and its address `from` (0: the first) with its length. */
static void read_interface(const char *ifname, be32 from, struct hostroute_state *s)
{
	struct ifaddrs *all;

	if (getifaddrs(&all) < 0)
		return;
	for (struct ifaddrs *a = all; a; a = a->ifa_next) {
		if (!a->ifa_addr || strcmp(a->ifa_name, ifname))
			continue;
		if (a->ifa_addr->sa_family == AF_PACKET) {
			const struct sockaddr_ll *ll = (const struct sockaddr_ll *)a->ifa_addr;
			memcpy(s->mac.b, ll->sll_addr, sizeof(s->mac.b));
		} else if (a->ifa_addr->sa_family == AF_INET) {
			be32 addr = ((const struct sockaddr_in *)a->ifa_addr)->sin_addr.s_addr;
			if (from ? addr == from : !s->address.len)
				s->address = (struct prefix4){addr, mask_len(a->ifa_netmask)};
		}
	}
	freeifaddrs(all);
}

void hostroute_get(struct hostroute *r, const char *ifname, struct hostroute_state *ret_state)
{
	struct way w = look_up(r);
	char other[IF_NAMESIZE] = "?";
	int ifindex = (int)if_nametoindex(ifname);

	memset(ret_state, 0, sizeof(*ret_state)); /* padding too: it is compared */
	if (!ifindex) {
		snprintf(ret_state->why, sizeof(ret_state->why), "interface %s does not exist", ifname);
	} else if (w.ifindex && w.ifindex != ifindex) {
		if_indextoname((unsigned)w.ifindex, other);
		snprintf(ret_state->why, sizeof(ret_state->why),
			 "the host's default route leaves by %s", other);
	} else {
		read_interface(ifname, w.from, ret_state);
		ret_state->gateway = w.gateway;
		if (!ret_state->address.len)
			snprintf(ret_state->why, sizeof(ret_state->why), "%s has no IPv4 address",
				 ifname);
	}
}
