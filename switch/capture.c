/* Captures between the pipeline (pipeline.c calls capture_packet) and the control socket
 * (ctl/verbs_capture.c).  The only file that knows libpcap, for its filters. */
#include "switch/capture.h"

#include <errno.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "net/counter.h"
#include "switch/internal.h"

#define TAG_LEN 4u
#define ETH_ADDRS 12u /* the tag stands behind the two addresses */

/* How a record travels to main: in front of the frame's bytes, in the head. */
struct record_head {
	uint32_t id; /* of the capture */
	port_idx port;
	uint8_t outgoing, drop;
	uint64_t time_ns;
	uint32_t wire_len, len;
};

/* What is under way to main, so that a main that is busy does not let captures take the
 * packet memory that forwarding needs: a quarter of it at most. */
struct budget {
	_Atomic unsigned small, big;
	unsigned max_small, max_big;
};

struct capture {
	struct captures *owner;
	uint32_t id;
	struct capture_spec spec;
	bool filtered, wants_tag;
	struct bpf_program program;
	void (*fn)(void *arg, const struct capture_record *r);
	void *arg;
	_Atomic uint64_t lost; /* by any worker */
};

struct capture_set {
	struct slow_sink *sink;
	struct budget *budget;
	unsigned n;
	struct capture *capture[CAPTURE_MAX];
};

struct captures {
	struct sw *sw;
	struct slow_sink sink;
	struct budget budget;
	uint32_t next_id;
	struct capture_set *published; /* NULL while there is none */
	struct capture_set current;
};

/* ---- worker ---- */

/* A frame that was lost before its domain was known counts to the network of its access
 * port: that is where its user looks. */
static bool in_domain(struct worker *w, const struct pkt *k, const struct port *p, domain_idx want)
{
	if (k->domain != DOMAIN_NONE || !p)
		return k->domain == want;
	const struct port_conf *conf = atomic_load_explicit(&p->conf, memory_order_acquire);
	const struct domain *d = sw_domain(w->sw, want);
	return conf && d && conf->vlan.mode == VLAN_ACCESS && conf->vlan.pvid == d->vid;
}

static bool in_scope(const struct capture *c, struct worker *w, const struct pkt *k, port_idx port,
		     bool outgoing, enum drop_reason why)
{
	if (c->spec.drops_only && why == DROP_NONE)
		return false;
	if (outgoing ? !c->spec.out : !c->spec.in)
		return false;
	const struct port *p = sw_port(w->sw, port);
	if (c->spec.domain != DOMAIN_NONE && !in_domain(w, k, p, c->spec.domain))
		return false;
	if (c->spec.port == PORT_NONE || c->spec.port == port)
		return true;
	return p && p->parent && p->parent->idx == c->spec.port;
}

static bool passes(const struct capture *c, const void *bytes, uint32_t caplen, uint32_t len)
{
	struct pcap_pkthdr h = {.caplen = caplen, .len = len};
	return !c->filtered || pcap_offline_filter(&c->program, &h, bytes) != 0;
}

/* Gathers up to `room` bytes of the frame with its tag; returns how many. */
static uint32_t gather(const struct pkt *k, struct vlan_tag tag, uint8_t *dst, uint32_t room)
{
	struct iovec iov[16];
	uint8_t tagbuf[TAG_LEN];
	unsigned n = pkt_iov(k, tag, tagbuf, iov, ARRAY_SIZE(iov));
	uint32_t done = 0;
	for (unsigned i = 0; i < n && done < room; i++) {
		size_t part = iov[i].iov_len < room - done ? iov[i].iov_len : room - done;
		memcpy(dst + done, iov[i].iov_base, part);
		done += (uint32_t)part;
	}
	return done;
}

static uint64_t wall_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static bool budget_left(const _Atomic unsigned *used, unsigned max)
{
	return atomic_load_explicit((_Atomic unsigned *)used, memory_order_relaxed) < max;
}

