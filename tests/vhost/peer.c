/* vhost_peer: a guest without a guest, for stories and benchmarks.  See usage(); frontend.h has the
 * machinery.  One JSON line at the end; exit status 0, or 1 with a sentence on stderr that says
 * why. */
#include "tests/vhost/peer.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t stopped;

void peer_stop(void)
{
	stopped = 1;
}

static void on_signal(int sig)
{
	peer_stop();
}

static const struct {
	const char *name;
	int (*run)(struct peer *p);
	const char *what;
} modes[] = {
	{"bridge", peer_bridge,
	 "TAPNAME: join a TAP, made in this namespace, to the socket, offloads and all"},
	{"bounce", peer_bounce,
	 "send every unicast frame back, MACs swapped; --start N sends N first"},
	{"ping", peer_ping,
	 "one frame each --interval US to --peer-mac, round trips as percentiles; polls"},
	{"stream", peer_stream,
	 "numbered frames of --flows N to --peer-mac, --count or --seconds, --rate PPS"},
	{"sink", peer_sink,
	 "checks order, loss and duplicates of a stream; --count, --seconds, --idle MS"},
	{"hang", peer_hang,
	 "goes to --step connect|features|memory|rings|filled|half-message, stays there;\n"
	 "           or does wrong: bad-index|bad-head|bad-address|bad-direction|no-memory|deaf"},
};

static int usage(FILE *to)
{
	fprintf(to, "usage: vhost_peer MODE --socket PATH [OPTION...]\n\n");
	for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++)
		fprintf(to, "  %-8s %s\n", modes[i].name, modes[i].what);
	fputs("\n"
	      "  --socket PATH  --role client|server   client (the default) dials the switch\n"
	      "  --wait MS             for the switch, and for every answer of it (10000)\n"
	      "  --reconnect           bridge, bounce: when the switch hangs up\n"
	      "  --queues N  --size N  queue pairs (1), entries of each ring (256)\n"
	      "  --packed --in-order   rings; --no-mergeable --no-event-idx --no-indirect "
	      "--legacy\n"
	      "  --features-off LIST   csum,guest-csum,tso,guest-tso,ecn,uso,mq,mtu,... or bit "
	      "numbers\n"
	      "  --protocol-off LIST   "
	      "mq,log,rarp,ack,mtu,backend-req,config,inflight,reset,slots,status\n"
	      "  --regions N  --rx-buf BYTES  --rx-split N  --tx-split N   memory and descriptors\n"
	      "  --seal  --log  --inflight  --mtu N  --no-kick-fd  --no-call-fd\n"
	      "  --mac MAC  --peer-mac MAC   (02:00:00:00:00:01, ..02)\n"
	      "  --poll                never sleep (ping and stream never do)\n"
	      "  --seconds S  --count N  --len BYTES  --interval US  --flows N  --rate PPS  "
	      "--start N\n"
	      "  --peer-socket PATH    ping: a second frontend there, which bounces, in this "
	      "thread\n"
	      "  --warmup N            ping: frames that are not counted (100)\n"
	      "  --step STEP --quit    hang: leave at once, without a word\n",
	      to);
	return to == stderr;
}

/* ---- names of features ---- */

