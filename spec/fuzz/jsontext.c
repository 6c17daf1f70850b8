/* SPDX-License-Identifier: MIT */
/* The input is a text. The parser accepts exactly what the grammar does; what it accepts
 * comes back from CBOR byte for byte; and each string, key and number says of itself
 * truly whether JSON.stringify writes it so. */
#include "codec/jsontext.h"

#include <math.h>

#include "codec/cbor.h"
#include "codec/json_writer.h"
#include "codec/number.h"
#include "codec/transcode.h"
#include "codec/utf8.h"
#include "fuzz.h"
#include "json_grammar.h"

static void check_string(const as_json_event *event, as_buffer *rewritten) {
  uint8_t *decoded = malloc(event->decoded_length);
  as_json_string_decode(event, decoded);
  as_slice content = as_slice_of(decoded, event->decoded_length);
  as_utf8_form form = as_utf8_check(content);
  EXPECT(form == (event->has_surrogate ? AS_UTF8_SURROGATES : AS_UTF8_STRICT));

  as_buffer_clear(rewritten);
  EXPECT(as_json_write_string(rewritten, content) == AS_OK);
  EXPECT(as_json_string_length(content) == rewritten->length);
  as_slice quoted = as_slice_of(event->text.data - 1, event->text.length + 2);
  EXPECT(event->is_canonical == as_slice_equals(as_buffer_slice(rewritten), quoted));
  free(decoded);
}

static void check_number(as_slice token) {
  char text[AS_NUMBER_MAX_CHARS];
  double value = as_number_parse(token);
  char *terminated = strndup((const char *)token.data, token.length);
  double expected = strtod(terminated, NULL);
  free(terminated);
  EXPECT(value == expected && signbit(value) == signbit(expected));
  if (!isfinite(value)) {
    EXPECT(!as_number_is_canonical(token, value));
    return;
  }
  size_t length = as_number_format(value, text);
  EXPECT(length <= sizeof text);
  as_slice shortest = as_slice_of(text, length);
  EXPECT(as_number_parse(shortest) == value);
  EXPECT(as_number_is_canonical(token, value) == as_slice_equals(token, shortest));
}

static bool walk_events(as_slice text) {
  as_json_reader reader;
  as_json_event event;
  as_buffer rewritten;
  as_mem mem;
  as_mem_init(&mem);
  as_buffer_init(&rewritten, &mem);
  as_json_reader_init(&reader, text);
  size_t offset = 0;
  as_status status;
  while ((status = as_json_next(&reader, &event)) == AS_OK) {
    EXPECT(event.offset >= offset && reader.offset >= event.offset);
    EXPECT(reader.offset <= text.length);
    offset = reader.offset;
    if (event.kind == AS_JSON_STRING || event.kind == AS_JSON_KEY)
      check_string(&event, &rewritten);
    if (event.kind == AS_JSON_NUMBER) check_number(event.text);
    if (event.kind == AS_JSON_END) break;
  }
  if (status != AS_OK) {
    EXPECT(status == AS_ERR_CORRUPT && reader.error.expected[0] != '\0');
    EXPECT(reader.error.offset <= text.length);
  }
  as_buffer_free(&rewritten);
  return status == AS_OK;
}

/* Reading, not storing: the structure must be CBOR that the reader takes. */
static void check_structure(as_transcoder *transcoder, as_slice text, as_mem *mem) {
  as_codec_error error;
  as_cbor_reader reader;
  as_cbor_item item;
  as_buffer cbor;
  as_buffer_init(&cbor, mem);
  EXPECT(as_transcode_json_structure(transcoder, text, &cbor, &error) == AS_OK);
  as_cbor_reader_init(&reader, as_buffer_slice(&cbor), &error);
  reader.has_infinity = true;
  while (reader.missing > 0) EXPECT(as_cbor_next(&reader, &item) == AS_OK);
  EXPECT(as_cbor_reader_finish(&reader) == AS_OK);
  as_buffer_free(&cbor);
}

static void check_identity(as_transcoder *transcoder, as_slice text, as_mem *mem) {
  as_codec_error error;
  as_buffer cbor, back;
  as_buffer_init(&cbor, mem);
  as_buffer_init(&back, mem);
  EXPECT(as_transcode_json_exact(transcoder, text, &cbor, &error) == AS_OK);
  as_slice stored = as_buffer_slice(&cbor);
  EXPECT(as_transcode_cbor(transcoder, stored, AS_BYTE_FORM_BASE64, &back, &error) ==
         AS_OK);
  EXPECT(as_slice_equals(as_buffer_slice(&back), text));
  as_buffer_free(&cbor);
  as_buffer_free(&back);
}

static void check_refusal(as_transcoder *transcoder, as_slice text, as_mem *mem) {
  as_codec_error error;
  as_buffer cbor;
  as_buffer_init(&cbor, mem);
  EXPECT(as_buffer_append(&cbor, "kept", 4) == AS_OK);
  EXPECT(as_transcode_json_exact(transcoder, text, &cbor, &error) == AS_ERR_CORRUPT);
  EXPECT(error.message[0] != '\0' && error.offset <= text.length);
  EXPECT(as_transcode_json_structure(transcoder, text, &cbor, &error) == AS_ERR_CORRUPT);
  EXPECT(as_slice_equals(as_buffer_slice(&cbor), as_slice_text("kept")));
  as_buffer_free(&cbor);
}

void fuzz_jsontext(as_slice text) {
  as_mem mem;
  as_transcoder transcoder;
  as_codec_error error;
  bool is_json = json_grammar_accepts(text, AS_CODEC_MAX_LEVELS);
  EXPECT(walk_events(text) == is_json);
  EXPECT((as_transcode_json_check(text, &error) == AS_OK) == is_json);
  as_mem_init(&mem);
  as_transcoder_init(&transcoder, &mem);
  if (is_json) {
    check_identity(&transcoder, text, &mem);
    check_structure(&transcoder, text, &mem);
  } else {
    check_refusal(&transcoder, text, &mem);
  }
  as_transcoder_free(&transcoder);
  EXPECT(mem.used_bytes == 0);
}
