# vlan/ and switch/: the tables alone; the pipeline with its dummy port.
SWITCH_ALL := switch/switch.c switch/worker.c switch/poll.c switch/pipeline.c switch/fdb.c switch/capture.c vlan/vlan.c \
	net/pkt.c net/parse.c net/csum.c net/gso.c net/ring.c net/clock.c net/loop.c net/table.c net/drop.c
SWITCH_LIBS := $(call pkgs,--libs libevent_core libpcap)

UNIT += test_fdb test_vlan test_poll test_switch test_capture
test_fdb_SRC := tests/unit/test_fdb.c switch/fdb.c
test_vlan_SRC := tests/unit/test_vlan.c vlan/vlan.c
test_poll_SRC := tests/unit/test_poll.c switch/poll.c
test_switch_SRC := tests/unit/test_switch.c tests/unit/dummy.c $(SWITCH_ALL)
test_switch_LIBS := $(SWITCH_LIBS)
test_capture_SRC := tests/unit/test_capture.c tests/unit/dummy.c $(SWITCH_ALL)
test_capture_LIBS := $(SWITCH_LIBS)
