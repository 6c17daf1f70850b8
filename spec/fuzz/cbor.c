/* SPDX-License-Identifier: MIT */
/* The input is a stored CBOR item. Whatever is accepted becomes JSON text, and that text
 * keeps its meaning from then on: text -> CBOR -> text and CBOR -> text -> CBOR stand
 * still. Apart from that, items that the reader gives can be written and read again. */
#include "codec/cbor.h"

#include <math.h>

#include "codec/byte_map.h"
#include "codec/transcode.h"
#include "codec/utf8.h"
#include "fuzz.h"
#include "json_grammar.h"

enum { FORMS = AS_BYTE_FORM_OBJECT + 1 };

/* ---- items ------------------------------------------------------------------------- */

static as_status write_item(as_buffer *out, const as_cbor_item *item) {
  switch (item->kind) {
    case AS_CBOR_INTEGER:
      return as_cbor_write_number(out, item->number);
    case AS_CBOR_FLOAT:
      return as_cbor_write_float(out, item->number);
    case AS_CBOR_BYTES:
      return as_cbor_write_bytes(out, item->bytes);
    case AS_CBOR_TEXT:
      return as_cbor_write_text(out, item->bytes);
    case AS_CBOR_ARRAY:
      return as_cbor_write_array(out, item->count);
    case AS_CBOR_MAP:
      return as_cbor_write_map(out, item->count);
    case AS_CBOR_TAG:
      return as_cbor_write_tag(out, item->tag);
    case AS_CBOR_FALSE:
    case AS_CBOR_TRUE:
      return as_cbor_write_boolean(out, item->kind == AS_CBOR_TRUE);
    case AS_CBOR_NULL:
      return as_cbor_write_null(out);
  }
  return AS_ERR_CORRUPT;
}

static bool has_bytes(const as_cbor_item *item) {
  return item->kind == AS_CBOR_BYTES || item->kind == AS_CBOR_TEXT;
}

static bool is_same_item(const as_cbor_item *a, const as_cbor_item *b) {
  if (a->kind != b->kind) return false;
  if (has_bytes(a)) return as_slice_equals(a->bytes, b->bytes);
  if (a->kind == AS_CBOR_ARRAY || a->kind == AS_CBOR_MAP) return a->count == b->count;
  if (a->kind == AS_CBOR_TAG) return a->tag == b->tag;
  if (a->kind != AS_CBOR_INTEGER && a->kind != AS_CBOR_FLOAT) return true;
  return a->number == b->number && signbit(a->number) == signbit(b->number);
}

static void check_item(const as_cbor_reader *reader, const as_cbor_item *item) {
  size_t left = reader->value.length - reader->offset;
  EXPECT(reader->offset <= reader->value.length && item->offset < reader->offset);
  if (item->kind == AS_CBOR_ARRAY || item->kind == AS_CBOR_MAP)
    EXPECT(reader->missing <= left);
  if (has_bytes(item))
    EXPECT(item->bytes.data + item->bytes.length == reader->value.data + reader->offset);
  if (item->kind == AS_CBOR_INTEGER) EXPECT(fabs(item->number) <= 0x1p53);
}

/* Writes each item that can be read to `out`; true when the value is whole. */
static bool rewrite(as_slice value, as_buffer *out) {
  as_cbor_reader reader;
  as_cbor_item item;
  as_codec_error error;
  as_cbor_reader_init(&reader, value, &error);
  reader.has_infinity = true;
  while (reader.missing > 0) {
    as_codec_error_clear(&error);
    if (as_cbor_next(&reader, &item) != AS_OK) {
      EXPECT(error.message[0] != '\0' && error.offset <= value.length);
      return false;
    }
    check_item(&reader, &item);
    EXPECT(write_item(out, &item) == AS_OK);
  }
  return as_cbor_reader_finish(&reader) == AS_OK;
}

static void check_same_items(as_slice value, as_slice rewritten) {
  as_cbor_reader a, b;
  as_cbor_item item, same;
  as_codec_error error;
  as_cbor_reader_init(&a, value, &error);
  as_cbor_reader_init(&b, rewritten, &error);
  a.has_infinity = b.has_infinity = true;
  while (a.missing > 0) {
    EXPECT(as_cbor_next(&a, &item) == AS_OK && as_cbor_next(&b, &same) == AS_OK);
    EXPECT(is_same_item(&item, &same));
  }
  EXPECT(as_cbor_reader_finish(&b) == AS_OK);
}

