/* SPDX-License-Identifier: MIT */
/* JavaScript numbers and their text: ECMA-262 Number::toString, that is the shortest
 * digits that read back as the same double. Nothing here depends on the locale that the
 * host program may have set. */
#ifndef AS_CODEC_NUMBER_H
#define AS_CODEC_NUMBER_H

#include "base/slice.h"

/* 2^53: up to here every integer is a double. */
#define AS_NUMBER_MAX_INTEGER INT64_C(9007199254740992)

enum { AS_NUMBER_MAX_CHARS = 32 };

/* The double nearest to a number token of JSON (RFC 8259, section 6); an infinity when it
 * is too large for one. The token must be well formed. */
double as_number_parse(as_slice token);

/* Writes a finite value as JSON.stringify does (-0 as 0) and returns the length. No final
 * NUL is written. */
size_t as_number_format(double value, char out[AS_NUMBER_MAX_CHARS]);

/* True when JSON.stringify writes `value`, which must be the token's, as this very token:
 * not so for -0, 1.0, 1E5 and 1e400. Formats the number only for rare tokens. */
bool as_number_is_canonical(as_slice token, double value);

/* True for an integer of at most 2^53 either way, which goes to *out_integer. */
bool as_number_is_integer(double value, int64_t *out_integer);

#endif