static void budget_move(struct budget *b, const struct pkt *k, int by)
{
	atomic_fetch_add_explicit(&b->small, (unsigned)by, memory_order_relaxed);
	if (k->big)
		atomic_fetch_add_explicit(&b->big, (unsigned)by, memory_order_relaxed);
}

/* Copies the frame into `copy`: behind the record in the head, or alone in a big slot. */
static const uint8_t *fill(struct pkt_pool *pool, struct pkt *copy, const struct pkt *k,
			   struct vlan_tag tag, struct record_head *rec, uint32_t snaplen,
			   const struct budget *b)
{
	uint32_t want = rec->wire_len < snaplen ? rec->wire_len : snaplen;
	uint32_t room = PKT_HEAD_MAX - sizeof(*rec);
	uint8_t *dst = copy->head + sizeof(*rec);
	if (want > room && budget_left(&b->big, b->max_big) && pkt_add_big(pool, copy)) {
		dst = copy->own_tail.iov_base;
		room = PKT_BIG_SLOT;
	}
	rec->len = gather(k, tag, dst, want < room ? want : room);
	return dst;
}

static void record(struct capture *c, struct worker *w, const struct capture_set *cs,
		   const struct pkt *k, struct vlan_tag tag, struct record_head rec)
{
	struct pkt_pool *pool = worker_pool(w);
	struct budget *b = cs->budget;
	struct pkt *copy = budget_left(&b->small, b->max_small) ? pkt_new(pool) : NULL;
	if (!copy) {
		atomic_fetch_add_explicit(&c->lost, 1, memory_order_relaxed);
		return;
	}
	rec.id = c->id;
	const uint8_t *bytes = fill(pool, copy, k, tag, &rec, c->spec.snaplen, b);
	if (c->wants_tag && !passes(c, bytes, rec.len, rec.wire_len)) {
		pkt_free(pool, copy);
		return;
	}
	memcpy(copy->head, &rec, sizeof(rec));
	copy->head_len = sizeof(rec);
	copy->in_port = rec.port;
	budget_move(b, copy, 1); /* before main can have it */
	if (!worker_slow_up(w, cs->sink, copy)) {
		budget_move(b, copy, -1);
		atomic_fetch_add_explicit(&c->lost, 1, memory_order_relaxed);
		pkt_free(pool, copy);
	}
}

void capture_packet(struct capture_set *cs, struct worker *w, const struct pkt *k, port_idx port,
		    bool outgoing, enum drop_reason why, struct vlan_tag tag)
{
	struct record_head rec = {
		.port = port,
		.outgoing = outgoing,
		.drop = (uint8_t)why,
		.wire_len = k->len + (tag.tpid ? TAG_LEN : 0),
	};
	if (k->len < ETH_ADDRS)
		tag.tpid = 0;
	for (unsigned i = 0; i < cs->n; i++) {
		struct capture *c = cs->capture[i];
		if (!in_scope(c, w, k, port, outgoing, why))
			continue;
		if (!c->wants_tag && !passes(c, k->head, k->head_len, k->len))
			continue;
		rec.time_ns = wall_ns();
		record(c, w, cs, k, tag, rec);
	}
}

/* ---- main ---- */

static struct capture *find(struct captures *cs, uint32_t id)
{
	for (unsigned i = 0; i < cs->current.n; i++)
		if (cs->current.capture[i]->id == id)
			return cs->current.capture[i];
	return NULL;
}

/* Where records arrive.  The capture may be gone by now: it is told by number. */
static void arrived(void *arg, struct pkt *k)
{
	struct captures *cs = arg;
	struct record_head rec;
	memcpy(&rec, k->head, sizeof(rec));
	struct capture *c = find(cs, rec.id);
	struct capture_record r = {
		.port = rec.port,
		.outgoing = rec.outgoing,
		.drop = rec.drop,
		.time_ns = rec.time_ns,
		.wire_len = rec.wire_len,
		.len = rec.len,
		.bytes = k->big ? k->own_tail.iov_base : k->head + sizeof(rec),
	};
	if (c)
		c->fn(c->arg, &r);
	budget_move(&cs->budget, k, -1);
	pkt_free(sw_main_pool(cs->sw), k);
}

