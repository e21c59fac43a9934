/* What sessions of the NAT cost: memory of each, a look-up and a packet in bursts among few and among
 * a million, a new one.  Packets go through the real gateway and switch of nat_bench.h, on one
 * thread; all are of sessions in random order, so that caches help as little as they do in life.
 *	build/tests/bench/nat_sessions [sessions [remotes of a mapping]]	prints JSON */
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/nat_bench.h"

#ifndef LOOKUPS
#define LOOKUPS 2000000u
#endif
#define PACKETS 400000u

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static long resident(void)
{
	long size, pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (!f || fscanf(f, "%ld %ld", &size, &pages) != 2)
		pages = 0;
	if (f)
		fclose(f);
	return pages * sysconf(_SC_PAGESIZE);
}

static uint32_t per_mapping = 16;

static void nth(uint32_t i, uint16_t *ret_sport, be32 *ret_remote)
{
	*ret_sport = (uint16_t)(1024 + i / per_mapping);
	*ret_remote = htobe32(be32toh(R1) + i % per_mapping);
}

static struct flow_key key_of(struct nb *x, uint32_t i)
{
	uint16_t sport;
	be32 remote;

	nth(i, &sport, &remote);
	return flow_key(x->dom, IPPROTO4_UDP, G1, htobe16(sport), remote, htobe16(53));
}

/* A packet's own cost, apart from the session it makes: building the frame, the switch, the NAT's
 * established path. */
static double send_one(struct nb *x, uint32_t i)
{
	uint16_t sport;
	be32 remote;

	nth(i, &sport, &remote);
	struct nb_pkt p = nb_out(IPPROTO4_UDP, G1, sport, remote, 53);
	double t = now_ns();
	nb_send(x, x->guest, &p);
	t = now_ns() - t;
	if (x->world->n_out != 1)
		abort();
	nb_clear(x);
	return t;
}

static uint64_t draw(void)
{
	static uint64_t r = 88172645463325252u;

	r ^= r << 13;
	r ^= r >> 7;
	r ^= r << 17;
	return r;
}

static double lookup_ns(struct nb *x, uint32_t n)
{
	uint32_t found = 0;
	double t = now_ns();

	for (uint32_t i = 0; i < LOOKUPS; i++)
		found += flow_find_in(&x->nat->flow, key_of(x, (uint32_t)(draw() % n))) != NULL;
	t = (now_ns() - t) / LOOKUPS;
	if (found != LOOKUPS)
		abort();
	return t;
}

/* What the whole established path costs a packet in bursts of sessions at random, as a busy port gives them;
 * building the frames is not in it. */
static double packet_ns(struct nb *x, uint32_t n)
{
	double sum = 0;

	for (uint32_t done = 0; done < PACKETS; done += PKT_BURST) {
		struct nb_burst b = {.from = x->guest};
		while (b.n < PKT_BURST) {
			uint16_t sport;
			be32 remote;
			nth((uint32_t)(draw() % n), &sport, &remote);
			struct nb_pkt p = nb_out(IPPROTO4_UDP, G1, sport, remote, 53);
			nb_burst_add(&b, &p);
		}
		double t = now_ns();
		nb_burst_send(x, &b);
		sum += now_ns() - t;
		if (x->world->n_out != PKT_BURST)
			abort();
		nb_clear(x);
	}
	return sum / PACKETS;
}

int main(int argc, char **argv)
{
	uint32_t max = argc > 1 ? (uint32_t)atoi(argv[1]) : 1000000, made = 0;
	const struct nat_limits limits = {.max_sessions = max};
	struct nb *x = nb_new(&limits);
	double create = 0, again = 0;

	if (argc > 2)
		per_mapping = (uint32_t)atoi(argv[2]);
	x->conf.sessions_per_guest = max;
	gateway_set_conf(x->gw, &x->conf);
	send_one(x, 0);
	long before = resident();
	printf("{\"name\": \"nat_sessions\", \"unit\": \"ns\", \"variants\": {");
	for (uint32_t n = 1000; n <= max; n *= 10) {
		for (; made < n; made++)
			create += send_one(x, made);
		double ns = lookup_ns(x, n), packet = packet_ns(x, n);
		printf("%s\"lookup_%u\": {\"median\": %.1f, \"samples\": [%.1f]}, \"packet_%u\": {\"median\": %.1f, "
		       "\"samples\": [%.1f]}", n > 1000 ? ", " : "", n, ns, ns, n, packet, packet);
	}
	long grown = resident() - before;
	for (uint32_t i = 0; i < 100000; i++)
		again += send_one(x, (uint32_t)((uint64_t)i * 7919 % made));
	printf(", \"first_packet\": {\"median\": %.1f, \"samples\": []}, \"later_packet\": {\"median\": %.1f, "
	       "\"samples\": []}}, \"sessions\": %u, \"remotes_of_a_mapping\": %u, \"grown_mib\": %.1f, "
	       "\"bytes_per_session\": %.1f}\n",
	       create / made, again / 100000, made, per_mapping, (double)grown / 1048576, (double)grown / made);
	nb_free(x);
	return 0;
}
