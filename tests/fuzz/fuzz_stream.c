/* Stream framing: however the bytes arrive, the frames that come out are those that a
 * reader of the whole input sees, and none reaches outside the buffer.
 * Input: one byte that seeds the sizes of the reads, then the stream. */
#include <stdlib.h>

#include "tap/stream_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* The frame at *at of the whole stream, the simple way; false when there is none. */
static bool expect(const uint8_t *all, size_t len, size_t *at, const uint8_t **frame, uint32_t *n)
{
	struct wire w = wire_reader(all + *at, len - *at);

	*n = wire_get_u32(&w);
	*frame = wire_get_bytes(&w, *n);
	if (!wire_ok(&w) || !*n || *n > ETH_FRAME_MAX)
		return false;
	*at += STREAM_LEN_SIZE + *n;
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static uint8_t buf[STREAM_UNIT_MAX];
	struct stream_frame s;
	size_t fed = 0, at = 0;

	if (!len)
		return 0;
	uint32_t seed = data[0];
	data++;
	len--;
	stream_frame_init(&s, buf, sizeof(buf));
	while (fed < len && !s.bad) {
		uint32_t room, n;
		uint8_t *to = stream_frame_room(&s, &room);
		if (!room)
			abort();
		seed = seed * 1103515245u + 12345u;
		n = 1 + (seed >> 16) % (seed & 1 ? 7 : 4096);
		n = n < room ? n : room;
		n = n < len - fed ? n : (uint32_t)(len - fed);
		memcpy(to, data + fed, n);
		stream_frame_added(&s, n);
		fed += n;
		const uint8_t *got, *want;
		uint32_t got_len, want_len;
		while (stream_frame_next(&s, &got, &got_len) == STREAM_FRAME) {
			if (!expect(data, fed, &at, &want, &want_len) || got_len != want_len ||
			    memcmp(got, want, got_len))
				abort();
		}
	}
	const uint8_t *f;
	uint32_t n;
	if (expect(data, fed, &at, &f, &n)) /* one was missed */
		abort();
	return 0;
}
