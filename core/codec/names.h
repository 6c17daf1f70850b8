/* SPDX-License-Identifier: MIT */
/* The field names that Baileys and libsignal write, in the order in which they write
 * them. A name's place in the list, from 0, is its number. Three uses: in stored values
 * the number stands for the name; a value made in Lua gets its well-known names first, in
 * this order; and {"0":1,"1":2} under a name that holds bytes is a byte string.
 *
 * The list is part of the format (doc/envelope.md): names are only ever added, at its
 * end. The first 48 take one byte in a stored value, the others two. */
#ifndef AS_CODEC_NAMES_H
#define AS_CODEC_NAMES_H

#include "base/slice.h"

/* X(constant, text, whether it holds a Buffer or Uint8Array, never a plain object) */
#define AS_NAMES(X)                                                                      \
  /* key pairs, signed pre-keys */                                                       \
  X(PRIVATE, "private", true)                                                            \
  X(PUBLIC, "public", true)                                                              \
  X(KEY_PAIR, "keyPair", false)                                                          \
  X(SIGNATURE, "signature", true)                                                        \
  X(KEY_ID, "keyId", false)                                                              \
  /* sessions */                                                                         \
  X(SESSIONS, "_sessions", false)                                                        \
  X(REGISTRATION_ID, "registrationId", false)                                            \
  X(CURRENT_RATCHET, "currentRatchet", false)                                            \
  X(EPHEMERAL_KEY_PAIR, "ephemeralKeyPair", false)                                       \
  X(PUB_KEY, "pubKey", true)                                                             \
  X(PRIV_KEY, "privKey", true)                                                           \
  X(LAST_REMOTE_EPHEMERAL_KEY, "lastRemoteEphemeralKey", true)                           \
  X(PREVIOUS_COUNTER, "previousCounter", false)                                          \
  X(ROOT_KEY, "rootKey", true)                                                           \
  X(INDEX_INFO, "indexInfo", false)                                                      \
  X(SIGNED_KEY_ID, "signedKeyId", false)                                                 \
  X(BASE_KEY, "baseKey", true)                                                           \
  X(PRE_KEY_ID, "preKeyId", false)                                                       \
  X(BASE_KEY_TYPE, "baseKeyType", false)                                                 \
  X(CLOSED, "closed", false)                                                             \
  X(USED, "used", false)                                                                 \
  X(CREATED, "created", false)                                                           \
  X(REMOTE_IDENTITY_KEY, "remoteIdentityKey", true)                                      \
  X(CHAINS, "_chains", false)                                                            \
  X(CHAIN_KEY, "chainKey", false)                                                        \
  X(COUNTER, "counter", false)                                                           \
  X(KEY, "key", true)                                                                    \
  X(CHAIN_TYPE, "chainType", false)                                                      \
  X(MESSAGE_KEYS, "messageKeys", false)                                                  \
  X(PENDING_PRE_KEY, "pendingPreKey", false)                                             \
  /* sender-keys, as JSON text in a Buffer */                                            \
  X(SENDER_KEY_ID, "senderKeyId", false)                                                 \
  X(SENDER_CHAIN_KEY, "senderChainKey", false)                                           \
  X(ITERATION, "iteration", false)                                                       \
  X(SEED, "seed", true)                                                                  \
  X(SENDER_SIGNING_KEY, "senderSigningKey", false)                                       \
  X(SENDER_MESSAGE_KEYS, "senderMessageKeys", false)                                     \
  /* sessions, app state */                                                              \
  X(VERSION, "version", false)                                                           \
  X(HASH, "hash", true)                                                                  \
  X(INDEX_VALUE_MAP, "indexValueMap", false)                                             \
  X(VALUE_MAC, "valueMac", true)                                                         \
  X(KEY_DATA, "keyData", true)                                                           \
  X(FINGERPRINT, "fingerprint", false)                                                   \
  X(RAW_ID, "rawId", false)                                                              \
  X(CURRENT_INDEX, "currentIndex", false)                                                \
  X(DEVICE_INDEXES, "deviceIndexes", false)                                              \
  /* tctoken; timestamp of app state too */                                              \
  X(TOKEN, "token", true)                                                                \
  X(TIMESTAMP, "timestamp", false)                                                       \
  /* creds */                                                                            \
  X(NOISE_KEY, "noiseKey", false)                                                        \
  X(PAIRING_KEY_PAIR, "pairingEphemeralKeyPair", false)                                  \
  X(SIGNED_IDENTITY_KEY, "signedIdentityKey", false)                                     \
  X(SIGNED_PRE_KEY, "signedPreKey", false)                                               \
  X(ADV_SECRET_KEY, "advSecretKey", false)                                               \
  X(PROCESSED_HISTORY, "processedHistoryMessages", false)                                \
  X(NEXT_PRE_KEY_ID, "nextPreKeyId", false)                                              \
  X(FIRST_UNUPLOADED, "firstUnuploadedPreKeyId", false)                                  \
  X(ACCOUNT_SYNC_COUNTER, "accountSyncCounter", false)                                   \
  X(ACCOUNT_SETTINGS, "accountSettings", false)                                          \
  X(UNARCHIVE_CHATS, "unarchiveChats", false)                                            \
  X(DEFAULT_DISAPPEARING, "defaultDisappearingMode", false)                              \
  X(EPHEMERAL_EXPIRATION, "ephemeralExpiration", false)                                  \
  X(EPHEMERAL_TIMESTAMP, "ephemeralSettingTimestamp", false)                             \
  X(REGISTERED, "registered", false)                                                     \
  X(PAIRING_CODE, "pairingCode", false)                                                  \
  X(LAST_PROP_HASH, "lastPropHash", false)                                               \
  X(ROUTING_INFO, "routingInfo", true)                                                   \
  X(ADDITIONAL_DATA, "additionalData", false)                                            \
  X(ME, "me", false)                                                                     \
  X(ACCOUNT, "account", false)                                                           \
  X(DETAILS, "details", true)                                                            \
  X(ACCOUNT_SIGNATURE_KEY, "accountSignatureKey", true)                                  \
  X(ACCOUNT_SIGNATURE, "accountSignature", true)                                         \
  X(DEVICE_SIGNATURE, "deviceSignature", true)                                           \
  X(SIGNAL_IDENTITIES, "signalIdentities", false)                                        \
  X(IDENTIFIER, "identifier", false)                                                     \
  X(IDENTIFIER_KEY, "identifierKey", true)                                               \
  X(ID, "id", false)                                                                     \
  X(NAME, "name", false)                                                                 \
  X(LID, "lid", false)                                                                   \
  X(DEVICE_ID, "deviceId", false)                                                        \
  X(PLATFORM, "platform", false)                                                         \
  X(LAST_ACCOUNT_SYNC, "lastAccountSyncTimestamp", false)                                \
  X(MY_APP_STATE_KEY_ID, "myAppStateKeyId", false)

enum {
#define AS_NAME_CONSTANT(constant, text, is_bytes) AS_NAME_##constant,
  AS_NAMES(AS_NAME_CONSTANT)
#undef AS_NAME_CONSTANT
      AS_NAMES_COUNT,
  AS_NAMES_MAX = 128,
  AS_NAMES_SLOTS = 2 * AS_NAMES_MAX, /* of the tables in which names are found */
};

/* A member's name that is not in the list. */
enum { AS_NAME_OTHER = -1 };

/* Finds names by their text. Initialised once, then constant; owns no memory. */
typedef struct as_names_index {
  uint8_t slots[AS_NAMES_SLOTS]; /* a number plus 1, or 0 */
} as_names_index;

void as_names_index_init(as_names_index *index);

/* The number of a name, or AS_NAME_OTHER. */
int as_names_find(const as_names_index *index, as_slice text);

/* The name of a number below AS_NAMES_COUNT. Static storage. */
as_slice as_names_at(size_t number);

/* True for a field that holds a Buffer or Uint8Array, never a plain object. */
bool as_names_is_bytes(int number);

/* The same by text, slowly. */
bool as_names_text_is_bytes(as_slice text);

#endif
