/* The device of nat/igd.h: its descriptions, and what each action does with the table of nat/portmap.h. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "nat/igd.h"
#include "net/headers.h"

#define WANIP "urn:schemas-upnp-org:service:WANIPConnection:1"
#define WANCIF "urn:schemas-upnp-org:service:WANCommonInterfaceConfig:1"
#define SERVER "SERVER: Linux UPnP/1.0 vswitchd/1\r\n"
#define XML_HEAD "<?xml version=\"1.0\"?>\n"
#define ENVELOPE                                                                                   \
	"<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" "                           \
	"s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\"><s:Body>"
#define ENVELOPE_END "</s:Body></s:Envelope>\n"

/* ---- text that cannot overflow ---- */

struct out {
	char *s;
	size_t n, size;
	bool over;
};

static void __attribute__((format(printf, 2, 3))) put(struct out *o, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	int n = o->over ? -1 : vsnprintf(o->s + o->n, o->size - o->n, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= o->size - o->n)
		o->over = true;
	else
		o->n += (size_t)n;
}

/* <name>text</name>, the text being a guest's. */
static void put_text(struct out *o, const char *name, const char *text)
{
	put(o, "<%s>", name);
	for (; *text; text++) {
		switch (*text) {
		case '<':
			put(o, "&lt;");
			break;
		case '>':
			put(o, "&gt;");
			break;
		case '&':
			put(o, "&amp;");
			break;
		default:
			put(o, "%c", *text);
		}
	}
	put(o, "</%s>", name);
}

static void put_number(struct out *o, const char *name, uint64_t n)
{
	put(o, "<%s>%llu</%s>", name, (unsigned long long)n, name);
}

/* ---- descriptions ---- */

static void put_udn(struct out *o, const struct igd_server *s, char part)
{
	put(o, "uuid:76737769-7463-6864-800%c-%012llx", part, (unsigned long long)mac_u64(s->mac));
}

static void put_device(struct out *o, const struct igd_server *s, char part, const char *type)
{
	put(o, "<device><deviceType>urn:schemas-upnp-org:device:%s:1</deviceType><friendlyName>vswitchd %s"
	       "</friendlyName><manufacturer>vswitchd</manufacturer><modelName>vswitchd</modelName><UDN>", type, type);
	put_udn(o, s, part);
	put(o, "</UDN>");
}

static void put_service(struct out *o, const char *type, const char *id, const char *path)
{
	put(o, "<serviceList><service><serviceType>%s</serviceType><serviceId>urn:upnp-org:serviceId:%s</serviceId>"
	       "<controlURL>/ctl/%s</controlURL><eventSubURL>/evt/%s</eventSubURL><SCPDURL>/%s.xml</SCPDURL>"
	       "</service></serviceList>", type, id, path, path, path);
}

static void root_document(struct out *o, const struct igd_server *s)
{
	put(o, XML_HEAD "<root xmlns=\"urn:schemas-upnp-org:device-1-0\"><specVersion><major>1</major><minor>0</minor>"
			"</specVersion>");
	put_device(o, s, '0', "InternetGatewayDevice");
	put(o, "<deviceList>");
	put_device(o, s, '1', "WANDevice");
	put_service(o, WANCIF, "WANCommonIFC1", "wancif");
	put(o, "<deviceList>");
	put_device(o, s, '2', "WANConnectionDevice");
	put_service(o, WANIP, "WANIPConn1", "wanip");
	put(o, "</device></deviceList></device></deviceList></device></root>\n");
}

struct argument {
	const char *name, *variable;
	bool is_out;
};

/* The arguments of a mapping, in the standard's order. */
static const struct argument mapping_args[] = {
	{"NewRemoteHost", "RemoteHost"},
	{"NewExternalPort", "ExternalPort"},
	{"NewProtocol", "PortMappingProtocol"},
	{"NewInternalPort", "InternalPort"},
	{"NewInternalClient", "InternalClient"},
	{"NewEnabled", "PortMappingEnabled"},
	{"NewPortMappingDescription", "PortMappingDescription"},
	{"NewLeaseDuration", "PortMappingLeaseDuration"},
};
#define PLACE_ARGS 3u

