/* Judges values together, after ctl/schema.c judged each alone; see config_check.h. */
#include "ctl/config_check.h"

#include <stdlib.h>
#include <string.h>

#include "ctl/config_glob.h"
#include "ctl/schema.h"
#include "nat/gateway.h"

#define IP6_MTU_LEAST 1280u /* RFC 8200 5 */
#define PATTERNS_MAX 256 /* each is compared with each */

/* What the helpers need at hand: the config, and its tree's sections. */
struct check {
	struct config *c;
	struct node *root, *uplinks, *networks, *ports;
	struct diag *d;
	unsigned patterns;
	uint64_t forward_ports[2][65536 / 64]; /* TCP, UDP: ports that some forward has */
};

/* The value of a key for the caret, else the object it is missing from. */
static struct node *value_or(struct node *map, const char *key)
{
	struct node *v = node_get(map, key);
	if (v && v->kind == NODE_LIST && v->n)
		v = v->kid[0];
	return v ? v : map;
}

static struct node *item(struct node *map, const char *key, size_t i)
{
	struct node *list = node_get(map, key);
	return list && list->kind == NODE_LIST && i < list->n ? list->kid[i] : map;
}

/* "(did you mean 'lab'?)" or nothing, among the names of a section. */
static const char *meant(const struct node *section, const char *typed, char *buf, size_t size)
{
	const char **names = calloc(section && section->n ? section->n : 1, sizeof(*names));
	size_t n = 0;
	*buf = 0;
	for (size_t i = 0; names && section && section->kind == NODE_MAP && i < section->n; i++)
		names[n++] = section->kid[i]->key->text;
	const char *best = names ? closest_name(typed, names, n) : NULL;
	if (best)
		snprintf(buf, size, " (did you mean '%s'?)", best);
	free(names);
	return buf;
}

static bool replace(char **slot, const char *text, struct diag *d)
{
	char *copy = strdup(text);
	if (!copy) {
		d->out_of_memory = true;
		return false;
	}
	free(*slot);
	*slot = copy;
	return true;
}

static uint32_t host32(be32 a)
{
	return be32toh(a);
}

static be32 first_host(struct prefix4 p)
{
	return htobe32(host32(prefix4_network(p)) + 1);
}

/* A host's address of the subnet: inside, neither its network nor its broadcast address. */
static bool check_host(struct check *k, struct node *at, const char *what, be32 a, struct prefix4 p)
{
	char ip[IP4_STRLEN], net[PREFIX_STRLEN];
	ip4_format(a, ip);
	prefix4_format((struct prefix4){prefix4_network(p), p.len}, net);
	if (!prefix4_contains(p, a))
		diag_at(k->d, at, "%s %s is outside the subnet %s", what, ip, net);
	else if (p.len < 31 && a == prefix4_network(p))
		diag_at(k->d, at, "%s %s is the network address of %s", what, ip, net);
	else if (p.len < 31 && a == prefix4_broadcast(p))
		diag_at(k->d, at, "%s %s is the broadcast address of %s", what, ip, net);
	else
		return true;
	return false;
}

/* ---- uplinks ---- */

/* The next hop of IPv6: on that link. */
static bool check_hop6(struct check *k, struct node *at, const char *what, const uint8_t hop[16],
		       const struct prefix6 *subnet)
{
	char ip[IP6_STRLEN], net[PREFIX_STRLEN];
	if (!subnet->len)
		diag_at(k->d, at, "%s %s is of IPv6, of which there is no address here", what, ip6_format(hop, ip));
	else if (!memcmp(hop, subnet->addr, 16))
		diag_at(k->d, at, "%s %s is the switch's own address", what, ip6_format(hop, ip));
	else if (!ip6_is_link_local(hop) && !prefix6_contains(subnet, hop))
		diag_at(k->d, at, "%s %s is outside %s", what, ip6_format(hop, ip), prefix6_format(subnet, net));
	else
		return true;
	return false;
}

static bool same_route(const struct cfg_route *a, const struct cfg_route *b)
{
	if (a->to6.len || b->to6.len)
		return a->to6.len == b->to6.len && !memcmp(a->to6.addr, b->to6.addr, 16);
	return a->to.addr == b->to.addr && a->to.len == b->to.len;
}

static void check_routes(struct check *k, struct node *n, const struct cfg_route *r, size_t count,
			 struct prefix4 subnet, const struct prefix6 *subnet6)
{
	char buf[PREFIX_STRLEN];

	if (count > ROUTES_MAX)
		diag_at(k->d, item(n, "routes", ROUTES_MAX), "more than %u routes", ROUTES_MAX);
	for (size_t i = 0; i < count; i++) {
		struct node *at = item(n, "routes", i), *via = value_or(at, "via");
		const bool six = r[i].to6.len;
		if (at->bad || value_or(at, "to")->bad || via->bad)
			continue;
		if (six == ip6_is_unspecified(r[i].via6)) {
			diag_at(k->d, via, "'to' and 'via' are of different families");
			continue;
		}
		if (!(six ? check_hop6(k, via, "router", r[i].via6, subnet6)
			  : check_host(k, via, "router", r[i].via, subnet)))
			continue;
		for (size_t j = 0; j < i; j++)
			if (same_route(&r[j], &r[i]))
				diag_at(k->d, value_or(at, "to"), "there is a route to %s already",
					six ? prefix6_format(&r[i].to6, buf) : prefix4_format(r[i].to, buf));
	}
}

static void check_uplink_interface(struct check *k, size_t i)
{
	struct cfg_uplink *u = &k->c->uplinks[i];
	for (size_t j = 0; j < i; j++) {
		const struct cfg_uplink *other = &k->c->uplinks[j];
		if (other->interface && !strcmp(other->interface, u->interface))
			diag_at(k->d, value_or(k->uplinks->kid[i], "interface"),
				"interface '%s' is already used by uplink '%s'", u->interface,
				other->name);
	}
}

