/* Base64 (RFC 4648 section 4) for packet bytes inside JSON.  Any thread. */
#ifndef CTL_BASE64_H
#define CTL_BASE64_H

#include <stddef.h>
#include <stdint.h>

#define BASE64_LEN(n) (((n) + 2) / 3 * 4)

/* Writes BASE64_LEN(n) characters and a zero. */
void base64_encode(const uint8_t *bytes, size_t n, char *out);
/* Decodes `n` characters into at most `room` bytes.  0, or -EINVAL for anything that is
 * not canonical base64 or does not fit. */
int base64_decode(const char *text, size_t n, uint8_t *out, size_t room, size_t *ret_len);

#endif
