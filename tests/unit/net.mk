# net/: each piece with exactly what it stands on.
NET_PKT := net/pkt.c
NET_PARSE := net/parse.c net/csum.c $(NET_PKT)
NET_GSO := net/gso.c $(NET_PARSE)

UNIT += test_wire test_csum test_gso test_parse test_addr test_table test_wheel test_ring \
	test_pkt test_log test_nd test_loop
test_wire_SRC := tests/unit/test_wire.c net/wire.c
test_csum_SRC := tests/unit/test_csum.c net/csum.c
test_gso_SRC := tests/unit/test_gso.c $(NET_GSO)
test_parse_SRC := tests/unit/test_parse.c $(NET_PARSE) net/drop.c
test_addr_SRC := tests/unit/test_addr.c net/addr.c
test_table_SRC := tests/unit/test_table.c net/table.c net/clock.c
test_wheel_SRC := tests/unit/test_wheel.c net/wheel.c
test_ring_SRC := tests/unit/test_ring.c net/ring.c
test_nd_SRC := tests/unit/test_nd.c net/nd.c net/wire.c net/addr.c
test_pkt_SRC := tests/unit/test_pkt.c $(NET_PKT)
test_log_SRC := tests/unit/test_log.c net/log.c
test_loop_SRC := tests/unit/test_loop.c net/loop.c net/clock.c
test_loop_LIBS := $(call pkgs,--libs libevent_core)

FUZZ += fuzz_frame
fuzz_frame_SRC := tests/fuzz/fuzz_frame.c $(NET_GSO) net/drop.c
