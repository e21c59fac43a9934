# vswitchd: a virtual switch and NAT appliance for VMs.  `make help` lists the targets.
# A packager sets these; SANITIZER=address|undefined|thread builds beside the plain one.
PREFIX    ?= /usr/local
DESTDIR   ?=
SBINDIR   ?= $(PREFIX)/sbin
BINDIR    ?= $(PREFIX)/bin
MANDIR    ?= $(PREFIX)/share/man
UNITDIR   ?= $(PREFIX)/lib/systemd/system
CC        ?= gcc
CLANG     ?= clang
CFLAGS    ?= -O2 -g
SANITIZER ?=
FUZZ_SECONDS ?= 30
V         ?= 0
Q          = $(if $(filter 1,$(V)),,@)

comma   := ,
BUILD   := build$(if $(SANITIZER),/$(subst $(comma),-,$(SANITIZER)))
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

# What is linked, and the one place that says which Debian package brings it.
PKGS      := libevent_core libnl-3.0 libnl-route-3.0 libbpf libpcap libfyaml jansson slirp
PKG_CONFIG ?= pkg-config
pkgs        = $(shell $(PKG_CONFIG) $(1) 2>/dev/null || :)# nothing, in silence, until `deps` ran
PKG_CFLAGS := $(call pkgs,--cflags $(PKGS))
PKG_LIBS   := $(call pkgs,--libs $(PKGS))
TEST_LIBS  := $(call pkgs,--libs cmocka)

WARN  := -Wall -Wextra -Wshadow -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes \
         -Wno-unused-parameter -Wno-missing-field-initializers -Werror=implicit-function-declaration
SAN   := $(if $(SANITIZER),-fsanitize=$(SANITIZER) -fno-omit-frame-pointer -fno-sanitize-recover=all)
ALL_CFLAGS  = -std=gnu11 $(WARN) $(CFLAGS) $(SAN) -fno-strict-aliasing -pthread -I. -I$(BUILD) $(PKG_CFLAGS) -D_GNU_SOURCE \
              -DVSWITCH_VERSION='"$(VERSION)"' -MMD -MP
ALL_LDFLAGS = $(LDFLAGS) $(SAN) -pthread

# vswitchctl links no packet code and no loop; CTL_CLIENT_ONLY is not for the daemon.
CTL_CLIENT_ONLY := $(wildcard ctl/client*.c ctl/render*.c) ctl/attach.c ctl/pcapng.c
CTL_CLIENT := ctl/vswitchctl.c $(CTL_CLIENT_ONLY) ctl/base64.c $(wildcard ctl/config*.c ctl/schema*.c) \
	net/addr.c net/drop.c net/wire.c
LIB_SRC  := $(wildcard net/*.c vlan/*.c switch/*.c tap/*.c nat/*.c dhcp/*.c)
CTL_SRC  := $(filter-out ctl/vswitchd.c ctl/vswitchctl.c $(CTL_CLIENT_ONLY),$(wildcard ctl/*.c))
OBJ       = $(patsubst %.c,$(BUILD)/%.o,$(1))

.PHONY: all deps demo run check bench fuzz lint format docs rfc install uninstall help clean
all: $(BUILD)/vswitchd $(BUILD)/vswitchctl

$(BUILD)/vswitchd: $(call OBJ,ctl/vswitchd.c $(CTL_SRC) $(LIB_SRC))
	@echo "  LD    $@"
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS)

$(BUILD)/vswitchctl: $(call OBJ,$(CTL_CLIENT))
	@echo "  LD    $@"
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(call pkgs,--libs libfyaml jansson)

$(BUILD)/%.o: %.c | require-build
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(ALL_CFLAGS) -c -o $@ $<

.PHONY: require-build
require-build:
	@tests/deps.sh require build

include tests/tests.mk

# ---- what people type ----

deps: ## install what building and testing need (Debian, root; else print the line)
	@tests/deps.sh install build unit net guest fuzz lint bench

demo: ## two real VMs on the switch: leases, names, ping, a page through NAT
	@tests/deps.sh install build net guest
	@$(MAKE) --no-print-directory all
	@tests/demo.sh

run: all ## start the daemon on this host with the built-in default
	@echo "attach a guest:  $(BUILD)/vswitchctl attach lab --for qemu"
	@exec $(BUILD)/vswitchd

check: ## every test; the last line counts them
	@tests/deps.sh install build unit net guest lint
	@$(MAKE) --no-print-directory all unit testprog fuzz-replay
	@UNIT_BIN="$(UNIT_BIN)" REPLAY_BIN="$(REPLAY_BIN)" BUILD=$(BUILD) tests/check.sh

bench: all testprog ## benchmarks beside their peers, into build/bench/*.json
	@tests/deps.sh install bench net
	@tests/bench/run.sh

fuzz: $(FUZZ_BIN) ## explore with every fuzz target for FUZZ_SECONDS each
	@FUZZ_SECONDS=$(FUZZ_SECONDS) tests/fuzz/run.sh $(FUZZ_BIN)

lint: ## layers, third-party headers, long functions, documents that rot
	@tests/lint.sh

format: ## clang-format over the lines that are not committed yet
	@git clang-format --quiet --force --extensions c,h HEAD >/dev/null || true

docs: $(BUILD)/vswitchctl ## regenerate the reference pages from the tables in the code
	@tests/docs.sh write

rfc: ## docs/rfc.md, from what the last `make check` has shown
	@tests/rfc.sh write

install: all ## into $(DESTDIR)$(PREFIX)
	install -D -m 755 $(BUILD)/vswitchd $(DESTDIR)$(SBINDIR)/vswitchd
	install -D -m 755 $(BUILD)/vswitchctl $(DESTDIR)$(BINDIR)/vswitchctl
	install -d $(DESTDIR)$(UNITDIR)
	sed 's,@SBINDIR@,$(SBINDIR),' docs/vswitchd.service.in >$(DESTDIR)$(UNITDIR)/vswitchd.service
	install -D -m 644 docs/man/vswitchd.8 $(DESTDIR)$(MANDIR)/man8/vswitchd.8
	install -D -m 644 docs/man/vswitchctl.1 $(DESTDIR)$(MANDIR)/man1/vswitchctl.1

uninstall: ## what install put there
	rm -f $(DESTDIR)$(SBINDIR)/vswitchd $(DESTDIR)$(BINDIR)/vswitchctl \
	  $(DESTDIR)$(UNITDIR)/vswitchd.service $(DESTDIR)$(MANDIR)/man8/vswitchd.8 \
	  $(DESTDIR)$(MANDIR)/man1/vswitchctl.1

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18

clean: ## remove build/ but for what was downloaded into it
	@find build -mindepth 1 -maxdepth 1 ! -name peers ! -name guest -exec rm -rf {} + 2>/dev/null || true

-include $(shell find $(BUILD) \( -name peers -o -name guest \) -prune -o -type f -name '*.d' -print 2>/dev/null)