/* It is a host of a network of ours, which then must have room for its address. */
static void check_uplink_network(struct check *k, const struct cfg_uplink *u, struct node *n)
{
	const struct cfg_network *net = config_network(k->c, u->network);
	struct node *at = value_or(n, "network");
	char hint[80];
	if (!net)
		diag_at(k->d, at, "network '%s' is not defined%s", u->network,
			meant(k->networks, u->network, hint, sizeof(hint)));
	else if (net->mode == MODE_HOST_ONLY)
		diag_at(k->d, at, "nothing leaves network '%s': it is host-only", net->name);
	else if (net->has_subnet && !u->dhcp)
		check_host(k, value_or(n, "address"), "address", u->address.addr, net->subnet);
}

static void check_uplink_shared(struct check *k, const struct cfg_uplink *u, struct node *n)
{
	static const char *const theirs[] = {"gateway", "routes"};
	if (!u->shared) {
		if (u->port_last)
			diag_at(k->d, value_or(n, "ports"), "'ports' goes with `address: shared` only");
		return;
	}
	if (u->type != UPLINK_INTERFACE)
		diag_at(k->d, value_or(n, "address"), "the host has its address on an interface: 'shared' goes "
			"with type interface");
	else if (!node_get(n, "ports"))
		diag_at(k->d, value_or(n, "address"), "'shared' needs 'ports', such as 40000-59999");
	for (size_t i = 0; i < ARRAY_SIZE(theirs); i++)
		if (node_get(n, theirs[i]))
			diag_at(k->d, value_or(n, theirs[i]), "the host's routes count: '%s' does not go with "
				"`address: shared`", theirs[i]);
}

/* IPv6 of an uplink comes beside IPv4. */
static void check_uplink6(struct check *k, const struct cfg_uplink *u, struct node *n)
{
	struct node *at = value_or(n, "address");
	const bool has4 = u->address.len || u->dhcp;
	if (u->address6.len && u->shared)
		diag_at(k->d, at, "IPv6 does not go with `address: shared`");
	else if (u->address6.len && !has4 && at->kind == NODE_SCALAR && !at->bad)
		diag_at(k->d, at, "an uplink of IPv6 alone is not built yet: give an IPv4 address or `dhcp` as well");
	if (!ip6_is_unspecified(u->gateway6))
		check_hop6(k, value_or(n, "gateway"), "gateway", u->gateway6, &u->address6);
}

static bool has_route4(const struct cfg_uplink *u)
{
	for (size_t i = 0; i < u->n_routes; i++)
		if (!u->routes[i].to6.len)
			return true;
	return false;
}

static void check_uplink(struct check *k, size_t i)
{
	struct cfg_uplink *u = &k->c->uplinks[i];
	struct node *n = k->uplinks->kid[i], *gw = value_or(n, "gateway");
	if (n->bad || u->type == UPLINK_HOST)
		return;
	if (u->type == UPLINK_INTERFACE && u->interface)
		check_uplink_interface(k, i);
	else if (u->type == UPLINK_NETWORK && u->network)
		check_uplink_network(k, u, n);
	check_uplink_shared(k, u, n);
	check_uplink6(k, u, n);
	if (u->dhcp && u->gateway)
		diag_at(k->d, gw, "the gateway comes with the address, by DHCP");
	if (u->dhcp && has_route4(u))
		diag_at(k->d, value_or(n, "routes"), "routes come with the address, by DHCP");
	else if (u->address.len || u->address6.len)
		check_routes(k, n, u->routes, u->n_routes, u->address, &u->address6);
	if (!u->address.len)
		return; /* what follows leans on it */
	if (!u->gateway) {
		if (node_get(n, "gateway") && ip6_is_unspecified(u->gateway6))
			diag_at(k->d, gw, "gateway 0.0.0.0 is no address");
		return;
	}
	if (u->gateway == u->address.addr)
		diag_at(k->d, gw, "the gateway is the uplink's own address");
	else
		check_host(k, gw, "gateway", u->gateway, u->address);
}

/* The uplink of `from`, or of a network its uplinks are in, that is in `to`; NULL: none. */
static const struct cfg_uplink *leads_to(const struct config *c, const struct cfg_network *from,
					 const struct cfg_network *to, struct vlan_set *seen)
{
	for (size_t i = 0; from->uplink && i <= from->n_backups; i++) {
		const char *name = i ? from->backup[i - 1] : from->uplink;
		const struct cfg_uplink *u = config_uplink(c, name), *found;
		const struct cfg_network *in =
			u && u->type == UPLINK_NETWORK && u->network ? config_network(c, u->network) : NULL;
		if (in && in == to)
			return u;
		if (!in || vlan_set_has(seen, in->vlan))
			continue;
		vlan_set_add(seen, in->vlan);
		found = leads_to(c, in, to, seen);
		if (found)
			return found;
	}
	return NULL;
}

/* A network whose uplink is in a network whose uplink ... is in the first: nothing would leave. */
static void check_uplink_cycle(struct check *k, size_t i)
{
	const struct cfg_network *net = &k->c->networks[i];
	struct vlan_set seen = {{0}}; /* by their VLANs, which are unique where all else is well */
	const struct cfg_uplink *u = leads_to(k->c, net, net, &seen);
	if (u)
		diag_at(k->d, value_or(k->networks->kid[i], "uplink"),
			"a circle: uplink '%s' leads back to network '%s'", u->name, net->name);
}

/* ---- networks ---- */

static void check_network_name(struct check *k, struct node *n, const char *name)
{
	if (strspn(name, "0123456789-") == strlen(name))
		diag_at(k->d, n->key,
			"network name '%s' looks like a VLAN number or range in a trunk", name);
}

static void check_vlan_unique(struct check *k, size_t i)
{
	const struct cfg_network *net = &k->c->networks[i];
	struct node *n = k->networks->kid[i], *v = value_or(n, "vlan");
	for (size_t j = 0; j < i && net->vlan; j++) {
		if (k->c->networks[j].vlan == net->vlan) {
			diag_at(k->d, v, "VLAN %u is already network '%s'", net->vlan,
				k->c->networks[j].name);
			return;
		}
	}
}

