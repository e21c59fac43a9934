/* The outside port: an address of ours in a hidden domain, on which everything that
 * nat/napt.c translates meets the world. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nat/internal.h"

#define PORT_DHCP_CLIENT 68
#define CARRIER_WAIT NSEC_PER_SEC /* the port that carries us is added after us */

static const struct port_caps all_caps = {
	.offloads = OFFLOAD_CSUM | OFFLOAD_TSO4 | OFFLOAD_TSO6 | OFFLOAD_ECN | OFFLOAD_USO,
};

static enum drop_reason ip4_input(struct uplink *u, struct transit *t)
{
	const struct ip4_hdr *ip = pkt_ip4(t->k);

	if (ip->dst != u->conf.address.addr)
		return routing_from_outside(u, t);
	if (unlikely(ip->src == u->conf.address.addr))
		return DROP_GW_MARTIAN;
	if (unlikely(t->k->ip_proto == IPPROTO4_ICMP && !u->conf.shared && (t->k->flags & PKT_L4) &&
		     !(t->k->flags & PKT_FRAGMENT) && pkt_icmp(t->k)->type == ICMP4_ECHO)) {
		icmp_echo_reply(&u->nif, t);
		return DROP_NONE;
	}
	return napt_from_outside(u, t);
}

static bool is_dhcp_answer(const struct pkt *k)
{
	return (k->flags & PKT_IP4) && (k->flags & PKT_L4) && k->ip_proto == IPPROTO4_UDP &&
	       k->l3_off == ETH_HLEN_ && pkt_udp(k)->dport == htobe16(PORT_DHCP_CLIENT);
}

static enum drop_reason input(void *self, struct transit *t)
{
	struct uplink *u = self;
	struct mac dst = pkt_eth(t->k)->dst;

	if (t->k->flags & PKT_ARP) {
		if (t->k->l3_off == ETH_HLEN_)
			neigh_arp_input(&u->nat->neigh, &u->nif, t->w, t->now, t->k);
		return DROP_NONE;
	}
	if (unlikely(u->dhcp && is_dhcp_answer(t->k)) && (mac_is_group(dst) || mac_eq(dst, u->nif.mac)))
		return transit_hand_up(t, u->dhcp);
	if (u->conf.address6.len && (t->k->flags & PKT_IP6) && t->k->l3_off == ETH_HLEN_ &&
	    (mac_is_group(dst) || mac_eq(dst, u->nif.mac)))
		return routing6_from_outside(u, t, mac_is_group(dst));
	if (!mac_eq(dst, u->nif.mac))
		return DROP_NONE; /* group addresses, and what is flooded for others */
	if (likely((t->k->flags & PKT_IP4) && t->k->l3_off == ETH_HLEN_))
		return ip4_input(u, t);
	return t->k->type == ETHERTYPE_IP6 ? DROP_GW_IPV6 : DROP_GW_NOT_MINE;
}

static void tx_burst(struct port *p, struct worker *w, struct pkt_out *v, unsigned n)
{
	napt_prefetch(((struct uplink *)p->priv)->nat, v, n, false);
	for (unsigned i = 0; i < n; i++)
		transit_run(p->priv, w, p, &v[i], input);
}

static nsec_t tick(struct port *p, struct worker *w, nsec_t now)
{
	struct uplink *u = p->priv;

	if (u->announce_at && u->announce_at <= now) {
		u->announce_at = 0;
		if (u->conf.address.addr && !u->conf.shared)
			neigh_announce(&u->nif, w);
	}
	return nat_sooner(u->announce_at, nat_tick(p, u->nat, w, now));
}

static void describe(struct port *p, port_describe_fn *fn, void *arg)
{
	const struct uplink *u = p->priv;
	char mac[MAC_STRLEN], prefix[PREFIX_STRLEN], ip[IP4_STRLEN];

	fn(arg, "mac", mac_format(u->conf.mac, mac));
	fn(arg, "address", prefix4_format(u->conf.address, prefix));
	fn(arg, "gateway", u->conf.gateway ? ip4_format(u->conf.gateway, ip) : "none");
}

static void close_port(struct port *p)
{
	(void)p; /* uplink_free() owns what there is */
}

static const struct port_ops ops = {
	.type = "uplink",
	.on_first_worker = true,
	.tx_burst = tx_burst,
	.tick = tick,
	.describe = describe,
	.close = close_port,
};

