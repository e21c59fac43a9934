/* UPnP's texts: what of HTTP, XML and SSDP is taken, what each action answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "nat/igd.h"
#include "tests/unit/nat_bench.h"

#define WANIP "urn:schemas-upnp-org:service:WANIPConnection:1"
#define HOST "Host: 10.10.10.1:5000\r\n"
#define PLACE(port) "<NewRemoteHost/><NewExternalPort>" port "</NewExternalPort><NewProtocol>TCP</NewProtocol>"
#define WHOLE(port, client, lease)                                                                 \
	PLACE(port) "<NewInternalPort>80</NewInternalPort><NewInternalClient>" client "</NewInternalClient>" \
		    "<NewEnabled>1</NewEnabled><NewPortMappingDescription>a &lt; b &amp; c</NewPortMappingDescription>" \
		    "<NewLeaseDuration>" lease "</NewLeaseDuration>"

/* ---- HTTP ---- */

static int parse(const char *s, struct igd_http *h)
{
	return igd_http_parse(s, strlen(s), h);
}

static void http_takes(void **state)
{
	static const char get[] = "GET /root.xml HTTP/1.1\r\n" HOST "X: y\r\n\r\nmore";
	static const char post[] = "POST /ctl/wanip HTTP/1.0\r\nhOST:\t10.10.10.1 \r\nSOAPACTION: \"x#y\"\r\n"
				   "Content-Length: 4\r\n\r\nbodyrest";
	struct igd_http h;

	(void)state;
	for (size_t n = 0; n < sizeof(get) - 5; n++)
		assert_int_equal(igd_http_parse(get, n, &h), 0);
	assert_int_equal(parse(get, &h), sizeof(get) - 5);
	assert_int_equal(h.method, IGD_GET);
	assert_int_equal(h.path.n, 9);
	assert_int_equal(parse(post, &h), sizeof(post) - 5);
	assert_int_equal(h.method, IGD_POST);
	assert_int_equal(h.host.n, 10);
	assert_memory_equal(h.action.s, "\"x#y\"", h.action.n);
	assert_int_equal(h.body.n, 4);
	assert_memory_equal(h.body.s, "body", 4);
}

static void http_refuses(void **state)
{
	static const struct {
		const char *text;
		int status;
	} cases[] = {
		{"HELLO\r\n\r\n", -400},
		{"GET x HTTP/1.1\r\n\r\n", -400},
		{"GET / HTTP/2\r\n\r\n", -400},
		{"GET / HTTP/1.1\nHost: x\r\n\r\n", -400},
		{"GET /\x01 HTTP/1.1\r\n\r\n", -400},
		{"GET / HTTP/1.1\r\nno colon\r\n\r\n", -400},
		{"GET / HTTP/1.1\r\nA: b\r\n folded: c\r\n\r\n", -400},
		{"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", -400},
		{"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", -400},
		{"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", -400},
		{"POST / HTTP/1.1\r\nContent-Length: 0x1\r\n\r\n", -400},
		{"POST / HTTP/1.1\r\nContent-Length:\r\n\r\n", -411},
		{"POST / HTTP/1.1\r\n\r\n", -411},
		{"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx", -411},
		{"POST / HTTP/1.1\r\nContent-Length: 4097\r\n\r\n", -413},
		{"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", -413},
		{"PUT / HTTP/1.1\r\n\r\n", -405},
	};
	char lots[IGD_REQUEST_MAX];
	struct igd_http h;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		if (parse(cases[i].text, &h) != cases[i].status)
			print_message("%s", cases[i].text);
		assert_int_equal(parse(cases[i].text, &h), cases[i].status);
	}
	memset(lots, 'a', sizeof(lots));
	assert_int_equal(igd_http_parse(lots, IGD_HEAD_MAX - 1, &h), 0);
	assert_int_equal(igd_http_parse(lots, IGD_HEAD_MAX, &h), -431);
}

/* ---- SOAP ---- */

static enum igd_error soap(const char *body, struct igd_call *c)
{
	static const char action[] = "\"" WANIP "#GetGenericPortMappingEntry\"";
	struct igd_http h = {.method = IGD_POST, .action = {action, sizeof(action) - 1}, .body = {body, strlen(body)}};

	return igd_soap_parse(&h, c);
}

#define CALL(inside) "<s:Envelope a='>'><s:Body><u:GetGenericPortMappingEntry xmlns:u=\"x\">" inside \
		     "</u:GetGenericPortMappingEntry></s:Body></s:Envelope>"
#define INDEX(n) "<NewPortMappingIndex>" n "</NewPortMappingIndex>"

