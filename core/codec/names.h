/* SPDX-License-Identifier: MIT */
/* The field names that Baileys and libsignal write, in the order in which they write
 * them. Two uses: a value made in Lua gets its well-known names first, in this order; and
 * {"0":1,"1":2} under a name that holds bytes is a byte string. */
#ifndef AS_CODEC_NAMES_H
#define AS_CODEC_NAMES_H

#include "base/slice.h"

enum { AS_NAMES_MAX = 128 };

size_t as_names_count(void); /* at most AS_NAMES_MAX */

/* The i-th name, from 0. Static storage. */
as_slice as_names_at(size_t i);

/* True for a field that holds a Buffer or Uint8Array, never a plain object. */
bool as_names_is_bytes(as_slice name);

#endif
