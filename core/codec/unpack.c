/* SPDX-License-Identifier: MIT */
/* Head of an item (RFC 8949, section 3): the upper three bits of its first byte are the
 * major type, the lower five are an argument below 24, or say how many bytes of argument
 * follow (24: 1, 25: 2, 26: 4, 27: 8, big endian), or an indefinite length.
 *
 * One recursive function reads a value; depth is bounded by AS_CODEC_MAX_LEVELS. A
 * declared count is believed only as far as the bytes that are left can hold the items of
 * all open arrays and maps together. */
#include "codec/unpack.h"

#include <math.h>

#include "codec/base64.h"
#include "codec/byte_map.h"
#include "codec/jid.h"
#include "codec/json_sink.h"
#include "codec/jsontext.h"
#include "codec/number.h"
#include "codec/unpack_job.h"
#include "codec/utf8.h"

enum { SIMPLE_FALSE = 20, SIMPLE_TRUE, SIMPLE_NULL, SIMPLE_UNDEFINED };

enum { TAG_BIGNUM = 2, TAG_NEGATIVE_BIGNUM = 3 }; /* RFC 8949 */

enum { BREAK = 0xFF };

void as_unpacker_init(as_unpacker *unpacker, as_mem *mem) {
  as_buffer_init(&unpacker->text, mem);
  as_buffer_init(&unpacker->json, mem);
  as_buffer_init(&unpacker->strings, mem);
}

void as_unpacker_free(as_unpacker *unpacker) {
  as_buffer_free(&unpacker->text);
  as_buffer_free(&unpacker->json);
  as_buffer_free(&unpacker->strings);
}

as_status as_unpack_fail(const as_unpack_job *job, const uint8_t *at, const char *what) {
  size_t offset = (size_t)(at - job->start);
  as_status noted =
      as_codec_error_set(job->error, AS_ERR_CORRUPT, offset,
                         "%s at byte %zu of the stored value", what, offset);
  (void)noted; /* the same, but the analyzer only sees this file */
  return AS_ERR_CORRUPT;
}

/* ---- heads and strings ------------------------------------------------------------- */

static size_t bytes_left(const as_unpack_job *job) {
  return (size_t)(job->end - job->at);
}

as_status as_unpack_long_head(as_unpack_job *job, as_head *head) {
  if (head->info == AS_INFO_INDEFINITE) return AS_OK;
  if (head->info > AS_INFO_8) {
    return as_unpack_fail(job, head->at, "an item that is not CBOR");
  }
  size_t size = (size_t)1 << (head->info - AS_INFO_1);
  if (bytes_left(job) < size) return as_unpack_fail(job, job->end, "unexpected end");
  uint64_t argument = 0;
  for (size_t i = 0; i < size; i++) argument = argument << 8 | *job->at++;
  head->argument = argument;
  return AS_OK;
}

/* A string that a reference may name. */
typedef struct numbered_string {
  as_slice content;
  bool is_text;
} numbered_string;

static size_t count_strings(const as_unpack_job *job) {
  return job->unpacker->strings.length / sizeof(numbered_string) - job->first_string;
}

static as_status note_string(as_unpack_job *job, as_slice content, bool is_text) {
  if (!as_stringref_counts(content.length, count_strings(job))) return AS_OK;
  numbered_string string = {content, is_text};
  return as_buffer_append(&job->unpacker->strings, &string, sizeof string);
}

/* The content of a byte or text string of definite length whose head was read; counts it
 * for references. */
static as_status read_string(as_unpack_job *job, const as_head *head,
                             as_slice *out_content) {
  if (head->argument > bytes_left(job)) {
    return as_unpack_fail(job, head->at, "a string longer than what is there");
  }
  *out_content = as_slice_of(job->at, (size_t)head->argument);
  job->at += head->argument;
  if (!job->has_namespace) return AS_OK;
  return note_string(job, *out_content, head->major == AS_MAJOR_TEXT);
}

