/* Why a packet was lost: the one list.
 *
 * Every packet ends in exactly one verdict.  A verdict that loses the packet is
 * one of these; its id is the word that `vswitchctl counters --drops` prints and
 * JSON carries, its text is what docs/counters.md says.  "In" reasons count at
 * the port a frame came from, "out" reasons at the port it was offered to, and
 * reasons of the gateway at the gateway's port, so that the sums in
 * docs/architecture.md always hold.
 *
 * To add one: add a line.  Names, docs and JSON follow. */
#ifndef NET_DROP_H
#define NET_DROP_H

#include <stdint.h>

/* X(ENUM, "json-name", "sentence") */
#define DROP_LIST(X)                                                                               \
	/* reading from the port */                                                                \
	X(RX_RUNT, "rx-runt", "shorter than an Ethernet header")                                   \
	X(RX_OVERSIZE, "rx-oversize", "longer than the port can carry")                            \
	X(RX_TRUNCATED, "rx-truncated", "the kernel or peer delivered only part of the frame")     \
	X(RX_BAD_OFFLOAD, "rx-bad-offload", "offload fields that contradict the frame")            \
	X(RX_NO_BUFFER, "rx-no-buffer", "no packet buffer was free")                               \
	X(RX_OVERRUN, "rx-overrun", "the kernel's queue toward the switch was full")               \
	X(RX_MEMBER_LIMIT, "rx-member-limit", "from one peer more than the port may have")         \
	X(RX_BAD_PEER, "rx-bad-peer", "from a sender that is not, or cannot be, a peer")           \
	X(RX_STRANGER, "rx-stranger", "to a udp port from another address than its peer's")        \
	/* Ethernet and VLAN */                                                                    \
	X(ETH_SRC_GROUP, "eth-src-group", "source MAC is a group address")                         \
	X(ETH_SRC_ZERO, "eth-src-zero", "source MAC is all zeroes")                                \
	X(ETH_LENGTH, "eth-length", "802.3 length field exceeds the frame")                        \
	X(ETH_CONTROL, "eth-control", "link-local control frame, never forwarded (802.1D 7.12.6)") \
	X(VLAN_RESERVED, "vlan-reserved", "VLAN id 4095")                                          \
	X(VLAN_TAGGED, "vlan-tagged", "tagged frame on an access port")                            \
	X(VLAN_UNTAGGED, "vlan-untagged", "untagged frame on a trunk without native VLAN")         \
	X(VLAN_FILTERED, "vlan-filtered", "VLAN that the port does not carry")                     \
	X(VLAN_TRUNCATED, "vlan-truncated", "frame ends inside its tag")                           \
	/* headers above Ethernet */                                                               \
	X(ARP_MALFORMED, "arp-malformed", "ARP too short or of impossible sizes")                  \
	X(IP4_TRUNCATED, "ip4-truncated", "shorter than its IPv4 header or total length says")     \
	X(IP4_HEADER, "ip4-header", "wrong IPv4 version or header length")                         \
	X(IP4_CHECKSUM, "ip4-checksum", "wrong IPv4 header checksum")                              \
	X(IP4_FRAGMENT, "ip4-fragment", "fragment beyond 65535 bytes or of impossible size")       \
	X(IP6_TRUNCATED, "ip6-truncated", "shorter than its IPv6 headers or payload length say")   \
	X(IP6_HEADER, "ip6-header", "wrong IPv6 version or endless extension headers")             \
	X(IP6_FRAGMENT, "ip6-fragment", "IPv6 fragment beyond 65535 bytes or of impossible size")  \
	X(TCP_MALFORMED, "tcp-malformed", "TCP header cut short or with a wrong data offset")      \
	X(UDP_MALFORMED, "udp-malformed", "UDP header cut short or with a wrong length")           \
	X(ICMP_MALFORMED, "icmp-malformed", "ICMP header cut short")                               \
	/* forwarding */                                                                           \
	X(PORT_DOWN, "port-down", "the port is administratively down")                             \
	X(SRC_LIMIT, "src-limit", "new source MAC beyond the port's max-macs")                     \
	X(SRC_STATIC, "src-static", "source MAC belongs to another port by configuration")        \
	X(SAME_PORT, "same-port", "destination is behind the port it came from")                   \
	X(NO_DESTINATION, "no-destination", "no other port in the domain to take it")              \
	X(ISOLATED, "isolated", "between two isolated ports")                                      \
	X(NO_DOMAIN, "no-domain", "the frame's network was removed under it")                      \
	X(QUEUE_INTERNAL, "queue-internal", "an internal queue was full")                          \
	/* sending to a port */                                                                    \
	X(TX_FULL, "tx-full", "the peer does not read: its queue is full")                         \
	X(TX_GONE, "tx-gone", "the peer is gone or not there yet")                                 \
	X(TX_OVERSIZE, "tx-oversize", "longer than the port's MTU and may not be segmented")       \
	X(TX_ERROR, "tx-error", "the kernel refused the frame")                                    \
	X(TX_NO_BUFFER, "tx-no-buffer", "no buffer to finish offloads in")                         \
	X(TX_SPLIT, "tx-split", "TSO frame whose headers are not what its offload fields say")     \
	/* gateway and NAT */                                                                      \
	X(GW_NOT_MINE, "gw-not-mine", "at the gateway's MAC, but nothing the gateway speaks")      \
	X(GW_MARTIAN, "gw-martian", "source or destination address that cannot be routed")         \
	X(GW_SPOOFED, "gw-spoofed", "source address outside the network's subnet")                 \
	X(GW_TTL, "gw-ttl", "TTL ran out at the gateway")                                          \
	X(GW_NO_ROUTE, "gw-no-route", "no uplink or route for the destination")                    \
	X(GW_HOST_ONLY, "gw-host-only", "would leave a host-only network")                         \
	X(GW_UNREACHABLE, "gw-unreachable", "next hop or guest does not answer ARP")               \
	X(GW_ARP_QUEUE, "gw-arp-queue", "too many packets or questions waiting for an answer to ARP or ND")             \
	X(GW_LOCAL_CLOSED, "gw-local-closed", "to a port of the gateway where nothing listens")    \
	X(GW_TOO_BIG, "gw-too-big", "larger than the next MTU, and not to be cut")                        \
	X(GW_FRAGMENT, "gw-fragment", "fragment for the gateway itself, of no echo request")       \
	X(GW_ND, "gw-nd", "neighbour discovery that RFC 4861 7.1 has us discard")                  \
	X(GW_UNSOLICITED, "gw-unsolicited", "IPv6 to a filtered network that nobody there has asked for") \
	X(GW_IPV6, "gw-ipv6", "IPv6 to a gateway that does not route it")                          \
	X(NAT_PROTOCOL, "nat-protocol", "protocol that the NAT does not translate")                \
	X(NAT_NO_MAPPING, "nat-no-mapping", "from outside without mapping or forward")             \
	X(NAT_FILTERED, "nat-filtered", "from outside, refused by the filtering mode")             \
	X(NAT_NOT_SYN, "nat-not-syn", "TCP from inside that belongs to no session; answered with RST")                \
	X(NAT_PORTS, "nat-ports", "no outside port left")                                          \
	X(NAT_PAIR, "nat-pair", "GRE or ESP to a remote that another guest has")                   \
	X(NAT_SESSIONS, "nat-sessions", "the guest is at its session limit")                       \
	X(NAT_MAPPINGS, "nat-mappings", "the guest is at its limit of mappings")                   \
	X(NAT_PORT_QUOTA, "nat-port-quota", "the guest is at its limit of outside ports")          \
	X(NAT_RATE, "nat-rate", "the guest starts sessions faster than it may")                    \
	X(NAT_TABLE, "nat-table", "the session table is full")                                     \
	X(NAT_FRAGMENT, "nat-fragment", "fragment whose first one did not come in time")           \
	X(NAT_FRAG_OVERLAP, "nat-frag-overlap", "fragment of a datagram with overlapping fragments") \
	X(NAT_FRAG_LIMIT, "nat-frag-limit", "fragment before its first, beyond what is held")      \
	X(NAT_ICMP, "nat-icmp", "ICMP error about a packet of no session, or malformed")           \
	X(NAT_CHECKSUM, "nat-checksum", "wrong L4 checksum in a packet the NAT must trust")        \
	/* services */                                                                             \
	X(SVC_QUEUE, "svc-queue", "the services' queue was full")                                  \
	X(SVC_MALFORMED, "svc-malformed", "message to a service that does not parse")              \
	X(SVC_SHARE, "svc-share", "DNS query of a guest that has its share in flight")             \
	X(SVC_STRAY, "svc-stray", "DNS answer that no question waits for")                         \
	X(SVC_OFF, "svc-off", "DHCP or DNS to a network that does not serve it")

enum drop_reason {
	DROP_NONE = 0,
#define X(id, name, text) DROP_##id,
	DROP_LIST(X)
#undef X
	DROP_COUNT
};

/* "rx-runt"; "none" for DROP_NONE, "?" outside the enum. */
const char *drop_name(enum drop_reason r);
/* One sentence for people. */
const char *drop_text(enum drop_reason r);

#endif
