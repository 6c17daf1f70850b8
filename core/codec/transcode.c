/* SPDX-License-Identifier: MIT */
/* To structure in one pass: each of the parser's events writes its item at once. The head
 * of an array or map must tell its count, which is known only at its end; so one byte is
 * left free for it, enough for 23 entries, and the few heads that need more are noted and
 * all put in at the end, from the last to the first, moving each byte once. */
#include "codec/transcode.h"

#include <math.h>
#include <stdlib.h>

#include "codec/base64.h"
#include "codec/cbor.h"
#include "codec/json_sink.h"
#include "codec/jsontext.h"
#include "codec/number.h"
#include "codec/packed.h"

enum { SHORT_HEAD_MAX = 23 };

static const char BUFFER_BEGIN[] = "{\"type\":\"Buffer\",\"data\":\"";

typedef struct wide_head {
  size_t offset;
  size_t count;
  uint8_t first;
} wide_head;

typedef struct json_level {
  size_t head;  /* where the head's byte is in `out` */
  size_t count; /* entries so far */
  uint8_t first;
} json_level;

typedef struct json_job {
  as_transcoder *transcoder;
  as_json_reader reader;
  as_buffer *out;
  int depth;
  json_level levels[AS_CODEC_MAX_LEVELS];
} json_job;

void as_transcoder_init(as_transcoder *transcoder, as_mem *mem) {
  as_packer_init(&transcoder->packer, mem);
  as_unpacker_init(&transcoder->unpacker, mem);
  as_tree_init(&transcoder->tree, mem);
  as_buffer_init(&transcoder->wide_heads, mem);
}

void as_transcoder_free(as_transcoder *transcoder) {
  as_packer_free(&transcoder->packer);
  as_unpacker_free(&transcoder->unpacker);
  as_tree_free(&transcoder->tree);
  as_buffer_free(&transcoder->wide_heads);
}

void as_transcoder_trim(as_transcoder *transcoder) {
  as_unpacker_free(&transcoder->unpacker);
  as_tree_free(&transcoder->tree);
  as_buffer_free(&transcoder->wide_heads);
}

/* ---- JSON to structure ------------------------------------------------------------- */

static as_status open_level(json_job *job, uint8_t first) {
  json_level *level = &job->levels[job->depth++];
  level->head = job->out->length;
  level->count = 0;
  level->first = first;
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
  AS_TRY(as_cbor_write_head(out, AS_CBOR_FIRST_TEXT, event->decoded_length));
  AS_TRY(as_buffer_reserve(out, event->decoded_length));
  as_json_string_decode(event, out->data + out->length);
  out->length += event->decoded_length;
  return AS_OK;
}

static as_status take_key(json_job *job, const as_json_event *event) {
  job->levels[job->depth - 1].count++;
  return take_string(job, event);
}

static as_status take_number(json_job *job, as_slice token) {
  double value = as_number_parse(token);
  if (value == 0 && signbit(value)) return as_cbor_write_float(job->out, value);
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

static as_status take_text(json_job *job) {
  as_json_event event;
  do {
    AS_TRY(as_json_next(&job->reader, &event));
    AS_TRY(take_event(job, &event));
  } while (event.kind != AS_JSON_END);
  return insert_wide_heads(&job->transcoder->wide_heads, job->out);
}

as_status as_transcode_json_structure(as_transcoder *transcoder, as_slice json,
                                      as_buffer *out, as_codec_error *error) {
  json_job job;
  size_t start = out->length;
  job.transcoder = transcoder;
  job.out = out;
  job.depth = 0;
  as_json_reader_init(&job.reader, json);
  as_buffer_clear(&transcoder->wide_heads);
  as_codec_error_clear(error);
  as_status status = take_text(&job);
  if (status == AS_OK) return AS_OK;
  out->length = start;
  return status == AS_ERR_CORRUPT ? as_json_fail(&job.reader, error) : status;
}

as_status as_transcode_json_check(as_slice json, as_codec_error *error) {
  as_json_reader reader;
  as_json_reader_init(&reader, json);
  if (as_json_skip_rest(&reader) == AS_OK) return AS_OK;
  return as_json_fail(&reader, error);
}

/* ---- exact ------------------------------------------------------------------------- */

static as_status keep_whole(as_slice json, as_buffer *out) {
  size_t start = out->length;
  as_status status = as_cbor_write_tag(out, AS_TAG_JSON);
  if (status == AS_OK) status = as_cbor_write_bytes(out, json);
  if (status != AS_OK) out->length = start;
  return status;
}

as_status as_transcode_json_exact(as_transcoder *transcoder, as_slice json,
                                  as_buffer *out, as_codec_error *error) {
  bool is_exact;
  as_tree_clear(&transcoder->tree);
  as_codec_error_clear(error);
  AS_TRY(as_json_tree_read(&transcoder->packer.json, json, &transcoder->tree, &is_exact,
                           error));
  if (!is_exact) return keep_whole(json, out);
  return as_pack(&transcoder->packer, &transcoder->tree, out);
}

/* What tag 262 holds when it is around the whole value: a JSON text as it stands. */
static bool is_whole_text(as_slice cbor) {
  static const uint8_t HEAD[] = {0xD9, AS_TAG_JSON >> 8, AS_TAG_JSON & 0xFF};
  return cbor.length >= sizeof HEAD && memcmp(cbor.data, HEAD, sizeof HEAD) == 0;
}

as_status as_transcode_find_whole(as_slice cbor, as_slice *out_json,
                                  as_codec_error *error) {
  as_cbor_reader reader;
  as_cbor_item tag, content;
  *out_json = as_slice_of(NULL, 0);
  if (!is_whole_text(cbor)) return AS_OK;
  as_cbor_reader_init(&reader, cbor, error);
  AS_TRY(as_cbor_next(&reader, &tag));
  AS_TRY(as_cbor_next(&reader, &content));
  if (content.kind != AS_CBOR_BYTES) {
    return as_cbor_fail(&reader, content.offset, "tag 262 without a byte string");
  }
  *out_json = content.bytes;
  return as_cbor_reader_finish(&reader);
}

as_status as_transcode_cbor(as_transcoder *transcoder, as_slice cbor, as_byte_form form,
                            as_buffer *out, as_codec_error *error) {
  as_json_sink json;
  as_slice whole;
  size_t start = out->length;
  as_codec_error_clear(error);
  AS_TRY(as_transcode_find_whole(cbor, &whole, error));
  if (whole.data != NULL) {
    AS_TRY(as_transcode_json_check(whole, error));
    return as_buffer_append_slice(out, whole);
  }
  as_json_sink_init(&json, out, form);
  as_status status =
      as_unpack(&transcoder->unpacker, cbor, AS_UNPACK_STORED, &json.sink, error);
  if (status != AS_OK) out->length = start;
  return status;
}