/* The uplink named `host`, else the only one. */
static const struct cfg_uplink *default_uplink(const struct config *c)
{
	const struct cfg_uplink *host = config_uplink(c, "host");
	return host ? host : c->n_uplinks == 1 ? &c->uplinks[0] : NULL;
}

static const struct cfg_uplink *check_network_uplink(struct check *k, struct cfg_network *net,
						     struct node *n)
{
	char hint[80];
	const struct cfg_uplink *u =
		net->uplink ? config_uplink(k->c, net->uplink) : default_uplink(k->c);
	if (u) {
		if (!net->uplink)
			replace(&net->uplink, u->name, k->d);
	} else if (net->uplink) {
		diag_at(k->d, value_or(n, "uplink"), "uplink '%s' is not defined%s", net->uplink,
			meant(k->uplinks, net->uplink, hint, sizeof(hint)));
	} else if (k->c->n_uplinks) {
		diag_at(k->d, n,
			"'uplink' is missing: there are several, and none is named 'host'");
	} else {
		diag_at(k->d, n, "mode 'nat' needs an uplink: add `uplinks: {host: {type: host}}`");
	}
	return u;
}

/* Those it may fall back to: there, different, and not in its own subnet. */
static void check_backups(struct check *k, const struct cfg_network *net, struct node *n)
{
	char hint[80], buf[PREFIX_STRLEN];
	for (size_t i = 0; i < net->n_backups; i++) {
		const struct cfg_uplink *u = config_uplink(k->c, net->backup[i]);
		struct node *at = item(n, "uplink", i + 1);
		bool twice = !strcmp(net->backup[i], net->uplink);
		for (size_t j = 0; j < i; j++)
			twice = twice || !strcmp(net->backup[j], net->backup[i]);
		if (!u)
			diag_at(k->d, at, "uplink '%s' is not defined%s", net->backup[i],
				meant(k->uplinks, net->backup[i], hint, sizeof(hint)));
		else if (twice)
			diag_at(k->d, at, "uplink '%s' stands here already", u->name);
		else if (net->mode == MODE_ROUTED && u->type == UPLINK_HOST)
			diag_at(k->d, at, "mode 'routed' does not go through uplink '%s': the host's "
				"sockets translate all that leaves by them", u->name);
		else if (u->type != UPLINK_HOST && u->address.len && net->has_subnet &&
			 prefix4_overlap(net->subnet, u->address))
			diag_at(k->d, at, "uplink '%s' has %s, which overlaps the subnet", u->name,
				prefix4_format(u->address, buf));
	}
}

/* The IPv6 prefix of a network, for the caret. */
static struct node *subnet6_of(struct node *n)
{
	struct node *list = node_get(n, "subnet");
	for (size_t i = 0; list && list->kind == NODE_LIST && i < list->n; i++)
		if (list->kid[i]->kind == NODE_SCALAR && strchr(list->kid[i]->text, ':'))
			return list->kid[i];
	return value_or(n, "subnet");
}

static void check_subnet(struct check *k, size_t i, const struct cfg_uplink *u)
{
	const struct cfg_network *net = &k->c->networks[i];
	struct node *n = k->networks->kid[i], *v = value_or(n, "subnet");
	char buf[PREFIX_STRLEN];
	for (size_t j = 0; j < i; j++) {
		const struct cfg_network *other = &k->c->networks[j];
		if (cfg_network_served(other) && other->mode != MODE_NAT_PER_VM &&
		    net->mode != MODE_NAT_PER_VM && other->has_subnet &&
		    prefix4_overlap(net->subnet, other->subnet)) {
			diag_at(k->d, v, "the subnet overlaps %s of network '%s'",
				prefix4_format(other->subnet, buf), other->name);
			return;
		}
	}
	for (size_t j = 0; j < i && net->has_subnet6; j++) {
		const struct cfg_network *other = &k->c->networks[j];
		if (other->has_subnet6 && prefix6_overlap(&net->subnet6, &other->subnet6)) {
			diag_at(k->d, subnet6_of(n), "the subnet overlaps %s of network '%s'",
				prefix6_format(&other->subnet6, buf), other->name);
			return;
		}
	}
	if (net->has_subnet6 && net->mode == MODE_NAT_PER_VM)
		diag_at(k->d, subnet6_of(n), "IPv6 with mode 'nat-per-vm' is not built yet: give the IPv4 subnet alone");
	if (net->has_subnet6 && net->mtu < IP6_MTU_LEAST)
		diag_at(k->d, value_or(n, "mtu"), "IPv6 needs an mtu of %u or more", IP6_MTU_LEAST);
	if (u && net->has_subnet6 && u->address6.len && prefix6_overlap(&net->subnet6, &u->address6))
		diag_at(k->d, subnet6_of(n), "the subnet overlaps %s of uplink '%s'",
			prefix6_format(&u->address6, buf), u->name);
	if (u && u->type != UPLINK_HOST && u->address.len &&
	    prefix4_overlap(net->subnet, u->address))
		diag_at(k->d, v, "the subnet overlaps %s of uplink '%s'",
			prefix4_format(u->address, buf), u->name);
}

/* Of host-only networks the first address is the host's. */
static be32 host_address(const struct cfg_network *net)
{
	return net->mode == MODE_HOST_ONLY ? first_host(net->subnet) : 0;
}

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

