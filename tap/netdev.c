/* The netdev ports of netdev.h and their hub.
 *
 * hub_sync() is the one place where ports, patterns and interfaces are brought
 * together: it runs when a port comes or goes, when links.c reports a change, and every
 * few seconds while some interface could not be taken.  It compares what is with what
 * should be, so it may run at any time and any number of times. */
#include "tap/netdev.h"

#include <errno.h>
#include <ifaddrs.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "net/headers.h"
#include "switch/switch.h"
#include "tap/glob.h"
#include "tap/hostcut.h"
#include "tap/hoststate.h"
#include "tap/ifset.h"
#include "tap/links.h"
#include "tap/msgs.h"
#include "tap/tap.h"

#define PATTERN_MAX   64
#define SOCKET_BUFFER (8 * 1024 * 1024)
#define RETRY	      (5 * NSEC_PER_SEC)
#define OFFLOADS      (OFFLOAD_CSUM | OFFLOAD_TSO4 | OFFLOAD_TSO6 | OFFLOAD_ECN)
#define MARK_BASE     0x56000000u /* the rest is random: two switches on one host */

enum { EV_SOCKET = 1 << 0 };

struct reserved {
	struct reserved *next;
	unsigned count;
	char name[IFNAMSIZ];
};

struct netdev_hub {
	struct sw *sw;
	struct links *links;
	struct hoststate *hs; /* NULL: why not in hs_err */
	int hs_err;
	char *state_dir;
	uint32_t mark;
	unsigned offloads;
	struct netdev *all; /* in the order they were opened */
	struct reserved *reserved;
	struct loop_timer *retry;
	bool syncing;
};

struct netdev {
	/* main */
	struct netdev_hub *hub;
	struct netdev *next;
	struct port *port;
	struct netdev *pattern; /* of which this is a match; NULL: configured by itself */
	bool is_pattern, hidden;
	char interface[PATTERN_MAX];
	enum netdev_host host;
	int ifindex; /* of the interface taken; 0 = none */
	bool cut;
	struct mac mac;
	char reason[192];
	struct hostsplit *split; /* NULL but for NETDEV_HOST_SPLIT */
	/* set while stopped, then the worker's */
	int fd;
	struct msgs_rx rx;
	uint32_t overflowed; /* the socket's count of lost frames, as last seen */
};

/* ---- worker ---- */

static void take_aux(struct pkt *k, const struct tpacket_auxdata *a)
{
	if (!(a->tp_status & TP_STATUS_VLAN_VALID))
		return;
	k->tag.tci = a->tp_vlan_tci;
	k->tag.tpid = a->tp_status & TP_STATUS_VLAN_TPID_VALID ? a->tp_vlan_tpid : ETHERTYPE_VLAN;
}

static enum drop_reason netdev_accept(struct port *p, struct worker *w, struct pkt *k,
				      struct msghdr *m)
{
	struct netdev *d = p->priv;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level == SOL_PACKET && c->cmsg_type == PACKET_AUXDATA) {
			take_aux(k, (const struct tpacket_auxdata *)CMSG_DATA(c));
		} else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL) {
			uint32_t lost;
			memcpy(&lost, CMSG_DATA(c), sizeof(lost));
			if (lost != d->overflowed)
				port_rx_lost(p, DROP_RX_OVERRUN, lost - d->overflowed, 0);
			d->overflowed = lost;
		}
	}
	return DROP_NONE;
}

static unsigned netdev_rx_burst(struct port *p, unsigned queue, struct worker *w, struct pkt **out,
				 unsigned max)
{
	struct netdev *d = p->priv;
	int err;
	unsigned n = msgs_rx_burst(&d->rx, d->fd, p, w, out, max, &err);

	if (err == EINVAL) /* a kind of segmentation that virtio_net_hdr has no word for */
		port_rx_lost(p, DROP_RX_BAD_OFFLOAD, 1, 0);
	else if (err)
		port_event(p, EV_SOCKET);
	return n;
}

