# nat/: the state table alone; the rest on the real switch with dummy ports.
NAT_ALL := nat/nat.c nat/gateway.c nat/gateway6.c nat/icmp6.c net/nd.c nat/routing.c nat/routing6.c nat/route.c nat/uplink.c \
	nat/napt.c nat/napt_icmp.c nat/icmp.c nat/frag.c nat/alg.c nat/syn_wait.c nat/forward.c nat/flow.c nat/ports.c \
	nat/portmap.c nat/igd_http.c nat/igd_soap.c nat/igd_serve.c nat/portctl.c nat/natpmp.c nat/pcp.c \
	nat/neigh.c nat/neigh_nd.c nat/filter6.c nat/npt.c nat/tcp_track.c net/wheel.c net/wire.c net/addr.c
NAT_BENCH = tests/unit/dummy.c $(NAT_ALL) $(SWITCH_ALL)

UNIT += test_tcp_track test_ports test_napt test_gateway test_forward test_arp test_filter6 test_npt
test_tcp_track_SRC := tests/unit/test_tcp_track.c nat/tcp_track.c
test_ports_SRC := tests/unit/test_ports.c nat/ports.c net/table.c net/clock.c
test_napt_SRC = tests/unit/test_napt.c $(NAT_BENCH)
test_napt_LIBS = $(SWITCH_LIBS)
test_gateway_SRC = tests/unit/test_gateway.c $(NAT_BENCH)
test_gateway_LIBS = $(SWITCH_LIBS)
test_forward_SRC = tests/unit/test_forward.c $(NAT_BENCH)
test_forward_LIBS = $(SWITCH_LIBS)
UNIT += test_alg
test_alg_SRC = tests/unit/test_alg.c $(NAT_BENCH)
test_alg_LIBS = $(SWITCH_LIBS)
UNIT += test_portmap test_igd
test_igd_SRC = tests/unit/test_igd.c $(NAT_BENCH)
test_igd_LIBS = $(SWITCH_LIBS)
FUZZ += fuzz_igd
fuzz_igd_SRC = tests/fuzz/fuzz_igd.c $(NAT_BENCH)
fuzz_igd_LIBS = $(SWITCH_LIBS)
test_portmap_SRC = tests/unit/test_portmap.c $(NAT_BENCH)
test_portmap_LIBS = $(SWITCH_LIBS)
test_arp_SRC = tests/unit/test_arp.c $(NAT_BENCH)
test_arp_LIBS = $(SWITCH_LIBS)
test_filter6_SRC = tests/unit/test_filter6.c $(NAT_BENCH)
test_filter6_LIBS = $(SWITCH_LIBS)
test_npt_SRC := tests/unit/test_npt.c nat/npt.c net/addr.c net/csum.c net/pkt.c net/parse.c

FUZZ += fuzz_gateway
fuzz_gateway_SRC = tests/fuzz/fuzz_gateway.c $(NAT_BENCH)
fuzz_gateway_LIBS = $(SWITCH_LIBS)

# The uplink through the host's sockets, on a switch of the test's own.
UNIT += test_uplink_host
test_uplink_host_SRC := tests/unit/test_uplink_host.c nat/uplink_host.c nat/uplink_host_reass.c net/wire.c \
	net/pkt.c net/table.c net/addr.c net/csum.c net/parse.c net/loop.c net/clock.c
test_uplink_host_LIBS := -levent_core -lslirp

FUZZ += fuzz_reass
fuzz_reass_SRC := tests/fuzz/fuzz_reass.c nat/uplink_host_reass.c net/wire.c net/pkt.c net/csum.c net/parse.c
UNIT += test_route
test_route_SRC := tests/unit/test_route.c nat/route.c

TESTPROG += bench/nat_sessions
bench/nat_sessions_SRC = tests/bench/nat_sessions.c $(NAT_BENCH)
bench/nat_sessions_LIBS = $(SWITCH_LIBS)