/* The largest part of the subnet between what the switch and the host use. */
static void default_range(struct cfg_network *net)
{
	uint32_t from = host32(prefix4_network(net->subnet)) + 1,
		 end = host32(prefix4_broadcast(net->subnet)), best = 0;
	be32 taken[] = {net->gateway, net->dns_address, host_address(net)};
	uint32_t used[ARRAY_SIZE(taken) + 1];
	for (size_t i = 0; i < ARRAY_SIZE(taken); i++)
		used[i] = taken[i] ? host32(taken[i]) : end;
	used[ARRAY_SIZE(taken)] = end;
	qsort(used, ARRAY_SIZE(used), sizeof(used[0]), by_number);
	net->range_first = net->range_last = 0;
	for (size_t i = 0; i < ARRAY_SIZE(used); i++) {
		if (used[i] > from && used[i] - from > best) {
			best = used[i] - from;
			net->range_first = htobe32(from);
			net->range_last = htobe32(used[i] - 1);
		}
		from = used[i] >= from ? used[i] + 1 : from;
	}
}

static void check_range(struct check *k, struct cfg_network *net, struct node *dhcp)
{
	struct node *v = value_or(dhcp, "range");
	char net_text[PREFIX_STRLEN], ip[IP4_STRLEN];
	uint32_t first = host32(net->range_first), last = host32(net->range_last);
	struct {
		const char *what;
		be32 addr;
	} ours[] = {{"gateway", net->gateway},
		    {"DNS address", net->dns_address},
		    {"host's address", host_address(net)}};
	prefix4_format(net->subnet, net_text);
	if (first > last)
		diag_at(k->d, v, "the DHCP range ends before it begins");
	else if (!prefix4_contains(net->subnet, net->range_first))
		diag_at(k->d, v, "DHCP range begins outside the subnet %s", net_text);
	else if (!prefix4_contains(net->subnet, net->range_last))
		diag_at(k->d, v, "DHCP range ends outside the subnet %s", net_text);
	else if (net->range_first == prefix4_network(net->subnet))
		diag_at(k->d, v, "DHCP range begins with the network address of %s", net_text);
	else if (net->range_last == prefix4_broadcast(net->subnet))
		diag_at(k->d, v, "DHCP range ends with the broadcast address of %s", net_text);
	else
		for (size_t i = 0; i < ARRAY_SIZE(ours) && !v->bad; i++)
			if (ours[i].addr && host32(ours[i].addr) >= first &&
			    host32(ours[i].addr) <= last)
				diag_at(k->d, v, "the DHCP range contains the %s %s", ours[i].what,
					ip4_format(ours[i].addr, ip));
}

static void check_reservation(struct check *k, struct cfg_network *net, struct node *dhcp, size_t i)
{
	const struct cfg_reservation *r = &net->reservations[i];
	struct node *n = item(dhcp, "reservations", i);
	char ip[IP4_STRLEN], mac[MAC_STRLEN];
	if (n->bad || !check_host(k, value_or(n, "address"), "address", r->address, net->subnet))
		return;
	ip4_format(r->address, ip);
	if (r->address == net->gateway || (net->dns && r->address == net->dns_address))
		diag_at(k->d, value_or(n, "address"), "address %s is the %s", ip,
			r->address == net->gateway ? "gateway" : "DNS address");
	for (size_t j = 0; j < i; j++) {
		const struct cfg_reservation *o = &net->reservations[j];
		if (!memcmp(&o->mac, &r->mac, sizeof(r->mac)))
			diag_at(k->d, value_or(n, "mac"), "%s has a reservation already",
				mac_format(r->mac, mac));
		if (o->address == r->address)
			diag_at(k->d, value_or(n, "address"),
				"address %s is already reserved for %s", ip,
				mac_format(o->mac, mac));
		if (o->hostname && r->hostname && !strcasecmp(o->hostname, r->hostname))
			diag_at(k->d, value_or(n, "hostname"),
				"host name '%s' is already reserved for %s", r->hostname,
				mac_format(o->mac, mac));
	}
}

/* VirtualBox's: gateway .2, DNS .3, the guest .15, where the subnet has room for them. */
#define VM_DNS 3u
#define VM_GUEST 15u

static be32 nth_host(const struct cfg_network *net, uint32_t n)
{
	return htobe32(host32(prefix4_network(net->subnet)) + n);
}

static be32 default_dns(const struct cfg_network *net)
{
	return net->mode == MODE_NAT_PER_VM && net->gateway != nth_host(net, VM_DNS) ? nth_host(net, VM_DNS)
											  : net->gateway;
}

static void set_default_range(struct cfg_network *net)
{
	be32 guest = nth_host(net, VM_GUEST);
	default_range(net);
	if (net->mode != MODE_NAT_PER_VM)
		return;
	if (host32(guest) < host32(prefix4_broadcast(net->subnet)) && guest != net->gateway &&
	    guest != net->dns_address)
		net->range_first = guest;
	net->range_last = net->range_first;
}

static void check_services(struct check *k, struct cfg_network *net, struct node *n)
{
	struct node *dhcp = node_get(n, "dhcp"), *dns = node_get(n, "dns");
	net->dhcp = dhcp ? net->dhcp : true;
	net->dns = dns ? net->dns : true;
	if (!net->dns)
		net->dns_address = 0;
	else if (!net->dns_address)
		net->dns_address = default_dns(net);
	else
		check_host(k, value_or(dns, "address"), "DNS address", net->dns_address,
			   net->subnet);
	if (!net->dhcp)
		return;
	if (!net->range_first && !net->range_last)
		set_default_range(net);
	else if (!value_or(dhcp, "range")->bad)
		check_range(k, net, dhcp);
	for (size_t i = 0; i < net->n_reservations; i++)
		check_reservation(k, net, dhcp, i);
}

/* Where a forward really listens: on an interface uplink "nothing" is the uplink's address. */
static be32 listen_address(const struct cfg_forward *f, const struct cfg_uplink *u)
{
	return !f->listen && u->type != UPLINK_HOST ? u->address.addr : f->listen;
}

static bool forwards_collide(const struct cfg_forward *a, const struct cfg_forward *b,
			     const struct cfg_uplink *u)
{
	be32 x = listen_address(a, u), y = listen_address(b, u);
	return a->proto == b->proto && a->listen_port <= b->listen_last &&
	       b->listen_port <= a->listen_last && (x == y || !x || !y);
}

