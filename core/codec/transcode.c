/* SPDX-License-Identifier: MIT */
/* From JSON. One pass over the parser's events writes each item at once. The head of an
 * array or map must tell its count, which is known only at its end; so one byte is left
 * free for it, enough for 23 entries, and the few heads that need more are noted and all
 * put in at the end, from the last to the first, moving each byte once.
 *
 * In exact mode the first event that shows JSON.stringify did not write the text ends the
 * pass: the rest is only checked, what was written is dropped, the text is kept whole. */
#include "codec/transcode.h"

#include <math.h>
#include <stdlib.h>

#include "codec/base64.h"
#include "codec/cbor.h"
#include "codec/json_writer.h"
#include "codec/jsontext.h"
#include "codec/number.h"
#include "codec/utf8.h"

enum { SHORT_HEAD_MAX = 23 };

static const char BUFFER_BEGIN[] = "{\"type\":\"Buffer\",\"data\":\"";

typedef struct wide_head {
  size_t offset;
  size_t count;
  uint8_t first;
} wide_head;

typedef struct json_level {
  size_t head;    /* where the head's byte is in `out` */
  size_t count;   /* entries so far */
  uint64_t group; /* of an object's keys */
  uint8_t first;
} json_level;

typedef struct json_job {
  as_transcoder *transcoder;
  as_json_reader reader;
  as_buffer *out;
  bool is_exact;     /* the mode */
  bool is_canonical; /* so far stringify could have written the text */
  int depth;
  json_level levels[AS_CODEC_MAX_LEVELS];
} json_job;

void as_transcoder_init(as_transcoder *transcoder, as_mem *mem) {
  as_key_set_init(&transcoder->keys, mem);
  as_buffer_init(&transcoder->wide_heads, mem);
}

void as_transcoder_free(as_transcoder *transcoder) {
  as_key_set_free(&transcoder->keys);
  as_buffer_free(&transcoder->wide_heads);
}

static as_status open_level(json_job *job, uint8_t first) {
  json_level *level = &job->levels[job->depth++];
  level->head = job->out->length;
  level->count = 0;
  level->first = first;
  level->group = as_key_set_new_group(&job->transcoder->keys);
  return as_buffer_append_byte(job->out, first);
}

static as_status close_level(json_job *job) {
  json_level *level = &job->levels[--job->depth];
  if (level->count <= SHORT_HEAD_MAX) {
    job->out->data[level->head] = (uint8_t)(level->first | level->count);
    return AS_OK;
  }
  wide_head head = {level->head, level->count, level->first};
  return as_buffer_append(&job->transcoder->wide_heads, &head, sizeof head);
}

static int compare_heads(const void *a, const void *b) {
  size_t left = ((const wide_head *)a)->offset, right = ((const wide_head *)b)->offset;
  return (left > right) - (left < right);
}

static as_status insert_wide_heads(as_buffer *wide_heads, as_buffer *out) {
  wide_head *heads = (wide_head *)(void *)wide_heads->data;
  size_t count = wide_heads->length / sizeof *heads, extra = 0, end = out->length;
  uint8_t head[AS_CBOR_MAX_HEAD];
  if (count == 0) return AS_OK;
  qsort(heads, count, sizeof *heads, compare_heads);
  for (size_t i = 0; i < count; i++) {
    extra += as_cbor_put_head(head, heads[i].first, heads[i].count) - 1;
  }
  AS_TRY(as_buffer_reserve(out, extra));
  out->length += extra;
  for (size_t i = count; i-- > 0;) {
    size_t size = as_cbor_put_head(head, heads[i].first, heads[i].count);
    uint8_t *after = out->data + heads[i].offset + 1;
    memmove(after + extra, after, end - heads[i].offset - 1);
    extra -= size - 1;
    end = heads[i].offset;
    memcpy(out->data + end + extra, head, size);
  }
  return AS_OK;
}

