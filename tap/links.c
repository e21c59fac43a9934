/* The interface table of links.h, for netdev.c.  Messages are read with libnl's low level:
 * its link objects know far more than is wanted here. */
#include "tap/links.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <netlink/errno.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/route/rtnl.h>
#include <netlink/socket.h>
#include <stdlib.h>
#include <string.h>

#define EVENT_BUFFER (1024 * 1024)

struct links {
	struct nl_sock *events;
	struct loop_fd *watch;
	void (*changed)(void *arg);
	void *arg;
	struct link *v;
	size_t n, room;
	bool dirty;
};

const struct link *links_at(const struct links *l, size_t i)
{
	return i < l->n ? &l->v[i] : NULL;
}

const struct link *links_find(const struct links *l, const char *name)
{
	for (size_t i = 0; i < l->n; i++)
		if (!strcmp(l->v[i].name, name))
			return &l->v[i];
	return NULL;
}

static struct link *find_index(struct links *l, int ifindex)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->v[i].ifindex == ifindex)
			return &l->v[i];
	return NULL;
}

static void forget(struct links *l, struct link *k)
{
	*k = l->v[--l->n];
	l->dirty = true;
}

static void put(struct links *l, const struct link *k)
{
	struct link *at = find_index(l, k->ifindex);

	if (!at) {
		if (l->n == l->room) {
			size_t room = l->room ? l->room * 2 : 32;
			struct link *more = realloc(l->v, room * sizeof(*more));
			if (!more)
				return; /* not followed: its port stays down */
			l->v = more;
			l->room = room;
		}
		at = &l->v[l->n++];
	} else if (!memcmp(at, k, offsetof(struct link, seen))) {
		at->seen = true;
		return;
	}
	*at = *k;
	l->dirty = true;
}

static int on_message(struct nl_msg *m, void *arg)
{
	struct links *l = arg;
	struct nlmsghdr *h = nlmsg_hdr(m);
	struct nlattr *tb[IFLA_MAX + 1];

	if ((h->nlmsg_type != RTM_NEWLINK && h->nlmsg_type != RTM_DELLINK) ||
	    nlmsg_parse(h, sizeof(struct ifinfomsg), tb, IFLA_MAX, NULL) < 0)
		return NL_OK;
	const struct ifinfomsg *i = nlmsg_data(h);
	if (i->ifi_family != AF_UNSPEC) /* about its place in a bridge */
		return NL_OK;
	if (h->nlmsg_type == RTM_DELLINK) {
		struct link *k = find_index(l, i->ifi_index);
		if (k)
			forget(l, k);
		return NL_OK;
	}
	struct link k;
	memset(&k, 0, sizeof(k)); /* padding too: it is compared */
	k.ifindex = i->ifi_index;
	k.flags = i->ifi_flags;
	k.type = i->ifi_type;
	k.seen = true;
	if (tb[IFLA_IFNAME])
		nla_strlcpy(k.name, tb[IFLA_IFNAME], sizeof(k.name));
	if (tb[IFLA_MTU])
		k.mtu = nla_get_u32(tb[IFLA_MTU]);
	if (tb[IFLA_ADDRESS] && nla_len(tb[IFLA_ADDRESS]) == sizeof(k.mac))
		memcpy(k.mac.b, nla_data(tb[IFLA_ADDRESS]), sizeof(k.mac));
	put(l, &k);
	return NL_OK;
}

static int open_socket(struct links *l, struct nl_sock **ret_sk)
{
	struct nl_sock *sk = nl_socket_alloc();

	if (!sk)
		return -ENOMEM;
	nl_socket_modify_cb(sk, NL_CB_VALID, NL_CB_CUSTOM, on_message, l);
	int r = nl_connect(sk, NETLINK_ROUTE);
	if (r < 0) {
		nl_socket_free(sk);
		return -EIO;
	}
	*ret_sk = sk;
	return 0;
}

/* On a socket of its own, so that the dump does not mix with events. */
static int dump(struct links *l)
{
	struct nl_sock *sk;
	int r = open_socket(l, &sk);

	if (r)
		return r;
	for (size_t i = 0; i < l->n; i++)
		l->v[i].seen = false;
	if (nl_rtgen_request(sk, RTM_GETLINK, AF_UNSPEC, NLM_F_DUMP) < 0 ||
	    nl_recvmsgs_default(sk) < 0)
		r = -EIO;
	nl_socket_free(sk);
	for (size_t i = l->n; !r && i-- > 0;)
		if (!l->v[i].seen)
			forget(l, &l->v[i]);
	return r;
}

static void on_event(void *arg, int fd, unsigned events)
{
	struct links *l = arg;
	int r;

	do {
		r = nl_recvmsgs_default(l->events);
	} while (r >= 0);
	if (r != -NLE_AGAIN) /* messages were lost */
		dump(l);
	if (l->dirty) {
		l->dirty = false;
		l->changed(l->arg);
	}
}

int links_new(struct loop *loop, void (*changed)(void *arg), void *arg, struct links **ret_links)
{
	struct links *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->changed = changed;
	l->arg = arg;
	int r = open_socket(l, &l->events);
	if (!r) {
		nl_socket_disable_seq_check(l->events);
		nl_socket_set_buffer_size(l->events, EVENT_BUFFER, 0);
		if (nl_socket_add_memberships(l->events, RTNLGRP_LINK, 0) < 0 ||
		    nl_socket_set_nonblocking(l->events) < 0)
			r = -EIO;
	}
	if (!r)
		r = dump(l); /* events from here on come after it, or say the same again */
	l->dirty = false;
	if (!r) {
		l->watch = loop_fd_new(loop, nl_socket_get_fd(l->events), LOOP_READ, on_event, l);
		r = l->watch ? 0 : -errno;
	}
	if (r)
		links_free(l);
	else
		*ret_links = l;
	return r;
}

void links_free(struct links *l)
{
	if (!l)
		return;
	loop_fd_free(l->watch);
	nl_socket_free(l->events);
	free(l->v);
	free(l);
}
