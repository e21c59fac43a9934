/* The inside port of a network: what the gateway answers itself, what it hands to the
 * services on the main thread, and what may go on to nat/napt.c. */
#include "nat/gateway.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nat/igd.h"
#include "nat/internal.h"
#include "nat/portctl.h"

#define PORT_DNS 53u
#define PORT_DHCP_SERVER 67u

#define UDP_TIMEOUT_S 300u   /* RFC 4787 REQ-5c */
#define TCP_EST_S 7440u      /* RFC 5382 REQ-5: 2 hours 4 minutes */
#define TCP_TRANS_S 240u     /* RFC 5382 REQ-5 */
#define ICMP_TIMEOUT_S 60u   /* RFC 5508 REQ-2 */
#define SESSIONS_PER_GUEST 4096u

static const struct port_caps all_caps = {
	.offloads = OFFLOAD_CSUM | OFFLOAD_TSO4 | OFFLOAD_TSO6 | OFFLOAD_ECN | OFFLOAD_USO,
};

/* ---- packets for the main thread ---- */

enum drop_reason transit_hand_up(struct transit *t, struct slow_sink *sink)
{
	struct port *offered_to = t->origin;

	if (!transit_own(t))
		return DROP_SVC_QUEUE;
	if (t->k->n_tail && t->k->tail != &t->k->own_tail) { /* its bytes are only lent */
		struct pkt *c = pkt_copy(worker_pool(t->w), t->k);
		if (!c)
			return DROP_SVC_QUEUE;
		if (!t->origin)
			pkt_free(worker_pool(t->w), t->k);
		t->k = c;
		t->origin = NULL;
	}
	t->k->offered_to = offered_to;
	if (!worker_slow_up(t->w, sink, t->k))
		return DROP_SVC_QUEUE;
	t->k = NULL;
	return DROP_NONE;
}

static enum drop_reason to_service(struct gateway *g, struct transit *t, enum gateway_service s)
{
	static const unsigned flag[] = {GATEWAY_SERVE_DHCP, GATEWAY_SERVE_DNS};
	struct slow_sink *sink = g->sink[s];

	if (sink && (g->conf.flags & flag[s]))
		return transit_hand_up(t, sink);
	icmp_error(g->nat, &t->leg->nif, &g->icmp, t, ICMP4_UNREACHABLE, ICMP4_UNREACH_PORT, 0);
	return DROP_SVC_OFF;
}

/* Whoever listens at a port: its own socket, or the one for all. */
static struct slow_sink *listener(const struct gateway *g, uint16_t port)
{
	struct slow_sink *any = NULL;

	for (unsigned i = 0; i < GATEWAY_SOCKETS; i++) {
		const struct udp_socket *s = &g->socket[i];
		if (s->sink && s->port == port)
			return s->sink;
		if (s->sink && !s->port)
			any = s->sink;
	}
	return any;
}

enum drop_reason gateway_deliver(struct gateway *g, struct transit *t, uint16_t port)
{
	struct slow_sink *sink = listener(g, port);

	return sink ? transit_hand_up(t, sink) : DROP_GW_LOCAL_CLOSED;
}

/* ---- what is for the gateway itself ---- */

static bool is_local(const struct gateway *g, be32 dst)
{
	return dst == g->conf.address.addr || (dst == g->conf.dns_address && dst);
}

static bool is_dhcp(const struct pkt *k)
{
	return k->ip_proto == IPPROTO4_UDP && (k->flags & PKT_L4) &&
	       pkt_udp(k)->dport == htobe16(PORT_DHCP_SERVER);
}

/* Ports where something may listen; a sink that is not there is a closed port. */
static struct slow_sink *optional_sink(const struct gateway *g, uint16_t port)
{
	return port == PORTCTL_PORT ? g->sink[GATEWAY_PORTCTL] : port == IGD_SSDP_PORT ? g->sink[GATEWAY_SSDP] : NULL;
}

static enum drop_reason local_udp(struct gateway *g, struct transit *t)
{
	struct slow_sink *sink = optional_sink(g, be16toh(pkt_udp(t->k)->dport));

