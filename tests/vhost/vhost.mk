# The userspace vhost-user guest: a unit test links $(VHOST_FRONTEND), scripts run vhost_peer.
VHOST_FRONTEND := tests/vhost/frontend.c tests/vhost/frontend_msg.c tests/vhost/frontend_ring.c
TESTPROG += vhost/vhost_peer
vhost/vhost_peer_SRC := tests/vhost/peer.c tests/vhost/peer_bridge.c tests/vhost/peer_traffic.c tests/vhost/peer_hang.c $(VHOST_FRONTEND)
TESTPROG += bench/line_trip
bench/line_trip_SRC := tests/bench/line_trip.c

TESTPROG += bench/tcp_rr
bench/tcp_rr_SRC := tests/bench/tcp_rr.c

TESTPROG += bench/new_flows
bench/new_flows_SRC := tests/bench/new_flows.c