static void netdev_tx_burst(struct port *p, struct worker *w, struct pkt_out *v, unsigned n)
{
	struct netdev *d = p->priv;

	msgs_tx_burst(d->fd, true, NULL, 0, v, n);
}

/* ---- main: what an interface must be ---- */

static bool has_default_route(const char *path, const char *ifname, bool v6)
{
	FILE *f = fopen(path, "re");
	char line[512], dev[IFNAMSIZ + 1], dst[33];
	unsigned long mask;
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f)) {
		/* IPv6 lists a reject route by the name of lo */
		if (v6)
			found = sscanf(line, "%32s %lx %*s %*s %*s %*s %*s %*s %*s %16s", dst,
				       &mask, dev) == 3 &&
				!mask && strspn(dst, "0") == 32 && !strcmp(dev, ifname);
		else
			found = sscanf(line, "%16s %32s %*s %*s %*s %*s %*s %lx", dev, dst,
				       &mask) == 3 &&
				!mask && !strcmp(dst, "00000000") && !strcmp(dev, ifname);
	}
	if (f)
		fclose(f);
	return found;
}

static bool is_users_address(const struct sockaddr *sa)
{
	if (!sa)
		return false;
	if (sa->sa_family == AF_INET)
		return true;
	return sa->sa_family == AF_INET6 &&
	       !IN6_IS_ADDR_LINKLOCAL(&((const struct sockaddr_in6 *)sa)->sin6_addr);
}

bool netdev_carries_address(const char *ifname)
{
	struct ifaddrs *all;
	bool found = false;

	if (getifaddrs(&all) == 0) {
		for (struct ifaddrs *a = all; a && !found; a = a->ifa_next)
			found = !strcmp(a->ifa_name, ifname) && is_users_address(a->ifa_addr);
		freeifaddrs(all);
	}
	return found || has_default_route("/proc/net/route", ifname, false) ||
	       has_default_route("/proc/net/ipv6_route", ifname, true);
}

/* ---- main: taking an interface ---- */

static int fail(struct netdev *d, const char *what, int err)
{
	snprintf(d->reason, sizeof(d->reason), "cannot %s: %s", what, strerror(-err));
	return err;
}

static int set_options(const struct netdev *d, int fd)
{
	static const struct {
		int level, name, value;
		bool must;
	} opt[] = {
		{SOL_PACKET, PACKET_VNET_HDR, 1, true},
		{SOL_PACKET, PACKET_AUXDATA, 1, true},
		{SOL_SOCKET, SO_RXQ_OVFL, 1, false},
		{SOL_SOCKET, SO_RCVBUF, SOCKET_BUFFER, false},
		{SOL_SOCKET, SO_RCVBUFFORCE, SOCKET_BUFFER, false},
		{SOL_SOCKET, SO_SNDBUF, SOCKET_BUFFER, false},
		{SOL_SOCKET, SO_SNDBUFFORCE, SOCKET_BUFFER, false},
	};
	int one = 1, r;

	for (size_t i = 0; i < ARRAY_SIZE(opt); i++)
		if (setsockopt(fd, opt[i].level, opt[i].name, &opt[i].value, sizeof(int)) < 0 &&
		    opt[i].must)
			return -errno;
	if (d->split && (r = hostcut_split_socket(fd, d->split)))
		return r;
	if (d->host == NETDEV_HOST_SHARE) /* what the host sends is for the switch too */
		return hostcut_mark_socket(fd, d->hub->mark);
	return setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) < 0 ? -errno
											 : 0;
}