static void soap_takes(void **state)
{
	struct igd_call c;

	(void)state;
	assert_int_equal(soap("<?xml version=\"1.0\"?>\r\n<!-- a > b -->" CALL("\n " INDEX("7") "\n") "\n", &c), IGD_OK);
	assert_int_equal(c.action, IGD_GET_GENERIC);
	assert_string_equal(c.arg[IGD_INDEX], "7");
	assert_int_equal(c.given, 1u << IGD_INDEX);
	assert_int_equal(soap(CALL("<Unknown>x</Unknown>" INDEX("&amp;&lt;&gt;&quot;&apos;\n\xc3")), &c), IGD_OK);
	assert_string_equal(c.arg[IGD_INDEX], "&<>\"'??");
	assert_int_equal(soap(CALL("<NewPortMappingIndex/>"), &c), IGD_OK);
	assert_string_equal(c.arg[IGD_INDEX], "");
	assert_int_equal(soap(CALL(INDEX("0123456789012345678901234567890123456789012345678901234567890123456789")), &c), 0);
	assert_int_equal(strlen(c.arg[IGD_INDEX]), IGD_ARG_MAX - 1); /* cut */
}

static void soap_refuses(void **state)
{
	static const struct {
		const char *text;
		enum igd_error e;
	} cases[] = {
		{"", IGD_INVALID_ARGS},
		{"x", IGD_INVALID_ARGS},
		{"<!DOCTYPE a>" CALL(INDEX("1")), IGD_INVALID_ARGS},
		{CALL("<NewPortMappingIndex><![CDATA[1]]></NewPortMappingIndex>"), IGD_INVALID_ARGS},
		{CALL(INDEX("&x;")), IGD_INVALID_ARGS},
		{CALL(INDEX("&#49;")), IGD_INVALID_ARGS},
		{CALL(INDEX("1") INDEX("2")), IGD_INVALID_ARGS},
		{CALL(INDEX("<a/>")), IGD_INVALID_ARGS},
		{CALL("text" INDEX("1")), IGD_INVALID_ARGS},
		{CALL(""), IGD_INVALID_ARGS},
		{CALL(INDEX("1")) "<more/>", IGD_INVALID_ARGS},
		{"<s:Envelope><s:Body><u:GetGenericPortMappingEntry>" INDEX("1"), IGD_INVALID_ARGS},
		{"<s:Envelope><s:Body></s:Envelope></s:Body>", IGD_INVALID_ARGS},
		{"<s:Envelope><s:Body", IGD_INVALID_ARGS},
		{"<s:Envelope><s:Body></s:Body></s:Envelope>", IGD_INVALID_ARGS},
		{"<s:Envelope><s:Body><u:GetStatusInfo/></s:Body></s:Envelope>", IGD_INVALID_ACTION}, /* not SOAPAction's */
		{"<s:Envelope><s:Body><u:Reboot/></s:Body></s:Envelope>", IGD_INVALID_ACTION},
		{"<s:Envelope><s:Header/><s:Body/></s:Envelope>", IGD_INVALID_ACTION},
		{"<html><s:Body/></html>", IGD_INVALID_ACTION},
	};
	struct igd_call c;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		if (soap(cases[i].text, &c) != cases[i].e)
			print_message("%s\n", cases[i].text);
		assert_int_equal(soap(cases[i].text, &c), cases[i].e);
	}
}

/* ---- SSDP ---- */

static void searches(void **state)
{
#define SEARCH(st) "M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\nMX: 2\r\nST: " st "\r\n\r\n"
	static const struct {
		const char *text;
		int r;
	} cases[] = {
		{SEARCH("ssdp:all"), 1},
		{SEARCH("urn:schemas-upnp-org:device:InternetGatewayDevice:1"), 1},
		{SEARCH("urn:schemas-upnp-org:service:WANIPConnection:1"), 1},
		{SEARCH("urn:schemas-upnp-org:device:MediaServer:1"), 0},
		{"NOTIFY * HTTP/1.1\r\nNT: upnp:rootdevice\r\n\r\n", 0},
		{"M-SEARCH * HTTP/1.1\r\nST: ssdp:all\r\n\r\n", -EINVAL}, /* no MAN */
		{"M-SEARCH /x HTTP/1.1\r\n\r\n", -EINVAL},
		{"", -EINVAL},
	};
	struct igd_server s = {.address = GW_IP, .mac = mac_from_u64(GW_MAC)};
	struct igd_text target;
	char out[600];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(igd_ssdp_parse(cases[i].text, strlen(cases[i].text), &target), cases[i].r);
	assert_int_equal(igd_ssdp_parse(cases[1].text, strlen(cases[1].text), &target), 1);
	size_t n = igd_ssdp_build(&s, target, out, sizeof(out) - 1);
	assert_true(n > 0);
	out[n] = 0;
	assert_non_null(strstr(out, "\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n"));
	assert_non_null(strstr(out, "\r\nLOCATION: http://10.10.10.1:5000/root.xml\r\n"));
	assert_int_equal(igd_ssdp_build(&s, target, out, 100), 0);
}

