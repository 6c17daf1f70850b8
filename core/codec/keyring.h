/* SPDX-License-Identifier: MIT */
/* The keys of a store, by id, and what they make of a stored value (envelope.h): the same
 * value encrypted. One key is the primary; it encrypts, all of them decrypt.
 *
 *   offset  size  meaning
 *   0       1     header of the value, with bit 4 set
 *   1       1     id of the key
 *   2       8     generation of the session, big-endian
 *   10      12    nonce, random
 *   22      n     what follows the header in the value, by AES-256-GCM
 *   22+n    16    tag
 *
 * The additional data tie it to one record of one generation of one session, so that it
 * opens nowhere else; a length is 4 bytes, big-endian:
 *
 *   bytes 0 to 9 | length of session, session | length of type, type | length of id, id
 *
 * doc/envelope.md has an example. */
#ifndef AS_CODEC_KEYRING_H
#define AS_CODEC_KEYRING_H

#include "base/buffer.h"
#include "codec/aead.h"
#include "codec/codec.h"

enum {
  AS_KEYRING_IDS = 256,
  /* How much longer than the value itself an encrypted one is. */
  AS_KEYRING_OVERHEAD_BYTES = 1 + 8 + AS_AEAD_NONCE_BYTES + AS_AEAD_TAG_BYTES,
};

/* Where a value belongs; the slices are borrowed. */
typedef struct as_record_place {
  as_slice session;
  uint64_t generation; /* 0: the session has none */
  as_slice type;
  as_slice id;
} as_record_place;

typedef struct as_keyring_key {
  as_aead aead;
  double uses; /* how many values it has encrypted */
} as_keyring_key;

typedef struct as_keyring {
  as_mem *mem;
  as_keyring_key *keys[AS_KEYRING_IDS]; /* owned; NULL: not configured */
  int primary;                          /* an id, -1: none yet */
  bool is_required; /* what is not encrypted is refused, not read as it stands */
  double max_uses;  /* of one key, by this ring */
  as_buffer data;   /* the additional data of the value at hand */
} as_keyring;

/* No keys, not required; max_uses is 2^32, which NIST SP 800-38D, section 8.3, allows for
 * random nonces. */
void as_keyring_init(as_keyring *ring, as_mem *mem);

/* Wipes all keys from memory. The ring has none then. */
void as_keyring_free(as_keyring *ring);

/* Adds a key, of which it takes a copy, in the place of one that has the id. AS_ERR_OOM,
 * AS_ERR_UNSUPPORTED: unchanged. */
AS_MUST_USE as_status as_keyring_add(as_keyring *ring, uint8_t id,
                                     const uint8_t key[AS_AEAD_KEY_BYTES]);

/* The id of the key that a stored value was encrypted with; -1 when it is not encrypted,
 * or too short to tell. */
int as_keyring_key_id(as_slice stored);

/* Appends a stored value of ours, encrypted under the primary key, to `out`. The nonce
 * must be new and random. AS_ERR_UNSUPPORTED: the key is used up, or libcrypto refuses;
 * error->message says which. `out` is as it was after a failure. */
AS_MUST_USE as_status as_keyring_encrypt(as_keyring *ring, const as_record_place *place,
                                         const uint8_t nonce[AS_AEAD_NONCE_BYTES],
                                         as_slice stored, as_buffer *out,
                                         as_codec_error *error);

/* Gives the value that was encrypted: in `scratch`, which has room for stored.length
 * bytes, or `stored` itself when that is not encrypted. AS_ERR_CORRUPT: it cannot be
 * opened in this place with these keys, is longer than max_value_bytes, or is not
 * encrypted though that is required; error->message says which. No value is given then.
 */
AS_MUST_USE as_status as_keyring_decrypt(as_keyring *ring, const as_record_place *place,
                                         as_slice stored, size_t max_value_bytes,
                                         uint8_t *scratch, as_slice *out_value,
                                         as_codec_error *error);

#endif