/* Tag 25 was read: the string with the number that follows. */
static as_status read_reference(as_unpack_job *job, as_slice *out_content,
                                bool *out_is_text) {
  as_head head;
  AS_TRY(as_unpack_head(job, &head));
  if (!job->has_namespace || head.major != AS_MAJOR_UNSIGNED || head.info > AS_INFO_8 ||
      head.argument >= count_strings(job)) {
    return as_unpack_fail(job, head.at, "a reference to no string");
  }
  const numbered_string *strings =
      (const numbered_string *)(const void *)job->unpacker->strings.data;
  const numbered_string *string = &strings[job->first_string + (size_t)head.argument];
  job->referenced += string->content.length;
  if (job->referenced / AS_STRINGREF_MAX_RATIO > (size_t)(job->end - job->start)) {
    return as_unpack_fail(job, head.at, "references that make a small value large");
  }
  *out_content = string->content;
  *out_is_text = string->is_text;
  return AS_OK;
}

as_status as_unpack_byte_string(as_unpack_job *job, as_slice *out_content) {
  as_head head;
  AS_TRY(as_unpack_head(job, &head));
  bool is_text = true;
  if (head.major == AS_MAJOR_TAG && head.argument == AS_TAG_STRINGREF) {
    AS_TRY(read_reference(job, out_content, &is_text));
    if (!is_text) return AS_OK;
  }
  if (head.major != AS_MAJOR_BYTES || head.info > AS_INFO_8) {
    return as_unpack_fail(job, head.at, "something else than a byte string");
  }
  return read_string(job, &head, out_content);
}

static as_status check_integer(const as_unpack_job *job, const as_head *head) {
  uint64_t limit = (uint64_t)AS_NUMBER_MAX_INTEGER - (head->major == AS_MAJOR_NEGATIVE);
  if (head->info == AS_INFO_INDEFINITE) {
    return as_unpack_fail(job, head->at, "an item that is not CBOR");
  }
  if (head->argument <= limit) return AS_OK;
  return as_unpack_fail(job, head->at, "an integer beyond 2^53");
}

static int64_t integer_of(const as_head *head) {
  int64_t argument = (int64_t)head->argument;
  return head->major == AS_MAJOR_NEGATIVE ? -1 - argument : argument;
}

as_status as_unpack_integer(as_unpack_job *job, int64_t *out_integer) {
  as_head head;
  AS_TRY(as_unpack_head(job, &head));
  if (head.major > AS_MAJOR_NEGATIVE) {
    return as_unpack_fail(job, head.at, "something else than an integer");
  }
  AS_TRY(check_integer(job, &head));
  *out_integer = integer_of(&head);
  return AS_OK;
}

as_status as_unpack_array(as_unpack_job *job, size_t *out_count) {
  as_head head;
  AS_TRY(as_unpack_head(job, &head));
  if (head.major != AS_MAJOR_ARRAY || head.info > AS_INFO_8) {
    return as_unpack_fail(job, head.at, "something else than an array");
  }
  if (head.argument > bytes_left(job)) {
    return as_unpack_fail(job, head.at, "an array or map longer than what is there");
  }
  *out_count = (size_t)head.argument;
  return AS_OK;
}

as_status as_unpack_keys(as_unpack_job *job, as_key_list *out_keys) {
  const uint8_t *at = job->at;
  as_slice bytes;
  AS_TRY(as_unpack_byte_string(job, &bytes));
  if (bytes.length % AS_KEY_BYTES != 0) {
    return as_unpack_fail(job, at, "a part of a key");
  }
  *out_keys = (as_key_list){bytes.data, bytes.length / AS_KEY_BYTES};
  return AS_OK;
}

as_status as_unpack_enter(as_unpack_job *job, int levels) {
  if (job->depth + levels <= AS_CODEC_MAX_LEVELS) return AS_OK;
  return as_unpack_fail(job, job->at, "more than 256 levels of arrays and objects");
}

/* ---- text -------------------------------------------------------------------------- */

/* As base64 text in the unpacker's memory, until the next text. */
static as_status encode_base64(as_unpack_job *job, as_slice bytes, as_slice *out_text) {
  as_buffer *text = &job->unpacker->text;
  size_t length = as_base64_encoded_length(bytes.length);
  as_buffer_clear(text);
  AS_TRY(as_buffer_reserve(text, length + 1));
  as_base64_encode(bytes, text->data);
  *out_text = as_slice_of(text->data, length);
  return AS_OK;
}

