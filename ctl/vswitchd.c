/* vswitchd: the daemon's start, its signals, its end. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "ctl/daemon.h"
#include "ctl/rpc.h"
#include "ctl/verbs.h"
#include "net/clock.h"
#include "net/log.h"
#include "switch/capture.h"
#include "tap/hoststate.h"

#define DEFAULT_CONFIG "/etc/vswitchd/vswitchd.yaml"

enum exit_code { EXIT_OK = 0, EXIT_ERROR = 1, EXIT_USAGE = 2, EXIT_CONFIG = 5 };

static const char usage[] =
	"usage: vswitchd [options]\n"
	"A virtual switch with NAT, DHCP and DNS for VMs; runs in the foreground.\n"
	"\n"
	"  -c, --config FILE   configuration (default " DEFAULT_CONFIG ";\n"
	"                      without one: a network 'lab' with NAT, DHCP and DNS)\n"
	"  -n, --check         check the configuration and exit (5 when it is refused)\n"
	"      --control PATH  control socket\n"
	"      --state DIR     leases and what was changed on the host\n"
	"      --cleanup       undo what a killed daemon left on the host, and exit\n"
	"      --test-clock    let `vswitchctl clock advance` move the time\n"
	"      --version, --help\n"
	"\n"
	"SIGHUP reloads the configuration, SIGTERM ends.  Attach a guest: vswitchctl attach lab\n";

struct options {
	const char *config, *control, *state;
	bool check, cleanup, test_clock;
};

static int parse_options(int argc, char **argv, struct options *o)
{
	enum { OPT_CONTROL = 256, OPT_STATE, OPT_CLEANUP, OPT_CLOCK, OPT_VERSION };
	static const struct option longs[] = {
		{"config", required_argument, NULL, 'c'},   {"check", no_argument, NULL, 'n'},
		{"control", required_argument, NULL, OPT_CONTROL},
		{"state", required_argument, NULL, OPT_STATE}, {"cleanup", no_argument, NULL, OPT_CLEANUP},
		{"test-clock", no_argument, NULL, OPT_CLOCK}, {"version", no_argument, NULL, OPT_VERSION},
		{"help", no_argument, NULL, 'h'}, {0}};
	int c;

	while ((c = getopt_long(argc, argv, "c:nh", longs, NULL)) != -1) {
		switch (c) {
		case 'c': o->config = optarg; break;
		case 'n': o->check = true; break;
		case OPT_CONTROL: o->control = optarg; break;
		case OPT_STATE: o->state = optarg; break;
		case OPT_CLEANUP: o->cleanup = true; break;
		case OPT_CLOCK: o->test_clock = true; break;
		case OPT_VERSION: puts("vswitchd " VSWITCH_VERSION); exit(EXIT_OK);
		case 'h': fputs(usage, stdout); exit(EXIT_OK);
		default: return -EINVAL;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "error: unexpected argument '%s'\n", argv[optind]);
		return -EINVAL;
	}
	return 0;
}

/* ---- telling systemd ---- */

/* sd_notify(3) without its library: one datagram to NOTIFY_SOCKET. */
static void notify(const char *text)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	size_t len = path ? strlen(path) : 0;

	if (!len || len >= sizeof(a.sun_path))
		return;
	memcpy(a.sun_path, path, len);
	if (a.sun_path[0] == '@')
		a.sun_path[0] = 0;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&a,
		   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0)
		log_warn("main", "NOTIFY_SOCKET: %s", strerror(errno));
	close(fd);
}

/* ---- configuration ---- */

/* Command-line paths go before the file's, at every reload. */
static struct config_defaults defaults_of(const struct options *o)
{
	struct config_defaults d = config_defaults();

	if (o->control)
		d.control_socket = o->control;
	if (o->state)
		d.state_dir = o->state;
	return d;
}

static int replace(char **field, const char *with)
{
	char *copy = with ? strdup(with) : NULL;

	if (!with)
		return 0;
	if (!copy)
		return -ENOMEM;
	free(*field);
	*field = copy;
	return 0;
}

static struct config *load(const struct options *o, const char *path, const struct config_defaults *d)
{
	struct config *c;

	if (!o->config && access(path, F_OK) < 0 && errno == ENOENT)
		c = config_builtin(d);
	else
		c = config_load(path, d, stderr);
	if (c && (replace(&c->control_socket, o->control) || replace(&c->state_dir, o->state))) {
		config_free(c);
		return NULL;
	}
	return c;
}

/* mkdir -p of what holds a path (or of the path itself), 0755. */
static int make_dirs(const char *path, bool whole)
{
	char *p = strdup(path);

	if (!p)
		return -ENOMEM;
	for (char *s = p + 1; *s; s++) {
		if (*s != '/')
			continue;
		*s = 0;
		mkdir(p, 0755);
		*s = '/';
	}
	int r = whole && mkdir(p, 0755) && errno != EEXIST ? -errno : 0;
	free(p);
	return r;
}

