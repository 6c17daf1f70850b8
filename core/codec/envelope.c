/* SPDX-License-Identifier: MIT */
#include "codec/envelope.h"

#include <inttypes.h>

enum {
  MARK_OURS = 0x80,
  MARK_ENCRYPTED = 0x10,
  COMPRESSOR_SHIFT = 5,
  COMPRESSOR_BITS = 3,
  SERIALIZER_BITS = 15,
};

enum { VARINT_BITS = 7, VARINT_MORE = 0x80, VARINT_MAX_BYTES = 5 };

void as_envelope_state_init(as_envelope_state *state, as_mem *mem) {
  as_compressor_state_init(&state->compressors, mem);
  as_buffer_init(&state->payload, mem);
}

void as_envelope_state_free(as_envelope_state *state) {
  as_compressor_state_free(&state->compressors);
  as_buffer_free(&state->payload);
}

/* ---- opening ---------------------------------------------------------------------- */

as_status as_envelope_refuse_serializer(const as_envelope *envelope,
                                        as_codec_error *error) {
  return as_codec_error_set(error, AS_ERR_CORRUPT, 0, "unknown serializer %u",
                            (unsigned)envelope->serializer);
}

static as_status open_header(uint8_t header, as_envelope *envelope,
                             as_codec_error *error) {
  envelope->is_foreign = false;
  envelope->header = header;
  envelope->serializer = header & SERIALIZER_BITS;
  envelope->is_packed = (header >> COMPRESSOR_SHIFT & COMPRESSOR_BITS) != 0;
  if (envelope->serializer > AS_SERIALIZER_JSON &&
      envelope->serializer < AS_SERIALIZER_FIRST_SCRIPT) {
    return as_envelope_refuse_serializer(envelope, error);
  }
  if (header & MARK_ENCRYPTED) {
    return as_codec_error_set(error, AS_ERR_CORRUPT, 0,
                              "the value is encrypted, and the store has no keys (option "
                              "encryption)");
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
    *out_envelope = (as_envelope){
        .is_foreign = true, .serializer = AS_SERIALIZER_JSON, .payload = stored};
    return AS_OK;
  }
  out_envelope->payload = as_slice_of(stored.data + 1, stored.length - 1);
  return open_header(header, out_envelope, error);
}

/* Takes a size off the front of a body. */
static as_status take_size(as_slice *body, uint64_t *out_size, as_codec_error *error) {
  uint64_t size = 0;
  for (size_t i = 0; i < VARINT_MAX_BYTES && i < body->length; i++) {
    uint8_t byte = body->data[i];
    size |= (uint64_t)(byte & ~VARINT_MORE) << VARINT_BITS * i;
    if (byte & VARINT_MORE) continue;
    if (byte == 0) break; /* not the shortest, or no bytes at all */
    *body = as_slice_of(body->data + i + 1, body->length - i - 1);
    *out_size = size;
    return AS_OK;
  }
  return as_codec_error_set(error, AS_ERR_CORRUPT, 1,
                            "no size before the compressed payload");
}

/* A size that somebody wrote, before memory is taken for it. */
static as_status check_size(uint64_t size, size_t packed_bytes, size_t max_value_bytes,
                            as_codec_error *error) {
  if (size >= max_value_bytes || size > AS_COMPRESSOR_MAX_BYTES) {
    return as_codec_error_set(error, AS_ERR_CORRUPT, 1,
                              "the stored value unpacks to %" PRIu64
                              " bytes, more than max_value_bytes (%zu)",
                              size + 1, max_value_bytes);
  }
  if (size > (uint64_t)packed_bytes * AS_ENVELOPE_MAX_RATIO) {
    return as_codec_error_set(error, AS_ERR_CORRUPT, 1,
                              "%zu compressed bytes cannot be %" PRIu64
                              ": at most %d times as many",
                              packed_bytes, size, AS_ENVELOPE_MAX_RATIO);
  }
  return AS_OK;
}

static as_status unpack(const as_compressor *compressor, as_slice body,
                        size_t max_value_bytes, as_envelope_state *state,
                        as_codec_error *error) {
  uint64_t size = 0;
  AS_TRY(take_size(&body, &size, error));
  AS_TRY(check_size(size, body.length, max_value_bytes, error));
  as_buffer_clear(&state->payload);
  AS_TRY(as_buffer_reserve(&state->payload, (size_t)size));
  as_status status =
      compressor->unpack(&state->compressors, body, state->payload.data, (size_t)size);
  if (status == AS_ERR_CORRUPT) {
    return as_codec_error_set(error, status, 1,
                              "the compressed payload (%s) is damaged: it is not the "
                              "%" PRIu64 " bytes that it should be",
                              compressor->name, size);
  }
  state->payload.length = (size_t)size;
  return status;
}

