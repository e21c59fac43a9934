/* Ports that guests open to themselves: NAT-PMP and PCP of a network, from the gateway's port 5351 to
 * the table of nat/portmap.h and back.
 *
 * Requests come by the gateway's sink like DHCP and DNS.  The network's one timer is armed for the
 * mapping that expires first.  What cannot be answered at all is refused as SVC_MALFORMED.  UPnP has
 * a file of its own, ctl/upnp.c. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/upnp.h"
#include "dhcp/dns_udp.h" /* a UDP datagram in its frame */
#include "dhcp/lease.h"
#include "nat/gateway.h"
#include "nat/portmap.h"
#include "net/clock.h"
#include "net/headers.h"
#include "net/parse.h"
#include "net/wire.h"

_Static_assert((unsigned)CONTROL_NAT_PMP == PORTCTL_NATPMP && (unsigned)CONTROL_PCP == PORTCTL_PCP &&
	       (unsigned)CONTROL_UPNP == PORTCTL_UPNP, "the config's bits are the codecs'");

static void arm(struct run_network *n)
{
	nsec_t next = portmap_next(n->portmap), now = clock_now();

	if (next)
		loop_timer_arm(n->portmap_timer, next > now ? next - now : 0);
	else
		loop_timer_stop(n->portmap_timer);
}

static void expire(void *arg)
{
	struct run_network *n = arg;

	portmap_advance(n->portmap, clock_now());
	arm(n);
}

static void answer(struct run_network *n, const struct pkt *k, const struct dns_udp *u, const void *msg, size_t len)
{
	struct wire w = wire_reader(msg, len);
	struct dns_udp back = {
		.src_mac = gateway_get_conf(n->gateway)->mac, .dst_mac = u->src_mac,
		.src = u->dst, .dst = u->src, .sport = u->dport, .dport = u->sport,
	};
	struct pkt *a = dns_udp_build(sw_main_pool(n->daemon->sw), &back, msg, len, wire_get_u16(&w));

	if (a)
		sw_slow_down(gateway_port(n->gateway), k->domain, a);
}

bool port_control_forged(const struct run_network *n, const struct pkt *k)
{
	struct daemon *d = n->daemon;
	const struct lease_pool *pool = d->leases ? lease_pool_find(d->leases, n->cfg->name) : NULL;
	const struct lease *l = pool ? lease_find_address(pool, pkt_ip4(k)->src, clock_wall()) : NULL;
	const struct port *in = k->in_port == PORT_NONE ? NULL : sw_port_at(d->sw, k->in_port);

	return l && in && *lease_port(l) && strcmp(lease_port(l), in->name) != 0;
}

/* DROP_NONE, or why nothing can be answered. */
static enum drop_reason serve(struct run_network *n, const struct pkt *k)
{
	uint8_t msg[DNS_UDP_MAX], out[PORTCTL_MSG_MAX];
	struct portctl_request q;
	struct portctl_response r;
	struct dns_udp u;
	int len = dns_udp_read(k, &u, msg, sizeof(msg));

	if (len < 0 || u.six ||
	    portctl_parse(msg, (size_t)len, portmap_get_conf(n->portmap)->protocols, &q))
		return DROP_SVC_MALFORMED;
	if (port_control_forged(n, k))
		return DROP_GW_SPOOFED;
	const struct portmap_guest who = {k->domain, u.src};
	portmap_request(n->portmap, &who, &q, clock_now(), &r);
	size_t size = portctl_build(&q, msg, (size_t)len, &r, out, sizeof(out));
	if (size)
		answer(n, k, &u, out, size);
	arm(n);
	return DROP_NONE;
}

static void receive(void *arg, struct pkt *k)
{
	struct run_network *n = arg;
	enum drop_reason why = n->portmap ? serve(n, k) : DROP_SVC_OFF;

	if (why)
		sw_slow_refuse(k, why);
	pkt_free(sw_main_pool(n->daemon->sw), k);
}