/* Against every forward before this one, of this network and of those above it. */
static void check_forward_unique(struct check *k, size_t net_index, size_t i,
				 const struct cfg_uplink *u, struct node *n)
{
	const struct cfg_forward *f = &k->c->networks[net_index].forwards[i];
	char to[IP4_PORT_STRLEN];
	bool first = true;
	for (unsigned p = f->listen_port; p <= f->listen_last; p++) {
		uint64_t *seen = &k->forward_ports[f->proto == PROTO_UDP][p / 64], bit = UINT64_C(1) << p % 64;
		first = first && !(*seen & bit);
		*seen |= bit;
	}
	if (first) /* of all uplinks: thousands of forwards are not compared each with each */
		return;
	for (size_t j = 0; j <= net_index; j++) {
		const struct cfg_network *other = &k->c->networks[j];
		if (!other->uplink || strcmp(other->uplink, u->name))
			continue;
		for (size_t m = 0; m < (j == net_index ? i : other->n_forwards); m++) {
			const struct cfg_forward *o = &other->forwards[m];
			if (!forwards_collide(f, o, u))
				continue;
			ip4_port_format(o->to, o->to_port, to);
			diag_at(k->d, value_or(n, "listen"),
				"%s '%s' of uplink '%s' already leads to %s of network '%s'",
				f->proto == PROTO_TCP ? "tcp" : "udp", value_or(n, "listen")->text,
				u->name, o->to_name ? o->to_name : to, other->name);
			return;
		}
	}
}

/* In mode nat-per-vm an address alone says nothing. */
static void check_forward_port(struct check *k, const struct cfg_network *net, const struct cfg_forward *f,
			       struct node *n)
{
	const struct cfg_port *p = f->port ? config_port(k->c, f->port) : NULL;
	char hint[80];
	if (net->mode != MODE_NAT_PER_VM && f->port)
		diag_at(k->d, value_or(n, "port"), "'port' goes with mode nat-per-vm only");
	else if (net->mode == MODE_NAT_PER_VM && !f->port)
		diag_at(k->d, n, "'port' is missing: every guest of network '%s' has the same address",
			net->name);
	else if (f->port && !p)
		diag_at(k->d, value_or(n, "port"), "port '%s' is not defined%s", f->port,
			meant(k->ports, f->port, hint, sizeof(hint)));
	else if (f->port && (!p->network || strcmp(p->network, net->name)))
		diag_at(k->d, value_or(n, "port"), "port '%s' is not in network '%s'", f->port, net->name);
}

static void check_forward(struct check *k, size_t net_index, size_t i, const struct cfg_uplink *u)
{
	const struct cfg_network *net = &k->c->networks[net_index];
	const struct cfg_forward *f = &net->forwards[i];
	struct node *n = item(k->networks->kid[net_index], "forward", i);
	char ip[IP4_STRLEN];
	if (n->bad)
		return;
	struct node *listen = value_or(n, "listen");
	bool loopback = host32(f->listen) >> 24 == 127;
	if (loopback && u->type != UPLINK_HOST)
		diag_at(k->d, listen,
			"a loopback address goes with uplinks of type host only; '%s' is not",
			u->name);
	else if (f->listen && !loopback && ip4_is_martian(f->listen))
		diag_at(k->d, listen, "%s is not an address to listen on",
			ip4_format(f->listen, ip));
	else if (u->shared && (f->listen_port < u->port_first || f->listen_last > u->port_last))
		diag_at(k->d, listen, "the ports of uplink '%s' are %u-%u, the others are the host's", u->name,
			u->port_first, u->port_last);
	else if (f->listen && u->shared)
		diag_at(k->d, listen, "'listen' must be :%u: the address of uplink '%s' is the host's",
			f->listen_port, u->name);
	else if (f->listen && net->n_backups)
		diag_at(k->d, listen, "'listen' must be :%u: it moves between uplinks of different addresses",
			f->listen_port);
	else if (f->listen && u->type != UPLINK_HOST && u->dhcp)
		diag_at(k->d, listen, "the address of uplink '%s' comes by DHCP: listen on :%u", u->name,
			f->listen_port);
	else if (f->listen && u->type != UPLINK_HOST && f->listen != u->address.addr)
		diag_at(k->d, listen, "'listen' must be the address of uplink '%s', %s, or :%u",
			u->name, ip4_format(u->address.addr, ip), f->listen_port);
	else
		check_forward_unique(k, net_index, i, u, n);
	check_forward_port(k, net, f, n);
	unsigned more = (unsigned)f->listen_last - f->listen_port;
	if (f->to_port + more > UINT16_MAX || (f->to_last && f->to_last != f->to_port + more))
		diag_at(k->d, value_or(n, "to"), "'to' must have as many ports as 'listen', which has %u",
			more + 1);
	if (f->to_name)
		return;
	if (f->to == net->gateway)
		diag_at(k->d, value_or(n, "to"), "%s is the gateway, not a guest",
			ip4_format(f->to, ip));
	else
		check_host(k, value_or(n, "to"), "target", f->to, net->subnet);
}

static const struct cfg_uplink *check_routed_uplink(struct check *k, struct cfg_network *net,
						    struct node *n)
{
	const struct cfg_uplink *u = net->uplink ? check_network_uplink(k, net, n) : NULL;
	if (u && u->type == UPLINK_HOST)
		diag_at(k->d, value_or(n, "uplink"),
			"mode 'routed' does not go through uplink '%s': the host's sockets translate all "
			"that leaves by them; use type interface or network, or mode nat",
			u->name);
	return u;
}

#define HOST_ONLY_NAME_MAX 11 /* "vsw-" and the name are an interface's, of 15 */

static void check_host_only(struct check *k, const struct cfg_network *net, struct node *n)
{
	if (strlen(net->name) > HOST_ONLY_NAME_MAX)
		diag_at(k->d, n->key, "the host's interface would be vsw-%s, longer than 15: choose a "
			"name of at most %d", net->name, HOST_ONLY_NAME_MAX);
	if (net->gateway == host_address(net))
		diag_at(k->d, value_or(n, "gateway"), "the first address is the host's own");
}

