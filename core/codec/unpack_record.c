/* SPDX-License-Identifier: MIT */
/* The well-known records back from their packed form; pack_record.c tells the forms.
 * Lengths that do not fit are `corrupt`, so a record gives as many keys as it has. */
#include "codec/jid.h"
#include "codec/json_sink.h"
#include "codec/pack_record.h"
#include "codec/unpack_job.h"

/* ---- what sinks are told ----------------------------------------------------------- */

static as_status open_object(as_unpack_job *job, size_t count) {
  return job->sink->calls->open(job->sink, true, as_unpack_expected(job, count));
}

static as_status close_object(as_unpack_job *job) {
  return job->sink->calls->close(job->sink, true);
}

static as_status open_member(as_unpack_job *job, int name, size_t count) {
  AS_TRY(job->sink->calls->name(job->sink, name));
  return open_object(job, count);
}

static as_status give_number(as_unpack_job *job, int name, int64_t number) {
  AS_TRY(job->sink->calls->name(job->sink, name));
  return job->sink->calls->number(job->sink, (double)number);
}

/* The base64 text of a key; a public one has its type in front. */
static as_slice key_text(as_slice key, bool is_public, as_key_text *room) {
  return is_public ? as_key_text_public(room, key) : as_key_text_plain(room, key);
}

static as_status give_text(as_unpack_job *job, as_slice key, bool is_public) {
  as_key_text room;
  return job->sink->calls->text(job->sink, key_text(key, is_public, &room));
}

static as_status give_integer(as_unpack_job *job, int64_t number) {
  return job->sink->calls->number(job->sink, (double)number);
}

static as_status give_key_text(as_unpack_job *job, int name, as_slice key,
                               bool is_public) {
  as_key_text room;
  AS_TRY(job->sink->calls->name(job->sink, name));
  return job->sink->calls->text(job->sink, key_text(key, is_public, &room));
}

static as_status give_bytes(as_unpack_job *job, int name, as_slice bytes,
                            as_byte_form form) {
  AS_TRY(job->sink->calls->name(job->sink, name));
  return job->sink->calls->bytes(job->sink, bytes, form);
}

/* ---- key pairs --------------------------------------------------------------------- */

as_status as_unpack_key_pair(as_unpack_job *job) {
  const uint8_t *at = job->at;
  as_key_list keys;
  AS_TRY(as_unpack_enter(job, 2));
  AS_TRY(as_unpack_keys(job, &keys));
  if (keys.left != 2) return as_unpack_fail(job, at, "a key pair of another length");
  AS_TRY(open_object(job, 2));
  AS_TRY(give_bytes(job, AS_NAME_PRIVATE, as_next_key(&keys), AS_BYTE_FORM_BASE64));
  AS_TRY(give_bytes(job, AS_NAME_PUBLIC, as_next_key(&keys), AS_BYTE_FORM_BASE64));
  return close_object(job);
}

/* ---- sessions ---------------------------------------------------------------------- */

/* How many objects are inside of each other in a session, one of its states, a chain: no
 * more than its JSON text has, which was within the limit. */
enum { SESSION_LEVELS = 2, STATE_LEVELS = 5, CHAIN_LEVELS = 6 };

/* The keys of one state, 32 bytes each. */
typedef struct state_keys {
  as_slice base, own_public, own_private, remote, root, identity;
} state_keys;

static as_status read_state_keys(as_unpack_job *job, state_keys *keys) {
  const uint8_t *at = job->at;
  as_key_list list;
  AS_TRY(as_unpack_keys(job, &list));
  bool has_identity = list.left == AS_STATE_KEYS;
  if (!has_identity && (list.left != AS_STATE_KEYS - 1 || keys->identity.data == NULL)) {
    return as_unpack_fail(job, at, "another number of keys in a session");
  }
  keys->base = as_next_key(&list);
  keys->own_public = as_next_key(&list);
  keys->own_private = as_next_key(&list);
  keys->remote = as_next_key(&list);
  keys->root = as_next_key(&list);
  if (has_identity) keys->identity = as_next_key(&list);
  return AS_OK;
}

