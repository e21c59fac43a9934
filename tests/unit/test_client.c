/* What vswitchctl makes of a command line, and of a daemon that answers oddly or not. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "ctl/attach.h"
#include "ctl/client_commands.h"
#include "net/types.h"

/* ---- command lines ---- */

static int parse(const char *line, struct request *q, struct client_error *e)
{
	static char copy[512];
	char *argv[32], *rest = copy;
	int argc = 0;
	snprintf(copy, sizeof(copy), "%s", line);
	for (char *word; (word = strsep(&rest, " "));)
		if (*word)
			argv[argc++] = word;
	argv[argc] = NULL;
	*e = (struct client_error){0};
	return request_parse(argc, argv, q, e);
}

/* The line asks `method` with these parameters. */
static void expect(const char *line, const char *method, const char *params)
{
	struct request q;
	struct client_error e;
	if (parse(line, &q, &e))
		fail_msg("%s: %s", line, e.text);
	assert_string_equal(q.command->method, method);
	json_t *wanted = json_loads(params, 0, NULL);
	assert_non_null(wanted);
	if (!json_equal(q.params, wanted))
		fail_msg("%s: %s", line, json_dumps(q.params, 0));
	json_decref(wanted);
	request_fini(&q);
}

static void refuse(const char *line, const char *words)
{
	struct request q;
	struct client_error e;
	assert_int_equal(parse(line, &q, &e), CLIENT_USAGE);
	assert_int_equal(e.exit, CLIENT_USAGE);
	if (!strstr(e.text, words))
		fail_msg("%s: '%s' is not in: %s", line, words, e.text);
	request_fini(&q);
}

static void test_grammar(void **state)
{
	expect("", "show", "{}");
	expect("show", "show", "{}");
	expect("port", "port.list", "{}");
	expect("port ls", "port.list", "{}");
	expect("port rm web1", "port.del", "{\"name\":\"web1\"}");
	expect("--json port list", "port.list", "{}");
	expect("port --json list", "port.list", "{}");
	expect("port list --control /x --watch 5 -j", "port.list", "{}");
	expect("port --watch list", "port.list", "{}");
	expect("counters", "counters", "{}");
	expect("counters web1 --drops", "counters", "{\"port\":\"web1\"}");
	expect("net del lab --if-exists", "net.del", "{\"name\":\"lab\",\"if_exists\":true}");
	expect("net --if-exists del lab", "net.del", "{\"name\":\"lab\",\"if_exists\":true}");
	expect("forward add lab tcp 127.0.0.1:2222 10.10.10.10:22", "forward.add",
	       "{\"net\":\"lab\",\"proto\":\"tcp\",\"listen\":\"127.0.0.1:2222\",\"to\":\"10.10.10.10:22\"}");
	expect("mac flush --port web1", "mac.flush", "{\"port\":\"web1\"}");
	expect("clock advance 3600", "clock.advance", "{\"seconds\":3600}");
	expect("capture -f arp -w - lab", "capture", "{\"target\":\"lab\"}");
	expect("port show -- --odd", "port.show", "{\"name\":\"--odd\"}");
}

static void test_keys(void **state)
{
	expect("port add web1 type dgram network lab", "port.add",
	       "{\"name\":\"web1\",\"spec\":\"{type: dgram, network: lab}\"}");
	expect("port add web1 type=dgram network=lab --may-exist", "port.add",
	       "{\"name\":\"web1\",\"spec\":\"{type: dgram, network: lab}\",\"may_exist\":true}");
	expect("port add up trunk lab,100-199 native lab", "port.add",
	       "{\"name\":\"up\",\"spec\":\"{trunk: [lab, 100-199], native: lab}\"}");
	expect("port add u listen 127.0.0.1:20000", "port.add",
	       "{\"name\":\"u\",\"spec\":\"{listen: 127.0.0.1:20000}\"}");
	expect("net set lab dhcp.lease 1h", "net.set", "{\"name\":\"lab\",\"spec\":\"{dhcp: {lease: 1h}}\"}");
	expect("port add x {type:\"dgram\"}", "port.add", "{\"name\":\"x\",\"spec\":\"{type:\\\"dgram\\\"}\"}");
	/* what YAML would take for something else stands in quotes */
	expect("port add x socket /a#b", "port.add", "{\"name\":\"x\",\"spec\":\"{socket: \\\"/a#b\\\"}\"}");
	expect("port add x socket *a", "port.add", "{\"name\":\"x\",\"spec\":\"{socket: \\\"*a\\\"}\"}");
	expect("port add x socket a},b:{\"", "port.add",
	       "{\"name\":\"x\",\"spec\":\"{socket: \\\"a},b:{\\\\\\\"\\\"}\"}");
	expect("port add x listen :53", "port.add", "{\"name\":\"x\",\"spec\":\"{listen: \\\":53\\\"}\"}");
}

