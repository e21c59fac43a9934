/* A SOAP call out of its XML: see nat/igd.h for what of XML there is.
 *
 *	<s:Envelope> <s:Body> <u:Action> <Argument>text</Argument> ...
 *
 * Prefixes are not looked at, attributes are skipped, each closing tag must be that of the
 * element that is open. */
#include <string.h>

#include "nat/igd.h"

#define WANIP "urn:schemas-upnp-org:service:WANIPConnection:1"
#define WANCIF "urn:schemas-upnp-org:service:WANCommonInterfaceConfig:1"

#define A(arg) (1u << IGD_##arg)
#define PLACE (A(REMOTE_HOST) | A(EXTERNAL_PORT) | A(PROTOCOL))
#define WHOLE (PLACE | A(INTERNAL_PORT) | A(INTERNAL_CLIENT) | A(ENABLED) | A(DESCRIPTION) | A(LEASE))

static const struct {
	const char *service, *name;
	unsigned needs; /* arguments, a bit each */
} actions[IGD_ACTIONS] = {
	[IGD_ADD] = {WANIP, "AddPortMapping", WHOLE},
	[IGD_ADD_ANY] = {WANIP, "AddAnyPortMapping", WHOLE},
	[IGD_DELETE] = {WANIP, "DeletePortMapping", PLACE},
	[IGD_GET_SPECIFIC] = {WANIP, "GetSpecificPortMappingEntry", PLACE},
	[IGD_GET_GENERIC] = {WANIP, "GetGenericPortMappingEntry", A(INDEX)},
	[IGD_GET_ADDRESS] = {WANIP, "GetExternalIPAddress", 0},
	[IGD_GET_STATUS] = {WANIP, "GetStatusInfo", 0},
	[IGD_GET_TYPE] = {WANIP, "GetConnectionTypeInfo", 0},
	[IGD_GET_LINK] = {WANCIF, "GetCommonLinkProperties", 0},
};

static const char *const args[IGD_ARGS] = {
	[IGD_REMOTE_HOST] = "NewRemoteHost",
	[IGD_EXTERNAL_PORT] = "NewExternalPort",
	[IGD_PROTOCOL] = "NewProtocol",
	[IGD_INTERNAL_PORT] = "NewInternalPort",
	[IGD_INTERNAL_CLIENT] = "NewInternalClient",
	[IGD_ENABLED] = "NewEnabled",
	[IGD_DESCRIPTION] = "NewPortMappingDescription",
	[IGD_LEASE] = "NewLeaseDuration",
	[IGD_INDEX] = "NewPortMappingIndex",
};

const char *igd_action_name(enum igd_action a)
{
	return actions[a].name;
}

static bool is(struct igd_text t, const char *s)
{
	return t.n == strlen(s) && !memcmp(t.s, s, t.n);
}

static bool starts(struct igd_text t, const char *s)
{
	return t.n >= strlen(s) && !memcmp(t.s, s, strlen(s));
}

static void skip(struct igd_text *t, size_t n)
{
	t->s += n;
	t->n -= n;
}

/* ---- tokens ---- */

enum token_kind { TOKEN_BAD, TOKEN_END, TOKEN_TEXT, TOKEN_OPEN, TOKEN_CLOSE };
struct token {
	enum token_kind kind;
	struct igd_text text; /* the name as it stands, or the text */
	bool empty;           /* <a/> */
};

static bool name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
	       c == '.' || c == ':';
}

static bool space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct igd_text take_name(struct igd_text *in)
{
	struct igd_text name = {in->s, 0};

	while (name.n < in->n && name_char(in->s[name.n]))
		name.n++;
	skip(in, name.n);
	return name;
}

/* Past what ends in `end`. */
static bool skip_past(struct igd_text *in, const char *end)
{
	const char *at = memmem(in->s, in->n, end, strlen(end));

	if (!at)
		return false;
	skip(in, (size_t)(at - in->s) + strlen(end));
	return true;
}

/* The rest of an opening tag: attributes, in which a '>' may stand quoted. */
static bool skip_attributes(struct igd_text *in, bool *ret_empty)
{
	char quote = 0;

	if (in->n && !space(*in->s) && *in->s != '>' && *in->s != '/')
		return false;
	for (bool slash = false; in->n; skip(in, 1)) {
		char c = *in->s;
		if (quote) {
			quote = c == quote ? 0 : quote;
			continue;
		}
		if (c == '>') {
			*ret_empty = slash;
			skip(in, 1);
			return true;
		}
		if (c == '<')
			return false;
		slash = c == '/';
		quote = c == '"' || c == '\'' ? c : 0;
	}
	return false;
}

static struct token take_tag(struct igd_text *in)
{
	struct token t = {.kind = TOKEN_OPEN};

	skip(in, 1);
	if (in->n && *in->s == '/') {
		skip(in, 1);
		t.text = take_name(in);
		while (in->n && space(*in->s))
			skip(in, 1);
		t.kind = t.text.n && in->n && *in->s == '>' ? TOKEN_CLOSE : TOKEN_BAD;
		if (t.kind)
			skip(in, 1);
		return t;
	}
	t.text = take_name(in);
	if (!t.text.n || !skip_attributes(in, &t.empty))
		t.kind = TOKEN_BAD;
	return t;
}