static void put_argument(struct out *o, const char *name, const char *variable, bool is_out)
{
	put(o, "<argument><name>%s</name><direction>%s</direction><relatedStateVariable>%s</relatedStateVariable>"
	       "</argument>", name, is_out ? "out" : "in", variable);
}

static void put_action(struct out *o, enum igd_action a)
{
	unsigned in = a == IGD_ADD	     ? ARRAY_SIZE(mapping_args)
		      : a == IGD_GET_GENERIC ? 0
					     : PLACE_ARGS;
	bool shows = a == IGD_GET_GENERIC || a == IGD_GET_SPECIFIC;

	put(o, "<action><name>%s</name><argumentList>", igd_action_name(a));
	if (a == IGD_GET_GENERIC)
		put_argument(o, "NewPortMappingIndex", "PortMappingNumberOfEntries", false);
	for (unsigned i = 0; i < ARRAY_SIZE(mapping_args); i++) {
		if (i < in || shows)
			put_argument(o, mapping_args[i].name, mapping_args[i].variable, i >= in);
	}
	put(o, "</argumentList></action>");
}

static void put_getter(struct out *o, const char *action, const struct argument *a, size_t n)
{
	put(o, "<action><name>%s</name><argumentList>", action);
	for (size_t i = 0; i < n; i++)
		put_argument(o, a[i].name, a[i].variable, true);
	put(o, "</argumentList></action>");
}

static void scpd_begin(struct out *o)
{
	put(o, XML_HEAD "<scpd xmlns=\"urn:schemas-upnp-org:service-1-0\"><specVersion><major>1</major><minor>0</minor>"
			"</specVersion><actionList>");
}

struct variable {
	const char *name, *type;
};

static void put_variables(struct out *o, const struct variable *v, size_t n)
{
	put(o, "</actionList><serviceStateTable>");
	for (size_t i = 0; i < n; i++)
		put(o, "<stateVariable sendEvents=\"no\"><name>%s</name><dataType>%s</dataType></stateVariable>",
		    v[i].name, v[i].type);
	put(o, "</serviceStateTable></scpd>\n");
}

static void wanip_document(struct out *o, const struct igd_server *s)
{
	static const enum igd_action about_mappings[] = {IGD_ADD, IGD_DELETE, IGD_GET_SPECIFIC, IGD_GET_GENERIC};
	static const struct argument address[] = {{"NewExternalIPAddress", "ExternalIPAddress"}},
		type[] = {{"NewConnectionType", "ConnectionType"}, {"NewPossibleConnectionTypes", "PossibleConnectionTypes"}},
		status[] = {{"NewConnectionStatus", "ConnectionStatus"}, {"NewLastConnectionError", "LastConnectionError"},
			    {"NewUptime", "Uptime"}};
	static const struct variable variables[] = {
		{"RemoteHost", "string"}, {"ExternalPort", "ui2"}, {"PortMappingProtocol", "string"},
		{"InternalPort", "ui2"}, {"InternalClient", "string"}, {"PortMappingEnabled", "boolean"},
		{"PortMappingDescription", "string"}, {"PortMappingLeaseDuration", "ui4"},
		{"PortMappingNumberOfEntries", "ui2"}, {"ExternalIPAddress", "string"},
		{"ConnectionType", "string"}, {"PossibleConnectionTypes", "string"}, {"ConnectionStatus", "string"},
		{"LastConnectionError", "string"}, {"Uptime", "ui4"},
	};

	(void)s;
	scpd_begin(o);
	for (size_t i = 0; i < ARRAY_SIZE(about_mappings); i++)
		put_action(o, about_mappings[i]);
	put_getter(o, igd_action_name(IGD_GET_ADDRESS), address, ARRAY_SIZE(address));
	put_getter(o, igd_action_name(IGD_GET_TYPE), type, ARRAY_SIZE(type));
	put_getter(o, igd_action_name(IGD_GET_STATUS), status, ARRAY_SIZE(status));
	put_variables(o, variables, ARRAY_SIZE(variables));
}

