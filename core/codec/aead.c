/* SPDX-License-Identifier: MIT */
#include "codec/aead.h"

/* libcrypto counts bytes in an int. */
static const size_t MAX_BYTES = (size_t)1 << 30;

void as_aead_free(as_aead *aead) {
  /* EVP_CIPHER_CTX_free cleanses the key schedule and takes NULL. */
  EVP_CIPHER_CTX_free(aead->sealing);
  EVP_CIPHER_CTX_free(aead->opening);
  aead->sealing = aead->opening = NULL;
}

as_status as_aead_init(as_aead *aead, const uint8_t key[AS_AEAD_KEY_BYTES]) {
  const EVP_CIPHER *cipher = EVP_aes_256_gcm();
  as_status status = AS_ERR_OOM;
  aead->sealing = EVP_CIPHER_CTX_new();
  aead->opening = EVP_CIPHER_CTX_new();
  if (aead->sealing == NULL || aead->opening == NULL) goto fail;
  status = AS_ERR_UNSUPPORTED;
  if (EVP_EncryptInit_ex(aead->sealing, cipher, NULL, key, NULL) != 1) goto fail;
  if (EVP_DecryptInit_ex(aead->opening, cipher, NULL, key, NULL) != 1) goto fail;
  return AS_OK;
fail:
  as_aead_free(aead);
  return status;
}

/* Adds to the message, or with `out` NULL to its additional data. Nothing is not handed
 * on: libcrypto takes it for the end. */
static bool update(EVP_CIPHER_CTX *context, as_slice bytes, uint8_t *out) {
  int length;
  if (bytes.length == 0) return true;
  return EVP_CipherUpdate(context, out, &length, bytes.data, (int)bytes.length) == 1;
}

as_status as_aead_seal(as_aead *aead, const uint8_t nonce[AS_AEAD_NONCE_BYTES],
                       as_slice data, as_slice plain, uint8_t *out) {
  EVP_CIPHER_CTX *context = aead->sealing;
  int length = 0;
  if (data.length > MAX_BYTES || plain.length > MAX_BYTES) return AS_ERR_TOO_LARGE;
  bool is_done = EVP_EncryptInit_ex(context, NULL, NULL, NULL, nonce) == 1 &&
                 update(context, data, NULL) && update(context, plain, out) &&
                 EVP_EncryptFinal_ex(context, out + plain.length, &length) == 1 &&
                 EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, AS_AEAD_TAG_BYTES,
                                     out + plain.length) == 1;
  return is_done ? AS_OK : AS_ERR_UNSUPPORTED;
}

as_status as_aead_open(as_aead *aead, const uint8_t nonce[AS_AEAD_NONCE_BYTES],
                       as_slice data, as_slice sealed, uint8_t *out) {
  EVP_CIPHER_CTX *context = aead->opening;
  uint8_t tag[AS_AEAD_TAG_BYTES];
  int length = 0;
  if (sealed.length < AS_AEAD_TAG_BYTES) return AS_ERR_CORRUPT;
  size_t count = sealed.length - AS_AEAD_TAG_BYTES;
  if (data.length > MAX_BYTES || count > MAX_BYTES) return AS_ERR_CORRUPT;
  memcpy(tag, sealed.data + count, sizeof tag);
  bool is_ready =
      EVP_DecryptInit_ex(context, NULL, NULL, NULL, nonce) == 1 &&
      update(context, data, NULL) &&
      update(context, as_slice_of(sealed.data, count), out) &&
      EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, sizeof tag, tag) == 1;
  if (is_ready && EVP_DecryptFinal_ex(context, out + count, &length) == 1) return AS_OK;
  as_aead_wipe(out, count);
  return is_ready ? AS_ERR_CORRUPT : AS_ERR_UNSUPPORTED;
}

void as_aead_wipe(void *block, size_t length) {
  OPENSSL_cleanse(block, length);
}