/* Takes a Buffer in the form that Baileys writes, whose '{' was just read, as bytes. */
static as_status take_buffer(json_job *job, size_t start, bool *out_is_taken) {
  as_slice text = job->reader.text;
  as_slice rest = as_slice_of(text.data + start, text.length - start);
  *out_is_taken = false;
  if (!as_slice_starts_with(rest, BUFFER_BEGIN)) return AS_OK;
  const uint8_t *base64 = rest.data + sizeof BUFFER_BEGIN - 1;
  const uint8_t *end = text.data + text.length;
  const uint8_t *quote = memchr(base64, '"', (size_t)(end - base64));
  if (quote == NULL || quote + 1 == end || quote[1] != '}') return AS_OK;

  as_slice content = as_slice_of(base64, (size_t)(quote - base64));
  size_t length = as_base64_decoded_length(content), before = job->out->length;
  AS_TRY(as_cbor_write_head(job->out, AS_CBOR_FIRST_BYTES, length));
  AS_TRY(as_buffer_reserve(job->out, length));
  *out_is_taken = as_base64_decode(content, job->out->data + job->out->length);
  if (!*out_is_taken) {
    job->out->length = before;
    return AS_OK;
  }
  job->out->length += length;
  as_json_leave(&job->reader, (size_t)(quote + 2 - text.data));
  return AS_OK;
}

static as_status take_object(json_job *job, size_t start) {
  bool is_taken;
  AS_TRY(take_buffer(job, start, &is_taken));
  return is_taken ? AS_OK : open_level(job, AS_CBOR_FIRST_MAP);
}

static as_status take_string(json_job *job, const as_json_event *event) {
  as_buffer *out = job->out;
  job->is_canonical &= event->is_canonical;
  if (job->is_exact && event->has_surrogate) {
    AS_TRY(as_cbor_write_tag(out, AS_CBOR_TAG_JSON));
    return as_cbor_write_bytes(
        out, as_slice_of(event->text.data - 1, event->text.length + 2)); /* with quotes */
  }
  AS_TRY(as_cbor_write_head(out, AS_CBOR_FIRST_TEXT, event->decoded_length));
  AS_TRY(as_buffer_reserve(out, event->decoded_length));
  as_json_string_decode(event, out->data + out->length);
  out->length += event->decoded_length;
  return AS_OK;
}

static as_status take_key(json_job *job, const as_json_event *event) {
  json_level *level = &job->levels[job->depth - 1];
  level->count++;
  if (job->is_exact) {
    bool is_new;
    AS_TRY(as_key_set_add(&job->transcoder->keys, level->group, event->text, &is_new));
    job->is_canonical &= is_new;
  }
  return take_string(job, event);
}

static as_status take_number(json_job *job, as_slice token) {
  double value = as_number_parse(token);
  if (job->is_exact) {
    job->is_canonical &= as_number_is_canonical(token, value);
  } else if (value == 0 && signbit(value)) {
    return as_cbor_write_float(job->out, value);
  }
  return as_cbor_write_number(job->out, value);
}

static as_status take_event(json_job *job, const as_json_event *event) {
  bool is_value = event->kind != AS_JSON_KEY && event->kind != AS_JSON_ARRAY_END &&
                  event->kind != AS_JSON_OBJECT_END && event->kind != AS_JSON_END;
  if (is_value && job->depth > 0) {
    json_level *parent = &job->levels[job->depth - 1];
    parent->count += parent->first == AS_CBOR_FIRST_ARRAY;
  }
  switch (event->kind) {
    case AS_JSON_NULL:
      return as_cbor_write_null(job->out);
    case AS_JSON_FALSE:
    case AS_JSON_TRUE:
      return as_cbor_write_boolean(job->out, event->kind == AS_JSON_TRUE);
    case AS_JSON_NUMBER:
      return take_number(job, event->text);
    case AS_JSON_STRING:
      return take_string(job, event);
    case AS_JSON_KEY:
      return take_key(job, event);
    case AS_JSON_ARRAY:
      return open_level(job, AS_CBOR_FIRST_ARRAY);
    case AS_JSON_OBJECT:
      return take_object(job, event->offset);
    case AS_JSON_ARRAY_END:
    case AS_JSON_OBJECT_END:
      return close_level(job);
    case AS_JSON_END:
      break;
  }
  return AS_OK;
}

static as_status keep_whole(json_job *job, size_t start) {
  AS_TRY(as_json_skip_rest(&job->reader));
  job->out->length = start;
  AS_TRY(as_cbor_write_tag(job->out, AS_CBOR_TAG_JSON));
  return as_cbor_write_bytes(job->out, job->reader.text);
}

static as_status take_text(json_job *job, size_t start) {
  as_json_event event;
  do {
    AS_TRY(as_json_next(&job->reader, &event));
    AS_TRY(take_event(job, &event));
    job->is_canonical &= !job->reader.has_space;
    if (job->is_exact && !job->is_canonical) return keep_whole(job, start);
  } while (event.kind != AS_JSON_END);
  return insert_wide_heads(&job->transcoder->wide_heads, job->out);
}

