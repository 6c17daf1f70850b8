/* SPDX-License-Identifier: MIT */
/* A record is matched while it is written: a cursor walks the tree and every take_
 * function is false where the tree goes on differently. Then what was written is dropped.
 * A match may fail for want of memory too: cursor->status tells. */
#include "codec/pack_record.h"

#include "codec/cbor.h"
#include "codec/jid.h"
#include "codec/number.h"
#include "codec/pack_job.h"

typedef struct record_cursor {
  const as_tree *tree;
  as_buffer *out;
  uint32_t at; /* the next node */
  as_status status;
} record_cursor;

static const as_tree_node *node_at(const record_cursor *cursor) {
  return as_tree_at(cursor->tree, cursor->at);
}

/* ---- writing ----------------------------------------------------------------------- */

static bool succeed(record_cursor *cursor, as_status status) {
  cursor->status = status;
  return status == AS_OK;
}

static bool put_integer(record_cursor *cursor, int64_t integer) {
  return succeed(cursor, as_cbor_write_number(cursor->out, (double)integer));
}

static bool put_array(record_cursor *cursor, size_t count) {
  return succeed(cursor, as_cbor_write_array(cursor->out, count));
}

/* The head of a byte string of n keys and room for them. */
static uint8_t *put_keys(record_cursor *cursor, size_t count) {
  as_buffer *out = cursor->out;
  size_t length = count * AS_KEY_BYTES;
  if (!succeed(cursor, as_cbor_write_head(out, AS_CBOR_FIRST_BYTES, length)) ||
      !succeed(cursor, as_buffer_reserve(out, length + 1))) {
    return NULL;
  }
  uint8_t *keys = out->data + out->length;
  out->length += length;
  return keys;
}

/* ---- reading ----------------------------------------------------------------------- */

/* Enters an object or array that the next node must be, of any size. */
static bool enter(record_cursor *cursor, int name, as_tree_kind kind, size_t *out_count) {
  const as_tree_node *node = node_at(cursor);
  if (node->kind != kind || node->name != name) return false;
  *out_count = node->inside.count;
  cursor->at++;
  return true;
}

/* The same for an object of `count` members. The caller has seen that the member before
 * was not the last of its object. */
static bool enter_object(record_cursor *cursor, int name, size_t count) {
  size_t found;
  return enter(cursor, name, AS_TREE_OBJECT, &found) && found == count;
}

static bool integer_of(const as_tree_node *node, int64_t *out_integer) {
  return node->kind == AS_TREE_NUMBER && as_number_is_integer(node->number, out_integer);
}

static bool take_integer(record_cursor *cursor, int name, int64_t *out_integer) {
  const as_tree_node *node = node_at(cursor);
  if (node->name != name || !integer_of(node, out_integer)) return false;
  cursor->at++;
  return true;
}

/* Canonical base64 of a key: 32 bytes, a public one with its type in front. */
static bool decode_key(as_slice text, bool is_public, uint8_t *out_key) {
  uint8_t bytes[1 + AS_KEY_BYTES + 3];
  size_t length = AS_KEY_BYTES + is_public;
  if (text.length != sizeof((as_key_text *)0)->text ||
      as_base64_decoded_length(text) != length || !as_base64_decode(text, bytes)) {
    return false;
  }
  if (is_public && bytes[0] != AS_KEY_TYPE_DJB) return false;
  memcpy(out_key, bytes + is_public, AS_KEY_BYTES);
  return true;
}

static bool take_key_text(record_cursor *cursor, int name, bool is_public,
                          uint8_t *out_key) {
  const as_tree_node *node = node_at(cursor);
  if (node->name != name || node->kind != AS_TREE_STRING ||
      !decode_key(node->text, is_public, out_key)) {
    return false;
  }
  cursor->at++;
  return true;
}

