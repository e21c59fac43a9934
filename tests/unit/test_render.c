/* Tables line up, numbers read well, and nothing a guest named reaches the terminal raw. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "ctl/render.h"

static char *text;
static size_t text_len;

static struct render begin(bool color)
{
	return (struct render){.out = open_memstream(&text, &text_len), .color = color};
}

static void expect(struct render *r, const char *wanted)
{
	fclose(r->out);
	assert_string_equal(text, wanted);
	free(text);
}

static const struct column columns[] = {
	{"PORT", "name"},
	{"RX", "rx", RENDER_NUMBER},
	{"STATE", "state", RENDER_STATE},
};

static void test_table(void **state)
{
	json_t *rows = json_loads("[{\"name\":\"a\",\"rx\":1234567,\"state\":\"up\"},"
				  "{\"name\":\"longer-name\",\"rx\":null,\"state\":\"down\"}]",
				  0, NULL);
	struct render r = begin(false);
	render_table(&r, rows, columns, 3, "no ports");
	expect(&r, "PORT              RX  STATE\n"
		   "a            1234567  up\n"
		   "longer-name        -  down\n");
	r = begin(true); /* colours must not disturb the columns */
	render_table(&r, rows, columns, 3, "no ports");
	expect(&r, "\033[1mPORT              RX  STATE\n\033[0m"
		   "a            1234567  \033[32mup\033[0m\n"
		   "longer-name        -  \033[31mdown\033[0m\n");
	json_decref(rows);
}

static void test_empty(void **state)
{
	json_t *rows = json_array();
	struct render r = begin(false);
	render_table(&r, rows, columns, 3, "no ports");
	expect(&r, "no ports\n");
	json_decref(rows);
}

static void test_hostile_name(void **state)
{
	json_t *rows = json_array();
	json_array_append_new(rows, json_pack("{s:s, s:i, s:s}", "name", "\033[2Jx\n\xc2\x9b", "rx", 1,
					      "state", "up"));
	struct render r = begin(false);
	render_table(&r, rows, columns, 3, "no ports");
	expect(&r, "PORT      RX  STATE\n?[2Jx???   1  up\n");
	json_decref(rows);
}

static void test_fields(void **state)
{
	static const struct column fields[] = {{"name", "name"}, {"gone", "gone"}, {"uptime", "up", RENDER_DURATION}};
	json_t *o = json_pack("{s:s, s:n, s:i}", "name", "lab", "gone", "up", 3725);
	struct render r = begin(false);
	render_fields(&r, o, fields, 3);
	expect(&r, "name    lab\nuptime  1h02m\n");
	json_decref(o);
}

static void reads_as(const char *json, enum render_kind kind, const char *wanted)
{
	char buf[64];
	json_t *v = json_loads(json, JSON_DECODE_ANY, NULL);
	assert_non_null(v);
	render_value(v, kind, buf, sizeof(buf));
	assert_string_equal(buf, wanted);
	json_decref(v);
}

static void test_values(void **state)
{
	reads_as("999", RENDER_BYTES, "999");
	reads_as("1000", RENDER_BYTES, "1.0K");
	reads_as("1234567", RENDER_BYTES, "1.2M");
	reads_as("98765432109", RENDER_BYTES, "99G");
	reads_as("9223372036854775807", RENDER_BYTES, "9.2E");
	reads_as("0", RENDER_DURATION, "0s");
	reads_as("61", RENDER_DURATION, "1m01s");
	reads_as("90061", RENDER_DURATION, "1d01h");
	reads_as("null", RENDER_DURATION, "never");
	reads_as("{\"a\":2,\"b\":3}", RENDER_SUM, "5");
	reads_as("[\"a\",\"b\"]", RENDER_LIST, "a, b");
	reads_as("[]", RENDER_LIST, "-");
	reads_as("true", RENDER_YESNO, "yes");
	reads_as("null", RENDER_TEXT, "-");
}

/* ---- one line for a frame ---- */

static void expect_packet(const char *bytes, size_t len, const char *wanted)
{
	struct render r = begin(false);
	render_packet(r.out, (const uint8_t *)bytes, len, (uint32_t)len);
	expect(&r, wanted);
}

#define MACS "\x02\0\0\0\0\x02\x02\0\0\0\0\x01"
#define TCP                                                                                        \
	"\x45\0\0\x28\0\0\0\0\x40\x06\0\0\x0a\0\0\x01\x0a\0\0\x02"                                 \
	"\x04\xd2\0\x50\0\0\0\0\0\0\0\0\x50\x12\0\0\0\0\0\0"

static void test_packets(void **state)
{
	expect_packet(MACS "\x08\0" TCP, sizeof(MACS "\x08\0" TCP) - 1,
		      "02:00:00:00:00:01 > 02:00:00:00:00:02 TCP 10.0.0.1:1234 > 10.0.0.2:80 [SA], 54 bytes");
	expect_packet(MACS "\x81\0\0\x0a\x08\0" TCP, sizeof(MACS "\x81\0\0\x0a\x08\0" TCP) - 1,
		      "vlan 10 02:00:00:00:00:01 > 02:00:00:00:00:02 TCP 10.0.0.1:1234 > 10.0.0.2:80 [SA], "
		      "58 bytes");
	expect_packet(MACS "\x08\0\x45", 15, "02:00:00:00:00:01 > 02:00:00:00:00:02 IPv4 (short), 15 bytes");
	expect_packet(MACS "\x08\x06", 14, "02:00:00:00:00:01 > 02:00:00:00:00:02 ARP (short), 14 bytes");
	expect_packet(MACS "\x88\xcc", 14, "02:00:00:00:00:01 > 02:00:00:00:00:02 type 0x88cc, 14 bytes");
	expect_packet("", 0, "00:00:00:00:00:00 > 00:00:00:00:00:00 (short), 0 bytes");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),  cmocka_unit_test(test_empty),  cmocka_unit_test(test_hostile_name),
		cmocka_unit_test(test_fields), cmocka_unit_test(test_values), cmocka_unit_test(test_packets),
	};
	return cmocka_run_group_tests_name("render", tests, NULL, NULL);
}