static const struct argument link_properties[] = {
	{"NewWANAccessType", "WANAccessType"},
	{"NewLayer1UpstreamMaxBitRate", "Layer1UpstreamMaxBitRate"},
	{"NewLayer1DownstreamMaxBitRate", "Layer1DownstreamMaxBitRate"},
	{"NewPhysicalLinkStatus", "PhysicalLinkStatus"},
};

static void wancif_document(struct out *o, const struct igd_server *s)
{
	static const struct variable variables[] = {
		{"WANAccessType", "string"}, {"Layer1UpstreamMaxBitRate", "ui4"},
		{"Layer1DownstreamMaxBitRate", "ui4"}, {"PhysicalLinkStatus", "string"},
	};

	(void)s;
	scpd_begin(o);
	put_getter(o, igd_action_name(IGD_GET_LINK), link_properties, ARRAY_SIZE(link_properties));
	put_variables(o, variables, ARRAY_SIZE(variables));
}

/* ---- arguments ---- */

struct act {
	const struct igd_server *server;
	const struct portmap_guest *who;
	const struct igd_call *call;
	nsec_t now;
	struct out *out; /* the answer's arguments */
};

/* Decimal digits and nothing else, up to max. */
static bool number(const char *s, uint32_t max, uint32_t *ret)
{
	uint64_t n = 0;

	if (!*s || strlen(s) > 10)
		return false;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return false;
		n = n * 10 + (uint64_t)(*s - '0');
	}
	*ret = (uint32_t)n;
	return n <= max;
}

static enum igd_error read_place(const struct act *a, uint8_t *ret_proto, uint16_t *ret_port)
{
	const char *proto = a->call->arg[IGD_PROTOCOL];
	uint32_t port;

	if (*a->call->arg[IGD_REMOTE_HOST])
		return IGD_REMOTE_HOST_ONLY_WILDCARD; /* anyone may come in by a forward */
	if ((strcmp(proto, "TCP") && strcmp(proto, "UDP")) || !number(a->call->arg[IGD_EXTERNAL_PORT], UINT16_MAX, &port))
		return IGD_INVALID_ARGS;
	if (!port)
		return IGD_WILDCARD_PORT;
	*ret_proto = *proto == 'T' ? IPPROTO4_TCP : IPPROTO4_UDP;
	*ret_port = (uint16_t)port;
	return IGD_OK;
}

static enum igd_error read_mapping(const struct act *a, struct portmap_row *ret_row, uint32_t *ret_lease)
{
	const struct igd_call *c = a->call;
	struct portmap_row row = {.guest = *a->who, .by = PORTCTL_UPNP};
	enum igd_error e = read_place(a, &row.proto, &row.outside_port);
	uint32_t port, lease;
	be32 client;

	if (e)
		return e;
	if (!number(c->arg[IGD_INTERNAL_PORT], UINT16_MAX, &port) || !port ||
	    !number(c->arg[IGD_LEASE], UINT32_MAX, &lease) || ip4_parse(c->arg[IGD_INTERNAL_CLIENT], &client))
		return IGD_INVALID_ARGS;
	if (client != a->who->addr)
		return IGD_NOT_AUTHORIZED; /* no guest speaks for another */
	if (strcmp(c->arg[IGD_ENABLED], "1") && strcmp(c->arg[IGD_ENABLED], "true"))
		return IGD_INVALID_ARGS; /* one that is off is not kept */
	row.inside_port = (uint16_t)port;
	memcpy(row.text, c->arg[IGD_DESCRIPTION], sizeof(row.text));
	*ret_lease = !lease || lease > IGD_LEASE_MAX ? IGD_LEASE_MAX : lease;
	*ret_row = row;
	return IGD_OK;
}

