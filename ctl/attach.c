/* `vswitchctl attach`: has the daemon find or make the port, and prints how to use it. */
#include "ctl/attach.h"

#include <errno.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "ctl/client_commands.h"
#include "net/addr.h"

static const char *field(const struct attach_text *a, const char *key)
{
	const char *s = json_string_value(json_object_get(a->port, key));
	return s ? s : "";
}

static int queues_of(const struct attach_text *a)
{
	int n = (int)json_integer_value(json_object_get(a->port, "queues"));
	return n > 1 ? n : 1;
}

static bool we_dial(const struct attach_text *a)
{
	return strcmp(field(a, "role"), "client") == 0;
}

/* ---- QEMU: two options for its command line ---- */

static void qemu_device(FILE *out, const struct attach_text *a)
{
	fprintf(out, " -device virtio-net-pci,netdev=n0,mac=%s\n", a->mac);
}

static void qemu_dgram(FILE *out, const struct attach_text *a)
{
	fprintf(out,
		"-netdev dgram,id=n0,local.type=unix,local.path=%s,"
		"remote.type=unix,remote.path=%s",
		a->local, field(a, "socket"));
	qemu_device(out, a);
}

static void qemu_stream(FILE *out, const struct attach_text *a)
{
	bool dials = *field(a, "connect");
	fprintf(out, "-netdev stream,id=n0,server=%s,addr.type=unix,addr.path=%s", dials ? "on" : "off",
		field(a, dials ? "connect" : "listen"));
	qemu_device(out, a);
}

/* Our peer's address is the guest's local one. */
static void qemu_udp(FILE *out, const struct attach_text *a)
{
	char local[128], remote[128];
	snprintf(local, sizeof(local), "%s", field(a, "peer"));
	snprintf(remote, sizeof(remote), "%s", field(a, "listen"));
	char *lport = strrchr(local, ':'), *rport = strrchr(remote, ':');
	if (!lport || !rport)
		return;
	*lport++ = *rport++ = 0;
	fprintf(out,
		"-netdev dgram,id=n0,local.type=inet,local.host=%s,local.port=%s,"
		"remote.type=inet,remote.host=%s,remote.port=%s",
		local, lport, remote, rport);
	qemu_device(out, a);
}

static void qemu_tap(FILE *out, const struct attach_text *a)
{
	fprintf(out, "-netdev tap,id=n0,ifname=%s,script=no,downscript=no", field(a, "interface"));
	qemu_device(out, a);
}

/* The guest's memory must be shared with us, which takes a backend of its own; its size is
 * said twice. */
static void qemu_vhost_user(FILE *out, const struct attach_text *a)
{
	int queues = queues_of(a);
	fprintf(out,
		"-m 1G -object memory-backend-memfd,id=mem,size=1G,share=on -numa node,memdev=mem "
		"-chardev socket,id=c0,path=%s,%s -netdev vhost-user,id=n0,chardev=c0",
		field(a, "socket"), we_dial(a) ? "server=on,wait=off" : "reconnect=1");
	if (queues > 1)
		fprintf(out, ",queues=%d", queues);
	fprintf(out, " -device virtio-net-pci,netdev=n0,mac=%s", a->mac);
	if (queues > 1) /* an interrupt for each ring, one for the configuration, one for control */
		fprintf(out, ",mq=on,vectors=%d", 2 * queues + 2);
	fputc('\n', out);
}

/* ---- libvirt: an element for the domain's <devices> ---- */

/* A name libvirt does not take for one of its own (vnet0), which it would replace. */
static void libvirt_tap(FILE *out, const struct attach_text *a)
{
	fprintf(out,
		"<interface type='ethernet'>\n"
		"  <mac address='%s'/>\n"
		"  <target dev='%s'/>\n"
		"  <model type='virtio'/>\n"
		"</interface>\n",
		a->mac, field(a, "interface"));
}

static void libvirt_udp(FILE *out, const struct attach_text *a)
{
	char local[128], remote[128];
	snprintf(local, sizeof(local), "%s", field(a, "peer"));
	snprintf(remote, sizeof(remote), "%s", field(a, "listen"));
	char *lport = strrchr(local, ':'), *rport = strrchr(remote, ':');
	if (!lport || !rport)
		return;
	*lport++ = *rport++ = 0;
	fprintf(out,
		"<interface type='udp'>\n"
		"  <mac address='%s'/>\n"
		"  <source address='%s' port='%s'>\n"
		"    <local address='%s' port='%s'/>\n"
		"  </source>\n"
		"  <model type='virtio'/>\n"
		"</interface>\n",
		a->mac, remote, rport, local, lport);
}

