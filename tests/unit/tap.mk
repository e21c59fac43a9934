# tap/: what each test links, proof that the piece stands alone.
UNIT += test_stream_frame test_glob test_inaddr test_hoststate test_dgram test_stream
test_stream_frame_SRC := tests/unit/test_stream_frame.c net/wire.c
test_glob_SRC := tests/unit/test_glob.c
test_inaddr_SRC := tests/unit/test_inaddr.c tap/inaddr.c
test_hoststate_SRC := tests/unit/test_hoststate.c tap/hoststate.c
TAP_FAKE := tests/unit/tap_fake.c net/pkt.c net/wire.c net/table.c net/clock.c
UNIT += test_hostports
test_hostports_SRC := tests/unit/test_hostports.c tap/hostports.c
test_dgram_SRC := tests/unit/test_dgram.c tap/dgram.c tap/backlog.c tap/msgs.c tap/usock.c $(TAP_FAKE)
test_stream_SRC := tests/unit/test_stream.c tap/stream.c tap/backlog.c tap/msgs.c tap/usock.c tap/inaddr.c net/log.c $(TAP_FAKE)
FUZZ += fuzz_stream
fuzz_stream_SRC := tests/fuzz/fuzz_stream.c net/wire.c
# rings: vring_mem.c is their guest memory, in place of tap/vhost_mem.c
VRING := tap/vring.c tap/vring_packed.c net/pkt.c tests/unit/vring_driver.c tests/unit/vring_mem.c
UNIT += test_vring
test_vring_SRC := tests/unit/test_vring.c net/parse.c net/csum.c $(VRING)
TESTPROG += bench/vring_bench bench/path_bench
bench/vring_bench_SRC := tests/bench/vring_bench.c $(VRING)
bench/path_bench_SRC := tests/bench/path_bench.c $(sort $(SWITCH_ALL) $(VRING))
bench/path_bench_LIBS := $(SWITCH_LIBS)
VHOST := tap/vhost_user.c tap/vhost_dev.c tap/vhost_msg.c tap/vhost_mem.c tap/usock.c net/log.c
UNIT += test_vhost_user
test_vhost_user_SRC := tests/unit/test_vhost_user.c tests/unit/vring_fake.c $(VHOST) $(TAP_FAKE)
UNIT += test_vhost_mem test_vhost_msg
test_vhost_mem_SRC := tests/unit/test_vhost_mem.c tap/vhost_mem.c
test_vhost_msg_SRC := tests/unit/test_vhost_msg.c tap/vhost_msg.c
FUZZ += fuzz_vhost_msg
fuzz_vhost_msg_SRC := tests/fuzz/fuzz_vhost_msg.c tap/vhost_dev.c tap/vhost_msg.c tap/vhost_mem.c tests/unit/vring_fake.c
FUZZ += fuzz_vring
fuzz_vring_SRC := tests/fuzz/fuzz_vring.c net/parse.c net/csum.c tap/vring.c tap/vring_packed.c net/pkt.c tests/unit/vring_mem.c
fuzz_vring_LIBS := -Wl,--wrap=pkt_new_bulk,--wrap=vhost_log_mark