static void test_refusals(void **state)
{
	refuse("prt list", "did you mean 'port'?");
	refuse("port lst", "did you mean 'list'?");
	refuse("port list --jsn", "did you mean '--json'?");
	refuse("port show", "usage: vswitchctl port show NAME");
	refuse("port add web1", "KEY VALUE is missing");
	refuse("port add web1 type", "'type' needs a value");
	refuse("port add web1 =x", "needs a value");
	refuse("port list more", "'more' is too much");
	refuse("port list --drops", "does not go with 'port list'");
	refuse("port list --json=1", "takes no value");
	refuse("port list --control", "needs a value");
	refuse("capture -c many", "not a number");
	refuse("clock advance -1", "unknown option");
	refuse("clock advance soon", "whole number");
	refuse("status status", "too much");
}

static void test_table(void **state)
{
	for (size_t i = 0; i < n_commands; i++) {
		char usage[256];
		const struct command *c = &commands[i];
		help_usage(c, usage, sizeof(usage));
		assert_true(strlen(usage) < sizeof(usage) - 1);
		assert_non_null(c->help);
		assert_true(c->method || c->local);
		/* nouns stand together, and with verbs or without: help and parsing lean on it */
		if (i && strcmp(commands[i - 1].noun, c->noun) == 0)
			assert_true(c->verb && commands[i - 1].verb);
		for (size_t j = 0; j + 1 < i; j++)
			if (strcmp(commands[j].noun, c->noun) == 0)
				assert_string_equal(commands[i - 1].noun, c->noun);
	}
}

/* ---- answers ---- */

struct fake {
	int listener;
	const char *answer;
	char path[64];
};

static void *fake_daemon(void *arg)
{
	struct fake *f = arg;
	char buf[4096];
	int fd = accept(f->listener, NULL, NULL);
	if (recv(fd, buf, sizeof(buf), 0) > 0)
		send(fd, f->answer, strlen(f->answer), MSG_NOSIGNAL);
	close(fd);
	return NULL;
}

static json_t *call_fake(const char *answer, struct client_error *e)
{
	struct fake f = {.answer = answer};
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	pthread_t thread;
	snprintf(f.path, sizeof(f.path), "/tmp/test-client-%d.sock", (int)getpid());
	strcpy(sa.sun_path, f.path);
	unlink(f.path);
	f.listener = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(f.listener, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(f.listener, 1), 0);
	pthread_create(&thread, NULL, fake_daemon, &f);
	*e = (struct client_error){0};
	struct client *c = client_open(f.path, e);
	assert_non_null(c);
	json_t *result = client_call(c, "status", NULL, e);
	client_free(c);
	pthread_join(thread, NULL);
	close(f.listener);
	unlink(f.path);
	return result;
}

static void test_answers(void **state)
{
	struct client_error e;
	json_t *r = call_fake("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":[1]}\n", &e);
	assert_int_equal(json_array_size(r), 1);
	json_decref(r);
	/* a notification may come before it */
	r = call_fake("{\"jsonrpc\":\"2.0\",\"method\":\"x\",\"params\":{}}\n{\"id\":1,\"result\":null}\n", &e);
	assert_true(json_is_null(r));
	assert_null(call_fake("{\"id\":1,\"error\":{\"code\":-32000,\"message\":\"no\",\"data\":{\"exit\":3}}}\n",
			      &e));
	assert_int_equal(e.exit, CLIENT_NOT_FOUND);
	assert_string_equal(e.text, "no");
	assert_null(call_fake("{\"id\":1,\"error\":{}}\n", &e));
	assert_int_equal(e.exit, CLIENT_ERROR);
	assert_null(call_fake("rubbish\n", &e));
	assert_int_equal(e.exit, CLIENT_UNREACHABLE);
	assert_null(call_fake("", &e)); /* hung up */
	assert_int_equal(e.exit, CLIENT_UNREACHABLE);
}

static void test_nobody(void **state)
{
	struct client_error e = {0};
	assert_null(client_open("/tmp/no/such/socket", &e));
	assert_int_equal(e.exit, CLIENT_UNREACHABLE);
	assert_non_null(strstr(e.text, "/tmp/no/such/socket"));
}

/* ---- attach ---- */

static void expect_attach(const char *hypervisor, const char *port, const char *wanted)
{
	char *text = NULL;
	size_t len;
	const char *why = NULL;
	FILE *f = open_memstream(&text, &len);
	struct attach_text a = {.mac = "52:54:00:00:00:01", .local = "/run/v/web1.vm"};
	a.port = json_loads(port, 0, NULL);
	assert_non_null(a.port);
	int r = attach_print(f, hypervisor, &a, &why);
	fclose(f);
	if (wanted)
		assert_string_equal(text, wanted);
	else
		assert_non_null(why);
	assert_int_equal(r == 0, wanted != NULL);
	json_decref(a.port);
	free(text);
}