/* Content of tag 7. */
static as_status read_digits(as_unpack_job *job, as_slice *out_text) {
  as_buffer *text = &job->unpacker->text;
  as_head head;
  AS_TRY(as_unpack_head(job, &head));
  uint64_t number = head.argument;
  if (head.major == AS_MAJOR_BYTES && head.info <= sizeof number) {
    as_slice bytes;
    AS_TRY(read_string(job, &head, &bytes));
    number = as_number_unpack(bytes.data, bytes.length);
  } else if (head.major != AS_MAJOR_UNSIGNED || head.info > AS_INFO_8) {
    return as_unpack_fail(job, head.at, "tag 7 without a number");
  }
  as_buffer_clear(text);
  AS_TRY(as_buffer_reserve(text, AS_DIGITS_ROOM));
  *out_text = as_slice_of(text->data, as_digits_write(number, (char *)text->data));
  return AS_OK;
}

static as_status read_jid(as_unpack_job *job, as_slice *out_text) {
  as_buffer *text = &job->unpacker->text;
  const uint8_t *at = job->at;
  as_slice bytes;
  size_t taken = 0;
  AS_TRY(as_unpack_byte_string(job, &bytes));
  as_buffer_clear(text);
  AS_TRY(as_buffer_reserve(text, AS_JID_MAX_TEXT));
  size_t length = as_jid_unpack(bytes, (char *)text->data, &taken);
  if (length == 0 || taken != bytes.length) {
    return as_unpack_fail(job, at, "tag 8 without a jid");
  }
  *out_text = as_slice_of(text->data, length);
  return AS_OK;
}

/* Content of tag 262 inside of a value: a JSON string, kept for its lone surrogates. */
static as_status read_json_string(as_unpack_job *job, as_slice *out_text) {
  as_buffer *text = &job->unpacker->text;
  const uint8_t *at = job->at;
  as_json_reader reader;
  as_json_event string, end;
  as_slice json;
  AS_TRY(as_unpack_byte_string(job, &json));
  as_json_reader_init(&reader, json);
  if (as_json_next(&reader, &string) != AS_OK || string.kind != AS_JSON_STRING ||
      as_json_next(&reader, &end) != AS_OK) {
    return as_unpack_fail(job, at, "tag 262 without a JSON string");
  }
  as_buffer_clear(text);
  AS_TRY(as_buffer_reserve(text, string.decoded_length + 1));
  as_json_string_decode(&string, text->data);
  *out_text = as_slice_of(text->data, string.decoded_length);
  return AS_OK;
}

static as_status check_text(const as_unpack_job *job, const uint8_t *at, as_slice text) {
  if (!job->is_stored || as_utf8_check(text) == AS_UTF8_STRICT) return AS_OK;
  return as_unpack_fail(job, at, "text that is not UTF-8");
}

/* The pieces of a string of indefinite length, joined in the unpacker's memory. */
static as_status read_pieces(as_unpack_job *job, const as_head *head, as_buffer *pieces,
                             as_slice *out_content) {
  as_buffer_clear(pieces);
  AS_TRY(as_buffer_reserve(pieces, 1)); /* so that no text is NULL */
  while (job->at == job->end || *job->at != BREAK) {
    as_head piece;
    AS_TRY(as_unpack_head(job, &piece));
    if (piece.major != head->major || piece.info > AS_INFO_8) {
      return as_unpack_fail(job, piece.at, "a piece of another kind of string");
    }
    if (piece.argument > bytes_left(job)) {
      return as_unpack_fail(job, piece.at, "a string longer than what is there");
    }
    as_slice content = as_slice_of(job->at, (size_t)piece.argument);
    AS_TRY(as_buffer_append_slice(pieces, content));
    job->at += content.length;
  }
  job->at++;
  *out_content = as_buffer_slice(pieces);
  return AS_OK;
}

/* The text of a tag that stands for text; *out_is_text is false for other tags. */
static as_status read_tagged_text(as_unpack_job *job, uint64_t tag, as_slice *out_text,
                                  bool *out_is_text) {
  as_slice bytes;
  *out_is_text = true;
  switch (tag) {
    case AS_TAG_BASE64:
      AS_TRY(as_unpack_byte_string(job, &bytes));
      return encode_base64(job, bytes, out_text);
    case AS_TAG_DIGITS:
      return read_digits(job, out_text);
    case AS_TAG_JID:
      return read_jid(job, out_text);
    case AS_TAG_JSON:
      return read_json_string(job, out_text);
    default:
      *out_is_text = false;
      return AS_OK;
  }
}