static struct token next_token(struct igd_text *in)
{
	while (starts(*in, "<?") || starts(*in, "<!--")) {
		if (!skip_past(in, in->s[1] == '?' ? "?>" : "-->"))
			return (struct token){.kind = TOKEN_BAD};
	}
	if (!in->n)
		return (struct token){.kind = TOKEN_END};
	if (*in->s == '<') /* of <!DOCTYPE and <![CDATA[ the name is empty */
		return take_tag(in);
	const char *end = memchr(in->s, '<', in->n);
	struct igd_text text = {in->s, end ? (size_t)(end - in->s) : in->n};
	skip(in, text.n);
	return (struct token){.kind = TOKEN_TEXT, .text = text};
}

/* ---- the call ---- */

#define LEVELS 4u /* Envelope, Body, action, argument */

struct soap {
	struct igd_call *call;
	struct igd_text open[LEVELS];
	unsigned depth;
	int arg; /* the argument that is open; -1: one that is not known */
	bool has_action;
	size_t used; /* of the argument's room */
};

static struct igd_text local_name(struct igd_text name)
{
	const char *colon = memrchr(name.s, ':', name.n);

	if (colon)
		skip(&name, (size_t)(colon - name.s) + 1);
	return name;
}

static bool find_action(struct soap *p, struct igd_text name)
{
	for (int a = 0; a < IGD_ACTIONS; a++) {
		if (is(name, actions[a].name)) {
			p->call->action = (enum igd_action)a;
			return true;
		}
	}
	return false;
}

static enum igd_error open_argument(struct soap *p, struct igd_text name)
{
	p->arg = -1;
	p->used = 0;
	for (int a = 0; a < IGD_ARGS; a++) {
		if (!is(name, args[a]))
			continue;
		if (p->call->given >> a & 1)
			return IGD_INVALID_ARGS;
		p->call->given |= 1u << a;
		p->arg = a;
	}
	return IGD_OK;
}

static enum igd_error open_element(struct soap *p, const struct token *t)
{
	struct igd_text name = local_name(t->text);
	enum igd_error e = IGD_OK;

	if (p->depth == LEVELS || (p->depth < 3 && p->has_action))
		return IGD_INVALID_ARGS; /* deeper, or after the call */
	if ((p->depth == 0 && !is(name, "Envelope")) || (p->depth == 1 && !is(name, "Body")))
		return IGD_INVALID_ACTION;
	if (p->depth == 2 && !find_action(p, name))
		return IGD_INVALID_ACTION;
	if (p->depth == 2)
		p->has_action = true;
	if (p->depth == 3)
		e = open_argument(p, name);
	if (!t->empty)
		p->open[p->depth++] = t->text;
	return e;
}

static enum igd_error close_element(struct soap *p, const struct token *t)
{
	struct igd_text *top = p->depth ? &p->open[p->depth - 1] : NULL;

	if (!top || top->n != t->text.n || memcmp(top->s, t->text.s, top->n))
		return IGD_INVALID_ARGS;
	p->depth--;
	return IGD_OK;
}

static char entity(struct igd_text *t)
{
	static const struct {
		const char *text;
		char c;
	} entities[] = {{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}};

	for (size_t i = 0; i < sizeof(entities) / sizeof(*entities); i++) {
		if (starts(*t, entities[i].text)) {
			skip(t, strlen(entities[i].text));
			return entities[i].c;
		}
	}
	return 0;
}

static enum igd_error add_text(struct soap *p, struct igd_text t)
{
	if (p->depth < LEVELS) {
		while (t.n && space(*t.s))
			skip(&t, 1);
		return t.n ? IGD_INVALID_ARGS : IGD_OK;
	}
	while (t.n) {
		char c = *t.s;
		if (c == '&')
			c = entity(&t);
		else
			skip(&t, 1);
		if (!c)
			return IGD_INVALID_ARGS;
		if (p->arg >= 0 && p->used < IGD_ARG_MAX - 1)
			p->call->arg[p->arg][p->used++] = c >= ' ' && c < 0x7f ? c : '?';
	}
	return IGD_OK;
}

/* SOAPAction: "SERVICE#ACTION", which no page of another origin can send. */
static bool header_agrees(struct igd_text h, enum igd_action a)
{
	size_t service = strlen(actions[a].service);

	if (h.n >= 2 && h.s[0] == '"' && h.s[h.n - 1] == '"')
		h = (struct igd_text){h.s + 1, h.n - 2};
	if (!starts(h, actions[a].service))
		return false;
	skip(&h, service);
	return h.n && *h.s == '#' && is((struct igd_text){h.s + 1, h.n - 1}, actions[a].name);
}

enum igd_error igd_soap_parse(const struct igd_http *h, struct igd_call *ret_call)
{
	struct igd_call call = {0};
	struct soap p = {.call = &call};
	struct igd_text in = h->body;
	enum igd_error e = IGD_OK;
	struct token t;

	while (!e && (t = next_token(&in)).kind != TOKEN_END) {
		switch (t.kind) {
		case TOKEN_TEXT:
			e = add_text(&p, t.text);
			break;
		case TOKEN_OPEN:
			e = open_element(&p, &t);
			break;
		case TOKEN_CLOSE:
			e = close_element(&p, &t);
			break;
		default:
			e = IGD_INVALID_ARGS;
		}
	}
	if (e)
		return e;
	if (!p.has_action || p.depth)
		return IGD_INVALID_ARGS;
	if (!header_agrees(h->action, call.action))
		return IGD_INVALID_ACTION;
	if ((call.given & actions[call.action].needs) != actions[call.action].needs)
		return IGD_INVALID_ARGS;
	*ret_call = call;
	return IGD_OK;
}