/* Bound last, so that no frame is queued before the options stand. */
static int open_socket(struct netdev *d, const struct link *k)
{
	struct sockaddr_ll sa = {
		.sll_family = AF_PACKET,
		.sll_protocol = htobe16(ETH_P_ALL),
		.sll_ifindex = k->ifindex,
	};
	struct packet_mreq promisc = {.mr_ifindex = k->ifindex, .mr_type = PACKET_MR_PROMISC};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return fail(d, "open a packet socket", -errno);
	int r = set_options(d, fd);
	if (!r && !d->split && /* its own MAC address is the interface's */
	    setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promisc, sizeof(promisc)) < 0)
		r = -errno;
	if (!r && bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		r = -errno;
	if (r) {
		close(fd);
		return fail(d, "set up the packet socket", r);
	}
	d->fd = fd;
	d->overflowed = 0;
	d->rx = (struct msgs_rx){.vnet = true, .control = true, .accept = netdev_accept};
	return 0;
}

static bool changes_host(const struct netdev *d)
{
	return d->host != NETDEV_HOST_NONE;
}

static int cut(struct netdev *d, const struct link *k)
{
	struct netdev_hub *h = d->hub;
	bool share = d->host == NETDEV_HOST_SHARE;
	int r = 0;

	if (!h->hs) {
		snprintf(d->reason, sizeof(d->reason),
			 "cannot keep a journal of host changes in %s: %s", h->state_dir,
			 h->hs_err == -EBUSY ? "another vswitchd uses it" : strerror(-h->hs_err));
		return h->hs_err;
	}
	if (d->split) {
		d->cut = true;
		return hostcut_attach_split(h->hs, k->ifindex, k->name, d->split, d->reason,
					    sizeof(d->reason));
	}
	if (!share && !(k->flags & IFF_UP)) {
		r = hoststate_record(h->hs, k->ifindex, k->name, HOSTSTATE_UP, 0);
		if (!r && (r = ifset_up(k->ifindex, true)))
			hoststate_forget(h->hs, k->ifindex, HOSTSTATE_UP);
		if (r)
			return fail(d, "set the interface up", r);
	}
	d->cut = true;
	return hostcut_attach(h->hs, k->ifindex, k->name, k->mac,
			      share ? HOSTCUT_SHARE : HOSTCUT_EXCLUDE, h->mark, d->reason,
			      sizeof(d->reason));
}

static void detach(struct netdev *d)
{
	if (d->port)
		port_stop(d->port);
	if (d->fd >= 0)
		close(d->fd);
	d->fd = -1;
	if (d->cut)
		hostcut_detach(d->hub->hs, d->ifindex);
	d->cut = false;
	d->ifindex = 0;
}

static int attach(struct netdev *d, const struct link *k)
{
	if (k->type != ARPHRD_ETHER) {
		snprintf(d->reason, sizeof(d->reason), "%s is not an Ethernet interface", k->name);
		return -EINVAL;
	}
	if (d->host == NETDEV_HOST_UNSET && netdev_carries_address(k->name)) {
		snprintf(d->reason, sizeof(d->reason),
			 "%s carries an address or default route of the host; say host: exclude or "
			 "host: share",
			 k->name);
		return -EADDRINUSE;
	}
	d->ifindex = k->ifindex;
	d->mac = k->mac;
	int r = changes_host(d) ? cut(d, k) : 0;
	if (!r)
		r = open_socket(d, k);
	if (r)
		detach(d);
	return r;
}

/* ---- main: following it ---- */

/* Link state and MTU; the port is attached. */
static void follow(struct netdev *d, const struct link *k)
{
	struct port_caps caps = {.offloads = d->hub->offloads, .mtu = k->mtu};
	bool up = k->flags & IFF_UP && k->flags & IFF_RUNNING;
	struct port *p = d->port;

	if (p->running && (!up || p->caps.mtu != caps.mtu))
		port_stop(p);
	if (!up) {
		snprintf(d->reason, sizeof(d->reason), "%s %s", k->name,
			 k->flags & IFF_UP ? "has no carrier" : "is set down");
		return;
	}
	if (p->running)
		return;
	port_set_caps(p, caps);
	int r = port_start(p, d->fd);
	if (r)
		fail(d, "start", r);
	else
		d->reason[0] = 0;
}

