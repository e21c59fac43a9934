# The control socket and its client, each without the daemon.  (CONFIG_SRC, FYAML_LIBS: config.mk)
JSON_LIBS := $(call pkgs,--libs jansson)
# rpc.c takes its did-you-mean from the configuration's files.
RPC_SRC := ctl/rpc.c ctl/config_tree.c net/loop.c net/clock.c net/log.c

UNIT += test_rpc test_pcapng test_render test_client
test_rpc_SRC := tests/unit/test_rpc.c $(RPC_SRC)
test_rpc_LIBS := $(JSON_LIBS) $(FYAML_LIBS) -levent_core
test_pcapng_SRC := tests/unit/test_pcapng.c ctl/pcapng.c ctl/base64.c
test_render_SRC := tests/unit/test_render.c ctl/render.c ctl/render_packet.c net/wire.c net/addr.c
test_render_LIBS := $(JSON_LIBS)
test_client_SRC := tests/unit/test_client.c $(CTL_CLIENT_ONLY) ctl/base64.c $(CONFIG_SRC) net/drop.c net/wire.c
test_client_LIBS := $(JSON_LIBS) $(FYAML_LIBS)

FUZZ += fuzz_rpc
fuzz_rpc_SRC := tests/fuzz/fuzz_rpc.c $(RPC_SRC)
fuzz_rpc_LIBS := $(JSON_LIBS) $(FYAML_LIBS) -levent_core
