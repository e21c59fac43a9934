/* Which of the two protocols a datagram at port 5351 speaks; see nat/portctl.h. */
#include "nat/portctl.h"

#include <errno.h>

#include "net/wire.h"

#define VERSION_NATPMP 0
#define VERSION_PCP 2
#define RESPONSE 0x80u /* of the second byte, in both */

int portctl_parse(const void *bytes, size_t len, unsigned allowed, struct portctl_request *ret)
{
	struct wire w = wire_reader(bytes, len);
	uint8_t version = wire_get_u8(&w), opcode = wire_get_u8(&w);
	struct portctl_request q = {.opcode = opcode & (RESPONSE - 1)};

	if (!wire_ok(&w) || opcode & RESPONSE) /* RFC 6887 8.3, RFC 6886 3.1: dropped in silence */
		return -EINVAL;
	if (!(allowed & (PORTCTL_NATPMP | PORTCTL_PCP)))
		return -EINVAL;
	if (version == VERSION_NATPMP && allowed & PORTCTL_NATPMP) {
		q.by = PORTCTL_NATPMP;
		natpmp_parse(bytes, len, &q);
	} else if (version == VERSION_PCP && allowed & PORTCTL_PCP) {
		q.by = PORTCTL_PCP;
		pcp_parse(bytes, len, &q);
	} else { /* the highest version there is says so (RFC 6887 9) */
		q.by = allowed & PORTCTL_PCP ? PORTCTL_PCP : PORTCTL_NATPMP;
		q.error = PORTCTL_UNSUPP_VERSION;
	}
	*ret = q;
	return 0;
}

size_t portctl_build(const struct portctl_request *q, const void *bytes, size_t len,
		     const struct portctl_response *r, void *room, size_t size)
{
	return q->by == PORTCTL_NATPMP ? natpmp_build(q, r, room, size)
				       : pcp_build(q, bytes, len, r, room, size);
}

const char *portctl_result_name(enum portctl_result r)
{
	static const char *const names[] = {
		[PORTCTL_SUCCESS] = "SUCCESS",
		[PORTCTL_UNSUPP_VERSION] = "UNSUPP_VERSION",
		[PORTCTL_NOT_AUTHORIZED] = "NOT_AUTHORIZED",
		[PORTCTL_MALFORMED_REQUEST] = "MALFORMED_REQUEST",
		[PORTCTL_UNSUPP_OPCODE] = "UNSUPP_OPCODE",
		[PORTCTL_UNSUPP_OPTION] = "UNSUPP_OPTION",
		[PORTCTL_MALFORMED_OPTION] = "MALFORMED_OPTION",
		[PORTCTL_NETWORK_FAILURE] = "NETWORK_FAILURE",
		[PORTCTL_NO_RESOURCES] = "NO_RESOURCES",
		[PORTCTL_UNSUPP_PROTOCOL] = "UNSUPP_PROTOCOL",
		[PORTCTL_USER_EX_QUOTA] = "USER_EX_QUOTA",
		[PORTCTL_CANNOT_PROVIDE_EXTERNAL] = "CANNOT_PROVIDE_EXTERNAL",
		[PORTCTL_ADDRESS_MISMATCH] = "ADDRESS_MISMATCH",
		[PORTCTL_EXCESSIVE_REMOTE_PEERS] = "EXCESSIVE_REMOTE_PEERS",
	};
	_Static_assert(ARRAY_SIZE(names) == PORTCTL_RESULTS, "every result has a name");

	return r < PORTCTL_RESULTS ? names[r] : "?";
}