/* The mode is the guest's side. */
static void libvirt_vhost_user(FILE *out, const struct attach_text *a)
{
	int queues = queues_of(a);
	fprintf(out,
		"<!-- in <domain>: -->\n"
		"<memoryBacking>\n"
		"  <source type='memfd'/>\n"
		"  <access mode='shared'/>\n"
		"</memoryBacking>\n"
		"<!-- in <devices>: -->\n"
		"<interface type='vhostuser'>\n"
		"  <mac address='%s'/>\n",
		a->mac);
	if (we_dial(a))
		fprintf(out, "  <source type='unix' path='%s' mode='server'/>\n", field(a, "socket"));
	else
		fprintf(out,
			"  <source type='unix' path='%s' mode='client'>\n"
			"    <reconnect enabled='yes' timeout='1'/>\n"
			"  </source>\n",
			field(a, "socket"));
	fprintf(out, "  <model type='virtio'/>\n");
	if (queues > 1)
		fprintf(out, "  <driver queues='%d'/>\n", queues);
	fprintf(out, "</interface>\n");
}

/* ---- cloud-hypervisor: options for its command line ---- */

/* Not run against the program, which is not in Debian, but checked against the syntax that its help
 * prints for `--net` and `--memory`: the memory must be shared, `vhost_mode` is its own side, and
 * `num_queues` counts rings, two for each pair (it wants a processor of the guest's for each). */

static void cloud_vhost_user(FILE *out, const struct attach_text *a)
{
	fprintf(out,
		"--memory size=1G,shared=on "
		"--net vhost_user=true,socket=%s,vhost_mode=%s,num_queues=%d,mac=%s\n",
		field(a, "socket"), we_dial(a) ? "server" : "client", 2 * queues_of(a), a->mac);
}

/* ---- the other hypervisors and containers ---- */

/* VirtualBox's UDPTunnel driver: a frame in each datagram, as QEMU's dgram.  The old spelling of
 * the options is the one that 6.1 and 7 both take; checked against the manuals only, as it is not
 * in Debian. */
static void virtualbox_udp(FILE *out, const struct attach_text *a)
{
	char host[128];
	const char *lport = strrchr(field(a, "peer"), ':'),
		   *rport = strrchr(field(a, "listen"), ':');
	snprintf(host, sizeof(host), "%s", field(a, "listen"));
	if (!lport || !rport)
		return;
	*strrchr(host, ':') = 0;
	fprintf(out,
		"VBoxManage modifyvm %s --nic1 generic --nictype1 virtio --nicgenericdrv1 "
		"UDPTunnel "
		"--nicproperty1 dest=%s --nicproperty1 sport=%s --nicproperty1 dport=%s "
		"--macaddress1 %.2s%.2s%.2s%.2s%.2s%.2s\n",
		field(a, "port"), host, lport + 1, rport + 1, a->mac, a->mac + 3, a->mac + 6,
		a->mac + 9, a->mac + 12, a->mac + 15);
}

/* Without a link the host's end of the pair joins nothing, and we take it by its name. */
static void lxc_veth(FILE *out, const struct attach_text *a)
{
	fprintf(out,
		"lxc.net.0.type = veth\n"
		"lxc.net.0.veth.pair = %s\n"
		"lxc.net.0.name = eth0\n"
		"lxc.net.0.hwaddr = %s\n"
		"lxc.net.0.flags = up\n",
		field(a, "interface"), a->mac);
}

/* For podman the word docker is all that differs. */
static void docker_veth(FILE *out, const struct attach_text *a)
{
	const char *name = field(a, "port"), *ifname = field(a, "interface");
	fprintf(out,
		"docker run -d --name %s --network none IMAGE [COMMAND]\n"
		"pid=$(docker inspect -f '{{.State.Pid}}' %s)\n"
		"ip link add %s type veth peer name eth0 address %s netns $pid\n"
		"ip link set %s up\n"
		"nsenter -t $pid -n ip link set eth0 up\n"
		"docker exec --privileged %s udhcpc -i eth0   # the image's own DHCP client\n",
		name, name, ifname, a->mac, ifname, name);
}

/* The stock vif scripts join a bridge or turn on ip_forward; this one only brings the interface up.
 */
static void xen_vif(FILE *out, const struct attach_text *a)
{
	fprintf(out,
		"# once, on the host:\n"
		"cat >/etc/xen/scripts/vif-vswitch <<'EOF'\n"
		"#!/bin/bash\n"
		". \"$(dirname \"$0\")/vif-common.sh\"\n"
		"case $command in\n"
		"online | add) ip link set dev \"$dev\" up ;;\n"
		"esac\n"
		"if [ \"$type_if\" = vif ] && [ \"$command\" = online ]; then success; fi\n"
		"EOF\n"
		"chmod 755 /etc/xen/scripts/vif-vswitch\n"
		"# in the guest's configuration:\n"
		"vif = [ 'mac=%s,script=vif-vswitch,vifname=%s' ]\n",
		a->mac, field(a, "interface"));
}

