/* SPDX-License-Identifier: MIT */
/* The envelope is what stands around the payload of a stored value and tells how to read
 * it.
 *
 *   offset  size  meaning
 *   0       1     header, at least 0x80
 *                   bit 7     1 (0: the whole value is JSON text that others wrote)
 *                   bits 6-5  compressor: 0 none, 1 lz4, 2 zstd, 3 deflate
 *                   bit 4     1: encrypted
 *                   bits 3-0  serializer: 0 cbor, 1 json, 2 reserved, 3 the header goes
 *                             on (reserved), 4 to 15 Lua scripts
 *   1       n     body
 *
 * Without a compressor the body is the payload, what the serializer wrote. With one it is
 * the size of the payload (varint), and what the compressor made of the payload. An
 * encrypted value is one of these, body encrypted: keyring.h makes it of the value that
 * is sealed here, and gives that back before it is opened here.
 *
 * A varint has seven bits of the number in each byte, the lowest first, and 0x80 set in
 * each but the last; no byte more than needed.
 *
 * Example, ["0","2"]:  80  82 61 30 61 32
 *   80        header: not compressed, not encrypted, cbor
 *   82        array of 2
 *   61 30     text "0"
 *   61 32     text "2"
 *
 * doc/envelope.md is the same for people who read stored values with other tools. */
#ifndef AS_CODEC_ENVELOPE_H
#define AS_CODEC_ENVELOPE_H

#include "base/buffer.h"
#include "codec/codec.h"
#include "codec/compressor.h"

enum {
  AS_SERIALIZER_CBOR = 0,
  AS_SERIALIZER_JSON = 1, /* the text as it stands */
  AS_SERIALIZER_FIRST_SCRIPT = 4,
  AS_SERIALIZER_LAST_SCRIPT = 15,
};

/* What is packed stands for at most this many times as many bytes: a small value cannot
 * become large. What would is stored as it is. */
enum { AS_ENVELOPE_MAX_RATIO = 1024 };

/* What opening and sealing keep between values, so that none allocates anew: one for each
 * user, who takes care that it is used by one call at a time. Owns its memory. */
typedef struct as_envelope_state {
  as_compressor_state compressors;
  as_buffer payload; /* of the value that was unpacked last */
} as_envelope_state;

void as_envelope_state_init(as_envelope_state *state, as_mem *mem);

/* Gives the memory back; the state is usable again. */
void as_envelope_state_free(as_envelope_state *state);

/* ---- opening ---------------------------------------------------------------------- */

typedef struct as_envelope {
  bool is_foreign; /* JSON text that others wrote; the payload is all of it */
  bool is_packed;  /* the payload must still be unpacked */
  uint8_t header;
  uint8_t serializer; /* AS_SERIALIZER_JSON when foreign */
  as_slice payload;   /* borrowed from the stored value, not checked yet */
} as_envelope;

/* Reads the header. It is usual that nothing else is to be done: is_packed tells. Any
 * serializer from 4 on is let through: the caller knows his own. AS_ERR_CORRUPT: empty,
 * longer than max_value_bytes, or a header that this version does not know; the message
 * says which. */
AS_MUST_USE as_status as_envelope_open(as_slice stored, size_t max_value_bytes,
                                       as_envelope *out_envelope, as_codec_error *error);

/* The same for the most usual value, CBOR that is neither compressed nor encrypted, and
 * false for any other. */
static inline bool as_envelope_open_plain(as_slice stored, size_t max_value_bytes,
                                          as_slice *out_payload) {
  enum { PLAIN_CBOR = 0x80 };
  if (stored.length == 0 || stored.length > max_value_bytes ||
      stored.data[0] != PLAIN_CBOR) {
    return false;
  }
  *out_payload = as_slice_of(stored.data + 1, stored.length - 1);
  return true;
}

/* Unpacks the payload of a value that is_packed, which it is not any more then: it lies
 * in the state until that is next used. The size is checked before anything is allocated.
 * AS_ERR_CORRUPT: damaged, or larger than max_value_bytes allows a stored value to be.
 * AS_ERR_OOM. */
AS_MUST_USE as_status as_envelope_unpack(as_envelope *envelope, size_t max_value_bytes,
                                         as_envelope_state *state, as_codec_error *error);

/* Notes "unknown serializer 7" and returns AS_ERR_CORRUPT. */
AS_MUST_USE as_status as_envelope_refuse_serializer(const as_envelope *envelope,
                                                    as_codec_error *error);

/* ---- sealing ---------------------------------------------------------------------- */

/* How values are sealed. */
typedef struct as_sealing {
  size_t max_value_bytes;          /* of the stored value, as it is without compressor */
  const as_compressor *compressor; /* NULL: none, and what follows means nothing */
  int level;
  size_t threshold_bytes; /* a smaller payload is stored as it is */
  size_t min_gain_bytes;  /* packed is stored what becomes smaller by as many bytes ... */
  size_t min_gain_percent; /* ... and by this part of the payload; at most 100 */
} as_sealing;

/* Appends the stored value of a payload, which must not lie in `out`: packed when that is
 * worth it, else as it is. The state may be NULL without compressor. AS_ERR_TOO_LARGE:
 * longer than max_value_bytes. AS_ERR_OOM. After a failure `out` is as it was. */
AS_MUST_USE as_status as_envelope_seal(const as_sealing *sealing, uint8_t serializer,
                                       as_slice payload, as_envelope_state *state,
                                       as_buffer *out, as_codec_error *error);

/* Makes a stored value without compressor of a payload that has one byte of room before
 * it: the first byte of `value` becomes the header. AS_ERR_TOO_LARGE. */
AS_MUST_USE as_status as_envelope_seal_plain(const as_sealing *sealing,
                                             uint8_t serializer, as_buffer *value,
                                             as_codec_error *error);

#endif