as_status as_envelope_unpack(as_envelope *envelope, size_t max_value_bytes,
                             as_envelope_state *state, as_codec_error *error) {
  unsigned code = envelope->header >> COMPRESSOR_SHIFT & COMPRESSOR_BITS;
  AS_TRY(unpack(as_compressor_of_code(code), envelope->payload, max_value_bytes, state,
                error));
  envelope->payload = as_buffer_slice(&state->payload);
  envelope->is_packed = false;
  return AS_OK;
}

/* ---- sealing ---------------------------------------------------------------------- */

static size_t put_size(uint8_t out[VARINT_MAX_BYTES], size_t size) {
  size_t length = 0;
  for (; size >= VARINT_MORE; size >>= VARINT_BITS) {
    out[length++] = (uint8_t)(size | VARINT_MORE);
  }
  out[length++] = (uint8_t)size;
  return length;
}

/* How long a body may be that is worth it, its size included; 0: none. */
static size_t most_packed_bytes(const as_sealing *sealing, size_t payload_bytes) {
  size_t gain = payload_bytes / 100 * sealing->min_gain_percent +
                payload_bytes % 100 * sealing->min_gain_percent / 100;
  if (gain < sealing->min_gain_bytes) gain = sealing->min_gain_bytes;
  if (gain == 0) gain = 1;
  return gain < payload_bytes ? payload_bytes - gain : 0;
}

/* Appends the packed body. *out_is_packed is false, and nothing is appended, when
 * it is not worth it. */
static as_status pack(const as_sealing *sealing, as_slice payload,
                      as_envelope_state *state, as_buffer *out, bool *out_is_packed) {
  *out_is_packed = false;
  if (sealing->compressor == NULL || payload.length < sealing->threshold_bytes ||
      payload.length > AS_COMPRESSOR_MAX_BYTES) {
    return AS_OK;
  }
  uint8_t size[VARINT_MAX_BYTES];
  size_t packed_bytes, size_bytes = put_size(size, payload.length);
  size_t most = most_packed_bytes(sealing, payload.length);
  if (most <= size_bytes) return AS_OK;
  /* Room for any result: with less, some compressors give up before they must. */
  size_t room = sealing->compressor->bound(payload.length);
  AS_TRY(as_buffer_reserve(out, size_bytes + room));
  AS_TRY(sealing->compressor->pack(&state->compressors, sealing->level, payload,
                                   out->data + out->length + size_bytes, room,
                                   &packed_bytes));
  if (size_bytes + packed_bytes > most ||
      payload.length > (uint64_t)packed_bytes * AS_ENVELOPE_MAX_RATIO) {
    return AS_OK;
  }
  memcpy(out->data + out->length, size, size_bytes);
  out->length += size_bytes + packed_bytes;
  *out_is_packed = true;
  return AS_OK;
}

/* Appends header and body. */
static as_status seal(const as_sealing *sealing, uint8_t serializer, as_slice payload,
                      as_envelope_state *state, as_buffer *out) {
  bool is_packed;
  size_t start = out->length;
  AS_TRY(as_buffer_append_byte(out, MARK_OURS | serializer));
  AS_TRY(pack(sealing, payload, state, out, &is_packed));
  if (!is_packed) return as_buffer_append_slice(out, payload);
  out->data[start] |= (uint8_t)(sealing->compressor->code << COMPRESSOR_SHIFT);
  return AS_OK;
}

static as_status check_length(const as_sealing *sealing, size_t payload_bytes,
                              as_codec_error *error) {
  if (payload_bytes < sealing->max_value_bytes) return AS_OK;
  return as_codec_error_set(error, AS_ERR_TOO_LARGE, 0,
                            "the value takes %zu bytes, more than max_value_bytes (%zu)",
                            payload_bytes + 1, sealing->max_value_bytes);
}

as_status as_envelope_seal(const as_sealing *sealing, uint8_t serializer,
                           as_slice payload, as_envelope_state *state, as_buffer *out,
                           as_codec_error *error) {
  size_t start = out->length;
  as_codec_error_clear(error);
  AS_TRY(check_length(sealing, payload.length, error));
  as_status status = seal(sealing, serializer, payload, state, out);
  if (status != AS_OK) out->length = start;
  return status;
}

as_status as_envelope_seal_plain(const as_sealing *sealing, uint8_t serializer,
                                 as_buffer *value, as_codec_error *error) {
  as_codec_error_clear(error);
  value->data[0] = (uint8_t)(MARK_OURS | serializer);
  return check_length(sealing, value->length - 1, error);
}