static as_status run_json_job(json_job *job, as_codec_error *error) {
  size_t start = job->out->length;
  as_key_set_clear(&job->transcoder->keys);
  as_buffer_clear(&job->transcoder->wide_heads);
  as_codec_error_clear(error);
  as_status status = take_text(job, start);
  if (status == AS_OK) return AS_OK;
  job->out->length = start;
  return status == AS_ERR_CORRUPT ? as_json_fail(&job->reader, error) : status;
}

static as_status transcode_json(as_transcoder *transcoder, as_slice json, as_buffer *out,
                                as_codec_error *error, bool is_exact) {
  json_job job;
  job.transcoder = transcoder;
  job.out = out;
  job.is_exact = is_exact;
  job.is_canonical = true;
  job.depth = 0;
  as_json_reader_init(&job.reader, json);
  return run_json_job(&job, error);
}

as_status as_transcode_json_exact(as_transcoder *transcoder, as_slice json,
                                  as_buffer *out, as_codec_error *error) {
  return transcode_json(transcoder, json, out, error, true);
}

as_status as_transcode_json_structure(as_transcoder *transcoder, as_slice json,
                                      as_buffer *out, as_codec_error *error) {
  return transcode_json(transcoder, json, out, error, false);
}

as_status as_transcode_json_check(as_slice json, as_codec_error *error) {
  as_json_reader reader;
  as_json_reader_init(&reader, json);
  if (as_json_skip_rest(&reader) == AS_OK) return AS_OK;
  return as_json_fail(&reader, error);
}

/* From CBOR. */

typedef struct cbor_level {
  size_t left; /* entries still to come */
  bool is_map;
} cbor_level;

typedef struct cbor_job {
  as_cbor_reader reader;
  as_buffer *out;
  as_byte_form form;
  as_codec_error *error;
  int depth;
  cbor_level levels[AS_CODEC_MAX_LEVELS];
} cbor_job;

static as_status append_text(as_buffer *out, const char *text) {
  return as_buffer_append(out, text, strlen(text));
}

static as_status check_level(const cbor_job *job, size_t offset) {
  if (job->depth < AS_CODEC_MAX_LEVELS) return AS_OK;
  return as_cbor_fail(&job->reader, offset, "more than 256 levels of arrays and objects");
}

static as_status give_base64(as_buffer *out, as_slice bytes) {
  size_t length = as_base64_encoded_length(bytes.length);
  AS_TRY(append_text(out, BUFFER_BEGIN));
  AS_TRY(as_buffer_reserve(out, length));
  as_base64_encode(bytes, out->data + out->length);
  out->length += length;
  return append_text(out, "\"}");
}

static as_status give_byte_array(as_buffer *out, as_slice bytes) {
  AS_TRY(append_text(out, "{\"type\":\"Buffer\",\"data\":["));
  for (size_t i = 0; i < bytes.length; i++) {
    if (i > 0) AS_TRY(as_buffer_append_byte(out, ','));
    AS_TRY(as_json_write_number(out, bytes.data[i]));
  }
  return append_text(out, "]}");
}

static as_status give_byte_object(as_buffer *out, as_slice bytes) {
  AS_TRY(as_buffer_append_byte(out, '{'));
  for (size_t i = 0; i < bytes.length; i++) {
    AS_TRY(append_text(out, i > 0 ? ",\"" : "\""));
    AS_TRY(as_json_write_number(out, (double)i));
    AS_TRY(append_text(out, "\":"));
    AS_TRY(as_json_write_number(out, bytes.data[i]));
  }
  return as_buffer_append_byte(out, '}');
}

static as_status give_bytes(cbor_job *job, const as_cbor_item *item) {
  AS_TRY(check_level(job, item->offset));
  switch (job->form) {
    case AS_BYTE_FORM_ARRAY:
      return give_byte_array(job->out, item->bytes);
    case AS_BYTE_FORM_OBJECT:
      return give_byte_object(job->out, item->bytes);
    default:
      return give_base64(job->out, item->bytes);
  }
}

static as_status give_text(cbor_job *job, const as_cbor_item *item) {
  if (as_utf8_check(item->bytes) != AS_UTF8_STRICT) {
    return as_cbor_fail(&job->reader, item->offset, "text that is not UTF-8");
  }
  return as_json_write_string(job->out, item->bytes);
}

