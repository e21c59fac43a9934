/* The mappings of nat/portmap.h.  Rows stand close together in an array that is looked through whole:
 * there are at most a thousand, and a request is rare. */
#include "nat/portmap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "net/headers.h"
#include "net/table.h"
#include "net/wire.h"

#define ERROR_LONG_S 1800u /* RFC 6887 7.4: how long an error will stay one */
#define ERROR_SHORT_S 30u
#define PACES 256u

struct portmap {
	struct gateway *gateway;
	struct portmap_conf conf;
	struct prefix4 inside; /* the gateway's, when we last looked */
	be32 outside;          /* likewise the uplink's */
	nsec_t since;          /* the epoch's beginning */
	uint64_t answers[PORTCTL_RESULTS];
	nsec_t pace[PACES]; /* by a hash of the guest: when its next change would be on time */
	uint32_t n;
	struct portmap_row row[PORTMAPS_MAX];
};

static const uint32_t error_lifetime[PORTCTL_RESULTS] = {
	[PORTCTL_UNSUPP_VERSION] = ERROR_LONG_S,
	[PORTCTL_NOT_AUTHORIZED] = ERROR_LONG_S,
	[PORTCTL_MALFORMED_REQUEST] = ERROR_LONG_S,
	[PORTCTL_UNSUPP_OPCODE] = ERROR_LONG_S,
	[PORTCTL_UNSUPP_OPTION] = ERROR_LONG_S,
	[PORTCTL_MALFORMED_OPTION] = ERROR_LONG_S,
	[PORTCTL_NETWORK_FAILURE] = ERROR_SHORT_S,
	[PORTCTL_NO_RESOURCES] = ERROR_SHORT_S,
	[PORTCTL_UNSUPP_PROTOCOL] = ERROR_LONG_S,
	[PORTCTL_USER_EX_QUOTA] = ERROR_SHORT_S,
	[PORTCTL_CANNOT_PROVIDE_EXTERNAL] = ERROR_SHORT_S,
	[PORTCTL_ADDRESS_MISMATCH] = ERROR_LONG_S,
	[PORTCTL_EXCESSIVE_REMOTE_PEERS] = ERROR_LONG_S,
};

/* ---- addresses ---- */

static void to_mapped(be32 a, uint8_t ret[16]) /* ::ffff:a (RFC 4291 2.5.5.2) */
{
	struct wire w = wire_writer(ret, 16);

	wire_put_zero(&w, 10);
	wire_put_u16(&w, 0xffff);
	wire_put(&w, &a, sizeof(a));
}

static bool is_mapped(const uint8_t a[16], be32 addr)
{
	uint8_t want[16];

	to_mapped(addr, want);
	return !memcmp(a, want, sizeof(want));
}

/* RFC 6887 5: zeroes of either family are no wish. */
static bool is_any(const uint8_t a[16])
{
	static const uint8_t zero[16];

	return !memcmp(a, zero, sizeof(zero)) || is_mapped(a, 0);
}

static bool proxied(const struct portmap *m)
{
	const struct uplink *u = gateway_uplink(m->gateway);

	return u && uplink_get_conf(u)->proxied;
}

static be32 outside_now(const struct portmap *m)
{
	const struct uplink *u = gateway_uplink(m->gateway);

	return u ? uplink_get_conf(u)->address.addr : 0;
}

/* ---- rows ---- */

static bool same_guest(const struct portmap_guest *a, const struct portmap_guest *b)
{
	return a->domain == b->domain && a->addr == b->addr;
}

static bool is_portctl(uint8_t by)
{
	return by & (PORTCTL_NATPMP | PORTCTL_PCP);
}

static struct portmap_row *find_inside(struct portmap *m, const struct portmap_guest *who, uint8_t proto,
				       uint16_t port)
{
	for (struct portmap_row *r = m->row; r < m->row + m->n; r++) {
		if (is_portctl(r->by) && same_guest(&r->guest, who) && r->proto == proto && r->inside_port == port)
			return r;
	}
	return NULL;
}

static bool may_change(const struct portmap_row *r, const struct portctl_request *q)
{
	return r->by == q->by && !memcmp(r->nonce, q->nonce, sizeof(r->nonce));
}

static uint32_t count_of(const struct portmap *m, const struct portmap_guest *who)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < m->n; i++)
		count += same_guest(&m->row[i].guest, who);
	return count;
}

static struct nat_forward forward_of(const struct portmap *m, const struct portmap_row *r)
{
	return (struct nat_forward){
		.proto = r->proto, .listen_port = r->outside_port, .to = r->guest.addr, .to_port = r->inside_port,
		.in_leg = r->guest.domain != gateway_domain(m->gateway), .domain = r->guest.domain, .by = r->by,
	};
}

