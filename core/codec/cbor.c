/* SPDX-License-Identifier: MIT */
/* Head of an item (RFC 8949, section 3): the upper three bits of its first byte are the
 * major type, the lower five are an argument below 24, or say how many bytes of argument
 * follow (24: 1, 25: 2, 26: 4, 27: 8, big endian), or an indefinite length. */
#include "codec/cbor.h"

#include <inttypes.h>
#include <math.h>

#include "codec/number.h"

enum {
  MAJOR_UNSIGNED,
  MAJOR_NEGATIVE,
  MAJOR_BYTES,
  MAJOR_TEXT,
  MAJOR_ARRAY,
  MAJOR_MAP,
  MAJOR_TAG,
  MAJOR_SIMPLE, /* simple values and floats */
};

enum { SIMPLE_FALSE = 20, SIMPLE_TRUE, SIMPLE_NULL, SIMPLE_UNDEFINED };

enum { ARGUMENT_1 = 24, ARGUMENT_2, ARGUMENT_4, ARGUMENT_8, ARGUMENT_INDEFINITE = 31 };

enum { FIRST_NEGATIVE = 1 << 5, FIRST_SIMPLE = 7 << 5 };

void as_cbor_reader_init(as_cbor_reader *reader, as_slice value, as_codec_error *error) {
  reader->value = value;
  reader->offset = 0;
  reader->missing = 1;
  reader->has_infinity = false;
  reader->error = error;
}

as_status as_cbor_fail(const as_cbor_reader *reader, size_t offset, const char *what) {
  return as_codec_error_set(reader->error, AS_ERR_CORRUPT, offset,
                            "%s at byte %zu of the stored value", what, offset);
}

static size_t bytes_left(const as_cbor_reader *reader) {
  return reader->value.length - reader->offset;
}

static as_status read_argument(as_cbor_reader *reader, uint8_t info, uint64_t *out) {
  size_t start = reader->offset - 1;
  *out = info;
  if (info < ARGUMENT_1) return AS_OK;
  if (info == ARGUMENT_INDEFINITE) {
    return as_cbor_fail(reader, start, "an indefinite length, not supported,");
  }
  if (info > ARGUMENT_8) return as_cbor_fail(reader, start, "an item that is not CBOR");
  size_t size = (size_t)1 << (info - ARGUMENT_1);
  if (bytes_left(reader) < size) {
    return as_cbor_fail(reader, reader->value.length, "unexpected end");
  }
  uint64_t argument = 0;
  for (size_t i = 0; i < size; i++) {
    argument = argument << 8 | reader->value.data[reader->offset++];
  }
  *out = argument;
  return AS_OK;
}

