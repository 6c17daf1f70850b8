/* SPDX-License-Identifier: MIT */
/* The input is a stored item of any bytes. It is given to sinks that check what makers of
 * Lua values rely on: containers are closed as they were opened, each member has one
 * name, texts are UTF-8 or what JSON has for lone surrogates, levels are few, and no more
 * room is asked for than the input has bytes. All sinks agree whether it is a value. Its
 * JSON text stores, and reads back the same. */
#include "codec/unpack.h"

#include <math.h>

#include "codec/transcode.h"
#include "codec/utf8.h"
#include "fuzz.h"
#include "json_grammar.h"

enum { MAX_LEVELS = AS_CODEC_MAX_LEVELS, ROOM_PER_LEVEL = 4096 };

typedef enum level_kind { ARRAY, OBJECT, RECORD } level_kind;

typedef struct level {
  level_kind kind;
  bool has_name;  /* of a member whose value has not come */
  size_t entries; /* so far */
  as_sink_record record;
} level;

typedef struct checking_sink {
  as_sink sink;
  int depth;
  size_t values; /* not in any container */
  level levels[MAX_LEVELS];
} checking_sink;

/* ---- the sink ---------------------------------------------------------------------- */

static level *top(checking_sink *to) {
  return to->depth > 0 ? &to->levels[to->depth - 1] : NULL;
}

/* A value comes. */
static void note_value(as_sink *sink) {
  checking_sink *to = (checking_sink *)sink;
  level *level = top(to);
  if (level == NULL) {
    EXPECT(to->values++ == 0);
    return;
  }
  level->entries++;
  if (level->kind != OBJECT) return;
  EXPECT(level->has_name);
  level->has_name = false;
}

static void push(checking_sink *to, level_kind kind) {
  EXPECT(to->depth < MAX_LEVELS);
  to->levels[to->depth++] = (level){.kind = kind};
}

static level *pop(checking_sink *to) {
  EXPECT(to->depth > 0 && !top(to)->has_name);
  return &to->levels[--to->depth];
}

static as_status open_container(as_sink *sink, bool is_object, size_t count) {
  note_value(sink);
  push((checking_sink *)sink, is_object ? OBJECT : ARRAY);
  EXPECT(count <= ROOM_PER_LEVEL || !is_object);
  return AS_OK;
}

static as_status close_container(as_sink *sink, bool is_object) {
  EXPECT(pop((checking_sink *)sink)->kind == (is_object ? OBJECT : ARRAY));
  return AS_OK;
}

static void note_name(as_sink *sink) {
  level *level = top((checking_sink *)sink);
  EXPECT(level != NULL && level->kind == OBJECT && !level->has_name);
  level->has_name = true;
}

static as_status give_name(as_sink *sink, int name) {
  EXPECT(name >= 0 && name < AS_NAMES_COUNT);
  note_name(sink);
  return AS_OK;
}

static as_status give_key(as_sink *sink, as_slice text) {
  EXPECT(as_utf8_check(text) != AS_UTF8_INVALID);
  note_name(sink);
  return AS_OK;
}

static as_status give_text(as_sink *sink, as_slice text) {
  EXPECT(as_utf8_check(text) != AS_UTF8_INVALID);
  note_value(sink);
  return AS_OK;
}

static as_status give_bytes(as_sink *sink, as_slice bytes, as_byte_form form) {
  uint8_t *copy = fuzz_copy(bytes);
  free(copy);
  EXPECT(form <= AS_BYTE_FORM_OBJECT);
  EXPECT(((checking_sink *)sink)->depth < MAX_LEVELS);
  note_value(sink);
  return AS_OK;
}

static as_status give_number(as_sink *sink, double number) {
  EXPECT(isfinite(number));
  note_value(sink);
  return AS_OK;
}

static as_status give_word(as_sink *sink, as_tree_kind kind) {
  EXPECT(kind <= AS_TREE_TRUE && kind != AS_TREE_NUMBER);
  note_value(sink);
  return AS_OK;
}

static as_status open_record(as_sink *sink, as_sink_record record) {
  note_value(sink);
  push((checking_sink *)sink, RECORD);
  top((checking_sink *)sink)->record = record;
  return AS_OK;
}

static as_status close_record(as_sink *sink, as_sink_record record) {
  static const size_t VALUES[] = {13, 3, 2};
  level *level = pop((checking_sink *)sink);
  EXPECT(level->kind == RECORD && level->record == record);
  EXPECT(level->entries == VALUES[record]);
  return AS_OK;
}

#define CALLS                                                                            \
  .open = open_container, .close = close_container, .name = give_name, .key = give_key,  \
  .text = give_text, .bytes = give_bytes, .number = give_number, .word = give_word

static const as_sink_calls MEMBERS = {CALLS};
static const as_sink_calls RECORDS = {CALLS, .open_record = open_record,
                                      .close_record = close_record};
static const as_sink_calls BYTE_MAPS = {CALLS, .open_record = open_record,
                                        .close_record = close_record,
                                        .wants_byte_maps = true};

/* ---- values ------------------------------------------------------------------------ */

static bool unpack(as_slice cbor, const as_sink_calls *calls, as_mem *mem) {
  as_unpacker unpacker;
  as_codec_error error;
  checking_sink to = {.sink = {calls}};
  as_unpacker_init(&unpacker, mem);
  as_status status = as_unpack(&unpacker, cbor, AS_UNPACK_STORED, &to.sink, &error);
  as_unpacker_free(&unpacker);
  if (status == AS_OK) {
    EXPECT(to.depth == 0 && to.values == 1);
    return true;
  }
  EXPECT(status == AS_ERR_CORRUPT && error.message[0] != '\0');
  EXPECT(error.offset <= cbor.length);
  return false;
}

/* Stores a text, and reads the same text back. */
static void check_stored(as_transcoder *transcoder, as_slice json, as_mem *mem) {
  as_codec_error error;
  as_buffer cbor, back;
  as_buffer_init(&cbor, mem);
  as_buffer_init(&back, mem);
  EXPECT(json_grammar_accepts(json, AS_CODEC_MAX_LEVELS));
  EXPECT(as_transcode_json_exact(transcoder, json, &cbor, &error) == AS_OK);
  as_slice stored = as_buffer_slice(&cbor);
  EXPECT(as_transcode_cbor(transcoder, stored, AS_BYTE_FORM_BASE64, &back, &error) ==
         AS_OK);
  EXPECT(as_slice_equals(as_buffer_slice(&back), json));
  as_buffer_free(&cbor);
  as_buffer_free(&back);
}

void fuzz_unpack(as_slice cbor) {
  as_mem mem;
  as_transcoder transcoder;
  as_codec_error error;
  as_buffer json;
  as_mem_init(&mem);
  as_transcoder_init(&transcoder, &mem);
  as_buffer_init(&json, &mem);
  bool is_value = unpack(cbor, &MEMBERS, &mem);
  EXPECT(unpack(cbor, &RECORDS, &mem) == is_value);
  EXPECT(unpack(cbor, &BYTE_MAPS, &mem) == is_value);
  as_slice whole;
  bool is_whole =
      as_transcode_find_whole(cbor, &whole, &error) != AS_OK || whole.data != NULL;
  as_status status =
      as_transcode_cbor(&transcoder, cbor, AS_BYTE_FORM_BASE64, &json, &error);
  EXPECT((status == AS_OK) == is_value || is_whole);
  if (status == AS_OK) check_stored(&transcoder, as_buffer_slice(&json), &mem);
  as_buffer_free(&json);
  as_transcoder_free(&transcoder);
  EXPECT(mem.used_bytes == 0);
}