static void test_attach(void **state)
{
	expect_attach("qemu", "{\"type\":\"dgram\",\"socket\":\"/run/v/lab.dgram\"}",
		      "-netdev dgram,id=n0,local.type=unix,local.path=/run/v/web1.vm,"
		      "remote.type=unix,remote.path=/run/v/lab.dgram "
		      "-device virtio-net-pci,netdev=n0,mac=52:54:00:00:00:01\n");
	expect_attach("qemu", "{\"type\":\"stream\",\"connect\":\"/run/v/s\"}",
		      "-netdev stream,id=n0,server=on,addr.type=unix,addr.path=/run/v/s "
		      "-device virtio-net-pci,netdev=n0,mac=52:54:00:00:00:01\n");
	expect_attach("qemu", "{\"type\":\"udp\",\"listen\":\"127.0.0.1:1\",\"peer\":\"127.0.0.1:2\"}",
		      "-netdev dgram,id=n0,local.type=inet,local.host=127.0.0.1,local.port=2,"
		      "remote.type=inet,remote.host=127.0.0.1,remote.port=1 "
		      "-device virtio-net-pci,netdev=n0,mac=52:54:00:00:00:01\n");
	expect_attach("libvirt", "{\"type\":\"netdev\",\"interface\":\"web1\"}",
		      "<interface type='ethernet'>\n  <mac address='52:54:00:00:00:01'/>\n"
		      "  <target dev='web1'/>\n  <model type='virtio'/>\n</interface>\n");
	expect_attach("libvirt", "{\"type\":\"dgram\",\"socket\":\"/x\"}", NULL);
	expect_attach("cloud-hypervisor", "{\"type\":\"udp\",\"listen\":\"127.0.0.1:1\"}", NULL);
}

/* Those that are not in Debian: the rest is run by tests/netns/attach.sh. */
static void test_attach_others(void **state)
{
	expect_attach(
		"virtualbox",
		"{\"port\":\"w\",\"type\":\"udp\",\"listen\":\"127.0.0.1:20000\",\"peer\":\"127.0."
		"0.1:20001\"}",
		"VBoxManage modifyvm w --nic1 generic --nictype1 virtio --nicgenericdrv1 UDPTunnel "
		"--nicproperty1 dest=127.0.0.1 --nicproperty1 sport=20001 --nicproperty1 "
		"dport=20000 "
		"--macaddress1 525400000001\n");
	expect_attach("firecracker", "{\"type\":\"netdev\",\"interface\":\"w\"}",
		      "# on the host, before it starts:\nip tuntap add dev w mode tap vnet_hdr\nip "
		      "link set w up\n"
		      "# in its configuration file:\n\"network-interfaces\": [\n"
		      "  { \"iface_id\": \"eth0\", \"guest_mac\": \"52:54:00:00:00:01\", "
		      "\"host_dev_name\": \"w\" }\n]\n");
	expect_attach("virtualbox", "{\"type\":\"netdev\",\"interface\":\"w\"}", NULL);
	expect_attach("lxc", "{\"type\":\"udp\",\"listen\":\"127.0.0.1:1\"}", NULL);
}

#define VHOST(role, queues)                                                                        \
	"{\"type\":\"vhost-user\",\"socket\":\"/r/s\",\"role\":\"" role "\",\"queues\":" queues "}"

static void test_attach_vhost_user(void **state)
{
	expect_attach("qemu", VHOST("server", "1"),
		      "-m 1G -object memory-backend-memfd,id=mem,size=1G,share=on -numa node,memdev=mem "
		      "-chardev socket,id=c0,path=/r/s,reconnect=1 "
		      "-netdev vhost-user,id=n0,chardev=c0 "
		      "-device virtio-net-pci,netdev=n0,mac=52:54:00:00:00:01\n");
	expect_attach("qemu", VHOST("client", "2"),
		      "-m 1G -object memory-backend-memfd,id=mem,size=1G,share=on -numa node,memdev=mem "
		      "-chardev socket,id=c0,path=/r/s,server=on,wait=off "
		      "-netdev vhost-user,id=n0,chardev=c0,queues=2 "
		      "-device virtio-net-pci,netdev=n0,mac=52:54:00:00:00:01,mq=on,vectors=6\n");
	expect_attach("libvirt", VHOST("client", "2"),
		      "<!-- in <domain>: -->\n<memoryBacking>\n  <source type='memfd'/>\n"
		      "  <access mode='shared'/>\n</memoryBacking>\n<!-- in <devices>: -->\n"
		      "<interface type='vhostuser'>\n  <mac address='52:54:00:00:00:01'/>\n"
		      "  <source type='unix' path='/r/s' mode='server'/>\n  <model type='virtio'/>\n"
		      "  <driver queues='2'/>\n</interface>\n");
	expect_attach("cloud-hypervisor", VHOST("server", "1"),
		      "--memory size=1G,shared=on --net vhost_user=true,socket=/r/s,"
		      "vhost_mode=client,num_queues=2,mac=52:54:00:00:00:01\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_grammar),	      cmocka_unit_test(test_keys),
		cmocka_unit_test(test_refusals),      cmocka_unit_test(test_table),
		cmocka_unit_test(test_answers),	      cmocka_unit_test(test_nobody),
		cmocka_unit_test(test_attach),	      cmocka_unit_test(test_attach_vhost_user),
		cmocka_unit_test(test_attach_others),
	};
	return cmocka_run_group_tests_name("client", tests, NULL, NULL);
}
