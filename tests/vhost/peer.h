/* vhost_peer's parts: options and counters in peer.c; a mode is one function over them, which runs
 * until peer_done() and leaves its own words for the JSON line in peer->words. */
#ifndef TESTS_VHOST_PEER_H
#define TESTS_VHOST_PEER_H

#include "tests/vhost/frontend.h"

#define PEER_BURST     64
#define PEER_FRAME_MAX 65535u

struct peer_options {
	struct fe_config fe;
	const char *tap, *peer_socket, *step;
	uint8_t mac[6], peer_mac[6];
	bool has_mac, poll, reconnect, quit;
	double seconds;
	uint64_t count, rate, start;
	unsigned interval_us, len, flows, warmup, idle_ms;
	int wait_ms;
};

struct peer {
	struct peer_options o;
	struct fe fe;
	int64_t began, ends; /* ns, once connected */
	uint64_t rx_gso, tx_gso, rx_csum, dropped, connections;
	char words[1024]; /* ", \"key\": value..." */
};

int peer_up(struct peer *p, struct fe *fe, const struct fe_config *c); /* starts the clock */
bool peer_done(const struct peer *p);
void peer_stop(void);

/* A numbered frame: Ethernet, IPv4, UDP to port 10000 + flow, and this. */
struct peer_mark {
	uint32_t magic, flow;
	uint64_t seq;
	int64_t sent; /* ns, the sender's clock */
} __attribute__((packed));
#define PEER_MARK_AT   (14u + 20u + 8u)
#define PEER_FRAME_MIN (PEER_MARK_AT + (unsigned)sizeof(struct peer_mark))
void peer_frame(uint8_t *at, unsigned len, const uint8_t dst[6], const uint8_t src[6],
		struct peer_mark mark);
bool peer_frame_mark(const uint8_t *at, unsigned len, struct peer_mark *ret_mark);

int peer_bridge(struct peer *p);
int peer_bounce(struct peer *p);
int peer_ping(struct peer *p);
int peer_stream(struct peer *p);
int peer_sink(struct peer *p);
int peer_hang(struct peer *p);

#endif
