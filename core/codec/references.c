/* SPDX-License-Identifier: MIT */
/* One pass over the heads of all items, in the order of the bytes: what is inside of what
 * does not matter here. A string is looked up in a table by its first bytes; a later
 * string takes the place of an earlier one there, so that each costs the same, whoever
 * chose them, and the table never grows. As long as no string comes again nothing is
 * copied.
 *
 * Readers count every string that is long enough for a reference of its number to pay,
 * and those that are references do not count: the rules of the specification. */
#include "codec/references.h"

#include "codec/cbor.h"
#include "codec/packed.h"

enum { INFO = 31, INFO_1 = 24 };

/* Readers take the bytes behind this tag without looking for a reference. */
enum { DIGITS = AS_CBOR_FIRST_TAG | AS_TAG_DIGITS };

/* A shorter string is left as it is, though it may count; a shorter value too. Fewer
 * bytes less are not worth that readers must keep the strings in mind. */
enum { LEAST_STRING = sizeof(uint64_t), LEAST_VALUE = 48, LEAST_GAIN = 16 };

/* More than this is given back rather than kept for the next value. */
enum { MAX_KEPT_BYTES = 256 * 1024 };

/* A value on its way. Offsets are in `out`. */
typedef struct rewriting {
  as_references *references;
  as_buffer *out;
  size_t at;
  size_t copied;     /* up to here the value stands in `rewritten` */
  size_t count;      /* of strings that have a number */
  size_t referenced; /* bytes that references give */
} rewriting;

void as_references_init(as_references *references, as_mem *mem) {
  memset(references->slots, 0, sizeof references->slots);
  references->value = 0;
  as_buffer_init(&references->rewritten, mem);
}

void as_references_free(as_references *references) {
  as_buffer_free(&references->rewritten);
}

/* How many bytes a head takes. */
static size_t head_size(uint8_t first) {
  uint8_t info = first & INFO;
  return info < INFO_1 ? 1 : 1 + ((size_t)1 << (info - INFO_1));
}

/* The length of a string, from its head of `size` bytes. */
static size_t string_length(const uint8_t *head, size_t size) {
  if (size == 1) return *head & INFO;
  size_t length = 0;
  for (size_t i = 1; i < size; i++) length = length << 8 | head[i];
  return length;
}

static as_reference_slot *slot_of(as_references *references, as_slice content) {
  uint64_t word;
  memcpy(&word, content.data, sizeof word);
  word = (word ^ content.length) * UINT64_C(0x9E3779B97F4A7C15);
  return &references->slots[(word >> 32) % AS_REFERENCES_SLOTS];
}

/* The content was seen before, as the same kind of string. */
static bool is_seen(const rewriting *job, const as_reference_slot *slot, as_slice content,
                    bool is_text) {
  return slot->value == job->references->value && slot->length == content.length &&
         slot->is_text == is_text &&
         memcmp(job->out->data + slot->offset, content.data, content.length) == 0;
}

static as_status put_reference(rewriting *job, size_t number, size_t string_bytes) {
  as_buffer *rewritten = &job->references->rewritten;
  as_slice before = as_slice_of(job->out->data + job->copied, job->at - job->copied);
  AS_TRY(as_buffer_append_slice(rewritten, before));
  AS_TRY(as_cbor_write_tag(rewritten, AS_TAG_STRINGREF));
  AS_TRY(as_cbor_write_head(rewritten, 0, number));
  job->copied = job->at + string_bytes;
  return AS_OK;
}

/* A string of which `content` is within the value. */
static as_status take_string(rewriting *job, as_slice content, size_t head_bytes,
                             bool can_be_reference) {
  as_references *references = job->references;
  as_reference_slot *slot = slot_of(references, content);
  bool is_text = job->out->data[job->at] >= AS_CBOR_FIRST_TEXT;
  if (can_be_reference && is_seen(job, slot, content, is_text)) {
    job->referenced += content.length;
    return put_reference(job, slot->number, head_bytes + content.length);
  }
  slot->offset = (size_t)(content.data - job->out->data);
  slot->length = content.length;
  slot->number = job->count++; /* it is long enough at any count */
  slot->value = references->value;
  slot->is_text = is_text;
  return AS_OK;
}

static as_status take_items(rewriting *job) {
  const uint8_t *data = job->out->data;
  size_t end = job->out->length;
  uint8_t before = 0;
  for (uint8_t first; job->at < end; before = first) {
    first = data[job->at];
    size_t head_bytes = head_size(first);
    if (first < AS_CBOR_FIRST_BYTES || first >= AS_CBOR_FIRST_ARRAY) {
      job->at += head_bytes;
      continue;
    }
    size_t length = string_length(data + job->at, head_bytes);
    if (length < LEAST_STRING) {
      job->count += as_stringref_counts(length, job->count);
    } else {
      as_slice content = as_slice_of(data + job->at + head_bytes, length);
      AS_TRY(take_string(job, content, head_bytes, before != DIGITS));
    }
    job->at += head_bytes + length;
  }
  return AS_OK;
}

/* Puts what was rewritten in the place of the value, when it is shorter, and readers will
 * not take it for one that was made to cost them much. */
static as_status finish(rewriting *job, size_t start) {
  as_buffer *out = job->out, *rewritten = &job->references->rewritten;
  uint8_t tag[AS_CBOR_MAX_HEAD];
  size_t tag_bytes = as_cbor_put_head(tag, AS_CBOR_FIRST_TAG, AS_TAG_STRINGREF_NAMESPACE);
  size_t rest = out->length - job->copied;
  size_t length = tag_bytes + rewritten->length + rest;
  if (length + LEAST_GAIN > out->length - start) return AS_OK;
  if (job->referenced / AS_STRINGREF_MAX_RATIO >= length) return AS_OK;
  AS_TRY(as_buffer_append_slice(rewritten, as_slice_of(out->data + job->copied, rest)));
  memcpy(out->data + start, tag, tag_bytes);
  memcpy(out->data + start + tag_bytes, rewritten->data, rewritten->length);
  out->length = start + length;
  return AS_OK;
}

as_status as_references_put(as_references *references, as_buffer *out, size_t start) {
  rewriting job = {references, out, start, start, 0, 0};
  references->value++;
  as_buffer_clear(&references->rewritten);
  AS_TRY(take_items(&job));
  if (job.copied == start) return AS_OK;
  as_status status = finish(&job, start);
  if (references->rewritten.capacity > MAX_KEPT_BYTES) {
    as_buffer_free(&references->rewritten);
  }
  return status;
}
