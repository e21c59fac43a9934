/* A network's router advertisements: timer, answers, changes (ra_server.h). */
#include "dhcp/ra_server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "net/loop.h"
#include "switch/switch.h"
#include "switch/worker.h"

struct ra_server {
	struct sw *sw;
	struct loop *loop;
	struct loop_timer *timer;
	struct port *gateway;
	domain_idx domain;
	struct ra_conf conf;
	char *domain_name; /* conf.domain */
	struct ra_plan plan;
};

static uint32_t draw(void)
{
	uint32_t v;

	return getrandom(&v, sizeof(v), GRND_NONBLOCK) == sizeof(v) ? v : 0;
}

static void send_conf(struct ra_server *s, const struct ra_conf *c)
{
	uint8_t room[RA_FRAME_MAX];
	size_t len = ra_build(c, room, sizeof(room));
	struct pkt *k = len ? pkt_from(sw_main_pool(s->sw), room, len) : NULL;

	if (k)
		sw_slow_down(s->gateway, s->domain, k);
}

static void arm(struct ra_server *s)
{
	nsec_t now = loop_now(s->loop);

	loop_timer_arm(s->timer, s->plan.next > now ? s->plan.next - now : 0);
}

static void on_timer(void *arg)
{
	struct ra_server *s = arg;

	send_conf(s, &s->conf);
	ra_plan_sent(&s->plan, loop_now(s->loop), draw());
	arm(s);
}

static void start(struct ra_server *s)
{
	ra_plan_start(&s->plan, loop_now(s->loop));
	arm(s);
}

static int take_conf(struct ra_server *s, const struct ra_conf *c)
{
	char *name = c->domain ? strdup(c->domain) : NULL;

	if (c->domain && !name)
		return -ENOMEM;
	free(s->domain_name);
	s->conf = *c;
	s->conf.domain = s->domain_name = name;
	return 0;
}

struct ra_server *ra_server_new(struct sw *sw, struct loop *loop, struct port *gateway, domain_idx domain,
				const struct ra_conf *conf)
{
	struct ra_server *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	*s = (struct ra_server){.sw = sw, .loop = loop, .gateway = gateway, .domain = domain};
	s->timer = loop_timer_new(loop, on_timer, s);
	if (!s->timer || take_conf(s, conf) < 0) {
		loop_timer_free(s->timer);
		free(s);
		errno = ENOMEM;
		return NULL;
	}
	start(s);
	return s;
}

static bool has_prefix(const struct ra_conf *c, const struct ra_prefix *p)
{
	for (unsigned i = 0; i < c->n_prefixes; i++)
		if (c->prefix[i].len == p->len && !memcmp(c->prefix[i].addr, p->addr, sizeof(p->addr)))
			return true;
	return false;
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

static bool same_dns(const struct ra_conf *a, const struct ra_conf *b)
{
	return a->n_dns == b->n_dns && !memcmp(a->dns, b->dns, a->n_dns * sizeof(a->dns[0])) &&
	       same_text(a->domain, b->domain);
}

static bool same_conf(const struct ra_conf *a, const struct ra_conf *b)
{
	for (unsigned i = 0; i < a->n_prefixes; i++)
		if (!a->prefix[i].gone && !has_prefix(b, &a->prefix[i]))
			return false;
	for (unsigned i = 0; i < b->n_prefixes; i++)
		if (!has_prefix(a, &b->prefix[i]))
			return false;
	return same_dns(a, b) && a->mtu == b->mtu && a->router == b->router && mac_eq(a->mac, b->mac);
}

int ra_server_set_conf(struct ra_server *s, const struct ra_conf *conf)
{
	struct ra_conf was = s->conf, next = *conf;
	int r;

	for (unsigned i = 0; i < was.n_prefixes && next.n_prefixes < RA_PREFIXES_MAX; i++)
		if (!has_prefix(conf, &was.prefix[i])) {
			next.prefix[next.n_prefixes] = was.prefix[i];
			next.prefix[next.n_prefixes++].gone = true;
		}
	/* a prefix that came back is not gone any longer, and is news as well */
	bool same = same_conf(&was, &next);
	for (unsigned i = 0; i < was.n_prefixes; i++)
		same = same && !(was.prefix[i].gone && has_prefix(conf, &was.prefix[i]));
	if (same)
		return 0;
	if (!same_dns(&was, &next)) {
		was.dns_gone = true;
		send_conf(s, &was);
	}
	r = take_conf(s, &next);
	if (!r)
		start(s);
	return r;
}

void ra_server_free(struct ra_server *s)
{
	if (!s)
		return;
	ra_farewell(&s->conf);
	send_conf(s, &s->conf);
	loop_timer_free(s->timer);
	free(s->domain_name);
	free(s);
}

void ra_server_receive(void *server, struct pkt *k)
{
	struct ra_server *s = server;
	struct ra_solicit from;

	if (ra_solicit_parse(k, &from) < 0) {
		sw_slow_refuse(k, DROP_GW_ND);
	} else {
		ra_plan_solicited(&s->plan, loop_now(s->loop), draw());
		arm(s);
	}
	pkt_free(sw_main_pool(s->sw), k);
}
