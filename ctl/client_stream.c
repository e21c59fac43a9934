/* The commands that run until they are interrupted: capture and events. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ctl/base64.h"
#include "ctl/client_commands.h"
#include "ctl/pcapng.h"
#include "net/drop.h"
#include "net/types.h"

#define SNAPLEN_MAX 65536u
#define LOOK_UP_MS 500 /* a signal just before the wait is seen this late */

static volatile sig_atomic_t interrupted;

static void on_signal(int signo)
{
	interrupted = 1;
}

static void catch_signals(void)
{
	struct sigaction sa = {.sa_handler = on_signal};
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	signal(SIGPIPE, SIG_IGN); /* a reader that has seen enough ends the capture */
}

/* ---- capture ---- */

struct sink {
	const struct request *q;
	FILE *out;
	struct pcapng *pcapng; /* NULL: text */
	uint64_t count, lost, max;
	uint8_t bytes[SNAPLEN_MAX];
	int error; /* -errno of a write */
};

static const char *drop_sentence(const char *name)
{
	for (enum drop_reason r = DROP_NONE + 1; name && r < DROP_COUNT; r++)
		if (strcmp(drop_name(r), name) == 0)
			return drop_text(r);
	return name;
}

static void print_text(struct sink *s, const struct pcapng_packet *k, const char *drop)
{
	char name[128], clock[16];
	time_t seconds = (time_t)(k->time_ns / 1000000000u);
	struct tm tm;
	localtime_r(&seconds, &tm);
	strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
	snprintf(name, sizeof(name), "%s", k->port);
	render_clean(name);
	fprintf(s->out, "%s.%06u %s %s ", clock, (unsigned)(k->time_ns % 1000000000u / 1000), name,
		k->outgoing ? "out" : "in ");
	render_packet(s->out, k->bytes, k->len, k->wire_len);
	if (drop)
		fprintf(s->out, " [dropped: %s]", k->comment);
	fputc('\n', s->out);
	if (fflush(s->out))
		s->error = -errno;
}

static uint64_t get_int(json_t *o, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(o, key));
}

static void take_record(struct sink *s, json_t *o)
{
	json_t *data = json_object_get(o, "data");
	const char *port = json_string_value(json_object_get(o, "port"));
	const char *dir = json_string_value(json_object_get(o, "dir"));
	const char *drop = json_string_value(json_object_get(o, "drop"));
	size_t len = 0;
	s->lost = get_int(o, "lost");
	if (!json_is_string(data) || !port || !dir)
		return;
	if (base64_decode(json_string_value(data), json_string_length(data), s->bytes, sizeof(s->bytes),
			  &len))
		return;
	struct pcapng_packet k = {
		.port = port,
		.outgoing = strcmp(dir, "out") == 0,
		.comment = drop_sentence(drop),
		.time_ns = get_int(o, "time_ns"),
		.wire_len = (uint32_t)get_int(o, "wire_len"),
		.len = (uint32_t)len,
		.bytes = s->bytes,
	};
	s->count++;
	if (s->q->given[OPT_JSON]) {
		if (json_dumpf(o, s->out, JSON_COMPACT) || fputc('\n', s->out) < 0 || fflush(s->out))
			s->error = -EIO;
	} else if (s->pcapng) {
		s->error = pcapng_packet(s->pcapng, &k);
	} else {
		print_text(s, &k, drop);
	}
}

static json_t *capture_params(const struct request *q)
{
	json_t *p = json_deep_copy(q->params);
	if (q->value[OPT_FILTER])
		json_object_set_new(p, "filter", json_string(q->value[OPT_FILTER]));
	if (q->value[OPT_DIRECTION])
		json_object_set_new(p, "direction", json_string(q->value[OPT_DIRECTION]));
	if (q->value[OPT_SNAPLEN])
		json_object_set_new(p, "snaplen", json_integer(atol(q->value[OPT_SNAPLEN])));
	if (q->given[OPT_DROPS])
		json_object_set_new(p, "drops", json_true());
	return p;
}

static int64_t now_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000) + ts.tv_nsec / 1000000;
}

/* The other end of a pipe was closed; without packets no write would tell. */
static bool reader_gone(FILE *out)
{
	struct pollfd p = {.fd = fileno(out)};
	return poll(&p, 1, 0) > 0 && p.revents & POLLERR;
}