static bool take_bytes(record_cursor *cursor, int name, as_byte_form form, size_t length,
                       as_slice *out_bytes) {
  const as_tree_node *node = node_at(cursor);
  if (node->name != name || node->kind != AS_TREE_BYTES || node->form != form ||
      node->text.length != length) {
    return false;
  }
  *out_bytes = node->text;
  cursor->at++;
  return true;
}

static bool is_same_key(const uint8_t *a, const uint8_t *b) {
  return memcmp(a, b, AS_KEY_BYTES) == 0;
}

/* ---- key pairs --------------------------------------------------------------------- */

static bool pack_key_pair(record_cursor *cursor) {
  as_slice private_key, public_key;
  size_t count;
  int name = node_at(cursor)->name;
  if (!enter(cursor, name, AS_TREE_OBJECT, &count) || count != 2 ||
      !take_bytes(cursor, AS_NAME_PRIVATE, AS_BYTE_FORM_BASE64, AS_KEY_BYTES,
                  &private_key) ||
      !take_bytes(cursor, AS_NAME_PUBLIC, AS_BYTE_FORM_BASE64, AS_KEY_BYTES,
                  &public_key)) {
    return false;
  }
  if (!succeed(cursor, as_cbor_write_tag(cursor->out, AS_TAG_KEY_PAIR))) return false;
  uint8_t *keys = put_keys(cursor, 2);
  if (keys == NULL) return false;
  memcpy(keys, private_key.data, AS_KEY_BYTES);
  memcpy(keys + AS_KEY_BYTES, public_key.data, AS_KEY_BYTES);
  return true;
}

/* ---- sessions ---------------------------------------------------------------------- */

/* The keys of a state, in the order in which they are stored. */
typedef struct state_keys {
  uint8_t base[AS_KEY_BYTES], own_public[AS_KEY_BYTES], own_private[AS_KEY_BYTES];
  uint8_t remote[AS_KEY_BYTES], root[AS_KEY_BYTES], identity[AS_KEY_BYTES];
} state_keys;

_Static_assert(sizeof(state_keys) == (size_t)AS_STATE_KEYS * AS_KEY_BYTES,
               "keys and no gaps");

static bool take_ratchet(record_cursor *cursor, state_keys *keys, int64_t *numbers) {
  return enter_object(cursor, AS_NAME_CURRENT_RATCHET, 4) &&
         enter_object(cursor, AS_NAME_EPHEMERAL_KEY_PAIR, 2) &&
         take_key_text(cursor, AS_NAME_PUB_KEY, true, keys->own_public) &&
         take_key_text(cursor, AS_NAME_PRIV_KEY, false, keys->own_private) &&
         take_key_text(cursor, AS_NAME_LAST_REMOTE_EPHEMERAL_KEY, true, keys->remote) &&
         take_integer(cursor, AS_NAME_PREVIOUS_COUNTER,
                      &numbers[AS_STATE_PREVIOUS_COUNTER]) &&
         take_key_text(cursor, AS_NAME_ROOT_KEY, false, keys->root);
}

static bool take_index_info(record_cursor *cursor, state_keys *keys, int64_t *numbers) {
  int64_t closed, used, created;
  if (!enter_object(cursor, AS_NAME_INDEX_INFO, 6) ||
      !take_key_text(cursor, AS_NAME_BASE_KEY, true, keys->base) ||
      !take_integer(cursor, AS_NAME_BASE_KEY_TYPE, &numbers[AS_STATE_BASE_KEY_TYPE]) ||
      !take_integer(cursor, AS_NAME_CLOSED, &closed) ||
      !take_integer(cursor, AS_NAME_USED, &used) ||
      !take_integer(cursor, AS_NAME_CREATED, &created) ||
      !take_key_text(cursor, AS_NAME_REMOTE_IDENTITY_KEY, true, keys->identity)) {
    return false;
  }
  /* So that no difference leaves the integers that a number holds. */
  if (created < 0 || used < 0 || (closed != -1 && closed < created)) return false;
  numbers[AS_STATE_CREATED] = created;
  numbers[AS_STATE_USED] = used - created;
  numbers[AS_STATE_CLOSED] = closed == -1 ? -1 : closed - created;
  return true;
}

