/* Router solicitations as a guest can send them: a whole frame, its checksum mended when the first byte is
 * odd, so that the options behind it are reached. What is accepted came from the link, and no
 * unspecified source names a MAC address. */
#include <stdlib.h>
#include <string.h>

#include "dhcp/ra.h"
#include "net/csum.h"
#include "net/parse.h"

#define FRAME_MAX 2000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const uint8_t unspecified[16];
	struct ra_solicit s;
	if (len < 2 || len > FRAME_MAX)
		return 0;
	size_t n = len - 1;
	uint8_t *f = malloc(n);
	memcpy(f, data + 1, n);
	struct pkt k = {.head = f, .head_len = (uint16_t)n, .len = (uint32_t)n};
	if (pkt_parse(&k) == DROP_NONE && k.flags & PKT_IP6 && k.flags & PKT_L4 && k.ip_proto == IPPROTO6_ICMP &&
	    data[0] & 1) {
		const uint32_t l4 = pkt_l4_len(&k);
		pkt_icmp(&k)->csum = 0;
		pkt_icmp(&k)->csum = csum_finish(csum_pseudo6(pkt_ip6(&k)->src, pkt_ip6(&k)->dst, 58, l4) +
						 csum_fold(csum_pkt(&k, k.l4_off, l4)));
	}
	if (k.flags & PKT_PARSED && !ra_solicit_parse(&k, &s) &&
	    (pkt_ip6(&k)->hops != ND_HOPS || (s.has_mac && !memcmp(s.source, unspecified, 16))))
		abort();
	free(f);
	return 0;
}
