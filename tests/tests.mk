# Unit tests and fuzz targets: what each links is listed, and that list is the proof that
# the piece stands alone.  Fragments in tests/unit/*.mk, one for each layer, add
#	UNIT += test_wire
#	test_wire_SRC := tests/unit/test_wire.c net/wire.c
#	FUZZ += fuzz_frame
#	fuzz_frame_SRC := tests/fuzz/fuzz_frame.c net/parse.c ...
# A program that scripts run as a peer of the switch, built with the tests:
#	TESTPROG += vhost/vhost_peer
#	vhost/vhost_peer_SRC := tests/vhost/peer.c ...
# A fuzz target is one LLVMFuzzerTestOneInput(); its corpus is tests/fuzz/corpus/NAME/.
# `make check` replays every corpus with the plain compiler, `make fuzz` explores with clang.
UNIT :=
FUZZ :=
TESTPROG :=
include $(wildcard tests/vhost/*.mk tests/unit/*.mk)

UNIT_BIN := $(addprefix $(BUILD)/tests/unit/,$(UNIT))
REPLAY_BIN := $(addprefix $(BUILD)/tests/fuzz/,$(addsuffix _replay,$(FUZZ)))
TESTPROG_BIN := $(addprefix $(BUILD)/tests/,$(TESTPROG))
FUZZ_BIN := $(addprefix build/fuzz/,$(FUZZ))

.SECONDEXPANSION:
$(UNIT_BIN): $(BUILD)/tests/unit/%: $$(addprefix $(BUILD)/,$$($$*_SRC:.c=.o))
	@echo "  LD    $@"
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(or $($*_LIBS),) $(TEST_LIBS)

$(TESTPROG_BIN): $(BUILD)/tests/%: $$(addprefix $(BUILD)/,$$($$*_SRC:.c=.o))
	@echo "  LD    $@"
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(or $($*_LIBS),)

$(REPLAY_BIN): $(BUILD)/tests/fuzz/%_replay: $$(addprefix $(BUILD)/,$$($$*_SRC:.c=.o)) $(BUILD)/tests/fuzz/replay.o
	@echo "  LD    $@"
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(or $($*_LIBS),)

# clang compiles the sources afresh, with coverage and both sanitizers.
$(FUZZ_BIN): build/fuzz/%: $$($$*_SRC)
	@mkdir -p $(@D)
	@echo "  FUZZ  $@"
	$(Q)$(CLANG) -std=gnu11 -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
	  -fno-strict-aliasing -pthread -I. $(PKG_CFLAGS) -D_GNU_SOURCE -DVSWITCH_VERSION='"fuzz"' -o $@ $^ $(or $($*_LIBS),)

.PHONY: unit testprog fuzz-replay
unit: $(UNIT_BIN) testprog
testprog: $(TESTPROG_BIN)
fuzz-replay: $(REPLAY_BIN)