/* ---- actions ---- */

static enum igd_error error_of(enum portctl_result r)
{
	switch (r) {
	case PORTCTL_SUCCESS:
		return IGD_OK;
	case PORTCTL_NOT_AUTHORIZED:
		return IGD_NOT_AUTHORIZED;
	case PORTCTL_CANNOT_PROVIDE_EXTERNAL:
		return IGD_CONFLICT;
	default:
		return IGD_FAILED;
	}
}

static enum igd_error do_add(const struct act *a)
{
	bool exactly = a->call->action == IGD_ADD;
	struct portmap_row row;
	uint32_t lease;
	uint16_t port;
	enum igd_error e = read_mapping(a, &row, &lease);

	if (!e)
		e = error_of(portmap_open(a->server->portmap, &row, lease, exactly, a->now, &port));
	if (!e && !exactly)
		put_number(a->out, "NewReservedPort", port);
	return e;
}

static enum igd_error do_delete(const struct act *a)
{
	uint8_t proto;
	uint16_t port;
	enum igd_error e = read_place(a, &proto, &port);

	if (e)
		return e;
	switch (portmap_close(a->server->portmap, a->who, proto, port, a->now)) {
	case 0:
		return IGD_OK;
	case -ENOENT:
		return IGD_NO_ENTRY;
	case -EPERM:
		return IGD_NOT_AUTHORIZED;
	default:
		return IGD_FAILED;
	}
}

static bool is_own(const struct act *a, const struct portmap_row *r)
{
	return r->guest.addr == a->who->addr && r->guest.domain == a->who->domain && r->expires > a->now;
}

static void put_target(const struct act *a, const struct portmap_row *r)
{
	char client[IP4_STRLEN];

	put_number(a->out, "NewInternalPort", r->inside_port);
	put(a->out, "<NewInternalClient>%s</NewInternalClient><NewEnabled>1</NewEnabled>", ip4_format(r->guest.addr, client));
	put_text(a->out, "NewPortMappingDescription", *r->text ? r->text : portmap_source(r->by));
	put_number(a->out, "NewLeaseDuration", (r->expires - a->now + NSEC_PER_SEC - 1) / NSEC_PER_SEC);
}

static enum igd_error do_get_specific(const struct act *a)
{
	const struct portmap *m = a->server->portmap;
	uint8_t proto;
	uint16_t port;
	enum igd_error e = read_place(a, &proto, &port);

	if (e)
		return e;
	for (uint32_t i = 0; i < portmap_count(m); i++) {
		const struct portmap_row *r = portmap_at(m, i);
		if (is_own(a, r) && r->proto == proto && r->outside_port == port) {
			put_target(a, r);
			return IGD_OK;
		}
	}
	return IGD_NO_ENTRY;
}

static enum igd_error do_get_generic(const struct act *a)
{
	const struct portmap *m = a->server->portmap;
	uint32_t index;

	if (!number(a->call->arg[IGD_INDEX], UINT16_MAX, &index))
		return IGD_INVALID_ARGS;
	for (uint32_t i = 0; i < portmap_count(m); i++) {
		const struct portmap_row *r = portmap_at(m, i);
		if (!is_own(a, r) || index--)
			continue;
		put(a->out, "<NewRemoteHost></NewRemoteHost>");
		put_number(a->out, "NewExternalPort", r->outside_port);
		put(a->out, "<NewProtocol>%s</NewProtocol>", r->proto == IPPROTO4_TCP ? "TCP" : "UDP");
		put_target(a, r);
		return IGD_OK;
	}
	return IGD_NO_INDEX;
}

