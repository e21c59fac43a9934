/* How long a cache line takes from one processor to another and back, in nanoseconds: what rings
 * between a guest and a switch are made of.  On virtual machines it changes with where the host
 * puts the processors (here 50 to 600 ns within a minute), and rates change with it.
 *	line_trip CPU CPU */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define TRIPS 20000

static _Alignas(128) _Atomic int there;
static _Alignas(128) _Atomic int back;

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		perror("line_trip: sched_setaffinity");
}

static void *other(void *arg)
{
	pin(*(int *)arg);
	for (int i = 1; i <= TRIPS; i++) {
		while (atomic_load_explicit(&there, memory_order_acquire) != i)
			;
		atomic_store_explicit(&back, i, memory_order_release);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	int a = argc > 1 ? atoi(argv[1]) : 0, b = argc > 2 ? atoi(argv[2]) : 1;
	struct timespec t0, t1;
	pthread_t t;

	pin(a);
	if (pthread_create(&t, NULL, other, &b))
		return 1;
	for (int i = 1; i <= TRIPS; i++) {
		if (i == TRIPS / 10)
			clock_gettime(CLOCK_MONOTONIC, &t0);
		atomic_store_explicit(&there, i, memory_order_release);
		while (atomic_load_explicit(&back, memory_order_acquire) != i)
			;
	}
	clock_gettime(CLOCK_MONOTONIC, &t1);
	pthread_join(t, NULL);
	printf("%.0f\n", ((double)(t1.tv_sec - t0.tv_sec) * 1e9 + (double)(t1.tv_nsec - t0.tv_nsec)) /
				 (TRIPS - TRIPS / 10));
	return 0;
}