	if (sink)
		return transit_hand_up(t, sink);
	switch (be16toh(pkt_udp(t->k)->dport)) {
	case PORT_DHCP_SERVER:
		return to_service(g, t, GATEWAY_DHCP);
	case PORT_DNS:
		return to_service(g, t, GATEWAY_DNS);
	default:
		icmp_error(g->nat, &t->leg->nif, &g->icmp, t, ICMP4_UNREACHABLE, ICMP4_UNREACH_PORT, 0);
		return DROP_GW_LOCAL_CLOSED;
	}
}

static enum drop_reason local_tcp(struct gateway *g, struct transit *t)
{
	if (pkt_tcp(t->k)->dport == htobe16(PORT_DNS) && g->dns_upstream && g->up)
		return napt_from_inside(g, t);
	if (g->sink[GATEWAY_HTTP] && pkt_tcp(t->k)->dport == htobe16(IGD_HTTP_PORT) && t->leg == &g->leg &&
	    pkt_ip4(t->k)->dst == g->conf.address.addr)
		return transit_hand_up(t, g->sink[GATEWAY_HTTP]);
	tcp_reset(g->nat, &t->leg->nif, &g->icmp, t);
	return DROP_GW_LOCAL_CLOSED;
}

static enum drop_reason local_icmp(struct gateway *g, struct transit *t)
{
	if (pkt_icmp(t->k)->type == ICMP4_ECHO) {
		icmp_echo_reply(&t->leg->nif, t);
		return DROP_NONE;
	}
	return icmp_is_error(t->k) ? napt_icmp_from_inside(g, t) : DROP_GW_LOCAL_CLOSED;
}

/* RFC 1122 3.3.2: a host puts fragments together.  Of what the gateway serves only echo
 * requests come so large. */
static enum drop_reason local_fragment(struct gateway *g, struct transit *t)
{
	struct transit one = *t;
	struct pkt *others = NULL;
	bool whole = false;

	if (t->k->ip_proto != IPPROTO4_ICMP)
		return DROP_GW_FRAGMENT;
	if (!frag_is_later(t->k) && (!(t->k->flags & PKT_L4) || pkt_icmp(t->k)->type != ICMP4_ECHO))
		return DROP_GW_FRAGMENT;
	enum drop_reason why = frag_gather(g->nat, t, g->port, &whole, &others);
	if (why || !whole)
		return why;
	for (struct pkt *next; others; others = next) {
		next = others->next;
		one.k = others;
		icmp_echo_reply(&t->leg->nif, &one);
		pkt_free(worker_pool(t->w), others);
	}
	icmp_echo_reply(&t->leg->nif, t);
	return DROP_NONE;
}

static enum drop_reason local_input(struct gateway *g, struct transit *t)
{
	if (t->k->flags & PKT_FRAGMENT)
		return local_fragment(g, t);
	if (!(t->k->flags & PKT_L4))
		return DROP_GW_LOCAL_CLOSED;
	switch (t->k->ip_proto) {
	case IPPROTO4_UDP:
		return local_udp(g, t);
	case IPPROTO4_TCP:
		return local_tcp(g, t);
	default:
		return local_icmp(g, t);
	}
}

/* ---- what comes in ---- */

static bool may_send(const struct leg *l, be32 src)
{
	const struct gateway *g = l->gw;
	struct prefix4 p = g->conf.address;

	if (is_local(g, src))
		return false;
	if (!prefix4_contains(p, src))
		return g->conf.mode == GATEWAY_ROUTED && routing_has_source(l, src);
	/* the first and last address are nobody's, but in a /31 (RFC 3021) or /32 */
	return p.len >= 31 || (src != prefix4_network(p) && src != prefix4_broadcast(p));
}

static enum drop_reason route_or_translate(struct gateway *g, struct transit *t)
{
	return g->conf.mode == GATEWAY_ROUTED ? routing_from_inside(g, t) : napt_from_inside(g, t);
}

#define SSDP_GROUP 0xeffffffau /* 239.255.255.250 */

/* To a group: of interest is a search for gateways, if anything; the rest stays in the network. */
static enum drop_reason group_input(struct gateway *g, struct transit *t)
{
	const struct ip4_hdr *ip = pkt_ip4(t->k);