static enum igd_error do_get_address(const struct act *a)
{
	be32 outside = portmap_outside(a->server->portmap);
	char text[IP4_STRLEN] = "";

	if (outside)
		ip4_format(outside, text);
	put(a->out, "<NewExternalIPAddress>%s</NewExternalIPAddress>", text);
	return IGD_OK;
}

static enum igd_error do_get_status(const struct act *a)
{
	bool up = portmap_outside(a->server->portmap) != 0;

	put(a->out, "<NewConnectionStatus>%s</NewConnectionStatus><NewLastConnectionError>ERROR_NONE"
		    "</NewLastConnectionError>", up ? "Connected" : "Disconnected");
	put_number(a->out, "NewUptime", up ? portmap_uptime(a->server->portmap, a->now) : 0);
	return IGD_OK;
}

static enum igd_error do_get_type(const struct act *a)
{
	put(a->out, "<NewConnectionType>IP_Routed</NewConnectionType><NewPossibleConnectionTypes>IP_Routed"
		    "</NewPossibleConnectionTypes>");
	return IGD_OK;
}

static enum igd_error do_get_link(const struct act *a)
{
	put(a->out, "<NewWANAccessType>Ethernet</NewWANAccessType>");
	put_number(a->out, "NewLayer1UpstreamMaxBitRate", 0); /* not known */
	put_number(a->out, "NewLayer1DownstreamMaxBitRate", 0);
	put(a->out, "<NewPhysicalLinkStatus>%s</NewPhysicalLinkStatus>",
	    portmap_outside(a->server->portmap) ? "Up" : "Down");
	return IGD_OK;
}

static const struct {
	enum igd_error (*act)(const struct act *a);
	const char *service;
} actions[IGD_ACTIONS] = {
	[IGD_ADD] = {do_add, WANIP},
	[IGD_ADD_ANY] = {do_add, WANIP},
	[IGD_DELETE] = {do_delete, WANIP},
	[IGD_GET_SPECIFIC] = {do_get_specific, WANIP},
	[IGD_GET_GENERIC] = {do_get_generic, WANIP},
	[IGD_GET_ADDRESS] = {do_get_address, WANIP},
	[IGD_GET_STATUS] = {do_get_status, WANIP},
	[IGD_GET_TYPE] = {do_get_type, WANIP},
	[IGD_GET_LINK] = {do_get_link, WANCIF},
};

static const char *error_text(enum igd_error e)
{
	switch (e) {
	case IGD_INVALID_ACTION:
		return "Invalid Action";
	case IGD_INVALID_ARGS:
		return "Invalid Args";
	case IGD_NOT_AUTHORIZED:
		return "Action not authorized";
	case IGD_NO_INDEX:
		return "SpecifiedArrayIndexInvalid";
	case IGD_NO_ENTRY:
		return "NoSuchEntryInArray";
	case IGD_WILDCARD_PORT:
		return "WildCardNotPermittedInExtPort";
	case IGD_CONFLICT:
		return "ConflictInMappingEntry";
	case IGD_REMOTE_HOST_ONLY_WILDCARD:
		return "RemoteHostOnlySupportsWildcard";
	default:
		return "Action Failed";
	}
}

/* ---- HTTP ---- */

static size_t whole(int status, const struct out *body, char *out, size_t size)
{
	struct out o = {.s = out, .size = size};

	put(&o, "HTTP/1.1 %d %s\r\nContent-Type: text/xml; charset=\"utf-8\"\r\n" SERVER
		"Connection: close\r\nContent-Length: %zu\r\n", status, status == 200 ? "OK" : "Internal Server Error", body->n);
	put(&o, "EXT:\r\n\r\n%.*s", (int)body->n, body->s);
	return o.over || body->over ? igd_http_error(503, out, size) : o.n;
}

