/* What a frame costs between two rings: dequeue from one guest's memory, enqueue into
 * another's, publication and calls' decisions included.  The drivers run on the same thread,
 *outside of the measured part, so memory is in the nearest cache: this counts instructions, not the
 *traffic between cores. build/tests/bench/vring_bench [seconds for each row] */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/vring_driver.h"

#define RING	256u
#define BURST	32u
#define SLOT	2048u
#define SAMPLES 200000u

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

struct row {
	const char *what;
	uint64_t features;
	uint32_t frame;
	unsigned pieces, burst;
};

static struct guest from, to;
static struct driver tx, rx;
static struct vring qtx, qrx;
static struct pkt_pool *pool;

static void setup(const struct row *r)
{
	const char *why;

	guest_init(&from);
	guest_init(&to);
	driver_init(&tx, &from, GUEST_A, RING, r->features);
	driver_init(&rx, &to, GUEST_A, RING, r->features);
	struct vring_conf ct = driver_conf(&tx), cr = driver_conf(&rx);
	ct.call_fd = cr.call_fd = eventfd(0, EFD_NONBLOCK); /* asked about, not written */
	if (vring_start(&qtx, from.mem, &ct, &why) || vring_start(&qrx, to.mem, &cr, &why)) {
		fprintf(stderr, "%s\n", why);
		exit(1);
	}
	qtx.signalled_valid = qrx.signalled_valid = true;
}

static void teardown(void)
{
	close(qtx.call_fd);
	vring_stop(&qtx);
	vring_stop(&qrx);
	driver_fini(&tx);
	driver_fini(&rx);
	guest_fini(&from);
	guest_fini(&to);
}

static void drivers(const struct row *r, unsigned round)
{
	uint32_t len;
	uint16_t id;

	while (driver_used(&tx, &id, &len))
		;
	while (driver_used(&rx, &id, &len))
		;
	for (unsigned i = 0; i < r->burst; i++) {
		uint64_t at = GUEST_B + SLOT * ((round * r->burst + i) % RING);
		struct sg in = {at, SLOT}, out[2] = {{at, 12 + r->frame}};
		if (r->pieces == 2) {
			out[0].len = 12;
			out[1] = (struct sg){at + 64, r->frame};
		}
		if (!driver_add(&tx, out, r->pieces, false, 0) || !driver_add(&rx, &in, 1, true, 0))
			abort();
	}
	driver_publish(&tx);
	driver_publish(&rx);
	driver_want_calls(&tx, false);
	driver_want_calls(&rx, false);
}

static int ascending(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}
/* Of the bursts: what the machine did besides does not count. */
static double median(double *v, unsigned n)
{
	qsort(v, n, sizeof(*v), ascending);
	return v[n / 2];
}

static void run(const struct row *r, double seconds)
{
	static double in[SAMPLES], out[SAMPLES];
	uint64_t end = now_ns() + (uint64_t)(seconds * 1e9);
	struct pkt *k[PKT_BURST];
	struct pkt_out v[PKT_BURST];
	unsigned lost;

	setup(r);
	unsigned round;
	for (round = 0; round < SAMPLES && now_ns() < end; round++) {
		drivers(r, round);
		vring_let_go(&qtx); /* all of it now: the driver has stopped */
		uint64_t t0 = now_ns();
		unsigned n = vring_dequeue(&qtx, pool, k, PKT_BURST, &lost);
		uint64_t t1 = now_ns();
		for (unsigned i = 0; i < n; i++)
			v[i] = (struct pkt_out){.pkt = k[i]};
		vring_enqueue(&qrx, v, n);
		uint64_t t2 = now_ns();
		vring_dequeue_done(&qtx);
		pkt_free_bulk(pool, k, n);
		uint64_t t3 = now_ns();
		if (n != r->burst || v[n - 1].drop)
			abort();
		in[round] = (double)(t1 - t0 + t3 - t2) / n;
		out[round] = (double)(t2 - t1) / n;
	}
	double a = median(in, round), b = median(out, round);
	printf("%-34s %5u B  burst %2u  dequeue %5.1f  enqueue %5.1f  sum %5.1f ns/packet\n",
	       r->what, r->frame, r->burst, a, b, a + b);
	teardown();
}

/* ---- drivers on another core ---- */

static _Atomic bool stop;

static void pin(int cpu)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	(void)sched_setaffinity(0, sizeof(one), &one);
}