/* For `events`: who opened what, and when it ended. */
static void told(void *arg, const struct portmap_row *r, bool open)
{
	struct run_network *n = arg;
	struct daemon *d = n->daemon;
	char to[IP4_PORT_STRLEN], text[100];

	if (!d->on_event)
		return;
	snprintf(text, sizeof(text), "%s %s :%u to %s", portmap_source(r->by), r->proto == IPPROTO4_TCP ? "tcp" : "udp",
		 r->outside_port, ip4_port_format(r->guest.addr, r->inside_port, to));
	d->on_event(d, open ? "mapping-opened" : "mapping-closed", n->cfg->name, text);
}

static int begin(struct daemon *d, struct run_network *n, const struct portmap_conf *c)
{
	n->portmap_timer = loop_timer_new(d->loop, expire, n);
	n->portmap = n->portmap_timer ? portmap_new(n->gateway, c, clock_now()) : NULL;
	if (n->portmap)
		return 0;
	loop_timer_free(n->portmap_timer);
	n->portmap_timer = NULL;
	return -ENOMEM;
}

static void set_sink(struct daemon *d, struct run_network *n, bool on)
{
	n->portctl_sink = (struct slow_sink){receive, n};
	gateway_set_sink(n->gateway, GATEWAY_PORTCTL, on ? &n->portctl_sink : NULL);
	if (!on)
		sw_slow_drain(d->sw); /* what is on its way up names the sink */
}

/* UPnP begun, kept, begun anew or ended. */
static int set_upnp(struct run_network *n, bool on, FILE *err)
{
	const char *what;

	if (n->upnp && (!on || !upnp_fits(n->upnp))) {
		upnp_free(n->upnp);
		n->upnp = NULL;
	}
	if (!on || n->upnp)
		return 0;
	n->upnp = upnp_new(n, arm, &what);
	if (n->upnp)
		return 0;
	int r = -errno;
	fprintf(err, "error: network '%s': no upnp: cannot %s: %s\n", n->cfg->name, what, strerror(-r));
	return r;
}

int port_control_network(struct daemon *d, struct run_network *n, FILE *err)
{
	struct portmap_conf c = {n->cfg->port_control, n->cfg->port_control_mappings, told, n};
	int r = 0;

	if (!c.protocols) {
		port_control_end(d, n);
		return 0;
	}
	if (n->portmap)
		portmap_set_conf(n->portmap, &c, clock_now());
	else
		r = begin(d, n, &c);
	if (!r)
		set_sink(d, n, c.protocols & (PORTCTL_NATPMP | PORTCTL_PCP));
	if (!r)
		arm(n);
	if (r)
		fprintf(err, "error: network '%s': %s\n", n->cfg->name, strerror(-r));
	return r ? r : set_upnp(n, c.protocols & PORTCTL_UPNP, err);
}

void port_control_end(struct daemon *d, struct run_network *n)
{
	if (!n->portmap)
		return;
	upnp_free(n->upnp);
	n->upnp = NULL;
	set_sink(d, n, false);
	portmap_free(n->portmap);
	loop_timer_free(n->portmap_timer);
	n->portmap = NULL;
	n->portmap_timer = NULL;
}

void port_control_uplink(struct run_network *n)
{
	portmap_reset(n->portmap, clock_now());
}

void port_control_leg(struct run_network *n, domain_idx domain)
{
	portmap_end_domain(n->portmap, domain);
}

void port_control_lease(struct run_network *n, domain_idx domain, be32 addr)
{
	const struct portmap_guest who = {domain, addr};

	portmap_end_guest(n->portmap, &who);
}

bool port_control_yield(struct daemon *d, const struct uplink *u, uint8_t proto, uint16_t port)
{
	for (struct run_network *n = d->networks; n; n = n->next) {
		if (n->portmap && gateway_uplink(n->gateway) == u && portmap_evict(n->portmap, proto, port, true))
			return true;
	}
	return false;
}