static double double_of_bits(uint64_t bits) {
  double value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static double float_of_bits(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return (double)value;
}

/* RFC 8949, appendix D. */
static double half_of_bits(uint64_t half) {
  uint64_t exponent = half >> 10 & 31, mantissa = half & 0x3FF;
  uint64_t sign = half >> 15 << 63;
  if (exponent == 0) {
    double value = (double)mantissa * 0x1p-24;
    return sign != 0 ? -value : value;
  }
  exponent = exponent == 31 ? 2047 : exponent - 15 + 1023;
  return double_of_bits(sign | exponent << 52 | mantissa << 42);
}

double as_cbor_float(unsigned size_bytes, uint64_t bits) {
  if (size_bytes == 2) return half_of_bits(bits);
  return size_bytes == 4 ? float_of_bits((uint32_t)bits) : double_of_bits(bits);
}

static as_status read_float(as_cbor_reader *reader, uint8_t info, uint64_t bits,
                            as_cbor_item *item) {
  item->kind = AS_CBOR_FLOAT;
  item->number = as_cbor_float(1u << (info - ARGUMENT_1), bits);
  if (isfinite(item->number)) return AS_OK;
  if (reader->has_infinity && isinf(item->number)) return AS_OK;
  return as_cbor_fail(reader, item->offset, "a number that is not finite");
}

static as_status read_simple(as_cbor_reader *reader, uint8_t info, uint64_t argument,
                             as_cbor_item *item) {
  if (info >= ARGUMENT_2) return read_float(reader, info, argument, item);
  switch (info) {
    case SIMPLE_FALSE:
      item->kind = AS_CBOR_FALSE;
      return AS_OK;
    case SIMPLE_TRUE:
      item->kind = AS_CBOR_TRUE;
      return AS_OK;
    case SIMPLE_NULL:
      item->kind = AS_CBOR_NULL;
      return AS_OK;
    case SIMPLE_UNDEFINED:
      return as_cbor_fail(reader, item->offset, "undefined, which JSON does not have,");
    default:
      return as_cbor_fail(reader, item->offset, "an unknown simple value");
  }
}

static as_status read_string(as_cbor_reader *reader, as_cbor_kind kind, uint64_t length,
                             as_cbor_item *item) {
  if (length > bytes_left(reader)) {
    return as_cbor_fail(reader, item->offset, "a string longer than what is there");
  }
  item->kind = kind;
  item->bytes = as_slice_of(reader->value.data + reader->offset, (size_t)length);
  reader->offset += (size_t)length;
  return AS_OK;
}

static as_status read_container(as_cbor_reader *reader, as_cbor_kind kind, uint64_t count,
                                as_cbor_item *item) {
  /* Each item takes a byte, so this also keeps the sums far from overflow. */
  size_t left = bytes_left(reader), per_entry = kind == AS_CBOR_MAP ? 2 : 1;
  if (reader->missing > left || count > (left - reader->missing) / per_entry) {
    return as_cbor_fail(reader, item->offset,
                        "an array or map longer than what is there");
  }
  item->kind = kind;
  item->count = (size_t)count;
  reader->missing += item->count * per_entry;
  return AS_OK;
}

static as_status read_integer(as_cbor_reader *reader, bool is_negative, uint64_t argument,
                              as_cbor_item *item) {
  uint64_t limit = (uint64_t)AS_NUMBER_MAX_INTEGER - is_negative;
  if (argument > limit) {
    return as_cbor_fail(reader, item->offset, "an integer beyond 2^53");
  }
  item->kind = AS_CBOR_INTEGER;
  item->number = is_negative ? -1.0 - (double)argument : (double)argument;
  return AS_OK;
}

as_status as_cbor_next(as_cbor_reader *reader, as_cbor_item *out_item) {
  uint64_t argument;
  out_item->offset = reader->offset;
  if (bytes_left(reader) == 0) {
    return as_cbor_fail(reader, reader->offset, "unexpected end");
  }
  uint8_t first = reader->value.data[reader->offset++];
  uint8_t info = first & 31;
  AS_TRY(read_argument(reader, info, &argument));
  reader->missing--;
  switch (first >> 5) {
    case MAJOR_UNSIGNED:
      return read_integer(reader, false, argument, out_item);
    case MAJOR_NEGATIVE:
      return read_integer(reader, true, argument, out_item);
    case MAJOR_BYTES:
      return read_string(reader, AS_CBOR_BYTES, argument, out_item);
    case MAJOR_TEXT:
      return read_string(reader, AS_CBOR_TEXT, argument, out_item);
    case MAJOR_ARRAY:
      return read_container(reader, AS_CBOR_ARRAY, argument, out_item);
    case MAJOR_MAP:
      return read_container(reader, AS_CBOR_MAP, argument, out_item);
    case MAJOR_TAG:
      out_item->kind = AS_CBOR_TAG;
      out_item->tag = argument;
      reader->missing++;
      return AS_OK;
    default:
      return read_simple(reader, info, argument, out_item);
  }
}

as_status as_cbor_reader_finish(const as_cbor_reader *reader) {
  if (bytes_left(reader) == 0) return AS_OK;
  return as_cbor_fail(reader, reader->offset, "bytes after the end");
}

static void put_big_endian(uint8_t *out, size_t size, uint64_t word) {
  for (size_t i = size; i > 0; i--) {
    out[i - 1] = (uint8_t)word;
    word >>= 8;
  }
}

size_t as_cbor_put_head(uint8_t out[AS_CBOR_MAX_HEAD], uint8_t first, uint64_t argument) {
  if (argument < ARGUMENT_1) {
    out[0] = (uint8_t)(first | argument);
    return 1;
  }
  uint8_t info = argument <= UINT8_MAX    ? ARGUMENT_1
                 : argument <= UINT16_MAX ? ARGUMENT_2
                 : argument <= UINT32_MAX ? ARGUMENT_4
                                          : ARGUMENT_8;
  size_t size = (size_t)1 << (info - ARGUMENT_1);
  out[0] = (uint8_t)(first | info);
  put_big_endian(out + 1, size, argument);
  return 1 + size;
}

as_status as_cbor_write_long_head(as_buffer *out, uint8_t first, uint64_t argument) {
  AS_TRY(as_buffer_reserve(out, AS_CBOR_MAX_HEAD));
  out->length += as_cbor_put_head(out->data + out->length, first, argument);
  return AS_OK;
}

static as_status write_string(as_buffer *out, uint8_t first, as_slice content) {
  AS_TRY(as_cbor_write_head(out, first, content.length));
  return as_buffer_append_slice(out, content);
}

as_status as_cbor_write_text(as_buffer *out, as_slice text) {
  return write_string(out, AS_CBOR_FIRST_TEXT, text);
}

as_status as_cbor_write_bytes(as_buffer *out, as_slice bytes) {
  return write_string(out, AS_CBOR_FIRST_BYTES, bytes);
}

as_status as_cbor_write_array(as_buffer *out, size_t count) {
  return as_cbor_write_head(out, AS_CBOR_FIRST_ARRAY, count);
}

as_status as_cbor_write_map(as_buffer *out, size_t count) {
  return as_cbor_write_head(out, AS_CBOR_FIRST_MAP, count);
}

as_status as_cbor_write_tag(as_buffer *out, uint64_t tag) {
  return as_cbor_write_head(out, AS_CBOR_FIRST_TAG, tag);
}

as_status as_cbor_write_null(as_buffer *out) {
  return as_buffer_append_byte(out, FIRST_SIMPLE | SIMPLE_NULL);
}

as_status as_cbor_write_boolean(as_buffer *out, bool value) {
  return as_buffer_append_byte(out, FIRST_SIMPLE | (value ? SIMPLE_TRUE : SIMPLE_FALSE));
}

as_status as_cbor_write_number(as_buffer *out, double value) {
  int64_t integer;
  if (!as_number_is_integer(value, &integer)) return as_cbor_write_float(out, value);
  if (integer >= 0) return as_cbor_write_head(out, 0, (uint64_t)integer);
  return as_cbor_write_head(out, FIRST_NEGATIVE, (uint64_t)(-1 - integer));
}

static bool is_single(double value) {
  /* Beyond the range of float the conversion itself would be undefined. */
  return isinf(value) || (fabs(value) <= 0x1.fffffep127 && (double)(float)value == value);
}

as_status as_cbor_write_float(as_buffer *out, double value) {
  uint8_t item[AS_CBOR_MAX_HEAD];
  if (is_single(value)) {
    float single = (float)value;
    uint32_t bits;
    memcpy(&bits, &single, sizeof bits);
    item[0] = FIRST_SIMPLE | ARGUMENT_4;
    put_big_endian(item + 1, sizeof bits, bits);
    return as_buffer_append(out, item, 1 + sizeof bits);
  }
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  item[0] = FIRST_SIMPLE | ARGUMENT_8;
  put_big_endian(item + 1, sizeof bits, bits);
  return as_buffer_append(out, item, 1 + sizeof bits);
}