struct name {
	const char *name;
	uint64_t bits;
};
static const struct name feature_names[] = {
	{"csum", FE_BIT(VIRTIO_NET_F_CSUM)},
	{"guest-csum", FE_BIT(VIRTIO_NET_F_GUEST_CSUM)},
	{"tso", FE_BIT(VIRTIO_NET_F_HOST_TSO4) | FE_BIT(VIRTIO_NET_F_HOST_TSO6)},
	{"guest-tso", FE_BIT(VIRTIO_NET_F_GUEST_TSO4) | FE_BIT(VIRTIO_NET_F_GUEST_TSO6)},
	{"ecn", FE_BIT(VIRTIO_NET_F_HOST_ECN) | FE_BIT(VIRTIO_NET_F_GUEST_ECN)},
	{"uso", FE_F_USO},
	{"mergeable", FE_BIT(VIRTIO_NET_F_MRG_RXBUF)},
	{"event-idx", FE_BIT(VIRTIO_RING_F_EVENT_IDX)},
	{"indirect", FE_BIT(VIRTIO_RING_F_INDIRECT_DESC)},
	{"version-1", FE_BIT(VIRTIO_F_VERSION_1)},
	{"protocol", FE_F_PROTOCOL},
	{"mq", FE_BIT(VIRTIO_NET_F_MQ)},
	{"mtu", FE_BIT(VIRTIO_NET_F_MTU)},
	{"status", FE_BIT(VIRTIO_NET_F_STATUS)},
	{"announce", FE_BIT(VIRTIO_NET_F_GUEST_ANNOUNCE)},
	{NULL, 0},
};
static const struct name protocol_names[] = {
	{"mq", FE_P_MQ},	   {"log", FE_P_LOG_SHMFD},	{"rarp", FE_P_RARP},
	{"ack", FE_P_REPLY_ACK},   {"mtu", FE_P_NET_MTU},	{"backend-req", FE_P_BACKEND_REQ},
	{"config", FE_P_CONFIG},   {"inflight", FE_P_INFLIGHT}, {"reset", FE_P_RESET_DEVICE},
	{"slots", FE_P_MEM_SLOTS}, {"status", FE_P_STATUS},	{NULL, 0},
};

static void die(const char *what, const char *word)
{
	fprintf(stderr, "vhost_peer: %s '%s'\n", what, word);
	exit(2);
}

static uint64_t bits_of(const struct name *names, char *list)
{
	uint64_t bits = 0;

	for (char *save, *w = strtok_r(list, ",", &save); w; w = strtok_r(NULL, ",", &save)) {
		const struct name *n = names;
		char *end;
		unsigned long bit = strtoul(w, &end, 0);

		while (n->name && strcmp(n->name, w))
			n++;
		if (!n->name && (*end || bit > 63))
			die("no feature is named", w);
		bits |= n->name ? n->bits : FE_BIT(bit);
	}
	return bits;
}

static void mac_of(const char *text, uint8_t mac[6])
{
	int n = 0;

	if (sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx%n", &mac[0], &mac[1], &mac[2], &mac[3],
		   &mac[4], &mac[5], &n) != 6 ||
	    text[n])
		die("not a MAC address:", text);
}

/* ---- options ---- */

enum { FLAG, NUMBER, BIT_ON, BIT_OFF, OTHER };
#define O(field) offsetof(struct peer_options, field)

enum {
	SOCKET = 256,
	ROLE,
	MAC,
	PEER_MAC,
	FEATURES_OFF,
	PROTOCOL_OFF,
	SECONDS,
	PEER_SOCKET,
	STEP,
	COUNT,
	RATE,
	START,
	HELP,
	TABLE
};