static as_status give_ratchet(as_unpack_job *job, const state_keys *keys,
                              int64_t previous_counter) {
  AS_TRY(open_member(job, AS_NAME_CURRENT_RATCHET, 4));
  AS_TRY(open_member(job, AS_NAME_EPHEMERAL_KEY_PAIR, 2));
  AS_TRY(give_key_text(job, AS_NAME_PUB_KEY, keys->own_public, true));
  AS_TRY(give_key_text(job, AS_NAME_PRIV_KEY, keys->own_private, false));
  AS_TRY(close_object(job));
  AS_TRY(give_key_text(job, AS_NAME_LAST_REMOTE_EPHEMERAL_KEY, keys->remote, true));
  AS_TRY(give_number(job, AS_NAME_PREVIOUS_COUNTER, previous_counter));
  AS_TRY(give_key_text(job, AS_NAME_ROOT_KEY, keys->root, false));
  return close_object(job);
}

static as_status give_index_info(as_unpack_job *job, const state_keys *keys,
                                 const int64_t *numbers) {
  int64_t created = numbers[AS_STATE_CREATED];
  AS_TRY(open_member(job, AS_NAME_INDEX_INFO, 6));
  AS_TRY(give_key_text(job, AS_NAME_BASE_KEY, keys->base, true));
  AS_TRY(give_number(job, AS_NAME_BASE_KEY_TYPE, numbers[AS_STATE_BASE_KEY_TYPE]));
  AS_TRY(give_number(job, AS_NAME_CLOSED, as_closed_unpack(numbers)));
  AS_TRY(give_number(job, AS_NAME_USED, created + numbers[AS_STATE_USED]));
  AS_TRY(give_number(job, AS_NAME_CREATED, created));
  AS_TRY(give_key_text(job, AS_NAME_REMOTE_IDENTITY_KEY, keys->identity, true));
  return close_object(job);
}

/* A chain as one record, for sinks that make records. */
static as_status give_chain_record(as_unpack_job *job, int64_t counter, int64_t type,
                                   const as_slice *key) {
  as_sink *sink = job->sink;
  as_sink_record record = key != NULL ? AS_RECORD_CHAIN : AS_RECORD_CLOSED_CHAIN;
  AS_TRY(sink->calls->open_record(sink, record));
  AS_TRY(give_integer(job, counter));
  if (key != NULL) AS_TRY(give_text(job, *key, false));
  AS_TRY(give_integer(job, type));
  return sink->calls->close_record(sink, record);
}

/* An array of flags, counter, keys, then the numbers of the message keys. */
static as_status give_chain(as_unpack_job *job, const state_keys *state) {
  const uint8_t *at = job->at;
  size_t count;
  int64_t flags, counter;
  as_key_list keys;
  as_key_text room;
  AS_TRY(as_unpack_enter(job, CHAIN_LEVELS));
  AS_TRY(as_unpack_array(job, &count));
  if (count < AS_CHAIN_ITEMS) return as_unpack_fail(job, at, "a chain cut short");
  AS_TRY(as_unpack_integer(job, &flags));
  AS_TRY(as_unpack_integer(job, &counter));
  AS_TRY(as_unpack_keys(job, &keys));
  int64_t who = flags & AS_CHAIN_WHO;
  bool has_key = (flags & AS_CHAIN_HAS_KEY) != 0;
  size_t messages = count - AS_CHAIN_ITEMS;
  if (flags < 0 || flags > AS_CHAIN_FLAGS || who > AS_CHAIN_OTHER ||
      keys.left != messages + has_key + (who == AS_CHAIN_OTHER)) {
    return as_unpack_fail(job, at, "a chain of another form");
  }
  as_slice owner = who == AS_CHAIN_OTHER ? as_next_key(&keys)
                   : who == AS_CHAIN_OWN ? state->own_public
                                         : state->remote;
  AS_TRY(job->sink->calls->key(job->sink, key_text(owner, true, &room)));
  int64_t type = flags & AS_CHAIN_SENDING ? 1 : 2;
  if (messages == 0 && job->sink->calls->open_record != NULL) {
    as_slice chain_key = has_key ? as_next_key(&keys) : owner;
    return give_chain_record(job, counter, type, has_key ? &chain_key : NULL);
  }
  AS_TRY(open_object(job, 3));
  AS_TRY(open_member(job, AS_NAME_CHAIN_KEY, 2));
  AS_TRY(give_number(job, AS_NAME_COUNTER, counter));
  if (has_key) AS_TRY(give_key_text(job, AS_NAME_KEY, as_next_key(&keys), false));
  AS_TRY(close_object(job));
  AS_TRY(give_number(job, AS_NAME_CHAIN_TYPE, type));
  AS_TRY(open_member(job, AS_NAME_MESSAGE_KEYS, messages));
  for (size_t i = 0; i < messages; i++) {
    int64_t number;
    char digits[AS_DIGITS_ROOM];
    AS_TRY(as_unpack_integer(job, &number));
    if (number < 0) return as_unpack_fail(job, job->at, "a message of no number");
    size_t length = as_digits_write((uint64_t)number, digits);
    AS_TRY(job->sink->calls->key(job->sink, as_slice_of(digits, length)));
    AS_TRY(job->sink->calls->text(job->sink, key_text(as_next_key(&keys), false, &room)));
  }
  AS_TRY(close_object(job));
  return close_object(job);
}

