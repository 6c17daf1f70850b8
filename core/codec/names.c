/* SPDX-License-Identifier: MIT */
#include "codec/names.h"

typedef struct name {
  const char *text;
  bool is_bytes;
} name;

enum { PLAIN = false, BYTES = true };

/* An object's names stand in the order of its fields, a name of several objects where it
 * fits all of them. */
static const name NAMES[] = {
    /* key pairs, pre-keys, sender signing keys */
    {"private", BYTES},
    {"public", BYTES},
    {"keyPair", PLAIN},
    {"signature", BYTES},
    {"keyId", PLAIN},
    /* creds */
    {"noiseKey", PLAIN},
    {"pairingEphemeralKeyPair", PLAIN},
    {"signedIdentityKey", PLAIN},
    {"signedPreKey", PLAIN},
    /* creds; libsignal session */
    {"registrationId", PLAIN},
    {"currentRatchet", PLAIN},
    {"ephemeralKeyPair", PLAIN},
    {"pubKey", BYTES},
    {"privKey", BYTES},
    {"lastRemoteEphemeralKey", BYTES},
    {"previousCounter", PLAIN},
    {"rootKey", BYTES},
    {"indexInfo", PLAIN},
    {"pendingPreKey", PLAIN},
    {"signedKeyId", PLAIN},
    {"baseKey", BYTES},
    {"preKeyId", PLAIN},
    {"baseKeyType", PLAIN},
    {"closed", PLAIN},
    {"used", PLAIN},
    {"created", PLAIN},
    {"remoteIdentityKey", BYTES},
    {"_chains", PLAIN},
    {"chainKey", PLAIN},
    {"counter", PLAIN},
    {"key", BYTES},
    {"chainType", PLAIN},
    {"messageKeys", PLAIN},
    {"_sessions", PLAIN},
    /* creds, continued */
    {"advSecretKey", PLAIN},
    {"processedHistoryMessages", PLAIN},
    {"nextPreKeyId", PLAIN},
    {"firstUnuploadedPreKeyId", PLAIN},
    {"accountSyncCounter", PLAIN},
    {"accountSettings", PLAIN},
    {"unarchiveChats", PLAIN},
    {"defaultDisappearingMode", PLAIN},
    {"ephemeralExpiration", PLAIN},
    {"ephemeralSettingTimestamp", PLAIN},
    {"registered", PLAIN},
    {"pairingCode", PLAIN},
    {"lastPropHash", PLAIN},
    {"routingInfo", BYTES},
    {"additionalData", PLAIN},
    {"me", PLAIN},
    {"account", PLAIN},
    {"details", BYTES},
    {"accountSignatureKey", BYTES},
    {"accountSignature", BYTES},
    {"deviceSignature", BYTES},
    {"signalIdentities", PLAIN},
    {"identifier", PLAIN},
    {"identifierKey", BYTES},
    {"id", PLAIN},
    {"name", PLAIN},
    {"lid", PLAIN},
    {"deviceId", PLAIN},
    {"platform", PLAIN},
    {"lastAccountSyncTimestamp", PLAIN},
    {"myAppStateKeyId", PLAIN},
    /* app state */
    {"keyData", BYTES},
    {"fingerprint", PLAIN},
    {"rawId", PLAIN},
    {"currentIndex", PLAIN},
    {"deviceIndexes", PLAIN},
    {"version", PLAIN},
    {"hash", BYTES},
    {"indexValueMap", PLAIN},
    {"valueMac", BYTES},
    /* tctoken */
    {"token", BYTES},
    {"timestamp", PLAIN},
    /* sender-key */
    {"senderKeyId", PLAIN},
    {"senderChainKey", PLAIN},
    {"iteration", PLAIN},
    {"seed", BYTES},
    {"senderSigningKey", PLAIN},
    {"senderMessageKeys", PLAIN},
};

_Static_assert(sizeof NAMES / sizeof NAMES[0] <= AS_NAMES_MAX, "too many names");

size_t as_names_count(void) {
  return sizeof NAMES / sizeof NAMES[0];
}

as_slice as_names_at(size_t i) {
  return as_slice_text(NAMES[i].text);
}

bool as_names_is_bytes(as_slice text) {
  for (size_t i = 0; i < as_names_count(); i++) {
    if (as_slice_equals(as_names_at(i), text)) return NAMES[i].is_bytes;
  }
  return false;
}
