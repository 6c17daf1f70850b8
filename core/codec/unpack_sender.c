/* SPDX-License-Identifier: MIT */
/* The JSON text of a sender-key, written piece by piece: what pack_sender.c reads. */
#include "codec/byte_list.h"
#include "codec/jid.h"
#include "codec/pack_record.h"
#include "codec/unpack_job.h"

#define LIST "{\"type\":\"Buffer\",\"data\":["

enum {
  LIST_CHARS = 4 * (1 + AS_KEY_BYTES), /* the longest: a public key */
  STATE_CHARS = 256 + 3 * LIST_CHARS,  /* what is not of message keys */
  MESSAGE_CHARS = 96,
};

#define PUT(out, literal) put(out, literal, sizeof(literal) - 1)

/* Room has been made. */
static inline void put(as_buffer *out, const char *text, size_t length) {
  memcpy(out->data + out->length, text, length);
  out->length += length;
}

static as_status put_integer(as_buffer *out, int64_t integer) {
  if (integer < 0) {
    PUT(out, "-");
    integer = -integer;
  }
  out->length += as_digits_write((uint64_t)integer, (char *)out->data + out->length);
  return AS_OK;
}

/* The next integer, as text. */
static as_status give_integer(as_unpack_job *job, as_buffer *out) {
  int64_t integer;
  AS_TRY(as_unpack_integer(job, &integer));
  return put_integer(out, integer);
}

static as_status put_seed(as_buffer *out, as_slice seed) {
  PUT(out, ",\"seed\":" LIST);
  AS_TRY(as_byte_list_write(out, seed));
  PUT(out, "]}}");
  return AS_OK;
}

static as_status put_signing_key(as_buffer *out, as_slice public_key,
                                 as_slice private_key) {
  uint8_t typed[1 + AS_KEY_BYTES] = {AS_KEY_TYPE_DJB};
  memcpy(typed + 1, public_key.data, AS_KEY_BYTES);
  PUT(out, ",\"senderSigningKey\":{\"public\":" LIST);
  AS_TRY(as_byte_list_write(out, as_slice_of(typed, sizeof typed)));
  PUT(out, "]},\"private\":" LIST);
  AS_TRY(as_byte_list_write(out, private_key));
  PUT(out, "]}}");
  return AS_OK;
}

static as_status give_messages(as_unpack_job *job, as_buffer *out, size_t count,
                               as_key_list *keys) {
  PUT(out, ",\"senderMessageKeys\":[");
  for (size_t i = 0; i < count; i++) {
    if (i > 0) PUT(out, ",");
    PUT(out, "{\"iteration\":");
    AS_TRY(give_integer(job, out));
    AS_TRY(put_seed(out, as_next_key(keys)));
  }
  PUT(out, "]}");
  return AS_OK;
}

static as_status give_state(as_unpack_job *job, as_buffer *out) {
  const uint8_t *at = job->at;
  size_t count;
  as_key_list keys;
  AS_TRY(as_unpack_array(job, &count));
  if (count < AS_SENDER_ITEMS) return as_unpack_fail(job, at, "a sender-key cut short");
  AS_TRY(as_unpack_keys(job, &keys));
  size_t messages = count - AS_SENDER_ITEMS;
  bool has_private = keys.left == messages + AS_SENDER_KEYS + 1;
  if (keys.left != messages + AS_SENDER_KEYS && !has_private) {
    return as_unpack_fail(job, at, "another number of keys in a sender-key");
  }
  AS_TRY(as_buffer_reserve(out, STATE_CHARS + messages * (MESSAGE_CHARS + LIST_CHARS)));
  PUT(out, "{\"senderKeyId\":");
  AS_TRY(give_integer(job, out));
  PUT(out, ",\"senderChainKey\":{\"iteration\":");
  AS_TRY(give_integer(job, out));
  AS_TRY(put_seed(out, as_next_key(&keys)));
  as_slice public_key = as_next_key(&keys);
  as_slice private_key = has_private ? as_next_key(&keys) : as_slice_of(keys.at, 0);
  AS_TRY(put_signing_key(out, public_key, private_key));
  return give_messages(job, out, messages, &keys);
}

as_status as_unpack_sender_key(as_unpack_job *job, as_buffer *json) {
  size_t count;
  AS_TRY(as_unpack_array(job, &count));
  AS_TRY(as_buffer_append_byte(json, '['));
  for (size_t i = 0; i < count; i++) {
    if (i > 0) AS_TRY(as_buffer_append_byte(json, ','));
    AS_TRY(give_state(job, json));
  }
  return as_buffer_append_byte(json, ']');
}