/* What of a chain comes after its keys, and how many there are. */
typedef struct chain_form {
  int64_t flags;
  int64_t counter;
  size_t messages;
  uint32_t first_message; /* node */
} chain_form;

static bool take_chain_key(record_cursor *cursor, chain_form *form, uint8_t *out_key) {
  size_t count;
  if (!enter(cursor, AS_NAME_CHAIN_KEY, AS_TREE_OBJECT, &count) || count < 1 ||
      count > 2 || !take_integer(cursor, AS_NAME_COUNTER, &form->counter)) {
    return false;
  }
  if (count == 1) return true;
  form->flags |= AS_CHAIN_HAS_KEY;
  return take_key_text(cursor, AS_NAME_KEY, false, out_key);
}

static bool put_messages(record_cursor *cursor, const chain_form *form, uint8_t *keys) {
  for (size_t i = 0; i < form->messages; i++) {
    const as_tree_node *message =
        as_tree_at(cursor->tree, form->first_message + (uint32_t)i);
    uint64_t number;
    if (message->kind != AS_TREE_STRING || message->name != AS_NAME_OTHER ||
        !as_digits_read(message->key, &number) ||
        number > (uint64_t)AS_NUMBER_MAX_INTEGER ||
        !decode_key(message->text, false, keys + i * AS_KEY_BYTES)) {
      return false;
    }
  }
  for (size_t i = 0; i < form->messages; i++) {
    uint64_t number = 0;
    as_digits_read(as_tree_at(cursor->tree, form->first_message + (uint32_t)i)->key,
                   &number);
    if (!put_integer(cursor, (int64_t)number)) return false;
  }
  return true;
}

/* Writes one of several keys and gives the place of the next. */
static uint8_t *put_key(uint8_t *at, const uint8_t *key) {
  memcpy(at, key, AS_KEY_BYTES);
  return at + AS_KEY_BYTES;
}

static bool pack_chain(record_cursor *cursor, const state_keys *state) {
  uint8_t owner[AS_KEY_BYTES], chain_key[AS_KEY_BYTES];
  chain_form form = {0};
  int64_t type;
  const as_tree_node *node = node_at(cursor);
  uint32_t end = as_tree_after(cursor->tree, cursor->at);
  if (node->kind != AS_TREE_OBJECT || node->inside.count != 3 ||
      node->name != AS_NAME_OTHER || !decode_key(node->key, true, owner)) {
    return false;
  }
  cursor->at++;
  if (!take_chain_key(cursor, &form, chain_key) ||
      !take_integer(cursor, AS_NAME_CHAIN_TYPE, &type) || type < 1 || type > 2 ||
      !enter(cursor, AS_NAME_MESSAGE_KEYS, AS_TREE_OBJECT, &form.messages)) {
    return false;
  }
  bool is_own = is_same_key(owner, state->own_public);
  bool is_other = !is_own && !is_same_key(owner, state->remote);
  bool has_key = (form.flags & AS_CHAIN_HAS_KEY) != 0;
  form.flags |= is_own ? AS_CHAIN_OWN : is_other ? AS_CHAIN_OTHER : AS_CHAIN_REMOTE;
  if (type == 1) form.flags |= AS_CHAIN_SENDING;
  form.first_message = cursor->at;
  if (cursor->at + form.messages != end || /* a message key is one node */
      !put_array(cursor, AS_CHAIN_ITEMS + form.messages) ||
      !put_integer(cursor, form.flags) || !put_integer(cursor, form.counter)) {
    return false;
  }
  uint8_t *keys = put_keys(cursor, form.messages + has_key + is_other);
  if (keys == NULL) return false;
  if (is_other) keys = put_key(keys, owner);
  if (has_key) keys = put_key(keys, chain_key);
  cursor->at = end;
  return put_messages(cursor, &form, keys);
}