	if (likely(!g->sink[GATEWAY_SSDP]) || ip->dst != htobe32(SSDP_GROUP) || ip->proto != IPPROTO4_UDP ||
	    !(t->k->flags & PKT_L4) || (t->k->flags & PKT_FRAGMENT) ||
	    pkt_udp(t->k)->dport != htobe16(IGD_SSDP_PORT) || !may_send(t->leg, ip->src))
		return DROP_NONE;
	return transit_hand_up(t, g->sink[GATEWAY_SSDP]);
}

static enum drop_reason ip4_input(struct gateway *g, struct transit *t, bool group)
{
	const struct ip4_hdr *ip = pkt_ip4(t->k);

	if (unlikely(is_dhcp(t->k)) && (group || ip->dst == g->conf.address.addr || ip->dst == ~(be32)0))
		return (g->conf.flags & GATEWAY_SERVE_DHCP) || !group ? to_service(g, t, GATEWAY_DHCP)
								       : DROP_NONE;
	if (group)
		return group_input(g, t);
	if (unlikely(!may_send(t->leg, ip->src)))
		return ip4_is_martian(ip->src) ? DROP_GW_MARTIAN : DROP_GW_SPOOFED;
	if (unlikely(is_local(g, ip->dst)))
		return local_input(g, t);
	if (unlikely(g->conf.mode == GATEWAY_HOST_ONLY)) {
		icmp_error(g->nat, &t->leg->nif, &g->icmp, t, ICMP4_UNREACHABLE, ICMP4_UNREACH_ADMIN, 0);
		return DROP_GW_HOST_ONLY;
	}
	if (unlikely(g->up && ip->dst == g->up->conf.address.addr && t->k->ip_proto == IPPROTO4_ICMP &&
		     (t->k->flags & PKT_L4) && pkt_icmp(t->k)->type == ICMP4_ECHO)) {
		icmp_echo_reply(&t->leg->nif, t); /* the outside address is ours as well */
		return DROP_NONE;
	}
	return route_or_translate(g, t);
}

static enum drop_reason input(void *self, struct transit *t)
{
	struct gateway *g = self;
	struct mac dst = pkt_eth(t->k)->dst;
	bool group = mac_is_group(dst);

	t->leg = g->nat->leg_of[t->k->domain];
	if (unlikely(!t->leg || t->leg->gw != g))
		return DROP_NO_DOMAIN; /* it was taken away under the packet */
	if (!group && unlikely(!mac_eq(dst, t->leg->nif.mac)))
		return DROP_NONE; /* flooded, for somebody else */
	if (likely((t->k->flags & PKT_IP4) && t->k->l3_off == ETH_HLEN_))
		return ip4_input(g, t, group);
	if (t->k->flags & PKT_ARP) {
		if (t->k->l3_off == ETH_HLEN_)
			neigh_arp_input(&g->nat->neigh, &t->leg->nif, t->w, t->now, t->k);
		return DROP_NONE;
	}
	if ((t->k->flags & PKT_IP6) && t->k->l3_off == ETH_HLEN_ && g->conf.address6.len)
		return gateway6_input(g, t, group);
	if (group)
		return DROP_NONE;
	return t->k->type == ETHERTYPE_IP6 ? DROP_GW_IPV6 : DROP_GW_NOT_MINE;
}

static void tx_burst(struct port *p, struct worker *w, struct pkt_out *v, unsigned n)
{
	napt_prefetch(((struct gateway *)p->priv)->nat, v, n, true);
	for (unsigned i = 0; i < n; i++)
		transit_run(p->priv, w, p, &v[i], input);
}

static nsec_t tick(struct port *p, struct worker *w, nsec_t now)
{
	struct gateway *g = p->priv;

	return nat_tick(p, g->nat, w, now);
}

static void describe(struct port *p, port_describe_fn *fn, void *arg)
{
	const struct gateway *g = p->priv;
	char mac[MAC_STRLEN], prefix[PREFIX_STRLEN];

	fn(arg, "mac", mac_format(g->conf.mac, mac));
	fn(arg, "address", prefix4_format(g->conf.address, prefix));
	fn(arg, "uplink", g->up ? g->up->conf.name : "none");
}