static bool is_json_string(as_slice text) {
  as_json_reader reader;
  as_json_event event;
  as_json_reader_init(&reader, text);
  return as_json_next(&reader, &event) == AS_OK && event.kind == AS_JSON_STRING &&
         as_json_next(&reader, &event) == AS_OK;
}

/* What tag 262 holds: any JSON in place of the whole value, inside of it a string. */
static as_status give_embedded(cbor_job *job, const as_cbor_item *tag, bool is_whole) {
  as_cbor_item item;
  if (tag->tag != AS_CBOR_TAG_JSON) {
    return as_cbor_fail(&job->reader, tag->offset, "an unknown tag");
  }
  AS_TRY(as_cbor_next(&job->reader, &item));
  if (item.kind != AS_CBOR_BYTES) {
    return as_cbor_fail(&job->reader, item.offset, "tag 262 without a byte string");
  }
  if (is_whole) {
    AS_TRY(as_transcode_json_check(item.bytes, job->error));
  } else if (!is_json_string(item.bytes)) {
    return as_cbor_fail(&job->reader, item.offset, "tag 262 without a JSON string");
  }
  return as_buffer_append_slice(job->out, item.bytes);
}

static as_status give_key(cbor_job *job) {
  as_cbor_item item;
  AS_TRY(as_cbor_next(&job->reader, &item));
  if (item.kind == AS_CBOR_TEXT) {
    AS_TRY(give_text(job, &item));
  } else if (item.kind == AS_CBOR_TAG) {
    AS_TRY(give_embedded(job, &item, false));
  } else {
    return as_cbor_fail(&job->reader, item.offset, "a key that is not text");
  }
  return as_buffer_append_byte(job->out, ':');
}

static as_status open_cbor(cbor_job *job, const as_cbor_item *item) {
  bool is_map = item->kind == AS_CBOR_MAP;
  AS_TRY(check_level(job, item->offset));
  if (item->count == 0) return append_text(job->out, is_map ? "{}" : "[]");
  job->levels[job->depth++] = (cbor_level){item->count, is_map};
  AS_TRY(as_buffer_append_byte(job->out, is_map ? '{' : '['));
  return is_map ? give_key(job) : AS_OK;
}

/* After a value: a comma, or the ends of all that it completes. */
static as_status end_value(cbor_job *job) {
  while (job->depth > 0) {
    cbor_level *level = &job->levels[job->depth - 1];
    if (--level->left > 0) {
      AS_TRY(as_buffer_append_byte(job->out, ','));
      return level->is_map ? give_key(job) : AS_OK;
    }
    AS_TRY(as_buffer_append_byte(job->out, level->is_map ? '}' : ']'));
    job->depth--;
  }
  return AS_OK;
}

static as_status give_scalar(cbor_job *job, const as_cbor_item *item) {
  switch (item->kind) {
    case AS_CBOR_FALSE:
      return append_text(job->out, "false");
    case AS_CBOR_TRUE:
      return append_text(job->out, "true");
    case AS_CBOR_NULL:
      return append_text(job->out, "null");
    case AS_CBOR_BYTES:
      return give_bytes(job, item);
    case AS_CBOR_TEXT:
      return give_text(job, item);
    case AS_CBOR_TAG:
      return give_embedded(job, item, item->offset == 0);
    default:
      return as_json_write_number(job->out, item->number);
  }
}

static as_status give_value(cbor_job *job) {
  do {
    as_cbor_item item;
    AS_TRY(as_cbor_next(&job->reader, &item));
    bool is_container = item.kind == AS_CBOR_ARRAY || item.kind == AS_CBOR_MAP;
    AS_TRY(is_container ? open_cbor(job, &item) : give_scalar(job, &item));
    if (!is_container || item.count == 0) AS_TRY(end_value(job));
  } while (job->depth > 0);
  return as_cbor_reader_finish(&job->reader);
}

as_status as_transcode_cbor(as_slice cbor, as_byte_form form, as_buffer *out,
                            as_codec_error *error) {
  cbor_job job;
  size_t start = out->length;
  job.out = out;
  job.form = form;
  job.error = error;
  job.depth = 0;
  as_codec_error_clear(error);
  as_cbor_reader_init(&job.reader, cbor, error);
  as_status status = give_value(&job);
  if (status != AS_OK) out->length = start;
  return status;
}
