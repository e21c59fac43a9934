# DNS forwarder and resolv.conf.
DNS_NET_SRC := net/wire.c net/pkt.c net/table.c net/addr.c net/csum.c net/parse.c net/loop.c net/clock.c
DNS_SRC := dhcp/dns_msg.c dhcp/dns_names.c dhcp/dns_zone.c dhcp/dns_udp.c

UNIT += test_dns test_resolv
test_dns_SRC := tests/unit/test_dns.c $(DNS_SRC) dhcp/dns_forward.c dhcp/dns_host.c dhcp/dns_routed.c $(DNS_NET_SRC)
test_dns_LIBS := -levent_core
test_resolv_SRC := tests/unit/test_resolv.c dhcp/resolv.c net/loop.c net/clock.c
test_resolv_LIBS := -levent_core

FUZZ += fuzz_dns
fuzz_dns_SRC := tests/fuzz/fuzz_dns.c $(DNS_SRC) dhcp/resolv.c $(DNS_NET_SRC)
fuzz_dns_LIBS := -levent_core