/* Sends as fast as it can, and refills the other ring. */
static void *drive(void *arg)
{
	const struct row *r = arg;
	uint32_t len;
	uint16_t id;

	pin(0);
	for (unsigned i = 0, j = 0; !atomic_load_explicit(&stop, memory_order_relaxed);) {
		while (driver_used(&tx, &id, &len))
			;
		while (driver_used(&rx, &id, &len))
			;
		for (unsigned n = 0; n < BURST; n++, i++) {
			struct sg out = {GUEST_B + SLOT * (i % RING), 12 + r->frame};
			if (!driver_add(&tx, &out, 1, false, 0))
				break;
		}
		for (;; j++) {
			struct sg in = {GUEST_B + SLOT * (j % RING), SLOT};
			if (!driver_add(&rx, &in, 1, true, 0))
				break;
		}
		driver_publish(&tx);
		driver_publish(&rx);
	}
	return NULL;
}

/* Frames a second through both rings with the drivers on another core; the best of several
 * tenths of a second, for others want the machine too. */
static void run_apart(const struct row *r, double seconds)
{
	struct pkt *k[PKT_BURST];
	struct pkt_out v[PKT_BURST];
	uint64_t end, t0, packets = 0;
	double best = 0;
	unsigned lost;
	pthread_t t;

	setup(r);
	driver_want_calls(&tx, false);
	driver_want_calls(&rx, false);
	stop = false;
	pin(1);
	if (pthread_create(&t, NULL, drive, (void *)(uintptr_t)r))
		abort();
	t0 = now_ns();
	end = t0 + (uint64_t)(seconds * 1e9);
	for (unsigned round = 1; t0 < end; round++) {
		unsigned n = vring_dequeue(&qtx, pool, k, r->burst, &lost);
		for (unsigned i = 0; i < n; i++)
			v[i] = (struct pkt_out){.pkt = k[i]};
		vring_enqueue(&qrx, v, n);
		if (n)
			vring_dequeue_done(&qtx);
		pkt_free_bulk(pool, k, n);
		for (unsigned i = 0; i < n; i++)
			packets += !v[i].drop;
		if (round % 1024 == 0 && now_ns() - t0 > 20000000) {
			uint64_t t1 = now_ns();
			double rate = (double)packets * 1e3 / (double)(t1 - t0);
			best = rate > best ? rate : best;
			packets = 0;
			t0 = t1;
		}
	}
	stop = true;
	pthread_join(t, NULL);
	printf("%-34s %5u B  burst %2u  drivers apart  %5.1f Mpps\n", r->what, r->frame, r->burst,
	       best);
	teardown();
}

#define NET (1ull << VRING_F_VERSION_1 | 1ull << VRING_F_MRG_RXBUF | 1ull << VRING_F_INDIRECT_DESC)
#define EVT (NET | 1ull << VRING_F_EVENT_IDX)
#define PKD (1ull << VRING_F_RING_PACKED)
#define ORD (1ull << VRING_F_IN_ORDER)

int main(int argc, char **argv)
{
	static const struct row rows[] = {
		{"split", NET, 60, 1, 64},
		{"split, event index", EVT, 60, 1, 64},
		{"split, event index", EVT, 60, 1, 32},
		{"split, event index", EVT, 60, 1, 8},
		{"split, event index", EVT, 60, 1, 1},
		{"split, event index, in order", EVT | ORD, 60, 1, 64},
		{"split, event index, header apart", EVT, 60, 2, 64},
		{"split, event index", EVT, 252, 1, 64},
		{"split, event index", EVT, 1514, 1, 64},
		{"packed, event index", EVT | PKD, 60, 1, 64},
		{"packed, event index", EVT | PKD, 60, 1, 32},
		{"packed, event index", EVT | PKD, 60, 1, 1},
		{"packed, event index, in order", EVT | PKD | ORD, 60, 1, 64},
		{"packed, event index, header apart", EVT | PKD, 60, 2, 64},
		{"packed, event index", EVT | PKD, 1514, 1, 64},
	};
	struct arena *a = arena_new(1024, 4);

	pool = pkt_pool_new(a);
	for (unsigned i = 0; i < (argc > 2 ? (unsigned)atoi(argv[2]) : ARRAY_SIZE(rows)); i++)
		run(&rows[i], argc > 1 ? atof(argv[1]) : 0.5);
	for (unsigned i = 0; i < ARRAY_SIZE(rows) && argc <= 2; i++) {
		if (rows[i].pieces == 1 && rows[i].burst >= 32)
			run_apart(&rows[i], argc > 1 ? atof(argv[1]) : 0.5);
	}
	pkt_pool_free(pool);
	arena_free(a);
	return 0;
}