/* ---- keys -------------------------------------------------------------------------- */

static int name_of(const as_head *head) {
  if (head->major == AS_MAJOR_NEGATIVE) return (int)head->argument + AS_INFO_1;
  return (int)head->argument < AS_INFO_1 ? (int)head->argument
                                         : (int)head->argument + AS_INFO_1;
}

static as_status give_name(as_unpack_job *job, const as_head *head) {
  bool is_short = head->argument < AS_INFO_1;
  bool is_known = is_short || (head->major == AS_MAJOR_UNSIGNED &&
                               head->argument < AS_NAMES_COUNT - AS_INFO_1);
  if (!is_known || (head->info > AS_INFO_8)) {
    return as_unpack_fail(job, head->at, "a name that this version does not know");
  }
  int name = name_of(head);
  job->key = as_names_at((size_t)name);
  return job->sink->calls->name(job->sink, name);
}

static as_status give_text_key(as_unpack_job *job, const as_head *head) {
  as_slice text;
  if (head->info == AS_INFO_INDEFINITE) {
    AS_TRY(read_pieces(job, head, &job->unpacker->text, &text));
  } else {
    AS_TRY(read_string(job, head, &text));
  }
  AS_TRY(check_text(job, head->at, text));
  job->key = text;
  return job->sink->calls->key(job->sink, text);
}

/* A key that is a tag, which was just read. */
static as_status give_tagged_key(as_unpack_job *job, const as_head *tag) {
  as_slice text;
  bool is_text;
  if (tag->argument == AS_TAG_STRINGREF) {
    AS_TRY(read_reference(job, &text, &is_text));
    if (is_text) AS_TRY(check_text(job, tag->at, text));
  } else {
    AS_TRY(read_tagged_text(job, tag->argument, &text, &is_text));
  }
  if (!is_text) return as_unpack_fail(job, tag->at, "a key that is not text");
  return job->sink->calls->key(job->sink, text);
}

static as_status give_key(as_unpack_job *job) {
  as_head head;
  job->key = as_slice_of(NULL, 0);
  job->missing--;
  AS_TRY(as_unpack_head(job, &head));
  switch (head.major) {
    case AS_MAJOR_UNSIGNED:
    case AS_MAJOR_NEGATIVE:
      return give_name(job, &head);
    case AS_MAJOR_TEXT:
      return give_text_key(job, &head);
    case AS_MAJOR_TAG:
      return give_tagged_key(job, &head);
    default:
      return as_unpack_fail(job, head.at, "a key that is not text");
  }
}

/* ---- values ------------------------------------------------------------------------ */

static as_status give_value(as_unpack_job *job);

static as_status give_float(as_unpack_job *job, const as_head *head) {
  double number = as_cbor_float(1u << (head->info - AS_INFO_1), head->argument);
  if (!isfinite(number) && (job->is_stored || isnan(number))) {
    return as_unpack_fail(job, head->at, "a number that is not finite");
  }
  return job->sink->calls->number(job->sink, number);
}

static as_status give_simple(as_unpack_job *job, const as_head *head) {
  if (head->info >= AS_INFO_2 && head->info <= AS_INFO_8) return give_float(job, head);
  switch (head->info) {
    case SIMPLE_FALSE:
      return job->sink->calls->word(job->sink, AS_TREE_FALSE);
    case SIMPLE_TRUE:
      return job->sink->calls->word(job->sink, AS_TREE_TRUE);
    case SIMPLE_NULL:
      return job->sink->calls->word(job->sink, AS_TREE_NULL);
    case SIMPLE_UNDEFINED:
      return as_unpack_fail(job, head->at, "undefined, which JSON does not have,");
    case AS_INFO_INDEFINITE:
      return as_unpack_fail(job, head->at, "an end of nothing");
    default:
      return as_unpack_fail(job, head->at, "an unknown simple value");
  }
}

