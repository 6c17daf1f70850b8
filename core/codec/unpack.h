/* SPDX-License-Identifier: MIT */
/* Reads one stored CBOR item (packed.h) and gives what it stands for to a sink. All CBOR
 * is read that JSON has words for, also what authstate does not write: indefinite
 * lengths, half floats, tags that are not known, whose content counts. Refused are NaN,
 * infinities, undefined and other simple values, integers beyond 2^53, keys that are no
 * text, text that is not UTF-8. */
#ifndef AS_CODEC_UNPACK_H
#define AS_CODEC_UNPACK_H

#include "base/buffer.h"
#include "codec/codec.h"
#include "codec/jid.h"
#include "codec/sink.h"

/* What unpacking keeps between values, so that none allocates anew. Owns its memory. */
typedef struct as_unpacker {
  as_buffer text;    /* base64 and digits on their way to the sink */
  as_buffer json;    /* the content of a Buffer that is stored as structure */
  as_buffer strings; /* slices that a reference may name */
} as_unpacker;

void as_unpacker_init(as_unpacker *unpacker, as_mem *mem);
void as_unpacker_free(as_unpacker *unpacker);

/* Where CBOR comes from. */
typedef enum as_unpack_trust {
  AS_UNPACK_STORED,    /* from outside: all of it is checked */
  AS_UNPACK_STRUCTURE, /* as_transcode_json_structure made it: infinities, WTF-8 */
} as_unpack_trust;

/* AS_ERR_CORRUPT: not a value that we store; the sink may have received a part of it. */
AS_MUST_USE as_status as_unpack(as_unpacker *unpacker, as_slice cbor,
                                as_unpack_trust trust, as_sink *sink,
                                as_codec_error *error);

/* A whole item that is only digits (a lid-mapping) is so small that reading it as any
 * other would take most of the time: writes them, no final NUL, and returns how many; 0
 * for any other item. */
size_t as_unpack_digits(as_slice cbor, char out[AS_DIGITS_ROOM]);

#endif
