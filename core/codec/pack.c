/* SPDX-License-Identifier: MIT */
#include "codec/pack.h"

#include "codec/base64.h"
#include "codec/cbor.h"
#include "codec/jid.h"
#include "codec/json_writer.h"
#include "codec/pack_job.h"
#include "codec/packed.h"

/* Base64 text pays from here on: 12 characters are 9 bytes, a tag and a head. */
enum { LEAST_BASE64 = 12 };

/* The same for lists of numbers. */
enum { LEAST_NUMBERS = 4 };

void as_packer_init(as_packer *packer, as_mem *mem) {
  as_json_tree_reader_init(&packer->json, mem);
  as_buffer_init(&packer->iterations, mem);
  as_references_init(&packer->references, mem);
}

void as_packer_free(as_packer *packer) {
  as_json_tree_reader_free(&packer->json);
  as_buffer_free(&packer->iterations);
  as_references_free(&packer->references);
}

/* ---- strings that come again ------------------------------------------------------- */

/* Notes a string that a reference would be much shorter than. Most values have no string
 * twice: that costs a few instructions for each, and looking for all only then. */
static void note_string(as_pack_job *job, as_slice text) {
  enum { LEAST_LENGTH = 24, FIRST_BYTE = 8 };
  uint64_t word;
  if (text.length < LEAST_LENGTH) return;
  memcpy(&word, text.data + FIRST_BYTE, sizeof word);
  uint32_t mark = (uint32_t)((word ^ text.length) * UINT64_C(0x9E3779B97F4A7C15) >> 32);
  uint32_t *slot = &job->strings[mark % AS_PACK_STRINGS];
  job->has_repeats |= *slot == mark;
  *slot = mark;
}

/* ---- text -------------------------------------------------------------------------- */

/* A string with a lone surrogate has no UTF-8: it is kept as JSON text. */
static as_status pack_surrogates(as_buffer *out, as_slice text) {
  AS_TRY(as_cbor_write_tag(out, AS_TAG_JSON));
  AS_TRY(as_cbor_write_head(out, AS_CBOR_FIRST_BYTES, as_json_string_length(text)));
  return as_json_write_string(out, text);
}

/* Numbers of up to 4 bytes as an integer, others as the fewest bytes. */
static as_status pack_number_text(as_buffer *out, uint64_t number) {
  uint8_t bytes[8];
  AS_TRY(as_cbor_write_tag(out, AS_TAG_DIGITS));
  if (number <= UINT32_MAX) return as_cbor_write_head(out, 0, number);
  size_t length = as_number_pack(number, bytes);
  return as_cbor_write_bytes(out, as_slice_of(bytes, length));
}

/* Text that begins with a digit. */
static as_status try_number_text(as_buffer *out, as_slice text, bool *out_is_packed) {
  uint8_t jid[AS_JID_MAX_PACKED];
  uint64_t number;
  *out_is_packed = true;
  if (as_digits_read(text, &number)) return pack_number_text(out, number);
  size_t length = as_jid_pack(text, jid);
  if (length > 0) {
    AS_TRY(as_cbor_write_tag(out, AS_TAG_JID));
    return as_cbor_write_bytes(out, as_slice_of(jid, length));
  }
  *out_is_packed = false;
  return AS_OK;
}

/* The bytes are decoded in place; text that is not canonical base64 ends it early. */
static as_status try_base64(as_buffer *out, as_slice text, bool *out_is_packed) {
  size_t start = out->length, length = as_base64_decoded_length(text);
  *out_is_packed = false;
  if (text.length < LEAST_BASE64 || text.length % 4 != 0) return AS_OK;
  AS_TRY(as_cbor_write_tag(out, AS_TAG_BASE64));
  AS_TRY(as_cbor_write_head(out, AS_CBOR_FIRST_BYTES, length));
  AS_TRY(as_buffer_reserve(out, length));
  *out_is_packed = as_base64_decode(text, out->data + out->length);
  out->length = *out_is_packed ? out->length + length : start;
  return AS_OK;
}

static as_status pack_text(as_pack_job *job, as_slice text, bool has_surrogate) {
  bool is_packed = false;
  if (has_surrogate) return pack_surrogates(job->out, text);
  if (text.length > 0 && text.data[0] >= '0' && text.data[0] <= '9') {
    AS_TRY(try_number_text(job->out, text, &is_packed));
    if (is_packed) return AS_OK;
  }
  note_string(job, text);
  AS_TRY(try_base64(job->out, text, &is_packed));
  return is_packed ? AS_OK : as_cbor_write_text(job->out, text);
}

