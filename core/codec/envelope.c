/* SPDX-License-Identifier: MIT */
#include "codec/envelope.h"

enum {
  MARK_OURS = 0x80,
  MARK_ENCRYPTED = 0x10,
  COMPRESSOR_SHIFT = 5,
  COMPRESSOR_BITS = 3,
  SERIALIZER_BITS = 15,
};

enum { SERIALIZER_CBOR = 0 };

static const char *const COMPRESSORS[] = {"none", "lz4", "zstd", "deflate"};

static as_status open_header(uint8_t header, as_codec_error *error) {
  unsigned compressor = header >> COMPRESSOR_SHIFT & COMPRESSOR_BITS;
  unsigned serializer = header & SERIALIZER_BITS;
  if (serializer != SERIALIZER_CBOR) {
    return as_codec_error_set(error, AS_ERR_CORRUPT, 0, "unknown serializer %u",
                              serializer);
  }
  if (header & MARK_ENCRYPTED) {
    return as_codec_error_set(error, AS_ERR_CORRUPT, 0,
                              "the value is encrypted, which this version cannot read");
  }
  if (compressor != 0) {
    return as_codec_error_set(error, AS_ERR_CORRUPT, 0,
                              "compressor %s is not supported by this version",
                              COMPRESSORS[compressor]);
  }
  return AS_OK;
}

as_status as_envelope_open(as_slice stored, size_t max_value_bytes,
                           as_envelope *out_envelope, as_codec_error *error) {
  as_codec_error_clear(error);
  if (stored.length == 0) {
    return as_codec_error_set(error, AS_ERR_CORRUPT, 0, "the stored value is empty");
  }
  if (stored.length > max_value_bytes) {
    return as_codec_error_set(
        error, AS_ERR_CORRUPT, 0,
        "the stored value has %zu bytes, more than max_value_bytes (%zu)", stored.length,
        max_value_bytes);
  }
  uint8_t header = stored.data[0];
  if (header < MARK_OURS) {
    *out_envelope = (as_envelope){AS_ENVELOPE_FOREIGN_JSON, stored};
    return AS_OK;
  }
  AS_TRY(open_header(header, error));
  out_envelope->kind = AS_ENVELOPE_CBOR;
  out_envelope->payload = as_slice_of(stored.data + 1, stored.length - 1);
  return AS_OK;
}

as_status as_envelope_begin(as_buffer *out) {
  return as_buffer_append_byte(out, MARK_OURS | SERIALIZER_CBOR);
}
