/* SPDX-License-Identifier: MIT */
#include "codec/digest.h"

#include <openssl/evp.h>

size_t as_digest_length(as_digest_kind kind) {
  return kind == AS_DIGEST_SHA1 ? 20 : 32;
}

as_status as_digest(as_digest_kind kind, as_slice bytes, uint8_t *out) {
  const EVP_MD *md = kind == AS_DIGEST_SHA1 ? EVP_sha1() : EVP_sha256();
  return EVP_Digest(bytes.data, bytes.length, out, NULL, md, NULL) == 1
             ? AS_OK
             : AS_ERR_UNSUPPORTED;
}
