/* SPDX-License-Identifier: MIT */
/* UTF-8 as Unicode defines it (table 3-7: no overlong forms, no surrogates, nothing above
 * U+10FFFF), and WTF-8, which also has lone surrogates: what a JavaScript string may hold
 * and UTF-8 cannot. A high surrogate followed by a low one is not WTF-8: the pair is one
 * character of four bytes. */
#ifndef AS_CODEC_UTF8_H
#define AS_CODEC_UTF8_H

#include "base/slice.h"

typedef enum as_utf8_form {
  AS_UTF8_STRICT,     /* UTF-8 */
  AS_UTF8_SURROGATES, /* WTF-8 with at least one lone surrogate */
  AS_UTF8_INVALID,    /* neither */
} as_utf8_form;

enum { AS_UTF8_MAX_BYTES = 4 };

as_utf8_form as_utf8_check(as_slice text);

/* How long the UTF-8 sequence is that `data` begins with, 0 for none. length > 0. */
size_t as_utf8_sequence(const uint8_t *data, size_t length);

/* The same for a surrogate written in three bytes: 3 or 0. */
size_t as_utf8_surrogate(const uint8_t *data, size_t length);

/* How many bytes a code point takes. */
size_t as_utf8_size(uint32_t code_point);

/* Writes a code point, surrogates too, and returns how many bytes it took. */
size_t as_utf8_put(uint32_t code_point, uint8_t *out);

static inline bool as_utf8_is_high_surrogate(uint32_t unit) {
  return unit >= 0xD800 && unit <= 0xDBFF;
}

static inline bool as_utf8_is_low_surrogate(uint32_t unit) {
  return unit >= 0xDC00 && unit <= 0xDFFF;
}

#endif