static as_status give_chains(as_unpack_job *job, const state_keys *keys) {
  size_t count;
  AS_TRY(as_unpack_array(job, &count));
  AS_TRY(open_object(job, count));
  for (size_t i = 0; i < count; i++) AS_TRY(give_chain(job, keys));
  return close_object(job);
}

/* An array of the signed pre-key's id, the base key (none: the state's own) and the
 * pre-key's id if there is one. */
static as_status give_pending(as_unpack_job *job, const state_keys *state) {
  const uint8_t *at = job->at;
  size_t count;
  int64_t signed_key_id, pre_key_id;
  as_key_list keys;
  AS_TRY(as_unpack_array(job, &count));
  if (count < 2 || count > 3) return as_unpack_fail(job, at, "a pre-key of another form");
  AS_TRY(as_unpack_integer(job, &signed_key_id));
  AS_TRY(as_unpack_keys(job, &keys));
  if (keys.left > 1) return as_unpack_fail(job, at, "a pre-key of another form");
  as_slice base = keys.left == 1 ? as_next_key(&keys) : state->base;
  AS_TRY(open_member(job, AS_NAME_PENDING_PRE_KEY, count));
  AS_TRY(give_number(job, AS_NAME_SIGNED_KEY_ID, signed_key_id));
  AS_TRY(give_key_text(job, AS_NAME_BASE_KEY, base, true));
  if (count == 3) {
    AS_TRY(as_unpack_integer(job, &pre_key_id));
    AS_TRY(give_number(job, AS_NAME_PRE_KEY_ID, pre_key_id));
  }
  return close_object(job);
}

/* A state as one record. */
static as_status give_state_record(as_unpack_job *job, const state_keys *keys,
                                   const int64_t *numbers) {
  as_sink *sink = job->sink;
  int64_t created = numbers[AS_STATE_CREATED];
  AS_TRY(sink->calls->open_record(sink, AS_RECORD_STATE));
  AS_TRY(give_integer(job, numbers[AS_STATE_REGISTRATION_ID]));
  AS_TRY(give_text(job, keys->own_public, true));
  AS_TRY(give_text(job, keys->own_private, false));
  AS_TRY(give_text(job, keys->remote, true));
  AS_TRY(give_integer(job, numbers[AS_STATE_PREVIOUS_COUNTER]));
  AS_TRY(give_text(job, keys->root, false));
  AS_TRY(give_text(job, keys->base, true));
  AS_TRY(give_integer(job, numbers[AS_STATE_BASE_KEY_TYPE]));
  AS_TRY(give_integer(job, as_closed_unpack(numbers)));
  AS_TRY(give_integer(job, created + numbers[AS_STATE_USED]));
  AS_TRY(give_integer(job, created));
  AS_TRY(give_text(job, keys->identity, true));
  AS_TRY(give_chains(job, keys));
  return sink->calls->close_record(sink, AS_RECORD_STATE);
}