/* Past Proxmox' own netN, which want a bridge; VMID is the guest's number. */
static void proxmox_tap(FILE *out, const struct attach_text *a)
{
	fprintf(out,
		"qm set VMID --args '-netdev tap,id=vsw0,ifname=%s,script=no,downscript=no "
		"-device virtio-net-pci,netdev=vsw0,mac=%s'\n",
		field(a, "interface"), a->mac);
}

/* Firecracker opens a TAP that is there, and keeps it. */
static void firecracker_tap(FILE *out, const struct attach_text *a)
{
	const char *ifname = field(a, "interface");
	fprintf(out,
		"# on the host, before it starts:\n"
		"ip tuntap add dev %s mode tap vnet_hdr\n"
		"ip link set %s up\n"
		"# in its configuration file:\n"
		"\"network-interfaces\": [\n"
		"  { \"iface_id\": \"eth0\", \"guest_mac\": \"%s\", \"host_dev_name\": \"%s\" }\n"
		"]\n",
		ifname, ifname, a->mac, ifname);
}

/* ---- the table ---- */

static const struct {
	const char *hypervisor, *type; /* the port's type, as in the config */
	void (*print)(FILE *out, const struct attach_text *a);
} writers[] = {
	{"qemu", "dgram", qemu_dgram},
	{"qemu", "stream", qemu_stream},
	{"qemu", "udp", qemu_udp},
	{"qemu", "netdev", qemu_tap},
	{"libvirt", "netdev", libvirt_tap},
	{"libvirt", "udp", libvirt_udp},
	{"qemu", "vhost-user", qemu_vhost_user},
	{"libvirt", "vhost-user", libvirt_vhost_user},
	{"cloud-hypervisor", "vhost-user", cloud_vhost_user},
	{"virtualbox", "udp", virtualbox_udp},
	{"lxc", "netdev", lxc_veth},
	{"docker", "netdev", docker_veth},
	{"xen", "netdev", xen_vif},
	{"proxmox", "netdev", proxmox_tap},
	{"firecracker", "netdev", firecracker_tap},
};

/* What each attaches by: the first is the default; a port of type netdev is asked for as "tap". */
static const struct hypervisor {
	const char *name, *types[6], *why;
} hypervisors[] = {
	{"qemu",
	 {"dgram", "stream", "tap", "udp", "vhost-user"},
	 "QEMU attaches by --type dgram, stream, tap, udp or vhost-user"},
	{"libvirt",
	 {"tap", "udp", "vhost-user"},
	 "libvirt 9.0 attaches by --type tap, udp or vhost-user"},
	{"cloud-hypervisor", {"vhost-user"}, "cloud-hypervisor attaches by --type vhost-user"},
	{"virtualbox", {"udp"}, "VirtualBox attaches by --type udp"},
	{"lxc", {"tap"}, "LXC attaches by --type tap"},
	{"docker", {"tap"}, "Docker attaches by --type tap"},
	{"xen", {"tap"}, "Xen attaches by --type tap"},
	{"proxmox", {"tap"}, "Proxmox attaches by --type tap"},
	{"firecracker", {"tap"}, "Firecracker attaches by --type tap"},
};

static const struct hypervisor *hypervisor_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(hypervisors); i++)
		if (strcmp(hypervisors[i].name, name) == 0)
			return &hypervisors[i];
	return NULL;
}

static bool attaches_by(const struct hypervisor *h, const char *type)
{
	for (size_t i = 0; h->types[i]; i++)
		if (strcmp(h->types[i], type) == 0)
			return true;
	return false;
}

const char *attach_default_type(const char *hypervisor)
{
	const struct hypervisor *h = hypervisor_find(hypervisor);
	return h ? h->types[0] : "dgram";
}

int attach_print(FILE *out, const char *hypervisor, const struct attach_text *a, const char **why)
{
	for (size_t i = 0; i < ARRAY_SIZE(writers); i++) {
		if (strcmp(writers[i].hypervisor, hypervisor) == 0 &&
		    strcmp(writers[i].type, field(a, "type")) == 0) {
			writers[i].print(out, a);
			return 0;
		}
	}
	const struct hypervisor *h = hypervisor_find(hypervisor);
	*why = h ? h->why : "no such hypervisor";
	return -ENOTSUP;
}

/* ---- the command ---- */