/* Shows workers the present list, and waits until none uses the last one. */
static int publish(struct captures *cs)
{
	struct capture_set *old = cs->published, *set = NULL;
	if (cs->current.n) {
		set = malloc(sizeof(*set));
		if (!set)
			return -ENOMEM;
		*set = cs->current;
	}
	sw_captures_publish(cs->sw, set);
	cs->published = set;
	sw_synchronize(cs->sw);
	free(old);
	return 0;
}

struct captures *captures_new(struct sw *sw)
{
	struct captures *cs = calloc(1, sizeof(*cs));
	if (!cs)
		return NULL;
	struct arena_stats memory = sw_arena_stats(sw);
	cs->sw = sw;
	cs->budget.max_small = memory.small_total / 4;
	cs->budget.max_big = memory.big_total / 4;
	cs->current.budget = &cs->budget;
	cs->sink = (struct slow_sink){.fn = arrived, .arg = cs};
	cs->current.sink = &cs->sink;
	return cs;
}

void captures_free(struct captures *cs)
{
	if (!cs)
		return;
	while (cs->current.n)
		capture_stop(cs->current.capture[0]);
	free(cs);
}

static bool mentions_vlan(const char *filter)
{
	for (const char *p = filter; (p = strstr(p, "vlan")); p += 4) {
		bool starts = p == filter || !strchr("abcdefghijklmnopqrstuvwxyz0123456789-_.", p[-1]);
		if (starts && (p[4] == 0 || strchr(" \t()!&|", p[4])))
			return true;
	}
	return false;
}

static int compile(struct capture *c, const char *filter, char *error, size_t error_len)
{
	if (!filter || !*filter)
		return 0;
	pcap_t *p = pcap_open_dead(DLT_EN10MB, (int)c->spec.snaplen);
	if (!p)
		return -ENOMEM;
	int r = pcap_compile(p, &c->program, filter, 1, PCAP_NETMASK_UNKNOWN);
	if (r < 0)
		snprintf(error, error_len, "%s", pcap_geterr(p));
	pcap_close(p);
	c->filtered = r == 0;
	c->wants_tag = mentions_vlan(filter);
	return r < 0 ? -EINVAL : 0;
}

static void capture_free(struct capture *c)
{
	if (c->filtered)
		pcap_freecode(&c->program);
	free(c);
}

int capture_start(struct captures *cs, const struct capture_spec *spec,
		  void (*fn)(void *arg, const struct capture_record *r), void *arg,
		  struct capture **ret_capture, char *error, size_t error_len)
{
	if (cs->current.n == CAPTURE_MAX)
		return -ENOSPC;
	struct capture *c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->owner = cs;
	c->id = ++cs->next_id;
	c->spec = *spec;
	c->fn = fn;
	c->arg = arg;
	if (!c->spec.snaplen || c->spec.snaplen > CAPTURE_SNAPLEN_MAX)
		c->spec.snaplen = CAPTURE_SNAPLEN_MAX;
	int r = compile(c, spec->filter, error, error_len);
	c->spec.filter = NULL; /* the caller's */
	if (!r) {
		cs->current.capture[cs->current.n++] = c;
		r = publish(cs);
		if (r)
			cs->current.n--;
	}
	if (r)
		capture_free(c);
	else
		*ret_capture = c;
	return r;
}

void capture_stop(struct capture *c)
{
	if (!c)
		return;
	struct captures *cs = c->owner;
	unsigned i = 0;
	while (cs->current.capture[i] != c)
		i++;
	cs->current.capture[i] = cs->current.capture[--cs->current.n];
	if (publish(cs)) {
		/* No memory for a shorter list: captures end rather than outlive their owner. */
		sw_captures_publish(cs->sw, NULL);
		sw_synchronize(cs->sw);
		free(cs->published);
		cs->published = NULL;
	}
	capture_free(c);
}

uint64_t capture_lost(const struct capture *c)
{
	return atomic_load_explicit(&c->lost, memory_order_relaxed);
}