static size_t call(const struct igd_server *s, const struct portmap_guest *who, const struct igd_http *h, nsec_t now,
		   char *out, size_t size)
{
	char room[IGD_ANSWER_MAX], args_room[2048];
	struct out body = {.s = room, .size = sizeof(room)}, args = {.s = args_room, .size = sizeof(args_room)};
	struct igd_call c;
	enum igd_error e = igd_soap_parse(h, &c);

	if (!e)
		e = actions[c.action].act(&(struct act){s, who, &c, now, &args});
	if (!e && args.over)
		e = IGD_FAILED;
	put(&body, XML_HEAD ENVELOPE);
	if (e)
		put(&body, "<s:Fault><faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring><detail>"
			   "<UPnPError xmlns=\"urn:schemas-upnp-org:control-1-0\"><errorCode>%d</errorCode>"
			   "<errorDescription>%s</errorDescription></UPnPError></detail></s:Fault>", e, error_text(e));
	else
		put(&body, "<u:%sResponse xmlns:u=\"%s\">%.*s</u:%sResponse>", igd_action_name(c.action),
		    actions[c.action].service, (int)args.n, args.s, igd_action_name(c.action));
	put(&body, ENVELOPE_END);
	return whole(e ? 500 : 200, &body, out, size);
}

static const struct {
	const char *path;
	enum igd_method method;
	void (*document)(struct out *o, const struct igd_server *s); /* NULL: a control URL */
} resources[] = {
	{"/root.xml", IGD_GET, root_document},
	{"/wanip.xml", IGD_GET, wanip_document},
	{"/wancif.xml", IGD_GET, wancif_document},
	{"/ctl/wanip", IGD_POST, NULL},
	{"/ctl/wancif", IGD_POST, NULL},
};

/* The Host must be our address, with our port or none. */
static bool is_us(const struct igd_server *s, struct igd_text host)
{
	char ours[IP4_PORT_STRLEN], bare[IP4_STRLEN];

	ip4_port_format(s->address, IGD_HTTP_PORT, ours);
	ip4_format(s->address, bare);
	return (host.n == strlen(ours) && !memcmp(host.s, ours, host.n)) ||
	       (host.n == strlen(bare) && !memcmp(host.s, bare, host.n));
}

size_t igd_serve(const struct igd_server *s, const struct portmap_guest *who, const struct igd_http *h, nsec_t now,
		 char *out, size_t size)
{
	int status = 404;

	if (!is_us(s, h->host))
		return igd_http_error(403, out, size);
	for (size_t i = 0; i < ARRAY_SIZE(resources); i++) {
		char room[IGD_ANSWER_MAX];
		struct out body = {.s = room, .size = sizeof(room)};
		if (h->path.n != strlen(resources[i].path) || memcmp(h->path.s, resources[i].path, h->path.n))
			continue;
		status = 405;
		if (h->method != resources[i].method)
			break;
		if (!resources[i].document)
			return call(s, who, h, now, out, size);
		resources[i].document(&body, s);
		return whole(200, &body, out, size);
	}
	return igd_http_error(status, out, size);
}

size_t igd_ssdp_build(const struct igd_server *s, struct igd_text target, char *out, size_t size)
{
	struct out o = {.s = out, .size = size};
	char at[IP4_PORT_STRLEN];

	if (target.n == strlen("ssdp:all") && !memcmp(target.s, "ssdp:all", target.n))
		target = (struct igd_text){"upnp:rootdevice", strlen("upnp:rootdevice")};
	put(&o, "HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=1800\r\nEXT:\r\nST: %.*s\r\nUSN: ", (int)target.n, target.s);
	put_udn(&o, s, '0');
	put(&o, "::%.*s\r\n" SERVER "LOCATION: http://%s/root.xml\r\nCONTENT-LENGTH: 0\r\n\r\n", (int)target.n, target.s,
	    ip4_port_format(s->address, IGD_HTTP_PORT, at));
	return o.over ? 0 : o.n;
}