static as_status give_bytes(as_unpack_job *job, as_slice bytes, as_byte_form form) {
  AS_TRY(as_unpack_enter(job, 1));
  return job->sink->calls->bytes(job->sink, bytes, form);
}

static as_status give_string(as_unpack_job *job, const as_head *head) {
  as_slice content;
  bool is_text = head->major == AS_MAJOR_TEXT;
  if (head->info == AS_INFO_INDEFINITE) {
    AS_TRY(read_pieces(job, head, &job->unpacker->text, &content));
  } else {
    AS_TRY(read_string(job, head, &content));
  }
  if (!is_text) return give_bytes(job, content, AS_BYTE_FORM_BASE64);
  AS_TRY(check_text(job, head->at, content));
  return job->sink->calls->text(job->sink, content);
}

/* Counts the strings of a map that was read at once, which lies between `from` and the
 * cursor. */
static as_status note_strings(as_unpack_job *job, const uint8_t *from, size_t items) {
  as_cbor_reader reader;
  as_cbor_item item;
  size_t length = (size_t)(job->at - from);
  if (!job->has_namespace) return AS_OK;
  as_cbor_reader_init(&reader, as_slice_of(from, length), job->error);
  reader.missing = items;
  while (reader.offset < length) {
    AS_TRY(as_cbor_next(&reader, &item));
    bool is_text = item.kind == AS_CBOR_TEXT;
    if (is_text || item.kind == AS_CBOR_BYTES) {
      AS_TRY(note_string(job, item.bytes, is_text));
    }
  }
  return AS_OK;
}

/* A map that stands for bytes, whose head was just read. */
static as_status try_byte_map(as_unpack_job *job, const as_head *head,
                              bool *out_is_taken) {
  as_byte_map map = {.length = 0};
  as_cbor_reader reader;
  as_buffer *text = &job->unpacker->text;
  as_cbor_reader_init(&reader, as_slice_of(job->start, (size_t)(job->end - job->start)),
                      job->error);
  reader.offset = (size_t)(job->at - job->start);
  size_t left = bytes_left(job);
  if (job->missing > left || head->argument > (left - job->missing) / 2) return AS_OK;
  reader.missing = job->missing + 2 * (size_t)head->argument;
  *out_is_taken = as_byte_map_match(&reader, (size_t)head->argument, job->key, &map);
  if (!*out_is_taken) return AS_OK;
  if (map.form == AS_BYTE_MAP_ARRAY) AS_TRY(as_unpack_enter(job, 2));
  const uint8_t *entries = job->at;
  job->at = job->start + reader.offset;
  AS_TRY(note_strings(job, entries, 2 * (size_t)head->argument));
  as_buffer_clear(text);
  AS_TRY(as_buffer_reserve(text, map.length + 1));
  as_byte_map_write(&map, text->data);
  return give_bytes(job, as_slice_of(text->data, map.length), AS_BYTE_FORM_BASE64);
}

static as_status give_entry(as_unpack_job *job, bool is_map) {
  if (is_map) {
    AS_TRY(give_key(job));
  } else {
    job->key = as_slice_of(NULL, 0);
  }
  return give_value(job);
}

static as_status give_indefinite(as_unpack_job *job, bool is_map) {
  AS_TRY(job->sink->calls->open(job->sink, is_map, 0));
  while (job->at == job->end || *job->at != BREAK) {
    job->missing += is_map ? 2 : 1;
    AS_TRY(give_entry(job, is_map));
  }
  job->at++;
  return job->sink->calls->close(job->sink, is_map);
}

static as_status give_definite(as_unpack_job *job, const as_head *head, bool is_map) {
  size_t left = bytes_left(job), per_entry = is_map ? 2 : 1;
  if (job->missing > left || head->argument > (left - job->missing) / per_entry) {
    return as_unpack_fail(job, head->at, "an array or map longer than what is there");
  }
  size_t count = (size_t)head->argument;
  job->missing += count * per_entry;
  AS_TRY(job->sink->calls->open(job->sink, is_map, as_unpack_expected(job, count)));
  for (size_t i = 0; i < count; i++) AS_TRY(give_entry(job, is_map));
  return job->sink->calls->close(job->sink, is_map);
}