static as_status give_state(as_unpack_job *job, state_keys *keys) {
  const uint8_t *at = job->at;
  size_t count;
  int64_t numbers[AS_STATE_NUMBERS];
  as_key_text room;
  AS_TRY(as_unpack_enter(job, STATE_LEVELS));
  AS_TRY(as_unpack_array(job, &count));
  bool has_pending = count == AS_STATE_ITEMS + 1;
  if (count != AS_STATE_ITEMS && !has_pending) {
    return as_unpack_fail(job, at, "a session of another form");
  }
  AS_TRY(read_state_keys(job, keys));
  for (int i = 0; i < AS_STATE_NUMBERS; i++) AS_TRY(as_unpack_integer(job, &numbers[i]));
  AS_TRY(job->sink->calls->key(job->sink, key_text(keys->base, true, &room)));
  if (!has_pending && job->sink->calls->open_record != NULL) {
    return give_state_record(job, keys, numbers);
  }
  AS_TRY(open_object(job, has_pending ? 5 : 4));
  AS_TRY(give_number(job, AS_NAME_REGISTRATION_ID, numbers[AS_STATE_REGISTRATION_ID]));
  AS_TRY(give_ratchet(job, keys, numbers[AS_STATE_PREVIOUS_COUNTER]));
  AS_TRY(give_index_info(job, keys, numbers));
  AS_TRY(job->sink->calls->name(job->sink, AS_NAME_CHAINS));
  AS_TRY(give_chains(job, keys));
  if (has_pending) AS_TRY(give_pending(job, keys));
  return close_object(job);
}

as_status as_unpack_session(as_unpack_job *job) {
  size_t count;
  state_keys keys;
  keys.identity = as_slice_of(NULL, 0);
  AS_TRY(as_unpack_enter(job, SESSION_LEVELS));
  AS_TRY(as_unpack_array(job, &count));
  AS_TRY(open_object(job, 2));
  AS_TRY(open_member(job, AS_NAME_SESSIONS, count));
  for (size_t i = 0; i < count; i++) AS_TRY(give_state(job, &keys));
  AS_TRY(close_object(job));
  AS_TRY(job->sink->calls->name(job->sink, AS_NAME_VERSION));
  AS_TRY(job->sink->calls->text(job->sink, as_slice_text(AS_SESSION_VERSION)));
  return close_object(job);
}

/* ---- sets -------------------------------------------------------------------------- */

as_status as_unpack_jid_set(as_unpack_job *job) {
  const uint8_t *start = job->at;
  as_slice bytes;
  AS_TRY(as_unpack_byte_string(job, &bytes));
  AS_TRY(as_unpack_enter(job, 1));
  AS_TRY(open_object(job, bytes.length / AS_JID_USUAL_PACKED));
  for (size_t at = 0, taken; at < bytes.length; at += taken) {
    char text[AS_JID_MAX_TEXT];
    size_t length =
        as_jid_unpack(as_slice_of(bytes.data + at, bytes.length - at), text, &taken);
    if (length == 0) return as_unpack_fail(job, start, "tag 13 without jids");
    AS_TRY(job->sink->calls->key(job->sink, as_slice_of(text, length)));
    AS_TRY(job->sink->calls->word(job->sink, AS_TREE_TRUE));
  }
  return close_object(job);
}

as_status as_unpack_value_macs(as_unpack_job *job) {
  const uint8_t *at = job->at;
  as_key_list keys;
  as_key_text room;
  AS_TRY(as_unpack_keys(job, &keys));
  if (keys.left % 2 != 0) return as_unpack_fail(job, at, "a part of an entry");
  AS_TRY(as_unpack_enter(job, 3));
  AS_TRY(open_object(job, keys.left / 2));
  while (keys.left > 0) {
    AS_TRY(job->sink->calls->key(job->sink, key_text(as_next_key(&keys), false, &room)));
    AS_TRY(open_object(job, 1));
    AS_TRY(give_bytes(job, AS_NAME_VALUE_MAC, as_next_key(&keys), AS_BYTE_FORM_BASE64));
    AS_TRY(close_object(job));
  }
  return close_object(job);
}