static void close_port(struct port *p)
{
	(void)p; /* gateway_free() owns what there is */
}

static const struct port_ops ops = {
	.type = "gateway",
	.on_first_worker = true,
	.tx_burst = tx_burst,
	.tick = tick,
	.describe = describe,
	.close = close_port,
};

/* A guest that was to get a packet does not answer ARP: its sender outside is told. */
static void lost(struct neigh_if *nif, struct worker *w, nsec_t now, struct pkt *k)
{
	struct leg *leg = container_of(nif, struct leg, nif);
	struct gateway *g = leg->gw;
	struct transit t = {.w = w, .now = now, .leg = leg, .quiet = true};

	if (!bucket_take(&g->icmp, now))
		return;
	if (k->flags & PKT_IP6) {
		routing6_lost(g->nat, nif, k, w);
		return;
	}
	if (routing_lost(g->nat, nif, w, now, k) || !g->up)
		return;
	t.k = icmp_build_error(w, nif->address.addr, k, ICMP4_UNREACHABLE, ICMP4_UNREACH_HOST, 0);
	if (!t.k)
		return;
	pkt_eth(t.k)->src = pkt_eth(t.k)->dst = nif->mac;
	t.k->domain = leg->domain;
	if (pkt_parse(t.k) == DROP_NONE && napt_icmp_from_inside(g, &t) == DROP_NONE)
		g->nat->icmp_sent++;
	pkt_free(worker_pool(w), t.k);
}

/* ---- main thread ---- */

static nsec_t seconds(uint32_t given, uint32_t standard)
{
	return (given ? given : standard) * NSEC_PER_SEC;
}

static void leg_set_conf(struct leg *l)
{
	const struct gateway_conf *c = &l->gw->conf;

	l->nif.mac = c->mac;
	l->nif.address = c->address;
	l->nif.address6 = c->address6;
	l->nif.also = c->dns_address;
	l->nif.mtu = c->mtu;
}

static void leg_init(struct leg *l, struct gateway *g, domain_idx d)
{
	*l = (struct leg){.gw = g, .domain = d};
	neigh_if_init(&l->nif);
	l->nif.domain = d;
	l->nif.port = g->port;
	l->nif.lost = lost;
	leg_set_conf(l);
}

/* Takes over conf, defaults filled in. */
static void set_conf(struct gateway *g, const struct gateway_conf *c)
{
	g->conf = *c;
	g->conf.network[NAT_NAME_MAX - 1] = 0;
	if (!g->conf.mtu)
		g->conf.mtu = MTU_DEFAULT;
	if (!g->conf.sessions_per_guest)
		g->conf.sessions_per_guest = SESSIONS_PER_GUEST;
	if (c->npt.len) {
		g->conf.npt.len = NPT_LEN;
		npt_init(&g->npt, c->address6.addr, c->npt.addr);
	}
	g->udp_ns = seconds(c->udp_timeout_s, UDP_TIMEOUT_S);
	g->tcp_est_ns = seconds(c->tcp_established_s, TCP_EST_S);
	g->tcp_trans_ns = seconds(c->tcp_transitory_s, TCP_TRANS_S);
	g->icmp_ns = seconds(c->icmp_timeout_s, ICMP_TIMEOUT_S);
	leg_set_conf(&g->leg);
	for (struct leg *l = g->legs; l; l = l->next)
		leg_set_conf(l);
}

static void do_attach(struct worker *w, void *arg)
{
	struct gateway *g = arg, **at = &g->nat->gateways;

	while (*at)
		at = &(*at)->next;
	*at = g;
	g->nat->leg_of[g->leg.domain] = &g->leg;
	routing_enter(g);
	nat_add_ticker(g->nat, w, g->port);
}

static bool of_leg(const struct session *s, const void *leg)
{
	return s->m->leg == leg;
}

struct leg_call {
	struct gateway *g;
	struct leg *leg;
	domain_idx domain;
};

static void do_leg_add(struct worker *w, void *arg)
{
	struct leg_call *c = arg;

	(void)w;
	c->leg->next = c->g->legs;
	c->g->legs = c->leg;
	c->g->nat->leg_of[c->domain] = c->leg;
	forwards_enter(c->g);
}

