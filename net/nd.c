/* Neighbour discovery's shared pieces (nd.h). */
#include "net/nd.h"

#include <errno.h>
#include <string.h>

#define UNIVERSAL 0x02u /* the bit that EUI-64 turns */

void nd_link_local(struct mac m, uint8_t ret[16])
{
	const uint8_t a[16] = {0xfe, 0x80, 0, 0, 0, 0, 0, 0, m.b[0] ^ UNIVERSAL, m.b[1], m.b[2], 0xff, 0xfe,
			       m.b[3], m.b[4], m.b[5]};

	memcpy(ret, a, sizeof(a));
}

int nd_read_mac(struct wire *w, uint8_t type, struct nd_mac *ret)
{
	struct nd_mac m = {0};

	while (wire_left(w)) {
		const uint8_t kind = wire_get_u8(w), units = wire_get_u8(w);
		struct wire o;

		if (!units)
			return -EBADMSG;
		o = wire_sub(w, units * 8u - 2);
		if (kind == type && units == 1)
			m = (struct nd_mac){wire_get_mac(&o), true};
		if (!wire_ok(w) || !wire_ok(&o))
			return -EBADMSG;
	}
	if (!wire_ok(w))
		return -EBADMSG;
	*ret = m;
	return 0;
}
