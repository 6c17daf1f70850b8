/* SPDX-License-Identifier: MIT */
/* Message digests, by OpenSSL's libcrypto. */
#ifndef AS_CODEC_DIGEST_H
#define AS_CODEC_DIGEST_H

#include "base/error.h"
#include "base/slice.h"

enum { AS_DIGEST_MAX_BYTES = 32 };

typedef enum as_digest_kind {
  AS_DIGEST_SHA1,  /* names Redis scripts, as EVALSHA wants it; protects nothing */
  AS_DIGEST_SHA256 /* FIPS 180-4 */
} as_digest_kind;

/* 20 or 32. */
size_t as_digest_length(as_digest_kind kind);

/* Writes as_digest_length bytes to `out`. AS_ERR_UNSUPPORTED: libcrypto refuses. */
AS_MUST_USE as_status as_digest(as_digest_kind kind, as_slice bytes, uint8_t *out);

#endif