static void do_leg_del(struct worker *w, void *arg)
{
	struct leg_call *c = arg;
	struct nat *n = c->g->nat;
	struct leg **at = &c->g->legs;

	while (*at && (*at)->domain != c->domain)
		at = &(*at)->next;
	c->leg = *at;
	if (!c->leg)
		return;
	*at = c->leg->next;
	forwards_leave_leg(c->g, c->leg);
	flow_end_if(&n->flow, of_leg, c->leg);
	frag_forget(n, w, &c->leg->nif);
	neigh_if_flush(&n->neigh, &c->leg->nif, w);
	n->leg_of[c->domain] = NULL;
}

int gateway_leg_add(struct gateway *g, domain_idx d)
{
	struct leg_call c = {g, NULL, d};

	if (g->nat->leg_of[d]) /* main alone changes it, by calls that it waits for */
		return -EEXIST;
	c.leg = calloc(1, sizeof(*c.leg));
	if (!c.leg)
		return -ENOMEM;
	leg_init(c.leg, g, d);
	worker_call(g->nat->sw, NULL, do_leg_add, &c);
	sw_domain_also(g->nat->sw, d, g->port);
	int r = sw_fdb_add_static(g->nat->sw, d, g->conf.mac, g->port);
	if (r < 0)
		gateway_leg_del(g, d);
	return r;
}

void gateway_leg_del(struct gateway *g, domain_idx d)
{
	struct leg_call c = {g, NULL, d};

	sw_fdb_del(g->nat->sw, d, g->conf.mac);
	sw_domain_also(g->nat->sw, d, NULL);
	worker_call(g->nat->sw, NULL, do_leg_del, &c);
	free(c.leg);
}

static void do_detach(struct worker *w, void *arg)
{
	struct gateway *g = arg, **at = &g->nat->gateways;

	routing_leave(g);
	forwards_leave(g);
	nat_end_sessions(g->nat, g, NULL);
	frag_forget(g->nat, w, &g->leg.nif);
	neigh_if_flush(&g->nat->neigh, &g->leg.nif, w);
	filter6_forget(&g->nat->filter6, g->leg.domain);
	g->nat->leg_of[g->leg.domain] = NULL;
	neigh_forget_origin(&g->nat->neigh, g->port, w);
	nat_del_ticker(g->nat, w, g->port);
	while (*at && *at != g)
		at = &(*at)->next;
	if (*at)
		*at = g->next;
}

int gateway_new(struct nat *n, domain_idx d, const struct gateway_conf *c,
		struct gateway **ret_gateway)
{
	struct port_conf pc = {
		.vlan = {.mode = VLAN_INTERNAL}, .domain = d, .known_only = true,
	};
	struct gateway *g = calloc(1, sizeof(*g));
	char name[PORT_NAME_MAX];
	int r;

	if (!g)
		return -ENOMEM;
	g->nat = n;
	leg_init(&g->leg, g, d);
	set_conf(g, c);
	snprintf(name, sizeof(name), "gw/%s", g->conf.network);
	r = sw_port_add(n->sw, name, &ops, g, &pc, all_caps, true, NULL, &g->port);
	if (r < 0) {
		free(g);
		return r;
	}
	g->leg.nif.port = g->port;
	worker_call(n->sw, NULL, do_attach, g);
	r = port_start(g->port, -1);
	if (r == 0)
		r = sw_fdb_add_static(n->sw, d, g->conf.mac, g->port);
	if (r < 0) {
		gateway_free(g);
		return r;
	}
	*ret_gateway = g;
	return 0;
}

void gateway_free(struct gateway *g)
{
	if (!g)
		return;
	while (g->legs)
		gateway_leg_del(g, g->legs->domain);
	port_stop(g->port);
	sw_fdb_del(g->nat->sw, g->leg.domain, g->conf.mac);
	worker_call(g->nat->sw, NULL, do_detach, g);
	sw_port_del(g->port);
	forwards_free(g);
	free(g);
}