/* ---- the device ---- */

struct bench {
	struct nb *x;
	struct igd_server s;
	char out[IGD_ANSWER_MAX + 1];
};

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct portmap_conf c = {PORTCTL_UPNP, 3};

	b->x = nb_new(NULL);
	b->s = (struct igd_server){portmap_new(b->x->gw, &c, b->x->sw->worker->now), GW_IP, mac_from_u64(GW_MAC)};
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	portmap_free(b->s.portmap);
	nb_free(b->x);
	free(b);
	return 0;
}

/* The answer to a whole request of a guest. */
static const char *serve(struct bench *b, be32 guest, const char *request)
{
	struct portmap_guest who = {b->x->dom, guest};
	struct igd_http h;

	assert_int_equal(parse(request, &h), strlen(request));
	size_t n = igd_serve(&b->s, &who, &h, b->x->sw->worker->now, b->out, IGD_ANSWER_MAX);
	assert_true(n > 0 && n <= IGD_ANSWER_MAX);
	b->out[n] = 0;
	return b->out;
}

static int call(struct bench *b, be32 guest, const char *action, const char *args)
{
	char body[2048], request[4096];

	snprintf(body, sizeof(body), "<s:Envelope><s:Body><u:%s>%s</u:%s></s:Body></s:Envelope>", action, args, action);
	snprintf(request, sizeof(request), "POST /ctl/wanip HTTP/1.1\r\n" HOST "SOAPAction: \"" WANIP "#%s\"\r\n"
		 "Content-Length: %zu\r\n\r\n%s", action, strlen(body), body);
	const char *code = strstr(serve(b, guest, request), "<errorCode>");
	return code ? atoi(code + strlen("<errorCode>")) : 0;
}

static bool says(const struct bench *b, const char *text)
{
	return strstr(b->out, text) != NULL;
}

static void documents(void **state)
{
	struct bench *b = *state;
	static const char *const paths[] = {"/root.xml", "/wanip.xml", "/wancif.xml"};
	char request[200];

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\n" HOST "\r\n", paths[i]);
		assert_non_null(strstr(serve(b, G1, request), "HTTP/1.1 200 OK\r\n"));
	}
	serve(b, G1, "POST /root.xml HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n");
	assert_true(says(b, "HTTP/1.1 405 "));
	serve(b, G1, "GET /ctl/wanip HTTP/1.1\r\nHost: 10.10.10.1\r\n\r\n");
	assert_true(says(b, "HTTP/1.1 405 "));
	serve(b, G1, "GET /root.xml HTTP/1.1\r\nHost: gateway.lab:5000\r\n\r\n");
	assert_true(says(b, "HTTP/1.1 403 "));
	serve(b, G1, "GET /root.xml HTTP/1.1\r\n\r\n");
	assert_true(says(b, "HTTP/1.1 403 "));
}

static void life_of_a_mapping(void **state)
{
	struct bench *b = *state;

	assert_int_equal(call(b, G1, "AddPortMapping", WHOLE("8080", "10.10.10.11", "60")), 0);
	assert_int_equal(call(b, G1, "GetSpecificPortMappingEntry", PLACE("8080")), 0);
	assert_true(says(b, "<NewInternalPort>80</NewInternalPort><NewInternalClient>10.10.10.11</NewInternalClient>"));
	assert_true(says(b, "<NewPortMappingDescription>a &lt; b &amp; c</NewPortMappingDescription>"));
	assert_true(says(b, "<NewLeaseDuration>60</NewLeaseDuration>"));
	assert_int_equal(call(b, G1, "GetGenericPortMappingEntry", INDEX("0")), 0);
	assert_true(says(b, "<NewExternalPort>8080</NewExternalPort><NewProtocol>TCP</NewProtocol>"));
	assert_int_equal(call(b, G1, "GetGenericPortMappingEntry", INDEX("1")), IGD_NO_INDEX);
	assert_int_equal(call(b, G2, "GetGenericPortMappingEntry", INDEX("0")), IGD_NO_INDEX);
	assert_int_equal(call(b, G2, "GetSpecificPortMappingEntry", PLACE("8080")), IGD_NO_ENTRY);
	nb_step(b->x, 60000);
	assert_int_equal(call(b, G1, "GetSpecificPortMappingEntry", PLACE("8080")), IGD_NO_ENTRY);
	assert_int_equal(call(b, G2, "AddPortMapping", WHOLE("8080", "10.10.10.12", "0")), IGD_CONFLICT); /* held */
	nb_step(b->x, 122000);
	assert_int_equal(call(b, G2, "AddPortMapping", WHOLE("8080", "10.10.10.12", "0")), 0);
	assert_int_equal(call(b, G2, "GetSpecificPortMappingEntry", PLACE("8080")), 0);
	assert_true(says(b, "<NewLeaseDuration>604800</NewLeaseDuration>"));
	assert_int_equal(call(b, G2, "DeletePortMapping", PLACE("8080")), 0);
	assert_int_equal(call(b, G2, "DeletePortMapping", PLACE("8080")), IGD_NO_ENTRY);
}

