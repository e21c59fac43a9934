/* Frames in a byte stream: a 32-bit big-endian length, then so many bytes (QEMU's
 * net/stream.c and net/socket.c; no handshake, no padding).
 *
 * A pure reassembler over a buffer of the caller's.  Bytes are read into
 * stream_frame_room(), counted in with stream_frame_added(), and come out of
 * stream_frame_next() frame by frame, in place.  A length of zero or above
 * ETH_FRAME_MAX cannot be skipped over in good faith: the stream is then bad for good.
 * Any thread, one at a time. */
#ifndef TAP_STREAM_FRAME_H
#define TAP_STREAM_FRAME_H

#include <string.h>

#include "net/headers.h"
#include "net/wire.h"

#define STREAM_LEN_SIZE 4u
#define STREAM_UNIT_MAX (STREAM_LEN_SIZE + ETH_FRAME_MAX)

struct stream_frame {
	uint8_t *buf;
	uint32_t cap;	     /* >= STREAM_UNIT_MAX */
	uint32_t start, end; /* bytes not handed out yet */
	uint32_t bad_len;    /* the length that made it bad */
	bool bad;
};

static inline void stream_frame_init(struct stream_frame *s, uint8_t *buf, uint32_t cap)
{
	*s = (struct stream_frame){.buf = buf, .cap = cap};
}

/* Where to read to and how much fits: never 0 once stream_frame_next() said "more".  Moves what
 * is left to the front; frames handed out before are overwritten. */
static inline uint8_t *stream_frame_room(struct stream_frame *s, uint32_t *ret_room)
{
	memmove(s->buf, s->buf + s->start, s->end - s->start);
	s->end -= s->start;
	s->start = 0;
	*ret_room = s->cap - s->end;
	return s->buf + s->end;
}

static inline void stream_frame_added(struct stream_frame *s, uint32_t n)
{
	s->end += n;
}

enum stream_next { STREAM_MORE, STREAM_FRAME, STREAM_BAD };

/* The next whole frame, valid until stream_frame_room(); or that more bytes are needed; or that
 * the stream is bad (bad_len says why). */
static inline enum stream_next stream_frame_next(struct stream_frame *s, const uint8_t **ret_frame,
						 uint32_t *ret_len)
{
	struct wire w = wire_reader(s->buf + s->start, s->end - s->start);

	if (s->bad)
		return STREAM_BAD;
	if (wire_left(&w) < STREAM_LEN_SIZE)
		return STREAM_MORE;
	uint32_t len = wire_get_u32(&w);
	if (!len || len > ETH_FRAME_MAX) {
		s->bad = true;
		s->bad_len = len;
		return STREAM_BAD;
	}
	const uint8_t *frame = wire_get_bytes(&w, len);
	if (!frame)
		return STREAM_MORE;
	s->start += (uint32_t)wire_pos(&w);
	*ret_frame = frame;
	*ret_len = len;
	return STREAM_FRAME;
}

#endif