static as_status give_container(as_unpack_job *job, const as_head *head) {
  bool is_map = head->major == AS_MAJOR_MAP, is_taken = false;
  bool is_definite = head->info != AS_INFO_INDEFINITE;
  AS_TRY(as_unpack_enter(job, 1));
  if (is_map && is_definite && job->sink->calls->wants_byte_maps) {
    AS_TRY(try_byte_map(job, head, &is_taken));
    if (is_taken) return AS_OK;
  }
  job->depth++;
  AS_TRY(is_definite ? give_definite(job, head, is_map) : give_indefinite(job, is_map));
  job->depth--;
  return AS_OK;
}

/* The JSON text of the next item, in the unpacker's memory. */
static as_status write_json(as_unpack_job *job) {
  as_buffer *json = &job->unpacker->json;
  as_sink *sink = job->sink;
  as_json_sink inner;
  int depth = job->depth;
  as_json_sink_init(&inner, json, AS_BYTE_FORM_BASE64);
  job->sink = &inner.sink;
  job->is_inside_bytes = true;
  job->depth = 0;
  job->missing++;
  as_status status = give_value(job);
  job->depth = depth;
  job->is_inside_bytes = false;
  job->sink = sink;
  return status;
}

/* Tag 9: a Buffer with the JSON text of what follows. */
static as_status give_json_bytes(as_unpack_job *job, const as_head *tag) {
  enum { SENDER_KEY = AS_MAJOR_TAG << 5 | AS_TAG_SENDER_KEY };
  as_buffer *json = &job->unpacker->json;
  if (job->is_inside_bytes) {
    return as_unpack_fail(job, tag->at, "tag 9 inside of tag 9");
  }
  as_buffer_clear(json);
  if (job->at < job->end && *job->at == SENDER_KEY) {
    job->at++;
    AS_TRY(as_unpack_sender_key(job, json));
  } else {
    AS_TRY(write_json(job));
  }
  return give_bytes(job, as_buffer_slice(json), AS_BYTE_FORM_BASE64);
}

static as_status give_numbers(as_unpack_job *job) {
  as_sink *sink = job->sink;
  as_slice bytes;
  AS_TRY(as_unpack_byte_string(job, &bytes));
  AS_TRY(as_unpack_enter(job, 1));
  AS_TRY(sink->calls->open(sink, false, bytes.length));
  for (size_t i = 0; i < bytes.length; i++)
    AS_TRY(sink->calls->number(sink, bytes.data[i]));
  return sink->calls->close(sink, false);
}

static as_status give_tagged_bytes(as_unpack_job *job, as_byte_form form) {
  as_slice bytes;
  AS_TRY(as_unpack_enter(job, form == AS_BYTE_FORM_ARRAY ? 2 : 1));
  AS_TRY(as_unpack_byte_string(job, &bytes));
  return give_bytes(job, bytes, form);
}

static as_status give_reference(as_unpack_job *job, const as_head *tag) {
  as_slice content;
  bool is_text;
  AS_TRY(read_reference(job, &content, &is_text));
  if (!is_text) return give_bytes(job, content, AS_BYTE_FORM_BASE64);
  AS_TRY(check_text(job, tag->at, content));
  return job->sink->calls->text(job->sink, content);
}

static as_status give_namespace(as_unpack_job *job) {
  bool had_namespace = job->has_namespace;
  size_t first_string = job->first_string;
  /* One around all levels is for nothing; more nest, and the stack is finite. */
  int levels = had_namespace ? 1 : 0;
  AS_TRY(as_unpack_enter(job, levels));
  job->depth += levels;
  job->first_string = job->unpacker->strings.length / sizeof(numbered_string);
  job->has_namespace = true;
  job->missing++;
  AS_TRY(give_value(job));
  job->depth -= levels;
  job->unpacker->strings.length = job->first_string * sizeof(numbered_string);
  job->first_string = first_string;
  job->has_namespace = had_namespace;
  return AS_OK;
}

/* A tag that was just read, and what it holds. An unknown one leaves what it holds to
 * give_value. */
