/* bounce, ping, stream, sink: guests without a kernel. */
#include "tests/vhost/peer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAGIC	    0x56504552u /* "VPER" */
#define PORT_BASE   10000u
#define SPIN_ROUNDS 20
#define POLL_MS	    100
#define CHECK_EVERY 1024 /* rounds of a polling loop between looks at clock and socket */
#define WINDOW	    65536u
#define NS_PER_US   1000
#define LAST_ANSWER 1000000000 /* ns */

/* ---- frames ---- */

static void put16(uint8_t *at, unsigned v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}

static unsigned ip_sum(const uint8_t *at)
{
	unsigned sum = 0;

	for (int i = 0; i < 20; i += 2)
		sum += (unsigned)at[i] << 8 | at[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	return ~(sum + (sum >> 16)) & 0xffff;
}

void peer_frame(uint8_t *at, unsigned len, const uint8_t dst[6], const uint8_t src[6],
		struct peer_mark mark)
{
	uint8_t *ip = at + 14, *udp = ip + 20;

	memcpy(at, dst, 6);
	memcpy(at + 6, src, 6);
	put16(at + 12, 0x0800);
	memcpy(ip, (const uint8_t[20]){0x45, [8] = 64, 17, 0, 0, 10, 9, 0, 1, 10, 9, 0, 2}, 20);
	put16(ip + 2, len - 14);
	put16(ip + 10, ip_sum(ip));
	put16(udp, PORT_BASE + mark.flow); /* both ports: switches hash them */
	put16(udp + 2, PORT_BASE);
	put16(udp + 4, len - 34);
	put16(udp + 6, 0); /* IPv4: no checksum */
	mark.magic = MAGIC;
	memcpy(at + PEER_MARK_AT, &mark, sizeof(mark));
}

bool peer_frame_mark(const uint8_t *at, unsigned len, struct peer_mark *ret_mark)
{
	if (len < PEER_FRAME_MIN)
		return false;
	memcpy(ret_mark, at + PEER_MARK_AT, sizeof(*ret_mark));
	return ret_mark->magic == MAGIC;
}

/* Queues one numbered frame; false when the ring is full. */
static bool send_mark(struct peer *p, unsigned q, const uint8_t dst[6], struct peer_mark mark)
{
	struct fe *fe = &p->fe;
	uint8_t *at = fe_tx_buffer(fe, q);

	if (!at)
		return false;
	memset(at, 0, fe->hdr_len);
	peer_frame(at + fe->hdr_len, p->o.len, dst, p->o.mac, mark);
	return fe_tx_commit(fe, q, p->o.len) == 0;
}

/* Lets the switch learn where we are. */
static void announce(struct peer *p, struct fe *fe)
{
	static const uint8_t all[6] = {255, 255, 255, 255, 255, 255};
	uint8_t frame[60] = {0};

	memcpy(frame, all, 6);
	memcpy(frame + 6, p->o.mac, 6);
	put16(frame + 12, 0x88b5);
	fe_tx(fe, 0, NULL, frame, sizeof(frame));
	fe_tx_flush(fe, 0);
}

/* ---- bounce ---- */

static void swap_into(const struct fe_frame *f, uint8_t *to, uint32_t len)
{
	uint8_t mac[6];

	fe_frame_copy(f, to, len);
	memcpy(mac, to, 6);
	memcpy(to, to + 6, 6);
	memcpy(to + 6, mac, 6);
}

static bool is_group(const struct fe_frame *f)
{
	return *(const uint8_t *)f->iov[0].iov_base & 1;
}

static void bounce_frame(struct peer *p, struct fe *fe, unsigned q, const struct fe_frame *f)
{
	uint8_t *to;

	if (f->len < 14 || is_group(f) || f->len > fe->cfg.tx_buf - fe->hdr_len)
		return;
	to = fe_tx_buffer(fe, q);
	if (!to) {
		p->dropped++;
		return;
	}
	memcpy(to, f->raw, fe->hdr_len); /* offloads go back with it */
	if (fe->hdr_len == 12)
		memset(to + 10, 0, 2);
	swap_into(f, to + fe->hdr_len, f->len);
	fe_tx_commit(fe, q, f->len);
}

static int bounce_burst(struct peer *p, struct fe *fe, unsigned q)
{
	struct fe_frame f;
	int n, r = 0;

	fe_ring_arm(&fe->pair[q].rx, false);
	for (n = 0; n < PEER_BURST && (r = fe_rx(fe, q, &f)) > 0; n++) {
		bounce_frame(p, fe, q, &f);
		fe_rx_done(fe, q, &f);
	}
	if (n) {
		fe_tx_flush(fe, q);
		fe_rx_flush(fe, q);
	}
	return r < 0 ? r : n;
}

static void first_frames(struct peer *p)
{
	for (uint64_t i = 0; i < p->o.start; i++)
		send_mark(p, 0, p->o.peer_mac, (struct peer_mark){.seq = i});
	fe_tx_flush(&p->fe, 0);
}

static int bounce_loop(struct peer *p)
{
	unsigned idle = 0, round = 0;
	int r, err;

	do {
		unsigned work = 0;

		for (unsigned q = 0; q < p->fe.cfg.pairs; q++) {
			if ((r = bounce_burst(p, &p->fe, q)) < 0)
				return r;
			work += (unsigned)r;
		}
		idle = work ? 0 : idle + 1;
		if (!p->o.poll && idle > SPIN_ROUNDS) {
			if ((err = fe_wait(&p->fe, POLL_MS)) < 0)
				return err;
		} else if (++round % CHECK_EVERY) {
			continue;
		}
		if (!fe_alive(&p->fe))
			return -ECONNRESET;
	} while (!peer_done(p));
	return 0;
}

/* A switch that is on its way out may still accept and hang up in the middle: again, then. */
static int come_back(struct peer *p)
{
	int64_t end = fe_now_ns() + (int64_t)p->o.wait_ms * 1000 * NS_PER_US;
	int err;

	do {
		fe_disconnect(&p->fe);
		err = fe_up(&p->fe);
	} while (err && !peer_done(p) && fe_now_ns() < end);
	p->connections += !err;
	return err;
}

int peer_bounce(struct peer *p)
{
	int err = peer_up(p, &p->fe, &p->o.fe);

	while (!err) {
		announce(p, &p->fe);
		first_frames(p);
		err = bounce_loop(p);
		if (err != -ECONNRESET || !p->o.reconnect)
			break;
		err = come_back(p);
	}
	return err;
}

/* ---- ping ---- */

static int by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static double us_at(const uint32_t *v, size_t n, double share)
{
	return n ? v[(size_t)((double)(n - 1) * share)] / (double)NS_PER_US : 0;
}

static void ping_report(struct peer *p, uint32_t *rtt, size_t n, uint64_t sent)
{
	qsort(rtt, n, sizeof(*rtt), by_size);
	snprintf(p->words, sizeof(p->words),
		 ", \"sent\": %llu, \"answered\": %zu, \"p50_us\": %.1f, \"p90_us\": %.1f, "
		 "\"p99_us\": %.1f, "
		 "\"max_us\": %.1f",
		 (unsigned long long)sent, n, us_at(rtt, n, 0.5), us_at(rtt, n, 0.9),
		 us_at(rtt, n, 0.99), us_at(rtt, n, 1));
}

/* Answers since the last look; their round trips behind rtt[n]. */
static int ping_answers(struct peer *p, uint32_t *rtt, size_t *n, size_t cap)
{
	struct fe_frame f;
	int r, got = 0;

	fe_ring_arm(&p->fe.pair[0].rx, false);
	while ((r = fe_rx(&p->fe, 0, &f)) > 0) {
		uint8_t copy[PEER_FRAME_MIN];
		struct peer_mark m;

		if (!is_group(&f) &&
		    peer_frame_mark(copy, fe_frame_copy(&f, copy, sizeof(copy)), &m) &&
		    m.seq >= p->o.warmup && *n < cap)
			rtt[(*n)++] = (uint32_t)(fe_now_ns() - m.sent);
		fe_rx_done(&p->fe, 0, &f);
		got++;
	}
	if (got)
		fe_rx_flush(&p->fe, 0);
	return r;
}

static int ping_loop(struct peer *p, struct fe *other, uint32_t *rtt, size_t cap, size_t *n,
		     uint64_t *sent)
{
	int64_t next = fe_now_ns();
	int r = 0;

	while (!peer_done(p) && r >= 0) {
		int64_t now = fe_now_ns();

		if (now >= next && *sent < cap) {
			send_mark(p, 0, p->o.peer_mac,
				  (struct peer_mark){.seq = (*sent)++, .sent = now});
			fe_tx_flush(&p->fe, 0);
			next += (int64_t)p->o.interval_us * NS_PER_US;
		}
		if (*sent == cap && (*n + p->o.warmup >= cap || now >= next + LAST_ANSWER))
			break;
		r = ping_answers(p, rtt, n, cap);
		if (r >= 0 && other)
			r = bounce_burst(p, other, 0);
	}
	return r < 0 ? r : fe_alive(&p->fe) ? 0 : -ECONNRESET;
}

/* The bouncing guest in the same thread: no scheduler between the two. */
static int ping_both(struct peer *p, struct fe *other)
{
	struct fe_config c = p->o.fe;
	int err = 0;

	if (p->o.peer_socket) {
		c.path = p->o.peer_socket;
		err = peer_up(p, other, &c);
		if (err)
			memcpy(p->fe.error, other->error, sizeof(p->fe.error));
	}
	return err;
}

int peer_ping(struct peer *p)
{
	size_t n = 0, cap = (p->o.count ? p->o.count : 5000) + p->o.warmup;
	uint32_t *rtt = calloc(cap, sizeof(*rtt));
	struct fe *other = calloc(1, sizeof(*other));
	uint64_t sent = 0;
	int err = peer_up(p, &p->fe, &p->o.fe);

	err = err ? err : ping_both(p, other);
	if (!err) {
		uint8_t mac[6];

		announce(p, &p->fe);
		memcpy(mac, p->o.mac, 6);
		memcpy(p->o.mac, p->o.peer_mac, 6);
		if (p->o.peer_socket)
			announce(p, other);
		memcpy(p->o.mac, mac, 6);
		usleep(50000);
		err = ping_loop(p, p->o.peer_socket ? other : NULL, rtt, cap, &n, &sent);
		ping_report(p, rtt, n, sent > p->o.warmup ? sent - p->o.warmup : 0);
	}
	if (other->nregions)
		fe_fini(other);
	free(other);
	free(rtt);
	return err;
}

/* ---- stream and sink ---- */

static bool paced_out(const struct peer *p, uint64_t sent)
{
	return p->o.rate &&
	       sent >= (uint64_t)((double)(fe_now_ns() - p->began) * 1e-9 * (double)p->o.rate) + 1;
}

static unsigned stream_burst(struct peer *p, uint64_t *seq, uint64_t *sent)
{
	unsigned n;

	for (n = 0; n < PEER_BURST / 2; n++) {
		uint32_t flow = (uint32_t)(*sent % p->o.flows);

		if (p->o.count && *sent == p->o.count)
			break;
		if (!send_mark(p, flow % p->fe.cfg.pairs, p->o.peer_mac,
			       (struct peer_mark){.flow = flow, .seq = seq[flow]}))
			break;
		seq[flow]++;
		(*sent)++;
	}
	for (unsigned q = 0; q < p->fe.cfg.pairs && n; q++)
		fe_tx_flush(&p->fe, q);
	return n;
}

static void drain(struct peer *p)
{
	struct fe_frame f;

	for (unsigned q = 0; q < p->fe.cfg.pairs; q++) {
		int n = 0;

		fe_ring_arm(&p->fe.pair[q].rx, false);
		for (; fe_rx(&p->fe, q, &f) > 0; n++)
			fe_rx_done(&p->fe, q, &f);
		if (n)
			fe_rx_flush(&p->fe, q);
	}
}

/* Until the switch has given the last frame back, or the deadline. */
static void stream_settle(struct peer *p)
{
	int64_t end = fe_now_ns() + 1000000000;
	bool all = false;

	while (!all && fe_now_ns() < end) {
		all = true;
		for (unsigned q = 0; q < p->fe.cfg.pairs; q++) {
			fe_tx_reap(&p->fe, q);
			all &= p->fe.pair[q].tx_nfree == p->fe.cfg.size;
		}
		usleep(1000);
	}
}

int peer_stream(struct peer *p)
{
	uint64_t *seq = calloc(p->o.flows, sizeof(*seq)), sent = 0, rounds = 0;
	int err = peer_up(p, &p->fe, &p->o.fe);

	if (!err) {
		announce(p, &p->fe);
		usleep(50000);
		p->began = fe_now_ns();
	}
	while (!err && !peer_done(p) && !(p->o.count && sent == p->o.count)) {
		if (!paced_out(p, sent))
			stream_burst(p, seq, &sent);
		if (rounds++ % 64 == 0)
			drain(p);
		if (rounds % CHECK_EVERY == 0 && !fe_alive(&p->fe))
			err = -ECONNRESET;
	}
	if (!err)
		stream_settle(p);
	snprintf(p->words, sizeof(p->words), ", \"sent\": %llu, \"flows\": %u",
		 (unsigned long long)sent, p->o.flows);
	free(seq);
	return err;
}

struct sink {
	struct sink_flow {
		uint64_t next;
		uint64_t seen[WINDOW / 64];
	} * flow;
	uint64_t frames, lost, duplicates, reordered, foreign, group;
	int64_t last;
};

static void mark_seen(struct sink_flow *f, uint64_t seq)
{
	f->seen[seq % WINDOW / 64] |= 1ull << seq % 64;
}

static void sink_late(struct sink *s, struct sink_flow *f, uint64_t seq)
{
	bool old = f->next - seq > WINDOW;

	if (!old && f->seen[seq % WINDOW / 64] & 1ull << seq % 64) {
		s->duplicates++;
		return;
	}
	s->reordered++;
	s->lost -= s->lost > 0;
	if (!old)
		mark_seen(f, seq);
}

static void sink_mark(struct sink *s, struct sink_flow *f, uint64_t seq)
{
	s->frames++;
	if (seq < f->next) {
		sink_late(s, f, seq);
		return;
	}
	s->lost += seq - f->next;
	if (seq - f->next >= WINDOW)
		memset(f->seen, 0, sizeof(f->seen));
	else
		for (uint64_t i = f->next; i < seq; i++)
			f->seen[i % WINDOW / 64] &= ~(1ull << i % 64);
	f->next = seq + 1;
	mark_seen(f, seq);
}

static int sink_burst(struct peer *p, struct sink *s, unsigned q)
{
	struct fe_frame f;
	int n, r = 0;

	for (n = 0; n < PEER_BURST && (r = fe_rx(&p->fe, q, &f)) > 0; n++) {
		uint8_t copy[PEER_FRAME_MIN];
		struct peer_mark m;

		if (is_group(&f))
			s->group++;
		else if (!peer_frame_mark(copy, fe_frame_copy(&f, copy, sizeof(copy)), &m) ||
			 m.flow >= p->o.flows)
			s->foreign++;
		else
			sink_mark(s, &s->flow[m.flow], m.seq);
		fe_rx_done(&p->fe, q, &f);
	}
	if (n)
		fe_rx_flush(&p->fe, q);
	return r < 0 ? r : n;
}

static bool sink_over(const struct peer *p, const struct sink *s)
{
	if (p->o.count && s->frames >= p->o.count)
		return true;
	return p->o.idle_ms && s->frames &&
	       fe_now_ns() - s->last > (int64_t)p->o.idle_ms * 1000 * NS_PER_US;
}

static int sink_loop(struct peer *p, struct sink *s)
{
	unsigned idle = 0;
	int r, err;

	while (!peer_done(p) && !sink_over(p, s)) {
		unsigned work = 0;

		for (unsigned q = 0; q < p->fe.cfg.pairs; q++) {
			fe_ring_arm(&p->fe.pair[q].rx, false);
			if ((r = sink_burst(p, s, q)) < 0)
				return r;
			work += (unsigned)r;
		}
		if (work)
			s->last = fe_now_ns();
		idle = work ? 0 : idle + 1;
		if (!p->o.poll && idle > SPIN_ROUNDS && (err = fe_wait(&p->fe, POLL_MS)) < 0)
			return err;
	}
	return 0;
}

int peer_sink(struct peer *p)
{
	struct sink s = {.flow = calloc(p->o.flows, sizeof(*s.flow))};
	int err = peer_up(p, &p->fe, &p->o.fe);

	if (!err) {
		announce(p, &p->fe);
		err = sink_loop(p, &s);
	}
	snprintf(p->words, sizeof(p->words),
		 ", \"frames\": %llu, \"lost\": %llu, \"duplicates\": %llu, \"reordered\": %llu, "
		 "\"foreign\": %llu, "
		 "\"group\": %llu",
		 (unsigned long long)s.frames, (unsigned long long)s.lost,
		 (unsigned long long)s.duplicates, (unsigned long long)s.reordered,
		 (unsigned long long)s.foreign, (unsigned long long)s.group);
	free(s.flow);
	return err;
}
