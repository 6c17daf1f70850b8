/* SPDX-License-Identifier: MIT */
/* The envelope is the first byte of a stored value; it tells how to read the rest.
 *
 *   offset  size  meaning
 *   0       1     header, at least 0x80
 *                   bit 7     1 (0: the whole value is JSON text that others wrote)
 *                   bits 6-5  compressor: 0 none, 1 lz4, 2 zstd, 3 deflate
 *                   bit 4     1: encrypted
 *                   bits 3-0  serializer: 0 cbor, 1 json, 2 reserved, 3 the header goes
 *                             on (reserved), 4 to 15 Lua scripts
 *   1       n     payload
 *
 * Example, ["0","2"]:  80  82 61 30 61 32
 *   80        header: not compressed, not encrypted, cbor
 *   82        array of 2
 *   61 30     text "0"
 *   61 32     text "2"
 *
 * This version writes 0x80 only and reads 0x80 and JSON text. doc/envelope.md is the same
 * for people who read stored values with other tools. */
#ifndef AS_CODEC_ENVELOPE_H
#define AS_CODEC_ENVELOPE_H

#include "base/buffer.h"
#include "codec/codec.h"

typedef enum as_envelope_kind {
  AS_ENVELOPE_FOREIGN_JSON, /* the payload is all of the stored value */
  AS_ENVELOPE_CBOR,
} as_envelope_kind;

typedef struct as_envelope {
  as_envelope_kind kind;
  as_slice payload; /* borrowed from the stored value, not checked yet */
} as_envelope;

/* Reads the header. AS_ERR_CORRUPT: empty, longer than max_value_bytes, or a header that
 * this version does not know; the message says which. */
AS_MUST_USE as_status as_envelope_open(as_slice stored, size_t max_value_bytes,
                                       as_envelope *out_envelope, as_codec_error *error);

/* Appends the header of a CBOR value, neither compressed nor encrypted. */
AS_MUST_USE as_status as_envelope_begin(as_buffer *out);

#endif
