/* New UDP flows at a steady rate: new_flows ADDRESS COUNT RATE [ROUND]
 * A flow is a source port (20000-20999) and a destination port; one datagram of one byte each, in bursts
 * of 32. Prints the processor time it took, in microseconds: that of the kernel's path up to where another
 * process takes over is in it. ROUND shifts the destination ports, so that flows of an earlier run are not met again. */
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define SOURCES 1000
#define BURST 32

static int sources[SOURCES];

static int open_source(unsigned i)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)(20000 + i))};
	int s = socket(AF_INET, SOCK_DGRAM, 0);
	return bind(s, (struct sockaddr *)&a, sizeof(a)) ? -1 : s;
}

static void pause_until(struct timespec *t, long ns)
{
	t->tv_nsec += ns;
	t->tv_sec += t->tv_nsec / 1000000000;
	t->tv_nsec %= 1000000000;
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, t, NULL);
}

int main(int argc, char **argv)
{
	struct sockaddr_in to = {.sin_family = AF_INET};
	struct timespec t;
	if (argc < 4 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1)
		return 2;
	unsigned count = (unsigned)atoi(argv[2]), rate = (unsigned)atoi(argv[3]);
	unsigned first = 1000 + (argc > 4 ? (unsigned)atoi(argv[4]) : 0) * (count / SOURCES + 1);
	for (unsigned i = 0; i < SOURCES; i++)
		if ((sources[i] = open_source(i)) < 0)
			return 1;
	clock_gettime(CLOCK_MONOTONIC, &t);
	for (unsigned n = 0; n < count; n++) {
		to.sin_port = htons((uint16_t)(first + n / SOURCES));
		sendto(sources[n % SOURCES], "x", 1, MSG_DONTWAIT, (struct sockaddr *)&to, sizeof(to));
		if (n % BURST == BURST - 1)
			pause_until(&t, 1000000000L * BURST / (long)(rate ? rate : 1));
	}
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	printf("%ld\n", t.tv_sec * 1000000L + t.tv_nsec / 1000);
	return 0;
}