static void end_row(struct portmap *m, struct portmap_row *r, bool kill)
{
	struct nat_forward f = forward_of(m, r);

	nat_forward_del(m->gateway, &f);
	if (kill)
		nat_forward_kill(m->gateway, &f);
	if (m->conf.told)
		m->conf.told(m->conf.arg, r, false);
	*r = m->row[--m->n];
}

/* Ends rows of which `match` says so; from the end, as the last one takes the place of one that goes. */
static void end_rows(struct portmap *m, bool (*match)(const struct portmap_row *r, const void *arg),
		     const void *arg, bool kill)
{
	for (uint32_t i = m->n; i-- > 0;) {
		if (match(&m->row[i], arg))
			end_row(m, &m->row[i], kill);
	}
}

/* A bucket of one second's worth of changes for each guest. */
static bool on_time(struct portmap *m, const struct portmap_guest *who, nsec_t now)
{
	nsec_t *pace = &m->pace[hash_mix((uint64_t)who->domain << 32 | who->addr) % PACES];
	nsec_t from = now > NSEC_PER_SEC ? now - NSEC_PER_SEC : 0;
	nsec_t at = (*pace > from ? *pace : from) + NSEC_PER_SEC / PORTMAP_CHANGES_S;

	if (at > now)
		return false;
	*pace = at;
	return true;
}

/* ---- requests ---- */

static enum portctl_result result_of(int error, bool exactly)
{
	switch (error) {
	case 0:
		return PORTCTL_SUCCESS;
	case -EADDRINUSE:
		return exactly ? PORTCTL_CANNOT_PROVIDE_EXTERNAL : PORTCTL_NO_RESOURCES;
	case -EPERM:
	case -EINVAL: /* from an address that is no guest's */
		return PORTCTL_NOT_AUTHORIZED;
	case -ENETDOWN:
		return PORTCTL_NETWORK_FAILURE;
	default:
		return PORTCTL_NO_RESOURCES;
	}
}

/* A new row as `want` says, its outside port being a wish. */
static enum portctl_result grant(struct portmap *m, const struct portmap_row *want, bool exactly, nsec_t now,
				 struct portmap_row **ret_row)
{
	struct nat_forward f = forward_of(m, want);
	struct portmap_row *r = &m->row[m->n];

	if (count_of(m, &want->guest) >= m->conf.per_guest)
		return PORTCTL_USER_EX_QUOTA;
	if (m->n == PORTMAPS_MAX || !on_time(m, &want->guest, now))
		return PORTCTL_NO_RESOURCES;
	*r = *want;
	int error = nat_forward_grant(m->gateway, &f, exactly, &r->outside_port);
	if (error)
		return result_of(error, exactly);
	m->n++;
	*ret_row = r;
	if (m->conf.told)
		m->conf.told(m->conf.arg, r, true);
	return PORTCTL_SUCCESS;
}

static uint32_t lifetime_of(const struct portctl_request *q)
{
	if (q->lifetime > PORTMAP_LIFE_MAX)
		return PORTMAP_LIFE_MAX;
	return q->by == PORTCTL_PCP && q->lifetime < PORTMAP_LIFE_MIN ? PORTMAP_LIFE_MIN : q->lifetime;
}

/* RFC 6887 11.3 and 13.2; RFC 6886 3.3. */
static enum portctl_result map(struct portmap *m, const struct portmap_guest *who,
			       const struct portctl_request *q, nsec_t now, struct portctl_response *r)
{
	struct portmap_row *row = find_inside(m, who, q->proto, q->internal_port);
	struct portmap_row want = {.guest = *who, .by = (uint8_t)q->by, .proto = q->proto,
				   .inside_port = q->internal_port, .outside_port = q->external_port};
	bool other_address = !is_any(q->external) && !is_mapped(q->external, m->outside);

	memcpy(want.nonce, q->nonce, sizeof(want.nonce));
	if (row && !may_change(row, q))
		return PORTCTL_NOT_AUTHORIZED;
	if (q->prefer_failure &&
	    (other_address || (row && q->external_port && q->external_port != row->outside_port)))
		return PORTCTL_CANNOT_PROVIDE_EXTERNAL;
	if (!row) {
		enum portctl_result why = grant(m, &want, q->prefer_failure && q->external_port, now, &row);
		if (why)
			return why;
	}
	r->lifetime = lifetime_of(q);
	r->external_port = row->outside_port;
	row->expires = now + r->lifetime * NSEC_PER_SEC;
	return PORTCTL_SUCCESS;
}

