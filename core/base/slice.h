/* SPDX-License-Identifier: MIT */
/* as_slice borrows bytes: it owns nothing and is valid as long as its lender says. */
#ifndef AS_BASE_SLICE_H
#define AS_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct as_slice {
  const uint8_t *data;
  size_t length;
} as_slice;

static inline as_slice as_slice_of(const void *data, size_t length) {
  as_slice slice = {(const uint8_t *)data, length};
  return slice;
}

/* Borrows a C string, without its final NUL. */
static inline as_slice as_slice_text(const char *text) {
  return as_slice_of(text, strlen(text));
}

static inline bool as_slice_equals(as_slice a, as_slice b) {
  return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

static inline bool as_slice_starts_with(as_slice slice, const char *prefix) {
  size_t length = strlen(prefix);
  return slice.length >= length && memcmp(slice.data, prefix, length) == 0;
}

#endif
