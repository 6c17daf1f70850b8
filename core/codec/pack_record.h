/* SPDX-License-Identifier: MIT */
/* Well-known records and their packed form, which pack_record.c writes and
 * unpack_record.c reads. A record that differs in the least (another order of members, a
 * member more, a key of another length) has no such form and is packed as any object.
 *
 *   key pair     tag 10, bytes: private, public
 *   session      tag 11, array of states
 *     state      array: keys, 6 numbers, array of chains, [pending pre-key]
 *       keys     bytes: base key, own ratchet key public and private, last remote
 *                ratchet key, root key, remote identity key (left out when it is the
 *                one of the state before)
 *       numbers  registration id, previous counter, base key type, created,
 *                used - created, closed - created or -1
 *       chain    array: flags, counter, keys, the numbers of the message keys
 *         flags  bits 0-1: whose chain: 0 the own ratchet key's, 1 the last remote
 *                one's, 2 that of the first of its keys; bit 2: it sends; bit 3: it has
 *                a chain key
 *         keys   bytes: [ratchet key], [chain key], message keys
 *       pending  array: signed pre-key id, bytes: [base key unless the state's], [pre-key
 *                id]
 *   sender-key   tag 12, array of states
 *     state      array: keys, id, iteration, the iterations of the message keys
 *       keys     bytes: seed, signing key public, [private], seeds of message keys
 *   jids         tag 13, bytes: packed jids (jid.h); all have the value true
 *   value MACs   tag 14, bytes: index and value MAC, again and again
 *
 * All keys have 32 bytes. The type byte 5 in front of public keys in sessions and
 * sender-keys is left out. */
#ifndef AS_CODEC_PACK_RECORD_H
#define AS_CODEC_PACK_RECORD_H

#include "codec/base64.h"
#include "codec/packed.h"

#define AS_SESSION_VERSION "v1"

enum {
  AS_STATE_REGISTRATION_ID,
  AS_STATE_PREVIOUS_COUNTER,
  AS_STATE_BASE_KEY_TYPE,
  AS_STATE_CREATED,
  AS_STATE_USED,
  AS_STATE_CLOSED,
  AS_STATE_NUMBERS,
};

enum {
  AS_STATE_KEYS = 6,
  AS_STATE_ITEMS = 1 + AS_STATE_NUMBERS + 1,
  AS_CHAIN_ITEMS = 3,
  AS_SENDER_ITEMS = 3,
  AS_SENDER_KEYS = 2,
  AS_JID_USUAL_PACKED = 7,
};

enum {
  AS_CHAIN_OWN = 0,
  AS_CHAIN_REMOTE = 1,
  AS_CHAIN_OTHER = 2,
  AS_CHAIN_WHO = 3, /* mask */
  AS_CHAIN_SENDING = 4,
  AS_CHAIN_HAS_KEY = 8,
  AS_CHAIN_FLAGS = 15,
};

/* `closed` is -1 while a state is open, then a time: stored is what that is after
 * `created`. */
static inline int64_t as_closed_unpack(const int64_t *numbers) {
  int64_t closed = numbers[AS_STATE_CLOSED];
  return closed == -1 ? -1 : closed + numbers[AS_STATE_CREATED];
}

/* Room for the base64 text of a key. */
typedef struct as_key_text {
  uint8_t text[44];
} as_key_text;

static inline as_slice as_key_text_plain(as_key_text *room, as_slice key) {
  as_base64_encode(key, room->text);
  return as_slice_of(room->text, sizeof room->text);
}

static inline as_slice as_key_text_public(as_key_text *room, as_slice key) {
  uint8_t typed[1 + AS_KEY_BYTES];
  typed[0] = AS_KEY_TYPE_DJB;
  memcpy(typed + 1, key.data, AS_KEY_BYTES);
  as_base64_encode(as_slice_of(typed, sizeof typed), room->text);
  return as_slice_of(room->text, sizeof room->text);
}

#endif
