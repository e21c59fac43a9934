/* The journal of host changes: on disk before it counts, undone in reverse, by whom it
 * concerns only.  The changes themselves are faked; `lo` is the interface that exists. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tap/hostcut.h"
#include "tap/hostports.h"
#include "tap/hoststate.h"
#include "tap/ifset.h"

static char undone[256]; /* what was undone, in order */
static int undo_result;

static int note(const char *what)
{
	strcat(undone, what);
	return undo_result;
}

int ifset_up(int ifindex, bool up)
{
	return note(up ? "UP " : "down ");
}
int hostports_unreserve(long range, const char *before)
{
	char text[96];

	snprintf(text, sizeof(text), "ports:%ld:%s ", range, before);
	return note(text);
}
int hostcut_remove_filter(int ifindex, bool egress)
{
	return note(egress ? "egress " : "ingress ");
}
int hostcut_remove_clsact(int ifindex)
{
	return note("clsact ");
}

static char dir[64];
static int lo;

static int setup(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/test_hoststate.XXXXXX");
	undone[0] = 0;
	undo_result = 0;
	lo = (int)if_nametoindex("lo");
	return !mkdtemp(dir) || !lo;
}

static int teardown(void **state)
{
	char cmd[128];

	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	return system(cmd);
}

static struct hoststate *reopen(struct hoststate *hs)
{
	hoststate_close(hs);
	assert_int_equal(hoststate_open(dir, &hs), 0);
	return hs;
}

static void test_survives_and_reverses(void **state)
{
	struct hoststate *hs = reopen(NULL);

	assert_int_equal(hoststate_record(hs, lo, "lo", HOSTSTATE_UP, 0), 0);
	assert_int_equal(hoststate_record(hs, lo, "lo", HOSTSTATE_CLSACT, 0), 0);
	assert_int_equal(hoststate_record(hs, lo, "lo", HOSTSTATE_TC_INGRESS, 0), 0);
	assert_int_equal(hoststate_record(hs, lo, "lo", HOSTSTATE_TC_EGRESS, 0), 0);
	assert_int_equal(hoststate_record(hs, lo, "lo", HOSTSTATE_UP, 0), 0); /* known */
	hs = reopen(hs);
	assert_int_equal(hoststate_count(hs), 4);
	hoststate_forget(hs, lo, HOSTSTATE_TC_EGRESS);
	hs = reopen(hs);
	assert_int_equal(hoststate_restore_all(hs, NULL), 0);
	assert_string_equal(undone, "ingress clsact down ");
	hs = reopen(hs);
	assert_int_equal(hoststate_count(hs), 0);
	hoststate_close(hs);
}

/* The host's list is put back, whatever became of the interface. */
static void test_text(void **state)
{
	struct hoststate *hs = reopen(NULL);
	char long_text[4000] = "";

	assert_int_equal(hoststate_record_text(hs, 99999, "nosuch0", HOSTSTATE_PORTS, 7, "8080,9000-9100"), 0);
	assert_int_equal(hoststate_record_text(hs, lo, "lo", HOSTSTATE_PORTS, 8, ""), 0);
	memset(long_text, '1', sizeof(long_text) - 1);
	assert_int_equal(hoststate_record_text(hs, 99998, "nosuch1", HOSTSTATE_PORTS, 9, long_text), -E2BIG);
	hs = reopen(hs);
	assert_true(hoststate_has(hs, lo, HOSTSTATE_PORTS));
	assert_false(hoststate_has(hs, lo, HOSTSTATE_UP));
	assert_int_equal(hoststate_restore_all(hs, NULL), 0);
	assert_string_equal(undone, "ports:8: ports:7:8080,9000-9100 ");
	hoststate_close(hs);
}

static void test_only_the_interface(void **state)
{
	struct hoststate *hs = reopen(NULL);

	hoststate_record(hs, lo, "lo", HOSTSTATE_CLSACT, 0);
	hoststate_record(hs, 99999, "nosuch0", HOSTSTATE_UP, 0);
	assert_int_equal(hoststate_restore(hs, 99999, NULL), 0); /* gone, and so is its state */
	assert_string_equal(undone, "");
	assert_int_equal(hoststate_count(hs), 1);
	hoststate_close(hs);
}

static void test_failure_stays_recorded(void **state)
{
	struct hoststate *hs = reopen(NULL);

	hoststate_record(hs, lo, "lo", HOSTSTATE_CLSACT, 0);
	undo_result = -EPERM;
	assert_int_equal(hoststate_restore_all(hs, NULL), -EPERM);
	hs = reopen(hs);
	assert_int_equal(hoststate_count(hs), 1);
	undo_result = -ENODEV; /* vanished meanwhile */
	assert_int_equal(hoststate_restore_all(hs, NULL), 0);
	assert_int_equal(hoststate_count(hs), 0);
	hoststate_close(hs);
}

static void rewrite(const char *sed)
{
	char cmd[256];

	snprintf(cmd, sizeof(cmd), "sed -i -e '%s' %s/host-changes", sed, dir);
	assert_int_equal(system(cmd), 0);
}

static void test_other_boot_and_namespace(void **state)
{
	struct hoststate *hs = reopen(NULL);

	hoststate_record(hs, lo, "lo", HOSTSTATE_CLSACT, 0);
	hoststate_record(hs, lo, "lo", HOSTSTATE_TC_INGRESS, 0);
	hoststate_record(hs, lo, "lo", HOSTSTATE_TC_EGRESS, 0);
	hoststate_close(hs);
	rewrite("/clsact/s/^[^ ]*/00000000-0000-0000-0000-000000000000/");
	rewrite("/tc-egress/s/ [0-9]* / 123456789 /");
	rewrite("$a torn line");
	hs = reopen(NULL);
	assert_int_equal(hoststate_count(hs), 2); /* the earlier boot's is moot */
	assert_int_equal(hoststate_restore_all(hs, NULL), 0);
	assert_string_equal(undone, "ingress ");
	hs = reopen(hs);
	assert_int_equal(hoststate_count(hs), 1); /* kept for the other namespace */
	hoststate_close(hs);
}

static void test_one_at_a_time(void **state)
{
	struct hoststate *hs = reopen(NULL), *second = NULL;

	assert_int_equal(hoststate_open(dir, &second), -EBUSY);
	assert_null(second);
	hoststate_close(hs);
	assert_int_equal(hoststate_open("/proc/nosuch", &second), -ENOENT);
	assert_null(second);
}

int main(void)
{
	const struct CMUnitTest t[] = {
		cmocka_unit_test_setup_teardown(test_survives_and_reverses, setup, teardown),
		cmocka_unit_test_setup_teardown(test_text, setup, teardown),
		cmocka_unit_test_setup_teardown(test_only_the_interface, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failure_stays_recorded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_boot_and_namespace, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_at_a_time, setup, teardown),
	};
	return cmocka_run_group_tests(t, NULL, NULL);
}