static void refusals(void **state)
{
	struct bench *b = *state;

	assert_int_equal(call(b, G1, "AddPortMapping", WHOLE("8080", "10.10.10.12", "0")), IGD_NOT_AUTHORIZED);
	assert_int_equal(call(b, G1, "AddPortMapping", WHOLE("8080", "10.10.10.11", "0")), 0);
	assert_int_equal(call(b, G2, "AddPortMapping", WHOLE("8080", "10.10.10.12", "0")), IGD_CONFLICT);
	assert_int_equal(call(b, G2, "DeletePortMapping", PLACE("8080")), IGD_NOT_AUTHORIZED);
	assert_int_equal(call(b, G1, "AddPortMapping", WHOLE("443", "10.10.10.11", "0")), IGD_CONFLICT);
	assert_int_equal(call(b, G1, "AddPortMapping", WHOLE("0", "10.10.10.11", "0")), IGD_WILDCARD_PORT);
	assert_int_equal(call(b, G1, "AddPortMapping", WHOLE("65536", "10.10.10.11", "0")), IGD_INVALID_ARGS);
	assert_int_equal(call(b, G1, "AddPortMapping", WHOLE("8081", "guest", "0")), IGD_INVALID_ARGS);
	assert_int_equal(call(b, G1, "AddPortMapping", WHOLE("8081", "10.10.10.11", "4294967296")), IGD_INVALID_ARGS);
	assert_int_equal(call(b, G1, "AddPortMapping", PLACE("8081")), IGD_INVALID_ARGS);
	assert_int_equal(call(b, G1, "AddAnyPortMapping", WHOLE("443", "10.10.10.11", "0")), 0);
	assert_true(says(b, "<NewReservedPort>"));
	assert_int_equal(call(b, G1, "AddPortMapping", WHOLE("8082", "10.10.10.11", "0")), 0);
	assert_int_equal(call(b, G1, "AddPortMapping", WHOLE("8083", "10.10.10.11", "0")), IGD_FAILED);
	assert_int_equal(portmap_answers(b->s.portmap, PORTCTL_USER_EX_QUOTA), 1);
	assert_int_equal(portmap_count(b->s.portmap), 3);
}

static void status(void **state)
{
	struct bench *b = *state;

	nb_step(b->x, 5000);
	assert_int_equal(call(b, G1, "GetStatusInfo", ""), 0);
	assert_true(says(b, "<NewConnectionStatus>Connected</NewConnectionStatus>"));
	assert_true(says(b, "<NewUptime>5</NewUptime>"));
	assert_int_equal(call(b, G1, "GetExternalIPAddress", ""), 0);
	assert_true(says(b, "<NewExternalIPAddress>203.0.113.2</NewExternalIPAddress>"));
	portmap_reset(b->s.portmap, b->x->sw->worker->now);
	assert_int_equal(gateway_set_uplink(b->x->gw, NULL, NULL), 0);
	assert_int_equal(call(b, G1, "GetStatusInfo", ""), 0);
	assert_true(says(b, "<NewConnectionStatus>Disconnected</NewConnectionStatus>"));
	assert_int_equal(call(b, G1, "GetExternalIPAddress", ""), 0);
	assert_true(says(b, "<NewExternalIPAddress></NewExternalIPAddress>"));
	assert_int_equal(call(b, G1, "AddPortMapping", WHOLE("8080", "10.10.10.11", "0")), IGD_FAILED);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(http_takes), cmocka_unit_test(http_refuses), cmocka_unit_test(soap_takes),
		cmocka_unit_test(soap_refuses), cmocka_unit_test(searches),
		T(documents), T(life_of_a_mapping), T(refusals), T(status),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
