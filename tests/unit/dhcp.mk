# dhcp/: the lease store alone, the server on it, and its skin with a switch of the test's.
LEASE_ALL := dhcp/lease.c dhcp/lease_journal.c dhcp/lease_reserve.c net/addr.c net/table.c net/clock.c
DHCP_ALL := dhcp/dhcp_server.c dhcp/dhcp_msg.c net/wire.c $(LEASE_ALL)

UNIT += test_lease test_dhcp
test_lease_SRC := tests/unit/test_lease.c $(LEASE_ALL)
test_dhcp_SRC := tests/unit/test_dhcp.c dhcp/dhcp_receive.c dhcp/dhcp_frame.c net/parse.c net/csum.c net/pkt.c $(DHCP_ALL)

FUZZ += fuzz_dhcp
fuzz_dhcp_SRC := tests/fuzz/fuzz_dhcp.c $(DHCP_ALL)
FUZZ += fuzz_lease
fuzz_lease_SRC := tests/fuzz/fuzz_lease.c dhcp/lease_journal.c net/addr.c

# Router advertisements, without switch or clock.
RA_ALL := dhcp/ra.c net/nd.c net/wire.c net/parse.c net/csum.c net/pkt.c
UNIT += test_ra
test_ra_SRC := tests/unit/test_ra.c $(RA_ALL)
FUZZ += fuzz_ra
fuzz_ra_SRC := tests/fuzz/fuzz_ra.c $(RA_ALL)
# The client: by itself, with our server as its peer.
UNIT += test_dhcp_client
test_dhcp_client_SRC := tests/unit/test_dhcp_client.c dhcp/dhcp_client.c $(DHCP_ALL)
FUZZ += fuzz_dhcp_client
fuzz_dhcp_client_SRC := tests/fuzz/fuzz_dhcp_client.c dhcp/dhcp_client.c dhcp/dhcp_msg.c net/wire.c net/addr.c
