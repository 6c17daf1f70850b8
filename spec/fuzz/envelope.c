/* SPDX-License-Identifier: MIT */
/* The input is a stored value with its envelope, as a server may give it: it is opened,
 * and becomes JSON text or an error that says why not. Then the input is taken for the
 * JSON text of a record and stored. */
#include "codec/envelope.h"

#include "codec/transcode.h"
#include "fuzz.h"
#include "json_grammar.h"

enum { HEADER_CBOR = 0x80 };

static bool is_known_header(uint8_t header) {
  return header <= HEADER_CBOR;
}

static void check_text(const as_envelope *envelope, as_mem *mem) {
  as_codec_error error;
  as_buffer text;
  if (envelope->kind == AS_ENVELOPE_FOREIGN_JSON) {
    bool is_json = as_transcode_json_check(envelope->payload, &error) == AS_OK;
    EXPECT(is_json == json_grammar_accepts(envelope->payload, AS_CODEC_MAX_LEVELS));
    return;
  }
  as_buffer_init(&text, mem);
  if (as_transcode_cbor(envelope->payload, AS_BYTE_FORM_BASE64, &text, &error) == AS_OK)
    EXPECT(json_grammar_accepts(as_buffer_slice(&text), AS_CODEC_MAX_LEVELS));
  else
    EXPECT(error.message[0] != '\0' && text.length == 0);
  as_buffer_free(&text);
}

static void open(as_slice stored, as_mem *mem) {
  as_codec_error error;
  as_envelope envelope;
  as_status status = as_envelope_open(stored, stored.length, &envelope, &error);
  bool is_openable = stored.length > 0 && is_known_header(stored.data[0]);
  EXPECT(status == (is_openable ? AS_OK : AS_ERR_CORRUPT));
  if (status != AS_OK) {
    EXPECT(error.message[0] != '\0');
    return;
  }
  bool is_foreign = stored.data[0] != HEADER_CBOR;
  EXPECT((envelope.kind == AS_ENVELOPE_FOREIGN_JSON) == is_foreign);
  EXPECT(envelope.payload.data == stored.data + !is_foreign);
  EXPECT(envelope.payload.length == stored.length - !is_foreign);
  check_text(&envelope, mem);
  EXPECT(as_envelope_open(stored, stored.length - 1, &envelope, &error) ==
         AS_ERR_CORRUPT);
}

static void store(as_slice json, as_mem *mem) {
  as_codec_error error;
  as_envelope envelope;
  as_transcoder transcoder;
  as_buffer stored, text;
  as_transcoder_init(&transcoder, mem);
  as_buffer_init(&stored, mem);
  as_buffer_init(&text, mem);
  EXPECT(as_envelope_begin(&stored) == AS_OK);
  if (as_transcode_json_exact(&transcoder, json, &stored, &error) == AS_OK) {
    EXPECT(as_envelope_open(as_buffer_slice(&stored), SIZE_MAX, &envelope, &error) ==
           AS_OK);
    EXPECT(envelope.kind == AS_ENVELOPE_CBOR);
    EXPECT(as_transcode_cbor(envelope.payload, AS_BYTE_FORM_BASE64, &text, &error) ==
           AS_OK);
    EXPECT(as_slice_equals(as_buffer_slice(&text), json));
  }
  as_buffer_free(&text);
  as_buffer_free(&stored);
  as_transcoder_free(&transcoder);
}

void fuzz_envelope(as_slice input) {
  as_mem mem;
  as_mem_init(&mem);
  open(input, &mem);
  store(input, &mem);
  EXPECT(mem.used_bytes == 0);
}
