/* SPDX-License-Identifier: MIT */
/* The input is the JSON text of a record. It is made a tree, packed, and unpacked to the
 * same text; what is packed is CBOR that any tool reads, of definite lengths, and takes
 * hardly more room than the text. So is the same text as the content of a Buffer, and as
 * a member's name, beside itself and below arrays. */
#include "codec/pack.h"

#include "codec/base64.h"
#include "codec/cbor.h"
#include "codec/transcode.h"
#include "fuzz.h"
#include "json_grammar.h"

/* A number of one character takes nine bytes at most: 1e99. */
enum { MAX_GROWTH = 3 };

static void put(as_buffer *out, const char *text) {
  EXPECT(as_buffer_append_slice(out, as_slice_text(text)) == AS_OK);
}

static void put_slice(as_buffer *out, as_slice text) {
  EXPECT(as_buffer_append_slice(out, text) == AS_OK);
}

/* Whether all of it is items that a reader of plain CBOR takes. */
static void check_items(as_slice cbor) {
  as_cbor_reader reader;
  as_cbor_item item;
  as_codec_error error;
  as_cbor_reader_init(&reader, cbor, &error);
  while (reader.missing > 0) EXPECT(as_cbor_next(&reader, &item) == AS_OK);
  EXPECT(as_cbor_reader_finish(&reader) == AS_OK);
}

static void check_back(as_transcoder *transcoder, as_slice cbor, as_slice json,
                       as_mem *mem) {
  as_codec_error error;
  as_buffer back;
  as_buffer_init(&back, mem);
  EXPECT(as_transcode_cbor(transcoder, cbor, AS_BYTE_FORM_BASE64, &back, &error) ==
         AS_OK);
  EXPECT(as_slice_equals(as_buffer_slice(&back), json));
  as_buffer_free(&back);
}

static void pack(as_transcoder *transcoder, as_slice json, as_mem *mem) {
  as_buffer cbor;
  as_codec_error error;
  bool is_exact;
  as_buffer_init(&cbor, mem);
  put(&cbor, "kept");
  as_tree_clear(&transcoder->tree);
  as_status status = as_json_tree_read(&transcoder->packer.json, json, &transcoder->tree,
                                       &is_exact, &error);
  bool is_json = json_grammar_accepts(json, AS_CODEC_MAX_LEVELS);
  EXPECT(status == (is_json ? AS_OK : AS_ERR_CORRUPT));
  if (status == AS_OK && is_exact) {
    uint32_t nodes = as_tree_count(&transcoder->tree);
    EXPECT(as_pack(&transcoder->packer, &transcoder->tree, &cbor) == AS_OK);
    EXPECT(as_tree_count(&transcoder->tree) == nodes);
    EXPECT(as_slice_starts_with(as_buffer_slice(&cbor), "kept"));
    as_buffer_drop_front(&cbor, strlen("kept"));
    EXPECT(cbor.length <= MAX_GROWTH * json.length + 1);
    check_items(as_buffer_slice(&cbor));
    check_back(transcoder, as_buffer_slice(&cbor), json, mem);
  } else {
    EXPECT(as_tree_count(&transcoder->tree) == 0);
  }
  as_buffer_free(&cbor);
}

/* {"type":"Buffer","data":"<base64 of the text>"} */
static void pack_in_buffer(as_transcoder *transcoder, as_slice json, as_mem *mem) {
  as_buffer text;
  size_t length = as_base64_encoded_length(json.length);
  as_buffer_init(&text, mem);
  put(&text, "{\"type\":\"Buffer\",\"data\":\"");
  EXPECT(as_buffer_reserve(&text, length + 1) == AS_OK);
  as_base64_encode(json, text.data + text.length);
  text.length += length;
  put(&text, "\"}");
  pack(transcoder, as_buffer_slice(&text), mem);
  as_buffer_free(&text);
}

static void pack_around(as_transcoder *transcoder, as_slice json, const char *before,
                        const char *between, const char *after, as_mem *mem) {
  as_buffer text;
  as_buffer_init(&text, mem);
  put(&text, before);
  put_slice(&text, json);
  put(&text, between);
  put_slice(&text, json);
  put(&text, after);
  pack(transcoder, as_buffer_slice(&text), mem);
  as_buffer_free(&text);
}

void fuzz_pack(as_slice json) {
  as_mem mem;
  as_transcoder transcoder;
  as_mem_init(&mem);
  as_transcoder_init(&transcoder, &mem);
  pack(&transcoder, json, &mem);
  pack_in_buffer(&transcoder, json, &mem);
  pack_around(&transcoder, json, "[", ",", "]", &mem);
  pack_around(&transcoder, json, "{\"public\":", ",\"x\":", "}", &mem);
  pack_around(&transcoder, json, "{\"_sessions\":", ",\"version\":", "}", &mem);
  pack_around(&transcoder, json, "{\"", "\":\"", "\"}", &mem);
  as_transcoder_free(&transcoder);
  EXPECT(mem.used_bytes == 0);
}
