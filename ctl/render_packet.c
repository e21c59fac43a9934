/* One line for a captured frame.  Not a dissector (Wireshark reads `-w -`): addresses, the
 * protocol, ports; what is cut short or strange is shown as its EtherType. */
#include "net/addr.h"
#include "net/headers.h"
#include "net/wire.h"

#include "ctl/render.h"

#define ARP_REQUEST 1
#define IP4_FRAGMENT_OFFSET 0x1fff

static const char *ip_proto(uint8_t proto)
{
	switch (proto) {
	case IPPROTO4_ICMP:
		return "ICMP";
	case IPPROTO4_TCP:
		return "TCP";
	case IPPROTO4_UDP:
		return "UDP";
	case IPPROTO6_ICMP:
		return "ICMPv6";
	default:
		return "IP";
	}
}

/* RFC 793 order, the ones that matter for reading along. */
static void tcp_flags(FILE *out, struct wire *w)
{
	static const char names[] = "FSRPAU";
	wire_skip(w, 9); /* sequence, acknowledgement, offset */
	uint8_t flags = wire_get_u8(w);
	if (!wire_ok(w))
		return;
	fputs(" [", out);
	for (unsigned i = 0; i < 6; i++)
		if (flags >> i & 1)
			fputc(names[i], out);
	fputc(']', out);
}

static void arp(FILE *out, struct wire *w)
{
	char a[IP4_STRLEN], b[IP4_STRLEN], m[MAC_STRLEN];
	wire_skip(w, 6); /* hardware, protocol, sizes */
	uint16_t op = wire_get_u16(w);
	struct mac sender = wire_get_mac(w);
	be32 from = wire_get_ip4(w);
	wire_get_mac(w);
	be32 to = wire_get_ip4(w);
	if (!wire_ok(w))
		fputs("ARP (short)", out);
	else if (op == ARP_REQUEST)
		fprintf(out, "ARP who has %s? tell %s", ip4_format(to, a), ip4_format(from, b));
	else
		fprintf(out, "ARP %s is at %s", ip4_format(from, a), mac_format(sender, m));
}

static void ip4(FILE *out, struct wire *w)
{
	char a[IP4_STRLEN], b[IP4_STRLEN];
	size_t start = wire_pos(w);
	uint8_t ihl = (wire_get_u8(w) & 15) * 4;
	wire_skip(w, 5);
	bool later = wire_get_u16(w) & IP4_FRAGMENT_OFFSET;
	wire_skip(w, 1);
	uint8_t proto = wire_get_u8(w);
	wire_skip(w, 2);
	be32 src = wire_get_ip4(w), dst = wire_get_ip4(w);
	if (!wire_ok(w)) {
		fputs("IPv4 (short)", out);
		return;
	}
	wire_seek(w, start + ihl);
	bool ports = (proto == IPPROTO4_TCP || proto == IPPROTO4_UDP) && !later;
	uint16_t sport = ports ? wire_get_u16(w) : 0, dport = ports ? wire_get_u16(w) : 0;
	if (ports && wire_ok(w))
		fprintf(out, "%s %s:%u > %s:%u", ip_proto(proto), ip4_format(src, a), sport,
			ip4_format(dst, b), dport);
	else
		fprintf(out, "%s %s > %s%s", ip_proto(proto), ip4_format(src, a), ip4_format(dst, b),
			later ? " (fragment)" : "");
	if (ports && proto == IPPROTO4_TCP)
		tcp_flags(out, w);
}

static void ip6(FILE *out, struct wire *w)
{
	char a[IP6_STRLEN], b[IP6_STRLEN];
	uint8_t src[16], dst[16];
	wire_skip(w, 6);
	uint8_t next = wire_get_u8(w);
	wire_skip(w, 1);
	wire_get(w, src, sizeof(src));
	wire_get(w, dst, sizeof(dst));
	if (!wire_ok(w))
		fputs("IPv6 (short)", out);
	else
		fprintf(out, "%s %s > %s", next == IPPROTO6_ICMP ? "ICMPv6" : "IPv6", ip6_format(src, a),
			ip6_format(dst, b));
}

void render_packet(FILE *out, const uint8_t *bytes, size_t len, uint32_t wire_len)
{
	char a[MAC_STRLEN], b[MAC_STRLEN];
	struct wire w = wire_reader(bytes, len);
	struct mac dst = wire_get_mac(&w), src = wire_get_mac(&w);
	ethertype type = wire_get_u16(&w);
	if (type == ETHERTYPE_VLAN || type == ETHERTYPE_QINQ) {
		fprintf(out, "vlan %u ", wire_get_u16(&w) & 0xfff);
		type = wire_get_u16(&w);
	}
	fprintf(out, "%s > %s ", mac_format(src, a), mac_format(dst, b));
	if (!wire_ok(&w))
		fputs("(short)", out);
	else if (type == ETHERTYPE_ARP)
		arp(out, &w);
	else if (type == ETHERTYPE_IP4)
		ip4(out, &w);
	else if (type == ETHERTYPE_IP6)
		ip6(out, &w);
	else
		fprintf(out, "type 0x%04x", type);
	fprintf(out, ", %u bytes", wire_len);
}