struct conf_call {
	struct gateway *g;
	const struct gateway_conf *conf;
};

static void do_set_conf(struct worker *w, void *arg)
{
	struct conf_call *c = arg;
	struct gateway *g = c->g;
	struct prefix4 was = g->conf.address;
	bool moved = was.addr != c->conf->address.addr || was.len != c->conf->address.len;
	bool moved6 = memcmp(&g->conf.address6, &c->conf->address6, sizeof(g->conf.address6)) != 0;

	routing_leave(g);
	if (moved)
		nat_end_sessions(g->nat, g, NULL);
	if (moved || moved6) {
		neigh_if_flush(&g->nat->neigh, &g->leg.nif, w);
		frag_forget(g->nat, w, &g->leg.nif);
		for (struct leg *l = g->legs; l; l = l->next) {
			neigh_if_flush(&g->nat->neigh, &l->nif, w);
			frag_forget(g->nat, w, &l->nif);
		}
	}
	set_conf(g, c->conf);
	routing_enter(g);
}

int gateway_set_conf(struct gateway *g, const struct gateway_conf *conf)
{
	struct conf_call c = {g, conf};
	struct mac was = g->conf.mac;
	int r = 0;

	if (!mac_eq(was, conf->mac)) {
		r = sw_fdb_add_static(g->nat->sw, g->leg.domain, conf->mac, g->port);
		for (struct leg *l = g->legs; l && !r; l = l->next)
			r = sw_fdb_add_static(g->nat->sw, l->domain, conf->mac, g->port);
		if (r < 0)
			return r;
	}
	worker_call(g->nat->sw, NULL, do_set_conf, &c);
	if (!mac_eq(was, conf->mac)) {
		sw_fdb_del(g->nat->sw, g->leg.domain, was);
		for (struct leg *l = g->legs; l; l = l->next)
			sw_fdb_del(g->nat->sw, l->domain, was);
	}
	return 0;
}

const struct gateway_conf *gateway_get_conf(const struct gateway *g)
{
	return &g->conf;
}

struct port *gateway_port(const struct gateway *g)
{
	return g->port;
}

domain_idx gateway_domain(const struct gateway *g)
{
	return g->leg.domain;
}

struct uplink *gateway_uplink(const struct gateway *g)
{
	return g->up;
}

struct uplink_call {
	struct gateway *g;
	struct uplink *u;
	const struct gateway *hinders;
};

static void do_set_uplink(struct worker *w, void *arg)
{
	struct uplink_call *c = arg;
	struct gateway *g = c->g;

	if (g->up == c->u)
		return;
	c->hinders = c->u ? forwards_conflict(g, c->u) : NULL;
	if (c->hinders)
		return;
	forwards_leave(g);
	nat_tell_stale(g->nat, w, g, NULL);
	nat_end_sessions(g->nat, g, NULL);
	frag_forget(g->nat, w, &g->leg.nif);
	if (g->up)
		frag_forget(g->nat, w, &g->up->nif);
	g->up = c->u;
	forwards_enter(g);
}

int gateway_set_uplink(struct gateway *g, struct uplink *u, char *ret_owner)
{
	struct uplink_call c = {g, u, NULL};

	worker_call(g->nat->sw, NULL, do_set_uplink, &c);
	if (!c.hinders)
		return 0;
	if (ret_owner)
		memcpy(ret_owner, c.hinders->conf.network, NAT_NAME_MAX);
	return -EADDRINUSE;
}

struct sink_call {
	struct gateway *g;
	enum gateway_service service;
	struct slow_sink *sink;
	be32 addr;
	uint16_t port;
	int result;
};

static void do_set_sink(struct worker *w, void *arg)
{
	struct sink_call *c = arg;

	(void)w;
	c->g->sink[c->service] = c->sink;
}

void gateway_set_sink(struct gateway *g, enum gateway_service s, struct slow_sink *sink)
{
	struct sink_call c = {.g = g, .service = s, .sink = sink};

	worker_call(g->nat->sw, NULL, do_set_sink, &c);
}

static void do_set_dns(struct worker *w, void *arg)
{
	struct sink_call *c = arg;

	(void)w;
	c->g->dns_upstream = c->addr;
}