static void receive(struct sink *s, struct client *c, struct client_error *e)
{
	const char *seconds = s->q->value[OPT_SECONDS];
	int64_t end = seconds ? now_ms() + atol(seconds) * 1000 : INT64_MAX;
	while (!interrupted && !s->error && !e->exit && s->count < s->max && !reader_gone(s->out)) {
		int64_t left = end == INT64_MAX ? LOOK_UP_MS : end - now_ms();
		if (left <= 0)
			break;
		json_t *o = client_next(c, (int)(left < LOOK_UP_MS ? left : LOOK_UP_MS), e);
		if (o)
			take_record(s, o);
		json_decref(o);
	}
}

static int open_output(struct sink *s, struct client_error *e, json_t *started)
{
	const char *file = s->q->value[OPT_WRITE];
	bool to_stdout = !file || strcmp(file, "-") == 0;
	s->out = to_stdout ? stdout : fopen(file, "wbe");
	if (!s->out) {
		e->exit = CLIENT_ERROR;
		snprintf(e->text, sizeof(e->text), "%s: %s", file, strerror(errno));
		return -1;
	}
	if (!file)
		return 0;
	char application[96];
	const char *version = json_string_value(json_object_get(started, "version"));
	snprintf(application, sizeof(application), "vswitchd %s", version ? version : "");
	s->pcapng = pcapng_new(s->out, application, (uint32_t)get_int(started, "snaplen"));
	if (!s->pcapng)
		s->error = -errno;
	return 0;
}

static int close_output(struct sink *s, struct client_error *e)
{
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	if (s->pcapng && !s->error)
		s->error = pcapng_totals(s->pcapng,
					 (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec,
					 s->count + s->lost, s->lost);
	pcapng_free(s->pcapng);
	if (s->out && s->out != stdout && fclose(s->out) && !s->error)
		s->error = -errno;
	fprintf(stderr, "%llu packets captured, %llu lost\n", (unsigned long long)s->count,
		(unsigned long long)s->lost);
	if (s->error && s->error != -EPIPE && !e->exit) {
		e->exit = CLIENT_ERROR;
		snprintf(e->text, sizeof(e->text), "writing the capture: %s", strerror(-s->error));
	}
	return (int)e->exit;
}

int client_run_capture(const struct request *q, struct client *c, struct client_error *e)
{
	json_t *started = client_call(c, "capture", capture_params(q), e);
	struct sink *s = started ? calloc(1, sizeof(*s)) : NULL;
	if (!s) {
		json_decref(started);
		return (int)e->exit;
	}
	s->q = q;
	s->max = q->value[OPT_COUNT_] ? (uint64_t)atol(q->value[OPT_COUNT_]) : UINT64_MAX;
	catch_signals();
	if (open_output(s, e, started) == 0) {
		receive(s, c, e);
		close_output(s, e);
	}
	json_decref(started);
	free(s);
	return (int)e->exit;
}

/* ---- events ---- */

static void print_event(json_t *o)
{
	static const char *const shown[] = {"event", "object", "network", "mac", "hostname", "port", "text"};
	char clock[16], value[512];
	time_t t = (time_t)get_int(o, "time");
	struct tm tm;
	localtime_r(&t, &tm);
	strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
	fputs(clock, stdout);
	for (size_t i = 0; i < ARRAY_SIZE(shown); i++) {
		json_t *v = json_object_get(o, shown[i]);
		if (!json_is_string(v))
			continue;
		render_value(v, RENDER_TEXT, value, sizeof(value));
		printf(" %s", value);
	}
	putchar('\n');
}

int client_run_events(const struct request *q, struct client *c, struct client_error *e)
{
	json_t *started = client_call(c, "events", NULL, e);
	if (!started)
		return (int)e->exit;
	json_decref(started);
	catch_signals();
	while (!interrupted && !e->exit && !reader_gone(stdout)) {
		json_t *o = client_next(c, LOOK_UP_MS, e);
		if (o && q->given[OPT_JSON]) {
			json_dumpf(o, stdout, JSON_COMPACT);
			putchar('\n');
		} else if (o) {
			print_event(o);
		}
		fflush(stdout);
		json_decref(o);
	}
	return (int)e->exit;
}
