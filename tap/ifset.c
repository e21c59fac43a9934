/* Interface settings by libnl-route, for tap.c (its own interface) and hoststate.c. */
#include "tap/ifset.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/pkt_sched.h>
#include <net/if.h>
#include <netlink/errno.h>
#include <netlink/route/addr.h>
#include <netlink/route/classifier.h>
#include <netlink/route/link.h>
#include <sys/socket.h>

/* libnl's error numbers are its own; those that callers tell apart. */
static int to_errno(int nlerr)
{
	switch (nlerr < 0 ? -nlerr : nlerr) {
	case NLE_SUCCESS: return 0;
	case NLE_NODEV:
	case NLE_OBJ_NOTFOUND: return -ENODEV;
	case NLE_PERM:
	case NLE_NOACCESS: return -EPERM;
	case NLE_EXIST: return -EEXIST;
	case NLE_NOMEM: return -ENOMEM;
	case NLE_INVAL:
	case NLE_RANGE: return -EINVAL;
	default: return -EIO;
	}
}

static int open_route(struct nl_sock **ret_sk)
{
	struct nl_sock *sk = nl_socket_alloc();

	if (!sk)
		return -ENOMEM;
	int r = nl_connect(sk, NETLINK_ROUTE);
	if (r < 0) {
		nl_socket_free(sk);
		return to_errno(r);
	}
	*ret_sk = sk;
	return 0;
}

static int change(int ifindex, void (*edit)(struct rtnl_link *l, uint32_t v), uint32_t v)
{
	struct nl_sock *sk;
	int r = open_route(&sk);

	if (r)
		return r;
	struct rtnl_link *was = rtnl_link_alloc(), *to = rtnl_link_alloc();
	if (was && to) {
		rtnl_link_set_ifindex(was, ifindex);
		edit(to, v);
		r = to_errno(rtnl_link_change(sk, was, to, 0));
	} else {
		r = -ENOMEM;
	}
	rtnl_link_put(was);
	rtnl_link_put(to);
	nl_socket_free(sk);
	return r;
}

static void edit_up(struct rtnl_link *l, uint32_t up)
{
	if (up)
		rtnl_link_set_flags(l, IFF_UP);
	else
		rtnl_link_unset_flags(l, IFF_UP);
}

static void edit_mtu(struct rtnl_link *l, uint32_t mtu)
{
	rtnl_link_set_mtu(l, mtu);
}

int ifset_up(int ifindex, bool up)
{
	return change(ifindex, edit_up, up);
}

int ifset_mtu(int ifindex, uint32_t mtu)
{
	return change(ifindex, edit_mtu, mtu);
}

int ifset_address(int ifindex, struct prefix4 address)
{
	struct nl_sock *sk;
	int r = open_route(&sk);

	if (r)
		return r;
	struct rtnl_addr *a = rtnl_addr_alloc();
	struct nl_addr *local = nl_addr_build(AF_INET, &address.addr, sizeof(address.addr));
	if (a && local) {
		nl_addr_set_prefixlen(local, address.len);
		rtnl_addr_set_ifindex(a, ifindex);
		rtnl_addr_set_local(a, local);
		r = to_errno(rtnl_addr_add(sk, a, 0));
		if (r == -EEXIST)
			r = 0;
	} else {
		r = -ENOMEM;
	}
	nl_addr_put(local);
	rtnl_addr_put(a);
	nl_socket_free(sk);
	return r;
}

static int count_filters(struct nl_sock *sk, int ifindex, uint32_t hook)
{
	struct nl_cache *c;

	if (rtnl_cls_alloc_cache(sk, ifindex, TC_H_MAKE(TC_H_CLSACT, hook), &c) < 0)
		return 0;
	int n = nl_cache_nitems(c);
	nl_cache_free(c);
	return n;
}

bool ifset_has_filters(int ifindex)
{
	struct nl_sock *sk;

	if (open_route(&sk))
		return true; /* better left than taken from somebody */
	int n = count_filters(sk, ifindex, TC_H_MIN_INGRESS) +
		count_filters(sk, ifindex, TC_H_MIN_EGRESS);
	nl_socket_free(sk);
	return n > 0;
}

int ifset_flags(int ifindex, unsigned *ret_flags)
{
	struct nl_sock *sk;
	struct rtnl_link *l;
	int r = open_route(&sk);

	if (r)
		return r;
	r = to_errno(rtnl_link_get_kernel(sk, ifindex, NULL, &l));
	if (!r) {
		*ret_flags = rtnl_link_get_flags(l);
		rtnl_link_put(l);
	}
	nl_socket_free(sk);
	return r;
}