/* The next hop does not answer: the guest is told, as if by a router outside. */
static void lost(struct neigh_if *nif, struct worker *w, nsec_t now, struct pkt *k)
{
	struct uplink *u = container_of(nif, struct uplink, nif);
	struct transit t = {.w = w, .now = now, .quiet = true};

	if (!bucket_take(&u->icmp, now))
		return;
	if (k->flags & PKT_IP6) {
		routing6_lost(u->nat, nif, k, w);
		return;
	}
	if (pkt_ip4(k)->src != u->conf.address.addr && routing_lost(u->nat, nif, w, now, k))
		return;
	t.k = icmp_build_error(w, nif->address.addr, k, ICMP4_UNREACHABLE, ICMP4_UNREACH_HOST, 0);
	if (!t.k)
		return;
	pkt_eth(t.k)->src = pkt_eth(t.k)->dst = nif->mac;
	t.k->domain = u->domain;
	if (pkt_parse(t.k) == DROP_NONE && napt_icmp_from_outside(u, &t) == DROP_NONE)
		u->nat->icmp_sent++;
	pkt_free(worker_pool(w), t.k);
}

/* ---- main thread ---- */

static void set_conf(struct uplink *u, const struct uplink_conf *c)
{
	u->conf = *c;
	u->conf.name[NAT_NAME_MAX - 1] = 0;
	if (!u->conf.mtu)
		u->conf.mtu = MTU_DEFAULT;
	u->nif.mac = u->conf.mac;
	u->nif.address = u->conf.address;
	u->nif.address6 = u->conf.address6;
	u->nif.mtu = u->conf.mtu;
	u->nif.quiet = u->conf.shared;
	ports_set_range(&u->ports, c->port_first, c->port_last);
}

static void announce_in(struct uplink *u, struct worker *w, nsec_t in)
{
	u->announce_at = worker_now(w) + in;
	port_tick_at(u->port, w, u->announce_at);
}

static void do_attach(struct worker *w, void *arg)
{
	struct uplink *u = arg, **at = &u->nat->uplinks;

	while (*at)
		at = &(*at)->next;
	*at = u;
	nat_add_ticker(u->nat, w, u->port);
	announce_in(u, w, CARRIER_WAIT);
}

static void do_detach(struct worker *w, void *arg)
{
	struct uplink *u = arg, **at = &u->nat->uplinks;
	struct nat *n = u->nat;

	for (struct gateway *g = n->gateways; g; g = g->next) {
		if (g->up != u)
			continue;
		forwards_leave(g);
		nat_tell_stale(n, w, g, NULL);
		nat_end_sessions(n, g, NULL);
		g->up = NULL;
	}
	frag_forget(n, w, &u->nif);
	syn_wait_forget(n, u);
	neigh_if_flush(&n->neigh, &u->nif, w);
	neigh_forget_origin(&n->neigh, u->port, w);
	nat_del_ticker(n, w, u->port);
	while (*at && *at != u)
		at = &(*at)->next;
	if (*at)
		*at = u->next;
}

static void uplink_end(struct uplink *u)
{
	if (u->port)
		sw_port_del(u->port);
	if (u->domain != DOMAIN_NONE && !u->conf.in_network)
		sw_domain_del(u->nat->sw, u->domain);
	free(u);
}

int uplink_new(struct nat *n, const struct uplink_conf *c, struct uplink **ret_uplink)
{
	struct port_conf pc = {.vlan = {.mode = VLAN_INTERNAL}, .known_only = true};
	struct uplink *u = calloc(1, sizeof(*u));
	char name[PORT_NAME_MAX];
	int r;

	if (!u)
		return -ENOMEM;
	u->nat = n;
	u->domain = DOMAIN_NONE;
	ports_init(&u->ports);
	u->nif.lost = lost;
	neigh_if_init(&u->nif);
	set_conf(u, c);
	snprintf(name, sizeof(name), "uplink/%s", u->conf.name);
	if (c->in_network)
		u->domain = c->network;
	r = c->in_network ? 0 : sw_domain_add(n->sw, 0, "", &u->domain);
	if (r < 0)
		goto fail;
	pc.domain = u->nif.domain = u->domain;
	r = sw_port_add(n->sw, name, &ops, u, &pc, all_caps, true, NULL, &u->port);
	if (r < 0)
		goto fail;
	u->nif.port = u->port;
	worker_call(n->sw, NULL, do_attach, u);
	r = port_start(u->port, -1);
	if (r == 0)
		r = sw_fdb_add_static(n->sw, u->domain, u->conf.mac, u->port);
	if (r < 0) {
		uplink_free(u);
		return r;
	}
	*ret_uplink = u;
	return 0;
fail:
	uplink_end(u);
	return r;
}

void uplink_free(struct uplink *u)
{
	if (!u)
		return;
	port_stop(u->port);
	sw_fdb_del(u->nat->sw, u->domain, u->conf.mac);
	worker_call(u->nat->sw, NULL, do_detach, u);
	uplink_end(u);
}