static const struct {
	const char *name;
	int kind;
	size_t at;     /* of a bool or an unsigned in struct peer_options */
	uint64_t bits; /* or features */
	int other;
} options[] = {
	{"socket", OTHER, .other = SOCKET},
	{"role", OTHER, .other = ROLE},
	{"mac", OTHER, .other = MAC},
	{"peer-mac", OTHER, .other = PEER_MAC},
	{"features-off", OTHER, .other = FEATURES_OFF},
	{"protocol-off", OTHER, .other = PROTOCOL_OFF},
	{"seconds", OTHER, .other = SECONDS},
	{"peer-socket", OTHER, .other = PEER_SOCKET},
	{"step", OTHER, .other = STEP},
	{"count", OTHER, .other = COUNT},
	{"rate", OTHER, .other = RATE},
	{"start", OTHER, .other = START},
	{"reconnect", FLAG, O(reconnect)},
	{"poll", FLAG, O(poll)},
	{"quit", FLAG, O(quit)},
	{"seal", FLAG, O(fe.seal)},
	{"log", FLAG, O(fe.log)},
	{"inflight", FLAG, O(fe.inflight)},
	{"no-kick-fd", FLAG, O(fe.no_kick)},
	{"no-call-fd", FLAG, O(fe.no_call)},
	{"no-indirect", BIT_OFF, .bits = FE_BIT(VIRTIO_RING_F_INDIRECT_DESC)},
	{"no-mergeable", BIT_OFF, .bits = FE_BIT(VIRTIO_NET_F_MRG_RXBUF)},
	{"no-event-idx", BIT_OFF, .bits = FE_BIT(VIRTIO_RING_F_EVENT_IDX)},
	{"legacy", BIT_OFF, .bits = FE_BIT(VIRTIO_F_VERSION_1)},
	{"packed", BIT_ON, .bits = FE_BIT(VIRTIO_F_RING_PACKED)},
	{"in-order", BIT_ON, .bits = FE_BIT(VIRTIO_F_IN_ORDER)},
	{"wait", NUMBER, O(wait_ms)},
	{"queues", NUMBER, O(fe.pairs)},
	{"size", NUMBER, O(fe.size)},
	{"regions", NUMBER, O(fe.regions)},
	{"rx-buf", NUMBER, O(fe.rx_buf)},
	{"rx-split", NUMBER, O(fe.rx_split)},
	{"tx-split", NUMBER, O(fe.tx_split)},
	{"len", NUMBER, O(len)},
	{"interval", NUMBER, O(interval_us)},
	{"flows", NUMBER, O(flows)},
	{"warmup", NUMBER, O(warmup)},
	{"idle", NUMBER, O(idle_ms)},
	{"mtu", OTHER, .other = TABLE},
	{"help", FLAG, .other = HELP},
};
#define NOPTIONS (sizeof(options) / sizeof(*options))

static unsigned long long number(const char *text)
{
	char *end;
	unsigned long long n = strtoull(text, &end, 0);

	if (end == text || *end)
		die("not a number:", text);
	return n;
}

static void set_other(struct peer_options *o, int what, char *arg)
{
	switch (what) {
	case SOCKET: o->fe.path = arg; break;
	case ROLE: o->fe.listen = strcmp(arg, "server") == 0; break;
	case MAC: mac_of(arg, o->mac), o->has_mac = true; break;
	case PEER_MAC: mac_of(arg, o->peer_mac); break;
	case FEATURES_OFF: o->fe.features &= ~bits_of(feature_names, arg); break;
	case PROTOCOL_OFF: o->fe.protocol &= ~bits_of(protocol_names, arg); break;
	case SECONDS: o->seconds = atof(arg); break;
	case PEER_SOCKET: o->peer_socket = arg; break;
	case STEP: o->step = arg; break;
	case COUNT: o->count = number(arg); break;
	case RATE: o->rate = number(arg); break;
	case START: o->start = number(arg); break;
	case TABLE: o->fe.mtu = (uint16_t)number(arg); break;
	}
}

static void set(struct peer_options *o, size_t i, char *arg)
{
	switch (options[i].kind) {
	case FLAG: *(bool *)((char *)o + options[i].at) = true; break;
	case NUMBER: *(unsigned *)((char *)o + options[i].at) = (unsigned)number(arg); break;
	case BIT_ON: o->fe.features |= options[i].bits; break;
	case BIT_OFF: o->fe.features &= ~options[i].bits; break;
	case OTHER: set_other(o, options[i].other, arg); break;
	}
}

static void parse(struct peer_options *o, int argc, char **argv)
{
	struct option longs[NOPTIONS + 1] = {0};
	int i, found = 0;

	for (size_t k = 0; k < NOPTIONS; k++)
		longs[k] = (struct option){options[k].name,
					   options[k].kind == NUMBER || options[k].kind == OTHER,
					   NULL, 0};
	while ((i = getopt_long(argc, argv, "h", longs, &found)) != -1) {
		if (i == '?')
			exit(2);
		if (i == 'h' || options[found].other == HELP)
			exit(usage(stdout));
		set(o, (size_t)found, optarg);
	}
	if (!o->fe.path)
		die("missing option", "--socket PATH");
	if (o->len < PEER_FRAME_MIN)
		o->len = PEER_FRAME_MIN;
}