/* ---- keys -------------------------------------------------------------------------- */

static as_status pack_name(as_buffer *out, int name) {
  enum { HALF = AS_NAMES_SHORT / 2, FIRST_NEGATIVE = 1 << 5 };
  if (name < HALF) return as_buffer_append_byte(out, (uint8_t)name);
  if (name < AS_NAMES_SHORT) {
    return as_buffer_append_byte(out, (uint8_t)(FIRST_NEGATIVE | (name - HALF)));
  }
  return as_cbor_write_head(out, 0, (uint64_t)(name - HALF));
}

static as_status pack_key(as_pack_job *job, const as_tree_node *node) {
  if (node->name != AS_NAME_OTHER) return pack_name(job->out, node->name);
  return pack_text(job, node->key, node->key_has_surrogate);
}

/* ---- values ------------------------------------------------------------------------ */

static as_status pack_value(as_pack_job *job, uint32_t at);

/* JSON text that stands in a Buffer, as what it says. */
static as_status pack_json(as_pack_job *job, as_slice json, bool *out_is_packed) {
  uint32_t first = as_tree_count(job->tree);
  AS_TRY(as_pack_sender_key(job, json, out_is_packed));
  if (*out_is_packed) return AS_OK;
  as_status status =
      as_json_tree_read(&job->packer->json, json, job->tree, out_is_packed, NULL);
  if (status == AS_ERR_CORRUPT) *out_is_packed = false;
  if (!*out_is_packed) return status == AS_ERR_CORRUPT ? AS_OK : status;
  AS_TRY(status);
  job->is_inside_bytes = true;
  status = pack_value(job, first);
  job->is_inside_bytes = false;
  as_tree_cut(job->tree, first);
  return status;
}

/* A Buffer whose content is JSON text; *out_is_packed is false, and nothing written, for
 * others. */
static as_status try_json_bytes(as_pack_job *job, as_slice bytes, bool *out_is_packed) {
  size_t start = job->out->length;
  *out_is_packed = false;
  if (job->is_inside_bytes || bytes.length < 2 ||
      (bytes.data[0] != '[' && bytes.data[0] != '{')) {
    return AS_OK;
  }
  AS_TRY(as_cbor_write_tag(job->out, AS_TAG_JSON_BYTES));
  AS_TRY(pack_json(job, bytes, out_is_packed));
  *out_is_packed &= job->out->length - start <= bytes.length + 1;
  if (!*out_is_packed) job->out->length = start;
  return AS_OK;
}

static as_status pack_bytes(as_pack_job *job, const as_tree_node *node) {
  as_slice bytes = node->text;
  bool is_packed;
  switch (node->form) {
    case AS_BYTE_FORM_ARRAY:
      AS_TRY(as_cbor_write_tag(job->out, AS_TAG_BYTE_ARRAY));
      return as_cbor_write_bytes(job->out, bytes);
    case AS_BYTE_FORM_OBJECT:
      AS_TRY(as_cbor_write_tag(job->out, AS_TAG_BYTE_OBJECT));
      return as_cbor_write_bytes(job->out, bytes);
    default:
      AS_TRY(try_json_bytes(job, bytes, &is_packed));
      if (!is_packed) note_string(job, bytes);
      return is_packed ? AS_OK : as_cbor_write_bytes(job->out, bytes);
  }
}

static bool is_byte(const as_tree_node *node) {
  return node->kind == AS_TREE_NUMBER && node->number >= 0 && node->number <= UINT8_MAX &&
         node->number == (double)(uint8_t)node->number;
}

static bool is_byte_list(const as_tree *tree, uint32_t at, size_t count) {
  if (count < LEAST_NUMBERS) return false;
  for (size_t i = 1; i <= count; i++) {
    if (!is_byte(as_tree_at(tree, at + (uint32_t)i))) return false;
  }
  return true;
}

static as_status pack_array(as_pack_job *job, uint32_t at) {
  size_t count = as_tree_at(job->tree, at)->inside.count;
  if (!is_byte_list(job->tree, at, count)) {
    AS_TRY(as_cbor_write_array(job->out, count));
    for (uint32_t element = at + 1; count > 0; count--) {
      AS_TRY(pack_value(job, element));
      element = as_tree_after(job->tree, element);
    }
    return AS_OK;
  }
  AS_TRY(as_cbor_write_tag(job->out, AS_TAG_NUMBERS));
  AS_TRY(as_cbor_write_head(job->out, AS_CBOR_FIRST_BYTES, count));
  AS_TRY(as_buffer_reserve(job->out, count));
  for (size_t i = 1; i <= count; i++) {
    job->out->data[job->out->length++] =
        (uint8_t)as_tree_at(job->tree, at + (uint32_t)i)->number;
  }
  return AS_OK;
}

