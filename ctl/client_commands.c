/* The tables of client_commands.h: what can be typed. */
#include "ctl/client_commands.h"

#include "net/types.h"

const struct option_def option_defs[OPTIONS] = {
	[OPT_JSON] = {"json", 'j', VALUE_NONE, NULL, NULL, "print JSON for scripts"},
	[OPT_WATCH] = {"watch", 0, VALUE_OPTIONAL_NUMBER, "SEC", NULL,
		       "repeat every SEC seconds (2)"},
	[OPT_CONTROL] = {"control", 0, VALUE_REQUIRED, "PATH", NULL,
			 "the daemon's socket (or $VSWITCH_CONTROL)"},
	[OPT_HELP] = {"help", 'h', VALUE_NONE, NULL, NULL, "print help"},
	[OPT_VERSION] = {"version", 'V', VALUE_NONE, NULL, NULL, "print the version of vswitchctl"},
	[OPT_HELP_MARKDOWN] = {"help-markdown", 0, VALUE_NONE, NULL, NULL, NULL},
	[OPT_HELP_CONFIG] = {"help-config", 0, VALUE_NONE, NULL, NULL, NULL},
	[OPT_NAMES] = {"names", 0, VALUE_NONE, NULL, NULL, NULL},
	[OPT_MAY_EXIST] = {"may-exist", 0, VALUE_NONE, NULL, "may_exist",
			   "no error if it is there"},
	[OPT_IF_EXISTS] = {"if-exists", 0, VALUE_NONE, NULL, "if_exists",
			   "no error if it is not there"},
	[OPT_KILL] = {"kill", 0, VALUE_NONE, NULL, "kill", "end its established sessions too"},
	[OPT_DROPS] = {"drops", 0, VALUE_NONE, NULL, NULL, "only what was lost, and why"},
	[OPT_PORT] = {"port", 0, VALUE_REQUIRED, "PORT", "port", "what was learned on this port"},
	[OPT_FOR] = {"for", 0, VALUE_REQUIRED,
		     "qemu|libvirt|virtualbox|lxc|docker|xen|proxmox|firecracker|cloud-hypervisor",
		     NULL, "text for this hypervisor (qemu)"},
	[OPT_NAME] = {"name", 0, VALUE_REQUIRED, "NAME", NULL,
		      "a port of the guest's own, added if it is not there"},
	[OPT_TYPE] = {"type", 0, VALUE_REQUIRED, "dgram|stream|tap|udp|vhost-user", NULL,
		      "how the guest attaches"},
	[OPT_MAC] = {"mac", 0, VALUE_REQUIRED, "MAC", NULL, "the guest's address (random)"},
	[OPT_FILTER] = {"filter", 'f', VALUE_REQUIRED, "FILTER", NULL,
			"libpcap filter, as tcpdump's"},
	[OPT_WRITE] = {"write", 'w', VALUE_REQUIRED, "FILE", NULL,
		       "write pcap-ng to FILE, - is stdout"},
	[OPT_COUNT_] = {"count", 'c', VALUE_NUMBER, "N", NULL, "end after N packets"},
	[OPT_SECONDS] = {"seconds", 0, VALUE_NUMBER, "N", NULL, "end after N seconds"},
	[OPT_SNAPLEN] = {"snaplen", 's', VALUE_NUMBER, "N", NULL, "bytes kept of a packet (65536)"},
	[OPT_DIRECTION] = {"direction", 'Q', VALUE_REQUIRED, "in|out|both", NULL,
			   "from or to the port (a port: both; else in)"},
};

#define MAY OPT_BIT(OPT_MAY_EXIST)
#define IF OPT_BIT(OPT_IF_EXISTS)
#define ATTACH (OPT_BIT(OPT_FOR) | OPT_BIT(OPT_NAME) | OPT_BIT(OPT_TYPE) | OPT_BIT(OPT_MAC))
#define CAPTURE                                                                                    \
	(OPT_BIT(OPT_FILTER) | OPT_BIT(OPT_WRITE) | OPT_BIT(OPT_COUNT_) | OPT_BIT(OPT_SECONDS) |   \
	 OPT_BIT(OPT_SNAPLEN) | OPT_BIT(OPT_DIRECTION) | OPT_BIT(OPT_DROPS))