/* false: the interface is there but could not be taken. */
static bool sync_one(struct netdev *d)
{
	const struct link *k = links_find(d->hub->links, d->interface);

	if (d->ifindex && (!k || k->ifindex != d->ifindex ||
			   (d->host == NETDEV_HOST_SHARE && !mac_eq(k->mac, d->mac))))
		detach(d);
	if (!k) {
		snprintf(d->reason, sizeof(d->reason), "interface %s does not exist", d->interface);
		return true;
	}
	if (!d->ifindex && attach(d, k))
		return false;
	follow(d, k);
	return true;
}

/* ---- the hub: who gets which interface ---- */

static bool is_reserved(const struct netdev_hub *h, const char *ifname)
{
	for (const struct reserved *r = h->reserved; r; r = r->next)
		if (!strcmp(r->name, ifname))
			return true;
	return false;
}

/* An interface that would be the switch's port twice. */
static bool is_own_tap(const struct netdev_hub *h, const char *ifname)
{
	for (unsigned i = 0, n = sw_port_count(h->sw); i < n; i++) {
		const struct port *p = sw_port_at(h->sw, (port_idx)i);
		if (p && tap_holds(p, ifname))
			return true;
	}
	return false;
}

/* The pattern that takes the interface; NULL when none does. */
static struct netdev *pattern_for(const struct netdev_hub *h, const struct link *k)
{
	struct netdev *best = NULL;

	if (k->type != ARPHRD_ETHER || is_reserved(h, k->name))
		return NULL;
	for (struct netdev *d = h->all; d; d = d->next) {
		if (!d->is_pattern && !d->pattern && !strcmp(d->interface, k->name))
			return NULL;
		if (d->is_pattern && glob_match(d->interface, k->name) &&
		    (!best || glob_literals(d->interface) > glob_literals(best->interface)))
			best = d;
	}
	return best && !is_own_tap(h, k->name) ? best : NULL;
}

static struct netdev *match_of(const struct netdev_hub *h, const char *ifname)
{
	for (struct netdev *d = h->all; d; d = d->next)
		if (d->pattern && !strcmp(d->interface, ifname))
			return d;
	return NULL;
}

/* Ends matches whose interface is gone or somebody else's now. */
static void drop_matches(struct netdev_hub *h)
{
	struct netdev *d = h->all;

	while (d) {
		const struct link *k = d->pattern ? links_find(h->links, d->interface) : NULL;
		if (d->pattern && (!k || pattern_for(h, k) != d->pattern)) {
			sw_port_del(d->port); /* takes it out of the list */
			d = h->all;
		} else {
			d = d->next;
		}
	}
}

static void add_match(struct netdev *pattern, const char *ifname);

static void add_matches(struct netdev_hub *h)
{
	const struct link *k;

	for (size_t i = 0; (k = links_at(h->links, i)); i++) {
		struct netdev *pattern = pattern_for(h, k);
		if (pattern && !match_of(h, k->name))
			add_match(pattern, k->name);
	}
}

static void hub_sync(void *arg)
{
	struct netdev_hub *h = arg;
	bool again = false;

	if (h->syncing) /* from sw_port_del() in drop_matches() */
		return;
	h->syncing = true;
	drop_matches(h);
	add_matches(h);
	for (struct netdev *d = h->all; d; d = d->next)
		if (!d->is_pattern && !sync_one(d))
			again = true;
	if (again)
		loop_timer_arm(h->retry, RETRY);
	h->syncing = false;
}

static void enlist(struct netdev *d)
{
	struct netdev **at = &d->hub->all;

	while (*at)
		at = &(*at)->next;
	*at = d;
}

static void delist(struct netdev *d)
{
	for (struct netdev **at = &d->hub->all; *at; at = &(*at)->next) {
		if (*at == d) {
			*at = d->next;
			return;
		}
	}
}