static bool pack_pending(record_cursor *cursor, const state_keys *state) {
  uint8_t base[AS_KEY_BYTES];
  size_t count;
  int64_t signed_key_id, pre_key_id = 0;
  if (!enter(cursor, AS_NAME_PENDING_PRE_KEY, AS_TREE_OBJECT, &count) || count < 2 ||
      count > 3 || !take_integer(cursor, AS_NAME_SIGNED_KEY_ID, &signed_key_id) ||
      !take_key_text(cursor, AS_NAME_BASE_KEY, true, base) ||
      (count == 3 && !take_integer(cursor, AS_NAME_PRE_KEY_ID, &pre_key_id))) {
    return false;
  }
  bool has_base = !is_same_key(base, state->base);
  if (!put_array(cursor, count) || !put_integer(cursor, signed_key_id)) return false;
  uint8_t *keys = put_keys(cursor, has_base);
  if (keys == NULL) return false;
  if (has_base) memcpy(keys, base, AS_KEY_BYTES);
  return count == 2 || put_integer(cursor, pre_key_id);
}

static bool pack_chains(record_cursor *cursor, const state_keys *keys) {
  size_t count;
  if (!enter(cursor, AS_NAME_CHAINS, AS_TREE_OBJECT, &count) ||
      !put_array(cursor, count)) {
    return false;
  }
  for (size_t i = 0; i < count; i++) {
    if (!pack_chain(cursor, keys)) return false;
  }
  return true;
}

/* One state. `keys` are those of the state before, and become this one's. */
static bool pack_state(record_cursor *cursor, state_keys *keys, bool is_first) {
  uint8_t base[AS_KEY_BYTES], identity[AS_KEY_BYTES];
  int64_t numbers[AS_STATE_NUMBERS];
  const as_tree_node *node = node_at(cursor);
  size_t members = node->inside.count;
  if (node->kind != AS_TREE_OBJECT || members < 4 || members > 5 ||
      node->name != AS_NAME_OTHER || !decode_key(node->key, true, base)) {
    return false;
  }
  cursor->at++;
  memcpy(identity, keys->identity, AS_KEY_BYTES);
  if (!take_integer(cursor, AS_NAME_REGISTRATION_ID,
                    &numbers[AS_STATE_REGISTRATION_ID]) ||
      !take_ratchet(cursor, keys, numbers) || !take_index_info(cursor, keys, numbers) ||
      !is_same_key(base, keys->base)) {
    return false;
  }
  bool has_identity = is_first || !is_same_key(identity, keys->identity);
  size_t count = AS_STATE_KEYS - 1 + has_identity;
  if (!put_array(cursor, AS_STATE_ITEMS + (members == 5))) return false;
  uint8_t *room = put_keys(cursor, count);
  if (room == NULL) return false;
  memcpy(room, keys, count * AS_KEY_BYTES);
  for (int i = 0; i < AS_STATE_NUMBERS; i++) {
    if (!put_integer(cursor, numbers[i])) return false;
  }
  return pack_chains(cursor, keys) && (members == 4 || pack_pending(cursor, keys));
}

static bool pack_session(record_cursor *cursor) {
  state_keys keys;
  size_t count, states;
  int name = node_at(cursor)->name;
  if (!enter(cursor, name, AS_TREE_OBJECT, &count) || count != 2 ||
      !enter(cursor, AS_NAME_SESSIONS, AS_TREE_OBJECT, &states) ||
      !succeed(cursor, as_cbor_write_tag(cursor->out, AS_TAG_SESSION)) ||
      !put_array(cursor, states)) {
    return false;
  }
  memset(&keys, 0, sizeof keys);
  for (size_t i = 0; i < states; i++) {
    if (!pack_state(cursor, &keys, i == 0)) return false;
  }
  const as_tree_node *version = node_at(cursor);
  return version->name == AS_NAME_VERSION && version->kind == AS_TREE_STRING &&
         as_slice_equals(version->text, as_slice_text(AS_SESSION_VERSION));
}