static be32 default_gateway(const struct cfg_network *net)
{
	be32 first = first_host(net->subnet);
	return net->mode == MODE_HOST_ONLY || net->mode == MODE_NAT_PER_VM ? htobe32(host32(first) + 1) : first;
}

/* A port opened on the host's own sockets would be the host's, and not the guest's to ask for. */
static void check_port_control(struct check *k, const struct cfg_network *net, struct node *n,
			       const struct cfg_uplink *u)
{
	struct node *nat = node_get(n, "nat"), *at = nat ? node_get(nat, "port-control") : NULL;
	if (at && net->port_control && u && u->type == UPLINK_HOST && !net->n_backups)
		diag_at(k->d, at, "'port-control' does not go through uplink '%s': a port there is the host's own; "
			"use an uplink of type interface or network", u->name);
	else if (at && net->port_control & CONTROL_UPNP && net->mode == MODE_NAT_PER_VM)
		diag_at(k->d, at, "'upnp' does not go with mode 'nat-per-vm': its TCP tells guests apart by their address, "
			"which is there the same for all");
}

#define VM_SUBNET 0x0a000200u /* 10.0.2.0/24 */

/* Nobody else's addresses, or the table of routes could not tell whose they are. */
static void check_npt_prefix(struct check *k, size_t i, struct node *at)
{
	const struct prefix6 *p = &k->c->networks[i].npt;
	char buf[PREFIX_STRLEN];
	for (size_t j = 0; j < k->c->n_networks; j++) {
		const struct cfg_network *o = &k->c->networks[j];
		const struct prefix6 *taken = o->has_subnet6 && prefix6_overlap(p, &o->subnet6) ? &o->subnet6
					      : j < i && o->npt.len && prefix6_overlap(p, &o->npt) ? &o->npt
											       : NULL;
		if (taken) {
			diag_at(k->d, at, "the prefix overlaps %s of network '%s'", prefix6_format(taken, buf), o->name);
			return;
		}
	}
	for (size_t j = 0; j < k->c->n_uplinks; j++) {
		const struct cfg_uplink *u = &k->c->uplinks[j];
		if (!u->address6.len || !prefix6_overlap(p, &u->address6))
			continue;
		diag_at(k->d, at, "the prefix overlaps %s of uplink '%s': it must be one that is routed to the uplink",
			prefix6_format(&u->address6, buf), u->name);
		return;
	}
}

/* IPv6 of mode nat, and the filter. */
static void check_npt(struct check *k, size_t i, const struct cfg_uplink *u)
{
	struct cfg_network *net = &k->c->networks[i];
	struct node *n = k->networks->kid[i], *nat = node_get(n, "nat");
	struct node *at = nat ? value_or(nat, "ipv6-prefix") : n, *what = nat ? value_or(nat, "ipv6") : n;
	if (!node_get(n, "ipv6-filter"))
		net->filter6 = net->nat6 == NAT6_NPT;
	else if (net->filter6 && (!net->has_subnet6 || (net->mode == MODE_NAT && net->nat6 == NAT6_NONE)))
		diag_at(k->d, value_or(n, "ipv6-filter"), "there is no IPv6 to filter");
	if (net->nat6 == NAT6_NONE && net->npt.len)
		diag_at(k->d, at, "'ipv6-prefix' goes with `ipv6: npt` only");
	if (net->nat6 == NAT6_NONE)
		return;
	if (!net->has_subnet6)
		diag_at(k->d, what, "`ipv6: npt` needs an IPv6 /64 in 'subnet'");
	else if (!net->npt.len && !at->bad)
		diag_at(k->d, what, "`ipv6: npt` needs 'ipv6-prefix', what the /64 is outside");
	else if (u && !u->address6.len)
		diag_at(k->d, what, "uplink '%s' has no IPv6 address", u->name);
	else if (net->npt.len)
		check_npt_prefix(k, i, at);
}

static void check_served_network(struct check *k, size_t i)
{
	struct cfg_network *net = &k->c->networks[i];
	struct node *n = k->networks->kid[i];
	const struct cfg_uplink *u = net->mode == MODE_HOST_ONLY ? NULL
				     : net->mode == MODE_ROUTED	 ? check_routed_uplink(k, net, n)
								 : check_network_uplink(k, net, n);
	if (net->mode == MODE_NAT_PER_VM && !node_get(n, "subnet")) {
		net->subnet = (struct prefix4){htobe32(VM_SUBNET), 24};
		net->has_subnet = true;
	}
	if (!net->has_subnet || value_or(n, "subnet")->bad)
		return;
	check_subnet(k, i, u);
	check_backups(k, net, n);
	struct node *gw = node_get(n, "gateway");
	if (!gw)
		net->gateway = default_gateway(net);
	else if (gw->bad ||
		 !check_host(k, value_or(n, "gateway"), "gateway", net->gateway, net->subnet))
		return; /* what follows leans on it */
	if (net->mode == MODE_HOST_ONLY)
		check_host_only(k, net, n);
	check_services(k, net, n);
	check_port_control(k, net, n, u);
	check_npt(k, i, u);
	struct prefix6 subnet6 = {.len = 0};
	if (net->has_subnet6)
		subnet6 = net->subnet6;
	check_routes(k, n, net->routes, net->n_routes, net->subnet, &subnet6);
	for (size_t f = 0; u && f < net->n_forwards; f++)
		check_forward(k, i, f, u);
}

static void check_network(struct check *k, size_t i)
{
	struct cfg_network *net = &k->c->networks[i];
	struct node *n = k->networks->kid[i], *mode = node_get(n, "mode");
	if (n->key->bad)
		return;
	check_network_name(k, n, net->name);
	check_vlan_unique(k, i);
	if (mode && !mode->bad && cfg_network_served(net))
		check_served_network(k, i);
	else
		net->dhcp = net->dns = false;
}