struct unmap {
	const struct portmap_guest *who;
	const struct portctl_request *q;
};

static bool unmaps(const struct portmap_row *r, const void *arg)
{
	const struct unmap *u = arg;

	return same_guest(&r->guest, u->who) && may_change(r, u->q) && (!u->q->proto || r->proto == u->q->proto) &&
	       (!u->q->internal_port || r->inside_port == u->q->internal_port);
}

/* RFC 6887 15.1, RFC 6886 3.4: of what is not there, deleting is a success too. */
static enum portctl_result unmap(struct portmap *m, const struct portmap_guest *who,
				 const struct portctl_request *q, nsec_t now, struct portctl_response *r)
{
	const struct portmap_row *row = find_inside(m, who, q->proto, q->internal_port);
	struct unmap u = {who, q};

	if (row && !may_change(row, q))
		return PORTCTL_NOT_AUTHORIZED;
	if (row && !on_time(m, who, now))
		return PORTCTL_NO_RESOURCES;
	end_rows(m, unmaps, &u, false);
	if (q->by == PORTCTL_PCP) {
		r->external_port = q->external_port;
		memcpy(r->external, q->external, sizeof(r->external));
	}
	return PORTCTL_SUCCESS;
}

/* What forbids a request before it is looked at closer. */
static enum portctl_result refuse(const struct portmap *m, const struct portmap_guest *who,
				  const struct portctl_request *q)
{
	if (q->error)
		return q->error;
	if (q->by == PORTCTL_PCP && !is_mapped(q->client, who->addr))
		return PORTCTL_ADDRESS_MISMATCH; /* RFC 6887 8.3 */
	if (q->op == PORTCTL_PEER)
		return PORTCTL_UNSUPP_OPCODE;
	if (q->n_filters)
		return PORTCTL_UNSUPP_OPTION;
	if (q->op == PORTCTL_ANNOUNCE || (q->op == PORTCTL_MAP && !q->lifetime))
		return PORTCTL_SUCCESS;
	if (proxied(m))
		return PORTCTL_NOT_AUTHORIZED;
	return m->outside ? PORTCTL_SUCCESS : PORTCTL_NETWORK_FAILURE;
}

/* The uplink may have got another address meanwhile; the mappings have moved along. */
static void follow_address(struct portmap *m, nsec_t now)
{
	be32 outside = outside_now(m);

	if (outside == m->outside)
		return;
	m->outside = outside;
	m->since = now;
}

void portmap_request(struct portmap *m, const struct portmap_guest *who, const struct portctl_request *q,
		     nsec_t now, struct portctl_response *ret_r)
{
	struct portctl_response r = {.result = PORTCTL_SUCCESS};

	follow_address(m, now);
	portmap_advance(m, now);
	to_mapped(m->outside, r.external);
	r.epoch = (uint32_t)((now - m->since) / NSEC_PER_SEC);
	r.result = refuse(m, who, q);
	if (!r.result && q->op == PORTCTL_MAP)
		r.result = q->lifetime ? map(m, who, q, now, &r) : unmap(m, who, q, now, &r);
	if (r.result)
		r.lifetime = error_lifetime[r.result];
	m->answers[r.result]++;
	*ret_r = r;
}

/* ---- UPnP ---- */

static struct portmap_row *find_outside(struct portmap *m, uint8_t proto, uint16_t port)
{
	for (struct portmap_row *r = m->row; r < m->row + m->n; r++) {
		if (r->proto == proto && r->outside_port == port)
			return r;
	}
	return NULL;
}

static enum portctl_result open_port(struct portmap *m, const struct portmap_row *want, bool exactly, nsec_t now,
				     struct portmap_row **ret_row)
{
	struct portmap_row *row = find_outside(m, want->proto, want->outside_port);
	bool own = row && row->by == want->by && same_guest(&row->guest, &want->guest);

	if (proxied(m))
		return PORTCTL_NOT_AUTHORIZED;
	if (!m->outside)
		return PORTCTL_NETWORK_FAILURE;
	if (row && !own && exactly)
		return PORTCTL_CANNOT_PROVIDE_EXTERNAL;
	if (own && row->inside_port != want->inside_port)
		end_row(m, row, false); /* the guest leads it elsewhere */
	else if (own) {
		*ret_row = row;
		return PORTCTL_SUCCESS;
	}
	return grant(m, want, exactly, now, ret_row);
}

