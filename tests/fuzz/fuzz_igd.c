/* UPnP from a hostile guest.  The first byte: 0 a datagram at port 1900; 1 a request as it comes, over HTTP; from 2 on
 * the body of a SOAP call, in a proper request whose SOAPAction is that action's.
 *
 * What must hold: an answer fits and is one; a request that is whole at some length is so at every greater one,
 * with the same length, and is not before; a guest gets no mapping to another's address, and never
 * more than its quota. */
#include <stdio.h>

#include "nat/igd.h"
#include "tests/unit/nat_bench.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define QUOTA 2u

static void need(bool ok)
{
	if (!ok)
		abort();
}

static void search(const struct igd_server *s, const char *msg, size_t len)
{
	char out[1472];
	struct igd_text target;

	if (igd_ssdp_parse(msg, len, &target) == 1) {
		size_t n = igd_ssdp_build(s, target, out, sizeof(out));
		need(n > 0 && n <= sizeof(out));
	}
}

static void request(const struct igd_server *s, const struct portmap_guest *who, nsec_t now, const char *msg, size_t len)
{
	static char out[IGD_ANSWER_MAX];
	struct igd_http h;
	int n = igd_http_parse(msg, len, &h);

	if (n <= 0) {
		need(n == 0 || igd_http_error(-n, out, sizeof(out)) > 0);
		return;
	}
	need((size_t)n <= len && n <= (int)IGD_REQUEST_MAX && igd_http_parse(msg, (size_t)n, &h) == n);
	need(igd_http_parse(msg, (size_t)n - 1, &h) == 0);
	need(igd_http_parse(msg, len, &h) == n);
	size_t size = igd_serve(s, who, &h, now, out, sizeof(out));
	need(size > 16 && size <= sizeof(out) && !memcmp(out, "HTTP/1.1 ", 9));
	need(portmap_count(s->portmap) <= QUOTA);
	for (uint32_t i = 0; i < portmap_count(s->portmap); i++)
		need(portmap_at(s->portmap, i)->guest.addr == who->addr && portmap_at(s->portmap, i)->outside_port >= PORTS_FIRST);
}

/* The body in a proper request; its length. */
static size_t dress(enum igd_action a, const uint8_t *body, size_t len, char *to, size_t size)
{
	int n = snprintf(to, size, "POST /ctl/%s HTTP/1.1\r\nHost: 10.10.10.1\r\nContent-Length: %zu\r\n"
			 "SOAPAction: urn:schemas-upnp-org:service:%s:1#%s\r\n\r\n", a == IGD_GET_LINK ? "wancif" : "wanip", len,
			 a == IGD_GET_LINK ? "WANCommonInterfaceConfig" : "WANIPConnection", igd_action_name(a));

	memcpy(to + n, body, len);
	return (size_t)n + len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct nb *x;
	static struct igd_server s;
	static char text[IGD_REQUEST_MAX];
	static const struct portmap_conf conf = {PORTCTL_UPNP, QUOTA};

	if (!x) {
		x = nb_new(NULL);
		s = (struct igd_server){portmap_new(x->gw, &conf, x->sw->worker->now), GW_IP, mac_from_u64(GW_MAC)};
	}
	if (!len || len > IGD_BODY_MAX)
		return 0;
	const struct portmap_guest who = {x->dom, G1};
	nb_step(x, 1000); /* so that the pace of changes forgets the run before */
	if (data[0] == 0)
		search(&s, (const char *)data + 1, len - 1);
	else if (data[0] == 1)
		request(&s, &who, x->sw->worker->now, (const char *)data + 1, len - 1);
	else
		request(&s, &who, x->sw->worker->now, text,
			dress((data[0] - 2u) % IGD_ACTIONS, data + 1, len - 1, text, sizeof(text)));
	portmap_reset(s.portmap, x->sw->worker->now);
	return 0;
}
