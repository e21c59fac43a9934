/* Walks through the TCP state table: what each life ends in, and with which timer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "nat/tcp_track.h"
#include "net/headers.h"

#define IN TCP_FROM_INSIDE
#define OUT TCP_FROM_OUTSIDE

struct step {
	enum tcp_side from;
	uint8_t flags;
	enum tcp_state then;
};

static void walk(enum tcp_state s, const struct step *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		s = tcp_track(s, v[i].from, v[i].flags);
		assert_string_equal(tcp_track_name(s), tcp_track_name(v[i].then));
	}
}
#define WALK(start, ...)                                                                           \
	do {                                                                                       \
		const struct step v[] = {__VA_ARGS__};                                             \
		walk(start, v, ARRAY_SIZE(v));                                                     \
	} while (0)

static void whole_life(void **state)
{
	WALK(TCPS_SYN_SENT, {IN, TCP_SYN, TCPS_SYN_SENT}, {OUT, TCP_SYN | TCP_ACK, TCPS_ESTABLISHED},
	     {IN, TCP_ACK, TCPS_ESTABLISHED}, {IN, TCP_FIN | TCP_ACK, TCPS_FIN_INSIDE},
	     {OUT, TCP_ACK, TCPS_FIN_INSIDE}, {OUT, TCP_FIN | TCP_ACK, TCPS_CLOSING},
	     {IN, TCP_ACK, TCPS_CLOSING});
	WALK(TCPS_SYN_RCVD, {OUT, TCP_SYN, TCPS_SYN_RCVD}, {IN, TCP_SYN | TCP_ACK, TCPS_ESTABLISHED},
	     {OUT, TCP_FIN, TCPS_FIN_OUTSIDE}, {IN, TCP_FIN, TCPS_CLOSING});
}

/* RFC 5382 REQ-2: two SYNs that cross open a connection. */
static void simultaneous_open(void **state)
{
	WALK(TCPS_SYN_SENT, {IN, TCP_SYN, TCPS_SYN_SENT}, {OUT, TCP_SYN, TCPS_ESTABLISHED});
}

/* RFC 7857 2.2: a RST may be forged, so traffic after it revives the session. */
static void reset_and_revival(void **state)
{
	WALK(TCPS_ESTABLISHED, {OUT, TCP_RST, TCPS_RESET}, {OUT, TCP_RST, TCPS_RESET},
	     {IN, TCP_ACK, TCPS_ESTABLISHED});
	WALK(TCPS_SYN_SENT, {OUT, TCP_RST | TCP_ACK, TCPS_RESET}, {IN, TCP_SYN, TCPS_SYN_SENT});
}

static void ports_used_again(void **state)
{
	WALK(TCPS_CLOSING, {IN, TCP_SYN, TCPS_SYN_SENT}, {OUT, TCP_SYN | TCP_ACK, TCPS_ESTABLISHED});
	WALK(TCPS_CLOSING, {OUT, TCP_SYN, TCPS_SYN_RCVD});
	WALK(TCPS_CLOSING, {OUT, TCP_RST, TCPS_CLOSING});
}

static void timers(void **state)
{
	static const enum tcp_state is_long[] = {TCPS_ESTABLISHED, TCPS_FIN_INSIDE, TCPS_FIN_OUTSIDE};

	for (enum tcp_state s = 0; s < TCPS_COUNT; s++) {
		enum tcp_timer want = TCPT_TRANSITORY;
		for (size_t i = 0; i < ARRAY_SIZE(is_long); i++)
			want = is_long[i] == s ? TCPT_ESTABLISHED : want;
		assert_int_equal(tcp_track_timer(s), want);
	}
	assert_false(tcp_track_refreshes(TCPS_CLOSING));
	assert_false(tcp_track_refreshes(TCPS_RESET));
	assert_true(tcp_track_refreshes(TCPS_ESTABLISHED));
}

/* No flags, from either side, lead out of the table. */
static void closed_over_everything(void **state)
{
	for (enum tcp_state s = 0; s < TCPS_COUNT; s++) {
		for (unsigned f = 0; f < 256; f++) {
			assert_true(tcp_track(s, IN, (uint8_t)f) < TCPS_COUNT);
			assert_true(tcp_track(s, OUT, (uint8_t)f) < TCPS_COUNT);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_life),	      cmocka_unit_test(simultaneous_open),
		cmocka_unit_test(reset_and_revival),  cmocka_unit_test(ports_used_again),
		cmocka_unit_test(timers),	      cmocka_unit_test(closed_over_everything),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