/* ---- ports: which VLANs ---- */

static struct node *trunk_item(struct node *trunk, size_t i)
{
	return trunk->kind == NODE_LIST ? trunk->kid[i] : trunk;
}

static bool is_number(const char *s)
{
	return *s && strspn(s, "0123456789") == strlen(s);
}

/* "20" or "100-199" into first..last; false when it is not of that form. */
static bool vlan_range(const char *s, unsigned long *first, unsigned long *last)
{
	char *end;
	if (strspn(s, "0123456789-") != strlen(s) || !is_number((const char[2]){*s, 0}) ||
	    strlen(s) > 11)
		return false;
	*first = *last = strtoul(s, &end, 10);
	if (*end == '-' && is_number(end + 1))
		*last = strtoul(end + 1, &end, 10);
	return !*end;
}

static void check_trunk(struct check *k, struct cfg_port *p, struct node *trunk)
{
	unsigned long first, last;
	char hint[80];
	for (size_t i = 0; i < (trunk->kind == NODE_LIST ? trunk->n : 1); i++) {
		struct node *v = trunk_item(trunk, i);
		const struct cfg_network *net = config_network(k->c, v->text);
		if (net) {
			vlan_set_add(&p->trunk, net->vlan);
		} else if (!vlan_range(v->text, &first, &last)) {
			diag_at(k->d, v, "network '%s' is not defined%s", v->text,
				meant(k->networks, v->text, hint, sizeof(hint)));
		} else if (first < 1 || last > VLAN_MAX || first > last) {
			diag_at(k->d, v, "VLANs '%s' are out of range (1 to %u, the lower first)",
				v->text, VLAN_MAX);
		} else {
			for (; first <= last; first++)
				vlan_set_add(&p->trunk, (vlan_id)first);
		}
	}
}

static void check_native(struct check *k, struct cfg_port *p, struct node *v)
{
	unsigned long first, last;
	char hint[80];
	const struct cfg_network *net = config_network(k->c, p->native);
	if (net)
		p->native_vlan = net->vlan;
	else if (!vlan_range(p->native, &first, &last))
		diag_at(k->d, v, "network '%s' is not defined%s", p->native,
			meant(k->networks, p->native, hint, sizeof(hint)));
	else if (first != last || first < 1 || first > VLAN_MAX)
		diag_at(k->d, v, "'native' is one network or one VLAN from 1 to %u", VLAN_MAX);
	else
		p->native_vlan = (vlan_id)first;
	if (!v->bad && !vlan_set_has(&p->trunk, p->native_vlan))
		diag_at(k->d, v, "native '%s' is not in the trunk", p->native);
}

static void check_port_vlans(struct check *k, struct cfg_port *p, struct node *n)
{
	struct node *network = node_get(n, "network"), *trunk = node_get(n, "trunk"),
		    *native = node_get(n, "native");
	char hint[80];
	if (network && trunk)
		diag_at(k->d, trunk->key, "a port has either 'network' or 'trunk'");
	else if (!network && !trunk && !n->bad)
		diag_at(k->d, n,
			"'network' is missing (or 'trunk', for a port with tagged frames)");
	if (native && !trunk)
		diag_at(k->d, native->key, "'native' goes with 'trunk' only");
	if (network && !network->bad && !config_network(k->c, p->network))
		diag_at(k->d, network, "network '%s' is not defined%s", p->network,
			meant(k->networks, p->network, hint, sizeof(hint)));
	if (trunk && !trunk->bad)
		check_trunk(k, p, trunk);
	if (native && !native->bad && trunk && !trunk->bad)
		check_native(k, p, native);
}

/* ---- ports: what they hold must be held by one ---- */

static bool same(const char *a, const char *b)
{
	return a && b && !strcmp(a, b);
}

/* The path of a port's UNIX socket, and its key. */
static const char *socket_of(const struct cfg_port *p, const char **ret_key)
{
	if (p->socket) {
		*ret_key = "socket";
		return p->socket;
	}
	if (p->type != PORT_STREAM)
		return NULL;
	*ret_key = p->listen ? "listen" : "connect";
	return p->listen ? p->listen : p->connect;
}

static void check_socket(struct check *k, size_t i)
{
	const char *key, *other_key, *path = socket_of(&k->c->ports[i], &key);
	struct node *n = k->ports->kid[i];
	if (!path)
		return;
	if (same(path, k->c->control_socket))
		diag_at(k->d, value_or(n, key), "this is the control socket");
	for (size_t j = 0; j < i; j++)
		if (same(path, socket_of(&k->c->ports[j], &other_key))) {
			diag_at(k->d, value_or(n, key), "socket '%s' is already used by port '%s'",
				path, k->c->ports[j].name);
			return;
		}
}

/* A client makes no file, so there is nothing to set a mode or group of. */
static void check_role(struct check *k, const struct cfg_port *p, struct node *n)
{
	static const char *const keys[] = {"mode", "group"};
	if (p->role != ROLE_CLIENT)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (node_get(n, keys[i]))
			diag_at(k->d, node_get(n, keys[i])->key,
				"'%s' goes with role 'server' only: a client makes no socket",
				keys[i]);
}

static void check_udp(struct check *k, size_t i)
{
	const struct cfg_port *p = &k->c->ports[i];
	struct node *n = k->ports->kid[i];
	be32 a, b;
	uint16_t x, y;
	if (ip4_port_parse(p->listen, &a, &x) < 0)
		return;
	if (same(p->listen, p->peer))
		diag_at(k->d, value_or(n, "peer"), "the peer is the port itself");
	for (size_t j = 0; j < i; j++) {
		const struct cfg_port *o = &k->c->ports[j];
		if (o->type != PORT_UDP || !o->listen || ip4_port_parse(o->listen, &b, &y) < 0)
			continue;
		if (x == y && (a == b || !a || !b)) {
			diag_at(k->d, value_or(n, "listen"), "'%s' is already used by port '%s'",
				p->listen, o->name);
			return;
		}
	}
}