static const struct peer_options defaults = {
	.mac = {2, 0, 0, 0, 0, 1},
	.peer_mac = {2, 0, 0, 0, 0, 2},
	.interval_us = 1000,
	.flows = 8,
	.warmup = 100,
	.wait_ms = 10000,
	.step = "rings",
	.fe = {.pairs = 1, .size = 256},
};

/* ---- running ---- */

int peer_up(struct peer *p, struct fe *fe, const struct fe_config *c)
{
	int err = fe_init(fe, c);

	fe->timeout_ms = p->o.wait_ms;
	err = err ? err : fe_up(fe);
	if (err)
		return err;
	p->connections++;
	p->began = fe_now_ns();
	p->ends = p->o.seconds > 0 ? p->began + (int64_t)(p->o.seconds * 1e9) : 0;
	return 0;
}

bool peer_done(const struct peer *p)
{
	return stopped || (p->ends && fe_now_ns() >= p->ends);
}

static void report(const struct peer *p, const char *mode, double seconds)
{
	unsigned long long sum[8] = {0};

	for (unsigned q = 0; q < p->fe.cfg.pairs; q++) {
		const struct fe_pair *x = &p->fe.pair[q];
		const uint64_t v[8] = {x->rx_frames, x->rx_bytes, x->tx_frames, x->tx_bytes,
				       x->rx.kicks,  x->tx.kicks, x->rx.calls,	x->tx.calls};

		for (int i = 0; i < 8; i++)
			sum[i] += v[i];
	}
	printf("{\"mode\": \"%s\", \"seconds\": %.3f, \"features\": \"0x%llx\", \"protocol\": "
	       "\"0x%llx\", "
	       "\"connections\": %llu, \"rx_frames\": %llu, \"rx_bytes\": %llu, \"tx_frames\": "
	       "%llu, "
	       "\"tx_bytes\": %llu, \"rx_kicks\": %llu, \"tx_kicks\": %llu, \"rx_calls\": %llu, "
	       "\"tx_calls\": %llu, "
	       "\"rx_gso\": %llu, \"tx_gso\": %llu, \"rx_csum\": %llu, \"dropped\": %llu%s}\n",
	       mode, seconds, (unsigned long long)p->fe.features,
	       (unsigned long long)p->fe.protocol, (unsigned long long)p->connections, sum[0],
	       sum[1], sum[2], sum[3], sum[4], sum[5], sum[6], sum[7],
	       (unsigned long long)p->rx_gso, (unsigned long long)p->tx_gso,
	       (unsigned long long)p->rx_csum, (unsigned long long)p->dropped, p->words);
}

static int run(struct peer *p, size_t mode)
{
	int err;

	p->fe.sock = p->fe.listener = p->fe.backend_req = p->fe.inflight_fd = p->fe.log_fd = -1;
	p->began = fe_now_ns();
	err = modes[mode].run(p);
	report(p, modes[mode].name, (double)(fe_now_ns() - p->began) * 1e-9);
	if (err == -ECONNRESET && !p->fe.error[0])
		snprintf(p->fe.error, sizeof(p->fe.error), "the switch hung up");
	if (err)
		fprintf(stderr, "vhost_peer: %s\n", p->fe.error[0] ? p->fe.error : strerror(-err));
	fe_fini(&p->fe);
	return err ? 1 : 0;
}

int main(int argc, char **argv)
{
	static struct peer p;
	size_t mode = 0, n = sizeof(modes) / sizeof(*modes);

	p.o = defaults;
	p.o.fe.features = fe_features_default();
	p.o.fe.protocol = FE_P_ALL;
	while (argc > 1 && mode < n && strcmp(modes[mode].name, argv[1]))
		mode++;
	if (argc < 2 || mode == n)
		return argc > 1 && strcmp(argv[1], "--help") == 0 ? usage(stdout)
								  : usage(stderr) + 1;
	parse(&p.o, argc - 1, argv + 1);
	if (modes[mode].run == peer_bridge) {
		p.o.tap = optind < argc - 1 ? argv[optind + 1] : NULL;
		if (!p.o.tap)
			die("bridge needs the name of a", "TAP");
	}
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	return run(&p, mode);
}