/* A noun's first row is its default verb. */
const struct command commands[] = {
	{"show", NULL, "", "show", 0, render_show, .help = "networks, ports and forwards on one screen"},
	{"status", NULL, "", "status", 0, render_status, .help = "version, uptime and totals"},
	{"version", NULL, "", "version", 0, render_version, .help = "the daemon's version"},
	{"doctor", NULL, "", "doctor", 0, render_doctor, .help = "what is wrong, here and on the host"},

	{"net", "list", "", "net.list", 0, render_net_list, .help = "all networks"},
	{"net", "show", "NAME", "net.show", 0, render_net_show, .help = "everything about a network"},
	{"net", "add", "NAME KEY VALUE...", "net.add", MAY, .help = "add a network; keys as in the config"},
	{"net", "set", "NAME KEY VALUE...", "net.set", 0, .help = "change keys of a network"},
	{"net", "del", "NAME", "net.del", IF, .help = "remove a network"},

	{"port", "list", "", "port.list", 0, render_port_list, .help = "all ports and guests"},
	{"port", "show", "NAME", "port.show", 0, render_port_show, .help = "everything about a port"},
	{"port", "add", "NAME KEY VALUE...", "port.add", MAY, .help = "add a port; keys as in the config"},
	{"port", "set", "NAME KEY VALUE...", "port.set", 0, .help = "change keys of a port"},
	{"port", "del", "NAME", "port.del", IF, .help = "remove a port"},
	{"port", "up", "NAME", "port.up", 0, .help = "let it pass frames"},
	{"port", "down", "NAME", "port.down", 0, .help = "let it pass none"},

	{"attach", NULL, "NET", "attach", ATTACH, .run = client_run_attach,
	 .help = "the exact text to start a guest on a network"},

	{"mac", "list", "[NET]", "mac.list", 0, render_mac_list, .help = "which address is where"},
	{"mac", "add", "NET MAC PORT", "mac.add", 0, .help = "fix an address to a port, until a flush"},
	{"mac", "del", "NET MAC", "mac.del", IF, .help = "forget an address"},
	{"mac", "flush", "[NET]", "mac.flush", OPT_BIT(OPT_PORT), .help = "forget what was learned"},

	{"uplink", "list", "", "uplink.list", 0, render_uplink_list, .help = "where traffic leaves, and which are up"},
	{"uplink", "show", "NAME", "uplink.show", 0, render_uplink_show, .help = "everything about an uplink"},

	{"vlan", "list", "", "vlan.list", 0, render_vlan_list, .help = "VLANs and their ports"},

	{"lease", "list", "[NET]", "lease.list", 0, render_lease_list, .help = "who has which address"},
	{"lease", "reserve", "NET MAC ADDRESS [HOSTNAME]", "lease.reserve", MAY,
	 .help = "keep an address for a guest"},
	{"lease", "unreserve", "NET MAC", "lease.unreserve", IF, .help = "keep it no longer"},
	{"lease", "release", "NET ADDRESS", "lease.release", IF, .help = "end a lease now"},

	{"dns", "list", "[NET]", "dns.list", 0, render_dns_list, .help = "names the switch answers for"},

	{"forward", "list", "[NET]", "forward.list", 0, render_forward_list,
	 .help = "outside ports that lead to guests, configured or opened by them"},
	{"forward", "add", "NET PROTO LISTEN TO [PORT]", "forward.add", MAY,
	 .help = "e.g. forward add lab tcp 127.0.0.1:2222 10.10.10.10:22"},
	{"forward", "del", "NET PROTO LISTEN", "forward.del", IF | OPT_BIT(OPT_KILL),
	 .help = "end a forward; what is established goes on"},

	{"nat", "list", "[NET]", "nat.list", 0, render_nat_list, .help = "translated sessions"},
	{"nat", "flush", "[NET]", "nat.flush", 0, render_ended, .help = "end all sessions"},
	{"nat", "kill", "NET PROTO INSIDE [REMOTE]", "nat.kill", 0, render_ended,
	 .help = "end the sessions of ADDRESS or ADDRESS:PORT"},

	{"counters", NULL, "[PORT]", "counters", OPT_BIT(OPT_DROPS), render_counters,
	 .help = "every packet's fate, by port and reason"},
	{"capture", NULL, "[TARGET]", "capture", CAPTURE, .run = client_run_capture,
	 .help = "watch the packets of a network or port"},
	{"clock", "advance", "SECONDS", "clock.advance", 0,
	 .help = "move the clock of a daemon started with --test-clock"},

	{"config", "show", "", "config.show", 0, render_config_show, .help = "the running configuration"},
	{"config", "check", "[FILE]", NULL, 0, .run = client_run_config_check, .local = true,
	 .help = "check a file, without a daemon"},
	{"config", "diff", "", "config.diff", 0, render_config_diff,
	 .help = "what `config apply` would change"},
	{"config", "apply", "", "config.apply", 0, render_config_apply, .help = "make the file run"},
	{"config", "save", "", "config.save", 0, render_config_save, .help = "make what runs the file"},

	{"events", NULL, "", "events", 0, .run = client_run_events, .help = "tell what happens, as it does"},
	{"completion", NULL, "SHELL", NULL, 0, .run = client_run_completion, .local = true,
	 .help = "a completion script for bash, zsh or fish"},
};
const size_t n_commands = ARRAY_SIZE(commands);
