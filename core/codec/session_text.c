/* SPDX-License-Identifier: MIT */
/* The parser's own level tells where the walk is: 1 in the session, 2 in keys, 3 in a
 * type. A record is skipped whole, so its levels never show here. */
#include "codec/session_text.h"

enum { IN_SESSION = 1, IN_KEYS = 2, IN_TYPE = 3 };

void as_session_text_init(as_session_text *walk, as_slice text, as_mem *mem) {
  as_json_reader_init(&walk->reader, text);
  walk->reader.max_levels = AS_JSON_MAX_LEVELS;
  as_key_set_init(&walk->names, mem);
  as_buffer_init(&walk->decoded, mem);
  walk->type = as_slice_of(NULL, 0);
}

void as_session_text_free(as_session_text *walk) {
  as_key_set_free(&walk->names);
  as_buffer_free(&walk->decoded);
}

static as_status fail(as_codec_error *error, size_t offset, const char *expected) {
  return as_codec_error_set(error, AS_ERR_CORRUPT, offset,
                            "not a session at byte %zu: expected %s", offset, expected);
}

static as_status next(as_session_text *walk, as_json_event *event,
                      as_codec_error *error) {
  as_status status = as_json_next(&walk->reader, event);
  return status == AS_ERR_CORRUPT ? as_json_fail(&walk->reader, error) : status;
}

/* Enters the object that must come next. */
static as_status enter(as_session_text *walk, const char *expected,
                       as_codec_error *error) {
  as_json_event event;
  AS_TRY(next(walk, &event, error));
  if (event.kind != AS_JSON_OBJECT) return fail(error, event.offset, expected);
  walk->groups[walk->reader.levels - 1] = as_key_set_new_group(&walk->names);
  return AS_OK;
}

/* Reads one value of any kind and gives its text; *out_kind is its first event. */
static as_status take_value(as_session_text *walk, as_slice *out_text,
                            as_json_kind *out_kind, as_codec_error *error) {
  as_json_event event;
  int levels = walk->reader.levels;
  AS_TRY(next(walk, &event, error));
  size_t start = event.offset;
  *out_kind = event.kind;
  while (walk->reader.levels > levels) AS_TRY(next(walk, &event, error));
  *out_text = as_slice_of(walk->reader.text.data + start, walk->reader.offset - start);
  return AS_OK;
}

/* The name a key stands for. Decoded names together are never longer than the text. */
static as_status decode_name(as_session_text *walk, const as_json_event *key,
                             as_slice *out_name) {
  as_buffer *decoded = &walk->decoded;
  *out_name = key->text;
  if (key->decoded_length == key->text.length) return AS_OK;
  if (decoded->capacity == 0)
    AS_TRY(as_buffer_reserve(decoded, walk->reader.text.length));
  uint8_t *name = decoded->data + decoded->length;
  as_json_string_decode(key, name);
  decoded->length += key->decoded_length;
  *out_name = as_slice_of(name, key->decoded_length);
  return AS_OK;
}

/* Decodes a key and checks that its object has no other of the same name. */
static as_status take_name(as_session_text *walk, const as_json_event *key,
                           as_slice *out_name, as_codec_error *error) {
  static const char *const EXPECTED[] = {NULL, "each member once", "each type once",
                                         "each id of a type once"};
  int level = walk->reader.levels;
  bool is_new;
  AS_TRY(decode_name(walk, key, out_name));
  AS_TRY(as_key_set_add(&walk->names, walk->groups[level - 1], *out_name, &is_new));
  return is_new ? AS_OK : fail(error, key->offset, EXPECTED[level]);
}

static as_status take_creds(as_session_text *walk, as_session_record *record,
                            bool *out_is_record, as_codec_error *error) {
  as_json_kind kind;
  AS_TRY(take_value(walk, &record->text, &kind, error));
  *out_is_record = kind != AS_JSON_NULL;
  if (kind == AS_JSON_NULL || kind == AS_JSON_OBJECT) {
    record->kind = AS_SESSION_CREDS;
    return AS_OK;
  }
  size_t offset = (size_t)(record->text.data - walk->reader.text.data);
  return fail(error, offset, "an object or null for creds");
}

/* A member of the session. */
static as_status take_member(as_session_text *walk, const as_json_event *key,
                             as_slice name, as_session_record *record,
                             bool *out_is_record, as_codec_error *error) {
  if (as_slice_equals(name, as_slice_text("creds"))) {
    return take_creds(walk, record, out_is_record, error);
  }
  if (as_slice_equals(name, as_slice_text("keys"))) {
    return enter(walk, "an object for keys", error);
  }
  return fail(error, key->offset, "creds or keys");
}

static as_status take_record(as_session_text *walk, as_slice id,
                             as_session_record *record, as_codec_error *error) {
  as_json_kind kind;
  record->kind = AS_SESSION_KEY;
  record->type = walk->type;
  record->id = id;
  return take_value(walk, &record->text, &kind, error);
}

/* What a key leads to: a record, or an object to enter. */
static as_status take_key(as_session_text *walk, const as_json_event *key,
                          as_session_record *record, bool *out_is_record,
                          as_codec_error *error) {
  as_slice name;
  AS_TRY(take_name(walk, key, &name, error));
  switch (walk->reader.levels) {
    case IN_SESSION:
      return take_member(walk, key, name, record, out_is_record, error);
    case IN_KEYS:
      walk->type = name;
      return enter(walk, "an object for the type", error);
    default:
      *out_is_record = true;
      return take_record(walk, name, record, error);
  }
}

as_status as_session_text_next(as_session_text *walk, as_session_record *out_record,
                               as_codec_error *error) {
  as_json_event event;
  bool is_record = false;
  as_codec_error_clear(error);
  if (walk->reader.offset == 0) {
    AS_TRY(enter(walk, "an object with creds and keys", error));
  }
  while (!is_record) {
    AS_TRY(next(walk, &event, error));
    if (event.kind == AS_JSON_END) {
      out_record->kind = AS_SESSION_END;
      return AS_OK;
    }
    if (event.kind == AS_JSON_KEY) {
      AS_TRY(take_key(walk, &event, out_record, &is_record, error));
    }
  }
  return AS_OK;
}
