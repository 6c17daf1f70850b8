/* SPDX-License-Identifier: MIT */
/* AES-256-GCM (NIST SP 800-38D) by OpenSSL's libcrypto: encrypts bytes under a key and a
 * nonce, and adds a tag without which neither they nor the additional data that go with
 * them can be changed.
 *
 * A nonce must never be used twice under one key: who knows two messages of one nonce can
 * forge. The caller gives it, since nothing here draws random numbers.
 *
 * One as_aead has one key for its whole life. Its two cipher contexts are set up once and
 * get only a nonce for each message: a context for each costs more than the message. */
#ifndef AS_CODEC_AEAD_H
#define AS_CODEC_AEAD_H

#include <openssl/evp.h>

#include "base/error.h"
#include "base/slice.h"

enum { AS_AEAD_KEY_BYTES = 32, AS_AEAD_NONCE_BYTES = 12, AS_AEAD_TAG_BYTES = 16 };

typedef struct as_aead {
  EVP_CIPHER_CTX *sealing; /* owned, as below; they have the only copies of the key */
  EVP_CIPHER_CTX *opening;
} as_aead;

/* Takes a copy of the key. AS_ERR_OOM, AS_ERR_UNSUPPORTED (libcrypto refuses): nothing is
 * held. */
AS_MUST_USE as_status as_aead_init(as_aead *aead, const uint8_t key[AS_AEAD_KEY_BYTES]);

/* Wipes the key from memory. All zero is accepted. */
void as_aead_free(as_aead *aead);

/* Writes the ciphertext, as long as `plain`, and the tag behind it to `out`, which may be
 * where `plain` is. AS_ERR_TOO_LARGE: `data` or `plain` is longer than 1 GiB.
 * AS_ERR_UNSUPPORTED: libcrypto refuses. */
AS_MUST_USE as_status as_aead_seal(as_aead *aead,
                                   const uint8_t nonce[AS_AEAD_NONCE_BYTES],
                                   as_slice data, as_slice plain, uint8_t *out);

/* The other way: `sealed` is ciphertext and tag, `out` has room for the ciphertext's
 * length and may be where `sealed` is. AS_ERR_CORRUPT: the tag is not that of this key,
 * nonce, data and ciphertext, or there is none; `out` is wiped then. */
AS_MUST_USE as_status as_aead_open(as_aead *aead,
                                   const uint8_t nonce[AS_AEAD_NONCE_BYTES],
                                   as_slice data, as_slice sealed, uint8_t *out);

/* Overwrites memory, however little the compiler thinks of it. */
void as_aead_wipe(void *block, size_t length);

#endif
