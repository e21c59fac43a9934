/* TCP request and response of one byte each.
 *	tcp_rr PORT                  serves one client at a time, until it is ended
 *	tcp_rr PORT ADDRESS SECONDS  prints the median round trip in microseconds */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define MAX 2000000

static uint64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int order(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

static void serve(int l)
{
	char c;
	for (;;) {
		int one = 1, s = accept(l, NULL, NULL);
		setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		while (read(s, &c, 1) == 1 && write(s, &c, 1) == 1)
			;
		close(s);
	}
}

static int measure(int s, double seconds)
{
	static uint32_t took[MAX];
	size_t n = 0;
	char c = 0;
	uint64_t begin = now(), end = begin + (uint64_t)(seconds * 1e9);
	while (begin < end && n < MAX) {
		if (write(s, &c, 1) != 1 || read(s, &c, 1) != 1)
			return 1;
		uint64_t t = now();
		took[n++] = (uint32_t)(t - begin);
		begin = t;
	}
	qsort(took, n, sizeof(took[0]), order);
	printf("%.2f\n", took[n / 2] / 1000.0);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc != 2 && argc != 4)
		return 2;
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1]))};
	int one = 1, s = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (argc == 2) {
		if (bind(s, (struct sockaddr *)&a, sizeof(a)) || listen(s, 5))
			return 1;
		serve(s);
	}
	setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (inet_pton(AF_INET, argv[2], &a.sin_addr) != 1 || connect(s, (struct sockaddr *)&a, sizeof(a)))
		return 1;
	return measure(s, atof(argv[3]));
}
