/* Port control from a hostile guest: the first byte says which protocols are allowed (low
 * two bits) and the result of the answer (high nibble), the rest is the datagram.
 *
 * What must hold: an answer is never longer than a message, PCP's is a multiple of four, is a
 * response to the same opcode, and is itself not answered. */
#include <stdlib.h>

#include "nat/portctl.h"
#include "net/wire.h"

static void need(bool ok)
{
	if (!ok)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct wire w = wire_reader(data, len);
	uint8_t how = wire_get_u8(&w), out[PORTCTL_MSG_MAX];
	size_t n = wire_left(&w);
	const uint8_t *msg = wire_get_bytes(&w, n);
	struct portctl_request q, again;

	if (!msg || portctl_parse(msg, n, how & 3, &q))
		return 0;
	need(q.n_filters <= PORTCTL_FILTERS && (q.by == PORTCTL_NATPMP || q.by == PORTCTL_PCP));
	struct portctl_response r = {.result = q.error ? q.error : (how >> 4) % PORTCTL_RESULTS,
				     .lifetime = q.lifetime, .external_port = q.external_port};
	size_t size = portctl_build(&q, msg, n, &r, out, sizeof(out));
	need(size >= 4 && size <= sizeof(out) && (q.by == PORTCTL_NATPMP || size % 4 == 0));
	need(portctl_parse(out, size, 3, &again) < 0);
	struct wire a = wire_reader(out, size);
	wire_skip(&a, 1);
	need((wire_get_u8(&a) & 0x7f) == q.opcode);
	return 0;
}