/* An object that readers may take for bytes (byte_map.h): what it holds must stay as
 * byte_map.c reads it. */
static bool is_like_bytes(const as_tree *tree, uint32_t at) {
  const as_tree_node *object = as_tree_at(tree, at), *first = object + 1;
  if (object->inside.count == 0 || first->name != AS_NAME_OTHER ||
      first->key.length == 0) {
    return false;
  }
  if (first->key.data[0] >= '0' && first->key.data[0] <= '9') {
    return as_names_is_bytes(object->name);
  }
  return object->inside.count == 2 &&
         (as_slice_equals(first->key, as_slice_text("type")) ||
          as_slice_equals(first->key, as_slice_text("data")) ||
          as_slice_equals(first->key, as_slice_text("buffer")) ||
          as_slice_equals(first->key, as_slice_text("value")));
}

/* A value as CBOR without any of our rules but names. */
static as_status pack_plainly(as_pack_job *job, uint32_t at) {
  const as_tree_node *node = as_tree_at(job->tree, at);
  bool is_object = node->kind == AS_TREE_OBJECT;
  if (node->kind == AS_TREE_STRING && !node->has_surrogate) {
    return as_cbor_write_text(job->out, node->text);
  }
  if (!is_object && node->kind != AS_TREE_ARRAY) return pack_value(job, at);
  size_t count = node->inside.count;
  AS_TRY(is_object ? as_cbor_write_map(job->out, count)
                   : as_cbor_write_array(job->out, count));
  for (uint32_t entry = at + 1; count > 0; count--) {
    node = as_tree_at(job->tree, entry);
    if (is_object && node->name == AS_NAME_OTHER && !node->key_has_surrogate) {
      AS_TRY(as_cbor_write_text(job->out, node->key));
    } else if (is_object) {
      AS_TRY(pack_key(job, node));
    }
    AS_TRY(pack_plainly(job, entry));
    entry = as_tree_after(job->tree, entry);
  }
  return AS_OK;
}

static as_status pack_object(as_pack_job *job, uint32_t at) {
  size_t count = as_tree_at(job->tree, at)->inside.count;
  if (is_like_bytes(job->tree, at)) {
    job->has_byte_map = true;
    return pack_plainly(job, at);
  }
  AS_TRY(as_cbor_write_map(job->out, count));
  for (uint32_t member = at + 1; count > 0; count--) {
    AS_TRY(pack_key(job, as_tree_at(job->tree, member)));
    AS_TRY(pack_value(job, member));
    member = as_tree_after(job->tree, member);
  }
  return AS_OK;
}

static as_status pack_value(as_pack_job *job, uint32_t at) {
  const as_tree_node *node = as_tree_at(job->tree, at);
  bool is_packed;
  switch ((as_tree_kind)node->kind) {
    case AS_TREE_NULL:
      return as_cbor_write_null(job->out);
    case AS_TREE_FALSE:
    case AS_TREE_TRUE:
      return as_cbor_write_boolean(job->out, node->kind == AS_TREE_TRUE);
    case AS_TREE_NUMBER:
      return as_cbor_write_number(job->out, node->number);
    case AS_TREE_STRING:
      return pack_text(job, node->text, node->has_surrogate);
    case AS_TREE_BYTES:
      return pack_bytes(job, node);
    case AS_TREE_ARRAY:
    case AS_TREE_OBJECT:
      break;
  }
  if (node->kind == AS_TREE_ARRAY) return pack_array(job, at);
  AS_TRY(as_pack_record(job, at, &is_packed));
  return is_packed ? AS_OK : pack_object(job, at);
}

as_status as_pack(as_packer *packer, as_tree *tree, as_buffer *out) {
  as_pack_job job = {.packer = packer, .tree = tree, .out = out};
  size_t start = out->length;
  as_status status = pack_value(&job, 0);
  /* References in an object that stands for bytes would hide that (byte_map.h). */
  if (status == AS_OK && job.has_repeats && !job.has_byte_map) {
    status = as_references_put(&packer->references, out, start);
  }
  if (status != AS_OK) out->length = start;
  return status;
}

as_status as_pack_digits(as_slice text, as_buffer *out, bool *out_is_packed) {
  uint64_t number;
  *out_is_packed = as_digits_read(text, &number);
  if (!*out_is_packed) return AS_OK;
  size_t start = out->length;
  as_status status = pack_number_text(out, number);
  if (status != AS_OK) out->length = start;
  return status;
}