void gateway_set_dns_upstream(struct gateway *g, be32 addr)
{
	struct sink_call c = {.g = g, .addr = addr};

	worker_call(g->nat->sw, NULL, do_set_dns, &c);
}

static void do_socket(struct worker *w, void *arg)
{
	struct sink_call *c = arg;
	struct udp_socket *s = NULL;

	(void)w;
	for (unsigned i = 0; i < GATEWAY_SOCKETS; i++) {
		struct udp_socket *o = &c->g->socket[i];
		if (o->sink && o->port == c->port) {
			c->result = c->sink && c->sink != o->sink ? -EADDRINUSE : 0;
			if (!c->sink)
				*o = (struct udp_socket){0};
			return;
		}
		if (!o->sink && !s)
			s = o;
	}
	c->result = c->sink && !s ? -ENOSPC : 0;
	if (c->sink && s)
		*s = (struct udp_socket){c->port, c->sink};
}

int gateway_udp_socket(struct gateway *g, uint16_t port, struct slow_sink *sink)
{
	struct sink_call c = {.g = g, .port = port, .sink = sink};

	worker_call(g->nat->sw, NULL, do_socket, &c);
	return c.result;
}

static void do_send(struct worker *w, void *arg)
{
	struct pkt *k = arg;
	struct gateway *g = k->ctx;
	struct transit t = {
		.w = w, .now = worker_now(w), .k = k, .leg = &g->leg, .quiet = true,
	};
	uint32_t len = k->len;

	k->domain = g->leg.domain;
	pkt_eth(k)->src = pkt_eth(k)->dst = g->conf.mac;
	enum drop_reason why = pkt_parse(k);
	if (!why && (!(k->flags & PKT_L4) || k->ip_proto != IPPROTO4_UDP ||
		     pkt_ip4(k)->src != g->conf.address.addr || !listener(g, be16toh(pkt_udp(k)->sport))))
		why = DROP_GW_NOT_MINE;
	if (!why)
		why = route_or_translate(g, &t);
	if (why)
		port_rx_lost(g->port, why, 1, len);
	pkt_free(worker_pool(w), t.k);
}

void gateway_send(struct gateway *g, struct pkt *k)
{
	k->ctx = g;
	if (k->head_len < sizeof(struct eth_hdr) || worker_post(g->nat->sw, NULL, do_send, k) < 0)
		pkt_free(sw_main_pool(g->nat->sw), k);
}

static void do_send_in(struct worker *w, void *arg)
{
	struct pkt *k = arg;
	struct gateway *g = k->ctx;
	struct transit t = {.w = w, .now = worker_now(w), .k = k, .leg = &g->leg, .quiet = true};
	struct neigh_ref hop = {0};
	uint32_t len = k->len;

	k->domain = g->leg.domain;
	pkt_eth(k)->src = pkt_eth(k)->dst = g->conf.mac;
	enum drop_reason why = pkt_parse(k);
	if (!why && (!(k->flags & PKT_IP4) || pkt_ip4(k)->src != g->conf.address.addr ||
		     !prefix4_contains(g->conf.address, pkt_ip4(k)->dst) || is_local(g, pkt_ip4(k)->dst)))
		why = DROP_GW_NOT_MINE;
	if (!why)
		why = transit_send(g->nat, &t, &g->leg.nif, &hop, pkt_ip4(k)->dst);
	if (why)
		port_rx_lost(g->port, why, 1, len);
	pkt_free(worker_pool(w), t.k);
}

void gateway_send_in(struct gateway *g, struct pkt *k)
{
	k->ctx = g;
	if (k->head_len < sizeof(struct eth_hdr) || worker_post(g->nat->sw, NULL, do_send_in, k) < 0)
		pkt_free(sw_main_pool(g->nat->sw), k);
}

static void do_count(struct worker *w, void *arg)
{
	struct sink_call *c = arg;

	(void)w;
	c->result = (int)c->g->n_sessions;
}

uint32_t gateway_sessions(struct gateway *g)
{
	struct sink_call c = {.g = g};

	worker_call(g->nat->sw, NULL, do_count, &c);
	return (uint32_t)c.result;
}
