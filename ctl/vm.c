/* Mode nat-per-vm: every port of such a network is an appliance of its own.
 *
 * A port gets a hidden domain, in which it is alone with a leg of the network's gateway: guests
 * neither see each other nor mind having the same address or even the same MAC.  What is keyed by
 * network elsewhere is here by that domain: names, and the lease pool "NETWORK/PORT", which has one
 * address for whoever asks.  Main thread. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/daemon.h"
#include "dhcp/dhcp_server.h"
#include "dhcp/dns_forward.h"
#include "dhcp/lease.h"
#include "nat/gateway.h"
#include "net/clock.h"

static struct run_network *network_of(struct daemon *d, const struct cfg_port *c)
{
	struct run_network *n = c->network ? daemon_network(d, c->network) : NULL;

	return n && n->cfg->mode == MODE_NAT_PER_VM && n->gateway ? n : NULL;
}

struct run_port *vm_of_domain(struct daemon *d, domain_idx domain)
{
	struct run_port *p = d->ports;

	while (p && (p->domain != domain || domain == DOMAIN_NONE))
		p = p->next;
	return p;
}

struct run_port *vm_of_pool(struct daemon *d, const char *pool)
{
	const char *slash = strchr(pool, '/');

	return slash ? daemon_port(d, slash + 1) : NULL;
}

static int serve_dhcp(struct daemon *d, struct run_port *p)
{
	char pool[2 * CFG_NAME_MAX];

	if (!p->vm->cfg->dhcp) {
		dhcp_server_free(p->dhcp);
		p->dhcp = NULL;
		return 0;
	}
	snprintf(pool, sizeof(pool), "%s/%s", p->vm->cfg->name, p->cfg->name);
	return services_dhcp(d, p->vm, pool, &p->dhcp);
}

static void keep_name(void *arg, const struct lease *l)
{
	struct run_port *p = arg;

	if (vm_of_pool(p->vm->daemon, lease_pool_name(l->pool)) == p && lease_is_current(l, clock_wall()))
		services_name_lease(p->vm->daemon, p->domain, l);
}

static int serve(struct daemon *d, struct run_port *p)
{
	int r = serve_dhcp(d, p);

	if (!r)
		r = services_dns(d, p->vm, p->domain);
	return r;
}

int vm_begin(struct daemon *d, struct run_port *p)
{
	struct run_network *n = network_of(d, p->cfg);
	int r;

	if (!n)
		return 0;
	r = sw_domain_add(d->sw, 0, n->cfg->name, &p->domain);
	if (r) {
		p->domain = DOMAIN_NONE;
		return r;
	}
	p->vm = n;
	r = gateway_leg_add(n->gateway, p->domain);
	if (!r)
		r = serve(d, p);
	if (r) {
		vm_end(d, p);
		return r;
	}
	lease_store_each(d->leases, keep_name, p);
	return 0;
}

/* The domain's number may be another's in a moment: the port must be out of it before. */
static void shut(struct run_port *p)
{
	struct port_conf conf;

	if (!p->port)
		return;
	memcpy(&conf, atomic_load(&p->port->conf), sizeof(conf));
	conf.domain = DOMAIN_NONE;
	conf.vlan = (struct port_vlan){.mode = VLAN_ACCESS};
	conf.admin_down = true;
	port_set_conf(p->port, &conf);
	p->shut = true;
}

void vm_end(struct daemon *d, struct run_port *p)
{
	if (p->domain == DOMAIN_NONE)
		return;
	shut(p);
	if (p->vm)
		port_control_leg(p->vm, p->domain);
	if (p->vm && p->vm->gateway)
		gateway_leg_del(p->vm->gateway, p->domain);
	sw_slow_drain(d->sw); /* what is on its way up finds its server yet */
	dhcp_server_free(p->dhcp);
	dns_server_del_conf(d->dns, p->domain);
	dns_names_clear(d->names, p->domain);
	sw_domain_del(d->sw, p->domain);
	p->dhcp = NULL;
	p->vm = NULL;
	p->domain = DOMAIN_NONE;
}

int vm_update(struct daemon *d, struct run_port *p)
{
	struct run_network *n = network_of(d, p->cfg);

	if (p->vm == n)
		return 0;
	vm_end(d, p);
	return vm_begin(d, p);
}

int vm_network_changed(struct daemon *d, struct run_network *n)
{
	int result = 0;

	for (struct run_port *p = d->ports; p; p = p->next) {
		int r = p->vm == n ? serve(d, p) : 0;
		if (r)
			result = r;
	}
	return result;
}

void vm_network_end(struct daemon *d, struct run_network *n)
{
	for (struct run_port *p = d->ports; p; p = p->next) {
		if (p->vm == n)
			vm_end(d, p);
	}
}

void vm_dhcp_receive(void *arg, struct pkt *k)
{
	struct run_network *n = arg;
	struct run_port *p = vm_of_domain(n->daemon, k->domain);

	if (p && p->dhcp) {
		dhcp_receive(p->dhcp, k);
		return;
	}
	sw_slow_refuse(k, DROP_SVC_OFF);
	pkt_free(sw_main_pool(n->daemon->sw), k);
}