static void check_items(as_slice value, as_mem *mem) {
  as_buffer out;
  as_buffer_init(&out, mem);
  if (rewrite(value, &out)) {
    EXPECT(out.length <= value.length + value.length); /* a half float takes four bytes */
    check_same_items(value, as_buffer_slice(&out));
  }
  as_buffer_free(&out);
}

/* ---- maps that stand for bytes ----------------------------------------------------- */

static void match_map(const as_cbor_reader *reader, size_t count, const char *name) {
  as_byte_map map;
  as_cbor_reader behind = *reader;
  if (!as_byte_map_match(&behind, count, as_slice_text(name), &map)) {
    EXPECT(behind.offset == reader->offset && behind.missing == reader->missing);
    return;
  }
  EXPECT(count > 0 && behind.offset > reader->offset);
  uint8_t *bytes = malloc(map.length);
  memset(bytes, 0xA5, map.length);
  as_byte_map_write(&map, bytes);
  free(bytes);
}

static void check_byte_maps(as_slice value) {
  as_cbor_reader reader;
  as_cbor_item item;
  as_codec_error error;
  as_cbor_reader_init(&reader, value, &error);
  while (reader.missing > 0 && as_cbor_next(&reader, &item) == AS_OK) {
    if (item.kind != AS_CBOR_MAP) continue;
    match_map(&reader, item.count, "public");
    match_map(&reader, item.count, "");
  }
}

/* ---- values ------------------------------------------------------------------------ */

static void check_stable(as_transcoder *transcoder, as_slice json, as_mem *mem) {
  as_codec_error error;
  as_buffer cbor, back, again;
  as_buffer_init(&cbor, mem);
  as_buffer_init(&back, mem);
  as_buffer_init(&again, mem);
  EXPECT(as_transcode_json_exact(transcoder, json, &cbor, &error) == AS_OK);
  as_slice stored = as_buffer_slice(&cbor);
  EXPECT(as_transcode_cbor(transcoder, stored, AS_BYTE_FORM_BASE64, &back, &error) ==
         AS_OK);
  EXPECT(as_slice_equals(as_buffer_slice(&back), json));
  EXPECT(as_transcode_json_exact(transcoder, as_buffer_slice(&back), &again, &error) ==
         AS_OK);
  EXPECT(as_slice_equals(as_buffer_slice(&again), stored));
  as_buffer_free(&cbor);
  as_buffer_free(&back);
  as_buffer_free(&again);
}

static void check_refusal(as_transcoder *transcoder, as_slice cbor, as_mem *mem) {
  as_codec_error error;
  as_buffer out;
  as_buffer_init(&out, mem);
  EXPECT(as_buffer_append(&out, "kept", 4) == AS_OK);
  for (int form = 0; form < FORMS; form++) {
    EXPECT(as_transcode_cbor(transcoder, cbor, (as_byte_form)form, &out, &error) ==
           AS_ERR_CORRUPT);
    EXPECT(error.message[0] != '\0');
  }
  EXPECT(as_slice_equals(as_buffer_slice(&out), as_slice_text("kept")));
  as_buffer_free(&out);
}

static void check_value(as_transcoder *transcoder, as_slice cbor, as_mem *mem) {
  as_codec_error error;
  as_buffer json;
  as_buffer_init(&json, mem);
  for (int form = 0; form < FORMS; form++) {
    as_buffer_clear(&json);
    if (as_transcode_cbor(transcoder, cbor, (as_byte_form)form, &json, &error) != AS_OK) {
      check_refusal(transcoder, cbor, mem);
      break;
    }
    EXPECT(json_grammar_accepts(as_buffer_slice(&json), AS_CODEC_MAX_LEVELS + 1));
    if (form == AS_BYTE_FORM_BASE64)
      check_stable(transcoder, as_buffer_slice(&json), mem);
  }
  as_buffer_free(&json);
}

void fuzz_cbor(as_slice cbor) {
  as_mem mem;
  as_transcoder transcoder;
  as_mem_init(&mem);
  as_transcoder_init(&transcoder, &mem);
  check_items(cbor, &mem);
  check_byte_maps(cbor);
  check_value(&transcoder, cbor, &mem);
  as_transcoder_free(&transcoder);
  EXPECT(mem.used_bytes == 0);
}