enum portctl_result portmap_open(struct portmap *m, const struct portmap_row *want, uint32_t lifetime_s,
				 bool exactly, nsec_t now, uint16_t *ret_port)
{
	struct portmap_row *row = NULL;
	enum portctl_result why;

	follow_address(m, now);
	portmap_advance(m, now);
	why = open_port(m, want, exactly, now, &row);
	m->answers[why]++;
	if (why)
		return why;
	row->expires = now + lifetime_s * NSEC_PER_SEC;
	memcpy(row->text, want->text, sizeof(row->text));
	*ret_port = row->outside_port;
	return why;
}

int portmap_close(struct portmap *m, const struct portmap_guest *who, uint8_t proto, uint16_t outside_port,
		  nsec_t now)
{
	struct portmap_row *row = find_outside(m, proto, outside_port);

	if (!row)
		return -ENOENT;
	if (row->by != PORTCTL_UPNP || !same_guest(&row->guest, who))
		return -EPERM;
	if (!on_time(m, who, now))
		return -EAGAIN;
	end_row(m, row, false);
	return 0;
}

be32 portmap_outside(const struct portmap *m)
{
	return proxied(m) ? 0 : outside_now(m);
}

uint32_t portmap_uptime(const struct portmap *m, nsec_t now)
{
	return (uint32_t)((now - m->since) / NSEC_PER_SEC);
}

/* ---- time and other ends ---- */

static bool expired(const struct portmap_row *r, const void *arg)
{
	return r->expires <= *(const nsec_t *)arg;
}

nsec_t portmap_next(const struct portmap *m)
{
	nsec_t next = 0;

	for (uint32_t i = 0; i < m->n; i++) {
		if (!next || m->row[i].expires < next)
			next = m->row[i].expires;
	}
	return next;
}

nsec_t portmap_advance(struct portmap *m, nsec_t now)
{
	end_rows(m, expired, &now, false);
	return portmap_next(m);
}

static bool any(const struct portmap_row *r, const void *arg)
{
	(void)r;
	(void)arg;
	return true;
}

void portmap_reset(struct portmap *m, nsec_t now)
{
	if (!m)
		return;
	end_rows(m, any, NULL, true);
	m->since = now;
}

static bool in_domain(const struct portmap_row *r, const void *arg)
{
	return r->guest.domain == *(const domain_idx *)arg;
}

void portmap_end_domain(struct portmap *m, domain_idx d)
{
	if (m)
		end_rows(m, in_domain, &d, true);
}

static bool is_guests(const struct portmap_row *r, const void *arg)
{
	return same_guest(&r->guest, arg);
}

void portmap_end_guest(struct portmap *m, const struct portmap_guest *who)
{
	if (m)
		end_rows(m, is_guests, who, true);
}

bool portmap_evict(struct portmap *m, uint8_t proto, uint16_t outside_port, bool kill)
{
	for (struct portmap_row *r = m->row; r < m->row + m->n; r++) {
		if (r->proto == proto && r->outside_port == outside_port) {
			end_row(m, r, kill);
			return true;
		}
	}
	return false;
}

/* ---- life ---- */

struct portmap *portmap_new(struct gateway *g, const struct portmap_conf *c, nsec_t now)
{
	struct portmap *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->gateway = g;
	m->conf = *c;
	m->inside = gateway_get_conf(g)->address;
	m->outside = outside_now(m);
	m->since = now;
	return m;
}

static bool not_allowed(const struct portmap_row *r, const void *arg)
{
	return !(r->by & *(const unsigned *)arg);
}

void portmap_set_conf(struct portmap *m, const struct portmap_conf *c, nsec_t now)
{
	struct prefix4 inside = gateway_get_conf(m->gateway)->address;

	if (inside.addr != m->inside.addr || inside.len != m->inside.len)
		portmap_reset(m, now);
	m->inside = inside;
	m->conf = *c;
	end_rows(m, not_allowed, &c->protocols, true);
}

void portmap_free(struct portmap *m)
{
	if (!m)
		return;
	end_rows(m, any, NULL, true);
	free(m);
}

const struct portmap_conf *portmap_get_conf(const struct portmap *m)
{
	return &m->conf;
}

/* ---- for people ---- */

uint32_t portmap_count(const struct portmap *m)
{
	return m ? m->n : 0;
}

const struct portmap_row *portmap_at(const struct portmap *m, uint32_t i)
{
	return &m->row[i];
}

uint64_t portmap_answers(const struct portmap *m, enum portctl_result r)
{
	return m->answers[r];
}

const char *portmap_source(uint8_t by)
{
	switch (by) {
	case PORTCTL_NATPMP:
		return "nat-pmp";
	case PORTCTL_PCP:
		return "pcp";
	case PORTCTL_UPNP:
		return "upnp";
	default:
		return "config";
	}
}
