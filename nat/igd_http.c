/* Request lines and header lines, of HTTP and of SSDP, which looks like it; see nat/igd.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "nat/igd.h"
#include "net/types.h"

/* ---- text ---- */

static bool is(struct igd_text t, const char *s)
{
	return t.n == strlen(s) && !memcmp(t.s, s, t.n);
}

static bool is_nocase(struct igd_text t, const char *s)
{
	return t.n == strlen(s) && !strncasecmp(t.s, s, t.n);
}

/* Takes what stands before `end` off t, and the end; false, and nothing taken, when there is none. */
static bool take(struct igd_text *t, char end, struct igd_text *ret)
{
	const char *at = memchr(t->s, end, t->n);

	if (!at)
		return false;
	*ret = (struct igd_text){t->s, (size_t)(at - t->s)};
	t->n -= ret->n + 1;
	t->s = at + 1;
	return true;
}

static struct igd_text trim(struct igd_text t)
{
	for (; t.n && (*t.s == ' ' || *t.s == '\t'); t.s++)
		t.n--;
	while (t.n && (t.s[t.n - 1] == ' ' || t.s[t.n - 1] == '\t'))
		t.n--;
	return t;
}

static bool printable(struct igd_text t)
{
	for (size_t i = 0; i < t.n; i++) {
		if ((t.s[i] < ' ' && t.s[i] != '\t') || t.s[i] == 0x7f)
			return false;
	}
	return true;
}

/* A line that ends in CR LF, without them. */
static bool take_line(struct igd_text *t, struct igd_text *ret)
{
	struct igd_text line;

	if (!take(t, '\n', &line) || !line.n || line.s[line.n - 1] != '\r')
		return false;
	line.n--;
	*ret = line;
	return printable(line);
}

/* "Name: value"; a folded line (RFC 9112 5.2) has no name and is refused. */
static bool split_header(struct igd_text line, struct igd_text *ret_name, struct igd_text *ret_value)
{
	if (!take(&line, ':', ret_name) || !ret_name->n || memchr(ret_name->s, ' ', ret_name->n) ||
	    memchr(ret_name->s, '\t', ret_name->n))
		return false;
	*ret_value = trim(line);
	return true;
}

/* ---- HTTP ---- */

struct head {
	struct igd_http h;
	struct igd_text length;
	bool chunked;
};

static int read_request_line(struct igd_text line, struct igd_http *h)
{
	struct igd_text method, path;

	if (!take(&line, ' ', &method) || !take(&line, ' ', &path) || !path.n || *path.s != '/' ||
	    (!is(line, "HTTP/1.1") && !is(line, "HTTP/1.0")))
		return -400;
	if (!is(method, "GET") && !is(method, "POST"))
		return -405;
	h->method = *method.s == 'G' ? IGD_GET : IGD_POST;
	h->path = path;
	return 0;
}

static int read_header(struct igd_text line, struct head *d)
{
	struct igd_text name, value, *to = NULL;

	if (!split_header(line, &name, &value))
		return -400;
	if (is_nocase(name, "transfer-encoding"))
		d->chunked = true;
	else if (is_nocase(name, "content-length"))
		to = &d->length;
	else if (is_nocase(name, "host"))
		to = &d->h.host;
	else if (is_nocase(name, "soapaction"))
		to = &d->h.action;
	if (to && to->s)
		return -400; /* twice: who would read the other one? */
	if (to)
		*to = value;
	return 0;
}

/* The body's length, or -status. */
static int body_length(const struct head *d)
{
	int n = 0;

	if (d->chunked || (!d->length.n && d->h.method == IGD_POST))
		return -411;
	if (d->length.s && !d->length.n)
		return -400;
	if (d->length.n > 5)
		return -413;
	for (size_t i = 0; i < d->length.n; i++) {
		if (d->length.s[i] < '0' || d->length.s[i] > '9')
			return -400;
		n = n * 10 + (d->length.s[i] - '0');
	}
	return n > (int)IGD_BODY_MAX ? -413 : n;
}

int igd_http_parse(const char *bytes, size_t len, struct igd_http *ret_http)
{
	const char *end = memmem(bytes, len, "\r\n\r\n", 4);
	struct head d = {0};
	struct igd_text line;

	if (!end || end - bytes + 4 > (ptrdiff_t)IGD_HEAD_MAX)
		return end || len >= IGD_HEAD_MAX ? -431 : 0;
	size_t head = (size_t)(end - bytes) + 4;
	struct igd_text rest = {bytes, head - 2};
	int r = take_line(&rest, &line) ? read_request_line(line, &d.h) : -400;
	while (!r && rest.n)
		r = take_line(&rest, &line) ? read_header(line, &d) : -400;
	if (!r)
		r = body_length(&d);
	if (r < 0)
		return r;
	if (len - head < (size_t)r)
		return 0;
	d.h.body = (struct igd_text){bytes + head, (size_t)r};
	*ret_http = d.h;
	return (int)head + r;
}

size_t igd_http_error(int status, char *out, size_t size)
{
	static const struct {
		int status;
		const char *reason;
	} reasons[] = {
		{400, "Bad Request"}, {403, "Forbidden"}, {404, "Not Found"}, {405, "Method Not Allowed"},
		{411, "Length Required"}, {413, "Content Too Large"}, {431, "Request Header Fields Too Large"},
		{503, "Service Unavailable"},
	};
	const char *reason = "Error";

	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++)
		reason = reasons[i].status == status ? reasons[i].reason : reason;
	int n = snprintf(out, size, "HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", status, reason);
	return n > 0 && (size_t)n < size ? (size_t)n : 0;
}

/* ---- SSDP ---- */

static const char *const targets[] = {
	"ssdp:all",
	"upnp:rootdevice",
	"urn:schemas-upnp-org:device:InternetGatewayDevice:1",
	"urn:schemas-upnp-org:device:WANDevice:1",
	"urn:schemas-upnp-org:device:WANConnectionDevice:1",
	"urn:schemas-upnp-org:service:WANIPConnection:1",
};

int igd_ssdp_parse(const void *bytes, size_t len, struct igd_text *ret_target)
{
	struct igd_text rest = {bytes, len}, line, name, value, man = {0}, st = {0};

	if (!take_line(&rest, &line) ||
	    (!is(line, "M-SEARCH * HTTP/1.1") && !is(line, "NOTIFY * HTTP/1.1") && !is(line, "HTTP/1.1 200 OK")))
		return -EINVAL;
	bool search = *line.s == 'M';
	while (take_line(&rest, &line) && line.n) {
		if (!split_header(line, &name, &value))
			return -EINVAL;
		if (is_nocase(name, "man"))
			man = value;
		else if (is_nocase(name, "st"))
			st = value;
	}
	if (!search || !is(man, "\"ssdp:discover\"")) /* UPnP Device Architecture 1.3.2 */
		return search ? -EINVAL : 0;
	for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
		if (is(st, targets[i])) { /* ours to keep, not the datagram's */
			*ret_target = (struct igd_text){targets[i], strlen(targets[i])};
			return 1;
		}
	}
	return 0;
}