int netdev_hub_reserve(struct netdev_hub *h, const char *ifname)
{
	struct reserved *r = h->reserved;

	while (r && strcmp(r->name, ifname))
		r = r->next;
	if (!r) {
		r = calloc(1, sizeof(*r));
		if (!r)
			return -ENOMEM;
		snprintf(r->name, sizeof(r->name), "%s", ifname);
		r->next = h->reserved;
		h->reserved = r;
	}
	r->count++;
	hub_sync(h);
	return 0;
}

void netdev_hub_unreserve(struct netdev_hub *h, const char *ifname)
{
	for (struct reserved **at = &h->reserved; *at; at = &(*at)->next) {
		struct reserved *r = *at;
		if (strcmp(r->name, ifname))
			continue;
		if (!--r->count) {
			*at = r->next;
			free(r);
			hub_sync(h);
		}
		return;
	}
}

/* UDP segmentation came to virtio_net_hdr with Linux 6.2. */
static bool kernel_has_uso(void)
{
	struct utsname u;
	unsigned major = 0, minor = 0;

	if (uname(&u) < 0 || sscanf(u.release, "%u.%u", &major, &minor) != 2)
		return false;
	return major > 6 || (major == 6 && minor >= 2);
}

int netdev_hub_new(struct sw *sw, struct loop *loop, const char *state_dir, FILE *log,
		   struct netdev_hub **ret_hub)
{
	struct netdev_hub *h = calloc(1, sizeof(*h));
	uint32_t random = 0;
	int r;

	if (!h)
		return -ENOMEM;
	h->sw = sw;
	h->offloads = OFFLOADS | (kernel_has_uso() ? OFFLOAD_USO : 0);
	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0)
		random = (uint32_t)getpid();
	h->mark = MARK_BASE | (random & 0xffffff);
	h->state_dir = strdup(state_dir);
	h->retry = loop_timer_new(loop, hub_sync, h);
	r = h->state_dir && h->retry ? 0 : -ENOMEM;
	if (!r) {
		h->hs_err = hoststate_open(state_dir, &h->hs);
		if (!h->hs_err)
			hoststate_restore_all(h->hs, log);
		r = links_new(loop, hub_sync, h, &h->links);
	}
	if (r)
		netdev_hub_free(h);
	else
		*ret_hub = h;
	return r;
}

void netdev_hub_free(struct netdev_hub *h)
{
	if (!h)
		return;
	for (struct netdev *d = h->all; d; d = d->next) { /* ports that outlive it are dead */
		detach(d);
		d->hub = NULL;
	}
	links_free(h->links);
	hoststate_close(h->hs);
	loop_timer_free(h->retry);
	while (h->reserved) {
		struct reserved *r = h->reserved;
		h->reserved = r->next;
		free(r);
	}
	free(h->state_dir);
	free(h);
}

/* ---- the rest of the contract ---- */

static void netdev_event(struct port *p, unsigned code)
{
	struct netdev *d = p->priv;

	if (d->hub)
		hub_sync(d->hub);
}

static unsigned count_matches(const struct netdev *pattern)
{
	unsigned n = 0;

	for (const struct netdev *d = pattern->hub ? pattern->hub->all : NULL; d; d = d->next)
		n += d->pattern == pattern;
	return n;
}

static void netdev_describe(struct port *p, port_describe_fn *fn, void *arg)
{
	static const char *const host[] = {
		[NETDEV_HOST_UNSET] = "exclude",
		[NETDEV_HOST_EXCLUDE] = "exclude",
		[NETDEV_HOST_SHARE] = "share",
		[NETDEV_HOST_NONE] = "none",
		[NETDEV_HOST_SPLIT] = "split",
	};
	struct netdev *d = p->priv;
	char text[64];

	fn(arg, "interface", d->interface);
	fn(arg, "host", host[d->host]);
	if (d->is_pattern) {
		snprintf(text, sizeof(text), "a pattern, which %u interfaces match now",
			 count_matches(d));
		fn(arg, "reason", text);
		return;
	}
	if (d->reason[0]) {
		fn(arg, "reason", d->reason);
		return;
	}
	fn(arg, "offloads",
	   p->caps.offloads & OFFLOAD_USO ? "csum tso4 tso6 ecn uso" : "csum tso4 tso6 ecn");
	snprintf(text, sizeof(text), "%u", p->caps.mtu);
	fn(arg, "mtu", text);
}