#define HYPERVISORS                                                                                \
	"qemu, libvirt, virtualbox, lxc, docker, xen, proxmox, firecracker or cloud-hypervisor"

/* Locally administered and unicast; 52:54:00 is what QEMU's users expect to see. */
static void random_mac(char buf[MAC_STRLEN])
{
	struct mac m = {{0x52, 0x54, 0x00}};
	if (getrandom(m.b + 3, 3, 0) != 3)
		m.b[5] = (uint8_t)getpid();
	mac_format(m, buf);
}

/* Where QEMU, run by this user, can bind a socket of its own; its name is the guest's in
 * `port list`. */
static void local_path(const struct request *q, const char *socket, const char *mac, char *buf, size_t len)
{
	char copy[256], name[64];
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	snprintf(copy, sizeof(copy), "%s", socket);
	const char *dir = dirname(copy);
	if (access(dir, W_OK) < 0)
		dir = runtime && *runtime ? runtime : "/tmp";
	if (q->value[OPT_NAME])
		snprintf(name, sizeof(name), "%s", q->value[OPT_NAME]);
	else
		snprintf(name, sizeof(name), "vm-%.2s%.2s%.2s", mac + 9, mac + 12, mac + 15);
	snprintf(buf, len, "%s/%s.vm", dir, name);
}

static int check_arguments(const struct request *q, const char *hypervisor, struct client_error *e)
{
	const struct hypervisor *h = hypervisor_find(hypervisor);
	const char *type = q->value[OPT_TYPE];
	struct mac mac;
	e->exit = CLIENT_USAGE;
	if (!h)
		snprintf(e->text, sizeof(e->text), "no text for '%s': " HYPERVISORS, hypervisor);
	else if (q->value[OPT_MAC] && (mac_parse(q->value[OPT_MAC], &mac) || mac.b[0] & 1))
		snprintf(e->text, sizeof(e->text), "'%s' is not a MAC address for a guest", q->value[OPT_MAC]);
	else if (type && h != &hypervisors[0] && !attaches_by(h, type)) /* QEMU: the daemon tells */
		snprintf(e->text, sizeof(e->text), "%s", h->why);
	else
		e->exit = CLIENT_OK;
	return (int)e->exit;
}

static json_t *ask(const struct request *q, struct client *c, const char *hypervisor,
		   struct client_error *e)
{
	json_t *params = json_copy(q->params);
	const char *type = q->value[OPT_TYPE];
	if (!type && !q->value[OPT_NAME])
		type = attach_default_type(hypervisor);
	if (type)
		json_object_set_new(params, "type", json_string(type));
	if (q->value[OPT_NAME])
		json_object_set_new(params, "name", json_string(q->value[OPT_NAME]));
	return client_call(c, "attach", params, e);
}

static int print_answer(const struct request *q, json_t *port, const char *hypervisor,
			struct client_error *e)
{
	char mac[MAC_STRLEN], local[512];
	const char *fixed = json_string_value(json_object_get(port, "mac")), *why = "";
	struct attach_text a = {.mac = mac, .local = local, .port = port};
	random_mac(mac);
	if (fixed || q->value[OPT_MAC])
		snprintf(mac, sizeof(mac), "%s", q->value[OPT_MAC] ? q->value[OPT_MAC] : fixed);
	local_path(q, field(&a, "socket"), mac, local, sizeof(local));
	if (q->given[OPT_JSON]) {
		json_object_set_new(port, "mac", json_string(mac));
		json_object_set_new(port, "local", json_string(local));
		json_dumpf(port, stdout, JSON_INDENT(2));
		putchar('\n');
		return CLIENT_OK;
	}
	if (json_is_true(json_object_get(port, "added")))
		fprintf(stderr, "added port '%s' (%s) to network '%s'; `vswitchctl config save` keeps it\n",
			field(&a, "port"), field(&a, "type"), field(&a, "network"));
	if (attach_print(stdout, hypervisor, &a, &why) == 0)
		return CLIENT_OK;
	e->exit = CLIENT_ERROR;
	snprintf(e->text, sizeof(e->text), "port '%s' is of type %s: %s", field(&a, "port"),
		 field(&a, "type"), why);
	return CLIENT_ERROR;
}

int client_run_attach(const struct request *q, struct client *c, struct client_error *e)
{
	const char *hypervisor = q->value[OPT_FOR] ? q->value[OPT_FOR] : "qemu";
	if (check_arguments(q, hypervisor, e))
		return (int)e->exit;
	json_t *port = ask(q, c, hypervisor, e);
	if (!port)
		return (int)e->exit;
	int r = print_answer(q, port, hypervisor, e);
	json_decref(port);
	return r;
}