static as_status give_tagged(as_unpack_job *job, const as_head *tag, bool *out_is_known) {
  as_slice text;
  bool is_text;
  const as_sink_calls *calls = job->sink->calls;
  *out_is_known = true;
  switch (tag->argument) {
    case TAG_BIGNUM:
    case TAG_NEGATIVE_BIGNUM:
      return as_unpack_fail(job, tag->at, "an integer beyond 2^53");
    case AS_TAG_DIGITS:
      if (job->at < job->end && *job->at < AS_INFO_1 && calls->few_digits != NULL) {
        return calls->few_digits(job->sink, *job->at++);
      }
      break;
    case AS_TAG_KEY_PAIR:
      return as_unpack_key_pair(job);
    case AS_TAG_SESSION:
      return as_unpack_session(job);
    case AS_TAG_SENDER_KEY:
      return as_unpack_fail(job, tag->at, "tag 12 without tag 9 before it");
    case AS_TAG_JID_SET:
      return as_unpack_jid_set(job);
    case AS_TAG_VALUE_MACS:
      return as_unpack_value_macs(job);
    case AS_TAG_JSON_BYTES:
      return give_json_bytes(job, tag);
    case AS_TAG_NUMBERS:
      return give_numbers(job);
    case AS_TAG_BYTE_ARRAY:
      return give_tagged_bytes(job, AS_BYTE_FORM_ARRAY);
    case AS_TAG_BYTE_OBJECT:
      return give_tagged_bytes(job, AS_BYTE_FORM_OBJECT);
    case AS_TAG_STRINGREF:
      return give_reference(job, tag);
    case AS_TAG_STRINGREF_NAMESPACE:
      return give_namespace(job);
    default:
      break;
  }
  AS_TRY(read_tagged_text(job, tag->argument, &text, &is_text));
  if (is_text) return job->sink->calls->text(job->sink, text);
  *out_is_known = false;
  return AS_OK;
}

static as_status give_value(as_unpack_job *job) {
  as_head head;
  bool is_known;
  job->missing--;
  for (;;) {
    AS_TRY(as_unpack_head(job, &head));
    switch (head.major) {
      case AS_MAJOR_UNSIGNED:
      case AS_MAJOR_NEGATIVE:
        AS_TRY(check_integer(job, &head));
        return job->sink->calls->number(job->sink, (double)integer_of(&head));
      case AS_MAJOR_BYTES:
      case AS_MAJOR_TEXT:
        return give_string(job, &head);
      case AS_MAJOR_ARRAY:
      case AS_MAJOR_MAP:
        return give_container(job, &head);
      case AS_MAJOR_TAG:
        if (head.info > AS_INFO_8) {
          return as_unpack_fail(job, head.at, "an item that is not CBOR");
        }
        AS_TRY(give_tagged(job, &head, &is_known));
        if (is_known) return AS_OK;
        break;
      default:
        return give_simple(job, &head);
    }
  }
}

as_status as_unpack(as_unpacker *unpacker, as_slice cbor, as_unpack_trust trust,
                    as_sink *sink, as_codec_error *error) {
  as_unpack_job job;
  job.start = job.at = cbor.data;
  job.end = cbor.data + cbor.length;
  job.sink = sink;
  job.unpacker = unpacker;
  job.error = error;
  job.missing = 1;
  job.depth = 0;
  job.key = as_slice_of(NULL, 0);
  job.is_stored = trust == AS_UNPACK_STORED;
  job.has_namespace = false;
  job.is_inside_bytes = false;
  job.first_string = 0;
  job.referenced = 0;
  as_buffer_clear(&unpacker->strings);
  AS_TRY(give_value(&job));
  if (job.at == job.end) return AS_OK;
  return as_unpack_fail(&job, job.at, "bytes after the end");
}

size_t as_unpack_digits(as_slice cbor, char out[AS_DIGITS_ROOM]) {
  enum { DIGITS = AS_MAJOR_TAG << 5 | AS_TAG_DIGITS, BYTES = AS_MAJOR_BYTES << 5 };
  if (cbor.length < 3 || cbor.data[0] != DIGITS) return 0;
  size_t length = cbor.length - 2;
  if (cbor.data[1] != (BYTES | length) || length > sizeof(uint64_t)) return 0;
  return as_digits_write(as_number_unpack(cbor.data + 2, length), out);
}
