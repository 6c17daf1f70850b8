/* SPDX-License-Identifier: MIT */
/* CBOR, RFC 8949: a reader that gives one data item's head after the other, and functions
 * that write them. What JSON has no word for (undefined, NaN, infinities, indefinite
 * lengths, integers beyond 2^53) is not a stored value: the reader refuses it.
 *
 * Items come in the order of the bytes: after an array of n its n elements follow, after
 * a map of n pairs 2n items, after a tag one. The reader believes a declared count only
 * as far as the bytes that are left can hold the items of all open arrays and maps
 * together, so a caller may allocate for item.count at once. */
#ifndef AS_CODEC_CBOR_H
#define AS_CODEC_CBOR_H

#include "base/buffer.h"
#include "codec/codec.h"

typedef enum as_cbor_kind {
  AS_CBOR_INTEGER, /* number: at most 2^53 either way */
  AS_CBOR_FLOAT,   /* number */
  AS_CBOR_BYTES,   /* bytes */
  AS_CBOR_TEXT,    /* bytes; not checked to be UTF-8 */
  AS_CBOR_ARRAY,   /* count of elements */
  AS_CBOR_MAP,     /* count of pairs */
  AS_CBOR_TAG,     /* tag */
  AS_CBOR_FALSE,
  AS_CBOR_TRUE,
  AS_CBOR_NULL,
} as_cbor_kind;

typedef struct as_cbor_item {
  as_cbor_kind kind;
  size_t offset; /* where its head begins */
  double number;
  size_t count;
  uint64_t tag;
  as_slice bytes; /* borrowed from the value being read */
} as_cbor_item;

/* May be copied to look ahead. */
typedef struct as_cbor_reader {
  as_slice value;
  size_t offset;     /* the next byte to read */
  size_t missing;    /* items that the open arrays, maps and tags still need */
  bool has_infinity; /* infinities are let through */
  as_codec_error *error;
} as_cbor_reader;

/* Starts on a value, one data item with all it contains; failures go to `error`. */
void as_cbor_reader_init(as_cbor_reader *reader, as_slice value, as_codec_error *error);

/* The next item. AS_ERR_CORRUPT: malformed, cut short, or nothing that we store. */
AS_MUST_USE as_status as_cbor_next(as_cbor_reader *reader, as_cbor_item *out_item);

/* After the last item: AS_ERR_CORRUPT when bytes are left over. */
AS_MUST_USE as_status as_cbor_reader_finish(const as_cbor_reader *reader);

/* The number that the argument of a float of 2, 4 or 8 bytes stands for. */
double as_cbor_float(unsigned size_bytes, uint64_t bits);

/* Notes "<what> at byte n of the stored value" and returns AS_ERR_CORRUPT. */
AS_MUST_USE as_status as_cbor_fail(const as_cbor_reader *reader, size_t offset,
                                   const char *what);

/* Each appends one item, the head of an array, map or tag only: what it contains is
 * written next. Lengths and integers take the shortest head. */
AS_MUST_USE as_status as_cbor_write_text(as_buffer *out, as_slice text);
AS_MUST_USE as_status as_cbor_write_bytes(as_buffer *out, as_slice bytes);
AS_MUST_USE as_status as_cbor_write_array(as_buffer *out, size_t count);
AS_MUST_USE as_status as_cbor_write_map(as_buffer *out, size_t count);
AS_MUST_USE as_status as_cbor_write_tag(as_buffer *out, uint64_t tag);
AS_MUST_USE as_status as_cbor_write_null(as_buffer *out);
AS_MUST_USE as_status as_cbor_write_boolean(as_buffer *out, bool value);

/* An integer where the value is one of at most 2^53 (-0 becomes 0), else a float. */
AS_MUST_USE as_status as_cbor_write_number(as_buffer *out, double value);

/* Four bytes when they hold the value exactly, else eight. */
AS_MUST_USE as_status as_cbor_write_float(as_buffer *out, double value);

/* Heads alone, for text and bytes whose content the caller appends itself, and for heads
 * written in place. `first` is the major type in the upper three bits. */
enum {
  AS_CBOR_FIRST_BYTES = 2 << 5,
  AS_CBOR_FIRST_TEXT = 3 << 5,
  AS_CBOR_FIRST_ARRAY = 4 << 5,
  AS_CBOR_FIRST_MAP = 5 << 5,
  AS_CBOR_FIRST_TAG = 6 << 5,
  AS_CBOR_MAX_HEAD = 9, /* bytes */
};
AS_MUST_USE as_status as_cbor_write_long_head(as_buffer *out, uint8_t first,
                                              uint64_t argument);
AS_MUST_USE static inline as_status as_cbor_write_head(as_buffer *out, uint8_t first,
                                                       uint64_t argument) {
  if (argument >= 24) return as_cbor_write_long_head(out, first, argument);
  return as_buffer_append_byte(out, (uint8_t)(first | argument));
}
size_t as_cbor_put_head(uint8_t out[AS_CBOR_MAX_HEAD], uint8_t first, uint64_t argument);

#endif
