/* SPDX-License-Identifier: MIT */
/* The input is a stored value with its envelope, as a server may give it: it is opened
 * and unpacked, and becomes JSON text or an error that says why not. Then the input is
 * taken for the JSON text of a record and stored, and for a payload and sealed, in every
 * way that there is. */
#include "codec/envelope.h"

#include "codec/transcode.h"
#include "fuzz.h"
#include "json_grammar.h"

enum { MARK_OURS = 0x80, MARK_ENCRYPTED = 0x10, MAX_VALUE_BYTES = 1 << 20 };

static bool is_known_header(uint8_t header) {
  unsigned serializer = header & 15;
  if (header < MARK_OURS) return true;
  return !(header & MARK_ENCRYPTED) && serializer != 2 && serializer != 3;
}

/* ---- opening ---------------------------------------------------------------------- */

static void check_json(as_slice json) {
  as_codec_error error;
  bool is_json = as_transcode_json_check(json, &error) == AS_OK;
  EXPECT(is_json == json_grammar_accepts(json, AS_CODEC_MAX_LEVELS));
}

static void check_cbor(as_slice cbor, as_mem *mem) {
  as_codec_error error;
  as_transcoder transcoder;
  as_buffer text;
  as_buffer_init(&text, mem);
  as_transcoder_init(&transcoder, mem);
  if (as_transcode_cbor(&transcoder, cbor, AS_BYTE_FORM_BASE64, &text, &error) == AS_OK)
    EXPECT(json_grammar_accepts(as_buffer_slice(&text), AS_CODEC_MAX_LEVELS));
  else
    EXPECT(error.message[0] != '\0' && text.length == 0);
  as_transcoder_free(&transcoder);
  as_buffer_free(&text);
}

/* The payload of a value whose header is known; false when it cannot be unpacked. */
static bool unpack(as_slice stored, as_envelope *envelope, as_envelope_state *state) {
  as_codec_error error;
  if (!envelope->is_packed) {
    EXPECT(envelope->payload.data == stored.data + !envelope->is_foreign);
    EXPECT(envelope->payload.length == stored.length - !envelope->is_foreign);
    return true;
  }
  size_t packed_bytes = envelope->payload.length;
  as_status status = as_envelope_unpack(envelope, MAX_VALUE_BYTES, state, &error);
  EXPECT(status == AS_OK || (status == AS_ERR_CORRUPT && error.message[0] != '\0'));
  EXPECT(state->payload.capacity <= 2 * packed_bytes * AS_ENVELOPE_MAX_RATIO);
  if (status != AS_OK) return false;
  EXPECT(!envelope->is_packed && envelope->payload.length < MAX_VALUE_BYTES);
  return true;
}

static void open(as_slice stored, as_mem *mem) {
  as_codec_error error;
  as_envelope envelope;
  as_envelope_state state;
  as_status status = as_envelope_open(stored, MAX_VALUE_BYTES, &envelope, &error);
  bool is_openable = stored.length > 0 && is_known_header(stored.data[0]);
  EXPECT(status == (is_openable ? AS_OK : AS_ERR_CORRUPT));
  if (status != AS_OK) {
    EXPECT(error.message[0] != '\0');
    return;
  }
  EXPECT(envelope.is_foreign == (stored.data[0] < MARK_OURS));
  as_envelope_state_init(&state, mem);
  if (unpack(stored, &envelope, &state)) {
    if (envelope.serializer == AS_SERIALIZER_JSON) check_json(envelope.payload);
    if (envelope.serializer == AS_SERIALIZER_CBOR) check_cbor(envelope.payload, mem);
  }
  as_envelope_state_free(&state);
  EXPECT(as_envelope_open(stored, stored.length - 1, &envelope, &error) ==
         AS_ERR_CORRUPT);
}

/* ---- sealing ---------------------------------------------------------------------- */

/* Seals behind what is there already, opens again, and compares. */
static void seal(as_slice payload, uint8_t serializer, const as_sealing *sealing,
                 as_envelope_state *state, as_mem *mem) {
  as_codec_error error;
  as_envelope envelope;
  as_buffer stored;
  as_buffer_init(&stored, mem);
  EXPECT(as_buffer_append(&stored, "kept", 4) == AS_OK);
  EXPECT(as_envelope_seal(sealing, serializer, payload, state, &stored, &error) == AS_OK);
  EXPECT(as_slice_starts_with(as_buffer_slice(&stored), "kept"));
  as_buffer_drop_front(&stored, 4);
  EXPECT(stored.length <= payload.length + 1);
  EXPECT(as_envelope_open(as_buffer_slice(&stored), sealing->max_value_bytes, &envelope,
                          &error) == AS_OK);
  EXPECT(envelope.serializer == serializer && !envelope.is_foreign);
  EXPECT(envelope.is_packed == (stored.length <= payload.length));
  if (envelope.is_packed) {
    EXPECT(as_envelope_unpack(&envelope, sealing->max_value_bytes, state, &error) ==
           AS_OK);
  }
  EXPECT(as_slice_equals(envelope.payload, payload));
  as_buffer_free(&stored);
}

static void seal_all_ways(as_slice payload, uint8_t serializer, as_mem *mem) {
  as_envelope_state state;
  as_envelope_state_init(&state, mem);
  as_sealing sealing = {.max_value_bytes = payload.length + 1};
  seal(payload, serializer, &sealing, &state, mem);
  for (unsigned code = 1; code <= AS_COMPRESSOR_MAX_CODE; code++) {
    sealing.compressor = as_compressor_of_code(code);
    sealing.level = sealing.compressor->default_level;
    seal(payload, serializer, &sealing, &state, mem);
  }
  as_envelope_state_free(&state);
}

static void store(as_slice json, as_mem *mem) {
  as_codec_error error;
  as_transcoder transcoder;
  as_buffer cbor, text;
  as_transcoder_init(&transcoder, mem);
  as_buffer_init(&cbor, mem);
  as_buffer_init(&text, mem);
  if (as_transcode_json_exact(&transcoder, json, &cbor, &error) == AS_OK) {
    seal_all_ways(as_buffer_slice(&cbor), AS_SERIALIZER_CBOR, mem);
    EXPECT(as_transcode_cbor(&transcoder, as_buffer_slice(&cbor), AS_BYTE_FORM_BASE64,
                             &text, &error) == AS_OK);
    EXPECT(as_slice_equals(as_buffer_slice(&text), json));
  }
  as_buffer_free(&text);
  as_buffer_free(&cbor);
  as_transcoder_free(&transcoder);
}

void fuzz_envelope(as_slice input) {
  as_mem mem;
  as_mem_init(&mem);
  open(input, &mem);
  store(input, &mem);
  seal_all_ways(input, AS_SERIALIZER_LAST_SCRIPT, &mem);
  EXPECT(mem.used_bytes == 0);
}