static void check_interface(struct check *k, size_t i)
{
	const struct cfg_port *p = &k->c->ports[i];
	struct node *v = value_or(k->ports->kid[i], "interface");
	if (!p->interface)
		return;
	for (size_t j = 0; j < k->c->n_uplinks; j++)
		if (same(p->interface, k->c->uplinks[j].interface))
			diag_at(k->d, v, "interface '%s' is already used by uplink '%s'",
				p->interface, k->c->uplinks[j].name);
	for (size_t j = 0; j < i; j++)
		if (same(p->interface, k->c->ports[j].interface)) {
			diag_at(k->d, v, "interface '%s' is already used by port '%s'",
				p->interface, k->c->ports[j].name);
			return;
		}
}

static void check_tap_address(struct check *k, const struct cfg_port *p, struct node *n)
{
	const struct cfg_network *net = p->network ? config_network(k->c, p->network) : NULL;
	if (!p->has_address || !net || !cfg_network_served(net))
		return;
	if (p->address.addr == net->gateway)
		diag_at(k->d, value_or(n, "address"), "the address is the gateway of network '%s'",
			net->name);
}

/* ---- ports: patterns ---- */

static void check_pattern(struct check *k, size_t i)
{
	struct cfg_port *p = &k->c->ports[i];
	struct node *n = k->ports->kid[i];
	struct glob mine, theirs;
	p->is_pattern = true;
	if (!name_is_glob(p->name)) {
		diag_at(k->d, n->key, "'%s' is neither a port name nor a pattern", p->name);
		return;
	}
	if (++k->patterns > PATTERNS_MAX) {
		diag_at(k->d, n->key, "more than %d patterns", PATTERNS_MAX);
		return;
	}
	if (glob_parse(p->name, &mine) < 0) {
		diag_at(k->d, n->key, "the pattern '%s' has a [ that is not closed", p->name);
		return;
	}
	if (p->type != PORT_NETDEV)
		diag_at(k->d, n->key, "a pattern goes with type 'netdev' only");
	else if (p->interface)
		diag_at(k->d, node_get(n, "interface"), "a pattern names its interfaces itself");
	for (size_t j = 0; j < i && !n->key->bad; j++) {
		const struct cfg_port *o = &k->c->ports[j];
		if (o->is_pattern && glob_parse(o->name, &theirs) == 0 &&
		    theirs.literals == mine.literals && glob_meet(&mine, &theirs))
			diag_at(k->d, n->key,
				"the patterns '%s' and '%s' tie: an interface can match both, and "
				"neither is longer",
				o->name, p->name);
	}
}

/* Who is alone with a gateway has a wire of his own. */
static void check_alone(struct check *k, const struct cfg_port *p, struct node *n)
{
	const struct cfg_network *net = p->network ? config_network(k->c, p->network) : NULL;
	if (net && net->mode == MODE_NAT_PER_VM && p->is_pattern)
		diag_at(k->d, value_or(n, "network"),
			"a pattern takes many interfaces, and each port of '%s' is one guest's", net->name);
	for (size_t i = 0; p->is_trunk && i < k->c->n_networks; i++)
		if (k->c->networks[i].mode == MODE_NAT_PER_VM && vlan_set_has(&p->trunk, k->c->networks[i].vlan))
			diag_at(k->d, value_or(n, "trunk"),
				"a trunk cannot carry '%s': each of its ports is one guest's",
				k->c->networks[i].name);
}

static void check_port(struct check *k, size_t i)
{
	struct cfg_port *p = &k->c->ports[i];
	struct node *n = k->ports->kid[i], *type = node_get(n, "type");
	if (n->key->bad)
		return;
	if (strpbrk(p->name, "*?[]!^"))
		check_pattern(k, i);
	check_port_vlans(k, p, n);
	check_alone(k, p, n);
	if (!type || type->bad)
		return;
	if (p->type == PORT_NETDEV && !p->is_pattern && !node_get(n, "interface"))
		diag_at(k->d, n,
			"'interface' is missing: type 'netdev' needs it, or a name that is a "
			"pattern");
	if (p->type == PORT_STREAM && !p->listen == !p->connect && !n->bad)
		diag_at(k->d, p->listen ? node_get(n, "connect")->key : n,
			"type 'stream' needs either 'listen' or 'connect'");
	if (p->type == PORT_UDP && p->listen)
		check_udp(k, i);
	else
		check_socket(k, i);
	if (p->type == PORT_VHOST_USER)
		check_role(k, p, n);
	bool has_socket = p->type == PORT_DGRAM || p->type == PORT_STREAM ||
			  (p->type == PORT_VHOST_USER && p->role == ROLE_SERVER);
	if (has_socket && !p->group && k->c->control_group)
		replace(&p->group, k->c->control_group, k->d);
	check_interface(k, i);
	check_tap_address(k, p, n);
}

/* ---- the whole ---- */

static size_t entries(const struct node *section)
{
	return section && section->kind == NODE_MAP ? section->n : 0;
}

void config_check(struct config *c, struct node *root, struct diag *d)
{
	struct check k = {.c = c, .root = root, .d = d};
	k.uplinks = node_get(root, "uplinks");
	k.networks = node_get(root, "networks");
	k.ports = node_get(root, "ports");
	if (c->n_ports > c->max_ports)
		diag_at(d, k.ports, "%zu ports are more than limits.ports, %u", c->n_ports,
			c->max_ports);
	/* a section that could not be read has no array */
	for (size_t i = 0; i < entries(k.uplinks) && i < c->n_uplinks; i++)
		check_uplink(&k, i);
	for (size_t i = 0; i < entries(k.networks) && i < c->n_networks; i++)
		check_network(&k, i);
	for (size_t i = 0; i < entries(k.networks) && i < c->n_networks; i++)
		check_uplink_cycle(&k, i);
	for (size_t i = 0; i < entries(k.ports) && i < c->n_ports; i++)
		check_port(&k, i);
}
