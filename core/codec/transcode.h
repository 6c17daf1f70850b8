/* SPDX-License-Identifier: MIT */
/* Between JSON text and stored CBOR.
 *
 * Exact: a text that JSON.stringify could have written becomes structure (packed.h), and
 * comes back byte for byte. Any other JSON text is kept whole under tag 262, so back and
 * forth is the identity for all JSON.
 *
 * Structure: plain CBOR without any of our tags, for reading what other programs wrote.
 * Numbers are what JSON.parse makes of them, 1e400 an infinity; text strings may be
 * WTF-8; a key given twice appears twice. It is never stored. */
#ifndef AS_CODEC_TRANSCODE_H
#define AS_CODEC_TRANSCODE_H

#include "base/buffer.h"
#include "codec/codec.h"
#include "codec/pack.h"
#include "codec/unpack.h"

/* What transcoding keeps between texts, so that none allocates anew. Owns its memory. */
typedef struct as_transcoder {
  as_packer packer;
  as_unpacker unpacker;
  as_tree tree;
  as_buffer wide_heads;
} as_transcoder;

void as_transcoder_init(as_transcoder *transcoder, as_mem *mem);
void as_transcoder_free(as_transcoder *transcoder);

/* Gives memory back, but not what is long in the making; called between values. */
void as_transcoder_trim(as_transcoder *transcoder);

/* Append one CBOR item to `out`. AS_ERR_CORRUPT: not JSON; error has words and the
 * offset. After any failure `out` is as it was. The text must not lie in `out`. */
AS_MUST_USE as_status as_transcode_json_exact(as_transcoder *transcoder, as_slice json,
                                              as_buffer *out, as_codec_error *error);
AS_MUST_USE as_status as_transcode_json_structure(as_transcoder *transcoder,
                                                  as_slice json, as_buffer *out,
                                                  as_codec_error *error);

/* Appends the JSON text of one stored CBOR item, checking all of it: the result is always
 * valid JSON. AS_ERR_CORRUPT: not a value that we store. After any failure `out` is as it
 * was. */
AS_MUST_USE as_status as_transcode_cbor(as_transcoder *transcoder, as_slice cbor,
                                        as_byte_form form, as_buffer *out,
                                        as_codec_error *error);

/* When a stored item is a JSON text kept whole gives the text, not checked; else data is
 * NULL. AS_ERR_CORRUPT: it begins like one. */
AS_MUST_USE as_status as_transcode_find_whole(as_slice cbor, as_slice *out_json,
                                              as_codec_error *error);

/* Fails as as_transcode_json_exact does when the text is not JSON; allocates nothing. */
AS_MUST_USE as_status as_transcode_json_check(as_slice json, as_codec_error *error);

#endif