/* ---- sets -------------------------------------------------------------------------- */

/* The jids are written behind the room for the longest head, then moved to their place.
 */
static bool pack_jid_set(record_cursor *cursor, size_t count) {
  as_buffer *out = cursor->out;
  size_t start = out->length, length = 0;
  if (!succeed(cursor, as_buffer_reserve(out, 2 + AS_CBOR_MAX_HEAD +
                                                  (count + 1) * AS_JID_MAX_PACKED))) {
    return false;
  }
  uint8_t *jids = out->data + start + 1 + AS_CBOR_MAX_HEAD;
  for (size_t i = 0; i < count; i++) {
    const as_tree_node *node = as_tree_at(cursor->tree, cursor->at + 1 + (uint32_t)i);
    if (node->kind != AS_TREE_TRUE || node->name != AS_NAME_OTHER) return false;
    size_t packed = as_jid_pack(node->key, jids + length);
    if (packed == 0) return false;
    length += packed;
  }
  uint8_t *at = out->data + start;
  *at++ = (uint8_t)(AS_CBOR_FIRST_TAG | AS_TAG_JID_SET);
  at += as_cbor_put_head(at, AS_CBOR_FIRST_BYTES, length);
  memmove(at, jids, length);
  out->length = (size_t)(at - out->data) + length;
  return true;
}

/* An entry is an object of one member: two nodes. */
static bool pack_value_macs(record_cursor *cursor, size_t count) {
  if (!succeed(cursor, as_cbor_write_tag(cursor->out, AS_TAG_VALUE_MACS))) return false;
  uint8_t *at = put_keys(cursor, 2 * count);
  if (at == NULL) return false;
  cursor->at++;
  for (size_t i = 0; i < count; i++, at += AS_MAC_ENTRY_BYTES) {
    const as_tree_node *node = node_at(cursor);
    as_slice mac;
    if (node->name != AS_NAME_OTHER || !decode_key(node->key, false, at) ||
        !enter_object(cursor, AS_NAME_OTHER, 1) ||
        !take_bytes(cursor, AS_NAME_VALUE_MAC, AS_BYTE_FORM_BASE64, AS_KEY_BYTES, &mac)) {
      return false;
    }
    memcpy(at + AS_KEY_BYTES, mac.data, AS_KEY_BYTES);
  }
  return true;
}

/* ---- which record ------------------------------------------------------------------ */

/* The first member or element tells. */
static bool pack_object(record_cursor *cursor, size_t count) {
  const as_tree_node *first = as_tree_at(cursor->tree, cursor->at + 1);
  switch (first->name) {
    case AS_NAME_PRIVATE:
      return pack_key_pair(cursor);
    case AS_NAME_SESSIONS:
      return pack_session(cursor);
    case AS_NAME_OTHER:
      if (first->kind == AS_TREE_TRUE) return pack_jid_set(cursor, count);
      return first->kind == AS_TREE_OBJECT && first->inside.count == 1 &&
             as_tree_at(cursor->tree, cursor->at + 2)->name == AS_NAME_VALUE_MAC &&
             pack_value_macs(cursor, count);
    default:
      return false;
  }
}

as_status as_pack_record(as_pack_job *job, uint32_t node, bool *out_is_packed) {
  record_cursor cursor = {job->tree, job->out, node, AS_OK};
  size_t start = job->out->length;
  const as_tree_node *whole = as_tree_at(job->tree, node);
  size_t count = whole->inside.count;
  *out_is_packed =
      whole->kind == AS_TREE_OBJECT && count > 0 && pack_object(&cursor, count);
  if (!*out_is_packed) job->out->length = start;
  return cursor.status;
}