struct conf_call {
	struct uplink *u;
	const struct uplink_conf *conf;
};

static void do_set_conf(struct worker *w, void *arg)
{
	struct conf_call *c = arg;
	struct uplink *u = c->u;
	struct nat *n = u->nat;
	bool moved = u->conf.address.addr != c->conf->address.addr;

	for (struct gateway *g = n->gateways; g && moved; g = g->next) {
		if (g->up == u)
			forwards_leave(g);
	}
	if (moved) {
		nat_tell_stale(n, w, NULL, u);
		nat_end_sessions(n, NULL, u);
		frag_forget(n, w, &u->nif);
	}
	neigh_if_flush(&n->neigh, &u->nif, w);
	set_conf(u, c->conf);
	for (struct gateway *g = n->gateways; g && moved; g = g->next) {
		if (g->up == u)
			forwards_enter(g);
	}
	announce_in(u, w, 0);
}

int uplink_set_conf(struct uplink *u, const struct uplink_conf *conf)
{
	struct uplink_conf same_name = *conf;
	struct conf_call c = {u, &same_name};
	struct mac was = u->conf.mac;
	int r;

	memcpy(same_name.name, u->conf.name, sizeof(same_name.name));
	same_name.in_network = u->conf.in_network;
	same_name.network = u->conf.network;
	if (!mac_eq(was, conf->mac)) {
		r = sw_fdb_add_static(u->nat->sw, u->domain, conf->mac, u->port);
		if (r < 0)
			return r;
	}
	worker_call(u->nat->sw, NULL, do_set_conf, &c);
	if (!mac_eq(was, conf->mac))
		sw_fdb_del(u->nat->sw, u->domain, was);
	return 0;
}

struct probe_call {
	struct uplink *u;
	bool all;
	nsec_t answered;
};

static void do_probe(struct worker *w, void *arg)
{
	struct probe_call *c = arg;
	struct uplink *u = c->u;
	const struct neigh *n = neigh_find(&u->nat->neigh, &u->nif, u->conf.gateway);

	c->answered = n ? n->confirmed : 0;
	if (u->conf.gateway && u->conf.address.addr)
		neigh_ask(&u->nif, w, u->conf.gateway, n && n->confirmed && !c->all ? &n->mac : NULL);
}

nsec_t uplink_probe(struct uplink *u, bool all)
{
	struct probe_call c = {u, all, 0};

	worker_call(u->nat->sw, NULL, do_probe, &c);
	return c.answered;
}

static void do_link_up(struct worker *w, void *arg)
{
	struct uplink *u = arg;

	neigh_if_flush(&u->nat->neigh, &u->nif, w);
	announce_in(u, w, 0);
}

void uplink_link_up(struct uplink *u)
{
	worker_call(u->nat->sw, NULL, do_link_up, u);
}

struct keep_call {
	struct uplink *u;
	const uint16_t *ports;
	unsigned n;
};

static void do_keep_ports(struct worker *w, void *arg)
{
	static const uint8_t protos[] = {IPPROTO4_TCP, IPPROTO4_UDP};
	struct keep_call *c = arg;
	struct uplink *u = c->u;

	for (unsigned i = 0; i < ARRAY_SIZE(protos); i++) {
		for (unsigned k = 0; k < u->n_kept; k++)
			if (u->kept[i][k])
				ports_release(&u->ports, protos[i], u->kept[i][k], 0, worker_now(w));
		for (unsigned k = 0; k < c->n; k++) /* a mapping that has it keeps it */
			u->kept[i][k] = ports_take(&u->ports, protos[i], c->ports[k]) ? c->ports[k] : 0;
	}
	u->n_kept = c->n;
}

void uplink_keep_ports(struct uplink *u, const uint16_t *ports, unsigned n)
{
	struct keep_call c = {u, ports, n < UPLINK_KEEP_MAX ? n : UPLINK_KEEP_MAX};

	worker_call(u->nat->sw, NULL, do_keep_ports, &c);
}

struct sink_call {
	struct uplink *u;
	struct slow_sink *sink;
};

static void do_set_sink(struct worker *w, void *arg)
{
	struct sink_call *c = arg;

	(void)w;
	c->u->dhcp = c->sink;
}

void uplink_set_dhcp_sink(struct uplink *u, struct slow_sink *sink)
{
	struct sink_call c = {u, sink};

	worker_call(u->nat->sw, NULL, do_set_sink, &c);
}

domain_idx uplink_domain(const struct uplink *u)
{
	return u->domain;
}

struct port *uplink_port(const struct uplink *u)
{
	return u->port;
}

const struct uplink_conf *uplink_get_conf(const struct uplink *u)
{
	return &u->conf;
}