static void netdev_close(struct port *p)
{
	struct netdev *d = p->priv;
	struct netdev_hub *h = d->hub;

	d->port = NULL; /* stopped already */
	if (h) {
		detach(d);
		delist(d);
		if (!h->syncing) /* a pattern may want what the port had */
			loop_timer_arm(h->retry, 0);
	}
	free(d->split);
	free(d);
}

static const struct port_ops netdev_ops = {
	.type = "netdev",
	.rx_burst = netdev_rx_burst,
	.tx_burst = netdev_tx_burst,
	.event = netdev_event,
	.describe = netdev_describe,
	.close = netdev_close,
};

static int add_port(struct netdev_hub *h, const char *name, const struct netdev *like,
		    const struct port_conf *conf, struct port *parent, struct netdev **ret_netdev)
{
	struct netdev *d = malloc(sizeof(*d));

	if (!d)
		return -ENOMEM;
	*d = *like;
	d->hub = h;
	d->fd = -1;
	int r = sw_port_add(h->sw, name, &netdev_ops, d, conf, (struct port_caps){0}, d->hidden,
			    parent, &d->port);
	if (r) {
		free(d);
		return r;
	}
	enlist(d);
	*ret_netdev = d;
	return 0;
}

static void add_match(struct netdev *pattern, const char *ifname)
{
	struct netdev like = {.pattern = pattern, .host = pattern->host, .hidden = pattern->hidden};
	char name[PORT_NAME_MAX];
	struct netdev *d;

	snprintf(like.interface, sizeof(like.interface), "%s", ifname);
	int n = snprintf(name, sizeof(name), "%s/%s", pattern->port->name, ifname);
	/* when the switch is full, the next sync tries again */
	if (n < (int)sizeof(name))
		add_port(pattern->hub, name, &like, atomic_load(&pattern->port->conf),
			 pattern->port, &d);
}

void netdev_set_split(struct port *p, const struct hostsplit *s)
{
	struct netdev *d = p->priv;
	int r = 0;

	*d->split = *s;
	if (d->fd < 0 || !d->hub)
		return;
	r = hostcut_attach_split(d->hub->hs, d->ifindex, d->interface, s, d->reason, sizeof(d->reason));
	if (!r)
		r = hostcut_split_socket(d->fd, s);
	if (r) /* the next sync tries anew, and says why not */
		detach(d);
	if (r)
		loop_timer_arm(d->hub->retry, 0);
}

int netdev_open(struct sw *sw, struct loop *loop, const char *name, const struct netdev_config *cfg,
		const struct port_conf *conf, struct port **ret_port)
{
	struct netdev like = {.host = cfg->host,
			      .hidden = cfg->hidden,
			      .is_pattern = glob_is(cfg->interface)};
	size_t len = strlen(cfg->interface);
	struct netdev *d;

	if (!len || len >= (like.is_pattern ? PATTERN_MAX : IFNAMSIZ) ||
	    strchr(cfg->interface, '/'))
		return -EINVAL;
	snprintf(like.interface, sizeof(like.interface), "%s", cfg->interface);
	if (cfg->host == NETDEV_HOST_SPLIT && !(like.split = malloc(sizeof(*like.split))))
		return -ENOMEM;
	if (like.split)
		*like.split = *cfg->split;
	int r = add_port(cfg->hub, name, &like, conf, NULL, &d);
	if (r) {
		free(like.split);
		return r;
	}
	hub_sync(cfg->hub);
	*ret_port = d->port;
	return 0;
}
