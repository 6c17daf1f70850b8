/* SPDX-License-Identifier: MIT */
/* A sender-key is the JSON text of an array of states in a Buffer, its bytes as lists of
 * numbers. The text is matched as it stands, literal after literal, without a tree: four
 * fifths of it are numbers. */
#include "codec/byte_list.h"
#include "codec/cbor.h"
#include "codec/number.h"
#include "codec/pack_job.h"
#include "codec/pack_record.h"

#define SEED "\"seed\":{\"type\":\"Buffer\",\"data\":["

enum {
  MAX_STATES = 23, /* Baileys keeps 5; a head of one byte */
  MAX_LIST = 4 * (1 + AS_KEY_BYTES),
};

typedef struct text_cursor {
  const uint8_t *at;
  const uint8_t *end;
  as_status status;
} text_cursor;

static bool take(text_cursor *text, const char *literal, size_t length) {
  if ((size_t)(text->end - text->at) < length || memcmp(text->at, literal, length) != 0) {
    return false;
  }
  text->at += length;
  return true;
}

#define TAKE(text, literal) take(text, literal, sizeof(literal) - 1)

/* An integer from 0 to 2^53 as JSON.stringify writes it. */
static bool take_integer(text_cursor *text, int64_t *out_integer) {
  const uint8_t *start = text->at;
  int64_t integer = 0;
  while (text->at < text->end && *text->at >= '0' && *text->at <= '9') {
    integer = integer * 10 + (*text->at++ - '0');
    if (integer > AS_NUMBER_MAX_INTEGER) return false;
  }
  *out_integer = integer;
  return text->at > start && (*start != '0' || text->at == start + 1);
}

/* A list of as many numbers as wanted, and the brackets that end it. */
static bool take_list(text_cursor *text, size_t wanted, uint8_t *out) {
  uint8_t room[MAX_LIST / 2 + 2];
  size_t left = (size_t)(text->end - text->at), count;
  const uint8_t *bracket = memchr(text->at, ']', left < MAX_LIST ? left : MAX_LIST);
  if (bracket == NULL || !as_byte_list_read(text->at, bracket, room, &count) ||
      count != wanted) {
    return false;
  }
  text->at = bracket;
  memcpy(out, room, count);
  return TAKE(text, "]}");
}

/* A state as it is being read: its keys stand in `out` behind room for heads, the
 * iterations of its message keys in `iterations`. */
typedef struct sender_state {
  as_buffer *out;
  as_buffer *iterations;
  size_t start; /* of the state in `out` */
  size_t keys;
  int64_t id;
  int64_t iteration;
} sender_state;

enum { HEADS = 2 * AS_CBOR_MAX_HEAD };

static bool succeed(text_cursor *text, as_status status) {
  text->status = status;
  return status == AS_OK;
}

/* Reads a list as the next key. */
static bool take_key(text_cursor *text, sender_state *state) {
  as_buffer *out = state->out;
  if (!succeed(text, as_buffer_reserve(out, AS_KEY_BYTES)) ||
      !take_list(text, AS_KEY_BYTES, out->data + out->length)) {
    return false;
  }
  out->length += AS_KEY_BYTES;
  state->keys++;
  return true;
}

/* The same with the type of public keys in front. */
static bool take_public_key(text_cursor *text, sender_state *state) {
  as_buffer *out = state->out;
  uint8_t key[1 + AS_KEY_BYTES];
  if (!take_list(text, sizeof key, key) || key[0] != AS_KEY_TYPE_DJB ||
      !succeed(text, as_buffer_append(out, key + 1, AS_KEY_BYTES))) {
    return false;
  }
  state->keys++;
  return true;
}

static bool take_message(text_cursor *text, sender_state *state) {
  int64_t iteration;
  return TAKE(text, "{\"iteration\":") && take_integer(text, &iteration) &&
         TAKE(text, "," SEED) && take_key(text, state) && TAKE(text, "}") &&
         succeed(text, as_buffer_append(state->iterations, &iteration, sizeof iteration));
}

static bool take_messages(text_cursor *text, sender_state *state) {
  if (!TAKE(text, "\"senderMessageKeys\":[")) return false;
  if (TAKE(text, "]")) return true;
  do {
    if (!take_message(text, state)) return false;
  } while (TAKE(text, ","));
  return TAKE(text, "]");
}

static bool read_state(text_cursor *text, sender_state *state) {
  return TAKE(text, "{\"senderKeyId\":") && take_integer(text, &state->id) &&
         TAKE(text, ",\"senderChainKey\":{\"iteration\":") &&
         take_integer(text, &state->iteration) && TAKE(text, "," SEED) &&
         take_key(text, state) &&
         TAKE(text, "},\"senderSigningKey\":{\"public\":"
                    "{\"type\":\"Buffer\",\"data\":[") &&
         take_public_key(text, state) &&
         TAKE(text, ",\"private\":{\"type\":\"Buffer\",\"data\":[") &&
         (TAKE(text, "]}") || take_key(text, state)) && TAKE(text, "},") &&
         take_messages(text, state) && TAKE(text, "}");
}

static as_status finish_state(sender_state *state) {
  as_buffer *out = state->out;
  size_t messages = state->iterations->length / sizeof(int64_t);
  size_t length = state->keys * AS_KEY_BYTES;
  uint8_t *at = out->data + state->start, *keys = at + HEADS;
  at += as_cbor_put_head(at, AS_CBOR_FIRST_ARRAY, AS_SENDER_ITEMS + messages);
  at += as_cbor_put_head(at, AS_CBOR_FIRST_BYTES, length);
  memmove(at, keys, length);
  out->length = (size_t)(at - out->data) + length;
  AS_TRY(as_cbor_write_number(out, (double)state->id));
  AS_TRY(as_cbor_write_number(out, (double)state->iteration));
  for (size_t i = 0; i < messages; i++) {
    int64_t iteration;
    memcpy(&iteration, state->iterations->data + i * sizeof iteration, sizeof iteration);
    AS_TRY(as_cbor_write_number(out, (double)iteration));
  }
  return AS_OK;
}

static bool pack_state(text_cursor *text, sender_state *state) {
  as_buffer *out = state->out;
  as_buffer_clear(state->iterations);
  state->start = out->length;
  state->keys = 0;
  if (!succeed(text, as_buffer_reserve(out, HEADS))) return false;
  out->length += HEADS;
  return read_state(text, state) && succeed(text, finish_state(state));
}

static bool pack_states(text_cursor *text, sender_state *state) {
  as_buffer *out = state->out;
  size_t head = out->length, count = 0;
  if (!succeed(text, as_buffer_append_byte(out, 0))) return false;
  do {
    if (count++ == MAX_STATES || !pack_state(text, state)) return false;
  } while (TAKE(text, ","));
  out->data[head] = (uint8_t)(AS_CBOR_FIRST_ARRAY | count);
  return TAKE(text, "]") && text->at == text->end;
}

as_status as_pack_sender_key(as_pack_job *job, as_slice json, bool *out_is_packed) {
  text_cursor text = {json.data, json.data + json.length, AS_OK};
  sender_state state = {.out = job->out, .iterations = &job->packer->iterations};
  size_t start = job->out->length;
  *out_is_packed = TAKE(&text, "[") && text.at < text.end && *text.at == '{' &&
                   succeed(&text, as_cbor_write_tag(job->out, AS_TAG_SENDER_KEY)) &&
                   pack_states(&text, &state);
  if (!*out_is_packed) job->out->length = start;
  return text.status;
}
