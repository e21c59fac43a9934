/* 802.1Q decisions, each row a frame at a port's edge. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "vlan/vlan.h"

static struct port_vlan access10(void)
{
	return (struct port_vlan){.mode = VLAN_ACCESS, .pvid = 10};
}

static struct port_vlan trunk(vlan_id native)
{
	struct port_vlan v = {.mode = VLAN_TRUNK, .pvid = native};

	vlan_set_add(&v.allowed, 10);
	vlan_set_add(&v.allowed, 4094);
	if (native)
		vlan_set_add(&v.allowed, native);
	return v;
}

static void ingress(void **state)
{
	static const struct {
		int port; /* 0 access, 1 trunk, 2 trunk with native 20 */
		struct vlan_tag tag;
		enum drop_reason drop;
		vlan_id vid;
	} rows[] = {
		{0, {0, 0}, DROP_NONE, 10},
		{0, {0x8100, 0xa000}, DROP_NONE, 10}, /* priority tag */
		{0, {0x8100, 10}, DROP_VLAN_TAGGED, 0},
		{0, {0x8100, 20}, DROP_VLAN_TAGGED, 0},
		{0, {0x8100, 4095}, DROP_VLAN_RESERVED, 0},
		{1, {0, 0}, DROP_VLAN_UNTAGGED, 0},
		{1, {0x8100, 0xe000}, DROP_VLAN_UNTAGGED, 0},
		{1, {0x8100, 0xe00a}, DROP_NONE, 10},
		{1, {0x8100, 4094}, DROP_NONE, 4094},
		{1, {0x8100, 11}, DROP_VLAN_FILTERED, 0},
		{1, {0x8100, 4095}, DROP_VLAN_RESERVED, 0},
		{2, {0, 0}, DROP_NONE, 20},
		{2, {0x8100, 20}, DROP_NONE, 20},
	};
	const struct port_vlan ports[] = {access10(), trunk(0), trunk(20)};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		vlan_id vid = 0;
		assert_int_equal(vlan_ingress(&ports[rows[i].port], rows[i].tag, &vid), rows[i].drop);
		assert_int_equal(vid, rows[i].vid);
	}
}

static void egress(void **state)
{
	struct port_vlan a = access10(), t = trunk(20);
	struct vlan_tag none = {0, 0}, prio = {0x8100, 0x6000 | 5};

	assert_int_equal(vlan_egress(&a, 10, prio).tpid, 0);
	assert_int_equal(vlan_egress(&t, 20, prio).tpid, 0);
	assert_int_equal(vlan_egress(&t, 10, none).tpid, 0x8100);
	assert_int_equal(vlan_egress(&t, 10, none).tci, 10);
	assert_int_equal(vlan_egress(&t, 10, prio).tci, 0x6000 | 10); /* PCP and DEI travel */
	t.tpid = 0x88a8;
	assert_int_equal(vlan_egress(&t, 10, none).tpid, 0x88a8);
}

static void membership(void **state)
{
	struct port_vlan a = access10(), t = trunk(20), in = {.mode = VLAN_INTERNAL};

	assert_true(vlan_member(&a, 10));
	assert_false(vlan_member(&a, 20));
	assert_true(vlan_member(&t, 20));
	assert_true(vlan_member(&t, 4094));
	assert_false(vlan_member(&t, 11));
	assert_false(vlan_member(&in, 10));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ingress), cmocka_unit_test(egress), cmocka_unit_test(membership)};

	return cmocka_run_group_tests_name("vlan", tests, NULL, NULL);
}
