/* SPDX-License-Identifier: MIT */
/* Base64, RFC 4648 section 4: alphabet A-Z a-z 0-9 + /, padded with =. */
#ifndef AS_CODEC_BASE64_H
#define AS_CODEC_BASE64_H

#include "base/slice.h"

/* The characters that `length` bytes become. */
size_t as_base64_encoded_length(size_t length);

/* Writes as_base64_encoded_length(bytes.length) characters, no final NUL. */
void as_base64_encode(as_slice bytes, uint8_t *out);

/* The bytes that canonical text stands for. */
size_t as_base64_decoded_length(as_slice text);

/* Decodes canonical text: complete groups, right padding, unused bits zero, so that
 * encoding gives the same text back. False for any other text: what was written to `out`
 * means nothing. Writes at most as_base64_decoded_length(text) bytes. */
bool as_base64_decode(as_slice text, uint8_t *out);

/* Decodes what Node's Buffer.from(text, "base64") decodes, in the same way: - and _ are
 * read as + and /, other characters are skipped, padding may be missing, the first = ends
 * the text. `out` NULL only counts. Returns the number of bytes. */
size_t as_base64_decode_lenient(as_slice text, uint8_t *out);

#endif
