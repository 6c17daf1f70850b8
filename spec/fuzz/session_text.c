/* SPDX-License-Identifier: MIT */
/* The input is the text of a session. What the walk accepts is JSON with those members
 * only; each record is JSON and lies in the text; no name comes twice; and a text written
 * from the records gives the same records. */
#include "codec/session_text.h"

#include "codec/json_writer.h"
#include "codec/utf8.h"
#include "fuzz.h"
#include "json_grammar.h"

/* Comparing all names with all is slow for more. */
enum { MAX_COMPARED = 100 };

typedef struct records {
  as_buffer list; /* as_session_record after as_session_record */
  size_t count;
} records;

static const as_session_record *record_at(const records *records, size_t i) {
  return (const as_session_record *)(const void *)records->list.data + i;
}

/* Reads all records; they are valid until the walk is freed. */
static as_status read_all(as_session_text *walk, records *records) {
  as_codec_error error;
  as_session_record record;
  for (;;) {
    as_status status = as_session_text_next(walk, &record, &error);
    if (status != AS_OK) {
      EXPECT(status == AS_ERR_CORRUPT && error.message[0] != '\0');
      EXPECT(error.offset <= walk->reader.text.length);
      return status;
    }
    if (record.kind == AS_SESSION_END) return AS_OK;
    EXPECT(as_buffer_append(&records->list, &record, sizeof record) == AS_OK);
    records->count++;
  }
}

static void check_record(const as_session_record *record, as_slice text) {
  EXPECT(record->text.data >= text.data && record->text.length > 0);
  EXPECT(record->text.data + record->text.length <= text.data + text.length);
  EXPECT(json_grammar_accepts(record->text, AS_JSON_MAX_LEVELS));
  if (record->kind == AS_SESSION_CREDS) {
    EXPECT(record->text.data[0] == '{');
    return;
  }
  EXPECT(as_utf8_check(record->type) != AS_UTF8_INVALID);
  EXPECT(as_utf8_check(record->id) != AS_UTF8_INVALID);
}

static bool is_same_name(const as_session_record *a, const as_session_record *b) {
  if (a->kind != b->kind) return false;
  if (a->kind == AS_SESSION_CREDS) return true;
  return as_slice_equals(a->type, b->type) && as_slice_equals(a->id, b->id);
}

static void check_names(const records *records) {
  size_t count = records->count < MAX_COMPARED ? records->count : MAX_COMPARED;
  for (size_t i = 1; i < count; i++)
    for (size_t j = 0; j < i; j++)
      EXPECT(!is_same_name(record_at(records, i), record_at(records, j)));
}

/* ---- writing ----------------------------------------------------------------------- */

static void put(as_buffer *out, const char *text) {
  EXPECT(as_buffer_append(out, text, strlen(text)) == AS_OK);
}

static void put_record(as_buffer *out, const records *records, size_t i) {
  const as_session_record *record = record_at(records, i);
  const as_session_record *before = i > 0 ? record_at(records, i - 1) : NULL;
  bool is_in_type = before != NULL && before->kind == AS_SESSION_KEY &&
                    as_slice_equals(before->type, record->type);
  if (is_in_type) {
    put(out, ",");
  } else {
    put(out, before != NULL && before->kind == AS_SESSION_KEY ? "}," : "");
    EXPECT(as_json_write_string(out, record->type) == AS_OK);
    put(out, ":{");
  }
  EXPECT(as_json_write_string(out, record->id) == AS_OK);
  put(out, ":");
  EXPECT(as_buffer_append_slice(out, record->text) == AS_OK);
}

/* creds stand where they stood: before or behind all keys. */
static void write_session(as_buffer *out, const records *records) {
  bool has_keys = false;
  put(out, "{");
  for (size_t i = 0; i < records->count; i++) {
    const as_session_record *record = record_at(records, i);
    if (i > 0 && record->kind != record_at(records, i - 1)->kind)
      put(out, has_keys ? "}}," : ",");
    if (record->kind == AS_SESSION_CREDS) {
      put(out, "\"creds\":");
      EXPECT(as_buffer_append_slice(out, record->text) == AS_OK);
      continue;
    }
    if (!has_keys) put(out, "\"keys\":{");
    has_keys = true;
    put_record(out, records, i);
  }
  bool ends_in_keys =
      has_keys && record_at(records, records->count - 1)->kind == AS_SESSION_KEY;
  put(out, ends_in_keys ? "}}}" : "}");
}

static void check_rewritten(const records *expected, as_mem *mem) {
  as_buffer text;
  as_session_text walk;
  records again = {.count = 0};
  as_buffer_init(&text, mem);
  as_buffer_init(&again.list, mem);
  write_session(&text, expected);
  as_session_text_init(&walk, as_buffer_slice(&text), mem);
  EXPECT(read_all(&walk, &again) == AS_OK);
  EXPECT(again.count == expected->count);
  for (size_t i = 0; i < again.count; i++) {
    EXPECT(is_same_name(record_at(&again, i), record_at(expected, i)));
    EXPECT(as_slice_equals(record_at(&again, i)->text, record_at(expected, i)->text));
  }
  as_session_text_free(&walk);
  as_buffer_free(&again.list);
  as_buffer_free(&text);
}

void fuzz_session_text(as_slice text) {
  as_mem mem;
  as_session_text walk;
  records records = {.count = 0};
  as_mem_init(&mem);
  as_buffer_init(&records.list, &mem);
  as_session_text_init(&walk, text, &mem);
  if (read_all(&walk, &records) == AS_OK) {
    EXPECT(json_grammar_accepts(text, AS_JSON_MAX_LEVELS));
    for (size_t i = 0; i < records.count; i++) check_record(record_at(&records, i), text);
    check_names(&records);
    check_rewritten(&records, &mem);
  }
  as_session_text_free(&walk);
  as_buffer_free(&records.list);
  EXPECT(mem.used_bytes == 0);
}