/* Two daemons must not write one lease journal.  Held until the process ends. */
static int lock_state(const char *dir)
{
	char path[4096];

	if (snprintf(path, sizeof(path), "%s/lock", dir) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return 0; /* unwritable: the lease store says so itself */
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	close(fd);
	log_error("main", "%s is in use by another vswitchd", dir);
	return -EBUSY;
}

/* ---- signals ---- */

static void on_end(void *arg, int signo)
{
	struct daemon *d = arg;

	(void)signo;
	loop_stop(d->loop);
}

static void on_hup(void *arg, int signo)
{
	struct daemon *d = arg;

	(void)signo;
	notify("RELOADING=1");
	int r = daemon_reload(d, stderr, stderr);
	if (r == -EINVAL)
		log_error("config", "reload refused: the running configuration goes on");
	else
		log_notice("config", "reloaded%s", r ? ", but not wholly applied" : "");
	notify("READY=1");
}

/* ---- life ---- */

static int open_control(struct daemon *d, struct verbs **ret_verbs)
{
	struct verbs *v = verbs_new(d);
	char error[512] = "";

	if (!v)
		return -ENOMEM;
	*ret_verbs = v;
	make_dirs(d->running->control_socket, false);
	d->rpc = rpc_new(d->loop, d->running->control_socket, d->running->control_group,
			 verbs_table(v), error, sizeof(error));
	if (!d->rpc)
		log_error("control", "%s", error);
	else if (error[0])
		log_warn("control", "%s", error);
	return d->rpc ? 0 : -EADDRINUSE;
}

static int serve(struct daemon *d)
{
	struct loop_signal *sig[] = {
		loop_signal_new(d->loop, SIGTERM, on_end, d),
		loop_signal_new(d->loop, SIGINT, on_end, d),
		loop_signal_new(d->loop, SIGHUP, on_hup, d),
	};
	notify("READY=1"); /* a SIGTERM from here on finds its handler */
	int r = loop_run(d->loop);

	notify("STOPPING=1");
	for (size_t i = 0; i < ARRAY_SIZE(sig); i++)
		loop_signal_free(sig[i]);
	return r;
}

/* Everything from the open control socket on; `first` becomes the running config. */
static int run(struct daemon *d, struct config *first)
{
	struct verbs *verbs = NULL;
	int r = open_control(d, &verbs); /* first: it also keeps a second daemon out */

	if (!r && (r = make_dirs(d->running->state_dir, true)))
		log_warn("main", "%s: %s", d->running->state_dir, strerror(-r)), r = 0;
	if (!r)
		r = lock_state(d->running->state_dir);
	if (!r)
		r = services_open(d);
	if (!r)
		r = sw_start(d->sw);
	if (!r) {
		if (daemon_apply(d, first, stderr))
			log_warn("config", "not all of the configuration could be applied");
		first = NULL;
		log_info("main", "ready: %zu networks, %zu ports, control %s", d->running->n_networks,
			 d->running->n_ports, d->running->control_socket);
		r = serve(d);
	}
	config_free(first);
	rpc_free(d->rpc);
	d->rpc = NULL; /* events of the end have no listener */
	daemon_clear(d);
	sw_stop(d->sw);
	services_close(d);
	verbs_free(verbs);
	return r;
}

static int cleanup(const char *state_dir)
{
	struct hoststate *hs;
	int r = hoststate_open(state_dir, &hs);

	if (r == -EBUSY)
		fprintf(stderr, "error: %s is in use by a running daemon\n", state_dir);
	else if (r)
		fprintf(stderr, "error: %s: %s\n", state_dir, strerror(-r));
	if (r)
		return EXIT_ERROR;
	r = hoststate_restore_all(hs, stderr);
	hoststate_close(hs);
	return r ? EXIT_ERROR : EXIT_OK;
}

/* The configuration that stands while the first one is not applied yet: its paths and
 * limits, and no objects, so that the first apply is an apply like any other. */
static struct config *empty_config(const struct config *c)
{
	struct config *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	if (replace(&e->path, c->path) || replace(&e->control_socket, c->control_socket) ||
	    replace(&e->control_group, c->control_group) || replace(&e->state_dir, c->state_dir)) {
		config_free(e);
		return NULL;
	}
	e->workers = c->workers;
	e->max_macs = c->max_macs;
	e->max_sessions = c->max_sessions;
	return e;
}

static int start(struct daemon *d, const struct options *o, struct config *first)
{
	struct sw_config swc = {.workers = first->workers,
				.max_macs = first->max_macs,
				.max_ports = first->max_ports};
	int r = -ENOMEM;

	d->running = empty_config(first);
	d->loaded = load(o, d->config_path, &d->defaults);
	d->loop = loop_new();
	if (d->running && d->loaded && d->loop)
		d->sw = sw_new(d->loop, &swc);
	if (d->sw)
		r = run(d, first);
	else
		config_free(first);
	if (r)
		log_error("main", "%s", strerror(-r));
	sw_free(d->sw);
	loop_free(d->loop);
	config_free(d->running);
	config_free(d->loaded);
	return r ? EXIT_ERROR : EXIT_OK;
}

/* Every guest flow through the `host` uplink is a socket. */
static void raise_fd_limit(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) {
		l.rlim_cur = l.rlim_max;
		setrlimit(RLIMIT_NOFILE, &l);
	}
}

int main(int argc, char **argv)
{
	struct options o = {0};
	struct daemon d = {.started = clock_now()};

	if (parse_options(argc, argv, &o)) {
		fprintf(stderr, "try 'vswitchd --help'\n");
		return EXIT_USAGE;
	}
	signal(SIGPIPE, SIG_IGN); /* libslirp writes to sockets that peers close */
	raise_fd_limit();
	log_set_name("vswitchd: ");
	d.defaults = defaults_of(&o);
	d.config_path = o.config ? o.config : DEFAULT_CONFIG;
	d.test_clock = o.test_clock;
	struct config *c = load(&o, d.config_path, &d.defaults);
	if (!c)
		return EXIT_CONFIG;
	if (o.check || o.cleanup) {
		int r = o.cleanup ? cleanup(c->state_dir) : EXIT_OK;
		config_free(c);
		return r;
	}
	return start(&d, &o, c);
}
