/* pcap-ng as written: block by block here, and by tshark where it is installed.  Base64, in
 * which frames travel to the writer, beside it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "ctl/base64.h"
#include "ctl/pcapng.h"

static const uint8_t arp[42] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0x54, 0, 0, 0, 1, 8, 6,
				0,    1,    8,	  0,	6,    4,    0,	  1,	0x52, 0x54, 0, 0, 0, 1,
				10,   10,   10,	  5,	0,    0,    0,	  0,	0,    0,    10, 10, 10, 1};
#define WHEN UINT64_C(1700000000123456789)

static char *write_file(char path[32])
{
	strcpy(path, "/tmp/test-pcapng-XXXXXX");
	FILE *f = fdopen(mkstemp(path), "wb");
	struct pcapng *p = pcapng_new(f, "test", 65536);
	assert_non_null(p);
	struct pcapng_packet k = {.port = "web1", .time_ns = WHEN, .wire_len = 42, .len = 42, .bytes = arp};
	assert_int_equal(pcapng_packet(p, &k), 0);
	k.port = "lab/vm 2";
	k.outgoing = true;
	k.comment = "the peer does not read: its queue is full";
	k.len = 41; /* needs padding, and is cut short */
	assert_int_equal(pcapng_packet(p, &k), 0);
	k.port = "web1";
	assert_int_equal(pcapng_packet(p, &k), 0);
	assert_int_equal(pcapng_totals(p, WHEN, 5, 2), 0);
	pcapng_free(p);
	fclose(f);
	return path;
}

/* The framing: type and length in front, the same length behind, multiples of four. */
static void test_blocks(void **state)
{
	static const uint32_t expected[] = {0x0a0d0d0a, 1, 6, 1, 6, 6, 5};
	char path[32];
	FILE *f = fopen(write_file(path), "rb");
	for (size_t i = 0; i < sizeof(expected) / sizeof(*expected); i++) {
		uint32_t head[2], len;
		assert_int_equal(fread(head, 4, 2, f), 2);
		assert_int_equal(head[0], expected[i]);
		assert_int_equal(head[1] % 4, 0);
		fseek(f, (long)head[1] - 12, SEEK_CUR);
		assert_int_equal(fread(&len, 4, 1, f), 1);
		assert_int_equal(len, head[1]);
	}
	assert_int_equal(fgetc(f), EOF);
	fclose(f);
	unlink(path);
}

static void test_tshark(void **state)
{
	char path[32], command[256], line[256];
	if (system("tshark --version >/dev/null 2>&1") != 0)
		skip();
	snprintf(command, sizeof(command),
		 "tshark -r %s -T fields -e frame.interface_name -e frame.packet_flags_direction "
		 "-e frame.comment -e frame.len -e frame.cap_len -e frame.time_epoch -e arp.opcode 2>/dev/null",
		 write_file(path));
	static const char *const expected[] = {
		"web1\t0x00000001\t\t42\t42\t1700000000.123456789\t1\n",
		"lab/vm 2\t0x00000002\tthe peer does not read: its queue is full\t42\t41\t1700000000.123456789\t1\n",
		"web1\t0x00000002\tthe peer does not read: its queue is full\t42\t41\t1700000000.123456789\t1\n",
	};
	FILE *p = popen(command, "r");
	for (size_t i = 0; i < 3; i++) {
		assert_non_null(fgets(line, sizeof(line), p));
		assert_string_equal(line, expected[i]);
	}
	assert_null(fgets(line, sizeof(line), p));
	assert_int_equal(pclose(p), 0);
	unlink(path);
}

static void test_full_disk(void **state)
{
	FILE *f = fopen("/dev/full", "wb");
	if (!f)
		skip();
	assert_null(pcapng_new(f, "test", 65536));
	assert_int_equal(errno, ENOSPC);
	fclose(f);
}

/* ---- base64 ---- */

static void test_base64_vectors(void **state)
{
	/* RFC 4648 section 10 */
	static const char *const v[][2] = {{"", ""},	     {"f", "Zg=="},	{"fo", "Zm8="},
					   {"foo", "Zm9v"},  {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="},
					   {"foobar", "Zm9vYmFy"}};
	for (size_t i = 0; i < sizeof(v) / sizeof(*v); i++) {
		char out[16];
		uint8_t back[8];
		size_t len = 99;
		base64_encode((const uint8_t *)v[i][0], strlen(v[i][0]), out);
		assert_string_equal(out, v[i][1]);
		assert_int_equal(base64_decode(out, strlen(out), back, sizeof(back), &len), 0);
		assert_int_equal(len, strlen(v[i][0]));
		assert_memory_equal(back, v[i][0], len);
	}
}

static void test_base64_all_bytes(void **state)
{
	uint8_t in[256], back[256];
	char out[BASE64_LEN(256) + 1];
	size_t len;
	for (unsigned i = 0; i < 256; i++)
		in[i] = (uint8_t)(i * 7);
	base64_encode(in, sizeof(in), out);
	assert_int_equal(strlen(out), BASE64_LEN(256));
	assert_int_equal(base64_decode(out, strlen(out), back, sizeof(back), &len), 0);
	assert_memory_equal(back, in, 256);
}

static void test_base64_refuses(void **state)
{
	static const char *const bad[] = {"Z", "Zg", "Zg=", "Z===", "====", "Zm9v\n", "Zm-v", "Zh==", "Zm9=",
					  "Zg==Zg=="};
	uint8_t out[16];
	size_t len = 7;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(base64_decode(bad[i], strlen(bad[i]), out, sizeof(out), &len), -EINVAL);
	assert_int_equal(base64_decode("Zm9v", 4, out, 2, &len), -EINVAL); /* no room */
	assert_int_equal(len, 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_blocks),
		cmocka_unit_test(test_tshark),
		cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_base64_vectors),
		cmocka_unit_test(test_base64_all_bytes),
		cmocka_unit_test(test_base64_refuses),
	};
	return cmocka_run_group_tests_name("pcapng", tests, NULL, NULL);
}
